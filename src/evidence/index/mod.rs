//! The index: where exchanges are, and which of them are asked for.
//!
//! A SQLite file beside the segments. What always holds:
//!
//! * It is derived. Evidence is written without it, and it can be deleted at any time: it is made
//!   again from the segments, by the same code that follows them while they grow ([`Follower`]).
//! * How far it has read stands in it, changed in the same transaction as its rows, so an end at
//!   any moment loses nothing and counts nothing twice. Two who follow at once do not disturb each
//!   other: who finds that the other was faster goes on from there.
//! * A file that is damaged, of another version, of another store, or ahead of the segments (they
//!   lost their end with the power) is dropped and made again.
//! * What retention took is taken out of it too: an exchange goes with the segment of its last line.
//! * What is attached to an exchange behind its end is found as well, and so is what was attached to
//!   its session before it began; an exchange of which nothing else is on record does not come to be
//!   by that.
//!
//! An exchange's row number is the millisecond at which it began, and four bits more: so rows sort
//! by time, each index is one by time as well, and a span of time is a span of numbers.
//!
//! Texts are indexed without being kept (an FTS5 table without content): what is shown of them is
//! read from the segments. Of each request only what is new in it is indexed
//! ([`Part::New`](super::texts::Part)), but for the first one of a session. What it cannot do: find
//! parts of words, or words in scripts that put no space between them, and texts of which the
//! record has none.

mod clause;
mod context;
mod find;
mod follow;
mod forget;
mod indexer;
mod mark;
mod places;
mod row;
mod sessions;
#[cfg(test)]
mod tests;
mod write;

pub use context::{Context, read as contexts_at};
pub use find::{Found, Page};
pub use follow::{Follower, Step};
pub use indexer::{Counters, Indexer, Watch};
pub use mark::{Piece, Snippet, snippets, snippets_of};
pub use row::Row;
pub use sessions::{Relation, Session};
#[doc(hidden)]
pub use write::{Entry, Loader, Texts};

use super::disk::Disk;
use super::read::{segment_name, segments};
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags, OptionalExtension};
use std::fmt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name, in the data folder.
pub const FILE: &str = "index.db";

/// The version of the layout, and of what is read out of exchanges.
const VERSION: i64 = 2;

/// How many exchanges may begin within a millisecond and still have numbers of their own.
const SLOTS: u64 = 16;

const SCHEMA: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE segments (number INTEGER PRIMARY KEY);
CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE,
  began INTEGER NOT NULL,
  last INTEGER NOT NULL,
  exchanges INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  cost INTEGER NOT NULL,
  severity INTEGER NOT NULL
);
CREATE INDEX sessions_last ON sessions (last);
CREATE TABLE exchanges (
  id INTEGER PRIMARY KEY,
  exchange BLOB NOT NULL UNIQUE,
  began INTEGER NOT NULL,
  session INTEGER,
  app INTEGER,
  agent INTEGER,
  route INTEGER,
  provider INTEGER,
  target INTEGER,
  model_asked INTEGER,
  model_reported INTEGER,
  dialect INTEGER,
  outcome INTEGER,
  class INTEGER,
  verdict INTEGER,
  trace TEXT,
  status INTEGER,
  latency INTEGER,
  ttft INTEGER,
  cost INTEGER,
  tokens INTEGER,
  attempts INTEGER,
  prompt_bytes INTEGER,
  answer_bytes INTEGER,
  is_stream INTEGER NOT NULL,
  has_gaps INTEGER NOT NULL,
  is_ended INTEGER NOT NULL,
  last_segment INTEGER NOT NULL,
  places BLOB NOT NULL
);
CREATE INDEX exchanges_session ON exchanges (session);
CREATE INDEX exchanges_app ON exchanges (app);
CREATE INDEX exchanges_agent ON exchanges (agent);
CREATE INDEX exchanges_route ON exchanges (route);
CREATE INDEX exchanges_target ON exchanges (target);
CREATE INDEX exchanges_model_asked ON exchanges (model_asked);
CREATE INDEX exchanges_model_reported ON exchanges (model_reported);
CREATE INDEX exchanges_outcome ON exchanges (outcome);
CREATE INDEX exchanges_verdict ON exchanges (verdict);
CREATE INDEX exchanges_trace ON exchanges (trace) WHERE trace IS NOT NULL;
CREATE INDEX exchanges_status ON exchanges (status);
CREATE INDEX exchanges_latency ON exchanges (latency);
CREATE INDEX exchanges_ttft ON exchanges (ttft);
CREATE INDEX exchanges_cost ON exchanges (cost);
CREATE INDEX exchanges_tokens ON exchanges (tokens);
CREATE INDEX exchanges_gaps ON exchanges (id) WHERE has_gaps;
CREATE INDEX exchanges_segment ON exchanges (last_segment);
CREATE TABLE marks (
  kind INTEGER NOT NULL,
  name INTEGER NOT NULL,
  exchange INTEGER NOT NULL,
  PRIMARY KEY (kind, name, exchange)
) WITHOUT ROWID;
CREATE INDEX marks_exchange ON marks (exchange);
CREATE TABLE contexts (
  seq INTEGER PRIMARY KEY,
  session TEXT NOT NULL,
  app TEXT NOT NULL,
  segment INTEGER NOT NULL,
  frame INTEGER NOT NULL,
  exchange INTEGER
);
CREATE INDEX contexts_waiting ON contexts (session) WHERE exchange IS NULL;
CREATE INDEX contexts_exchange ON contexts (exchange) WHERE exchange IS NOT NULL;
CREATE INDEX contexts_segment ON contexts (segment);
CREATE VIRTUAL TABLE texts USING fts5 (
  prompt, document, result, answer, arguments,
  content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO texts (texts, rank) VALUES ('hashsize', 33554432);
";

/// What is wrong with an index.
#[derive(Debug)]
pub enum Fault {
    /// There is none.
    Missing,
    /// It is damaged, or of another version: it has to be made again.
    Unusable(String),
    /// It cannot be used now.
    Unavailable(String),
    /// The query took longer than it may.
    Interrupted,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Missing => f.write_str("there is no index"),
            Fault::Unusable(why) => {
                write!(f, "the index cannot be used and is to be made again: {why}")
            }
            Fault::Unavailable(why) => write!(f, "the index cannot be read: {why}"),
            Fault::Interrupted => f.write_str("the search took too long"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Fault::Unusable(error.to_string())
            }
            Some(ErrorCode::OperationInterrupted) => Fault::Interrupted,
            Some(_) => Fault::Unavailable(error.to_string()),
            // A table, a column or a value that is not as this version writes it.
            None => Fault::Unusable(error.to_string()),
        }
    }
}

