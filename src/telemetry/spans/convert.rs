//! One exchange's facts become its spans.
//!
//! Span ids are made from the exchange id alone, so that the proxy can name the CLIENT span in the
//! `traceparent` that it sends to a provider before that span exists. An exchange whose caller
//! sent no trace id is its own trace, under the exchange id's digits.

use super::convention::{self as name, Attributes, Convention};
use crate::exchange::facts::{Facts, Outcome};
use crate::id::{AppName, ExchangeId, RouteName};
use crate::wire::Dialect;
use crate::wire::event::StopReason;
use crate::wire::refusal::Class;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::borrow::Cow;
use std::time::{Duration, SystemTime};

/// The most characters of a value that a client wrote.
const TEXT_MAX: usize = 256;

/// The trace of an exchange: its caller's, else its own.
pub fn trace_id(id: ExchangeId, callers: Option<&str>) -> u128 {
    let valid = |hex: &str| hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let callers = callers.filter(|hex| valid(hex));
    let callers = callers.and_then(|hex| u128::from_str_radix(hex, 16).ok());
    callers.filter(|trace| *trace != 0).unwrap_or(id.0)
}

/// The id of an exchange's SERVER span.
pub fn server_span_id(id: ExchangeId) -> u64 {
    mixed(id, 0)
}

/// The id of the CLIENT span of the attempt `attempt`, counted from 1.
pub fn client_span_id(id: ExchangeId, attempt: u8) -> u64 {
    mixed(id, u64::from(attempt))
}

