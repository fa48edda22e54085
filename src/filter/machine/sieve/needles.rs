//! Short texts that are looked for all at once, each by the pair of its bytes that plain English has least.

use crate::filter::sample::ENGLISH;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

/// The fewest bytes of a needle, and those of one that is worth more.
pub(super) const NEEDLE: Range<usize> = 3..6;

/// Some texts, of each of which the two bytes are looked for that plain English has least.
pub(super) struct Needles {
    /// Which pairs of bytes are looked for.
    marks: Box<[u64; PAIRS / 64]>,
    /// By their pair.
    texts: Vec<Needle>,
}

/// A text, and the pair by which it is found.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Needle {
    pair: usize,
    /// Where the pair is in the text.
    at: usize,
    text: Box<[u8]>,
}

impl Needle {
    /// Does the text stand where its pair stands at `place`?
    fn is_at(&self, place: usize, text: &[u8]) -> bool {
        let begin = place.checked_sub(self.at);
        let here = begin.and_then(|begin| text.get(begin..begin + self.text.len()));
        here.is_some_and(|here| here.iter().zip(&self.text).all(|(is, has)| loosely(*is) == *has))
    }
}

const PAIRS: usize = 1 << 12;

impl Needles {
    /// `None` if there are no texts; they are of [`NEEDLE`] bytes at least.
    pub(super) fn of(least: &[&[u8]]) -> Option<Needles> {
        let mut marks = Box::new([0; PAIRS / 64]);
        let mut texts = Vec::with_capacity(least.len());
        for text in least {
            let (at, pair) = rarest(text)?;
            if let Some(marks) = marks.get_mut(pair / 64) {
                *marks |= 1 << (pair % 64);
            }
            texts.push(Needle { pair, at, text: (*text).into() });
        }
        texts.sort_unstable();
        (!texts.is_empty()).then_some(Needles { marks, texts })
    }

    /// May one of them stand in `text`?
    pub(super) fn may_be_in(&self, text: &[u8]) -> bool {
        let mut pairs = text.windows(2).enumerate();
        let is_here = |(place, two): (usize, &[u8])| {
            let [first, second] = two else { return false };
            let pair = pair(*first, *second);
            let is_marked =
                self.marks.get(pair / 64).is_some_and(|one| one >> (pair % 64) & 1 != 0);
            is_marked && self.has_at(pair, place, text)
        };
        pairs.any(is_here) || has_odd_case(text)
    }

    #[cold]
    fn has_at(&self, pair: usize, place: usize, text: &[u8]) -> bool {
        let first = self.texts.partition_point(|needle| needle.pair < pair);
        let mut same = self.texts.iter().skip(first).take_while(|needle| needle.pair == pair);
        same.any(|needle| needle.is_at(place, text))
    }
}

/// Letters that without their case are ASCII ones. Texts are written with those; where a text that is
/// searched has one of these, nothing is ruled out.
pub(super) const ODD_CASE: [char; 2] = ['\u{17F}', '\u{212A}'];

fn has_odd_case(text: &[u8]) -> bool {
    let begins = memchr::memchr2_iter(0xC5, 0xE2, text);
    let behind = begins.filter_map(|at| text.get(at..));
    behind
        .into_iter()
        .any(|rest| rest.starts_with(b"\xC5\xBF") || rest.starts_with(b"\xE2\x84\xAA"))
}

/// A byte without its case. Some signs become others.
pub(super) fn loosely(byte: u8) -> u8 {
    byte | 0x20
}

/// Six bits of each of two bytes.
#[inline]
fn pair(first: u8, second: u8) -> usize {
    let six = |byte: u8| usize::from(byte & 0x1F | byte >> 1 & 0x20);
    six(first) << 6 | six(second)
}

/// Those of some texts that have no other in them: what has one is found by that.
pub(super) fn least_of(texts: &[Vec<u8>]) -> Vec<&[u8]> {
    let mut by_length: Vec<&[u8]> = texts.iter().map(|text| &**text).collect();
    by_length.sort_unstable_by_key(|text| text.len());
    let mut known = HashSet::new();
    by_length.retain(|text| {
        let mut lengths = NEEDLE.start..=(NEEDLE.end + 3).min(text.len());
        let is_found = lengths.any(|length| text.windows(length).any(|part| known.contains(part)));
        !is_found && known.insert(*text)
    });
    by_length
}

/// How often plain English has two bytes one behind the other.
static PAIRS_SEEN: LazyLock<Box<[u32; PAIRS]>> = LazyLock::new(|| {
    let mut seen = Box::new([0; PAIRS]);
    for two in ENGLISH.as_bytes().windows(2) {
        if let [first, second] = two
            && let Some(count) = seen.get_mut(pair(*first, *second))
        {
            *count += 1;
        }
    }
    seen
});

/// The pair of bytes of a text that plain English has least, and where it is.
fn rarest(text: &[u8]) -> Option<(usize, usize)> {
    let pairs = text.windows(2).enumerate().filter_map(|(at, two)| match two {
        [first, second] => Some((at, pair(*first, *second))),
        _ => None,
    });
    pairs.min_by_key(|(_, pair)| PAIRS_SEEN.get(*pair).copied())
}

/// How often plain English may have a text, at the most.
pub(super) fn often(text: &[u8]) -> u32 {
    rarest(text).and_then(|(_, pair)| PAIRS_SEEN.get(pair).copied()).unwrap_or(u32::MAX)
}
