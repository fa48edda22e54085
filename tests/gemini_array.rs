//! Gemini streams that come as one JSON array, asked for without `alt=sse`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod support;

use serde_json::Value;
use support::{Client, Gateway, MockServer, Process, post, routes_to, wait_for};

const TARGET: &str = "/v1beta/models/m:streamGenerateContent";
const BODY: &str = r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}"#;

#[test]
fn an_array_passes_as_it_came_and_is_counted() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let answer = post(gateway.data, TARGET, &[("x-mock", "tokens=3")], BODY);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.head.field("content-type"), Some("application/json"));
    let exchange = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
    assert_eq!(exchange["outcome"], "completed", "{exchange}");
    let elements = answer.json();
    let told = elements.as_array().unwrap().iter().rev();
    let told = told.map(|element| &element["usageMetadata"]["candidatesTokenCount"]);
    let told = told.into_iter().find(|count| count.is_u64()).unwrap();
    assert_eq!(&exchange["usage"]["output"], told, "{exchange}");
}

#[test]
fn a_kill_ends_an_array_with_an_error_as_its_last_element() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let mut client = Client::connect(gateway.data);
    let fields = [("content-type", "application/json"), ("x-mock", "tokens=9,fault=stall,at=3")];
    client.request("POST", TARGET, &fields, BODY.as_bytes());
    let head = client.head();
    assert_eq!(head.field("content-type"), Some("application/json"));
    let mut body = client.chunk().unwrap().unwrap();
    let config = gateway.config();
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        "kill",
        "provider:gem",
        "--reason",
        "leak",
        "--ttl",
        "1h",
    ];
    let mut kill = Process::firedoor(&arguments, &[("FIREDOOR_AUTHOR", "alice")]);
    assert!(kill.wait().success(), "{}", kill.stderr.text());
    while let Some(chunk) = client.chunk().unwrap() {
        body.extend(chunk);
    }
    let told: Value = serde_json::from_slice(&body).unwrap();
    let last = told.as_array().unwrap().last().unwrap();
    assert_eq!(last["error"]["status"], "PERMISSION_DENIED", "{told}");
    let outcome =
        wait_for("the exchange", || gateway.exchanges().first().map(|e| e["outcome"].clone()));
    assert_ne!(outcome, "torn");
}
