//! Text that is encoded as base64 or in hexadecimal digits, decoded into a view of its own.
//!
//! A run is decoded from its first character, and waits until [`RUN_MIN`] characters show that it
//! is one; a run that decodes to what is no text is none, and most words of a language are seen to
//! be none at their first or second letter. From then on only a quartet or a pair that is not
//! complete waits; whether more must, is for the scanner of the view to say.
//!
//! A base64 run begins where its word begins: in `abcSGVsbG8` the letters before spoil it. After
//! `/ + - _` in a word that was found to be no run a new one begins, so that a path or a prefix
//! before it does not. It goes on over a line end, and `=` ends it. Both alphabets are read.
//! Hexadecimal digits may stand in pairs with `0x` before and blanks, commas, colons or dashes
//! between; they must begin with an ASCII character.
//!
//! A character maps to the quartets or pairs that it is in. A run ends with a line feed in the
//! view, so that no match goes from one run into the next unless it may cross a line.

use super::plain::{Plain, Reads};
use super::table::{self, Kind};
use super::view::View;
use smallvec::SmallVec;

/// Characters that make a run.
pub(super) const RUN_MIN: u32 = 16;

/// A decoded character and the raw bytes it is in.
type Decoded = (char, u64, u64);

/// What both decoders do with decoded bytes.
#[derive(Debug, Clone, Default)]
struct Run {
    plain: Plain,
    /// Encoding characters so far.
    len: u32,
    from: u64,
    to: u64,
    /// Where the character that is not complete begins.
    char_from: u64,
    /// Complete, but its quartet is not; or all of a run that is still too short.
    ready: SmallVec<[Decoded; 4]>,
    /// What was decoded before the run was long enough.
    early: Vec<Decoded>,
}

impl Run {
    fn begin(&mut self, from: u64) {
        self.plain = Plain::default();
        self.len = 0;
        self.from = from;
        self.ready.clear();
        self.early.clear();
    }

    /// Adds a decoded byte whose group begins at `from`. No: this is no text.
    fn byte(&mut self, byte: u8, from: u64) -> Option<()> {
        if !self.plain.open() {
            self.char_from = from;
        }
        match self.plain.byte(byte) {
            Reads::Part | Reads::Nothing => Some(()),
            Reads::Char(ch) => {
                self.ready.push((ch, self.char_from, from));
                Some(())
            }
            Reads::NoText => None,
        }
    }

    /// The group of the last bytes is complete and ends at `to`.
    fn group(&mut self, to: u64, view: &mut View) {
        self.to = to;
        for (ch, from, _) in self.ready.drain(..) {
            self.early.push((ch, from, to));
        }
        if self.len >= RUN_MIN {
            for (ch, from, to) in self.early.drain(..) {
                push(ch, from, to, view);
            }
        }
    }

    fn end(&mut self, view: &mut View) {
        self.group(self.to, view);
        if self.len >= RUN_MIN {
            view.push("\n", self.to, self.to);
        }
        self.early.clear();
    }

    fn waits_from(&self, open: Option<u64>) -> Option<u64> {
        if self.len < RUN_MIN {
            return Some(self.from);
        }
        let begun = self.plain.open().then_some(self.char_from);
        let ready = self.ready.first().map(|(_, from, _)| *from);
        [open, begun, ready].into_iter().flatten().min()
    }
}

