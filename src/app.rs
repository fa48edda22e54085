//! Rooms built and run: from a configuration to a serving process and back to rest.
//!
//! Order of a start: table, folders, sockets, workers, then everything that may take longer. Order
//! of an end: readiness falls, listeners close, streams run on, what is left is cut in its
//! dialect, and last the admin plane closes.

mod noted;
mod upkeep;
mod watch;

use crate::admin;
use crate::control::{self, Condition, LeverDesk, Reload, Switchboard, WithoutLog};
use crate::evidence::index::{Indexer, Watch};
use crate::evidence::{self, Store};
use crate::filter;
use crate::proxy::{self, Gate};
use crate::table::diagnostic::Diagnostic;
use crate::table::{EvidencePolicy, Server};
use crate::telemetry::{self, Lifecycle, Phase, Telemetry};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use watch::{stamps, watch};

/// How long changes of files are gathered before they are looked at.
const SETTLE: Duration = Duration::from_millis(50);
/// How often the file is looked at even if nothing told of a change: some file systems tell
/// nothing.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a disk may take at the end to write what is on record.
const EVIDENCE_TIME_MAX: Duration = Duration::from_secs(10);
/// Backlog of a listener that we open; the machine's own bound (`somaxconn`) is 4096 by default.
const BACKLOG: i32 = 4096;

/// Why a gateway does not start.
#[derive(Debug)]
pub enum StartFault {
    /// The configuration has errors.
    Configuration(Vec<Diagnostic>),
    /// Anything else; says what to do.
    Other(String),
}

impl fmt::Display for StartFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartFault::Configuration(diagnostics) => {
                write!(f, "{} errors in the configuration", diagnostics.len())
            }
            StartFault::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StartFault {}

fn other(what: &str, why: impl fmt::Display) -> StartFault {
    StartFault::Other(format!("{what}: {why}"))
}

/// What `serve` is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The routes file; `None` for the embedded default.
    pub config: Option<PathBuf>,
    /// How log lines look.
    pub format: telemetry::Format,
    /// Listen here instead of where the file says.
    pub listen: Option<SocketAddr>,
    /// Serve the admin plane here instead of where the file says.
    pub admin: Option<SocketAddr>,
    /// Keep state here instead of where the file says.
    pub data_dir: Option<PathBuf>,
    /// What to do where the control log cannot be read.
    pub without_log: WithoutLog,
}

/// Where a running gateway can be reached.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Whether the data plane speaks TLS.
    pub is_tls: bool,
    /// The data plane.
    pub data: Vec<SocketAddr>,
    /// The admin plane.
    pub admin: Option<SocketAddr>,
    /// The state folder.
    pub data_dir: PathBuf,
    /// Warnings about the configuration.
    pub warnings: Vec<Diagnostic>,
    /// The routes file.
    pub config: Option<PathBuf>,
    /// Whether the simulated model is served, to try it with.
    pub serves_simulated: bool,
    /// The first admin token, if this is the first boot.
    pub first_token: Option<String>,
    /// From the call to accepting.
    pub took: Duration,
}

