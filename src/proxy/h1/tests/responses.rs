use super::*;
use http::StatusCode;
use proptest::prelude::*;

const REFUSED: &[(&[u8], Reject)] = &[
    (b"HTTP/2 200 OK\r\n\r\n", Reject::StatusLine),
    (b"HTTP/1.2 200 OK\r\n\r\n", Reject::StatusLine),
    (b"ICY 200 OK\r\n\r\n", Reject::StatusLine),
    (b"<html>", Reject::StatusLine),
    (b"\r\nHTTP/1.1 200 OK\r\n\r\n", Reject::StatusLine),
    (b"HTTP/1.1  200 OK\r\n\r\n", Reject::StatusLine),
    (b"HTTP/1.1 20 OK\r\n\r\n", Reject::StatusLine),
    (b"HTTP/1.1 2000 OK\r\n\r\n", Reject::StatusLine),
    (b"HTTP/1.1 +20 OK\r\n\r\n", Reject::StatusLine),
    (b"HTTP/1.1 099 OK\r\n\r\n", Reject::StatusLine),
    (b"HTTP/1.1 600 OK\r\n\r\n", Reject::StatusLine),
    (b"HTTP/1.1 200\tOK\r\n\r\n", Reject::StatusLine),
    (b"HTTP/1.1 200 O\0K\r\n\r\n", Reject::StatusLine),
    (b"HTTP/1.1 200 O\rK\r\n\r\n", Reject::StatusLine),
    (b"HTTP/1.1\r\n\r\n", Reject::StatusLine),
    (b"HTTP/1.1 200 OK\n\n", Reject::LineEnd),
    (b"HTTP/1.1 200 OK\r\nX: y\n\r\n", Reject::LineEnd),
    (b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", Reject::HeaderName),
    (b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", Reject::HeaderName),
    (b"HTTP/1.1 200 OK\r\nX: y\0\r\n\r\n", Reject::HeaderValue),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", Reject::LengthRepeated),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Reject::LengthRepeated),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", Reject::LengthInvalid),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: -1\r\n\r\n", Reject::LengthInvalid),
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        Reject::LengthAndCoding,
    ),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Reject::CodingUnsupported),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", Reject::CodingUnsupported),
    (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Reject::CodingVersion),
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", Reject::StatusBody),
    (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", Reject::StatusBody),
    (b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", Reject::StatusBody),
    (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n\r\n", Reject::UpgradeInvalid),
    (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", Reject::UpgradeInvalid),
];

#[test]
fn what_is_refused_is_refused_at_every_split() {
    for (bytes, reject) in REFUSED {
        let first = (0..=bytes.len())
            .map(|known| parse_response(&bytes[..known], &Limits::default(), &Method::POST))
            .find(|parsed| *parsed != ParsedResponse::Partial);
        let expected = ParsedResponse::Reject(*reject);
        assert_eq!(first, Some(expected.clone()), "{}", String::from_utf8_lossy(bytes));
        assert_eq!(parse_response(bytes, &Limits::default(), &Method::POST), expected);
    }
}

#[test]
fn how_long_the_body_is_and_what_becomes_of_the_connection() {
    const NONE: ResponseLength = ResponseLength::Framed(BodyLength::None);
    const CHUNKED: ResponseLength = ResponseLength::Framed(BodyLength::Chunked);
    let length = |bytes| ResponseLength::Framed(BodyLength::Length(bytes));
    let (get, head) = (Method::GET, Method::HEAD);
    let cases: &[(&Method, &str, ResponseLength, bool)] = &[
        (&get, "HTTP/1.1 200 OK\r\nContent-Length: 5", length(5), true),
        (&get, "HTTP/1.1 200\r\nContent-Length: 5", length(5), true),
        (&get, "HTTP/1.1 200 \r\nContent-Length: 5", length(5), true),
        (&get, "HTTP/1.1 599 \u{e9}\r\nTransfer-Encoding: chunked", CHUNKED, true),
        (
            &get,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close",
            CHUNKED,
            false,
        ),
        (&get, "HTTP/1.1 200 OK", ResponseLength::UntilClose, false),
        (&get, "HTTP/1.0 200 OK\r\nConnection: keep-alive", ResponseLength::UntilClose, false),
        (&get, "HTTP/1.0 200 OK\r\nContent-Length: 5", length(5), false),
        (&get, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive", length(5), true),
        (&get, "HTTP/1.1 204 No Content", NONE, true),
        (&get, "HTTP/1.1 204 No Content\r\nContent-Length: 0", NONE, true),
        (&get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5", NONE, true),
        (&get, "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked", NONE, true),
        (&head, "HTTP/1.1 200 OK\r\nContent-Length: 5", NONE, true),
        (&head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", NONE, true),
        (&head, "HTTP/1.1 200 OK", NONE, true),
    ];
    for (method, text, body, keep_alive) in cases {
        let head = response(format!("{text}\r\n\r\n").as_bytes(), method);
        assert_eq!((head.body, head.keep_alive), (*body, *keep_alive), "{text}");
        assert_eq!(head.upgrade, None);
    }
}

#[test]
fn interim_responses_are_told_apart() {
    let bytes = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    let ParsedResponse::Interim { status, bytes_used } =
        parse_response(bytes, &Limits::default(), &Method::POST)
    else {
        panic!()
    };
    assert_eq!((status, bytes_used), (StatusCode::EARLY_HINTS, bytes.len() - 19));
    let head = response(&bytes[bytes_used..], &Method::POST);
    assert_eq!(head.status, StatusCode::OK);
    let switch = b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81";
    let head = response(switch, &Method::GET);
    assert_eq!(head.upgrade.unwrap(), "websocket");
    assert_eq!(head.body, ResponseLength::Framed(BodyLength::None));
}

#[test]
fn limits_hold_to_the_byte() {
    let limits = Limits { head_bytes_max: 100, headers_max: 3, ..Limits::default() };
    let frame = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
    for (length, reject) in [(99, None), (100, None), (101, Some(Reject::HeadTooLong(100)))] {
        let bytes = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "v".repeat(length - frame));
        check(&bytes, &limits, reject);
    }
    for (count, reject) in [(2, None), (3, None), (4, Some(Reject::HeadersTooMany(3)))] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(count));
        check(&bytes, &limits, reject);
    }
    let storm = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'v'; 1 << 20]].concat();
    let parsed = parse_response(&storm, &Limits::default(), &Method::POST);
    assert_eq!(parsed, ParsedResponse::Reject(Reject::HeadTooLong(64 << 10)));
}

fn check(bytes: &str, limits: &Limits, reject: Option<Reject>) {
    let parsed = parse_response(bytes.as_bytes(), limits, &Method::POST);
    match reject {
        None => assert!(matches!(parsed, ParsedResponse::Head { .. })),
        Some(reject) => assert_eq!(parsed, ParsedResponse::Reject(reject)),
    }
}

proptest! {
    #[test]
    fn a_spoilt_response_means_one_thing_at_every_split(
        at in 0usize..70,
        new in proptest::collection::vec(any::<u8>(), 0..3),
        step in 1usize..20,
    ) {
        let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\nX: y\r\n\r\nabc".to_vec();
        let at = at.min(bytes.len());
        let end = (at + new.len()).min(bytes.len());
        bytes.splice(at..end, new);
        let whole = parse_response(&bytes, &Limits::default(), &Method::POST);
        let mut known = 0;
        let parsed = loop {
            let parsed = parse_response(&bytes[..known], &Limits::default(), &Method::POST);
            if parsed != ParsedResponse::Partial || known == bytes.len() {
                break parsed;
            }
            known = bytes.len().min(known + step);
        };
        prop_assert_eq!(parsed, whole);
    }
}
