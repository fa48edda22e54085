//! However an exchange ends, its record says so, and says what left.

use crate::book;
use crate::support::{CASES, Gateway, MockServer, routes_to, wait_for};
use serde_json::{Value, json};

#[test]
fn a_kill_leaves_what_was_delivered_and_why_it_ended() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    for case in &CASES {
        let mut client = case.ask(&gateway, "tokens=100000,itl_ms=5", true);
        let head = client.head();
        let id = head.field("x-firedoor-exchange").unwrap().to_owned();
        client.chunk().unwrap();
        let lever = gateway.pull(json!({ "kind": "kill", "scope": "model:m" }));
        let mut body = Vec::new();
        loop {
            match client.chunk() {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(end) => panic!("{end:?}"),
            }
        }
        let told = book::exchange(&gateway.data_dir(), &id);
        assert_eq!(told.close["outcome"], "cut", "{}", told.close);
        assert_eq!(told.close["lever"], lever, "{}", told.close);
        assert!(told.delivered.ends_with(&body), "the ending is on record");
        gateway.lift(&lever);
    }
}

#[test]
fn what_is_refused_is_on_record_with_what_it_was_told() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let bad =
        crate::support::post(gateway.data, "/v1/chat/completions", &[], "{\"model\": garbage");
    let unknown = crate::support::post(
        gateway.data,
        "/v1/nothing/here",
        &[("authorization", "Bearer hidden-1")],
        "{}",
    );
    for (answer, status) in [(bad, 400), (unknown, 404)] {
        let id = answer.head.field("x-firedoor-exchange").unwrap();
        let told = book::exchange(&gateway.data_dir(), id);
        assert_eq!(told.close["outcome"], "refused");
        assert_eq!(told.close["status"], status);
        assert_eq!(told.delivered, answer.body);
        assert!(!told.request.is_empty(), "the body that was refused is on record");
    }
    let mut raw = crate::support::Client::connect(gateway.data);
    raw.send(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n");
    assert_eq!(raw.answer().status(), 400);
    wait_for("the head that could not be read", || {
        let lines = book::lines(&gateway.data_dir());
        lines.iter().any(|line| line["path"] == "(unreadable head)").then_some(())
    });
}

#[test]
fn what_an_application_retrieved_is_attached() {
    let gateway = Gateway::start(&routes_to("http://127.0.0.1:9", ""));
    let id = format!("x_{}", "0123456789abcdef".repeat(2));
    let context = json!({ "exchange": id, "documents": [{ "source": "kb/1", "text": "words" }] });
    let answer = crate::support::post(gateway.data, "/v1/context", &[], &context.to_string());
    assert_eq!((answer.status(), answer.text().trim()), (202, "{\"recorded\":true}"));
    wait_for("the note", || {
        let lines = book::lines(&gateway.data_dir());
        let note = lines.into_iter().find(|line| line["what"] == "context")?;
        assert_eq!(note["exchange"], *id);
        assert_eq!(note["about"]["documents"][0]["text"], "words");
        Some(())
    });
    for (bad, what) in [
        (json!({ "documents": [] }), "belongs to nothing"),
        (json!({ "exchange": "x_1", "documents": [] }), "no id of an exchange"),
        (json!({ "session": "s" }), "documents"),
        (json!({ "session": "s", "documents": [], "more": 1 }), "more"),
    ] {
        let answer = crate::support::post(gateway.data, "/v1/context", &[], &bad.to_string());
        assert_eq!(answer.status(), 400, "{bad}");
        assert!(answer.text().contains(what), "{}", answer.text());
    }
    let large = json!({ "session": "s", "documents": ["x".repeat(300 << 10)] }).to_string();
    assert_eq!(crate::support::post(gateway.data, "/v1/context", &[], &large).status(), 413);
}

#[test]
fn a_client_that_leaves_is_on_record() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let mut client = CASES[0].ask(&gateway, "tokens=100000,itl_ms=5", true);
    let id = client.head().field("x-firedoor-exchange").unwrap().to_owned();
    let chunk = client.chunk().unwrap().unwrap();
    drop(client);
    let told = book::exchange(&gateway.data_dir(), &id);
    assert_eq!(told.close["outcome"], "client_gone", "{}", told.close);
    assert!(told.delivered.starts_with(&chunk));
    assert_eq!(told.close["delivered_bytes"].as_u64().unwrap(), told.delivered.len() as u64);
    assert_ne!(told.open, Value::Null);
}
