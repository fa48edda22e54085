//! Answers that are held until they are whole: what is no stream, in the caller's dialect.
//!
//! Until then nothing of one has left, so that another target can take over, a rule can change or
//! stop it, and a lever can end it with an error that says so.

use super::aside::Content;
use super::asking::Asking;
use super::book::Book;
use super::{Attempted, Exchange, Failed, Interrupt, Stop};
use crate::clock::Tick;
use crate::exchange::attempts::Failure;
use crate::exchange::forward;
use crate::exchange::relay::{Broken, Seen, whole};
use crate::exchange::screen::{Screened, blocked, questions_of_whole, screen_answered};
use crate::id::LeverId;
use crate::proxy::answer;
use crate::proxy::client::{Client, Framing};
use crate::proxy::orders::Ordered;
use crate::proxy::relay::{self, Counted, End, Head, Move, Moved, Waits};
use crate::proxy::upstream::{self, Answer};
use crate::table::rules::Judge;
use crate::wire::Dialect;
use crate::wire::coding::{Coding, Inflater};
use crate::wire::provider_error::{read_error, write_error};
use crate::wire::refusal::{Class, Refusal};
use http::{HeaderValue, StatusCode, header};
use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::Arc;
use tokio::time::Instant;

/// An answer that is not a stream is held whole up to this size, so that another target can take
/// over if it breaks.
pub(super) const HOLD_BYTES_MAX: usize = 16 << 20;

/// How an answer that is held was read.
pub(super) enum Read {
    /// It is whole.
    Whole,
    /// It is larger than [`HOLD_BYTES_MAX`]: so much has come.
    Large,
}

/// An answer that is held until it is whole.
pub(super) struct Held {
    pub(super) dialect: Dialect,
    pub(super) coding: Option<Coding>,
    pub(super) status: StatusCode,
    pub(super) headers: forward::Headers,
    /// Whether another target would be asked if it could not be used.
    pub(super) has_next: bool,
    /// Whether it cannot be used if nothing in it is understood.
    pub(super) must_be_read: bool,
}

/// A whole answer that was read.
struct Answered {
    /// The caller's dialect.
    dialect: Dialect,
    /// The provider's.
    source: Dialect,
    /// Whether another target would be asked if it could not be used.
    has_next: bool,
    until: Instant,
    status: StatusCode,
    body: Vec<u8>,
}

/// Tells the gravest thing that was done in the exchange.
pub(super) fn tell_verdict(book: &Book<'_>, headers: &mut forward::Headers) {
    if let Some(verdict) = book.facts.found.verdict() {
        headers.retain(|(name, _)| *name != answer::name::VERDICT);
        headers.push((answer::name::VERDICT, HeaderValue::from_static(verdict.name())));
    }
}

