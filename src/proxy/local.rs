//! Answers that need no provider: the canned one and the simulated one.
//!
//! Both are events, encoded into the dialect of whoever asks by the same encoders that a fallback
//! uses. A simulated stream is paced like a model's, under the same waits as any other: the client
//! may leave, and an order may cut it.

use super::Gate;
use super::client::{BACKLOG_MAX, Client, Framing};
use super::orders::{Ordered, Orders, killed};
use super::relay::{self, Counted, End};
use crate::exchange::forward::Headers;
use crate::exchange::relay::Seen;
use crate::exchange::screen::{Found, Screen, blocked};
use crate::exchange::simulated::{self, Frames, Script};
use crate::table::lever::{Filter, Lever};
use crate::table::rules::Judge;
use crate::table::{Family, Provider};
use crate::wire::event::Event;
use crate::wire::loss::Losses;
use crate::wire::refusal::{Class, Refusal};
use crate::wire::request::tells_usage;
use crate::wire::{Dialect, Encoder, Tail, encode_unary};
use http::{HeaderValue, StatusCode, header};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
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
    pub script: Option<&'r [u8]>,
    /// What judges the answer.
    pub judges: &'r [Arc<Judge>],
    /// The number of the exchange's session, for rules that are rolled out to a share of them.
    pub share: u8,
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
    /// What rules found in it.
    pub found: Found,
}

/// Why nothing was answered.
#[derive(Debug)]
pub enum Unanswered {
    /// The script cannot be read.
    Refused(Refusal),
    /// An order came first.
    Ordered(Ordered),
    /// Rules forbid the answer.
    Blocked(Found),
}

