//! `/api/v1/rules`: which rules there are and what they did, rules on trial, and rules that only
//! report whatever their packs say.
//!
//! Rules are put in force by files and by filter levers; here they are only looked at, tried, and
//! demoted. To demote is permissive, so it takes an author and a reason, and is in the control log
//! before it is in force.

use super::desk::Desk;
use super::problem::Problem;
use super::read::{PageQuery, etag, part_of_table};
use super::{body, said, view};
use crate::control::Ruled;
use crate::exchange::screen::{Done, Hit, judge_text};
use crate::filter::Kind;
use crate::table::costs::RuleCost;
use crate::table::lever::Rules;
use crate::table::rules::{Mode, OnError, PackRule, Rulebook};
use crate::table::{Table, describe, packs};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, Path};
use axum::response::{IntoResponse, Response};
use http::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most texts of one trial.
const TEXTS_MAX: usize = 100;

/// A rule as its pack says it.
pub fn rule(rule: &PackRule) -> Value {
    let (pack, id) = rule.name.split_once('/').unwrap_or((&rule.name, ""));
    let doing = |doing: &describe::Doing| {
        json!({
            "action": doing.action,
            "redact": doing.redact,
            "channels": describe::names(doing.channels),
        })
    };
    json!({
        "pack": pack,
        "id": id,
        "about": rule.about,
        "channels": describe::names(rule.channels()),
        "actions": describe::doings(rule).iter().map(doing).collect::<Vec<_>>(),
        "mode": rule.mode.to_string(),
        "on_error": match rule.on_error {
            OnError::Cut => "cut",
            OnError::Pass => "pass",
        },
        "trip": rule.trip.as_ref().map(|trip| json!({
            "after": trip.after,
            "within_s": trip.within.as_secs(),
            "lever": describe::kills(trip.kills),
        })),
        "demote": rule.demote.as_ref().map(|demote| json!({
            "above": demote.above,
            "of": demote.of,
            "within_s": demote.within.as_secs(),
        })),
        "tags": rule.tags,
    })
}

/// What a rule costs.
pub fn cost(cost: &RuleCost) -> Value {
    json!({
        "held_bytes": cost.held.map(|held| held.mean_bytes),
        "held_share": cost.held.map(|held| held.share),
        "held_bytes_max": cost.longest_bytes,
        "states": cost.states,
        "memory_bytes": cost.memory_bytes,
        "holds_much": cost.holds_much(),
    })
}

/// A rule that stands somewhere.
struct InUse {
    rule: Arc<PackRule>,
    routes: Vec<String>,
    levers: Vec<String>,
}

/// Every rule that a route or a lever names, and those of the folder's packs, by name.
fn in_use(table: &Table) -> Vec<InUse> {
    let mut found: BTreeMap<Arc<str>, InUse> = BTreeMap::new();
    let mut note = |rule: &Arc<PackRule>, route: Option<&str>, lever: Option<String>| {
        let entry = found.entry(Arc::clone(&rule.name)).or_insert_with(|| InUse {
            rule: Arc::clone(rule),
            routes: Vec::new(),
            levers: Vec::new(),
        });
        entry.routes.extend(route.map(str::to_owned));
        entry.levers.extend(lever);
    };
    for route in &table.routes {
        for rule in route.rules.iter().flat_map(|book| &book.rules) {
            note(rule, Some(route.name.as_str()), None);
        }
    }
    for lever in table.levers.all() {
        for book in table.levers.rules(lever.id).into_iter().flat_map(Rules::books) {
            book.rules.iter().for_each(|rule| note(rule, None, Some(lever.id.to_string())));
        }
    }
    for pack in table.packs.own() {
        pack.pack.rules.iter().for_each(|rule| note(rule, None, None));
    }
    found.into_values().collect()
}

