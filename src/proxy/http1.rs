//! A client's HTTP/1 connection: heads in, one exchange at a time, answers out.
//!
//! Strictness lives in `h1`; here are the waits, each with its bound: for a head, for a body, for
//! a slow reader, for the next request.

use super::client::{BodyFault, Client, Discarded, Framing};
use super::drive::{self, After, Received};
use super::h1::{self, BodyLength, BodyReader, ParsedRequest, ResponseLength};
use super::orders::{Ordered, Orders};
use super::scratch;
use super::stream::Stream;
use super::{Gate, Worker};
use crate::clock::Tick;
use http::{HeaderName, HeaderValue, StatusCode};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, timeout_at};

/// Bytes that a client may send ahead while its exchange runs.
const AHEAD_BYTES_MAX: usize = 64 * 1024;
/// What an emptied output buffer may keep of its memory.
const OUT_KEEP_BYTES: usize = 4 * 1024;
/// How long a connection that is about to be closed is still read, so that the client sees our
/// last answer before the reset that unread bytes would cause.
const LINGER: Duration = Duration::from_millis(500);

/// How a connection goes on after its HTTP/1 part.
pub enum Handover {
    /// It is over.
    Closed,
    /// The client speaks HTTP/2 with prior knowledge; these bytes were read.
    Http2(Stream, Vec<u8>),
}

struct Connection {
    io: Stream,
    inbound: Vec<u8>,
    out: Vec<u8>,
    out_at: usize,
    /// Whether some of what is queued has left.
    has_begun: bool,
}

/// Serves a connection until it closes.
pub async fn serve(gate: &Arc<Gate>, worker: &Arc<Worker>, io: Stream) -> Handover {
    let mut connection =
        Connection { io, inbound: Vec::new(), out: Vec::new(), out_at: 0, has_begun: false };
    let limits = h1::Limits::default();
    let mut is_first = true;
    loop {
        let request = match connection.next_head(gate, &limits, is_first).await {
            NextHead::Head(request) => request,
            NextHead::Http2 => return Handover::Http2(connection.io, connection.inbound),
            NextHead::Refused(status, why) => {
                drive::reject(gate, &mut connection.out, status, &why);
                connection.close().await;
                return Handover::Closed;
            }
            NextHead::Closed => return Handover::Closed,
        };
        is_first = false;
        let began = gate.clock.now();
        let keep_alive = request.keep_alive && !gate.is_draining();
        let mut turn = Turn {
            body: BodyReader::new(request.body, u64::MAX),
            expects: request.expect_continue,
            version: request.version,
            is_head: request.method == http::Method::HEAD,
            keep_alive,
            framing: Framing::Empty,
            is_torn: false,
            head_end: 0,
            gate,
            connection: &mut connection,
        };
        let received = received(request, began);
        let after = drive::drive(gate, worker, received, &mut turn).await;
        let Turn { keep_alive, is_torn, body, .. } = turn;
        let unread_body = !body.is_done();
        match after {
            After::Tunnel(upstream, surplus, seat) => {
                let table = gate.board.table();
                let orders = Orders::new(&gate.board, &seat, &table);
                tunnel(connection, upstream, &surplus, &orders).await;
                return Handover::Closed;
            }
            After::Answered if is_torn => {
                connection.io.reset_on_close();
                return Handover::Closed;
            }
            After::Answered if keep_alive && !unread_body && !gate.is_draining() => {}
            After::Answered => {
                connection.close().await;
                return Handover::Closed;
            }
            After::Gone => return Handover::Closed,
        }
    }
}

