//! The texts of one answer, each with a scanner of every ruleset that guards it.
//!
//! Rulesets stand one behind another: what the first lets go is what the second reads. So each of
//! them sees what the client would see without it, and what leaves has passed them all.

use super::Lead;
use super::border::{Border, Tail, Watches};
use super::desk::with_desk;
use super::found::{Done, Found, Hit};
use super::line::Line;
use crate::filter::{Action, Cache, Engine, Passage, Progress, Release, Scanner};
use crate::table::rules::{Judge, Reroutes};
use crate::wire::event::Kind;
use crate::wire::reframe::Mould;
use smallvec::SmallVec;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// The most channels of one answer that are followed over frames; texts of further ones are judged
/// frame by frame.
const RUNS_MAX: usize = 4096;

/// How a text fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// It leaves as it came.
    Clear,
    /// This leaves instead.
    Instead(String),
}

/// The texts of one answer.
#[derive(Debug)]
pub(super) struct Runs {
    layers: SmallVec<[Layer; 1]>,
    moulds: Vec<(Line, Box<Mould>)>,
    /// Lines that ended where a match could have gone on: more of them cannot be judged.
    ended: HashSet<Line>,
    /// What such lines let go at their end, the last of each choice and kind.
    tails: Vec<Tail>,
    /// Lines behind them, at their beginning.
    borders: Vec<Border>,
}

/// One ruleset and its scanners.
struct Layer {
    judge: Arc<Judge>,
    /// Whether it only reads: the text goes on as it came, to the end.
    only_reads: bool,
    runs: Vec<(Line, Scanner)>,
    /// Where the last one was found.
    last: usize,
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<Line> = self.runs.iter().map(|(line, _)| *line).collect();
        f.debug_struct("Layer")
            .field("judge", &self.judge.id)
            .field("lines", &lines)
            .finish_non_exhaustive()
    }
}

impl Layer {
    fn new(judge: Arc<Judge>) -> Layer {
        Layer { judge, only_reads: false, runs: Vec::new(), last: 0 }
    }

    fn reading(judge: Arc<Judge>) -> Layer {
        Layer { only_reads: true, ..Layer::new(judge) }
    }

    fn position(&self, line: Line) -> Option<usize> {
        if self.runs.get(self.last).is_some_and(|(known, _)| *known == line) {
            return Some(self.last);
        }
        self.runs.iter().position(|(known, _)| *known == line)
    }

    /// The scanner of a text; `None` if too many are followed.
    fn scanner(&mut self, line: Line, engine: &Arc<Engine>) -> Option<&mut Scanner> {
        self.last = match self.position(line) {
            Some(at) => at,
            None if self.runs.len() >= RUNS_MAX => return None,
            None => {
                self.runs.push((line, Scanner::new(engine)));
                self.runs.len() - 1
            }
        };
        self.runs.get_mut(self.last).map(|(_, scanner)| scanner)
    }
}

impl Runs {
    pub(super) fn new(judges: impl IntoIterator<Item = Arc<Judge>>) -> Runs {
        Runs::of(judges.into_iter().map(Layer::new).collect())
    }

    /// The texts of a prompt: rules that reroute only read there, beside the others.
    pub(super) fn of_prompt(judges: impl IntoIterator<Item = Arc<Judge>>) -> Runs {
        let mut layers = SmallVec::new();
        for judge in judges {
            match judge.reroutes() {
                Reroutes::None => layers.push(Layer::new(judge)),
                Reroutes::All => layers.push(Layer::reading(judge)),
                Reroutes::Apart { rerouting, others } => {
                    layers.push(Layer::reading(Arc::clone(rerouting)));
                    layers.push(Layer::new(Arc::clone(others)));
                }
            }
        }
        Runs::of(layers)
    }

    fn of(layers: SmallVec<[Layer; 1]>) -> Runs {
        Runs {
            layers,
            moulds: Vec::new(),
            ended: HashSet::new(),
            tails: Vec::new(),
            borders: Vec::new(),
        }
    }

    /// Adds a ruleset, which reads what comes from now on.
    pub(super) fn add(&mut self, judge: Arc<Judge>) {
        self.layers.push(Layer::new(judge));
    }

    /// More text of a line.
    pub(super) fn feed(&mut self, line: Line, text: &str, found: &mut Found) -> Fed {
        if !self.tails.is_empty() || !self.borders.is_empty() {
            return self.feed_at_border(line, text, found);
        }
        self.feed_inside(line, text, found)
    }

