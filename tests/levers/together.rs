//! Many hands at once, reloads among them: one history, and the table that it adds up to.

use super::hand::{ask, assert_refused, history, id, kill, lift, pull, standing};
use crate::support::{CASES, Gateway, MockServer, routes_to};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};

/// Hands at work.
const HANDS: usize = 4;
/// Acts of each.
const ACTS: usize = 80;
/// Sessions over which they fight.
const SESSIONS: usize = 6;

/// A good file, or one that cannot be used.
fn file(url: &str, round: usize) -> String {
    let good = routes_to(url, "").replacen(
        "[providers.oai]\n",
        &format!("[providers.oai]\nheaders = {{ x-round = \"{round}\" }}\n"),
        1,
    );
    match round % 4 {
        1 => good[..good.len() / 2].to_owned(),
        3 => good.replace("provider = \"ant\"", "provider = \"nobody\""),
        _ => good,
    }
}

/// An act that was acknowledged.
#[derive(Debug)]
struct Done {
    change: &'static str,
    id: String,
    epoch: u64,
}

fn act(gateway: &Gateway, number: usize, standing: &Mutex<Vec<String>>) -> Option<(u64, Done)> {
    let known = {
        let standing = standing.lock().unwrap();
        (!standing.is_empty()).then(|| standing[number * 7 % standing.len()].clone())
    };
    let why = json!({ "reason": "r", "author": format!("hand {number}"), "ttl_s": 9_000 + number });
    let (change, answer) = match (number % 5, known) {
        (0 | 1, Some(id)) => {
            standing.lock().unwrap().retain(|other| *other != id);
            let why = json!({ "reason": "r", "author": "hand" });
            ("lift", gateway.admin_send("DELETE", &format!("/api/v1/levers/{id}"), &why))
        }
        (2, Some(id)) => {
            ("extend", gateway.admin_send("POST", &format!("/api/v1/levers/{id}/extend"), &why))
        }
        _ => {
            let scope = format!("session:s-{}", number % SESSIONS);
            let order = json!({ "kind": "kill", "scope": scope, "reason": "r", "author": "hand" });
            ("pull", gateway.admin_send("POST", "/api/v1/levers", &order))
        }
    };
    // Another hand may have lifted it.
    if answer.status() == 404 {
        assert!(["lift", "extend"].contains(&change), "{}", answer.text());
        return None;
    }
    assert!([200, 201].contains(&answer.status()), "{change}: {}", answer.text());
    let proof = answer.json();
    let id = id(&proof);
    if change == "pull" {
        standing.lock().unwrap().push(id.clone());
    }
    let epoch = proof["epoch"].as_u64().unwrap();
    Some((proof["rev"].as_u64().unwrap(), Done { change, id, epoch }))
}

/// The levers that a history adds up to: id to scope and whole time.
fn fold(history: &[Value]) -> BTreeMap<String, (String, Value)> {
    let mut found = BTreeMap::new();
    for change in history {
        let id = change["lever_id"].as_str().unwrap().to_owned();
        match change["change"].as_str().unwrap() {
            "pull" => {
                let lever = &change["lever"];
                let scope = lever["scope"].as_str().unwrap().to_owned();
                found.insert(id, (scope, lever["ttl_s"].clone()));
            }
            "extend" => {
                if let Some(known) = found.get_mut(&id) {
                    known.1 = change["ttl_s"].clone();
                }
            }
            "lift" | "expire" => {
                found.remove(&id);
            }
            other => panic!("unknown change {other}"),
        }
    }
    found
}

