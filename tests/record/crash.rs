//! SIGKILL at random moments under load: what is on record stays, and what is missing says so.

use crate::book;
use crate::support::{CASES, Client, Gateway, MockServer, binary, routes_to};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often it dies; `FIREDOOR_RECORD_KILLS` says otherwise, for a long run by hand.
const DEATHS: u64 = 12;

#[test]
fn a_death_under_load_leaves_a_record_that_says_what_is_missing() {
    let mock = MockServer::start();
    let mut gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let (mut before, mut most): (Vec<Value>, usize) = (Vec::new(), 0);
    let deaths = std::env::var("FIREDOOR_RECORD_KILLS").map_or(DEATHS, |n| n.parse().unwrap());
    for death in 0..deaths {
        let over = AtomicBool::new(false);
        // What clients have had to the end.
        let answered = Mutex::new(BTreeSet::new());
        std::thread::scope(|threads| {
            for case in &CASES {
                let (gateway, over, answered) = (&gateway, &over, &answered);
                threads.spawn(move || {
                    while !over.load(Ordering::SeqCst) {
                        let Ok(mut client) = Client::try_connect(gateway.data) else { return };
                        let body = case.body("m", "mock:tokens=50,itl_ms=2;", true);
                        let fields = [("content-type", "application/json")];
                        let target = case.target("m", true);
                        if client.try_send(&head(&target, &fields, body.len())).is_err()
                            || client.try_send(body.as_bytes()).is_err()
                        {
                            return;
                        }
                        let Ok(head) = client.try_head() else { return };
                        let id = head.field("x-firedoor-exchange").unwrap().to_owned();
                        if client.body(&head).is_ok() {
                            answered.lock().unwrap().insert(id);
                        }
                    }
                });
            }
            std::thread::sleep(std::time::Duration::from_millis(150 + death * 37 % 400));
            let had = answered.lock().unwrap().clone();
            crate::support::wait_for("the ends of what clients have had", || {
                let lines = book::whole_lines(&gateway.data_dir());
                had.is_subset(&ids(&lines, "close")).then_some(())
            });
            std::thread::sleep(std::time::Duration::from_millis(death * 23 % 90));
            gateway.process.strike();
            over.store(true, Ordering::SeqCst);
        });
        gateway.process.kill();
        let known = book::whole_lines(&gateway.data_dir());
        assert!(known.starts_with(&before), "what was on record is on record");
        gateway = gateway.restarted();
        let after = crate::support::wait_for("the store is open", || {
            let lines = book::lines(&gateway.data_dir());
            (lines.len() > known.len()).then_some(lines)
        });
        assert!(after.starts_with(&known), "death {death}: a whole frame is never lost");
        let mut open: BTreeSet<String> = BTreeSet::new();
        for line in &after {
            match (line["kind"].as_str().unwrap(), line["exchange"].as_str()) {
                ("open", Some(id)) => {
                    open.insert(id.to_owned());
                }
                ("close", Some(id)) => {
                    open.remove(id);
                }
                ("recovered", _) => {
                    for id in line["unfinished"].as_array().into_iter().flatten() {
                        open.remove(id.as_str().unwrap());
                    }
                }
                _ => {}
            }
        }
        assert!(open.is_empty(), "death {death}: no word of {open:?}");
        most = most.max(after.len());
        before = after;
        // All lines are read again and again: it begins anew now and then.
        if death % 6 == 5 && death + 1 < deaths {
            assert_whole(&mut gateway);
            (gateway, before) = (Gateway::start(&routes_to(&mock.url(), "")), Vec::new());
        }
    }
    assert!(most > 200, "{most}");
    assert_whole(&mut gateway);
}

fn assert_whole(gateway: &mut Gateway) {
    gateway.process.kill();
    let checked = std::process::Command::new(binary())
        .args(["evidence", "verify", "--output", "json", "--data-dir"])
        .arg(gateway.data_dir())
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let why = (checked.status, said(&checked.stdout), said(&checked.stderr));
    assert!(checked.status.success(), "{why:?}");
}

/// The exchanges that have a line of `kind`.
fn ids(lines: &[Value], kind: &str) -> BTreeSet<String> {
    lines
        .iter()
        .filter(|line| line["kind"] == kind)
        .filter_map(|line| line["exchange"].as_str().map(str::to_owned))
        .collect()
}

fn head(target: &str, fields: &[(&str, &str)], length: usize) -> Vec<u8> {
    let mut head = format!("POST {target} HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n");
    for (name, value) in fields {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head += "\r\n";
    head.into_bytes()
}
