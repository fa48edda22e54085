//! What rules cost, told before any traffic: text that they hold back, states, memory.
//!
//! A rule has one part for each action that it takes on some kinds of text, and each kind of text
//! has automata of its own. So the figures are those of the kind of text on which the rule costs
//! most, never sums over kinds.

use super::rules::{PackRule, Rulebook};
use crate::filter::{Action, Cost, Held, Kind, Ruleset};
use std::sync::Arc;

/// What one rule costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RuleCost {
    /// What it holds of plain English while it acts; nothing for a rule that only flags. `None` if
    /// that cannot be told.
    pub held: Option<Held>,
    /// The most bytes that it can hold while it acts.
    pub longest_bytes: u64,
    /// States of its own automata.
    pub states: usize,
    /// Memory of its own automata and models, in bytes.
    pub memory_bytes: usize,
}

/// After more than this share of words it is said that a rule holds much.
const HELD_SHARE_MAX: f64 = 0.5;

impl RuleCost {
    fn of(rule: &PackRule, parts: &[Cost]) -> RuleCost {
        let mut worst = RuleCost { held: Some(Held::default()), ..RuleCost::default() };
        for kind in Kind::ALL {
            let (mut held, mut states, mut memory) = (Some(Held::default()), 0, 0);
            for (part, cost) in rule.parts.iter().zip(parts) {
                if !part.channels.has(kind) {
                    continue;
                }
                states += cost.states;
                memory += cost.memory_bytes;
                if part.action == Action::Flag {
                    continue;
                }
                worst.longest_bytes = worst.longest_bytes.max(cost.longest_bytes);
                held = held.zip(cost.held).map(|(sum, more)| Held {
                    share: (sum.share + more.share).min(1.0),
                    mean_bytes: sum.mean_bytes + more.mean_bytes,
                });
            }
            worst.states = worst.states.max(states);
            worst.memory_bytes = worst.memory_bytes.max(memory);
            worst.held =
                worst.held.zip(held).map(|(a, b)| if b.mean_bytes > a.mean_bytes { b } else { a });
        }
        let models = rule.models.first().map_or(0, |part| part.model.memory_bytes());
        worst.memory_bytes += models;
        worst
    }

    /// Whether it holds much of plain English.
    pub fn holds_much(&self) -> bool {
        self.held.is_some_and(|held| held.share > HELD_SHARE_MAX)
    }
}

impl Rulebook {
    /// What each rule costs, each built alone.
    pub fn costs(&self) -> Vec<(&Arc<PackRule>, RuleCost)> {
        let judge = self.judge(0);
        let all = judge.map_or(&[][..], |judge| judge.ruleset.costs());
        let mut from = 0;
        let mut costs = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            let own = all.get(from..from + rule.parts.len()).unwrap_or_default();
            from += rule.parts.len();
            costs.push((rule, RuleCost::of(rule, own)));
        }
        costs
    }

    /// Memory of the automata of all rules together, in bytes: what they share counts once.
    pub fn memory_bytes(&self) -> usize {
        self.rulesets().flat_map(Ruleset::engines).map(|engine| engine.memory_bytes()).sum()
    }
}
