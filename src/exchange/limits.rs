//! An app's limits, counted.
//!
//! Requests a minute are a generic cell rate: each request moves a theoretical arrival time on by
//! one interval; one that would move it more than a minute ahead is over the limit. One atomic,
//! no lock, no window edge to game. Open requests are a counter with a guard.

use crate::clock::Tick;
use crate::table::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const MINUTE_NS: u64 = 60_000_000_000;

/// What an app has used. Lives as long as the process, through reloads.
#[derive(Debug, Default)]
pub struct AppUse {
    arrival: AtomicU64,
    open: AtomicU32,
}

/// Which limit was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// Requests a minute.
    RequestsPerMinute(u32),
    /// Requests open at once.
    Concurrent(u32),
}

/// An open request of an app; counted until it is dropped.
#[derive(Debug)]
pub struct Open(Arc<AppUse>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AppUse {
    /// Counts one more request of the app, if its limits allow.
    ///
    /// # Errors
    /// The limit that is met; nothing is counted then.
    pub fn begin(self: &Arc<Self>, limits: &Limits, now: Tick) -> Result<Open, Met> {
        let open = self.open.fetch_add(1, Ordering::Relaxed);
        let guard = Open(Arc::clone(self));
        if let Some(most) = limits.concurrent
            && open >= most
        {
            return Err(Met::Concurrent(most));
        }
        if let Some(most) = limits.requests_per_minute {
            let interval = MINUTE_NS / u64::from(most.max(1));
            let moved = self.arrival.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| {
                let next = at.max(now.0) + interval;
                (next <= now.0 + MINUTE_NS).then_some(next)
            });
            if moved.is_err() || most == 0 {
                return Err(Met::RequestsPerMinute(most));
            }
        }
        Ok(guard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_per_minute() {
        let used = Arc::new(AppUse::default());
        let limits = Limits { requests_per_minute: Some(3), ..Limits::default() };
        let at = |s: u64| Tick(s * 1_000_000_000 + MINUTE_NS);
        for _ in 0..3 {
            assert!(used.begin(&limits, at(0)).is_ok());
        }
        assert_eq!(used.begin(&limits, at(0)).unwrap_err(), Met::RequestsPerMinute(3));
        assert!(used.begin(&limits, at(20)).is_ok(), "a third of a minute later one more fits");
        assert!(used.begin(&limits, at(20)).is_err());
    }

    #[test]
    fn concurrent() {
        let used = Arc::new(AppUse::default());
        let limits = Limits { concurrent: Some(1), ..Limits::default() };
        let first = used.begin(&limits, Tick(0)).unwrap();
        assert_eq!(used.begin(&limits, Tick(0)).unwrap_err(), Met::Concurrent(1));
        drop(first);
        assert!(used.begin(&limits, Tick(0)).is_ok());
    }
}
