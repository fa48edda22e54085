//! What may be used, compiled: who a limit holds for, what it counts, and what meeting it does.

use super::{AppIndex, Money, Pattern};
use std::sync::Arc;
use std::time::Duration;

/// What a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Requests that begin.
    Requests,
    /// Tokens of prompts and answers.
    Tokens,
    /// Nano-USD.
    Money,
}

/// The time over which a cap counts; it slides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// Any 60 seconds.
    Minute,
    /// Any 60 minutes.
    Hour,
    /// Any 24 hours.
    Day,
    /// Any 30 days.
    Month,
}

impl Window {
    /// How long it is.
    pub fn length(self) -> Duration {
        match self {
            Window::Minute => Duration::from_mins(1),
            Window::Hour => Duration::from_hours(1),
            Window::Day => Duration::from_hours(24),
            Window::Month => Duration::from_hours(30 * 24),
        }
    }

    /// Behind an amount: `5 requests a minute`.
    pub fn word(self) -> &'static str {
        match self {
            Window::Minute => "a minute",
            Window::Hour => "an hour",
            Window::Day => "a day",
            Window::Month => "in 30 days",
        }
    }
}

/// Every cap that a file can write.
pub const CAPS: [(&str, Unit, Window); 9] = [
    ("requests_per_minute", Unit::Requests, Window::Minute),
    ("requests_per_hour", Unit::Requests, Window::Hour),
    ("requests_per_day", Unit::Requests, Window::Day),
    ("tokens_per_minute", Unit::Tokens, Window::Minute),
    ("tokens_per_hour", Unit::Tokens, Window::Hour),
    ("tokens_per_day", Unit::Tokens, Window::Day),
    ("usd_per_hour", Unit::Money, Window::Hour),
    ("usd_per_day", Unit::Money, Window::Day),
    ("usd_per_month", Unit::Money, Window::Month),
];

/// So much in a window, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// What is counted.
    pub unit: Unit,
    /// Over which time.
    pub window: Window,
    /// The most; money in nano-USD.
    pub most: u64,
}

impl Cap {
    /// The key that writes it.
    pub fn name(&self) -> &'static str {
        let found =
            CAPS.iter().find(|(_, unit, window)| (*unit, *window) == (self.unit, self.window));
        found.map_or("cap", |(name, ..)| name)
    }
}

/// What each counter of a limit is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Per {
    /// One counter for everything that the limit takes.
    All,
    /// One for each authenticated app.
    App,
    /// One for each declared agent of each app.
    Agent,
    /// One for each model that is asked for.
    Model,
    /// One for each declared session of each app.
    Session,
}

/// What happens to a request that costs money nobody can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unpriced {
    /// It passes, and is counted as such.
    #[default]
    Pass,
    /// It is refused.
    Refuse,
}

/// What a loop that is met leads to. Further requests are refused in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// Nothing more.
    #[default]
    Refuse,
    /// The session is killed.
    KillSession,
    /// The agent is killed.
    KillAgent,
    /// The tool is killed.
    KillTool,
}

/// The same call of a tool, again and again: a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SameCall {
    /// So often is a loop.
    pub times: u32,
    /// Within this time.
    pub within: Duration,
    /// What it leads to.
    pub then: Then,
}

/// Which requests a limit holds for; every part that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitMatcher {
    /// Authenticated app; empty takes any, also none.
    pub apps: Vec<AppIndex>,
    /// Declared agent, by pattern; empty takes any.
    pub agents: Vec<Pattern>,
    /// Asked-for model, by pattern; empty takes any, also none.
    pub models: Vec<Pattern>,
}

impl LimitMatcher {
    /// Whether every part that is given matches.
    pub fn takes(&self, app: Option<AppIndex>, agent: Option<&str>, model: Option<&str>) -> bool {
        let any = |patterns: &[Pattern], text: Option<&str>| {
            patterns.is_empty()
                || text.is_some_and(|text| patterns.iter().any(|p| p.matches(text.as_bytes())))
        };
        (self.apps.is_empty() || app.is_some_and(|app| self.apps.contains(&app)))
            && any(&self.agents, agent)
            && any(&self.models, model)
    }
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name: that of its table, or `apps.NAME`.
    pub name: Arc<str>,
    /// Which requests it holds for.
    pub matcher: LimitMatcher,
    /// What each counter is kept for.
    pub per: Per,
    /// What may be used in which window.
    pub caps: Vec<Cap>,
    /// Exchanges open at once.
    pub concurrent: Option<u32>,
    /// What is a loop.
    pub same_call: Option<SameCall>,
    /// What happens to a request without a price, where money is counted.
    pub unpriced: Unpriced,
}

impl Limit {
    /// Whether it counts `unit`.
    pub fn counts(&self, unit: Unit) -> bool {
        self.caps.iter().any(|cap| cap.unit == unit)
    }

    /// An amount of `unit` in words.
    pub fn amount(unit: Unit, amount: u64) -> String {
        match unit {
            Unit::Requests => format!("{amount} requests"),
            Unit::Tokens => format!("{amount} tokens"),
            Unit::Money => Money(amount).to_string(),
        }
    }
}
