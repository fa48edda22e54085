//! Whose lines a segment has, route by route: what retention weighs.
//!
//! A line of an exchange belongs to the exchange's route. What belongs to no exchange, or to one
//! that had ended before, belongs to no route, whose name is empty. Lines of the store's own belong
//! to nobody: they say what the segment is and what is missing, and stay as long as it does.

use super::entry::Opened;
use super::segment::Ranges;
use crate::id::RouteName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What of a segment belongs to a route.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Share {
    /// The route; empty for lines of none.
    pub route: String,
    /// The latest moment that a line of it names, in milliseconds since the Unix epoch.
    pub last_unix_ms: u64,
    /// Bytes of its lines, as text.
    pub text_bytes: u64,
    /// For how many days the route wanted them kept when they were recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u16>,
}

/// The shares of a segment, one for each route.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Shares(Vec<Share>);

impl Shares {
    /// Adds a line.
    pub(super) fn add(&mut self, whose: &Whose, at_unix_ms: u64, text_bytes: u64) {
        let route = whose.route();
        let share = match self.0.iter().position(|share| share.route == route) {
            Some(at) => &mut self.0[at],
            None => self.0.push_mut(Share {
                route: route.to_owned(),
                last_unix_ms: 0,
                text_bytes: 0,
                keep_days: None,
            }),
        };
        share.last_unix_ms = share.last_unix_ms.max(at_unix_ms);
        share.text_bytes = share.text_bytes.saturating_add(text_bytes);
        share.keep_days = share.keep_days.max(whose.keep_days);
    }

    /// Whether there is none, as in segments of a store that did not tell them yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Share> + Clone {
        self.0.iter()
    }

    /// Bytes of all lines that belong to somebody.
    pub fn text_bytes(&self) -> u64 {
        self.0.iter().fold(0, |sum, share| sum.saturating_add(share.text_bytes))
    }

    pub(super) fn keep_days(&self, route: &str) -> Option<u16> {
        self.0.iter().find(|share| share.route == route).and_then(|share| share.keep_days)
    }
}

/// To whom an exchange's lines belong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Whose {
    pub route: Option<RouteName>,
    pub keep_days: Option<u16>,
}

impl Whose {
    pub(super) fn of(opened: &Opened) -> Whose {
        Whose { route: opened.route.clone(), keep_days: opened.keep_days }
    }

    /// The route's name; empty for none.
    pub(super) fn route(&self) -> &str {
        self.route.as_ref().map_or("", RouteName::as_str)
    }
}

/// Whether lines of a kind are the store's own.
pub(super) fn is_stores_own(kind: &str) -> bool {
    matches!(kind, "segment" | "seal" | "reseal" | "recovered" | "retired" | "erasure" | "gap")
}

/// From which segments whose lines were erased.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Erased(BTreeMap<String, Ranges>);

impl Erased {
    /// Adds those of some routes in a segment.
    pub(super) fn insert<'r>(&mut self, segment: u64, routes: impl IntoIterator<Item = &'r str>) {
        for route in routes {
            self.0.entry(route.to_owned()).or_default().insert(segment);
        }
    }

    /// Adds all of `other`.
    pub(super) fn join(&mut self, other: &Erased) {
        for (route, segments) in &other.0 {
            self.0.entry(route.clone()).or_default().join(segments);
        }
    }

    /// Whether a route's lines were erased from a segment.
    pub fn has(&self, segment: u64, route: &str) -> bool {
        self.0.get(route).is_some_and(|segments| segments.has(segment))
    }

    /// Each segment and route of it.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &str)> {
        self.0.iter().flat_map(|(route, segments)| {
            segments.iter().flat_map(|(first, last)| first..=last).map(|number| (number, &**route))
        })
    }

    /// Whether anybody's were.
    pub fn has_any(&self, segment: u64) -> bool {
        self.0.values().any(|segments| segments.has(segment))
    }

    /// Whether nothing was erased.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets segments that are not there any more.
    pub(super) fn keep_only(&mut self, is_there: impl Fn(u64) -> bool) {
        for segments in self.0.values_mut() {
            segments.keep_only(&is_there);
        }
        self.0.retain(|_, segments| segments.count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_erased_is_known_until_its_segment_goes() {
        let mut erased = Erased::default();
        erased.insert(3, ["", "chat"]);
        erased.insert(4, ["chat"]);
        assert!(erased.has(4, "chat") && erased.has(3, "") && !erased.has(4, ""));
        assert_eq!(serde_json::to_string(&erased).unwrap(), r#"{"":[[3,3]],"chat":[[3,4]]}"#);
        erased.keep_only(|number| number == 4);
        assert!(!erased.has_any(3) && erased.has_any(4));
        erased.keep_only(|_| false);
        assert!(erased.is_empty());
    }
}
