//! What this dialect's own tests ask that `tests/wire.rs` does not ask of every dialect.

use super::*;
use crate::wire::event::{Block, Event, ToolFlavour};
use crate::wire::eventstream::{push_event, push_exception, seal};
use crate::wire::framing::{Framing, Splitter};
use crate::wire::loss::Losses;
use crate::wire::{Decoder, Dialect, Encoder, decode_unary, encode_unary};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The frames of whole bytes.
fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut frames, mut rest) = (Vec::new(), bytes);
    let mut splitter = Splitter::new(Framing::EventStream);
    while let Some(end) = splitter.next(rest).unwrap() {
        frames.push(&rest[..end]);
        rest = &rest[end..];
    }
    assert!(rest.is_empty());
    frames
}

fn told(bytes: &[u8]) -> Vec<Vec<Event<'static>>> {
    let mut decoder = Decoder::new(Dialect::Bedrock);
    let mut told = Vec::new();
    for raw in frames(bytes) {
        let mut events = Vec::new();
        let frame = Framing::EventStream.frame(raw);
        decoder.frame(&frame, &mut |event| events.push(event.into_owned()));
        told.push(events);
    }
    told
}

fn stream(steps: &[(&str, Value)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, payload) in steps {
        push_event(&mut out, name, payload.to_string().as_bytes());
    }
    out
}

/// Names and payloads of frames.
fn steps(bytes: &[u8]) -> Vec<(String, Value)> {
    frames(bytes)
        .into_iter()
        .map(|raw| {
            let frame = Framing::EventStream.frame(raw);
            let name = String::from_utf8_lossy(frame.event).into_owned();
            (name, serde_json::from_slice(&frame.data).unwrap())
        })
        .collect()
}

fn encode(source: Dialect, told: &[Vec<Event<'_>>]) -> Vec<u8> {
    let mut encoder = Encoder::new(Dialect::Bedrock, source);
    let mut out = Vec::new();
    for events in told {
        encoder.frame(events, &mut out);
    }
    out
}

fn body_events(body: &str) -> Vec<Event<'static>> {
    let mut events = Vec::new();
    decode_unary(Dialect::Bedrock, body.as_bytes(), &mut |event| events.push(event.into_owned()));
    events
}

/// Everything that a stream can say, beyond what was recorded.
fn everything() -> Vec<(&'static str, Value)> {
    vec![
        ("messageStart", json!({"role":"assistant","p":"abc"})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"c2ln"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"eA=="}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex":0,"new":[1]})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex":1,"delta":{"text":"cited","beside":1},"p":"x"}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex":1,"delta":{"citation":{
            "title":"t","sourceContent":[{"text":"one"},{"text":"two"}],"location":{"web":{"url":"u"}}}}}),
        ),
        ("contentBlockDelta", json!({"contentBlockIndex":1,"delta":{"citation":{"title":"bare"}}})),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex":1,"delta":{"citation":{"sourceContent":[{"text":"three"}]}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex":1})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"i","name":"n","type":"server_tool_use"}}}),
        ),
        (
            "contentBlockDelta",
            json!({"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"a\":","more":2}}}),
        ),
        ("contentBlockStop", json!({"contentBlockIndex":2})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex":3,"start":{"toolResult":{"toolUseId":"i"}}}),
        ),
        ("contentBlockDelta", json!({"contentBlockIndex":3,"delta":{"toolResult":[{"text":"r"}]}})),
        ("contentBlockStop", json!({"contentBlockIndex":3})),
        ("invented", json!({"x":1})),
        ("messageStop", json!({"stopReason":"tool_use","additionalModelResponseFields":{"k":"v"}})),
        (
            "metadata",
            json!({"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":13,
            "cacheReadInputTokens":4,"cacheWriteInputTokens":6},
            "metrics":{"latencyMs":3},"trace":{"guardrail":{"modelOutput":["as \"it\" was"]}}}),
        ),
    ]
}