/// The finalizer of splitmix64 over the random half of the id; never zero, which W3C Trace
/// Context forbids.
fn mixed(id: ExchangeId, salt: u64) -> u64 {
    let mut bits =
        (id.0 as u64 ^ (id.0 >> 64) as u64).wrapping_add(salt.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (bits ^ (bits >> 31)).max(1)
}

/// How many spans [`spans`] makes.
pub(super) fn spans_of(facts: &Facts) -> u64 {
    if facts.attempts > 0 { 2 } else { 1 }
}

/// The spans of an exchange: always one SERVER span; a CLIENT span if a provider was asked.
pub fn spans(facts: &Facts, convention: Convention) -> Vec<SpanData> {
    let mut spans = Vec::with_capacity(2);
    spans.push(server(facts, convention));
    if facts.attempts > 0 {
        spans.push(client(facts, convention));
    }
    spans
}

fn server(facts: &Facts, convention: Convention) -> SpanData {
    let (method, path) = facts.path.split_once(' ').unwrap_or(("", &facts.path));
    let method = known_method(method);
    let route = facts.dialect.map(http_route);
    let mut attributes = Attributes::new(convention);
    attributes.put(name::HTTP_METHOD, method);
    attributes.put_some(name::HTTP_ROUTE, route);
    attributes.put(name::URL_PATH, cut(path));
    if facts.status != 0 {
        attributes.put(name::HTTP_STATUS, i64::from(facts.status));
    }
    attributes.put(name::HTTP_REQUEST_BYTES, integer(facts.request_bytes));
    attributes.put(name::HTTP_RESPONSE_BYTES, integer(facts.response_bytes));
    put_shared(&mut attributes, facts);
    attributes.put_some(name::APP, facts.identity.app.as_ref().map(AppName::shared));
    attributes.put(name::ATTEMPTS, i64::from(facts.attempts));
    attributes.put_some(name::FIRST_BYTE, facts.first_byte.map(|time| time.as_secs_f64()));
    attributes.put_some(name::FIRST_TEXT, facts.first_text.map(|time| time.as_secs_f64()));
    attributes.put_some(name::ERROR_TYPE, error_type(facts));
    let parent = facts.identity.parent_span.as_deref();
    let parent = parent.and_then(|hex| SpanId::from_hex(hex).ok());
    // A parent without its trace would hang in the air.
    let parent = parent.filter(|_| facts.identity.trace.is_some());
    span(Parts {
        facts,
        id: server_span_id(facts.id),
        parent: parent.unwrap_or(SpanId::INVALID),
        parent_is_remote: parent.is_some(),
        kind: SpanKind::Server,
        name: match route {
            Some(route) => format!("{method} {route}").into(),
            None => method.into(),
        },
        attributes,
        status: server_status(facts),
    })
}

fn client(facts: &Facts, convention: Convention) -> SpanData {
    let mut attributes = Attributes::new(convention);
    let operation = facts.dialect.map(operation);
    attributes.put_some(name::OPERATION, operation);
    if let Some(provider) = &facts.provider {
        let provider = provider_name(provider.as_str());
        attributes.put(name::SYSTEM, provider.clone());
        attributes.put(name::PROVIDER, provider);
    }
    let asked = facts.model_asked.as_deref().map(cut);
    attributes.put_some(name::REQUEST_MODEL, asked.clone());
    attributes.put(name::REQUEST_STREAM, facts.is_stream);
    attributes.put_some(name::RESPONSE_MODEL, facts.model_reported.as_deref().map(cut));
    let reasons = facts.stop.map(|stop| vec![StringValue::from(finish_reason(stop))]);
    attributes
        .put_some(name::FINISH_REASONS, reasons.map(|list| Value::Array(Array::String(list))));
    let usage = &facts.usage;
    attributes.put_some(name::INPUT_TOKENS, usage.input.map(integer));
    attributes.put_some(name::OUTPUT_TOKENS, usage.output.map(integer));
    attributes.put_some(name::CACHE_READ_TOKENS, usage.cache_read.map(integer));
    attributes.put_some(name::CACHE_WRITE_TOKENS, usage.cache_write.map(integer));
    attributes.put_some(name::REASONING_TOKENS, usage.reasoning.map(integer));
    attributes.put_some(name::COST, facts.cost_micro_usd.map(integer));
    let first_byte = facts.first_byte.map(|time| time.as_secs_f64());
    attributes.put_some(name::TIME_TO_FIRST_CHUNK, first_byte);
    put_shared(&mut attributes, facts);
    attributes.put_some(name::ERROR_TYPE, error_type(facts));
    let operation = operation.unwrap_or("request");
    span(Parts {
        facts,
        id: client_span_id(facts.id, facts.attempts),
        parent: SpanId::from_bytes(server_span_id(facts.id).to_be_bytes()),
        parent_is_remote: false,
        kind: SpanKind::Client,
        name: match asked {
            Some(model) => format!("{operation} {model}").into(),
            None => operation.into(),
        },
        attributes,
        status: client_status(facts),
    })
}

/// What both spans say.
fn put_shared(attributes: &mut Attributes, facts: &Facts) {
    attributes.put(name::EXCHANGE, facts.id.to_string());
    attributes.put_some(name::ROUTE, facts.route.as_ref().map(RouteName::shared));
    attributes.put_some(name::TARGET, facts.target.clone());
    attributes.put_some(name::DIALECT, facts.dialect.map(Dialect::name));
    attributes.put(name::OUTCOME, facts.outcome.name());
    attributes.put_some(name::REFUSAL_CLASS, facts.outcome.class().map(Class::name));
    attributes.put_some(name::LIMIT, facts.limit.clone());
    attributes.put_some(name::CONVERSATION, facts.identity.session.as_deref().map(cut));
    attributes.put_some(name::AGENT, facts.identity.agent.as_deref().map(cut));
}

struct Parts<'f> {
    facts: &'f Facts,
    id: u64,
    parent: SpanId,
    parent_is_remote: bool,
    kind: SpanKind,
    name: Cow<'static, str>,
    attributes: Attributes,
    status: Status,
}

