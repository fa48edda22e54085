//! Output and verdict are functions of text and rules, and what is released is exactly what the
//! definitions say, after every piece.

use super::oracle::{ascii, oracle};
use super::{RAW, Sent, chars, drive, split};
use crate::filter::{
    Action, Cache, Case, Channels, Detector, Limits, OnOverflow, Pattern, Redaction, Rule, Ruleset,
    Span, compile, compile_within,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

pub(super) fn cases(usual: u32) -> u32 {
    std::env::var("FIREDOOR_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn config(usual: u32) -> ProptestConfig {
    ProptestConfig {
        cases: cases(usual),
        max_shrink_iters: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn atom() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[abc]{1,3}".prop_map(|text| text),
        1 => Just("[ab]".into()),
        1 => Just("[^a]".into()),
        1 => Just(r"\d".into()),
        1 => Just("é".into()),
        1 => Just(r"\w".into()),
        1 => Just(r"\s".into()),
        1 => Just(r"\bab".into()),
        1 => Just(r"c\b".into()),
        1 => Just(r"a\bb?".into()),
        1 => Just(" ".into()),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let inner = atom().prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            3 => vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(?:{a}|{b})")),
            1 => (inner.clone(), 1_u32..3, 0_u32..3)
                .prop_map(|(a, least, more)| format!("(?:{a}){{{least},{}}}", least + more)),
            1 => inner.clone().prop_map(|a| format!("(?:{a})+")),
            1 => inner.clone().prop_map(|a| format!("(?:{a}){{2,}}")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}(?:{b})?")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("{a}(?:{b}){{0,4}}?c")),
        ]
    });
    inner.prop_flat_map(|body| {
        prop_oneof![
            6 => Just(body.clone()),
            1 => Just(format!("^{body}")),
            1 => Just(format!("{body}$")),
            1 => Just(format!("(?m:^{body}$)")),
        ]
    })
}

fn span() -> impl Strategy<Value = Span> {
    let open = prop_oneof![
        Just("<"),
        Just("<a"),
        Just("a<+"),
        Just("é<"),
        Just(r"\bab"),
        Just("<|a<b?"),
        Just("[ab]{2}")
    ];
    let close =
        prop_oneof![Just(">"), Just("b>"), Just("c"), Just(r"é\b"), Just(">>?|a "), Just("[^a]b")];
    let policy =
        prop_oneof![Just(OnOverflow::Release), Just(OnOverflow::Block), Just(OnOverflow::Redact)];
    (open, close, 4_u32..14, policy).prop_map(|(open, close, bytes_max, on_overflow)| Span {
        open: open.into(),
        close: close.into(),
        bytes_max,
        on_overflow,
    })
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        2 => vec("[abé]{1,4}c?", 1..3).prop_map(Pattern::Literals),
        2 => vec("-?[abé]{1,3}( [ab1])?-?", 1..3).prop_map(Pattern::Words),
        4 => expression().prop_map(Pattern::Regex),
        2 => span().prop_map(Pattern::Span),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Redact(Redaction::Marker)),
        1 => Just(Action::Redact(Redaction::Hash)),
        1 => Just(Action::Redact(Redaction::KeepLast4)),
        2 => Just(Action::Cut),
        1 => Just(Action::Reroute),
        2 => Just(Action::Flag),
    ]
}

fn one_rule(pattern: impl Strategy<Value = Pattern>) -> impl Strategy<Value = Rule> {
    (pattern, action(), any::<bool>()).prop_map(|(pattern, action, any_case)| Rule {
        id: "r".into(),
        about: String::new(),
        channels: Channels::ALL,
        pattern,
        case: if any_case { Case::Any } else { Case::Exact },
        action,
    })
}

/// Rules that compile, each by itself.
fn usable(rules: Vec<Rule>, limits: &Limits) -> Option<(Vec<Rule>, Ruleset)> {
    let good: Vec<Rule> = rules
        .into_iter()
        .filter(|rule| compile_within(std::slice::from_ref(rule), limits).is_ok())
        .collect();
    if good.is_empty() {
        return None;
    }
    let set = compile_within(&good, limits);
    Some((good, set.expect("rules that compile alone compile together")))
}

fn text() -> impl Strategy<Value = String> {
    "[abcABé1<> \n-]{0,28}"
}

/// An assertion inside a pattern can make a prefix hopeless (`a\bb`): the engine then holds a byte
/// more than the definition, never less. At the two ends it is exact.
fn inner_assertion(rule: &Rule) -> bool {
    let pattern = match &rule.pattern {
        Pattern::Regex(pattern) | Pattern::Checked { expression: pattern, .. } => pattern,
        Pattern::Span(span) => &span.open,
        Pattern::Literals(_) | Pattern::Words(_) | Pattern::Detect(_) => return false,
    };
    let middle = pattern.replace("(?m:^", "").replace("$)", "");
    let middle = middle.trim_start_matches('^').trim_start_matches(r"\b");
    middle.trim_end_matches('$').trim_end_matches(r"\b").contains(r"\b")
}

