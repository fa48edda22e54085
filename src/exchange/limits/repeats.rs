//! The same call of a tool, again and again.
//!
//! A call is a hash of the tool's name and its arguments. Of each key the last
//! [`CALLS_MAX`] different calls are counted; a loop of more different calls than that is not seen.

use super::sliding::{SLOTS, Sliding};
use crate::exchange::calls::Called;
use crate::table::SameCall;

/// Different calls that are counted for one key.
pub(super) const CALLS_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// The one that was seen last stands last.
    calls: Vec<(u64, Sliding)>,
    met: Option<Loop>,
}

/// A loop that was met.
#[derive(Clone, Debug)]
pub(super) struct Loop {
    pub(super) tool: Box<str>,
    pub(super) times: u64,
    /// Until when requests are refused.
    pub(super) until: u64,
}

/// The width of a slot of the window of `rule`.
fn width(rule: &SameCall) -> u64 {
    (u64::try_from(rule.within.as_nanos()).unwrap_or(u64::MAX) / SLOTS).max(1)
}

impl Repeats {
    /// Counts a call; `Some` if with it a loop is met that was not met before.
    pub(super) fn see(&mut self, rule: &SameCall, call: &Called, now: u64) -> Option<Loop> {
        let width = width(rule);
        let at = self.calls.iter().position(|(hash, _)| *hash == call.hash);
        let mut entry = if let Some(at) = at {
            self.calls.remove(at)
        } else {
            if self.calls.len() == CALLS_MAX {
                self.calls.remove(0);
            }
            (call.hash, Sliding::default())
        };
        entry.1.add(width, now, 1);
        let times = entry.1.used(width, now);
        self.calls.push(entry);
        if times < u64::from(rule.times) || self.standing(now).is_some() {
            return None;
        }
        let until = now.saturating_add(width * SLOTS);
        let met = Loop { tool: call.tool.clone(), times, until };
        self.met = Some(met.clone());
        // After the pause the count begins again, or the first call would be a loop by itself.
        self.calls.clear();
        Some(met)
    }

    /// The loop for which requests are refused now.
    pub(super) fn standing(&self, now: u64) -> Option<&Loop> {
        self.met.as_ref().filter(|met| now < met.until)
    }

    /// The count of the call that came most often.
    pub(super) fn most(&self, rule: &SameCall, now: u64) -> u64 {
        let standing = self.standing(now).map_or(0, |met| met.times);
        let counted = self.calls.iter().map(|(_, count)| count.used(width(rule), now)).max();
        counted.unwrap_or(0).max(standing)
    }
}
