//! Accepts connections of the admin plane and serves them.
//!
//! Bounds: connections, time for a head, size and number of headers, and the time that open
//! connections get when the process ends.

use super::desk::Door;
use super::endpoints::router;
use super::state::State;
use crate::telemetry::Phase;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Most connections of one listener.
const CONNECTIONS_MAX: usize = 256;
/// How long a head may take, also that of the next request on a kept connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of a head.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Most headers.
const HEADERS_MAX: usize = 64;
/// How long a connection may go on once the process is [`Phase::Stopped`].
const LINGER: Duration = Duration::from_secs(2);
/// The pause after a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves the API on a TCP listener until the process is [`Phase::Stopped`].
pub async fn serve_tcp(listener: TcpListener, state: Arc<State>) {
    let app = router(Arc::clone(&state), Door::Tcp);
    let accept = async || {
        let (stream, _) = listener.accept().await?;
        // Answers are single writes; if the option is refused they are merely slower.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    };
    serve(accept, app, state).await;
}

/// Serves the API on the unix socket until the process is [`Phase::Stopped`]. Whoever can connect
/// is an admin: the mode of the socket's file decides.
pub async fn serve_unix(listener: UnixListener, state: Arc<State>) {
    let app = router(Arc::clone(&state), Door::Unix);
    let accept = async || Ok(listener.accept().await?.0);
    serve(accept, app, state).await;
}

async fn serve<S, F>(accept: impl Fn() -> F, app: Router, state: Arc<State>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = io::Result<S>>,
{
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let stopped = state.lifecycle.reached(Phase::Stopped);
    tokio::pin!(stopped);
    loop {
        let accepted = async {
            // Never closed.
            let permit = Arc::clone(&permits).acquire_owned().await.ok();
            (permit, accept().await)
        };
        let (permit, stream) = tokio::select! {
            () = &mut stopped => break,
            accepted = accepted => accepted,
        };
        match stream {
            Ok(stream) => {
                let (app, state) = (app.clone(), Arc::clone(&state));
                tokio::spawn(async move {
                    connection(stream, app, &state).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin plane cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Every connection watches the phase too.
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = timeout(LINGER, permits.acquire_many(all)).await;
}

async fn connection<S>(stream: S, app: Router, state: &State)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    tokio::pin!(connection);
    // How a connection ends is its client's affair.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = state.lifecycle.reached(Phase::Stopped) => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(LINGER, connection).await;
        }
    }
}
