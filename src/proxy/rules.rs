//! What the hits of rules set off: levers that rules pull, and rules that fall back to shadow.
//!
//! Looked at once an exchange, when it is over, and only where a rule that hit asks for it.

use crate::clock::Tick;
use crate::exchange::facts::Facts;
use crate::exchange::limits::{LeverKind, Trip, TripScope};
use crate::exchange::screen::Done;
use crate::table::rules::{PackRule, TripScope as Kills};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The most rules that are counted.
const RULES_MAX: usize = 10_000;

/// What has to be done.
#[derive(Debug)]
pub enum SetOff {
    /// A lever is to be pulled.
    Trip(Trip),
    /// A rule is to report only, as it hits too much.
    Shadow(Arc<PackRule>),
}

/// Counts hits.
#[derive(Debug, Default)]
pub struct RuleWatch {
    /// Exchanges that rules have judged.
    judged: AtomicU64,
    counts: Mutex<HashMap<Arc<str>, Count>>,
}

#[derive(Debug, Default)]
struct Count {
    /// When it hit, as far back as its trip looks.
    hits: VecDeque<Tick>,
    /// Exchanges that it hit since the share was looked at last.
    exchanges: u64,
    /// How many had been judged by then.
    since: u64,
    /// When that was.
    since_when: Tick,
}

impl RuleWatch {
    /// An exchange that rules judged is over.
    pub fn see(&self, facts: &Facts, now: Tick) -> Vec<SetOff> {
        let judged = self.judged.fetch_add(1, Ordering::Relaxed) + 1;
        let mut set_off = Vec::new();
        let watches = |rule: &PackRule| rule.trip.is_some() || rule.demote.is_some();
        if !facts.found.counts().any(|(rule, ..)| watches(rule)) {
            return set_off;
        }
        // A count is changed in one step, so a panic elsewhere leaves none half-made.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen: Vec<&Arc<PackRule>> = Vec::new();
        for (rule, done, times) in facts.found.counts() {
            if !watches(rule) || counts.len() >= RULES_MAX && !counts.contains_key(&rule.name) {
                continue;
            }
            let count = counts.entry(Arc::clone(&rule.name)).or_insert_with(|| Count {
                since: judged - 1,
                since_when: now,
                ..Count::default()
            });
            if let Some(trip) = rule.trip {
                let times = (times as usize).min(trip.after as usize);
                count.hits.extend(std::iter::repeat_n(now, times));
                while count.hits.front().is_some_and(|first| now.since(*first) > trip.within)
                    || count.hits.len() > trip.after as usize
                {
                    count.hits.pop_front();
                }
                if count.hits.len() >= trip.after as usize {
                    count.hits.clear();
                    set_off.extend(lever(rule, trip.kills, facts).map(SetOff::Trip));
                }
            }
            if let Some(demote) = rule.demote
                && done != Done::Flagged
                && !seen.iter().any(|known| known.name == rule.name)
            {
                seen.push(rule);
                if now.since(count.since_when) > demote.within {
                    (count.exchanges, count.since, count.since_when) = (0, judged - 1, now);
                }
                count.exchanges += 1;
                let of = judged - count.since;
                if of >= u64::from(demote.of) {
                    if count.exchanges as f64 > demote.above * of as f64 {
                        set_off.push(SetOff::Shadow(Arc::clone(rule)));
                    }
                    (count.exchanges, count.since, count.since_when) = (0, judged, now);
                }
            }
        }
        set_off
    }
}

/// The lever that a rule pulls; `None` where what it names is not known, as nothing wider may be
/// taken.
fn lever(rule: &PackRule, kills: Kills, facts: &Facts) -> Option<Trip> {
    let who = &facts.identity;
    let scope = TripScope::default();
    let scope = match kills {
        Kills::Agent => {
            TripScope { app: who.app.clone(), agent: Some(who.agent.clone()?), ..scope }
        }
        Kills::App => TripScope { app: Some(who.app.clone()?), ..scope },
        Kills::Session => {
            TripScope { app: who.app.clone(), session: Some(who.session.clone()?), ..scope }
        }
        Kills::Route => TripScope { route: Some(facts.route.clone()?), ..scope },
        Kills::Model => TripScope { model: Some(facts.model_asked.clone()?), ..scope },
    };
    Some(Trip {
        lever_kind: LeverKind::Kill,
        scope,
        reason: "the rule hit too often".to_owned(),
        told: "stopped because what it sends or gets breaks a rule again and again",
        limit: Arc::clone(&rule.name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::screen::Hit;
    use crate::filter::Kind;
    use crate::table::rules::{Demote, Mode, OnError, Trip as Bound};
    use crate::telemetry::facts_for_tests;
    use std::time::Duration;

    fn rule(trip: Option<Bound>, demote: Option<Demote>) -> Arc<PackRule> {
        Arc::new(PackRule {
            name: "own/rule".into(),
            about: String::new(),
            parts: Vec::new(),
            models: Vec::new(),
            webhooks: Vec::new(),
            mode: Mode::Enforce,
            on_error: OnError::Cut,
            trip,
            demote,
            tags: Vec::new(),
            cases: Vec::new(),
        })
    }

    fn hit(rule: &Arc<PackRule>) -> Facts {
        let mut facts = facts_for_tests(1);
        facts.identity.agent = Some("crawler".into());
        facts.found.note(Hit {
            rule: Arc::clone(rule),
            kind: Kind::Answer,
            start: 0,
            end: 4,
            done: Done::Redacted,
        });
        facts
    }

    #[test]
    fn so_many_hits_in_time_pull_a_lever_and_fewer_do_not() {
        let within = Duration::from_mins(1);
        let rule = rule(Some(Bound { after: 3, within, kills: Kills::Agent }), None);
        let watch = RuleWatch::default();
        let at = |seconds: u64| Tick(seconds * 1_000_000_000);
        for seconds in [0, 50, 100, 150] {
            assert!(watch.see(&hit(&rule), at(seconds)).is_empty(), "{seconds}");
        }
        let set_off = watch.see(&hit(&rule), at(151));
        let [SetOff::Trip(trip)] = &set_off[..] else { panic!("{set_off:?}") };
        assert_eq!(trip.scope.agent.as_deref(), Some("crawler"));
        assert_eq!(&*trip.limit, "own/rule");
        assert!(watch.see(&hit(&rule), at(152)).is_empty(), "it counts anew");
    }

    #[test]
    fn a_rule_that_hits_too_large_a_share_falls_back() {
        let rule = rule(None, Some(Demote { above: 0.15, of: 20, within: Duration::from_mins(1) }));
        let watch = RuleWatch::default();
        let clear = facts_for_tests(2);
        assert!(watch.see(&hit(&rule), Tick(0)).is_empty(), "one says nothing");
        for _ in 0..30 {
            for _ in 0..9 {
                assert!(watch.see(&clear, Tick(0)).is_empty());
            }
            assert!(watch.see(&hit(&rule), Tick(0)).is_empty(), "one in ten is its share");
        }
        let mut fallen = false;
        for _ in 0..20 {
            fallen |= matches!(watch.see(&hit(&rule), Tick(0))[..], [SetOff::Shadow(_)]);
        }
        assert!(fallen);
    }
}
