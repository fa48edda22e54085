//! The table of routes, and the router that is made from it.

use super::desk::{Access, Desk, Door};
use super::guard;
use super::problem::Problem;
use super::runs::Kind;
use super::state::State;
use super::tokens::Role;
use super::{events, holds, levers, read, reload, rules, runs, sessions};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, on};
use std::sync::Arc;

/// What the API does; all it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Health,
    Ready,
    Metrics,
    Status,
    Routes,
    Providers,
    Limits,
    Exchanges,
    Exchange,
    Events,
    Reload,
    Openapi,
    Levers,
    Lever,
    Pull,
    DryRun,
    Extend,
    Lift,
    History,
    Live,
    Rules,
    TestRules,
    Demote,
    Promote,
    Sessions,
    Session,
    Search,
    Record,
    Holds,
    Hold,
    Release,
    Backtests,
    Backtest,
    StartBacktest,
    EndBacktest,
    Replays,
    Replay,
    StartReplay,
    EndReplay,
}

/// A method of the API; nothing is changed but by POST and DELETE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads. Answers HEAD as well.
    Get,
    /// Changes.
    Post,
    /// Takes away.
    Delete,
}

impl Verb {
    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Delete => "DELETE",
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The method.
    pub verb: Verb,
    /// The path, with `{names}` for its variable parts.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    operation: Operation,
}

const fn row(verb: Verb, path: &'static str, access: Access, operation: Operation) -> Endpoint {
    Endpoint { verb, path, access, operation }
}

const VIEWER: Access = Access::Role(Role::Viewer);
const RESPONDER: Access = Access::Role(Role::Responder);
const AUTHOR: Access = Access::Role(Role::Author);

/// Every route of the admin plane.
pub const ENDPOINTS: [Endpoint; 39] = [
    row(Verb::Get, "/healthz", Access::Open, Operation::Health),
    row(Verb::Get, "/readyz", Access::Open, Operation::Ready),
    row(Verb::Get, "/metrics", VIEWER, Operation::Metrics),
    row(Verb::Get, "/api/v1/status", VIEWER, Operation::Status),
    row(Verb::Get, "/api/v1/routes", VIEWER, Operation::Routes),
    row(Verb::Get, "/api/v1/providers", VIEWER, Operation::Providers),
    row(Verb::Get, "/api/v1/limits", VIEWER, Operation::Limits),
    row(Verb::Get, "/api/v1/exchanges", VIEWER, Operation::Exchanges),
    row(Verb::Get, "/api/v1/exchanges/{id}", VIEWER, Operation::Exchange),
    row(Verb::Get, "/api/v1/exchanges/{id}/record", RESPONDER, Operation::Record),
    row(Verb::Get, "/api/v1/sessions", VIEWER, Operation::Sessions),
    row(Verb::Get, "/api/v1/sessions/{id}", RESPONDER, Operation::Session),
    row(Verb::Get, "/api/v1/search", VIEWER, Operation::Search),
    row(Verb::Get, "/api/v1/events", VIEWER, Operation::Events),
    row(Verb::Post, "/api/v1/reload", AUTHOR, Operation::Reload),
    row(Verb::Get, "/api/v1/live", VIEWER, Operation::Live),
    row(Verb::Get, "/api/v1/levers", VIEWER, Operation::Levers),
    row(Verb::Post, "/api/v1/levers", RESPONDER, Operation::Pull),
    row(Verb::Post, "/api/v1/levers/dry-run", VIEWER, Operation::DryRun),
    row(Verb::Get, "/api/v1/levers/history", VIEWER, Operation::History),
    row(Verb::Get, "/api/v1/levers/{id}", VIEWER, Operation::Lever),
    row(Verb::Delete, "/api/v1/levers/{id}", RESPONDER, Operation::Lift),
    row(Verb::Post, "/api/v1/levers/{id}/extend", RESPONDER, Operation::Extend),
    row(Verb::Get, "/api/v1/rules", VIEWER, Operation::Rules),
    row(Verb::Post, "/api/v1/rules/test", RESPONDER, Operation::TestRules),
    row(Verb::Post, "/api/v1/rules/{pack}/{id}/demote", RESPONDER, Operation::Demote),
    row(Verb::Post, "/api/v1/rules/{pack}/{id}/promote", RESPONDER, Operation::Promote),
    row(Verb::Get, "/api/v1/holds", VIEWER, Operation::Holds),
    row(Verb::Post, "/api/v1/holds", RESPONDER, Operation::Hold),
    row(Verb::Delete, "/api/v1/holds/{id}", AUTHOR, Operation::Release),
    row(Verb::Get, "/api/v1/backtests", RESPONDER, Operation::Backtests),
    row(Verb::Post, "/api/v1/backtests", RESPONDER, Operation::StartBacktest),
    row(Verb::Get, "/api/v1/backtests/{id}", RESPONDER, Operation::Backtest),
    row(Verb::Delete, "/api/v1/backtests/{id}", RESPONDER, Operation::EndBacktest),
    row(Verb::Get, "/api/v1/replays", RESPONDER, Operation::Replays),
    row(Verb::Post, "/api/v1/replays", RESPONDER, Operation::StartReplay),
    row(Verb::Get, "/api/v1/replays/{id}", RESPONDER, Operation::Replay),
    row(Verb::Delete, "/api/v1/replays/{id}", RESPONDER, Operation::EndReplay),
    row(Verb::Get, "/api/v1/openapi.json", VIEWER, Operation::Openapi),
];

