//! `POST /v1/context`: what an application retrieved for a model, attached to its exchange.
//!
//! Documents that an application puts into its prompt itself look like any other text of it. Here
//! it can say what they were and where they came from; they go on record beside the exchange, and
//! nowhere else.

use super::book::Book;
use super::{BODY_TIME_MAX, Body, Exchange, Ran, Stop, flush_answer};
use crate::evidence::segment::exchange_id;
use crate::evidence::{Note, PIECE_BYTES_MAX};
use crate::exchange::facts::Outcome;
use crate::proxy::answer;
use crate::proxy::client::{Client, Framing};
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

    /// Puts a context on record.
    ///
    /// # Errors
    /// It is none, or there is no record.
    pub(super) async fn attach<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
    ) -> Result<Ran, Stop> {
        let refuse = |class, message: String| Err(Refusal::new(class, message).into());
        if self.request.body_bytes.is_some_and(|bytes| bytes > PIECE_BYTES_MAX as u64) {
            let message = format!("a context may have {PIECE_BYTES_MAX} bytes; send it in parts");
            return refuse(Class::TooLarge, message);
        }
        let body = self.read_body(client, book, Instant::now() + BODY_TIME_MAX).await?;
        let Body::Whole { raw, .. } = body else {
            return refuse(Class::BadRequest, "send the context with `content-length`".to_owned());
        };
        let shape = "send {\"exchange\": \"x_..\", \"documents\": [..]}, or \"session\" in place of \"exchange\"";
        let context: Context = match serde_json::from_slice(&raw) {
            Ok(context) => context,
            Err(error) => return refuse(Class::BadRequest, format!("{error}; {shape}")),
        };
        let exchange = match context.exchange.as_deref().map(|text| (text, exchange_id(text))) {
            Some((text, None)) => {
                let message = format!("`{}` is no id of an exchange; {shape}", text.escape_debug());
                return refuse(Class::BadRequest, message);
            }
            Some((_, id)) => id,
            None if context.session.is_none() => {
                return refuse(Class::BadRequest, format!("it belongs to nothing; {shape}"));
            }
            None => None,
        };
        if !self.gate.tap.is_on() {
            return refuse(Class::Unavailable, "nothing is recorded here".to_owned());
        }
        let app = self.admission.app.map(|app| self.table.apps[usize::from(app.0)].name.clone());
        self.gate.tap.note(Note {
            at_unix_ms: self.gate.clock.unix_ms(),
            what: "context".into(),
            exchange,
            about: json!({
                "app": app.as_ref().map(crate::id::AppName::as_str),
                "session": context.session,
                "documents": context.documents,
            }),
        });
        let said = b"{\"recorded\":true}\n";
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (answer::name::EXCHANGE, answer::value(self.id.as_str())),
        ];
        client.head(StatusCode::ACCEPTED, &headers, Framing::Length(said.len() as u64));
        client.data(said);
        client.finish();
        book.note(|facts| {
            facts.outcome = Outcome::Completed;
            facts.status = StatusCode::ACCEPTED.as_u16();
        });
        Ok(Ran::Done(flush_answer(client).await))
    }
}
