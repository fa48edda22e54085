//! Which target is tried when, and when it is over.
//!
//! Until the first byte of an answer is committed, any target of the chain may take over: one of
//! the route's targets by weight, the other targets, then the fallbacks in order. The same target
//! is tried again only as the route's retry policy says and only while the retry budget, which the
//! caller keeps, has something left; taking over by another target is not a retry of the same
//! mistake, but it draws on the budget too, so that a full outage cannot multiply traffic. A target
//! that has answered is not asked again, though its answer was of no use: it has its price.

use crate::id::LeverId;
use crate::table::lever::{Levers, Subject};
use crate::table::{RetryPolicy, Route, Routes, Target, TargetIndex};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// The first pause before the same target is tried again; it doubles each time.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Why an attempt came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No connection, or it broke before an answer began.
    Connect,
    /// The provider answered 429.
    TooMany,
    /// The provider answered this status, 500 to 599.
    Status(u16),
    /// The answer did not begin in time.
    FirstByteTimeout,
    /// The answer began and cannot be used: bad framing, an empty stream, an error at once.
    Unusable,
    /// The target's circuit is open; nothing was sent.
    CircuitOpen,
    /// A lever kills the target; nothing was sent, or no answer of it was used.
    Killed,
    /// A rule sends the exchange elsewhere.
    Ruled,
}

impl Failure {
    /// The name as labels write it.
    pub fn name(self) -> &'static str {
        match self {
            Failure::Connect => "connect",
            Failure::TooMany => "429",
            Failure::Status(_) => "5xx",
            Failure::FirstByteTimeout => "first_byte_timeout",
            Failure::Unusable => "unusable",
            Failure::CircuitOpen => "circuit_open",
            Failure::Killed => "killed",
            Failure::Ruled => "rule",
        }
    }

    /// Whether the policy lets this failure be tried again or taken over.
    fn may_go_on(self, policy: RetryPolicy) -> bool {
        match self {
            Failure::Connect => policy.on_connect,
            Failure::TooMany => policy.on_429,
            Failure::Status(_) => policy.on_5xx,
            Failure::FirstByteTimeout => policy.on_first_byte_timeout,
            // Nothing is tried again.
            Failure::Unusable | Failure::CircuitOpen | Failure::Killed | Failure::Ruled => true,
        }
    }

    /// Whether the same target may be asked again.
    fn may_repeat(self) -> bool {
        match self {
            Failure::Unusable | Failure::CircuitOpen | Failure::Killed | Failure::Ruled => false,
            Failure::Connect
            | Failure::TooMany
            | Failure::Status(_)
            | Failure::FirstByteTimeout => true,
        }
    }

    /// Whether it says that the target must not be asked at all: going on elsewhere costs nothing.
    fn is_closed(self) -> bool {
        match self {
            Failure::CircuitOpen | Failure::Killed | Failure::Ruled => true,
            Failure::Connect
            | Failure::TooMany
            | Failure::Status(_)
            | Failure::FirstByteTimeout
            | Failure::Unusable => false,
        }
    }
}

/// One target of a chain.
#[derive(Clone, Debug)]
pub struct Step {
    /// The target.
    pub target: Arc<Target>,
    /// The lever that put it there.
    pub lever: Option<LeverId>,
}

/// What to do next.
#[derive(Clone, Debug)]
pub enum Next {
    /// Try this target, after this pause.
    Try {
        /// The target.
        step: Step,
        /// How long to wait first.
        pause: Duration,
        /// Whether it costs a unit of the retry budget.
        costs_budget: bool,
    },
    /// Nothing is left.
    GiveUp,
}

/// The order of targets for one exchange, and how far it has come.
#[derive(Debug)]
pub struct Attempts {
    chain: SmallVec<[Step; 3]>,
    at: usize,
    tries_here: u8,
    policy: RetryPolicy,
}

/// What the order of targets depends on.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'c> {
    /// The model that is asked for.
    pub model: Option<&'c str>,
    /// Who asks, as scopes see it.
    pub subject: Subject<'c>,
    /// Any number; the same number gives the same choice among the weights.
    pub pick: u64,
}

