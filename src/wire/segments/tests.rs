//! What is told of every construct, that nothing slips by, and that places are right.

mod cases;
mod made;
mod recorded;

use self::made::{any_body, any_value, plant, write};
use super::*;
use crate::wire::event::Kind;
use proptest::prelude::*;
use serde_json::Value;

/// Every body that the walk reads in its own way.
pub(super) const ALL: [Option<Dialect>; 6] = [
    Some(Dialect::OpenaiChat),
    Some(Dialect::OpenaiResponses),
    Some(Dialect::Anthropic),
    Some(Dialect::Gemini),
    Some(Dialect::Bedrock),
    None,
];

/// The texts of a body, borrowing nothing.
pub(super) fn segments(
    dialect: Option<Dialect>,
    body: &[u8],
) -> Result<Vec<Segment<'static>>, BodyError> {
    let mut all = Vec::new();
    walk(dialect, body, &mut |step| {
        if let Step::Segment(segment) = step {
            all.push(Segment { text: Cow::Owned(segment.text.into_owned()), ..segment });
        }
        Go::On
    })?;
    Ok(all)
}

/// The bytes of the body that stand for a text.
fn place<'b>(body: &'b [u8], segment: &Segment<'_>) -> &'b str {
    let span = segment.span.unwrap();
    std::str::from_utf8(&body[span.start as usize..span.end as usize]).unwrap()
}

/// Checks that every span is exactly its text, and that what is written there changes only that.
pub(super) fn check_places(dialect: Option<Dialect>, body: &[u8]) {
    let told = segments(dialect, body).unwrap();
    let mut behind = 0;
    for segment in &told {
        assert!(!segment.text.is_empty());
        let Some(span) = segment.span else {
            assert!(segment.edit("x").is_none());
            continue;
        };
        let there = place(body, segment);
        let text = if segment.nested { json::unescape(there) } else { Cow::Borrowed(there) };
        let text = match span.form {
            Form::Quoted => json::unescape(&text),
            Form::Json => text,
        };
        assert_eq!(text, segment.text, "{}", path(body, segment.at));
        assert!(span.start >= behind, "spans overlap");
        assert!(segment.at <= span.start);
        behind = span.end;
    }
    let marker = "[\"\\é\n]";
    // A file that is told as it stands, too, is decoded anew.
    let placed = |mut all: Vec<Segment<'static>>| {
        all.retain(|segment| segment.span.is_some());
        all
    };
    let told = placed(told);
    for (at, segment) in told.iter().enumerate() {
        let span = segment.span.unwrap();
        let new = redact(body, vec![segment.edit(marker).unwrap()]);
        assert_eq!(new[..span.start as usize], body[..span.start as usize]);
        assert!(new.ends_with(&body[span.end as usize..]));
        let again = placed(segments(dialect, &new).unwrap());
        assert_eq!(again[..at], told[..at]);
        // The end of the place has moved with the text.
        assert_eq!(&*again[at].text, marker, "{}", path(body, segment.at));
        assert_eq!((again[at].kind, again[at].at), (segment.kind, segment.at));
        assert_eq!(again[at].join, segment.join);
    }
    let edits: Vec<Edit> = told.iter().filter_map(|segment| segment.edit("[x]")).collect();
    let count = edits.len();
    let again = segments(dialect, &redact(body, edits)).unwrap();
    assert!(again.iter().filter(|segment| segment.text == "[x]").count() >= count);
}

