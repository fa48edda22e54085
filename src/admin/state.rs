//! What the handlers share.

use crate::control::{LeverDesk, Reload, Switchboard, clocks};
use crate::evidence::Tap;
use crate::evidence::index::Watch;
use crate::id::Epoch;
use crate::proxy::registry::About;
use crate::table::diagnostic::Diagnostic;
use crate::table::lever::Scope;
use crate::telemetry::{HealthSource, Lifecycle, LimitSource, ReloadOutcome, Telemetry};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::Value;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

use super::evidence;
use super::runs::kept::Runs;
use super::tokens::Tokens;

/// How many clients may follow the events at once.
const READERS_MAX: usize = 64;

/// How many searches of the record may be under way at once.
const SEARCHES_MAX: usize = 4;

/// A listener of the process, as the status shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `data` or `admin`.
    pub plane: &'static str,
    /// `127.0.0.1:4800` or `unix:/...`.
    pub address: String,
}

/// What [`State`] is made of.
pub struct Parts {
    /// The live table.
    pub switchboard: Arc<Switchboard>,
    /// Metrics and the feed.
    pub telemetry: Telemetry,
    /// Where the process is in its life; the admin plane ends with it.
    pub lifecycle: Lifecycle,
    /// Takes a picture of the targets' health.
    pub health: HealthSource,
    /// Takes a picture of the limits.
    pub limits: LimitSource,
    /// Who may do what.
    pub tokens: Tokens,
    /// Host names besides `localhost` and IP literals under which the API may be called.
    pub hosts: Vec<String>,
    /// What listens.
    pub listeners: Vec<Listener>,
    /// What the first table's file should mend.
    pub warnings: Vec<Diagnostic>,
    /// Pulls and lifts levers.
    pub levers: Arc<LeverDesk>,
    /// Finds the open exchanges of a scope.
    pub open: OpenSource,
    /// Where the record and its index are.
    pub data_dir: PathBuf,
    /// How the index does.
    pub index: Watch,
    /// Where the record is written.
    pub tap: Tap,
}

/// Finds the open exchanges that a scope covers.
pub type OpenSource = Arc<dyn Fn(&Scope) -> Vec<About> + Send + Sync>;

/// Answers that are kept under an idempotency key; the oldest gives way.
const ANSWERS_MAX: usize = 1_024;

/// A status and a body.
pub(super) type Kept = (StatusCode, Value);

/// What the handlers share.
pub struct State {
    pub(super) switchboard: Arc<Switchboard>,
    pub(super) telemetry: Telemetry,
    pub(super) lifecycle: Lifecycle,
    pub(super) health: HealthSource,
    pub(super) limits: LimitSource,
    pub(super) tokens: Tokens,
    pub(super) hosts: Vec<String>,
    pub(super) listeners: Vec<Listener>,
    pub(super) levers: Arc<LeverDesk>,
    pub(super) open: OpenSource,
    pub(super) tap: Tap,
    answers: Mutex<VecDeque<(String, Kept)>>,
    /// Held from looking a key up to keeping its answer, so that a call which is repeated while the
    /// first is under way is not done twice.
    pub(super) keyed: tokio::sync::Mutex<()>,
    pub(super) readers: Arc<Semaphore>,
    /// Long work over the record.
    pub(super) runs: Runs,
    /// Held by a trial of rules.
    pub(super) trials: Semaphore,
    /// Where the record and its index are.
    pub(super) data_dir: PathBuf,
    pub(super) index: Watch,
    /// Held by those who search the record.
    pub(super) searches: Arc<Semaphore>,
    started: Instant,
    pub(super) started_unix_ms: u64,
    history: Mutex<History>,
    /// Held over a whole reload, so that a condition on the epoch cannot be overtaken.
    reloading: Mutex<()>,
}

/// An answer that is given once more.
pub(super) struct Answered(Kept);

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let Answered((status, value)) = self;
        (status, Json(value)).into_response()
    }
}

