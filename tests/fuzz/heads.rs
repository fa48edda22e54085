//! HTTP/1 heads and bodies.

use super::harness::{pieces, run};
use firedoor::proxy::h1::{
    BodyLength, BodyReader, Limits, ParsedRequest, ParsedResponse, parse_request, parse_response,
};
use http::Method;

fn seeds() -> Vec<Vec<u8>> {
    let heads: [&[u8]; 8] = [
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 12\r\n\r\n{\"a\":\"bbbb\"}",
        b"GET /a%20b?c=d HTTP/1.0\r\nHost: x:80\r\nConnection: keep-alive\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"PUT http://x/y HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 0\r\n\r\n",
        b"\r\nOPTIONS * HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 503 No\r\ncontent-length: 3\r\nretry-after: 9\r\n\r\nabc",
    ];
    heads.map(<[u8]>::to_vec).to_vec()
}

/// A head is the same whenever it is asked for, once it is whole.
#[test]
fn head_request() {
    let limits = Limits::default();
    run("head-request", &seeds(), |input, dice| {
        let whole = parse_request(input, &limits);
        if let ParsedRequest::Head { bytes_used, .. } = &whole {
            assert!(*bytes_used <= input.len());
            // What is behind the head does not change it.
            assert_eq!(parse_request(&input[..*bytes_used], &limits), whole);
        }
        // Of a beginning that is refused, nothing that follows makes a head.
        let part = &input[..dice.below(input.len() + 1)];
        match parse_request(part, &limits) {
            ParsedRequest::Partial => {}
            early => assert_eq!(early, whole, "behind {}", part.escape_ascii()),
        }
    });
}

#[test]
fn head_response() {
    let limits = Limits::default();
    run("head-response", &seeds(), |input, dice| {
        let whole = parse_response(input, &limits, &Method::POST);
        if let ParsedResponse::Head { bytes_used, .. } = &whole {
            assert!(*bytes_used <= input.len());
        }
        let part = &input[..dice.below(input.len() + 1)];
        match parse_response(part, &limits, &Method::POST) {
            ParsedResponse::Partial => {}
            early => assert_eq!(early, whole, "behind {}", part.escape_ascii()),
        }
    });
}

#[test]
fn body_in_chunks() {
    let bodies: [&[u8]; 4] = [
        b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n",
        b"0\r\ntrailer: x\r\nother: y\r\n\r\nGET / HTTP/1.1",
        b"ffffffffffffffff\r\nx",
        b"A\r\n0123456789\r\n00000000000\r\n\r\n",
    ];
    let seeds = bodies.map(<[u8]>::to_vec).to_vec();
    run("body-in-chunks", &seeds, |input, dice| {
        let read = |all: &[&[u8]]| {
            let mut reader = BodyReader::new(BodyLength::Chunked, 1 << 20);
            let (mut out, mut used) = (Vec::new(), 0);
            for piece in all {
                match reader.decode(piece, &mut out) {
                    Ok(decoded) => {
                        used += decoded.bytes_used;
                        if decoded.done {
                            break;
                        }
                    }
                    Err(error) => return (out, None, Some(error)),
                }
            }
            (out, Some((used, reader.is_done())), None)
        };
        assert_eq!(read(&[input]), read(&pieces(input, dice)));
    });
}
