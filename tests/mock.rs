//! Simulated models' answers in every dialect, read back by the dialect's own decoder.

#![allow(
    clippy::unwrap_used,
    clippy::naive_bytecount,
    reason = "the helpers of a test fail as the test does, and its bodies are short"
)]

mod support;

use firedoor::wire::event::{Block, Event, Kind, StopReason};
use firedoor::wire::framing::Splitter;
use firedoor::wire::{Decoder, Dialect, decode_unary};
use std::time::{Duration, Instant};
use support::{Answer, Client, MockProcess, MockServer, get_json, post, wait_for};

/// A request of `dialect` with `prompt`: its path and its body.
fn request(dialect: Dialect, prompt: &str, stream: bool) -> (&'static str, String) {
    let says = format!(r#"{{"role":"user","content":"{prompt}"}}"#);
    match dialect {
        Dialect::OpenaiChat => (
            "/v1/chat/completions",
            format!(
                r#"{{"model":"m-1","messages":[{says}],"stream":{stream},"stream_options":{{"include_usage":true}}}}"#
            ),
        ),
        Dialect::OpenaiResponses => {
            ("/v1/responses", format!(r#"{{"model":"m-1","input":"{prompt}","stream":{stream}}}"#))
        }
        Dialect::Anthropic => (
            "/v1/messages",
            format!(r#"{{"model":"m-1","max_tokens":99,"messages":[{says}],"stream":{stream}}}"#),
        ),
        Dialect::Gemini => (
            if stream {
                "/v1beta/models/m-1:streamGenerateContent?alt=sse"
            } else {
                "/v1beta/models/m-1:generateContent"
            },
            format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"{prompt}"}}]}}]}}"#),
        ),
        Dialect::Bedrock => (
            if stream { "/model/m-1/converse-stream" } else { "/model/m-1/converse" },
            format!(r#"{{"messages":[{{"role":"user","content":[{{"text":"{prompt}"}}]}}]}}"#),
        ),
    }
}

fn ask(server: &MockServer, dialect: Dialect, prompt: &str, stream: bool) -> Answer {
    let (path, body) = request(dialect, prompt, stream);
    post(server.address, path, &[], &body)
}

/// What an answer said, by its dialect's decoder.
fn events(dialect: Dialect, stream: bool, body: &[u8]) -> Vec<Event<'static>> {
    let mut events = Vec::new();
    if !stream {
        decode_unary(dialect, body, &mut |event| events.push(event.into_owned()));
        return events;
    }
    let framing = dialect.framing();
    let (mut decoder, mut splitter) = (Decoder::new(dialect), Splitter::new(framing));
    let mut rest = body;
    while let Some(end) = splitter.next(rest).unwrap() {
        let frame = framing.frame(&rest[..end]);
        decoder.frame(&frame, &mut |event| events.push(event.into_owned()));
        rest = &rest[end..];
    }
    assert!(rest.is_empty(), "{dialect:?}: bytes behind the last frame");
    let has_failed = events.iter().any(|event| matches!(event, Event::Error { .. }));
    assert!(decoder.is_complete() || has_failed, "{dialect:?}: the stream is not complete");
    events
}

