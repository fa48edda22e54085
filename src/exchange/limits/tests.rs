use super::estimate::{need, need_at, used};
use super::*;
use crate::clock::Tick;
use crate::exchange::calls::Called;
use crate::exchange::facts::Facts;
use crate::table::{LimitMatcher, Pattern, Price, SameCall, Unpriced, Window};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

fn at(seconds: u64) -> Tick {
    Tick(seconds * SECOND)
}

fn limit(name: &str, per: Per, caps: &[(Unit, Window, u64)]) -> Limit {
    let cap = |(unit, window, most): &(Unit, Window, u64)| Cap {
        unit: *unit,
        window: *window,
        most: *most,
    };
    Limit {
        name: Arc::from(name),
        matcher: LimitMatcher::default(),
        per,
        caps: caps.iter().map(cap).collect(),
        concurrent: None,
        same_call: None,
        unpriced: Unpriced::Pass,
    }
}

fn tokens(input_tokens: u64, output_tokens: u64) -> Need {
    Need { input_tokens, output_tokens, cost: Cost::Nothing }
}

fn spent(tokens: u64) -> Used {
    Used { tokens, money: Money::ZERO }
}

fn by<'w>(agent: &'w str, session: &'w str) -> Who<'w> {
    Who { agent: Some(agent), session: Some(session), ..Who::default() }
}

/// Requests at moments, and whether each is admitted.
#[test]
fn windows_slide() {
    for (window, steps) in [
        // (second, admitted) with three requests in the window.
        (
            Window::Minute,
            &[(0, true), (10, true), (20, true), (20, false), (59, false), (60, false), (61, true)]
                [..],
        ),
        (
            Window::Minute,
            &[(0, true), (0, true), (0, true), (61, true), (61, true), (61, true), (61, false)],
        ),
        (
            Window::Hour,
            &[
                (0, true),
                (0, true),
                (3000, true),
                (3599, false),
                (3660, true),
                (3660, true),
                (3660, false),
            ],
        ),
        (Window::Day, &[(0, true), (0, true), (0, true), (86_400, false), (87_840, true)]),
    ] {
        let ledger = Arc::new(Ledger::default());
        let limits = [limit("l", Per::All, &[(Unit::Requests, window, 3)])];
        for (number, (second, expected)) in steps.iter().enumerate() {
            let begun = ledger.begin(&limits, &Who::default(), &Need::default(), at(*second));
            assert_eq!(begun.is_ok(), *expected, "{window:?} step {number}: {begun:?}");
            if let Err(Refused { met: Met::Cap { room: Room::In(left), .. }, .. }) = begun {
                let then = Tick(at(*second).0 + u64::try_from(left.as_nanos()).unwrap());
                let probe = Arc::new(Ledger::default());
                let unix_ms = second * 1000;
                let moved = ledger.snapshot(at(*second), unix_ms);
                probe.restore(&moved, at(*second), unix_ms).unwrap();
                // The copy may be one slot stricter, never looser.
                let slot = window.length() / 60;
                let later = then.after(slot);
                assert!(probe.begin(&limits, &Who::default(), &Need::default(), later).is_ok());
                assert!(
                    ledger
                        .begin(&limits, &Who::default(), &Need::default(), Tick(then.0 - 1))
                        .is_err()
                );
            }
        }
    }
}

#[test]
fn tokens_are_reserved_and_settled() {
    let ledger = Arc::new(Ledger::default());
    let limits = [limit("l", Per::All, &[(Unit::Tokens, Window::Minute, 100)])];
    let begin = |need: Need, second| ledger.begin(&limits, &Who::default(), &need, at(second));
    let first = begin(tokens(20, 40), 0).unwrap();
    let refused = begin(tokens(20, 40), 0).unwrap_err();
    let Met::Cap { used, reserved, need, room, .. } = refused.met else { panic!("{refused:?}") };
    assert_eq!((used, reserved, need, room), (0, 60, 60, Room::WhenOthersEnd));
    first.settle(spent(30), at(1));
    let second = begin(tokens(20, 40), 1).unwrap();
    second.settle(spent(70), at(2));
    let refused = begin(tokens(1, 0), 2).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Limited by firedoor: everybody may use 100 tokens a minute (limit `l`, \
         tokens_per_minute); 100 tokens are used, and this one may take 1 tokens; there is room \
         again in 60 s"
    );
    // What was not settled used nothing.
    drop(begin(tokens(20, 40), 70).unwrap());
    assert!(begin(tokens(100, 0), 70).is_ok());
}

