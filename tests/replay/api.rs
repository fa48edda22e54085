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

/// A gateway with some settings more, and what [`traffic`] leaves in its record.
fn traffic_on_record(settings: &str) -> (Gateway, tempfile::TempDir) {
    let filters = tempfile::tempdir().unwrap();
    std::fs::write(filters.path().join("markers.toml"), PACK).unwrap();
    let gateway =
        Gateway::start(&(settings.to_owned() + &routes(&provider().url(), filters.path())));
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
    let (mut gateway, filters) = traffic_on_record("");
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
    let (gateway, _filters) = traffic_on_record("");
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

/// Words of which no two kilobytes are alike, so that a record of them has some size on disk.
fn noise(of: u64) -> String {
    let mut state = of.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let word = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x} ")
    };
    (0..12_000).map(word).collect()
}

/// One at a time; one that is ended goes on later to what a whole one says.
#[test]
fn one_runs_at_a_time_and_can_be_ended_and_gone_on_with() {
    let (gateway, _filters) = traffic_on_record("[evidence]\nsegment_mb = 1\n\n");
    let asked = json!({ "packs": ["markers"], "author": "ann" });
    let mut exchanges = 9;
    // As much traffic as it takes for a run to last until it is ended.
    let (whole, ended) = loop {
        for at in 0..16 {
            let long = json!({ "role": "user", "content": noise(exchanges + at) + "MARK-U1" });
            let session = format!("long {exchanges} {at}");
            assert_eq!(ask(&gateway, "m", &session, &[long]).status(), 200);
        }
        exchanges += 16;
        wait_for_ends(&gateway, usize::try_from(exchanges).unwrap());
        let whole = start(&gateway, "/api/v1/backtests", &asked);
        let busy = gateway.admin_send("POST", "/api/v1/replays", &json!({ "author": "ann" }));
        let path = format!("/api/v1/backtests/{whole}");
        assert_eq!(gateway.admin_call("DELETE", &path).status(), 200);
        let run = over(&gateway, "/api/v1/backtests", &whole);
        if run["state"] == "ended" {
            assert_eq!(busy.status(), 503, "{}", busy.text());
            assert!(busy.text().contains(&whole), "{}", busy.text());
            break (whole, run);
        }
        assert!(exchanges < 300, "no run lasts: {run:#}");
        // It came to its end before it was asked to end: nothing is lost.
        assert_eq!((&run["state"], run["result"].is_object()), (&json!("done"), true), "{run:#}");
        if busy.status() == 202 {
            over(&gateway, "/api/v1/replays", busy.json()["id"].as_str().unwrap());
        }
    };
    assert!(ended["result"]["exchanges"].as_u64() < Some(exchanges), "{ended:#}");
    let more = json!({ "resume": whole, "samples": 1, "author": "ann" });
    let refused = gateway.admin_send("POST", "/api/v1/backtests", &more);
    assert_eq!(refused.status(), 400, "{}", refused.text());
    let resume = json!({ "resume": whole, "author": "ann" });
    let rest = start(&gateway, "/api/v1/backtests", &resume);
    let rest = over(&gateway, "/api/v1/backtests", &rest);
    assert_eq!(rest["state"], "done", "{rest:#}");
    let anew = start(&gateway, "/api/v1/backtests", &asked);
    let path = format!("/api/v1/backtests/{anew}");
    let anew = over(&gateway, "/api/v1/backtests", &anew);
    assert_eq!(rest["result"]["exchanges"], exchanges, "{rest:#}");
    for name in ["exchanges", "hit", "rules", "text_bytes"] {
        assert_eq!(rest["result"][name], anew["result"][name], "{name}");
    }
    // To end what is over changes nothing.
    assert_eq!(gateway.admin_call("DELETE", &path).status(), 200);
    assert_eq!(gateway.admin_json(&path), anew);
    let metrics = gateway.admin_call("GET", "/metrics").text();
    assert!(
        metrics.contains("firedoor_runs_total{kind=\"backtest\",state=\"ended\"} 1"),
        "{metrics}"
    );
}
