//! What a judge outside of the gate is not told as a sentence of an answer: answers of no dialect,
//! members that nobody understands, answers that had begun when it was put in force.

use super::sentences::{ANSWERS, asked, gateway, pack};
use super::webhook::Service;
use crate::support::{Answer, CASES, Case, Client, Gateway, MockServer, Upstream, post};
use firedoor::wire::Dialect;
use serde_json::json;
use std::io::Write;
use std::sync::mpsc::channel;

const OUTSIDE: &str = "\"outside\"";
const PASSES: &str = "channels = [\"answer\"]\non_error = \"pass\"";

/// A provider that always answers with this body.
pub fn provider(kind: &str, body: &str) -> Upstream {
    let length = body.len();
    Upstream::fixed(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

pub fn case(dialect: Dialect) -> &'static Case {
    CASES.iter().find(|case| case.dialect == dialect).unwrap()
}

fn unjudged(gateway: &Gateway, answer: &Answer) -> u64 {
    let id = answer.head.field("x-firedoor-exchange").unwrap();
    gateway.exchange(id)["unjudged"].as_u64().unwrap_or(0)
}

fn embed(gateway: &Gateway) -> Answer {
    post(gateway.data, "/oai/v1/embeddings", &[], r#"{"model":"e","input":"x"}"#)
}

#[test]
fn an_answer_of_no_dialect_is_judged_too() {
    for (kind, body, told, status) in [
        ("application/json", r#"{ "a":[1.50, "a good word"] }"#, "a good word", 200),
        ("application/json", r#"{"a":"a b\u0061d word"}"#, "a bad word", 400),
        ("text/plain", "a good\r\nword", "a good\r\nword", 200),
        ("text/plain", "a bad word", "a bad word", 400),
    ] {
        let provider = provider(kind, body);
        let service = Service::start();
        let pack = pack(&service, ANSWERS, 10_000);
        let (gateway, _folder) = gateway(&provider.url(), OUTSIDE, &pack);
        let answer = embed(&gateway);
        assert_eq!(answer.status(), status, "{body}: {}", answer.text());
        assert_eq!(asked(&service), [told], "{body}");
        if status == 200 {
            assert_eq!(answer.text(), body);
        } else {
            assert!(answer.text().contains("outside/moderation"), "{}", answer.text());
        }
    }
}

#[test]
fn as_many_texts_as_may_be_are_asked_about() {
    let words: Vec<String> = (0..512).map(|word| format!("good word {word}")).collect();
    let provider = provider("application/json", &json!(words).to_string());
    let service = Service::start();
    let pack = pack(&service, ANSWERS, 10_000);
    let (gateway, _folder) = gateway(&provider.url(), OUTSIDE, &pack);
    let answer = embed(&gateway);
    assert_eq!((answer.status(), unjudged(&gateway, &answer)), (200, 0));
    assert_eq!(asked(&service).len(), 512);
}

#[test]
fn an_answer_of_no_dialect_that_cannot_be_told_gets_on_error() {
    let frames = ("text/event-stream", "data: {\"a\":\"a bad word\"}\n\n".to_owned());
    let large = ("text/plain", "a bad word ".repeat((16 << 20) / 11 + 1));
    let words: Vec<String> = (0..513).map(|word| format!("good word {word}")).collect();
    let many = ("application/json", json!(words).to_string());
    for (kind, body) in [frames, large, many] {
        for (more, status) in [(ANSWERS, 400), (PASSES, 200)] {
            let provider = provider(kind, &body);
            let service = Service::start();
            let pack = pack(&service, more, 10_000);
            let (gateway, _folder) = gateway(&provider.url(), OUTSIDE, &pack);
            let answer = embed(&gateway);
            assert_eq!(answer.status(), status, "{kind} {more}");
            assert_eq!(unjudged(&gateway, &answer), 1, "{kind} {more}");
            if status == 200 {
                assert!(answer.text() == body, "{kind}");
            } else {
                assert!(answer.text().contains("outside/moderation"), "{}", answer.text());
            }
        }
    }
    // What is no text by its own word is nobody's to judge.
    let provider = provider("image/png", "a bad word");
    let service = Service::start();
    let pack = pack(&service, ANSWERS, 10_000);
    let (gateway, _folder) = gateway(&provider.url(), OUTSIDE, &pack);
    let answer = embed(&gateway);
    assert_eq!((answer.status(), unjudged(&gateway, &answer)), (200, 0));
}

/// A stream of events that are named by their type.
pub fn named<'e>(events: impl IntoIterator<Item = &'e serde_json::Value>) -> String {
    let frame = |event: &serde_json::Value| {
        let name = event["type"].as_str().unwrap();
        format!("event: {name}\ndata: {event}\n\n")
    };
    events.into_iter().map(frame).collect::<Vec<_>>().concat()
}

/// A chunk of the chat dialect.
pub fn chunk(delta: &serde_json::Value) -> String {
    let choices = json!([{ "index": 0, "delta": delta, "finish_reason": null }]);
    let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices });
    format!("data: {chunk}\n\n")
}

pub const STOP: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

#[test]
fn what_no_dialect_knows_is_told_too() {
    let said = chunk(&json!({ "role": "assistant", "content": "A good word. " }));
    let bad = |more: &[String]| said.clone() + &more.concat() + STOP;
    let event = |data: serde_json::Value| format!("data: {data}\n\n");
    let case = case(Dialect::OpenaiChat);
    for body in [
        bad(&[chunk(&json!({ "content": "So.", "aside": "a bad word" }))]),
        // In pieces.
        bad(&[chunk(&json!({ "aside": "a b" })), chunk(&json!({ "aside": "ad word" }))]),
        bad(&[event(json!({ "type": "news", "about": { "it": "a bad word" } }))]),
        bad(&[": a bad word\n\n".to_owned()]),
        bad(&[event(json!({ "error": { "code": "x", "message": "a bad word" } }))]),
    ] {
        let provider = provider("text/event-stream", &body);
        let service = Service::start();
        let pack = pack(&service, ANSWERS, 10_000);
        let (gateway, _folder) = gateway(&provider.url(), OUTSIDE, &pack);
        let answer = case.ask(&gateway, "", true).answer();
        case.assert_cut(&gateway, &answer, "firedoor_blocked");
        let text = answer.text();
        assert!(text.contains("A good word") && !text.contains("ad word"), "{body}\n{text}");
    }
    let known = bad(&[": fine\n\n".to_owned(), chunk(&json!({ "aside": "fine too" }))]);
    let provider = provider("text/event-stream", &known);
    let service = Service::start();
    let (gateway, _folder) = gateway(&provider.url(), OUTSIDE, &pack(&service, ANSWERS, 10_000));
    let answer = case.ask(&gateway, "", true).answer();
    assert_eq!(answer.text(), known);
    assert_eq!(asked(&service), ["A good word. ", "fine", "fine too"]);
}

#[test]
fn what_stands_beside_something_unreadable_is_told() {
    let said = |text: &str| chunk(&json!({ "content": text })).into_bytes();
    let mut body =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec();
    body.extend(said("A good word. "));
    // In one frame with the text: a comment that is no UTF-8.
    body.extend(b": \xff\n");
    body.extend(said("A bad word. "));
    body.extend(STOP.as_bytes());
    let provider = Upstream::fixed(body);
    let service = Service::start();
    let (gateway, _folder) = gateway(&provider.url(), OUTSIDE, &pack(&service, PASSES, 10_000));
    let case = case(Dialect::OpenaiChat);
    let answer = case.ask(&gateway, "", true).answer();
    case.assert_cut(&gateway, &answer, "firedoor_blocked");
    assert_eq!(asked(&service), ["A good word. ", "A bad word. "]);
    assert_eq!(unjudged(&gateway, &answer), 1);
}

#[test]
fn what_no_dialect_knows_of_a_whole_answer_is_told_too() {
    let case = case(Dialect::OpenaiChat);
    let message = json!({ "role": "assistant", "content": "A good word.", "aside": "a bad word" });
    for (body, status) in [
        (
            json!({ "id": "c", "object": "chat.completion", "model": "m", "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] }),
            "200 OK",
        ),
        (json!({ "error": { "message": "a bad word" } }), "400 Bad Request"),
    ] {
        let body = body.to_string();
        let length = body.len();
        let provider = Upstream::fixed(format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ));
        let service = Service::start();
        let pack = pack(&service, ANSWERS, 10_000);
        let (gateway, _folder) = gateway(&provider.url(), OUTSIDE, &pack);
        let answer = case.ask(&gateway, "", false).answer();
        assert_eq!(answer.status(), 400, "{}", answer.text());
        assert!(answer.text().contains("outside/moderation"), "{}", answer.text());
        assert!(!answer.text().contains("bad word"), "{}", answer.text());
    }
}

/// A second copy that says something else is no more of the first one.
#[test]
fn a_second_copy_that_says_something_else_is_told_by_itself() {
    let of = json!({ "item_id": "i", "output_index": 0, "content_index": 0 });
    let response = |status: &str| json!({ "id": "r", "object": "response", "created_at": 1, "status": status, "model": "m", "output": [] });
    let item = json!({ "id": "i", "type": "message", "role": "assistant", "status": "in_progress", "content": [] });
    let part = json!({ "type": "output_text", "text": "", "annotations": [] });
    let mut events = [
        json!({ "type": "response.created", "response": response("in_progress") }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": item }),
        json!({ "type": "response.content_part.added", "part": part }),
        json!({ "type": "response.output_text.delta", "delta": "not so " }),
        json!({ "type": "response.output_text.done", "text": "bad" }),
        json!({ "type": "response.completed", "response": response("completed") }),
    ];
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = number.into();
        if (2..5).contains(&number) {
            for (key, value) in of.as_object().unwrap() {
                event[key] = value.clone();
            }
        }
    }
    let provider = provider("text/event-stream", &named(&events));
    let service = Service::start();
    let (gateway, _folder) = gateway(&provider.url(), OUTSIDE, &pack(&service, ANSWERS, 10_000));
    let case = case(Dialect::OpenaiResponses);
    let answer = case.ask(&gateway, "", true).answer();
    case.assert_cut(&gateway, &answer, "firedoor_blocked");
    assert_eq!(asked(&service), ["not so ", "bad"]);
}

/// A provider that says one thing, and the other when it is told to.
fn provider_in_two(kind: &'static str, first: String, then: String) -> (Upstream, impl Fn()) {
    let (go, told) = channel();
    let told = std::sync::Mutex::new(told);
    let upstream = Upstream::start(move |_, stream| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all((head + &first).as_bytes());
        let _ = told.lock().unwrap().recv();
        let _ = stream.write_all(then.as_bytes());
    });
    (upstream, move || go.send(()).unwrap())
}

fn read_until(client: &mut Client, word: &str) -> Vec<u8> {
    let mut body = Vec::new();
    while !String::from_utf8_lossy(&body).contains(word) {
        body.extend(client.chunk().unwrap().unwrap());
    }
    body
}

/// What still comes, until the answer is over or torn.
fn rest_of(client: &mut Client) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = client.chunk() {
        body.extend(chunk);
    }
    body
}

