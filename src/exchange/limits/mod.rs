//! What apps, agents, models and sessions have used, and whether one more request fits.
//!
//! An exchange is counted twice: [`Ledger::begin`] checks every limit that holds for it against
//! what is used and what open exchanges have reserved, all under one lock, and reserves what it
//! may use; [`Admitted::settle`] takes the reservation back and adds what was used. So no
//! interleaving of exchanges can admit more than a limit allows, as far as the estimate of each
//! was not too low. A stream under way is never cut by a limit and takes no lock for its frames.
//!
//! Windows slide ([`sliding`]); loops are calls that repeat ([`repeats`]); [`snapshot`] carries
//! what was used over a restart. Keys that clients write (agents, models, sessions) are bounded.

pub mod estimate;
mod ledger;
mod repeats;
mod sliding;
pub mod snapshot;
#[cfg(test)]
mod tests;

pub use ledger::{Admitted, KEYS_MAX, Ledger, Telling};
pub use snapshot::Snapshot;

use crate::id::{AppName, RouteName};
use crate::table::{AppIndex, Cap, Limit, Money, Per, Then, Unit};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Who asks, for what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Who<'w> {
    /// The authenticated app.
    pub app: Option<(AppIndex, &'w AppName)>,
    /// The declared agent.
    pub agent: Option<&'w str>,
    /// The declared session.
    pub session: Option<&'w str>,
    /// The model asked for.
    pub model: Option<&'w str>,
}

impl Who<'_> {
    /// Whether `limit` holds for it.
    pub fn is_under(&self, limit: &Limit) -> bool {
        limit.matcher.takes(self.app.map(|(index, _)| index), self.agent, self.model)
    }
}

/// What money a request may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cost {
    /// None: nothing is bought.
    #[default]
    Nothing,
    /// So much.
    Known {
        /// Its prompt.
        input: Money,
        /// The longest answer that it may get.
        output: Money,
    },
    /// The model has no price.
    Unknown,
}

/// What a request may use, before it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Tokens of the prompt, about.
    pub input_tokens: u64,
    /// The most tokens of the answer, about.
    pub output_tokens: u64,
    /// In money.
    pub cost: Cost,
}

impl Need {
    /// The part that will surely be used, and the whole.
    fn of(&self, unit: Unit) -> (u64, u64) {
        match (unit, self.cost) {
            (Unit::Requests, _) => (1, 1),
            (Unit::Tokens, _) => {
                (self.input_tokens, self.input_tokens.saturating_add(self.output_tokens))
            }
            (Unit::Money, Cost::Known { input, output }) => {
                (input.0, input.0.saturating_add(output.0))
            }
            (Unit::Money, Cost::Nothing | Cost::Unknown) => (0, 0),
        }
    }
}

/// What an exchange used, once it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Tokens.
    pub tokens: u64,
    /// Money; nothing where there is no price.
    pub money: Money,
}

/// What a counter is kept for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// The app, for every subject of an app.
    pub app: Option<AppName>,
    /// The kind and the client's own word, where the client chooses it.
    pub name: Name,
}

/// The part of a subject that a client declares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// Nothing: the app, or everything.
    None,
    /// An agent; `None` for all who declare none.
    Agent(Option<Arc<str>>),
    /// A model; `None` for all who name none.
    Model(Option<Arc<str>>),
    /// A session; `None` for all who declare none.
    Session(Option<Arc<str>>),
}

impl Subject {
    /// What a counter of `per` is kept for. What clients declare is kept apart by app, so that no
    /// app can use up what another one's agent may use.
    fn of(per: Per, who: &Who<'_>) -> Subject {
        let app = who.app.map(|(_, name)| name.clone());
        let text = |text: Option<&str>| text.map(Arc::from);
        match per {
            Per::All => Subject { app: None, name: Name::None },
            Per::App => Subject { app, name: Name::None },
            Per::Agent => Subject { app, name: Name::Agent(text(who.agent)) },
            Per::Model => Subject { app: None, name: Name::Model(text(who.model)) },
            Per::Session => Subject { app, name: Name::Session(text(who.session)) },
        }
    }

    /// For whom calls are counted: the session, else the agent, else the app; `None` for nobody.
    fn of_calls(who: &Who<'_>) -> Option<Subject> {
        let per = match (who.session, who.agent, who.app) {
            (Some(_), _, _) => Per::Session,
            (None, Some(_), _) => Per::Agent,
            (None, None, Some(_)) => Per::App,
            (None, None, None) => return None,
        };
        Some(Subject::of(per, who))
    }

    /// Whether clients choose it, so that there may be any number.
    fn is_declared(&self) -> bool {
        match self.name {
            Name::None => false,
            Name::Agent(_) | Name::Model(_) | Name::Session(_) => true,
        }
    }
}

/// As lists and messages write it; not to be read back, as clients choose parts of it.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text) = match &self.name {
            Name::None => {
                return match &self.app {
                    Some(app) => write!(f, "app `{app}`"),
                    None => f.write_str("everybody"),
                };
            }
            Name::Agent(text) => ("agent", text),
            Name::Model(text) => ("model", text),
            Name::Session(text) => ("session", text),
        };
        match text {
            Some(text) => write!(f, "{kind} `{text}`")?,
            None => write!(f, "requests without {kind}")?,
        }
        match &self.app {
            Some(app) => write!(f, " of app `{app}`"),
            None => Ok(()),
        }
    }
}

/// Which limit keeps a request from beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The limit's name.
    pub limit: Arc<str>,
    /// For whom it counts.
    pub subject: Subject,
    /// What of it is met.
    pub met: Met,
}

