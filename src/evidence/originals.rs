//! Texts as they were before rules took anything out of them, read by who has the identity.
//!
//! Where a route keeps `capture = "redacted"` and names `originals_to`, each part of the request and
//! of each answer stands beside the record in lines of their own, sealed ([`age`](super::age)).

use super::age::{self, Identity};
use super::digits::unbase64;
use super::disk::Disk;
use super::exchange::{Place, lines_at};
use super::read::Text;
use crate::id::ExchangeId;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;

/// The originals of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Originals {
    /// The request's body.
    pub request: Option<Vec<u8>>,
    /// What providers answered, by the number of the attempt.
    pub answers: BTreeMap<u16, Vec<u8>>,
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

/// Reads the originals of the exchange `id`, whose lines stand in `places`.
///
/// # Errors
/// The disk cannot be read.
pub fn read(
    disk: &dyn Disk,
    id: ExchangeId,
    places: &[Place],
    identity: &Identity,
) -> io::Result<Originals> {
    let mut found = Originals::default();
    lines_at(disk, id, places, |line| {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else { return };
        if &*line.kind != "original" {
            return;
        }
        let sealed = line.age.as_deref().and_then(unbase64);
        let Some(text) = sealed.and_then(|sealed| age::open(&sealed, identity)) else {
            found.closed += 1;
            return;
        };
        let whole = match line.attempt {
            None => found.request.get_or_insert_default(),
            Some(attempt) => found.answers.entry(attempt).or_default(),
        };
        found.has_holes |= whole.len() as u64 != line.offset;
        whole.extend_from_slice(&text);
    })?;
    Ok(found)
}
