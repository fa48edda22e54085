//! What was used, carried over a restart.
//!
//! A snapshot holds ages, not moments, because a process's ticks mean nothing to the next one.
//! Restoring rounds to the strict side: a use is taken to be as young as its slot allows, what
//! open exchanges had reserved counts as used (a process that was killed cannot say what they
//! cost), and a wall clock that went back is taken for one that stood still. Loops and exchanges
//! open at once begin anew.

use super::ledger::{Inner, Key, Ledger, Part, moment, width};
use super::sliding::SLOTS;
use super::{Name, Subject};
use crate::clock::Tick;
use crate::id::AppName;
use crate::table::{CAPS, Unit, Window};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The only version so far.
pub const VERSION: u32 = 1;

/// Everything that was used, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// How it is written.
    pub version: u32,
    /// When it was taken, in milliseconds since the Unix epoch.
    pub taken_unix_ms: u64,
    /// The counters that are not empty.
    pub counters: Vec<Saved>,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    limit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// By the key of the cap: the age in milliseconds, and what was used.
    uses: Vec<(String, Vec<(u64, u64)>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    None,
    Agent,
    Model,
    Session,
}

/// Why a snapshot cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownVersion(pub u32);

impl fmt::Display for UnknownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a snapshot of limits in version {}; this Firedoor knows {VERSION}", self.0)
    }
}

impl std::error::Error for UnknownVersion {}

impl Ledger {
    /// What is used now.
    pub fn snapshot(&self, now: Tick, unix_ms: u64) -> Snapshot {
        let now = moment(now);
        let inner = self.lock();
        let mut counters: Vec<Saved> = saved(&inner, now).collect();
        drop(inner);
        counters.sort_by(|a, b| (&a.limit, &a.app, &a.name).cmp(&(&b.limit, &b.app, &b.name)));
        Snapshot { version: VERSION, taken_unix_ms: unix_ms, counters }
    }

    /// Adds what a snapshot holds to what is used.
    ///
    /// # Errors
    /// Its version is not known; nothing is added then.
    pub fn restore(
        &self,
        snapshot: &Snapshot,
        now: Tick,
        unix_ms: u64,
    ) -> Result<(), UnknownVersion> {
        if snapshot.version != VERSION {
            return Err(UnknownVersion(snapshot.version));
        }
        let now = moment(now);
        let since_ms = unix_ms.saturating_sub(snapshot.taken_unix_ms);
        let mut inner = self.lock();
        for saved in &snapshot.counters {
            let counter = inner.touch(&saved.key(), self.keys_max());
            for (name, uses) in &saved.uses {
                let Some((_, unit, window)) = CAPS.iter().find(|(cap, ..)| cap == name) else {
                    continue;
                };
                let meter = counter.meter(*unit, *window);
                // Oldest first, as a meter takes them.
                let mut uses = uses.clone();
                uses.sort_unstable_by(|a, b| b.cmp(a));
                for (age_ms, amount) in uses {
                    let age = age_ms.saturating_add(since_ms).saturating_mul(1_000_000);
                    let longest = width(*window) * (SLOTS + 1);
                    let Some(at) = now.checked_sub(age).filter(|_| age <= longest) else {
                        continue;
                    };
                    meter.add(width(*window), at, amount);
                }
                meter.expire(width(*window), now);
            }
        }
        Ok(())
    }
}

fn saved(inner: &Inner, now: u64) -> impl Iterator<Item = Saved> {
    let used = inner.counters.iter().filter(|(key, _)| key.part == Part::Use);
    used.filter_map(move |(key, counter)| {
        let uses = counter.meters.iter().filter_map(|(unit, window, meter)| {
            let reserved = counter.reserved(*unit);
            if reserved == 0 && meter.is_empty(width(*window), now) {
                return None;
            }
            // Ages are rounded down: younger is stricter.
            let slots = meter.slots(width(*window), now);
            let mut ages: Vec<(u64, u64)> =
                slots.map(|(end, used)| (now.saturating_sub(end) / 1_000_000, used)).collect();
            if reserved > 0 {
                ages.push((0, reserved));
            }
            Some((cap_name(*unit, *window).to_owned(), ages))
        });
        let uses: Vec<_> = uses.collect();
        if uses.is_empty() {
            return None;
        }
        let (kind, name) = match &key.subject.name {
            Name::None => (Kind::None, None),
            Name::Agent(name) => (Kind::Agent, name.as_deref()),
            Name::Model(name) => (Kind::Model, name.as_deref()),
            Name::Session(name) => (Kind::Session, name.as_deref()),
        };
        Some(Saved {
            limit: key.limit.to_string(),
            app: key.subject.app.as_ref().map(|app| app.as_str().to_owned()),
            kind,
            name: name.map(str::to_owned),
            uses,
        })
    })
}

fn cap_name(unit: Unit, window: Window) -> &'static str {
    CAPS.iter().find(|(_, u, w)| (*u, *w) == (unit, window)).map_or("", |(name, ..)| name)
}

impl Saved {
    fn key(&self) -> Key {
        let text = self.name.as_deref().map(Arc::from);
        let name = match self.kind {
            Kind::None => Name::None,
            Kind::Agent => Name::Agent(text),
            Kind::Model => Name::Model(text),
            Kind::Session => Name::Session(text),
        };
        let app = self.app.as_deref().map(AppName::new);
        let subject = Subject { app, name };
        Key { limit: Arc::from(self.limit.as_str()), part: Part::Use, subject }
    }
}
