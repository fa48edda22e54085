//! Connections to providers: dial, keep warm, send, receive.
//!
//! A pool belongs to one worker. A connection goes back only when its answer was read to its end
//! and nothing lies behind it; one that the provider closed meanwhile is noticed when it is taken
//! out, without a system call.

use super::h1::{self, BodyReader};
use super::scratch;
pub use super::stream::Stream;
use super::tls;
use crate::table::BaseUrl;
use crate::telemetry::{Held, Telemetry, UpstreamState};
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Idle connections kept per origin and worker; more are closed.
const IDLE_MAX: usize = 1024;
/// How long a connection may lie idle: below the keep-alive of the providers' load balancers.
const IDLE_TIME_MAX: Duration = Duration::from_secs(50);
/// Interim answers (1xx) that one request may get.
const INTERIM_MAX: u8 = 32;

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    tls: bool,
    host: Arc<str>,
    port: u16,
}

impl From<&BaseUrl> for Origin {
    fn from(base: &BaseUrl) -> Origin {
        Origin { tls: base.tls, host: Arc::clone(&base.host), port: base.port }
    }
}

/// One worker's idle connections.
#[derive(Debug)]
pub struct Pool {
    idle: Mutex<HashMap<Origin, Vec<Idle>>>,
    meters: Telemetry,
}

#[derive(Debug)]
struct Idle {
    io: Stream,
    since: Instant,
    _counted: Held,
}

impl Pool {
    /// An empty pool that tells `meters` what lies in it.
    pub fn new(meters: Telemetry) -> Pool {
        Pool { idle: Mutex::default(), meters }
    }

    /// An idle connection that is still open, the one used last first.
    pub fn take(&self, origin: &Origin) -> Option<Stream> {
        let mut idle = self.lock();
        let list = idle.get_mut(origin)?;
        while let Some(mut found) = list.pop() {
            let mut byte = [0u8; 1];
            let mut cx = Context::from_waker(Waker::noop());
            let is_quiet = found.io.poll_fill(&mut cx, &mut byte).is_pending();
            if is_quiet && found.since.elapsed() < IDLE_TIME_MAX {
                return Some(found.io);
            }
        }
        None
    }

    /// Keeps a connection whose answer was read to its end.
    pub fn put(&self, origin: Origin, io: Stream) {
        let mut idle = self.lock();
        let list = idle.entry(origin).or_default();
        if list.len() < IDLE_MAX {
            let held = self.meters.meters().upstream_connections(UpstreamState::Idle).hold();
            list.push(Idle { io, since: Instant::now(), _counted: held });
        }
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self) {
        let mut idle = self.lock();
        for list in idle.values_mut() {
            list.retain(|idle| idle.since.elapsed() < IDLE_TIME_MAX);
        }
        idle.retain(|_, list| !list.is_empty());
    }

