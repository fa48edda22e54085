//! What cannot be run again says why; what is shown to people is no markup; and requests go to a
//! running gateway again.

use crate::recordings::{ended, firedoor};
use crate::support::{Client, Gateway, Upstream, wait_for};
use serde_json::{Value, json};
use std::io::Write;

/// A provider that says which model it was asked for, in a script for a browser.
fn provider() -> Upstream {
    Upstream::start(|request, stream| {
        let text = String::from_utf8_lossy(request);
        let body = text.split("\r\n\r\n").nth(1).unwrap_or("");
        let asked: Value = serde_json::from_str(body).unwrap();
        let answer = json!({ "id": "c", "object": "chat.completion", "model": asked["model"],
            "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant",
                "content": format!("<script>alert('{}')</script> \u{202e}reversed", asked["model"].as_str().unwrap()) } }],
            "usage": { "prompt_tokens": 1000, "completion_tokens": 2000, "total_tokens": 3000 } })
        .to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        );
        let _ = stream.write_all((head + &answer).as_bytes());
    })
}

fn routes(url: &str) -> String {
    let route = |name: &str, provider: &str, more: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\nmatch = {{ model = \"{name}*\" }}\n\
             targets = [{{ provider = \"{provider}\" }}]\nretry = {{ attempts = 1 }}\n{more}\n\n"
        )
    };
    format!(
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"{url}/v1\"\napi_key = \"${{TEST_KEY:-k}}\"\n\n\
         [providers.own]\ndialect = \"canned\"\nanswer = \"closed\"\n\n[prices.\"full*\"]\ninput = 1.0\noutput = 1.0\n\n{}{}{}{}",
        route("full", "p", ""),
        route("meta", "p", "capture = \"metadata\""),
        route("canned", "own", ""),
        route("killed", "p", ""),
    )
}

fn ask(gateway: &Gateway, model: &str) -> u16 {
    let mut client = Client::connect(gateway.data);
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
    let fields = [("content-type", "application/json"), ("x-firedoor-session", "s-1")];
    client.request("POST", "/v1/chat/completions", &fields, body.to_string().as_bytes());
    client.answer().status()
}

#[test]
fn what_cannot_be_run_again_says_why_and_reports_hold_no_markup_of_the_record() {
    let upstream = provider();
    let mut gateway = Gateway::start(&routes(&upstream.url()));
    let config = gateway.config();
    let config = config.to_str().unwrap();
    let kill = ["kill", "--config", config, "route:killed", "--reason", "test", "--output", "json"];
    assert_eq!(firedoor(&kill).1, Some(0));
    assert_eq!(ask(&gateway, "full-1"), 200);
    assert_eq!(ask(&gateway, "meta-1"), 200);
    assert_eq!(ask(&gateway, "canned-1"), 200);
    assert_eq!(ask(&gateway, "killed-1"), 400);
    assert_eq!(ask(&gateway, "nobody-1"), 404);
    ended(&mut gateway);

    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("scripts.toml");
    std::fs::write(
        &rules,
        "pack = \"scripts\"\n[[rule]]\nid = \"script\"\nabout = \"a script\"\nchannels = [\"answer\"]\n\
         match = { words = [\"script\"] }\naction = \"redact\"\nmode = \"enforce\"\non_error = \"cut\"\n",
    )
    .unwrap();
    let page = folder.path().join("report.html");
    let page = page.to_str().unwrap();
    let rules = rules.to_str().unwrap();
    let all =
        ["replay", "--config", config, "--output", "json", "--rule-file", rules, "--html", page];
    let (told, code) = firedoor(&all);
    let summary = &told["summary"];
    assert_eq!(code, Some(0));
    assert_eq!((&summary["exchanges"], &summary["differ"]), (&json!(5), &json!(1)), "{told:#}");
    let why = json!({ "no_texts": 1, "own_answer": 1, "lever": 1, "refused_before_rules": 1 });
    assert_eq!(summary["why"], why, "{told:#}");
    let differs =
        told["exchanges"].as_array().unwrap().iter().find(|one| one["fared"] == "differs");
    let differs = differs.unwrap();
    assert_eq!(differs["verdict"], json!({ "then": null, "now": "redact" }));
    assert_eq!(differs["found_now"].as_array().unwrap().len(), 2, "{differs:#}");
    assert!(differs["said"]["then"]["text"].as_str().unwrap().starts_with("<script>"));
    let html = std::fs::read_to_string(page).unwrap();
    assert!(!html.contains("<script") && !html.contains('\u{202e}'), "{html}");
    assert!(html.contains("script&gt;alert(&#39;full-1&#39;)"), "{html}");
    assert!(html.contains("U+202E"), "{html}");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(page).unwrap());
    assert_eq!(mode & 0o777, 0o600);

    // The same without a candidate: nothing differs, and nothing is left out of the count.
    let (told, code) = firedoor(&["replay", "--config", config, "--output", "json"]);
    assert_eq!((&told["summary"]["differ"], code), (&json!(0), Some(0)), "{told:#}");
    assert_eq!(told["summary"]["same"], 1);

    // What is damaged or foreign is passed over, and said.
    let evidence = gateway.data_dir().join("evidence");
    std::fs::write(evidence.join("notes.txt"), "not ours").unwrap();
    std::fs::write(evidence.join("seg-0000000009.ndjson.zst"), "no frame at all").unwrap();
    let (told, _) = firedoor(&["replay", "--config", config, "--output", "json"]);
    assert_eq!(told["summary"]["exchanges"], 5, "{told:#}");
    assert_eq!(told["summary"]["read"]["damaged_bytes"], 15, "{told:#}");
}

