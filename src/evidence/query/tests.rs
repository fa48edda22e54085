use super::*;
use proptest::prelude::*;
use serde_json::json;

/// 28 November 2026, 12:00 UTC.
const NOW: u64 = 1_795_867_200_000;

fn read(text: &str) -> Query {
    parse(text, NOW).unwrap_or_else(|wrong| panic!("{text}: {wrong}"))
}

#[test]
fn numbers_are_read_in_their_units() {
    let most = u64::MAX;
    for (text, expected) in [
        ("status:>=400", (400, most)),
        ("status:5xx", (500, 599)),
        ("status:=200", (200, 200)),
        ("status:200..299", (200, 299)),
        ("latency:>2s", (2_000_001, most)),
        ("ttft:>500ms", (500_001, most)),
        ("latency:<1.5s", (0, 1_499_999)),
        ("cost:>0.01", (10_001, most)),
        ("cost:<=$2", (0, 2_000_000)),
        ("tokens:>1_000", (1_001, most)),
        ("tokens:<0", (1, 0)),
        ("latency:10ms..2m", (10_000, 120_000_000)),
    ] {
        let Ask::Number(_, span) = read(text).terms[0].ask else { panic!("{text}") };
        assert_eq!((span.from, span.to), expected, "{text}");
    }
}

#[test]
fn moments_are_absolute_once_they_are_read() {
    for (text, expected) in [
        ("since:2h", NOW - 7_200_000),
        ("since:1d", NOW - 86_400_000),
        ("since:now", NOW),
        ("since:2026-11-28", NOW - 12 * 3_600_000),
        ("since:2026-11-28T10:00Z", NOW - 2 * 3_600_000),
        ("since:2026-11-28T10:00", NOW - 2 * 3_600_000),
        ("since:2026-11-28T11:00:00.000+01:00", NOW - 2 * 3_600_000),
    ] {
        let Ask::Since(moment) = read(text).terms[0].ask else { panic!("{text}") };
        assert_eq!(moment, expected, "{text}");
    }
}

#[test]
fn words_phrases_and_alternatives() {
    let query = read(r#"-app:helpdesk,"a, b" "exact  words" half* answer:"x \"y\"" outcome:c*"#);
    assert_eq!(query.terms.len(), 5);
    assert!(query.terms[0].is_negated);
    let Ask::Name(Name::App, patterns) = &query.terms[0].ask else { panic!() };
    assert_eq!(patterns.iter().map(Pattern::text).collect::<Vec<_>>(), ["helpdesk", "a, b"]);
    let words: Vec<_> = query.words().map(|words| (&*words.text, words.is_beginning)).collect();
    assert_eq!(words, [("exact  words", false), ("half", true), ("x \"y\"", false)]);
    assert_eq!(query.terms[3].text, r#"answer:"x \"y\"""#);
}

#[test]
fn what_is_wrong_has_its_place_and_the_nearest_word() {
    for (text, at, len, nearest) in [
        ("app:x staus:200", 6, 5, Some("status:")),
        ("outcome:completd", 8, 8, Some("completed")),
        ("verdict:redacted", 8, 8, Some("redact")),
        ("é model", 0, 0, None),
        ("é \"open", 3, 1, None),
        ("status:many", 7, 4, None),
        ("latency:>2", 8, 2, None),
        ("app:", 0, 0, None),
        ("app: x", 4, 1, None),
        ("-", 0, 1, None),
        ("wo\"rd", 2, 1, None),
        ("\"a\"b", 3, 1, None),
        ("since:yesterday", 6, 9, None),
        ("gaps:no", 5, 2, None),
        ("***", 0, 3, None),
        ("a*b", 0, 3, None),
        ("bogusfield:1", 0, 10, None),
    ] {
        let found = parse(text, NOW);
        if len == 0 {
            // Well formed, or wrong at a place of no width.
            continue;
        }
        let wrong = found.unwrap_err();
        assert_eq!((wrong.at, wrong.len), (at, len), "{text}: {wrong}");
        assert_eq!(wrong.nearest.as_deref(), nearest, "{text}: {wrong}");
        assert!(wrong.pointed().ends_with('^'), "{text}");
    }
    let wrong = parse("app:x staus:200", NOW).unwrap_err();
    assert_eq!(wrong.pointed(), "app:x staus:200\n      ^^^^^");
    assert!(wrong.to_string().contains("at character 7"));
    assert!(parse("app:", NOW).is_err());
    assert!(parse(&"x ".repeat(100), NOW).is_err());
    assert!(parse(&"x".repeat(5_000), NOW).is_err());
}

#[test]
fn a_shell_takes_quotes_away() {
    let arguments = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
    let joined = join(&arguments(&["app:x", "exact words", "-not this", "status:200 b"]));
    assert!(is_negation("-outcome:completed") && is_negation("-not this"));
    assert!(!is_negation("-ojson") && !is_negation("--since:2h") && !is_negation("outcome:x"));
    assert_eq!(joined, "app:x \"exact words\" -\"not this\" status:200 b");
}

#[test]
fn an_event_of_the_feed_is_judged() {
    let event = json!({
        "id": "x_1", "app": "helpdesk", "model_asked": "gpt-4o", "model_reported": "gpt-4o-2024",
        "status": 200, "outcome": "cut", "verdict": "redact", "total_ms": 2000.5, "lever": "lv_1",
        "findings": [{ "rule": "secrets/aws" }], "usage": { "input": 600, "output": 500 },
        "cost_micro_usd": 20_000, "began": "2026-11-28T11:00:00.000Z",
    });
    let seen = Seen::of_event(&event);
    for text in [
        "app:helpdesk",
        "model:gpt-4*",
        "model:*2024",
        "status:<400 outcome:cut",
        "rule:secrets/*",
        "lever:lv_*",
        "latency:>2s",
        "cost:>0.01",
        "tokens:>1000",
        "since:2h until:now",
        "-app:other",
        "verdict:cut,redact",
        "exchange:x_1",
        "",
    ] {
        assert!(read(text).holds(&seen), "{text}");
    }
    for text in
        ["app:help", "-app:help*", "ttft:>1ms", "since:30m", "agent:*", "status:4xx", "until:1d"]
    {
        assert!(!read(text).holds(&seen), "{text}");
    }
    assert!(read("app:x word").beyond_the_feed().is_some_and(|term| term.text == "word"));
    assert!(read("tool:shell").beyond_the_feed().is_some());
    assert!(read("app:x -rule:a/*").beyond_the_feed().is_none());
}

proptest! {
    #[test]
    fn any_text_is_read_or_has_a_place(text in "\\PC{0,40}") {
        if let Err(wrong) = parse(&text, NOW) {
            prop_assert!(text.get(wrong.at..wrong.at + wrong.len).is_some());
            let _ = wrong.pointed();
        }
    }

    #[test]
    fn near_misses_too(text in "(-?(app|status|since|latency|rule|gaps|answer):?[>=<.\"*,a-z0-9 ]{0,8} ?){0,4}") {
        if let Err(wrong) = parse(&text, NOW) {
            prop_assert!(text.get(wrong.at..wrong.at + wrong.len).is_some());
        }
    }
}
