//! Recorded streams and bodies, damaged ones, and answers of other dialects.

use super::foreign::ARGUMENTS_BYTES_MAX;
use super::{Decoder, Encoder, decode_unary, view};
use crate::wire::event::{
    Block, Channel, Counts, Event, Form, Kind, Place, Span, StopReason, ToolFlavour,
};
use crate::wire::loss::Losses;
use crate::wire::{Dialect, json, sse};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::LazyLock;

fn encode_unary(source: Dialect, events: &[Event<'_>]) -> Vec<u8> {
    super::encode_unary(source, events, &mut Losses::default())
}

type Events = Vec<Event<'static>>;

/// The recordings, by name.
static RECORDED: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let base = std::env::var_os("FIREDOOR_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let dir = base.join("wire/gemini-generatecontent");
    let files = std::fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}; set FIREDOOR_DATA", dir.display()));
    let mut found: Vec<_> = files
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .filter(|(name, _)| !name.ends_with(".meta.json"))
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .collect();
    found.sort();
    found
});

fn is(name: &str, ending: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, found)| found == ending)
}

fn streams() -> impl Iterator<Item = &'static (String, Vec<u8>)> {
    RECORDED.iter().filter(|(name, _)| is(name, "sse"))
}

fn bodies() -> impl Iterator<Item = &'static (String, Vec<u8>)> {
    RECORDED.iter().filter(|(name, _)| is(name, "json"))
}

fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    let mut splitter = sse::Splitter::default();
    while let Some(end) = splitter.next(bytes) {
        frames.push(&bytes[..end]);
        bytes = &bytes[end..];
        splitter = sse::Splitter::default();
    }
    if !bytes.is_empty() {
        frames.push(bytes);
    }
    frames
}

/// The bytes of a span must say the text.
fn check_span(raw: &[u8], event: &Event<'_>) {
    let (Event::Text { text, span: Some(span), .. } | Event::Repeat { text, span: Some(span), .. }) =
        event
    else {
        return;
    };
    let there = std::str::from_utf8(&raw[span.start as usize..span.end as usize]).unwrap();
    match span.form {
        Form::Quoted => assert_eq!(json::unescape(there), *text),
        Form::Json => assert_eq!(there, *text),
    }
}

fn decode(decoder: &mut Decoder, raw: &[u8]) -> Events {
    let mut events = Vec::new();
    decoder.frame(&sse::Frame::parse(raw), &mut |event| {
        check_span(raw, &event);
        events.push(event.into_owned());
    });
    assert!(!events.is_empty(), "no event: {}", String::from_utf8_lossy(raw));
    events
}

fn decode_all(bytes: &[u8]) -> (Events, Decoder) {
    let mut decoder = Decoder::default();
    let events = frames(bytes).into_iter().flat_map(|raw| decode(&mut decoder, raw)).collect();
    (events, decoder)
}

fn decode_body(body: &[u8]) -> Events {
    let mut events = Vec::new();
    decode_unary(body, &mut |event| {
        check_span(body, &event);
        events.push(event.into_owned());
    });
    assert!(!events.is_empty());
    events
}

fn no_spans(events: Events) -> Events {
    events.into_iter().map(Event::without_span).collect()
}

/// Decodes, encodes frame by frame, and decodes again.
fn there_and_back(bytes: &[u8]) -> (Events, Events, Vec<u8>) {
    let mut decoder = Decoder::default();
    let mut encoder = Encoder::new(Dialect::Gemini);
    let (mut first, mut out) = (Vec::new(), Vec::new());
    for raw in frames(bytes) {
        let events = decode(&mut decoder, raw);
        encoder.frame(&events, &mut out);
        first.extend(events);
    }
    let (again, _) = decode_all(&out);
    (no_spans(first), no_spans(again), out)
}

fn data(json: &str) -> Vec<u8> {
    format!("data: {json}\r\n\r\n").into_bytes()
}

