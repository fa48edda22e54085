//! Who is asking, read from headers and body hints in one fixed order.
//!
//! The authenticated app is the anchor; everything else is the caller's word, cut to a bound and
//! used for grouping, never for trust. The end user is hashed before it is kept. Where no session is
//! declared, one is told by how the conversation begins ([`conversation`]).

use super::facts::Identity;
use crate::table::IdentityHeaders;
use crate::wire::percent;
use crate::wire::request::{Hints, Opening};
use http::{HeaderMap, HeaderName};
use std::borrow::Cow;
use std::sync::Arc;

/// The longest session, agent or request id that is kept, in bytes. Longer ones are cut.
pub const ID_BYTES_MAX: usize = 200;

/// How many bytes of each part of a conversation's beginning are told apart; of what is behind, only
/// the length counts.
pub const OPENING_BYTES_MAX: usize = 64 << 10;
/// Of a longer text as many bytes at its beginning and at its end are told apart: what is said anew
/// in every conversation stands at one of them, and its length tells the rest.
const ENDS_BYTES: usize = 4 << 10;

/// What a session begins with that was not declared.
pub const INFERRED_PREFIX: &str = "h_";

/// Session headers, the first that is there wins.
const SESSION: [&str; 6] = [
    "x-firedoor-session",
    "x-session-id",
    "session-id",
    "x-claude-code-session-id",
    "helicone-session-id",
    "x-portkey-trace-id",
];

/// Baggage members (W3C Baggage) that name a session or an agent.
const BAGGAGE_SESSION: [&str; 2] = ["session.id", "gen_ai.conversation.id"];
const BAGGAGE_AGENT: [&str; 2] = ["gen_ai.agent.id", "gen_ai.agent.name"];

/// The headers that say something of identity, found in one pass: a request has few headers, and
/// looking a dozen names up costs more than looking at each header once.
#[derive(Default)]
struct Declared<'h> {
    session: Option<(usize, &'h str)>,
    agent: Option<&'h str>,
    originator: Option<&'h str>,
    user_agent: Option<&'h str>,
    baggage: Option<&'h str>,
    traceparent: Option<&'h str>,
    request: Option<&'h str>,
    client_request: Option<&'h str>,
}

