//! Frames to events.
//!
//! The order of events in a frame does not depend on the order of members: start; for each
//! candidate its parts, the rest of its content, the rest of itself, its stop; the rest of the
//! frame; usage; error.

use super::grammar::{
    self, CALL, CANDIDATES_MAX, Candidate, FEEDBACK, FunctionCall, Part, Response, Word,
};
use crate::wire::event::{Block, Channel, Event, Form, Kind, Place, Span, StopReason, ToolFlavour};
use crate::wire::{Dialect, Sink, Tail, json, sse};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Frames to events.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    start: Option<Start>,
    /// In order of appearance; at most [`CANDIDATES_MAX`].
    choices: Vec<Choice>,
    /// An error or a blocked prompt has ended the answer.
    ended: bool,
}

/// What the first response said of the answer; later ones repeat it.
#[derive(Clone, Debug)]
struct Start {
    id: Box<str>,
    model: Box<str>,
    created: Option<u64>,
}

/// What is known of one candidate.
#[derive(Clone, Debug)]
struct Choice {
    index: u16,
    /// Blocks begun.
    blocks: u16,
    /// The kind of the last block, if more text of it would continue it.
    kind: Option<Kind>,
    /// It has called a function, so `STOP` means that the tools are to be run.
    called: bool,
    stopped: bool,
    /// A call whose arguments are still coming.
    pending: Option<Pending>,
}

/// A call of which `willContinue` said that more will come.
#[derive(Clone, Debug)]
struct Pending {
    block: u16,
    /// The channel part of the path that was last written to.
    part: u16,
    /// That path, as it stood.
    path: Box<str>,
}

/// Takes the events of one frame.
struct Step<'s, 'f> {
    /// The bytes that spans point into.
    whole: &'s [u8],
    sink: &'s mut Sink<'f>,
    said: bool,
}

impl Step<'_, '_> {
    fn say(&mut self, event: Event<'_>) {
        self.said = true;
        (self.sink)(event);
    }

    /// The span of `length` bytes at `start` in `raw`.
    fn span(&self, raw: &str, start: usize, length: usize, form: Form) -> Option<Span> {
        let start = json::offset_of(self.whole, raw)? + start;
        Some(Span {
            start: u32::try_from(start).ok()?,
            end: u32::try_from(start + length).ok()?,
            form,
        })
    }

    /// A verbatim member, and each string in it.
    fn extra(&mut self, place: Place, choice: u16, key: &str, raw: &str) {
        self.say(Event::Extra { place, key: key.into(), json: raw.into() });
        let block = match place {
            Place::Block(block) => block,
            Place::Frame | Place::Message | Place::Choice(_) | Place::Delta(_) => 0,
        };
        let kind = grammar::kind_of(key);
        for (part, inner) in (1u16..=u16::MAX)
            .chain(std::iter::repeat(u16::MAX))
            .zip(grammar::inner(place, key, raw))
        {
            let channel = Channel { choice, block, part, kind };
            let span = self.span(raw, inner.start, inner.text.len(), Form::Quoted);
            self.say(Event::Repeat { channel, text: json::unescape(inner.text), span });
        }
    }
}

impl Decoder {
    /// See [`super::super::Decoder::frame`].
    pub fn frame(&mut self, frame: &sse::Frame<'_>, sink: &mut Sink<'_>) {
        if frame.is_empty() {
            return sink(Event::Ping);
        }
        if frame.data.trim_ascii() == b"[DONE]" {
            return sink(Event::End);
        }
        match Response::parse(&frame.data) {
            Some(response) if self.takes(&response) => self.response(frame.raw, &response, sink),
            Some(response) if response.is_empty() => sink(Event::Ping),
            Some(_) | None => sink(Event::Opaque {
                dialect: Dialect::Gemini,
                name: String::from_utf8_lossy(frame.event),
                data: Cow::Borrowed(&frame.data),
            }),
        }
    }

    /// See [`super::super::Decoder::is_complete`].
    pub fn is_complete(&self) -> bool {
        self.ended || (!self.choices.is_empty() && self.choices.iter().all(|choice| choice.stopped))
    }

    /// See [`super::super::Decoder::tail`].
    pub fn tail(&self) -> Tail {
        let Some(start) = &self.start else {
            return Tail::default();
        };
        let some = |word: &str| (!word.is_empty()).then(|| word.into());
        Tail { id: some(&start.id), model: some(&start.model), created: start.created, sequence: 0 }
    }

    /// Whether `response` is one, with no more candidates than there may be.
    pub(super) fn takes(&self, response: &Response<'_>) -> bool {
        let new = response.candidates().iter().enumerate().filter(|(position, candidate)| {
            let index = candidate.at(*position);
            !self.choices.iter().any(|choice| choice.index == index)
        });
        (response.is_answer() || response.error.is_some())
            && self.choices.len() + new.count() <= CANDIDATES_MAX
    }