fn compare(rules: &[Rule], set: &Ruleset, text: &str, cuts: &[usize]) -> Result<(), TestCaseError> {
    let expected = oracle(rules, text);
    let holds = |rule: &Rule| rule.action != Action::Flag;
    let exact = !rules.iter().filter(|rule| holds(rule)).any(inner_assertion);
    let mut cache = Cache::default();
    for pieces in [vec![text], split(text, cuts), chars(text)] {
        let sent = drive(set, &mut cache, &pieces);
        prop_assert_eq!(sent.stop, expected.stop, "by {:?}", pieces);
        if exact || sent.stop.is_none() {
            prop_assert_eq!(&sent.text, &expected.text, "by {:?}", pieces);
        } else {
            prop_assert!(expected.text.starts_with(sent.text.as_str()));
        }
        prop_assert_eq!(&sent.findings, &expected.findings, "by {:?}", pieces);
        for (fed, released) in sent.trace {
            let wanted = expected.released[fed];
            prop_assert!(
                released <= wanted,
                "leak after {} bytes: {} for {}, {:?}",
                fed,
                released,
                wanted,
                pieces
            );
            prop_assert!(
                !exact || released == wanted,
                "late after {} bytes: {} for {}, {:?}",
                fed,
                released,
                wanted,
                pieces
            );
        }
    }
    Ok(())
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(0_usize..64, 0..8)
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn equals_oracle(rules in vec(one_rule(pattern()), 1..5), text in text(), cuts in cuts()) {
        if let Some((rules, set)) = usable(rules, &RAW) {
            compare(&rules, &set, &text, &cuts)?;
        }
    }

    #[test]
    fn regexes_equal_oracle(
        rules in vec(one_rule(expression().prop_map(Pattern::Regex)), 1..4),
        text in "[abcAé1 ]{0,24}",
        cuts in cuts(),
    ) {
        if let Some((rules, set)) = usable(rules, &RAW) {
            compare(&rules, &set, &text, &cuts)?;
        }
    }

    #[test]
    fn spans_equal_oracle(
        rules in vec(one_rule(span().prop_map(Pattern::Span)), 1..4),
        text in "[ab<>céb ]{0,30}",
        cuts in cuts(),
    ) {
        if let Some((rules, set)) = usable(rules, &RAW) {
            compare(&rules, &set, &text, &cuts)?;
        }
    }

    #[test]
    fn invariant_under_cap(
        rules in vec(one_rule(pattern()), 1..5),
        text in text(),
        cap in 4_u32..12,
        cuts in cuts(),
    ) {
        let limits = Limits { hold_bytes_max: cap, ..RAW };
        if let Some((rules, set)) = usable(rules, &limits) {
            let mut cache = Cache::default();
            let whole = drive(&set, &mut cache, &[&text]);
            for pieces in [split(&text, &cuts), chars(&text)] {
                let sent = drive(&set, &mut cache, &pieces);
                prop_assert_eq!(&sent.shown, &whole.shown, "{:?} {:?}", pieces, rules);
                prop_assert_eq!(sent.stop, whole.stop);
                prop_assert_eq!(&sent.findings, &whole.findings);
                prop_assert!(sent.held_bytes_max <= u64::from(cap), "held {} of {}", sent.held_bytes_max, cap);
            }
        }
    }

    /// Against the plain libraries on the whole text: the same stops, and nothing survives that
    /// they find.
    #[test]
    fn covers_plain_search(rules in vec(one_rule(pattern()), 1..5), text in text()) {
        let spanless = |rule: &Rule| !matches!(rule.pattern, Pattern::Span(_) | Pattern::Words(_));
        let rules: Vec<Rule> = rules.into_iter().filter(spanless).collect();
        if let Some((rules, set)) = usable(rules, &RAW) {
            let sent = drive(&set, &mut Cache::default(), &chars(&text));
            plain_search(&rules, &text, &sent)?;
        }
    }
}

