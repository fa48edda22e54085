//! When a target that keeps failing is left alone, and when it is asked again.
//!
//! Closed: requests flow. After [`FAILURES_MAX`] failures in a row it opens for a while that
//! doubles with each opening; then one request is let through (half-open), and its outcome closes
//! the circuit or opens it again.

use crate::clock::Tick;
use std::time::Duration;

/// Failures in a row that open a circuit.
pub const FAILURES_MAX: u32 = 5;
/// How long it stays open the first time.
const OPEN_FIRST: Duration = Duration::from_secs(2);
/// How long it stays open at most.
const OPEN_MAX: Duration = Duration::from_mins(1);
/// How long a half-open probe may be under way before another one is let through.
const PROBE_MAX: Duration = Duration::from_secs(30);

/// The state of one target's circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Requests flow.
    Closed,
    /// Nothing is sent until this moment.
    Open {
        /// When the next request may probe.
        until: Tick,
    },
    /// One request probes.
    HalfOpen {
        /// When the probe began.
        since: Tick,
    },
}

/// One target's circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circuit {
    state: State,
    failures: u32,
    openings: u32,
}

impl Default for Circuit {
    fn default() -> Self {
        Circuit { state: State::Closed, failures: 0, openings: 0 }
    }
}

impl Circuit {
    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether a request may be sent now; in the half-open state, only one may.
    pub fn admit(&mut self, now: Tick) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } if now >= until => {
                self.state = State::HalfOpen { since: now };
                true
            }
            State::HalfOpen { since } if now.since(since) > PROBE_MAX => {
                self.state = State::HalfOpen { since: now };
                true
            }
            State::Open { .. } | State::HalfOpen { .. } => false,
        }
    }

    /// The target has begun to answer: others may try it too, but its failures in a row are
    /// forgotten only once an answer was of use.
    pub fn answering(&mut self) {
        if matches!(self.state, State::HalfOpen { .. }) {
            self.state = State::Closed;
            self.failures = FAILURES_MAX - 1;
        }
    }

    /// An answer of the target was of use.
    pub fn succeeded(&mut self) {
        *self = Circuit::default();
    }

    /// The target failed.
    pub fn failed(&mut self, now: Tick) {
        self.failures = self.failures.saturating_add(1);
        let half_open = matches!(self.state, State::HalfOpen { .. });
        let closed = matches!(self.state, State::Closed);
        if half_open || (closed && self.failures >= FAILURES_MAX) {
            let length = OPEN_FIRST.saturating_mul(1 << self.openings.min(5)).min(OPEN_MAX);
            self.openings = self.openings.saturating_add(1);
            self.state = State::Open { until: now.after(length) };
        }
    }

    /// A probe outside of traffic found the target reachable: the next request may try it.
    pub fn reachable(&mut self, now: Tick) {
        if let State::Open { until } = &mut self.state {
            *until = now.min(*until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Tick {
        Tick(ms * 1_000_000)
    }

    #[test]
    fn opens_probes_and_closes() {
        let mut circuit = Circuit::default();
        for _ in 0..FAILURES_MAX {
            assert!(circuit.admit(at(0)));
            circuit.failed(at(0));
        }
        assert!(!circuit.admit(at(1_999)));
        assert!(circuit.admit(at(2_000)), "one probe");
        assert!(!circuit.admit(at(2_001)), "and only one");
        circuit.failed(at(2_100));
        assert!(!circuit.admit(at(6_000)), "the second opening is longer");
        assert!(circuit.admit(at(6_100)));
        circuit.succeeded();
        assert_eq!(circuit.state(), State::Closed);
    }

    #[test]
    fn answers_that_begin_and_then_fail_open_it_again() {
        let mut circuit = Circuit::default();
        for _ in 0..FAILURES_MAX {
            circuit.answering();
            circuit.failed(at(0));
        }
        assert!(!circuit.admit(at(1)));
        assert!(circuit.admit(at(2_000)));
        circuit.answering();
        assert!(circuit.admit(at(2_001)), "others may try it too");
        circuit.failed(at(2_002));
        assert!(!circuit.admit(at(5_000)), "and the opening is longer than the first");
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let mut circuit = Circuit::default();
        for _ in 0..20 {
            circuit.failed(at(0));
            circuit.failed(at(0));
            circuit.succeeded();
        }
        assert_eq!(circuit.state(), State::Closed);
    }
}
