//! What an exchange lacks to be run again.

use super::Exchange;
use std::fmt;

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

impl Exchange {
    /// The first thing that the record lacks, if it lacks anything.
    pub fn missing(&self) -> Option<Missing> {
        if !self.is_opened {
            return Some(Missing::Beginning);
        }
        if !self.is_closed || self.known.outcome.is_none() || self.is_abandoned() {
            return Some(Missing::End);
        }
        if self.has_gaps() {
            return Some(Missing::Lines);
        }
        let is_without = self.request.body.is_only_counted
            || self.attempts.iter().any(|attempt| attempt.received.is_only_counted)
            || self.delivered.body.is_only_counted;
        is_without.then_some(Missing::Texts)
    }
}
