//! The lever desk: pulls, extends and lifts levers, in the one order of effect.
//!
//! Durable, then published, then sticky for new requests, then in-flight exchanges reached. The
//! desk holds what the control log adds up to; it reads the log each second whatever it was told,
//! so a lost hint costs a second and never a lever. With the log out of reach the gate keeps what
//! it has: nothing expires, nothing is lifted, and a kill that is pulled meanwhile stands in
//! memory, said to be so, until the log takes it.
//!
//! What always holds: a pull that answered as durable is found by the next process; a table is
//! never published with fewer levers than the log says, but for a quarantined change that made the
//! gate crash, and a kill is never quarantined.

mod held;
mod holds;
mod rules;
#[cfg(test)]
mod tests;
mod told;

use held::{Clocked, Held};
pub use holds::HoldOrder;
pub use told::{
    Actor, Changed, Condition, LeverFault, Notice, Order, Pulled, Ruled, Standing, Took,
};

use super::clocks::{self, Moment};
use super::fold::InForce;
use super::last_known::LastKnown;
use super::log::{AppendFault, Audit, Change, ControlLog, Lineage, Rev};
use super::notes::Notes;
use super::switchboard::Switchboard;
use crate::id::{Epoch, LeverId};
use crate::table::lever::{Act, Lever, Levers};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, broadcast, watch};

/// How long the answer to a pull waits for exchanges under way to end.
const REACH_WAIT: Duration = Duration::from_millis(8);
/// How often the log is read whatever it told.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How often elapsed times are noted, where a lever has one.
const NOTE_EVERY: Duration = Duration::from_secs(10);
/// How long a change must run before it is trusted.
pub const SETTLED_AFTER: Duration = Duration::from_mins(1);
/// Most levers in force.
pub const LEVERS_MAX: usize = 100_000;
/// With at most so many levers, the file of the last known ones is written before a change is
/// answered.
const KEPT_AT_ONCE_MAX: usize = 256;
/// Most appends tried against a log that others append to.
const TRIES_MAX: usize = 64;
/// Changes that are kept for the history.
const HISTORY_MAX: usize = 10_000;

/// What reaches the exchanges that are under way.
pub trait Reach: Send + Sync + fmt::Debug {
    /// Wakes every exchange that `lever` reaches, and resolves when no step begun before the newest
    /// table still runs. From then on the lever counts as in force.
    fn reach<'r>(&'r self, lever: &'r Arc<Lever>) -> Pin<Box<dyn Future<Output = ()> + Send + 'r>>;
}

/// What a desk is made of.
pub struct DeskParts {
    /// The log; `None` if the process was started from the last known levers.
    pub log: Option<Arc<dyn ControlLog>>,
    /// Notes beside it.
    pub notes: Option<Arc<dyn Notes>>,
    /// The log's name.
    pub lineage: Lineage,
    /// What it adds up to.
    pub state: InForce,
    /// The changes that it was read from.
    pub history: Vec<super::log::Entry>,
    /// The revision that is left out.
    pub quarantined: Option<Rev>,
    /// How long levers had stood, as was noted.
    pub elapsed: BTreeMap<LeverId, Duration>,
    /// Where the last known levers are kept.
    pub last_known: Option<PathBuf>,
    /// Where tables are published.
    pub board: Arc<Switchboard>,
}

/// The lever desk.
pub struct LeverDesk {
    log: Option<Arc<dyn ControlLog>>,
    notes: Option<Arc<dyn Notes>>,
    lineage: Lineage,
    last_known: Option<PathBuf>,
    board: Arc<Switchboard>,
    reach: OnceLock<Arc<dyn Reach>>,
    held: Mutex<Held>,
    keeping: Mutex<()>,
    /// Held while rules are compiled anew.
    ruling: Mutex<()>,
    condition: watch::Sender<Condition>,
    notices: broadcast::Sender<Notice>,
}

impl fmt::Debug for LeverDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeverDesk").field("lineage", &self.lineage).finish_non_exhaustive()
    }
}

