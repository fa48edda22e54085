//! Whatever a provider sends, and whatever becomes of it: the record has the bytes of both ends.

use crate::book;
use crate::support::{Answer, Case, Client, Gateway, Recording, Upstream, recordings};
use firedoor::wire::Dialect;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

const FAMILIES: [(&str, &str, &str, &str, Dialect); 5] = [
    ("cht", "openai", "/v1", "quirks = [\"no-responses\"]\n", Dialect::OpenaiChat),
    ("res", "openai", "/v1", "quirks = [\"no-chat\"]\n", Dialect::OpenaiResponses),
    ("ant", "anthropic", "", "", Dialect::Anthropic),
    ("gem", "gemini", "", "", Dialect::Gemini),
    ("bed", "bedrock", "", "", Dialect::Bedrock),
];

/// Hides what almost every answer has in it.
const PACK: &str = r#"pack = "vowels"
about = "What almost every answer has"

[[rule]]
id = "the"
about = "A word that is everywhere"
channels = ["answer", "reasoning", "tool_result"]
match = { regex = '(?i)\b(the|an?|is|to)\b' }
action = "redact"
on_error = "pass"

[[rule.case]]
text = "what the cat"
expect = "redact"

[[rule.case]]
text = "xyz"
expect = "clear"
"#;

fn content_type(recording: &Recording) -> &'static str {
    match (recording.is_stream, recording.dialect) {
        (true, Dialect::Bedrock) => "application/vnd.amazon.eventstream",
        (true, _) => "text/event-stream",
        (false, _) => "application/json",
    }
}

/// Requests as they arrived at the provider, by case.
type Arrived = Arc<Mutex<HashMap<usize, Vec<u8>>>>;

/// Plays the recording that the prompt names, in pieces.
fn provider(recordings: &Arc<Vec<Recording>>) -> (Upstream, Arrived) {
    let arrived = Arrived::default();
    let (seen, recordings) = (Arc::clone(&arrived), Arc::clone(recordings));
    let upstream = Upstream::start(move |request, stream| {
        let text = String::from_utf8_lossy(request);
        let Some((_, rest)) = text.split_once("case-") else { return };
        let number: usize = rest.split_once('.').unwrap().0.parse().unwrap();
        let end = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        seen.lock().unwrap().insert(number, request[end..].to_vec());
        let recording = &recordings[number % recordings.len()];
        let head = format!(
            "HTTP/1.1 {} Said\r\ncontent-type: {}\r\ntransfer-encoding: chunked\r\n\r\n",
            recording.status,
            content_type(recording)
        );
        let mut told = head.into_bytes();
        let size = 1 + (number * 7919) % 3000;
        for piece in recording.bytes.chunks(size) {
            told.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            told.extend_from_slice(piece);
            told.extend_from_slice(b"\r\n");
            let _ = stream.write_all(&told);
            told.clear();
        }
        told.extend_from_slice(b"0\r\n\r\n");
        let _ = stream.write_all(&told);
    });
    (upstream, arrived)
}

fn ask(
    gateway: &Gateway,
    caller: Dialect,
    model: &str,
    number: usize,
    stream: bool,
) -> (Answer, String) {
    let case = Case { dialect: caller, provider: "" };
    let body = case.body(model, &format!("hello case-{number}."), stream);
    let mut client = Client::connect(gateway.data);
    let fields = [("content-type", "application/json"), ("authorization", "Bearer x-1")];
    let answer =
        client.request("POST", &case.target(model, stream), &fields, body.as_bytes()).answer();
    (answer, body)
}

