//! What is passed through under rules: bodies of no dialect.
//!
//! Without rules they are not read. Under rules a body is held until it is whole and judged as the
//! text that it is; what cannot be judged (a stream of frames, a websocket, what is too large to
//! hold) gets the rules' `on_error`, so that nothing passes them unseen.

use super::aside::{self, Content};
use super::asking::Asking;
use super::book::Book;
use super::guard::Guard;
use super::held::{HOLD_BYTES_MAX, Read, tell_verdict};
use super::{Attempted, Exchange};
use crate::exchange::forward;
use crate::exchange::screen::{
    Found, Media, Screened, asks_about_unknown, cannot_judge, questions_of_unread, refused,
    screen_unread, unknown_unasked,
};
use crate::proxy::client::{Client, Framing};
use crate::proxy::orders::Ordered;
use crate::proxy::relay::{self, Counted, End, Waits};
use crate::proxy::upstream::Answer;
use crate::table::rules::Judge;
use crate::wire::coding::{Coding, Inflater};
use crate::wire::refusal::Refusal;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use std::borrow::Cow;
use std::sync::Arc;

/// An answer of no dialect, and how it comes.
pub(super) struct Unread {
    pub(super) coding: Option<Coding>,
    pub(super) media: Media,
    pub(super) status: StatusCode,
    pub(super) headers: forward::Headers,
}

/// What the media type of a message says.
pub(super) fn media_of(headers: &HeaderMap) -> Media {
    Media::of(headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("")))
}

/// The content of `body`; `None` if its coding cannot be undone.
fn content(coding: Option<Coding>, body: &[u8]) -> Option<Cow<'_, [u8]>> {
    match coding? {
        Coding::Identity => Some(Cow::Borrowed(body)),
        coding => {
            let mut plain = Vec::new();
            let mut inflater = Inflater::new(coding, HOLD_BYTES_MAX as u64, super::RATIO_MAX);
            inflater.push(body, &mut plain).and_then(|()| inflater.finish()).ok()?;
            Some(Cow::Owned(plain))
        }
    }
}

