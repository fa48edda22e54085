//! Spans: from a confirmed opening to the nearest closing after it.
//!
//! A span is no regular expression, because its length is not known when its text must be
//! decided. Where both outcomes hide the text it is swallowed from the opening on and nothing is
//! kept; where an overflow would release it, it is held. Every opening counts, also one inside an
//! open span, or an opening that is never closed would hide a later one that is. Open spans whose
//! closing automaton is in one state share it, so a thousand openings cost what one does.

use super::{Effect, Hay, Hit, New};
use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use smallvec::SmallVec;
use std::sync::Arc;

/// What becomes of the text of an open span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is hidden at once. What else a closing and an overflow do.
    Swallow { closing: Effect, overflow: Effect },
    /// It waits for the closing; an overflow releases it.
    Wait { closing: Effect },
}

/// A span rule.
#[derive(Clone)]
pub(crate) struct SpanRule {
    pub rule: u32,
    /// Finds every end of a closing.
    pub close: Arc<dense::DFA<Vec<u32>>>,
    pub bytes_max: u64,
    pub mode: Mode,
}

/// A confirmed opening, `start..end`.
#[derive(Clone, Copy)]
pub(crate) struct Opening {
    pub span: u32,
    pub start: u64,
    pub end: u64,
    pub at: u64,
}

/// Openings whose closing automaton is in one state.
#[derive(Clone)]
struct Group {
    state: StateID,
    /// Ascending. Swallowed text needs only the first, whose overflow is the first, and the last.
    starts: SmallVec<[u64; 2]>,
}

/// The open spans of one rule.
#[derive(Clone)]
pub(crate) struct OpenSpans {
    pub span: u32,
    groups: SmallVec<[Group; 1]>,
    /// Start of the first opening since nothing was open, and where it was confirmed.
    first: u64,
    at: u64,
    /// Hidden text is reported up to here. `first <= reported`
    reported: u64,
}

