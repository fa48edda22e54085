//! Text that is encoded as base64 or in hexadecimal digits, decoded into a view of its own.
//!
//! A run is decoded from its first character, and waits until [`RUN_MIN`] characters show that it
//! is one; a run that decodes to what is no text is none, and most words of a language are seen to
//! be none at their first or second letter. From then on only a quartet or a pair that is not
//! complete waits; whether more must, is for the scanner of the view to say.
//!
//! A base64 run begins where its word begins: in `abcSGVsbG8` the letters before spoil it. After
//! `/ + - _` in a word that was found to be no run a new one begins, so that a path or a prefix
//! before it does not; and at every character of a word that has [`RUN_MIN`], so that bytes which
//! are no text, or a shift by a letter, hide the first characters behind them at most. A run goes
//! on over a line end, and `=` ends it. Both alphabets are read.
//! Hexadecimal digits may stand in pairs with `0x` before and blanks, commas, colons or dashes
//! between; they must begin with an ASCII character.
//!
//! A character maps to the quartets or pairs that it is in. A run ends with a line feed in the
//! view, so that no match goes from one run into the next unless it may cross a line.

use super::bits::{has_16, is_alphanumeric};
use super::plain::{Plain, Reads};
use super::table::{self, Kind};
use super::view::View;
use smallvec::SmallVec;

/// Characters that make a run; [`has_16`] looks for as many.
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
    /// A sign was decoded: neither a letter, a digit nor a blank.
    has_sign: bool,
}

impl Run {
    fn begin(&mut self, from: u64) {
        self.plain = Plain::default();
        self.len = 0;
        self.from = from;
        self.ready.clear();
        self.early.clear();
        self.has_sign = false;
    }

    /// Adds a decoded byte whose group begins at `from`. No: this is no text.
    fn byte(&mut self, byte: u8, from: u64) -> Option<()> {
        if !self.plain.open() {
            self.char_from = from;
        }
        match self.plain.byte(byte) {
            Reads::Part | Reads::Nothing => Some(()),
            Reads::Char(ch) => {
                self.has_sign |= !ch.is_alphanumeric() && ch != ' ';
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
        if self.len >= RUN_MIN {
            self.group(self.to, view);
            view.push("\n", self.to, self.to);
        }
        self.ready.clear();
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
    /// Base64 characters since the begin of the word.
    word: u32,
    /// Whether all characters of the run but the first are small letters, as in a word of a
    /// language.
    wordlike: bool,
    /// Bits of the quartet, and how many characters of it were read.
    bits: u32,
    have: u8,
    quartet_from: u64,
}

/// No base64 character.
const NONE: u8 = 255;

static SIX_BITS: [u8; 128] = {
    let mut bits = [NONE; 128];
    let mut byte = 0;
    while byte < 128 {
        bits[byte] = match byte as u8 {
            letter @ b'A'..=b'Z' => letter - b'A',
            letter @ b'a'..=b'z' => letter - b'a' + 26,
            digit @ b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => NONE,
        };
        byte += 1;
    }
    bits
};

fn six_bits(ch: char) -> Option<u32> {
    SIX_BITS.get(ch as usize).filter(|value| **value != NONE).map(|value| u32::from(*value))
}

/// Six bits that may begin the first byte of text.
const fn begins(value: u32) -> bool {
    matches!(value, 2..=3 | 8..32 | 48..62)
}

/// How many bytes at the start of `text` are own ones.
fn own_len(text: &[u8], is_own: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|byte| !is_own(*byte)).unwrap_or(text.len())
}

#[expect(
    clippy::needless_bitwise_bool,
    reason = "without branches it is asked of many bytes at once"
)]
fn is_base64(byte: u8) -> bool {
    is_alphanumeric(byte) | (byte == b'+') | (byte == b'-') | (byte == b'/') | (byte == b'_')
}

