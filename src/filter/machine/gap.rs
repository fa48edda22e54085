//! How long a match can stay undecided, read off its automaton.
//!
//! A start is undecided while its automaton walks through states that can still match and do
//! not. The longest such walk bounds what a rule can hold: this is the number that `compile`
//! compares with the limit, so that nothing can overflow at run time.

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, dense};
use regex_automata::util::alphabet::Unit;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use std::collections::HashMap;

/// What the states of a rule's anchored automaton say about it.
pub(crate) struct Shape {
    /// The longest walk, in bytes; `None` where it has no end.
    pub gap: Option<u64>,
    /// The longest text that the automaton follows at all, in bytes; `None` where it has no end.
    pub longest: Option<u64>,
    /// Can anything match?
    pub matches: bool,
    /// States that match and after which nothing else can, by their place in `walk`.
    pub dead_ends: Vec<usize>,
    /// How each state is reached.
    pub walk: Walk,
    /// The number of states.
    pub states: usize,
}

/// From which earlier state and by which byte each state is reached; the starts come first, and from
/// none.
pub(crate) type Walk = Vec<Option<(usize, u8)>>;

struct Graph {
    next: Vec<Vec<usize>>,
    is_match: Vec<bool>,
    alive: Vec<bool>,
    starts: Vec<usize>,
}

/// The start states of an anchored automaton, one for each kind of byte that an assertion can look
/// back at; some may be the same.
fn starts<A: Automaton>(dfa: &A) -> Vec<StateID> {
    let behind = [None, Some(b'\n'), Some(b'\r'), Some(b'a'), Some(b' '), Some(0xC3)];
    let state = |byte| {
        let config = start::Config::new().anchored(Anchored::Yes).look_behind(byte);
        dfa.start_state(&config).ok()
    };
    behind.into_iter().filter_map(state).collect()
}

impl Shape {
    /// The states in `dead_ends` as they are called in an automaton of the same states.
    pub(crate) fn dead_ends_in<A: Automaton>(&self, dfa: &A) -> Vec<StateID> {
        let mut ids = starts(dfa);
        for step in self.walk.iter().skip(ids.len()).flatten() {
            let from = ids.get(step.0).copied().unwrap_or_default();
            ids.push(dfa.next_state(from, step.1));
        }
        self.dead_ends.iter().filter_map(|at| ids.get(*at).copied()).collect()
    }
}

impl Graph {
    fn read(dfa: &dense::DFA<Vec<u32>>) -> (Self, Vec<StateID>, Walk) {
        let mut ids: Vec<StateID> = starts(dfa);
        let start_count = ids.len();
        let mut walk = vec![None; start_count];
        let mut index: HashMap<StateID, usize> =
            ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let bytes: Vec<u8> =
            dfa.byte_classes().representatives(0..=255).filter_map(Unit::as_u8).collect();
        let mut next: Vec<Vec<usize>> = Vec::new();
        let mut is_match = Vec::new();
        let mut ends = Vec::new();
        while let Some(&id) = ids.get(next.len()) {
            let mut row: Vec<usize> = Vec::new();
            let mut last = None;
            for byte in &bytes {
                let to = dfa.next_state(id, *byte);
                if dfa.is_dead_state(to) {
                    continue;
                }
                if last == Some(to) {
                    continue;
                }
                last = Some(to);
                row.push(*index.entry(to).or_insert_with(|| {
                    ids.push(to);
                    walk.push(Some((next.len(), *byte)));
                    ids.len() - 1
                }));
            }
            row.sort_unstable();
            row.dedup();
            next.push(row);
            is_match.push(dfa.is_match_state(id));
            ends.push(dfa.is_match_state(dfa.next_eoi_state(id)));
        }
        let count = next.len();
        let mut back = vec![Vec::new(); count];
        for (from, row) in next.iter().enumerate() {
            for to in row {
                if let Some(list) = back.get_mut(*to) {
                    list.push(from);
                }
            }
        }
        // Alive: a match can still be seen, here, later, or at the end of the text.
        let mut alive: Vec<bool> = is_match.iter().zip(&ends).map(|(a, b)| *a || *b).collect();
        let mut todo: Vec<usize> = (0..count).filter(|at| alive.get(*at) == Some(&true)).collect();
        while let Some(at) = todo.pop() {
            for from in back.get(at).into_iter().flatten() {
                if let Some(mark) = alive.get_mut(*from)
                    && !*mark
                {
                    *mark = true;
                    todo.push(*from);
                }
            }
        }
        (Self { next, is_match, alive, starts: (0..start_count).collect() }, ids, walk)
    }

    fn has(list: &[bool], at: usize) -> bool {
        list.get(at).copied().unwrap_or(false)
    }

    /// The longest walk that begins anywhere and stays where `inside` says, in steps.
    fn longest(&self, inside: &dyn Fn(usize) -> bool) -> Option<u64> {
        let count = self.next.len();
        let mut length = vec![0_u64; count];
        let mut state = vec![0_u8; count];
        for root in (0..count).filter(|at| inside(*at)) {
            let mut stack = vec![(root, 0_usize)];
            while let Some((at, turn)) = stack.pop() {
                if turn == 0 {
                    match state.get(at) {
                        Some(0) => state[at] = 1,
                        _ => continue,
                    }
                }
                let to = self.next.get(at).and_then(|row| row.get(turn)).copied();
                let Some(to) = to else {
                    let steps = self.next.get(at).into_iter().flatten();
                    let best = steps.filter(|to| inside(**to)).map(|to| length[*to] + 1).max();
                    length[at] = best.unwrap_or(0);
                    state[at] = 2;
                    continue;
                };
                stack.push((at, turn + 1));
                if !inside(to) {
                    continue;
                }
                match state.get(to) {
                    Some(0) => stack.push((to, 0)),
                    Some(1) => return None,
                    _ => {}
                }
            }
        }
        length.into_iter().max()
    }
}

/// Reads the shape of an anchored automaton that reports every match.
pub(crate) fn shape(dfa: &dense::DFA<Vec<u32>>) -> Shape {
    let (graph, ids, walk) = Graph::read(dfa);
    let waits = |at: usize| Graph::has(&graph.alive, at) && !Graph::has(&graph.is_match, at);
    let lives = |at: usize| Graph::has(&graph.alive, at);
    let dead_ends = ids
        .iter()
        .enumerate()
        .filter(|(at, id)| {
            let onward = graph.next.get(*at).into_iter().flatten().any(|to| lives(*to));
            Graph::has(&graph.is_match, *at)
                && !onward
                && !dfa.is_match_state(dfa.next_eoi_state(**id))
        })
        .map(|(at, _)| at)
        .collect();
    Shape {
        // One step more: the match is seen by the byte after it.
        gap: graph.longest(&waits).map(|steps| steps + 1),
        longest: graph.longest(&lives),
        matches: graph.starts.iter().any(|at| lives(*at)),
        dead_ends,
        walk,
        states: ids.len(),
    }
}
