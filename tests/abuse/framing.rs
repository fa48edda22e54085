//! Cases 1, 2, 7 and 30: framing, desynchronisation, slowness, confused paths.

use crate::support::{
    CASES, Client, End, Gateway, MockServer, Upstream, flood, get_json, post, raise_descriptors,
    routes_to,
};
use std::io::Write;
use std::sync::atomic::AtomicU64;

const BODY: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#;

/// A request's bytes with these lines between request line and body.
fn raw(lines: &[&str], body: &str) -> Vec<u8> {
    let mut bytes = b"POST /v1/chat/completions HTTP/1.1\r\n".to_vec();
    for line in lines {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

/// Sends `bytes`; the answer must have one of `statuses`, name its exchange, and close.
fn refused(gateway: &Gateway, name: &str, bytes: &[u8], statuses: &[u16]) {
    let mut client = Client::connect(gateway.data);
    // The gateway may refuse before it has read everything.
    let _ = client.try_send(bytes);
    let head = client.try_head().unwrap_or_else(|end| panic!("{name}: no answer, {end:?}"));
    assert!(statuses.contains(&head.status), "{name}: {}", head.status);
    assert!(head.field("x-firedoor-exchange").is_some(), "{name}: no exchange id");
    assert_eq!(head.field("connection"), Some("close"), "{name}");
    let _ = client.body(&head);
    assert!(!matches!(client.rest().1, End::Late), "{name}: the connection stayed open");
}

fn served(gateway: &Gateway) {
    assert_eq!(post(gateway.data, "/v1/chat/completions", &[], BODY).status(), 200);
}

#[test]
fn d3_01_what_can_be_read_two_ways_is_refused() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let host = "host: test";
    let length = format!("content-length: {}", BODY.len());
    let chunked = "transfer-encoding: chunked";
    let whole = |lines: &[&str]| raw(lines, BODY);
    let long = format!("x-long: {}", "v".repeat(500 * 1024));
    let many: Vec<String> = (0..200).map(|at| format!("x-{at}: 1")).collect();
    let mut crowd = vec![host, length.as_str()];
    crowd.extend(many.iter().map(String::as_str));
    let line = |line: &str| format!("{line}\r\nhost: test\r\n\r\n").into_bytes();
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("length and coding", whole(&[host, &length, chunked]), &[400]),
        ("coding and length", whole(&[host, chunked, &length]), &[400]),
        ("two lengths that differ", whole(&[host, &length, "content-length: 3"]), &[400]),
        ("two lengths that agree", whole(&[host, &length, &length]), &[400]),
        ("signed length", whole(&[host, "content-length: +62"]), &[400]),
        ("hexadecimal length", whole(&[host, "content-length: 0x3e"]), &[400]),
        ("list as length", whole(&[host, "content-length: 62, 62"]), &[400]),
        ("overflowing length", whole(&[host, "content-length: 99999999999999999999"]), &[400, 413]),
        ("two codings", whole(&[host, chunked, chunked]), &[400, 501]),
        ("gzip and chunked", whole(&[host, "transfer-encoding: gzip, chunked"]), &[501]),
        ("chunked is not last", whole(&[host, "transfer-encoding: chunked, gzip"]), &[501]),
        ("vertical tab", whole(&[host, "transfer-encoding:\u{b}chunked"]), &[400, 501]),
        ("space before colon", whole(&[host, "content-length : 62"]), &[400]),
        ("folded line", whole(&[host, "x-a: 1", " folded", &length]), &[400]),
        ("no host", whole(&[&length]), &[400]),
        ("two hosts", whole(&[host, "host: other", &length]), &[400]),
        ("host with a path", whole(&["host: a/../admin?", &length]), &[400]),
        ("host with a user", whole(&["host: user@test", &length]), &[400]),
        ("bare line feeds", b"GET / HTTP/1.1\nhost: test\n\n".to_vec(), &[400]),
        ("NUL in a value", whole(&[host, "x-a: a\0b", &length]), &[400]),
        ("empty name", whole(&[host, ": x", &length]), &[400]),
        ("HTTP/1.2", line("GET / HTTP/1.2"), &[400, 505]),
        ("fragment", line("GET /v1/models#a HTTP/1.1"), &[400]),
        ("another authority", line("GET http://other/v1/models HTTP/1.1"), &[400]),
        ("CONNECT", line("CONNECT test:443 HTTP/1.1"), &[400, 405, 501]),
        ("unknown method", line("BREAKINGBREAKINGBREAKING / HTTP/1.1"), &[400, 501]),
        (
            "GET with a body",
            b"GET /v1/models HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi".to_vec(),
            &[400],
        ),
        ("half a megabyte in a value", whole(&[host, &long, &length]), &[431]),
        ("two hundred headers", whole(&crowd), &[431]),
        ("unknown expectation", whole(&[host, "expect: magic", &length]), &[417]),
    ];
    for (name, bytes, statuses) in &cases {
        refused(&gateway, name, bytes, statuses);
    }
    assert_eq!(get_json(mock.address, "/stats")["requests"], 0, "none reached the provider");
    served(&gateway);
}

