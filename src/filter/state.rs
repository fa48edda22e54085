//! What a scanner knows of its text, and the one step that reads on.
//!
//! Always `keep <= released <= read` for every machine's `keep`: bytes are kept from the earliest
//! live start on, even where they are decided, because another rule may still be alive across
//! them.

use super::cover::{Cover, Run, add};
use super::engine::Engine;
use super::folds::Folds;
use super::kept::Kept;
use super::machine::{Effect, Hit, MachineCache, New, Place, Unjudged};
use super::release::{Finding, Release, Stop};
use smallvec::SmallVec;

/// Everything about a channel but its engine.
#[derive(Clone)]
pub(crate) struct State {
    places: SmallVec<[Place; 1]>,
    folds: Option<Box<Folds>>,
    text: Kept,
    /// Bytes read.
    pub read: u64,
    /// Everything before is out or hidden.
    pub released: u64,
    /// Stretches to hide that are not out yet: sorted, apart from each other.
    covers: SmallVec<[Cover; 1]>,
    run: Option<Box<Run>>,
    open: Vec<Finding>,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The piece passes as it is.
    Whole,
    /// The release says what goes.
    Parts,
    /// The text stops here.
    Stopped(Stop),
    /// Something in the piece stops the text, but where is not known: the state is void.
    Somewhere,
}

/// How a step is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// A piece of any length.
    Piece,
    /// A single character: a stop in it is a stop behind it.
    Letter,
    /// The end of the text.
    Last,
}

impl State {
    pub(crate) fn new(engine: &Engine) -> Self {
        Self {
            places: engine.lanes.iter().map(|lane| lane.machine.start()).collect(),
            folds: engine.fold.map(|wanted| Box::new(Folds::new(wanted))),
            text: Kept::default(),
            read: 0,
            released: 0,
            covers: SmallVec::new(),
            run: None,
            open: Vec::new(),
        }
    }