/// Runs a gateway until SIGTERM or SIGINT; `started` hears once where it listens.
///
/// # Errors
/// Why it does not start.
pub fn serve(options: &Options, started: impl FnOnce(&Bound)) -> Result<(), StartFault> {
    let began = Instant::now();
    // Two providers in one process would make rustls panic; this is the one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    raise_descriptors();
    let (board, warnings) =
        Switchboard::open(options.config.as_deref()).map_err(StartFault::Configuration)?;
    let table = board.table();
    let server = effective(&table.server, options);
    let folder =
        admin::Folder::open(&server.data_dir).map_err(|why| other("the state folder", why))?;
    // Before any text is judged.
    let secret = folder.digest_key().map_err(|why| other("the key of digests", why))?;
    filter::set_digest_key(secret);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| other("the control runtime", why))?;
    // Before the levers are read: what is wrong with them must be on the log.
    let telemetry_options = telemetry::Options {
        format: options.format,
        filter: None,
        otlp_endpoint: server.otlp_endpoint.clone(),
    };
    let (telemetry, upkeep) =
        Telemetry::install(&telemetry_options).map_err(|why| other("telemetry", why))?;
    // Before the first socket listens: a request must never meet a gate without its levers.
    let levers = runtime
        .block_on(control::open(&server.data_dir, Arc::clone(&board), options.without_log))
        .map_err(|why| StartFault::Other(why.to_string()))?;
    runtime.block_on(levers.publish_demoted());
    let listeners = listeners(&server)?;
    board.open_to(is_public(&listeners)).map_err(StartFault::Configuration)?;
    let tls = match &server.tls {
        Some(tls) => Some(proxy::tls::server(tls).map_err(|why| other("[server.tls]", why))?),
        None => None,
    };
    let workers = worker_count(&server);
    let evidence = Store::start(kept_evidence(&table.evidence, &server.data_dir, &board, &levers))
        .map_err(|why| other("the writer of evidence", why))?;
    let indexer =
        Indexer::start(&server.data_dir).map_err(|why| other("the indexer of evidence", why))?;
    let gate =
        Arc::new(Gate::new(Arc::clone(&board), telemetry.clone(), evidence.tap(), workers, secret));
    levers.set_reach(Arc::clone(&gate) as Arc<dyn control::Reach>);
    upkeep::restore_limits(&gate, &levers);
    let trips = upkeep::forward_trips(&gate);
    let data: Vec<SocketAddr> =
        listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    // Empty until everything else stands: who cannot be reached by levers takes no request.
    let mut threads = Vec::new();
    let life = Lifecycle::default();
    let outcome = runtime.block_on(async {
        tokio::spawn(upkeep.run());
        tokio::spawn(proxy::probe::run(Arc::clone(&gate)));
        let desk = Arc::clone(&levers);
        tokio::spawn(async move { desk.run().await });
        tokio::spawn(upkeep::pull_tripped(Arc::clone(&levers), trips));
        tokio::spawn(upkeep::let_go(Arc::clone(&gate.board)));
        tokio::spawn(upkeep::keep_limits(Arc::clone(&gate), Arc::clone(&levers)));
        tokio::spawn(upkeep::watch_levers(
            Arc::clone(&levers),
            telemetry.clone(),
            gate.tap.clone(),
        ));
        let control =
            Control { levers: &levers, server: &server, life: &life, index: indexer.watch() };
        let admin = start_admin(&gate, &control, &data, &warnings, &folder).await?;
        let signals = Signals::take()?;
        threads = spawn_workers(&gate, &listeners, tls.as_ref())?;
        drop(listeners);
        let bound = Bound {
            is_tls: tls.is_some(),
            data,
            admin: admin.bound,
            data_dir: server.data_dir.clone(),
            warnings,
            config: options.config.clone(),
            serves_simulated: table.serves_simulated(),
            first_token: admin.first_token,
            took: began.elapsed(),
        };
        admin::note_table(&gate.tap, &table);
        write_listen_file(&bound);
        life.advance(Phase::Ready);
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        started(&bound);
        drop(table);
        let outcome = run(signals, &gate, &admin.state, &board, &life, server.drain_timeout).await;
        upkeep::keep_limits_once(&gate, &levers).await;
        levers.close().await;
        outcome
    });
    for thread in threads {
        let _ = thread.join();
    }
    evidence.close(EVIDENCE_TIME_MAX);
    // What it has not read yet it reads at the next start.
    drop(indexer);
    life.advance(Phase::Stopped);
    runtime.block_on(telemetry.flush(Duration::from_secs(2)));
    outcome
}

