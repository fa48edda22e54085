//! What an answer's head says of its body.

use crate::proxy::client::Framing;
use crate::wire::Dialect;
use crate::wire::coding::Coding;
use crate::wire::framing as frames;
use crate::wire::media_type::MediaType;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// Whether an answer comes as a stream of frames.
pub(super) fn is_stream(
    headers: &HeaderMap,
    dialect: Option<Dialect>,
    asked_stream: bool,
    status: StatusCode,
) -> bool {
    let framing = dialect.map_or(frames::Framing::Sse, Dialect::framing);
    is_named(headers, framing).unwrap_or(asked_stream && status.is_success())
}

/// Whether the media type of an answer names `framing`; `None` if it has none.
pub(super) fn is_named(headers: &HeaderMap, framing: frames::Framing) -> Option<bool> {
    let kind = headers.get(header::CONTENT_TYPE)?;
    Some(kind.to_str().is_ok_and(|kind| framing.is_named_by(kind)))
}

/// Whether an answer says that it is one JSON value, or a page.
pub(super) fn is_document(headers: &[(HeaderName, HeaderValue)]) -> bool {
    let kind = headers.iter().find(|(name, _)| *name == header::CONTENT_TYPE);
    let kind = kind.and_then(|(_, value)| value.to_str().ok()).unwrap_or_default();
    let kind = MediaType::of(kind);
    ["application/json", "text/html"].into_iter().any(|document| kind.is(document))
}

/// The content coding of an answer; `None` for one that we cannot read.
pub(super) fn coding_of(headers: &HeaderMap) -> Option<Coding> {
    match headers.get(header::CONTENT_ENCODING) {
        None => Some(Coding::Identity),
        Some(value) => value.to_str().ok().and_then(|text| Coding::parse(text).ok()),
    }
}

/// The length that an answer to HEAD speaks of.
pub(super) fn head_framing(headers: &HeaderMap) -> Framing {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map_or(Framing::Empty, Framing::Length)
}