#[test]
fn d3_01_an_upgrade_is_never_tunnelled_before_the_provider_agrees() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: test\r\n\r\n";
    let length = format!("content-length: {}", BODY.len());
    let mut client = Client::connect(gateway.data);
    let bytes = raw(&["host: test", "connection: upgrade", "upgrade: websocket", &length], BODY);
    client.send(&bytes).send(smuggled.as_bytes());
    assert_eq!(client.head().status, 400, "no upgrade where answers are asked for");
    assert_eq!(get_json(mock.address, "/stats")["requests"], 0);
    served(&gateway);
}

#[test]
fn d3_02_one_request_in_is_one_request_out() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let requests = || get_json(mock.address, "/stats")["requests"].as_u64().unwrap();
    // What follows the body of a chunked request is the next request, and nothing else is.
    let inner = "POST /v1/messages HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n";
    let text = format!("{BODY:<200}{inner}");
    let chunks = format!("{:x};ext=1\r\n{text}\r\n0\r\nx-trailer: 1\r\n\r\n", text.len());
    let mut client = Client::connect(gateway.data);
    client.send(&raw(&["host: test", "transfer-encoding: chunked"], &chunks));
    assert_eq!(client.answer().status(), 400, "the body is not JSON");
    assert_eq!(requests(), 0);
    // Two in one write are two.
    let length = format!("content-length: {}", BODY.len());
    let one = raw(&["host: test", &length], BODY);
    let mut client = Client::connect(gateway.data);
    client.send(&[one.clone(), one].concat());
    assert_eq!(client.answer().status(), 200);
    assert_eq!(client.answer().status(), 200);
    assert_eq!(requests(), 2);
    // A client that waits is told to go on; the provider hears nothing of it, nor of its framing.
    let mut client = Client::connect(gateway.data);
    client.send(&raw(&["host: test", "expect: 100-continue", "transfer-encoding: chunked"], ""));
    assert_eq!(client.any_head().unwrap().status, 100);
    client.send(format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len()).as_bytes());
    assert_eq!(client.answer().status(), 200);
    let seen = get_json(mock.address, "/requests").to_string().to_ascii_lowercase();
    for word in ["transfer-encoding", "expect", "x-trailer", "ext=1", "host: test"] {
        assert!(!seen.contains(word), "the provider saw `{word}`");
    }
}

