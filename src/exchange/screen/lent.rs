//! Frames that came together leave as they came, where they let each other's text go.
//!
//! While rules look, most deltas end in a few bytes that a match could still begin with. A frame
//! that leaves without them is written anew, and so is the next, which has them. But where the next
//! frame came in the same piece and lets them go, both can leave as they came: the frame is lent the
//! end of its text until then.
//!
//! What always holds: the texts that leave are, joined, what was let go; nothing is lent when the
//! piece is over ([`Screen::settle`]), so no byte leaves that is held. In which of two frames that
//! came together a text stands may depend on how the bytes came; nothing else does.

use super::run::Line;
use super::{FrameNotes, Left, Screen};
use crate::wire::framing::Framing;
use crate::wire::reframe::Mould;
use crate::wire::sse::Frame;

/// A frame at the end of what leaves that stands there as it came, though the end of its text is
/// held.
#[derive(Debug)]
pub(super) struct Lent {
    /// Where it begins in what leaves.
    at: usize,
    /// What is to leave in its place if that text is not let go.
    notes: FrameNotes,
    line: Line,
    /// The end of its text that is held.
    owed: String,
}

impl Screen {
    /// The frame at hand was told: writes what leaves of it, or the bytes that `came`. What stands
    /// behind `out` before [`Screen::settle`] may be taken back.
    pub fn leave_together(&mut self, frame: &Frame<'_>, came: &[u8], out: &mut Vec<u8>) {
        self.envelope(Framing::Sse, frame);
        let mut notes = std::mem::take(&mut self.frame);
        if let Some(lent) = self.lent.take()
            && !self.pays(&mut notes, &lent)
        {
            self.write_lent(lent, out);
        }
        // What was put into one piece is not what came.
        if frame.raw.len() == came.len()
            && let Some((line, owed)) = self.owes(&notes)
        {
            if let Some(span) = notes.altered.first().and_then(|one| one.span) {
                self.runs.keep_mould(line, || Mould::of(Framing::Sse, frame, span));
            }
            self.lent = Some(Lent { at: out.len(), notes, line, owed });
            out.extend_from_slice(came);
            return;
        }
        if self.write(Framing::Sse, frame, notes, out) == Left::AsItCame {
            out.extend_from_slice(came);
        }
    }

    /// The piece is over: what is still held is taken back.
    pub fn settle(&mut self, out: &mut Vec<u8>) {
        if let Some(lent) = self.lent.take() {
            self.write_lent(lent, out);
        }
    }

    fn write_lent(&mut self, lent: Lent, out: &mut Vec<u8>) {
        let raw = out.split_off(lent.at);
        self.write(Framing::Sse, &Framing::Sse.frame(&raw), lent.notes, out);
    }

    /// Whether the frame at hand says one text and nothing else.
    fn is_simple(&self, notes: &FrameNotes) -> bool {
        let is_running = |at: usize| {
            notes.altered.get(at).is_some_and(|one| one.came.is_some() && one.span.is_some())
        };
        notes.altered.len() == 1
            && is_running(0)
            && notes.lead.is_empty()
            && notes.spelled.is_empty()
            && notes.clear_texts == 0
            && notes.steps == 0
            && !notes.opens
            && !notes.is_barred
            && self.shift == 0
            && !self.found.is_cut()
    }

    /// Whether the frame at hand lets go what was lent: then it has its own text only.
    fn pays(&self, notes: &mut FrameNotes, lent: &Lent) -> bool {
        if !self.is_simple(notes) {
            return false;
        }
        let Some(one) = notes.altered.first_mut().filter(|one| one.line == lent.line) else {
            return false;
        };
        let Some(own) = one.text.strip_prefix(&*lent.owed) else { return false };
        if one.came.as_deref() == Some(own) {
            notes.altered.clear();
            notes.clear_texts = 1;
        } else {
            one.text = own.to_owned();
        }
        true
    }

    /// The line of the frame at hand and the end of its text, if only that is missing.
    fn owes(&self, notes: &FrameNotes) -> Option<(Line, String)> {
        if !self.is_simple(notes) {
            return None;
        }
        let one = notes.altered.first()?;
        let owed = one.came.as_deref()?.strip_prefix(&*one.text)?;
        (!owed.is_empty()).then(|| (one.line, owed.to_owned()))
    }
}
