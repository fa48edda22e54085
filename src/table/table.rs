//! The compiled table: what the hot path reads.
//!
//! Built once, never changed, shared by reference count. Whatever may fail has failed before one
//! of these exists.

use super::lever::Levers;
use super::packs::Packs;
use super::rules::Rulebook;
use super::{Limit, Prices, Recipient};
use crate::id::{AppName, Epoch, ModelName, ProviderName, RouteName};
use crate::wire::Dialect;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// An index into [`Table::providers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderIndex(pub u16);

/// An index into [`Table::targets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetIndex(pub u16);

/// An index into [`Table::apps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppIndex(pub u16);

/// An index into [`Table::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteIndex(pub u16);

/// What is live: what the files say, and the levers that are in force beside it.
///
/// The two change apart: a reload brings other routes under the same levers, a lever stands over
/// the same routes. What the files say is reached through the table itself.
#[derive(Debug)]
pub struct Table {
    /// Its number; set when it is published.
    pub epoch: Epoch,
    /// What the files say.
    pub files: Arc<Routes>,
    /// The levers in force.
    pub levers: Arc<Levers>,
}

impl Deref for Table {
    type Target = Routes;

    fn deref(&self) -> &Routes {
        &self.files
    }
}

/// Routes, providers, apps and limits, compiled.
#[derive(Clone, Debug)]
pub struct Routes {
    /// SHA-256 of the text it was compiled from and of what its references stood for, in
    /// hexadecimal: equal digests are the same table. A rotated secret is another one.
    pub digest: String,
    /// Where the text came from; `None` for the embedded default.
    pub source: Option<PathBuf>,
    /// Listeners, folders, limits of the process. Read once at start; a change needs a restart.
    pub server: Server,
    /// How evidence is kept. Read once at start, too.
    pub evidence: EvidencePolicy,
    /// Headers of the file's own that say who asks.
    pub identity: IdentityHeaders,
    /// The providers.
    pub providers: Vec<Provider>,
    /// Every provider and model pair that a route names.
    pub targets: Vec<Arc<Target>>,
    /// The apps.
    pub apps: Vec<App>,
    /// App by SHA-256 of its key.
    pub app_keys: HashMap<[u8; 32], AppIndex>,
    /// The limits: those of apps in the order of the file, and behind them the others.
    pub limits: Vec<Limit>,
    /// What models cost.
    pub prices: Prices,
    /// The routes, in the order of the file: the first that matches wins. Behind them stands one
    /// implicit route per provider, for paths under `/{provider}/`.
    pub routes: Vec<Route>,
    /// Provider by name, for `/{provider}/...` paths; gives its implicit route too.
    pub by_provider_name: HashMap<Arc<str>, (ProviderIndex, RouteIndex)>,
    /// The packs.
    pub packs: Packs,
}

/// The `[server]` part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The data plane.
    pub listen: Vec<SocketAddr>,
    /// The admin plane; `None` if it is off (the unix socket always stands).
    pub admin: Option<SocketAddr>,
    /// Where state, tokens and the unix socket live.
    pub data_dir: PathBuf,
    /// Where packs lie.
    pub filters: PathBuf,
    /// TLS for the data plane.
    pub tls: Option<Tls>,
    /// Data plane threads; `None` for one a core.
    pub workers: Option<u16>,
    /// Most open client connections.
    pub connections_max: u32,
    /// Most bytes of one request body that is read whole.
    pub body_bytes_max: usize,
    /// How long a client may take to send a request head.
    pub head_timeout: Duration,
    /// How long a client connection may lie idle between requests, and between pieces of a body.
    pub client_idle_timeout: Duration,
    /// How long streams may run on after SIGTERM before they are ended in their dialect.
    pub drain_timeout: Duration,
    /// Where OTLP spans go, if anywhere.
    pub otlp_endpoint: Option<String>,
}

/// The `[identity]` part: headers that are looked at before all others, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// Those that name the session.
    pub session: Vec<http::HeaderName>,
    /// Those that name the agent.
    pub agent: Vec<http::HeaderName>,
}

/// The `[evidence]` part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidencePolicy {
    /// How long segments are kept that nothing holds.
    pub kept_for: Duration,
    /// What all of them may take of the disk.
    pub disk_bytes_max: u64,
    /// The size at which a segment is sealed.
    pub segment_bytes_max: u64,
    /// The age at which it is.
    pub segment_age_max: Duration,
    /// What may wait for the disk.
    pub queue_bytes_max: u64,
}

impl Default for EvidencePolicy {
    fn default() -> EvidencePolicy {
        EvidencePolicy {
            kept_for: Duration::from_hours(30 * 24),
            disk_bytes_max: 20 << 30,
            segment_bytes_max: 128 << 20,
            segment_age_max: Duration::from_hours(1),
            queue_bytes_max: 64 << 20,
        }
    }
}

