//! What a request asks for.
//!
//! One pass over the body; nothing is kept but where the members stand that say something here.

use super::scan::{self, Key};
use crate::wire::json;
use crate::wire::request::{BodyError, Hints, View};
use serde::Deserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// See [`crate::wire::request::view`].
pub fn view(body: &[u8]) -> Result<View<'_>, BodyError> {
    let text = std::str::from_utf8(body).map_err(|error| BodyError {
        at: Some(error.valid_up_to()),
        what: Cow::Borrowed("the body is not UTF-8"),
    })?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let asked = reader
        .deserialize_map(Top)
        .and_then(|asked| reader.end().map(|()| asked))
        .map_err(|error| unreadable(text, &error))?;
    let at = |raw: &RawValue| json::offset_of(body, raw.get());

    let mut view = View::default();
    if let Some(model) = asked.model {
        view.model = Some(json::string(model).ok_or_else(|| BodyError {
            at: at(model),
            what: Cow::Borrowed("`model` must be a string"),
        })?);
        view.model_span = json::span_of(body, model);
    }
    view.stream = match asked.stream.map(|stream| (stream, stream.get())) {
        None | Some((_, "false" | "null")) => false,
        Some((_, "true")) => true,
        Some((stream, _)) => {
            return Err(BodyError {
                at: at(stream),
                what: Cow::Borrowed("`stream` must be true or false"),
            });
        }
    };
    if let Some(input) = asked.input
        && !input.get().starts_with(['"', '['])
        && input.get() != "null"
    {
        return Err(BodyError {
            at: at(input),
            what: Cow::Borrowed("`input` must be a string or an array"),
        });
    }
    view.hints = asked.hints();
    Ok(view)
}

/// The members that say something here.
#[derive(Default)]
struct Asked<'b> {
    model: Option<&'b RawValue>,
    stream: Option<&'b RawValue>,
    input: Option<&'b RawValue>,
    client_metadata: Option<&'b RawValue>,
    metadata: Option<&'b RawValue>,
    conversation: Option<&'b RawValue>,
    previous_response_id: Option<&'b RawValue>,
    prompt_cache_key: Option<&'b RawValue>,
    safety_identifier: Option<&'b RawValue>,
    user: Option<&'b RawValue>,
}

impl<'b> Asked<'b> {
    /// Hints are hints: one of a wrong type is none.
    fn hints(&self) -> Hints<'b> {
        let text = |raw: Option<&'b RawValue>| spoken(json::string(raw?));
        let inner = |raw: Option<&'b RawValue>, name| spoken(scan::string_member(raw?.get(), name));
        Hints {
            session: inner(self.client_metadata, "session_id")
                .or_else(|| inner(self.metadata, "session_id"))
                .or_else(|| text(self.conversation))
                .or_else(|| inner(self.conversation, "id"))
                .or_else(|| text(self.previous_response_id))
                .or_else(|| text(self.prompt_cache_key)),
            agent: inner(self.client_metadata, "agent_name"),
            end_user: text(self.safety_identifier).or_else(|| text(self.user)),
        }
    }
}

fn spoken(text: Option<Cow<'_, str>>) -> Option<Cow<'_, str>> {
    text.filter(|text| !text.is_empty())
}

/// Reads the top of the body and checks the rest.
struct Top;

impl<'de> Visitor<'de> for Top {
    type Value = Asked<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut asked = Asked::default();
        while let Some(Key(key)) = map.next_key()? {
            // Those that decide may stand only once; of a hint the last counts, as elsewhere.
            let decides = match &*key {
                "model" => Some((&mut asked.model, "`model` stands twice")),
                "stream" => Some((&mut asked.stream, "`stream` stands twice")),
                "input" => Some((&mut asked.input, "`input` stands twice")),
                _ => None,
            };
            if let Some((place, twice)) = decides {
                if place.is_some() {
                    return Err(A::Error::custom(twice));
                }
                *place = Some(map.next_value()?);
                continue;
            }
            let place = match &*key {
                "client_metadata" => &mut asked.client_metadata,
                "metadata" => &mut asked.metadata,
                "conversation" => &mut asked.conversation,
                "previous_response_id" => &mut asked.previous_response_id,
                "prompt_cache_key" => &mut asked.prompt_cache_key,
                "safety_identifier" => &mut asked.safety_identifier,
                "user" => &mut asked.user,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *place = Some(map.next_value()?);
        }
        Ok(asked)
    }
}

/// `serde_json` counts lines and columns; a body's reader counts bytes.
fn unreadable(text: &str, error: &serde_json::Error) -> BodyError {
    let line_start = match error.line() {
        0 | 1 => 0,
        line => memchr::memchr_iter(b'\n', text.as_bytes()).nth(line - 2).map_or(0, |at| at + 1),
    };
    let at = (line_start + error.column().saturating_sub(1)).min(text.len());
    // The library ends its words with the place, which we give in bytes.
    let words = error.to_string();
    let words = words.rfind(" at line ").map_or(&*words, |end| &words[..end]);
    let what = if error.is_data() && text.trim_start().starts_with('{') {
        words.to_owned()
    } else if error.is_data() {
        "the body must be one JSON object".to_owned()
    } else {
        format!("the body is not valid JSON: {words}")
    };
    BodyError { at: Some(at), what: Cow::Owned(what) }
}