#[test]
fn a_request_larger_than_the_limit() {
    let ledger = Arc::new(Ledger::default());
    let limits = [limit("l", Per::All, &[(Unit::Tokens, Window::Minute, 100)])];
    let begin = |need: Need| ledger.begin(&limits, &Who::default(), &need, at(0));
    let never = begin(tokens(101, 0)).unwrap_err();
    assert!(matches!(never.met, Met::Cap { room: Room::Never, .. }), "{never:?}");
    // A long answer may be asked for where nothing else is used, and then nothing else passes.
    let long = begin(tokens(10, 32_000)).unwrap();
    assert!(begin(tokens(1, 0)).is_err());
    long.settle(spent(10), at(0));
    assert!(begin(tokens(10, 32_000)).is_err(), "something is used now");
    assert!(begin(tokens(10, 20)).is_ok());
}

#[test]
fn exchanges_open_at_once() {
    let ledger = Arc::new(Ledger::default());
    let limits = [Limit { concurrent: Some(1), ..limit("l", Per::All, &[]) }];
    let begin = || ledger.begin(&limits, &Who::default(), &Need::default(), at(0));
    let first = begin().unwrap();
    assert_eq!(begin().unwrap_err().met, Met::Concurrent(1));
    drop(first);
    begin().unwrap().settle(Used::default(), at(0));
    assert!(begin().is_ok());
}

#[test]
fn a_refusal_counts_nothing() {
    let ledger = Arc::new(Ledger::default());
    let limits = [
        limit("wide", Per::All, &[(Unit::Requests, Window::Minute, 3)]),
        limit("narrow", Per::Agent, &[(Unit::Requests, Window::Minute, 1)]),
    ];
    let begin = |agent| ledger.begin(&limits, &by(agent, "s"), &Need::default(), at(0));
    assert!(begin("a").is_ok());
    for _ in 0..5 {
        assert_eq!(&*begin("a").unwrap_err().limit, "narrow");
    }
    assert!(begin("b").is_ok() && begin("c").is_ok());
    assert_eq!(&*begin("d").unwrap_err().limit, "wide");
}

#[test]
fn who_is_counted_together() {
    let apps = [AppName::new("one"), AppName::new("two")];
    let who = |app: u16, agent, session, model| Who {
        app: Some((AppIndex(app), &apps[usize::from(app)])),
        agent,
        session,
        model,
    };
    let base = who(0, Some("a"), Some("s"), Some("m"));
    for (per, other, is_one) in [
        (Per::All, who(1, None, None, None), true),
        (Per::App, who(0, Some("b"), None, None), true),
        (Per::App, who(1, Some("a"), Some("s"), Some("m")), false),
        (Per::Agent, who(0, Some("a"), Some("t"), Some("n")), true),
        (Per::Agent, who(1, Some("a"), Some("s"), Some("m")), false),
        (Per::Agent, who(0, None, Some("s"), Some("m")), false),
        (Per::Session, who(0, Some("b"), Some("s"), Some("n")), true),
        (Per::Session, who(0, Some("a"), Some("t"), Some("m")), false),
        (Per::Model, who(1, Some("b"), Some("t"), Some("m")), true),
        (Per::Model, who(0, Some("a"), Some("s"), Some("n")), false),
    ] {
        let ledger = Arc::new(Ledger::default());
        let limits = [limit("l", per, &[(Unit::Requests, Window::Minute, 1)])];
        assert!(ledger.begin(&limits, &base, &Need::default(), at(0)).is_ok());
        let second = ledger.begin(&limits, &other, &Need::default(), at(0));
        assert_eq!(second.is_err(), is_one, "{per:?} {other:?}");
    }
}