/// Hexadecimal digits, and what may stand between and before them in a run.
#[expect(
    clippy::needless_bitwise_bool,
    reason = "without branches it is asked of many bytes at once"
)]
fn is_hex(byte: u8) -> bool {
    let small = byte | 0x20;
    let is_digit = (small.wrapping_sub(b'a') < 6) | (byte.wrapping_sub(b'0') < 10);
    let is_between =
        (byte == b' ') | (byte == b',') | (byte == b':') | (byte == b'-') | (byte == b'\n');
    is_digit | is_between | (small == b'x')
}

impl Base64 {
    /// Whether nothing is decoded of ASCII text if it comes next.
    pub(super) fn is_unmoved_by(&self, piece: &[u8]) -> bool {
        // A run is no longer than its word, but where it went on over a line end.
        let is_decoding = self.at == At::Run && self.run.len >= RUN_MIN;
        let head = own_len(piece, is_base64);
        !is_decoding && self.word as usize + head < RUN_MIN as usize && !has_16(piece, is_base64)
    }

    /// Goes past ASCII text that it is unmoved by.
    pub(super) fn go_past(&mut self, piece: &[u8], from: u64) {
        let mut unmoved = View::default();
        let last = piece.iter().rposition(|byte| !is_base64(*byte));
        let tail = last.map_or(0, |last| last + 1);
        if last.is_some() {
            self.word = 0;
            self.finish(&mut unmoved);
            self.at = At::Begin;
        }
        self.pass(piece.get(tail..).unwrap_or_default(), from + tail as u64, &mut unmoved);
    }

    pub(super) fn waits_from(&self) -> Option<u64> {
        let open = (self.have > 0).then_some(self.quartet_from);
        if self.at == At::Run { self.run.waits_from(open) } else { None }
    }

    /// Reads ASCII text.
    pub(super) fn pass(&mut self, piece: &[u8], from: u64, view: &mut View) {
        for (byte, at) in piece.iter().zip(from..) {
            let value = SIX_BITS.get(usize::from(*byte)).copied().unwrap_or(NONE);
            match self.at {
                At::Begin if value == NONE => self.word = 0,
                At::Begin if self.word + 1 < RUN_MIN && value < 62 && !begins(value.into()) => {
                    self.word += 1;
                    self.at = At::Word;
                }
                At::Word if self.word + 1 < RUN_MIN && value < 62 => self.word += 1,
                At::Word if value == NONE => {
                    self.word = 0;
                    self.at = At::Begin;
                }
                _ => self.take(char::from(*byte), at, at + 1, view),
            }
        }
    }

    pub(super) fn take(&mut self, ch: char, from: u64, to: u64, view: &mut View) {
        let Some(value) = six_bits(ch) else {
            let goes_on = matches!(ch, '\n' | '\r') && self.run.len >= RUN_MIN;
            if self.at != At::Run || !goes_on {
                self.word = 0;
                self.finish(view);
                self.at = At::Begin;
            }
            return;
        };
        self.word = self.word.saturating_add(1);
        if self.at == At::Begin {
            self.at = At::Run;
            self.run.begin(from);
            self.have = 0;
            self.bits = 0;
            self.wordlike = ch.is_ascii_alphabetic();
        } else {
            self.wordlike &= ch.is_ascii_lowercase();
        }
        if self.at == At::Run && self.digit(value, from, to).is_none() {
            self.run.ready.clear();
            self.finish(view);
            self.at = At::Word;
        } else if self.at == At::Run && self.have == 4 {
            self.run.group(to, view);
            self.have = 0;
            self.bits = 0;
        }
        // A new run may begin behind what joins words, and anywhere in what is too long for one.
        if self.at == At::Word && (value >= 62 || self.word >= RUN_MIN) {
            self.at = At::Begin;
        }
    }

    pub(super) fn finish(&mut self, view: &mut View) {
        if self.at == At::Run {
            self.run.end(view);
            self.have = 0;
            self.at = At::Begin;
        }
    }

