//! A rule in words: what it looks for and what it does, for people and for the API.
//!
//! Patterns are the operator's own text and are told whole, but for long lists of words.

use super::rules::{Expect, PackRule, TripScope};
use crate::filter::{Action, Case, Channels, Check, Kind, OnOverflow, Pattern, Redaction, Sum};
use std::fmt::Write as _;

/// The most texts of a list that are told.
const TEXTS_MAX: usize = 5;

/// What a rule does on some kinds of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doing {
    /// The action, as packs name it.
    pub action: &'static str,
    /// What stands in place of hidden text, for the action `redact`.
    pub redact: Option<&'static str>,
    /// The kinds of text.
    pub channels: Channels,
}

/// The names of kinds of text.
pub fn names(channels: Channels) -> Vec<&'static str> {
    Kind::ALL.into_iter().filter(|kind| channels.has(*kind)).map(Kind::name).collect()
}

/// What `rule` does, by kinds of text.
pub fn doings(rule: &PackRule) -> Vec<Doing> {
    let parts = rule.parts.iter().map(|part| (part.action, part.channels));
    let models = rule.models.iter().map(|part| (part.action, part.channels));
    let webhooks = rule.webhooks.iter().map(|part| (part.action, part.channels));
    let mut found: Vec<Doing> = Vec::new();
    for (action, channels) in parts.chain(models).chain(webhooks) {
        let redact = match action {
            Action::Redact(Redaction::Marker) => Some("marker"),
            Action::Redact(Redaction::Hash) => Some("hash"),
            Action::Redact(Redaction::KeepLast4) => Some("keep-last-4"),
            Action::Flag | Action::Cut | Action::Reroute => None,
        };
        let doing = Doing { action: Expect::of(action).name(), redact, channels };
        if !found.contains(&doing) {
            found.push(doing);
        }
    }
    found
}

/// What `rule` looks for, a line a pattern, as packs write it.
pub fn looks_for(rule: &PackRule) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in &rule.parts {
        let mut line = pattern(&part.pattern);
        if part.case == Case::Any && matches!(part.pattern, Pattern::Regex(_)) {
            line.push_str(", in any case");
        }
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let models = rule.models.iter().map(|part| format!("a score above {} of a model", part.above));
    let webhooks = rule.webhooks.iter().map(|part| {
        let webhook = &part.webhook;
        let of = webhook.categories.join(", ");
        let of = if of.is_empty() { of } else { format!(" as {of}") };
        let (shown, ms) = (&webhook.shown, webhook.timeout.as_millis());
        format!("what {shown} flags{of}; a prompt, or each sentence of an answer, waits for it, {ms} ms at most")
    });
    for line in models.chain(webhooks) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

fn pattern(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Literals(texts) => format!("literal {}", listed(texts)),
        Pattern::Words(texts) => format!("words {}", listed(texts)),
        Pattern::Regex(expression) => format!("regex '{expression}'"),
        Pattern::Span(span) => format!(
            "from '{}' to '{}', {} bytes at most; one that is not closed by then is {}",
            span.open,
            span.close,
            span.bytes_max,
            match span.on_overflow {
                OnOverflow::Release => "let go",
                OnOverflow::Block => "cut",
                OnOverflow::Redact => "hidden",
            }
        ),
        Pattern::Detect(detector) => format!("what the detector {} finds", detector.name()),
        Pattern::Checked { expression, by } => format!("regex '{expression}'{}", passing(by)),
    }
}

fn passing(check: &Check) -> String {
    let mut words = String::new();
    if check.sum != Sum::Any
        && let Some((name, _)) = Sum::all().into_iter().find(|(_, sum)| *sum == check.sum)
    {
        words.push_str(", if it passes ");
        words.push_str(name);
        if check.centibits > 0 {
            let _ = write!(words, " with {} bits a byte", f64::from(check.centibits) / 100.0);
        }
    }
    if check.is_mixed {
        words.push_str(", if it mixes letters of both cases and digits");
    }
    if !check.unless.is_empty() {
        let _ = write!(words, ", unless it contains {}", listed(&check.unless));
    }
    words
}

fn listed(texts: &[String]) -> String {
    let shown: Vec<String> = texts.iter().take(TEXTS_MAX).map(|text| format!("{text:?}")).collect();
    let more = texts.len().saturating_sub(TEXTS_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// What a rule's trip kills, as packs write it.
pub fn kills(scope: TripScope) -> &'static str {
    match scope {
        TripScope::Agent => "kill agent",
        TripScope::App => "kill app",
        TripScope::Session => "kill session",
        TripScope::Route => "kill route",
        TripScope::Model => "kill model",
    }
}
