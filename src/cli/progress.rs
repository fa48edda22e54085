//! How far a long work is, on standard error: in place on a terminal, else a line now and then.

use super::output;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often it is told on a terminal.
const EVERY: Duration = Duration::from_millis(200);
/// How often elsewhere, where each telling stays.
const ELSEWHERE_EVERY: Duration = Duration::from_secs(10);

/// A line that is written again and again.
pub(super) struct Progress {
    /// When it was told last, or the work began: a short work is over before it is told of.
    last: Instant,
    is_terminal: bool,
    has_line: bool,
}

impl Progress {
    pub(super) fn new() -> Progress {
        let is_terminal = std::io::stderr().is_terminal();
        Progress { last: Instant::now(), is_terminal, has_line: false }
    }

    /// Tells it, if it is time to.
    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        let every = if self.is_terminal { EVERY } else { ELSEWHERE_EVERY };
        if self.last.elapsed() < every {
            return;
        }
        self.last = Instant::now();
        if self.is_terminal {
            self.has_line = true;
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "\r\x1b[K{}", line()).and_then(|()| out.flush());
        } else {
            output::notice(&format!("firedoor: {}", line()));
        }
    }

    /// Takes the line away.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.has_line) {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