/// `GET /api/v1/rules`
pub(super) async fn list(
    extract::State(desk): extract::State<Desk>,
    query: PageQuery,
) -> Result<Response, Problem> {
    let table = desk.state.switchboard.table();
    let demoted = desk.state.levers.demoted().await;
    let hits = desk.state.telemetry.rule_hits();
    part_of_table(&in_use(&table), table.epoch.0, query, |one| {
        let name = &one.rule.name;
        let mut value = rule(&one.rule);
        let is_demoted = table.packs.is_shadowed(name);
        value["in_force"] =
            json!(if is_demoted { Mode::Shadow.to_string() } else { one.rule.mode.to_string() });
        value["demoted"] = demoted.get(&**name).map_or(Value::Null, |demoted| {
            json!({
                "who": demoted.who,
                "by": demoted.by,
                "reason": demoted.reason,
                "at": view::moment(demoted.unix_ms),
            })
        });
        value["hits"] =
            hits.of(name).into_iter().map(|(done, count)| (done.name(), json!(count))).collect();
        value["routes"] = json!(one.routes);
        value["levers"] = json!(one.levers);
        value
    })
}

type Named = Result<Path<(String, String)>, PathRejection>;

pub(super) async fn demote(
    extract::State(desk): extract::State<Desk>,
    name: Named,
    request: Request<Body>,
) -> Result<Response, Problem> {
    change(&desk, name, request, true).await
}

pub(super) async fn promote(
    extract::State(desk): extract::State<Desk>,
    name: Named,
    request: Request<Body>,
) -> Result<Response, Problem> {
    change(&desk, name, request, false).await
}

async fn change(
    desk: &Desk,
    name: Named,
    request: Request<Body>,
    is_demotion: bool,
) -> Result<Response, Problem> {
    let Path((pack, id)) = name.map_err(|error| Problem::bad_request(error.body_text()))?;
    let name = format!("{pack}/{id}");
    let headers = request.headers().clone();
    let asked: said::Why = body::read(request).await?;
    if asked.ttl_s.is_some() {
        let detail = "`ttl_s` belongs to a lever: a rule is demoted until it is promoted.";
        return Err(Problem::bad_request(detail));
    }
    let actor = said::actor(desk, &headers, asked.author)?;
    let reason = said::reason(asked.reason)?;
    // A rule that is demoted may be promoted though its pack has gone meanwhile.
    let is_known = desk.state.levers.demoted().await.contains_key(name.as_str());
    let table = desk.state.switchboard.table();
    let mut mode = None;
    match in_use(&table).into_iter().find(|one| *one.rule.name == *name) {
        Some(_) if table.packs.rule(&name).is_err() => {
            let detail = "This rule stands in a lever, not in a pack: lift the lever.";
            return Err(Problem::bad_request(detail));
        }
        Some(found) => mode = Some(found.rule.mode.to_string()),
        None if is_known => {}
        None => {
            let near = in_use(&table);
            let near = near.iter().map(|one| &*one.rule.name);
            return Err(Problem::not_found(format!(
                "No rule `{}` is in use here{}",
                view::shown(&name),
                view::nearest(&name, near)
            )));
        }
    }
    let desk = &desk.state.levers;
    let ruled = if is_demotion {
        desk.demote(&name, &reason, &actor).await
    } else {
        desk.promote(&name, &reason, &actor).await
    };
    let ruled = ruled.map_err(said::problem)?;
    let mut value = ruled_as_json(&ruled);
    value["mode"] = json!(mode);
    Ok((etag(ruled.epoch.0), Json(value)).into_response())
}

/// What a change of a rule came to.
pub(super) fn ruled_as_json(ruled: &Ruled) -> Value {
    json!({
        "rule": ruled.rule,
        "demoted": ruled.is_demoted,
        "changed": ruled.is_new,
        "rev": ruled.rev.map(|rev| rev.0),
        "epoch": ruled.epoch.0,
    })
}

/// What a trial says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trial {
    pack: Option<String>,
    rules: Option<String>,
    #[serde(default)]
    texts: Vec<Given>,
}

