//! What the first and the last line of an exchange say of it.

use super::Gap;
use serde::Deserialize;

/// Facts of an exchange. What a line does not say is `None`, empty or zero.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Known {
    /// The authenticated app.
    pub app: Option<String>,
    /// The declared agent.
    pub agent: Option<String>,
    /// The session, declared or inferred.
    pub session: Option<String>,
    /// A keyed hash of the end user.
    pub end_user: Option<String>,
    /// The trace, 32 hexadecimal digits.
    pub trace: Option<String>,
    /// The span that called.
    pub parent_span: Option<String>,
    /// The caller's own id of the request.
    pub client_request: Option<String>,
    /// The route.
    pub route: Option<String>,
    /// The caller's dialect.
    pub dialect: Option<String>,
    /// The model asked for, as the first line has it.
    pub model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The table's number, as the first line has it.
    pub epoch: u64,
    /// Names the rules, as the first line has it.
    pub ruleset: Option<String>,
    /// The levers in force, as the first line has it.
    pub levers: Vec<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Why it was refused or cut.
    pub class: Option<String>,
    /// The status that the client got.
    pub status: u16,
    /// The path.
    pub path: Option<String>,
    /// The provider of the last attempt.
    pub provider: Option<String>,
    /// The target of the last attempt.
    pub target: Option<String>,
    /// The model asked for.
    pub model_asked: Option<String>,
    /// The model that the provider reports.
    pub model_reported: Option<String>,
    /// Requests to providers.
    pub attempts: u32,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// To the provider's first byte.
    pub first_byte_us: Option<u64>,
    /// To the first text.
    pub first_text_us: Option<u64>,
    /// To the end.
    pub total_us: Option<u64>,
    /// Why the model stopped.
    pub stop: Option<String>,
    /// Tokens.
    pub usage: Usage,
    /// What it cost.
    #[serde(rename = "cost_micro_usd")]
    pub cost: Cost,
    /// The lever that acted on it.
    pub lever: Option<String>,
    /// What the rules said, where there were rules.
    pub verdict: Option<String>,
    /// What they found.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub findings_more: u64,
    /// Texts that could not be judged.
    pub unjudged: u64,
    /// What a dialect could not say.
    pub losses: Vec<String>,
    /// Where another provider went on.
    pub seams: Vec<SeamSeen>,
    /// The limit that refused it.
    pub limit: Option<String>,
    /// Loops that were met.
    pub loops: Vec<LoopSeen>,
    /// What went wrong.
    pub fault: Option<String>,
    /// What of its record was lost.
    pub lost: Option<Gap>,
}

/// Micro-USD, where a price is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Cost(pub Option<u64>);

/// Tokens, where the provider counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Of the prompt.
    pub input: Option<u64>,
    /// Of the answer.
    pub output: Option<u64>,
    /// Of the prompt, read from a cache.
    pub cache_read: Option<u64>,
    /// Of the prompt, written to a cache.
    pub cache_write: Option<u64>,
    /// Of the answer, spent on reasoning.
    pub reasoning: Option<u64>,
}

impl Usage {
    /// Prompt and answer together; `None` where nothing was counted.
    pub fn total(&self) -> Option<u64> {
        match (self.input, self.output) {
            (None, None) => None,
            (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        }
    }
}

/// A hit of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Finding {
    /// The rule, `pack/rule`.
    pub rule: String,
    /// On which kind of text.
    pub channel: String,
    /// Where the match begins in its channel, in bytes.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// What was done.
    pub action: String,
    /// Whether the text went on as it was.
    pub passed: bool,
    /// The rule's tags.
    pub tags: Vec<String>,
}

/// Where another provider went on with an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SeamSeen {
    /// Behind how many bytes of text.
    pub at_text_bytes: u64,
    /// The dialect before.
    pub from: String,
    /// The dialect behind.
    pub to: String,
}

/// A loop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LoopSeen {
    /// The limit that met it.
    pub limit: String,
    /// Whose it is.
    pub subject: String,
    /// The tool that is called again and again.
    pub tool: String,
    /// How often.
    pub times: u64,
}

impl Known {
    /// As an `open` line has it; `None` if it cannot be read.
    pub(super) fn of_open(line: &[u8]) -> Option<Known> {
        serde_json::from_slice(line).ok()
    }

    /// As a `close` line has it.
    pub(super) fn of_close(line: &[u8]) -> Known {
        serde_json::from_slice(line).unwrap_or_default()
    }

    /// A beginning, of an exchange that has no end with facts.
    pub(super) fn unended(self) -> Known {
        Known { model_asked: self.model.clone(), ..self }
    }

    /// An end, with what only the beginning says.
    pub(super) fn with_beginning(self, open: Known) -> Known {
        if self.outcome.as_deref() == Some("abandoned") {
            return Known { outcome: self.outcome, lost: self.lost, ..open.unended() };
        }
        Known {
            app: self.app.or(open.app),
            session: self.session.or(open.session),
            route: self.route.or(open.route),
            epoch: open.epoch,
            ruleset: open.ruleset,
            levers: open.levers,
            model: open.model,
            ..self
        }
    }
}
