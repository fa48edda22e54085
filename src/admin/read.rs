//! The handlers that only read.

use super::desk::Desk;
use super::problem::Problem;
use super::state::State;
use super::{OPENAPI, evidence, view};
use crate::id::ExchangeId;
use crate::telemetry::{Phase, Sequence, TargetHealth};
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{self, Path, Query};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode, Uri, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// How many items a page has if nothing is said, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 500;

/// `?limit=..&cursor=..`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<usize>,
    cursor: Option<String>,
}

pub(super) type PageQuery = Result<Query<Page>, QueryRejection>;

fn page(query: PageQuery) -> Result<(usize, Option<String>), Problem> {
    let Query(page) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    match page.limit.unwrap_or(PAGE) {
        0 => Err(Problem::bad_request("`limit` must be at least 1.")),
        limit => Ok((limit.min(PAGE_MAX), page.cursor)),
    }
}

fn bad_cursor() -> Problem {
    Problem::bad_request("`cursor` is not one that this list gave; begin again without it.")
}

fn list(items: &[Value], next: Option<&str>) -> Response {
    Json(json!({ "items": items, "next": next })).into_response()
}

/// The version of the table, for `if-match`.
pub(super) fn etag(epoch: u64) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{epoch}\""))]
}

pub(super) async fn health() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(extract::State(desk): extract::State<Desk>, uri: Uri) -> Response {
    let phase = desk.state.lifecycle.phase();
    let (is_ready, status) = match phase {
        Phase::Ready => (true, StatusCode::OK),
        Phase::Starting | Phase::Draining | Phase::Stopped => {
            (false, StatusCode::SERVICE_UNAVAILABLE)
        }
    };
    let verbose = |part: &str| part.split_once('=').map_or(part, |(name, _)| name) == "verbose";
    if !uri.query().unwrap_or("").split('&').any(verbose) {
        return (status, format!("{}\n", phase.name())).into_response();
    }
    // No token is needed here, so no names of targets, files or apps.
    let epoch = desk.state.switchboard.peek().epoch.0;
    let log = desk.state.levers.condition().borrow().clone();
    let log = view::condition(&log);
    let record = desk.state.tap.counters();
    let checks = json!([
        { "name": "table", "ok": epoch > 0, "detail": format!("epoch {epoch}") },
        { "name": "phase", "ok": is_ready, "detail": phase.name() },
        // The gate goes on with the levers that it has, so this alone makes it not unready.
        { "name": "control_log", "ok": log["state"] == "up", "detail": log["state"] },
        // Nor does this: who must not pass unrecorded says `capture_full = "block"`.
        { "name": "evidence", "ok": evidence::is_well(&record), "detail": evidence::word(&record) },
    ]);
    (status, Json(json!({ "ready": is_ready, "checks": checks }))).into_response()
}

pub(super) async fn metrics(
    extract::State(desk): extract::State<Desk>,
) -> Result<Response, Problem> {
    let telemetry = desk.state.telemetry.clone();
    for target in (desk.state.health)() {
        telemetry.meters().circuit(&target.target, target.state);
    }
    telemetry.meters().evidence(&evidence::picture(&desk.state.tap.counters()));
    telemetry.meters().index(&evidence::index_picture(&desk.state.index.counters()));
    telemetry.meters().runs_kept(desk.state.runs.kept_bytes());
    let limits = Arc::clone(&desk.state.limits);
    // Looks at every counter, reads `/proc`, and may format thousands of lines.
    let text = tokio::task::spawn_blocking(move || {
        telemetry.meters().limits(&limits());
        telemetry.meters().render()
    })
    .await
    .map_err(|_| Problem::internal())?;
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, text).into_response())
}

pub(super) async fn status(extract::State(desk): extract::State<Desk>) -> Response {
    let state = &*desk.state;
    let table = state.switchboard.table();
    let history = state.history();
    let log = state.levers.condition().borrow().clone();
    let meters = state.telemetry.meters();
    let last = history.last.as_ref().map(|(at, reload)| {
        let mut value = view::reload(reload);
        value["at"] = view::moment(*at);
        value
    });
    let listeners = state
        .listeners
        .iter()
        .map(|listener| json!({ "plane": listener.plane, "address": listener.address }));
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "phase": state.lifecycle.phase().name(),
        "started": view::moment(state.started_unix_ms),
        "uptime_s": state.uptime().as_secs_f64(),
        "epoch": table.epoch.0,
        "digest": table.digest,
        "config": state.switchboard.file().map(|file| file.display().to_string()),
        "listeners": listeners.collect::<Value>(),
        "open_exchanges": meters.open_exchanges().get(),
        "open_connections": meters.open_connections().get(),
        "exchanges_total": state.telemetry.exchanges(),
        "targets": targets(state),
        "levers": table.levers.all().len(),
        "control_log": view::condition(&log),
        "evidence": evidence::view(&state.tap.counters()),
        "index": evidence::index(&state.index.counters()),
        "last_reload": last,
        "warnings": view::diagnostics(&history.warnings),
    });
    (etag(table.epoch.0), Json(body)).into_response()
}