    /// The same where another text of its kind may have ended in the middle of a match.
    fn feed_at_border(&mut self, line: Line, text: &str, found: &mut Found) -> Fed {
        // Blocks open with one.
        if text.is_empty() {
            return Fed::Clear;
        }
        let begins = self.layers.iter().all(|layer| layer.position(line).is_none());
        if begins && let Some(at) = self.tails.iter().position(|tail| tail.is_before(line)) {
            let tail = self.tails.swap_remove(at);
            if tail.line != line {
                let judges = self.layers.iter().map(|layer| &layer.judge);
                self.borders.push(Border::new(line, tail, judges, found));
                // It is known to have begun, though nothing of it was read.
                for layer in &mut self.layers {
                    let judge = Arc::clone(&layer.judge);
                    if let Some(engine) = judge.ruleset.engine(line.channel.kind) {
                        layer.scanner(line, engine);
                    }
                }
            }
        }
        let Some(at) = self.borders.iter().position(|border| border.line == line) else {
            return self.feed_inside(line, text, found);
        };
        let Some(clear) = self.borders.get_mut(at).and_then(|border| border.push(text, found))
        else {
            return Fed::Instead(String::new());
        };
        self.borders.swap_remove(at);
        if found.is_cut() {
            return Fed::Instead(String::new());
        }
        match self.feed_inside(line, &clear, found) {
            Fed::Clear => unless_same(clear, text),
            Fed::Instead(left) => unless_same(left, text),
        }
    }

    fn feed_inside(&mut self, line: Line, text: &str, found: &mut Found) -> Fed {
        let kind = line.channel.kind;
        let mut fed = Fed::Clear;
        if !self.ended.is_empty() && !text.is_empty() && self.ended.contains(&line) {
            found.cut_unchangeable();
            return Fed::Instead(String::new());
        }
        for layer in &mut self.layers {
            let judge = Arc::clone(&layer.judge);
            let Some(engine) = judge.ruleset.engine(kind) else { continue };
            let piece = match &fed {
                Fed::Clear => text,
                Fed::Instead(text) => text,
            };
            let next = match layer.scanner(line, engine) {
                Some(scanner) => {
                    scan(&judge, kind, found, |cache, out| scanner.push(cache, piece, out))
                }
                None => alone(&judge, engine, kind, piece, found),
            };
            if let Fed::Instead(_) = next
                && !layer.only_reads
            {
                fed = next;
            }
        }
        fed
    }

    /// A text that stands whole where it is.
    pub(super) fn whole(&self, kind: Kind, text: &str, found: &mut Found) -> Fed {
        self.models(kind, text, found);
        let mut fed = Fed::Clear;
        for layer in &self.layers {
            let Some(engine) = layer.judge.ruleset.engine(kind) else { continue };
            let piece = match &fed {
                Fed::Clear => text,
                Fed::Instead(text) => text,
            };
            if let next @ Fed::Instead(_) = alone(&layer.judge, engine, kind, piece, found)
                && !layer.only_reads
            {
                fed = next;
            }
        }
        fed
    }

    /// What models say of a text that stands whole.
    pub(super) fn models(&self, kind: Kind, text: &str, found: &mut Found) {
        for layer in &self.layers {
            for (rule, part) in layer.judge.models(kind) {
                if part.model.score(text) > part.above {
                    found.note(Hit::of_whole(rule, kind, text, part.action));
                }
            }
        }
    }

    /// A text of `kind` could not be read: what rules say of that.
    pub(super) fn unjudged(&self, kind: Kind, found: &mut Found) {
        let mut reads = self.layers.iter().filter(|layer| layer.judge.reads(kind)).peekable();
        if reads.peek().is_none() {
            return;
        }
        found.note_unjudged();
        if reads.any(|layer| layer.judge.cuts_unjudged(kind)) {
            found.cut_unchangeable();
        }
    }

