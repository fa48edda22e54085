//! Chunks to events.

use super::read::{Calls, Raw, counts, delta, elements, stop_reason};
use crate::wire::event::{Event, Form, Place};
use crate::wire::members::Members;
use crate::wire::sse::Frame;
use crate::wire::template::Template;
use crate::wire::{Dialect, Sink, Tail, json};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;

/// Choices of which it is remembered whether they have stopped.
const CHOICES_MAX: usize = 128;

/// The decoder of one stream.
#[derive(Debug, Default)]
pub struct Decoder {
    pub(super) template: Template,
    started: Option<Started>,
    calls: Calls,
    /// Choices that spoke, and whether they have stopped.
    choices: SmallVec<[(u16, bool); 2]>,
    ended: bool,
}

/// What the first chunk said of the answer.
#[derive(Debug)]
struct Started {
    id: Box<str>,
    model: Box<str>,
    created: Option<u64>,
}

impl Decoder {
    /// See [`crate::wire::Decoder::frame`].
    pub fn frame(&mut self, frame: &Frame<'_>, sink: &mut Sink<'_>) {
        if let Some((channel, text, span)) = self.template.matches(frame.raw) {
            sink(Event::Text { channel, text: Cow::Borrowed(text), span: Some(span) });
            return;
        }
        let mut said = 0usize;
        let mut last = None;
        let mut counting = |event: Event<'_>| {
            said += 1;
            last = match &event {
                Event::Text { channel, span: Some(span), .. } if span.form == Form::Quoted => {
                    Some((*channel, *span))
                }
                _ => None,
            };
            sink(event);
        };
        self.slow(frame, &mut counting);
        if said == 0 {
            sink(Event::Ping);
        }
        match (said, last) {
            (1, Some((channel, span))) => self.template.learn(frame.raw, channel, span),
            _ => self.template.forget(),
        }
    }

    fn slow(&mut self, frame: &Frame<'_>, sink: &mut Sink<'_>) {
        let data: &[u8] = &frame.data;
        if data.is_empty() {
            return sink(Event::Ping);
        }
        if data.trim_ascii() == b"[DONE]" {
            self.ended = true;
            return sink(Event::End);
        }
        let text = std::str::from_utf8(data).ok();
        let chunk = text.and_then(Members::parse).and_then(|members| Chunk::read(members, "delta"));
        let Some(chunk) = chunk else {
            return sink(opaque(frame));
        };
        let bytes = match &frame.data {
            Cow::Borrowed(_) => Raw(frame.raw),
            // Lines that were joined stand nowhere in one piece.
            Cow::Owned(_) => Raw(&[]),
        };
        self.ended |= chunk.error.is_some();
        self.chunk(bytes, chunk, sink);
    }

    /// Says one chunk, or one whole answer.
    pub(super) fn chunk<'a>(&mut self, bytes: Raw<'a>, chunk: Chunk<'a>, sink: &mut Sink<'_>) {
        let mut rest = chunk.rest;
        self.start(&mut rest, !chunk.choices.is_empty(), sink);
        if let Some(raw) = chunk.error {
            sink(error(raw));
        }
        for (position, mut choice) in chunk.choices.into_iter().enumerate() {
            let index = choice
                .rest
                .take("index")
                .and_then(|raw| raw.get().parse().ok())
                .unwrap_or_else(|| u16::try_from(position).unwrap_or(u16::MAX));
            let stop = choice.rest.take("finish_reason");
            self.note(index, stop.is_some_and(|raw| raw.get() != "null"));
            if let Some(members) = choice.says {
                delta(bytes, index, members, &mut self.calls, sink);
            }
            let native = stop.and_then(json::string);
            if let (Some(raw), None) = (stop, &native)
                && raw.get() != "null"
            {
                let json = Cow::Borrowed(raw.get());
                let key = Cow::Borrowed("finish_reason");
                sink(Event::Extra { place: Place::Choice(index), key, json });
            }
            choice.rest.drop_default("logprobs", "null");
            choice.rest.extras(Place::Choice(index), sink);
            if let Some(native) = native {
                sink(Event::Stop { choice: index, reason: stop_reason(&native), native });
            }
        }
        if let Some(raw) = rest.take_object("usage") {
            sink(Event::Usage { counts: counts(raw), native: Cow::Borrowed(raw.get()) });
        }
        rest.drop_default("usage", "null");
        rest.extras(Place::Frame, sink);
    }

    /// Says the start once; later chunks repeat id, model and time, and what differs is kept.
    fn start(&mut self, rest: &mut Members<'_>, has_choices: bool, sink: &mut Sink<'_>) {
        rest.drop_default("object", "\"chat.completion.chunk\"");
        rest.drop_default("object", "\"chat.completion\"");
        let of = |name: &str| rest.get(name).and_then(json::string).unwrap_or_default();
        let (id, model) = (of("id"), of("model"));
        let created = rest.get("created").and_then(|raw| raw.get().parse::<u64>().ok());
        match &self.started {
            None if id.is_empty() && model.is_empty() && !has_choices => {}
            None => {
                self.started =
                    Some(Started { id: (&*id).into(), model: (&*model).into(), created });
                sink(Event::Start { id, model, created });
                rest.take_string("id");
                rest.take_string("model");
                if created.is_some() {
                    rest.take("created");
                }
            }
            Some(started) => {
                let same = (*started.id == *id, *started.model == *model);
                if same.0 {
                    rest.take_string("id");
                }
                if same.1 {
                    rest.take_string("model");
                }
                if started.created == created && created.is_some() {
                    rest.take("created");
                }
            }
        }
    }

    fn note(&mut self, choice: u16, stopped: bool) {
        match self.choices.iter().position(|(known, _)| *known == choice) {
            Some(at) => self.choices[at].1 |= stopped,
            None if self.choices.len() < CHOICES_MAX => self.choices.push((choice, stopped)),
            None => {}
        }
    }

    /// See [`crate::wire::Decoder::is_complete`]: the end mark came, or every choice has stopped
    /// (some providers send no mark).
    pub fn is_complete(&self) -> bool {
        let all_stopped = self.choices.iter().all(|(_, stopped)| *stopped);
        self.ended || (!self.choices.is_empty() && all_stopped)
    }

    /// See [`crate::wire::Decoder::tail`].
    pub fn tail(&self) -> Tail {
        match &self.started {
            None => Tail::default(),
            Some(started) => Tail {
                id: Some(started.id.clone()),
                model: Some(started.model.clone()),
                created: started.created,
                sequence: 0,
            },
        }
    }
}

