//! The border between two texts of one answer that a reader sees as one: blocks of Anthropic, parts of
//! Responses, with nothing or a call between them.
//!
//! What the first text let go at its end could be the beginning of a match that the second one
//! ends. It has left, so it cannot be hidden any more: such an answer is cut before the rest of the
//! match leaves. What always holds: the second text waits while a match that began before it is
//! alive, and no longer.

use super::found::{Done, Found, Hit};
use super::run::{Line, with_desk};
use crate::filter::{Action, Finding, Passage, Scanner};
use crate::table::rules::Judge;
use crate::wire::event::Kind;
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// What the first text let go at its end.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) line: Line,
    pub(super) text: String,
}

/// A second text at its beginning.
pub(super) struct Border {
    pub(super) line: Line,
    /// Of each ruleset, a scanner that has read the tail.
    scanners: SmallVec<[(Arc<Judge>, Scanner); 1]>,
    tail: String,
    tail_bytes: u64,
    /// What of the second text waits.
    waiting: String,
}

impl fmt::Debug for Border {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Border").field("line", &self.line).finish_non_exhaustive()
    }
}

impl Tail {
    /// Whether `line` is what a reader sees behind it.
    pub(super) fn is_before(&self, line: Line) -> bool {
        let (own, next) = (self.line.channel, line.channel);
        line.member == 0 && own.choice == next.choice && own.kind == next.kind
    }
}

impl Border {
    pub(super) fn new<'j>(
        line: Line,
        tail: &Tail,
        judges: impl Iterator<Item = &'j Arc<Judge>>,
    ) -> Border {
        let mut scanners = SmallVec::new();
        for judge in judges {
            let Some(engine) = judge.ruleset.engine(line.channel.kind) else { continue };
            let mut scanner = Scanner::new(engine);
            with_desk(|cache, release| scanner.push(cache, &tail.text, release));
            scanners.push((Arc::clone(judge), scanner));
        }
        let (tail, tail_bytes) = (tail.text.clone(), tail.text.len() as u64);
        Border { line, scanners, tail, tail_bytes, waiting: String::new() }
    }

    /// Takes more of the second text; gives what of it is clear of the first, if it is by now.
    pub(super) fn push(&mut self, text: &str, found: &mut Found) -> Option<String> {
        self.waiting.push_str(text);
        let (kind, tail_bytes) = (self.line.channel.kind, self.tail_bytes);
        self.scanners.retain(|(judge, scanner)| {
            let passage = with_desk(|cache, release| {
                let progress = scanner.push(cache, text, release);
                note(judge, &release.findings, kind, tail_bytes, found);
                progress.passage
            });
            let is_over = scanner.released() >= tail_bytes
                || matches!(passage, Passage::Stopped(_) | Passage::Unjudged);
            if is_over {
                finish(judge, scanner, kind, tail_bytes, found);
            }
            !is_over
        });
        (self.scanners.is_empty() || found.is_cut()).then(|| std::mem::take(&mut self.waiting))
    }

    /// The second text has ended too: gives what of it waited, and both, if a third one may go on
    /// with a match.
    pub(super) fn end(mut self, found: &mut Found) -> (String, String) {
        for (judge, mut scanner) in std::mem::take(&mut self.scanners) {
            finish(&judge, &mut scanner, self.line.channel.kind, self.tail_bytes, found);
        }
        let both = self.tail + &self.waiting;
        (self.waiting, both)
    }
}

fn finish(judge: &Judge, scanner: &mut Scanner, kind: Kind, tail_bytes: u64, found: &mut Found) {
    with_desk(|cache, release| {
        let _ = scanner.finish(cache, release);
        note(judge, &release.findings, kind, tail_bytes, found);
    });
}

/// Cuts for what begins in the tail and ends behind it.
fn note(judge: &Judge, findings: &[Finding], kind: Kind, tail_bytes: u64, found: &mut Found) {
    let crosses = |one: &&Finding| one.start < tail_bytes && one.end > tail_bytes;
    for finding in findings.iter().filter(crosses) {
        let Some((rule, action)) = judge.origin(finding.rule as usize) else { continue };
        let done = if action == Action::Flag { Done::Flagged } else { Done::Cut };
        let (start, end) = (finding.start, finding.end);
        found.note(Hit { rule: Arc::clone(rule), kind, start, end, done });
    }
}
