//! A running admin plane over a table made by hand, and raw requests to it.

use firedoor::admin::client::{Address, Client};
use firedoor::admin::{Folder, Listener, Parts, Role, State, Tokens, serve_tcp, serve_unix};
use firedoor::control::desk::DeskParts;
use firedoor::control::fold::InForce;
use firedoor::control::log::{Lineage, MemoryLog};
use firedoor::control::{LeverDesk, Switchboard};
use firedoor::exchange::facts::{Facts, Outcome};
use firedoor::id::{Epoch, ExchangeId, ModelName, ProviderName, RouteName};
use firedoor::table::{
    Auth, BaseUrl, Capture, Family, Matcher, OpenaiApi, Prices, Provider, ProviderIndex, Quirks,
    RetryPolicy, Route, RouteKept, Routes, Secret, Server, Table, Target, TargetIndex, Timeouts,
    Weighted,
};
use firedoor::telemetry::{Circuit, Lifecycle, LimitPicture, TargetHealth, Telemetry};
use firedoor::wire::Dialect;
use firedoor::wire::refusal::Class;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

pub const PROVIDER_KEY: &str = "sk-must-never-be-shown";

fn provider(name: &str) -> Provider {
    Provider {
        credential: None,
        signer: None,
        name: ProviderName::new(name),
        family: Family::Openai,
        base: Some(BaseUrl {
            tls: true,
            host: "api.openai.com".into(),
            port: 443,
            authority: http::HeaderValue::from_static("api.openai.com"),
            path: "/v1".into(),
        }),
        key: Some(Secret::new(PROVIDER_KEY)),
        key_variable: Some("OPENAI_API_KEY".to_owned()),
        auth: Auth::Bearer,
        quirks: Quirks::default(),
        translate_to: OpenaiApi::default(),
        headers: vec![(
            http::HeaderName::from_static("x-team"),
            http::HeaderValue::from_static(PROVIDER_KEY),
        )],
        query: Some(format!("key={PROVIDER_KEY}")),
        answer: None,
    }
}

fn route(name: &str) -> Route {
    let second = Duration::from_secs(1);
    Route {
        name_value: http::HeaderValue::from_static("route"),
        name: RouteName::new(name),
        matcher: Matcher::default(),
        targets: vec![Weighted { target: TargetIndex(0), weight: 1 }],
        fallback: vec![],
        rules: None,
        retry: RetryPolicy {
            attempts: 2,
            on_connect: true,
            on_429: false,
            on_5xx: true,
            on_first_byte_timeout: false,
        },
        timeouts: Timeouts { connect: second, first_byte: second, idle: second, total: second },
        midstream: firedoor::table::Midstream::End,
        capture: Capture::Metadata,
        originals_to: Arc::default(),
        when_full: firedoor::table::WhenFull::Gap,
        kept: RouteKept::default(),
    }
}

fn table(dir: &Path) -> Table {
    let routes = Routes {
        digest: "d1".to_owned(),
        source: None,
        server: Server {
            listen: vec![],
            admin: None,
            data_dir: dir.to_path_buf(),
            filters: std::path::PathBuf::new(),
            tls: None,
            workers: None,
            connections_max: 1,
            body_bytes_max: 1,
            head_timeout: Duration::from_secs(1),
            client_idle_timeout: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(1),
            otlp_endpoint: None,
        },
        evidence: firedoor::table::EvidencePolicy::default(),
        identity: firedoor::table::IdentityHeaders::default(),
        providers: vec![provider("openai")],
        targets: vec![Arc::new(Target {
            name_value: http::HeaderValue::from_static("openai"),
            provider: ProviderIndex(0),
            model: Some(ModelName::new("gpt-4o")),
            name: "openai/gpt-4o".into(),
        })],
        apps: vec![],
        app_keys: HashMap::new(),
        limits: vec![],
        prices: Prices::default(),
        routes: vec![route("first"), route("second"), route("third")],
        by_provider_name: HashMap::new(),
        packs: firedoor::table::packs::Packs::default(),
    };
    Table { epoch: Epoch(7), files: Arc::new(routes), levers: Arc::default() }
}

pub fn facts(id: u128) -> Facts {
    Facts {
        dialect: Some(Dialect::OpenaiChat),
        route: Some(RouteName::new("first")),
        model_asked: Some("m\u{1b}[2J".into()),
        status: 400,
        outcome: Outcome::Refused(Class::Killed),
        request_bytes: 1,
        response_bytes: 2,
        total: Duration::from_millis(3),
        ..Facts::blank(ExchangeId(id), 1_700_000_000_000, "POST /v1/chat/completions".into())
    }
}

