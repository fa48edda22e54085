//! Clients that leave and clients that do not read; and connections that are used again.

use crate::support::{
    CASES, Client, Gateway, MockServer, Upstream, flood, get_json, post, routes_to, wait_for,
};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The provider hears of it by the closed connection; every timeout is longer than the test.
#[test]
fn a_client_that_leaves_cancels_upstream_at_once() {
    let mock = MockServer::start();
    let more = "timeouts = { first_byte_ms = 300000, idle_ms = 300000 }";
    let gateway = Gateway::start(&routes_to(&mock.url(), more));
    let aborted = || get_json(mock.address, "/stats")["aborted"].as_u64().unwrap();
    let open = || get_json(mock.address, "/stats")["open"].as_u64().unwrap();
    let mut gone = 0;
    for case in &CASES {
        // Before the first byte, whole and as a stream; between two tokens; in a stall.
        for (script, stream) in [
            ("ttft_ms=600000", false),
            ("ttft_ms=600000", true),
            ("tokens=10000,itl_ms=50", true),
            ("tokens=20,fault=stall,at=4", true),
        ] {
            let mut client = case.ask(&gateway, script, stream);
            if script.starts_with("ttft") {
                wait_for("the request at the provider", || (open() == 1).then_some(()));
            } else {
                let head = client.head();
                assert!(head.is_chunked(), "{case:?}");
                assert!(client.chunk().unwrap().is_some(), "{case:?}");
            }
            drop(client);
            gone += 1;
            wait_for("the provider to lose its client", || (aborted() == gone).then_some(()));
        }
    }
    gateway.wait_idle();
    let records = gateway.exchanges();
    assert_eq!(records.len() as u64, gone);
    for record in records {
        assert_eq!(record["outcome"], "client_gone", "{record}");
    }
}

/// A body that never comes whole leaves no trace at the provider.
#[test]
fn a_client_that_leaves_inside_its_request_reaches_nobody() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    for case in &CASES {
        let mut client = Client::connect(gateway.data);
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: 100000\r\n\r\n{{\"model\":",
            case.target("m", true)
        );
        client.send(head.as_bytes());
        drop(client);
    }
    wait_for("four records", || (gateway.exchanges().len() == 4).then_some(()));
    for record in gateway.exchanges() {
        assert_eq!(record["outcome"], "client_gone", "{record}");
    }
    assert_eq!(get_json(mock.address, "/stats")["requests"], 0);
}

/// Asks for a stream and reads nothing. The kernel gets little room, so that it is the gateway
/// that is tested.
fn unread(gateway: &Gateway) -> std::net::TcpStream {
    let socket = socket2::Socket::new(
        socket2::Domain::IPV4,
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )
    .unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.connect(&gateway.data.into()).unwrap();
    let mut stream = std::net::TcpStream::from(socket);
    let body = CASES[0].body("m", "hello", true);
    let length = body.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

const STREAMS: usize = 50;
/// What the provider would like to send on each stream.
const STREAM_BYTES: usize = 64 << 20;

/// Nobody reads 50 streams of 64 MiB: the provider comes to a stop, memory stays bounded, and a
/// client that begins to read again gets everything.
#[test]
fn d3_08_a_client_that_stops_reading_stops_the_provider() {
    let written = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&written);
    let upstream = Upstream::start(move |_, stream| {
        // The gateway takes no more than it can pass on.
        let _ = flood(stream, STREAM_BYTES, &counted);
    });
    // The record and its index have bounds of their own, which are no stream's cost.
    let more = "timeouts = { idle_ms = 300000 }\ncapture = \"off\"";
    let gateway = Gateway::start(&routes_to(&upstream.url(), more));
    // Unread streams, up to the provider's stop. Still means: nothing was written during half a
    // second.
    let held = |count: usize| {
        let wanted = upstream.requests() + count;
        let streams: Vec<_> = (0..count).map(|_| unread(&gateway)).collect();
        wait_for("all streams at the provider", || (upstream.requests() == wanted).then_some(()));
        let mut last = (written.load(Ordering::SeqCst), Instant::now());
        wait_for("the provider to come to a stop", || {
            let now = written.load(Ordering::SeqCst);
            if now != last.0 {
                last = (now, Instant::now());
            }
            (now > 0 && last.1.elapsed() > Duration::from_millis(500)).then_some(())
        });
        streams
    };
    // What the workers need once is no stream's cost.
    let first = held(10);
    let before = gateway.process.memory_bytes();
    let streams = held(STREAMS);
    let sent = written.load(Ordering::SeqCst);
    // No client and no lever reaches what the system holds of a connection, so that is bounded too.
    let each = sent / (10 + STREAMS) as u64;
    assert!(each < 1 << 20, "{each} bytes of each stream went out unread");
    let grown = gateway.process.memory_bytes().saturating_sub(before) / STREAMS as u64;
    assert!(grown <= 256 << 10, "{} KiB of memory for each stream", grown >> 10);

    // Whoever reads again gets more.
    let mut reader = &streams[0];
    let mut space = vec![0; 1 << 20];
    let mut read = 0;
    while read < 4 << 20 {
        let count = std::io::Read::read(&mut reader, &mut space).unwrap();
        assert!(count > 0, "the stream ended after {read} bytes");
        read += count;
    }
    assert!(written.load(Ordering::SeqCst) > sent, "the provider goes on");
    drop((first, streams));
    gateway.wait_idle();
}

