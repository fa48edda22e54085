//! What an object of the dialect says, given what went before it.
//!
//! Events come in one order whatever the order of members: start, facts that changed, then per
//! choice reasoning, content, refusal, calls, unknown members, stop; then unknown members of the
//! frame, usage, error. So an encoder that writes them and a decoder that reads them back agree.

use super::calls::{Calls, LEGACY_BLOCK};
use super::chunk::{Body, Call, Choice, Chunk, Extras, FACTS, Shape, TEXTS};
use super::members::Unreadable;
use super::slots::{self, DETAILS_PART};
use super::{counts, stop_reason};
use crate::wire::event::{Block, Channel, Event, Kind, Place, ToolFlavour};
use crate::wire::json::{self, Raw, span_of};
use crate::wire::{Sink, Tail};
use std::borrow::Cow;

/// The longest fact that is remembered, in bytes; a longer one is told every time.
const FACT_BYTES_MAX: usize = 512;

/// The most choices of a stream that are followed.
const CHOICES_MAX: usize = 1024;

/// What went before in one answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    shape: Shape,
    started: bool,
    /// Values in the order of [`FACTS`], raw; bounded by [`FACT_BYTES_MAX`] each.
    facts: [Option<Box<str>>; FACTS.len()],
    calls: Calls,
    /// Choices that have said something: index, and whether they have stopped.
    choices: Vec<(u16, bool)>,
}

impl Answer {
    pub(super) fn new(shape: Shape) -> Answer {
        let empty = || Some(Box::from("\"\""));
        let object = Some(Box::from(shape.object()));
        Answer {
            shape,
            started: false,
            facts: [empty(), object, None, empty(), None, None, None],
            calls: Calls::default(),
            choices: Vec::new(),
        }
    }

    /// Whether every choice that has said something has stopped.
    pub(super) fn is_stopped(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|(_, stopped)| *stopped)
    }

    pub(super) fn tail(&self) -> Tail {
        let text = |fact: usize| {
            let raw = Raw::parse(self.facts[fact].as_deref()?)?;
            json::string(raw).filter(|text| !text.is_empty()).map(Box::from)
        };
        let created = self.facts[2].as_deref().and_then(|raw| raw.parse().ok());
        Tail { id: text(0), model: text(3), created, sequence: 0 }
    }

    /// Tells what `object`, which lies inside `whole`, says. Returns whether the same bytes
    /// would say the same again.
    ///
    /// Nothing is told, and nothing changes, if it is unreadable.
    pub(super) fn object(
        &mut self,
        whole: &[u8],
        object: Raw<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<bool, Unreadable> {
        let chunk = Chunk::parse(self.shape, object)?;
        let mut telling = Telling { answer: self, whole, sink, is_steady: true };
        telling.chunk(&chunk);
        Ok(telling.is_steady)
    }
}

/// One object being told.
struct Telling<'t, 's> {
    answer: &'t mut Answer,
    whole: &'t [u8],
    sink: &'t mut Sink<'s>,
    is_steady: bool,
}

impl Telling<'_, '_> {
    fn chunk(&mut self, chunk: &Chunk<'_>) {
        self.facts(chunk);
        for choice in &chunk.choices {
            self.choice(choice);
        }
        self.extras(Place::Frame, &chunk.extras);
        if let Some(usage) = chunk.usage {
            let native = Cow::Borrowed(usage.get());
            (self.sink)(Event::Usage { counts: counts::read(usage), native });
        }
        if let Some(error) = chunk.error {
            (self.sink)(super::error_event(error));
        }
    }

    fn facts(&mut self, chunk: &Chunk<'_>) {
        let starts = !self.answer.started && self.starts(chunk);
        for (number, raw) in chunk.facts.iter().enumerate() {
            let Some(raw) = raw else { continue };
            if self.answer.facts[number].as_deref() == Some(raw.get()) {
                continue;
            }
            self.is_steady = false;
            let told_by_start = starts && matches!(number, 0 | 2 | 3);
            self.answer.facts[number] =
                (raw.get().len() <= FACT_BYTES_MAX).then(|| Box::from(raw.get()));
            if !told_by_start {
                let key = Cow::Borrowed(FACTS[number]);
                let json = Cow::Borrowed(raw.get());
                (self.sink)(Event::Extra { place: Place::Frame, key, json });
            }
        }
    }

    /// Tells the start if the frame names the answer or its model in the usual way.
    fn starts(&mut self, chunk: &Chunk<'_>) -> bool {
        let [id, _, created, model, ..] = chunk.facts;
        let text = |raw: Option<Raw<'_>>| -> Option<Cow<'static, str>> {
            raw.map_or(Some(Cow::Borrowed("")), |raw| {
                json::string(raw).map(|text| Cow::Owned(text.into_owned()))
            })
        };
        let (Some(id), Some(model)) = (text(id), text(model)) else { return false };
        if id.is_empty() && model.is_empty() {
            return false;
        }
        let created = match created {
            None => self.answer.facts[2].as_deref().and_then(|raw| raw.parse().ok()),
            Some(raw) => match raw.get().parse() {
                Ok(created) => Some(created),
                Err(_) => return false,
            },
        };
        self.answer.started = true;
        self.is_steady = false;
        (self.sink)(Event::Start { id, model, created });
        true
    }

    fn choice(&mut self, choice: &Choice<'_>) {
        let index = choice.index;
        self.body(index, &choice.body);
        self.extras(Place::Choice(index), &choice.extras);
        if let Some(native) = &choice.finish {
            self.is_steady = false;
            self.mark(index, true);
            let reason = stop_reason(native);
            (self.sink)(Event::Stop { choice: index, reason, native: native.clone() });
        }
    }

