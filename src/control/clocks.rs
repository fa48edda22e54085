//! The clocks by which levers end, and the kernel's randomness.
//!
//! A lever's time is counted on `CLOCK_BOOTTIME`, which nobody can set and which runs on while the
//! machine sleeps; the wall clock is only shown to people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment on the boot clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// Now.
    pub fn now() -> Moment {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Moment(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0)))
    }

    /// From milliseconds since the boot.
    pub fn from_ms(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    /// In milliseconds since the boot.
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// The time from `earlier`; zero if that is later.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Names this boot of the machine (proc(5), `random/boot_id`); empty where there is none.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |id| id.trim().to_owned())
}

/// Milliseconds since the Unix epoch, for people.
pub fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// 128 random bits from the kernel.
///
/// # Errors
/// The machine gives no randomness.
pub fn random() -> Result<u128, &'static str> {
    let mut bytes = [0u8; 16];
    let count = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    let is_full = count.is_ok_and(|count| count == bytes.len());
    if is_full { Ok(u128::from_le_bytes(bytes)) } else { Err("the machine gives no randomness") }
}
