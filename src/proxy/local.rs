//! Answers that need no provider: the canned one and the simulated one.
//!
//! Both are events, encoded into the dialect of whoever asks by the same encoders that a fallback
//! uses. A simulated stream is paced like a model's, under the same waits as any other: the client
//! may leave, and an order may cut it.

use super::Gate;
use super::client::{Client, Framing};
use super::registry::Seat;
use super::relay::{Counted, End};
use crate::exchange::forward::Headers;
use crate::exchange::relay::Seen;
use crate::exchange::simulated::{self, Context as Asked, Script};
use crate::table::{Family, Provider};
use crate::wire::event::Event;
use crate::wire::refusal::{Class, Refusal};
use crate::wire::{Dialect, Encoder, encode_unary};
use http::{HeaderValue, StatusCode, header};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long a client may take for each piece.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(30);

/// What a local answer is made from.
#[derive(Debug)]
pub struct Request<'r> {
    /// The dialect to answer in.
    pub dialect: Dialect,
    /// Whether a stream is asked for.
    pub is_stream: bool,
    /// The model that is asked for.
    pub model: &'r str,
    /// The request's body.
    pub prompt: &'r [u8],
    /// Our own headers.
    pub headers: Headers,
    /// The exchange's id.
    pub id: &'r str,
    /// Now.
    pub unix_ms: u64,
    /// A script from a header.
    pub spec: Option<&'r str>,
}

/// How it went.
#[derive(Debug)]
pub struct Done {
    /// The end.
    pub end: End,
    /// What was counted.
    pub counted: Counted,
    /// What the answer said.
    pub seen: Seen,
}

/// Answers by ourselves.
///
/// # Errors
/// A script that cannot be read.
pub async fn answer<C: Client>(
    gate: &Gate,
    seat: &Seat,
    client: &mut C,
    provider: &Provider,
    request: Request<'_>,
) -> Result<Done, Refusal> {
    let script = match (provider.family, &provider.answer) {
        (Family::Simulated, _) => Script::find(request.spec, request.prompt)
            .map_err(|why| Refusal::new(Class::BadRequest, why.to_string()))?,
        (Family::Canned | Family::Openai | Family::Anthropic | Family::Gemini, answer) => {
            Script::fixed(answer.as_deref().unwrap_or(""))
        }
    };
    let context = Asked {
        model: request.model,
        id: request.id,
        unix_seconds: request.unix_ms / 1000,
        prompt_bytes: request.prompt.len(),
    };
    let frames = simulated::events(&script, &context);
    let now = gate.clock.now();
    let mut seen = Seen::default();
    for event in frames.iter().flatten() {
        seen.see(event, now);
    }
    let mut headers = request.headers;
    let content_type =
        if request.is_stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    headers.push((header::CONTENT_TYPE, HeaderValue::from_static(content_type)));
    headers.push((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
    let (end, sent) = if request.is_stream {
        let pace = if provider.family == Family::Simulated { script.pace() } else { Duration::ZERO };
        stream(seat, client, request.dialect, &headers, &frames, pace, request.id).await
    } else {
        let events: Vec<Event<'_>> = frames.into_iter().flatten().collect();
        let body = encode_unary(request.dialect, Dialect::OpenaiChat, &events);
        client.head(StatusCode::OK, &headers, Framing::Length(body.len() as u64));
        client.data(&body);
        client.finish();
        (flush(client).await, body.len() as u64)
    };
    Ok(Done { end, counted: Counted { sent, first_byte: Some(now) }, seen })
}

async fn stream<C: Client>(
    seat: &Seat,
    client: &mut C,
    dialect: Dialect,
    headers: &Headers,
    frames: &[Vec<Event<'static>>],
    pace: Duration,
    id: &str,
) -> (End, u64) {
    let mut encoder = Encoder::new(dialect, Dialect::OpenaiChat);
    let mut sent = 0;
    let mut out = Vec::new();
    client.head(StatusCode::OK, headers, Framing::Stream);
    for (number, frame) in frames.iter().enumerate() {
        if number > 0 && !pace.is_zero() {
            match pause(seat, client, pace).await {
                Woken::OnTime => {}
                Woken::Gone => return (End::Gone, sent),
                Woken::Cut => {
                    let refusal = Refusal::new(Class::Unavailable, "Firedoor is shutting down");
                    let ending = refusal.frames(dialect, &encoder.tail(), id);
                    client.data(&ending);
                    client.finish();
                    let _ = flush(client).await;
                    return (End::Cut(refusal), sent + ending.len() as u64);
                }
            }
        }
        out.clear();
        encoder.frame(frame, &mut out);
        client.data(&out);
        sent += out.len() as u64;
        if flush(client).await == End::Gone {
            return (End::Gone, sent);
        }
    }
    client.finish();
    (flush(client).await, sent)
}

enum Woken {
    OnTime,
    Gone,
    Cut,
}

async fn pause<C: Client>(seat: &Seat, client: &mut C, pace: Duration) -> Woken {
    let mut timer = pin!(sleep_until(Instant::now() + pace));
    poll_fn(|cx| {
        if client.poll_gone(cx).is_ready() {
            return Poll::Ready(Woken::Gone);
        }
        if seat.poll_cut(cx).is_ready() {
            return Poll::Ready(Woken::Cut);
        }
        timer.as_mut().poll(cx).map(|()| Woken::OnTime)
    })
    .await
}

async fn flush<C: Client>(client: &mut C) -> End {
    let flushed = tokio::time::timeout(CLIENT_TIME_MAX, poll_fn(|cx| client.poll_flush(cx))).await;
    if matches!(flushed, Ok(Ok(()))) { End::Whole } else { End::Gone }
}
