//! What stands in the control log: changes, each with its audit entry, chained by hashes.
//!
//! The hash of an entry covers the hash before it, so that an entry that was changed, taken out or
//! put in is found when the log is read. The encoding that is hashed is the stored text itself.

use super::{ReadFault, Rev};
use crate::control::hold::Hold;
use crate::id::LeverId;
use crate::table::lever::Lever;
use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A change of control state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase", deny_unknown_fields)]
pub enum Change {
    /// A lever comes into force.
    Pull {
        /// The lever.
        lever: Lever,
    },
    /// A lever stands for another time than it was to; counted from its pulling.
    Extend {
        /// Which.
        id: LeverId,
        /// How long in all; `None` until it is lifted.
        ttl_ms: Option<u64>,
    },
    /// A lever is taken out of force.
    Lift {
        /// Which.
        id: LeverId,
    },
    /// A lever's time is over.
    Expire {
        /// Which.
        id: LeverId,
    },
    /// Evidence is held.
    Hold {
        /// The hold.
        hold: Hold,
    },
    /// A hold is released.
    Release {
        /// Which.
        id: Box<str>,
    },
    /// A rule only reports from now on, whatever its pack says.
    Demote {
        /// Which, as `pack/id`.
        rule: Box<str>,
    },
    /// A rule that was demoted does again what its pack says.
    Promote {
        /// Which, as `pack/id`.
        rule: Box<str>,
    },
}

impl Change {
    /// The lever that it puts in force.
    pub fn pulled(&self) -> Option<&Lever> {
        match self {
            Change::Pull { lever } => Some(lever),
            Change::Extend { .. }
            | Change::Lift { .. }
            | Change::Expire { .. }
            | Change::Hold { .. }
            | Change::Release { .. }
            | Change::Demote { .. }
            | Change::Promote { .. } => None,
        }
    }

    /// The lever that it is about, if it is about one.
    pub fn lever(&self) -> Option<LeverId> {
        match self {
            Change::Pull { lever } => Some(lever.id),
            Change::Extend { id, .. } | Change::Lift { id } | Change::Expire { id } => Some(*id),
            Change::Hold { .. }
            | Change::Release { .. }
            | Change::Demote { .. }
            | Change::Promote { .. } => None,
        }
    }

    /// The rule that it is about, if it is about one.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Change::Pull { .. }
            | Change::Extend { .. }
            | Change::Lift { .. }
            | Change::Expire { .. }
            | Change::Hold { .. }
            | Change::Release { .. } => None,
            Change::Demote { rule } | Change::Promote { rule } => Some(rule),
        }
    }

    /// The name as audit and API write it.
    pub fn name(&self) -> &'static str {
        match self {
            Change::Pull { .. } => "pull",
            Change::Extend { .. } => "extend",
            Change::Lift { .. } => "lift",
            Change::Expire { .. } => "expire",
            Change::Hold { .. } => "hold",
            Change::Release { .. } => "release",
            Change::Demote { .. } => "demote",
            Change::Promote { .. } => "promote",
        }
    }
}

/// Who did it, when, from where, why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Who.
    pub who: Box<str>,
    /// The role in which they did it.
    pub role: Box<str>,
    /// By which way: `api`, `socket`, or `gate` for what the gate does itself.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// When, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The ticket or incident that they named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Box<str>>,
    /// What was in force for the same lever before, as one word; for a pull, how many exchanges it
    /// was going to reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<str>>,
}

/// SHA-256 of an entry and of all before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One change as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub rev: Rev,
    /// What changed.
    pub change: Change,
    /// Who did it.
    pub audit: Audit,
    /// The hash over it and all before it.
    pub hash: Hash,
}

/// The texts of an entry as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub rev: Rev,
    /// The change, as JSON.
    pub change: String,
    /// The audit entry, as JSON.
    pub audit: String,
    /// The hash.
    pub hash: Vec<u8>,
}

impl Stored {
    /// The entry behind one whose hash is `before`.
    ///
    /// # Errors
    /// Only what cannot be written as JSON, which no change is.
    pub fn new(
        rev: Rev,
        before: Hash,
        change: &Change,
        audit: &Audit,
    ) -> Result<(Stored, Hash), String> {
        let change = serde_json::to_string(change).map_err(|error| error.to_string())?;
        let audit = serde_json::to_string(audit).map_err(|error| error.to_string())?;
        let hash = hash(before, rev, &change, &audit);
        Ok((Stored { rev, change, audit, hash: hash.0.to_vec() }, hash))
    }

    /// Reads it back, as the entry behind one whose hash is `before`.
    ///
    /// # Errors
    /// It is not what was written, or of a later version.
    pub fn read(self, after: Rev, before: Hash) -> Result<Entry, ReadFault> {
        let damaged =
            |what: &str| Err(ReadFault::Corrupt(format!("revision {}: {what}", self.rev)));
        if self.rev != after.next() {
            return damaged(&format!("it stands behind revision {after}"));
        }
        let hash = hash(before, self.rev, &self.change, &self.audit);
        if self.hash != hash.0 {
            return damaged("its hash does not fit: it, or one before it, was changed");
        }
        match (serde_json::from_str(&self.change), serde_json::from_str(&self.audit)) {
            (Ok(change), Ok(audit)) => Ok(Entry { rev: self.rev, change, audit, hash }),
            (Err(error), _) | (_, Err(error)) => damaged(&format!(
                "it cannot be read ({error}); was it written by a newer Firedoor?"
            )),
        }
    }
}

fn hash(before: Hash, rev: Rev, change: &str, audit: &str) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&before.0);
    context.update(&rev.0.to_be_bytes());
    for text in [change, audit] {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    let mut hash = Hash::default();
    hash.0.copy_from_slice(context.finish().as_ref());
    hash
}