/// The `[server]` part with what the command line overrides.
fn effective(server: &Server, options: &Options) -> Server {
    let mut server = server.clone();
    if let Some(listen) = options.listen {
        server.listen = vec![listen];
    }
    if let Some(admin) = options.admin {
        server.admin = Some(admin);
    }
    if let Some(data_dir) = &options.data_dir {
        server.data_dir.clone_from(data_dir);
    }
    server
}

/// How the store of evidence is kept.
fn kept_evidence(
    policy: &EvidencePolicy,
    data_dir: &Path,
    board: &Arc<Switchboard>,
    levers: &Arc<LeverDesk>,
) -> evidence::Options {
    let board = Arc::clone(board);
    let desk = Arc::clone(levers);
    evidence::Options {
        limits: evidence::Limits {
            segment_bytes_max: policy.segment_bytes_max,
            segment_age_max: policy.segment_age_max,
            kept_for: Some(policy.kept_for),
            kept_bytes_max: Some(policy.disk_bytes_max),
        },
        queue_bytes_max: usize::try_from(policy.queue_bytes_max).unwrap_or(usize::MAX),
        // Where the log of holds does not answer, everything may be held.
        is_held: Arc::new(move |sealed| {
            *desk.condition().borrow() != Condition::Up
                || desk
                    .holds_blocking()
                    .iter()
                    .any(|hold| hold.holds(sealed.first_unix_ms, sealed.last_unix_ms))
        }),
        of_route: Arc::new(move |name| {
            let table = board.table();
            let route = table.routes.iter().find(|route| route.name.as_str() == name);
            route.map(|route| route.kept).unwrap_or_default()
        }),
        ..evidence::Options::of(data_dir)
    }
}

/// Whether other machines reach the data plane. The table refuses the file's own addresses; this
/// looks at the sockets themselves, wherever they came from. One whose address cannot be told is
/// taken for a public one.
fn is_public(listeners: &[TcpListener]) -> bool {
    listeners
        .iter()
        .any(|listener| !listener.local_addr().is_ok_and(|address| address.ip().is_loopback()))
}

/// The data plane's sockets: those that the service manager hands over, else our own.
fn listeners(server: &Server) -> Result<Vec<TcpListener>, StartFault> {
    let mut handed = listenfd::ListenFd::from_env();
    let mut found = Vec::new();
    for index in 0..handed.len() {
        match handed.take_tcp_listener(index) {
            Ok(Some(listener)) => found.push(listener),
            Ok(None) => {}
            Err(why) => return Err(other("a socket handed over by the service manager", why)),
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    server
        .listen
        .iter()
        .map(|address| {
            bind(*address).map_err(|why| {
                let hint = if why.kind() == io::ErrorKind::AddrInUse {
                    "; is another Firedoor running? `firedoor serve --listen 127.0.0.1:0` takes a free port"
                } else {
                    ""
                };
                StartFault::Other(format!("cannot listen on {address}: {why}{hint}"))
            })
        })
        .collect()
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    proxy::stream::bound_unsent(&socket);
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// One worker a core, unless the file says otherwise.
fn worker_count(server: &Server) -> usize {
    match server.workers {
        Some(workers) => usize::from(workers.max(1)),
        None => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    }
}

fn spawn_workers(
    gate: &Arc<Gate>,
    listeners: &[TcpListener],
    tls: Option<&Arc<rustls::ServerConfig>>,
) -> Result<Vec<std::thread::JoinHandle<()>>, StartFault> {
    (0..gate.registries.len())
        .map(|number| {
            let own: Vec<TcpListener> = listeners
                .iter()
                .map(TcpListener::try_clone)
                .collect::<io::Result<_>>()
                .map_err(|why| other("a listener", why))?;
            let (gate, tls) = (Arc::clone(gate), tls.map(Arc::clone));
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    if let Err(error) = proxy::listener::run_worker(gate, number, own, tls) {
                        tracing::error!(%error, "a worker cannot run");
                    }
                })
                .map_err(|why| other("a worker thread", why))
        })
        .collect()
}

/// The admin plane, started.
struct AdminPlane {
    state: Arc<admin::State>,
    bound: Option<SocketAddr>,
    first_token: Option<String>,
}

/// What the control side of the process stands on.
struct Control<'c> {
    levers: &'c Arc<LeverDesk>,
    server: &'c Server,
    life: &'c Lifecycle,
    index: Watch,
}

