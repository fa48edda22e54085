//! Runs one exchange from head to end, in straight lines.
//!
//! The table is pinned once. Whatever happens, one set of facts leaves: `Book` hands them on
//! when it is dropped, so a client that vanishes, or a panic, is on record too. Until the first
//! byte of an answer is queued any target of the route may take over; after it, only an ending is
//! possible.

mod aside;
mod asking;
mod book;
mod contain;
mod context;
mod counting;
mod guard;
mod held;
mod limits;
mod pass;
mod read;
mod record;
mod send;
mod shape;
mod targets;
#[cfg(test)]
mod tests;
mod under_way;
mod unread;
mod wait;
mod webhooks;

use super::client::Client;
use super::orders::Orders;
use super::recorded::Recorded;
use super::registry::Seat;
use super::upstream::{self, Origin};
use super::{Gate, Worker, answer, h1, health, local, random};
use crate::clock::Tick;
use crate::exchange::admit::{Admission, Asked, admit, path_for_people};
use crate::exchange::attempts::{Attempts, Failure, Step};
use crate::exchange::facts::{Facts, Outcome};
use crate::exchange::forward;
use crate::exchange::passed::Passed;
use crate::exchange::screen::blocked;
use crate::id::{ExchangeId, ExchangeText};
use crate::table::{Family, Provider, Query, Route, Table, Target};
use crate::wire::loss::Losses;
use crate::wire::refusal::{Class, Refusal};
use book::Book;
use bytes::Bytes;
use guard::Guard;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use read::{Body, Wanted};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use under_way::UnderWay;
use wait::Interrupt;

/// How long a request's body may take in all; each piece of it has the client's idle timeout.
const BODY_TIME_MAX: Duration = Duration::from_mins(10);

/// The paths of answers, for who asks for another one.
const PATHS: &str = "/v1/chat/completions, /v1/responses, /v1/messages, /v1beta/models/{model}:generateContent, /model/{model}/converse";

/// How much larger than it came a compressed body may be.
const RATIO_MAX: u32 = 200;

/// A request as its connection hands it over.
#[derive(Debug)]
pub struct Received {
    /// The method.
    pub method: Method,
    /// Path and query, checked and in canonical form.
    pub target: h1::Target,
    /// The headers.
    pub headers: HeaderMap,
    /// The length of the body, if it is known.
    pub body_bytes: Option<u64>,
    /// The protocols that the client would rather speak.
    pub upgrade: Option<HeaderValue>,
    /// When the head had been read.
    pub began: Tick,
}

/// What the connection does after an exchange.
#[derive(Debug)]
pub enum After {
    /// An answer was queued and sent, or torn.
    Answered,
    /// The client has gone.
    Gone,
    /// The provider switched protocols: the two are to be connected; these bytes come first. Orders
    /// reach the tunnel by the seat.
    Tunnel(upstream::Stream, Vec<u8>, Seat),
}

/// What an exchange came to.
enum Ran {
    /// It is over.
    Done(After),
    /// The provider switched protocols.
    Tunnel(upstream::Stream, Vec<u8>),
}

/// Why an exchange ends before an answer of a provider.
enum Stop {
    Refuse(Refusal),
    Gone,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refuse(refusal)
    }
}

