//! Errors of the API, as `application/problem+json` (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// The media type.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One error.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    /// The last part of `type`; stable, so that programs can tell errors apart.
    slug: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
    members: Vec<(&'static str, Value)>,
}

impl Problem {
    fn new(
        status: StatusCode,
        slug: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Problem {
        Problem { status, slug, title, detail: detail.into(), members: Vec::new() }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail)
    }

    /// 401: no token, or one that is unknown, expired or wrong; which of these is not told.
    pub fn unauthenticated() -> Problem {
        let detail = "A valid token is needed: `authorization: Bearer ...`.";
        Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "No valid token", detail)
    }

    /// 403: the token's role does not reach.
    pub fn forbidden(needed: &str) -> Problem {
        let detail = format!("This needs the role `{needed}` or one above it.");
        Problem::new(StatusCode::FORBIDDEN, "forbidden", "The role does not reach", detail)
    }

    /// 403: a page of another site asks.
    pub fn cross_site() -> Problem {
        let detail = "Requests from pages of other origins are refused.";
        Problem::new(StatusCode::FORBIDDEN, "cross-site", "Cross-site request", detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// 404: no such lever is in force; the ids in force that look most like the one asked for.
    pub fn no_such_lever(near: &[String]) -> Problem {
        let detail = if near.is_empty() {
            "No lever is in force.".to_owned()
        } else {
            format!("No lever of this id is in force. The nearest: {}.", near.join(", "))
        };
        Problem::new(StatusCode::NOT_FOUND, "no-such-lever", "Not found", detail)
            .with("nearest", json!(near))
    }

    /// 405: there is such a path, but not for this method.
    pub fn method_not_allowed() -> Problem {
        let detail = "The `allow` header lists the methods of this path.";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Problem::new(status, "method-not-allowed", "Method not allowed", detail)
    }

    /// 412: the live table is another than the caller knew.
    pub fn superseded(epoch: u64) -> Problem {
        let detail = "The live table is another than `if-match` says.";
        let status = StatusCode::PRECONDITION_FAILED;
        Problem::new(status, "superseded", "Precondition failed", detail)
            .with("epoch", json!(epoch))
    }

    /// 413: the body is too large.
    pub fn too_large(most: usize) -> Problem {
        let detail = format!("The body may have {most} bytes at most.");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Body too large", detail)
    }

    /// 415: the body is not JSON by its own word.
    pub fn unsupported_media_type() -> Problem {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let detail = "A body must have `content-type: application/json`.";
        Problem::new(status, "unsupported-media-type", "Unsupported media type", detail)
    }

    /// 421: the host name is none of ours.
    pub fn misdirected() -> Problem {
        let detail = "The `host` header must be an IP address, `localhost`, or a configured name.";
        Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", "Unknown host name", detail)
    }

    /// 422: the configuration has errors; the live table stays.
    pub fn configuration(epoch: u64, diagnostics: Value) -> Problem {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let detail = "The file has errors. The table before it stays live.";
        Problem::new(status, "configuration", "The configuration was refused", detail)
            .with("epoch", json!(epoch))
            .with("diagnostics", diagnostics)
    }

    /// 500: a handler failed.
    pub fn internal() -> Problem {
        let detail = "Firedoor failed to answer; the log says more.";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    /// 503: not now.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now", detail)
    }

    /// 504: the handler or the request's body took too long.
    pub fn timeout() -> Problem {
        let detail = "The request took too long.";
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "Timeout", detail)
    }

    fn with(mut self, name: &'static str, value: Value) -> Problem {
        self.members.push((name, value));
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let members = self.members.into_iter().map(|(name, value)| (name.to_owned(), value));
        let mut body: Map<String, Value> = members.collect();
        body.insert("type".to_owned(), json!(format!("urn:firedoor:problem:{}", self.slug)));
        body.insert("title".to_owned(), json!(self.title));
        body.insert("status".to_owned(), json!(self.status.as_u16()));
        body.insert("detail".to_owned(), json!(self.detail));
        let text = Value::Object(body).to_string();
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))];
        let mut response = (self.status, kind, text).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"firedoor\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