/// What reloads have left behind.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// What the live table's file should mend.
    pub(super) warnings: Vec<Diagnostic>,
    /// The last reload, and when it was in milliseconds since the Unix epoch.
    pub(super) last: Option<(u64, Reload)>,
}

/// The live table is another than the caller knew; its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superseded(pub Epoch);

impl State {
    /// Takes its parts.
    pub fn new(parts: Parts) -> Arc<State> {
        parts.telemetry.meters().epoch(parts.switchboard.peek().epoch.0);
        Arc::new(State {
            switchboard: parts.switchboard,
            telemetry: parts.telemetry,
            lifecycle: parts.lifecycle,
            health: parts.health,
            limits: parts.limits,
            tokens: parts.tokens,
            hosts: parts.hosts,
            listeners: parts.listeners,
            levers: parts.levers,
            open: parts.open,
            tap: parts.tap,
            answers: Mutex::default(),
            keyed: tokio::sync::Mutex::default(),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            runs: Runs::default(),
            trials: Semaphore::new(1),
            data_dir: parts.data_dir,
            index: parts.index,
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
            started: Instant::now(),
            started_unix_ms: clocks::unix_ms(),
            history: Mutex::new(History { warnings: parts.warnings, last: None }),
            reloading: Mutex::new(()),
        })
    }

    /// Reloads the table, reads the tokens again, and keeps and counts what came of it. File
    /// changes and signals should take this path too, so that the status tells of them.
    ///
    /// Blocks on the disk and on the compiler.
    pub fn reload(&self) -> Reload {
        match self.reload_if(None) {
            Ok(reload) => reload,
            // Nothing was asked for, so nothing can be superseded; the live table is unchanged.
            Err(Superseded(epoch)) => Reload::Unchanged { epoch },
        }
    }

    /// [`reload`](State::reload), if the live table is `expected`.
    ///
    /// # Errors
    /// The number of the live table if it is another; nothing was read.
    pub fn reload_if(&self, expected: Option<Epoch>) -> Result<Reload, Superseded> {
        let _reloading = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.switchboard.peek().epoch;
        if expected.is_some_and(|expected| expected != live) {
            return Err(Superseded(live));
        }
        if let Err(fault) = self.tokens.refresh() {
            tracing::warn!(fault = fault.to_string(), "the tokens stay as they were");
        }
        let reload = self.switchboard.reload();
        let (outcome, epoch) = match &reload {
            Reload::Published { epoch, .. } => (ReloadOutcome::Published, *epoch),
            Reload::Unchanged { epoch } => (ReloadOutcome::Unchanged, *epoch),
            Reload::Refused { epoch, .. } => (ReloadOutcome::Refused, *epoch),
        };
        self.telemetry.meters().reloaded(outcome, epoch.0);
        if matches!(outcome, ReloadOutcome::Published) {
            evidence::note_table(&self.tap, &self.switchboard.table());
        }
        tracing::info!(outcome = outcome.name(), epoch = epoch.0, "reload");
        let mut history = self.history_lock();
        if let Reload::Published { warnings, .. } = &reload {
            history.warnings.clone_from(warnings);
        }
        history.last = Some((clocks::unix_ms(), reload.clone()));
        Ok(reload)
    }

    /// What was answered to the call with this key.
    pub(super) fn answered(&self, key: &str) -> Option<Answered> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().find(|(known, _)| known == key).map(|(_, kept)| Answered(kept.clone()))
    }

    /// Keeps an answer under its key.
    pub(super) fn keep_answer(&self, key: String, kept: &Kept) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() == ANSWERS_MAX {
            answers.pop_front();
        }
        answers.push_back((key, kept.clone()));
    }

    pub(super) fn history(&self) -> History {
        self.history_lock().clone()
    }

    /// How long the process has been up.
    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    fn history_lock(&self) -> MutexGuard<'_, History> {
        // Its values are replaced whole.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
