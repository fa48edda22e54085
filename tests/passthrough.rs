//! Everything that is not an answer in a dialect passes through as it came: uploads, downloads,
//! other methods, other protocols.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod support;

use std::io::{Read, Write};
use support::{Client, Gateway, MockServer, Upstream, get, get_json, post, routes_to};

#[test]
fn an_upload_goes_through_piece_by_piece() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let before = gateway.process.memory_bytes();
    // Blank space may hide JSON, and so much of it hides nothing that is worth the memory.
    for (kind, byte) in [("content-type: multipart/form-data; boundary=b\r\n", b'x'), ("", 0)] {
        let piece = vec![byte; 64 << 10];
        let mut client = Client::connect(gateway.data);
        client.send(
            format!(
                "POST /oai/v1/files HTTP/1.1\r\nhost: t\r\n{kind}transfer-encoding: chunked\r\n\r\n"
            )
            .as_bytes(),
        );
        for _ in 0..640 {
            client.send(format!("{:x}\r\n", piece.len()).as_bytes()).send(&piece).send(b"\r\n");
        }
        client.send(b"0\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let arrived = &get_json(mock.address, "/requests").to_string();
        assert!(arrived.contains(&(640u64 * (64 << 10)).to_string()), "{arrived:.400}");
        assert!(gateway.process.memory_bytes() < before + (24 << 20), "40 MiB were not held");
    }
}

/// The limit on bodies is for those that are read whole.
#[test]
fn a_large_upload_of_a_known_length_goes_through() {
    let provider = Upstream::start(|request, stream| {
        let told = request.len().to_string();
        let length = told.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{told}").unwrap();
    });
    let gateway = Gateway::start(&routes_to(&provider.url(), ""));
    let before = gateway.process.memory_bytes();
    let piece = vec![b'x'; 1 << 20];
    let mut client = Client::connect(gateway.data);
    let length = 100 * piece.len();
    client.send(
        format!(
            "POST /oai/v1/files HTTP/1.1\r\nhost: t\r\ncontent-type: multipart/form-data; boundary=b\r\n\
             content-length: {length}\r\n\r\n"
        )
        .as_bytes(),
    );
    for _ in 0..100 {
        client.send(&piece);
    }
    let answer = client.answer();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert!(answer.text().parse::<usize>().unwrap() > length, "{}", answer.text());
    assert!(gateway.process.memory_bytes() < before + (24 << 20), "100 MiB were not held");
}

#[test]
fn methods_queries_and_statuses_are_kept() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    for method in ["GET", "DELETE", "PATCH", "PUT"] {
        let mut client = Client::connect(gateway.data);
        client.request(method, "/oai/v1/files/file-1?after=a%20b&limit=2", &[("x-mine", "1")], b"");
        let seen = client.answer().json().to_string();
        assert!(seen.contains(method) && seen.contains("after=a%20b&limit=2"), "{seen}");
        assert!(seen.contains("x-mine"), "{seen}");
    }
    let embedded = post(gateway.data, "/oai/v1/embeddings", &[], r#"{"model":"e","input":"x"}"#);
    assert_eq!(embedded.status(), 200);
    let mut client = Client::connect(gateway.data);
    client.request("HEAD", "/", &[], b"");
    assert_eq!(client.head().status, 200);
}

#[test]
fn a_redirect_is_the_clients_to_follow() {
    let upstream = Upstream::fixed(
        "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest\r\ncontent-length: 0\r\n\r\n",
    );
    let gateway = Gateway::start(&routes_to(&upstream.url(), ""));
    let answer = get(gateway.data, "/oai/v1/files/a/content", &[]);
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.head.field("location"), Some("http://169.254.169.254/latest"));
    assert_eq!(upstream.requests(), 1);
}

#[test]
fn a_websocket_is_tunnelled_once_the_provider_agrees() {
    let upstream = Upstream::start(|request, socket| {
        let head = String::from_utf8_lossy(request).to_ascii_lowercase();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"));
        socket
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: yes\r\n\r\nhello")
            .unwrap();
        let mut space = [0; 64];
        while let Ok(count) = socket.read(&mut space) {
            if count == 0 || socket.write_all(&space[..count].to_ascii_uppercase()).is_err() {
                return;
            }
        }
    });
    let gateway = Gateway::start(&routes_to(&upstream.url(), ""));
    let mut client = Client::connect(gateway.data);
    client.send(
        b"GET /oai/v1/realtime?model=m HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: a\r\n\r\n",
    );
    let head = client.any_head().unwrap();
    assert_eq!(head.status, 101);
    assert_eq!(head.field("sec-websocket-accept"), Some("yes"));
    client.send(b"frames of ours");
    client.finish_sending();
    let (bytes, _) = client.rest();
    assert_eq!(String::from_utf8_lossy(&bytes), "helloFRAMES OF OURS");
}

#[test]
fn a_stream_in_a_framing_that_is_not_read_is_not_held_back() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let body = r#"{"contents":[{"parts":[{"text":"mock:tokens=20,itl_ms=20;"}]}]}"#;
    let mut client = Client::connect(gateway.data);
    client.request("POST", "/v1beta/models/m:streamGenerateContent", &[], body.as_bytes());
    let head = client.head();
    assert_eq!(head.status, 200);
    let first = client.chunk().unwrap().unwrap();
    assert_eq!(first[0], b'[');
    assert_eq!(get_json(mock.address, "/stats")["open"], 1, "the provider is still speaking");
    let mut whole = first;
    while let Some(more) = client.chunk().unwrap() {
        whole.extend_from_slice(&more);
    }
    let parts: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    assert!(parts.as_array().unwrap().len() > 5);
}

#[test]
fn other_methods_of_answers_and_queries_of_the_row_pass() {
    let mock = MockServer::start();
    let routes = routes_to(&mock.url(), "").replacen(
        "dialect = \"openai\"",
        "dialect = \"openai\"\nquery = \"api-version=2&x=1\"",
        1,
    );
    let gateway = Gateway::start(&routes);
    for method in ["GET", "OPTIONS"] {
        let mut client = Client::connect(gateway.data);
        client.request(method, "/oai/v1/chat/completions?api-version=1", &[], b"");
        let answer = client.answer();
        assert_eq!(answer.status(), 200, "{method}: {}", answer.text());
        let seen = answer.text();
        assert!(seen.contains("api-version=1&x=1") && !seen.contains("api-version=2"), "{seen}");
    }
}
