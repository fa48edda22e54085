//! One exchange's way into the record.
//!
//! A track belongs to the task that drives its exchange: it takes no lock for a chunk and allocates
//! nothing but its own buffers. It gathers up to 16 KiB or for 500 ms, looked at when a chunk comes
//! or goes, and then hands the batch to the queue.
//!
//! Of what went to the client only the times are recorded as long as it is, byte for byte, what the
//! provider sent (`same`). The track keeps the end of the provider's answer that was not delivered
//! yet to compare with; what is held back beyond [`TAIL_BYTES_MAX`] is not compared. From the first
//! difference on, what is delivered is written out, until another attempt begins to answer.

use super::entry::{
    Bound, Chunk, Ending, Entry, Headers, Loss, Opened, PIECE_BYTES_MAX, Piece, RequestHead, Run,
    SentBody, Stretch, Texts, What, pieces, whole_characters,
};
use super::queue::Queue;
use crate::clock::Tick;
use crate::exchange::facts::Facts;
use crate::id::ExchangeId;
use crate::table::Recipient;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// What a track gathers before it hands it on.
pub const BATCH_BYTES: usize = 16 * 1024;
/// For how long it gathers.
pub const BATCH_TIME: Duration = Duration::from_millis(500);
/// The most chunks of a batch.
const CHUNKS_MAX: usize = 1_024;
/// The most bytes of the provider's answer that are kept to compare with what is delivered.
pub const TAIL_BYTES_MAX: usize = 64 * 1024;

/// One exchange's way into the record. A track that is dropped without [`Track::close`] records
/// that its exchange was abandoned.
#[derive(Debug)]
pub struct Track {
    queue: Arc<Queue>,
    id: ExchangeId,
    began: Tick,
    began_unix_ms: u64,
    /// The last moment that it was told of.
    last: Tick,
    texts: Texts,
    /// For whom originals are sealed; nobody, if empty.
    originals_to: Arc<[Recipient]>,
    /// For whom all texts are, where they are.
    seal_to: Option<Arc<[Recipient]>>,
    /// When the first byte of the batch came.
    since: Option<Tick>,
    attempt: u16,
    received: Run,
    delivered: Run,
    course: Course,
    /// The provider's bytes that are not delivered yet, from `tail_start` on.
    tail: Vec<u8>,
    tail_start: usize,
    /// What goes to the queue with the next batch, and what it costs there.
    batch: Vec<Entry>,
    batch_cost: usize,
    received_bytes: u64,
    delivered_bytes: u64,
    loss: Loss,
    /// Whether only its end hands on what is gathered, or its bound.
    waits_for_end: bool,
    is_closed: bool,
}

/// How what is delivered relates to what is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// It is the same so far; `next` is where the next byte stands in the attempt's answer, and
    /// `from` where the run of delivered bytes begins there.
    Same { from: u64, next: u64 },
    /// It differs.
    Apart,
}

impl Course {
    /// Where only what leaves is written, that is written out.
    fn at_first(texts: Texts) -> Course {
        match texts {
            Texts::All | Texts::Sealed | Texts::None => Course::Same { from: 0, next: 0 },
            Texts::Sent => Course::Apart,
        }
    }
}

impl Track {
    pub(super) fn open(queue: Arc<Queue>, texts: Texts, opened: Opened) -> Track {
        let mut track = Track {
            queue,
            id: opened.id,
            began: opened.began,
            began_unix_ms: opened.began_unix_ms,
            last: opened.began,
            texts,
            originals_to: Arc::default(),
            seal_to: (texts == Texts::Sealed).then(Arc::default),
            since: None,
            attempt: 0,
            received: Run::default(),
            delivered: Run::default(),
            course: Course::at_first(texts),
            tail: Vec::new(),
            tail_start: 0,
            batch: Vec::with_capacity(8),
            batch_cost: 0,
            received_bytes: 0,
            delivered_bytes: 0,
            loss: Loss::default(),
            waits_for_end: false,
            is_closed: false,
        };
        track.add(What::Open { opened: Box::new(opened), texts });
        track
    }

