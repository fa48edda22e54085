//! OpenAI Chat Completions, and the many providers that imitate it.
//!
//! A chunk is read member by member, in one canonical order whatever order it came in: start,
//! error, choices (delta, then the rest of the choice, then its stop), usage, then members of the
//! chunk that are not known. Every unknown member is kept. A chunk in which a name stands twice is
//! opaque, because another reader could take the other one.
//!
//! Channels: `choice` is the choice's index; `block` is 0 for texts, `1 + index` for a tool call
//! and [`LEGACY_CALL`] for a `function_call`; `part` tells apart the names under which providers
//! send reasoning.

mod read;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod unary;
mod write;

pub use request::view;
pub use stream::Decoder;
pub use unary::{decode_unary, encode_unary};
pub use write::Encoder;

/// The block of a call that comes as the old `function_call` member.
pub const LEGACY_CALL: u16 = u16::MAX;

/// The members of a delta that carry reasoning; their place is the channel's `part`.
const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "reasoning_text"];
/// The `part` of reasoning that stands only in `reasoning_details`.
const REASONING_DETAILS_PART: u16 = 8;
/// The `part` of texts inside a `content` array.
const CONTENT_PARTS_PART: u16 = 8;
