//! The TOML shape of `routes.toml`. Nothing else knows it.
//!
//! Strict: a key that is not known is an error. Everything is read, also behind an error, so that
//! one run names every mistake; what could not be read gets a stand-in, and as an error has been
//! reported by then, no table is ever made from it. References between the parts are left as text
//! with their place: `compile` resolves them.

mod evidence;
mod identity;
mod limits;
pub(super) mod packs;
mod providers;
mod routes;
mod webhook;

use super::reader::{Reader, Section, Text, Value};
use super::words::shown;
use super::{
    App, Capture, EvidencePolicy, IdentityHeaders, Limit, Midstream, Pattern, Price, Provider,
    Recipient, RetryPolicy, RouteKept, Server, Timeouts, Tls, WhenFull, codes, value,
};
use crate::id::{AppName, ModelName};
use crate::wire::Dialect;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeTable;

/// Keys of the file itself.
pub(super) const ROOT: &[&str] =
    &["server", "evidence", "identity", "rules", "providers", "apps", "limits", "prices", "routes"];
/// Keys of `[server]`.
pub(super) const SERVER: &[&str] = &[
    "listen",
    "admin",
    "data_dir",
    "filters",
    "tls",
    "workers",
    "connections_max",
    "body_bytes_max",
    "head_timeout_ms",
    "client_idle_timeout_ms",
    "drain_timeout_ms",
    "otlp_endpoint",
];
/// Keys of `[identity]`.
pub(super) const IDENTITY: &[&str] = &["session_headers", "agent_headers"];
/// Keys of `[evidence]`.
pub(super) const EVIDENCE: &[&str] =
    &["keep_days", "disk_gb", "segment_mb", "segment_minutes", "queue_mb"];
/// Keys of `server.tls`.
pub(super) const TLS: &[&str] = &["certificate", "key"];
/// Keys of `[providers.NAME]`.
pub(super) const PROVIDER: &[&str] = &[
    "dialect",
    "base_url",
    "api_key",
    "auth",
    "region",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "quirks",
    "translate_to",
    "headers",
    "query",
    "answer",
];
/// Keys of `[apps.NAME]`.
pub(super) const APP: &[&str] = &["key_sha256", "agent", "limits"];
/// Keys of an app's `limits`.
pub(super) const APP_LIMITS: &[&str] = &[
    "requests_per_minute",
    "requests_per_hour",
    "requests_per_day",
    "tokens_per_minute",
    "tokens_per_hour",
    "tokens_per_day",
    "usd_per_hour",
    "usd_per_day",
    "usd_per_month",
    "concurrent",
    "unpriced",
];
/// Keys of `[[limits]]`, beside those of an app's `limits`.
pub(super) const LIMIT: &[&str] = &["name", "match", "per", "loop"];
/// Keys of the `match` of a limit.
pub(super) const LIMIT_MATCH: &[&str] = &["app", "agent", "model"];
/// Keys of `loop`.
pub(super) const LOOP: &[&str] = &["same_call", "within", "then"];
/// Keys of `[prices."PATTERN"]`.
pub(super) const PRICE: &[&str] = &["input", "output", "cached_input", "cache_write"];
/// Keys of `[[routes]]`.
pub(super) const ROUTE: &[&str] = &[
    "name",
    "match",
    "targets",
    "fallback",
    "rules",
    "retry",
    "timeouts",
    "midstream",
    "capture",
    "originals_to",
    "capture_full",
    "keep_days",
    "disk_gb",
];
/// Keys of `match`.
pub(super) const MATCH: &[&str] =
    &["provider", "app", "agent", "model", "dialect", "path", "header"];
/// Keys of a target.
pub(super) const TARGET: &[&str] = &["provider", "model", "weight"];
/// Keys of a fallback target: they are tried in order, so none has a weight.
pub(super) const FALLBACK: &[&str] = &["provider", "model"];
/// Keys of `retry`.
pub(super) const RETRY: &[&str] = &["attempts", "on"];
/// Keys of `timeouts`.
pub(super) const TIMEOUTS: &[&str] = &["connect_ms", "first_byte_ms", "idle_ms", "total_ms"];

/// Most providers, apps or routes of a file; indices are 16 bits.
const PARTS_MAX: usize = 4096;
/// Most milliseconds of any time: a day.
const DAY_MS: u64 = 86_400_000;

/// The whole file, read.
#[derive(Debug)]
pub(super) struct File {
    pub(super) server: Server,
    pub(super) evidence: EvidencePolicy,
    pub(super) identity: IdentityHeaders,
    /// The listeners that are not loopback.
    pub(super) open_listeners: Vec<Range<usize>>,
    /// Packs that guard every route.
    pub(super) rules: Vec<Link>,
    pub(super) providers: Vec<Named<Provider>>,
    pub(super) apps: Vec<Named<AppPart>>,
    pub(super) limits: Vec<limits::LimitPart>,
    pub(super) prices: Vec<(Pattern, Price)>,
    pub(super) routes: Vec<RoutePart>,
}

