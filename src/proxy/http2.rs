//! A client's HTTP/2 connection: hyper's framing, our exchanges.
//!
//! Each stream runs [`drive`] in a task of its own. Between the two stands one shared buffer: the
//! driver appends, hyper takes when the client's window allows; its fill is the backpressure.

use super::client::{BodyFault, Client, Discarded, Framing};
use super::drive::{self, After, Received};
use super::stream::Stream;
use super::{Gate, Worker, h1};
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// Streams that a connection may have open.
const STREAMS_MAX: u32 = 256;
/// Bytes of one request's header list, as HTTP/2 counts them.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
/// A client's silence after which a ping is sent.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long a ping may stay unanswered.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Streams that a client may reset before they were begun, and that we may reset for its errors:
/// beyond it the connection ends (rapid reset, CVE-2023-44487).
const RESETS_MAX: usize = 32;

type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

/// Serves a connection until it closes; `read` are bytes that were read of it already.
pub async fn serve(gate: &Arc<Gate>, worker: &Arc<Worker>, io: Stream, read: Vec<u8>) {
    let rewound = TokioIo::new(Rewound { io, read, at: 0 });
    let service = service_fn(|request| answer(Arc::clone(gate), Arc::clone(worker), request));
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_send_buf_size(64 * 1024)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let connection = builder.serve_connection(rewound, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = gate.drain_started() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(target: "connection", %error, "an HTTP/2 connection ended with an error");
    }
}

/// One request: checked as strictly as HTTP/1's, then driven in a task of its own.
async fn answer(
    gate: Arc<Gate>,
    worker: Arc<Worker>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let began = gate.clock.now();
    let (parts, body) = request.into_parts();
    let received = match check(parts, &body, began) {
        Ok(received) => received,
        Err((status, why)) => return Ok(rejected(&gate, status, &why)),
    };
    let shared = Arc::new(Mutex::new(Shared::default()));
    let (head_out, head_in) = oneshot::channel();
    let mut client = Http2 {
        body: Some(body),
        head: Some(head_out),
        shared: Arc::clone(&shared),
        is_head: received.method == http::Method::HEAD,
    };
    tokio::spawn(async move {
        match drive::drive(&gate, &worker, received, &mut client).await {
            After::Answered => {}
            After::Gone | After::Tunnel(..) => client.tear(),
        }
    });
    match head_in.await {
        Ok((parts, length)) => {
            let body = Outgoing { shared, length };
            Ok(Response::from_parts(parts, UnsyncBoxBody::new(body)))
        }
        // The task is gone without an answer: a panic, which is on record.
        Err(_) => Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n".to_owned())),
    }
}

/// What HTTP/2 leaves open and HTTP/1's parser would refuse.
fn check(
    parts: http::request::Parts,
    body: &Incoming,
    began: crate::clock::Tick,
) -> Result<Received, (StatusCode, String)> {
    let bad = |why: &str| (StatusCode::BAD_REQUEST, why.to_owned());
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let target = h1::parse_target(target.as_bytes())
        .map_err(|reject| (reject.status(), reject.to_string()))?;
    let hosts: Vec<_> = parts.headers.get_all(header::HOST).iter().collect();
    if hosts.len() > 1 {
        return Err(bad("more than one host header"));
    }
    match (parts.uri.authority(), hosts.first()) {
        (None, None) => return Err(bad("neither :authority nor host")),
        (Some(authority), Some(host)) if host.as_bytes() != authority.as_str().as_bytes() => {
            return Err(bad(":authority and host differ"));
        }
        (Some(_) | None, _) => {}
    }
    if parts.method == http::Method::CONNECT {
        let why = "CONNECT is not served here".to_owned();
        return Err((StatusCode::METHOD_NOT_ALLOWED, why));
    }
    let body_bytes = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    let takes_none = matches!(parts.method, http::Method::GET | http::Method::HEAD);
    if takes_none && body_bytes != Some(0) {
        return Err(bad("GET and HEAD take no body"));
    }
    Ok(Received {
        method: parts.method,
        target,
        headers: parts.headers,
        body_bytes,
        upgrade: None,
        began,
    })
}

fn rejected(gate: &Gate, status: StatusCode, why: &str) -> Response<AnswerBody> {
    let (fields, body) = drive::record_rejected(gate, status, why);
    let mut response = plain(status, body);
    response.headers_mut().extend(fields);
    response
}

