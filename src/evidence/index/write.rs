//! Rows, written.

use super::super::exchange::{Exchange, Place};
use super::super::query::{Mark, Texts as Column};
use super::super::texts::{self, Answer, Part};
use super::places::{read_places, write_places};
use super::row::Row;
use super::{SLOTS, integer};
use crate::id::ExchangeId;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;

/// The most bytes of an exchange's texts that are indexed, in each column.
const COLUMN_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The most names that are kept in memory.
const NAMES_MAX: usize = 50_000;
/// After so many taken numbers the next free one is asked for.
const PROBES_MAX: u64 = 256;

/// What the index has of an exchange.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// The exchange, as far as it is known.
    pub exchange: Exchange,
    /// The frames that hold its lines.
    pub places: Vec<Place>,
    /// Its texts, once it has ended.
    pub texts: Option<Texts>,
}

/// Texts by column, and the tools called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// One text for each of [`Column::ALL`].
    pub columns: [String; 5],
    /// The tools that the answer calls.
    pub tools: Vec<String>,
}

impl Texts {
    /// The texts of an exchange.
    pub fn of(exchange: &Exchange, part: Part) -> Texts {
        let Answer { said, mut tools } = texts::of(exchange, part);
        let mut found = Texts::default();
        for said in said {
            found.push(Column::of(said.kind), &said.text);
            if let Some(tool) = &said.tool {
                found.push(Column::Arguments, tool);
            }
        }
        tools.sort_unstable();
        tools.dedup();
        Texts { tools, ..found }
    }

    fn push(&mut self, column: Column, text: &str) {
        let place = Column::ALL.iter().position(|known| *known == column);
        let Some(into) = place.and_then(|place| self.columns.get_mut(place)) else { return };
        let room = COLUMN_BYTES_MAX.saturating_sub(into.len());
        let mut end = text.len().min(room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        into.push_str(&text[..end]);
        into.push('\n');
    }

    fn is_empty(&self) -> bool {
        self.columns.iter().all(String::is_empty)
    }
}

/// The numbers of names, as far as they were needed lately.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, i64>);

impl Names {
    fn of(&mut self, connection: &Connection, text: Option<&str>) -> rusqlite::Result<Option<i64>> {
        let Some(text) = text else { return Ok(None) };
        if let Some(id) = self.0.get(text) {
            return Ok(Some(*id));
        }
        let found = connection
            .prepare_cached("SELECT id FROM names WHERE text = ?1")?
            .query_row([text], |row| row.get(0))
            .optional()?;
        let id = if let Some(id) = found {
            id
        } else {
            connection.prepare_cached("INSERT INTO names (text) VALUES (?1)")?.execute([text])?;
            connection.last_insert_rowid()
        };
        if self.0.len() >= NAMES_MAX {
            self.0.clear();
        }
        self.0.insert(text.to_owned(), id);
        Ok(Some(id))
    }

    /// Forgets what a transaction that was not committed may have put in.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Writes rows that were made elsewhere: for measuring.
#[derive(Debug)]
pub struct Loader {
    connection: Connection,
    names: Names,
}

impl Loader {
    /// Opens the index of a data folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open(data_dir: &std::path::Path) -> Result<Loader, super::Fault> {
        let connection = super::open_to_write(data_dir)?;
        Ok(Loader { connection, names: Names::default() })
    }

    /// Writes entries in one transaction.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn put(&mut self, entries: &[(ExchangeId, Entry)]) -> Result<(), super::Fault> {
        let transaction = self.connection.transaction()?;
        for (id, entry) in entries {
            put(&transaction, &mut self.names, *id, None, entry, Writing::New)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

/// The row of an exchange, if it has one: its number, its places, and whether it has ended.
pub(super) fn known(
    connection: &Connection,
    id: ExchangeId,
) -> rusqlite::Result<Option<(i64, Vec<Place>, bool)>> {
    let sql = "SELECT id, places, is_ended FROM exchanges WHERE exchange = ?1";
    let row = |row: &rusqlite::Row<'_>| {
        Ok((row.get(0)?, read_places(row.get_ref(1)?.as_blob()?), row.get(2)?))
    };
    connection.prepare_cached(sql)?.query_row([id.0.to_be_bytes()], row).optional()
}

/// Whether the index has exchanges of a session from before this one, or, where it is new, any.
pub(super) fn has_earlier(
    connection: &Connection,
    session: &str,
    id: ExchangeId,
    row: Option<i64>,
) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM exchanges
               WHERE session = (SELECT id FROM sessions WHERE text = ?1) AND exchange <> ?2
               AND id < ?3";
    let before = row.unwrap_or(i64::MAX);
    connection.prepare_cached(sql)?.exists(params![session, id.0.to_be_bytes(), before])
}

/// Tells where the lines of an exchange are, when nothing else of it is new.
pub(super) fn add_places(
    connection: &Connection,
    id: ExchangeId,
    places: &[Place],
) -> rusqlite::Result<()> {
    let sql = "UPDATE exchanges SET places = ?2, last_segment = ?3 WHERE exchange = ?1";
    let last = integer(places.last().map_or(0, |place| place.segment));
    connection
        .prepare_cached(sql)?
        .execute(params![id.0.to_be_bytes(), write_places(places), last])
        .map(|_| ())
}

/// What is written of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// What was not written before.
    New,
    /// What was written when it ended, with what came behind its end.
    Again,
}

