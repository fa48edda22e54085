//! Recorded requests again, to a running gateway, and how its answers differ from those of then.
//!
//! A request is sent as it was recorded, or to another target: then under the provider's own path,
//! with the target's model in place of the one of then, and in the provider's dialect where that is
//! another. What always holds: so many requests are under way as were allowed, and no more begin
//! once the answers have cost what was allowed; those under way then are the only ones beyond it.
//!
//! What it cannot do: send the credentials of then, which are not on record; the caller names
//! headers for that. It is a new answer of a model, so another text is no fault by itself.

use super::compare::Change;
use super::engine::Why;
use super::said::{Said, said};
use crate::evidence::exchange::{Exchange, Missing};
use crate::exchange::forward;
use crate::table::{Provider, Table, cost};
use crate::telemetry::connect;
use crate::wire::Dialect;
use crate::wire::event::Counts;
use crate::wire::models::Named;
use crate::wire::percent::encoded;
use crate::wire::prompt;
use crate::wire::request::view;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::BodyExt;
use serde::Serialize;
use std::time::{Duration, Instant};

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Fields of then that are sent again.
const SENT_AGAIN: &[&str] = &[
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-encoding",
    "content-type",
    "openai-beta",
];

/// Where requests go.
#[derive(Clone, Debug)]
pub struct Aim {
    /// The gateway.
    pub gate: Uri,
    /// The provider, and the model if another one is asked; `None` sends requests as they were.
    pub target: Option<(String, Option<String>)>,
    /// Fields that are added.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long one answer may take.
    pub patience: Duration,
}

/// A request that is sent again.
#[derive(Debug)]
pub struct Again {
    request: Request<Bytes>,
    /// The dialect of its answer.
    dialect: Dialect,
}

/// An exchange of then and its answer of now.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// The exchange of then.
    pub exchange: String,
    /// The exchange of now, as the gateway names it.
    pub exchange_now: Option<String>,
    /// Why there is no answer.
    pub why: Option<String>,
    /// The status.
    pub status: Change<u16>,
    /// The verdict.
    pub verdict: Change<Option<String>>,
    /// The target.
    pub target: Change<Option<String>>,
    /// Milliseconds to the first byte of the answer.
    pub first_byte_ms: Change<Option<u64>>,
    /// Milliseconds to its end.
    pub total_ms: Change<u64>,
    /// What it costs, in micro-USD.
    pub cost_micro_usd: Option<u64>,
    /// What the answers say.
    pub said: Change<Said>,
    /// Whether the text is another.
    pub text_differs: bool,
    /// Whether other tools are called, or with other arguments.
    pub calls_differ: bool,
}

/// The request of an exchange, to where `aim` says.
///
/// # Errors
/// Why it cannot be sent again.
pub fn again(recorded: &Exchange, table: &Table, aim: &Aim) -> Result<Again, Why> {
    match recorded.missing() {
        // What became of it then does not matter; that it is whole does.
        None | Some(Missing::End) => {}
        Some(missing) => return Err(Why::Missing(missing)),
    }
    let caller = recorded.dialect();
    let Some(caller) = caller else {
        return Err(Why::Unreadable("it is passed through, and asks no model".to_owned()));
    };
    let request = &recorded.request;
    if !request.body.is_kept() || request.body.bytes.is_empty() {
        return Err(Why::Missing(Missing::Texts));
    }
    let unreadable = |what: String| Why::Unreadable(what);
    let body = Bytes::copy_from_slice(&request.body.bytes);
    let (path, body, dialect) = match &aim.target {
        None => (request.path.clone(), body, caller),
        Some((name, model)) => {
            let is_it = |provider: &&Provider| provider.name.as_str() == name;
            let provider = table.providers.iter().find(is_it);
            let source = provider.map_or(caller, |provider| provider.dialect_for(caller));
            if request.headers.iter().any(|(name, _)| name == "content-encoding") {
                return Err(unreadable("its body is compressed".to_owned()));
            }
            let asked = recorded.known.model.as_deref().unwrap_or("");
            let model = model.as_deref().unwrap_or(asked);
            let is_stream = recorded.known.stream;
            let body = if source == caller {
                let seen = view(caller, &body).map_err(|error| unreadable(error.to_string()))?;
                forward::body(&body, seen.model_span.map(Named::Json), Some(asked), Some(model))
            } else {
                let translated = prompt::translate(caller, source, &body, model, is_stream);
                let (body, _) = translated.map_err(|error| unreadable(error.to_string()))?;
                body.into()
            };
            (format!("/{name}{}", path_of(source, model, is_stream)), body, source)
        }
    };
    let base = aim.gate.to_string();
    let uri = format!("{}{path}", base.trim_end_matches('/'));
    let mut builder = Request::builder().method(Method::POST).uri(uri);
    let is_own = dialect == caller;
    for (name, value) in request.headers.iter().filter(|_| is_own) {
        if let Some(value) = value
            && SENT_AGAIN.contains(&&*name.to_ascii_lowercase())
        {
            builder = builder.header(name, value);
        }
    }
    if !is_own {
        builder = builder.header(header::CONTENT_TYPE, "application/json");
        if dialect == Dialect::Anthropic {
            builder = builder.header("anthropic-version", "2023-06-01");
        }
    }
    if let Some(session) = &recorded.known.session {
        builder = builder.header("x-firedoor-session", session);
    }
    for (name, value) in &aim.headers {
        builder = builder.header(name, value);
    }
    let request = builder.body(body).map_err(|error| unreadable(error.to_string()))?;
    Ok(Again { request, dialect })
}

