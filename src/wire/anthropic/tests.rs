//! The dialect against recorded traffic, and against the order that accumulators ask for.

use super::*;
use crate::wire::event::{Block, Event, Form, Place, ToolFlavour};
use crate::wire::loss::Losses;
use crate::wire::{Dialect, json, sse};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::path::PathBuf;

fn encode_unary(source: Dialect, events: &[Event<'_>]) -> Vec<u8> {
    super::encode_unary(source, events, &mut Losses::default())
}

/// The recorded files that end in `ending`, by name.
fn recorded(ending: &str) -> Vec<(String, Vec<u8>)> {
    let data = std::env::var_os("FIREDOOR_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")),
        PathBuf::from,
    );
    let folder = data.join("wire/anthropic-messages");
    let listed = std::fs::read_dir(&folder).unwrap_or_else(|error| {
        panic!("{}: {error}; set FIREDOOR_DATA to the folder of recordings", folder.display())
    });
    let mut files: Vec<_> = listed
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(ending) && !name.ends_with(".meta.json")
        })
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn frames(stream: &[u8]) -> Vec<&[u8]> {
    let (mut frames, mut rest, mut splitter) = (Vec::new(), stream, sse::Splitter::default());
    while let Some(end) = splitter.next(rest) {
        frames.push(&rest[..end]);
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        frames.push(rest);
    }
    frames
}

/// The events of each frame; spans are checked and taken off.
fn decode(decoder: &mut Decoder, stream: &[u8]) -> Vec<Vec<Event<'static>>> {
    frames(stream)
        .into_iter()
        .map(|raw| {
            let mut events = Vec::new();
            decoder.frame(&sse::Frame::parse(raw), &mut |event| {
                check_span(raw, &event);
                events.push(event.into_owned().without_span());
            });
            assert!(!events.is_empty(), "{}", String::from_utf8_lossy(raw));
            events
        })
        .collect()
}

fn check_span(raw: &[u8], event: &Event<'_>) {
    if let Event::Text { text, span: Some(span), .. } = event {
        let inner = &raw[span.start as usize..span.end as usize];
        let inner = std::str::from_utf8(inner).unwrap();
        match span.form {
            Form::Quoted => assert_eq!(json::unescape(inner), *text),
            Form::Json => assert_eq!(inner, *text),
        }
    }
}

fn unary(body: &[u8]) -> Vec<Event<'static>> {
    let mut events = Vec::new();
    decode_unary(body, &mut |event| {
        check_span(body, &event);
        events.push(event.into_owned().without_span());
    });
    assert!(!events.is_empty());
    events
}

