//! A disk that stops while the gate runs: traffic goes on, memory stays bounded, and what was lost
//! is known to the byte.

use crate::book;
use crate::support::{CASES, Gateway, MockServer, post, routes_to, wait_for};
use serde_json::Value;
use std::process::Command;

/// Bytes of the record that must be lost before the disk goes on: many times what may wait, as in
/// half a minute under load.
const LOST_BYTES: u64 = 48 << 20;
/// The queue has 1 MiB. What an exchange under way holds beside it, and what the allocator keeps,
/// is an eighth of what is lost, and no more.
const GROWN_BYTES_MAX: u64 = 16 << 20;

#[test]
fn a_disk_that_stops_costs_a_gap_of_what_was_lost_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let shim = folder.path().join("stall.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/record/stall.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(source).status();
    assert!(built.unwrap().success(), "a C compiler builds the disk that stops");
    let stalls = folder.path().join("stalls");
    let mock = MockServer::start();
    let gateway = Gateway::start_with(
        &("[evidence]\nqueue_mb = 1\n\n".to_owned() + &routes_to(&mock.url(), "")),
        &[("LD_PRELOAD", shim.to_str().unwrap()), ("STALL_WHILE", stalls.to_str().unwrap())],
    );
    let status = || gateway.admin_json("/api/v1/status")["evidence"].clone();
    let prompt = "lorem ".repeat(20_000);
    let ask = |at: usize| {
        let case = &CASES[at % CASES.len()];
        let body = case.body("m", &prompt, true);
        let fields = [("content-type", "application/json"), ("x-mock", "tokens=3")];
        let answer = post(gateway.data, &case.target("m", true), &fields, &body);
        assert_eq!(answer.status(), 200, "{}", answer.text());
    };
    (0..16).for_each(ask);
    let before = gateway.process.peak_memory_bytes();

    std::fs::write(&stalls, "").unwrap();
    let mut asked = 16;
    while status()["dropped_bytes"].as_u64().unwrap() < LOST_BYTES {
        ask(asked);
        asked += 1;
    }
    wait_for("a word for it", || (status()["state"] == "stalled").then_some(()));
    assert!(!gateway.metrics().contains("firedoor_evidence_stalled_seconds 0\n"));
    let ready = gateway.admin_call("GET", "/readyz?verbose");
    assert_eq!(ready.status(), 200, "who need not be on record is served");
    assert!(ready.text().contains("stalled"), "{}", ready.text());
    let grown = gateway.process.peak_memory_bytes() - before;
    assert!(grown < GROWN_BYTES_MAX, "{grown} bytes");

    std::fs::remove_file(&stalls).unwrap();
    ask(asked);
    let sum = |gaps: &[Value], what: &str| -> u64 {
        gaps.iter().map(|gap| gap[what].as_u64().unwrap()).sum()
    };
    wait_for("the gaps", || {
        let gaps: Vec<Value> = book::whole_lines(&gateway.data_dir())
            .into_iter()
            .filter(|line| line["kind"] == "gap")
            .collect();
        let state = status();
        let told = (sum(&gaps, "records"), sum(&gaps, "bytes"));
        let lost = (state["dropped_records"].as_u64()?, state["dropped_bytes"].as_u64()?);
        (state["state"] == "up" && told == lost).then_some(())
    });
}