/// Where a model is asked in a dialect.
fn path_of(dialect: Dialect, model: &str, is_stream: bool) -> String {
    let segment = encoded(model);
    match (dialect, is_stream) {
        (Dialect::OpenaiChat, _) => "/v1/chat/completions".to_owned(),
        (Dialect::OpenaiResponses, _) => "/v1/responses".to_owned(),
        (Dialect::Anthropic, _) => "/v1/messages".to_owned(),
        (Dialect::Gemini, true) => {
            format!("/v1beta/models/{segment}:streamGenerateContent?alt=sse")
        }
        (Dialect::Gemini, false) => format!("/v1beta/models/{segment}:generateContent"),
        (Dialect::Bedrock, true) => format!("/model/{segment}/converse-stream"),
        (Dialect::Bedrock, false) => format!("/model/{segment}/converse"),
    }
}

/// What of an answer came.
struct Came {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    first_byte: Option<Duration>,
    total: Duration,
}

/// Sends a request, and lays its answer beside that of then.
pub async fn send(recorded: &Exchange, again: Again, table: &Table, patience: Duration) -> Told {
    let dialect = again.dialect;
    let came = tokio::time::timeout(patience, whole(again.request)).await;
    let mut told = then(recorded);
    match came {
        Ok(Ok(came)) => told.take(&came, dialect, table),
        Ok(Err(why)) => told.why = Some(why),
        Err(_) => told.why = Some("the answer took too long".to_owned()),
    }
    told
}

async fn whole(request: Request<Bytes>) -> Result<Came, String> {
    let began = Instant::now();
    let stream = connect::connect(request.uri()).await.map_err(|fault| fault.to_string())?;
    let answer = connect::send(stream, request).await.map_err(|fault| fault.to_string())?;
    let (head, mut body) = answer.into_parts();
    let (mut all, mut first_byte) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        if let Ok(data) = frame.into_data() {
            first_byte.get_or_insert_with(|| began.elapsed());
            if all.len() + data.len() > ANSWER_BYTES_MAX {
                return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(Came {
        status: head.status.as_u16(),
        headers: head.headers,
        body: all.freeze(),
        first_byte,
        total: began.elapsed(),
    })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What is known of then; now is as then until it is known.
fn then(recorded: &Exchange) -> Told {
    let delivered = &recorded.delivered;
    let dialect = recorded.dialect();
    let said_then = dialect.map_or_else(Said::default, |dialect| {
        said(dialect, delivered.answer().field("content-type"), &delivered.body.bytes)
    });
    let known = &recorded.known;
    let first_byte = delivered.body.chunks.first().map(|chunk| chunk.at_us / 1000);
    Told {
        exchange: recorded.id.clone(),
        exchange_now: None,
        why: None,
        status: Change::none(delivered.status.unwrap_or(0)),
        verdict: Change::none(known.verdict.clone()),
        target: Change::none(known.target.clone()),
        first_byte_ms: Change::none(first_byte),
        total_ms: Change::none(known.total_us.unwrap_or(0) / 1000),
        cost_micro_usd: None,
        said: Change::none(said_then),
        text_differs: false,
        calls_differ: false,
    }
}

impl Told {
    fn take(&mut self, came: &Came, dialect: Dialect, table: &Table) {
        let field = |name: &str| Some(came.headers.get(name)?.to_str().ok()?.to_owned());
        self.exchange_now = field("x-firedoor-exchange");
        self.status.now = came.status;
        // What rules did is said in the head; it says nothing where they found nothing, or later.
        self.verdict.now = field("x-firedoor-verdict");
        if self.verdict.now.is_none() && self.verdict.then.as_deref() == Some("clear") {
            self.verdict.now.clone_from(&self.verdict.then);
        }
        self.target.now = field("x-firedoor-target");
        self.first_byte_ms.now = came.first_byte.map(milliseconds);
        self.total_ms.now = milliseconds(came.total);
        self.said.now = said(dialect, field("content-type").as_deref(), &came.body);
        let Change { then, now } = &self.said;
        self.text_differs = then.text != now.text || then.refusal != now.refusal;
        self.calls_differ = then.calls.len() != now.calls.len()
            || then
                .calls
                .iter()
                .zip(&now.calls)
                .any(|(a, b)| a.tool != b.tool || a.arguments != b.arguments);
        self.cost_micro_usd = self.target.now.as_deref().and_then(|target| {
            let (name, model) = target.split_once('/').unwrap_or((target, ""));
            let provider = table.providers.iter().find(|one| one.name.as_str() == name)?;
            let models = [Some(model), now.model.as_deref()];
            let mut prices = models.into_iter().flatten();
            let price = prices.find_map(|model| table.prices.of(provider, model))?;
            let counts =
                Counts { input: now.input_tokens, output: now.output_tokens, ..Counts::default() };
            Some(cost(&counts, price)?.micro_usd())
        });
    }
}