/// The health of the live table's targets, in its order.
fn targets(state: &State) -> Value {
    let table = state.switchboard.table();
    let mut known: HashMap<Arc<str>, TargetHealth> =
        (state.health)().into_iter().map(|health| (Arc::clone(&health.target), health)).collect();
    let mut take = |name: &Arc<str>| {
        known.remove(name).unwrap_or_else(|| TargetHealth::fresh(Arc::clone(name)))
    };
    table.targets.iter().map(|target| view::target(&take(&target.name))).collect()
}

pub(super) async fn routes(
    extract::State(desk): extract::State<Desk>,
    query: PageQuery,
) -> Result<Response, Problem> {
    let table = desk.state.switchboard.table();
    part_of_table(&table.routes, table.epoch.0, query, |route| view::route(&table, route))
}

pub(super) async fn providers(
    extract::State(desk): extract::State<Desk>,
    query: PageQuery,
) -> Result<Response, Problem> {
    let table = desk.state.switchboard.table();
    part_of_table(&table.providers, table.epoch.0, query, view::provider)
}

pub(super) async fn limits(
    extract::State(desk): extract::State<Desk>,
    query: PageQuery,
) -> Result<Response, Problem> {
    let epoch = desk.state.switchboard.peek().epoch.0;
    part_of_table(&(desk.state.limits)().standings, epoch, query, view::standing)
}

/// A page of a list of the table. The cursor holds the epoch: a list that has changed between two
/// pages is begun again, not patched together.
pub(super) fn part_of_table<T>(
    items: &[T],
    epoch: u64,
    query: PageQuery,
    show: impl Fn(&T) -> Value,
) -> Result<Response, Problem> {
    let (limit, cursor) = page(query)?;
    let first = match cursor {
        None => 0,
        Some(cursor) => {
            let (of, first) = cursor.split_once('.').ok_or_else(bad_cursor)?;
            if of.parse() != Ok(epoch) {
                return Err(bad_cursor());
            }
            first.parse::<usize>().map_err(|_| bad_cursor())?
        }
    };
    let rest = items.get(first..).ok_or_else(bad_cursor)?;
    let shown = &rest[..limit.min(rest.len())];
    let next = (rest.len() > limit).then(|| format!("{epoch}.{}", first + limit));
    Ok((etag(epoch), list(&shown.iter().map(show).collect::<Vec<_>>(), next.as_deref()))
        .into_response())
}

pub(super) async fn exchanges(
    extract::State(desk): extract::State<Desk>,
    query: PageQuery,
) -> Result<Response, Problem> {
    let (limit, cursor) = page(query)?;
    let before = cursor.map(|cursor| cursor.parse().map(Sequence)).transpose();
    let before = before.map_err(|_| bad_cursor())?;
    let found = desk.state.telemetry.recent().page(before, limit);
    // A full page may be the last one; then the next is empty.
    let next = found.last().filter(|_| found.len() == limit).map(|(last, _)| last.0.to_string());
    let items = found.iter().map(|(sequence, facts)| view::exchange(Some(*sequence), facts));
    Ok(list(&items.collect::<Vec<_>>(), next.as_deref()))
}

pub(super) async fn exchange(
    extract::State(desk): extract::State<Desk>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(text) = id.map_err(|error| Problem::bad_request(error.body_text()))?;
    let id = ExchangeId::parse(&text)
        .ok_or_else(|| Problem::bad_request("An exchange id is `x_` and 32 digits of 0-9a-f."))?;
    let facts = desk.state.telemetry.recent().find(id).ok_or_else(|| {
        Problem::not_found("No such exchange among the last finished ones; the log may have it.")
    })?;
    Ok(Json(view::exchange(None, &facts)).into_response())
}

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}
