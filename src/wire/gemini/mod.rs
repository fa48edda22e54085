//! Gemini `generateContent` and `streamGenerateContent`, as the Gemini API and Vertex speak it
//! (<https://ai.google.dev/api/generate-content>).
//!
//! Every frame of a stream is a whole response object with the pieces that are new; a body is one
//! such object, or an array of them where a stream was asked for without `alt=sse`. The parts of a
//! candidate are numbered into blocks: a new block begins when the kind of part changes and at
//! every function call.
//!
//! What is not plain text or a plain call stays verbatim in an [`Extra`](super::event::Event::Extra)
//! and each string in it follows as a [`Repeat`](super::event::Event::Repeat) of its own channel
//! part, `1..`, so that no text leaves unjudged. Members of a `functionCall` besides `id`, `name`
//! and `args` have the key `functionCall.<member>`. The strings of `partialArgs` follow as
//! [`Text`](super::event::Event::Text), because one value may come in several pieces: one channel
//! part for each JSON path. The encoder puts the texts that it is given back in place of the
//! strings of the verbatim value; where they do not match in number, it leaves the value out.
//!
//! Losses towards other dialects: verbatim parts, signatures, and calls whose arguments come as
//! `partialArgs` (a caller has to ask for those by `streamFunctionCallArguments`). Losses from
//! other dialects: tools that the provider runs, citations, signatures.

mod foreign;
mod grammar;
mod object;
pub(super) mod prompt;
mod request;
pub(super) mod segments;
mod stream;
mod unary;
mod write;

#[cfg(test)]
mod tests;

pub use foreign::{ARGUMENTS_BYTES_MAX, CALLS_MAX};
pub use request::view;
pub use stream::Decoder;
pub use unary::{decode_unary, encode_unary};
pub use write::Encoder;
