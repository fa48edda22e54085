//! Containment from a shell, and the API's doors: commands, exit codes, roles, hostile input.

use super::hand::{ask, assert_refused, hex, history, kill, standing, wait_open};
use super::provider::Provider;
use crate::support::{Answer, CASES, Client, Gateway, MockServer, Process, routes_to, wait_for};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Runs a command against a gateway; gives its exit code, stdout and stderr.
pub fn command(gateway: &Gateway, arguments: &[&str]) -> (i32, String, String) {
    let config = gateway.config();
    run(&[&["--config", config.to_str().unwrap()], arguments].concat())
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut process = Process::firedoor(arguments, &[("FIREDOOR_AUTHOR", "alice")]);
    let code = process.wait().code().unwrap();
    (code, process.stdout.whole(), process.stderr.whole())
}

fn json_of(gateway: &Gateway, arguments: &[&str]) -> Value {
    let (code, out, err) = command(gateway, &[arguments, &["--output", "json"]].concat());
    assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
}

fn human(gateway: &Gateway, arguments: &[&str]) -> String {
    let (code, out, err) = command(gateway, &[arguments, &["--output", "human"]].concat());
    assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    out
}

#[test]
fn levers_are_pulled_listed_extended_and_lifted_from_a_shell() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    assert_eq!(human(&gateway, &["levers"]).trim(), "no lever is in force");
    let proof = json_of(
        &gateway,
        &[
            "kill",
            "provider:oai+session:bad",
            "--reason",
            "leak \"x\"",
            "--ttl",
            "1h",
            "--incident",
            "INC-7",
        ],
    );
    let lever = super::hand::id(&proof);
    let fields = [("x-firedoor-session", "bad")];
    let answer = ask(&gateway, &CASES[0], "m", &fields, true).answer();
    assert_refused(&gateway, Some(CASES[0].dialect), &answer, &lever);
    let said = human(
        &gateway,
        &["reroute", "provider:ant", "--to", "ant/other", "--to", "ant", "--reason", "slow"],
    );
    let reroute = said.split_whitespace().next().unwrap().to_owned();
    assert!(said.contains("reroute provider:ant") && said.contains("in force at table"), "{said}");

    let listed = human(&gateway, &["levers"]);
    for word in [
        &*lever,
        "kill provider:oai+session:bad",
        "alice: leak \"x\"",
        "1 refused",
        &*reroute,
        "-> ant/other, ant",
        "until lifted",
    ] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    let items = json_of(&gateway, &["levers"])["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 2, "{items}");
    let exported: toml::Value =
        toml::from_str(&command(&gateway, &["levers", "--toml"]).1).unwrap();
    let exported = exported["lever"].as_array().unwrap();
    assert_eq!(exported[0]["scope"].as_str(), Some("provider:oai+session:bad"));
    assert_eq!(exported[0]["reason"].as_str(), Some("leak \"x\""));
    assert_eq!(exported[1]["to"].as_array().unwrap().len(), 2);
    let screen = human(&gateway, &["top", "--count", "1"]);
    assert!(screen.contains("0 exchanges open, 2 levers in force"), "{screen}");
    let top = json_of(&gateway, &["top", "--count", "1"]);
    assert_eq!(
        (&top["live"]["exchanges"], top["levers"].as_array().unwrap().len()),
        (&json!(0), 2)
    );

    let said = human(&gateway, &["extend", &lever, "--ttl", "2h", "--reason", "longer"]);
    assert!(said.contains("7200 s from now"), "{said}");
    assert!(standing(&gateway, &lever)["remaining_s"].as_f64().unwrap() > 7_000.0);
    human(&gateway, &["extend", &lever, "--for-good", "--reason", "longer"]);
    assert!(standing(&gateway, &lever)["remaining_s"].is_null());

    // By a scope, in any order of its terms; and by an id.
    let said = human(&gateway, &["lift", "session:bad+provider:oai", "--reason", "over"]);
    assert!(said.contains(&lever), "{said}");
    assert_eq!(ask(&gateway, &CASES[0], "m", &fields, false).answer().status(), 200);
    human(&gateway, &["lift", &reroute, "--reason", "over"]);
    assert_eq!(human(&gateway, &["levers"]).trim(), "no lever is in force");
    let told = human(&gateway, &["levers", "--history"]);
    for word in ["pull", "extend", "lift", "alice"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let told = json_of(&gateway, &["levers", "--history"]);
    assert_eq!(told["items"].as_array().unwrap().len(), 6, "{told}");
    assert_eq!(told["items"][0]["ticket"], "INC-7", "{told}");
}

#[test]
fn exit_codes_say_what_came_of_it() {
    let mut gateway = Gateway::start(&routes_to("http://127.0.0.1:9", ""));
    for (arguments, expected, word) in [
        (&["kill", "everything", "--reason", "r"][..], 2, "provider:"),
        (&["kill", "all"][..], 2, "--reason"),
        (&["kill", "all", "--reason", "r", "--ttl", "soon"][..], 2, "30m"),
        (&["kill", "all", "--reason", "r", "--in-flight", "finish"][..], 2, "drain"),
        (&["reroute", "all", "--reason", "r"][..], 2, "--to"),
        (&["reroute", "all", "--reason", "r", "--to", "oia"][..], 1, "no such target"),
        (&["lift", "all", "--reason", "r"][..], 1, "no lever"),
        (&["lift", "neither", "--reason", "r"][..], 2, "no lever's id"),
        (&["lift", "lv_00000000000000000000000000000000", "--reason", "r"][..], 1, ""),
        (&["lift", "lv_short", "--reason", "r"][..], 1, "32 digits"),
        (
            &["extend", "lv_00000000000000000000000000000000", "--ttl", "1m", "--reason", "r"][..],
            1,
            "",
        ),
        (&["extend", "x", "--reason", "r"][..], 2, "--ttl"),
        (&["kill", "session:dry", "--dry-run"][..], 0, ""),
        (&["kill", "provider:oia", "--reason", "r"][..], 0, "no provider here is called `oia`"),
    ] {
        let (code, out, err) = command(&gateway, arguments);
        assert_eq!(code, expected, "{arguments:?}: {out}{err}");
        assert!(err.contains(word), "{arguments:?}: {word}: {err}");
    }
    assert_eq!(history(&gateway).len(), 1, "only the last one pulled");
    gateway.process.kill();
    for arguments in
        [&["kill", "all", "--reason", "r"][..], &["levers"][..], &["top"][..], &["tap"][..]]
    {
        let (code, _, err) = command(&gateway, arguments);
        assert_eq!(code, 69, "{arguments:?}: {err}");
    }
}

#[test]
fn the_socket_works_where_the_tcp_admin_is_off() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("routes.toml");
    let text = "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\ndata_dir = \"data\"\n";
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let serving = Process::firedoor(&["serve", "--config", config], &[]);
    serving.stderr.find("that it is ready", |line| line.contains("ready in")).unwrap();
    let (code, out, err) = run(&["--config", config, "kill", "all", "--reason", "r"]);
    assert_eq!(code, 0, "{out}{err}");
    let listen = std::fs::read_to_string(folder.path().join("data/listen.json")).unwrap();
    let listen: Value = serde_json::from_str(&listen).unwrap();
    let data: SocketAddr = listen["data"][0].as_str().unwrap().parse().unwrap();
    let answer =
        crate::support::post(data, "/v1/chat/completions", &[], r#"{"model":"firedoor-sim"}"#);
    assert_eq!(answer.head.field("x-firedoor-action"), Some("kill"), "{}", answer.text());
}

#[test]
fn a_dry_run_tells_what_the_pull_then_does() {
    let provider = Provider::start();
    let gateway = Gateway::start(&routes_to(&provider.url(), ""));
    let mut open = Vec::new();
    for number in 0..40 {
        let case = &CASES[number % CASES.len()];
        let session = format!("s-{number}");
        let agent = ["crawler", "writer"][number / 4 % 2];
        let fields =
            [("x-play", "idle"), ("x-firedoor-session", &*session), ("x-firedoor-agent", agent)];
        let mut client = ask(&gateway, case, "m", &fields, true);
        assert_eq!(client.head().status, 200);
        open.push(client);
    }
    wait_open(&gateway, open.len());
    let mut left = open.len();
    for scope in
        ["session:s-1*", "provider:ant+agent:crawler", "agent:writer", "provider:nobody", "all"]
    {
        let told = json_of(&gateway, &["kill", scope, "--dry-run"]);
        let live = &told["live"]["exchanges"];
        let count = usize::try_from(live.as_u64().unwrap()).unwrap();
        let proof = json_of(&gateway, &["kill", scope, "--reason", "r"]);
        super::hand::assert_ordered(&gateway, &proof, count, &format!("{scope}: {told}"));
        assert_eq!(count == 0, scope == "provider:nobody", "{scope}: {told}");
        left -= count;
        wait_open(&gateway, left);
        let (code, _, err) = command(&gateway, &["lift", scope, "--reason", "r"]);
        assert_eq!(code, 0, "{err}");
    }
    assert_eq!(left, 0);
}

/// What a limit or a filter would reach is told by the command and by the API alike; nobody notices.
#[test]
fn a_dry_run_of_a_limit_or_a_filter_pulls_nothing() {
    let provider = Provider::start();
    let gateway = Gateway::start(&routes_to(&provider.url(), ""));
    let fields = |play| [("x-play", play), ("x-firedoor-agent", "crawler")];
    let open: Vec<Client> = CASES[..3]
        .iter()
        .map(|case| {
            let mut client = ask(&gateway, case, "m", &fields("idle"), true);
            assert_eq!(client.head().status, 200);
            client
        })
        .collect();
    wait_open(&gateway, open.len());
    let scope = "agent:crawler";
    let rules = "pack = \"lever\"\n[[rule]]\nid = \"rule\"\nchannels = [\"answer\"]\n\
                 match = { words = [\"token\"] }\naction = \"cut\"\non_error = \"cut\"\n";
    for (arguments, mut order) in [
        (
            &["limit", scope, "--max", "requests_per_minute=0"][..],
            json!({ "kind": "limit", "limits": { "requests_per_minute": 0 } }),
        ),
        (
            &["filter", scope, "--words", "token", "--action", "cut"],
            json!({ "kind": "filter", "rules": rules }),
        ),
        (
            &["filter", scope, "--pack", "secrets"],
            json!({ "kind": "filter", "packs": ["secrets"] }),
        ),
    ] {
        order["scope"] = json!(scope);
        let arguments = [arguments, &["--dry-run"]].concat();
        let told = json_of(&gateway, &arguments);
        assert_eq!((&told["kind"], &told["scope"]), (&order["kind"], &order["scope"]), "{told}");
        let live = json!({ "exchanges": 3, "sessions": told["live"]["sessions"], "apps": [],
            "agents": ["crawler"], "routes": ["ant", "oai"] });
        assert_eq!((&told["live"], &told["routes"]), (&live, &json!([])), "{told}");
        let said = human(&gateway, &arguments);
        assert!(said.contains("agent:crawler would reach now: 3 exchanges"), "{said}");
        let answer = gateway.admin_send("POST", "/api/v1/levers/dry-run", &order);
        assert_eq!((answer.status(), &answer.json()["live"]), (200, &live), "{}", answer.text());
        // The other way to ask for it is none, and no pull either.
        order["reason"] = json!("r");
        order["author"] = json!("a");
        let answer = gateway.admin_send("POST", "/api/v1/levers?dry_run=true", &order);
        assert_eq!(answer.status(), 400, "{}", answer.text());
        assert!(answer.text().contains("no query parameters"), "{}", answer.text());
    }
    for wrong in [&["--words", ""][..], &["--regex", "("], &["--pack", "nobody"]] {
        let arguments = [&["filter", scope, "--dry-run"], wrong].concat();
        let (code, out, err) = command(&gateway, &arguments);
        assert_eq!(code, 1, "{arguments:?}: {out}{err}");
    }
    assert!(history(&gateway).is_empty(), "nothing was pulled");
    assert_eq!(gateway.admin_json("/api/v1/levers")["items"], json!([]));
    wait_open(&gateway, open.len());
    let answer = ask(&gateway, &CASES[0], "m", &fields("none"), true).answer();
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

#[test]
fn the_tap_tells_of_levers_and_of_whom_they_refuse() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let config = gateway.config();
    let arguments = ["--config", config.to_str().unwrap(), "tap", "--output", "json"];
    let tap = Process::firedoor(&arguments, &[]);
    tap.stdout.find("the greeting", |line| line.contains("hello")).unwrap();
    let lever = kill(&gateway, "session:s");
    let line = tap.stdout.find("the pull", |line| line.contains("\"lever\"")).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&told["change"], &told["lever"]["id"]), (&json!("pull"), &json!(lever)), "{told}");
    ask(&gateway, &CASES[0], "m", &[("x-firedoor-session", "s")], true).answer();
    let line = tap.stdout.find("the exchange", |line| line.contains("\"refused\"")).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&told["event"], &told["lever"]), (&json!("exchange"), &json!(lever)), "{told}");
}

