//! Hop 5, second half: judges outside of the gate, asked about a prompt that the gate's own rules
//! let pass; and hop 7 of an answer that came whole. Streams are asked about as they go out
//! ([`Outside`](crate::proxy::relay::Outside)).
//!
//! All of a prompt's judges are asked at once, so it waits as long as the slowest of them. A kill,
//! or the client's leaving, ends the wait. Messages that they flagged nothing of are not asked
//! about again as long as a worker remembers them.

use super::book::Book;
use super::guard::KNOWN;
use super::unread::media_of;
use super::{Attempted, Exchange, Failed, Interrupt, Stop};
use crate::exchange::attempts::Failure;
use crate::exchange::screen::{
    Digest, Found, Media, Question, blocked, questions, refused, unasked,
};
use crate::proxy::client::Client;
use crate::proxy::webhook;
use crate::table::rules::Judge;
use crate::wire::refusal::{Class, Refusal};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;

impl Exchange<'_> {
    /// A body that is passed through unread cannot be asked about: `on_error` decides, but for
    /// bytes that are no text by their own word.
    pub(super) fn webhooks_unasked(
        &self,
        book: &mut Book<'_>,
        judges: &[Arc<Judge>],
    ) -> Result<(), Refusal> {
        if media_of(self.asked.headers) == Media::Binary && self.request.upgrade.is_none() {
            return Ok(());
        }
        let found = unasked(judges);
        let refusal = found.is_cut().then(|| refused(&found, "request"));
        book.facts.found.join(found);
        refusal.map_or(Ok(()), Err)
    }

    /// Asks the judges outside about `content`; gives whether another target is to answer. `set` is
    /// the number of the judges.
    pub(super) async fn ask_webhooks<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        judges: &[Arc<Judge>],
        set: u64,
        content: &Bytes,
        until: Instant,
    ) -> Result<bool, Attempted> {
        // Told apart from what the gate's own rules found nothing in.
        let key = |digest: &Digest| (set.rotate_left(1) ^ 1, *digest);
        let is_known = |digest: &Digest| KNOWN.with_borrow(|known| known.has(&key(digest)));
        let (asked, messages) = questions(judges, self.admission.dialect, content, &is_known)
            .map_err(|error| {
                Attempted::Stop(Refusal::new(Class::BadRequest, error.to_string()).into())
            })?;
        if asked.is_empty() {
            return Ok(false);
        }
        let found = self.ask_all(client, book, &asked, until).await?;
        if found.count() == 0 {
            KNOWN.with_borrow_mut(|known| messages.iter().for_each(|one| known.add(key(one))));
        }
        let refusal = (found.is_cut() && !found.is_reroute()).then(|| blocked(&found, "request"));
        let goes_on = found.is_reroute();
        book.facts.found.join(found);
        match refusal {
            Some(refusal) => Err(Attempted::Stop(refusal.into())),
            None => Ok(goes_on),
        }
    }

    /// Asks the judges outside about a whole answer, which may leave if there is no error.
    pub(super) async fn ask_about_answer<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        asked: &[Question],
        has_next: bool,
        until: Instant,
    ) -> Result<(), Attempted> {
        if asked.is_empty() {
            return Ok(());
        }
        let found = self.ask_all(client, book, asked, until).await?;
        let refusal = found.is_cut().then(|| blocked(&found, "answer"));
        let goes_on = found.is_reroute() && has_next;
        book.facts.found.join(found);
        match refusal {
            Some(refusal) if goes_on => {
                Err(Attempted::Failed(Failed { failure: Failure::Ruled, refusal }))
            }
            Some(refusal) => Err(Attempted::Stop(refusal.into())),
            None => Ok(()),
        }
    }

    async fn ask_all<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        asked: &[Question],
        until: Instant,
    ) -> Result<Found, Attempted> {
        // Boxed: few exchanges have these, and they would stand in every open stream.
        let mut all = Box::pin(webhook::ask_all(self.worker, &self.gate.telemetry, asked));
        match self.race(client, until, &mut all).await {
            Ok(found) => Ok(found),
            Err(Interrupt::Gone) => Err(Attempted::Stop(Stop::Gone)),
            Err(Interrupt::Ordered(order)) => Err(self.obey(book, order)),
            Err(Interrupt::Late) => {
                let message = "the judges outside did not answer within the exchange's time";
                Err(Attempted::Stop(Refusal::new(Class::Timeout, message).into()))
            }
        }
    }
}
