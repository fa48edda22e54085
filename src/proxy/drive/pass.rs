//! Hops 7 and 8: a provider's answer on its way to the client, as what it is; what is held until it
//! is whole goes through [`super::held`] and [`super::unread`].

use super::asking::Asking;
use super::book::Book;
use super::held::Held;
use super::shape::{coding_of, head_framing, is_document, is_named, is_stream};
use super::under_way::UnderWay;
use super::unread::{Unread, media_of};
use super::{After, Answered, Attempted, Exchange, Failed, Ran, Using};
use crate::exchange::attempts::Failure;
use crate::exchange::facts::Outcome;
use crate::exchange::forward;
use crate::exchange::relay::{CallHold, Plan, Relay, Resume, Sentences};
use crate::exchange::screen::{
    Media, Question, asks_about_answers, asks_about_unknown, reads_answers,
};
use crate::id::LeverId;
use crate::proxy::answer;
use crate::proxy::client::{Client, Framing};
use crate::proxy::h1::{BodyLength, ResponseLength};
use crate::proxy::relay::{self, Answering, Counted, End, Head, Move, Moved, Outside, Waits};
use crate::proxy::upstream::{Answer, Origin};
use crate::proxy::webhook;
use crate::table::{Midstream, Route, Target};
use crate::wire::Dialect;
use crate::wire::framing as frames;
use crate::wire::loss::Losses;
use crate::wire::refusal::{Class, Refusal};
use http::{HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;

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
        asking: &Asking,
        answered: Answered,
        under_way: &mut Option<Box<UnderWay>>,
    ) -> Attempted {
        let Answered { head: upstream, mut answer, origin } = answered;
        let status = upstream.status;
        let mut headers = self.answer_headers(book, route, using.target, asking.losses);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let protocol = upstream.upgrade.clone();
            forward::move_response_headers(upstream.headers, &mut headers);
            return self.switch(client, book, status, &mut headers, protocol, answer);
        }
        let waits = Waits { idle: route.timeouts.idle, total: until };
        let coding = coding_of(&upstream.headers);
        let media = media_of(&upstream.headers);
        let caller = self.admission.dialect;
        let is_foreign = caller != asking.dialect;
        let asked_stream = book.facts.is_stream;
        let streams = is_stream(&upstream.headers, asking.dialect, asked_stream, status);
        // Gemini streams an array to those who do not ask for `alt=sse`.
        let is_array = asked_stream
            && status.is_success()
            && is_named(&upstream.headers, frames::Framing::JsonArray) == Some(true);
        if let Some(mut begun) = under_way.take() {
            let asks_outside = asks_about_answers(&asking.judges);
            let went_on = match (asking.dialect, coding) {
                (Some(source), Some(coding)) if streams && status.is_success() && !asks_outside => {
                    begun.relay.go_on(source, coding, Resume::Prefill).map_err(|b| b.message())
                }
                _ => Err("the next target did not go on with the answer"),
            };
            if let Err(why) = went_on {
                *under_way = Some(begun);
                let refusal = Refusal::new(Class::BadGateway, why);
                return Attempted::Failed(Failed { failure: Failure::Unusable, refusal });
            }
            let UnderWay { mut relay, status, counted, .. } = *begun;
            relay.may_be_taken_over(using.has_next);
            let passing =
                Passing { relay: Some(relay), sentences: None, head: None, status, counted, media };
            return self.pass(client, book, waits, using, passing, answer, origin, under_way).await;
        }
        let mut relay = match (caller, asking.dialect, coding) {
            (Some(client), Some(source), Some(coding)) if streams => Some(Relay::with(&Plan {
                client,
                source,
                coding,
                killed: asking.killed.clone(),
                calls: match route.midstream {
                    // What waits for a judge would be lost to whoever goes on.
                    Midstream::Continue if !asks_about_answers(&asking.judges) => {
                        CallHold::UntilWhole
                    }
                    Midstream::End | Midstream::Continue => CallHold::Never,
                },
                tells_usage: asking.tells_usage,
                began_s: book.facts.began_s(),
                judges: asking.judges.clone(),
            })),
            (Some(Dialect::Gemini), Some(Dialect::Gemini), Some(coding))
                if is_array && asking.killed.is_empty() =>
            {
                Some(Relay::of_array(coding, asking.judges.clone()))
            }
            _ => None,
        };
        if let Some(relay) = &mut relay {
            relay.may_be_taken_over(using.has_next);
        }
        let head_length = head_framing(&upstream.headers);
        if is_foreign {
            forward::move_foreign_headers(upstream.headers, &mut headers);
            let kind = match (&relay, caller) {
                (Some(_), Some(caller)) => caller.framing().content_type(),
                _ => "application/json",
            };
            headers.push((header::CONTENT_TYPE, HeaderValue::from_static(kind)));
        } else {
            forward::move_response_headers(upstream.headers, &mut headers);
        }
        if relay.as_ref().is_some_and(Relay::is_decoded) {
            headers.retain(|(name, _)| *name != header::CONTENT_ENCODING);
        }
        // A stream that is not read is not held back, unless something has to be taken out of it.
        let is_unread_stream = asked_stream && status.is_success();
        if is_unread_stream && is_foreign && relay.is_none() {
            let refusal = Refusal::new(Class::BadGateway, "the provider answered with no stream");
            return Attempted::Failed(Failed { failure: Failure::Unusable, refusal });
        }
        // What says of itself that it is a document can be no stream of any framing.
        let is_document = is_document(&headers);
        if let (Some(dialect), None) = (caller, &relay)
            && (!is_unread_stream
                || is_document
                || !asking.killed.is_empty()
                || !asking.judges.is_empty())
        {
            let must_be_read = is_unread_stream && is_document;
            let has_next = using.has_next;
            let held = Held { dialect, coding, status, headers, has_next, must_be_read };
            let whole = self.hold_whole(client, book, waits, asking, held, &mut answer).await;
            if matches!(whole, Attempted::Ran(Ran::Done(After::Answered))) {
                using.answered();
                self.keep(origin, answer);
            }
            return whole;
        }
        let has_body = self.asked.method != Method::HEAD
            && upstream.body != ResponseLength::Framed(BodyLength::None);
        let is_read = reads_answers(&asking.judges) || asks_about_unknown(&asking.judges);
        if caller.is_none() && has_body && media != Media::Binary && is_read {
            let unread = Unread { coding, media, status, headers };
            let whole = self.hold_unread(client, book, waits, asking, unread, &mut answer).await;
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
        let head = Some(Head { status, headers, framing });
        let counted = Counted { sent: 0, first_byte: None };
        let sentences = match (&relay, caller) {
            (Some(_), Some(caller)) => {
                let framing = if is_array { frames::Framing::JsonArray } else { caller.framing() };
                Sentences::of(&asking.judges, caller, framing).map(Box::new)
            }
            _ => None,
        };
        let passing = Passing { relay, sentences, head, status, counted, media };
        self.pass(client, book, waits, using, passing, answer, origin, under_way).await
    }

    /// Moves an answer that is not held, to its end or to where another provider goes on.
    #[expect(clippy::too_many_arguments, reason = "the state of one attempt, all of it used once")]
    async fn pass<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        waits: Waits,
        using: Using<'_>,
        passing: Passing,
        mut answer: Answer,
        origin: Origin,
        under_way: &mut Option<Box<UnderWay>>,
    ) -> Attempted {
        let Passing { mut relay, sentences, head, status, counted, media } = passing;
        let (worker, telemetry) = (self.worker, &self.gate.telemetry);
        let ask = |questions: Vec<Question>| -> Answering<'_> {
            Box::pin(async move { webhook::ask_all(worker, telemetry, &questions).await })
        };
        let moving = Move {
            answer: &mut answer,
            relay: relay.as_mut(),
            has_next: using.has_next,
            committed: &|| using.answered(),
            head,
            early: Vec::new(),
            id: self.id.as_str(),
            share: self.share(book),
            sent: counted.sent,
            first_byte: counted.first_byte,
            waits_for_record: book.waits_for_record,
            // Few exchanges have one, and it would stand in every open stream.
            outside: sentences.map(|sentences| Box::new(Outside::new(sentences, &ask))),
            ask: Some(&ask),
            found: None,
            is_binary: media == Media::Binary,
        };
        let Moved { end, counted, found } =
            relay::run(self.gate, &self.orders, client, waits, moving).await;
        if let Some(found) = found {
            book.facts.found.join(*found);
        }
        if let Some(relay) = &mut relay {
            book.learn(&relay.seen);
            let losses = relay.losses();
            let lever = relay.lever().and_then(LeverId::parse);
            // Another provider may go on with it: its findings are told by themselves.
            let found = relay.take_found();
            book.facts.found.join(found);
            book.facts.losses.join(losses);
            book.facts.lever = lever.or(book.facts.lever);
        }
        let end = match (end, relay) {
            (End::Unusable(refusal), _) => {
                return Attempted::Failed(Failed { failure: Failure::Unusable, refusal });
            }
            (End::Ordered(order), _) => return self.obey(book, order),
            (End::Blocked(refusal), _) => return Attempted::Stop(refusal.into()),
            (End::Ruled(refusal), _) => {
                return Attempted::Failed(Failed { failure: Failure::Ruled, refusal });
            }
            (End::Broken(refusal, lever), Some(relay)) => {
                // The lever's order is obeyed: its target says nothing more.
                self.seat.ended();
                *under_way = Some(Box::new(UnderWay { relay, status, counted, lever }));
                let failure = if lever.is_some() { Failure::Killed } else { Failure::Unusable };
                book.facts.lever = lever.or(book.facts.lever);
                return Attempted::Failed(Failed { failure, refusal });
            }
            (End::Switched, Some(relay)) => {
                *under_way = Some(Box::new(UnderWay { relay, status, counted, lever: None }));
                return Attempted::Rerouted;
            }
            (end, _) => end,
        };
        if matches!(end, End::Whole) {
            self.keep(origin, answer);
        }
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
        book.facts.status = status.as_u16();
        book.facts.outcome = Outcome::Completed;
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
        losses: Losses,
    ) -> forward::Headers {
        let mut headers = forward::Headers::with_capacity(24);
        let id = answer::value(self.id.as_str());
        let facts = &book.facts;
        let request = facts.identity.request.as_deref().map_or_else(|| id.clone(), answer::value);
        headers.push((answer::name::REQUEST, request));
        if facts.attempts > 0 {
            headers.push((answer::name::ATTEMPT, HeaderValue::from(u16::from(facts.attempts))));
        }
        if let Some(lever) = facts.lever {
            headers.push((answer::name::LEVER, answer::value(&lever.to_string())));
        }
        if let Some(verdict) = facts.found.verdict() {
            headers.push((answer::name::VERDICT, HeaderValue::from_static(verdict.name())));
        }
        if !losses.is_empty() {
            headers.push((answer::name::LOSS, answer::value(&losses.to_string())));
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
            End::Unusable(refusal) | End::Blocked(refusal) | End::Ruled(refusal) => {
                fault = Some(refusal.message.to_string());
                (Outcome::Torn, After::Answered)
            }
            End::Ordered(_) | End::Broken(..) | End::Switched => (Outcome::Torn, After::Answered),
            End::Gone => (Outcome::ClientGone, After::Gone),
        };
        book.facts.status = status.as_u16();
        book.facts.outcome = outcome;
        book.facts.response_bytes = counted.sent;
        book.facts.first_byte = counted.first_byte.map(|at| at.since(began));
        book.facts.lever = lever.or(book.facts.lever);
        book.facts.fault = fault.or(book.facts.fault.take());
        after
    }
}

/// An answer that is moved as it comes.
struct Passing {
    relay: Option<Relay>,
    sentences: Option<Box<Sentences>>,
    head: Option<Head>,
    status: StatusCode,
    counted: Counted,
    media: Media,
}