async fn start_admin(
    gate: &Arc<Gate>,
    control: &Control<'_>,
    data: &[SocketAddr],
    warnings: &[Diagnostic],
    folder: &admin::Folder,
) -> Result<AdminPlane, StartFault> {
    let fault = |why: admin::folder::FolderFault| other("the state folder", why);
    let opened = admin::Tokens::open(folder).map_err(fault)?;
    let tcp =
        match control.server.admin {
            Some(address) => Some(tokio::net::TcpListener::bind(address).await.map_err(|why| {
                other(&format!("cannot serve the admin plane on {address}"), why)
            })?),
            None => None,
        };
    let bound = tcp.as_ref().and_then(|listener| listener.local_addr().ok());
    let unix = folder.listen().map_err(fault)?;
    let unix_path = folder.join(admin::folder::SOCKET_FILE);
    unix.set_nonblocking(true).map_err(|why| other("the admin socket", why))?;
    let unix =
        tokio::net::UnixListener::from_std(unix).map_err(|why| other("the admin socket", why))?;
    let mut listeners: Vec<admin::Listener> = data
        .iter()
        .map(|address| admin::Listener { plane: "data", address: address.to_string() })
        .collect();
    listeners.extend(
        bound
            .map(|address| address.to_string())
            .into_iter()
            .chain([format!("unix:{}", unix_path.display())])
            .map(|address| admin::Listener { plane: "admin", address }),
    );
    let looked_at = Arc::clone(gate);
    let (watched, limited) = (Arc::clone(gate), Arc::clone(gate));
    let state = admin::State::new(admin::Parts {
        switchboard: Arc::clone(&gate.board),
        telemetry: gate.telemetry.clone(),
        lifecycle: control.life.clone(),
        health: Arc::new(move || watched.health.snapshot(watched.clock.now())),
        limits: Arc::new(move || limited.limits_picture()),
        tokens: opened.tokens,
        hosts: Vec::new(),
        listeners,
        warnings: warnings.to_vec(),
        levers: Arc::clone(control.levers),
        tap: gate.tap.clone(),
        open: Arc::new(move |scope| {
            looked_at.registries.iter().flat_map(|registry| registry.covered(scope)).collect()
        }),
        data_dir: control.server.data_dir.clone(),
        index: control.index.clone(),
    });
    if let Some(tcp) = tcp {
        tokio::spawn(admin::serve_tcp(tcp, Arc::clone(&state)));
    }
    tokio::spawn(admin::serve_unix(unix, Arc::clone(&state)));
    Ok(AdminPlane { state, bound, first_token: opened.first })
}

/// `listen.json`: where this process listens, for tools that find it by its folder.
fn write_listen_file(bound: &Bound) {
    let json = serde_json::json!({
        "pid": std::process::id(),
        "data": bound.data,
        "admin": bound.admin,
    });
    let path = bound.data_dir.join("listen.json");
    let temporary = bound.data_dir.join("listen.json.new");
    let written = std::fs::write(&temporary, format!("{json}\n"))
        .and_then(|()| std::fs::rename(&temporary, &path));
    if let Err(error) = written {
        tracing::warn!(%error, "cannot write {}", path.display());
    }
}

/// The signals that a gateway obeys.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Before anybody is told that the gateway is there: from then on it may be asked to end.
    fn take() -> Result<Signals, StartFault> {
        let handler = |kind| signal(kind).map_err(|why| other("a signal handler", why));
        Ok(Signals {
            hang_up: handler(SignalKind::hangup())?,
            terminate: handler(SignalKind::terminate())?,
            interrupt: handler(SignalKind::interrupt())?,
        })
    }
}

