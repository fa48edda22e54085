//! A pack: a file of rules under `filters/`. Its shape is in docs/filters.md.
//!
//! Nothing in a pack is filled in from outside but the address and headers of a webhook: `${` is what
//! some rules look for.

use super::{integer, list, too_many};
use crate::filter::linear::Model;
use crate::filter::{
    Action, Case as Letters, Channels, Check, Kind, OnOverflow, Pattern, Redaction, Rule, Span, Sum,
};
use crate::table::reader::{Reader, Section, Text, Value, shown};
use crate::table::rules::{
    Case, Demote, Expect, Mode, ModelPart, OnError, Pack, PackRule, Trip, TripScope,
};
use crate::table::webhook::{Webhook, WebhookPart};
use crate::table::{codes, value};
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Keys of a pack.
pub(crate) const PACK: &[&str] = &["pack", "about", "rule"];
/// Keys of `[[rule]]`.
pub(crate) const RULE: &[&str] = &[
    "id", "about", "channels", "match", "action", "redact", "mode", "on_error", "trip", "demote",
    "tags", "case",
];
/// Keys of `match`.
pub(crate) const LOOKS_FOR: &[&str] = &[
    "regex",
    "literal",
    "literal_file",
    "words",
    "words_file",
    "span",
    "detect",
    "model",
    "any",
    "bits",
    "mixed",
    "unless",
    "above",
    "case",
    "webhook",
    "headers",
    "timeout_ms",
    "categories",
];
/// Keys of `span`.
pub(crate) const SPAN: &[&str] = &["open", "close", "max", "on_overflow"];
/// Keys of `trip`.
pub(crate) const TRIP: &[&str] = &["after", "within", "lever"];
/// Keys of `demote`.
pub(crate) const DEMOTE: &[&str] = &["above", "of", "within"];
/// Keys of `[[rule.case]]`.
pub(crate) const CASE: &[&str] = &["text", "channel", "expect"];

/// Most rules of a pack.
const RULES_MAX: usize = 10_000;
/// The longest time in which hits are counted.
const DAY_SECONDS: u64 = 86_400;
/// Most patterns of one rule.
const PATTERNS_MAX: usize = 64;

const ACTIONS: &[(&str, Expect)] = &[
    ("flag", Expect::Flag),
    ("redact", Expect::Redact),
    ("cut", Expect::Cut),
    ("reroute", Expect::Reroute),
];
const EXPECTS: &[(&str, Expect)] = &[
    ("clear", Expect::Clear),
    ("flag", Expect::Flag),
    ("redact", Expect::Redact),
    ("cut", Expect::Cut),
    ("reroute", Expect::Reroute),
];
const REDACTIONS: &[(&str, Redaction)] = &[
    ("marker", Redaction::Marker),
    ("hash", Redaction::Hash),
    ("keep-last-4", Redaction::KeepLast4),
];
const OVERFLOWS: &[(&str, OnOverflow)] =
    &[("release", OnOverflow::Release), ("cut", OnOverflow::Block), ("redact", OnOverflow::Redact)];
const ON_ERROR: &[(&str, OnError)] = &[("cut", OnError::Cut), ("pass", OnError::Pass)];
const TRIPS: &[(&str, TripScope)] = &[
    ("kill agent", TripScope::Agent),
    ("kill app", TripScope::App),
    ("kill session", TripScope::Session),
    ("kill route", TripScope::Route),
    ("kill model", TripScope::Model),
];

/// A text of a rule's pattern, and where it stands.
#[derive(Clone, Debug)]
pub(in crate::table) struct Placed {
    pub(in crate::table) span: Range<usize>,
    /// Whether every byte of the text is one byte of the file, behind one quote.
    pub(in crate::table) is_exact: bool,
}

/// A pack that was read, and where its rules stand in it.
#[derive(Debug)]
pub(in crate::table) struct Read {
    pub(in crate::table) pack: Pack,
    /// For each rule, for each of its parts: the places of the texts of its pattern.
    pub(in crate::table) places: Vec<Vec<Vec<Placed>>>,
}

