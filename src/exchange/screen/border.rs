//! The border between two texts of one answer that a reader sees as one: blocks of Anthropic, parts of
//! Responses, with nothing or a call between them.
//!
//! What the first text let go at its end could be the beginning of a match that the second one
//! ends. It has left, so it cannot be hidden any more: such an answer is cut before the rest of the
//! match leaves. What always holds: the second text waits while a match that began before it is
//! alive, and no longer; where that goes on over further texts, each is read once; a text that
//! cannot be judged together with the one before it gets the rules' `on_error`.

use super::desk::with_desk;
use super::found::{Done, Found, Hit};
use super::line::Line;
use crate::filter::{Action, Finding, Passage, Progress, Scanner};
use crate::table::rules::Judge;
use crate::wire::event::Kind;
use std::fmt;
use std::sync::Arc;

/// What the first text let go at its end.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) line: Line,
    pub(super) text: String,
    /// Who has read it already, and what was before it.
    pub(super) read_by: Watches,
}

/// Of each ruleset, a scanner that reads over the border.
pub(super) type Watches = Vec<Watch>;

pub(super) struct Watch {
    judge: Arc<Judge>,
    scanner: Scanner,
    /// Where the border is in what it reads.
    at: u64,
    /// Whether no match is alive that began before the border.
    is_over: bool,
}

/// A second text at its beginning.
pub(super) struct Border {
    pub(super) line: Line,
    watches: Watches,
    /// What of the second text waits.
    waiting: String,
}

impl fmt::Debug for Border {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Border").field("line", &self.line).finish_non_exhaustive()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("judge", &self.judge.id).finish_non_exhaustive()
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
        tail: Tail,
        judges: impl Iterator<Item = &'j Arc<Judge>>,
        found: &mut Found,
    ) -> Border {
        let kind = line.channel.kind;
        let Tail { text, read_by: mut watches, .. } = tail;
        for watch in &mut watches {
            (watch.at, watch.is_over) = (watch.scanner.read(), false);
        }
        for judge in judges {
            let is_here = watches.iter().any(|watch| Arc::ptr_eq(&watch.judge, judge));
            let Some(engine) = judge.ruleset.engine(kind).filter(|_| !is_here) else { continue };
            let (scanner, at) = (Scanner::new(engine), text.len() as u64);
            let mut watch = Watch { judge: Arc::clone(judge), scanner, at, is_over: false };
            if watch.read(&text, kind, found) {
                watches.push(watch);
            }
        }
        Border { line, watches, waiting: String::new() }
    }

    /// Takes more of the second text; gives what of it is clear of the first, if it is by now.
    pub(super) fn push(&mut self, text: &str, found: &mut Found) -> Option<String> {
        self.waiting.push_str(text);
        let kind = self.line.channel.kind;
        self.watches.retain_mut(|watch| {
            let reads_on = watch.read(text, kind, found);
            if !watch.is_over && watch.scanner.released() >= watch.at {
                watch.is_over = true;
                watch.decide(kind, found);
            }
            reads_on
        });
        let is_over = self.watches.iter().all(|watch| watch.is_over);
        (is_over || found.is_cut()).then(|| std::mem::take(&mut self.waiting))
    }

    /// The second text has ended too: gives what of it waited, and who reads on if a third one goes
    /// on with a match.
    pub(super) fn end(self, found: &mut Found) -> (String, Watches) {
        for watch in self.watches.iter().filter(|watch| !watch.is_over) {
            watch.decide(self.line.channel.kind, found);
        }
        (self.waiting, self.watches)
    }
}

impl Watch {
    /// Reads on, behind or before the border; `false` if that is over.
    fn read(&mut self, text: &str, kind: Kind, found: &mut Found) -> bool {
        let Watch { judge, scanner, at, .. } = self;
        let progress = with_desk(|cache, release| {
            let progress = scanner.push(cache, text, release);
            note(judge, &release.findings, kind, *at, found);
            progress
        });
        judged(judge, progress, kind, found)
    }

    /// What it would find if the text ended here.
    fn decide(&self, kind: Kind, found: &mut Found) {
        let mut scanner = self.scanner.clone();
        let progress = with_desk(|cache, release| {
            let progress = scanner.finish(cache, release);
            note(&self.judge, &release.findings, kind, self.at, found);
            progress
        });
        judged(&self.judge, progress, kind, found);
    }
}

/// Whether a step went as it should, or the text is over.
fn judged(judge: &Judge, progress: Progress, kind: Kind, found: &mut Found) -> bool {
    match progress.passage {
        Passage::Whole | Passage::Parts => true,
        Passage::Stopped(_) => false,
        Passage::Unjudged => {
            found.note_unjudged_by(judge, kind);
            false
        }
    }
}

