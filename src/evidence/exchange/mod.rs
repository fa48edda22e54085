//! One exchange, read back from its lines.
//!
//! Lines go in in the order of the record ([`Gather::line`]), an [`Exchange`] comes out, whatever
//! is missing: bytes that were lost are told as holes at their place, and a record without an end
//! says so. What always holds:
//!
//! * Bodies are byte for byte what came and went. What was delivered as the same bytes that were
//!   received is put together again from those.
//! * Chunks add up to their body, holes included, so that the time of every byte is known.
//! * What was queued for the client and certainly did not leave is not in what was delivered. What
//!   may not have left is, and [`Delivered::doubtful`] says how much of its end that is.
//!
//! What it cannot do: tell bytes that the route's `capture` left out. Then [`Stream::is_kept`] says
//! no, and lengths and times are all there is.

mod find;
mod known;
mod stream;
#[cfg(test)]
mod tests;

pub use find::{Place, lines_at, read_at, scan};
pub use known::{Cost, Finding, Known, LoopSeen, SeamSeen, Usage};
pub use stream::{Arrival, Hole, Stream};

use super::line;
use super::read::{SameAs, Text};
use crate::id::ExchangeId;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use stream::{Delivery, Run};

/// One exchange.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exchange {
    /// Its id, `x_` and 32 digits.
    pub id: String,
    /// When it began, in milliseconds since the Unix epoch; 0 where neither beginning nor end is
    /// on record.
    pub began_unix_ms: u64,
    /// What is known of it: as its end says, else as its beginning says.
    pub known: Known,
    /// Whether its end is on record.
    pub is_closed: bool,
    /// The members of its `open` line; null where that is lost.
    pub opened: Value,
    /// The members of its `close` line; null where there is none.
    pub closed: Value,
    /// What the client asked.
    pub request: Request,
    /// What was asked of providers, and what they answered.
    pub attempts: Vec<Attempt>,
    /// What the client got.
    pub delivered: Delivered,
    /// What somebody attached to it.
    pub notes: Vec<Noted>,
    /// Holes in its record.
    pub gaps: Vec<Gap>,
    /// The first and last number of its lines.
    pub seqs: Option<(u64, u64)>,
}

/// Names and values; `None` where a credential was left out or the value is no text.
pub type Fields = Vec<(String, Option<String>)>;

/// What the client asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path, and what of the query may be kept.
    pub path: String,
    /// The fields that were kept.
    pub headers: Fields,
    /// The body, as it came.
    pub body: Stream,
}

/// One attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u16,
    /// Where it went.
    pub target: Option<String>,
    /// What was sent; `None` where that is the request's body, unchanged.
    pub sent: Option<Stream>,
    /// How the provider answered; `None` where it did not.
    pub status: Option<u16>,
    /// The fields that were kept.
    pub headers: Fields,
    /// The body of the answer, as it came.
    pub received: Stream,
}

/// What the client got.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivered {
    /// The status.
    pub status: Option<u16>,
    /// The fields that were kept.
    pub headers: Fields,
    /// The body.
    pub body: Stream,
    /// Whether every byte of it is one that the last attempt's provider sent.
    pub is_same: bool,
    /// How many bytes at its end may not have left after all.
    pub doubtful: u64,
}

/// A record that somebody attached.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted {
    /// When, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// What it is.
    pub what: String,
    /// The rest; null where it was too large.
    pub about: Value,
}

/// Records of an exchange that were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Gap {
    /// Lines.
    pub records: u64,
    /// Bytes of bodies in them.
    pub bytes: u64,
}

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
    #[serde(default)]
    about: Value,
    #[serde(default)]
    records: u64,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Same {
    Stretch(SameAs),
    /// `request`: a sent body.
    Word(IgnoredAny),
}

/// Puts an exchange together from its lines.
#[derive(Clone, Debug, Default)]
pub struct Gather {
    exchange: Exchange,
    delivery: Delivery,
    kept_bytes: usize,
}

impl Gather {
    /// Begins with nothing, for the exchange `id`.
    pub fn new(id: ExchangeId) -> Gather {
        let exchange = Exchange { id: id.to_string(), ..Exchange::default() };
        Gather { exchange, ..Gather::default() }
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
        let known: Line<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if known.v > line::VERSION {
            return Err(format!("a line is of version {}", known.v));
        }
        if known.exchange.as_deref() != Some(&*self.exchange.id) {
            return Ok(());
        }
        let first = self.exchange.seqs.map_or(known.seq, |(first, _)| first);
        self.exchange.seqs = Some((first, known.seq));
        self.take(&known, line);
        Ok(())
    }

