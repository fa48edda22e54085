//! The API's JSON, made by hand from the rooms' own types. Nothing here holds a credential, a
//! prompt or an answer.

use crate::control::{Condition, Reload};
use crate::exchange::facts::Facts;
use crate::exchange::limits::{LoopMet, Standing};
use crate::exchange::relay::Seam;
use crate::exchange::screen::Hit;
use crate::id::{AppName, ProviderName, RouteName};
use crate::table::diagnostic::{Diagnostic, Severity};
use crate::table::{
    Auth, Capture, Family, Matcher, Money, Pattern, Provider, RetryPolicy, Route, Table, Timeouts,
    Unit, WhenFull,
};
use crate::telemetry::{Sequence, TargetHealth};
use crate::wire::Dialect;
use crate::wire::event::StopReason;
use crate::wire::loss::Loss;
use crate::wire::refusal::Class;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// RFC 3339 in UTC.
pub(super) fn moment(unix_ms: u64) -> Value {
    let moment = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    moment.map_or(Value::Null, |moment| json!(moment.to_string()))
}

/// How the control log does.
pub(super) fn condition(condition: &Condition) -> Value {
    match condition {
        Condition::Up => json!({ "state": "up", "why": null }),
        Condition::Lost(why) => json!({ "state": "lost", "why": why }),
        Condition::LastKnown => json!({ "state": "last_known", "why": null }),
    }
}

/// A caller's word as it may stand in a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// `; did you mean ..?` where one of `known` is close to `name`.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    let close = |other: &str| strsim::jaro_winkler(name, other);
    let best = known.map(|other| (close(other), other)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((score, other)) if score > 0.75 => format!("; did you mean `{other}`?"),
        Some(_) | None => String::new(),
    }
}

fn ms(time: Duration) -> Value {
    json!(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn fractional_ms(time: Duration) -> Value {
    json!(time.as_secs_f64() * 1_000.0)
}

/// A finished exchange.
pub(super) fn exchange(sequence: Option<Sequence>, facts: &Facts) -> Value {
    let who = &facts.identity;
    let mut value = json!({
        "id": facts.id.to_string(),
        "began": moment(facts.began_unix_ms),
        "app": who.app.as_ref().map(AppName::as_str),
        "agent": who.agent.as_deref(),
        "session": who.session.as_deref(),
        "end_user": who.end_user,
        "trace": who.trace,
        "request": who.request,
        "path": facts.path,
        "dialect": facts.dialect.map(Dialect::name),
        "route": facts.route.as_ref().map(RouteName::as_str),
        "provider": facts.provider.as_ref().map(ProviderName::as_str),
        "target": facts.target.as_deref(),
        "model_asked": facts.model_asked,
        "model_reported": facts.model_reported,
        "stream": facts.is_stream,
        "status": facts.status,
        "outcome": facts.outcome.name(),
        "class": facts.outcome.class().map(Class::name),
        "attempts": facts.attempts,
        "request_bytes": facts.request_bytes,
        "response_bytes": facts.response_bytes,
        "first_byte_ms": facts.first_byte.map(fractional_ms),
        "first_text_ms": facts.first_text.map(fractional_ms),
        "total_ms": fractional_ms(facts.total),
        "text_events": facts.text_events,
        "stop": facts.stop.map(StopReason::name),
        "usage": facts.usage.as_json(),
        "lever": facts.lever.map(|lever| lever.to_string()),
        "verdict": facts.verdict(),
        "findings": facts.found.hits.iter().map(Hit::as_json).collect::<Vec<_>>(),
        "findings_more": facts.found.more(),
        "unjudged": facts.found.unjudged,
        "losses": facts.losses.iter().map(Loss::name).collect::<Vec<_>>(),
        "seams": facts.seams.iter().map(Seam::as_json).collect::<Vec<_>>(),
        "cost_micro_usd": facts.cost_micro_usd,
        "limit": facts.limit.as_deref(),
        "loops": facts.loops_met.iter().map(LoopMet::as_json).collect::<Vec<_>>(),
        "fault": facts.fault,
    });
    if let (Some(sequence), Some(object)) = (sequence, value.as_object_mut()) {
        object.insert("sequence".to_owned(), json!(sequence.0));
    }
    value
}

/// A counter of a limit.
pub(super) fn standing(standing: &Standing) -> Value {
    let amount = |amount: u64| match standing.unit {
        Some(Unit::Money) => json!(Money(amount).usd()),
        Some(Unit::Requests | Unit::Tokens) | None => json!(amount),
    };
    json!({
        "limit": &*standing.limit,
        "subject": standing.subject.to_string(),
        "what": standing.what,
        "window_s": standing.window.map(|window| window.as_secs()),
        "used": amount(standing.used),
        "reserved": amount(standing.reserved),
        "most": amount(standing.most),
        "resets_in_ms": standing.resets_in.map(ms),
    })
}

/// Findings about a file.
pub(super) fn diagnostics(list: &[Diagnostic]) -> Value {
    let one = |finding: &Diagnostic| {
        json!({
            "code": finding.code,
            "severity": match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "message": finding.message,
            "file": finding.file.display().to_string(),
            "span": { "start": finding.span.start, "end": finding.span.end },
            "help": finding.help,
        })
    };
    list.iter().map(one).collect()
}

/// What a reload came to.
pub(super) fn reload(reload: &Reload) -> Value {
    match reload {
        Reload::Published { epoch, warnings } => json!({
            "outcome": "published",
            "epoch": epoch.0,
            "warnings": diagnostics(warnings),
        }),
        Reload::Unchanged { epoch } => json!({ "outcome": "unchanged", "epoch": epoch.0 }),
        Reload::Refused { epoch, diagnostics: list } => json!({
            "outcome": "refused",
            "epoch": epoch.0,
            "diagnostics": diagnostics(list),
        }),
    }
}

/// A target's health.
pub(super) fn target(health: &TargetHealth) -> Value {
    json!({
        "target": &*health.target,
        "state": health.state.name(),
        "errors_in_row": health.errors_in_row,
        "attempts": health.attempts,
        "errors": health.errors,
        "last_error": health.last_error,
        "last_error_at": health.last_error_unix_ms.map(moment),
        "opens_again_in_ms": health.opens_again_in.map(ms),
    })
}

/// A route of `table`.
pub(super) fn route(table: &Table, route: &Route) -> Value {
    let name = |index: usize| table.targets.get(index).map(|target| &*target.name);
    let weighted = route.targets.iter().map(|weighted| {
        json!({ "target": name(usize::from(weighted.target.0)), "weight": weighted.weight })
    });
    json!({
        "name": route.name.as_str(),
        "match": matcher(table, &route.matcher),
        "targets": weighted.collect::<Value>(),
        "fallback": route.fallback.iter().map(|t| name(usize::from(t.0))).collect::<Vec<_>>(),
        "rules": route.rules.iter().flat_map(|book| &book.packs).map(|pack| &**pack).collect::<Vec<_>>(),
        "retry": retry(route.retry),
        "timeouts": timeouts(route.timeouts),
        "capture": match route.capture {
            Capture::Full => "full",
            Capture::Redacted => "redacted",
            Capture::Sealed => "sealed",
            Capture::Metadata => "metadata",
            Capture::Off => "off",
        },
        "originals_to": route.originals_to.len(),
        "capture_full": match route.when_full {
            WhenFull::Gap => "gap",
            WhenFull::Block => "block",
        },
        "keep_days": route.kept.days,
        "disk_bytes_max": route.kept.bytes_max,
    })
}

fn matcher(table: &Table, matcher: &Matcher) -> Value {
    let apps = matcher.apps.iter().filter_map(|app| table.apps.get(usize::from(app.0)));
    let provider = matcher.provider.and_then(|index| table.providers.get(usize::from(index.0)));
    let patterns = |list: &[Pattern]| list.iter().map(pattern).collect::<Vec<_>>();
    // The values of headers may be secrets of the caller's; their names are enough.
    let headers = matcher.headers.iter().map(|(name, _)| name.as_str());
    json!({
        "provider": provider.map(|provider| provider.name.as_str()),
        "apps": apps.map(|app| app.name.as_str()).collect::<Vec<_>>(),
        "agents": patterns(&matcher.agents),
        "models": patterns(&matcher.models),
        "dialects": matcher.dialects.iter().map(|dialect| dialect.name()).collect::<Vec<_>>(),
        "paths": patterns(&matcher.paths),
        "headers": headers.collect::<Vec<_>>(),
    })
}

fn pattern(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Exact(text) => text.to_string(),
        Pattern::Glob(pieces) => pieces.join("*"),
    }
}

fn retry(policy: RetryPolicy) -> Value {
    let on = [
        ("connect", policy.on_connect),
        ("429", policy.on_429),
        ("5xx", policy.on_5xx),
        ("first_byte_timeout", policy.on_first_byte_timeout),
    ];
    let on: Vec<&str> = on.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name).collect();
    json!({ "attempts": policy.attempts, "on": on })
}

