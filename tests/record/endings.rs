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

/// The implicit route of a provider keeps no more than the routes to it.
#[test]
fn a_providers_own_path_keeps_no_more_than_its_routes() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), "capture = \"metadata\""));
    let body = CASES[0].body("m", "a secret of the house", false);
    let fields = [("content-type", "application/json")];
    let answer = crate::support::post(gateway.data, "/oai/v1/chat/completions", &fields, &body);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let told =
        book::exchange(&gateway.data_dir(), answer.head.field("x-firedoor-exchange").unwrap());
    assert_eq!(told.open["route"], "/oai/");
    assert_eq!(told.open["capture"], "metadata");
    assert!(told.request.is_empty() && told.delivered.is_empty());
}