#[test]
fn many_hands_make_one_history_and_the_table_obeys_it() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&file(&mock.url(), 0));
    let standing = Mutex::new(Vec::new());
    let done = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let (gateway, standing, done, next, over) = (&gateway, &standing, &done, &next, &over);
        let hands: Vec<_> = (0..HANDS)
            .map(|_| {
                threads.spawn(move || {
                    for _ in 0..ACTS {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        if let Some((rev, act)) = act(gateway, number, standing) {
                            let before = done.lock().unwrap().insert(rev, act);
                            assert!(before.is_none(), "two acts were told revision {rev}");
                        }
                    }
                })
            })
            .collect();
        let url = mock.url();
        threads.spawn(move || {
            let mut round = 0;
            while !over.load(Ordering::SeqCst) {
                round += 1;
                gateway.write_config(&file(&url, round));
                gateway.admin_call("POST", "/api/v1/reload");
            }
        });
        for which in 0..2 {
            threads.spawn(move || {
                let mut number = which;
                while !over.load(Ordering::SeqCst) {
                    number += 1;
                    let session = format!("s-{}", number % SESSIONS);
                    let fields = [("x-firedoor-session", &*session)];
                    let case = &CASES[number % CASES.len()];
                    let answer = ask(gateway, case, "m", &fields, number % 2 == 0).answer();
                    assert!([200, 400].contains(&answer.status()), "{}", answer.text());
                }
            });
        }
        let ended: Vec<_> = hands.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::SeqCst);
        assert!(ended.iter().all(Result::is_ok));
    });
    let told = history(&gateway);
    let done = done.into_inner().unwrap();
    assert!(done.len() > HANDS * ACTS / 2, "{}", done.len());
    let mut hashes = BTreeSet::new();
    for (place, change) in told.iter().enumerate() {
        assert_eq!(change["rev"], place + 1, "the history has a gap");
        let hash = change["hash"].as_str().unwrap();
        assert!(hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{hash}");
        assert!(hashes.insert(hash.to_owned()), "{hash} stands twice");
    }
    let mut last = 0;
    for (rev, act) in &done {
        let change = &told[*rev as usize - 1];
        assert_eq!(change["change"], act.change, "{rev}");
        assert_eq!(change["lever_id"], *act.id, "{rev}");
        assert!(act.epoch > last, "revision {rev} is told table {} after {last}", act.epoch);
        last = act.epoch;
    }
    let list = gateway.admin_json("/api/v1/levers");
    let listed: BTreeMap<String, (String, Value)> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lever| {
            let text = |name: &str| lever[name].as_str().unwrap().to_owned();
            (text("id"), (text("scope"), lever["ttl_s"].clone()))
        })
        .collect();
    assert_eq!(listed, fold(&told));
    assert_eq!(list["rev"], told.len());
    for number in 0..SESSIONS {
        let session = format!("s-{number}");
        let fields = [("x-firedoor-session", &*session)];
        let answer = ask(&gateway, &CASES[0], "m", &fields, false).answer();
        let scope = format!("session:{session}");
        // The oldest answers where several reach.
        match listed.iter().find(|(_, (other, _))| *other == scope) {
            Some((lever, _)) => {
                assert_refused(&gateway, Some(CASES[0].dialect), &answer, lever);
            }
            None => assert_eq!(answer.status(), 200, "{session}: {}", answer.text()),
        }
    }
    // And so it is after a death.
    let gateway = gateway.again(&[], &[]);
    let gateway = match gateway {
        Ok(gateway) => gateway,
        // The last file may have been a broken one.
        Err((ended, _)) => {
            std::fs::write(ended.data_dir().join("../routes.toml"), "").unwrap();
            let data_dir = ended.data_dir();
            let more = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir"];
            let more = [&more[..], &[data_dir.to_str().unwrap()]].concat();
            ended.again(&more).unwrap_or_else(|(_, said)| panic!("{said}"))
        }
    };
    assert_eq!(history(&gateway).len(), told.len());
}