impl Attempts {
    /// The chain of `route` for a request: one of its targets by weight, the other targets, the
    /// fallbacks; each that a lever reroutes is replaced by where the lever sends.
    pub fn new(routes: &Routes, levers: &Levers, route: &Route, choice: &Choice<'_>) -> Attempts {
        let mut order: SmallVec<[TargetIndex; 4]> = SmallVec::new();
        let at = |index: TargetIndex| &routes.targets[usize::from(index.0)];
        let usable = || route.targets.iter();
        let sum: u64 = usable().map(|weighted| u64::from(weighted.weight)).sum();
        if sum > 0 {
            let mut left = choice.pick % sum;
            let first = usable().find(|weighted| {
                let weight = u64::from(weighted.weight);
                let here = left < weight;
                left = left.saturating_sub(weight);
                here
            });
            order.extend(first.map(|weighted| weighted.target));
        }
        let fallback = route.fallback.iter().copied();
        for index in usable().map(|weighted| weighted.target).chain(fallback) {
            if !order.contains(&index) {
                order.push(index);
            }
        }
        let mut chain: SmallVec<[Step; 3]> = SmallVec::new();
        let mut add = |target: &Arc<Target>, lever| {
            if !chain.iter().any(|step: &Step| step.target.name == target.name) {
                chain.push(Step { target: Arc::clone(target), lever });
            }
        };
        for index in order {
            let target = at(index);
            let provider = &routes.providers[usize::from(target.provider.0)];
            let subject = Subject {
                provider: Some(provider.name.as_str()),
                model: super::forward::model(target, choice.model),
                ..choice.subject
            };
            match levers.reroute(&subject) {
                None => add(target, None),
                Some((lever, elsewhere)) => {
                    for target in elsewhere {
                        add(target, Some(lever.id));
                    }
                }
            }
        }
        Attempts { chain, at: 0, tries_here: 0, policy: route.retry }
    }