/// Every string leaf, with the names on the way to it.
pub(super) fn leaves<'v>(
    value: &'v Value,
    way: &mut Vec<&'v str>,
    sink: &mut dyn FnMut(&[&str], &'v str),
) {
    match value {
        Value::String(text) => sink(way, text),
        Value::Array(list) => list.iter().for_each(|item| leaves(item, way, sink)),
        Value::Object(members) => {
            for (name, item) in members {
                way.push(name);
                leaves(item, way, sink);
                way.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Names under which a string may be left out, in some dialect.
pub(super) fn may_be_left_out(name: &str) -> bool {
    const WORDS: &[&str] = &[
        // What an object is, and whose.
        "type",
        "role",
        "object",
        "status",
        "format",
        "mimeType",
        "mime_type",
        "media_type",
        "ttl",
        // Ids.
        "id",
        "ids",
        "model",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "conversation",
        "container",
        "cachedContent",
        "cached_content",
        "anthropic_version",
        "bucketOwner",
        "guardrailIdentifier",
        "guardrailVersion",
        // What the provider alone can read.
        "signature",
        "thoughtSignature",
        "thought_signature",
        "encrypted_content",
        "redactedContent",
        // What servers of tools are to be shown.
        "authorization",
        "authorization_token",
        "headers",
        // Files.
        "data",
        "bytes",
        "images",
        "result",
        // Pieces of an answer, tokens, marks of caches.
        "logprobs",
        "logit_bias",
        "cachePoint",
    ];
    WORDS.contains(&name) || ["_id", "_ids", "Id", "Ids"].iter().any(|end| name.ends_with(end))
}

proptest! {
    #[test]
    fn a_planted_word_is_found_wherever_it_stands(
        mut body in any_body(),
        bits in prop::collection::vec(prop::bool::weighted(0.1), 1..50),
    ) {
        plant(&mut body, &mut 0);
        let mut bits = bits.iter().cycle();
        let mut text = String::new();
        write(&body, &mut || *bits.next().unwrap(), &mut text);
        for dialect in ALL {
            let told = segments(dialect, text.as_bytes()).unwrap();
            leaves(&body, &mut Vec::new(), &mut |way, leaf| {
                let is_left_out = way.iter().any(|name| may_be_left_out(name));
                assert!(
                    is_left_out || told.iter().any(|segment| segment.text == leaf),
                    "{dialect:?}: {way:?} in {text}",
                );
            });
            check_places(dialect, text.as_bytes());
        }
    }

    #[test]
    fn arguments_in_a_string_are_told_as_if_they_were_none(
        arguments in any_value(),
        bits in prop::collection::vec(prop::bool::weighted(0.1), 1..50),
        outer in prop::collection::vec(prop::bool::weighted(0.1), 1..50),
    ) {
        let mut arguments = serde_json::json!({ "first": arguments, "n": -1.5e3 });
        plant(&mut arguments, &mut 0);
        let (mut bits, mut outer) = (bits.iter().cycle(), outer.iter().cycle());
        let (mut inner, mut text) = (String::new(), String::new());
        write(&arguments, &mut || *bits.next().unwrap(), &mut inner);
        let call = |arguments: Value| serde_json::json!({
            "input": [{ "type": "function_call", "name": "f", "arguments": arguments }],
        });
        write(&call(Value::String(inner)), &mut || *outer.next().unwrap(), &mut text);
        let nested = segments(Some(Dialect::OpenaiResponses), text.as_bytes()).unwrap();
        let plain = call(arguments).to_string();
        let plain = segments(Some(Dialect::OpenaiResponses), plain.as_bytes()).unwrap();
        let says = |all: &[Segment<'_>]| -> Vec<(Kind, String)> {
            let mut says: Vec<_> = all.iter().map(|one| (one.kind, one.text.to_string())).collect();
            says.sort();
            says
        };
        prop_assert_eq!(says(&nested), says(&plain));
        check_places(Some(Dialect::OpenaiResponses), text.as_bytes());
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for dialect in ALL {
            let _ = segments(dialect, &body);
        }
        let _ = path(&body, 10);
    }

    /// The walk itself, without the checks in front of it.
    #[test]
    fn no_text_panics(text in "[{}\\[\\]\":,\\\\au1 ü\n]{0,60}", at in 0..60u32) {
        let top = anthropic::segments::top;
        let named = format!(r#"{{"messages":[{{"content":{text}"#);
        for body in [&*text, &named] {
            let _ = walk::body(None, body, top, &mut |_| Go::On);
            let _ = path(body.as_bytes(), at);
        }
    }

    #[test]
    fn no_arguments_panic(arguments in "[{}\\[\\]\":,\\\\aud8D1 ü\n]{0,60}") {
        let body = serde_json::json!({ "messages": [{ "role": "assistant", "tool_calls": [
            { "function": { "name": "f", "arguments": arguments } },
        ] }] });
        check_places(Some(Dialect::OpenaiChat), body.to_string().as_bytes());
    }

    #[test]
    fn text_files_are_read_through_base64(text in "\\PC{1,40}", cut in any::<bool>()) {
        let mut base64 = encode(text.as_bytes());
        if cut {
            base64 = base64.trim_end_matches('=').replace('+', "-").replace('/', "_");
        }
        let body = serde_json::json!({ "contents": [{ "parts": [
            { "inlineData": { "data": base64, "mimeType": "text/plain" } },
        ] }] });
        let told = segments(Some(Dialect::Gemini), body.to_string().as_bytes()).unwrap();
        prop_assert_eq!(&*told[0].text, &text);
        prop_assert_eq!((told[0].kind, told[0].span), (Kind::Document, None));
    }
}

/// Base64 with padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = 0u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[test]
fn every_copy_of_a_member_is_walked() {
    let body = br#"{"messages":[{"role":"user","content":"a","content":[{"text":"b"}]}],
        "messages":[{"role":"user","c\u006fntent":"c"}]}"#;
    let told = segments(Some(Dialect::OpenaiChat), body).unwrap();
    let texts: Vec<&str> = told.iter().map(|segment| &*segment.text).collect();
    assert_eq!(texts, ["a", "b", "c"]);
    assert!(told.iter().all(|segment| segment.join == Join::Begins));
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for (dialect, body, name) in [
        (
            Dialect::OpenaiChat,
            r#"{"messages":[{"role":"tool","content":"a","r\u006fle":"user"}]}"#,
            "role",
        ),
        (Dialect::OpenaiChat, r#"{"messages":[{"content":[{"text":"a","text":"b"}]}]}"#, "text"),
        (Dialect::OpenaiResponses, r#"{"input":[{"type":"reasoning","type":"message"}]}"#, "type"),
        (
            Dialect::Anthropic,
            r#"{"messages":[{"content":[{"type":"text","type":"image"}]}]}"#,
            "type",
        ),
        (
            Dialect::Anthropic,
            r#"{"messages":[{"content":[{"type":"image","source":{"media_type":"image/png","media_type":"text/plain"}}]}]}"#,
            "media_type",
        ),
        (
            Dialect::Gemini,
            r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","mime_type":"text/plain","data":""}}]}]}"#,
            "mimeType",
        ),
        (
            Dialect::Bedrock,
            r#"{"messages":[{"content":[{"document":{"format":"pdf","format":"txt"}}]}]}"#,
            "format",
        ),
    ] {
        let error = segments(Some(dialect), body.as_bytes()).unwrap_err();
        assert_eq!(error.what, format!("`{name}` stands twice; send it once"), "{body}");
        assert!(error.at.is_some());
    }
}

#[test]
fn what_is_no_body_is_refused() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    for (body, what) in [
        (&b"[\"a\"]"[..], "the body must be one JSON object"),
        (b"{\"messages\":[\"a\"}", "the body is not valid JSON: expected `,` or `]`"),
        (b"{\"a\":\"\xff\"}", "the body is not UTF-8"),
        (b"{} {}", "the body is not valid JSON: trailing characters"),
        (b"{\"a\":NaN}", "the body is not valid JSON: expected value"),
        (deep.as_bytes(), "the body nests more than 128 levels deep; flatten it"),
    ] {
        for dialect in ALL {
            assert_eq!(segments(dialect, body).unwrap_err().what, what);
        }
    }
}

#[test]
fn a_sink_may_pass_a_message_or_stop() {
    let body = br#"{"system":"s","messages":[{"role":"user","content":["a",{"type":"text","text":"b"}]},{"role":"user","content":"c"}],"stop":"d"}"#;
    let told = |verdict: &dyn Fn(&Step<'_>) -> Go| {
        let mut told = Vec::new();
        walk(Some(Dialect::Anthropic), body, &mut |step| {
            let go = verdict(&step);
            match step {
                Step::Message(message) => told.push(format!("{}:", message.index)),
                Step::Segment(segment) => told.push(segment.text.into_owned()),
            }
            go
        })
        .unwrap();
        told.join(" ")
    };
    assert_eq!(told(&|_| Go::On), "0: s 1: a b 2: c 3: d");
    let past_second = |step: &Step<'_>| match step {
        Step::Message(message) if message.index == 1 => Go::Past,
        _ => Go::On,
    };
    assert_eq!(told(&past_second), "0: s 1: 2: c 3: d");
    let past_text = |step: &Step<'_>| match step {
        Step::Segment(segment) if segment.text == "a" => Go::Past,
        _ => Go::On,
    };
    assert_eq!(told(&past_text), "0: s 1: a 2: c 3: d");
    let stop = |step: &Step<'_>| match step {
        Step::Segment(segment) if segment.text == "a" => Go::Stop,
        _ => Go::On,
    };
    assert_eq!(told(&stop), "0: s 1: a");
}

/// Digests of a body's messages, by their JSON.
fn digests(dialect: Option<Dialect>, body: &str) -> Vec<(String, [u8; 32])> {
    let mut all = Vec::new();
    walk(dialect, body.as_bytes(), &mut |step| {
        if let Step::Message(message) = step {
            assert_eq!(
                &body[message.range.start as usize..message.range.end as usize],
                message.json
            );
            all.push((message.json.to_owned(), message.digest()));
            return Go::Past;
        }
        panic!("a text of a message that was passed");
    })
    .unwrap();
    all
}

#[test]
fn a_message_sent_again_has_the_same_digest() {
    let dialect = Some(Dialect::OpenaiChat);
    let first = digests(dialect, r#"{"messages":[{"role":"user","content":"a"}]}"#);
    let again = digests(
        dialect,
        r#"{"model":"m","messages": [ {"role":"user","content":"a"} ,{"role":"user","content":"b"}],"tools":[{"role":"user","content":"a"}]}"#,
    );
    assert_eq!(first[0], again[0]);
    // Another text, and the same bytes where they mean something else.
    assert_ne!(first[0].1, again[1].1);
    assert_eq!(first[0].0, again[2].0);
    assert_ne!(first[0].1, again[2].1);
    let foreign = digests(None, r#"{"messages":[{"role":"user","content":"a"}]}"#);
    assert_ne!(first[0].1, foreign[0].1);
    // A name does not run into the bytes behind it.
    let names = |body| digests(dialect, body).remove(0).1;
    assert_ne!(names(r#"{"a\"b":"c"}"#), names(r#"{"a":"b\"c"}"#));
}

#[test]
fn a_text_has_a_path() {
    let body = br#"{"messages":[{"role":"assistant","content":["a"],"tool_calls":[{"function":{"name":"f","arguments":"{\"x/y\":1}"}}],"m~/":{"k":"v"}}]}"#;
    let told = segments(Some(Dialect::OpenaiChat), body).unwrap();
    let paths: Vec<String> = told.iter().map(|segment| path(body, segment.at)).collect();
    assert_eq!(
        paths,
        [
            "/messages/0/content/0",
            "/messages/0/tool_calls/0/function/name",
            "/messages/0/tool_calls/0/function/arguments",
            "/messages/0/tool_calls/0/function/arguments",
            "/messages/0/m~0~1/k",
            "/messages/0/m~0~1/k",
        ]
    );
    assert_eq!(path(body, 0), "");
    assert_eq!(path(b"{\"a\":[1,[]]}", 9), "/a/1");
}

#[test]
fn a_number_becomes_a_string_and_a_name_another_name() {
    let body =
        br#"{"messages":[{"role":"assistant","function_call":{"arguments":"{\"card\":4111}"}}]}"#;
    let told = segments(Some(Dialect::OpenaiChat), body).unwrap();
    let edits = told.iter().filter_map(|segment| segment.edit("[\"x\"]")).collect();
    let new: Value = serde_json::from_slice(&redact(body, edits)).unwrap();
    let arguments = new["messages"][0]["function_call"]["arguments"].as_str().unwrap();
    assert_eq!(arguments, r#"{"[\"x\"]":"[\"x\"]"}"#);
}

#[test]
fn blocks_in_blocks_are_read_once_and_to_the_end() {
    let mut content = r#""the end""#.to_owned();
    for _ in 0..40 {
        content = format!(r#"[{{"content":{content},"type":"tool_result"}}]"#);
    }
    let body = format!(r#"{{"messages":[{{"content":{content},"role":"user"}}]}}"#);
    let told = segments(Some(Dialect::Anthropic), body.as_bytes()).unwrap();
    assert!(told.iter().any(|segment| segment.text == "the end"));
    assert!(told.iter().all(|segment| segment.kind == Kind::ToolResult));
}
