//! How far a long work is, on standard error: in place on a terminal, else a line now and then.

use super::output;
use super::record::interruption;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The most threads of a long work.
const THREADS_MAX: usize = 64;
/// How often it is looked how far threads are.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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

/// As many threads as are asked for, else as there are cores.
pub(super) fn threads(asked: Option<usize>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    asked.unwrap_or_else(cores).clamp(1, THREADS_MAX)
}

/// Does `work` on another thread, and meanwhile tells how far it is; sets `stop` when it is interrupted.
pub(super) fn watched<R: Send>(
    stop: &AtomicBool,
    tell: impl Fn() -> String,
    work: impl FnOnce() -> R + Send,
) -> R {
    let (interrupted, mut shown) = (interruption(), Progress::new());
    std::thread::scope(|scope| {
        let work = scope.spawn(work);
        while !work.is_finished() {
            std::thread::sleep(LOOK_EVERY);
            if interrupted.load(Ordering::Relaxed) {
                stop.store(true, Ordering::Relaxed);
            }
            shown.tell(&tell);
        }
        shown.end();
        match work.join() {
            Ok(came_to) => came_to,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
