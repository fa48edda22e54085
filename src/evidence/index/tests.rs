//! The index as a whole: followed live, killed, damaged, retired, searched.

mod gone;

use super::super::disk::Folder;
use super::super::exchange::{Exchange, read_at, scan};
use super::super::query::{Seen, parse};
use super::super::texts::Part;
use super::super::{Options, RequestHead, SentBody, Store};
use super::*;
use crate::clock::Tick;
use crate::exchange::facts::{Facts, Identity};
use crate::id::{AppName, Epoch, ExchangeId, RouteName};
use crate::table::Capture;
use crate::wire::Dialect;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const NOW: u64 = 1_795_867_200_000;
const LONG: Duration = Duration::from_mins(1);
const ALL: Page = Page { before: None, limit: 1_000 };

/// What one exchange is to be like.
#[derive(Clone, Debug)]
struct Told {
    at_ms: u64,
    app: &'static str,
    session: Option<&'static str>,
    trace: Option<&'static str>,
    asked: Vec<(&'static str, &'static str)>,
    answer: &'static str,
    status: u16,
    cost: Option<u64>,
    total_ms: u64,
    route: &'static str,
    is_closed: bool,
}

impl Default for Told {
    fn default() -> Told {
        Told {
            at_ms: 0,
            app: "helpdesk",
            session: Some("s1"),
            trace: None,
            asked: vec![("user", "where is my parcel")],
            answer: "in the post",
            status: 200,
            cost: Some(370),
            total_ms: 2_000,
            route: "support",
            is_closed: true,
        }
    }
}

fn id(number: u128) -> ExchangeId {
    ExchangeId::new(NOW, number)
}

fn facts(number: u128, told: &Told) -> Facts {
    let mut facts = super::super::tests::facts(number);
    facts.id = ExchangeId::new(NOW + told.at_ms, number);
    facts.began_unix_ms = NOW + told.at_ms;
    facts.identity = Identity {
        app: Some(AppName::new(told.app)),
        session: told.session.map(Into::into),
        trace: told.trace.map(Into::into),
        ..Identity::default()
    };
    facts.dialect = Some(Dialect::OpenaiChat);
    facts.route = Some(RouteName::new(told.route));
    facts.model_asked = Some("gpt-4o".into());
    facts.status = told.status;
    facts.cost_micro_usd = told.cost;
    facts.total = Duration::from_millis(told.total_ms);
    facts
}

