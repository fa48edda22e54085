//! What judges outside of the gate are told of an answer, event by event.
//!
//! Text is told a sentence at a time, what a model tells a tool when the call is whole, and what no
//! decoder understands string by string, under the kind that rules for `answer` bring with them.
//! What always holds: every text of a kind that a judge is told is told once; a second copy of one
//! is told only where it says something else.

use super::line::Line;
use super::unknown::{self, Word};
use super::unread::{Content, Media};
use super::webhook::{Question, TOLD, questions_of};
use crate::filter::Channels;
use crate::table::rules::Judge;
use crate::wire::event::{Channel, Event, Kind};
use crate::wire::framing::Framing;
use crate::wire::sse::Frame;
use crate::wire::{Dialect, decode_unary, json};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// At so many bytes a text is asked about though its sentence goes on.
const SENTENCE_BYTES_MAX: usize = 2_000;
/// So many texts are asked about at once.
const TEXTS_MAX: usize = 64;
/// The most strings, and the most texts of channels, that are remembered as told; of further ones
/// each copy is told.
const KNOWN_MAX: usize = 4096;
/// The same of channels whose text goes on.
const RUNNING_MAX: usize = 256;
/// From so many bytes on, a string of nothing but base64 is a picture, a sound or a vector.
const BASE64_BYTES_MIN: usize = 1024;

/// Whether a judge outside is told of answers.
pub fn asks_about_answers(judges: &[Arc<Judge>]) -> bool {
    let told = told(judges);
    TOLD.iter().any(|kind| told.has(*kind))
}

/// Whether a judge outside is told what is not understood in an answer.
pub fn asks_about_unknown(judges: &[Arc<Judge>]) -> bool {
    told(judges).has(Kind::Other)
}

/// What judges outside are asked about a whole answer in `client`.
pub fn questions_of_whole(judges: &[Arc<Judge>], client: Dialect, body: &[u8]) -> Vec<Question> {
    if !asks_about_answers(judges) {
        return Vec::new();
    }
    let mut heard = Heard::new(judges, client);
    heard.in_pieces = false;
    decode_unary(client, body, &mut |event| heard.hear(&event));
    heard.take_questions(judges)
}

/// What judges outside are asked about an answer of no dialect.
pub fn questions_of_unread(judges: &[Arc<Judge>], media: Media, body: &[u8]) -> Vec<Question> {
    let mut heard = Heard::new(judges, Dialect::OpenaiChat);
    heard.in_pieces = false;
    match Content::of(media, body) {
        Content::Json => heard.opaque("", body),
        Content::Text(text) => heard.word(text),
        Content::Unreadable => heard.unreadable(),
        Content::None => {}
    }
    heard.take_questions(judges)
}

/// What of an answer judges outside are told.
fn told(judges: &[Arc<Judge>]) -> Channels {
    let is_told = |kind: &Kind| {
        let mut parts = judges.iter().flat_map(|judge| judge.webhooks());
        parts.any(|(_, part)| part.channels.has(*kind))
    };
    TOLD.into_iter().filter(is_told).collect()
}

/// What an answer has said since the last question, and what is known of what it said before.
#[derive(Debug)]
pub struct Heard {
    /// The dialect in which it is heard.
    source: Dialect,
    told: Channels,
    texts: Vec<Text>,
    /// The text of each line that may go on.
    lines: HashMap<Line, usize>,
    /// Whether something of it has come to an end.
    is_due: bool,
    /// Whether there was something that cannot be told.
    is_unreadable: bool,
    /// All of each channel that goes on, for second copies.
    running: HashMap<Channel, blake3::Hasher>,
    /// All of each that has ended.
    before: HashMap<Channel, blake3::Hash>,
    /// Strings that stood whole.
    known: HashSet<blake3::Hash>,
    /// Whether what is not understood may come in pieces, over several frames.
    in_pieces: bool,
    frame: FrameAtHand,
}

#[derive(Debug, Default)]
struct FrameAtHand {
    /// The channel of its last text.
    channel: Option<Channel>,
    /// Whether it opens a block.
    opens: bool,
}

#[derive(Debug)]
struct Text {
    kind: Kind,
    words: String,
}

impl Heard {
    /// Of an answer in `source`.
    pub fn new(judges: &[Arc<Judge>], source: Dialect) -> Heard {
        Heard {
            source,
            told: told(judges),
            texts: Vec::new(),
            lines: HashMap::new(),
            is_due: false,
            is_unreadable: false,
            running: HashMap::new(),
            before: HashMap::new(),
            known: HashSet::new(),
            in_pieces: true,
            frame: FrameAtHand::default(),
        }
    }

    /// From now on these are told; what the others were told is no second copy to all of them.
    pub fn tell(&mut self, judges: &[Arc<Judge>]) {
        self.told = told(judges);
        self.running.clear();
        self.before.clear();
        self.known.clear();
    }

