//! The desk against the simulated log: order of effect, outages, races.

use super::*;
use crate::control::log::MemoryLog;
use crate::control::log::memory::Failing;
use crate::table::lever::{OnKill, OnReroute, Rules, Scope};
use crate::table::rules::Rulebook;
use proptest::prelude::*;

struct Bench {
    log: Arc<MemoryLog>,
    board: Arc<Switchboard>,
    desk: Arc<LeverDesk>,
}

fn desk_on(log: Arc<MemoryLog>, board: Arc<Switchboard>, state: InForce) -> Arc<LeverDesk> {
    LeverDesk::open(DeskParts {
        log: Some(log),
        notes: None,
        lineage: Lineage("l".into()),
        state,
        history: Vec::new(),
        quarantined: None,
        elapsed: BTreeMap::new(),
        last_known: None,
        board,
    })
}

fn bench() -> Bench {
    let log = Arc::new(MemoryLog::new("l"));
    let (board, _) = Switchboard::open(None).unwrap();
    let desk = desk_on(Arc::clone(&log), Arc::clone(&board), InForce::default());
    Bench { log, board, desk }
}

fn actor() -> Actor {
    Actor { who: "ada".into(), role: "responder", by: "api" }
}

fn kill(scope: &str) -> Order {
    Order {
        act: Act::Kill { in_flight: OnKill::Cut },
        rules: None,
        scope: Scope::parse(scope).unwrap(),
        reason: "because".into(),
        message: None,
        ttl: None,
        incident: None,
    }
}

fn reroute(scope: &str) -> Order {
    let to = vec!["anthropic".to_owned()];
    Order { act: Act::Reroute { to, in_flight: OnReroute::Finish }, ..kill(scope) }
}

fn standing(bench: &Bench) -> Vec<LeverId> {
    bench.board.table().levers.all().iter().map(|lever| lever.id).collect()
}

#[tokio::test]
async fn a_pulled_lever_is_in_the_log_and_in_the_table() {
    let bench = bench();
    let before = bench.board.epoch();
    let pulled = bench.desk.pull(kill("app:a"), &actor()).await.unwrap();
    assert_eq!(pulled.rev, Some(Rev(1)));
    assert!(pulled.epoch > before && bench.board.epoch() == pulled.epoch);
    assert_eq!(standing(&bench), [pulled.lever.id]);
    let entries = bench.log.read(Rev(0)).await.unwrap();
    assert_eq!((&*entries[0].audit.who, &*entries[0].audit.reason), ("ada", "because"));

    let lifted = bench.desk.lift(pulled.lever.id, "over", &actor()).await.unwrap();
    assert_eq!(lifted.rev, Some(Rev(2)));
    assert!(standing(&bench).is_empty());
    let again = bench.desk.lift(pulled.lever.id, "over", &actor()).await.unwrap_err();
    assert_eq!(again, LeverFault::NoSuchLever(Vec::new()));
}

const RULES: &str = r#"
pack = "own"
about = "A test"
[[rule]]
id = "word"
about = "A test"
channels = ["answer"]
match = { literal = ["word"] }
action = "redact"
mode = "enforce"
on_error = "cut"
[[rule.case]]
text = "a word"
expect = "redact"
[[rule.case]]
text = "none"
expect = "clear"
"#;

/// Neither by its own pull, nor by the next one, nor by a reload: others would wait for it.
#[tokio::test]
async fn the_rules_of_a_lever_are_compiled_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.toml");
    let routes = "[providers.sim]\ndialect = \"simulated\"\n";
    std::fs::write(&file, routes).unwrap();
    let (board, _) = Switchboard::open(Some(&file)).unwrap();
    let desk = desk_on(Arc::new(MemoryLog::new("l")), Arc::clone(&board), InForce::default());
    let rules = Rules::compile(&[], Some(RULES), &board.table().files).unwrap();
    let own = Arc::clone(&rules.books()[0]);
    let act = Act::Filter { packs: Vec::new(), rules: Some(RULES.into()) };
    let order = Order { act, rules: Some(rules), ..kill("app:a") };
    let lever = desk.pull(order, &actor()).await.unwrap().lever.id;
    let in_force =
        || -> Vec<Arc<Rulebook>> { board.table().levers.rules(lever).unwrap().books().to_vec() };
    assert!(matches!(&in_force()[..], [book] if Arc::ptr_eq(book, &own)));
    desk.pull(kill("app:b"), &actor()).await.unwrap();
    assert!(matches!(&in_force()[..], [book] if Arc::ptr_eq(book, &own)));
    std::fs::write(&file, format!("{routes}\n[apps.a]\nkey_sha256 = [\"{}\"]\n", "0".repeat(64)))
        .unwrap();
    let reloaded = board.reload();
    assert!(matches!(reloaded, crate::control::Reload::Published { .. }), "{reloaded:?}");
    assert!(matches!(&in_force()[..], [book] if Arc::ptr_eq(book, &own)));
}

