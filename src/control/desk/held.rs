//! What the desk holds: the fold of the log, what the log has not taken yet, and how long each lever
//! has stood.

use super::HISTORY_MAX;
use super::told::LeverFault;
use crate::control::clocks::Moment;
use crate::control::fold::{Demoted, InForce};
use crate::control::hold::Hold;
use crate::control::log::{Audit, Change, Entry, Rev};
use crate::id::LeverId;
use crate::table::lever::Lever;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a lever has stood, as far as that was noted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocked {
    /// When that was.
    pub(super) at: Moment,
    /// How long it had stood then.
    pub(super) elapsed: Duration,
    pub(super) warned: bool,
}

impl Clocked {
    pub(super) fn elapsed(&self, now: Moment) -> Duration {
        self.elapsed + now.since(self.at)
    }
}

/// What the desk holds.
pub(super) struct Held {
    pub(super) state: InForce,
    /// Kills that the log has not taken yet.
    pub(super) pending: Vec<(Lever, Audit)>,
    /// Demotions of the gate's own that the log has not taken yet; one a rule at most.
    pub(super) pending_rules: Vec<(Change, Audit)>,
    /// The revision that is left out.
    pub(super) quarantined: Option<Rev>,
    pub(super) clocks: BTreeMap<LeverId, Clocked>,
    pub(super) history: VecDeque<Entry>,
    /// Whether the last known levers have changed since they were written.
    pub(super) is_unkept: bool,
    /// When elapsed times were noted last; `None` where a lever's time has changed since.
    pub(super) noted: Option<Instant>,
    /// When the newest change that is not trusted yet was applied.
    pub(super) unsettled: Option<Instant>,
}

impl Held {
    /// Every lever in force: the log's, but for what is left out, and those it has not taken yet.
    pub(super) fn levers(&self) -> Vec<Arc<Lever>> {
        let pending = self.pending.iter().map(|(lever, _)| lever);
        self.state.levers.values().cloned().chain(pending.cloned().map(Arc::new)).collect()
    }

    /// The rules that only report: the log's, and those it has not taken yet.
    pub(super) fn demoted(&self) -> BTreeMap<Box<str>, Demoted> {
        let mut demoted = self.state.demoted.clone();
        for (change, audit) in &self.pending_rules {
            demoted.extend(change.rule().map(|rule| (rule.into(), Demoted::from(audit))));
        }
        demoted
    }

    /// What is held: by the log, and by kills that it has not taken yet.
    pub(super) fn holds(&self) -> Vec<Hold> {
        let pending = self.pending.iter().map(|(lever, _)| Hold::of(lever));
        self.state.holds.values().cloned().chain(pending).collect()
    }

    pub(super) fn take(&mut self, entry: Entry) {
        self.is_unkept = true;
        if self.quarantined == Some(entry.rev) {
            self.state.rev = entry.rev;
        } else {
            self.state.take(&entry);
        }
        if let Change::Pull { lever } = &entry.change {
            // One whose append seemed to fail, and had not.
            self.pending.retain(|(other, _)| other.id != lever.id);
            let at = Moment::now();
            self.clocks.entry(lever.id).or_insert(Clocked {
                at,
                elapsed: Duration::ZERO,
                warned: false,
            });
        }
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(entry);
    }

    /// `id`, or the one behind the newest that was ever pulled: ids sort in the order of pulling,
    /// within one millisecond and over a clock that was set back.
    pub(super) fn next_id(&self, id: LeverId) -> LeverId {
        let pulled = self.history.iter().filter_map(|entry| Some(entry.change.pulled()?.id));
        let standing = self.state.levers.keys().next_back().copied();
        let pending = self.pending.iter().map(|(lever, _)| lever.id);
        let newest = pulled.chain(standing).chain(pending).max();
        newest.map_or(id, |newest| id.max(LeverId(newest.0.saturating_add(1))))
    }

    /// The lever of this id that the log holds.
    pub(super) fn durable(&self, id: LeverId) -> Result<Arc<Lever>, LeverFault> {
        self.state.levers.get(&id).cloned().ok_or_else(|| LeverFault::NoSuchLever(self.near(id)))
    }

    /// The lever of this id if it is the one that is left out.
    pub(super) fn left_out(&self, id: LeverId) -> Option<Arc<Lever>> {
        let rev = self.quarantined?;
        let entry = self.history.iter().find(|entry| entry.rev == rev)?;
        entry.change.pulled().filter(|lever| lever.id == id).cloned().map(Arc::new)
    }

    /// The ids in force that look most like `id`.
    pub(super) fn near(&self, id: LeverId) -> Vec<LeverId> {
        let text = id.to_string();
        let mut known: Vec<LeverId> = self.state.levers.keys().copied().collect();
        known.sort_by_key(|other| strsim::damerau_levenshtein(&other.to_string(), &text));
        known.truncate(3);
        known
    }

    pub(super) fn elapsed(&self, id: LeverId, now: Moment) -> Duration {
        self.clocks.get(&id).map_or(Duration::ZERO, |clocked| clocked.elapsed(now))
    }

    pub(super) fn remaining(&self, lever: &Lever, now: Moment) -> Option<Duration> {
        let ttl = Duration::from_millis(lever.ttl_ms?);
        Some(ttl.saturating_sub(self.elapsed(lever.id, now)))
    }

    pub(super) fn next_end(&self, now: Moment) -> Option<Duration> {
        self.state.levers.values().filter_map(|lever| self.remaining(lever, now)).min()
    }
}
