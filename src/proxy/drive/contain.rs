//! Levers on the way of one exchange: refused before it is read, before each attempt, or in one.

use super::book::Book;
use super::{Attempted, Exchange, Failed, Stop, Wanted, shutting_down};
use crate::exchange::attempts::{Attempts, Failure};
use crate::exchange::facts::Identity;
use crate::exchange::{forward, identity};
use crate::id::AppName;
use crate::proxy::orders::{Ordered, killed};
use crate::table::lever::{Lever, Levers, Subject};
use crate::table::{Provider, Route, Target};
use crate::wire::refusal::Refusal;
use std::sync::Arc;

impl Exchange<'_> {
    /// Who asks, as far as the body cannot say otherwise.
    fn declared(&self) -> Identity {
        let mut who = identity::read_head(self.asked.headers, &self.table.identity);
        who.app = self.admission.app.map(|app| self.table.apps[usize::from(app.0)].name.clone());
        who
    }

    /// Adds what is known of the app: its name, and the agent of who names none.
    pub(super) fn know_app(&self, who: &mut Identity) {
        let Some(index) = self.admission.app else { return };
        let app = &self.table.apps[usize::from(index.0)];
        who.app = Some(app.name.clone());
        if who.agent.is_none() {
            who.agent.clone_from(&app.agent);
        }
    }

    /// Refuses what a kill reaches by its head alone, before the body is read.
    pub(super) fn refuse_unread(&self, book: &mut Book<'_>) -> Result<(), Refusal> {
        let levers = &self.table.levers;
        if levers.is_empty() {
            return Ok(());
        }
        let who = self.declared();
        let subject = Subject {
            provider: self
                .admission
                .provider
                .map(|index| self.table.providers[usize::from(index.0)].name.as_str()),
            model: self.admission.model.as_deref(),
            app: who.app.as_ref().map(AppName::as_str),
            agent: who.agent.as_deref(),
            session: who.session.as_deref(),
            ..Subject::default()
        };
        match levers.kill(&subject).filter(|lever| !lever.scope.names_target()) {
            Some(lever) => Err(self.refuse_killed(book, lever)),
            None => Ok(()),
        }
    }

    /// Refuses what kills among `levers` reach at every target that it could go to, before it is
    /// counted: a kill goes before a limit.
    pub(super) fn refuse_everywhere(
        &self,
        book: &mut Book<'_>,
        wanted: &Wanted,
        attempts: &Attempts,
        levers: &Levers,
    ) -> Result<(), Refusal> {
        if levers.is_empty() {
            return Ok(());
        }
        let mut last = None;
        for target in attempts.targets() {
            let provider = forward::provider(self.table, target);
            let killed = self.seat.with(|subject| {
                let subject = Subject {
                    provider: Some(provider.name.as_str()),
                    model: forward::model(target, wanted.model.as_deref()),
                    ..*subject
                };
                levers.kill(&subject).cloned()
            });
            match killed {
                None => return Ok(()),
                Some(lever) => last = Some((provider, target, lever)),
            }
        }
        let Some((provider, target, lever)) = last else { return Ok(()) };
        book.facts.provider = Some(provider.name.clone());
        book.facts.target = Some(Arc::clone(&target.name));
        Err(self.refuse_killed(book, &lever))
    }

    /// Writes down what the head alone says, while the body is awaited.
    pub(super) fn take_seat_unread(&self) {
        let who = self.declared();
        self.seat.tell(|about| {
            about.app = who.app;
            about.agent = who.agent;
            about.session = who.session;
        });
    }

    /// What an order to end makes of an exchange of which nothing was sent to anybody.
    pub(super) fn end_unsent(&self, book: &mut Book<'_>, order: Ordered) -> Stop {
        match self.obey(book, order) {
            Attempted::Stop(stop) => stop,
            Attempted::Failed(failed) => failed.refusal.into(),
            // Only what ends it was asked for.
            Attempted::Rerouted | Attempted::Outdated | Attempted::Ran(_) => shutting_down().into(),
        }
    }

    /// Writes down in the registry what scopes may speak of; levers reach the exchange from here on.
    pub(super) fn take_seat(&self, book: &Book<'_>, wanted: &Wanted, route: &Route) {
        // A name that no target of the route serves is the caller's own name for something.
        let is_alias = wanted.model.as_deref().is_some_and(|asked| {
            route.targets.iter().all(|weighted| {
                let target = &self.table.targets[usize::from(weighted.target.0)];
                forward::model(target, Some(asked)) != Some(asked)
            })
        });
        self.seat.tell(|about| {
            let who = &book.facts.identity;
            about.app.clone_from(&who.app);
            about.agent.clone_from(&who.agent);
            about.session.clone_from(&who.session);
            about.route = Some(route.name.clone());
            about.alias = if is_alias { wanted.model.clone() } else { None };
        });
    }

    /// Goes to a target, unless a kill that is in force now forbids it.
    pub(super) fn stand(
        &self,
        book: &mut Book<'_>,
        wanted: &Wanted,
        provider: &Provider,
        target: &Target,
    ) -> Result<(), Failed> {
        let model = match &target.model {
            Some(model) => Some(model.clone()),
            None => wanted.model.as_deref().map(crate::id::ModelName::new),
        };
        self.seat.tell(|about| {
            about.provider = Some(provider.name.clone());
            about.model = model;
        });
        self.stay_clear(book)
    }

    /// The target may be sent a request, unless a kill that is in force now forbids it. Asked when
    /// an exchange goes there, and again when a connection is there at last: a kill that drains lets
    /// what has begun finish, and nothing has begun before that.
    pub(super) fn stay_clear(&self, book: &mut Book<'_>) -> Result<(), Failed> {
        let live = self.gate.board.peek();
        if live.levers.is_empty() {
            return Ok(());
        }
        match self.seat.with(|subject| live.levers.kill(subject).cloned()) {
            None => Ok(()),
            Some(lever) => {
                let refusal = self.refuse_killed(book, &lever);
                // It has left the target, wherever it goes from here.
                self.seat.ended();
                Err(Failed { failure: Failure::Killed, refusal })
            }
        }
    }

    /// What an order that came before anything of an answer was out makes of an attempt.
    pub(super) fn obey(&self, book: &mut Book<'_>, order: Ordered) -> Attempted {
        match order {
            Ordered::ShutDown => Attempted::Stop(shutting_down().into()),
            Ordered::Killed(lever) => {
                book.facts.lever = Some(lever.id);
                self.seat.ended();
                Attempted::Failed(Failed { failure: Failure::Killed, refusal: killed(&lever) })
            }
            Ordered::Switch(_) => Attempted::Rerouted,
            // Asking anew reads the live levers.
            Ordered::Tools(_) | Ordered::Filters(_) => Attempted::Outdated,
        }
    }

    fn refuse_killed(&self, book: &mut Book<'_>, lever: &Lever) -> Refusal {
        self.gate.board.tally(lever.id).refuse();
        let repeats = self.asked.headers.get("x-stainless-retry-count");
        if repeats.is_some_and(|count| count.as_bytes() != b"0") {
            self.gate.telemetry.meters().lever_repeated();
        }
        book.facts.lever = Some(lever.id);
        killed(lever)
    }
}
