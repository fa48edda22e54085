//! Cases by hand: one expected result under every way to cut the text.

use super::{chars, compiled, drive, redact, regex, rule};
use crate::filter::{
    Action, Cache, Case, Channels, Detector, Kind, Limits, OnOverflow, Passage, Pattern, Redaction,
    Release, Rule, Scanner, Span, Unjudged, compile_within,
};

fn literals(texts: &[&str]) -> Pattern {
    Pattern::Literals(texts.iter().map(|text| (*text).to_owned()).collect())
}

fn words(texts: &[&str]) -> Pattern {
    Pattern::Words(texts.iter().map(|text| (*text).to_owned()).collect())
}

fn span(open: &str, close: &str, bytes_max: u32, on_overflow: OnOverflow) -> Pattern {
    Pattern::Span(Span { open: open.into(), close: close.into(), bytes_max, on_overflow })
}

fn any_case(rule: Rule) -> Rule {
    Rule { case: Case::Any, ..rule }
}

/// Runs whole, by characters, and at every pair of cuts.
fn check(rules: &[Rule], text: &str, sent: &str, stop: Option<(u32, u64)>) {
    let set = compiled(rules);
    let mut cache = Cache::default();
    let borders: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
    let mut ways = vec![vec![text], chars(text)];
    for (index, one) in borders.iter().enumerate() {
        for two in &borders[index..] {
            ways.push(vec![&text[..*one], &text[*one..*two], &text[*two..]]);
        }
    }
    for way in ways {
        let got = drive(&set, &mut cache, &way);
        assert_eq!((got.text.as_str(), got.stop), (sent, stop), "{way:?}");
    }
}

#[test]
fn every_split_of_a_key() {
    let rules = [
        any_case(redact(regex("sk-[A-Za-z0-9]{8,}"))),
        any_case(redact(literals(&["secret"]))),
        rule(regex(r"\b\d{3}-\d{2}-\d{4}\b"), Action::Cut),
    ];
    let text = "use sk-AbCd12345678 now, it is Secretsecret. 1123-45-6789";
    check(&rules, text, "use [0] now, it is [1]. 1123-45-6789", None);
    check(&rules, "id 123-45-6789 is mine", "id ", Some((2, 15)));
}

/// The stop was once judged in the middle of a character, where the prefix closure sees nothing
/// alive, so that an open match went out just before it.
#[test]
fn a_stop_inside_a_character_leaves_what_is_open() {
    let rules = [redact(regex("a[a-zé]{1,9}x")), rule(regex(r"c\b"), Action::Cut)];
    check(&rules, "1 aacéx", "1 ", Some((1, 7)));
}

/// Redacted text was once dropped at once, and with it the start of a rule still alive across it.
#[test]
fn hidden_text_stays_for_rules_that_are_alive_across_it() {
    let rules = [redact(literals(&["bb"])), redact(regex("abbc"))];
    check(&rules, "xabbcx abbx", "x[1]x a[0]x", None);
}

#[test]
fn words_stand_alone() {
    let rules = [redact(words(&["cat", "über", "a b", "+x", "猫"]))];
    for (text, sent) in [
        ("cat concat cats cat", "[0] concat cats [0]"),
        ("über überall, über.", "[0] überall, [0]."),
        ("catü cat_ cat-cat", "catü cat_ [0]-[0]"),
        ("a b, aa b, a bb", "[0], aa b, a bb"),
        ("+x a+x +xy", "[0] a[0] +xy"),
        ("黒猫です", "黒[0]です"),
    ] {
        check(&rules, text, sent, None);
    }
}

#[test]
fn words_hold_nothing_inside_other_words() {
    let set = compiled(&[redact(words(&["cat"]))]);
    let sent = drive(&set, &mut Cache::default(), &chars("conca conc ca"));
    // Only the last `c` and `ca` may still become the word; and the `c` that begins a word.
    let held: Vec<u64> = sent.trace.iter().map(|step| step.0 as u64 - step.1).collect();
    assert_eq!(held, [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2]);
}

#[test]
fn case_is_as_the_rule_says() {
    let rules = [any_case(redact(literals(&["Key"]))), redact(literals(&["Lock"]))];
    check(&rules, "KEY key lock Lock", "[0] [0] lock [1]", None);
    check(&[any_case(redact(words(&["Key"])))], "KEY keys", "[0] keys", None);
}