#[test]
fn a_limit_holds_for_what_it_matches() {
    let app = AppName::new("one");
    let mut narrow = limit("l", Per::All, &[(Unit::Requests, Window::Minute, 1)]);
    narrow.matcher = LimitMatcher {
        apps: vec![AppIndex(0)],
        agents: vec![Pattern::new("crawl*")],
        models: vec![Pattern::new("gpt-4*")],
    };
    let who = |agent, model| Who { app: Some((AppIndex(0), &app)), agent, model, ..Who::default() };
    assert!(who(Some("crawler"), Some("gpt-4o")).is_under(&narrow));
    for other in [
        who(Some("crawler"), Some("o1")),
        who(Some("x"), Some("gpt-4o")),
        who(None, Some("gpt-4o")),
        Who { app: Some((AppIndex(1), &app)), ..who(Some("crawler"), Some("gpt-4o")) },
        Who { app: None, ..who(Some("crawler"), Some("gpt-4o")) },
    ] {
        assert!(!other.is_under(&narrow), "{other:?}");
    }
}

#[test]
fn money_and_models_without_a_price() {
    let cap = [(Unit::Money, Window::Day, 1_000)];
    let cost = |nano| Need {
        cost: Cost::Known { input: Money(nano), output: Money::ZERO },
        ..Need::default()
    };
    let unknown = Need { cost: Cost::Unknown, ..Need::default() };
    let ledger = Arc::new(Ledger::default());
    let pass = [limit("l", Per::All, &cap)];
    let begin = |limits: &[Limit], need: &Need, second| {
        ledger.begin(limits, &Who::default(), need, at(second))
    };
    let first = begin(&pass, &cost(600), 0).unwrap();
    assert!(begin(&pass, &cost(600), 0).is_err());
    first.settle(Used { tokens: 0, money: Money(900) }, at(0));
    let unpriced = begin(&pass, &unknown, 0).unwrap();
    assert_eq!(unpriced.unpriced(), [(Arc::from("l"), Telling::Aloud)]);
    let again = begin(&pass, &unknown, 1).unwrap();
    assert_eq!(again.unpriced(), [(Arc::from("l"), Telling::Counted)]);
    assert_eq!(begin(&pass, &unknown, 61).unwrap().unpriced()[0].1, Telling::Aloud);
    let refuse = [Limit { unpriced: Unpriced::Refuse, ..pass[0].clone() }];
    assert_eq!(begin(&refuse, &unknown, 0).unwrap_err().met, Met::Unpriced);
    assert!(begin(&refuse, &Need::default(), 0).is_ok(), "what costs nothing passes");
    drop(begin(&pass, &cost(100), 0).unwrap());
    begin(&pass, &cost(0), 0).unwrap().settle(Used { tokens: 0, money: Money(100) }, at(0));
    assert!(begin(&pass, &cost(0), 0).is_err(), "nothing is left, however little is needed");
}

#[test]
fn the_longest_unused_is_forgotten_but_no_open_one() {
    let ledger = Arc::new(Ledger::bounded(2));
    let limits = [
        limit("l", Per::Agent, &[(Unit::Requests, Window::Minute, 1)]),
        limit("all", Per::All, &[(Unit::Requests, Window::Minute, 100)]),
    ];
    let begin = |agent| ledger.begin(&limits, &by(agent, "s"), &Need::default(), at(0));
    let open = begin("open").unwrap();
    drop(begin("a").unwrap());
    drop(begin("b").unwrap());
    assert_eq!(ledger.evicted(), 1, "a, as the older one is open");
    assert!(begin("b").is_err() && begin("open").is_err());
    assert!(begin("a").is_ok());
    drop(open);
    let used = |standings: Vec<Standing>| {
        standings.iter().find(|one| &*one.limit == "all").map(|one| one.used)
    };
    assert_eq!(
        used(ledger.standings(&limits, at(0))),
        Some(4),
        "what files name is never forgotten"
    );
}

