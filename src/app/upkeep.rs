//! What runs beside the data path as long as the process does: counters are kept for the next
//! process, levers that limits ask for are pulled, and metrics and log hear of levers.

use super::noted;
use crate::control::{Actor, Condition, LeverDesk, Notice, Order, Switchboard};
use crate::evidence::Tap;
use crate::exchange::limits::LeverKind;
use crate::id::{AppName, RouteName};
use crate::proxy::{Asked, Gate, TripSink};
use crate::table::lever::{Act, Dimension, Lever, OnKill, Scope};
use crate::telemetry::Telemetry;
use std::sync::Arc;
use std::time::Duration;

/// The name under which the counters of limits are kept.
const LIMITS_NOTE: &str = "limits";
/// How often they are kept: what is used in between is forgotten by a crash.
const KEEP_LIMITS_EVERY: Duration = Duration::from_secs(5);
/// Levers that limits ask for and that wait to be pulled.
const TRIPS_MAX: usize = 256;

/// What was used before this process began counts on.
pub(super) fn restore_limits(gate: &Arc<Gate>, levers: &LeverDesk) {
    let Some(text) = levers.kept_note(LIMITS_NOTE) else { return };
    let (now, unix_ms) = (gate.clock.now(), gate.clock.unix_ms());
    let restored = serde_json::from_str(&text)
        .map_err(|error| error.to_string())
        .and_then(|kept| gate.limits.restore(&kept, now, unix_ms).map_err(|e| format!("{e:?}")));
    if let Err(why) = restored {
        tracing::warn!(why, "the counters of limits begin at zero");
    }
}

pub(super) async fn keep_limits(gate: Arc<Gate>, levers: Arc<LeverDesk>) {
    let mut every = tokio::time::interval(KEEP_LIMITS_EVERY);
    loop {
        every.tick().await;
        keep_limits_once(&gate, &levers).await;
    }
}

pub(super) async fn keep_limits_once(gate: &Gate, levers: &LeverDesk) {
    {
        let table = gate.board.peek();
        if table.limits.is_empty() && !table.levers.has_limits() {
            return;
        }
    }
    let kept = gate.limits.snapshot(gate.clock.now(), gate.clock.unix_ms());
    match serde_json::to_string(&kept) {
        Ok(text) => levers.keep_note(LIMITS_NOTE, text).await,
        Err(error) => tracing::warn!(%error, "cannot keep the counters of limits"),
    }
}

/// How often routes that are not live any more are looked at.
const LET_GO_EVERY: Duration = Duration::from_secs(1);

/// Drops routes that no exchange uses any more, off the data path.
pub(super) async fn let_go(board: Arc<Switchboard>) {
    let mut every = tokio::time::interval(LET_GO_EVERY);
    loop {
        every.tick().await;
        if board.has_past() {
            let board = Arc::clone(&board);
            let _ = tokio::task::spawn_blocking(move || board.let_go()).await;
        }
    }
}

/// Takes what limits ask for off the data path.
pub(super) fn forward_trips(gate: &Gate) -> tokio::sync::mpsc::Receiver<Asked> {
    let (sender, trips) = tokio::sync::mpsc::channel(TRIPS_MAX);
    gate.on_trip(TripSink::new(move |asked: Asked| {
        if let Err(refused) = sender.try_send(asked) {
            tracing::error!(%refused, "what a limit or a rule asks for is not done: too much waits");
        }
    }));
    trips
}

/// How long a lever stands that a limit pulled.
const TRIP_TTL: Duration = Duration::from_mins(15);

