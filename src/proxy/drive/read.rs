//! Hop 3: the request's body and what it asks for.

use super::book::Book;
use super::{Exchange, Stop};
use crate::exchange::identity;
use crate::exchange::passed::{Part, Reading, is_compressed};
use crate::proxy::client::{BodyFault, Client};
use crate::wire::coding::{Coding, Inflater};
use crate::wire::models::Named;
use crate::wire::refusal::{Class, Refusal};
use crate::wire::request::{View, opening, view};
use bytes::Bytes;
use http::header;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use tokio::time::Instant;

/// What is asked for, once the body is read.
pub(super) struct Wanted {
    pub(super) model: Option<Arc<str>>,
    /// Where the body names the model.
    pub(super) named: Option<Named>,
    pub(super) is_stream: bool,
    pub(super) body: Body,
}

impl Wanted {
    /// Whether the body went to a provider and is gone.
    pub(super) fn is_spent(&self, book: &Book<'_>) -> bool {
        matches!(self.body, Body::Streamed(_)) && book.facts.attempts > 0
    }
}

/// The request's body.
pub(super) enum Body {
    /// Read whole, as it came; `plain` is its content where it came compressed.
    Whole { raw: Bytes, plain: Option<Bytes> },
    /// Still at the client, but for what was read of it: it goes to the provider piece by piece,
    /// once.
    Streamed(Bytes),
}

impl Body {
    /// How much of it lies before us.
    pub(super) fn part(&self) -> Part {
        match self {
            Body::Whole { plain: None, .. } => Part::Whole,
            Body::Whole { plain: Some(_), .. } => Part::Opened,
            Body::Streamed(_) => Part::Begun,
        }
    }
}

