//! What rules a long text out before an automaton reads it.
//!
//! Every match of an expression has one of a few short texts in it ([`Needles`]), or is a run of
//! bytes of its own that plain text has few of ([`Runs`]). Where a text has neither, no match is
//! in it. To see that takes a fraction of what the automaton takes.
//!
//! What always holds: a sieve says no only where there is no match. It looks at bytes without their
//! case, and more loosely where that is cheap, so its yes means nothing.

use super::closure::{bytes_of, needed_byte};
use crate::filter::sample::ENGLISH;
use regex_syntax::hir::{Class, Hir, HirKind};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

/// The most texts that are tried for a part of an expression.
const TEXTS_MAX: usize = 512;
/// The fewest bytes of a needle, and those of one that is worth more.
const NEEDLE: Range<usize> = 3..6;
/// The most texts of a sieve: with more of them nearly every pair of bytes would be looked at twice.
const NEEDLES_MAX: usize = 2048;
/// The shortest match that is worth looking for by its own bytes.
const RUN_BYTES_MIN: u64 = 24;

/// What sieves texts for a set of expressions.
pub(crate) struct Sieve {
    needles: Option<Needles>,
    /// Runs of the bytes of all expressions that have no such text.
    runs: Option<Runs>,
    /// Whether every expression is found by the one or the other.
    is_complete: bool,
}

/// What a sieve says of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sieved {
    /// More than the beginning of a match may stand in it.
    pub may_have_begun: bool,
    /// A match may.
    pub may_match: bool,
}

impl Sieve {
    /// A sieve for these expressions; `None` if they have too many texts. `begun` has texts of which one
    /// is in whatever is more than the beginning of a match.
    pub(super) fn new(hirs: &[&Hir], begun: Vec<Vec<u8>>) -> Option<Sieve> {
        let (mut texts, mut runs, mut is_complete) = (begun, None::<Runs>, true);
        for hir in hirs {
            let own = Runs::new(&core(hir));
            let needed = needed(hir);
            let is_sharp = needed.as_ref().is_some_and(|set| least(set) > NEEDLE.start);
            let is_run = own.bytes_min >= RUN_BYTES_MIN && !own.has(b' ') && !own.has(b'\n');
            match needed {
                _ if is_run && !is_sharp => {
                    runs = Some(match runs {
                        Some(runs) => runs.or(&own),
                        None => Runs { needs: None, ..own },
                    });
                }
                Some(needed) => texts.extend(needed),
                None => is_complete = false,
            }
        }
        let texts = least_of(&texts);
        (texts.len() <= NEEDLES_MAX).then(|| Sieve {
            needles: Needles::of(&texts),
            runs,
            is_complete,
        })
    }

    pub(super) fn sieve(&self, text: &[u8]) -> Sieved {
        let may_have_begun = self.needles.as_ref().is_some_and(|needles| needles.may_be_in(text));
        let may_match = may_have_begun
            || !self.is_complete
            || self.runs.as_ref().is_some_and(|own| own.may_match(text));
        Sieved { may_have_begun, may_match }
    }
}

/// What of an expression says early that a match has begun.
pub(super) struct Early {
    /// Its words, cut behind a rare text where they have one.
    pub hir: Hir,
    /// Those texts: what is longer than the words above has one of them.
    pub texts: Vec<Vec<u8>>,
}