    /// Seals texts for `recipients`: originals, where only what rules left is kept, or all of them.
    pub fn seal_to(&mut self, recipients: &Arc<[Recipient]>) {
        match self.texts {
            Texts::Sent => self.originals_to = Arc::clone(recipients),
            Texts::Sealed => self.seal_to = Some(Arc::clone(recipients)),
            Texts::All | Texts::None => {}
        }
    }

    /// The exchange.
    pub fn id(&self) -> ExchangeId {
        self.id
    }

    /// What of this exchange was lost so far.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// Whether the queue is nearly full: who must not lose anything waits.
    pub fn is_crowded(&self) -> bool {
        self.queue.is_crowded()
    }

    /// The client's request. It is handed on with what is sent first, or by [`Track::flush`].
    pub fn request(&mut self, now: Tick, head: RequestHead, body: &Bytes) {
        self.last = now;
        let total = body.len() as u64;
        let mut head = Some(Box::new(head));
        if self.texts.are_all() {
            for piece in pieces(body) {
                self.add(What::Request { head: head.take(), total, piece });
            }
        } else {
            self.add(What::Request { head, total, piece: Piece { offset: 0, bytes: None } });
            if !self.originals_to.is_empty() {
                for Piece { offset, bytes } in pieces(body) {
                    self.original(None, offset, bytes.unwrap_or_default());
                }
            }
        }
    }

    /// What attempt `attempt` (the first is 1) sends to `target`; `total` is the body's length.
    pub fn sent(
        &mut self,
        now: Tick,
        attempt: u16,
        target: &Arc<str>,
        total: u64,
        body: &SentBody,
    ) {
        self.last = now;
        let sent = |piece| What::Sent { attempt, target: Arc::clone(target), total, piece };
        match body {
            SentBody::Same(_) if self.texts != Texts::Sent => self.add(sent(None)),
            SentBody::Same(body) | SentBody::Other(body) if self.texts != Texts::None => {
                for piece in pieces(body) {
                    self.add(sent(Some(piece)));
                }
            }
            SentBody::Same(_) | SentBody::Other(_) => {
                self.add(sent(Some(Piece { offset: 0, bytes: None })));
            }
        }
        // The provider may take its time, or be what brings the process down.
        self.push();
    }

    /// What an answer of the gate's own was made from, where the record has it from nowhere else.
    pub fn answered_here(&mut self, now: Tick, target: &Arc<str>, body: &[u8]) {
        if self.texts == Texts::Sent {
            let body = Bytes::copy_from_slice(body);
            self.sent(now, 1, target, body.len() as u64, &SentBody::Other(body));
        }
    }

    /// The head of the answer to an attempt; what comes after it is that attempt's.
    pub fn received_head(&mut self, now: Tick, attempt: u16, status: u16, headers: Headers) {
        self.last = now;
        self.gather(Rest::Take);
        self.attempt = attempt;
        self.received = Run::default();
        self.course = Course::at_first(self.texts);
        self.tail.clear();
        self.tail_start = 0;
        self.add(What::AnswerHead { attempt, status, headers });
    }

    /// One chunk of the provider's answer.
    pub fn received(&mut self, now: Tick, bytes: &[u8]) {
        self.last = now;
        self.received_bytes += bytes.len() as u64;
        if self.texts.are_all() && self.course != Course::Apart {
            self.remember(bytes);
        }
        let mut is_rest = false;
        for piece in bytes.chunks(PIECE_BYTES_MAX) {
            let at_us = self.at_us();
            let is_kept = self.texts.are_all() || !self.originals_to.is_empty();
            let kept: &[u8] = if is_kept { piece } else { &[] };
            self.received.add(at_us, piece.len(), kept, is_rest);
            is_rest = true;
            self.look(now);
        }
    }

    /// The head that goes to the client.
    pub fn delivered_head(&mut self, now: Tick, status: u16, headers: Headers) {
        self.last = now;
        self.add(What::DeliveredHead { status, headers });
    }

