//! Ids of calls that every provider takes back: letters, digits, `_` and `-`, of bounded length,
//! none twice in an answer.
//!
//! A valid id stays as it is. Ids that we make depend on the answer alone, so that they are the
//! same whenever it is read again.

use super::ENTRIES_MAX;

/// How much of the answer's id goes into ids that we make, in bytes.
const BASE_BYTES_MAX: usize = 20;

#[derive(Debug)]
pub(super) struct Ids {
    prefix: &'static str,
    bytes_max: usize,
    base: String,
    given: Vec<Box<str>>,
}

impl Ids {
    pub(super) fn new(prefix: &'static str, bytes_max: usize) -> Ids {
        Ids { prefix, bytes_max, base: "firedoor".to_owned(), given: Vec::new() }
    }

    /// Takes the answer's id for the ids to be made.
    pub(super) fn answer(&mut self, id: &str) {
        let letters: Vec<char> = id.chars().filter(char::is_ascii_alphanumeric).collect();
        if !letters.is_empty() {
            // Ids differ at their end.
            let from = letters.len().saturating_sub(BASE_BYTES_MAX);
            self.base = letters.get(from..).unwrap_or_default().iter().collect();
        }
    }

    /// The id under which a call of the provider's id `id` is told; `None` if there are too many.
    pub(super) fn give(&mut self, id: &str) -> Option<Box<str>> {
        if self.given.len() >= ENTRIES_MAX {
            return None;
        }
        let wanted = if id.is_empty() {
            format!("{}_{}_{}", self.prefix, self.base, self.given.len())
        } else {
            let valid = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
            id.chars().map(valid).take(self.bytes_max).collect()
        };
        let mut unique = wanted.clone();
        let mut number = 1;
        while self.given.iter().any(|given| **given == *unique) {
            number += 1;
            let ending = format!("_{number}");
            let room = self.bytes_max.saturating_sub(ending.len()).min(wanted.len());
            unique = [wanted.get(..room).unwrap_or_default(), &ending].concat();
        }
        let unique = Box::<str>::from(unique);
        self.given.push(unique.clone());
        Some(unique)
    }
}
