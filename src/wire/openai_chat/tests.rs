//! Tests of the whole dialect.

use super::*;
use crate::wire::event::{Block, Channel, Counts, Form, Kind, Place, ToolFlavour};
use crate::wire::loss::Losses;
use crate::wire::{Dialect, sse};
use proptest::prelude::*;
use std::path::PathBuf;

fn encode_unary(source: Dialect, events: &[Event<'_>]) -> Vec<u8> {
    super::encode_unary(source, events, &mut Losses::default())
}

type Owned = Event<'static>;

/// The frames of a body; what is left at its end is the last.
fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut frames, mut rest, mut splitter) = (Vec::new(), bytes, sse::Splitter::default());
    while let Some(end) = splitter.next(rest) {
        frames.push(&rest[..end]);
        rest = &rest[end..];
    }
    frames.push(rest);
    frames
}

fn decode_with(mut decoder: Decoder, bytes: &[u8]) -> (Decoder, Vec<Vec<Owned>>) {
    let mut told = Vec::new();
    for raw in frames(bytes) {
        let mut events = Vec::new();
        let frame = sse::Frame::parse(raw);
        decoder.frame(&frame, &mut |event| events.push(event.into_owned()));
        assert!(!events.is_empty());
        told.push(events);
    }
    (decoder, told)
}

/// Every frame decoded in full; and how many would have gone the short way.
fn decode_slowly(bytes: &[u8]) -> (usize, Vec<Vec<Owned>>) {
    let (mut decoder, mut hits, mut told) = (Decoder::default(), 0, Vec::new());
    for raw in frames(bytes) {
        let mut events = Vec::new();
        let frame = sse::Frame::parse(raw);
        hits += usize::from(decoder.template.tell(&frame, &mut |_| {}));
        decoder.template.clear();
        decoder.frame(&frame, &mut |event| events.push(event.into_owned()));
        told.push(events);
    }
    (hits, told)
}

fn decode(bytes: &[u8]) -> Vec<Owned> {
    decode_with(Decoder::default(), bytes)
        .1
        .concat()
        .into_iter()
        .filter(|e| *e != Event::Ping)
        .collect()
}

fn unary(bytes: &[u8]) -> Vec<Owned> {
    let mut events = Vec::new();
    decode_unary(bytes, &mut |event| events.push(event.into_owned()));
    events
}

fn channel(block: u16, part: u16, kind: Kind) -> Channel {
    Channel { choice: 0, block, part, kind }
}

fn text(channel: Channel, text: &str) -> Owned {
    Event::Text { channel, text: text.to_owned().into(), span: None }
}

fn plain(events: Vec<Owned>) -> Vec<Owned> {
    events.into_iter().map(Event::without_span).collect()
}

