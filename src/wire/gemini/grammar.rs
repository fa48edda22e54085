//! The shapes of a response, read in one pass and lent from the frame.
//!
//! Each object keeps the members that it does not name, in order. A member that it names may stand
//! only once, and must have its type; else the whole response is not understood.

use crate::wire::event::{Counts, Kind, Place, StopReason};
use crate::wire::json;
pub(super) use crate::wire::json::Inner;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// Candidates that one answer may have; the API allows 8.
pub(super) const CANDIDATES_MAX: usize = 64;
/// Parts that one candidate may have in one response.
pub(super) const PARTS_MAX: usize = 4096;
/// Responses that a body may hold as an array.
pub(super) const RESPONSES_MAX: usize = 1 << 16;

/// A string, lent where it holds no escape.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Word<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A raw value that is a string.
#[derive(Debug)]
pub(super) struct Quoted<'a>(pub(super) &'a RawValue);

impl<'de> serde::Deserialize<'de> for Quoted<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('"') {
            Ok(Quoted(raw))
        } else {
            Err(D::Error::custom("expected a string"))
        }
    }
}

/// An array of at most `MAX` elements.
#[derive(Debug)]
pub(super) struct List<T, const MAX: usize>(pub(super) Vec<T>);

impl<'de, T: serde::Deserialize<'de>, const MAX: usize> serde::Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: serde::Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
            type Value = List<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array of at most {MAX} elements")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element()? {
                    if list.len() == MAX {
                        return Err(A::Error::invalid_length(MAX + 1, &self));
                    }
                    list.push(element);
                }
                Ok(List(list))
            }
        }
        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

/// An object: its named members, and the others in `rest`.
macro_rules! object {
    ($(#[$about:meta])* $name:ident { $($field:ident: $type:ty = $key:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Default)]
        pub(super) struct $name<'a> {
            $(pub(super) $field: Option<$type>,)*
            pub(super) rest: Vec<(Cow<'a, str>, &'a RawValue)>,
        }

        impl<'de> serde::Deserialize<'de> for $name<'de> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members;
                impl<'de> Visitor<'de> for Members {
                    type Value = $name<'de>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut object = $name::default();
                        while let Some(Word(key)) = map.next_key()? {
                            match &*key {
                                $($key => {
                                    if object.$field.is_some() {
                                        return Err(A::Error::duplicate_field($key));
                                    }
                                    object.$field = map.next_value()?;
                                })*
                                _ => object.rest.push((key, map.next_value()?)),
                            }
                        }
                        Ok(object)
                    }
                }
                deserializer.deserialize_map(Members)
            }
        }
    };
}

object! {
    /// `GenerateContentResponse`, or the error that stands in its place.
    Response {
        candidates: List<Candidate<'a>, CANDIDATES_MAX> = "candidates",
        usage: &'a RawValue = "usageMetadata",
        id: &'a RawValue = "responseId",
        model: &'a RawValue = "modelVersion",
        error: &'a RawValue = "error",
    }
}

object! {
    /// One candidate; Vertex leaves out an `index` of 0, and `content` when it has blocked it.
    Candidate {
        index: u16 = "index",
        content: Content<'a> = "content",
        finish: &'a RawValue = "finishReason",
    }
}

object! {
    /// A candidate's content; `parts` is missing when all of it was thinking.
    Content {
        parts: List<Part<'a>, PARTS_MAX> = "parts",
        role: &'a RawValue = "role",
    }
}

object! {
    /// One part: text, a call, or data that `rest` holds.
    Part {
        text: Quoted<'a> = "text",
        thought: bool = "thought",
        signature: Word<'a> = "thoughtSignature",
        call: FunctionCall<'a> = "functionCall",
    }
}

object! {
    /// A call of a function.
    FunctionCall {
        id: Word<'a> = "id",
        name: Word<'a> = "name",
        args: &'a RawValue = "args",
    }
}

impl<'a> Response<'a> {
    /// Reads one response; `None` if it is none that we understand.
    ///
    /// Two candidates of one index are not understood: readers would not agree on which counts.
    pub(super) fn parse(json: &'a [u8]) -> Option<Response<'a>> {
        let response: Response<'a> = serde_json::from_slice(json).ok()?;
        let candidates = response.candidates();
        let twice = candidates.iter().enumerate().any(|(at, candidate)| {
            let earlier = candidates.get(..at).unwrap_or_default();
            earlier.iter().enumerate().any(|(before, other)| other.at(before) == candidate.at(at))
        });
        (!twice).then_some(response)
    }

    /// The candidates, none if the member is missing.
    pub(super) fn candidates(&self) -> &[Candidate<'a>] {
        self.candidates.as_ref().map_or(&[], |list| &list.0)
    }

    /// Whether it has no member that says anything.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_answer() && self.error.is_none() && self.rest.is_empty()
    }

