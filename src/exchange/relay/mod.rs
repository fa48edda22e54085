//! An answer's stream on its way through: bytes in, bytes out, facts on the side.
//!
//! What always holds: what goes out is whole frames, so that an ending of ours can always begin a
//! frame of its own; nothing goes out before the first event has been decoded; what is held has a
//! bound. Unless there is more to do, the bytes that go out are those that came in, and less than
//! one frame is held. More to do is in [`works`]: another dialect for the caller, killed tools
//! ([`toolguard`]), calls that wait until they are whole, and an answer that another provider goes
//! on with ([`resume`]).

mod calls;
mod resume;
mod seen;
#[cfg(test)]
mod tests;
mod toolguard;
mod whole;
mod works;

pub use resume::{DELIVERED_BYTES_MAX, Delivered};
pub use seen::{Seam, Seen};
pub use whole::{Whole, whole};

use crate::clock::Tick;
use crate::table::lever::KilledTools;
use crate::wire::coding::{Coding, Inflater};
use crate::wire::event::Event;
use crate::wire::eventstream::Damage;
use crate::wire::framing::{FRAME_BYTES_MAX, Framing, Splitter};
use crate::wire::jsonarray::Left;
use crate::wire::loss::Losses;
use crate::wire::refusal::Refusal;
use crate::wire::sse::Frame;
use crate::wire::{Decoder, Dialect};
use calls::Calls;
use works::Works;

/// The most decoded bytes of a compressed body that are looked at.
const INSPECT_BYTES_MAX: u64 = 64 << 20;
/// The largest ratio of decoded to encoded bytes.
const INSPECT_RATIO_MAX: u32 = 200;

/// The most bytes of frames that wait for a call.
pub const HELD_CALL_BYTES_MAX: usize = 8 << 20;

/// Whether frames of a tool call wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallHold {
    /// Only while a killed tool's name may still come.
    Never,
    /// Until the call is whole; and what was delivered is kept, so that another provider can go on.
    UntilWhole,
}

/// What a relay is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The caller's dialect.
    pub client: Dialect,
    /// The provider's dialect.
    pub source: Dialect,
    /// The content coding in which the answer comes.
    pub coding: Coding,
    /// The tools that may not be called.
    pub killed: KilledTools,
    /// Whether calls wait until they are whole.
    pub calls: CallHold,
}

/// What a lever pulled in mid-stream can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolKill {
    /// No such call has begun to leave; none will leave.
    Guarding,
    /// No such call has begun to leave; if one comes, the relay breaks with
    /// [`Broken::KilledTool`] and nothing of it leaves.
    CutIfCalled,
    /// A part of such a call has left: the stream must be cut, for the lever of this id.
    CallUnderWay(Box<str>),
}

/// How the next provider was asked to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// From what was delivered, as the beginning of its own turn.
    Prefill,
    /// From what was delivered, by a prompt.
    Prompt,
}

/// Why a stream cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A frame is longer than [`FRAME_BYTES_MAX`].
    FrameTooLong,
    /// The bytes contradict their framing.
    Damaged(Damage),
    /// The provider ended the stream before the answer was complete.
    Unfinished,
    /// A compressed stream that has to be read cannot be.
    Unreadable,
    /// A call outgrew [`HELD_CALL_BYTES_MAX`] while it was held.
    CallTooLong,
    /// More calls, or longer names, than are followed.
    CallsOverBound,
    /// A killed tool is called, and the call cannot be taken out.
    KilledTool {
        /// The lever's id.
        lever: Box<str>,
    },
    /// The provider reported an error, and another one may go on.
    ProviderError,
    /// No other provider can go on: too much was delivered, or in a form that cannot be continued.
    NotResumable,
}

