//! `limits` of an app, `[[limits]]` and `[prices]`.

use super::routes::{link, patterns};
use super::{APP_LIMITS, LIMIT, LIMIT_MATCH, LOOP, Link, PARTS_MAX, PRICE};
use super::{integer, parsed, too_many};
use crate::table::reader::{Reader, Section, Text, Value};
use crate::table::words::shown;
use crate::table::{
    CAPS, Cap, Limit, LimitMatcher, Money, Pattern, Per, Price, SameCall, Then, Unit, Unpriced,
    codes, value,
};
use std::ops::Range;
use std::sync::Arc;

const PER: &[(&str, Per)] = &[
    ("all", Per::All),
    ("app", Per::App),
    ("agent", Per::Agent),
    ("model", Per::Model),
    ("session", Per::Session),
];
const UNPRICED: &[(&str, Unpriced)] = &[("pass", Unpriced::Pass), ("refuse", Unpriced::Refuse)];
const THEN: &[(&str, Then)] = &[
    ("refuse", Then::Refuse),
    ("kill session", Then::KillSession),
    ("kill agent", Then::KillAgent),
    ("kill tool", Then::KillTool),
];

/// The longest time in which calls are counted as one loop.
const WITHIN_SECONDS_MAX: u64 = 86_400;

/// A limit before its apps are resolved.
#[derive(Debug)]
pub(in crate::table) struct LimitPart {
    pub(in crate::table) name: Option<Text>,
    pub(in crate::table) apps: Vec<Link>,
    pub(in crate::table) limit: Limit,
}

/// The `limits` of an app; they hold for it alone.
pub(super) fn of_app(reader: &mut Reader<'_>, app: &str, value: &Value<'_>) -> Option<Limit> {
    let section = reader.section(value, "`limits`", APP_LIMITS)?;
    let mut limit = limit(reader, &section, Per::App);
    limit.name = Arc::from(format!("apps.{app}"));
    let is_empty = limit.caps.is_empty() && limit.concurrent.is_none();
    (!is_empty).then_some(limit)
}

