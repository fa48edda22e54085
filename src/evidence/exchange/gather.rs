//! Lines in, an exchange out.

use super::body::{Apart, Times, apart};
use super::stream::{Delivery, Run, Stream};
use super::{Attempt, Delivered, Exchange, Fields, Gap, Known, Noted};
use crate::evidence::age::{self, Identity};
use crate::evidence::digits::unbase64;
use crate::evidence::line;
use crate::evidence::read::{SameAs, Text};
use crate::id::ExchangeId;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// What a line may have, whatever it tells.
#[derive(Debug, Deserialize)]
struct Line<'l> {
    v: u32,
    seq: u64,
    #[serde(borrow)]
    at: Text<'l>,
    #[serde(borrow)]
    kind: Text<'l>,
    #[serde(borrow, default)]
    exchange: Option<Text<'l>>,
    #[serde(default)]
    attempt: Option<u16>,
    #[serde(borrow, default)]
    target: Option<Text<'l>>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(borrow, default)]
    method: Option<Text<'l>>,
    #[serde(borrow, default)]
    path: Option<Text<'l>>,
    #[serde(default)]
    headers: Vec<(String, Value)>,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(default)]
    bytes: Option<u64>,
    #[serde(borrow, default)]
    text: Option<Text<'l>>,
    #[serde(borrow, default)]
    base64: Option<Text<'l>>,
    #[serde(borrow, default)]
    age: Option<Text<'l>>,
    #[serde(default)]
    chunks: Vec<(u64, u32)>,
    #[serde(default)]
    joins: bool,
    #[serde(default)]
    same: Option<Same>,
    #[serde(default)]
    at_most: bool,
    #[serde(borrow, default)]
    what: Option<Text<'l>>,
    #[serde(borrow, default)]
    about: Option<&'l RawValue>,
    #[serde(default)]
    records: u64,
    #[serde(borrow, default)]
    began: Option<Text<'l>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Same {
    Stretch(SameAs),
    /// `request`: a sent body.
    Word(IgnoredAny),
}

/// What is read of an exchange beside what everybody wants.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// When bytes came and went.
    pub times: Times,
    /// Its sealed originals.
    pub originals: bool,
    /// Texts that are sealed for this identity, too.
    pub identity: Option<Arc<Identity>>,
}

/// Puts an exchange together from its lines; [`Gather::default`] takes the exchange of the first one
/// that is of any.
#[derive(Clone, Debug, Default)]
pub struct Gather {
    exchange: Exchange,
    wanted: Wants,
    delivery: Delivery,
    kept_bytes: usize,
}

impl Gather {
    /// Begins with nothing, for the exchange `id`.
    pub fn new(id: ExchangeId, wanted: Wants) -> Gather {
        let exchange = Exchange { id: id.to_string(), ..Exchange::default() };
        Gather { exchange, ..Gather::with(wanted) }
    }

    /// Begins with nothing, for the exchange of the first line that is of any.
    pub fn with(wanted: Wants) -> Gather {
        Gather { wanted, ..Gather::default() }
    }

