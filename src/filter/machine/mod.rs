//! The matcher over one view of a text: given bytes piece by piece, which rules matched where,
//! and from where on something is still alive.
//!
//! All positions are bytes of the view since its start, never of a piece, so that nothing
//! depends on how the text was cut. A match is *confirmed* by the character after it, by the end
//! of the text, or at once where no assertion could fail (plain literals). What a piece leaves
//! behind is a [`Place`]: automaton states, threads of rules that matched and may grow, open
//! spans. The bytes from `Place::keep` on belong to it too; the caller keeps them.
//!
//! A machine does not decide what is released: the scanner joins the machines of all views.

pub(crate) mod alive;
pub(crate) mod apart;
pub(crate) mod closure;
pub(crate) mod gap;
pub(crate) mod literal;
pub(crate) mod plan;
pub(crate) mod regexes;
mod settle;
pub(crate) mod sieve;
pub(crate) mod span;
pub(crate) mod syntax;
pub(crate) mod threads;

use literal::{At, Literals};
use regexes::{Follow, RegexCache, Regexes};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a confirmed match does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is reported.
    Flag,
    /// It is hidden.
    Hide,
    /// The text stops.
    Stop,
}

/// A confirmed match, `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub rule: u32,
    pub start: u64,
    pub end: u64,
    /// Where the text stood when it was confirmed; `end of the text + 1` if by its end.
    pub at: u64,
    pub effect: Effect,
    /// A span that was not closed in time.
    pub overflow: bool,
}

/// Why a text was not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unjudged {
    /// A lazy automaton gave up.
    Automaton,
    /// More starts of matches were alive at once than are followed.
    Threads,
    /// More places differ between a view and the raw text, across one match, than are kept.
    Edits,
    /// The state to go back to did not lead to the stop again.
    Lost,
}

/// A number that no other cache has: states of one mean nothing in another.
fn stamp() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(1);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// A stretch of a view.
#[derive(Clone, Copy)]
pub(crate) struct Hay<'a> {
    /// Position of the first byte.
    pub base: u64,
    /// The byte before it, if there is one.
    pub behind: Option<u8>,
    pub bytes: &'a [u8],
}

impl<'a> Hay<'a> {
    /// One past the last position.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// The bytes of `from..to`, as far as they are here.
    #[inline]
    pub(crate) fn slice(&self, from: u64, to: u64) -> &'a [u8] {
        let place = |position: u64| position.saturating_sub(self.base) as usize;
        self.bytes.get(place(from)..place(to).min(self.bytes.len())).unwrap_or_default()
    }

    /// The byte at a position.
    #[inline]
    pub(crate) fn at(&self, position: u64) -> Option<u8> {
        self.bytes.get(position.checked_sub(self.base)? as usize).copied()
    }

    /// The byte before a position.
    #[inline]
    pub(crate) fn before(&self, position: u64) -> Option<u8> {
        if position <= self.base { self.behind } else { self.at(position - 1) }
    }

    /// The first border between characters at or after a position.
    pub(crate) fn border_after(&self, mut position: u64) -> u64 {
        while self.at(position).is_some_and(is_inner) {
            position += 1;
        }
        position
    }

    /// The last border between characters at or before a position.
    pub(crate) fn border_before(&self, mut position: u64) -> u64 {
        while self.at(position).is_some_and(is_inner) {
            position -= 1;
        }
        position
    }

    /// The character that begins at a place of a piece of UTF-8.
    pub(crate) fn char_at(piece: &[u8], place: usize) -> char {
        let bytes = piece.get(place..(place + 4).min(piece.len())).unwrap_or_default();
        let whole = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(fault) => bytes
                .get(..fault.valid_up_to())
                .and_then(|valid| std::str::from_utf8(valid).ok())
                .unwrap_or_default(),
        };
        whole.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

/// What a machine reads next: what of `hay` begins at `from`. With `last` the text ends there.
#[derive(Clone, Copy)]
pub(crate) struct New<'a> {
    pub hay: Hay<'a>,
    pub from: u64,
    pub last: bool,
}

/// Is it a byte inside a character, not its first?
fn is_inner(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

/// The automata of one set of rules over one view.
pub(crate) struct Machine {
    /// One for each case rule that occurs.
    pub literals: Vec<Literals>,
    pub regexes: Option<Regexes>,
}

/// Where a machine stands in a text.
#[derive(Clone)]
pub(crate) struct Place {
    literals: SmallVec<[At; 2]>,
    regexes: Option<Follow>,
    /// Everything before is decided: no match that is yet to be confirmed begins there.
    pub live: u64,
    /// The machine needs the text from here on, and the byte before. `keep <= end of the text`.
    pub keep: u64,
}

impl Place {
    /// Moves all positions by `by`, modulo 2^64.
    pub(crate) fn shift(&mut self, by: u64) {
        self.live = self.live.wrapping_add(by);
        self.keep = self.keep.wrapping_add(by);
        if let Some(follow) = &mut self.regexes {
            follow.shift(by);
        }
    }

    /// Is a span open?
    pub(crate) fn is_in_span(&self) -> bool {
        self.regexes.as_ref().is_some_and(|follow| !follow.spans.is_empty())
    }

    /// Do two places mean the same for what comes, given how far each text was read, if the kept
    /// texts are the same? May say no where they do.
    pub(crate) fn equals(&self, other: &Self, end: u64, other_end: u64) -> bool {
        let idle = |place: &Self| place.regexes.as_ref().is_none_or(Follow::is_idle);
        self.literals == other.literals
            && idle(self)
            && idle(other)
            && end.wrapping_sub(self.keep) == other_end.wrapping_sub(other.keep)
    }
}

impl Machine {
    /// The start of a text.
    pub(crate) fn start(&self) -> Place {
        Place {
            literals: self.literals.iter().map(Literals::start).collect(),
            regexes: self.regexes.as_ref().map(|_| Follow::new()),
            live: 0,
            keep: 0,
        }
    }

    /// An empty cache for this machine.
    pub(crate) fn cache(&self) -> MachineCache {
        MachineCache { regexes: self.regexes.as_ref().map(Regexes::cache) }
    }

    /// Reads on. `new.hay` begins at or before `place.keep`.
    pub(crate) fn advance(
        &self,
        cache: &mut MachineCache,
        place: &mut Place,
        new: New<'_>,
        hits: &mut Vec<Hit>,
    ) -> Result<(), Unjudged> {
        let New { hay, from, last } = new;
        let end = hay.end();
        let piece = hay.slice(from, end);
        let mut live = end;
        for (literals, at) in self.literals.iter().zip(&mut place.literals) {
            *at = literals.walk(*at, piece, from, hits);
            live = live.min(end - literals.live_bytes(*at).min(end));
            if last {
                literals.finish(*at, end, hits);
            }
        }
        let mut keep = end;
        if let (Some(regexes), Some(follow), Some(cache)) =
            (&self.regexes, &mut place.regexes, &mut cache.regexes)
        {
            keep = regexes.advance(cache, follow, place.keep, new, hits)?;
            if !last {
                live = live.min(keep).min(regexes.followed_from(follow));
            }
        }
        place.live = if last { end } else { live };
        place.keep = keep;
        Ok(())
    }

    /// Memory of the shared automata, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let literals: usize = self.literals.iter().map(Literals::memory_bytes).sum();
        literals + self.regexes.as_ref().map_or(0, Regexes::memory_bytes)
    }
}

/// What a worker keeps for a machine.
#[derive(Clone)]
pub(crate) struct MachineCache {
    pub regexes: Option<RegexCache>,
}