/// Reads a pack; `None` if it has no name.
pub(in crate::table) fn read(
    reader: &mut Reader<'_>,
    root: &Spanned<DeTable<'_>>,
    file: Option<&Path>,
    source: &str,
    is_inline: bool,
) -> Option<Read> {
    let root = reader.root(root, PACK);
    let name = reader.required(&root, "pack", "pack = \"secrets\"");
    let name = name.and_then(|value| reader.verbatim(value, "pack"));
    if let Some(text) = &name {
        super::parsed(reader, codes::BAD_NAME, text, "pack", value::plain_name);
    }
    let about = root.get("about").and_then(|value| reader.verbatim(value, "about"));
    let mut items = list(reader, root.get("rule"), "rule");
    if let Some(first) = items.get(RULES_MAX) {
        too_many(reader, first.span(), "rule", RULES_MAX);
        items.truncate(RULES_MAX);
    }
    let pack_name = name.as_ref().map_or("", |text| &text.value);
    let mut ids = HashSet::new();
    let (mut rules, mut places) = (Vec::new(), Vec::new());
    for item in items {
        let Some(section) = reader.section(item, "[[rule]]", RULE) else { continue };
        let rule =
            PackReader { reader, source, pack: pack_name, is_inline }.rule(&section, &mut ids);
        if let Some((rule, at)) = rule {
            rules.push(Arc::new(rule));
            places.push(at);
        }
    }
    let name = name?;
    Some(Read {
        pack: Pack {
            name: name.value.as_str().into(),
            about: about.map(|text| text.value).unwrap_or_default(),
            file: file.map(Path::to_path_buf),
            digest: blake3::hash(source.as_bytes()).into(),
            rules,
        },
        places,
    })
}

pub(super) struct PackReader<'p, 'r> {
    pub(super) reader: &'p mut Reader<'r>,
    source: &'p str,
    pack: &'p str,
    /// Whether the pack came by a call, not from a file.
    pub(super) is_inline: bool,
}

/// What a rule looks for.
enum Looked {
    /// A pattern with the places of its texts.
    Pattern(Pattern, Vec<Placed>, Letters),
    /// What a model scores above this.
    Model(Arc<Model>, f32),
    /// What a judge outside of the gate flags.
    Webhook(Arc<Webhook>),
}

impl PackReader<'_, '_> {
    fn rule(
        &mut self,
        section: &Section<'_, '_>,
        ids: &mut HashSet<String>,
    ) -> Option<(PackRule, Vec<Vec<Placed>>)> {
        let id = self.required(section, "id", "id = \"aws-key\"")?;
        super::parsed(self.reader, codes::BAD_NAME, &id, "id", value::plain_name);
        if !ids.insert(id.value.clone()) {
            let message = format!("the pack has a rule `{}` already", shown(&id.raw));
            self.reader.report(codes::DUPLICATE, id.span.clone(), message, None);
        }
        let about = section.get("about").and_then(|value| self.reader.verbatim(value, "about"));
        let channels = self.channels(section);
        let looked = self.looks_for(section);
        let actions = self.actions(section, channels);
        self.check_calls(section, &actions);
        let mode = self.mode(section);
        let on_error = self.required(section, "on_error", "on_error = \"cut\"");
        let on_error = on_error.and_then(|text| self.reader.word(&text, "on_error", ON_ERROR));
        let trip = section.get("trip").and_then(|value| self.trip(value));
        let demote = section.get("demote").and_then(|value| self.demote(value));
        let tags = section.get("tags").map_or_else(Vec::new, |value| self.words(value, "tags"));
        let cases = self.cases(section);
        let name: Arc<str> = format!("{}/{}", self.pack, id.value).into();
        let (mut parts, mut places) = (Vec::new(), Vec::new());
        let (mut models, mut webhooks) = (Vec::new(), Vec::new());
        for looked in looked {
            let (pattern, placed, case) = match looked {
                Looked::Pattern(pattern, placed, case) => (pattern, placed, case),
                Looked::Model(model, above) => {
                    models.extend(actions.iter().map(|(action, channels)| ModelPart {
                        model: Arc::clone(&model),
                        above,
                        channels: *channels,
                        action: *action,
                    }));
                    continue;
                }
                Looked::Webhook(webhook) => {
                    self.check_webhook(section, channels);
                    webhooks.extend(actions.iter().map(|(action, channels)| WebhookPart {
                        webhook: Arc::clone(&webhook),
                        channels: *channels,
                        action: *action,
                    }));
                    continue;
                }
            };
            for (action, kinds) in &actions {
                parts.push(Rule {
                    id: name.to_string(),
                    about: String::new(),
                    channels: *kinds,
                    pattern: pattern.clone(),
                    case,
                    action: *action,
                });
                places.push(placed.clone());
            }
        }
        let rule = PackRule {
            name,
            about: about.map(|text| text.value).unwrap_or_default(),
            parts,
            models,
            webhooks,
            mode: mode.unwrap_or(Mode::Enforce),
            on_error: on_error?,
            trip,
            demote,
            tags: tags.into_iter().map(|text| text.value).collect(),
            cases,
        };
        Some((rule, places))
    }