/// Something with a name; without a value if that could not be read.
#[derive(Debug)]
pub(super) struct Named<T> {
    pub(super) name: String,
    pub(super) span: Range<usize>,
    pub(super) value: Option<T>,
}

/// An app and the hashes of its keys.
#[derive(Debug)]
pub(super) struct AppPart {
    pub(super) app: App,
    /// Its limits; they do not name it yet.
    pub(super) limit: Option<Limit>,
    pub(super) keys: Vec<([u8; 32], Range<usize>)>,
}

/// A name of something elsewhere in the file.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) name: String,
    /// The name as it stands in the file.
    pub(super) raw: String,
    pub(super) span: Range<usize>,
}

/// A target before its provider is known.
#[derive(Debug)]
pub(super) struct TargetPart {
    pub(super) provider: Link,
    pub(super) model: Option<ModelName>,
    pub(super) weight: u32,
    pub(super) span: Range<usize>,
}

/// A route before its names are resolved.
#[derive(Debug)]
pub(super) struct RoutePart {
    pub(super) name: Option<Text>,
    pub(super) span: Range<usize>,
    pub(super) provider: Option<Link>,
    pub(super) apps: Vec<Link>,
    pub(super) agents: Vec<Pattern>,
    pub(super) models: Vec<Pattern>,
    pub(super) dialects: Vec<(Dialect, Range<usize>)>,
    pub(super) paths: Vec<Pattern>,
    pub(super) headers: Vec<(http::HeaderName, Pattern)>,
    pub(super) targets: Vec<TargetPart>,
    pub(super) fallback: Vec<TargetPart>,
    pub(super) rules: Vec<Link>,
    pub(super) retry: RetryPolicy,
    pub(super) timeouts: Timeouts,
    pub(super) midstream: Midstream,
    pub(super) capture: Capture,
    pub(super) originals_to: Arc<[Recipient]>,
    pub(super) when_full: WhenFull,
    pub(super) kept: RouteKept,
}

/// Reads the whole file.
pub(super) fn read(reader: &mut Reader<'_>, root: &Spanned<DeTable<'_>>) -> File {
    let root = reader.root(root, ROOT);
    let (server, open_listeners) = server(reader, root.get("server"));
    let evidence = evidence::policy(reader, root.get("evidence"));
    let identity = identity::headers(reader, root.get("identity"));
    let providers = named(reader, root.get("providers"), "providers", value::provider_name);
    let providers = providers
        .into_iter()
        .map(|(name, span, value)| {
            let what = format!("[providers.{}]", shown(name));
            let section = reader.section(value, &what, PROVIDER);
            let value = section.and_then(|section| providers::provider(reader, name, &section));
            Named { name: name.to_owned(), span, value }
        })
        .collect();
    let apps = named(reader, root.get("apps"), "apps", value::plain_name);
    let apps = apps
        .into_iter()
        .map(|(name, span, value)| {
            let what = format!("[apps.{}]", shown(name));
            let section = reader.section(value, &what, APP);
            let value = section.map(|section| app(reader, name, &section));
            Named { name: name.to_owned(), span, value }
        })
        .collect();
    let limits = list(reader, root.get("limits"), "limits");
    let limits = limits.into_iter().filter_map(|value| limits::part(reader, value)).collect();
    let prices = root.get("prices").map_or_else(Vec::new, |value| limits::prices(reader, value));
    let routes = list(reader, root.get("routes"), "routes");
    let routes = routes.into_iter().filter_map(|value| routes::route(reader, value)).collect();
    let rules = root.get("rules").map_or_else(Vec::new, |value| routes::rules(reader, value));
    File {
        server,
        evidence,
        identity,
        open_listeners,
        rules,
        providers,
        apps,
        limits,
        prices,
        routes,
    }
}

/// The tables of `[[what]]`.
fn list<'v, 'i>(
    reader: &mut Reader<'_>,
    value: Option<&'v Value<'i>>,
    what: &str,
) -> Vec<&'v Value<'i>> {
    let mut items = value.and_then(|value| reader.array(value, what)).unwrap_or_default();
    if let Some(first) = items.get(PARTS_MAX) {
        too_many(reader, first.span(), what, PARTS_MAX);
        items.truncate(PARTS_MAX);
    }
    items
}

fn too_many(reader: &mut Reader<'_>, span: Range<usize>, what: &str, most: usize) {
    reader.report(codes::TOO_MANY, span, format!("more than {most} {what}"), None);
}

