//! Bodies, read as the bytes come: a slice of payload for each run of payload bytes, never copied
//! unless asked.
//!
//! Chunks (RFC 9112, section 7.1) are taken strictly: CRLF and nothing else, a size in at most 16
//! hex digits with nothing around it. Extensions are skipped within limits, since a body that is
//! mostly extensions costs reading and yields nothing. Trailers are parsed, rid of every field that
//! must not come so late, and kept apart: nothing here merges them into a head.

use super::head::fields;
use super::{BodyLength, HEADERS_MAX, ResponseLength, is_hop_by_hop};
use http::{HeaderMap, HeaderName, StatusCode};
use std::fmt;

/// The most bytes of extensions behind one chunk size.
const EXTENSION_BYTES_MAX: u32 = 256;
/// The most bytes of extensions in one body.
const EXTENSIONS_BYTES_MAX: u32 = 16 << 10;
/// The most bytes of trailers, the blank line behind them included.
const TRAILER_BYTES_MAX: usize = 8 << 10;
/// Sixteen hex digits fill 64 bits; more would overflow, or be zeros that hide something.
const SIZE_DIGITS_MAX: u8 = 16;

/// Why a body cannot be read on. Its connection is closed; what came out before stays valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyError {
    /// A chunk size is not one to sixteen hex digits before `;` or CRLF.
    ChunkSize,
    /// Chunk extensions hold a control byte or are too long.
    ChunkExtension,
    /// A chunk is not followed by CRLF.
    ChunkEnd,
    /// Trailers are not fields, too many, or too long.
    Trailer,
    /// The body is longer than this many bytes.
    TooLong(u64),
    /// The connection ended first.
    Truncated,
}

impl BodyError {
    /// The status that answers a request, if nothing was answered yet.
    pub fn status(self) -> StatusCode {
        match self {
            BodyError::ChunkSize
            | BodyError::ChunkExtension
            | BodyError::ChunkEnd
            | BodyError::Trailer
            | BodyError::Truncated => StatusCode::BAD_REQUEST,
            BodyError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            BodyError::ChunkSize => "a chunk size is not one to sixteen hex digits",
            BodyError::ChunkExtension => "chunk extensions are malformed or too long",
            BodyError::ChunkEnd => "a chunk is not followed by CRLF",
            BodyError::Trailer => "the trailers are malformed or too long",
            BodyError::TooLong(max) => return write!(f, "the body is longer than {max} bytes"),
            BodyError::Truncated => "the connection ended before the body did",
        })
    }
}

impl std::error::Error for BodyError {}

/// One step through a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Payload, possibly empty; a part of the input.
    pub payload: &'a [u8],
    /// How much of the input this step took; never 0 unless the input is empty or the body done.
    pub bytes_used: usize,
    /// Whether the body has ended; bytes behind it are not its own.
    pub done: bool,
}

/// What a call to [`BodyReader::decode`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// How much of the input was taken: all of it, unless the body ended before.
    pub bytes_used: usize,
    /// Whether the body has ended.
    pub done: bool,
}

/// Where in a body the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length { left: u64 },
    UntilClose,
    Size { size: u64, digits: u8 },
    Extension { size: u64, bytes: u32 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer,
    Done,
    Failed(BodyError),
}

const CHUNK: State = State::Size { size: 0, digits: 0 };

/// Reads one body. At any time, the payload yielded is at most what the framing declared and at
/// most the limit.
#[derive(Clone, Debug)]
pub struct BodyReader {
    state: State,
    payload_bytes: u64,
    payload_bytes_max: u64,
    extensions_bytes: u32,
    trailer: Vec<u8>,
    trailers: Option<Box<HeaderMap>>,
}

impl BodyReader {
    /// A reader of a body of this length that refuses more than `payload_bytes_max` bytes.
    pub fn new(length: BodyLength, payload_bytes_max: u64) -> BodyReader {
        BodyReader::at(
            match length {
                BodyLength::None | BodyLength::Length(0) => State::Done,
                BodyLength::Length(left) if left > payload_bytes_max => {
                    State::Failed(BodyError::TooLong(payload_bytes_max))
                }
                BodyLength::Length(left) => State::Length { left },
                BodyLength::Chunked => CHUNK,
            },
            payload_bytes_max,
        )
    }