#[test]
fn a_judge_that_a_lever_puts_in_force_is_told_what_comes_from_then_on() {
    let mock = MockServer::start();
    for case in &CASES {
        let service = Service::start();
        let (gateway, _folder) = gateway(&mock.url(), "", &pack(&service, ANSWERS, 10_000));
        let script = "text=One%20bad%20word.%20Then%20a%20good%20one.%20Then%20a%20bad%20one.%20The%20rest,itl_ms=100";
        let mut client = case.ask(&gateway, script, true);
        let head = client.head();
        let mut body = read_until(&mut client, "word");
        gateway.pull(json!({ "kind": "filter", "scope": "all", "packs": ["outside"] }));
        body.extend(rest_of(&mut client));
        let answer = Answer { head, body };
        case.assert_cut(&gateway, &answer, "firedoor_blocked");
        let text = answer.text();
        assert!(text.contains("word") && !text.contains("rest"), "{case:?}: {text}");
        assert!(asked(&service).concat().contains("bad"), "{case:?}: {:?}", asked(&service));
    }
}

/// An array of Gemini, and an answer of no dialect, cannot be judged any more once they have begun.
#[test]
fn an_answer_that_cannot_be_told_any_more_gets_on_error() {
    let part = |text: &str| json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": text }] } }] });
    let array = (format!("[{}", part("A good word. ")), format!(",{}]", part("A bad word.")));
    let plain = ("A good word. ".to_owned(), "A bad word.".to_owned());
    let gemini = "/v1beta/models/m:streamGenerateContent";
    let question = r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}"#;
    for (kind, target, (first, then)) in
        [("application/json", gemini, array), ("text/plain", "/oai/v1/notes", plain)]
    {
        for (more, is_cut) in [(ANSWERS, true), (PASSES, false)] {
            let (provider, go) = provider_in_two(kind, first.clone(), then.clone());
            let service = Service::start();
            let pack = pack(&service, more, 10_000);
            let (gateway, _folder) = gateway(&provider.url(), "", &pack);
            let mut client = Client::connect(gateway.data);
            let fields = [("content-type", "application/json")];
            client.request("POST", target, &fields, question.as_bytes());
            let head = client.head();
            read_until(&mut client, "word");
            gateway.pull(json!({ "kind": "filter", "scope": "all", "packs": ["outside"] }));
            let id = head.field("x-firedoor-exchange").unwrap();
            if is_cut {
                // Nothing more of the provider has to come for that.
                let rest = rest_of(&mut client);
                assert!(!String::from_utf8_lossy(&rest).contains("bad"));
                go();
            } else {
                go();
                let rest = rest_of(&mut client);
                assert!(String::from_utf8_lossy(&rest).contains("bad"));
            }
            let record = gateway.exchange(id);
            assert_eq!(record["unjudged"], 1, "{target} {more}: {record}");
            assert!(service.calls().is_empty());
        }
    }
}

