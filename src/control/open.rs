//! From a data folder to a desk: the log is read, checked and folded before anything listens.
//!
//! A gate that cannot read its levers does not start, because it would un-kill what was killed. It
//! starts from the last known levers only where that is asked for.

use super::clocks;
use super::desk::{DeskParts, LeverDesk};
use super::fold::InForce;
use super::last_known::{self, LastKnown};
use super::log::{ControlLog, Entry, Lineage, ReadFault, Rev, SqliteLog};
use super::notes;
use super::switchboard::Switchboard;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The control log's file in the data folder.
pub const STATE_FILE: &str = "state.db";

/// What to do where the log cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutLog {
    /// Do not start.
    #[default]
    Refuse,
    /// Start from the last known levers.
    LastKnown,
}

/// Why there is no desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenFault {
    /// The log cannot be read.
    Log(ReadFault),
    /// The log is older than what this gate has seen.
    Older {
        /// What the log says.
        found: (Lineage, Rev),
        /// What was seen.
        seen: (Lineage, Rev),
        /// The file that says so.
        file: String,
    },
    /// There are no last known levers to start from.
    NothingKnown(String),
}

impl fmt::Display for OpenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenFault::Log(fault) => write!(
                f,
                "{fault}. Without it, levers that are in force would be forgotten, so the gate does \
                 not start. Mend the file or its folder, or start with `--last-known` from the levers \
                 that were last seen in force"
            ),
            OpenFault::Older { found, seen, file } => write!(
                f,
                "the control log is older than what this gate has seen: it is log {} at revision {}, \
                 and log {} at revision {} was seen. Was it restored from a copy? Levers pulled since \
                 would be forgotten. Start with `--last-known`, or remove {file} to accept the older log",
                found.0.0, found.1, seen.0.0, seen.1
            ),
            OpenFault::NothingKnown(why) => {
                write!(f, "there are no last known levers to start from: {why}")
            }
        }
    }
}

impl std::error::Error for OpenFault {}

impl From<ReadFault> for OpenFault {
    fn from(fault: ReadFault) -> OpenFault {
        OpenFault::Log(fault)
    }
}

struct Opened {
    log: SqliteLog,
    lineage: Lineage,
    entries: Vec<Entry>,
}

/// Opens the desk of `data_dir` and publishes the levers in force.
///
/// # Errors
/// Why the gate must not start.
pub async fn open(
    data_dir: &Path,
    board: Arc<Switchboard>,
    without: WithoutLog,
) -> Result<Arc<LeverDesk>, OpenFault> {
    let file = last_known::path(data_dir);
    let known = LastKnown::read(&file);
    let opened = match (read(data_dir).await, &known) {
        (Ok(opened), Ok(Some(known))) => {
            let rev = opened.entries.last().map_or(Rev(0), |entry| entry.rev);
            if opened.lineage == known.lineage && rev >= known.rev {
                Ok(opened)
            } else {
                Err(OpenFault::Older {
                    found: (opened.lineage, rev),
                    seen: (known.lineage.clone(), known.rev),
                    file: file.display().to_string(),
                })
            }
        }
        (Ok(opened), Ok(None)) => Ok(opened),
        (Ok(opened), Err(why)) => {
            tracing::warn!(why, "cannot tell whether the control log was restored from a copy");
            Ok(opened)
        }
        (Err(fault), _) => Err(OpenFault::Log(fault)),
    };
    match (opened, without) {
        (Ok(opened), WithoutLog::Refuse | WithoutLog::LastKnown) => {
            desk_of_log(opened, board, &file)
        }
        (Err(fault), WithoutLog::Refuse) => Err(fault),
        (Err(fault), WithoutLog::LastKnown) => {
            tracing::error!(%fault, "starting from the last known levers");
            desk_of_known(known, board)
        }
    }
}

async fn read(data_dir: &Path) -> Result<Opened, ReadFault> {
    let name = clocks::random().map_err(|why| ReadFault::Unavailable(why.to_owned()))?;
    let log = SqliteLog::open(&data_dir.join(STATE_FILE), &format!("{name:032x}"))?;
    let lineage = log.lineage().await?;
    let entries = log.read(Rev(0)).await?;
    Ok(Opened { log, lineage, entries })
}

fn desk_of_log(
    opened: Opened,
    board: Arc<Switchboard>,
    file: &Path,
) -> Result<Arc<LeverDesk>, OpenFault> {
    let Opened { log, lineage, entries } = opened;
    let quarantined = notes::begin_trial(&log, &entries)?;
    let elapsed = notes::elapsed_before(&log)?;
    let mut state = InForce::default();
    for entry in &entries {
        if quarantined == Some(entry.rev) {
            state.rev = entry.rev;
            tracing::error!(
                rev = entry.rev.0,
                change = entry.change.name(),
                lever = entry.change.lever().map(|id| id.to_string()),
                "the gate crashed twice with this change and leaves it out; lift it or pull it again"
            );
        } else {
            state.take(entry);
        }
    }
    let known = LastKnown::of(lineage.clone(), &state);
    if let Err(error) = known.write(file) {
        tracing::warn!(%error, "cannot write {}", file.display());
    }
    Ok(LeverDesk::open(DeskParts {
        log: Some(Arc::new(log.clone())),
        notes: Some(Arc::new(log)),
        lineage,
        state,
        history: entries,
        quarantined,
        elapsed,
        last_known: Some(file.to_path_buf()),
        board,
    }))
}

fn desk_of_known(
    known: Result<Option<LastKnown>, String>,
    board: Arc<Switchboard>,
) -> Result<Arc<LeverDesk>, OpenFault> {
    let known = match known {
        Ok(Some(known)) => known,
        Ok(None) => {
            return Err(OpenFault::NothingKnown(format!("there is no {}", last_known::FILE)));
        }
        Err(why) => return Err(OpenFault::NothingKnown(why)),
    };
    Ok(LeverDesk::open(DeskParts {
        log: None,
        notes: None,
        lineage: known.lineage.clone(),
        state: known.state(),
        history: Vec::new(),
        quarantined: None,
        elapsed: BTreeMap::new(),
        last_known: None,
        board,
    }))
}