    /// Says what one response says; `whole` is what spans point into.
    pub(super) fn response(&mut self, whole: &[u8], response: &Response<'_>, sink: &mut Sink<'_>) {
        let mut step = Step { whole, sink, said: false };
        let changed = self.begin(response, &mut step);
        for (position, candidate) in response.candidates().iter().enumerate() {
            self.candidate(candidate.at(position), candidate, &mut step);
        }
        for (key, raw) in changed.into_iter().flatten() {
            step.extra(Place::Frame, 0, key, raw.get());
        }
        for (key, raw) in &response.rest {
            step.extra(Place::Frame, 0, key, raw.get());
            if key == FEEDBACK
                && let Some(native) = grammar::block_reason(raw.get())
            {
                self.ended = true;
                step.say(Event::Stop { choice: 0, reason: StopReason::ContentFilter, native });
            }
        }
        if let Some(usage) = response.usage {
            let counts = grammar::counts(usage.get());
            step.say(Event::Usage { counts, native: usage.get().into() });
        }
        if let Some(error) = response.error {
            self.ended = true;
            step.say(error_event(error));
        }
        if !step.said {
            step.say(Event::Ping);
        }
    }

    /// Says the start, the first time; gives the ids that are not those of the start.
    fn begin<'r>(
        &mut self,
        response: &Response<'r>,
        step: &mut Step<'_, '_>,
    ) -> [Option<(&'static str, &'r RawValue)>; 2] {
        if self.start.is_none() && response.is_answer() {
            let word = |raw: Option<&'r RawValue>| raw.and_then(json::string).unwrap_or_default();
            let (id, model) = (word(response.id), word(response.model));
            let created = response.rest.iter().find(|(key, _)| key == "createTime");
            let created = created
                .and_then(|(_, raw)| json::string(*raw)?.parse::<jiff::Timestamp>().ok())
                .and_then(|time| u64::try_from(time.as_second()).ok());
            self.start = Some(Start { id: (&*id).into(), model: (&*model).into(), created });
            step.say(Event::Start { id, model, created });
        }
        let known = self.start.as_ref().map_or(("", ""), |start| (&*start.id, &*start.model));
        let changed = |key, raw: Option<&'r RawValue>, known: &str| {
            let raw = raw?;
            (json::string(raw).as_deref() != Some(known)).then_some((key, raw))
        };
        [
            changed("responseId", response.id, known.0),
            changed("modelVersion", response.model, known.1),
        ]
    }

    fn candidate(&mut self, index: u16, candidate: &Candidate<'_>, step: &mut Step<'_, '_>) {
        let Some(choice) = self.choice(index) else {
            return;
        };
        if let Some(content) = &candidate.content {
            for part in content.parts.iter().flat_map(|list| &list.0) {
                choice.part(part, step);
            }
            if let Some(role) = content.role.filter(|role| role.get() != "\"model\"") {
                step.extra(Place::Delta(index), index, "role", role.get());
            }
            for (key, raw) in &content.rest {
                step.extra(Place::Delta(index), index, key, raw.get());
            }
        }
        for (key, raw) in &candidate.rest {
            step.extra(Place::Choice(index), index, key, raw.get());
        }
        let Some(finish) = candidate.finish else {
            return;
        };
        match json::string(finish) {
            Some(native) if native != "FINISH_REASON_UNSPECIFIED" => {
                choice.stopped = true;
                let reason = grammar::stop_reason(&native, choice.called);
                step.say(Event::Stop { choice: index, reason, native });
            }
            Some(_) | None => {
                step.extra(Place::Choice(index), index, "finishReason", finish.get());
            }
        }
    }

    fn choice(&mut self, index: u16) -> Option<&mut Choice> {
        let at = self.choices.iter().position(|choice| choice.index == index);
        let at = at.unwrap_or_else(|| {
            self.choices.push(Choice {
                index,
                blocks: 0,
                kind: None,
                called: false,
                stopped: false,
                pending: None,
            });
            self.choices.len() - 1
        });
        self.choices.get_mut(at)
    }
}

impl Choice {
    fn channel(&self, block: u16, kind: Kind) -> Channel {
        Channel { choice: self.index, block, part: 0, kind }
    }

    /// The block that text of `kind` belongs to.
    fn text_block(&mut self, kind: Kind, step: &mut Step<'_, '_>) -> u16 {
        if self.kind != Some(kind) {
            self.new_block(step);
            self.kind = Some(kind);
        }
        self.blocks - 1
    }

    /// A block that nothing will continue; nor will the text before it be.
    fn new_block(&mut self, step: &mut Step<'_, '_>) -> u16 {
        if let Some(kind) = self.kind.take() {
            step.say(Event::Close { channel: self.channel(self.blocks - 1, kind) });
        }
        self.blocks = self.blocks.saturating_add(1);
        self.blocks - 1
    }

    fn part(&mut self, part: &Part<'_>, step: &mut Step<'_, '_>) {
        let is_text = part.call.is_none() && part.rest.is_empty();
        if part.text.is_some() || is_text {
            self.text(part, step);
        }
        if let Some(call) = &part.call {
            self.call(part, call, step);
        } else if part.text.is_none()
            && let Some((name, _)) = part.rest.first()
        {
            let block = self.new_block(step);
            let channel = self.channel(block, grammar::kind_of(name));
            step.say(Event::Open { channel, block: Block::Other(name.as_ref().into()) });
            self.rest(part, channel, step);
            step.say(Event::Close { channel });
        }
    }

