//! What the desk is told, and what it tells.

use crate::control::hold::Hold;
use crate::control::log::Rev;
use crate::control::tally::Counted;
use crate::id::{Epoch, LeverId};
use crate::table::lever::{Act, Lever, Rules, Scope};
use std::sync::Arc;
use std::time::Duration;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Their name.
    pub who: Box<str>,
    /// Their role.
    pub role: &'static str,
    /// The way they came: `api`, `socket` or `gate`.
    pub by: &'static str,
}

/// A lever to be pulled.
#[derive(Clone, Debug)]
pub struct Order {
    /// What it does.
    pub act: Act,
    /// The rules of a filter, compiled; where they are missing they are compiled while others wait.
    pub rules: Option<Rules>,
    /// Whom it reaches.
    pub scope: Scope,
    /// Why.
    pub reason: Box<str>,
    /// What callers are told.
    pub message: Option<Box<str>>,
    /// How long it stands.
    pub ttl: Option<Duration>,
    /// The incident it belongs to.
    pub incident: Option<Box<str>>,
}

/// How long the parts of a pull took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// Until it was durable.
    pub durable: Duration,
    /// Until it was in force, from the beginning: published, and no step that began before it under
    /// way.
    pub published: Duration,
    /// Until the answer, from the beginning.
    pub total: Duration,
}

/// What a pull came to.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The lever.
    pub lever: Arc<Lever>,
    /// The revision that holds it; `None` if the log could not take it (yet).
    pub rev: Option<Rev>,
    /// The first table in which it stands.
    pub epoch: Epoch,
    /// What it has done so far.
    pub counted: Counted,
    /// How long it took.
    pub took: Took,
    /// Why it is not durable.
    pub not_durable: Option<String>,
}

/// What an extension or a lift came to.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The lever, as it stands now or stood last.
    pub lever: Arc<Lever>,
    /// The revision; `None` for a lever that stood in memory only.
    pub rev: Option<Rev>,
    /// The first table in which it holds.
    pub epoch: Epoch,
}

/// What a change of a rule came to.
#[derive(Clone, Debug)]
pub struct Ruled {
    /// The rule, as `pack/id`.
    pub rule: Box<str>,
    /// Whether it only reports now, whatever its pack says.
    pub is_demoted: bool,
    /// The revision; `None` where nothing was changed, or the log could not take it (yet).
    pub rev: Option<Rev>,
    /// A table in which it holds.
    pub epoch: Epoch,
    /// Whether it was otherwise before.
    pub is_new: bool,
}

/// Why the desk did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeverFault {
    /// No such lever is in force; these are the nearest ids.
    NoSuchLever(Vec<LeverId>),
    /// As many levers as there may be are in force.
    TooMany,
    /// As many holds by hand as there may be stand.
    TooManyHolds,
    /// The log cannot take it; nothing was changed.
    Unavailable(String),
}

/// How the log does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It answers.
    Up,
    /// It does not, and the gate keeps what it has.
    Lost(String),
    /// The process was started from the last known levers, without a log.
    LastKnown,
}

/// Something that happened at the desk.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A lever was pulled.
    Pulled(Arc<Pulled>),
    /// A lever's time was changed.
    Extended(Arc<Lever>),
    /// A lever was lifted.
    Lifted(Arc<Lever>),
    /// A lever's time was over.
    Expired(Arc<Lever>),
    /// Four fifths of a lever's time are over.
    NearEnd(Arc<Lever>),
    /// A rule was demoted or promoted, and by whom.
    Ruled(Arc<Ruled>, Actor),
    /// A hold was placed.
    Held(Arc<Hold>),
    /// A hold was released.
    Released(Arc<Hold>),
    /// The log's condition has changed.
    Log(Condition),
}

/// A lever in force as the desk lists it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The lever.
    pub lever: Arc<Lever>,
    /// How long it still stands.
    pub remaining: Option<Duration>,
    /// Whether the log holds it.
    pub is_durable: bool,
    /// What it has done.
    pub counted: Counted,
}
