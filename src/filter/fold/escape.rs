//! Escapes: HTML entities, `%xx`, `\uXXXX`, `\xXX`. What they stand for takes their place.
//!
//! An escape is judged by a pure function of what was read since its first character, so it does
//! not matter how the text was cut. What waits is at most [`LEN_MAX`] bytes, and only as long as
//! they are the begin of an escape.
//!
//! An escape that was escaped again (`&amp;#105;`, `%2569`, `\\u0069`) is undone at once, up to
//! twice. What an escape stands for is not read as the begin of another.

use super::entities;
pub(super) use super::entities::Escape;

/// The longest escape, in bytes.
pub(super) const LEN_MAX: usize = 32;
/// How often an escape may be escaped again.
const NESTED_MAX: usize = 2;

/// How text ends that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// More may come.
    Open,
    /// Nothing will.
    Over,
}

/// Whether an escape may begin with this character.
pub(super) const fn begins(ch: char) -> bool {
    matches!(ch, '&' | '%' | '\\')
}

/// Where the first begin of an escape is.
pub(super) fn first_begin(piece: &[u8]) -> Option<usize> {
    memchr::memchr3(b'&', b'%', b'\\', piece)
}

/// Judges text that begins with `&`, `%` or `\`.
pub(super) fn judge(text: &str, rest: Rest) -> Escape {
    let judged = match text.as_bytes().first() {
        Some(b'&') => entity(text),
        Some(b'%') => percent(text),
        Some(b'\\') => backslash(text),
        _ => Escape::Not,
    };
    match judged {
        Escape::Open if text.len() >= LEN_MAX => Escape::Not,
        Escape::Open if rest == Rest::Over => cut_short(text),
        judged => judged,
    }
}

/// An escape at the end of the channel: one that needs no end is one all the same.
fn cut_short(text: &str) -> Escape {
    // A character that is part of no escape shows what the text is without more of it.
    let mut longer = String::with_capacity(text.len() + 1);
    longer.push_str(text);
    longer.push('\n');
    match judge(&longer, Rest::Open) {
        Escape::Is { ch, len } if len <= text.len() => Escape::Is { ch, len },
        _ => Escape::Not,
    }
}

/// Digits at the begin of a text.
enum Digits {
    Open,
    Not,
    Are { value: u32, len: usize },
}

/// Exactly `count` hexadecimal digits.
fn hex(text: &str, count: usize) -> Digits {
    digits(text, 16, count, count)
}

/// From `least` to `most` digits; fewer than `most` need a character behind them.
fn digits(text: &str, radix: u32, least: usize, most: usize) -> Digits {
    let mut value: u32 = 0;
    let mut len = 0;
    for ch in text.chars() {
        let Some(digit) = ch.to_digit(radix) else {
            return if len < least { Digits::Not } else { Digits::Are { value, len } };
        };
        value = value.saturating_mul(radix).saturating_add(digit);
        len += 1;
        if len == most {
            return Digits::Are { value, len };
        }
    }
    Digits::Open
}

fn is(value: u32, len: usize) -> Escape {
    char::from_u32(value).map_or(Escape::Not, |ch| Escape::Is { ch, len })
}

/// `&name;`, `&#105;`, `&#x69;`; the last two also without a semicolon, as browsers read them.
fn entity(text: &str) -> Escape {
    let mut at = 1;
    for _ in 0..NESTED_MAX {
        match text.get(at..).and_then(|more| more.strip_prefix("amp;")) {
            Some(_) => at += 4,
            None => break,
        }
    }
    let body = text.get(at..).unwrap_or("");
    let judged = match body.strip_prefix('#') {
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(number) => coded(number, 16, at + 2),
            None => coded(number, 10, at + 1),
        },
        None if body.is_empty() => Escape::Open,
        None => entities::judge(body, at),
    };
    match judged {
        // `&amp;` and no escape behind it.
        Escape::Not if at > 1 => Escape::Is { ch: '&', len: 5 },
        judged => judged,
    }
}

fn coded(number: &str, radix: u32, at: usize) -> Escape {
    match digits(number, radix, 1, 8) {
        Digits::Open => Escape::Open,
        Digits::Not if number.is_empty() => Escape::Open,
        Digits::Not => Escape::Not,
        Digits::Are { value, len } => match number.as_bytes().get(len) {
            None => Escape::Open,
            Some(b';') => is(value, at + len + 1),
            Some(_) => is(value, at + len),
        },
    }
}

/// One byte written as an escape.
enum Byte {
    Open,
    Not,
    Is { byte: u8, len: usize },
}

/// `%69`, `%2569`.
fn percent_byte(text: &str) -> Byte {
    if text.is_empty() {
        return Byte::Open;
    }
    let Some(mut body) = text.strip_prefix('%') else { return Byte::Not };
    let mut at = 1;
    for _ in 0..NESTED_MAX {
        // `%25` is a percent sign, and the begin of another escape if digits are behind it.
        match body.strip_prefix("25") {
            Some("") => return Byte::Open,
            Some(more) => match hex(more, 2) {
                Digits::Open => return Byte::Open,
                Digits::Not => break,
                Digits::Are { .. } => {
                    body = more;
                    at += 2;
                }
            },
            None => break,
        }
    }
    match hex(body, 2) {
        Digits::Open => Byte::Open,
        Digits::Not => Byte::Not,
        Digits::Are { value, len } => Byte::Is { byte: value as u8, len: at + len },
    }
}