/// The router for callers who come by `door`.
pub fn router(state: Arc<State>, door: Door) -> Router {
    let desk = Desk { state, door };
    let mut router = Router::new();
    for endpoint in ENDPOINTS {
        let authorise = from_fn_with_state((desk.clone(), endpoint.access), guard::authorise);
        router = router.route(endpoint.path, handler(endpoint).route_layer(authorise));
    }
    router
        .fallback(|| async { Problem::not_found("There is no such path.") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(from_fn_with_state(desk.clone(), guard::admit))
        .layer(from_fn(guard::finish))
        .with_state(desk)
}

fn handler(endpoint: Endpoint) -> MethodRouter<Desk> {
    let method = match endpoint.verb {
        Verb::Get => MethodFilter::GET,
        Verb::Post => MethodFilter::POST,
        Verb::Delete => MethodFilter::DELETE,
    };
    match endpoint.operation {
        Operation::Health => on(method, read::health),
        Operation::Ready => on(method, read::ready),
        Operation::Metrics => on(method, read::metrics),
        Operation::Status => on(method, read::status),
        Operation::Routes => on(method, read::routes),
        Operation::Providers => on(method, read::providers),
        Operation::Limits => on(method, read::limits),
        Operation::Exchanges => on(method, read::exchanges),
        Operation::Exchange => on(method, read::exchange),
        Operation::Events => on(method, events::events),
        Operation::Reload => on(method, reload::reload),
        Operation::Openapi => on(method, read::openapi),
        Operation::Levers => on(method, levers::list),
        Operation::Lever => on(method, levers::show),
        Operation::Pull => on(method, levers::pull),
        Operation::DryRun => on(method, levers::dry_run),
        Operation::Extend => on(method, levers::extend),
        Operation::Lift => on(method, levers::lift),
        Operation::Live => on(method, levers::live),
        Operation::Holds => on(method, holds::list),
        Operation::Hold => on(method, holds::place),
        Operation::Release => on(method, holds::release),
        Operation::Rules => on(method, rules::list),
        Operation::TestRules => on(method, rules::test),
        Operation::Demote => on(method, rules::demote),
        Operation::Promote => on(method, rules::promote),
        Operation::Sessions => on(method, sessions::list),
        Operation::Session => on(method, sessions::show),
        Operation::Search => on(method, sessions::search),
        Operation::Record => on(method, sessions::record),
        Operation::Backtests => runs::list(method, Kind::Backtest),
        Operation::Backtest => runs::show(method, Kind::Backtest),
        Operation::StartBacktest => on(method, runs::backtest),
        Operation::EndBacktest => runs::end(method, Kind::Backtest),
        Operation::Replays => runs::list(method, Kind::Replay),
        Operation::Replay => runs::show(method, Kind::Replay),
        Operation::StartReplay => on(method, runs::replay),
        Operation::EndReplay => runs::end(method, Kind::Replay),
        Operation::History => on(method, levers::history),
    }
}