fn span(parts: Parts<'_>) -> SpanData {
    let facts = parts.facts;
    let trace = trace_id(facts.id, facts.identity.trace.as_deref());
    let began = SystemTime::UNIX_EPOCH + Duration::from_millis(facts.began_unix_ms);
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(trace.to_be_bytes()),
            SpanId::from_bytes(parts.id.to_be_bytes()),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: parts.parent,
        parent_span_is_remote: parts.parent_is_remote,
        span_kind: parts.kind,
        name: parts.name,
        start_time: began,
        end_time: began + facts.total,
        attributes: parts.attributes.finish(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: parts.status,
        instrumentation_scope: InstrumentationScope::builder("firedoor")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

fn error_type(facts: &Facts) -> Option<Cow<'static, str>> {
    match facts.outcome {
        Outcome::Completed => None,
        Outcome::ProviderError => Some(facts.status.to_string().into()),
        Outcome::Refused(class) | Outcome::Cut(class) => Some(class.name().into()),
        Outcome::Torn => Some("stream_torn".into()),
        Outcome::ClientGone => Some("client_gone".into()),
    }
}

/// A server's span is an error if the server failed, not if it refused: the HTTP conventions keep
/// answers from 400 to 499 unset.
fn server_status(facts: &Facts) -> Status {
    match facts.outcome {
        Outcome::Cut(_) | Outcome::Torn => failed(facts),
        Outcome::ProviderError | Outcome::Refused(_) if facts.status >= 500 => failed(facts),
        Outcome::Completed | Outcome::ClientGone | Outcome::ProviderError | Outcome::Refused(_) => {
            Status::Unset
        }
    }
}

/// A client's span is an error if the provider gave none of what was asked of it.
fn client_status(facts: &Facts) -> Status {
    match facts.outcome {
        Outcome::ProviderError | Outcome::Torn => failed(facts),
        Outcome::Refused(class) | Outcome::Cut(class) => match class {
            Class::BadGateway | Class::Timeout | Class::Unavailable => failed(facts),
            Class::BadRequest
            | Class::Unauthenticated
            | Class::Forbidden
            | Class::NotFound
            | Class::TooLarge
            | Class::Limited
            | Class::Killed
            | Class::Blocked
            | Class::Internal => Status::Unset,
        },
        Outcome::Completed | Outcome::ClientGone => Status::Unset,
    }
}

fn failed(facts: &Facts) -> Status {
    Status::error(facts.fault.as_deref().map_or(String::new(), cut))
}

/// The path of a dialect's own operation. What a client wrote in its place (a Gemini model, a
/// provider's prefix) would make names without bound.
fn http_route(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat => "/v1/chat/completions",
        Dialect::OpenaiResponses => "/v1/responses",
        Dialect::Anthropic => "/v1/messages",
        Dialect::Gemini => "/v1beta/models/{model}",
        Dialect::Bedrock => "/model/{model}",
    }
}

fn operation(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Anthropic | Dialect::Bedrock => {
            "chat"
        }
        Dialect::Gemini => "generate_content",
    }
}

/// The conventions' word for a provider whose row is named in one of the usual ways, else the
/// row's own name, which they allow.
fn provider_name(row: &str) -> Value {
    match row {
        "gemini" | "google" => "gcp.gemini".into(),
        "vertex" | "vertex_ai" => "gcp.vertex_ai".into(),
        "azure" | "azure-openai" | "azure_openai" => "azure.ai.openai".into(),
        "bedrock" => "aws.bedrock".into(),
        "mistral" => "mistral_ai".into(),
        "xai" => "x_ai".into(),
        row => row.to_owned().into(),
    }
}

fn finish_reason(stop: StopReason) -> &'static str {
    match stop {
        StopReason::EndTurn | StopReason::StopSequence => "stop",
        StopReason::MaxTokens => "length",
        StopReason::ToolUse => "tool_call",
        StopReason::ContentFilter => "content_filter",
        StopReason::Refusal => "refusal",
        StopReason::Pause => "pause",
        StopReason::Error => "error",
        StopReason::Other => "other",
    }
}

/// Any other method is `_OTHER`, as the HTTP conventions say.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}

