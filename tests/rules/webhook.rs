//! A judge outside of the gate, which is a small server here.

use crate::support::{Answer, Gateway, Process, Upstream, post, wait_for};
use crate::{ask, routes};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A moderation service: flags `bad`, never answers to `slow`, to `held` not before it is let go,
/// fails for `broken`.
pub struct Service {
    pub upstream: Upstream,
    /// Head and body of each call.
    calls: Arc<Mutex<Vec<(String, Value)>>>,
    /// Calls that the gate gave up, without an answer.
    given_up: Arc<AtomicUsize>,
    is_let_go: Arc<AtomicBool>,
}

impl Service {
    pub fn start() -> Service {
        let calls: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let given_up: Arc<AtomicUsize> = Arc::default();
        let is_let_go: Arc<AtomicBool> = Arc::default();
        let lets_go = Arc::clone(&is_let_go);
        let (seen, hung_up) = (Arc::clone(&calls), Arc::clone(&given_up));
        let upstream = Upstream::start(move |request, stream| {
            let text = String::from_utf8_lossy(request).into_owned();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let body: Value = serde_json::from_str(body).unwrap();
            seen.lock().unwrap().push((head.to_owned(), body.clone()));
            let texts: Vec<&str> = body["input"]
                .as_array()
                .unwrap()
                .iter()
                .map(|text| text.as_str().unwrap())
                .collect();
            let has = |word: &str| texts.iter().any(|text| text.contains(word));
            if has("slow") {
                // Nothing more comes but the end of the connection.
                let _ = stream.read(&mut [0; 1]);
                hung_up.fetch_add(1, Ordering::SeqCst);
                return;
            }
            if has("held") {
                wait_for("the judge is let go", || lets_go.load(Ordering::SeqCst).then_some(()));
            }
            let status = if has("broken") { "500 Oh" } else { "200 OK" };
            let results: Vec<Value> = texts
                .iter()
                .map(|text| {
                    let is_bad = text.contains("bad");
                    json!({ "flagged": is_bad, "categories": { "violence": is_bad, "hate": false } })
                })
                .collect();
            let answer = json!({ "id": "modr-1", "model": "omni", "results": results }).to_string();
            let length = answer.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            // The gate may have gone meanwhile.
            let _ = stream.write_all((head + &answer).as_bytes());
        });
        Service { upstream, calls, given_up, is_let_go }
    }

    pub fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().unwrap().clone()
    }

    /// Answers what was held, and what will be.
    pub fn let_go(&self) {
        self.is_let_go.store(true, Ordering::SeqCst);
    }

    /// Waits until the gate has given up so many calls.
    pub fn wait_for_given_up(&self, count: usize) {
        let given_up = || self.given_up.load(Ordering::SeqCst);
        wait_for("the gate hangs up", || (given_up() >= count).then_some(()));
        assert_eq!(given_up(), count);
    }
}

const KEY: &str = "sk-judge-0123456789";

/// A pack whose one rule asks `url`.
fn pack(url: &str, on_error: &str, more: &str) -> String {
    format!(
        "pack = \"outside\"\n[[rule]]\nid = \"moderation\"\nchannels = [\"user\", \"document\"]\naction = \"cut\"\non_error = \"{on_error}\"\n\
         [rule.match]\nwebhook = \"{url}/v1/moderations\"\nmodel = \"omni\"\ntimeout_ms = 1000\nheaders = {{ authorization = \"Bearer ${{JUDGE_KEY}}\" }}\n{more}\n"
    )
}

fn start(pack: &str) -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("outside.toml"), pack).unwrap();
    // One worker: what it remembers is its own.
    let routes = routes(folder.path(), "Fine.", "\"outside\"");
    let routes = routes.replacen("[server]\n", "[server]\nworkers = 1\n", 1);
    (Gateway::start_with(&routes, &[("JUDGE_KEY", KEY)]), folder)
}

fn ask_anthropic(gateway: &Gateway, text: &str) -> Answer {
    let body =
        json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": text }] });
    post(gateway.data, "/v1/messages", &[], &body.to_string())
}

#[test]
fn a_prompt_is_sent_on_only_when_the_judge_outside_has_not_flagged_it() {
    let service = Service::start();
    let (gateway, _folder) = start(&pack(&service.upstream.url(), "cut", ""));
    let good = ask(&gateway, "a good question");
    assert_eq!(good.status(), 200, "{}", good.text());
    let (head, body) = service.calls()[0].clone();
    assert!(head.starts_with("POST /v1/moderations HTTP/1.1"), "{head}");
    assert!(head.to_ascii_lowercase().contains(&format!("authorization: bearer {KEY}")), "{head}");
    assert_eq!(body, json!({ "input": ["a good question"], "model": "omni" }));

    let bad = ask(&gateway, "a bad question");
    assert_eq!(bad.status(), 400, "{}", bad.text());
    assert_eq!(bad.json()["error"]["code"], "firedoor_blocked", "{}", bad.text());
    assert!(bad.text().contains("outside/moderation"), "{}", bad.text());
    assert_eq!(bad.head.field("x-should-retry"), Some("false"));
    let bad = ask_anthropic(&gateway, "a bad question");
    assert_eq!(bad.status(), 400, "{}", bad.text());
    assert_eq!(bad.json()["type"], "error", "{}", bad.text());

    // What was asked about once, and was clear, is not asked about with each turn.
    let before = service.calls().len();
    let turns = json!({ "model": "m", "messages": [
        { "role": "user", "content": "a good question" },
        { "role": "assistant", "content": "Fine." },
        { "role": "user", "content": "and another" },
    ] });
    let answer = post(gateway.data, "/v1/chat/completions", &[], &turns.to_string());
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let calls = service.calls();
    assert_eq!(calls.len(), before + 1);
    assert_eq!(calls[before].1["input"], json!(["and another"]));

    let labels = |outcome: &str| format!("rule=\"outside/moderation\",outcome=\"{outcome}\"");
    assert_eq!(gateway.metric("firedoor_webhook_calls_total", &labels("flagged")), 2);
    assert_eq!(gateway.metric("firedoor_webhook_calls_total", &labels("clear")), 2);
    assert_eq!(gateway.metric("firedoor_webhook_calls_open", ""), 0);
    assert!(gateway.metrics().contains("firedoor_webhook_seconds_count"));
    // The credential is nowhere.
    let told = gateway.admin_call("GET", "/api/v1/rules").text() + &gateway.metrics();
    assert!(!told.contains(KEY) && !gateway.process.stderr.text().contains(KEY));
}

