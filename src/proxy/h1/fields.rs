//! The fields that decide framing and connection, and the fields that never travel further.

use super::{BodyLength, Reject, Version};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Whether a field belongs to one connection and must not be passed on (RFC 9110, section 7.6.1;
/// the proxy authentication fields, section 11.7, concern the neighbour only).
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-authentication-info"
    )
}

/// Takes out every hop-by-hop field, those that `Connection` names included.
///
/// Fields that the gate adds must be added afterwards, or a client could name them away.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let mut named: Vec<HeaderName> = Vec::new();
    for value in headers.get_all(CONNECTION) {
        let options = value.as_bytes().split(|&byte| byte == b',');
        named.extend(options.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()));
    }
    named.extend(headers.keys().filter(|name| is_hop_by_hop(name)).cloned());
    for name in named {
        headers.remove(name);
    }
}

/// Whether a name becomes a framing field where `_` and `-` are one, as in CGI and WSGI.
pub(super) fn reads_as_framing(name: &str) -> bool {
    name.eq_ignore_ascii_case("content_length") || name.eq_ignore_ascii_case("transfer_encoding")
}

/// What the framing fields say (RFC 9112, section 6.3), before the kind of message is looked at.
pub(super) fn framing(headers: &HeaderMap, version: Version) -> Result<BodyLength, Reject> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(BodyLength::None),
        (Some(_), Some(_)) => Err(Reject::LengthAndCoding),
        (Some(length), None) => {
            if lengths.next().is_some() {
                return Err(Reject::LengthRepeated);
            }
            decimal(length.as_bytes()).map(BodyLength::Length).ok_or(Reject::LengthInvalid)
        }
        (None, Some(coding)) => {
            if version == Version::Http10 {
                return Err(Reject::CodingVersion);
            }
            if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(Reject::CodingUnsupported);
            }
            Ok(BodyLength::Chunked)
        }
    }
}

/// `1*DIGIT` that fits into 64 bits.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// What `Connection` asks for (RFC 9110, section 7.6.1; RFC 9112, section 9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl Options {
    pub(super) fn read(headers: &HeaderMap) -> Result<Options, Reject> {
        let mut options = Options::default();
        for value in headers.get_all(CONNECTION) {
            for name in value.as_bytes().split(|&byte| byte == b',') {
                options.note(name.trim_ascii())?;
            }
        }
        Ok(options)
    }

    fn note(&mut self, name: &[u8]) -> Result<(), Reject> {
        if name.is_empty() {
            // RFC 9110, section 5.6.1.2: empty elements of a list are ignored.
        } else if name.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
        } else if name.eq_ignore_ascii_case(b"close") {
            self.close = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        } else {
            // A neighbour that obeyed such an option would read another message than we do.
            let framing: [&[u8]; 3] = [b"host", b"content-length", b"transfer-encoding"];
            let names_framing = framing.iter().any(|field| name.eq_ignore_ascii_case(field));
            if names_framing || HeaderName::from_bytes(name).is_err() {
                return Err(Reject::ConnectionInvalid);
            }
        }
        Ok(())
    }

    /// Whether another exchange may follow on the connection.
    pub(super) fn persist(self, version: Version) -> bool {
        match version {
            Version::Http10 => self.keep_alive && !self.close,
            Version::Http11 => !self.close,
        }
    }

    /// The protocols that `Upgrade` names, if `Connection` lists it. Without that, and in HTTP/1.0,
    /// the field means nothing (RFC 9110, section 7.8).
    pub(super) fn upgrade(
        self,
        headers: &HeaderMap,
        version: Version,
    ) -> Result<Option<HeaderValue>, Reject> {
        if !self.upgrade || version == Version::Http10 {
            return Ok(None);
        }
        let mut values = headers.get_all(UPGRADE).iter();
        match (values.next(), values.next()) {
            (first, None) => Ok(first.cloned()),
            (_, Some(_)) => Err(Reject::UpgradeInvalid),
        }
    }
}
