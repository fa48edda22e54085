//! The request as the provider gets it, and the answer's head as the client gets it.
//!
//! Everything is passed on that is not a hop's own affair, ours, or a credential: bodies byte for
//! byte but for a replaced model name; the caller's credential only where the provider has none
//! configured.

use super::admit::{Admission, Asked, CREDENTIALS, KeyAt, bearer};
use super::sigv4;
use crate::table::{Family, Provider, Table, Target};
use crate::wire::Dialect;
use crate::wire::json::push_escaped;
use crate::wire::models::Named;
use crate::wire::refusal::{Class, Refusal};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use smallvec::SmallVec;

static IDENTITY: HeaderValue = HeaderValue::from_static("identity");
static JSON: HeaderValue = HeaderValue::from_static("application/json");
static ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The version of the API that is written (<https://docs.anthropic.com/en/api/versioning>).
static ANTHROPIC_VERSION_VALUE: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Headers of a caller that say the same to every provider.
static NEUTRAL: [HeaderName; 3] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    header::USER_AGENT,
];

/// Headers in the order in which they are written.
pub type Headers = Vec<(HeaderName, HeaderValue)>;

/// Headers that are still the request's or the table's own.
pub type Borrowed<'h> = SmallVec<[(&'h HeaderName, &'h HeaderValue); 24]>;

/// Which headers of a request or an answer belong to one hop only (RFC 9110, section 7.6.1), the
/// ones that `connection` names aside.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

/// Whether `connection` names this header, which makes it the hop's own.
fn is_named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|list| {
            list.split(',').any(|part| part.trim().eq_ignore_ascii_case(name.as_str()))
        })
    })
}

/// Whether this is the key of an app, wherever a caller put it: those are ours alone.
fn is_app_key(table: &Table, value: &str) -> bool {
    !table.apps.is_empty() && table.app_by_key(bearer(value)).is_some()
}

/// Path and query at the provider.
pub fn path_and_query(
    table: &Table,
    provider: &Provider,
    admission: &Admission,
    asked: &Asked<'_>,
    model: Option<&str>,
) -> String {
    let mut path = provider.upstream_path(admission.path(asked.path), model);
    let mut separator = '?';
    let mut push = |path: &mut String, pair: &str| {
        path.push(separator);
        path.push_str(pair);
        separator = '&';
    };
    for pair in asked.query.unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
        let key = pair.strip_prefix("key=");
        let is_dropped = admission.key_at == KeyAt::Query || provider.has_credential();
        if key.is_some_and(|key| is_dropped || is_app_key(table, key)) {
            continue;
        }
        push(&mut path, pair);
    }
    // What the caller says of a name stands: said twice, nobody knows which of them counts.
    let name = |pair: &str| pair.find('=').unwrap_or(pair.len());
    let said = |pair: &str| {
        let mut pairs = asked.query.unwrap_or("").split('&');
        pairs.any(|said| said[..name(said)] == pair[..name(pair)])
    };
    for pair in provider.query.iter().flat_map(|query| query.split('&')) {
        if !said(pair) {
            push(&mut path, pair);
        }
    }
    path
}