/// A string by one of the grammars of `value`.
fn parsed<T>(
    reader: &mut Reader<'_>,
    code: &'static str,
    text: &Text,
    what: &str,
    parse: impl FnOnce(&str) -> Result<T, value::Wrong>,
) -> Option<T> {
    match parse(&text.value) {
        Ok(value) => Some(value),
        Err(wrong) => {
            let message = format!("`{what}`: {}", wrong.message);
            // Help may repeat the value, and one from outside the file is not to be shown.
            let help = wrong.help.filter(|_| text.references.is_empty());
            reader.report(code, text.span.clone(), message, help);
            None
        }
    }
}

/// The tables of `[what.NAME]`, names checked.
fn named<'v, 'i>(
    reader: &mut Reader<'_>,
    value: Option<&'v Value<'i>>,
    what: &str,
    check: impl Fn(&str) -> Result<(), value::Wrong>,
) -> Vec<(&'v str, Range<usize>, &'v Value<'i>)> {
    let Some(section) = value.and_then(|value| reader.open(value, what)) else {
        return Vec::new();
    };
    let mut entries = section.entries();
    for (name, span, _) in &entries {
        if let Err(wrong) = check(name) {
            reader.report(codes::BAD_NAME, span.clone(), wrong.message, wrong.help);
        }
    }
    if let Some((_, span, _)) = entries.get(PARTS_MAX) {
        too_many(reader, span.clone(), what, PARTS_MAX);
        entries.truncate(PARTS_MAX);
    }
    entries
}