/// A running admin plane.
pub struct Plane {
    pub dir: tempfile::TempDir,
    pub address: SocketAddr,
    pub lifecycle: Lifecycle,
    pub telemetry: Telemetry,
    pub tokens: BTreeMap<Role, String>,
    pub tasks: Vec<tokio::task::JoinHandle<()>>,
    _folder: Folder,
}

impl Plane {
    pub async fn start() -> Plane {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let opened = Tokens::open(&folder).unwrap();
        let mut tokens = BTreeMap::from([(Role::Admin, opened.first.unwrap())]);
        for role in [Role::Viewer, Role::Responder, Role::Author] {
            tokens.insert(role, opened.tokens.issue(role.name(), role, None).unwrap());
        }
        let file = dir.path().join("routes.toml");
        let lifecycle = Lifecycle::default();
        let (telemetry, _) = Telemetry::quiet().unwrap();
        let health = || {
            let mut health = TargetHealth::fresh("openai/gpt-4o".into());
            health.state = Circuit::Open;
            vec![health]
        };
        let board = Switchboard::holding(table(dir.path()), Some(&file));
        let levers = LeverDesk::open(DeskParts {
            log: Some(Arc::new(MemoryLog::new("plane"))),
            notes: None,
            lineage: Lineage("plane".into()),
            state: InForce::default(),
            history: vec![],
            quarantined: None,
            elapsed: BTreeMap::new(),
            last_known: None,
            board: Arc::clone(&board),
        });
        let state = State::new(Parts {
            switchboard: board,
            levers,
            open: Arc::new(|_| vec![]),
            tap: firedoor::evidence::Tap::off(),
            telemetry: telemetry.clone(),
            lifecycle: lifecycle.clone(),
            health: Arc::new(health),
            limits: Arc::new(LimitPicture::default),
            tokens: opened.tokens,
            hosts: vec!["firedoor.internal".to_owned()],
            listeners: vec![Listener { plane: "admin", address: "127.0.0.1:0".to_owned() }],
            warnings: vec![],
            data_dir: dir.path().to_path_buf(),
            index: firedoor::evidence::index::Watch::default(),
        });
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let unix = UnixListener::from_std(folder.listen().unwrap()).unwrap();
        let tasks = vec![
            tokio::spawn(serve_tcp(tcp, Arc::clone(&state))),
            tokio::spawn(serve_unix(unix, state)),
        ];
        Plane { dir, address, lifecycle, telemetry, tokens, tasks, _folder: folder }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `raw` and reads until the connection ends.
    pub async fn raw(&self, raw: &str) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(raw.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        Answer::read(&bytes)
    }

    /// Sends one request with `headers` besides `host` and `connection`.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut raw = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            write!(raw, "host: {}\r\n", self.address).unwrap();
        }
        for (name, value) in headers {
            write!(raw, "{name}: {value}\r\n").unwrap();
        }
        self.raw(&format!("{raw}\r\n")).await
    }

    pub fn bearer(&self, role: Role) -> String {
        format!("Bearer {}", self.tokens[&role])
    }

    pub async fn get(&self, path: &str) -> Answer {
        let bearer = self.bearer(Role::Viewer);
        self.ask("GET", path, &[("authorization", &bearer)]).await
    }

    pub fn client(&self) -> Client {
        let base = format!("http://{}", self.address);
        Client::new(Address::parse(&base, Some(&self.tokens[&Role::Admin])).unwrap())
    }

    pub fn unix(&self) -> Client {
        Client::new(Address::Unix(self.dir.path().join("admin.sock")))
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Answer {
    pub fn read(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("0");
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Answer { status: status.parse().unwrap(), headers, body: body.to_owned() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Checks that it is a problem and returns the last part of its type.
    pub fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status, "{self:?}");
        assert!(body["title"].is_string() && body["detail"].is_string(), "{self:?}");
        let kind = body["type"].as_str().unwrap();
        kind.strip_prefix("urn:firedoor:problem:").unwrap().to_owned()
    }

    pub fn assert_safe_headers(&self) {
        assert_eq!(self.headers["cache-control"], "no-store", "{self:?}");
        assert_eq!(self.headers["x-content-type-options"], "nosniff", "{self:?}");
        assert!(self.headers["content-security-policy"].starts_with("default-src 'none'"));
        assert!(!self.headers.keys().any(|name| name.starts_with("access-control-")), "{self:?}");
    }
}
