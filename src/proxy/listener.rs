//! Accepts connections and gives each a task; one worker is one thread with one runtime.
//!
//! A worker that runs out of file descriptors pauses its accepts for a moment instead of spinning,
//! and goes on by itself.

use super::http1::Handover;
use super::stream::Stream;
use super::{Gate, SWEEP, Worker, http1, http2, upstream};
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How long accepts pause when the machine has no descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How long a TLS handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// Runs one worker on this thread until the gate has drained.
///
/// # Errors
/// The runtime or a listener cannot be set up.
pub fn run_worker(
    gate: Arc<Gate>,
    number: usize,
    listeners: Vec<std::net::TcpListener>,
    tls: Option<Arc<ServerConfig>>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let worker = Arc::new(Worker {
            pool: upstream::Pool::new(gate.telemetry.clone()),
            registry: Arc::clone(&gate.registries[number]),
        });
        worker.registry.set_runtime(tokio::runtime::Handle::current());
        let mut accepting = Vec::new();
        for listener in listeners {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            let (gate, worker, tls) = (Arc::clone(&gate), Arc::clone(&worker), tls.clone());
            accepting.push(tokio::spawn(accept_all(gate, worker, listener, tls)));
        }
        let sweeper = Arc::clone(&worker);
        tokio::spawn(async move {
            let mut every = tokio::time::interval(SWEEP);
            loop {
                every.tick().await;
                sweeper.pool.sweep();
            }
        });
        for task in accepting {
            let _ = task.await;
        }
        // Every exchange has its own end; the process ends this thread at the drain's deadline.
        while !worker.registry.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The last answers leave with their connections' tasks.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(())
    })
}

async fn accept_all(
    gate: Arc<Gate>,
    worker: Arc<Worker>,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = gate.drain_started() => return,
        };
        match accepted {
            Ok((tcp, _)) => {
                let most = gate.board.peek().server.connections_max as usize;
                let open = gate.telemetry.meters().open_connections();
                if usize::try_from(open.get()).unwrap_or(0) >= most {
                    gate.telemetry.meters().connection_shed();
                    continue;
                }
                let (gate, worker, acceptor) =
                    (Arc::clone(&gate), Arc::clone(&worker), acceptor.clone());
                let held = open.hold();
                tokio::spawn(async move {
                    serve(&gate, &worker, tcp, acceptor).await;
                    drop(held);
                });
            }
            Err(error) => {
                if is_of_one_connection(&error) {
                    continue;
                }
                tracing::warn!(target: "connection", %error, "cannot accept; pausing");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Errors that say something of the connection only, not of the listener.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionRefused
            | std::io::ErrorKind::Interrupted
    )
}

async fn serve(gate: &Arc<Gate>, worker: &Arc<Worker>, tcp: TcpStream, tls: Option<TlsAcceptor>) {
    let _ = tcp.set_nodelay(true);
    let (io, is_http2) = match tls {
        None => (Stream::Plain(tcp), false),
        Some(acceptor) => {
            let Ok(Ok(tls)) =
                tokio::time::timeout(HANDSHAKE_TIME_MAX, Box::pin(acceptor.accept(tcp))).await
            else {
                return;
            };
            let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            (Stream::Accepted(Box::new(tls)), is_http2)
        }
    };
    if is_http2 {
        Box::pin(http2::serve(gate, worker, io, Vec::new())).await;
        return;
    }
    match http1::serve(gate, worker, io).await {
        Handover::Closed => {}
        Handover::Http2(io, read) => Box::pin(http2::serve(gate, worker, io, read)).await,
    }
}
