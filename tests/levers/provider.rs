//! A provider that stops where the test wants it to, and stamps what it says.
//!
//! The header `x-play` names the moment at which it stops. Each token is `<<N>>` with a number
//! that no other token of this provider has and that is taken before the token is written: a token
//! with a greater number than the counter shows was written later than the look at the counter.

use crate::support::Upstream;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The provider.
pub struct Provider {
    upstream: Upstream,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    tokens: AtomicU64,
    reached: AtomicUsize,
    open: AtomicUsize,
    bytes_in: AtomicU64,
}

/// Bytes of a whole answer that no socket holds.
const BIG_BYTES: usize = 12 << 20;
/// Bytes of each token of a flood.
const FLOOD_BYTES: usize = 16 << 10;

impl Provider {
    /// Starts it.
    pub fn start() -> Provider {
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        let upstream = Upstream::start(move |request, stream| {
            shared.open.fetch_add(1, Ordering::SeqCst);
            Play { counts: &shared, request: &String::from_utf8_lossy(request), stream }.run();
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
        Provider { upstream, counts }
    }

    /// Its base URL, without a path.
    pub fn url(&self) -> String {
        self.upstream.url()
    }

    /// Requests that came.
    pub fn requests(&self) -> usize {
        self.upstream.requests()
    }

    /// The last token's number.
    pub fn tokens(&self) -> u64 {
        self.counts.tokens.load(Ordering::SeqCst)
    }

    /// Requests that have come as far as they are played.
    pub fn reached(&self) -> usize {
        self.counts.reached.load(Ordering::SeqCst)
    }

    /// Connections that are open, from the first request to the end.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Bytes of uploads that have come.
    pub fn bytes_in(&self) -> u64 {
        self.counts.bytes_in.load(Ordering::SeqCst)
    }
}

/// The greatest token number in `body`; 0 if there is none.
pub fn newest_token(body: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(body);
    let number = |rest: &str| rest.split_once(">>")?.0.parse::<u64>().ok();
    text.split("<<").skip(1).filter_map(number).max().unwrap_or(0)
}

/// The dialect that a path speaks.
#[derive(Clone, Copy)]
enum Speech {
    Chat,
    Responses,
    Anthropic,
    Gemini,
    Socket,
    Upload,
}

struct Play<'p> {
    counts: &'p Counts,
    request: &'p str,
    stream: &'p mut TcpStream,
}

impl Play<'_> {
    fn run(&mut self) {
        let how = self.request.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("x-play").then(|| value.trim().to_owned())
        });
        let path = self.request.split(' ').nth(1).unwrap_or("");
        let speech = if path.contains("chat/completions") {
            Speech::Chat
        } else if path.contains("responses") {
            Speech::Responses
        } else if path.contains("messages") {
            Speech::Anthropic
        } else if path.contains("v1beta") {
            Speech::Gemini
        } else if path.contains("realtime") {
            Speech::Socket
        } else {
            Speech::Upload
        };
        let played = self.play(how.as_deref().unwrap_or("whole"), speech);
        if played.is_ok() {
            self.wait_closed();
        }
    }

    /// Plays up to the moment named `how`.
    fn play(&mut self, how: &str, speech: Speech) -> std::io::Result<()> {
        match how {
            // Takes the request and says nothing.
            "mute" => self.reach(),
            // A head, and nothing behind it.
            "headed" => {
                self.head(speech)?;
                self.reach();
            }
            // Three tokens, then silence.
            "idle" => {
                self.head(speech)?;
                self.send(&opening(speech))?;
                for _ in 0..3 {
                    self.token(speech, 0)?;
                }
                self.reach();
            }
            // Everything but the mark by which the dialect ends.
            "last" => {
                self.head(speech)?;
                self.send(&opening(speech))?;
                self.token(speech, 0)?;
                self.send(&closing(speech))?;
                self.reach();
            }
            // The whole answer, without the end of its body.
            "done" => {
                self.head(speech)?;
                self.send(&opening(speech))?;
                self.token(speech, 0)?;
                self.send(&closing(speech))?;
                self.send(&mark(speech))?;
                self.reach();
            }
            // Tokens without end.
            "busy" => {
                self.head(speech)?;
                self.send(&opening(speech))?;
                self.reach();
                loop {
                    self.token(speech, 0)?;
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            }
            // Tokens without end, as fast as they are taken.
            "flood" => {
                self.head(speech)?;
                self.send(&opening(speech))?;
                self.reach();
                loop {
                    self.token(speech, FLOOD_BYTES)?;
                }
            }
            // Half of a whole answer.
            "half" => {
                self.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"half\":")?;
                self.reach();
            }
            // A whole answer that is larger than any socket's buffers.
            "big" => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {BIG_BYTES}\r\nconnection: close\r\n\r\n"
                );
                self.raw(head.as_bytes())?;
                let mut body = b"{\"big\":\"".to_vec();
                body.resize(BIG_BYTES - 2, b'x');
                body.extend_from_slice(b"\"}");
                self.raw(&body)?;
                self.reach();
            }
            "failing" => {
                self.raw(b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")?;
                self.reach();
            }
            "refusing" => {
                self.raw(b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")?;
                self.reach();
            }
            "upload" => {
                self.reach();
                let mut space = [0; 16 << 10];
                while let Ok(count) = self.stream.read(&mut space) {
                    if count == 0 {
                        break;
                    }
                    self.counts.bytes_in.fetch_add(count as u64, Ordering::SeqCst);
                }
            }
            "socket" => {
                self.raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: yes\r\n\r\n")?;
                self.reach();
                loop {
                    let number = self.counts.tokens.fetch_add(1, Ordering::SeqCst) + 1;
                    self.raw(format!("<<{number}>>").as_bytes())?;
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            }
            _ => {
                self.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 17\r\nconnection: close\r\n\r\n{\"answer\":\"fine\"}")?;
                self.reach();
            }
        }
        Ok(())
    }

    fn reach(&self) {
        self.counts.reached.fetch_add(1, Ordering::SeqCst);
    }

    fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    fn head(&mut self, _: Speech) -> std::io::Result<()> {
        self.raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    }

    /// A chunk of its own.
    fn send(&mut self, frames: &str) -> std::io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        self.raw(format!("{:x}\r\n{frames}\r\n", frames.len()).as_bytes())
    }

    fn token(&mut self, speech: Speech, filling: usize) -> std::io::Result<()> {
        let number = self.counts.tokens.fetch_add(1, Ordering::SeqCst) + 1;
        let mut text = String::new();
        let _ = write!(text, "<<{number}>> {}", "x".repeat(filling));
        self.send(&delta(speech, &text))
    }

    /// Reads until the other side has closed.
    fn wait_closed(&mut self) {
        let mut space = [0; 4096];
        while matches!(self.stream.read(&mut space), Ok(count) if count > 0) {}
    }
}

