//! `[[routes]]`.

use super::{FALLBACK, MATCH, RETRY, ROUTE, TARGET, TIMEOUTS};
use super::{
    Link, RoutePart, TargetPart, duration, integer, parsed, providers::header_name, too_many,
};
use crate::id::ModelName;
use crate::table::reader::{Reader, Section, Text, Value};
use crate::table::{
    Capture, Midstream, Pattern, Recipient, RetryPolicy, Timeouts, WhenFull, codes, value,
};
use crate::wire::Dialect;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Most entries of `targets` or `fallback`.
const TARGETS_MAX: usize = 64;
/// Most who may read what is sealed: each costs every line of it some time.
const RECIPIENTS_MAX: usize = 16;

const MIDSTREAMS: &[(&str, Midstream)] =
    &[("end", Midstream::End), ("continue", Midstream::Continue)];
const CAPTURES: &[(&str, Capture)] = &[
    ("full", Capture::Full),
    ("redacted", Capture::Redacted),
    ("sealed", Capture::Sealed),
    ("metadata", Capture::Metadata),
    ("off", Capture::Off),
];
const WHEN_FULL: &[(&str, WhenFull)] = &[("gap", WhenFull::Gap), ("block", WhenFull::Block)];

#[derive(Clone, Copy)]
enum RetryOn {
    Connect,
    Status429,
    Status5xx,
    FirstByteTimeout,
}
const RETRY_ON: &[(&str, RetryOn)] = &[
    ("connect", RetryOn::Connect),
    ("429", RetryOn::Status429),
    ("5xx", RetryOn::Status5xx),
    ("first_byte_timeout", RetryOn::FirstByteTimeout),
];

/// What a route does where the file does not say.
const RETRY_DEFAULT: RetryPolicy = RetryPolicy {
    attempts: 2,
    on_connect: true,
    on_429: true,
    on_5xx: true,
    on_first_byte_timeout: true,
};
/// How long things may take where the file does not say.
const TIMEOUTS_DEFAULT: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    first_byte: Duration::from_secs(20),
    idle: Duration::from_secs(30),
    total: Duration::from_mins(10),
};

