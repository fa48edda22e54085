//! Moves an answer from a provider to a client: one wake-up, one read, one write.
//!
//! Everything that is readable is read before anything is written, so that frames that are behind
//! leave together. The provider is not read while the client has [`BACKLOG_MAX`] unsent. A silent
//! stream costs one timer, set again only when it fires. The client's end of the connection is
//! watched all the while, and so is an order to cut.

mod endings;
mod flush;
mod outside;

pub(super) use flush::flush;
use flush::write;
pub use outside::{Answering, Ask, Outside};

use super::client::{BACKLOG_MAX, Client, Framing};
use super::orders::{Ordered, Orders, killed};
use super::upstream::{Answer, Piece};
use super::{Clock, Gate};
use crate::clock::Tick;
use crate::exchange::forward::Headers;
use crate::exchange::relay::{Broken, Relay};
use crate::exchange::screen::Found;
use crate::id::LeverId;
use crate::wire::refusal::{Class, Refusal};
use http::StatusCode;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long an ending may take to reach a client that does not read.
const ENDING_TIME_MAX: Duration = Duration::from_secs(5);
/// The same for an ending that a lever ordered.
pub(super) const KILL_TIME_MAX: Duration = Duration::from_millis(200);
/// How long an exchange that a lever has ended leaves the machine to the others that it ends.
const OTHERS_TIME_MAX: Duration = Duration::from_millis(400);

/// The head of an answer, ready to be queued once the first event allows it.
#[derive(Debug)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: Headers,
    /// How the body's end is told.
    pub framing: Framing,
}

/// How often who waits for the record looks whether it takes more.
pub(super) const RECORD_LOOK_EVERY: Duration = Duration::from_millis(20);

/// Bounds of the waits.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// Between two pieces of the answer.
    pub idle: Duration,
    /// When the exchange must be over.
    pub total: Instant,
}

/// How a relay ended.
#[derive(Clone, Debug)]
pub enum End {
    /// The provider's answer went out whole.
    Whole,
    /// Nothing went out, and the answer cannot be used: another target may take over.
    Unusable(Refusal),
    /// Nothing went out, and an order forbids to go on here.
    Ordered(Ordered),
    /// Nothing went out, and a rule forbids the answer.
    Blocked(Refusal),
    /// Nothing went out, and a rule sends the exchange to another target.
    Ruled(Refusal),
    /// It broke, or a lever ended it here, and another provider may go on with it.
    Broken(Refusal, Option<LeverId>),
    /// A lever sends it on to another provider.
    Switched,
    /// It was ended by us in its dialect, maybe by a lever.
    Cut(Refusal, Option<LeverId>),
    /// It could only be torn down.
    Torn(Refusal, Option<LeverId>),
    /// The client left.
    Gone,
}

/// What moves, and what was counted.
pub struct Move<'m> {
    /// The answer.
    pub answer: &'m mut Answer,
    /// Its meaning; `None` for what is passed through unread.
    pub relay: Option<&'m mut Relay>,
    /// Whether another target would be asked if this answer could not be used.
    pub has_next: bool,
    /// Called once, when the head is queued: the answer can be used.
    pub committed: &'m (dyn Fn() + Sync),
    /// The head, until it is queued.
    pub head: Option<Head>,
    /// What came before the head was queued: comments and keep-alives.
    pub early: Vec<u8>,
    /// The exchange's id, for an ending.
    pub id: &'m str,
    /// The number of its session, for rules that are rolled out to a share of them.
    pub share: u8,
    /// Body bytes queued for the client.
    pub sent: u64,
    /// When the first byte of the body came.
    pub first_byte: Option<Tick>,
    /// Whether it rather waits than leaves a gap in the record.
    pub waits_for_record: bool,
    /// Judges outside of the gate that are told what leaves.
    pub outside: Option<Box<Outside<'m>>>,
    /// How they are asked; `None` for what is passed through unread.
    pub ask: Option<&'m Ask<'m>>,
    /// What they found, and what could not be judged.
    pub found: Option<Box<Found>>,
    /// Whether it is no text by its own word.
    pub is_binary: bool,
}

/// What became of it.
pub struct Moved {
    /// How it ended.
    pub end: End,
    /// What was counted.
    pub counted: Counted,
    /// What judges outside found, and what could not be judged.
    pub found: Option<Box<Found>>,
}

