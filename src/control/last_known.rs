//! `last-known.json`: the levers in force as of the last change, beside the log.
//!
//! Two uses. A log that names another lineage, or an older revision than this file, was restored
//! from a copy: starting from it would undo levers unseen, so the gate refuses. And where the log
//! cannot be read at all, `--last-known` starts from this file instead of from nothing.
//!
//! Written after each change by a rename; a file that cannot be read is as good as none.

use super::fold::{Demoted, InForce};
use super::log::{Lineage, Rev};
use crate::table::lever::Lever;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file's name in the data folder.
pub const FILE: &str = "last-known.json";

/// What it holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LastKnown {
    /// The log it was read from.
    pub lineage: Lineage,
    /// The revision up to which.
    pub rev: Rev,
    /// The levers in force.
    #[serde(deserialize_with = "shared")]
    pub levers: Vec<Arc<Lever>>,
    /// The rules that only report.
    #[serde(default)]
    pub demoted: BTreeMap<Box<str>, Demoted>,
}

fn shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Arc<Lever>>, D::Error> {
    Ok(Vec::<Lever>::deserialize(deserializer)?.into_iter().map(Arc::new).collect())
}

/// The same, as it is written.
#[derive(Serialize)]
struct Written<'k> {
    lineage: &'k Lineage,
    rev: Rev,
    levers: Vec<&'k Lever>,
    demoted: &'k BTreeMap<Box<str>, Demoted>,
}

/// Where it lies in `data_dir`.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

impl LastKnown {
    /// Of a state.
    pub fn of(lineage: Lineage, state: &InForce) -> LastKnown {
        LastKnown {
            lineage,
            rev: state.rev,
            levers: state.levers.values().cloned().collect(),
            demoted: state.demoted.clone(),
        }
    }

    /// As a state.
    pub fn state(self) -> InForce {
        let levers = self.levers.into_iter().map(|lever| (lever.id, lever)).collect();
        // Holds are not known here: without the log, everything is held.
        InForce { rev: self.rev, levers, demoted: self.demoted, ..InForce::default() }
    }

    /// Reads the file; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(path: &Path) -> Result<Option<LastKnown>, String> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Puts it in the place of the old one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let temporary = path.with_extension("new");
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)?;
        let levers = self.levers.iter().map(|lever| &**lever).collect();
        let text = serde_json::to_vec(&Written {
            lineage: &self.lineage,
            rev: self.rev,
            levers,
            demoted: &self.demoted,
        })?;
        file.write_all(&text)?;
        file.write_all(b"\n")?;
        std::fs::rename(&temporary, path)
    }
}
