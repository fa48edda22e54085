//! What a caller asks for, and the plan that it becomes.

use super::work::{Kind, Work};
use crate::admin::body::{RULES_BYTES_MAX, text};
use crate::admin::problem::Problem;
use crate::control::clocks;
use crate::evidence::{line, query};
use crate::replay::backtest::{self, Report};
use crate::replay::gather::Select;
use crate::replay::rules::{Candidate, Rules};
use crate::replay::tally::Listing;
use crate::table::Table;
use crate::table::packs::inline;
use crate::table::rules::Pack;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// The most packs by name.
const PACKS_MAX: usize = 64;
/// The most samples of a rule, and how many if nothing is said.
const SAMPLES_MAX: usize = 20;
const SAMPLES: usize = 3;
/// The most exchanges that a replay lists, and how many if nothing is said.
const LISTED_MAX: usize = 1_000;
const LISTED: usize = 100;
/// The most bytes of them.
const LISTED_BYTES_MAX: usize = 16 << 20;
/// The most bytes of lines of exchanges that are not whole yet.
const PENDING_BYTES_MAX: usize = 64 << 20;

/// What a caller says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    packs: Vec<String>,
    rules: Option<String>,
    session: Option<String>,
    exchange: Option<String>,
    since: Option<String>,
    until: Option<String>,
    route: Option<String>,
    app: Option<String>,
    pub(super) author: Option<String>,
    /// Of a backtest.
    samples: Option<usize>,
    pub(super) resume: Option<String>,
    /// Of a replay.
    all: Option<bool>,
    limit: Option<usize>,
}

/// Which exchanges, by which rules.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    select: Select,
    packs: Vec<String>,
    rules: Option<String>,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    Backtest { subject: Subject, samples: usize, before: Option<Box<Report>> },
    Replay { subject: Subject, listing: Listing },
}

fn moment(name: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let found = query::moment(text.trim(), clocks::unix_ms()).map(line::moment);
    found.map(Some).ok_or_else(|| {
        Problem::bad_request(format!(
            "`{name}` is how long ago, such as 30m, 2h, 7d, or a moment, such as 2026-11-28T10:00:00Z."
        ))
    })
}

fn name(name: &str, value: Option<String>) -> Result<Option<String>, Problem> {
    Ok(text(name, value)?.map(String::from))
}

/// A number within its bounds.
fn at_most(
    name: &str,
    given: Option<usize>,
    default: usize,
    most: usize,
) -> Result<usize, Problem> {
    match given.unwrap_or(default) {
        number if number > most => {
            Err(Problem::bad_request(format!("`{name}` may be {most} at most.")))
        }
        number => Ok(number),
    }
}

/// A field that belongs to the other kind of work.
fn without<T>(kind: Kind, name: &str, value: Option<&T>) -> Result<(), Problem> {
    match value {
        None => Ok(()),
        Some(_) => Err(Problem::bad_request(format!("A {} has no `{name}`.", kind.name()))),
    }
}

impl Asked {
    fn subject(self) -> Result<Subject, Problem> {
        if self.packs.len() > PACKS_MAX {
            return Err(Problem::bad_request(format!("`packs` may name {PACKS_MAX} at most.")));
        }
        if self.rules.as_ref().is_some_and(|rules| rules.len() > RULES_BYTES_MAX) {
            let detail = format!("`rules` may have {RULES_BYTES_MAX} bytes at most.");
            return Err(Problem::bad_request(detail));
        }
        let select = Select {
            session: name("session", self.session)?,
            exchange: name("exchange", self.exchange)?,
            since: moment("since", self.since)?,
            until: moment("until", self.until)?,
            route: name("route", self.route)?,
            app: name("app", self.app)?,
        };
        Ok(Subject { select, packs: self.packs, rules: self.rules })
    }

    pub(super) fn backtest(self) -> Result<Plan, Problem> {
        without(Kind::Backtest, "all", self.all.as_ref())?;
        without(Kind::Backtest, "limit", self.limit.as_ref())?;
        if self.packs.is_empty() && self.rules.is_none() {
            return Err(Problem::bad_request(
                "`packs`, names, or `rules`, the text of a pack, is required.",
            ));
        }
        let samples = at_most("samples", self.samples, SAMPLES, SAMPLES_MAX)?;
        Ok(Plan::Backtest { subject: self.subject()?, samples, before: None })
    }

