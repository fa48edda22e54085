//! Where words go: data to standard output, notices to standard error.

use super::{Common, Exit};
use std::io::{IsTerminal, Write};

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// For people
    Human,
    /// For programs
    Json,
}

/// Whether data is to be JSON: asked for, or, where nothing is asked, piped.
pub fn is_json(common: &Common) -> bool {
    match common.output {
        Some(form) => form == Form::Json,
        None => !std::io::stdout().is_terminal(),
    }
}

/// Whether standard error may be coloured.
pub fn is_colourful() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Writes data. A reader that has gone away is no failure of ours.
pub fn data(text: &str) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        Err(_) => Exit::Failed,
    }
}

/// Writes one JSON value, indented.
pub fn json(value: &serde_json::Value) -> Exit {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string());
    data(&format!("{text}\n"))
}

/// A number of bytes, short.
pub fn bytes(number: usize) -> String {
    match number {
        0..1_000 => format!("{number} B"),
        1_000..1_000_000 => format!("{:.1} kB", number as f64 / 1e3),
        _ => format!("{:.1} MB", number as f64 / 1e6),
    }
}

/// Writes a notice.
pub fn notice(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
