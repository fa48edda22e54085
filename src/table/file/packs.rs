//! A pack: a file of rules under `filters/`. Its shape is in docs/filters.md.
//!
//! Nothing in a pack is filled in from outside but the address and headers of a webhook: `${` is what
//! some rules look for.

mod looks_for;

use self::looks_for::Looked;
use super::{integer, list, too_many};
use crate::filter::{Action, Channels, Kind, Redaction, Rule};
use crate::table::reader::{Reader, Section, Text, Value};
use crate::table::rules::{
    Case, Demote, Expect, Mode, ModelPart, OnError, Pack, PackRule, Trip, TripScope,
};
use crate::table::webhook::WebhookPart;
use crate::table::words::shown;
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
