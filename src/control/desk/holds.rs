//! The desk on holds: placed and released by hand, durable before it is said to be done.
//!
//! What levers hold is not placed here: it is a part of the change that pulls them.

use super::told::{Actor, LeverFault, Notice};
use super::{LeverDesk, audit};
use crate::control::clocks;
use crate::control::hold::{HOLDS_MAX, Hold};
use crate::control::log::Change;
use crate::table::lever::Scope;
use std::sync::Arc;
use std::time::Duration;

/// What is to be held.
#[derive(Clone, Debug)]
pub struct HoldOrder {
    /// What it is about.
    pub scope: Scope,
    /// How much from before now.
    pub before: Duration,
    /// How much from now on; `None` until it is released.
    pub after: Option<Duration>,
    /// Why.
    pub reason: Box<str>,
    /// The incident that it belongs to.
    pub incident: Option<Box<str>>,
}

impl LeverDesk {
    /// Places a hold.
    ///
    /// # Errors
    /// There are too many, or the log cannot take it.
    pub async fn hold(&self, order: HoldOrder, actor: &Actor) -> Result<Hold, LeverFault> {
        let random = clocks::random().map_err(|why| LeverFault::Unavailable(why.to_owned()))?;
        let unix_ms = clocks::unix_ms();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let hold = Hold {
            id: format!("hd_{:032x}", crate::id::LeverId::new(unix_ms, random).0).into(),
            scope: order.scope,
            from_unix_ms: unix_ms.saturating_sub(ms(order.before)),
            until_unix_ms: order.after.map(|after| unix_ms.saturating_add(ms(after))),
            reason: order.reason,
            author: actor.who.clone(),
            created_unix_ms: unix_ms,
            incident: order.incident,
            lever: None,
        };
        let audit = audit(actor, &hold.reason, hold.incident.as_deref(), None);
        let mut held = self.held.lock().await;
        if held.state.holds.values().filter(|hold| hold.lever.is_none()).count() >= HOLDS_MAX {
            return Err(LeverFault::TooManyHolds);
        }
        self.append(&mut held, Change::Hold { hold: hold.clone() }, audit)
            .await
            .map_err(LeverFault::Unavailable)?;
        drop(held);
        let _ = self.notices.send(Notice::Held(Arc::new(hold.clone())));
        Ok(hold)
    }

    /// Releases a hold; gives what it was, or `None` if there is none of this id.
    ///
    /// # Errors
    /// The log cannot take it.
    pub async fn release(
        &self,
        id: &str,
        reason: &str,
        actor: &Actor,
    ) -> Result<Option<Hold>, LeverFault> {
        let mut held = self.held.lock().await;
        let Some(hold) = held.state.holds.get(id).cloned() else { return Ok(None) };
        let audit = audit(actor, reason, hold.incident.as_deref(), Some(&hold.scope.to_string()));
        self.append(&mut held, Change::Release { id: id.into() }, audit)
            .await
            .map_err(LeverFault::Unavailable)?;
        drop(held);
        let _ = self.notices.send(Notice::Released(Arc::new(hold.clone())));
        Ok(Some(hold))
    }

    /// Every hold that stands, in the order of their ids.
    pub async fn holds(&self) -> Vec<Hold> {
        self.held.lock().await.holds()
    }

    /// The same, for a thread of its own that may wait: never on a runtime's.
    pub fn holds_blocking(&self) -> Vec<Hold> {
        self.held.blocking_lock().holds()
    }
}
