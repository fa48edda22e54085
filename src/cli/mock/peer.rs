//! One client's socket: whole requests in, exact bytes out, and its departure noticed at once.
//!
//! While an answer is on its way the socket is read as well, so that a client that leaves in the
//! middle is noticed without a write. Bytes that it sends ahead are kept for the next request, up
//! to a bound. A client that half-closes, or sends more than that, counts as gone.

use std::convert::Infallible;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The longest request body, in bytes.
const BODY_BYTES_MAX: usize = 64 << 20;
/// How far ahead of its answers a client may send, in bytes.
const AHEAD_BYTES_MAX: usize = 1 << 20;
/// The most header fields.
const FIELDS_MAX: usize = 128;

/// Serves whoever connects to `listener`, for ever; dropping the future closes every connection.
pub(in crate::cli) async fn each<F>(
    listener: &TcpListener,
    connection: impl Fn(TcpStream) -> F,
) -> Infallible
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream));
                }
                // Out of file descriptors, as a rule: others must end first.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A whole request.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Request {
    pub(in crate::cli) method: String,
    /// Path and query as they came.
    pub(in crate::cli) target: String,
    /// The head as it came, blank line included.
    pub(in crate::cli) head: Vec<u8>,
    pub(in crate::cli) fields: Vec<(String, Vec<u8>)>,
    pub(in crate::cli) body: Vec<u8>,
    /// Whether the connection may carry another request.
    pub(in crate::cli) keep_alive: bool,
    /// Whether the client understands chunks (HTTP/1.1).
    pub(in crate::cli) takes_chunks: bool,
}

impl Request {
    /// The first value of a header field.
    pub(in crate::cli) fn field(&self, name: &str) -> Option<&[u8]> {
        let field = self.fields.iter().find(|(have, _)| have.eq_ignore_ascii_case(name));
        field.map(|(_, value)| &**value)
    }

    /// The path without its query.
    pub(in crate::cli) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or("")
    }
}

/// Why no request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Broken {
    /// The client left inside a request.
    Gone,
    /// The request cannot be taken; the status says why.
    Refused(u16, &'static str),
}

/// The client has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Gone;

/// One client's socket.
#[derive(Debug)]
pub(in crate::cli) struct Peer {
    stream: TcpStream,
    inbox: Vec<u8>,
}

impl Peer {
    pub(in crate::cli) fn new(stream: TcpStream) -> Peer {
        Peer { stream, inbox: Vec::new() }
    }

    /// The next request; `None` if the client leaves between requests.
    pub(in crate::cli) async fn read(&mut self) -> Result<Option<Request>, Broken> {
        let (mut request, framing) = loop {
            if let Some(parsed) = parse_head(&mut self.inbox)? {
                break parsed;
            }
            if self.inbox.len() > HEAD_BYTES_MAX {
                return Err(Broken::Refused(431, "the head is too long"));
            }
            if self.fill().await.is_err() {
                return if self.inbox.is_empty() { Ok(None) } else { Err(Broken::Gone) };
            }
        };
        if request.field("expect").is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
        {
            let go_on = self.send(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            go_on.map_err(|Gone| Broken::Gone)?;
        }
        request.body = match framing {
            Framing::Length(length) => self.read_length(length).await?,
            Framing::Chunks => self.read_chunks().await?,
        };
        Ok(Some(request))
    }

    async fn read_length(&mut self, length: usize) -> Result<Vec<u8>, Broken> {
        while self.inbox.len() < length {
            self.fill().await.map_err(|Gone| Broken::Gone)?;
        }
        Ok(self.inbox.drain(..length).collect())
    }

    async fn read_chunks(&mut self) -> Result<Vec<u8>, Broken> {
        let mut body = Vec::new();
        loop {
            let (start, size) = loop {
                match httparse::parse_chunk_size(&self.inbox) {
                    Ok(httparse::Status::Complete((start, size))) => {
                        break (start, usize::try_from(size).unwrap_or(usize::MAX));
                    }
                    Ok(httparse::Status::Partial) if self.inbox.len() <= HEAD_BYTES_MAX => {
                        self.fill().await.map_err(|Gone| Broken::Gone)?;
                    }
                    _ => return Err(Broken::Refused(400, "a chunk has no size")),
                }
            };
            if size > BODY_BYTES_MAX - body.len() {
                return Err(Broken::Refused(413, "the body is too long"));
            }
            if size == 0 {
                self.inbox.drain(..start);
                self.skip_trailers().await?;
                return Ok(body);
            }
            let end = start + size;
            while self.inbox.len() < end + 2 {
                self.fill().await.map_err(|Gone| Broken::Gone)?;
            }
            if &self.inbox[end..end + 2] != b"\r\n" {
                return Err(Broken::Refused(400, "a chunk does not end where it says"));
            }
            body.extend_from_slice(&self.inbox[start..end]);
            self.inbox.drain(..end + 2);
        }
    }

    /// Takes the lines behind the last chunk, up to and including the blank one.
    async fn skip_trailers(&mut self) -> Result<(), Broken> {
        let mut taken = 0;
        loop {
            while let Some(end) = memchr::memchr(b'\n', &self.inbox) {
                let is_blank = matches!(&self.inbox[..end], b"" | b"\r");
                taken += end + 1;
                self.inbox.drain(..=end);
                if is_blank {
                    return Ok(());
                }
            }
            if taken + self.inbox.len() > HEAD_BYTES_MAX {
                return Err(Broken::Refused(431, "the trailers are too long"));
            }
            self.fill().await.map_err(|Gone| Broken::Gone)?;
        }
    }

    async fn fill(&mut self) -> Result<(), Gone> {
        match self.stream.read_buf(&mut self.inbox).await {
            Ok(0) | Err(_) => Err(Gone),
            Ok(_) => Ok(()),
        }
    }

    /// Writes all of `bytes`, or finds that the client has left.
    pub(in crate::cli) async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Gone> {
        self.look()?;
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let either = Interest::READABLE | Interest::WRITABLE;
                    self.stream.ready(either).await.map_err(|_| Gone)?;
                    self.look()?;
                }
                Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }

