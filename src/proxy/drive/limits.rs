//! Hop 4, second half: what an exchange uses is counted, when it begins and when it is over.
//!
//! The decisions are `exchange::limits`'; here they are told to the client, the metrics and the
//! log, and fed with what the body and the table say.

use super::book::Book;
use super::{Body, Exchange, Wanted};
use crate::exchange::calls::Called;
use crate::exchange::facts::{Facts, Identity, Outcome};
use crate::exchange::forward;
use crate::exchange::limits::estimate::{self, dearer, need_at};
use crate::exchange::limits::{Admitted, Cost, Need, Telling, Used, Who};
use crate::id::LeverId;
use crate::proxy::Gate;
use crate::table::lever::Subject;
use crate::table::{AppIndex, Money, Price, Route, Table, TargetIndex, Unit, cost};
use crate::wire::refusal::{Class, Refusal};
use crate::wire::request::output_max;
use std::sync::Arc;

/// What is kept to count an exchange when it is over.
pub(super) struct Counting {
    table: Arc<Table>,
    app: Option<AppIndex>,
    admitted: Option<Admitted>,
    output_max: Option<u64>,
    /// The calls of its answer.
    pub(super) calls: Vec<Called>,
}

fn who<'w>(identity: &'w Identity, app: Option<AppIndex>, model: Option<&'w str>) -> Who<'w> {
    Who {
        app: app.zip(identity.app.as_ref()),
        agent: identity.agent.as_deref(),
        session: identity.session.as_deref(),
        model,
    }
}

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

impl Counting {
    /// The exchange is over: what it used is counted, and what it cost is written down.
    pub(super) fn settle(self, gate: &Gate, facts: &mut Facts) {
        let price = self.price(facts).copied();
        let priced = |counts| price.as_ref().and_then(|price| cost(counts, price));
        facts.cost_micro_usd = priced(&facts.usage).map(Money::micro_usd);
        let now = gate.clock.now();
        if let Some(admitted) = self.admitted {
            let counts = estimate::used(facts, self.output_max);
            let tokens = counts.input.unwrap_or(0).saturating_add(counts.output.unwrap_or(0));
            admitted.settle(Used { tokens, money: priced(&counts).unwrap_or_default() }, now);
        }
        // The calls of half an answer are half calls.
        if facts.outcome != Outcome::Completed || self.calls.is_empty() {
            return;
        }
        let who = who(&facts.identity, self.app, facts.model_asked.as_deref());
        let loops = gate.limits.called(&self.table.limits, &who, &self.calls, now);
        for met in &loops {
            gate.telemetry.meters().loop_met(&met.limit);
            tracing::warn!(
                limit = &*met.limit,
                subject = met.subject.to_string(),
                tool = &*met.tool,
                times = met.times,
                "a loop: the same call, again and again"
            );
            if let Some(trip) = &met.trip {
                gate.trip(trip.clone());
            }
        }
        facts.loops_met = loops;
    }

    /// The price of the target that answered: of the model that it was asked for, or else of the
    /// model that it says it is.
    fn price(&self, facts: &Facts) -> Option<&Price> {
        let (index, _) = self.table.by_provider_name.get(facts.provider.as_ref()?.as_str())?;
        let provider = self.table.providers.get(usize::from(index.0))?;
        let target = facts.target.as_deref().unwrap_or("");
        let own =
            target.strip_prefix(provider.name.as_str()).and_then(|rest| rest.strip_prefix('/'));
        let asked = own.or(facts.model_asked.as_deref());
        let models = [asked, facts.model_reported.as_deref()];
        models.into_iter().flatten().find_map(|model| self.table.prices.of(provider, model))
    }
}
