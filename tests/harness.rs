//! The harness itself: the gateway starts on free ports, forwards to a simulated provider, and
//! what arrived there can be seen.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod support;

use support::{Gateway, MockServer, get, get_json, post, wait_for};

fn routes(url: &str) -> String {
    format!(
        r#"
[providers.fake]
dialect = "openai"
base_url = "{url}/v1"
api_key = "sk-upstream"

[[routes]]
name = "all"
targets = [{{ provider = "fake" }}]
"#
    )
}

#[test]
fn a_request_goes_through_the_gateway_and_is_seen_upstream() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes(&mock.url()));
    let answer = post(gateway.data, "/v1/other", &[("x-odd", "yes")], r#"{"a":1}"#);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.json()["path"], "/v1/other");
    let seen = get_json(mock.address, "/requests");
    assert_eq!(seen[0]["body"], r#"{"a":1}"#);
    let head = seen[0]["head"].as_str().unwrap().to_ascii_lowercase();
    assert!(head.contains("x-odd: yes") && head.contains("authorization: bearer sha256:"));
    assert!(gateway.process.memory_bytes() > 0 && gateway.process.open_files() > 0);
    assert!(!gateway.admin_token().is_empty());
}

#[test]
fn the_gateway_ends_when_it_is_asked_to() {
    let mock = MockServer::start();
    let mut gateway = Gateway::start(&routes(&mock.url()));
    assert!(get(gateway.admin, "/", &[]).status() >= 200);
    gateway.process.terminate();
    assert!(gateway.process.wait().success());
    wait_for("its output to end", || {
        gateway.process.stderr.find("nothing", |_| false).is_none().then_some(())
    });
}
