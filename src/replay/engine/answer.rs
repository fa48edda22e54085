//! One provider's answer on its way to the client again: what `proxy::drive::pass`, `unread` and
//! `proxy::relay` do with it, step by step, with the pieces in which it came.

use super::{Delivered, End, HOLD_BYTES_MAX, RATIO_MAX};
use crate::clock::Tick;
use crate::evidence::exchange::{Answer, Attempt, Exchange};
use crate::exchange::relay::{Broken, CallHold, Plan, Relay, Seen, whole};
use crate::exchange::screen::{
    Found, Media, Screened, blocked, cannot_judge, reads_answers, refused, screen_answered,
    screen_unread,
};
use crate::table::Midstream;
use crate::table::lever::KilledTools;
use crate::table::rules::Judge;
use crate::wire::Dialect;
use crate::wire::coding::{Coding, Inflater};
use crate::wire::framing::Framing;
use crate::wire::provider_error::{read_error, write_error};
use crate::wire::refusal::{Class, Refusal};
use crate::wire::request::tells_usage;
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes that may come before the first event; more of them are passed on.
const EARLY_BYTES_MAX: usize = 64 * 1024;

/// What came of an answer.
pub(super) enum Came {
    /// The client gets this.
    Delivered(Delivered),
    /// A rule forbids it before anything was out.
    Refused(Refusal),
    /// A rule sends the exchange to another target.
    Elsewhere,
    /// It cannot be used: another target would be asked.
    Unusable(Refusal),
}

/// An answer that is run again.
pub(super) struct Answering<'a> {
    pub(super) caller: Option<Dialect>,
    pub(super) source: Option<Dialect>,
    pub(super) judges: &'a [Arc<Judge>],
    pub(super) midstream: Midstream,
    pub(super) recorded: &'a Exchange,
    pub(super) attempt: &'a Attempt,
    /// Whether another target was asked after it.
    pub(super) has_next: bool,
    /// What broke it off, where that was not the answer itself.
    pub(super) broke: Option<&'a Refusal>,
}

