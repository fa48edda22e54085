//! The view in which `i g n o r e` is `ignore`: separators between single letters are dropped.
//!
//! A single letter has a separator, or an end of the channel, on both sides. Between two of them
//! one separator is dropped, white space of two and more becomes one blank (the border of words in
//! spaced text), and punctuation among more separators stays. So `t h e   k e y .` is `the key.`.
//! Everything else is as in the main view.
//!
//! It joins initials, lists and tables too, so it is meant for rules that only flag: nothing waits
//! for it, and it runs one letter and [`GAP_MAX`] separators behind.

use super::bits::{BLOCK, bits, is_alphanumeric};
use super::table::{Kind, look_up};
use super::view::View;
use smallvec::SmallVec;

/// Separators between two letters that may be dropped.
const GAP_MAX: usize = 16;

type Char = (char, u64, u64);

/// The spaced letters of one channel.
#[derive(Debug, Clone, Default)]
pub(super) struct Spaced {
    at: At,
    gap: SmallVec<[Char; 2]>,
}

#[derive(Debug, Clone, Copy, Default)]
enum At {
    /// Behind a separator that joins nothing.
    #[default]
    Begin,
    /// The first letter of a word that follows no single letter, already in the view.
    First,
    /// In a word of several letters.
    Word,
    /// Behind a single letter: separators wait.
    Gap,
    /// A letter behind separators behind a single letter: both wait.
    Next(Char),
}

/// Where the view stands behind a text.
#[derive(Clone, Copy)]
pub(super) struct Rest(At);

impl Spaced {
    /// Whether nothing waits: the view has all that was read.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.at, At::Begin | At::First | At::Word)
    }

    /// Where it stands behind ASCII text that the view has as it is, with nothing before or behind that
    /// waits; `None` if the text may not be such.
    pub(super) fn behind(&self, piece: &str) -> Option<Rest> {
        let bytes = piece.as_bytes();
        let ends_single = |at: usize| {
            bytes.get(at).is_some_and(|byte| !is_alphanumeric(*byte))
                && !leads_to_word(bytes.get(at + 1..).unwrap_or_default())
        };
        let mut before = match self.at {
            At::Begin => 0,
            At::First if ends_single(0) => return None,
            At::First | At::Word => 1,
            At::Gap | At::Next(_) => return None,
        };
        for (block, letters) in (0..).step_by(BLOCK).zip(bits(bytes, is_alphanumeric)) {
            let mut single = letters & !(letters << 1 | before) & !(letters >> 1);
            before = letters >> (BLOCK - 1);
            while single != 0 {
                // Behind the last byte of the block another letter may come.
                if ends_single(block + single.trailing_zeros() as usize + 1) {
                    return None;
                }
                single &= single - 1;
            }
        }
        Some(Rest(match (bytes, self.at) {
            ([], at) => at,
            ([.., last], _) if !is_alphanumeric(*last) => At::Begin,
            ([.., before, _], _) if is_alphanumeric(*before) => At::Word,
            ([_], At::First | At::Word) => At::Word,
            (_, _) => At::First,
        }))
    }

    /// Goes past the text that [`Self::behind`] was asked of.
    pub(super) fn go_past(&mut self, rest: Rest) {
        self.at = rest.0;
    }

    /// Reads ASCII text.
    pub(super) fn pass(&mut self, piece: &str, from: u64, view: &mut View) {
        if let Some(rest) = self.behind(piece) {
            view.copy(piece, from);
            self.go_past(rest);
            return;
        }
        let mut rest = piece;
        let mut at = from;
        while let Some(ch) = rest.chars().next() {
            let word = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
            let longer = match self.at {
                At::Word => word > 0,
                At::Begin => word > 1,
                At::First | At::Gap | At::Next(_) => false,
            };
            let len = if longer { word } else { 1 };
            let (stretch, more) = rest.split_at_checked(len).unwrap_or((rest, ""));
            if longer {
                view.copy(stretch, at);
                self.at = At::Word;
            } else {
                self.take(ch, at, at + 1, view);
            }
            rest = more;
            at += len as u64;
        }
    }

    pub(super) fn take(&mut self, ch: char, from: u64, to: u64, view: &mut View) {
        let now = (ch, from, to);
        let letter = look_up(ch).kind != Kind::Separator;
        self.at = match (self.at, letter) {
            (At::Begin, true) => {
                push(now, view);
                At::First
            }
            (At::First | At::Word, true) => {
                push(now, view);
                At::Word
            }
            (At::Begin | At::Word, false) => {
                push(now, view);
                At::Begin
            }
            (At::First, false) => {
                self.gap.push(now);
                At::Gap
            }
            (At::Gap, true) => At::Next(now),
            (At::Gap, false) => {
                self.gap.push(now);
                if self.gap.len() > GAP_MAX {
                    self.keep(view);
                    At::Begin
                } else {
                    At::Gap
                }
            }
            (At::Next(before), true) => {
                self.keep(view);
                push(before, view);
                push(now, view);
                At::Word
            }
            (At::Next(before), false) => {
                self.join(view);
                push(before, view);
                self.gap.push(now);
                At::Gap
            }
        };
    }

    pub(super) fn finish(&mut self, view: &mut View) {
        self.join(view);
        if let At::Next(before) = self.at {
            push(before, view);
        }
        self.at = At::Begin;
    }

    fn keep(&mut self, view: &mut View) {
        for held in self.gap.drain(..) {
            push(held, view);
        }
    }

    fn join(&mut self, view: &mut View) {
        let only = self.gap.len() == 1;
        let mut blanks: Option<(u64, u64, u8)> = None;
        for (ch, from, to) in self.gap.drain(..) {
            if ch.is_whitespace() {
                let (begin, _, count) = blanks.unwrap_or((from, to, 0));
                blanks = Some((begin, to, count + 1));
                continue;
            }
            blank(blanks.take(), view);
            if !only {
                push((ch, from, to), view);
            }
        }
        blank(blanks, view);
    }
}

/// Whether ASCII text behind a separator behind a single letter goes on to a word: between those nothing is dropped.
fn leads_to_word(text: &[u8]) -> bool {
    let gap = text.iter().take_while(|byte| !is_alphanumeric(**byte)).count();
    let word = text.get(gap..gap + 2);
    gap < GAP_MAX && word.is_some_and(|word| word.iter().all(|byte| is_alphanumeric(*byte)))
}

fn blank(blanks: Option<(u64, u64, u8)>, view: &mut View) {
    if let Some((from, to, 2..)) = blanks {
        view.push(" ", from, to);
    }
}

fn push((ch, from, to): Char, view: &mut View) {
    view.push(ch.encode_utf8(&mut [0; 4]), from, to);
}
