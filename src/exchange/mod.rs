//! The state machine of one request and its stream: inputs in, outputs out, no I/O.

pub mod facts;
