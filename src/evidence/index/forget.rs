//! Taking out of the index what the record keeps no longer.
//!
//! What stood in segments that are gone goes when they are missed; what was erased from segments that
//! are there goes when the record says so. Each is told in several lines, one of which is read at the
//! latest with the newest segment, so the index notes what it took out.

use super::super::share::Erased;
use super::{Fault, context, count, integer};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

/// How many exchanges are forgotten at once.
const FORGET_MAX: usize = 2_000;

/// Takes out what stood in segments that are gone; gives how many exchanges.
pub(super) fn gone(connection: &mut Connection, there: &[u64]) -> Result<u64, Fault> {
    let mut gone: Vec<u64> = Vec::new();
    {
        let mut statement = connection.prepare("SELECT number FROM segments")?;
        let found = statement.query_map([], |row| row.get::<_, i64>(0))?;
        for number in found {
            let number = number?.unsigned_abs();
            if !there.contains(&number) {
                gone.push(number);
            }
        }
    }
    let mut forgotten = 0;
    for number in gone {
        forgotten += segment(connection, number, None)?;
        connection.execute("DELETE FROM segments WHERE number = ?1", [integer(number)])?;
    }
    Ok(forgotten)
}

/// Takes out what was erased from segments that are there, as `read` tells, unless that is `known`.
pub(super) fn erased(
    connection: &mut Connection,
    read: &Erased,
    known: &mut Erased,
    there: &[u64],
) -> Result<u64, Fault> {
    let was = known.clone();
    let mut forgotten = 0;
    for (number, route) in read.iter().filter(|(number, route)| !was.has(*number, route)) {
        forgotten += segment(connection, number, Some(route))?;
        known.insert(number, [route]);
    }
    if *known != was {
        known.keep_only(|number| there.contains(&number));
        let text = serde_json::to_string(known).unwrap_or_default();
        let sql = "INSERT INTO meta VALUES ('erased', ?1)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        connection.execute(sql, [text])?;
    }
    Ok(forgotten)
}

/// What of the erasures on record was taken out.
pub(super) fn known(connection: &Connection) -> Result<Erased, Fault> {
    let sql = "SELECT value FROM meta WHERE name = 'erased'";
    let text: Option<String> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    // To take it out once more costs little.
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// Takes out what stood in a segment: all of it, or what was of a route, whose name is empty for none.
fn segment(connection: &mut Connection, number: u64, route: Option<&str>) -> Result<u64, Fault> {
    let mut forgotten = 0;
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let taken = some(&transaction, number, route)?;
        if taken < FORGET_MAX && route.is_none_or(str::is_empty) {
            // What applications attach to a session is of no route.
            context::forget(&transaction, number)?;
        }
        transaction.commit()?;
        forgotten += taken as u64;
        if taken < FORGET_MAX {
            return Ok(forgotten);
        }
    }
}

/// Takes exchanges whose last line stands in `segment` out, all or those of a route, whose name is
/// empty for none; [`FORGET_MAX`]
/// at once. Gives how many it took.
fn some(connection: &Connection, segment: u64, route: Option<&str>) -> rusqlite::Result<usize> {
    let mut rows: Vec<(i64, Option<i64>)> = Vec::new();
    {
        let sql = "SELECT id, session FROM exchanges WHERE last_segment = ?1 AND (?2 IS NULL \
                   OR ?2 = coalesce((SELECT text FROM names WHERE id = route), '')) LIMIT ?3";
        let mut statement = connection.prepare_cached(sql)?;
        let which = params![integer(segment), route, count(FORGET_MAX)];
        let found = statement.query_map(which, |row| Ok((row.get(0)?, row.get(1)?)))?;
        for row in found {
            rows.push(row?);
        }
    }
    let mut sessions: Vec<i64> = Vec::new();
    for (row, session) in &rows {
        connection.prepare_cached("DELETE FROM texts WHERE rowid = ?1")?.execute([row])?;
        connection.prepare_cached("DELETE FROM marks WHERE exchange = ?1")?.execute([row])?;
        connection.prepare_cached("DELETE FROM exchanges WHERE id = ?1")?.execute([row])?;
        sessions.extend(session);
    }
    sessions.sort_unstable();
    sessions.dedup();
    for session in sessions {
        super::sessions::count_again(connection, session)?;
    }
    Ok(rows.len())
}
