//! The routes that no file writes: everything under `/{provider}/` that no written route takes.

use super::rules::Rulebook;
use super::value::header_value;
use super::{
    Capture, Family, Matcher, Midstream, Provider, ProviderIndex, RetryPolicy, Route, RouteKept,
    Target, TargetIndex, Timeouts, Weighted, WhenFull,
};
use crate::id::RouteName;
use std::sync::Arc;
use std::time::Duration;

/// What implicit routes do: a caller that names a provider in the path wants that provider as if
/// nothing stood between, and its own client has timeouts and retries. Bounds stay, wide ones.
const RETRY: RetryPolicy = RetryPolicy {
    attempts: 2,
    on_connect: true,
    on_429: false,
    on_5xx: false,
    on_first_byte_timeout: false,
};
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_mins(10),
    idle: Duration::from_mins(5),
    total: Duration::from_hours(1),
};

/// The route of everything under `/{provider}/`. Its name is that path: no written route can have
/// it. It keeps as much on record as the `written` route to the provider that keeps least, and waits
/// for the record where one of them does.
pub(super) fn route(
    provider: &Provider,
    index: ProviderIndex,
    target: TargetIndex,
    rules: Option<Arc<Rulebook>>,
    written: &[Route],
    targets: &[Arc<Target>],
) -> Route {
    let is_ours = matches!(provider.family, Family::Canned | Family::Simulated);
    let name = format!("/{}/", provider.name);
    let is_its =
        |at: TargetIndex| targets.get(usize::from(at.0)).is_some_and(|to| to.provider == index);
    let others = || {
        written.iter().filter(|route| {
            let firsts = route.targets.iter().map(|weighted| weighted.target);
            firsts.chain(route.fallback.iter().copied()).any(is_its)
        })
    };
    let capture = others().map(|route| route.capture).min().unwrap_or(Capture::Full);
    Route {
        name: RouteName::new(&name),
        name_value: header_value(&name),
        matcher: Matcher { provider: Some(index), ..Matcher::default() },
        targets: vec![Weighted { target, weight: 1 }],
        fallback: Vec::new(),
        rules,
        retry: RetryPolicy { attempts: if is_ours { 1 } else { 2 }, ..RETRY },
        timeouts: TIMEOUTS,
        midstream: Midstream::End,
        capture,
        originals_to: others()
            .find(|route| route.capture == capture && !route.originals_to.is_empty())
            .map_or_else(Arc::default, |route| Arc::clone(&route.originals_to)),
        when_full: others().map(|route| route.when_full).max().unwrap_or(WhenFull::Gap),
        kept: RouteKept {
            days: others().filter_map(|route| route.kept.days).max(),
            bytes_max: None,
        },
    }
}
