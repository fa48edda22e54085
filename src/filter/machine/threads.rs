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

/// An anchored automaton that reports every match, and which of its match states lead nowhere.
pub(crate) struct Anchor {
    pub dfa: dense::DFA<Vec<u32>>,
    /// Sorted.
    pub dead_ends: Vec<StateID>,
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
        let config = start::Config::new().anchored(Anchored::Yes).look_behind(behind);
        let fresh = anchor.dfa.start_state(&config).ok().map(|state| (state, position));
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
