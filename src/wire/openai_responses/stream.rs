//! Frames to events.
//!
//! A delta is one text event and nothing else, unless it carries members that we do not know. Any
//! other frame gives the steps that it means and then one [`Event::Extra`] at [`Place::Message`]
//! under the frame's type: its skeleton, which is its JSON with a mark in the place of each text
//! that an event carries. The encoder of this dialect fills the marks again, so an answer that
//! stays in the dialect loses nothing; others ignore skeletons.
//!
//! Text that stands whole in a frame is an [`Event::Text`] only if nothing brought it before (a
//! provider that sends no deltas); else it is an [`Event::Repeat`].

use super::items::{INDEX, Items, Place as At, placed};
use super::scan::{self, Frame};
use super::texts::{self, Role, Shape, State, Text};
use super::{MARK_LOGPROBS, MARK_REPEAT, MARK_TEXT};
use crate::wire::event::{Block, Channel, Counts, Event, Form, Kind, Place, Span, StopReason};
use crate::wire::{Dialect, Sink, Tail, json, sse};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::ops::Range;

/// The most channels of one answer whose state is kept. Texts of further ones are judged, but are
/// all taken for repeats when they stand whole in a frame.
const RUNS_MAX: usize = 1024;

/// Frames to events.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    tail: Tail,
    has_started: bool,
    is_complete: bool,
    is_for_caller: bool,
    items: Items,
    runs: Vec<Run>,
}

/// A channel that was heard of.
#[derive(Clone, Debug)]
struct Run {
    channel: Channel,
    /// The call that opened it: its id and name.
    call: Option<(Box<str>, Box<str>)>,
    has_text: bool,
    is_open: bool,
}

/// When texts that stand whole in a frame are new.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Newness {
    /// They are.
    Always,
    /// If nothing came on their channel before.
    IfFirst,
    /// They are copies, or deltas will bring them.
    Never,
}

/// What one frame is decoded with.
struct Step<'f, 's, 'k> {
    /// The bytes that places are counted in; none if the text does not lie in them.
    whole: Option<&'f [u8]>,
    sink: &'s mut Sink<'k>,
    /// The texts that events carry, and the marks to put in their places.
    holes: Vec<(&'f str, Form, &'static str)>,
    /// The item that the frame is of.
    at: Option<At<'f>>,
}

impl Step<'_, '_, '_> {
    fn span(&self, raw: &str, form: Form) -> Option<Span> {
        let start = u32::try_from(json::offset_of(self.whole?, raw)?).ok()?;
        Some(Span { start, end: start + u32::try_from(raw.len()).ok()?, form })
    }
}

impl Decoder {
    /// See [`crate::wire::Decoder::frame`].
    pub fn frame(&mut self, frame: &sse::Frame<'_>, sink: &mut Sink<'_>) {
        if frame.is_empty() {
            sink(Event::Ping);
        } else if self.try_frame(frame, sink).is_none() {
            self.tail.sequence = self.tail.sequence.saturating_add(1);
            sink(self.opaque(frame));
        }
    }

    /// See [`crate::wire::Decoder::is_complete`].
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// See [`crate::wire::Decoder::tail`].
    pub fn tail(&self) -> Tail {
        self.tail.clone()
    }

    /// Gives events only if it gives `Some`.
    fn try_frame(&mut self, frame: &sse::Frame<'_>, sink: &mut Sink<'_>) -> Option<()> {
        let joined;
        let (text, whole) = match &frame.data {
            Cow::Borrowed(data) => (std::str::from_utf8(data).ok()?, Some(frame.raw)),
            // Several lines: valid JSON has line ends between its tokens only.
            Cow::Owned(data) => {
                joined = std::str::from_utf8(data).ok()?.replace('\n', " ");
                (joined.as_str(), None)
            }
        };
        if text == "[DONE]" && !self.is_complete {
            self.is_complete = true;
            sink(Event::End);
            return Some(());
        }
        let block;
        let mut members = Frame::parse(text)?;
        let name = match members.get("type") {
            Some(name) => scan::string(name)?,
            None => Cow::Borrowed(std::str::from_utf8(frame.event).ok()?),
        };
        let at = self.items.place(&name, &members);
        if let Some(at) = at {
            block = at.block.to_string();
            members.set(INDEX, &block);
        }
        let mut step = Step { whole, sink, holes: Vec::new(), at };
        let stem = name.strip_prefix("response.").and_then(|rest| rest.strip_suffix(".delta"));
        if let Some(shape) = stem.and_then(texts::text_shape) {
            self.delta(&shape, &members, &mut step)?;
        } else {
            let shape = texts::shape(&name, &members)?;
            self.shaped(&shape, &name, text, &mut step)?;
        }
        let number = members.get("sequence_number").and_then(|value| value.parse().ok());
        self.tail.sequence = number.unwrap_or(self.tail.sequence).saturating_add(1);
        Some(())
    }