    /// The number of idle connections.
    pub fn len(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Origin, Vec<Idle>>> {
        // A panic between two changes leaves a list shorter, never wrong.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a provider could not be talked to.
#[derive(Debug)]
pub enum UpstreamFault {
    /// No address, no connection, no TLS.
    Connect(String),
    /// The connection broke before the answer's head was whole.
    Broken(io::Error),
    /// The answer is not HTTP as it should be.
    Malformed(String),
}

impl UpstreamFault {
    /// In words for the client: no addresses of the inside.
    pub fn message(&self) -> String {
        match self {
            UpstreamFault::Connect(why) => format!("could not connect to the provider: {why}"),
            UpstreamFault::Broken(error) => {
                format!("the connection to the provider broke: {}", error.kind())
            }
            UpstreamFault::Malformed(why) => {
                format!("the provider's answer is not valid HTTP: {why}")
            }
        }
    }
}

/// Opens a connection.
///
/// # Errors
/// Why there is none.
pub async fn dial(origin: &Origin) -> Result<Stream, UpstreamFault> {
    let addresses = resolve(origin).await?;
    let mut last = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(tcp) => {
                let _ = tcp.set_nodelay(true);
                return if origin.tls { secure(origin, tcp).await } else { Ok(Stream::Plain(tcp)) };
            }
            Err(error) => last = error.kind().to_string(),
        }
    }
    Err(UpstreamFault::Connect(last))
}

async fn secure(origin: &Origin, tcp: TcpStream) -> Result<Stream, UpstreamFault> {
    let config = tls::client().map_err(UpstreamFault::Connect)?;
    let name = ServerName::try_from(origin.host.as_ref().to_owned())
        .map_err(|_| UpstreamFault::Connect("the host is not a valid TLS name".to_owned()))?;
    match TlsConnector::from(config).connect(name, tcp).await {
        Ok(tls) => Ok(Stream::Dialed(Box::new(tls))),
        Err(error) => Err(UpstreamFault::Connect(format!("TLS: {error}"))),
    }
}

/// The addresses of an origin, those left out that a name must never lead to: a name that points
/// at this machine or at a metadata service is an attack or a mistake.
async fn resolve(origin: &Origin) -> Result<Vec<SocketAddr>, UpstreamFault> {
    let forbidden = || {
        let why = "the name leads to an address that is never a provider (loopback, link-local or multicast)";
        UpstreamFault::Connect(why.to_owned())
    };
    if let Ok(address) = origin.host.parse::<IpAddr>() {
        // An operator may mean this machine, but never a metadata service.
        let allowed = is_allowed(address, true).then(|| SocketAddr::new(address, origin.port));
        return allowed.map(|address| vec![address]).ok_or_else(forbidden);
    }
    let found = tokio::net::lookup_host((origin.host.as_ref(), origin.port))
        .await
        .map_err(|_| UpstreamFault::Connect("the name cannot be resolved".to_owned()))?;
    let may_be_local = origin.host.eq_ignore_ascii_case("localhost");
    let allowed: Vec<SocketAddr> =
        found.filter(|address| is_allowed(address.ip(), may_be_local)).collect();
    if allowed.is_empty() { Err(forbidden()) } else { Ok(allowed) }
}

/// Whether a name may lead to this address. Private networks may: models are served there.
fn is_allowed(address: IpAddr, may_be_local: bool) -> bool {
    let address = address.to_canonical();
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        // fe80::/10, and fd00:ec2::/32, where a cloud keeps its metadata service.
        IpAddr::V6(v6) => {
            v6.segments()[0] & 0xFFC0 == 0xFE80 || v6.segments()[..2] == [0xFD00, 0x0EC2]
        }
    };
    !link_local
        && !address.is_multicast()
        && !address.is_unspecified()
        && (may_be_local || !address.is_loopback())
}

/// An answer under way on a connection.
#[derive(Debug)]
pub struct Answer {
    io: Stream,
    body: BodyReader,
    /// Bytes that came behind the head or the body.
    surplus: Vec<u8>,
    keep_alive: bool,
    done: bool,
    /// Counts the connection as busy until the answer is over.
    busy: Option<Held>,
}

/// What one read of an answer's body gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Some bytes were appended.
    Data,
    /// The body is over; bytes may have been appended too.
    End,
}

/// Sends a request's bytes. A provider may answer and close before it has read them all, so a
/// failed write is not the end: the answer is looked for all the same.
pub async fn send(io: &mut Stream, head: &[u8], body: &[u8]) -> io::Result<()> {
    write_all(io, head).await?;
    if body.is_empty() { Ok(()) } else { write_all(io, body).await }
}

