//! A `chat.completion.chunk` or `chat.completion` object, taken apart but not yet understood.
//!
//! All of it is read before anything is said, so that a frame is either understood whole or kept
//! whole. A member that stands twice, or a decisive one of a wrong type, makes it unreadable.
//!
//! Source: OpenAI API reference, "Chat", and what its imitators were recorded to send.

use super::members::{Extra, Unreadable, elements, members, some};
use crate::wire::json::{self, Raw};
use smallvec::SmallVec;
use std::borrow::Cow;

/// Members that say the same thing in every frame of a stream; they are reported when they change.
pub(super) const FACTS: [&str; 7] =
    ["id", "object", "created", "model", "system_fingerprint", "service_tier", "provider"];

/// The most choices of one frame, and calls of one choice, that are read.
const ENTRIES_MAX: usize = 1024;

/// Whether an object is a frame of a stream or a whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `chat.completion.chunk`: choices have a `delta`.
    Chunk,
    /// `chat.completion`: choices have a `message`.
    Whole,
}

impl Shape {
    /// The member that holds a choice's text, and the one that imitators send beside it.
    fn body_keys(self) -> (&'static str, &'static str) {
        match self {
            Shape::Chunk => ("delta", "message"),
            Shape::Whole => ("message", "delta"),
        }
    }

    /// The value of `object`.
    pub(super) fn object(self) -> &'static str {
        match self {
            Shape::Chunk => "\"chat.completion.chunk\"",
            Shape::Whole => "\"chat.completion\"",
        }
    }
}

pub(super) type Extras<'a> = SmallVec<[Extra<'a>; 2]>;

/// The whole object.
#[derive(Default)]
pub(super) struct Chunk<'a> {
    /// Values in the order of [`FACTS`].
    pub facts: [Option<Raw<'a>>; FACTS.len()],
    pub choices: SmallVec<[Choice<'a>; 1]>,
    pub usage: Option<Raw<'a>>,
    pub error: Option<Raw<'a>>,
    pub extras: Extras<'a>,
}

/// One choice.
pub(super) struct Choice<'a> {
    pub index: u16,
    pub body: Body<'a>,
    pub finish: Option<Cow<'a, str>>,
    pub extras: Extras<'a>,
}

/// A delta or message.
#[derive(Default)]
pub(super) struct Body<'a> {
    pub role: Option<Raw<'a>>,
    /// Values in the order of [`TEXTS`].
    pub texts: [Option<Raw<'a>>; TEXTS.len()],
    pub calls: SmallVec<[Call<'a>; 1]>,
    pub function_call: Option<Call<'a>>,
    pub extras: Extras<'a>,
}

/// Members of a delta or message that hold text, in the order in which events tell them.
pub(super) const TEXTS: [&str; 5] =
    ["reasoning_content", "reasoning", "reasoning_details", "content", "refusal"];

/// An entry of `tool_calls`.
#[derive(Default)]
pub(super) struct Call<'a> {
    pub index: Option<u16>,
    pub id: Cow<'a, str>,
    pub name: Cow<'a, str>,
    /// A type other than `function` and `custom`.
    pub kind: Option<Raw<'a>>,
    pub is_custom: bool,
    pub arguments: Option<Raw<'a>>,
    /// What else stands inside `function`.
    pub function_extras: Extras<'a>,
    pub extras: Extras<'a>,
}