/// Pulls the levers that limits ask for: bounded in time, and never twice for the same scope.
pub(super) async fn pull_tripped(
    levers: Arc<LeverDesk>,
    mut trips: tokio::sync::mpsc::Receiver<Asked>,
) {
    let actor = Actor { who: "firedoor".into(), role: "gate", by: "gate" };
    while let Some(asked) = trips.recv().await {
        let trip = match asked {
            Asked::Lever(trip) => trip,
            Asked::Demotion(rule) => {
                // It compiles rules, and a lever must not wait for that.
                tokio::spawn(demote(Arc::clone(&levers), rule, actor.clone()));
                continue;
            }
        };
        let scope = &trip.scope;
        let names: Vec<(Dimension, &str)> = [
            (Dimension::App, scope.app.as_ref().map(AppName::as_str)),
            (Dimension::Agent, scope.agent.as_deref()),
            (Dimension::Session, scope.session.as_deref()),
            (Dimension::Tool, scope.tool.as_deref()),
            (Dimension::Route, scope.route.as_ref().map(RouteName::as_str)),
            (Dimension::Model, scope.model.as_deref()),
        ]
        .into_iter()
        .filter_map(|(dimension, name)| Some((dimension, name?)))
        .collect();
        let Some(scope) = Scope::exactly(&names) else {
            tracing::error!(
                limit = &*trip.limit,
                "a limit asks for a lever over names that no scope can hold"
            );
            continue;
        };
        let (_, standing) = levers.standing().await;
        if standing.iter().any(|one| one.lever.scope == scope && one.lever.act.kind() == "kill") {
            continue;
        }
        let order = Order {
            act: match trip.lever_kind {
                LeverKind::Kill => Act::Kill { in_flight: OnKill::Cut },
            },
            rules: None,
            scope,
            reason: format!("{} (limit {})", trip.reason, trip.limit).into(),
            message: Some(trip.told.into()),
            ttl: Some(TRIP_TTL),
            incident: None,
        };
        if let Err(fault) = levers.pull(order, &actor).await {
            tracing::error!(
                ?fault,
                limit = &*trip.limit,
                "a lever that a limit asks for was not pulled"
            );
        }
    }
}

/// A rule hits a larger share of traffic than its pack allows.
async fn demote(levers: Arc<LeverDesk>, rule: Arc<str>, actor: Actor) {
    let reason = "it hit a larger share of exchanges than its pack allows";
    if let Err(fault) = levers.demote(&rule, reason, &actor).await {
        tracing::error!(?fault, rule = &*rule, "a rule that hits too much was not demoted");
    }
}

/// Tells metrics and the log what happens at the lever desk.
pub(super) async fn watch_levers(levers: Arc<LeverDesk>, telemetry: Telemetry, tap: Tap) {
    use tokio::sync::broadcast::error::RecvError;
    let mut notices = levers.notices();
    loop {
        let in_force = levers.in_force();
        telemetry.meters().levers(in_force.all().iter().map(|lever| lever.act.kind()));
        let is_up = *levers.condition().borrow() == Condition::Up;
        telemetry.meters().control_log(is_up);
        match notices.recv().await {
            Ok(notice) => {
                noted::notice(&tap, levers.epoch().0, &notice);
                if let Some(change) = log_notice(&notice) {
                    telemetry.meters().lever_changed(change);
                }
                telemetry.meters().epoch(levers.epoch().0);
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Logs a notice; gives the name of the change that it tells of.
fn log_notice(notice: &Notice) -> Option<&'static str> {
    let tell = |what: &str, lever: &Lever| {
        tracing::warn!(
            lever = %lever.id,
            kind = lever.act.kind(),
            scope = %lever.scope,
            author = &*lever.author,
            reason = &*lever.reason,
            "{what}"
        );
    };
    match notice {
        Notice::Pulled(pulled) => {
            tell("a lever was pulled", &pulled.lever);
            Some("pull")
        }
        Notice::Extended(lever) => {
            tell("a lever's time was changed", lever);
            Some("extend")
        }
        Notice::Lifted(lever) => {
            tell("a lever was lifted", lever);
            Some("lift")
        }
        Notice::Expired(lever) => {
            tell("a lever's time is over; it is not in force any more", lever);
            Some("expire")
        }
        Notice::NearEnd(lever) => {
            tell("a lever's time is over soon", lever);
            None
        }
        Notice::Ruled(ruled, actor) => {
            tracing::warn!(
                rule = &*ruled.rule,
                who = &*actor.who,
                by = actor.by,
                "{}",
                if ruled.is_demoted {
                    "a rule was demoted: it only reports"
                } else {
                    "a rule was promoted"
                }
            );
            None
        }
        Notice::Held(hold) => {
            tracing::warn!(hold = &*hold.id, scope = %hold.scope, author = &*hold.author, reason = &*hold.reason, "evidence is held");
            None
        }
        Notice::Released(hold) => {
            tracing::warn!(hold = &*hold.id, scope = %hold.scope, "a hold on evidence was released");
            None
        }
        // Said where it was found.
        Notice::Log(_) => None,
    }
}
