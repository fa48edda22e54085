//! Registers and holds every meter that is not made from [`Facts`](crate::exchange::facts::Facts)
//! alone.
//!
//! The recorder is a value of ours and not the process-wide one, so that tests run side by side
//! and nothing can be counted past this room.

use super::health::Circuit;
use super::limits::{self, LimitPicture};
use super::names::{self, Kind, Metric};
use metrics::{Counter, Gauge, Histogram, Key, Label, Level as Verbosity, Metadata, Recorder};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use metrics_exporter_prometheus::{Matcher, PrometheusRecorder};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Connections to providers are in one of these states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamState {
    /// Being made.
    Connecting,
    /// Carrying an exchange.
    Busy,
    /// Kept for the next exchange.
    Idle,
}

impl UpstreamState {
    /// Every state.
    pub const ALL: [UpstreamState; 3] =
        [UpstreamState::Connecting, UpstreamState::Busy, UpstreamState::Idle];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            UpstreamState::Connecting => "connecting",
            UpstreamState::Busy => "busy",
            UpstreamState::Idle => "idle",
        }
    }
}

/// What a reload came to, as its counter tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReloadOutcome {
    /// A new table is live.
    Published,
    /// The text had not changed.
    Unchanged,
    /// The text has errors.
    Refused,
}

impl ReloadOutcome {
    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            ReloadOutcome::Published => "published",
            ReloadOutcome::Unchanged => "unchanged",
            ReloadOutcome::Refused => "refused",
        }
    }
}

/// A number of things that are open. One atomic addition a step; the gauge is set when read.
#[derive(Clone, Debug, Default)]
pub struct Level(Arc<AtomicI64>);

impl Level {
    /// One more.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One fewer.
    pub fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// One more, until the value is dropped.
    #[must_use]
    pub fn hold(&self) -> Held {
        self.increment();
        Held(self.clone())
    }

    /// How many there are.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps a [`Level`] one higher.
#[derive(Debug)]
pub struct Held(Level);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement();
    }
}

/// The recorder, and the meters with no or few labels.
pub struct Meters {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    open_exchanges: (Level, Gauge),
    webhook_calls: (Level, Gauge),
    open_connections: (Level, Gauge),
    upstream: [(Level, Gauge); 3],
    reload_failed: Gauge,
    table_epoch: Gauge,
    control_log_up: Gauge,
    lever_repeats: Counter,
    pub(super) label_sets: Gauge,
    pub(super) label_overflow: Counter,
    pub(super) log_dropped: Counter,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

/// The kinds of levers, and what may happen to one.
const LEVER_KINDS: [&str; 4] = ["kill", "limit", "reroute", "filter"];
const LEVER_CHANGES: [&str; 4] = ["pull", "extend", "lift", "expire"];

const METADATA: Metadata<'static> = Metadata::new("firedoor", Verbosity::INFO, None);

impl Meters {
    /// Registers and describes everything in [`names::ALL`].
    pub fn new() -> Result<Meters, BuildError> {
        let mut builder = PrometheusBuilder::new();
        for metric in names::ALL {
            if metric.kind == Kind::Histogram {
                builder = builder.set_buckets_for_metric(
                    Matcher::Full(metric.name.to_owned()),
                    names::SECONDS,
                )?;
            }
        }
        let recorder = builder.build_recorder();
        for metric in names::ALL {
            let (name, about) = (metric.name.into(), metric.about.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, about),
                Kind::Gauge => recorder.describe_gauge(name, None, about),
                Kind::Histogram => recorder.describe_histogram(name, None, about),
            }
        }
        let meters = Meters {
            handle: recorder.handle(),
            open_exchanges: (Level::default(), gauge(&recorder, names::OPEN_EXCHANGES, &[])),
            webhook_calls: (Level::default(), gauge(&recorder, names::WEBHOOK_OPEN, &[])),
            open_connections: (Level::default(), gauge(&recorder, names::OPEN_CONNECTIONS, &[])),
            upstream: UpstreamState::ALL.map(|state| {
                (Level::default(), gauge(&recorder, names::UPSTREAM_CONNECTIONS, &[state.name()]))
            }),
            reload_failed: gauge(&recorder, names::RELOAD_FAILED, &[]),
            table_epoch: gauge(&recorder, names::TABLE_EPOCH, &[]),
            control_log_up: gauge(&recorder, names::CONTROL_LOG_UP, &[]),
            lever_repeats: counter(&recorder, names::LEVER_REPEATS, &[]),
            label_sets: gauge(&recorder, names::LABEL_SETS, &[]),
            label_overflow: counter(&recorder, names::LABEL_OVERFLOW, &[]),
            log_dropped: counter(&recorder, names::LOG_LINES_DROPPED, &[]),
            recorder,
        };
        meters.gauge(names::BUILD_INFO, &[env!("CARGO_PKG_VERSION")]).set(1.0);
        // Seen at zero from the start, so that a first failure shows as an increase.
        for outcome in [ReloadOutcome::Published, ReloadOutcome::Unchanged, ReloadOutcome::Refused]
        {
            let _ = meters.counter(names::RELOADS, &[outcome.name()]);
        }
        for change in LEVER_CHANGES {
            let _ = meters.counter(names::LEVER_CHANGES, &[change]);
        }
        meters.levers(std::iter::empty());
        Ok(meters)
    }

