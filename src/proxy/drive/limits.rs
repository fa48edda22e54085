//! Hop 4, second half: what an exchange may use is counted when it begins.
//!
//! The decisions are `exchange::limits`'; here they are told to the client, the metrics and the
//! log, and fed with what the body and the table say.

use super::book::Book;
use super::counting::{Counting, who};
use super::{Body, Exchange, Wanted};
use crate::exchange::facts::Facts;
use crate::exchange::forward;
use crate::exchange::limits::estimate::{self, dearer, need_at};
use crate::exchange::limits::{Admitted, Cost, Need, Telling};
use crate::id::LeverId;
use crate::table::lever::Subject;
use crate::table::{Route, TargetIndex, Unit};
use crate::wire::refusal::{Class, Refusal};
use crate::wire::request::output_max;
use std::sync::Arc;

impl Exchange<'_> {
    /// Counts the exchange against every limit that holds for it; without a route it uses a
    /// request and nothing else.
    pub(super) fn count(
        &self,
        book: &mut Book<'_>,
        wanted: &Wanted,
        route: Option<&Route>,
    ) -> Result<(), Refusal> {
        let table = self.table;
        let mut counting = Counting {
            table: Arc::clone(table),
            app: self.admission.app,
            admitted: None,
            output_max: None,
            calls: Vec::new(),
        };
        let by_levers;
        let mut limits = &table.limits[..];
        if table.levers.has_limits() {
            let own = self.seat.with(|subject| {
                let subject = Subject { model: wanted.model.as_deref(), ..*subject };
                table.levers.limits(&subject).into_iter().cloned().collect::<Vec<_>>()
            });
            by_levers = [limits, &own].concat();
            limits = &by_levers;
        }
        if !limits.is_empty() {
            let facts = &mut book.facts;
            let who = who(&facts.identity, counting.app, facts.model_asked.as_deref());
            let is_metered = limits.iter().any(|limit| {
                who.is_under(limit) && (limit.counts(Unit::Tokens) || limit.counts(Unit::Money))
            });
            let mut need = Need::default();
            if let (true, Some(route)) = (is_metered, route) {
                counting.output_max = self.output_max(wanted);
                need = self.need(wanted, route, facts.request_bytes, counting.output_max);
            }
            let now = self.gate.clock.now();
            match self.gate.limits.begin(limits, &who, &need, now) {
                Ok(admitted) => {
                    self.tell_unpriced(&admitted, facts);
                    counting.admitted = Some(admitted);
                }
                Err(refused) => {
                    let name = &refused.limit;
                    self.gate.telemetry.meters().limit_refused(name, refused.met.name());
                    facts.limit = Some(Arc::clone(name));
                    let lever = LeverId::parse(name);
                    facts.lever = lever;
                    if let Some(lever) = lever {
                        self.gate.board.tally(lever).refuse();
                    }
                    let reference = lever.map(|lever| lever.to_string().into());
                    let message = refused.to_string().into();
                    return Err(Refusal { class: Class::Limited, message, reference });
                }
            }
        }
        book.counting = Some(Box::new(counting));
        Ok(())
    }

    /// The most tokens that the answer may have, where the body says.
    fn output_max(&self, wanted: &Wanted) -> Option<u64> {
        match &wanted.body {
            Body::Whole { raw, plain } => {
                output_max(self.admission.dialect?, plain.as_ref().unwrap_or(raw))
            }
            Body::Streamed(_) => None,
        }
    }

    /// What the exchange may use. What is passed through is not read, so it needs nothing that can
    /// be told; where it names a model, it may cost money that nobody sees.
    fn need(
        &self,
        wanted: &Wanted,
        route: &Route,
        request_bytes: u64,
        output_max: Option<u64>,
    ) -> Need {
        if self.admission.dialect.is_none() {
            let cost = wanted.model.as_ref().map_or(Cost::Nothing, |_| Cost::Unknown);
            return Need { cost, ..Need::default() };
        }
        let need = estimate::need(request_bytes, output_max);
        let at = |index: TargetIndex| {
            let target = &self.table.targets[usize::from(index.0)];
            let provider = forward::provider(self.table, target);
            let model = forward::model(target, wanted.model.as_deref()).unwrap_or("");
            let price = self.table.prices.of(provider, model);
            price.map_or(Cost::Unknown, |price| need_at(&need, price))
        };
        let firsts = route.targets.iter().map(|weighted| at(weighted.target));
        let mut most = Cost::Nothing;
        for cost in firsts {
            if cost == Cost::Unknown {
                return Need { cost, ..need };
            }
            most = dearer(most, cost);
        }
        let most = route.fallback.iter().fold(most, |most, target| dearer(most, at(*target)));
        Need { cost: most, ..need }
    }

    fn tell_unpriced(&self, admitted: &Admitted, facts: &Facts) {
        for (limit, telling) in admitted.unpriced() {
            self.gate.telemetry.meters().limit_unpriced(limit);
            match telling {
                Telling::Aloud => tracing::warn!(
                    limit = &**limit,
                    model = facts.model_asked.as_deref(),
                    "a limit counts money, and what this model costs is not known: it passes"
                ),
                Telling::Counted => {}
            }
        }
    }
}