#[test]
fn a_poisoned_configuration_keeps_the_kill() {
    let mock = MockServer::start();
    let good = routes_to(&mock.url(), "");
    let gateway = Gateway::start(&good);
    let lever = kill(&gateway, "provider:oai");
    let assert_killed = || {
        let answer = ask(&gateway, &CASES[0], "m", &[], true).answer();
        assert_refused(&gateway, Some(CASES[0].dialect), &answer, &lever);
    };
    for poison in ["", "[server]\nnonsense = 1\n", "\u{0}", &good[..good.len() / 3]] {
        if poison.is_empty() {
            std::fs::remove_file(gateway.config()).unwrap();
        } else {
            gateway.write_config(poison);
        }
        assert_ne!(gateway.admin_call("POST", "/api/v1/reload").status(), 200, "{poison}");
        assert_killed();
    }
    // A file without the provider, and then with it again.
    gateway.write_config("[providers.sim]\ndialect = \"simulated\"\n");
    assert_eq!(gateway.admin_call("POST", "/api/v1/reload").status(), 200);
    assert!(!standing(&gateway, &lever).is_null());
    gateway.write_config(&good);
    assert_eq!(gateway.admin_call("POST", "/api/v1/reload").status(), 200);
    assert_killed();
}

#[test]
fn two_people_who_pull_the_same_scope_have_two_levers() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let ready = Barrier::new(2);
    let pulled: Vec<String> = std::thread::scope(|threads| {
        let hands: Vec<_> = (0..2)
            .map(|_| {
                threads.spawn(|| {
                    ready.wait();
                    kill(&gateway, "session:same")
                })
            })
            .collect();
        hands.into_iter().map(|hand| hand.join().unwrap()).collect()
    });
    assert_ne!(pulled[0], pulled[1]);
    let fields = [("x-firedoor-session", "same")];
    lift(&gateway, &pulled[0]);
    let answer = ask(&gateway, &CASES[0], "m", &fields, false).answer();
    assert_refused(&gateway, Some(CASES[0].dialect), &answer, &pulled[1]);
    lift(&gateway, &pulled[1]);
    assert_eq!(ask(&gateway, &CASES[0], "m", &fields, false).answer().status(), 200);
}

#[test]
fn of_many_who_lift_one_lever_one_does() {
    let gateway = Gateway::start(&routes_to("http://127.0.0.1:9", ""));
    for _ in 0..20 {
        let lever = kill(&gateway, "session:s");
        let ready = Barrier::new(4);
        let statuses: Vec<u16> = std::thread::scope(|threads| {
            let hands: Vec<_> = (0..4)
                .map(|_| {
                    threads.spawn(|| {
                        ready.wait();
                        let why = json!({ "reason": "r", "author": "a" });
                        let path = format!("/api/v1/levers/{lever}");
                        gateway.admin_send("DELETE", &path, &why).status()
                    })
                })
                .collect();
            hands.into_iter().map(|hand| hand.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 404].contains(status)), "{statuses:?}");
    }
    let lifts = history(&gateway).iter().filter(|change| change["change"] == "lift").count();
    assert_eq!(lifts, 20);
}

/// A call that is repeated, even while the first is under way, pulls once.
#[test]
fn a_key_pulls_once_however_often_it_is_sent() {
    let gateway = Gateway::start(&routes_to("http://127.0.0.1:9", ""));
    for round in 0..10 {
        let key = format!("key-{round}");
        let order = json!({ "kind": "kill", "scope": format!("session:k-{round}"), "reason": "r", "author": "a" });
        let ready = Barrier::new(6);
        let answers: Vec<Value> = std::thread::scope(|threads| {
            let hands: Vec<_> = (0..6)
                .map(|_| {
                    threads.spawn(|| {
                        ready.wait();
                        let fields = [("idempotency-key", &*key)];
                        let answer =
                            gateway.admin_send_with("POST", "/api/v1/levers", &fields, &order);
                        assert_eq!(answer.status(), 201, "{}", answer.text());
                        answer.json()
                    })
                })
                .collect();
            hands.into_iter().map(|hand| hand.join().unwrap()).collect()
        });
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
    assert_eq!(history(&gateway).len(), 10);
    let proof = pull(&gateway, json!({ "kind": "kill", "scope": "session:k-0" }));
    assert_eq!(proof["rev"], 11, "without a key each call is its own");
}
