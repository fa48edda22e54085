//! `/api/v1/backtests` and `/api/v1/replays`: long work over the record, started, watched and ended by
//! calls.
//!
//! It is the same work as the commands of these names do, on a thread that takes what the data path
//! leaves. What always holds: one runs at a time; the last of them are kept, with what they came to,
//! as long as the process lives and within a bound ([`kept`]); one that was ended
//! keeps what it came to, and a backtest goes on from there. What comes out has texts of the record
//! in it, so all of it takes the role `responder`, and that it was asked for is on record.

mod asked;
pub(super) mod kept;
mod work;

use super::desk::Desk;
use super::problem::Problem;
use super::said::actor;
use super::state::State;
use super::{body, view};
use crate::control::clocks;
use crate::id::RunId;
use asked::{Asked, Plan};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, Path};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::{HeaderMap, Request, StatusCode};
use kept::Run;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use work::Far;
pub(super) use work::Kind;

/// One as a caller sees it.
#[derive(Serialize)]
struct Shown<'r> {
    #[serde(flatten)]
    run: Value,
    result: Option<&'r RawValue>,
}

fn no_such(desk: &Desk, kind: Kind, id: &str) -> Problem {
    let known: Vec<String> = desk.state.runs.lock().iter().map(|run| run.id.to_string()).collect();
    Problem::not_found(format!(
        "No {} `{}` is kept here{}",
        kind.name(),
        view::shown(id),
        view::nearest(id, known.iter().map(String::as_str))
    ))
}

type Id = Result<Path<String>, PathRejection>;

fn found(desk: &Desk, kind: Kind, id: Id) -> Result<Arc<Run>, Problem> {
    let Path(id) = id.map_err(|error| Problem::bad_request(error.body_text()))?;
    desk.state.runs.find(kind, &id).ok_or_else(|| no_such(desk, kind, &id))
}

pub(super) fn list(method: MethodFilter, kind: Kind) -> MethodRouter<Desk> {
    on(method, move |extract::State(desk): extract::State<Desk>| async move {
        let runs = desk.state.runs.lock();
        let items = runs.iter().filter(|run| run.plan.kind() == kind).map(|run| run.as_json());
        Json(json!({ "items": items.collect::<Value>(), "next": null }))
    })
}

pub(super) fn show(method: MethodFilter, kind: Kind) -> MethodRouter<Desk> {
    on(method, move |extract::State(desk): extract::State<Desk>, id: Id| async move {
        let run = found(&desk, kind, id)?;
        Ok::<_, Problem>(Json(Shown { run: run.as_json(), result: run.result() }).into_response())
    })
}

/// Asks one to end. One that is over stays as it is, so that a call that comes late loses nothing.
pub(super) fn end(method: MethodFilter, kind: Kind) -> MethodRouter<Desk> {
    on(method, move |extract::State(desk): extract::State<Desk>, id: Id| async move {
        let run = found(&desk, kind, id)?;
        run.far.end();
        Ok::<_, Problem>(Json(run.as_json()))
    })
}

pub(super) async fn backtest(
    extract::State(desk): extract::State<Desk>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let asked: Asked = body::read(request).await?;
    let author = asked.author.clone();
    let plan = match &asked.resume {
        Some(id) => {
            let before = desk.state.runs.find(Kind::Backtest, id);
            let before = before.ok_or_else(|| no_such(&desk, Kind::Backtest, id))?;
            asked.going_on(&before.plan, before.over.get().is_some(), before.result())?
        }
        None => asked.backtest()?,
    };
    begin(&desk, &headers, author, plan).await
}

pub(super) async fn replay(
    extract::State(desk): extract::State<Desk>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let asked: Asked = body::read(request).await?;
    let author = asked.author.clone();
    begin(&desk, &headers, author, asked.replay()?).await
}

async fn begin(
    desk: &Desk,
    headers: &HeaderMap,
    author: Option<String>,
    plan: Plan,
) -> Result<Response, Problem> {
    let author = actor(desk, headers, author)?.who;
    let random = clocks::random().map_err(|_| Problem::internal())?;
    let state = Arc::clone(&desk.state);
    let folder = crate::replay::walk::folder(&state.data_dir);
    if !folder.is_dir() {
        return Err(Problem::unavailable("Nothing is on record here."));
    }
    // Rules are compiled for it, which takes memory and time: one at once.
    let busy = || Problem::unavailable("A trial of rules is under way; try again.");
    let alone = state.trials.try_acquire().map_err(|_| busy())?;
    let (table, of_plan) = (state.switchboard.table(), plan.clone());
    let work = tokio::task::spawn_blocking(move || of_plan.work(&table, folder));
    let work = work.await.map_err(|_| Problem::internal())?.map_err(Problem::bad_request)?;
    drop(alone);
    let run = Arc::new(Run {
        id: RunId::new(clocks::unix_ms(), random),
        far: Far::of(plan.kind()),
        plan,
        author,
        began_unix_ms: clocks::unix_ms(),
        over: OnceLock::new(),
    });
    state.runs.begin(Arc::clone(&run)).map_err(|other| {
        let (kind, id) = (other.plan.kind().name(), other.id);
        Problem::unavailable(format!(
            "The {kind} `{id}` is under way; wait for its end, or end it."
        ))
    })?;
    note(&state, &run);
    let (of_thread, of_state) = (Arc::clone(&run), Arc::clone(&state));
    let thread = std::thread::Builder::new().name("firedoor-run".to_owned());
    let started = thread.spawn(move || {
        crate::evidence::give_way();
        let came_to = of_thread.carry_out(work);
        of_state.runs.end(&of_thread, came_to);
        let (kind, state) = (of_thread.plan.kind().name(), of_thread.state());
        of_state.telemetry.meters().run_over(kind, state);
    });
    if let Err(error) = started {
        state.runs.forget(run.id);
        tracing::warn!(%error, "no thread for a run over the record");
        return Err(Problem::unavailable("No thread can be started now; try again."));
    }
    Ok((StatusCode::ACCEPTED, Json(run.as_json())).into_response())
}

/// Who read what of the record is on record.
fn note(state: &State, run: &Run) {
    let about = json!({
        "id": run.id.to_string(),
        "author": run.author,
        "asked": run.plan.as_json(),
    });
    state.tap.say(run.plan.kind().name(), about);
}