/// Writes an exchange's row.
pub(super) fn put(
    connection: &Connection,
    names: &mut Names,
    id: ExchangeId,
    row: Option<i64>,
    entry: &Entry,
    writing: Writing,
) -> rusqlite::Result<i64> {
    let known = &entry.exchange.known;
    let told = Row::of(&entry.exchange);
    let began = told.began_unix_ms;
    let session = match &told.session {
        Some(text) => Some(session_of(connection, text, began)?),
        None => None,
    };
    let (is_new, row) = match row {
        Some(row) => (false, row),
        None => (true, free_row(connection, began)?),
    };
    let is_ended = entry.texts.is_some();
    let mut name = |text: &Option<String>| names.of(connection, text.as_deref());
    let sql = "INSERT OR REPLACE INTO exchanges VALUES
        (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,
         ?25,?26,?27,?28,?29)";
    connection.prepare_cached(sql)?.execute(params![
        row,
        id.0.to_be_bytes(),
        integer(began),
        session,
        name(&told.app)?,
        name(&told.agent)?,
        name(&told.route)?,
        name(&told.provider)?,
        name(&told.target)?,
        name(&told.model_asked)?,
        name(&told.model_reported)?,
        name(&told.dialect)?,
        name(&told.outcome)?,
        name(&told.class)?,
        name(&told.verdict)?,
        told.trace,
        told.status.filter(|_| is_ended),
        told.latency_us.map(integer),
        told.ttft_us.map(integer),
        told.cost_micro_usd.map(integer),
        told.tokens.map(integer),
        told.attempts,
        integer(told.prompt_bytes),
        integer(told.answer_bytes),
        told.is_stream,
        told.has_gaps,
        is_ended,
        integer(entry.places.last().map_or(0, |place| place.segment)),
        write_places(&entry.places),
    ])?;
    let rules = known.findings.iter().map(|finding| (Mark::Rule, &*finding.rule));
    let levers = known.levers.iter().chain(&known.lever).map(|lever| (Mark::Lever, &**lever));
    let tools = entry.texts.iter().flat_map(|texts| &texts.tools);
    let tools = tools.map(|tool| (Mark::Tool, &**tool));
    for (mark, text) in rules.chain(levers).chain(tools) {
        let name = names.of(connection, Some(text))?;
        connection
            .prepare_cached("INSERT OR IGNORE INTO marks VALUES (?1, ?2, ?3)")?
            .execute(params![mark as i64, name, row])?;
    }
    if writing == Writing::Again {
        connection.prepare_cached("DELETE FROM texts WHERE rowid = ?1")?.execute([row])?;
    }
    if let Some(texts) = entry.texts.as_ref().filter(|texts| !texts.is_empty()) {
        let sql = "INSERT INTO texts (rowid, prompt, document, result, answer, arguments)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let [prompt, document, result, answer, arguments] = &texts.columns;
        connection
            .prepare_cached(sql)?
            .execute(params![row, prompt, document, result, answer, arguments])?;
    }
    if let Some(session) = session.filter(|_| writing == Writing::New) {
        let usage = known.usage.total().filter(|_| is_ended).unwrap_or(0);
        let cost = known.cost.0.filter(|_| is_ended).unwrap_or(0);
        let last = began.saturating_add(known.total_us.unwrap_or(0) / 1_000);
        let sql = "UPDATE sessions SET began = min(began, ?2), last = max(last, ?3),
            exchanges = exchanges + ?4, tokens = tokens + ?5, cost = cost + ?6,
            severity = max(severity, ?7) WHERE id = ?1";
        connection.prepare_cached(sql)?.execute(params![
            session,
            integer(began),
            integer(last),
            i64::from(is_new),
            integer(usage),
            integer(cost),
            super::sessions::severity(known.verdict.as_deref()),
        ])?;
    }
    Ok(row)
}

fn session_of(connection: &Connection, text: &str, began: u64) -> rusqlite::Result<i64> {
    let found = connection
        .prepare_cached("SELECT id FROM sessions WHERE text = ?1")?
        .query_row([text], |row| row.get(0))
        .optional()?;
    if let Some(id) = found {
        return Ok(id);
    }
    let sql = "INSERT INTO sessions (text, began, last, exchanges, tokens, cost, severity)
               VALUES (?1, ?2, ?2, 0, 0, 0, 0)";
    connection.prepare_cached(sql)?.execute(params![text, integer(began)])?;
    Ok(connection.last_insert_rowid())
}

/// A number for an exchange that began at this millisecond.
fn free_row(connection: &Connection, began_unix_ms: u64) -> rusqlite::Result<i64> {
    let first = integer(began_unix_ms.saturating_mul(SLOTS));
    let mut taken = connection.prepare_cached("SELECT 1 FROM exchanges WHERE id = ?1")?;
    for row in first..first.saturating_add(integer(PROBES_MAX)) {
        if !taken.exists([row])? {
            return Ok(row);
        }
    }
    let sql = "SELECT max(id) + 1 FROM exchanges";
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}
