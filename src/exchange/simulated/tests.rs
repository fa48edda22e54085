use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn context() -> Context {
    Context { model: "m".into(), id: "a1".into(), created: 7, prompt_bytes: 100, usage: true }
}

fn script(text: &str) -> Script {
    Script::default().with(text).unwrap()
}

fn text_of(frames: &[Vec<Event<'static>>], kind: Kind) -> String {
    let mut all = String::new();
    for event in frames.iter().flatten() {
        if let Event::Text { channel, text, .. } = event
            && channel.kind == kind
        {
            all.push_str(text);
        }
    }
    all
}

#[test]
fn a_prompt_without_a_directive_gets_a_friendly_answer() {
    let script = Script::default().for_request(b"{\"prompt\":\"hi\"}", None).unwrap();
    let frames = events(&script, &context());
    let text = text_of(&frames, Kind::Answer);
    assert!(text.contains("simulated") && text.contains("100 bytes"), "{text}");
    assert!(matches!(&frames[0][..], [Event::Start { created: Some(7), .. }, Event::Extra { .. }]));
    assert!(matches!(&frames[frames.len() - 1][..], [Event::End]));
    assert!(matches!(&frames[frames.len() - 2][..], [Event::Usage { .. }]));
    let Event::Stop { reason, native, .. } = &frames[frames.len() - 3][0] else { panic!() };
    assert_eq!((*reason, &**native), (StopReason::EndTurn, "stop"));
    assert!(frames.len() > 15, "a word a frame");
}

#[test]
fn usage_is_counted_and_told_only_on_request() {
    let frames = events(&script("tokens=5,reasoning=a%20b"), &context());
    let counts = frames.iter().flatten().find_map(|event| match event {
        Event::Usage { counts, native } => {
            serde_json::from_str::<serde_json::Value>(native).unwrap();
            Some(*counts)
        }
        _ => None,
    });
    let counts = counts.unwrap();
    assert_eq!((counts.input, counts.output, counts.reasoning), (Some(25), Some(7), Some(2)));
    let silent = events(&script("tokens=5"), &Context { usage: false, ..context() });
    assert!(!silent.iter().flatten().any(|event| matches!(event, Event::Usage { .. })));
}

#[test]
fn words_are_those_that_load_generators_check() {
    let frames = events(&script("tokens=34"), &context());
    let text = text_of(&frames, Kind::Answer);
    assert!(text.starts_with("The quick brown fox"));
    assert!(text.ends_with(" latency,The quick"));
    let wide = events(&script("tokens=2,bytes=8"), &context());
    assert_eq!(text_of(&wide, Kind::Answer), "Thedefgh quickgh");
}

#[test]
fn stamps_are_put_in_as_they_leave() {
    let mut frames = events(&script("tokens=1,stamp=1"), &context());
    for frame in &mut frames {
        stamp(frame, 0xAB);
    }
    let text = text_of(&frames, Kind::Answer);
    assert_eq!(text, " 00000000000000ab");
    assert_eq!(text.len(), STAMP_BYTES);
}

#[test]
fn calls_open_say_their_arguments_and_close() {
    let script =
        script("tool=find:{%22city%22:%22Reykjav%C3%ADk%2C%20Iceland%22%2C%22n%22:3},tool=now");
    let frames = events(&script, &context());
    let mut calls: Vec<(String, String, bool)> = Vec::new();
    for event in frames.iter().flatten() {
        match event {
            Event::Open { block: Block::Tool { id, name, .. }, channel } => {
                assert_eq!(usize::from(channel.block), calls.len() + 1);
                assert_eq!(**id, *script.call_id(calls.len()));
                calls.push((name.to_string(), String::new(), false));
            }
            Event::Text { channel, text, .. } => {
                assert_eq!(channel.kind, Kind::ToolArguments);
                calls[usize::from(channel.block) - 1].1.push_str(text);
            }
            Event::Close { channel } => calls[usize::from(channel.block) - 1].2 = true,
            Event::Stop { reason, .. } => assert_eq!(*reason, StopReason::ToolUse),
            _ => {}
        }
    }
    let city = r#"{"city":"Reykjavík, Iceland","n":3}"#;
    assert_eq!(calls, [("find".into(), city.into(), true), ("now".into(), "{}".into(), true)]);
}

#[test]
fn calls_that_were_made_are_not_made_again() {
    let first = br#"{"messages":["mock:tool=now;"]}"#;
    let again = br#"{"messages":["mock:tool=now;",{"id":"call_mock_1_0"}]}"#;
    let third = br#"{"messages":["mock:tool=now;",{"id":"call_mock_1_0"},"mock:tool=now;"]}"#;
    let base = Script::default();
    assert_eq!(base.for_request(first, None).unwrap().calls.len(), 1);
    let after = base.for_request(again, None).unwrap();
    assert!(text_of(&events(&after, &context()), Kind::Answer).contains("simulated"));
    let next_turn = base.for_request(third, None).unwrap();
    assert_eq!(next_turn.calls.len(), 1);
    assert_eq!(next_turn.call_id(0), "call_mock_2_0");
    // Of two calls the first was taken out of the answer: the agent's loop ends all the same.
    let one_of_two = br#"{"messages":["mock:tool=now,tool=then;",{"id":"call_mock_1_1"}]}"#;
    assert_eq!(base.for_request(one_of_two, None).unwrap().calls, []);
}

#[test]
fn the_last_directive_counts_and_the_header_comes_on_top() {
    let base = script("tokens=9,itl_ms=2");
    let got = base.for_request(b"say mock: x, mock:tokens=1; mock:tokens=2;", None).unwrap();
    assert_eq!(got.say, Say::Words(2));
    assert_eq!(got.between_wait, Duration::from_millis(2));
    let got = base.for_request(b"mock:tokens=2;", Some(b"text=hi;")).unwrap();
    assert_eq!(got.say, Say::Text("hi".into()));
}

#[test]
fn directives_of_the_load_generator_are_understood() {
    let text = "tokens=200,bytes=0,ttft_us=5,itl_us=10000,batch=1,stamp=1,plen=1024,fault=none,\
                at=10,pct=100";
    let got = script(text);
    assert_eq!(got.between_wait, Duration::from_millis(10));
    assert_eq!(got.first_wait, Duration::from_micros(5));
    assert_eq!((got.fault, got.status, got.prompt_bytes_min), (None, None, 1024));
    assert!(got.stamp);
    assert_eq!(script("fault=429").status, Some(429));
}

#[test]
fn what_is_wrong_is_said() {
    let cases = [
        ("tokns=3", "unknown key `tokns`"),
        ("tokens", "`tokens` is not KEY=VALUE"),
        ("tokens=+3", "`tokens` takes a whole number"),
        ("tokens=1000000", "from 0 to 100000"),
        ("tokens=100000,bytes=65536", "at most 67108864 bytes"),
        ("tokens=1,tokens=2", "`tokens` is given twice"),
        ("tokens=1,text=a", "`text` is given twice, or contradicts"),
        ("itl_ms=1,itl_us=1", "`itl_us` is given twice"),
        ("text=%4", "two hexadecimal digits"),
        ("text=%+1", "two hexadecimal digits"),
        ("text=%ff", "UTF-8"),
        ("tool=:{}", "needs a name"),
        ("status=200", "from 400 to 599"),
        ("fault=explode", "unknown fault `explode`; faults are none, a status, refuse, stall"),
        ("pct=101", "from 0 to 100"),
        ("stop=now", "`stop` takes"),
    ];
    for (text, expected) in cases {
        let error = Script::default().with(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let open = Script::default().for_request(b"mock:tokens=3", None).unwrap_err();
    assert!(open.to_string().contains("ends with `;`"));
    let raw = Script::default().for_request(br#"mock:text=a\"b;"#, None).unwrap_err();
    assert!(raw.to_string().contains("percent-encoded"));
}

#[test]
fn every_key_and_fault_is_known() {
    for (key, _) in KEYS {
        let error = Script::default().with(&format!("{key}=")).err().map(|e| e.to_string());
        assert!(!error.unwrap_or_default().contains("unknown key"), "{key}");
    }
    for (word, fault) in Fault::ALL {
        assert_eq!(script(&format!("fault={word}")).fault, Some(fault));
    }
}

#[test]
fn a_share_is_exact_over_a_hundred_requests() {
    for percent in [0, 1, 33, 50, 99, 100] {
        let script = script(&format!("fault=reset,pct={percent}"));
        let hits = (700..800).filter(|n| script.clone().struck(*n).fault.is_some()).count();
        assert_eq!(hits, percent);
    }
}

#[test]
fn an_error_event_ends_the_stream_where_it_strikes() {
    let frames = events(&script("tokens=20,fault=error_event,at=4"), &context());
    assert_eq!(frames.len(), 5);
    assert!(matches!(&frames[4][..], [Event::Error { .. }]));
    let late = events(&script("tokens=2,fault=error_event,at=99"), &context());
    assert!(matches!(&late[late.len() - 1][..], [Event::Error { .. }]));
    assert!(!late.iter().flatten().any(|event| matches!(event, Event::End)));
}

#[test]
fn one_text_is_marked_to_be_made_invalid() {
    for at in [0, 4, 999] {
        let frames = events(&script(&format!("tokens=9,fault=invalid_utf8,at={at}")), &context());
        let text = text_of(&frames, Kind::Answer);
        assert_eq!(text.matches(INVALID_MARK).count(), 1, "at={at}");
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<String>>().concat()
}

proptest! {
    #[test]
    fn no_prompt_panics(prompt in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Script::default().for_request(&prompt, Some(&prompt));
        let with_mark = [b"mock:text=".as_slice(), &prompt, b";"].concat();
        let _ = Script::default().for_request(&with_mark, None);
    }

    #[test]
    fn texts_come_out_whole(text in "\\PC{0,200}", reasoning in "[a-z \n]{0,80}") {
        let script = script(&format!("text={},reasoning={}", encoded(&text), encoded(&reasoning)));
        let frames = events(&script, &context());
        prop_assert_eq!(text_of(&frames, Kind::Answer), text);
        prop_assert_eq!(text_of(&frames, Kind::Reasoning), reasoning);
    }

    #[test]
    fn arguments_come_out_whole(arguments in "\\PC{0,100}") {
        let frames = events(&script(&format!("tool=t:{}", encoded(&arguments))), &context());
        prop_assert_eq!(text_of(&frames, Kind::ToolArguments), arguments);
    }
}