/// More changes than one page of the API holds.
#[test]
fn the_history_is_told_to_its_end() {
    let gateway = Gateway::start(&routes_to("http://127.0.0.1:9", ""));
    for _ in 0..255 {
        let lever = kill(&gateway, "session:s");
        super::hand::lift(&gateway, &lever);
    }
    let last = kill(&gateway, "session:last");
    let told = json_of(&gateway, &["levers", "--history"]);
    assert_eq!(told["items"].as_array().unwrap().len(), 511);
    let told = human(&gateway, &["levers", "--history"]);
    assert!(told.contains(&last), "{}", told.lines().count());
}

/// A call of the API over TCP with a token.
fn call(gateway: &Gateway, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", &*bearer), ("content-type", "application/json")];
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut client = Client::connect(gateway.admin);
    let host = gateway.admin.to_string();
    let lines: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let lines = lines.concat();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{lines}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.send(head.as_bytes()).answer()
}

#[test]
fn roles_decide_who_may_pull() {
    let gateway = Gateway::start(&routes_to("http://127.0.0.1:9", ""));
    let file = gateway.data_dir().join("tokens.json");
    let text = wait_for("the tokens", || std::fs::read_to_string(&file).ok());
    let mut tokens: Value = serde_json::from_str(&text).unwrap();
    for role in ["viewer", "responder"] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, role.as_bytes());
        let hex = hex(digest.as_ref());
        tokens["tokens"].as_array_mut().unwrap().push(
            json!({ "name": format!("{role}-on-call"), "role": role, "sha256": hex, "created": "2026-01-01T00:00:00Z" }),
        );
    }
    std::fs::write(&file, tokens.to_string()).unwrap();
    gateway.admin_call("POST", "/api/v1/reload");
    let order = json!({ "kind": "kill", "scope": "all", "reason": "r" });
    let levers = "/api/v1/levers";
    let post =
        |token: &str, path: &str, body: &Value| call(&gateway, token, "POST", path, Some(body));
    for token in ["viewer", "responder"] {
        for path in [levers, "/api/v1/levers/history", "/api/v1/live"] {
            assert_eq!(call(&gateway, token, "GET", path, None).status(), 200, "{token} {path}");
        }
        assert_eq!(post(token, "/api/v1/levers/dry-run", &order).status(), 200, "{token}");
    }
    assert_eq!(post("nobody", levers, &order).status(), 401);
    assert_eq!(post("viewer", levers, &order).status(), 403);
    let pulled = post("responder", levers, &order);
    assert_eq!(pulled.status(), 201, "{}", pulled.text());
    let path = format!("{levers}/{}", super::hand::id(&pulled.json()));
    let why = json!({ "reason": "r" });
    assert_eq!(call(&gateway, "viewer", "DELETE", &path, Some(&why)).status(), 403);
    assert_eq!(post("viewer", &format!("{path}/extend"), &why).status(), 403);
    assert_eq!(post("responder", &format!("{path}/extend"), &why).status(), 200);
    let mut named = why.clone();
    named["author"] = json!("bob");
    assert_eq!(call(&gateway, "responder", "DELETE", &path, Some(&named)).status(), 200);
    let told = history(&gateway);
    let who: Vec<&Value> = told.iter().map(|change| &change["who"]).collect();
    let token = "responder-on-call";
    assert_eq!(who, [token, token, &format!("bob (token {token})")], "{told:?}");
    assert!(told.iter().all(|change| change["role"] == "responder" && change["by"] == "api"));
}

