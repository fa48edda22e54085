//! Cases 6, 10, 11, 12 and 14: providers that lie, and recorded streams byte for byte.

use crate::support::{CASES, Client, Gateway, MockServer, Upstream, data, post, routes_to};
use std::io::Write;

const BODY: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#;

#[test]
fn d3_06_a_provider_that_lies_about_framing_is_a_bad_gateway() {
    let ok = r#"{"id":"a","object":"chat.completion","choices":[]}"#;
    let huge = format!(
        "HTTP/1.1 200 OK\r\nx-big: {}\r\ncontent-length: 2\r\n\r\n{{}}",
        "v".repeat(1 << 20)
    );
    let storm = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000);
    let cases: Vec<(&str, String)> = vec![
        (
            "two lengths",
            format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 60\r\n\r\n{ok}"),
        ),
        (
            "length and coding",
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{ok}"
            ),
        ),
        (
            "a length that is too long",
            format!("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{ok}"),
        ),
        ("interim answers without end", storm),
        (
            "no content, with content",
            format!("HTTP/1.1 204 No Content\r\ncontent-length: {}\r\n\r\n{ok}", ok.len()),
        ),
        ("a head of a mebibyte", huge),
        ("not HTTP at all", "SSH-2.0-OpenSSH_9.2\r\n".to_owned()),
        (
            "a switch that nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
                .to_owned(),
        ),
        (
            "a bad chunk",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhi\r\n".to_owned(),
        ),
        (
            "a split header",
            "HTTP/1.1 200 OK\r\nx: a\n\nset-cookie: b=c\r\ncontent-length: 0\r\n\r\n".to_owned(),
        ),
    ];
    for (name, bytes) in cases {
        let upstream = Upstream::fixed(bytes);
        let gateway = Gateway::start(&routes_to(&upstream.url(), "retry = { attempts = 1 }"));
        let answer = post(gateway.data, "/v1/chat/completions", &[], BODY);
        assert!(matches!(answer.status(), 502 | 503), "{name}: {}", answer.status());
        assert!(answer.head.field("set-cookie").is_none(), "{name}");
        assert!(answer.json()["error"]["message"].is_string(), "{name}");
    }
}

#[test]
fn d3_06_bytes_behind_an_answer_are_nobodys_answer() {
    let ok = r#"{"id":"a","object":"chat.completion","choices":[]}"#;
    let bytes = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ok}HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nevil!",
        ok.len()
    );
    let upstream = Upstream::fixed(bytes);
    let gateway = Gateway::start(&routes_to(&upstream.url(), ""));
    let mut client = Client::connect(gateway.data);
    for _ in 0..3 {
        client.request("POST", "/v1/chat/completions", &[], BODY.as_bytes());
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (200, ok));
    }
    assert_eq!(upstream.requests(), 3, "each on a connection of its own");
}

/// Recordings of a dialect's folder, up to `most`.
fn recordings(folder: &str, most: usize) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(data().join("wire").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "sse"))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names.truncate(most);
    names
}

#[test]
fn d3_11_recorded_streams_pass_byte_for_byte_at_any_split() {
    let folders =
        ["openai-chat", "openai-responses", "anthropic-messages", "gemini-generatecontent"];
    let mut passed = 0;
    for (case, folder) in CASES.iter().zip(folders) {
        let tape = data().join("wire").join(folder);
        let mock = MockServer::with_tape(&tape);
        let gateway = Gateway::start(&routes_to(&mock.url(), ""));
        for (at, name) in recordings(folder, 60).into_iter().enumerate() {
            let recorded = std::fs::read(tape.join(&name)).unwrap();
            let split = ["1", "7", "100", "1000000"][at % 4];
            if split == "1" && recorded.len() > 20_000 {
                continue;
            }
            let mut client = Client::connect(gateway.data);
            let fields = [("x-tape", name.as_str()), ("x-tape-split", split)];
            let body = case.body("m", "hi", true);
            client.request("POST", &case.target("m", true), &fields, body.as_bytes());
            let answer = client.answer();
            if answer.body == recorded {
                passed += 1;
                continue;
            }
            // Only an answer that was recorded incomplete is changed: what came of it stands, and
            // an error frame of the dialect behind it.
            let error = String::from_utf8_lossy(&answer.body);
            assert!(error.contains("before the answer was complete"), "{name} split {split}");
            let end = answer.body.iter().zip(&recorded).take_while(|(a, b)| a == b).count();
            assert!(answer.body[..end].ends_with(b"\n") || end > 0, "{name}");
        }
    }
    assert!(passed > 150, "{passed} passed as they were recorded");
}

#[test]
fn d3_12_malformed_streams_are_passed_on_or_ended_honestly() {
    let done = "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let streams: Vec<Vec<u8>> = vec![
        done.into(),
        done.replace('\n', "\r").into(),
        done.replace('\n', "\r\n").into(),
        format!("\u{feff}{done}").into(),
        format!(": comment\n\nid: 7\nretry: 3\n\n{done}").into(),
        format!("data:no space\n\n{done}{done}").into(),
        done.trim_end().into(),
        [b"data: \xff\xfe\0\n\n".as_slice(), done.as_bytes()].concat(),
        format!("data: {{\"a\":\ndata: 1}}\n\n{done}").into(),
    ];
    for stream in streams {
        let sent = stream.clone();
        let upstream = Upstream::start(move |_, socket| {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&sent));
        });
        let gateway = Gateway::start(&routes_to(&upstream.url(), ""));
        let body = CASES[0].body("m", "hi", true);
        let answer = post(gateway.data, "/v1/chat/completions", &[], &body);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.body, stream, "{}", String::from_utf8_lossy(&stream));
    }
}
