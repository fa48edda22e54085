//! Whether files that make a table were written: told by the system, and looked at all the same.

use notify::{RecursiveMode, Watcher};
use std::path::Path;

/// What tells whether the routes file, or a file of the packs' folder, was written.
pub(super) fn stamps(file: &Path, filters: &Path) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((path.to_path_buf(), meta.modified().ok()?, meta.len()))
    };
    let mut found: Vec<Stamp> = stamp(file).into_iter().collect();
    let mut folders = vec![(filters.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            found.extend(stamp(&path));
            if depth == 0 && path.is_dir() {
                folders.push((path, 1));
            }
        }
    }
    found.sort();
    found
}

/// A file, when it was changed last, and its length.
pub(super) type Stamp = (std::path::PathBuf, std::time::SystemTime, u64);

/// Watches the folder of `file`: editors and Kubernetes replace files, so the file itself is not
/// what to watch.
pub(super) fn watch(
    file: &Path,
    filters: &Path,
    changed: tokio::sync::mpsc::Sender<()>,
) -> Option<notify::RecommendedWatcher> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).to_path_buf();
    let started = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A full channel means that a look is due anyway.
            let _ = changed.try_send(());
        }
    })
    .and_then(|mut watcher| {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        if filters.is_dir() {
            watcher.watch(filters, RecursiveMode::Recursive)?;
        }
        Ok(watcher)
    });
    match started {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "cannot watch {}; looking every few seconds", folder.display());
            None
        }
    }
}
