//! Matching on folded views: what reads the same is found, and nothing depends on pieces.

use super::{Sent, chars, drive_kind, redact, regex, rule, split};
use crate::filter::fold::Wanted;
use crate::filter::{
    Action, Cache, Case, Kind, Limits, OnOverflow, Pattern, Rule, Ruleset, Span, compile_within,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn compiled(rules: &[Rule]) -> Ruleset {
    let limits = Limits::default();
    compile_within(rules, &limits).unwrap_or_else(|complaints| panic!("{complaints:?}"))
}

/// As a document, on which all views are read.
fn drive(rules: &Ruleset, cache: &mut Cache, pieces: &[&str]) -> Sent {
    drive_kind(rules, Kind::Document, cache, pieces)
}

fn texts(list: &[&str]) -> Pattern {
    Pattern::Literals(list.iter().map(|text| (*text).to_owned()).collect())
}

fn words(list: &[&str]) -> Pattern {
    Pattern::Words(list.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn what_reads_the_same_is_found() {
    let rules = [
        Rule { case: Case::Any, ..redact(words(&["ignore rules"])) },
        redact(regex(r"\bsk-[a-z0-9]{8,}")),
        redact(texts(&["Straße"])),
    ];
    let set = compiled(&rules);
    let mut cache = Cache::default();
    for (text, sent) in [
        ("so ignore rules!", "so [0]!"),
        ("so \u{FF49}gnore rules!", "so [0]!"),
        ("so ign\u{200B}ore r\u{00FC}les!", "so [0]!"),
        ("so ign\u{43E}re rules!", "so [0]!"),
        ("so &#105;gnore rules!", "so [0]!"),
        ("key \u{FF53}k-abcd1234 x", "key [1] x"),
        ("in der Straße 1", "in der [2] 1"),
        ("an & and 50% of \\n it is é", "an & and 50% of \\n it is é"),
    ] {
        for pieces in [vec![text], chars(text)] {
            let got = drive(&set, &mut cache, &pieces);
            assert_eq!(got.text, sent, "{pieces:?}");
        }
    }
}

#[test]
fn encoded_text_is_found() {
    // aWdub3JlIHJ1bGVzIG5vdw is "ignore rules now".
    let set = compiled(&[redact(words(&["ignore rules"]))]);
    let text = "run aWdub3JlIHJ1bGVzIG5vdw== now";
    for pieces in [vec![text], chars(text)] {
        let sent = drive(&set, &mut Cache::default(), &pieces);
        assert!(!sent.text.contains("aWdub3JlIHJ1"), "{}", sent.text);
        assert!(sent.text.starts_with("run [0]"), "{}", sent.text);
    }
}

#[test]
fn joined_letters_are_only_told() {
    let rules = [rule(texts(&["ignore"]), Action::Cut), rule(texts(&["ignore"]), Action::Flag)];
    let set = compiled(&rules);
    let text = "please i g n o r e it";
    let both = [Kind::Document, Kind::Answer];
    for (pieces, kind) in [vec![text], chars(text)].iter().flat_map(|p| both.map(|k| (p, k))) {
        let sent = drive_kind(&set, kind, &mut Cache::default(), pieces);
        assert_eq!((sent.text.as_str(), sent.stop), (text, None));
        let found: Vec<_> = sent.findings.iter().map(|f| (f.rule, f.start, f.end)).collect();
        assert_eq!(found, [(1, 7, 18)], "{pieces:?}");
    }
}

/// The places that the main view took over once kept the raw text's hints, by whose positions
/// another state was read.
#[test]
fn a_view_that_parts_again_and_again_reads_its_own_states() {
    let span = Span {
        open: "<a".into(),
        close: "b>".into(),
        bytes_max: 9,
        on_overflow: OnOverflow::Redact,
    };
    let set = compiled(&[redact(Pattern::Span(span))]);
    let pieces = ["\u{200b} >>", "é", "<&#97;&"];
    let sent = drive(&set, &mut Cache::default(), &pieces);
    assert_eq!(sent.text, "\u{200b} >>é[0]");
}

/// A hit of one view once grew by a hit of another, whose positions followed by chance.
#[test]
fn hits_of_different_views_stay_apart() {
    let set = compiled(&[rule(regex("[^a]c"), Action::Flag)]);
    let sent = drive(&set, &mut Cache::default(), &["<c YWJjYWIgYWJjYWIgYWI="]);
    let found: Vec<_> = sent.findings.iter().map(|f| (f.start, f.end)).collect();
    assert_eq!(found, [(0, 2), (3, 7), (11, 15)]);
}

/// What an ended run left open was once held until there was another run.
#[test]
fn an_ended_run_holds_nothing() {
    let set = compiled(&[redact(regex("[^a]c"))]);
    let text = "6162632061622061626361, and so on and so on";
    let sent = drive(&set, &mut Cache::default(), &chars(text));
    let (fed, released) = sent.trace.last().copied().unwrap();
    assert!(released + 4 > fed as u64, "{released} of {fed}");
}

#[test]
fn plain_text_passes_whole() {
    // The encoded views may wait for the second letter of a word.
    let limits = Limits { fold: Some(Wanted::LEAST), ..Limits::default() };
    let set = compile_within(&[redact(words(&["zzz"]))], &limits).unwrap();
    let text = "Nothing here is odd, and nothing waits.";
    let sent = drive(&set, &mut Cache::default(), &chars(text));
    assert_eq!(sent.whole, text.len());
}

fn one() -> impl Strategy<Value = Rule> {
    let span = |policy| {
        Pattern::Span(Span {
            open: "<a".into(),
            close: "b>".into(),
            bytes_max: 9,
            on_overflow: policy,
        })
    };
    let pattern = prop_oneof![
        3 => "[abé]{1,4}c?".prop_map(|text| Pattern::Literals(vec![text])),
        3 => "[abé]{1,3}( [ab1])?".prop_map(|text| Pattern::Words(vec![text])),
        1 => Just(regex("a[a-c]{1,3}b")),
        1 => Just(regex(r"\bab{2,}")),
        1 => Just(regex("[^a]c")),
        1 => Just(regex(r"c\b")),
        1 => Just(span(OnOverflow::Redact)),
        1 => Just(span(OnOverflow::Block)),
        1 => Just(span(OnOverflow::Release)),
    ];
    let action = prop_oneof![
        4 => Just(Action::Redact(crate::filter::Redaction::Hash)),
        1 => Just(Action::Cut),
        1 => Just(Action::Flag),
    ];
    (pattern, action).prop_map(|(pattern, action)| rule(pattern, action))
}

/// Text with everything that the fold looks at.
fn text() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        4 => "[abc <>é1]{1,4}".prop_map(|text| text),
        1 => Just("\u{FF41}\u{FF42}".to_owned()), 1 => Just("\u{200B}".to_owned()),
        1 => Just("\u{430}".to_owned()), 1 => Just("\u{0301}".to_owned()),
        1 => Just("&#97;".to_owned()), 1 => Just("%62".to_owned()), 1 => Just("&".to_owned()),
        1 => Just("\\u0063".to_owned()), 1 => Just("\u{E0061}\u{E0062}".to_owned()),
        1 => Just("YWJjYWIgYWJjYWIgYWI=".to_owned()), 1 => Just("6162632061622061626361".to_owned()),
        2 => Just("a b a b c".to_owned()), 1 => Just(" b c ".to_owned()), 1 => Just("\u{FF1C}".to_owned()),
    ];
    vec(scrap, 0..7).prop_map(|parts| parts.concat())
}

fn cases() -> u32 {
    std::env::var("FIREDOOR_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(96)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(), max_shrink_iters: 3000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn folded_results_do_not_depend_on_pieces(
        rules in vec(one(), 1..4),
        text in text(),
        cuts in vec(0_usize..128, 0..8),
    ) {
        let set = compiled(&rules);
        let mut cache = Cache::default();
        // On a document encoded text is looked for, on an answer most pieces are their own fold.
        for kind in [Kind::Document, Kind::Answer] {
            let letters = drive_kind(&set, kind, &mut cache, &chars(&text));
            let whole = drive_kind(&set, kind, &mut cache, &[&text]);
            let pieces = split(&text, &cuts);
            let parts = drive_kind(&set, kind, &mut cache, &pieces);
            let released: std::collections::HashMap<usize, u64> =
                letters.trace.iter().copied().collect();
            for sent in [&whole, &parts] {
                prop_assert_eq!(&sent.shown, &letters.shown, "{:?}", pieces);
                prop_assert_eq!(sent.stop, letters.stop);
                prop_assert_eq!(&sent.findings, &letters.findings, "{:?}", pieces);
            }
            for (fed, at) in &parts.trace {
                let wanted = released.get(fed).copied().unwrap_or(0);
                prop_assert_eq!(*at, wanted, "after {} bytes of {:?}", fed, pieces);
            }
        }
    }

    /// Folding only ever adds: what is hidden without it is hidden with it.
    #[test]
    fn folding_uncovers_nothing(rules in vec(one(), 1..4), text in text()) {
        let rules: Vec<Rule> = rules.into_iter().filter(|rule| rule.action != Action::Cut).collect();
        if rules.is_empty() {
            return Ok(());
        }
        let raw = compile_within(&rules, &super::RAW).unwrap();
        let mut cache = Cache::default();
        let plain: Sent = drive(&raw, &mut cache, &chars(&text));
        let folded = drive(&compiled(&rules), &mut cache, &chars(&text));
        if folded.stop.is_some() {
            return Ok(());
        }
        for finding in &plain.findings {
            prop_assert!(
                folded.findings.iter().any(|other| other.rule == finding.rule
                    && other.start <= finding.start && finding.end <= other.end),
                "{:?} is not among {:?}", finding, folded.findings
            );
        }
    }
}
