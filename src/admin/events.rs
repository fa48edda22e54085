//! `GET /api/v1/events`: finished exchanges, published tables and what happens to levers, as
//! server-sent events.
//!
//! A reader holds a place in the ring of recent exchanges, so a slow one costs nothing; what it
//! missed is told as `gap`. Its place is the event's id: with `last-event-id` a reader goes on
//! where it was, as long as the ring reaches back and the process is the same.

use super::desk::Desk;
use super::problem::Problem;
use super::state::State;
use super::{levers, view};
use crate::control::Notice;
use crate::id::Epoch;
use crate::telemetry::{Batch, Phase, Sequence};
use axum::extract;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::HeaderMap;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// How many exchanges are taken from the ring at once.
const BATCH: usize = 64;
/// How often a quiet stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) async fn events(
    extract::State(desk): extract::State<Desk>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let permit = Arc::clone(&desk.state.readers)
        .try_acquire_owned()
        .map_err(|_| Problem::unavailable("Too many clients follow the events."))?;
    let feed = Feed::new(desk.state, &headers, permit);
    let events = stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok::<Event, Infallible>(event), feed))
    });
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("alive");
    Ok(Sse::new(events).keep_alive(heartbeat).into_response())
}

/// One reader's place.
struct Feed {
    state: Arc<State>,
    cursor: Sequence,
    epochs: watch::Receiver<Epoch>,
    notices: broadcast::Receiver<Notice>,
    waiting: VecDeque<Event>,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    fn new(state: Arc<State>, headers: &HeaderMap, permit: OwnedSemaphorePermit) -> Feed {
        let epochs = state.switchboard.epochs();
        let newest = state.telemetry.recent().newest();
        let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let place = last.map(|id| place(&state, id));
        let notices = state.levers.notices();
        let waiting = VecDeque::new();
        let mut feed = Feed { state, cursor: newest, epochs, notices, waiting, _permit: permit };
        match place {
            // Nobody can have seen what has not happened.
            Some(Some(seen)) => feed.cursor = seen.min(newest),
            // From before this process: how much was missed nobody knows.
            Some(None) => feed.put("gap", &json!({ "missed": null })),
            None => {}
        }
        let epoch = feed.state.switchboard.peek().epoch.0;
        feed.put("hello", &json!({ "version": env!("CARGO_PKG_VERSION"), "epoch": epoch }));
        feed
    }

    /// The next event; `None` once the process ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let state = Arc::clone(&self.state);
            tokio::select! {
                () = state.lifecycle.reached(Phase::Stopped) => return None,
                changed = self.epochs.changed() => {
                    // Its sender lives in the switchboard, which `state` holds.
                    changed.ok()?;
                    let epoch = self.epochs.borrow_and_update().0;
                    self.put("table", &json!({ "epoch": epoch }));
                }
                notice = self.notices.recv() => match notice {
                    Ok(notice) => {
                        let (kind, data) = levers::notice(&notice);
                        self.put(kind, &data);
                    }
                    Err(RecvError::Lagged(missed)) => {
                        self.put("gap", &json!({ "missed_levers": missed }));
                    }
                    Err(RecvError::Closed) => return None,
                },
                batch = state.telemetry.recent().after(self.cursor, BATCH) => self.take(batch),
            }
        }
    }

    fn take(&mut self, batch: Batch) {
        self.cursor.0 += batch.missed;
        if batch.missed > 0 {
            self.put("gap", &json!({ "missed": batch.missed }));
        }
        for (sequence, facts) in batch.facts {
            self.cursor = sequence;
            self.put("exchange", &view::exchange(Some(sequence), &facts));
        }
    }

    fn put(&mut self, kind: &str, data: &Value) {
        let id = format!("{:x}-{}", self.state.started_unix_ms, self.cursor.0);
        self.waiting.push_back(Event::default().event(kind).id(id).data(data.to_string()));
    }
}

/// The place that an id of ours names; `None` if it is from another process.
fn place(state: &State, id: &str) -> Option<Sequence> {
    let (process, sequence) = id.split_once('-')?;
    let same = u64::from_str_radix(process, 16) == Ok(state.started_unix_ms);
    same.then(|| sequence.parse().ok()).flatten().map(Sequence)
}
