//! Files become one immutable, numbered table, or the full list of what is wrong with them.
//!
//! `file` knows the TOML shape and nothing else does; `compile` turns a checked file into a
//! [`Table`]; [`diagnostic`] says what is wrong, where, and what was meant. A table holds no
//! strings that the hot path would have to interpret: names are resolved to indices, patterns are
//! compiled, header values are ready to be copied.

pub mod diagnostic;
#[expect(clippy::module_inception, reason = "the room is named after its one product")]
pub mod table;

pub use table::*;
