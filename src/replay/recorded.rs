//! One exchange, read back from its lines.
//!
//! What always holds: the bytes are those that passed, in the chunks in which they passed; what the
//! record does not have is missing here too and never made up ([`Recorded::missing`]).

use crate::evidence::line::VERSION;
use crate::evidence::read::{SameAs, Text};
use crate::evidence::{Chunk, Record};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::fmt;

/// An exchange as its lines tell it.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Its id, as text.
    pub id: String,
    /// How it began.
    pub opened: Opened,
    /// Whether the line of its beginning is there.
    pub is_opened: bool,
    /// What the client asked.
    pub request: Request,
    /// What was sent to providers, and what they answered, in order.
    pub attempts: Vec<Attempt>,
    /// What the client got.
    pub delivered: Answer,
    /// Bytes at the end of it that did not leave after all: so many at most.
    pub undelivered: u64,
    /// How it ended; `None` where the record breaks off.
    pub close: Option<Close>,
    /// Whether lines of it are missing by the record's own word, or cannot be read.
    pub has_gaps: bool,
}

/// How an exchange began.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Opened {
    /// When, RFC 3339.
    #[serde(default)]
    pub at: String,
    /// The app.
    pub app: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The session.
    pub session: Option<String>,
    /// The route.
    pub route: Option<String>,
    /// The caller's dialect.
    pub dialect: Option<String>,
    /// The model asked for.
    pub model: Option<String>,
    /// Whether a stream was asked for.
    #[serde(default)]
    pub stream: bool,
    /// The table that was in force.
    #[serde(default)]
    pub epoch: u64,
    /// The rules that were, by their hash.
    pub ruleset: Option<String>,
    /// The levers that were.
    #[serde(default)]
    pub levers: Vec<String>,
}

/// A header's value as lines have it: text, none where it was a credential, or base64.
type HeaderLine = (String, serde_json::Value);

/// What the client asked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The fields that were kept; those that held credentials are not among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long it was.
    pub bytes: u64,
}

/// One attempt at a target.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u16,
    /// The target, as `provider/model` or `provider`.
    pub target: String,
    /// The body that was sent, where it was another than the client's.
    pub sent: Option<Vec<u8>>,
    /// What the provider answered.
    pub answer: Answer,
}

/// An answer: its head, its bytes, and when each chunk of them came or went.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status; 0 where no head was recorded.
    pub status: u16,
    /// The fields that were kept.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long it was.
    pub bytes: u64,
    /// Its chunks, which add up to its length.
    pub chunks: Vec<Chunk>,
    /// Stretches of it that stand in the answer of an attempt: where it goes here, and from where.
    same: Vec<(u64, u64, SameAs)>,
    /// The attempt whose bytes it begins with, and with how many of them.
    begins_as: Option<(u16, u64)>,
}

/// How an exchange ended.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Close {
    /// The outcome's name, or `abandoned`.
    pub outcome: String,
    /// The class of refusal.
    pub class: Option<String>,
    /// The status that the client got.
    #[serde(default)]
    pub status: u16,
    /// Method and path.
    #[serde(default)]
    pub path: String,
    /// The app.
    pub app: Option<String>,
    /// The session, which is known for sure only now.
    pub session: Option<String>,
    /// The route.
    pub route: Option<String>,
    /// The provider of the last attempt.
    pub provider: Option<String>,
    /// Its target.
    pub target: Option<String>,
    /// How many attempts there were.
    #[serde(default)]
    pub attempts: u64,
    /// The gravest thing that rules did; `None` if none were in force.
    pub verdict: Option<String>,
    /// What rules found.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// How many more findings there were.
    #[serde(default)]
    pub findings_more: u64,
    /// Texts that could not be judged.
    #[serde(default)]
    pub unjudged: u64,
    /// The lever that refused it, cut it, or sent it elsewhere.
    pub lever: Option<String>,
    /// The limit that refused it.
    pub limit: Option<String>,
    /// What went wrong, in words.
    pub fault: Option<String>,
    /// Where other providers went on.
    #[serde(default)]
    pub seams: Vec<serde_json::Value>,
    /// Tokens.
    pub usage: Option<Usage>,
    /// What was lost of it.
    pub lost: Option<serde_json::Value>,
    /// How long it took.
    #[serde(default)]
    pub total_us: u64,
}

/// Tokens, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Of the prompt.
    pub input: Option<u64>,
    /// Of the answer.
    pub output: Option<u64>,
}

