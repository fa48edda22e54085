//! `POST /api/v1/reload`.

use super::body;
use super::desk::Desk;
use super::problem::Problem;
use super::read::etag;
use super::view;
use crate::control::Reload;
use crate::id::Epoch;
use axum::Json;
use axum::body::Body;
use axum::extract;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Request, header};
use serde::Deserialize;
use std::sync::Arc;

/// What may be said; nothing yet.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {}

pub(super) async fn reload(
    extract::State(desk): extract::State<Desk>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let expected = if_match(request.headers())?;
    let Options {} = body::read(request).await?;
    let state = Arc::clone(&desk.state);
    let done = tokio::task::spawn_blocking(move || state.reload_if(expected)).await;
    let reload = done
        .map_err(|_| Problem::internal())?
        .map_err(|superseded| Problem::superseded(superseded.0.0))?;
    match &reload {
        Reload::Published { epoch, .. } | Reload::Unchanged { epoch } => {
            Ok((etag(epoch.0), Json(view::reload(&reload))).into_response())
        }
        Reload::Refused { epoch, diagnostics } => {
            Err(Problem::configuration(epoch.0, view::diagnostics(diagnostics)))
        }
    }
}

/// The epoch that the caller has seen: `"7"`, or `*` and nothing for any.
fn if_match(headers: &HeaderMap) -> Result<Option<Epoch>, Problem> {
    let bad = || Problem::bad_request("`if-match` must be one quoted epoch, such as \"7\", or *.");
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let value = value.to_str().map_err(|_| bad())?.trim();
    if values.next().is_some() {
        return Err(bad());
    }
    if value == "*" {
        return Ok(None);
    }
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let digits = quoted.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).map(|epoch| Some(Epoch(epoch))).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn if_match_is_a_quoted_epoch_or_anything() {
        let parse = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, HeaderValue::from_static(value));
            if_match(&headers).ok()
        };
        assert_eq!(if_match(&HeaderMap::new()).ok(), Some(None));
        assert_eq!(parse("*"), Some(None));
        assert_eq!(parse("\"7\""), Some(Some(Epoch(7))));
        for bad in ["7", "\"\"", "\"x\"", "\"+7\"", "\"1\", \"2\"", "W/\"7\"", ""] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
