//! Words of callers in labels, logs and headers: they neither forge nor multiply anything.

use crate::support::{Answer, Client, Gateway, Process, wait_for};
use std::collections::BTreeSet;
use std::fmt::Write;

const CANNED: &str = "[providers.paused]\ndialect = \"canned\"\nanswer = \"later\"\n\n\
                      [[routes]]\nname = \"all\"\ntargets = [{ provider = \"paused\" }]\n";

fn ask(client: &mut Client, model: &str, fields: &[(&str, &str)]) -> Answer {
    let all = [&[("content-type", "application/json")], fields].concat();
    let body = serde_json::json!({ "model": model, "messages": [] }).to_string();
    client.request("POST", "/v1/chat/completions", &all, body.as_bytes()).answer()
}

/// Models, agents, sessions, apps and request ids, each of them new: no series for any of them.
#[test]
fn d3_35_thousands_of_names_make_no_series() {
    let gateway = Gateway::start(CANNED);
    let mut client = Client::connect(gateway.data);
    assert_eq!(ask(&mut client, "m", &[]).status(), 200);
    gateway.wait_idle();
    let series = || -> BTreeSet<String> {
        let text = gateway.metrics();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    // Workers tell of their targets once in a while.
    wait_for("the target", || gateway.metrics().contains("firedoor_circuit_state{").then_some(()));
    let (before, sets) = (series(), gateway.metric("firedoor_label_sets", ""));
    for number in 0..3_000 {
        let (model, agent) = (format!("model-{number}"), format!("agent-{number}"));
        let fields = [
            ("x-firedoor-agent", &*agent),
            ("x-firedoor-session", &agent),
            ("x-firedoor-app", &agent),
            ("x-request-id", &agent),
            ("user-agent", &agent),
        ];
        assert_eq!(ask(&mut client, &model, &fields).status(), 200);
    }
    gateway.wait_idle();
    let text = gateway.metrics();
    assert!(!text.contains("model-") && !text.contains("agent-"), "{text}");
    assert_eq!(gateway.metric("firedoor_exchanges_total", ""), 3_001);
    let now = series();
    let more: Vec<&String> = now.difference(&before).collect();
    assert!(more.is_empty(), "{more:?}");
    assert_eq!(gateway.metric("firedoor_label_sets", ""), sets);
    assert!(sets < 10, "{sets}");
}

/// Names of a mebibyte are cut before they are kept.
#[test]
fn d3_35_long_names_are_not_kept() {
    // The record, which keeps requests whole, has bounds of its own.
    let gateway = Gateway::start(&format!("{CANNED}capture = \"off\"\n"));
    let mut client = Client::connect(gateway.data);
    let long = "m".repeat(1 << 20);
    assert_eq!(ask(&mut client, &long, &[]).status(), 200);
    let before = gateway.process.memory_bytes();
    for _ in 0..48 {
        assert_eq!(ask(&mut client, &long, &[]).status(), 200);
    }
    let grown = gateway.process.memory_bytes().saturating_sub(before) >> 20;
    assert!(grown < 16, "{grown} MiB for 48 exchanges");
    for record in gateway.exchanges() {
        assert!(record.to_string().len() < 4 << 10);
    }
}

/// Line ends and terminal escapes in everything that a caller names.
#[test]
fn d3_35_control_characters_forge_nothing() {
    let gateway = Gateway::start_with(CANNED, &[("RUST_LOG", "trace")]);
    let hostile = "m\nfiredoor_evil 1\r\n\u{1b}[2J\u{9b}31m\u{202e}x\"} 1";
    let encoded = hostile.bytes().fold(String::new(), |mut text, byte| {
        write!(text, "%{byte:02x}").unwrap();
        text
    });
    let baggage = format!("gen_ai.agent.id={encoded},session.id={encoded}");
    let mut client = Client::connect(gateway.data);
    let fields = [("baggage", &*baggage), ("x-request-id", "a\tb")];
    let answer = ask(&mut client, hostile, &fields);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    // Of a model that nobody serves it is told, too.
    let unknown = "[providers.paused]\ndialect = \"canned\"\nanswer = \"later\"\n\n[[routes]]\n\
                   name = \"one\"\nmatch = { model = \"one\" }\ntargets = [{ provider = \"paused\" }]\n";
    gateway.write_config(unknown);
    assert_eq!(gateway.admin_call("POST", "/api/v1/reload").status(), 200);
    let refused = ask(&mut client, hostile, &fields);
    assert_eq!(refused.status(), 404, "{}", refused.text());
    for head in [&answer.head.raw, &refused.head.raw] {
        let text = String::from_utf8_lossy(head);
        assert!(!text.contains("evil"), "{text}");
    }
    gateway.wait_idle();
    // The log is written before that, but read by another thread.
    let log = wait_for("both requests in the log, the name escaped", || {
        let log = gateway.process.stderr.text();
        let told =
            |answer: &Answer| log.contains(answer.head.field("x-firedoor-exchange").unwrap());
        (told(&answer) && told(&refused) && log.contains("firedoor_evil")).then_some(log)
    });
    for line in log.lines() {
        assert!(!line.starts_with("firedoor_evil"), "a forged line: {line:?}");
        assert!(!line.contains(['\u{1b}', '\u{9b}', '\r', '\u{202e}']), "{line:?}");
    }
    assert!(!gateway.metrics().contains("evil"));
    for record in gateway.exchanges() {
        for name in ["agent", "session", "model_asked", "request"] {
            let text = record[name].as_str().unwrap_or("");
            assert!(!text.contains(char::is_control), "{name}: {text:?}");
        }
    }
}

/// Names of the file become labels and headers: the file takes plain ones only.
#[test]
fn d3_35_names_of_the_file_are_plain() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.toml");
    for name in ["a\\nb", "a\\\"} 1", "a b", "", "\\u001b[2J"] {
        for table in [
            format!("[apps.\"{name}\"]\nkey_sha256 = [\"{}\"]\n", "0".repeat(64)),
            format!("[providers.\"{name}\"]\ndialect = \"simulated\"\n"),
            format!(
                "[providers.sim]\ndialect = \"simulated\"\n[[routes]]\nname = \"{name}\"\n\
                 targets = [{{ provider = \"sim\" }}]\n"
            ),
        ] {
            std::fs::write(&file, &table).unwrap();
            let arguments = ["check", "--config", file.to_str().unwrap()];
            let mut check = Process::firedoor(&arguments, &[]);
            assert!(!check.wait().success(), "{table}");
        }
    }
}
