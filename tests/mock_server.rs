//! The simulated provider's server, byte by byte: what it answers, how it fails, what it tells.
//!
//! Faults are shown on a tape, which needs no dialect; `tests/mock.rs` shows models' answers.

#![allow(
    clippy::unwrap_used,
    clippy::naive_bytecount,
    reason = "the helpers of a test fail as the test does, and its bodies are short"
)]

mod support;

use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use support::{Client, End, MockServer, get_json, post, wait_for};

/// Ten frames, the last one the end mark.
fn stream() -> String {
    let frames: Vec<String> = (0..9).map(|n| format!("data: {{\"n\":{n}}}\n\n")).collect();
    frames.concat() + "data: [DONE]\n\n"
}

const WHOLE: &str = r#"{"a":[1,2,3],"text":"forty bytes of it"}"#;

fn tape() -> (tempfile::TempDir, MockServer) {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("s.1-ab.sse", &stream());
    put(
        "s.1-ab.meta.json",
        r#"{"kind":"stream","status":200,"content_type":"text/event-stream","body_file":"s.1-ab.sse"}"#,
    );
    put("w.json", WHOLE);
    put(
        "w.meta.json",
        r#"{"kind":"err","status":418,"content_type":"application/json","body_file":"w.json"}"#,
    );
    let server = MockServer::with_tape(folder.path());
    (folder, server)
}

/// Sends for a recording, frame by frame, with a script.
fn send(server: &MockServer, name: &str, script: &str) -> Client {
    let mut client = Client::connect(server.address);
    let fields = [("x-tape", name), ("x-tape-split", "15"), ("x-mock", script)];
    client.request("POST", "/v1/chat/completions", &fields, b"{}");
    client
}

#[test]
fn a_tape_comes_byte_for_byte_in_any_pieces() {
    let (_folder, server) = tape();
    let mut client = Client::connect(server.address);
    for split in ["1", "7", "1000", "random:3"] {
        let fields = [("x-tape", "s.1-ab.sse"), ("x-tape-split", split)];
        let answer = client.request("POST", "/any", &fields, b"{}").answer();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.head.field("content-type"), Some("text/event-stream"));
        assert_eq!(answer.text(), stream());
        let whole = [("x-tape", "w"), ("x-tape-split", split)];
        let answer = client.request("POST", "/any", &whole, b"{}").answer();
        assert_eq!((answer.status(), answer.text().as_str()), (418, WHOLE));
        assert_eq!(answer.head.field("content-length"), Some("40"));
    }
    client.request("POST", "/any", &[("x-tape", "s.1-ab"), ("x-tape-split", "15")], b"");
    client.head();
    assert_eq!(client.chunk().unwrap().unwrap().len(), 15);
}

#[test]
fn what_a_tape_cannot_do_is_said() {
    let (_folder, server) = tape();
    for (name, split, expected) in [
        ("nothing", "1", "no recording"),
        ("../etc/passwd", "1", "plain path"),
        ("/etc/passwd", "1", "plain path"),
        ("w.json", "0", "x-tape-split"),
    ] {
        let fields = [("x-tape", name), ("x-tape-split", split)];
        let answer = post(server.address, "/any", &fields, "{}");
        assert_eq!(answer.status(), 400);
        assert!(answer.text().contains(expected), "{}", answer.text());
    }
    let bare = MockServer::start();
    let answer = post(bare.address, "/any", &[("x-tape", "w")], "{}");
    assert!(answer.text().contains("without --tape"));
}

#[test]
fn every_recording_is_played_as_it_is() {
    let folder = support::data().join("wire");
    let server = MockServer::with_tape(&folder);
    let mut client = Client::connect(server.address);
    let mut count = 0;
    for format in
        ["openai-chat", "openai-responses", "anthropic-messages", "gemini-generatecontent"]
    {
        for (name, body) in bodies(&folder.join(format)) {
            let path = format!("{format}/{name}");
            let fields = [("x-tape", path.as_str()), ("x-tape-split", "random:7")];
            let answer = client.request("POST", "/v1/chat/completions", &fields, b"{}").answer();
            assert!(answer.body == body, "{path}");
            count += 1;
        }
    }
    assert!(count > 100, "{count} recordings");
}