fn plain(status: StatusCode, message: String) -> Response<AnswerBody> {
    let text = Full::new(Bytes::from(message));
    let body = http_body_util::BodyExt::map_err(text, |never| match never {});
    let mut response = Response::new(UnsyncBoxBody::new(body));
    *response.status_mut() = status;
    response
}

/// What stands between a driver and hyper.
#[derive(Debug, Default)]
struct Shared {
    unsent: BytesMut,
    ended: bool,
    torn: bool,
    gone: bool,
    taker: Option<Waker>,
    driver: Option<Waker>,
}

impl Shared {
    fn wake_taker(&mut self) {
        if let Some(waker) = self.taker.take() {
            waker.wake();
        }
    }

    fn wake_driver(&mut self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Every change is whole before anything can panic.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The driver's side.
struct Http2 {
    body: Option<Incoming>,
    head: Option<oneshot::Sender<(http::response::Parts, Option<u64>)>>,
    shared: Arc<Mutex<Shared>>,
    is_head: bool,
}

impl Client for Http2 {
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<bool, BodyFault>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(true)) };
        match Pin::new(body).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.body = None;
                Poll::Ready(Ok(true))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Err(BodyFault::Gone)),
            Poll::Ready(Some(Ok(frame))) => {
                // Trailers are dropped, as in HTTP/1.
                if let Ok(data) = frame.into_data() {
                    out.extend_from_slice(&data);
                }
                Poll::Ready(Ok(false))
            }
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(head) = &mut self.head {
            return head.poll_closed(cx);
        }
        let mut shared = lock(&self.shared);
        if shared.gone {
            return Poll::Ready(());
        }
        shared.driver = Some(cx.waker().clone());
        Poll::Pending
    }

    fn head(
        &mut self,
        status: StatusCode,
        headers: &[(HeaderName, HeaderValue)],
        framing: Framing,
    ) {
        let Some(out) = self.head.take() else { return };
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.version_mut() = Version::HTTP_2;
        for (name, value) in headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        let length = match framing {
            Framing::Length(length) => {
                response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                Some(if self.is_head { 0 } else { length })
            }
            Framing::Empty => Some(0),
            Framing::Stream => None,
        };
        let _ = out.send((response.into_parts().0, length));
    }

    fn data(&mut self, payload: &[u8]) {
        if !self.is_head && !payload.is_empty() {
            let mut shared = lock(&self.shared);
            shared.unsent.extend_from_slice(payload);
            shared.wake_taker();
        }
    }

    fn finish(&mut self) {
        let mut shared = lock(&self.shared);
        shared.ended = true;
        shared.wake_taker();
    }

    fn backlog(&self) -> usize {
        lock(&self.shared).unsent.len()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.shared);
        if shared.gone && !(shared.unsent.is_empty() && shared.ended) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if shared.unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        shared.driver = Some(cx.waker().clone());
        Poll::Pending
    }

    fn discard(&mut self) -> Discarded {
        Discarded::Bytes(std::mem::take(&mut lock(&self.shared).unsent).len())
    }

    fn tear(&mut self) {
        let mut shared = lock(&self.shared);
        shared.unsent.clear();
        if !shared.ended {
            shared.torn = true;
        }
        shared.wake_taker();
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        // A driver that stops without an end leaves no answer that looks whole.
        self.tear();
    }
}

/// Hyper's side.
struct Outgoing {
    shared: Arc<Mutex<Shared>>,
    length: Option<u64>,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut shared = lock(&self.shared);
        if !shared.unsent.is_empty() {
            let data = shared.unsent.split().freeze();
            shared.wake_driver();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if shared.torn {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        if shared.ended {
            return Poll::Ready(None);
        }
        shared.taker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        shared.ended && shared.unsent.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.gone = true;
        shared.wake_driver();
    }
}

/// A stream of which some bytes were read already.
#[derive(Debug)]
struct Rewound {
    io: Stream,
    read: Vec<u8>,
    at: usize,
}

impl AsyncRead for Rewound {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.at < this.read.len() {
            let count = (this.read.len() - this.at).min(buf.remaining());
            buf.put_slice(&this.read[this.at..this.at + count]);
            this.at += count;
            if this.at == this.read.len() {
                this.read = Vec::new();
                this.at = 0;
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
