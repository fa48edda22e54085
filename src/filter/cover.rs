//! Stretches to hide, and the one that is being let go.

use super::digest::Digest;
use super::release::{Hidden, Release, Shows};
use super::rule::Redaction;
use smallvec::SmallVec;

/// A stretch to hide, and the rule that began it: of the matches with its start, the first rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cover {
    pub start: u64,
    pub end: u64,
    pub rule: u32,
    /// Whether another rule hides a part of it too.
    pub is_shared: bool,
}

/// Adds a stretch to the sorted ones; those that touch become one.
pub(crate) fn add(covers: &mut SmallVec<[Cover; 1]>, mut all: Cover) {
    if all.start >= all.end {
        return;
    }
    let from = covers.partition_point(|known| known.end < all.start);
    let mut upto = from;
    while let Some(known) = covers.get(upto).filter(|known| known.start <= all.end) {
        all.is_shared |= known.is_shared || known.rule != all.rule;
        if (known.start, known.rule) < (all.start, all.rule) {
            all.rule = known.rule;
        }
        all.start = all.start.min(known.start);
        all.end = all.end.max(known.end);
        upto += 1;
    }
    covers.drain(from..upto);
    covers.insert(from, all);
}

/// The hidden stretch in which the released text ends.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub rule: u32,
    pub start: u64,
    is_shared: bool,
    end: u64,
    digest: Digest,
    last: SmallVec<[char; 4]>,
    chars: u64,
}

impl Run {
    pub(crate) fn new(rule: u32, start: u64, key: &[u8; 16]) -> Self {
        Self {
            rule,
            start,
            is_shared: false,
            end: start,
            digest: Digest::new(key),
            last: SmallVec::new(),
            chars: 0,
        }
    }

    /// Goes on with a stretch.
    pub(crate) fn join(&mut self, cover: &Cover) {
        self.is_shared |= cover.is_shared || cover.rule != self.rule;
    }

    /// Takes the next hidden text.
    pub(crate) fn write(&mut self, text: &str) {
        self.digest.write(text.as_bytes());
        self.end += text.len() as u64;
        let count = text.chars().count();
        self.chars += count as u64;
        for letter in text.chars().skip(count.saturating_sub(4)) {
            if self.last.len() == 4 {
                self.last.remove(0);
            }
            self.last.push(letter);
        }
    }

    /// Reports it. Not before it has ended: only then is it sure which rule began it, and what of
    /// it may be shown.
    pub(crate) fn report(self, redaction: Redaction, out: &mut Release) {
        let shows = match redaction {
            Redaction::Hash => Shows::Digest(self.digest.finish()),
            // Four of a short text would be most of it; and the end may be what another rule hides.
            Redaction::KeepLast4 if self.chars >= 12 && !self.is_shared => Shows::Last(self.last),
            Redaction::Marker | Redaction::KeepLast4 => Shows::Nothing,
        };
        let offset = out.text.len();
        let Self { rule, start, end, .. } = self;
        out.hidden.push(Hidden { offset, rule, start, end, shows });
    }
}