    /// The lines for which `ends` is true have ended; what they still let go is added to `lead`.
    pub(super) fn finish(
        &mut self,
        ends: impl Fn(Line) -> bool,
        found: &mut Found,
        lead: &mut Vec<Lead>,
    ) {
        let mut ended: SmallVec<[Line; 4]> = SmallVec::new();
        for (line, _) in self.layers.iter().flat_map(|layer| &layer.runs) {
            if ends(*line) && !ended.contains(line) {
                ended.push(*line);
            }
        }
        for line in ended {
            let kind = line.channel.kind;
            let (mut rest, mut read_by, mut waited) = (String::new(), Watches::new(), false);
            if let Some(at) = self.borders.iter().position(|border| border.line == line) {
                (rest, read_by) = self.borders.swap_remove(at).end(found);
                if found.is_cut() {
                    continue;
                }
                waited = true;
            }
            for layer in &mut self.layers {
                let judge = &layer.judge;
                let mut scanner = match (layer.position(line), judge.ruleset.engine(kind)) {
                    (Some(at), _) => layer.runs.swap_remove(at).1,
                    // It was added while what comes now waited.
                    (None, Some(engine)) if !rest.is_empty() => Scanner::new(engine),
                    (None, _) => continue,
                };
                let is_undecided = waited || scanner.read() > scanner.released();
                if line.member == 0 && is_undecided {
                    if self.ended.len() < RUNS_MAX {
                        self.ended.insert(line);
                    } else {
                        found.cut_unchangeable();
                    }
                }
                let mut next = String::new();
                if !rest.is_empty() {
                    match scan(judge, kind, found, |c, out| scanner.push(c, &rest, out)) {
                        Fed::Clear => next.push_str(&rest),
                        Fed::Instead(text) => next.push_str(&text),
                    }
                }
                if let Fed::Instead(text) =
                    scan(judge, kind, found, |c, out| scanner.finish(c, out))
                {
                    next.push_str(&text);
                }
                if !layer.only_reads {
                    rest = next;
                }
            }
            let mould = self.moulds.iter().position(|(known, _)| *known == line);
            let mould = mould.map(|at| self.moulds.swap_remove(at).1);
            if !rest.is_empty() {
                if line.member == 0 {
                    self.tails.retain(|tail| !tail.is_before(line));
                    self.tails.push(Tail { line, text: rest.clone(), read_by });
                }
                lead.push(Lead { line, text: rest, mould });
            }
        }
    }

    /// Keeps what frames of a line are made from, which may hold text.
    pub(super) fn keep_mould(&mut self, line: Line, mould: impl FnOnce() -> Option<Mould>) {
        let is_known = self.moulds.iter().any(|(known, _)| *known == line);
        if !is_known && let Some(mould) = mould() {
            self.moulds.push((line, Box::new(mould)));
        }
    }

    /// Forgets all texts and what they hold.
    pub(super) fn forget_held(&mut self) {
        for layer in &mut self.layers {
            layer.runs = Vec::new();
        }
        self.moulds = Vec::new();
        self.ended = HashSet::new();
        self.tails = Vec::new();
        self.borders = Vec::new();
    }
}

/// A whole text by one ruleset.
fn alone(judge: &Judge, engine: &Arc<Engine>, kind: Kind, text: &str, found: &mut Found) -> Fed {
    let mut scanner = Scanner::new(engine);
    let first = scan(judge, kind, found, |cache, out| scanner.push(cache, text, out));
    let last = scan(judge, kind, found, |cache, out| scanner.finish(cache, out));
    match (first, last) {
        (Fed::Clear, Fed::Clear) => Fed::Clear,
        (Fed::Clear, Fed::Instead(last)) if last.is_empty() => Fed::Clear,
        (Fed::Clear, Fed::Instead(last)) => Fed::Instead(format!("{text}{last}")),
        (Fed::Instead(first), Fed::Clear) => unless_same(first, text),
        (Fed::Instead(first), Fed::Instead(last)) => unless_same(first + &last, text),
    }
}

fn unless_same(left: String, text: &str) -> Fed {
    if left == text { Fed::Clear } else { Fed::Instead(left) }
}

/// One step of a scanner, and what came of it.
fn scan(
    judge: &Judge,
    kind: Kind,
    found: &mut Found,
    step: impl FnOnce(&mut Cache, &mut Release) -> Progress,
) -> Fed {
    with_desk(|cache, release| {
        let progress = step(cache, release);
        for finding in &release.findings {
            let Some((rule, action)) = judge.origin(finding.rule as usize) else { continue };
            let done = match action {
                Action::Flag => Done::Flagged,
                Action::Redact(_) => Done::Redacted,
                Action::Reroute => Done::Rerouted,
                Action::Cut => Done::Cut,
            };
            found.note(Hit {
                rule: Arc::clone(rule),
                kind,
                start: finding.start,
                end: finding.end,
                done,
            });
        }
        match progress.passage {
            Passage::Whole => Fed::Clear,
            Passage::Unjudged => {
                found.note_unjudged_by(judge, kind);
                if judge.cuts_unjudged(kind) { Fed::Instead(String::new()) } else { Fed::Clear }
            }
            Passage::Parts | Passage::Stopped(_) => {
                let is_stopped = matches!(progress.passage, Passage::Stopped(_));
                if is_stopped && !found.is_cut() && !found.is_reroute() {
                    found.cut_unchangeable();
                }
                let mut text = String::with_capacity(release.text.len() + 32);
                release.write(&judge.ruleset, &mut text);
                Fed::Instead(text)
            }
        }
    })
}
