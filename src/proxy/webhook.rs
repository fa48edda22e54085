//! Calls of judges outside of the gate.
//!
//! A prompt waits for them, so each call has its rule's own longest time, which begins when the
//! prompt is ready: waiting for a turn counts. As many calls as [`CALLS_MAX`] are under way at once
//! in the process; what comes on top waits for its turn as long as its time lasts. Connections are
//! the worker's own, kept like those to providers, and lead nowhere that those may not lead.

use super::upstream::{self, Origin, Piece, Stream, UpstreamFault};
use super::{Worker, h1};
use crate::exchange::screen::{Found, NoAnswer, Question};
use crate::table::webhook::Webhook;
use crate::telemetry::Telemetry;
use bytes::Bytes;
use futures_util::future::join_all;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, header};
use std::future::poll_fn;
use std::sync::LazyLock;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// The most calls under way at once.
const CALLS_MAX: usize = 256;
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(CALLS_MAX));

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Asks all at once.
pub(super) async fn ask_all(
    worker: &Worker,
    telemetry: &Telemetry,
    questions: &[Question],
) -> Found {
    let answers = join_all(questions.iter().map(|question| ask(worker, telemetry, question))).await;
    let mut found = Found::default();
    for answer in answers {
        found.join(answer);
    }
    found
}

/// Asks, and notes what came of it.
async fn ask(worker: &Worker, telemetry: &Telemetry, question: &Question) -> Found {
    let mut found = Found::default();
    let began = Instant::now();
    let answer = match question.unaskable() {
        Some(why) => Err(why),
        None => answered(worker, telemetry, question, began + question.webhook.timeout).await,
    };
    let outcome = match answer.and_then(|answer| question.read(&answer, &mut found)) {
        Ok(0) => "clear",
        Ok(_) => "flagged",
        Err(no_answer) => {
            question.unanswered(&mut found);
            match no_answer {
                NoAnswer::TooMuch => "too_much",
                NoAnswer::Unreadable => "unreadable",
                NoAnswer::Late => "timeout",
                NoAnswer::Busy => "busy",
                NoAnswer::Failed => "failed",
            }
        }
    };
    telemetry.meters().webhook_called(&question.rule.name, outcome, began.elapsed());
    found
}

async fn answered(
    worker: &Worker,
    telemetry: &Telemetry,
    question: &Question,
    until: Instant,
) -> Result<Vec<u8>, NoAnswer> {
    let turn = timeout_at(until, TURNS.acquire()).await.map_err(|_| NoAnswer::Busy)?;
    let _turn = turn.map_err(|_| NoAnswer::Busy)?;
    let _open = telemetry.meters().webhook_calls().hold();
    let body = question.body();
    match timeout_at(until, call(worker, &question.webhook, &body)).await {
        Err(_) => Err(NoAnswer::Late),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(why)) => {
            tracing::debug!(rule = &*question.rule.name, why, "a webhook gave no answer");
            Err(NoAnswer::Failed)
        }
    }
}

/// One call; on a kept connection that the other side closed meanwhile, once more on a new one.
async fn call(worker: &Worker, webhook: &Webhook, body: &[u8]) -> Result<Vec<u8>, String> {
    let origin = Origin::from(&webhook.url);
    let head = head(webhook, body.len())?;
    if let Some(kept) = worker.pool.take(&origin) {
        match once(worker, &origin, kept, &head, body).await {
            Err(UpstreamFault::Broken(_)) => {}
            other => return other.map_err(|fault| fault.message()),
        }
    }
    let io = upstream::dial(&origin).await.map_err(|fault| fault.message())?;
    once(worker, &origin, io, &head, body).await.map_err(|fault| fault.message())
}

fn head(webhook: &Webhook, body_bytes: usize) -> Result<Vec<u8>, String> {
    let path = if webhook.url.path.is_empty() { "/" } else { &*webhook.url.path };
    let target = PathAndQuery::from_maybe_shared(Bytes::from(path.to_owned()))
        .map_err(|error| error.to_string())?;
    let start = h1::RequestStart {
        method: &Method::POST,
        target: &target,
        host: &webhook.url.authority,
        body: h1::BodyLength::Length(body_bytes as u64),
        connection: h1::Connection::KeepAlive,
    };
    let json = HeaderValue::from_static("application/json");
    let own: [(HeaderName, HeaderValue); 2] =
        [(header::CONTENT_TYPE, json.clone()), (header::ACCEPT, json)];
    let fields = own.iter().chain(&webhook.headers).map(|(name, value)| (name, value));
    let mut head = Vec::with_capacity(512);
    h1::write_request_head(&mut head, &start, fields);
    Ok(head)
}

async fn once(
    worker: &Worker,
    origin: &Origin,
    mut io: Stream,
    head: &[u8],
    body: &[u8],
) -> Result<Vec<u8>, UpstreamFault> {
    let sent = upstream::send(&mut io, head, body).await;
    let (head, mut answer) = match (upstream::receive(io, &Method::POST).await, sent) {
        (Err(UpstreamFault::Broken(_)), Err(error)) => return Err(UpstreamFault::Broken(error)),
        (received, _) => received?,
    };
    if !head.status.is_success() {
        return Err(UpstreamFault::Malformed(format!("status {}", head.status.as_u16())));
    }
    let mut out = Vec::new();
    while poll_fn(|cx| answer.poll_body(cx, &mut out)).await? == Piece::Data {
        if out.len() > ANSWER_BYTES_MAX {
            return Err(UpstreamFault::Malformed("the answer is too long".to_owned()));
        }
    }
    if let Some(io) = answer.into_reusable() {
        worker.pool.put(origin.clone(), io);
    }
    Ok(out)
}
