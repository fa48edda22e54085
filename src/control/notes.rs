//! What a process writes down for the next one, beside the log: how long levers have stood, and
//! whether the newest change is trusted.
//!
//! **Crash-loop breaker.** A change is on trial until the gate has run with it for a minute or was
//! ended in order. A gate that starts and finds the newest change still on trial for the second
//! time leaves it out, unless it is a kill: those are kept whatever happens.
//!
//! **Elapsed times** are counted while the machine runs. After a crash on the same boot the boot
//! clock says how long a lever went on standing; after a reboot the time that the machine was off
//! does not count, since only the wall clock could tell it and that may be wrong.

use super::clocks::{self, Moment};
use super::log::{Entry, ReadFault, Rev, SqliteLog};
use crate::id::LeverId;
use crate::table::lever::Act;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Crashes with the same newest change after which it is left out.
const CRASHES_MAX: u32 = 2;

/// Where a process leaves notes for the next one.
pub trait Notes: Send + Sync + fmt::Debug {
    /// The change `rev` is applied and not yet trusted; so many processes crashed with it.
    fn unsettled(&self, rev: Rev, crashes: u32);
    /// The change `rev` is trusted.
    fn settled(&self, rev: Rev);
    /// What another room wants to find again, under a name of its own.
    fn keep(&self, name: &str, text: &str);
    /// What was kept under `name`.
    fn kept(&self, name: &str) -> Option<String>;
    /// How long levers have stood.
    fn elapsed(&self, elapsed: &BTreeMap<LeverId, Duration>);
}

#[derive(Debug, Serialize, Deserialize)]
struct Trial {
    rev: Rev,
    crashes: u32,
    settled: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Elapsed {
    boot: String,
    at_ms: u64,
    levers: BTreeMap<LeverId, u64>,
}

const TRIAL: &str = "trial";
const ELAPSED: &str = "elapsed";

impl SqliteLog {
    fn write<T: Serialize>(&self, name: &str, value: &T) {
        let written = serde_json::to_string(value)
            .map_err(|error| error.to_string())
            .and_then(|text| self.set_note(name, &text).map_err(|fault| fault.to_string()));
        if let Err(why) = written {
            tracing::warn!(why, "cannot write the note `{name}` beside the control log");
        }
    }
}

impl Notes for SqliteLog {
    fn unsettled(&self, rev: Rev, crashes: u32) {
        self.write(TRIAL, &Trial { rev, crashes, settled: false });
    }

    fn settled(&self, rev: Rev) {
        self.write(TRIAL, &Trial { rev, crashes: 0, settled: true });
    }

    fn keep(&self, name: &str, text: &str) {
        if let Err(fault) = self.set_note(name, text) {
            tracing::warn!(%fault, "cannot write the note `{name}` beside the control log");
        }
    }

    fn kept(&self, name: &str) -> Option<String> {
        self.note(name).ok().flatten()
    }

    fn elapsed(&self, elapsed: &BTreeMap<LeverId, Duration>) {
        let levers = elapsed
            .iter()
            .map(|(id, time)| (*id, u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
            .collect();
        let note = Elapsed { boot: clocks::boot_id(), at_ms: Moment::now().ms(), levers };
        self.write(ELAPSED, &note);
    }
}

/// How long levers had stood, by the notes of the process before this one.
///
/// # Errors
/// The notes cannot be read.
pub fn elapsed_before(log: &SqliteLog) -> Result<BTreeMap<LeverId, Duration>, ReadFault> {
    let note = log.note(ELAPSED)?.and_then(|text| serde_json::from_str::<Elapsed>(&text).ok());
    let Some(note) = note else { return Ok(BTreeMap::new()) };
    let boot = clocks::boot_id();
    let since = if note.boot == boot && !boot.is_empty() {
        Moment::now().since(Moment::from_ms(note.at_ms))
    } else {
        Duration::ZERO
    };
    let total = |ms: u64| Duration::from_millis(ms) + since;
    Ok(note.levers.into_iter().map(|(id, ms)| (id, total(ms))).collect())
}

/// Puts the newest change on trial, and says whether it is to be left out.
///
/// # Errors
/// The notes cannot be read.
pub fn begin_trial(log: &SqliteLog, entries: &[Entry]) -> Result<Option<Rev>, ReadFault> {
    let Some(newest) = entries.last() else { return Ok(None) };
    let note = log.note(TRIAL)?.and_then(|text| serde_json::from_str::<Trial>(&text).ok());
    let crashes = match note {
        Some(trial) if trial.rev == newest.rev && !trial.settled => trial.crashes + 1,
        Some(_) | None => 0,
    };
    log.unsettled(newest.rev, crashes);
    // What takes a lever away changes nothing that could crash.
    // Nor does a rule that only reports, or one that does again what it did before.
    let is_kept = newest.change.pulled().is_none_or(|lever| match lever.act {
        Act::Kill { .. } => true,
        Act::Limit { .. } | Act::Reroute { .. } | Act::Filter { .. } => false,
    });
    Ok((crashes >= CRASHES_MAX && !is_kept).then_some(newest.rev))
}
