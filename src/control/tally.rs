//! What a lever has done so far: the proof that the answer to its pulling states.
//!
//! Counted where it happens, by whoever cuts or refuses, and only then: an exchange that no lever
//! reaches touches none of this.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;

/// The counters of one lever.
#[derive(Debug, Default)]
pub struct Tally {
    ordered: AtomicU64,
    ended: AtomicU64,
    late_bytes: AtomicU64,
    refused: AtomicU64,
    is_settled: AtomicBool,
    moved: Notify,
}

/// What a [`Tally`] says at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Exchanges under way that it ordered to end or to go elsewhere.
    pub ordered: u64,
    /// Of these, those whose ending is written.
    pub ended: u64,
    /// Content bytes that exchanges of its scope wrote after it was in force.
    pub late_bytes: u64,
    /// Requests that it refused since.
    pub refused: u64,
}

impl Tally {
    /// An exchange under way was ordered to end.
    pub fn order(&self) {
        self.ordered.fetch_add(1, Ordering::AcqRel);
    }

    /// The ending of one is written. Who waits is woken by the last alone: ten thousand endings
    /// must not wake another thread ten thousand times.
    pub fn end(&self) {
        let ended = self.ended.fetch_add(1, Ordering::AcqRel) + 1;
        if ended >= self.ordered.load(Ordering::Acquire) {
            self.moved.notify_waiters();
        }
    }

    /// From now on it counts as in force: whoever began a step without it is done with that step,
    /// or was waited for long enough.
    pub fn settle(&self) {
        self.is_settled.store(true, Ordering::Release);
    }

    /// Whether it counts as in force.
    pub fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Acquire)
    }

    /// Bytes went out in a step that began before the lever was published. Those that left before
    /// it counted as in force are none of it.
    pub fn late(&self, bytes: u64) {
        if self.is_settled() {
            self.late_bytes.fetch_add(bytes, Ordering::AcqRel);
        }
    }

    /// A request was refused.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// What it says now.
    pub fn counted(&self) -> Counted {
        Counted {
            ended: self.ended.load(Ordering::Acquire),
            ordered: self.ordered.load(Ordering::Acquire),
            late_bytes: self.late_bytes.load(Ordering::Acquire),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Resolves once as many have ended as were ordered.
    pub async fn all_ended(&self) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let now = self.counted();
            if now.ended >= now.ordered {
                return;
            }
            moved.await;
        }
    }
}
