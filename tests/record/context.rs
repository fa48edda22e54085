//! What an application retrieved by itself, attached to the record.

use crate::book;
use crate::support::{Client, Gateway, post, routes_to, wait_for};
use serde_json::{Value, json};

const PATH: &str = "/v1/context";

fn notes(gateway: &Gateway) -> Vec<Value> {
    let lines = book::lines(&gateway.data_dir());
    lines.into_iter().filter(|line| line["what"] == "context").collect()
}

fn small() -> String {
    json!({ "session": "s", "documents": ["d"] }).to_string()
}

#[test]
fn what_an_application_retrieved_is_attached() {
    let gateway = Gateway::start(&routes_to("http://127.0.0.1:9", ""));
    let id = format!("x_{}", "0123456789abcdef".repeat(2));
    let context = json!({ "exchange": id, "documents": [{ "source": "kb/1", "text": "words" }] });
    let answer = post(gateway.data, PATH, &[], &context.to_string());
    assert_eq!((answer.status(), answer.text().trim()), (202, "{\"accepted\":true}"));
    let note = wait_for("the note", || notes(&gateway).pop());
    assert_eq!(note["exchange"], *id);
    assert_eq!(note["about"]["documents"][0]["text"], "words");
    for (bad, what) in [
        (json!({ "documents": [] }), "belongs to nothing"),
        (json!({ "exchange": "x_1", "documents": [] }), "no id of an exchange"),
        (json!({ "session": "s" }), "documents"),
        (json!({ "session": "s", "documents": [], "more": 1 }), "more"),
    ] {
        let answer = post(gateway.data, PATH, &[], &bad.to_string());
        assert_eq!(answer.status(), 400, "{bad}");
        assert!(answer.text().contains(what), "{}", answer.text());
    }
    let coded = post(gateway.data, PATH, &[("content-encoding", "gzip")], &small());
    assert_eq!(coded.status(), 400);
    assert!(coded.text().contains("uncompressed"), "{}", coded.text());
}

/// A context that is not kept whole is refused, however it comes.
#[test]
fn what_is_too_large_is_not_said_to_be_kept() {
    // Under rules a body is read without a length too.
    let rules = "rules = [\"secrets\"]\n[server]\n";
    let gateway = Gateway::start(&(rules.to_owned() + &routes_to("http://127.0.0.1:9", "")));
    let large = json!({ "session": "s", "documents": ["x".repeat(300 << 10)] }).to_string();
    assert_eq!(post(gateway.data, PATH, &[], &large).status(), 413);
    // A number that is longer when it is written in full.
    let growing = format!("{{\"session\":\"s\",\"documents\":[{}1]}}", "1E15,".repeat(40_000));
    assert!(growing.len() < 256 << 10);
    assert_eq!(post(gateway.data, PATH, &[], &growing).status(), 413);
    let mut chunked = Client::connect(gateway.data);
    chunked.send(b"POST /v1/context HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n");
    chunked.send(format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len()).as_bytes());
    assert_eq!(chunked.answer().status(), 413);
}

#[test]
fn a_kill_and_a_limit_stand_before_it() {
    let limit = "[[limits]]\nname = \"few\"\nrequests_per_day = 1\n\n";
    let gateway = Gateway::start(&(limit.to_owned() + &routes_to("http://127.0.0.1:9", "")));
    for (scope, header) in
        [("all", ("x-any", "")), ("agent:crawler", ("x-firedoor-agent", "crawler"))]
    {
        let lever = gateway.pull(json!({ "kind": "kill", "scope": scope }));
        let answer = post(gateway.data, PATH, &[header], &small());
        assert_eq!(answer.status(), 400, "{scope}");
        assert_eq!(answer.json()["error"]["code"], "firedoor_killed", "{}", answer.text());
        gateway.lift(&lever);
    }
    assert_eq!(post(gateway.data, PATH, &[], &small()).status(), 202);
    let answer = post(gateway.data, PATH, &[], &small());
    assert_eq!(answer.json()["error"]["code"], "firedoor_limited", "{}", answer.text());
    wait_for("the one note", || (notes(&gateway).len() == 1).then_some(()));
}

#[test]
fn where_no_route_keeps_texts_none_is_kept() {
    let gateway = Gateway::start(&routes_to("http://127.0.0.1:9", "capture = \"metadata\""));
    let answer = post(gateway.data, PATH, &[], &small());
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("capture"), "{}", answer.text());
}
