//! What a backtest came to. It is its own save: a run that was interrupted goes on from it.

use crate::evidence::exchange::Exchange;
use crate::exchange::screen::{Done, Found};
use crate::replay::gather::Select;
use crate::table::rules::Rulebook;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why nothing of an exchange could be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unjudged {
    /// Its texts were not recorded.
    NoTexts,
    /// Its request cannot be read, then as now.
    Unreadable,
}

impl Unjudged {
    /// A name for counts.
    pub fn name(self) -> &'static str {
        match self {
            Unjudged::NoTexts => "no_texts",
            Unjudged::Unreadable => "unreadable",
        }
    }
}

/// The version of the report.
pub const VERSION: u32 = 2;

/// The most apps, and the most routes, that are told apart; the others are counted together.
const SHARES_MAX: usize = 1000;
/// Under which name they are.
const OTHERS: &str = "(others)";

/// What a backtest came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its version.
    pub version: u32,
    /// Which packs.
    pub packs: Vec<String>,
    /// Names the rules: a hash of all that they say.
    pub rules_hash: String,
    /// What was selected.
    pub selected: Select,
    /// Whether it was interrupted.
    pub is_partial: bool,
    /// Exchanges judged.
    pub exchanges: u64,
    /// Of those, with a hit.
    pub hit: u64,
    /// Exchanges that could not be judged, by the reason.
    pub unjudged: BTreeMap<String, u64>,
    /// Texts in judged exchanges that could not be.
    pub texts_unjudged: u64,
    /// Judged as far as the record goes, which lacks something.
    pub incomplete: u64,
    /// By rule.
    pub rules: BTreeMap<String, RuleCount>,
    /// By app.
    pub apps: BTreeMap<String, Share>,
    /// By route.
    pub routes: BTreeMap<String, Share>,
    /// The verdict then, what these rules would do, and of how many exchanges.
    pub verdicts: Vec<Verdicts>,
    /// Samples, with the text of the record in them.
    pub samples: Vec<Sample>,
    /// Rules that ask a judge outside of the gate, and so were not asked.
    pub not_asked: Vec<String>,
    /// Bytes of bodies that were judged.
    pub text_bytes: u64,
    /// Bytes of lines that were read.
    pub record_bytes: u64,
    /// Bytes of segments on disk.
    pub disk_bytes: u64,
    /// Bytes of segments that are no whole frame.
    pub damaged_bytes: u64,
    /// Exchanges too large to be gathered.
    pub too_large: u64,
    /// Segments that went away meanwhile.
    pub segments_gone: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Segments that were read to their end.
    pub segments_done: BTreeSet<u64>,
    /// Exchanges that stand in more than one segment, by segment, as long as not all were read.
    #[serde(default)]
    pub fragments: BTreeMap<u64, Vec<String>>,
}

/// What one rule hit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCount {
    /// Hits, by what is done about them.
    pub hits: BTreeMap<String, u64>,
    /// Exchanges with a hit.
    pub exchanges: u64,
    /// Of those, in which the same rule had hit then.
    pub then_too: u64,
    /// Exchanges in which it had hit then and does not now.
    pub then_only: u64,
}

/// How much of something is hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Exchanges.
    pub exchanges: u64,
    /// Of those, with a hit.
    pub hit: u64,
    /// Of those, that would end or go elsewhere.
    pub ended: u64,
}

/// How many exchanges have what verdicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    /// Then.
    pub then: String,
    /// By these rules.
    pub now: String,
    /// Exchanges.
    pub exchanges: u64,
}

/// One hit, with some text around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The rule.
    pub rule: String,
    /// The exchange.
    pub exchange: String,
    /// The kind of text.
    pub channel: String,
    /// What would be done.
    pub action: String,
    /// Text before the match.
    pub before: String,
    /// The match, shortened.
    #[serde(rename = "match")]
    pub matched: String,
    /// Text behind it.
    pub after: String,
}

impl Report {
    /// An empty report of `book` over what `select` takes.
    pub fn new(book: &Rulebook, select: &Select) -> Report {
        let webhooks = book.rules.iter().filter(|rule| !rule.webhooks.is_empty());
        Report {
            version: VERSION,
            packs: book.packs.iter().map(ToString::to_string).collect(),
            rules_hash: hash(book),
            selected: select.clone(),
            not_asked: webhooks.map(|rule| rule.name.to_string()).collect(),
            ..Report::default()
        }
    }

