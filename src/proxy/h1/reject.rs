//! The rules that a message can break, each with its answer.

use http::StatusCode;
use std::fmt;

/// Why a head is refused. The connection it came on is answered, if it is a client's, and closed:
/// where one message ends and the next begins is not known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// The request line is not `METHOD SP target SP version`.
    RequestLine,
    /// A line of the head ends in LF alone.
    LineEnd,
    /// The method is longer than any that exists, or not upper case.
    MethodUnknown,
    /// `CONNECT` and `TRACE`: the gate is no tunnel, and echoes no credentials.
    MethodRefused,
    /// The version is not 1.0 or 1.1.
    Version,
    /// The target is longer than this many bytes.
    TargetTooLong(usize),
    /// The target is not a path, nor an absolute `http` or `https` URI, nor `*` of `OPTIONS`.
    TargetForm,
    /// The target has a fragment.
    TargetFragment,
    /// The target holds a byte that it must not hold unencoded.
    TargetCharacter,
    /// A percent-encoding is broken, doubled, not UTF-8, or hides a separator or a control byte.
    TargetEncoding,
    /// A path segment is empty, `.` or `..`.
    TargetSegment,
    /// An absolute target names another authority than `Host`.
    TargetAuthority,
    /// The head is longer than this many bytes.
    HeadTooLong(usize),
    /// The head has more than this many fields.
    HeadersTooMany(usize),
    /// A field name is empty, is no token, or is not directly before its colon; or a line is folded.
    HeaderName,
    /// A field value holds a control byte.
    HeaderValue,
    /// A field name reads as a framing field once `_` is taken for `-`, as some servers do.
    HeaderLookalike,
    /// There is no `Host`.
    HostMissing,
    /// There are two `Host` fields.
    HostRepeated,
    /// `Host` is not a host and an optional port.
    HostInvalid,
    /// `Content-Length` and `Transfer-Encoding` together.
    LengthAndCoding,
    /// `Content-Length` more than once.
    LengthRepeated,
    /// `Content-Length` is not a number of at most 64 bits, in digits.
    LengthInvalid,
    /// `Transfer-Encoding` is not exactly one `chunked`.
    CodingUnsupported,
    /// `Transfer-Encoding` in HTTP/1.0.
    CodingVersion,
    /// A `GET` or `HEAD` with a body.
    BodyUnexpected,
    /// `Expect` asks for something else than `100-continue`.
    Expectation,
    /// `Connection` is not a list of tokens, or names a framing field.
    ConnectionInvalid,
    /// `Upgrade` more than once, or missing where it is needed.
    UpgradeInvalid,
    /// The status line of a response is not `version SP code [SP reason]`.
    StatusLine,
    /// A response whose status has no body announces one.
    StatusBody,
}

impl Reject {
    /// The status that answers a request. A response that breaks a rule is always a 502.
    pub fn status(self) -> StatusCode {
        match self {
            Reject::RequestLine
            | Reject::LineEnd
            | Reject::TargetForm
            | Reject::TargetFragment
            | Reject::TargetCharacter
            | Reject::TargetEncoding
            | Reject::TargetSegment
            | Reject::TargetAuthority
            | Reject::HeaderName
            | Reject::HeaderValue
            | Reject::HeaderLookalike
            | Reject::HostMissing
            | Reject::HostRepeated
            | Reject::HostInvalid
            | Reject::LengthAndCoding
            | Reject::LengthRepeated
            | Reject::LengthInvalid
            | Reject::CodingVersion
            | Reject::BodyUnexpected
            | Reject::ConnectionInvalid
            | Reject::UpgradeInvalid => StatusCode::BAD_REQUEST,
            Reject::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            Reject::TargetTooLong(_) => StatusCode::URI_TOO_LONG,
            Reject::Expectation => StatusCode::EXPECTATION_FAILED,
            Reject::HeadTooLong(_) | Reject::HeadersTooMany(_) => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Reject::MethodUnknown | Reject::CodingUnsupported => StatusCode::NOT_IMPLEMENTED,
            Reject::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Reject::StatusLine | Reject::StatusBody => StatusCode::BAD_GATEWAY,
        }
    }

