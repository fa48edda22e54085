//! What differs between a recorded exchange and its replay.

use super::engine::{Delivered, End, Replayed, Why, is_written};
use super::said::{Said, said};
use crate::evidence::exchange::{self, Exchange, Known};
use crate::evidence::line::moment;
use crate::exchange::screen::{Done, Found};
use serde::Serialize;

/// The most findings of a kind that are told of one exchange.
const FINDINGS_MAX: usize = 64;

/// How an exchange fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fared {
    /// The same verdict, the same findings, the same bytes to the client.
    Same,
    /// Something differs.
    Differs,
    /// It was run as far as that goes: the verdict is known, the bytes to the client are not.
    Partly,
    /// It cannot be run again.
    NotRun,
}

/// One exchange, then and now.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// The exchange.
    pub exchange: String,
    /// When it began.
    pub began: String,
    /// Its app.
    pub app: Option<String>,
    /// Its session.
    pub session: Option<String>,
    /// Its route.
    pub route: Option<String>,
    /// The target that answered.
    pub target: Option<String>,
    /// How it fared.
    pub fared: Fared,
    /// Why it was not run, or not to its end.
    pub why: Option<Reason>,
    /// The verdict.
    pub verdict: Change<Option<String>>,
    /// How it ended.
    pub outcome: Change<String>,
    /// The status.
    pub status: Change<u16>,
    /// What rules find now and did not then.
    pub found_now: Vec<Finding>,
    /// What they found then and do not now: it would be missed.
    pub missed_now: Vec<Finding>,
    /// Whether rules change the prompt: the provider would have been asked something else.
    pub prompt_changes: bool,
    /// Where the bytes to the client first differ.
    pub bytes: Option<Bytes>,
    /// What the answers say, where their bytes differ.
    pub said: Option<Change<Said>>,
}

/// One hit, as the record has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// `pack/id`.
    pub rule: String,
    /// The kind of text.
    pub channel: String,
    /// Where it begins, in bytes of decoded text of its channel.
    pub start: u64,
    /// One past its end.
    pub end: u64,
    /// What was done.
    pub action: String,
}

impl From<&exchange::Finding> for Finding {
    fn from(then: &exchange::Finding) -> Finding {
        let exchange::Finding { rule, channel, start, end, action, passed: _, tags: _ } = then;
        let (rule, channel, action) = (rule.clone(), channel.clone(), action.clone());
        Finding { rule, channel, start: *start, end: *end, action }
    }
}

/// Why an exchange was not run.
#[derive(Clone, Debug, Serialize)]
pub struct Reason {
    /// A name for counts.
    pub name: &'static str,
    /// In words.
    pub message: String,
}

impl From<&Why> for Reason {
    fn from(why: &Why) -> Reason {
        Reason { name: why.name(), message: why.to_string() }
    }
}

/// Something then and now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// As the record has it.
    pub then: T,
    /// In the replay; where it was not run, as the record has it.
    pub now: T,
}

impl<T: Clone + PartialEq> Change<T> {
    /// Nothing changed.
    pub fn none(then: T) -> Change<T> {
        Change { now: then.clone(), then }
    }

    /// Whether the two are one.
    pub fn is_none(&self) -> bool {
        self.then == self.now
    }
}

/// Where two answers part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// How long they are.
    pub length: Change<usize>,
    /// The first byte that differs.
    pub first_difference: usize,
    /// What stands around it.
    pub around: Change<String>,
}

