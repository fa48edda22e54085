//! How often each rule hit since the process began, for whoever lists rules.
//!
//! The metrics count the same, but cannot be asked for one rule.

use crate::exchange::facts::Facts;
use crate::exchange::screen::Done;
use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most rules that are counted; names come from files and levers, never from a client.
const RULES_MAX: usize = 20_000;

/// Hits by rule.
#[derive(Debug, Default)]
pub struct RuleHits(DashMap<Arc<str>, Counters>);

#[derive(Debug, Default)]
struct Counters {
    flag: AtomicU64,
    redact: AtomicU64,
    reroute: AtomicU64,
    cut: AtomicU64,
}

impl Counters {
    fn of(&self, done: Done) -> &AtomicU64 {
        match done {
            Done::Flagged => &self.flag,
            Done::Redacted => &self.redact,
            Done::Rerouted => &self.reroute,
            Done::Cut => &self.cut,
        }
    }
}

impl RuleHits {
    pub(super) fn record(&self, facts: &Facts) {
        for (rule, done, times) in facts.found.counts() {
            if let Some(counters) = self.0.get(&rule.name) {
                counters.of(done).fetch_add(u64::from(times), Ordering::Relaxed);
            } else if self.0.len() < RULES_MAX {
                let counters = self.0.entry(Arc::clone(&rule.name)).or_default();
                counters.of(done).fetch_add(u64::from(times), Ordering::Relaxed);
            }
        }
    }

    /// How often the rule of this name hit, by what was done.
    pub fn of(&self, rule: &str) -> [(Done, u64); 4] {
        let counters = self.0.get(rule);
        [Done::Flagged, Done::Redacted, Done::Rerouted, Done::Cut].map(|done| {
            let count = counters.as_ref().map(|all| all.of(done).load(Ordering::Relaxed));
            (done, count.unwrap_or_default())
        })
    }
}
