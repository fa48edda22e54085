//! A query's terms as SQL. What a user wrote is only ever bound, never part of the text.

use super::super::query::{Ask, Mark, Name, Number, Query, Span, Term, Texts, Words};
use super::{Fault, SLOTS, integer};
use crate::id::ExchangeId;
use crate::table::Pattern;
use rusqlite::Connection;
use rusqlite::types::Value;
use std::fmt::Write as _;

/// How far a row's number may lie behind the time at which its exchange began: it is another where
/// very many began at once.
const DRIFT_MS: u64 = 3_600_000;

/// A condition on a row `e` of `exchanges`.
#[derive(Clone, Debug, Default)]
pub(super) struct Clause {
    pub sql: String,
    pub values: Vec<Value>,
}

/// A query, compiled.
#[derive(Clone, Debug, Default)]
pub(super) struct Compiled {
    /// What rows must be like.
    pub all: Vec<Clause>,
    /// Of those, the ones that an index of rows answers.
    pub indexed: Vec<usize>,
    /// What texts must have, in the language of FTS5.
    pub texts: Option<String>,
}

/// Compiles a query; names are looked up in the index.
pub(super) fn compile(connection: &Connection, query: &Query) -> Result<Compiled, Fault> {
    let mut compiled = Compiled::default();
    let mut wanted: Vec<String> = Vec::new();
    for term in &query.terms {
        if let (Ask::Words(column, words), false) = (&term.ask, term.is_negated) {
            wanted.push(phrase(*column, words));
            continue;
        }
        let clause = condition(connection, term)?;
        if term.is_negated {
            let sql = format!("({}) IS NOT TRUE", clause.sql);
            compiled.all.push(Clause { sql, values: clause.values });
            continue;
        }
        if is_indexed(&term.ask) {
            compiled.indexed.push(compiled.all.len());
        }
        compiled.all.push(clause);
    }
    compiled.texts = (!wanted.is_empty()).then(|| wanted.join(" AND "));
    Ok(compiled)
}

/// Whether texts have what `match_` says, of a row `e`.
pub(super) fn has_texts(match_: &str) -> Clause {
    let sql = "EXISTS (SELECT 1 FROM texts WHERE texts MATCH ? AND texts.rowid = e.id)".to_owned();
    Clause { sql, values: vec![Value::Text(match_.to_owned())] }
}

fn is_indexed(ask: &Ask) -> bool {
    match ask {
        Ask::Name(name, _) => !matches!(name, Name::Provider | Name::Dialect | Name::Class),
        Ask::Number(number, _) => {
            !matches!(number, Number::Attempts | Number::Prompt | Number::Answer)
        }
        Ask::Mark(..) | Ask::Gaps => true,
        // Rows are in the order of time already.
        Ask::Since(_) | Ask::Until(_) | Ask::Words(..) => false,
    }
}

fn condition(connection: &Connection, term: &Term) -> Result<Clause, Fault> {
    let plain = |sql: String| Clause { sql, values: Vec::new() };
    Ok(match &term.ask {
        Ask::Name(Name::Session, patterns) => texts(patterns, |test| {
            format!("e.session IN (SELECT id FROM sessions WHERE text {test})")
        }),
        Ask::Name(Name::Trace, patterns) => texts(patterns, |test| format!("e.trace {test}")),
        Ask::Name(Name::Exchange, patterns) => exchanges(patterns),
        Ask::Name(name, patterns) => {
            let ids = names(connection, patterns)?;
            let columns: &[&str] = match name {
                Name::App => &["app"],
                Name::Agent => &["agent"],
                Name::Route => &["route"],
                Name::Provider => &["provider"],
                Name::Target => &["target"],
                Name::Model => &["model_asked", "model_reported"],
                Name::Dialect => &["dialect"],
                Name::Outcome => &["outcome"],
                Name::Class => &["class"],
                Name::Verdict => &["verdict"],
                Name::Session | Name::Trace | Name::Exchange => &[],
            };
            let one = |column: &&str| format!("e.{column} IN ({ids})");
            plain(columns.iter().map(one).collect::<Vec<_>>().join(" OR "))
        }
        Ask::Mark(mark, patterns) => {
            let ids = names(connection, patterns)?;
            plain(format!(
                "EXISTS (SELECT 1 FROM marks WHERE exchange = e.id AND kind = {} AND name IN ({ids}))",
                *mark as i64
            ))
        }
        Ask::Number(number, Span { from, to }) => {
            let column = match number {
                Number::Status => "status",
                Number::Latency => "latency",
                Number::Ttft => "ttft",
                Number::Cost => "cost",
                Number::Tokens => "tokens",
                Number::Attempts => "attempts",
                Number::Prompt => "prompt_bytes",
                Number::Answer => "answer_bytes",
            };
            Clause {
                sql: format!("e.{column} BETWEEN ? AND ?"),
                values: vec![Value::Integer(integer(*from)), Value::Integer(integer(*to))],
            }
        }
        Ask::Since(moment) => Clause {
            sql: "(e.id >= ? AND e.began >= ?)".to_owned(),
            values: vec![
                Value::Integer(integer(moment.saturating_mul(SLOTS))),
                Value::Integer(integer(*moment)),
            ],
        },
        Ask::Until(moment) => Clause {
            sql: "(e.id < ? AND e.began < ?)".to_owned(),
            values: vec![
                Value::Integer(integer(moment.saturating_add(DRIFT_MS).saturating_mul(SLOTS))),
                Value::Integer(integer(*moment)),
            ],
        },
        Ask::Gaps => plain("e.has_gaps".to_owned()),
        Ask::Words(column, words) => has_texts(&phrase(*column, words)),
    })
}

