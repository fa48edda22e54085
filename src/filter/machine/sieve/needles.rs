//! Short texts that are looked for all at once, each by the pair of its bytes that plain English has least.

use crate::filter::sample::ENGLISH;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

/// The fewest bytes of a needle, and those of one that is worth more.
pub(super) const NEEDLE: Range<usize> = 3..6;

/// Some texts, of each of which the two bytes are looked for that plain English has least.
pub(super) struct Needles {
    /// Which pairs of bytes are looked for: 1 for each of them, at its [`mark`].
    marks: Box<[u8; MARKS]>,
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
/// Room for the marks of all pairs, which are not marked one behind another.
const MARKS: usize = 1 << 14;
/// How many pairs are looked at together.
const AT_ONCE: usize = 7;

impl Needles {
    /// `None` if there are no texts; they are of [`NEEDLE`] bytes at least.
    pub(super) fn of(least: &[&[u8]]) -> Option<Needles> {
        let mut marks = Box::new([0; MARKS]);
        let mut texts = Vec::with_capacity(least.len());
        for text in least {
            let (at, mark) = rarest(text)?;
            if let Some(mark) = marks.get_mut(mark) {
                *mark = 1;
            }
            texts.push(Needle { pair: pair_of(mark), at, text: (*text).into() });
        }
        texts.sort_unstable();
        let before = |pair: usize| texts.partition_point(|needle| needle.pair < pair);
        let firsts = (0..=PAIRS).map(|pair| u16::try_from(before(pair)).ok());
        let firsts = firsts.collect::<Option<_>>()?;
        (!texts.is_empty()).then_some(Needles { marks, texts, firsts })
    }

    /// May one of them stand in `text`?
    pub(super) fn may_be_in(&self, text: &[u8]) -> bool {
        let is_marked = |mark: usize| self.marks.get(mark).copied().unwrap_or(1);
        let mut place = 0;
        // All pairs of a word at once, so that nothing is decided for each of them.
        while let Some(some) = text.get(place..).and_then(<[u8]>::first_chunk) {
            let word = sixes(u64::from_le_bytes(*some));
            let any = (0..AT_ONCE).fold(0, |any, at| any | is_marked(mark_at(word, at)));
            if any != 0 && self.is_at_some(place, word, text) {
                return true;
            }
            place += AT_ONCE;
        }
        let rest = text.get(place..).unwrap_or_default();
        let mut last = (place..).zip(rest.windows(2)).filter_map(|(place, two)| match two {
            [first, second] => Some((place, mark(*first, *second))),
            _ => None,
        });
        last.any(|(place, mark)| self.has_at(mark, place, text)) || has_odd_case(text)
    }

    fn is_at_some(&self, place: usize, word: u64, text: &[u8]) -> bool {
        (0..AT_ONCE).any(|at| self.has_at(mark_at(word, at), place + at, text))
    }

    #[inline]
    fn has_at(&self, mark: usize, place: usize, text: &[u8]) -> bool {
        let pair = pair_of(mark);
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

/// Six bits of each byte of a word.
#[inline]
fn sixes(word: u64) -> u64 {
    const LOW: u64 = u64::from_le_bytes([0x1F; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x20; 8]);
    word & LOW | word >> 1 & HIGH
}

/// The mark of the pair that begins at a byte of such a word.
#[inline]
fn mark_at(sixes: u64, at: usize) -> usize {
    (sixes >> (8 * at)) as usize & 0x3F3F
}

/// The mark of a pair.
fn mark(first: u8, second: u8) -> usize {
    mark_at(sixes(u64::from_le_bytes([first, second, 0, 0, 0, 0, 0, 0])), 0)
}

/// The number of the pair that has a mark.
#[inline]
fn pair_of(mark: usize) -> usize {
    mark & 0x3F | mark >> 8 << 6
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
            && let Some(count) = seen.get_mut(pair_of(mark(*first, *second)))
        {
            *count += 1;
        }
    }
    seen
});

/// Where in a text the pair is that plain English has least, and its mark.
fn rarest(text: &[u8]) -> Option<(usize, usize)> {
    let marks = text.windows(2).enumerate().filter_map(|(at, two)| match two {
        [first, second] => Some((at, mark(*first, *second))),
        _ => None,
    });
    marks.min_by_key(|(_, mark)| seen(*mark))
}

/// How often plain English has the pair of a mark.
fn seen(mark: usize) -> Option<u32> {
    PAIRS_SEEN.get(pair_of(mark)).copied()
}

/// How often plain English may have a text, at the most.
pub(super) fn often(text: &[u8]) -> u32 {
    rarest(text).and_then(|(_, mark)| seen(mark)).unwrap_or(u32::MAX)
}