    /// One chunk that goes to the client.
    pub fn delivered(&mut self, now: Tick, bytes: &[u8]) {
        self.last = now;
        self.delivered_bytes += bytes.len() as u64;
        if self.texts == Texts::None {
            if !bytes.is_empty() {
                let at_us = self.at_us();
                self.delivered.add(at_us, bytes.len(), &[], false);
                self.look(now);
            }
            return;
        }
        let same = self.same(bytes);
        let at_us = self.at_us();
        if same > 0 {
            self.delivered.add(at_us, same, &[], false);
            self.look(now);
        }
        let rest = &bytes[same..];
        if rest.is_empty() {
            return;
        }
        if self.course != Course::Apart {
            self.part();
        }
        let mut is_rest = same > 0;
        for piece in rest.chunks(PIECE_BYTES_MAX) {
            self.delivered.add(at_us, piece.len(), piece, is_rest);
            is_rest = true;
            self.look(now);
        }
    }

    /// The last `bytes` of what was delivered did not leave after all.
    pub fn undelivered(&mut self, now: Tick, bytes: u64, bound: Bound) {
        self.last = now;
        self.gather(Rest::Take);
        if self.course != Course::Apart {
            self.part();
        }
        self.add(What::Undelivered { bytes, bound });
    }

    /// The exchange ends now, and so may thousands at once: what little is still to come goes with its end, so
    /// that the record does not take the machine from the endings.
    pub fn wait_for_end(&mut self) {
        self.waits_for_end = true;
    }

    /// Hands on what was gathered, whatever there is of it.
    pub fn flush(&mut self, now: Tick) {
        self.last = now;
        self.gather(Rest::Keep);
        self.push();
    }

    /// The end of the exchange.
    pub fn close(mut self, now: Tick, facts: Arc<Facts>) {
        self.last = now;
        self.end(Ending::Facts(facts));
    }

    fn end(&mut self, ending: Ending) {
        self.is_closed = true;
        self.gather(Rest::Take);
        self.add(What::Close {
            ending,
            loss: self.loss,
            received: self.received_bytes,
            delivered: self.delivered_bytes,
        });
        self.push();
    }

