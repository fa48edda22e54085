//! Rooms built and run.