/// A decoded character is folded by the table, as one whose script is believed.
pub(super) fn push(ch: char, from: u64, to: u64, view: &mut View) {
    let folds = table::look_up(ch);
    match (folds.kind, folds.stay) {
        (Kind::Mark | Kind::Invisible | Kind::Bidi | Kind::Selector | Kind::Tag, _) => {}
        (_, Some(text)) => view.push_whole(text, from, to),
        (_, None) => view.push_whole(ch.encode_utf8(&mut [0; 4]), from, to),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    /// A run may begin here.
    #[default]
    Begin,
    /// In a run.
    Run,
    /// In a word that is none.
    Word,
}

/// The base64 decoder of one channel.
#[derive(Debug, Clone, Default)]
pub(super) struct Base64 {
    at: At,
    run: Run,
    /// Bits of the quartet, and how many characters of it were read.
    bits: u32,
    have: u8,
    quartet_from: u64,
}

const fn six_bits(byte: u8) -> Option<u32> {
    match byte {
        b'A'..=b'Z' => Some((byte - b'A') as u32),
        b'a'..=b'z' => Some((byte - b'a') as u32 + 26),
        b'0'..=b'9' => Some((byte - b'0') as u32 + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

impl Base64 {
    pub(super) fn waits_from(&self) -> Option<u64> {
        let open = (self.have > 0).then_some(self.quartet_from);
        if self.at == At::Run { self.run.waits_from(open) } else { None }
    }

    pub(super) fn take(&mut self, ch: char, from: u64, to: u64, view: &mut View) {
        let value = u8::try_from(ch).ok().and_then(six_bits);
        match (self.at, value) {
            (At::Word, Some(_)) => {}
            (At::Begin, Some(value)) => {
                self.at = At::Run;
                self.run.begin(from);
                self.have = 0;
                self.bits = 0;
                self.digit(value, from, to, view);
            }
            (At::Run, Some(value)) => self.digit(value, from, to, view),
            (At::Begin, None) => {}
            (At::Word, None) => self.at = At::Begin,
            (At::Run, None) => {
                let goes_on = matches!(ch, '\n' | '\r') && self.run.len >= RUN_MIN;
                if !goes_on {
                    self.end(At::Begin, view);
                }
            }
        }
        if self.at == At::Word && matches!(ch, '/' | '+' | '-' | '_') {
            self.at = At::Begin;
        }
    }

    pub(super) fn finish(&mut self, view: &mut View) {
        if self.at == At::Run {
            self.end(At::Begin, view);
        }
    }

    fn end(&mut self, next: At, view: &mut View) {
        self.run.end(view);
        self.at = next;
        self.have = 0;
    }

    fn digit(&mut self, value: u32, from: u64, to: u64, view: &mut View) {
        if self.have == 0 {
            self.quartet_from = from;
        }
        self.run.len += 1;
        self.bits = self.bits << 6 | value;
        self.have += 1;
        let byte = match self.have {
            1 => {
                // The first six bits show whether the first byte begins a character at all.
                let begins = matches!(value, 2..=3 | 8..32 | 48..=61);
                if self.run.len == 1 && !begins {
                    self.end(At::Word, view);
                }
                return;
            }
            2 => self.bits >> 4,
            3 => self.bits >> 2,
            _ => self.bits,
        };
        let known = self.run.byte(byte as u8, self.quartet_from);
        self.run.to = to;
        if known.is_none() {
            self.run.ready.clear();
            self.end(At::Word, view);
        } else if self.have == 4 {
            self.run.group(to, view);
            self.have = 0;
            self.bits = 0;
        }
    }
}

/// The decoder of hexadecimal digits of one channel.
#[derive(Debug, Clone, Default)]
pub(super) struct Hex {
    at: At,
    run: Run,
    /// The first digit of a pair, and where it is.
    high: Option<(u32, u64)>,
    /// Characters between two pairs so far.
    gap: u8,
    /// Whether `0x` was read before this pair.
    prefixed: bool,
}

/// Characters that may stand between two pairs: `", 0x"` takes two before its prefix.
const GAP_MAX: u8 = 2;

impl Hex {
    pub(super) fn waits_from(&self) -> Option<u64> {
        let open = self.high.map(|(_, from)| from);
        if self.at == At::Run { self.run.waits_from(open) } else { None }
    }

    pub(super) fn take(&mut self, ch: char, from: u64, to: u64, view: &mut View) {
        match self.at {
            At::Word => {
                if !ch.is_alphanumeric() {
                    self.at = At::Begin;
                }
            }
            At::Begin => match ch.to_digit(16) {
                // The first byte is to be ASCII, or the begin of `0x`.
                Some(digit @ (0 | 2..=7)) => {
                    self.at = At::Run;
                    self.run.begin(from);
                    self.gap = 0;
                    self.prefixed = false;
                    self.high = Some((digit, from));
                }
                Some(_) => self.at = At::Word,
                None if ch.is_alphanumeric() => self.at = At::Word,
                None => {}
            },
            At::Run => self.in_run(ch, from, to, view),
        }
    }

    pub(super) fn finish(&mut self, view: &mut View) {
        if self.at == At::Run {
            self.end(At::Begin, view);
        }
    }

    fn end(&mut self, next: At, view: &mut View) {
        self.run.end(view);
        self.high = None;
        self.at = next;
    }

    fn in_run(&mut self, ch: char, from: u64, to: u64, view: &mut View) {
        let outside = if ch.is_alphanumeric() { At::Word } else { At::Begin };
        match (ch.to_digit(16), self.high) {
            (Some(digit), None) => {
                self.high = Some((digit, from));
                self.gap = 0;
            }
            (Some(low), Some((high, pair_from))) => {
                self.high = None;
                self.prefixed = false;
                self.run.len += 2;
                match self.run.byte((high << 4 | low) as u8, pair_from) {
                    Some(()) => self.run.group(to, view),
                    None => self.end(At::Word, view),
                }
            }
            (None, Some((0, _))) if matches!(ch, 'x' | 'X') && !self.prefixed => {
                self.high = None;
                self.prefixed = true;
            }
            (None, None) if matches!(ch, ' ' | ',' | ':' | '-' | '\n') && !self.prefixed => {
                self.gap += 1;
                if self.gap > GAP_MAX || self.run.len == 0 {
                    self.end(At::Begin, view);
                }
            }
            (None, _) => self.end(outside, view),
        }
    }
}