/// Reloads, signals and the drain.
async fn run(
    signals: Signals,
    gate: &Arc<Gate>,
    state: &Arc<admin::State>,
    board: &Arc<Switchboard>,
    life: &Lifecycle,
    drain_timeout: Duration,
) -> Result<(), StartFault> {
    let Signals { mut hang_up, mut terminate, mut interrupt } = signals;
    let (changed, mut changes) = tokio::sync::mpsc::channel::<()>(1);
    let filters = board.table().server.filters.clone();
    let _watcher = board.file().and_then(|file| watch(file, &filters, changed.clone()));
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = board.file().map(|file| stamps(file, &filters));
    let mut watchdog = tokio::time::interval(watchdog_every());
    loop {
        tokio::select! {
            _ = hang_up.recv() => {
                say_reloading();
                reload(state, "SIGHUP").await;
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
            }
            Some(()) = changes.recv() => {
                tokio::time::sleep(SETTLE).await;
                while changes.try_recv().is_ok() {}
                // Other files of the folder change too: our own log, if it lies there.
                let now = board.file().map(|file| stamps(file, &filters));
                if now != seen {
                    seen = now;
                    reload(state, "file").await;
                }
            }
            _ = look.tick() => {
                let now = board.file().map(|file| stamps(file, &filters));
                if now != seen {
                    seen = now;
                    reload(state, "file").await;
                }
            }
            _ = watchdog.tick() => {
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    drain(gate, life, drain_timeout, &mut terminate, &mut interrupt).await;
    Ok(())
}

/// `Type=notify-reload` wants the moment at which the reload began (sd_notify(3)).
fn say_reloading() {
    use sd_notify::NotifyState;
    let told = match NotifyState::monotonic_usec_now() {
        Ok(now) => sd_notify::notify(&[NotifyState::Reloading, now]),
        Err(_) => sd_notify::notify(&[NotifyState::Reloading]),
    };
    if let Err(error) = told {
        tracing::debug!(%error, "cannot tell the service manager");
    }
}

fn watchdog_every() -> Duration {
    sd_notify::watchdog_enabled().map_or(Duration::from_hours(1), |every| every / 2)
}

/// Waits for open exchanges to end by themselves; a second signal or the deadline cuts them.
async fn drain(
    gate: &Arc<Gate>,
    life: &Lifecycle,
    timeout: Duration,
    terminate: &mut tokio::signal::unix::Signal,
    interrupt: &mut tokio::signal::unix::Signal,
) {
    life.advance(Phase::Draining);
    gate.start_drain();
    let open = gate.open_exchanges();
    tracing::info!(open, "draining");
    let ended = async {
        while gate.open_exchanges() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = ended => return,
        () = tokio::time::sleep(timeout) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let cut = gate.end_all();
    tracing::warn!(cut, "cut the streams that were still open");
}

/// One reload, off this thread; a refusal is said where people look first.
async fn reload(state: &Arc<admin::State>, by: &'static str) {
    let reloading = Arc::clone(state);
    let outcome = tokio::task::spawn_blocking(move || reloading.reload()).await;
    match outcome {
        Ok(Reload::Published { .. } | Reload::Unchanged { .. }) => {}
        Ok(Reload::Refused { diagnostics, .. }) => {
            let first = diagnostics.first().map(|d| format!("{} {}", d.code, d.message));
            tracing::error!(
                by,
                errors = diagnostics.len(),
                first = first.as_deref().unwrap_or(""),
                "the new configuration is refused and the old table stays; `firedoor check` shows all errors"
            );
        }
        Err(error) => tracing::error!(%error, "a reload failed"),
    }
}

/// Asks for as many descriptors as the machine allows: two a stream.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = setrlimit(Resource::Nofile, raised);
}