/// The same condition as rows' numbers, for who begins with it.
pub(super) fn begins_with(connection: &Connection, ask: &Ask) -> Result<Option<Clause>, Fault> {
    let Ask::Mark(mark, patterns) = ask else { return Ok(None) };
    let ids = names(connection, patterns)?;
    let kind = *mark as i64;
    let sql =
        format!("e.id IN (SELECT exchange FROM marks WHERE kind = {kind} AND name IN ({ids}))");
    Ok(Some(Clause { sql, values: Vec::new() }))
}

/// The numbers of the names that fit, as a list.
fn names(connection: &Connection, patterns: &[Pattern]) -> Result<String, Fault> {
    let mut list = String::new();
    let mut push = |id: i64| {
        let comma = if list.is_empty() { "" } else { "," };
        let _ = write!(list, "{comma}{id}");
    };
    let mut globs = Vec::new();
    for pattern in patterns {
        match pattern {
            Pattern::Exact(text) => {
                let sql = "SELECT id FROM names WHERE text = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query([&**text])?;
                while let Some(row) = rows.next()? {
                    push(row.get(0)?);
                }
            }
            Pattern::Glob(_) => globs.push(pattern),
        }
    }
    if !globs.is_empty() {
        let mut statement = connection.prepare_cached("SELECT id, text FROM names")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text = row.get_ref(1)?.as_bytes().unwrap_or_default();
            if globs.iter().any(|pattern| pattern.matches(text)) {
                push(row.get(0)?);
            }
        }
    }
    Ok(list)
}

/// A condition on a text that stands in the row or in another table.
fn texts(patterns: &[Pattern], of: impl Fn(&str) -> String) -> Clause {
    let mut clause = Clause::default();
    for pattern in patterns {
        let (test, value) = match pattern {
            Pattern::Exact(text) => ("= ?", text.to_string()),
            Pattern::Glob(pieces) => {
                let piece = |piece: &str| {
                    // These stand for more than themselves, outside brackets.
                    piece.replace('[', "[[]").replace('?', "[?]")
                };
                ("GLOB ?", pieces.iter().map(|one| piece(one)).collect::<Vec<_>>().join("*"))
            }
        };
        let or = if clause.sql.is_empty() { "" } else { " OR " };
        clause.sql.push_str(or);
        clause.sql.push_str(&of(test));
        clause.values.push(Value::Text(value));
    }
    clause
}

fn exchanges(patterns: &[Pattern]) -> Clause {
    let mut clause = Clause::default();
    for pattern in patterns {
        let or = if clause.sql.is_empty() { "" } else { " OR " };
        clause.sql.push_str(or);
        let text = pattern.text();
        if let Some(id) = ExchangeId::parse(&text) {
            clause.sql.push_str("e.exchange = ?");
            clause.values.push(Value::Blob(id.0.to_be_bytes().to_vec()));
        } else {
            clause.sql.push_str("'x_' || lower(hex(e.exchange)) GLOB ?");
            clause.values.push(Value::Text(text.replace('[', "[[]").replace('?', "[?]")));
        }
    }
    clause
}

/// Words in the language of FTS5: in quotes, so that nothing in them is one of its own words.
fn phrase(column: Option<Texts>, words: &Words) -> String {
    let column = column.map_or_else(String::new, |column| format!("{} : ", column.word()));
    let beginning = if words.is_beginning { " *" } else { "" };
    format!("({column}\"{}\"{beginning})", words.text.replace('"', "\"\""))
}

/// All conditions as one.
pub(super) fn joined<'c>(clauses: impl IntoIterator<Item = &'c Clause>) -> Clause {
    let mut all = Clause::default();
    for clause in clauses {
        let and = if all.sql.is_empty() { "" } else { " AND " };
        let _ = write!(all.sql, "{and}({})", clause.sql);
        all.values.extend(clause.values.iter().cloned());
    }
    if all.sql.is_empty() {
        all.sql.push_str("TRUE");
    }
    all
}

/// The kinds of marks are numbers in the index; these are for ever.
const _: () = assert!(Mark::Rule as i64 == 0 && Mark::Lever as i64 == 1 && Mark::Tool as i64 == 2);