    /// Exchanges under way.
    pub fn open_exchanges(&self) -> &Level {
        &self.open_exchanges.0
    }

    /// Open client connections.
    pub fn open_connections(&self) -> &Level {
        &self.open_connections.0
    }

    /// Connections to providers in `state`.
    pub fn upstream_connections(&self, state: UpstreamState) -> &Level {
        let [connecting, busy, idle] = &self.upstream;
        match state {
            UpstreamState::Connecting => &connecting.0,
            UpstreamState::Busy => &busy.0,
            UpstreamState::Idle => &idle.0,
        }
    }

    /// A client's connection was closed unserved, because too many are open.
    pub fn connection_shed(&self) {
        self.counter(names::CONNECTIONS_SHED, &[]).increment(1);
    }

    /// A limit refused an exchange.
    pub fn limit_refused(&self, limit: &str, what: &str) {
        self.counter(names::LIMIT_REFUSALS, &[limit, what]).increment(1);
    }

    /// An exchange passed a limit in money without a price.
    pub fn limit_unpriced(&self, limit: &str) {
        self.counter(names::LIMIT_UNPRICED, &[limit]).increment(1);
    }

    /// A loop was met.
    pub fn loop_met(&self, limit: &str) {
        self.counter(names::LOOPS, &[limit]).increment(1);
    }

    /// A rule hit so many times.
    pub fn rule_hit(&self, rule: &str, action: &'static str, times: u32) {
        self.counter(names::RULE_HITS, &[rule, action]).increment(u64::from(times));
    }

    /// Texts could not be judged.
    pub fn rules_unjudged(&self, texts: u32) {
        self.counter(names::RULE_UNJUDGED, &[]).increment(u64::from(texts));
    }

    /// A rule fell back to shadow.
    pub fn rule_demoted(&self, rule: &str) {
        self.counter(names::RULE_DEMOTIONS, &[rule]).increment(1);
    }

    /// A webhook was asked about a prompt.
    pub fn webhook_called(&self, rule: &str, outcome: &'static str, took: Duration) {
        self.counter(names::WEBHOOK_CALLS, &[rule, outcome]).increment(1);
        self.histogram(names::WEBHOOK_SECONDS, &[rule]).record(took.as_secs_f64());
    }

    /// Calls of webhooks under way.
    pub fn webhook_calls(&self) -> &Level {
        &self.webhook_calls.0
    }

    /// A limit asked for a lever.
    pub fn limit_tripped(&self, limit: &str) {
        self.counter(names::TRIPS, &[limit]).increment(1);
    }

    /// Says how the limits stand.
    pub fn limits(&self, picture: &LimitPicture) {
        let most = picture.most_used();
        for allowed in &picture.allowed {
            let labels = [&*allowed.limit, allowed.what];
            self.gauge(names::LIMIT_ALLOWED, &labels)
                .set(limits::shown(allowed.unit, allowed.most));
            let used = most.get(&(&*allowed.limit, allowed.what)).copied().unwrap_or(0);
            let used = limits::shown(allowed.unit, used);
            self.gauge(names::LIMIT_USED, &labels).set(used);
        }
        self.counter(names::LIMIT_EVICTIONS, &[]).absolute(picture.evicted);
    }

    /// Says that a target's circuit is in `state`.
    pub fn circuit(&self, target: &str, state: Circuit) {
        self.gauge(names::CIRCUIT_STATE, &[target]).set(state.value());
    }

    /// A panic ended an exchange.
    pub fn panicked(&self) {
        self.counter(names::PANICS, &[]).increment(1);
    }