#[test]
fn spans_end_at_the_nearest_closing() {
    let rules = [redact(span("<k>", "</k>", 20, OnOverflow::Redact))];
    check(&rules, "a<k>b</k>c</k>d", "a[0]c</k>d", None);
    check(&rules, "a<k>b<k>c</k>d</k>", "a[0]d</k>", None);
    // Not closed in time: twenty bytes are hidden, and the text goes on.
    check(&rules, "a<k>0123456789abcdefghij", "a[0]hij", None);
    // Not closed at all: hidden to the end.
    check(&rules, "a<k>012", "a[0]", None);
    // The bound falls inside a character: it is not hidden, nor cut.
    check(&rules, "<k>0123456789abcdefé", "[0]é", None);
}

#[test]
fn an_overflow_does_what_the_rule_says() {
    let release = [redact(span("<k>", "</k>", 12, OnOverflow::Release))];
    check(&release, "a<k>0123456789", "a<k>0123456789", None);
    check(&release, "a<k>012</k>9", "a[0]9", None);
    check(&release, "a<k>012", "a<k>012", None);
    // An opening that is never closed hides none that is.
    check(&release, "<k>012<k>56789</k>", "<k>012[0]", None);
    let block = [redact(span("<k>", "</k>", 12, OnOverflow::Block))];
    check(&block, "a<k>0123456789", "a[0]", Some((0, 14)));
    check(&block, "a<k>012</k>9", "a[0]9", None);
    let cut = [rule(span("<k>", "</k>", 12, OnOverflow::Block), Action::Cut)];
    check(&cut, "a<k>0123456789", "a", Some((0, 5)));
    let late = [rule(span("<k>", "</k>", 12, OnOverflow::Release), Action::Cut)];
    check(&late, "a<k>0123456789", "a<k>0123456789", None);
    check(&late, "a<k>012</k>9", "a", Some((0, 12)));
}

#[test]
fn a_swallowed_span_keeps_no_text() {
    let set = compiled(&[redact(span("<k>", "</k>", 1 << 20, OnOverflow::Redact))]);
    let engine = set.engine(Kind::User).unwrap();
    let (mut cache, mut out) = (Cache::default(), Release::default());
    let mut scanner = Scanner::new(engine);
    scanner.push(&mut cache, "a<k>", &mut out);
    for _ in 0..10_000 {
        let progress = scanner.push(&mut cache, "0123", &mut out);
        assert_eq!((progress.held_bytes, out.text.as_str()), (0, ""));
    }
    assert!(scanner.heap_bytes() < 300, "{} bytes", scanner.heap_bytes());
}

#[test]
fn a_match_that_grows_keeps_no_text() {
    let set = compiled(&[redact(regex(r"\bsk-[a-z0-9]{8,}"))]);
    let engine = set.engine(Kind::User).unwrap();
    let (mut cache, mut out) = (Cache::default(), Release::default());
    let mut scanner = Scanner::new(engine);
    scanner.push(&mut cache, "a sk-", &mut out);
    for _ in 0..10_000 {
        let progress = scanner.push(&mut cache, "0a2b", &mut out);
        assert!(progress.held_bytes <= 11);
    }
    assert!(scanner.heap_bytes() < 300, "{} bytes", scanner.heap_bytes());
    scanner.push(&mut cache, " x", &mut out);
    assert_eq!(out.text, " x");
}

#[test]
fn detectors_hide_what_passes() {
    let card = [redact(Pattern::Detect(Detector::Luhn))];
    check(
        &card,
        "pay 4111 1111 1111 1111, no 4111 1111 1111 1112.",
        "pay [0], no 4111 1111 1111 1112.",
        None,
    );
    check(&card, "1 4111 1111 1111 1111 2", "1 [0] 2", None);
    let tags = [rule(Pattern::Detect(Detector::UnicodeTags), Action::Cut)];
    check(&tags, "hi \u{E0069}\u{E0067}", "hi ", Some((0, 11)));
    let flag = "\u{1F3F4}\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}";
    check(&tags, flag, flag, None);
}

