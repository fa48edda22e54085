//! `capture = "sealed"`: all that was said is on record, for who has the identity alone.

use crate::book;
use crate::redacted::{OTHER, RECIPIENT, SECRET, said, searched, teller, unsealed, with_identity};
use crate::support::{CASES, Gateway, MockServer, Process, post, routes_to, wait_for};
use serde_json::{Value, json};
use std::path::Path;

/// A word of what is retrieved.
const RETRIEVED: &str = "wombat";
/// Words of every prompt, and of every answer.
const ASKED: &str = "quokka";
const ANSWERED: &str = "as you asked";

fn start(to: &str) -> (MockServer, Gateway) {
    let mock = teller();
    let sealed = format!("capture = \"sealed\"\noriginals_to = [\"{to}\"]");
    // One route keeps everything; nothing here is for it.
    let other = "[[routes]]\nname = \"other\"\nmatch = { model = \"other\" }\n\
                 targets = [{ provider = \"oai\" }]\n";
    let routes = routes_to(&mock.url(), &sealed) + other;
    let gateway = Gateway::start(&("rules = [\"secrets\"]\n[server]\n".to_owned() + &routes));
    (mock, gateway)
}

/// Asks in every dialect, streamed and not; gives the ids, what was asked, and what the client got.
fn ask(gateway: &Gateway) -> Vec<(String, String, Vec<u8>)> {
    let mut all = Vec::new();
    for (case, stream) in CASES.iter().flat_map(|case| [(case, true), (case, false)]) {
        let body = case.body("m", &format!("my {ASKED}'s key is {SECRET}, keep it"), stream);
        let fields = [("content-type", "application/json")];
        let answer = post(gateway.data, &case.target("m", stream), &fields, &body);
        assert_eq!(answer.status(), 200, "{case:?}: {}", answer.text());
        let id = answer.head.field("x-firedoor-exchange").unwrap().to_owned();
        all.push((id, body, answer.body));
    }
    for (id, ..) in &all {
        closed(&gateway.data_dir(), id);
    }
    all
}

/// Waits for the end of an exchange.
fn closed(data: &Path, id: &str) -> Value {
    wait_for("the end of the exchange", || {
        let is_end = |line: &Value| line["kind"] == "close" && line["exchange"] == *id;
        book::whole_lines(data).into_iter().find(is_end)
    })
}

/// Whether a word stands in any file of a data folder, as it is or compressed.
fn is_anywhere(data: &Path, word: &str) -> bool {
    let has = |bytes: &[u8]| bytes.windows(word.len()).any(|part| part == word.as_bytes());
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).is_ok_and(|bytes| has(&bytes)) {
                return true;
            }
        }
    }
    book::lines(data).iter().any(|line| has(line.to_string().as_bytes()))
}

fn count(found: &Value) -> usize {
    found["items"].as_array().unwrap().len()
}

