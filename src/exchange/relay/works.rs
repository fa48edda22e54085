//! A relay that may have to write frames itself.
//!
//! Every frame goes the same way: what a resumed answer must not repeat is taken off
//! ([`super::resume`]), calls are followed, frames wait while a call's name may go on or while
//! whole calls are asked for, killed calls are taken out, and what stays leaves: as the bytes that
//! came for as long as nothing was edited, through the encoder from then on. The encoder is fed
//! all the while, so that it can take over at any frame.

use super::calls::{Calls, Told};
use super::resume::Resumed;
use super::toolguard::{Encoding, Extent, Filtered, Guard};
use super::whole::date;
use super::{Broken, CallHold, HELD_CALL_BYTES_MAX, Left, Plan, Screen, ToolKill};
use crate::table::lever::KilledTools;
use crate::wire::event::Event;
use crate::wire::loss::Losses;
use crate::wire::reframe;
use crate::wire::refusal::Refusal;
use crate::wire::sse::Frame;
use crate::wire::{Dialect, Encoder, Tail};
use std::collections::VecDeque;

/// What leaves.
#[derive(Debug)]
enum Hand {
    /// The bytes that came; nothing can take over.
    BytesOnly,
    /// The bytes that came; the encoder is ready.
    Bytes(Encoder),
    /// What the encoder writes.
    Frames(Encoder),
}

/// A frame that waits.
#[derive(Debug)]
struct Waiting {
    raw: Box<[u8]>,
    told: Vec<Told>,
}

/// The state of one answer.
#[derive(Debug)]
pub(super) struct Works {
    client: Dialect,
    hand: Hand,
    encoding: Encoding,
    guard: Guard,
    calls: CallHold,
    queue: VecDeque<Waiting>,
    queue_bytes: usize,
    pub(super) resumed: Option<Resumed>,
    /// Whether an error of the provider leaves like any other frame: nobody goes on behind it.
    pub(super) passes_errors: bool,
    /// What judges the texts that leave.
    pub(super) screen: Option<Box<Screen>>,
    has_ended: bool,
    /// The lever for which a call was taken out.
    pub(super) lever: Option<Box<str>>,
    scratch: Vec<u8>,
    tells_usage: bool,
    began_s: u64,
}

impl Works {
    pub(super) fn new(plan: &Plan) -> Works {
        let encoder = Encoder::new(plan.client, plan.source);
        let (hand, encoding) = if plan.client == plan.source {
            (Hand::Bytes(encoder), Encoding::Native)
        } else {
            (Hand::Frames(encoder), Encoding::Foreign)
        };
        let resumed = (plan.calls == CallHold::UntilWhole).then(|| Resumed::new(plan.client));
        Works {
            client: plan.client,
            hand,
            encoding,
            guard: Guard::new(plan.source, plan.killed.clone(), Calls::new(plan.source)),
            calls: plan.calls,
            queue: VecDeque::new(),
            queue_bytes: 0,
            resumed,
            passes_errors: false,
            tells_usage: plan.tells_usage,
            began_s: plan.began_s,
            screen: super::screen(plan),
            has_ended: false,
            lever: None,
            scratch: Vec::new(),
        }
    }

    /// A guard over a stream that ran without one: it can only cut.
    pub(super) fn late(dialect: Dialect, calls: Calls, tools: KilledTools) -> Works {
        Works {
            client: dialect,
            hand: Hand::BytesOnly,
            encoding: Encoding::Native,
            guard: Guard::new(dialect, tools, calls),
            calls: CallHold::Never,
            queue: VecDeque::new(),
            queue_bytes: 0,
            resumed: None,
            passes_errors: false,
            tells_usage: true,
            began_s: 0,
            screen: None,
            has_ended: false,
            lever: None,
            scratch: Vec::new(),
        }
    }

    pub(super) fn kill_tools(&mut self, tools: KilledTools) -> ToolKill {
        self.guard.replace(tools);
        match (self.guard.under_way(), &self.hand) {
            (Some(lever), _) => ToolKill::CallUnderWay(lever.into()),
            (None, Hand::BytesOnly) => ToolKill::CutIfCalled,
            (None, Hand::Bytes(_) | Hand::Frames(_)) => ToolKill::Guarding,
        }
    }

