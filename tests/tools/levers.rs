//! A tool is killed while an answer is under way.

use crate::support::{Case, Client, Gateway, Told, Upstream, ask};
use crate::{FAMILIES, routes};
use firedoor::wire::event::{Block, Channel, Counts, Event, Kind, StopReason, ToolFlavour};
use firedoor::wire::{Dialect, Encoder};
use serde_json::json;
use std::io::Write;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

const NATIVE: [(Dialect, &str); 5] = [
    (Dialect::OpenaiChat, "oai"),
    (Dialect::OpenaiResponses, "oai"),
    (Dialect::Anthropic, "ant"),
    (Dialect::Gemini, "gem"),
    (Dialect::Bedrock, "bed"),
];

/// The frames of an answer up to the middle of its second half, and the rest.
fn frames(dialect: Dialect, head: Vec<Event<'static>>, tail: Vec<Event<'static>>) -> [Vec<u8>; 2] {
    // From another dialect, so that the encoder finds the words of its own.
    let source = if dialect == Dialect::Anthropic { Dialect::Gemini } else { Dialect::Anthropic };
    let mut encoder = Encoder::new(dialect, source);
    let mut halves = [Vec::new(), Vec::new()];
    for (half, events) in halves.iter_mut().zip([head, tail]) {
        for event in events {
            encoder.frame(&[event], half);
        }
    }
    halves
}

fn start() -> Event<'static> {
    Event::Start { id: "resp_1".into(), model: "m".into(), created: Some(1) }
}

fn at(block: u16, kind: Kind) -> Channel {
    Channel { choice: 0, block, part: 0, kind }
}

fn said(text: &'static str) -> Vec<Event<'static>> {
    let channel = at(0, Kind::Answer);
    vec![
        start(),
        Event::Open { channel, block: Block::Text },
        Event::Text { channel, text: text.into(), span: None },
    ]
}

fn ended(reason: StopReason) -> Vec<Event<'static>> {
    let counts = Counts { input: Some(5), output: Some(7), ..Counts::default() };
    vec![
        Event::Stop { choice: 0, reason, native: "".into() },
        Event::Usage { counts, native: "{}".into() },
        Event::End,
    ]
}

/// A call in two halves.
fn call(block: u16) -> [Vec<Event<'static>>; 2] {
    let channel = at(block, Kind::ToolArguments);
    let flavour = ToolFlavour::Function;
    let open = Block::Tool { id: "call_1".into(), name: "issue_refund".into(), flavour };
    let text = |text: &'static str| Event::Text { channel, text: text.into(), span: None };
    [
        vec![Event::Open { channel, block: open }, text("{\"amount\":")],
        vec![text("4711}"), Event::Close { channel }],
    ]
}

/// A provider that sends the first half at once and the second when it is told to.
fn halved(dialect: Dialect, halves: [Vec<u8>; 2]) -> (Upstream, Sender<()>) {
    let (go, went) = channel();
    let went = Arc::new(Mutex::new(went));
    let kind = dialect.framing().content_type();
    let upstream = Upstream::start(move |_, stream| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&halves[0]).unwrap();
        stream.flush().unwrap();
        // A test that ends early says nothing.
        if went.lock().unwrap().recv().is_ok() {
            // The gateway may have seen enough.
            let _ = stream.write_all(&halves[1]);
        }
    });
    (upstream, go)
}

/// Reads chunks until `mark` has come.
fn until(client: &mut Client, mark: &str) -> Vec<u8> {
    let mut had = Vec::new();
    while !String::from_utf8_lossy(&had).contains(mark) {
        had.extend(client.chunk().unwrap().unwrap_or_else(|| panic!("{mark} has not come")));
    }
    had
}

fn rest(client: &mut Client, mut had: Vec<u8>) -> Vec<u8> {
    while let Some(chunk) = client.chunk().unwrap() {
        had.extend(chunk);
    }
    had
}

