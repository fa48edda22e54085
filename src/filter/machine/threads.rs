//! All starts of one rule at once, once it has matched and may grow.
//!
//! A thread is a state of the rule's anchored automaton with the earliest start that leads
//! there. Two starts in one state have one future, and the earlier covers the later, so merging
//! them loses nothing. This gives redaction its starts, and swallows a match that keeps growing
//! at the price of its live states, without searching back and without keeping its text.

use super::Hay;
use super::gap::Shape;
use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, dense, sparse};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use smallvec::SmallVec;

/// Up to so many threads are merged by looking through them, more by sorting.
const FEW: usize = 12;

/// The live starts of one rule.
#[derive(Clone, Default)]
pub(crate) struct Threads {
    list: SmallVec<[(StateID, u64); 2]>,
}

/// An anchored automaton that reports every match.
pub(crate) struct Anchor {
    tables: Tables,
    /// The start state behind each byte, and at the start of a text.
    starts: Vec<StateID>,
    /// The match states that lead nowhere, sorted.
    dead_ends: Vec<StateID>,
}

/// The sparse form takes a fraction of the memory and is for rules that are followed only once they
/// matched; the dense one is for those that are followed all the time.
pub(crate) enum Tables {
    Dense(dense::DFA<Vec<u32>>),
    Sparse(sparse::DFA<Vec<u8>>),
}

impl Anchor {
    /// `None` if the automaton cannot start anchored.
    pub(crate) fn new(tables: Tables, shape: &Shape) -> Option<Self> {
        match &tables {
            Tables::Dense(dfa) => {
                let (starts, dead_ends) = Self::places(dfa, shape)?;
                Some(Self { tables, starts, dead_ends })
            }
            Tables::Sparse(dfa) => {
                let (starts, dead_ends) = Self::places(dfa, shape)?;
                Some(Self { tables, starts, dead_ends })
            }
        }
    }

    fn places<A: Automaton>(dfa: &A, shape: &Shape) -> Option<(Vec<StateID>, Vec<StateID>)> {
        let mut dead_ends = shape.dead_ends_in(dfa);
        dead_ends.sort_unstable();
        let start = |behind| {
            let config = start::Config::new().anchored(Anchored::Yes).look_behind(behind);
            dfa.start_state(&config).ok()
        };
        let starts = (0..=255).map(Some).chain([None]).map(start).collect::<Option<_>>()?;
        Some((starts, dead_ends))
    }

    /// Memory of the tables, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let tables = match &self.tables {
            Tables::Dense(dfa) => dfa.memory_usage(),
            Tables::Sparse(dfa) => dfa.memory_usage(),
        };
        tables + (self.starts.len() + self.dead_ends.len()) * size_of::<StateID>()
    }

    /// Does it match all of a text that stands alone?
    pub(crate) fn matches_whole(&self, text: &str) -> bool {
        match &self.tables {
            Tables::Dense(dfa) => self.matches_whole_in(dfa, text),
            Tables::Sparse(dfa) => self.matches_whole_in(dfa, text),
        }
    }

    fn matches_whole_in<A: Automaton>(&self, dfa: &A, text: &str) -> bool {
        let Some(mut state) = self.start(None) else { return false };
        for byte in text.bytes() {
            state = dfa.next_state(state, byte);
            if dfa.is_dead_state(state) {
                return false;
            }
        }
        dfa.is_match_state(dfa.next_eoi_state(state))
    }

    /// Does a match end with the text, in this state?
    fn ends_in(&self, state: StateID) -> bool {
        match &self.tables {
            Tables::Dense(dfa) => dfa.is_match_state(dfa.next_eoi_state(state)),
            Tables::Sparse(dfa) => dfa.is_match_state(dfa.next_eoi_state(state)),
        }
    }

    #[inline]
    fn start(&self, behind: Option<u8>) -> Option<StateID> {
        self.starts.get(behind.map_or(256, usize::from)).copied()
    }
}

impl Threads {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Moves all positions by `by`, modulo 2^64.
    pub(crate) fn shift(&mut self, by: u64) {
        self.list.iter_mut().for_each(|thread| thread.1 = thread.1.wrapping_add(by));
    }