/// Answers by ourselves.
///
/// # Errors
/// A script that cannot be read, or an order that came before anything was out.
pub async fn answer<C: Client>(
    gate: &Gate,
    orders: &Orders<'_>,
    client: &mut C,
    provider: &Provider,
    request: Request<'_>,
) -> Result<Done, Unanswered> {
    let script = match (provider.family, &provider.answer) {
        (Family::Simulated, _) => {
            // What a panic leaves can be tested on the running binary in no other way.
            debug_assert_ne!(request.script, Some(&b"panic"[..]), "a build for tests was asked to");
            let mut script =
                Script::default().for_request(request.prompt, request.script).map_err(|why| {
                    Unanswered::Refused(Refusal::new(Class::BadRequest, why.to_string()))
                })?;
            // Failures of a transport take a transport: `firedoor mock` performs them.
            (script.fault, script.status) = (None, None);
            script
        }
        (
            Family::Canned | Family::Openai | Family::Anthropic | Family::Gemini | Family::Bedrock,
            answer,
        ) => Script::saying(answer.as_deref().unwrap_or("")),
    };
    let tells_usage = !request.is_stream || tells_usage(request.dialect, request.prompt);
    let context = simulated::Context {
        model: request.model.to_owned(),
        id: request.id.to_owned(),
        created: request.unix_ms / 1000,
        prompt_bytes: request.prompt.len() as u64,
        usage: tells_usage,
    };
    let (first_wait, pace) = (script.first_wait, script.between_wait);
    let frames = Frames::new(script, context);
    let now = gate.clock.now();
    let mut seen = Seen::default();
    let mut screen = Screen::new(request.judges.iter().map(Arc::clone), Dialect::OpenaiChat);
    if !first_wait.is_zero() {
        let mut filters = Vec::new();
        let woken = pause(orders, client, first_wait, &mut filters).await;
        let books = filters.iter().flat_map(|filter: &Filter| &filter.books);
        for judge in books.filter_map(|book| book.judge(request.share)) {
            screen.add(Arc::clone(judge));
        }
        match woken {
            Woken::OnTime => {}
            Woken::Gone => {
                let counted = Counted { sent: 0, first_byte: None };
                return Ok(Done { end: End::Gone, counted, seen, found: screen.found });
            }
            Woken::Ended(Ended::ShutDown) => {
                return Err(Unanswered::Ordered(Ordered::ShutDown));
            }
            Woken::Ended(Ended::Killed(lever)) => {
                return Err(Unanswered::Ordered(Ordered::Killed(lever)));
            }
            Woken::Ended(Ended::Blocked(refusal)) => return Err(Unanswered::Refused(refusal)),
        }
    }
    let mut headers = request.headers;
    let content_type = if request.is_stream {
        request.dialect.framing().content_type()
    } else {
        "application/json"
    };
    headers.push((header::CONTENT_TYPE, HeaderValue::from_static(content_type)));
    headers.push((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
    let (end, sent) = if request.is_stream {
        if let Some(order @ Ordered::Killed(_)) = orders.look_for_end() {
            return Err(Unanswered::Ordered(order));
        }
        let paced = Paced {
            orders,
            dialect: request.dialect,
            id: request.id,
            pace,
            share: request.share,
            screen: &mut screen,
        };
        paced.stream(gate, client, &headers, frames, &mut seen).await
    } else {
        let mut events = joined(frames.flatten());
        for event in &events {
            seen.see(event, now);
        }
        events = screen.rewrite(events, b"");
        screen.forget_frame();
        events.extend(screen.rest());
        if screen.found.is_cut() {
            return Err(Unanswered::Blocked(screen.found));
        }
        let body =
            encode_unary(request.dialect, Dialect::OpenaiChat, &events, &mut Losses::default());
        if let Some(order @ Ordered::Killed(_)) = orders.look_for_end() {
            return Err(Unanswered::Ordered(order));
        }
        client.head(StatusCode::OK, &headers, Framing::Length(body.len() as u64));
        client.data(&body);
        client.finish();
        (flush(orders, client).await, body.len() as u64)
    };
    Ok(Done { end, counted: Counted { sent, first_byte: Some(now) }, seen, found: screen.found })
}

/// A stream of ours and how it is paced.
struct Paced<'p> {
    orders: &'p Orders<'p>,
    dialect: Dialect,
    id: &'p str,
    pace: Duration,
    share: u8,
    screen: &'p mut Screen,
}

impl Paced<'_> {
    async fn stream<C: Client>(
        mut self,
        gate: &Gate,
        client: &mut C,
        headers: &Headers,
        frames: Frames,
        seen: &mut Seen,
    ) -> (End, u64) {
        let mut encoder = Encoder::new(self.dialect, Dialect::OpenaiChat);
        let mut sent = 0;
        let mut out = Vec::new();
        client.head(StatusCode::OK, headers, Framing::Stream);
        for (number, events) in frames.enumerate() {
            if number > 0 {
                match self.next_is_due(client).await {
                    Woken::OnTime => {}
                    Woken::Gone => return (End::Gone, sent),
                    Woken::Ended(order) => {
                        let tail = encoder.tail();
                        return self.end(client, order, &tail, sent).await;
                    }
                }
            }
            let now = gate.clock.now();
            for event in &events {
                seen.see(event, now);
            }
            let events = self.screen.rewrite(events, b"");
            self.screen.forget_frame();
            out.clear();
            if !events.is_empty() {
                encoder.frame(&events, &mut out);
            }
            if self.screen.found.is_cut() {
                client.data(&out);
                let tail = encoder.tail();
                let order = Ended::Blocked(blocked(&self.screen.found, "answer"));
                let (end, more) = self.end(client, order, &tail, 0).await;
                return (end, sent + out.len() as u64 + more);
            }
            client.data(&out);
            sent += out.len() as u64;
            let is_behind = client.backlog() >= BACKLOG_MAX;
            if is_behind || !self.pace.is_zero() {
                let end = flush(self.orders, client).await;
                if !matches!(end, End::Whole) {
                    return (end, sent);
                }
            }
        }
        client.finish();
        (flush(self.orders, client).await, sent)
    }
}

