//! What is passed through without a dialect, under rules: judged where it is text, and given the
//! rules' `on_error` where it cannot be.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod support;

use serde_json::json;
use std::io::Write;
use std::sync::{Arc, Mutex};
use support::{Client, Gateway, Upstream, get, post, routes_to, wait_for};

const PACK: &str = r#"pack = "words"
about = "Words of this test"

[[rule]]
id = "hide"
about = "One that is hidden"
channels = ["user", "answer"]
match = { literal = ["halcyon"] }
action = "redact"
on_error = "ON_ERROR"

[[rule.case]]
text = "halcyon"
expect = "redact"

[[rule.case]]
text = "kingfisher"
expect = "clear"

[[rule]]
id = "stop"
about = "One that ends the exchange"
channels = ["user", "answer"]
match = { literal = ["kingfisher"] }
action = "cut"
on_error = "ON_ERROR"

[[rule.case]]
text = "kingfisher"
expect = "cut"

[[rule.case]]
text = "halcyon"
expect = "clear"
"#;

struct Stage {
    gateway: Gateway,
    /// What came to the provider.
    arrived: Arc<Mutex<Vec<Vec<u8>>>>,
    _upstream: Upstream,
}

/// A gateway under the pack; its provider answers with `answer`.
fn stage(on_error: &str, answer: &'static [u8]) -> Stage {
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&arrived);
    let upstream = Upstream::start(move |request, socket| {
        seen.lock().unwrap().push(request.to_vec());
        let _ = socket.write_all(answer);
    });
    let routes = "rules = [\"words\"]\n[server]\n".to_owned() + &routes_to(&upstream.url(), "");
    let gateway = Gateway::start_with_pack(&PACK.replace("ON_ERROR", on_error), &routes);
    Stage { gateway, arrived, _upstream: upstream }
}

fn answer(kind: &str, body: &[u8]) -> &'static [u8] {
    let mut all = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    all.extend_from_slice(body);
    all.leak()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    coder.write_all(text.as_bytes()).unwrap();
    coder.finish().unwrap()
}

#[test]
fn an_answer_of_no_dialect_is_judged_by_its_strings() {
    let body = br#"{"data": [{"text":"the hal\u0063yon days"}],"n":1.50}"#;
    let stage = stage("cut", answer("application/json", body));
    let got = post(stage.gateway.data, "/oai/v1/embeddings", &[], r#"{"model":"e","input":"x"}"#);
    assert_eq!(got.status(), 200);
    assert_eq!(got.text(), r#"{"data": [{"text":"the [redacted:words/hide] days"}],"n":1.50}"#);
    assert_eq!(got.head.field("x-firedoor-verdict"), Some("redact"));
    let hits = || stage.gateway.metric("firedoor_rule_hits_total", "words/hide") == 1;
    wait_for("the hit is counted", || hits().then_some(()));
}

#[test]
fn an_answer_that_nothing_touches_leaves_as_it_came() {
    for (kind, body) in [
        ("application/json", &br#"{ "a":[1.50, "b\u0065"] }"#[..]),
        ("text/csv", b"a,b\r\nc,\"d\"\r\n"),
        ("image/png", b"\x89PNG\r\n\x1a\nhalcyon\xFF"),
        ("application/octet-stream", b"\x00\xFFhalcyon"),
    ] {
        let stage = stage("cut", answer(kind, body));
        let got = get(stage.gateway.data, "/oai/v1/files/f/content", &[]);
        assert_eq!((got.status(), &got.body[..]), (200, body), "{kind}");
    }
}

/// What a provider says of its failure is text like any other; its status says that it failed.
#[test]
fn an_error_of_the_provider_stays_one_under_a_rule() {
    let error = r#"{"error":{"message":"no hal\u0063yon left","type":"rate_limit","code":7}}"#;
    let answer = format!(
        "HTTP/1.1 422 Unprocessable Content\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{error}",
        error.len()
    );
    let stage = stage("cut", answer.leak().as_bytes());
    for (path, stream) in [("chat/completions", true), ("responses", false), ("embeddings", false)]
    {
        let body = json!({ "model": "m", "messages": [], "input": "x", "stream": stream });
        let path = format!("/oai/v1/{path}");
        let got = post(stage.gateway.data, &path, &[], &body.to_string());
        assert_eq!(got.status(), 422, "{path}: {}", got.text());
        let left = error.replace("hal\\u0063yon", "[redacted:words/hide]");
        assert_eq!(got.text(), left, "{path}");
        assert_eq!(got.head.field("x-firedoor-verdict"), Some("redact"), "{path}");
    }
}

#[test]
fn a_rule_ends_what_is_passed_through() {
    for (kind, body) in [
        ("application/json", &br#"{"a":"kingfisher"}"#[..]),
        ("application/octet-stream", b"{\"custom_id\":1,\"text\":\"kingfisher\"}\n{}\n"),
        ("text/plain", b"a kingfisher"),
    ] {
        let stage = stage("pass", answer(kind, body));
        let got = get(stage.gateway.data, "/oai/v1/files/f/content", &[]);
        assert_eq!(got.status(), 400, "{kind}: {}", got.text());
        assert!(!got.text().contains("kingfisher"), "{}", got.text());
    }
}

#[test]
fn a_compressed_answer_is_judged_too() {
    let body = gzip(r#"{"a":"halcyon"}"#);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let stage = stage("cut", [head.as_bytes(), &body].concat().leak());
    let got = get(stage.gateway.data, "/oai/v1/files/f/content", &[("accept-encoding", "gzip")]);
    assert_eq!(got.text(), r#"{"a":"[redacted:words/hide]"}"#);
    assert_eq!(got.head.field("content-encoding"), None);
}

/// What is judged on other threads.
#[test]
fn a_long_answer_is_judged_too() {
    let text =
        json!({ "a": ["x".repeat(300 << 10), "halcyon", "y".repeat(300 << 10)] }).to_string();
    let chat = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        { "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": text } }
    ] });
    let chat = chat.to_string();
    let packed = gzip(&text);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    );
    let asked =
        json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] }).to_string();
    for (answer, is_chat) in [
        (answer("application/json", text.as_bytes()), false),
        ([head.as_bytes(), &packed].concat().leak(), false),
        (answer("application/json", chat.as_bytes()), true),
    ] {
        let stage = stage("cut", answer);
        let got = if is_chat {
            post(stage.gateway.data, "/v1/chat/completions", &[], &asked)
        } else {
            get(stage.gateway.data, "/oai/v1/files/f/content", &[("accept-encoding", "gzip")])
        };
        let expected = if is_chat { &chat } else { &text };
        assert_eq!(got.status(), 200);
        assert!(got.text() == expected.replace("halcyon", "[redacted:words/hide]"));
        assert_eq!(got.head.field("x-firedoor-verdict"), Some("redact"));
    }
}

