//! What the process and its targets are fit for, as `/readyz` and `/api/v1/status` show it.
//!
//! The proxy writes it, the admin plane reads it; the types stand here because both may.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not yet accepting.
    Starting,
    /// Accepting.
    Ready,
    /// Not accepting; exchanges under way run to their end.
    Draining,
    /// Over: the admin plane closes as well.
    Stopped,
}

impl Phase {
    /// The name as the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
            Phase::Stopped => "stopped",
        }
    }
}

/// The one place that says which [`Phase`] it is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lifecycle(Arc<watch::Sender<Phase>>);

impl Default for Lifecycle {
    fn default() -> Lifecycle {
        Lifecycle(Arc::new(watch::Sender::new(Phase::Starting)))
    }
}

impl Lifecycle {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Goes on to `next`. A phase never goes back: an earlier one than the present is ignored.
    pub fn advance(&self, next: Phase) {
        self.0.send_if_modified(|phase| {
            let later = next > *phase;
            *phase = (*phase).max(next);
            later
        });
    }

    /// Returns once the phase is `phase` or later.
    pub async fn reached(&self, phase: Phase) {
        let mut watched = self.0.subscribe();
        // Fails only if the sender is gone, and `self` holds it.
        let _ = watched.wait_for(|now| *now >= phase).await;
    }
}

/// The state of a target's circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Circuit {
    /// Requests go there.
    Closed,
    /// One request at a time goes there, to see whether it answers.
    HalfOpen,
    /// No request goes there.
    Open,
}

impl Circuit {
    /// The name as the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            Circuit::Closed => "closed",
            Circuit::HalfOpen => "half_open",
            Circuit::Open => "open",
        }
    }

    /// The value of `firedoor_circuit_state`.
    pub fn value(self) -> f64 {
        match self {
            Circuit::Closed => 0.0,
            Circuit::HalfOpen => 1.0,
            Circuit::Open => 2.0,
        }
    }
}

/// How one target fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetHealth {
    /// Its name, as the table gives it.
    pub target: Arc<str>,
    /// Its circuit.
    pub state: Circuit,
    /// Failures in a row.
    pub errors_in_row: u32,
    /// Exchanges sent there since start.
    pub attempts: u64,
    /// Failures since start.
    pub errors: u64,
    /// The last failure, in words without secrets.
    pub last_error: Option<Box<str>>,
    /// When that was, in milliseconds since the Unix epoch.
    pub last_error_unix_ms: Option<u64>,
    /// How long until an open circuit lets a request through.
    pub opens_again_in: Option<Duration>,
}

impl TargetHealth {
    /// A target that nothing was sent to.
    pub fn fresh(target: Arc<str>) -> TargetHealth {
        TargetHealth {
            target,
            state: Circuit::Closed,
            errors_in_row: 0,
            attempts: 0,
            errors: 0,
            last_error: None,
            last_error_unix_ms: None,
            opens_again_in: None,
        }
    }
}

/// Takes a picture of every target's health. Called off the data path.
pub type HealthSource = Arc<dyn Fn() -> Vec<TargetHealth> + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_go_forward() {
        let life = Lifecycle::default();
        life.advance(Phase::Draining);
        life.advance(Phase::Ready);
        assert_eq!(life.phase(), Phase::Draining);
        life.reached(Phase::Ready).await;
    }
}
