//! One exchange, read back from its lines.
//!
//! Lines go in in the order of the record ([`Gather::line`]), an [`Exchange`] comes out, whatever
//! is missing: bytes that were lost are told as holes at their place, and a record without an end
//! says so. Whoever reads the record reads it by this: the index, sessions, exports, replay. What
//! always holds:
//!
//! * Bodies are byte for byte what came and went. What was delivered as the same bytes that were
//!   received is put together again from those.
//! * Chunks add up to their body, holes included, so that the time of every byte is known; but for whoever
//!   [passes them over](Times::PassedOver).
//! * What was queued for the client and certainly did not leave is not in what was delivered. What
//!   may not have left is, and [`Delivered::doubtful`] says how much of its end that is.
//!
//! What it cannot do: tell bytes that the route's `capture` left out. Then [`Stream::is_kept`] says
//! no, and lengths and times are all there is.

mod body;
mod find;
mod gather;
mod known;
mod missing;
mod stream;
#[cfg(test)]
mod tests;

pub use body::Times;
pub use find::{Place, lines_at, read_at, read_with, scan};
pub use gather::{Gather, Wants, of_lines};
pub use known::{Cost, Finding, Known, LoopSeen, SeamSeen, Usage};
pub use missing::Missing;
pub use stream::{Arrival, Hole, Stream};

use crate::id::ExchangeId;
use crate::wire::Dialect;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// How an exchange ended whose end a crash took.
pub const UNFINISHED: &str = "unfinished";

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
    /// Whether its beginning is on record.
    pub is_opened: bool,
    /// Whether its end is on record.
    pub is_closed: bool,
    /// Its `close` line as it stands; empty where there is none.
    pub close_line: Box<[u8]>,
    /// What the client asked.
    pub request: Request,
    /// What was asked of providers, and what they answered.
    pub attempts: Vec<Attempt>,
    /// What the client got.
    pub delivered: Delivered,
    /// What somebody attached to it.
    pub notes: Vec<Noted>,
    /// Its lines of sealed originals, as they stand, for whoever [wants them](Wants::originals).
    pub originals: Vec<Box<[u8]>>,
    /// Lines of it whose texts are sealed.
    pub sealed: Sealed,
    /// Holes in its record.
    pub gaps: Vec<Gap>,
    /// The first and last number of its lines.
    pub seqs: Option<(u64, u64)>,
}

/// Lines whose texts are for their recipients alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// All of them.
    pub lines: u64,
    /// Those that were not opened: for want of an identity, or of the right one, or they are damaged.
    pub closed: u64,
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
    /// The number of the attempt whose answer was passed on as it came from its beginning, and how
    /// many bytes of it were, those that were taken back again included.
    pub begins_as: Option<(u16, u64)>,
}

/// An answer: a provider's, or the client's.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'e> {
    /// The status; `None` where no head is on record.
    pub status: Option<u16>,
    /// The fields that were kept.
    pub headers: &'e Fields,
    /// The body.
    pub body: &'e Stream,
}

/// A record that somebody attached.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted {
    /// When, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// What it is.
    pub what: String,
    /// The rest, as JSON; empty where it was too large.
    pub about_json: Box<str>,
}

/// Records of an exchange that were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Gap {
    /// Lines.
    pub records: u64,
    /// Bytes of bodies in them.
    pub bytes: u64,
}

impl Exchange {
    /// Whether whoever drove it went away without a word.
    pub fn is_abandoned(&self) -> bool {
        self.known.outcome.as_deref() == Some("abandoned")
    }

    /// Whether nothing of it is known to be missing.
    pub fn is_whole(&self) -> bool {
        self.is_closed && !self.has_gaps()
    }

    /// Whether a crash took its end, by the record's own word.
    pub fn is_unfinished(&self) -> bool {
        self.known.outcome.as_deref() == Some(UNFINISHED)
    }

    /// Notes that its end was taken by a crash, as a line that is none of its own says.
    pub fn unfinished(&mut self) {
        self.known.outcome = Some(UNFINISHED.to_owned());
    }