/// A text to try rules on, with or without what kind of text it is.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Given {
    Plain(String),
    Placed(Placed),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Placed {
    text: String,
    channel: String,
}

/// `POST /api/v1/rules/test`: nothing is put in force, and nothing is kept.
pub(super) async fn test(
    extract::State(desk): extract::State<Desk>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let asked: Trial = body::read(request).await?;
    if asked.texts.is_empty() || asked.texts.len() > TEXTS_MAX {
        return Err(Problem::bad_request(format!("`texts` has 1 to {TEXTS_MAX} texts.")));
    }
    let texts: Vec<(String, Option<Kind>)> = asked
        .texts
        .into_iter()
        .map(|given| match given {
            Given::Plain(text) => Ok((text, None)),
            Given::Placed(Placed { text, channel }) => match Kind::named(&channel) {
                Some(kind) => Ok((text, Some(kind))),
                None => Err(Problem::bad_request(format!(
                    "`channel` names no kind of text: `{}`{}",
                    view::shown(&channel),
                    view::nearest(&channel, Kind::ALL.into_iter().map(Kind::name))
                ))),
            },
        })
        .collect::<Result<_, _>>()?;
    let is_one = asked.pack.is_some() != asked.rules.is_some();
    if !is_one {
        return Err(Problem::bad_request(
            "either `pack`, a name, or `rules`, the text of a pack, is required.",
        ));
    }
    if asked.rules.as_ref().is_some_and(|rules| rules.len() > body::RULES_BYTES_MAX) {
        let most = body::RULES_BYTES_MAX;
        return Err(Problem::bad_request(format!("`rules` may have {most} bytes at most.")));
    }
    // Rules are compiled for it, which takes memory and time: one trial at once.
    let _alone = desk
        .state
        .trials
        .try_acquire()
        .map_err(|_| Problem::unavailable("Another trial of rules is under way; try again."))?;
    let table = desk.state.switchboard.table();
    let tried = tokio::task::spawn_blocking(move || {
        let book = match (asked.pack, asked.rules) {
            (Some(name), _) => table.packs.book(&name)?,
            (None, rules) => Arc::clone(&packs::inline(&rules.unwrap_or_default())?.book),
        };
        let book = book.enforcing().ok_or("the rules do not compile in force")?;
        let others = book.rules.iter().filter(|rule| !rule.webhooks.is_empty());
        let others: Vec<String> = others.map(|rule| rule.name.to_string()).collect();
        let tried: Value = texts.iter().map(|(text, kind)| tried(&book, text, *kind)).collect();
        Ok::<_, String>((tried, others))
    });
    let (tried, others) =
        tried.await.map_err(|_| Problem::internal())?.map_err(Problem::bad_request)?;
    Ok(Json(json!({ "items": tried, "next": null, "not_asked": others })).into_response())
}

/// What rules do to a text, as each kind of text that they read.
fn tried(book: &Rulebook, text: &str, kind: Option<Kind>) -> Value {
    let judges: Vec<_> = book.judge(0).into_iter().cloned().collect();
    let kinds = Kind::ALL.into_iter().filter(|one| kind.is_none_or(|kind| kind == *one));
    let mut verdict = None;
    let mut channels = Vec::new();
    for kind in kinds.filter(|kind| judges.iter().any(|judge| judge.reads(*kind))) {
        let (found, left) = judge_text(&judges, kind, text);
        verdict = verdict.max(found.verdict());
        let hits = found.hits.iter().map(Hit::as_json).collect::<Value>();
        let leaves = match found.verdict() {
            Some(Done::Cut | Done::Rerouted) => Value::Null,
            Some(Done::Redacted | Done::Flagged) | None => json!(left.as_deref().unwrap_or(text)),
        };
        channels.push(json!({
            "channel": kind.name(),
            "verdict": Done::verdict(found.verdict()),
            "hits": hits,
            "hits_more": found.more(),
            "leaves": leaves,
        }));
    }
    json!({ "verdict": Done::verdict(verdict), "channels": channels })
}
