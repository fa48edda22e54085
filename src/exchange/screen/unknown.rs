//! What the decoders do not understand, judged all the same: unknown members and events, errors of
//! providers, comments.
//!
//! What always holds: every string in it, names included, is judged by itself; one that may be a
//! piece of a longer text, as the members of a delta are, is judged together with what came before
//! it in the same place as well, and is held as any text is. What cannot be changed in its place
//! ends the answer.

use super::line::Line;
use super::run::Fed;
use super::{Altered, Found, Judged, OUTSIDE, Screen};
use crate::wire::Dialect;
use crate::wire::event::{Channel, Form, Kind, Place, Span};
use crate::wire::framing::Framing;
use crate::wire::json;
use crate::wire::sse::Frame;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// Members that say to which text a piece belongs.
const PLACES: [&str; 5] = ["index", "output_index", "content_index", "summary_index", "item_id"];

/// Members of a Responses answer that repeat the request
/// (<https://platform.openai.com/docs/api-reference/responses/object>).
const REPEATED: [&str; 16] = [
    "conversation",
    "include",
    "input",
    "instructions",
    "metadata",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "truncation",
    "user",
];

impl Screen {
    pub(super) fn extra(&mut self, place: Place, key: &str, raw: &str, whole: &[u8]) -> Judged {
        if let Some(repeated) = skeleton(self.source, place, raw) {
            return self.verbatim(None, raw, whole, "", &repeated);
        }
        if spells(key) {
            return self.probabilities(raw, whole);
        }
        self.frame.steps += 1;
        self.schema_name(key);
        let (opens, channel) = (self.frame.opens, self.frame.channel);
        let line = line_of_extra(self.source, place, key, opens, channel);
        self.verbatim(line.filter(|_| self.in_pieces), raw, whole, key, &[])
    }

    pub(super) fn opaque(&mut self, name: &str, data: &[u8], whole: &[u8]) -> Judged {
        let Ok(text) = std::str::from_utf8(data) else {
            self.runs.unjudged(Kind::Other, &mut self.found);
            return Judged::Clear;
        };
        self.schema_name(name);
        if json::is_valid(text) {
            let line = line_of_event(name, text).filter(|_| self.in_pieces);
            return self.verbatim(line, text, whole, "", &[]);
        }
        self.name(OUTSIDE, text);
        if !self.in_pieces {
            return Judged::Clear;
        }
        if self.runs.feed(line_of_text(name), text, &mut self.found) != Fed::Clear {
            self.found.cut_unchangeable();
        }
        Judged::Clear
    }

    /// Token probabilities: dropped where they spell what may not leave.
    fn probabilities(&mut self, raw: &str, whole: &[u8]) -> Judged {
        let span = place_of(whole, raw).and_then(|start| span(start, raw.len(), Form::Json));
        let mut found = Found::default();
        let mut is_clean = true;
        for inner in json::texts(raw) {
            let text = json::unescape(inner.text);
            if inner.text.len() > 1 && !(inner.is_name && is_schema_name(&text)) {
                is_clean &= self.runs.whole(Kind::Other, &text, &mut found) == Fed::Clear;
            }
        }
        is_clean &= self.runs.whole(Kind::Answer, &spelled(raw), &mut found) == Fed::Clear;
        if is_clean {
            self.frame.spelled.extend(span);
            return Judged::Clear;
        }
        if found.is_cut() {
            self.found.join(found);
        }
        let (line, text, is_running) = (OUTSIDE.into(), "null".to_owned(), false);
        self.frame.altered.push(Altered { line, span, text: text.clone(), is_running });
        Judged::Instead(text)
    }

    /// Counts, and what a provider puts beside them.
    pub(super) fn usage(&mut self, native: &str, whole: &[u8]) -> Judged {
        self.verbatim(None, native, whole, "", &[])
    }

