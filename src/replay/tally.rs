//! What many replays came to: all are counted, some are listed.

use super::compare::{Compared, Fared};
use super::walk::Walked;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Which exchanges are listed, and how many.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    /// Those that did not change, too.
    pub all: bool,
    /// The most.
    pub most: usize,
    /// The most bytes of them, as JSON, if that is bounded; one more may go beyond.
    pub bytes_max: Option<usize>,
}

/// Replays, counted.
#[derive(Debug)]
pub struct Tally {
    listing: Listing,
    listed: Vec<Compared>,
    listed_bytes: usize,
    unlisted: u64,
    counts: BTreeMap<Fared, u64>,
    reasons: BTreeMap<&'static str, u64>,
    verdicts: BTreeMap<(String, String), u64>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(listing: Listing) -> Tally {
        Tally {
            listing,
            listed: Vec::new(),
            listed_bytes: 0,
            unlisted: 0,
            counts: BTreeMap::new(),
            reasons: BTreeMap::new(),
            verdicts: BTreeMap::new(),
        }
    }

    /// Counts one.
    pub fn take(&mut self, compared: Compared) {
        *self.counts.entry(compared.fared).or_default() += 1;
        if let Some(why) = &compared.why {
            *self.reasons.entry(why.name).or_default() += 1;
        }
        if compared.fared != Fared::NotRun {
            let name = |verdict: &Option<String>| verdict.clone().unwrap_or_else(|| "none".into());
            let verdicts = (name(&compared.verdict.then), name(&compared.verdict.now));
            *self.verdicts.entry(verdicts).or_default() += 1;
        }
        if !self.listing.all && compared.fared == Fared::Same {
            return;
        }
        let is_full = self.listing.bytes_max.is_some_and(|most| self.listed_bytes >= most);
        if self.listed.len() >= self.listing.most || is_full {
            self.unlisted += 1;
            return;
        }
        if self.listing.bytes_max.is_some() {
            self.listed_bytes += serde_json::to_vec(&compared).map_or(0, |text| text.len());
        }
        self.listed.push(compared);
    }

    /// How many fared so.
    pub fn count(&self, fared: Fared) -> u64 {
        self.counts.get(&fared).copied().unwrap_or(0)
    }

    /// How many there were.
    pub fn exchanges(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Those that are listed.
    pub fn listed(&self) -> &[Compared] {
        &self.listed
    }

    /// How many of those that would be listed are not.
    pub fn unlisted(&self) -> u64 {
        self.unlisted
    }

    /// Why exchanges were not run, or not to their end, and how many.
    pub fn reasons(&self) -> &BTreeMap<&'static str, u64> {
        &self.reasons
    }

    /// The verdicts then and now that differ, and of how many exchanges.
    pub fn changed_verdicts(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        let all = self.verdicts.iter().map(|((then, now), count)| (&**then, &**now, *count));
        all.filter(|(then, now, _)| then != now)
    }

    /// All counts, as JSON.
    pub fn summary(&self, walked: &Walked, has_candidates: bool) -> Value {
        let verdicts: Vec<Value> = self
            .verdicts
            .iter()
            .map(|((then, now), count)| json!({ "then": then, "now": now, "exchanges": count }))
            .collect();
        json!({
            "exchanges": self.exchanges(),
            "same": self.count(Fared::Same),
            "differ": self.count(Fared::Differs),
            "partly": self.count(Fared::Partly),
            "not_run": self.count(Fared::NotRun),
            "why": self.reasons,
            "verdicts": verdicts,
            "has_candidates": has_candidates,
            "unlisted": self.unlisted,
            "read": walked,
        })
    }
}
