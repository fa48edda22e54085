//! The short way through a stream whose frames differ only in their text.
//!
//! Providers send thousands of frames that are equal but for the characters between two quotes; OpenAI
//! adds a string of a random length to each, so that the length of a frame does not tell its text
//! (API reference, "stream_options.include_obfuscation"). A template keeps the bytes around these
//! strings of a frame that was decoded in full; a frame that differs in nothing but them says the
//! same with its own strings, and no JSON is parsed.
//!
//! Why this is sound: equal bytes up to an opening quote leave a JSON parser in the same state; the
//! string ends at the first quote that is not escaped; from there on the bytes are equal again. A
//! string with control characters, or with escapes that readers take differently, is left to the
//! parser. Event names and line ends are part of the bytes compared.
//! What a frame says also depends on what its decoder remembers, so the decoder learns only frames
//! that would say the same again, and learns or [clears](Template::clear) at every frame that it
//! decodes in full.

use super::Sink;
use super::event::{Channel, Event, Form, Place, Span};
use super::json;
use super::sse::Frame;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::ops::Range;

/// The most bytes of a frame, its text aside, that are kept.
pub const TEMPLATE_BYTES_MAX: usize = 1024;

/// The most unknown members that a templated frame may have.
const EXTRAS_MAX: usize = 6;

/// The name of the string that OpenAI fills up frames with.
const PADDING: &str = "obfuscation";

/// The bytes around the text of the last frame, and what that frame said.
#[derive(Clone, Debug, Default)]
pub struct Template {
    known: Option<Known>,
    notes: Notes,
}

#[derive(Clone, Debug)]
struct Known {
    /// Bytes before the text, between it and the padding, and behind that; at most
    /// [`TEMPLATE_BYTES_MAX`].
    bytes: Box<[u8]>,
    before: usize,
    /// Where those between end, and the number of the unknown member that is the padding.
    padding: Option<(usize, usize)>,
    channel: Channel,
    /// The unknown members of the frame; the text stands between the first `lead` and the rest.
    extras: Vec<Extra>,
    lead: usize,
}

/// An unknown member.
#[derive(Clone, Debug)]
struct Extra {
    place: Place,
    key: Box<str>,
    json: Box<str>,
    /// Where its value stands in the frame, if that was lent from it.
    at: Option<usize>,
}

/// The strings of a frame that is like the last one.
struct Read<'f> {
    text: Cow<'f, str>,
    span: Span,
    /// The padding, with its quotes.
    padding: &'f str,
}

impl Known {
    /// Reads a frame that differs in nothing but its strings.
    fn read<'f>(&self, raw: &'f [u8]) -> Option<Read<'f>> {
        let (before, rest) = self.bytes.split_at(self.before);
        let (end, has_escapes) = string_end(raw, raw.starts_with(before).then_some(self.before)?)?;
        let inner = std::str::from_utf8(&raw[self.before..end]).ok()?;
        if inner.is_empty() {
            return None;
        }
        let mut padding = "";
        if let Some((middle, _)) = self.padding {
            let (middle, behind) = rest.split_at(middle - self.before);
            let start = raw[end..].starts_with(middle).then_some(end + middle.len())?;
            let (end, has_escapes) = string_end(raw, start)?;
            if has_escapes || raw[end..] != *behind {
                return None;
            }
            padding = std::str::from_utf8(&raw[start - 1..=end]).ok()?;
        } else if raw[end..] != *rest {
            return None;
        }
        let text = if has_escapes { json::unescape(inner) } else { Cow::Borrowed(inner) };
        let (start, end) = (u32::try_from(self.before).ok()?, u32::try_from(end).ok()?);
        Some(Read { text, span: Span { start, end, form: Form::Quoted }, padding })
    }

    fn extra<'e>(&'e self, number: usize, extra: &'e Extra, padding: &'e str) -> Event<'e> {
        let is_padding = self.padding.is_some_and(|(_, padding)| padding == number);
        Event::Extra {
            place: extra.place,
            key: Cow::Borrowed(&extra.key),
            json: Cow::Borrowed(if is_padding { padding } else { &extra.json }),
        }
    }
}

/// Where the string ends whose inside begins at `at`, and whether it has escapes; `None` if it has
/// no end, or is for a parser to read.
fn string_end(bytes: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut has_escapes = false;
    loop {
        match bytes.get(at)? {
            b'"' => return Some((at, has_escapes)),
            b'\\' => {
                has_escapes = true;
                at += match bytes.get(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    b'u' if is_character(bytes.get(at + 2..at + 6)?) => 6,
                    _ => return None,
                };
            }
            0..0x20 => return None,
            _ => at += 1,
        }
    }
}