/// Certificate and key of a listener, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key; refused if others may read it.
    pub key: PathBuf,
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes the value.
    pub fn new(value: &str) -> Secret {
        Secret(Arc::from(value))
    }

    /// The value, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What a provider serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// OpenAI's API, or one that imitates it: chat, responses, and the rest of `/v1`.
    Openai,
    /// Anthropic's API.
    Anthropic,
    /// Gemini's API.
    Gemini,
    /// Amazon Bedrock's runtime.
    Bedrock,
    /// A fixed answer of ours, in the dialect of whoever asks.
    Canned,
    /// A simulated model of ours, in the dialect of whoever asks.
    Simulated,
}

impl Family {
    /// Whether it answers in `dialect` by itself.
    pub fn speaks(self, dialect: Dialect) -> bool {
        match self {
            Family::Openai => matches!(dialect, Dialect::OpenaiChat | Dialect::OpenaiResponses),
            Family::Anthropic => dialect == Dialect::Anthropic,
            Family::Gemini => dialect == Dialect::Gemini,
            Family::Bedrock => dialect == Dialect::Bedrock,
            Family::Canned | Family::Simulated => true,
        }
    }
}

/// An API of the OpenAI family in which answers are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OpenaiApi {
    /// Chat Completions.
    #[default]
    Chat,
    /// Responses.
    Responses,
}

impl OpenaiApi {
    /// The dialect that it speaks.
    pub fn dialect(self) -> Dialect {
        match self {
            OpenaiApi::Chat => Dialect::OpenaiChat,
            OpenaiApi::Responses => Dialect::OpenaiResponses,
        }
    }
}

/// How a provider takes its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Auth {
    /// `authorization: Bearer ..`
    Bearer,
    /// `x-api-key: ..` (Anthropic)
    XApiKey,
    /// `x-goog-api-key: ..` (Gemini)
    XGoogApiKey,
    /// `api-key: ..` (Azure)
    ApiKey,
}

impl Auth {
    /// The header that carries `key`; `None` if the key holds what no header can carry.
    pub fn header(self, key: &str) -> Option<(http::HeaderName, http::HeaderValue)> {
        use http::{HeaderName, HeaderValue, header};
        let (name, text) = match self {
            Auth::Bearer => (header::AUTHORIZATION, format!("Bearer {key}")),
            Auth::XApiKey => (HeaderName::from_static("x-api-key"), key.to_owned()),
            Auth::XGoogApiKey => (HeaderName::from_static("x-goog-api-key"), key.to_owned()),
            Auth::ApiKey => (HeaderName::from_static("api-key"), key.to_owned()),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }
}

/// Ways in which a provider departs from its dialect. A closed set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// The model stands in the path as a deployment:
    /// `{base}/openai/deployments/{model}/chat/completions?api-version=..` (Azure, classic).
    pub azure_deployments: bool,
    /// The API that it lacks: requests of it are translated into the other one.
    pub lacks: Option<OpenaiApi>,
    /// The paths of the API do not begin with `/v1` behind the base URL because the base URL
    /// ends in its own version (`.../v1beta/openai`). On by default when a base URL of the OpenAI
    /// family has a path.
    pub versioned_base: bool,
}

/// What signs requests to AWS.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The region that signatures are made for.
    pub region: Box<str>,
    /// The id of the access key.
    pub access_key_id: Secret,
    /// Its secret.
    pub secret_access_key: Secret,
    /// The token of a temporary key.
    pub session_token: Option<Secret>,
}

/// A provider row.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name.
    pub name: ProviderName,
    /// What it serves.
    pub family: Family,
    /// Where it is; `None` for those that answer in the process.
    pub base: Option<BaseUrl>,
    /// Its credential; `None` passes the caller's own through.
    pub key: Option<Secret>,
    /// The credential as the header that carries it, marked sensitive.
    pub credential: Option<(http::HeaderName, http::HeaderValue)>,
    /// What signs requests to it, in place of a credential that is sent.
    pub signer: Option<Signer>,
    /// The variable that the file takes the credential from, to name it where one is missing.
    pub key_variable: Option<String>,
    /// How it takes a credential.
    pub auth: Auth,
    /// Departures from the dialect.
    pub quirks: Quirks,
    /// The API in which one of the OpenAI family is asked for callers of a dialect that it does
    /// not speak; never one that its quirks take away.
    pub translate_to: OpenaiApi,
    /// Headers added to every request, such as an API version.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Query parameters added to every request (`api-version=..`), without `?`.
    pub query: Option<String>,
    /// The fixed answer of a canned provider.
    pub answer: Option<Arc<str>>,
}

/// A parsed base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// Whether it is `https`.
    pub tls: bool,
    /// The host: a name, an IPv4 address, or an IPv6 address without brackets.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
    /// The `host` header: the port stands in it only if it is not the scheme's own.
    pub authority: http::HeaderValue,
    /// The path, without a slash at the end; empty for none.
    pub path: Arc<str>,
}

