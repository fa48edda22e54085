//! What is on record: sessions, searches, and the lines of one exchange.
//!
//! Who may look may list; texts of people are for those who respond to incidents: the turns of a
//! session, the snippets of a search and the lines themselves take the role `responder`. All of it
//! is read from the index and the segments, off the runtime, a few readers at once, each with a
//! bound on its time.

use super::desk::{Desk, Door};
use super::guard;
use super::problem::Problem;
use super::tokens::Role;
use super::view;
use crate::control::clocks;
use crate::evidence::disk::Folder;
use crate::evidence::exchange::Wants;
use crate::evidence::exchange::lines_at;
use crate::evidence::index::{Fault, Index, Page, Row, Session, Snippet, snippets};
use crate::evidence::query::{Query as Asked, parse};
use crate::evidence::texts::Part;
use crate::evidence::transcript::Turn;
use crate::id::ExchangeId;
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{self, Path, Query};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// How many items a page has if nothing is said, and at most.
const PAGE: usize = 50;
const PAGE_MAX: usize = 500;
/// The most turns of a page: each is read from the segments.
const TURNS_MAX: usize = 100;
/// The most bytes of turns that one answer has; a turn more may go beyond.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The most bytes of lines that one answer has.
const RECORD_BYTES_MAX: usize = 256 << 20;
/// How long a search may take.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(15);
/// The most snippets of an exchange.
const SNIPPETS_MAX: usize = 3;

/// `?filter=..&cursor=..&limit=..`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    filter: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `?q=..&cursor=..&limit=..`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    q: String,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `?cursor=..&limit=..`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turns {
    limit: Option<usize>,
    cursor: Option<String>,
}

type Given<T> = Result<Query<T>, QueryRejection>;

/// `GET /api/v1/sessions`
pub(super) async fn list(
    extract::State(desk): extract::State<Desk>,
    headers: HeaderMap,
    query: Given<Listed>,
) -> Result<Response, Problem> {
    let Query(listed) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let asked = read(listed.filter.as_deref().unwrap_or(""))?;
    admit(&desk, &headers, asked.asks_for_texts())?;
    let limit = limit(listed.limit, PAGE_MAX)?;
    let before = match listed.cursor.as_deref() {
        None => None,
        Some(cursor) => {
            let (last, number) = cursor.split_once('.').ok_or_else(bad_cursor)?;
            let last: u64 = last.parse().map_err(|_| bad_cursor())?;
            Some((last, number.parse::<i64>().map_err(|_| bad_cursor())?))
        }
    };
    with_index(&desk, move |index, _| {
        let (sessions, next) = index.sessions(&asked, before, limit).map_err(problem)?;
        let items: Value = sessions.iter().map(Session::as_json).collect();
        let next = next.map(|(last, number)| format!("{last}.{number}"));
        Ok(Json(json!({ "items": items, "next": next })).into_response())
    })
    .await
}

/// `GET /api/v1/sessions/{id}`
pub(super) async fn show(
    extract::State(desk): extract::State<Desk>,
    id: Result<Path<String>, PathRejection>,
    query: Given<Turns>,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|error| Problem::bad_request(error.body_text()))?;
    let Query(turns) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let limit = limit(turns.limit, TURNS_MAX)?;
    let after = number(turns.cursor.as_deref())?;
    with_index(&desk, move |index, disk| {
        let session = index.session(&id).map_err(problem)?.ok_or_else(|| {
            Problem::not_found(format!("No session `{}` is on record.", view::shown(&id)))
        })?;
        let relatives = index.relatives(&session).map_err(problem)?;
        let page = Page { before: None, limit: limit + 1 };
        let rows = index.exchanges_of(&id, after, page).map_err(problem)?;
        let (mut told, mut bytes, mut next) = (Vec::new(), 0, None);
        let mut part = if after.is_none() { Part::All } else { Part::New };
        let mut last = None;
        for row in rows {
            if told.len() == limit || bytes >= ANSWER_BYTES_MAX {
                next = last;
                break;
            }
            last = Some(row.number.to_string());
            let turn = Turn::read(disk, row, part, Wants::default())
                .map_err(|error| unreadable(&error))?
                .as_json();
            part = Part::New;
            bytes += turn.to_string().len();
            told.push(turn);
        }
        let relatives = relatives.iter().map(|relation| {
            json!({
                "session": relation.session,
                "is": if relation.is_parent { "parent" } else { "child" },
                "trace": relation.trace,
            })
        });
        let value = json!({
            "session": session.as_json(),
            "relatives": relatives.collect::<Value>(),
            "turns": told,
            "next": next,
        });
        Ok(Json(value).into_response())
    })
    .await
}

/// `GET /api/v1/search`
pub(super) async fn search(
    extract::State(desk): extract::State<Desk>,
    headers: HeaderMap,
    query: Given<Search>,
) -> Result<Response, Problem> {
    let Query(search) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let asked = read(&search.q)?;
    let limit = limit(search.limit, PAGE_MAX)?;
    let before = number(search.cursor.as_deref())?;
    let has_words = asked.asks_for_texts();
    admit(&desk, &headers, has_words)?;
    with_index(&desk, move |index, disk| {
        let found = index.find(&asked, Page { before, limit }).map_err(problem)?;
        let mut items = Vec::new();
        for row in found.rows {
            items.push(item(disk, row, &asked, has_words)?);
        }
        let next = found.next.map(|next| next.to_string());
        Ok(Json(json!({ "items": items, "next": next })).into_response())
    })
    .await
}