/// A provider's connection serves one request after another, whichever client asks.
#[test]
fn connections_to_providers_are_used_again() {
    let mock = MockServer::start();
    let routes = format!("[server]\nworkers = 1\n\n{}", routes_to(&mock.url(), ""));
    let gateway = Gateway::start(&routes);
    let body = CASES[0].body("m", "hello", false);
    let mut kept = Client::connect(gateway.data);
    for _ in 0..20 {
        let target = CASES[0].target("m", false);
        let fields = [("content-type", "application/json")];
        let answer = kept.request("POST", &target, &fields, body.as_bytes()).answer();
        assert_eq!(answer.status(), 200);
        CASES[0].assert_whole(&CASES[0].ask(&gateway, "tokens=3", true).answer());
        assert_eq!(post(gateway.data, &target, &[], &body).status(), 200);
    }
    let stats = get_json(mock.address, "/stats");
    assert_eq!(stats["requests"], 60, "{stats}");
    // One for the gateway's three origins' first, one for this very question.
    assert_eq!(stats["connections"], 2, "{stats}");
}

/// A connection on which an answer broke off is never used again.
#[test]
fn a_spoilt_connection_is_not_used_again() {
    let mock = MockServer::start();
    let routes = format!("[server]\nworkers = 1\n\n{}", routes_to(&mock.url(), ""));
    let gateway = Gateway::start(&routes);
    for round in 0..4 {
        let mut client = CASES[0].ask(&gateway, "tokens=10000,itl_ms=20", true);
        let head = client.head();
        assert!(client.chunk().unwrap().is_some(), "{head:?}");
        drop(client);
        wait_for("the abort", || {
            (get_json(mock.address, "/stats")["aborted"] == round + 1).then_some(())
        });
        let answer = CASES[0].ask(&gateway, "text=fresh", false).answer();
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "fresh");
    }
}

/// The kept connection was closed by the provider meanwhile: the request goes out once more, and
/// nobody notices.
#[test]
fn a_kept_connection_that_was_closed_costs_nothing() {
    let upstream = Upstream::start(|_, stream| {
        // Says that it will be kept, and closes.
        let body = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[]}"#;
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        let _ =
            stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes());
    });
    let more = "retry = { attempts = 1 }";
    let routes = format!("[server]\nworkers = 1\n\n{}", routes_to(&upstream.url(), more));
    let gateway = Gateway::start(&routes);
    for _ in 0..20 {
        let answer = CASES[0].ask(&gateway, "", false).answer();
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
    assert_eq!(upstream.requests(), 20);
}