fn event(name: &str, data: &str) -> String {
    if name.is_empty() {
        format!("data: {data}\n\n")
    } else {
        format!("event: {name}\ndata: {data}\n\n")
    }
}

fn opening(speech: Speech) -> String {
    match speech {
        Speech::Chat => event("", r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#),
        Speech::Responses => {
            let item = r#"{"type":"message","id":"msg_1","status":"in_progress","role":"assistant","content":[]}"#;
            [
                event("response.created", r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1,"status":"in_progress","model":"m","output":[]}}"#),
                event("response.output_item.added", &format!(r#"{{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{item}}}"#)),
                event("response.content_part.added", r#"{"type":"response.content_part.added","sequence_number":2,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}"#),
            ]
            .concat()
        }
        Speech::Anthropic => [
            event("message_start", r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#),
            event("content_block_start", r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#),
        ]
        .concat(),
        Speech::Gemini | Speech::Socket | Speech::Upload => String::new(),
    }
}

fn delta(speech: Speech, text: &str) -> String {
    match speech {
        Speech::Chat => event(
            "",
            &format!(
                r#"{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#
            ),
        ),
        Speech::Responses => event(
            "response.output_text.delta",
            &format!(
                r#"{{"type":"response.output_text.delta","sequence_number":3,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"{text}"}}"#
            ),
        ),
        Speech::Anthropic => event(
            "content_block_delta",
            &format!(
                r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#
            ),
        ),
        Speech::Gemini => event(
            "",
            &format!(
                r#"{{"candidates":[{{"content":{{"role":"model","parts":[{{"text":"{text}"}}]}},"index":0}}],"modelVersion":"m"}}"#
            ),
        ),
        Speech::Socket | Speech::Upload => String::new(),
    }
}

fn closing(speech: Speech) -> String {
    match speech {
        Speech::Chat => event("", r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#),
        Speech::Anthropic => [
            event("content_block_stop", r#"{"type":"content_block_stop","index":0}"#),
            event("message_delta", r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":1}}"#),
        ]
        .concat(),
        Speech::Responses => event("response.output_text.done", r#"{"type":"response.output_text.done","sequence_number":4,"item_id":"msg_1","output_index":0,"content_index":0,"text":"t"}"#),
        Speech::Gemini | Speech::Socket | Speech::Upload => String::new(),
    }
}

fn mark(speech: Speech) -> String {
    match speech {
        Speech::Chat => event("", "[DONE]"),
        Speech::Responses => event(
            "response.completed",
            r#"{"type":"response.completed","sequence_number":5,"response":{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[]}}"#,
        ),
        Speech::Anthropic => event("message_stop", r#"{"type":"message_stop"}"#),
        Speech::Gemini => event(
            "",
            r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"."}]},"finishReason":"STOP","index":0}],"modelVersion":"m"}"#,
        ),
        Speech::Socket | Speech::Upload => String::new(),
    }
}
