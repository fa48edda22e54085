//! An answer that waits, a sentence at a time, for judges outside of the gate.
//!
//! It stands behind everything else: it is given the frames that would leave, in the caller's dialect,
//! and says which of them may. What always holds: nothing of a text that a judge is told leaves
//! before its verdict; frames leave whole, in order, and as they were given; frames of which no judge
//! is told anything wait only behind those that wait; what is asked does not depend on the pieces in
//! which the bytes came. A second copy of a text that was judged is not
//! asked about again; one that says something else is.

use super::Broken;
use super::pieces::Pieces;
use crate::exchange::screen::{Question, questions_of};
use crate::filter::Channels;
use crate::table::rules::Judge;
use crate::wire::event::{Channel, Event, Kind};
use crate::wire::framing::Framing;
use crate::wire::{Decoder, Dialect, decode_unary};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// At so many bytes a text is asked about though its sentence goes on.
const SENTENCE_BYTES_MAX: usize = 2_000;

/// What of an answer waits.
#[derive(Debug)]
pub struct Sentences {
    judges: Vec<Arc<Judge>>,
    told: Channels,
    decoder: Decoder,
    pieces: Pieces,
    /// Frames that were not looked at: a question is under way about those before.
    behind: VecDeque<Vec<u8>>,
    said: Said,
    /// Frames that say it, and what came between.
    waiting: Vec<u8>,
    is_asking: bool,
    is_ended: bool,
}

/// What the frames that wait say, and what those before them said.
#[derive(Debug, Default)]
struct Said {
    /// By channel, since the last question.
    texts: Vec<(Channel, String)>,
    /// Whether something of it has come to an end.
    is_due: bool,
    /// All of each channel, for second copies.
    before: BTreeMap<Channel, blake3::Hasher>,
}

impl Sentences {
    /// Of an answer that leaves in `client`; `None` if no judge outside is told of answers.
    pub fn of(judges: &[Arc<Judge>], client: Dialect, framing: Framing) -> Option<Sentences> {
        asks_about_answers(judges).then(|| Sentences {
            judges: judges.to_vec(),
            told: told(judges),
            decoder: Decoder::new(client),
            pieces: Pieces::new(framing),
            behind: VecDeque::new(),
            said: Said::default(),
            waiting: Vec::new(),
            is_asking: false,
            is_ended: false,
        })
    }

    /// Takes bytes that would leave.
    ///
    /// # Errors
    /// They are no frames.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let Sentences { pieces, behind, .. } = self;
        pieces.push(bytes, |came| {
            behind.push_back(came.to_vec());
            Ok(())
        })
    }

    /// Nothing more comes.
    pub fn end(&mut self) {
        let rest = self.pieces.take_rest();
        if !rest.is_empty() {
            self.behind.push_back(rest);
        }
        self.is_ended = true;
    }

    /// Looks at frames until one of them ends a sentence: appends to `out` what may leave without a
    /// question, and gives what is to be asked. While a question is under way nothing is looked at.
    pub fn advance(&mut self, out: &mut Vec<u8>) -> Vec<Question> {
        let framing = self.pieces.framing;
        while !self.is_asking {
            let Sentences { judges, told, decoder, said, waiting, .. } = self;
            match self.behind.pop_front() {
                Some(frame) => {
                    decoder.frame(&framing.frame(&frame), &mut |event| said.hear(*told, &event));
                    if waiting.is_empty() && said.texts.is_empty() {
                        out.extend_from_slice(&frame);
                    } else {
                        waiting.extend_from_slice(&frame);
                    }
                }
                None if self.is_ended && !said.texts.is_empty() => said.is_due = true,
                None => break,
            }
            let is_due = std::mem::take(&mut said.is_due);
            if !is_due || said.texts.is_empty() {
                continue;
            }
            let texts = std::mem::take(&mut said.texts);
            let texts = texts.iter().map(|(channel, text)| (channel.kind, text.as_str()));
            let questions = questions_of(judges, texts);
            if questions.is_empty() {
                out.append(waiting);
            } else {
                self.is_asking = true;
                return questions;
            }
        }
        Vec::new()
    }

    /// The question has its answer, and what it was about may leave: appends it to `out`.
    pub fn clear(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.waiting);
        self.is_asking = false;
    }

    /// Whether nothing waits.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.behind.is_empty()
    }
}

/// What judges outside are asked about a whole answer in `client`.
pub fn questions_of_whole(judges: &[Arc<Judge>], client: Dialect, body: &[u8]) -> Vec<Question> {
    if !asks_about_answers(judges) {
        return Vec::new();
    }
    let (told, mut said) = (told(judges), Said::default());
    decode_unary(client, body, &mut |event| said.hear(told, &event));
    questions_of(judges, said.texts.iter().map(|(channel, text)| (channel.kind, text.as_str())))
}

/// What models write.
const WRITTEN: [Kind; 4] = [Kind::Answer, Kind::Reasoning, Kind::Refusal, Kind::ToolArguments];

/// Whether a judge outside is told of answers.
pub fn asks_about_answers(judges: &[Arc<Judge>]) -> bool {
    let told = told(judges);
    WRITTEN.iter().any(|kind| told.has(*kind))
}

/// What of an answer judges outside are told.
fn told(judges: &[Arc<Judge>]) -> Channels {
    let is_told = |kind: &Kind| {
        let mut parts = judges.iter().flat_map(|judge| judge.webhooks());
        parts.any(|(_, part)| part.channels.has(*kind))
    };
    WRITTEN.into_iter().filter(is_told).collect()
}

impl Said {
    fn hear(&mut self, told: Channels, event: &Event<'_>) {
        match event {
            Event::Text { channel, text, .. } if told.has(channel.kind) => {
                self.before.entry(*channel).or_default().update(text.as_bytes());
                self.add(*channel, text);
            }
            Event::Repeat { channel, text, .. } if told.has(channel.kind) => {
                let first = self.before.entry(*channel).or_default().finalize();
                if first != blake3::hash(text.as_bytes()) {
                    self.add(*channel, text);
                    self.is_due = true;
                }
            }
            Event::Close { .. }
            | Event::Stop { .. }
            | Event::Signature { .. }
            | Event::End
            | Event::Error { .. } => self.is_due = true,
            Event::Start { .. }
            | Event::Open { .. }
            | Event::Text { .. }
            | Event::Repeat { .. }
            | Event::Usage { .. }
            | Event::Extra { .. }
            | Event::Opaque { .. }
            | Event::Ping => {}
        }
    }

    fn add(&mut self, channel: Channel, text: &str) {
        if text.is_empty() {
            return;
        }
        let known = self.texts.iter().position(|(known, _)| *known == channel);
        let at = known.unwrap_or_else(|| {
            self.texts.push((channel, String::new()));
            self.texts.len() - 1
        });
        let Some((_, whole)) = self.texts.get_mut(at) else { return };
        // A full stop may stand at the end of what came before.
        let from = whole.trim_end_matches(is_end).len();
        whole.push_str(text);
        let is_prose = channel.kind != Kind::ToolArguments;
        self.is_due |= (is_prose && has_end(&whole[from..])) || whole.len() >= SENTENCE_BYTES_MAX;
    }
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
