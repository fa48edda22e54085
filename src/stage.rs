//! The names of the eight hops that a request passes.
//!
//! The same names stand in faults, spans, metrics and timelines, so that a person who reads one
//! can search the others.

use std::fmt;

/// One hop of the request path, in the order in which a request passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// A connection is taken and its head is read.
    Accept,
    /// The table is pinned and the exchange created.
    Drive,
    /// The body becomes a request view.
    Read,
    /// Levers, limits and routes decide where it goes.
    Route,
    /// The prompt is judged.
    GuardPrompt,
    /// A provider is connected to and the request is sent.
    Dial,
    /// The answer is decoded and judged.
    GuardAnswer,
    /// The answer is written to the client.
    Write,
}

impl Stage {
    /// The name as it stands in labels and records.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Accept => "accept",
            Stage::Drive => "drive",
            Stage::Read => "read",
            Stage::Route => "route",
            Stage::GuardPrompt => "guard_prompt",
            Stage::Dial => "dial",
            Stage::GuardAnswer => "guard_answer",
            Stage::Write => "write",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