fn bodies(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".meta.json") {
            found.push((name, std::fs::read(&path).unwrap()));
        }
    }
    found
}

#[test]
fn a_reset_comes_behind_the_frames_before_it() {
    let (_folder, server) = tape();
    let mut client = send(&server, "s.1-ab", "fault=reset,at=3");
    client.head();
    let mut chunks = 0;
    let end = loop {
        match client.chunk() {
            Ok(Some(_)) => chunks += 1,
            Ok(None) => panic!("a whole answer"),
            Err(end) => break end,
        }
    };
    assert_eq!((chunks, end), (3, End::Reset));
    let mut client = send(&server, "w", "fault=reset,at=1");
    let head = client.head();
    assert_eq!(client.body(&head), Err(End::Reset));
}

#[test]
fn a_refusal_has_no_byte_of_an_answer() {
    let (_folder, server) = tape();
    assert_eq!(send(&server, "w", "fault=refuse").rest(), (Vec::new(), End::Reset));
}

#[test]
fn a_close_inside_the_body_is_orderly() {
    let (_folder, server) = tape();
    let mut client = send(&server, "s.1-ab", "fault=close,at=2");
    client.head();
    let (rest, end) = client.rest();
    assert_eq!(end, End::Closed);
    assert!(!rest.ends_with(b"0\r\n\r\n"));
    assert_eq!(rest.iter().filter(|byte| **byte == b'{').count(), 2);
}

#[test]
fn a_truncated_stream_ends_inside_a_frame_and_well_framed() {
    let (_folder, server) = tape();
    let mut client = send(&server, "s.1-ab", "fault=truncate,at=2");
    let answer = client.answer();
    assert_eq!(answer.text(), "data: {\"n\":0}\n\ndata: {\"n\":1}\n\ndata: {");
    // The connection lives on.
    let whole = client.request("POST", "/x", &[("x-tape", "w"), ("x-mock", "fault=truncate")], b"");
    assert_eq!(whole.answer().text(), WHOLE[..20]);
}

#[test]
fn a_stall_lasts_until_the_client_leaves() {
    let (_folder, server) = tape();
    let mut client =
        send(&server, "s.1-ab", "fault=stall,at=1").patient_for(Duration::from_millis(50));
    client.head();
    assert!(client.chunk().unwrap().is_some());
    assert_eq!(client.chunk(), Err(End::Late));
    assert_eq!(get_json(server.address, "/stats")["open"], 1);
    drop(client);
    wait_for("the client's departure", || {
        let stats = get_json(server.address, "/stats");
        (stats["aborted"] == 1 && stats["open"] == 0).then_some(())
    });
}