fn encode(source: Dialect, steps: &[Vec<Event<'static>>]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(source), Vec::new());
    for events in steps {
        encoder.frame(events, &mut out);
    }
    out
}

/// What the SDKs' accumulators make of a stream, with their demands on its order.
fn accumulate(stream: &[u8]) -> Result<Value, Value> {
    let (mut message, mut open, mut partial) = (Value::Null, None::<usize>, String::new());
    for raw in frames(stream) {
        let frame = sse::Frame::parse(raw);
        let data: Value = serde_json::from_slice(&frame.data).unwrap();
        let kind = data["type"].as_str().unwrap().to_owned();
        assert_eq!(frame.event, kind.as_bytes());
        let index = data["index"].as_u64().map(|index| usize::try_from(index).unwrap());
        match &*kind {
            "message_start" => {
                assert!(message.is_null());
                message = data["message"].clone();
                assert!(message["usage"]["input_tokens"].is_u64());
                assert_eq!(message["content"], json!([]));
            }
            "content_block_start" => {
                assert_eq!(open, None);
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(index, Some(content.len()));
                content.push(data["content_block"].clone());
                open = index;
                partial.clear();
            }
            "content_block_delta" => {
                assert!(index.is_some() && open == index);
                let (block, delta) = (&mut message["content"][index.unwrap()], &data["delta"]);
                match delta["type"].as_str().unwrap() {
                    "input_json_delta" => partial += delta["partial_json"].as_str().unwrap(),
                    "signature_delta" => block["signature"] = delta["signature"].clone(),
                    other => {
                        let name = other.strip_suffix("_delta").unwrap();
                        let text = block[name].as_str().unwrap().to_owned();
                        block[name] = Value::from(text + delta[name].as_str().unwrap());
                    }
                }
            }
            "content_block_stop" => {
                assert!(open.take() == index && index.is_some());
                if !partial.is_empty() {
                    let input: Value = serde_json::from_str(&partial).unwrap_or(Value::Null);
                    message["content"][index.unwrap()]["input"] = input;
                }
            }
            "message_delta" => {
                assert_eq!(open, None);
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                for (name, value) in data["usage"].as_object().unwrap() {
                    message["usage"][name] = value.clone();
                }
                assert!(data["usage"]["output_tokens"].is_u64());
            }
            "message_stop" => {
                assert!(message["stop_reason"].is_string());
                return Ok(message);
            }
            "error" => return Err(data["error"].clone()),
            "ping" => {}
            other => panic!("{other}"),
        }
    }
    panic!("the stream just ends: {}", String::from_utf8_lossy(stream));
}

#[test]
fn recorded_streams_survive_a_round_trip() {
    for (name, stream) in recorded(".sse") {
        let mut decoder = Decoder::default();
        let steps = decode(&mut decoder, &stream);
        let has_end = stream.windows(12).any(|w| w == b"message_stop")
            || stream.windows(12).any(|w| w == b"event: error");
        assert_eq!(decoder.is_complete(), has_end || name.contains("api-error"), "{name}");
        assert!(decoder.tail().id.is_some() || name.contains("api-error"), "{name}");

        let again = encode(Dialect::Anthropic, &steps);
        let second = decode(&mut Decoder::default(), &again);
        assert_eq!(second.concat(), steps.concat(), "{name}");
        assert_eq!(encode(Dialect::Anthropic, &second), again, "{name}");
    }
}

#[test]
fn recorded_streams_say_the_same_json_again() {
    for (name, stream) in recorded(".sse") {
        let steps = decode(&mut Decoder::default(), &stream);
        for (raw, events) in frames(&stream).into_iter().zip(steps) {
            let frame = sse::Frame::parse(raw);
            let Ok(before) = serde_json::from_slice::<Value>(&frame.data) else {
                continue;
            };
            let out = encode(Dialect::Anthropic, &[events]);
            // A block that begins with text or arguments comes back in two frames.
            if frames(&out).len() > 1 {
                continue;
            }
            let after: Value = serde_json::from_slice(&sse::Frame::parse(&out).data).unwrap();
            let mut before = before;
            if before["content_block"]["type"] == "thinking" {
                before["content_block"]["signature"] = json!("");
            }
            assert_eq!(after, before, "{name}");
        }
    }
}

#[test]
fn recorded_texts_and_arguments() {
    let (mut calls, mut citations) = (0, 0);
    for (name, stream) in recorded(".sse") {
        let steps = decode(&mut Decoder::default(), &stream);
        let mut arguments = std::collections::BTreeMap::<u16, String>::new();
        for event in steps.concat() {
            match event {
                Event::Text { channel, text, .. } if channel.kind == Kind::ToolArguments => {
                    arguments.entry(channel.block).or_default().push_str(&text);
                }
                Event::Text { channel, .. } if channel.kind == Kind::Citation => citations += 1,
                Event::Close { channel } => assert_ne!(channel.kind, Kind::User),
                Event::Opaque { name: kind, data, .. } => {
                    let kept = ["compaction_delta", "message_start", "[DONE]"];
                    let data = String::from_utf8_lossy(&data);
                    assert!(
                        &*kind != "content_block_delta" && !kind.starts_with("message")
                            || kept.iter().any(|kept| data.contains(kept)),
                        "{name}: {kind} {data}"
                    );
                }
                _ => {}
            }
        }
        for arguments in arguments.into_values().filter(|_| !name.contains("spliced")) {
            if !arguments.is_empty() && !name.contains("max-tokens") {
                assert!(serde_json::from_str::<Value>(&arguments).is_ok(), "{name}: {arguments}");
                calls += 1;
            }
        }
    }
    assert!(calls > 30 && citations > 50, "{calls} {citations}");
}

#[test]
fn recorded_bodies_survive_a_round_trip() {
    for (name, body) in recorded(".json") {
        let events = unary(&body);
        assert!(!matches!(events[..], [Event::Opaque { .. }]), "{name}");
        let again = encode_unary(Dialect::Anthropic, &events);
        assert_eq!(unary(&again), events, "{name}");
        let before: Value = serde_json::from_slice(&body).unwrap();
        let after: Value = serde_json::from_slice(&again).unwrap();
        assert_eq!(after, before, "{name}");

        // The same answer as a stream.
        if before["type"] == "message" {
            let out = encode(Dialect::Anthropic, std::slice::from_ref(&events));
            let streamed = accumulate(&out).unwrap();
            assert_eq!(streamed["stop_reason"], before["stop_reason"], "{name}");
            let steps = decode(&mut Decoder::default(), &out);
            assert_eq!(steps.concat(), events, "{name}");
            assert_eq!(
                serde_json::from_slice::<Value>(&encode_unary(Dialect::Anthropic, &steps.concat()))
                    .unwrap(),
                before,
                "{name}"
            );
        }
    }
}

#[test]
fn odd_frames() {
    let said = |stream: &str| decode(&mut Decoder::default(), stream.as_bytes()).concat();
    assert_eq!(said(": hi\n\n"), [Event::Ping]);
    assert_eq!(said("event: ping\ndata: {\"type\": \"ping\"}\n\n"), [Event::Ping]);
    let opaque = |name: &'static str, data: &'static str| Event::Opaque {
        dialect: Dialect::Anthropic,
        name: Cow::Borrowed(name),
        data: Cow::Borrowed(data.as_bytes()),
    };
    assert_eq!(said("data: [DONE]\n\n"), [opaque("", "[DONE]")]);
    assert_eq!(said("data: {\"type\":\"new\"}\n\n"), [opaque("new", "{\"type\":\"new\"}")]);
    assert_eq!(said("event: x\ndata: a\ndata: b\n\n"), [opaque("x", "a\nb")]);
    // A name cannot break out of its line.
    let evil = "data: {\"type\":\"a\\n\\ndata: b\"}\n\n";
    let steps = decode(&mut Decoder::default(), evil.as_bytes());
    assert_eq!(encode(Dialect::Anthropic, &steps), evil.as_bytes());
    // Members that stand twice have no agreed meaning.
    let twice = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a","text":"b"}}"#;
    assert!(matches!(said(&format!("data: {twice}\n\n"))[..], [Event::Opaque { .. }]));
    // No `type`: the `event:` line says it.
    let bare = "event: message_stop\ndata: {\"x\":1}\n\n";
    assert!(matches!(said(bare)[..], [Event::End, Event::Extra { place: Place::Frame, .. }]));
    // JSON over several lines.
    let lines = "event: message_stop\ndata: {\ndata: \"x\": [1,\ndata:  2]}\n\n";
    let steps = decode(&mut Decoder::default(), lines.as_bytes());
    let out = encode(Dialect::Anthropic, &steps);
    assert_eq!(decode(&mut Decoder::default(), &out), steps);
}

#[test]
fn counts_include_what_is_cached() {
    let body = br#"{"type":"message","content":[],"usage":{"input_tokens":3,
        "cache_read_input_tokens":40,"cache_creation_input_tokens":500,"output_tokens":7,
        "output_tokens_details":{"thinking_tokens":2}}}"#;
    let told = unary(body).into_iter().find_map(|event| match event {
        Event::Usage { counts, .. } => Some(counts),
        _ => None,
    });
    let expected = Counts {
        input: Some(543),
        output: Some(7),
        cache_read: Some(40),
        cache_write: Some(500),
        reasoning: Some(2),
    };
    assert_eq!(told, Some(expected));
}

