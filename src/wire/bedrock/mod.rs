//! Amazon Bedrock's `Converse` and `ConverseStream`: `/model/{id}/converse(-stream)`.
//!
//! Source: the Bedrock Runtime API reference
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>),
//! what botocore reads, and recorded traffic. Streams come in the binary framing of
//! [`eventstream`](super::eventstream); the model stands in the path alone.
//!
//! `Channel::block` is `contentBlockIndex`; there is one choice. Only blocks with a head of their
//! own (calls, and what we do not know) are opened; text and reasoning open by their first piece.
//! What has no meaning of its own is kept:
//!
//! - a member that we do not know is an `Extra` right behind the event of its object: at
//!   `Place::Message` those of the message, at `Place::Frame` those of the frame or body, at
//!   `Place::Delta` those beside the one member that says what a block is, at `Place::Block` those
//!   inside it;
//! - strings inside `trace` and `additionalModelResponseFields` follow their `Extra` as `Repeat`s,
//!   since a guardrail's trace repeats the answer as it was before the guardrail; where one was
//!   edited, the encoder leaves the member out;
//! - a citation is a `Text` for each piece that it quotes and an `Extra` named `citation`;
//! - a block that only this dialect knows is an `Open` of
//!   [`Block::Other`](super::event::Block::Other) and an `Opaque` named like the block;
//! - any other frame or body is one `Opaque`.
//!
//! `metadata` is the last frame of a stream and so its [`Event::End`](super::event::Event::End).
//! An answer is complete without it: `messageStop` says so.
//!
//! Losses towards other dialects: citations, `trace`, redacted reasoning, blocks of
//! `Block::Other`. From other dialects: choices but the first, ids, citations.

mod block;
mod foreign;
pub(super) mod prompt;
mod request;
pub(super) mod segments;
mod stream;
#[cfg(test)]
mod tests;
mod unary;
mod write;

pub use foreign::exception;
pub use request::{model_in_path, view};
pub use stream::Decoder;
pub use unary::{decode_unary, encode_unary};
pub use write::Encoder;

use super::event::{Channel, Counts, Kind, StopReason};
use super::json;
use super::members::Members;
use serde_json::value::RawValue;

/// Members of frames and bodies whose strings can be text of the answer.
const TELLING: [&str; 2] = ["trace", "additionalModelResponseFields"];

/// The channel of `kind` in content block `block`.
fn channel(block: u16, kind: Kind) -> Channel {
    Channel { choice: 0, block, part: 0, kind }
}

/// The channel of the string at `position` in a member of [`TELLING`].
fn told_channel(position: usize) -> Channel {
    let part = u16::try_from(position).unwrap_or(u16::MAX);
    Channel { choice: 0, block: 0, part, kind: Kind::Other }
}

/// The strings of a member that can be text of the answer; of any other member none.
fn told<'a>(key: &str, json: &'a str) -> impl Iterator<Item = json::Inner<'a>> + use<'a> {
    json::strings(if TELLING.contains(&key) { json } else { "" })
}

/// The id of the call whose result a block that was kept verbatim is.
pub fn result_of(block: &[u8]) -> Option<String> {
    let mut members = Members::parse(std::str::from_utf8(block).ok()?)?;
    members.take_string("toolUseId").map(std::borrow::Cow::into_owned)
}

/// The block of a frame that was kept verbatim, and where in it the number stands.
pub fn block_of(frame: &[u8]) -> Option<(u16, std::ops::Range<usize>)> {
    Members::number_in(frame, "contentBlockIndex")
}

/// What a `stopReason` means.
fn stop_reason(native: &str) -> StopReason {
    match native {
        "end_turn" => StopReason::EndTurn,
        "max_tokens" | "model_context_window_exceeded" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "tool_use" => StopReason::ToolUse,
        "guardrail_intervened" | "content_filtered" => StopReason::ContentFilter,
        "refusal" => StopReason::Refusal,
        "malformed_model_output" | "malformed_tool_use" => StopReason::Error,
        _ => StopReason::Other,
    }
}

/// The `stopReason` for a reason out of another dialect.
fn stop_word(reason: StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn | StopReason::Pause | StopReason::Error | StopReason::Other => {
            "end_turn"
        }
        StopReason::MaxTokens => "max_tokens",
        StopReason::StopSequence => "stop_sequence",
        StopReason::ToolUse => "tool_use",
        StopReason::ContentFilter | StopReason::Refusal => "content_filtered",
    }
}

/// The counts of a `usage` object. The dialect counts cached prompt tokens apart from
/// `inputTokens`; [`Counts::input`] is their sum.
fn counts(usage: &RawValue) -> Counts {
    let Some(members) = Members::of(usage) else { return Counts::default() };
    let number = |name| members.get(name)?.get().parse::<u64>().ok();
    let cache_read = number("cacheReadInputTokens");
    let cache_write = number("cacheWriteInputTokens");
    let input = number("inputTokens").map(|fresh: u64| {
        fresh.saturating_add(cache_read.unwrap_or(0)).saturating_add(cache_write.unwrap_or(0))
    });
    Counts { input, output: number("outputTokens"), cache_read, cache_write, reasoning: None }
}