#[test]
fn d3_02_broken_chunks_reach_nobody() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    for chunks in [
        "zz\r\nhi\r\n0\r\n\r\n",
        "-1\r\nhi\r\n0\r\n\r\n",
        "\r\nhi\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhi\r\n0\r\n\r\n",
        "2\nhi\n0\n\n",
        "2\r\nhiX\r\n0\r\n\r\n",
        "0x2\r\nhi\r\n0\r\n\r\n",
    ] {
        let mut client = Client::connect(gateway.data);
        client.send(&raw(&["host: test", "transfer-encoding: chunked"], chunks));
        let head = client.head();
        assert_eq!(head.status, 400, "{chunks:?}");
        assert_eq!(head.field("connection"), Some("close"), "{chunks:?}");
    }
    assert_eq!(get_json(mock.address, "/stats")["requests"], 0);
    served(&gateway);
}

#[test]
fn d3_07_slow_clients_wait_alone() {
    let answer = r#"{"id":"c","object":"chat.completion","model":"m","choices":[]}"#;
    let upstream = Upstream::start(move |request, stream| {
        let whole = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        // The gateway may have had enough.
        let _ = if request.ends_with(BODY.as_bytes()) {
            stream.write_all(whole.as_bytes())
        } else {
            flood(stream, 64 << 20, &AtomicU64::new(0))
        };
    });
    let routes = "[server]\nhead_timeout_ms = 400\nclient_idle_timeout_ms = 600\n".to_owned()
        + &routes_to(&upstream.url(), "capture = \"off\"");
    let gateway = Gateway::start(&routes);
    let slow_head = |_| {
        let mut client = Client::connect(gateway.data);
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nx-slow: ");
        client
    };
    let slow_body = |_| {
        let mut client = Client::connect(gateway.data);
        client.send(&raw(&["host: test", "content-length: 500"], "{\"model\":"));
        client
    };
    let slow_reader = |_| {
        let mut client = Client::connect_narrow(gateway.data);
        let body = CASES[0].body("m", "hello", true);
        client.request("POST", &CASES[0].target("m", true), &[], body.as_bytes());
        assert_eq!(client.head().status, 200);
        client
    };
    raise_descriptors();
    served(&gateway);
    let idle = gateway.process.memory_bytes();
    let readers: Vec<Client> = (0..200).map(slow_reader).collect();
    let mut heads: Vec<Client> = (0..2400).map(slow_head).collect();
    let mut bodies: Vec<Client> = (0..2400).map(slow_body).collect();
    for _ in 0..20 {
        served(&gateway);
    }
    for client in &mut heads {
        assert_eq!(client.head().status, 408);
    }
    for client in &mut bodies {
        let head = client.head();
        assert_eq!(head.status, 400);
        assert_eq!(head.field("connection"), Some("close"));
    }
    served(&gateway);
    assert_eq!(upstream.requests(), 222);
    // 85 to 95 MB, unoptimised: 12 KiB for each that has said little, the rest for those that do not
    // read. With a buffer of 32 KiB for each client it is 220, and a stream that is held for one who
    // does not read has 64 MiB alone.
    let grown = gateway.process.peak_memory_bytes().saturating_sub(idle);
    assert!(grown < 160 << 20, "{grown} bytes");
    drop(readers);
}

#[test]
fn d3_30_paths_are_read_one_way() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    for path in [
        "/oai/../admin",
        "/oai/%2e%2e/admin",
        "/oai//v1/chat/completions",
        "//v1/chat/completions",
        "/oai/v1%2fchat/completions",
        "/oai/v1\\chat",
        "/v1/./chat/completions",
        "/v1/chat/completions/%00",
        "/v1/..;/admin",
    ] {
        let bytes = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        refused(&gateway, path, bytes.as_bytes(), &[400]);
    }
    // Nothing of the admin plane is served here, and case matters.
    for path in ["/metrics", "/api/v1/status", "/healthz", "/V1/CHAT/COMPLETIONS"] {
        let answer = post(gateway.data, path, &[], BODY);
        assert_eq!(answer.status(), 404, "{path}");
    }
    assert_eq!(get_json(mock.address, "/stats")["requests"], 0);
    served(&gateway);
}