fn record(store: &Store, number: u128, told: &Told) -> ExchangeId {
    let facts = facts(number, told);
    let opened = super::super::Opened {
        id: facts.id,
        began: Tick(0),
        began_unix_ms: facts.began_unix_ms,
        identity: facts.identity.clone(),
        route: facts.route.clone(),
        dialect: facts.dialect,
        model: facts.model_asked.clone(),
        is_stream: false,
        epoch: Epoch(1),
        ruleset: None,
        levers: vec![],
        keep_days: None,
    };
    let mut track = store.tap().open(Capture::Full, opened).unwrap();
    let turns: Vec<Value> =
        told.asked.iter().map(|(role, text)| json!({ "role": role, "content": text })).collect();
    let body = Bytes::from(json!({ "model": "gpt-4o", "messages": turns }).to_string());
    let head =
        RequestHead { method: Method::POST, path: "/v1/chat/completions".into(), headers: vec![] };
    track.request(Tick(0), head, &body);
    track.sent(
        Tick(0),
        1,
        &"openai/gpt-4o".into(),
        body.len() as u64,
        &SentBody::Same(body.clone()),
    );
    let kind =
        (HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
    track.received_head(Tick(0), 1, told.status, vec![kind.clone()]);
    let answer = json!({ "id": "a", "object": "chat.completion", "choices": [{ "index": 0,
        "message": { "role": "assistant", "content": told.answer, "tool_calls": [{ "id": "c",
            "type": "function", "function": { "name": "look_up", "arguments": "{\"k\":\"parcel9\"}" } }] },
        "finish_reason": "stop" }] })
    .to_string();
    track.received(Tick(1_000_000), answer.as_bytes());
    track.delivered_head(Tick(1_000_000), told.status, vec![kind]);
    track.delivered(Tick(1_000_000), answer.as_bytes());
    if told.is_closed {
        track.close(Tick(1_000_000), Arc::new(facts.clone()));
    } else {
        track.flush(Tick(1_000_000));
        // Whoever drives it is still at it.
        std::mem::forget(track);
    }
    facts.id
}

fn store(folder: &TempDir) -> Store {
    Store::start(Options::of(folder.path())).unwrap()
}

fn caught_up(follower: &mut Follower) -> Step {
    let mut sum = Step::default();
    for _ in 0..1_000 {
        let step = follower.step().unwrap();
        sum.exchanges += step.exchanges;
        sum.damaged += step.damaged;
        sum.forgotten += step.forgotten;
        if step.is_caught_up {
            sum.is_caught_up = true;
            return sum;
        }
    }
    panic!("it does not end");
}

fn find(index: &Index, query: &str) -> Vec<ExchangeId> {
    let query = parse(query, NOW + 3_600_000).unwrap();
    index.find(&query, ALL).unwrap().rows.iter().map(Row::exchange).collect()
}

#[test]
fn exchanges_are_found_while_the_record_grows() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    let open = record(&store, 1, &Told { is_closed: false, ..Told::default() });
    assert!(store.flush(LONG));
    let mut follower = Follower::open(folder.path()).unwrap();
    caught_up(&mut follower);
    let index = Index::open(folder.path()).unwrap();
    assert_eq!(find(&index, "outcome:under_way"), [open]);
    assert_eq!(find(&index, "parcel"), []);
    let done = record(
        &store,
        2,
        &Told {
            at_ms: 5,
            asked: vec![
                ("user", "where is my parcel"),
                ("assistant", "in the cellar"),
                ("user", "which \"exact words\" stand there"),
            ],
            ..Told::default()
        },
    );
    assert!(store.flush(LONG));
    assert_eq!(caught_up(&mut follower).exchanges, 1);
    assert_eq!(find(&index, "app:help* status:200"), [done]);
    assert_eq!(find(&index, "model:gpt-4*"), [done, open]);
    assert_eq!(find(&index, "\"exact words\" post tool:look_*"), [done]);
    assert_eq!(find(&index, "\"words exact\""), []);
    assert_eq!(find(&index, "arguments:parcel9"), [done]);
    assert_eq!(find(&index, "answer:parcel9"), []);
    assert_eq!(find(&index, "cellar"), [], "what was said before is not indexed again");
    assert_eq!(find(&index, &format!("exchange:{done}")), [done]);
    let row = index.row(done).unwrap().unwrap();
    let folder = super::super::disk::Folder::at(&folder.path().join(super::super::FOLDER));
    let back = super::super::exchange::read_at(&folder, done, &row.places).unwrap();
    assert!(back.is_whole());
    assert_eq!(back.delivered.body.bytes, back.attempts[0].received.bytes);
}

#[test]
fn an_index_that_is_killed_at_any_step_has_each_exchange_once() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    for number in 1..=30 {
        record(&store, number, &Told { at_ms: number as u64 / 4, ..Told::default() });
        if number % 7 == 0 {
            assert!(store.flush(LONG));
            // Dropped without an end, as a kill would.
            Follower::open(folder.path()).unwrap().step().unwrap();
        }
    }
    store.close(LONG);
    let mut one = Follower::open(folder.path()).unwrap();
    let mut other = Follower::open(folder.path()).unwrap();
    one.step().unwrap();
    other.step().unwrap();
    caught_up(&mut one);
    caught_up(&mut other);
    let index = Index::open(folder.path()).unwrap();
    assert_eq!(find(&index, "parcel").len(), 30);
    let session = index.session("s1").unwrap().unwrap();
    assert_eq!((session.exchanges, session.cost_micro_usd), (30, 30 * 370));
    let rows = index.exchanges_of("s1", None, ALL).unwrap();
    assert!(rows.is_sorted_by_key(|row| row.began_unix_ms));
    assert!(rows.iter().all(|row| row.began_unix_ms >= NOW));
}

#[test]
fn an_exchange_that_no_follower_saw_whole_is_read_again() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    let told = Told::default();
    let facts = facts(9, &told);
    let opened = super::super::Opened {
        id: facts.id,
        began: Tick(0),
        began_unix_ms: facts.began_unix_ms,
        identity: facts.identity.clone(),
        route: None,
        dialect: facts.dialect,
        model: None,
        is_stream: false,
        epoch: Epoch(1),
        ruleset: None,
        levers: vec![],
        keep_days: None,
    };
    let mut track = store.tap().open(Capture::Full, opened).unwrap();
    let head = RequestHead { method: Method::POST, path: "/".into(), headers: vec![] };
    let body = r#"{"messages":[{"role":"user","content":"an early question"}]}"#;
    track.request(Tick(0), head, &Bytes::from(body));
    assert!(store.flush(LONG));
    caught_up(&mut Follower::open(folder.path()).unwrap());
    track.close(Tick(5), Arc::new(facts.clone()));
    assert!(store.flush(LONG));
    caught_up(&mut Follower::open(folder.path()).unwrap());
    let index = Index::open(folder.path()).unwrap();
    assert_eq!(find(&index, "\"early question\" outcome:completed"), [facts.id]);
    assert_eq!(index.session("s1").unwrap().unwrap().exchanges, 1);
}

