//! A client of `levers`: opens a stream of some dialect, reads it in its manner, and says what it saw
//! of the ending.

use super::{Fault, now};
use serde_json::json;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

/// Streams that are being opened at once.
const OPENING_MAX: usize = 128;
/// What every ending that a kill writes says.
pub const MARK: &[u8] = b"Blocked by firedoor";
/// Bytes kept of one read, so that what it cut in two is found with the next.
const CARRY: usize = 64;
/// How long the streams of a round may take to open.
const OPENING_TIME_MAX: Duration = Duration::from_mins(1);

/// How a client behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It reads, and the provider goes on sending.
    Busy,
    /// It reads, and the provider is silent after the first tokens.
    Idle,
    /// It does not read, and the provider sends as fast as it can.
    Stuck,
}

/// Where a round stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Open,
    /// Those that did not read do so now.
    Drain,
    Over,
}

/// What a client saw of its stream.
pub struct Saw {
    pub manner: Manner,
    /// When the ending that names the kill was read; 0 for never.
    pub marked: u64,
    /// The newest stamp, and the tokens after the ending.
    pub stamp: u64,
    pub after: usize,
    pub end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Open still.
    None,
    /// HTTP says that the answer is whole.
    Whole,
    /// Reset, or closed inside the answer.
    Torn,
    /// It never opened.
    Failed,
}

fn request(number: usize, script: &str, host: &str) -> Vec<u8> {
    let prompt = format!("mock:{script};");
    let (path, body) = match number % 4 {
        0 => (
            "/v1/chat/completions",
            json!({ "model": "gpt-4o", "stream": true, "messages": [{ "role": "user", "content": prompt }] }),
        ),
        1 => ("/v1/responses", json!({ "model": "gpt-4o", "stream": true, "input": prompt })),
        2 => (
            "/v1/messages",
            json!({ "model": "claude-haiku-4-5", "stream": true, "max_tokens": 100_000, "messages": [{ "role": "user", "content": prompt }] }),
        ),
        _ => (
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            json!({ "contents": [{ "role": "user", "parts": [{ "text": prompt }] }] }),
        ),
    };
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
         anthropic-version: 2023-06-01\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Connects; one that will not read takes little before its side is full.
async fn connect(gate: &str, manner: Manner) -> std::io::Result<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    if manner == Manner::Stuck {
        socket.set_recv_buffer_size(4096)?;
    }
    let address = gate.parse().map_err(std::io::Error::other)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// How many may open at once, and how many have opened, or will not.
pub struct Opening {
    room: Semaphore,
    done: Semaphore,
}

/// The right to open; given back when the first token is there, or none will come.
struct Permit<'o>(&'o Opening);

impl Opening {
    pub fn new() -> Rc<Opening> {
        Rc::new(Opening { room: Semaphore::new(OPENING_MAX), done: Semaphore::new(0) })
    }

    /// Waits until so many have opened.
    pub async fn all(&self, streams: usize) -> Result<(), Fault> {
        let all = self.done.acquire_many(u32::try_from(streams)?);
        drop(tokio::time::timeout(OPENING_TIME_MAX, all).await??);
        Ok(())
    }

    async fn permit(&self) -> Permit<'_> {
        if let Ok(permit) = self.room.acquire().await {
            permit.forget();
        }
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.room.add_permits(1);
        self.0.done.add_permits(1);
    }
}

/// Opens a stream, and reads it to its end or to the end of the round.
pub async fn client(
    gate: Rc<str>,
    number: usize,
    manner: Manner,
    script: String,
    opening: Rc<Opening>,
    mut phase: watch::Receiver<Phase>,
) -> Saw {
    let mut saw = Saw { manner, marked: 0, stamp: 0, after: 0, end: End::None };
    let permit = opening.permit().await;
    let Ok(mut stream) = connect(&gate, manner).await else {
        return Saw { end: End::Failed, ..saw };
    };
    if stream.write_all(&request(number, &script, &gate)).await.is_err() {
        return Saw { end: End::Failed, ..saw };
    }
    let mut permit = Some(permit);
    let mut carry = Vec::new();
    loop {
        let current = *phase.borrow();
        if current == Phase::Over && saw.end != End::None {
            return saw;
        }
        let waits = saw.end != End::None
            || (manner == Manner::Stuck && permit.is_none() && current == Phase::Open);
        if waits {
            if phase.changed().await.is_err() {
                return saw;
            }
            continue;
        }
        tokio::select! {
            ready = stream.readable() => {
                if ready.is_err() {
                    saw.end = End::Torn;
                }
            }
            _ = phase.changed() => {
                if *phase.borrow() == Phase::Over {
                    return saw;
                }
                continue;
            }
        }
        read(&stream, &mut carry, &mut saw);
        if saw.stamp > 0 || saw.end != End::None {
            permit = None;
        }
    }
}

/// Reads what is there and looks for stamps, the ending and the end.
fn read(stream: &TcpStream, carry: &mut Vec<u8>, saw: &mut Saw) {
    let mut bytes = [0; 16 * 1024];
    let kept = carry.len();
    bytes[..kept].copy_from_slice(carry);
    match stream.try_read(&mut bytes[kept..]) {
        Ok(0) => saw.end = if saw.end == End::Whole { End::Whole } else { End::Torn },
        Ok(count) => {
            let seen = now();
            let bytes = &bytes[..kept + count];
            if bytes.starts_with(b"HTTP/1.1 ") && !bytes.starts_with(b"HTTP/1.1 200 ") {
                saw.end = End::Failed;
                return;
            }
            let mark = find(bytes, MARK);
            if mark.is_some() && saw.marked == 0 {
                saw.marked = seen;
            }
            let mut at = 0;
            while let Some((place, stamp)) = stamp(&bytes[at..]) {
                let place = at + place;
                // What lies whole in the carried bytes was seen before.
                if place + 17 > kept {
                    saw.stamp = saw.stamp.max(stamp);
                    let is_after = saw.marked > 0 && mark.is_none_or(|mark| place > mark);
                    saw.after += usize::from(is_after);
                }
                at = place + 17;
            }
            if bytes.ends_with(b"\r\n0\r\n\r\n") {
                saw.end = End::Whole;
            }
            carry.clear();
            carry.extend_from_slice(&bytes[bytes.len().saturating_sub(CARRY)..]);
        }
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
        Err(_) => saw.end = End::Torn,
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The first stamp: a space and 16 hexadecimal digits.
fn stamp(bytes: &[u8]) -> Option<(usize, u64)> {
    let place = bytes.windows(17).position(|window| {
        window[0] == b' ' && window[1] == b'0' && window[1..].iter().all(u8::is_ascii_hexdigit)
    })?;
    let digits = std::str::from_utf8(&bytes[place + 1..place + 17]).ok()?;
    Some((place, u64::from_str_radix(digits, 16).ok()?))
}
