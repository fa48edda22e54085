//! Sessions: the exchanges of one conversation or agent run, counted together.
//!
//! Sessions of one trace belong together: an agent that calls another hands its trace on. Which is
//! the parent of which is told by who began first in the trace, which is all that a gateway sees.

use super::super::query::Query;
use super::clause::Clause;
use super::find::{FEW, MANY, Way};
use super::row::{Row, columns};
use super::{Fault, Index, Page, count, integer};
use crate::exchange::screen::Done;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use serde_json::{Value as Json, json};

/// The most relatives that are told.
const RELATIVES_MAX: usize = 100;

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Its number in the index.
    pub number: i64,
    /// Its id.
    pub id: String,
    /// When its first exchange began, in milliseconds since the Unix epoch.
    pub began_unix_ms: u64,
    /// When its last exchange ended, as far as one has.
    pub last_unix_ms: u64,
    /// How many exchanges it has.
    pub exchanges: u64,
    /// Of all their prompts and answers.
    pub tokens: u64,
    /// What they cost together, as far as prices are known.
    pub cost_micro_usd: u64,
    /// The gravest that the rules said.
    pub verdict: Option<&'static str>,
    /// The app of its last exchange.
    pub app: Option<String>,
    /// The agent of its last exchange.
    pub agent: Option<String>,
    /// The model that its last exchange asked for.
    pub model: Option<String>,
}

/// How another session stands to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The other session.
    pub session: String,
    /// Whether it began first in the trace that both have.
    pub is_parent: bool,
    /// That trace.
    pub trace: String,
}

/// A verdict as a number that grows with its severity; 0 where nothing was judged.
pub(super) fn severity(verdict: Option<&str>) -> i64 {
    let at = verdict.and_then(|verdict| Done::VERDICTS.iter().position(|known| *known == verdict));
    at.map_or(0, |at| count(at) + 1)
}

/// Counts a session again after exchanges of it went; drops it with the last of them.
pub(super) fn count_again(connection: &Connection, session: i64) -> rusqlite::Result<()> {
    let sql = "SELECT count(*), min(began), max(began + ifnull(latency, 0) / 1000),
        ifnull(sum(tokens), 0), ifnull(sum(cost), 0) FROM exchanges WHERE session = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let (number, began, last, tokens, cost): (i64, Option<i64>, Option<i64>, i64, i64) = statement
        .query_row([session], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })?;
    let (Some(began), Some(last)) = (began, last) else {
        let sql = "DELETE FROM sessions WHERE id = ?1";
        return connection.prepare_cached(sql)?.execute([session]).map(|_| ());
    };
    let sql = "UPDATE sessions SET exchanges = ?2, began = ?3, last = ?4, tokens = ?5, cost = ?6
               WHERE id = ?1";
    connection
        .prepare_cached(sql)?
        .execute(params![session, number, began, last, tokens, cost])
        .map(|_| ())
}

const SESSION: &str = "s.id, s.text, s.began, s.last, s.exchanges, s.tokens, s.cost, s.severity,
    (SELECT n.text FROM exchanges e JOIN names n ON n.id = e.app
     WHERE e.session = s.id ORDER BY e.id DESC LIMIT 1),
    (SELECT n.text FROM exchanges e JOIN names n ON n.id = e.agent
     WHERE e.session = s.id ORDER BY e.id DESC LIMIT 1),
    (SELECT n.text FROM exchanges e JOIN names n ON n.id = e.model_asked
     WHERE e.session = s.id ORDER BY e.id DESC LIMIT 1)";

impl Session {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Session> {
        let number = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
        let severity = usize::try_from(row.get::<_, i64>(7)?).unwrap_or(0);
        Ok(Session {
            number: row.get(0)?,
            id: row.get(1)?,
            began_unix_ms: number(2)?,
            last_unix_ms: number(3)?,
            exchanges: number(4)?,
            tokens: number(5)?,
            cost_micro_usd: number(6)?,
            verdict: severity.checked_sub(1).and_then(|at| Done::VERDICTS.get(at)).copied(),
            app: row.get(8)?,
            agent: row.get(9)?,
            model: row.get(10)?,
        })
    }

    /// For programs.
    pub fn as_json(&self) -> Json {
        let moment = super::super::line::moment;
        json!({
            "id": self.id,
            "began": moment(self.began_unix_ms),
            "last": moment(self.last_unix_ms),
            "exchanges": self.exchanges,
            "tokens": self.tokens,
            "cost_micro_usd": self.cost_micro_usd,
            "verdict": self.verdict,
            "app": self.app,
            "agent": self.agent,
            "model": self.model,
        })
    }
}

/// The first of them, and where the page behind them begins.
fn page(mut sessions: Vec<Session>, limit: usize) -> Sessions {
    let has_more = sessions.len() > limit;
    sessions.truncate(limit);
    let last = sessions.last().filter(|_| has_more);
    let next = last.map(|session| (session.last_unix_ms, session.number));
    (sessions, next)
}

/// A page of sessions, and where the next one begins.
type Sessions = (Vec<Session>, Option<(u64, i64)>);