impl Exchange<'_> {
    /// Whether rules may be in force over what is passed through; which ones only its route says.
    pub(super) fn may_be_judged(&self) -> bool {
        self.table.routes.iter().any(|route| route.rules.is_some())
            || self.gate.board.peek().levers.has_filters()
    }

    /// Judges a request that is passed through.
    ///
    /// # Errors
    /// A rule forbids it, or it cannot be judged and rules say that then it must not pass.
    pub(super) async fn guard_unread(
        &self,
        book: &mut Book<'_>,
        raw: Option<Bytes>,
        coding: Option<Coding>,
        guard: &mut Guard,
    ) -> Result<(), Refusal> {
        let media = media_of(self.asked.headers);
        let Screened { body, found } = match raw {
            // A websocket, or what is too large to be read.
            None if media == Media::Binary && self.request.upgrade.is_none() => return Ok(()),
            None => unjudged(&guard.judges),
            Some(raw) => {
                let judges = guard.judges.clone();
                let length = raw.len();
                let judged = aside::judged(length, move || match content(coding, &raw) {
                    Some(content) => Some(owned(screen_unread(&judges, media, &content))),
                    None if media == Media::Binary => None,
                    None => Some(unjudged(&judges)),
                });
                let Some(judged) = judged.await? else { return Ok(()) };
                judged
            }
        };
        let refusal = found.is_cut().then(|| refused(&found, "request"));
        book.facts.found.join(found);
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        if let Cow::Owned(body) = body {
            guard.body = Some(body.into());
        }
        Ok(())
    }

    /// Holds an answer of no dialect until it is whole, and sends what rules let leave.
    pub(super) async fn hold_unread<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        waits: Waits,
        asking: &Asking,
        unread: Unread,
        answer: &mut Answer,
    ) -> Attempted {
        let Unread { coding, media, status, mut headers } = unread;
        let (mut body, mut first_byte) = (Vec::new(), None);
        let is_frames = media == Media::Frames;
        if !is_frames {
            match self.read_whole(client, book, waits, answer, &mut body, &mut first_byte).await {
                Ok(Read::Whole) => {}
                Ok(Read::Large) => {
                    let found = unjudged_answer(&asking.judges).found;
                    if let Err(refusal) = let_pass(book, found) {
                        return Attempted::Stop(refusal.into());
                    }
                    return self
                        .pass_large(client, book, waits, status, headers, answer, body)
                        .await;
                }
                Err(attempted) => return attempted,
            }
        }
        let judge = move |judges: &[Arc<Judge>], answer: Content| {
            let Screened { body, found } = match content(answer.coding, &answer.bytes) {
                _ if is_frames => unjudged_answer(judges),
                Some(content) => owned(screen_unread(judges, media, &content)),
                None => unjudged_answer(judges),
            };
            match body {
                Cow::Borrowed(_) => (answer, found),
                Cow::Owned(bytes) => (Content { coding: Some(Coding::Identity), bytes }, found),
            }
        };
        let mut answered = Content { coding, bytes: body };
        let mut asking = Cow::Borrowed(asking);
        loop {
            let judged =
                self.judge_answer(client, book, waits.total, &asking, answered, judge).await;
            let (judged_by, left, found) = match judged {
                Ok(judged) => judged,
                Err(attempted) => return attempted,
            };
            if let Err(refusal) = let_pass(book, found) {
                return Attempted::Stop(refusal.into());
            }
            answered = left;
            if !is_frames
                && asks_about_unknown(&judged_by.judges)
                && let Some(content) = content(answered.coding, &answered.bytes)
            {
                let asked = questions_of_unread(&judged_by.judges, media, &content);
                let asked = self.ask_about_answer(client, book, &asked, false, waits.total).await;
                if let Err(attempted) = asked {
                    return attempted;
                }
            }
            let mut next = match self.caught_up(book, &judged_by) {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(refusal) => return Attempted::Stop(refusal.into()),
            };
            // The others have judged it.
            next.judges.drain(..judged_by.judges.len());
            drop(judged_by);
            asking = Cow::Owned(next);
        }
        if answered.coding != coding {
            headers.retain(|(name, _)| *name != header::CONTENT_ENCODING);
        }
        let body = answered.bytes;
        tell_verdict(book, &mut headers);
        if is_frames {
            return self.pass_large(client, book, waits, status, headers, answer, body).await;
        }
        if let Some(order @ Ordered::Killed(_)) = self.orders.look_for_end() {
            return self.obey(book, order);
        }
        client.head(status, &headers, Framing::Length(body.len() as u64));
        client.data(&body);
        client.finish();
        let counted = Counted { sent: body.len() as u64, first_byte };
        let end = relay::flush(&self.orders, client, waits.total, End::Whole).await;
        self.seat.ended();
        Attempted::done(Self::close_book(book, status, end, counted))
    }
}

/// Notes what was found in an answer, or refuses it.
fn let_pass(book: &mut Book<'_>, found: Found) -> Result<(), Refusal> {
    let refusal = found.is_cut().then(|| refused(&found, "answer"));
    book.facts.found.join(found);
    refusal.map_or(Ok(()), Err)
}

fn unjudged(judges: &[Arc<Judge>]) -> Screened<'static> {
    Screened { body: Cow::Borrowed(b""), found: cannot_judge(judges) }
}

/// The same of an answer, of which judges outside of the gate may have to be told.
fn unjudged_answer(judges: &[Arc<Judge>]) -> Screened<'static> {
    let mut unjudged = unjudged(judges);
    unjudged.found.join(unknown_unasked(judges));
    unjudged
}

fn owned(screened: Screened<'_>) -> Screened<'static> {
    let Screened { body, found } = screened;
    let body = match body {
        Cow::Borrowed(_) => Cow::Borrowed(&b""[..]),
        Cow::Owned(body) => Cow::Owned(body),
    };
    Screened { body, found }
}