#[test]
fn what_is_attached_behind_the_end_is_found_and_counted_once() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    let done = record(&store, 1, &Told::default());
    assert!(store.flush(LONG));
    let mut follower = Follower::open(folder.path()).unwrap();
    caught_up(&mut follower);
    let context = |exchange| super::super::Note {
        at_unix_ms: NOW,
        what: "context".into(),
        exchange: Some(exchange),
        about: json!({ "documents": [{ "source": "kb/refunds.md", "text": "a retrieved passage" }] }),
    };
    let mut foreign = context(done);
    foreign.about = json!({ "app": "intruder", "documents": [{ "text": "a forged passage" }] });
    store.tap().note(foreign);
    store.tap().note(context(done));
    store.tap().note(context(id(99)));
    assert!(store.flush(LONG));
    caught_up(&mut follower);
    let index = Index::open(folder.path()).unwrap();
    assert_eq!(find(&index, "document:\"retrieved passage\" prompt:parcel"), [done]);
    assert_eq!(find(&index, "forged"), [], "nobody speaks for another app");
    assert_eq!(find(&index, ""), [done], "nobody makes exchanges by naming them");
    let session = index.session("s1").unwrap().unwrap();
    assert_eq!((session.exchanges, session.cost_micro_usd), (1, 370));
}

/// Anybody can attach documents to sessions that never ask.
#[test]
fn the_last_documents_wait_for_a_session_and_in_all() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    let mut follower = Follower::open(folder.path()).unwrap();
    follower.contexts_max = 100;
    let attach = |session: &str, number: usize| {
        let documents = json!([{ "text": format!("passage{number}") }]);
        let about = json!({ "app": "helpdesk", "session": session, "documents": documents });
        let what = "context".into();
        store.tap().note(super::super::Note { at_unix_ms: NOW, what, exchange: None, about });
    };
    let mut given_up = |store: &Store| {
        assert!(store.flush(LONG));
        let mut given_up = 0;
        loop {
            let step = follower.step().unwrap();
            given_up += step.contexts_given_up;
            if step.is_caught_up {
                return given_up;
            }
        }
    };
    (0..70).for_each(|number| attach("s1", number));
    assert_eq!(given_up(&store), 6, "an exchange has no more than 64");
    let first = record(&store, 1, &Told::default());
    assert_eq!(given_up(&store), 0);
    (100..205).for_each(|number| attach(&format!("of {number}"), number));
    attach("s1", 300);
    assert_eq!(given_up(&store), 6, "no more than 100 wait");
    let second = record(&store, 2, &Told { at_ms: 50, ..Told::default() });
    assert_eq!(given_up(&store), 0);
    let index = Index::open(folder.path()).unwrap();
    for (word, holder) in
        [("passage5", vec![]), ("passage6", vec![first]), ("passage300", vec![second])]
    {
        assert_eq!(find(&index, &format!("document:{word}")), holder, "{word}");
    }
    assert_eq!(index.row(first).unwrap().unwrap().contexts.len(), 64);
}

