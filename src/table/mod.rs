//! Files become one immutable, numbered table, or the full list of what is wrong with them.
//!
//! `file` knows the TOML shape and nothing else does; `compile` turns a checked file into a
//! [`Table`]; [`diagnostic`] says what is wrong, where, and what was meant. A table holds no
//! strings that the hot path would have to interpret: names are resolved to indices, patterns are
//! compiled, header values are ready to be copied.

pub mod codes;
mod compile;
pub mod costs;
pub mod describe;
pub mod diagnostic;
mod file;
mod implicit;
mod interpolate;
pub mod lever;
mod limit;
mod matcher;
pub mod packs;
mod price;
mod provider;
mod reader;
mod recipient;
pub mod rules;
mod syntax;
#[expect(clippy::module_inception, reason = "the room is named after its one product")]
pub mod table;
mod value;
pub mod webhook;
mod words;

pub use limit::{CAPS, Cap, Limit, LimitMatcher, Per, SameCall, Then, Unit, Unpriced, Window};
pub use price::{Money, Price, Prices, cost, listed_as_of};
pub use provider::is_plain_path;
pub use recipient::Recipient;
pub(crate) use recipient::bech32_key;
pub use table::*;
pub use words::nearest;

use diagnostic::Diagnostic;
use std::collections::HashSet;
use std::path::PathBuf;

/// The text of a configuration and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file; `None` for the embedded default.
    pub file: Option<PathBuf>,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Whether nothing stands in it, not even a comment.
    pub fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }
}

/// Something outside the file that a string in it refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'r> {
    /// `${NAME}`: an environment variable.
    Variable(&'r str),
    /// `${file:PATH}`: the content of a file, without a line end at its end.
    File(&'r str),
    /// The content of a file that is no text: U+0000 to U+00FF for each byte.
    Bytes(&'r str),
    /// The names of the files in a folder, one a line, sorted.
    Folder(&'r str),
}

/// Resolves references: `Ok(None)` if there is no such variable or file, `Err` says why it cannot
/// be read.
pub type Lookup<'l> = dyn Fn(Reference<'_>) -> Result<Option<String>, String> + 'l;

/// What came of a source.
#[derive(Debug)]
pub struct Prepared {
    /// The table, if there was no error. Its epoch is 0 until it is published.
    pub table: Option<Table>,
    /// Every error and warning, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// The default `routes.toml`, used where there is none.
pub const EMBEDDED: &str = include_str!("../../routes.toml");

/// The name under which messages speak of [`EMBEDDED`].
pub const EMBEDDED_NAME: &str = "<built-in routes.toml>";

/// The JSON Schema (draft 7) of a routes file, for editors.
pub const SCHEMA: &str = include_str!("schema.json");

/// Compiles `source`. All errors are reported at once; there is a table exactly if there is none.
pub fn prepare(source: &Source, lookup: &Lookup<'_>) -> Prepared {
    compile::compile(source, lookup, &HashSet::new())
}

/// Compiles `source` with the rules of these names, as `pack/id`, in shadow.
#[expect(clippy::implicit_hasher, reason = "one caller, which has the default")]
pub fn prepare_with(source: &Source, lookup: &Lookup<'_>, shadowed: &HashSet<String>) -> Prepared {
    compile::compile(source, lookup, shadowed)
}
