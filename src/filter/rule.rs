//! A rule as plain data: what to look for, in which texts, and what to do about it.
//!
//! Nothing here knows how a pack is written down, and nothing here is checked yet: `compile`
//! turns rules into a ruleset, or says what is wrong with each.

use super::check::Check;
use super::detect::Detector;
use super::fold::Wanted;
use super::kind::Channels;

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name; unique in a pack. It appears in markers and records.
    pub id: String,
    /// What it is for, in a sentence.
    pub about: String,
    /// The texts it looks at.
    pub channels: Channels,
    /// What it looks for.
    pub pattern: Pattern,
    /// Whether case matters.
    pub case: Case,
    /// What happens to a match.
    pub action: Action,
}

/// What a rule looks for. A match is a non-empty piece of text in the language of the pattern:
/// every such piece, overlapping ones included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// One of these texts, anywhere.
    Literals(Vec<String>),
    /// One of these texts, where no letter, digit or `_` touches an end that is one itself.
    /// Scripts that are written without spaces have no such ends.
    Words(Vec<String>),
    /// A regular expression. `\d`, `\s`, `\w` and `\b` are those of ASCII.
    Regex(String),
    /// From an opening to its closing.
    Span(Span),
    /// A candidate that also passes a check, such as a checksum.
    Detect(Detector),
    /// What an expression of the rule's own finds and that also passes a check. Every candidate
    /// needs a longest form.
    Checked {
        /// The expression of its candidates.
        expression: String,
        /// The check.
        by: Check,
    },
}

/// A stretch from an opening to the nearest closing after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Regular expression of the opening. One that ends where another ends counts once, from
    /// the earliest start.
    pub open: String,
    /// Regular expression of the closing.
    pub close: String,
    /// The most bytes from the start of the opening to the end of the closing.
    pub bytes_max: u32,
    /// What happens to a stretch that is not closed within `bytes_max`.
    pub on_overflow: OnOverflow,
}

/// What happens to an opened span that its `bytes_max` ends before its closing does.
///
/// `Redact` and `Block` hide the text from the opening on at once, so nothing is held; at the
/// end of the text an open span is hidden to the end. `Release` has to hold the text until the
/// closing is seen, and lets it go where the text ends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnOverflow {
    /// It was no match. The overflow is a finding all the same.
    Release,
    /// The stream is stopped.
    Block,
    /// The first `bytes_max` bytes are hidden, and the text goes on.
    Redact,
}

/// Whether case matters. Literals and words ignore the case of ASCII letters only, regular
/// expressions that of all letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Case {
    /// `A` is not `a`.
    #[default]
    Exact,
    /// `A` is `a`.
    Any,
}

/// What happens to a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is reported. The text is neither changed nor held.
    Flag,
    /// It is hidden.
    Redact(Redaction),
    /// The stream is stopped before the earliest text that is not decided.
    Cut,
    /// As cut; the caller sends the exchange elsewhere.
    Reroute,
}

/// What stands where text was hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Redaction {
    /// The name of the rule.
    Marker,
    /// The name, and a keyed digest of the text: equal texts give equal digests.
    Hash,
    /// The name, and the last four characters.
    KeepLast4,
}

impl Action {
    /// Does a match end the stream?
    pub const fn stops(self) -> bool {
        match self {
            Self::Cut | Self::Reroute => true,
            Self::Flag | Self::Redact(_) => false,
        }
    }
}

/// Bounds of a ruleset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes that a rule may hold back at any moment. A rule that might need more is
    /// refused.
    pub hold_bytes_max: u32,
    /// The most bytes that the automata of one regular expression may take.
    pub automaton_bytes_max: usize,
    /// Key of the digests that `Redaction::Hash` shows; `None` for the process's own.
    pub digest_key: Option<[u8; 16]>,
    /// The views of the fold that rules run on, beside the raw text; `None`: no fold.
    pub fold: Option<Wanted>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hold_bytes_max: 4096,
            automaton_bytes_max: 8 << 20,
            digest_key: None,
            fold: Some(Wanted::ALL),
        }
    }
}