    /// Adds six bits. No: this is no text.
    fn digit(&mut self, value: u32, from: u64, to: u64) -> Option<()> {
        if self.have == 0 {
            self.quartet_from = from;
        }
        self.run.len += 1;
        self.run.to = to;
        self.bits = self.bits << 6 | value;
        self.have += 1;
        let strict = self.wordlike && self.run.len < RUN_MIN;
        let (byte, open) = match self.have {
            1 => return (self.run.len > 1 || begins(value)).then_some(()),
            2 => (self.bits >> 4, 4),
            3 => (self.bits >> 2, 2),
            _ => (self.bits, 0),
        };
        self.run.byte(byte as u8, self.quartet_from)?;
        // A word of a language decodes to letters and signs at random; text that is encoded without
        // a capital and a digit for that long has only letters.
        if self.wordlike && self.run.has_sign && self.run.len >= RUN_MIN - 1 {
            return None;
        }
        let next = self.bits & ((1 << open) - 1);
        let ascii = next << (4 - open) < 8;
        let may = open == 0 || (self.run.plain.may_begin(next, open) && (ascii || !strict));
        may.then_some(())
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
    /// Letters and digits since the begin of the word.
    word: u32,
}

/// Characters that may stand between two pairs: `", 0x"` takes two before its prefix.
const GAP_MAX: u8 = 2;

impl Hex {
    /// Whether nothing is decoded of ASCII text if it comes next.
    pub(super) fn is_unmoved_by(&self, piece: &[u8]) -> bool {
        let begun = if self.at == At::Run { self.run.len + 1 } else { 0 };
        let head = own_len(piece, is_hex);
        (begun as usize).saturating_add(head) < RUN_MIN as usize && !has_16(piece, is_hex)
    }

    /// Goes past ASCII text that it is unmoved by.
    pub(super) fn go_past(&mut self, piece: &[u8], from: u64) {
        let mut unmoved = View::default();
        // Behind a sign that is part of no run, or behind one behind a letter that is part of none,
        // it stands at the begin of a word whatever was before.
        let is_apart = |two: &[u8]| {
            matches!(two, [before, sign] if !sign.is_ascii_alphanumeric()
                && (!is_hex(*sign) || before.is_ascii_alphabetic() && !is_hex(*before)))
        };
        let last = piece.windows(2).rposition(is_apart);
        let tail = last.map_or(0, |last| last + 2);
        if last.is_some() {
            self.word = 0;
            self.finish(&mut unmoved);
            self.at = At::Begin;
        }
        self.pass(piece.get(tail..).unwrap_or_default(), from + tail as u64, &mut unmoved);
    }

    pub(super) fn waits_from(&self) -> Option<u64> {
        let open = self.high.map(|(_, from)| from);
        if self.at == At::Run { self.run.waits_from(open) } else { None }
    }

    /// Reads ASCII text.
    pub(super) fn pass(&mut self, piece: &[u8], from: u64, view: &mut View) {
        for (byte, at) in piece.iter().zip(from..) {
            match (self.at, byte) {
                (At::Word, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9') => {
                    self.word = self.word.saturating_add(1);
                }
                (At::Begin, b'a'..=b'z' | b'A'..=b'Z') if self.word + 1 < RUN_MIN => {
                    self.word += 1;
                    self.at = At::Word;
                }
                (At::Begin | At::Word, b' '..=b'/' | b'\n') => {
                    self.word = 0;
                    self.at = At::Begin;
                }
                _ => self.take(char::from(*byte), at, at + 1, view),
            }
        }
    }

    pub(super) fn take(&mut self, ch: char, from: u64, to: u64, view: &mut View) {
        let inside = ch.is_alphanumeric();
        self.word = if inside { self.word.saturating_add(1) } else { 0 };
        match self.at {
            At::Word if inside => {}
            At::Word => self.at = At::Begin,
            At::Begin => match ch.to_digit(16) {
                // The first byte is to be ASCII, or the begin of `0x`.
                Some(digit @ (0 | 2..=7)) => {
                    self.at = At::Run;
                    self.run.begin(from);
                    self.gap = 0;
                    self.prefixed = false;
                    self.high = Some((digit, from));
                }
                Some(_) if self.word >= RUN_MIN => {}
                None if !inside => {}
                _ => self.at = At::Word,
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
                    // What is too long for a word may have a run anywhere.
                    None if self.word >= RUN_MIN => self.end(At::Begin, view),
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
