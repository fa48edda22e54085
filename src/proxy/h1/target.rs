//! The request target: read once, in one canonical form, so that whoever checks a path and whoever
//! serves it look at the same bytes.
//!
//! What is done with doubtful spellings (RFC 3986; RFC 9112, section 3.2):
//!
//! | In the path | Outcome |
//! | --- | --- |
//! | percent-encoded letter, digit, `-`, `.`, `_`, `~` | decoded: RFC 3986, section 6.2.2.2, has both spellings equal |
//! | other percent-encoding, `%3A`, `%3b`, `%20`, `%C3%A9` | kept, hex digits in upper case; never equal to the bare character |
//! | `%2F` in an ARN behind `/model/` (Bedrock), none of whose pieces is empty or dots | kept: one segment |
//! | any other `%2F`, `%5C`, `%00` to `%1F`, `%7F`, `%25` before two hex digits, bytes that are not UTF-8, broken `%` | refused |
//! | empty segment (`//`), `.`, `..`, plain or encoded, also before a `;` | refused |
//! | trailing `/` | kept: another path |
//! | `;` | an ordinary character: there are no path parameters |
//! | `\`, controls, space, `"<>[]^{}|` and the backquote, anything beyond ASCII | refused |
//! | letter case | kept: paths are case-sensitive |
//!
//! The query is opaque and kept byte for byte. It must be printable ASCII without `"<>\` and with
//! whole percent-encodings. A fragment is refused. An absolute target is taken if its authority is
//! that of `Host`, letter case aside; its path is then read as above.

use super::Reject;
use crate::wire::percent;
use bytes::Bytes;
use http::uri::PathAndQuery;
use std::borrow::Cow;
use std::ops::Range;

/// A target in canonical form: a path that begins with `/` and has no empty, `.` or `..` segment,
/// and an optional query; or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(PathAndQuery);

impl Target {
    /// The path; `*` if the request asks about the server as a whole.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// What follows the first `?`.
    pub fn query(&self) -> Option<&str> {
        self.0.query()
    }

    /// Path and query as one, as a request line writes them.
    pub fn path_and_query(&self) -> &PathAndQuery {
        &self.0
    }

    /// Whether this is the `*` of `OPTIONS *`.
    pub fn is_asterisk(&self) -> bool {
        self.path() == "*"
    }

    /// The segments of the path, still encoded; the last is empty if the path ends in `/`.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path().strip_prefix('/').into_iter().flat_map(|path| path.split('/'))
    }

    /// Reads the target of a request whose method is `OPTIONS` or not; with it, the authority if
    /// the target is absolute.
    pub(super) fn parse(text: &[u8], options: bool) -> Result<(Target, Option<&[u8]>), Reject> {
        if text == b"*" && options {
            return Ok((Target(PathAndQuery::from_static("*")), None));
        }
        if text.first() == Some(&b'/') {
            return Ok((Target::origin(text)?, None));
        }
        let rest = strip_scheme(text).ok_or(Reject::TargetForm)?;
        let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let target = if rest.first() == Some(&b'/') {
            Target::origin(rest)?
        } else {
            // RFC 9112, section 3.2.1: an empty path is sent as `/`.
            Target::origin(&[b"/", rest].concat())?
        };
        Ok((target, Some(authority)))
    }

    fn origin(text: &[u8]) -> Result<Target, Reject> {
        let path_end = text.iter().position(|byte| b"?#".contains(byte)).unwrap_or(text.len());
        let (path, query) = text.split_at(path_end);
        let path = canonical(path)?;
        check_query(query)?;
        let whole = match path {
            Cow::Borrowed(_) => Bytes::copy_from_slice(text),
            Cow::Owned(mut path) => {
                path.extend_from_slice(query);
                Bytes::from(path)
            }
        };
        // The limits on targets keep below what the type can hold; the type then agrees.
        PathAndQuery::from_maybe_shared(whole).map(Target).map_err(|_| Reject::TargetCharacter)
    }
}

/// Reads a target in origin form, as an HTTP/2 request brings it in `:path`.
///
/// # Errors
/// The rule that it breaks.
pub fn parse_target(text: &[u8]) -> Result<Target, Reject> {
    if text.first() == Some(&b'/') { Target::origin(text) } else { Err(Reject::TargetForm) }
}

/// The byte that `%XX` at the beginning of `text` stands for.
fn octet(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    percent::octet(*high, *low)
}