    /// Whether nothing is to be asked.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty() && !self.is_unreadable
    }

    /// Whether it is to be asked now.
    pub fn is_due(&self) -> bool {
        !self.is_empty() && (self.is_due || self.is_unreadable)
    }

    /// What is to be asked.
    pub fn take_questions(&mut self, judges: &[Arc<Judge>]) -> Vec<Question> {
        let texts = std::mem::take(&mut self.texts);
        self.lines.clear();
        let is_unreadable = std::mem::take(&mut self.is_unreadable);
        let texts = texts.iter().map(|text| (text.kind, text.words.as_str()));
        questions_of(judges, texts, is_unreadable)
    }

    /// Another frame begins: what stands around what it says.
    pub fn begin(&mut self, framing: Framing, frame: &Frame<'_>) {
        (self.is_due, self.frame) = (false, FrameAtHand::default());
        if !self.told.has(Kind::Other) {
            return;
        }
        unknown::around(framing, frame, &mut |text| match std::str::from_utf8(text) {
            // A comment is there to come in time.
            Ok(text) => self.whole(text.strip_prefix(':').unwrap_or(text).trim_start()),
            Err(_) => self.unreadable(),
        });
    }

    /// One event of the frame.
    pub fn hear(&mut self, event: &Event<'_>) {
        match event {
            Event::Text { channel, text, .. } => {
                self.frame.channel = Some(*channel);
                if self.told.has(channel.kind) {
                    self.remember(*channel, text);
                    self.add((*channel).into(), text);
                }
            }
            Event::Repeat { channel, text, .. } if self.told.has(channel.kind) => {
                if !self.is_copy(*channel, text) && !text.is_empty() {
                    // Not more of what is told already: that would be a text that nobody sees.
                    let words = text.clone().into_owned();
                    self.texts.push(Text { kind: channel.kind, words });
                    self.is_due = true;
                }
            }
            Event::Open { .. } => self.frame.opens = true,
            Event::Extra { .. } if !self.told.has(Kind::Other) => {}
            Event::Extra { place, key, json } => {
                if unknown::spells(key) {
                    self.piece(unknown::line_of_spelled(key), &unknown::spelled(json));
                } else if let Some(past) = unknown::skeleton(self.source, *place, json) {
                    self.skeleton(json, &past);
                } else {
                    let FrameAtHand { opens, channel } = self.frame;
                    let line = unknown::line_of_extra(self.source, *place, key, opens, channel);
                    self.name(key);
                    self.words(line, json, key, &[]);
                }
            }
            Event::Opaque { name, data, .. } => self.opaque(name, data),
            Event::Usage { native, .. } => self.words(None, native, "", &[]),
            Event::Error { code, message, native } => {
                self.word(code);
                self.word(message);
                self.words(None, native, "", &[]);
                self.is_due = true;
            }
            Event::Close { channel } => {
                if let Some(running) = self.running.remove(channel)
                    && self.before.len() < KNOWN_MAX
                {
                    self.before.insert(*channel, running.finalize());
                }
                self.is_due = true;
            }
            Event::Stop { .. } | Event::Signature { .. } | Event::End => {
                self.is_due = true;
            }
            Event::Start { .. } | Event::Repeat { .. } | Event::Ping => {}
        }
    }

    /// Keeps what is told of a channel, in the one dialect that says it again.
    fn remember(&mut self, channel: Channel, text: &str) {
        if self.source != Dialect::OpenaiResponses {
            return;
        }
        // What goes on behind its end is no copy of anything.
        let has_ended = self.before.remove(&channel).is_some();
        let has_room = self.running.len() < RUNNING_MAX && !has_ended;
        match self.running.entry(channel) {
            Entry::Occupied(mut running) => {
                running.get_mut().update(text.as_bytes());
            }
            Entry::Vacant(place) if has_room => {
                place.insert(blake3::Hasher::new()).update(text.as_bytes());
            }
            Entry::Vacant(_) => {}
        }
    }

    /// Whether `text` says a channel again.
    fn is_copy(&self, channel: Channel, text: &str) -> bool {
        let running = || self.running.get(&channel).map(blake3::Hasher::finalize);
        let first = self.before.get(&channel).copied().or_else(running);
        first == Some(blake3::hash(text.as_bytes()))
    }

    fn opaque(&mut self, name: &str, data: &[u8]) {
        let Ok(text) = std::str::from_utf8(data) else { return self.unreadable() };
        self.name(name);
        if !json::is_valid(text) {
            return self.piece(unknown::line_of_text(name), text);
        }
        let line = unknown::line_of_event(name, text);
        self.words(line, text, "", &[]);
        // An event that is no piece tells a whole thing.
        self.is_due |= line.is_none();
    }

    fn words(&mut self, line: Option<Line>, raw: &str, key: &str, past: &[&str]) {
        if !self.told.has(Kind::Other) {
            return;
        }
        for Word { inner, line } in unknown::words(line, raw, key, past) {
            let text = json::unescape(inner.text);
            match line {
                Some(line) => self.piece(line, &text),
                None => self.word(&text),
            }
        }
    }

    /// A frame whose texts are events of their own: one letter stands in the place of each.
    fn skeleton(&mut self, raw: &str, past: &[&str]) {
        for Word { inner, .. } in unknown::words(None, raw, "", past) {
            if inner.text.len() > 1 {
                self.word(&json::unescape(inner.text));
            }
        }
    }

    /// A string that may be a piece of a longer text.
    fn piece(&mut self, line: Line, text: &str) {
        if !self.in_pieces {
            self.word(text);
        } else if self.told.has(Kind::Other) && !is_base64(text) {
            self.add(line, text);
        }
    }

    fn name(&mut self, name: &str) {
        if !unknown::is_schema_name(name) {
            self.word(name);
        }
    }

    /// A string that stands whole, and is to be told at once.
    fn whole(&mut self, text: &str) {
        let before = self.texts.len();
        self.word(text);
        self.is_due |= self.texts.len() > before;
    }

    /// A string that stands whole.
    fn word(&mut self, text: &str) {
        if !self.told.has(Kind::Other) || text.trim().is_empty() || is_base64(text) {
            return;
        }
        let hash = blake3::hash(text.as_bytes());
        if self.known.contains(&hash) {
            return;
        }
        if self.known.len() < KNOWN_MAX {
            self.known.insert(hash);
        }
        self.texts.push(Text { kind: Kind::Other, words: text.to_owned() });
        self.is_due |= self.texts.len() >= TEXTS_MAX || text.len() >= SENTENCE_BYTES_MAX;
    }

    fn unreadable(&mut self) {
        self.is_unreadable |= self.told.has(Kind::Other);
    }

    fn add(&mut self, line: Line, text: &str) {
        if text.is_empty() {
            return;
        }
        let end = self.texts.len();
        let at = *self.lines.entry(line).or_insert(end);
        if at == end {
            self.texts.push(Text { kind: line.channel.kind, words: String::new() });
        }
        let count = self.texts.len();
        let Some(Text { kind, words: whole, .. }) = self.texts.get_mut(at) else { return };
        // A full stop may stand at the end of what came before.
        let from = whole.trim_end_matches(is_end).len();
        whole.push_str(text);
        let is_prose = *kind != Kind::ToolArguments;
        self.is_due |= (is_prose && has_end(&whole[from..]))
            || whole.len() >= SENTENCE_BYTES_MAX
            || count >= TEXTS_MAX;
    }
}