#[test]
fn an_edited_quote_is_edited_in_its_citation_too() {
    let frame = r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"type":"page_location","cited_text":"secret","page":1}}}"#;
    let mut steps = decode(&mut Decoder::default(), format!("{frame}\n\n").as_bytes());
    let Event::Text { text, .. } = &mut steps[0][0] else { panic!() };
    *text = Cow::Borrowed("[gone]");
    let out = String::from_utf8(encode(Dialect::Anthropic, &steps)).unwrap();
    assert!(out.contains("[gone]") && !out.contains("secret") && out.contains("\"page\":1"));
}

fn chat(block: u16, kind: Kind) -> Channel {
    channel(block, kind)
}

fn text(block: u16, kind: Kind, text: &'static str) -> Event<'static> {
    Event::Text { channel: chat(block, kind), text: Cow::Borrowed(text), span: None }
}

fn tool(block: u16, id: &'static str, flavour: ToolFlavour) -> Event<'static> {
    Event::Open {
        channel: chat(block, Kind::ToolArguments),
        block: Block::Tool { id: Cow::Borrowed(id), name: Cow::Borrowed("f"), flavour },
    }
}

fn start() -> Event<'static> {
    Event::Start { id: Cow::Borrowed("chatcmpl-1"), model: Cow::Borrowed("gpt"), created: Some(1) }
}

fn stop(reason: StopReason) -> Event<'static> {
    Event::Stop { choice: 0, reason, native: Cow::Borrowed("x") }
}

