//! The body of a call that changes something: JSON, whole, bounded.

use super::problem::Problem;
use crate::wire::media_type::MediaType;
use axum::body::Body;
use http::{Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Most bytes of a body of the API.
const BODY_BYTES_MAX: usize = 1024 * 1024;
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
