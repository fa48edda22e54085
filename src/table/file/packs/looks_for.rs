//! What a rule looks for: its `match`, which is a pattern, a model or a webhook, or `any` of several.

use super::super::{integer, too_many};
use super::{LOOKS_FOR, PackReader, Placed, SPAN};
use crate::filter::linear::Model;
use crate::filter::{Case as Letters, Check, OnOverflow, Pattern, Span, Sum};
use crate::table::codes;
use crate::table::reader::{Section, Value};
use crate::table::webhook::Webhook;
use std::ops::Range;
use std::sync::Arc;

/// Most patterns of one rule.
const PATTERNS_MAX: usize = 64;

const OVERFLOWS: &[(&str, OnOverflow)] =
    &[("release", OnOverflow::Release), ("cut", OnOverflow::Block), ("redact", OnOverflow::Redact)];

/// What a rule looks for.
pub(super) enum Looked {
    /// A pattern with the places of its texts.
    Pattern(Pattern, Vec<Placed>, Letters),
    /// What a model scores above this.
    Model(Arc<Model>, f32),
    /// What a judge outside of the gate flags.
    Webhook(Arc<Webhook>),
}

impl PackReader<'_, '_> {
    pub(super) fn looks_for(&mut self, section: &Section<'_, '_>) -> Vec<Looked> {
        let Some(value) = self.reader.required(section, "match", "match = { regex = '..' }") else {
            return Vec::new();
        };
        let Some(section) = self.reader.section(value, "`match`", LOOKS_FOR) else {
            return Vec::new();
        };
        let Some(any) = section.get("any") else {
            return self.pattern(&section).into_iter().collect();
        };
        let mut items = self.reader.array(any, "any").unwrap_or_default();
        if let Some(first) = items.get(PATTERNS_MAX) {
            too_many(self.reader, first.span(), "any", PATTERNS_MAX);
            items.truncate(PATTERNS_MAX);
        }
        items
            .into_iter()
            .filter_map(|item| {
                let section = self.reader.section(item, "an entry of `any`", LOOKS_FOR)?;
                self.pattern(&section)
            })
            .collect()
    }

    fn pattern(&mut self, section: &Section<'_, '_>) -> Option<Looked> {
        let said = section.get("case").and_then(|value| self.reader.verbatim(value, "case"));
        let words = [("exact", Letters::Exact), ("any", Letters::Any)];
        let said = said.and_then(|text| self.reader.word(&text, "case", &words));
        let looked = self.bare_pattern(section)?;
        Some(match looked {
            Looked::Pattern(pattern, placed, case) => {
                Looked::Pattern(pattern, placed, said.unwrap_or(case))
            }
            other @ (Looked::Model(..) | Looked::Webhook(_)) => other,
        })
    }

    /// A pattern with the case of letters that its form has: words are the same in any case.
    fn bare_pattern(&mut self, section: &Section<'_, '_>) -> Option<Looked> {
        if let Some(value) = section.get("webhook") {
            return Some(Looked::Webhook(Arc::new(self.webhook(section, value)?)));
        }
        self.no_webhook_keys(section);
        let check = self.check(section);
        let forms = ["regex", "literal", "literal_file", "words", "words_file", "span", "model"];
        let given: Vec<&str> =
            forms.into_iter().filter(|form| section.get(form).is_some()).collect();
        let Some(&form) = given.first() else {
            let Some(value) = section.get("detect") else {
                let message = "`match` looks for nothing";
                let help =
                    "one of `regex`, `literal`, `words`, `span`, `detect`, `model`, `webhook`";
                let help = Some(help.to_owned());
                self.reader.report(codes::MISSING_KEY, section.span.clone(), message, help);
                return None;
            };
            let check = check?;
            let Some(candidate) = check.sum.candidate() else {
                let message = "this detector checks what a `regex` finds, and there is none";
                let help = Some("add `regex`, the expression of its candidates".to_owned());
                self.reader.report(codes::MISSING_KEY, value.span(), message, help);
                return None;
            };
            let at = self.placed(value.span(), "");
            return Some(Looked::Pattern(
                Pattern::Checked { expression: candidate.to_owned(), by: check },
                vec![Placed { is_exact: false, ..at }],
                Letters::Exact,
            ));
        };
        if let Some(second) = given.get(1) {
            let message = format!("`match` has `{form}` and `{second}`");
            let help = Some("one form each: put them into `any = [{ .. }, { .. }]`".to_owned());
            self.reader.report(codes::NOT_HERE, section.key_span(second), message, help);
            return None;
        }
        let value = section.get(form)?;
        match form {
            "regex" => {
                let text = self.reader.verbatim(value, "regex")?;
                let at = self.placed(text.span.clone(), &text.value);
                let pattern = match check {
                    Some(by) => Pattern::Checked { expression: text.value, by },
                    None => Pattern::Regex(text.value),
                };
                Some(Looked::Pattern(pattern, vec![at], Letters::Exact))
            }
            "literal" | "words" => {
                let texts = self.words(value, form);
                let places =
                    texts.iter().map(|text| self.placed(text.span.clone(), &text.value)).collect();
                let texts = texts.into_iter().map(|text| text.value).collect();
                let pattern =
                    if form == "words" { Pattern::Words(texts) } else { Pattern::Literals(texts) };
                Some(Looked::Pattern(pattern, places, Letters::Any))
            }
            "words_file" | "literal_file" => self.list_file(form, value),
            "model" => self.model(section, value),
            _ => self.span(value),
        }
    }