#[test]
fn a_stream_is_told_and_written_the_same() {
    let bytes = stream(&everything());
    let said = told(&bytes);
    let again = encode(Dialect::Bedrock, &said);
    assert_eq!(steps(&again), steps(&bytes));
    let without_spans = |told: Vec<Vec<Event<'static>>>| -> Vec<Event<'static>> {
        told.into_iter().flatten().map(Event::without_span).collect()
    };
    assert_eq!(without_spans(told(&again)), without_spans(said.clone()));

    let events = said.concat();
    assert!(matches!(&events[0], Event::Start { .. }));
    assert!(
        events.iter().any(|event| matches!(event,
        Event::Signature { channel, value } if channel.kind == Kind::Reasoning && value == "c2ln"))
    );
    assert!(events.iter().any(|event| matches!(
        event,
        Event::Open { block: Block::Tool { flavour: ToolFlavour::Server, .. }, .. }
    )));
    assert!(events.iter().any(|event| matches!(event,
        Event::Close { channel } if channel.block == 3 && channel.kind == Kind::ToolResult)));
    assert!(events.iter().any(|event| matches!(event,
        Event::Repeat { text, .. } if text == "as \"it\" was")));
    let quotes: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            Event::Text { channel, text, .. } if channel.kind == Kind::Citation => Some(&**text),
            _ => None,
        })
        .collect();
    assert_eq!(quotes, ["one", "two", "three"]);
    let counts = events.iter().find_map(|event| match event {
        Event::Usage { counts, .. } => Some(*counts),
        _ => None,
    });
    let counts = counts.unwrap();
    assert_eq!((counts.input, counts.output), (Some(11), Some(2)));
    assert_eq!((counts.cache_read, counts.cache_write), (Some(4), Some(6)));
    assert_eq!(events.last(), Some(&Event::End));
}

#[test]
fn a_text_stands_in_its_frame_where_its_span_says() {
    let bytes = stream(&everything());
    let mut decoder = Decoder::new(Dialect::Bedrock);
    let mut spans = 0;
    for raw in frames(&bytes) {
        decoder.frame(&Framing::EventStream.frame(raw), &mut |event| {
            if let Event::Text { text, span, .. } | Event::Repeat { text, span, .. } = event {
                let span = span.unwrap();
                let written = &raw[span.start as usize..span.end as usize];
                let written = std::str::from_utf8(written).unwrap();
                assert_eq!(crate::wire::json::unescape(written), text);
                spans += 1;
            }
        });
    }
    assert!(spans > 6, "{spans}");
}

#[test]
fn an_edited_repeat_takes_its_member_along() {
    let mut said = told(&stream(&everything()));
    for event in said.iter_mut().flatten() {
        if let Event::Repeat { text, .. } = event {
            *text = "edited".into();
        }
    }
    let again = encode(Dialect::Bedrock, &said);
    let (_, metadata) = steps(&again).pop().unwrap();
    assert!(metadata.get("trace").is_none() && metadata["metrics"]["latencyMs"] == 3);
}

#[test]
fn an_edited_quote_is_written_into_its_citation() {
    let mut said = told(&stream(&everything()));
    for event in said.iter_mut().flatten() {
        if let Event::Text { text, .. } = event
            && text == "two"
        {
            *text = "2".into();
        }
    }
    let all = steps(&encode(Dialect::Bedrock, &said));
    let citation = &all[6].1["delta"]["citation"];
    assert_eq!(citation["sourceContent"], json!([{"text":"one"},{"text":"2"}]));
    assert_eq!(citation["title"], "t");
}