#[test]
fn a_client_that_leaves_between_two_frames_is_noticed_at_once() {
    let (_folder, server) = tape();
    let mut client = send(&server, "s.1-ab", "itl_ms=60000");
    client.head();
    assert!(client.chunk().unwrap().is_some());
    let began = Instant::now();
    drop(client);
    wait_for("the client's departure", || {
        (get_json(server.address, "/stats")["aborted"] == 1).then_some(())
    });
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_client_that_does_not_read_and_leaves_is_noticed() {
    let (_folder, server) = tape();
    let mut client = send(&server, "s.1-ab", "fault=oversize,at=1");
    client.head();
    drop(client);
    wait_for("the client's departure", || {
        (get_json(server.address, "/stats")["aborted"] == 1).then_some(())
    });
}

#[test]
fn garbage_is_no_frame_and_at_the_start_no_http() {
    let (_folder, server) = tape();
    let answer = send(&server, "s.1-ab", "fault=garbage,at=2").answer();
    assert!(answer.body.starts_with(b"data: {\"n\":0}\n\ndata: {\"n\":1}\n\n\x00\x01garbage"));
    assert!(answer.body.ends_with(b"data: [DONE]\n\n"));
    let (rest, end) = send(&server, "s.1-ab", "fault=garbage,at=0").rest();
    assert!(rest.starts_with(b"\x00\x01garbage"));
    assert_eq!(end, End::Closed);
    let body = send(&server, "w", "fault=garbage").answer().body;
    assert!(body.starts_with(b"\x00\x01garbage"));
}

#[test]
fn oversize_is_larger_than_any_frame_may_be() {
    let (_folder, server) = tape();
    let body = send(&server, "s.1-ab", "fault=oversize,at=1").answer().body;
    assert!(body.len() > 17 << 20);
    assert!(body.ends_with(b"data: [DONE]\n\n"));
    let whole = send(&server, "w", "fault=oversize").answer();
    assert!(whole.body.len() > 17 << 20);
    assert_eq!(whole.json()["a"][2], 3);
}

#[test]
fn lengths_lie_and_contradict() {
    let (_folder, server) = tape();
    let mut client = send(&server, "w", "fault=lie_length");
    let head = client.head();
    assert_eq!(head.field("content-length"), Some("140"));
    assert_eq!(client.body(&head), Err(End::Closed));
    let mut client = send(&server, "s.1-ab", "fault=lie_length");
    let head = client.head();
    assert!(!head.is_chunked());
    let (rest, end) = client.rest();
    assert_eq!((rest, end), (stream().into_bytes(), End::Closed));
    for name in ["w", "s.1-ab"] {
        let head = send(&server, name, "fault=two_lengths").head();
        let lengths: Vec<&String> =
            head.fields.iter().filter(|(n, _)| n == "content-length").map(|(_, v)| v).collect();
        assert_eq!(lengths.len(), 2);
        assert_ne!(lengths[0], lengths[1]);
    }
}

#[test]
fn a_storm_of_interim_heads_comes_first() {
    let (_folder, server) = tape();
    let mut client = send(&server, "w", "fault=interim_storm");
    for _ in 0..1000 {
        assert_eq!(client.any_head().unwrap().status, 103);
    }
    assert_eq!(client.answer().text(), WHOLE);
}

#[test]
fn a_bad_chunk_has_no_size() {
    let (_folder, server) = tape();
    for name in ["s.1-ab", "w"] {
        let mut client = send(&server, name, "fault=bad_chunk,at=1");
        client.head();
        assert!(client.chunk().unwrap().is_some());
        assert!(matches!(client.chunk(), Err(End::Malformed(_))));
    }
}

#[test]
fn invalid_utf8_is_invalid() {
    let (_folder, server) = tape();
    for name in ["s.1-ab", "w"] {
        let body = send(&server, name, "fault=invalid_utf8,at=1").answer().body;
        assert!(std::str::from_utf8(&body).is_err());
        assert_eq!(body.iter().filter(|byte| **byte == 0xFF).count(), 1);
    }
}

#[test]
fn a_share_of_requests_fails() {
    let server = MockServer::start();
    let mut client = Client::connect(server.address);
    let failed = (0..20)
        .filter(|_| {
            let script = [("x-mock", "status=503,retry_after=7,pct=25")];
            let answer = client.request("POST", "/v1/messages", &script, b"{}").answer();
            let has_failed = answer.status() == 503;
            assert!(!has_failed || answer.head.field("retry-after") == Some("7"));
            has_failed
        })
        .count();
    assert_eq!(failed, 5);
}

#[test]
fn errors_are_worded_by_each_provider() {
    let server = MockServer::start();
    let error = |path: &str| post(server.address, path, &[("x-mock", "status=429")], "{}").json();
    assert_eq!(error("/v1/chat/completions")["error"]["code"], "rate_limit_exceeded");
    assert_eq!(error("/openai/v1/responses")["error"]["type"], "requests");
    assert_eq!(error("/v1/messages")["error"]["type"], "rate_limit_error");
    let gemini = error("/v1beta/models/g:generateContent");
    assert_eq!(gemini["error"]["status"], "RESOURCE_EXHAUSTED");
}

#[test]
fn a_wrong_script_is_a_clear_error() {
    let server = MockServer::start();
    let answer = post(server.address, "/v1/messages", &[], r#"{"x":"mock:tokns=3;"}"#);
    assert_eq!(answer.status(), 400);
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("unknown key `tokns`"), "{message}");
    let cut = post(server.address, "/v1/messages", &[], r#"{"x":"mock:plen=5000;"}"#);
    assert!(cut.text().contains("prompt truncated"), "{}", cut.text());
}

#[test]
fn unknown_paths_echo_what_arrived_without_credentials() {
    let server = MockServer::start();
    let fields = [("authorization", "Bearer sk-secret"), ("X-Odd", "as It came")];
    let echo = post(server.address, "/v1/other?b=1&key=AIza", &fields, "hello").json();
    assert_eq!(echo["method"], "POST");
    assert_eq!(echo["body_bytes"], 5);
    let text = echo.to_string();
    assert!(text.contains("as It came") && text.contains("Bearer sha256:"), "{text}");
    assert!(!text.contains("sk-secret") && !text.contains("AIza"), "{text}");
    let kept = get_json(server.address, "/requests");
    let kept = &kept.as_array().unwrap()[0];
    assert_eq!(kept["body"], "hello");
    assert!(kept["head"].as_str().unwrap().contains("\r\nX-Odd: as It came\r\n"));
    assert!(!kept.to_string().contains("sk-secret"));
    let stats = get_json(server.address, "/stats");
    assert_eq!(stats["by_path"]["/v1/other"], 1);
    assert_eq!(stats["requests"], 1);
}

#[test]
fn fixed_answers() {
    let server = MockServer::start();
    assert_eq!(get_json(server.address, "/v1/models")["object"], "list");
    assert!(get_json(server.address, "/v1beta/models")["models"].is_array());
    let count = post(server.address, "/v1/messages/count_tokens", &[], "{\"messages\":[]}").json();
    assert_eq!(count["input_tokens"], 3);
    let vectors = post(server.address, "/v1/embeddings", &[], r#"{"input":["a","b"]}"#).json();
    assert_eq!(vectors["data"][1]["embedding"][0], 0.5);
}

#[test]
fn requests_may_come_in_pieces_in_chunks_ahead_and_with_an_expectation() {
    let server = MockServer::start();
    let mut client = Client::connect(server.address);
    let request = b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
                    3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: v\r\n\r\n";
    for byte in request {
        client.send(&[*byte]);
    }
    assert_eq!(client.answer().json()["body_bytes"], 5);
    client.send(&[request.as_slice(), request.as_slice()].concat());
    assert_eq!(client.answer().json()["body_bytes"], 5);
    assert_eq!(client.answer().json()["body_bytes"], 5);
    client.send(b"POST /b HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n");
    assert_eq!(client.any_head().unwrap().status, 100);
    assert_eq!(client.send(b"x").answer().json()["body_bytes"], 1);
    let last = client.request("GET", "/c", &[("connection", "close")], b"").answer();
    assert_eq!(last.head.field("connection"), Some("close"));
    assert_eq!(client.rest(), (Vec::new(), End::Closed));
}

#[test]
fn what_is_no_request_is_refused_and_counted() {
    let server = MockServer::start();
    let mut client = Client::connect(server.address);
    let answer = client.send(b"no http at all\r\n\r\n").answer();
    assert_eq!(answer.status(), 400);
    assert_eq!(client.rest().1, End::Closed);
    let mut client = Client::connect(server.address);
    client.send(b"POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc");
    drop(client);
    let stats = wait_for("both to be counted", || {
        let stats: Value = get_json(server.address, "/stats");
        (stats["broken"] == 2).then_some(stats)
    });
    assert_eq!(stats["requests"], 0);
}

#[test]
fn an_old_client_gets_a_body_that_ends_with_the_connection() {
    let (_folder, server) = tape();
    let mut client = Client::connect(server.address);
    client.send(b"POST /x HTTP/1.0\r\nx-tape: s.1-ab\r\n\r\n");
    let head = client.head();
    assert!(!head.is_chunked());
    assert_eq!(client.body(&head).unwrap(), stream().as_bytes());
}

#[test]
fn answers_to_head_have_no_body() {
    let server = MockServer::start();
    let mut client = Client::connect(server.address);
    let head = client.request("HEAD", "/", &[], b"").head();
    assert_eq!((head.status, head.field("content-length")), (200, Some("2")));
    assert_eq!(client.request("GET", "/", &[], b"").answer().text(), "{}");
}
