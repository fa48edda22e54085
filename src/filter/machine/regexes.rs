//! Regular expressions, several automata, each where it is cheapest.
//!
//! * Forward unions, as lazy DFAs: did something end here? Rules whose states multiply on text
//!   without structure (counters that begin anew at every other byte) are no part of them, because
//!   a lazy DFA would build a new state for nearly every byte. They are followed by threads.
//!   Neither is run while less text is alive than the shortest match needs.
//! * What is [alive](super::alive): how far back a match may begin that is yet to end.
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

use super::alive::{Alive, AliveCache, Elder};
use super::apart::{self, Apart, Followed};
use super::sieve::{Sieve, Sieved};
use super::span::{OpenSpans, SpanRule};
use super::threads::{Anchor, Threads};
use super::{Effect, Hit, New, Unjudged, stamp};
use crate::filter::check::Check;
use regex_automata::dfa::sparse;
use regex_automata::hybrid::{LazyStateID, dfa as lazy};
use regex_automata::util::start;
use regex_automata::{Anchored, PatternID};
use smallvec::SmallVec;
use std::sync::Arc;

/// The most threads of one view of a channel: 64 KB. A rule has at most as many as its automaton has
/// states, and seldom more than the bytes it holds; beyond the bound the text is not judged, and
/// its rules' `on_error` says what becomes of it.
pub(crate) const THREADS_MAX: usize = 4096;

/// Pieces that are shorter are not sieved: to read on is as fast.
const SIEVED_MIN: u64 = 64;

/// What a rule's expression is for.
#[derive(Clone)]
pub(crate) enum Role {
    /// A match is a match.
    Match { effect: Effect, anchor: Arc<Anchor> },
    /// A match opens a span, by its index.
    Open { span: u32, anchor: Arc<Anchor> },
    /// A match is a candidate.
    Candidate { effect: Effect, check: Arc<Check>, reversed: Arc<sparse::DFA<Vec<u8>>> },
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
    /// Bytes of its shortest match. While less text than that is alive there is nothing to find,
    /// and the automaton is not run: in plain text that is nearly always.
    pub bytes_min: u64,
}

/// The automata of a set of expressions.
pub(crate) struct Regexes {
    pub items: Vec<Item>,
    pub spans: Vec<SpanRule>,
    pub unions: Vec<Union>,
    pub apart: Vec<Apart>,
    /// The least `bytes_min` of both.
    pub bytes_min: u64,
    pub alive: Alive,
    /// What rules a long text out.
    pub sieve: Option<Sieve>,
}

/// What a worker keeps.
pub(crate) struct RegexCache {
    stamp: u64,
    unions: Vec<lazy::Cache>,
    alive: AliveCache,
    ends: Vec<(u32, u64)>,
}

impl Clone for RegexCache {
    fn clone(&self) -> Self {
        Self {
            stamp: stamp(),
            unions: self.unions.clone(),
            alive: self.alive.clone(),
            ends: Vec::new(),
        }
    }
}

impl RegexCache {
    /// Memory of the lazy automata, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let unions: usize = self.unions.iter().map(lazy::Cache::memory_usage).sum();
        unions + self.alive.memory_bytes()
    }

    /// How often the lazy automata had to be dropped.
    pub(crate) fn clear_count(&self) -> usize {
        let unions: usize = self.unions.iter().map(lazy::Cache::clear_count).sum();
        unions + self.alive.clear_count()
    }
}

/// Where the expressions stand in a text.
#[derive(Clone)]
pub(crate) struct Follow {
    /// Rules that matched and may grow.
    pub(super) awake: Vec<(u32, Threads)>,
    pub(super) spans: Vec<OpenSpans>,
    apart: Vec<Followed>,
    hint_stamp: u64,
    hints: SmallVec<[Option<Hint>; 2]>,
    elder: Option<Elder>,
}

/// The state of a forward automaton at a position, if its cache was not cleared since.
#[derive(Clone, Copy)]
struct Hint {
    state: LazyStateID,
    clears: u32,
    at: u64,
}

impl Follow {
    /// The start of a text.
    pub(crate) fn new() -> Self {
        let hints = SmallVec::new();
        Self {
            awake: Vec::new(),
            spans: Vec::new(),
            apart: Vec::new(),
            hint_stamp: 0,
            hints,
            elder: None,
        }
    }

    /// Is nothing followed?
    pub(crate) fn is_idle(&self) -> bool {
        self.awake.is_empty() && self.spans.is_empty()
    }

    fn thread_count(&self) -> usize {
        let awake = self.awake.iter().map(|awake| awake.1.count());
        awake.chain(self.apart.iter().map(|followed| followed.threads.count())).sum()
    }

    /// Moves all positions by `by`, modulo 2^64.
    pub(crate) fn shift(&mut self, by: u64) {
        self.awake.iter_mut().for_each(|awake| awake.1.shift(by));
        self.spans.iter_mut().for_each(|open| open.shift(by));
        self.apart.iter_mut().for_each(|followed| followed.shift(by));
        self.hints.iter_mut().flatten().for_each(|hint| hint.at = hint.at.wrapping_add(by));
        if let Some(elder) = &mut self.elder {
            elder.shift(by);
        }
    }
}

