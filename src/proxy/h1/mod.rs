//! HTTP/1.x as bytes: heads and bodies in, heads and bodies out. No sockets, no clocks, no async.
//!
//! RFC 9110 and RFC 9112 bind. Where they let a recipient repair a doubtful message, this codec
//! refuses it: a gateway stands between two parsers, and whatever the two could read differently is
//! a way to hide one request in another. So what always holds is:
//!
//! - a request that comes out of [`parse_request`] has exactly one meaning of its target, its host
//!   and the length of its body; a [`Reject`] is answered and the connection closed;
//! - framing is never copied: the writers say how long a body is from [`BodyLength`] alone, and
//!   leave out every hop-by-hop field, whatever they are handed;
//! - a message cannot be split from inside: names, values, methods, targets and status codes are
//!   written only from types that cannot hold a line end;
//! - reading in pieces gives what reading at once gives, wherever the pieces begin and end.
//!
//! The fields of a head are cut by `httparse`, which also knows their alphabets; everything that
//! `httparse` repairs (bare LF, blank lines ahead) is refused before it sees the bytes.

mod body;
mod fields;
mod head;
mod reject;
mod request;
mod response;
mod target;
mod write;

#[cfg(test)]
mod tests;

pub use body::{BodyError, BodyReader, Decoded, Piece};
pub use fields::{is_hop_by_hop, strip_hop_by_hop};
pub use reject::Reject;
pub use request::{ParsedRequest, RequestHead, parse_request};
pub use response::{ParsedResponse, ResponseHead, parse_response};
pub use target::{Target, parse_target};
pub use write::{
    CONTINUE, Connection, RequestStart, ResponseStart, write_chunk, write_last_chunk, write_reject,
    write_request_head, write_response_head,
};

/// The most header fields that any head or trailer block may have; [`Limits`] can only ask for less.
pub const HEADERS_MAX: usize = 128;

/// How much of a head is read before it is refused. Of bodies, who reads them decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// First line, fields and the blank line behind them, in bytes.
    pub head_bytes_max: usize,
    /// Fields in a head; at most [`HEADERS_MAX`].
    pub headers_max: usize,
    /// The target of a request line, in bytes.
    pub target_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { head_bytes_max: 64 << 10, headers_max: HEADERS_MAX, target_bytes_max: 16 << 10 }
    }
}

/// The two versions that share this grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0: no chunks, no interim answers, one exchange unless asked otherwise.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How the length of a body is known (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyLength {
    /// There is no body, and nothing says so but the kind of message.
    None,
    /// `Content-Length`, in bytes; an empty body may be `Length(0)`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// How the length of a response body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResponseLength {
    /// As with a request.
    Framed(BodyLength),
    /// The body ends with the connection, so a cut cannot be told from an end.
    UntilClose,
}

impl ResponseLength {
    /// How a body of unknown length is sent to a client of `version`: HTTP/1.0 knows no chunks
    /// (RFC 9112, section 6.1).
    pub fn streamed(version: Version) -> ResponseLength {
        match version {
            Version::Http10 => ResponseLength::UntilClose,
            Version::Http11 => ResponseLength::Framed(BodyLength::Chunked),
        }
    }
}
