//! The earliest start that is alive, followed forwards.
//!
//! What is alive after a piece was alive before it, or begins in it. So where much text waits it is not asked
//! anew, from the end of the text, how far back something is alive: the earliest start is read on, a state for
//! a byte, and where it dies the next start that does not is looked for behind it. Read from one start the
//! automaton has few states, where the reversed closure, which has all starts in its states, meets a new one
//! at nearly every byte of a text without structure.
//!
//! What always holds: an answer is that of the closure. Where it is not certain, or would take long, there is none.

use super::regexes::{Follow, Hint, RegexCache, Regexes};
use super::{Hay, Unjudged};
use regex_automata::Anchored;
use regex_automata::util::start;

/// With less waiting text than this the closure is run: over so little it is as fast.
const WAITING_MIN: u64 = 8;
/// Most bytes that are read for one answer.
const STEPS_MAX: u64 = 512;

/// A start and how far it was read.
#[derive(Clone, Copy)]
pub(super) struct Elder {
    start: u64,
    read: Hint,
    /// The cache that the state is of.
    stamp: u64,
}

impl Elder {
    /// Moves all positions by `by`, modulo 2^64.
    pub(super) fn shift(&mut self, by: u64) {
        self.start = self.start.wrapping_add(by);
        self.read.at = self.read.at.wrapping_add(by);
    }
}

impl Regexes {
    /// The earliest start at or after `keep` that is alive at the end of `hay`, or that end; `None` where the
    /// closure has to say it.
    pub(super) fn elder(
        &self,
        cache: &mut RegexCache,
        follow: &mut Follow,
        keep: u64,
        hay: Hay<'_>,
    ) -> Result<Option<u64>, Unjudged> {
        let end = hay.end();
        let known = follow.elder.take();
        if end - keep.min(end) < WAITING_MIN {
            return Ok(None);
        }
        let (stamp, lazy) = (cache.stamp, &mut cache.begun);
        let clears = |lazy: &regex_automata::hybrid::dfa::Cache| lazy.clear_count() as u32;
        let mut known = known
            .filter(|elder| elder.start == keep && elder.stamp == stamp)
            .map(|elder| elder.read)
            .filter(|read| read.clears == clears(lazy) && read.at <= end);
        let mut start = keep;
        let mut steps = STEPS_MAX;
        while start < end {
            let (mut state, at) = if let Some(read) = known.take() {
                (read.state, read.at)
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
                let read = Hint { state, clears: clears(lazy), at: end };
                follow.elder = Some(Elder { start, read, stamp });
                return Ok(Some(start));
            }
            start = hay.border_after(start + 1);
        }
        Ok(Some(end))
    }
}
