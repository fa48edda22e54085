//! Two levers at once on one exchange: kill before limit, limit before reroute, reroute before
//! filter; a narrower lever adds to a wider one and never weakens it.
//!
//! Each pair of kinds is pulled over each pair of scopes that overlap, the wide one first and the
//! narrow one first, while exchanges are under way; then a new request begins under both. The rule
//! is [`step`] for those under way and [`first`] for the new.

use super::model::{Kind, Outcome, State};
use super::open::{Ask, Open, Who};
use super::stage::{Followers, Role};
use super::{Sweep, assert_got, assert_record, order};
use crate::levers::hand::{id, pull};
use crate::support::ALL;
use std::collections::BTreeMap;

/// A wide scope and a narrow one, `A` being the agent's number.
const SCOPES: [(&str, &str); 3] = [
    ("agent:a-A", "agent:a-A+session:s-A"),
    ("session:s-A", "model:held+session:s-A"),
    ("agent:a-A*", "route:*-plain+agent:a-A"),
];

/// The states that differ in what a lever makes of them.
const STATES: [State; 3] = [State::Waiting, State::Idle, State::Going];

/// Where an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at: Role,
    is_begun: bool,
    /// Whether a drain stands under which nothing begins elsewhere either.
    is_drained: bool,
    /// The lever that it obeyed last, by its turn.
    moved_by: Option<usize>,
    /// Whether a filter hides the words that end an answer.
    is_hidden: bool,
}

/// What an exchange has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    UnderWay(Place),
    Ended(Outcome, usize),
}

/// Whether a scope reaches an exchange at a target: elsewhere it asks for another model.
fn reaches(scope: &str, at: Role) -> bool {
    at == Role::Main || !scope.contains("model:held")
}

/// Where the lever of a turn sends.
fn to(turn: usize) -> Role {
    [Role::Other, Role::Third][turn]
}

/// What one more lever makes of an exchange.
fn step(before: Standing, pair: &Pair, turn: usize, state: State) -> Standing {
    let Standing::UnderWay(place) = before else { return before };
    let scope = &pair.scopes[turn];
    if !reaches(scope, place.at) {
        return before;
    }
    match pair.kinds[turn] {
        Kind::KillCut => {
            let outcome = if place.is_begun { Outcome::Cut } else { Outcome::Refused };
            Standing::Ended(outcome, turn)
        }
        Kind::KillDrain => {
            let is_drained = place.is_drained || reaches(scope, Role::Other);
            Standing::UnderWay(Place { is_drained, ..place })
        }
        Kind::Limit | Kind::RerouteFinish => before,
        Kind::Filter => Standing::UnderWay(Place { is_hidden: true, ..place }),
        Kind::RerouteSwitch => {
            let goes_on = !place.is_begun || state == State::Going;
            // A weaker lever does not send an exchange where a stronger one lets nobody begin.
            if goes_on && !place.is_drained {
                Standing::UnderWay(Place { at: to(turn), moved_by: Some(turn), ..place })
            } else {
                before
            }
        }
    }
}

/// What a new request gets, and by which of the two; where both say the same, by either; where
/// filters alone hold, by none.
fn first(pair: &Pair) -> (Outcome, Vec<usize>) {
    let by = |holds: &dyn Fn(Kind, &str) -> bool| -> Vec<usize> {
        [0, 1].into_iter().filter(|turn| holds(pair.kinds[*turn], &pair.scopes[*turn])).collect()
    };
    let reroutes = by(&|kind, _| matches!(kind, Kind::RerouteFinish | Kind::RerouteSwitch));
    // Of two reroutes the newer holds.
    let rerouted = reroutes.last().copied();
    let at = rerouted.map_or(Role::Main, to);
    let kills = by(&|kind, scope| kind.is_kill() && reaches(scope, at));
    if !kills.is_empty() {
        return (Outcome::Refused, kills);
    }
    let limits = by(&|kind, _| kind == Kind::Limit);
    if !limits.is_empty() {
        return (Outcome::Limited, limits);
    }
    match rerouted {
        Some(turn) => (Outcome::By(at), vec![turn]),
        None => (Outcome::Whole, Vec::new()),
    }
}

/// One pair of levers and who is under it.
struct Pair {
    kinds: [Kind; 2],
    scopes: [String; 2],
    who: Who,
    open: Vec<Open>,
}