    /// Waits until `due`, or finds that the client has left.
    pub(in crate::cli) async fn pause(&mut self, due: Instant) -> Result<(), Gone> {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(due) => Ok(()),
            Gone = self.gone() => Err(Gone),
        }
    }

    /// Waits until the client has left.
    pub(in crate::cli) async fn gone(&mut self) -> Gone {
        loop {
            if self.stream.readable().await.is_err() || self.look().is_err() {
                return Gone;
            }
        }
    }

    /// Ends the connection in order.
    pub(in crate::cli) async fn close(&mut self) {
        // The client may have left first.
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut self.stream).await;
    }

    /// Makes the end of the connection a reset instead.
    pub(in crate::cli) fn reset(&mut self) {
        // With no time to linger, closing sends RST and drops what was not sent yet.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Takes what the client has sent meanwhile, without waiting.
    fn look(&mut self) -> Result<(), Gone> {
        while self.inbox.len() < AHEAD_BYTES_MAX {
            match self.stream.try_read_buf(&mut self.inbox) {
                Ok(0) => return Err(Gone),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Gone),
            }
        }
        Err(Gone)
    }
}

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunks,
}

/// Takes a whole head off `inbox`; `None` if it is not whole yet.
fn parse_head(inbox: &mut Vec<u8>) -> Result<Option<(Request, Framing)>, Broken> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let end = match parsed.parse(inbox) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Broken::Refused(431, "the head has too many fields"));
        }
        Err(_) => return Err(Broken::Refused(400, "the head is not HTTP/1")),
    };
    let mut request = Request {
        method: parsed.method.unwrap_or("").to_owned(),
        target: parsed.path.unwrap_or("/").to_owned(),
        takes_chunks: parsed.version == Some(1),
        fields: parsed.headers.iter().map(|f| (f.name.to_owned(), f.value.to_vec())).collect(),
        ..Request::default()
    };
    request.head = inbox.drain(..end).collect();
    let connection = request.field("connection").unwrap_or(b"").to_ascii_lowercase();
    request.keep_alive = if request.takes_chunks {
        !connection.starts_with(b"close")
    } else {
        connection.starts_with(b"keep-alive")
    };
    let framing = framing(&request)?;
    Ok(Some((request, framing)))
}

fn framing(request: &Request) -> Result<Framing, Broken> {
    if let Some(coding) = request.field("transfer-encoding") {
        if coding.eq_ignore_ascii_case(b"chunked") {
            return Ok(Framing::Chunks);
        }
        return Err(Broken::Refused(501, "only chunks are understood"));
    }
    let Some(length) = request.field("content-length") else {
        return Ok(Framing::Length(0));
    };
    let length = std::str::from_utf8(length).ok().and_then(|text| text.parse::<usize>().ok());
    match length {
        Some(length) if length <= BODY_BYTES_MAX => Ok(Framing::Length(length)),
        Some(_) => Err(Broken::Refused(413, "the body is too long")),
        None => Err(Broken::Refused(400, "content-length is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Option<(Request, Framing)>, Broken> {
        parse_head(&mut text.as_bytes().to_vec())
    }

    #[test]
    fn heads() {
        let head = "POST /v1/x?a=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
        let (request, framing) = parse(head).unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.path()), ("POST", "/v1/x"));
        assert_eq!(request.field("HOST"), Some(b"h".as_slice()));
        assert!(request.keep_alive && request.takes_chunks);
        assert_eq!(framing, Framing::Length(3));
        assert_eq!(request.head, head.as_bytes());
        assert!(parse(&head[..20]).unwrap().is_none());
        let (old, _) = parse("GET / HTTP/1.0\r\n\r\n").unwrap().unwrap();
        assert!(!old.keep_alive && !old.takes_chunks);
        let length = "POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n";
        assert!(matches!(parse(length), Err(Broken::Refused(400, _))));
    }

    proptest! {
        #[test]
        fn no_head_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_head(&mut bytes.clone());
        }
    }
}
