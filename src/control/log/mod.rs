//! The control log: the one place where control state is durable.
//!
//! Every lever that is pulled, extended or lifted is a change in a log with a gap-free revision,
//! and every change carries its audit entry in the same commit. A node's state is the fold of the
//! log ([`super::fold`]); nothing else is stored. The trait is small so that one machine needs
//! only the file beside it ([`sqlite`]) and a fleet can put a shared engine behind the same four
//! calls.
//!
//! What always holds, whatever stands behind the trait: an append that answered is durable; two
//! appends never get the same revision; what was read once is read again, in the same order, with
//! the same content.

pub mod entry;
pub mod memory;
pub mod sqlite;

pub use entry::{Audit, Change, Entry, Hash};
pub use memory::MemoryLog;
pub use sqlite::SqliteLog;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The number of a change. The first is 1; 0 stands for an empty log.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Rev(pub u64);

impl Rev {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Rev {
        Rev(self.0 + 1)
    }
}

impl fmt::Display for Rev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Names one log for its whole life. A log restored from a copy keeps its name, so a revision that
/// went backwards under the same name is a restored log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lineage(pub Box<str>);

/// Why a change was not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendFault {
    /// Somebody else appended first; read and try again.
    Conflict {
        /// The newest revision.
        head: Rev,
    },
    /// Nothing was appended.
    Unavailable(String),
    /// Whether it was appended is not known: read for the change's own id.
    Unknown(String),
}

impl fmt::Display for AppendFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendFault::Conflict { head } => write!(f, "the log has moved on to revision {head}"),
            AppendFault::Unavailable(why) => write!(f, "the control log cannot be written: {why}"),
            AppendFault::Unknown(why) => {
                write!(f, "whether the control log took the change is not known: {why}")
            }
        }
    }
}

/// Why the log could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// It cannot be reached now.
    Unavailable(String),
    /// What it holds is not what was written.
    Corrupt(String),
}

impl fmt::Display for ReadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadFault::Unavailable(why) => write!(f, "the control log cannot be read: {why}"),
            ReadFault::Corrupt(why) => write!(f, "the control log is damaged: {why}"),
        }
    }
}

impl std::error::Error for ReadFault {}

/// What a call of the log gives in the end.
pub type Answer<'l, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'l>>;

/// The control log.
pub trait ControlLog: Send + Sync + fmt::Debug {
    /// Appends `change` with its audit entry if the newest revision is `expected`. When it answers
    /// with a revision, the change is durable.
    fn append(&self, expected: Rev, change: Change, audit: Audit) -> Answer<'_, Rev, AppendFault>;

    /// The changes after `after`, in order and without a gap.
    fn read(&self, after: Rev) -> Answer<'_, Vec<Entry>, ReadFault>;

    /// Waits until there may be something after `after`, at most so long. A hint only: it may come
    /// late, twice, or not at all.
    fn wait(&self, after: Rev, at_most: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// The log's name.
    fn lineage(&self) -> Answer<'_, Lineage, ReadFault>;
}

#[cfg(test)]
mod conformance;
