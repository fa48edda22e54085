//! Outages: circuits open and close, and retries stay a share of the requests.

use crate::support::{ALL, Gateway, MockServer, Told, Upstream, ask, get_json, wait_for};
use crate::{provider, route};
use firedoor::wire::Dialect;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What `docs/routes.md` promises: retries are at most this share of requests...
const RETRY_SHARE: f64 = 0.2;
/// ... and these in a row before the share binds.
const RETRY_BURST: f64 = 20.0;

#[test]
fn retries_are_a_share_of_requests_when_all_targets_fail() {
    const REQUESTS: u64 = 200;
    let mock = MockServer::start();
    // Failures of 429 leave the circuits closed, so that nothing but the budget binds.
    for (script, statuses) in [("status=429", [429, 502]), ("status=500", [500, 503])] {
        let before = get_json(mock.address, "/stats")["requests"].as_u64().unwrap();
        let mut routes = String::new();
        let mut chain = Vec::new();
        for name in ["oai", "res", "ant", "gem", "bed"] {
            routes += &provider(name, &mock.url(), script);
            chain.push(format!("{{ provider = \"{name}\", model = \"m\" }}"));
        }
        let fallback = format!(
            "fallback = [{}]\nretry = {{ attempts = 3 }}\nmidstream = \"continue\"",
            chain[1..].join(", ")
        );
        routes += &route("m", &chain[0], &fallback);
        let gateway = Gateway::start(&routes);
        for number in 0..REQUESTS {
            let caller = ALL[number as usize % ALL.len()];
            let answer = ask(&gateway, caller, "m", number % 2 == 0).answer();
            assert!(
                statuses.contains(&answer.status()) || answer.status() >= 500,
                "{caller:?}: {}",
                answer.text()
            );
        }
        let after = get_json(mock.address, "/stats")["requests"].as_u64().unwrap();
        let most = REQUESTS as f64 * (1.0 + RETRY_SHARE) + RETRY_BURST;
        assert!((after - before) as f64 <= most, "{script}: {} of {most}", after - before);
    }
}

#[test]
fn a_circuit_opens_and_closes_again() {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&is_well);
    let upstream = Upstream::start(move |_, stream| {
        let answer = if well.load(Ordering::SeqCst) {
            let body = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"well again"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            )
        } else {
            "HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned()
        };
        // The gateway may have seen enough.
        let _ = stream.write_all(answer.as_bytes());
    });
    let healthy = MockServer::start();
    let mut routes = provider("oai", &upstream.url(), "text=x");
    routes += &provider("ant", &healthy.url(), "text=the%20second");
    let fallback =
        "fallback = [{ provider = \"ant\", model = \"second\" }]\nretry = { attempts = 1 }";
    routes += &route("m", "{ provider = \"oai\", model = \"first\" }", fallback);
    let gateway = Gateway::start(&routes);
    let text = |caller| Told::of(caller, false, &ask(&gateway, caller, "m", false).answer()).text;
    for caller in ALL {
        assert_eq!(text(caller), "the second");
    }
    assert_eq!(gateway.circuit("oai/first").as_deref(), Some("open"));
    let asked = upstream.requests();
    assert_eq!(text(Dialect::Anthropic), "the second");
    assert_eq!(upstream.requests(), asked, "an open circuit lets nothing through");
    is_well.store(true, Ordering::SeqCst);
    wait_for("the circuit to close", || (text(Dialect::Gemini) == "well again").then_some(()));
    // It is told once the answer has left.
    let is_closed = || gateway.circuit("oai/first").as_deref() == Some("closed");
    wait_for("the circuit's word", || is_closed().then_some(()));
}