#[test]
fn errors_in_a_stream() {
    let mut bytes = Vec::new();
    push_exception(&mut bytes, "throttlingException", br#"{"message":"slow down"}"#);
    let said = told(&bytes).concat();
    assert_eq!(
        said,
        [Event::Error {
            code: "throttlingException".into(),
            message: "slow down".into(),
            native: r#"{"message":"slow down"}"#.into(),
        }]
    );
    assert_eq!(encode(Dialect::Bedrock, &[said]), bytes);

    // An error that the service's model does not know: its text is a header.
    let headers = b"\x0d:message-type\x07\0\x05error\x0b:error-code\x07\0\x0fInternalFailure\x0e:error-message\x07\0\x04oops";
    let total = (headers.len() + 16) as u32;
    let length = (headers.len() as u32).to_be_bytes();
    let mut raw = [&total.to_be_bytes()[..], &length, &[0; 4], headers, &[0; 4]].concat();
    seal(&mut raw);
    let mut decoder = Decoder::new(Dialect::Bedrock);
    decoder.frame(&Framing::EventStream.frame(&raw), &mut |event| {
        assert!(matches!(event, Event::Error { code, message, .. }
            if code == "InternalFailure" && message == "oops"));
    });
    assert!(decoder.is_complete());
}

#[test]
fn complete_at_message_stop() {
    let bytes = stream(&[
        ("messageStart", json!({"role":"assistant"})),
        ("messageStop", json!({"stopReason":"end_turn"})),
    ]);
    let mut decoder = Decoder::new(Dialect::Bedrock);
    let expected = [false, true];
    for (raw, expected) in frames(&bytes).into_iter().zip(expected) {
        decoder.frame(&Framing::EventStream.frame(raw), &mut |_| {});
        assert_eq!(decoder.is_complete(), expected);
    }
}

#[test]
fn bodies() {
    let body = json!({
        "output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
            {"reasoningContent": {"redactedContent": "eA=="}},
            {"text": "hi"},
            {"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": [
                {"title": "t", "sourceContent": [{"text": "q"}]}, {"title": "u"}]}},
            {"citationsContent": {"content": [{"text": "c"}], "citations": []}},
            {"toolUse": {"toolUseId": "i", "name": "n", "input": {"x": 1.0}, "type": "tool_use"}},
            {"toolUse": {"toolUseId": "j", "name": "n", "input": {}}},
            {"image": {"format": "png"}},
            {"a": 1, "b": 2},
        ], "odd": true}},
        "stopReason": "tool_use",
        "additionalModelResponseFields": {"s": "t"},
        "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
        "metrics": {"latencyMs": 1},
        "trace": {"guardrail": {"modelOutput": ["was"]}},
    });
    let events = body_events(&body.to_string());
    let again = encode_unary(Dialect::Bedrock, Dialect::Bedrock, &events, &mut Losses::default());
    let value: Value = serde_json::from_slice(&again).unwrap();
    assert_eq!(value, body);
    let strip = |events: Vec<Event<'static>>| -> Vec<Event<'static>> {
        events.into_iter().map(Event::without_span).collect()
    };
    let text = String::from_utf8(again).unwrap();
    assert_eq!(strip(body_events(&text)), strip(events.clone()));
    let input = events.iter().find_map(|event| match event {
        Event::Text { channel, text, .. } if channel.kind == Kind::ToolArguments => Some(&**text),
        _ => None,
    });
    assert_eq!(input, Some(r#"{"x":1.0}"#));
}

#[test]
fn errors_instead_of_an_answer_and_what_is_none() {
    let events = body_events(r#"{"message":"no"}"#);
    assert!(matches!(&events[..], [Event::Error { message, .. }] if message == "no"));
    let again = encode_unary(Dialect::Bedrock, Dialect::Bedrock, &events, &mut Losses::default());
    assert_eq!(again, br#"{"message":"no"}"#);
    for odd in
        ["", "[]", "{}", r#"{"output":{}}"#, r#"{"output":{"message":{"content":[]}}}"#, "\u{feff}"]
    {
        let events = body_events(odd);
        assert!(matches!(&events[..], [Event::Opaque { .. }]), "{odd}: {events:?}");
        let again =
            encode_unary(Dialect::Bedrock, Dialect::Bedrock, &events, &mut Losses::default());
        assert_eq!(again, odd.as_bytes());
    }
}

/// The events of another dialect: a call of free text, reasoning in parts, one choice too many.
fn foreign() -> Vec<Vec<Event<'static>>> {
    let at = |block, part, kind| Channel { choice: 0, block, part, kind };
    let text = |channel, text: &'static str| Event::Text { channel, text: text.into(), span: None };
    let call = |block, name: &'static str, flavour| Event::Open {
        channel: at(block, 0, Kind::ToolArguments),
        block: Block::Tool { id: "".into(), name: name.into(), flavour },
    };
    vec![
        vec![Event::Start { id: "x".into(), model: "m".into(), created: None }],
        vec![text(at(0, 0, Kind::Reasoning), "one")],
        vec![text(at(0, 1, Kind::Reasoning), "two")],
        vec![text(at(1, 0, Kind::Answer), "hi")],
        vec![text(Channel { choice: 1, block: 1, part: 0, kind: Kind::Answer }, "no")],
        vec![call(2, "free", ToolFlavour::Custom), text(at(2, 0, Kind::ToolArguments), "a\"b")],
        vec![call(3, "empty", ToolFlavour::Function)],
        vec![Event::Usage {
            counts: Counts {
                input: Some(9),
                output: Some(2),
                cache_read: Some(4),
                ..Counts::default()
            },
            native: "{}".into(),
        }],
        vec![Event::Stop { choice: 0, reason: StopReason::EndTurn, native: "stop".into() }],
        vec![Event::End],
    ]
}

#[test]
fn another_dialects_answer_is_put_in_order() {
    let bytes = encode(Dialect::OpenaiResponses, &foreign());
    let all = steps(&bytes);
    let names: Vec<&str> = all.iter().map(|(name, _)| &**name).collect();
    let delta = "contentBlockDelta";
    assert_eq!(
        names,
        [
            "messageStart",
            delta,
            delta,
            delta,
            "contentBlockStop",
            delta,
            "contentBlockStop",
            "contentBlockStart",
            delta,
            delta,
            delta,
            "contentBlockStop",
            "contentBlockStart",
            delta,
            "contentBlockStop",
            "messageStop",
            "metadata",
        ]
    );
    let input: String = all[8..11]
        .iter()
        .map(|(_, step)| step["delta"]["toolUse"]["input"].as_str().unwrap())
        .collect();
    assert_eq!(serde_json::from_str::<Value>(&input).unwrap(), json!({"input": "a\"b"}));
    assert_eq!(all[7].1["start"]["toolUse"]["toolUseId"], "tooluse_x_0");
    assert_eq!(all[13].1["delta"]["toolUse"]["input"], "{}");
    assert_eq!(all[15].1["stopReason"], "tool_use");
    assert_eq!(
        all[16].1["usage"],
        json!({"inputTokens":5,"outputTokens":2,"totalTokens":11,"cacheReadInputTokens":4})
    );
    let body = encode_unary(
        Dialect::Bedrock,
        Dialect::OpenaiResponses,
        &foreign().concat(),
        &mut Losses::default(),
    );
    let body: Value = serde_json::from_slice(&body).unwrap();
    let content = &body["output"]["message"]["content"];
    assert_eq!(content[0]["reasoningContent"]["reasoningText"]["text"], "one\n\ntwo");
    assert_eq!(content[1]["text"], "hi");
    assert_eq!(content[2]["toolUse"]["input"], json!({"input": "a\"b"}));
    assert_eq!(content[3]["toolUse"]["input"], json!({}));
    assert_eq!(body["stopReason"], "tool_use");
}

#[test]
fn a_call_that_was_closed_never_looks_whole() {
    let mut told = foreign();
    let channel = Channel { choice: 0, block: 2, part: 0, kind: Kind::ToolArguments };
    told.insert(6, vec![Event::Close { channel }]);
    told.insert(8, vec![Event::Text { channel, text: "late".into(), span: None }]);
    let bytes = encode(Dialect::OpenaiResponses, &told);
    let (name, _) = steps(&bytes).pop().unwrap();
    assert_eq!(name, "internalServerException");
}

proptest! {
    #[test]
    fn arbitrary_payloads_never_panic(
        name in prop::sample::select(vec!["messageStart", "contentBlockStart", "contentBlockDelta",
            "contentBlockStop", "messageStop", "metadata", "x"]),
        payload in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            "[\\{\\}\\[\\]:,\"a0 ]{0,40}|\\{\"(delta|start|contentBlockIndex|stopReason|usage|trace)\":[\\{\\}\\[\\]:,\"a0]{0,20}\\}"
                .prop_map(String::into_bytes),
        ],
        is_exception in any::<bool>(),
    ) {
        let mut bytes = Vec::new();
        if is_exception {
            push_exception(&mut bytes, name, &payload);
        } else {
            push_event(&mut bytes, name, &payload);
        }
        let said = told(&bytes);
        prop_assert!(said.iter().all(|events| !events.is_empty()));
        for dialect in Dialect::ALL {
            let mut encoder = Encoder::new(dialect, Dialect::Bedrock);
            let mut out = Vec::new();
            for events in &said {
                encoder.frame(events, &mut out);
            }
            let _ = encode_unary(dialect, Dialect::Bedrock, &said.concat(), &mut Losses::default());
        }
        let again = told(&encode(Dialect::Bedrock, &said));
        let strip = |told: Vec<Vec<Event<'static>>>| -> Vec<Event<'static>> {
            told.into_iter().flatten().map(Event::without_span).collect()
        };
        prop_assert_eq!(strip(again), strip(said));
        decode_unary(Dialect::Bedrock, &payload, &mut |_| {});
    }
}
