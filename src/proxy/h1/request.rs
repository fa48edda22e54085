//! The request head.
//!
//! A head is judged only when it is whole, but for what no later byte can mend: a byte that no
//! method holds, a method or target or head that is too long, a bare LF. Each of these is decided
//! by a prefix of the bytes, in their order, so the pieces in which a head comes do not matter.

use super::fields::{Options, framing};
use super::head::{End, end, fields};
use super::target::{Target, is_host};
use super::{BodyLength, Limits, Reject, Version};
use http::header::{EXPECT, HOST};
use http::{HeaderMap, HeaderValue, Method};

/// How an HTTP/2 connection begins (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest method that is looked at; the longest registered one has 17 letters.
const METHOD_BYTES_MAX: usize = 20;

/// A line this much longer than the target may be is too long whatever else is in it.
const LINE_BYTES_OVER_TARGET: usize = METHOD_BYTES_MAX + " ".len() * 2 + "HTTP/1.1\r\n".len();

/// A request without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Upper case, at most 20 letters; never `CONNECT` or `TRACE`.
    pub method: Method,
    /// What is asked for.
    pub target: Target,
    /// The client's version.
    pub version: Version,
    /// All fields as they came. In HTTP/1.1 there is exactly one valid `Host`, in 1.0 at most one.
    pub headers: HeaderMap,
    /// How the body's length is known; `GET` and `HEAD` have none, or `Length(0)`.
    pub body: BodyLength,
    /// Whether the client lets another exchange follow.
    pub keep_alive: bool,
    /// Whether the client waits for [`super::CONTINUE`] before it sends the body.
    pub expect_continue: bool,
    /// The protocols that the client would rather speak. Bytes behind the head are not of that
    /// protocol until a 101 was sent; most callers ignore this.
    pub upgrade: Option<HeaderValue>,
}

/// What the bytes at the beginning of a request are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "made once a request, taken apart at once")]
pub enum ParsedRequest {
    /// Not yet a whole head; ask again with more bytes behind these.
    Partial,
    /// A head, and how many bytes it took.
    Head {
        /// The head.
        head: RequestHead,
        /// The bytes up to where the body begins.
        bytes_used: usize,
    },
    /// The client speaks HTTP/2; none of the bytes were used.
    Http2Preface,
    /// Answer, then close.
    Reject(Reject),
}

/// Reads a request head from the beginning of `bytes`.
///
/// One empty line ahead of it is skipped (RFC 9112, section 2.2).
/// A call that ends in `Partial` has only looked for the end of the head and has allocated nothing,
/// so asking again after each read is cheap.
pub fn parse_request(bytes: &[u8], limits: &Limits) -> ParsedRequest {
    if HTTP2_PREFACE.starts_with(&bytes[..bytes.len().min(HTTP2_PREFACE.len())]) {
        let whole = bytes.len() >= HTTP2_PREFACE.len();
        return if whole { ParsedRequest::Http2Preface } else { ParsedRequest::Partial };
    }
    if bytes == b"\r" {
        return ParsedRequest::Partial;
    }
    let skipped = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    match whole_head(&bytes[skipped..], limits) {
        Ok(None) => ParsedRequest::Partial,
        Ok(Some(whole)) => match read(whole, limits) {
            Ok(head) => ParsedRequest::Head { head, bytes_used: skipped + whole.len() },
            Err(reject) => ParsedRequest::Reject(reject),
        },
        Err(reject) => ParsedRequest::Reject(reject),
    }
}

/// The bytes of the head, if all are there.
fn whole_head<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Option<&'a [u8]>, Reject> {
    if !method_ends(bytes)? {
        return Ok(None);
    }
    let line_bytes_max = limits.target_bytes_max.saturating_add(LINE_BYTES_OVER_TARGET);
    let window = &bytes[..bytes.len().min(limits.head_bytes_max)];
    let line = &window[..window.len().min(line_bytes_max)];
    if line.len() == line_bytes_max && memchr::memchr(b'\n', line).is_none() {
        return Err(Reject::TargetTooLong(limits.target_bytes_max));
    }
    match end(window) {
        End::At(length) => Ok(Some(&window[..length])),
        End::BareLf => Err(Reject::LineEnd),
        End::Beyond if window.len() == limits.head_bytes_max => {
            Err(Reject::HeadTooLong(limits.head_bytes_max))
        }
        End::Beyond => Ok(None),
    }
}