#[test]
fn recorded_requests_go_to_a_running_gateway_under_a_cap() {
    let upstream = provider();
    let gateway = Gateway::start(&routes(&upstream.url()));
    let config = gateway.config();
    let config = config.to_str().unwrap();
    for number in 0..6 {
        assert_eq!(ask(&gateway, &format!("full-{number}")), 200);
    }
    ask(&gateway, "meta-1");
    // What is answered is on record within a moment.
    wait_for("the record", || {
        let (told, _) = firedoor(&["replay", "--config", config, "--output", "json", "--all"]);
        (told["summary"]["why"]["no_texts"] == 1).then_some(())
    });
    let gate = format!("http://{}", gateway.data);
    let run = |more: &[&str]| {
        let all = ["replay", "--config", config, "--output", "json", "--gate", &gate];
        firedoor(&[&all[..], more].concat())
    };
    let (told, code) = run(&["--live", "as-is"]);
    let summary = &told["summary"];
    assert_eq!(code, Some(0), "{told:#}");
    assert_eq!(
        (&summary["requests"], &summary["text_differs"]),
        (&json!(6), &json!(0)),
        "{told:#}"
    );
    assert_eq!(summary["left_out"], json!({ "no_texts": 1 }), "{told:#}");
    // 3,000 tokens at 1 USD a million.
    assert_eq!(summary["cost_usd"], 0.018, "{told:#}");
    let (told, code) = run(&["--live", "p/full-x", "--until", "1m", "--requests", "3"]);
    assert_eq!((&told["summary"]["requests"], code), (&json!(0), Some(0)), "{told:#}");
    let (told, _) = run(&["--live", "p/full-x", "--session", "s-1", "--requests", "3"]);
    assert_eq!(
        (&told["summary"]["requests"], &told["summary"]["text_differs"]),
        (&json!(3), &json!(3))
    );
    let now = told["exchanges"][0]["said"]["now"]["text"].as_str().unwrap();
    assert!(now.contains("full-x"), "{now}");
    let (told, code) = run(&["--live", "as-is", "--concurrency", "1", "--max-usd", "0.005"]);
    assert_eq!(code, Some(3), "{told:#}");
    assert_eq!(told["summary"]["requests"], 2, "{told:#}");
}
