//! One pass over a request's body: what its decisive members say, and that the rest is JSON.
//!
//! Shared by all dialects. The whole body is checked, nothing is copied, and a member that decides
//! something may stand only once, so that no reader behind us can take another one for it.

use super::json;
use super::members::{Members, Name};
use super::request::{BodyError, View};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;

/// How deep a body may nest: as deep as `serde_json` reads trees.
const DEPTH_MAX: usize = 128;

/// Refuses a body that nests deeper than [`DEPTH_MAX`]: a reader behind us may fall over it.
pub(super) fn shallow(body: &[u8]) -> Result<(), BodyError> {
    match too_deep(body) {
        None => Ok(()),
        Some(at) => {
            let what = format!("the body nests more than {DEPTH_MAX} levels deep; flatten it");
            Err(BodyError { at: Some(at), what: what.into() })
        }
    }
}

/// The text of a body that nests no deeper than [`DEPTH_MAX`].
pub(super) fn text(body: &[u8]) -> Result<&str, BodyError> {
    shallow(body)?;
    std::str::from_utf8(body).map_err(|error| BodyError {
        at: Some(error.valid_up_to()),
        what: Cow::Borrowed("the body is not UTF-8"),
    })
}

/// The members of a body that were asked for.
pub(super) struct Top<'b> {
    body: &'b [u8],
    found: SmallVec<[(&'static str, &'b RawValue); 8]>,
}

impl<'b> Top<'b> {
    /// Reads `body`. Members of `once` may stand only once; of `hints` the last counts.
    pub(super) fn read(
        body: &'b [u8],
        once: &'static [&'static str],
        hints: &'static [&'static str],
    ) -> Result<Top<'b>, BodyError> {
        let text = text(body)?;
        let mut reader = serde_json::Deserializer::from_str(text);
        let found = Wanted { once, hints }
            .deserialize(&mut reader)
            .and_then(|found| reader.end().map(|()| found))
            .map_err(|error| unreadable(text, &error))?;
        Ok(Top { body, found })
    }

    /// The value of a member.
    pub(super) fn get(&self, name: &str) -> Option<&'b RawValue> {
        self.found.iter().rfind(|(key, _)| *key == name).map(|(_, raw)| *raw)
    }

    /// The text of a member, if it is one and not empty: a hint of another type is none.
    pub(super) fn hint(&self, name: &str) -> Option<Cow<'b, str>> {
        spoken(self.get(name))
    }

    /// The text of a member's own member.
    pub(super) fn hint_in(&self, name: &str, inner: &str) -> Option<Cow<'b, str>> {
        spoken(Members::of(self.get(name)?)?.get(inner))
    }

    /// Model and stream, as every dialect but Gemini's names them.
    pub(super) fn view(&self) -> Result<View<'b>, BodyError> {
        let mut view = View::default();
        if let Some(raw) = self.get("model") {
            let model =
                json::string(raw).ok_or_else(|| self.wrong(raw, "`model` must be a string"))?;
            view.model = Some(model);
            view.model_span = json::span_of(self.body, raw);
        }
        view.stream = match self.get("stream").map(|raw| (raw, raw.get())) {
            None | Some((_, "false" | "null")) => false,
            Some((_, "true")) => true,
            Some((raw, _)) => return Err(self.wrong(raw, "`stream` must be true or false")),
        };
        Ok(view)
    }

    /// Checks that a member, where it is given, is an array.
    pub(super) fn array(&self, name: &str, what: &'static str) -> Result<(), BodyError> {
        match self.get(name) {
            Some(raw) if !raw.get().starts_with('[') => Err(self.wrong(raw, what)),
            Some(_) | None => Ok(()),
        }
    }

    /// A complaint about a member.
    pub(super) fn wrong(&self, raw: &RawValue, what: &'static str) -> BodyError {
        BodyError { at: json::offset_of(self.body, raw.get()), what: Cow::Borrowed(what) }
    }
}

fn spoken(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    json::string(raw?).filter(|text| !text.is_empty())
}

/// Reads the top of the body and checks the rest.
struct Wanted {
    once: &'static [&'static str],
    hints: &'static [&'static str],
}

impl<'de> DeserializeSeed<'de> for Wanted {
    type Value = SmallVec<[(&'static str, &'de RawValue); 8]>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted {
    type Value = SmallVec<[(&'static str, &'de RawValue); 8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found: Self::Value = SmallVec::new();
        while let Some(Name(key)) = map.next_key()? {
            let is_key = |name: &&&'static str| ***name == *key;
            if let Some(&name) = self.once.iter().find(is_key) {
                if found.iter().any(|(known, _)| *known == name) {
                    return Err(A::Error::custom(format!("`{name}` stands twice")));
                }
                found.push((name, map.next_value()?));
            } else if let Some(&name) = self.hints.iter().find(is_key) {
                let raw = map.next_value()?;
                match found.iter_mut().find(|(known, _)| *known == name) {
                    Some(known) => known.1 = raw,
                    None => found.push((name, raw)),
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// `serde_json` counts lines and columns; a body's reader counts bytes.
pub(super) fn unreadable(text: &str, error: &serde_json::Error) -> BodyError {
    let line_start = match error.line() {
        0 | 1 => 0,
        line => memchr::memchr_iter(b'\n', text.as_bytes()).nth(line - 2).map_or(0, |at| at + 1),
    };
    let at = (line_start + error.column().saturating_sub(1)).min(text.len());
    // The library ends its words with the place, which we give in bytes.
    let words = error.to_string();
    let words = words.rfind(" at line ").map_or(&*words, |end| &words[..end]);
    let what = if text.trim_ascii().is_empty() {
        "the body is empty; send one JSON object".to_owned()
    } else if error.is_data() && text.trim_start().starts_with('{') {
        words.to_owned()
    } else if error.is_data() {
        "the body must be one JSON object".to_owned()
    } else {
        format!("the body is not valid JSON: {words}")
    };
    BodyError { at: Some(at), what: Cow::Owned(what) }
}

/// Where `body` nests deeper than [`DEPTH_MAX`]. `serde_json` counts no levels in what it skips.
fn too_deep(body: &[u8]) -> Option<usize> {
    // Few brackets cannot nest deep.
    let opens = memchr::memchr2_iter(b'[', b'{', body).take(DEPTH_MAX + 1).count();
    if opens <= DEPTH_MAX {
        return None;
    }
    let (mut at, mut depth) = (0, 0usize);
    while let Some(&byte) = body.get(at) {
        match byte {
            b'"' => at = json::closing_quote(body, at + 1).unwrap_or(body.len()),
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Some(at);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}