fn timeouts(timeouts: Timeouts) -> Value {
    json!({
        "connect_ms": ms(timeouts.connect),
        "first_byte_ms": ms(timeouts.first_byte),
        "idle_ms": ms(timeouts.idle),
        "total_ms": ms(timeouts.total),
    })
}

/// A provider: whether it has a credential, never the credential, and no values of headers or of
/// the query, which may hold one.
pub(super) fn provider(provider: &Provider) -> Value {
    let base = provider.base.as_ref().map(|base| {
        let scheme = if base.tls { "https" } else { "http" };
        let authority = base.authority.to_str().unwrap_or(&base.host);
        format!("{scheme}://{authority}{}", base.path)
    });
    json!({
        "name": provider.name.as_str(),
        "family": match provider.family {
            Family::Openai => "openai",
            Family::Anthropic => "anthropic",
            Family::Gemini => "gemini",
            Family::Bedrock => "bedrock",
            Family::Canned => "canned",
            Family::Simulated => "simulated",
        },
        "base_url": base,
        "credential": if provider.has_credential() { "own" } else { "callers" },
        "credential_variable": provider.key_variable,
        "auth": match provider.auth {
            Auth::Bearer => "bearer",
            Auth::XApiKey => "x-api-key",
            Auth::XGoogApiKey => "x-goog-api-key",
            Auth::ApiKey => "api-key",
        },
        "translate_to": match provider.family {
            Family::Openai => Some(provider.translate_to.dialect().name()),
            Family::Anthropic
            | Family::Gemini
            | Family::Bedrock
            | Family::Canned
            | Family::Simulated => None,
        },
        "headers": provider.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339() {
        assert_eq!(moment(1_700_000_000_123), json!("2023-11-14T22:13:20.123Z"));
        assert_eq!(moment(u64::MAX), Value::Null);
    }
}
