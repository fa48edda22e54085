use super::*;
use http::header::{COOKIE, HOST};
use proptest::prelude::*;

/// What is refused, and with which status.
const REFUSED: &[(&[u8], Reject)] = &[
    // Request line.
    (b"\0", Reject::RequestLine),
    (b"\x16\x03\x01\x02\x00\x01", Reject::RequestLine),
    (b"SSH-2.0-OpenSSH_9.2\r\n", Reject::RequestLine),
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET /\r\n\r\n", Reject::RequestLine),
    (b"GET HTTP/1.1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET / HTTP/1,1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET / HTTP/11\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET / \r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET\r/ HTTP/1.1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    (b"GET /\rHTTP/1.1\r\nHost: a\r\n\r\n", Reject::RequestLine),
    // Version.
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", Reject::Version),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", Reject::Version),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", Reject::Version),
    (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", Reject::Version),
    // Method.
    (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::MethodUnknown),
    (b"Get / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::MethodUnknown),
    (b"AAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::MethodUnknown),
    (b"G$T / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::MethodUnknown),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Reject::MethodRefused),
    (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", Reject::MethodRefused),
    // Line ends.
    (b"GET / HTTP/1.1\nHost: a\n\n", Reject::LineEnd),
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", Reject::LineEnd),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", Reject::LineEnd),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\nTransfer-Encoding: chunked\r\n\r\n", Reject::LineEnd),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rTransfer-Encoding: chunked\r\n\r\n", Reject::HeaderValue),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n", Reject::HeaderValue),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\r: b\r\n\r\n", Reject::HeaderName),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n", Reject::HeaderName),
    // Fields.
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", Reject::HeaderName),
    (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Reject::HeaderName),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", Reject::HeaderName),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc: d\r\n\r\n", Reject::HeaderName),
    (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", Reject::HeaderName),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", Reject::HeaderName),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", Reject::HeaderName),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX[]: b\r\n\r\n", Reject::HeaderName),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\xe4: b\r\n\r\n", Reject::HeaderName),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", Reject::HeaderValue),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x0bb\r\n\r\n", Reject::HeaderValue),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x7f\r\n\r\n", Reject::HeaderValue),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n", Reject::HeaderLookalike),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTRANSFER_ENCODING: x\r\n\r\n", Reject::HeaderLookalike),
    // Host.
    (b"GET / HTTP/1.1\r\n\r\n", Reject::HostMissing),
    (b"GET http://a/ HTTP/1.1\r\n\r\n", Reject::HostMissing),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Reject::HostRepeated),
    (b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", Reject::HostRepeated),
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: a/../admin?\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: []\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n", Reject::HostInvalid),
    (b"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", Reject::HostInvalid),
    (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Reject::TargetAuthority),
    (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Reject::TargetAuthority),
    (b"GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", Reject::TargetAuthority),
    (b"GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", Reject::TargetAuthority),
    (b"GET http://a/ HTTP/1.0\r\n\r\n", Reject::TargetAuthority),
    // Framing: CL.TE, TE.CL, TE.TE and their kin.
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n", Reject::LengthAndCoding),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", Reject::LengthAndCoding),
    (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", Reject::LengthAndCoding),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", Reject::LengthRepeated),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Reject::LengthRepeated),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", Reject::LengthInvalid),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", Reject::LengthInvalid),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", Reject::LengthInvalid),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", Reject::LengthInvalid),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\n", Reject::LengthInvalid),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\n", Reject::LengthInvalid),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\n", Reject::LengthInvalid),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", Reject::LengthInvalid),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", Reject::LengthInvalid),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Reject::CodingUnsupported),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", Reject::CodingUnsupported),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", Reject::CodingUnsupported),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", Reject::CodingUnsupported),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", Reject::CodingUnsupported),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", Reject::CodingUnsupported),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n", Reject::CodingUnsupported),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", Reject::CodingUnsupported),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", Reject::CodingUnsupported),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Reject::CodingUnsupported),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: x\r\n\r\n", Reject::CodingUnsupported),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", Reject::HeaderValue),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", Reject::HeaderName),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", Reject::HeaderName),
    (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Reject::CodingVersion),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", Reject::BodyUnexpected),
    (b"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Reject::BodyUnexpected),
    // Expect, Connection, Upgrade.
    (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", Reject::Expectation),
    (b"POST / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n", Reject::Expectation),
    (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\n\r\n", Reject::Expectation),
    (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n", Reject::Expectation),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n", Reject::ConnectionInvalid),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Content-Length\r\n\r\n", Reject::ConnectionInvalid),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n", Reject::ConnectionInvalid),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n", Reject::UpgradeInvalid),
];

#[test]
fn what_is_refused_is_refused_at_every_split() {
    for (bytes, reject) in REFUSED {
        for step in [1, 2, 7, bytes.len()] {
            assert_eq!(
                request_in_steps(bytes, step, &Limits::default()),
                ParsedRequest::Reject(*reject),
                "{:?} by {step}",
                String::from_utf8_lossy(bytes),
            );
        }
        // What follows changes nothing.
        let more = [bytes, &b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"[..]].concat();
        assert_eq!(parse_request(&more, &Limits::default()), ParsedRequest::Reject(*reject));
        assert!(!reject.to_string().is_empty());
        assert!(reject.status().is_client_error() || reject.status().is_server_error());
    }
}

#[test]
fn each_status_has_its_rules() {
    let expected = [
        (Reject::LineEnd, 400),
        (Reject::LengthAndCoding, 400),
        (Reject::CodingVersion, 400),
        (Reject::MethodRefused, 405),
        (Reject::TargetTooLong(1), 414),
        (Reject::Expectation, 417),
        (Reject::HeadTooLong(1), 431),
        (Reject::HeadersTooMany(1), 431),
        (Reject::CodingUnsupported, 501),
        (Reject::MethodUnknown, 501),
        (Reject::StatusBody, 502),
        (Reject::Version, 505),
    ];
    for (reject, status) in expected {
        assert_eq!(reject.status().as_u16(), status, "{}", reject.name());
    }
}

#[test]
fn a_usual_request() {
    let bytes = b"POST /v1/chat/completions?x=%2F HTTP/1.1\r\nHost: [::1]:8080\r\nCookie: a\r\n\
        cookie: \xff\r\nEmpty:\r\nContent-Length: 12\r\nExpect: 100-Continue\r\n\r\nbody";
    let head = request(bytes);
    assert_eq!(head.method, Method::POST);
    assert_eq!(head.target.path(), "/v1/chat/completions");
    assert_eq!(head.target.query(), Some("x=%2F"));
    assert_eq!(head.body, BodyLength::Length(12));
    assert_eq!(head.headers[HOST], "[::1]:8080");
    assert_eq!(head.headers.get_all(COOKIE).iter().count(), 2);
    assert_eq!(head.headers["empty"], "");
    assert!(head.keep_alive && head.expect_continue);
    for step in 1..bytes.len() {
        let parsed = request_in_steps(bytes, step, &Limits::default());
        assert_eq!(parsed, ParsedRequest::Head { head: head.clone(), bytes_used: bytes.len() - 4 });
    }
}

#[test]
fn an_empty_line_ahead_is_skipped_and_a_pipelined_request_is_left() {
    let one = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let two = [&one[..], b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let parsed = parse_request(&two, &Limits::default());
    assert!(matches!(parsed, ParsedRequest::Head { bytes_used, .. } if bytes_used == one.len()));
    for step in 1..one.len() {
        assert_eq!(request_in_steps(one, step, &Limits::default()), parsed, "by {step}");
    }
}

#[test]
fn pipelined_requests_stay_as_many_as_were_sent() {
    // A body that looks like a request is a body; what follows it is the next request.
    let inner = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    let sized = format!("Content-Length: {}\r\n\r\n{inner}", inner.len());
    let chunked =
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    for rest in [sized, chunked, "\r\n".to_owned(), "Content-Length: 0\r\n\r\n".to_owned()] {
        let one = format!("POST /v1 HTTP/1.1\r\nHost: a\r\n{rest}");
        let wire = one.repeat(3);
        let (mut left, mut paths) = (wire.as_bytes(), Vec::new());
        while let ParsedRequest::Head { head, bytes_used } = parse_request(left, &Limits::default())
        {
            left = &left[bytes_used..];
            let mut body = Vec::new();
            let mut reader = BodyReader::new(head.body, 1000);
            let decoded = reader.decode(left, &mut body).unwrap();
            assert!(decoded.done && (body.is_empty() || body == inner.as_bytes()));
            left = &left[decoded.bytes_used..];
            paths.push(head.target.path().to_owned());
        }
        assert_eq!(
            (left, paths.as_slice()),
            (&b""[..], &["/v1", "/v1", "/v1"].map(str::to_owned)[..])
        );
    }
}

#[test]
fn what_connection_asks_for() {
    let cases: &[(&str, bool, Option<&str>)] = &[
        ("HTTP/1.1\r\nHost: a", true, None),
        ("HTTP/1.1\r\nHost: a\r\nConnection: close", false, None),
        ("HTTP/1.1\r\nHost: a\r\nConnection: keep-alive,, CLOSE", false, None),
        ("HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close", false, None),
        ("HTTP/1.0", false, None),
        ("HTTP/1.0\r\nConnection: Keep-Alive", true, None),
        ("HTTP/1.0\r\nConnection: keep-alive, close", false, None),
        ("HTTP/1.1\r\nHost: a\r\nUpgrade: websocket", true, None),
        ("HTTP/1.1\r\nHost: a\r\nConnection: upgrade", true, None),
        (
            "HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket",
            true,
            Some("websocket"),
        ),
        ("HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket", false, None),
    ];
    for (rest, keep_alive, upgrade) in cases {
        let head = request(format!("GET / {rest}\r\n\r\n").as_bytes());
        assert_eq!(head.keep_alive, *keep_alive, "{rest}");
        assert_eq!(head.upgrade.as_ref().map(|value| value.to_str().unwrap()), *upgrade, "{rest}");
    }
}

#[test]
fn how_long_the_body_is() {
    let cases: &[(&str, BodyLength, bool)] = &[
        ("POST / HTTP/1.1\r\nHost: a", BodyLength::None, false),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0", BodyLength::Length(0), false),
        ("POST / HTTP/1.0\r\nContent-Length: 007", BodyLength::Length(7), false),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\t Chunked ", BodyLength::Chunked, false),
        ("DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 2", BodyLength::Length(2), false),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue", BodyLength::None, false),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked",
            BodyLength::Chunked,
            true,
        ),
        (
            "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3",
            BodyLength::Length(3),
            false,
        ),
        ("POST / HTTP/1.0\r\nExpect: wonders\r\nContent-Length: 3", BodyLength::Length(3), false),
    ];
    for (text, body, expect_continue) in cases {
        let head = request(format!("{text}\r\n\r\n").as_bytes());
        assert_eq!((head.body, head.expect_continue), (*body, *expect_continue), "{text}");
    }
}

#[test]
fn http2_is_told_from_http1_by_its_whole_preface() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for known in 0..preface.len() {
        assert_eq!(parse_request(&preface[..known], &Limits::default()), ParsedRequest::Partial);
    }
    let more = [&preface[..], b"\0\0\0\x04"].concat();
    assert_eq!(parse_request(preface, &Limits::default()), ParsedRequest::Http2Preface);
    assert_eq!(parse_request(&more, &Limits::default()), ParsedRequest::Http2Preface);
}

/// The outcome of `bytes`, the same at once and in pieces.
fn outcome(bytes: &[u8], limits: &Limits) -> Option<Reject> {
    let whole = parse_request(bytes, limits);
    for step in [1, 3, 1000] {
        assert_eq!(request_in_steps(bytes, step, limits), whole);
    }
    match whole {
        ParsedRequest::Head { .. } => None,
        ParsedRequest::Reject(reject) => Some(reject),
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let limits = Limits { head_bytes_max: 300, headers_max: 4, target_bytes_max: 100 };
    for (length, reject) in [(99, None), (100, None), (101, Some(Reject::TargetTooLong(100)))] {
        let bytes = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 1));
        assert_eq!(outcome(bytes.as_bytes(), &limits), reject, "target {length}");
    }
    for (count, reject) in [(3, None), (4, None), (5, Some(Reject::HeadersTooMany(4)))] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
        assert_eq!(outcome(bytes.as_bytes(), &limits), reject, "fields {count}");
    }
    let frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    for (length, reject) in [(299, None), (300, None), (301, Some(Reject::HeadTooLong(300)))] {
        let value = "v".repeat(length - frame);
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n");
        assert_eq!(bytes.len(), length);
        assert_eq!(outcome(bytes.as_bytes(), &limits), reject, "head {length}");
    }
    for (length, reject) in [(19, None), (20, None), (21, Some(Reject::MethodUnknown))] {
        let bytes = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(length));
        assert_eq!(outcome(bytes.as_bytes(), &limits), reject, "method {length}");
    }
    // A line without end is given up before the head is.
    let endless = format!("GET /{}", "x".repeat(200));
    assert_eq!(outcome(endless.as_bytes(), &limits), Some(Reject::TargetTooLong(100)));
    // The defaults, at their edges.
    let limits = Limits::default();
    for (count, reject) in [(128, None), (129, Some(Reject::HeadersTooMany(128)))] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
        assert_eq!(outcome(bytes.as_bytes(), &limits), reject);
    }
    for (length, reject) in [(16384, None), (16385, Some(Reject::TargetTooLong(16384)))] {
        let bytes = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 1));
        let parsed = parse_request(bytes.as_bytes(), &limits);
        match reject {
            None => assert!(matches!(parsed, ParsedRequest::Head { .. })),
            Some(reject) => assert_eq!(parsed, ParsedRequest::Reject(reject)),
        }
    }
    let long = [&b"GET / HTTP/1.1\r\nHost: a\r\nX: "[..], &vec![b'v'; 500_000]].concat();
    assert_eq!(parse_request(&long, &limits), ParsedRequest::Reject(Reject::HeadTooLong(64 << 10)));
}