impl Paced<'_> {
    /// Waits for the next frame's time; asks for orders even where there is nothing to wait for.
    async fn next_is_due<C: Client>(&mut self, client: &mut C) -> Woken {
        if !self.pace.is_zero() {
            let mut filters = Vec::new();
            let woken = pause(self.orders, client, self.pace, &mut filters).await;
            let books = filters.iter().flat_map(|filter: &Filter| &filter.books);
            for judge in books.filter_map(|book| book.judge(self.share)) {
                self.screen.add(Arc::clone(judge));
            }
            return woken;
        }
        match self.orders.look_for_end() {
            Some(Ordered::ShutDown) => Woken::Ended(Ended::ShutDown),
            Some(Ordered::Killed(lever)) => Woken::Ended(Ended::Killed(lever)),
            Some(Ordered::Switch(_) | Ordered::Tools(_) | Ordered::Filters(_)) | None => {
                Woken::OnTime
            }
        }
    }

    /// Ends a stream under way, in its dialect where that can be done.
    async fn end<C: Client>(
        &self,
        client: &mut C,
        order: Ended,
        tail: &Tail,
        sent: u64,
    ) -> (End, u64) {
        let (refusal, lever, at_most) = match order {
            Ended::ShutDown => {
                let why = "Firedoor is shutting down";
                (Refusal::new(Class::Unavailable, why), None, CLIENT_TIME_MAX)
            }
            Ended::Killed(lever) => (killed(&lever), Some(lever.id), relay::KILL_TIME_MAX),
            Ended::Blocked(refusal) => (refusal, None, CLIENT_TIME_MAX),
        };
        // What waits for the client is content: none of it may leave after a kill.
        if lever.is_some() && !client.discard().is_clear() {
            client.tear();
            return (End::Torn(refusal, lever), sent);
        }
        let ending = refusal.frames(self.dialect, tail, self.id);
        client.data(&ending);
        client.finish();
        let until = Instant::now() + at_most;
        let end = relay::flush(self.orders, client, until, End::Cut(refusal, lever)).await;
        (end, sent + ending.len() as u64)
    }
}

/// The events of a whole answer: texts that follow each other on one channel are one text.
fn joined(events: impl Iterator<Item = Event<'static>>) -> Vec<Event<'static>> {
    let mut joined: Vec<Event<'static>> = Vec::new();
    for event in events {
        if let (
            Some(Event::Text { channel: last, text: known, .. }),
            Event::Text { channel, text, .. },
        ) = (joined.last_mut(), &event)
            && last == channel
        {
            known.to_mut().push_str(text);
        } else {
            joined.push(event);
        }
    }
    joined
}

enum Woken {
    OnTime,
    Gone,
    Ended(Ended),
}

/// The orders that end an answer of ours. What it says is a script, which can neither go on
/// elsewhere nor call a tool of a model's own will.
enum Ended {
    ShutDown,
    Killed(Arc<Lever>),
    Blocked(Refusal),
}

/// Waits; filters that are put in force meanwhile are added to `filters`.
async fn pause<C: Client>(
    orders: &Orders<'_>,
    client: &mut C,
    pace: Duration,
    filters: &mut Vec<Filter>,
) -> Woken {
    let mut timer = pin!(sleep_until(Instant::now() + pace));
    poll_fn(|cx| {
        if client.poll_gone(cx).is_ready() {
            return Poll::Ready(Woken::Gone);
        }
        while let Poll::Ready(order) = orders.poll_answer(cx) {
            match order {
                Ordered::ShutDown => return Poll::Ready(Woken::Ended(Ended::ShutDown)),
                Ordered::Killed(lever) => return Poll::Ready(Woken::Ended(Ended::Killed(lever))),
                Ordered::Filters(more) => filters.extend(more),
                Ordered::Switch(_) | Ordered::Tools(_) => {}
            }
        }
        timer.as_mut().poll(cx).map(|()| Woken::OnTime)
    })
    .await
}

async fn flush<C: Client>(orders: &Orders<'_>, client: &mut C) -> End {
    relay::flush(orders, client, Instant::now() + CLIENT_TIME_MAX, End::Whole).await
}