impl<'a> Chunk<'a> {
    /// Takes an object apart.
    pub(super) fn parse(shape: Shape, object: Raw<'a>) -> Result<Chunk<'a>, Unreadable> {
        let mut chunk = Chunk::default();
        let (mut choices, mut usage, mut error) = (None, None, None);
        for (key, value) in members(object)? {
            match &*key {
                "choices" => choices = Some(value),
                "usage" => usage = Some(value),
                "error" => error = Some(value),
                other => match FACTS.iter().position(|fact| *fact == other) {
                    Some(fact) => chunk.facts[fact] = Some(value),
                    None => chunk.extras.push((key, value)),
                },
            }
        }
        chunk.facts = chunk.facts.map(some);
        chunk.error = some(error);
        match some(usage) {
            Some(usage) if !usage.is_object() => chunk.extras.push((Cow::Borrowed("usage"), usage)),
            usage => chunk.usage = usage,
        }
        if let Some(choices) = some(choices) {
            let entries = elements(choices)?;
            if entries.len() > ENTRIES_MAX {
                return Err(Unreadable);
            }
            for (position, entry) in entries.into_iter().enumerate() {
                chunk.choices.push(Choice::parse(shape, position, entry)?);
            }
        } else if chunk.usage.is_none()
            && chunk.error.is_none()
            && !chunk.object_is(Shape::Chunk)
            && !chunk.object_is(Shape::Whole)
        {
            // Nothing says that it belongs to an answer, unless there is an empty list of choices.
            return if choices.is_some() { Ok(chunk) } else { Err(Unreadable) };
        }
        Ok(chunk)
    }

    fn object_is(&self, shape: Shape) -> bool {
        self.facts[1].is_some_and(|object| object.get() == shape.object())
    }
}

impl<'a> Choice<'a> {
    fn parse(shape: Shape, position: usize, entry: Raw<'a>) -> Result<Choice<'a>, Unreadable> {
        let (mut index, mut body, mut finish) = (None, None, None);
        let mut beside: Option<Raw<'_>> = None;
        let mut extras = Extras::new();
        let (body_key, beside_key) = shape.body_keys();
        for (key, value) in members(entry)? {
            match &*key {
                "index" => index = Some(value),
                "finish_reason" => finish = Some(value),
                "logprobs" if value.get() == "null" => {}
                other if other == body_key => body = Some(value),
                other if other == beside_key => beside = Some(value),
                _ => extras.push((key, value)),
            }
        }
        // A copy beside the real one is carried on; alone, it is the real one.
        let body = match (some(body), some(beside)) {
            (Some(body), Some(copy)) => {
                extras.push((Cow::Borrowed(beside_key), copy));
                Some(body)
            }
            (body, beside) => body.or(beside),
        };
        let index = match some(index) {
            Some(index) => index.get().parse().map_err(|_| Unreadable)?,
            None => u16::try_from(position).map_err(|_| Unreadable)?,
        };
        let finish = match some(finish) {
            Some(reason) => Some(json::string(reason).ok_or(Unreadable)?),
            None => None,
        };
        Ok(Choice {
            index,
            body: body.map_or(Ok(Body::default()), |body| Body::parse(shape, body))?,
            finish: finish.filter(|reason| !reason.is_empty()),
            extras,
        })
    }
}

impl<'a> Body<'a> {
    fn parse(shape: Shape, raw: Raw<'a>) -> Result<Body<'a>, Unreadable> {
        let mut body = Body::default();
        let (mut calls, mut function_call) = (None, None);
        for (key, value) in members(raw)? {
            match &*key {
                "role" => body.role = Some(value),
                "tool_calls" => calls = Some(value),
                "function_call" => function_call = Some(value),
                other => match TEXTS.iter().position(|text| *text == other) {
                    Some(text) => body.texts[text] = Some(value),
                    None => body.extras.push((key, value)),
                },
            }
        }
        body.role = some(body.role).filter(|role| !matches!(role.get(), "\"assistant\"" | "\"\""));
        body.texts = body.texts.map(some);
        if let Some(calls) = some(calls) {
            let entries = elements(calls)?;
            if entries.len() > ENTRIES_MAX {
                return Err(Unreadable);
            }
            for (position, entry) in entries.into_iter().enumerate() {
                let mut call = Call::parse(entry)?;
                if shape == Shape::Whole {
                    call.index = Some(u16::try_from(position).map_err(|_| Unreadable)?);
                }
                body.calls.push(call);
            }
        }
        if let Some(raw) = some(function_call) {
            let mut call = Call::default();
            call.function(raw, "arguments")?;
            if call.name.is_empty() && call.arguments.is_none_or(|raw| raw.get() == "\"\"") {
                body.extras.push((Cow::Borrowed("function_call"), raw));
            } else {
                body.function_call = Some(call);
            }
        }
        Ok(body)
    }
}

impl<'a> Call<'a> {
    fn parse(entry: Raw<'a>) -> Result<Call<'a>, Unreadable> {
        let mut call = Call::default();
        let (mut index, mut id, mut kind) = (None, None, None);
        let (mut function, mut custom) = (None, None);
        for (key, value) in members(entry)? {
            match &*key {
                "index" => index = Some(value),
                "id" => id = Some(value),
                "type" => kind = Some(value),
                "function" => function = Some(value),
                "custom" => custom = Some(value),
                _ => call.extras.push((key, value)),
            }
        }
        if let Some(index) = some(index) {
            let number: u16 = index.get().parse().map_err(|_| Unreadable)?;
            call.index = Some(if number < u16::MAX - 1 { number } else { return Err(Unreadable) });
        }
        if let Some(id) = some(id) {
            call.id = json::string(id).unwrap_or(Cow::Borrowed(id.get()));
        }
        call.kind = some(kind).filter(|kind| !matches!(kind.get(), "\"function\"" | "\"\""));
        match (some(function), some(custom)) {
            (None, Some(custom)) => {
                call.is_custom = true;
                call.kind = call.kind.filter(|kind| kind.get() != "\"custom\"");
                call.function(custom, "input")?;
            }
            (function, custom) => {
                if let Some(function) = function {
                    call.function(function, "arguments")?;
                }
                call.extras.extend(custom.map(|custom| (Cow::Borrowed("custom"), custom)));
            }
        }
        Ok(call)
    }

    /// Reads `function` (or `custom`), whose text is called `text_key`.
    fn function(&mut self, raw: Raw<'a>, text_key: &str) -> Result<(), Unreadable> {
        let (mut name, mut arguments) = (None, None);
        for (key, value) in members(raw)? {
            match &*key {
                "name" => name = Some(value),
                other if other == text_key => arguments = Some(value),
                _ => self.function_extras.push((key, value)),
            }
        }
        if let Some(name) = some(name) {
            self.name = json::string(name).ok_or(Unreadable)?;
        }
        self.arguments = some(arguments).filter(|raw| !raw.is_string() || raw.get().len() > 2);
        Ok(())
    }
}
