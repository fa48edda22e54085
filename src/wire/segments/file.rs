//! Files in a body: which are text, and what they say.
//!
//! What is declared to be a picture, a sound, a video or a binary document is not opened. All else
//! is, and what does not read as text then is told as it stands: a wrong or missing media type
//! hides nothing.

use super::super::event::Kind;
use super::super::media_type::MediaType;
use super::super::percent;
use super::node::{Node, Sense, Told, unknown};

/// What a file is declared to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum File {
    /// Pictures, sound, PDF: not text.
    Sealed,
    /// Text.
    Text,
    /// Nothing that we know.
    Unsaid,
}

/// What is found in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// What it says, if that is text.
    pub(super) text: Option<String>,
    /// Whether the string that it stands in is text too, because it is not clearly a file.
    pub(super) is_itself: bool,
}

/// Binary files of a family `application/`, by the beginning of their names.
const SEALED: &[&str] =
    &["pdf", "msword", "vnd.openxmlformats", "vnd.ms-", "vnd.oasis.opendocument", "zip", "gzip"];

impl File {
    /// What a media type says, parameters and all.
    pub(in crate::wire) fn of_media_type(media_type: &str) -> File {
        let name = MediaType::of(media_type).name();
        let Some((family, form)) = name.split_once('/') else { return File::Unsaid };
        match family {
            "text" => File::Text,
            _ if form.ends_with("xml") || form.ends_with("json") => File::Text,
            "image" | "audio" | "video" | "font" => File::Sealed,
            "application" if SEALED.iter().any(|known| form.starts_with(known)) => File::Sealed,
            _ => File::Unsaid,
        }
    }

    /// What a file says that stands in base64.
    pub(super) fn open(self, base64: &str) -> Opened {
        if self == File::Sealed {
            return Opened::default();
        }
        let (bytes, is_clean) = decode(base64);
        let text = self.read(&bytes);
        Opened { is_itself: !is_clean || text.is_none(), text }
    }

    fn read(self, bytes: &[u8]) -> Option<String> {
        let text = match (bytes, self) {
            ([0xFF, 0xFE, rest @ ..], _) => utf16(rest, u16::from_le_bytes),
            ([0xFE, 0xFF, rest @ ..], _) => utf16(rest, u16::from_be_bytes),
            (_, File::Text) => String::from_utf8_lossy(bytes).into_owned(),
            (_, File::Unsaid | File::Sealed) => std::str::from_utf8(bytes).ok()?.to_owned(),
        };
        (!text.is_empty() && (self == File::Text || !text.contains('\0'))).then_some(text)
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|bytes| unit(*bytes)).collect();
    String::from_utf16_lossy(&units)
}

/// A file that stands in its own address (RFC 2397).
pub(super) struct Inline<'a> {
    kind: File,
    is_base64: bool,
    data: &'a str,
}

impl Inline<'_> {
    pub(super) fn open(&self) -> Opened {
        let data = percent::text(self.data);
        if self.is_base64 || self.kind == File::Sealed {
            return self.kind.open(&data);
        }
        let text = self.kind.read(data.as_bytes());
        Opened { is_itself: text.is_none(), text }
    }
}

/// The file that an address is; `None` if it lies elsewhere.
pub(super) fn inline(address: &str) -> Option<Inline<'_>> {
    let address = address.trim_start();
    let scheme = address.get(..5)?;
    if !scheme.eq_ignore_ascii_case("data:") {
        return None;
    }
    let (head, data) = address.get(5..)?.split_once(',')?;
    let is_base64 =
        head.rsplit(';').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("base64"));
    // Text is what such an address is where it does not say.
    let is_unsaid = MediaType::of(head).is_empty();
    let kind = if is_unsaid { File::Text } else { File::of_media_type(head) };
    Some(Inline { kind, is_base64, data })
}

/// What is in base64, of either alphabet, and whether there was nothing else in it but padding and
/// ends of lines. What else there is, is passed over, as lenient readers do.
fn decode(base64: &str) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(base64.len() / 4 * 3 + 3);
    let (mut bits, mut count, mut is_clean) = (0u32, 0u32, true);
    for byte in base64.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                count = 0;
                continue;
            }
            b'\n' | b'\r' => continue,
            _ => {
                is_clean = false;
                continue;
            }
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    (out, is_clean)
}

/// A `source` of Anthropic's blocks, which imitators of others take as well.
pub(in crate::wire) const fn source(sense: Sense) -> Node {
    Node::told(sense, &["type", "media_type"], source_of)
}

/// What such a source is.
pub(in crate::wire) fn source_of(sense: Sense, told: &Told<'_>) -> Node {
    let is_file = told.first().is_some_and(|kind| kind == "base64");
    let kind = told.second().map_or(File::Unsaid, File::of_media_type);
    Node::object(sense.with(kind), if is_file { bytes } else { text })
}

fn bytes(sense: Sense, name: &str) -> Node {
    match name {
        "data" => Node::file(sense.to(Kind::Document)),
        _ => member(sense, name),
    }
}

fn text(sense: Sense, name: &str) -> Node {
    match name {
        "data" => Node::part(sense.to(Kind::Document)).apart(),
        _ => member(sense, name),
    }
}

fn member(sense: Sense, name: &str) -> Node {
    match name {
        "type" => Node::SKIP.once("type"),
        "media_type" => Node::SKIP.once("media_type"),
        "url" => Node::address(sense.to(Kind::Other)),
        _ => unknown(sense, name),
    }
}