    fn delta<'f>(
        &mut self,
        shape: &texts::TextShape,
        members: &Frame<'f>,
        step: &mut Step<'f, '_, '_>,
    ) -> Option<()> {
        let channel = shape.channel(members)?;
        let raw = scan::inside(members.get("delta")?)?;
        self.note_text(channel);
        let span = step.span(raw, Form::Quoted);
        (step.sink)(Event::Text { channel, text: json::unescape(raw), span });
        for (key, value) in members.iter() {
            let is_known = match &**key {
                // `obfuscation` is random padding against the guessing of lengths; it says nothing.
                "type" | "sequence_number" | "item_id" | "output_index" | "delta"
                | "obfuscation" => true,
                "logprobs" => scan::elements(value).next().is_none(),
                key => key == shape.index(),
            };
            if !is_known {
                (step.sink)(Event::Extra {
                    place: Place::Frame,
                    key: Cow::Borrowed(key),
                    json: Cow::Borrowed(value),
                });
            }
        }
        Some(())
    }

    /// Any frame but a delta: what it means, its skeleton, and the end if it is one.
    fn shaped<'f>(
        &mut self,
        shape: &Shape<'f>,
        name: &str,
        text: &'f str,
        step: &mut Step<'f, '_, '_>,
    ) -> Option<()> {
        let texts = texts::texts(shape);
        if texts.overflow {
            return None;
        }
        let list = &texts.list[..];
        let is_end = match *shape {
            Shape::Response { object, state } => self.response(object, state, list, step),
            Shape::Item { block, item, is_done } => {
                if is_done {
                    self.item_done(block, item, list, Newness::IfFirst, step);
                } else {
                    self.item_open(block, item, State::Running, step);
                    self.emit(list, Newness::Never, step);
                }
                false
            }
            Shape::ContentPart { block, part, object, is_done } => {
                if is_done {
                    self.emit(list, Newness::IfFirst, step);
                    self.close(step, |channel| {
                        channel.block == block
                            && channel.part == part
                            && matches!(channel.kind, Kind::Answer | Kind::Refusal)
                    });
                } else {
                    match scan::string_member(object, "type").as_deref() {
                        Some("output_text" | "text") => {
                            self.open(texts::at(block, part, Kind::Answer), Block::Text, step);
                        }
                        Some("refusal") => {
                            self.open(texts::at(block, part, Kind::Refusal), Block::Refusal, step);
                        }
                        _ => {}
                    }
                    self.emit(list, Newness::Never, step);
                }
                false
            }
            Shape::SummaryPart { .. } | Shape::Done { .. } => {
                let is_done = name.strip_suffix(".done").is_some();
                self.emit(list, if is_done { Newness::IfFirst } else { Newness::Never }, step);
                false
            }
            Shape::Annotation { .. } => {
                self.emit(list, Newness::Always, step);
                false
            }
            Shape::Progress => false,
            Shape::Error { object } => {
                self.emit(list, Newness::Never, step);
                error(object, step);
                self.is_complete = true;
                false
            }
        };
        skeleton(name, text, step);
        if is_end {
            self.is_complete = true;
            (step.sink)(Event::End);
        }
        Some(())
    }

    /// The response object; gives whether the answer ends with it.
    fn response<'f>(
        &mut self,
        object: &'f str,
        state: State,
        texts: &[Text<'f>],
        step: &mut Step<'f, '_, '_>,
    ) -> bool {
        self.start(object, step);
        let is_end = state != State::Running;
        if is_end && self.runs.is_empty() {
            self.items(object, texts, step);
        } else {
            self.emit(texts, Newness::Never, step);
        }
        match state {
            State::Running => return false,
            State::Completed => {
                self.close(step, |_| true);
                let reason = self.completed();
                stop(reason, Cow::Borrowed("completed"), step);
            }
            State::Incomplete => {
                let native = scan::member(object, "incomplete_details")
                    .and_then(|details| scan::string_member(details, "reason"));
                let reason = match native.as_deref() {
                    Some("max_output_tokens") => StopReason::MaxTokens,
                    Some("content_filter") => StopReason::ContentFilter,
                    Some(_) | None => StopReason::Other,
                };
                stop(reason, native.unwrap_or(Cow::Borrowed("incomplete")), step);
            }
            State::Cancelled => stop(StopReason::Other, Cow::Borrowed("cancelled"), step),
            State::Failed => error(scan::member(object, "error").unwrap_or("null"), step),
        }
        usage(object, step);
        true
    }

    /// The items of an answer that was not streamed before.
    fn items<'f>(&mut self, object: &'f str, texts: &[Text<'f>], step: &mut Step<'f, '_, '_>) {
        let output = scan::member(object, "output").unwrap_or("[]");
        let (of_items, others): (Vec<_>, Vec<_>) =
            texts.iter().copied().partition(|text| offset_in(output, text.raw).is_some());
        let mut rest = &of_items[..];
        for (block, item) in (0..=u16::MAX).zip(scan::elements(output)) {
            let count = rest.iter().take_while(|text| offset_in(item, text.raw).is_some()).count();
            self.item_done(block, item, &rest[..count], Newness::IfFirst, step);
            rest = &rest[count..];
        }
        self.emit(&others, Newness::Never, step);
    }

    /// What a completed answer stopped for.
    fn completed(&self) -> StopReason {
        let has = |kind| self.runs.iter().any(|run| run.has_text && run.channel.kind == kind);
        if self.is_for_caller {
            StopReason::ToolUse
        } else if has(Kind::Refusal) && !has(Kind::Answer) {
            StopReason::Refusal
        } else {
            StopReason::EndTurn
        }
    }

    fn start<'f>(&mut self, object: &'f str, step: &mut Step<'f, '_, '_>) {
        if self.has_started {
            return;
        }
        self.has_started = true;
        let id = scan::string_member(object, "id").unwrap_or_default();
        let model = scan::string_member(object, "model").unwrap_or_default();
        let created = scan::member(object, "created_at").and_then(scan::count);
        self.tail.id = (!id.is_empty()).then(|| Box::from(&*id));
        self.tail.model = (!model.is_empty()).then(|| Box::from(&*model));
        self.tail.created = created;
        (step.sink)(Event::Start { id, model, created });
    }

    fn item_open<'f>(
        &mut self,
        block: u16,
        item: &'f str,
        state: State,
        step: &mut Step<'f, '_, '_>,
    ) {
        let kind = texts::item_kind(item);
        self.is_for_caller |= kind.is_for_caller;
        if kind.name == "message" {
            return;
        }
        let channel = texts::at(block, 0, kind.kind);
        let Block::Tool { id, name, .. } = &kind.block else {
            return self.open(channel, kind.block, step);
        };
        let (id, name) = (Box::from(&**id), Box::from(&**name));
        self.renew(channel, &id, &name, state);
        let is_known = self.runs.iter().any(|run| run.channel == channel);
        // A call is told even where nothing more can be remembered.
        if !is_known && self.runs.len() >= RUNS_MAX && state == State::Running {
            return (step.sink)(Event::Open { channel, block: kind.block });
        }
        self.open(channel, kind.block, step);
        if let Some(run) = self.runs.iter_mut().rfind(|run| run.channel == channel) {
            run.call.get_or_insert((id, name));
        }
    }

    /// Forgets what is known of a channel if another call begins on it. Imitators make up another
    /// id for the copy of a call that is done, so that one tells another call only by its name.
    fn renew(&mut self, channel: Channel, id: &str, name: &str, state: State) {
        let is_other = |run: &Run| {
            let differs =
                |known: &str, new: &str| !known.is_empty() && !new.is_empty() && known != new;
            let Some((known_id, known_name)) = &run.call else { return !run.is_open };
            differs(known_name, name)
                || (state == State::Running && (!run.is_open || differs(known_id, id)))
        };
        if let Some(at) = self.runs.iter().position(|run| run.channel == channel)
            && self.runs.get(at).is_some_and(is_other)
        {
            self.runs.remove(at);
        }
    }

    fn item_done<'f>(
        &mut self,
        block: u16,
        item: &'f str,
        texts: &[Text<'f>],
        newness: Newness,
        step: &mut Step<'f, '_, '_>,
    ) {
        self.item_open(block, item, State::Completed, step);
        self.emit(texts, newness, step);
        if texts::item_kind(item).kind == Kind::Reasoning
            && let Some(value) = scan::string_member(item, "encrypted_content")
            && !value.is_empty()
        {
            let channel = texts::at(block, 0, Kind::Reasoning);
            (step.sink)(Event::Signature { channel, value });
        }
        self.close(step, |channel| channel.block == block);
    }

    /// Gives `texts`, and remembers their places.
    fn emit<'f>(&mut self, texts: &[Text<'f>], newness: Newness, step: &mut Step<'f, '_, '_>) {
        // Decided for all before any is given: two annotations of one part are both new.
        let is_new: SmallVec<[bool; 16]> = texts
            .iter()
            .map(|text| match newness {
                Newness::Always => text.role == Role::Whole,
                Newness::IfFirst => text.role == Role::Whole && !self.has_text(text.channel),
                Newness::Never => false,
            })
            .collect();
        for (text, is_new) in texts.iter().zip(is_new) {
            let channel = text.channel;
            if text.role == Role::Logprobs {
                step.holes.push((text.raw, text.form, MARK_LOGPROBS));
                (step.sink)(Event::Extra {
                    place: Place::Block(channel.block),
                    key: Cow::Borrowed("logprobs"),
                    json: Cow::Borrowed(text.raw),
                });
                continue;
            }
            let span = step.span(text.raw, text.form);
            if is_new {
                match channel.kind {
                    Kind::Answer => self.open(channel, Block::Text, step),
                    Kind::Refusal => self.open(channel, Block::Refusal, step),
                    _ => {}
                }
                self.note_text(channel);
                step.holes.push((text.raw, text.form, MARK_TEXT));
                (step.sink)(Event::Text { channel, text: text.decoded(), span });
            } else {
                step.holes.push((text.raw, text.form, MARK_REPEAT));
                (step.sink)(Event::Repeat { channel, text: text.decoded(), span });
            }
        }
    }

    fn has_text(&self, channel: Channel) -> bool {
        self.runs
            .iter()
            .find(|run| run.channel == channel)
            .map_or_else(|| self.runs.len() >= RUNS_MAX, |run| run.has_text)
    }

    /// Remembers that `channel` has text. The last channel is the next one, most often.
    fn note_text(&mut self, channel: Channel) {
        let known = match self.runs.last_mut() {
            Some(last) if last.channel == channel => Some(last),
            _ => self.runs.iter_mut().find(|run| run.channel == channel),
        };
        if let Some(run) = known {
            run.has_text = true;
        } else if self.runs.len() < RUNS_MAX {
            self.runs.push(Run { channel, call: None, has_text: true, is_open: true });
        }
    }

    fn open<'f>(&mut self, channel: Channel, block: Block<'f>, step: &mut Step<'f, '_, '_>) {
        let is_known = self.runs.iter().any(|run| run.channel == channel);
        if !is_known && self.runs.len() < RUNS_MAX {
            self.runs.push(Run { channel, call: None, has_text: false, is_open: true });
            (step.sink)(Event::Open { channel, block });
        }
    }

    /// Closes the open channels that `is_over` names.
    fn close(&mut self, step: &mut Step<'_, '_, '_>, is_over: impl Fn(Channel) -> bool) {
        for run in &mut self.runs {
            if run.is_open && is_over(run.channel) {
                run.is_open = false;
                (step.sink)(Event::Close { channel: run.channel });
            }
        }
    }

    /// A frame that is not understood; it says its block all the same.
    fn opaque<'f>(&mut self, frame: &'f sse::Frame<'_>) -> Event<'f> {
        let mut name = String::from_utf8_lossy(frame.event);
        let mut data = Cow::Borrowed(&*frame.data);
        if let Ok(text) = std::str::from_utf8(&frame.data)
            && let Some(members) = Frame::parse(text)
        {
            if name.is_empty()
                && let Some(kind) = members.get("type")
            {
                name = scan::string(kind).unwrap_or_default();
            }
            if let Cow::Owned(text) = placed(text, self.items.place(&name, &members)) {
                data = Cow::Owned(text.into_bytes());
            }
        }
        Event::Opaque { dialect: Dialect::OpenaiResponses, name, data }
    }

    /// A whole response object, as [`super::decode_unary`] finds it.
    pub(super) fn whole<'f>(
        &mut self,
        name: &str,
        body: &'f str,
        object: &'f str,
        state: State,
        sink: &mut Sink<'_>,
    ) -> Option<()> {
        let shape = Shape::Response { object, state };
        let mut step = Step { whole: Some(body.as_bytes()), sink, holes: Vec::new(), at: None };
        self.shaped(&shape, name, body, &mut step)
    }
}

