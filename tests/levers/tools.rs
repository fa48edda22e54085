//! Killed tools: what of an exchange under way they change, and what they leave alone.

use super::hand::{ask, kill, pull};
use super::provider::Provider;
use crate::support::{CASES, Gateway, MockServer, Upstream, routes_to, wait_for};
use serde_json::json;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

/// A provider's answer to each request waits until it is released.
#[test]
fn a_lever_that_reaches_others_does_not_make_a_provider_be_asked_again() {
    let released = Arc::new(AtomicBool::new(false));
    let (asked, requests) = mpsc::channel();
    let seen = Arc::clone(&released);
    let upstream = Upstream::start(move |request, stream| {
        asked.send(String::from_utf8_lossy(request).into_owned()).unwrap();
        wait_for("the release", || seen.load(Ordering::SeqCst).then_some(()));
        let body = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Well."},"finish_reason":"stop"}]}"#;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
        let length = body.len();
        // The gateway may have left.
        let _ = write!(stream, "{head}content-length: {length}\r\n\r\n{body}");
    });
    let url = upstream.url();
    let gateway = Gateway::start(&format!(
        "[providers.one]\ndialect = \"openai\"\nbase_url = \"{url}/v1\"\n\n\
         [[routes]]\nname = \"r\"\ntargets = [{{ provider = \"one\" }}]\n"
    ));

    kill(&gateway, "tool:refund");
    let mut client = ask(&gateway, &CASES[0], "m", &[], false);
    requests.recv().unwrap();
    kill(&gateway, "session:another");
    kill(&gateway, "tool:transfer+session:another");
    released.store(true, Ordering::SeqCst);
    assert_eq!(client.answer().status(), 200);
    assert_eq!(upstream.requests(), 1, "nothing that it may be asked has changed");

    // One more tool is killed for this exchange: what was asked does not hold any more.
    released.store(false, Ordering::SeqCst);
    let mut client = ask(&gateway, &CASES[0], "m", &[], false);
    requests.recv().unwrap();
    kill(&gateway, "tool:delete");
    requests.recv().unwrap();
    released.store(true, Ordering::SeqCst);
    assert_eq!(client.answer().status(), 200);
    assert_eq!(upstream.requests(), 3);
}

/// What is left of the attempts at a target is no more because a tool was killed in a pause.
#[test]
fn a_tool_that_is_killed_in_a_pause_makes_no_attempt_more() {
    const ATTEMPTS: usize = 6;
    let (failing, next) = (Provider::start(), MockServer::start());
    let gateway = Gateway::start(&format!(
        "[providers.one]\ndialect = \"openai\"\nbase_url = \"{}/v1\"\n\n\
         [providers.two]\ndialect = \"openai\"\nbase_url = \"{}/v1\"\n\n\
         [[routes]]\nname = \"r\"\ntargets = [{{ provider = \"one\" }}]\n\
         fallback = [{{ provider = \"two\" }}]\nretry = {{ attempts = {ATTEMPTS} }}\n",
        failing.url(),
        next.url()
    ));
    let mut client = ask(&gateway, &CASES[0], "m", &[("x-play", "refusing")], true);
    // The pause behind this one is a long one.
    wait_for("the last attempt but one", || (failing.reached() == ATTEMPTS - 1).then_some(()));
    wait_for("the end of it", || {
        let label = "state=\"busy\"";
        (gateway.metric("firedoor_upstream_connections", label) == 0).then_some(())
    });
    kill(&gateway, "tool:refund");
    let answer = client.answer();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.head.field("x-firedoor-target"), Some("two"));
    assert_eq!(failing.requests(), ATTEMPTS);
}

/// A drain lets nothing begin at the target, so nobody can be asked anew; the answer is guarded as it
/// comes.
#[test]
fn a_tool_that_is_killed_under_a_drain_is_taken_out_of_the_answer() {
    const CALL: &str = r#"{"index":0,"id":"call_1","type":"function","function":{"name":"refund","arguments":"{}"}}"#;
    for stream in [true, false] {
        let released = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&released);
        let upstream = Upstream::start(move |_, stream_out| {
            wait_for("the release", || seen.load(Ordering::SeqCst).then_some(()));
            let (kind, body) = if stream {
                let chunk = |delta: &str, reason: &str| {
                    format!(
                        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{reason}}}]}}\n\n"
                    )
                };
                let text = chunk("{\"role\":\"assistant\",\"content\":\"Well.\"}", "null");
                let call = chunk(&format!("{{\"tool_calls\":[{CALL}]}}"), "null");
                let end = chunk("{}", "\"tool_calls\"");
                ("text/event-stream", format!("{text}{call}{end}data: [DONE]\n\n"))
            } else {
                let message = format!(
                    "{{\"role\":\"assistant\",\"content\":\"Well.\",\"tool_calls\":[{CALL}]}}"
                );
                (
                    "application/json",
                    format!(
                        "{{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"message\":{message},\"finish_reason\":\"tool_calls\"}}]}}"
                    ),
                )
            };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n");
            let length = body.len();
            let _ = write!(stream_out, "{head}content-length: {length}\r\n\r\n{body}");
        });
        let gateway = Gateway::start(&routes_to(&upstream.url(), ""));
        let mut client = ask(&gateway, &CASES[0], "m", &[], stream);
        wait_for("the request", || (upstream.requests() == 1).then_some(()));
        pull(&gateway, json!({ "kind": "kill", "scope": "all", "in_flight": "drain" }));
        kill(&gateway, "tool:refund");
        released.store(true, Ordering::SeqCst);
        let answer = client.answer();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert!(answer.text().contains("Well."), "{}", answer.text());
        assert!(!answer.text().contains("refund"), "{}", answer.text());
        assert_eq!(upstream.requests(), 1);
    }
}
