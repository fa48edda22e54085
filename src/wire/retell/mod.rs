//! Events of one dialect, made ready to be told in another.
//!
//! What every encoder would otherwise have to do by itself is done here once, whatever the two
//! dialects are:
//!
//! - blocks come one after another: a call opens, gets its arguments, closes, and only then does
//!   the next thing begin. What comes while a call is not whole waits, within
//!   [`HELD_BYTES_MAX`] and [`WAITING_MAX`]; beyond them the answer ends with an error;
//! - a call is closed only if its arguments are whole. One that broke off is left open, and who
//!   writes it must not make it look whole;
//! - a call has a name when it opens, and an id that is valid and unique;
//! - of several copies of the reasoning only the first is told;
//! - the start comes first, counts are those of the whole answer so far, and an answer that calls
//!   tools or refuses says so when it stops;
//! - what no other dialect has a place for is left out, and stated as a [`Loss`].

mod ids;
mod turn;
mod unsaid;

#[cfg(test)]
mod tests;

use super::event::{Block, Channel, Counts, Event, Kind, StopReason, ToolFlavour};
use super::loss::{Loss, Losses};
use super::{Dialect, openai_chat};
use ids::Ids;
use std::borrow::Cow;
use turn::{Call, Reopening, Turn};

/// Bytes that are held of everything that waits in an answer.
pub(super) const HELD_BYTES_MAX: usize = 8 << 20;
/// Blocks of an answer that may wait at once.
pub(super) const WAITING_MAX: usize = 128;
/// Choices, blocks and calls of an answer that are told apart.
const ENTRIES_MAX: usize = 1024;

/// What the dialect that is written has room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) choices: Choices,
    pub(super) reasoning: Reasoning,
    pub(super) refusal: Refusal,
    pub(super) arguments: Arguments,
    /// The prefix of a call's id that we make.
    pub(super) id_prefix: &'static str,
    /// The longest id of a call, in bytes.
    pub(super) id_bytes_max: usize,
}

/// How many choices an answer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choices {
    One,
    Many,
}

/// In what pieces reasoning is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reasoning {
    /// Blocks, and parts in them.
    Parts,
    /// Blocks; parts are joined by an empty line.
    Blocks,
    /// One text; blocks are joined by an empty line too.
    Joined,
}

/// Where a refusal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// In a place of its own.
    Apart,
    /// Among the text.
    AsText,
}

/// What arguments may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arguments {
    /// A string, as the model wrote it.
    Text,
    /// An object: what is none must not be told as a call.
    Object,
    /// An object, and the encoder itself looks whether it is one.
    Checked,
}

/// The state of one answer.
#[derive(Debug)]
pub(super) struct Retelling {
    source: Dialect,
    room: Room,
    losses: Losses,
    has_started: bool,
    /// An error was told, or the end.
    is_over: bool,
    has_ended: bool,
    counts: Counts,
    ids: Ids,
    /// Blocks that are not told: choice and block.
    skipped: Vec<(u16, u16)>,
    turns: Vec<Turn>,
    /// Bytes of everything that waits.
    held: usize,
}

impl Retelling {
    pub(super) fn new(source: Dialect, room: Room) -> Retelling {
        Retelling {
            source,
            room,
            losses: Losses::default(),
            has_started: false,
            is_over: false,
            has_ended: false,
            counts: Counts::default(),
            ids: Ids::new(room.id_prefix, room.id_bytes_max),
            skipped: Vec::new(),
            turns: Vec::new(),
            held: 0,
        }
    }

    /// Another provider goes on, in `source`.
    pub(super) fn turn_to(&mut self, source: Dialect) {
        self.source = source;
    }

    /// What could not be said so far.
    pub(super) fn losses(&self) -> Losses {
        self.losses
    }

    /// Notes something that the encoder could not say.
    pub(super) fn lose(&mut self, loss: Loss) {
        self.losses.add(loss);
    }

    /// Appends what `events` are for another dialect.
    pub(super) fn events<'e>(&mut self, events: &'e [Event<'_>], out: &mut Vec<Event<'e>>) {
        for event in events {
            self.event(event, out);
        }
    }