    /// The earliest live start.
    pub(crate) fn earliest(&self) -> Option<u64> {
        self.list.iter().map(|thread| thread.1).min()
    }

    /// Reads the byte at `position`, where a match may also begin. Returns the earliest start of
    /// a match that ends there.
    pub(crate) fn step(
        &mut self,
        anchor: &Anchor,
        position: u64,
        behind: Option<u8>,
        byte: u8,
    ) -> Option<u64> {
        match &anchor.tables {
            Tables::Dense(dfa) => self.step_in(dfa, anchor, position, behind, byte),
            Tables::Sparse(dfa) => self.step_in(dfa, anchor, position, behind, byte),
        }
    }

    #[inline]
    fn step_in<A: Automaton>(
        &mut self,
        dfa: &A,
        anchor: &Anchor,
        position: u64,
        behind: Option<u8>,
        byte: u8,
    ) -> Option<u64> {
        let fresh = anchor.start(behind).map(|state| (state, position));
        let mut hit: Option<u64> = None;
        let (known, mut kept) = (self.list.len(), 0);
        // What lives on moves to the front, and what begins here comes last.
        for at in 0..=known {
            let thread = if at < known { self.list.get(at).copied() } else { fresh };
            let Some((state, begun)) = thread else { continue };
            let to = dfa.next_state(state, byte);
            if dfa.is_special_state(to) {
                if dfa.is_dead_state(to) {
                    continue;
                }
                if dfa.is_match_state(to) {
                    hit = Some(hit.map_or(begun, |known| known.min(begun)));
                    // Taken for alive, it would hold a byte too many.
                    if anchor.dead_ends.binary_search(&to).is_ok() {
                        continue;
                    }
                }
            }
            if at == kept && at == known {
                self.list.push((to, begun));
            } else if let Some(slot) = self.list.get_mut(kept) {
                *slot = (to, begun);
            }
            kept += 1;
        }
        self.list.truncate(kept);
        if kept > 1 {
            self.merge();
        }
        hit
    }

    /// Leaves the earliest start of each state.
    fn merge(&mut self) {
        if self.list.len() > FEW {
            self.list.sort_unstable();
            self.list.dedup_by_key(|thread| thread.0);
            return;
        }
        let mut kept = 0;
        for at in 0..self.list.len() {
            let Some(thread) = self.list.get(at).copied() else { break };
            let before = self.list.iter_mut().take(kept).find(|known| known.0 == thread.0);
            if let Some(known) = before {
                known.1 = known.1.min(thread.1);
                continue;
            }
            if let Some(slot) = self.list.get_mut(kept) {
                *slot = thread;
            }
            kept += 1;
        }
        self.list.truncate(kept);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// The earliest start of a match that the end of the text confirms.
    pub(crate) fn finish(&self, anchor: &Anchor) -> Option<u64> {
        self.list.iter().filter(|thread| anchor.ends_in(thread.0)).map(|thread| thread.1).min()
    }

    /// Reads all of `from..upto`; `found` gets the start and end of every match.
    pub(crate) fn read(
        &mut self,
        anchor: &Anchor,
        hay: Hay<'_>,
        from: u64,
        upto: u64,
        mut found: impl FnMut(u64, u64),
    ) {
        let mut behind = hay.before(from);
        for (position, byte) in (from..).zip(hay.slice(from, upto)) {
            if let Some(begun) = self.step(anchor, position, behind, *byte) {
                found(begun, position);
            }
            behind = Some(*byte);
        }
    }

    /// Reads `from..upto`, but stops where nothing is alive; `found` gets the start and end of
    /// every match. Returns the first position that was not read.
    pub(crate) fn run(
        &mut self,
        anchor: &Anchor,
        hay: Hay<'_>,
        from: u64,
        upto: u64,
        mut found: impl FnMut(u64, u64),
    ) -> u64 {
        let mut behind = hay.before(from);
        let mut position = from;
        for byte in hay.slice(from, upto) {
            if self.is_empty() {
                break;
            }
            if let Some(begun) = self.step(anchor, position, behind, *byte) {
                found(begun, position);
            }
            behind = Some(*byte);
            position += 1;
        }
        position
    }
}
