//! What people and the gate did, in the record beside what it did to: levers and rules.
//!
//! The control log is the truth of levers; these notes stand in the record so that it can be read
//! without that log, and its chain shows what was in force when.

use crate::control::{Hold, Notice};
use crate::evidence::Tap;
use crate::table::lever::Lever;
use serde_json::{Value, json};

fn lever(lever: &Lever) -> Value {
    json!({
        "id": lever.id.to_string(),
        "kind": lever.act.kind(),
        "scope": lever.scope.to_string(),
        "reason": &*lever.reason,
        "author": &*lever.author,
        "incident": lever.incident.as_deref(),
    })
}

fn held(hold: &Hold) -> Value {
    json!({
        "id": hold.id,
        "scope": hold.scope.to_string(),
        "reason": hold.reason,
        "author": hold.author,
        "incident": hold.incident,
    })
}

/// Notes what the lever desk tells of.
pub(super) fn notice(tap: &Tap, epoch: u64, notice: &Notice) {
    let told = |what: &'static str, of: &Lever| {
        let mut about = lever(of);
        about["epoch"] = epoch.into();
        tap.say(what, about);
    };
    match notice {
        Notice::Pulled(pulled) => told("lever_pulled", &pulled.lever),
        Notice::Extended(of) => told("lever_extended", of),
        Notice::Lifted(of) => told("lever_lifted", of),
        Notice::Expired(of) => told("lever_expired", of),
        Notice::Ruled(ruled, actor) => {
            let what = if ruled.is_demoted { "rule_demoted" } else { "rule_promoted" };
            tap.say(what, json!({ "rule": &*ruled.rule, "who": &*actor.who, "epoch": epoch }));
        }
        Notice::Held(hold) => tap.say("hold_placed", held(hold)),
        Notice::Released(hold) => tap.say("hold_released", held(hold)),
        Notice::NearEnd(_) | Notice::Log(_) => {}
    }
}