/// Documents that come before the exchange that they are for.
#[test]
fn what_is_attached_to_a_session_belongs_to_its_next_exchange() {
    for is_followed in [false, true] {
        let folder = TempDir::new().unwrap();
        let store = store(&folder);
        let mut follower = Follower::open(folder.path()).unwrap();
        let mut follow = || {
            assert!(store.flush(LONG));
            if is_followed {
                caught_up(&mut follower);
            }
        };
        let attach = |session: &str, app: &str, text: &str| {
            let about = json!({ "app": app, "session": session, "documents": [{ "text": text }] });
            let what = "context".into();
            store.tap().note(super::super::Note { at_unix_ms: NOW, what, exchange: None, about });
        };
        let first = record(&store, 1, &Told::default());
        follow();
        attach("s1", "helpdesk", "a passage on refunds");
        attach("s2", "helpdesk", "of another session");
        follow();
        attach("s1", "intruder", "of another app");
        attach("s1", "helpdesk", "a passage on parcels");
        follow();
        let second = record(&store, 2, &Told { at_ms: 50, ..Told::default() });
        follow();
        attach("s1", "helpdesk", "for later");
        follow();
        store.close(LONG);
        caught_up(&mut Follower::open(folder.path()).unwrap());
        let index = Index::open(folder.path()).unwrap();
        assert_eq!(find(&index, "document:passage"), [second], "followed: {is_followed}");
        for absent in ["another", "later"] {
            assert_eq!(find(&index, absent), [], "followed: {is_followed}");
        }
        let disk = super::super::disk::Folder::at(&folder.path().join(super::super::FOLDER));
        let told = |id| {
            let row = index.row(id).unwrap().unwrap();
            let turn = super::super::transcript::Turn::read(
                &disk,
                row,
                Part::New,
                crate::evidence::exchange::Wants::default(),
            )
            .unwrap();
            turn.exchange.notes.iter().map(|note| note.about()["documents"].to_string()).collect()
        };
        let of_first: Vec<String> = told(first);
        assert!(of_first.is_empty(), "{of_first:?}");
        let of_second: Vec<String> = told(second);
        assert!(of_second[0].contains("refunds") && of_second[1].contains("parcels"));
        assert_eq!(of_second.len(), 2, "{of_second:?}");
    }
}

#[test]
fn what_cannot_be_used_is_made_again() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    for number in 1..=3 {
        record(&store, number, &Told::default());
    }
    store.close(LONG);
    let path = path(folder.path());
    let damages: [&dyn Fn(); 3] = [
        &|| std::fs::write(&path, b"this is no database at all, whatever its name says").unwrap(),
        &|| {
            let connection = Connection::open(&path).unwrap();
            connection.pragma_update(None, "user_version", 99).unwrap();
        },
        &|| {
            let connection = Connection::open(&path).unwrap();
            let sql = "UPDATE meta SET value = replace(value, ' ', ' 1')";
            connection.execute(sql, []).unwrap();
        },
    ];
    for damage in damages {
        caught_up(&mut Follower::open(folder.path()).unwrap());
        damage();
        caught_up(&mut Follower::open(folder.path()).unwrap());
        let index = Index::open(folder.path()).unwrap();
        assert_eq!(find(&index, "parcel").len(), 3);
    }
    remove(folder.path()).unwrap();
    assert!(matches!(Index::open(folder.path()), Err(Fault::Missing)));
}

#[test]
fn pages_and_relatives() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for number in 0..10_u64 {
        let session = if number < 4 { "parent" } else { "child" };
        let told =
            Told { at_ms: number, session: Some(session), trace: Some(trace), ..Told::default() };
        record(&store, u128::from(number), &told);
    }
    store.close(LONG);
    caught_up(&mut Follower::open(folder.path()).unwrap());
    let index = Index::open(folder.path()).unwrap();
    for text in ["", "parcel", "app:helpdesk", "session:*"] {
        let query = parse(text, NOW).unwrap();
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let found = index.find(&query, Page { before, limit: 3 }).unwrap();
            seen.extend(found.rows.iter().map(|row| row.began_unix_ms - NOW));
            before = found.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..10).rev().collect::<Vec<_>>(), "{text}");
    }
    let (sessions, next) = index.sessions(&parse("app:helpdesk", NOW).unwrap(), None, 1).unwrap();
    assert_eq!(sessions[0].id, "child");
    for text in ["", "app:helpdesk", "parcel", "session:*"] {
        let query = parse(text, NOW).unwrap();
        let (sessions, next) = index.sessions(&query, next, 5).unwrap();
        assert_eq!((&*sessions[0].id, sessions.len(), next), ("parent", 1, None), "{text}");
    }
    let query = parse("app:helpdesk session:*", NOW).unwrap();
    let (sessions, next) = index.sessions(&query, next, 5).unwrap();
    assert_eq!((&*sessions[0].id, sessions.len(), next), ("parent", 1, None));
    let relation = &index.relatives(&sessions[0]).unwrap()[0];
    assert_eq!((&*relation.session, relation.is_parent), ("child", false));
    assert_eq!(index.sessions_like("pa", 5).unwrap(), ["parent"]);
}