/// Writes all of `bytes` and flushes.
pub async fn write_all(io: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    let mut at = 0;
    poll_fn(|cx| {
        while at < bytes.len() {
            match Pin::new(&mut *io).poll_write(cx, &bytes[at..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => at += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Pin::new(&mut *io).poll_flush(cx)
    })
    .await
}

/// Reads the head of the answer to a request of `method`.
///
/// # Errors
/// The connection broke, or what came is not an answer.
pub async fn receive(
    io: Stream,
    method: &http::Method,
) -> Result<(h1::ResponseHead, Answer), UpstreamFault> {
    let mut io = io;
    let mut buffer: Vec<u8> = Vec::new();
    let mut interim = 0u8;
    loop {
        match h1::parse_response(&buffer, &h1::Limits::default(), method) {
            h1::ParsedResponse::Head { head, bytes_used } => {
                let mut surplus = buffer;
                surplus.drain(..bytes_used);
                let body = BodyReader::response(head.body, u64::MAX);
                let keep_alive = head.keep_alive;
                let answer = Answer { io, body, surplus, keep_alive, done: false, busy: None };
                return Ok((head, answer));
            }
            h1::ParsedResponse::Interim { bytes_used, .. } => {
                buffer.drain(..bytes_used);
                interim += 1;
                if interim > INTERIM_MAX {
                    let why = "it sent too many interim answers".to_owned();
                    return Err(UpstreamFault::Malformed(why));
                }
            }
            h1::ParsedResponse::Partial => {
                let count = poll_fn(|cx| {
                    scratch::with(|space| match io.poll_fill(cx, space) {
                        Poll::Ready(Ok(count)) => {
                            buffer.extend_from_slice(&space[..count]);
                            Poll::Ready(Ok(count))
                        }
                        other => other,
                    })
                })
                .await
                .map_err(UpstreamFault::Broken)?;
                if count == 0 {
                    return Err(UpstreamFault::Broken(io::ErrorKind::UnexpectedEof.into()));
                }
            }
            h1::ParsedResponse::Reject(why) => {
                return Err(UpstreamFault::Malformed(why.to_string()));
            }
        }
    }
}

impl Answer {
    /// Reads what is there and appends the body's bytes to `out`; one system call at most.
    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<Piece, UpstreamFault>> {
        if self.done {
            return Poll::Ready(Ok(Piece::End));
        }
        if self.body.is_done() {
            self.done = true;
            return Poll::Ready(Ok(Piece::End));
        }
        if !self.surplus.is_empty() {
            let surplus = std::mem::take(&mut self.surplus);
            return Poll::Ready(self.take(&surplus, out));
        }
        scratch::with(|space| match self.io.poll_fill(cx, space) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(UpstreamFault::Broken(error))),
            Poll::Ready(Ok(0)) => {
                self.keep_alive = false;
                if self.body.finish().is_ok() {
                    self.done = true;
                    return Poll::Ready(Ok(Piece::End));
                }
                Poll::Ready(Err(UpstreamFault::Broken(io::ErrorKind::UnexpectedEof.into())))
            }
            Poll::Ready(Ok(count)) => Poll::Ready(self.take(&space[..count], out)),
        })
    }

    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Piece, UpstreamFault> {
        let decoded = self
            .body
            .decode(input, out)
            .map_err(|error| UpstreamFault::Malformed(error.to_string()))?;
        if !decoded.done {
            return Ok(Piece::Data);
        }
        self.done = true;
        // Bytes behind the end are nobody's answer: such a connection is not used again.
        self.keep_alive &= decoded.bytes_used == input.len();
        Ok(Piece::End)
    }

    /// Has the connection counted as busy until the answer is dropped.
    pub fn count(&mut self, busy: Held) {
        self.busy = Some(busy);
    }

    /// The connection, if it can serve another request.
    pub fn into_reusable(self) -> Option<Stream> {
        (self.done && self.keep_alive && self.surplus.is_empty()).then_some(self.io)
    }

    /// The connection and the bytes behind the head: for a tunnel.
    pub fn into_parts(self) -> (Stream, Vec<u8>) {
        (self.io, self.surplus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_lead_inside() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for bad in [
            "127.0.0.1",
            "169.254.169.254",
            "fe80::1",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "0.0.0.0",
            "224.0.0.1",
            "::1",
        ] {
            assert!(!is_allowed(ip(bad), false), "{bad}");
        }
        for good in ["10.1.2.3", "192.168.0.9", "8.8.8.8", "2606:4700::1111"] {
            assert!(is_allowed(ip(good), false), "{good}");
        }
        assert!(is_allowed(ip("127.0.0.1"), true));
        assert!(!is_allowed(ip("169.254.169.254"), true));
    }
}