    /// How many bytes of bodies it holds.
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Takes the next line; one of another exchange is passed over.
    ///
    /// # Errors
    /// It is no line of a version that is known.
    pub fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let (rest, body) = apart(line, self.wanted.times)
            .map_or((None, None), |Apart { rest, text }| (Some(rest), text));
        let rest = rest.as_deref().unwrap_or(line);
        let mut known: Line<'_> =
            serde_json::from_slice(rest).map_err(|error| error.to_string())?;
        if known.v > line::VERSION {
            return Err(format!("a line is of version {}", known.v));
        }
        let Some(id) = known.exchange.as_deref() else { return Ok(()) };
        if self.exchange.id.is_empty() {
            id.clone_into(&mut self.exchange.id);
        } else if self.exchange.id != id {
            return Ok(());
        }
        let first = self.exchange.seqs.map_or(known.seq, |(first, _)| first);
        self.exchange.seqs = Some((first, known.seq));
        let body = body.or_else(|| self.unsealed(&known));
        self.take(&mut known, body, line);
        Ok(())
    }

    /// The text of a line that has it sealed.
    fn unsealed(&mut self, line: &Line<'_>) -> Option<Vec<u8>> {
        let file = line.age.as_deref().filter(|_| &*line.kind != "original")?;
        let identity = self.wanted.identity.as_deref();
        let text = identity.and_then(|identity| age::opened(file, identity));
        self.exchange.sealed.lines += 1;
        self.exchange.sealed.closed += u64::from(text.is_none());
        text
    }

    fn take(&mut self, line: &mut Line<'_>, body: Option<Vec<u8>>, raw: &[u8]) {
        let exchange = &mut self.exchange;
        let total = line.bytes.unwrap_or(0);
        match &*line.kind {
            "open" => {
                exchange.began_unix_ms = line::unix_ms(&line.at).unwrap_or(0);
                let known = Known::of_open(raw);
                exchange.is_opened = known.is_some();
                if !exchange.is_closed {
                    exchange.known = known.unwrap_or_default();
                }
            }
            "request" => {
                let request = &mut exchange.request;
                if let Some(method) = &line.method {
                    request.method = method.to_string();
                    request.path = line.path.as_deref().unwrap_or_default().into();
                    request.headers = fields(&mut line.headers);
                }
                self.kept_bytes += request.body.piece(run(line, body), total);
            }
            "sent" => {
                let attempt = attempt(&mut exchange.attempts, line.attempt.unwrap_or(0));
                attempt.target = line.target.as_deref().map(str::to_owned);
                if line.same.is_none() {
                    let sent = attempt.sent.get_or_insert_default();
                    self.kept_bytes += sent.piece(run(line, body), total);
                }
            }
            "answer_head" => {
                let number = line.attempt.unwrap_or(0);
                let attempts = &mut exchange.attempts;
                let mut found = attempt(attempts, number);
                if found.status.is_some() {
                    // The same attempt answers anew: what it said before stays on record.
                    let again =
                        Attempt { number, target: found.target.clone(), ..Attempt::default() };
                    attempts.push(again);
                    found = attempt(attempts, number);
                }
                found.status = line.status;
                found.headers = fields(&mut line.headers);
            }
            "received" => {
                let attempt = attempt(&mut exchange.attempts, line.attempt.unwrap_or(0));
                self.kept_bytes += attempt.received.run(run(line, body));
            }
            "delivered_head" => {
                exchange.delivered.status = line.status;
                exchange.delivered.headers = fields(&mut line.headers);
            }
            "delivered" => {
                let source = match &line.same {
                    Some(Same::Stretch(same)) => {
                        Some((place(&mut exchange.attempts, same.attempt), same.offset))
                    }
                    Some(Same::Word(_)) | None => None,
                };
                self.kept_bytes += self.delivery.run(&run(line, body), source);
            }
            "undelivered" => {
                self.delivery.take_back(line.bytes.unwrap_or(0), line.at_most);
            }
            "original" if self.wanted.originals => {
                self.kept_bytes += raw.len();
                exchange.originals.push(raw.into());
            }
            "close" => {
                exchange.close_line = raw.into();
                let known = Known::of_close(raw);
                if let Some(began) = line.began.as_deref().and_then(line::unix_ms) {
                    exchange.began_unix_ms = began;
                }
                exchange.known = known.with_beginning(std::mem::take(&mut exchange.known));
                exchange.is_closed = true;
            }
            "note" => {
                let what = line.what.as_deref().unwrap_or_default();
                exchange.notes.push(Noted::of(&line.at, what, line.about, body.as_deref()));
            }
            "gap" => {
                exchange.gaps.push(Gap { records: line.records, bytes: line.bytes.unwrap_or(0) });
            }
            // Of a later writer, of the same version: what it adds is in the lines themselves.
            _ => {}
        }
    }

    /// Takes the next line; one that cannot be read is a gap.
    pub fn line_or_gap(&mut self, line: &[u8]) {
        if self.line(line).is_err() {
            self.exchange.gaps.push(Gap { records: 1, bytes: 0 });
        }
    }

    /// Takes lines with line ends between them.
    pub fn lines(&mut self, lines: &[u8]) {
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', lines).chain([lines.len()]) {
            let line = lines.get(from..end).unwrap_or_default();
            from = end + 1;
            if !line.is_empty() {
                self.line_or_gap(line);
            }
        }
    }

    /// The exchange, as far as its lines tell it.
    pub fn finish(self) -> Exchange {
        let Gather { mut exchange, delivery, .. } = self;
        let begins_as = delivery.begins_as().and_then(|(source, bytes)| {
            exchange.attempts.get(source).map(|attempt| (attempt.number, bytes))
        });
        let sources: Vec<&Stream> = exchange.attempts.iter().map(|one| &one.received).collect();
        let (body, is_same, doubtful) = delivery.resolve(&sources);
        if !exchange.is_closed {
            exchange.known = std::mem::take(&mut exchange.known).unended();
        }
        if !exchange.is_closed || exchange.is_abandoned() {
            // No end tells it, but what was asked of providers is on record.
            let last = exchange.attempts.last();
            exchange.known.target = last.and_then(|attempt| attempt.target.clone());
            exchange.known.attempts = last.map_or(0, |attempt| attempt.number.into());
        }
        exchange.delivered = Delivered { body, is_same, doubtful, begins_as, ..exchange.delivered };
        // Whoever knows an exchange's id can name it: documents of another app are none of its.
        let app = exchange.known.app.take();
        exchange.notes.retain(|note| {
            note.what != "context"
                || note.about().get("app").is_none_or(|by| by.as_str() == app.as_deref())
        });
        exchange.known.app = app;
        exchange
    }
}

/// The exchange that lines tell of, which stand one behind another with line ends between. Lines of
/// another one are no part of it; one that cannot be read is a gap.
pub fn of_lines(lines: &[u8]) -> Exchange {
    let mut gather = Gather::default();
    gather.lines(lines);
    gather.finish()
}

/// The last attempt of this number; it is begun if there is none.
fn attempt(attempts: &mut Vec<Attempt>, number: u16) -> &mut Attempt {
    let at = place(attempts, number);
    &mut attempts[at]
}

fn place(attempts: &mut Vec<Attempt>, number: u16) -> usize {
    attempts.iter().rposition(|one| one.number == number).unwrap_or_else(|| {
        attempts.push(Attempt { number, ..Attempt::default() });
        attempts.len() - 1
    })
}

fn fields(headers: &mut Vec<(String, Value)>) -> Fields {
    let text = |value| if let Value::String(text) = value { Some(text) } else { None };
    std::mem::take(headers).into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// What a line says of a stream; `body` is its text, where it was read apart.
fn run<'l>(line: &'l Line<'_>, body: Option<Vec<u8>>) -> Run<'l> {
    let bytes = match (body, &line.text, &line.base64) {
        (Some(body), ..) => Some(Cow::Owned(body)),
        (None, Some(text), _) => Some(Cow::Borrowed(text.as_bytes())),
        (None, None, Some(base64)) => unbase64(base64).map(Cow::Owned),
        (None, None, None) => None,
    };
    Run {
        offset: line.offset.unwrap_or(0),
        len: line.bytes.unwrap_or(0),
        bytes,
        chunks: &line.chunks,
        joins: line.joins,
    }
}
