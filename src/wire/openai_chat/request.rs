//! What a request asks for.
//!
//! The body is read once from end to end and no tree is built: values that decide nothing are
//! checked and skipped. A member that decides something may stand only once, because a reader
//! behind us could take the other one.

use super::members::{members, some};
use crate::wire::event::{Form, Span};
use crate::wire::json::{self, offset_of};
use crate::wire::request::{BodyError, Hints, View};
use crate::wire::view::shallow;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Members that decide, or that say who is asking.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Model,
    Stream,
    Messages,
    Metadata,
    PromptCacheKey,
    SafetyIdentifier,
    User,
    Other,
}

impl Name {
    fn of(name: &str) -> Name {
        match name {
            "model" => Name::Model,
            "stream" => Name::Stream,
            "messages" => Name::Messages,
            "metadata" => Name::Metadata,
            "prompt_cache_key" => Name::PromptCacheKey,
            "safety_identifier" => Name::SafetyIdentifier,
            "user" => Name::User,
            _ => Name::Other,
        }
    }
}

/// The values of the members of [`Name`], raw.
#[derive(Default)]
struct Found<'b> {
    values: [Option<&'b RawValue>; 7],
    /// The first member that decides and stands twice.
    twice: Option<&'static str>,
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Name;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
        Ok(Name::of(name))
    }
}

impl<'de> serde::Deserialize<'de> for Found<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bodies;
        impl<'de> Visitor<'de> for Bodies {
            type Value = Found<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
                let mut found = Found::default();
                while let Some(name) = map.next_key_seed(NameSeed)? {
                    let decides = match name {
                        Name::Model => Some("model"),
                        Name::Stream => Some("stream"),
                        Name::Messages => Some("messages"),
                        Name::Metadata
                        | Name::PromptCacheKey
                        | Name::SafetyIdentifier
                        | Name::User => None,
                        Name::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    let value = map.next_value::<&RawValue>()?;
                    let place = &mut found.values[name as usize];
                    if place.is_some() {
                        found.twice = found.twice.or(decides);
                    } else {
                        *place = Some(value);
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Bodies)
    }
}

/// See [`crate::wire::request::view`].
///
/// # Errors
/// Says what is wrong, where, and what to send instead.
pub fn view(body: &[u8]) -> Result<View<'_>, BodyError> {
    shallow(body)?;
    let text = std::str::from_utf8(body).map_err(|error| {
        let what = "the body is not UTF-8; send one JSON object in UTF-8";
        BodyError { at: Some(error.valid_up_to()), what: what.into() }
    })?;
    let found: Found<'_> = serde_json::from_str(text).map_err(|error| not_json(body, &error))?;
    if let Some(name) = found.twice {
        let what = format!("`{name}` stands twice in the body; send it once");
        return Err(BodyError { at: None, what: what.into() });
    }
    let value = |name: Name| some(found.values[name as usize]);
    let mut view = View::default();
    if let Some(model) = found.values[Name::Model as usize] {
        view.model =
            Some(json::string(model).ok_or_else(|| wrong(body, model, "model", "a string"))?);
        view.model_span = span(body, model);
    }
    if let Some(stream) = value(Name::Stream) {
        view.stream = match stream.get() {
            "true" => true,
            "false" => false,
            _ => return Err(wrong(body, stream, "stream", "true or false")),
        };
    }
    if let Some(messages) = found.values[Name::Messages as usize]
        && !messages.get().starts_with('[')
    {
        return Err(wrong(body, messages, "messages", "a list"));
    }
    let text = |name| value(name).and_then(json::string).filter(|text| !text.is_empty());
    view.hints = Hints {
        session: value(Name::Metadata).and_then(session_of).or_else(|| text(Name::PromptCacheKey)),
        agent: None,
        end_user: text(Name::SafetyIdentifier).or_else(|| text(Name::User)),
    };
    Ok(view)
}

/// `session_id` of the metadata, or of the JSON in their `user_id` as some agents send it.
fn session_of(metadata: &RawValue) -> Option<Cow<'_, str>> {
    let found = members(metadata.get()).ok()?;
    let text = |name: &str| {
        let value = found.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)?;
        json::string(value).filter(|text| !text.is_empty())
    };
    text("session_id").or_else(|| {
        let inner = text("user_id").filter(|inner| inner.starts_with('{'))?;
        let found = members(&inner).ok()?;
        let (_, value) = found.0.iter().find(|(key, _)| key == "session_id")?;
        let session = json::string(value)?.into_owned();
        (!session.is_empty()).then_some(Cow::Owned(session))
    })
}

fn span(body: &[u8], raw: &RawValue) -> Option<Span> {
    json::span_of(body, raw).filter(|span| span.form == Form::Quoted)
}

fn wrong(body: &[u8], raw: &RawValue, name: &str, expected: &str) -> BodyError {
    let at = offset_of(body, raw.get());
    let what = format!("`{name}` must be {expected}, but is {}", kind(raw.get()));
    BodyError { at, what: what.into() }
}

fn kind(text: &str) -> &'static str {
    match text.bytes().next() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn not_json(body: &[u8], error: &serde_json::Error) -> BodyError {
    let reason = error.to_string();
    let reason = reason.split(" at line ").next().unwrap_or(&reason).to_owned();
    let what = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => "the body is empty; send one JSON object".to_owned(),
        Some(b'{') => format!("the body is not valid JSON ({reason}); send one JSON object"),
        Some(_) => "the body is not a JSON object; send one JSON object".to_owned(),
    };
    BodyError { at: offset(body, error.line(), error.column()), what: what.into() }
}

/// The byte that a line and a column, both from 1, stand for.
fn offset(body: &[u8], line: usize, column: usize) -> Option<usize> {
    let lines_before = line.checked_sub(1)?;
    let start = match lines_before.checked_sub(1) {
        None => 0,
        Some(nth) => memchr::memchr_iter(b'\n', body).nth(nth)? + 1,
    };
    Some((start + column.saturating_sub(1)).min(body.len()))
}
