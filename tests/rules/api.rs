//! `/api/v1/rules`.

use crate::support::{Gateway, admin_send, wait_for};
use crate::{ask, filters, listed, routes, said};
use serde_json::{Value, json};

fn demote(gateway: &Gateway, act: &str, body: &Value) -> crate::support::Answer {
    gateway.admin_send("POST", &format!("/api/v1/rules/own/project/{act}"), body)
}

#[test]
fn rules_are_listed_with_what_they_did_and_where_they_stand() {
    let filters = filters();
    let gateway = Gateway::start(&routes(filters.path(), "Ask Project Halcyon.", "\"own\""));
    assert_eq!(ask(&gateway, "about Project Halcyon").status(), 400);
    assert_eq!(said(&ask(&gateway, "about it")), "Ask [redacted:own/project].");
    let lever = gateway.pull(json!({ "kind": "filter", "scope": "all", "packs": ["own/code"] }));
    wait_for("both exchanges on record", || (gateway.exchanges().len() == 2).then_some(()));
    let project = listed(&gateway, "project");
    assert_eq!(project["pack"], "own");
    let channels = project["channels"].as_array().unwrap();
    assert!(channels.contains(&json!("user")) && channels.contains(&json!("answer")), "{project}");
    assert_eq!(project["mode"], "enforce");
    assert_eq!(project["in_force"], "enforce");
    assert_eq!(project["tags"], json!(["owasp:LLM02"]));
    assert_eq!(project["hits"], json!({ "flag": 0, "redact": 1, "reroute": 0, "cut": 1 }));
    assert!(project["routes"].as_array().unwrap().contains(&json!("front")), "{project}");
    assert_eq!(project["levers"], json!([]));
    let actions: Vec<&str> = project["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["action"].as_str().unwrap())
        .collect();
    assert!(actions.contains(&"cut") && actions.contains(&"redact"), "{project}");
    assert_eq!(listed(&gateway, "code")["levers"], json!([lever]));
}

#[test]
fn a_rule_demoted_by_hand_only_reports_until_it_is_promoted_and_a_restart_knows_it() {
    let filters = filters();
    let gateway = Gateway::start(&routes(filters.path(), "Fine.", "\"own\""));
    assert_eq!(ask(&gateway, "about Project Halcyon").status(), 400);

    let why = json!({ "reason": "hits the manual", "author": "ada" });
    let no_reason = demote(&gateway, "demote", &json!({ "author": "ada" }));
    assert_eq!(no_reason.status(), 400, "{}", no_reason.text());
    let no_author = demote(&gateway, "demote", &json!({ "reason": "x" }));
    assert_eq!(no_author.status(), 400, "{}", no_author.text());
    let unknown = gateway.admin_send("POST", "/api/v1/rules/own/projekt/demote", &why);
    assert_eq!(unknown.status(), 404);
    assert!(unknown.text().contains("own/project"), "{}", unknown.text());

    let done = demote(&gateway, "demote", &why);
    assert_eq!(done.status(), 200, "{}", done.text());
    assert_eq!(done.json()["demoted"], true);
    assert_eq!(done.json()["changed"], true);
    assert_eq!(ask(&gateway, "about Project Halcyon").status(), 200, "the answer comes too late");
    let again = demote(&gateway, "demote", &why).json();
    assert_eq!(again["changed"], false, "{again}");

    let own = "pack = \"mine\"\n[[rule]]\nid = \"x\"\nchannels = [\"user\"]\nmatch = { words = [\"zebra\"] }\naction = \"cut\"\non_error = \"cut\"\n";
    let lever = gateway.pull(json!({ "kind": "filter", "scope": "all", "rules": own }));
    let of_lever = gateway.admin_send("POST", "/api/v1/rules/mine/x/demote", &why);
    assert_eq!(of_lever.status(), 400, "{}", of_lever.text());
    assert!(of_lever.text().contains("lift the lever"), "{}", of_lever.text());
    gateway.lift(&lever);

    // Neither a reload nor a lever puts it in force again.
    gateway.admin_call("POST", "/api/v1/reload");
    let lever = gateway.pull(json!({ "kind": "filter", "scope": "all", "packs": ["own"] }));
    assert_eq!(ask(&gateway, "about Project Halcyon").status(), 200);
    gateway.lift(&lever);

    let gateway = gateway.restarted();
    assert_eq!(ask(&gateway, "about Project Halcyon").status(), 200);
    let rule = listed(&gateway, "project");
    assert_eq!(rule["mode"], "enforce");
    assert_eq!(rule["in_force"], "shadow");
    assert_eq!(rule["demoted"]["who"], "ada");
    assert_eq!(rule["demoted"]["reason"], "hits the manual");

    let back = demote(&gateway, "promote", &json!({ "reason": "mended", "author": "bob" }));
    assert_eq!(back.status(), 200, "{}", back.text());
    assert_eq!(ask(&gateway, "about Project Halcyon").status(), 400);
    assert_eq!(listed(&gateway, "project")["demoted"], Value::Null);
    let history = gateway.admin_json("/api/v1/levers/history");
    let changes: Vec<_> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["rule"] == "own/project")
        .map(|change| (change["change"].as_str().unwrap(), change["who"].as_str().unwrap()))
        .collect();
    assert_eq!(changes, [("demote", "ada"), ("promote", "bob")]);
}

