//! Whole frames out of bytes that come in any pieces.
//!
//! What always holds: frames are given in order, each once and whole, as soon as its last byte is
//! there; what is held is less than one frame and has a bound. Nothing else of the relay sees how
//! the bytes were cut, so whatever is done with the frames is the same at every cut.

use super::Broken;
use crate::wire::framing::{FRAME_BYTES_MAX, Framing, Splitter};

/// The bytes of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    pub(super) framing: Framing,
    splitter: Splitter,
    /// Less than one frame.
    held: Vec<u8>,
}

impl Pieces {
    /// At the start of a stream.
    pub(super) fn new(framing: Framing) -> Pieces {
        Pieces { framing, splitter: Splitter::new(framing), held: Vec::new() }
    }

    /// Takes the next bytes, and gives the frames that are whole now.
    ///
    /// # Errors
    /// The first of `frame`, which then is given nothing more; or the bytes can be no frame.
    pub(super) fn push(
        &mut self,
        input: &[u8],
        frame: impl FnMut(&[u8]) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let Pieces { splitter, held, .. } = self;
        let done = if held.is_empty() {
            let (used, done) = cut(splitter, input, frame);
            held.extend_from_slice(input.get(used..).unwrap_or_default());
            done
        } else {
            held.extend_from_slice(input);
            let (used, done) = cut(splitter, held, frame);
            if used == held.len() {
                // An idle stream holds no memory.
                *held = Vec::new();
            } else {
                held.drain(..used);
            }
            done
        };
        let is_damaged = matches!(done, Err(Broken::Damaged(_)));
        if is_damaged || (done.is_ok() && held.len() > FRAME_BYTES_MAX) {
            *held = Vec::new();
            return done.and(Err(Broken::FrameTooLong));
        }
        done
    }

    /// Whether nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// What is held at the end of the stream: a frame without its end, or nothing.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

/// Gives the whole frames of `bytes`, and how many bytes they are.
fn cut(
    splitter: &mut Splitter,
    bytes: &[u8],
    mut frame: impl FnMut(&[u8]) -> Result<(), Broken>,
) -> (usize, Result<(), Broken>) {
    let mut from = 0;
    loop {
        let rest = bytes.get(from..).unwrap_or_default();
        let length = match splitter.next(rest) {
            Ok(Some(length)) => length,
            Ok(None) => return (from, Ok(())),
            Err(damage) => return (from, Err(Broken::Damaged(damage))),
        };
        from += length;
        if let Err(broken) = frame(rest.get(..length).unwrap_or(rest)) {
            return (from, Err(broken));
        }
    }
}