impl Index {
    /// Sessions that have an exchange that a query asks for, the last active first, behind the one
    /// that ended at `before` with that number. Gives where the next page begins, too.
    ///
    /// # Errors
    /// The index cannot be used.
    pub fn sessions(
        &self,
        query: &Query,
        before: Option<(u64, i64)>,
        limit: usize,
    ) -> Result<Sessions, Fault> {
        let mut wanted = None;
        if !query.terms.is_empty() {
            let (mut way, mut clause) = self.plan(query, None, FEW)?;
            // What is common is met soon among those that were active last. Not by an index of what is
            // common, which would be read through for each of them.
            // To look for words in one text costs more than to look at its row.
            let most = if way == Way::Texts { (FEW / 8).max(1) } else { FEW };
            if way == Way::All || way == Way::Texts && self.has_more_texts(query, most)? {
                let each = self.each(query)?;
                let sql = format!(
                    "EXISTS (SELECT 1 FROM exchanges e INDEXED BY exchanges_session
                             WHERE e.session = s.id AND {})",
                    each.sql
                );
                let each = Clause { sql, values: each.values };
                let sessions = self.sessions_of(Some(each), before, limit, most)?;
                if sessions.len() > limit {
                    return Ok(page(sessions, limit));
                }
            }
            if way == Way::All {
                (way, clause) = self.plan(query, None, MANY)?;
            }
            let sql =
                format!("s.id IN (SELECT e.session FROM {} WHERE {})", way.from(), clause.sql);
            wanted = Some(Clause { sql, values: clause.values });
        }
        Ok(page(self.sessions_of(wanted, before, limit, -1)?, limit))
    }

    /// Sessions, and one more than `limit` if there are more. Of the last `most`, or of all if that is negative.
    fn sessions_of(
        &self,
        wanted: Option<Clause>,
        before: Option<(u64, i64)>,
        limit: usize,
        most: i64,
    ) -> Result<Vec<Session>, Fault> {
        let mut values: Vec<Value> = Vec::new();
        let mut is_behind = "";
        if let Some((last, number)) = before {
            is_behind = " AND (last, id) < (?, ?)";
            values.extend([Value::Integer(integer(last)), Value::Integer(number)]);
        }
        let is_wanted = wanted.map_or("TRUE".to_owned(), |wanted| {
            values.extend(wanted.values);
            wanted.sql
        });
        let sql = format!(
            "SELECT {SESSION} FROM (SELECT * FROM sessions WHERE exchanges > 0{is_behind}
               ORDER BY last DESC, id DESC LIMIT {most}) s
             WHERE {is_wanted} ORDER BY s.last DESC, s.id DESC LIMIT {}",
            limit.saturating_add(1)
        );
        let mut statement = self.connection.prepare(&sql)?;
        let found = statement.query_map(params_from_iter(values), Session::read)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The session with this id.
    ///
    /// # Errors
    /// The index cannot be used.
    pub fn session(&self, id: &str) -> Result<Option<Session>, Fault> {
        let sql = format!("SELECT {SESSION} FROM sessions s WHERE s.text = ?1");
        Ok(self.connection.prepare_cached(&sql)?.query_row([id], Session::read).optional()?)
    }

    /// Ids of sessions that begin like this, `most` of them.
    ///
    /// # Errors
    /// The index cannot be used.
    pub fn sessions_like(&self, beginning: &str, most: usize) -> Result<Vec<String>, Fault> {
        let sql = "SELECT text FROM sessions WHERE substr(text, 1, length(?1)) = ?1 LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_map(params![beginning, count(most)], |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The exchanges of a session in the order in which they began, behind the one with the number
    /// `after`.
    ///
    /// # Errors
    /// The index cannot be used.
    pub fn exchanges_of(
        &self,
        session: &str,
        after: Option<i64>,
        page: Page,
    ) -> Result<Vec<Row>, Fault> {
        let sql = format!(
            "SELECT {} FROM sessions s JOIN exchanges e ON e.session = s.id
             WHERE s.text = ?1 AND e.id > ?2 AND e.id < ?3 ORDER BY e.id LIMIT ?4",
            columns()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let (after, before) = (after.unwrap_or(i64::MIN), page.before.unwrap_or(i64::MAX));
        let found =
            statement.query_map(params![session, after, before, count(page.limit)], Row::read)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Sessions that have a trace in common with this one.
    ///
    /// # Errors
    /// The index cannot be used.
    pub fn relatives(&self, session: &Session) -> Result<Vec<Relation>, Fault> {
        let sql = "
            SELECT o.text, min(other.id) < min(mine.id), mine.trace
            FROM exchanges mine
            JOIN exchanges other ON other.trace = mine.trace AND other.session <> mine.session
            JOIN sessions o ON o.id = other.session
            WHERE mine.session = ?1 AND mine.trace IS NOT NULL AND other.trace IS NOT NULL
            GROUP BY o.id, mine.trace ORDER BY min(other.id) LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_map(params![session.number, count(RELATIVES_MAX)], |row| {
            Ok(Relation { session: row.get(0)?, is_parent: row.get(1)?, trace: row.get(2)? })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}