fn integer<T: TryFrom<u64>>(
    reader: &mut Reader<'_>,
    section: Option<&Section<'_, '_>>,
    key: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Option<T> {
    let value = section?.get(key)?;
    T::try_from(reader.integer(value, key, range)?).ok()
}

fn duration(
    reader: &mut Reader<'_>,
    section: Option<&Section<'_, '_>>,
    key: &str,
    least_ms: u64,
    default: Duration,
) -> Duration {
    integer(reader, section, key, least_ms..=DAY_MS).map_or(default, Duration::from_millis)
}

fn server(reader: &mut Reader<'_>, value: Option<&Value<'_>>) -> (Server, Vec<Range<usize>>) {
    let section = value.and_then(|value| reader.section(value, "[server]", SERVER));
    let section = section.as_ref();
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let mut listen: Vec<(SocketAddr, Range<usize>)> = Vec::new();
    if let Some(value) = section.and_then(|section| section.get("listen")) {
        for text in reader.texts(value, "listen") {
            let found = parsed(reader, codes::BAD_ADDRESS, &text, "listen", value::address);
            let Some(address) = found else { continue };
            if address.port() != 0 && listen.iter().any(|(other, _)| *other == address) {
                let message = "`listen` names this address twice";
                reader.report(codes::DUPLICATE, text.span, message, None);
            } else {
                listen.push((address, text.span));
            }
        }
    } else {
        listen.push((loopback(4800), 0..0));
    }
    let mut admin = Some(loopback(4801));
    if let Some(value) = section.and_then(|section| section.get("admin"))
        && let Some(text) = reader.text(value, "admin")
    {
        admin = match &*text.value {
            "off" => None,
            _ => parsed(reader, codes::BAD_ADDRESS, &text, "admin", value::address),
        };
        if let Some(address) = admin.filter(|address| address.port() != 0)
            && listen.iter().any(|(other, _)| *other == address)
        {
            reader.report(
                codes::DUPLICATE,
                text.span,
                "`admin` and `listen` name the same address",
                Some("give each its own port".to_owned()),
            );
        }
    }
    let mut path = |key: &str| -> Option<PathBuf> {
        let text = reader.text(section?.get(key)?, key)?;
        Some(reader.path(&text.value))
    };
    let (data_dir, filters) = (path("data_dir"), path("filters"));
    let data_dir = data_dir.unwrap_or_else(|| reader.path("firedoor-data"));
    let filters = filters.unwrap_or_else(|| reader.path("filters"));
    let tls = section
        .and_then(|section| section.get("tls"))
        .and_then(|value| reader.section(value, "`tls`", TLS))
        .and_then(|section| tls(reader, &section));
    let otlp_endpoint = section
        .and_then(|section| section.get("otlp_endpoint"))
        .and_then(|value| reader.text(value, "otlp_endpoint"))
        .and_then(|text| {
            parsed(reader, codes::BAD_URL, &text, "otlp_endpoint", value::base_url)?;
            Some(text.value)
        });
    let secs = Duration::from_secs;
    let open = |(address, span): &(SocketAddr, Range<usize>)| {
        (!address.ip().to_canonical().is_loopback()).then(|| span.clone())
    };
    let open_listeners = listen.iter().filter_map(open).collect();
    let server = Server {
        listen: listen.into_iter().map(|(address, _)| address).collect(),
        admin,
        data_dir,
        filters,
        tls,
        workers: integer(reader, section, "workers", 1..=1024),
        connections_max: integer(reader, section, "connections_max", 1..=1_000_000)
            .unwrap_or(16_384),
        body_bytes_max: integer(reader, section, "body_bytes_max", 1024..=1 << 30)
            .unwrap_or(64 << 20),
        head_timeout: duration(reader, section, "head_timeout_ms", 100, secs(10)),
        client_idle_timeout: duration(reader, section, "client_idle_timeout_ms", 100, secs(75)),
        drain_timeout: duration(reader, section, "drain_timeout_ms", 0, secs(120)),
        otlp_endpoint,
    };
    (server, open_listeners)
}

fn tls(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<Tls> {
    let mut path = |key: &str, example: &str| {
        let value = reader.required(section, key, example)?;
        let text = reader.text(value, key)?;
        Some(reader.path(&text.value))
    };
    let certificate = path("certificate", "certificate = \"door.crt\"");
    let key = path("key", "key = \"door.key\"");
    Some(Tls { certificate: certificate?, key: key? })
}

fn app(reader: &mut Reader<'_>, name: &str, section: &Section<'_, '_>) -> AppPart {
    let mut keys = Vec::new();
    if let Some(value) = reader.required(section, "key_sha256", "key_sha256 = [\"..\"]")
        && let Some(items) = reader.array(value, "key_sha256")
    {
        if items.is_empty() {
            let message = "`key_sha256` is an empty list, so nobody is this app";
            reader.report(codes::EMPTY, value.span(), message, None);
        }
        for item in items {
            let Some(text) = reader.text(item, "key_sha256") else { continue };
            let hash = parsed(reader, codes::BAD_HASH, &text, "key_sha256", value::key_hash);
            keys.extend(hash.map(|hash| (hash, text.span)));
        }
    }
    let agent = section.get("agent").and_then(|value| reader.text(value, "agent"));
    if let Some(text) = &agent {
        parsed(reader, codes::BAD_NAME, text, "agent", value::plain_name);
    }
    let agent = agent.map(|text| Arc::from(&*text.value));
    let limit = section.get("limits").and_then(|value| limits::of_app(reader, name, value));
    AppPart { app: App { name: AppName::new(name), agent }, limit, keys }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;
    use std::collections::BTreeSet;

    /// Editors and the reader know the same keys.
    #[test]
    fn the_schema_has_every_key_and_no_other() {
        let schema: Json = serde_json::from_str(crate::table::SCHEMA).unwrap();
        let provider = "/properties/providers/additionalProperties";
        let app = "/properties/apps/additionalProperties";
        let route = "/properties/routes/items";
        let limit = "/properties/limits/items";
        for (place, keys) in [
            (String::new(), ROOT),
            ("/properties/server".to_owned(), SERVER),
            ("/properties/evidence".to_owned(), EVIDENCE),
            ("/properties/identity".to_owned(), IDENTITY),
            ("/properties/server/properties/tls".to_owned(), TLS),
            (provider.to_owned(), PROVIDER),
            (app.to_owned(), APP),
            (format!("{app}/properties/limits"), APP_LIMITS),
            (limit.to_owned(), &[LIMIT, APP_LIMITS].concat()),
            (format!("{limit}/properties/match"), LIMIT_MATCH),
            (format!("{limit}/properties/loop"), LOOP),
            ("/properties/prices/additionalProperties".to_owned(), PRICE),
            (route.to_owned(), ROUTE),
            (format!("{route}/properties/match"), MATCH),
            (format!("{route}/properties/targets/items"), TARGET),
            (format!("{route}/properties/fallback/items"), FALLBACK),
            (format!("{route}/properties/retry"), RETRY),
            (format!("{route}/properties/timeouts"), TIMEOUTS),
        ] {
            let part = schema.pointer(&place).unwrap();
            let known: BTreeSet<&str> =
                part["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(known, keys.iter().copied().collect(), "{place}");
            assert_eq!(part["additionalProperties"], Json::Bool(false), "{place}");
        }
    }

    /// The reference names every key.
    #[test]
    fn the_reference_has_every_key() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/routes.md");
        let reference = std::fs::read_to_string(path).unwrap();
        let routes = [ROUTE, MATCH, TARGET, RETRY, TIMEOUTS].concat();
        let limits = [APP_LIMITS, LIMIT, LIMIT_MATCH, LOOP, PRICE].concat();
        for key in [SERVER, TLS, IDENTITY, PROVIDER, APP, &limits, &routes].concat() {
            assert!(reference.contains(&format!("`{key}`")), "`{key}` is not in docs/routes.md");
        }
    }
}