    /// Takes one frame.
    pub(super) fn frame(
        &mut self,
        raw: &[u8],
        mut events: Vec<Event<'static>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        let breaks_off = events.iter().any(|event| matches!(event, Event::Error { .. }));
        if breaks_off && self.resumed.is_some() && !self.passes_errors {
            self.drop_waiting();
            return Err(Broken::ProviderError);
        }
        if let Some(resumed) = &mut self.resumed {
            events = resumed.adapt(events);
        }
        let was_under_way = self.guard.calls.is_under_way();
        let told = self.guard.calls.see_all(events);
        if self.guard.calls.is_over_bound {
            return Err(Broken::CallsOverBound);
        }
        if breaks_off && was_under_way && !self.queue.is_empty() {
            // What waits is of a call that will never be whole.
            self.drop_waiting();
            self.take_over();
        }
        let waits = match self.calls {
            CallHold::Never => self.guard.calls.is_naming() && !self.guard.tools.is_empty(),
            CallHold::UntilWhole => self.guard.calls.is_under_way(),
        };
        if waits {
            let text: usize = told.iter().map(|told| bytes_of(&told.event)).sum();
            self.queue_bytes += raw.len() + text;
            if self.queue_bytes > HELD_CALL_BYTES_MAX {
                self.drop_waiting();
                return Err(Broken::CallTooLong);
            }
            self.queue.push_back(Waiting { raw: raw.into(), told });
            return Ok(());
        }
        self.release(out)?;
        self.leave(raw, told, out)
    }

    fn release(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        self.queue_bytes = 0;
        while let Some(waiting) = self.queue.pop_front() {
            self.leave(&waiting.raw, waiting.told, out)?;
        }
        Ok(())
    }

    /// Forgets what waits.
    pub(super) fn drop_waiting(&mut self) {
        self.queue_bytes = 0;
        for _ in self.queue.drain(..) {
            if let Hand::Bytes(encoder) | Hand::Frames(encoder) = &mut self.hand {
                encoder.skip_frame();
            }
        }
    }

    /// From now on the encoder writes.
    fn take_over(&mut self) {
        self.hand = match std::mem::replace(&mut self.hand, Hand::BytesOnly) {
            Hand::Bytes(encoder) => Hand::Frames(encoder),
            hand @ (Hand::BytesOnly | Hand::Frames(_)) => hand,
        };
    }