/// Buffers of one pass, the same for every exchange of a worker.
#[derive(Default)]
struct Buffers {
    body: Vec<u8>,
    out: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Bytes that may come before the first event; more of them are passed on.
const EARLY_BYTES_MAX: usize = 64 * 1024;

/// What a buffer may keep of its memory between passes.
const KEEP_BYTES: usize = 256 * 1024;

/// Runs the relay to its end.
pub async fn run<C: Client>(
    gate: &Gate,
    orders: &Orders<'_>,
    client: &mut C,
    waits: Waits,
    mut moving: Move<'_>,
) -> Moved {
    let end = {
        let mut last = Instant::now();
        let mut timer = pin!(sleep_until((last + waits.idle).min(waits.total)));
        let mut look: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|cx| {
            loop {
                // Orders first: a step that begins after a lever was published obeys it.
                if let Poll::Ready(order) = orders.poll_answer(cx)
                    && let Some(end) = moving.obey(client, orders, order)
                {
                    return Poll::Ready(end);
                }
                if moving.waits_for_record && client.track().is_some_and(|track| track.is_crowded())
                {
                    // No silence of the provider: it is not asked.
                    last = Instant::now();
                    let again = Box::pin(sleep_until(last + RECORD_LOOK_EVERY));
                    let _ = look.insert(again).as_mut().poll(cx);
                    let _ = write(orders, client, cx);
                    break;
                }
                if let Poll::Ready(end) = moving.step(cx, gate.clock, orders, client, &mut last) {
                    return Poll::Ready(end);
                }
                if !orders.is_stale() {
                    break;
                }
            }
            if client.poll_gone(cx).is_ready() {
                return Poll::Ready(End::Gone);
            }
            while timer.as_mut().poll(cx).is_ready() {
                let now = Instant::now();
                let due = (last + waits.idle).min(waits.total);
                if now >= due {
                    let what = if now >= waits.total {
                        "the exchange took longer than its route allows"
                    } else if client.backlog() > 0 {
                        return Poll::Ready(End::Gone);
                    } else {
                        "the provider sent nothing for longer than the route allows"
                    };
                    let refusal = Refusal::new(Class::Timeout, what);
                    if let Some(end) = moving.broke(client, refusal, now < waits.total) {
                        return Poll::Ready(end);
                    }
                    // Only judges outside are waited for.
                    last = now;
                    cx.waker().wake_by_ref();
                }
                let due = (last + waits.idle).min(waits.total);
                timer.as_mut().reset(due);
            }
            Poll::Pending
        })
        .await
    };
    let end = match end {
        End::Whole => flush(orders, client, waits.total, end).await,
        End::Cut(_, None) | End::Torn(_, None) => {
            flush(orders, client, Instant::now() + ENDING_TIME_MAX, end).await
        }
        End::Cut(_, Some(_)) => {
            let end = flush(orders, client, Instant::now() + KILL_TIME_MAX, end).await;
            orders.ended();
            // What is left to do of this exchange, closing the provider's connection first of all,
            // can wait until the others have their endings.
            let _ = tokio::time::timeout(OTHERS_TIME_MAX, orders.others_ended()).await;
            end
        }
        End::Broken(..) | End::Switched => {
            // What is queued is the client's; it need not wait for the next provider.
            if let Some(lever) = orders.in_force().filter(|_| client.backlog() > 0) {
                client.tear();
                End::Torn(killed(&lever), Some(lever.id))
            } else {
                let _ = poll_fn(|cx| Poll::Ready(write(orders, client, cx))).await;
                end
            }
        }
        End::Torn(_, Some(_))
        | End::Unusable(_)
        | End::Ordered(_)
        | End::Blocked(_)
        | End::Ruled(_)
        | End::Gone => end,
    };
    let counted = Counted { sent: moving.sent, first_byte: moving.first_byte };
    Moved { end, counted, found: moving.found }
}

/// What was counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Body bytes queued for the client.
    pub sent: u64,
    /// When the first byte of the body came.
    pub first_byte: Option<Tick>,
}

