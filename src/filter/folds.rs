//! Matching on the folded views of a text, beside the raw one.
//!
//! Every rule runs on every view: coverage is the union, and what is held is the earliest of what
//! any view holds or the fold still has to judge. The machines are the same for all views, so the
//! main view needs one of its own only where it differs: as long as the text is its own fold, the
//! raw text's machines speak for both. At the first piece that folds to something else the main
//! view takes over a copy of their places, and gives it back once both stand in the same state
//! before the same text again.
//!
//! Matches are mapped back to whole units of the raw text. The spaced view is for rules that only
//! flag: joined letters make words by accident.

use super::engine::{Engine, Lane};
use super::fold::{Fed, Fold, Folded, View, ViewKind, Wanted};
use super::kept::Kept;
use super::machine::{Hit, MachineCache, New, Place, Unjudged};
use smallvec::SmallVec;

/// The most places in a view where it differs from the raw text, while a match is alive across
/// them.
const EDITS_MAX: usize = 1 << 16;

/// The fold of a channel and the places of the machines on its views.
#[derive(Clone)]
pub(crate) struct Folds {
    fold: Fold,
    out: Folded,
    sides: SmallVec<[Side; 1]>,
}

/// The machines on one view.
#[derive(Clone)]
struct Side {
    kind: ViewKind,
    places: SmallVec<[Place; 1]>,
    text: Kept,
}

impl Side {
    fn new(engine: &Engine, kind: ViewKind, from: u64) -> Self {
        let start = |lane: &Lane| {
            let mut place = lane.machine.start();
            place.shift(from);
            place
        };
        let places = engine.lanes.iter().map(start).collect();
        Self { kind, places, text: Kept { from, ..Kept::default() } }
    }
}

/// What it takes to let machines read on.
struct Scan<'s> {
    engine: &'s Engine,
    caches: &'s mut [MachineCache],
    hits: &'s mut Vec<Hit>,
    /// Bytes of raw text read.
    read: u64,
}

impl Scan<'_> {
    /// Lets the machines of a view read `added`, which begins at `from`.
    fn read_on(
        &mut self,
        side: &mut Side,
        view: &View,
        added: &str,
        from: u64,
        last: bool,
    ) -> Result<(), Unjudged> {
        if added.is_empty() && !last {
            return Ok(());
        }
        let first = self.hits.len();
        let hay = side.text.with(added, from);
        let lanes = self.engine.lanes.iter().zip(&mut side.places).zip(self.caches.iter_mut());
        for ((lane, place), cache) in lanes {
            if lane.holds && side.kind == ViewKind::Spaced {
                (place.live, place.keep) = (hay.end(), hay.end());
                continue;
            }
            lane.machine.advance(cache, place, New { hay, from, last }, self.hits)?;
        }
        for hit in self.hits.iter_mut().skip(first) {
            let range = view.raw_range(hit.start..hit.end);
            let by_end = hit.at > view.end();
            hit.at = if by_end { self.read + 1 } else { view.raw_end(hit.at) };
            (hit.start, hit.end) = (range.start, range.end);
        }
        let keep = side.places.iter().map(|place| place.keep).min().unwrap_or(from);
        side.text.keep(keep, added);
        Ok(())
    }

    /// As `read_on`, for a view of runs: each is a text of its own, or what an ended run leaves
    /// open would be held until there is another. Runs end with a line break that stands for no
    /// raw text. Says whether a run is open.
    fn read_runs(
        &mut self,
        side: &mut Side,
        view: &View,
        added: &str,
        from: u64,
        last: bool,
    ) -> Result<bool, Unjudged> {
        let mut begun = 0;
        for (at, _) in added.match_indices('\n') {
            let position = from + at as u64;
            if !view.raw_range(position..position + 1).is_empty() {
                continue;
            }
            let run = added.get(begun..at).unwrap_or_default();
            self.read_on(side, view, run, from + begun as u64, true)?;
            *side = Side::new(self.engine, side.kind, position + 1);
            begun = at + 1;
        }
        let rest = added.get(begun..).unwrap_or_default();
        self.read_on(side, view, rest, from + begun as u64, last)?;
        Ok(!(rest.is_empty() && begun > 0))
    }
}

impl Folds {
    pub(crate) fn new(wanted: Wanted) -> Self {
        Self { fold: Fold::new(wanted), out: Folded::default(), sides: SmallVec::new() }
    }

    /// Folds the next piece, or the end of the text. `places` and `text` are those of the raw
    /// text, before the piece, which begins at `from`.
    #[inline]
    pub(crate) fn feed(
        &mut self,
        piece: &str,
        last: bool,
        places: &[Place],
        text: &Kept,
        from: u64,
    ) {
        let fed = if last {
            self.fold.finish(&mut self.out);
            Fed::Folded
        } else {
            self.fold.feed(piece, &mut self.out)
        };
        if self.out.is_one() {
            return;
        }
        let has = |kind| self.sides.iter().any(|side| side.kind == kind);
        let waits = self.fold.pending_from().is_some();
        let main = self.out.view(ViewKind::Main);
        let parts = fed == Fed::Folded && !has(ViewKind::Main);
        let parts = parts && (waits || !main.text().is_empty() || !piece.is_empty());
        let spaced = self.fold.is_spaced() && !has(ViewKind::Spaced);
        for (kind, wanted) in [(ViewKind::Main, parts), (ViewKind::Spaced, spaced)] {
            if wanted {
                // The places are moved from positions of the raw text to those of the view.
                let by = self.out.view(kind).begin().wrapping_sub(from);
                let mut places: SmallVec<[Place; 1]> = places.iter().cloned().collect();
                places.iter_mut().for_each(|place| place.shift(by));
                let mut text = text.clone();
                text.from = text.from.wrapping_add(by);
                self.sides.push(Side { kind, places, text });
            }
        }
    }

