//! An exchange as a query sees it, wherever it is told of.

use super::super::exchange::Exchange;
use super::super::texts::Said;
use super::{Ask, Mark, Name, Number, Phrase, Texts, marks};
use serde_json::Value;
use std::borrow::Cow;

/// What is known of one exchange.
#[derive(Clone, Debug, Default)]
pub struct Seen<'e> {
    names: Vec<(Name, Cow<'e, str>)>,
    marks: Vec<(Mark, Cow<'e, str>)>,
    numbers: Vec<(Number, u64)>,
    texts: Vec<(Texts, Cow<'e, str>)>,
    has_gaps: bool,
    began_unix_ms: u64,
}

impl<'e> Seen<'e> {
    /// One as the feed tells it.
    pub fn of_event(event: &'e Value) -> Seen<'e> {
        let mut seen = Seen::default();
        let names = [
            (Name::App, "app"),
            (Name::Agent, "agent"),
            (Name::Session, "session"),
            (Name::Route, "route"),
            (Name::Provider, "provider"),
            (Name::Target, "target"),
            (Name::Model, "model_asked"),
            (Name::Model, "model_reported"),
            (Name::Dialect, "dialect"),
            (Name::Outcome, "outcome"),
            (Name::Class, "class"),
            (Name::Verdict, "verdict"),
            (Name::Trace, "trace"),
            (Name::Exchange, "id"),
        ];
        for (name, member) in names {
            seen.names.extend(event[member].as_str().map(|text| (name, Cow::Borrowed(text))));
        }
        for finding in event["findings"].as_array().into_iter().flatten() {
            let rule = finding["rule"].as_str();
            seen.marks.extend(rule.map(|rule| (Mark::Rule, Cow::Borrowed(rule))));
        }
        let lever = event["lever"].as_str();
        seen.marks.extend(lever.map(|lever| (Mark::Lever, Cow::Borrowed(lever))));
        let us = |member: &str| event[member].as_f64().map(|ms| (ms * 1e3).round() as u64);
        let usage = &event["usage"];
        let (input, output) = (usage["input"].as_u64(), usage["output"].as_u64());
        let tokens = (input.is_some() || output.is_some())
            .then(|| input.unwrap_or(0).saturating_add(output.unwrap_or(0)));
        let numbers = [
            (Number::Status, event["status"].as_u64()),
            (Number::Latency, us("total_ms")),
            (Number::Ttft, us("first_text_ms")),
            (Number::Cost, event["cost_micro_usd"].as_u64()),
            (Number::Tokens, tokens),
            (Number::Attempts, event["attempts"].as_u64()),
            (Number::Prompt, event["request_bytes"].as_u64()),
            (Number::Answer, event["response_bytes"].as_u64()),
        ];
        seen.numbers.extend(numbers.into_iter().filter_map(|(name, n)| Some((name, n?))));
        let began = event["began"].as_str().and_then(crate::evidence::line::unix_ms);
        seen.began_unix_ms = began.unwrap_or(0);
        seen
    }

    /// One as the record tells it, without what only its texts tell.
    pub fn of_exchange(exchange: &'e Exchange) -> Seen<'e> {
        let known = &exchange.known;
        let names = [
            (Name::App, &known.app),
            (Name::Agent, &known.agent),
            (Name::Session, &known.session),
            (Name::Route, &known.route),
            (Name::Provider, &known.provider),
            (Name::Target, &known.target),
            (Name::Model, &known.model_asked),
            (Name::Model, &known.model_reported),
            (Name::Dialect, &known.dialect),
            (Name::Class, &known.class),
            (Name::Verdict, &known.verdict),
            (Name::Trace, &known.trace),
        ];
        let mut seen = Seen {
            began_unix_ms: exchange.began(),
            has_gaps: exchange.has_gaps(),
            ..Seen::default()
        };
        for (name, text) in names {
            seen.names.extend(text.as_deref().map(|text| (name, Cow::Borrowed(text))));
        }
        seen.names.push((Name::Outcome, Cow::Borrowed(exchange.outcome())));
        seen.names.push((Name::Exchange, Cow::Borrowed(&exchange.id)));
        let rules = known.findings.iter().map(|one| (Mark::Rule, Cow::Borrowed(&*one.rule)));
        let levers = known.levers.iter().chain(&known.lever);
        let levers = levers.map(|lever| (Mark::Lever, Cow::Borrowed(&**lever)));
        seen.marks.extend(rules.chain(levers));
        let numbers = [
            (Number::Status, exchange.status().map(u64::from)),
            (Number::Latency, known.total_us),
            (Number::Ttft, known.first_text_us),
            (Number::Cost, known.cost.0),
            (Number::Tokens, known.usage.total()),
            (Number::Attempts, Some(u64::from(known.attempts))),
            (Number::Prompt, Some(exchange.prompt_bytes())),
            (Number::Answer, Some(known.response_bytes)),
        ];
        seen.numbers.extend(numbers.into_iter().filter_map(|(name, n)| Some((name, n?))));
        seen
    }

    /// The same with its texts, and the tools that its answers call.
    #[must_use]
    pub fn with_texts(mut self, said: &'e [Said], tools: &'e [String]) -> Seen<'e> {
        self.marks.extend(tools.iter().map(|tool| (Mark::Tool, Cow::Borrowed(&**tool))));
        for said in said {
            self.texts.push((Texts::of(said.kind), Cow::Borrowed(&*said.text)));
            let tool = said.tool.as_deref();
            self.texts.extend(tool.map(|tool| (Texts::Arguments, Cow::Borrowed(tool))));
        }
        self
    }

    /// Whether the exchange is as `ask` says. What is not known of it is not so.
    pub(super) fn answers(&self, ask: &Ask) -> bool {
        match ask {
            Ask::Name(name, patterns) => self.names.iter().any(|(known, text)| {
                known == name && patterns.iter().any(|one| one.matches(text.as_bytes()))
            }),
            Ask::Mark(mark, patterns) => self.marks.iter().any(|(known, text)| {
                known == mark && patterns.iter().any(|one| one.matches(text.as_bytes()))
            }),
            Ask::Number(number, span) => {
                self.numbers.iter().any(|(known, value)| known == number && span.has(*value))
            }
            Ask::Since(moment) => self.began_unix_ms >= *moment,
            Ask::Until(moment) => self.began_unix_ms < *moment,
            Ask::Gaps => self.has_gaps,
            Ask::Words(place, words) => {
                let phrase = [Phrase::of(words)];
                let mut texts = self.texts.iter().filter(|one| place.is_none_or(|at| at == one.0));
                texts.any(|(_, text)| !marks(text, &phrase, 1).is_empty())
            }
        }
    }
}
