//! Gemini streams that come as one JSON array, asked for without `alt=sse`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod support;

use serde_json::Value;
use std::io::Write;
use support::{Client, Gateway, MockServer, Process, Upstream, ZEBRA, post, routes_to, wait_for};

const TARGET: &str = "/v1beta/models/m:streamGenerateContent";
const RULES: &str = "rules = [\"own\"]";
const BODY: &str = r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}"#;

#[test]
fn an_array_passes_as_it_came_and_is_counted() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let answer = post(gateway.data, TARGET, &[("x-mock", "tokens=3")], BODY);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.head.field("content-type"), Some("application/json"));
    let exchange = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
    assert_eq!(exchange["outcome"], "completed", "{exchange}");
    let elements = answer.json();
    let told = elements.as_array().unwrap().iter().rev();
    let told = told.map(|element| &element["usageMetadata"]["candidatesTokenCount"]);
    let told = told.into_iter().find(|count| count.is_u64()).unwrap();
    assert_eq!(&exchange["usage"]["output"], told, "{exchange}");
}

#[test]
fn a_kill_ends_an_array_with_an_error_as_its_last_element() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let mut client = Client::connect(gateway.data);
    let fields = [("content-type", "application/json"), ("x-mock", "tokens=9,fault=stall,at=3")];
    client.request("POST", TARGET, &fields, BODY.as_bytes());
    let head = client.head();
    assert_eq!(head.field("content-type"), Some("application/json"));
    let mut body = client.chunk().unwrap().unwrap();
    let config = gateway.config();
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        "kill",
        "provider:gem",
        "--reason",
        "leak",
        "--ttl",
        "1h",
    ];
    let mut kill = Process::firedoor(&arguments, &[("FIREDOOR_AUTHOR", "alice")]);
    assert!(kill.wait().success(), "{}", kill.stderr.text());
    while let Some(chunk) = client.chunk().unwrap() {
        body.extend(chunk);
    }
    let told: Value = serde_json::from_slice(&body).unwrap();
    let last = told.as_array().unwrap().last().unwrap();
    assert_eq!(last["error"]["status"], "PERMISSION_DENIED", "{told}");
    let outcome =
        wait_for("the exchange", || gateway.exchanges().first().map(|e| e["outcome"].clone()));
    assert_ne!(outcome, "torn");
}

/// What all elements of an array say.
fn text(elements: &Value) -> String {
    let parts = elements.as_array().unwrap().iter();
    let parts = parts.map(|element| &element["candidates"][0]["content"]["parts"]);
    let texts = parts.flat_map(|parts| parts.as_array().into_iter().flatten());
    texts.filter_map(|part| part["text"].as_str()).collect()
}

/// Rules that hold, hide and cut, at the end of what is said too.
#[test]
fn under_rules_an_array_stays_one() {
    let pack = ZEBRA.to_owned()
        + r#"
[[rule]]
id = "cut"
channels = ["answer"]
match = { words = ["okapi"] }
action = "cut"
on_error = "cut"
"#;
    let mock = MockServer::start();
    let gateway = Gateway::start_with_pack(&pack, &routes_to(&mock.url(), RULES));
    let ask = |text: &str| {
        let script = format!("text={}", text.replace(' ', "%20"));
        post(gateway.data, TARGET, &[("x-mock", &script)], BODY)
    };
    for (said, left) in [
        ("All is well", "All is well"),
        ("It ends with a zebra", "It ends with a zebra"),
        ("Mind the zebra crossing", "Mind the [redacted:own/hidden]"),
        ("A zebra crossing first", "A [redacted:own/hidden] first"),
    ] {
        let answer = ask(said);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(text(&answer.json()), left, "{}", answer.text());
    }
    for said in ["Now an okapi", "Here is an okapi in the middle"] {
        let answer = ask(said);
        let elements = answer.json();
        assert!(!text(&elements).contains("okapi"), "{elements}");
        let last = elements.as_array().unwrap().last().unwrap();
        assert_eq!(last["error"]["status"], "PERMISSION_DENIED", "{elements}");
    }
}

/// What is held of a part leaves before the next part, and before the reason of the end.
#[test]
fn held_text_leaves_in_its_place() {
    let frame = |parts: &str, more: &str| {
        format!(
            "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{parts}],\"role\":\"model\"}}{more},\"index\":0}}]}}\r\n\r\n"
        )
    };
    let frames = [
        frame(r#"{"text":"Let me compute zebra"}"#, ""),
        frame(r#"{"executableCode":{"language":"PYTHON","code":"12*12"}}"#, ""),
        frame(r#"{"text":"The result is 144, a zebra"}"#, ""),
        frame(r#"{"text":""}"#, r#","finishReason":"STOP""#),
    ]
    .concat();
    let provider = Upstream::fixed(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{frames}"
    ));
    let gateway = Gateway::start_with_pack(ZEBRA, &routes_to(&provider.url(), RULES));
    let answer = post(gateway.data, &format!("{TARGET}?alt=sse"), &[], BODY);
    let text = answer.text();
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} in {text}"));
    let first = at("zebra");
    assert!(first < at("executableCode") && at("executableCode") < at("The result"), "{text}");
    let last = text.rfind("zebra").unwrap();
    assert!(last > at("The result") && last < at("finishReason"), "{text}");
}

/// What a rule hides in an array does not depend on its elements, nor on the pieces in which it
/// came; everything else is as it was.
#[test]
fn a_rule_hides_in_an_array_wherever_it_is_cut() {
    let element = |text: &str, more: &str| {
        format!(
            "{{\"candidates\": [{{\"content\": {{\"parts\": [{{\"text\": \"{text}\"}}],\"role\": \"model\"}},\"index\": 0{more}}}],\n\
             \"usageMetadata\": {{\"promptTokenCount\": 4,\"candidatesTokenCount\": 7}},\"modelVersion\": \"m\"}}"
        )
    };
    let elements = [
        element("Mind the zeb", ""),
        element("r\\u0061 cros", ""),
        element("sing, then a zebra crossing", ""),
        element(" and a zebra", ""),
        element("", ",\"finishReason\": \"STOP\""),
    ];
    let body = format!("[{}]", elements.join("\n,\r\n"));
    let left = "Mind the [redacted:own/hidden], then a [redacted:own/hidden] and a zebra";
    for size in [1, 7, 64, body.len()] {
        let sent = body.clone();
        let provider = Upstream::start(move |_, stream| {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                sent.len()
            );
            let mut done = stream.write_all(head.as_bytes());
            for piece in sent.as_bytes().chunks(size) {
                done = done.and_then(|()| stream.write_all(piece)).and_then(|()| stream.flush());
            }
        });
        let gateway = Gateway::start_with_pack(ZEBRA, &routes_to(&provider.url(), RULES));
        let answer = post(gateway.data, TARGET, &[], BODY);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let told = answer.json();
        assert_eq!(text(&told), left, "{size}: {told}");
        let last = told.as_array().unwrap().last().unwrap();
        assert_eq!(last["candidates"][0]["finishReason"], "STOP", "{size}: {told}");
        for element in told.as_array().unwrap() {
            assert_eq!(element["modelVersion"], "m", "{size}: {told}");
        }
        let id = answer.head.field("x-firedoor-exchange").unwrap();
        let record = gateway.exchange(id);
        assert_eq!((&record["verdict"], &record["usage"]["output"]), (&"redact".into(), &7.into()));
        assert_eq!(record["findings"].as_array().unwrap().len(), 2, "{record}");
    }
}
