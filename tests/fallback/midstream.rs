//! A provider dies in the middle of an answer.

use crate::support::{ALL, Answer, Gateway, MockServer, Told, Upstream, ask, get_json};
use crate::{FAMILIES, Family, family_behind, provider, route};
use firedoor::wire::Dialect;
use firedoor::wire::event::StopReason;
use firedoor::wire::prompt::{Part, Role, read};
use serde_json::{Value, json};
use std::io::Write;

const TEXT: &str = "The quick brown fox jumps over the lazy dog and sleeps.";
const REST: &str = "|And the second goes on.";
const CONTINUE: &str = "midstream = \"continue\"\nretry = { attempts = 1 }\n\
     timeouts = { first_byte_ms = 5000, idle_ms = 400 }";

fn coded(text: &str) -> String {
    text.replace('%', "%25").replace(' ', "%20").replace(',', "%2C").replace('"', "%22")
}

/// A caller, its first provider, and the family of the second.
struct Case {
    caller: Dialect,
    first: String,
    /// The place of the first's family.
    at: usize,
    second: &'static Family,
    model: String,
}

impl Case {
    fn who(&self, what: &str) -> String {
        format!("{what}: {:?} at {}, then {}", self.caller, self.first, self.second.name)
    }
}

/// Every caller at every family, which does `script` and is struck by a fault; the next family
/// but `step` goes on by `rest`.
fn each(
    script: &str,
    rest: &str,
    step: usize,
    check: impl Fn(&Gateway, &MockServer, &Case, &Answer),
) {
    let (broken, healthy) = (MockServer::start(), MockServer::start());
    let mut oks = String::new();
    for Family { name, .. } in FAMILIES {
        oks += &provider(&format!("{name}-ok"), &healthy.url(), rest);
    }
    // A gateway for each caller, so that no retry budget runs out.
    for caller in ALL {
        let mut routes = oks.clone();
        let mut cases = Vec::new();
        for (at, Family { name, .. }) in FAMILIES.iter().enumerate() {
            let first = format!("{name}-first");
            let second = family_behind(at, step);
            let model = format!("case-{first}");
            routes += &provider(&first, &broken.url(), script);
            let target = format!("{{ provider = \"{first}\", model = \"first\" }}");
            let fallback = format!(
                "fallback = [{{ provider = \"{}-ok\", model = \"second\" }}]\n{CONTINUE}",
                second.name
            );
            routes += &route(&model, &target, &fallback);
            cases.push(Case { caller, first, at, second, model });
        }
        let gateway = Gateway::start(&routes);
        for case in &cases {
            let answer = ask(&gateway, case.caller, &case.model, true).answer();
            assert_eq!(answer.status(), 200, "{}: {}", case.who(script), answer.text());
            check(&gateway, &healthy, case, &answer);
        }
        gateway.wait_idle();
    }
}

