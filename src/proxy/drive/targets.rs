//! Which target is asked next, and what is waited for before.
//!
//! The chain is chosen when an exchange begins; only a lever that sends what is under way elsewhere
//! makes it be chosen anew, and then what was given up stays given up. A kill that passes a target
//! over is named on whatever answer comes in the end, before the reroute that may have led there.

use super::book::Book;
use super::guard::Guard;
use super::under_way::UnderWay;
use super::wait::Interrupt;
use super::{Attempted, Body, Exchange, Ran, Stop, Wanted, shutting_down};
use crate::exchange::attempts::{Attempts, Choice, Failure, Next, Step};
use crate::id::LeverId;
use crate::proxy::client::Client;
use crate::proxy::orders::Ordered;
use crate::proxy::random;
use crate::table::Route;
use crate::table::lever::Levers;
use crate::wire::refusal::{Class, Refusal};
use std::sync::Arc;
use tokio::time::Instant;

/// How a pause between two attempts ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paused {
    /// The next attempt is due.
    Over,
    /// A lever sends it elsewhere.
    Rerouted,
}

impl Exchange<'_> {
    /// Hops 6 to 8, for one target after another.
    pub(super) async fn attempt_all<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        wanted: &Wanted,
        route: &Route,
        until: Instant,
        mut attempts: Attempts,
    ) -> Result<Ran, Stop> {
        let health = &self.gate.health;
        let Some(mut step) = attempts.first() else {
            return Err(no_target(route).into());
        };
        let mut under_way: Option<Box<UnderWay>> = None;
        let mut guard = Guard::default();
        let mut killed_by: Option<LeverId> = None;
        let stop = loop {
            step.lever = killed_by.or(step.lever);
            let attempted = self
                .attempt(
                    client,
                    book,
                    wanted,
                    route,
                    until,
                    &step,
                    &attempts,
                    &mut under_way,
                    &mut guard,
                )
                .await;
            let failed = match attempted {
                Attempted::Ran(ran) => return Ok(ran),
                Attempted::Stop(stop) => break stop,
                Attempted::Failed(failed) => failed,
                Attempted::Rerouted => {
                    match self.choose_anew(wanted, route, &attempts) {
                        Ok(anew) => (attempts, step) = anew,
                        Err(stop) => break stop,
                    }
                    continue;
                }
                Attempted::Outdated => continue,
            };
            if failed.failure == Failure::Killed {
                killed_by = book.facts.lever;
            }
            if wanted.is_spent(book) {
                break failed.refusal.into();
            }
            let has_budget = health.has_budget() && matches!(wanted.body, Body::Whole { .. });
            match attempts.after(failed.failure, has_budget, random()) {
                Next::GiveUp => break failed.refusal.into(),
                Next::Try { step: next, pause, costs_budget } => {
                    if costs_budget {
                        health.pay_retry();
                    }
                    let pause_until = until.min(Instant::now() + pause);
                    step = next;
                    if !pause.is_zero() {
                        match self.pause(client, pause_until).await {
                            Ok(Paused::Over) => {}
                            Ok(Paused::Rerouted) => {
                                match self.choose_anew(wanted, route, &attempts) {
                                    Ok(anew) => (attempts, step) = anew,
                                    Err(stop) => break stop,
                                }
                            }
                            Err(stop) => break stop,
                        }
                    }
                }
            }
        };
        match (stop, under_way) {
            // Its head is out: it can only be ended.
            (Stop::Refuse(refusal), Some(under_way)) => {
                Ok(Ran::Done(self.end(client, book, *under_way, refusal).await))
            }
            (stop, _) => Err(stop),
        }
    }

    /// The chain of targets under the levers that were in force when the exchange began.
    pub(super) fn choose(&self, wanted: &Wanted, route: &Route) -> Attempts {
        self.chain(&self.table.levers, wanted, route)
    }

    /// The chain under the levers that are in force now.
    pub(super) fn choose_live(&self, wanted: &Wanted, route: &Route) -> Attempts {
        let live = self.gate.board.peek();
        if Arc::ptr_eq(&live.files, &self.table.files) {
            self.chain(&live.levers, wanted, route)
        } else {
            // The routes have changed meanwhile; this exchange keeps those that it began under.
            let known = |id| live.levers.rules(id).cloned();
            let levers =
                Levers::compile_after(live.levers.all().to_vec(), &self.table.files, &known);
            self.chain(&levers, wanted, route)
        }
    }

    fn chain(&self, levers: &Levers, wanted: &Wanted, route: &Route) -> Attempts {
        self.seat.with(|subject| {
            let choice =
                Choice { model: wanted.model.as_deref(), subject: *subject, pick: random() };
            Attempts::new(&self.table.files, levers, route, &choice)
        })
    }

    /// The first of the targets that the levers in force now leave.
    fn choose_anew(
        &self,
        wanted: &Wanted,
        route: &Route,
        before: &Attempts,
    ) -> Result<(Attempts, Step), Stop> {
        let mut attempts = before.replaced(self.choose_live(wanted, route));
        match attempts.first() {
            Some(first) => Ok((attempts, first)),
            None => Err(no_target(route).into()),
        }
    }

    /// Waits, unless the client leaves or the process ends. Kills, killed tools and rules are met at
    /// the next attempt.
    async fn pause<C: Client>(&self, client: &mut C, until: Instant) -> Result<Paused, Stop> {
        loop {
            return match self.race(client, until, std::future::pending::<()>()).await {
                Ok(()) | Err(Interrupt::Late | Interrupt::Ordered(Ordered::Killed(_))) => {
                    Ok(Paused::Over)
                }
                Err(Interrupt::Ordered(Ordered::Tools(_) | Ordered::Filters(_))) => continue,
                Err(Interrupt::Ordered(Ordered::Switch(_))) => Ok(Paused::Rerouted),
                Err(Interrupt::Gone) => Err(Stop::Gone),
                Err(Interrupt::Ordered(Ordered::ShutDown)) => Err(shutting_down().into()),
            };
        }
    }
}

/// Only a lever can take every target from a route.
fn no_target(route: &Route) -> Refusal {
    let message = format!(
        "route `{}` is sent to targets that the routes file does not have (any more)",
        route.name
    );
    Refusal::new(Class::Unavailable, message)
}
