//! How the limits stand, as `/metrics` and `/api/v1/limits` show it.
//!
//! The proxy takes the picture, the admin plane shows it; the types stand here because both may.

use crate::exchange::limits::Standing;
use crate::table::{Money, Unit};
use std::collections::HashMap;
use std::sync::Arc;

/// Something that a limit of the live table allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The limit's name.
    pub limit: Arc<str>,
    /// The key of the file.
    pub what: &'static str,
    /// What is counted; `None` for exchanges open at once and for calls.
    pub unit: Option<Unit>,
    /// The most.
    pub most: u64,
}

/// The limits at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitPicture {
    /// What is allowed, also where nothing is used.
    pub allowed: Vec<Allowed>,
    /// Every counter.
    pub standings: Vec<Standing>,
    /// Counters that were forgotten since the process began.
    pub evicted: u64,
}

/// Takes a picture.
pub type LimitSource = Arc<dyn Fn() -> LimitPicture + Send + Sync>;

impl LimitPicture {
    /// What is used most, by limit and key.
    pub(super) fn most_used(&self) -> HashMap<(&str, &str), u64> {
        let mut most: HashMap<(&str, &str), u64> = HashMap::new();
        for one in &self.standings {
            let used = most.entry((&one.limit, one.what)).or_default();
            *used = (*used).max(one.used);
        }
        most
    }
}

/// An amount as people count it: money in USD.
pub fn shown(unit: Option<Unit>, amount: u64) -> f64 {
    match unit {
        Some(Unit::Money) => Money(amount).usd(),
        Some(Unit::Requests | Unit::Tokens) | None => amount as f64,
    }
}
