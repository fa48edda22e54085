//! Documents that an application attached to a session before it asked.
//!
//! They belong to the exchange that begins next in that session, and only to one of the same app: no
//! app puts words into another's record. Only where they stand is kept here; a note whose session
//! never asks goes with its segment, or gives way to later ones ([`keep`]).

use super::super::age::{self, Identity};
use super::super::disk::Disk;
use super::super::exchange::{Exchange, Noted, Place};
use super::super::read::{Segment, Text};
use super::integer;
use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io;

/// The most that wait for an exchange; the last ones.
const OF_ONE_MAX: u32 = 64;

/// The most that wait for any, if nobody says another number; the last ones.
pub(super) const WAITING_MAX: u32 = 10_000;

/// Which wait for an exchange; the session, the app and the first line of it are bound.
const WAITING: &str = "session = ?1 AND exchange IS NULL AND app = ?2 AND seq < ?3";

/// Of several, of which [`parse`] makes [`Context`]s.
const TOLD: &str = "group_concat(seq || ' ' || segment || ' ' || frame)";

/// The same of those that an exchange `e` has, as a column.
pub(super) fn column() -> String {
    format!("(SELECT {TOLD} FROM contexts WHERE exchange = e.id)")
}

/// Where one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The number of its line.
    pub seq: u64,
    /// Its frame.
    pub place: Place,
}

/// One whose exchange is still to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    session: String,
    app: String,
    context: Context,
}

/// A note of the record.
#[derive(Deserialize)]
struct Note<'l> {
    seq: u64,
    #[serde(borrow)]
    at: Text<'l>,
    #[serde(borrow)]
    what: Text<'l>,
    #[serde(borrow)]
    about: &'l RawValue,
    #[serde(borrow, default)]
    age: Option<Text<'l>>,
}

#[derive(Deserialize)]
struct About<'l> {
    #[serde(borrow, default)]
    session: Option<Text<'l>>,
    #[serde(borrow, default)]
    app: Option<Text<'l>>,
}

impl Waiting {
    /// The one that a note without an exchange tells of, if it does.
    pub(super) fn of(line: &[u8], place: Place) -> Option<Waiting> {
        let note: Note<'_> = serde_json::from_slice(line).ok()?;
        if &*note.what != "context" {
            return None;
        }
        let about: About<'_> = serde_json::from_str(note.about.get()).ok()?;
        Some(Waiting {
            session: about.session?.to_string(),
            app: about.app.map(|app| app.to_string()).unwrap_or_default(),
            context: Context { seq: note.seq, place },
        })
    }

    fn keep(&self, connection: &Connection) -> rusqlite::Result<usize> {
        let Context { seq, place } = self.context;
        let sql = "INSERT OR REPLACE INTO contexts VALUES (?1, ?2, ?3, ?4, ?5, NULL)";
        let (segment, frame) = (integer(place.segment), integer(place.frame));
        connection.prepare_cached(sql)?.execute(params![
            integer(seq),
            self.session,
            self.app,
            segment,
            frame
        ])?;
        let sql = "DELETE FROM contexts WHERE seq IN (
             SELECT seq FROM contexts WHERE session = ?1 AND exchange IS NULL AND app = ?2
             ORDER BY seq DESC LIMIT -1 OFFSET ?3)";
        connection.prepare_cached(sql)?.execute(params![self.session, self.app, OF_ONE_MAX])
    }
}

/// Keeps them until their exchanges begin: of a session and app as many as an exchange can have, of
/// all no more than `waiting_max`. The oldest give way; tells how many did.
pub(super) fn keep(
    connection: &Connection,
    waiting: impl ExactSizeIterator<Item = Waiting>,
    waiting_max: u32,
) -> rusqlite::Result<usize> {
    if waiting.len() == 0 {
        return Ok(0);
    }
    let mut given_up = 0;
    for one in waiting {
        given_up += one.keep(connection)?;
    }
    let sql = "DELETE FROM contexts WHERE seq IN (
         SELECT seq FROM contexts WHERE exchange IS NULL ORDER BY seq DESC LIMIT -1 OFFSET ?1)";
    given_up += connection.prepare_cached(sql)?.execute([waiting_max])?;
    Ok(given_up)
}

/// Those of an exchange: of its row, or, if it has none yet, those that wait for it.
pub(super) fn of(
    connection: &Connection,
    exchange: &Exchange,
    row: Option<i64>,
) -> rusqlite::Result<Vec<Context>> {
    let read = |row: &rusqlite::Row<'_>| row.get::<_, Option<String>>(0);
    let text = if let Some(row) = row {
        let sql = format!("SELECT {} FROM (SELECT ?1 AS id) e", column());
        connection.prepare_cached(&sql)?.query_row([row], read)?
    } else if let Some((session, app, first)) = whose(exchange) {
        let sql = format!("SELECT {TOLD} FROM contexts WHERE {WAITING}");
        connection.prepare_cached(&sql)?.query_row(params![session, app, first], read)?
    } else {
        None
    };
    Ok(parse(text.as_deref()))
}

/// Gives an exchange whose row is new what waited for it.
pub(super) fn bind(connection: &Connection, exchange: &Exchange, row: i64) -> rusqlite::Result<()> {
    let Some((session, app, first)) = whose(exchange) else { return Ok(()) };
    let sql = format!("UPDATE contexts SET exchange = ?4 WHERE {WAITING}");
    connection.prepare_cached(&sql)?.execute(params![session, app, first, row]).map(|_| ())
}

fn whose(exchange: &Exchange) -> Option<(&str, &str, i64)> {
    let (first, _) = exchange.seqs?;
    let app = exchange.known.app.as_deref().unwrap_or_default();
    Some((exchange.known.session.as_deref()?, app, integer(first)))
}

/// Those that [`column`] tells, in their order.
pub(super) fn parse(text: Option<&str>) -> Vec<Context> {
    let one = |text: &str| {
        let mut numbers = text.split(' ').map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        let (seq, segment, frame) = (next()?, next()?, next()?);
        Some(Context { seq, place: Place { segment, frame } })
    };
    let mut all: Vec<Context> =
        text.into_iter().flat_map(|text| text.split(',')).filter_map(one).collect();
    all.sort_unstable_by_key(|context| context.seq);
    all
}

/// Takes those out that stood in a segment that is gone.
pub(super) fn forget(connection: &Connection, segment: u64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM contexts WHERE segment = ?1";
    connection.prepare_cached(sql)?.execute([integer(segment)]).map(|_| ())
}

/// Reads them back. What is gone or damaged is left out.
///
/// # Errors
/// The disk cannot be read.
pub fn read(
    disk: &dyn Disk,
    contexts: &[Context],
    identity: Option<&Identity>,
) -> io::Result<Vec<Noted>> {
    let mut notes = Vec::new();
    for context in contexts {
        let mut segment = match Segment::open(disk, context.place.segment, context.place.frame) {
            Ok(segment) => segment,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if !segment.next_whole_frame()? {
            continue;
        }
        while let Some((_, line)) = segment.line_of_frame() {
            let Ok(note) = serde_json::from_slice::<Note<'_>>(line) else { continue };
            if note.seq == context.seq {
                let sealed = note.age.and_then(|file| age::opened(&file, identity?));
                notes.push(Noted::of(&note.at, &note.what, Some(note.about), sealed.as_deref()));
            }
        }
    }
    Ok(notes)
}
