//! The state that a log of changes adds up to.
//!
//! Pure, total and deterministic: every node that has read the same changes has the same levers in
//! force, and the same rules demoted. A change about a lever that is not in force changes nothing: two people may lift the
//! same lever at once.

use super::hold::{ENDED_HOLDS_MAX, Hold, is_over};
use super::log::{Audit, Change, Entry, Rev};
use crate::id::LeverId;
use crate::table::lever::Lever;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The levers in force after some revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// The revision up to which changes were taken.
    pub rev: Rev,
    /// By id, and so in the order in which they were pulled.
    pub levers: BTreeMap<LeverId, Arc<Lever>>,
    /// The rules that only report, as `pack/id`.
    pub demoted: BTreeMap<Box<str>, Demoted>,
    /// What evidence is held, by the ids of holds.
    pub holds: BTreeMap<Box<str>, Hold>,
    /// The holds among them whose levers are no longer in force, by their ends.
    pub(super) ending: BTreeSet<(u64, Box<str>)>,
}

/// Who demoted a rule, when, why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demoted {
    /// Who.
    pub who: Box<str>,
    /// By which way.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// When, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

impl From<&Audit> for Demoted {
    fn from(audit: &Audit) -> Demoted {
        let Audit { who, by, reason, unix_ms, .. } = audit.clone();
        Demoted { who, by, reason, unix_ms }
    }
}

impl InForce {
    /// Takes the next change.
    pub fn take(&mut self, entry: &Entry) {
        self.rev = entry.rev;
        self.drop_over(entry.audit.unix_ms);
        match &entry.change {
            Change::Pull { lever } => {
                self.levers.insert(lever.id, Arc::new(lever.clone()));
                let hold = Hold::of(lever);
                self.holds.insert(hold.id.clone(), hold);
            }
            Change::Extend { id, ttl_ms } => {
                if let Some(lever) = self.levers.get_mut(id) {
                    Arc::make_mut(lever).ttl_ms = *ttl_ms;
                }
            }
            Change::Lift { id } | Change::Expire { id } => {
                if let Some(lever) = self.levers.remove(id)
                    && let Some(hold) = self.holds.get_mut(&Hold::of(&lever).id)
                {
                    let until = hold.ends(entry.audit.unix_ms);
                    self.ending.insert((until, hold.id.clone()));
                    self.join_oldest();
                }
            }
            Change::Hold { hold } => {
                self.holds.insert(hold.id.clone(), hold.clone());
            }
            Change::Release { id } => {
                let hold = self.holds.remove(id);
                if let Some(until) = hold.and_then(|hold| hold.until_unix_ms) {
                    self.ending.remove(&(until, id.clone()));
                }
            }
            Change::Demote { rule } => {
                self.demoted.insert(rule.clone(), Demoted::from(&entry.audit));
            }
            Change::Promote { rule } => {
                self.demoted.remove(rule);
            }
        }
    }

    /// Drops what levers held, where they are out of force for long.
    fn drop_over(&mut self, unix_ms: u64) {
        while let Some((until, _)) = self.ending.first()
            && is_over(*until, unix_ms)
            && let Some((_, id)) = self.ending.pop_first()
        {
            self.holds.remove(&id);
        }
    }

    /// Past the bound, the two holds that ended first become one that holds at least as much for
    /// at least as long.
    fn join_oldest(&mut self) {
        while self.ending.len() > ENDED_HOLDS_MAX
            && let Some((_, first)) = self.ending.pop_first()
        {
            let Some(first) = self.holds.remove(&first) else { continue };
            let next = self.ending.first().and_then(|(_, id)| self.holds.get_mut(id));
            if let Some(next) = next {
                next.join(&first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::hold::{AROUND, LEVER_HOLD_KEPT};
    use crate::control::log::Hash;
    use crate::table::lever::{Act, OnKill, Scope};

    #[test]
    fn what_levers_held_is_bounded_and_never_less() {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        let count = ENDED_HOLDS_MAX as u64 + 50;
        let mut state = InForce::default();
        let mut rev = 0;
        let mut take = |state: &mut InForce, unix_ms, change| {
            rev += 1;
            let audit = Audit {
                who: "ada".into(),
                role: "responder".into(),
                by: "api".into(),
                reason: "drill".into(),
                unix_ms,
                ticket: None,
                before: None,
            };
            state.take(&Entry { rev: Rev(rev), change, audit, hash: Hash::default() });
        };
        for at in 1..=count {
            let id = LeverId(u128::from(at));
            let lever = Lever {
                id,
                act: Act::Kill { in_flight: OnKill::Cut },
                scope: Scope::all(),
                reason: "drill".into(),
                message: None,
                author: "ada".into(),
                created_unix_ms: DAY + at * 1000,
                ttl_ms: None,
                incident: None,
            };
            take(&mut state, DAY + at * 1000, Change::Pull { lever });
            take(&mut state, DAY + at * 1000 + 500, Change::Lift { id });
        }
        assert_eq!(state.holds.len(), ENDED_HOLDS_MAX);
        let around = u64::try_from(AROUND.as_millis()).unwrap();
        for at in 1..=count {
            let (first, last) = (DAY + at * 1000 - around, DAY + at * 1000 + 500 + around);
            for moment in [first, last] {
                assert!(state.holds.values().any(|hold| hold.holds(moment, moment)), "{at}");
            }
        }
        let kept = u64::try_from(LEVER_HOLD_KEPT.as_millis()).unwrap();
        let last = DAY + count * 1000 + 500 + around + kept + 1;
        take(&mut state, last, Change::Promote { rule: "p/r".into() });
        assert!(state.holds.is_empty() && state.ending.is_empty());
    }
}
