//! The blast radius of a lever that is not pulled yet.
//!
//! Two looks with the matcher that a pulled lever is obeyed with: at the exchanges that are open
//! now, and at the last ones that finished. The second reaches as far back as the ring of recent
//! exchanges does, and says how far that is.

use super::state::State;
use crate::control::clocks;
use crate::exchange::facts::Facts;
use crate::id::{AppName, ProviderName, RouteName};
use crate::table::lever::{Act, Dimension, Scope, Subject};
use crate::table::{Pattern, Route, Table};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Most names of a kind that are listed.
const NAMES_MAX: usize = 50;
/// How far back finished exchanges are counted, in milliseconds.
const WINDOW_MS: u64 = 5 * 60 * 1_000;

/// What pulling `act` over `scope` would reach.
pub(super) fn radius(state: &State, table: &Table, scope: &Scope, act: &Act) -> Value {
    let live = (state.open)(scope);
    let mut apps = BTreeSet::new();
    let mut agents = BTreeSet::new();
    let mut sessions = BTreeSet::new();
    let mut routes = BTreeSet::new();
    for about in &live {
        apps.extend(about.app.as_ref().map(|app| app.as_str().to_owned()));
        agents.extend(about.agent.as_deref().map(str::to_owned));
        sessions.extend(about.session.as_deref().map(str::to_owned));
        routes.extend(about.route.as_ref().map(|route| route.as_str().to_owned()));
    }
    json!({
        "kind": act.kind(),
        "scope": scope.to_string(),
        "live": {
            "exchanges": live.len(),
            "sessions": sessions.len(),
            "apps": apps.iter().take(NAMES_MAX).collect::<Vec<_>>(),
            "agents": agents.iter().take(NAMES_MAX).collect::<Vec<_>>(),
            "routes": routes.iter().take(NAMES_MAX).collect::<Vec<_>>(),
        },
        "recent": recent(state, table, scope),
        // The others take no target away.
        "routes": if matches!(act, Act::Kill { .. }) { left(table, scope) } else { json!([]) },
    })
}

fn recent(state: &State, table: &Table, scope: &Scope) -> Value {
    let now = clocks::unix_ms();
    let kept = state.telemetry.recent().page(None, usize::MAX);
    let inside: Vec<&Facts> = kept
        .iter()
        .map(|(_, facts)| &**facts)
        .filter(|facts| facts.began_unix_ms + WINDOW_MS >= now)
        .collect();
    let oldest = inside.iter().map(|facts| facts.began_unix_ms).min();
    let matched: Vec<&&Facts> =
        inside.iter().filter(|facts| scope.covers(&subject(table, facts))).collect();
    let window_ms = oldest.map_or(0, |oldest| now.saturating_sub(oldest)).max(1_000);
    let apps: BTreeSet<&str> = matched
        .iter()
        .filter_map(|facts| facts.identity.app.as_ref().map(AppName::as_str))
        .collect();
    let sessions: BTreeSet<&str> =
        matched.iter().filter_map(|facts| facts.identity.session.as_deref()).collect();
    json!({
        "window_s": window_ms / 1_000,
        "exchanges": matched.len(),
        "of": inside.len(),
        "per_minute": matched.len() as f64 * 60_000.0 / window_ms as f64,
        "sessions": sessions.len(),
        "apps": apps.iter().take(NAMES_MAX).collect::<Vec<_>>(),
    })
}

/// A finished exchange as scopes see it.
fn subject<'f>(table: &'f Table, facts: &'f Facts) -> Subject<'f> {
    let target = table.targets.iter().find(|target| Some(&target.name) == facts.target.as_ref());
    let asked = facts.model_asked.as_deref();
    let model = target.and_then(|target| target.model.as_ref()).map(crate::id::ModelName::as_str);
    Subject {
        provider: facts.provider.as_ref().map(ProviderName::as_str),
        model: model.or(asked),
        alias: asked.filter(|_| model.is_some()),
        route: facts.route.as_ref().map(RouteName::as_str),
        app: facts.identity.app.as_ref().map(AppName::as_str),
        agent: facts.identity.agent.as_deref(),
        session: facts.identity.session.as_deref(),
    }
}

/// For each route that loses a target: the targets that it has left.
fn left(table: &Table, scope: &Scope) -> Value {
    let mut found = Vec::new();
    for route in table.routes.iter().filter(|route| route.matcher.provider.is_none()) {
        let (lost, left) = split(table, route, scope);
        if !lost.is_empty() {
            found.push(json!({ "route": route.name.as_str(), "loses": lost, "left": left }));
        }
    }
    found.truncate(NAMES_MAX);
    json!(found)
}

fn split<'t>(table: &'t Table, route: &'t Route, scope: &Scope) -> (Vec<&'t str>, Vec<&'t str>) {
    let chain =
        route.targets.iter().map(|weighted| weighted.target).chain(route.fallback.iter().copied());
    let mut seen = BTreeSet::new();
    let (mut lost, mut left) = (Vec::new(), Vec::new());
    for index in chain.filter(|index| seen.insert(*index)) {
        let target = &table.targets[usize::from(index.0)];
        let provider = &table.providers[usize::from(target.provider.0)];
        let subject = Subject {
            provider: Some(provider.name.as_str()),
            model: target.model.as_ref().map(crate::id::ModelName::as_str),
            route: Some(route.name.as_str()),
            ..Subject::default()
        };
        // A term about who asks may hold for any caller of the route; a model that the caller
        // names is one that the route takes.
        let is_asked_for = target.model.is_some()
            || route.matcher.models.is_empty()
            || match scope.pattern(Dimension::Model) {
                Some(Pattern::Exact(model)) => {
                    route.matcher.models.iter().any(|taken| taken.matches(model.as_bytes()))
                }
                Some(Pattern::Glob(_)) | None => true,
            };
        if is_asked_for && scope.may_cover(&subject) {
            lost.push(&*target.name);
        } else {
            left.push(&*target.name);
        }
    }
    (lost, left)
}
