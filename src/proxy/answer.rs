//! What Firedoor says itself: refusals, fixed and simulated answers, the root.
//!
//! Every answer of ours carries the exchange's id, so that a person who sees it can find it.

use super::client::{Client, Framing};
use crate::exchange::facts::Facts;
use crate::exchange::forward::Headers;
use crate::id::ExchangeText;
use crate::wire::Dialect;
use crate::wire::refusal::{Class, Refusal};
use http::{HeaderName, HeaderValue, StatusCode, header};

/// Seconds after which a client may try again when no target can take a request.
const RETRY_AFTER_SECONDS: &str = "2";

/// Our own header names.
pub mod name {
    use http::HeaderName;

    /// The exchange's id.
    pub const EXCHANGE: HeaderName = HeaderName::from_static("x-firedoor-exchange");
    /// The route that took it.
    pub const ROUTE: HeaderName = HeaderName::from_static("x-firedoor-route");
    /// The target that answered.
    pub const TARGET: HeaderName = HeaderName::from_static("x-firedoor-target");
    /// Requests sent to providers, this one included.
    pub const ATTEMPT: HeaderName = HeaderName::from_static("x-firedoor-attempt");
    /// What kind of containment a refusal is.
    pub const ACTION: HeaderName = HeaderName::from_static("x-firedoor-action");
    /// The lever, rule or incident behind a refusal.
    pub const ID: HeaderName = HeaderName::from_static("x-firedoor-id");
    /// The lever that sent the request elsewhere, or that refused it.
    pub const LEVER: HeaderName = HeaderName::from_static("x-firedoor-lever");
    /// The gravest thing that rules did.
    pub const VERDICT: HeaderName = HeaderName::from_static("x-firedoor-verdict");
    /// What the provider's dialect could not say of the request.
    pub const LOSS: HeaderName = HeaderName::from_static("x-firedoor-loss");
    /// Read by the OpenAI and Anthropic SDKs.
    pub const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
    /// The caller's own request id, or ours.
    pub const REQUEST: HeaderName = HeaderName::from_static("x-request-id");
}

/// A header value from text of ours; empty if it holds what no header can carry.
pub fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Queues a whole refusal, with what is known of its exchange.
pub fn refuse<C: Client>(
    client: &mut C,
    refusal: &Refusal,
    dialect: Dialect,
    id: &ExchangeText,
    facts: &Facts,
) -> StatusCode {
    let status =
        StatusCode::from_u16(refusal.class.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = refusal.body(dialect, id.as_str());
    let headers = refusal_headers(refusal, dialect, id, facts);
    client.head(status, &headers, Framing::Length(body.len() as u64));
    client.data(&body);
    client.finish();
    status
}

fn refusal_headers(
    refusal: &Refusal,
    dialect: Dialect,
    id: &ExchangeText,
    facts: &Facts,
) -> Headers {
    let mut headers = Headers::with_capacity(13);
    headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
    headers.push((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
    headers.push((name::EXCHANGE, value(id.as_str())));
    headers.push((name::REQUEST, value(facts.identity.request.as_deref().unwrap_or(id.as_str()))));
    headers.extend(facts.route.as_ref().map(|route| (name::ROUTE, value(route.as_str()))));
    headers.extend(facts.target.as_deref().map(|target| (name::TARGET, value(target))));
    if facts.attempts > 0 {
        headers.push((name::ATTEMPT, HeaderValue::from(u16::from(facts.attempts))));
    }
    if let Some((name, kind)) = refusal.header(dialect) {
        headers.push((HeaderName::from_static(name), HeaderValue::from_static(kind)));
    }
    if !refusal.class.is_transient() {
        headers.push((name::SHOULD_RETRY, HeaderValue::from_static("false")));
    }
    if refusal.class == Class::Unavailable {
        headers.push((header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS)));
    }
    if let Some(action) = refusal.class.action() {
        headers.push((name::ACTION, HeaderValue::from_static(action)));
        let reference = refusal.reference.as_deref().map(value);
        headers.push((name::ID, reference.clone().unwrap_or_else(|| value(id.as_str()))));
        // Of what a limit of the routes file refuses there is no lever, of what a rule does neither.
        if matches!(refusal.class, Class::Killed | Class::Limited) {
            headers.extend(reference.map(|lever| (name::LEVER, lever)));
        }
    }
    headers
}

/// Queues the answer to a request for the root.
pub fn root<C: Client>(client: &mut C, id: &ExchangeText) -> StatusCode {
    let body = concat!(
        "{\"service\":\"firedoor\",\"version\":\"",
        env!("CARGO_PKG_VERSION"),
        "\",\"try\":\"POST /v1/chat/completions with model firedoor-sim\"}\n"
    );
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (name::EXCHANGE, value(id.as_str())),
    ];
    client.head(StatusCode::OK, &headers, Framing::Length(body.len() as u64));
    client.data(body.as_bytes());
    client.finish();
    StatusCode::OK
}