    /// Reads one that was saved as JSON.
    ///
    /// # Errors
    /// It is none, or of another version.
    pub fn parse(text: &[u8]) -> Result<Report, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let none = |error: serde_json::Error| format!("it is no report of a backtest: {error}");
        match serde_json::from_slice::<Versioned>(text).map_err(none)?.version {
            VERSION => serde_json::from_slice(text).map_err(none),
            other => Err(format!("it is of version {other}, and this is {VERSION}")),
        }
    }

    /// Whether a run of `book` may go on from it.
    ///
    /// # Errors
    /// Why not.
    pub fn goes_on(&self, book: &Rulebook) -> Result<(), String> {
        if self.rules_hash == hash(book) { Ok(()) } else { Err("it is of other rules".to_owned()) }
    }

    pub(super) fn unjudged(&mut self, unjudged: Unjudged) {
        *self.unjudged.entry(unjudged.name().to_owned()).or_default() += 1;
    }

    pub(super) fn judged(&mut self, recorded: &Exchange, found: &Found, text_bytes: u64) {
        self.exchanges += 1;
        self.text_bytes += text_bytes;
        self.texts_unjudged += u64::from(found.unjudged);
        self.incomplete += u64::from(recorded.missing().is_some());
        let known = &recorded.known;
        let then: BTreeSet<&str> = known.findings.iter().map(|one| one.rule.as_str()).collect();
        let mut now: BTreeSet<&str> = BTreeSet::new();
        for (rule, done, count) in found.counts() {
            let entry = self.rules.entry(rule.name.to_string()).or_default();
            *entry.hits.entry(done.name().to_owned()).or_default() += u64::from(count);
            if now.insert(&rule.name) {
                entry.exchanges += 1;
                entry.then_too += u64::from(then.contains(&*rule.name));
            }
        }
        let of_ours = |rule: &str| {
            let pack = rule.split('/').next().unwrap_or("");
            self.packs.iter().any(|ours| ours == pack)
        };
        let missed: Vec<&str> =
            then.iter().copied().filter(|rule| !now.contains(rule) && of_ours(rule)).collect();
        for rule in missed {
            self.rules.entry(rule.to_owned()).or_default().then_only += 1;
        }
        let is_hit = !now.is_empty();
        let is_ended = found.is_cut();
        self.hit += u64::from(is_hit);
        count(&mut self.apps, known.app.as_deref().unwrap_or("-"), is_hit, is_ended);
        count(&mut self.routes, known.route.as_deref().unwrap_or("-"), is_hit, is_ended);
        let verdict = known.verdict.as_deref().unwrap_or("none");
        let now = Done::verdict(found.verdict());
        self.count_verdicts(verdict, now, 1);
    }

    fn count_verdicts(&mut self, then: &str, now: &str, exchanges: u64) {
        let known = self.verdicts.iter_mut().find(|one| one.then == then && one.now == now);
        if let Some(known) = known {
            known.exchanges += exchanges;
        } else {
            let (then, now) = (then.to_owned(), now.to_owned());
            self.verdicts.push(Verdicts { then, now, exchanges });
        }
    }

    /// The rules of `found` of which there are too few samples.
    pub(super) fn wants_samples(&self, found: &Found, samples_max: usize) -> BTreeSet<Arc<str>> {
        let few = |rule: &str| {
            self.samples.iter().filter(|known| known.rule == rule).count() < samples_max
        };
        let rules = found.hits.iter().map(|hit| &hit.rule.name);
        rules.filter(|rule| few(rule)).map(Arc::clone).collect()
    }

    pub(super) fn add_samples(&mut self, samples: Vec<Sample>, samples_max: usize) {
        for sample in samples {
            let known = self.samples.iter().filter(|known| known.rule == sample.rule).count();
            if known < samples_max {
                self.samples.push(sample);
            }
        }
    }

    /// Adds what another part came to.
    pub(super) fn join(&mut self, other: Report, samples_max: usize) {
        self.exchanges += other.exchanges;
        self.hit += other.hit;
        self.texts_unjudged += other.texts_unjudged;
        self.incomplete += other.incomplete;
        self.text_bytes += other.text_bytes;
        self.record_bytes += other.record_bytes;
        self.disk_bytes += other.disk_bytes;
        self.damaged_bytes += other.damaged_bytes;
        self.too_large += other.too_large;
        self.segments_gone += other.segments_gone;
        self.segments_done.extend(other.segments_done);
        for (reason, count) in other.unjudged {
            *self.unjudged.entry(reason).or_default() += count;
        }
        for (rule, count) in other.rules {
            let entry = self.rules.entry(rule).or_default();
            entry.exchanges += count.exchanges;
            entry.then_too += count.then_too;
            entry.then_only += count.then_only;
            for (done, hits) in count.hits {
                *entry.hits.entry(done).or_default() += hits;
            }
        }
        for (shares, others) in [(&mut self.apps, other.apps), (&mut self.routes, other.routes)] {
            for (name, share) in others {
                let entry = share_of(shares, &name);
                entry.exchanges += share.exchanges;
                entry.hit += share.hit;
                entry.ended += share.ended;
            }
        }
        for one in other.verdicts {
            self.count_verdicts(&one.then, &one.now, one.exchanges);
        }
        self.add_samples(other.samples, samples_max);
    }
}

fn share_of<'s>(shares: &'s mut BTreeMap<String, Share>, name: &str) -> &'s mut Share {
    let name = if shares.len() >= SHARES_MAX && !shares.contains_key(name) { OTHERS } else { name };
    shares.entry(name.to_owned()).or_default()
}

fn count(shares: &mut BTreeMap<String, Share>, name: &str, is_hit: bool, is_ended: bool) {
    let share = share_of(shares, name);
    share.exchanges += 1;
    share.hit += u64::from(is_hit);
    share.ended += u64::from(is_ended);
}

/// Names rules by what they look for and do.
fn hash(book: &Rulebook) -> String {
    let mut hasher = blake3::Hasher::new();
    for rule in &book.rules {
        hasher.update(format!("{}\n{:?}\n{}\n", rule.name, rule.parts, rule.mode).as_bytes());
        for model in &rule.models {
            let told = format!("{:?} {:?} {}\n", model.channels, model.action, model.above);
            hasher.update(told.as_bytes());
        }
    }
    crate::id::hex(&hasher.finalize().as_bytes()[..16])
}