    /// A model and the score above which it suspects a text.
    fn model(&mut self, section: &Section<'_, '_>, value: &Value<'_>) -> Option<Looked> {
        let text = self.reader.verbatim(value, "model")?;
        let bytes = self.reader.bytes(&text, "model")?;
        let above = section.get("above");
        let above = above.and_then(|value| self.reader.number(value, "above", -1e6..=1e6));
        match Model::parse(&bytes) {
            Ok(model) => Some(Looked::Model(Arc::new(model), above.unwrap_or(0.0) as f32)),
            Err(fault) => {
                let message = format!("`model`: {fault}");
                self.reader.report(codes::BAD_RULE, text.span, message, None);
                None
            }
        }
    }

    /// A file of words: one a line; empty lines and lines that begin with `#` are none.
    fn list_file(&mut self, form: &str, value: &Value<'_>) -> Option<Looked> {
        let text = self.reader.verbatim(value, form)?;
        let content = self.reader.file(&text, form)?;
        let words: Vec<String> = content
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect();
        let at = Placed { span: text.span, is_exact: false };
        let places = vec![at; words.len()];
        let pattern =
            if form == "words_file" { Pattern::Words(words) } else { Pattern::Literals(words) };
        Some(Looked::Pattern(pattern, places, Letters::Any))
    }

    fn span(&mut self, value: &Value<'_>) -> Option<Looked> {
        let section = self.reader.section(value, "`span`", SPAN)?;
        let open = self.required(&section, "open", "open = '-----BEGIN'")?;
        let close = self.required(&section, "close", "close = '-----END'")?;
        let bytes_max = integer(self.reader, Some(&section), "max", 1..=1 << 24).unwrap_or(4096);
        let on_overflow = section.get("on_overflow");
        let on_overflow = on_overflow.and_then(|value| self.reader.verbatim(value, "on_overflow"));
        let on_overflow =
            on_overflow.and_then(|text| self.reader.word(&text, "on_overflow", OVERFLOWS));
        let places = vec![
            self.placed(open.span.clone(), &open.value),
            self.placed(close.span.clone(), &close.value),
        ];
        let span = Span {
            open: open.value,
            close: close.value,
            bytes_max,
            on_overflow: on_overflow.unwrap_or(OnOverflow::Redact),
        };
        Some(Looked::Pattern(Pattern::Span(span), places, Letters::Exact))
    }

    fn check(&mut self, section: &Section<'_, '_>) -> Option<Check> {
        let mut check = match section.get("detect") {
            Some(value) => {
                let text = self.reader.verbatim(value, "detect")?;
                Check::from(self.reader.word(&text, "detect", &Sum::all())?)
            }
            None if ["mixed", "unless"].iter().any(|key| section.get(key).is_some()) => {
                Check::from(Sum::Any)
            }
            None => return None,
        };
        if let Some(value) = section.get("bits") {
            let bits = self.reader.number(value, "bits", 0.0..=8.0)?;
            check.centibits = (bits * 100.0).round() as u16;
        }
        if let Some(value) = section.get("mixed") {
            check.is_mixed = self.reader.truth(value, "mixed")?;
        }
        if let Some(value) = section.get("unless") {
            check.unless = self.words(value, "unless").into_iter().map(|text| text.value).collect();
        }
        Some(check)
    }

    fn placed(&self, span: Range<usize>, text: &str) -> Placed {
        let inner = self.source.get(span.start + 1..span.end.saturating_sub(1));
        Placed { is_exact: inner == Some(text), span }
    }
}
