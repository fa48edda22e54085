//! Models of what only passes through: a kill of a model reaches them wherever and however the
//! request names them, and where it cannot be told the request does not pass.

use super::hand::{assert_refused, kill, lift, wait_open};
use super::provider::Provider;
use crate::support::{Answer, Client, Gateway, Upstream, routes_to};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

const EMBEDDINGS: &str = "/oai/v1/embeddings";
const SOUND: &str = "/oai/v1/audio/transcriptions";
const FORM: &str = "content-type: multipart/form-data; boundary=b\r\n";

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parts {
        write!(body, "--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n").unwrap();
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b--\r\n");
    body
}

fn send(gateway: &Gateway, path: &str, fields: &str, body: &[u8], is_chunked: bool) -> Answer {
    let mut client = Client::connect(gateway.data);
    let framing = if is_chunked {
        "transfer-encoding: chunked".to_owned()
    } else {
        format!("content-length: {}", body.len())
    };
    client.send(format!("POST {path} HTTP/1.1\r\nhost: t\r\n{framing}\r\n{fields}\r\n").as_bytes());
    // Who is refused early reads no more.
    for piece in body.chunks(64 << 10) {
        let sent = if is_chunked {
            let head = format!("{:x}\r\n", piece.len());
            client.try_send(&[head.as_bytes(), piece, b"\r\n"].concat())
        } else {
            client.try_send(piece)
        };
        if sent.is_err() {
            break;
        }
    }
    if is_chunked {
        let _ = client.try_send(b"0\r\n\r\n");
    }
    client.answer()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    coder.write_all(plain).unwrap();
    coder.finish().unwrap()
}

