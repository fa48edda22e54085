//! What a pull is to do: each kind of lever takes its own members, and no others.

use super::Pull;
use crate::admin::body::RULES_BYTES_MAX;
use crate::admin::problem::Problem;
use crate::admin::view;
use crate::table::lever::{Act, Ceiling, Dimension, OnKill, OnReroute, Rules, Scope, index};
use crate::table::{CAPS, Table, Unit};
use std::sync::Arc;

/// Nano-USD in a USD.
pub(super) const NANO_PER_USD: f64 = 1e9;

pub(super) fn act(pull: &mut Pull, table: &Table, scope: &Scope) -> Result<Act, Problem> {
    let bad = |detail: String| Err(Problem::bad_request(detail));
    let kind = pull.kind.as_deref().unwrap_or("");
    let in_flight = pull.in_flight.as_deref();
    if pull.limits.is_some() && kind != "limit" {
        return bad("`limits` belongs to a limit.".to_owned());
    }
    if (pull.packs.is_some() || pull.rules.is_some()) && kind != "filter" {
        return bad("`packs` and `rules` belong to a filter.".to_owned());
    }
    match kind {
        "limit" => return limit(pull, scope),
        "filter" => return filter(pull, scope),
        _ => {}
    }
    let to = pull.to.take();
    match kind {
        "kill" => {
            if to.is_some() {
                return bad("`to` belongs to a reroute, not to a kill.".to_owned());
            }
            let in_flight = match in_flight {
                None | Some("cut") => OnKill::Cut,
                Some("drain") => OnKill::Drain,
                Some(_) => return bad("`in_flight` of a kill is `cut` or `drain`.".to_owned()),
            };
            Ok(Act::Kill { in_flight })
        }
        "reroute" => {
            let in_flight = match in_flight {
                None | Some("finish") => OnReroute::Finish,
                Some("switch") => OnReroute::Switch,
                Some(_) => {
                    return bad("`in_flight` of a reroute is `finish` or `switch`.".to_owned());
                }
            };
            if scope.names_tool() {
                return bad("a tool cannot be rerouted, only killed.".to_owned());
            }
            let to = to.filter(|to| !to.is_empty()).ok_or_else(|| {
                Problem::bad_request(
                    "a reroute needs `to`: targets as `provider/model`, or `provider` for the model asked for.",
                )
            })?;
            for name in &to {
                if index::resolve(name, &table.files).is_none() {
                    let provider = name.split('/').next().unwrap_or(name);
                    let known = table.providers.iter().map(|known| known.name.as_str());
                    return bad(format!(
                        "`to` names `{}`: there is no such target{}",
                        view::shown(name),
                        view::nearest(provider, known)
                    ));
                }
            }
            Ok(Act::Reroute { to, in_flight })
        }
        other => bad(format!(
            "`kind` is `kill`, `limit`, `reroute` or `filter`, not `{}`.",
            view::shown(other)
        )),
    }
}

/// The act of a filter.
fn filter(pull: &mut Pull, scope: &Scope) -> Result<Act, Problem> {
    let bad = |detail: String| Err(Problem::bad_request(detail));
    if pull.in_flight.is_some() || pull.to.is_some() {
        return bad("a filter has neither `in_flight` nor `to`.".to_owned());
    }
    if scope.names_tool() {
        return bad("a filter reads texts, not tools: its scope names no tool.".to_owned());
    }
    let packs = pull.packs.take().unwrap_or_default();
    let rules = pull.rules.take().filter(|rules| !rules.trim().is_empty());
    if packs.is_empty() && rules.is_none() {
        return bad(
            "a filter needs `packs`, a list of names, or `rules`, the text of a pack.".to_owned()
        );
    }
    if rules.as_ref().is_some_and(|rules| rules.len() > RULES_BYTES_MAX) {
        return bad(format!("`rules` may have {RULES_BYTES_MAX} bytes at most."));
    }
    Ok(Act::Filter { packs, rules: rules.map(String::into_boxed_str) })
}

/// The rules of a filter, compiled before anything is durable and where nobody waits for them: a
/// kill that is pulled meanwhile does not.
pub(super) async fn rules(act: &Act, table: &Table) -> Result<Option<Rules>, Problem> {
    let Act::Filter { packs, rules } = act else { return Ok(None) };
    let (packs, rules, files) = (packs.clone(), rules.clone(), Arc::clone(&table.files));
    let compiling = tokio::task::spawn_blocking(move || {
        let rules = Rules::compile(&packs, rules.as_deref(), &files)?;
        rules.warm();
        Ok(rules)
    });
    let why = match compiling.await {
        Ok(Ok(rules)) => return Ok(Some(rules)),
        Ok(Err(why)) => why,
        Err(_) => "the rules cannot be compiled.".to_owned(),
    };
    Err(Problem::bad_request(why))
}

/// The act of a limit: caps as the routes file names them, money in USD.
fn limit(pull: &mut Pull, scope: &Scope) -> Result<Act, Problem> {
    let bad = |detail: String| Err(Problem::bad_request(detail));
    if pull.in_flight.is_some() || pull.to.is_some() {
        return bad("a limit has neither `in_flight` nor `to`.".to_owned());
    }
    if scope.names_tool() || scope.pattern(Dimension::Provider).is_some() {
        return bad(
            "a limit counts requests before a target is chosen: its scope names model (as asked), route, app, agent or session."
                .to_owned(),
        );
    }
    let known = || CAPS.iter().map(|(name, ..)| *name).chain(["concurrent"]);
    let listed = || known().collect::<Vec<_>>().join(", ");
    let Some(asked) = pull.limits.take().filter(|limits| !limits.is_empty()) else {
        return bad(format!("a limit needs `limits`: an object of {}.", listed()));
    };
    let mut ceiling = Ceiling::default();
    for (name, most) in asked {
        let Some(unit) = CAPS.iter().find(|(cap, ..)| *cap == name).map(|(_, unit, _)| *unit)
        else {
            if name == "concurrent" && most.fract() == 0.0 && (0.0..=1e9).contains(&most) {
                ceiling.concurrent = Some(most as u32);
                continue;
            }
            let nearest = view::nearest(&name, known());
            return bad(format!(
                "`limits` knows {}, not `{}`{nearest}",
                listed(),
                view::shown(&name)
            ));
        };
        let scaled = if unit == Unit::Money { most * NANO_PER_USD } else { most };
        if !(0.0..=1e18).contains(&scaled) || (unit != Unit::Money && most.fract() != 0.0) {
            return bad(format!("`{name}` must be a number from 0, whole unless it is money."));
        }
        ceiling.caps.insert(name, scaled as u64);
    }
    Ok(Act::Limit { ceiling })
}