/// Runs one exchange.
pub async fn drive<C: Client>(
    gate: &Gate,
    worker: &Arc<Worker>,
    request: Received,
    client: &mut C,
) -> After {
    let unix_ms = gate.clock.unix_ms();
    let id = ExchangeId::new(unix_ms, u128::from(random()) << 64 | u128::from(random()));
    let id_text = id.text();
    let _open = gate.telemetry.meters().open_exchanges().hold();
    // Before the book: the record ends with the facts.
    let mut recorded = Recorded::new(client, gate.clock);
    let client = &mut recorded;
    let mut book = Book::open(gate, &request, id, unix_ms);
    let asked = Asked {
        method: &request.method,
        path: request.target.path(),
        query: request.target.query(),
        headers: &request.headers,
    };
    if asked.path == "/" && matches!(*asked.method, Method::GET | Method::HEAD) {
        let status = answer::root(client, &id_text);
        book.facts.outcome = Outcome::Completed;
        book.facts.status = status.as_u16();
        return flush_answer(client).await;
    }
    // The seat first: a lever published before the table is pinned is in it, and one published
    // later finds the seat.
    let seat = worker.registry.enter();
    let table = gate.board.table();
    let admitted = admit(&table, &asked).and_then(|admission| {
        let is_passed = admission.dialect.is_none();
        let passed =
            is_passed.then(|| Passed::of(asked.headers, table.levers.names_models())).transpose();
        passed.map_err(|refusal| (admission.speaks, refusal)).map(|passed| (admission, passed))
    });
    let (speaks, refusal) = match admitted {
        Err((speaks, refusal)) => (speaks, refusal),
        Ok((admission, passed)) => {
            let speaks = admission.speaks;
            let exchange = Exchange {
                gate,
                worker,
                table: &table,
                request: &request,
                asked,
                admission: &admission,
                passed,
                id: &id_text,
                seat: &seat,
                orders: Orders::new(&gate.board, &seat, &table),
            };
            match exchange.run(client, &mut book).await {
                Ok(Ran::Done(after)) => return after,
                Ok(Ran::Tunnel(io, surplus)) => return After::Tunnel(io, surplus, seat),
                Err(Stop::Gone) => return After::Gone,
                Err(Stop::Refuse(refusal)) => (speaks, refusal),
            }
        }
    };
    record::begin_unrouted(gate, &asked, client, &mut book, &Bytes::new());
    let status = answer::refuse(client, &refusal, speaks, &id_text, &book.facts);
    book.facts.outcome = Outcome::Refused(refusal.class);
    book.facts.status = status.as_u16();
    book.facts.fault = Some(refusal.message.to_string());
    drop(book);
    flush_answer(client).await
}

/// Puts a head on record that could not be read at all, like any other exchange; gives its id, and
/// what the client is told.
///
/// There is no dialect yet to answer in, so that is a line of text, with what its head says of it.
pub fn record_rejected(
    gate: &Gate,
    status: StatusCode,
    why: &str,
) -> ([(HeaderName, HeaderValue); 3], String) {
    let unix_ms = gate.clock.unix_ms();
    let id = ExchangeId::new(unix_ms, u128::from(random()) << 64 | u128::from(random()));
    let mut facts = Facts::blank(id, unix_ms, "(unreadable head)".into());
    facts.outcome = Outcome::Refused(Class::BadRequest);
    facts.status = status.as_u16();
    facts.fault = Some(why.to_owned());
    record::unreadable(gate, &gate.finish(facts));
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (answer::name::EXCHANGE, answer::value(id.text().as_str())),
        (answer::name::SHOULD_RETRY, HeaderValue::from_static("false")),
    ];
    (fields, format!("{why} (ref {id})\n"))
}

/// Queues the answer to a head that could not be read at all; the connection closes behind it.
pub fn reject(gate: &Gate, out: &mut Vec<u8>, status: StatusCode, why: &str) {
    let (fields, body) = record_rejected(gate, status, why);
    let date = super::date::now();
    let start = h1::ResponseStart {
        version: h1::Version::Http11,
        status,
        body: h1::ResponseLength::Framed(h1::BodyLength::Length(body.len() as u64)),
        connection: h1::Connection::Close,
        date: Some(&date),
    };
    h1::write_response_head(out, &start, fields.iter().map(|(name, value)| (name, value)));
    out.extend_from_slice(body.as_bytes());
}

async fn flush_answer<C: Client>(client: &mut C) -> After {
    let sent = tokio::time::timeout(Duration::from_secs(10), poll_fn(|cx| client.poll_flush(cx)));
    match sent.await {
        Ok(Ok(())) => After::Answered,
        Ok(Err(_)) | Err(_) => After::Gone,
    }
}