/// One hit, as the record has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
pub struct Finding {
    /// `pack/id`.
    pub rule: String,
    /// The kind of text.
    pub channel: String,
    /// Where it begins, in bytes of decoded text of its channel.
    pub start: u64,
    /// One past its end.
    pub end: u64,
    /// What was done.
    pub action: String,
}

/// What a record lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// Its beginning: the segment that had it is gone, or damaged.
    Beginning,
    /// Its end: the gateway stopped before, or it is still under way.
    End,
    /// Lines of it, by the record's own word.
    Lines,
    /// The texts: its route records none.
    Texts,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Missing::Beginning => "its beginning is not on record",
            Missing::End => "its end is not on record",
            Missing::Lines => "the record has a gap",
            Missing::Texts => "its texts were not recorded, or not all (`capture`)",
        })
    }
}

/// What of a line tells of an exchange on its way, read in one pass: bodies are the most of a record.
#[derive(Deserialize)]
struct Line<'l> {
    v: u32,
    #[serde(borrow)]
    kind: Text<'l>,
    #[serde(borrow)]
    exchange: Option<Text<'l>>,
    attempt: Option<u16>,
    #[serde(default)]
    bytes: u64,
    #[serde(borrow)]
    text: Option<Text<'l>>,
    base64: Option<IgnoredAny>,
    #[serde(default)]
    chunks: Vec<(u64, u32)>,
    #[serde(default)]
    joins: bool,
    target: Option<String>,
    /// A number in the heads of answers.
    #[serde(default)]
    status: u16,
    #[serde(default)]
    headers: Vec<HeaderLine>,
    method: Option<String>,
    path: Option<String>,
    same: Option<serde_json::Value>,
}

impl Line<'_> {
    /// Adds the bytes that stand in the line, which is `raw`.
    fn add_to(&self, body: &mut Vec<u8>, raw: &[u8]) -> Option<()> {
        if let Some(text) = &self.text {
            body.extend_from_slice(text.as_bytes());
        } else if self.base64.is_some() {
            body.extend_from_slice(&Record::parse(raw).ok()?.bytes()?);
        }
        Some(())
    }
}

/// Reads an exchange back from its lines, which stand one behind another with line ends between.
///
/// Lines of another exchange, and those that cannot be read, are no part of it.
pub fn recorded(lines: &[u8]) -> Recorded {
    let mut all = Recorded::default();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if all.take(line).is_none() {
            all.has_gaps = true;
        }
    }
    all.resolve();
    all
}

impl Recorded {
    /// The first thing that the record lacks, if it lacks anything.
    pub fn missing(&self) -> Option<Missing> {
        if !self.is_opened {
            return Some(Missing::Beginning);
        }
        let Some(close) = self.close.as_ref().filter(|close| close.outcome != "abandoned") else {
            return Some(Missing::End);
        };
        if self.has_gaps || close.lost.is_some() {
            return Some(Missing::Lines);
        }
        let is_short = |answer: &Answer| answer.bytes > answer.body.len() as u64;
        let is_without = self.request.bytes > self.request.body.len() as u64
            || self.attempts.iter().any(|attempt| is_short(&attempt.answer))
            || is_short(&self.delivered);
        is_without.then_some(Missing::Texts)
    }

    /// The session, by the last that is known.
    pub fn session(&self) -> Option<&str> {
        let closed = self.close.as_ref().and_then(|close| close.session.as_deref());
        closed.or(self.opened.session.as_deref())
    }

    /// The route.
    pub fn route(&self) -> Option<&str> {
        let closed = self.close.as_ref().and_then(|close| close.route.as_deref());
        self.opened.route.as_deref().or(closed)
    }

    /// The app.
    pub fn app(&self) -> Option<&str> {
        let closed = self.close.as_ref().and_then(|close| close.app.as_deref());
        self.opened.app.as_deref().or(closed)
    }