    pub(super) fn replay(self) -> Result<Plan, Problem> {
        without(Kind::Replay, "samples", self.samples.as_ref())?;
        without(Kind::Replay, "resume", self.resume.as_ref())?;
        let most = at_most("limit", self.limit, LISTED, LISTED_MAX)?;
        let listing =
            Listing { all: self.all == Some(true), most, bytes_max: Some(LISTED_BYTES_MAX) };
        Ok(Plan::Replay { subject: self.subject()?, listing })
    }

    /// The plan that goes on where another backtest was ended.
    pub(super) fn going_on(
        &self,
        before: &Plan,
        is_over: bool,
        result: Option<&RawValue>,
    ) -> Result<Plan, Problem> {
        let is_all = self.packs.is_empty()
            && self.rules.is_none()
            && (self.samples, self.limit, self.all) == (None, None, None)
            && [&self.session, &self.exchange, &self.since, &self.until, &self.route, &self.app]
                .iter()
                .all(|field| field.is_none());
        if !is_all {
            let detail = "`resume` goes on with what was asked for then: leave the rest out.";
            return Err(Problem::bad_request(detail));
        }
        let report = result.and_then(|value| Report::parse(value.get().as_bytes()).ok());
        match (report, before) {
            (Some(report), Plan::Backtest { subject, samples, .. }) if report.is_partial => {
                Ok(Plan::Backtest {
                    subject: subject.clone(),
                    samples: *samples,
                    before: Some(Box::new(report)),
                })
            }
            (Some(_), _) => Err(Problem::bad_request("It has come to its end.")),
            (None, _) if is_over => Err(Problem::bad_request("It came to nothing; begin anew.")),
            (None, _) => Err(Problem::bad_request("It is under way.")),
        }
    }
}

impl Subject {
    fn as_json(&self) -> Value {
        json!({
            "session": self.select.session,
            "exchange": self.select.exchange,
            "since": self.select.since,
            "until": self.select.until,
            "route": self.select.route,
            "app": self.select.app,
            "packs": self.packs,
            "rules": self.rules,
        })
    }

    /// The packs that are tried.
    fn candidates(&self, table: &Table) -> Result<Vec<Arc<Pack>>, String> {
        let mut packs = Vec::new();
        for name in &self.packs {
            let found = table.packs.get(name).ok_or_else(|| table.packs.missing(name))?;
            packs.push(Arc::clone(&found.pack));
        }
        if let Some(rules) = &self.rules {
            packs.push(Arc::clone(&inline(rules)?.pack));
        }
        Ok(packs)
    }
}

impl Plan {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Plan::Backtest { .. } => Kind::Backtest,
            Plan::Replay { .. } => Kind::Replay,
        }
    }

    pub(super) fn as_json(&self) -> Value {
        match self {
            Plan::Backtest { subject, samples, .. } => {
                let mut value = subject.as_json();
                value["samples"] = json!(samples);
                value
            }
            Plan::Replay { subject, listing } => {
                let mut value = subject.as_json();
                value["all"] = json!(listing.all);
                value["limit"] = json!(listing.most);
                value
            }
        }
    }

    /// Makes the work ready: compiles its rules.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn work(self, table: &Arc<Table>, folder: PathBuf) -> Result<Work, String> {
        match self {
            Plan::Backtest { subject, samples, before } => {
                let book = backtest::book(&subject.candidates(table)?)?;
                if let Some(before) = &before {
                    before.goes_on(&book)?;
                }
                let options = backtest::Options {
                    folder,
                    select: subject.select,
                    threads: 1,
                    identity: None,
                    samples_max: samples,
                    pending_bytes_max: PENDING_BYTES_MAX,
                };
                Ok(Work::Backtest { book, options, before })
            }
            Plan::Replay { subject, listing } => {
                let packs = subject.candidates(table)?;
                let candidates =
                    packs.into_iter().map(|pack| Candidate { pack, is_everywhere: true }).collect();
                let rules = Rules::new(Arc::clone(table), candidates)?;
                let pending_bytes_max = PENDING_BYTES_MAX;
                Ok(Work::Replay {
                    rules,
                    folder,
                    select: subject.select,
                    listing,
                    pending_bytes_max,
                })
            }
        }
    }
}
