//! Backtests and replays by the API of the gateway whose record it is: the same as the commands say.

use crate::book;
use crate::history::{PACK, ask, provider, routes, traffic};
use crate::recordings::{ended, firedoor};
use crate::support::{Gateway, wait_for};
use serde_json::{Value, json};

fn start(gateway: &Gateway, path: &str, asked: &Value) -> String {
    let answer = gateway.admin_send("POST", path, asked);
    assert_eq!(answer.status(), 202, "{}", answer.text());
    let run = answer.json();
    assert_eq!((&run["author"], &run["error"]), (&json!("ann"), &Value::Null), "{run}");
    run["id"].as_str().unwrap().to_owned()
}

/// What a run came to, once it is over.
fn over(gateway: &Gateway, path: &str, id: &str) -> Value {
    wait_for("the end of the run", || {
        let run = gateway.admin_json(&format!("{path}/{id}"));
        (run["state"] != "running").then_some(run)
    })
}

fn traffic_on_record() -> (Gateway, tempfile::TempDir) {
    let filters = tempfile::tempdir().unwrap();
    std::fs::write(filters.path().join("markers.toml"), PACK).unwrap();
    let gateway = Gateway::start(&routes(&provider().url(), filters.path()));
    traffic(&gateway);
    wait_for_ends(&gateway, 9);
    (gateway, filters)
}

/// What a run reads is on disk.
fn wait_for_ends(gateway: &Gateway, exchanges: usize) {
    wait_for("the ends of all", || {
        let lines = book::lines(&gateway.data_dir());
        (lines.iter().filter(|line| line["kind"] == "close").count() == exchanges).then_some(())
    });
}

#[test]
fn the_api_says_what_the_commands_say() {
    let (mut gateway, filters) = traffic_on_record();
    let asked = json!({ "packs": ["markers"], "since": "1h", "author": "ann" });
    let id = start(&gateway, "/api/v1/backtests", &asked);
    let backtest = over(&gateway, "/api/v1/backtests", &id);
    assert_eq!(backtest["state"], "done", "{backtest:#}");
    assert_eq!(backtest["progress"]["exchanges"], 9, "{backtest:#}");
    let listed = gateway.admin_json("/api/v1/backtests");
    assert_eq!(listed["items"][0]["id"], *id, "{listed:#}");
    assert!(listed["items"][0]["result"].is_null(), "{listed:#}");
    assert_eq!(gateway.admin_json("/api/v1/replays")["items"], json!([]));

    let candidate = PACK.replace("mode = \"shadow\"", "mode = \"enforce\"");
    let asked = json!({ "rules": candidate, "author": "ann", "limit": 2 });
    let id = start(&gateway, "/api/v1/replays", &asked);
    let replay = over(&gateway, "/api/v1/replays", &id);
    assert_eq!(replay["state"], "done", "{replay:#}");
    assert_eq!(replay["result"]["exchanges"].as_array().unwrap().len(), 2, "{replay:#}");

    let pack = filters.path().join("markers.toml");
    let pack = pack.to_str().unwrap();
    let aside = tempfile::tempdir().unwrap();
    let candidate_file = aside.path().join("candidate.toml");
    let (config, _) = ended(&mut gateway);
    std::fs::write(&candidate_file, candidate).unwrap();
    let (report, _) = firedoor(&["backtest", "--config", &config, "-o", "json", "--pack", pack]);
    for name in ["exchanges", "hit", "rules", "apps", "routes", "verdicts", "text_bytes"] {
        assert_eq!(backtest["result"][name], report[name], "{name}");
    }
    let by = ["--rule-file", candidate_file.to_str().unwrap(), "--limit", "2"];
    let (all, _) = firedoor(&[&["replay", "--config", &config, "-o", "json"], &by[..]].concat());
    assert_eq!(replay["result"]["exchanges"], all["exchanges"]);
    for name in ["exchanges", "same", "differ", "partly", "not_run", "why", "verdicts", "unlisted"]
    {
        assert_eq!(replay["result"]["summary"][name], all["summary"][name], "{name}");
    }
    // Who read what is on record.
    let lines = book::lines(&gateway.data_dir());
    let noted = lines.iter().filter(|line| line["kind"] == "note");
    let who = noted.filter(|line| line["about"]["author"] == "ann").count();
    assert_eq!(who, 2);
}