impl OpenSpans {
    pub(crate) fn new(span: u32) -> Self {
        Self { span, groups: SmallVec::new(), first: 0, at: 0, reported: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Moves all positions by `by`, modulo 2^64.
    pub(crate) fn shift(&mut self, by: u64) {
        self.first = self.first.wrapping_add(by);
        self.at = self.at.wrapping_add(by);
        self.reported = self.reported.wrapping_add(by);
        for start in self.groups.iter_mut().flat_map(|group| &mut group.starts) {
            *start = start.wrapping_add(by);
        }
    }

    /// From where on text must wait for the closing.
    pub(crate) fn waits_from(&self, rule: &SpanRule) -> Option<u64> {
        match rule.mode {
            Mode::Swallow { .. } => None,
            Mode::Wait { .. } => self.groups.iter().filter_map(|g| g.starts.first().copied()).min(),
        }
    }

    /// Reads on. `openings` are those of this rule in the new text, by their ends.
    pub(crate) fn advance(
        &mut self,
        rule: &SpanRule,
        openings: &[Opening],
        new: New<'_>,
        hits: &mut Vec<Hit>,
    ) {
        let New { hay, from, last } = new;
        let end = hay.end();
        let mut openings = openings.iter().peekable();
        let mut position = from;
        loop {
            if self.is_empty() {
                // Nothing is open: on to the next opening.
                let Some(next) = openings.peek() else { return };
                position = position.max(next.end);
            }
            while let Some(opening) = openings.next_if(|opening| opening.end <= position) {
                self.open(rule, opening, hay);
            }
            let Some(byte) = hay.at(position) else { break };
            self.step(rule, hay, position, byte, hits);
            position += 1;
        }
        if self.is_empty() {
            return;
        }
        if last {
            self.finish(rule, end, hits);
            self.groups.clear();
        } else if matches!(rule.mode, Mode::Swallow { .. }) {
            hits.push(self.hidden(rule, end, false));
            self.reported = end;
        }
    }

    /// What is hidden up to `end` and was not reported yet. It overlaps what was reported by a
    /// byte, so that nothing that a fold leaves out stays between.
    fn hidden(&self, rule: &SpanRule, end: u64, overflow: bool) -> Hit {
        let fresh = self.reported == self.first;
        let at = if fresh { self.at } else { self.at.max(end) };
        let start = if fresh { self.first } else { self.reported.wrapping_sub(1).min(end) };
        let effect = Effect::Hide;
        Hit { rule: rule.rule, start, end, at, effect, overflow }
    }

    fn open(&mut self, rule: &SpanRule, opening: &Opening, hay: Hay<'_>) {
        if opening.end - opening.start >= rule.bytes_max {
            return; // No closing could come in time.
        }
        let behind = hay.before(opening.end);
        let config = start::Config::new().anchored(Anchored::No).look_behind(behind);
        let Ok(state) = rule.close.start_state(&config) else { return };
        if self.is_empty() {
            (self.first, self.at) = (opening.start, opening.at);
            self.reported = opening.start;
        }
        if opening.start < self.first {
            (self.first, self.reported) = (opening.start, opening.start);
        }
        self.at = self.at.min(opening.at);
        let mut starts = SmallVec::new();
        starts.push(opening.start);
        add(&mut self.groups, Group { state, starts }, rule.mode);
    }

    fn step(
        &mut self,
        rule: &SpanRule,
        hay: Hay<'_>,
        position: u64,
        byte: u8,
        hits: &mut Vec<Hit>,
    ) {
        let at = hay.border_after(position + 1);
        let mut next: SmallVec<[Group; 1]> = SmallVec::new();
        for mut group in std::mem::take(&mut self.groups) {
            group.state = rule.close.next_state(group.state, byte);
            let begun = group.starts.first().copied().unwrap_or(self.first);
            if rule.close.is_match_state(group.state) {
                let mut hit = Hit { at, ..self.hidden(rule, position, false) };
                match rule.mode {
                    Mode::Swallow { closing, .. } => {
                        hits.push(self.hidden(rule, position, false));
                        if closing == Effect::Stop {
                            hits.push(Hit { effect: closing, ..hit });
                        }
                    }
                    Mode::Wait { closing } => {
                        hit.start = begun;
                        hits.push(Hit { effect: closing, ..hit });
                    }
                }
                continue;
            }
            group.starts.retain(|begun| {
                let bound = *begun + rule.bytes_max;
                if position < bound {
                    return true;
                }
                let upto = hay.border_before(bound);
                let mut hit = Hit { at, ..self.hidden(rule, upto, true) };
                match rule.mode {
                    Mode::Swallow { overflow, .. } => {
                        hits.push(self.hidden(rule, upto, true));
                        if overflow == Effect::Stop {
                            hits.push(Hit { effect: overflow, ..hit });
                        }
                    }
                    Mode::Wait { .. } => {
                        hit.start = *begun;
                        hits.push(Hit { effect: Effect::Flag, ..hit });
                    }
                }
                false
            });
            if !group.starts.is_empty() {
                add(&mut next, group, rule.mode);
            }
        }
        self.groups = next;
    }

    fn finish(&self, rule: &SpanRule, end: u64, hits: &mut Vec<Hit>) {
        let closes =
            |group: &&Group| rule.close.is_match_state(rule.close.next_eoi_state(group.state));
        let done = self.groups.iter().filter(closes);
        match rule.mode {
            Mode::Swallow { closing, .. } => {
                let count = done.count();
                hits.push(self.hidden(rule, end, count < self.groups.len()));
                if count > 0 && closing == Effect::Stop {
                    let hit = self.hidden(rule, end, false);
                    hits.push(Hit { at: end + 1, effect: closing, ..hit });
                }
            }
            Mode::Wait { closing } => {
                let begun = done.filter_map(|group| group.starts.first().copied()).min();
                if let Some(start) = begun {
                    let hit = self.hidden(rule, end, false);
                    hits.push(Hit { start, at: end + 1, effect: closing, ..hit });
                }
            }
        }
    }
}

/// Adds a group, or its starts to the group that is in the same state.
fn add(groups: &mut SmallVec<[Group; 1]>, group: Group, mode: Mode) {
    let Some(known) = groups.iter_mut().find(|known| known.state == group.state) else {
        groups.push(group);
        return;
    };
    for begun in group.starts {
        if let Err(place) = known.starts.binary_search(&begun) {
            known.starts.insert(place, begun);
        }
    }
    if let (Mode::Swallow { .. }, 3..) = (mode, known.starts.len()) {
        let last = known.starts.len() - 1;
        known.starts.drain(1..last);
    }
}