fn usage(input: u64, output: u64) -> Event<'static> {
    let counts = Counts {
        input: Some(input),
        output: Some(output),
        cache_read: Some(1),
        ..Counts::default()
    };
    Event::Usage { counts, native: Cow::Borrowed("{}") }
}

#[test]
fn a_chat_stream_becomes_blocks() {
    let steps = vec![
        vec![start(), text(0, Kind::Answer, "")],
        vec![text(0, Kind::Reasoning, "hm")],
        vec![text(0, Kind::Answer, "He\n")],
        vec![text(0, Kind::Answer, "llo")],
        vec![tool(1, "", ToolFlavour::Function), text(1, Kind::ToolArguments, "{\"a\"")],
        vec![text(1, Kind::ToolArguments, ":1}")],
        vec![tool(2, "call_2", ToolFlavour::Custom), text(2, Kind::ToolArguments, "say \"hi\"")],
        vec![text(2, Kind::ToolArguments, "\n")],
        vec![tool(3, "call_3", ToolFlavour::Function)],
        vec![stop(StopReason::ToolUse)],
        vec![Event::Ping],
        vec![usage(11, 5)],
        vec![Event::End],
    ];
    let out = encode(Dialect::OpenaiChat, &steps);
    let message = accumulate(&out).unwrap();
    let expected = json!([
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "He\nllo"},
        {"type": "tool_use", "id": "toolu_chatcmpl1_0", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "call_2", "name": "f", "input": {"input": "say \"hi\"\n"}},
        {"type": "tool_use", "id": "call_3", "name": "f", "input": {}},
    ]);
    assert_eq!(message["content"], expected);
    assert_eq!(message["stop_reason"], "tool_use");
    assert_eq!(message["usage"]["input_tokens"], 10);
    assert_eq!(message["usage"]["cache_read_input_tokens"], 1);
    assert_eq!(message["usage"]["output_tokens"], 5);
    assert_eq!((&message["id"], &message["model"]), (&json!("chatcmpl-1"), &json!("gpt")));

    let whole: Value =
        serde_json::from_slice(&encode_unary(Dialect::OpenaiChat, &steps.concat())).unwrap();
    for name in ["content", "stop_reason", "id", "model", "role"] {
        assert_eq!(whole[name], message[name], "{name}");
    }
    // Our own decoder reads it as a whole answer.
    let mut decoder = Decoder::default();
    decode(&mut decoder, &out);
    assert!(decoder.is_complete());
}