impl Broken {
    /// In words for the client.
    pub fn message(&self) -> &'static str {
        match self {
            Broken::FrameTooLong => "the provider sent a frame that is too long to be handled",
            Broken::Damaged(damage) => damage.message(),
            Broken::Unfinished => "the provider ended the stream before the answer was complete",
            Broken::Unreadable => "the provider's compressed stream cannot be read",
            Broken::CallTooLong => "the provider sent a tool call that is too long to be held",
            Broken::CallsOverBound => "the provider sent more tool calls than can be followed",
            Broken::KilledTool { .. } => "the model called a tool that is stopped",
            Broken::ProviderError => "the provider reported an error in the stream",
            Broken::NotResumable => "the answer cannot be continued by another provider",
        }
    }
}

/// The relay of one stream.
#[derive(Debug)]
pub struct Relay {
    source: Dialect,
    client: Dialect,
    decoder: Decoder,
    framing: Framing,
    splitter: Splitter,
    /// What has left of a stream that is an array.
    left: Left,
    /// Less than one frame.
    held: Vec<u8>,
    /// Set when the stream is compressed: frames are looked at beside it, bytes pass as they are,
    /// unless there are works.
    inflater: Option<Box<Inflater>>,
    /// The calls of a stream that has no works.
    calls: Calls,
    /// Set when frames may have to be written.
    works: Option<Box<Works>>,
    /// What was learned so far.
    pub seen: Seen,
}

impl Relay {
    /// A relay that passes bytes on in their own dialect, at the start of a stream that comes with
    /// this content coding.
    pub fn new(dialect: Dialect, coding: Coding) -> Relay {
        Relay::with(&Plan {
            client: dialect,
            source: dialect,
            coding,
            killed: KilledTools::default(),
            calls: CallHold::Never,
        })
    }

    /// A relay that does what `plan` says.
    pub fn with(plan: &Plan) -> Relay {
        let is_plain =
            plan.client == plan.source && plan.killed.is_empty() && plan.calls == CallHold::Never;
        Relay {
            source: plan.source,
            client: plan.client,
            decoder: Decoder::new(plan.source),
            framing: plan.source.framing(),
            splitter: Splitter::new(plan.source.framing()),
            left: Left::default(),
            held: Vec::new(),
            inflater: inflater(plan.coding),
            calls: Calls::new(plan.source),
            works: (!is_plain).then(|| Box::new(Works::new(plan))),
            seen: Seen::default(),
        }
    }

    /// A relay that passes on a Gemini stream that comes as an array. It writes nothing but an
    /// ending: calls cannot be taken out, and nobody can go on with the answer.
    pub fn of_array(coding: Coding) -> Relay {
        let framing = Framing::JsonArray;
        let splitter = Splitter::new(framing);
        Relay { framing, splitter, ..Relay::new(Dialect::Gemini, coding) }
    }

    /// Whether what leaves has no content coding though it came with one: the driver then takes
    /// `Content-Encoding` off the head.
    pub fn is_decoded(&self) -> bool {
        self.inflater.is_some() && self.works.is_some()
    }

    /// Takes the next bytes of the stream and appends what may go out.
    ///
    /// # Errors
    /// The stream cannot go on; what was appended before may still go out.
    pub fn bytes(&mut self, input: &[u8], now: Tick, out: &mut Vec<u8>) -> Result<(), Broken> {
        let before = out.len();
        let taken = self.take(input, now, out);
        if self.framing == Framing::JsonArray {
            self.left.take(out.get(before..).unwrap_or_default());
        }
        taken
    }

    fn take(&mut self, input: &[u8], now: Tick, out: &mut Vec<u8>) -> Result<(), Broken> {
        if let Some(inflater) = &mut self.inflater {
            let mut plain = Vec::new();
            let inflated = inflater.push(input, &mut plain);
            if self.works.is_some() {
                self.frames(&plain, now, out)?;
                return inflated.map_err(|_| Broken::Unreadable);
            }
            out.extend_from_slice(input);
            // What cannot be inflated cannot be looked at; it is the client's to judge.
            let mut unseen = Vec::new();
            return self.frames(&plain, now, &mut unseen);
        }
        self.frames(input, now, out)
    }