/// Whether the media type of an answer names `framing`; `None` if it has none.
fn is_named(answer: Answer<'_>, framing: Framing) -> Option<bool> {
    Some(framing.is_named_by(answer.field("content-type")?))
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

impl Answering<'_> {
    /// Runs it: what came of it, and what rules found.
    pub(super) fn run(&self) -> (Came, Found) {
        let answer = self.attempt.answer();
        let is_success = (200..300).contains(&self.status());
        let coding = super::coding(answer.field("content-encoding"));
        let asked_stream = self.recorded.known.stream;
        let framing = self.source.map_or(Framing::Sse, Dialect::framing);
        let streams = is_named(answer, framing).unwrap_or(asked_stream && is_success);
        let is_array =
            asked_stream && is_success && is_named(answer, Framing::JsonArray) == Some(true);
        let mut relay = match (self.caller, self.source, coding) {
            (Some(client), Some(source), Some(coding)) if streams => Some(Relay::with(&Plan {
                client,
                source,
                coding,
                killed: KilledTools::default(),
                calls: match self.midstream {
                    Midstream::End => CallHold::Never,
                    Midstream::Continue => CallHold::UntilWhole,
                },
                tells_usage: tells_usage(client, &self.recorded.request.body.bytes),
                began_s: self.recorded.began_unix_ms / 1000,
                judges: self.judges.to_vec(),
            })),
            (Some(Dialect::Gemini), Some(Dialect::Gemini), Some(coding)) if is_array => {
                Some(Relay::of_array(coding, self.judges.to_vec()))
            }
            _ => None,
        };
        if let Some(relay) = &mut relay {
            relay.may_be_taken_over(self.has_next);
        }
        let is_unread_stream = asked_stream && is_success;
        if is_unread_stream && self.caller != self.source && relay.is_none() {
            let refusal = Refusal::new(Class::BadGateway, "the provider answered with no stream");
            return (Came::Unusable(refusal), Found::default());
        }
        // What is judged when it is whole was not if the client had left by then.
        if self.client_left() && relay.is_none() && !self.has_come_whole(coding) {
            return (self.as_it_came(answer.body.bytes.clone()), Found::default());
        }
        if let (Some(dialect), None) = (self.caller, &relay)
            && (!is_unread_stream || !self.judges.is_empty())
        {
            return self.whole(dialect, coding);
        }
        let media = Media::of(answer.field("content-type"));
        let has_body =
            self.recorded.request.method != "HEAD" && !matches!(self.status(), 204 | 304);
        if self.caller.is_none() && has_body && media != Media::Binary && reads_answers(self.judges)
        {
            return self.unread(coding, media);
        }
        match relay {
            Some(relay) => self.stream(relay),
            None => (self.as_it_came(answer.body.bytes.clone()), Found::default()),
        }
    }

    fn status(&self) -> u16 {
        self.attempt.status.unwrap_or(0)
    }

    /// Whether it is the one in the middle of which the client left.
    fn client_left(&self) -> bool {
        !self.has_next && self.recorded.known.outcome.as_deref() == Some("client_gone")
    }

    /// Whether the provider had said all of it, as far as can be seen.
    fn has_come_whole(&self, coding: Option<Coding>) -> bool {
        let answer = self.attempt.answer();
        let came = &answer.body.bytes;
        match answer.field("content-length").and_then(|length| length.parse::<usize>().ok()) {
            Some(length) => came.len() == length,
            None => super::plain(coding, came).is_some_and(|body| is_json(&body)),
        }
    }

    fn as_it_came(&self, body: Vec<u8>) -> Came {
        Came::Delivered(Delivered { status: self.status(), body, end: End::Whole })
    }

    /// A stream, as `proxy::relay` moves it.
    fn stream(&self, relay: Relay) -> (Came, Found) {
        let mut moving = Moving {
            relay,
            status: self.status(),
            has_next: self.has_next,
            id: &self.recorded.id,
            is_committed: false,
            out: Vec::new(),
        };
        let mut came = None;
        let mut now = Tick::default();
        for (at_us, piece) in self.attempt.received.pieces() {
            now = Tick(at_us.saturating_mul(1000));
            came = moving.take(piece, now, false);
            if came.is_some() {
                break;
            }
        }
        let by_itself = |refusal: &&Refusal| refusal.message == Broken::Unfinished.message();
        let came = match (came, self.broke) {
            (Some(came), _) => came,
            (None, Some(refusal)) if !by_itself(&refusal) => moving.broke(refusal.clone()),
            // What was held then, because a match may have begun in it, was never decided.
            (None, _) if self.client_left() => moving.ended(End::Whole),
            (None, _) => match moving.take(b"", now, true) {
                Some(came) => came,
                None => moving.ended(End::Whole),
            },
        };
        let found = moving.relay.found().cloned().unwrap_or_default();
        (came, found)
    }

    /// An answer that is held until it is whole.
    fn whole(&self, dialect: Dialect, coding: Option<Coding>) -> (Came, Found) {
        let came = &self.attempt.received.bytes;
        let source = self.source.unwrap_or(dialect);
        let is_edited = source != dialect || !self.judges.is_empty();
        let none = Found::default;
        let bad = |message: &str| Refusal::new(Class::BadGateway, message.to_owned());
        if came.len() > HOLD_BYTES_MAX {
            if is_edited {
                let message = "the provider's answer is too large to be translated or guarded";
                return (Came::Unusable(bad(message)), none());
            }
            return (self.as_it_came(came.clone()), none());
        }
        if let Some(refusal) = self.broke {
            return (Came::Unusable(refusal.clone()), none());
        }
        let mut seen = Seen::default();
        let mut is_junk = false;
        let mut body = Cow::Borrowed(&came[..]);
        match coding {
            Some(Coding::Identity) => {
                seen.whole(source, &body, Tick::default());
                is_junk = !seen.is_understood && !is_json(&body);
            }
            Some(coding) => {
                let mut plain = Vec::new();
                let mut inflater = Inflater::new(coding, HOLD_BYTES_MAX as u64, RATIO_MAX);
                if let Err(error) = inflater.push(&body, &mut plain)
                    && error.is_limit()
                {
                    let message = format!("the provider's answer cannot be read: {error}");
                    return (Came::Refused(bad(&message)), none());
                }
                seen.whole(source, &plain, Tick::default());
                is_junk = !seen.is_understood && !is_json(&plain);
                if is_edited {
                    body = Cow::Owned(plain);
                }
            }
            None if is_edited => {
                let message = "the provider's answer has a content coding that cannot be read";
                return (Came::Refused(bad(message)), none());
            }
            None => {}
        }
        let is_success = (200..300).contains(&self.status());
        let is_unusable =
            if source == dialect { self.has_next && is_junk } else { !seen.is_understood };
        let is_failed = self.has_next && seen.error.is_some();
        if is_success && (is_failed || is_unusable) {
            let message = if is_failed {
                Broken::ProviderError.message()
            } else {
                "the provider's answer is none that its dialect knows"
            };
            return (Came::Unusable(bad(message)), none());
        }
        if !is_edited {
            return (self.as_it_came(body.into_owned()), none());
        }
        let Screened { body, found } = screen_answered(self.judges, source, is_success, &body);
        if found.is_cut() {
            let refusal = blocked(&found, "answer");
            let elsewhere = found.is_reroute() && self.has_next;
            return (if elsewhere { Came::Elsewhere } else { Came::Refused(refusal) }, found);
        }
        (self.told(dialect, source, &body), found)
    }

    /// A whole answer in the caller's dialect.
    fn told(&self, dialect: Dialect, source: Dialect, body: &[u8]) -> Came {
        let status = self.status();
        let id = &self.recorded.id;
        let delivered = |status, body| Came::Delivered(Delivered { status, body, end: End::Whole });
        if !(200..300).contains(&status) {
            if source == dialect {
                return delivered(status, body.to_vec());
            }
            let error = read_error(source, status, body);
            return delivered(status, write_error(dialect, status, &error, id));
        }
        match whole(
            dialect,
            source,
            body,
            &KilledTools::default(),
            self.recorded.began_unix_ms / 1000,
        ) {
            Err(broken) => Came::Refused(Refusal::new(Class::BadGateway, broken.message())),
            Ok(whole) => match whole.failure {
                Some(error) => {
                    let status = error.status();
                    delivered(status, write_error(dialect, status, &error, id))
                }
                None => delivered(status, whole.body.into_owned()),
            },
        }
    }

    /// An answer of no dialect, under rules.
    fn unread(&self, coding: Option<Coding>, media: Media) -> (Came, Found) {
        let came = &self.attempt.received.bytes;
        let content = super::plain(coding, came);
        let is_unjudged =
            media == Media::Frames || came.len() > HOLD_BYTES_MAX || content.is_none();
        let Screened { body, found } = match &content {
            Some(content) if !is_unjudged => screen_unread(self.judges, media, content),
            Some(_) | None => {
                let found = cannot_judge(self.judges);
                Screened { body: Cow::Borrowed(&b""[..]), found }
            }
        };
        if found.is_cut() {
            return (Came::Refused(refused(&found, "answer")), found);
        }
        let left = match body {
            Cow::Borrowed(_) => came.clone(),
            Cow::Owned(body) => body,
        };
        (self.as_it_came(left), found)
    }
}

