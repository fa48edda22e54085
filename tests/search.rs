//! Recorded sessions of a running gateway: searched, shown, exported, by commands and by the API.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

#[path = "search/scan.rs"]
mod scan;
mod support;

use firedoor::wire::Dialect;
use serde_json::{Value, json};
use std::path::Path;
use support::{Answer, Case, Gateway, Process, SIMULATED, post, wait_for};

fn ask(gateway: &Gateway, dialect: Dialect, session: &str, body: &Value) -> String {
    let target = Case { dialect, provider: "sim" }.target("m", false);
    let answer: Answer =
        post(gateway.data, &target, &[("x-firedoor-session", session)], &body.to_string());
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.head.field("x-firedoor-exchange").unwrap().to_owned()
}

fn chat(turns: &[(&str, &str)]) -> Value {
    let turn = |(role, text): &(&str, &str)| json!({ "role": role, "content": text });
    json!({ "model": "m", "messages": turns.iter().map(turn).collect::<Value>() })
}

/// Runs a command on a data folder; gives its exit code and what it said.
fn run(data: &Path, arguments: &[&str]) -> (i32, String, String) {
    let variables = [("FIREDOOR_DATA_DIR", data.to_str().unwrap())];
    let mut process = Process::firedoor(arguments, &variables);
    let status = process.wait();
    (status.code().unwrap(), process.stdout.whole(), process.stderr.whole())
}

fn found(data: &Path, filter: &[&str]) -> Value {
    let arguments = [&["session", "search"], filter, &["-o", "json"]].concat();
    let (code, out, said) = run(data, &arguments);
    assert_eq!(code, 0, "{said}");
    serde_json::from_str(&out).unwrap()
}

fn ids(found: &Value) -> Vec<&str> {
    found["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

/// Waits until the running gateway has indexed an exchange.
fn indexed(data: &Path, id: &str) {
    wait_for("the index", || {
        let (code, out, _) =
            run(data, &["session", "search", &format!("exchange:{id}"), "-o", "json"]);
        (code == 0 && out.contains(id) && !out.contains("under_way")).then_some(())
    });
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[test]
fn sessions_are_found_shown_and_exported() {
    let mut gateway = Gateway::start(SIMULATED);
    let data = gateway.data_dir();
    let system = ("system", "Be kind.");
    let first =
        ask(&gateway, Dialect::OpenaiChat, "one", &chat(&[system, ("user", "a lost parcel")]));
    let second = ask(
        &gateway,
        Dialect::OpenaiChat,
        "one",
        &chat(&[
            system,
            ("user", "a lost parcel"),
            ("assistant", "hm"),
            ("user", "```now\u{1b}[31m what```"),
        ]),
    );
    // An exchange may end after its client has the answer, and the one that ended last is first.
    indexed(&data, &second);
    let other = ask(
        &gateway,
        Dialect::Anthropic,
        "two",
        &json!({ "model": "m", "max_tokens": 9,
        "messages": [{ "role": "user", "content": [{ "type": "document", "source":
            { "type": "text", "media_type": "text/plain", "data": "the retrieved page" } }] }] }),
    );
    indexed(&data, &other);

    let list = run(&data, &["session", "ls", "-o", "json"]).1;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!((&list["items"][0]["id"], &list["items"][1]["id"]), (&json!("two"), &json!("one")));
    assert_eq!(list["items"][1]["exchanges"], 2);
    assert_eq!(ids(&found(&data, &["lost parcel"])), [&*first], "history is not found again");
    assert_eq!(ids(&found(&data, &["document:retrieved"])), [&*other]);
    assert_eq!(ids(&found(&data, &["-session:two", "-lost parcel"])), [&*second]);
    assert_eq!(ids(&found(&data, &["-outcome:completed"])), [""; 0]);
    let hit = found(&data, &["session:one parcel since:1h"]);
    let pieces = hit["items"][0]["snippets"][0]["pieces"].as_array().unwrap();
    assert!(pieces.iter().any(|piece| piece["match"] == true && piece["text"] == "parcel"));

    let (code, text, _) = run(&data, &["session", "show", "one", "-o", "human"]);
    assert_eq!(code, 0);
    assert_eq!(text.matches("a lost parcel").count(), 1, "each turn stands once:\n{text}");
    assert_eq!(text.matches("Be kind.").count(), 1);
    assert!(!text.contains('\u{1b}'), "what a text has of control characters is not printed");
    let (code, _, said) = run(&data, &["session", "show", "nobody"]);
    assert_eq!(code, 1);
    assert!(said.contains("firedoor session ls"), "{said}");
    let (code, _, said) = run(&data, &["session", "search", "staus:200"]);
    assert_eq!(code, 2);
    assert!(said.contains("did you mean `status:`") && said.contains("^^^^^"), "{said}");

    // All of it works when the gateway is down.
    gateway.process.terminate();
    assert!(gateway.process.wait().success());
    let lines = run(&data, &["session", "export", "one"]).1;
    let turns: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(turns.len(), 2);
    assert_eq!(turns[1]["asked"].as_array().unwrap().len(), 1);
    assert!(turns.iter().all(|turn| turn["whole"] == true));
    let har = run(&data, &["session", "export", "one", "--format", "har"]).1;
    let har: Value = serde_json::from_str(&har).unwrap();
    let entries = har["log"]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let sent = entries[0]["request"]["postData"]["text"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(sent).unwrap()["messages"][1]["content"],
        "a lost parcel"
    );
    assert_eq!(entries[0]["response"]["status"], 200);
    let markdown = run(&data, &["session", "export", "one", "--format", "markdown"]).1;
    assert!(markdown.contains("````text\n```now"), "{markdown}");

    // The index is derived.
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("index.db{end}")));
    }
    let (code, _, said) = run(&data, &["session", "ls"]);
    assert_eq!(code, 1);
    assert!(said.contains("firedoor evidence reindex"), "{said}");
    let (code, _, said) = run(&data, &["session", "search", "parcel"]);
    assert!(code == 1 && said.contains("--scan"), "{said}");
    let read = found(&data, &["parcel", "--scan"]);
    assert_eq!(ids(&read), [&*first]);
    let (code, out, said) = run(&data, &["evidence", "reindex", "-o", "json"]);
    assert_eq!(
        (code, serde_json::from_str::<Value>(&out).unwrap()["exchanges"].clone()),
        (0, json!(3)),
        "{said}"
    );
    assert_eq!(ids(&found(&data, &["parcel"])), [&*first]);
    assert_eq!(run(&data, &["evidence", "reindex", "--anew"]).0, 0);
    assert_eq!(ids(&found(&data, &["parcel"])), [&*first]);
    let (code, _, said) = run(Path::new("/nowhere"), &["session", "ls"]);
    assert_eq!(code, 1);
    assert!(said.contains("no evidence in /nowhere"), "{said}");
}