    fn frames(&mut self, input: &[u8], now: Tick, out: &mut Vec<u8>) -> Result<(), Broken> {
        let Relay { framing, decoder, splitter, held, seen, calls, works, .. } = self;
        let mut damage = None;
        let mut pass = |bytes: &[u8]| {
            let mut from = 0;
            loop {
                let length = match splitter.next(&bytes[from..]) {
                    Ok(Some(length)) => length,
                    Ok(None) => break,
                    Err(found) => {
                        damage = Some(found);
                        break;
                    }
                };
                let frame = framing.frame(&bytes[from..from + length]);
                from += length;
                if let Some(works) = works {
                    let events = decoded(decoder, &frame, seen, now);
                    if let Err(broken) = works.frame(frame.raw, events, out) {
                        return (from, Err(broken));
                    }
                } else {
                    decoder.frame(&frame, &mut |event| {
                        calls.see(&event);
                        seen.see(&event, now);
                    });
                }
            }
            if works.is_none() {
                out.extend_from_slice(&bytes[..from]);
            }
            (from, Ok(()))
        };
        let passed;
        if held.is_empty() {
            let (used, done) = pass(input);
            passed = done;
            held.extend_from_slice(&input[used..]);
        } else {
            held.extend_from_slice(input);
            let (used, done) = pass(held);
            passed = done;
            if used == held.len() {
                // An idle stream holds no memory.
                *held = Vec::new();
            } else {
                held.drain(..used);
            }
        }
        passed?;
        if let Some(damage) = damage {
            *held = Vec::new();
            return Err(Broken::Damaged(damage));
        }
        if held.len() > FRAME_BYTES_MAX {
            *held = Vec::new();
            return Err(Broken::FrameTooLong);
        }
        Ok(())
    }

    /// The stream has ended by itself: appends what is still held.
    ///
    /// # Errors
    /// The answer was not complete; the half frame that was held is dropped.
    pub fn end(&mut self, now: Tick, out: &mut Vec<u8>) -> Result<(), Broken> {
        let held = std::mem::take(&mut self.held);
        let Relay { framing, decoder, seen, works, .. } = self;
        // An array that is not closed is no JSON, whatever its elements said.
        let is_open = *framing == Framing::JsonArray && self.left != Left::Whole;
        let Some(works) = works else {
            if !held.is_empty() {
                decoder.frame(&framing.frame(&held), &mut |event| seen.see(&event, now));
            }
            if self.inflater.is_some() {
                return Ok(());
            }
            // A provider that reports an error says by that that nothing more comes.
            if is_open || !self.decoder.is_complete() && self.seen.error.is_none() {
                return Err(Broken::Unfinished);
            }
            out.extend_from_slice(&held);
            return Ok(());
        };
        let mut last = None;
        if !held.is_empty() {
            last = Some(decoded(decoder, &framing.frame(&held), seen, now));
        }
        if is_open || !decoder.is_complete() && seen.error.is_none() {
            let is_answered = seen.stop.is_some() && works.resumed.is_some();
            return if is_answered { works.end_stopped(out) } else { Err(Broken::Unfinished) };
        }
        if let Some(events) = last {
            works.frame(&held, events, out)?;
        }
        works.end(out)
    }

    /// The provider died. If it had said why the answer stopped, only the end mark is missing:
    /// appends it, and gives `true`; else nothing changes.
    pub fn end_if_answered(&mut self, out: &mut Vec<u8>) -> bool {
        match &mut self.works {
            Some(_) if self.framing == Framing::JsonArray => false,
            Some(works) if self.seen.stop.is_some() && self.seen.error.is_none() => {
                self.held = Vec::new();
                works.end_stopped(out).is_ok()
            }
            Some(_) | None => false,
        }
    }

    /// What the caller's dialect could not say so far.
    pub fn losses(&self) -> Losses {
        self.works.as_ref().map_or_else(Losses::default, |works| works.losses())
    }

    /// The lever for which a call was taken out, if one was.
    pub fn lever(&self) -> Option<&str> {
        self.works.as_ref()?.lever.as_deref()
    }

    /// Whether an ending of ours can be written into the stream.
    pub fn can_end_in_dialect(&self) -> bool {
        self.inflater.is_none() || self.works.is_some()
    }