impl<'h> Declared<'h> {
    fn read(headers: &'h HeaderMap, own: &IdentityHeaders) -> Declared<'h> {
        let mut found = Declared::default();
        let first = |names: &[HeaderName]| names.iter().find_map(|name| of(headers.get(name)?));
        found.session = first(&own.session).map(|session| (0, session));
        found.agent = first(&own.agent);
        for (name, value) in headers {
            let name = name.as_str();
            let place = match name {
                "x-firedoor-agent" => &mut found.agent,
                "originator" => &mut found.originator,
                "user-agent" => &mut found.user_agent,
                "baggage" => &mut found.baggage,
                "traceparent" => &mut found.traceparent,
                "x-request-id" => &mut found.request,
                "x-client-request-id" => &mut found.client_request,
                _ => {
                    let rank = SESSION.iter().position(|session| *session == name);
                    if let (Some(rank), Some(text)) = (rank, of(value))
                        && found.session.is_none_or(|(best, _)| rank + 1 < best)
                    {
                        found.session = Some((rank + 1, text));
                    }
                    continue;
                }
            };
            if place.is_none() {
                *place = of(value);
            }
        }
        found
    }
}

/// Reads the declared identity: headers first, then the body's hints, then what can be inferred.
///
/// `own` are the file's own headers, which go first. `hash` turns an end user into a keyed hash; the key is the caller's affair. `infer` gives the
/// session of a caller that declares none; it is told the end user's hash.
pub fn read(
    headers: &HeaderMap,
    own: &IdentityHeaders,
    hints: &Hints<'_>,
    hash: impl Fn(&str) -> Box<str>,
    infer: impl FnOnce(Option<&str>) -> Option<Arc<str>>,
) -> Identity {
    let declared = Declared::read(headers, own);
    let baggage = declared.baggage.unwrap_or("");
    let parent = declared.traceparent.and_then(trace_parent);
    let trace = parent.map(|(trace, _)| trace);
    let session = declared
        .session
        .map(|(_, session)| session)
        .or(hints.session.as_deref())
        .map(Cow::Borrowed)
        .or_else(|| member(baggage, &BAGGAGE_SESSION))
        .or(trace.map(Cow::Borrowed));
    let end_user = hints.end_user.as_deref().map(hash);
    let session = match session {
        Some(session) => Some(shared(&session)),
        None => infer(end_user.as_deref()),
    };
    let agent = declared
        .agent
        .map(Cow::Borrowed)
        .or_else(|| member(baggage, &BAGGAGE_AGENT))
        .or_else(|| hints.agent.as_deref().map(Cow::Borrowed))
        .or_else(|| declared.originator.map(Cow::Borrowed))
        .or_else(|| declared.user_agent.and_then(product).map(Cow::Borrowed));
    Identity {
        app: None,
        agent: agent.map(|agent| shared(&agent)),
        session,
        end_user,
        trace: trace.map(Box::from),
        parent_span: parent.map(|(_, span)| span.into()),
        request: declared.request.or(declared.client_request).map(cut),
    }
}

/// Who a request says it is, as far as its head alone settles it: what is inferred, and what the
/// body's hints go before, is left out.
pub fn read_head(headers: &HeaderMap, own: &IdentityHeaders) -> Identity {
    let declared = Declared::read(headers, own);
    let agent = declared.agent.map(Cow::Borrowed);
    let agent = agent.or_else(|| member(declared.baggage.unwrap_or(""), &BAGGAGE_AGENT));
    Identity {
        agent: agent.map(|agent| shared(&agent)),
        session: declared.session.map(|(_, session)| shared(session)),
        ..Identity::default()
    }
}

/// Feeds a keyed hash with what tells conversations apart: the caller, and how the conversation
/// begins. Every piece is preceded by its length, and every part by what can be no length, so
/// that no two beginnings feed the same bytes.
pub fn conversation(
    app: Option<&str>,
    end_user: Option<&str>,
    opening: &Opening<'_>,
    mut feed: impl FnMut(&[u8]),
) {
    for caller in [app, end_user] {
        let caller = caller.unwrap_or("");
        feed(&(caller.len() as u64).to_be_bytes());
        feed(caller.as_bytes());
    }
    for part in opening.texts() {
        feed(&u64::MAX.to_be_bytes());
        let mut left = OPENING_BYTES_MAX;
        for text in part {
            feed(&(text.len() as u64).to_be_bytes());
            let (head, tail) = ends(text.as_bytes());
            for told in [head, tail] {
                let told = told.get(..left).unwrap_or(told);
                feed(told);
                left -= told.len();
            }
        }
    }
}

/// The beginning and the end of a text that is told apart by them; of a short one all of it.
fn ends(text: &[u8]) -> (&[u8], &[u8]) {
    match (text.get(..ENDS_BYTES), text.len().checked_sub(ENDS_BYTES)) {
        (Some(head), Some(tail)) if tail > ENDS_BYTES => (head, &text[tail..]),
        _ => (text, b""),
    }
}

/// The text of a value, if it is not blank.
fn of(value: &http::HeaderValue) -> Option<&str> {
    value.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

/// A header's text, if it has one and it is not blank.
pub fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(of)
}

/// Trace and parent id of a `traceparent` (W3C Trace Context, section 3.2): hexadecimal digits in
/// lower case, neither all zeros.
fn trace_parent(parent: &str) -> Option<(&str, &str)> {
    let mut parts = parent.split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let is_id = |id: &str, length: usize| {
        id.len() == length
            && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            && id.bytes().any(|b| b != b'0')
    };
    (version.len() == 2 && is_id(trace, 32) && is_id(span, 16)).then_some((trace, span))
}

/// The first of `names` among the members of a baggage header, percent-decoded.
fn member<'b>(baggage: &'b str, names: &[&str]) -> Option<Cow<'b, str>> {
    names.iter().find_map(|name| {
        baggage.split(',').find_map(|entry| {
            let (key, value) = entry.split(';').next()?.split_once('=')?;
            let value = value.trim();
            (key.trim() == *name && !value.is_empty()).then(|| percent_decode(value))
        })
    })
}

/// Decodes `%xx`; what is not UTF-8 afterwards is left as it was.
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    String::from_utf8(percent::decoded(text)).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The product token of a user agent: `OpenAI/Python 1.2` and `claude-cli/2.1 (x)` give `OpenAI/Python`
/// and `claude-cli`.
fn product(agent: &str) -> Option<&str> {
    let first = agent.split([' ', '(']).next()?;
    let name = match first.split_once('/') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => name,
        _ => first,
    };
    (!name.is_empty()).then_some(name)
}

/// At most [`ID_BYTES_MAX`] bytes of `text`, control characters left out: what may be kept of a
/// word of the caller's.
pub fn cut(text: &str) -> Box<str> {
    kept(text).into()
}

/// The same, to be shared.
pub fn shared(text: &str) -> Arc<str> {
    kept(text).into()
}

