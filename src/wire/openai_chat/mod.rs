//! OpenAI Chat Completions, and the many that imitate it.
//!
//! A stream is frames of `chat.completion.chunk` and `[DONE]`; a whole answer is one
//! `chat.completion`. Both are the same object but for `delta` and `message`, so both are read by
//! `answer` and written by `write`. What always holds:
//!
//! - every frame yields at least one event; a frame that says nothing is a [`Event::Ping`], one
//!   that is not understood whole is kept whole as [`Event::Opaque`];
//! - a member that is not known is told as [`Event::Extra`]; `null` in a known member says nothing;
//! - what was decoded, encoded for the same dialect and decoded again says the same.
//!
//! Channels: answer, refusal and `reasoning_content` run on block 0, part 0; `reasoning` on part 1;
//! the entries of `reasoning_details` on parts 2 + 2 x index (`text`) and one more (`summary`).
//! Providers that send several of these send the same text several times; each copy is a channel
//! of its own, so that each is judged. A call runs on block 1 + its index, a legacy
//! `function_call` on the last block there is.
//!
//! Source: OpenAI API reference, "Chat" and "Chat streaming", and recorded traffic of imitators.

mod answer;
mod body;
mod body_call;
mod calls;
mod chunk;
mod counts;
mod foreign;
mod members;
pub(super) mod prompt;
mod request;
pub(super) mod segments;
mod slots;
mod stream;
mod unary;
mod write;

pub use request::view;
pub use stream::Decoder;
pub use unary::{decode_unary, encode_unary};
pub use write::Encoder;

use super::event::{Event, StopReason};
use super::json::{self, Raw};
use members::{members_loosely, some};
use std::borrow::Cow;

/// What a `finish_reason` means.
fn stop_reason(native: &str) -> StopReason {
    match native {
        "stop" | "eos" | "end_turn" => StopReason::EndTurn,
        "length" | "max_tokens" | "model_length" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "tool_calls" | "function_call" | "tool_use" => StopReason::ToolUse,
        "content_filter" => StopReason::ContentFilter,
        "refusal" => StopReason::Refusal,
        "error" => StopReason::Error,
        _ => StopReason::Other,
    }
}

/// The event of an `error` value: an object with message, type and code; of imitators also a string.
fn error_event(raw: Raw<'_>) -> Event<'_> {
    let native = Cow::Borrowed(raw.get());
    let plain = |raw: Raw<'_>| json::string(raw).map(|text| Cow::Owned(text.into_owned()));
    if !raw.is_object() {
        let message = plain(raw).unwrap_or(Cow::Borrowed(""));
        return Event::Error { code: Cow::Borrowed(""), message, native };
    }
    let found = members_loosely(raw).unwrap_or_default();
    let value = |name: &str| {
        let value = found.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        some(value).map(|value| plain(value).unwrap_or_else(|| Cow::Owned(value.get().to_owned())))
    };
    let code = value("code").or_else(|| value("type")).unwrap_or_default();
    let message = value("message").unwrap_or_default();
    Event::Error { code, message, native }
}

/// Whether an object without choices is itself what others put under `error` (Mistral, Doubleword).
fn is_flat_error(object: Raw<'_>) -> bool {
    let Ok(found) = members_loosely(object) else { return false };
    let has = |name: &str| found.iter().any(|(key, _)| key == name);
    let says_so = found.iter().any(|(key, value)| key == "object" && value.get() == "\"error\"");
    !has("choices") && !has("error") && has("message") && (says_so || has("code") || has("type"))
}

/// Which copy of the reasoning a channel's part belongs to: an imitator may send the same text as
/// `reasoning_content`, as `reasoning` and in `reasoning_details`.
pub(super) fn reasoning_copy(part: u16) -> u16 {
    part.min(slots::DETAILS_PART)
}

#[cfg(test)]
mod tests;