    /// What a provider says of its failure.
    pub(super) fn error(&mut self, code: &str, message: &str, native: &str) {
        self.name(OUTSIDE, code);
        self.name(OUTSIDE, message);
        for inner in json::texts(native) {
            let text = json::unescape(inner.text);
            if inner.is_name {
                self.schema_name(&text);
            } else {
                self.name(OUTSIDE, &text);
            }
        }
    }

    /// The name of a member or event, unless it looks like one of a schema (`content_filter_results`): a rule
    /// about `hate` is not about a provider's own report of it.
    fn schema_name(&mut self, name: &str) {
        if !is_schema_name(name) {
            self.name(OUTSIDE, name);
        }
    }

    /// What stands around the data of a frame.
    pub(super) fn envelope(&mut self, framing: Framing, frame: &Frame<'_>) {
        around(framing, frame, &mut |text| self.bytes(text));
    }

    fn bytes(&mut self, text: &[u8]) {
        match std::str::from_utf8(text) {
            Ok(text) => self.name(OUTSIDE, text),
            Err(_) => self.runs.unjudged(Kind::Other, &mut self.found),
        }
    }

    /// Every string of a JSON value that is not understood, but for those in `past`; those that may
    /// be pieces of a longer text run on `line`, and on lines beside it.
    fn verbatim(
        &mut self,
        line: Option<Line>,
        raw: &str,
        whole: &[u8],
        key: &str,
        past: &[&str],
    ) -> Judged {
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        let start = place_of(whole, raw);
        for Word { inner, line } in words(line, raw, key, past) {
            let text = json::unescape(inner.text);
            if inner.is_name {
                self.name(OUTSIDE, &text);
                continue;
            }
            let known = self.found.count();
            let mut fed = self.runs.whole(Kind::Other, &text, &mut self.found);
            let at = line.unwrap_or(OUTSIDE.into());
            if line.is_some() {
                if self.found.count() == known {
                    fed = self.runs.feed(at, &text, &mut self.found);
                } else {
                    self.finish(|other| other == at);
                }
            }
            if let Fed::Instead(with) = fed {
                let quoted = inner.start - 1..=inner.start + inner.text.len();
                let place = match start {
                    Some(start) => Some(start + inner.start),
                    None => place_of(whole, raw.get(quoted).unwrap_or_default()).map(|at| at + 1),
                };
                let span = place.and_then(|start| span(start, inner.text.len(), Form::Quoted));
                self.frame.altered.push(Altered {
                    line: at,
                    span,
                    text: with.clone(),
                    is_running: at.member != 0,
                });
                edits.push((inner.start..inner.start + inner.text.len(), with));
            }
        }
        if edits.is_empty() {
            return Judged::Clear;
        }
        let mut json = Vec::with_capacity(raw.len());
        let mut from = 0;
        for (place, with) in edits {
            json.extend_from_slice(raw.get(from..place.start).unwrap_or_default().as_bytes());
            json::push_escaped(&mut json, &with);
            from = place.end;
        }
        json.extend_from_slice(raw.get(from..).unwrap_or_default().as_bytes());
        Judged::Instead(String::from_utf8_lossy(&json).into_owned())
    }
}

/// A string of what is not understood.
pub(super) struct Word<'r> {
    pub(super) inner: json::Inner<'r>,
    /// The text of which it may be a piece.
    pub(super) line: Option<Line>,
}

/// The strings of a JSON value that is not understood, but for those in `past`: those that have words, and names
/// that are none of a schema. Those that may be pieces of a longer text run on `line`, and on lines
/// beside it.
pub(super) fn words<'r>(
    line: Option<Line>,
    raw: &'r str,
    key: &'r str,
    past: &'r [&'r str],
) -> impl Iterator<Item = Word<'r>> {
    // By name whether a string of it stands there once; in one walk, for a frame may have many.
    let mut alone: HashMap<&str, bool> = HashMap::new();
    for inner in json::strings(if line.is_some() { raw } else { "" }) {
        alone.entry(inner.key).and_modify(|once| *once = false).or_insert(true);
    }
    let is_past =
        |text: &str| past.iter().any(|past| json::offset_of(past.as_bytes(), text).is_some());
    json::texts(raw).filter(move |inner| !is_past(inner.text)).filter_map(move |inner| {
        if inner.is_name {
            let is_known = is_schema_name(&json::unescape(inner.text));
            return (!is_known).then_some(Word { inner, line: None });
        }
        let name = if inner.key.is_empty() { key } else { inner.key };
        if is_bookkeeping(name) {
            return None;
        }
        // What stands beside its like in a list is no piece of it.
        let is_piece = (matches!(key, "" | "function") || is_piece(inner.key))
            && alone.get(inner.key) == Some(&true);
        let line = line.filter(|_| is_piece);
        let line = line.map(|line| Line { member: number(&[name]) ^ line.member, ..line });
        Some(Word { inner, line })
    })
}

