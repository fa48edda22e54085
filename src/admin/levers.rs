//! `/api/v1/levers`: list, pull, extend, lift, dry run, history.
//!
//! Pulling is one call. Author and reason are required; with a token the author is the token's
//! holder, by the socket it is who the caller says it is. What a lever reaches is answered before
//! it is pulled (`/levers/dry-run`) by the same matcher that it is then obeyed with.

mod act;

use self::act::{NANO_PER_USD, act, rules as own_rules};
use super::body::text;
use super::desk::Desk;
use super::guard;
use super::problem::Problem;
use super::read::etag;
use super::said::{Why, actor, problem, reason, scope};
use super::view;
use super::{blast, body, holds, rules};
use crate::control::desk::{Changed, LEVERS_MAX, Standing};
use crate::control::log::{Entry, Rev};
use crate::control::{Actor, Notice, Order, Pulled};
use crate::id::LeverId;
use crate::table::Table;
use crate::table::lever::{Act, Dimension, Lever, Scope};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{self, Path, Query};
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

use std::time::Duration;

/// The longest time that a lever may be given.
const TTL_MAX: Duration = Duration::from_hours(24 * 366);
/// Most entries of the history in one answer.
const HISTORY_PAGE: usize = 500;

/// Most groups of open exchanges in one answer; the largest come first.
const LIVE_GROUPS_MAX: usize = 500;

/// What a pull says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pull {
    kind: Option<String>,
    scope: Option<String>,
    reason: Option<String>,
    author: Option<String>,
    message: Option<String>,
    ttl_s: Option<u64>,
    incident: Option<String>,
    in_flight: Option<String>,
    to: Option<Vec<String>>,
    limits: Option<BTreeMap<String, f64>>,
    packs: Option<Vec<String>>,
    rules: Option<String>,
}

/// `?after=..&limit=..`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    after: Option<u64>,
    limit: Option<usize>,
}

fn ttl(seconds: Option<u64>) -> Result<Option<Duration>, Problem> {
    let Some(seconds) = seconds else { return Ok(None) };
    let ttl = Duration::from_secs(seconds);
    if ttl.is_zero() || ttl > TTL_MAX {
        return Err(Problem::bad_request("`ttl_s` must be 1 to 31622400 seconds."));
    }
    Ok(Some(ttl))
}

/// What about a scope names nothing that is known, in words.
pub(super) fn warnings(scope: &Scope, table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for term in scope.terms() {
        let names: Vec<&str> = match term.dimension {
            Dimension::Provider => table.providers.iter().map(|p| p.name.as_str()).collect(),
            Dimension::Route => table.routes.iter().map(|r| r.name.as_str()).collect(),
            Dimension::App => table.apps.iter().map(|app| app.name.as_str()).collect(),
            // Callers bring these; that nobody has yet says nothing.
            Dimension::Model | Dimension::Agent | Dimension::Tool | Dimension::Session => continue,
        };
        if !names.iter().any(|name| term.pattern.matches(name.as_bytes())) {
            let pattern = term.pattern.text();
            let dimension = term.dimension.name();
            found.push(format!(
                "no {dimension} here is called `{pattern}`{}; the lever stands all the same",
                view::nearest(&pattern, names.into_iter())
            ));
        }
    }
    found
}

