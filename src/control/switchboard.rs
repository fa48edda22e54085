//! Holds the live table; prepares and publishes the next one.

use super::tally::Tally;
use crate::id::{Epoch, LeverId};
use crate::table::codes;
use crate::table::diagnostic::Diagnostic;
use crate::table::lever::{Lever, Levers, Rules};
use crate::table::{self, Provider, Reference, Routes, Source, Table};
use arc_swap::{ArcSwap, Guard};
use dashmap::DashMap;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// The live table's number, to be looked at more often than the table itself.
    epoch: AtomicU64,
    file: Option<PathBuf>,
    /// Held from reading a source to publishing its table, so that reloads do not overtake each
    /// other; keeps what the last reload came to.
    reloading: Mutex<Option<Reload>>,
    /// Held while the next table is put together and stored: never while a file is compiled, so
    /// that a lever does not wait for a reload.
    publishing: Mutex<()>,
    epochs: watch::Sender<Epoch>,
    /// Routes that are not live any more and that exchanges may still use. With all rules they take milliseconds
    /// to drop, so the last of those must not be who drops them: see [`Switchboard::let_go`].
    past: Mutex<Vec<Arc<Routes>>>,
    /// Rules that only report, whatever their files say.
    shadowed: Mutex<HashSet<String>>,
    /// What each lever in force has done.
    tallies: DashMap<LeverId, Arc<Tally>>,
    /// Whether other machines reach the data plane, whatever the file says of its addresses.
    is_public: AtomicBool,
}

/// Why a table is refused that would lend its credentials to strangers.
const OPEN_TO_STRANGERS: &str = "the data plane would be reachable from other machines, providers have keys, and no app is configured: anybody could spend them. Add an [apps.NAME] with a key_sha256, or listen on 127.0.0.1";

