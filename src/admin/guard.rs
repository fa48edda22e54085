//! What stands between a request and its handler.
//!
//! [`finish`] is outermost, then [`admit`], then, on a matched route only, [`authorise`] with the
//! access of that route's own row: a path cannot be judged as one route and served as another.
//!
//! A page in a browser on the operator's machine can reach a listener on loopback, and by DNS
//! rebinding under a name of its own. Hence: the host must be an IP literal, `localhost` or a
//! configured name; a request that a page of another origin makes is refused; no CORS header is
//! ever sent.

use super::desk::{Access, Desk, Door};
use super::problem::Problem;
use super::state::State;
use super::tokens::Role;
use axum::extract;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Method, Request};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// How long a handler may take until the head of its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Sets the headers that every answer carries, and ends handlers that hang.
pub(super) async fn finish(request: Request<axum::body::Body>, next: Next) -> Response {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| Problem::timeout().into_response());
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 5] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Checks host and origin.
pub(super) async fn admit(
    extract::State(desk): extract::State<Desk>,
    request: Request<axum::body::Body>,
    next: Next,
) -> Response {
    let admitted = match desk.door {
        // No browser reaches a unix socket, and clients put what they like into its host.
        Door::Unix => Ok(()),
        Door::Tcp => admit_tcp(&desk.state, &request),
    };
    match admitted {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn admit_tcp(state: &State, request: &Request<axum::body::Body>) -> Result<(), Problem> {
    let host = one(request.headers(), &header::HOST)?
        .ok_or_else(|| Problem::bad_request("There must be a `host` header."))?;
    let host: Authority =
        host.parse().map_err(|_| Problem::bad_request("The `host` header cannot be read."))?;
    if !is_allowed_host(&host, &state.hosts) {
        return Err(Problem::misdirected());
    }
    // The absolute form names a host too; the two must not tell different stories.
    if request.uri().authority().is_some_and(|other| *other != host) {
        return Err(Problem::misdirected());
    }
    let origin = one(request.headers(), &header::ORIGIN)?;
    if origin.is_some_and(|origin| !is_same_origin(origin, &host)) {
        return Err(Problem::cross_site());
    }
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let site = one(request.headers(), &HeaderName::from_static("sec-fetch-site"))?;
    if !is_read && site.is_some_and(|site| !["same-origin", "none"].contains(&site)) {
        return Err(Problem::cross_site());
    }
    Ok(())
}

/// The only value of a header, if there is one.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::bad_request(format!("There are several `{name}` headers.")));
    }
    let unreadable = |_| Problem::bad_request(format!("The `{name}` header is not ASCII."));
    value.to_str().map(Some).map_err(unreadable)
}

fn is_allowed_host(host: &Authority, names: &[String]) -> bool {
    let name = host.host();
    // The parser lets more pass than a name and a port (`user@name`, `[::1].name`).
    let rest = host.as_str().strip_prefix(name);
    let is_port = |rest: &str| {
        rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
    };
    if !rest.is_some_and(is_port) {
        return false;
    }
    let v6 = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    v6.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        || name.parse::<Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
}

/// Whether a page at `origin` was served by us, under the host that it now calls.
fn is_same_origin(origin: &str, host: &Authority) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_str()))
}

/// Checks the token against the access of the matched route.
pub(super) async fn authorise(
    extract::State((desk, access)): extract::State<(Desk, Access)>,
    request: Request<axum::body::Body>,
    next: Next,
) -> Response {
    match may(&desk, access, request.headers()).and_then(|()| no_words_lost(&request)) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// What changes anything takes all of it from its body: who writes `?dry_run=true` means it.
fn no_words_lost(request: &Request<axum::body::Body>) -> Result<(), Problem> {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let has_query = request.uri().query().is_some_and(|query| !query.is_empty());
    if is_read || !has_query {
        return Ok(());
    }
    Err(Problem::bad_request(
        "This call takes no query parameters; what it is told stands in its body.",
    ))
}

fn may(desk: &Desk, access: Access, headers: &HeaderMap) -> Result<(), Problem> {
    let needed = match access {
        Access::Open => return Ok(()),
        Access::Role(needed) => needed,
    };
    let held = match desk.door {
        Door::Unix => Role::Admin,
        Door::Tcp => {
            let token = bearer(headers).ok_or_else(Problem::unauthenticated)?;
            desk.state.tokens.role_of(token).ok_or_else(Problem::unauthenticated)?
        }
    };
    if held < needed { Err(Problem::forbidden(needed.name())) } else { Ok(()) }
}

/// Role and name of the token that the caller holds.
pub(super) fn holder(desk: &Desk, headers: &HeaderMap) -> Option<(Role, Arc<str>)> {
    desk.state.tokens.holder_of(bearer(headers)?)
}

/// The key under which the same call is done only once (`idempotency-key`), if there is one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = one(headers, &HeaderName::from_static("idempotency-key"))? else {
        return Ok(None);
    };
    if key.is_empty() || key.len() > 200 {
        return Err(Problem::bad_request("`idempotency-key` must have 1 to 200 characters."));
    }
    Ok(Some(key.to_owned()))
}

/// The token of the one `authorization` header (RFC 6750, section 2.1). Tokens in queries are not
/// taken: they end up in logs.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = one(headers, &header::AUTHORIZATION).ok()??;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_literals_localhost_and_our_names_are_hosts() {
        let names = vec!["firedoor.internal".to_owned()];
        let allowed =
            |host: &str| host.parse().is_ok_and(|host: Authority| is_allowed_host(&host, &names));
        for host in [
            "127.0.0.1",
            "127.0.0.1:4801",
            "[::1]:4801",
            "10.1.2.3:1",
            "localhost",
            "LOCALHOST:80",
            "firedoor.internal:4801",
            "Firedoor.Internal",
        ] {
            assert!(allowed(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "localhost.",
            "user@localhost",
            "evil.example#localhost",
            "0x7f000001",
            "127.1",
            "[::1].evil.example",
            "localhost/../",
            "a/../admin?",
            "firedoor.internal.",
        ] {
            assert!(!allowed(host), "{host}");
        }
    }

    #[test]
    fn an_origin_is_ours_only_whole() {
        let host: Authority = "localhost:4801".parse().unwrap();
        assert!(is_same_origin("http://localhost:4801", &host));
        for other in [
            "null",
            "http://localhost",
            "http://localhost:4802",
            "http://evil.example",
            "http://localhost:4801.evil.example",
            "file://localhost:4801",
            "",
        ] {
            assert!(!is_same_origin(other, &host), "{other}");
        }
    }

    #[test]
    fn a_bearer_token_stands_in_one_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), None);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("bearer abc"));
        assert_eq!(bearer(&headers), Some("abc"));
        headers.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer def"));
        assert_eq!(bearer(&headers), None);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic abc"));
        assert_eq!(bearer(&headers), None);
    }
}
