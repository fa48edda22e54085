//! What leaves the data path: owned entries, one for each line of the record.
//!
//! They are made without serialising anything; the writer's thread turns them into lines. Bytes
//! are shared where the caller has them shared.

use crate::clock::Tick;
use crate::exchange::facts::{Facts, Identity};
use crate::id::{Epoch, ExchangeId, LeverId, RouteName};
use crate::table::Recipient;
use crate::wire::Dialect;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use std::borrow::Cow;
use std::sync::Arc;

/// The most bytes of a text that stand in one line; longer ones are in several.
pub const PIECE_BYTES_MAX: usize = 256 * 1024;

/// What is counted for a line beside its texts.
const LINE_COST: usize = 256;

/// Fields of a head. Values of those that hold credentials are not written.
pub type Headers = Vec<(HeaderName, HeaderValue)>;

/// How an exchange begins.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The exchange.
    pub id: ExchangeId,
    /// When its head had been read.
    pub began: Tick,
    /// The same moment, in milliseconds since the Unix epoch.
    pub began_unix_ms: u64,
    /// Who asks.
    pub identity: Identity,
    /// The route that takes it.
    pub route: Option<RouteName>,
    /// The caller's dialect; `None` for what is passed through.
    pub dialect: Option<Dialect>,
    /// The model asked for.
    pub model: Option<Box<str>>,
    /// Whether a stream is asked for.
    pub is_stream: bool,
    /// The table that it pinned.
    pub epoch: Epoch,
    /// Names the rules over it: a hash of them.
    pub ruleset: Option<Arc<str>>,
    /// The levers in force over it.
    pub levers: Vec<LeverId>,
    /// For how many days its record stays at least, if its route says so.
    pub keep_days: Option<u16>,
}

/// The head of a request. The caller leaves credentials out, those in the query too.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The path, and what of the query may be kept.
    pub path: Box<str>,
    /// The fields that are kept.
    pub headers: Headers,
}

/// What was sent to a provider.
#[derive(Clone, Debug)]
pub enum SentBody {
    /// The body of the request, unchanged.
    Same(Bytes),
    /// Another one.
    Other(Bytes),
}

/// Which texts of an exchange are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Texts {
    /// All.
    All,
    /// All, sealed.
    Sealed,
    /// Those that were sent to providers and those that the client got: what rules took out of
    /// either is in neither.
    Sent,
    /// None.
    None,
}

impl Texts {
    /// Whether all of them are.
    pub(super) fn are_all(self) -> bool {
        matches!(self, Texts::All | Texts::Sealed)
    }
}

/// A record that belongs to the gate, or that somebody attached to an exchange.
#[derive(Clone, Debug)]
pub struct Note {
    /// When, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// What it is: `lever_pulled`, `table_published`, `hold_placed`, `context`.
    pub what: Cow<'static, str>,
    /// The exchange that it is about.
    pub exchange: Option<ExchangeId>,
    /// The rest. Larger than [`PIECE_BYTES_MAX`] as text, only its size is recorded.
    pub about: serde_json::Value,
}

/// One arrival of bytes, or one departure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// When: microseconds since the exchange began.
    pub at_us: u64,
    /// How many bytes.
    pub bytes: u32,
}

/// How sure a number of bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// So many.
    Exact,
    /// So many or fewer: they are counted with the framing of HTTP around them.
    AtMost,
}

/// Records that were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Lines that were not written.
    pub records: u64,
    /// Bytes of bodies that those lines told of.
    pub bytes: u64,
}

impl Loss {
    /// Adds to it.
    pub fn add(&mut self, other: Loss) {
        self.records = self.records.saturating_add(other.records);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    /// Whether nothing was lost.
    pub fn is_none(self) -> bool {
        self == Loss::default()
    }
}

/// A run of bytes with its chunks. The chunks add up to its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// Where it begins in its stream.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// The bytes; empty where only their number is recorded.
    pub bytes: Vec<u8>,
    pub chunks: Vec<Chunk>,
    /// Whether the first chunk is the rest of the one that ended the run before.
    pub joins: bool,
}

/// A stretch of an attempt's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub attempt: u16,
    pub offset: u64,
}

/// A piece of a body that came whole.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub offset: u64,
    /// `None` where only the number of bytes is recorded.
    pub bytes: Option<Bytes>,
}

/// The end of an exchange.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// It ended, and this is known of it.
    Facts(Arc<Facts>),
    /// Whoever drove it went away without a word.
    Abandoned,
}