impl LeverDesk {
    /// A desk that stands on what the log added up to. Publishes the levers at once, so that the
    /// first request already meets them.
    pub fn open(parts: DeskParts) -> Arc<LeverDesk> {
        let now = Moment::now();
        let clocks = parts
            .state
            .levers
            .keys()
            .map(|id| {
                let elapsed = parts.elapsed.get(id).copied().unwrap_or_default();
                (*id, Clocked { at: now, elapsed, warned: false })
            })
            .collect();
        let mut history: VecDeque<super::log::Entry> = parts.history.into();
        let surplus = history.len().saturating_sub(HISTORY_MAX);
        history.drain(..surplus);
        let condition = if parts.log.is_some() { Condition::Up } else { Condition::LastKnown };
        let desk = LeverDesk {
            log: parts.log,
            notes: parts.notes,
            lineage: parts.lineage,
            last_known: parts.last_known,
            board: parts.board,
            reach: OnceLock::new(),
            held: Mutex::new(Held {
                state: parts.state,
                pending: Vec::new(),
                pending_rules: Vec::new(),
                quarantined: parts.quarantined,
                clocks,
                history,
                is_unkept: false,
                noted: Some(Instant::now()),
                unsettled: Some(Instant::now()),
            }),
            keeping: Mutex::new(()),
            ruling: Mutex::new(()),
            condition: watch::Sender::new(condition),
            notices: broadcast::channel(1024).0,
        };
        if let Ok(held) = desk.held.try_lock()
            && !held.state.levers.is_empty()
        {
            desk.publish(&held);
        }
        Arc::new(desk)
    }

    /// Says what reaches the exchanges under way; once.
    pub fn set_reach(&self, reach: Arc<dyn Reach>) {
        let _ = self.reach.set(reach);
    }

    /// The number of the live table.
    pub fn epoch(&self) -> Epoch {
        self.board.epoch()
    }

    /// The levers of the live table.
    pub fn in_force(&self) -> Arc<Levers> {
        Arc::clone(&self.board.peek().levers)
    }

    /// How the log does.
    pub fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// What happens at the desk from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Keeps `text` for the next process, under `name`; waits for the disk.
    pub async fn keep_note(&self, name: &'static str, text: String) {
        self.note(move |notes| notes.keep(name, &text)).await;
    }

    /// What the process before this one kept under `name`.
    pub fn kept_note(&self, name: &str) -> Option<String> {
        self.notes.as_ref()?.kept(name)
    }

    /// The levers in force, oldest first, and the revision.
    pub async fn standing(&self) -> (Rev, Vec<Standing>) {
        let held = self.held.lock().await;
        let now = Moment::now();
        let mut found: Vec<Standing> = held
            .levers()
            .into_iter()
            .map(|lever| Standing {
                remaining: held.remaining(&lever, now),
                is_durable: held.state.levers.contains_key(&lever.id),
                counted: self.board.tally(lever.id).counted(),
                lever,
            })
            .collect();
        found.sort_by_key(|standing| standing.lever.id);
        (held.state.rev, found)
    }

    /// The changes after `after`, oldest first, at most `most` of them, as far as they are kept.
    pub async fn history(&self, after: Rev, most: usize) -> Vec<super::log::Entry> {
        let held = self.held.lock().await;
        held.history.iter().filter(|entry| entry.rev > after).take(most).cloned().collect()
    }

