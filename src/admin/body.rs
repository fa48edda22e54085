//! The body of a call that changes something: JSON, whole, bounded; and the texts in it.

use super::problem::Problem;
use crate::wire::media_type::MediaType;
use axum::body::Body;
use http::{Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Most bytes of a body of the API.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The longest text of a reason, an author, a message or an incident, in bytes.
const TEXT_BYTES_MAX: usize = 1_000;
/// Most bytes of the rules that a lever brings itself.
pub(super) const RULES_BYTES_MAX: usize = 64 << 10;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The body: none, or a JSON object of the API's shape.
pub(super) async fn read<T: Default + DeserializeOwned>(
    request: Request<Body>,
) -> Result<T, Problem> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect();
    let body = tokio::time::timeout(BODY_TIMEOUT, body).await.map_err(|_| Problem::timeout())?;
    let bytes = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Problem::too_large(BODY_BYTES_MAX)
        } else {
            Problem::bad_request("The body broke off.")
        }
    })?;
    let bytes = bytes.to_bytes();
    if bytes.is_empty() {
        return Ok(T::default());
    }
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| MediaType::of(kind).is("application/json")) {
        return Err(Problem::unsupported_media_type());
    }
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad_request(error.to_string()))
}

/// A text of the caller's: trimmed, bounded, without control characters; `None` if it is blank.
pub(super) fn text(name: &str, value: Option<String>) -> Result<Option<Box<str>>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let value = value.trim();
    if value.len() > TEXT_BYTES_MAX {
        let detail = format!("`{name}` may have {TEXT_BYTES_MAX} bytes at most.");
        return Err(Problem::bad_request(detail));
    }
    if value.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Problem::bad_request(format!("`{name}` holds control characters.")));
    }
    Ok((!value.is_empty()).then(|| value.into()))
}
