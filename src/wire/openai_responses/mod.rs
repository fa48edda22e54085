//! OpenAI Responses.
//!
//! Frames are named objects with a `type` and a `sequence_number`
//! (<https://platform.openai.com/docs/api-reference/responses-streaming>). The same text comes up
//! to four times: as deltas, in `*.done`, in the item's end, in the response's end. The first is
//! an [`Event::Text`](super::event::Event::Text), every further one a
//! [`Event::Repeat`](super::event::Event::Repeat); none is left unsaid.
//!
//! What always holds: decode, encode, decode gives the same events, spans aside. What it cannot
//! do: only one choice; items of the provider's own (searches, containers) are kept in this
//! dialect but mean nothing to others. Losses when written from another dialect: further choices,
//! citations, and blocks that only that dialect knows.
//!
//! A channel's `block` is the `output_index`, unless several items share one (`items`); its `part` the `content_index` or `summary_index`.
//! Raw reasoning text (`reasoning_text`) and its summary count their parts apart, so the former's
//! are told by [`REASONING_CONTENT`].

pub mod edit;
mod item;
mod items;
pub(super) mod prompt;
mod request;
pub(super) mod scan;
pub(super) mod segments;
mod story;
mod stream;
#[cfg(test)]
mod tests;
mod texts;
mod unary;
mod write;

pub use items::number_of as block_of;
pub use request::view;
pub use story::HELD_TEXT_BYTES_MAX;
pub use stream::Decoder;
pub use unary::{decode_unary, encode_unary};
pub use write::Encoder;

/// Added to the `content_index` of raw reasoning text to give its channel's `part`.
pub const REASONING_CONTENT: u16 = 0x8000;

/// The key under which a whole body's skeleton stands.
const BODY: &str = "response";

/// What stands in a skeleton for a text that an event carries.
const MARK_TEXT: &str = "t";
/// What stands in a skeleton for a second copy of a text.
const MARK_REPEAT: &str = "r";
/// What stands in a skeleton for log probabilities.
const MARK_LOGPROBS: &str = "l";
