//! Short texts that are looked for all at once, each by the pair of its bytes that plain English has least.

use crate::filter::sample::ENGLISH;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

/// The fewest bytes of a needle, and those of one that is worth more.
pub(super) const NEEDLE: Range<usize> = 3..6;

/// Some texts, of each of which the two bytes are looked for that plain English has least.
pub(super) struct Needles {
    /// Which pairs of bytes are looked for: 1 for each of them.
    marks: Box<[u8; PAIRS]>,
    /// By their pair.
    texts: Vec<Needle>,
    /// Where those of each pair begin among them, and where the last end.
    firsts: Box<[u16]>,
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
/// How many pairs are looked at together.
const AT_ONCE: usize = 8;

impl Needles {
    /// `None` if there are no texts; they are of [`NEEDLE`] bytes at least.
    pub(super) fn of(least: &[&[u8]]) -> Option<Needles> {
        let mut marks = Box::new([0; PAIRS]);
        let mut texts = Vec::with_capacity(least.len());
        for text in least {
            let (at, pair) = rarest(text)?;
            if let Some(mark) = marks.get_mut(pair) {
                *mark = 1;
            }
            texts.push(Needle { pair, at, text: (*text).into() });
        }
        texts.sort_unstable();
        let before = |pair: usize| texts.partition_point(|needle| needle.pair < pair);
        let firsts = (0..=PAIRS).map(|pair| u16::try_from(before(pair)).ok());
        let firsts = firsts.collect::<Option<_>>()?;
        (!texts.is_empty()).then_some(Needles { marks, texts, firsts })
    }

    /// May one of them stand in `text`?
    pub(super) fn may_be_in(&self, text: &[u8]) -> bool {
        let mark = |pair: usize| self.marks.get(pair).copied().unwrap_or(1);
        let mut place = 0;
        // Some pairs at once, so that nothing is decided for each of them.
        while let Some(some) = text.get(place..).and_then(<[u8]>::first_chunk::<{ AT_ONCE + 1 }>) {
            let pairs: [usize; AT_ONCE] = std::array::from_fn(|at| pair(some[at], some[at + 1]));
            let marked = pairs.iter().fold(0, |marked, pair| marked | mark(*pair));
            if marked != 0 && self.is_at_some(place, &pairs, text) {
                return true;
            }
            place += AT_ONCE;
        }
        let rest = text.get(place..).unwrap_or_default();
        let mut last = (place..).zip(rest.windows(2)).filter_map(|(place, two)| match two {
            [first, second] => Some((place, pair(*first, *second))),
            _ => None,
        });
        last.any(|(place, pair)| mark(pair) != 0 && self.has_at(pair, place, text))
            || has_odd_case(text)
    }

    fn is_at_some(&self, place: usize, pairs: &[usize; AT_ONCE], text: &[u8]) -> bool {
        (place..).zip(pairs).any(|(place, pair)| self.has_at(*pair, place, text))
    }

    #[inline]
    fn has_at(&self, pair: usize, place: usize, text: &[u8]) -> bool {
        let Some([first, end]) = self.firsts.get(pair..pair + 2) else { return true };
        let same = self.texts.get(usize::from(*first)..usize::from(*end)).unwrap_or_default();
        same.iter().any(|needle| needle.is_at(place, text))
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