fn text(events: &[Event<'_>], wanted: Kind) -> String {
    let mut all = String::new();
    for event in events {
        if let Event::Text { channel, text, .. } = event
            && channel.kind == wanted
        {
            all.push_str(text);
        }
    }
    all
}

/// Runs `check` on the answer to `prompt` in every dialect, streamed and whole.
fn in_every_dialect(prompt: &str, check: impl Fn(Dialect, bool, &Answer, &[Event<'_>])) {
    let server = MockServer::start();
    for dialect in Dialect::ALL {
        for stream in [true, false] {
            let answer = ask(&server, dialect, prompt, stream);
            assert_eq!(answer.status(), 200, "{dialect:?}: {}", answer.text());
            let events = events(dialect, stream, &answer.body);
            check(dialect, stream, &answer, &events);
        }
    }
}

#[test]
fn a_friendly_answer_in_every_dialect() {
    in_every_dialect("hello", |dialect, stream, answer, events| {
        let said = text(events, Kind::Answer);
        assert!(said.contains("I am a simulated model"), "{dialect:?}: {}", answer.text());
        let starts = events.iter().find_map(|event| match event {
            Event::Start { model, .. } => Some(model.to_string()),
            _ => None,
        });
        // Bedrock's answers do not name their model.
        let named = if dialect == Dialect::Bedrock { "" } else { "m-1" };
        assert_eq!(starts.as_deref(), Some(named), "{dialect:?}");
        let kind = answer.head.field("content-type").unwrap();
        assert_eq!(dialect.framing().is_named_by(kind), stream);
        let texts = events.iter().filter(|event| matches!(event, Event::Text { .. })).count();
        assert!(!stream || texts > 10, "{dialect:?}: a word a frame");
    });
}

#[test]
fn words_reasoning_stops_and_usage() {
    in_every_dialect("mock:tokens=40,reasoning=let%20me%20see;", |dialect, _, answer, events| {
        let said = text(events, Kind::Answer);
        assert!(said.starts_with("The quick brown fox"), "{dialect:?}: {}", answer.text());
        assert!(said.contains(" caf\u{e9} \u{4f60}\u{597d}\")"), "{dialect:?}: {said:?}");
        assert_eq!(text(events, Kind::Reasoning), "let me see", "{dialect:?}: {}", answer.text());
        let stop = events.iter().find_map(|event| match event {
            Event::Stop { reason, .. } => Some(*reason),
            _ => None,
        });
        assert_eq!(stop, Some(StopReason::EndTurn), "{dialect:?}");
        let counts = events.iter().rev().find_map(|event| match event {
            Event::Usage { counts, .. } => Some(*counts),
            _ => None,
        });
        assert_eq!(counts.unwrap().output, Some(43), "{dialect:?}: {}", answer.text());
    });
}

#[test]
fn parallel_calls() {
    let prompt = "mock:tool=find:%7B%22city%22%3A%22Oslo%22%2C%22days%22%3A%5B1%2C2%5D%7D,\
                  tool=now;";
    in_every_dialect(prompt, |dialect, _, answer, events| {
        let mut calls: Vec<(u16, String, String)> = Vec::new();
        for event in events {
            match event {
                Event::Open { channel, block: Block::Tool { name, .. } } => {
                    calls.push((channel.block, name.to_string(), String::new()));
                }
                Event::Text { channel, text, .. } if channel.kind == Kind::ToolArguments => {
                    let call = calls.iter_mut().find(|call| call.0 == channel.block).unwrap();
                    call.2.push_str(text);
                }
                Event::Stop { reason, .. } if dialect != Dialect::Gemini => {
                    assert_eq!(*reason, StopReason::ToolUse, "{dialect:?}");
                }
                _ => {}
            }
        }
        let names: Vec<&str> = calls.iter().map(|call| call.1.as_str()).collect();
        assert_eq!(names, ["find", "now"], "{dialect:?}: {}", answer.text());
        let arguments: serde_json::Value = serde_json::from_str(&calls[0].2).unwrap();
        assert_eq!(arguments["days"][1], 2);
        // No arguments at all mean the same to some dialects.
        assert!(matches!(calls[1].2.as_str(), "{}" | ""), "{dialect:?}: {}", answer.text());
    });
}

#[test]
fn an_error_inside_the_stream() {
    let server = MockServer::start();
    for dialect in Dialect::ALL {
        let answer = ask(&server, dialect, "mock:fault=error_event,at=3;", true);
        let events = events(dialect, true, &answer.body);
        let is_error = |event: &Event<'_>| matches!(event, Event::Error { .. });
        assert!(events.iter().any(is_error), "{dialect:?}: {}", answer.text());
        let stops_well =
            |event: &Event<'_>| matches!(event, Event::Stop { reason: StopReason::EndTurn, .. });
        assert!(!events.iter().any(stops_well), "{dialect:?}: {}", answer.text());
    }
}

#[test]
fn text_that_is_not_utf8_stands_inside_the_frame() {
    let server = MockServer::start();
    for dialect in Dialect::ALL {
        for stream in [true, false] {
            let answer = ask(&server, dialect, "mock:tokens=5,fault=invalid_utf8;", stream);
            let invalid = answer.body.iter().filter(|byte| **byte == 0xFF).count();
            assert!(invalid >= 3, "{dialect:?}: {}", answer.text());
        }
    }
}

#[test]
fn counts_come_only_to_chat_streams_that_ask() {
    let server = MockServer::start();
    let body = r#"{"model":"m","messages":[],"stream":true}"#;
    let answer = post(server.address, "/v1/chat/completions", &[], body);
    assert!(!answer.text().contains("prompt_tokens"), "{}", answer.text());
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
}

#[test]
fn gemini_streams_an_array_to_who_does_not_ask_for_frames() {
    let server = MockServer::start();
    let path = "/v1beta/models/m:streamGenerateContent";
    let answer = post(server.address, path, &[("x-mock", "tokens=3")], r#"{"contents":[]}"#);
    assert_eq!(answer.head.field("content-type"), Some("application/json"));
    assert!(answer.json().as_array().unwrap().len() >= 3, "{}", answer.text());
}

#[test]
fn tokens_come_at_their_pace_and_stamped() {
    let server = MockServer::start();
    let (path, body) = request(Dialect::OpenaiChat, "mock:tokens=5,itl_ms=50,stamp=1;", true);
    let mut client = Client::connect(server.address);
    client.request("POST", path, &[], body.as_bytes());
    client.head();
    let mut all = client.chunk().unwrap().unwrap();
    let began = Instant::now();
    while let Some(chunk) = client.chunk().unwrap() {
        all.extend(chunk);
    }
    assert!(began.elapsed() >= Duration::from_millis(150));
    let stamps = text(&events(Dialect::OpenaiChat, true, &all), Kind::Answer);
    let stamps: Vec<u64> =
        stamps.split_whitespace().map(|word| u64::from_str_radix(word, 16).unwrap()).collect();
    assert_eq!(stamps.len(), 5);
    // A token stamped before its wait instead of behind it would make this 150 ms.
    assert!(stamps.is_sorted() && stamps[4] - stamps[0] >= 160_000_000, "{stamps:?}");
}

#[test]
fn a_client_that_leaves_a_models_stream_is_counted() {
    let server = MockServer::start();
    for dialect in Dialect::ALL {
        let (path, body) = request(dialect, "mock:tokens=9,itl_ms=60000;", true);
        let mut client = Client::connect(server.address);
        client.request("POST", path, &[], body.as_bytes());
        client.head();
        assert!(client.chunk().unwrap().is_some());
    }
    wait_for("all departures", || {
        (get_json(server.address, "/stats")["aborted"] == Dialect::ALL.len()).then_some(())
    });
}

#[test]
fn the_binary_prints_its_address_first() {
    let mock = MockProcess::start(&["--spec", "text=from%20the%20spec"]);
    let (path, body) = request(Dialect::OpenaiChat, "hello", false);
    let answer = post(mock.address, path, &[], &body);
    assert!(answer.text().contains("from the spec"), "{}", answer.text());
    assert!(mock.process.memory_bytes() > 0);
}
