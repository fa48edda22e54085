//! From ends to matches: the starts of what ended, by threads or by reading a candidate backwards.

use super::regexes::{Follow, Item, Regexes, Role};
use super::span::{OpenSpans, Opening};
use super::threads::{Anchor, Threads};
use super::{Effect, Hay, Hit, New};
use crate::filter::check::Check;
use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, sparse};
use regex_automata::util::start;
use smallvec::SmallVec;

/// Where matches go: confirmed ones, and openings of spans.
struct Found<'h> {
    hits: &'h mut Vec<Hit>,
    /// Those before are of other views, whose positions mean something else.
    others: usize,
    openings: Vec<Opening>,
}

impl Regexes {
    /// Turns ends, in order, into matches with their starts.
    pub(super) fn settle(
        &self,
        ends: &[(u32, u64)],
        follow: &mut Follow,
        keep: u64,
        new: New<'_>,
        hits: &mut Vec<Hit>,
    ) {
        let New { hay, from, last } = new;
        let others = hits.len();
        let mut found = Found { hits, others, openings: Vec::new() };
        // How far each rule was followed here: where it stopped early, nothing was alive.
        let mut followed: SmallVec<[(u32, u64); 4]> = SmallVec::new();
        follow.awake.retain_mut(|(index, threads)| {
            let Some(item) = self.items.get(*index as usize) else { return false };
            let upto = grow(item, threads, New { hay, from, last }, &mut found);
            followed.push((*index, upto));
            !threads.is_empty()
        });
        for (index, ended) in ends {
            let Some(item) = self.items.get(*index as usize) else { continue };
            let anchor = match &item.role {
                Role::Candidate { effect, check, reversed } => {
                    if let Some(start) = passing(reversed, check, hay, keep, *ended) {
                        found.add(item.rule, *effect, hay, start, *ended);
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
            let begin = keep.max(ended.saturating_sub(self.alive.window)).max(read);
            let mut threads = Threads::default();
            let Some(start) = replay(anchor, &mut threads, hay, begin, *ended) else { continue };
            found.take(item, hay, start, *ended);
            let upto = grow(item, &mut threads, New { hay, from: ended + 1, last }, &mut found);
            match known.and_then(|at| followed.get_mut(at)) {
                Some(known) => known.1 = upto,
                None => followed.push((*index, upto)),
            }
            if !threads.is_empty() {
                follow.awake.push((*index, threads));
            }
        }
        if last {
            follow.awake.clear();
        }
        let Found { hits, openings, .. } = found;
        self.follow_spans(openings, follow, new, hits);
    }

    fn follow_spans(
        &self,
        mut openings: Vec<Opening>,
        follow: &mut Follow,
        new: New<'_>,
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
            open.advance(rule, mine, new, hits);
        }
        follow.spans.retain(|open| !open.is_empty());
    }
}

impl Found<'_> {
    /// Takes a match of an item.
    fn take(&mut self, item: &Item, hay: Hay<'_>, start: u64, end: u64) {
        match item.role {
            Role::Match { effect, .. } => self.add(item.rule, effect, hay, start, end),
            Role::Open { span, .. } => {
                let at = confirmed_at(hay, end);
                self.openings.push(Opening { span, start, end, at });
            }
            Role::Candidate { .. } => {}
        }
    }

    fn add(&mut self, rule: u32, effect: Effect, hay: Hay<'_>, start: u64, end: u64) {
        // A match that grows by a byte at a time is one hit.
        let mine = self.hits.get_mut(self.others..).and_then(<[Hit]>::last_mut);
        let grown = mine.filter(|hit| {
            effect != Effect::Stop
                && (hit.rule, hit.effect) == (rule, effect)
                && hit.start <= start
                && hit.end + 1 == end
        });
        if let Some(hit) = grown {
            hit.end = end;
        } else {
            let at = confirmed_at(hay, end);
            self.hits.push(Hit { rule, start, end, at, effect, overflow: false });
        }
    }
}

/// Lets the threads of a rule read on from `new.from`. Returns the first position not read.
fn grow(item: &Item, threads: &mut Threads, new: New<'_>, found: &mut Found<'_>) -> u64 {
    let New { hay, from, last } = new;
    let (Role::Match { anchor, .. } | Role::Open { anchor, .. }) = &item.role else {
        return from;
    };
    let end = hay.end();
    if from > end {
        return from;
    }
    let upto = threads.run(anchor, hay, from, end, |start, ended| {
        found.take(item, hay, start, ended);
    });
    if !last || upto < end || threads.is_empty() {
        return upto;
    }
    if let Some(start) = threads.finish(anchor) {
        found.take(item, hay, start, end);
    }
    end + 1
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
    reversed: &sparse::DFA<Vec<u8>>,
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