/// Cuts an expression behind the first rare text that all of its words have.
pub(super) fn early(hir: &Hir) -> Early {
    let whole = || Early { hir: hir.clone(), texts: Vec::new() };
    match hir.kind() {
        HirKind::Capture(capture) => early(&capture.sub),
        HirKind::Alternation(parts) => {
            let parts: Vec<Early> = parts.iter().map(early).collect();
            let texts = parts.iter().flat_map(|part| part.texts.clone()).collect();
            Early { hir: Hir::alternation(parts.into_iter().map(|part| part.hir).collect()), texts }
        }
        HirKind::Concat(parts) => {
            let mut run = vec![Vec::new()];
            for (at, part) in parts.iter().enumerate() {
                let texts = exactly(part);
                let longer = texts.as_ref().and_then(|texts| joined(&run, texts));
                if longer.is_none() && least(&run) >= NEEDLE.start {
                    let before = parts.iter().take(at).cloned().collect();
                    return Early { hir: Hir::concat(before), texts: run };
                }
                run = longer.or(texts).unwrap_or_else(|| vec![Vec::new()]);
            }
            whole()
        }
        HirKind::Empty
        | HirKind::Look(_)
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Repetition(_) => whole(),
    }
}

/// An expression without single characters at its ends that any text has; every match of the whole has
/// one of this.
fn core(hir: &Hir) -> Hir {
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
    pub(super) fn new(hir: &Hir) -> Runs {
        let bytes_min = hir.properties().minimum_len().unwrap_or(0).max(1) as u64;
        let mut of = Box::new([false; 256]);
        bytes_of(hir, &mut of);
        Runs { bytes_min, needs: needed_byte(hir), of }
    }

    /// What both are made of, as long as the shorter.
    fn or(mut self, other: &Runs) -> Runs {
        self.bytes_min = self.bytes_min.min(other.bytes_min);
        self.of.iter_mut().zip(&*other.of).for_each(|(has, also)| *has |= *also);
        self
    }

    /// Is `text` long enough for a match, and has it what every match has?
    pub(super) fn may_end(&self, text: &[u8]) -> bool {
        text.len() as u64 >= self.bytes_min
            && self.needs.is_none_or(|byte| memchr::memchr(byte, text).is_some())
    }

    fn may_match(&self, text: &[u8]) -> bool {
        self.may_end(text) && self.next(text).is_some()
    }

    #[inline]
    pub(super) fn has(&self, byte: u8) -> bool {
        self.of.get(usize::from(byte)).is_some_and(|has| *has)
    }

    /// Bytes at the start of `text` that matches are made of.
    pub(super) fn own(&self, text: &[u8]) -> usize {
        text.iter().position(|byte| !self.has(*byte)).unwrap_or(text.len())
    }

    /// The next stretch in which a match can stand; it may go on behind the text.
    pub(super) fn next(&self, text: &[u8]) -> Option<Range<usize>> {
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

/// Some texts, of each of which the two bytes are looked for that plain English has least.
struct Needles {
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
    fn of(least: &[&[u8]]) -> Option<Needles> {
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
    fn may_be_in(&self, text: &[u8]) -> bool {
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
const ODD_CASE: [char; 2] = ['\u{17F}', '\u{212A}'];

fn has_odd_case(text: &[u8]) -> bool {
    let begins = memchr::memchr2_iter(0xC5, 0xE2, text);
    let behind = begins.filter_map(|at| text.get(at..));
    behind
        .into_iter()
        .any(|rest| rest.starts_with(b"\xC5\xBF") || rest.starts_with(b"\xE2\x84\xAA"))
}

/// A byte without its case. Some signs become others.
fn loosely(byte: u8) -> u8 {
    byte | 0x20
}

/// Six bits of each of two bytes.
#[inline]
fn pair(first: u8, second: u8) -> usize {
    let six = |byte: u8| usize::from(byte & 0x1F | byte >> 1 & 0x20);
    six(first) << 6 | six(second)
}

/// Those of some texts that have no other in them: what has one is found by that.
fn least_of(texts: &[Vec<u8>]) -> Vec<&[u8]> {
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

fn least(texts: &[Vec<u8>]) -> usize {
    texts.iter().map(Vec::len).min().unwrap_or(0)
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
fn often(text: &[u8]) -> u32 {
    rarest(text).and_then(|(_, pair)| PAIRS_SEEN.get(pair).copied()).unwrap_or(u32::MAX)
}

/// Texts of which every match has one: those that plain English has least.
fn needed(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut sets = Vec::new();
    collect(hir, &mut sets);
    let how_often =
        |set: &Vec<Vec<u8>>| set.iter().map(|text| often(text)).fold(0, u32::saturating_add);
    let short = |set: &Vec<Vec<u8>>| NEEDLE.end.saturating_sub(least(set));
    sets.into_iter().min_by_key(|set| (how_often(set), short(set), set.len()))
}

/// Adds sets of texts, of each of which every match has one.
fn collect(hir: &Hir, sets: &mut Vec<Vec<Vec<u8>>>) {
    let mut add = |set: Vec<Vec<u8>>| {
        if least(&set) >= NEEDLE.start {
            sets.push(set);
        }
    };
    if let Some(texts) = exactly(hir) {
        add(texts);
        return;
    }
    match hir.kind() {
        HirKind::Capture(capture) => collect(&capture.sub, sets),
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            if let Some(least) = times(&repetition.sub, repetition.min) {
                add(least);
            }
            collect(&repetition.sub, sets);
        }
        HirKind::Alternation(parts) => {
            let each: Option<Vec<_>> = parts.iter().map(needed).collect();
            if let Some(each) = each {
                add(each.concat());
            }
        }
        HirKind::Concat(parts) => {
            let mut run = vec![Vec::new()];
            let mut inside = Vec::new();
            for part in parts {
                let texts = exactly(part);
                let longer = texts.as_ref().and_then(|texts| joined(&run, texts));
                if let Some(longer) = longer {
                    run = longer;
                    continue;
                }
                add(std::mem::replace(&mut run, texts.unwrap_or_else(|| vec![Vec::new()])));
                inside.push(part);
            }
            add(run);
            for part in inside {
                collect(part, sets);
            }
        }
        HirKind::Empty
        | HirKind::Look(_)
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Repetition(_) => {}
    }
}

/// All words of `hir`, without their case, if they are few.
fn exactly(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut texts = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![Vec::new()],
        HirKind::Literal(literal) => vec![literal.0.to_vec()],
        HirKind::Class(Class::Bytes(class)) => {
            let all = class.ranges().iter().flat_map(|range| range.start()..=range.end());
            all.take(TEXTS_MAX + 1).map(|byte| vec![byte]).collect()
        }
        HirKind::Class(Class::Unicode(class)) => {
            let all = class.ranges().iter().flat_map(|range| range.start()..=range.end());
            let all = all.filter(|letter| !ODD_CASE.contains(letter));
            all.take(TEXTS_MAX + 1).map(|letter| letter.to_string().into_bytes()).collect()
        }
        HirKind::Capture(capture) => exactly(&capture.sub)?,
        HirKind::Repetition(repetition) if (repetition.min, repetition.max) == (0, Some(1)) => {
            [vec![Vec::new()], exactly(&repetition.sub)?].concat()
        }
        HirKind::Repetition(repetition) => {
            let number = repetition.max.filter(|most| *most == repetition.min)?;
            times(&repetition.sub, number)?
        }
        HirKind::Alternation(parts) => {
            let each: Option<Vec<_>> = parts.iter().map(exactly).collect();
            each?.concat()
        }
        HirKind::Concat(parts) => {
            parts.iter().try_fold(vec![Vec::new()], |run, part| joined(&run, &exactly(part)?))?
        }
    };
    texts.iter_mut().flatten().for_each(|byte| *byte = loosely(*byte));
    texts.sort_unstable();
    texts.dedup();
    (texts.len() <= TEXTS_MAX).then_some(texts)
}

/// All words of `hir` so many times over, if they are few and that is not often.
fn times(hir: &Hir, number: u32) -> Option<Vec<Vec<u8>>> {
    let once = exactly(hir).filter(|_| number < 8)?;
    (0..number).try_fold(vec![Vec::new()], |run, _| joined(&run, &once))
}

/// Each of some texts before each of others, if that are not too many.
fn joined(before: &[Vec<u8>], behind: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if before.len() * behind.len() > TEXTS_MAX {
        return None;
    }
    let pairs =
        before.iter().flat_map(|one| behind.iter().map(move |other| [&**one, other].concat()));
    Some(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;

    fn hir(pattern: &str) -> Hir {
        regex_syntax::ParserBuilder::new().utf8(false).build().parse(pattern).unwrap()
    }

    const PATTERNS: [&str; 11] = [
        r"\bsk-(?:proj|svcacct)-[a-z0-9]{4,9}",
        r"(?i)ignore (?:all|any) previous",
        r"\bgh[pousr]_[A-Za-z0-9]{6}\b",
        r"(?i:aws_?(?:secret|sec)_?key)[ :=]{1,3}[a-z]{4}",
        r"[a-z]{3}[0-9]Q~[a-z]{4,6}",
        r"(?:kiss|passé|Straße)",
        r"[0-9]{3,4}(?:\||%7[cC])[ab]{25}(?:[^ab]|$)",
        "(?:abc|ab)cd{2}e",
        "x(?:yz){2,3}[0-9]",
        r"[a-z0-9]{24,28}",
        r"(?:^|[^a-z])pul-[0-9a-f]{2}",
    ];

    #[test]
    fn needles_are_rare_parts() {
        let texts = |pattern: &str| {
            let mut texts = needed(&hir(pattern)).unwrap();
            texts.sort();
            texts.into_iter().map(|text| String::from_utf8(text).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(texts(PATTERNS[0]), ["sk-proj-", "sk-svcacct-"]);
        assert_eq!(texts(r"\bgh[ps]_[a-z]{6}"), ["ghp\u{7f}", "ghs\u{7f}"]);
        assert!(!Sieve::new(&[&hir("[a-z]{4,9}")], vec![]).unwrap().is_complete);
        assert!(Sieve::new(&[&hir("[a-z]{40,90}")], vec![]).unwrap().is_complete);
    }

    #[test]
    fn plain_text_is_ruled_out() {
        let all: Vec<Hir> = PATTERNS.iter().map(|pattern| hir(pattern)).collect();
        let sieve = Sieve::new(&all.iter().collect::<Vec<_>>(), vec![]).unwrap();
        assert!(!sieve.sieve(b"All the usual words, in a line of plain English.").may_match);
        assert!(sieve.sieve(b"the key is sk-proj-abcd1234, is it").may_match);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn what_has_a_match_passes(
            which in 0..PATTERNS.len(),
            seed in any::<u64>(),
            before in "[a-zA-Z é.-]{0,30}",
            behind in "[a-zA-Z é.-]{0,30}",
        ) {
            let mut runner = proptest::test_runner::TestRunner::new_with_rng(
                ProptestConfig::default(),
                proptest::test_runner::TestRng::from_seed(
                    proptest::test_runner::RngAlgorithm::ChaCha,
                    &std::array::from_fn::<u8, 32, _>(|at| seed.to_le_bytes()[at % 8]),
                ),
            );
            // Assertions are no part of a text that is made up.
            let made = PATTERNS[which].replace(r"\b", "").replace("(?:^|[^a-z])", "[.]").replace("(?:[^ab]|$)", "");
            let strategy = proptest::string::string_regex(&made).unwrap();
            let matched = strategy.new_tree(&mut runner).unwrap().current();
            let text = format!("{before}{matched}{behind}");
            let all: Vec<Hir> = PATTERNS.iter().map(|pattern| hir(pattern)).collect();
            let alone = Sieve::new(&[&all[which]], vec![]).unwrap();
            prop_assert!(alone.sieve(text.as_bytes()).may_match);
            let sieve = Sieve::new(&all.iter().collect::<Vec<_>>(), vec![]).unwrap();
            prop_assert!(sieve.sieve(text.as_bytes()).may_match, "{text:?}");
        }
    }
}
