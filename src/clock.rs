//! Time as an argument.
//!
//! Pure rooms never read a clock; they are handed a [`Tick`]. Only `proxy/`, `control/` and
//! `admin/` read the machine's clocks and pass them down.

use std::time::Duration;

/// A moment on a monotonic clock, in nanoseconds since an arbitrary start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `later` after `self`.
    #[must_use]
    pub fn after(self, later: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)))
    }
}