    /// Pulls a lever. See the module for the order of effect.
    ///
    /// # Errors
    /// There are too many levers, or the log cannot take it and it is no kill.
    pub async fn pull(&self, order: Order, actor: &Actor) -> Result<Pulled, LeverFault> {
        let began = Instant::now();
        let mut held = self.held.lock().await;
        if held.state.levers.len() + held.pending.len() >= LEVERS_MAX {
            return Err(LeverFault::TooMany);
        }
        let random = clocks::random().map_err(|why| LeverFault::Unavailable(why.to_owned()))?;
        let unix_ms = clocks::unix_ms();
        let lever = Lever {
            id: held.next_id(LeverId::new(unix_ms, random)),
            act: order.act,
            scope: order.scope,
            reason: order.reason,
            message: order.message,
            author: actor.who.clone(),
            created_unix_ms: unix_ms,
            ttl_ms: order.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
            incident: order.incident,
        };
        let audit = audit(actor, &lever.reason, lever.incident.as_deref(), None);
        let is_kill = matches!(lever.act, Act::Kill { .. });
        if !is_kill {
            // A kill is never left out at a start, so it needs no trial.
            self.note_unsettled(&mut held).await;
        }
        let appended =
            self.append(&mut held, Change::Pull { lever: lever.clone() }, audit.clone()).await;
        let (rev, not_durable) = match appended {
            Ok(rev) => (Some(rev), None),
            Err(why) if is_kill => {
                held.pending.push((lever.clone(), audit));
                (None, Some(why))
            }
            Err(why) => return Err(LeverFault::Unavailable(why)),
        };
        let durable = began.elapsed();
        held.clocks.insert(
            lever.id,
            Clocked { at: Moment::now(), elapsed: Duration::ZERO, warned: false },
        );
        if lever.ttl_ms.is_some() {
            held.noted = None;
        }
        let epoch = self.board.publish_pulled(held.levers(), lever.id, order.rules);
        let standing = held.state.levers.len();
        // The next pull need not wait until this one's streams have ended.
        drop(held);
        let lever = Arc::new(lever);
        let tally = self.board.tally(lever.id);
        if let Some(reach) = self.reach.get() {
            reach.reach(&lever).await;
        }
        let published = began.elapsed();
        let _ = tokio::time::timeout(REACH_WAIT, tally.all_ended()).await;
        let pulled = Pulled {
            counted: tally.counted(),
            lever,
            rev,
            epoch,
            took: Took { durable, published, total: began.elapsed() },
            not_durable,
        };
        let _ = self.notices.send(Notice::Pulled(Arc::new(pulled.clone())));
        self.keep_soon(standing).await;
        Ok(pulled)
    }

    /// Lets a lever stand for `ttl` from now on, or until it is lifted.
    ///
    /// # Errors
    /// There is no such lever, or the log cannot take it.
    pub async fn extend(
        &self,
        id: LeverId,
        ttl: Option<Duration>,
        reason: &str,
        actor: &Actor,
    ) -> Result<Changed, LeverFault> {
        let mut held = self.held.lock().await;
        let before = held.durable(id)?;
        let elapsed = held.elapsed(id, Moment::now());
        let ttl_ms = ttl.map(|ttl| u64::try_from((elapsed + ttl).as_millis()).unwrap_or(u64::MAX));
        let was = before.ttl_ms.map_or_else(|| "no end".to_owned(), |ms| format!("{ms} ms"));
        let audit = audit(actor, reason, None, Some(&was));
        let change = Change::Extend { id, ttl_ms };
        let rev = self.append(&mut held, change, audit).await.map_err(LeverFault::Unavailable)?;
        if let Some(clocked) = held.clocks.get_mut(&id) {
            clocked.warned = false;
        }
        held.noted = None;
        let epoch = self.publish(&held);
        let lever = held.state.levers.get(&id).cloned().unwrap_or(before);
        let _ = self.notices.send(Notice::Extended(Arc::clone(&lever)));
        let standing = held.state.levers.len();
        drop(held);
        self.keep_soon(standing).await;
        Ok(Changed { lever, rev: Some(rev), epoch })
    }

    /// Takes a lever out of force.
    ///
    /// # Errors
    /// There is no such lever, or the log cannot take it.
    pub async fn lift(
        &self,
        id: LeverId,
        reason: &str,
        actor: &Actor,
    ) -> Result<Changed, LeverFault> {
        let mut held = self.held.lock().await;
        let in_memory = held.pending.iter().position(|(lever, _)| lever.id == id);
        let (before, rev) = if let Some(at) = in_memory {
            (Arc::new(held.pending.remove(at).0), None)
        } else {
            let before = held.durable(id).or_else(|fault| held.left_out(id).ok_or(fault))?;
            let audit = audit(actor, reason, None, Some("in force"));
            let change = Change::Lift { id };
            let rev =
                self.append(&mut held, change, audit).await.map_err(LeverFault::Unavailable)?;
            (before, Some(rev))
        };
        held.clocks.remove(&id);
        let epoch = self.publish(&held);
        let lever = before;
        let _ = self.notices.send(Notice::Lifted(Arc::clone(&lever)));
        let standing = held.state.levers.len();
        drop(held);
        self.keep_soon(standing).await;
        Ok(Changed { lever, rev, epoch })
    }