fn plain_search(rules: &[Rule], text: &str, sent: &Sent) -> Result<(), TestCaseError> {
    let mut hide = vec![false; text.len()];
    let mut stopped = false;
    for rule in rules {
        let spans: Vec<(usize, usize)> = match &rule.pattern {
            Pattern::Literals(texts) => aho_corasick::AhoCorasick::builder()
                .ascii_case_insensitive(rule.case == Case::Any)
                .build(texts)
                .unwrap()
                .find_overlapping_iter(text)
                .map(|found| (found.start(), found.end()))
                .collect(),
            Pattern::Regex(pattern) => {
                use regex_automata::nfa::thompson::pikevm::PikeVM;
                let machine = PikeVM::new(&ascii(pattern, rule.case)).unwrap();
                let mut cache = machine.create_cache();
                machine
                    .find_iter(&mut cache, text)
                    .map(|found| (found.start(), found.end()))
                    .collect()
            }
            Pattern::Words(_) | Pattern::Span(_) | Pattern::Detect(_) | Pattern::Checked { .. } => {
                Vec::new()
            }
        };
        match rule.action {
            Action::Flag => {}
            Action::Redact(_) => spans.iter().for_each(|span| hide[span.0..span.1].fill(true)),
            Action::Cut | Action::Reroute => stopped |= !spans.is_empty(),
        }
    }
    prop_assert_eq!(stopped, sent.stop.is_some());
    if !stopped {
        let count = |text: &str| text.chars().filter(|letter| *letter != '1').count();
        let clean: String =
            sent.text.replace("[0]", "").replace("[1]", "").replace("[2]", "").replace("[3]", "");
        let left: String =
            text.char_indices().filter(|(at, _)| !hide[*at]).map(|found| found.1).collect();
        prop_assert!(count(&clean) <= count(&left), "{:?} from {:?}", sent.text, text);
    }
    Ok(())
}

/// Pieces of text that detectors care about.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        Just("4111 1111 1111 1111"),
        Just("4111111111111111"),
        Just("5555-5555-5555-4444"),
        Just("378282246310005"),
        Just("4"),
        Just(" "),
        Just("-"),
        Just("é"),
        Just("1"),
        Just("536-22-1234"),
        Just("666-22-1234"),
        Just("a.b@c.io"),
        Just("@"),
        Just("x.y"),
        Just("GB82WEST12345698765432"),
        Just("GB82 WEST"),
        Just("93.184.216.34"),
        Just("."),
        Just("+49 30 901820"),
        Just("415-867-5309"),
        Just("token: "),
        Just("q8Zx1LmT0vYk"),
        Just("\u{E0067}\u{E0062}"),
        Just("\u{E0069}"),
    ];
    vec(scrap, 0..5).prop_map(|parts| parts.concat())
}

fn detector() -> impl Strategy<Value = Detector> {
    proptest::sample::select(Detector::ALL.to_vec())
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn detectors_equal_oracle(
        detectors in vec(one_rule(detector().prop_map(Pattern::Detect)), 1..3),
        others in vec(one_rule(pattern()), 0..2),
        text in scraps(),
        cuts in cuts(),
    ) {
        let rules = detectors.into_iter().chain(others).collect();
        if let Some((rules, set)) = usable(rules, &RAW) {
            compare(&rules, &set, &text, &cuts)?;
        }
    }

    /// A cache of another worker, or one that other streams have filled, changes nothing.
    #[test]
    fn caches_change_nothing(
        rules in vec(one_rule(pattern()), 1..5),
        texts in vec(text(), 2..4),
    ) {
        if let Some((_, set)) = usable(rules, &RAW) {
            let engine = set.engine(crate::filter::Kind::User).unwrap();
            let alone: Vec<Sent> =
                texts.iter().map(|text| drive(&set, &mut Cache::default(), &chars(text))).collect();
            let (mut one, mut two) = (Cache::default(), Cache::default());
            two.warm(&set);
            let mut scanners: Vec<_> =
                texts.iter().map(|_| (crate::filter::Scanner::new(engine), Sent::default())).collect();
            let mut out = crate::filter::Release::default();
            for turn in 0..40 {
                for ((scanner, sent), text) in scanners.iter_mut().zip(&texts) {
                    let cache = if turn % 3 == 1 { &mut two } else { &mut one };
                    let pieces = chars(text);
                    if let Some(piece) = pieces.get(turn) {
                        let progress = scanner.push(cache, piece, &mut out);
                        sent.take(progress.passage, piece, &out);
                    } else if turn == pieces.len() {
                        let progress = scanner.finish(cache, &mut out);
                        sent.take(progress.passage, "", &out);
                    }
                }
            }
            for ((_, sent), alone) in scanners.iter().zip(&alone) {
                prop_assert_eq!(&sent.shown, &alone.shown);
                prop_assert_eq!(sent.stop, alone.stop);
            }
        }
    }
}

#[test]
fn rules_of_the_generators_compile() {
    // If most were refused, the properties above would test nothing.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut good = 0;
    for _ in 0..200 {
        let tree = one_rule(pattern()).new_tree(&mut runner).unwrap();
        good += u32::from(compile(&[tree.current()]).is_ok());
    }
    assert!(good > 120, "{good} of 200");
}