    fn leave(&mut self, raw: &[u8], told: Vec<Told>, out: &mut Vec<u8>) -> Result<(), Broken> {
        let Filtered { events, lever, extent, note } = self.guard.filter(told, self.encoding);
        if let Some(lever) = lever {
            // A call of which a part has left cannot be taken out.
            if matches!(self.hand, Hand::BytesOnly) || extent == Extent::Rest {
                return Err(Broken::KilledTool { lever });
            }
            self.take_over();
            self.lever = Some(lever);
        }
        self.has_ended |= events.iter().any(|event| matches!(event, Event::End));
        let (mut events, left) = self.judged(raw, events, out);
        if let Some(resumed) = &mut self.resumed {
            resumed.record(&events);
        }
        match &mut self.hand {
            Hand::BytesOnly if left == Left::AsItCame => out.extend_from_slice(raw),
            Hand::BytesOnly => {}
            Hand::Bytes(encoder) => {
                if left == Left::AsItCame {
                    out.extend_from_slice(raw);
                }
                encoder.frame(&events, &mut self.scratch);
                self.scratch.clear();
            }
            Hand::Frames(encoder) => {
                if let Some(note) = note {
                    encoder.say(0, note.block, &note.text, out);
                }
                if self.encoding == Encoding::Foreign && !self.tells_usage {
                    events.retain(|event| !matches!(event, Event::Usage { .. }));
                }
                if self.encoding == Encoding::Foreign {
                    for event in &mut events {
                        date(event, self.began_s);
                    }
                }
                if events.is_empty() {
                    encoder.skip_frame();
                } else {
                    encoder.frame(&events, out);
                }
            }
        }
        match &self.screen {
            Some(screen) => super::blocked(screen).map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    /// The events as rules let them leave; where bytes leave, they are written unless they leave as
    /// they came.
    fn judged(
        &mut self,
        raw: &[u8],
        events: Vec<Event<'static>>,
        out: &mut Vec<u8>,
    ) -> (Vec<Event<'static>>, Left) {
        let Some(screen) = &mut self.screen else { return (events, Left::AsItCame) };
        let events = screen.rewrite(events, raw);
        let framing = self.client.framing();
        match &self.hand {
            Hand::BytesOnly | Hand::Bytes(_) => {
                let left = screen.leave(framing, &framing.frame(raw), out);
                (events, left)
            }
            Hand::Frames(_) => {
                screen.forget_frame();
                (events, Left::Written)
            }
        }
    }

    /// A frame in one piece, where rules may change its texts.
    pub(super) fn in_one_piece(&self, frame: &Frame<'_>) -> Option<Vec<u8>> {
        self.screen.as_ref().and_then(|_| reframe::in_one_piece(frame))
    }

    /// The provider says nothing more: what waited, and rules let go now, leaves.
    pub(super) fn let_go(&mut self, out: &mut Vec<u8>) {
        let Some(screen) = &mut self.screen else { return };
        match &mut self.hand {
            Hand::BytesOnly | Hand::Bytes(_) => screen.end(self.client.framing(), out),
            Hand::Frames(encoder) => {
                let events = screen.rest();
                screen.forget_frame();
                if !events.is_empty() {
                    encoder.frame(&events, out);
                }
            }
        }
    }

    /// The provider's bytes are over, and the answer is whole.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let mut last = self.resumed.as_mut().map(Resumed::flush).unwrap_or_default();
        let is_foreign = self.encoding == Encoding::Foreign;
        if !self.has_ended && is_foreign {
            last.push(Event::End);
        }
        self.guard.calls.see(&Event::End);
        self.release(out)?;
        if last.is_empty() {
            return Ok(());
        }
        let last = self.guard.calls.see_all(last);
        self.leave(b"", last, out)
    }

    /// The provider died after it had said why it stopped: writes the end that is missing.
    pub(super) fn end_stopped(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        self.guard.calls.see(&Event::End);
        self.release(out)?;
        if !self.has_ended && self.client != Dialect::Gemini {
            self.take_over();
            let end = self.guard.calls.see_all(vec![Event::End]);
            self.leave(b"", end, out)?;
        }
        Ok(())
    }

    /// Makes the relay ready for the next provider.
    pub(super) fn go_on(&mut self, source: Dialect) -> Result<usize, Broken> {
        self.drop_waiting();
        let resumed = self.resumed.as_mut().ok_or(Broken::NotResumable)?;
        let at = resumed.delivered().ok_or(Broken::NotResumable)?.text.len();
        if self.encoding == Encoding::Native && !resumed.can_be_retold() {
            return Err(Broken::NotResumable);
        }
        self.hand = match std::mem::replace(&mut self.hand, Hand::BytesOnly) {
            Hand::Bytes(encoder) => Hand::Frames(encoder),
            hand @ (Hand::BytesOnly | Hand::Frames(_)) => hand,
        };
        let (Hand::Bytes(encoder) | Hand::Frames(encoder)) = &mut self.hand else {
            return Err(Broken::NotResumable);
        };
        if !encoder.turn_foreign(source, resumed.history()) {
            return Err(Broken::NotResumable);
        }
        resumed.go_on();
        if let Some(screen) = &mut self.screen {
            screen.go_on(source);
        }
        self.encoding = Encoding::Foreign;
        self.guard.go_on(source);
        self.has_ended = false;
        Ok(at)
    }

    /// What the caller's dialect could not say.
    pub(super) fn losses(&self) -> Losses {
        match &self.hand {
            Hand::BytesOnly | Hand::Bytes(_) => Losses::default(),
            Hand::Frames(encoder) => encoder.losses(),
        }
    }

    /// What an ending must repeat; `None` if only the decoder knows.
    pub(super) fn tail(&self) -> Option<Tail> {
        match &self.hand {
            Hand::BytesOnly => None,
            Hand::Bytes(encoder) | Hand::Frames(encoder) => Some(encoder.tail()),
        }
    }

    pub(super) fn cut(&mut self, refusal: &Refusal, tail: &Tail, id: &str, out: &mut Vec<u8>) {
        self.drop_waiting();
        out.extend_from_slice(&refusal.frames(self.client, tail, id));
    }
}

fn bytes_of(event: &Event<'_>) -> usize {
    match event {
        Event::Text { text, .. } | Event::Repeat { text, .. } => text.len(),
        Event::Extra { json, .. } => json.len(),
        Event::Opaque { data, .. } => data.len(),
        Event::Start { .. }
        | Event::Open { .. }
        | Event::Signature { .. }
        | Event::Close { .. }
        | Event::Stop { .. }
        | Event::Usage { .. }
        | Event::Error { .. }
        | Event::Ping
        | Event::End => 32,
    }
}