fn text_of(events: &[Event<'_>], kind: Kind) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Event::Text { channel, text, .. } if channel.kind == kind && channel.part == 0 => {
            Some(&**text)
        }
        _ => None,
    });
    texts.collect()
}

#[test]
fn recorded_streams_are_understood_and_survive() {
    let mut complete = 0;
    for (name, bytes) in streams() {
        let (events, decoder) = decode_all(bytes);
        assert!(!events.iter().any(|event| matches!(event, Event::Opaque { .. })), "{name}");
        assert!(matches!(events[0], Event::Start { .. }), "{name}");
        complete += usize::from(decoder.is_complete());
        assert!(decoder.tail().id.is_some(), "{name}");
        let (first, again, _) = there_and_back(bytes);
        assert_eq!(first, again, "{name}");
    }
    assert_eq!(complete, streams().count());
}

#[test]
fn recorded_bodies_are_understood_and_survive() {
    for (name, body) in bodies() {
        let first = decode_body(body);
        assert!(!first.iter().any(|event| matches!(event, Event::Opaque { .. })), "{name}");
        let again = encode_unary(Dialect::Gemini, &first);
        assert_eq!(no_spans(decode_body(&again)), no_spans(first), "{name}");
    }
}

#[test]
fn no_text_of_a_recording_is_unsaid() {
    // Every string of three words or more in the recordings comes in some event's text.
    fn strings(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::String(text) => found.push(text.clone()),
            serde_json::Value::Array(list) => list.iter().for_each(|one| strings(one, found)),
            serde_json::Value::Object(map) => map.values().for_each(|one| strings(one, found)),
            _ => {}
        }
    }
    for (name, bytes) in streams() {
        let mut decoder = Decoder::default();
        for raw in frames(bytes) {
            let events = decode(&mut decoder, raw);
            let Ok(value) = serde_json::from_slice(&sse::Frame::parse(raw).data) else { continue };
            let mut found = Vec::new();
            strings(&value, &mut found);
            for text in found.iter().filter(|text| text.split(' ').count() > 2) {
                let said = events.iter().any(|event| match event {
                    Event::Text { text: said, span, .. }
                    | Event::Repeat { text: said, span, .. } => {
                        said.contains(&**text)
                            || (span.is_some_and(|span| span.form == Form::Json)
                                && said.contains(&*serde_json::to_string(text).unwrap()))
                    }
                    _ => false,
                });
                assert!(said, "{name}: {text}");
            }
        }
    }
}

#[test]
fn texts_thoughts_and_calls() {
    let bytes = [
        data(r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true}],"role":"model"}}],"modelVersion":"gemini-x","responseId":"r1"}"#),
        data(r#"{"candidates":[{"content":{"parts":[{"text":"a\n"},{"text":"b","thoughtSignature":"c2ln"}]},"index":0}],"responseId":"r1","modelVersion":"gemini-x"}"#),
        data(r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"x": 1}},"thoughtSignature":"eA=="}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"thoughtsTokenCount":5,"toolUsePromptTokenCount":2}}"#),
    ]
    .concat();
    let (events, decoder) = decode_all(&bytes);
    let channel = |block, kind| Channel { choice: 0, block, part: 0, kind };
    let (thought, answer, call) =
        (channel(0, Kind::Reasoning), channel(1, Kind::Answer), channel(2, Kind::ToolArguments));
    let text = |channel, text: &'static str| Event::Text { channel, text: text.into(), span: None };
    let flavour = ToolFlavour::Function;
    let expected = [
        Event::Start { id: "r1".into(), model: "gemini-x".into(), created: None },
        text(thought, "hm"),
        Event::Close { channel: thought },
        text(answer, "a\n"),
        text(answer, "b"),
        Event::Signature { channel: answer, value: "c2ln".into() },
        Event::Close { channel: answer },
        Event::Open {
            channel: call,
            block: Block::Tool { id: "".into(), name: "f".into(), flavour },
        },
        text(call, r#"{"x": 1}"#),
        Event::Signature { channel: call, value: "eA==".into() },
        Event::Close { channel: call },
        Event::Stop { choice: 0, reason: StopReason::ToolUse, native: "STOP".into() },
    ];
    let events = no_spans(events);
    assert_eq!(events[..expected.len()], expected);
    let Event::Usage { counts, .. } = &events[expected.len()] else { panic!("no usage") };
    assert_eq!((counts.input, counts.output, counts.reasoning), (Some(5), Some(9), Some(5)));
    assert!(decoder.is_complete());
}

