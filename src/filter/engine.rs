//! A compiled set of rules, shared by all streams, and what a worker keeps to run it.
//!
//! Rules name the kinds of text that they look at, so each kind has its own set. Kinds with one
//! and the same set share one engine; a kind without rules has none, and costs nothing.

use super::digest::process_key;
use super::fold::Wanted;
use super::kind::Kind;
use super::machine::plan::Expression;
use super::machine::regexes::RegexCache;
use super::machine::{Hit, Machine, MachineCache};
use super::rule::{Action, Limits, Redaction, Rule};
use super::{Complaint, Cost};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// All rules, compiled.
pub struct Ruleset {
    pub(crate) rules: Arc<[Rule]>,
    pub(crate) engines: Vec<Option<Arc<Engine>>>,
    pub(crate) warnings: Vec<Complaint>,
    pub(crate) costs: Vec<Cost>,
    /// Kept so that other rulesets with the same expressions find them built.
    pub(crate) expressions: Vec<Arc<Expression>>,
}

impl std::fmt::Debug for Ruleset {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let engines = self.engines.iter().flatten();
        out.debug_struct("Ruleset")
            .field("rules", &self.rules.len())
            .field("engines", &engines.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Ruleset {
    /// The engine for a kind of text; `None` if no rule looks at it.
    pub fn engine(&self, kind: Kind) -> Option<&Arc<Engine>> {
        self.engines.get(kind as usize)?.as_ref()
    }

    /// The rules, in the order of their indices in findings.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What is not wrong enough to refuse a rule.
    pub fn warnings(&self) -> &[Complaint] {
        &self.warnings
    }

    /// What each rule costs.
    pub fn costs(&self) -> &[Cost] {
        &self.costs
    }

    /// Memory of the shared automata, in bytes: those of all rules together, and of each alone.
    pub fn memory_bytes(&self) -> usize {
        let alone: usize = self.expressions.iter().map(|one| one.memory_bytes).sum();
        alone + self.engines().map(|engine| engine.memory_bytes()).sum::<usize>()
    }

    /// The distinct engines.
    pub fn engines(&self) -> impl Iterator<Item = &Arc<Engine>> {
        let all = self.engines.iter().flatten();
        all.enumerate().filter_map(|(index, engine)| {
            let known =
                self.engines.iter().flatten().take(index).any(|other| other.id == engine.id);
            (!known).then_some(engine)
        })
    }
}

/// The automata of the rules that look at some kinds of text, and the views they run on.
pub struct Engine {
    pub(crate) id: u64,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) rules: Arc<[Rule]>,
    /// Some rule can stop the text.
    pub(crate) stops: bool,
    digest_key: Option<[u8; 16]>,
    /// Views beside the raw text.
    pub(crate) fold: Option<Wanted>,
}

/// The machines of some rules. Engines of the same rules share them, and what a worker learnt of
/// them, whatever views they run on.
pub(crate) struct Lanes {
    id: u64,
    list: Vec<Lane>,
    pub(crate) warm: OnceLock<Vec<MachineCache>>,
}

impl Lanes {
    pub(crate) fn new(list: Vec<Lane>) -> Arc<Self> {
        Arc::new(Self { id: number(), list, warm: OnceLock::new() })
    }
}

impl Deref for Lanes {
    type Target = [Lane];

    fn deref(&self) -> &[Lane] {
        &self.list
    }
}

/// A number that no other engine or lanes have.
fn number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(1);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// A machine and what it is there for.
pub(crate) struct Lane {
    pub machine: Machine,
    /// Text waits for its decision. Rules that only flag stand in a lane that nothing waits for.
    pub holds: bool,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Engine").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn new(
        lanes: Arc<Lanes>,
        rules: Arc<[Rule]>,
        stops: bool,
        limits: &Limits,
    ) -> Arc<Self> {
        let Limits { digest_key, fold, .. } = *limits;
        // Joined letters make words by accident, so that view is for rules that only flag.
        let flags = lanes.iter().any(|lane| !lane.holds);
        let fold = fold.map(|wanted| Wanted { spaced: wanted.spaced && flags, ..wanted });
        Arc::new(Self { id: number(), lanes, rules, stops, digest_key, fold })
    }

    /// Memory of the shared automata, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.lanes.iter().map(|lane| lane.machine.memory_bytes()).sum()
    }

    /// The key of digests: this engine's own, else the process's.
    pub(crate) fn digest_key(&self) -> [u8; 16] {
        self.digest_key.unwrap_or_else(process_key)
    }

    pub(crate) fn redaction(&self, rule: u32) -> Redaction {
        match self.rules.get(rule as usize).map(|rule| rule.action) {
            Some(Action::Redact(redaction)) => redaction,
            Some(Action::Flag | Action::Cut | Action::Reroute) | None => Redaction::Marker,
        }
    }
}

/// What one worker keeps for all engines that it runs: the states of lazy automata. It never
/// changes what is found, only how fast.
#[derive(Default)]
pub struct Cache {
    pub(crate) slots: Vec<Slot>,
    pub(crate) hits: Vec<Hit>,
}

pub(crate) struct Slot {
    lanes: Weak<Lanes>,
    id: u64,
    pub machines: Vec<MachineCache>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Cache").field("engines", &self.slots.len()).finish_non_exhaustive()
    }
}

impl Cache {
    /// Memory of the lazy automata, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let caches = self.slots.iter().flat_map(|slot| &slot.machines);
        caches.filter_map(|cache| cache.regexes.as_ref()).map(RegexCache::memory_bytes).sum()
    }

    /// How often lazy automata outgrew their bound and had to be dropped.
    pub fn clear_count(&self) -> usize {
        let caches = self.slots.iter().flat_map(|slot| &slot.machines);
        caches.filter_map(|cache| cache.regexes.as_ref()).map(RegexCache::clear_count).sum()
    }

    #[inline]
    pub(crate) fn slot(&mut self, engine: &Arc<Engine>) -> usize {
        match self.slots.iter().position(|slot| slot.id == engine.lanes.id) {
            Some(at) => at,
            None => self.add(&engine.lanes),
        }
    }

    #[cold]
    fn add(&mut self, lanes: &Arc<Lanes>) -> usize {
        self.slots.retain(|slot| slot.lanes.strong_count() > 0);
        let machines = match lanes.warm.get() {
            Some(warm) => warm.clone(),
            None => lanes.iter().map(|lane| lane.machine.cache()).collect(),
        };
        self.slots.push(Slot { lanes: Arc::downgrade(lanes), id: lanes.id, machines });
        self.slots.len() - 1
    }
}