/// Whether a string is bytes and no text.
fn is_base64(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
    text.len() >= BASE64_BYTES_MIN && text.bytes().all(is_digit)
}

fn is_end(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？')
}

/// Whether a sentence, or a line, ends in `text`.
fn has_end(text: &str) -> bool {
    let mut ended = false;
    for c in text.chars() {
        if c == '\n' || (ended && c.is_whitespace()) || matches!(c, '。' | '！' | '？') {
            return true;
        }
        // Quotes and brackets may stand behind the full stop.
        ended = is_end(c) || (ended && matches!(c, '"' | '\'' | ')' | ']' | '”' | '’' | '»'));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(block: u16) -> Event<'static> {
        let channel = Channel { choice: 0, block, part: 0, kind: Kind::Answer };
        Event::Text { channel, text: "so".into(), span: None }
    }

    #[test]
    fn what_is_remembered_for_second_copies_has_a_bound() {
        for source in [Dialect::OpenaiResponses, Dialect::OpenaiChat] {
            let mut heard = Heard::new(&[], source);
            heard.told = [Kind::Answer].into_iter().collect();
            let channels =
                (0..5000).map(|block| Channel { choice: 0, block, part: 0, kind: Kind::Answer });
            for channel in channels.clone() {
                heard.hear(&text(channel.block));
            }
            assert!(heard.running.len() <= RUNNING_MAX);
            channels.clone().for_each(|channel| heard.hear(&Event::Close { channel }));
            assert!(heard.running.is_empty());
            for channel in channels {
                heard.hear(&text(channel.block));
                heard.hear(&Event::Close { channel });
            }
            assert!(heard.before.len() <= KNOWN_MAX);
            assert_eq!(heard.before.is_empty(), source == Dialect::OpenaiChat);
        }
    }

    #[test]
    fn a_copy_of_a_text_that_has_ended_is_known() {
        let mut heard = Heard::new(&[], Dialect::OpenaiResponses);
        heard.told = [Kind::Answer].into_iter().collect();
        heard.hear(&text(1));
        let channel = Channel { choice: 0, block: 1, part: 0, kind: Kind::Answer };
        let copy = |said: &'static str| Event::Repeat { channel, text: said.into(), span: None };
        heard.hear(&copy("so"));
        heard.hear(&Event::Close { channel });
        heard.hear(&copy("so"));
        assert_eq!(heard.texts.len(), 1);
        heard.hear(&copy("other"));
        assert_eq!(heard.texts.len(), 2);
    }

    #[test]
    fn sentences_end_where_another_can_begin() {
        for text in ["One. Two", "Is it? ", "He said \"no.\" Then", "a\nb", "終わり。次", "(so.) x"]
        {
            assert!(has_end(text), "{text}");
        }
        for text in ["3.14", "a.b", "so", "e.g.", "wait...", "", " "] {
            assert!(!has_end(text), "{text}");
        }
    }
}