/// One route; `None` if it is not even a table.
pub(super) fn route(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<RoutePart> {
    let section = reader.section(value, "[[routes]]", ROUTE)?;
    let name = reader
        .required(&section, "name", "name = \"support\"")
        .and_then(|value| reader.text(value, "name"));
    if let Some(text) = &name {
        parsed(reader, codes::BAD_NAME, text, "name", value::plain_name);
    }
    let targets_value = reader.required(&section, "targets", "targets = [{ provider = \"..\" }]");
    let targets = targets_value.map_or_else(Vec::new, |value| {
        let targets = targets(reader, value, "targets", TARGET);
        if matches!(value.get_ref(), toml::de::DeValue::Array(items) if items.is_empty()) {
            let message = "`targets` is an empty list, so the route leads nowhere";
            reader.report(codes::EMPTY, value.span(), message, None);
        }
        targets
    });
    let fallback = section
        .get("fallback")
        .map_or_else(Vec::new, |value| self::targets(reader, value, "fallback", FALLBACK));
    let rules = section.get("rules").map_or_else(Vec::new, |value| rules(reader, value));
    let midstream = section
        .get("midstream")
        .and_then(|value| reader.text(value, "midstream"))
        .and_then(|text| reader.word(&text, "midstream", MIDSTREAMS));
    let capture = section
        .get("capture")
        .and_then(|value| reader.text(value, "capture"))
        .and_then(|text| reader.word(&text, "capture", CAPTURES))
        .unwrap_or(Capture::Full);
    let when_full = section
        .get("capture_full")
        .and_then(|value| reader.text(value, "capture_full"))
        .and_then(|text| reader.word(&text, "capture_full", WHEN_FULL));
    let mut route = RoutePart {
        name,
        span: section.span.clone(),
        provider: None,
        apps: Vec::new(),
        agents: Vec::new(),
        models: Vec::new(),
        dialects: Vec::new(),
        paths: Vec::new(),
        headers: Vec::new(),
        targets,
        fallback,
        rules,
        retry: retry(reader, section.get("retry")),
        timeouts: timeouts(reader, section.get("timeouts")),
        midstream: midstream.unwrap_or(Midstream::End),
        capture,
        originals_to: originals_to(reader, &section, capture),
        when_full: when_full.unwrap_or(WhenFull::Gap),
        kept: super::evidence::of_route(reader, &section),
    };
    if let Some(value) = section.get("match")
        && let Some(section) = reader.section(value, "`match`", MATCH)
    {
        matches(reader, &section, &mut route);
    }
    Some(route)
}

/// For whom originals are sealed, which makes sense only where the record has others.
fn originals_to(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    capture: Capture,
) -> Arc<[Recipient]> {
    let value = if capture == Capture::Sealed {
        reader.required(section, "originals_to", "originals_to = [\"age1…\"]")
    } else {
        section.get("originals_to")
    };
    let Some(value) = value else { return Arc::default() };
    let texts = reader.texts(value, "originals_to");
    if !matches!(capture, Capture::Redacted | Capture::Sealed) {
        let message = "`originals_to` goes with `capture = \"redacted\"` or `\"sealed\"`";
        let help =
            "with \"full\" the record has the texts in the clear, with the others none are kept";
        reader.report(codes::CONTRADICTION, value.span(), message, Some(help.to_owned()));
    }
    if texts.len() > RECIPIENTS_MAX {
        let message = format!("`originals_to` has more than {RECIPIENTS_MAX} recipients");
        reader.report(codes::TOO_MANY, value.span(), message, None);
    }
    let mut recipients = Vec::with_capacity(texts.len());
    for text in texts {
        let Some(recipient) = Recipient::parse(&text.value) else {
            let message = "this is not a public key of age";
            let help = "`age1…`, as `age-keygen` prints it; the secret key stays with who may read";
            reader.report(codes::BAD_RECIPIENT, text.span, message, Some(help.to_owned()));
            continue;
        };
        recipients.push(recipient);
    }
    recipients.into()
}

/// The packs that a list names.
pub(super) fn rules(reader: &mut Reader<'_>, value: &Value<'_>) -> Vec<Link> {
    let items = reader.array(value, "rules").unwrap_or_default();
    items.into_iter().filter_map(|item| reader.text(item, "rules")).map(link).collect()
}

pub(super) fn link(text: Text) -> Link {
    Link { name: text.value, raw: text.raw, span: text.span }
}

fn matches(reader: &mut Reader<'_>, section: &Section<'_, '_>, route: &mut RoutePart) {
    let provider = section.get("provider").and_then(|value| reader.text(value, "provider"));
    route.provider = provider.map(link);
    if let Some(value) = section.get("app") {
        route.apps = reader.texts(value, "app").into_iter().map(link).collect();
    }
    route.agents = patterns(reader, section, "agent", value::pattern);
    route.models = patterns(reader, section, "model", value::name_pattern);
    route.paths = patterns(reader, section, "path", value::path_pattern);
    if let Some(value) = section.get("dialect") {
        let dialects = Dialect::ALL.map(|dialect| (dialect.name(), dialect));
        for text in reader.texts(value, "dialect") {
            if text.value == "openai" {
                let help = "write `dialect = [\"openai-chat\", \"openai-responses\"]`";
                let message = "`dialect` of a match knows no \"openai\": it has two";
                reader.report(codes::UNKNOWN_WORD, text.span, message, Some(help.to_owned()));
                continue;
            }
            let dialect = reader.word(&text, "dialect", &dialects);
            route.dialects.extend(dialect.map(|dialect| (dialect, text.span)));
        }
    }
    if let Some(value) = section.get("header")
        && let Some(section) = reader.open(value, "header")
    {
        for (key, span, value) in section.entries() {
            let Some(name) = header_name(reader, key, &span) else { continue };
            let Some(text) = reader.text(value, key) else { continue };
            let pattern = parsed(reader, codes::BAD_PATTERN, &text, key, value::pattern);
            if route.headers.iter().any(|(other, _)| *other == name) {
                let message = format!("header `{name}` is matched twice");
                reader.report(codes::DUPLICATE, span, message, None);
            } else {
                route.headers.extend(pattern.map(|pattern| (name, pattern)));
            }
        }
    }
}

pub(super) fn patterns(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    key: &str,
    parse: impl Fn(&str) -> Result<Pattern, value::Wrong>,
) -> Vec<Pattern> {
    let Some(value) = section.get(key) else { return Vec::new() };
    let texts = reader.texts(value, key);
    texts.iter().filter_map(|text| parsed(reader, codes::BAD_PATTERN, text, key, &parse)).collect()
}

fn targets(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    what: &str,
    keys: &[&str],
) -> Vec<TargetPart> {
    let mut items = reader.array(value, what).unwrap_or_default();
    if let Some(first) = items.get(TARGETS_MAX) {
        too_many(reader, first.span(), what, TARGETS_MAX);
        items.truncate(TARGETS_MAX);
    }
    let mut seen: HashSet<(String, Option<String>)> = HashSet::new();
    let mut targets = Vec::new();
    for item in items {
        let Some(section) = reader.section(item, &format!("an entry of `{what}`"), keys) else {
            continue;
        };
        let provider = reader
            .required(&section, "provider", "provider = \"openai\"")
            .and_then(|value| reader.text(value, "provider"));
        let model = section.get("model").and_then(|value| reader.text(value, "model"));
        let model = model.and_then(|text| {
            if text.value.contains('*') || text.value.chars().any(char::is_control) {
                reader.report(
                    codes::BAD_PATTERN,
                    text.span,
                    "the model of a target is a name, not a pattern",
                    Some("leave `model` out to ask for the one that the caller asked for".into()),
                );
                return None;
            }
            Some(text.value)
        });
        let weight = if keys.contains(&"weight") {
            integer(reader, Some(&section), "weight", 1..=1_000_000).unwrap_or(1)
        } else {
            1
        };
        let Some(provider) = provider else { continue };
        if !seen.insert((provider.value.clone(), model.clone())) {
            reader.report(
                codes::DUPLICATE,
                section.span.clone(),
                format!("`{what}` names this target twice"),
                Some("take one away".to_owned()),
            );
        }
        targets.push(TargetPart {
            provider: link(provider),
            model: model.map(|name| ModelName::new(&name)),
            weight,
            span: section.span.clone(),
        });
    }
    targets
}

fn retry(reader: &mut Reader<'_>, value: Option<&Value<'_>>) -> RetryPolicy {
    let mut retry = RETRY_DEFAULT;
    let section = value.and_then(|value| reader.section(value, "`retry`", RETRY));
    let Some(section) = section else { return retry };
    if let Some(attempts) = integer(reader, Some(&section), "attempts", 1..=10) {
        retry.attempts = attempts;
    }
    let Some(items) = section.get("on").and_then(|value| reader.array(value, "on")) else {
        return retry;
    };
    retry = RetryPolicy {
        attempts: retry.attempts,
        on_connect: false,
        on_429: false,
        on_5xx: false,
        on_first_byte_timeout: false,
    };
    for item in items {
        let Some(text) = reader.text(item, "on") else { continue };
        match reader.word(&text, "on", RETRY_ON) {
            Some(RetryOn::Connect) => retry.on_connect = true,
            Some(RetryOn::Status429) => retry.on_429 = true,
            Some(RetryOn::Status5xx) => retry.on_5xx = true,
            Some(RetryOn::FirstByteTimeout) => retry.on_first_byte_timeout = true,
            None => {}
        }
    }
    retry
}

fn timeouts(reader: &mut Reader<'_>, value: Option<&Value<'_>>) -> Timeouts {
    let section = value.and_then(|value| reader.section(value, "`timeouts`", TIMEOUTS));
    let section = section.as_ref();
    let default = TIMEOUTS_DEFAULT;
    Timeouts {
        connect: duration(reader, section, "connect_ms", 1, default.connect),
        first_byte: duration(reader, section, "first_byte_ms", 1, default.first_byte),
        idle: duration(reader, section, "idle_ms", 1, default.idle),
        total: duration(reader, section, "total_ms", 1, default.total),
    }
}