fn strip_scheme(text: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (head, rest) = text.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// RFC 3986, section 3.3: what a segment may hold, but for percent-encodings.
fn is_path_character(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

/// The canonical form of a path that begins with `/`; borrowed if it is that already.
fn canonical(path: &[u8]) -> Result<Cow<'_, [u8]>, Reject> {
    let plain = path.iter().position(|&byte| byte != b'/' && !is_path_character(byte));
    let canonical = match plain {
        None => Cow::Borrowed(path),
        Some(first) => Cow::Owned(decode_unreserved(path, first)?),
    };
    let last = memchr::memrchr(b'/', &canonical).unwrap_or(0);
    let mut from = 1;
    for at in memchr::memchr_iter(b'/', &canonical).skip(1) {
        if at == from || climbs(&canonical[from..at]) {
            return Err(Reject::TargetSegment);
        }
        from = at + 1;
    }
    if climbs(&canonical[last + 1..]) { Err(Reject::TargetSegment) } else { Ok(canonical) }
}

/// Whether a canonical segment is `.` or `..`, or is so for a server that cuts off path parameters.
fn climbs(segment: &[u8]) -> bool {
    let Some(rest) = segment.strip_prefix(b".") else { return false };
    let rest = rest.strip_prefix(b".").unwrap_or(rest);
    rest.is_empty() || rest[0] == b';' || rest.starts_with(b"%3B")
}

/// Decodes what needs no encoding and checks what does; `first` is where doubt begins.
fn decode_unreserved(path: &[u8], first: usize) -> Result<Vec<u8>, Reject> {
    let arn = arn_in(path);
    let mut canonical = path[..first].to_vec();
    let mut decoded = Vec::new();
    let mut rest = &path[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            if byte != b'/' && !is_path_character(byte) {
                return Err(Reject::TargetCharacter);
            }
            canonical.push(byte);
            decoded.push(byte);
            rest = tail;
            continue;
        }
        let value = octet(rest).ok_or(Reject::TargetEncoding)?;
        let is_in_arn = value == b'/' && arn.contains(&(path.len() - rest.len()));
        if matches!(value, b'/' | b'\\' | 0..=0x1f | 0x7f) && !is_in_arn {
            return Err(Reject::TargetEncoding);
        }
        if is_unreserved(value) {
            canonical.push(value);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            let (high, low) = (HEX[usize::from(value >> 4)], HEX[usize::from(value & 15)]);
            canonical.extend_from_slice(&[b'%', high, low]);
        }
        decoded.push(value);
        rest = &rest[3..];
    }
    // A server that decodes twice would see `%25XX` as the byte XX; looked for only now, since the
    // digits may have been encoded, too.
    let mut percents = memchr::memmem::find_iter(&canonical, b"%25");
    let doubled = percents.any(|at| {
        canonical[at + 3..].iter().take(2).all(u8::is_ascii_hexdigit) && canonical.len() >= at + 5
    });
    if doubled || std::str::from_utf8(&decoded).is_err() {
        return Err(Reject::TargetEncoding);
    }
    Ok(canonical)
}

/// Where in a path the ARN of a model stands: `/model/{arn}/..`, also under a provider's name. AWS's
/// clients encode its slashes. Empty if there is none, or a piece of it would climb.
fn arn_in(path: &[u8]) -> Range<usize> {
    const NONE: Range<usize> = 0..0;
    let mut from = 1;
    for _ in 0..2 {
        let Some(rest) = path.get(from..) else { return NONE };
        if let Some(behind) = rest.strip_prefix(b"model/") {
            let Some(length) = memchr::memchr(b'/', behind) else { return NONE };
            let arn = String::from_utf8_lossy(&behind[..length]);
            let decoded = percent::text(&arn);
            let climbs = |piece: &str| piece.is_empty() || climbs(piece.as_bytes());
            if !decoded.starts_with("arn:") || decoded.split('/').any(climbs) {
                return NONE;
            }
            let start = from + b"model/".len();
            return start..start + length;
        }
        let Some(length) = memchr::memchr(b'/', rest) else { return NONE };
        from += length + 1;
    }
    NONE
}

/// `query` is empty, or begins with `?`, or is a fragment.
fn check_query(query: &[u8]) -> Result<(), Reject> {
    for (at, &byte) in query.iter().enumerate() {
        match byte {
            b'#' => return Err(Reject::TargetFragment),
            b'%' if octet(&query[at..]).is_none() => return Err(Reject::TargetEncoding),
            b'"' | b'<' | b'>' | b'\\' => return Err(Reject::TargetCharacter),
            0x21..=0x7e => {}
            _ => return Err(Reject::TargetCharacter),
        }
    }
    Ok(())
}

/// Whether `host` is a host name or address with an optional port (RFC 9110, section 7.2).
///
/// Narrower than `uri-host`: names are letters, digits, `-`, `.` and `_`, so that nothing in it can
/// be taken for a path, a list or user information.
pub(super) fn is_host(host: &[u8]) -> bool {
    let (name, port) = if host.first() == Some(&b'[') {
        let Some(close) = memchr::memchr(b']', host) else { return false };
        let address = &host[1..close];
        let known = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
        if address.len() < 2 || !address.iter().all(known) {
            return false;
        }
        (&host[..=close], &host[close + 1..])
    } else {
        let colon = memchr::memchr(b':', host).unwrap_or(host.len());
        let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
        if !host[..colon].iter().all(known) {
            return false;
        }
        host.split_at(colon)
    };
    !name.is_empty() && (port.is_empty() || is_port(port))
}

/// `:` and one to five digits that make a port.
fn is_port(port: &[u8]) -> bool {
    let digits = &port[1..];
    port[0] == b':'
        && (1..=5).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && digits.iter().fold(0u32, |port, digit| port * 10 + u32::from(digit - b'0')) <= 65535
}