#[test]
fn a_call_under_way_is_cut_with_the_levers_message() {
    for (dialect, family) in NATIVE {
        // Gemini's calls come whole.
        if dialect == Dialect::Gemini {
            continue;
        }
        let [first, second] = call(0);
        let halves = frames(
            dialect,
            [vec![start()], first].concat(),
            [second, ended(StopReason::ToolUse)].concat(),
        );
        let (upstream, _go) = halved(dialect, halves);
        let gateway = Gateway::start(&routes(&upstream.url(), "\"x-none\" = \"1\""));
        let mut client = ask(&gateway, dialect, family, true);
        let id = client.head().field("x-firedoor-exchange").unwrap().to_owned();
        let had = until(&mut client, "amount");
        let by = gateway.pull(json!({ "kind": "kill", "scope": "tool:issue_refund" }));
        let body = rest(&mut client, had);
        let told = Told::of_stream(dialect, &body);
        let (_, message) = told.error.as_ref().unwrap_or_else(|| panic!("{dialect:?}: {told:?}"));
        assert!(message.contains("firedoor"), "{dialect:?}: {message}");
        assert!(!String::from_utf8_lossy(&body).contains("4711"), "{dialect:?}");
        let record = gateway.exchange(&id);
        assert_eq!(record["outcome"], "cut", "{record}");
        assert_eq!(record["lever"], by, "{record}");
    }
}

#[test]
fn a_call_that_comes_behind_text_does_not_leave() {
    for (dialect, family) in NATIVE {
        for midstream in ["", "midstream = \"continue\""] {
            let [first, second] = call(1);
            let text = at(0, Kind::Answer);
            let halves = frames(
                dialect,
                said("Let me see."),
                [vec![Event::Close { channel: text }], first, second, ended(StopReason::ToolUse)]
                    .concat(),
            );
            let (upstream, go) = halved(dialect, halves);
            let routes = routes(&upstream.url(), "\"x-none\" = \"1\"").replace(
                "retry = { attempts = 1 }",
                &format!("retry = {{ attempts = 1 }}\n{midstream}"),
            );
            let gateway = Gateway::start(&routes);
            let mut client = ask(&gateway, dialect, family, true);
            let id = client.head().field("x-firedoor-exchange").unwrap().to_owned();
            let had = until(&mut client, "Let me see.");
            let by = gateway.pull(json!({ "kind": "kill", "scope": "tool:issue_refund" }));
            go.send(()).unwrap();
            let body = rest(&mut client, had);
            let shown = String::from_utf8_lossy(&body).into_owned();
            let told = Told::of_stream(dialect, &body);
            for word in ["issue_refund", "amount", "4711", "call_1"] {
                assert!(!shown.contains(word), "{dialect:?} {midstream}: {shown}");
            }
            assert_eq!(told.text, "Let me see.", "{dialect:?}");
            let record = gateway.exchange(&id);
            if told.error.is_some() {
                // An encoder that did not see the beginning cannot write the end.
                assert_eq!(midstream, "", "{dialect:?}");
                assert_eq!(record["outcome"], "cut", "{record}");
            } else {
                told.assert_one(dialect.name());
                assert_eq!(told.stop, Some(StopReason::EndTurn), "{dialect:?}");
                assert_eq!(record["outcome"], "completed", "{record}");
            }
            assert_eq!(record["lever"], by, "{dialect:?} {midstream}: {record}");
        }
    }
}

#[test]
fn a_lifted_tool_is_back_at_the_next_request() {
    let mock = crate::support::MockServer::start();
    let script = "\"x-mock\" = 'tool=issue_refund:{%22amount%22:4711}'";
    let gateway = Gateway::start(&routes(&mock.url(), script));
    let by = gateway.pull(json!({ "kind": "kill", "scope": "tool:issue_refund" }));
    let called = |dialect, family: &str| {
        let answer = Case { dialect, provider: "any" };
        let body = answer.body(family, "hello", true);
        let answer =
            crate::support::send(&gateway, dialect, family, true, &[], body.as_bytes()).answer();
        Told::of(dialect, true, &answer).called().len()
    };
    for is_lifted in [false, true] {
        if is_lifted {
            gateway.lift(&by);
        }
        for (dialect, _) in NATIVE {
            for family in FAMILIES {
                assert_eq!(called(dialect, family), usize::from(is_lifted), "{dialect:?} {family}");
            }
        }
    }
}
