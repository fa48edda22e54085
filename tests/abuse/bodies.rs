//! Cases 13 and 14: hostile JSON, and bodies that grow.

use crate::support::{CASES, Client, Gateway, MockServer, Upstream, get_json, post, routes_to};
use std::io::Write;

/// Bytes of memory that an abuse may cost the gateway for a while.
const MEMORY_MAX: u64 = 300 << 20;

#[test]
fn d3_13_hostile_json_is_refused_in_its_dialect() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = (0..1_000_000).map(|at| format!("\"k{at}\":1,")).collect::<Vec<_>>().concat();
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("not JSON", b"hello".to_vec()),
        ("empty", Vec::new()),
        ("a list", b"[]".to_vec()),
        ("NaN", b"{\"model\":\"m\",\"x\":NaN}".to_vec()),
        ("two values", b"{} {}".to_vec()),
        ("not UTF-8", b"{\"model\":\"\xff\"}".to_vec()),
        ("cut", b"{\"model\":\"m\",\"messages\":[".to_vec()),
        ("deep", deep.into_bytes()),
    ];
    for case in &CASES {
        for (name, body) in &bad {
            let mut client = Client::connect(gateway.data);
            client.request("POST", &case.target("m", false), &[], body);
            let answer = client.answer();
            assert_eq!(answer.status(), 400, "{name} in {:?}", case.dialect);
            assert!(answer.json()["error"]["message"].is_string(), "{name}");
            assert!(answer.head.field("x-firedoor-exchange").is_some(), "{name}");
        }
    }
    // The same key wins here and behind us, because it may stand only once.
    for (target, body) in [
        ("/v1/chat/completions", r#"{"model":"a","model":"b","messages":[]}"#),
        ("/v1/chat/completions", r#"{"model":"a","messages":[],"stream":false,"stream":true}"#),
        ("/v1/responses", r#"{"model":"a","mod\u0065l":"b","input":"x"}"#),
        ("/v1/messages", r#"{"model":"a","messages":[],"messages":[]}"#),
        ("/v1beta/models/m:generateContent", r#"{"contents":[],"contents":[]}"#),
    ] {
        let answer = post(gateway.data, target, &[], body);
        assert_eq!(answer.status(), 400, "{body}");
        assert!(answer.text().contains("twice"), "{}", answer.text());
    }
    assert_eq!(get_json(mock.address, "/stats")["requests"], 0);
    // Odd, and allowed: lone surrogates, long numbers, many keys, long strings.
    let text = |inner: String| format!("{{\"model\":\"gpt-4o\",\"messages\":[],{inner}}}");
    for body in [
        text("\"x\":\"\\ud800\"".to_owned()),
        text(format!("\"x\":1{}", "0".repeat(5_000_000))),
        text(format!("{wide}\"z\":1")),
        text(format!("\"x\":\"{}\"", "v".repeat(16 << 20))),
    ] {
        assert_eq!(post(gateway.data, "/v1/chat/completions", &[], &body).status(), 200);
    }
    assert!(gateway.process.memory_bytes() < MEMORY_MAX);
}

/// What is too large is refused before it is read to its end; what is allowed goes through.
#[test]
fn d3_13_huge_numbers_and_strings_are_bounded() {
    let mock = MockServer::start();
    let routes = routes_to(&mock.url(), "");
    let gateway = Gateway::start(&routes);
    let idle = gateway.process.memory_bytes();
    let grown = |gateway: &Gateway| gateway.process.peak_memory_bytes().saturating_sub(idle);
    let number = format!("{{\"model\":\"m\",\"messages\":[],\"x\":1{}}}", "0".repeat(100 << 20));
    let string = format!("{{\"model\":\"m\",\"messages\":[],\"x\":\"{}\"}}", "v".repeat(64 << 20));
    for body in [&number, &string] {
        let mut client = Client::connect(gateway.data);
        let length = body.len();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n\r\n"
        );
        client.send(head.as_bytes());
        // It may be refused before it has come.
        let _ = client.try_send(body.as_bytes());
        let answer = client.answer();
        assert_eq!(answer.status(), 413, "{}", answer.text());
        assert_eq!(answer.json()["error"]["code"], "firedoor_too_large", "in its dialect");
    }
    assert_eq!(get_json(mock.address, "/stats")["requests"], 0);
    // 4 MiB, whichever is refused; to read the smaller one would take 64.
    assert!(grown(&gateway) < 16 << 20, "{} bytes", grown(&gateway));
    drop(gateway);
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let routes = routes_to(&Upstream::fixed(answer).url(), "capture = \"off\"");
    let gateway = Gateway::start(&format!("[server]\nbody_bytes_max = 134217728\n\n{routes}"));
    for body in [&number, &string] {
        let answer = post(gateway.data, "/v1/chat/completions", &[], body);
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    // 2.3 times the larger one: itself, and the buffers that it outgrew on its way in, which double.
    // They have room for a copy; two at once, of what is parsed and what is sent, make it more than
    // three times.
    let most = number.len() as u64 / 10 * 26;
    assert!(grown(&gateway) < most, "{} bytes", grown(&gateway));
}

/// `length` zeros, coded.
fn coded(coding: &str, length: usize) -> Vec<u8> {
    let block = vec![b' '; 1 << 20];
    let blocks = length >> 20;
    match coding {
        "gzip" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            (0..blocks).for_each(|_| out.write_all(&block).unwrap());
            out.finish().unwrap()
        }
        "deflate" => {
            let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            (0..blocks).for_each(|_| out.write_all(&block).unwrap());
            out.finish().unwrap()
        }
        "br" => {
            let mut out = brotli::CompressorWriter::new(Vec::new(), 1 << 16, 5, 20);
            (0..blocks).for_each(|_| out.write_all(&block).unwrap());
            out.into_inner()
        }
        _ => {
            let mut out = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
            (0..blocks).for_each(|_| out.write_all(&block).unwrap());
            out.finish().unwrap()
        }
    }
}

const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

#[test]
fn d3_14_bodies_that_grow_are_refused() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    for coding in CODINGS {
        let bomb = coded(coding, 72 << 20);
        let mut client = Client::connect(gateway.data);
        client.request("POST", "/v1/chat/completions", &[("content-encoding", coding)], &bomb);
        assert_eq!(client.answer().status(), 413, "{coding}");
    }
    // A frame that asks for a window of 2 GiB (RFC 8878, section 3.1.1.1.2).
    let wide = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xA8, 0x11, 0x00, 0x00, b'{', b'}'];
    let mut client = Client::connect(gateway.data);
    client.request("POST", "/v1/chat/completions", &[("content-encoding", "zstd")], &wide);
    let answer = client.answer();
    assert!([400, 413].contains(&answer.status()), "{}: {}", answer.status(), answer.text());
    assert!(answer.text().contains("window"), "{}", answer.text());
    for coding in ["x-unknown", "gzip, gzip"] {
        let mut client = Client::connect(gateway.data);
        client.request("POST", "/v1/chat/completions", &[("content-encoding", coding)], b"{}");
        assert_eq!(client.answer().status(), 400, "{coding}");
    }
    assert_eq!(get_json(mock.address, "/stats")["requests"], 0);
    assert!(gateway.process.peak_memory_bytes() < MEMORY_MAX);
}

#[test]
fn d3_14_answers_that_grow_are_refused_and_others_pass_as_they_came() {
    for coding in CODINGS {
        let bomb = coded(coding, 72 << 20);
        let upstream = Upstream::start(move |_, socket| {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n",
                bomb.len()
            );
            let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&bomb));
        });
        let gateway = Gateway::start(&routes_to(&upstream.url(), ""));
        let body = CASES[0].body("m", "hi", false);
        let answer = post(gateway.data, "/v1/chat/completions", &[], &body);
        assert_eq!(answer.status(), 502, "{coding}");
        assert!(gateway.process.peak_memory_bytes() < MEMORY_MAX, "{coding}");
    }
    let whole = br#"{"id":"a","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(whole).unwrap();
    let coded = out.finish().unwrap();
    let sent = coded.clone();
    let upstream = Upstream::start(move |_, socket| {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            sent.len()
        );
        let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&sent));
    });
    let gateway = Gateway::start(&routes_to(&upstream.url(), ""));
    let body = CASES[0].body("m", "hi", false);
    let answer = post(gateway.data, "/v1/chat/completions", &[("accept-encoding", "gzip")], &body);
    assert_eq!(answer.body, coded, "the client gets the provider's own bytes");
    let id = answer.head.field("x-firedoor-exchange").unwrap().to_owned();
    assert_eq!(gateway.exchange(&id)["usage"]["output"], 4, "and what they say was read");
}
