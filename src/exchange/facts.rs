//! What is known of an exchange when it is over.
//!
//! One of these leaves the data path per exchange; metrics, spans, the event feed and, later, the
//! record are all made from it, so they cannot disagree.

use super::limits::LoopMet;
use super::relay::Seam;
use super::screen::{Done, Found};
use crate::id::{AppName, ExchangeId, LeverId, ProviderName, RouteName};
use crate::wire::Dialect;
use crate::wire::event::{Counts, StopReason};
use crate::wire::loss::Losses;
use crate::wire::refusal::Class;
use std::sync::Arc;
use std::time::Duration;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The provider's answer went out whole, with a status below 400.
    Completed,
    /// The provider's own error answer (status 400 or more) went out.
    ProviderError,
    /// Firedoor answered itself.
    Refused(Class),
    /// The stream was under way and was ended by us, in its dialect.
    Cut(Class),
    /// The stream was under way and could only be torn down.
    Torn,
    /// The client left before the end.
    ClientGone,
}

impl Outcome {
    /// The names of all.
    pub const NAMES: [&'static str; 6] = [
        Outcome::Completed.name(),
        Outcome::ProviderError.name(),
        Outcome::Refused(Class::Internal).name(),
        Outcome::Cut(Class::Internal).name(),
        Outcome::Torn.name(),
        Outcome::ClientGone.name(),
    ];

    /// Why we refused or cut it.
    pub fn class(self) -> Option<Class> {
        match self {
            Outcome::Refused(class) | Outcome::Cut(class) => Some(class),
            Outcome::Completed | Outcome::ProviderError | Outcome::Torn | Outcome::ClientGone => {
                None
            }
        }
    }

    /// The name as labels and records write it.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::ProviderError => "provider_error",
            Outcome::Refused(_) => "refused",
            Outcome::Cut(_) => "cut",
            Outcome::Torn => "torn",
            Outcome::ClientGone => "client_gone",
        }
    }
}

/// Who asked, as far as is known. All but the app are hints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The authenticated app.
    pub app: Option<AppName>,
    /// The declared agent.
    pub agent: Option<Arc<str>>,
    /// The declared session.
    pub session: Option<Arc<str>>,
    /// A keyed hash of the declared end user; never the text itself.
    pub end_user: Option<Box<str>>,
    /// The W3C trace id, 32 hexadecimal digits, if the caller sent a valid `traceparent`.
    pub trace: Option<Box<str>>,
    /// The parent id of that `traceparent`, 16 hexadecimal digits.
    pub parent_span: Option<Box<str>>,
    /// The caller's own request id.
    pub request: Option<Box<str>>,
}

/// One exchange, after the fact.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its id.
    pub id: ExchangeId,
    /// When its head had been read, in milliseconds since the Unix epoch.
    pub began_unix_ms: u64,
    /// Who asked.
    pub identity: Identity,
    /// Method and path without query, as received; the path is cut to 256 bytes.
    pub path: Box<str>,
    /// The dialect; `None` for what was passed through.
    pub dialect: Option<Dialect>,
    /// The route that took it.
    pub route: Option<RouteName>,
    /// The provider of the last attempt.
    pub provider: Option<ProviderName>,
    /// The target of the last attempt.
    pub target: Option<Arc<str>>,
    /// The model asked for.
    pub model_asked: Option<Box<str>>,
    /// The model that the provider reports.
    pub model_reported: Option<Box<str>>,
    /// Whether a stream was asked for.
    pub is_stream: bool,
    /// The status that the client got; 0 if it got none.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// Requests sent to providers.
    pub attempts: u8,
    /// Bytes of the request body.
    pub request_bytes: u64,
    /// Bytes of the answer body written to the client.
    pub response_bytes: u64,
    /// From the request's head to the provider's first byte.
    pub first_byte: Option<Duration>,
    /// From the request's head to the first text of the answer.
    pub first_text: Option<Duration>,
    /// From the request's head to the end.
    pub total: Duration,
    /// Text events in the answer.
    pub text_events: u64,
    /// Why the model stopped (the last choice's reason).
    pub stop: Option<StopReason>,
    /// Tokens.
    pub usage: Counts,
    /// The lever that refused it, cut it, or sent it elsewhere.
    pub lever: Option<LeverId>,
    /// Whether rules were in force over it.
    pub is_judged: bool,
    /// What rules found in the prompt and in the answer.
    pub found: Found,
    /// What the caller's dialect, or the provider's, could not say.
    pub losses: Losses,
    /// Where another provider went on with the answer.
    pub seams: Vec<Seam>,
    /// What it cost in micro-USD, by the provider's own count; `None` without a count or a price.
    pub cost_micro_usd: Option<u64>,
    /// The limit that refused it.
    pub limit: Option<Arc<str>>,
    /// The loops that were met with its answer.
    pub loops_met: Vec<LoopMet>,
    /// What went wrong, in words without secrets.
    pub fault: Option<String>,
}

impl Facts {
    /// Facts of an exchange of which nothing is known yet.
    pub fn blank(id: ExchangeId, began_unix_ms: u64, path: Box<str>) -> Facts {
        Facts {
            id,
            began_unix_ms,
            identity: Identity::default(),
            path,
            dialect: None,
            route: None,
            provider: None,
            target: None,
            model_asked: None,
            model_reported: None,
            is_stream: false,
            status: 0,
            outcome: Outcome::ClientGone,
            attempts: 0,
            request_bytes: 0,
            response_bytes: 0,
            first_byte: None,
            first_text: None,
            total: Duration::ZERO,
            text_events: 0,
            stop: None,
            usage: Counts::default(),
            lever: None,
            is_judged: false,
            found: Found::default(),
            losses: Losses::default(),
            seams: vec![],
            cost_micro_usd: None,
            limit: None,
            loops_met: Vec::new(),
            fault: None,
        }
    }

    /// When it began, seconds since the epoch.
    pub fn began_s(&self) -> u64 {
        self.began_unix_ms / 1000
    }

    /// What rules said, where they were in force.
    pub fn verdict(&self) -> Option<&'static str> {
        self.is_judged.then(|| Done::verdict(self.found.verdict()))
    }
}