/// A frame that is kept unread.
fn opaque<'f>(frame: &'f Frame<'_>) -> Event<'f> {
    let name = String::from_utf8_lossy(frame.event);
    Event::Opaque { dialect: Dialect::OpenaiChat, name, data: Cow::Borrowed(&frame.data) }
}

/// An `error` member: an object, or a bare text.
fn error(raw: &RawValue) -> Event<'_> {
    let native = Cow::Borrowed(raw.get());
    let Some(members) = Members::of(raw) else {
        let message = json::string(raw).unwrap_or(Cow::Borrowed(raw.get()));
        return Event::Error { code: Cow::Borrowed(""), message, native };
    };
    let text = |name: &str| members.get(name).and_then(json::string);
    let code = text("code").or_else(|| text("type")).unwrap_or_default();
    Event::Error { code, message: text("message").unwrap_or_default(), native }
}

/// A chunk or a whole answer, taken apart.
pub(super) struct Chunk<'a> {
    error: Option<&'a RawValue>,
    choices: SmallVec<[Choice<'a>; 1]>,
    rest: Members<'a>,
}

struct Choice<'a> {
    /// The delta or message.
    says: Option<Members<'a>>,
    rest: Members<'a>,
}

impl<'a> Chunk<'a> {
    /// Takes `members` apart; choices speak under `key`. `None` if a part is not what it should be
    /// or a name stands twice somewhere.
    pub(super) fn read(mut members: Members<'a>, key: &str) -> Option<Chunk<'a>> {
        let error = members.get("error").filter(|raw| raw.get() != "null");
        if error.is_some() {
            members.take("error");
        }
        let mut choices = SmallVec::new();
        if let Some(raw) = members.get("choices").filter(|raw| raw.get().starts_with('[')) {
            members.take("choices");
            for raw in elements(raw) {
                let mut rest = Members::of(raw)?;
                let says = match rest.take_object(key) {
                    Some(raw) => Some(Members::of(raw)?),
                    None => None,
                };
                choices.push(Choice { says, rest });
            }
        }
        Some(Chunk { error, choices, rest: members })
    }

    /// Whether there is anything of an answer in it.
    pub(super) fn is_answer(&self) -> bool {
        self.error.is_some() || !self.choices.is_empty()
    }
}