#[test]
fn a_kill_meets_an_answer_that_is_being_judged() {
    let body = json!({ "a": "lorem ipsum dolor ".repeat(700_000) }).to_string();
    let stage = stage("cut", answer("application/json", body.as_bytes()));
    let mut client = Client::connect(stage.gateway.data);
    client.request("GET", "/oai/v1/files/f/content", &[], b"");
    wait_for("the provider is asked", || (!stage.arrived.lock().unwrap().is_empty()).then_some(()));
    stage.gateway.pull(json!({ "kind": "kill", "scope": "all" }));
    let got = client.answer();
    assert_eq!(got.status(), 400);
    assert!(got.text().contains("stopped by an operator"));
}

#[test]
fn what_cannot_be_judged_gets_on_error() {
    let frames = answer("text/event-stream", b"data: {\"a\":\"halcyon\"}\n\n");
    let refused = stage("cut", frames);
    let got = get(refused.gateway.data, "/oai/v1/threads/t/runs", &[]);
    assert_eq!(got.status(), 400, "{}", got.text());
    assert!(got.text().contains("on_error") && !got.text().contains("halcyon"), "{}", got.text());
    let passed = stage("pass", frames);
    let got = get(passed.gateway.data, "/oai/v1/threads/t/runs", &[]);
    assert_eq!((got.status(), got.text().as_str()), (200, "data: {\"a\":\"halcyon\"}\n\n"));
    for stage in [refused, passed] {
        let unjudged = || stage.gateway.metric("firedoor_rule_unjudged_total", "") == 1;
        wait_for("it is counted", || unjudged().then_some(()));
    }
}

#[test]
fn a_websocket_gets_on_error() {
    let stage = stage("cut", b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: yes\r\n\r\n");
    let mut client = Client::connect(stage.gateway.data);
    client.send(b"GET /oai/v1/realtime?model=m HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n");
    let got = client.answer();
    assert_eq!(got.status(), 400, "{}", got.text());
    assert!(stage.arrived.lock().unwrap().is_empty(), "nothing was asked of the provider");
}

#[test]
fn a_request_of_no_dialect_is_judged_whatever_its_size_and_coding() {
    let stage = stage("cut", answer("application/json", b"{}"));
    let long = json!({ "model": "e", "input": ["x".repeat(3 << 20), "halcyon days"] }).to_string();
    let got = post(stage.gateway.data, "/oai/v1/embeddings", &[], &long);
    assert_eq!(got.status(), 200, "{}", got.text());
    let mut client = Client::connect(stage.gateway.data);
    let fields = [("content-type", "application/json"), ("content-encoding", "gzip")];
    client.request("POST", "/oai/v1/embeddings", &fields, &gzip(r#"{"input":"halcyon"}"#));
    assert_eq!(client.answer().status(), 200);
    let mut client = Client::connect(stage.gateway.data);
    let form =
        b"--b\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\na kingfisher\r\n--b--\r\n";
    let fields = [("content-type", "multipart/form-data; boundary=b")];
    client.request("POST", "/oai/v1/files", &fields, form);
    assert_eq!(client.answer().status(), 400);
    let arrived = stage.arrived.lock().unwrap();
    assert_eq!(arrived.len(), 2);
    for request in arrived.iter() {
        let text = String::from_utf8_lossy(request);
        assert!(text.contains("[redacted:words/hide]"), "{text:.300}");
        assert!(!text.contains("halcyon") && !text.contains("content-encoding"), "{text:.300}");
    }
}