    fn at_us(&self) -> u64 {
        u64::try_from(self.last.since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    /// Keeps what is still to be delivered, to compare with.
    fn remember(&mut self, bytes: &[u8]) {
        if self.tail.len() - self.tail_start + bytes.len() > TAIL_BYTES_MAX {
            // What comes is written out, as it may be anything.
            self.part();
            return;
        }
        if self.tail_start > 0 && self.tail_start >= self.tail.len() / 2 {
            self.tail.drain(..self.tail_start);
            self.tail_start = 0;
        }
        self.tail.extend_from_slice(bytes);
    }

    /// How many of `bytes` are what the provider sent next.
    fn same(&mut self, bytes: &[u8]) -> usize {
        let Course::Same { from, next } = self.course else { return 0 };
        let tail = &self.tail[self.tail_start..];
        let most = tail.len().min(bytes.len());
        let same = if tail[..most] == bytes[..most] {
            most
        } else {
            tail.iter().zip(bytes).take_while(|(a, b)| a == b).count()
        };
        self.tail_start += same;
        self.course = Course::Same { from, next: next + same as u64 };
        same
    }

    /// What is delivered is no longer what is received.
    fn part(&mut self) {
        if self.delivered.len > 0 {
            self.gather(Rest::Take);
        }
        self.course = Course::Apart;
        self.tail = Vec::new();
        self.tail_start = 0;
    }

    /// Hands on what was gathered, if it is enough or old enough.
    fn look(&mut self, now: Tick) {
        let since = *self.since.get_or_insert(now);
        let bytes = self.received.bytes.len() + self.delivered.bytes.len();
        let chunks = self.received.chunks.len().max(self.delivered.chunks.len());
        let is_old = now.since(since) >= BATCH_TIME && !self.waits_for_end;
        if bytes >= BATCH_BYTES || chunks >= CHUNKS_MAX || is_old {
            self.gather(Rest::Keep);
            self.push();
        }
    }

    /// Puts what was gathered into the batch.
    fn gather(&mut self, rest: Rest) {
        let open = match rest {
            Rest::Keep => self.received.open_character(),
            Rest::Take => 0,
        };
        // Same bytes are told when the bytes that they are the same as are.
        let told = self.received.offset + self.received.len - open;
        if let Some(mut run) = self.received.take(open) {
            let original = (!self.originals_to.is_empty())
                .then(|| (run.offset, std::mem::take(&mut run.bytes)));
            self.add(What::Received { attempt: self.attempt, run });
            if let Some((offset, bytes)) = original {
                self.original(Some(self.attempt), offset, bytes.into());
            }
        }
        let (same, open) = match (&mut self.course, rest) {
            (Course::Same { from, next }, _) if self.texts.are_all() => {
                let stretch = Stretch { attempt: self.attempt, offset: *from };
                let open = next.saturating_sub(told).min(self.delivered.len);
                *from = *next - open;
                (Some(stretch), open)
            }
            (Course::Apart, Rest::Keep) => (None, self.delivered.open_character()),
            (Course::Same { .. }, _) | (Course::Apart, Rest::Take) => (None, 0),
        };
        if let Some(run) = self.delivered.take(open) {
            self.add(What::Delivered { same, run });
        }
        let is_rest = self.received.len + self.delivered.len > 0;
        self.since = is_rest.then_some(self.last);
    }

    fn original(&mut self, attempt: Option<u16>, offset: u64, bytes: Bytes) {
        let to = Arc::clone(&self.originals_to);
        self.add(What::Original { attempt, offset, bytes, to });
    }

    /// Puts a line into the batch. What is large goes alone: a batch that finds no room is lost as a
    /// whole, and a long text is no reason to lose what stands before it.
    fn add(&mut self, what: What) {
        let entry = Entry {
            at_unix_ms: self.at_unix_ms(),
            exchange: Some(self.id),
            what,
            seal_to: self.seal_to.clone(),
        };
        let cost = entry.cost();
        if self.batch_cost + cost > PIECE_BYTES_MAX {
            self.push();
        }
        self.batch_cost += cost;
        self.batch.push(entry);
    }

    /// Hands the batch to the queue.
    fn push(&mut self) {
        self.batch_cost = 0;
        if let Err(loss) = self.queue.push(&mut self.batch) {
            self.loss.add(loss);
        }
    }

    fn at_unix_ms(&self) -> u64 {
        let passed = u64::try_from(self.last.since(self.began).as_millis()).unwrap_or(u64::MAX);
        self.began_unix_ms.saturating_add(passed)
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        if !self.is_closed {
            self.end(Ending::Abandoned);
        }
    }
}

/// What becomes of the beginning of a character at the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// It waits for its end.
    Keep,
    /// It goes too.
    Take,
}

impl Run {
    /// Adds a chunk of `len` bytes, or the rest of the one that was added last.
    fn add(&mut self, at_us: u64, len: usize, bytes: &[u8], is_rest: bool) {
        self.len += len as u64;
        self.bytes.extend_from_slice(bytes);
        // A piece is not larger than PIECE_BYTES_MAX, but same bytes come as they come.
        let mut left = len;
        let mut is_rest = is_rest;
        while left > 0 {
            let bytes = u32::try_from(left).unwrap_or(u32::MAX);
            left -= bytes as usize;
            match self.chunks.last_mut() {
                Some(last) if is_rest && last.bytes.checked_add(bytes).is_some() => {
                    last.bytes += bytes;
                }
                Some(_) | None => {
                    self.joins |= is_rest && self.chunks.is_empty();
                    self.chunks.push(Chunk { at_us, bytes });
                }
            }
            is_rest = true;
        }
    }

    /// How many bytes at the end are the beginning of a character.
    fn open_character(&self) -> u64 {
        (self.bytes.len() - whole_characters(&self.bytes)) as u64
    }

    /// Takes what there is, but for the last `open` bytes; `None` if that is nothing.
    fn take(&mut self, open: u64) -> Option<Run> {
        if self.len <= open {
            return None;
        }
        self.len -= open;
        let mut left = Run { offset: self.offset + self.len, len: open, ..Run::default() };
        if !self.bytes.is_empty() {
            let whole = self.bytes.len().saturating_sub(open as usize);
            left.bytes = self.bytes.split_off(whole);
        }
        let mut open = open;
        while open > 0
            && let Some(chunk) = self.chunks.pop()
        {
            let here = open.min(u64::from(chunk.bytes)) as u32;
            open -= u64::from(here);
            left.chunks.push(Chunk { bytes: here, ..chunk });
            if here < chunk.bytes {
                left.joins = true;
                self.chunks.push(Chunk { bytes: chunk.bytes - here, ..chunk });
            }
        }
        left.chunks.reverse();
        Some(std::mem::replace(self, left))
    }
}