/// The text of which a member may be a piece; `channel` is that of the last text of its frame,
/// which `opens` a block.
pub(super) fn line_of_extra(
    source: Dialect,
    place: Place,
    key: &str,
    opens: bool,
    channel: Option<Channel>,
) -> Option<Line> {
    let is_part = source == Dialect::Gemini && !is_known_part(key);
    let is_whole = opens && matches!(place, Place::Block(_)) && !is_part
        || matches!(key, "citation" | "citations" | "annotations");
    let blocks_have_deltas = !matches!(source, Dialect::OpenaiChat | Dialect::Gemini);
    let (choice, block) = match place {
        Place::Delta(block) if blocks_have_deltas => (0, block),
        Place::Delta(choice) => (choice, 0),
        // Each part is a block of its own; one that is not understood may be a piece.
        Place::Block(_) if is_part => (0, u16::MAX),
        Place::Block(block) => (0, block),
        Place::Frame | Place::Message | Place::Choice(_) => {
            channel.map_or((0, 0), |channel| (channel.choice, channel.block))
        }
    };
    // Where a frame is one step, all of a frame that brings text is about that text.
    let is_beside = place == Place::Frame && blocks_have_deltas && channel.is_some();
    let is_piece = is_beside || matches!(place, Place::Delta(_) | Place::Block(_));
    (is_piece && !is_whole).then(|| Line {
        channel: Channel { choice, block, part: 0, kind: Kind::Other },
        member: number(&[key]),
    })
}

/// The text of which an event that is JSON may be a piece: only what calls itself one is; every
/// other event tells whole things.
pub(super) fn line_of_event(name: &str, text: &str) -> Option<Line> {
    let mut parts = vec![name];
    let places = json::members(text).filter(|(key, _)| PLACES.contains(&&**key));
    parts.extend(places.map(|(_, value)| value));
    let calls_itself = |name: &str| name.to_ascii_lowercase().contains("delta");
    let is_delta = calls_itself(name)
        || json::members(text).any(|(key, value)| key == "type" && calls_itself(value));
    is_delta.then(|| Line { channel: OUTSIDE, member: number(&parts) })
}

/// The text of which an event that is no JSON may be a piece.
pub(super) fn line_of_text(name: &str) -> Line {
    Line { channel: OUTSIDE, member: number(&[name, "text"]) }
}

/// The text that token probabilities spell.
pub(super) fn line_of_spelled(key: &str) -> Line {
    Line { channel: OUTSIDE, member: number(&[key, "token"]) }
}

/// What token probabilities spell.
pub(super) fn spelled(raw: &str) -> String {
    let tokens = json::strings(raw).filter(|inner| inner.key == "token");
    tokens.map(|inner| json::unescape(inner.text)).collect()
}

/// Whether this is a frame of Responses whose texts are events of their own: then what it repeats
/// of the request, which is the caller's own.
pub(super) fn skeleton(source: Dialect, place: Place, raw: &str) -> Option<Vec<&str>> {
    if source != Dialect::OpenaiResponses || place != Place::Message {
        return None;
    }
    let mut repeated = Vec::new();
    for (key, value) in json::members(raw) {
        let inner = json::members(if key == "response" { value } else { "" });
        let all = std::iter::once((key, value)).chain(inner);
        repeated.extend(all.filter(|(key, _)| REPEATED.contains(&&**key)).map(|(_, v)| v));
    }
    Some(repeated)
}