#[test]
fn a_demotion_is_in_force_though_the_files_have_a_mistake_meanwhile() {
    let filters = filters();
    let gateway = Gateway::start(&routes(filters.path(), "Fine.", "\"own\""));
    std::fs::write(filters.path().join("own.toml"), "pack = \"own\"\nnonsense = 1\n").unwrap();
    let done = demote(&gateway, "demote", &json!({ "reason": "now", "author": "ada" }));
    assert_eq!(done.status(), 200, "{}", done.text());
    assert_eq!(ask(&gateway, "about Project Halcyon").status(), 200);
    assert_eq!(ask(&gateway, "hello").status(), 400, "the others stand");
}

#[test]
fn a_rule_that_demotes_itself_is_in_the_audit_and_stays_so_over_a_restart() {
    let filters = filters();
    let gateway = Gateway::start(&routes(filters.path(), "Fine.", "\"own\""));
    for _ in 0..4 {
        ask(&gateway, "hello");
    }
    wait_for("the rule to fall back", || (ask(&gateway, "hello").status() == 200).then_some(()));
    let rule = listed(&gateway, "eager");
    assert_eq!(rule["in_force"], "shadow");
    assert_eq!(rule["demoted"]["by"], "gate");
    let gateway = gateway.restarted();
    assert_eq!(ask(&gateway, "hello").status(), 200);
    let history = gateway.admin_json("/api/v1/levers/history");
    let change = &history["items"][0];
    assert_eq!(change["change"], "demote");
    assert_eq!(change["rule"], "own/eager");
    assert_eq!(change["lever_id"], Value::Null);
    assert_eq!(change["who"], "firedoor");
}

#[test]
fn rules_are_tried_on_texts_without_being_in_force() {
    let filters = filters();
    let gateway = Gateway::start(&routes(filters.path(), "Fine.", ""));
    let candidate = "pack = \"new\"\n[[rule]]\nid = \"word\"\nchannels = [\"answer\", \"user\"]\n\
        match = { words = [\"zebra\"] }\naction = { default = \"redact\", user = \"cut\" }\nmode = \"shadow\"\non_error = \"cut\"\n";
    let body = json!({
        "rules": candidate,
        "texts": ["a zebra!", "a horse", { "text": "Zebra", "channel": "answer" }],
    });
    let answer = gateway.admin_send("POST", "/api/v1/rules/test", &body);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let items = answer.json()["items"].clone();
    assert_eq!(items[0]["verdict"], "cut", "{items}");
    let channels = items[0]["channels"].as_array().unwrap();
    let of = |name: &str| channels.iter().find(|c| c["channel"] == name).unwrap();
    assert_eq!(of("answer")["leaves"], "a [redacted:new/word]!");
    assert_eq!(of("answer")["hits"][0]["rule"], "new/word");
    assert_eq!(of("user")["leaves"], Value::Null);
    assert_eq!(items[1]["verdict"], "clear");
    assert_eq!(items[2]["channels"].as_array().unwrap().len(), 1);

    let named = json!({ "pack": "own/project", "texts": ["Project Halcyon"] });
    let answer = gateway.admin_send("POST", "/api/v1/rules/test", &named);
    assert_eq!(answer.json()["items"][0]["verdict"], "cut", "{}", answer.text());
    assert_eq!(ask(&gateway, "a zebra, Project Halcyon").status(), 200, "nothing is in force");

    for (body, word) in [
        (json!({ "texts": ["x"] }), "pack"),
        (json!({ "pack": "own", "texts": [] }), "texts"),
        (json!({ "pack": "owm", "texts": ["x"] }), "own"),
        (json!({ "rules": "pack = 1", "texts": ["x"] }), "line"),
        (json!({ "pack": "own", "texts": [{ "text": "x", "channel": "answers" }] }), "answer"),
    ] {
        let answer = gateway.admin_send("POST", "/api/v1/rules/test", &body);
        assert_eq!(answer.status(), 400, "{body}");
        assert!(answer.text().contains(word), "{body}: {}", answer.text());
    }
    // Over the admin port a token is needed.
    let none = admin_send(&gateway.data_dir(), "GET", "/api/v1/rules/test", &[], None).unwrap();
    assert_eq!(none.status(), 405);
}