/// What an application retrieved and attached to its session before it asks.
#[test]
fn documents_of_a_session_are_found_with_its_next_exchange() {
    let gateway = Gateway::start(SIMULATED);
    let data = gateway.data_dir();
    let context = json!({ "session": "three", "documents": [
        { "source": "kb/refunds.md", "text": "a refund takes nine days" }] });
    let taken = post(gateway.data, "/v1/context", &[], &context.to_string());
    assert_eq!(taken.status(), 202, "{}", taken.text());
    let id = ask(&gateway, Dialect::OpenaiChat, "three", &chat(&[("user", "when?")]));
    indexed(&data, &id);
    wait_for("the gateway's own index to have it", || {
        let metrics = gateway.admin_call("GET", "/metrics").text();
        let has = |line: &str| metrics.lines().any(|other| other == line);
        (has("firedoor_index_exchanges_total 1")
            && has("firedoor_index_up 1")
            && has("firedoor_index_caught_up 1")
            && has("firedoor_index_contexts_given_up_total 0")
            && has("firedoor_index_failures_total 0")
            && !has("firedoor_index_text_bytes_total 0"))
        .then_some(())
    });
    assert_eq!(ids(&found(&data, &["document:\"nine days\""])), [&*id]);
    let (code, text, _) = run(&data, &["session", "show", "three", "-o", "human"]);
    assert!(code == 0 && text.contains("a refund takes nine days"), "{text}");
    let later = json!({ "exchange": id, "documents": [
        { "source": "kb/late.md", "text": "```\n# a heading\u{1b}[31m" }] });
    let taken = post(gateway.data, "/v1/context", &[], &later.to_string());
    assert_eq!(taken.status(), 202, "{}", taken.text());
    let transcript = wait_for("the transcript to have both", || {
        let (code, text, said) =
            run(&data, &["session", "export", "three", "--format", "markdown"]);
        assert_eq!(code, 0, "{said}");
        text.contains("kb/late.md").then_some(text)
    });
    for words in
        ["**document** (attached (`context`))", "kb/refunds.md", "a refund takes nine days"]
    {
        assert!(transcript.contains(words), "{words} in {transcript}");
    }
    // What others wrote is in a block that nothing in it ends.
    let heading = |line: &&str| line.starts_with('#');
    assert_eq!(transcript.lines().filter(heading).count(), 2, "{transcript}");
    assert!(transcript.contains("\n````text\n") && !transcript.contains('\u{1b}'), "{transcript}");
    let hit = found(&data, &["refund"]);
    let pieces = hit["items"][0]["snippets"][0]["pieces"].as_array().unwrap();
    assert!(pieces.iter().any(|piece| piece["match"] == true && piece["text"] == "refund"));
}

#[test]
fn the_api_lists_for_viewers_and_reads_for_responders() {
    let gateway = Gateway::start(SIMULATED);
    let id = ask(&gateway, Dialect::OpenaiChat, "a/b", &chat(&[("user", "a lost parcel")]));
    indexed(&gateway.data_dir(), &id);
    let get = |path: &str| gateway.admin_call("GET", path);
    let list = get("/api/v1/sessions?filter=status%3A200");
    assert_eq!(list.status(), 200, "{}", list.text());
    assert_eq!(list.json()["items"][0]["id"], "a/b");
    let show = get(&format!("/api/v1/sessions/{}", escaped("a/b")));
    assert_eq!(show.json()["turns"][0]["asked"][0]["text"], "a lost parcel", "{}", show.text());
    let hits = get("/api/v1/search?q=parcel&limit=5");
    assert_eq!(hits.json()["items"][0]["id"], id);
    assert_eq!(hits.json()["next"], Value::Null);
    let wrong = get("/api/v1/search?q=staus%3A1");
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().contains("status:"), "{}", wrong.text());
    let record = get(&format!("/api/v1/exchanges/{id}/record"));
    let lines: Vec<Value> =
        record.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["kind"], "open");
    assert_eq!(lines[lines.len() - 1]["kind"], "close");
    assert!(lines.iter().all(|line| line["exchange"] == id && line["chain"].is_string()));
    assert_eq!(get("/api/v1/sessions/none").status(), 404);
    assert_eq!(get(&format!("/api/v1/exchanges/x_{}/record", "0".repeat(32))).status(), 404);
}