pub(super) async fn pull(
    extract::State(desk): extract::State<Desk>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let mut asked: Pull = body::read(request).await?;
    let table = desk.state.switchboard.table();
    let scope = scope(asked.scope.as_deref())?;
    let act = act(&mut asked, &table, &scope)?;
    let rules = own_rules(&act, &table).await?;
    let actor = actor(&desk, &headers, asked.author.take())?;
    let warnings = warnings(&scope, &table);
    let order = Order {
        act,
        rules,
        scope,
        reason: reason(asked.reason)?,
        message: text("message", asked.message)?,
        ttl: ttl(asked.ttl_s)?,
        incident: text("incident", asked.incident)?,
    };
    let key = guard::idempotency_key(&headers)?;
    let _alone = match key {
        Some(_) => Some(desk.state.keyed.lock().await),
        None => None,
    };
    if let Some(known) = key.as_deref().and_then(|key| desk.state.answered(key)) {
        return Ok(known.into_response());
    }
    let pulled = desk.state.levers.pull(order, &actor).await.map_err(problem)?;
    let status = if pulled.rev.is_some() { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    let answer = (status, told(&pulled, &warnings));
    if let Some(key) = key {
        desk.state.keep_answer(key, &answer);
    }
    let (status, value) = answer;
    Ok((status, etag(pulled.epoch.0), Json(value)).into_response())
}

/// The proof that a pull answers with.
fn told(pulled: &Pulled, warnings: &[String]) -> Value {
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    json!({
        "lever": lever(&pulled.lever),
        "durable": pulled.rev.is_some(),
        "not_durable_because": pulled.not_durable,
        "rev": pulled.rev.map(|rev| rev.0),
        "epoch": pulled.epoch.0,
        "exchanges": {
            "ordered": pulled.counted.ordered,
            "ended": pulled.counted.ended,
            "bytes_after_publication": pulled.counted.late_bytes,
        },
        "took_ms": {
            "durable": ms(pulled.took.durable),
            "published": ms(pulled.took.published),
            "total": ms(pulled.took.total),
        },
        "warnings": warnings,
    })
}

pub(super) async fn dry_run(
    extract::State(desk): extract::State<Desk>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let mut asked: Pull = body::read(request).await?;
    let table = desk.state.switchboard.table();
    let scope = scope(asked.scope.as_deref())?;
    let act = act(&mut asked, &table, &scope)?;
    own_rules(&act, &table).await?;
    let mut value = blast::radius(&desk.state, &table, &scope, &act);
    value["warnings"] = json!(warnings(&scope, &table));
    Ok((etag(table.epoch.0), Json(value)).into_response())
}

pub(super) async fn list(extract::State(desk): extract::State<Desk>) -> Response {
    let (rev, standing) = desk.state.levers.standing().await;
    let epoch = desk.state.switchboard.epoch();
    let items: Vec<Value> = standing.iter().map(row).collect();
    let condition = desk.state.levers.condition().borrow().clone();
    let body = json!({
        "items": items,
        "next": null,
        "rev": rev.0,
        "epoch": epoch.0,
        "control_log": view::condition(&condition),
        "levers_max": LEVERS_MAX,
    });
    (etag(epoch.0), Json(body)).into_response()
}

pub(super) async fn show(
    extract::State(desk): extract::State<Desk>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = lever_id(id)?;
    let (_, standing) = desk.state.levers.standing().await;
    match standing.iter().find(|standing| standing.lever.id == id) {
        Some(standing) => Ok(Json(row(standing)).into_response()),
        None => {
            Err(Problem::not_found("No lever of this id is in force; the history may tell of it."))
        }
    }
}

pub(super) async fn history(
    extract::State(desk): extract::State<Desk>,
    query: Result<Query<Since>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(since) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let most = since.limit.unwrap_or(HISTORY_PAGE).clamp(1, HISTORY_PAGE);
    let entries = desk.state.levers.history(Rev(since.after.unwrap_or(0)), most).await;
    let next = entries.last().filter(|_| entries.len() == most).map(|last| last.rev.0);
    let items: Vec<Value> = entries.iter().map(change).collect();
    Ok(Json(json!({ "items": items, "next": next })).into_response())
}

pub(super) async fn extend(
    extract::State(desk): extract::State<Desk>,
    id: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let id = lever_id(id)?;
    let (actor, reason, ttl_s) = why(&desk, request).await?;
    let ttl = ttl(ttl_s)?;
    let done = desk.state.levers.extend(id, ttl, &reason, &actor).await.map_err(problem)?;
    Ok(changed(&done))
}

pub(super) async fn lift(
    extract::State(desk): extract::State<Desk>,
    id: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let id = lever_id(id)?;
    let (actor, reason, _) = why(&desk, request).await?;
    let done = desk.state.levers.lift(id, &reason, &actor).await.map_err(problem)?;
    Ok(changed(&done))
}

fn changed(done: &Changed) -> Response {
    let body = json!({
        "lever": lever(&done.lever),
        "rev": done.rev.map(|rev| rev.0),
        "epoch": done.epoch.0,
    });
    (etag(done.epoch.0), Json(body)).into_response()
}

/// Who changes a lever, why, and for how many seconds.
async fn why(
    desk: &Desk,
    request: Request<Body>,
) -> Result<(Actor, Box<str>, Option<u64>), Problem> {
    let headers = request.headers().clone();
    let asked: Why = body::read(request).await?;
    Ok((actor(desk, &headers, asked.author)?, reason(asked.reason)?, asked.ttl_s))
}

fn lever_id(id: Result<Path<String>, PathRejection>) -> Result<LeverId, Problem> {
    let Path(text) = id.map_err(|error| Problem::bad_request(error.body_text()))?;
    LeverId::parse(&text)
        .ok_or_else(|| Problem::bad_request("A lever's id is `lv_` and 32 digits of 0-9a-f."))
}

/// Kind and data of the event that tells of a notice.
pub(super) fn notice(notice: &Notice) -> (&'static str, Value) {
    let about = |change: &str, about: &Arc<Lever>| {
        ("lever", json!({ "change": change, "lever": lever(about) }))
    };
    match notice {
        Notice::Pulled(pulled) => {
            let mut value = told(pulled, &[]);
            value["change"] = json!("pull");
            ("lever", value)
        }
        Notice::Extended(lever) => about("extend", lever),
        Notice::Lifted(lever) => about("lift", lever),
        Notice::Expired(lever) => about("expire", lever),
        Notice::NearEnd(lever) => about("near_end", lever),
        Notice::Ruled(ruled, actor) => {
            let mut value = rules::ruled_as_json(ruled);
            value["who"] = json!(actor.who);
            value["by"] = json!(actor.by);
            ("rule", value)
        }
        Notice::Held(hold) => ("hold", holds::view(hold)),
        Notice::Released(hold) => ("hold_released", holds::view(hold)),
        Notice::Log(condition) => ("control_log", view::condition(condition)),
    }
}

/// `GET /api/v1/live`: the open exchanges, by who asks what of whom.
pub(super) async fn live(extract::State(desk): extract::State<Desk>) -> Response {
    let mut groups: BTreeMap<[Option<String>; 5], u64> = BTreeMap::new();
    let open = (desk.state.open)(&Scope::all());
    let count = open.len();
    for about in open {
        let key = [
            about.app.map(|app| app.as_str().to_owned()),
            about.agent.map(|agent| agent.to_string()),
            about.route.map(|route| route.as_str().to_owned()),
            about.provider.map(|provider| provider.as_str().to_owned()),
            about.model.map(|model| model.as_str().to_owned()),
        ];
        *groups.entry(key).or_default() += 1;
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    groups.truncate(LIVE_GROUPS_MAX);
    let items: Vec<Value> = groups
        .iter()
        .map(|([app, agent, route, provider, model], count)| {
            json!({
                "app": app, "agent": agent, "route": route,
                "provider": provider, "model": model, "exchanges": count,
            })
        })
        .collect();
    Json(json!({ "items": items, "next": null, "exchanges": count })).into_response()
}

/// A lever as the API tells of it.
pub(super) fn lever(lever: &Arc<Lever>) -> Value {
    let mut value = json!({
        "id": lever.id.to_string(),
        "kind": lever.act.kind(),
        "scope": lever.scope.to_string(),
        "reason": lever.reason,
        "message": lever.message,
        "author": lever.author,
        "created": view::moment(lever.created_unix_ms),
        "ttl_s": lever.ttl_ms.map(|ms| ms / 1_000),
        "incident": lever.incident,
    });
    match &lever.act {
        Act::Kill { in_flight } => value["in_flight"] = json!(in_flight),
        Act::Limit { ceiling } => {
            let money = |name: &str, most: u64| {
                if name.starts_with("usd_") {
                    json!(most as f64 / NANO_PER_USD)
                } else {
                    json!(most)
                }
            };
            let mut limits: serde_json::Map<String, Value> = ceiling
                .caps
                .iter()
                .map(|(name, most)| (name.clone(), money(name, *most)))
                .collect();
            limits.extend(ceiling.concurrent.map(|most| ("concurrent".to_owned(), json!(most))));
            value["limits"] = Value::Object(limits);
        }
        Act::Reroute { to, in_flight } => {
            value["in_flight"] = json!(in_flight);
            value["to"] = json!(to);
        }
        Act::Filter { packs, rules } => {
            value["packs"] = json!(packs);
            value["rules"] = json!(rules);
        }
    }
    value
}

fn row(standing: &Standing) -> Value {
    let mut value = lever(&standing.lever);
    value["durable"] = json!(standing.is_durable);
    value["remaining_s"] = json!(standing.remaining.map(|left| left.as_secs_f64()));
    value["ordered"] = json!(standing.counted.ordered);
    value["ended"] = json!(standing.counted.ended);
    value["refused"] = json!(standing.counted.refused);
    value
}

fn change(entry: &Entry) -> Value {
    use crate::control::log::Change;
    let mut value = json!({
        "rev": entry.rev.0,
        "change": entry.change.name(),
        "lever_id": entry.change.lever().map(|id| id.to_string()),
        "rule": entry.change.rule(),
        "at": view::moment(entry.audit.unix_ms),
        "who": entry.audit.who,
        "role": entry.audit.role,
        "by": entry.audit.by,
        "reason": entry.audit.reason,
        "ticket": entry.audit.ticket,
        "before": entry.audit.before,
        "hash": entry.hash.to_string(),
    });
    match &entry.change {
        Change::Pull { lever: pulled } => value["lever"] = lever(&Arc::new(pulled.clone())),
        Change::Hold { hold } => value["hold"] = holds::view(hold),
        Change::Release { id } => value["hold"] = json!({ "id": id }),
        Change::Extend { ttl_ms, .. } => value["ttl_s"] = json!(ttl_ms.map(|ms| ms / 1_000)),
        Change::Lift { .. }
        | Change::Expire { .. }
        | Change::Demote { .. }
        | Change::Promote { .. } => {}
    }
    value
}
