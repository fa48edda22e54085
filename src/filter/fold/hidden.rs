//! ASCII that is written in characters nobody sees: tag characters, and variation selectors as
//! bytes. Decoded into a view of its own; a run of them ends with a line feed.

use super::view::View;

/// The hidden text of one channel.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hidden {
    /// Raw end of the last hidden character, while a run of them lasts.
    open: Option<u64>,
}

impl Hidden {
    /// A character that takes no room.
    pub(super) fn take(&mut self, ch: char, from: u64, to: u64, view: &mut View) {
        if let Some(byte) = ascii(ch) {
            view.push_whole(char::from(byte).encode_utf8(&mut [0; 4]), from, to);
            self.open = Some(to);
        }
    }

    /// Whether a run of hidden characters lasts.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Visible text.
    pub(super) fn end(&mut self, view: &mut View) {
        if let Some(at) = self.open.take() {
            view.push("\n", at, at);
        }
    }
}

/// The byte that a hidden character stands for, if it is one of text.
fn ascii(ch: char) -> Option<u8> {
    let code = u32::from(ch);
    let byte = match code {
        0xE_0000..=0xE_007F => code - 0xE_0000,
        0xFE00..=0xFE0F => code - 0xFE00,
        0xE_0100..=0xE_01EF => code - 0xE_0100 + 16,
        _ => return None,
    };
    u8::try_from(byte).ok().filter(|byte| matches!(byte, 0x20..0x7F | b'\n'))
}