fn received(head: h1::RequestHead, began: Tick) -> Received {
    Received {
        method: head.method,
        target: head.target,
        headers: head.headers,
        body_bytes: match head.body {
            h1::BodyLength::None => Some(0),
            h1::BodyLength::Length(length) => Some(length),
            h1::BodyLength::Chunked => None,
        },
        // Another protocol would carry requests past everything that is here, and who offers one
        // goes on without it (RFC 9110, section 7.8).
        upgrade: head
            .upgrade
            .filter(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket")),
        began,
    }
}

enum NextHead {
    Head(h1::RequestHead),
    Http2,
    Refused(StatusCode, String),
    Closed,
}

impl Connection {
    /// The next request's head. An idle connection waits for its first byte as long as the table
    /// allows, and gives way when the gate drains; from the first byte on the head has its own
    /// deadline.
    async fn next_head(&mut self, gate: &Gate, limits: &h1::Limits, is_first: bool) -> NextHead {
        let (head_timeout, idle_timeout) = {
            let table = gate.board.peek();
            (table.server.head_timeout, table.server.client_idle_timeout)
        };
        let mut deadline: Option<Instant> = None;
        loop {
            if !self.inbound.is_empty() {
                match h1::parse_request(&self.inbound, limits) {
                    ParsedRequest::Head { head, bytes_used } => {
                        if bytes_used == self.inbound.len() {
                            self.inbound = Vec::new();
                        } else {
                            self.inbound.drain(..bytes_used);
                        }
                        return NextHead::Head(head);
                    }
                    ParsedRequest::Http2Preface if is_first => return NextHead::Http2,
                    ParsedRequest::Http2Preface => return NextHead::Closed,
                    ParsedRequest::Partial => {}
                    ParsedRequest::Reject(reject) => {
                        return NextHead::Refused(reject.status(), reject.to_string());
                    }
                }
            }
            let is_idle = self.inbound.is_empty();
            let wait = if is_idle && !is_first { idle_timeout } else { head_timeout };
            let until = match deadline {
                Some(until) if !is_idle => until,
                Some(_) | None => Instant::now() + wait,
            };
            if !is_idle {
                deadline = Some(until);
            }
            let read = tokio::select! {
                biased;
                read = timeout_at(until, poll_fn(|cx| self.poll_more(cx))) => read,
                () = gate.drain_started(), if is_idle => return NextHead::Closed,
            };
            match read {
                Ok(Ok(0) | Err(_)) => return NextHead::Closed,
                Ok(Ok(_)) => {
                    if is_idle {
                        deadline = Some(Instant::now() + head_timeout);
                    }
                }
                Err(_) if is_idle => return NextHead::Closed,
                Err(_) => {
                    let why = "the request's head did not come in time".to_owned();
                    return NextHead::Refused(StatusCode::REQUEST_TIMEOUT, why);
                }
            }
        }
    }

    /// Reads what is there behind `inbound`.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        scratch::with(|space| match self.io.poll_fill(cx, space) {
            Poll::Ready(Ok(count)) => {
                self.inbound.extend_from_slice(&space[..count]);
                Poll::Ready(Ok(count))
            }
            other => other,
        })
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.out_at < self.out.len() {
            match Pin::new(&mut self.io).poll_write(cx, &self.out[self.out_at..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.out_at += count;
                    self.has_begun = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // What is sent is given back once it is most of the buffer.
                    if self.out_at > self.out.len() / 2 {
                        self.out.drain(..self.out_at);
                        self.out_at = 0;
                    }
                    return Poll::Pending;
                }
            }
        }
        self.out_at = 0;
        self.has_begun = false;
        if self.out.capacity() > OUT_KEEP_BYTES {
            self.out = Vec::new();
        } else {
            self.out.clear();
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Sends what is queued, says that nothing follows, and reads on for a moment.
    async fn close(&mut self) {
        let until = Instant::now() + LINGER;
        if !matches!(timeout_at(until, poll_fn(|cx| self.poll_send(cx))).await, Ok(Ok(()))) {
            return;
        }
        let _ = timeout_at(until, poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx))).await;
        let mut read = 0;
        while read < 1 << 20 {
            let more = poll_fn(|cx| scratch::with(|space| self.io.poll_fill(cx, space)));
            match timeout_at(until, more).await {
                Ok(Ok(count)) if count > 0 => read += count,
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// Copies both ways until both sides have ended, or an order ends both.
async fn tunnel(mut client: Connection, mut upstream: Stream, surplus: &[u8], orders: &Orders<'_>) {
    client.out.extend_from_slice(surplus);
    if copy_until_cut(&mut client, &mut upstream, orders).await {
        client.io.reset_on_close();
        upstream.reset_on_close();
        orders.ended();
    }
}

/// Whether an order ended it.
async fn copy_until_cut(
    client: &mut Connection,
    upstream: &mut Stream,
    orders: &Orders<'_>,
) -> bool {
    let copied = async {
        if poll_fn(|cx| client.poll_send(cx)).await.is_err() {
            return;
        }
        let ahead = std::mem::take(&mut client.inbound);
        if super::upstream::write_all(upstream, &ahead).await.is_err() {
            return;
        }
        let _ = tokio::io::copy_bidirectional(&mut client.io, upstream).await;
    };
    let mut copied = pin!(copied);
    poll_fn(|cx| {
        while let Poll::Ready(order) = orders.poll(cx) {
            match order {
                Ordered::ShutDown | Ordered::Killed(_) => return Poll::Ready(true),
                // What runs in a tunnel is not read, so it cannot go on elsewhere.
                Ordered::Switch(_) | Ordered::Tools(_) | Ordered::Filters(_) => {}
            }
        }
        copied.as_mut().poll(cx).map(|()| false)
    })
    .await
}

/// One exchange's turn on a connection.
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one request")]
struct Turn<'c> {
    gate: &'c Gate,
    connection: &'c mut Connection,
    body: BodyReader,
    expects: bool,
    version: h1::Version,
    is_head: bool,
    keep_alive: bool,
    framing: Framing,
    is_torn: bool,
    /// Where the head ends in what is queued, until all of that has left.
    head_end: usize,
}

impl Turn<'_> {
    fn is_chunked(&self) -> bool {
        self.framing == Framing::Stream && self.version == h1::Version::Http11
    }
}

