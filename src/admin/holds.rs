//! `/api/v1/holds`: what evidence outlives its retention.
//!
//! To hold is restrictive, so a responder may do it alone; to release is the guarded direction.
//! Holds that levers take stand in the list, too, and may be released like the others.

use super::body::{self, text};
use super::desk::Desk;
use super::problem::Problem;
use super::said::{actor, problem, reason, scope};
use crate::control::{Hold, HoldOrder};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, Path};
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// How much from before it a hold takes if nothing is said.
const BEFORE: Duration = crate::control::hold::AROUND;
/// The most of either side: ten years.
const SIDE_S_MAX: u64 = 10 * 366 * 24 * 3600;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    scope: Option<String>,
    before_s: Option<u64>,
    after_s: Option<u64>,
    reason: Option<String>,
    author: Option<String>,
    incident: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    reason: Option<String>,
    author: Option<String>,
}

/// A hold as the API shows it.
pub(super) fn view(hold: &Hold) -> Value {
    json!({
        "id": hold.id,
        "scope": hold.scope.to_string(),
        "from": super::view::moment(hold.from_unix_ms),
        "until": hold.until_unix_ms.map(super::view::moment),
        "reason": hold.reason,
        "author": hold.author,
        "created": super::view::moment(hold.created_unix_ms),
        "incident": hold.incident,
        "lever": hold.lever.map(|lever| lever.to_string()),
    })
}

pub(super) async fn list(extract::State(desk): extract::State<Desk>) -> Response {
    let holds = desk.state.levers.holds().await;
    Json(json!({ "items": holds.iter().map(view).collect::<Vec<_>>(), "next": null }))
        .into_response()
}

pub(super) async fn place(
    extract::State(desk): extract::State<Desk>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let asked: Place = body::read(request).await?;
    let side = |name: &str, seconds: Option<u64>| match seconds {
        Some(seconds) if seconds > SIDE_S_MAX => {
            Err(Problem::bad_request(format!("`{name}` may be {SIDE_S_MAX} seconds at most.")))
        }
        other => Ok(other.map(Duration::from_secs)),
    };
    let order = HoldOrder {
        scope: scope(asked.scope.as_deref())?,
        before: side("before_s", asked.before_s)?.unwrap_or(BEFORE),
        after: side("after_s", asked.after_s)?,
        reason: reason(asked.reason)?,
        incident: text("incident", asked.incident)?,
    };
    let actor = actor(&desk, &headers, asked.author)?;
    let hold = desk.state.levers.hold(order, &actor).await.map_err(problem)?;
    Ok((StatusCode::CREATED, Json(view(&hold))).into_response())
}

pub(super) async fn release(
    extract::State(desk): extract::State<Desk>,
    id: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|error| Problem::bad_request(error.body_text()))?;
    let headers = request.headers().clone();
    let asked: Release = body::read(request).await?;
    let actor = actor(&desk, &headers, asked.author)?;
    let reason = reason(asked.reason)?;
    let levers = &desk.state.levers;
    if let Some(hold) = levers.release(&id, &reason, &actor).await.map_err(problem)? {
        return Ok(Json(view(&hold)).into_response());
    }
    let holds = levers.holds().await;
    let near = holds.iter().map(|hold| &*hold.id);
    Err(Problem::not_found(format!(
        "No hold `{}` stands{}",
        super::view::shown(&id),
        super::view::nearest(&id, near)
    )))
}
