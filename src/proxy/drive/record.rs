//! What of an exchange goes on record, and when it begins to.
//!
//! The record begins when the route is known, for the route says what may be kept. What is refused
//! before that is on record by its head and by what it was told.

use super::book::Book;
use super::send::Prepared;
use super::{Attempted, Body, Exchange, Interrupt, Stop, Wanted};
use crate::clock::Tick;
use crate::evidence::{Opened, RequestHead, SentBody, Track};
use crate::exchange::admit::Asked;
use crate::exchange::facts::Facts;
use crate::exchange::keepable;
use crate::id::{Epoch, LeverId};
use crate::proxy::client::{Client, Closing};
use crate::proxy::{Gate, h1, relay};
use crate::table::{Capture, Recipient, Route, Target, WhenFull};
use crate::wire::refusal::{Class, Refusal};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::time::Instant;

/// What holds for an exchange when its record begins.
#[derive(Default)]
struct Under {
    epoch: Epoch,
    ruleset: Option<Arc<str>>,
    levers: Vec<LeverId>,
    keep_days: Option<u16>,
}

fn opened(facts: &Facts, began: Tick, under: Under) -> Opened {
    Opened {
        id: facts.id,
        began,
        began_unix_ms: facts.began_unix_ms,
        identity: facts.identity.clone(),
        route: facts.route.clone(),
        dialect: facts.dialect,
        model: facts.model_asked.clone(),
        is_stream: facts.is_stream,
        epoch: under.epoch,
        ruleset: under.ruleset,
        levers: under.levers,
        keep_days: under.keep_days,
    }
}

fn head(asked: &Asked<'_>) -> RequestHead {
    RequestHead {
        method: asked.method.clone(),
        path: keepable::path(asked.path, asked.query).into(),
        headers: keepable::fields(asked.headers),
    }
}

fn begin<C: Client>(
    gate: &Gate,
    asked: &Asked<'_>,
    client: &mut C,
    book: &mut Book<'_>,
    (capture, recipients): (Capture, &Arc<[Recipient]>),
    under: Under,
    body: &Bytes,
) {
    let Some(mut track) = gate.tap.open(capture, opened(&book.facts, book.began, under)) else {
        return;
    };
    track.seal_to(recipients);
    track.request(gate.clock.now(), head(asked), body);
    let closing = book.closing.insert(Closing::default());
    client.record(track, closing.clone());
}

/// Who may read what belongs to no certain route: the recipients of all routes that are sealed.
pub(super) fn sealed_to(routes: &[Route]) -> Arc<[Recipient]> {
    let sealed = routes.iter().filter(|route| route.capture == Capture::Sealed);
    let all: BTreeSet<Recipient> =
        sealed.flat_map(|route| route.originals_to.iter().copied()).collect();
    all.into_iter().collect()
}

/// Puts an exchange on record that is refused before it has a route, as far as the route that says
/// most would; sealed, where any route is.
pub(super) fn begin_unrouted<C: Client>(
    gate: &Gate,
    asked: &Asked<'_>,
    client: &mut C,
    book: &mut Book<'_>,
    body: &Bytes,
) {
    let has_route = book.facts.route.is_some();
    if !gate.tap.is_on() || has_route || client.track().is_some() {
        return;
    }
    let (capture, recipients, epoch) = {
        let table = gate.board.peek();
        let recipients = sealed_to(&table.routes);
        // It may have been meant for a route that is sealed.
        let capture = if recipients.is_empty() {
            table.routes.iter().map(|route| route.capture).max().unwrap_or(Capture::Off)
        } else {
            Capture::Sealed
        };
        (capture, recipients, table.epoch)
    };
    let under = Under { epoch, ..Under::default() };
    begin(gate, asked, client, book, (capture, &recipients), under, body);
}

/// Puts a head on record that could not be read.
pub(super) fn unreadable(gate: &Gate, facts: &Arc<Facts>) {
    let epoch = gate.board.peek().epoch;
    let now = gate.clock.now();
    if let Some(track) =
        gate.tap.open(Capture::Metadata, opened(facts, now, Under { epoch, ..Under::default() }))
    {
        track.close(now, Arc::clone(facts));
    }
}

