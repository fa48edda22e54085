//! From a request's head to what it means: surface, provider prefix, app.
//!
//! Authentication and dispatch read the same parsed path; nothing here looks at `Host`. What
//! cannot be admitted is refused in the dialect of its path.

use crate::table::{AppIndex, Family, ProviderIndex, Table};
use crate::wire::Dialect;
use crate::wire::models;
use crate::wire::refusal::{Class, Refusal};
use crate::wire::request::{Surface, surface};
use http::{HeaderMap, HeaderName, Method, header};

/// A request's head, parsed and checked by the proxy.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'h> {
    /// The method.
    pub method: &'h Method,
    /// The path as received, without query; checked to hold no dot segments or empty segments.
    pub path: &'h str,
    /// The query, without `?`.
    pub query: Option<&'h str>,
    /// The headers.
    pub headers: &'h HeaderMap,
}

/// Where the app's key stood: the place that must not be sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAt {
    /// There was none, or none was needed.
    Nowhere,
    /// In `x-firedoor-key`, which is never sent on.
    Own,
    /// In a header that a provider takes its own credential from.
    Standard,
    /// In the query, as `key=`.
    Query,
}

/// What an admitted request is.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The dialect of an answer that is asked for; `None` for what is passed through.
    pub dialect: Option<Dialect>,
    /// The dialect in which the caller is told about errors.
    pub speaks: Dialect,
    /// The model that the path names.
    pub model: Option<Box<str>>,
    /// Whether the path asks for a stream.
    pub stream: Option<bool>,
    /// The provider that the path names.
    pub provider: Option<ProviderIndex>,
    /// Bytes of the path that are the provider's prefix.
    pub prefix_bytes: usize,
    /// The authenticated app.
    pub app: Option<AppIndex>,
    /// Where its key stood.
    pub key_at: KeyAt,
}

/// The headers in which providers take credentials, and so in which an app may send its key.
pub const CREDENTIALS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("api-key"),
];

/// Our own header for an app's key.
pub const OWN_KEY: &str = "x-firedoor-key";

impl Admission {
    /// The path without the provider's prefix.
    pub fn path<'p>(&self, path: &'p str) -> &'p str {
        path.get(self.prefix_bytes..).unwrap_or("/")
    }
}

/// Admits a request, or says why not; the dialect of the refusal comes with it.
///
/// # Errors
/// No valid app key where apps are configured.
pub fn admit(table: &Table, asked: &Asked<'_>) -> Result<Admission, (Dialect, Refusal)> {
    let (provider, prefix_bytes) = match prefix(table, asked.path) {
        Some((provider, bytes)) => (Some(provider), bytes),
        None => (None, 0),
    };
    let path = asked.path.get(prefix_bytes..).unwrap_or("/");
    let family = provider.map(|index: ProviderIndex| table.providers[usize::from(index.0)].family);
    let speaks = error_dialect(path, asked.headers, family);
    let (dialect, model, stream) = match surface(path) {
        Surface::Answer { dialect, .. } if family.is_some_and(|family| !family.speaks(dialect)) => {
            (None, None, None)
        }
        // Lists of stored answers, preflights and the like.
        Surface::Answer { .. } if asked.method != Method::POST => (None, None, None),
        Surface::Answer { dialect, model, stream } => {
            (Some(dialect), model.map(|model| Box::from(&*model)), stream)
        }
        Surface::Other => {
            let named = models::in_target(path, asked.query);
            let model = named.first().map(|model| Box::from(&**model));
            (None, model, None)
        }
    };
    let speaks = dialect.unwrap_or(speaks);
    let (app, key_at) = authenticate(table, asked).map_err(|refusal| (speaks, refusal))?;
    Ok(Admission { dialect, speaks, model, stream, provider, prefix_bytes, app, key_at })
}

/// The provider whose name is the first segment of the path, and the length of that prefix.
fn prefix(table: &Table, path: &str) -> Option<(ProviderIndex, usize)> {
    let rest = path.strip_prefix('/')?;
    let name = &rest[..rest.find('/').unwrap_or(rest.len())];
    let (provider, _) = table.by_provider_name.get(name)?;
    Some((*provider, 1 + name.len()))
}

/// The dialect in which to speak of errors on a path that has none of its own.
fn error_dialect(path: &str, headers: &HeaderMap, family: Option<Family>) -> Dialect {
    match family {
        Some(Family::Anthropic) => return Dialect::Anthropic,
        Some(Family::Gemini) => return Dialect::Gemini,
        Some(Family::Bedrock) => return Dialect::Bedrock,
        Some(Family::Openai) => return Dialect::OpenaiChat,
        Some(Family::Canned | Family::Simulated) | None => {}
    }
    if path.starts_with("/v1beta") || path.starts_with("/v1alpha") {
        Dialect::Gemini
    } else if path.starts_with("/model/") {
        Dialect::Bedrock
    } else if path.starts_with("/v1/messages") || headers.contains_key("anthropic-version") {
        Dialect::Anthropic
    } else {
        Dialect::OpenaiChat
    }
}

/// The app whose key the request carries. Without apps, everybody may enter.
fn authenticate(table: &Table, asked: &Asked<'_>) -> Result<(Option<AppIndex>, KeyAt), Refusal> {
    if table.apps.is_empty() {
        return Ok((None, KeyAt::Nowhere));
    }
    if let Some(key) = super::identity::text(asked.headers, OWN_KEY) {
        return match table.app_by_key(key) {
            Some(app) => Ok((Some(app), KeyAt::Own)),
            None => Err(unauthenticated()),
        };
    }
    for name in &CREDENTIALS {
        let Some(value) = asked.headers.get(name).and_then(|value| value.to_str().ok()) else {
            continue;
        };
        if let Some(app) = table.app_by_key(bearer(value)) {
            return Ok((Some(app), KeyAt::Standard));
        }
    }
    let in_query = asked.query.and_then(|query| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix("key="))
            .and_then(|key| table.app_by_key(key))
    });
    match in_query {
        Some(app) => Ok((Some(app), KeyAt::Query)),
        None => Err(unauthenticated()),
    }
}

/// The key in a header's value.
pub(super) fn bearer(value: &str) -> &str {
    let key = value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer "));
    key.unwrap_or(value).trim()
}

/// The same words for a missing, a wrong and an expired key.
fn unauthenticated() -> Refusal {
    Refusal::new(
        Class::Unauthenticated,
        "no valid app key: send one as `x-firedoor-key`, or in the header in which your SDK sends its API key",
    )
}

/// A path as it may stand in a message: short, and without control characters.
pub fn path_for_people(path: &str) -> String {
    path.chars().filter(|c| !c.is_control()).take(100).collect()
}
