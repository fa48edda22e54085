//! What stands before every handler: the state, how the caller came in, and who may call.

use super::state::State;
use super::tokens::Role;
use std::sync::Arc;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone: orchestrators that ask whether the process lives.
    Open,
    /// Who holds a token of this role or one above it.
    Role(Role),
}

/// How a caller came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// By the admin listener: a token is needed.
    Tcp,
    /// By the unix socket: the file's mode has let the caller in, as an admin.
    Unix,
}

/// What each handler is given.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) state: Arc<State>,
    pub(super) door: Door,
}
