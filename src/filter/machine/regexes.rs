//! Regular expressions, three automata, each where it is cheapest.
//!
//! * Forward unions, as lazy DFAs: did something end here? Most rules share one. Those whose
//!   states multiply on text without structure are kept apart, or the union would have to build
//!   the product of their counters.
//! * The reversed prefix closure of all rules, as a lazy DFA: how far back is something alive?
//!   Run backwards from the end of the text, it dies after a byte or two of clean text.
//! * For each rule a small anchored DFA, used only from its first confirmed match on: its
//!   [threads](super::threads). Detectors have a reversed one instead, which finds every start of
//!   a candidate.
//!
//! The kept text *is* the state of the lazy automata: a lazy state belongs to one worker's cache
//! and may be dropped at any time. The place carries the last states only as a hint, with the
//! cache they are of and how often that had been cleared; where the hint does not hold, the kept
//! text is read again.
//!
//! `gap` bounds how long a rule stays undecided, so looking back `window` bytes is enough: what
//! began earlier and is alive has matched, and its threads know it.

use super::span::{OpenSpans, Opening, SpanRule};
use super::threads::{Anchor, Threads};
use super::{Effect, Hay, Hit, Unjudged};
use crate::filter::check::Check;
use regex_automata::dfa::{Automaton, dense};
use regex_automata::hybrid::{LazyStateID, dfa as lazy};
use regex_automata::util::start;
use regex_automata::{Anchored, PatternID};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a rule's expression is for.
#[derive(Clone)]
pub(crate) enum Role {
    /// A match is a match.
    Match { effect: Effect, anchor: Arc<Anchor> },
    /// A match opens a span, by its index.
    Open { span: u32, anchor: Arc<Anchor> },
    /// A match is a candidate.
    Candidate { effect: Effect, check: Arc<Check>, reversed: Arc<dense::DFA<Vec<u32>>> },
}

/// One expression.
#[derive(Clone)]
pub(crate) struct Item {
    pub rule: u32,
    pub role: Role,
}

/// A forward automaton and whose matches it reports.
pub(crate) struct Union {
    pub dfa: lazy::DFA,
    pub items: Vec<u32>,
}

/// The automata of a set of expressions.
pub(crate) struct Regexes {
    pub items: Vec<Item>,
    pub spans: Vec<SpanRule>,
    pub unions: Vec<Union>,
    pub closure: lazy::DFA,
    /// Bytes after which a start has matched or is dead.
    pub window: u64,
}

/// What a worker keeps.
pub(crate) struct RegexCache {
    stamp: u64,
    unions: Vec<lazy::Cache>,
    closure: lazy::Cache,
    ends: Vec<(u32, u64)>,
}

/// A number that no other cache has: hints of one must not be read with another.
fn stamp() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(1);
    LAST.fetch_add(1, Ordering::Relaxed)
}

impl Clone for RegexCache {
    fn clone(&self) -> Self {
        Self {
            stamp: stamp(),
            unions: self.unions.clone(),
            closure: self.closure.clone(),
            ends: Vec::new(),
        }
    }
}

impl RegexCache {
    /// Memory of the lazy automata, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let unions: usize = self.unions.iter().map(lazy::Cache::memory_usage).sum();
        unions + self.closure.memory_usage()
    }

    /// How often the lazy automata had to be dropped.
    pub(crate) fn clear_count(&self) -> usize {
        let unions: usize = self.unions.iter().map(lazy::Cache::clear_count).sum();
        unions + self.closure.clear_count()
    }
}

/// Where the expressions stand in a text.
#[derive(Clone)]
pub(crate) struct Follow {
    /// Rules that matched and may grow.
    awake: Vec<(u32, Threads)>,
    spans: Vec<OpenSpans>,
    hint_stamp: u64,
    hints: SmallVec<[(LazyStateID, u32); 4]>,
}

impl Follow {
    /// Is nothing followed?
    pub(crate) fn is_idle(&self) -> bool {
        self.awake.is_empty() && self.spans.is_empty()
    }

    /// Moves all positions by `by`, modulo 2^64.
    pub(crate) fn shift(&mut self, by: u64) {
        self.awake.iter_mut().for_each(|awake| awake.1.shift(by));
        self.spans.iter_mut().for_each(|open| open.shift(by));
    }
}

