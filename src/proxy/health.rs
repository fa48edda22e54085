//! What is known of each target's health, shared by all workers and kept through reloads; and the
//! retry budget.

use crate::clock::Tick;
use crate::exchange::attempts::Failure;
use crate::exchange::circuit::{Circuit, State};
use crate::telemetry::{self, TargetHealth};
use dashmap::DashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Retries may be at most this share of requests, in thousandths.
const RETRY_SHARE_MILLI: i64 = 200;
/// Retries that are allowed in a row before the share binds.
const RETRY_BURST: i64 = 20;
/// A retry's price in thousandths.
const RETRY_PRICE: i64 = 1000;

/// The health of all targets.
#[derive(Debug)]
pub struct Board {
    targets: DashMap<Arc<str>, Arc<Target>>,
    budget: AtomicI64,
}

/// The health of one target.
#[derive(Debug, Default)]
pub struct Target {
    state: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    circuit: Circuit,
    last_failure: Option<Failure>,
    last_failure_unix_ms: Option<u64>,
    answered: u64,
    failed: u64,
}

impl Default for Board {
    fn default() -> Self {
        Board { targets: DashMap::new(), budget: AtomicI64::new(RETRY_BURST * RETRY_PRICE) }
    }
}

impl Board {
    /// The target of this name. Names come from the table only, so their number is bounded.
    pub fn target(&self, name: &Arc<str>) -> Arc<Target> {
        if let Some(found) = self.targets.get(name) {
            return Arc::clone(&found);
        }
        Arc::clone(&self.targets.entry(Arc::clone(name)).or_default())
    }

    /// A request has begun: pays into the retry budget.
    pub fn request_began(&self) {
        let most = RETRY_BURST * RETRY_PRICE;
        if self.budget.load(Ordering::Relaxed) < most {
            self.budget.fetch_add(RETRY_SHARE_MILLI, Ordering::Relaxed);
        }
    }

    /// Whether a retry may be paid for.
    pub fn has_budget(&self) -> bool {
        self.budget.load(Ordering::Relaxed) >= RETRY_PRICE
    }

    /// Pays for a retry.
    pub fn pay_retry(&self) {
        self.budget.fetch_sub(RETRY_PRICE, Ordering::Relaxed);
    }

    /// A look at every target that was used so far.
    pub fn snapshot(&self, now: Tick) -> Vec<TargetHealth> {
        let mut all: Vec<TargetHealth> = self
            .targets
            .iter()
            .map(|entry| {
                let known = entry.value().lock();
                let state = told(known.circuit.state());
                let opens_again_in = match known.circuit.state() {
                    State::Open { until } => Some(until.since(now)),
                    State::Closed | State::HalfOpen { .. } => None,
                };
                TargetHealth {
                    target: Arc::clone(entry.key()),
                    state,
                    errors_in_row: known.circuit.failures(),
                    attempts: known.answered + known.failed,
                    errors: known.failed,
                    last_error: known.last_failure.map(|failure| failure.name().into()),
                    last_error_unix_ms: known.last_failure_unix_ms,
                    opens_again_in,
                }
            })
            .collect();
        all.sort_by(|a, b| a.target.cmp(&b.target));
        all
    }
}

impl Target {
    /// Whether a request may be sent now.
    pub fn admit(&self, now: Tick) -> bool {
        self.lock().circuit.admit(now)
    }

    /// Whether the circuit is open because no connection could be made.
    pub fn is_unreachable(&self) -> bool {
        let known = self.lock();
        matches!(known.circuit.state(), State::Open { .. })
            && known.last_failure == Some(Failure::Connect)
    }

    /// The target gave an answer that can be used.
    pub fn succeeded(&self) {
        let mut known = self.lock();
        known.answered += 1;
        known.circuit.succeeded();
    }

    /// The target failed. A 429 says that it lives and is not counted against its circuit.
    pub fn failed(&self, failure: Failure, now: Tick, unix_ms: u64) {
        if matches!(failure, Failure::Killed | Failure::Ruled) {
            // Our own order says nothing of the target.
            return;
        }
        let mut known = self.lock();
        known.failed += 1;
        known.last_failure = Some(failure);
        known.last_failure_unix_ms = Some(unix_ms);
        match failure {
            Failure::TooMany => known.circuit.succeeded(),
            Failure::Connect
            | Failure::Status(_)
            | Failure::FirstByteTimeout
            | Failure::Unusable => known.circuit.failed(now),
            Failure::CircuitOpen | Failure::Killed | Failure::Ruled => {}
        }
    }

    /// A probe outside of traffic reached it.
    pub fn reachable(&self, now: Tick) {
        self.lock().circuit.reachable(now);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // Every change is one assignment; a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A circuit's state as it is told outside.
fn told(state: State) -> telemetry::Circuit {
    match state {
        State::Closed => telemetry::Circuit::Closed,
        State::Open { .. } => telemetry::Circuit::Open,
        State::HalfOpen { .. } => telemetry::Circuit::HalfOpen,
    }
}