#[test]
fn what_is_sealed_is_read_by_its_recipients_alone() {
    let (_mock, gateway) = start(RECIPIENT);
    let data = gateway.data_dir();
    let all = ask(&gateway);
    // Documents of one of them, and of a session that asks next.
    let context = |of: &str, id: &str| {
        let context = json!({ of: id, "documents": [{ "text": format!("{RETRIEVED} for {of}") }] });
        let taken = post(gateway.data, "/v1/context", &[], &context.to_string());
        assert_eq!(taken.status(), 202, "{}", taken.text());
    };
    context("exchange", &all[0].0);
    context("session", "later");
    let body = CASES[0].body("m", "now", false);
    let fields = [("x-firedoor-session", "later")];
    let answer = post(gateway.data, &CASES[0].target("m", false), &fields, &body);
    let later = answer.head.field("x-firedoor-exchange").unwrap().to_owned();
    closed(&data, &later);
    // One that no route takes.
    let unrouted = json!({ "model": "none", "prompt": format!("a {ASKED}") }).to_string();
    let answer = post(gateway.data, "/v1/nowhere", &[], &unrouted);
    closed(&data, answer.head.field("x-firedoor-exchange").unwrap());
    let last = &later;
    wait_for("the index", || {
        let (_, found, _) = said(&gateway, &["session", "search", &format!("exchange:{last}")]);
        (found["items"][0]["outcome"] == "completed").then_some(())
    });
    for word in [ASKED, RETRIEVED, ANSWERED, "keep it", &SECRET[..20]] {
        assert!(!is_anywhere(&data, word), "{word}");
    }

    for (id, body, got) in &all {
        let (code, found, why) = unsealed(&gateway, id);
        assert_eq!(code, Some(0), "{why}");
        assert_eq!(found["request"]["text"], *body);
        let received = found["answers"][0]["text"].as_str().unwrap();
        assert!(received.contains(&SECRET[..20]), "{received}");
        assert_eq!(found["delivered"]["text"].as_str().unwrap().as_bytes(), got);
        assert_eq!((&found["closed"], &found["has_holes"]), (&json!(0), &json!(false)));
    }

    let by_names = said(&gateway, &["session", "search", "outcome:completed verdict:redact"]).1;
    assert_eq!(count(&by_names), all.len() + 1, "facts are in the clear");
    assert_eq!(count(&said(&gateway, &["session", "search", ASKED]).1), 0);
    assert_eq!(count(&searched(&gateway, ASKED, false).1), 0);
    let (code, found, why) = searched(&gateway, ASKED, true);
    assert_eq!(code, Some(0), "{why}");
    // The one that no route took, too.
    assert_eq!(count(&found), all.len() + 1, "{found:#}");
    let (_, found, _) = searched(&gateway, &format!("answer:\"{ANSWERED}\""), true);
    assert_eq!(count(&found), all.len() + 1, "{found:#}");
    let (_, found, _) = searched(&gateway, &format!("document:{RETRIEVED}"), true);
    assert_eq!(found["items"][0]["id"], all[0].0, "{found:#}");

    let (_, open, _) = with_identity(&gateway, &["session", "show", "later"]);
    assert!(open["turns"][0]["notes"].to_string().contains("wombat for session"), "{open:#}");
    let last = &all[all.len() - 1].0;
    let (_, closed, _) = said(&gateway, &["session", "show", last]);
    assert_eq!(closed["turns"][0]["asked"], json!([]));
    let (_, open, _) = with_identity(&gateway, &["session", "show", last]);
    let asked = open["turns"][0]["asked"][0]["text"].as_str().unwrap();
    assert!(asked.contains(ASKED) && asked.contains(SECRET), "{open:#}");

    let run = |arguments: &[&str]| {
        let config = gateway.config();
        let more = ["--config", config.to_str().unwrap()];
        with_identity(&gateway, &[arguments, &more].concat())
    };
    let (code, played, why) = run(&["replay"]);
    assert_eq!(code, Some(0), "{why} {played:#}");
    assert_eq!(played["summary"]["same"], all.len() + 1, "{:#}", played["summary"]);
    let (code, report, why) = run(&["backtest", "--pack", "secrets"]);
    assert_eq!(code, Some(0), "{why}");
    assert_eq!(report["hit"], all.len() + 1, "{report:#}");
    let data = data.to_str().unwrap();
    assert!(Process::firedoor(&["evidence", "verify", "--data-dir", data], &[]).wait().success());
}

#[test]
fn what_is_sealed_for_others_stays_closed() {
    let (_mock, gateway) = start(OTHER);
    let all = ask(&gateway);
    let (code, _, why) = unsealed(&gateway, &all[0].0);
    assert!(code == Some(1) && why.contains("sealed for others"), "{code:?} {why}");
    let (code, none, why) = searched(&gateway, ASKED, true);
    assert!(code == Some(0) && why.contains("sealed for others"), "{code:?} {why}");
    assert_eq!(count(&none), 0, "{none}");
    let (_, played, _) =
        with_identity(&gateway, &["replay", "--config", gateway.config().to_str().unwrap()]);
    assert_eq!(played["summary"]["same"], 0, "{played:#}");
}