#[test]
fn hostile_input_gets_a_clear_error_and_pulls_nothing() {
    let gateway = Gateway::start(&routes_to("http://127.0.0.1:9", ""));
    let good = json!({ "kind": "kill", "scope": "session:s", "reason": "r", "author": "a" });
    let with = |name: &str, value: Value| {
        let mut order = good.clone();
        order[name] = value;
        order
    };
    let without = |name: &str| {
        let mut order = good.clone();
        order.as_object_mut().unwrap().remove(name);
        order
    };
    let long = "x".repeat(1_001);
    let orders = [
        with("scope", json!("")),
        with("scope", json!("everything")),
        with("scope", json!("model:")),
        with("scope", json!("model:a+model:b")),
        with("scope", json!("app:a\u{7}b")),
        with("scope", json!(format!("app:{}", "x".repeat(201)))),
        with("scope", json!("session:s\n+all")),
        with("scope", json!(7)),
        with("scope", json!(["all"])),
        without("scope"),
        with("reason", json!("")),
        with("reason", json!(" \n ")),
        with("reason", json!("a\u{1b}[31m")),
        with("reason", json!(long)),
        without("reason"),
        without("author"),
        with("author", json!("a\rb")),
        with("message", json!("a\u{0}b")),
        with("message", json!(long)),
        with("incident", json!(long)),
        with("ttl_s", json!(0)),
        with("ttl_s", json!(-1)),
        with("ttl_s", json!(1.5)),
        with("ttl_s", json!("1h")),
        with("ttl_s", json!(u64::MAX)),
        with("ttl_s", json!(31_622_401)),
        with("kind", json!("explode")),
        with("kind", json!("filter")),
        without("kind"),
        with("to", json!(["oai"])),
        with("in_flight", json!("finish")),
        with("unknown", json!(1)),
        json!({ "kind": "reroute", "scope": "all", "reason": "r", "author": "a" }),
        json!({ "kind": "reroute", "scope": "all", "reason": "r", "author": "a", "to": [] }),
        json!({ "kind": "reroute", "scope": "all", "reason": "r", "author": "a", "to": ["nobody"] }),
        json!({ "kind": "reroute", "scope": "all", "reason": "r", "author": "a", "to": ["oai/"] }),
        json!({ "kind": "reroute", "scope": "all", "reason": "r", "author": "a", "to": ["oai/a\u{0}"] }),
        json!({ "kind": "reroute", "scope": "all", "reason": "r", "author": "a", "to": ["oai/a\n"] }),
        json!({ "kind": "reroute", "scope": "tool:x", "reason": "r", "author": "a", "to": ["oai"] }),
        json!([]),
        json!("all"),
        json!(null),
    ];
    for order in orders {
        let answer = gateway.admin_send("POST", "/api/v1/levers", &order);
        assert_eq!(answer.status(), 400, "{order}: {}", answer.text());
        let problem = answer.json();
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        assert!(!answer.text().contains('\u{1b}'), "{problem}");
    }
    let huge = with("reason", json!("x".repeat(1 << 20)));
    let answer = gateway.admin_send("POST", "/api/v1/levers", &huge);
    assert_eq!(answer.status(), 413, "{}", answer.text());
    let deep = format!("{{\"kind\":{}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let folder = gateway.data_dir();
    let send = |path: &str, fields: &[(&str, &str)], body: &str| {
        crate::support::admin_send(&folder, "POST", path, fields, Some(body)).unwrap().status()
    };
    for body in [&deep, "{", "\u{0}", "{\"kind\":\"kill\",\"kind\":\"kill\"}"] {
        assert_eq!(send("/api/v1/levers", &[], body), 400, "{body:.40}");
    }
    let key = "k".repeat(201);
    assert_eq!(send("/api/v1/levers", &[("idempotency-key", &key)], &good.to_string()), 400);
    for path in
        ["/api/v1/levers/x/extend", "/api/v1/levers/lv_%00/extend", "/api/v1/levers/lv_xyz/extend"]
    {
        assert_eq!(send(path, &[], "{\"reason\":\"r\",\"author\":\"a\"}"), 400, "{path}");
    }
    for path in ["?after=x", "?limit=-1", "?nothing=1", "?after=99999999999999999999"] {
        let path = format!("/api/v1/levers/history{path}");
        assert_eq!(gateway.admin_call("GET", &path).status(), 400, "{path}");
    }
    assert!(history(&gateway).is_empty(), "nothing was pulled");
    assert_eq!(gateway.admin_json("/api/v1/levers")["items"], json!([]));
}