    /// A reader of a response body.
    pub fn response(length: ResponseLength, payload_bytes_max: u64) -> BodyReader {
        match length {
            ResponseLength::Framed(length) => BodyReader::new(length, payload_bytes_max),
            ResponseLength::UntilClose => BodyReader::at(State::UntilClose, payload_bytes_max),
        }
    }

    fn at(state: State, payload_bytes_max: u64) -> BodyReader {
        BodyReader {
            state,
            payload_bytes: 0,
            payload_bytes_max,
            extensions_bytes: 0,
            trailer: Vec::new(),
            trailers: None,
        }
    }

    /// Whether the body has ended. A body without bytes has ended from the beginning.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The payload yielded so far, in bytes.
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// The trailers, once the body is done; without fields that concern framing, routing,
    /// credentials or the reading of the content (RFC 9110, section 6.5.1).
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_deref()
    }

    /// The next run of payload in `input`, which begins where the last call's bytes ended. An error
    /// is final.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<Piece<'a>, BodyError> {
        let mut used = 0;
        let payload = self.step(input, &mut used).inspect_err(|&error| {
            self.state = State::Failed(error);
        })?;
        Ok(Piece { payload, bytes_used: used, done: self.is_done() })
    }

    /// Appends all payload in `input` to `out`, which grows by at most the length of `input`. What
    /// was appended before an error is payload.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Decoded, BodyError> {
        let mut bytes_used = 0;
        loop {
            let piece = self.next(&input[bytes_used..])?;
            out.extend_from_slice(piece.payload);
            bytes_used += piece.bytes_used;
            if piece.done || bytes_used == input.len() {
                return Ok(Decoded { bytes_used, done: piece.done });
            }
        }
    }

    /// The connection has ended: whether the body has.
    pub fn finish(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Failed(error) => Err(error),
            State::Length { .. }
            | State::Size { .. }
            | State::Extension { .. }
            | State::SizeLf { .. }
            | State::Data { .. }
            | State::DataCr
            | State::DataLf
            | State::Trailer => {
                self.state = State::Failed(BodyError::Truncated);
                Err(BodyError::Truncated)
            }
        }
    }

    /// Goes on to the end of the next run of payload, or of `input`; `used` says how far.
    fn step<'a>(&mut self, input: &'a [u8], used: &mut usize) -> Result<&'a [u8], BodyError> {
        while let Some(&byte) = input.get(*used) {
            match self.state {
                State::Done => break,
                State::Failed(error) => return Err(error),
                State::UntilClose => {
                    self.admit(1)?;
                    let room = self.payload_bytes_max - self.payload_bytes;
                    let (payload, _) = self.payload(&input[*used..], room);
                    *used += payload.len();
                    return Ok(payload);
                }
                State::Length { left } => {
                    let (payload, left) = self.payload(&input[*used..], left);
                    self.state = if left == 0 { State::Done } else { State::Length { left } };
                    *used += payload.len();
                    return Ok(payload);
                }
                State::Data { left } => {
                    let (payload, left) = self.payload(&input[*used..], left);
                    self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                    *used += payload.len();
                    return Ok(payload);
                }
                State::Extension { size, bytes } => {
                    *used += self.skip(&input[*used..], size, bytes)?;
                }
                State::Trailer => *used += self.trailer_line(&input[*used..])?,
                State::Size { size, digits } => {
                    self.state = size_digit(byte, size, digits)?;
                    *used += 1;
                }
                State::SizeLf { size } => {
                    expect(byte, b'\n', BodyError::ChunkSize)?;
                    self.admit(size)?;
                    self.state =
                        if size == 0 { State::Trailer } else { State::Data { left: size } };
                    *used += 1;
                }
                State::DataCr => {
                    expect(byte, b'\r', BodyError::ChunkEnd)?;
                    self.state = State::DataLf;
                    *used += 1;
                }
                State::DataLf => {
                    expect(byte, b'\n', BodyError::ChunkEnd)?;
                    self.state = CHUNK;
                    *used += 1;
                }
            }
        }
        match self.state {
            State::Failed(error) => Err(error),
            _ => Ok(&[]),
        }
    }

    /// Whether `more` bytes of payload are within the limit.
    fn admit(&self, more: u64) -> Result<(), BodyError> {
        match self.payload_bytes.checked_add(more) {
            Some(total) if total <= self.payload_bytes_max => Ok(()),
            Some(_) | None => Err(BodyError::TooLong(self.payload_bytes_max)),
        }
    }

    /// Cuts at most `left` bytes off `input`; with it, how many are left then.
    fn payload<'a>(&mut self, input: &'a [u8], left: u64) -> (&'a [u8], u64) {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let payload = &input[..input.len().min(most)];
        self.payload_bytes += payload.len() as u64;
        (payload, left - payload.len() as u64)
    }

    /// Skips extensions up to the CR behind them; how many bytes that took.
    fn skip(&mut self, input: &[u8], size: u64, bytes: u32) -> Result<usize, BodyError> {
        let room = (EXTENSION_BYTES_MAX - bytes).min(EXTENSIONS_BYTES_MAX - self.extensions_bytes);
        let window = &input[..input.len().min(room as usize + 1)];
        let end = memchr::memchr(b'\r', window).unwrap_or(window.len());
        let printable = |byte: &u8| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f;
        if end > room as usize || !window[..end].iter().all(printable) {
            return Err(BodyError::ChunkExtension);
        }
        self.extensions_bytes += end as u32;
        if end == window.len() {
            self.state = State::Extension { size, bytes: bytes + end as u32 };
            return Ok(end);
        }
        self.state = State::SizeLf { size };
        Ok(end + 1)
    }

    /// Takes one line of the trailers, or a part of it; how many bytes that took.
    fn trailer_line(&mut self, input: &[u8]) -> Result<usize, BodyError> {
        let end = memchr::memchr(b'\n', input).map_or(input.len(), |at| at + 1);
        if end > TRAILER_BYTES_MAX - self.trailer.len() {
            return Err(BodyError::Trailer);
        }
        self.trailer.extend_from_slice(&input[..end]);
        if self.trailer.ends_with(b"\n") && !self.trailer.ends_with(b"\r\n") {
            return Err(BodyError::Trailer);
        }
        if self.trailer == b"\r\n" {
            self.state = State::Done;
        } else if self.trailer.ends_with(b"\r\n\r\n") {
            let mut trailers =
                fields(&self.trailer, HEADERS_MAX).map_err(|_| BodyError::Trailer)?;
            let early: Vec<HeaderName> =
                trailers.keys().filter(|name| !may_trail(name)).cloned().collect();
            for name in early {
                trailers.remove(name);
            }
            self.trailers = Some(Box::new(trailers));
            self.state = State::Done;
        }
        Ok(end)
    }
}

fn size_digit(byte: u8, size: u64, digits: u8) -> Result<State, BodyError> {
    match (char::from(byte).to_digit(16), byte) {
        (Some(digit), _) if digits < SIZE_DIGITS_MAX => {
            Ok(State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
        }
        (None, b'\r') if digits > 0 => Ok(State::SizeLf { size }),
        (None, b';') if digits > 0 => Ok(State::Extension { size, bytes: 0 }),
        (Some(_) | None, _) => Err(BodyError::ChunkSize),
    }
}

fn expect(byte: u8, wanted: u8, error: BodyError) -> Result<(), BodyError> {
    if byte == wanted { Ok(()) } else { Err(error) }
}

/// Whether a field may come behind the content it belongs to (RFC 9110, section 6.5.1).
fn may_trail(name: &HeaderName) -> bool {
    let early = matches!(
        name.as_str(),
        "authorization"
            | "cache-control"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "cookie"
            | "expect"
            | "host"
            | "location"
            | "max-forwards"
            | "range"
            | "retry-after"
            | "set-cookie"
            | "vary"
            | "www-authenticate"
    );
    !early && !is_hop_by_hop(name)
}
