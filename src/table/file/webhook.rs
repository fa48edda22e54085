//! `match = { webhook = "https://..", timeout_ms = .. }`: a judge outside of the gate.
//!
//! Unlike the rest of a pack, its address and headers are filled in from outside, as they hold
//! credentials. What a model writes waits for it a sentence at a time.

use super::packs::PackReader;
use crate::filter::{Channels, Kind};
use crate::table::reader::{Section, Value};
use crate::table::webhook::Webhook;
use crate::table::{codes, value};

/// The keys that belong to a webhook alone.
const OWN: &[&str] = &["headers", "timeout_ms", "categories"];
/// The longest time of a call.
const TIMEOUT_MS_MAX: u64 = 30_000;
/// Most categories of one webhook.
const CATEGORIES_MAX: usize = 100;

/// The kinds of text that a webhook may judge: those that have sentences.
const JUDGED: [Kind; 10] = [
    Kind::System,
    Kind::User,
    Kind::History,
    Kind::Document,
    Kind::ToolResult,
    Kind::ToolDefinition,
    Kind::Answer,
    Kind::Reasoning,
    Kind::Refusal,
    Kind::ToolArguments,
];

impl PackReader<'_, '_> {
    /// Complains of keys that only a webhook has.
    pub(super) fn no_webhook_keys(&mut self, section: &Section<'_, '_>) {
        for key in OWN {
            if section.get(key).is_some() {
                let message = format!("`{key}` belongs to a `webhook`, and there is none");
                self.reader.report(codes::NOT_HERE, section.key_span(key), message, None);
            }
        }
    }

    pub(super) fn webhook(
        &mut self,
        section: &Section<'_, '_>,
        value: &Value<'_>,
    ) -> Option<Webhook> {
        if self.is_inline {
            let message = "a webhook stands in a pack's file only";
            let help = "it sends prompts to another place: who may write files decides that";
            self.reader.report(codes::NOT_HERE, value.span(), message, Some(help.to_owned()));
            return None;
        }
        let address = self.reader.text(value, "webhook")?;
        let shown = address.raw.clone();
        let url = super::parsed(self.reader, codes::BAD_URL, &address, "webhook", value::base_url);
        let timeout = self.reader.required(section, "timeout_ms", "timeout_ms = 1000")?;
        let timeout = self.reader.integer(timeout, "timeout_ms", 1..=TIMEOUT_MS_MAX)?;
        let model = section.get("model").and_then(|value| self.reader.verbatim(value, "model"));
        let categories = section
            .get("categories")
            .map_or_else(Vec::new, |value| self.words(value, "categories"));
        if let Some(first) = categories.get(CATEGORIES_MAX) {
            super::too_many(self.reader, first.span.clone(), "categories", CATEGORIES_MAX);
        }
        let headers = self.webhook_headers(section.get("headers"));
        Some(Webhook {
            shown,
            url: url?,
            headers,
            model: model.map(|text| text.value),
            categories: categories.into_iter().map(|text| text.value).collect(),
            timeout: std::time::Duration::from_millis(timeout),
        })
    }

    fn webhook_headers(
        &mut self,
        value: Option<&Value<'_>>,
    ) -> Vec<(http::HeaderName, http::HeaderValue)> {
        let mut headers = Vec::new();
        let Some(section) = value.and_then(|value| self.reader.open(value, "headers")) else {
            return headers;
        };
        for (key, span, value) in section.entries() {
            let Some(name) = super::providers::header_name(self.reader, key, &span) else {
                continue;
            };
            let is_credential = ["authorization", "api-key", "x-api-key"].contains(&name.as_str());
            let is_ours = matches!(name.as_str(), "content-type" | "accept");
            let wrong = value::forbidden_header(&name).filter(|_| !is_credential);
            if is_ours || wrong.is_some() {
                let message = format!("`{name}` is written by the gate");
                let help = Some("take it away".to_owned());
                self.reader.report(codes::BAD_HEADER, span, message, help);
                continue;
            }
            let Some(text) = self.reader.text(value, key) else { continue };
            let Ok(mut value) = http::HeaderValue::from_str(&text.value) else {
                let message =
                    format!("the value of `{name}` has characters that no header can carry");
                self.reader.report(codes::BAD_HEADER, text.span, message, None);
                continue;
            };
            value.set_sensitive(is_credential || !text.references.is_empty());
            headers.push((name, value));
        }
        headers
    }

    /// A webhook is not told of names and the like, and cannot be asked by cases.
    pub(super) fn check_webhook(&mut self, section: &Section<'_, '_>, channels: Channels) {
        let others: Channels = Kind::ALL
            .into_iter()
            // `answer` brings `other` with it.
            .filter(|kind| *kind != Kind::Other || !channels.has(Kind::Answer))
            .filter(|kind| channels.has(*kind) && !JUDGED.contains(kind))
            .collect();
        if !others.is_empty() {
            let message = "a webhook is told texts, and these channels have none of their own";
            let help = "channels = [\"user\", \"document\", \"tool_result\", \"answer\"]";
            let span = section.key_span("channels");
            self.reader.report(codes::BAD_RULE, span, message, Some(help.to_owned()));
        }
        if section.get("case").is_some() {
            let message = "the cases of a webhook are not ours to run";
            let span = section.key_span("case");
            self.reader.report(codes::NOT_HERE, span, message, Some("take them away".to_owned()));
        }
    }
}
