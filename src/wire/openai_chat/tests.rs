//! The dialect over recorded traffic and over damaged copies of it.

use super::{Decoder, Encoder, decode_unary, encode_unary, view};
use crate::wire::Dialect;
use crate::wire::event::{Event, Kind};
use crate::wire::sse::{Frame, Splitter};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

const FOLDERS: [&str; 3] = ["openai-chat", "azure-openai-chat", "writer-chat"];

fn files(ending: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let data = std::env::var_os("FIREDOOR_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let mut found = Vec::new();
    for folder in FOLDERS {
        let folder = data.join("wire").join(folder);
        let list = std::fs::read_dir(&folder)
            .unwrap_or_else(|_| panic!("{}: set FIREDOOR_DATA", folder.display()));
        for entry in list {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(ending) && !name.ends_with(".meta.json") {
                found.push((path.clone(), std::fs::read(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty());
    found.sort();
    found
}

fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut frames, mut rest, mut splitter) = (Vec::new(), bytes, Splitter::default());
    while let Some(end) = splitter.next(rest) {
        frames.push(&rest[..end]);
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        frames.push(rest);
    }
    frames
}

/// The events of each frame, without places.
fn decode(bytes: &[u8], learns: bool) -> Vec<Vec<Event<'static>>> {
    let mut decoder = Decoder::default();
    frames(bytes)
        .into_iter()
        .map(|raw| {
            let mut events = Vec::new();
            if !learns {
                decoder.template.forget();
            }
            decoder.frame(&Frame::parse(raw), &mut |event| {
                if let Event::Text { text, span: Some(span), .. }
                | Event::Repeat { text, span: Some(span), .. } = &event
                {
                    let there = &raw[span.start as usize..span.end as usize];
                    let there = std::str::from_utf8(there).unwrap();
                    assert_eq!(&crate::wire::json::unescape(there), text);
                }
                events.push(event.into_owned().without_span());
            });
            assert!(!events.is_empty());
            events
        })
        .collect()
}

/// What two encodings must agree on: frame borders and keep-alives aside.
fn flat(events: Vec<Vec<Event<'static>>>) -> Vec<Event<'static>> {
    events.into_iter().flatten().filter(|event| *event != Event::Ping).collect()
}

fn encode(events: &[Vec<Event<'static>>]) -> Vec<u8> {
    let mut encoder = Encoder::new(Dialect::OpenaiChat);
    let mut out = Vec::new();
    for frame in events {
        encoder.frame(frame, &mut out);
    }
    out
}

#[test]
fn streams_survive_a_round_trip() {
    for (path, bytes) in files(".sse") {
        let events = decode(&bytes, true);
        assert_eq!(events, decode(&bytes, false), "the template changes {}", path.display());
        let again = encode(&events);
        let (first, second) = (flat(events), flat(decode(&again, true)));
        for (at, (a, b)) in first.iter().zip(&second).enumerate() {
            assert_eq!(a, b, "{} event {at}\n{}", path.display(), String::from_utf8_lossy(&again));
        }
        assert_eq!(first.len(), second.len(), "{}", path.display());
    }
}

#[test]
fn bodies_survive_a_round_trip() {
    for (path, bytes) in files(".json") {
        let mut events = Vec::new();
        decode_unary(&bytes, &mut |event| events.push(event.into_owned().without_span()));
        assert!(!events.is_empty(), "{}", path.display());
        let again = encode_unary(Dialect::OpenaiChat, &events);
        let mut second = Vec::new();
        decode_unary(&again, &mut |event| second.push(event.into_owned().without_span()));
        assert_eq!(events, second, "{}\n{}", path.display(), String::from_utf8_lossy(&again));
    }
}

#[test]
fn nearly_every_stream_says_that_it_is_complete() {
    let mut open = Vec::new();
    for (path, bytes) in files(".sse") {
        let mut decoder = Decoder::default();
        for raw in frames(&bytes) {
            decoder.frame(&Frame::parse(raw), &mut |_| {});
        }
        if !decoder.is_complete() {
            open.push(path);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn unknown_members_survive() {
    let bytes = br#"data: {"id":"a","model":"m","new":{"x":[1]},"choices":[{"index":0,"later":1,"delta":{"content":"hi","odd":"text"},"finish_reason":null}]}

"#;
    let again = String::from_utf8(encode(&decode(bytes, true))).unwrap();
    for part in [r#""new":{"x":[1]}"#, r#""later":1"#, r#""odd":"text""#, r#""content":"hi""#] {
        assert!(again.contains(part), "{part} in {again}");
    }
}

#[test]
fn a_name_that_stands_twice_hides_nothing() {
    let bytes = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\",\"content\":\"b\"}}]}\n\n";
    assert!(matches!(decode(bytes, true)[0][..], [Event::Opaque { .. }]));
}

#[test]
fn the_template_takes_only_its_own_shape() {
    let frame = |text: &str| {
        format!(
            "data: {{\"id\":\"a\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
        )
    };
    let stream =
        [frame("start"), frame("one"), frame("t\\\"wo"), frame("three"), frame("")].concat();
    let events = decode(stream.as_bytes(), true);
    let texts: Vec<_> = flat(events)
        .into_iter()
        .filter_map(|event| match event {
            Event::Text { text, channel, .. } if channel.kind == Kind::Answer => Some(text),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["start", "one", "t\"wo", "three"]);
}

#[test]
fn requests_are_read_strictly() {
    let seen = view(
        br#"{"model":"gpt","stream":true,"messages":[],"metadata":{"session_id":"s"},"user":"u"}"#,
    )
    .unwrap();
    assert_eq!(seen.model.as_deref(), Some("gpt"));
    assert!(seen.stream);
    assert_eq!(seen.hints.session.as_deref(), Some("s"));
    assert_eq!(seen.hints.end_user.as_deref(), Some("u"));
    for (body, word) in [
        (&br#"{"model":"a","model":"b"}"#[..], "`model` stands twice"),
        (br#"{"model":1}"#, "`model` must be a string at byte 9"),
        (br#"{"stream":"yes"}"#, "`stream` must be true or false"),
        (br#"{"messages":{}}"#, "`messages` must be an array"),
        (br"[]", "one JSON object"),
        (br"{} x", "not valid JSON"),
        (b"{\"a\":\"\xff\"}", "not UTF-8"),
        (br#"{"a":NaN}"#, "not valid JSON"),
    ] {
        let error = view(body).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let deep = [b"{\"a\":".to_vec(), vec![b'['; 100_000]].concat();
    assert!(view(&deep).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_streams_never_panic(pick in 0usize..10_000, at in 0usize..100_000, byte: u8, cut in 0usize..100_000) {
        let all = files(".sse");
        let (_, bytes) = &all[pick % all.len()];
        let mut bytes = bytes[..bytes.len().min(20_000)].to_vec();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(cut % length + 1);
        let events = decode(&bytes, true);
        let again = encode(&events);
        decode(&again, true);
        decode_unary(&bytes, &mut |_| {});
        let _ = view(&bytes);
    }
}