/// One admitted exchange and all that it needs.
struct Exchange<'e> {
    gate: &'e Gate,
    worker: &'e Arc<Worker>,
    table: &'e Arc<Table>,
    request: &'e Received,
    asked: Asked<'e>,
    admission: &'e Admission,
    /// Its body, if it is of no dialect and passed through.
    passed: Option<Passed<'e>>,
    id: &'e ExchangeText,
    seat: &'e Seat,
    orders: Orders<'e>,
}

/// The target of an attempt, whose health hears of its answer.
#[derive(Clone, Copy)]
struct Using<'u> {
    target: &'u Target,
    health: &'u health::Target,
    /// Whether its status speaks well of it.
    is_good: bool,
    /// Whether another target would be asked if its answer could not be used.
    has_next: bool,
}

impl Using<'_> {
    /// The answer can be used.
    fn answered(&self) {
        if self.is_good {
            self.health.succeeded();
        }
    }
}

/// A provider's answer of which the head is read.
struct Answered {
    head: h1::ResponseHead,
    answer: upstream::Answer,
    origin: Origin,
}

/// How an attempt at one target ended without an answer to the client.
struct Failed {
    failure: Failure,
    refusal: Refusal,
}

/// What an attempt came to.
enum Attempted {
    Ran(Ran),
    Failed(Failed),
    /// A lever sends it elsewhere: the targets are to be chosen anew.
    Rerouted,
    /// What was asked holds no more: the same target is to be asked anew.
    Outdated,
    Stop(Stop),
}

impl Attempted {
    fn done(after: After) -> Attempted {
        Attempted::Ran(Ran::Done(after))
    }
}

