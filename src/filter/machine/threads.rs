//! All starts of one rule at once, once it has matched and may grow.
//!
//! A thread is a state of the rule's anchored automaton with the earliest start that leads
//! there. Two starts in one state have one future, and the earlier covers the later, so merging
//! them loses nothing. This gives redaction its starts, and swallows a match that keeps growing
//! at the price of its live states, without searching back and without keeping its text.

use super::Hay;
use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use smallvec::SmallVec;

/// The live starts of one rule.
#[derive(Clone, Default)]
pub(crate) struct Threads {
    list: SmallVec<[(StateID, u64); 2]>,
}

/// An anchored automaton that reports every match.
pub(crate) struct Anchor {
    dfa: dense::DFA<Vec<u32>>,
    /// The start state behind each byte, and at the start of a text.
    starts: Vec<StateID>,
    /// The match states that lead nowhere, sorted.
    dead_ends: Vec<StateID>,
}

impl Anchor {
    /// `None` if the automaton cannot start anchored.
    pub(crate) fn new(dfa: dense::DFA<Vec<u32>>, mut dead_ends: Vec<StateID>) -> Option<Self> {
        dead_ends.sort_unstable();
        let start = |behind| {
            let config = start::Config::new().anchored(Anchored::Yes).look_behind(behind);
            dfa.start_state(&config).ok()
        };
        let starts = (0..=255).map(Some).chain([None]).map(start).collect::<Option<_>>()?;
        Some(Self { dfa, starts, dead_ends })
    }

    /// Does it match all of a text that stands alone?
    pub(crate) fn matches_whole(&self, text: &str) -> bool {
        let Some(mut state) = self.start(None) else { return false };
        for byte in text.bytes() {
            state = self.dfa.next_state(state, byte);
            if self.dfa.is_dead_state(state) {
                return false;
            }
        }
        self.dfa.is_match_state(self.dfa.next_eoi_state(state))
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
        let fresh = anchor.start(behind).map(|state| (state, position));
        let mut hit: Option<u64> = None;
        let mut next: SmallVec<[(StateID, u64); 2]> = SmallVec::new();
        for (state, begun) in self.list.drain(..).chain(fresh) {
            let to = anchor.dfa.next_state(state, byte);
            if !anchor.dfa.is_special_state(to) {
                merge(&mut next, to, begun);
                continue;
            }
            if anchor.dfa.is_dead_state(to) {
                continue;
            }
            if anchor.dfa.is_match_state(to) {
                hit = Some(hit.map_or(begun, |known| known.min(begun)));
                // Taken for alive, it would hold a byte too many.
                if anchor.dead_ends.binary_search(&to).is_ok() {
                    continue;
                }
            }
            merge(&mut next, to, begun);
        }
        self.list = next;
        hit
    }

    /// The earliest start of a match that the end of the text confirms.
    pub(crate) fn finish(&self, anchor: &Anchor) -> Option<u64> {
        let ends = |state| anchor.dfa.is_match_state(anchor.dfa.next_eoi_state(state));
        self.list.iter().filter(|thread| ends(thread.0)).map(|thread| thread.1).min()
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

fn merge(list: &mut SmallVec<[(StateID, u64); 2]>, state: StateID, begun: u64) {
    match list.iter_mut().find(|thread| thread.0 == state) {
        Some(thread) => thread.1 = thread.1.min(begun),
        None => list.push((state, begun)),
    }
}