/// Whether a method and the space behind it are there.
fn method_ends(bytes: &[u8]) -> Result<bool, Reject> {
    let start = &bytes[..bytes.len().min(METHOD_BYTES_MAX + 1)];
    match start.iter().position(|&byte| !is_token(byte)) {
        Some(at) if at > 0 && start[at] == b' ' => Ok(true),
        Some(_) => Err(Reject::RequestLine),
        None if start.len() > METHOD_BYTES_MAX => Err(Reject::MethodUnknown),
        None => Ok(false),
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn read(whole: &[u8], limits: &Limits) -> Result<RequestHead, Reject> {
    let line_end = memchr::memchr(b'\n', whole).unwrap_or(whole.len() - 1);
    let line = &whole[..line_end - 1];
    let (method, target, version) = split_line(line).ok_or(Reject::RequestLine)?;
    if target.len() > limits.target_bytes_max {
        return Err(Reject::TargetTooLong(limits.target_bytes_max));
    }
    let method = read_method(method)?;
    let version = read_version(version)?;
    let (target, authority) = Target::parse(target, method == Method::OPTIONS)?;
    let headers = fields(&whole[line_end + 1..], limits.headers_max)?;
    check_host(&headers, version, authority)?;

    let body = framing(&headers, version)?;
    let announces = !matches!(body, BodyLength::None | BodyLength::Length(0));
    if announces && (method == Method::GET || method == Method::HEAD) {
        return Err(Reject::BodyUnexpected);
    }
    let options = Options::read(&headers)?;
    Ok(RequestHead {
        expect_continue: expects_continue(&headers, version)? && announces,
        keep_alive: options.persist(version),
        upgrade: options.upgrade(&headers, version)?,
        method,
        target,
        version,
        headers,
        body,
    })
}

/// RFC 9112, section 3: single spaces, and none inside the parts.
fn split_line(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let first = memchr::memchr(b' ', line)?;
    let last = memchr::memrchr(b' ', line)?;
    let target = line.get(first + 1..last)?;
    let whole = !target.is_empty() && memchr::memchr(b' ', target).is_none();
    whole.then_some((&line[..first], target, &line[last + 1..]))
}

fn read_method(method: &[u8]) -> Result<Method, Reject> {
    if !method.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-') {
        return Err(Reject::MethodUnknown);
    }
    let method = Method::from_bytes(method).map_err(|_| Reject::MethodUnknown)?;
    let refused = method == Method::CONNECT || method == Method::TRACE;
    if refused { Err(Reject::MethodRefused) } else { Ok(method) }
}

fn read_version(version: &[u8]) -> Result<Version, Reject> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Reject::Version),
        _ => Err(Reject::RequestLine),
    }
}

/// RFC 9112, section 3.2; section 3.2.2 lets an absolute target override `Host`, we let them agree.
fn check_host(
    headers: &HeaderMap,
    version: Version,
    authority: Option<&[u8]>,
) -> Result<(), Reject> {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Reject::HostRepeated);
    }
    if host.is_some_and(|host| !is_host(host.as_bytes())) {
        return Err(Reject::HostInvalid);
    }
    if host.is_none() && version == Version::Http11 {
        return Err(Reject::HostMissing);
    }
    let agrees = match (authority, host) {
        (None, _) => true,
        (Some(authority), Some(host)) => authority.eq_ignore_ascii_case(host.as_bytes()),
        (Some(_), None) => false,
    };
    if agrees { Ok(()) } else { Err(Reject::TargetAuthority) }
}

/// RFC 9110, section 10.1.1; HTTP/1.0 clients cannot wait, so what they say of it is ignored.
fn expects_continue(headers: &HeaderMap, version: Version) -> Result<bool, Reject> {
    if version == Version::Http10 {
        return Ok(false);
    }
    let mut expectations = headers.get_all(EXPECT).iter();
    match (expectations.next(), expectations.next()) {
        (None, _) => Ok(false),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(true),
        (Some(_), _) => Err(Reject::Expectation),
    }
}