    /// Remembers that a choice has said something, or has stopped.
    fn mark(&mut self, index: u16, stops: bool) {
        let choices = &mut self.answer.choices;
        if let Some((_, stopped)) = choices.iter_mut().find(|(choice, _)| *choice == index) {
            *stopped |= stops;
        } else if choices.len() < CHOICES_MAX {
            choices.push((index, stops));
            self.is_steady = false;
        }
    }

    fn body(&mut self, choice: u16, body: &Body<'_>) {
        if let Some(role) = body.role {
            self.extra(Place::Delta(choice), "role", role.get());
        }
        for (number, (key, value)) in TEXTS.iter().zip(&body.texts).enumerate() {
            let Some(value) = value else { continue };
            let (kind, part) = match number {
                0 => (Kind::Reasoning, 0),
                1 => (Kind::Reasoning, 1),
                2 => (Kind::Reasoning, DETAILS_PART),
                3 => (Kind::Answer, 0),
                _ => (Kind::Refusal, 0),
            };
            let channel = Channel { choice, block: 0, part, kind };
            if value.is_string() {
                self.text(channel, *value);
            } else {
                self.structured(channel, key, *value);
            }
        }
        for call in &body.calls {
            self.call(choice, call);
        }
        if let Some(call) = &body.function_call {
            self.legacy_call(choice, call);
        }
        self.extras(Place::Delta(choice), &body.extras);
    }

    /// A member that is no string: its skeleton, then its texts.
    fn structured(&mut self, channel: Channel, key: &'static str, value: Raw<'_>) {
        let slots = slots::find(key, value, false);
        let skeleton = slots::skeleton(value, &slots);
        self.extra(Place::Delta(channel.choice), key, &skeleton);
        for slot in &slots {
            self.text(Channel { kind: slot.kind, part: slot.part, ..channel }, slot.value);
        }
    }

    fn text(&mut self, channel: Channel, value: Raw<'_>) {
        let Some(text) = json::string(value).filter(|text| !text.is_empty()) else { return };
        self.mark(channel.choice, false);
        let span = span_of(self.whole, value);
        (self.sink)(Event::Text { channel, text, span });
    }

    fn call(&mut self, choice: u16, call: &Call<'_>) {
        let found = self.answer.calls.find(choice, call.index, &call.id, &call.name);
        let channel = Channel { choice, block: found.block, part: 0, kind: Kind::ToolArguments };
        self.mark(choice, false);
        if found.is_new {
            self.open(channel, call);
        } else {
            if found.id_is_new {
                let mut id = Vec::new();
                json::push_string(&mut id, &call.id);
                let id = String::from_utf8_lossy(&id);
                self.is_steady = false;
                self.extra(Place::Block(found.block), "id", &id);
            }
            if found.name_goes_on {
                self.is_steady = false;
                let channel = Channel { kind: Kind::ToolName, ..channel };
                let text = Cow::Borrowed(&*call.name);
                (self.sink)(Event::Text { channel, text, span: None });
            }
        }
        self.arguments(channel, call);
        if let Some(kind) = call.kind {
            self.extra(Place::Block(found.block), "type", kind.get());
        }
        self.function_extras(found.block, call);
        self.extras(Place::Block(found.block), &call.extras);
    }

    fn legacy_call(&mut self, choice: u16, call: &Call<'_>) {
        let channel = Channel { choice, block: LEGACY_BLOCK, part: 0, kind: Kind::ToolArguments };
        self.mark(choice, false);
        let found = self.answer.calls.find_legacy(choice, &call.name);
        if found.is_new {
            self.open(channel, call);
        } else if found.name_goes_on {
            self.is_steady = false;
            let channel = Channel { kind: Kind::ToolName, ..channel };
            let text = Cow::Borrowed(&*call.name);
            (self.sink)(Event::Text { channel, text, span: None });
        }
        self.arguments(channel, call);
        self.function_extras(LEGACY_BLOCK, call);
    }

    fn open(&mut self, channel: Channel, call: &Call<'_>) {
        self.is_steady = false;
        let flavour = if call.is_custom { ToolFlavour::Custom } else { ToolFlavour::Function };
        let id = Cow::Borrowed(&*call.id);
        let name = Cow::Borrowed(&*call.name);
        (self.sink)(Event::Open { channel, block: Block::Tool { id, name, flavour } });
    }

    /// Arguments are a string that holds JSON; imitators send the JSON itself.
    fn arguments(&mut self, channel: Channel, call: &Call<'_>) {
        let Some(value) = call.arguments else { return };
        let text = json::string(value).unwrap_or(Cow::Borrowed(value.get()));
        let span = span_of(self.whole, value);
        (self.sink)(Event::Text { channel, text, span });
    }

    fn function_extras(&mut self, block: u16, call: &Call<'_>) {
        if call.function_extras.is_empty() {
            return;
        }
        let mut object = Vec::new();
        for (key, value) in &call.function_extras {
            object.push(if object.is_empty() { b'{' } else { b',' });
            json::push_string(&mut object, key);
            object.push(b':');
            object.extend_from_slice(value.get().as_bytes());
        }
        object.push(b'}');
        self.extra(Place::Block(block), "function", &String::from_utf8_lossy(&object));
    }

    fn extras(&mut self, place: Place, extras: &Extras<'_>) {
        for (key, value) in extras {
            self.extra(place, key, value.get());
        }
    }

    fn extra(&mut self, place: Place, key: &str, json: &str) {
        (self.sink)(Event::Extra { place, key: Cow::Borrowed(key), json: Cow::Borrowed(json) });
    }
}
