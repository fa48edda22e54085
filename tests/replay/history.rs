//! A history with known places in it: what a backtest counts, and what a tape plays.

use crate::recordings::{ended, firedoor};
use crate::support::{Answer, Client, Gateway, Process, Upstream};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// A rule for each place in which a marker stands, and one for its second copy.
pub const PACK: &str = r#"
pack = "markers"

[[rule]]
id = "asked"
about = "In a user's turn"
channels = ["user"]
match = { regex = 'MARK-U[0-9]+' }
action = "redact"
mode = "shadow"
on_error = "cut"

[[rule]]
id = "returned"
about = "In what a tool returned"
channels = ["tool_result"]
match = { regex = 'MARK-T[0-9]+' }
action = "flag"
mode = "enforce"
on_error = "pass"

[[rule]]
id = "answered"
about = "In an answer"
channels = ["answer"]
match = { regex = 'MARK-A[0-9]+' }
action = "cut"
mode = "shadow"
on_error = "cut"

[[rule]]
id = "called"
about = "In a call's arguments"
channels = ["tool_arguments"]
match = { regex = 'MARK-C[0-9]+' }
action = "flag"
mode = "shadow"
on_error = "pass"
"#;

/// A provider that streams, in pieces with a pause between, what the last message names.
pub fn provider() -> Upstream {
    Upstream::start(|request, stream| {
        let text = String::from_utf8_lossy(request);
        let turn = text.matches("\"role\":\"user\"").count();
        let marked = |name: &str| text.contains(&format!("want-{name}"));
        let mut frames = Vec::new();
        let mut delta = |delta: Value| {
            let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "model": "m",
                "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] });
            frames.push(format!("data: {chunk}\n\n"));
        };
        delta(json!({ "role": "assistant", "content": format!("turn {turn} ") }));
        if marked("answer") {
            delta(json!({ "content": "MARK-" }));
            delta(json!({ "content": "A77 is the word" }));
        }
        if marked("call") {
            delta(json!({ "tool_calls": [{ "index": 0, "id": "k", "type": "function",
                "function": { "name": "look", "arguments": "{\"q\":\"MARK-C5\"}" } }] }));
        }
        let last = json!({ "id": "c", "object": "chat.completion.chunk", "model": "m",
            "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
        frames.push(format!("data: {last}\n\ndata: [DONE]\n\n"));
        let mut sent = stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-of-provider: yes\r\nconnection: close\r\n\r\n",
        );
        for frame in frames {
            sent = sent.and_then(|()| stream.write_all(frame.as_bytes()));
            sent = sent.and_then(|()| stream.flush());
        }
    })
}

pub fn routes(url: &str, filters: &Path) -> String {
    format!(
        "[server]\nfilters = '{}'\n\n[providers.p]\ndialect = \"openai\"\nbase_url = \"{url}/v1\"\napi_key = \"${{TEST_KEY:-k}}\"\n\n\
         [[routes]]\nname = \"old\"\nmatch = {{ model = \"old\" }}\ntargets = [{{ provider = \"p\" }}]\nretry = {{ attempts = 1 }}\nrules = [\"markers\"]\n\n\
         [[routes]]\nname = \"bare\"\ntargets = [{{ provider = \"p\" }}]\nretry = {{ attempts = 1 }}\n",
        filters.display()
    )
}

fn message(role: &str, content: &str) -> Value {
    json!({ "role": role, "content": content })
}

pub fn ask(gateway: &Gateway, model: &str, session: &str, messages: &[Value]) -> Answer {
    let body = json!({ "model": model, "stream": true, "messages": messages }).to_string();
    let mut client = Client::connect(gateway.data);
    let fields = [("content-type", "application/json"), ("x-firedoor-session", session)];
    client.request("POST", "/v1/chat/completions", &fields, body.as_bytes());
    client.answer()
}

/// Three sessions of three turns that send their history again, and one on the route with rules.
pub fn traffic(gateway: &Gateway) -> Vec<(Vec<Value>, String, Answer)> {
    let mut asked = Vec::new();
    for (session, model) in [("one", "m"), ("two", "m"), ("three", "old")] {
        let mut messages = Vec::new();
        let turns = match session {
            "one" => ["hello", "my code is MARK-U12", "want-answer please"],
            "two" => ["want-call", "and then", "thanks"],
            _ => ["hello", "my code is MARK-U99", "good"],
        };
        for (number, text) in turns.iter().enumerate() {
            if session == "two" && number == 1 {
                let call = json!({ "id": "k", "type": "function",
                    "function": { "name": "look", "arguments": "{}" } });
                messages
                    .push(json!({ "role": "assistant", "content": null, "tool_calls": [call] }));
                messages.push(
                    json!({ "role": "tool", "tool_call_id": "k", "content": "it is MARK-T3" }),
                );
            }
            messages.push(message("user", text));
            let answer = ask(gateway, model, session, &messages);
            asked.push((messages.clone(), session.to_owned(), answer));
            messages.push(message("assistant", "fine"));
        }
    }
    asked
}

#[test]
fn a_backtest_counts_every_place_and_goes_on_from_its_report() {
    let filters = tempfile::tempdir().unwrap();
    let pack = filters.path().join("markers.toml");
    std::fs::write(&pack, PACK).unwrap();
    let upstream = provider();
    let mut gateway = Gateway::start(&routes(&upstream.url(), filters.path()));
    traffic(&gateway);
    ended(&mut gateway);
    let mut gateway = gateway.restarted();
    traffic(&gateway);
    let (config, data) = ended(&mut gateway);
    let run = |more: &[&str]| {
        let all = ["backtest", "--config", &config, "--output", "json", "--pack"];
        firedoor(&[&all[..], &[pack.to_str().unwrap()], more].concat())
    };
    let (report, code) = run(&[]);
    assert_eq!(code, Some(0), "{report:#}");
    let exchanges = |rule: &str| report["rules"][format!("markers/{rule}")]["exchanges"].clone();
    // Twice the traffic; what is said in a turn is said again in every later one of its session.
    assert_eq!(report["exchanges"], 18, "{report:#}");
    assert_eq!(exchanges("asked"), 2 * (2 + 2), "{report:#}");
    assert_eq!(exchanges("returned"), 2 * 2, "{report:#}");
    assert_eq!(exchanges("answered"), 2, "{report:#}");
    assert_eq!(exchanges("called"), 2 * 3, "{report:#}");
    assert_eq!(report["rules"]["markers/answered"]["hits"]["cut"], 2, "{report:#}");
    // Only where the pack was in force had it hit then.
    assert_eq!(report["rules"]["markers/asked"]["then_too"], 2 * 2, "{report:#}");
    assert_eq!(report["rules"]["markers/answered"]["then_too"], 0, "{report:#}");
    assert_eq!(report["routes"]["bare"], json!({ "exchanges": 12, "hit": 10, "ended": 2 }));
    assert_eq!(report["routes"]["old"]["hit"], 4, "{report:#}");
    let samples = report["samples"].as_array().unwrap();
    let sample = samples.iter().find(|one| one["rule"] == "markers/answered").unwrap();
    // A cut need not wait for the longest match.
    assert_eq!(sample["match"], "MARK-A7");
    assert_eq!(sample["before"], "turn 3 ");
    assert_eq!(sample["after"], "7 is the word");
    assert_eq!(sample["action"], "cut");

    // A selection counts only what it takes.
    let (some, _) = run(&["--session", "one"]);
    assert_eq!(some["exchanges"], 6, "{some:#}");
    let (none, _) = run(&["--until", "2020-01-01T00:00:00Z"]);
    assert_eq!(none["exchanges"], 0, "{none:#}");

    // A report of the first segments only goes on to what a run over all of them says.
    let part = tempfile::tempdir().unwrap();
    let evidence = Path::new(&data).join("evidence");
    std::fs::create_dir(part.path().join("evidence")).unwrap();
    let first = "seg-0000000001.ndjson.zst";
    std::fs::copy(evidence.join(first), part.path().join("evidence").join(first)).unwrap();
    let saved = part.path().join("report.json");
    let saved = saved.to_str().unwrap();
    let (begun, code) = run(&["--data-dir", part.path().to_str().unwrap(), "--report", saved]);
    assert_eq!((begun["exchanges"].as_u64(), code), (Some(9), Some(0)), "{begun:#}");
    let (whole, code) = run(&["--resume", saved]);
    assert_eq!(code, Some(0), "{whole:#}");
    for name in ["exchanges", "hit", "rules", "apps", "routes", "text_bytes"] {
        assert_eq!(whole[name], report[name], "{name}");
    }
    // It has what was selected, and belongs to that.
    let (begun, _) = run(&[
        "--data-dir",
        part.path().to_str().unwrap(),
        "--session",
        "one",
        "--since",
        "7d",
        "--report",
        saved,
    ]);
    assert!(begun["selected"]["since"].is_string(), "{begun:#}");
    let (whole, code) = run(&["--resume", saved]);
    assert_eq!((&whole["exchanges"], code), (&json!(6), Some(0)), "{whole:#}");
    let arguments =
        ["backtest", "--config", &config, "--pack", pack.to_str().unwrap(), "--resume", saved];
    let mut refused = Process::firedoor(&[&arguments[..], &["--route", "bare"]].concat(), &[]);
    assert_eq!(refused.wait().code(), Some(2));
    assert!(refused.stderr.whole().contains("another selection"), "{}", refused.stderr.text());
    // It belongs to its rules.
    let changed = part.path().join("markers.toml");
    std::fs::write(&changed, PACK.replace("MARK-U", "MARK-V")).unwrap();
    let mut refused = Process::firedoor(
        &["backtest", "--config", &config, "--pack", changed.to_str().unwrap(), "--resume", saved],
        &[],
    );
    assert_eq!(refused.wait().code(), Some(2));
    assert!(refused.stderr.whole().contains("other rules"), "{}", refused.stderr.text());
}

#[test]
fn a_tape_answers_what_was_asked_as_it_was_answered() {
    let filters = tempfile::tempdir().unwrap();
    std::fs::write(filters.path().join("markers.toml"), PACK).unwrap();
    let upstream = provider();
    let mut gateway = Gateway::start(&routes(&upstream.url(), filters.path()));
    let asked = traffic(&gateway);
    let (config, _) = ended(&mut gateway);
    let arguments = ["tape", "--config", &config, "--listen", "127.0.0.1:0", "--speed", "max"];
    let process = Process::firedoor(&arguments, &[]);
    let address = process.stdout.find("the tape's address", |_| true).unwrap();
    let address: std::net::SocketAddr = address.trim().parse().unwrap();
    let post = |path: &str, session: Option<&str>, body: &Value| {
        let mut client = Client::connect(address);
        let mut fields = vec![("content-type", "application/json")];
        fields.extend(session.map(|session| ("x-firedoor-session", session)));
        client.request("POST", path, &fields, body.to_string().as_bytes());
        client.answer()
    };
    // Under another prefix too, as base URLs of applications have them.
    let path = "/openai/v1/chat/completions";
    for (messages, session, answer) in &asked {
        let model = if session == "three" { "old" } else { "m" };
        let body = json!({ "model": model, "stream": true, "messages": messages });
        let played = post(path, None, &body);
        assert_eq!(played.status(), 200);
        assert_eq!(played.text(), answer.text());
        assert_eq!(played.head.field("x-of-provider"), Some("yes"));
        let exchange = answer.head.field("x-firedoor-exchange");
        assert_eq!(played.head.field("x-firedoor-tape"), exchange);
    }
    // Another body goes on in its session, from where that is.
    let (messages, session, answer) = &asked[1];
    let body = json!({ "model": "m", "stream": true, "messages": messages });
    assert_eq!(post(path, Some(session), &body).text(), answer.text());
    let other = json!({ "model": "m", "stream": true, "messages": [message("user", "else")] });
    assert_eq!(post(path, Some(session), &other).text(), asked[2].2.text());
    // Then it is over, and what is not on tape is said with what is.
    for (session, why) in [(Some(&**session), "no more than 3 answers"), (None, "names no session")]
    {
        let missing = post(path, session, &other);
        assert_eq!(missing.status(), 404, "{}", missing.text());
        let message = missing.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(why) && message.contains("9 of openai-chat"), "{message}");
    }
}