    /// Appends what a whole answer is; one that says nothing is an error.
    pub(super) fn whole<'e>(&mut self, events: &'e [Event<'_>]) -> Vec<Event<'e>> {
        let mut out = Vec::with_capacity(events.len());
        self.events(events, &mut out);
        if !self.has_started && !self.is_over {
            self.fail("the provider's answer could not be read", &mut out);
        } else if !self.has_ended {
            self.event(&Event::End, &mut out);
        }
        out
    }

    fn event<'e>(&mut self, event: &'e Event<'_>, out: &mut Vec<Event<'e>>) {
        if self.has_ended || (self.is_over && !matches!(event, Event::End | Event::Ping)) {
            return;
        }
        if let Some(loss) = unsaid::loss(self.source, event) {
            self.losses.add(loss);
        }
        match event {
            Event::Start { id, model, created } => {
                if !self.has_started {
                    self.has_started = true;
                    self.ids.answer(id);
                    let (id, model) = (Cow::Borrowed(&**id), Cow::Borrowed(&**model));
                    out.push(Event::Start { id, model, created: *created });
                }
            }
            Event::Open { channel, block } => self.open(*channel, block, out),
            Event::Text { channel, text, .. } => self.text(*channel, text, out),
            Event::Close { channel } => self.close(*channel, out),
            Event::Stop { choice, reason, native } => self.stop(*choice, *reason, native, out),
            Event::Usage { counts, .. } => {
                self.counts = later(self.counts, *counts);
                let native = Cow::Borrowed("");
                out.push(Event::Usage { counts: self.counts, native });
            }
            Event::Error { code, message, .. } => {
                self.is_over = true;
                let (code, message) = (Cow::Borrowed(&**code), Cow::Borrowed(&**message));
                out.push(Event::Error { code, message, native: Cow::Borrowed("") });
            }
            Event::Ping => out.push(Event::Ping),
            Event::End => {
                for at in 0..self.turns.len() {
                    self.end_turn(at, StopReason::EndTurn, out);
                }
                if !self.is_over {
                    self.start(out);
                }
                self.is_over = true;
                self.has_ended = true;
                out.push(Event::End);
            }
            Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Extra { .. }
            | Event::Opaque { .. } => {}
        }
    }

    fn start(&mut self, out: &mut Vec<Event<'_>>) {
        if !std::mem::replace(&mut self.has_started, true) {
            out.push(Event::Start {
                id: Cow::Borrowed(""),
                model: Cow::Borrowed(""),
                created: None,
            });
        }
    }

    fn fail(&mut self, message: &'static str, out: &mut Vec<Event<'_>>) {
        self.is_over = true;
        out.push(Event::Error {
            code: Cow::Borrowed("api_error"),
            message: Cow::Borrowed(message),
            native: Cow::Borrowed(""),
        });
    }

    /// The place of the turn of `choice`, if that choice is told.
    fn turn(&mut self, choice: u16) -> Option<usize> {
        if choice > 0 && self.room.choices == Choices::One {
            self.losses.add(Loss::AnswerChoices);
            return None;
        }
        let known = self.turns.iter().position(|turn| turn.choice == choice);
        if known.is_none() {
            if self.turns.len() >= ENTRIES_MAX {
                self.losses.add(Loss::AnswerChoices);
                return None;
            }
            self.turns.push(Turn::new(choice));
        }
        known.or(self.turns.len().checked_sub(1))
    }

    fn open(&mut self, channel: Channel, block: &Block<'_>, out: &mut Vec<Event<'_>>) {
        match block {
            Block::Text | Block::Reasoning | Block::Refusal => {}
            Block::Other(_) | Block::Tool { flavour: ToolFlavour::Server, .. } => {
                let place = (channel.choice, channel.block);
                if self.skipped.len() < ENTRIES_MAX && !self.skipped.contains(&place) {
                    self.skipped.push(place);
                }
            }
            Block::Tool { id, name, flavour } => {
                let Some(at) = self.turn(channel.choice) else { return };
                self.start(out);
                if self.turns[at].knows(channel) {
                    match self.turns[at].reopening(channel, id, name) {
                        Reopening::Same => return,
                        Reopening::Next => {}
                        Reopening::Broken => {
                            let message = "the provider's tool call begins anew before its end";
                            return self.fail(message, out);
                        }
                    }
                }
                let opening = (&**id, &**name);
                let Some(id) = self.ids.give(id) else {
                    return self.fail("the provider's answer has too many tool calls", out);
                };
                if *flavour == ToolFlavour::Custom && self.room.arguments != Arguments::Text {
                    self.losses.add(Loss::CallInput);
                }
                self.begin(at, Call::new(channel, id, opening, *flavour), out);
            }
        }
    }

