//! The control log in a SQLite file: what one machine needs.
//!
//! Write-ahead logging with `synchronous = FULL`: a commit returns after the log's pages are
//! synced to the disk (<https://sqlite.org/pragma.html#pragma_synchronous>). One connection, used
//! on the blocking pool, so that no runtime waits for the disk. A file that was moved away or
//! replaced under the running process counts as lost: what is written to it nobody would find.

use super::entry::Stored;
use super::{Answer, AppendFault, Audit, Change, ControlLog, Entry, Hash, Lineage, ReadFault, Rev};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use std::fmt;
use std::fs::OpenOptions;
use std::future::Future;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The version of the file's layout, in `user_version`.
const VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE log (name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name)) WITHOUT ROWID;
CREATE TABLE changes (
  rev INTEGER PRIMARY KEY,
  change TEXT NOT NULL,
  audit TEXT NOT NULL,
  hash BLOB NOT NULL
);
CREATE TABLE notes (name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name)) WITHOUT ROWID;
";

/// The log in a file.
#[derive(Clone)]
pub struct SqliteLog {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    /// Device and inode of the file that was opened.
    identity: (u64, u64),
    connection: Mutex<Connection>,
    appended: Notify,
}

impl fmt::Debug for SqliteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLog").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl SqliteLog {
    /// Opens the log in `path`, or makes it, with `lineage` as its name.
    ///
    /// # Errors
    /// It cannot be opened, is no log, or is damaged.
    pub fn open(path: &Path, lineage: &str) -> Result<SqliteLog, ReadFault> {
        let unavailable =
            |why: String| ReadFault::Unavailable(format!("{}: {why}", path.display()));
        // Made private before SQLite writes into it.
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| unavailable(error.to_string()))?;
        let meta = path.metadata().map_err(|error| unavailable(error.to_string()))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)
            .map_err(|error| unavailable(error.to_string()))?;
        prepare(&mut connection, lineage).map_err(|fault| match fault {
            Unready::Sql(error) => fault_of_reading(path, &error),
            Unready::Version(found) => unavailable(format!(
                "its layout is version {found}, and this Firedoor knows version {VERSION}"
            )),
        })?;
        let shared = Shared {
            path: path.to_path_buf(),
            identity: (meta.dev(), meta.ino()),
            connection: Mutex::new(connection),
            appended: Notify::new(),
        };
        Ok(SqliteLog { shared: Arc::new(shared) })
    }

    /// Runs `work` on the connection, on the blocking pool.
    fn run<T, W>(&self, work: W) -> impl Future<Output = Result<T, String>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&Shared, &mut Connection) -> T + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || work(&shared, &mut shared.lock()));
        async move { task.await.map_err(|error| error.to_string()) }
    }

    /// A note that survives the process but is not worth a revision.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn note(&self, name: &str) -> Result<Option<String>, ReadFault> {
        let connection = self.shared.lock();
        connection
            .query_row("SELECT value FROM notes WHERE name = ?1", [name], |row| row.get(0))
            .optional()
            .map_err(|error| fault_of_reading(&self.shared.path, &error))
    }

    /// Writes a note.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_note(&self, name: &str, value: &str) -> Result<(), ReadFault> {
        let connection = self.shared.lock();
        let sql = "INSERT INTO notes VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
        connection
            .execute(sql, [name, value])
            .map(|_| ())
            .map_err(|error| fault_of_reading(&self.shared.path, &error))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A transaction that was left open by a panic is rolled back when it drops.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the file that is open is still the one that stands at its path.
    fn still_there(&self) -> Result<(), String> {
        match self.path.metadata() {
            Ok(meta) if (meta.dev(), meta.ino()) == self.identity => Ok(()),
            Ok(_) => Err(format!("{} was replaced by another file", self.path.display())),
            Err(error) => Err(format!("{}: {error}", self.path.display())),
        }
    }
}

enum Unready {
    Sql(rusqlite::Error),
    Version(i64),
}

impl From<rusqlite::Error> for Unready {
    fn from(error: rusqlite::Error) -> Unready {
        Unready::Sql(error)
    }
}

fn prepare(connection: &mut Connection, lineage: &str) -> Result<(), Unready> {
    connection.busy_timeout(Duration::from_secs(2))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == VERSION {
        return Ok(());
    }
    if found != 0 {
        return Err(Unready::Version(found));
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute("INSERT INTO log VALUES ('lineage', ?1)", [lineage])?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

fn fault_of_reading(path: &Path, error: &rusqlite::Error) -> ReadFault {
    use rusqlite::ErrorCode;
    let words = format!("{}: {error}", path.display());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ReadFault::Corrupt(words),
        _ => ReadFault::Unavailable(words),
    }
}

/// The newest revision and its hash.
fn head(connection: &Connection) -> rusqlite::Result<(Rev, Hash)> {
    let sql = "SELECT rev, hash FROM changes ORDER BY rev DESC LIMIT 1";
    let found = connection
        .query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))
        .optional()?;
    Ok(found.map_or((Rev(0), Hash::default()), |(rev, bytes)| {
        let mut hash = Hash::default();
        // A hash of another length is told apart when the log is read.
        let length = bytes.len().min(hash.0.len());
        hash.0[..length].copy_from_slice(&bytes[..length]);
        (Rev(rev.unsigned_abs()), hash)
    }))
}

