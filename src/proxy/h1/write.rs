//! Heads and chunks, written. Line ends cannot come from inside: every part is a type that holds
//! none.
//!
//! Fields handed in are filtered once more on the way out: hop-by-hop fields and whatever says how
//! long the body is are never copied, so a writer's framing is its own. Fields that `Connection`
//! named cannot be seen here; [`super::strip_hop_by_hop`] takes those out beforehand.

use super::{BodyLength, Reject, ResponseLength, Version, is_hop_by_hop};
use http::header::{CONTENT_LENGTH, DATE, EXPECT, HOST};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, StatusCode};

/// What a client that expects `100-continue` waits for.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What becomes of the connection after this exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection<'a> {
    /// Another exchange may follow.
    KeepAlive,
    /// It ends.
    Close,
    /// It becomes, or is asked to become, one of these protocols.
    Upgrade(&'a HeaderValue),
}

/// A request head but for its fields.
#[derive(Clone, Copy, Debug)]
pub struct RequestStart<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target in origin form.
    pub target: &'a PathAndQuery,
    /// The value of `Host`.
    pub host: &'a HeaderValue,
    /// How the body will be sent.
    pub body: BodyLength,
    /// What the provider is told about the connection.
    pub connection: Connection<'a>,
}

/// A response head but for its fields.
#[derive(Clone, Copy, Debug)]
pub struct ResponseStart<'a> {
    /// The version of the client that is answered.
    pub version: Version,
    /// The status.
    pub status: StatusCode,
    /// How the body will be sent; `Framed(None)` only where method or status mean that there is
    /// none, else `Framed(Length(0))`. [`ResponseLength::streamed`] says what suits the client.
    pub body: ResponseLength,
    /// What the client is told about the connection; a body until close always closes.
    pub connection: Connection<'a>,
    /// The current date, written if the fields hold none (RFC 9110, section 6.6.1).
    pub date: Option<&'a HeaderValue>,
}

/// Appends a request head in HTTP/1.1.
///
/// `Expect` is left out, too: the gate has the body, and waits for nobody.
pub fn write_request_head<'h>(
    out: &mut Vec<u8>,
    start: &RequestStart<'_>,
    headers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
) {
    out.extend_from_slice(start.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(start.target.as_str().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    field(out, &HOST, start.host);
    for (name, value) in headers {
        let ours = *name == HOST || *name == CONTENT_LENGTH || *name == EXPECT;
        if !ours && !is_hop_by_hop(name) {
            field(out, name, value);
        }
    }
    // RFC 9110, section 8.6: where content is usual, its absence is said.
    let usual = [Method::POST, Method::PUT, Method::PATCH].contains(start.method);
    let body =
        if usual && start.body == BodyLength::None { BodyLength::Length(0) } else { start.body };
    framing(out, body);
    connection(out, start.connection, Version::Http11);
    out.extend_from_slice(b"\r\n");
}

/// Appends a response head in HTTP/1.1, whatever the client's version (RFC 9110, section 6.2).
pub fn write_response_head<'h>(
    out: &mut Vec<u8>,
    start: &ResponseStart<'_>,
    headers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(start.status.as_str().as_bytes());
    // The space belongs to the line even where no reason follows it (RFC 9112, section 4).
    out.push(b' ');
    out.extend_from_slice(start.status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut dated = false;
    for (name, value) in headers {
        if *name != CONTENT_LENGTH && !is_hop_by_hop(name) {
            dated |= *name == DATE;
            field(out, name, value);
        }
    }
    if let (false, Some(date)) = (dated, start.date) {
        field(out, &DATE, date);
    }
    // RFC 9110, section 8.6, and RFC 9112, section 6.1.
    let bodiless = start.status.is_informational() || start.status == StatusCode::NO_CONTENT;
    match start.body {
        ResponseLength::Framed(_) if bodiless => {
            connection(out, start.connection, start.version);
        }
        ResponseLength::Framed(body) => {
            framing(out, body);
            connection(out, start.connection, start.version);
        }
        ResponseLength::UntilClose => connection(out, Connection::Close, start.version),
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the whole answer to a request that is refused; the connection is closed after it.
pub fn write_reject(out: &mut Vec<u8>, reject: Reject, date: &HeaderValue) {
    let mut text = reject.to_string();
    text.push('\n');
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    // RFC 9110, section 15.5.6, wants the methods listed; the gate as a whole serves these.
    let allowed = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    let allow = (reject.status() == StatusCode::METHOD_NOT_ALLOWED)
        .then_some((&http::header::ALLOW, &allowed));
    let start = ResponseStart {
        version: Version::Http11,
        status: reject.status(),
        body: ResponseLength::Framed(BodyLength::Length(text.len() as u64)),
        connection: Connection::Close,
        date: Some(date),
    };
    let headers = [(&http::header::CONTENT_TYPE, &plain)].into_iter().chain(allow);
    write_response_head(out, &start, headers);
    out.extend_from_slice(text.as_bytes());
}

/// Appends `payload` as one chunk; nothing if it is empty, since an empty chunk ends the body.
pub fn write_chunk(out: &mut Vec<u8>, payload: &[u8]) {
    if payload.is_empty() {
        return;
    }
    out.reserve(payload.len() + 20);
    digits::<16>(out, payload.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body, trailers included; hop-by-hop and length fields are left out.
pub fn write_last_chunk<'h>(
    out: &mut Vec<u8>,
    trailers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>,
) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        if *name != CONTENT_LENGTH && *name != HOST && !is_hop_by_hop(name) {
            field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    out.reserve(name.as_str().len() + value.len() + 4);
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn framing(out: &mut Vec<u8>, body: BodyLength) {
    match body {
        BodyLength::None => {}
        BodyLength::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            digits::<10>(out, length);
            out.extend_from_slice(b"\r\n");
        }
        BodyLength::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

fn connection(out: &mut Vec<u8>, connection: Connection<'_>, version: Version) {
    match (connection, version) {
        (Connection::KeepAlive, Version::Http11) => {}
        (Connection::KeepAlive, Version::Http10) => {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        (Connection::Close, Version::Http10 | Version::Http11) => {
            out.extend_from_slice(b"connection: close\r\n");
        }
        (Connection::Upgrade(protocols), Version::Http10 | Version::Http11) => {
            out.extend_from_slice(b"connection: upgrade\r\n");
            field(out, &http::header::UPGRADE, protocols);
        }
    }
}

/// Appends `value` in a base from 10 to 16.
fn digits<const BASE: u64>(out: &mut Vec<u8>, mut value: u64) {
    let mut buffer = [0u8; 20];
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b"0123456789abcdef"[(value % BASE) as usize];
        value /= BASE;
        if value == 0 || at == 0 {
            break;
        }
    }
    out.extend_from_slice(&buffer[at..]);
}
