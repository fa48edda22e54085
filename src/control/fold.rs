//! The state that a log of changes adds up to.
//!
//! Pure, total and deterministic: every node that has read the same changes has the same levers in
//! force. A change about a lever that is not in force changes nothing: two people may lift the
//! same lever at once.

use super::log::{Change, Entry, Rev};
use crate::id::LeverId;
use crate::table::lever::Lever;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The levers in force after some revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// The revision up to which changes were taken.
    pub rev: Rev,
    /// By id, and so in the order in which they were pulled.
    pub levers: BTreeMap<LeverId, Arc<Lever>>,
}

impl InForce {
    /// Takes the next change.
    pub fn take(&mut self, entry: &Entry) {
        self.rev = entry.rev;
        self.apply(&entry.change);
    }

    /// What a change does.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Pull { lever } => {
                self.levers.insert(lever.id, Arc::new(lever.clone()));
            }
            Change::Extend { id, ttl_ms } => {
                if let Some(lever) = self.levers.get_mut(id) {
                    Arc::make_mut(lever).ttl_ms = *ttl_ms;
                }
            }
            Change::Lift { id } | Change::Expire { id } => {
                self.levers.remove(id);
            }
        }
    }
}
