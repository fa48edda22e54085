//! The one error that crosses rooms.
//!
//! A fault says where it happened, whose it is, and whether the same request may be tried again;
//! what the client is told is decided in one place per dialect (`wire/refusal.rs`), never here.

use crate::stage::Stage;
use std::borrow::Cow;
use std::fmt;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The caller sent something that cannot be served.
    Client,
    /// The provider failed.
    Provider,
    /// Firedoor failed, or refuses by its own state.
    Gate,
}

/// Whether the same request may be sent again, to this target or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Nothing reached the client and the provider did not start to answer.
    Safe,
    /// The same request would fail again, or a part of the answer is out.
    Never,
}

/// Something that went wrong on the request path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub stage: Stage,
    /// Whose.
    pub blame: Blame,
    /// Whether a retry may help.
    pub retry: Retry,
    /// What, in words that may be shown to a caller: no secrets, no addresses of the inside.
    pub what: Cow<'static, str>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.what)
    }
}

impl std::error::Error for Fault {}