/// The first [`TEXT_MAX`] characters.
fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::facts_for_tests as sample;
    use opentelemetry::KeyValue;

    fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
        attributes.iter().find(|pair| pair.key.as_str() == key).map(|pair| pair.value.to_string())
    }

    #[test]
    fn the_client_span_is_a_child_and_both_join_the_callers_trace() {
        let mut facts = sample(7);
        facts.identity.trace = Some("0af7651916cd43dd8448eb211c80319c".into());
        facts.identity.parent_span = Some("b7ad6b7169203331".into());
        let spans = spans(&facts, Convention::Classic);
        assert_eq!(spans.len(), 2);
        let trace = TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap();
        assert!(spans.iter().all(|span| span.span_context.trace_id() == trace));
        assert_eq!(spans[0].parent_span_id, SpanId::from_hex("b7ad6b7169203331").unwrap());
        assert!(spans[0].parent_span_is_remote);
        assert_eq!(spans[1].parent_span_id, spans[0].span_context.span_id());
        assert_eq!(spans[0].name, "POST /v1/chat/completions");
        assert_eq!(spans[1].name, "chat gpt-asked");
        assert_eq!(spans[1].end_time.duration_since(spans[1].start_time).unwrap(), facts.total);
    }

    #[test]
    fn without_a_callers_trace_the_exchange_is_its_own() {
        let mut facts = sample(0x0123_4567_89ab_7def_8123_4567_89ab_cdef);
        facts.identity.parent_span = Some("b7ad6b7169203331".into());
        let span = &spans(&facts, Convention::Classic)[0];
        assert_eq!(span.span_context.trace_id().to_string(), facts.id.to_string()[2..]);
        assert_eq!(span.parent_span_id, SpanId::INVALID);
        for bad in ["", "0", "+af7651916cd43dd8448eb211c80319", &"0".repeat(32), &"é".repeat(16)] {
            assert_eq!(trace_id(facts.id, Some(bad)), facts.id.0, "{bad}");
        }
    }

    #[test]
    fn names_follow_the_convention() {
        let mut facts = sample(7);
        facts.usage.cache_write = Some(5);
        let classic = &spans(&facts, Convention::Classic)[1].attributes;
        let latest = &spans(&facts, Convention::Latest)[1].attributes;
        assert_eq!(text(classic, "gen_ai.system").unwrap(), "openai");
        assert_eq!(text(latest, "gen_ai.system"), None);
        assert_eq!(text(latest, "gen_ai.provider.name").unwrap(), "openai");
        assert_eq!(text(classic, "gen_ai.usage.cache_creation.input_tokens").unwrap(), "5");
        assert_eq!(text(latest, "gen_ai.usage.cache_write.input_tokens").unwrap(), "5");
        assert_eq!(text(latest, "gen_ai.response.time_to_first_chunk").unwrap(), "0.1");
        assert_eq!(text(latest, "gen_ai.response.finish_reasons").unwrap(), "[\"stop\"]");
        assert_eq!(text(classic, "gen_ai.usage.output_tokens").unwrap(), "34");
    }

    #[test]
    fn a_refusal_before_any_provider_is_one_span_and_no_error_of_ours() {
        let mut facts = sample(7);
        facts.attempts = 0;
        facts.outcome = Outcome::Refused(Class::Killed);
        facts.status = 400;
        let spans = spans(&facts, Convention::Classic);
        assert_eq!(spans.len(), 1);
        assert_eq!(spans[0].status, Status::Unset);
        assert_eq!(text(&spans[0].attributes, "error.type").unwrap(), "firedoor_killed");
        assert_eq!(spans_of(&facts), 1);
    }

    #[test]
    fn a_providers_error_marks_both() {
        let mut facts = sample(7);
        facts.outcome = Outcome::ProviderError;
        facts.status = 503;
        facts.fault = Some("overloaded".to_owned());
        for span in spans(&facts, Convention::Classic) {
            assert_eq!(span.status, Status::error("overloaded"));
            assert_eq!(text(&span.attributes, "error.type").unwrap(), "503");
        }
    }

    #[test]
    fn names_of_spans_are_bounded() {
        let mut facts = sample(7);
        facts.path = "BREW /x".into();
        facts.dialect = None;
        facts.model_asked = Some("m".repeat(10_000).into());
        let spans = spans(&facts, Convention::Classic);
        assert_eq!(spans[0].name, "_OTHER");
        assert!(spans[1].name.len() < 300);
    }

    #[test]
    fn span_ids_differ_by_attempt_and_are_never_zero() {
        let id = ExchangeId::new(1_700_000_000_000, 42);
        let ids: std::collections::HashSet<u64> =
            (1..=255).map(|attempt| client_span_id(id, attempt)).collect();
        assert_eq!(ids.len(), 255);
        assert!(!ids.contains(&server_span_id(id)));
        assert_ne!(server_span_id(ExchangeId(0)), 0);
    }
}