impl Exchange<'_> {
    async fn run<C: Client>(&self, client: &mut C, book: &mut Book<'_>) -> Result<Ran, Stop> {
        let admission = self.admission;
        if self.request.upgrade.is_some() && admission.dialect.is_some() {
            let message = "this path does not switch protocols; send the request without `upgrade`";
            return Err(Refusal::new(Class::BadRequest, message).into());
        }
        book.facts.dialect = admission.dialect;
        self.refuse_unread(book)?;
        if self.attaches() {
            return self.attach(client, book).await;
        }
        let body = self.read_body(client, book, Instant::now() + BODY_TIME_MAX).await?;
        let raw = match &body {
            Body::Whole { raw, .. } => raw.clone(),
            Body::Streamed(_) => Bytes::new(),
        };
        let routed = self.read_view(body, book).and_then(|wanted| {
            let route = self.route(&wanted, book)?;
            Ok((wanted, route))
        });
        let (wanted, route) = match routed {
            Ok(routed) => routed,
            Err(refusal) => {
                record::begin_unrouted(self.gate, &self.asked, client, book, &raw);
                return Err(refusal.into());
            }
        };
        self.take_seat(book, &wanted, route);
        let until = Instant::now() + route.timeouts.total;
        let is_rerouted = self.begin_record(client, book, &wanted, route, &raw, until).await?;
        let attempts = if is_rerouted {
            self.choose_live(&wanted, route)
        } else {
            self.choose(&wanted, route)
        };
        self.refuse_everywhere(book, &wanted, &attempts, &self.table.levers)?;
        self.count(book, &wanted, Some(route))?;
        self.gate.health.request_began();
        self.attempt_all(client, book, &wanted, route, until, attempts).await
    }

    /// Hop 4: the route.
    fn route(&self, wanted: &Wanted, book: &mut Book<'_>) -> Result<&Route, Refusal> {
        let admission = self.admission;
        let query = Query {
            provider: admission.provider,
            app: admission.app,
            agent: book.facts.identity.agent.as_deref(),
            model: wanted.model.as_deref(),
            dialect: admission.dialect,
            path: admission.path(self.asked.path),
            headers: self.asked.headers,
        };
        let Some(index) = self.table.route(&query) else {
            return Err(self.not_found(wanted.model.as_deref()));
        };
        let route = &self.table.routes[usize::from(index.0)];
        let name = route.name.clone();
        book.facts.route = Some(name);
        Ok(route)
    }

    /// Nothing here serves this: says what is served.
    fn not_found(&self, model: Option<&str>) -> Refusal {
        let served = self.table.served_models(self.admission.speaks);
        let models: Vec<&str> = served
            .iter()
            .map(|model| if model == "*" { "any other model" } else { model.as_str() })
            .collect();
        let models = if models.is_empty() { "none".to_owned() } else { models.join(", ") };
        let message = match (self.admission.dialect, model) {
            (Some(dialect), Some(model)) => format!(
                "no route takes model `{}` in {}; models served here: {models}",
                path_for_people(model),
                dialect.name()
            ),
            (Some(_) | None, _) => format!(
                "no route takes {} {}; served here: {PATHS} (models: {models}), and every provider's own paths under /{{provider}}/",
                self.asked.method,
                path_for_people(self.asked.path)
            ),
        };
        Refusal::new(Class::NotFound, message)
    }

    /// One attempt at one target.
    #[expect(clippy::too_many_arguments, reason = "the state of one attempt, all of it used once")]
    async fn attempt<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        wanted: &Wanted,
        route: &Route,
        until: Instant,
        step: &Step,
        attempts: &Attempts,
        under_way: &mut Option<Box<UnderWay>>,
        guard: &mut Guard,
    ) -> Attempted {
        let target = &*step.target;
        let provider = forward::provider(self.table, target);
        book.facts.provider = Some(provider.name.clone());
        book.facts.target = Some(Arc::clone(&target.name));
        book.facts.lever = step.lever;
        if let Err(failed) = self.stand(book, wanted, provider, target) {
            return Attempted::Failed(failed);
        }
        if let Err(attempted) = self.guard(client, book, wanted, route, guard, until).await {
            return attempted;
        }
        if guard.goes_on && is_own(self.table, route, target) {
            let refusal = blocked(&book.facts.found, "request");
            return Attempted::Failed(Failed { failure: Failure::Ruled, refusal });
        }
        let (Some(base), Family::Openai | Family::Anthropic | Family::Gemini | Family::Bedrock) =
            (&provider.base, provider.family)
        else {
            return match under_way.take() {
                Some(begun) => self.go_on_locally(client, book, provider, *begun).await,
                None => {
                    self.answer_locally(client, book, wanted, route, provider, target, guard).await
                }
            };
        };
        let health = self.gate.health.target(&target.name);
        if !health.admit(self.gate.clock.now()) {
            let message = format!(
                "provider `{}` keeps failing and is left alone for a moment",
                provider.name
            );
            return Attempted::Failed(Failed {
                failure: Failure::CircuitOpen,
                refusal: Refusal::new(Class::Unavailable, message),
            });
        }
        let delivered = under_way.as_ref().and_then(|begun| begun.delivered());
        let asked = self.asking(wanted, provider, target, delivered, guard).and_then(|asking| {
            let prepared = self.prepare(wanted, &asking, provider, target, &base.authority)?;
            Ok((asking, prepared))
        });
        let (asking, prepared) = match asked {
            Ok(asked) => asked,
            Err(refusal) => return Attempted::Stop(refusal.into()),
        };
        let losses = asking.losses;
        book.facts.losses.join(losses);
        book.facts.attempts = book.facts.attempts.saturating_add(1);
        let origin = Origin::from(base);
        if let Err(attempted) = self.wait_for_record(client, book, until, |_| Ok(())).await {
            return attempted;
        }
        self.record_sent(client, book, wanted, target, &prepared);
        let sent = self.send(client, book, &origin, &prepared, wanted, route, until).await;
        let (head, answer) = match sent {
            Ok(answered) => answered,
            Err(Attempted::Failed(failed)) => {
                self.failed(&health, failed.failure);
                return Attempted::Failed(failed);
            }
            Err(other) => return other,
        };
        self.record_answer(client, book, &head);
        let failure = match head.status.as_u16() {
            429 => Some(Failure::TooMany),
            status @ 500..=599 => Some(Failure::Status(status)),
            _ => None,
        };
        let has_budget = self.gate.health.has_budget() && matches!(wanted.body, Body::Whole { .. });
        if let Some(failure) = failure {
            self.failed(&health, failure);
            if under_way.is_some() || attempts.would_go_on(failure, has_budget) {
                let message =
                    format!("provider `{}` answered {}", provider.name, head.status.as_u16());
                let refusal = Refusal::new(Class::BadGateway, message);
                return Attempted::Failed(Failed { failure, refusal });
            }
        }
        let has_next = attempts.would_go_on(Failure::Unusable, has_budget);
        let using = Using { target, health: &health, is_good: failure.is_none(), has_next };
        let answered = Answered { head, answer, origin };
        let attempted =
            self.pass_on(client, book, route, until, using, &asking, answered, under_way).await;
        if let Attempted::Failed(failed) = &attempted {
            self.failed(&health, failed.failure);
        }
        attempted
    }

    /// Counts a failure against a target.
    fn failed(&self, health: &health::Target, failure: Failure) {
        let clock = self.gate.clock;
        health.failed(failure, clock.now(), clock.unix_ms());
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one attempt, all of it used once")]
    async fn answer_locally<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        wanted: &Wanted,
        route: &Route,
        provider: &Provider,
        target: &Target,
        guard: &Guard,
    ) -> Attempted {
        let Some(dialect) = self.admission.dialect else {
            let message =
                format!("provider `{}` serves answers only, not this path", provider.name);
            return Attempted::Stop(Refusal::new(Class::NotFound, message).into());
        };
        let request = local::Request {
            dialect,
            is_stream: wanted.is_stream,
            model: forward::model(target, wanted.model.as_deref()).unwrap_or(""),
            prompt: match &wanted.body {
                Body::Whole { raw, plain } => guard.content(plain.as_ref().unwrap_or(raw)),
                Body::Streamed(_) => &[],
            },
            judges: &guard.judges,
            headers: self.answer_headers(book, route, target, Losses::default()),
            id: self.id.as_str(),
            unix_ms: self.gate.clock.unix_ms(),
            script: self.asked.headers.get("x-mock").map(HeaderValue::as_bytes),
            share: self.share(book),
        };
        let has_sent = book.facts.attempts > 0;
        if let Some(track) = client.track().filter(|_| !has_sent) {
            track.answered_here(self.gate.clock.now(), &target.name, request.prompt);
        }
        let done = local::answer(self.gate, &self.orders, client, provider, request).await;
        match done {
            Ok(local::Done { end, counted, seen, found }) => {
                book.learn(&seen);
                book.facts.found.join(found);
                self.seat.ended();
                Attempted::done(Self::close_book(book, StatusCode::OK, end, counted))
            }
            Err(local::Unanswered::Refused(refusal)) => Attempted::Stop(refusal.into()),
            Err(local::Unanswered::Ordered(order)) => self.obey(book, order),
            Err(local::Unanswered::Blocked(found)) => {
                let refusal = blocked(&found, "answer");
                book.facts.found.join(found);
                Attempted::Stop(refusal.into())
            }
        }
    }
}

/// Whether `target` is one of the route's own, no fallback.
fn is_own(table: &Table, route: &Route, target: &Target) -> bool {
    route
        .targets
        .iter()
        .any(|weighted| *table.targets[usize::from(weighted.target.0)].name == *target.name)
}

fn shutting_down() -> Refusal {
    Refusal::new(Class::Unavailable, "Firedoor is shutting down")
}
