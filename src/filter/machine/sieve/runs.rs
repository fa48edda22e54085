//! Runs of bytes that matches are made of, and plain text has few of.

use super::super::closure::{bytes_of, needed_byte};
use regex_syntax::hir::{Hir, HirKind};
use std::ops::Range;

/// An expression without single characters at its ends that any text has; every match of the whole has
/// one of this.
pub(super) fn core(hir: &Hir) -> Hir {
    let is_common = |part: &Hir| {
        let mut of = [false; 256];
        bytes_of(part, &mut of);
        let longest = part.properties().maximum_len();
        longest == Some(0) || of[usize::from(b' ')] && longest.is_some_and(|longest| longest <= 4)
    };
    match hir.kind() {
        HirKind::Capture(capture) => core(&capture.sub),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(core).collect()),
        HirKind::Concat(parts) => {
            let mut parts = parts.as_slice();
            while let Some((_, rest)) = parts.split_first().filter(|(first, _)| is_common(first)) {
                parts = rest;
            }
            while let Some((_, rest)) = parts.split_last().filter(|(last, _)| is_common(last)) {
                parts = rest;
            }
            match parts {
                [only] => core(only),
                parts => Hir::concat(parts.to_vec()),
            }
        }
        HirKind::Empty
        | HirKind::Look(_)
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Repetition(_) => hir.clone(),
    }
}

/// Runs of the bytes that matches of an expression are made of.
pub(crate) struct Runs {
    /// Bytes of its shortest match.
    pub bytes_min: u64,
    /// A byte that every match has.
    needs: Option<u8>,
    of: Box<[bool; 256]>,
}

impl Runs {
    pub(in super::super) fn new(hir: &Hir) -> Runs {
        let bytes_min = hir.properties().minimum_len().unwrap_or(0).max(1) as u64;
        let mut of = Box::new([false; 256]);
        bytes_of(hir, &mut of);
        Runs { bytes_min, needs: needed_byte(hir), of }
    }

    /// What both are made of, as long as the shorter, with what both need.
    pub(super) fn or(mut self, other: &Runs) -> Runs {
        self.bytes_min = self.bytes_min.min(other.bytes_min);
        self.needs = self.needs.filter(|byte| other.needs == Some(*byte));
        self.of.iter_mut().zip(&*other.of).for_each(|(has, also)| *has |= *also);
        self
    }

    /// Is `text` long enough for a match, and has it what every match has?
    pub(in super::super) fn may_end(&self, text: &[u8]) -> bool {
        text.len() as u64 >= self.bytes_min
            && self.needs.is_none_or(|byte| memchr::memchr(byte, text).is_some())
    }

    pub(super) fn may_match(&self, text: &[u8]) -> bool {
        self.may_end(text) && self.next(text).is_some()
    }

    #[inline]
    pub(in super::super) fn has(&self, byte: u8) -> bool {
        self.of.get(usize::from(byte)).is_some_and(|has| *has)
    }

    /// Bytes at the start of `text` that matches are made of.
    pub(in super::super) fn own(&self, text: &[u8]) -> usize {
        text.iter().position(|byte| !self.has(*byte)).unwrap_or(text.len())
    }

    /// The next stretch in which a match can stand; it may go on behind the text.
    pub(in super::super) fn next(&self, text: &[u8]) -> Option<Range<usize>> {
        let least = self.bytes_min as usize;
        let mut from = 0;
        loop {
            // From the end of where the shortest could stand: a foreign byte there rules out
            // everything up to it, most of it unseen.
            let shortest = text.get(from..from + least)?;
            if let Some(foreign) = shortest.iter().rposition(|byte| !self.has(*byte)) {
                from += foreign + 1;
                continue;
            }
            let upto = from + least + self.own(text.get(from + least..)?);
            let run = text.get(from..upto)?;
            if self.needs.is_none_or(|byte| memchr::memchr(byte, run).is_some()) {
                return Some(from..upto);
            }
            from = upto;
        }
    }
}
