//! An answer's stream on its way through: bytes in, bytes out, facts on the side.
//!
//! What always holds: what goes out is whole frames, so that an ending of ours can always begin a
//! frame of its own; nothing goes out before the first event has been decoded; what is held has a
//! bound; in which pieces the bytes come changes nothing ([`pieces`]). Unless there is more to do,
//! the bytes that go out are those that came in, and less than one frame is held. Rules see every
//! text before it leaves ([`Screen`]). More to do is in [`works`]: another dialect for the caller,
//! killed tools ([`toolguard`]), calls that wait until they are whole, and an answer that another
//! provider goes on with ([`resume`]).

mod calls;
mod clear;
mod pieces;
mod resume;
mod seen;
mod sentences;
#[cfg(test)]
mod tests;
mod toolguard;
mod whole;
mod works;

pub use clear::is_clear;
pub use resume::{DELIVERED_BYTES_MAX, Delivered};
pub use seen::{Seam, Seen};
pub use sentences::Sentences;
pub use whole::{Whole, whole};

use super::screen::{Found, Left, Screen};
use crate::clock::Tick;
use crate::table::lever::KilledTools;
use crate::table::rules::Judge;
use crate::wire::coding::{Coding, Inflater};
use crate::wire::event::Event;
use crate::wire::eventstream::Damage;
use crate::wire::framing::Framing;
use crate::wire::jsonarray::Left as ArrayLeft;
use crate::wire::loss::Losses;
use crate::wire::reframe;
use crate::wire::refusal::Refusal;
use crate::wire::sse::Frame;
use crate::wire::{Decoder, Dialect};
use calls::Calls;
use pieces::Pieces;
use std::sync::Arc;
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
    /// Whether a caller of another dialect is told how many tokens were used.
    pub tells_usage: bool,
    /// When the exchange began, in seconds since the epoch: where the caller's dialect tells when an
    /// answer was made and the provider's does not.
    pub began_s: u64,
    /// What judges its texts.
    pub judges: Vec<Arc<Judge>>,
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
    /// A frame is longer than [`crate::wire::framing::FRAME_BYTES_MAX`].
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
    /// A rule ends the answer; what it found is in the relay.
    Blocked,
    /// A rule sends the exchange to another target.
    Rerouted,
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
            Broken::Blocked | Broken::Rerouted => "a rule forbids this answer",
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
    pieces: Pieces,
    /// What has come, and what has left, of a stream that is an array.
    came: ArrayLeft,
    left: ArrayLeft,
    /// Set when the stream is compressed: frames are looked at beside it, bytes pass as they are,
    /// unless there are works.
    inflater: Option<Box<Inflater>>,
    /// The calls of a stream that has no works.
    calls: Calls,
    /// What judges the texts of a stream that has no works.
    screen: Option<Box<Screen>>,
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
            tells_usage: true,
            began_s: 0,
            judges: Vec::new(),
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
            pieces: Pieces::new(plan.source.framing()),
            came: ArrayLeft::default(),
            left: ArrayLeft::default(),
            inflater: inflater(plan.coding),
            calls: Calls::new(plan.source),
            screen: if is_plain { screen(plan) } else { None },
            works: (!is_plain).then(|| Box::new(Works::new(plan))),
            seen: Seen::default(),
        }
    }

    /// A relay that passes on a Gemini stream that comes as an array. It writes nothing but an
    /// ending: calls cannot be taken out, and nobody can go on with the answer.
    pub fn of_array(coding: Coding, judges: Vec<Arc<Judge>>) -> Relay {
        let plan = Plan {
            client: Dialect::Gemini,
            source: Dialect::Gemini,
            coding,
            killed: KilledTools::default(),
            calls: CallHold::Never,
            tells_usage: true,
            began_s: 0,
            judges,
        };
        Relay { pieces: Pieces::new(Framing::JsonArray), ..Relay::with(&plan) }
    }

    /// Whether bytes may leave otherwise than they came.
    fn may_edit(&self) -> bool {
        self.works.is_some() || self.screen.is_some()
    }

    fn screen(&self) -> Option<&Screen> {
        match &self.works {
            Some(works) => works.screen.as_deref(),
            None => self.screen.as_deref(),
        }
    }

    /// What rules found so far; `None` if none look.
    pub fn found(&self) -> Option<&Found> {
        self.screen().map(|screen| &screen.found)
    }

    /// What rules found since it was taken last.
    pub fn take_found(&mut self) -> Found {
        let screen = match &mut self.works {
            Some(works) => &mut works.screen,
            None => &mut self.screen,
        };
        screen.as_mut().map_or_else(Found::default, |screen| std::mem::take(&mut screen.found))
    }

    /// Puts a ruleset in force over what comes from now on; `false` if this stream cannot be
    /// judged any more, because it passes compressed.
    #[must_use]
    pub fn judge_by(&mut self, judge: Arc<Judge>) -> bool {
        if self.inflater.is_some() && !self.may_edit() {
            return false;
        }
        let source = self.source;
        let screen = match &mut self.works {
            Some(works) => &mut works.screen,
            None => &mut self.screen,
        };
        match screen {
            Some(screen) => screen.add(judge),
            None => *screen = Some(Box::new(Screen::new([judge], source))),
        }
        true
    }

    /// What of this answer, which may have begun, waits for judges outside of the gate from now on;
    /// `None` if they can be told nothing of it any more.
    pub fn sentences(&self, judges: &[Arc<Judge>]) -> Option<Sentences> {
        // Out of its middle an array cannot be read, nor a compressed stream.
        let is_readable = self.pieces.framing != Framing::JsonArray && self.can_end_in_dialect();
        Sentences::of(judges, self.client, self.client.framing()).filter(|_| is_readable)
    }

    /// What is held for rules does not leave any more.
    pub fn forget_held(&mut self) {
        let screen = match &mut self.works {
            Some(works) => &mut works.screen,
            None => &mut self.screen,
        };
        if let Some(screen) = screen {
            screen.forget_held();
        }
    }

    /// Of a stream that is an array only this has left: the rest has waited elsewhere.
    pub fn has_left(&mut self, left: ArrayLeft) {
        self.left = left;
    }

    /// Whether what leaves has no content coding though it came with one: the driver then takes
    /// `Content-Encoding` off the head.
    pub fn is_decoded(&self) -> bool {
        self.inflater.is_some() && self.may_edit()
    }

    /// Takes the next bytes of the stream and appends what may go out.
    ///
    /// # Errors
    /// The stream cannot go on; what was appended before may still go out.
    pub fn bytes(&mut self, input: &[u8], now: Tick, out: &mut Vec<u8>) -> Result<(), Broken> {
        let before = out.len();
        let taken = self.take(input, now, out);
        if self.pieces.framing == Framing::JsonArray {
            self.left.take(out.get(before..).unwrap_or_default());
        }
        taken
    }

    fn take(&mut self, input: &[u8], now: Tick, out: &mut Vec<u8>) -> Result<(), Broken> {
        if let Some(mut inflater) = self.inflater.take() {
            let mut plain = Vec::new();
            let inflated = inflater.push(input, &mut plain);
            self.inflater = Some(inflater);
            if self.may_edit() {
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
        let Relay { pieces, decoder, seen, calls, works, screen, came: array, .. } = self;
        let framing = pieces.framing;
        pieces.push(input, |came| {
            if framing == Framing::JsonArray {
                array.take(came);
            }
            let frame = framing.frame(came);
            if let Some(works) = works {
                let whole = works.in_one_piece(&frame);
                let frame = whole.as_deref().map_or(frame, |whole| framing.frame(whole));
                let events = decoded(decoder, &frame, seen, now);
                return works.frame(frame.raw, events, out);
            }
            let Some(screen) = screen else {
                decoder.frame(&frame, &mut |event| {
                    calls.see(&event);
                    seen.see(&event, now);
                });
                out.extend_from_slice(came);
                return Ok(());
            };
            let whole = reframe::in_one_piece(&frame);
            let frame = whole.as_deref().map_or(frame, |whole| framing.frame(whole));
            decoder.frame(&frame, &mut |event| {
                calls.see(&event);
                seen.see(&event, now);
                screen.look(&event, frame.raw);
            });
            // Behind the closing bracket nothing could be told any more.
            if framing == Framing::JsonArray && *array == ArrayLeft::Whole {
                screen.look(&Event::End, frame.raw);
            }
            if screen.leave(framing, &frame, out) == Left::AsItCame {
                out.extend_from_slice(came);
            }
            blocked(screen).map_or(Ok(()), Err)
        })
    }

    /// The stream has ended by itself: appends what is still held.
    ///
    /// # Errors
    /// The answer was not complete; the half frame that was held is dropped.
    pub fn end(&mut self, now: Tick, out: &mut Vec<u8>) -> Result<(), Broken> {
        let held = self.pieces.take_rest();
        let framing = self.pieces.framing;
        let Relay { decoder, seen, works, screen, .. } = self;
        // An array that is not closed is no JSON, whatever its elements said.
        let is_open = framing == Framing::JsonArray && self.left != ArrayLeft::Whole;
        let Some(works) = works else {
            let mut last = Vec::new();
            if !held.is_empty() {
                let frame = framing.frame(&held);
                decoder.frame(&frame, &mut |event| {
                    seen.see(&event, now);
                    if let Some(screen) = screen {
                        screen.look(&event, frame.raw);
                    }
                });
                if let Some(screen) = screen
                    && screen.leave(framing, &frame, &mut last) == Left::Written
                {
                    out.extend_from_slice(&last);
                    last = Vec::new();
                } else {
                    last = held;
                }
            }
            if let Some(screen) = screen {
                screen.end(framing, out);
                if let Some(broken) = blocked(screen) {
                    return Err(broken);
                }
            } else if self.inflater.is_some() {
                return Ok(());
            }
            // A provider that reports an error says by that that nothing more comes.
            if is_open || !self.decoder.is_complete() && self.seen.error.is_none() {
                return Err(Broken::Unfinished);
            }
            out.extend_from_slice(&last);
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
            Some(_) if self.pieces.framing == Framing::JsonArray => false,
            Some(works) if self.seen.stop.is_some() && self.seen.error.is_none() => {
                drop(self.pieces.take_rest());
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
        self.inflater.is_none() || self.may_edit()
    }

    /// Whether frames that have left the relay may be dropped before an ending: an array would
    /// lose what holds it together.
    pub fn may_lose_frames(&self) -> bool {
        self.pieces.framing != Framing::JsonArray
    }

    /// Ends the stream on our order: drops what is held and appends the dialect's ending.
    pub fn cut(&mut self, refusal: &Refusal, id: &str, out: &mut Vec<u8>) {
        drop(self.pieces.take_rest());
        // A provider that breaks is no reason to keep what rules would let go.
        if refusal.class.is_transient() {
            self.let_go(out);
        }
        let before = out.len();
        let mut tail = self.decoder.tail();
        if let Some(screen) = self.screen() {
            tail.sequence = screen.number(tail.sequence);
        }
        if let Some(works) = &mut self.works {
            let tail = works.tail().unwrap_or(tail);
            works.cut(refusal, &tail, id, out);
        } else {
            out.extend_from_slice(&refusal.frames(self.client, &tail, id));
        }
        if self.pieces.framing == Framing::JsonArray {
            let ending = out.split_off(before);
            self.left.push_last(out, &Frame::parse(&ending).data);
            self.left = ArrayLeft::Whole;
        }
    }

    /// The provider says nothing more: appends the text that waited and that rules let go now.
    fn let_go(&mut self, out: &mut Vec<u8>) {
        let framing = self.pieces.framing;
        match (&mut self.works, &mut self.screen) {
            (Some(works), _) => works.let_go(out),
            (None, Some(screen)) => screen.end(framing, out),
            (None, None) => {}
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
        let is_compressed = self.inflater.is_some() && self.screen.is_none();
        works.screen = self.screen.take();
        let answer = works.kill_tools(tools);
        // A compressed stream passes as it came, so no call can be kept in.
        if !is_compressed {
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
        self.pieces = Pieces::new(next.framing());
        self.inflater = inflater(coding);
        self.seen.go_on(seam);
        Ok(seam)
    }
}

fn screen(plan: &Plan) -> Option<Box<Screen>> {
    let judges = || plan.judges.iter().map(Arc::clone);
    (!plan.judges.is_empty()).then(|| Box::new(Screen::new(judges(), plan.source)))
}

/// Whether rules end what the screen has just judged.
fn blocked(screen: &Screen) -> Option<Broken> {
    if screen.found.is_reroute() {
        return Some(Broken::Rerouted);
    }
    screen.found.is_cut().then_some(Broken::Blocked)
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
