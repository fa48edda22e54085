//! Texts as they were before rules took anything out of them, read by who has the identity.
//!
//! Where a route keeps `capture = "redacted"` and names `originals_to`, each part of the request and
//! of each answer stands beside the record in lines of their own, sealed ([`age`](super::age)). Where
//! it keeps `capture = "sealed"`, all texts are sealed, in the lines in which they would stand in the
//! clear: those [whoever reads the record](super::exchange::Wants::identity) opens.

use super::age::{self, Identity};
use super::disk::Disk;
use super::exchange::{Exchange, Place, Stream, Wants, read_with};
use super::read::Text;
use crate::id::ExchangeId;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// The originals of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Originals {
    /// The request's body.
    pub request: Option<Vec<u8>>,
    /// What providers answered, by the number of the attempt.
    pub answers: BTreeMap<u16, Vec<u8>>,
    /// What the client got, where that is sealed and something else.
    pub delivered: Option<Vec<u8>>,
    /// Lines that were sealed for others, or are damaged.
    pub closed: usize,
    /// Whether parts are missing between those that there are.
    pub has_holes: bool,
}

#[derive(Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    kind: Text<'l>,
    #[serde(default)]
    attempt: Option<u16>,
    #[serde(default)]
    offset: u64,
    #[serde(borrow, default)]
    age: Option<Text<'l>>,
}

impl Originals {
    /// Opens those in `lines`.
    pub fn of(lines: &[Box<[u8]>], identity: &Identity) -> Originals {
        let mut found = Originals::default();
        for line in lines {
            found.line(line, identity);
        }
        found
    }

    /// Opens the next line, if it is of an original.
    fn line(&mut self, line: &[u8], identity: &Identity) {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else { return };
        if &*line.kind != "original" {
            return;
        }
        let Some(text) = line.age.and_then(|file| age::opened(&file, identity)) else {
            self.closed += 1;
            return;
        };
        let whole = match line.attempt {
            None => self.request.get_or_insert_default(),
            Some(attempt) => self.answers.entry(attempt).or_default(),
        };
        self.has_holes |= whole.len() as u64 != line.offset;
        whole.extend_from_slice(&text);
    }

    /// Puts them in the place of what the record has of the exchange in the clear.
    pub fn put_into(self, exchange: &mut Exchange) {
        if let Some(request) = self.request {
            exchange.request.body = Stream { bytes: request, ..Stream::default() };
        }
        for (number, answer) in self.answers {
            // What the client got is not that.
            exchange.delivered.is_same = false;
            let last = exchange.attempts.iter_mut().rfind(|one| one.number == number);
            if let Some(attempt) = last {
                attempt.received = Stream { bytes: answer, ..Stream::default() };
            }
        }
    }
}

/// Reads what is sealed of the exchange `id`, whose lines stand in `places`: its originals, or, where all of it
/// is, its texts.
///
/// # Errors
/// The disk cannot be read.
pub fn read(
    disk: &dyn Disk,
    id: ExchangeId,
    places: &[Place],
    identity: &Arc<Identity>,
) -> io::Result<Originals> {
    let wanted =
        Wants { originals: true, identity: Some(Arc::clone(identity)), ..Wants::default() };
    let exchange = read_with(disk, id, places, wanted)?;
    let mut found = Originals::of(&exchange.originals, identity);
    if exchange.sealed.lines > 0 {
        found.closed += usize::try_from(exchange.sealed.closed).unwrap_or(usize::MAX);
        found.has_holes |= exchange.has_gaps();
        let text = |body: Stream| Some(body.bytes).filter(|bytes| !bytes.is_empty());
        let Exchange { request, attempts, delivered, .. } = exchange;
        found.request = text(request.body);
        let answers = attempts.into_iter().map(|one| (one.number, text(one.received)));
        found.answers = answers.filter_map(|(number, text)| Some((number, text?))).collect();
        found.delivered = text(delivered.body).filter(|_| !delivered.is_same);
    }
    Ok(found)
}