/// Where `part` stands in `whole`, of which it is a slice.
fn offset_in(whole: &str, part: &str) -> Option<usize> {
    json::offset_of(whole.as_bytes(), part)
}

fn stop(reason: StopReason, native: Cow<'_, str>, step: &mut Step<'_, '_, '_>) {
    (step.sink)(Event::Stop { choice: 0, reason, native });
}

/// An error object; imitators write a string in its place.
fn error(error: &str, step: &mut Step<'_, '_, '_>) {
    let text = |name| scan::string_member(error, name).filter(|text| !text.is_empty());
    (step.sink)(Event::Error {
        // The frame itself may be the object; then its own `type` is no code.
        code: text("code")
            .or_else(|| text("type").filter(|kind| kind != "error"))
            .unwrap_or_default(),
        message: text("message").or_else(|| scan::string(error)).unwrap_or_default(),
        native: Cow::Borrowed(error),
    });
}

fn usage(object: &str, step: &mut Step<'_, '_, '_>) {
    let Some(native) = scan::member(object, "usage").filter(|usage| usage.starts_with('{')) else {
        return;
    };
    let count = |within: Option<&str>, name| scan::count(scan::member(within?, name)?);
    let details = scan::member(native, "input_tokens_details");
    let counts = Counts {
        input: count(Some(native), "input_tokens"),
        output: count(Some(native), "output_tokens"),
        cache_read: count(details, "cached_tokens"),
        cache_write: count(details, "cache_write_tokens"),
        reasoning: count(scan::member(native, "output_tokens_details"), "reasoning_tokens"),
    };
    (step.sink)(Event::Usage { counts, native: Cow::Borrowed(native) });
}