/// What no pull has compiled, such as what the log holds at the start, is compiled then.
#[tokio::test]
async fn rules_that_nobody_has_compiled_are_in_force_too() {
    let bench = bench();
    let act = Act::Filter { packs: Vec::new(), rules: Some(RULES.into()) };
    let pulled = bench.desk.pull(Order { act, ..kill("app:a") }, &actor()).await.unwrap();
    let table = bench.board.table();
    assert_eq!(table.levers.rules(pulled.lever.id).unwrap().books().len(), 1);
}

#[tokio::test]
async fn without_its_log_the_desk_kills_in_memory_and_does_nothing_else() {
    let bench = bench();
    let first = bench.desk.pull(kill("app:a"), &actor()).await.unwrap().lever.id;
    bench.log.fail(Failing::Unavailable);
    let pulled = bench.desk.pull(kill("app:b"), &actor()).await.unwrap();
    assert_eq!(pulled.rev, None);
    assert!(pulled.not_durable.is_some());
    assert_eq!(standing(&bench), [first, pulled.lever.id], "in force all the same");
    let fault = bench.desk.pull(reroute("app:c"), &actor()).await.unwrap_err();
    assert!(matches!(fault, LeverFault::Unavailable(_)));
    let fault = bench.desk.lift(first, "over", &actor()).await.unwrap_err();
    assert!(matches!(fault, LeverFault::Unavailable(_)), "nothing is undone meanwhile");
    assert!(matches!(*bench.desk.condition().borrow(), Condition::Lost(_)));

    bench.log.fail(Failing::No);
    bench.desk.level().await;
    assert_eq!(*bench.desk.condition().borrow(), Condition::Up);
    assert_eq!(bench.log.read(Rev(1)).await.unwrap()[0].change.lever(), Some(pulled.lever.id));
    assert_eq!(standing(&bench), [first, pulled.lever.id]);
}

#[tokio::test]
async fn without_its_log_only_the_gate_itself_demotes_rules_and_the_log_is_told_later() {
    let bench = bench();
    let shadowed = |bench: &Bench| bench.board.table().packs.is_shadowed("own/rule");
    bench.log.fail(Failing::Unavailable);
    let by_hand = bench.desk.demote("own/rule", "too eager", &actor()).await;
    assert!(matches!(by_hand, Err(LeverFault::Unavailable(_))), "{by_hand:?}");
    assert!(!shadowed(&bench));
    let gate = Actor { who: "firedoor".into(), role: "gate", by: "gate" };
    let ruled = bench.desk.demote("own/rule", "too eager", &gate).await.unwrap();
    assert!(ruled.is_new && ruled.rev.is_none());
    assert!(shadowed(&bench));
    bench.desk.level().await;
    assert!(shadowed(&bench), "what the log has not taken stands");
    bench.log.fail(Failing::No);
    bench.desk.level().await;
    let entries = bench.log.read(Rev(0)).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].change, Change::Demote { rule: "own/rule".into() });
    assert_eq!(&*entries[0].audit.who, "firedoor");
    assert!(shadowed(&bench));
    let back = bench.desk.promote("own/rule", "mended", &actor()).await.unwrap();
    assert_eq!(back.rev, Some(Rev(2)));
    assert!(!shadowed(&bench));
    let again = bench.desk.promote("own/rule", "mended", &actor()).await.unwrap();
    assert!(!again.is_new && again.rev.is_none());
}

#[tokio::test]
async fn what_another_node_demotes_only_reports_here_at_the_next_turn() {
    let bench = bench();
    let change = Change::Demote { rule: "own/rule".into() };
    let audit = audit(&actor(), "too eager", None, None);
    bench.log.append(Rev(0), change, audit).await.unwrap();
    bench.desk.level().await;
    assert!(bench.board.table().packs.is_shadowed("own/rule"));
    assert_eq!(
        bench.desk.demoted().await.keys().map(|key| &**key).collect::<Vec<_>>(),
        ["own/rule"]
    );
}

#[tokio::test]
async fn an_answer_that_is_lost_is_no_lost_lever() {
    let bench = bench();
    bench.log.fail(Failing::AnswerLost);
    let pulled = bench.desk.pull(kill("app:a"), &actor()).await.unwrap();
    assert_eq!(pulled.rev, Some(Rev(1)), "the log itself says that it was taken");
    assert_eq!(bench.log.read(Rev(0)).await.unwrap().len(), 1, "and it was taken once");
}

#[tokio::test]
async fn what_another_node_appends_is_in_force_here_at_the_next_turn() {
    let bench = bench();
    let (board, _) = Switchboard::open(None).unwrap();
    let other = desk_on(Arc::clone(&bench.log), board, InForce::default());
    let theirs = other.pull(kill("app:a"), &actor()).await.unwrap().lever.id;
    // The head has moved on under this desk: it reads and tries again.
    let ours = bench.desk.pull(kill("app:b"), &actor()).await.unwrap();
    assert_eq!(ours.rev, Some(Rev(2)));
    // In force they lie in the order of their ids, which says nothing within one millisecond.
    let mut both = [theirs, ours.lever.id];
    both.sort_unstable();
    assert_eq!(standing(&bench), both);
    other.level().await;
    assert_eq!(other.standing().await.1.len(), 2);
}

