//! What an order, a rule or a provider that breaks makes of an answer under way.
//!
//! What always holds: once a kill or a rule has ended an answer, no content of it is queued any
//! more; who can go on with it elsewhere says so instead of ending it.

use super::{End, Move, Outside};
use crate::exchange::relay::{Broken, ToolKill};
use crate::exchange::screen::{
    answer_unasked, asks_about_answers, blocked, cannot_judge, refused, unknown_unasked,
};
use crate::id::LeverId;
use crate::proxy::client::Client;
use crate::proxy::orders::{Ordered, Orders, killed};
use crate::table::lever::Filter;
use crate::table::rules::Judge;
use crate::wire::refusal::{Class, Refusal};
use std::sync::Arc;

impl Move<'_> {
    /// Ends the answer on our side, in its dialect if that can be done.
    pub(super) fn end_by_us<C: Client>(&mut self, client: &mut C, refusal: Refusal) -> End {
        if self.head.is_some() {
            return End::Unusable(refusal);
        }
        match &mut self.relay {
            Some(relay) if relay.can_end_in_dialect() => {
                if let Some(outside) = &self.outside {
                    // It has no verdict yet, and nobody waits for one any more.
                    relay.forget_held();
                    relay.has_left(outside.array_left());
                }
                let mut ending = Vec::new();
                relay.cut(&refusal, self.id, &mut ending);
                client.data(&ending);
                self.sent += ending.len() as u64;
                client.finish();
                End::Cut(refusal, None)
            }
            Some(_) | None => {
                client.tear();
                End::Torn(refusal, None)
            }
        }
    }

    /// The provider's part of the answer is over before the answer is. If it lacks only its end
    /// mark it is ended as whole, once what waits has left: then it goes on, and there is `None`. If
    /// another provider may go on (`may_go_on`), that is said.
    pub(super) fn broke<C: Client>(
        &mut self,
        client: &mut C,
        refusal: Refusal,
        may_go_on: bool,
    ) -> Option<End> {
        let mut out = Vec::new();
        match (&mut self.relay, &mut self.outside) {
            // What has not left yet may be all of it.
            (Some(relay), Some(outside)) => {
                if !outside.is_over()
                    && relay.end_if_answered(&mut out)
                    && outside.take(&mut out, true).is_ok()
                {
                    let is_done = outside.is_done();
                    return self.leave(client, &out, Ok(()), is_done);
                }
            }
            (Some(relay), None) if self.head.is_none() => {
                if relay.end_if_answered(&mut out) {
                    client.data(&out);
                    self.sent += out.len() as u64;
                    client.finish();
                    return Some(End::Whole);
                }
                if may_go_on && relay.can_go_on() {
                    return Some(End::Broken(refusal, None));
                }
            }
            (Some(_) | None, _) => {}
        }
        Some(self.end_by_us(client, refusal))
    }

    /// Whether another provider may go on: what waits for a judge outside would be lost to it.
    fn can_go_on(&self) -> bool {
        self.outside.is_none() && self.relay.as_ref().is_some_and(|relay| relay.can_go_on())
    }

    /// Rules forbid the answer, or what comes next of it.
    pub(super) fn end_for_rule<C: Client>(&mut self, client: &mut C, broken: &Broken) -> End {
        let outside = self.found.as_deref();
        let found = outside
            .filter(|found| found.is_cut())
            .or_else(|| self.relay.as_ref().and_then(|relay| relay.found()));
        let refusal = found.map_or_else(
            || Refusal::new(Class::Blocked, broken.message()),
            |found| blocked(found, "answer"),
        );
        let goes_on = *broken == Broken::Rerouted;
        if self.head.is_some() {
            return if goes_on { End::Ruled(refusal) } else { End::Blocked(refusal) };
        }
        if goes_on && self.can_go_on() {
            return End::Broken(refusal, None);
        }
        self.end_by_us(client, refusal)
    }

    /// Puts rules in force over what comes from now on; `None` if the answer goes on.
    fn judge_by<C: Client>(&mut self, client: &mut C, filters: &[Filter]) -> Option<End> {
        let books = || filters.iter().flat_map(|filter| &filter.books);
        let judges: Vec<Arc<Judge>> =
            books().filter_map(|book| book.judge(self.share)).map(Arc::clone).collect();
        let mut is_judged = filters.iter().all(|filter| !filter.books.is_empty());
        match &mut self.relay {
            Some(relay) => {
                for judge in &judges {
                    is_judged &= relay.judge_by(Arc::clone(judge));
                }
            }
            None if self.is_binary => return None,
            None => {}
        }
        // The relay has passed on what waits for judges outside.
        if let Some(found) = self.outside.as_ref().map(|outside| outside.judged(&judges)) {
            let is_cut = found.is_cut();
            self.found.get_or_insert_default().join(found);
            if is_cut {
                return Some(self.end_for_rule(client, &Broken::Blocked));
            }
        }
        if is_judged {
            return self.ask_by(client, judges);
        }
        let refusal = Refusal {
            class: Class::Blocked,
            message: "Blocked by firedoor: this answer cannot be judged by rules that an operator put in force".into(),
            reference: filters.first().map(|filter| filter.lever.to_string().into()),
        };
        Some(self.end_by_us(client, refusal))
    }

    /// The same of judges outside of the gate; what cannot be judged gets their `on_error`.
    fn ask_by<C: Client>(&mut self, client: &mut C, judges: Vec<Arc<Judge>>) -> Option<End> {
        let unjudged = match (&self.relay, &mut self.outside) {
            (None, _) => {
                let mut unjudged = cannot_judge(&judges);
                unjudged.join(unknown_unasked(&judges));
                unjudged
            }
            (Some(_), Some(outside)) => {
                for judge in judges {
                    outside.judge_by(judge);
                }
                return None;
            }
            (Some(_), None) if !asks_about_answers(&judges) => return None,
            (Some(relay), outside) => {
                if let (Some(sentences), Some(ask)) = (relay.sentences(&judges), self.ask) {
                    *outside = Some(Box::new(Outside::new(Box::new(sentences), ask)));
                    return None;
                }
                answer_unasked(&judges)
            }
        };
        let refusal = unjudged.is_cut().then(|| refused(&unjudged, "answer"));
        self.found.get_or_insert_default().join(unjudged);
        refusal.map(|refusal| self.end_by_us(client, refusal))
    }

    /// A call to a killed tool is under way, or would be: the answer ends before it is whole.
    pub(super) fn end_for_tool<C: Client>(&mut self, client: &mut C, lever: &str) -> End {
        let refusal = Refusal {
            class: Class::Killed,
            message: "Blocked by firedoor: the model called a tool that is stopped".into(),
            reference: Some(lever.into()),
        };
        let by = LeverId::parse(lever);
        match self.end_by_us(client, refusal) {
            End::Cut(refusal, _) => End::Cut(refusal, by),
            End::Torn(refusal, _) => End::Torn(refusal, by),
            end => end,
        }
    }

    /// Does what was ordered; `None` if the answer goes on.
    pub(super) fn obey<C: Client>(
        &mut self,
        client: &mut C,
        orders: &Orders<'_>,
        order: Ordered,
    ) -> Option<End> {
        let lever = match order {
            Ordered::ShutDown => {
                let refusal = Refusal::new(Class::Unavailable, "Firedoor is shutting down");
                return Some(self.end_by_us(client, refusal));
            }
            Ordered::Killed(lever) => lever,
            Ordered::Switch(_) if self.head.is_some() => return Some(End::Ordered(order)),
            Ordered::Tools(_) | Ordered::Filters(_)
                if self.head.is_some() && (self.relay.is_none() || !orders.is_drained()) =>
            {
                return Some(End::Ordered(order));
            }
            Ordered::Switch(_) => {
                return self.can_go_on().then_some(End::Switched);
            }
            Ordered::Filters(filters) => return self.judge_by(client, &filters),
            Ordered::Tools(tools) => {
                // The relay has passed on what waits here.
                let waits = self.outside.as_ref().map_or(Ok(()), |waits| waits.may_leave(&tools));
                if let Err(Broken::KilledTool { lever }) = waits {
                    return Some(self.end_for_tool(client, &lever));
                }
                if let Err(broken) = waits {
                    let refusal = Refusal::new(Class::BadGateway, broken.message());
                    return Some(self.end_by_us(client, refusal));
                }
                let relay = self.relay.as_mut()?;
                return match relay.kill_tools(tools) {
                    ToolKill::Guarding | ToolKill::CutIfCalled => None,
                    ToolKill::CallUnderWay(lever) => Some(self.end_for_tool(client, &lever)),
                };
            }
        };
        if self.head.is_some() {
            return Some(End::Ordered(Ordered::Killed(lever)));
        }
        if self.can_go_on() && client.backlog() == 0 {
            return Some(End::Broken(killed(&lever), Some(lever.id)));
        }
        if let Some(track) = client.track() {
            track.wait_for_end();
        }
        // What waits for the client is content: none of it may leave any more.
        let must_keep = self.relay.as_ref().is_some_and(|relay| !relay.may_lose_frames());
        if must_keep && client.backlog() > 0 || !client.discard().is_clear() {
            client.tear();
            return Some(End::Torn(killed(&lever), Some(lever.id)));
        }
        Some(match self.end_by_us(client, killed(&lever)) {
            End::Cut(refusal, _) => End::Cut(refusal, Some(lever.id)),
            End::Torn(refusal, _) => End::Torn(refusal, Some(lever.id)),
            end => end,
        })
    }
}
