//! However an exchange ends, its record says so, and says what left.

use crate::book;
use crate::support::{CASES, Client, Gateway, MockServer, SIMULATED, routes_to, wait_for};
use hyper::body::Body;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::pin::Pin;

#[test]
fn a_kill_leaves_what_was_delivered_and_why_it_ended() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    for case in &CASES {
        let mut client = case.ask(&gateway, "tokens=100000,itl_ms=5", true);
        let head = client.head();
        let id = head.field("x-firedoor-exchange").unwrap().to_owned();
        let mut body = client.chunk().unwrap().unwrap();
        let lever = gateway.pull(json!({ "kind": "kill", "scope": "model:m" }));
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
        assert!(told.delivered == body, "what the client has is what is on record");
        gateway.lift(&lever);
    }
}

/// Case 44. Only a build for tests can be asked to panic.
#[test]
fn d3_44_a_panic_ends_its_own_exchange_and_is_counted_and_on_record() {
    let gateway = Gateway::start(SIMULATED);
    for (at, case) in CASES.iter().enumerate() {
        let mut other = case.ask(&gateway, "tokens=60,itl_ms=5", true);
        let other_head = other.head();
        let mut client = case.ask(&gateway, "panic", true);
        assert!(client.try_head().is_err(), "the connection ends without an answer");
        assert!(other.body(&other_head).is_ok(), "{case:?}: the other exchange goes on");
        let count = format!("firedoor_panics_total {}", at + 1);
        wait_for("the count", || {
            gateway.admin_call("GET", "/metrics").text().contains(&count).then_some(())
        });
        let closed = wait_for("the record of it", || {
            let lines = book::lines(&gateway.data_dir());
            let is_it = |line: &&Value| line["fault"] == "a panic ended this exchange";
            let last = lines.iter().rfind(is_it).cloned();
            last.filter(|_| lines.iter().filter(is_it).count() == at + 1)
        });
        assert_eq!((&closed["kind"], &closed["outcome"]), (&json!("close"), &json!("torn")));
        let told = book::exchange(&gateway.data_dir(), closed["exchange"].as_str().unwrap());
        assert!(!told.request.is_empty(), "{case:?}: what was asked is on record");
    }
    assert_eq!(gateway.admin_json("/api/v1/status")["open_exchanges"], 0);
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
    let mut raw = Client::connect(gateway.data);
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

/// What a kill takes back from a client that does not read is not on record as delivered. HTTP/2
/// has windows, so that what waits in the gate can be taken back to the byte.
#[test]
fn what_a_kill_withdraws_did_not_leave() {
    const WINDOW: u32 = 65_535;
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for case in &CASES {
        let (id, mut body) = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(gateway.data).await.unwrap();
            let (mut client, connection) = http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .handshake(TokioIo::new(stream))
                .await
                .unwrap();
            tokio::spawn(connection);
            let request = http::Request::post(format!("http://t{}", case.target("m", true)))
                .header("content-type", "application/json")
                .header("x-mock", "tokens=100000")
                .body(case.body("m", "hello", true))
                .unwrap();
            let answer = client.send_request(request).await.unwrap();
            let id = answer.headers()["x-firedoor-exchange"].to_str().unwrap().to_owned();
            (id, answer.into_body())
        });
        // Until nothing moves, for the client reads nothing.
        let mut last = None;
        wait_for("the stream stands still", || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            let status = gateway.admin_json("/api/v1/status");
            let now = status["evidence"]["records"].as_u64();
            (std::mem::replace(&mut last, now) == now).then_some(())
        });
        let lever = gateway.pull(json!({ "kind": "kill", "scope": "model:m" }));
        let mut had = Vec::new();
        let is_whole = runtime.block_on(async {
            loop {
                match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                    Some(Ok(frame)) => had.extend_from_slice(frame.data_ref().unwrap()),
                    Some(Err(_)) => return false,
                    None => return true,
                }
            }
        });
        let told = book::exchange(&gateway.data_dir(), &id);
        assert_eq!(told.close["outcome"], "cut", "{}", told.close);
        assert!(told.withdrawn > 0, "{case:?}: something waited in the gate");
        assert!(told.delivered.starts_with(&had), "{case:?}: what left is on record");
        // Who reads too late for the ending misses some of it.
        assert!(!is_whole || told.delivered.len() == had.len(), "{case:?}");
        gateway.lift(&lever);
    }
}

#[test]
fn an_exchange_says_what_was_in_force_over_it() {
    let mock = MockServer::start();
    let rules = "rules = [\"secrets\"]\n[server]\n";
    let gateway = Gateway::start(&(rules.to_owned() + &routes_to(&mock.url(), "")));
    let opened = |gateway: &Gateway| {
        let answer = CASES[0].ask(gateway, "tokens=3", false).answer();
        let id = answer.head.field("x-firedoor-exchange").unwrap().to_owned();
        book::exchange(&gateway.data_dir(), &id).open
    };
    let first = opened(&gateway);
    assert_eq!(first["ruleset"].as_str().map(str::len), Some(32), "{first}");
    assert!(first["levers"].as_array().is_none_or(Vec::is_empty), "{first}");
    let filter = gateway.pull(json!({ "kind": "filter", "scope": "model:m", "packs": ["leak"] }));
    let all = gateway.pull(json!({ "kind": "filter", "scope": "all", "packs": ["leak"] }));
    let other =
        gateway.pull(json!({ "kind": "filter", "scope": "agent:other", "packs": ["leak"] }));
    let second = opened(&gateway);
    assert_eq!(second["ruleset"], first["ruleset"]);
    assert_eq!(
        second["levers"],
        json!([all]),
        "not {filter}, whose target is not known yet, nor {other}"
    );
    let demoted = gateway.admin_send(
        "POST",
        "/api/v1/rules/secrets/openai-key/demote",
        &json!({ "reason": "r", "author": "a" }),
    );
    assert_eq!(demoted.status(), 200, "{}", demoted.text());
    assert_ne!(opened(&gateway)["ruleset"], first["ruleset"], "another set of rules acts");
}