/// A provider and a model.
#[derive(Debug)]
pub struct Target {
    /// The provider.
    pub provider: ProviderIndex,
    /// The model to ask for; `None` for the one that the caller asked for.
    pub model: Option<ModelName>,
    /// `provider/model` or `provider`, as headers, labels and records write it.
    pub name: Arc<str>,
    /// The name, ready to be a header's value.
    pub name_value: http::HeaderValue,
}

/// An authenticated caller.
#[derive(Clone, Debug)]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// The agent of its exchanges that name none.
    pub agent: Option<Arc<str>>,
}

/// A route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name.
    pub name: RouteName,
    /// The name, ready to be a header's value.
    pub name_value: http::HeaderValue,
    /// What it takes.
    pub matcher: Matcher,
    /// Where it sends, by weight. Never empty.
    pub targets: Vec<Weighted>,
    /// Where it sends, in order, when those fail.
    pub fallback: Vec<TargetIndex>,
    /// What guards it; `None` if nothing does.
    pub rules: Option<Arc<Rulebook>>,
    /// When the same request is tried again.
    pub retry: RetryPolicy,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What becomes of an answer that breaks.
    pub midstream: Midstream,
    /// What is recorded.
    pub capture: Capture,
    /// For whom texts are sealed: originals, where `capture` keeps what rules left, or all; nobody, if
    /// empty.
    pub originals_to: Arc<[Recipient]>,
    /// What happens when the record takes no more.
    pub when_full: WhenFull,
    /// How long its records stay.
    pub kept: RouteKept,
}

/// How long a route's records stay, where it says so itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteKept {
    /// For how many days, whatever `[evidence]` says.
    pub days: Option<u16>,
    /// How much of the disk they may take.
    pub bytes_max: Option<u64>,
}

/// One target of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weighted {
    /// The target.
    pub target: TargetIndex,
    /// Its share; at least 1.
    pub weight: u32,
}

/// When a request is tried again before its first byte is out.
#[expect(clippy::struct_excessive_bools, reason = "a set of reasons, each there or not")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all on one target, the first included. At least 1.
    pub attempts: u8,
    /// The connection could not be made, or broke before an answer.
    pub on_connect: bool,
    /// The provider answered 429.
    pub on_429: bool,
    /// The provider answered 500 to 599.
    pub on_5xx: bool,
    /// The first byte did not come in time.
    pub on_first_byte_timeout: bool,
}

/// How long the parts of an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To a provider's socket, TLS included.
    pub connect: Duration,
    /// From the request's last byte to the answer's first.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// From the first byte of the request to the last of the answer.
    pub total: Duration,
}

/// What becomes of an answer that breaks after its first byte is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Midstream {
    /// It is ended in its dialect.
    End,
    /// The next target goes on with it; tool calls leave only whole.
    Continue,
}

/// What is recorded of an exchange, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capture {
    /// Nothing.
    Off,
    /// All but the texts.
    Metadata,
    /// Everything, the texts for [recipients](Route::originals_to) alone.
    Sealed,
    /// The texts as they left: what was sent to providers and what the client got, not what rules
    /// took out of either.
    Redacted,
    /// Everything.
    Full,
}

/// What an exchange does when the record takes no more, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WhenFull {
    /// It goes on, and the record says what is missing.
    Gap,
    /// It waits for the record, as long as the route's times allow.
    Block,
}

/// Which requests a route takes; every part that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// Only paths under `/{provider}/` of this provider; `None` takes only paths at the root, so
    /// that naming a provider in the path always reaches that provider.
    pub provider: Option<ProviderIndex>,
    /// Authenticated app; empty takes any.
    pub apps: Vec<AppIndex>,
    /// Declared agent, by pattern; empty takes any.
    pub agents: Vec<Pattern>,
    /// Asked-for model, by pattern; empty takes any, also none.
    pub models: Vec<Pattern>,
    /// Dialects; empty takes any, also requests of none.
    pub dialects: Vec<Dialect>,
    /// Path, by pattern; empty takes any.
    pub paths: Vec<Pattern>,
    /// Headers and the pattern that one of their values must match.
    pub headers: Vec<(http::HeaderName, Pattern)>,
}

/// Text with `*` for any run of characters. Matching is exact in case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// No star: the text itself.
    Exact(Box<str>),
    /// The pieces between stars: the first anchors the start, the last the end.
    Glob(Box<[Box<str>]>),
}

/// What is known of a request when it is routed.
#[derive(Clone, Copy, Debug)]
pub struct Query<'q> {
    /// The provider of a `/{provider}/` path.
    pub provider: Option<ProviderIndex>,
    /// The authenticated app.
    pub app: Option<AppIndex>,
    /// The declared agent.
    pub agent: Option<&'q str>,
    /// The model asked for.
    pub model: Option<&'q str>,
    /// The dialect of the path; `None` for what is passed through.
    pub dialect: Option<Dialect>,
    /// The path, without the provider's prefix and the query.
    pub path: &'q str,
    /// The request's headers.
    pub headers: &'q http::HeaderMap,
}