    /// Whether lines of it are missing, by the record's own word or because they cannot be read.
    pub fn has_gaps(&self) -> bool {
        self.is_unfinished()
            || !self.gaps.is_empty()
            || self.known.lost.is_some()
            || !self.request.body.holes.is_empty()
            || !self.delivered.body.holes.is_empty()
            || self.attempts.iter().any(|one| !one.received.holes.is_empty())
    }

    /// When it began, in milliseconds since the Unix epoch. One of which neither beginning nor end is
    /// on record began when its id says.
    pub fn began(&self) -> u64 {
        match self.began_unix_ms {
            0 => ExchangeId::parse(&self.id).map_or(0, |id| (id.0 >> 80) as u64),
            began => began,
        }
    }

    /// How it ended, as far as its own lines tell.
    pub fn outcome(&self) -> &str {
        self.known.outcome.as_deref().unwrap_or("under_way")
    }

    /// The status that the client got; `None` where its end is not on record.
    pub fn status(&self) -> Option<u16> {
        (self.known.status > 0).then_some(self.known.status)
    }

    /// Bytes of the request's body.
    pub fn prompt_bytes(&self) -> u64 {
        self.known.request_bytes.max(self.request.body.len)
    }

    /// The caller's dialect; `None` for what is passed through.
    pub fn dialect(&self) -> Option<Dialect> {
        self.known.dialect.as_deref().and_then(Dialect::named)
    }

    /// The attempt whose answer counts: the last one that answered.
    pub fn answered(&self) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|attempt| attempt.status.is_some())
    }

    /// Whether the answer of an attempt was passed on as it came, from its beginning on: then it is
    /// in the caller's dialect.
    pub fn passed_on(&self, attempt: &Attempt) -> bool {
        self.delivered.begins_as.is_some_and(|(number, bytes)| {
            // The first words of two dialects may be the same.
            number == attempt.number && (bytes >= 1024 || bytes == attempt.received.len)
        })
    }

    /// The body that an attempt sent.
    pub fn sent(&self, attempt: &Attempt) -> &Stream {
        let mut of_number = self.attempts.iter().filter(|one| one.number == attempt.number);
        of_number.find_map(|one| one.sent.as_ref()).unwrap_or(&self.request.body)
    }

    /// The members of its `close` line; null where there is none.
    pub fn closed(&self) -> Value {
        let mut value: Value = serde_json::from_slice(&self.close_line).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            for name in ["v", "seq", "at", "kind", "exchange", "chain"] {
                object.remove(name);
            }
        }
        value
    }
}

impl Attempt {
    /// What the provider answered.
    pub fn answer(&self) -> Answer<'_> {
        Answer { status: self.status, headers: &self.headers, body: &self.received }
    }
}

impl Delivered {
    /// The answer that the client got.
    pub fn answer(&self) -> Answer<'_> {
        Answer { status: self.status, headers: &self.headers, body: &self.body }
    }
}

impl<'e> Answer<'e> {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&'e str> {
        field(self.headers, name)
    }
}

impl Noted {
    /// As a line has it; `sealed` is the part that was for recipients alone, where it was opened.
    pub(super) fn of(
        at: &str,
        what: &str,
        about: Option<&RawValue>,
        sealed: Option<&[u8]>,
    ) -> Noted {
        let about = about.map(RawValue::get).unwrap_or_default();
        let opened: Option<Map<String, Value>> =
            sealed.and_then(|sealed| serde_json::from_slice(sealed).ok());
        let about_json = match (opened, serde_json::from_str::<Map<String, Value>>(about)) {
            (Some(opened), Ok(mut about)) => {
                about.extend(opened);
                Value::Object(about).to_string().into()
            }
            (None, _) | (_, Err(_)) => about.into(),
        };
        let at_unix_ms = super::line::unix_ms(at).unwrap_or(0);
        Noted { at_unix_ms, what: what.to_owned(), about_json }
    }

    /// The rest; null where it was too large.
    pub fn about(&self) -> Value {
        serde_json::from_str(&self.about_json).unwrap_or_default()
    }
}

/// The value of a field, whatever the case of its name.
pub fn field<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    let found = fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.and_then(|(_, value)| value.as_deref())
}