impl Exchange<'_> {
    /// Hop 3, first half: the body's bytes.
    pub(super) async fn read_body<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        until: Instant,
    ) -> Result<Body, Stop> {
        let limit = self.table.server.body_bytes_max as u64;
        let known = self.request.body_bytes;
        let mut reading = self.reading();
        if reading == Reading::Nothing {
            return Ok(Body::Streamed(Bytes::new()));
        }
        let too_large = || {
            let message = format!("the body is larger than {limit} bytes, the limit here");
            Stop::Refuse(Refusal::new(Class::TooLarge, message))
        };
        if reading == Reading::Whole && known.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut raw =
            Vec::with_capacity(usize::try_from(known.unwrap_or(0)).unwrap_or(0).min(1 << 20));
        if known != Some(0) {
            let idle = self.table.server.client_idle_timeout;
            let mut is_seated = false;
            loop {
                let piece_until = until.min(Instant::now() + idle);
                let read = poll_fn(|cx| {
                    if let Poll::Ready(read) = client.poll_body(cx, &mut raw) {
                        return Poll::Ready(Ok(read));
                    }
                    if !is_seated {
                        // Who must wait for its body can be ordered to end meanwhile.
                        self.take_seat_unread();
                        is_seated = true;
                    }
                    self.orders.poll_end(cx).map(Err)
                });
                match tokio::time::timeout_at(piece_until, read).await {
                    Ok(Ok(Ok(true))) => break,
                    Ok(Ok(Ok(false))) => {}
                    Ok(Ok(Err(BodyFault::Gone))) => return Err(Stop::Gone),
                    Ok(Ok(Err(BodyFault::Malformed(why)))) => {
                        let message = format!("the body's framing is broken: {why}");
                        return Err(Refusal::new(Class::BadRequest, message).into());
                    }
                    Ok(Err(order)) => return Err(self.end_unsent(book, order)),
                    Err(_) => {
                        let message = "the body did not come in time";
                        return Err(Refusal::new(Class::BadRequest, message).into());
                    }
                }
                reading = reading.after(&raw);
                if reading == Reading::Nothing {
                    return Ok(Body::Streamed(raw.into()));
                }
                if reading == Reading::Whole && raw.len() as u64 > limit {
                    return Err(too_large());
                }
            }
        }
        if raw.len() as u64 > limit {
            return Err(too_large());
        }
        let plain = self.plain(&raw)?;
        Ok(Body::Whole { raw: raw.into(), plain })
    }

    /// How much of the request's body is read before anything is asked.
    fn reading(&self) -> Reading {
        match &self.passed {
            None => Reading::Whole,
            Some(_) if self.request.upgrade.is_some() => Reading::Nothing,
            Some(passed) => {
                let limit = self.table.server.body_bytes_max as u64;
                passed.reading(self.request.body_bytes, limit, self.may_be_judged())
            }
        }
    }

    /// The content of a compressed body; `None` where it is not compressed, or is not read by us.
    fn plain(&self, raw: &[u8]) -> Result<Option<Bytes>, Refusal> {
        let Some(passed) = &self.passed else {
            let is_compressed = is_compressed(self.asked.headers);
            return is_compressed.then(|| self.inflated(raw)).transpose();
        };
        if !passed.is_opened() {
            return Ok(None);
        }
        match self.inflated(raw) {
            Ok(plain) => Ok(passed.may_name_model(&plain).then_some(plain)),
            Err(refusal) if passed.is_strict() => Err(refusal),
            // What is not what it says is the provider's to refuse.
            Err(_) => Ok(None),
        }
    }

    /// The content of a body that says that it is compressed.
    ///
    /// # Errors
    /// Its coding is not known here, it is broken, or it is larger than the server takes.
    fn inflated(&self, raw: &[u8]) -> Result<Bytes, Refusal> {
        let bad = |why: String| Refusal::new(Class::BadRequest, format!("content-encoding: {why}"));
        let coding = self.asked.headers.get(header::CONTENT_ENCODING);
        let coding = coding.and_then(|coding| coding.to_str().ok()).unwrap_or("?");
        let coding = Coding::parse(coding).map_err(|e| bad(e.to_string()))?;
        let mut inflater =
            Inflater::new(coding, self.table.server.body_bytes_max as u64, super::RATIO_MAX);
        let mut plain = Vec::new();
        inflater.push(raw, &mut plain).and_then(|()| inflater.finish()).map_err(|error| {
            if error.is_limit() {
                Refusal::new(Class::TooLarge, error.to_string())
            } else {
                bad(error.to_string())
            }
        })?;
        Ok(plain.into())
    }

    /// Hop 3, second half: what the body asks for, and who says so.
    pub(super) fn read_view(&self, body: Body, book: &mut Book<'_>) -> Result<Wanted, Refusal> {
        let admission = self.admission;
        let text = match &body {
            Body::Whole { raw, plain } => plain.as_ref().unwrap_or(raw),
            Body::Streamed(early) => early,
        };
        let (mut seen, mut named) = (View::default(), None);
        if let Some(dialect) = admission.dialect {
            seen = view(dialect, text)
                .map_err(|error| Refusal::new(Class::BadRequest, error.to_string()))?;
            named = seen.model_span.map(Named::Json);
        } else if let Some(passed) = &self.passed {
            (seen.model, named) = passed.model(text, body.part())?;
            let first = admission.model.as_deref().or(seen.model.as_deref());
            let came = self.request.target.path_and_query().as_str();
            passed.names_no_other(first, seen.model.as_deref(), came)?;
        }
        let app = admission.app.map(|app| self.table.apps[usize::from(app.0)].name.clone());
        let mut who = identity::read(
            self.asked.headers,
            &self.table.identity,
            &seen.hints,
            |user| self.gate.hash_user(user),
            |user| {
                let opening = opening(admission.dialect?, text)?;
                Some(self.gate.hash_conversation(app.as_ref(), user, &opening))
            },
        );
        self.know_app(&mut who);
        let model: Option<Arc<str>> =
            admission.model.as_deref().or(seen.model.as_deref()).map(Arc::from);
        if admission.dialect.is_some() && model.is_none() {
            let message = "`model` is missing: name the model to ask, as a string";
            return Err(Refusal::new(Class::BadRequest, message));
        }
        let is_stream = admission.stream.unwrap_or(seen.stream) && admission.dialect.is_some();
        let request_bytes = text.len() as u64;
        book.facts.identity = who;
        book.facts.model_asked = model.as_deref().map(identity::cut);
        book.facts.is_stream = is_stream;
        book.facts.request_bytes = request_bytes;
        Ok(Wanted { model, named, is_stream, body })
    }
}