#[test]
fn a_restart_forgets_nothing() {
    let app = AppName::new("one");
    let who = Who { app: Some((AppIndex(0), &app)), ..by("a", "s") };
    let limits = [
        limit("day", Per::App, &[(Unit::Tokens, Window::Day, 100)]),
        limit("month", Per::Session, &[(Unit::Money, Window::Month, 1_000)]),
    ];
    let before = Arc::new(Ledger::default());
    let begun = before.begin(&limits, &who, &Need::default(), at(5_000)).unwrap();
    begun.settle(Used { tokens: 60, money: Money(700) }, at(5_000));
    let _open = before.begin(&limits, &who, &tokens(10, 20), at(9_000)).unwrap();
    let text = serde_json::to_string(&before.snapshot(at(9_000), 50_000_000)).unwrap();
    let snapshot: Snapshot = serde_json::from_str(&text).unwrap();

    let begin = |ledger: &Arc<Ledger>, need: Need, second| {
        ledger.begin(&limits, &who, &need, at(second)).map(drop)
    };
    let hour_ms = 3_600_000;
    for (elapsed_ms, second, need, expected) in [
        (0, 0, tokens(10, 0), true),
        // The open exchange's 30 count as used.
        (0, 0, tokens(11, 0), false),
        (20 * hour_ms, 3, tokens(11, 0), false),
        (24 * hour_ms, 3, tokens(70, 0), true),
        (26 * hour_ms, 3, tokens(100, 0), true),
        (0, 2_000_000, tokens(100, 0), true),
    ] {
        let after = Arc::new(Ledger::default());
        // The new process is as old as `second` when the request comes; it restores at its start.
        after.restore(&snapshot, at(0), 50_000_000 + elapsed_ms).unwrap();
        let begun = begin(&after, need, second);
        assert_eq!(begun.is_ok(), expected, "{elapsed_ms} {second} {need:?}: {begun:?}");
    }
    let after = Arc::new(Ledger::default());
    after.restore(&snapshot, at(0), 0).unwrap();
    assert!(begin(&after, tokens(11, 0), 0).is_err(), "a clock that went back frees nothing");
    let dear =
        Need { cost: Cost::Known { input: Money(301), output: Money::ZERO }, ..Need::default() };
    after.restore(&snapshot, at(0), 50_000_000 + 29 * 24 * hour_ms).unwrap();
    assert_eq!(&*after.begin(&limits, &who, &dear, at(0)).unwrap_err().limit, "month");

    let newer = Snapshot { version: 2, ..snapshot };
    assert_eq!(after.restore(&newer, at(0), 0), Err(snapshot::UnknownVersion(2)));
}

#[test]
fn loops_are_met_and_pass() {
    let rule = |then| SameCall { times: 3, within: Duration::from_mins(2), then };
    let call = |hash| Called { tool: "refund".into(), hash };
    let who = by("bot", "s1");
    for (then, expected) in [
        (Then::Refuse, None),
        (Then::KillSession, Some(TripScope { session: Some("s1".into()), ..TripScope::default() })),
        (Then::KillAgent, Some(TripScope { agent: Some("bot".into()), ..TripScope::default() })),
        (Then::KillTool, Some(TripScope { tool: Some("refund".into()), ..TripScope::default() })),
    ] {
        let ledger = Arc::new(Ledger::default());
        let limits = [Limit { same_call: Some(rule(then)), ..limit("l", Per::All, &[]) }];
        let called = |hash, second| ledger.called(&limits, &who, &[call(hash)], at(second));
        let begin = |who: &Who<'_>, second| {
            ledger.begin(&limits, who, &Need::default(), at(second)).map(drop)
        };
        assert!(called(1, 0).is_empty() && called(2, 1).is_empty() && called(1, 60).is_empty());
        assert!(begin(&who, 60).is_ok());
        let met = called(1, 100);
        assert_eq!(met.len(), 1, "{met:?}");
        assert_eq!((&*met[0].tool, met[0].times), ("refund", 3));
        assert_eq!(met[0].trip.as_ref().map(|trip| trip.scope.clone()), expected);
        let refused = begin(&who, 101).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "Limited by firedoor: loop: tool `refund` was called 3 times with the same arguments \
             by session `s1` (limit `l`, loop); there is room again in 119 s"
        );
        assert!(begin(&by("bot", "s2"), 101).is_ok(), "another session goes on");
        assert!(called(1, 102).is_empty(), "a loop is met once");
        assert!(begin(&who, 220).is_ok());
        assert!(called(1, 221).is_empty(), "the count begins again");
        let slow: Vec<_> = (0..9).flat_map(|step| called(7, 300 + step * 100)).collect();
        assert!(slow.is_empty(), "two in a window are no loop");
    }
}