/// The headers that go to the provider, `host` and body framing aside.
///
/// # Errors
/// The request carries no credential that could be sent on and the provider has none; the refusal
/// says which variable to set.
pub fn request_headers<'h>(
    table: &Table,
    provider: &'h Provider,
    admission: &Admission,
    asked: &Asked<'h>,
    is_stream: bool,
) -> Result<Borrowed<'h>, Refusal> {
    let is_signed = asked.headers.get(header::AUTHORIZATION).is_some_and(sigv4::is_signature);
    if is_signed && provider.family == Family::Bedrock && !provider.has_credential() {
        return Err(cannot_sign(provider));
    }
    let mut headers = Borrowed::new();
    let has_connection = asked.headers.contains_key(header::CONNECTION);
    let mut keys = asked
        .query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter_map(|p| p.strip_prefix("key="));
    let mut has_credential = keys.any(|key| !is_app_key(table, key));
    for (name, value) in asked.headers {
        let is_credential = CREDENTIALS.contains(name);
        if is_credential {
            let is_dropped = provider.has_credential() || admission.key_at == KeyAt::Standard;
            if is_dropped || value.to_str().is_ok_and(|value| is_app_key(table, value)) {
                continue;
            }
            has_credential = true;
        }
        let is_ours = name.as_str().starts_with("x-firedoor-");
        let is_negotiated = *name == header::ACCEPT_ENCODING && is_stream;
        let is_dropped = *name == header::HOST
            || *name == header::CONTENT_LENGTH
            || *name == header::EXPECT
            || name.as_str() == "baggage"
            || (sigv4::is_of_signature(name) && (is_signed || provider.has_credential()))
            || is_hop_by_hop(name)
            || (has_connection && is_named_by_connection(asked.headers, name));
        if !is_ours && !is_negotiated && !is_dropped {
            headers.push((name, value));
        }
    }
    if is_stream {
        // A stream that may have to be ended in its dialect must not be compressed.
        headers.push((&header::ACCEPT_ENCODING, &IDENTITY));
    }
    let needs_one = provider.key_variable.is_some() || admission.key_at != KeyAt::Nowhere;
    add_own(headers, provider, needs_one && !has_credential)
}

/// The path and query at a provider that is asked in another dialect than the caller's.
pub fn foreign_path(
    provider: &Provider,
    dialect: Dialect,
    model: Option<&str>,
    is_stream: bool,
) -> String {
    // The model's name in a path is a place that the provider's own is put into.
    let (path, query) = match (dialect, is_stream) {
        (Dialect::OpenaiChat, _) => ("/v1/chat/completions", None),
        (Dialect::OpenaiResponses, _) => ("/v1/responses", None),
        (Dialect::Anthropic, _) => ("/v1/messages", None),
        (Dialect::Gemini, false) => ("/v1beta/models/m:generateContent", None),
        (Dialect::Gemini, true) => ("/v1beta/models/m:streamGenerateContent", Some("alt=sse")),
        (Dialect::Bedrock, false) => ("/model/m/converse", None),
        (Dialect::Bedrock, true) => ("/model/m/converse-stream", None),
    };
    let mut path = provider.upstream_path(path, model);
    for (pair, separator) in query.into_iter().chain(provider.query.as_deref()).zip(["?", "&"]) {
        path.push_str(separator);
        path.push_str(pair);
    }
    path
}

/// The headers that go to a provider which is asked in another dialect than the caller's: none of
/// the caller's but those that every provider reads alike, and never its credential, which is
/// another provider's.
///
/// # Errors
/// The provider has no credential; the refusal says which variable to set.
pub fn foreign_headers<'h>(
    provider: &'h Provider,
    dialect: Dialect,
    asked: &Asked<'h>,
) -> Result<Borrowed<'h>, Refusal> {
    let mut headers = Borrowed::new();
    headers.push((&header::CONTENT_TYPE, &JSON));
    headers.push((&header::ACCEPT_ENCODING, &IDENTITY));
    for name in &NEUTRAL {
        headers.extend(asked.headers.get(name).map(|value| (name, value)));
    }
    if dialect == Dialect::Anthropic {
        headers.push((&ANTHROPIC_VERSION, &ANTHROPIC_VERSION_VALUE));
    }
    add_own(headers, provider, provider.key_variable.is_some())
}

/// Adds what is the provider's own: its credential, which must be there if the caller sent none that
/// could be (`needs_one`), and its headers, in place of the caller's.
fn add_own<'h>(
    mut headers: Borrowed<'h>,
    provider: &'h Provider,
    needs_one: bool,
) -> Result<Borrowed<'h>, Refusal> {
    match &provider.credential {
        Some((name, value)) => headers.push((name, value)),
        None if provider.signer.is_none() && needs_one => return Err(no_credential(provider)),
        None => {}
    }
    for (name, value) in &provider.headers {
        headers.retain(|(other, _)| *other != name);
        headers.push((name, value));
    }
    Ok(headers)
}

