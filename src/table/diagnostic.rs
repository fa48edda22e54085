//! What is wrong with a file, where, and what was probably meant.
//!
//! A diagnostic has a stable code that `firedoor explain` knows. All that can be found are
//! reported at once.

use std::ops::Range;
use std::path::PathBuf;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably not as meant.
    Warning,
}

/// One finding about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code, such as `FD0102`.
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What is wrong and what was expected.
    pub message: String,
    /// The file.
    pub file: PathBuf,
    /// The bytes that it is about.
    pub span: Range<usize>,
    /// What to do, often the nearest right word.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A file that cannot be read at all.
    pub fn unreadable(file: &std::path::Path, why: &str) -> Diagnostic {
        Diagnostic {
            code: "FD0001",
            severity: Severity::Error,
            message: format!("cannot read it: {why}"),
            file: file.to_path_buf(),
            span: 0..0,
            help: None,
        }
    }
}
