//! A view of what is asked. The model stands in the path, not in the body.

use super::grammar::Word;
use crate::wire::request::{BodyError, Hints, View};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// See [`crate::wire::request::view`].
///
/// # Errors
/// The body is not one JSON object, or says `contents`, `labels` or another deciding member twice.
pub fn view(body: &[u8]) -> Result<View<'_>, BodyError> {
    crate::wire::view::shallow(body)?;
    let text = std::str::from_utf8(body).map_err(|error| BodyError {
        at: Some(error.valid_up_to()),
        what: "the body is not UTF-8".into(),
    })?;
    let request: Request<'_> = serde_json::from_str(text).map_err(|error| said(text, &error))?;
    let hints = Hints { session: request.session, ..Hints::default() };
    Ok(View { hints, ..View::default() })
}

/// What is wrong with `body`, and where.
fn said(body: &str, error: &serde_json::Error) -> BodyError {
    let line = error.line().saturating_sub(1);
    let begin: usize = body.split_inclusive('\n').take(line).map(str::len).sum();
    let at = (begin + error.column().saturating_sub(1)).min(body.len());
    let whole = error.to_string();
    let what = whole.rsplit_once(" at line ").map_or(&*whole, |(what, _)| what);
    BodyError { at: Some(at), what: Cow::Owned(format!("the body is not a request: {what}")) }
}

/// Members that decide something, and so may stand only once. Google reads both spellings.
const DECIDING: [&str; 8] = [
    "contents",
    "labels",
    "tools",
    "toolConfig",
    "systemInstruction",
    "system_instruction",
    "generationConfig",
    "safetySettings",
];

/// A request, checked but for the most part not kept.
struct Request<'a> {
    session: Option<Cow<'a, str>>,
}

impl<'de> Deserialize<'de> for Request<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Request<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut request = Request { session: None };
                let mut seen = [false; DECIDING.len()];
                while let Some(Word(key)) = map.next_key()? {
                    if let Some(at) = DECIDING.iter().position(|name| *name == key)
                        && let Some(seen) = seen.get_mut(at)
                        && std::mem::replace(seen, true)
                    {
                        let name = DECIDING.get(at).unwrap_or(&"");
                        return Err(A::Error::custom(format!("`{name}` stands twice")));
                    }
                    if key == "labels" {
                        request.session = map.next_value::<Labels<'de>>()?.0;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(request)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The session that Vertex's `labels` name, if they do.
struct Labels<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Labels<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde_json::value::RawValue;
        let raw = <&RawValue>::deserialize(deserializer)?;
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Named<'a> {
            #[serde(borrow)]
            session_id: Option<Word<'a>>,
        }
        // Labels of another shape are the provider's to refuse.
        let named: Named<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
        Ok(Labels(named.session_id.map(|word| word.0)))
    }
}