/// The text of the assistant's turn that the second provider was given.
fn given(mock: &MockServer, case: &Case) -> String {
    let asked = case.second.asked_by(case.caller);
    let seen = get_json(mock.address, "/requests");
    let body = seen.as_array().unwrap().last().unwrap()["body"].as_str().unwrap().to_owned();
    let prompt = read(asked, body.as_bytes()).unwrap();
    let turn = prompt.turns.iter().rfind(|turn| turn.role == Role::Assistant);
    let parts = turn.map(|turn| &turn.parts[..]).unwrap_or_default();
    parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.as_str(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn record(gateway: &Gateway, answer: &Answer) -> Value {
    gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap())
}

/// The text is what was delivered and the rest, in one answer, and the seam is on record.
fn goes_on(fault: &str, at: &[usize], step: usize) {
    for at in at {
        let script = format!("text={},fault={fault},at={at}", coded(TEXT));
        each(&script, &format!("text={}", coded(REST)), step, |gateway, healthy, case, answer| {
            let who = case.who(&script);
            let told = Told::of(case.caller, true, answer);
            told.assert_one(&who);
            let delivered = told.text.strip_suffix(REST);
            let delivered = delivered.unwrap_or_else(|| panic!("{who}: {:?}", told.text));
            assert!(TEXT.starts_with(delivered), "{who}: {delivered:?}");
            assert!(!delivered.is_empty(), "{who}: {}", answer.text());
            assert_eq!(told.stop, Some(StopReason::EndTurn), "{who}");
            assert_eq!(given(healthy, case).trim_end(), delivered.trim_end(), "{who}");
            let record = record(gateway, answer);
            assert_eq!(record["outcome"], "completed", "{who}: {record}");
            assert_eq!(record["provider"], format!("{}-ok", case.second.name), "{who}: {record}");
            assert_eq!(record["attempts"], 2, "{who}: {record}");
            let seams = record["seams"].as_array().unwrap();
            assert_eq!(seams.len(), 1, "{who}: {record}");
            assert_eq!(seams[0]["at_text_bytes"], delivered.len(), "{who}: {record}");
            if told.counts.output.is_some() {
                assert_eq!(record["usage"]["output"], json!(told.counts.output), "{who}: {record}");
                assert_eq!(record["usage"]["input"], json!(told.counts.input), "{who}: {record}");
            }
        });
    }
}

#[test]
fn goes_on_after_a_close() {
    goes_on("close", &[3, 4, 7], 1);
}

#[test]
fn goes_on_after_a_reset() {
    goes_on("reset", &[5], 2);
}

#[test]
fn goes_on_after_half_a_frame() {
    goes_on("truncate", &[4, 6], 3);
}

#[test]
fn goes_on_after_an_error_in_the_stream() {
    goes_on("error_event", &[5], 1);
}

#[test]
fn goes_on_after_silence() {
    goes_on("stall", &[4], 2);
}

#[test]
fn goes_on_in_the_same_dialect() {
    goes_on("close", &[5], 0);
}

#[test]
fn ends_by_itself_once_the_stop_reason_is_told() {
    for fault in ["close", "reset", "stall"] {
        let script = format!("text={},fault={fault},at=999", coded(TEXT));
        each(&script, &format!("text={}", coded(REST)), 1, |gateway, _, case, answer| {
            let who = case.who(&script);
            let told = Told::of(case.caller, true, answer);
            told.assert_one(&who);
            let record = record(gateway, answer);
            assert_eq!(record["outcome"], "completed", "{who}: {record}");
            // Responses say why they stopped in their last frame.
            let is_told = told.text == TEXT;
            assert_eq!(record["attempts"], if is_told { 1 } else { 2 }, "{who}: {record}");
            let asked = FAMILIES[case.at].asked_by(case.caller);
            let says_at_the_end = asked == Dialect::OpenaiResponses;
            assert_eq!(is_told, !says_at_the_end, "{who}: {:?}", told.text);
        });
    }
}

#[test]
fn a_call_that_breaks_off_does_not_leave() {
    let rest = "tool=second_tool:{%22zone%22:%22UTC%22}";
    for at in 2..9 {
        let script = format!(
            "text=Let%20me%20see.,tool=first_tool:{{%22city%22:%22Oslo%22}},fault=close,at={at}"
        );
        each(&script, rest, 1 + at % 3, |gateway, _, case, answer| {
            let who = case.who(&script);
            let told = Told::of(case.caller, true, answer);
            let record = record(gateway, answer);
            if let Some((code, _)) = &told.error {
                // A whole call has left: to go on could have it made twice.
                assert_eq!(told.called(), ["first_tool"], "{who}: {code}");
                assert_eq!(told.calls[0].2, r#"{"city":"Oslo"}"#, "{who}");
                assert_eq!(record["outcome"], "cut", "{who}: {record}");
                return;
            }
            told.assert_one(&who);
            assert_eq!(told.calls.len(), 1, "{who}: {:?}", told.calls);
            assert_eq!(record["outcome"], "completed", "{who}: {record}");
            if told.called() == ["first_tool"] {
                assert_eq!(told.calls[0].2, r#"{"city":"Oslo"}"#, "{who}");
                assert_eq!(record["attempts"], 1, "{who}: {record}");
            } else {
                assert_eq!(told.called(), ["second_tool"], "{who}");
                let arguments: Value = serde_json::from_str(&told.calls[0].2).unwrap();
                assert_eq!(arguments, json!({ "zone": "UTC" }), "{who}");
                assert!(!answer.text().contains("first_tool"), "{who}: {}", answer.text());
                assert!("Let me see.".starts_with(&told.text), "{who}: {:?}", told.text);
            }
            assert!(told.stop.is_some(), "{who}");
        });
    }
}

#[test]
fn goes_on_after_reasoning_breaks_off() {
    for at in [2, 4] {
        let script =
            format!("reasoning=Let%20me%20think%20about%20it.,text=No.,fault=close,at={at}");
        let rest = "reasoning=Thinking%20anew.,text=The%20rest.";
        each(&script, rest, 1, |gateway, _, case, answer| {
            let who = case.who(&script);
            let told = Told::of(case.caller, true, answer);
            told.assert_one(&who);
            assert!(told.text.ends_with("The rest."), "{who}: {:?}", told.text);
            assert_eq!(record(gateway, answer)["outcome"], "completed", "{who}");
        });
    }
}

/// Tokens are those of both, for the caller and on record.
#[test]
fn tokens_are_added_up() {
    let frame =
        |value: Value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap());
    let usage = json!({ "input_tokens": 25, "output_tokens": 1 });
    let begun = [
        json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message",
            "role": "assistant", "model": "first", "content": [], "stop_reason": null,
            "stop_sequence": null, "usage": usage } }),
        json!({ "type": "content_block_start", "index": 0,
            "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0,
            "delta": { "type": "text_delta", "text": "The quick brown" } }),
    ];
    let begun: String = begun.into_iter().map(frame).collect();
    let first = Upstream::fixed(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999999\r\n\r\n{begun}"
    ));
    let mock = MockServer::start();
    for Family { name: second, .. } in FAMILIES {
        let mut routes = provider("ant-first", &first.url(), "text=x");
        routes += &provider(&format!("{second}-ok"), &mock.url(), &format!("text={}", coded(REST)));
        let fallback =
            format!("fallback = [{{ provider = \"{second}-ok\", model = \"s\" }}]\n{CONTINUE}");
        routes += &route("m", "{ provider = \"ant-first\" }", &fallback);
        let gateway = Gateway::start(&routes);
        for caller in ALL {
            let who = format!("{caller:?} at ant, then {second}");
            let answer = ask(&gateway, caller, "m", true).answer();
            let told = Told::of(caller, true, &answer);
            told.assert_one(&who);
            assert_eq!(told.text, format!("The quick brown{REST}"), "{who}");
            let record = record(&gateway, &answer);
            assert!(record["usage"]["input"].as_u64().is_some_and(|n| n >= 25), "{who}: {record}");
            // A caller of Chat that does not ask for usage need not get it.
            if told.counts.input.is_some() {
                assert_eq!(json!(told.counts.input), record["usage"]["input"], "{who}: {record}");
                assert_eq!(json!(told.counts.output), record["usage"]["output"], "{who}: {record}");
            }
        }
    }
}