/// `\x69`, `\\x69`.
fn x_byte(text: &str) -> Byte {
    let body = text.trim_start_matches('\\');
    let slashes = text.len() - body.len();
    if slashes > 1 + NESTED_MAX {
        return Byte::Not;
    }
    match body.strip_prefix('x') {
        None if body.is_empty() => Byte::Open,
        None => Byte::Not,
        Some(_) if slashes == 0 => Byte::Not,
        Some(body) => match hex(body, 2) {
            Digits::Open => Byte::Open,
            Digits::Not => Byte::Not,
            Digits::Are { value, len } => Byte::Is { byte: value as u8, len: slashes + 1 + len },
        },
    }
}

/// The UTF-8 character that bytes written as escapes make.
fn bytes(text: &str, read: fn(&str) -> Byte) -> Escape {
    let mut utf8 = [0; 4];
    let mut at = 0;
    let mut need = 1;
    let mut have = 0;
    while have < need {
        match read(text.get(at..).unwrap_or("")) {
            Byte::Open => return Escape::Open,
            Byte::Not => return Escape::Not,
            Byte::Is { byte, len } => {
                if have == 0 {
                    need = match byte {
                        0..0x80 => 1,
                        0xC2..0xE0 => 2,
                        0xE0..0xF0 => 3,
                        0xF0..0xF5 => 4,
                        _ => return Escape::Not,
                    };
                } else if !(0x80..0xC0).contains(&byte) {
                    return Escape::Not;
                }
                if let Some(place) = utf8.get_mut(have) {
                    *place = byte;
                }
                have += 1;
                at += len;
            }
        }
    }
    let known = utf8.get(..have).and_then(|bytes| str::from_utf8(bytes).ok());
    match known.and_then(|text| text.chars().next()) {
        Some(ch) => Escape::Is { ch, len: at },
        None => Escape::Not,
    }
}

/// `%69`, `%D0%B8`, `%u0069`.
fn percent(text: &str) -> Escape {
    match text.get(1..).and_then(|body| body.strip_prefix(['u', 'U'])) {
        Some(body) => match hex(body, 4) {
            Digits::Open => Escape::Open,
            Digits::Not => Escape::Not,
            Digits::Are { value, len } => is(value, 2 + len),
        },
        None => bytes(text, percent_byte),
    }
}

/// `\u0069`, `\u{69}`, `\U00000069`, `\x69`; the first also as a surrogate pair.
fn backslash(text: &str) -> Escape {
    let body = text.trim_start_matches('\\');
    let slashes = text.len() - body.len();
    if slashes > 1 + NESTED_MAX {
        return Escape::Not;
    }
    match body.as_bytes().first() {
        None => Escape::Open,
        Some(b'x') => match bytes(text, x_byte) {
            // Bytes that are no UTF-8 are the first characters of Unicode, as JavaScript has it.
            Escape::Not => match x_byte(text) {
                Byte::Is { byte, len } => Escape::Is { ch: char::from(byte), len },
                Byte::Open | Byte::Not => Escape::Not,
            },
            judged => judged,
        },
        Some(b'U') => match hex(body.get(1..).unwrap_or(""), 8) {
            Digits::Open => Escape::Open,
            Digits::Not => Escape::Not,
            Digits::Are { value, len } => is(value, slashes + 1 + len),
        },
        Some(b'u') => utf16(body.get(1..).unwrap_or(""), slashes + 1),
        Some(_) => Escape::Not,
    }
}

fn utf16(body: &str, at: usize) -> Escape {
    if let Some(body) = body.strip_prefix('{') {
        return match digits(body, 16, 1, 8) {
            Digits::Open => Escape::Open,
            Digits::Not => Escape::Not,
            Digits::Are { value, len } => match body.as_bytes().get(len) {
                None => Escape::Open,
                Some(b'}') => is(value, at + len + 2),
                Some(_) => Escape::Not,
            },
        };
    }
    let high = match hex(body, 4) {
        Digits::Open => return Escape::Open,
        Digits::Not => return Escape::Not,
        Digits::Are { value, .. } => value,
    };
    if !(0xD800..0xDC00).contains(&high) {
        return is(high, at + 4);
    }
    let second = body.get(4..).unwrap_or("");
    let body = second.trim_start_matches('\\');
    let slashes = second.len() - body.len();
    if slashes > 1 + NESTED_MAX || (slashes == 0 && !body.is_empty()) {
        return Escape::Not;
    }
    match body.strip_prefix('u') {
        None if body.is_empty() => Escape::Open,
        None => Escape::Not,
        Some(body) => match hex(body, 4) {
            Digits::Open => Escape::Open,
            Digits::Are { value, .. } if (0xDC00..0xE000).contains(&value) => {
                let code = 0x1_0000 + ((high - 0xD800) << 10) + (value - 0xDC00);
                is(code, at + 4 + slashes + 1 + 4)
            }
            Digits::Not | Digits::Are { .. } => Escape::Not,
        },
    }
}
