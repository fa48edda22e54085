//! What rules a long text out before an automaton reads it.
//!
//! Every match of an expression has one of a few short texts in it ([`Needles`]), or is a run of
//! bytes of its own that plain text has few of ([`Runs`]). Where a text has neither, no match is
//! in it. To see that takes a fraction of what the automaton takes.
//!
//! What always holds: a sieve says no only where there is no match. It looks at bytes without their
//! case, and more loosely where that is cheap, so its yes means nothing.

mod early;
mod needles;
mod runs;
mod words;

pub(super) use early::{Early, early};
pub(crate) use runs::Runs;

use needles::{NEEDLE, Needles, least_of};
use regex_syntax::hir::Hir;
use runs::core;
use words::{least, needed};

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
                        None => own,
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
