//! `/api/v1/backtests` and `/api/v1/replays`: long work over the record, started, watched and ended by
//! calls.
//!
//! It is the same work as the commands of these names do, on a thread that takes what the data path
//! leaves. What always holds: one runs at a time; the last of them are kept, with what they came to,
//! as long as the process lives and within [`KEPT_MAX`] and [`KEPT_BYTES_MAX`]; one that was ended
//! keeps what it came to, and a backtest goes on from there. What comes out has texts of the record
//! in it, so all of it takes the role `responder`, and that it was asked for is on record.

mod asked;
mod work;

use super::endpoints::Desk;
use super::levers::actor;
use super::problem::Problem;
use super::state::{State, unix_ms};
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
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use work::Far;
pub(super) use work::Kind;

/// How many are kept; the oldest gives way.
const KEPT_MAX: usize = 16;
/// How many bytes what they came to may have together; the oldest gives way, the newest stays.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// One of them.
struct Run {
    id: RunId,
    plan: Plan,
    author: Box<str>,
    began_unix_ms: u64,
    far: Far,
    over: OnceLock<Over>,
}

/// How one ended.
struct Over {
    at_unix_ms: u64,
    came_to: Result<CameTo, String>,
}

/// What one came to.
struct CameTo {
    /// Whether it was ended before its end.
    is_partial: bool,
    result: Box<RawValue>,
}

/// One as a caller sees it.
#[derive(Serialize)]
struct Shown<'r> {
    #[serde(flatten)]
    run: Value,
    result: Option<&'r RawValue>,
}

/// Those that run and ran.
#[derive(Default)]
pub(super) struct Runs(Mutex<VecDeque<Arc<Run>>>);

impl Runs {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Run>>> {
        // It holds whole entries at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one in, unless another runs.
    fn begin(&self, run: Arc<Run>) -> Result<(), Arc<Run>> {
        let mut runs = self.lock();
        if let Some(other) = runs.iter().find(|run| run.over.get().is_none()) {
            return Err(Arc::clone(other));
        }
        if runs.len() == KEPT_MAX {
            runs.pop_front();
        }
        runs.push_back(run);
        Ok(())
    }

    /// Says how one ended, and lets the oldest give way to it.
    fn end(&self, run: &Run, came_to: Result<CameTo, String>) {
        let mut runs = self.lock();
        let _ = run.over.set(Over { at_unix_ms: unix_ms(), came_to });
        while runs.len() > 1 && kept_bytes(&runs) > KEPT_BYTES_MAX {
            runs.pop_front();
        }
    }

    /// How many bytes what the kept ones came to has.
    pub(super) fn kept_bytes(&self) -> usize {
        kept_bytes(&self.lock())
    }

    fn find(&self, kind: Kind, id: &str) -> Option<Arc<Run>> {
        let is_it = |run: &&Arc<Run>| run.plan.kind() == kind && run.id.to_string() == id;
        self.lock().iter().find(is_it).cloned()
    }

    fn forget(&self, id: RunId) {
        self.lock().retain(|run| run.id != id);
    }
}

fn kept_bytes(runs: &VecDeque<Arc<Run>>) -> usize {
    runs.iter().map(|run| run.bytes()).sum()
}

impl Run {
    fn state(&self) -> &'static str {
        match self.over.get().map(|over| &over.came_to) {
            None => "running",
            Some(Ok(CameTo { is_partial: false, .. })) => "done",
            Some(Ok(CameTo { is_partial: true, .. })) => "ended",
            Some(Err(_)) => "failed",
        }
    }

    fn as_json(&self) -> Value {
        let over = self.over.get();
        json!({
            "id": self.id.to_string(),
            "kind": self.plan.kind().name(),
            "state": self.state(),
            "error": over.and_then(|over| over.came_to.as_ref().err()),
            "author": self.author,
            "began": view::moment(self.began_unix_ms),
            "over": over.map(|over| view::moment(over.at_unix_ms)),
            "asked": self.plan.as_json(),
            "progress": self.far.as_json(),
        })
    }

    fn result(&self) -> Option<&RawValue> {
        Some(&self.over.get()?.came_to.as_ref().ok()?.result)
    }

    fn bytes(&self) -> usize {
        self.result().map_or(0, |result| result.get().len())
    }
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
    let folder = crate::replay::gather::folder(&state.data_dir);
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
        id: RunId::new(unix_ms(), random),
        far: Far::of(plan.kind()),
        plan,
        author,
        began_unix_ms: unix_ms(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn run(at: u64) -> Arc<Run> {
        let asked: Asked = serde_json::from_value(json!({})).unwrap();
        let plan = asked.replay().ok().unwrap();
        Arc::new(Run {
            id: RunId::new(at, 1),
            far: Far::of(plan.kind()),
            plan,
            author: "ann".into(),
            began_unix_ms: at,
            over: OnceLock::new(),
        })
    }

    fn over(runs: &Runs, at: u64, bytes: usize) {
        let run = run(at);
        assert!(runs.begin(Arc::clone(&run)).is_ok());
        let text = serde_json::to_string(&"r".repeat(bytes - 2)).unwrap();
        let result = RawValue::from_string(text).unwrap();
        runs.end(&run, Ok(CameTo { is_partial: false, result }));
    }

    fn kept(runs: &Runs) -> Vec<u64> {
        runs.lock().iter().map(|run| run.began_unix_ms).collect()
    }

    #[test]
    fn the_oldest_gives_way_to_what_is_too_much_and_the_newest_stays() {
        let runs = Runs::default();
        let third = KEPT_BYTES_MAX / 3;
        (1..=3).for_each(|at| over(&runs, at, third));
        assert_eq!((kept(&runs), runs.kept_bytes()), (vec![1, 2, 3], 3 * third));
        over(&runs, 4, third);
        assert_eq!((kept(&runs), runs.kept_bytes()), (vec![2, 3, 4], 3 * third));
        over(&runs, 5, KEPT_BYTES_MAX + 1);
        assert_eq!((kept(&runs), runs.kept_bytes()), (vec![5], KEPT_BYTES_MAX + 1));
        (6..30).for_each(|at| over(&runs, at, 10));
        assert_eq!((kept(&runs).len(), runs.kept_bytes()), (KEPT_MAX, 10 * KEPT_MAX));
    }
}