/// Lays a replay beside the record.
pub fn compare(recorded: &Exchange, replayed: &Result<Replayed, Why>) -> Compared {
    let known = &recorded.known;
    let began = recorded.is_opened.then(|| moment(recorded.began_unix_ms));
    let mut compared = Compared {
        exchange: recorded.id.clone(),
        began: began.unwrap_or_default(),
        app: known.app.clone(),
        session: known.session.clone(),
        route: known.route.clone(),
        target: known.target.clone(),
        fared: Fared::NotRun,
        why: None,
        verdict: Change::none(known.verdict.clone()),
        outcome: Change::none(known.outcome.clone().unwrap_or_default()),
        status: Change::none(known.status),
        found_now: Vec::new(),
        missed_now: Vec::new(),
        prompt_changes: false,
        bytes: None,
        said: None,
    };
    let replayed = match replayed {
        Ok(replayed) => replayed,
        Err(why) => {
            compared.why = Some(why.into());
            return compared;
        }
    };
    compared.verdict.now = replayed.verdict().map(str::to_owned);
    // Nothing was asked of rules where what they judge did not come.
    if replayed.found.count() == 0 && known.verdict.is_none() && replayed.delivered.is_err() {
        compared.verdict.now = None;
    }
    compared.findings(known, &replayed.found);
    if matches!(replayed.delivered, Err(Why::OwnAnswer)) {
        compared.only_the_prompt();
    }
    compared.prompt_changes = replayed.prompt.is_some();
    match &replayed.delivered {
        Err(why) => {
            compared.why = Some(why.into());
            compared.fared = Fared::Partly;
        }
        Ok(delivered) => compared.delivered(recorded, delivered),
    }
    let is_same = compared.verdict.is_none()
        && compared.found_now.is_empty()
        && compared.missed_now.is_empty()
        && compared.bytes.is_none()
        && compared.outcome.is_none()
        && compared.status.is_none();
    if is_same && compared.fared != Fared::Partly {
        compared.fared = Fared::Same;
    } else if !is_same {
        compared.lever(known);
    }
    compared
}

impl Compared {
    /// What differs is no replay's fault where a lever acted: then it is not compared.
    fn lever(&mut self, known: &Known) {
        let lever = known.lever.as_ref().or(known.levers.first());
        match lever {
            Some(lever) => {
                self.why = Some((&Why::Lever(lever.clone())).into());
                self.fared = Fared::Partly;
            }
            None => self.fared = Fared::Differs,
        }
    }

    fn findings(&mut self, known: &Known, found: &Found) {
        let mut now: Vec<Finding> = found
            .hits
            .iter()
            .map(|hit| Finding {
                rule: hit.rule.name.to_string(),
                channel: hit.kind.name().to_owned(),
                start: hit.start,
                end: hit.end,
                action: Done::name(hit.done).to_owned(),
            })
            .collect();
        let mut then: Vec<Finding> = known.findings.iter().map(Finding::from).collect();
        now.sort();
        then.sort();
        self.found_now = without(&now, &then);
        self.missed_now = without(&then, &now);
    }

    /// What rules found then in an answer that was not run again says nothing; nor does the verdict,
    /// unless the prompt's findings changed.
    fn only_the_prompt(&mut self) {
        self.missed_now.retain(|finding| !is_written(&finding.channel));
        if self.found_now.is_empty() && self.missed_now.is_empty() {
            self.verdict.now.clone_from(&self.verdict.then);
        }
    }

    fn delivered(&mut self, recorded: &Exchange, now: &Delivered) {
        self.status.now = now.status;
        let outcome = match (now.end, &*self.outcome.then) {
            (End::Refused, _) => "refused",
            (End::Cut, _) => "cut",
            (End::Whole, then @ ("client_gone" | "torn")) => then,
            (End::Whole, _) if now.status >= 400 => "provider_error",
            (End::Whole, _) => "completed",
        };
        self.outcome.now = outcome.to_owned();
        let then = &recorded.delivered.body.bytes;
        if *then == now.body {
            return;
        }
        let first = then.iter().zip(&now.body).take_while(|(a, b)| a == b).count();
        self.bytes = Some(Bytes {
            length: Change { then: then.len(), now: now.body.len() },
            first_difference: first,
            around: Change { then: around(then, first), now: around(&now.body, first) },
        });
        if let Some(dialect) = recorded.dialect() {
            let kind = recorded.delivered.answer().field("content-type");
            let kind_now = if now.end == End::Refused { Some("application/json") } else { kind };
            self.said = Some(Change {
                then: said(dialect, kind, then),
                now: said(dialect, kind_now, &now.body),
            });
        }
    }
}

/// Those of `these` that are not among `others`, both sorted.
fn without(these: &[Finding], others: &[Finding]) -> Vec<Finding> {
    let mut rest = others.to_vec();
    let mut left = Vec::new();
    for one in these {
        match rest.iter().position(|other| other == one) {
            Some(at) => {
                rest.swap_remove(at);
            }
            None if left.len() < FINDINGS_MAX => left.push(one.clone()),
            None => break,
        }
    }
    left
}

/// Some text around a place.
fn around(bytes: &[u8], at: usize) -> String {
    let begin = at.saturating_sub(40);
    let end = bytes.len().min(at.saturating_add(80));
    String::from_utf8_lossy(bytes.get(begin..end).unwrap_or_default()).into_owned()
}
