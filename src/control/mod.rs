//! The switchboard: the only holder of the live table, and the only place that publishes one.
//!
//! Start, a changed file, SIGHUP and the API all take one path: read, prepare, publish. Preparing
//! may fail and changes nothing; publishing cannot fail.

pub mod switchboard;

pub use switchboard::{Reload, Switchboard, lookup};