/// A caller's own signature is over the host that it asked: ours.
fn cannot_sign(provider: &Provider) -> Refusal {
    Refusal::new(
        Class::Unauthenticated,
        format!(
            "the request is signed for this host, and a signature cannot be sent on: give provider `{}` an `access_key_id` and a `secret_access_key`, or an `api_key`, or send a Bedrock API key as a bearer token (AWS_BEARER_TOKEN_BEDROCK)",
            provider.name
        ),
    )
}

/// The headers that sign a request to a provider which signs; none for any other.
///
/// # Errors
/// The body is not here to be signed, or a credential cannot be sent.
pub fn signature(
    provider: &Provider,
    request: &sigv4::Request<'_>,
    is_whole: bool,
    headers: &Borrowed<'_>,
    unix_ms: u64,
) -> Result<Headers, Refusal> {
    let Some(signer) = &provider.signer else { return Ok(Headers::new()) };
    if !is_whole {
        let message = "requests to this provider are signed over their whole body, which must come with `content-length` and, on this path, in at most 1 MiB";
        return Err(Refusal::new(Class::BadRequest, message));
    }
    sigv4::sign(signer, request, headers, unix_ms / 1000)
        .ok_or_else(|| Refusal::new(Class::Internal, "the request could not be signed"))
}

fn no_credential(provider: &Provider) -> Refusal {
    let variable = provider.key_variable.as_deref().unwrap_or("its api_key");
    Refusal::new(
        Class::Unauthenticated,
        format!(
            "provider `{name}` has no key and the request brings none: set {variable}, or send your own in the header in which your SDK sends it (with an app key in `x-firedoor-key`)",
            name = provider.name
        ),
    )
}

/// The body with `model` in place of the name that stands there; the same bytes where nothing
/// changes.
pub fn body(body: &Bytes, named: Option<Named>, asked: Option<&str>, model: Option<&str>) -> Bytes {
    let (Some(named), Some(model)) = (named, model) else { return body.clone() };
    let range = named.range();
    if asked == Some(model) || body.get(range.clone()).is_none() {
        return body.clone();
    }
    let mut edited = Vec::with_capacity(body.len() + model.len());
    edited.extend_from_slice(&body[..range.start]);
    match named {
        Named::Json(_) => push_escaped(&mut edited, model),
        Named::Field { .. } => edited.extend_from_slice(model.as_bytes()),
    }
    edited.extend_from_slice(&body[range.end..]);
    edited.into()
}

/// Moves those headers of a provider's answer that go to the client, body framing aside.
pub fn move_response_headers(upstream: HeaderMap, headers: &mut Headers) {
    let named = upstream.get(header::CONNECTION).is_some().then(|| upstream.clone());
    let mut last: Option<HeaderName> = None;
    for (name, value) in upstream {
        // A repeated header comes without its name.
        let Some(name) = name.or_else(|| last.clone()) else { continue };
        last = Some(name.clone());
        let is_ours = name.as_str().starts_with("x-firedoor-");
        let is_dropped = name == header::CONTENT_LENGTH
            || name == header::DATE
            || is_hop_by_hop(&name)
            || named.as_ref().is_some_and(|all| is_named_by_connection(all, &name));
        if name.as_str() == "x-request-id" {
            headers.push((HeaderName::from_static("x-firedoor-upstream-request-id"), value));
        } else if !is_ours && !is_dropped {
            headers.push((name, value));
        }
    }
}

/// Of the headers of an answer in another dialect those that say the same in every one.
pub fn move_foreign_headers(upstream: HeaderMap, headers: &mut Headers) {
    for (name, value) in upstream {
        match name {
            Some(name) if name == header::RETRY_AFTER => headers.push((name, value)),
            Some(name) if name.as_str() == "x-request-id" || name.as_str() == "request-id" => {
                headers.push((HeaderName::from_static("x-firedoor-upstream-request-id"), value));
            }
            Some(_) | None => {}
        }
    }
}

/// The model to ask a target for.
pub fn model<'m>(target: &'m Target, asked: Option<&'m str>) -> Option<&'m str> {
    target.model.as_ref().map(crate::id::ModelName::as_str).or(asked)
}

/// The provider of a target.
pub fn provider<'t>(table: &'t Table, target: &Target) -> &'t Provider {
    &table.providers[usize::from(target.provider.0)]
}
