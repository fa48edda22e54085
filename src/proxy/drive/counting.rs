//! What an exchange used is counted when it is over, and what it cost is written down.

use crate::exchange::calls::Called;
use crate::exchange::facts::{Facts, Identity, Outcome};
use crate::exchange::limits::estimate;
use crate::exchange::limits::{Admitted, Used, Who};
use crate::proxy::Gate;
use crate::table::{AppIndex, Money, Price, Table, cost};
use std::sync::Arc;

/// What is kept to count an exchange when it is over.
pub(super) struct Counting {
    pub(super) table: Arc<Table>,
    pub(super) app: Option<AppIndex>,
    pub(super) admitted: Option<Admitted>,
    pub(super) output_max: Option<u64>,
    /// The calls of its answer.
    pub(super) calls: Vec<Called>,
}

/// Who asks, as limits know them.
pub(super) fn who<'w>(
    identity: &'w Identity,
    app: Option<AppIndex>,
    model: Option<&'w str>,
) -> Who<'w> {
    Who {
        app: app.zip(identity.app.as_ref()),
        agent: identity.agent.as_deref(),
        session: identity.session.as_deref(),
        model,
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