/// Whether four digits of an escape are a character by themselves, no half of a pair.
fn is_character(digits: &[u8]) -> bool {
    let is_surrogate = matches!(digits, [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]);
    digits.iter().all(u8::is_ascii_hexdigit) && !is_surrogate
}

/// What one frame said, noted while it was decoded in full.
#[derive(Clone, Debug, Default)]
struct Notes {
    text: Option<(Channel, Span)>,
    extras: SmallVec<[Extra; 2]>,
    lead: usize,
    is_plain: bool,
}

impl Template {
    /// Tells what `frame` says if it is like the last one; otherwise `false`, and nothing told.
    #[inline]
    pub fn tell(&self, frame: &Frame<'_>, sink: &mut Sink<'_>) -> bool {
        let Some(known) = &self.known else { return false };
        let Some(Read { text, span, padding }) = known.read(frame.raw) else { return false };
        let (lead, rest) = known.extras.split_at(known.lead);
        for (number, extra) in lead.iter().enumerate() {
            sink(known.extra(number, extra, padding));
        }
        sink(Event::Text { channel: known.channel, text, span: Some(span) });
        for (number, extra) in rest.iter().enumerate() {
            sink(known.extra(known.lead + number, extra, padding));
        }
        true
    }

    /// Begins the full decoding of a frame.
    pub fn begin(&mut self) {
        self.known = None;
        self.notes.text = None;
        self.notes.extras.clear();
        self.notes.lead = 0;
        self.notes.is_plain = true;
    }

    /// Notes an event of the frame being decoded in full, whose bytes are `raw`.
    pub fn note(&mut self, event: &Event<'_>, raw: &[u8]) {
        let notes = &mut self.notes;
        match event {
            Event::Text { channel, span: Some(span), .. }
                if span.form == Form::Quoted && notes.text.is_none() =>
            {
                notes.text = Some((*channel, *span));
                notes.lead = notes.extras.len();
            }
            Event::Extra { place, key, json: text }
                if notes.is_plain
                    && notes.extras.len() < EXTRAS_MAX
                    && text.len() <= TEMPLATE_BYTES_MAX =>
            {
                let at = json::offset_of(raw, text);
                let (key, json) = (Box::from(&**key), Box::from(&**text));
                notes.extras.push(Extra { place: *place, key, json, at });
            }
            Event::Extra { .. }
            | Event::Start { .. }
            | Event::Open { .. }
            | Event::Text { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Stop { .. }
            | Event::Usage { .. }
            | Event::Error { .. }
            | Event::Ping
            | Event::Opaque { .. }
            | Event::End => notes.is_plain = false,
        }
    }

    /// Ends the full decoding of `frame`: keeps it as the template if all that was noted is one
    /// text and unknown members, and, as the decoder says, the same bytes would say it again.
    pub fn learn(&mut self, frame: &Frame<'_>, is_steady: bool) {
        let notes = &mut self.notes;
        let Some((channel, span)) = notes.text.filter(|_| is_steady && notes.is_plain) else {
            return;
        };
        let (start, end) = (span.start as usize, span.end as usize);
        let (Some(before), Some(behind)) = (frame.raw.get(..start), frame.raw.get(end..)) else {
            return;
        };
        // An empty text says nothing at all in some dialects, so it is never the model of others.
        if start >= end || before.len() + behind.len() > TEMPLATE_BYTES_MAX {
            return;
        }
        let padding = padding(&notes.extras, end, frame.raw.len());
        let (middle, behind) = match &padding {
            Some((_, inside)) => (&frame.raw[end..inside.start], &frame.raw[inside.end..]),
            None => (behind, &b""[..]),
        };
        self.known = Some(Known {
            before: start,
            padding: padding.map(|(number, _)| (start + middle.len(), number)),
            bytes: [before, middle, behind].concat().into_boxed_slice(),
            channel,
            lead: notes.lead,
            extras: notes.extras.drain(..).collect(),
        });
    }
}

/// The number of the unknown member that is the padding of a frame of `length` bytes, and where the
/// inside of its string stands, behind `end`.
fn padding(extras: &[Extra], end: usize, length: usize) -> Option<(usize, Range<usize>)> {
    let is_it = |extra: &Extra| extra.place == Place::Frame && *extra.key == *PADDING;
    let number = extras.iter().position(is_it)?;
    let (json, start) = (extras[number].json.as_bytes(), extras[number].at? + 1);
    let is_plain = json.starts_with(b"\"") && string_end(json, 1)? == (json.len() - 1, false);
    let inside = start..start + json.len().checked_sub(2)?;
    (is_plain && start > end && inside.end < length).then_some((number, inside))
}

#[cfg(test)]
impl Template {
    /// Forgets the template, so that the next frame is read in full.
    pub fn clear(&mut self) {
        self.known = None;
    }
}
