//! What the heads of requests and responses have in common: where they end, and their fields.

use super::fields::reads_as_framing;
use super::{HEADERS_MAX, Reject};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Where the head that begins at the first byte ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The length of the head, the blank line included.
    At(usize),
    /// Not in these bytes.
    Beyond,
    /// Nowhere: a line ends in LF alone.
    BareLf,
}

/// Looks for the blank line. Lines end in CRLF and in nothing else: RFC 9112, section 2.2, lets a
/// recipient take a bare LF for a line end, but not all do.
///
/// A bare CR is left to the alphabets of what stands between the line ends; none holds it.
pub(super) fn end(bytes: &[u8]) -> End {
    let mut line = 0;
    for at in memchr::memchr_iter(b'\n', bytes) {
        if at == line || bytes[at - 1] != b'\r' {
            return End::BareLf;
        }
        if at == line + 1 {
            return End::At(at + 1);
        }
        line = at + 1;
    }
    End::Beyond
}

/// Reads the fields of `block`: everything behind the first line, the blank line included.
///
/// Values share one copy of the block, one allocation instead of one a field. So a value that
/// outlives its exchange should be copied, or it keeps the whole block.
pub(super) fn fields(block: &[u8], headers_max: usize) -> Result<HeaderMap, Reject> {
    let shared = Bytes::copy_from_slice(block);
    let headers_max = headers_max.min(HEADERS_MAX);
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let found = match httparse::parse_headers(&shared, &mut slots[..headers_max]) {
        Ok(httparse::Status::Complete((used, found))) if used == block.len() => found,
        Ok(httparse::Status::Complete(_) | httparse::Status::Partial) => {
            return Err(Reject::HeaderName);
        }
        Err(httparse::Error::TooManyHeaders) => return Err(Reject::HeadersTooMany(headers_max)),
        Err(httparse::Error::HeaderValue) => return Err(Reject::HeaderValue),
        Err(_) => return Err(Reject::HeaderName),
    };
    let mut headers = HeaderMap::with_capacity(found.len());
    for field in found {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Reject::HeaderName)?;
        if reads_as_framing(field.name) {
            return Err(Reject::HeaderLookalike);
        }
        let value = HeaderValue::from_maybe_shared(shared.slice_ref(field.value))
            .map_err(|_| Reject::HeaderValue)?;
        headers.try_append(name, value).map_err(|_| Reject::HeadersTooMany(headers_max))?;
    }
    Ok(headers)
}
