//! The client's side of one exchange, whatever HTTP version carries it.
//!
//! Writing is queueing: nothing here waits. The driver flushes once a wake-up, sees how much is
//! still unsent, and stops reading from the provider at [`BACKLOG_MAX`]; that is the whole of
//! backpressure.

use crate::evidence::Track;
use crate::exchange::facts::Facts;
use http::{HeaderName, HeaderValue, StatusCode};
use std::io;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

/// Where the facts of an exchange are laid down for its record.
pub type Closing = Arc<OnceLock<Arc<Facts>>>;

/// Unsent bytes at which the provider is not read any more.
pub const BACKLOG_MAX: usize = 32 * 1024;

/// How the end of an answer's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length in bytes.
    Length(u64),
    /// By the HTTP version's own means.
    Stream,
    /// There is no body, nor a length (204, 304).
    Empty,
}

/// Why a request's body could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// The client has gone.
    Gone,
    /// Its framing is broken.
    Malformed(String),
}

/// What of a queued body was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discarded {
    /// Nothing: a piece of it has left, and the answer cannot go on behind that.
    Nothing,
    /// All that was queued since the transport last had everything.
    All,
    /// The last so many bytes.
    Bytes(usize),
}

impl Discarded {
    /// Whether nothing of what was queued leaves any more.
    pub fn is_clear(self) -> bool {
        self != Discarded::Nothing
    }
}

/// The client's side of one exchange.
pub trait Client: Send {
    /// Appends what has come of the request's body; `true` once it is whole.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<bool, BodyFault>>;

    /// Ready once the client has gone: nobody is left to answer.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Queues the head of the answer. Called once, before any data.
    fn head(&mut self, status: StatusCode, headers: &[(HeaderName, HeaderValue)], framing: Framing);

    /// Queues bytes of the answer's body.
    fn data(&mut self, payload: &[u8]);

    /// Queues the end of the answer.
    fn finish(&mut self);

    /// Bytes that are queued and not yet taken by the transport.
    fn backlog(&self) -> usize;

    /// Moves queued bytes into the transport; ready when none is left.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Drops what is queued of the body, unless the rest of something that has left would be missed.
    fn discard(&mut self) -> Discarded;

    /// Ends the answer in a way that no client takes for a whole one.
    fn tear(&mut self);

    /// Puts the exchange on record from here on; `closing` gets its facts.
    fn record(&mut self, _track: Track, _closing: Closing) {}

    /// Its record, if it has one.
    fn track(&mut self) -> Option<&mut Track> {
        None
    }
}