    fn required(&mut self, section: &Section<'_, '_>, key: &str, example: &str) -> Option<Text> {
        let value = self.reader.required(section, key, example)?;
        self.reader.verbatim(value, key)
    }

    /// A string or an array of strings.
    pub(super) fn words(&mut self, value: &Value<'_>, what: &str) -> Vec<Text> {
        match value.get_ref() {
            DeValue::Array(items) => {
                items.iter().filter_map(|item| self.reader.verbatim(item, what)).collect()
            }
            _ => self.reader.verbatim(value, what).into_iter().collect(),
        }
    }

    fn channels(&mut self, section: &Section<'_, '_>) -> Channels {
        let words: Vec<(&str, Kind)> = Kind::ALL.map(|kind| (kind.name(), kind)).to_vec();
        let Some(value) = self.reader.required(section, "channels", "channels = [\"answer\"]")
        else {
            return Channels::NONE;
        };
        let texts = self.words(value, "channels");
        let named: Channels = texts
            .into_iter()
            .filter_map(|text| self.reader.word(&text, "channels", &words))
            .collect();
        // What is not understood may be shown as an answer is.
        if named.has(Kind::Answer) { named.with(Kind::Other) } else { named }
    }

    fn looks_for(&mut self, section: &Section<'_, '_>) -> Vec<Looked> {
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

    /// Actions and the kinds of text on which they are taken.
    fn actions(
        &mut self,
        section: &Section<'_, '_>,
        channels: Channels,
    ) -> Vec<(Action, Channels)> {
        let redaction =
            section.get("redact").and_then(|value| self.reader.verbatim(value, "redact"));
        let redaction = redaction
            .and_then(|text| self.reader.word(&text, "redact", REDACTIONS))
            .unwrap_or(Redaction::Marker);
        let Some(value) = self.reader.required(section, "action", "action = \"redact\"") else {
            return Vec::new();
        };
        let action = |expect| match expect {
            Expect::Clear | Expect::Flag => Action::Flag,
            Expect::Redact => Action::Redact(redaction),
            Expect::Cut => Action::Cut,
            Expect::Reroute => Action::Reroute,
        };
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            let text = self.reader.verbatim(value, "action");
            let word = text.and_then(|text| self.reader.word(&text, "action", ACTIONS));
            return word.map(|word| (action(word), channels)).into_iter().collect();
        }
        let mut known = vec!["default"];
        known.extend(Kind::ALL.map(Kind::name));
        let Some(section) = self.reader.section(value, "`action`", &known) else {
            return Vec::new();
        };
        let mut word = |key: &str| {
            let text = self.reader.verbatim(section.get(key)?, key)?;
            self.reader.word(&text, key, ACTIONS)
        };
        let default = word("default");
        let by_kind: Vec<(Kind, Option<Expect>)> =
            Kind::ALL.into_iter().map(|kind| (kind, word(kind.name()))).collect();
        if default.is_none() {
            let help = Some("add `default = \"redact\"`".to_owned());
            let message = "`action` has no `default`";
            self.reader.report(codes::MISSING_KEY, section.span.clone(), message, help);
        }
        let mut actions: Vec<(Action, Channels)> = Vec::new();
        for (kind, own) in by_kind {
            let Some(word) = own.or(default).filter(|_| channels.has(kind)) else { continue };
            let action = action(word);
            match actions.iter_mut().find(|(other, _)| *other == action) {
                Some((_, kinds)) => *kinds = kinds.with(kind),
                None => actions.push((action, Channels::NONE.with(kind))),
            }
        }
        actions
    }

