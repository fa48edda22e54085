//! How far back something is alive: where a match may begin that is yet to be confirmed.
//!
//! Two lazy automata answer that. The prefix closure of all rules, reversed, is run back from the end of the
//! text: it dies after a byte or two of clean text. But where much text waits it runs over all of that after
//! every piece, and it has all starts in its states, so that a text without structure leads it to a new one at
//! nearly every byte. What is alive after a piece was alive before it, or begins in it: so there the *elder*, the
//! earliest start, is read on forwards, a state for a byte, and where it dies the next start that does not is
//! looked for behind it.
//!
//! Behind a long piece a third one answers first. Some expressions have parts that go on over any text, and the
//! closure with them; but nearly all have a rare text before that. Where none of those texts is among what waits, the
//! closure of what stands before and in them says it all, and dies in a word.
//!
//! What always holds: all answer the same. Where the elder's answer is not certain, or would take long, the
//! closure is run.

use super::{Hay, Unjudged, stamp};
use regex_automata::Anchored;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::util::start;

/// With less waiting text than this the closure is run: over so little it is as fast.
const WAITING_MIN: u64 = 12;
/// Most bytes that are read for one answer about the elder.
const STEPS_MAX: u64 = 512;

/// The automata of a set of expressions.
pub(crate) struct Alive {
    /// The prefixes of what decides, reversed.
    pub closure: DFA,
    /// The same of what stands before and in the texts by which a sieve sees that a match has begun.
    pub early: DFA,
    /// What decides, from one start.
    pub begun: DFA,
    /// Bytes after which a start has matched or is dead.
    pub window: u64,
}

/// What a worker keeps of them.
pub(super) struct AliveCache {
    stamp: u64,
    closure: Cache,
    early: Cache,
    begun: Cache,
}

impl Clone for AliveCache {
    fn clone(&self) -> Self {
        Self {
            stamp: stamp(),
            closure: self.closure.clone(),
            early: self.early.clone(),
            begun: self.begun.clone(),
        }
    }
}

impl AliveCache {
    /// Memory of the lazy automata, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        [&self.closure, &self.early, &self.begun].map(Cache::memory_usage).iter().sum()
    }

    /// How often they had to be dropped.
    pub(super) fn clear_count(&self) -> usize {
        [&self.closure, &self.early, &self.begun].map(Cache::clear_count).iter().sum()
    }
}

/// The earliest start that is alive, and how far it was read. Only a hint: where it does not hold, the kept text is
/// read again.
#[derive(Clone, Copy)]
pub(super) struct Elder {
    start: u64,
    state: LazyStateID,
    at: u64,
    /// The cache that the state is of, and how often that had been cleared.
    stamp: u64,
    clears: usize,
}

impl Elder {
    /// Moves all positions by `by`, modulo 2^64.
    pub(super) fn shift(&mut self, by: u64) {
        self.start = self.start.wrapping_add(by);
        self.at = self.at.wrapping_add(by);
    }
}

impl Alive {
    pub(super) fn cache(&self) -> AliveCache {
        AliveCache {
            stamp: stamp(),
            closure: self.closure.create_cache(),
            early: self.early.create_cache(),
            begun: self.begun.create_cache(),
        }
    }

    /// Memory of what workers share, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let nfas =
            [&self.closure, &self.early, &self.begun].map(|dfa| dfa.get_nfa().memory_usage());
        nfas.iter().sum()
    }

    /// The earliest position from `keep` on at which an unconfirmed match may begin; the end of `hay` if there is
    /// none. `may_have_begun` says whether more than the beginning of a match may stand there.
    pub(super) fn from(
        &self,
        cache: &mut AliveCache,
        elder: &mut Option<Elder>,
        keep: u64,
        hay: Hay<'_>,
        may_have_begun: bool,
    ) -> Result<u64, Unjudged> {
        let known = elder.take();
        let waiting = hay.end().saturating_sub(keep);
        if !may_have_begun {
            return self.run_back(&self.early, &mut cache.early, keep, hay);
        }
        if (WAITING_MIN..=self.window).contains(&waiting)
            && let Some(alive) = self.read_on(cache, known, elder, keep, hay)?
        {
            return Ok(alive);
        }
        self.run_back(&self.closure, &mut cache.closure, keep, hay)
    }

    fn run_back(
        &self,
        closure: &DFA,
        lazy: &mut Cache,
        keep: u64,
        hay: Hay<'_>,
    ) -> Result<u64, Unjudged> {
        let end = hay.end();
        let least = keep.max(end.saturating_sub(self.window));
        let config = start::Config::new().anchored(Anchored::Yes);
        let mut state = closure.start_state(lazy, &config).map_err(|_| Unjudged::Automaton)?;
        let mut alive = end;
        let mut position = end;
        for byte in hay.slice(least, end).iter().rev() {
            state = closure.next_state(lazy, state, *byte).map_err(|_| Unjudged::Automaton)?;
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
            Some(byte) => closure.next_state(lazy, state, byte),
            None => closure.next_eoi_state(lazy, state),
        }
        .map_err(|_| Unjudged::Automaton)?;
        Ok(if state.is_match() { least } else { alive })
    }

    /// The same by the elder, which is left for the next piece; `None` where the closure has to say it.
    fn read_on(
        &self,
        cache: &mut AliveCache,
        known: Option<Elder>,
        elder: &mut Option<Elder>,
        keep: u64,
        hay: Hay<'_>,
    ) -> Result<Option<u64>, Unjudged> {
        let end = hay.end();
        let (stamp, lazy) = (cache.stamp, &mut cache.begun);
        let mut known = known.filter(|elder| {
            let is_of_this = elder.stamp == stamp && elder.clears == lazy.clear_count();
            is_of_this && elder.start == keep && elder.at <= end
        });
        let mut start = keep;
        let mut steps = STEPS_MAX;
        while start < end {
            let (mut state, at) = if let Some(elder) = known.take() {
                (elder.state, elder.at)
            } else {
                let config =
                    start::Config::new().anchored(Anchored::Yes).look_behind(hay.before(start));
                let state = self.begun.start_state(lazy, &config);
                (state.map_err(|_| Unjudged::Automaton)?, start)
            };
            let mut is_alive = true;
            for byte in hay.slice(at, end) {
                state =
                    self.begun.next_state(lazy, state, *byte).map_err(|_| Unjudged::Automaton)?;
                if state.is_dead() {
                    is_alive = false;
                    break;
                }
                if steps == 0 {
                    return Ok(None);
                }
                steps -= 1;
            }
            if is_alive {
                // A match is told a byte late, and says nothing of what else is alive.
                if state.is_match() {
                    return Ok(None);
                }
                let clears = lazy.clear_count();
                *elder = Some(Elder { start, state, at: end, stamp, clears });
                return Ok(Some(start));
            }
            start = hay.border_after(start + 1);
        }
        Ok(Some(end))
    }
}
