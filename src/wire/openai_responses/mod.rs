//! openai_responses dialect (being written).
use super::event::Event;
use super::request::{BodyError, View};
use super::{Dialect, Sink, Tail, sse};

/// Frames to events.
#[derive(Debug, Default)]
pub struct Decoder {}

impl Decoder {
    /// See [`super::Decoder::frame`].
    pub fn frame(&mut self, _frame: &sse::Frame<'_>, _sink: &mut Sink<'_>) {}
    /// See [`super::Decoder::is_complete`].
    pub fn is_complete(&self) -> bool {
        false
    }
    /// See [`super::Decoder::tail`].
    pub fn tail(&self) -> Tail {
        Tail::default()
    }
}

/// Events to frames.
#[derive(Debug)]
pub struct Encoder {}

impl Encoder {
    /// See [`super::Encoder::new`].
    pub fn new(_source: Dialect) -> Encoder {
        Encoder {}
    }
    /// See [`super::Encoder::frame`].
    pub fn frame(&mut self, _events: &[Event<'_>], _out: &mut Vec<u8>) {}
    /// See [`super::Encoder::tail`].
    pub fn tail(&self) -> Tail {
        Tail::default()
    }
}

/// See [`super::decode_unary`].
pub fn decode_unary(_body: &[u8], _sink: &mut Sink<'_>) {}

/// See [`super::encode_unary`].
pub fn encode_unary(_source: Dialect, _events: &[Event<'_>]) -> Vec<u8> {
    Vec::new()
}

/// See [`super::request::view`].
pub fn view(_body: &[u8]) -> Result<View<'_>, BodyError> {
    Ok(View::default())
}
