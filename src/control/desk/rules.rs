//! The desk on rules: one that only reports from now on, whatever its pack says, and back.
//!
//! To demote a rule is a permissive act, so it is in the control log, with its audit entry, before
//! it is in force, and stands until somebody promotes the rule again; a restart and a reload find
//! it. What the gate does by itself, when a rule hits too large a share of traffic, it does also
//! where the log cannot take it: it is offered to the log again each second.
//!
//! Rules are compiled anew for it: never under the lock of what is held.

use super::told::{Actor, LeverFault, Notice, Ruled};
use super::{LeverDesk, audit};
use crate::control::fold::Demoted;
use crate::control::log::Change;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

impl LeverDesk {
    /// The rules that only report, whatever their packs say, by name.
    pub async fn demoted(&self) -> BTreeMap<Box<str>, Demoted> {
        self.held.lock().await.demoted()
    }

    /// Lets the rule `pack/id` only report.
    ///
    /// # Errors
    /// The log cannot take it, and it is not the gate itself that asks.
    pub async fn demote(
        &self,
        rule: &str,
        reason: &str,
        actor: &Actor,
    ) -> Result<Ruled, LeverFault> {
        self.rule(Change::Demote { rule: rule.into() }, reason, actor).await
    }

    /// Puts the rule `pack/id` in force again, as its pack says.
    ///
    /// # Errors
    /// The log cannot take it.
    pub async fn promote(
        &self,
        rule: &str,
        reason: &str,
        actor: &Actor,
    ) -> Result<Ruled, LeverFault> {
        self.rule(Change::Promote { rule: rule.into() }, reason, actor).await
    }

    async fn rule(&self, change: Change, reason: &str, actor: &Actor) -> Result<Ruled, LeverFault> {
        let (rule, is_demoted) = match &change {
            Change::Demote { rule } => (rule.clone(), true),
            Change::Promote { rule } => (rule.clone(), false),
            Change::Pull { .. }
            | Change::Extend { .. }
            | Change::Lift { .. }
            | Change::Expire { .. }
            | Change::Hold { .. }
            | Change::Release { .. } => {
                return Err(LeverFault::Unavailable("this is no change of a rule".to_owned()));
            }
        };
        let mut held = self.held.lock().await;
        let was = held.demoted().contains_key(&rule);
        let before = if was { "demoted" } else { "in force" };
        if was == is_demoted {
            return Ok(Ruled { rule, is_demoted, rev: None, epoch: self.epoch(), is_new: false });
        }
        let audit = audit(actor, reason, None, Some(before));
        let waiting = held.pending_rules.len();
        held.pending_rules.retain(|(other, _)| other.rule() != Some(&rule));
        let is_only_here = held.pending_rules.len() < waiting;
        let rev = if is_only_here {
            None
        } else {
            match self.append(&mut held, change.clone(), audit.clone()).await {
                Ok(rev) => Some(rev),
                Err(why) if is_demoted && actor.by == "gate" => {
                    tracing::error!(
                        rule = &*rule,
                        why,
                        "the control log cannot take that a rule was demoted: a restart would forget it"
                    );
                    held.pending_rules.push((change, audit));
                    None
                }
                Err(why) => return Err(LeverFault::Unavailable(why)),
            }
        };
        let standing = held.state.levers.len();
        drop(held);
        self.publish_demoted().await;
        let ruled = Ruled { rule, is_demoted, rev, epoch: self.epoch(), is_new: true };
        let _ = self.notices.send(Notice::Ruled(Arc::new(ruled.clone()), actor.clone()));
        self.keep_soon(standing).await;
        Ok(ruled)
    }

    /// Publishes a table in which exactly the demoted rules only report, if the live one is another.
    pub async fn publish_demoted(&self) {
        // One at a time, so that an older state never replaces a newer one.
        let _alone = self.ruling.lock().await;
        let names: HashSet<String> = {
            let held = self.held.lock().await;
            held.demoted().into_keys().map(String::from).collect()
        };
        if *self.board.shadowed() == names {
            return;
        }
        let board = Arc::clone(&self.board);
        let done = tokio::task::spawn_blocking(move || board.shadow_exactly(names)).await;
        match done {
            Ok(Ok(_)) => {}
            Ok(Err(why)) => tracing::error!(why, "rules stay as they were"),
            Err(error) => tracing::error!(%error, "rules stay as they were"),
        }
    }

    /// Demotions that stand in memory only are offered to the log again.
    pub(super) async fn append_pending_rules(&self, held: &mut super::Held) {
        while let Some((change, audit)) = held.pending_rules.first().cloned() {
            if self.append(held, change.clone(), audit).await.is_err() {
                return;
            }
            held.pending_rules.retain(|(other, _)| *other != change);
        }
    }
}
