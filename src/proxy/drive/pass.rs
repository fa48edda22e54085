//! Hops 7 and 8: a provider's answer on its way to the client, as what it is.

use super::book::Book;
use super::{After, Attempted, Exchange, Failed, Interrupt, Ran, Stop, Using};
use crate::exchange::attempts::Failure;
use crate::exchange::facts::Outcome;
use crate::exchange::forward;
use crate::exchange::relay::{Relay, Seen};
use crate::proxy::answer;
use crate::proxy::client::{Client, Framing};
use crate::proxy::h1::{self, BodyLength, ResponseLength};
use crate::proxy::orders::Ordered;
use crate::proxy::relay::{self, Counted, End, Head, Move, Waits};
use crate::proxy::upstream::{self, Answer, Origin};
use crate::table::{Route, Target};
use crate::wire::Dialect;
use crate::wire::coding::{Coding, Inflater};
use crate::wire::refusal::{Class, Refusal};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::future::poll_fn;
use tokio::time::Instant;

/// An answer that is not a stream is held whole up to this size, so that another target can take
/// over if it breaks.
const HOLD_BYTES_MAX: usize = 16 << 20;

impl Exchange<'_> {
    /// Hops 7 and 8: the answer, as what it is.
    #[expect(clippy::too_many_arguments, reason = "the state of one attempt, all of it used once")]
    pub(super) async fn pass_on<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        route: &Route,
        until: Instant,
        using: Using<'_>,
        upstream: h1::ResponseHead,
        mut answer: Answer,
        origin: Origin,
    ) -> Attempted {
        let status = upstream.status;
        let mut headers = self.answer_headers(book, route, using.target);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let protocol = upstream.upgrade.clone();
            forward::move_response_headers(upstream.headers, &mut headers);
            return self.switch(client, book, status, &mut headers, protocol, answer);
        }
        let waits = Waits { idle: route.timeouts.idle, total: until };
        let is_events = upstream
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"));
        let coding = coding_of(&upstream.headers);
        let dialect = self.admission.dialect;
        let asked_stream = book.facts.as_ref().is_some_and(|facts| facts.is_stream);
        let has_no_type = !upstream.headers.contains_key(header::CONTENT_TYPE);
        let streams = is_events || (has_no_type && asked_stream && status.is_success());
        let mut relay = match (dialect, coding) {
            (Some(dialect), Some(coding)) if streams => Some(Relay::new(dialect, coding)),
            _ => None,
        };
        let head_length = head_framing(&upstream.headers);
        forward::move_response_headers(upstream.headers, &mut headers);
        // A stream in a framing that is not read (Gemini's array without `alt=sse`) is not held back.
        let is_unread_stream = asked_stream && status.is_success();
        if let (Some(dialect), None, false) = (dialect, &relay, is_unread_stream) {
            let whole = self
                .hold_whole(client, book, dialect, coding, waits, status, headers, &mut answer)
                .await;
            if matches!(whole, Attempted::Ran(Ran::Done(After::Answered))) {
                using.answered();
                self.keep(origin, answer);
            }
            return whole;
        }
        let framing = match upstream.body {
            _ if self.asked.method == Method::HEAD => head_length,
            ResponseLength::Framed(BodyLength::Length(length)) if relay.is_none() => {
                Framing::Length(length)
            }
            ResponseLength::Framed(BodyLength::None) => Framing::Empty,
            ResponseLength::Framed(BodyLength::Length(_) | BodyLength::Chunked)
            | ResponseLength::UntilClose => Framing::Stream,
        };
        let moving = Move {
            answer: &mut answer,
            relay: relay.as_mut(),
            committed: &|| using.answered(),
            head: Some(Head { status, headers, framing }),
            early: Vec::new(),
            id: self.id.as_str(),
            sent: 0,
            first_byte: None,
        };
        let (end, counted) = relay::run(self.gate, &self.orders, client, waits, moving).await;
        if let Some(relay) = &relay {
            book.learn(&relay.seen);
        }
        match end {
            End::Unusable(refusal) => {
                return Attempted::Failed(Failed { failure: Failure::Unusable, refusal });
            }
            End::Ordered(order) => return self.obey(book, order),
            End::Whole | End::Cut(..) | End::Torn(..) | End::Gone => {}
        }
        if matches!(end, End::Whole) {
            self.keep(origin, answer);
        }
        Attempted::done(Self::close_book(book, status, end, counted))
    }

    /// Holds an answer that is no stream until it is whole, then sends it.
    #[expect(clippy::too_many_arguments, reason = "the state of one attempt, all of it used once")]
    pub(super) async fn hold_whole<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        dialect: Dialect,
        coding: Option<Coding>,
        waits: Waits,
        status: StatusCode,
        headers: forward::Headers,
        answer: &mut Answer,
    ) -> Attempted {
        let mut body = Vec::new();
        let mut first_byte = None;
        loop {
            let until = waits.total.min(Instant::now() + waits.idle);
            let read = poll_fn(|cx| answer.poll_body(cx, &mut body));
            let failed = |failure, class, message: String| {
                Attempted::Failed(Failed { failure, refusal: Refusal::new(class, message) })
            };
            match self.race(client, until, read).await {
                Ok(Ok(piece)) => {
                    first_byte.get_or_insert_with(|| self.gate.clock.now());
                    if piece == upstream::Piece::End {
                        break;
                    }
                }
                Ok(Err(fault)) => {
                    return failed(Failure::Connect, Class::BadGateway, fault.message());
                }
                Err(Interrupt::Gone) => return Attempted::Stop(Stop::Gone),
                Err(Interrupt::Ordered(order)) => return self.obey(book, order),
                Err(Interrupt::Late) => {
                    let message = "the provider sent nothing for longer than the route allows";
                    return failed(Failure::FirstByteTimeout, Class::Timeout, message.to_owned());
                }
            }
            if body.len() > HOLD_BYTES_MAX {
                return self.pass_large(client, book, waits, status, headers, answer, body).await;
            }
        }
        let now = self.gate.clock.now();
        let mut seen = Seen::default();
        match coding {
            Some(Coding::Identity) => seen.whole(dialect, &body, now),
            Some(coding @ (Coding::Gzip | Coding::Deflate | Coding::Brotli | Coding::Zstd)) => {
                let mut plain = Vec::new();
                let mut inflater = Inflater::new(coding, HOLD_BYTES_MAX as u64, super::RATIO_MAX);
                if let Err(error) = inflater.push(&body, &mut plain)
                    && error.is_limit()
                {
                    let message = format!("the provider's answer cannot be read: {error}");
                    return Attempted::Stop(Refusal::new(Class::BadGateway, message).into());
                }
                seen.whole(dialect, &plain, now);
            }
            None => {}
        }
        book.learn(&seen);
        let framing = match status {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Framing::Empty,
            _ => Framing::Length(body.len() as u64),
        };
        if let Some(order @ Ordered::Killed(_)) = self.orders.look() {
            // Nothing is out yet: the caller can be told, or another target can take over.
            return self.obey(book, order);
        }
        client.head(status, &headers, framing);
        client.data(&body);
        client.finish();
        let counted = Counted { sent: body.len() as u64, first_byte };
        drop(body);
        let end = relay::flush(&self.orders, client, waits.total, End::Whole).await;
        self.seat.ended();
        Attempted::done(Self::close_book(book, status, end, counted))
    }

    /// An answer too large to be held: what came so far goes out, and the rest as it comes.
    #[expect(clippy::too_many_arguments, reason = "the state of one attempt, all of it used once")]
    pub(super) async fn pass_large<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        waits: Waits,
        status: StatusCode,
        headers: forward::Headers,
        answer: &mut Answer,
        body: Vec<u8>,
    ) -> Attempted {
        let moving = Move {
            answer,
            relay: None,
            committed: &|| {},
            head: Some(Head { status, headers, framing: Framing::Stream }),
            early: body,
            id: self.id.as_str(),
            sent: 0,
            first_byte: None,
        };
        let (end, counted) = relay::run(self.gate, &self.orders, client, waits, moving).await;
        Attempted::done(Self::close_book(book, status, end, counted))
    }

    /// The provider switches protocols: the head goes out and the two are connected.
    pub(super) fn switch<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        status: StatusCode,
        headers: &mut forward::Headers,
        protocol: Option<HeaderValue>,
        answer: Answer,
    ) -> Attempted {
        if self.request.upgrade.is_none() {
            let message = "the provider switched protocols, which nobody asked it to";
            return Attempted::Stop(Refusal::new(Class::BadGateway, message).into());
        }
        headers.extend(protocol.map(|protocol| (header::UPGRADE, protocol)));
        client.head(status, headers, Framing::Empty);
        book.note(|facts| {
            facts.status = status.as_u16();
            facts.outcome = Outcome::Completed;
        });
        let (io, surplus) = answer.into_parts();
        Attempted::Ran(Ran::Tunnel(io, surplus))
    }

    /// Puts a connection back whose answer was read to its end.
    pub(super) fn keep(&self, origin: Origin, answer: Answer) {
        if let Some(io) = answer.into_reusable() {
            self.worker.pool.put(origin, io);
        }
    }

    /// Our own headers on an answer.
    pub(super) fn answer_headers(
        &self,
        book: &Book<'_>,
        route: &Route,
        target: &Target,
    ) -> forward::Headers {
        let mut headers = forward::Headers::with_capacity(24);
        let id = answer::value(self.id.as_str());
        if let Some(facts) = &book.facts {
            let request =
                facts.identity.request.as_deref().map_or_else(|| id.clone(), answer::value);
            headers.push((answer::name::REQUEST, request));
            if facts.attempts > 0 {
                let attempts = HeaderValue::from(u16::from(facts.attempts));
                headers.push((answer::name::ATTEMPT, attempts));
            }
            if let Some(lever) = facts.lever {
                headers.push((answer::name::LEVER, answer::value(&lever.to_string())));
            }
        }
        headers.push((answer::name::EXCHANGE, id));
        headers.push((answer::name::ROUTE, route.name_value.clone()));
        headers.push((answer::name::TARGET, target.name_value.clone()));
        headers
    }

    /// Writes down how an answer ended, and says what the connection does next.
    pub(super) fn close_book(
        book: &mut Book<'_>,
        status: StatusCode,
        end: End,
        counted: Counted,
    ) -> After {
        let began = book.began;
        let mut fault = None;
        let mut lever = None;
        let (outcome, after) = match end {
            End::Whole if status.as_u16() >= 400 => (Outcome::ProviderError, After::Answered),
            End::Whole => (Outcome::Completed, After::Answered),
            End::Cut(refusal, by) => {
                fault = Some(refusal.message.to_string());
                lever = by;
                (Outcome::Cut(refusal.class), After::Answered)
            }
            End::Torn(refusal, by) => {
                fault = Some(refusal.message.to_string());
                lever = by;
                (Outcome::Torn, After::Answered)
            }
            End::Unusable(refusal) => {
                fault = Some(refusal.message.to_string());
                (Outcome::Torn, After::Answered)
            }
            End::Ordered(_) => (Outcome::Torn, After::Answered),
            End::Gone => (Outcome::ClientGone, After::Gone),
        };
        book.note(|facts| {
            facts.status = status.as_u16();
            facts.outcome = outcome;
            facts.response_bytes = counted.sent;
            facts.first_byte = counted.first_byte.map(|at| at.since(began));
            facts.lever = lever.or(facts.lever);
            facts.fault = fault.or(facts.fault.take());
        });
        after
    }
}

/// The content coding of an answer; `None` for one that we cannot read.
fn coding_of(headers: &HeaderMap) -> Option<Coding> {
    match headers.get(header::CONTENT_ENCODING) {
        None => Some(Coding::Identity),
        Some(value) => value.to_str().ok().and_then(|text| Coding::parse(text).ok()),
    }
}

/// The length that an answer to HEAD speaks of.
fn head_framing(headers: &HeaderMap) -> Framing {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map_or(Framing::Empty, Framing::Length)
}