impl Exchange<'_> {
    /// Waits for the record to take more, where the route says so; `may_wait` is asked again and
    /// again meanwhile.
    ///
    /// # Errors
    /// The client left, an order, the deadline or what `may_wait` says came first, or a part of the
    /// exchange was lost before anything of it was sent.
    pub(super) async fn wait_for_record<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        until: Instant,
        mut may_wait: impl FnMut(&mut Book<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Attempted> {
        let full = || {
            let message = "the record takes no more, and this route does not go on without it (`capture_full = \"block\"`); one request must fit into `[evidence] queue_mb`";
            Attempted::Stop(Refusal::new(Class::Unavailable, message).into())
        };
        while book.waits_for_record && self.gate.tap.is_crowded() {
            may_wait(book).map_err(|refusal| Attempted::Stop(refusal.into()))?;
            let again = tokio::time::sleep(relay::RECORD_LOOK_EVERY);
            match self.race(client, until, again).await {
                Ok(()) => {}
                Err(Interrupt::Gone) => return Err(Attempted::Stop(Stop::Gone)),
                Err(Interrupt::Ordered(order)) => return Err(self.obey(book, order)),
                Err(Interrupt::Late) => return Err(full()),
            }
        }
        // Many may have found room at the same time, and it was not for all of them.
        let is_lost = |track: &mut Track| !track.loss().is_none();
        if book.waits_for_record && client.track().is_some_and(is_lost) {
            return Err(full());
        }
        Ok(())
    }

    /// Puts the exchange on record, as far as its route says, when the record takes it; tells
    /// whether a lever sent the exchange elsewhere meanwhile.
    ///
    /// # Errors
    /// It must be on record, and is not.
    pub(super) async fn begin_record<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        wanted: &Wanted,
        route: &Route,
        body: &Bytes,
        until: Instant,
    ) -> Result<bool, Stop> {
        if !self.gate.tap.is_on() || route.capture == Capture::Off {
            return Ok(false);
        }
        book.waits_for_record = route.when_full == WhenFull::Block;
        // Where it will go is not chosen yet, so no order comes for a provider or a model.
        let mut looked_at = None;
        let may_wait = |book: &mut Book<'_>| {
            let live = self.gate.board.peek();
            if looked_at.replace(live.epoch) == Some(live.epoch) {
                return Ok(());
            }
            let attempts = self.choose_live(wanted, route);
            self.refuse_everywhere(book, wanted, &attempts, &live.levers)
        };
        let waited = self.wait_for_record(client, book, until, may_wait).await;
        let levers = &self.table.levers;
        let under = Under {
            epoch: self.table.epoch,
            ruleset: route.rules.as_ref().map(|rules| Arc::clone(&rules.digest)),
            keep_days: route.kept.days,
            levers: if levers.is_empty() {
                Vec::new()
            } else {
                self.seat.with(|subject| levers.over(subject))
            },
        };
        let kept = (route.capture, &route.originals_to);
        begin(self.gate, &self.asked, client, book, kept, under, body);
        let is_rerouted = match waited {
            Err(Attempted::Stop(stop)) => return Err(stop),
            Err(Attempted::Failed(failed)) => return Err(failed.refusal.into()),
            Err(Attempted::Rerouted) => true,
            // Rules and tools are looked at from here on.
            Err(Attempted::Outdated | Attempted::Ran(_)) | Ok(()) => false,
        };
        if book.waits_for_record
            && let Some(track) = client.track()
        {
            track.flush(self.gate.clock.now());
        }
        Ok(is_rerouted)
    }

    /// Records what is sent to a target.
    pub(super) fn record_sent<C: Client>(
        &self,
        client: &mut C,
        book: &Book<'_>,
        wanted: &Wanted,
        target: &Target,
        prepared: &Prepared,
    ) {
        let Some(track) = client.track() else { return };
        let content = &prepared.content;
        let is_same = match &wanted.body {
            Body::Whole { raw, .. } => {
                raw.as_ptr() == content.as_ptr() && raw.len() == content.len()
            }
            Body::Streamed(_) => true,
        };
        let body = if is_same { SentBody::Same } else { SentBody::Other };
        let body = body(content.clone());
        let now = self.gate.clock.now();
        track.sent(now, attempt(book), &target.name, content.len() as u64, &body);
    }

    /// Records the head of a provider's answer.
    pub(super) fn record_answer<C: Client>(
        &self,
        client: &mut C,
        book: &Book<'_>,
        head: &h1::ResponseHead,
    ) {
        let Some(track) = client.track() else { return };
        let headers = keepable::fields(&head.headers);
        track.received_head(self.gate.clock.now(), attempt(book), head.status.as_u16(), headers);
    }
}

/// The number of the attempt that is under way, from 1.
fn attempt(book: &Book<'_>) -> u16 {
    u16::from(book.facts.attempts)
}