#[test]
fn without_an_answer_in_time_the_rule_s_on_error_decides() {
    for (on_error, status) in [("cut", 400), ("pass", 200)] {
        let service = Service::start();
        let (gateway, _folder) = start(&pack(&service.upstream.url(), on_error, ""));
        for (text, outcome) in [("slow", "timeout"), ("broken", "failed")] {
            // It comes though the service never answers.
            let answer = ask(&gateway, text);
            assert_eq!(answer.status(), status, "{on_error} {text}: {}", answer.text());
            let id = answer.head.field("x-firedoor-exchange").unwrap().to_owned();
            assert_eq!(gateway.exchange(&id)["unjudged"], 1);
            let labels = format!("outcome=\"{outcome}\"");
            assert_eq!(gateway.metric("firedoor_webhook_calls_total", &labels), 1, "{text}");
        }
        service.wait_for_given_up(1);
        assert_eq!(ask(&gateway, "good").status(), 200, "{on_error}");
    }
    // What cannot be read cannot be asked about.
    let service = Service::start();
    let (gateway, _folder) = start(&pack(&service.upstream.url(), "cut", ""));
    let fields = [("content-type", "text/plain")];
    let unread = post(gateway.data, "/v1/notes", &fields, "bad words");
    assert_eq!(unread.status(), 400, "{}", unread.text());
    assert!(service.calls().is_empty());
    // Nobody is there.
    let (gateway, _folder) = start(&pack("http://127.0.0.1:1", "cut", ""));
    assert_eq!(ask(&gateway, "good").status(), 400);
}

#[test]
fn only_the_categories_that_the_rule_names_count() {
    let service = Service::start();
    let url = service.upstream.url();
    let (gateway, _folder) = start(&pack(&url, "cut", "categories = [\"hate\"]"));
    assert_eq!(ask(&gateway, "a bad question").status(), 200);
    let (gateway, _folder) = start(&pack(&url, "cut", "categories = [\"hate\", \"violence\"]"));
    assert_eq!(ask(&gateway, "a bad question").status(), 400);
}

#[test]
fn a_kill_ends_the_wait() {
    let service = Service::start();
    let pack = pack(&service.upstream.url(), "cut", "").replace("1000", "30000");
    let (gateway, _folder) = start(&pack);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ask(&gateway, "slow"));
        wait_for("the call", || (!service.calls().is_empty()).then_some(()));
        gateway.pull(json!({ "kind": "kill", "scope": "all" }));
        let answer = waiting.join().unwrap();
        assert_eq!(answer.status(), 400, "{}", answer.text());
        assert!(answer.text().contains("stopped by an operator"), "{}", answer.text());
    });
    service.wait_for_given_up(1);
    let labels = "outcome=\"timeout\"";
    assert_eq!(gateway.metric("firedoor_webhook_calls_total", labels), 0);
}

#[test]
fn a_webhook_is_explicit_about_its_delay_and_its_place() {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("routes.toml");
    let folder = tempfile::tempdir().unwrap();
    fs::write(&config, routes(folder.path(), "x", "\"outside\"")).unwrap();
    let check = |pack: &str| {
        fs::write(folder.path().join("outside.toml"), pack).unwrap();
        let mut process =
            Process::firedoor(&["check", config.to_str().unwrap()], &[("JUDGE_KEY", KEY)]);
        (process.wait().code(), process.stderr.whole())
    };
    let good = pack("https://api.openai.com", "pass", "");
    let (code, said) = check(&good);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("delays each by up to 1000 ms"), "{said}");
    assert!(!said.contains(KEY), "{said}");
    for (wrong, word) in [
        (good.replace("timeout_ms = 1000\n", ""), "timeout_ms"),
        (good.replace("[\"user\", \"document\"]", "[\"user\", \"citation\"]"), "is told texts"),
        (good.replace("https://api", "ftp://api"), "FD0111"),
        (good.replace("authorization =", "host ="), "written by the gate"),
        (good.replace("${JUDGE_KEY}", "${NO_SUCH_KEY_HERE}"), "NO_SUCH_KEY_HERE"),
        (good.clone() + "[[rule.case]]\ntext = \"x\"\nexpect = \"cut\"\n", "not ours to run"),
    ] {
        let (code, said) = check(&wrong);
        assert_eq!(code, Some(78), "{wrong}\n{said}");
        assert!(said.contains(word), "`{word}` in {said}");
    }
    // Who may call the API may not send prompts elsewhere.
    fs::remove_file(folder.path().join("outside.toml")).unwrap();
    let gateway = Gateway::start(&routes(folder.path(), "x", ""));
    let body = json!({ "rules": good, "texts": ["x"] });
    let answer = gateway.admin_send("POST", "/api/v1/rules/test", &body);
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("a webhook stands in a pack's file only"), "{}", answer.text());
}
