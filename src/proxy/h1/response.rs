//! The response head, as a provider sends it. A provider is trusted no more than a client: what
//! cannot be framed with certainty is a bad gateway, and its connection is not used again.

use super::fields::{Options, framing};
use super::head::{End, end, fields};
use super::{BodyLength, Limits, Reject, ResponseLength, Version};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// A response without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status: 101, or 200 to 599.
    pub status: StatusCode,
    /// The provider's version.
    pub version: Version,
    /// All fields as they came; a `Content-Length` here may be that of another answer (`HEAD`, 304).
    pub headers: HeaderMap,
    /// How the length of the body that follows is known.
    pub body: ResponseLength,
    /// Whether the connection may be used again once the body is read to its end.
    pub keep_alive: bool,
    /// The protocol switched to; present if and only if the status is 101. A 101 that nobody asked
    /// for is the caller's to refuse.
    pub upgrade: Option<HeaderValue>,
}

/// What the bytes at the beginning of a response are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParsedResponse {
    /// Not yet a whole head; ask again with more bytes behind these.
    Partial,
    /// An interim response (1xx but 101), which is dropped; ask again behind its bytes. The caller
    /// limits how many it takes.
    Interim {
        /// The status.
        status: StatusCode,
        /// The bytes it took.
        bytes_used: usize,
    },
    /// A head, and how many bytes it took.
    Head {
        /// The head.
        head: ResponseHead,
        /// The bytes up to where the body begins.
        bytes_used: usize,
    },
    /// Answer 502 in its place, and close the connection to the provider.
    Reject(Reject),
}

/// Reads the head of a response to a request of method `method` from the beginning of `bytes`.
pub fn parse_response(bytes: &[u8], limits: &Limits, method: &Method) -> ParsedResponse {
    // What is not HTTP at all is known from its first bytes, and would else be waited for.
    const START: &[u8] = b"HTTP/1.";
    let known = bytes.len().min(START.len());
    if bytes[..known] != START[..known] {
        return ParsedResponse::Reject(Reject::StatusLine);
    }
    let window = &bytes[..bytes.len().min(limits.head_bytes_max)];
    let whole = match end(window) {
        End::At(length) => &window[..length],
        End::BareLf => return ParsedResponse::Reject(Reject::LineEnd),
        End::Beyond if window.len() == limits.head_bytes_max => {
            return ParsedResponse::Reject(Reject::HeadTooLong(limits.head_bytes_max));
        }
        End::Beyond => return ParsedResponse::Partial,
    };
    match read(whole, limits, method) {
        Ok(Read::Interim(status)) => ParsedResponse::Interim { status, bytes_used: whole.len() },
        Ok(Read::Head(head)) => ParsedResponse::Head { head, bytes_used: whole.len() },
        Err(reject) => ParsedResponse::Reject(reject),
    }
}

enum Read {
    Interim(StatusCode),
    Head(ResponseHead),
}

fn read(whole: &[u8], limits: &Limits, method: &Method) -> Result<Read, Reject> {
    let line_end = memchr::memchr(b'\n', whole).unwrap_or(whole.len() - 1);
    let (version, status) = status_line(&whole[..line_end - 1])?;
    let headers = fields(&whole[line_end + 1..], limits.headers_max)?;
    let announced = framing(&headers, version)?;
    let options = Options::read(&headers)?;

    // RFC 9112, section 6.1, and RFC 9110, section 8.6: these never announce a body. `Length(0)` is
    // wrong too, but harmless and common.
    let bodiless = status.is_informational() || status == StatusCode::NO_CONTENT;
    if bodiless && !matches!(announced, BodyLength::None | BodyLength::Length(0)) {
        return Err(Reject::StatusBody);
    }
    let upgrade = if status == StatusCode::SWITCHING_PROTOCOLS {
        let protocol = options.upgrade(&headers, version)?;
        Some(protocol.ok_or(Reject::UpgradeInvalid)?)
    } else if status.is_informational() {
        return Ok(Read::Interim(status));
    } else {
        None
    };

    // RFC 9112, section 6.3, in its order.
    let none = bodiless || status == StatusCode::NOT_MODIFIED || method == Method::HEAD;
    let body = match announced {
        _ if none => ResponseLength::Framed(BodyLength::None),
        BodyLength::None => ResponseLength::UntilClose,
        BodyLength::Length(_) | BodyLength::Chunked => ResponseLength::Framed(announced),
    };
    let keep_alive = options.persist(version) && body != ResponseLength::UntilClose;
    Ok(Read::Head(ResponseHead { status, version, headers, body, keep_alive, upgrade }))
}

/// RFC 9112, section 4; the reason is checked and dropped, the space before it may be missing.
fn status_line(line: &[u8]) -> Result<(Version, StatusCode), Reject> {
    let (version, rest) = line.split_at_checked(8).ok_or(Reject::StatusLine)?;
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(Reject::StatusLine),
    };
    let (code, reason) = rest.split_at_checked(4).ok_or(Reject::StatusLine)?;
    let code = match code {
        [b' ', code @ ..] if code.iter().all(u8::is_ascii_digit) => StatusCode::from_bytes(code),
        _ => return Err(Reject::StatusLine),
    };
    let code = code.map_err(|_| Reject::StatusLine)?;
    let printable = |byte: &u8| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f;
    let reason_ends = reason.is_empty() || reason[0] == b' ' && reason.iter().all(printable);
    let registered = (100..600).contains(&code.as_u16());
    if reason_ends && registered { Ok((version, code)) } else { Err(Reject::StatusLine) }
}
