//! A client for HTTP/1.1 that hides nothing: bytes out, heads, chunks and endings in.

use super::PATIENCE;
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How the other side's bytes ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The connection was closed in order.
    Closed,
    /// The connection was reset.
    Reset,
    /// Nothing came in time.
    Late,
    /// What came is not what it should be.
    Malformed(String),
}

/// A response's head.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The fields as they came.
    pub fields: Vec<(String, String)>,
    /// The bytes, blank line included.
    pub raw: Vec<u8>,
}

impl Head {
    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(have, _)| have.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether the body comes in chunks.
    pub fn is_chunked(&self) -> bool {
        self.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its head.
    pub head: Head,
    /// Its body, chunks put together.
    pub body: Vec<u8>,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    held: Vec<u8>,
    patience: Duration,
}

impl Client {
    /// Connects to `address`.
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).unwrap()
    }

    /// Connects to `address`, where somebody may or may not listen.
    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream, held: Vec::new(), patience: PATIENCE })
    }

    /// The same with buffers so narrow that what it does not read soon backs up at the other side.
    pub fn connect_narrow(address: SocketAddr) -> Client {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        // The other side's buffer is made for so many segments.
        socket.set_tcp_mss(1 << 10).unwrap();
        socket.connect_timeout(&address.into(), PATIENCE).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream: socket.into(), held: Vec::new(), patience: PATIENCE }
    }

    /// The same client, giving up on each read after `patience`.
    #[must_use]
    pub fn patient_for(mut self, patience: Duration) -> Client {
        self.patience = patience;
        self
    }

    /// The address of this end.
    pub fn local(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Writes `bytes` as they are.
    pub fn send(&mut self, bytes: &[u8]) -> &mut Client {
        self.stream.write_all(bytes).unwrap();
        self
    }

    /// Writes `bytes`, which the other side may refuse to take.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request; `host` and `content-length` are added.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> &mut Client {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: test\r\n");
        for (name, value) in fields {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        if !body.is_empty() || method == "POST" {
            head.push_str("content-length: ");
            head.push_str(&body.len().to_string());
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes)
    }

    /// The next final head; interim ones (1xx) are passed over.
    pub fn head(&mut self) -> Head {
        self.try_head().unwrap_or_else(|end| panic!("no head: {end:?}"))
    }

    /// The next final head, or how the bytes ended instead.
    pub fn try_head(&mut self) -> Result<Head, End> {
        loop {
            let head = self.any_head()?;
            if head.status >= 200 || head.status == 101 {
                return Ok(head);
            }
        }
    }

    /// The next head, interim or not.
    pub fn any_head(&mut self) -> Result<Head, End> {
        let raw = self.until(b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.trim_end().split("\r\n");
        let first = lines.next().unwrap_or("");
        let status = first
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5))
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| End::Malformed(format!("status line {first:?}")))?;
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        };
        let fields = lines.map(field).collect::<Option<Vec<_>>>();
        let fields = fields.ok_or_else(|| End::Malformed(format!("field in {text:?}")))?;
        Ok(Head { status, fields, raw })
    }

    /// The body behind `head`.
    pub fn body(&mut self, head: &Head) -> Result<Vec<u8>, End> {
        if head.is_chunked() {
            let mut body = Vec::new();
            while let Some(chunk) = self.chunk()? {
                body.extend_from_slice(&chunk);
            }
            return Ok(body);
        }
        if let Some(length) = head.field("content-length") {
            let length =
                length.parse().map_err(|_| End::Malformed(format!("content-length {length}")))?;
            return self.exactly(length);
        }
        let (body, end) = self.rest();
        if end == End::Closed { Ok(body) } else { Err(end) }
    }

    /// The next chunk; `None` behind the last.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>, End> {
        let line = self.until(b"\r\n")?;
        let text = String::from_utf8_lossy(&line);
        let digits = text.trim_end().split(';').next().unwrap_or("");
        let size = usize::from_str_radix(digits, 16)
            .map_err(|_| End::Malformed(format!("chunk size {digits:?}")))?;
        if size == 0 {
            while self.until(b"\r\n")? != b"\r\n" {}
            return Ok(None);
        }
        let chunk = self.exactly(size)?;
        match self.exactly(2)?.as_slice() {
            b"\r\n" => Ok(Some(chunk)),
            other => Err(End::Malformed(format!("{other:?} behind a chunk"))),
        }
    }

    /// Everything up to the end, and which end it is.
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(end) = self.read_more() {
                return (std::mem::take(&mut self.held), end);
            }
        }
    }

    /// A whole response.
    pub fn answer(&mut self) -> Answer {
        let head = self.head();
        let body = self.body(&head).unwrap_or_else(|end| panic!("body ends: {end:?}"));
        Answer { head, body }
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The bytes up to and including `mark`.
    fn until(&mut self, mark: &[u8]) -> Result<Vec<u8>, End> {
        let mut seen = 0;
        loop {
            let from = usize::saturating_sub(seen, mark.len() - 1);
            let found = self.held[from..].windows(mark.len()).position(|window| window == mark);
            if let Some(at) = found {
                return Ok(self.held.drain(..from + at + mark.len()).collect());
            }
            seen = self.held.len();
            self.read_more()?;
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, End> {
        while self.held.len() < length {
            self.read_more()?;
        }
        Ok(self.held.drain(..length).collect())
    }

    fn read_more(&mut self) -> Result<(), End> {
        let deadline = Instant::now() + self.patience;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(End::Late);
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(End::Closed),
                Ok(count) => {
                    self.held.extend_from_slice(&buffer[..count]);
                    return Ok(());
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Err(End::Late),
                    ErrorKind::Interrupted => {}
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return Err(End::Reset),
                    kind => return Err(End::Malformed(format!("{kind:?}"))),
                },
            }
        }
    }
}

/// A `GET` on a connection of its own.
pub fn get(address: SocketAddr, target: &str, fields: &[(&str, &str)]) -> Answer {
    Client::connect(address).request("GET", target, fields, b"").answer()
}

/// The JSON of a `GET` on a connection of its own.
pub fn get_json(address: SocketAddr, target: &str) -> serde_json::Value {
    get(address, target, &[]).json()
}

/// A `POST` of JSON on a connection of its own.
pub fn post(address: SocketAddr, target: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let all = [&[("content-type", "application/json")], fields].concat();
    Client::connect(address).request("POST", target, &all, body.as_bytes()).answer()
}