fn pairs(sweep: &mut Sweep) -> Vec<Pair> {
    let mut all = Vec::new();
    for first in Kind::ALL {
        for second in Kind::ALL {
            for (wide, narrow) in SCOPES {
                // Rules are those of each attempt: elsewhere a filter of this model is none.
                if [first, second].contains(&Kind::Filter) && narrow.contains("model:") {
                    continue;
                }
                for scopes in [[wide, narrow], [narrow, wide]] {
                    let number = format!("{:03}", all.len());
                    let scopes = scopes.map(|scope| scope.replace('A', &number));
                    let who = Who { agent: format!("a-{number}"), session: format!("s-{number}") };
                    let dialect = ALL[all.len() % ALL.len()];
                    // The route of the third pair of scopes is that of two states.
                    let is_reached =
                        |state: &&State| narrow != SCOPES[2].1 || **state != State::Going;
                    let open = STATES.iter().filter(is_reached).map(|state| {
                        sweep.begin(Ask { state: *state, has_spare: false, dialect }, &who)
                    });
                    let open = open.collect();
                    all.push(Pair { kinds: [first, second], scopes, who, open });
                }
            }
        }
    }
    for pair in &mut all {
        for open in &mut pair.open {
            open.settle(&sweep.stage);
        }
    }
    all
}

#[test]
fn of_two_levers_the_stronger_holds_and_neither_weakens_the_other() {
    let mut sweep = Sweep::start(Followers::Play);
    let mut pairs = pairs(&mut sweep);
    assert_eq!(pairs.len(), (5 * 5 * 3 + 11 * 2) * 2);
    let mut standing: BTreeMap<u32, Standing> = BTreeMap::new();
    let mut levers: Vec<Vec<String>> = Vec::new();
    for turn in [0, 1] {
        let pull = |pair: &Pair| {
            let order = order(pair.kinds[turn], &pair.scopes[turn], to(turn));
            id(&pull(&sweep.gateway, order))
        };
        levers.push(pairs.iter().map(pull).collect());
        for pair in &pairs {
            for Open { number, ask, .. } in &pair.open {
                let begun = Place {
                    at: Role::Main,
                    is_begun: ask.state.is_begun(),
                    is_drained: false,
                    moved_by: None,
                    is_hidden: false,
                };
                let before = standing.get(number).copied().unwrap_or(Standing::UnderWay(begun));
                let after = step(before, pair, turn, ask.state);
                standing.insert(*number, after);
                if let Standing::UnderWay(Place { at, .. }) = after {
                    sweep.stage.wait_reached(*number, at);
                }
            }
        }
    }
    // New ones, under both.
    let mut new = Vec::new();
    for pair in &pairs {
        let ask = Ask { state: State::Waiting, ..pair.open[0].ask };
        new.push(sweep.begin(ask, &pair.who));
    }
    sweep.stage.release();

    let mut ends = Vec::new();
    for (at, pair) in pairs.iter_mut().enumerate() {
        let what = format!("{:?} {:?}", pair.kinds, pair.scopes);
        let mut check = |open: &mut Open, (outcome, is_hidden), turns: &[usize], when: &str| {
            let what = format!("{what} {:?} {when}: {outcome:?}", open.ask);
            let got = open.finish();
            let named = got.head().field("x-firedoor-lever").map(str::to_owned);
            let turn = match turns {
                [turn] => Some(*turn),
                turns => {
                    turns.iter().copied().find(|turn| named.as_ref() == Some(&levers[*turn][at]))
                }
            };
            assert_eq!(turn.is_none(), turns.is_empty(), "{what}: {named:?}");
            let lever = turn.map(|turn| levers[turn][at].clone());
            let by = lever.as_deref().unwrap_or_default();
            assert_got(&what, open, &got, outcome, is_hidden, by);
            let id = got.head().field("x-firedoor-exchange").unwrap().to_owned();
            ends.push((id, what, outcome, lever));
        };
        let (outcome, turns) = first(pair);
        check(&mut new[at], (outcome, pair.kinds.contains(&Kind::Filter)), &turns, "new");
        for open in &mut pair.open {
            let (got, turn) = match standing[&open.number] {
                Standing::Ended(outcome, turn) => ((outcome, false), Some(turn)),
                Standing::UnderWay(Place { at, is_begun, moved_by, is_hidden, .. }) => {
                    let outcome = match (at, is_begun) {
                        (Role::Main, _) => Outcome::Whole,
                        (_, false) => Outcome::By(at),
                        (_, true) => Outcome::OnBy(at),
                    };
                    ((outcome, is_hidden), moved_by)
                }
            };
            check(open, got, turn.as_slice(), "under way");
        }
    }
    let records = sweep.records(&ends.iter().map(|(id, what, ..)| (&**id, &**what)).collect());
    for (id, what, outcome, lever) in &ends {
        assert_record(what, &records[id], *outcome, lever.as_deref());
    }
}