/// An index that is read.
pub struct Index {
    connection: Connection,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}

/// The index's file in a data folder.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Removes the index of a data folder.
///
/// # Errors
/// A file cannot be removed.
pub fn remove(data_dir: &Path) -> std::io::Result<()> {
    for end in ["", "-wal", "-shm"] {
        match std::fs::remove_file(data_dir.join(format!("{FILE}{end}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

impl Index {
    /// Opens the index of a data folder to read in it.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub fn open(data_dir: &Path) -> Result<Index, Fault> {
        let path = path(data_dir);
        if !path.exists() {
            return Err(Fault::Missing);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(2))?;
        connection.pragma_update(None, "trusted_schema", false)?;
        // A query may read much: pages are kept up to this many KiB.
        connection.pragma_update(None, "cache_size", -32_768)?;
        match version(&connection)? {
            VERSION => Ok(Index { connection }),
            0 => Err(Fault::Missing),
            other => Err(Fault::Unusable(format!("it is of version {other}"))),
        }
    }

    /// Stops a query from another thread.
    pub fn interrupt(&self) -> InterruptHandle {
        self.connection.get_interrupt_handle()
    }

    /// How many bytes of segments it has not read.
    pub fn behind(&self, disk: &dyn Disk) -> u64 {
        let at = position(&self.connection).ok().flatten().unwrap_or_default();
        behind(disk, (at.segment, at.end))
    }
}

/// How many bytes of segments stand behind a byte of one of them.
fn behind(disk: &dyn Disk, (segment, end): (u64, u64)) -> u64 {
    let sizes = segments(disk).unwrap_or_default().into_iter().map(|number| {
        let size = disk.size(&segment_name(number)).ok().flatten().unwrap_or(0);
        match number.cmp(&segment) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => size.saturating_sub(end),
            std::cmp::Ordering::Greater => size,
        }
    });
    sizes.sum()
}

/// Opens the index to write in it; makes it where it is missing.
fn open_to_write(data_dir: &Path) -> Result<Connection, Fault> {
    let path = path(data_dir);
    // Made private before SQLite writes into it.
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| Fault::Unavailable(format!("{}: {error}", path.display())))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // What a power loss takes is read again.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // Pages that change with every commit are copied back once in many; 64 MiB wait at most.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 16_384, |_| Ok(()))?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.set_prepared_statement_cache_capacity(64);
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    match version(&transaction)? {
        VERSION => {}
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        other => return Err(Fault::Unusable(format!("it is of version {other}"))),
    }
    transaction.commit()?;
    Ok(connection)
}

/// Empties an index that can be used.
fn reset(connection: &mut Connection) -> Result<(), Fault> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for table in
        ["meta", "segments", "names", "sessions", "exchanges", "marks", "contexts", "texts"]
    {
        transaction.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))?;
    }
    transaction.execute_batch(SCHEMA)?;
    transaction.commit()?;
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// How far an index has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct At {
    /// Names the store.
    store: String,
    segment: u64,
    /// Where the last frame begins that was read.
    frame: u64,
    /// Where it ends.
    end: u64,
    /// The chain after its last line, in digits.
    chain: String,
}

fn position(connection: &Connection) -> Result<Option<At>, Fault> {
    let sql = "SELECT value FROM meta WHERE name = 'position'";
    let text: Option<String> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    let Some(text) = text else { return Ok(None) };
    let mut parts = text.split(' ');
    let mut next = || parts.next();
    let at = (|| {
        let (segment, frame, end) = (next()?, next()?, next()?);
        let chain = next()?.to_owned();
        let store = next()?.to_owned();
        let number = |text: &str| text.parse().ok();
        Some(At {
            store,
            segment: number(segment)?,
            frame: number(frame)?,
            end: number(end)?,
            chain,
        })
    })();
    at.map(Some).ok_or_else(|| Fault::Unusable("its position cannot be read".to_owned()))
}

fn set_position(connection: &Connection, at: &At) -> rusqlite::Result<()> {
    let text = format!("{} {} {} {} {}", at.segment, at.frame, at.end, at.chain, at.store);
    let sql = "INSERT INTO meta VALUES ('position', ?1)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute([text]).map(|_| ())
}

/// A number as SQLite has it. Beyond what it can have, the most that it can.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
