//! Sessions of a running gateway that no client declares: told by how the conversation begins.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod support;

use firedoor::wire::Dialect;
use serde_json::{Value, json};
use support::{Answer, Case, Gateway, Process, SIMULATED, post};

/// A request of a conversation; the texts are the user's and the model's in turn.
fn body(dialect: Dialect, system: &str, texts: &[&str]) -> Value {
    let turns = |model: &str, turn: &dyn Fn(&str, &str) -> Value| -> Vec<Value> {
        let roles = ["user", model].into_iter().cycle();
        roles.zip(texts).map(|(role, text)| turn(role, text)).collect()
    };
    let plain = |role: &str, text: &str| json!({ "role": role, "content": text });
    match dialect {
        Dialect::OpenaiChat => {
            let mut messages = turns("assistant", &plain);
            messages.insert(0, json!({ "role": "system", "content": system }));
            json!({ "model": "m", "messages": messages })
        }
        Dialect::OpenaiResponses if texts.len() == 1 => {
            json!({ "model": "m", "instructions": system, "input": texts[0] })
        }
        Dialect::OpenaiResponses => {
            json!({ "model": "m", "instructions": system, "input": turns("assistant", &plain) })
        }
        Dialect::Anthropic => json!({
            "model": "m", "max_tokens": 9, "system": system,
            "messages": turns("assistant", &plain),
        }),
        Dialect::Gemini => json!({
            "systemInstruction": { "parts": [{ "text": system }] },
            "contents": turns("model", &|role, text| {
                json!({ "role": role, "parts": [{ "text": text }] })
            }),
        }),
        Dialect::Bedrock => json!({
            "system": [{ "text": system }],
            "messages": turns("assistant", &|role, text| {
                json!({ "role": role, "content": [{ "text": text }] })
            }),
        }),
    }
}

fn ask(gateway: &Gateway, dialect: Dialect, fields: &[(&str, &str)], body: &Value) -> Answer {
    let target = Case { dialect, provider: "sim" }.target("m", false);
    post(gateway.data, &target, fields, &body.to_string())
}

/// The session under which an answered request is on record.
fn session(gateway: &Gateway, answer: &Answer) -> String {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let exchange = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
    exchange["session"].as_str().unwrap_or_else(|| panic!("{exchange}")).to_owned()
}

#[test]
fn requests_of_one_conversation_are_one_session() {
    let gateway = Gateway::start(SIMULATED);
    for dialect in Dialect::ALL {
        let of = |system: &str, texts: &[&str]| {
            session(&gateway, &ask(&gateway, dialect, &[], &body(dialect, system, texts)))
        };
        let first = of("Be kind.", &["hello"]);
        let digits = first.strip_prefix("h_").unwrap();
        assert_eq!(digits.len(), 16, "{first}");
        assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
        assert_eq!(of("Be kind.", &["hello", "hi", "more"]), first, "{dialect:?}");
        assert_eq!(of("Be kind.", &["hello", "hi", "other", "yes", "x"]), first, "{dialect:?}");
        assert_ne!(of("Be kind.", &["good day", "hi", "more"]), first, "{dialect:?}");
        assert_ne!(of("Be harsh.", &["hello"]), first, "{dialect:?}");
    }
}

#[test]
fn a_declared_session_goes_before() {
    let gateway = Gateway::start(SIMULATED);
    let asked = body(Dialect::OpenaiChat, "s", &["u"]);
    let fields = [("x-firedoor-session", "mine")];
    let answer = ask(&gateway, Dialect::OpenaiChat, &fields, &asked);
    assert_eq!(session(&gateway, &answer), "mine");
}

#[test]
fn a_conversation_can_be_killed() {
    let gateway = Gateway::start(SIMULATED);
    let of = |texts: &[&str]| {
        ask(&gateway, Dialect::Anthropic, &[], &body(Dialect::Anthropic, "s", texts))
    };
    let scope = format!("session:{}", session(&gateway, &of(&["loop"])));
    let config = gateway.config();
    let config = config.to_str().unwrap();
    let arguments = ["--config", config, "kill", &scope, "--reason", "it loops", "--ttl", "1h"];
    let mut kill = Process::firedoor(&arguments, &[("FIREDOOR_AUTHOR", "alice")]);
    assert!(kill.wait().success(), "{}", kill.stderr.text());
    let refused = of(&["loop", "a", "again"]);
    assert_eq!(refused.status(), 400, "{}", refused.text());
    assert_eq!(refused.head.field("x-firedoor-action"), Some("kill"));
    assert_eq!(of(&["another", "a", "again"]).status(), 200);
}