#[test]
fn other_orders() {
    let ended = |steps: &[Vec<Event<'static>>]| accumulate(&encode(Dialect::Gemini, steps));
    // Nothing at all; no start; no stop; usage before the stop, usage never.
    assert_eq!(ended(&[vec![Event::End]]).unwrap()["stop_reason"], "end_turn");
    let message = ended(&[vec![text(0, Kind::Answer, "a"), usage(3, 1)], vec![Event::End]]);
    assert_eq!(message.unwrap()["usage"]["output_tokens"], 1);
    let message = ended(&[
        vec![start(), text(0, Kind::Answer, "a"), usage(3, 1)],
        vec![text(0, Kind::Answer, "b"), stop(StopReason::EndTurn), usage(3, 2)],
        vec![Event::End],
    ])
    .unwrap();
    assert_eq!(message["content"], json!([{"type": "text", "text": "ab"}]));
    assert_eq!(
        message["usage"],
        json!({"input_tokens": 2, "cache_read_input_tokens": 1, "output_tokens": 2})
    );
    // A source that ends a turn of calls like any other.
    let call = vec![tool(1, "c", ToolFlavour::Function), stop(StopReason::EndTurn)];
    assert_eq!(ended(&[call, vec![Event::End]]).unwrap()["stop_reason"], "tool_use");
    let no = vec![text(0, Kind::Refusal, "no"), stop(StopReason::EndTurn)];
    assert_eq!(ended(&[no, vec![Event::End]]).unwrap()["stop_reason"], "refusal");
    // Other choices are left out.
    let mut other = channel(0, Kind::Answer);
    other.choice = 1;
    let second = Event::Text { channel: other, text: Cow::Borrowed("z"), span: None };
    let stopped =
        Event::Stop { choice: 1, reason: StopReason::MaxTokens, native: Cow::Borrowed("") };
    let message = ended(&[vec![start(), second, stopped], vec![Event::End]]).unwrap();
    assert_eq!((&message["content"], &message["stop_reason"]), (&json!([]), &json!("end_turn")));
    // Failures raise, whatever else is said.
    let failed = ended(&[vec![start()], vec![stop(StopReason::Error)], vec![Event::End]]);
    assert_eq!(failed.unwrap_err()["type"], "api_error");
    let error = Event::Error {
        code: Cow::Borrowed("RESOURCE_EXHAUSTED"),
        message: Cow::Borrowed("slow \"down\""),
        native: Cow::Borrowed("{}"),
    };
    let failed = ended(&[vec![start()], vec![error], vec![Event::End]]).unwrap_err();
    assert_eq!(failed, json!({"type": "rate_limit_error", "message": "slow \"down\""}));
    // A call that had to be closed must not grow behind its end.
    let late = [
        vec![tool(1, "a", ToolFlavour::Function), text(1, Kind::ToolArguments, "{}")],
        vec![tool(2, "b", ToolFlavour::Function), text(1, Kind::ToolArguments, "x")],
        vec![Event::End],
    ];
    assert!(ended(&late).is_err());
}

#[test]
fn parts_and_signatures() {
    let part = |part, text| Event::Text {
        channel: Channel { part, ..channel(0, Kind::Reasoning) },
        text: Cow::Borrowed(text),
        span: None,
    };
    let signature =
        Event::Signature { channel: channel(0, Kind::Reasoning), value: Cow::Borrowed("sig") };
    let steps = [
        vec![start(), part(0, "one")],
        vec![part(1, "two")],
        vec![signature],
        vec![Event::Close { channel: channel(0, Kind::Reasoning) }],
        vec![text(1, Kind::Answer, "done"), stop(StopReason::MaxTokens)],
        vec![Event::End],
    ];
    let message = accumulate(&encode(Dialect::OpenaiResponses, &steps)).unwrap();
    let expected = json!([
        {"type": "thinking", "thinking": "one\n\ntwo", "signature": ""},
        {"type": "text", "text": "done"},
    ]);
    assert_eq!(message["content"], expected);
    let whole: Value =
        serde_json::from_slice(&encode_unary(Dialect::OpenaiResponses, &steps.concat())).unwrap();
    assert_eq!(whole["content"], expected);
    assert_eq!(whole["stop_reason"], "max_tokens");
}

#[test]
fn whole_answers_that_are_none() {
    let error = |events: &[Event<'static>]| -> Value {
        serde_json::from_slice(&encode_unary(Dialect::Gemini, events)).unwrap()
    };
    assert_eq!(error(&[])["error"]["type"], "api_error");
    assert_eq!(error(&[start(), stop(StopReason::Error)])["type"], "error");
    for body in ["", "[]", "oops", "{\"content\":7}", "{\"type\":\"completion\"}"] {
        let events = unary(body.as_bytes());
        assert!(matches!(events[..], [Event::Opaque { .. }]), "{body}");
        assert_eq!(encode_unary(Dialect::Anthropic, &events), body.as_bytes());
    }
    // Arguments that broke off are no call.
    let broken =
        [start(), tool(1, "a", ToolFlavour::Function), text(1, Kind::ToolArguments, "{\"a")];
    let whole = error(&broken);
    assert_eq!(whole["type"], "error");
    // Arguments that are whole, but no JSON, stay readable.
    let odd = [start(), tool(1, "a", ToolFlavour::Function), text(1, Kind::ToolArguments, "{a}")];
    assert_eq!(error(&odd)["content"][0]["input"], json!({"INVALID_JSON": "{a}"}));
}

fn any_event() -> impl Strategy<Value = Event<'static>> {
    let kinds = vec![
        Kind::Answer,
        Kind::Reasoning,
        Kind::ToolArguments,
        Kind::Refusal,
        Kind::Citation,
        Kind::Other,
    ];
    let at = (0u16..3, 0u16..2, prop::sample::select(kinds))
        .prop_map(|(block, part, kind)| Channel { part, ..channel(block, kind) });
    let text = at.clone().prop_map(|channel| Event::Text {
        channel,
        text: Cow::Borrowed("{}"),
        span: None,
    });
    let flavours = vec![ToolFlavour::Function, ToolFlavour::Custom, ToolFlavour::Server];
    let opened = (3u16..9, prop::sample::select(flavours))
        .prop_map(|(block, flavour)| tool(block, "", flavour));
    prop_oneof![
        6 => text,
        2 => opened,
        2 => at.clone().prop_map(|channel| Event::Close { channel }),
        1 => at.clone().prop_map(|channel| Event::Signature { channel, value: Cow::Borrowed("s") }),
        1 => at.prop_map(|channel| Event::Open { channel, block: Block::Text }),
        1 => Just(start()),
        1 => Just(stop(StopReason::EndTurn)),
        1 => Just(usage(3, 4)),
        1 => Just(Event::Ping),
    ]
}