fn append(
    shared: &Shared,
    connection: &mut Connection,
    expected: Rev,
    change: &Change,
    audit: &Audit,
) -> Result<Rev, AppendFault> {
    shared.still_there().map_err(AppendFault::Unavailable)?;
    let unavailable = |error: rusqlite::Error| AppendFault::Unavailable(error.to_string());
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(unavailable)?;
    let (found, before) = head(&transaction).map_err(unavailable)?;
    if found != expected {
        return Err(AppendFault::Conflict { head: found });
    }
    let (stored, _) =
        Stored::new(expected.next(), before, change, audit).map_err(AppendFault::Unavailable)?;
    transaction
        .execute(
            "INSERT INTO changes VALUES (?1, ?2, ?3, ?4)",
            params![stored.rev.0.cast_signed(), stored.change, stored.audit, stored.hash],
        )
        .map_err(unavailable)?;
    // A commit that fails half-way may have reached the disk all the same.
    transaction.commit().map_err(|error| AppendFault::Unknown(error.to_string()))?;
    Ok(stored.rev)
}

fn read(shared: &Shared, connection: &Connection, after: Rev) -> Result<Vec<Entry>, ReadFault> {
    shared.still_there().map_err(ReadFault::Unavailable)?;
    let fault = |error: rusqlite::Error| fault_of_reading(&shared.path, &error);
    let damaged = |fault: ReadFault| match fault {
        ReadFault::Corrupt(why) => ReadFault::Corrupt(format!("{}: {why}", shared.path.display())),
        other @ ReadFault::Unavailable(_) => other,
    };
    let mut last = (after, Hash::default());
    if after > Rev(0) {
        let sql = "SELECT hash FROM changes WHERE rev = ?1";
        let before: Option<Vec<u8>> = connection
            .query_row(sql, [after.0.cast_signed()], |row| row.get(0))
            .optional()
            .map_err(fault)?;
        match before.and_then(|bytes| bytes.try_into().ok()) {
            Some(hash) => last.1 = Hash(hash),
            None => return Err(damaged(ReadFault::Corrupt(format!("revision {after} is gone")))),
        }
    }
    let sql = "SELECT rev, change, audit, hash FROM changes WHERE rev > ?1 ORDER BY rev";
    let mut statement = connection.prepare(sql).map_err(fault)?;
    let rows = statement
        .query_map([after.0.cast_signed()], |row| {
            Ok(Stored {
                rev: Rev(row.get::<_, i64>(0)?.unsigned_abs()),
                change: row.get(1)?,
                audit: row.get(2)?,
                hash: row.get(3)?,
            })
        })
        .map_err(fault)?;
    let mut entries = Vec::new();
    for row in rows {
        let entry = row.map_err(fault)?.read(last.0, last.1).map_err(damaged)?;
        last = (entry.rev, entry.hash);
        entries.push(entry);
    }
    Ok(entries)
}

impl ControlLog for SqliteLog {
    fn append(&self, expected: Rev, change: Change, audit: Audit) -> Answer<'_, Rev, AppendFault> {
        let done = self.run(move |shared, connection| {
            let appended = append(shared, connection, expected, &change, &audit);
            if let Err(AppendFault::Unknown(why)) = &appended {
                // The file itself says what became of it.
                return match read(shared, connection, expected) {
                    Ok(entries) => match entries.first() {
                        Some(entry) if entry.change == change && entry.audit == audit => {
                            Ok(entry.rev)
                        }
                        Some(entry) => Err(AppendFault::Conflict { head: entry.rev }),
                        None => Err(AppendFault::Unavailable(why.clone())),
                    },
                    Err(_) => Err(AppendFault::Unknown(why.clone())),
                };
            }
            appended
        });
        Box::pin(async move {
            let appended = done.await.map_err(AppendFault::Unknown)?;
            if appended.is_ok() {
                self.shared.appended.notify_waiters();
            }
            appended
        })
    }

    fn read(&self, after: Rev) -> Answer<'_, Vec<Entry>, ReadFault> {
        let done = self.run(move |shared, connection| read(shared, connection, after));
        Box::pin(async move { done.await.map_err(ReadFault::Unavailable)? })
    }

    fn wait(&self, _: Rev, at_most: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let _ = tokio::time::timeout(at_most, self.shared.appended.notified()).await;
        })
    }

    fn lineage(&self) -> Answer<'_, Lineage, ReadFault> {
        let done = self.run(move |shared, connection| {
            connection
                .query_row("SELECT value FROM log WHERE name = 'lineage'", [], |row| {
                    row.get::<_, String>(0)
                })
                .map(|name| Lineage(name.into()))
                .map_err(|error| fault_of_reading(&shared.path, &error))
        });
        Box::pin(async move { done.await.map_err(ReadFault::Unavailable)? })
    }
}
