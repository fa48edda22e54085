//! The control log out of reach: the gate keeps what it has, takes kills all the same, and does
//! not start as if nothing had been killed.

use super::hand::{ask, assert_refused, history, id, kill, pull, standing};
use super::shell::command;
use crate::support::{CASES, Gateway, MockServer, SmallDisk, routes_to, wait_for};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The files of the log.
const FILES: [&str; 3] = ["state.db", "state.db-wal", "state.db-shm"];

fn remove_log(folder: &Path) {
    for name in FILES {
        let _ = std::fs::remove_file(folder.join(name));
    }
}

fn copy_log(from: &Path, to: &Path) {
    remove_log(to);
    for name in FILES {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// Pulls a kill that the log cannot take.
fn kill_in_memory(gateway: &Gateway, scope: &str) -> String {
    let order = json!({ "kind": "kill", "scope": scope, "reason": "r", "author": "a" });
    let answer = gateway.admin_send("POST", "/api/v1/levers", &order);
    assert_eq!(answer.status(), 202, "{}", answer.text());
    let proof = answer.json();
    assert_eq!(proof["durable"], false, "{proof}");
    assert!(proof["rev"].is_null() && proof["not_durable_because"].is_string(), "{proof}");
    id(&proof)
}

fn assert_no_reroute(gateway: &Gateway) {
    let order = json!({ "kind": "reroute", "scope": "provider:oai", "to": ["oai/x"], "reason": "r", "author": "a" });
    let answer = gateway.admin_send("POST", "/api/v1/levers", &order);
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert!(answer.text().contains("nothing was changed"), "{}", answer.text());
}

fn assert_killed(gateway: &Gateway, session: &str, lever: &str) {
    let fields = [("x-firedoor-session", session)];
    let answer = ask(gateway, &CASES[0], "m", &fields, true).answer();
    assert_refused(gateway, Some(CASES[0].dialect), &answer, lever);
}

fn assert_serves(gateway: &Gateway) {
    let answer = ask(gateway, &CASES[0], "m", &[("x-firedoor-session", "free")], false).answer();
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

fn wait_log(gateway: &Gateway, up: u64) {
    wait_for(&format!("firedoor_control_log_up {up}"), || {
        (gateway.metric("firedoor_control_log_up", "") == up).then_some(())
    });
}

/// The ways in which a log cannot be read at a start.
type Damage = (&'static str, fn(&Path));
const DAMAGES: [Damage; 4] = [
    ("garbage", |folder| {
        remove_log(folder);
        std::fs::write(folder.join("state.db"), vec![b'x'; 100_000]).unwrap();
    }),
    ("a folder", |folder| {
        remove_log(folder);
        std::fs::create_dir(folder.join("state.db")).unwrap();
    }),
    ("a newer layout", |folder| {
        let file = rusqlite::Connection::open(folder.join("state.db")).unwrap();
        file.pragma_update(None, "user_version", 99).unwrap();
    }),
    ("a forged change", |folder| {
        let file = rusqlite::Connection::open(folder.join("state.db")).unwrap();
        let forge = "UPDATE changes SET change = replace(change, 'session:bad', 'session:not') WHERE rev = 1";
        assert_eq!(file.execute(forge, []).unwrap(), 1);
    }),
];

#[test]
fn a_log_that_cannot_be_read_is_no_reason_to_forget() {
    let mock = MockServer::start();
    for (what, damage) in DAMAGES {
        let mut gateway = Gateway::start(&routes_to(&mock.url(), ""));
        let lever = kill(&gateway, "session:bad");
        gateway.process.kill();
        damage(&gateway.data_dir());
        let Err((ended, said)) = gateway.again(&[], &[]) else {
            panic!("{what}: it starts all the same")
        };
        assert_eq!(ended.code, Some(1), "{what}: {said}");
        assert!(said.contains("state.db") && said.contains("--last-known"), "{what}: {said}");

        let gateway = ended.again(&["--last-known"]);
        let gateway = gateway.unwrap_or_else(|(_, said)| panic!("{what}: {said}"));
        assert_killed(&gateway, "bad", &lever);
        assert_serves(&gateway);
        assert_eq!(gateway.metric("firedoor_control_log_up", ""), 0, "{what}");
        let list = gateway.admin_json("/api/v1/levers");
        assert_eq!(list["control_log"]["state"], "last_known", "{what}: {list}");
        assert_no_reroute(&gateway);
        let other = kill_in_memory(&gateway, "session:worse");
        assert_killed(&gateway, "worse", &other);
        let (code, out, err) =
            command(&gateway, &["kill", "session:worst", "--reason", "r", "--author", "a"]);
        assert_eq!(code, 3, "{out}{err}");
        assert!(err.contains("NOT DURABLE"), "{err}");
        let answer = gateway.admin_send(
            "DELETE",
            &format!("/api/v1/levers/{lever}"),
            &json!({ "reason": "r", "author": "a" }),
        );
        assert_eq!(answer.status(), 503, "{}", answer.text());
        assert_killed(&gateway, "bad", &lever);
    }
}

#[test]
fn without_last_known_levers_there_is_nothing_to_start_from() {
    let mut gateway = Gateway::start(&routes_to("http://127.0.0.1:9", ""));
    gateway.process.kill();
    remove_log(&gateway.data_dir());
    std::fs::write(gateway.data_dir().join("state.db"), b"no log").unwrap();
    std::fs::remove_file(gateway.data_dir().join("last-known.json")).unwrap();
    let Err((_, said)) = gateway.again(&["--last-known"], &[]) else {
        panic!("it starts from nothing")
    };
    assert!(said.contains("no last known levers"), "{said}");
}

/// The events of the API as they come.
struct Events {
    socket: UnixStream,
    text: String,
}

impl Events {
    fn follow(gateway: &Gateway) -> Events {
        let mut socket = UnixStream::connect(gateway.data_dir().join("admin.sock")).unwrap();
        socket.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        socket.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: local\r\n\r\n").unwrap();
        let mut events = Events { socket, text: String::new() };
        events.until("event: hello", "");
        events
    }

    /// Reads on until an event of this kind with these words in it has come.
    fn until(&mut self, kind: &str, words: &str) {
        loop {
            let found =
                self.text.split("\n\n").any(|event| event.contains(kind) && event.contains(words));
            if found {
                return;
            }
            let mut space = [0; 4096];
            let count = self.socket.read(&mut space).unwrap_or_else(|error| {
                panic!("{error} while waiting for {kind} {words} behind {}", self.text)
            });
            assert!(count > 0, "the feed ends");
            self.text += &String::from_utf8_lossy(&space[..count]);
        }
    }
}

#[test]
fn a_log_that_is_lost_under_way_costs_no_kill_and_no_traffic() {
    let mock = MockServer::start();
    let mut gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let before = kill(&gateway, "session:before");
    for way in ["moved away", "replaced"] {
        let mut events = Events::follow(&gateway);
        let log = gateway.data_dir().join("state.db");
        let away = gateway.data_dir().join("away.db");
        std::fs::rename(&log, &away).unwrap();
        if way == "replaced" {
            std::fs::copy(&away, &log).unwrap();
        }
        let session = format!("while {way}").replace(' ', "-");
        let lever = kill_in_memory(&gateway, &format!("session:{session}"));
        wait_log(&gateway, 0);
        events.until("event: control_log", "\"lost\"");
        assert_killed(&gateway, &session, &lever);
        assert_killed(&gateway, "before", &before);
        assert_serves(&gateway);
        assert_no_reroute(&gateway);
        assert_eq!(standing(&gateway, &lever)["durable"], false);
        let answer = gateway.admin_send(
            "DELETE",
            &format!("/api/v1/levers/{before}"),
            &json!({ "reason": "r", "author": "a" }),
        );
        assert_eq!(answer.status(), 503, "{way}: {}", answer.text());
        // One that stands in memory only is lifted there.
        let passing = kill_in_memory(&gateway, "session:passing");
        super::hand::lift(&gateway, &passing);

        std::fs::rename(&away, &log).unwrap();
        wait_for("the kill to be durable", || {
            (standing(&gateway, &lever)["durable"] == true).then_some(())
        });
        wait_log(&gateway, 1);
        events.until("event: control_log", "\"up\"");
        let told = history(&gateway);
        assert!(told.iter().any(|change| change["lever_id"] == *lever), "{told:?}");
        assert!(told.iter().all(|change| change["lever_id"] != *passing), "{told:?}");
        gateway = gateway.restarted();
        assert_killed(&gateway, &session, &lever);
        assert_killed(&gateway, "before", &before);
        assert!(standing(&gateway, &passing).is_null());
    }
}

#[test]
fn an_older_copy_of_the_log_is_refused() {
    let mock = MockServer::start();
    let mut gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let first = kill(&gateway, "session:first");
    gateway.process.terminate();
    gateway.process.wait();
    let copy = tempfile::tempdir().unwrap();
    copy_log(&gateway.data_dir(), copy.path());
    gateway = gateway.restarted();
    let second = kill(&gateway, "session:second");
    gateway.process.terminate();
    gateway.process.wait();
    copy_log(copy.path(), &gateway.data_dir());
    let Err((ended, said)) = gateway.again(&[], &[]) else { panic!("it starts from the copy") };
    assert_eq!(ended.code, Some(1), "{said}");
    assert!(said.contains("older than what this gate has seen"), "{said}");
    assert!(said.contains("--last-known") && said.contains("last-known.json"), "{said}");

    // No log at all is the oldest of all.
    remove_log(&ended.data_dir());
    let Err((ended, said)) = ended.again(&[]) else { panic!("it starts from nothing") };
    assert!(said.contains("older than what this gate has seen"), "{said}");
    let gateway = ended.again(&["--last-known"]).unwrap_or_else(|(_, said)| panic!("{said}"));
    assert_killed(&gateway, "first", &first);
    assert_killed(&gateway, "second", &second);
}

fn fill(file: &mut std::fs::File) {
    while file.write_all(&[0; 512]).is_ok() {}
}

#[test]
fn on_a_full_disk_kills_go_on_working() {
    let mock = MockServer::start();
    let mut gateway = Gateway::start(&routes_to(&mock.url(), ""));
    gateway.process.kill();
    let small = SmallDisk::mount(&gateway.data_dir(), 2 << 20);
    gateway = gateway.restarted();
    let before = kill(&gateway, "session:before");
    let mut events = Events::follow(&gateway);
    let filler = gateway.data_dir().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    // What the log holds in hand is used up first, and the record, which lies in the same folder,
    // gives room back now and then.
    let mut kill_when_full = |name: &str| {
        let mut orders = (0..3_000).map(|number| {
            fill(&mut file);
            let reason = format!("{number} {}", "r".repeat(900));
            let scope = format!("session:{name}-{number}");
            let order = json!({ "kind": "kill", "scope": scope, "reason": reason, "author": "a" });
            (format!("{name}-{number}"), gateway.admin_send("POST", "/api/v1/levers", &order))
        });
        let (session, answer) = orders.find(|(_, answer)| answer.status() != 201).unwrap();
        assert_eq!(answer.status(), 202, "{}", answer.text());
        (session, id(&answer.json()))
    };
    let (session, lever) = kill_when_full("full");
    events.until("event: control_log", "\"lost\"");
    assert_killed(&gateway, &session, &lever);
    assert_killed(&gateway, "before", &before);
    assert_serves(&gateway);
    // It stays lost, however often it is tried, until there is room for all that it owes.
    let (passing, later) = kill_when_full("passing");
    wait_for("some turns of the desk", || {
        fill(&mut file);
        let up = gateway.metric("firedoor_control_log_up", "");
        let standing = standing(&gateway, &later);
        assert!(up == 0 || standing["durable"] == true, "up, and it owes a kill: {standing}");
        (standing["refused"] == 200).then_some(()).or_else(|| {
            assert_killed(&gateway, &passing, &later);
            None
        })
    });
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    for owed in [&lever, &later] {
        wait_for("the kill to be durable", || {
            (standing(&gateway, owed)["durable"] == true).then_some(())
        });
    }
    wait_log(&gateway, 1);
    gateway = gateway.restarted();
    assert_killed(&gateway, &session, &lever);
    assert_killed(&gateway, &passing, &later);
    gateway.process.kill();
    drop(small);
}

/// What `Value` says of the log, for the compiler's sake of one import.
#[test]
fn the_status_tells_of_the_log() {
    let gateway = Gateway::start(&routes_to("http://127.0.0.1:9", ""));
    let status: Value = gateway.admin_json("/api/v1/status");
    assert_eq!(status["control_log"]["state"], "up", "{status}");
    let proof = pull(&gateway, json!({ "kind": "kill", "scope": "all" }));
    let status: Value = gateway.admin_json("/api/v1/status");
    assert_eq!((&status["levers"], &status["epoch"]), (&json!(1), &proof["epoch"]), "{status}");
}
