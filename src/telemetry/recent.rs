//! The last finished exchanges: for a look-up by id, and as a feed.
//!
//! One ring serves both. A reader of the feed holds a cursor and not a queue, so a slow one costs
//! nothing: what left the ring before it came is told to it as a gap, with the count.

use crate::exchange::facts::Facts;
use crate::id::ExchangeId;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How many exchanges are kept.
pub const RECENT_MAX: usize = 1_024;

/// The place of an exchange in the order in which they finished; the first has 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// What a reader has missed, and what comes next.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Exchanges that left the ring before the reader saw them.
    pub missed: u64,
    /// The next exchanges, oldest first.
    pub facts: Vec<(Sequence, Arc<Facts>)>,
}

/// The ring.
#[derive(Debug, Default)]
pub struct Recent {
    ring: Mutex<Ring>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Ring {
    /// Ids stand beside the pointers, so that a search does not chase them.
    kept: VecDeque<(ExchangeId, Arc<Facts>)>,
    /// How many ever came; the sequence of the newest.
    count: u64,
}

impl Ring {
    /// The sequence of the oldest that is kept, or of the next to come.
    fn oldest(&self) -> u64 {
        self.count - self.kept.len() as u64 + 1
    }

    fn from(&self, first: u64) -> impl DoubleEndedIterator<Item = (Sequence, Arc<Facts>)> + '_ {
        let oldest = self.oldest();
        let skip = usize::try_from(first.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let skip = skip.min(self.kept.len());
        self.kept.range(skip..).enumerate().map(move |(at, (_, facts))| {
            (Sequence(oldest + skip as u64 + at as u64), Arc::clone(facts))
        })
    }
}

impl Recent {
    /// Adds the newest.
    pub fn push(&self, facts: Arc<Facts>) {
        let id = facts.id;
        let evicted = {
            let mut ring = self.lock();
            ring.count += 1;
            let evicted = if ring.kept.len() == RECENT_MAX { ring.kept.pop_front() } else { None };
            ring.kept.push_back((id, facts));
            evicted
        };
        self.arrived.notify_waiters();
        // Freed outside the lock.
        drop(evicted);
    }

    /// The exchange of this id, if it is still kept.
    pub fn find(&self, id: ExchangeId) -> Option<Arc<Facts>> {
        let ring = self.lock();
        ring.kept.iter().rev().find(|(kept, _)| *kept == id).map(|(_, facts)| Arc::clone(facts))
    }

    /// Up to `limit` exchanges before `before` (or the newest), newest first.
    pub fn page(&self, before: Option<Sequence>, limit: usize) -> Vec<(Sequence, Arc<Facts>)> {
        let ring = self.lock();
        let end = before.map_or(u64::MAX, |before| before.0);
        ring.from(0).rev().skip_while(|(sequence, _)| sequence.0 >= end).take(limit).collect()
    }

    /// The sequence of the newest.
    pub fn newest(&self) -> Sequence {
        Sequence(self.lock().count)
    }

    /// What came after `cursor`, at most `limit` of it; waits until there is something.
    pub async fn after(&self, cursor: Sequence, limit: usize) -> Batch {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // Before the look, so that nothing can come between the look and the wait.
            arrived.as_mut().enable();
            let batch = self.look_after(cursor, limit);
            if batch.missed > 0 || !batch.facts.is_empty() {
                return batch;
            }
            arrived.await;
        }
    }

    fn look_after(&self, cursor: Sequence, limit: usize) -> Batch {
        let ring = self.lock();
        let next = cursor.0.saturating_add(1);
        Batch {
            missed: ring.oldest().saturating_sub(next),
            facts: ring.from(next).take(limit).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // No code that can panic runs while the ring is half changed.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts_for_tests as sample;
    use super::*;

    fn filled(count: u128) -> Recent {
        let recent = Recent::default();
        for number in 1..=count {
            recent.push(Arc::new(sample(number)));
        }
        recent
    }

    #[test]
    fn the_oldest_leave_and_the_newest_are_found() {
        let recent = filled(RECENT_MAX as u128 + 5);
        assert!(recent.find(ExchangeId(5)).is_none());
        assert_eq!(recent.find(ExchangeId(6)).unwrap().id, ExchangeId(6));
        assert_eq!(recent.newest(), Sequence(RECENT_MAX as u64 + 5));
    }

    #[test]
    fn pages_lead_back_without_overlap() {
        let recent = filled(10);
        let first = recent.page(None, 4);
        let numbers: Vec<u64> = first.iter().map(|(sequence, _)| sequence.0).collect();
        assert_eq!(numbers, [10, 9, 8, 7]);
        let second = recent.page(Some(first[3].0), 100);
        assert_eq!(second.len(), 6);
        assert_eq!(second[0].0, Sequence(6));
        assert!(recent.page(Some(Sequence(1)), 4).is_empty());
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed() {
        let recent = filled(RECENT_MAX as u128 + 7);
        let batch = recent.after(Sequence(0), 3).await;
        assert_eq!(batch.missed, 7);
        assert_eq!(batch.facts.len(), 3);
        assert_eq!(batch.facts[0].0, Sequence(8));
        let batch = recent.after(batch.facts[2].0, 3).await;
        assert_eq!((batch.missed, batch.facts[0].0), (0, Sequence(11)));
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let recent = Arc::new(Recent::default());
        let reader = tokio::spawn({
            let recent = Arc::clone(&recent);
            async move { recent.after(Sequence(0), 8).await }
        });
        tokio::task::yield_now().await;
        recent.push(Arc::new(sample(9)));
        let batch = reader.await.unwrap();
        assert_eq!(batch.facts[0].1.id, ExchangeId(9));
    }
}