#[test]
fn every_recorded_answer_is_on_record_byte_for_byte() {
    let recordings = Arc::new(recordings());
    let (upstream, arrived) = provider(&recordings);
    let packs = tempfile::tempdir().unwrap();
    std::fs::write(packs.path().join("vowels.toml"), PACK).unwrap();
    let mut routes = format!("[server]\nfilters = '{}'\n\n", packs.path().display());
    for (name, dialect, path, more, _) in FAMILIES {
        let url = upstream.url();
        let _ = write!(
            routes,
            "[providers.{name}]\ndialect = \"{dialect}\"\nbase_url = \"{url}{path}\"\n{more}api_key = \"${{KEY}}\"\n\n"
        );
        for (way, rules) in [("plain", ""), ("hide", "rules = [\"vowels\"]\n")] {
            let _ = write!(
                routes,
                "[[routes]]\nname = \"{way}-{name}\"\nmatch = {{ model = \"{way}-{name}\" }}\ntargets = [{{ provider = \"{name}\", model = \"m\" }}]\n{rules}\n"
            );
        }
    }
    let gateway = Gateway::start_with(&routes, &[("KEY", "of-the-provider")]);
    let mut asked = Vec::new();
    let (mut differing, mut foreign) = (0, 0);
    for round in 0..3 {
        for (at, recording) in recordings.iter().enumerate() {
            let number = round * recordings.len() + at;
            let (name, ..) =
                FAMILIES.iter().find(|(.., speaks)| *speaks == recording.dialect).unwrap();
            let caller = match round {
                2 => [Dialect::OpenaiChat, Dialect::Anthropic][at % 2],
                _ => recording.dialect,
            };
            let way = if round == 1 { "hide" } else { "plain" };
            let model = format!("{way}-{name}");
            let (answer, body) = ask(&gateway, caller, &model, number, recording.is_stream);
            let id = answer.head.field("x-firedoor-exchange").unwrap().to_owned();
            asked.push((number, id, body, answer));
        }
    }
    gateway.wait_idle();
    let data_dir = gateway.data_dir();
    let (_, last, ..) = asked.last().unwrap();
    book::exchange(&data_dir, last);
    let told = book::exchanges(&data_dir);
    let arrived = arrived.lock().unwrap();
    for (number, id, body, answer) in asked {
        let recording = &recordings[number % recordings.len()];
        let told = &told[&id];
        let name = format!("{number} {} {id}", recording.name);
        assert_eq!(told.request, body.as_bytes(), "{name}");
        assert!(told.delivered == answer.body, "{name}: delivered");
        assert_eq!(told.statuses, [u64::from(answer.status())], "{name}");
        let attempts = told.close["attempts"].as_u64().unwrap();
        let received = &told.received.get(&attempts).cloned().unwrap_or_default();
        if told.close["outcome"] == "completed" {
            assert!(*received == recording.bytes, "{name}: received");
        } else {
            assert!(recording.bytes.starts_with(received), "{name}: received");
        }
        assert!(told.sent[&attempts] == arrived[&number], "{name}: sent");
        differing += usize::from(*received != told.delivered);
        foreign += usize::from(told.open["dialect"] != recording.dialect.name());
    }
    assert!(differing > 500 && foreign > 300, "{differing} {foreign}");
}

#[test]
fn a_route_says_what_is_kept() {
    let upstream = Upstream::fixed(
        &b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{\"said\":\"yes\"}"[..],
    );
    let url = upstream.url();
    let routes = format!(
        "[providers.p]\ndialect = \"openai\"\nbase_url = \"{url}/v1\"\n\n\
         [[routes]]\nname = \"off\"\nmatch = {{ model = \"off\" }}\ntargets = [{{ provider = \"p\" }}]\ncapture = \"off\"\n\n\
         [[routes]]\nname = \"some\"\nmatch = {{ model = \"some\" }}\ntargets = [{{ provider = \"p\" }}]\ncapture = \"metadata\"\n\n\
         [[routes]]\nname = \"all\"\nmatch = {{ model = \"all\" }}\ntargets = [{{ provider = \"p\" }}]\n"
    );
    let gateway = Gateway::start(&routes);
    let ids = ["off", "some", "all"].map(|model| {
        let body =
            json!({ "model": model, "messages": [{ "role": "user", "content": "unique-words" }] });
        let answer =
            crate::support::post(gateway.data, "/v1/chat/completions", &[], &body.to_string());
        answer.head.field("x-firedoor-exchange").unwrap().to_owned()
    });
    book::exchange(&gateway.data_dir(), &ids[2]);
    let told = book::exchanges(&gateway.data_dir());
    assert!(!told.contains_key(&ids[0]), "off");
    let some = &told[&ids[1]];
    assert!(some.request.is_empty() && some.close["outcome"] != Value::Null);
    let text = format!("{some:?}");
    assert!(!text.contains("unique-words"), "{text}");
    assert!(String::from_utf8_lossy(&told[&ids[2]].request).contains("unique-words"));
}
