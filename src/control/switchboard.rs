//! Holds the live table; prepares and publishes the next one.

use crate::id::Epoch;
use crate::table::diagnostic::Diagnostic;
use crate::table::{self, Reference, Source, Table};
use arc_swap::{ArcSwap, Guard};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What a reload came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// A new table is live.
    Published {
        /// Its number.
        epoch: Epoch,
        /// What the file should mend all the same.
        warnings: Vec<Diagnostic>,
    },
    /// The text is what the live table was compiled from; nothing changed.
    Unchanged {
        /// The live table's number.
        epoch: Epoch,
    },
    /// The text has errors; the live table stays.
    Refused {
        /// The live table's number.
        epoch: Epoch,
        /// Everything that is wrong.
        diagnostics: Vec<Diagnostic>,
    },
}

/// The only holder of the live table.
#[derive(Debug)]
pub struct Switchboard {
    live: ArcSwap<Table>,
    file: Option<PathBuf>,
    /// Held from reading a source to publishing its table, so that reloads do not overtake each
    /// other; keeps what the last reload came to.
    reloading: Mutex<Option<Reload>>,
    epochs: watch::Sender<Epoch>,
}

impl Switchboard {
    /// Prepares and publishes the first table from `file`, or from the embedded default.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn open(
        file: Option<&Path>,
    ) -> Result<(Arc<Switchboard>, Vec<Diagnostic>), Vec<Diagnostic>> {
        let prepared = table::prepare(&read(file)?, &lookup);
        let Some(mut first) = prepared.table else {
            return Err(prepared.diagnostics);
        };
        first.epoch = Epoch(1);
        Ok((Switchboard::holding(first, file), prepared.diagnostics))
    }

    /// Holds `first` without having read a source; a reload reads `file`.
    pub fn holding(first: Table, file: Option<&Path>) -> Arc<Switchboard> {
        let epochs = watch::Sender::new(first.epoch);
        Arc::new(Switchboard {
            live: ArcSwap::from_pointee(first),
            file: file.map(Path::to_path_buf),
            reloading: Mutex::new(None),
            epochs,
        })
    }

    /// The live table, for a look that does not outlive the call. One atomic load.
    pub fn peek(&self) -> Guard<Arc<Table>> {
        self.live.load()
    }

    /// The live table, pinned.
    pub fn table(&self) -> Arc<Table> {
        self.live.load_full()
    }

    /// The file that the table comes from; `None` for the embedded default.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Tells of each published epoch.
    pub fn epochs(&self) -> watch::Receiver<Epoch> {
        self.epochs.subscribe()
    }

    /// What the last reload came to; `None` before the first.
    pub fn last_reload(&self) -> Option<Reload> {
        self.reload_lock().clone()
    }

    /// Reads the source again, and publishes its table if it has no error and differs.
    ///
    /// Blocks on the disk and on the compiler: not for a data plane thread.
    pub fn reload(&self) -> Reload {
        let mut last = self.reload_lock();
        let live = self.live.load();
        let outcome = match read(self.file.as_deref()) {
            Err(diagnostics) => Reload::Refused { epoch: live.epoch, diagnostics },
            Ok(source) => {
                let prepared = table::prepare(&source, &lookup);
                match prepared.table {
                    None => {
                        Reload::Refused { epoch: live.epoch, diagnostics: prepared.diagnostics }
                    }
                    Some(next) if next.digest == live.digest => {
                        Reload::Unchanged { epoch: live.epoch }
                    }
                    Some(mut next) => {
                        next.epoch = Epoch(live.epoch.0 + 1);
                        let epoch = next.epoch;
                        self.live.store(Arc::new(next));
                        self.epochs.send_replace(epoch);
                        Reload::Published { epoch, warnings: prepared.diagnostics }
                    }
                }
            }
        };
        *last = Some(outcome.clone());
        outcome
    }

    fn reload_lock(&self) -> MutexGuard<'_, Option<Reload>> {
        // The value is replaced whole, so a panic elsewhere cannot leave it half-made.
        self.reloading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text of `file`, or the embedded default.
fn read(file: Option<&Path>) -> Result<Source, Vec<Diagnostic>> {
    let Some(file) = file else {
        return Ok(Source { file: None, text: table::EMBEDDED.to_owned() });
    };
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Source { file: Some(file.to_path_buf()), text }),
        Err(error) => Err(vec![Diagnostic::unreadable(file, &error.to_string())]),
    }
}

/// Environment variables and files, for `${..}` in strings.
pub fn lookup(reference: Reference<'_>) -> Result<Option<String>, String> {
    match reference {
        Reference::Variable(name) => match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err("it is not UTF-8".to_owned()),
        },
        Reference::File(path) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        },
    }
}