    /// Memory on the heap, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let folds = self.folds.as_ref().map_or(0, |folds| folds.heap_bytes());
        self.text.text.capacity() + self.open.capacity() * size_of::<Finding>() + folds
    }

    /// Nothing is hidden that is not out yet.
    fn is_plain(&self) -> bool {
        self.covers.is_empty() && self.run.is_none()
    }

    /// Nothing waits.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_plain() && self.released == self.read
    }

    /// Reads a piece and appends to `out` what is decided, unless the piece passes whole.
    pub(crate) fn step(
        &mut self,
        engine: &Engine,
        caches: &mut [MachineCache],
        hits: &mut Vec<Hit>,
        piece: &str,
        pace: Pace,
        out: &mut Release,
    ) -> Result<Step, Unjudged> {
        let from = self.read;
        let last = pace == Pace::Last;
        hits.clear();
        if let Some(folds) = &mut self.folds {
            folds.feed(piece, last, &self.places, &self.text, from);
        }
        let hay = self.text.with(piece, from);
        let read = hay.end();
        for ((lane, place), cache) in
            engine.lanes.iter().zip(&mut self.places).zip(caches.iter_mut())
        {
            lane.machine.advance(cache, place, New { hay, from, last }, hits)?;
        }
        if let Some(folds) = &mut self.folds {
            folds.advance(engine, caches, piece, read, last, hits)?;
        }
        self.read = read;
        let stop = if engine.stops { stop_of(hits, last, read) } else { None };
        if stop.is_some() && pace == Pace::Piece {
            return Ok(Step::Somewhere);
        }
        let mut live = if last { read } else { self.live(engine) };
        if let Some(stop) = stop {
            live = live.min(stop.start);
        }
        if !hits.is_empty() {
            self.take(hits);
        }
        let ends = last || stop.is_some();
        if !self.open.is_empty() {
            self.close_findings(engine, ends, out);
        }
        if self.is_plain() && self.released == from && live == read && !ends {
            self.released = read;
            self.keep(engine, piece);
            return Ok(Step::Whole);
        }
        let mut upto = live.max(self.released);
        if let Some(cover) = self.covers.iter().find(|c| c.start <= upto && upto < c.end) {
            upto = cover.end.min(read);
        }
        self.emit(engine, upto, piece, out);
        if ends {
            self.end_run(engine, out);
        }
        if let Some(stop) = stop {
            return Ok(Step::Stopped(stop));
        }
        self.keep(engine, piece);
        Ok(Step::Parts)
    }

    /// The earliest start that is undecided.
    #[inline]
    fn live(&self, engine: &Engine) -> u64 {
        let holding = engine.lanes.iter().zip(&self.places).filter(|(lane, _)| lane.holds);
        let raw = holding.map(|(_, place)| place.live).fold(self.read, u64::min);
        self.folds.as_ref().map_or(raw, |folds| raw.min(folds.live(engine, false)))
    }

    /// Keeps what is needed of the text.
    #[inline]
    fn keep(&mut self, engine: &Engine, piece: &str) {
        let from = self.places.iter().map(|place| place.keep).fold(self.released, u64::min);
        self.text.keep(from, piece);
        if let Some(folds) = &mut self.folds {
            folds.rejoin(&engine.lanes, &self.places, &self.text, self.read);
        }
    }

    /// Takes in what was confirmed.
    fn take(&mut self, hits: &[Hit]) {
        for hit in hits {
            if hit.effect == Effect::Hide {
                if let Some(run) = self.run.as_mut().filter(|run| run.start == hit.start) {
                    run.rule = run.rule.min(hit.rule);
                }
                if hit.end > self.released {
                    let Hit { start, end, rule, .. } = *hit;
                    add(&mut self.covers, Cover { start, end, rule, is_shared: false });
                }
            }
            self.note(hit);
        }
    }

    /// Adds a match to the findings: those of one rule that touch are one.
    fn note(&mut self, hit: &Hit) {
        let Hit { start, end, rule, at, overflow, .. } = *hit;
        let mut all = Finding { start, end, rule, at, overflow };
        self.open.retain(|known| {
            let touches =
                known.rule == all.rule && known.start <= all.end && all.start <= known.end;
            if touches {
                all.start = all.start.min(known.start);
                all.end = all.end.max(known.end);
                all.at = all.at.min(known.at);
                all.overflow |= known.overflow;
            }
            !touches
        });
        self.open.push(all);
    }

    /// Reports the findings that no later match can touch.
    fn close_findings(&mut self, engine: &Engine, all: bool, out: &mut Release) {
        let raw = self.places.iter().map(|place| place.live).min().unwrap_or(u64::MAX);
        let live = self.folds.as_ref().map_or(raw, |folds| raw.min(folds.live(engine, true)));
        self.open.retain(|finding| {
            let closed = all || finding.end < live;
            if closed {
                out.findings.push(*finding);
            }
            !closed
        });
        out.findings.sort_unstable();
    }

    /// Releases up to `upto`: text, and marks where it is hidden.
    fn emit(&mut self, engine: &Engine, upto: u64, piece: &str, out: &mut Release) {
        let mut position = self.released;
        self.released = upto;
        if !self.covers.is_empty() {
            let mut covers = std::mem::take(&mut self.covers);
            for cover in covers.iter().filter(|cover| cover.start < upto) {
                let (start, end) = (cover.start.max(position), cover.end.min(upto));
                if start > position {
                    self.end_run(engine, out);
                    out.text.push_str(self.text.slice(piece, position, start));
                }
                let fresh = || Box::new(Run::new(cover.rule, start, &engine.digest_key()));
                let run = self.run.get_or_insert_with(fresh);
                run.join(cover);
                run.write(self.text.slice(piece, start, end));
                position = position.max(end);
            }
            covers.retain(|cover| cover.end > upto);
            self.covers = covers;
        }
        if position < upto {
            self.end_run(engine, out);
            out.text.push_str(self.text.slice(piece, position, upto));
        }
    }

    fn end_run(&mut self, engine: &Engine, out: &mut Release) {
        if let Some(run) = self.run.take() {
            let redaction = engine.redaction(run.rule);
            run.report(redaction, out);
        }
    }
}

/// What stops the text behind this step, if anything does.
fn stop_of(hits: &[Hit], last: bool, read: u64) -> Option<Stop> {
    let stops = || hits.iter().filter(|hit| hit.effect == Effect::Stop);
    let rule = stops().map(|hit| hit.rule).min()?;
    let start = stops().map(|hit| hit.start).min()?;
    Some(Stop { rule, start, at: read + u64::from(last) })
}