/// What stands around the data of a frame: its event's name, comments, other fields.
pub(super) fn around(framing: Framing, frame: &Frame<'_>, tell: &mut dyn FnMut(&[u8])) {
    if !frame.event.iter().all(|byte| byte.is_ascii_alphabetic() || b"_.".contains(byte)) {
        tell(frame.event);
    }
    if framing != Framing::Sse {
        return;
    }
    // As nearly all frames look: `data: …`, with or without `event: …` before it.
    let event = if frame.event.is_empty() { 0 } else { "event: \n".len() + frame.event.len() };
    // One without its blank line may hold another line in the place of that.
    let is_plain = frame.raw.ends_with(b"\n\n")
        && frame.raw.len() <= event + "data: \n\n".len() + frame.data.len();
    if is_plain && !frame.data.is_empty() {
        return;
    }
    for line in frame.raw.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let is_known = [&b"data:"[..], b"event:"].iter().any(|name| line.starts_with(name));
        if !is_known && !matches!(line, b"" | b":" | b"data" | b"event") {
            tell(line);
        }
    }
}

/// Where `raw` stands in `whole`: by its address, or where it is found only once.
fn place_of(whole: &[u8], raw: &str) -> Option<usize> {
    if let Some(start) = json::offset_of(whole, raw) {
        return Some(start);
    }
    let mut places = memchr::memmem::find_iter(whole, raw.as_bytes());
    let first = places.next()?;
    places.next().is_none().then_some(first)
}

fn span(start: usize, length: usize, form: Form) -> Option<Span> {
    let end = u32::try_from(start + length).ok()?;
    Some(Span { start: u32::try_from(start).ok()?, end, form })
}

/// A number for a member, never 0.
fn number(parts: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish() | 1
}

/// Whether a name looks like one of a schema: letters, `_` and `.`.
pub(super) fn is_schema_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.'))
}

/// Whether a member spells the text beside it out, token by token.
pub(super) fn spells(key: &str) -> bool {
    matches!(key, "logprobs" | "logprobsResult")
}

/// Whether a string under this name, in a member that may be a piece of a text, may itself be one.
/// The empty name is that of the member's own value.
fn is_piece(key: &str) -> bool {
    matches!(key, "" | "delta" | "piece" | "reasoning" | "summary" | "text" | "thinking" | "words")
}

/// Parts of Gemini that stand whole (<https://ai.google.dev/api/caching#Part>).
fn is_known_part(key: &str) -> bool {
    matches!(
        key,
        "codeExecutionResult"
            | "executableCode"
            | "fileData"
            | "functionResponse"
            | "inlineData"
            | "toolCall"
            | "toolResponse"
            | "videoMetadata"
    ) || key.starts_with("functionCall")
}

/// Members that hold ids, states and ciphertext, never words.
fn is_bookkeeping(key: &str) -> bool {
    matches!(
        key,
        "id" | "type"
            | "status"
            | "role"
            | "object"
            | "model"
            | "system_fingerprint"
            | "service_tier"
            | "obfuscation"
            | "signature"
            | "thoughtSignature"
            | "thought_signature"
            | "encrypted_content"
            | "responseId"
            | "modelVersion"
            | "p"
    ) || key.ends_with("_id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_data_of_a_last_frame_is_told() {
        let told = |raw: &[u8]| {
            let mut told = Vec::new();
            around(Framing::Sse, &Frame::parse(raw), &mut |text| told.push(text.to_vec()));
            told
        };
        assert_eq!(told(b"data: so\n\n"), Vec::<Vec<u8>>::new());
        assert_eq!(told(b"data: so"), Vec::<Vec<u8>>::new());
        assert_eq!(told(b"data:so\n:c"), [b":c"]);
        assert_eq!(told(b"data: so\n: c\n\n"), [b": c"]);
    }
}
