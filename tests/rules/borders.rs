//! A match that begins in one text of an answer and ends in the next.

use crate::support::{CASES, Gateway, Upstream, ZEBRA, post, routes_to};
use firedoor::wire::Dialect;
use serde_json::json;

const RULES: &str = "rules = [\"own\"]";

fn anthropic(texts: &[&str]) -> String {
    let mut out = String::from(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n",
    );
    let event = |name: &str, data: serde_json::Value| format!("event: {name}\ndata: {data}\n\n");
    for (at, text) in texts.iter().enumerate() {
        let block = json!({ "type": "text", "text": "" });
        let start = json!({ "type": "content_block_start", "index": at, "content_block": block });
        out.push_str(&event("content_block_start", start));
        for piece in text.split_inclusive(' ') {
            let delta = json!({ "type": "text_delta", "text": piece });
            let delta = json!({ "type": "content_block_delta", "index": at, "delta": delta });
            out.push_str(&event("content_block_delta", delta));
        }
        out.push_str(&event(
            "content_block_stop",
            json!({ "type": "content_block_stop", "index": at }),
        ));
    }
    out + "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
}

#[test]
fn a_match_over_two_blocks_never_leaves_whole() {
    let case = CASES.iter().find(|case| case.dialect == Dialect::Anthropic).unwrap();
    for (texts, is_cut) in [
        (&["We saw a zebra", " crossing the road"][..], true),
        (&["We saw a zeb", "ra cross", "ing the road"], true),
        (&["We saw a zebra", " cross", "ed the road"], false),
        (&["We saw a zebra", " and more", " crossing"], false),
        (&["zebra", "zebra", " horse"], false),
    ] {
        let provider = Upstream::fixed(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{}",
            anthropic(texts)
        ));
        let gateway = Gateway::start_with_pack(ZEBRA, &routes_to(&provider.url(), RULES));
        let answer = case.ask(&gateway, "", true).answer();
        let said: String = answer
            .text()
            .lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
            .filter_map(|event: serde_json::Value| {
                event["delta"]["text"].as_str().map(str::to_owned)
            })
            .collect();
        if is_cut {
            case.assert_cut(&gateway, &answer, "firedoor_blocked");
            assert!(!said.contains("crossing"), "{said}");
        } else {
            case.assert_whole(&answer);
            assert_eq!(said, texts.concat());
        }
        let blocks: Vec<String> =
            texts.iter().map(|text| format!("{{\"type\":\"text\",\"text\":\"{text}\"}}")).collect();
        let body = format!(
            "{{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[{}],\"stop_reason\":\"end_turn\",\"usage\":{{\"input_tokens\":1,\"output_tokens\":2}}}}",
            blocks.join(",")
        );
        let provider = Upstream::fixed(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ));
        let gateway = Gateway::start_with_pack(ZEBRA, &routes_to(&provider.url(), RULES));
        let answer = case.ask(&gateway, "", false).answer();
        assert_eq!(answer.status(), if is_cut { 400 } else { 200 }, "{texts:?}: {}", answer.text());
    }
}

/// Of so many letters alone the rules of the test below can follow all beginnings, and of twice as
/// many they cannot.
const HALF: usize = 72;

#[test]
fn what_cannot_be_judged_over_a_border_gets_on_error() {
    let case = CASES.iter().find(|case| case.dialect == Dialect::Anthropic).unwrap();
    let half = "a".repeat(HALF);
    for (on_error, is_cut) in [("cut", true), ("pass", false)] {
        let rule = |at: usize| {
            format!(
                "[[rule]]\nid = \"r{at}\"\nchannels = [\"answer\"]\naction = \"redact\"\non_error = \"{on_error}\"\n\
                 match = {{ regex = 'a[ab]{{{},}}' }}\n",
                80 + at
            )
        };
        let pack = format!("pack = \"own\"\n{}", (0..80).map(rule).collect::<String>());
        for (texts, unjudged) in [(&[&half[..], "b"][..], 0), (&[&half, &half], 1)] {
            let provider = Upstream::fixed(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{}",
                anthropic(texts)
            ));
            let gateway = Gateway::start_with_pack(&pack, &routes_to(&provider.url(), RULES));
            let answer = case.ask(&gateway, "", true).answer();
            if unjudged > 0 && is_cut {
                case.assert_cut(&gateway, &answer, "firedoor_blocked");
            } else {
                case.assert_whole(&answer);
            }
            let id = answer.head.field("x-firedoor-exchange").unwrap();
            let record = gateway.exchange(id);
            assert_eq!(record["unjudged"], unjudged, "{on_error} {texts:?}: {record}");
        }
    }
}

/// What a provider signed cannot be changed in the history that is sent back.
#[test]
fn signed_reasoning_in_a_prompt_is_cut_and_not_changed() {
    let provider = Upstream::fixed("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    let pack = ZEBRA.replace("\"answer\"", "\"history\"");
    let gateway = Gateway::start_with_pack(&pack, &routes_to(&provider.url(), RULES));
    for (text, status) in [("a zebra crossing", 400), ("a zebra", 200)] {
        let body = json!({ "model": "m", "max_tokens": 9, "messages": [
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": text, "signature": "EqQB" },
                { "type": "text", "text": "well" }
            ] },
            { "role": "user", "content": "go on" },
        ] });
        let answer = post(gateway.data, "/v1/messages", &[], &body.to_string());
        assert_eq!(answer.status(), status, "{text}: {}", answer.text());
    }
    assert_eq!(provider.requests(), 1);
}