    /// Keeps the desk level with the log, and ends levers whose time is over. Runs until dropped.
    pub async fn run(&self) {
        loop {
            let (rev, next_end) = {
                let held = self.held.lock().await;
                (held.state.rev, held.next_end(Moment::now()))
            };
            let at_most = next_end.map_or(READ_EVERY, |end| end.min(READ_EVERY));
            match &self.log {
                Some(log) => log.wait(rev, at_most.max(Duration::from_millis(1))).await,
                None => tokio::time::sleep(READ_EVERY).await,
            }
            self.level().await;
        }
    }

    /// Says that the process ends in order, so that what it ran is not taken for a crash.
    pub async fn close(&self) {
        self.keep().await;
        let held = self.held.lock().await;
        self.note_settled(held.state.rev).await;
        self.note_elapsed(&held).await;
    }

    /// One turn of [`LeverDesk::run`].
    async fn level(&self) {
        let Some(log) = &self.log else { return };
        let mut held = self.held.lock().await;
        match log.read(held.state.rev).await {
            Err(fault) => {
                self.report(Condition::Lost(fault.to_string()));
                return;
            }
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => {
                for entry in entries {
                    held.take(entry);
                }
                self.publish(&held);
            }
        }
        self.append_pending(&mut held).await;
        self.append_pending_rules(&mut held).await;
        self.report_up(&held);
        self.end_due(&mut held).await;
        if held.noted.is_none_or(|at| at.elapsed() >= NOTE_EVERY) {
            held.noted = Some(Instant::now());
            self.note_elapsed(&held).await;
        }
        if held.unsettled.is_some_and(|at| at.elapsed() >= SETTLED_AFTER) {
            held.unsettled = None;
            self.note_settled(held.state.rev).await;
        }
        drop(held);
        self.publish_demoted().await;
        self.keep().await;
    }

    /// Kills that stand in memory only are offered to the log again.
    async fn append_pending(&self, held: &mut Held) {
        while let Some((lever, audit)) = held.pending.first().cloned() {
            let change = Change::Pull { lever: lever.clone() };
            if self.append(held, change, audit).await.is_err() {
                return;
            }
            held.pending.retain(|(other, _)| other.id != lever.id);
            self.report_up(held);
            tracing::info!(lever = %lever.id, "the control log has taken a kill that it could not take before");
        }
    }

    async fn end_due(&self, held: &mut Held) {
        let now = Moment::now();
        let levers = held.levers();
        for lever in levers {
            let Some(remaining) = held.remaining(&lever, now) else { continue };
            if remaining.is_zero() {
                let gate = Actor { who: "firedoor".into(), role: "gate", by: "gate" };
                let audit = audit(&gate, "its time is over", None, Some("in force"));
                if self.append(held, Change::Expire { id: lever.id }, audit).await.is_err() {
                    return;
                }
                held.clocks.remove(&lever.id);
                self.publish(held);
                let _ = self.notices.send(Notice::Expired(lever));
            } else if let Some(clocked) = held.clocks.get_mut(&lever.id) {
                let ttl = Duration::from_millis(lever.ttl_ms.unwrap_or(u64::MAX));
                if !clocked.warned && remaining <= ttl / 5 {
                    clocked.warned = true;
                    let _ = self.notices.send(Notice::NearEnd(lever));
                }
            }
        }
    }

    /// Appends, against whatever others append, and takes what it appended.
    async fn append(&self, held: &mut Held, change: Change, audit: Audit) -> Result<Rev, String> {
        let Some(log) = &self.log else {
            return Err(
                "the gate was started with --last-known, without its control log; mend the log and restart"
                    .to_owned(),
            );
        };
        for _ in 0..TRIES_MAX {
            let fault = match log.append(held.state.rev, change.clone(), audit.clone()).await {
                Ok(rev) => {
                    self.take_new(held).await.map_err(|fault| fault.to_string())?;
                    self.report_up(held);
                    return Ok(rev);
                }
                Err(fault) => fault,
            };
            if let AppendFault::Unavailable(why) = fault {
                self.report(Condition::Lost(why.clone()));
                return Err(why);
            }
            // Others appended, or the answer was lost: what the log holds decides.
            let from = held.state.rev;
            if let Err(unread) = self.take_new(held).await {
                self.report(Condition::Lost(unread.to_string()));
                return Err(fault.to_string());
            }
            let own = held.history.iter().rev().take_while(|entry| entry.rev > from);
            if let Some(found) = own.into_iter().find(|entry| entry.change == change) {
                return Ok(found.rev);
            }
        }
        Err("others change the control log faster than this gate can".to_owned())
    }

