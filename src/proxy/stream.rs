//! A byte stream to a client or a provider: plain or TLS, one type.
//!
//! TCP_NODELAY is set on every socket: a token that waits for a delayed acknowledgement is 40 ms
//! late.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Most unsent bytes that the system keeps of a client's connection: twice what the gate itself keeps, so that a
/// client that reads fast is never starved.
const UNSENT_MAX: u32 = 64 * 1024;

/// Bounds what the connections that `listener` accepts keep unsent. No kill reaches what the system has taken, and
/// its own bound is megabytes for a client that does not read (`tcp_wmem`; tcp(7), `TCP_NOTSENT_LOWAT`).
pub fn bound_unsent<'l>(listener: impl Into<socket2::SockRef<'l>>) {
    // Accepted sockets inherit it. Where the system does not know it, its own bound holds.
    #[cfg(target_os = "linux")]
    let _ = listener.into().set_tcp_notsent_lowat(UNSENT_MAX);
    #[cfg(not(target_os = "linux"))]
    let _ = (listener.into(), UNSENT_MAX);
}

/// A connected socket.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS as the server.
    Accepted(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// TLS as the client.
    Dialed(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Stream {
    /// The TCP socket underneath.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(tcp) => tcp,
            Stream::Accepted(tls) => tls.get_ref().0,
            Stream::Dialed(tls) => tls.get_ref().0,
        }
    }

    /// The other end.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.tcp().peer_addr().ok()
    }

    /// Reads into `buffer`; 0 is the end.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buffer);
        match Pin::new(self).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(read.filled().len())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Makes closing the socket reset it, so that the other end cannot take the end for a
    /// complete answer.
    pub fn reset_on_close(&self) {
        let socket = socket2::SockRef::from(self.tcp());
        let _ = socket.set_linger(Some(std::time::Duration::ZERO));
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Stream::Accepted(io) => Pin::new(io).poll_read(cx, buf),
            Stream::Dialed(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Stream::Accepted(io) => Pin::new(io).poll_write(cx, buf),
            Stream::Dialed(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_flush(cx),
            Stream::Accepted(io) => Pin::new(io).poll_flush(cx),
            Stream::Dialed(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Stream::Accepted(io) => Pin::new(io).poll_shutdown(cx),
            Stream::Dialed(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
