//! Tests of the relay over every recorded stream.

use super::*;
use crate::table::Pattern;
use crate::wire::event::{Block, Kind, StopReason};
use crate::wire::framing::Splitter;
use crate::wire::refusal::Class;
use proptest::prelude::*;
use std::path::PathBuf;

mod answers;
mod clear;
mod cuts;
mod guarded;
mod leaks;
mod resumed;
mod reused;
mod screened;
mod sentences;

const NOW: Tick = Tick(0);

fn root() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data");
    PathBuf::from(std::env::var("FIREDOOR_DATA").unwrap_or(beside.into())).join("wire")
}

#[derive(Clone, Copy)]
enum Recorded {
    Stream,
    Body,
}

fn recorded(kind: Recorded) -> Vec<(Dialect, String, Vec<u8>)> {
    let folders = [
        (Dialect::OpenaiChat, "openai-chat"),
        (Dialect::OpenaiChat, "azure-openai-chat"),
        (Dialect::OpenaiResponses, "openai-responses"),
        (Dialect::OpenaiResponses, "azure-openai-responses"),
        (Dialect::Anthropic, "anthropic-messages"),
        (Dialect::Gemini, "gemini-generatecontent"),
        (Dialect::Bedrock, "bedrock-converse"),
        (Dialect::Bedrock, "bedrock-converse-stream"),
    ];
    let mut found = Vec::new();
    for (dialect, folder) in folders {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_str().unwrap().to_owned();
            let ending = path.extension().and_then(|ending| ending.to_str());
            let fits = match kind {
                Recorded::Stream => matches!(ending, Some("sse" | "bin")),
                Recorded::Body => ending == Some("json") && !name.ends_with(".meta.json"),
            };
            if fits {
                found.push((dialect, name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

/// What `bytes` say, and whether they say that the answer is complete.
fn decode(dialect: Dialect, bytes: &[u8]) -> (Vec<Event<'static>>, bool) {
    let (mut told, mut decoder) = (Vec::new(), Decoder::new(dialect));
    for frame in frames(dialect, bytes) {
        let frame = dialect.framing().frame(frame);
        decoder.frame(&frame, &mut |event| told.push(event.into_owned()));
    }
    (told, decoder.is_complete())
}

fn events(dialect: Dialect, bytes: &[u8]) -> Vec<Event<'static>> {
    decode(dialect, bytes).0
}

fn frames(dialect: Dialect, bytes: &[u8]) -> Vec<&[u8]> {
    let (mut frames, mut rest) = (Vec::new(), bytes);
    let mut splitter = Splitter::new(dialect.framing());
    while let Ok(Some(end)) = splitter.next(rest) {
        frames.push(&rest[..end]);
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        frames.push(rest);
    }
    frames
}

fn killing(pattern: &str) -> KilledTools {
    KilledTools::new(vec![(Pattern::new(pattern), Box::from("lv_1"))])
}

fn plan(client: Dialect, source: Dialect, killed: KilledTools, calls: CallHold) -> Plan {
    Plan {
        client,
        source,
        coding: Coding::Identity,
        killed,
        calls,
        tells_usage: true,
        began_s: 0,
        judges: Vec::new(),
    }
}

fn run(plan: &Plan, bytes: &[u8], step: usize) -> (Vec<u8>, Result<(), Broken>) {
    let (mut relay, mut out) = (Relay::with(plan), Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        if let Err(broken) = relay.bytes(piece, NOW, &mut out) {
            return (out, Err(broken));
        }
    }
    let ended = relay.end(NOW, &mut out);
    (out, ended)
}

/// Whether a recording is one answer: some hold those of several requests, one behind the other,
/// whose blocks have the same numbers.
fn is_one_answer(bytes: &[u8]) -> bool {
    [&b"\"type\":\"response.created\""[..], b"\"type\":\"message_start\"", b"data: [DONE]"]
        .iter()
        .all(|mark| memchr::memmem::find_iter(bytes, mark).count() < 2)
}

/// Whether calls of this hosted tool make calls of their own, which go with them.
fn calls_others(dialect: Dialect, tool: &str, bytes: &[u8]) -> bool {
    let mark = b"\"type\":\"code_execution_2";
    dialect == Dialect::Anthropic
        && tool == "code_execution"
        && memchr::memmem::find(
            &bytes.iter().copied().filter(|b| *b != b' ').collect::<Vec<_>>(),
            mark,
        )
        .is_some()
}

/// Whole, byte by byte, and some pieces between; large ones not byte by byte.
fn steps(length: usize) -> [usize; 3] {
    [length, if length < 20_000 { 1 } else { 251 }, 97]
}

/// Calls (name, arguments) and answer text of the first choice.
fn said(events: &[Event<'_>]) -> (Vec<(String, String)>, String) {
    let (mut calls, mut text) = (Vec::<((u16, u16), String, String)>::new(), String::new());
    for event in events {
        match event {
            Event::Open { channel, block: Block::Tool { name, .. } } => {
                calls.push(((channel.choice, channel.block), name.to_string(), String::new()));
            }
            Event::Text { channel, text: more, .. } => {
                let place = (channel.choice, channel.block);
                match channel.kind {
                    Kind::Answer if channel.choice == 0 => text.push_str(more),
                    Kind::ToolArguments | Kind::ToolName => {
                        if let Some(call) = calls.iter_mut().rfind(|call| call.0 == place) {
                            let into = channel.kind == Kind::ToolName;
                            (if into { &mut call.1 } else { &mut call.2 }).push_str(more);
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    (calls.into_iter().map(|(_, name, arguments)| (name, arguments)).collect(), text)
}

#[test]
fn nothing_is_edited_where_nothing_is_killed() {
    for (dialect, name, bytes) in recorded(Recorded::Stream) {
        let plain =
            run(&plan(dialect, dialect, KilledTools::default(), CallHold::Never), &bytes, 7);
        for tools in [KilledTools::default(), killing("no_such_tool_*")] {
            for calls in [CallHold::Never, CallHold::UntilWhole] {
                for step in steps(bytes.len()) {
                    let (out, ended) =
                        run(&plan(dialect, dialect, tools.clone(), calls), &bytes, step);
                    if calls == CallHold::UntilWhole && ended == Err(Broken::ProviderError) {
                        continue;
                    }
                    if calls == CallHold::UntilWhole && ended != plain.1 {
                        assert!(out.starts_with(&plain.0), "{name}");
                        continue;
                    }
                    if ended.is_err() {
                        assert!(plain.0.starts_with(&out), "{name}");
                    } else {
                        assert!(out == plain.0, "{name} {step}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_killed_call_never_leaves_and_the_rest_does() {
    let mut killed = 0;
    for (dialect, name, bytes) in recorded(Recorded::Stream) {
        if !is_one_answer(&bytes) {
            continue;
        }
        let before = events(dialect, &bytes);
        let (calls, text) = said(&before);
        let mut names: Vec<_> = calls.iter().map(|call| call.0.clone()).collect();
        names.sort();
        names.dedup();
        for tool in names.iter().filter(|name| !name.is_empty()) {
            let plan = plan(dialect, dialect, killing(tool), CallHold::Never);
            let mut first = None;
            for step in steps(bytes.len()) {
                let (out, ended) = run(&plan, &bytes, step);
                let first = first.get_or_insert_with(|| out.clone());
                assert!(*first == out, "{name}: {step}");
                if ended.is_err() {
                    continue;
                }
                let after = events(dialect, &out);
                let (left, said_now) = said(&after);
                let kept: Vec<_> = calls.iter().filter(|call| call.0 != **tool).cloned().collect();
                if calls_others(dialect, tool, &bytes) {
                    assert!(left.iter().all(|call| kept.contains(call)), "{name} {tool}");
                } else {
                    assert_eq!(left, kept, "{name} {tool}");
                }
                let note = "A tool call was stopped by firedoor (ref lv_1).";
                assert!(
                    said_now == text || (text.is_empty() && said_now == note),
                    "{name}: {said_now:?} for {text:?}"
                );
                for event in &before {
                    if let Event::Open { block: Block::Tool { id, name: called, .. }, .. } = event
                        && **called == **tool
                        && id.len() > 4
                    {
                        let found = memchr::memmem::find(&out, id.as_bytes());
                        let again = before.iter().any(|other| matches!(other, Event::Open { block: Block::Tool { id: two, name, .. }, .. } if two == id && **name != **tool));
                        assert!(found.is_none() || again, "{name}: id {id}");
                    }
                }
                assert!(decode(dialect, &out).1, "{name}");
                if kept.is_empty() {
                    let stops_for_tools = after.iter().any(|event| {
                        matches!(event, Event::Stop { choice: 0, reason: StopReason::ToolUse, .. })
                    });
                    assert!(!stops_for_tools, "{name}");
                }
                killed += 1;
            }
        }
    }
    assert!(killed > 100, "{killed}");
}

#[test]
fn a_killed_call_is_taken_out_of_whole_answers() {
    let mut killed = 0;
    for (dialect, name, bytes) in recorded(Recorded::Body) {
        let decode = |bytes: &[u8]| {
            let mut told = Vec::new();
            crate::wire::decode_unary(dialect, bytes, &mut |event| told.push(event.into_owned()));
            told
        };
        let (calls, text) = said(&decode(&bytes));
        for (tool, _) in calls.iter().filter(|call| !call.0.is_empty()) {
            let done = whole(dialect, dialect, &bytes, &killing(tool), 0).unwrap();
            assert_eq!(done.lever.as_deref(), Some("lv_1"), "{name}");
            let (left, said_now) = said(&decode(&done.body));
            let kept: Vec<_> = calls.iter().filter(|call| call.0 != *tool).cloned().collect();
            if calls_others(dialect, tool, &bytes) {
                assert!(left.len() < kept.len(), "{name}");
            } else {
                assert_eq!(left.len(), kept.len(), "{name}");
            }
            assert!(left.iter().all(|call| call.0 != *tool), "{name}");
            assert!(said_now == text || text.is_empty(), "{name}");
            killed += 1;
        }
        let same = whole(dialect, dialect, &bytes, &killing("no_such_tool"), 0).unwrap();
        assert!(*same.body == *bytes, "{name}");
    }
    assert!(killed > 20, "{killed}");
}

#[test]
fn another_dialect_reads_the_same_at_every_split() {
    for (source, name, bytes) in recorded(Recorded::Stream) {
        if bytes.len() > 60_000 || !is_one_answer(&bytes) {
            continue;
        }
        for client in Dialect::ALL.into_iter().filter(|client| *client != source) {
            let plan = plan(client, source, KilledTools::default(), CallHold::Never);
            let (whole, ended) = run(&plan, &bytes, bytes.len());
            for step in [1, 97] {
                assert!(run(&plan, &bytes, step) == (whole.clone(), ended.clone()), "{name}");
            }
            let refuses = events(source, &bytes).iter().any(|event| {
                matches!(event, Event::Text { channel, .. } if channel.kind == Kind::Refusal)
            });
            if ended.is_ok() && client != Dialect::Gemini && !refuses {
                assert_eq!(
                    said(&events(client, &whole)).1,
                    said(&events(source, &bytes)).1,
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn a_lever_pulled_in_mid_stream_lets_nothing_of_a_later_call_out() {
    for (dialect, name, bytes) in recorded(Recorded::Stream) {
        let all = frames(dialect, &bytes);
        let (calls, _) = said(&events(dialect, &bytes));
        let Some((tool, _)) = calls.first().filter(|call| !call.0.is_empty()) else { continue };
        for at in 0..all.len().min(60) {
            let (mut relay, mut out) = (Relay::new(dialect, Coding::Identity), Vec::new());
            relay.bytes(&all[..at].concat(), NOW, &mut out).unwrap();
            let before = out.len();
            match relay.kill_tools(killing(tool)) {
                ToolKill::CallUnderWay(lever) => assert_eq!(&*lever, "lv_1"),
                ToolKill::Guarding => panic!("{name}: nothing can take over"),
                ToolKill::CutIfCalled => {
                    let passed = relay.bytes(&all[at..].concat(), NOW, &mut out);
                    let had = said(&events(dialect, &out[..before])).0.len();
                    let has =
                        said(&events(dialect, &out)).0.iter().skip(had).any(|call| call.0 == *tool);
                    assert!(!has, "{name} {at} {passed:?}");
                }
            }
        }
    }
}

#[test]
fn another_provider_goes_on_without_repeating_or_losing_text() {
    let more = " and this is how it ends, after all.";
    let mut resumed = 0;
    let mut refused = 0;
    for (dialect, name, bytes) in recorded(Recorded::Stream) {
        let all = frames(dialect, &bytes);
        if events(dialect, &bytes).iter().any(|event| matches!(event, Event::Error { .. })) {
            continue;
        }
        for next in Dialect::ALL {
            for at in (1..all.len().min(40)).step_by(3) {
                let mut cut = all[..at].concat();
                cut.extend_from_slice(&all[at][..all[at].len() / 2]);
                let plan = plan(dialect, dialect, KilledTools::default(), CallHold::UntilWhole);
                let (mut relay, mut out) = (Relay::with(&plan), Vec::new());
                relay.bytes(&cut, NOW, &mut out).unwrap();
                if relay.seen.stop.is_some() {
                    continue;
                }
                let Some(had) = relay.delivered().map(|had| had.text.to_owned()) else { continue };
                let from = had.len().saturating_sub(40);
                let overlap = &had[had.ceil_char_boundary(from)..];
                let again = if overlap.trim().len() >= 20 { overlap } else { "" };
                if relay.go_on(next, Coding::Identity, Resume::Prompt).is_err() {
                    refused += 1;
                    continue;
                }
                let stream = second(next, &[again, more]);
                for piece in stream.chunks(13) {
                    relay.bytes(piece, NOW, &mut out).unwrap();
                }
                relay.end(NOW, &mut out).unwrap();
                let told = events(dialect, &out);
                let expected = format!(
                    "{had}{}",
                    if again.is_empty() && had.ends_with(' ') { &more[1..] } else { more }
                );
                assert_eq!(said(&told).1, expected, "{name} {at} {next:?}");
                let starts = told.iter().filter(|event| matches!(event, Event::Start { .. }));
                assert!(starts.count() <= 1, "{name}");
                resumed += 1;
            }
        }
    }
    assert!(resumed > 500 && refused < resumed, "{resumed} {refused}");
}

/// A stream of `next` that says these texts.
fn second(next: Dialect, texts: &[&str]) -> Vec<u8> {
    use crate::wire::event::Channel;
    let channel = Channel { choice: 0, block: 0, part: 0, kind: Kind::Answer };
    let start = Event::Start { id: "two".into(), model: "m2".into(), created: Some(2) };
    let stop = Event::Stop { choice: 0, reason: StopReason::EndTurn, native: "stop".into() };
    let mut encoder = crate::wire::Encoder::new(
        next,
        if next == Dialect::OpenaiChat { Dialect::Gemini } else { Dialect::OpenaiChat },
    );
    let mut out = Vec::new();
    encoder.frame(&[start], &mut out);
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let text = Event::Text { channel, text: (*text).into(), span: None };
        encoder.frame(&[text], &mut out);
    }
    encoder.frame(&[stop], &mut out);
    encoder.frame(&[Event::End], &mut out);
    out
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_little_is_held(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        tokens in proptest::collection::vec(prop::sample::select(vec![
            "data: ", "{", "}", "\"choices\":[", "]", "\"delta\":", "\"tool_calls\":[{\"index\":0,",
            "\"function\":{\"name\":\"a\"", "\n\n", ",", "event: x\n", "\"type\":\"tool_use\"",
        ]), 0..60),
    ) {
        let bytes = [&bytes[..], tokens.concat().as_bytes()].concat();
        for source in Dialect::ALL {
            for client in Dialect::ALL {
                let plan = plan(client, source, killing("*"), CallHold::UntilWhole);
                let (mut relay, mut out) = (Relay::with(&plan), Vec::new());
                let _ = relay.bytes(&bytes, NOW, &mut out);
                let _ = relay.go_on(source, Coding::Identity, Resume::Prefill);
                let _ = relay.bytes(&bytes, NOW, &mut out);
                let _ = relay.end(NOW, &mut out);
                relay.cut(&Refusal::new(Class::Killed, "no"), "x_1", &mut out);
                let _ = whole(client, source, &bytes, &killing("*"), 0);
            }
        }
    }
}

/// A recorded Gemini stream as it comes to those who do not ask for server-sent events.
fn as_array(bytes: &[u8]) -> Vec<u8> {
    let elements: Vec<Vec<u8>> = frames(Dialect::Gemini, bytes)
        .into_iter()
        .map(|frame| Frame::parse(frame).data.into_owned())
        .filter(|data| !data.is_empty())
        .collect();
    [b"[", &elements.join(&b"\n,\r\n"[..])[..], b"\n]\n"].concat()
}

fn gemini_streams() -> Vec<(String, Vec<u8>)> {
    let all = recorded(Recorded::Stream).into_iter();
    all.filter(|(dialect, ..)| *dialect == Dialect::Gemini)
        .map(|(_, name, bytes)| (name, bytes))
        .collect()
}

#[test]
fn arrays_pass_as_they_came_and_say_what_their_stream_says() {
    for (name, bytes) in gemini_streams() {
        let array = as_array(&bytes);
        let mut plain = Relay::new(Dialect::Gemini, Coding::Identity);
        let _ = plain.bytes(&bytes, NOW, &mut Vec::new());
        let plain_end = plain.end(NOW, &mut Vec::new());
        for step in steps(array.len()) {
            let (mut relay, mut out) = (Relay::of_array(Coding::Identity, Vec::new()), Vec::new());
            for piece in array.chunks(step) {
                relay.bytes(piece, NOW, &mut out).unwrap();
            }
            assert_eq!(relay.end(NOW, &mut out), plain_end, "{name}");
            if plain_end.is_ok() {
                assert!(out == array, "{name}");
            }
            let told = |relay: &Relay| {
                let seen = &relay.seen;
                (seen.model.clone(), seen.usage, seen.stop, seen.text_events)
            };
            assert_eq!(told(&relay), told(&plain), "{name}");
        }
    }
}

#[test]
fn an_array_that_is_cut_is_still_an_array() {
    let refusal = Refusal::new(Class::Killed, "stopped");
    for (name, bytes) in gemini_streams() {
        let array = as_array(&bytes);
        let step = (array.len() / 40).max(1);
        for cut_at in (0..array.len()).step_by(step).chain([array.len()]) {
            let (mut relay, mut out) = (Relay::of_array(Coding::Identity, Vec::new()), Vec::new());
            relay.bytes(&array[..cut_at], NOW, &mut out).unwrap();
            let is_whole = out.trim_ascii_end().ends_with(b"]");
            relay.cut(&refusal, "x", &mut out);
            let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let last = told.as_array().unwrap().last().unwrap();
            assert_eq!(last["error"]["status"] == "PERMISSION_DENIED", !is_whole, "{name}");
        }
    }
}

#[test]
fn what_is_no_array_or_not_closed_is_not_whole() {
    let done = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#;
    for (bytes, broken) in [
        (format!("[{done}]\n"), None),
        (done.to_owned(), None),
        (format!("[{done}"), Some(Broken::Unfinished)),
        (format!("[{done},"), Some(Broken::Unfinished)),
        ("[]".to_owned(), Some(Broken::Unfinished)),
        (format!("data: {done}\n\n"), Some(Broken::Damaged(Damage::Array))),
        (format!("[{done} {done}]"), Some(Broken::Damaged(Damage::Array))),
    ] {
        let (mut relay, mut out) = (Relay::of_array(Coding::Identity, Vec::new()), Vec::new());
        let ended = relay.bytes(bytes.as_bytes(), NOW, &mut out);
        let ended = ended.and_then(|()| relay.end(NOW, &mut out));
        assert_eq!(ended.err(), broken, "{bytes}");
    }
}

#[test]
fn a_killed_tool_cuts_an_array_before_its_call() {
    let text = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#;
    let call = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"refund","args":{}}}]},"finishReason":"STOP"}]}"#;
    let (mut relay, mut out) = (Relay::of_array(Coding::Identity, Vec::new()), Vec::new());
    relay.bytes(format!("[{text}\n").as_bytes(), NOW, &mut out).unwrap();
    assert_eq!(relay.kill_tools(killing("refund")), ToolKill::CutIfCalled);
    let broken = relay.bytes(format!(",{call}]").as_bytes(), NOW, &mut out).unwrap_err();
    assert_eq!(broken, Broken::KilledTool { lever: "lv_1".into() });
    relay.cut(&Refusal::new(Class::Killed, "stopped"), "x", &mut out);
    let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(told.as_array().unwrap().len(), 2, "{told}");
    assert_eq!(told[1]["error"]["status"], "PERMISSION_DENIED");
}