/// Gives what is left of a frame without its texts, with its block in the place of its number.
fn skeleton(name: &str, text: &str, step: &mut Step<'_, '_, '_>) {
    let mut holes: Vec<(Range<usize>, Cow<'_, str>)> = std::mem::take(&mut step.holes)
        .into_iter()
        .filter_map(|(raw, form, mark)| {
            let start = offset_in(text, raw)?;
            let mark = match form {
                Form::Quoted => Cow::Borrowed(mark),
                Form::Json => Cow::Owned(format!("[\"{mark}\"]")),
            };
            Some((start..start + raw.len(), mark))
        })
        .collect();
    let number = step.at.and_then(|at| at.edit(text));
    holes.extend(number.map(|(at, number)| (at, Cow::Owned(number))));
    let mut json = Cow::Borrowed(text);
    if !holes.is_empty() {
        holes.sort_unstable_by_key(|hole| hole.0.start);
        let mut kept = String::with_capacity(text.len());
        let mut from = 0;
        for (place, with) in holes {
            kept.push_str(text.get(from..place.start).unwrap_or(""));
            kept.push_str(&with);
            from = place.end;
        }
        kept.push_str(text.get(from..).unwrap_or(""));
        json = Cow::Owned(kept);
    }
    (step.sink)(Event::Extra { place: Place::Message, key: Cow::Borrowed(name), json });
}