proptest! {
    #[test]
    fn any_foreign_events_make_a_valid_stream(
        steps in proptest::collection::vec(proptest::collection::vec(any_event(), 0..3), 0..30),
    ) {
        let mut steps = steps;
        steps.push(vec![Event::End]);
        let _ = accumulate(&encode(Dialect::OpenaiChat, &steps));
        let whole = encode_unary(Dialect::OpenaiChat, &steps.concat());
        prop_assert!(serde_json::from_slice::<Value>(&whole).is_ok());
    }

    #[test]
    fn mutated_streams_never_panic_and_still_round_trip(
        pick in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let files = recorded(".sse");
        let mut stream = pick.get(&files).1.clone();
        for (at, byte) in edits {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let steps = decode(&mut Decoder::default(), &stream);
        let again = encode(Dialect::Anthropic, &steps);
        let second = decode(&mut Decoder::default(), &again);
        prop_assert_eq!(second.concat(), steps.concat());
        let _ = encode(Dialect::Gemini, &steps);
        let _ = encode_unary(Dialect::Anthropic, &steps.concat());
    }

    #[test]
    fn mutated_bodies_never_panic_and_still_round_trip(
        pick in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let files = recorded(".json");
        let mut body = pick.get(&files).1.clone();
        for (at, byte) in edits {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let events = unary(&body);
        prop_assert_eq!(unary(&encode_unary(Dialect::Anthropic, &events)), events);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
        let steps = decode(&mut Decoder::default(), &bytes);
        let again = encode(Dialect::Anthropic, &steps);
        prop_assert_eq!(decode(&mut Decoder::default(), &again).concat(), steps.concat());
        unary(&bytes);
    }
}
