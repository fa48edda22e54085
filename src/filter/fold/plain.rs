//! Whether decoded bytes are text: UTF-8 without control characters, or ASCII in UTF-16.
//!
//! Random bytes fail within a few characters, which is what ends a run of letters or digits that
//! is no encoded text, and with it the wait for it.

/// Reads one byte after another.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Plain {
    bytes: [u8; 4],
    have: u8,
    need: u8,
    /// Bytes read so far, as far as it matters: 0, 1, or more.
    read: u8,
    /// UTF-16 with the low byte first, and whether a high byte is due.
    wide: Option<High>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum High {
    Due,
    NotDue,
}

/// What a byte makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// Part of a character that is not complete.
    Part,
    /// A byte that is part of no character.
    Nothing,
    Char(char),
    /// This is no text.
    NoText,
}

impl Plain {
    /// Whether a character was begun and is not complete.
    pub(super) fn open(self) -> bool {
        self.have > 0
    }

    /// Whether a byte may come that begins with these `count` bits, two or four.
    pub(super) fn may_begin(self, bits: u32, count: u32) -> bool {
        let nibble = bits << (4 - count);
        match self.wide {
            Some(High::Due) => nibble == 0,
            Some(High::NotDue) => nibble < 8,
            None if self.have > 0 => (8..12).contains(&nibble),
            None if count == 4 && nibble == 1 => false,
            None => !(8..12).contains(&nibble),
        }
    }

    pub(super) fn byte(&mut self, byte: u8) -> Reads {
        let second = self.read == 1;
        self.read = self.read.saturating_add(1);
        match self.wide {
            Some(High::Due) => {
                self.wide = Some(High::NotDue);
                return if byte == 0 { Reads::Nothing } else { Reads::NoText };
            }
            Some(High::NotDue) => self.wide = Some(High::Due),
            None if second && byte == 0 => {
                self.wide = Some(High::NotDue);
                return Reads::Nothing;
            }
            None => {}
        }
        if self.have == 0 {
            self.need = match byte {
                b'\t' | b'\n' | b'\r' | 0x20..0x7F => return Reads::Char(char::from(byte)),
                _ if self.wide.is_some() => return Reads::NoText,
                0xC2..0xE0 => 2,
                // A byte order mark is a sign of text; it folds to nothing.
                0xE0..0xF0 => 3,
                0xF0..0xF5 => 4,
                _ => return Reads::NoText,
            };
        } else if !(0x80..0xC0).contains(&byte) {
            return Reads::NoText;
        }
        if let Some(place) = self.bytes.get_mut(usize::from(self.have)) {
            *place = byte;
        }
        self.have += 1;
        if self.have < self.need {
            return Reads::Part;
        }
        let known = self.bytes.get(..usize::from(self.have));
        self.have = 0;
        let text = known.and_then(|bytes| str::from_utf8(bytes).ok());
        match text.and_then(|text| text.chars().next()) {
            Some(ch) if !ch.is_control() && !private(ch) => Reads::Char(ch),
            _ => Reads::NoText,
        }
    }
}

/// Characters that no text has.
const fn private(ch: char) -> bool {
    matches!(ch, '\u{E000}'..='\u{F8FF}' | '\u{FFFE}'..='\u{FFFF}' | '\u{F0000}'..)
}