/// The recorded bodies of this dialect whose name ends so.
fn recorded(ending: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
    let root = PathBuf::from(std::env::var("FIREDOOR_DATA").unwrap_or(beside.into())).join("wire");
    let mut found = Vec::new();
    for folder in ["openai-chat", "azure-openai-chat", "writer-chat"] {
        let folder = root.join(folder);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| {
            panic!("{}: {error}: set FIREDOOR_DATA to the recorded data", folder.display())
        });
        for entry in entries {
            let path = entry.unwrap().path();
            if path.to_str().unwrap().ends_with(ending) {
                let bytes = std::fs::read(&path).unwrap();
                found.push((path, bytes));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

#[test]
fn a_plain_stream() {
    let stream = b"data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n\
data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"He\\n\"},\"finish_reason\":null}],\"odd\":[1, 2]}\n\n\
data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n\
data: [DONE]\n\n";
    let (decoder, told) = decode_with(Decoder::default(), stream);
    assert!(decoder.is_complete());
    assert_eq!(decoder.tail().id.as_deref(), Some("c1"));
    let Event::Text { span: Some(span), .. } = &told[1][0] else { panic!("{:?}", told[1]) };
    assert_eq!(&frames(stream)[1][span.start as usize..span.end as usize], b"He\\n");
    assert_eq!(span.form, Form::Quoted);
    let counts = Counts { input: Some(3), output: Some(2), ..Counts::default() };
    let native = "{\"prompt_tokens\":3,\"completion_tokens\":2}".into();
    assert_eq!(
        plain(decode(stream)),
        [
            Event::Start { id: "c1".into(), model: "m".into(), created: Some(7) },
            text(channel(0, 0, Kind::Answer), "He\n"),
            Event::Extra { place: Place::Frame, key: "odd".into(), json: "[1, 2]".into() },
            Event::Stop { choice: 0, reason: StopReason::EndTurn, native: "stop".into() },
            Event::Usage { counts, native },
            Event::End,
        ]
    );
}

#[test]
fn calls_of_imitators() {
    let delta = |calls: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{calls}]}}}}]}}\n\n")
    };
    let open = |block, id: &str, name: &str| Event::Open {
        channel: channel(block, 0, Kind::ToolArguments),
        block: Block::Tool {
            id: id.to_owned().into(),
            name: name.to_owned().into(),
            flavour: ToolFlavour::Function,
        },
    };
    let arguments = |block, json| text(channel(block, 0, Kind::ToolArguments), json);
    // An empty id and a null name go on with the call; arguments that are an object are its JSON.
    let stream = delta(r#"{"index":0,"id":"a","function":{"name":"f","arguments":null}}"#)
        + &delta(r#"{"index":0,"id":"","function":{"name":null,"arguments":"{}"}}"#)
        + &delta(r#"{"index":0,"id":"b","function":{"name":"g","arguments":{"x":1}}}"#);
    assert_eq!(
        plain(decode(stream.as_bytes())),
        [open(1, "a", "f"), arguments(1, "{}"), open(2, "b", "g"), arguments(2, "{\"x\":1}")]
    );
    // No index: an id or a name begins a call.
    let stream = delta(r#"{"id":"a","function":{"name":"f","arguments":"1"}}"#)
        + &delta(r#"{"function":{"arguments":"2"}}"#)
        + &delta(r#"{"function":{"name":"g","arguments":"3"}}"#);
    assert_eq!(
        plain(decode(stream.as_bytes())),
        [
            open(1, "a", "f"),
            arguments(1, "1"),
            arguments(1, "2"),
            open(2, "", "g"),
            arguments(2, "3")
        ]
    );
    let legacy = "data: {\"choices\":[{\"delta\":{\"function_call\":{\"name\":\"f\",\"arguments\":\"{\"}}}]}\n\n";
    assert_eq!(
        plain(decode(legacy.as_bytes())),
        [open(u16::MAX, "", "f"), arguments(u16::MAX, "{")]
    );
}

#[test]
fn a_decisive_member_twice_is_opaque() {
    for json in [
        r#"{"choices":[{"delta":{"content":"a","content":"b"}}]}"#,
        r#"{"choices":[{"delta":{"content":"a","c\u006fntent":"b"}}]}"#,
        r#"{"choices":[{"delta":{"content":"a"},"delta":{}}]}"#,
        r#"{"choices":[],"choices":[{"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"1","arguments":"2"}}]}}]}"#,
        r#"{"choices":[{"delta":7}]}"#,
        r#"{"choices":{}}"#,
        r#"{"ping":1}"#,
        "[1]",
        "{",
    ] {
        let events = decode(format!("data: {json}\n\n").as_bytes());
        assert!(matches!(&events[..], [Event::Opaque { .. }]), "{json}: {events:?}");
    }
}

#[test]
fn errors_of_every_shape() {
    let error = |events: Vec<Owned>| match &events[0] {
        Event::Error { code, message, .. } => format!("{code}|{message}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        error(decode(b"data: {\"error\":{\"code\":429,\"message\":\"slow\"}}\n\n")),
        "429|slow"
    );
    assert_eq!(error(decode(b"event: error\ndata: {\"message\":\"odd\"}\n\n")), "|odd");
    assert_eq!(error(unary(b"{\"error\":\"no such model\"}")), "|no such model");
    let flat = b"{\"object\":\"error\",\"message\":\"bad\",\"code\":\"1500\"}";
    assert_eq!(error(unary(flat)), "1500|bad");
    let both = decode(b"data: {\"id\":\"x\",\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"error\":{\"message\":\"m\"}}\n\n");
    assert!(matches!(both[..], [Event::Start { .. }, Event::Text { .. }, Event::Error { .. }]));
}

#[test]
fn structured_text_is_told_and_written_back() {
    let stream = b"data: {\"id\":\"x\",\"choices\":[{\"delta\":{\"reasoning\":\"We\",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"We\",\"index\":0}],\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"hm\"}]},{\"type\":\"text\",\"text\":\"2\"}]}}]}\n\n";
    let events = plain(decode(stream));
    let texts: Vec<&Owned> = events.iter().filter(|e| matches!(e, Event::Text { .. })).collect();
    assert_eq!(
        texts,
        [
            &text(channel(0, 1, Kind::Reasoning), "We"),
            &text(channel(0, 2, Kind::Reasoning), "We"),
            &text(channel(0, 0, Kind::Reasoning), "hm"),
            &text(channel(0, 0, Kind::Answer), "2"),
        ]
    );
    let mut out = Vec::new();
    Encoder::new(Dialect::OpenaiChat).frame(&events, &mut out);
    assert_eq!(plain(decode(&out)), events, "{}", String::from_utf8_lossy(&out));
    let skeletons = events.iter().filter(|e| matches!(e, Event::Extra { .. }));
    for skeleton in skeletons {
        assert!(!format!("{skeleton:?}").contains("We"));
    }
}

#[test]
fn events_of_another_dialect() {
    let tool =
        |id: &str, flavour| Block::Tool { id: id.to_owned().into(), name: "f".into(), flavour };
    let events = [
        Event::Start { id: "msg_1".into(), model: "claude".into(), created: None },
        text(channel(0, 0, Kind::Reasoning), "hm"),
        text(channel(1, 0, Kind::Answer), "hi"),
        Event::Open {
            channel: channel(2, 0, Kind::ToolArguments),
            block: tool("srv", ToolFlavour::Server),
        },
        text(channel(2, 0, Kind::ToolArguments), "{\"hidden\":1}"),
        Event::Open {
            channel: channel(3, 0, Kind::ToolArguments),
            block: tool("t", ToolFlavour::Function),
        },
        text(channel(3, 0, Kind::ToolArguments), "{}"),
        Event::Close { channel: channel(3, 0, Kind::ToolArguments) },
        Event::Stop { choice: 0, reason: StopReason::EndTurn, native: "end_turn".into() },
        Event::Usage {
            counts: Counts { input: Some(5), output: Some(6), ..Counts::default() },
            native: "{\"input_tokens\":5}".into(),
        },
        Event::End,
    ];
    let mut out = Vec::new();
    let mut encoder = Encoder::new(Dialect::Anthropic);
    for event in &events {
        encoder.frame(std::slice::from_ref(event), &mut out);
    }
    let wire = String::from_utf8(out.clone()).unwrap();
    assert!(wire.ends_with("data: [DONE]\n\n"), "{wire}");
    assert!(wire.contains("\"id\":\"chatcmpl-1\"") && !wire.contains("hidden"));
    let usage = "\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6,\"total_tokens\":11}}";
    assert!(wire.contains(usage), "{wire}");
    let expected = [
        Event::Start { id: "chatcmpl-1".into(), model: "claude".into(), created: Some(0) },
        text(channel(0, 0, Kind::Reasoning), "hm"),
        text(channel(0, 0, Kind::Answer), "hi"),
        Event::Open {
            channel: channel(1, 0, Kind::ToolArguments),
            block: tool("t", ToolFlavour::Function),
        },
        text(channel(1, 0, Kind::ToolArguments), "{}"),
        Event::Stop { choice: 0, reason: StopReason::ToolUse, native: "tool_calls".into() },
    ];
    let told = plain(decode(&out));
    assert_eq!(told[..6], expected);
    assert_eq!(encoder.tail().id.as_deref(), Some("chatcmpl-1"));
    let whole = encode_unary(Dialect::Anthropic, &events);
    assert_eq!(plain(unary(&whole))[..6], expected, "{}", String::from_utf8_lossy(&whole));
}

#[test]
fn templates_change_nothing() {
    let (mut streams, mut hits, mut all) = (0, 0, 0);
    for (path, bytes) in recorded(".sse") {
        let (short, expected) = decode_slowly(&bytes);
        let (_, told) = decode_with(Decoder::default(), &bytes);
        assert_eq!(told, expected, "{}", path.display());
        streams += 1;
        hits += short;
        all += told.len();
    }
    eprintln!("{hits} of {all} frames of {streams} streams took the short way");
    assert!(hits * 4 > all);
}

#[test]
fn frames_that_differ_in_escapes_and_padding_go_the_short_way() {
    let padded = |text: &str, padding: &str| {
        format!(
            r#"data: {{"id":"x","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}],"obfuscation":"{padding}"}}"#
        ) + "\n\n"
    };
    let plain = |text: &str| {
        format!(r#"data: {{"id":"x","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#)
            + "\n\n"
    };
    let first = [plain("a"), plain("b")].concat();
    for (text, is_short) in [
        ("c", true),
        (r"\n", true),
        (r#"(\"\\\/\b\f\r\t"#, true),
        (r"caf\u00e9", true),
        ("\u{4f60}\u{597d}", true),
        (r"\ud83d\ude00", false),
        (r"\udE00", false),
        (r"\u00g9", false),
        (r"\x", false),
        ("", false),
        (r#"b","index":"1"#, false),
    ] {
        let wire = first.clone() + &plain(text);
        let (hits, expected) = decode_slowly(wire.as_bytes());
        assert_eq!(decode_with(Decoder::default(), wire.as_bytes()).1, expected, "{text}");
        assert_eq!(hits > 0, is_short, "{text}");
    }
    // What stands elsewhere under the padding's name is not the padding.
    let nested = |inner: &str| {
        format!(
            r#"data: {{"id":"x","obfusc\u0061tion":"b","choices":[{{"index":0,"delta":{{"content":"a"}}}}],"more":{{"obfuscation":"{inner}"}}}}"#
        ) + "\n\n"
    };
    let wire = [nested("b"), nested("b"), nested("c")].concat();
    let told = decode_with(Decoder::default(), wire.as_bytes()).1;
    assert_eq!(told, decode_slowly(wire.as_bytes()).1);
    let first = [padded("a", "b"), padded("a", "c1")].concat();
    for (text, padding, is_short) in [
        ("a", "d23", true),
        (r"\n", "", true),
        ("obfuscation", r"e\n", false),
        (r#"a\",\"obfuscation\":\""#, "f", true),
        ("a", r#"g","obfuscation":"h"#, false),
        ("a", r#"g","more":"h"#, false),
    ] {
        let wire = first.clone() + &padded(text, padding);
        let (hits, expected) = decode_slowly(wire.as_bytes());
        assert_eq!(
            decode_with(Decoder::default(), wire.as_bytes()).1,
            expected,
            "{text} {padding}"
        );
        assert_eq!(hits > 0, is_short, "{text} {padding}");
    }
}

#[test]
fn a_complete_answer_says_so() {
    let chunk = |rest: &str| format!("data: {{\"id\":\"x\",\"choices\":[{rest}]}}\n\n");
    let complete = |wire: &str| decode_with(Decoder::default(), wire.as_bytes()).0.is_complete();
    let first = chunk(r#"{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}"#);
    let one = first.clone() + &chunk(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#);
    let both = one.clone() + &chunk(r#"{"index":1,"delta":{},"finish_reason":"stop"}"#);
    assert!(!complete("") && !complete(&first) && !complete(&one) && complete(&both));
    assert!(complete(&(first + "data: [DONE]\n\n")));
}

fn member() -> impl Strategy<Value = String> {
    let keys = [
        "id",
        "choices",
        "delta",
        "message",
        "content",
        "reasoning",
        "reasoning_details",
        "text",
        "tool_calls",
        "function",
        "arguments",
        "name",
        "index",
        "error",
        "usage",
        "finish_reason",
        "role",
        "odd",
        "type",
        "function_call",
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("0".to_owned()),
        Just("1".to_owned()),
        Just("\"\"".to_owned()),
        Just("\"a\"".to_owned()),
        Just("\"b\\n\"".to_owned()),
        Just("\"stop\"".to_owned()),
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        let pairs = (prop::sample::select(keys.to_vec()), inner.clone())
            .prop_map(|(key, value)| format!("\"{key}\":{value}"));
        prop_oneof![
            prop::collection::vec(pairs, 0..5).prop_map(|pairs| format!("{{{}}}", pairs.join(","))),
            prop::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

/// A chunk whose parts are anything.
fn chunk() -> impl Strategy<Value = String> {
    (member(), member(), member()).prop_map(|(delta, calls, extra)| {
        format!(
            "{{\"id\":\"x\",\"choices\":[{{\"delta\":{{\"content\":{delta},\"tool_calls\":[{{\"index\":0,\"function\":{calls}}}]}},\"odd\":{extra}}}]}}"
        )
    })
}

fn wire_of(chunks: &[String]) -> String {
    let mut wire = String::new();
    for chunk in chunks {
        wire.push_str("data: ");
        wire.push_str(chunk);
        wire.push_str("\n\n");
    }
    wire
}

/// Consecutive texts of one channel are one.
fn joined(events: Vec<Owned>) -> Vec<Owned> {
    let mut out: Vec<Owned> = Vec::new();
    for event in plain(events) {
        if let Event::Text { channel, text, .. } = &event
            && let Some(Event::Text { channel: last, text: before, .. }) = out.last_mut()
            && last == channel
        {
            before.to_mut().push_str(text);
            continue;
        }
        out.push(event);
    }
    out
}

proptest! {
    #[test]
    fn anything_encoded_says_the_same(chunks in prop::collection::vec(prop_oneof![chunk(), member()], 1..4)) {
        let wire = wire_of(&chunks);
        let (_, told) = decode_with(Decoder::default(), wire.as_bytes());
        let mut encoder = Encoder::new(Dialect::OpenaiChat);
        let mut out = Vec::new();
        for events in &told {
            encoder.frame(events, &mut out);
        }
        prop_assert_eq!(joined(decode(&out)), joined(decode(wire.as_bytes())), "{}", String::from_utf8_lossy(&out));
        let whole = unary(chunks[0].as_bytes());
        let again = unary(&encode_unary(Dialect::OpenaiChat, &whole));
        prop_assert_eq!(joined(again), joined(whole));
    }

    /// Frames like earlier ones but for the text, with whatever else before, between and around.
    #[test]
    fn the_short_way_says_what_the_long_way_says(
        chunks in prop::collection::vec(chunk(), 1..3),
        order in prop::collection::vec((0usize..3, "[a-z\"\\\\\\n\u{1}é]{0,3}"), 1..12),
    ) {
        let wire: Vec<String> = order
            .iter()
            .map(|(at, text)| chunks[at % chunks.len()].replace("\"a\"", &format!("\"{text}\"")))
            .collect();
        let wire = wire_of(&wire);
        let (_, expected) = decode_slowly(wire.as_bytes());
        let (_, told) = decode_with(Decoder::default(), wire.as_bytes());
        prop_assert_eq!(told, expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), json in member()) {
        let _ = decode(&bytes);
        let _ = unary(&bytes);
        let _ = view(&bytes);
        let _ = view(json.as_bytes());
        let _ = decode(format!("data: {json}\r\n\r\n").as_bytes());
    }
}

fn refused(body: &str) -> (Option<usize>, String) {
    let error = view(body.as_bytes()).expect_err(body);
    (error.at, error.what.into_owned())
}

#[test]
fn a_view_of_a_request() {
    let body = br#" {"messages":[{"role":"user","content":"x"}],"model":"gpt-4o","stream":true,
        "metadata":{"session_id":"s1"},"prompt_cache_key":"k","user":"u","safety_identifier":"i"} "#;
    let found = view(body).unwrap();
    assert_eq!(found.model.as_deref(), Some("gpt-4o"));
    let span = found.model_span.unwrap();
    assert_eq!(&body[span.start as usize..span.end as usize], b"gpt-4o");
    assert!(found.stream);
    assert_eq!(found.hints.session.as_deref(), Some("s1"));
    assert_eq!(found.hints.end_user.as_deref(), Some("i"));
    let body = br#"{"model":"m","prompt_cache_key":"k","user":"u","metadata":null}"#;
    let found = view(body).unwrap();
    assert!(!found.stream);
    assert_eq!(found.hints.session.as_deref(), Some("k"));
    assert_eq!(found.hints.end_user.as_deref(), Some("u"));
    let body = br#"{"metadata":{"user_id":"{\"session_id\":\"inner\"}"}}"#;
    assert_eq!(view(body).unwrap().hints.session.as_deref(), Some("inner"));
}

#[test]
fn a_bad_request_is_told_what_and_where() {
    for (body, at, word) in [
        ("", Some(0), "empty"),
        ("[]", Some(0), "one JSON object"),
        ("{\"model\":7}", Some(9), "must be a string"),
        ("{\"model\":null}", Some(9), "must be a string"),
        ("{\"stream\":\"yes\"}", Some(10), "true or false"),
        ("{\"messages\":{}}", Some(12), "an array"),
        ("{\"model\":\"a\",\"mod\\u0065l\":\"b\"}", Some(24), "stands twice"),
        ("{\"stream\":true,\"stream\":true}", Some(22), "stands twice"),
        ("{\"messages\":[],\"messages\":[]}", Some(24), "stands twice"),
        ("{\"a\":1} x", Some(8), "not valid JSON"),
        ("{\"a\":\n 01}", Some(8), "not valid JSON"),
    ] {
        let (told_at, what) = refused(body);
        assert!(what.contains(word), "{body}: {what}");
        assert_eq!(told_at, at, "{body}: {what}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
    assert_eq!(refused(&deep).0, Some(132));
    let in_string = format!("{{\"a\":\"{}\"}}", "[".repeat(500));
    assert!(view(in_string.as_bytes()).is_ok());
    let error = view(b"{\"a\":\"\xff\"}").unwrap_err();
    assert_eq!(error.at, Some(6));
}

/// The texts of each kind (`parts`: of each part of it), tools' names among their arguments.
fn gist(events: &[Owned], parts: bool) -> Vec<((u16, u16, Kind), String)> {
    let mut gist: Vec<((u16, u16, Kind), String)> = Vec::new();
    for event in events {
        let (channel, text) = match event {
            Event::Text { channel, text, .. } => (channel, &**text),
            Event::Open { channel, block: Block::Tool { name, .. } } => (channel, &**name),
            _ => continue,
        };
        let place = (channel.choice, if parts { channel.part } else { 0 }, channel.kind);
        match gist.iter_mut().find(|(known, _)| *known == place) {
            Some((_, before)) => before.push_str(text),
            None => gist.push((place, text.to_owned())),
        }
    }
    gist.retain(|(_, text)| !text.is_empty());
    gist.sort();
    gist
}

/// Without blanks, since reasoning is joined by empty lines, and without arguments that say nothing.
fn bare(gist: Vec<((u16, u16, Kind), String)>) -> Vec<((u16, u16, Kind), String)> {
    gist.into_iter()
        .map(|(place, text)| {
            let text: String = text.split_whitespace().collect();
            (place, text.replace("{}", "").replace("labelnull", "label"))
        })
        .collect()
}

#[test]
fn recordings_told_as_if_by_another_dialect_keep_text_and_calls() {
    for (path, bytes) in recorded(".sse") {
        let (_, told) = decode_with(Decoder::default(), &bytes);
        let mut encoder = Encoder::new(Dialect::Gemini);
        let mut out = Vec::new();
        for events in &told {
            encoder.frame(events, &mut out);
        }
        let told = told.concat();
        let again = decode(&out);
        let is_opaque = |event: &Owned| matches!(event, Event::Opaque { .. });
        assert!(!again.iter().any(is_opaque), "{}", path.display());
        let (again, before) = (bare(gist(&again, false)), bare(gist(&told, false)));
        assert_eq!(again, before, "{}", path.display());
        // A stream gathered into one answer says the same, in either way.
        for source in [Dialect::Gemini, Dialect::OpenaiChat] {
            let whole = encode_unary(source, &told);
            let again = unary(&whole);
            assert!(!again.iter().any(is_opaque), "{}", path.display());
            let parts = source == Dialect::OpenaiChat;
            let (again, before) = (bare(gist(&again, parts)), bare(gist(&told, parts)));
            assert_eq!(again, before, "{} from {source:?}", path.display());
        }
    }
}