    /// A call with other arguments than the model gave would run: it is cut, or noted.
    fn check_calls(&mut self, section: &Section<'_, '_>, actions: &[(Action, Channels)]) {
        let is_wrong = |(action, kinds): &(Action, Channels)| {
            matches!(action, Action::Redact(_)) && kinds.has(Kind::ToolArguments)
        };
        if actions.iter().any(is_wrong) {
            let message = "what is redacted in `tool_arguments` would run as another call";
            let help =
                "say `action = { default = \"redact\", tool_arguments = \"cut\" }`, or \"flag\"";
            let help = Some(help.to_owned());
            self.reader.report(codes::BAD_RULE, section.key_span("action"), message, help);
        }
    }

    fn mode(&mut self, section: &Section<'_, '_>) -> Option<Mode> {
        let text = self.reader.verbatim(section.get("mode")?, "mode")?;
        if let Some(share) = text.value.strip_suffix('%') {
            let share = share.parse().ok().filter(|share| (1..=100).contains(share));
            if share.is_none() {
                let message = "`mode` as a share is from 1% to 100%";
                self.reader.report(codes::OUT_OF_RANGE, text.span, message, None);
            }
            return share.map(Mode::Percent);
        }
        let words = [("shadow", Mode::Shadow), ("enforce", Mode::Enforce)];
        self.reader.word(&text, "mode", &words)
    }

    fn trip(&mut self, value: &Value<'_>) -> Option<Trip> {
        let section = self.reader.section(value, "`trip`", TRIP)?;
        let after = self.reader.required(&section, "after", "after = 20")?;
        let after = self.reader.integer(after, "after", 1..=1_000_000)?;
        let within = self.required(&section, "within", "within = \"1m\"")?;
        let within = super::parsed(self.reader, codes::BAD_DURATION, &within, "within", |text| {
            value::duration(text, DAY_SECONDS)
        })?;
        let kills = self.required(&section, "lever", "lever = \"kill agent\"")?;
        let kills = self.reader.word(&kills, "lever", TRIPS)?;
        Some(Trip { after: u32::try_from(after).ok()?, within, kills })
    }

    fn demote(&mut self, value: &Value<'_>) -> Option<Demote> {
        let section = self.reader.section(value, "`demote`", DEMOTE)?;
        let above = self.required(&section, "above", "above = \"2%\"")?;
        let share =
            above.value.strip_suffix('%').and_then(|share| share.trim().parse::<f64>().ok());
        let Some(share) = share.filter(|share| (0.0..=100.0).contains(share)) else {
            let message = "`above` is a share such as \"2%\"";
            self.reader.report(codes::OUT_OF_RANGE, above.span, message, None);
            return None;
        };
        let of = integer(self.reader, Some(&section), "of", 1..=1_000_000);
        let within = section.get("within").and_then(|value| self.reader.verbatim(value, "within"));
        let within = within.and_then(|text| {
            super::parsed(self.reader, codes::BAD_DURATION, &text, "within", |text| {
                value::duration(text, DAY_SECONDS)
            })
        });
        let within = within.unwrap_or(Duration::from_mins(5));
        Some(Demote { above: share / 100.0, of: of.unwrap_or(500), within })
    }

    fn cases(&mut self, section: &Section<'_, '_>) -> Vec<Case> {
        let items = section.get("case").and_then(|value| self.reader.array(value, "case"));
        let mut cases = Vec::new();
        for item in items.unwrap_or_default() {
            let Some(section) = self.reader.section(item, "[[rule.case]]", CASE) else { continue };
            let text = self.required(&section, "text", "text = \"..\"");
            let expect = self.required(&section, "expect", "expect = \"redact\"");
            let expect = expect.and_then(|text| self.reader.word(&text, "expect", EXPECTS));
            let words: Vec<(&str, Kind)> = Kind::ALL.map(|kind| (kind.name(), kind)).to_vec();
            let channel = section.get("channel");
            let channel = channel.and_then(|value| self.reader.verbatim(value, "channel"));
            let channel = channel.and_then(|text| self.reader.word(&text, "channel", &words));
            let (Some(text), Some(expect)) = (text, expect) else { continue };
            let before = self.source.get(..text.span.start).unwrap_or_default();
            let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
            cases.push(Case { text: text.value, channel, expect, line });
        }
        cases
    }
}