#[test]
fn a_blocked_prompt_and_a_blocked_answer() {
    let prompt = r#"{"promptFeedback":{"blockReason":"MODEL_ARMOR","blockReasonMessage":"no"},"responseId":"r","modelVersion":"m"}"#;
    let (events, decoder) = decode_all(&data(prompt));
    assert!(decoder.is_complete());
    assert!(events.iter().any(|event| matches!(
        event,
        Event::Stop { choice: 0, reason: StopReason::ContentFilter, native } if native == "MODEL_ARMOR"
    )));
    let (first, again, out) = there_and_back(&data(prompt));
    assert_eq!(first, again);
    assert!(!String::from_utf8(out).unwrap().contains("finishReason"));

    let answer = r#"{"candidates":[{"finishReason":"MODEL_ARMOR","finishMessage":"x"}]}"#;
    let (events, decoder) = decode_all(&data(answer));
    assert!(decoder.is_complete());
    assert!(matches!(
        events.last().unwrap(),
        Event::Stop { reason: StopReason::ContentFilter, .. }
    ));
}

#[test]
fn errors_keep_alives_and_what_is_not_understood() {
    let frame = data(r#"{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}"#);
    let (events, decoder) = decode_all(&frame);
    assert!(decoder.is_complete());
    assert!(matches!(
        &events[..],
        [Event::Error { code, message, .. }] if code == "PERMISSION_DENIED" && message == "no"
    ));
    assert_eq!(decode_all(b": hi\n\n").0, [Event::Ping]);
    assert_eq!(decode_all(b"data: {}\n\n").0, [Event::Ping]);
    assert_eq!(decode_all(b"data: [DONE]\n\n").0, [Event::End]);
    for odd in [
        "nope",
        "[1]",
        r#"{"foo":1}"#,
        r#"{"candidates":[{"index":1},{"index":1}]}"#,
        r#"{"candidates":[],"candidates":[]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":5}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"a","text":"b"}]}}]}"#,
        r#"{"candidates":[{"index":99999}]}"#,
    ] {
        let (events, decoder) = decode_all(&data(odd));
        assert!(matches!(&events[..], [Event::Opaque { .. }]), "{odd}");
        assert!(!decoder.is_complete());
        let (first, again, _) = there_and_back(&data(odd));
        assert_eq!(first, again);
    }
    let many =
        format!(r#"{{"candidates":[{{"content":{{"parts":[{}{{}}]}}}}]}}"#, "{},".repeat(4096));
    assert!(matches!(&decode_all(&data(&many)).0[..], [Event::Opaque { .. }]));
}

#[test]
fn odd_frames_survive() {
    for odd in [
        r#"{"candidates":[]}"#,
        r#"{"candidates":[{"content":{"parts":[{}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"thought":true}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"thoughtSignature":"x"}]}}]}"#,
        r#"{"candidates":[{"content":{"role":"tool","z":[1],"parts":[{"text":"a","note":"b"}]},"index":3}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"b"}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"a","functionCall":{"name":"f"},"note":"n"}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{},"thought":true}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":"x","more":{"y":"z"}}}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"QUJD"}}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"text/plain","data":"QUJD"}}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"executableCode":{"code":"a\"b"},"functionResponse":{"x":"y"},"thoughtSignature":"s"}]}}]}"#,
        r#"{"candidates":[{"finishReason":"FINISH_REASON_UNSPECIFIED","safetyRatings":[{"category":"X"}]}]}"#,
        r#"{"candidates":[{"finishReason":7}],"responseId":7,"modelVersion":null,"foo":{"bar":"baz"}}"#,
        r#"{"candidates":[{"finishReason":"STOP","groundingMetadata":{"groundingSupports":[{"segment":{"text":"t\u00e9"}}]}}],"error":"no"}"#,
        r#"{"usageMetadata":5,"error":{"code":"x","message":5},"more":"m"}"#,
        r#"{"promptFeedback":{"blockReason":"BLOCK_REASON_UNSPECIFIED"}}"#,
        r#"{"promptFeedback":null,"error":null}"#,
        r#"{"error":{"code":500},"foo":1}"#,
        r#"{"createTime":"2026-05-04T20:01:02.264968Z","responseId":"a\"b"}"#,
    ] {
        let (first, again, out) = there_and_back(&data(odd));
        assert_eq!(first, again, "{odd}\n{}", String::from_utf8_lossy(&out));
        let later = [data(r#"{"candidates":[],"responseId":"q"}"#), data(odd), data(odd)].concat();
        let (first, again, out) = there_and_back(&later);
        assert_eq!(first, again, "{odd}\n{}", String::from_utf8_lossy(&out));
        let body = decode_body(odd.as_bytes());
        let again = decode_body(&encode_unary(Dialect::Gemini, &body));
        assert_eq!(no_spans(body), no_spans(again), "{odd}");
    }
}

#[test]
fn pieces_of_one_argument_run_on_one_channel() {
    let piece = |call: &str| {
        data(&format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{call}}}]}}}}]}}"#
        ))
    };
    let bytes = [
        piece(r#"{"name":"send","willContinue":true}"#),
        piece(r#"{"partialArgs":[{"jsonPath":"$.a","stringValue":"sec","willContinue":true}],"willContinue":true}"#),
        piece(r#"{"partialArgs":[{"jsonPath":"$.a","stringValue":"ret"}],"willContinue":true}"#),
        piece(r#"{"partialArgs":[{"jsonPath":"$.b","stringValue":"x"}],"willContinue":true}"#),
        piece("{}"),
    ]
    .concat();
    let (events, _) = decode_all(&bytes);
    let texts: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Text { channel, text, span: Some(_) } => {
                Some((channel.block, channel.part, &**text))
            }
            _ => None,
        })
        .collect();
    assert_eq!(texts, [(0, 1, "sec"), (0, 1, "ret"), (0, 2, "x")]);
    assert!(matches!(events.last().unwrap(), Event::Close { .. }));
    let opened = events.iter().filter(|event| matches!(event, Event::Open { .. })).count();
    assert_eq!(opened, 1);
    let (first, again, _) = there_and_back(&bytes);
    assert_eq!(first, again);
}

#[test]
fn an_edit_reaches_verbatim_members() {
    let frame = data(
        r#"{"candidates":[{"content":{"parts":[{"executableCode":{"code":"key = 'hunter2'"}}]},"groundingMetadata":{"a":"hunter2","b":"fine"}}]}"#,
    );
    let mut events = decode(&mut Decoder::default(), &frame);
    for event in &mut events {
        if let Event::Text { text, .. } | Event::Repeat { text, .. } = event {
            *text = text.replace("hunter2", "[gone]").into();
        }
    }
    let mut out = Vec::new();
    Encoder::new(Dialect::Gemini).frame(&events, &mut out);
    let out = String::from_utf8(out).unwrap();
    assert!(!out.contains("hunter2"), "{out}");
    assert!(out.contains("key = '[gone]'") && out.contains("fine"));
    // Where the texts are gone, so is the value that they stand for.
    events.retain(|event| !matches!(event, Event::Repeat { .. }));
    let mut out = Vec::new();
    Encoder::new(Dialect::Gemini).frame(&events, &mut out);
    assert!(!String::from_utf8(out).unwrap().contains("hunter2"));
}

#[test]
fn an_array_of_responses_is_an_answer() {
    let (_, stream) = streams().find(|(name, _)| name.contains("google-text-chunks")).unwrap();
    let parts: Vec<_> = frames(stream)
        .iter()
        .map(|raw| String::from_utf8(sse::Frame::parse(raw).data.into_owned()).unwrap())
        .filter(|data| !data.is_empty())
        .collect();
    let body = format!("[{}]", parts.join(",\r\n"));
    let events = decode_body(body.as_bytes());
    assert_eq!(no_spans(events.clone()), no_spans(decode_all(stream).0));
    let again = decode_body(&encode_unary(Dialect::Gemini, &events));
    assert_eq!(no_spans(events), no_spans(again));

    let error = br#"[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]"#;
    assert!(matches!(&decode_body(error)[..], [Event::Error { .. }]));
    for odd in
        [&b"[]"[..], b"[{}]", b"{}", b"[1]", b"", b"<html>", br#"[{"candidates":[]},{"x":1}]"#]
    {
        let events = decode_body(odd);
        assert!(matches!(&events[..], [Event::Opaque { data, .. }] if **data == *odd));
        assert_eq!(encode_unary(Dialect::Gemini, &events), odd);
    }
}

fn foreign_call(pieces: &[&'static str]) -> Events {
    let channel = Channel { choice: 0, block: 1, part: 0, kind: Kind::ToolArguments };
    let block =
        Block::Tool { id: "call_1".into(), name: "f".into(), flavour: ToolFlavour::Function };
    let mut events = vec![
        Event::Start { id: "chatcmpl-1".into(), model: "gpt-4o".into(), created: Some(1) },
        Event::Text {
            channel: Channel { choice: 0, block: 0, part: 0, kind: Kind::Answer },
            text: "Let me see.".into(),
            span: None,
        },
        Event::Open { channel, block },
    ];
    events.extend(pieces.iter().map(|&text| Event::Text {
        channel,
        text: text.into(),
        span: Some(Span { start: 0, end: 0, form: Form::Quoted }),
    }));
    events.push(Event::Stop {
        choice: 0,
        reason: StopReason::ToolUse,
        native: "tool_calls".into(),
    });
    let counts =
        Counts { input: Some(7), output: Some(5), reasoning: Some(2), ..Counts::default() };
    events.push(Event::Usage { counts, native: r#"{"prompt_tokens":7}"#.into() });
    events.push(Event::Extra {
        place: Place::Frame,
        key: "system_fingerprint".into(),
        json: "\"fp\"".into(),
    });
    events.push(Event::End);
    events
}

#[test]
fn a_call_of_another_dialect_leaves_whole() {
    let mut encoder = Encoder::new(Dialect::OpenaiChat);
    let mut out = Vec::new();
    for event in foreign_call(&["{\"x\":", "", "\"y\"}"]) {
        encoder.frame(&[event], &mut out);
    }
    let text = String::from_utf8(out.clone()).unwrap();
    assert!(!text.contains("fingerprint") && !text.contains("prompt_tokens"), "{text}");
    let (events, decoder) = decode_all(&out);
    assert!(decoder.is_complete());
    assert_eq!(&**decoder.tail().model.as_ref().unwrap(), "gpt-4o");
    assert_eq!(text_of(&events, Kind::Answer), "Let me see.");
    assert_eq!(text_of(&events, Kind::ToolArguments), r#"{"x":"y"}"#);
    assert!(events.iter().any(|event| matches!(
        event,
        Event::Stop { reason: StopReason::ToolUse, native, .. } if native == "STOP"
    )));
    let counts = events.iter().find_map(|event| match event {
        Event::Usage { counts, .. } => Some(*counts),
        _ => None,
    });
    assert_eq!(counts.unwrap().output, Some(5));
    assert_eq!(counts.unwrap().reasoning, Some(2));
    // A whole answer says the same in one object.
    let body = encode_unary(Dialect::OpenaiChat, &foreign_call(&["{\"x\":", "\"y\"}"]));
    let unary = decode_body(&body);
    assert_eq!(text_of(&unary, Kind::ToolArguments), r#"{"x":"y"}"#);
    assert_eq!(body[0], b'{');
}

#[test]
fn a_broken_or_boundless_call_is_left_out_and_said() {
    let broken = foreign_call(&["{\"x\":"]);
    let huge: Events = {
        let piece: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
        foreign_call(&vec![piece; ARGUMENTS_BYTES_MAX / piece.len() + 1])
    };
    for events in [broken, huge] {
        let mut out = Vec::new();
        Encoder::new(Dialect::OpenaiChat).frame(&events, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("functionCall"), "{text}");
        assert!(text.contains("MALFORMED_FUNCTION_CALL"));
    }
    // A stream that breaks off closes nothing.
    let mut cut = foreign_call(&["{\"x\":1}"]);
    cut.retain(|event| !matches!(event, Event::Stop { .. } | Event::End));
    let mut out = Vec::new();
    Encoder::new(Dialect::OpenaiChat).frame(&cut, &mut out);
    assert!(!String::from_utf8(out).unwrap().contains("functionCall"));
}

#[test]
fn views() {
    let body = br#"{"contents":[{"parts":[{"text":"hi"}]}],"labels":{"session_id":"s-1","x":"y"}}"#;
    let seen = view(body).unwrap();
    assert_eq!(seen.hints.session.as_deref(), Some("s-1"));
    assert_eq!((seen.model, seen.stream), (None, false));
    assert!(view(b"{}").is_ok());
    for odd in [
        &b"[]"[..],
        b"",
        b"{",
        b"{} x",
        b"nul",
        b"{\"a\":\xFF}",
        br#"{"contents":[],"contents":[]}"#,
        br#"{"contents":[],"co\u006etents":[]}"#,
        br#"{"labels":{},"labels":{}}"#,
        br#"{"a":01}"#,
        b"{\"a\":\"\n\"}",
    ] {
        let error = view(odd).unwrap_err();
        assert!(error.at.is_some_and(|at| at <= odd.len()), "{error}");
    }
    let error = view(b"{\"a\":1}\n\n  x").unwrap_err();
    assert_eq!(error.at, Some(11), "{error}");
}

/// A recording, damaged: bytes replaced, cut out or doubled.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0u8..4, 0usize..40);
    let count = RECORDED.len();
    (0..count, proptest::collection::vec(change, 1..8)).prop_map(|(which, changes)| {
        let mut bytes = RECORDED[which].1.clone();
        for (index, byte, how, length) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = index.index(bytes.len());
            let end = (at + length).min(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let copy = bytes[at..end].to_vec();
                    drop(bytes.splice(at..at, copy));
                }
                _ => bytes[at] = b"\"{}[],:\\\n0"[usize::from(byte) % 10],
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damaged_recordings_are_decoded_and_survive(bytes in damaged()) {
        let (first, again, _) = there_and_back(&bytes);
        // The end mark is not this dialect's, and is not written.
        let first: Events = first.into_iter().filter(|event| *event != Event::End).collect();
        prop_assert_eq!(first, again);
        let body = decode_body(&bytes);
        prop_assert_eq!(
            no_spans(decode_body(&encode_unary(Dialect::Gemini, &body))),
            no_spans(body)
        );
        let _ = view(&bytes);
    }

    #[test]
    fn any_bytes_are_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode_all(&bytes);
        decode_body(&bytes);
        let _ = view(&bytes);
    }

    #[test]
    fn any_event_order_is_written(picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        let pool: Events = streams().take(6).flat_map(|(_, bytes)| decode_all(bytes).0)
            .chain(foreign_call(&["{}"])).collect();
        let events: Events = picks.iter().map(|pick| pool[pick.index(pool.len())].clone()).collect();
        for source in Dialect::ALL {
            let mut out = Vec::new();
            Encoder::new(source).frame(&events, &mut out);
            for raw in frames(&out) {
                let data = sse::Frame::parse(raw).data.into_owned();
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&data).is_ok());
            }
            let body = encode_unary(source, &events);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
        }
    }
}