#[test]
fn an_array_that_a_judge_outside_ends_is_closed() {
    let part = |text: &str| json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": text }] } }] });
    let usage = json!({ "usageMetadata": { "promptTokenCount": 1 } });
    let mut end = part("The rest.");
    end["candidates"][0]["finishReason"] = "STOP".into();
    for elements in [
        json!([part("A good word. "), part("A bad word. "), end]),
        // Nothing that is told has left.
        json!([usage, part("A bad word. "), end]),
    ] {
        let provider = provider("application/json", &elements.to_string());
        let service = Service::start();
        let pack = pack(&service, ANSWERS, 10_000);
        let (gateway, _folder) = gateway(&provider.url(), OUTSIDE, &pack);
        let answer = post(
            gateway.data,
            "/v1beta/models/m:streamGenerateContent",
            &[],
            r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}"#,
        );
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert!(!answer.text().contains("bad word"), "{}", answer.text());
        let told = answer.json();
        let (last, before) = told.as_array().unwrap().split_last().unwrap();
        assert_eq!(before, &elements.as_array().unwrap()[..1], "{told}");
        assert!(last["error"]["message"].as_str().unwrap().contains("rule"), "{told}");
    }
}

/// Rules of the gate's own may hold text when the provider breaks: it has no verdict either.
#[test]
fn what_own_rules_hold_does_not_leave_unjudged_where_a_provider_breaks() {
    let mock = MockServer::start();
    let service = Service::start();
    let own = "[[rule]]\nid = \"own\"\nchannels = [\"answer\"]\naction = \"redact\"\non_error = \"cut\"\nmatch = { words = [\"zebra zebra zebra zebra zebra crossing\"] }\n";
    let pack =
        pack(&service, ANSWERS, 10_000).replacen("\n[[rule]]", &format!("\n{own}[[rule]]"), 1);
    let (gateway, _folder) = gateway(&mock.url(), OUTSIDE, &pack);
    for case in &CASES {
        let script = "text=One%20good%20word.%20zebra%20zebra%20zebra%20zebra,fault=reset,at=7";
        let answer = case.ask(&gateway, script, true).answer();
        case.assert_cut(&gateway, &answer, "firedoor_bad_gateway");
        let text = answer.text();
        assert!(text.contains("good") && !text.contains("zebra"), "{case:?}: {text}");
    }
}