/// A hole in the record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hole {
    pub loss: Loss,
    pub since_unix_ms: u64,
    pub until_unix_ms: u64,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Open {
        opened: Box<Opened>,
        texts: Texts,
    },
    /// `head` stands with the first piece.
    Request {
        head: Option<Box<RequestHead>>,
        total: u64,
        piece: Piece,
    },
    Sent {
        attempt: u16,
        target: Arc<str>,
        total: u64,
        piece: Option<Piece>,
    },
    AnswerHead {
        attempt: u16,
        status: u16,
        headers: Headers,
    },
    Received {
        attempt: u16,
        run: Run,
    },
    DeliveredHead {
        status: u16,
        headers: Headers,
    },
    Delivered {
        same: Option<Stretch>,
        run: Run,
    },
    Undelivered {
        bytes: u64,
        bound: Bound,
    },
    /// A text as it was before rules took anything out of it, for `to` alone.
    Original {
        /// The attempt whose answer it is a part of; `None` for the request.
        attempt: Option<u16>,
        offset: u64,
        bytes: Bytes,
        to: Arc<[Recipient]>,
    },
    Close {
        ending: Ending,
        loss: Loss,
        received: u64,
        delivered: u64,
    },
    Note {
        what: Cow<'static, str>,
        about: Result<String, usize>,
        /// What is for recipients alone.
        sealed: Option<String>,
    },
    Gap(Hole),
}

/// One line in the making.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub at_unix_ms: u64,
    pub exchange: Option<ExchangeId>,
    pub what: What,
    /// For whom its text is sealed; in the clear, if `None`.
    pub seal_to: Option<Arc<[Recipient]>>,
}

impl Entry {
    pub(super) fn is_gap(&self) -> bool {
        matches!(self.what, What::Gap(_))
    }

    /// What is lost if this is.
    pub(super) fn loss(&self) -> Loss {
        let of_piece = |piece: &Piece| piece.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        match &self.what {
            // A hole that could not be told stays as large as it is.
            What::Gap(hole) => hole.loss,
            what => Loss {
                records: 1,
                bytes: match what {
                    What::Request { piece, .. } | What::Sent { piece: Some(piece), .. } => {
                        of_piece(piece)
                    }
                    What::Received { run, .. } | What::Delivered { run, .. } => run.len,
                    // The line beside it tells of the same bytes.
                    What::Original { .. }
                    | What::Open { .. }
                    | What::Sent { piece: None, .. }
                    | What::AnswerHead { .. }
                    | What::DeliveredHead { .. }
                    | What::Undelivered { .. }
                    | What::Close { .. }
                    | What::Note { .. }
                    | What::Gap(_) => 0,
                },
            },
        }
    }

    /// The memory that it holds, by a fair estimate.
    pub(super) fn cost(&self) -> usize {
        let of_piece = |piece: &Piece| piece.bytes.as_ref().map_or(0, Bytes::len);
        let of_headers = |headers: &Headers| {
            headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum()
        };
        LINE_COST
            + match &self.what {
                What::Open { opened, .. } => 512 + opened.levers.len() * 16,
                What::Request { head, piece, .. } => {
                    let head = head.as_ref();
                    of_piece(piece)
                        + head.map_or(0, |head| head.path.len() + of_headers(&head.headers))
                }
                What::Sent { piece, .. } => piece.as_ref().map_or(0, of_piece),
                What::AnswerHead { headers, .. } | What::DeliveredHead { headers, .. } => {
                    of_headers(headers)
                }
                What::Received { run, .. } | What::Delivered { run, .. } => {
                    run.bytes.len() + run.chunks.len() * size_of::<Chunk>()
                }
                What::Close { ending: Ending::Facts(facts), .. } => {
                    size_of::<Facts>() + facts.found.hits.len() * 64 + facts.loops_met.len() * 128
                }
                What::Original { bytes, .. } => bytes.len(),
                What::Note { about: Ok(text), sealed, .. } => {
                    text.len() + sealed.as_ref().map_or(0, String::len)
                }
                What::Undelivered { .. }
                | What::Close { .. }
                | What::Note { .. }
                | What::Gap(_) => 0,
            }
    }
}

/// How many of `bytes` end at a border of characters: all, or all but the beginning of a last one.
pub(super) fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    for (back, byte) in bytes[tail..].iter().rev().enumerate() {
        let needs = match byte {
            0x80..=0xBF => continue,
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        return if needs > back + 1 { bytes.len() - back - 1 } else { bytes.len() };
    }
    bytes.len()
}

/// Cuts a body into pieces, at borders of characters where it can.
pub(super) fn pieces(body: &Bytes) -> impl Iterator<Item = Piece> {
    let mut offset = 0;
    let mut is_first = true;
    let body = body.clone();
    std::iter::from_fn(move || {
        if offset == body.len() && !std::mem::take(&mut is_first) {
            return None;
        }
        is_first = false;
        let end = body.len().min(offset + PIECE_BYTES_MAX);
        let len =
            if end == body.len() { end - offset } else { whole_characters(&body[offset..end]) };
        let piece = Piece { offset: offset as u64, bytes: Some(body.slice(offset..offset + len)) };
        offset += len;
        Some(piece)
    })
}
