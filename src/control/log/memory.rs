//! A simulated control log: in memory, and failing when it is told to.
//!
//! It proves that nothing above the trait leans on a file, and lets tests fail each call at will.

use super::{Answer, AppendFault, Audit, Change, ControlLog, Entry, Hash, Lineage, ReadFault, Rev};
use crate::control::log::entry::Stored;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How the next call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// It does not.
    No,
    /// The engine cannot be reached.
    Unavailable,
    /// An append is taken, and its answer is lost.
    AnswerLost,
}

#[derive(Debug)]
struct State {
    entries: Vec<Entry>,
    failing: Failing,
}

/// The log in memory.
#[derive(Debug)]
pub struct MemoryLog {
    lineage: Lineage,
    state: Mutex<State>,
    appended: Notify,
}

impl MemoryLog {
    /// An empty log of this name.
    pub fn new(lineage: &str) -> MemoryLog {
        MemoryLog {
            lineage: Lineage(lineage.into()),
            state: Mutex::new(State { entries: Vec::new(), failing: Failing::No }),
            appended: Notify::new(),
        }
    }

    /// From now on calls fail so.
    pub fn fail(&self, failing: Failing) {
        self.lock().failing = failing;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, expected: Rev, change: &Change, audit: &Audit) -> Result<Rev, AppendFault> {
        let mut state = self.lock();
        if state.failing == Failing::Unavailable {
            return Err(AppendFault::Unavailable("simulated".to_owned()));
        }
        let (head, before) =
            state.entries.last().map_or((Rev(0), Hash::default()), |last| (last.rev, last.hash));
        if head != expected {
            return Err(AppendFault::Conflict { head });
        }
        let (stored, _) =
            Stored::new(head.next(), before, change, audit).map_err(AppendFault::Unavailable)?;
        let entry = stored
            .read(head, before)
            .map_err(|fault| AppendFault::Unavailable(fault.to_string()))?;
        let rev = entry.rev;
        state.entries.push(entry);
        if state.failing == Failing::AnswerLost {
            return Err(AppendFault::Unknown("simulated".to_owned()));
        }
        Ok(rev)
    }
}

impl ControlLog for MemoryLog {
    fn append(&self, expected: Rev, change: Change, audit: Audit) -> Answer<'_, Rev, AppendFault> {
        let taken = self.take(expected, &change, &audit);
        if taken.is_ok() {
            self.appended.notify_waiters();
        }
        Box::pin(ready(taken))
    }

    fn read(&self, after: Rev) -> Answer<'_, Vec<Entry>, ReadFault> {
        let state = self.lock();
        let found = match state.failing {
            Failing::Unavailable => Err(ReadFault::Unavailable("simulated".to_owned())),
            Failing::No | Failing::AnswerLost => {
                Ok(state.entries.iter().filter(|entry| entry.rev > after).cloned().collect())
            }
        };
        Box::pin(ready(found))
    }

    fn wait(&self, _: Rev, at_most: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let _ = tokio::time::timeout(at_most, self.appended.notified()).await;
        })
    }

    fn lineage(&self) -> Answer<'_, Lineage, ReadFault> {
        Box::pin(ready(Ok(self.lineage.clone())))
    }
}
