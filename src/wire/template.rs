//! The pass path: frames of one channel differ only in their text.
//!
//! The bytes of the last frame before and after its text are kept. A new frame that begins and
//! ends with them, and has neither a quote nor a backslash between, says its text on the same
//! channel: an equal beginning leaves a JSON reader in the same state, and without a quote inside
//! the closing quote is the same one. No frame needs to be parsed for that.

use super::event::{Channel, Form, Span};

/// The most bytes that are kept; frames with longer surroundings are parsed each time.
const TEMPLATE_BYTES_MAX: usize = 1024;

/// What the last frame looked like around its text; empty if it taught nothing.
#[derive(Debug, Default)]
pub(super) struct Template {
    /// Beginning and end, one after the other.
    bytes: Vec<u8>,
    before: usize,
    channel: Option<Channel>,
}

impl Template {
    /// The text of `raw`, if it is a frame like the last one.
    pub(super) fn matches<'a>(&self, raw: &'a [u8]) -> Option<(Channel, &'a str, Span)> {
        let channel = self.channel?;
        let (before, after) = self.bytes.split_at(self.before);
        let inner = raw.strip_prefix(before)?.strip_suffix(after)?;
        // Control bytes are not allowed in a JSON string, and a line end would begin a new line.
        let is_plain = inner.iter().all(|&byte| byte != b'"' && byte != b'\\' && byte >= 0x20);
        if !is_plain || inner.is_empty() {
            return None;
        }
        let text = std::str::from_utf8(inner).ok()?;
        let start = u32::try_from(self.before).ok()?;
        let end = start + u32::try_from(inner.len()).ok()?;
        Some((channel, text, Span { start, end, form: Form::Quoted }))
    }

    /// Remembers a frame that said nothing but one text at `span`.
    pub(super) fn learn(&mut self, raw: &[u8], channel: Channel, span: Span) {
        let (start, end) = (span.start as usize, span.end as usize);
        let (Some(before), Some(after)) = (raw.get(..start), raw.get(end..)) else {
            return self.forget();
        };
        if before.len() + after.len() > TEMPLATE_BYTES_MAX {
            return self.forget();
        }
        self.bytes.clear();
        self.bytes.reserve_exact(before.len() + after.len());
        self.bytes.extend_from_slice(before);
        self.bytes.extend_from_slice(after);
        self.before = start;
        self.channel = Some(channel);
    }

    /// Remembers nothing.
    pub(super) fn forget(&mut self) {
        self.channel = None;
    }
}