impl Exchange<'_> {
    /// Reads an answer that is held, up to [`HOLD_BYTES_MAX`].
    pub(super) async fn read_whole<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        waits: Waits,
        answer: &mut Answer,
        body: &mut Vec<u8>,
        first_byte: &mut Option<Tick>,
    ) -> Result<Read, Attempted> {
        loop {
            let until = waits.total.min(Instant::now() + waits.idle);
            self.wait_for_record(client, book, waits.total, |_| Ok(())).await?;
            let before = body.len();
            let read = poll_fn(|cx| answer.poll_body(cx, body));
            let failed = |failure, class, message: String| {
                Err(Attempted::Failed(Failed { failure, refusal: Refusal::new(class, message) }))
            };
            match self.race(client, until, read).await {
                Ok(Ok(piece)) => {
                    let now = self.gate.clock.now();
                    first_byte.get_or_insert(now);
                    if let Some(track) = client.track() {
                        track.received(now, body.get(before..).unwrap_or_default());
                    }
                    if piece == upstream::Piece::End {
                        return Ok(Read::Whole);
                    }
                }
                Ok(Err(fault)) => {
                    return failed(Failure::Connect, Class::BadGateway, fault.message());
                }
                Err(Interrupt::Gone) => return Err(Attempted::Stop(Stop::Gone)),
                Err(Interrupt::Ordered(order)) => return Err(self.obey(book, order)),
                Err(Interrupt::Late) => {
                    let message = "the provider sent nothing for longer than the route allows";
                    return failed(Failure::FirstByteTimeout, Class::Timeout, message.to_owned());
                }
            }
            if body.len() > HOLD_BYTES_MAX {
                return Ok(Read::Large);
            }
        }
    }

    /// Holds an answer that is no stream until it is whole, then sends it.
    pub(super) async fn hold_whole<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        waits: Waits,
        asking: &Asking,
        held: Held,
        answer: &mut Answer,
    ) -> Attempted {
        let Held { dialect, coding, mut status, mut headers, has_next, must_be_read } = held;
        let source = asking.dialect.unwrap_or(dialect);
        let is_edited = |asking: &Asking| {
            source != dialect || !asking.killed.is_empty() || !asking.judges.is_empty()
        };
        let mut body = Vec::new();
        let mut first_byte = None;
        match self.read_whole(client, book, waits, answer, &mut body, &mut first_byte).await {
            Ok(Read::Whole) => {}
            Ok(Read::Large) if is_edited(asking) => {
                let message = "the provider's answer is too large to be translated or guarded";
                let refusal = Refusal::new(Class::BadGateway, message);
                return Attempted::Failed(Failed { failure: Failure::Unusable, refusal });
            }
            Ok(Read::Large) => {
                return self.pass_large(client, book, waits, status, headers, answer, body).await;
            }
            Err(attempted) => return attempted,
        }
        let caught_up = match self.caught_up(book, asking) {
            Ok(caught_up) => caught_up,
            Err(refusal) => return Attempted::Stop(refusal.into()),
        };
        let asking = caught_up.as_ref().unwrap_or(asking);
        let is_edited = is_edited(asking);
        let now = self.gate.clock.now();
        let mut seen = Seen::default();
        let mut is_junk = false;
        match coding {
            Some(Coding::Identity) => {
                seen.whole(source, &body, now);
                is_junk = !seen.is_understood && !is_json(&body);
            }
            Some(coding @ (Coding::Gzip | Coding::Deflate | Coding::Brotli | Coding::Zstd)) => {
                let mut plain = Vec::new();
                let mut inflater = Inflater::new(coding, HOLD_BYTES_MAX as u64, super::RATIO_MAX);
                if let Err(error) = inflater.push(&body, &mut plain)
                    && error.is_limit()
                {
                    let message = format!("the provider's answer cannot be read: {error}");
                    return Attempted::Stop(Refusal::new(Class::BadGateway, message).into());
                }
                seen.whole(source, &plain, now);
                is_junk = !seen.is_understood && !is_json(&plain);
                if is_edited {
                    headers.retain(|(name, _)| *name != header::CONTENT_ENCODING);
                    body = plain;
                }
            }
            None if is_edited => {
                let message = "the provider's answer has a content coding that cannot be read";
                return Attempted::Stop(Refusal::new(Class::BadGateway, message).into());
            }
            None => {}
        }
        // JSON of another kind than an answer may be one that the decoders do not know (a count of
        // tokens): the caller may know it.
        let is_unusable = if source == dialect {
            (has_next || must_be_read) && is_junk
        } else {
            !seen.is_understood
        };
        let is_failed = has_next && seen.error.is_some();
        if status.is_success() && (is_failed || is_unusable) {
            let message = if is_failed {
                Broken::ProviderError.message()
            } else {
                "the provider's answer is none that its dialect knows"
            };
            let refusal = Refusal::new(Class::BadGateway, message);
            return Attempted::Failed(Failed { failure: Failure::Unusable, refusal });
        }
        book.learn(&seen);
        if is_edited {
            let answered = Answered { dialect, source, has_next, until: waits.total, status, body };
            (status, body) = match self.let_leave(client, book, asking, answered).await {
                Ok(left) => left,
                Err(attempted) => return attempted,
            };
            tell_verdict(book, &mut headers);
        }
        let framing = match status {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Framing::Empty,
            _ => Framing::Length(body.len() as u64),
        };
        if let Some(order @ Ordered::Killed(_)) = self.orders.look_for_end() {
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

    /// What rules, judges outside and killed tools let leave of a whole answer; what is ordered
    /// until then it obeys too.
    async fn let_leave<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        asking: &Asking,
        answered: Answered,
    ) -> Result<(StatusCode, Vec<u8>), Attempted> {
        let Answered { dialect, source, has_next, until, status, body } = answered;
        let is_success = status.is_success();
        let judge = move |judges: &[Arc<Judge>], answer: Content| {
            let Screened { body, found } =
                screen_answered(judges, source, is_success, &answer.bytes);
            match body {
                Cow::Borrowed(_) => (answer, found),
                Cow::Owned(bytes) => (Content { bytes, ..answer }, found),
            }
        };
        let refuse = |refusal: Refusal| Attempted::Stop(refusal.into());
        let mut content = Content { coding: Some(Coding::Identity), bytes: body };
        let mut asking = Cow::Borrowed(asking);
        loop {
            let judged = self.judge_answer(client, book, until, &asking, content, judge).await?;
            let (judged_by, left, found) = judged;
            let refusal = found.is_cut().then(|| blocked(&found, "answer"));
            let goes_on = found.is_reroute() && has_next;
            book.facts.found.join(found);
            match refusal {
                Some(refusal) if goes_on => {
                    return Err(Attempted::Failed(Failed { failure: Failure::Ruled, refusal }));
                }
                Some(refusal) => return Err(refuse(refusal)),
                None => {}
            }
            content = left;
            let (leaves_as, body) = self
                .edited(book, dialect, source, &judged_by, status, &content.bytes)
                .map_err(refuse)?;
            let asked = questions_of_whole(&judged_by.judges, dialect, &body);
            self.ask_about_answer(client, book, &asked, has_next, until).await?;
            let Some(mut next) = self.caught_up(book, &judged_by).map_err(refuse)? else {
                let body = match body {
                    Cow::Owned(body) => body,
                    Cow::Borrowed(_) => content.bytes,
                };
                return Ok((leaves_as, body));
            };
            // The others have judged it.
            next.judges.drain(..judged_by.judges.len());
            drop(judged_by);
            asking = Cow::Owned(next);
        }
    }

    /// A whole answer as the caller gets it: in its dialect, without calls to killed tools. A
    /// failure that came as an answer has the status of one, for SDKs raise by it.
    fn edited<'b>(
        &self,
        book: &mut Book<'_>,
        dialect: Dialect,
        source: Dialect,
        asking: &Asking,
        status: StatusCode,
        body: &'b [u8],
    ) -> Result<(StatusCode, Cow<'b, [u8]>), Refusal> {
        let id = self.id.as_str();
        if !status.is_success() {
            if source == dialect {
                return Ok((status, Cow::Borrowed(body)));
            }
            let error = read_error(source, status.as_u16(), body);
            return Ok((status, write_error(dialect, status.as_u16(), &error, id).into()));
        }
        let whole = whole(dialect, source, body, &asking.killed, book.facts.began_s())
            .map_err(|broken| Refusal::new(Class::BadGateway, broken.message()))?;
        let lever = whole.lever.as_deref().and_then(LeverId::parse);
        book.facts.losses.join(whole.losses);
        book.facts.lever = lever.or(book.facts.lever);
        if let Some(error) = whole.failure {
            let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_GATEWAY);
            return Ok((status, write_error(dialect, status.as_u16(), &error, id).into()));
        }
        Ok((status, whole.body))
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
            has_next: false,
            committed: &|| {},
            head: Some(Head { status, headers, framing: Framing::Stream }),
            early: body,
            id: self.id.as_str(),
            share: self.share(book),
            sent: 0,
            first_byte: None,
            waits_for_record: book.waits_for_record,
            outside: None,
            ask: None,
            found: None,
            is_binary: false,
        };
        let Moved { end, counted, found } =
            relay::run(self.gate, &self.orders, client, waits, moving).await;
        if let Some(found) = found {
            book.facts.found.join(*found);
        }
        Attempted::done(Self::close_book(book, status, end, counted))
    }
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}