#[test]
fn a_query_that_is_stopped_says_so() {
    let folder = TempDir::new().unwrap();
    record(&store(&folder), 1, &Told::default());
    caught_up(&mut Follower::open(folder.path()).unwrap());
    let index = Index::open(folder.path()).unwrap();
    let handle = index.interrupt();
    let stopper = std::thread::spawn(move || {
        for _ in 0..50 {
            handle.interrupt();
            std::thread::yield_now();
        }
    });
    for _ in 0..50 {
        let found = index.find(&parse("parcel", NOW).unwrap(), ALL);
        assert!(matches!(found, Ok(_) | Err(Fault::Interrupted)), "{found:?}");
    }
    stopper.join().unwrap();
}

fn told() -> impl Strategy<Value = Told> {
    (
        0_u64..7_200_000,
        prop::sample::select(vec!["helpdesk", "crawler", "a?b"]),
        prop::sample::select(vec![None, Some("s1"), Some("s[2]")]),
        prop::sample::select(vec![200_u16, 404, 500]),
        prop::option::of(0_u64..50_000),
        0_u64..5_000,
    )
        .prop_map(|(at_ms, app, session, status, cost, total_ms)| Told {
            at_ms,
            app,
            session,
            status,
            cost,
            total_ms,
            ..Told::default()
        })
}

fn query() -> impl Strategy<Value = String> {
    let term = prop::sample::select(vec![
        "app:helpdesk",
        "app:*e*",
        "app:a?b",
        "app:nobody",
        "session:s1",
        "session:s[*",
        "session:*",
        "status:>=400",
        "status:2xx",
        "status:404..500",
        "cost:>0.02",
        "cost:<=0.01",
        "latency:>2s",
        "latency:1s..3s",
        "since:30m",
        "until:1h",
        "outcome:completed",
        "model:gpt-4*",
        "agent:*",
        "verdict:clear",
        "exchange:x_*",
        "tokens:>10",
        "trace:*",
        "dialect:openai-chat",
        "ttft:>1ms",
    ]);
    prop::collection::vec((any::<bool>(), term), 0..4).prop_map(|terms| {
        let one = |(not, term): (bool, &str)| format!("{}{term}", if not { "-" } else { "" });
        terms.into_iter().map(one).collect::<Vec<_>>().join(" ")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    /// The index finds what the same query says of the record itself.
    #[test]
    fn the_index_and_the_record_agree(
        told in prop::collection::vec(told(), 1..25),
        queries in prop::collection::vec(query(), 1..25),
    ) {
        let folder = TempDir::new().unwrap();
        let store = store(&folder);
        let mut ids = Vec::new();
        for (number, told) in told.iter().enumerate() {
            ids.push(record(&store, number as u128, told));
        }
        store.close(LONG);
        caught_up(&mut Follower::open(folder.path()).unwrap());
        let index = Index::open(folder.path()).unwrap();
        let disk = Folder::at(&folder.path().join(super::super::FOLDER));
        let read = |id: ExchangeId| read_at(&disk, id, &scan(&disk, id).unwrap()).unwrap();
        let all: Vec<Exchange> = ids.into_iter().map(read).collect();
        for text in queries {
            let query = parse(&text, NOW + 3_600_000).unwrap();
            let fits = |one: &&Exchange| query.holds(&Seen::of_exchange(one));
            let fitting: Vec<&Exchange> = all.iter().filter(fits).collect();
            let mut expected: Vec<ExchangeId> =
                fitting.iter().map(|one| ExchangeId::parse(&one.id).unwrap()).collect();
            let mut found = find(&index, &text);
            expected.sort();
            found.sort();
            prop_assert_eq!(&found, &expected, "{}", text);
            // The same in pages, newest first.
            let (mut pages, mut before) = (Vec::new(), None);
            loop {
                let page = index.find(&query, Page { before, limit: 2 }).unwrap();
                pages.extend(page.rows.iter().map(|row| (row.number, row.exchange())));
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            prop_assert!(pages.is_sorted_by(|newer, older| newer > older));
            let mut found: Vec<ExchangeId> = pages.into_iter().map(|(_, id)| id).collect();
            found.sort();
            prop_assert_eq!(found, expected, "{}", text);
            let mut expected: Vec<&str> =
                fitting.iter().filter_map(|one| one.known.session.as_deref()).collect();
            expected.sort_unstable();
            expected.dedup();
            let (mut found, mut before) = (Vec::new(), None);
            loop {
                let (page, next) = index.sessions(&query, before, 2).unwrap();
                found.extend(page.into_iter().map(|session| session.id));
                before = next;
                if before.is_none() {
                    break;
                }
            }
            found.sort_unstable();
            prop_assert_eq!(found, expected, "{}", text);
        }
    }
}
