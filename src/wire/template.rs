//! The short way through a stream whose frames differ only in their text.
//!
//! Providers send thousands of frames that are equal but for the characters between two quotes.
//! A template keeps the bytes before and after the text of a frame that was decoded in full; a
//! frame that begins and ends with them, and has neither quote nor backslash nor control character
//! between, says the same with that text, and no JSON is parsed.
//!
//! Why this is sound: equal bytes up to the opening quote leave a JSON parser in the same state;
//! without quote, backslash or control character the string ends at the same closing quote; from
//! there on the bytes are equal again. Event names and line ends are part of the bytes compared.
//! What a frame says also depends on what its decoder remembers, so the decoder learns only frames
//! that would say the same again, and learns or [clears](Template::clear) at every frame that it
//! decodes in full.

use super::Sink;
use super::event::{Channel, Event, Form, Place, Span};
use super::sse::Frame;
use smallvec::SmallVec;
use std::borrow::Cow;

/// The most bytes of a frame, its text aside, that are kept.
pub const TEMPLATE_BYTES_MAX: usize = 1024;

/// The most unknown members that a templated frame may have.
const EXTRAS_MAX: usize = 6;

/// The bytes around the text of the last frame, and what that frame said.
#[derive(Clone, Debug, Default)]
pub struct Template {
    known: Option<Known>,
    notes: Notes,
}

#[derive(Clone, Debug)]
struct Known {
    /// Bytes before and behind the text; their sum is at most [`TEMPLATE_BYTES_MAX`].
    bytes: Box<[u8]>,
    before: usize,
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
}

impl Extra {
    fn event(&self) -> Event<'_> {
        Event::Extra {
            place: self.place,
            key: Cow::Borrowed(&self.key),
            json: Cow::Borrowed(&self.json),
        }
    }
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
        let raw = frame.raw;
        let (before, behind) = known.bytes.split_at(known.before);
        if raw.len() <= known.bytes.len() || !raw.starts_with(before) || !raw.ends_with(behind) {
            return false;
        }
        let end = raw.len() - behind.len();
        let inner = &raw[known.before..end];
        let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
        if inner.iter().fold(false, |found, byte| found | is_special(byte)) {
            return false;
        }
        let Ok(text) = std::str::from_utf8(inner) else { return false };
        let (Ok(start), Ok(end)) = (u32::try_from(known.before), u32::try_from(end)) else {
            return false;
        };
        let (lead, rest) = known.extras.split_at(known.lead);
        for extra in lead {
            sink(extra.event());
        }
        let span = Some(Span { start, end, form: Form::Quoted });
        sink(Event::Text { channel: known.channel, text: Cow::Borrowed(text), span });
        for extra in rest {
            sink(extra.event());
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

    /// Notes an event of the frame being decoded in full.
    pub fn note(&mut self, event: &Event<'_>) {
        let notes = &mut self.notes;
        match event {
            Event::Text { channel, span: Some(span), .. }
                if span.form == Form::Quoted && notes.text.is_none() =>
            {
                notes.text = Some((*channel, *span));
                notes.lead = notes.extras.len();
            }
            Event::Extra { place, key, json }
                if notes.is_plain
                    && notes.extras.len() < EXTRAS_MAX
                    && json.len() <= TEMPLATE_BYTES_MAX =>
            {
                let (key, json) = (Box::from(&**key), Box::from(&**json));
                notes.extras.push(Extra { place: *place, key, json });
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
        self.known = Some(Known {
            bytes: [before, behind].concat().into_boxed_slice(),
            before: start,
            channel,
            lead: notes.lead,
            extras: notes.extras.drain(..).collect(),
        });
    }
}

#[cfg(test)]
impl Template {
    /// Forgets the template, so that the next frame is read in full.
    pub fn clear(&mut self) {
        self.known = None;
    }
}
