//! A provider that is a function: it gets a request's bytes and writes what it likes.

use socket2::{Domain, SockRef, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// A scripted provider, one thread a connection, as long as the test's process lives.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Upstream {
    /// Answers each connection's first request by `answer`, then closes the connection.
    pub fn start(answer: impl Fn(&[u8], &mut TcpStream) + Send + Sync + 'static) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let (answer, counted) = (Arc::new(answer), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, counted) = (Arc::clone(&answer), Arc::clone(&counted));
                std::thread::spawn(move || {
                    let mut stream = stream;
                    if let Some(request) = read_request(&mut stream) {
                        counted.fetch_add(1, Ordering::SeqCst);
                        answer(&request, &mut stream);
                    }
                });
            }
        });
        Upstream { address, requests }
    }

    /// Answers every request with the same bytes.
    pub fn fixed(bytes: impl Into<Vec<u8>>) -> Upstream {
        let bytes = bytes.into();
        Upstream::start(move |_, stream| {
            // The gateway may have seen enough.
            let _ = stream.write_all(&bytes);
        })
    }

    /// Its base URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests that came.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Writes a stream of Chat, of so many bytes, as fast as the other side takes it; `written` counts.
pub fn flood(stream: &mut TcpStream, bytes: usize, written: &AtomicU64) -> std::io::Result<()> {
    SockRef::from(&*stream).set_send_buffer_size(32 << 10)?;
    let text = "x".repeat(8 << 10);
    let frame = format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
    );
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    )?;
    for _ in 0..bytes / frame.len() {
        stream.write_all(frame.as_bytes())?;
        written.fetch_add(frame.len() as u64, Ordering::SeqCst);
    }
    Ok(())
}

/// A listener that takes no connection: its queue is full.
pub struct FullListener {
    /// Where it would take them.
    pub address: SocketAddr,
    _listener: Socket,
    _queue: Vec<TcpStream>,
}

impl FullListener {
    /// Starts one.
    pub fn start() -> FullListener {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queue.push(stream);
            assert!(queue.len() < 100, "the queue of {address} is never full");
        }
        FullListener { address, _listener: listener, _queue: queue }
    }
}

/// Head and body of one request; `None` if the connection ends before.
pub fn read_request(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut raw = Vec::new();
    let mut space = [0; 16 << 10];
    loop {
        let end = raw.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&raw[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |text| text.trim().parse().unwrap());
            if raw.len() >= end + length {
                return Some(raw);
            }
        }
        match stream.read(&mut space) {
            Ok(0) | Err(_) => return None,
            Ok(count) => raw.extend_from_slice(&space[..count]),
        }
    }
}
