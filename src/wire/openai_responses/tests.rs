//! The dialect against recorded traffic.

use super::*;
use crate::wire::event::{Block, Channel, Counts, Event, Kind, Place, StopReason, ToolFlavour};
use crate::wire::loss::Losses;
use crate::wire::{Dialect, json, sse};
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

fn encode_unary(source: Dialect, events: &[Event<'_>]) -> Vec<u8> {
    super::encode_unary(source, events, &mut Losses::default())
}

/// The recorded bodies with the file extension `kind`, by name.
fn recorded(kind: &str) -> &'static [(String, Vec<u8>)] {
    static STREAMS: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    static BODIES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    let cell = if kind == "sse" { &STREAMS } else { &BODIES };
    cell.get_or_init(|| {
        let data = std::env::var_os("FIREDOOR_DATA").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
            PathBuf::from,
        );
        let mut found = Vec::new();
        for folder in ["openai-responses", "azure-openai-responses"] {
            let folder = data.join("wire").join(folder);
            let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| {
                panic!(
                    "recorded traffic is needed in {} ({error}); set FIREDOOR_DATA",
                    folder.display()
                )
            });
            for entry in entries {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let is_meta = name.ends_with(".meta.json");
                if path.extension().is_some_and(|extension| extension == kind) && !is_meta {
                    found.push((name, std::fs::read(&path).unwrap()));
                }
            }
        }
        assert!(found.len() > 40, "only {} recorded bodies", found.len());
        found.sort();
        found
    })
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

/// The events of each frame.
fn decode(stream: &[u8]) -> (Vec<Vec<Event<'static>>>, Decoder) {
    let mut decoder = Decoder::default();
    let mut all = Vec::new();
    for raw in frames(stream) {
        let mut events = Vec::new();
        decoder.frame(&sse::Frame::parse(raw), &mut |event| {
            check_span(raw, &event);
            events.push(event.into_owned().without_span());
        });
        assert!(!events.is_empty(), "a frame without an event: {}", raw.escape_ascii());
        all.push(events);
    }
    (all, decoder)
}

fn check_span(raw: &[u8], event: &Event<'_>) {
    if let Event::Text { text, span, .. } | Event::Repeat { text, span, .. } = event
        && let Some(span) = span
    {
        let bytes = &raw[span.start as usize..span.end as usize];
        let inner = std::str::from_utf8(bytes).unwrap();
        match span.form {
            crate::wire::event::Form::Quoted => assert_eq!(json::unescape(inner), *text),
            crate::wire::event::Form::Json => assert_eq!(inner, *text),
        }
    }
}

fn encode(source: Dialect, all: &[Vec<Event<'_>>]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(source), Vec::new());
    for events in all {
        encoder.frame(events, &mut out);
    }
    out
}

fn unary(body: &[u8]) -> Vec<Event<'static>> {
    let mut events = Vec::new();
    decode_unary(body, &mut |event| {
        check_span(body, &event);
        events.push(event.into_owned().without_span());
    });
    events
}

fn texts_of<'e>(events: impl IntoIterator<Item = &'e Event<'e>>) -> BTreeMap<Channel, String> {
    let mut texts = BTreeMap::<Channel, String>::new();
    for event in events {
        if let Event::Text { channel, text, .. } = event {
            texts.entry(*channel).or_default().push_str(text);
        }
    }
    texts
}

#[test]
fn recorded_streams_survive_a_round_trip() {
    for (name, stream) in recorded("sse") {
        let (first, decoder) = decode(stream);
        let written = encode(Dialect::OpenaiResponses, &first);
        let (second, again) = decode(&written);
        assert_eq!(first.len(), second.len(), "{name}");
        for (at, (first, second)) in first.iter().zip(&second).enumerate() {
            assert_eq!(first, second, "{name}, frame {at}");
        }
        assert_eq!(decoder.is_complete(), again.is_complete(), "{name}");
        assert_eq!(decoder.tail().id, again.tail().id);
    }
}

