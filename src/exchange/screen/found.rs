//! What rules found in one exchange.

use crate::filter::Action;
use crate::table::rules::{Judge, PackRule};
use crate::wire::event::Kind;
use crate::wire::refusal::{Class, Refusal};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

/// The most hits that are kept; more are counted.
pub const HITS_MAX: usize = 64;

/// What was done about a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Done {
    /// Nothing but to note it.
    Flagged,
    /// It was replaced.
    Redacted,
    /// The exchange goes to another target.
    Rerouted,
    /// The exchange ended.
    Cut,
}

impl Done {
    /// The names of verdicts, the mildest first.
    pub const VERDICTS: [&'static str; 5] = [
        "clear",
        Done::Flagged.name(),
        Done::Redacted.name(),
        Done::Rerouted.name(),
        Done::Cut.name(),
    ];

    /// The verdict of rules that did this, at the gravest.
    pub fn verdict(gravest: Option<Done>) -> &'static str {
        gravest.map_or(Done::VERDICTS[0], Done::name)
    }

    /// The name as labels and records write it.
    pub const fn name(self) -> &'static str {
        match self {
            Done::Flagged => "flag",
            Done::Redacted => "redact",
            Done::Rerouted => "reroute",
            Done::Cut => "cut",
        }
    }
}

/// One hit of one rule.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The rule.
    pub rule: Arc<PackRule>,
    /// On what kind of text.
    pub kind: Kind,
    /// Where the match begins in its channel, in bytes of decoded text.
    pub start: u64,
    /// One past its last byte.
    pub end: u64,
    /// What was done.
    pub done: Done,
}

impl Hit {
    /// A hit of what judges a text as a whole: it names no place that could be hidden.
    pub(super) fn of_whole(rule: &Arc<PackRule>, kind: Kind, text: &str, action: Action) -> Hit {
        let done = match action {
            Action::Flag => Done::Flagged,
            Action::Reroute => Done::Rerouted,
            Action::Redact(_) | Action::Cut => Done::Cut,
        };
        Hit { rule: Arc::clone(rule), kind, start: 0, end: text.len() as u64, done }
    }

    /// As records and the API have it: by its place, for what it matched may be what must not be
    /// seen.
    pub fn as_json(&self) -> serde_json::Value {
        serde_json::json!({
            "rule": &*self.rule.name,
            "channel": self.kind.name(),
            "start": self.start,
            "end": self.end,
            "action": self.done.name(),
            "tags": self.rule.tags,
        })
    }
}

/// How often each rule hit whose hits are not kept.
type Beyond = HashMap<(Arc<str>, Done), (Arc<PackRule>, u32)>;

/// All that was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The first hits, in the order in which they were confirmed.
    pub hits: SmallVec<[Hit; 1]>,
    /// Hits beyond [`HITS_MAX`], by rule and by what was done: never more entries than rules and
    /// their actions.
    beyond: Option<Box<Beyond>>,
    /// Hits that were hidden.
    pub redactions: u32,
    /// Whether the exchange ends.
    is_cut: bool,
    /// The rule that ends it; none where text could not be changed in its place.
    cut_by: Option<Arc<PackRule>>,
    /// The rule that sends it to another target.
    reroute: Option<Arc<PackRule>>,
    /// Whether a reroute ends nothing: a prompt goes elsewhere as rules let it leave, so it is read
    /// to its end.
    goes_whole: bool,
    /// Texts that could not be judged.
    pub unjudged: u32,
}

impl Found {
    /// Nothing yet, in a prompt.
    pub(super) fn in_prompt() -> Found {
        Found { goes_whole: true, ..Found::default() }
    }

    /// Notes a hit.
    pub fn note(&mut self, hit: Hit) {
        match hit.done {
            Done::Cut => {
                self.is_cut = true;
                self.cut_by.get_or_insert_with(|| Arc::clone(&hit.rule));
            }
            Done::Rerouted => {
                self.reroute.get_or_insert_with(|| Arc::clone(&hit.rule));
            }
            Done::Redacted => self.redactions = self.redactions.saturating_add(1),
            Done::Flagged => {}
        }
        if self.hits.len() < HITS_MAX {
            self.hits.push(hit);
        } else {
            self.count_beyond(&hit.rule, hit.done, 1);
        }
    }

