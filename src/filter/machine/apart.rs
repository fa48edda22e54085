//! Expressions that are no part of a union, because their states multiply on text without structure: each is
//! followed by its threads.
//!
//! A match is a run of bytes that its expression has in it at all, and plain text has few runs that are long
//! enough: blanks and signs end them. So only [`Runs`] are read.

use super::New;
use super::sieve::Runs;
use super::threads::{Anchor, Threads};
use regex_syntax::hir::Hir;
use std::sync::Arc;

/// An expression that is no part of a union.
pub(crate) struct Apart {
    pub item: u32,
    anchor: Arc<Anchor>,
    pub runs: Runs,
}

/// How far an expression was followed in a text.
#[derive(Clone)]
pub(super) struct Followed {
    index: u32,
    pub(super) threads: Threads,
    /// What stands before is read: a match that is yet to end begins later, or has a thread.
    at: u64,
}

impl Followed {
    /// Moves all positions by `by`, modulo 2^64.
    pub(super) fn shift(&mut self, by: u64) {
        self.threads.shift(by);
        self.at = self.at.wrapping_add(by);
    }
}

/// Collects the ends of expressions apart in the new text.
pub(super) fn follow(
    all: &[Apart],
    followed: &mut Vec<Followed>,
    ends: &mut Vec<(u32, u64)>,
    keep: u64,
    new: New<'_>,
) {
    let mut known = std::mem::take(followed);
    let alive = new.hay.slice(keep, new.hay.end());
    for (index, apart) in (0..).zip(all) {
        if !apart.runs.may_end(alive) {
            continue;
        }
        let at = known.iter().position(|known| known.index == index);
        let known = at.map(|at| known.swap_remove(at));
        if let Some(read) = apart.read(index, known, keep, new, ends) {
            followed.push(read);
        }
    }
}

impl Apart {
    pub(super) fn new(item: u32, anchor: Arc<Anchor>, hir: &Hir) -> Apart {
        Apart { item, anchor, runs: Runs::new(hir) }
    }

    /// Reads on; gives how far, where there is anything to go on from.
    fn read(
        &self,
        index: u32,
        known: Option<Followed>,
        keep: u64,
        new: New<'_>,
        ends: &mut Vec<(u32, u64)>,
    ) -> Option<Followed> {
        let New { hay, from, last } = new;
        let end = hay.end();
        let known = known.filter(|known| known.at >= keep && known.at <= from);
        let mut has_read = known.is_some();
        let (mut threads, mut at) =
            known.map_or_else(|| (Threads::default(), keep), |known| (known.threads, known.at));
        while at < end {
            let text = hay.slice(at, end);
            let run = if threads.is_empty() {
                let Some(run) = self.runs.next(text) else { break };
                run
            } else {
                0..self.runs.own(text)
            };
            // The byte after it ends what is alive, and confirms what ended.
            let upto = end.min(at + run.end as u64 + 1);
            at += run.start as u64;
            threads.read(&self.anchor, hay, at, upto, |_, ended| {
                if ended >= from {
                    ends.push((self.item, ended));
                }
            });
            (at, has_read) = (upto, true);
        }
        if last && threads.finish(&self.anchor).is_some() {
            ends.push((self.item, end));
        }
        has_read.then(|| {
            let rest = hay.slice(at, end).iter().rev();
            let unread = rest.take_while(|byte| self.runs.has(**byte)).count() as u64;
            Followed { index, threads, at: end - unread }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Hay;
    use super::*;
    use regex_automata::dfa::dense;
    use regex_automata::dfa::{StartKind, dense::DFA};

    fn apart(pattern: &str) -> Apart {
        let hir = regex_syntax::ParserBuilder::new().utf8(false).build().parse(pattern).unwrap();
        let dfa: DFA<Vec<u32>> = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .match_kind(regex_automata::MatchKind::All)
                    .start_kind(StartKind::Anchored),
            )
            .build(pattern)
            .unwrap();
        let shape = super::super::gap::shape(&dfa);
        let tables = super::super::threads::Tables::Dense(dfa);
        Apart::new(7, Arc::new(Anchor::new(tables, &shape).unwrap()), &hir)
    }

    /// Reading runs finds what reading all finds, however the text comes.
    #[test]
    fn what_is_skipped_has_no_match() {
        let words = ["ab1", "abc-123", "a@b.cd", " ", "--", "0123456789", "é", "zz", "@", "ab.ab@"];
        let mut dice = 7_usize;
        let mut roll = |sides: usize| {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        for pattern in [
            r"(?-u:\b)[a-z.]{1,8}@[a-z]{1,5}\.[a-z]{2,3}",
            "[0-9a-f]{4,6}",
            "[a-z]{3}-[0-9]{2}",
            "é[^ ]{2}",
        ] {
            let apart = apart(pattern);
            for _ in 0..300 {
                let text: String = (0..=roll(12)).map(|_| words[roll(words.len())]).collect();
                let mut all = Vec::new();
                let hay = Hay { base: 0, behind: None, bytes: text.as_bytes() };
                let mut threads = Threads::default();
                threads.read(&apart.anchor, hay, 0, hay.end(), |_, ended| all.push((7, ended)));
                if threads.finish(&apart.anchor).is_some() {
                    all.push((7, hay.end()));
                }
                let (mut found, mut followed, mut from) = (Vec::new(), Vec::new(), 0);
                while from < text.len() {
                    let upto = (from + 1 + roll(9)).min(text.len());
                    let hay = Hay { bytes: &text.as_bytes()[..upto], ..hay };
                    let new = New { hay, from: from as u64, last: upto == text.len() };
                    follow(std::slice::from_ref(&apart), &mut followed, &mut found, 0, new);
                    from = upto;
                }
                assert_eq!(found, all, "{pattern} in {text:?}");
            }
        }
    }
}