impl Regexes {
    pub(crate) fn start(&self) -> Follow {
        Follow { awake: Vec::new(), spans: Vec::new(), hint_stamp: 0, hints: SmallVec::new() }
    }

    pub(crate) fn cache(&self) -> RegexCache {
        RegexCache {
            stamp: stamp(),
            unions: self.unions.iter().map(|union| union.dfa.create_cache()).collect(),
            closure: self.closure.create_cache(),
            ends: Vec::new(),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let nfas = |dfa: &lazy::DFA| dfa.get_nfa().memory_usage();
        let unions: usize = self.unions.iter().map(|union| nfas(&union.dfa)).sum();
        unions + nfas(&self.closure)
    }

    /// Reads on, as [`super::Machine::advance`] does. `keep` is where the kept text begins.
    pub(crate) fn advance(
        &self,
        cache: &mut RegexCache,
        follow: &mut Follow,
        keep: u64,
        hay: Hay<'_>,
        from: u64,
        last: bool,
        hits: &mut Vec<Hit>,
    ) -> Result<(), Unjudged> {
        cache.ends.clear();
        self.find_ends(cache, follow, keep, hay, from, last)?;
        if !(cache.ends.is_empty() && follow.is_idle()) {
            let mut ends = std::mem::take(&mut cache.ends);
            ends.sort_unstable_by_key(|end| end.1);
            self.settle(&ends, follow, keep, hay, from, last, hits);
            cache.ends = ends;
        }
        Ok(())
    }

    /// Collects which expressions end where in the new text.
    #[inline]
    fn find_ends(
        &self,
        cache: &mut RegexCache,
        follow: &mut Follow,
        keep: u64,
        hay: Hay<'_>,
        from: u64,
        last: bool,
    ) -> Result<(), Unjudged> {
        let hinted = follow.hint_stamp == cache.stamp && follow.hints.len() == self.unions.len();
        if !hinted {
            follow.hints.clear();
        }
        let piece = hay.slice(from, hay.end());
        for (index, (union, lazy)) in self.unions.iter().zip(&mut cache.unions).enumerate() {
            let hint = follow.hints.get(index).copied();
            let mut state = match hint {
                Some((state, clears)) if clears as usize == lazy.clear_count() => state,
                _ => {
                    let config =
                        start::Config::new().anchored(Anchored::No).look_behind(hay.before(keep));
                    let mut state = union.dfa.start_state(lazy, &config).map_err(|_| Unjudged)?;
                    for byte in hay.slice(keep, from) {
                        state = union.dfa.next_state(lazy, state, *byte).map_err(|_| Unjudged)?;
                    }
                    state
                }
            };
            for (place, byte) in piece.iter().enumerate() {
                state = union.dfa.next_state(lazy, state, *byte).map_err(|_| Unjudged)?;
                if state.is_match() {
                    union.report(lazy, state, from + place as u64, &mut cache.ends);
                }
            }
            if last {
                state = union.dfa.next_eoi_state(lazy, state).map_err(|_| Unjudged)?;
                if state.is_match() {
                    union.report(lazy, state, hay.end(), &mut cache.ends);
                }
            }
            let hint = (state, lazy.clear_count() as u32);
            match follow.hints.get_mut(index) {
                Some(slot) => *slot = hint,
                None => follow.hints.push(hint),
            }
        }
        follow.hint_stamp = cache.stamp;
        Ok(())
    }

    /// The earliest position from which an unconfirmed match may still begin.
    pub(crate) fn alive_from(
        &self,
        cache: &mut RegexCache,
        keep: u64,
        hay: Hay<'_>,
    ) -> Result<u64, Unjudged> {
        let end = hay.end();
        let least = keep.max(end.saturating_sub(self.window));
        let config = start::Config::new().anchored(Anchored::Yes);
        let lazy = &mut cache.closure;
        let mut state = self.closure.start_state(lazy, &config).map_err(|_| Unjudged)?;
        let mut alive = end;
        let mut position = end;
        for byte in hay.slice(least, end).iter().rev() {
            state = self.closure.next_state(lazy, state, *byte).map_err(|_| Unjudged)?;
            if state.is_tagged() {
                if state.is_match() {
                    alive = position;
                } else if state.is_dead() {
                    return Ok(alive);
                }
            }
            position -= 1;
        }
        // What stands before the first byte decides an assertion there.
        state = match hay.before(least) {
            Some(byte) => self.closure.next_state(lazy, state, byte),
            None => self.closure.next_eoi_state(lazy, state),
        }
        .map_err(|_| Unjudged)?;
        Ok(if state.is_match() { least } else { alive })
    }

    /// The earliest start that threads and open spans still follow.
    #[inline]
    pub(crate) fn followed_from(&self, follow: &Follow) -> u64 {
        if follow.is_idle() {
            return u64::MAX;
        }
        // The threads of an opening matter for the next opening, and only that text waits.
        let threads = follow.awake.iter().filter_map(|awake| awake.1.earliest());
        let spans = follow.spans.iter().filter_map(|open| {
            self.spans.get(open.span as usize).and_then(|rule| open.waits_from(rule))
        });
        threads.chain(spans).min().unwrap_or(u64::MAX)
    }

    /// Turns ends into matches with their starts.
    fn settle(
        &self,
        ends: &[(u32, u64)],
        follow: &mut Follow,
        keep: u64,
        hay: Hay<'_>,
        from: u64,
        last: bool,
        hits: &mut Vec<Hit>,
    ) {
        let mut openings: Vec<Opening> = Vec::new();
        // How far each rule was followed here: where it stopped early, nothing was alive.
        let mut followed: SmallVec<[(u32, u64); 4]> = SmallVec::new();
        let end = hay.end();
        follow.awake.retain_mut(|(index, threads)| {
            let Some(item) = self.items.get(*index as usize) else { return false };
            let upto = self.grow(item, threads, hay, from, last, &mut openings, hits);
            followed.push((*index, upto));
            !threads.is_empty()
        });
        for (index, ended) in ends {
            let Some(item) = self.items.get(*index as usize) else { continue };
            let anchor = match &item.role {
                Role::Candidate { effect, check, reversed } => {
                    if let Some(start) = passing(reversed, check, hay, keep, *ended) {
                        let at = confirmed_at(hay, *ended);
                        let effect = *effect;
                        hits.push(Hit {
                            rule: item.rule,
                            start,
                            end: *ended,
                            at,
                            effect,
                            overflow: false,
                        });
                    }
                    continue;
                }
                Role::Match { anchor, .. } | Role::Open { anchor, .. } => anchor,
            };
            let known = followed.iter().position(|known| known.0 == *index);
            let read = known.and_then(|at| followed.get(at)).map_or(0, |known| known.1);
            if *ended < read {
                continue;
            }
            let begin = keep.max(ended.saturating_sub(self.window)).max(read);
            let mut threads = Threads::default();
            let Some(start) = replay(anchor, &mut threads, hay, begin, *ended) else { continue };
            self.report(item, hay, start, *ended, &mut openings, hits);
            let upto = self.grow(item, &mut threads, hay, ended + 1, last, &mut openings, hits);
            match known.and_then(|at| followed.get_mut(at)) {
                Some(known) => known.1 = upto,
                None => followed.push((*index, upto)),
            }
            if !threads.is_empty() && !last {
                follow.awake.push((*index, threads));
            }
        }
        if last {
            follow.awake.clear();
        }
        self.follow_spans(openings, follow, hay, from, last, hits);
        debug_assert!(followed.iter().all(|known| known.1 <= end + 1));
    }

    /// Lets the threads of a rule read on from `from`. Returns the first position not read.
    fn grow(
        &self,
        item: &Item,
        threads: &mut Threads,
        hay: Hay<'_>,
        from: u64,
        last: bool,
        openings: &mut Vec<Opening>,
        hits: &mut Vec<Hit>,
    ) -> u64 {
        let (Role::Match { anchor, .. } | Role::Open { anchor, .. }) = &item.role else {
            return from;
        };
        let end = hay.end();
        if from > end {
            return from;
        }
        let upto = threads.run(anchor, hay, from, end, |start, ended| {
            self.report(item, hay, start, ended, openings, hits);
        });
        if !last || upto < end || threads.is_empty() {
            return upto;
        }
        if let Some(start) = threads.finish(anchor) {
            self.report(item, hay, start, end, openings, hits);
        }
        end + 1
    }

    fn report(
        &self,
        item: &Item,
        hay: Hay<'_>,
        start: u64,
        end: u64,
        openings: &mut Vec<Opening>,
        hits: &mut Vec<Hit>,
    ) {
        let at = confirmed_at(hay, end);
        match item.role {
            Role::Match { effect, .. } => {
                // A match that grows by a byte at a time is one hit.
                let grown = hits.last_mut().filter(|hit| {
                    effect != Effect::Stop
                        && (hit.rule, hit.effect) == (item.rule, effect)
                        && hit.start <= start
                        && hit.end + 1 == end
                });
                match grown {
                    Some(hit) => hit.end = end,
                    None => {
                        hits.push(Hit { rule: item.rule, start, end, at, effect, overflow: false })
                    }
                }
            }
            Role::Open { span, .. } => openings.push(Opening { span, start, end, at }),
            Role::Candidate { .. } => {}
        }
    }

    fn follow_spans(
        &self,
        mut openings: Vec<Opening>,
        follow: &mut Follow,
        hay: Hay<'_>,
        from: u64,
        last: bool,
        hits: &mut Vec<Hit>,
    ) {
        openings.sort_by_key(|opening| (opening.span, opening.end));
        for opening in &openings {
            if !follow.spans.iter().any(|open| open.span == opening.span) {
                follow.spans.push(OpenSpans::new(opening.span));
            }
        }
        for open in &mut follow.spans {
            let Some(rule) = self.spans.get(open.span as usize) else { continue };
            let first = openings.partition_point(|opening| opening.span < open.span);
            let behind = openings.partition_point(|opening| opening.span <= open.span);
            let mine = openings.get(first..behind).unwrap_or_default();
            open.advance(rule, mine, hay, from, last, hits);
        }
        follow.spans.retain(|open| !open.is_empty());
    }
}

impl Union {
    #[cold]
    fn report(&self, lazy: &lazy::Cache, state: LazyStateID, end: u64, ends: &mut Vec<(u32, u64)>) {
        for index in 0..self.dfa.match_len(lazy, state) {
            let pattern: PatternID = self.dfa.match_pattern(lazy, state, index);
            if let Some(item) = self.items.get(pattern.as_usize()) {
                ends.push((*item, end));
            }
        }
    }
}

/// Where a match that ends at `end` is confirmed: behind the next character, or past the end.
fn confirmed_at(hay: Hay<'_>, end: u64) -> u64 {
    if end < hay.end() { hay.border_after(end + 1) } else { end + 1 }
}

/// Follows a rule from nothing over `from..=ended`; the earliest start that matches there.
fn replay(
    anchor: &Anchor,
    threads: &mut Threads,
    hay: Hay<'_>,
    from: u64,
    ended: u64,
) -> Option<u64> {
    let mut behind = hay.before(from);
    let mut hit = None;
    let mut position = from;
    for byte in hay.slice(from, ended + 1) {
        hit = threads.step(anchor, position, behind, *byte);
        behind = Some(*byte);
        position += 1;
    }
    if position <= ended {
        hit = threads.finish(anchor);
    }
    hit
}

/// The earliest start of a candidate that ends at `end` and passes.
fn passing(
    reversed: &dense::DFA<Vec<u32>>,
    check: &Check,
    hay: Hay<'_>,
    keep: u64,
    end: u64,
) -> Option<u64> {
    let config = start::Config::new().anchored(Anchored::Yes).look_behind(hay.at(end));
    let mut state = reversed.start_state(&config).ok()?;
    let mut starts: SmallVec<[u64; 16]> = SmallVec::new();
    let mut position = end;
    loop {
        if reversed.is_dead_state(state) {
            break;
        }
        state = match hay.before(position) {
            Some(byte) => reversed.next_state(state, byte),
            None => reversed.next_eoi_state(state),
        };
        if reversed.is_match_state(state) && position < end {
            starts.push(position);
        }
        if position <= keep {
            break;
        }
        position -= 1;
    }
    let passes = |start: &u64| {
        let text = std::str::from_utf8(hay.slice(*start, end)).unwrap_or_default();
        check.passes(text)
    };
    starts.into_iter().rev().find(passes)
}