#[test]
fn what_is_not_declared_is_not_killed() {
    let then = Then::KillSession;
    let rule = SameCall { times: 2, within: Duration::from_mins(1), then };
    let limits = [Limit { same_call: Some(rule), ..limit("l", Per::All, &[]) }];
    let ledger = Ledger::default();
    let calls = vec![Called { tool: "t".into(), hash: 1 }; 2];
    let agent_only = Who { agent: Some("bot"), ..Who::default() };
    let met = ledger.called(&limits, &agent_only, &calls, at(0));
    assert_eq!((met.len(), &met[0].trip), (1, &None));
    assert!(ledger.called(&limits, &Who::default(), &calls, at(0)).is_empty());
}

#[test]
fn many_different_calls_are_bounded() {
    let rule = SameCall { times: 2, within: Duration::from_mins(1), then: Then::Refuse };
    let mut repeats = repeats::Repeats::default();
    let call = |hash| Called { tool: "t".into(), hash };
    for hash in 0..=repeats::CALLS_MAX as u64 {
        assert!(repeats.see(&rule, &call(hash), 0).is_none());
    }
    assert!(repeats.see(&rule, &call(0), 0).is_none(), "the first was forgotten");
    assert!(repeats.see(&rule, &call(9), 0).is_some());
}

#[test]
fn what_is_shown() {
    let ledger = Arc::new(Ledger::default());
    let caps = [(Unit::Tokens, Window::Minute, 100), (Unit::Requests, Window::Day, 9)];
    let limits = [Limit { concurrent: Some(4), ..limit("l", Per::Agent, &caps) }];
    ledger.begin(&limits, &by("a", "s"), &tokens(5, 5), at(0)).unwrap().settle(spent(7), at(0));
    let _open = ledger.begin(&limits, &by("a", "s"), &tokens(5, 5), at(0)).unwrap();
    let shown: Vec<_> = ledger
        .standings(&limits, at(1))
        .into_iter()
        .map(|one| (one.what, one.subject.to_string(), one.used, one.reserved, one.most))
        .collect();
    let agent = || "agent `a`".to_owned();
    assert_eq!(
        shown,
        [
            ("concurrent", agent(), 1, 0, 4),
            ("requests_per_day", agent(), 2, 0, 9),
            ("tokens_per_minute", agent(), 7, 10, 100),
        ]
    );
    assert!(ledger.standings(&[], at(1)).is_empty(), "a limit that is gone is not shown");
}