/// An answer that moves, as `proxy::relay::Move` moves it.
struct Moving<'m> {
    relay: Relay,
    status: u16,
    has_next: bool,
    id: &'m str,
    is_committed: bool,
    /// What the client got; what waits for the head, as long as that is not out.
    out: Vec<u8>,
}

impl Moving<'_> {
    fn ended(&mut self, end: End) -> Came {
        let body = std::mem::take(&mut self.out);
        Came::Delivered(Delivered { status: self.status, body, end })
    }

    /// Takes one piece; `None` if the answer goes on.
    fn take(&mut self, piece: &[u8], now: Tick, is_last: bool) -> Option<Came> {
        let before = self.out.len();
        let passed = self.relay.bytes(piece, now, &mut self.out);
        let ended = match passed {
            Ok(()) if is_last => self.relay.end(now, &mut self.out),
            other => other,
        };
        let seen = &self.relay.seen;
        let is_failed = seen.error.is_some() && seen.text_events == 0;
        if !self.is_committed && self.has_next && is_failed {
            self.out.truncate(before);
            let refusal = Refusal::new(Class::BadGateway, Broken::ProviderError.message());
            return Some(Came::Unusable(refusal));
        }
        if !self.is_committed {
            let is_enough = self.out.len() > EARLY_BYTES_MAX || (is_last && ended.is_ok());
            self.is_committed = (seen.began && !self.out.is_empty()) || is_enough;
        }
        match ended {
            Ok(()) if is_last => Some(self.ended(End::Whole)),
            Ok(()) => None,
            Err(broken @ (Broken::Blocked | Broken::Rerouted)) => Some(self.ruled(&broken)),
            Err(broken) => {
                let refusal = Refusal::new(Class::BadGateway, broken.message());
                Some(self.broke(refusal))
            }
        }
    }

    fn ruled(&mut self, broken: &Broken) -> Came {
        let refusal = self.relay.found().map_or_else(
            || Refusal::new(Class::Blocked, broken.message()),
            |found| blocked(found, "answer"),
        );
        let goes_on = *broken == Broken::Rerouted;
        if !self.is_committed {
            return if goes_on { Came::Elsewhere } else { Came::Refused(refusal) };
        }
        if goes_on && self.relay.can_go_on() {
            return Came::Elsewhere;
        }
        self.cut(&refusal)
    }

    fn broke(&mut self, refusal: Refusal) -> Came {
        if self.is_committed && self.relay.end_if_answered(&mut self.out) {
            return self.ended(End::Whole);
        }
        if !self.is_committed {
            return Came::Unusable(refusal);
        }
        self.cut(&refusal)
    }

    fn cut(&mut self, refusal: &Refusal) -> Came {
        if self.relay.can_end_in_dialect() {
            self.relay.cut(refusal, self.id, &mut self.out);
        }
        self.ended(End::Cut)
    }
}
