//! What of a head may be kept in a record: everything but credentials.
//!
//! What always holds: the value of a field or of a query's parameter that may be a credential is
//! not kept, whoever invented its name. A name says so by its words (`x-acme-api-key`), a value by
//! its scheme (`Bearer ..`); better one value too few than one too many.

use aho_corasick::AhoCorasick;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use std::sync::LazyLock;

/// Words in the names of fields and parameters that carry credentials.
const WORDS: &[&str] = &[
    "assertion",
    "auth",
    "cookie",
    "credential",
    "jwt",
    "key",
    "passw",
    "secret",
    "session-token",
    "sig",
    "token",
];
/// Beginnings of names that have such words and carry no credential.
const HARMLESS: &[&str] = &["anthropic-ratelimit-", "x-ratelimit-", "x-stainless-"];
/// What stands in front of a credential, whatever the field is called.
const SCHEMES: &[&str] = &["bearer ", "basic ", "digest ", "aws4-hmac-sha256 "];

/// Whether one of [`WORDS`] stands in `name`: all are looked for at once, as every head is asked twice.
fn has_word(name: &str) -> bool {
    static FOUND: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| AhoCorasick::new(WORDS).ok());
    match &*FOUND {
        Some(words) => words.is_match(name),
        None => WORDS.iter().any(|word| name.contains(word)),
    }
}

/// Whether `name`, in lower case, is that of something that may carry a credential.
fn names_credential(name: &str) -> bool {
    match name {
        // Most fields are these.
        "accept"
        | "accept-encoding"
        | "cache-control"
        | "connection"
        | "content-encoding"
        | "content-length"
        | "content-type"
        | "date"
        | "host"
        | "server"
        | "traceparent"
        | "transfer-encoding"
        | "user-agent"
        | "x-firedoor-attempt"
        | "x-firedoor-exchange"
        | "x-firedoor-route"
        | "x-firedoor-target"
        | "x-request-id"
        | "idempotency-key"
        | "sec-websocket-key"
        | "www-authenticate" => false,
        _ => has_word(name) && !HARMLESS.iter().any(|beginning| name.starts_with(beginning)),
    }
}

/// Whether a field may carry a credential.
pub fn is_credential(name: &HeaderName, value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let has_scheme = |scheme: &&str| {
        bytes.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme.as_bytes()))
    };
    value.is_sensitive()
        || names_credential(name.as_str())
        || (matches!(bytes.first(), Some(b'a' | b'A' | b'b' | b'B' | b'd' | b'D'))
            && SCHEMES.iter().any(has_scheme))
}

/// The fields that may be kept.
pub fn fields(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    headers
        .iter()
        .filter(|(name, value)| !is_credential(name, value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The same of fields that are no map yet.
pub fn listed(headers: &[(HeaderName, HeaderValue)]) -> Vec<(HeaderName, HeaderValue)> {
    headers.iter().filter(|(name, value)| !is_credential(name, value)).cloned().collect()
}

/// Path and query without the values of parameters that may be credentials.
pub fn path<'p>(path: &'p str, query: Option<&str>) -> Cow<'p, str> {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Cow::Borrowed(path);
    };
    let mut kept = format!("{path}?");
    for (at, pair) in query.split('&').enumerate() {
        if at > 0 {
            kept.push('&');
        }
        match pair.split_once('=') {
            Some((name, _))
                if names_credential(&name.to_ascii_lowercase()) || name.contains('%') =>
            {
                kept.push_str(name);
                kept.push_str("=***");
            }
            Some(_) | None => kept.push_str(pair),
        }
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_kept_whatever_they_are_called() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer sk-1"),
            ("x-api-key", "sk-2"),
            ("X-Goog-Api-Key", "AIza3"),
            ("x-acme-access-token", "4"),
            ("cookie", "a=5"),
            ("x-amz-security-token", "6"),
            ("x-forwarded", "bEARER 7"),
            ("content-type", "application/json"),
            ("idempotency-key", "i-8"),
            ("anthropic-ratelimit-tokens-limit", "9"),
        ] {
            headers
                .append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let kept: Vec<String> =
            fields(&headers).iter().map(|(_, value)| value.to_str().unwrap().to_owned()).collect();
        assert_eq!(kept, ["application/json", "i-8", "9"]);
    }

    #[test]
    fn parameters_that_may_be_credentials_lose_their_values() {
        assert_eq!(path("/v1/models", None), "/v1/models");
        assert_eq!(
            path("/v1beta/m:g", Some("key=AIza&alt=sse&X-Amz-Signature=1&a%70i=2&flag")),
            "/v1beta/m:g?key=***&alt=sse&X-Amz-Signature=***&a%70i=***&flag"
        );
    }
}
