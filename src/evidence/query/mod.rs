//! The one filter language: `app:helpdesk status:>=400 -outcome:completed "exact words"`.
//!
//! `session ls|search`, `tap --filter` and the API all take it. It is small and strict: an unknown
//! word is an error that names its place and the nearest right one, never a search that finds
//! nothing. A [`Query`] is a list of terms that must all hold. It is compiled to SQL by the index,
//! and asked of one exchange at a time by [`Query::holds`]; both read the same terms, so they
//! cannot mean different things.
//!
//! A time that is relative (`since:2h`) is made absolute when the text is read, by the caller's
//! clock.

mod field;
mod parse;
mod seen;
#[cfg(test)]
mod tests;
mod words;

pub use field::{Mark, Name, Number, Texts};
pub use parse::{Wrong, is_negation, join, moment, parse};
pub use seen::Seen;
pub use words::{Phrase, marks};

use crate::table::Pattern;

/// What exchanges are asked for: all terms must hold.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The terms, in their order.
    pub terms: Vec<Term>,
}

/// A term.
#[derive(Clone, Debug)]
pub struct Term {
    /// Whether it must not hold.
    pub is_negated: bool,
    /// What is asked.
    pub ask: Ask,
    /// How it stands in the text.
    pub text: String,
}

/// What a term asks.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A name is one of these.
    Name(Name, Vec<Pattern>),
    /// One of its marks is one of these.
    Mark(Mark, Vec<Pattern>),
    /// A number lies between these, both included.
    Number(Number, Span),
    /// It began at this moment or later, in milliseconds since the Unix epoch.
    Since(u64),
    /// It began before this moment.
    Until(u64),
    /// Its record has holes, or lacks its end.
    Gaps,
    /// These words stand in its texts, next to each other.
    Words(Option<Texts>, Words),
}

/// Words that stand next to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The words as they were written.
    pub text: String,
    /// Whether the last of them is only a beginning (`word*`).
    pub is_beginning: bool,
}

/// From and to, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The least.
    pub from: u64,
    /// The most.
    pub to: u64,
}

impl Span {
    /// Whether a number lies in it.
    pub fn has(self, number: u64) -> bool {
        (self.from..=self.to).contains(&number)
    }
}

impl Term {
    /// Whether it needs an exchange's texts, or what can only be read from them.
    pub fn is_of_texts(&self) -> bool {
        matches!(self.ask, Ask::Words(..) | Ask::Mark(Mark::Tool, _))
    }

    /// Whether it is so of an exchange.
    pub fn holds(&self, seen: &Seen<'_>) -> bool {
        seen.answers(&self.ask) != self.is_negated
    }
}

impl Query {
    /// The first term that asks for texts or for what only the index knows: such a query cannot be
    /// asked of what the feed tells.
    pub fn beyond_the_feed(&self) -> Option<&Term> {
        self.terms.iter().find(|term| match &term.ask {
            Ask::Words(..) | Ask::Gaps | Ask::Mark(Mark::Tool, _) => true,
            Ask::Name(..) | Ask::Mark(..) | Ask::Number(..) | Ask::Since(_) | Ask::Until(_) => {
                false
            }
        })
    }

    /// Whether any term asks for texts.
    pub fn asks_for_texts(&self) -> bool {
        self.terms.iter().any(|term| matches!(term.ask, Ask::Words(..)))
    }

    /// Words and phrases that are asked for, to be shown where they are found.
    pub fn words(&self) -> impl Iterator<Item = &Words> {
        self.terms.iter().filter(|term| !term.is_negated).filter_map(|term| match &term.ask {
            Ask::Words(_, words) => Some(words),
            Ask::Name(..)
            | Ask::Mark(..)
            | Ask::Number(..)
            | Ask::Since(_)
            | Ask::Until(_)
            | Ask::Gaps => None,
        })
    }

    /// Whether an exchange is one that is asked for.
    pub fn holds(&self, seen: &Seen<'_>) -> bool {
        self.terms.iter().all(|term| term.holds(seen))
    }
}