    /// Lets the machines read what the views have more. Matches are appended, mapped back.
    pub(crate) fn advance(
        &mut self,
        engine: &Engine,
        caches: &mut [MachineCache],
        piece: &str,
        read: u64,
        last: bool,
        hits: &mut Vec<Hit>,
    ) -> Result<(), Unjudged> {
        if self.sides.is_empty() && self.out.is_all() {
            return Ok(());
        }
        for kind in [ViewKind::Hidden, ViewKind::Base64, ViewKind::Hex] {
            if !self.out.view(kind).text().is_empty()
                && !self.sides.iter().any(|side| side.kind == kind)
            {
                self.sides.push(Side::new(engine, kind, self.out.view(kind).begin()));
            }
        }
        let Self { sides, out, .. } = self;
        let mut scan = Scan { engine, caches, hits, read };
        let mut fault = Ok(());
        sides.retain_mut(|side| {
            let view = out.view(side.kind);
            let (added, from) = (view.added(piece), view.begin());
            let open = match side.kind {
                ViewKind::Main | ViewKind::Spaced => {
                    scan.read_on(side, view, added, from, last).map(|()| true)
                }
                ViewKind::Hidden | ViewKind::Base64 | ViewKind::Hex => {
                    scan.read_runs(side, view, added, from, last)
                }
            };
            fault = fault.and(open.map(|_| ()));
            open == Ok(true)
        });
        fault?;
        for at in 0..self.sides.len() {
            let Some(side) = self.sides.get(at) else { break };
            let needed = side.places.iter().map(|place| place.live.min(place.keep)).min();
            let kind = side.kind;
            self.out.discard(kind, needed.unwrap_or(0));
            if self.out.view(kind).edits() > EDITS_MAX {
                return Err(Unjudged::Edits);
            }
        }
        Ok(())
    }

    /// Drops places that say the same again as those that they were copied of.
    #[inline]
    pub(crate) fn rejoin(&mut self, lanes: &[Lane], places: &[Place], text: &Kept, read: u64) {
        if self.sides.is_empty() {
            for kind in [ViewKind::Main, ViewKind::Spaced] {
                if self.out.view(kind).edits() > 1 {
                    let end = self.out.view(kind).end();
                    self.out.discard(kind, end);
                }
            }
            return;
        }
        if self.fold.pending_from().is_none() {
            self.drop_equal(ViewKind::Main, lanes, places, text, read);
        }
        // While the main view stands apart, the raw places do not speak for it.
        if self.fold.is_spaced_at_rest() && !self.has(ViewKind::Main) {
            self.drop_equal(ViewKind::Spaced, lanes, places, text, read);
        }
    }

    fn has(&self, kind: ViewKind) -> bool {
        self.sides.iter().any(|side| side.kind == kind)
    }

    fn drop_equal(
        &mut self,
        kind: ViewKind,
        lanes: &[Lane],
        places: &[Place],
        text: &Kept,
        read: u64,
    ) {
        let Some(at) = self.sides.iter().position(|side| side.kind == kind) else { return };
        let end = self.out.view(kind).end();
        let Some(side) = self.sides.get(at) else { return };
        // Lanes that hold are not run on joined letters.
        let (mut one, mut other) = (u64::MAX, u64::MAX);
        let pairs = lanes.iter().zip(side.places.iter().zip(places));
        for (_, (mine, raw)) in pairs.filter(|(lane, _)| !lane.holds || kind == ViewKind::Main) {
            if !mine.equals(raw, end, read) {
                return;
            }
            (one, other) = (one.min(mine.keep), other.min(raw.keep));
        }
        if side.text.tail(one.min(end)) == text.tail(other.min(read)) {
            self.sides.remove(at);
        }
    }

    /// The earliest raw position that a holding machine on a view, or the fold itself, needs.
    #[inline]
    pub(crate) fn live(&self, engine: &Engine, all: bool) -> u64 {
        let mut live = self.fold.pending_from().unwrap_or(u64::MAX);
        for side in &self.sides {
            if side.kind == ViewKind::Spaced && !all {
                continue;
            }
            let view = self.out.view(side.kind);
            for (lane, place) in engine.lanes.iter().zip(&side.places) {
                if !(lane.holds || all) {
                    continue;
                }
                if place.live < view.end() {
                    live = live.min(view.raw_start(place.live));
                }
                // What folds to nothing is hidden in a span, and is text behind it.
                if place.is_in_span() {
                    live = live.min(view.raw_end(view.end()));
                }
            }
        }
        live
    }

    /// Memory on the heap, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let sides = self.sides.iter().map(|side| side.text.text.capacity());
        size_of::<Self>() + sides.sum::<usize>()
    }
}