    /// Whether frames that have left the relay may be dropped before an ending: an array would
    /// lose what holds it together.
    pub fn may_lose_frames(&self) -> bool {
        self.framing != Framing::JsonArray
    }

    /// Ends the stream on our order: drops what is held and appends the dialect's ending.
    pub fn cut(&mut self, refusal: &Refusal, id: &str, out: &mut Vec<u8>) {
        self.held = Vec::new();
        let before = out.len();
        if let Some(works) = &mut self.works {
            let tail = works.tail().unwrap_or_else(|| self.decoder.tail());
            works.cut(refusal, &tail, id, out);
        } else {
            out.extend_from_slice(&refusal.frames(self.client, &self.decoder.tail(), id));
        }
        if self.framing == Framing::JsonArray {
            let ending = out.split_off(before);
            self.left.push_last(out, &Frame::parse(&ending).data);
            self.left = Left::Whole;
        }
    }

    /// Kills tools from now on, in place of those that were killed before.
    pub fn kill_tools(&mut self, tools: KilledTools) -> ToolKill {
        if let Some(works) = &mut self.works {
            return works.kill_tools(tools);
        }
        let mut calls = self.calls.clone();
        for call in &mut calls.list {
            call.has_left = true;
            call.fate = calls::Fate::Passes;
        }
        let mut works = Works::late(self.source, calls, tools.clone());
        let answer = works.kill_tools(tools);
        // A compressed stream passes as it came, so no call can be kept in.
        if self.inflater.is_none() {
            self.works = Some(Box::new(works));
        }
        answer
    }

    /// What the client has; `None` if the relay was not made for it, or it is too much.
    pub fn delivered(&self) -> Option<Delivered<'_>> {
        self.works.as_ref()?.resumed.as_ref()?.delivered()
    }

    /// Whether another provider may go on. It must not once a whole call has left: nobody could
    /// tell it of that call, and it might make the same one again; nor once it is told why the
    /// answer stopped: there is nothing to go on with.
    pub fn can_go_on(&self) -> bool {
        self.seen.stop.is_none() && self.delivered().is_some_and(|delivered| !delivered.has_calls)
    }

    /// Whether anybody could take this answer over. An error that the provider reports breaks the
    /// answer off only then; else it is passed on like any other frame.
    pub fn may_be_taken_over(&mut self, may: bool) {
        if let Some(works) = &mut self.works {
            works.passes_errors = !may;
        }
    }

    /// The next provider goes on: what is held of the dead stream is dropped, and the bytes that
    /// come next are those of an answer in `next`, which comes with this content coding.
    ///
    /// # Errors
    /// [`Broken::NotResumable`]; the stream can then only be ended.
    pub fn go_on(&mut self, next: Dialect, coding: Coding, _how: Resume) -> Result<Seam, Broken> {
        let works = self.works.as_mut().ok_or(Broken::NotResumable)?;
        let at_text_bytes = works.go_on(next)?;
        let seam = Seam { at_text_bytes, from: self.source, to: next };
        self.source = next;
        self.decoder = Decoder::new(next);
        self.framing = next.framing();
        self.splitter = Splitter::new(self.framing);
        self.held = Vec::new();
        self.inflater = inflater(coding);
        self.seen.go_on(seam);
        Ok(seam)
    }
}

fn inflater(coding: Coding) -> Option<Box<Inflater>> {
    match coding {
        Coding::Identity => None,
        Coding::Gzip | Coding::Deflate | Coding::Brotli | Coding::Zstd => {
            Some(Box::new(Inflater::new(coding, INSPECT_BYTES_MAX, INSPECT_RATIO_MAX)))
        }
    }
}

fn decoded(
    decoder: &mut Decoder,
    frame: &Frame<'_>,
    seen: &mut Seen,
    now: Tick,
) -> Vec<Event<'static>> {
    let mut events = Vec::new();
    decoder.frame(frame, &mut |event| {
        seen.see(&event, now);
        events.push(event.into_owned());
    });
    events
}
