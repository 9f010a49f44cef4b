//! The board: the last published snapshot.
