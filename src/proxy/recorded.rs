//! The client's side of an exchange, on record.
//!
//! Whatever is queued for the client goes through here, so that the record has it whoever says it:
//! a relayed frame, a refusal, an ending. What always holds: without a track this is the client
//! itself; a record ends with the exchange's facts, also when its task ends in a panic.

use super::Clock;
use super::client::{BodyFault, Client, Closing, Discarded, Framing};
use crate::evidence::{Bound, Track};
use crate::exchange::keepable;
use http::{HeaderName, HeaderValue, StatusCode};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A client whose answer is recorded, once there is a track.
pub struct Recorded<'c, C: Client> {
    client: &'c mut C,
    clock: Clock,
    track: Option<Box<(Track, Closing)>>,
    /// Bytes of the body that were queued since the transport had taken everything.
    queued: u64,
}

impl<'c, C: Client> Recorded<'c, C> {
    /// A client that is not recorded yet.
    pub fn new(client: &'c mut C, clock: Clock) -> Recorded<'c, C> {
        Recorded { client, clock, track: None, queued: 0 }
    }

    /// What is queued when nothing more leaves did not reach the client.
    fn keep_unsent(&mut self) {
        // The backlog has the framing of HTTP in it.
        let most = self.queued.min(self.client.backlog() as u64);
        if most > 0
            && let Some((track, _)) = self.track.as_deref_mut()
        {
            track.undelivered(self.clock.now(), most, Bound::AtMost);
        }
        self.queued = 0;
    }
}

impl<C: Client> Client for Recorded<'_, C> {
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<bool, BodyFault>> {
        self.client.poll_body(cx, out)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.client.poll_gone(cx)
    }

    fn head(
        &mut self,
        status: StatusCode,
        headers: &[(HeaderName, HeaderValue)],
        framing: Framing,
    ) {
        if let Some((track, _)) = self.track.as_deref_mut() {
            track.delivered_head(self.clock.now(), status.as_u16(), keepable::listed(headers));
        }
        self.client.head(status, headers, framing);
    }

    fn data(&mut self, payload: &[u8]) {
        if let Some((track, _)) = self.track.as_deref_mut()
            && !payload.is_empty()
        {
            track.delivered(self.clock.now(), payload);
            self.queued += payload.len() as u64;
        }
        self.client.data(payload);
    }

    fn finish(&mut self) {
        self.client.finish();
    }

    fn backlog(&self) -> usize {
        self.client.backlog()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.client.poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.queued = 0;
        }
        flushed
    }

    fn discard(&mut self) -> Discarded {
        let discarded = self.client.discard();
        let bytes = match discarded {
            Discarded::Nothing => return discarded,
            Discarded::All => self.queued,
            Discarded::Bytes(bytes) => bytes as u64,
        };
        self.queued = 0;
        if bytes > 0
            && let Some((track, _)) = self.track.as_deref_mut()
        {
            track.undelivered(self.clock.now(), bytes, Bound::Exact);
        }
        discarded
    }

    fn tear(&mut self) {
        self.keep_unsent();
        self.client.tear();
    }

    fn record(&mut self, track: Track, closing: Closing) {
        self.track = Some(Box::new((track, closing)));
    }

    fn track(&mut self) -> Option<&mut Track> {
        self.track.as_deref_mut().map(|(track, _)| track)
    }
}

impl<C: Client> Drop for Recorded<'_, C> {
    fn drop(&mut self) {
        self.keep_unsent();
        if let Some(kept) = self.track.take() {
            let (track, closing) = *kept;
            // A track without facts records that its exchange was abandoned.
            if let Some(facts) = closing.get() {
                track.close(self.clock.now(), Arc::clone(facts));
            }
        }
    }
}