/// Cuts for what begins before the border `at` and ends behind it.
fn note(judge: &Judge, findings: &[Finding], kind: Kind, at: u64, found: &mut Found) {
    let crosses = |one: &&Finding| one.start < at && one.end > at;
    for finding in findings.iter().filter(crosses) {
        let Some((rule, action)) = judge.origin(finding.rule as usize) else { continue };
        let done = if action == Action::Flag { Done::Flagged } else { Done::Cut };
        let (start, end) = (finding.start, finding.end);
        found.note(Hit { rule: Arc::clone(rule), kind, start, end, done });
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::{Fed, Runs};
    use super::*;
    use crate::filter::{Case, Channels, Pattern, READ_BYTES, Redaction, Rule};
    use crate::wire::event::Channel;

    fn rule(pattern: Pattern) -> Rule {
        Rule {
            id: "long".into(),
            about: String::new(),
            channels: Channels::ALL,
            pattern,
            case: Case::Exact,
            action: Action::Redact(Redaction::Marker),
        }
    }

    fn judge(text: &str, action: Action) -> Arc<Judge> {
        let one = Rule { action, ..rule(Pattern::Literals(vec![text.to_owned()])) };
        Arc::new(Judge::of(&[one]))
    }

    fn line(block: u16) -> Line {
        Line::from(Channel { choice: 0, block, part: 0, kind: Kind::Answer })
    }

    /// What leaves of `blocks`, and what is found.
    fn read(rules: &[Rule], blocks: &[&str]) -> (String, Found) {
        let mut runs = Runs::new([Arc::new(Judge::of(rules))]);
        let (mut left, mut found) = (String::new(), Found::default());
        for (block, text) in (0..).zip(blocks) {
            let line = line(block);
            let mut lead = Vec::new();
            let fed = runs.feed(line, text, &mut found);
            if !found.is_cut() {
                runs.finish(|other| other == line, &mut found, &mut lead);
            }
            if found.is_cut() {
                break;
            }
            left.push_str(match &fed {
                Fed::Clear => text,
                Fed::Instead(text) => text,
            });
            left.extend(lead.into_iter().map(|lead| lead.text));
        }
        (left, found)
    }

    #[test]
    fn a_match_over_very_many_blocks_is_read_once() {
        let long = "ab".repeat(1_500) + "!";
        let rules = [rule(Pattern::Literals(vec![long]))];
        for (blocks, ending, is_cut) in
            [(1_500, "!", true), (1_500, "?", false), (1_499, "!", false)]
        {
            let mut blocks = vec!["ab"; blocks];
            blocks.push(ending);
            let before = READ_BYTES.get();
            let (left, found) = read(&rules, &blocks);
            let said = blocks.concat();
            assert_eq!(found.is_cut(), is_cut, "{ending}");
            assert_eq!(left, if is_cut { said.trim_end_matches('!') } else { &said });
            // Inside its block, over the border, and what was let go at its end once more.
            let read = READ_BYTES.get() - before;
            assert!(read <= 3 * said.len(), "{read} bytes for {}", said.len());
        }
    }

    /// A lever adds rules while a text waits: nothing of it leaves that they have not read.
    #[test]
    fn what_waits_while_a_judge_is_added_is_read_by_it() {
        let hides = judge("abcd forbidden word and its end", Action::Redact(Redaction::Marker));
        for (blocks, added_in) in [
            // The second block waits at the border.
            (&[&["ab"][..], &["cd ", "forbidden word"]][..], (1, 1)),
            (&[&["ab"], &["cd forbidden", " word"]], (1, 1)),
            // No border: the first judge alone held it.
            (&[&["abcd forbidden word"]], (0, 1)),
            // Over the next border, which is read on by who has begun before it.
            (&[&["ab"], &["cd for"], &["bidden"]], (1, 1)),
            (&[&["ab"], &["cd for"], &["bid", "den word"]], (1, 1)),
        ] {
            let mut runs = Runs::new([Arc::clone(&hides)]);
            let (mut left, mut found, mut lead) = (String::new(), Found::default(), Vec::new());
            for (block, pieces) in (0..).zip(blocks) {
                for (at, text) in (0..).zip(*pieces) {
                    match runs.feed(line(block), text, &mut found) {
                        Fed::Clear => left.push_str(text),
                        Fed::Instead(text) => left.push_str(&text),
                    }
                    if (block, at + 1) == added_in {
                        runs.add(judge("forbidden", Action::Cut));
                    }
                }
                runs.finish(|other| other == line(block), &mut found, &mut lead);
                left.extend(lead.drain(..).map(|lead| lead.text));
            }
            assert!(found.is_cut(), "{blocks:?}: {left}");
            assert!(!left.contains("forbidden"), "{blocks:?}: {left}");
        }
    }
}
