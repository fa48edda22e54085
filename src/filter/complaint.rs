//! What is wrong with a rule, where, and what would be right.

use std::fmt;
use std::ops::Range;

/// One objection to one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Complaint {
    /// Index of the rule in the list that was compiled.
    pub rule: usize,
    /// Which text of the pattern: the index of the literal or word; for a span 0 is the
    /// opening and 1 the closing; else 0.
    pub text: usize,
    /// The place in that text, in bytes.
    pub span: Range<usize>,
    /// Whether the rule can be used all the same.
    pub severity: Severity,
    /// What is wrong.
    pub reason: Reason,
    /// A form that would do, where one is known.
    pub suggestion: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The rule works, at a price or in vain.
    Warning,
    /// The rule is refused.
    Error,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// It names no channel.
    NoChannel,
    /// It lists nothing to look for.
    Nothing,
    /// The expression cannot be read.
    Syntax(String),
    /// It matches the empty text, so it matches everywhere.
    Empty,
    /// It can never match.
    Never,
    /// Text could wait without end for its decision.
    Unbounded,
    /// Text could wait for its decision over more bytes than may be held.
    TooLong {
        /// Bytes that it may hold.
        needs: u64,
        /// Bytes that may be held.
        bytes_max: u64,
    },
    /// Its automata take more memory than a rule may.
    TooLarge,
    /// Another rule does all that this one does.
    Shadowed {
        /// Index of the other rule.
        by: usize,
    },
    /// It would hold much of plain English.
    Holds {
        /// Share of words after which something is held, 0 to 1.
        share: f64,
        /// Mean bytes held after a word.
        mean_bytes: f64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChannel => write!(out, "the rule names no channel"),
            Self::Nothing => write!(out, "the rule lists nothing to look for"),
            Self::Syntax(what) => write!(out, "the expression cannot be read: {what}"),
            Self::Empty => write!(out, "it matches the empty text, so it matches everywhere"),
            Self::Never => write!(out, "it can never match"),
            Self::Unbounded => write!(
                out,
                "a match can stay open without end before it is decided, so text would be held without end"
            ),
            Self::TooLong { needs, bytes_max } => write!(
                out,
                "it may hold {needs} bytes before it is decided; at most {bytes_max} may be held"
            ),
            Self::TooLarge => write!(out, "its automata are too large"),
            Self::Shadowed { by } => write!(out, "rule {by} already does all that this one does"),
            Self::Holds { share, mean_bytes } => write!(
                out,
                "it holds something after {:.0} % of the words of plain English, {mean_bytes:.1} bytes on average",
                share * 100.0
            ),
        }
    }
}