/// A chat provider that repeats the end of what it was given before it goes on.
fn repeater() -> Upstream {
    Upstream::start(|request, stream| {
        let at = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let body: Value = serde_json::from_slice(&request[at..]).unwrap();
        let turns = body["messages"].as_array().unwrap();
        let given = turns.iter().rfind(|turn| turn["role"] == "assistant").unwrap();
        let given = given["content"].as_str().map_or_else(
            || given["content"][0]["text"].as_str().unwrap().to_owned(),
            str::to_owned,
        );
        let said = format!("{}{REST}", &given[given.len().saturating_sub(18)..]);
        let frame = |delta: Value, finish: Value| {
            let chunk = json!({ "id": "chatcmpl-2", "object": "chat.completion.chunk", "created": 1,
                "model": "second", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
            format!("data: {chunk}\n\n")
        };
        let mut whole = String::from(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
        );
        whole += &frame(json!({ "role": "assistant", "content": "" }), Value::Null);
        for piece in said.as_bytes().chunks(3) {
            let piece = std::str::from_utf8(piece).unwrap();
            whole += &frame(json!({ "content": piece }), Value::Null);
        }
        whole += &frame(json!({}), json!("stop"));
        whole += "data: [DONE]\n\n";
        stream.write_all(whole.as_bytes()).unwrap();
    })
}

#[test]
fn what_the_next_one_repeats_is_told_once() {
    let (broken, repeater) = (MockServer::start(), repeater());
    let script = format!("text={},fault=close,at=7", coded(TEXT));
    // Whoever asks, it is asked in Chat.
    let mut routes = provider("cht-ok", &repeater.url(), "text=x");
    for Family { name, .. } in FAMILIES {
        routes += &provider(name, &broken.url(), &script);
        let fallback =
            format!("fallback = [{{ provider = \"cht-ok\", model = \"second\" }}]\n{CONTINUE}");
        routes += &route(&format!("to-{name}"), &format!("{{ provider = \"{name}\" }}"), &fallback);
    }
    for caller in ALL {
        // Its own, so that no retry budget runs out.
        let gateway = Gateway::start(&routes);
        for Family { name, .. } in FAMILIES {
            let answer = ask(&gateway, caller, &format!("to-{name}"), true).answer();
            let told = Told::of(caller, true, &answer);
            told.assert_one(name);
            let delivered = told.text.strip_suffix(REST).unwrap_or_else(|| panic!("{told:?}"));
            assert!(delivered.len() > 18 && TEXT.starts_with(delivered), "{:?}", told.text);
        }
    }
}

#[test]
fn a_canned_answer_goes_on_in_a_paragraph_of_its_own() {
    let broken = MockServer::start();
    let script = format!("text={},fault=close,at=5", coded(TEXT));
    let mut routes =
        String::from("[providers.paused]\ndialect = \"canned\"\nanswer = \"We will be back.\"\n\n");
    for Family { name, .. } in FAMILIES {
        routes += &provider(name, &broken.url(), &script);
        let fallback = format!("fallback = [{{ provider = \"paused\" }}]\n{CONTINUE}");
        routes += &route(&format!("to-{name}"), &format!("{{ provider = \"{name}\" }}"), &fallback);
    }
    for caller in ALL {
        // Its own, so that no retry budget runs out.
        let gateway = Gateway::start(&routes);
        for Family { name, .. } in FAMILIES {
            let who = format!("{caller:?} at {name}");
            let answer = ask(&gateway, caller, &format!("to-{name}"), true).answer();
            let told = Told::of(caller, true, &answer);
            told.assert_one(&who);
            let delivered = told.text.strip_suffix("\n\nWe will be back.");
            let delivered = delivered.unwrap_or_else(|| panic!("{who}: {:?}", told.text));
            assert!(!delivered.is_empty() && TEXT.starts_with(delivered), "{who}");
            assert_eq!(record(&gateway, &answer)["provider"], "paused", "{who}");
        }
    }
}

/// The answer is cut in the caller's dialect behind a part of the text.
fn assert_cut(gateway: &Gateway, caller: Dialect, answer: &Answer, who: &str) {
    let told = Told::of(caller, true, answer);
    let Some((_, message)) = &told.error else { panic!("{who}: {}", answer.text()) };
    assert!(message.contains("(ref x_"), "{who}: {message}");
    assert!(!told.text.is_empty() && TEXT.starts_with(&told.text), "{who}: {:?}", told.text);
    assert!(matches!(told.events.last(), Some(event) if !format!("{event:?}").contains("Text")));
    let record = record(gateway, answer);
    assert_eq!(record["outcome"], "cut", "{who}: {record}");
}

#[test]
fn without_anyone_left_it_ends_in_the_callers_dialect() {
    let script = format!("text={},fault=close,at=5", coded(TEXT));
    for rest in ["fault=refuse", "status=500", "status=400", "fault=close,at=0"] {
        each(&script, rest, 1, |gateway, _, case, answer| {
            assert_cut(gateway, case.caller, answer, &case.who(rest));
        });
    }
}

#[test]
fn a_third_goes_on_where_the_second_dies_too() {
    let mock = MockServer::start();
    let text = |fault: &str| format!("text={},{fault}", coded(TEXT));
    let mut routes = provider("oai", &mock.url(), &text("fault=close,at=5"));
    routes += &provider(
        "ant",
        &mock.url(),
        &format!("text={},fault=reset,at=6", coded("|one two three four five six")),
    );
    routes += &provider("gem", &mock.url(), &format!("text={}", coded(REST)));
    routes += &route(
        "m",
        "{ provider = \"oai\" }",
        &format!(
            "fallback = [{{ provider = \"ant\", model = \"a\" }}, {{ provider = \"gem\", model = \"g\" }}]\n{CONTINUE}"
        ),
    );
    let gateway = Gateway::start(&routes);
    for caller in ALL {
        let answer = ask(&gateway, caller, "m", true).answer();
        let told = Told::of(caller, true, &answer);
        told.assert_one(caller.name());
        assert!(told.text.ends_with(REST), "{caller:?}: {:?}", told.text);
        assert!(told.text.contains("|one "), "{caller:?}: {:?}", told.text);
        let record = record(&gateway, &answer);
        assert_eq!(record["seams"].as_array().unwrap().len(), 2, "{record}");
        assert_eq!(record["attempts"], 3, "{record}");
    }
}

#[test]
fn a_route_that_does_not_go_on_ends_in_the_callers_dialect() {
    let mock = MockServer::start();
    let mut routes = String::new();
    for fault in ["close", "reset", "truncate", "garbage"] {
        for Family { name, .. } in FAMILIES {
            let script = format!("text={},fault={fault},at=5", coded(TEXT));
            routes += &provider(&format!("{name}-{fault}"), &mock.url(), &script);
            let fallback = "fallback = [{ provider = \"paused\" }]\nretry = { attempts = 1 }";
            let target = format!("{{ provider = \"{name}-{fault}\" }}");
            routes += &route(&format!("to-{name}-{fault}"), &target, fallback);
        }
    }
    routes += "[providers.paused]\ndialect = \"canned\"\nanswer = \"Never said.\"\n";
    let gateway = Gateway::start(&routes);
    for caller in ALL {
        for fault in ["close", "reset", "truncate"] {
            for Family { name, .. } in FAMILIES {
                let model = format!("to-{name}-{fault}");
                let answer = ask(&gateway, caller, &model, true).answer();
                assert_cut(&gateway, caller, &answer, &format!("{caller:?} at {model}"));
            }
        }
    }
}