/// Bytes that look like a request, with one place spoilt.
fn nearly_a_request() -> impl Strategy<Value = Vec<u8>> {
    let base = b"POST http://a/b%41;c/?q HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\
        Connection: close\r\nX: y\r\n\r\nabc";
    (0..base.len(), 0usize..3, any::<Vec<u8>>()).prop_map(|(at, gone, new)| {
        let mut bytes = base.to_vec();
        let end = (at + gone).min(bytes.len());
        bytes.splice(at..end, new.into_iter().take(3));
        bytes
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_request(&bytes, &Limits::default());
        let _ = parse_response(&bytes, &Limits::default(), &Method::GET);
    }

    #[test]
    fn a_spoilt_request_means_one_thing_at_every_split(
        bytes in nearly_a_request(),
        step in 1usize..20,
        head_bytes_max in 1usize..120,
        target_bytes_max in 1usize..40,
    ) {
        let limits = Limits { head_bytes_max, target_bytes_max, ..Limits::default() };
        let whole = parse_request(&bytes, &limits);
        prop_assert_eq!(request_in_steps(&bytes, step, &limits), whole);
        let whole = parse_request(&bytes, &Limits::default());
        prop_assert_eq!(request_in_steps(&bytes, step, &Limits::default()), whole.clone());
        if let ParsedRequest::Head { head, bytes_used } = whole {
            prop_assert!(bytes_used <= bytes.len());
            prop_assert!(head.target.path().starts_with('/'));
            prop_assert!(head.version == Version::Http10 || head.headers.contains_key(HOST));
        }
    }
}
