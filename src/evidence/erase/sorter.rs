//! Which lines of a segment go: those of some routes, as the lines themselves tell whose they are.

use super::super::line::{self, Chain, Head};
use super::super::read::Text;
use super::super::segment::Header;
use super::super::share::is_stores_own;
use crate::id::ExchangeId;
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};

/// What becomes of a line.
pub(super) enum Fate {
    Stays,
    /// It goes with what stands beside it.
    Goes(Run),
    /// It is made anew.
    Drops,
}

/// Lines beside each other that are erased.
pub(super) struct Run {
    pub first: u64,
    pub last: u64,
    /// When the first of them was.
    pub at: String,
    /// The chain after the last of them.
    pub chain: Chain,
    /// How many of them were there until now.
    pub records: u64,
}

/// Knows whose lines go.
pub(super) struct Sorter<'o> {
    routes: &'o BTreeSet<String>,
    /// Whether an exchange's lines do.
    goes: HashMap<ExchangeId, bool>,
    /// The seal's number, and the chain after it.
    pub seal: Option<Head>,
}

/// What of a line is looked at.
#[derive(Deserialize)]
struct Told<'l> {
    v: u32,
    seq: u64,
    #[serde(borrow)]
    at: Text<'l>,
    #[serde(borrow)]
    kind: Text<'l>,
    #[serde(borrow, default)]
    exchange: Option<Text<'l>>,
    #[serde(borrow, default)]
    route: Option<Text<'l>>,
    #[serde(default)]
    last: Option<u64>,
}

impl<'o> Sorter<'o> {
    pub(super) fn new(routes: &'o BTreeSet<String>) -> Sorter<'o> {
        Sorter { routes, goes: HashMap::new(), seal: None }
    }

    /// Says it of the next line.
    pub(super) fn fate(&mut self, text: &[u8]) -> Fate {
        let (Ok(told), Some((_, chain))) =
            (serde_json::from_slice::<Told<'_>>(text), line::split(text))
        else {
            return Fate::Stays;
        };
        if told.v > line::VERSION {
            return Fate::Stays;
        }
        let run = |last: u64, records: u64| {
            Fate::Goes(Run { first: told.seq, last, at: told.at.to_string(), chain, records })
        };
        match &*told.kind {
            "erased" => return run(told.last.unwrap_or(told.seq), 0),
            "reseal" => return Fate::Drops,
            "seal" => self.seal = Some(Head { seq: told.seq, chain }),
            "segment" => {
                if let Ok(header) = serde_json::from_slice::<Header>(text) {
                    let whose = header.whose().into_iter();
                    self.goes = whose.map(|(id, whose)| (id, self.has(whose.route()))).collect();
                }
            }
            _ => {}
        }
        if is_stores_own(&told.kind) {
            return Fate::Stays;
        }
        let id = told.exchange.as_deref().and_then(ExchangeId::parse);
        if let (Some(id), "open") = (id, &*told.kind) {
            let goes = self.has(told.route.as_deref().unwrap_or(""));
            self.goes.insert(id, goes);
        }
        let goes = id.and_then(|id| self.goes.get(&id).copied());
        if goes.unwrap_or_else(|| self.has("")) { run(told.seq, 1) } else { Fate::Stays }
    }

    fn has(&self, route: &str) -> bool {
        self.routes.contains(route)
    }
}