fn kept(text: &str) -> Cow<'_, str> {
    let mut end = text.len().min(ID_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = &text[..end];
    if kept.chars().any(char::is_control) {
        Cow::Owned(kept.chars().filter(|c| !c.is_control()).collect())
    } else {
        Cow::Borrowed(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Dialect;
    use crate::wire::request::opening;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    const NONE: IdentityHeaders = IdentityHeaders { session: Vec::new(), agent: Vec::new() };

    fn none(_: Option<&str>) -> Option<Arc<str>> {
        None
    }

    #[test]
    fn the_first_of_the_order_wins() {
        let hints = Hints { session: Some("body".into()), ..Hints::default() };
        let hash = |_: &str| Box::from("h");
        let map = headers(&[("session-id", "codex"), ("x-firedoor-session", "mine")]);
        assert_eq!(read(&map, &NONE, &hints, hash, none).session.as_deref(), Some("mine"));
        let map = headers(&[("baggage", "a=b, session.id=s%201;p=1")]);
        assert_eq!(read(&map, &NONE, &hints, hash, none).session.as_deref(), Some("body"));
        assert_eq!(
            read(&map, &NONE, &Hints::default(), hash, none).session.as_deref(),
            Some("s 1")
        );
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let found =
            read(&headers(&[("traceparent", trace)]), &NONE, &Hints::default(), hash, |_| {
                panic!("a trace is a session")
            });
        assert_eq!(found.session.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        let hints = Hints { end_user: Some("u".into()), ..Hints::default() };
        let found = read(&headers(&[]), &NONE, &hints, hash, |end_user| {
            Some(Arc::from(format!("h_{}", end_user.unwrap())))
        });
        assert_eq!(found.session.as_deref(), Some("h_h"));
    }

    /// What `conversation` feeds.
    fn fed(app: Option<&str>, end_user: Option<&str>, dialect: Dialect, body: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let opening = opening(dialect, body.as_bytes()).unwrap();
        conversation(app, end_user, &opening, |piece| bytes.extend_from_slice(piece));
        bytes
    }

    #[test]
    fn conversations_are_told_apart() {
        let chat = |texts: &[(&str, &str)]| {
            let turns: Vec<String> = texts
                .iter()
                .map(|(role, text)| format!(r#"{{"role":"{role}","content":"{text}"}}"#))
                .collect();
            format!(r#"{{"messages":[{}]}}"#, turns.join(","))
        };
        let of =
            |app, user, texts: &[(&str, &str)]| fed(app, user, Dialect::OpenaiChat, &chat(texts));
        let (a, u) = (Some("a"), Some("u"));
        let first = of(a, u, &[("system", "s"), ("user", "q")]);
        let later = [("system", "s"), ("user", "q"), ("assistant", "x"), ("user", "r")];
        assert_eq!(of(a, u, &later), first);
        for (app, user, texts) in [
            (Some("b"), u, &[("system", "s"), ("user", "q")][..]),
            (None, u, &[("system", "s"), ("user", "q")]),
            (a, None, &[("system", "s"), ("user", "q")]),
            (Some("au"), None, &[("system", "s"), ("user", "q")]),
            (a, u, &[("system", "t"), ("user", "q")]),
            (a, u, &[("system", "sq"), ("user", "")]),
            (a, u, &[("system", "s"), ("system", ""), ("user", "q")]),
            (a, u, &[("system", "s"), ("user", "q2")]),
            (a, u, &[("user", "q")]),
        ] {
            assert_ne!(of(app, user, texts), first, "{app:?} {user:?} {texts:?}");
        }
    }

    #[test]
    fn what_is_fed_has_a_bound() {
        let long = |end: &str| {
            let text = "x".repeat(OPENING_BYTES_MAX);
            let body = format!(
                r#"{{"system":"{text}{end}{text}","messages":[{{"role":"user","content":"q"}}]}}"#
            );
            fed(None, None, Dialect::Anthropic, &body)
        };
        assert!(long("abc").len() < 2 * ENDS_BYTES + 100);
        assert_ne!(long("abc"), long("ab"), "the length tells them apart");
        assert_eq!(long("abc"), long("xyz"));
        let many = |end: &str| {
            let texts = format!(r#"{{"type":"text","text":"{}"}},"#, "x".repeat(100)).repeat(2_000);
            let body = format!(
                r#"{{"system":[{texts}{{"type":"text","text":"{end}"}}],"messages":[{{"role":"user","content":"q"}}]}}"#
            );
            fed(None, None, Dialect::Anthropic, &body)
        };
        assert_eq!(many("abc"), many("xyz"));
    }

    #[test]
    fn agents_from_user_agents() {
        for (agent, expected) in [
            ("claude-cli/2.1.197 (external, cli)", "claude-cli"),
            ("OpenAI/Python 3.54.0", "OpenAI/Python"),
            ("curl/8.0", "curl"),
        ] {
            let found = read(
                &headers(&[("user-agent", agent)]),
                &NONE,
                &Hints::default(),
                |_| "".into(),
                none,
            );
            assert_eq!(found.agent.as_deref(), Some(expected));
        }
    }

    #[test]
    fn long_and_hostile_ids_are_cut() {
        let long = format!("{}é", "x".repeat(ID_BYTES_MAX - 1));
        assert_eq!(cut(&long).len(), ID_BYTES_MAX - 1);
        assert_eq!(&*cut("a\u{1b}[31mb"), "a[31mb");
    }
}
