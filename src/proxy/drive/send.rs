//! Hop 6: the request on its way to a provider, up to the head of the answer.

use super::asking::Asking;
use super::book::Book;
use super::{Attempted, Body, Exchange, Failed, Interrupt, Stop, Wanted};
use crate::exchange::attempts::Failure;
use crate::exchange::{forward, sigv4};
use crate::proxy::client::{BodyFault, Client};
use crate::proxy::h1;
use crate::proxy::upstream::{self, Answer, Origin, UpstreamFault};
use crate::table::{Provider, Route, Target};
use crate::telemetry::UpstreamState;
use crate::wire::refusal::{Class, Refusal};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, header};
use std::future::poll_fn;
use tokio::time::Instant;

/// A body up to this size leaves in one buffer with its head, and so in one segment or few.
const INLINE_BYTES_MAX: usize = 16 * 1024;

/// What is kept of the space in which a piece of an upload passes.
const PIECE_BYTES_MAX: usize = 64 * 1024;

impl Exchange<'_> {
    /// The head of our request to a provider, and its body.
    pub(super) fn prepare(
        &self,
        wanted: &Wanted,
        asking: &Asking,
        provider: &Provider,
        target: &Target,
        authority: &HeaderValue,
    ) -> Result<Prepared, Refusal> {
        let model = forward::model(target, wanted.model.as_deref());
        let foreign = asking.dialect.filter(|dialect| Some(*dialect) != self.admission.dialect);
        let (mut headers, path) = match foreign {
            Some(dialect) => (
                forward::foreign_headers(provider, dialect, &self.asked)?,
                forward::foreign_path(provider, dialect, model, wanted.is_stream),
            ),
            None => (
                forward::request_headers(
                    self.table,
                    provider,
                    self.admission,
                    &self.asked,
                    wanted.is_stream,
                )?,
                forward::path_and_query(self.table, provider, self.admission, &self.asked, model),
            ),
        };
        let mut early = Bytes::new();
        let (body, framing) = match (&wanted.body, &asking.body) {
            (_, Some(body)) => {
                headers.retain(|(name, _)| **name != header::CONTENT_ENCODING);
                (body.clone(), h1::BodyLength::Length(body.len() as u64))
            }
            (Body::Whole { raw, plain }, None) => {
                let asked = wanted.model.as_deref();
                let body: Bytes = match plain {
                    // A name inside a compressed body cannot be replaced: the content goes instead.
                    Some(plain) if wanted.named.is_some() && model != asked => {
                        headers.retain(|(name, _)| **name != header::CONTENT_ENCODING);
                        forward::body(plain, wanted.named, asked, model)
                    }
                    Some(_) => raw.clone(),
                    None => forward::body(raw, wanted.named, asked, model),
                };
                let length = body.len() as u64;
                let has_body = length > 0
                    || self.request.body_bytes.is_none_or(|bytes| bytes > 0)
                    || !matches!(*self.asked.method, Method::GET | Method::HEAD | Method::DELETE);
                let framing =
                    if has_body { h1::BodyLength::Length(length) } else { h1::BodyLength::None };
                (body, framing)
            }
            (Body::Streamed(read), None) => {
                early = forward::body(read, wanted.named, wanted.model.as_deref(), model);
                let framing = match self.request.body_bytes {
                    Some(0) => h1::BodyLength::None,
                    Some(length) => h1::BodyLength::Length(
                        length.saturating_sub(read.len() as u64) + early.len() as u64,
                    ),
                    None => h1::BodyLength::Chunked,
                };
                (Bytes::new(), framing)
            }
        };
        let content = body.clone();
        let inline = if body.len() <= INLINE_BYTES_MAX { body.len() } else { 0 };
        let mut head = Vec::with_capacity(1024 + inline);
        let target = PathAndQuery::from_maybe_shared(Bytes::from(path)).map_err(|_| {
            Refusal::new(Class::BadRequest, "the path cannot be sent to the provider")
        })?;
        if let Some(passed) = &self.passed {
            passed.names_no_other(model, None, target.as_str())?;
        }
        let connection = match &self.request.upgrade {
            Some(protocol) => h1::Connection::Upgrade(protocol),
            None => h1::Connection::KeepAlive,
        };
        let start = h1::RequestStart {
            method: self.asked.method,
            target: &target,
            host: authority,
            body: framing,
            connection,
        };
        let signed = sigv4::Request {
            method: self.asked.method,
            host: authority,
            target: target.as_str(),
            body: &body,
        };
        let is_whole = matches!(wanted.body, Body::Whole { .. });
        let signature =
            forward::signature(provider, &signed, is_whole, &headers, self.gate.clock.unix_ms())?;
        let signed = signature.iter().map(|(name, value)| (name, value));
        h1::write_request_head(&mut head, &start, headers.iter().copied().chain(signed));
        let body = if body.len() <= INLINE_BYTES_MAX {
            head.extend_from_slice(&body);
            Bytes::new()
        } else {
            body
        };
        let is_chunked = framing == h1::BodyLength::Chunked;
        Ok(Prepared { head, content, body, early, is_chunked })
    }

    /// Hop 6: sends the request on a warm or a new connection and reads the answer's head.
    ///
    /// A kept connection that the provider closed while our request was on its way is no failure
    /// of the provider: such a request goes out once more on a new connection.
    #[expect(clippy::too_many_arguments, reason = "the state of one attempt, all of it used once")]
    pub(super) async fn send<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        origin: &Origin,
        prepared: &Prepared,
        wanted: &Wanted,
        route: &Route,
        until: Instant,
    ) -> Result<(h1::ResponseHead, Answer), Attempted> {
        let mut kept = self.worker.pool.take(origin);
        loop {
            let was_kept = kept.is_some();
            let io = if let Some(io) = kept.take() {
                io
            } else {
                let io = self.dial(client, book, origin, route, until).await?;
                self.stay_clear(book).map_err(Attempted::Failed)?;
                io
            };
            let deadline = until.min(Instant::now() + route.timeouts.first_byte);
            let asked = match &wanted.body {
                Body::Whole { .. } => {
                    let asked = ask(io, prepared, self.asked.method);
                    self.race(client, deadline, asked).await.map_err(Unsent::from)
                }
                Body::Streamed(_) => {
                    let mut sent = 0;
                    let asked =
                        self.ask_streaming(client, io, prepared, route, until, &mut sent).await;
                    book.facts.request_bytes = sent;
                    asked
                }
            };
            let failed = |failure, class, message: String| {
                Attempted::Failed(Failed { failure, refusal: Refusal::new(class, message) })
            };
            match asked {
                Ok(Ok((head, mut answer))) => {
                    let meters = self.gate.telemetry.meters();
                    answer.count(meters.upstream_connections(UpstreamState::Busy).hold());
                    return Ok((head, answer));
                }
                Ok(Err(UpstreamFault::Broken(_)))
                    if was_kept && matches!(wanted.body, Body::Whole { .. }) => {}
                Ok(Err(fault @ (UpstreamFault::Broken(_) | UpstreamFault::Connect(_)))) => {
                    return Err(failed(Failure::Connect, Class::BadGateway, fault.message()));
                }
                Ok(Err(fault @ UpstreamFault::Malformed(_))) => {
                    return Err(failed(Failure::Unusable, Class::BadGateway, fault.message()));
                }
                Err(Unsent::Interrupted(Interrupt::Gone)) => {
                    return Err(Attempted::Stop(Stop::Gone));
                }
                Err(Unsent::Interrupted(Interrupt::Ordered(order))) => {
                    return Err(self.obey(book, order));
                }
                // No fault of the provider.
                Err(Unsent::Stalled) => {
                    let message = "the body did not come in time";
                    let refusal = Refusal::new(Class::BadRequest, message);
                    return Err(Attempted::Stop(refusal.into()));
                }
                Err(Unsent::Interrupted(Interrupt::Late)) => {
                    let message = "the provider did not begin to answer in time".to_owned();
                    return Err(failed(Failure::FirstByteTimeout, Class::Timeout, message));
                }
            }
        }
    }

    pub(super) async fn dial<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        origin: &Origin,
        route: &Route,
        until: Instant,
    ) -> Result<upstream::Stream, Attempted> {
        let deadline = until.min(Instant::now() + route.timeouts.connect);
        let meters = self.gate.telemetry.meters();
        let _counted = meters.upstream_connections(UpstreamState::Connecting).hold();
        // Boxed: dialing is rare and its future large, and it would stand in every open stream.
        let dialed = self.race(client, deadline, Box::pin(upstream::dial(origin))).await;
        let failed = |message: String| {
            Attempted::Failed(Failed {
                failure: Failure::Connect,
                refusal: Refusal::new(Class::Unavailable, message),
            })
        };
        match dialed {
            Ok(Ok(io)) => Ok(io),
            Ok(Err(fault)) => Err(failed(fault.message())),
            Err(Interrupt::Gone) => Err(Attempted::Stop(Stop::Gone)),
            Err(Interrupt::Ordered(order)) => Err(self.obey(book, order)),
            Err(Interrupt::Late) => {
                Err(failed("could not connect to the provider in time".to_owned()))
            }
        }
    }

    /// Sends a body that is still at the client, piece by piece, then reads the answer's head.
    pub(super) async fn ask_streaming<C: Client>(
        &self,
        client: &mut C,
        mut io: upstream::Stream,
        prepared: &Prepared,
        route: &Route,
        until: Instant,
        sent: &mut u64,
    ) -> Result<Result<(h1::ResponseHead, Answer), UpstreamFault>, Unsent> {
        self.orders.stay();
        let idle = self.table.server.client_idle_timeout;
        let by = |until: Instant| until.min(Instant::now() + idle);
        let write = upstream::write_all(&mut io, &prepared.head);
        let mut is_open = match self.unless_ended(by(until), write).await {
            Ok(written) => written.is_ok(),
            Err(Interrupt::Late) => false,
            Err(other) => return Err(other.into()),
        };
        let has_body = self.request.body_bytes != Some(0) && self.request.upgrade.is_none();
        let mut piece = prepared.early.to_vec();
        let mut framed = Vec::new();
        let mut done = !has_body;
        while !done && is_open {
            if piece.is_empty() {
                let read = poll_fn(|cx| client.poll_body(cx, &mut piece));
                done = match self.unless_ended(by(until), read).await {
                    Ok(Ok(done)) => done,
                    Ok(Err(BodyFault::Gone | BodyFault::Malformed(_))) => {
                        return Err(Interrupt::Gone.into());
                    }
                    Err(Interrupt::Late) if Instant::now() < until => return Err(Unsent::Stalled),
                    Err(other) => return Err(other.into()),
                };
            }
            *sent += piece.len() as u64;
            framed.clear();
            if prepared.is_chunked {
                if !piece.is_empty() {
                    h1::write_chunk(&mut framed, &piece);
                }
                if done {
                    h1::write_last_chunk(&mut framed, []);
                }
            } else {
                framed.extend_from_slice(&piece);
            }
            piece.clear();
            // What was read before is as large as many pieces.
            piece.shrink_to(PIECE_BYTES_MAX);
            framed.shrink_to(PIECE_BYTES_MAX);
            let write = upstream::write_all(&mut io, &framed);
            is_open = match self.unless_ended(by(until), write).await {
                Ok(written) => written.is_ok(),
                Err(Interrupt::Late) => false,
                Err(other) => return Err(other.into()),
            };
        }
        let deadline = until.min(Instant::now() + route.timeouts.first_byte);
        let received = upstream::receive(io, self.asked.method);
        let received = if done {
            self.race(client, deadline, received).await
        } else {
            // The provider stopped taking the body: it may have said why.
            self.unless_ended(deadline, received).await
        };
        received.map_err(Unsent::from)
    }
}

/// Why a request has no answer.
pub(super) enum Unsent {
    Interrupted(Interrupt),
    /// The client's body stopped coming.
    Stalled,
}

impl From<Interrupt> for Unsent {
    fn from(interrupt: Interrupt) -> Unsent {
        Unsent::Interrupted(interrupt)
    }
}

/// A request to a provider, ready to be sent.
pub(super) struct Prepared {
    head: Vec<u8>,
    /// The whole body, for the record; empty if it is still at the client.
    pub(super) content: Bytes,
    /// What of it does not leave with the head.
    body: Bytes,
    /// What was read of a body that is still at the client.
    early: Bytes,
    is_chunked: bool,
}

/// Sends a whole request and reads the answer's head.
async fn ask(
    mut io: upstream::Stream,
    prepared: &Prepared,
    method: &Method,
) -> Result<(h1::ResponseHead, Answer), UpstreamFault> {
    // A provider may refuse and close before it has read everything; then its answer counts.
    let sent = upstream::send(&mut io, &prepared.head, &prepared.body).await;
    match (upstream::receive(io, method).await, sent) {
        (Err(UpstreamFault::Broken(_)), Err(error)) => Err(UpstreamFault::Broken(error)),
        (received, _) => received,
    }
}
