//! Holds: orders that exempt evidence from retention.
//!
//! A lever takes a hold in the same act that pulls it: the hold is a part of that change, from an
//! hour before the lever to an hour after its end, and stays for [`LEVER_HOLD_KEPT`] more. A hold
//! by hand stays until somebody releases it. What always holds: what is held now is never retired
//! now, because retention asks here before it takes a segment.

use crate::id::LeverId;
use crate::table::lever::{Lever, Scope};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How much from before a lever, and from after its end, is held.
pub const AROUND: Duration = Duration::from_hours(1);
/// How long a lever's hold stays when its lever is no longer in force.
pub const LEVER_HOLD_KEPT: Duration = Duration::from_hours(90 * 24);
/// The most holds by hand.
pub const HOLDS_MAX: usize = 10_000;
/// The most holds of levers that are no longer in force; those that ended first are joined.
pub const ENDED_HOLDS_MAX: usize = 10_000;

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Its id: `hd_` and 32 hexadecimal digits.
    pub id: Box<str>,
    /// What it is about. Segments are held whole.
    pub scope: Scope,
    /// From here on, in milliseconds since the Unix epoch.
    pub from_unix_ms: u64,
    /// Up to here; `None` as long as it stands.
    pub until_unix_ms: Option<u64>,
    /// Why.
    pub reason: Box<str>,
    /// Who.
    pub author: Box<str>,
    /// When it was placed, in milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// The incident that it belongs to.
    pub incident: Option<Box<str>>,
    /// The lever that took it.
    pub lever: Option<LeverId>,
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether a lever's hold up to `until` is over: its lever has been out of force for long.
pub fn is_over(until_unix_ms: u64, unix_ms: u64) -> bool {
    until_unix_ms.saturating_add(ms(LEVER_HOLD_KEPT)) < unix_ms
}

impl Hold {
    /// The hold that `lever` takes.
    pub fn of(lever: &Lever) -> Hold {
        let digits = lever.id.to_string();
        let digits = digits.split_once('_').map_or(&*digits, |(_, digits)| digits);
        Hold {
            id: format!("hd_{digits}").into(),
            scope: lever.scope.clone(),
            from_unix_ms: lever.created_unix_ms.saturating_sub(ms(AROUND)),
            until_unix_ms: None,
            reason: lever.reason.clone(),
            author: lever.author.clone(),
            created_unix_ms: lever.created_unix_ms,
            incident: lever.incident.clone(),
            lever: Some(lever.id),
        }
    }

    /// Its lever is no longer in force since `unix_ms`; tells up to when it holds.
    pub fn ends(&mut self, unix_ms: u64) -> u64 {
        *self.until_unix_ms.get_or_insert(unix_ms.saturating_add(ms(AROUND)))
    }

    /// Holds from now on what `earlier` held too.
    pub fn join(&mut self, earlier: &Hold) {
        self.from_unix_ms = self.from_unix_ms.min(earlier.from_unix_ms);
        if self.scope != earlier.scope {
            self.scope = Scope::all();
        }
    }

    /// Whether it holds anything that happened between two moments, both included.
    pub fn holds(&self, first_unix_ms: u64, last_unix_ms: u64) -> bool {
        self.from_unix_ms <= last_unix_ms
            && self.until_unix_ms.is_none_or(|until| first_unix_ms <= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_has_two_ends() {
        let mut hold = Hold {
            id: "hd_1".into(),
            scope: Scope::parse("all").unwrap(),
            from_unix_ms: 100,
            until_unix_ms: None,
            reason: "r".into(),
            author: "a".into(),
            created_unix_ms: 100,
            incident: None,
            lever: Some(LeverId(1)),
        };
        for (first, last, is_held) in
            [(0, 99, false), (0, 100, true), (50, 500, true), (100, 100, true), (900, 999, true)]
        {
            assert_eq!(hold.holds(first, last), is_held, "{first} {last}");
        }
        hold.ends(1_000);
        hold.ends(9_000_000_000);
        let end = 1_000 + ms(AROUND);
        assert!(hold.holds(end, end + 5) && !hold.holds(end + 1, end + 5));
        assert!(!is_over(end, end) && is_over(end, end + ms(LEVER_HOLD_KEPT) + 1));
    }
}
