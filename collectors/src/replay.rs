//! Replay: a recording read back as a source.
