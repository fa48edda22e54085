//! A match that begins in one text of an answer and ends in the next.

use crate::support::{Answer, CASES, Gateway, Upstream, ZEBRA, post, routes_to};
use firedoor::wire::Dialect;
use serde_json::json;
use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::channel;

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

/// Rules of a lever that is pulled while a text waits at a border read what waited.
#[test]
fn a_lever_reads_what_waits_at_a_border_when_it_is_pulled() {
    let rule = |words: &str, action: &str| {
        format!(
            "[[rule]]\nid = \"word\"\nabout = \"a word\"\nchannels = [\"answer\"]\n\
             match = {{ literal = [\"{words}\"] }}\naction = \"{action}\"\non_error = \"cut\"\n"
        )
    };
    let case = CASES.iter().find(|case| case.dialect == Dialect::Anthropic).unwrap();
    let stream = anthropic(&["zz ab", "cd forbidden word"]);
    let waits = stream.find("\"cd \"").unwrap();
    let (first, last) = stream.split_at(waits + stream[waits..].find("\n\n").unwrap() + 2);
    let (first, last) = (first.to_owned(), last.to_owned());
    let (pulled, is_pulled) = channel();
    let is_pulled = Mutex::new(is_pulled);
    let provider = Upstream::start(move |_, stream| {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        // The gate may have gone meanwhile.
        let _ = stream.write_all((head.to_owned() + &first).as_bytes());
        let () = is_pulled.lock().unwrap().recv().unwrap();
        let _ = stream.write_all(last.as_bytes());
    });
    let pack = format!("pack = \"own\"\n{}", rule("abcd forbidden word and its end", "redact"));
    let gateway = Gateway::start_with_pack(&pack, &routes_to(&provider.url(), RULES));
    let mut client = case.ask(&gateway, "", true);
    let head = client.head();
    assert_eq!(head.status, 200);
    let mut body = String::new();
    while !body.contains("\"index\":1") {
        body.push_str(&String::from_utf8_lossy(&client.chunk().unwrap().unwrap()));
    }
    let rules = format!("pack = \"lever\"\n{}", rule("forbidden", "cut"));
    gateway.pull(json!({ "kind": "filter", "scope": "all", "rules": rules }));
    pulled.send(()).unwrap();
    while let Ok(Some(chunk)) = client.chunk() {
        body.push_str(&String::from_utf8_lossy(&chunk));
    }
    let answer = Answer { head, body: body.into_bytes() };
    case.assert_cut(&gateway, &answer, "firedoor_blocked");
    assert!(!answer.text().contains("forbidden word"), "{}", answer.text());
}
