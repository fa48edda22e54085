//! A record that takes nothing: routes that must be on record wait, the others go on.

use crate::book;
use crate::support::{Answer, CASES, Case, Gateway, MockServer, post, routes_to, wait_for};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Starts a gateway whose record cannot be opened, with a queue of 1 MiB.
fn without_a_record(mock: &MockServer, policy: &str) -> Gateway {
    let section = "[evidence]\nqueue_mb = 1\n\n";
    let mut gateway = Gateway::start(&(section.to_owned() + &routes_to(&mock.url(), policy)));
    let folder = gateway.data_dir().join("evidence");
    let aside = gateway.data_dir().join("aside");
    gateway.process.kill();
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "no folder").unwrap();
    let gateway = gateway.restarted();
    let state = status(&gateway);
    assert_ne!(state["state"], "up", "{state}");
    gateway
}

fn status(gateway: &Gateway) -> Value {
    gateway.admin_json("/api/v1/status")["evidence"].clone()
}

fn heal(gateway: &Gateway) {
    let folder = gateway.data_dir().join("evidence");
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(gateway.data_dir().join("aside"), &folder).unwrap();
}

fn prompt() -> String {
    "lorem ".repeat(20_000)
}

fn ask(gateway: &Gateway, case: &Case) -> Answer {
    let fields = [("content-type", "application/json"), ("x-mock", "tokens=3")];
    post(gateway.data, &case.target("m", true), &fields, &case.body("m", &prompt(), true))
}

#[test]
fn who_must_be_on_record_waits_for_it() {
    let mock = MockServer::start();
    let gateway =
        without_a_record(&mock, "capture_full = \"block\"\ntimeouts = { total_ms = 60000 }");
    let asked = 24;
    let done = AtomicUsize::new(0);
    let ids: Vec<String> = std::thread::scope(|threads| {
        let all: Vec<_> = (0..asked)
            .map(|at| {
                let (gateway, done) = (&gateway, &done);
                threads.spawn(move || {
                    let answer = ask(gateway, &CASES[at % CASES.len()]);
                    assert_eq!(answer.status(), 200, "{}", answer.text());
                    done.fetch_add(1, Ordering::SeqCst);
                    answer.head.field("x-firedoor-exchange").unwrap().to_owned()
                })
            })
            .collect();
        wait_for("the queue is nearly full", || {
            let counters = status(&gateway);
            (counters["queued_bytes"].as_u64() > Some(700 << 10)).then_some(())
        });
        assert!(done.load(Ordering::SeqCst) < asked, "some wait");
        assert_eq!(gateway.admin_call("GET", "/readyz").status(), 200, "the gate itself is ready");
        heal(&gateway);
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for id in ids {
        let told = book::exchange(&gateway.data_dir(), &id);
        assert!(told.request.len() > prompt().len(), "{}", told.close);
        assert_eq!(told.close["lost"], Value::Null, "{}", told.close);
    }
    let lines = book::lines(&gateway.data_dir());
    assert!(lines.iter().all(|line| line["kind"] != "gap"));
}

/// A kill does not wait for the disk.
#[test]
fn who_waits_for_the_record_is_killed_at_once() {
    let mock = MockServer::start();
    let gateway =
        without_a_record(&mock, "capture_full = \"block\"\ntimeouts = { total_ms = 600000 }");
    let ended = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..24 {
            threads.spawn(|| {
                let answer = ask(&gateway, &CASES[0]);
                if answer.status() != 200 {
                    assert!(answer.text().contains("Blocked by firedoor"), "{}", answer.text());
                    ended.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        wait_for("the queue is nearly full", || {
            let counters = status(&gateway);
            (counters["queued_bytes"].as_u64() > Some(700 << 10)).then_some(())
        });
        let order =
            json!({ "kind": "kill", "scope": "provider:oai", "reason": "r", "author": "a" });
        assert_eq!(gateway.admin_send("POST", "/api/v1/levers", &order).status(), 201);
        // No thread ends before, because the record stays broken.
    });
    assert!(ended.load(Ordering::SeqCst) > 10, "{ended:?}");
}

/// What is larger than the queue loses its rest, not its beginning.
#[test]
fn a_prompt_larger_than_the_queue_leaves_a_trace() {
    let mock = MockServer::start();
    let large = CASES[0].body("m", &"lorem ".repeat(300_000), false);
    let section = "[evidence]\nqueue_mb = 1\n\n";
    let gateway = Gateway::start(&(section.to_owned() + &routes_to(&mock.url(), "")));
    let answer = post(gateway.data, &CASES[0].target("m", false), &[], &large);
    assert_eq!(answer.status(), 200);
    let id = answer.head.field("x-firedoor-exchange").unwrap();
    let told = book::exchange(&gateway.data_dir(), id);
    assert_eq!(told.open["model"], "m", "{}", told.close);
    let gateway =
        Gateway::start(&(section.to_owned() + &routes_to(&mock.url(), "capture_full = \"block\"")));
    let answer = post(gateway.data, &CASES[0].target("m", false), &[], &large);
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert!(answer.text().contains("queue_mb"), "{}", answer.text());
}

#[test]
fn who_waits_too_long_is_refused_and_sent_to_nobody() {
    let mock = MockServer::start();
    let gateway =
        without_a_record(&mock, "capture_full = \"block\"\ntimeouts = { total_ms = 1000 }");
    let mut refused = 0;
    for _ in 0..24 {
        let answer = ask(&gateway, &CASES[0]);
        if answer.status() == 503 {
            assert!(answer.text().contains("capture_full"), "{}", answer.text());
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused}");
    let stats = crate::support::get_json(mock.address, "/stats");
    assert_eq!(stats["requests"].as_u64(), Some(24 - refused), "{stats}");
}

#[test]
fn who_need_not_be_on_record_goes_on_and_a_gap_tells() {
    let mock = MockServer::start();
    let gateway = without_a_record(&mock, "");
    for _ in 0..24 {
        assert_eq!(ask(&gateway, &CASES[0]).status(), 200);
    }
    heal(&gateway);
    let (gaps, lost) = wait_for("the gaps", || {
        let lines = book::lines(&gateway.data_dir());
        let gaps: Vec<Value> = lines.into_iter().filter(|line| line["kind"] == "gap").collect();
        let told: u64 = gaps.iter().map(|gap| gap["records"].as_u64().unwrap()).sum();
        let lost = status(&gateway)["dropped_records"].as_u64()?;
        (lost > 0 && told == lost).then_some((gaps.len(), lost))
    });
    assert!(gaps > 0 && lost as usize >= gaps);
}
