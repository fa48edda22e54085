//! Plays one answer onto the socket: head, pieces, pace, and every fault of the transport.
//!
//! A piece is what one frame of the answer gives: of a stream, an encoder's bytes; of a whole
//! body, all of it (or its halves, where a fault needs a middle). A fault strikes before the
//! piece of its number, or before the last.

use super::peer::{Gone, Peer};
use crate::exchange::simulated::{Fault, Frames, INVALID_MARK, stamp};
use crate::wire::event::Event;
use crate::wire::{Dialect, Encoder};
use std::collections::VecDeque;
use std::iter::Peekable;
use std::time::Duration;
use tokio::time::Instant;

/// What stands in place of a frame, or of a whole answer.
const GARBAGE: &[u8] = b"\x00\x01garbage}{][\xFE\xFF no frame, no JSON, no HTTP\r\n\r\n";
/// Bytes of a frame that is too large.
const OVERSIZE_BYTES: usize = 17 << 20;
/// Interim answers before the answer.
const INTERIM_COUNT: usize = 1000;
/// What a stream's `content-length` promises when it lies.
const LENGTH_LIE: usize = 1 << 30;

/// How the connection stands after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It may carry another request.
    KeepAlive,
    /// We ended it.
    Closed,
    /// The client did not wait for the end.
    ClientGone,
}

/// The pieces of a body.
#[derive(Debug)]
pub(super) enum Pieces {
    /// Bytes that are there, each piece paced.
    Ready(VecDeque<Vec<u8>>),
    /// The frames of a model's answer, encoded when they are due.
    Frames(Box<Encoding>),
    /// The same as a JSON array, as Gemini streams without `alt=sse`.
    Array { frames: Box<Encoding>, is_open: bool },
}

/// A model's answer on its way into a dialect.
#[derive(Debug)]
pub(super) struct Encoding {
    frames: Peekable<Frames>,
    has_stamps: bool,
    encoder: Encoder,
}

/// When pieces are due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    pub(super) first_wait: Duration,
    pub(super) between_wait: Duration,
    pub(super) batch: u32,
}

/// One answer, ready to be played.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) status: u16,
    pub(super) content_type: String,
    /// Whole header lines, each with its line end.
    pub(super) extra: String,
    pub(super) pieces: Pieces,
    /// The body's length, where it is known and told; else chunks.
    pub(super) length: Option<usize>,
    pub(super) pace: Pace,
    pub(super) fault: Option<Fault>,
    pub(super) at: u32,
    pub(super) is_head_only: bool,
    pub(super) keep_alive: bool,
    pub(super) takes_chunks: bool,
}