impl Regexes {
    pub(crate) fn cache(&self) -> RegexCache {
        RegexCache {
            stamp: stamp(),
            unions: self.unions.iter().map(|union| union.dfa.create_cache()).collect(),
            alive: self.alive.cache(),
            ends: Vec::new(),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let nfas = |dfa: &lazy::DFA| dfa.get_nfa().memory_usage();
        let unions: usize = self.unions.iter().map(|union| nfas(&union.dfa)).sum();
        unions + self.alive.memory_bytes()
    }

    /// Reads on, as [`super::Machine::advance`] does. `keep` is where the kept text begins; gives from
    /// where on an unconfirmed match may still begin.
    pub(crate) fn advance(
        &self,
        cache: &mut RegexCache,
        follow: &mut Follow,
        keep: u64,
        new: New<'_>,
        hits: &mut Vec<Hit>,
    ) -> Result<u64, Unjudged> {
        let sieved = self.sieved(keep, new);
        cache.ends.clear();
        self.find_ends(cache, follow, keep, new, sieved)?;
        if follow.thread_count() > THREADS_MAX {
            return Err(Unjudged::Threads);
        }
        if !(cache.ends.is_empty() && follow.is_idle()) {
            let mut ends = std::mem::take(&mut cache.ends);
            ends.sort_unstable_by_key(|end| end.1);
            self.settle(&ends, follow, keep, new, hits);
            cache.ends = ends;
            if follow.thread_count() > THREADS_MAX {
                return Err(Unjudged::Threads);
            }
        }
        if new.last {
            return Ok(new.hay.end());
        }
        let Follow { elder, .. } = follow;
        self.alive.from(&mut cache.alive, elder, keep, new.hay, sieved.may_have_begun)
    }

    /// What the sieve says of what may belong to a match; it is asked only of a long piece.
    fn sieved(&self, keep: u64, new: New<'_>) -> Sieved {
        let New { hay, from, .. } = new;
        let length = hay.end() - from;
        // What is looked at again with each piece must be the lesser part.
        let is_asked = length >= SIEVED_MIN && from - keep.min(from) <= length;
        match &self.sieve {
            Some(sieve) if is_asked => sieve.sieve(hay.slice(keep, hay.end())),
            Some(_) | None => Sieved { may_have_begun: true, may_match: true },
        }
    }

    /// Collects which expressions end where in the new text.
    #[inline]
    fn find_ends(
        &self,
        cache: &mut RegexCache,
        follow: &mut Follow,
        keep: u64,
        new: New<'_>,
        sieved: Sieved,
    ) -> Result<(), Unjudged> {
        let New { hay, from, last } = new;
        let end = hay.end();
        // A match is seen by the byte after it.
        let alive = (end - keep.min(end)).saturating_sub(u64::from(!last));
        if alive < self.bytes_min {
            return Ok(());
        }
        apart::follow(&self.apart, &mut follow.apart, &mut cache.ends, keep, new);
        if !sieved.may_match {
            return Ok(());
        }
        if follow.hint_stamp != cache.stamp {
            follow.hints.clear();
            follow.hints.resize(self.unions.len(), None);
            follow.hint_stamp = cache.stamp;
        }
        let piece = hay.slice(from, end);
        let unions = self.unions.iter().zip(&mut cache.unions).zip(&mut follow.hints);
        for ((union, lazy), hint) in unions {
            if alive < union.bytes_min {
                continue;
            }
            let clears = lazy.clear_count() as u32;
            let mut state = match hint {
                Some(hint) if hint.at == from && hint.clears == clears => hint.state,
                _ => {
                    let config =
                        start::Config::new().anchored(Anchored::No).look_behind(hay.before(keep));
                    let mut state =
                        union.dfa.start_state(lazy, &config).map_err(|_| Unjudged::Automaton)?;
                    for byte in hay.slice(keep, from) {
                        state = union
                            .dfa
                            .next_state(lazy, state, *byte)
                            .map_err(|_| Unjudged::Automaton)?;
                    }
                    state
                }
            };
            let mut place = 0;
            while let Some(byte) = piece.get(place) {
                if !state.is_tagged() {
                    // Nothing is special about nearly all states.
                    let next = union.dfa.next_state_untagged(lazy, state, *byte);
                    if !next.is_tagged() {
                        state = next;
                        place += 1;
                        continue;
                    }
                }
                state =
                    union.dfa.next_state(lazy, state, *byte).map_err(|_| Unjudged::Automaton)?;
                if state.is_match() {
                    union.report(lazy, state, from + place as u64, &mut cache.ends);
                }
                place += 1;
            }
            if last {
                state = union.dfa.next_eoi_state(lazy, state).map_err(|_| Unjudged::Automaton)?;
                if state.is_match() {
                    union.report(lazy, state, hay.end(), &mut cache.ends);
                }
            }
            let clears = lazy.clear_count() as u32;
            *hint = Some(Hint { state, clears, at: end });
        }
        Ok(())
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