#[test]
fn flags_change_and_hold_nothing() {
    let rules = [rule(regex("a[a-z]{2,9}z"), Action::Flag), rule(words(&["abc"]), Action::Flag)];
    let set = compiled(&rules);
    let text = "x abc abcz.";
    let sent = drive(&set, &mut Cache::default(), &chars(text));
    assert_eq!((sent.text.as_str(), sent.whole), (text, text.len()));
    let found: Vec<_> = sent.findings.iter().map(|f| (f.rule, f.start, f.end, f.at)).collect();
    assert_eq!(found, [(1, 2, 5, 6), (0, 6, 10, 11)]);
}

#[test]
fn markers_show_what_the_rule_allows() {
    let hash = rule(words(&["alice"]), Action::Redact(Redaction::Hash));
    let last = rule(regex("[0-9]{12,}"), Action::Redact(Redaction::KeepLast4));
    let named = |rule: Rule, id: &str| Rule { id: id.into(), ..rule };
    let set = compiled(&[named(hash, "name"), named(last, "card")]);
    let engine = set.engine(Kind::User).unwrap();
    let text = "alice, alice: 123456789012345";
    for pieces in [vec![text], chars(text)] {
        let (mut cache, mut out, mut sent) = (Cache::default(), Release::default(), String::new());
        let mut scanner = Scanner::new(engine);
        for piece in pieces {
            match scanner.push(&mut cache, piece, &mut out).passage {
                Passage::Whole => sent.push_str(piece),
                Passage::Parts => out.write(&set, &mut sent),
                other => panic!("{other:?}"),
            }
        }
        scanner.finish(&mut cache, &mut out);
        out.write(&set, &mut sent);
        let (one, rest) = sent.split_once(", ").unwrap();
        assert!(one.starts_with("[redacted:name:") && one.len() == 28, "{one}");
        assert_eq!(rest, format!("{one}: [redacted:card:…2345]"));
    }
}

#[test]
fn a_kind_without_rules_has_no_engine_and_equal_sets_share_one() {
    let only = |kind: Kind, text: &str| Rule {
        channels: Channels::NONE.with(kind).with(Kind::User),
        ..redact(literals(&[text]))
    };
    let set = compiled(&[only(Kind::Answer, "a"), only(Kind::Reasoning, "b")]);
    assert!(set.engine(Kind::Citation).is_none());
    assert_eq!(set.engines().count(), 3);
    // What is read as it is written has fewer views than the rest.
    let everywhere = Rule { channels: Channels::ALL, ..redact(literals(&["a"])) };
    assert_eq!(compiled(std::slice::from_ref(&everywhere)).engines().count(), 1);
    let folded = compile_within(&[everywhere], &Limits::default()).unwrap();
    assert_eq!(folded.engines().count(), 2);
    let user = Channels::NONE.with(Kind::User).with(Kind::System);
    let set = compiled(&[Rule { channels: user, ..redact(literals(&["a"])) }]);
    assert_eq!(set.engines().count(), 1);
}

/// A large list goes by the sparse automaton, whose numbering of states differs.
#[test]
fn large_lists_work_as_small_ones() {
    let many: Vec<String> = (0..9000).map(|number| format!("word{number:05}x")).collect();
    for pattern in [Pattern::Literals(many.clone()), Pattern::Words(many)] {
        let rules = [redact(pattern)];
        let set = compiled(&rules);
        let text = "a word00042x word08999x word0899 9";
        let sent = drive(&set, &mut Cache::default(), &chars(text));
        assert_eq!(sent.text, "a [0] [0] word0899 9");
    }
}

/// A rule that stays undecided in very many states at once ends the judgement, not the memory.
#[test]
fn threads_have_a_bound() {
    let many: Vec<Rule> =
        (0..80).map(|at| redact(regex(&format!("a[ab]{{{},}}", 80 + at)))).collect();
    let set = compiled(&many);
    let engine = set.engine(Kind::User).unwrap();
    let (mut cache, mut out) = (Cache::default(), Release::default());
    let mut scanner = Scanner::new(engine);
    let text = "a".repeat(4096);
    let judged = scanner.push(&mut cache, &text, &mut out).passage != Passage::Unjudged;
    assert_eq!(scanner.unjudged(), Some(Unjudged::Threads), "{judged}");
    assert!(out.is_empty());
    assert_eq!(scanner.push(&mut cache, "b", &mut out).passage, Passage::Unjudged);
}
