//! Rows, read.

use super::super::exchange::{Exchange, Place};
use super::context::{self, Context};
use super::places::read_places;
use crate::id::ExchangeId;
use serde_json::{Value, json};

/// The columns that a [`Row`] is read from, with the names behind their numbers, but for
/// [`context::column`], which comes last.
const PLAIN: &str = "
    e.id, e.exchange, e.began, s.text,
    (SELECT text FROM names WHERE id = e.app), (SELECT text FROM names WHERE id = e.agent),
    (SELECT text FROM names WHERE id = e.route), (SELECT text FROM names WHERE id = e.provider),
    (SELECT text FROM names WHERE id = e.target),
    (SELECT text FROM names WHERE id = e.model_asked),
    (SELECT text FROM names WHERE id = e.model_reported),
    (SELECT text FROM names WHERE id = e.dialect), (SELECT text FROM names WHERE id = e.outcome),
    (SELECT text FROM names WHERE id = e.class), (SELECT text FROM names WHERE id = e.verdict),
    e.trace, e.status, e.latency, e.ttft, e.cost, e.tokens, e.attempts, e.prompt_bytes,
    e.answer_bytes, e.is_stream, e.has_gaps, e.places";

/// All columns that a [`Row`] is read from.
pub(super) fn columns() -> String {
    format!("{PLAIN}, {}", context::column())
}

/// An exchange, as the index has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Its number in the index; later exchanges have larger ones.
    pub number: i64,
    /// Its id.
    pub id: u128,
    /// When it began, in milliseconds since the Unix epoch.
    pub began_unix_ms: u64,
    /// Its session.
    pub session: Option<String>,
    /// The app.
    pub app: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The route.
    pub route: Option<String>,
    /// The provider of the last attempt.
    pub provider: Option<String>,
    /// The target of the last attempt.
    pub target: Option<String>,
    /// The model asked for.
    pub model_asked: Option<String>,
    /// The model that the provider reports.
    pub model_reported: Option<String>,
    /// The caller's dialect.
    pub dialect: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Why it was refused or cut.
    pub class: Option<String>,
    /// What the rules said.
    pub verdict: Option<String>,
    /// The trace.
    pub trace: Option<String>,
    /// The status that the client got.
    pub status: Option<u16>,
    /// From the request's head to the end, in microseconds.
    pub latency_us: Option<u64>,
    /// To the first text, in microseconds.
    pub ttft_us: Option<u64>,
    /// In micro-USD.
    pub cost_micro_usd: Option<u64>,
    /// Of prompt and answer.
    pub tokens: Option<u64>,
    /// Requests to providers.
    pub attempts: u32,
    /// Bytes of the request's body.
    pub prompt_bytes: u64,
    /// Bytes of the answer's body.
    pub answer_bytes: u64,
    /// Whether a stream was asked for.
    pub is_stream: bool,
    /// Whether lines of its record are missing.
    pub has_gaps: bool,
    /// The frames that hold its lines.
    pub places: Vec<Place>,
    /// What was attached to its session before it began.
    pub contexts: Vec<Context>,
}

impl Row {
    /// Its id.
    pub fn exchange(&self) -> ExchangeId {
        ExchangeId(self.id)
    }

    /// What there is to say of an exchange, but for what only an index knows.
    pub fn of(exchange: &Exchange) -> Row {
        let known = &exchange.known;
        Row {
            id: ExchangeId::parse(&exchange.id).map_or(0, |id| id.0),
            began_unix_ms: exchange.began(),
            session: known.session.clone(),
            app: known.app.clone(),
            agent: known.agent.clone(),
            route: known.route.clone(),
            provider: known.provider.clone(),
            target: known.target.clone(),
            model_asked: known.model_asked.clone(),
            model_reported: known.model_reported.clone(),
            dialect: known.dialect.clone(),
            outcome: Some(exchange.outcome().to_owned()),
            class: known.class.clone(),
            verdict: known.verdict.clone(),
            trace: known.trace.clone(),
            status: exchange.status(),
            latency_us: known.total_us,
            ttft_us: known.first_text_us,
            cost_micro_usd: known.cost.0,
            tokens: known.usage.total(),
            attempts: known.attempts,
            prompt_bytes: exchange.prompt_bytes(),
            answer_bytes: known.response_bytes,
            is_stream: known.stream,
            has_gaps: exchange.has_gaps(),
            ..Row::default()
        }
    }

    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
        let number = |at: usize| -> rusqlite::Result<Option<u64>> {
            Ok(row.get::<_, Option<i64>>(at)?.map(i64::unsigned_abs))
        };
        let id: [u8; 16] = row.get(1)?;
        Ok(Row {
            number: row.get(0)?,
            id: u128::from_be_bytes(id),
            began_unix_ms: number(2)?.unwrap_or(0),
            session: row.get(3)?,
            app: row.get(4)?,
            agent: row.get(5)?,
            route: row.get(6)?,
            provider: row.get(7)?,
            target: row.get(8)?,
            model_asked: row.get(9)?,
            model_reported: row.get(10)?,
            dialect: row.get(11)?,
            outcome: row.get(12)?,
            class: row.get(13)?,
            verdict: row.get(14)?,
            trace: row.get(15)?,
            status: row.get(16)?,
            latency_us: number(17)?,
            ttft_us: number(18)?,
            cost_micro_usd: number(19)?,
            tokens: number(20)?,
            attempts: row.get::<_, Option<u32>>(21)?.unwrap_or(0),
            prompt_bytes: number(22)?.unwrap_or(0),
            answer_bytes: number(23)?.unwrap_or(0),
            is_stream: row.get(24)?,
            has_gaps: row.get(25)?,
            places: read_places(row.get_ref(26)?.as_blob()?),
            contexts: context::parse(row.get::<_, Option<String>>(27)?.as_deref()),
        })
    }

    /// For programs; members are named as in the feed of events.
    pub fn as_json(&self) -> Value {
        let ms = |us: Option<u64>| us.map(|us| us as f64 / 1e3);
        json!({
            "id": self.exchange().to_string(),
            "began": super::super::line::moment(self.began_unix_ms),
            "session": self.session,
            "app": self.app,
            "agent": self.agent,
            "route": self.route,
            "provider": self.provider,
            "target": self.target,
            "model_asked": self.model_asked,
            "model_reported": self.model_reported,
            "dialect": self.dialect,
            "outcome": self.outcome,
            "class": self.class,
            "verdict": self.verdict,
            "trace": self.trace,
            "status": self.status,
            "total_ms": ms(self.latency_us),
            "first_text_ms": ms(self.ttft_us),
            "cost_micro_usd": self.cost_micro_usd,
            "tokens": self.tokens,
            "attempts": self.attempts,
            "request_bytes": self.prompt_bytes,
            "response_bytes": self.answer_bytes,
            "stream": self.is_stream,
            "gaps": self.has_gaps,
        })
    }
}