#[test]
fn what_is_asked_wrongly_is_told() {
    let (gateway, _filters) = traffic_on_record();
    for (path, asked, word) in [
        ("backtests", json!({}), "`packs`"),
        ("backtests", json!({ "packs": ["marker"] }), "markers"),
        ("backtests", json!({ "rules": "pack = 1" }), "line 1"),
        ("backtests", json!({ "packs": ["markers"], "limit": 1 }), "`limit`"),
        ("backtests", json!({ "packs": ["markers"], "samples": 21 }), "20"),
        ("backtests", json!({ "packs": ["markers"], "since": "yesterday" }), "`since`"),
        ("backtests", json!({ "packs": ["markers"], "sesion": "x" }), "sesion"),
        ("replays", json!({ "resume": "x" }), "`resume`"),
        ("replays", json!({ "limit": 1001 }), "1000"),
    ] {
        let mut asked = asked;
        asked["author"] = "ann".into();
        let answer = gateway.admin_send("POST", &format!("/api/v1/{path}"), &asked);
        assert_eq!(answer.status(), 400, "{asked}: {}", answer.text());
        assert!(answer.text().contains(word), "{asked}: {}", answer.text());
    }
    let unknown = json!({ "resume": "run_1", "author": "ann" });
    for (method, path, asked) in [
        ("GET", "/api/v1/backtests/run_1", Value::Null),
        ("DELETE", "/api/v1/replays/run_1", Value::Null),
        ("POST", "/api/v1/backtests", unknown),
    ] {
        let answer = if asked.is_null() {
            gateway.admin_call(method, path)
        } else {
            gateway.admin_send(method, path, &asked)
        };
        assert_eq!(answer.status(), 404, "{method} {path}: {}", answer.text());
    }
}

/// One at a time; one that is ended goes on later to what a whole one says.
#[test]
fn one_runs_at_a_time_and_can_be_ended_and_gone_on_with() {
    let (gateway, _filters) = traffic_on_record();
    let words = "a word and another ".repeat(10_000) + "MARK-U1";
    let long = json!({ "role": "user", "content": words });
    for at in 0..12 {
        let session = format!("long {at}");
        assert_eq!(ask(&gateway, "m", &session, std::slice::from_ref(&long)).status(), 200);
    }
    wait_for_ends(&gateway, 21);
    let asked = json!({ "packs": ["markers"], "author": "ann" });
    let whole = start(&gateway, "/api/v1/backtests", &asked);
    let busy = gateway.admin_send("POST", "/api/v1/replays", &json!({ "author": "ann" }));
    assert_eq!(busy.status(), 503, "{}", busy.text());
    assert!(busy.text().contains(&whole), "{}", busy.text());
    let path = format!("/api/v1/backtests/{whole}");
    assert_eq!(gateway.admin_call("DELETE", &path).status(), 200);
    let ended = over(&gateway, "/api/v1/backtests", &whole);
    assert_eq!(ended["state"], "ended", "{ended:#}");
    let more = json!({ "resume": whole, "samples": 1, "author": "ann" });
    let refused = gateway.admin_send("POST", "/api/v1/backtests", &more);
    assert_eq!(refused.status(), 400, "{}", refused.text());
    let resume = json!({ "resume": whole, "author": "ann" });
    let rest = start(&gateway, "/api/v1/backtests", &resume);
    let rest = over(&gateway, "/api/v1/backtests", &rest);
    assert_eq!(rest["state"], "done", "{rest:#}");
    let anew = start(&gateway, "/api/v1/backtests", &asked);
    let anew = over(&gateway, "/api/v1/backtests", &anew);
    assert_eq!(rest["result"]["exchanges"], 21, "{rest:#}");
    for name in ["exchanges", "hit", "rules", "text_bytes"] {
        assert_eq!(rest["result"][name], anew["result"][name], "{name}");
    }
    // What is over can be forgotten.
    assert_eq!(gateway.admin_call("DELETE", &path).status(), 200);
    assert_eq!(gateway.admin_call("GET", &path).status(), 404);
}
