//! The recorded traffic of the five dialects.

use super::frames::{Frame, Framing, parse};
pub use crate::support::Recording;
use crate::support::recordings;
use firedoor::wire::Dialect;

/// Recordings that are larger take too long in a build without optimisation.
const BYTES_MAX: usize = 96 << 10;

/// Those that are not too large and are of their dialect, in a fixed order.
pub fn all() -> Vec<Recording> {
    let all: Vec<Recording> = recordings().into_iter().filter(is_taken).collect();
    assert!(all.len() > 500, "{}", all.len());
    all
}

fn is_taken(recording: &Recording) -> bool {
    let is_of_dialect = recording.frames().iter().any(|frame| {
        // A recording of Chat lies among those of Responses.
        let chat = frame.data.contains("\"chat.completion");
        // Two answers in one, put together by hand.
        let is_spliced = recording.name.contains("spliced-message-start");
        let is_other = chat && recording.dialect == Dialect::OpenaiResponses;
        frame.json().is_some() && !is_spliced && !is_other
    });
    recording.bytes.len() <= BYTES_MAX && is_of_dialect
}

pub fn framing(dialect: Dialect) -> Framing {
    if dialect == Dialect::Bedrock { Framing::Messages } else { Framing::Sse }
}

impl Recording {
    /// Its frames; a whole answer is one.
    pub fn frames(&self) -> Vec<Frame> {
        if self.is_stream {
            return parse(framing(self.dialect), &self.bytes);
        }
        vec![Frame::new(Framing::Array, "", String::from_utf8_lossy(&self.bytes).into_owned())]
    }
}