    /// The targets, in their order.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.chain.iter().map(|step| &*step.target)
    }

    /// The first target; `None` if a lever sends it nowhere.
    pub fn first(&mut self) -> Option<Step> {
        self.tries_here = 1;
        self.chain.first().cloned()
    }

    /// What to do after `failure`, with `has_budget` units of retry left or not.
    ///
    /// `jitter` is any number; it spreads the pause between half of it and all of it.
    pub fn after(&mut self, failure: Failure, has_budget: bool, jitter: u64) -> Next {
        if !failure.may_go_on(self.policy) || (!has_budget && !failure.is_closed()) {
            return Next::GiveUp;
        }
        let again = failure.may_repeat() && self.tries_here < self.policy.attempts;
        if again && let Some(step) = self.chain.get(self.at) {
            let exponent = u32::from(self.tries_here.saturating_sub(1)).min(16);
            self.tries_here += 1;
            let full = BACKOFF_FIRST.saturating_mul(1 << exponent).min(BACKOFF_MAX);
            let pause = full / 2 + full.mul_f64((jitter % 1024) as f64 / 2048.0);
            return Next::Try { step: step.clone(), pause, costs_budget: true };
        }
        self.at += 1;
        self.tries_here = 1;
        match self.chain.get(self.at) {
            Some(step) => Next::Try {
                step: step.clone(),
                pause: Duration::ZERO,
                costs_budget: !failure.is_closed(),
            },
            None => Next::GiveUp,
        }
    }

    /// Whether something would be tried after `failure`: asked before an answer that could still
    /// be passed on as it is (a 429, a 503) is thrown away.
    pub fn would_go_on(&self, failure: Failure, has_budget: bool) -> bool {
        failure.may_go_on(self.policy)
            && has_budget
            && (failure.may_repeat() && self.tries_here < self.policy.attempts
                || self.at + 1 < self.chain.len())
    }

    /// The targets of `anew`, which other levers chose, without those that this exchange has given
    /// up; all of them where none would be left.
    #[must_use]
    pub fn replaced(&self, mut anew: Attempts) -> Attempts {
        let given_up = self.chain.get(..self.at).unwrap_or_default();
        let is_given_up =
            |step: &Step| given_up.iter().any(|old| old.target.name == step.target.name);
        if !anew.chain.iter().all(is_given_up) {
            anew.chain.retain(|step| !is_given_up(step));
        }
        anew
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 2,
        on_connect: true,
        on_429: true,
        on_5xx: true,
        on_first_byte_timeout: true,
    };

    fn chain(targets: &[u16]) -> Attempts {
        let step = |number: &u16| Step {
            target: Arc::new(Target {
                provider: crate::table::ProviderIndex(*number),
                model: None,
                name: number.to_string().into(),
                name_value: http::HeaderValue::from(*number),
            }),
            lever: None,
        };
        let chain = targets.iter().map(step).collect();
        Attempts { chain, at: 0, tries_here: 0, policy: POLICY }
    }

    /// The targets that are tried when every attempt fails with `failure`.
    fn tried(mut attempts: Attempts, failure: Failure, budget: usize) -> Vec<u16> {
        let mut budget = budget;
        let mut tried = vec![attempts.first().unwrap().target.provider.0];
        while let Next::Try { step, costs_budget, .. } = attempts.after(failure, budget > 0, 7) {
            tried.push(step.target.provider.0);
            budget -= usize::from(costs_budget).min(budget);
        }
        tried
    }

    #[test]
    fn every_target_is_tried_as_often_as_the_policy_says() {
        assert_eq!(tried(chain(&[3, 1]), Failure::Connect, 9), [3, 3, 1, 1]);
        assert_eq!(tried(chain(&[3, 1]), Failure::Status(503), 9), [3, 3, 1, 1]);
        assert_eq!(tried(chain(&[3, 1]), Failure::CircuitOpen, 0), [3, 1], "nothing was sent");
        assert_eq!(tried(chain(&[3, 1]), Failure::Unusable, 9), [3, 1], "it has its price");
        assert_eq!(
            tried(chain(&[3, 1]), Failure::Killed, 0),
            [3, 1],
            "no retry where it is killed"
        );
    }

    #[test]
    fn an_outage_cannot_multiply_traffic() {
        assert_eq!(tried(chain(&[3, 1]), Failure::Connect, 1), [3, 3]);
        assert_eq!(tried(chain(&[3, 1]), Failure::Connect, 0), [3]);
    }

    #[test]
    fn an_answer_of_no_use_may_be_taken_over_whatever_the_policy_says() {
        let mut attempts = chain(&[3, 1]);
        attempts.policy.on_connect = false;
        attempts.first();
        assert!(attempts.would_go_on(Failure::Unusable, true));
        assert!(!attempts.would_go_on(Failure::Unusable, false), "but not without budget");
        assert!(matches!(attempts.after(Failure::Unusable, true, 0), Next::Try { .. }));
        assert!(!attempts.would_go_on(Failure::Unusable, true), "nobody is left");
    }

    #[test]
    fn what_was_given_up_does_not_come_back_with_a_lever() {
        let mut attempts = chain(&[3, 1, 2]);
        attempts.first();
        let names = |attempts: &Attempts| -> Vec<u16> {
            attempts.chain.iter().map(|step| step.target.provider.0).collect()
        };
        assert_eq!(names(&attempts.replaced(chain(&[3, 4]))), [3, 4], "the first is under way");
        attempts.after(Failure::Unusable, true, 0);
        assert_eq!(names(&attempts.replaced(chain(&[3, 4, 2]))), [4, 2]);
        assert_eq!(names(&attempts.replaced(chain(&[3]))), [3], "there is nobody else");
    }

    #[test]
    fn what_the_policy_leaves_out_ends_it() {
        let mut attempts = chain(&[3, 1]);
        attempts.policy.on_429 = false;
        attempts.first();
        assert!(!attempts.would_go_on(Failure::TooMany, true));
        assert!(matches!(attempts.after(Failure::TooMany, true, 0), Next::GiveUp));
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let mut attempts = chain(&[3]);
        attempts.policy.attempts = 20;
        attempts.first();
        let mut last = Duration::ZERO;
        for _ in 0..19 {
            let Next::Try { pause, .. } = attempts.after(Failure::Connect, true, 1023) else {
                panic!("there are attempts left")
            };
            assert!(pause >= last && pause <= BACKOFF_MAX);
            last = pause;
        }
        assert!(matches!(attempts.after(Failure::Connect, true, 0), Next::GiveUp));
    }
}