/// A row of a search, with snippets where words were asked for.
fn item(disk: &Folder, row: Row, asked: &Asked, has_words: bool) -> Result<Value, Problem> {
    let mut value = row.as_json();
    if !has_words {
        return Ok(value);
    }
    let turn =
        Turn::read(disk, row, Part::New, Wants::default()).map_err(|error| unreadable(&error))?;
    let snippets = snippets(&turn.exchange, asked, SNIPPETS_MAX);
    value["snippets"] = snippets.iter().map(Snippet::as_json).collect();
    Ok(value)
}

/// `GET /api/v1/exchanges/{id}/record`
pub(super) async fn record(
    extract::State(desk): extract::State<Desk>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(text) = id.map_err(|error| Problem::bad_request(error.body_text()))?;
    let id: ExchangeId = ExchangeId::parse(&text)
        .ok_or_else(|| Problem::bad_request("An exchange id is `x_` and 32 digits of 0-9a-f."))?;
    with_index(&desk, move |index, disk| {
        let row = index.row(id).map_err(problem)?.ok_or_else(|| {
            Problem::not_found(
                "No such exchange is in the index; it may be too new, or kept no longer.",
            )
        })?;
        let (mut lines, mut is_whole) = (Vec::new(), true);
        lines_at(disk, id, &row.places, |line| {
            is_whole &= lines.len() + line.len() < RECORD_BYTES_MAX;
            if is_whole {
                lines.extend_from_slice(line);
                lines.push(b'\n');
            }
        })
        .map_err(|error| unreadable(&error))?;
        if !is_whole {
            let most = RECORD_BYTES_MAX;
            let detail = format!("The record has more than {most} bytes; read it on the machine.");
            return Err(Problem::bad_request(detail));
        }
        Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
    })
    .await
}

/// Refuses who may not read texts and asks for them: word by word they could be found out.
fn admit(desk: &Desk, headers: &HeaderMap, has_words: bool) -> Result<(), Problem> {
    let may_read = || {
        let holder = guard::holder(desk, headers);
        desk.door == Door::Unix || holder.is_some_and(|(role, _)| role >= Role::Responder)
    };
    if has_words && !may_read() {
        return Err(Problem::forbidden(Role::Responder.name()));
    }
    Ok(())
}

/// Reads in the index, on the blocking pool.
async fn with_index<W>(desk: &Desk, work: W) -> Result<Response, Problem>
where
    W: FnOnce(&Index, &Folder) -> Result<Response, Problem> + Send + 'static,
{
    let busy = || Problem::unavailable("Several searches are under way; try again.");
    let permit = std::sync::Arc::clone(&desk.state.searches).try_acquire_owned();
    let permit = permit.map_err(|_| busy())?;
    let data_dir: PathBuf = desk.state.data_dir.clone();
    let (ready, handle) = tokio::sync::oneshot::channel();
    let mut task = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let index = Index::open(&data_dir).map_err(problem)?;
        let _ = ready.send(index.interrupt());
        work(&index, &Folder::at(&data_dir.join(crate::evidence::FOLDER)))
    });
    let Ok(done) = tokio::time::timeout(SEARCH_TIME_MAX, &mut task).await else {
        if let Ok(handle) = handle.await {
            handle.interrupt();
        }
        return Err(Problem::timeout());
    };
    done.map_err(|_| Problem::internal())?
}

fn read(filter: &str) -> Result<Asked, Problem> {
    parse(filter, clocks::unix_ms()).map_err(|wrong| Problem::bad_request(format!("{wrong}.")))
}

fn limit(given: Option<usize>, most: usize) -> Result<usize, Problem> {
    match given.unwrap_or(PAGE) {
        0 => Err(Problem::bad_request("`limit` must be at least 1.")),
        limit => Ok(limit.min(most)),
    }
}

fn number(cursor: Option<&str>) -> Result<Option<i64>, Problem> {
    cursor.map(|cursor| cursor.parse().map_err(|_| bad_cursor())).transpose()
}

fn bad_cursor() -> Problem {
    Problem::bad_request("`cursor` is not one that this list gave; begin again without it.")
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
fn problem(fault: Fault) -> Problem {
    match fault {
        Fault::Interrupted => Problem::timeout(),
        Fault::Missing => Problem::unavailable("Nothing has been indexed yet."),
        Fault::Unusable(_) | Fault::Unavailable(_) => {
            tracing::warn!(%fault, "the index of evidence cannot be read");
            Problem::unavailable("The index of evidence cannot be read; the log says why.")
        }
    }
}

fn unreadable(error: &std::io::Error) -> Problem {
    tracing::warn!(%error, "the segments of evidence cannot be read");
    Problem::unavailable("The segments cannot be read; the log says why.")
}
