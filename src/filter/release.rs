//! What a scanner lets go: text, marks where text was hidden, and findings.

use super::engine::Ruleset;
use super::rule::Rule;
use smallvec::SmallVec;
use std::fmt::Write;

/// What one piece released. Reused from piece to piece; a scanner clears it first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// The released text, without what is hidden. Empty where the piece passes whole.
    pub text: String,
    /// The hidden stretches among it, in order.
    pub hidden: Vec<Hidden>,
    /// Findings that are complete.
    pub findings: Vec<Finding>,
}

/// A hidden stretch. It is reported once, with the first text behind it or at the end, however
/// many pieces it spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// Where it stands, as a byte offset into the released text of this piece.
    pub offset: usize,
    /// Index of the rule that began it: of the matches with its start, the first rule.
    pub rule: u32,
    /// Position of its first byte in the channel's text.
    pub start: u64,
    /// One past its last byte.
    pub end: u64,
    /// What may be shown of it.
    pub shows: Shows,
}

/// What may be shown of a hidden text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shows {
    /// Nothing.
    Nothing,
    /// A keyed digest.
    Digest(u64),
    /// Its last four characters, of at least twelve.
    Last(SmallVec<[char; 4]>),
}

/// One finding: a longest stretch that the matches of one rule cover together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// First byte in the channel's text.
    pub start: u64,
    /// One past its last byte.
    pub end: u64,
    /// Index of the rule.
    pub rule: u32,
    /// How far the text had come when the first match was confirmed; its length + 1 if only its
    /// end did that.
    pub at: u64,
    /// Part of it is a span that was not closed in time.
    pub overflow: bool,
}

/// Why a text was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Index of the rule.
    pub rule: u32,
    /// Start of the match.
    pub start: u64,
    /// How far the text had come when it was confirmed; its length + 1 if only its end did that.
    pub at: u64,
}

impl Hidden {
    /// The marker that stands for it: `[redacted:ID]`, with what may be shown.
    pub fn marker(&self, rules: &Ruleset) -> String {
        marker(rules.rules.get(self.rule as usize), &self.shows)
    }
}

fn marker(rule: Option<&Rule>, shows: &Shows) -> String {
    let mut out = String::from("[redacted:");
    out.push_str(rule.map_or("", |rule| rule.id.as_str()));
    match shows {
        Shows::Nothing => {}
        Shows::Digest(digest) => {
            let _ = write!(out, ":{:012x}", digest >> 16);
        }
        Shows::Last(letters) => {
            out.push_str(":…");
            out.extend(letters);
        }
    }
    out.push(']');
    out
}

impl Release {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.hidden.clear();
        self.findings.clear();
    }

    /// Appends the text to `out`, a marker at each hidden stretch.
    pub fn write(&self, rules: &Ruleset, out: &mut String) {
        let mut from = 0;
        for hidden in &self.hidden {
            out.push_str(self.text.get(from..hidden.offset).unwrap_or_default());
            out.push_str(&hidden.marker(rules));
            from = hidden.offset;
        }
        out.push_str(self.text.get(from..).unwrap_or_default());
    }

    /// Is there nothing to send?
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.hidden.is_empty()
    }
}