    /// Says what a reload came to, and the number of the table that is live after it.
    pub fn reloaded(&self, outcome: ReloadOutcome, epoch: u64) {
        self.counter(names::RELOADS, &[outcome.name()]).increment(1);
        match outcome {
            ReloadOutcome::Published | ReloadOutcome::Unchanged => self.reload_failed.set(0.0),
            ReloadOutcome::Refused => self.reload_failed.set(1.0),
        }
        self.epoch(epoch);
    }

    /// Says which table is live.
    pub fn epoch(&self, epoch: u64) {
        self.table_epoch.set(epoch as f64);
    }

    /// Says which levers are in force, by their kinds.
    pub fn levers(&self, kinds: impl Iterator<Item = &'static str>) {
        let mut counts = LEVER_KINDS.map(|kind| (kind, 0u32));
        for kind in kinds {
            if let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == kind) {
                *count += 1;
            }
        }
        for (kind, count) in counts {
            self.gauge(names::LEVERS, &[kind]).set(f64::from(count));
        }
    }

    /// A lever was pulled, extended or lifted, or expired.
    pub fn lever_changed(&self, change: &'static str) {
        self.counter(names::LEVER_CHANGES, &[change]).increment(1);
    }

    /// A client asks again for what a kill refuses.
    pub fn lever_repeated(&self) {
        self.lever_repeats.increment(1);
    }

    /// Says whether the control log answers.
    pub fn control_log(&self, is_up: bool) {
        self.control_log_up.set(f64::from(u8::from(is_up)));
    }

    /// Moves recorded samples into their buckets. Must run every second or so: until it does,
    /// each sample takes eight bytes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    pub fn render(&self) -> String {
        let [connecting, busy, idle] = &self.upstream;
        for (level, gauge) in [
            &self.webhook_calls,
            &self.open_exchanges,
            &self.open_connections,
            connecting,
            busy,
            idle,
        ] {
            gauge.set(level.get() as f64);
        }
        let mut text = self.handle.render();
        super::process::render(&mut text);
        text
    }

    pub(super) fn counter(&self, metric: Metric, values: &[&str]) -> Counter {
        counter(&self.recorder, metric, values)
    }

    pub(super) fn gauge(&self, metric: Metric, values: &[&str]) -> Gauge {
        gauge(&self.recorder, metric, values)
    }

    pub(super) fn histogram(&self, metric: Metric, values: &[&str]) -> Histogram {
        debug_assert_eq!(metric.kind, Kind::Histogram);
        self.recorder.register_histogram(&key(metric, values), &METADATA)
    }
}

fn counter(recorder: &PrometheusRecorder, metric: Metric, values: &[&str]) -> Counter {
    debug_assert_eq!(metric.kind, Kind::Counter);
    recorder.register_counter(&key(metric, values), &METADATA)
}

fn gauge(recorder: &PrometheusRecorder, metric: Metric, values: &[&str]) -> Gauge {
    debug_assert_eq!(metric.kind, Kind::Gauge);
    recorder.register_gauge(&key(metric, values), &METADATA)
}

/// `values` stand in the order of the metric's labels.
fn key(metric: Metric, values: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels: Vec<Label> = metric
        .labels
        .iter()
        .zip(values)
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(metric.name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_what_is_held() {
        let meters = Meters::new().unwrap();
        let held = meters.open_exchanges().hold();
        meters.upstream_connections(UpstreamState::Idle).increment();
        let text = meters.render();
        assert!(text.contains("firedoor_open_exchanges 1\n"), "{text}");
        assert!(text.contains("firedoor_upstream_connections{state=\"idle\"} 1\n"), "{text}");
        assert!(text.contains("firedoor_reloads_total{outcome=\"refused\"} 0\n"), "{text}");
        drop(held);
        assert!(meters.render().contains("firedoor_open_exchanges 0\n"));
    }

    #[test]
    fn a_refused_reload_shows_until_the_next_that_is_not() {
        let meters = Meters::new().unwrap();
        meters.reloaded(ReloadOutcome::Refused, 3);
        assert!(meters.render().contains("firedoor_config_reload_failed 1\n"));
        meters.reloaded(ReloadOutcome::Published, 4);
        let text = meters.render();
        assert!(text.contains("firedoor_config_reload_failed 0\n"));
        assert!(text.contains("firedoor_table_epoch 4\n"));
    }

    #[test]
    fn hostile_label_values_are_escaped() {
        let meters = Meters::new().unwrap();
        meters.circuit("a\"} 1\nfiredoor_evil 1", Circuit::Open);
        let text = meters.render();
        assert!(!text.lines().any(|line| line.starts_with("firedoor_evil")), "{text}");
    }
}