    /// Text; a part with nothing else is an empty one, which may carry a signature.
    fn text(&mut self, part: &Part<'_>, step: &mut Step<'_, '_>) {
        let thought = part.thought == Some(true);
        let kind = if thought { Kind::Reasoning } else { Kind::Answer };
        let block = self.text_block(kind, step);
        let channel = self.channel(block, kind);
        let (text, span) = part.text.as_ref().map_or((Cow::Borrowed(""), None), |text| {
            (json::string(text.0).unwrap_or_default(), json::span_of(step.whole, text.0))
        });
        step.say(Event::Text { channel, text, span });
        if part.call.is_none() {
            for (key, raw) in &part.rest {
                step.extra(Place::Block(block), self.index, key, raw.get());
            }
            if let Some(Word(value)) = &part.signature {
                step.say(Event::Signature { channel, value: value.as_ref().into() });
            }
        }
    }

    /// What a part that is not text has beside its data.
    fn rest(&self, part: &Part<'_>, channel: Channel, step: &mut Step<'_, '_>) {
        let place = Place::Block(channel.block);
        for (key, raw) in &part.rest {
            step.extra(place, self.index, key, raw.get());
        }
        if part.thought == Some(true) && part.text.is_none() {
            step.extra(place, self.index, "thought", "true");
        }
        if let Some(Word(value)) = &part.signature {
            step.say(Event::Signature { channel, value: value.as_ref().into() });
        }
    }

    fn call(&mut self, part: &Part<'_>, call: &FunctionCall<'_>, step: &mut Step<'_, '_>) {
        self.called = true;
        let resumed = self.pending.take().filter(|_| call.name.is_none() && call.id.is_none());
        let block = match &resumed {
            Some(pending) => pending.block,
            None => self.new_block(step),
        };
        let channel = self.channel(block, Kind::ToolArguments);
        if resumed.is_none() {
            let word = |word: &Option<Word<'_>>| match word {
                Some(Word(text)) => Cow::Owned(text.as_ref().to_owned()),
                None => Cow::Borrowed(""),
            };
            let (id, name) = (word(&call.id), word(&call.name));
            let flavour = ToolFlavour::Function;
            step.say(Event::Open { channel, block: Block::Tool { id, name, flavour } });
        }
        if let Some(args) = call.args {
            let text = args.get();
            let span = step.span(text, 0, text.len(), Form::Json);
            step.say(Event::Text { channel, text: text.into(), span });
        } else if resumed.is_some() {
            step.say(Event::Text { channel, text: "".into(), span: None });
        }
        let mut pending = resumed.unwrap_or(Pending { block, part: 0, path: "".into() });
        let mut continues = false;
        for (key, raw) in &call.rest {
            continues |= key == "willContinue" && raw.get() == "true";
            if key == "partialArgs" {
                self.partial(&mut pending, raw.get(), step);
            } else {
                let key = format!("{CALL}{key}");
                step.extra(Place::Block(block), self.index, &key, raw.get());
            }
        }
        self.rest(part, channel, step);
        if continues {
            self.pending = Some(pending);
        } else {
            step.say(Event::Close { channel });
        }
    }

    /// Pieces of arguments: what is written to one path runs on one channel.
    fn partial(&self, pending: &mut Pending, raw: &str, step: &mut Step<'_, '_>) {
        let key = format!("{CALL}partialArgs");
        let place = Place::Block(pending.block);
        step.say(Event::Extra { place, key: key.as_str().into(), json: raw.into() });
        for inner in grammar::inner(place, &key, raw) {
            let span = step.span(raw, inner.start, inner.text.len(), Form::Quoted);
            let text = json::unescape(inner.text);
            if inner.key == "jsonPath" && *pending.path != *inner.text {
                pending.path = inner.text.into();
                pending.part = pending.part.saturating_add(1);
            }
            let mut channel = self.channel(pending.block, Kind::ToolArguments);
            channel.part = pending.part.max(1);
            if inner.key == "jsonPath" {
                channel.kind = Kind::Other;
                step.say(Event::Repeat { channel, text, span });
            } else {
                step.say(Event::Text { channel, text, span });
            }
        }
    }
}

/// The error object of the Google APIs (<https://google.aip.dev/193>).
fn error_event(raw: &RawValue) -> Event<'_> {
    #[derive(Default, serde::Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        code: Option<&'a RawValue>,
        #[serde(borrow)]
        status: Option<Word<'a>>,
        #[serde(borrow)]
        message: Option<Word<'a>>,
    }
    let native = Cow::Borrowed(raw.get());
    let Ok(object) = serde_json::from_str::<Object<'_>>(raw.get()) else {
        let message = json::string(raw).unwrap_or_default();
        return Event::Error { code: "".into(), message, native };
    };
    let number = || object.code.map_or("", RawValue::get).into();
    Event::Error {
        code: object.status.map_or_else(number, |word| word.0),
        message: object.message.map(|word| word.0).unwrap_or_default(),
        native,
    }
}
