//! The model that a call names which is no answer of a dialect: in its path, its query, or a JSON body.
//!
//! Nothing else is read of such a call. A form's model is read by [`form`](super::form).

use super::event::Span;
use super::form;
use super::json;
use super::percent;
use super::request::BodyError;
use super::view::Top;
use serde::de::IgnoredAny;
use smallvec::SmallVec;
use std::borrow::Cow;

/// Where a body names its model, so that a route may replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// As a JSON string, between its quotes.
    Json(Span),
    /// As the value of a form's field.
    Field {
        /// First byte.
        start: usize,
        /// One past the last byte.
        end: usize,
    },
}

impl Named {
    /// The bytes of the name.
    pub fn range(self) -> std::ops::Range<usize> {
        match self {
            Named::Json(span) => span.start as usize..span.end as usize,
            Named::Field { start, end } => start..end,
        }
    }
}

/// The model that a JSON body of no dialect names, and where; nothing else is read of it. With
/// `is_strict` no member may be taken for it by readers that look at no case.
///
/// # Errors
/// It is no JSON object, or its `model` is no string or stands there twice.
pub fn in_json(body: &[u8], is_strict: bool) -> Result<Option<(Cow<'_, str>, Named)>, BodyError> {
    let top = Top::read(body, &["model"], &[])?;
    let is_like_it = |name: &str| name != "model" && name.eq_ignore_ascii_case("model");
    let text = std::str::from_utf8(body).unwrap_or_default().trim_ascii_start();
    if is_strict && json::members(text).any(|(name, _)| is_like_it(&name)) {
        return Err(BodyError { at: None, what: "`model` is written in another case".into() });
    }
    let Some(raw) = top.get("model").filter(|raw| raw.get() != "null") else { return Ok(None) };
    let found = json::string(raw).zip(json::span_of(body, raw).map(Named::Json));
    found.map(Some).ok_or_else(|| top.wrong(raw, "`model` must be a string"))
}

/// The same of the first of several values: lines of JSON.
///
/// # Errors
/// As [`in_json`]; or what follows the first value is none.
pub fn in_first(body: &[u8], is_strict: bool) -> Result<Option<(Cow<'_, str>, Named)>, BodyError> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<IgnoredAny>();
    let first = values.next().is_some_and(|value| value.is_ok()).then(|| values.byte_offset());
    let lines = first.filter(|end| body[*end..].trim_ascii_start().starts_with(b"{"));
    in_json(lines.map_or(body, |end| &body[..end]), is_strict)
}

/// The models that path and query of a call name that is no answer of a dialect, as it comes or as
/// it goes to a provider: Gemini's `/models/{model}:{verb}`, Bedrock's `/model/{model}/..`, Azure's
/// `/deployments/{model}/..`, OpenAI's `/engines/{model}/..` of old, and `model=` in a query, as
/// realtime sessions have it.
pub fn in_target<'p>(path: &'p str, query: Option<&'p str>) -> SmallVec<[Cow<'p, str>; 2]> {
    let mut found = SmallVec::new();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let Some(next) = segments.peek().copied() else { break };
        let name = match segment {
            "model" | "deployments" | "engines" => Some(next),
            "models" | "tunedModels" => next.rsplit_once(':').map(|(name, _)| name),
            _ => None,
        };
        found.extend(name.filter(|name| !name.is_empty()).map(percent::text));
    }
    let pairs = query.map(form::pairs).into_iter().flatten();
    found.extend(pairs.filter(|(name, _)| name == "model").map(|(_, model)| model));
    found
}

/// `models/x` as `x`: Gemini's own libraries write both.
pub fn id(name: &str) -> &str {
    name.strip_prefix("models/").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_calls_that_are_not_read() {
        for (path, query, model) in [
            ("/v1beta/models/gemini-x:embedContent", None, Some("gemini-x")),
            ("/v1beta/models/gemini-x", None, None),
            ("/v1/models/gpt-4o", None, None),
            ("/model/anthropic.claude%3A0/invoke", None, Some("anthropic.claude:0")),
            ("/openai/deployments/chat/embeddings", Some("api-version=1"), Some("chat")),
            ("/v1/realtime", Some("a=b&model=gpt-realtime"), Some("gpt-realtime")),
            ("/v1/realtime", Some("mod%65l=gpt+realtime"), Some("gpt realtime")),
            ("/v1/files", Some("models=x"), None),
            ("/models/e:embedContent", None, Some("e")),
            ("/base/v1beta/tunedModels/e:embedContent", None, Some("e")),
            ("/v1/engines/e/embeddings", None, Some("e")),
        ] {
            assert_eq!(in_target(path, query).first().map(|name| &**name), model, "{path}");
        }
    }
}
