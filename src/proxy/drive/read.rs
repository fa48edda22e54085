//! Hop 3: the request's body and what it asks for.

use super::book::Book;
use super::{Body, Exchange, Stop, Wanted};
use crate::exchange::identity;
use crate::proxy::client::{BodyFault, Client};
use crate::wire::Dialect;
use crate::wire::coding::{Coding, Inflater};
use crate::wire::refusal::{Class, Refusal};
use crate::wire::request::{Hints, View, opening, view};
use bytes::Bytes;
use http::header;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use tokio::time::Instant;

/// A body that is passed through is read whole up to this size, so that it can be sent again; where
/// rules may be in force over it, any that the server takes is.
const WHOLE_BYTES_MAX: u64 = 1 << 20;

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
        if self.admission.dialect.is_none() {
            let is_small = if self.may_be_judged() || self.says_json() {
                known.is_none_or(|length| length <= limit)
            } else {
                known.is_some_and(|length| length <= WHOLE_BYTES_MAX)
            };
            if self.request.upgrade.is_some() || !is_small {
                return Ok(Body::Streamed);
            }
        }
        let too_large = || {
            let message = format!("the body is larger than {limit} bytes, the limit here");
            Stop::Refuse(Refusal::new(Class::TooLarge, message))
        };
        if known.is_some_and(|length| length > limit) {
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
                if raw.len() as u64 > limit {
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

    /// Whether a body that is passed through says that it is JSON: its model is looked for.
    fn says_json(&self) -> bool {
        let kind = self.asked.headers.get(header::CONTENT_TYPE);
        kind.and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/json"))
    }

    /// The content of a compressed body; `None` where it is not compressed, or is not read by us.
    pub(super) fn plain(&self, raw: &[u8]) -> Result<Option<Bytes>, Refusal> {
        let Some(coding) = self.asked.headers.get(header::CONTENT_ENCODING) else {
            return Ok(None);
        };
        if self.admission.dialect.is_none() {
            return Ok(None);
        }
        let bad = |why: String| Refusal::new(Class::BadRequest, format!("content-encoding: {why}"));
        let coding =
            Coding::parse(coding.to_str().unwrap_or("?")).map_err(|e| bad(e.to_string()))?;
        if coding == Coding::Identity {
            return Ok(None);
        }
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
        Ok(Some(plain.into()))
    }

    /// Hop 3, second half: what the body asks for, and who says so.
    pub(super) fn read_view(&self, body: Body, book: &mut Book<'_>) -> Result<Wanted, Refusal> {
        let admission = self.admission;
        let empty = Bytes::new();
        let text = match &body {
            Body::Whole { raw, plain } => plain.as_ref().unwrap_or(raw),
            Body::Streamed => &empty,
        };
        let seen = match admission.dialect {
            Some(dialect) => view(dialect, text)
                .map_err(|error| Refusal::new(Class::BadRequest, error.to_string()))?,
            None => self.passing_view(text),
        };
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
        book.note(|facts| {
            facts.identity = who;
            facts.model_asked = model.as_deref().map(identity::cut);
            facts.is_stream = is_stream;
            facts.request_bytes = request_bytes;
        });
        let model_span = seen.model_span;
        Ok(Wanted { model, model_span, is_stream, body })
    }

    /// The model that a passed-through JSON body names, for routing; nothing else is read of it.
    pub(super) fn passing_view<'t>(&self, text: &'t [u8]) -> View<'t> {
        let begins = text.iter().find(|byte| !byte.is_ascii_whitespace());
        if begins != Some(&b'{') || self.asked.headers.contains_key(header::CONTENT_ENCODING) {
            return View::default();
        }
        // A body that is not what it says is the provider's to refuse.
        let seen = view(Dialect::OpenaiChat, text).unwrap_or_default();
        View { stream: false, hints: Hints::default(), ..seen }
    }
}
