//! Anthropic Messages: `/v1/messages`, streamed and whole.
//!
//! Source: the Messages API reference and its chapter on streaming
//! (<https://docs.anthropic.com/en/api/messages-streaming>), the accumulators of the official
//! SDKs, and recorded traffic.
//!
//! The dialect's blocks are [`Event::Open`](super::event::Event::Open)s, one for one, with
//! `Channel::block` their `index`; there is one choice. What has no meaning of its own is kept:
//!
//! - a member that we do not know is an `Extra` right behind the event of its object;
//! - a block that only this dialect knows (search results, redacted thinking, ..) is an `Open` of
//!   [`Block::Other`](super::event::Block::Other) and an `Opaque` named like the block, whose data
//!   is the block;
//! - a citation is a `Text` of what it quotes and an `Extra` named `citation` with all of it;
//! - any other frame or body is one `Opaque`.
//!
//! Members that say nothing (`"stop_sequence":null` and the like) are not kept: the encoders write
//! them by themselves.

mod block;
mod foreign;
mod members;
pub(super) mod prompt;
mod request;
pub(super) mod segments;
mod stream;
#[cfg(test)]
mod tests;
mod unary;
mod write;

pub use request::view;
pub use stream::Decoder;
pub use unary::{decode_unary, encode_unary};
pub use write::Encoder;

use super::event::{Channel, Counts, Kind, StopReason};
use members::Members;
use serde_json::value::RawValue;

/// The channel of `kind` in content block `block`.
fn channel(block: u16, kind: Kind) -> Channel {
    Channel { choice: 0, block, part: 0, kind }
}

/// The id of the call whose result a block that was kept verbatim is.
pub fn result_of(block: &[u8]) -> Option<String> {
    let mut members = Members::parse(std::str::from_utf8(block).ok()?)?;
    members.take_string("tool_use_id").map(std::borrow::Cow::into_owned)
}

/// The block of a frame that was kept verbatim, and where in it the number stands.
pub fn block_of(frame: &[u8]) -> Option<(u16, std::ops::Range<usize>)> {
    Members::number_in(frame, "index")
}

/// What a `stop_reason` means.
fn stop_reason(native: &str) -> StopReason {
    match native {
        "end_turn" => StopReason::EndTurn,
        "max_tokens" | "model_context_window_exceeded" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "tool_use" => StopReason::ToolUse,
        "refusal" => StopReason::Refusal,
        "pause_turn" => StopReason::Pause,
        _ => StopReason::Other,
    }
}

/// The `stop_reason` for a reason out of another dialect.
fn stop_word(reason: StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn | StopReason::Error | StopReason::Other => "end_turn",
        StopReason::MaxTokens => "max_tokens",
        StopReason::StopSequence => "stop_sequence",
        StopReason::ToolUse => "tool_use",
        StopReason::ContentFilter | StopReason::Refusal => "refusal",
        StopReason::Pause => "pause_turn",
    }
}

/// The counts of a `usage` object.
///
/// The dialect counts cached prompt tokens apart from `input_tokens`; [`Counts::input`] is their
/// sum. The `usage` at the end of a stream may leave the prompt out.
fn counts(usage: &RawValue) -> Counts {
    let Some(members) = Members::of(usage) else {
        return Counts::default();
    };
    let number = |members: &Members<'_>, name| members.get(name)?.get().parse::<u64>().ok();
    let cache_read = number(&members, "cache_read_input_tokens");
    let cache_write = number(&members, "cache_creation_input_tokens");
    let input = number(&members, "input_tokens").map(|fresh| {
        fresh.saturating_add(cache_read.unwrap_or(0)).saturating_add(cache_write.unwrap_or(0))
    });
    let details = members.get("output_tokens_details").and_then(Members::of);
    Counts {
        input,
        output: number(&members, "output_tokens"),
        cache_read,
        cache_write,
        reasoning: details.and_then(|details| number(&details, "thinking_tokens")),
    }
}
