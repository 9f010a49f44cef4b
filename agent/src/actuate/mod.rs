//! The keeper: owns every knob.
