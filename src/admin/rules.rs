//! Rules as the API tells of them.

use crate::table::costs::RuleCost;
use crate::table::describe;
use crate::table::rules::{OnError, PackRule};
use serde_json::{Value, json};

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
