//! What the compiler refuses and warns of.

use super::{redact, regex, rule};
use crate::filter::{
    Action, Channels, Complaint, Limits, OnOverflow, Pattern, Reason, Rule, Severity, Span,
    compile, compile_within,
};

fn refused(one: Rule) -> Complaint {
    let complaints = compile(&[one]).err().unwrap_or_default();
    let error = complaints.into_iter().find(|complaint| complaint.severity == Severity::Error);
    error.unwrap_or_else(|| panic!("accepted"))
}

#[test]
fn an_unbounded_gap_is_shown_and_a_bound_suggested() {
    for (pattern, place, suggestion) in [
        ("password.*=x", ".*", "password.{0,200}=x"),
        ("a.*?b", ".*?", "a.{0,200}?b"),
        (r"\b[a-z]{20,}\b", "[a-z]{20,}", r"\b[a-z]{20,200}\b"),
        ("(?:ab)+c", "(?:ab)+", "(?:ab){1,200}c"),
        ("a(?:.*c)?", ".*", "a(?:.{0,200}c)?"),
    ] {
        let complaint = refused(redact(regex(pattern)));
        assert_eq!(complaint.reason, Reason::Unbounded, "{pattern}");
        assert_eq!(&pattern[complaint.span], place, "{pattern}");
        assert_eq!(complaint.suggestion.as_deref(), Some(suggestion));
        assert!(compile(&[redact(regex(suggestion))]).is_ok(), "{suggestion}");
    }
}

#[test]
fn what_only_grows_after_its_first_match_is_no_gap() {
    for pattern in [r"\bsk-[a-z]{20,}", "a+", "(?:ab)+", "a+b?a+", "é{2,}x?"] {
        assert!(compile(&[redact(regex(pattern))]).is_ok(), "{pattern}");
    }
}

#[test]
fn nonsense_is_refused_with_its_place() {
    let error = |pattern| refused(redact(pattern));
    assert_eq!(error(regex("a*")).reason, Reason::Empty);
    assert_eq!(error(regex("a|b?")).reason, Reason::Empty);
    assert_eq!(error(regex(r"a\bb")).reason, Reason::Never);
    assert!(matches!(error(regex("a(b")).reason, Reason::Syntax(_)));
    assert_eq!(error(regex("ab[c")).span, 2..3);
    assert_eq!(error(Pattern::Literals(vec![])).reason, Reason::Nothing);
    let empty = error(Pattern::Words(vec!["a".into(), String::new()]));
    assert_eq!((empty.text, empty.reason), (1, Reason::Empty));
    assert!(matches!(
        error(regex("a[^z]{5000}z")).reason,
        Reason::TooLong { .. } | Reason::TooLarge
    ));
    assert!(matches!(
        error(Pattern::Literals(vec!["x".repeat(5000)])).reason,
        Reason::TooLong { .. }
    ));
    assert_eq!(error(regex(r"(?:\pL{40}x){90}")).reason, Reason::TooLarge);
    let nowhere = Rule { channels: Channels::NONE, ..redact(regex("ab")) };
    assert_eq!(refused(nowhere).reason, Reason::NoChannel);
}

/// What is built from an expression nests as deep as it is long, and a stack has an end.
#[test]
fn an_expression_has_a_longest_form() {
    let longest = "k".repeat(2_048);
    assert!(compile(&[redact(regex(&longest))]).is_ok());
    drop(compile(&[redact(regex(&format!("(?i){}", &longest[4..])))]));
    for pattern in [format!("{longest}k"), "é".repeat(50_000)] {
        assert!(matches!(refused(redact(regex(&pattern))).reason, Reason::Syntax(_)));
    }
}

#[test]
fn a_span_that_must_wait_may_not_be_longer_than_the_hold() {
    let span = |bytes_max, on_overflow| {
        let (open, close) = ("<a>".into(), "</a>".into());
        Pattern::Span(Span { open, close, bytes_max, on_overflow })
    };
    assert!(matches!(
        refused(redact(span(5000, OnOverflow::Release))).reason,
        Reason::TooLong { needs: 5000, bytes_max: 4096 }
    ));
    assert!(compile(&[redact(span(5000, OnOverflow::Redact))]).is_ok());
    assert!(compile(&[rule(span(5000, OnOverflow::Release), Action::Flag)]).is_ok());
    let closing = Pattern::Span(Span {
        open: "<a>".into(),
        close: "(".into(),
        bytes_max: 9,
        on_overflow: OnOverflow::Redact,
    });
    let complaint = refused(redact(closing));
    assert_eq!(complaint.text, 1);
}

#[test]
fn the_limit_is_the_callers() {
    let limits = Limits { hold_bytes_max: 8, ..Limits::default() };
    assert!(compile_within(&[redact(regex("a[b-z]{9}a"))], &limits).is_err());
    assert!(compile_within(&[redact(regex("a[b-z]{3}a"))], &limits).is_ok());
}

#[test]
fn shadowed_rules_are_told() {
    let literal = |text: &str| Pattern::Literals(vec![text.into()]);
    let rules = [
        redact(literal("abc")),
        redact(regex("a[a-z]c")),
        redact(literal("abc")),
        rule(literal("abc"), Action::Cut),
    ];
    let set = compile(&rules).unwrap_or_else(|complaints| panic!("{complaints:?}"));
    let found: Vec<(usize, Reason)> = set
        .warnings()
        .iter()
        .filter(|warning| matches!(warning.reason, Reason::Shadowed { .. }))
        .map(|warning| (warning.rule, warning.reason.clone()))
        .collect();
    let by = |by| Reason::Shadowed { by };
    assert_eq!(found, [(0, by(1)), (2, by(0)), (2, by(1))]);
}

#[test]
fn what_holds_much_of_english_is_warned_of() {
    let rules = [
        redact(regex(r"\b[a-z]{1,20}@[a-z]{1,20}\b")),
        redact(regex(r"\bAKIA[A-Z0-9]{16}\b")),
        redact(Pattern::Words(vec!["zebra".into()])),
    ];
    let set = compile(&rules).unwrap_or_else(|complaints| panic!("{complaints:?}"));
    let holds: Vec<usize> = set
        .warnings()
        .iter()
        .filter(|warning| matches!(warning.reason, Reason::Holds { .. }))
        .map(|warning| warning.rule)
        .collect();
    assert_eq!(holds, [0]);
    let held: Vec<f64> = set.costs().iter().map(|cost| cost.held.unwrap().share).collect();
    assert!(held[0] > 0.8 && held[1] < 0.01 && held[2] < 0.01, "{held:?}");
}
