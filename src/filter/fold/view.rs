//! A view: folded text, and where each byte of it came from.
//!
//! Positions count bytes from the begin of the channel, those of the view in folded text, those
//! of the channel in raw text. Between two edits both run in step, one byte for one; an edit is a
//! place where they do not. The map is therefore empty for text that the fold leaves alone.
//!
//! What always holds: a folded start maps down and a folded end maps up to whole raw units (a
//! character, an escape, a quartet), so that no part of a match stays outside its raw range. Raw
//! text that folds to nothing belongs to the range if it stands inside it; before a start and
//! after an end it does not.

use std::ops::Range;

/// One view of a channel: the text that the last call added, and the map of everything that was
/// not discarded.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Folded text added by the last call of feed or finish.
    text: String,
    /// Folded position of the first byte of `text`.
    begin: u64,
    /// Folded position after the last byte that was added.
    end: u64,
    /// Raw position after the last unit that was added.
    raw_end: u64,
    /// Raw position up to which everything is in this view or known to fold to nothing.
    seen: u64,
    /// Ascending by `folded`.
    edits: Vec<Edit>,
}

/// `folded_len` bytes of the view stand for `raw_len` bytes of the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edit {
    folded: u64,
    raw: u64,
    folded_len: u32,
    raw_len: u32,
}

impl Edit {
    fn folded_end(self) -> u64 {
        self.folded + u64::from(self.folded_len)
    }

    fn raw_end(self) -> u64 {
        self.raw + u64::from(self.raw_len)
    }
}

impl View {
    /// The folded text that the last call added.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the view has more after a call that was fed `piece`, at [`Self::begin`]: what was passed
    /// without a copy is the piece itself.
    pub fn added<'t>(&'t self, piece: &'t str) -> &'t str {
        if self.text.is_empty() && self.end > self.begin { piece } else { &self.text }
    }

    /// The folded position at which the text of the last call begins.
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// The folded position at which the next text will begin.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The raw position of a match, or of a hold, that starts at `folded`. At the end of the view
    /// it is the raw position up to which nothing more is owed to the view.
    pub fn raw_start(&self, folded: u64) -> u64 {
        if folded >= self.end {
            return self.seen;
        }
        match self.edit_at(folded) {
            Some(edit) if folded < edit.folded_end() => edit.raw,
            Some(edit) => edit.raw_end() + (folded - edit.folded_end()),
            None => folded,
        }
    }

    /// The raw position of a match that ends before `folded`.
    pub fn raw_end(&self, folded: u64) -> u64 {
        let Some(last) = folded.min(self.end).checked_sub(1) else { return 0 };
        match self.edit_at(last) {
            Some(edit) if last < edit.folded_end() => edit.raw_end(),
            Some(edit) => edit.raw_end() + (last - edit.folded_end()) + 1,
            None => last + 1,
        }
    }

    /// The raw bytes that the folded bytes stand for.
    pub fn raw_range(&self, folded: Range<u64>) -> Range<u64> {
        let start = self.raw_start(folded.start);
        start..self.raw_end(folded.end).max(start)
    }

    /// Forgets the map before a folded position; positions from there on map as before.
    pub fn discard(&mut self, before: u64) {
        // The last edit at or before the position carries the difference, so it stays. So does
        // the one that holds the byte before it: a match may still end there.
        let at = before.saturating_sub(1);
        let keep = self.edits.partition_point(|edit| edit.folded <= at).saturating_sub(1);
        if keep > 0 {
            self.edits.drain(..keep);
        }
    }

    /// How many edits the map holds.
    pub fn edits(&self) -> usize {
        self.edits.len()
    }

    fn edit_at(&self, folded: u64) -> Option<Edit> {
        let after = self.edits.partition_point(|edit| edit.folded <= folded);
        after.checked_sub(1).and_then(|at| self.edits.get(at)).copied()
    }

    /// Begins a call: what the call before added is the caller's by now.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.begin = self.end;
    }

    /// Says that the view has seen the channel up to a raw position.
    pub(super) fn saw(&mut self, raw: u64) {
        self.seen = raw;
    }

    /// Adds the text that stands for the raw bytes `from..to`.
    pub(super) fn push(&mut self, text: &str, from: u64, to: u64) {
        if text.is_empty() {
            return;
        }
        let raw_len = to.saturating_sub(from);
        let in_step = text.len() as u64 == raw_len
            && text.chars().next().is_some_and(|first| first.len_utf8() == text.len());
        if in_step && from >= self.raw_end {
            self.skip_to(from);
        } else {
            return self.push_whole(text, from, to);
        }
        self.text.push_str(text);
        self.end += text.len() as u64;
        self.raw_end = to;
    }

    /// Adds the text that stands for the raw bytes `from..to` as a whole, even where lengths are
    /// the same.
    pub(super) fn push_whole(&mut self, text: &str, from: u64, to: u64) {
        if !text.is_empty() {
            self.edit(from, to.saturating_sub(from) as u32, text.len() as u32);
            self.text.push_str(text);
            self.end += text.len() as u64;
            self.raw_end = to;
        }
    }

    /// Adds text that folds to itself, without a copy: the caller has it.
    pub(super) fn pass(&mut self, len: usize, from: u64) {
        if len > 0 {
            self.skip_to(from);
            self.end += len as u64;
            self.raw_end = from + len as u64;
        }
    }

    /// Adds text that folds to itself.
    pub(super) fn copy(&mut self, text: &str, from: u64) {
        self.pass(text.len(), from);
        self.text.push_str(text);
    }

    /// Takes raw bytes that fold to nothing out of the step.
    fn skip_to(&mut self, from: u64) {
        if from != self.raw_end {
            let skipped = from.saturating_sub(self.raw_end) as u32;
            self.edits.push(Edit {
                folded: self.end,
                raw: self.raw_end,
                folded_len: 0,
                raw_len: skipped,
            });
        }
    }

    fn edit(&mut self, raw: u64, raw_len: u32, folded_len: u32) {
        if let Some(last) = self.edits.last_mut() {
            // The characters of one quartet share its range.
            let same = last.raw == raw && last.raw_len == raw_len && last.folded_len > 0;
            if same && last.folded_end() == self.end {
                last.folded_len += folded_len;
                return;
            }
        }
        self.edits.push(Edit { folded: self.end, raw, folded_len, raw_len });
    }
}