/// One piece.
struct Piece {
    bytes: Vec<u8>,
    is_last: bool,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Framing {
    Chunks,
    /// By a length that was told, or by the end of the connection.
    Bare,
}

/// Plays the answer and says how the connection stands then.
pub(super) async fn play(peer: &mut Peer, play: Play) -> Ending {
    perform(peer, play).await.unwrap_or(Ending::ClientGone)
}

async fn perform(peer: &mut Peer, mut play: Play) -> Result<Ending, Gone> {
    if !play.is_head_only {
        spoil_whole(&mut play);
    }
    let start = Instant::now() + play.pace.first_wait;
    if play.fault == Some(Fault::Refuse) {
        peer.reset();
        return Ok(Ending::Closed);
    }
    if !play.pace.first_wait.is_zero() {
        peer.pause(start).await?;
    }
    if play.fault == Some(Fault::Garbage) && play.at == 0 {
        peer.send(GARBAGE).await?;
        peer.close().await;
        return Ok(Ending::Closed);
    }
    let (mut out, framing, keep_alive) = head(&play);
    if play.is_head_only {
        peer.send(&out).await?;
        return Ok(if keep_alive { Ending::KeepAlive } else { close(peer).await });
    }
    let mut has_struck = false;
    let (mut index, mut paced) = (0u32, 0u32);
    while let Some(is_paced) = play.pieces.is_next_paced() {
        if is_paced {
            if paced > 0 && !play.pace.between_wait.is_zero() {
                peer.pause(start + play.pace.between_wait * paced).await?;
            }
            paced += 1;
        }
        let Some(mut piece) = play.pieces.next() else { break };
        if let Some(fault) = play.fault
            && !has_struck
            && (index >= play.at || piece.is_last)
        {
            has_struck = true;
            match strike(fault, &mut piece, &mut out, play.length.is_some()) {
                Blow::Spoilt => {}
                Blow::Stall => {
                    peer.send(&out).await?;
                    return Err(peer.gone().await);
                }
                Blow::Reset => {
                    peer.send(&out).await?;
                    peer.reset();
                    return Ok(Ending::Closed);
                }
                Blow::Close => {
                    peer.send(&out).await?;
                    return Ok(close(peer).await);
                }
                Blow::End => piece.is_last = true,
            }
        }
        push_framed(&mut out, &piece.bytes, framing);
        if piece.is_last {
            break;
        }
        if is_paced && paced.is_multiple_of(play.pace.batch.max(1)) {
            peer.send(&out).await?;
            out.clear();
            if play.pace.between_wait.is_zero() && paced.is_multiple_of(64) {
                tokio::task::yield_now().await;
            }
        }
        index += 1;
    }
    if framing == Framing::Chunks {
        out.extend_from_slice(b"0\r\n\r\n");
    }
    peer.send(&out).await?;
    Ok(if keep_alive { Ending::KeepAlive } else { close(peer).await })
}

async fn close(peer: &mut Peer) -> Ending {
    peer.close().await;
    Ending::Closed
}

/// The head, how the body behind it is framed, and whether the connection outlives it.
fn head(play: &Play) -> (Vec<u8>, Framing, bool) {
    const INTERIM: &str = "HTTP/1.1 103 Early Hints\r\nlink: </storm>; rel=preload\r\n\r\n";
    let mut lines = Vec::new();
    if play.fault == Some(Fault::InterimStorm) {
        lines.push(INTERIM.repeat(INTERIM_COUNT));
    }
    let reason = http::StatusCode::from_u16(play.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("");
    let status = play.status;
    lines.push(format!("HTTP/1.1 {status} {reason}\r\nserver: firedoor-mock\r\n"));
    if !play.content_type.is_empty() {
        lines.push(format!("content-type: {}\r\n", play.content_type));
    }
    lines.push(play.extra.clone());
    let mut keep_alive = play.keep_alive;
    let mut framing = Framing::Bare;
    match (play.fault, play.length) {
        (Some(Fault::LieLength), length) => {
            keep_alive = false;
            let lie = length.map_or(LENGTH_LIE, |length| length + 100);
            lines.push(format!("content-length: {lie}\r\n"));
        }
        (Some(Fault::TwoLengths), length) => {
            keep_alive = false;
            let truth = length.unwrap_or(LENGTH_LIE);
            lines.push(format!("content-length: {truth}\r\n"));
            lines.push(format!("content-length: {}\r\n", truth + 1));
        }
        (Some(Fault::BadChunk), _) => {
            framing = Framing::Chunks;
            lines.push("transfer-encoding: chunked\r\n".to_owned());
        }
        (_, Some(length)) => lines.push(format!("content-length: {length}\r\n")),
        (_, None) if play.takes_chunks => {
            framing = Framing::Chunks;
            lines.push("transfer-encoding: chunked\r\n".to_owned());
        }
        (_, None) => keep_alive = false,
    }
    if !keep_alive {
        lines.push("connection: close\r\n".to_owned());
    }
    lines.push("\r\n".to_owned());
    (lines.concat().into_bytes(), framing, keep_alive)
}

/// How a fault goes on once it has struck.
enum Blow {
    /// The piece was changed; the answer goes on.
    Spoilt,
    /// The piece was cut, and the answer ends behind it as if all were well.
    End,
    Stall,
    Reset,
    Close,
}

fn strike(fault: Fault, piece: &mut Piece, out: &mut Vec<u8>, is_whole: bool) -> Blow {
    match fault {
        Fault::Stall => Blow::Stall,
        Fault::Reset => Blow::Reset,
        Fault::Close => Blow::Close,
        Fault::BadChunk => {
            out.extend_from_slice(b"xyz\r\n");
            out.extend_from_slice(&piece.bytes);
            out.extend_from_slice(b"\r\n");
            Blow::Close
        }
        // Of a whole body these were done before its length was told.
        Fault::Truncate | Fault::Garbage | Fault::Oversize | Fault::InvalidUtf8 if is_whole => {
            Blow::Spoilt
        }
        Fault::Truncate => {
            piece.bytes.truncate(piece.bytes.len() / 2);
            Blow::End
        }
        Fault::Garbage => {
            piece.bytes = GARBAGE.to_vec();
            Blow::Spoilt
        }
        Fault::Oversize => {
            let mut bytes = b"data: ".to_vec();
            bytes.resize(OVERSIZE_BYTES, b'a');
            bytes.extend_from_slice(b"\n\n");
            bytes.append(&mut piece.bytes);
            piece.bytes = bytes;
            Blow::Spoilt
        }
        // Performed in the head, by the frames, or before it all began.
        Fault::InvalidUtf8
        | Fault::Refuse
        | Fault::LieLength
        | Fault::TwoLengths
        | Fault::InterimStorm
        | Fault::ErrorEvent => Blow::Spoilt,
    }
}

/// Changes a body of known length as its fault says, and cuts it where the fault needs a middle.
fn spoil_whole(play: &mut Play) {
    let Pieces::Ready(pieces) = &mut play.pieces else { return };
    if play.fault == Some(Fault::InvalidUtf8) {
        let at = (play.at as usize).min(pieces.len().saturating_sub(1));
        if let Some(piece) = pieces.get_mut(at)
            && !make_invalid(piece)
        {
            let middle = piece.len() / 2;
            piece.iter_mut().skip(middle).take(1).for_each(|byte| *byte = 0xFF);
        }
    }
    let (Some(fault), Some(_)) = (play.fault, play.length) else { return };
    let mut body: Vec<u8> = pieces.iter().flatten().copied().collect();
    match fault {
        Fault::Truncate => body.truncate(body.len() / 2),
        Fault::Garbage => body = GARBAGE.to_vec(),
        Fault::Oversize => {
            let mut blank = vec![b' '; OVERSIZE_BYTES];
            blank.append(&mut body);
            body = blank;
        }
        Fault::Stall | Fault::Reset | Fault::Close | Fault::BadChunk if pieces.len() == 1 => {
            let second = body.split_off(body.len() / 2);
            *pieces = VecDeque::from([body, second]);
            return;
        }
        Fault::Stall
        | Fault::Reset
        | Fault::Close
        | Fault::BadChunk
        | Fault::InvalidUtf8
        | Fault::Refuse
        | Fault::LieLength
        | Fault::TwoLengths
        | Fault::InterimStorm
        | Fault::ErrorEvent => return,
    }
    play.length = Some(body.len());
    *pieces = VecDeque::from([body]);
}

/// Puts invalid bytes where the mark stands; whether it stood there.
fn make_invalid(bytes: &mut [u8]) -> bool {
    let mut mark = [0; 4];
    let mark = INVALID_MARK.encode_utf8(&mut mark).as_bytes();
    let Some(at) = memchr::memmem::find(bytes, mark) else { return false };
    bytes[at..at + mark.len()].fill(0xFF);
    true
}

pub(in crate::cli) fn push_framed(out: &mut Vec<u8>, bytes: &[u8], framing: Framing) {
    // An empty chunk would be the last one.
    if framing == Framing::Bare || bytes.is_empty() {
        out.extend_from_slice(bytes);
        return;
    }
    out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

impl Pieces {
    /// A whole body.
    pub(super) fn whole(body: Vec<u8>) -> Pieces {
        Pieces::Ready(VecDeque::from([body]))
    }

    /// Whether the next piece has a time at which it is due; `None` if there is none.
    fn is_next_paced(&mut self) -> Option<bool> {
        match self {
            Pieces::Ready(pieces) => (!pieces.is_empty()).then_some(true),
            Pieces::Frames(frames) | Pieces::Array { frames, .. } => frames.is_next_text(),
        }
    }

    fn next(&mut self) -> Option<Piece> {
        match self {
            Pieces::Ready(pieces) => {
                let bytes = pieces.pop_front()?;
                Some(Piece { bytes, is_last: pieces.is_empty() })
            }
            Pieces::Frames(frames) => frames.next(),
            Pieces::Array { frames, is_open } => {
                let mut piece = frames.next()?;
                piece.bytes = array_part(&piece.bytes, is_open, piece.is_last);
                Some(piece)
            }
        }
    }
}

impl Encoding {
    /// An answer into `dialect`, at its start.
    pub(super) fn new(dialect: Dialect, frames: Frames) -> Box<Encoding> {
        Box::new(Encoding {
            has_stamps: frames.script().stamp,
            frames: frames.peekable(),
            encoder: Encoder::new(dialect, Dialect::OpenaiChat),
        })
    }

    fn is_next_text(&mut self) -> Option<bool> {
        let events = self.frames.peek()?;
        Some(events.iter().any(|event| matches!(event, Event::Text { .. })))
    }

    /// The bytes of the next frame, stamped now.
    fn next(&mut self) -> Option<Piece> {
        let mut events = self.frames.next()?;
        if self.has_stamps {
            stamp(&mut events, monotonic_nanos());
        }
        let is_last = events.iter().any(|event| matches!(event, Event::End | Event::Error { .. }));
        let mut bytes = Vec::with_capacity(256);
        self.encoder.frame(&events, &mut bytes);
        make_invalid(&mut bytes);
        Some(Piece { bytes, is_last })
    }
}

/// The objects of SSE frames as the next part of a JSON array.
fn array_part(frames: &[u8], is_open: &mut bool, is_last: bool) -> Vec<u8> {
    let mut part = Vec::with_capacity(frames.len());
    for line in frames.split(|byte| *byte == b'\n') {
        if let Some(object) = line.strip_prefix(b"data: ") {
            part.extend_from_slice(if *is_open { b",\r\n" } else { b"[" });
            part.extend_from_slice(object);
            *is_open = true;
        }
    }
    if is_last {
        part.extend_from_slice(if *is_open { b"]" } else { b"[]" });
    }
    part
}

/// The machine's monotonic clock (`CLOCK_MONOTONIC` on Linux) in nanoseconds, as other processes
/// read it. The standard library keeps the number to itself but for its `Debug` form; where that
/// cannot be read, the count begins with the process.
fn monotonic_nanos() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000_000 + nanos.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_one_json_value() {
        let mut is_open = false;
        let mut all = array_part(b"data: {\"a\":1}\n\n", &mut is_open, false);
        all.extend(array_part(b"", &mut is_open, false));
        all.extend(array_part(b"data: {\"a\":2}\n\ndata: {}\n\n", &mut is_open, true));
        let value: serde_json::Value = serde_json::from_slice(&all).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 3);
        assert_eq!(array_part(b"", &mut false, true), b"[]");
    }

    #[test]
    fn the_mark_becomes_invalid() {
        let mut bytes = format!("a{INVALID_MARK}b").into_bytes();
        assert!(make_invalid(&mut bytes));
        assert_eq!(bytes, b"a\xFF\xFF\xFFb");
    }
}
