use super::*;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;

const LENGTH: BodyLength = BodyLength::Length(12);

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let mut headers = HeaderMap::new();
    for (name, value) in fields.iter().map(field) {
        headers.append(name, value);
    }
    headers
}

fn written_request(method: &Method, body: BodyLength, headers: &HeaderMap) -> String {
    let (target, host) = (PathAndQuery::from_static("/v1?q"), HeaderValue::from_static("up"));
    let connection = Connection::KeepAlive;
    let start = RequestStart { method, target: &target, host: &host, body, connection };
    let mut out = Vec::new();
    write_request_head(&mut out, &start, headers);
    String::from_utf8(out).unwrap()
}

fn written_response(start: &ResponseStart<'_>, headers: &HeaderMap) -> String {
    let mut out = Vec::new();
    write_response_head(&mut out, start, headers);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_request_never_carries_the_clients_framing() {
    let headers = map(&[
        ("host", "client"),
        ("content-length", "999"),
        ("transfer-encoding", "chunked"),
        ("connection", "x-secret"),
        ("keep-alive", "1"),
        ("proxy-connection", "1"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("upgrade", "h2c"),
        ("http2-settings", "x"),
        ("proxy-authorization", "x"),
        ("proxy-authenticate", "x"),
        ("expect", "100-continue"),
        ("accept", "a"),
        ("accept", "b"),
    ]);
    assert_eq!(
        written_request(&Method::POST, LENGTH, &headers),
        "POST /v1?q HTTP/1.1\r\nhost: up\r\naccept: a\r\naccept: b\r\ncontent-length: 12\r\n\r\n"
    );
    let cases = [
        (Method::POST, BodyLength::Chunked, "transfer-encoding: chunked\r\n"),
        (Method::PUT, BodyLength::None, "content-length: 0\r\n"),
        (Method::POST, BodyLength::Length(u64::MAX), "content-length: 18446744073709551615\r\n"),
        (Method::GET, BodyLength::None, ""),
        (Method::DELETE, BodyLength::None, ""),
    ];
    for (method, body, field) in cases {
        let expected = format!("{method} /v1?q HTTP/1.1\r\nhost: up\r\n{field}\r\n");
        assert_eq!(written_request(&method, body, &HeaderMap::new()), expected);
    }
}

#[test]
fn hop_by_hop_fields_go_with_those_that_connection_names() {
    let mut headers = map(&[
        ("connection", "close, X-One"),
        ("connection", " x-two ,,not a name"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-three", "3"),
        ("te", "x"),
    ]);
    strip_hop_by_hop(&mut headers);
    assert_eq!(headers, map(&[("x-three", "3")]));
}

#[test]
fn a_response_says_how_it_ends() {
    let (new, old) = (Version::Http11, Version::Http10);
    let framed = ResponseLength::Framed;
    let protocol = HeaderValue::from_static("websocket");
    let upgrade = Connection::Upgrade(&protocol);
    let (keep, close) = (Connection::KeepAlive, Connection::Close);
    let cases = [
        (new, 200, framed(LENGTH), keep, "200 OK\r\ncontent-length: 12\r\n"),
        (
            old,
            200,
            framed(LENGTH),
            keep,
            "200 OK\r\ncontent-length: 12\r\nconnection: keep-alive\r\n",
        ),
        (
            new,
            200,
            ResponseLength::streamed(new),
            close,
            "200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n",
        ),
        (old, 200, ResponseLength::streamed(old), keep, "200 OK\r\nconnection: close\r\n"),
        (new, 204, framed(LENGTH), keep, "204 No Content\r\n"),
        (new, 299, framed(BodyLength::None), keep, "299 \r\n"),
        (
            new,
            101,
            framed(BodyLength::None),
            upgrade,
            "101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
        ),
    ];
    for (version, status, body, connection, text) in cases {
        let status = StatusCode::from_u16(status).unwrap();
        let start = ResponseStart { version, status, body, connection, date: None };
        let headers =
            map(&[("content-length", "1"), ("transfer-encoding", "x"), ("connection", "x")]);
        assert_eq!(written_response(&start, &headers), format!("HTTP/1.1 {text}\r\n"));
    }
}

#[test]
fn the_origins_date_is_kept_and_a_missing_one_added() {
    let date = HeaderValue::from_static("Mon, 23 Nov 2026 10:00:00 GMT");
    let start = ResponseStart {
        version: Version::Http11,
        status: StatusCode::OK,
        body: ResponseLength::Framed(BodyLength::Length(0)),
        connection: Connection::KeepAlive,
        date: Some(&date),
    };
    let ours =
        "HTTP/1.1 200 OK\r\ndate: Mon, 23 Nov 2026 10:00:00 GMT\r\ncontent-length: 0\r\n\r\n";
    let theirs = "HTTP/1.1 200 OK\r\ndate: then\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(written_response(&start, &HeaderMap::new()), ours);
    assert_eq!(written_response(&start, &map(&[("date", "then")])), theirs);
}

#[test]
fn a_refusal_is_a_whole_answer_that_closes() {
    let date = HeaderValue::from_static("now");
    for reject in [Reject::LineEnd, Reject::MethodRefused, Reject::HeadTooLong(5)] {
        let mut out = Vec::new();
        write_reject(&mut out, reject, &date);
        let parsed = parse_response(&out, &Limits::default(), &Method::POST);
        let ParsedResponse::Head { head, bytes_used } = parsed else { panic!("{parsed:?}") };
        let length = (out.len() - bytes_used) as u64;
        assert_eq!(head.status, reject.status());
        assert_eq!(head.body, ResponseLength::Framed(BodyLength::Length(length)));
        assert!(!head.keep_alive);
        assert_eq!(head.headers.contains_key("allow"), reject == Reject::MethodRefused);
    }
}

#[test]
fn chunks_are_sized_in_hex_and_an_empty_one_is_not_written() {
    let mut out = Vec::new();
    write_chunk(&mut out, b"");
    write_chunk(&mut out, b"0123456789abcdef");
    write_chunk(&mut out, b"x");
    write_last_chunk(&mut out, &map(&[("x", "y"), ("content-length", "1"), ("te", "z")]));
    assert_eq!(out, b"10\r\n0123456789abcdef\r\n1\r\nx\r\n0\r\nx: y\r\n\r\n");
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let field = ("[a-z][a-z0-9-]{0,12}", "[!-~\u{e9}]([ -~\t]{0,20}[!-~])?");
    proptest::collection::vec(field, 0..12).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            if !is_hop_by_hop(&name)
                && !["host", "expect", "content-length"].contains(&name.as_str())
            {
                headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
        }
        headers
    })
}

proptest! {
    #[test]
    fn a_written_request_is_read_as_it_was_meant(
        method in prop::sample::select(vec![Method::POST, Method::PUT, Method::DELETE]),
        target in "/[a-z0-9:;=]{1,8}(/[a-z~]{1,5}){0,3}(\\?[a-z&=/?]{0,10})?",
        body in prop_oneof![
            Just(BodyLength::Chunked),
            (0u64..60_000_000).prop_map(BodyLength::Length),
        ],
        fields in headers(),
    ) {
        let target = PathAndQuery::try_from(target).unwrap();
        let host = HeaderValue::from_static("api.example:443");
        let start = RequestStart {
            method: &method, target: &target, host: &host, body, connection: Connection::Close,
        };
        let mut out = Vec::new();
        write_request_head(&mut out, &start, &fields);
        let parsed = parse_request(&out, &Limits::default());
        let ParsedRequest::Head { mut head, bytes_used } = parsed else {
            return Err(TestCaseError::fail(format!("{parsed:?}")));
        };
        prop_assert_eq!(bytes_used, out.len());
        prop_assert_eq!((&head.method, head.body, head.keep_alive), (&method, body, false));
        prop_assert_eq!(head.target.path_and_query(), &target);
        strip_hop_by_hop(&mut head.headers);
        head.headers.remove("host");
        head.headers.remove("content-length");
        prop_assert_eq!(head.headers, fields);
    }

    #[test]
    fn a_written_response_is_read_as_it_was_meant(
        status in (200u16..600).prop_filter("has a body", |status| ![204, 304].contains(status)),
        body in prop_oneof![
            Just(ResponseLength::UntilClose),
            Just(ResponseLength::Framed(BodyLength::Chunked)),
            any::<u64>().prop_map(|length| ResponseLength::Framed(BodyLength::Length(length))),
        ],
        fields in headers(),
    ) {
        let status = StatusCode::from_u16(status).unwrap();
        let start = ResponseStart {
            version: Version::Http11, status, body, connection: Connection::KeepAlive, date: None,
        };
        let mut out = Vec::new();
        write_response_head(&mut out, &start, &fields);
        let parsed = parse_response(&out, &Limits::default(), &Method::GET);
        let ParsedResponse::Head { mut head, bytes_used } = parsed else {
            return Err(TestCaseError::fail(format!("{parsed:?}")));
        };
        prop_assert_eq!(bytes_used, out.len());
        prop_assert_eq!((head.status, head.body), (status, body));
        prop_assert_eq!(head.keep_alive, body != ResponseLength::UntilClose);
        strip_hop_by_hop(&mut head.headers);
        head.headers.remove("content-length");
        prop_assert_eq!(head.headers, fields);
    }
}