    fn take(&mut self, line: &Line<'_>, raw: &[u8]) {
        let exchange = &mut self.exchange;
        match &*line.kind {
            "open" => {
                exchange.opened = members(raw);
                exchange.began_unix_ms = line::unix_ms(&line.at).unwrap_or(0);
                if !exchange.is_closed {
                    exchange.known = Known::of_open(raw);
                }
            }
            "request" => {
                let request = &mut exchange.request;
                if let Some(method) = &line.method {
                    request.method = method.to_string();
                    request.path = line.path.as_deref().unwrap_or_default().into();
                    request.headers = fields(&line.headers);
                }
                self.kept_bytes += request.body.piece(&run(line), line.bytes.unwrap_or(0));
            }
            "sent" => {
                let attempt = attempt(&mut exchange.attempts, line.attempt.unwrap_or(0));
                attempt.target = line.target.as_deref().map(str::to_owned);
                if line.same.is_none() {
                    let sent = attempt.sent.get_or_insert_default();
                    self.kept_bytes += sent.piece(&run(line), line.bytes.unwrap_or(0));
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
                found.headers = fields(&line.headers);
            }
            "received" => {
                let attempt = attempt(&mut exchange.attempts, line.attempt.unwrap_or(0));
                self.kept_bytes += attempt.received.run(&run(line));
            }
            "delivered_head" => {
                exchange.delivered.status = line.status;
                exchange.delivered.headers = fields(&line.headers);
            }
            "delivered" => {
                let same = match &line.same {
                    Some(Same::Stretch(same)) => Some(*same),
                    Some(Same::Word(_)) | None => None,
                };
                let attempts = &exchange.attempts;
                let source = same.and_then(|same| {
                    let index = attempts.iter().rposition(|one| one.number == same.attempt)?;
                    Some((index, same.offset))
                });
                self.kept_bytes += self.delivery.run(&run(line), source);
            }
            "undelivered" => {
                self.delivery.take_back(line.bytes.unwrap_or(0), line.at_most);
            }
            "close" => {
                exchange.closed = members(raw);
                let known = Known::of_close(raw);
                if let Some(began) = known.began.as_deref().and_then(line::unix_ms) {
                    exchange.began_unix_ms = began;
                }
                // An abandoned exchange has no facts at its end.
                exchange.known = if exchange.is_abandoned() {
                    Known { outcome: known.outcome, ..std::mem::take(&mut exchange.known) }
                } else {
                    known.with_beginning(&exchange.known)
                };
                exchange.is_closed = true;
            }
            "note" => exchange.notes.push(Noted {
                at_unix_ms: line::unix_ms(&line.at).unwrap_or(0),
                what: line.what.as_deref().unwrap_or_default().to_owned(),
                about: line.about.clone(),
            }),
            "gap" => {
                exchange.gaps.push(Gap { records: line.records, bytes: line.bytes.unwrap_or(0) });
            }
            // Of a later writer, of the same version: what it adds is in the lines themselves.
            _ => {}
        }
    }

    /// The exchange, as far as its lines tell it.
    pub fn finish(self) -> Exchange {
        let Gather { mut exchange, delivery, .. } = self;
        let sources: Vec<&Stream> = exchange.attempts.iter().map(|one| &one.received).collect();
        let (body, is_same, doubtful) = delivery.resolve(&sources);
        exchange.delivered = Delivered { body, is_same, doubtful, ..exchange.delivered };
        exchange
    }
}

impl Exchange {
    /// Whether whoever drove it went away without a word.
    pub fn is_abandoned(&self) -> bool {
        self.closed["outcome"] == "abandoned"
    }

    /// Whether anything of it is known to be missing.
    pub fn is_whole(&self) -> bool {
        self.is_closed
            && self.gaps.is_empty()
            && self.closed.get("lost").is_none()
            && self.request.body.holes.is_empty()
            && self.delivered.body.holes.is_empty()
            && self.attempts.iter().all(|one| one.received.holes.is_empty())
    }

    /// The attempt whose answer counts: the last one that answered.
    pub fn answered(&self) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|attempt| attempt.status.is_some())
    }
}

/// The value of a field, whatever the case of its name.
pub fn field<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    let found = fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.and_then(|(_, value)| value.as_deref())
}

/// The last attempt of this number; it is begun if there is none.
fn attempt(attempts: &mut Vec<Attempt>, number: u16) -> &mut Attempt {
    let at = attempts.iter().rposition(|one| one.number == number).unwrap_or_else(|| {
        attempts.push(Attempt { number, ..Attempt::default() });
        attempts.len() - 1
    });
    &mut attempts[at]
}

fn fields(headers: &[(String, Value)]) -> Fields {
    let of = |value: &Value| value.as_str().map(str::to_owned);
    headers.iter().map(|(name, value)| (name.clone(), of(value))).collect()
}

fn run<'l>(line: &'l Line<'_>) -> Run<'l> {
    let bytes = match (&line.text, &line.base64) {
        (Some(text), _) => Some(std::borrow::Cow::Borrowed(text.as_bytes())),
        (None, Some(base64)) => super::digits::unbase64(base64).map(std::borrow::Cow::Owned),
        (None, None) => None,
    };
    Run {
        offset: line.offset.unwrap_or(0),
        len: line.bytes.unwrap_or(0),
        bytes,
        chunks: &line.chunks,
        joins: line.joins,
    }
}

/// A line's own members, without those that every line has.
fn members(raw: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(raw).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        for name in ["v", "seq", "at", "kind", "exchange", "chain"] {
            object.remove(name);
        }
    }
    value
}
