//! What callers say with a change: who they are, why, and over what; and what the desk answers them.

use super::body::text;
use super::desk::{Desk, Door};
use super::guard;
use super::problem::Problem;
use crate::control::desk::LEVERS_MAX;
use crate::control::hold::HOLDS_MAX;
use crate::control::{Actor, LeverFault};
use crate::table::lever::Scope;
use http::HeaderMap;
use serde::Deserialize;

/// What an extension or a lift says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    pub(super) reason: Option<String>,
    pub(super) author: Option<String>,
    pub(super) ttl_s: Option<u64>,
}

/// Who calls, as the audit names them.
pub(super) fn actor(
    desk: &Desk,
    headers: &HeaderMap,
    author: Option<String>,
) -> Result<Actor, Problem> {
    let said = text("author", author)?;
    match (desk.door, guard::holder(desk, headers)) {
        (Door::Tcp, Some((role, name))) => {
            // What is said beside a token is kept beside the token's own name, never instead of it.
            let who = match said {
                Some(said) if *said != *name => format!("{said} (token {name})").into(),
                Some(_) | None => Box::from(&*name),
            };
            Ok(Actor { who, role: role.name(), by: "api" })
        }
        (Door::Tcp, None) => Err(Problem::unauthenticated()),
        (Door::Unix, _) => match said {
            Some(who) => Ok(Actor { who, role: "admin", by: "socket" }),
            None => Err(Problem::bad_request("`author` is required: who does it.")),
        },
    }
}

pub(super) fn reason(value: Option<String>) -> Result<Box<str>, Problem> {
    text("reason", value)?.ok_or_else(|| {
        Problem::bad_request("`reason` is required: why, for whoever reads the audit.")
    })
}

/// The scope that is named.
pub(super) fn scope(text: Option<&str>) -> Result<Scope, Problem> {
    let text = text.ok_or_else(|| {
        Problem::bad_request(format!("`scope` is required: {}", crate::table::lever::GRAMMAR))
    })?;
    Scope::parse(text).map_err(|error| Problem::bad_request(error.to_string()))
}

/// What the desk could not do, for the caller.
pub(super) fn problem(fault: LeverFault) -> Problem {
    match fault {
        LeverFault::NoSuchLever(near) => {
            let near: Vec<String> = near.iter().map(ToString::to_string).collect();
            Problem::no_such_lever(&near)
        }
        LeverFault::TooMany => Problem::unavailable(format!(
            "There are {LEVERS_MAX} levers in force; lift some first."
        )),
        LeverFault::TooManyHolds => Problem::unavailable(format!(
            "There are {HOLDS_MAX} holds by hand; release some first."
        )),
        LeverFault::Unavailable(why) => Problem::unavailable(format!(
            "The control log cannot take it, and nothing was changed: {why}"
        )),
    }
}