/// One `[[limits]]`; `None` if it is not even a table.
pub(super) fn part(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<LimitPart> {
    let section = reader.section(value, "[[limits]]", &[LIMIT, APP_LIMITS].concat())?;
    let name = reader
        .required(&section, "name", "name = \"crawlers\"")
        .and_then(|value| reader.text(value, "name"));
    if let Some(text) = &name {
        parsed(reader, codes::BAD_NAME, text, "name", value::plain_name);
    }
    let per = section
        .get("per")
        .and_then(|value| reader.text(value, "per"))
        .and_then(|text| reader.word(&text, "per", PER));
    let mut limit = limit(reader, &section, per.unwrap_or(Per::All));
    limit.name = Arc::from(name.as_ref().map_or("", |text| &*text.value));
    limit.same_call = section.get("loop").and_then(|value| same_call(reader, value));
    let limits_something = CAPS.iter().map(|(key, ..)| *key).chain(["concurrent", "loop"]);
    if limits_something.into_iter().all(|key| section.get(key).is_none()) {
        let help = "such as `tokens_per_day = 1_000_000`";
        let message = "this limit limits nothing";
        reader.report(codes::EMPTY, section.span.clone(), message, Some(help.to_owned()));
    }
    let mut apps = Vec::new();
    if let Some(value) = section.get("match")
        && let Some(section) = reader.section(value, "`match`", LIMIT_MATCH)
    {
        if let Some(value) = section.get("app") {
            apps = reader.texts(value, "app").into_iter().map(link).collect();
        }
        limit.matcher.agents = patterns(reader, &section, "agent", value::pattern);
        limit.matcher.models = patterns(reader, &section, "model", value::name_pattern);
    }
    Some(LimitPart { name, apps, limit })
}

/// What limits of apps and others have in common.
fn limit(reader: &mut Reader<'_>, section: &Section<'_, '_>, per: Per) -> Limit {
    let mut caps = Vec::new();
    for (key, unit, window) in CAPS {
        let Some(value) = section.get(key) else { continue };
        let most = match unit {
            Unit::Requests | Unit::Tokens => reader.integer(value, key, 1..=1 << 50),
            Unit::Money => reader.money(value, key, Money(1)).map(|money| money.0),
        };
        caps.extend(most.map(|most| Cap { unit, window, most }));
    }
    let unpriced = section
        .get("unpriced")
        .and_then(|value| reader.text(value, "unpriced"))
        .and_then(|text| reader.word(&text, "unpriced", UNPRICED));
    let counts_money =
        CAPS.iter().any(|(key, unit, _)| *unit == Unit::Money && section.get(key).is_some());
    if section.get("unpriced").is_some() && !counts_money {
        reader.report(
            codes::NOT_HERE,
            section.key_span("unpriced"),
            "`unpriced` means something only where money is limited",
            Some("add `usd_per_day` or another cap in USD, or take it away".to_owned()),
        );
    }
    Limit {
        name: Arc::from(""),
        matcher: LimitMatcher::default(),
        per,
        caps,
        concurrent: integer(reader, Some(section), "concurrent", 1..=u64::from(u32::MAX)),
        same_call: None,
        unpriced: unpriced.unwrap_or_default(),
    }
}

fn same_call(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<SameCall> {
    let section = reader.section(value, "`loop`", LOOP)?;
    let times = reader.required(&section, "same_call", "same_call = 20");
    let times = times.and_then(|value| reader.integer(value, "same_call", 2..=1_000_000));
    let within = reader
        .required(&section, "within", "within = \"2m\"")
        .and_then(|value| reader.text(value, "within"))
        .and_then(|text| {
            let parse = |text: &str| value::duration(text, WITHIN_SECONDS_MAX);
            parsed(reader, codes::BAD_DURATION, &text, "within", parse)
        });
    let then = section
        .get("then")
        .and_then(|value| reader.text(value, "then"))
        .and_then(|text| reader.word(&text, "then", THEN));
    Some(SameCall {
        times: u32::try_from(times?).ok()?,
        within: within?,
        then: then.unwrap_or_default(),
    })
}

/// The user's prices.
pub(super) fn prices(reader: &mut Reader<'_>, value: &Value<'_>) -> Vec<(Pattern, Price)> {
    let Some(section) = reader.open(value, "prices") else { return Vec::new() };
    let mut entries = section.entries();
    if let Some((_, span, _)) = entries.get(PARTS_MAX) {
        too_many(reader, span.clone(), "prices", PARTS_MAX);
        entries.truncate(PARTS_MAX);
    }
    let mut found = Vec::new();
    for (name, span, value) in entries {
        let pattern = pattern(reader, name, span);
        let what = format!("[prices.\"{}\"]", shown(name));
        let Some(section) = reader.section(value, &what, PRICE) else { continue };
        let input = reader.required(&section, "input", "input = 2.5");
        let input = input.and_then(|value| reader.money(value, "input", Money::ZERO));
        let output = reader.required(&section, "output", "output = 10.0");
        let output = output.and_then(|value| reader.money(value, "output", Money::ZERO));
        let mut other = |key: &str| -> Option<Money> {
            let value = section.get(key)?;
            reader.money(value, key, Money::ZERO)
        };
        let (cached_input, cache_write) = (other("cached_input"), other("cache_write"));
        let (Some(pattern), Some(input), Some(output)) = (pattern, input, output) else { continue };
        let price = Price {
            input,
            cached_input: cached_input.unwrap_or(input),
            cache_write: cache_write.unwrap_or(input),
            output,
        };
        found.push((pattern, price));
    }
    found
}

fn pattern(reader: &mut Reader<'_>, name: &str, span: Range<usize>) -> Option<Pattern> {
    let wrong = match value::name_pattern(name) {
        Ok(_) if name.is_empty() => value::Wrong {
            message: "the pattern is empty".to_owned(),
            help: Some("such as `[prices.\"gpt-4o*\"]`".to_owned()),
        },
        Ok(pattern) => return Some(pattern),
        Err(wrong) => wrong,
    };
    reader.report(codes::BAD_PATTERN, span, wrong.message, wrong.help);
    None
}