/// What of a limit is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    /// What may be used in a window.
    Cap {
        /// The cap.
        cap: Cap,
        /// What is used.
        used: u64,
        /// What open exchanges may still use.
        reserved: u64,
        /// What the request may use.
        need: u64,
        /// When there is room.
        room: Room,
    },
    /// Exchanges open at once.
    Concurrent(u32),
    /// The model has no price, and the limit lets only those with one pass.
    Unpriced,
    /// The same call came too often.
    SameCall {
        /// The tool.
        tool: Box<str>,
        /// How often.
        times: u64,
        /// How long requests are still refused.
        left: Duration,
    },
}

/// When a request fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// After this time, if nothing more is used.
    In(Duration),
    /// When requests under way have ended.
    WhenOthersEnd,
    /// Never: it alone is larger than the limit.
    Never,
}

impl Met {
    /// The key of the file that is met.
    pub fn name(&self) -> &'static str {
        match self {
            Met::Cap { cap, .. } => cap.name(),
            Met::Concurrent(_) => "concurrent",
            Met::Unpriced => "unpriced",
            Met::SameCall { .. } => "loop",
        }
    }
}

/// Whole seconds, so that after them it holds.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// In words for the client.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused { limit, subject, met } = self;
        let name = met.name();
        match met {
            Met::Cap { cap, used, reserved, need, room } => {
                let amount = |amount| Limit::amount(cap.unit, amount);
                write!(
                    f,
                    "Limited by firedoor: {subject} may use {} {} (limit `{limit}`, {name}); {} \
                     are used",
                    amount(cap.most),
                    cap.window.word(),
                    amount(*used),
                )?;
                if *reserved > 0 {
                    write!(f, ", {} are held for requests under way", amount(*reserved))?;
                }
                if cap.unit != Unit::Requests {
                    write!(f, ", and this one may take {}", amount(*need))?;
                }
                match room {
                    Room::In(time) => write!(f, "; there is room again in {} s", seconds(*time)),
                    Room::WhenOthersEnd => f.write_str("; there is room when those have ended"),
                    Room::Never => f.write_str("; it is too large by itself"),
                }
            }
            Met::Concurrent(most) => write!(
                f,
                "Limited by firedoor: {subject} may have {most} requests open at once (limit \
                 `{limit}`, {name}), and has; there is room when one has ended"
            ),
            Met::Unpriced => write!(
                f,
                "Limited by firedoor: limit `{limit}` counts money, and what this model costs is \
                 not known; it takes a price in the routes file"
            ),
            Met::SameCall { tool, times, left } => write!(
                f,
                "Limited by firedoor: loop: tool `{tool}` was called {times} times with the same \
                 arguments by {subject} (limit `{limit}`, {name}); there is room again in {} s",
                seconds(*left)
            ),
        }
    }
}

/// A loop that an answer has met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopMet {
    /// The limit's name.
    pub limit: Arc<str>,
    /// Who called.
    pub subject: Subject,
    /// The tool.
    pub tool: Box<str>,
    /// How often.
    pub times: u64,
    /// The lever that the limit asks for.
    pub trip: Option<Trip>,
}

impl LoopMet {
    /// As records and the API have it.
    pub fn as_json(&self) -> serde_json::Value {
        serde_json::json!({
            "limit": &*self.limit,
            "subject": self.subject.to_string(),
            "tool": &*self.tool,
            "times": self.times,
        })
    }
}

/// The kinds of lever that a limit can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeverKind {
    /// Refuse, and cut what is in flight.
    Kill,
}

/// What a lever is to take; every part that is given must match.
///
/// All but the app are words of the client's or of the model's own: each must be compared as it
/// is, and never be read as a pattern or as the text of a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TripScope {
    /// The app.
    pub app: Option<AppName>,
    /// The agent.
    pub agent: Option<Arc<str>>,
    /// The session.
    pub session: Option<Arc<str>>,
    /// The tool.
    pub tool: Option<Box<str>>,
    /// The route.
    pub route: Option<RouteName>,
    /// The model, as it was asked for.
    pub model: Option<Box<str>>,
}

/// A lever that a limit asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trip {
    /// Its kind.
    pub lever_kind: LeverKind,
    /// What it takes.
    pub scope: TripScope,
    /// Why, for its record.
    pub reason: String,
    /// Why, for who is stopped.
    pub told: &'static str,
    /// The limit that asks.
    pub limit: Arc<str>,
}

/// The scope of `then`; `None` where what it names is not known, as nothing wider may be taken.
fn scope(then: Then, who: &Who<'_>, tool: &str) -> Option<TripScope> {
    let app = who.app.map(|(_, name)| name.clone());
    let scope = TripScope { app, ..TripScope::default() };
    match then {
        Then::Refuse => None,
        Then::KillSession => Some(TripScope { session: Some(Arc::from(who.session?)), ..scope }),
        Then::KillAgent => Some(TripScope { agent: Some(Arc::from(who.agent?)), ..scope }),
        Then::KillTool => Some(TripScope { tool: Some(tool.into()), ..TripScope::default() }),
    }
}

/// A counter as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The limit's name.
    pub limit: Arc<str>,
    /// For whom it counts.
    pub subject: Subject,
    /// The key of the file.
    pub what: &'static str,
    /// What is counted; `None` for exchanges open at once and for calls.
    pub unit: Option<Unit>,
    /// Over which time; `None` for exchanges open at once.
    pub window: Option<Duration>,
    /// What is used; money in nano-USD.
    pub used: u64,
    /// What open exchanges may still use.
    pub reserved: u64,
    /// The most.
    pub most: u64,
    /// When all that is used now is out of the window; `None` if nothing is.
    pub resets_in: Option<Duration>,
}
