//! Holds: taken by hand and by levers, durable, and released only on purpose.

use crate::book;
use crate::retention::{fill_segment, write_old};
use crate::support::{Gateway, MockServer, binary, routes_to, wait_for};
use serde_json::{Value, json};

fn holds(gateway: &Gateway) -> Vec<Value> {
    gateway.admin_json("/api/v1/holds")["items"].as_array().unwrap().clone()
}

#[test]
fn a_lever_holds_evidence_in_the_same_act() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let lever = gateway.pull(json!({ "kind": "kill", "scope": "model:m" }));
    let found = holds(&gateway);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["lever"], lever);
    assert_eq!(found[0]["scope"], "model:m");
    assert!(found[0]["until"].is_null());
    let gateway = gateway.restarted();
    assert_eq!(holds(&gateway), found, "a restart forgets no hold");
    gateway.lift(&lever);
    let after = holds(&gateway);
    assert_eq!(after.len(), 1, "what was held stays held when the lever is lifted");
    assert!(after[0]["until"].is_string());
}

#[test]
fn a_hold_by_hand_stands_until_it_is_released() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let order = json!({ "scope": "app:helpdesk", "before_s": 7200, "reason": "INC-7", "author": "ann", "incident": "INC-7" });
    let placed = gateway.admin_send("POST", "/api/v1/holds", &order);
    assert_eq!(placed.status(), 201, "{}", placed.text());
    let id = placed.json()["id"].as_str().unwrap().to_owned();
    let gateway = gateway.restarted();
    let found = holds(&gateway);
    assert_eq!((found.len(), found[0]["id"].as_str()), (1, Some(&*id)));
    assert_eq!(found[0]["incident"], "INC-7");
    let why = json!({ "reason": "closed", "author": "ann" });
    let near = format!("{}0", &id[..id.len() - 1]);
    if near != id {
        let unknown = gateway.admin_send("DELETE", &format!("/api/v1/holds/{near}"), &why);
        assert_eq!(unknown.status(), 404);
        assert!(unknown.text().contains(&id), "{}", unknown.text());
    }
    let released = gateway.admin_send("DELETE", &format!("/api/v1/holds/{id}"), &why);
    assert_eq!(released.status(), 200, "{}", released.text());
    assert!(holds(&gateway).is_empty());
    let history = gateway.admin_json("/api/v1/levers/history");
    let changes: Vec<&str> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["change"].as_str().unwrap())
        .collect();
    assert!(changes.contains(&"hold") && changes.contains(&"release"), "{history}");
    for bad in [
        json!({ "scope": "app:", "reason": "r", "author": "a" }),
        json!({ "scope": "all", "author": "a" }),
        json!({ "scope": "all", "reason": "r", "author": "a", "before_s": u64::MAX }),
        json!({ "scope": "all", "reason": "r", "author": "a", "for": 3 }),
    ] {
        let answer = gateway.admin_send("POST", "/api/v1/holds", &bad);
        assert_eq!(answer.status(), 400, "{bad}: {}", answer.text());
    }
}

#[test]
fn what_is_held_outlives_its_time_and_goes_when_it_is_released() {
    let mock = MockServer::start();
    let kept = "[evidence]\nkeep_days = 1\nsegment_mb = 1\n\n";
    let mut gateway = Gateway::start(&(kept.to_owned() + &routes_to(&mock.url(), "")));
    let order =
        json!({ "scope": "all", "before_s": 7 * 24 * 3600, "reason": "INC-8", "author": "ann" });
    let placed = gateway.admin_send("POST", "/api/v1/holds", &order);
    assert_eq!(placed.status(), 201, "{}", placed.text());
    let id = placed.json()["id"].as_str().unwrap().to_owned();
    gateway.process.kill();
    let old = write_old(&gateway.data_dir(), &[]).paths;
    let gateway = gateway.restarted();
    fill_segment(&gateway, 7);
    assert!(old.iter().all(|path| path.exists()), "held segments stay");
    let why = json!({ "reason": "closed", "author": "ann" });
    let path = format!("/api/v1/holds/{id}");
    assert_eq!(gateway.admin_send("DELETE", &path, &why).status(), 200);
    fill_segment(&gateway, 8);
    wait_for("the old segments are gone", || old.iter().all(|path| !path.exists()).then_some(()));
    let lines = book::lines(&gateway.data_dir());
    assert!(lines.iter().any(|line| line["kind"] == "retired" && line["why"] == "age"));
    let mut gateway = gateway;
    gateway.process.kill();
    let checked = std::process::Command::new(binary())
        .args(["evidence", "verify", "--data-dir"])
        .arg(gateway.data_dir())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