#[test]
fn what_is_estimated() {
    assert_eq!(need(401, Some(7)), tokens(101, 7));
    assert_eq!(need(0, Some(1 << 40)).output_tokens, 32_768);
    assert_eq!(need(0, None).output_tokens, 1_024);
    let price = Price { input: Money(2_000_000), output: Money(4_000_000), ..Price::default() };
    let expected = Cost::Known { input: Money(200), output: Money(40) };
    assert_eq!(need_at(&tokens(100, 10), &price), expected);

    use crate::exchange::facts::Outcome;
    use crate::wire::event::Counts;
    use crate::wire::refusal::Class;
    let facts = Facts {
        dialect: Some(crate::wire::Dialect::OpenaiChat),
        is_stream: true,
        status: 200,
        outcome: Outcome::Completed,
        attempts: 1,
        request_bytes: 100,
        response_bytes: 2000,
        text_events: 34,
        ..Facts::blank(crate::id::ExchangeId(1), 0, "POST /v1/chat/completions".into())
    };
    let told = |input, output| Counts { input, output, ..Counts::default() };
    // 100 bytes were asked, 34 text events and 2,000 bytes came.
    for (outcome, usage, is_stream, output_max, expected) in [
        (Outcome::Completed, told(Some(1), Some(2)), true, None, (1, 2)),
        (Outcome::Completed, told(None, None), true, None, (25, 34)),
        (Outcome::Completed, told(None, None), true, Some(10), (25, 10)),
        (Outcome::Completed, told(None, None), false, None, (25, 500)),
        (Outcome::ProviderError, told(None, None), true, None, (0, 0)),
        (Outcome::Refused(Class::Timeout), told(None, None), true, None, (0, 0)),
        (Outcome::ClientGone, told(Some(3), Some(1)), true, None, (3, 34)),
        (Outcome::Cut(Class::Killed), told(None, None), true, None, (25, 34)),
    ] {
        let facts = Facts { is_stream, outcome, usage, ..facts.clone() };
        let counts = used(&facts, output_max);
        let counts = (counts.input.unwrap_or(0), counts.output.unwrap_or(0));
        assert_eq!(counts, expected, "{outcome:?} {usage:?}");
    }
    let passed = Facts { dialect: None, ..facts };
    assert_eq!(used(&passed, None), Counts::default());
}

/// One step of a schedule.
#[derive(Clone, Debug)]
enum Step {
    Begin { tokens: u64 },
    Settle { which: usize },
    Drop { which: usize },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..60).prop_map(|tokens| Step::Begin { tokens }),
        3 => any::<usize>().prop_map(|which| Step::Settle { which }),
        1 => any::<usize>().prop_map(|which| Step::Drop { which }),
        2 => (0u64..40).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

proptest! {
    /// Whatever begins and ends in whatever order: in no window is more used than allowed.
    #[test]
    fn never_more_than_allowed(steps in proptest::collection::vec(step(), 0..120)) {
        let limits = [Limit {
            concurrent: Some(5),
            ..limit(
                "l",
                Per::All,
                &[(Unit::Tokens, Window::Minute, 100), (Unit::Requests, Window::Minute, 9)],
            )
        }];
        let ledger = Arc::new(Ledger::default());
        let mut open: Vec<(Admitted, u64)> = Vec::new();
        let (mut now, mut used, mut begun) = (0u64, Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Begin { tokens: need } => {
                    let who = Who::default();
                    if let Ok(one) = ledger.begin(&limits, &who, &tokens(need, 0), at(now)) {
                        open.push((one, need));
                        begun.push((now, 1));
                    }
                }
                Step::Settle { which } if !open.is_empty() => {
                    let (one, need) = open.swap_remove(which % open.len());
                    one.settle(spent(need), at(now));
                    used.push((now, need));
                }
                Step::Drop { which } if !open.is_empty() => {
                    drop(open.swap_remove(which % open.len()));
                }
                Step::Settle { .. } | Step::Drop { .. } => {}
                Step::Wait { seconds } => now += seconds,
            }
            let within = |list: &[(u64, u64)]| -> u64 {
                list.iter().filter(|(when, _)| when + 60 > now).map(|(_, amount)| amount).sum()
            };
            let held: u64 = open.iter().map(|(_, need)| need).sum();
            prop_assert!(within(&used) + held <= 100);
            prop_assert!(within(&begun) <= 9);
            prop_assert!(open.len() <= 5);
        }
    }

    /// A snapshot of any text is refused or restored, and never more is free after it.
    #[test]
    fn any_snapshot_can_be_restored(
        name in ".{0,8}", cap in "[a-z_]{0,20}|tokens_per_day",
        uses in proptest::collection::vec(any::<(u64, u64)>(), 0..8), taken: u64, unix_ms: u64,
    ) {
        let text = serde_json::json!({
            "version": 1, "taken_unix_ms": taken,
            "counters": [{ "limit": "l", "kind": "agent", "name": name, "uses": [[cap, uses]] }],
        });
        let snapshot: Snapshot = serde_json::from_value(text).unwrap();
        let ledger = Ledger::default();
        ledger.restore(&snapshot, at(1), unix_ms).unwrap();
        let _ = ledger.snapshot(at(2), unix_ms);
    }
}
