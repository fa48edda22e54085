//! Levers: containment orders in force, beside the routes in the table.
//!
//! The vocabulary is closed. A lever names what it does ([`Act`]), whom it reaches ([`Scope`]), and
//! who pulled it why; nothing in it is a program, and rules of its own were compiled before it was
//! pulled. `control/` keeps them durable and decides when one ends; here they are values, and
//! [`Levers`] is what the hot path asks.
//!
//! Precedence: kill, then limit, then reroute, then filter. A narrower lever adds to a wider one
//! and never weakens it.

pub mod index;
mod rules;
pub mod scope;

pub use index::{KilledTools, Levers};
pub use rules::{Filter, Rules};
pub use scope::{Dimension, GRAMMAR, Scope, ScopeError, Subject};

use super::limit::{CAPS, Cap};
use crate::id::LeverId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a kill does to exchanges that are under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnKill {
    /// They are ended at once, in their dialect.
    #[default]
    Cut,
    /// They run to their end; nothing new begins.
    Drain,
}

/// What a reroute does to exchanges that are under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnReroute {
    /// They run to their end where they are.
    #[default]
    Finish,
    /// They go on at the new target, where their route lets answers be continued.
    Switch,
}

/// How much a limit lets through. The names are those of the routes file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// By the name of the cap; money in nano-USD.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub caps: BTreeMap<String, u64>,
    /// Exchanges open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
}

impl Ceiling {
    /// The caps, those of unknown names left out.
    pub fn known(&self) -> Vec<Cap> {
        let find = |name: &str| CAPS.iter().find(|(known, ..)| *known == name);
        self.caps
            .iter()
            .filter_map(|(name, most)| {
                let (_, unit, window) = find(name)?;
                Some(Cap { unit: *unit, window: *window, most: *most })
            })
            .collect()
    }
}

/// What a lever does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Act {
    /// Refuses, and cuts what is under way.
    Kill {
        /// What happens to exchanges under way.
        #[serde(default)]
        in_flight: OnKill,
    },
    /// Lets no more through than this, all that its scope reaches together.
    Limit {
        /// How much.
        ceiling: Ceiling,
    },
    /// Sends elsewhere.
    Reroute {
        /// The targets to try, in order: `provider/model`, or `provider` for the model asked for.
        to: Vec<String>,
        /// What happens to exchanges under way.
        #[serde(default)]
        in_flight: OnReroute,
    },
    /// Puts rules in force.
    Filter {
        /// Packs by name, or `pack/rule` for one rule of one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        packs: Vec<String>,
        /// Rules of its own, as the text of a pack.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rules: Option<Box<str>>,
    },
}

impl Act {
    /// The kind's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Act::Kill { .. } => "kill",
            Act::Limit { .. } => "limit",
            Act::Reroute { .. } => "reroute",
            Act::Filter { .. } => "filter",
        }
    }
}

/// A containment order in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lever {
    /// Its id; ids sort by time.
    pub id: LeverId,
    /// What it does.
    pub act: Act,
    /// Whom it reaches.
    pub scope: Scope,
    /// Why, for the people who run the gate; never shown to callers.
    pub reason: Box<str>,
    /// What callers are told, if not the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<str>>,
    /// Who pulled it.
    pub author: Box<str>,
    /// When, in milliseconds since the Unix epoch. For people: nothing is decided by it.
    pub created_unix_ms: u64,
    /// How long it was to stand in all, if not until it is lifted. Counted while the machine runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// The incident it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<Box<str>>,
}

impl Lever {
    /// What callers are told.
    pub fn told(&self) -> &str {
        self.message.as_deref().unwrap_or("stopped by an operator")
    }

    /// Whether it is a kill that ends exchanges under way.
    pub fn cuts(&self) -> bool {
        match self.act {
            Act::Kill { in_flight: OnKill::Cut } => !self.scope.names_tool(),
            Act::Kill { in_flight: OnKill::Drain }
            | Act::Limit { .. }
            | Act::Reroute { .. }
            | Act::Filter { .. } => false,
        }
    }
}
