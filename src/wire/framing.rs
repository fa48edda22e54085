//! How the frames of a stream are told apart, whatever its dialect.
//!
//! A dialect has one framing; Gemini also has arrays, for those who do not ask for events. A frame of any has the shape of [`sse::Frame`]: the bytes as they
//! came, a name, and data; so decoders take frames and relays cut them without asking which
//! framing it is.

use super::eventstream::{self, Damage};
use super::jsonarray;
use super::media_type::MediaType;
use super::sse::{self, Frame};

pub use super::sse::FRAME_BYTES_MAX;

/// A framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// AWS's binary event stream.
    EventStream,
    /// A JSON array that comes over time.
    JsonArray,
}

impl Framing {
    /// The media type under which streams of it are sent.
    pub fn content_type(self) -> &'static str {
        match self {
            Framing::Sse => "text/event-stream; charset=utf-8",
            Framing::EventStream => "application/vnd.amazon.eventstream",
            Framing::JsonArray => "application/json",
        }
    }

    /// Whether a `content-type` says that what follows is in this framing.
    pub fn is_named_by(self, content_type: &str) -> bool {
        MediaType::of(content_type).is(match self {
            Framing::Sse => "text/event-stream",
            Framing::EventStream => "application/vnd.amazon.eventstream",
            Framing::JsonArray => "application/json",
        })
    }

    /// The parts of one frame that a [`Splitter`] of this framing cut.
    pub fn frame(self, raw: &[u8]) -> Frame<'_> {
        match self {
            Framing::Sse => Frame::parse(raw),
            Framing::EventStream => eventstream::frame(raw),
            Framing::JsonArray => jsonarray::frame(raw),
        }
    }
}

/// Where a frame ends, found as its bytes come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Splitter {
    /// Of server-sent events.
    Sse(sse::Splitter),
    /// Of a binary event stream.
    EventStream(eventstream::Splitter),
    /// Of an array.
    JsonArray(jsonarray::Splitter),
}

impl Splitter {
    /// A splitter at the start of a stream.
    pub fn new(framing: Framing) -> Splitter {
        match framing {
            Framing::Sse => Splitter::Sse(sse::Splitter::default()),
            Framing::EventStream => Splitter::EventStream(eventstream::Splitter::default()),
            Framing::JsonArray => Splitter::JsonArray(jsonarray::Splitter::default()),
        }
    }

    /// The length of the first whole frame of `bytes`, which starts where the last frame ended and
    /// grows from call to call; `None` if it is not whole yet.
    ///
    /// # Errors
    /// The bytes contradict their framing; nothing behind them can be found. Server-sent events
    /// never do.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Option<usize>, Damage> {
        match self {
            Splitter::Sse(splitter) => Ok(splitter.next(bytes)),
            Splitter::EventStream(splitter) => splitter.next(bytes),
            Splitter::JsonArray(splitter) => splitter.next(bytes),
        }
    }
}