#[test]
fn recorded_streams_are_understood() {
    for (name, stream) in recorded("sse") {
        let (all, decoder) = decode(stream);
        if name.starts_with("azure.vercel.azure-deepseek") {
            continue; // Chat Completions under the wrong name.
        }
        let count = |is: fn(&Event<'_>) -> bool| all.iter().flatten().filter(|e| is(e)).count();
        assert!(decoder.is_complete(), "{name}");
        assert!(count(|event| matches!(event, Event::Start { .. })) >= 1, "{name}");
        assert!(count(|event| matches!(event, Event::End)) >= 1, "{name}");
        for event in all.iter().flatten() {
            if let Event::Opaque { name: kind, data, .. } = event {
                assert!(&**data == b"[DONE]", "{name}: {kind} is not understood");
            }
        }
        let opened = count(|event| matches!(event, Event::Open { .. }));
        let closed = count(|event| matches!(event, Event::Close { .. }));
        assert!(opened <= closed || name.contains("incomplete"), "{name} {opened} {closed}");
    }
}

#[test]
fn reassembled_texts_are_those_of_the_final_response() {
    let mut compared = 0;
    for (name, stream) in recorded("sse") {
        let created = memchr::memmem::find_iter(stream, "\"response.created\"").count();
        if created > 1 {
            continue; // Several answers, one after another, in one file.
        }
        let (all, _) = decode(stream);
        let texts = texts_of(all.iter().flatten());
        let mut finals = BTreeMap::<Channel, String>::new();
        for raw in frames(stream) {
            let Ok(frame) =
                serde_json::from_slice::<serde_json::Value>(&sse::Frame::parse(raw).data)
            else {
                continue;
            };
            if frame["type"] != "response.completed" {
                continue;
            }
            let output = frame["response"]["output"].as_array().unwrap();
            for (block, item) in (0u16..).zip(output) {
                let mut take = |value: &serde_json::Value, part, kind| {
                    if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
                        finals.insert(texts::at(block, part, kind), text.to_owned());
                    }
                };
                for (at, part) in (0u16..).zip(item["content"].as_array().into_iter().flatten()) {
                    if item["type"] == "message" {
                        take(&part["text"], at, Kind::Answer);
                        take(&part["refusal"], at, Kind::Refusal);
                    } else {
                        take(&part["text"], at + REASONING_CONTENT, Kind::Reasoning);
                    }
                }
                for (at, part) in (0u16..).zip(item["summary"].as_array().into_iter().flatten()) {
                    take(&part["text"], at, Kind::Reasoning);
                }
                if item["type"] == "function_call" || item["type"] == "mcp_call" {
                    take(&item["arguments"], 0, Kind::ToolArguments);
                }
                if item["type"] == "code_interpreter_call" {
                    take(&item["code"], 0, Kind::ToolArguments);
                }
            }
        }
        for (channel, text) in finals {
            assert_eq!(texts.get(&channel), Some(&text), "{name} {channel:?}");
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}

/// Whatever an edit takes out of the events is in no frame that is written from them.
#[test]
fn no_second_copy_hides_in_what_is_kept() {
    let edit = |event: &Event<'static>| match event.clone() {
        Event::Text { channel, span, .. } => Some(Event::Text { channel, text: "X".into(), span }),
        Event::Repeat { channel, span, .. } => {
            Some(Event::Repeat { channel, text: "X".into(), span })
        }
        Event::Extra { key, .. } if key == "logprobs" => None,
        other => Some(other),
    };
    for (name, stream) in recorded("sse") {
        let (all, _) = decode(stream);
        let texts = texts_of(all.iter().flatten());
        let edited: Vec<Vec<_>> =
            all.iter().map(|events| events.iter().filter_map(edit).collect()).collect();
        let written = encode(Dialect::OpenaiResponses, &edited);
        for text in texts.values().filter(|text| text.len() > 24) {
            let mut inside = Vec::new();
            json::push_escaped(&mut inside, text);
            assert!(memchr::memmem::find(&written, &inside).is_none(), "{name}: {text}");
        }
    }
    for (name, body) in recorded("json") {
        let events = unary(body);
        let texts = texts_of(&events);
        let edited: Vec<_> = events.iter().filter_map(edit).collect();
        let written = encode_unary(Dialect::OpenaiResponses, &edited);
        for text in texts.values().filter(|text| text.len() > 24) {
            let mut inside = Vec::new();
            json::push_escaped(&mut inside, text);
            assert!(memchr::memmem::find(&written, &inside).is_none(), "{name}: {text}");
        }
    }
}

#[test]
fn recorded_bodies_survive_a_round_trip() {
    let mut answers = 0;
    for (name, body) in recorded("json") {
        let first = unary(body);
        let written = encode_unary(Dialect::OpenaiResponses, &first);
        assert_eq!(first, unary(&written), "{name}");
        let value: serde_json::Value = serde_json::from_slice(body).unwrap();
        let again: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(value, again, "{name}");
        if value["object"] == "response" {
            answers += 1;
            let has = |is: fn(&Event<'_>) -> bool| first.iter().any(is);
            assert!(has(|event| matches!(event, Event::Start { .. })), "{name}");
            assert!(first.last() == Some(&Event::End), "{name}");
        } else if value.get("error").is_some() {
            assert!(matches!(&first[0], Event::Error { message, .. } if !message.is_empty()));
        }
    }
    assert!(answers > 30);
}

/// Whole answers of this dialect, told as a stream, say the same.
#[test]
fn recorded_bodies_can_be_told_as_streams() {
    for (name, body) in recorded("json") {
        let events = unary(body);
        if !events.contains(&Event::End) {
            continue;
        }
        let is_told = |channel: &Channel| channel.kind != Kind::Citation;
        let mut before: Vec<_> =
            texts_of(&events).into_iter().filter(|(channel, _)| is_told(channel)).collect();
        // Calls that only the provider understands are left out.
        let others: Vec<u16> = events
            .iter()
            .filter_map(|event| match event {
                Event::Open {
                    channel,
                    block: Block::Other(_) | Block::Tool { flavour: ToolFlavour::Server, .. },
                } => Some(channel.block),
                _ => None,
            })
            .collect();
        before.retain(|(channel, _)| !others.contains(&channel.block));
        let (told, decoder) = decode(&encode(Dialect::OpenaiChat, &[events]));
        assert!(decoder.is_complete(), "{name}");
        let after = texts_of(told.iter().flatten());
        let before: Vec<_> = before.into_iter().map(|(_, text)| text).collect();
        let after: Vec<_> = after.into_values().collect();
        assert_eq!(before, after, "{name}");
    }
}

fn say(channel: Channel, text: &'static str) -> Event<'static> {
    Event::Text { channel, text: Cow::Borrowed(text), span: None }
}

/// The events of a chat stream: nothing opens, calls are mixed, the end comes late.
fn chat() -> Vec<Vec<Event<'static>>> {
    let answer = texts::at(0, 0, Kind::Answer);
    let thought = texts::at(0, 0, Kind::Reasoning);
    let (one, two) = (texts::at(1, 0, Kind::ToolArguments), texts::at(2, 0, Kind::ToolArguments));
    let tool = |channel, id: &'static str, name: &'static str| Event::Open {
        channel,
        block: Block::Tool { id: id.into(), name: name.into(), flavour: ToolFlavour::Function },
    };
    let counts = Counts { input: Some(7), output: Some(9), ..Counts::default() };
    vec![
        vec![Event::Start { id: "chatcmpl-1".into(), model: "m".into(), created: Some(5) }],
        vec![say(thought, "hmm")],
        vec![say(answer, "hel"), say(answer, "lo")],
        vec![tool(one, "call_a", "f")],
        vec![say(one, "{\"a\":")],
        vec![tool(two, "", "g")],
        vec![say(one, "1}"), say(two, "[]")],
        vec![Event::Stop { choice: 0, reason: StopReason::ToolUse, native: "tool_calls".into() }],
        vec![Event::Usage { counts, native: "{}".into() }],
        vec![Event::End],
    ]
}

#[test]
fn a_foreign_answer_is_told_in_order() {
    let written = encode(Dialect::OpenaiChat, &chat());
    let mut kinds = Vec::new();
    let mut last = serde_json::Value::Null;
    for (number, raw) in frames(&written).into_iter().enumerate() {
        let frame = sse::Frame::parse(raw);
        let value: serde_json::Value = serde_json::from_slice(&frame.data).unwrap();
        assert_eq!(value["sequence_number"], number);
        assert_eq!(value["type"].as_str().unwrap().as_bytes(), frame.event);
        kinds.push(value["type"].as_str().unwrap()["response.".len()..].to_owned());
        last = value;
    }
    assert_eq!(
        kinds,
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    let response = &last["response"];
    assert_eq!(response["id"], "resp_chatcmpl-1");
    assert_eq!(response["usage"]["total_tokens"], 16);
    assert_eq!(response["output"][1]["content"][0]["text"], "hello");
    assert_eq!(response["output"][2]["arguments"], "{\"a\":1}");
    assert_eq!(response["output"][3]["call_id"], "call_chatcmpl1_1");

    let events: Vec<_> = chat().into_iter().flatten().collect();
    let body: serde_json::Value =
        serde_json::from_slice(&encode_unary(Dialect::OpenaiChat, &events)).unwrap();
    assert_eq!(body, *response);
    let (told, _) = decode(&written);
    let stops: Vec<_> = told.iter().flatten().filter(|e| matches!(e, Event::Stop { .. })).collect();
    assert!(matches!(stops[..], [Event::Stop { reason: StopReason::ToolUse, .. }]));
}

#[test]
fn half_built_arguments_are_not_closed() {
    let mut events = chat();
    events.truncate(6);
    events.push(vec![
        Event::Stop { choice: 0, reason: StopReason::MaxTokens, native: "length".into() },
        Event::End,
    ]);
    let written = String::from_utf8(encode(Dialect::OpenaiChat, &events)).unwrap();
    assert!(!written.contains("arguments.done"));
    assert!(written.contains("event: response.incomplete"));
    assert!(written.contains("\"reason\":\"max_output_tokens\""));
}

#[test]
fn a_foreign_error_ends_the_stream() {
    let mut events = chat();
    events.truncate(3);
    events.push(vec![
        Event::Error {
            code: "overloaded_error".into(),
            message: "busy".into(),
            native: "{}".into(),
        },
        Event::End,
    ]);
    let (told, decoder) = decode(&encode(Dialect::Anthropic, &events));
    assert!(decoder.is_complete());
    let codes: Vec<_> = told
        .iter()
        .flatten()
        .filter_map(|event| match event {
            Event::Error { code, message, .. } => Some((&**code, &**message)),
            _ => None,
        })
        .collect();
    assert_eq!(codes, [("server_error", "busy"), ("overloaded_error", "busy")]);
}

#[test]
fn beyond_the_bound_text_flows_and_the_answer_is_incomplete() {
    let channel = texts::at(0, 0, Kind::Answer);
    let text = "x".repeat(HELD_TEXT_BYTES_MAX / 2 + 1);
    let long = Event::Text { channel, text: Cow::Borrowed(&text), span: None };
    let written = encode(Dialect::Gemini, &[vec![long.clone()], vec![long], vec![Event::End]]);
    let (told, _) = decode(&written);
    assert_eq!(texts_of(told.iter().flatten())[&channel].len(), 2 * text.len());
    let is_cut =
        |event: &Event<'_>| matches!(event, Event::Stop { reason: StopReason::MaxTokens, .. });
    assert!(told.iter().flatten().any(is_cut));
}

#[test]
fn opaque_frames_leave_as_they_came() {
    let stream =
        b"event: odd\ndata: {not json\ndata:  more\n\ndata: {\"type\":\"a\\nb\"}\n\n: c\n\n";
    let (all, _) = decode(stream);
    assert!(matches!(&all[0][..], [Event::Opaque { name, data, .. }]
        if name == "odd" && &**data == b"{not json\n more"));
    assert_eq!(all[2], [Event::Ping]);
    let (again, _) = decode(&encode(Dialect::OpenaiResponses, &all));
    assert_eq!(all, again);
}

#[test]
fn members_that_are_not_known_are_kept() {
    let stream = b"data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\\u00e9\",\
        \"logprobs\":[{\"token\":\"a\"}],\"x\":{\"y\":1},\"output_index\":3}\n\n";
    let (all, _) = decode(stream);
    let extra = |key: &'static str, json: &'static str| Event::Extra {
        place: Place::Frame,
        key: key.into(),
        json: json.into(),
    };
    let text = say(texts::at(3, 0, Kind::Answer), "aé");
    let expected = [text, extra("logprobs", "[{\"token\":\"a\"}]"), extra("x", "{\"y\":1}")];
    assert_eq!(all, [expected]);
    assert_eq!(decode(&encode(Dialect::OpenaiResponses, &all)).0, all);
}

#[test]
fn text_that_is_let_go_late_stands_before_the_frame_that_ends_it() {
    let channel = texts::at(0, 0, Kind::Answer);
    let stream = b"data: {\"type\":\"response.output_text.done\",\"sequence_number\":4,\
        \"output_index\":0,\"content_index\":0,\"text\":\"held\"}\n\n";
    let mut decoder = Decoder::default();
    let delta = b"data: {\"type\":\"response.output_text.delta\",\"sequence_number\":3,\
        \"output_index\":0,\"content_index\":0,\"delta\":\"held\"}\n\n";
    decoder.frame(&sse::Frame::parse(delta), &mut |_| {});
    let mut events = vec![say(channel, "held")];
    decoder.frame(&sse::Frame::parse(stream), &mut |event| events.push(event.into_owned()));
    let written = encode(Dialect::OpenaiResponses, &[events]);
    let (again, decoder) = decode(&written);
    assert_eq!(again[0], [say(channel, "held")]);
    assert!(matches!(&again[1][0], Event::Repeat { text, .. } if text == "held"));
    assert_eq!(decoder.tail().sequence, 6);
}

#[test]
fn views() {
    let body = br#"{"model":"gpt-\u0035","input":[{"role":"user"}],"stream":true,
        "metadata":{"session_id":"s1"},"prompt_cache_key":"k","user":"u",
        "client_metadata":{"agent_name":"a"},"conversation":{"id":"c"}}"#;
    let view = view(body).unwrap();
    assert_eq!(view.model.as_deref(), Some("gpt-5"));
    let span = view.model_span.unwrap();
    assert_eq!(&body[span.start as usize..span.end as usize], br"gpt-\u0035");
    assert!(view.stream);
    assert_eq!(view.hints.session.as_deref(), Some("s1"));
    assert_eq!(view.hints.agent.as_deref(), Some("a"));
    assert_eq!(view.hints.end_user.as_deref(), Some("u"));

    let session = |body: &'static [u8]| super::view(body).unwrap().hints.session;
    assert_eq!(session(br#"{"conversation":{"id":"c"},"prompt_cache_key":"k"}"#).unwrap(), "c");
    assert_eq!(session(br#"{"conversation":"d","previous_response_id":"r"}"#).unwrap(), "d");
    assert_eq!(session(br#"{"previous_response_id":"r","prompt_cache_key":"k"}"#).unwrap(), "r");
    assert_eq!(session(br#"{"metadata":[],"prompt_cache_key":"k"}"#).unwrap(), "k");
    assert_eq!(session(br#"{"model":"m","stream":null}"#), None);
}

#[test]
fn bodies_that_cannot_be_read_are_refused_with_their_place() {
    let cases: &[(&[u8], &str, Option<usize>)] = &[
        (b"[]", "the body must be one JSON object", Some(0)),
        (b"", "the body is empty; send one JSON object", Some(0)),
        (b"{\"a\":1,}", "the body is not valid JSON: trailing comma", Some(7)),
        (b"{} {}", "the body is not valid JSON: trailing characters", Some(3)),
        (b"{\"model\":\"a\",\n\"m\\u006fdel\":\"b\"}", "`model` stands twice", None),
        (b"{\"stream\":true,\"stream\":false}", "`stream` stands twice", None),
        (b"{\"input\":\"\",\"input\":\"\"}", "`input` stands twice", None),
        (b"{\"model\":7}", "`model` must be a string", Some(9)),
        (b"{\"stream\":\"true\"}", "`stream` must be true or false", Some(10)),
        (b"{\"input\":{}}", "`input` must be a string or an array", Some(9)),
        (b"{\"a\":\"\xff\"}", "the body is not UTF-8", Some(6)),
    ];
    for (body, what, at) in cases {
        let error = view(body).unwrap_err();
        assert_eq!(error.what, *what, "{}", body.escape_ascii());
        if at.is_some() {
            assert_eq!(error.at, *at, "{}", body.escape_ascii());
        }
    }
}

/// The client got `["r"]`, the mark of a text, in the place of the error.
#[test]
fn an_error_of_no_known_form_stays_what_it_is() {
    for data in [r#"{"type":"error","detail":{"why":"quota"}}"#, r#"{"type":"error","error":{}}"#] {
        let stream = format!("event: error\ndata: {data}\n\n").into_bytes();
        let (events, _) = decode(&stream);
        let again = encode(Dialect::OpenaiResponses, &events);
        assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&stream));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn mutated_streams_never_panic_and_still_survive_a_round_trip(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 0..12),
    ) {
        let all = recorded("sse");
        let small: Vec<_> = all.iter().filter(|(_, stream)| stream.len() < 20_000).collect();
        let stream = mutated(&small[which.index(small.len())].1, &changes);
        let (first, _) = decode(&stream);
        let _ = encode(Dialect::Anthropic, &first);
        let (second, _) = decode(&encode(Dialect::OpenaiResponses, &first));
        for (first, second) in first.iter().flatten().zip(second.iter().flatten()) {
            prop_assert_eq!(first, second);
        }
    }

    #[test]
    fn mutated_bodies_never_panic_and_still_survive_a_round_trip(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 0..12),
    ) {
        let all = recorded("json");
        let body = mutated(&all[which.index(all.len())].1, &changes);
        let first = unary(&body);
        let _ = encode_unary(Dialect::Gemini, &first);
        prop_assert_eq!(&first, &unary(&encode_unary(Dialect::OpenaiResponses, &first)));
        let _ = view(&body);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode(&bytes);
        unary(&bytes);
        let _ = view(&bytes);
        let mut frame = b"data: {\"type\":\"response.completed\",\"response\":{\"output\":[".to_vec();
        frame.extend_from_slice(&bytes);
        decode(&frame);
    }
}

fn mutated(bytes: &[u8], changes: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, byte, how) in changes {
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = *byte,
            1 => bytes.insert(at, *b"\"\\{}[],:01ax"[..].get(usize::from(byte % 12)).unwrap()),
            _ => {
                bytes.drain(at..(at + usize::from(byte % 40)).min(bytes.len()));
                bytes.push(b' ');
            }
        }
    }
    bytes
}