#[tokio::test]
async fn a_lever_ends_when_its_time_is_over_and_not_before() {
    let bench = bench();
    let order = Order { ttl: Some(Duration::from_hours(1)), ..kill("app:a") };
    let id = bench.desk.pull(order, &actor()).await.unwrap().lever.id;
    bench.desk.level().await;
    assert_eq!(standing(&bench), [id]);
    bench.desk.extend(id, Some(Duration::from_nanos(1)), "enough", &actor()).await.unwrap();
    bench.log.fail(Failing::Unavailable);
    bench.desk.level().await;
    assert_eq!(standing(&bench), [id], "without the log nothing ends");
    bench.log.fail(Failing::No);
    tokio::time::sleep(Duration::from_millis(2)).await;
    bench.desk.level().await;
    assert!(standing(&bench).is_empty());
    let last = bench.log.read(Rev(2)).await.unwrap();
    assert_eq!((last[0].change.name(), &*last[0].audit.who), ("expire", "firedoor"));
}

#[tokio::test]
async fn levers_stand_over_every_reload() {
    let bench = bench();
    let id = bench.desk.pull(kill("app:a"), &actor()).await.unwrap().lever.id;
    let (board, desk) = (Arc::clone(&bench.board), Arc::clone(&bench.desk));
    let reloads = std::thread::spawn(move || {
        for _ in 0..50 {
            board.reload();
        }
    });
    let mut pulled = vec![id];
    for number in 0..50 {
        let order = kill(&format!("app:x{number}"));
        pulled.push(desk.pull(order, &actor()).await.unwrap().lever.id);
    }
    reloads.join().unwrap();
    pulled.sort_unstable();
    assert_eq!(standing(&bench), pulled);
}

/// What one of several people does.
#[derive(Clone, Debug)]
enum Deed {
    Pull(u8),
    Lift(u8),
    Extend(u8),
    Outage(bool),
    Restart,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0u8..4).prop_map(Deed::Pull),
        3 => (0u8..8).prop_map(Deed::Lift),
        2 => (0u8..8).prop_map(Deed::Extend),
        1 => any::<bool>().prop_map(Deed::Outage),
        1 => Just(Deed::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever two nodes do at once: each table is what the log adds up to at its revision, what
    /// was acknowledged as durable is in the log, and a restart finds it.
    #[test]
    fn tables_are_what_the_log_adds_up_to(deeds in prop::collection::vec((any::<bool>(), deed()), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let log = Arc::new(MemoryLog::new("l"));
            let mut nodes = Vec::new();
            for _ in 0..2 {
                let (board, _) = Switchboard::open(None).unwrap();
                nodes.push(desk_on(Arc::clone(&log), board, InForce::default()));
            }
            let mut acknowledged: Vec<LeverId> = Vec::new();
            let mut lifted: Vec<LeverId> = Vec::new();
            for (which, deed) in deeds {
                let node = usize::from(which);
                let pick = |number: u8, ids: &[LeverId]| {
                    (!ids.is_empty()).then(|| ids[usize::from(number) % ids.len()])
                };
                match deed {
                    Deed::Pull(number) => {
                        let order = kill(&format!("app:a{number}"));
                        let pulled = nodes[node].pull(order, &actor()).await.unwrap();
                        if pulled.rev.is_some() {
                            acknowledged.push(pulled.lever.id);
                        }
                    }
                    Deed::Lift(number) => {
                        if let Some(id) = pick(number, &acknowledged)
                            && nodes[node].lift(id, "r", &actor()).await.is_ok()
                        {
                            lifted.push(id);
                        }
                    }
                    Deed::Extend(number) => {
                        if let Some(id) = pick(number, &acknowledged) {
                            let ttl = Some(Duration::from_hours(1));
                            let _ = nodes[node].extend(id, ttl, "r", &actor()).await;
                        }
                    }
                    Deed::Outage(is_out) => {
                        log.fail(if is_out { Failing::Unavailable } else { Failing::No });
                    }
                    Deed::Restart => {
                        log.fail(Failing::No);
                        nodes[node].level().await;
                        let mut state = InForce::default();
                        for entry in log.read(Rev(0)).await.unwrap() {
                            state.take(&entry);
                        }
                        let (board, _) = Switchboard::open(None).unwrap();
                        nodes[node] = desk_on(Arc::clone(&log), board, state);
                    }
                }
            }
            log.fail(Failing::No);
            for _ in 0..2 {
                for node in &nodes {
                    node.level().await;
                }
            }
            let mut state = InForce::default();
            for entry in log.read(Rev(0)).await.unwrap() {
                state.take(&entry);
            }
            let expected: Vec<LeverId> = state.levers.keys().copied().collect();
            for node in &nodes {
                let (rev, standing) = node.standing().await;
                assert_eq!(rev, state.rev);
                assert_eq!(standing.iter().map(|one| one.lever.id).collect::<Vec<_>>(), expected);
                let table: Vec<LeverId> =
                    node.board.table().levers.all().iter().map(|lever| lever.id).collect();
                assert_eq!(table, expected);
            }
            for id in acknowledged {
                assert!(expected.contains(&id) || lifted.contains(&id), "acknowledged and lost");
            }
        });
    }
}
