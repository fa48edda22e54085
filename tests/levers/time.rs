//! The ends of levers: counted by a clock that nobody can set, across restarts too.

use super::hand::{ask, assert_refused, history, id, pull, standing};
use crate::support::{CASES, Gateway, MockServer, routes_to, wait_for};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const HOUR_S: u64 = 3_600;

/// The library that sets the wall clock of one process (Debian's package `faketime`).
fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map_while(Result::ok);
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found
        .find(|file| file.exists())
        .expect("the Debian package `faketime` is not installed: tests/install installs it")
}

/// Moves the process's wall clock.
fn jump(file: &Path, to: &str) {
    let next = file.with_extension("next");
    std::fs::write(&next, to).unwrap();
    std::fs::rename(next, file).unwrap();
}

fn killed_for(gateway: &Gateway, session: &str, seconds: u64) -> String {
    let scope = format!("session:{session}");
    id(&pull(gateway, json!({ "kind": "kill", "scope": scope, "ttl_s": seconds })))
}

fn created(gateway: &Gateway, lever: &str) -> jiff::Timestamp {
    standing(gateway, lever)["created"].as_str().unwrap().parse().unwrap()
}

fn assert_killed(gateway: &Gateway, session: &str, lever: &str) {
    let fields = [("x-firedoor-session", session)];
    let answer = ask(gateway, &CASES[0], "m", &fields, false).answer();
    assert_refused(gateway, Some(CASES[0].dialect), &answer, lever);
}

fn wait_over(gateway: &Gateway, lever: &str) {
    wait_for("the end of its time", || standing(gateway, lever).is_null().then_some(()));
    let last = history(gateway).into_iter().rfind(|change| change["lever_id"] == lever).unwrap();
    assert_eq!((&last["change"], &last["by"]), (&json!("expire"), &json!("gate")), "{last}");
}

#[test]
fn a_jump_of_the_wall_clock_ends_no_kill_and_keeps_none() {
    let mock = MockServer::start();
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    jump(&clock, "+0d");
    let library = faketime();
    let variables = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_NO_CACHE", "1"),
    ];
    let gateway = Gateway::start_with(&routes_to(&mock.url(), ""), &variables);
    let long = killed_for(&gateway, "long", HOUR_S);
    let now = created(&gateway, &long);
    for (to, shift) in [("-1d", -24), ("+1d", 24), ("-400d", -9_600)] {
        let short = killed_for(&gateway, "short", 2);
        jump(&clock, to);
        let after = killed_for(&gateway, "after", HOUR_S);
        // The jump is real: people are told another day.
        let moved = created(&gateway, &after).duration_since(now).as_hours();
        assert!((moved - shift).abs() <= 1, "{to}: {moved} hours");
        assert_killed(&gateway, "long", &long);
        wait_over(&gateway, &short);
        let fields = [("x-firedoor-session", "short")];
        assert_eq!(ask(&gateway, &CASES[0], "m", &fields, false).answer().status(), 200);
        assert_killed(&gateway, "long", &long);
        assert_killed(&gateway, "after", &after);
        super::hand::lift(&gateway, &after);
        let left = standing(&gateway, &long)["remaining_s"].as_f64().unwrap();
        assert!(left > HOUR_S as f64 - 600.0 && left < HOUR_S as f64, "{left}");
    }
}

/// What is noted of a lever's time beside the log.
fn wait_noted(gateway: &Gateway, lever: &str) {
    let file = gateway.data_dir().join("state.db");
    wait_for("the note of its time", || {
        let log = rusqlite::Connection::open(&file).unwrap();
        let sql = "SELECT value FROM notes WHERE name = 'elapsed'";
        let note: Option<String> = log.query_row(sql, [], |row| row.get(0)).ok();
        note.filter(|note| note.contains(lever)).map(|_| ())
    });
}

#[test]
fn a_restart_keeps_the_time_that_is_left() {
    let mock = MockServer::start();
    let mut gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let lever = killed_for(&gateway, "s", HOUR_S);
    let left = |gateway: &Gateway| standing(gateway, &lever)["remaining_s"].as_f64().unwrap();
    wait_noted(&gateway, &lever);
    let mut last = left(&gateway);
    for ends_in_order in [false, true, false, false] {
        if ends_in_order {
            gateway.process.terminate();
            gateway.process.wait();
        }
        gateway = gateway.restarted();
        let now = left(&gateway);
        assert!(now < last, "{now} s are left, and {last} s were before");
        assert_killed(&gateway, "s", &lever);
        last = now;
    }
}

#[test]
fn time_that_is_over_while_the_gate_is_down_is_over() {
    let mock = MockServer::start();
    let mut gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let lever = killed_for(&gateway, "s", 3);
    let began = Instant::now();
    wait_noted(&gateway, &lever);
    gateway.process.kill();
    wait_for("its time", || (began.elapsed() > Duration::from_secs(3)).then_some(()));
    gateway = gateway.restarted();
    wait_over(&gateway, &lever);
}

#[test]
fn an_extension_counts_from_now_and_may_have_no_end() {
    let gateway = Gateway::start(&routes_to("http://127.0.0.1:9", ""));
    let lever = killed_for(&gateway, "s", 2);
    let extend = |ttl_s: serde_json::Value| {
        let why = json!({ "reason": "r", "author": "a", "ttl_s": ttl_s });
        gateway.admin_send("POST", &format!("/api/v1/levers/{lever}/extend"), &why)
    };
    assert_eq!(extend(json!(HOUR_S)).status(), 200);
    let left = standing(&gateway, &lever)["remaining_s"].as_f64().unwrap();
    assert!(left > HOUR_S as f64 - 60.0 && left <= HOUR_S as f64, "{left}");
    assert_eq!(extend(json!(null)).status(), 200);
    assert!(standing(&gateway, &lever)["remaining_s"].is_null());
    assert_eq!(extend(json!(1)).status(), 200);
    wait_over(&gateway, &lever);
    assert_eq!(extend(json!(1)).status(), 404);
}
