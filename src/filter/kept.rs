//! The end of a text that is still needed, because something in it is undecided.

use super::machine::Hay;

/// The end of a text that is still needed.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    pub text: String,
    /// Position of the first byte, and the byte before.
    pub from: u64,
    pub behind: Option<u8>,
}

impl Kept {
    /// The kept text and the piece after it. Without kept text the piece is not copied.
    #[inline]
    pub(crate) fn with<'a>(&'a mut self, piece: &'a str, from: u64) -> Hay<'a> {
        if self.text.is_empty() {
            self.from = from;
            return Hay { base: from, behind: self.behind, bytes: piece.as_bytes() };
        }
        self.text.push_str(piece);
        Hay { base: self.from, behind: self.behind, bytes: self.text.as_bytes() }
    }

    /// Keeps only what is behind `from`. `piece` is what [`Self::with`] was given.
    #[inline]
    pub(crate) fn keep(&mut self, from: u64, piece: &str) {
        let gone = from.saturating_sub(self.from) as usize;
        let whole = if self.text.is_empty() { piece } else { &self.text };
        if let Some(last) = gone.checked_sub(1) {
            self.behind = whole.as_bytes().get(last).copied();
        }
        if self.text.is_empty() {
            self.text.push_str(piece.get(gone..).unwrap_or_default());
        } else if gone >= self.text.len() {
            self.text.clear();
        } else if gone > 0 {
            self.text.drain(..gone);
        }
        self.from = from;
    }

    /// The text of `from..to` in what is kept and the piece after it.
    pub(crate) fn slice<'a>(&'a self, piece: &'a str, from: u64, to: u64) -> &'a str {
        let whole = if self.text.is_empty() { piece } else { &self.text };
        let place = |position: u64| position.saturating_sub(self.from) as usize;
        whole.get(place(from)..place(to)).unwrap_or_default()
    }

    /// The text from a position on, and the byte before.
    pub(crate) fn tail(&self, from: u64) -> (Option<u8>, &[u8]) {
        let hay = Hay { base: self.from, behind: self.behind, bytes: self.text.as_bytes() };
        (hay.before(from), hay.slice(from, hay.end()))
    }
}
