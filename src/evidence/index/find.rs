//! Searching.
//!
//! Which way is short depends on how rare things are, so that is asked first: for each condition
//! that an index answers it is counted, up to [`FEW`], how many rows it leaves. The rarest one is
//! begun with if it leaves few; else texts are, newest first; else rows are looked through from the
//! newest on, which ends soon where what is asked for is common. If it does not, common things meet
//! rarely: then the rarest of them is begun with all the same, up to [`MANY`] rows of it.

use super::super::query::Query;
use super::clause::{Clause, begins_with, compile, has_texts, joined};
use super::row::{Row, columns};
use super::{Fault, Index};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params_from_iter};

/// So many rows are looked at one by one; in tests so few that every way is gone.
pub(super) const FEW: i64 = if cfg!(test) { 3 } else { 4_000 };

/// So many rows are begun with where the newest [`RECENT`] had too little.
pub(super) const MANY: i64 = if cfg!(test) { 6 } else { 100_000 };
/// So many of the newest rows are looked through first.
const RECENT: i64 = if cfg!(test) { 4 } else { 16_000 };

/// Where a search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// With the rows of the rarest condition.
    Few,
    /// With texts.
    Texts,
    /// With all rows, newest first.
    All,
}

impl Way {
    /// The tables to select from.
    pub(super) fn from(self) -> &'static str {
        match self {
            Way::Few => "exchanges e",
            Way::Texts => "texts CROSS JOIN exchanges e ON e.id = texts.rowid",
            Way::All => "exchanges e NOT INDEXED",
        }
    }

    fn number(self) -> &'static str {
        if self == Way::Texts { "texts.rowid" } else { "e.id" }
    }
}

/// Which part of what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only rows with a smaller number.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: usize,
}

/// What is found, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where the next page begins; `None` if there is none.
    pub next: Option<i64>,
}

impl Index {
    /// The exchanges that a query asks for.
    ///
    /// # Errors
    /// The index cannot be used, or the search was interrupted.
    pub fn find(&self, query: &Query, page: Page) -> Result<Found, Fault> {
        let (way, clause) = self.plan(query, page.before, FEW)?;
        if way != Way::All {
            return self.found(way.from(), way.number(), clause, page);
        }
        // Rows are looked through in the order of their numbers.
        let before = page.before.map_or_else(String::new, |before| format!("WHERE id < {before}"));
        let recent = format!(
            "(SELECT * FROM exchanges NOT INDEXED {before} ORDER BY id DESC LIMIT {RECENT}) e"
        );
        let found = self.found(&recent, way.number(), clause, page)?;
        if found.next.is_some() {
            return Ok(found);
        }
        let (way, clause) = self.plan(query, page.before, MANY)?;
        self.found(way.from(), way.number(), clause, page)
    }

    /// What is found in some tables, by their row number `number`.
    fn found(&self, from: &str, number: &str, clause: Clause, page: Page) -> Result<Found, Fault> {
        let sql = format!(
            "SELECT {} FROM {from} LEFT JOIN sessions s ON s.id = e.session
             WHERE {} ORDER BY {number} DESC LIMIT {}",
            columns(),
            clause.sql,
            page.limit.saturating_add(1),
        );
        let mut statement = self.connection.prepare(&sql)?;
        let found = statement.query_map(params_from_iter(clause.values), Row::read)?;
        let mut rows = found.collect::<Result<Vec<_>, _>>()?;
        let has_more = rows.len() > page.limit;
        rows.truncate(page.limit);
        let next = rows.last().filter(|_| has_more).map(|row| row.number);
        Ok(Found { rows, next })
    }

    /// Where to begin, and the condition on what is found there; what leaves up to `few` rows is begun with.
    pub(super) fn plan(
        &self,
        query: &Query,
        before: Option<i64>,
        few: i64,
    ) -> Result<(Way, Clause), Fault> {
        let connection = &self.connection;
        let mut compiled = compile(connection, query)?;
        if let Some(before) = before {
            let sql = "e.id < ?".to_owned();
            compiled.all.push(Clause { sql, values: vec![Value::Integer(before)] });
        }
        let wanted = query.terms.iter().filter(|term| {
            term.is_negated || !matches!(term.ask, super::super::query::Ask::Words(..))
        });
        let terms: Vec<_> = wanted.collect();
        let mut rarest: Option<(i64, Clause)> = None;
        for index in &compiled.indexed {
            let begin = match terms.get(*index) {
                Some(term) => begins_with(connection, &term.ask)?,
                None => None,
            };
            let clause = begin.unwrap_or_else(|| compiled.all[*index].clone());
            let sql = format!(
                "SELECT count(*) FROM (SELECT 1 FROM exchanges e WHERE {} LIMIT {})",
                clause.sql,
                few + 1
            );
            let mut statement = connection.prepare(&sql)?;
            let count: i64 =
                statement.query_row(params_from_iter(&clause.values), |row| row.get(0))?;
            if rarest.as_ref().is_none_or(|(least, _)| count < *least) {
                rarest = Some((count, clause));
            }
        }
        if let Some((_, first)) = rarest.filter(|(count, _)| *count <= few) {
            let sql = format!("e.id IN (SELECT e.id FROM exchanges e WHERE {})", first.sql);
            let first = Clause { sql, values: first.values };
            let texts = compiled.texts.as_deref().map(has_texts);
            let all = joined(std::iter::once(&first).chain(&compiled.all).chain(&texts));
            return Ok((Way::Few, all));
        }
        if let Some(texts) = compiled.texts {
            let sql = "texts MATCH ?".to_owned();
            let first = Clause { sql, values: vec![Value::Text(texts)] };
            let mut all = vec![first];
            if let Some(before) = before {
                let sql = "texts.rowid < ?".to_owned();
                all.push(Clause { sql, values: vec![Value::Integer(before)] });
            }
            let all = joined(all.iter().chain(&compiled.all));
            return Ok((Way::Texts, all));
        }
        Ok((Way::All, joined(&compiled.all)))
    }

    /// The condition on one row, wherever it is come from.
    pub(super) fn each(&self, query: &Query) -> Result<Clause, Fault> {
        let compiled = compile(&self.connection, query)?;
        let texts = compiled.texts.as_deref().map(has_texts);
        Ok(joined(compiled.all.iter().chain(&texts)))
    }

    /// Whether the words of a query stand in the texts of more than `few` exchanges.
    pub(super) fn has_more_texts(&self, query: &Query, few: i64) -> Result<bool, Fault> {
        let Some(texts) = compile(&self.connection, query)?.texts else { return Ok(false) };
        let sql = "SELECT count(*) FROM (SELECT 1 FROM texts WHERE texts MATCH ?1 LIMIT ?2)";
        let mut statement = self.connection.prepare_cached(sql)?;
        let count: i64 =
            statement.query_row(rusqlite::params![texts, few + 1], |row| row.get(0))?;
        Ok(count > few)
    }

    /// The row of an exchange.
    ///
    /// # Errors
    /// The index cannot be used.
    pub fn row(&self, id: crate::id::ExchangeId) -> Result<Option<Row>, Fault> {
        let sql = format!(
            "SELECT {} FROM exchanges e LEFT JOIN sessions s ON s.id = e.session
             WHERE e.exchange = ?1",
            columns()
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([id.0.to_be_bytes()], Row::read).optional()?)
    }

    /// How many exchanges it has.
    ///
    /// # Errors
    /// The index cannot be used.
    pub fn count(&self) -> Result<u64, Fault> {
        let sql = "SELECT count(*) FROM exchanges";
        let count: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }
}