impl Move<'_> {
    /// One pass: reads all that is there, then writes once. Ends early where another table is
    /// published meanwhile: then orders are to be asked before more is read.
    fn step<C: Client>(
        &mut self,
        cx: &mut Context<'_>,
        clock: Clock,
        orders: &Orders<'_>,
        client: &mut C,
        last: &mut Instant,
    ) -> Poll<End> {
        BUFFERS.with_borrow_mut(|buffers| {
            loop {
                let mut ended = None;
                loop {
                    if self.outside.is_some() {
                        ended = self.hear(cx, client, &mut buffers.out, last);
                        if ended.is_some() || !self.may_read() {
                            break;
                        }
                    }
                    if client.backlog() >= BACKLOG_MAX {
                        break;
                    }
                    buffers.body.clear();
                    match self.answer.poll_body(cx, &mut buffers.body) {
                        Poll::Pending => break,
                        Poll::Ready(Ok(piece)) => {
                            *last = Instant::now();
                            let now = clock.now();
                            if !buffers.body.is_empty() {
                                self.first_byte.get_or_insert(now);
                                if let Some(track) = client.track() {
                                    track.received(now, &buffers.body);
                                }
                            }
                            ended = self.take(client, buffers, now, piece == Piece::End);
                        }
                        Poll::Ready(Err(fault)) => {
                            let refusal = Refusal::new(Class::BadGateway, fault.message());
                            ended = self.broke(client, refusal, true);
                        }
                    }
                    if ended.is_some() {
                        break;
                    }
                }
                if buffers.body.capacity() > KEEP_BYTES {
                    buffers.body = Vec::new();
                }
                if buffers.out.capacity() > KEEP_BYTES {
                    buffers.out = Vec::new();
                }
                if let Some(end) = ended {
                    return Poll::Ready(end);
                }
                let was_full = client.backlog() >= BACKLOG_MAX;
                if client.backlog() == 0 || orders.in_force().is_some() {
                    return Poll::Pending;
                }
                match write(orders, client, cx) {
                    Poll::Ready(Err(_)) => return Poll::Ready(End::Gone),
                    Poll::Ready(Ok(())) => {
                        *last = Instant::now();
                        if !was_full || orders.is_stale() {
                            return Poll::Pending;
                        }
                    }
                    Poll::Pending if was_full && client.backlog() < BACKLOG_MAX => {
                        *last = Instant::now();
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
    }

    /// Passes on what one read gave.
    fn take<C: Client>(
        &mut self,
        client: &mut C,
        buffers: &mut Buffers,
        now: Tick,
        is_last: bool,
    ) -> Option<End> {
        let Buffers { body, out } = buffers;
        let Some(relay) = &mut self.relay else {
            self.commit(client);
            client.data(body);
            self.sent += body.len() as u64;
            if is_last {
                client.finish();
            }
            return is_last.then_some(End::Whole);
        };
        out.clear();
        let passed = relay.bytes(body, now, out);
        let mut ended = match passed {
            Ok(()) if is_last => relay.end(now, out),
            other => other,
        };
        let mut is_last = is_last;
        if let Some(outside) = &mut self.outside {
            ended = outside.take(out, is_last && ended.is_ok()).and(ended);
            is_last &= ended.is_err() || outside.is_done();
        }
        let seen = &relay.seen;
        let is_failed = seen.error.is_some() && seen.text_events == 0;
        if self.head.is_some() && self.has_next && is_failed {
            // Nothing is said yet, so it is as if the provider had answered with an error status.
            let refusal = Refusal::new(Class::BadGateway, Broken::ProviderError.message());
            return Some(End::Unusable(refusal));
        }
        self.leave(client, out, ended, is_last)
    }

    /// Asks what became of the question under way; gives how the answer ends, if it does.
    fn hear<C: Client>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        out: &mut Vec<u8>,
        last: &mut Instant,
    ) -> Option<End> {
        while let Some(outside) = self.outside.as_mut().filter(|outside| outside.is_asking()) {
            // No silence of the provider: it is not read.
            *last = Instant::now();
            out.clear();
            let found = self.found.get_or_insert_default();
            let Poll::Ready(judged) = outside.poll(cx, found, out) else { break };
            let is_done = outside.is_done();
            if let Some(end) = self.leave(client, out, judged, is_done) {
                return Some(end);
            }
        }
        None
    }

    fn may_read(&self) -> bool {
        self.outside.as_ref().is_none_or(|outside| outside.may_read())
    }

    /// Passes on what may leave, and ends the answer if it ends here.
    fn leave<C: Client>(
        &mut self,
        client: &mut C,
        out: &[u8],
        ended: Result<(), Broken>,
        is_last: bool,
    ) -> Option<End> {
        if self.head.is_some() {
            let has_begun = self.relay.as_ref().is_some_and(|relay| relay.seen.began);
            self.early.extend_from_slice(out);
            // A body in which the decoder sees nothing at all is passed on as it is.
            let is_enough = self.early.len() > EARLY_BYTES_MAX || (is_last && ended.is_ok());
            if (has_begun && !self.early.is_empty()) || is_enough {
                self.commit(client);
            }
        } else {
            client.data(out);
            self.sent += out.len() as u64;
        }
        match ended {
            Err(Broken::KilledTool { lever }) => Some(self.end_for_tool(client, &lever)),
            Err(broken @ (Broken::Blocked | Broken::Rerouted)) => {
                Some(self.end_for_rule(client, &broken))
            }
            Err(broken) => {
                let refusal = Refusal::new(Class::BadGateway, broken.message());
                self.broke(client, refusal, true)
            }
            Ok(()) if is_last => {
                client.finish();
                Some(End::Whole)
            }
            Ok(()) => None,
        }
    }

    /// Queues the head, if it is not yet.
    fn commit<C: Client>(&mut self, client: &mut C) {
        if let Some(head) = self.head.take() {
            client.head(head.status, &head.headers, head.framing);
            (self.committed)();
            let early = std::mem::take(&mut self.early);
            client.data(&early);
            self.sent += early.len() as u64;
        }
    }
}