    /// The rule's name, for labels and records.
    pub fn name(self) -> &'static str {
        match self {
            Reject::RequestLine => "request_line",
            Reject::LineEnd => "line_end",
            Reject::MethodUnknown => "method_unknown",
            Reject::MethodRefused => "method_refused",
            Reject::Version => "version",
            Reject::TargetTooLong(_) => "target_too_long",
            Reject::TargetForm => "target_form",
            Reject::TargetFragment => "target_fragment",
            Reject::TargetCharacter => "target_character",
            Reject::TargetEncoding => "target_encoding",
            Reject::TargetSegment => "target_segment",
            Reject::TargetAuthority => "target_authority",
            Reject::HeadTooLong(_) => "head_too_long",
            Reject::HeadersTooMany(_) => "headers_too_many",
            Reject::HeaderName => "header_name",
            Reject::HeaderValue => "header_value",
            Reject::HeaderLookalike => "header_lookalike",
            Reject::HostMissing => "host_missing",
            Reject::HostRepeated => "host_repeated",
            Reject::HostInvalid => "host_invalid",
            Reject::LengthAndCoding => "length_and_coding",
            Reject::LengthRepeated => "length_repeated",
            Reject::LengthInvalid => "length_invalid",
            Reject::CodingUnsupported => "coding_unsupported",
            Reject::CodingVersion => "coding_version",
            Reject::BodyUnexpected => "body_unexpected",
            Reject::Expectation => "expectation",
            Reject::ConnectionInvalid => "connection_invalid",
            Reject::UpgradeInvalid => "upgrade_invalid",
            Reject::StatusLine => "status_line",
            Reject::StatusBody => "status_body",
        }
    }
}

impl fmt::Display for Reject {
    /// What is wrong and what is allowed, in words for whoever sent it; nothing of the message is
    /// repeated.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Reject::TargetTooLong(max) => {
                return write!(f, "the request target is longer than {max} bytes");
            }
            Reject::HeadTooLong(max) => {
                return write!(f, "the message head is longer than {max} bytes");
            }
            Reject::HeadersTooMany(max) => {
                return write!(f, "the message has more than {max} header fields");
            }
            Reject::RequestLine => "the request line is not `METHOD target HTTP/1.1`",
            Reject::LineEnd => "a line of the message head does not end in CRLF",
            Reject::MethodUnknown => {
                "the method is unknown; methods are upper case and have at most 20 letters"
            }
            Reject::MethodRefused => "CONNECT and TRACE are not served",
            Reject::Version => "the HTTP version is not supported; send HTTP/1.1 or HTTP/1.0",
            Reject::TargetForm => {
                "the request target must be a path that begins with `/`, or a whole http(s) URI"
            }
            Reject::TargetFragment => "the request target has a fragment (`#`)",
            Reject::TargetCharacter => {
                "the request target holds a character that must be percent-encoded"
            }
            Reject::TargetEncoding => {
                "a percent-encoding in the path is broken, doubled, not UTF-8, or stands for `/`, `\\` \
                 or a control character"
            }
            Reject::TargetSegment => "a path segment is empty, `.` or `..`",
            Reject::TargetAuthority => "the request target names another host than the Host field",
            Reject::HeaderName => "a header field name is not a token directly before its colon",
            Reject::HeaderValue => "a header field value holds a control character",
            Reject::HeaderLookalike => {
                "a header field name differs from Content-Length or Transfer-Encoding only by `_`"
            }
            Reject::HostMissing => "the Host field is missing",
            Reject::HostRepeated => "there is more than one Host field",
            Reject::HostInvalid => "the Host field is not a host with an optional port",
            Reject::LengthAndCoding => "Content-Length and Transfer-Encoding exclude each other",
            Reject::LengthRepeated => "there is more than one Content-Length field",
            Reject::LengthInvalid => "Content-Length is not a number in decimal digits",
            Reject::CodingUnsupported => "Transfer-Encoding must be exactly one `chunked`",
            Reject::CodingVersion => "Transfer-Encoding does not exist in HTTP/1.0",
            Reject::BodyUnexpected => "a GET or HEAD request must not have a body",
            Reject::Expectation => "the only expectation that can be met is `100-continue`",
            Reject::ConnectionInvalid => {
                "the Connection field is not a list of names, or names Host, Content-Length or \
                 Transfer-Encoding"
            }
            Reject::UpgradeInvalid => "exactly one Upgrade field is allowed",
            Reject::StatusLine => "the status line is not `HTTP/1.1 code reason`",
            Reject::StatusBody => "a response whose status has no body announces one",
        };
        f.write_str(text)
    }
}

impl std::error::Error for Reject {}