impl Client for Turn<'_> {
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<bool, BodyFault>> {
        if self.body.is_done() {
            return Poll::Ready(Ok(true));
        }
        if self.expects && self.connection.inbound.is_empty() {
            self.expects = false;
            self.connection.out.extend_from_slice(h1::CONTINUE);
        }
        if self.backlog() > 0
            && let Poll::Ready(Err(_)) = self.connection.poll_send(cx)
        {
            return Poll::Ready(Err(BodyFault::Gone));
        }
        let Turn { connection, body, .. } = self;
        let mut decode = |input: &[u8], out: &mut Vec<u8>| {
            body.decode(input, out).map_err(|error| BodyFault::Malformed(error.to_string()))
        };
        if !connection.inbound.is_empty() {
            let inbound = std::mem::take(&mut connection.inbound);
            let decoded = decode(&inbound, out)?;
            connection.inbound.extend_from_slice(&inbound[decoded.bytes_used..]);
            return Poll::Ready(Ok(decoded.done));
        }
        let Connection { io, inbound, .. } = &mut **connection;
        scratch::with(|space| match io.poll_fill(cx, space) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(BodyFault::Gone)),
            Poll::Ready(Ok(count)) => {
                let decoded = decode(&space[..count], out)?;
                inbound.extend_from_slice(&space[decoded.bytes_used..count]);
                Poll::Ready(Ok(decoded.done))
            }
        })
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.connection.inbound.len() < AHEAD_BYTES_MAX {
            let mut space = [0u8; 1024];
            match self.connection.io.poll_fill(cx, &mut space) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(count)) => {
                    self.connection.inbound.extend_from_slice(&space[..count]);
                }
            }
        }
        Poll::Pending
    }

    fn head(
        &mut self,
        status: StatusCode,
        headers: &[(HeaderName, HeaderValue)],
        framing: Framing,
    ) {
        self.framing = framing;
        let body = match framing {
            Framing::Length(length) => ResponseLength::Framed(BodyLength::Length(length)),
            Framing::Stream => ResponseLength::streamed(self.version),
            Framing::Empty => ResponseLength::Framed(BodyLength::None),
        };
        // A request body that is not read to its end leaves no place to begin the next one at, and
        // a body that ends with the connection leaves no connection.
        self.keep_alive &=
            self.body.is_done() && body != ResponseLength::UntilClose && !self.gate.is_draining();
        let upgrade = headers.iter().find(|(name, _)| *name == http::header::UPGRADE);
        let connection = match upgrade {
            Some((_, protocol)) if status == StatusCode::SWITCHING_PROTOCOLS => {
                h1::Connection::Upgrade(protocol)
            }
            Some(_) | None if self.keep_alive => h1::Connection::KeepAlive,
            Some(_) | None => h1::Connection::Close,
        };
        let date = super::date::now();
        let start = h1::ResponseStart {
            version: self.version,
            status,
            body,
            connection,
            date: Some(&date),
        };
        let headers = headers.iter().map(|(name, value)| (name, value));
        h1::write_response_head(&mut self.connection.out, &start, headers);
        self.head_end = self.connection.out.len();
    }

    fn data(&mut self, payload: &[u8]) {
        if self.is_head || payload.is_empty() {
            return;
        }
        if self.is_chunked() {
            h1::write_chunk(&mut self.connection.out, payload);
        } else {
            self.connection.out.extend_from_slice(payload);
        }
    }

    fn finish(&mut self) {
        if self.is_chunked() && !self.is_head {
            h1::write_last_chunk(&mut self.connection.out, []);
        }
    }

    fn backlog(&self) -> usize {
        self.connection.out.len() - self.connection.out_at
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.connection.poll_send(cx);
        if sent.is_ready() {
            self.head_end = 0;
        }
        sent
    }

    fn discard(&mut self) -> Discarded {
        if self.connection.has_begun {
            return Discarded::Nothing;
        }
        // The head may still stand in front of the body.
        self.connection.out.truncate(self.head_end);
        Discarded::All
    }

    fn tear(&mut self) {
        self.is_torn = true;
    }
}