    async fn take_new(&self, held: &mut Held) -> Result<(), super::log::ReadFault> {
        let Some(log) = &self.log else { return Ok(()) };
        for entry in log.read(held.state.rev).await? {
            held.take(entry);
        }
        Ok(())
    }

    fn publish(&self, held: &Held) -> Epoch {
        self.board.publish_levers(held.levers())
    }

    /// Keeps the last known levers in their file, if they have changed since.
    ///
    /// Never under the lock of what is held: that would be a write of the whole file on the way
    /// of the next pull.
    async fn keep(&self) {
        // One at a time, so that an older state never replaces a newer one.
        let _kept = self.keeping.lock().await;
        let known = {
            let mut held = self.held.lock().await;
            let is_unkept = std::mem::take(&mut held.is_unkept) && self.log.is_some();
            is_unkept.then(|| LastKnown::of(self.lineage.clone(), &held.state))
        };
        let (Some(path), Some(known)) = (self.last_known.clone(), known) else { return };
        let written = tokio::task::spawn_blocking(move || {
            known.write(&path).map_err(|error| format!("{}: {error}", path.display()))
        });
        if let Ok(Err(why)) = written.await {
            tracing::warn!(why, "cannot keep the last known levers");
        }
    }

    /// [`LeverDesk::keep`] before a change is answered, where that costs little; [`LeverDesk::run`]
    /// sees to the rest a moment later.
    async fn keep_soon(&self, standing: usize) {
        if standing <= KEPT_AT_ONCE_MAX {
            self.keep().await;
        }
    }

    /// A log that is read, or takes a small change, but owes a kill is not up.
    fn report_up(&self, held: &Held) {
        if held.pending.is_empty() {
            self.report(Condition::Up);
        }
    }

    fn report(&self, now: Condition) {
        let has_changed = self.condition.send_if_modified(|condition| {
            let has_changed = std::mem::discriminant(condition) != std::mem::discriminant(&now);
            if has_changed {
                condition.clone_from(&now);
            }
            has_changed
        });
        if has_changed {
            match &now {
                Condition::Lost(why) => {
                    tracing::error!(
                        why,
                        "the control log is lost; the gate keeps the levers it has"
                    );
                }
                Condition::Up => tracing::info!("the control log is back"),
                Condition::LastKnown => {}
            }
            let _ = self.notices.send(Notice::Log(now));
        }
    }

    /// A change that is about to be applied may make the gate crash.
    async fn note_unsettled(&self, held: &mut Held) {
        held.unsettled = Some(Instant::now());
        let rev = held.state.rev.next();
        self.note(move |notes| notes.unsettled(rev, 0)).await;
    }

    async fn note_settled(&self, rev: Rev) {
        self.note(move |notes| notes.settled(rev)).await;
    }

    async fn note_elapsed(&self, held: &Held) {
        let now = Moment::now();
        let elapsed: BTreeMap<LeverId, Duration> = held
            .state
            .levers
            .values()
            .filter(|lever| lever.ttl_ms.is_some())
            .map(|lever| (lever.id, held.elapsed(lever.id, now)))
            .collect();
        if !elapsed.is_empty() {
            self.note(move |notes| notes.elapsed(&elapsed)).await;
        }
    }

    /// Writes a note on the blocking pool: it waits for the disk.
    async fn note(&self, write: impl FnOnce(&dyn Notes) + Send + 'static) {
        if let Some(notes) = &self.notes {
            let notes = Arc::clone(notes);
            let _ = tokio::task::spawn_blocking(move || write(&*notes)).await;
        }
    }
}

fn audit(actor: &Actor, reason: &str, ticket: Option<&str>, before: Option<&str>) -> Audit {
    Audit {
        who: actor.who.clone(),
        role: actor.role.into(),
        by: actor.by.into(),
        reason: reason.into(),
        unix_ms: clocks::unix_ms(),
        ticket: ticket.map(Box::from),
        before: before.map(Box::from),
    }
}