    /// The attempt whose answer the client got, if it got one of a provider.
    pub fn last_answered(&self) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|attempt| attempt.answer.status != 0)
    }

    /// Whether the answer of an attempt was passed on as it came, from its beginning on: then it is
    /// in the caller's dialect.
    pub fn passed_on(&self, attempt: &Attempt) -> bool {
        self.delivered.begins_as.is_some_and(|(number, bytes)| {
            // The first words of two dialects may be the same.
            number == attempt.number && (bytes >= 1024 || bytes == attempt.answer.bytes)
        })
    }

    fn attempt(&mut self, number: u16) -> &mut Attempt {
        let known = self.attempts.iter().position(|known| known.number == number);
        let at = known.unwrap_or_else(|| {
            self.attempts.push(Attempt { number, ..Attempt::default() });
            self.attempts.len() - 1
        });
        &mut self.attempts[at]
    }

    fn take(&mut self, raw: &[u8]) -> Option<()> {
        let line: Line<'_> = serde_json::from_slice(raw).ok()?;
        let id = line.exchange.as_deref().filter(|_| line.v <= VERSION)?;
        if self.id.is_empty() {
            id.clone_into(&mut self.id);
        } else if self.id != id {
            return Some(());
        }
        match &*line.kind {
            "open" => {
                self.opened = serde_json::from_slice(raw).ok()?;
                self.is_opened = true;
            }
            "close" => self.close = Some(serde_json::from_slice(raw).ok()?),
            "received" => self.attempt(line.attempt?).answer.add(&line, raw, None)?,
            "delivered" => {
                let same = match &line.same {
                    Some(same) => Some(SameAs::deserialize(same).ok()?),
                    None => None,
                };
                self.delivered.add(&line, raw, same)?;
            }
            "request" => {
                self.request.bytes = line.bytes;
                line.add_to(&mut self.request.body, raw)?;
                if let (Some(method), Some(path)) = (line.method, line.path) {
                    (self.request.method, self.request.path) = (method, path);
                    self.request.headers = texts(line.headers);
                }
            }
            "sent" => {
                let attempt = self.attempt(line.attempt?);
                if line.same.is_none() {
                    line.add_to(attempt.sent.get_or_insert_default(), raw)?;
                }
                attempt.target = line.target.unwrap_or_default();
            }
            "answer_head" => {
                let answer = &mut self.attempt(line.attempt?).answer;
                (answer.status, answer.headers) = (line.status, texts(line.headers));
            }
            "delivered_head" => {
                (self.delivered.status, self.delivered.headers) =
                    (line.status, texts(line.headers));
            }
            "undelivered" => self.undelivered += line.bytes,
            // Notes about it, and what later versions add.
            _ => {}
        }
        Some(())
    }

    /// Fills in what was delivered as it was received. The answer may stand behind its delivery.
    fn resolve(&mut self) {
        for (at, len, same) in std::mem::take(&mut self.delivered.same) {
            match &mut self.delivered.begins_as {
                None if at == 0 && same.offset == 0 => {
                    self.delivered.begins_as = Some((same.attempt, len));
                }
                Some((attempt, bytes)) if *attempt == same.attempt && *bytes == at => *bytes += len,
                Some(_) | None => {}
            }
            let from = self.attempts.iter().find(|attempt| attempt.number == same.attempt);
            let begin = usize::try_from(same.offset).unwrap_or(usize::MAX);
            let end = begin.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
            let stretch = from.and_then(|attempt| attempt.answer.body.get(begin..end));
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            match (stretch, self.delivered.body.get(..at)) {
                (Some(stretch), Some(_)) => {
                    let stretch = stretch.to_vec();
                    self.delivered.body.splice(at..at, stretch);
                }
                (_, _) => self.has_gaps = true,
            }
        }
    }
}

impl Answer {
    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    fn add(&mut self, line: &Line<'_>, raw: &[u8], same: Option<SameAs>) -> Option<()> {
        match same {
            Some(same) => self.same.push((self.bytes, line.bytes, same)),
            None => line.add_to(&mut self.body, raw)?,
        }
        self.bytes += line.bytes;
        for (index, (at_us, bytes)) in line.chunks.iter().enumerate() {
            match self.chunks.last_mut() {
                Some(last) if index == 0 && line.joins => {
                    last.bytes = last.bytes.saturating_add(*bytes);
                }
                Some(_) | None => self.chunks.push(Chunk { at_us: *at_us, bytes: *bytes }),
            }
        }
        Some(())
    }

    /// The body in the chunks in which it passed.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut rest = &self.body[..];
        self.chunks.iter().map(move |chunk| {
            let (piece, after) = rest.split_at((chunk.bytes as usize).min(rest.len()));
            rest = after;
            (chunk.at_us, piece)
        })
    }
}

/// The first value of a field.
pub fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    let field = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    field.map(|(_, value)| &**value)
}

fn texts(headers: Vec<HeaderLine>) -> Vec<(String, String)> {
    let text = |(name, value): HeaderLine| Some((name, value.as_str()?.to_owned()));
    headers.into_iter().filter_map(text).collect()
}
