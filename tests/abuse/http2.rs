//! Cases 3 and 4: HTTP/2 written frame by frame.

use crate::support::{Client, End, Gateway, MockServer, get_json, post, routes_to};
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const BODY: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// A frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block: literals that are never indexed (RFC 7541, section 6.2.3).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0x10);
        push_text(&mut out, name);
        push_text(&mut out, value);
    }
    out
}

/// A string without Huffman coding behind its length, an integer of a seven-bit prefix (RFC 7541,
/// sections 5.1 and 5.2).
fn push_text(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.len();
    if rest < 127 {
        out.push(u8::try_from(rest).unwrap());
    } else {
        out.push(127);
        rest -= 127;
        while rest >= 128 {
            out.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        out.push(u8::try_from(rest).unwrap());
    }
    out.extend_from_slice(text.as_bytes());
}

fn asking(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields =
        vec![(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", path)];
    fields.extend_from_slice(more);
    block(&fields)
}

/// A connection that has said hello.
fn connect(gateway: &Gateway) -> Client {
    let mut client = Client::connect(gateway.data);
    client.send(PREFACE).send(&frame(SETTINGS, 0, 0, &[]));
    client
}

/// The kinds of the frames that came, and the payloads of streams, until the connection is quiet.
fn frames(bytes: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        let stream = u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]);
        let Some(payload) = rest.get(9..9 + length) else { break };
        found.push((rest[3], stream, payload.to_vec()));
        rest = &rest[9 + length..];
    }
    found
}

fn served(gateway: &Gateway) {
    assert_eq!(post(gateway.data, "/v1/chat/completions", &[], BODY).status(), 200);
    let mut client = connect(gateway).patient_for(Duration::from_millis(1500));
    client
        .send(&frame(HEADERS, END_HEADERS, 1, &asking("/v1/chat/completions", &[])))
        .send(&frame(DATA, END_STREAM, 1, BODY.as_bytes()));
    let (bytes, _) = client.rest();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("chat.completion"), "an HTTP/2 request is answered: {text}");
}

#[test]
fn d3_03_what_http1_refuses_is_refused_in_http2() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let path = "/v1/chat/completions";
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("transfer-encoding", asking(path, &[("transfer-encoding", "chunked")])),
        ("connection", asking(path, &[("connection", "close")])),
        ("line end in a value", asking(path, &[("x-a", "a\r\nhost: evil")])),
        ("line end in the path", asking("/v1/chat/completions\r\nx: y", &[])),
        ("space in the path", asking("/v1/chat completions", &[])),
        ("colon in a name", asking(path, &[("x:y", "1")])),
        ("upper case name", asking(path, &[("X-Upper", "1")])),
        ("absolute path", asking("http://other/v1/chat/completions", &[])),
        ("empty segment", asking("//v1/chat/completions", &[])),
        ("dot segments", asking("/oai/../v1/chat/completions", &[])),
        ("another host", asking(path, &[("host", "evil")])),
        ("no path", block(&[(":method", "POST"), (":scheme", "http"), (":authority", "test")])),
    ];
    for (name, block) in cases {
        let mut client = connect(&gateway).patient_for(Duration::from_millis(300));
        client.send(&frame(HEADERS, END_HEADERS, 1, &block)).send(&frame(
            DATA,
            END_STREAM,
            1,
            BODY.as_bytes(),
        ));
        let (bytes, _) = client.rest();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let ended = frames(&bytes).iter().any(|(kind, ..)| [RST_STREAM, GOAWAY].contains(kind));
        assert!(!text.contains("chat.completion"), "{name} was served");
        assert!(ended || text.contains('\n'), "{name}: neither refused nor reset");
    }
    assert_eq!(get_json(mock.address, "/stats")["requests"], 0);
    served(&gateway);
}

#[test]
fn d3_04_floods_end_their_own_connection() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let before = gateway.process.memory_bytes();
    let head = asking("/v1/chat/completions", &[]);
    let rapid_reset: Vec<u8> = (0..20_000u32)
        .flat_map(|at| {
            let stream = 2 * at + 1;
            let mut both = frame(HEADERS, END_HEADERS, stream, &head);
            both.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
            both
        })
        .collect();
    let mut continuation = frame(HEADERS, 0, 1, &head);
    for _ in 0..20_000 {
        continuation.extend(frame(CONTINUATION, 0, 1, &block(&[("x-a", &"v".repeat(100))])));
    }
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]).repeat(50_000);
    let pings = frame(PING, 0, 0, b"12345678").repeat(50_000);
    let huge = frame(HEADERS, END_HEADERS, 1, &asking("/", &[("x-a", &"v".repeat(15_000))]));
    for (name, flood) in [
        ("rapid reset", rapid_reset),
        ("continuation", continuation),
        ("settings", settings),
        ("pings", pings),
        ("a large field", huge),
    ] {
        let mut client = connect(&gateway).patient_for(Duration::from_millis(300));
        // The gateway may end the connection before it has read all of it.
        let taken = client.try_send(&flood).is_ok();
        let (bytes, end) = client.rest();
        let told = frames(&bytes).iter().any(|(kind, ..)| *kind == GOAWAY);
        assert!(taken || told || !matches!(end, End::Late), "{name}");
    }
    served(&gateway);
    assert!(gateway.process.memory_bytes() < before + (64 << 20), "memory is bounded");
}

#[test]
fn d3_04_a_window_that_never_opens_holds_one_stream_back() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let prompt = BODY.replace("hi", "mock:tokens=20000;").replace("}]}", "}],\"stream\":true}");
    for window in [0u8, 1] {
        let mut client = Client::connect(gateway.data).patient_for(Duration::from_millis(300));
        // SETTINGS_INITIAL_WINDOW_SIZE.
        client.send(PREFACE).send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, window]));
        client
            .send(&frame(HEADERS, END_HEADERS, 1, &asking("/v1/chat/completions", &[])))
            .send(&frame(DATA, END_STREAM, 1, prompt.as_bytes()));
        let (bytes, _) = client.rest();
        let sent: usize = frames(&bytes)
            .iter()
            .filter(|(kind, stream, _)| (*kind, *stream) == (DATA, 1))
            .map(|(_, _, payload)| payload.len())
            .sum();
        assert!(sent <= usize::from(window), "{sent} bytes into a window of {window}");
    }
    served(&gateway);
}

/// What cannot be read at all is refused with an id by which it is found, as in HTTP/1.
#[test]
fn refusals_of_unreadable_heads_have_an_id() {
    let gateway = Gateway::start(&routes_to(&MockServer::start().url(), ""));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (status, id) = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(gateway.data).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(
            hyper_util::rt::TokioExecutor::new(),
            hyper_util::rt::TokioIo::new(stream),
        );
        let (mut client, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("http://t/v1/models").body(BODY.to_owned()).unwrap();
        let answer = client.send_request(request).await.unwrap();
        let id = answer.headers()["x-firedoor-exchange"].to_str().unwrap().to_owned();
        (answer.status(), id)
    });
    assert_eq!(status, 400);
    let told = gateway.admin_json(&format!("/api/v1/exchanges/{id}"));
    assert_eq!(told["status"], 400, "{told:#}");
}
