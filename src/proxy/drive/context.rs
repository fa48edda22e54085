//! `POST /v1/context`: what an application retrieved for a model, attached to its exchange.
//!
//! Documents that an application puts into its prompt itself look like any other text of it. Here
//! it can say what they were and where they came from; they go on record beside the exchange, and
//! nowhere else.

use super::book::Book;
use super::record::sealed_to;
use super::{BODY_TIME_MAX, Body, Exchange, Ran, Stop, flush_answer};
use crate::evidence::{Note, Noted, PIECE_BYTES_MAX};
use crate::exchange::facts::Outcome;
use crate::id::ExchangeId;
use crate::proxy::answer;
use crate::proxy::client::{Client, Framing};
use crate::table::Capture;
use crate::wire::refusal::{Class, Refusal};
use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

/// The path.
const PATH: &str = "/v1/context";

/// What is attached.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    /// The exchange that it belongs to, as `x-firedoor-exchange` named it.
    exchange: Option<String>,
    /// The session that it belongs to, where the exchange is still to come.
    session: Option<String>,
    /// What was retrieved, in whatever form the application has it.
    documents: Vec<Value>,
}

impl Exchange<'_> {
    /// Whether the request attaches a context.
    pub(super) fn attaches(&self) -> bool {
        self.asked.path == PATH && *self.asked.method == Method::POST
    }

    /// Puts a context on record. It is counted like any request, and kills of whoever sends it
    /// stand before it.
    ///
    /// # Errors
    /// It is none, a limit is met, or there is nothing that would take it whole.
    pub(super) async fn attach<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
    ) -> Result<Ran, Stop> {
        let refuse = |class, message: String| Err(Refusal::new(class, message).into());
        let too_large = || {
            let message = format!("a context may have {PIECE_BYTES_MAX} bytes; send it in parts");
            Refusal::new(Class::TooLarge, message)
        };
        if self.request.body_bytes.is_some_and(|bytes| bytes > PIECE_BYTES_MAX as u64) {
            return Err(too_large().into());
        }
        if self.asked.headers.contains_key(header::CONTENT_ENCODING) {
            return refuse(Class::BadRequest, "send the context uncompressed".to_owned());
        }
        let body = self.read_body(client, book, Instant::now() + BODY_TIME_MAX).await?;
        let Body::Whole { raw, .. } = &body else {
            return refuse(Class::BadRequest, "send the context with `content-length`".to_owned());
        };
        let raw = raw.clone();
        let wanted = self.read_view(body, book)?;
        self.count(book, &wanted, None)?;
        let (exchange, session, documents) = belongs(&raw)?;
        let routes = &self.table.routes;
        // It does not say on which route it will be used: where one is sealed, it is too.
        let sealed_to = sealed_to(routes);
        if sealed_to.is_empty() && !routes.iter().any(|route| route.capture == Capture::Full) {
            let message =
                "no route here keeps all texts on record (`capture`), so no context is kept";
            return refuse(Class::Unavailable, message.to_owned());
        }
        let app = self.admission.app.map(|app| self.table.apps[usize::from(app.0)].name.clone());
        let app = app.as_ref().map(crate::id::AppName::as_str);
        let mut about = json!({ "app": app, "session": session });
        let part = json!({ "documents": documents });
        if sealed_to.is_empty() {
            about["documents"] = part["documents"].clone();
        }
        let (at_unix_ms, what) = (self.gate.clock.unix_ms(), "context".into());
        let note = Note { at_unix_ms, what, exchange, about };
        let noted = if sealed_to.is_empty() {
            self.gate.tap.note(note)
        } else {
            self.gate.tap.note_sealed(note, &part, sealed_to)
        };
        match noted {
            Noted::Taken => {}
            Noted::TooLarge => return Err(too_large().into()),
            Noted::Lost => {
                let message =
                    "the record takes nothing now, so the context is lost; send it again later";
                return refuse(Class::Unavailable, message.to_owned());
            }
            Noted::Off => {
                return refuse(Class::Unavailable, "nothing is recorded here".to_owned());
            }
        }
        let said = b"{\"accepted\":true}\n";
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (answer::name::EXCHANGE, answer::value(self.id.as_str())),
        ];
        client.head(StatusCode::ACCEPTED, &headers, Framing::Length(said.len() as u64));
        client.data(said);
        client.finish();
        book.facts.outcome = Outcome::Completed;
        book.facts.status = StatusCode::ACCEPTED.as_u16();
        Ok(Ran::Done(flush_answer(client).await))
    }
}

/// The exchange or the session that a context is attached to, and its documents.
type Belonging = (Option<ExchangeId>, Option<String>, Vec<Value>);

/// What a context is attached to, and what it is.
fn belongs(raw: &[u8]) -> Result<Belonging, Refusal> {
    const SHAPE: &str = "send {\"exchange\": \"x_..\", \"documents\": [..]}, or \"session\" in place of \"exchange\"";
    let bad = |why: String| Refusal::new(Class::BadRequest, format!("{why}; {SHAPE}"));
    let context: Context = serde_json::from_slice(raw).map_err(|error| bad(error.to_string()))?;
    let exchange = match context.exchange.as_deref() {
        Some(text) => Some(
            ExchangeId::parse(text)
                .ok_or_else(|| bad(format!("`{}` is no id of an exchange", text.escape_debug())))?,
        ),
        None if context.session.is_none() => return Err(bad("it belongs to nothing".to_owned())),
        None => None,
    };
    Ok((exchange, context.session, context.documents))
}