    /// Whether it has a member of an answer, so that the answer has begun.
    pub(super) fn is_answer(&self) -> bool {
        self.candidates.is_some()
            || self.usage.is_some()
            || self.id.is_some()
            || self.model.is_some()
            || self.rest.iter().any(|(key, _)| key == FEEDBACK)
    }
}

impl Candidate<'_> {
    /// The candidate's index; where it has none, its position in the array.
    pub(super) fn at(&self, position: usize) -> u16 {
        self.index.unwrap_or_else(|| u16::try_from(position).unwrap_or(u16::MAX))
    }
}

/// The member that says that a prompt was blocked.
pub(super) const FEEDBACK: &str = "promptFeedback";
/// What keys of a call's further members begin with in events.
pub(super) const CALL: &str = "functionCall.";

/// Why the prompt was blocked, if it was, out of a `promptFeedback`.
pub(super) fn block_reason(feedback: &str) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    struct Feedback<'a> {
        #[serde(borrow, rename = "blockReason")]
        reason: Option<Word<'a>>,
    }
    let feedback: Feedback<'_> = serde_json::from_str(feedback).ok()?;
    feedback.reason.map(|word| word.0).filter(|reason| reason != "BLOCK_REASON_UNSPECIFIED")
}

/// The shared counts of a `usageMetadata`.
///
/// Gemini counts thinking beside the candidates and the results of its own tools beside the
/// prompt; here they are part of `output` and `input`, as in the other dialects.
pub(super) fn counts(usage: &str) -> Counts {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Usage {
        #[serde(rename = "promptTokenCount")]
        prompt: Option<u64>,
        #[serde(rename = "toolUsePromptTokenCount")]
        tool_use: Option<u64>,
        #[serde(rename = "candidatesTokenCount")]
        candidates: Option<u64>,
        #[serde(rename = "thoughtsTokenCount")]
        thoughts: Option<u64>,
        #[serde(rename = "cachedContentTokenCount")]
        cached: Option<u64>,
    }
    let usage: Usage = serde_json::from_str(usage).unwrap_or_default();
    let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (None, None) => None,
        (one, other) => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
    };
    Counts {
        input: sum(usage.prompt, usage.tool_use),
        output: sum(usage.candidates, usage.thoughts),
        cache_read: usage.cached,
        cache_write: None,
        reasoning: usage.thoughts,
    }
}

/// The shared stop reason of a `finishReason`; Gemini also says `STOP` after calls.
pub(super) fn stop_reason(native: &str, called: bool) -> StopReason {
    match native {
        "STOP" if called => StopReason::ToolUse,
        "STOP" => StopReason::EndTurn,
        "MAX_TOKENS" => StopReason::MaxTokens,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "LANGUAGE"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => StopReason::ContentFilter,
        "MALFORMED_FUNCTION_CALL"
        | "MALFORMED_RESPONSE"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE" => StopReason::Error,
        _ => StopReason::Other,
    }
}

/// The `finishReason` for a stop of another dialect.
pub(super) fn finish_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn
        | StopReason::StopSequence
        | StopReason::ToolUse
        | StopReason::Pause => "STOP",
        StopReason::MaxTokens => "MAX_TOKENS",
        StopReason::ContentFilter | StopReason::Refusal => "SAFETY",
        StopReason::Error | StopReason::Other => "OTHER",
    }
}

/// What the strings of a verbatim member are.
pub(super) fn kind_of(key: &str) -> Kind {
    match key {
        "groundingMetadata"
        | "citationMetadata"
        | "urlContextMetadata"
        | "groundingAttributions" => Kind::Citation,
        // Tokens of the answer, once more.
        "logprobsResult" => Kind::Answer,
        "executableCode" | "toolCall" => Kind::ToolArguments,
        "codeExecutionResult" | "toolResponse" | "functionResponse" => Kind::ToolResult,
        _ if key.starts_with(CALL) => Kind::ToolArguments,
        _ => Kind::Other,
    }
}

/// The string values of the verbatim member `key` that must be judged, in order.
///
/// Left out are words of the API's own (`safetyRatings`, times, ids) and the data of pictures,
/// sound and film.
pub(super) fn inner<'a>(
    place: Place,
    key: &str,
    json: &'a str,
) -> impl Iterator<Item = Inner<'a>> + use<'a> {
    let skipped = match place {
        Place::Frame => matches!(key, "createTime" | "responseId" | "modelVersion"),
        Place::Choice(_) => matches!(key, "safetyRatings" | "finishReason"),
        Place::Delta(_) => key == "role",
        Place::Block(_) | Place::Message => false,
    };
    let media = key == "inlineData" && is_media(json);
    json::strings(if skipped { "" } else { json })
        .filter(move |inner| !(media && inner.key == "data"))
}

/// Whether an `inlineData` says that it is a picture, sound or film.
fn is_media(json: &str) -> bool {
    let mut types = json::strings(json).filter(|inner| inner.key == "mimeType");
    let first = types.next().map_or("", |inner| inner.text);
    ["image/", "audio/", "video/"].iter().any(|media| first.starts_with(media))
        && types.next().is_none()
}