    fn count_beyond(&mut self, rule: &Arc<PackRule>, done: Done, times: u32) {
        let key = (Arc::clone(&rule.name), done);
        let entry = self.beyond.get_or_insert_default().entry(key);
        let (_, count) = entry.or_insert_with(|| (Arc::clone(rule), 0));
        *count = count.saturating_add(times);
    }

    /// How many hits there were beyond those that are kept.
    pub fn more(&self) -> u32 {
        let counts = self.beyond.iter().flat_map(|beyond| beyond.values());
        counts.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Every hit, kept or not: rule, what was done, how often.
    pub fn counts(&self) -> impl Iterator<Item = (&Arc<PackRule>, Done, u32)> {
        let kept = self.hits.iter().map(|hit| (&hit.rule, hit.done, 1));
        let beyond = self.beyond.iter().flat_map(|beyond| beyond.iter());
        kept.chain(beyond.map(|((_, done), (rule, count))| (rule, *done, *count)))
    }

    /// A text had to be changed where it cannot be.
    pub fn cut_unchangeable(&mut self) {
        let rule = self.hits.last().map(|hit| Arc::clone(&hit.rule));
        self.is_cut = true;
        self.cut_by = self.cut_by.take().or(rule);
    }

    /// A text that `rule` would have had to judge was not judged, and so must not leave.
    pub fn cut_unjudged(&mut self, rule: &Arc<PackRule>) {
        self.is_cut = true;
        self.cut_by.get_or_insert_with(|| Arc::clone(rule));
    }

    /// How much was found, and how much could not be judged.
    pub fn count(&self) -> u32 {
        (self.hits.len() as u32).saturating_add(self.more()).saturating_add(self.unjudged)
    }

    /// Adds what was found elsewhere in the same exchange.
    pub fn join(&mut self, other: Found) {
        for hit in other.hits {
            self.note(hit);
        }
        for ((_, done), (rule, count)) in other.beyond.into_iter().flat_map(|beyond| *beyond) {
            self.count_beyond(&rule, done, count);
            if done == Done::Redacted {
                self.redactions = self.redactions.saturating_add(count);
            }
        }
        self.reroute = self.reroute.take().or(other.reroute);
        self.unjudged = self.unjudged.saturating_add(other.unjudged);
        self.is_cut |= other.is_cut;
        self.cut_by = self.cut_by.take().or(other.cut_by);
    }

    /// A text could not be judged.
    pub fn note_unjudged(&mut self) {
        self.unjudged = self.unjudged.saturating_add(1);
    }

    /// A text of `kind` could not be judged by one ruleset: what its rules say of that.
    pub(super) fn note_unjudged_by(&mut self, judge: &Judge, kind: Kind) {
        self.note_unjudged();
        if judge.cuts_unjudged(kind) {
            self.cut_unchangeable();
        }
    }

    /// Whether the exchange ends, or what is judged does: an answer ends where another target is to
    /// give it, a prompt does not.
    pub fn is_cut(&self) -> bool {
        self.is_cut || self.reroute.is_some() && !self.goes_whole
    }

    /// The rule that ends the exchange, if one does.
    pub fn cut_by(&self) -> Option<&Arc<PackRule>> {
        self.cut_by.as_ref().or(self.reroute.as_ref())
    }

    /// Whether another target is to answer.
    pub fn is_reroute(&self) -> bool {
        !self.is_cut && self.reroute.is_some()
    }

    /// The gravest thing done, as the verdict header says it; `None` if nothing was found.
    pub fn verdict(&self) -> Option<Done> {
        if self.is_cut {
            return Some(Done::Cut);
        }
        self.counts().map(|(_, done, _)| done).max()
    }
}

/// What a caller is told whose exchange a rule ends.
pub fn blocked(found: &Found, what: &str) -> Refusal {
    Refusal {
        class: Class::Blocked,
        message: format!("Blocked by firedoor: a rule forbids this {what}").into(),
        reference: found.cut_by().map(|rule| Box::from(&*rule.name)),
    }
}

/// The same of what no dialect tells: it may not have been read at all.
pub fn refused(found: &Found, what: &str) -> Refusal {
    if found.unjudged == 0 {
        return blocked(found, what);
    }
    let message = format!(
        "Blocked by firedoor: this {what} cannot be read by the rules in force here, which say `on_error = \"cut\"`"
    );
    Refusal { message: message.into(), ..blocked(found, what) }
}