impl Switchboard {
    /// Prepares and publishes the first table from `file`, or from the embedded default.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn open(
        file: Option<&Path>,
    ) -> Result<(Arc<Switchboard>, Vec<Diagnostic>), Vec<Diagnostic>> {
        let prepared = table::prepare(&source(file)?, &lookup);
        let Some(mut first) = prepared.table else {
            return Err(prepared.diagnostics);
        };
        first.epoch = Epoch(1);
        warm(&first.files);
        Ok((Switchboard::holding(first, file), prepared.diagnostics))
    }

    /// Holds `first` without having read a source; a reload reads `file`.
    pub fn holding(first: Table, file: Option<&Path>) -> Arc<Switchboard> {
        let epochs = watch::Sender::new(first.epoch);
        Arc::new(Switchboard {
            epoch: AtomicU64::new(first.epoch.0),
            live: ArcSwap::from_pointee(first),
            file: file.map(Path::to_path_buf),
            reloading: Mutex::new(None),
            publishing: Mutex::new(()),
            epochs,
            past: Mutex::default(),
            shadowed: Mutex::default(),
            tallies: DashMap::new(),
            is_public: AtomicBool::new(false),
        })
    }

    /// Whether strangers could spend the credentials of a table.
    fn stands_open_to_strangers(&self, files: &Routes) -> bool {
        self.is_public.load(Ordering::Acquire)
            && files.apps.is_empty()
            && files.providers.iter().any(Provider::has_credential)
    }

    /// Says whether other machines reach the data plane, before it serves.
    ///
    /// # Errors
    /// They would, and strangers could spend the credentials of the live table.
    pub fn open_to(&self, is_public: bool) -> Result<(), Vec<Diagnostic>> {
        self.is_public.store(is_public, Ordering::Release);
        if !self.stands_open_to_strangers(&self.live.load().files) {
            return Ok(());
        }
        // The embedded default has no credential, so there is a file.
        let file = self.file.as_deref().unwrap_or(Path::new(""));
        Err(vec![Diagnostic::of_file(file, codes::OPEN_GATE, OPEN_TO_STRANGERS)])
    }

    /// The live table's number. One load; a table is live before its number is told here.
    #[inline]
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Puts exactly `levers` in force over the live routes, and gives the new table's number.
    ///
    /// Cannot fail, and waits for no file.
    pub fn publish_levers(&self, levers: Vec<Arc<Lever>>) -> Epoch {
        self.publish(levers, None)
    }

    /// The same, where the rules of the one that is new are compiled already.
    pub fn publish_pulled(
        &self,
        levers: Vec<Arc<Lever>>,
        new: LeverId,
        rules: Option<Rules>,
    ) -> Epoch {
        self.publish(levers, rules.map(|rules| (new, rules)).as_ref())
    }

    fn publish(&self, levers: Vec<Arc<Lever>>, new: Option<&(LeverId, Rules)>) -> Epoch {
        let _alone = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.live.load();
        let new_ones = levers.iter().filter(|lever| !live.levers.has(lever.id));
        new_ones.for_each(|lever| drop(self.tallies.entry(lever.id).or_default()));
        let compiled = Levers::compile_after(levers, &live.files, &|id| match new {
            Some((new, rules)) if *new == id => Some(rules.clone()),
            Some(_) | None => live.levers.rules(id).cloned(),
        });
        let epoch = self.store(Arc::clone(&live.files), compiled);
        let table = self.live.load();
        if self.tallies.len() > table.levers.all().len() {
            self.tallies.retain(|id, _| table.levers.has(*id));
        }
        epoch
    }

    /// What a lever has done so far; nothing if it is not in force any more.
    pub fn tally(&self, lever: LeverId) -> Arc<Tally> {
        self.tallies.get(&lever).map(|tally| Arc::clone(&tally)).unwrap_or_default()
    }

    /// Stores the next table. The caller holds `publishing`.
    fn store(&self, files: Arc<Routes>, levers: Levers) -> Epoch {
        let before = self.live.load();
        let epoch = Epoch(before.epoch.0 + 1);
        if !Arc::ptr_eq(&before.files, &files) {
            self.past().push(Arc::clone(&before.files));
        }
        self.live.store(Arc::new(Table { epoch, files, levers: Arc::new(levers) }));
        self.epoch.store(epoch.0, Ordering::Release);
        self.epochs.send_replace(epoch);
        epoch
    }

    fn past(&self) -> MutexGuard<'_, Vec<Arc<Routes>>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the routes that nothing uses any more. Takes its time: not for a thread of the data path.
    pub fn let_go(&self) {
        let unused: Vec<_> =
            self.past().extract_if(.., |routes| Arc::strong_count(routes) == 1).collect();
        drop(unused);
    }

    /// Whether there are routes that are not live any more.
    pub fn has_past(&self) -> bool {
        !self.past().is_empty()
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

    /// Publishes the live routes with exactly these rules, named `pack/rule`, in shadow. Reads no
    /// file, so that a mistake in one is not in the way; the next reload keeps to it too.
    ///
    /// Blocks on the compiler: not for a data plane thread.
    ///
    /// # Errors
    /// The rules do not compile in shadow; in words. The live table stays.
    pub fn shadow_exactly(&self, rules: HashSet<String>) -> Result<Epoch, String> {
        let _alone = self.reload_lock();
        let live = self.live.load_full();
        let next = live.files.shadowing(&rules)?;
        *self.shadowed() = rules;
        warm(&next);
        // The levers' rules now, so that no lever waits for them below.
        let ready = beside(&next, &[&live.levers], &live.levers);
        let publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.live.load();
        let levers = beside(&next, &[&ready, &now.levers], &now.levers);
        let epoch = self.store(Arc::new(next), levers);
        drop(publishing);
        Ok(epoch)
    }

    /// The rules in shadow, whatever their files say.
    pub fn shadowed(&self) -> MutexGuard<'_, HashSet<String>> {
        self.shadowed.lock().unwrap_or_else(PoisonError::into_inner)
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
        let live = self.live.load_full();
        let outcome = match source(self.file.as_deref()) {
            Err(diagnostics) => Reload::Refused { epoch: live.epoch, diagnostics },
            Ok(source) => {
                let shadowed = self.shadowed().clone();
                let prepared = table::prepare_with(&source, &lookup, &shadowed);
                let refused = |code, why| Reload::Refused {
                    epoch: live.epoch,
                    diagnostics: source
                        .file
                        .iter()
                        .map(|file| Diagnostic::of_file(file, code, why))
                        .collect(),
                };
                match prepared.table {
                    None => {
                        Reload::Refused { epoch: live.epoch, diagnostics: prepared.diagnostics }
                    }
                    Some(next)
                        if next.digest == live.digest
                            && next.packs.shadowed() == live.packs.shadowed() =>
                    {
                        Reload::Unchanged { epoch: live.epoch }
                    }
                    // A file that is being written, or for which there was no room.
                    Some(_) if source.is_blank() => {
                        refused(codes::EMPTY_FILE, "it is empty; to serve nobody, kill `all`")
                    }
                    Some(next) if self.stands_open_to_strangers(&next) => {
                        refused(codes::OPEN_GATE, OPEN_TO_STRANGERS)
                    }
                    Some(next) => {
                        warm(&next.files);
                        // Their rules now, so that no lever waits for them below.
                        let ready = beside(&next.files, &[&live.levers], &live.levers);
                        let alone = self.publishing.lock();
                        let _alone = alone.unwrap_or_else(PoisonError::into_inner);
                        // Levers may have changed while the file was compiled.
                        let now = self.live.load();
                        let levers = beside(&next.files, &[&ready, &now.levers], &now.levers);
                        let epoch = self.store(next.files, levers);
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

/// `standing` over other routes; rules that one of `before` has compiled are not compiled again.
fn beside(files: &Routes, before: &[&Levers], standing: &Levers) -> Levers {
    let known = |id| before.iter().find_map(|levers| levers.rules(id)).cloned();
    Levers::compile_after(standing.all().to_vec(), files, &known)
}

/// Makes the rules of all routes ready for their first texts.
fn warm(routes: &Routes) {
    routes.routes.iter().filter_map(|route| route.rules.as_ref()).for_each(|book| book.warm());
}

/// The text of `file`, or the embedded default.
///
/// # Errors
/// The file cannot be read.
pub fn source(file: Option<&Path>) -> Result<Source, Vec<Diagnostic>> {
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
        Reference::Bytes(path) => match std::fs::read(path) {
            Ok(bytes) => Ok(Some(bytes.into_iter().map(char::from).collect())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        },
        Reference::Folder(path) => match std::fs::read_dir(path) {
            Ok(entries) => {
                let mut names: Vec<String> = entries
                    .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                    .collect();
                names.sort_unstable();
                Ok(Some(names.join("\n")))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_that_an_exchange_uses_are_kept_and_it_does_not_drop_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("routes.toml");
        let write = |name: &str| std::fs::write(&file, table::EMBEDDED.to_owned() + name).unwrap();
        write("\n# first\n");
        let (board, _) = Switchboard::open(Some(&file)).unwrap();
        let used = board.table();
        let unused = Arc::downgrade(&used.files);
        write("\n# second\n");
        assert!(matches!(board.reload(), Reload::Published { .. }));
        board.let_go();
        assert!(board.has_past(), "an exchange has it still");
        drop(used);
        assert!(unused.upgrade().is_some(), "who had it last has not dropped it");
        board.let_go();
        assert!(!board.has_past() && unused.upgrade().is_none());
        board.publish_levers(Vec::new());
        assert!(!board.has_past(), "levers change no routes");
    }
}
