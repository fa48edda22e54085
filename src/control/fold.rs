//! The state that a log of changes adds up to.
//!
//! Pure, total and deterministic: every node that has read the same changes has the same levers in
//! force, and the same rules demoted. A change about a lever that is not in force changes nothing: two people may lift the
//! same lever at once.

use super::hold::Hold;
use super::log::{Audit, Change, Entry, Rev};
use crate::id::LeverId;
use crate::table::lever::Lever;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
        self.holds.retain(|_, hold| !hold.is_over(entry.audit.unix_ms));
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
                    hold.ends(entry.audit.unix_ms);
                }
            }
            Change::Hold { hold } => {
                self.holds.insert(hold.id.clone(), hold.clone());
            }
            Change::Release { id } => {
                self.holds.remove(id);
            }
            Change::Demote { rule } => {
                self.demoted.insert(rule.clone(), Demoted::from(&entry.audit));
            }
            Change::Promote { rule } => {
                self.demoted.remove(rule);
            }
        }
    }
}