    /// Lets a call begin, now or when what is open is whole.
    fn begin(&mut self, at: usize, call: Call, out: &mut Vec<Event<'_>>) {
        if self.make_way(at, out) {
            self.turns[at].open = Some(call);
            return;
        }
        if self.turns.iter().map(Turn::waiting).sum::<usize>() >= WAITING_MAX {
            return self.fail("the provider's tool calls are too interleaved", out);
        }
        self.turns[at].wait_call(call);
    }

    /// Whether nothing is open any more: an open call that is whole is closed.
    fn make_way(&mut self, at: usize, out: &mut Vec<Event<'_>>) -> bool {
        let turn = &mut self.turns[at];
        let Some(open) = turn.open.as_mut() else { return true };
        if open.is_whole() {
            open.close(out);
        } else if open.is_closed {
            // More follows, so it was not cut: the model wrote it so.
            if self.room.arguments == Arguments::Object {
                self.fail("the provider's tool call has no readable arguments", out);
                return false;
            }
            open.close(out);
        } else {
            return false;
        }
        turn.finish_open();
        true
    }

    fn text<'e>(&mut self, channel: Channel, text: &'e str, out: &mut Vec<Event<'e>>) {
        if self.skipped.contains(&(channel.choice, channel.block)) {
            return;
        }
        match channel.kind {
            Kind::Answer | Kind::Refusal | Kind::Reasoning => self.words(channel, text, out),
            Kind::ToolArguments | Kind::ToolName => self.call_text(channel, text, out),
            Kind::System
            | Kind::User
            | Kind::History
            | Kind::Document
            | Kind::ToolResult
            | Kind::ToolDefinition
            | Kind::Citation
            | Kind::Other => {}
        }
    }

    fn words<'e>(&mut self, channel: Channel, text: &'e str, out: &mut Vec<Event<'e>>) {
        if text.is_empty() {
            return;
        }
        let Some(at) = self.turn(channel.choice) else { return };
        if channel.kind == Kind::Reasoning && self.source == Dialect::OpenaiChat {
            let copy = openai_chat::reasoning_copy(channel.part);
            if *self.turns[at].copy.get_or_insert(copy) != copy {
                return;
            }
        }
        self.start(out);
        if channel.kind == Kind::Refusal && self.room.refusal == Refusal::AsText {
            self.losses.add(Loss::AnswerRefusal);
        }
        if self.make_way(at, out) {
            self.turns[at].say(self.room.reasoning, channel, Cow::Borrowed(text), out);
        } else if !self.is_over && self.hold(text.len(), out) {
            if self.turns.iter().map(Turn::waiting).sum::<usize>() >= WAITING_MAX {
                return self.fail("the provider's tool calls are too interleaved", out);
            }
            self.turns[at].wait_words(channel, text);
        }
    }

    /// Whether `length` more bytes may wait.
    fn hold(&mut self, length: usize, out: &mut Vec<Event<'_>>) -> bool {
        self.held = self.held.saturating_add(length);
        if self.held > HELD_BYTES_MAX {
            self.fail("the provider's tool calls are too long to be told in order", out);
        }
        !self.is_over
    }

    fn call_text<'e>(&mut self, channel: Channel, text: &'e str, out: &mut Vec<Event<'e>>) {
        let Some(at) = self.turn(channel.choice) else { return };
        if self.turns[at].has_finished(channel) {
            if !text.trim_ascii().is_empty() {
                self.fail("the provider's tool call goes on after its end", out);
            }
            return;
        }
        if !self.turns[at].knows(channel) {
            self.open(channel, &UNNAMED, out);
        }
        if self.is_over {
            return;
        }
        let Some(at) = self.turn(channel.choice) else { return };
        if self.source == Dialect::Gemini && channel.part > 0 {
            self.losses.add(Loss::CallPartialArguments);
            self.turns[at].spoil(channel);
            return;
        }
        let is_open = self.turns[at].open.as_ref().is_some_and(|open| open.is(channel));
        if !is_open {
            if self.hold(text.len(), out)
                && let Some(call) = self.turns[at].waiting_call(channel)
            {
                call.hold(channel.kind, text);
            }
            return;
        }
        if let Some(open) = self.turns[at].open.as_mut() {
            open.go_on(channel.kind, text, out);
        }
        if self.turns[at].waiting() > 0 {
            self.advance(at, out);
        }
    }

    fn close(&mut self, channel: Channel, out: &mut Vec<Event<'_>>) {
        let Some(at) = self.turns.iter().position(|turn| turn.choice == channel.choice) else {
            return;
        };
        let turn = &mut self.turns[at];
        match channel.kind {
            Kind::ToolArguments => {
                if let Some(call) = turn.waiting_call(channel) {
                    call.is_closed = true;
                }
                if let Some(open) = turn.open.as_mut().filter(|open| open.is(channel)) {
                    open.is_closed = true;
                    if open.is_whole() || turn.waiting() > 0 {
                        self.advance(at, out);
                    }
                }
            }
            Kind::Answer | Kind::Refusal | Kind::Reasoning => {
                if turn.open.is_none() {
                    out.push(Event::Close { channel });
                }
            }
            Kind::System
            | Kind::User
            | Kind::History
            | Kind::Document
            | Kind::ToolResult
            | Kind::ToolDefinition
            | Kind::ToolName
            | Kind::Citation
            | Kind::Other => {}
        }
    }

    /// Closes what is open if it is whole, and tells what waited for it.
    fn advance(&mut self, at: usize, out: &mut Vec<Event<'_>>) {
        while self.make_way(at, out) {
            let turn = &mut self.turns[at];
            let Some(next) = turn.next() else { return };
            self.held = self.held.saturating_sub(next.len());
            turn.resume(next, self.room.reasoning, out);
            if turn.waiting() == 0 && !turn.open.as_ref().is_some_and(|open| open.is_closed) {
                return;
            }
        }
    }

    /// Everything of a choice that is open or waits is told as far as it is whole.
    fn end_turn(&mut self, at: usize, reason: StopReason, out: &mut Vec<Event<'_>>) {
        let is_cut = match reason {
            StopReason::EndTurn | StopReason::StopSequence | StopReason::ToolUse => false,
            StopReason::MaxTokens
            | StopReason::ContentFilter
            | StopReason::Refusal
            | StopReason::Pause
            | StopReason::Error
            | StopReason::Other => true,
        };
        while !self.is_over {
            let turn = &mut self.turns[at];
            if let Some(open) = turn.open.as_mut() {
                if open.is_spoilt {
                    // Its loss was stated.
                } else if open.is_whole() || (!is_cut && open.is_complete()) {
                    open.close(out);
                } else if is_cut {
                    self.losses.add(Loss::CallCut);
                } else if self.room.arguments == Arguments::Object {
                    self.fail("the provider's tool call has no readable arguments", out);
                } else {
                    open.close(out);
                }
            }
            let turn = &mut self.turns[at];
            turn.finish_open();
            let Some(next) = turn.next() else { return };
            self.held = self.held.saturating_sub(next.len());
            turn.resume(next, self.room.reasoning, out);
        }
    }

    fn stop<'e>(
        &mut self,
        choice: u16,
        reason: StopReason,
        native: &'e str,
        out: &mut Vec<Event<'e>>,
    ) {
        let Some(at) = self.turn(choice) else { return };
        self.start(out);
        self.end_turn(at, reason, out);
        if !self.is_over {
            let reason = self.turns[at].reason(reason);
            out.push(Event::Stop { choice, reason, native: Cow::Borrowed(native) });
        }
    }
}

/// The block of arguments that nothing opened.
static UNNAMED: Block<'static> =
    Block::Tool { id: Cow::Borrowed(""), name: Cow::Borrowed(""), flavour: ToolFlavour::Function };

/// `new` where it says something, else `old`.
pub(super) fn later(old: Counts, new: Counts) -> Counts {
    Counts {
        input: new.input.or(old.input),
        output: new.output.or(old.output),
        cache_read: new.cache_read.or(old.cache_read),
        cache_write: new.cache_write.or(old.cache_write),
        reasoning: new.reasoning.or(old.reasoning),
    }
}
