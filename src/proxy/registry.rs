//! The exchanges that are open on one worker, so that an order can reach them in flight.
//!
//! An entry costs one short lock when an exchange begins and one when it ends, and nothing per
//! frame: the exchange's task is woken by the order itself.

use futures_util::task::AtomicWaker;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// The open exchanges of one worker.
#[derive(Debug, Default)]
pub struct Registry {
    open: Mutex<HashMap<u64, Arc<Entry>>>,
    next: AtomicU64,
}

/// One open exchange, as an order sees it.
#[derive(Debug, Default)]
pub struct Entry {
    cut: AtomicBool,
    waker: AtomicWaker,
}

/// An exchange's place in the registry; it leaves when this is dropped.
#[derive(Debug)]
pub struct Seat {
    registry: Arc<Registry>,
    key: u64,
    entry: Arc<Entry>,
}

impl Registry {
    /// Enters an exchange.
    pub fn enter(self: &Arc<Self>) -> Seat {
        let entry = Arc::new(Entry::default());
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(key, Arc::clone(&entry));
        Seat { registry: Arc::clone(self), key, entry }
    }

    /// Orders every open exchange to be cut; gives their number.
    pub fn cut_all(&self) -> usize {
        let open = self.lock();
        for entry in open.values() {
            entry.cut.store(true, Ordering::Release);
            entry.waker.wake();
        }
        open.len()
    }

    /// The number of open exchanges.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Entry>>> {
        // The map is never left half-changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Ready once the exchange is ordered to be cut.
    pub fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.entry.cut.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.entry.waker.register(cx.waker());
        // The order may have come between the look and the registration.
        if self.entry.cut.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.key);
    }
}