#[test]
fn a_kill_of_a_model_reaches_it_in_forms_and_compressed_bodies() {
    let provider = Provider::start();
    let gateway = Gateway::start(&routes_to(&provider.url(), ""));
    let large = vec![b'x'; 3 << 20];
    let sound_first = form(&[("file", &large), ("model", b"e")]);
    let sound_last = form(&[("model", b"e"), ("file", &large)]);
    let json = br#"{"input":"x","model":"e"}"#;
    let utf16: Vec<u8> = std::iter::once(0xfeff)
        .chain(std::str::from_utf8(json).unwrap().encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let utf16_later: Vec<u8> =
        std::str::from_utf8(json).unwrap().chars().flat_map(|letter| [0, letter as u8]).collect();
    let utf16_later = [&b"\0 "[..], &utf16_later].concat();
    let late = [&b" ".repeat(2 << 20)[..], json].concat();
    let lines = br#"{"model":"e","n":1}
{"n":2}
"#;
    let cases: [(&str, &str, &[u8]); 15] = [
        (SOUND, FORM, &form(&[("model", b"e"), ("file", b"x")])),
        (SOUND, FORM, &sound_first),
        (SOUND, FORM, &sound_last),
        (EMBEDDINGS, "content-type: application/json\r\ncontent-encoding: gzip\r\n", &gzip(json)),
        (EMBEDDINGS, "content-encoding: gzip\r\n", &gzip(json)),
        (EMBEDDINGS, "content-type: application/octet-stream\r\n", &late),
        (EMBEDDINGS, "", &late),
        (EMBEDDINGS, "content-type: application/vnd.api+json\r\n", json),
        (EMBEDDINGS, "content-type: Application/JSON\r\n", json),
        (EMBEDDINGS, "content-type: application/octet-stream\r\n", lines),
        (EMBEDDINGS, "content-type: application/json; x=\u{e9}\r\n", json),
        (SOUND, "content-type: application/x-www-form-urlencoded\r\n", b"a=b&mod%65l=e"),
        ("/oai/v1/realtime/sessions?mod%65l=e", "", b""),
        ("/oai/v1/engines/e/embeddings", "", b"{}"),
        ("/oai/v1beta/tunedModels/e:embedContent", "", b"{}"),
    ];
    let ambiguous: [(&str, &str, &[u8]); 17] = [
        (EMBEDDINGS, "content-type: application/octet-stream\r\n", &utf16),
        (EMBEDDINGS, "content-type: application/json\r\n", &utf16),
        (EMBEDDINGS, "content-type: application/json\r\n", br#"{"model":"a","model":"e"}"#),
        (EMBEDDINGS, "content-type: application/json\r\ncontent-encoding: x\r\n", json),
        (SOUND, FORM, &form(&[("model", b"a"), ("model", b"e")])),
        (EMBEDDINGS, "content-type: application/json\r\n", &utf16_later),
        (EMBEDDINGS, "content-type: application/json\r\n", br#"{"Model":"e"}"#),
        (EMBEDDINGS, "content-type: application/json\r\n", br#"{"model":"e","x":NaN}"#),
        (
            SOUND,
            FORM,
            b"--b\r\ncontent-disposition: form-data; name=x; name=model\r\n\r\ne\r\n--b--",
        ),
        (SOUND, FORM, b"--b\r\ncontent-disposition: form-data; name=model\r\n\r\ne\r\n"),
        (SOUND, "content-type: multipart/form-data; x; boundary=b\r\n", &form(&[("model", b"e")])),
        (SOUND, "content-type: multipart/mixed; boundary=b\r\n", &form(&[("model", b"e")])),
        (
            SOUND,
            "content-type: text/plain\r\ncontent-type: multipart/form-data; boundary=b\r\n",
            &form(&[("model", b"e")]),
        ),
        (EMBEDDINGS, "content-encoding: identity\r\ncontent-encoding: gzip\r\n", &gzip(json)),
        ("/oai/v1/embeddings?model=a", "content-type: application/json\r\n", json),
        ("/oai/v1/embeddings?model=a&model=e", "", b""),
        ("/oai/v1/models/a:embedContent?model=e", "", b"{}"),
    ];
    for is_chunked in [false, true] {
        for (path, fields, body) in cases.iter().chain(&ambiguous) {
            let answer = send(&gateway, path, fields, body, is_chunked);
            assert_eq!(answer.status(), 200, "no lever: {path} {fields} {}", answer.text());
        }
        let lever = kill(&gateway, "model:e");
        let before = provider.requests();
        for (path, fields, body) in &cases {
            let answer = send(&gateway, path, fields, body, is_chunked);
            assert_eq!(answer.status(), 400, "{path} {fields} {}", answer.text());
            assert_refused(&gateway, None, &answer, &lever);
            assert_eq!(answer.head.field("x-firedoor-target"), Some("oai"));
            assert_eq!(answer.head.field("x-firedoor-route"), Some("/oai/"));
        }
        for (path, fields, body) in &ambiguous {
            let answer = send(&gateway, path, fields, body, is_chunked);
            assert_eq!(answer.status(), 400, "{path} {fields} {}", answer.text());
        }
        assert_eq!(provider.requests(), before);
        // Other models and other things pass as before, and as they were.
        let other = form(&[("file", &large), ("model", b"f")]);
        for (path, fields, body) in [
            (SOUND, FORM, &other[..]),
            (EMBEDDINGS, "content-type: application/json\r\n", br#"{"model":"f"}"#),
            (EMBEDDINGS, "content-type: application/octet-stream\r\n", &large),
            (EMBEDDINGS, "content-type: application/octet-stream\r\n", b"{\"n\":1}\n{\"n\":2}\n"),
            (EMBEDDINGS, "content-type: text/csv\r\n", b"\xef\xbb\xbfa,b\r\n"),
            (EMBEDDINGS, "content-type: application/json\r\n", br#"{"model":null}"#),
            ("/oai/v1/models/f:embedContent", "", br#"{"model":"models/f"}"#),
        ] {
            let answer = send(&gateway, path, fields, body, is_chunked);
            assert_eq!(answer.status(), 200, "{path} {fields} {}", answer.text());
        }
        lift(&gateway, &lever);
    }
}

/// A compressed body may come in any pieces, and a path may stand below the provider's own.
#[test]
fn a_kill_of_a_model_reaches_it_late_and_below_a_base() {
    let provider = Provider::start();
    let routes = routes_to(&provider.url(), "").replace(
        &format!("{}\"\n\n[[routes]]\nname = \"gem", provider.url()),
        &format!("{}/v1beta\"\n\n[[routes]]\nname = \"gem", provider.url()),
    );
    assert!(routes.contains("/v1beta"));
    let gateway = Gateway::start(&routes);
    let lever = kill(&gateway, "model:e");
    let mut client = Client::connect(gateway.data);
    let body = gzip(br#"{"model":"e"}"#);
    client.send(
        format!(
            "POST {EMBEDDINGS} HTTP/1.1\r\nhost: t\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .as_bytes(),
    );
    wait_open(&gateway, 1);
    for byte in &body {
        client.send(&[*byte]);
    }
    assert_refused(&gateway, None, &client.answer(), &lever);
    let answer = send(&gateway, "/gem/models/e:embedContent", "", b"{}", false);
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert_eq!(provider.requests(), 0);
}

/// Who offers another protocol than a websocket goes on without it: nothing is tunnelled unseen.
#[test]
fn other_protocols_are_not_switched_to() {
    let (provider, kept) = keeper();
    let gateway = Gateway::start(&routes_to(&provider.url(), ""));
    let offer = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\
                 content-type: application/json\r\n";
    for path in [EMBEDDINGS, "/oai/v1/chat/completions"] {
        let body = br#"{"model":"m","messages":[]}"#;
        let answer = send(&gateway, path, offer, body, false);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(*kept.lock().unwrap(), body);
    }
}

/// A client whose upload stalls is no fault of the provider, whose circuit stays closed.
#[test]
fn uploads_that_stall_are_their_clients_fault() {
    let provider = Provider::start();
    let server = "[server]\nclient_idle_timeout_ms = 200\n\n";
    let gateway = Gateway::start(&(server.to_owned() + &routes_to(&provider.url(), "")));
    for _ in 0..6 {
        let mut client = Client::connect(gateway.data);
        client.send(
            format!(
                "POST {SOUND} HTTP/1.1\r\nhost: t\r\ncontent-type: audio/wav\r\ncontent-length: 3000000\r\n\r\nxx"
            )
            .as_bytes(),
        );
        let answer = client.answer();
        assert_eq!(answer.status(), 400, "{}", answer.text());
    }
    let answer = send(&gateway, EMBEDDINGS, "content-type: application/json\r\n", b"{}", false);
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

/// What is too large to be read for its model is refused, however its length is told.
#[test]
fn what_is_too_large_to_be_read_names_no_model_in_secret() {
    let provider = Provider::start();
    let server = "[server]\nbody_bytes_max = 2097152\n\n";
    let gateway = Gateway::start(&(server.to_owned() + &routes_to(&provider.url(), "")));
    let large = "x".repeat(3 << 20);
    let json = format!(r#"{{"input":"{large}","model":"e"}}"#);
    let form = form(&[("file", large.as_bytes()), ("model", b"e")]);
    let lines = "{\"n\":1}\n".repeat(300_000);
    for is_chunked in [false, true] {
        let json_type = "content-type: application/json\r\n";
        let answer = send(&gateway, EMBEDDINGS, json_type, json.as_bytes(), is_chunked);
        assert_eq!(answer.status(), 413, "{}", answer.text());
        let answer = send(&gateway, SOUND, FORM, &form, is_chunked);
        assert_eq!(answer.status(), 200, "a form is not held: {}", answer.text());
        let answer = send(&gateway, SOUND, "", lines.as_bytes(), is_chunked);
        assert_eq!(answer.status(), 200, "nor is what says nothing: {}", answer.text());
        let lever = kill(&gateway, "model:e");
        let answer = send(&gateway, SOUND, FORM, &form, is_chunked);
        assert_eq!(answer.status(), 413, "{}", answer.text());
        lift(&gateway, &lever);
    }
}

/// A provider that keeps the body of the last request.
fn keeper() -> (Upstream, Arc<Mutex<Vec<u8>>>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let last = Arc::clone(&kept);
    let upstream = Upstream::start(move |request, stream| {
        let at = request.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let (head, body) = request.split_at(at);
        let mut body = body.to_vec();
        if String::from_utf8_lossy(head).to_ascii_lowercase().contains("chunked") {
            body = unchunked(body, stream);
        }
        *last.lock().unwrap() = body;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    });
    (upstream, kept)
}

fn unchunked(mut raw: Vec<u8>, stream: &mut TcpStream) -> Vec<u8> {
    let mut space = vec![0; 64 << 10];
    while !raw.ends_with(b"\r\n0\r\n\r\n") {
        let count = stream.read(&mut space).unwrap();
        assert!(count > 0, "the body broke off");
        raw.extend_from_slice(&space[..count]);
    }
    let (mut rest, mut body) = (&raw[..], Vec::new());
    loop {
        let end = rest.windows(2).position(|bytes| bytes == b"\r\n").unwrap();
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
}

/// A route's own name for a model is put into a form as well, in one that streams too.
#[test]
fn a_form_gets_the_name_that_the_target_serves() {
    let (provider, kept) = keeper();
    let alias = "[[routes]]\nname = \"alias\"\nmatch = { model = \"ears\", provider = \"oai\" }\n\
                 targets = [{ provider = \"oai\", model = \"served-by-whisper\" }]\n\n";
    let gateway = Gateway::start(&(routes_to(&provider.url(), "") + alias));
    for bytes in [8, 3 << 20] {
        let sound = vec![b'x'; bytes];
        let body = form(&[("model", b"ears"), ("file", &sound)]);
        let served = form(&[("model", b"served-by-whisper"), ("file", &sound)]);
        for is_chunked in [false, true] {
            let answer = send(&gateway, SOUND, FORM, &body, is_chunked);
            assert_eq!(answer.status(), 200, "{}", answer.text());
            assert_eq!(answer.head.field("x-firedoor-route"), Some("alias"));
            let got = kept.lock().unwrap().clone();
            assert!(got == served, "{} bytes of {}", got.len(), served.len());
        }
    }
}
