//! The log: lines on stderr, as text or as JSON, that the data path never waits for.
//!
//! A line goes into a bounded queue that one thread empties. If stderr is not read, lines are
//! given up and counted; the gate goes on. What came from outside stands in quoted fields, with
//! control characters escaped, so that it can neither forge a line nor drive a terminal.

use crate::exchange::facts::{Facts, Outcome};
use crate::wire::Dialect;
use crate::wire::refusal::Class;
use metrics::Counter;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// How many lines wait for stderr at most.
const LINES_MAX: usize = 8_192;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For a person: coloured if stderr is a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

enum Line {
    Text(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Where lines go.
#[derive(Clone)]
pub(super) struct Lines {
    queue: SyncSender<Line>,
    dropped: Counter,
    format: Format,
}

impl Lines {
    /// Starts the thread that writes to `out`.
    fn start(
        mut out: impl Write + Send + 'static,
        format: Format,
        dropped: Counter,
    ) -> io::Result<Lines> {
        let (queue, lines) = sync_channel(LINES_MAX);
        thread::Builder::new()
            .name("firedoor-log".to_owned())
            .spawn(move || write_lines(&lines, &mut out))?;
        Ok(Lines { queue, dropped, format })
    }

    /// Waits until what was logged before is written, a second at most.
    pub(super) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.try_send(Line::Flush(done)).is_ok() {
            match wait.recv_timeout(Duration::from_secs(1)) {
                Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }
}

/// Ends when every sender is gone.
fn write_lines(lines: &Receiver<Line>, out: &mut impl Write) {
    for line in lines {
        match line {
            // Nobody can be told that stderr is gone.
            Line::Text(text) => drop(out.write_all(&text)),
            Line::Flush(done) => {
                drop(out.flush());
                let _ = done.try_send(());
            }
        }
    }
}

/// One event's writer: the formatter writes each line with one call.
pub(super) struct LineWriter<'l>(&'l Lines);

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = match self.0.format {
            Format::Human => line.to_vec(),
            Format::Json => escape_json(line),
        };
        match self.0.queue.try_send(Line::Text(text)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.0.dropped.increment(1);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'l> MakeWriter<'l> for Lines {
    type Writer = LineWriter<'l>;

    fn make_writer(&'l self) -> LineWriter<'l> {
        LineWriter(self)
    }
}

/// Escapes what JSON allows in a string but a terminal acts upon: DEL, the C1 controls, and the
/// marks that turn the direction of text. They can stand in strings only, so the line stays JSON.
fn escape_json(line: &[u8]) -> Vec<u8> {
    let suspicious = |byte: &u8| *byte == 0x7F || *byte == 0xC2 || *byte == 0xE2 || *byte == 0xD8;
    if !line.iter().any(suspicious) {
        return line.to_vec();
    }
    let text = String::from_utf8_lossy(line);
    let mut out = Vec::with_capacity(line.len() + 16);
    for c in text.chars() {
        match c {
            '\u{7F}'..='\u{9F}'
            | '\u{61C}'
            | '\u{200E}'
            | '\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2066}'..='\u{2069}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

/// Makes `stderr` the process's log. `filter` is in the form of tracing's `EnvFilter`.
pub(super) fn install(format: Format, filter: &str, dropped: Counter) -> Result<Lines, String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("log filter: {error}"))?;
    let lines = Lines::start(io::stderr(), format, dropped)
        .map_err(|error| format!("log thread: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines.clone());
    let done = match format {
        Format::Human => builder.with_ansi(io::stderr().is_terminal()).finish().try_init(),
        Format::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    done.map_err(|error| error.to_string())?;
    Ok(lines)
}

/// Logs a finished exchange: at `info` if it did not end well, else at `debug`.
pub(super) fn exchange(facts: &Facts) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "exchange",
                exchange = facts.id.text().as_str(),
                outcome = facts.outcome.name(),
                class = facts.outcome.class().map(Class::name),
                status = facts.status,
                path = &*facts.path,
                dialect = facts.dialect.map(Dialect::name),
                route = facts.route.as_ref().map(|name| name.as_str()),
                target_name = facts.target.as_deref(),
                app = facts.identity.app.as_ref().map(|name| name.as_str()),
                trace = facts.identity.trace.as_deref(),
                model = facts.model_asked.as_deref(),
                attempts = facts.attempts,
                ms = u64::try_from(facts.total.as_millis()).unwrap_or(u64::MAX),
                fault = facts.fault.as_deref(),
                "exchange finished"
            )
        };
    }
    match facts.outcome {
        Outcome::Completed | Outcome::ClientGone => line!(debug),
        Outcome::ProviderError | Outcome::Refused(_) | Outcome::Cut(_) | Outcome::Torn => {
            line!(info);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts_for_tests as sample;
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, facts: &Facts) -> String {
        let memory = Memory::default();
        let lines = Lines::start(memory.clone(), format, Counter::noop()).unwrap();
        let builder = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false);
        match format {
            Format::Human => {
                tracing::subscriber::with_default(builder.finish(), || exchange(facts));
            }
            Format::Json => {
                let builder = builder.json().flatten_event(true);
                tracing::subscriber::with_default(builder.finish(), || exchange(facts));
            }
        }
        lines.flush();
        String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
    }

    fn hostile() -> Facts {
        let mut facts = sample(7);
        facts.outcome = Outcome::Refused(Class::Killed);
        facts.path = "POST /v1/\u{1b}[2J\r\nINFO forged=1 \u{9b}31m\u{7f}\u{202e}x".into();
        facts.model_asked = Some("a\nb".into());
        facts
    }

    #[test]
    fn a_refusal_is_found_by_its_id_and_cannot_forge_a_line() {
        for format in [Format::Human, Format::Json] {
            let text = logged(format, &hostile());
            assert_eq!(text.lines().count(), 1, "{text:?}");
            assert!(text.contains("x_00000000000000000000000000000007"), "{text}");
            assert!(text.contains("firedoor_killed"), "{text}");
            for raw in ['\u{1b}', '\r', '\u{9b}', '\u{7f}', '\u{202e}'] {
                assert!(!text.contains(raw), "{raw:?} in {text:?}");
            }
        }
    }

    #[test]
    fn json_lines_are_json() {
        let text = logged(Format::Json, &hostile());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["path"], *hostile().path);
        assert_eq!(value["target"], "exchange");
    }

    #[test]
    fn what_ended_well_is_not_worth_a_line_by_default() {
        assert_eq!(logged(Format::Human, &sample(1)), "");
    }

    #[test]
    fn a_stuck_stderr_blocks_nobody() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                // Waits until the test is over.
                let _ = self.0.recv();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = std::sync::mpsc::channel();
        let lines = Lines::start(Stuck(stuck), Format::Human, Counter::noop()).unwrap();
        for _ in 0..LINES_MAX + 10 {
            lines.make_writer().write_all(b"line\n").unwrap();
        }
        drop(release);
    }
}
