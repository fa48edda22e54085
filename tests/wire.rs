//! Every recorded stream and body, through every dialect that reads it.
//!
//! A dialect is one row of [`ROWS`]. For each of its recordings: frames put end to end are the
//! bytes; every frame yields an event; what was decoded, encoded and decoded again says the same,
//! and no member is lost on the way; the events do not depend on how the bytes were cut; damaged
//! bytes never panic; and another dialect's encoder keeps what the answer says.
//!
//! *The same* means equal events once spans and [`Event::Ping`] are taken away and consecutive
//! texts of one channel are joined: an encoder has its own framing and its own keep-alives, but
//! may neither reorder nor change what is said.
//!
//! Recordings lie under `FIREDOOR_DATA`, or `../shared/data` beside this package.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use firedoor::wire::event::{Block, Channel, Counts, Event, Kind, StopReason, ToolFlavour};
use firedoor::wire::framing::Splitter;
use firedoor::wire::loss::Losses;
use firedoor::wire::{Decoder, Dialect, Encoder, decode_unary, encode_unary};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// One dialect and its recordings.
struct Row {
    dialect: Dialect,
    /// Folders under `wire/`.
    folders: &'static [&'static str],
    /// Known members that may be left out where they say nothing: `null`, an empty text or list.
    unsaid: &'static [&'static str],
    /// Known members that are written in another place, or that another event says.
    moved: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        dialect: Dialect::OpenaiChat,
        folders: &["openai-chat", "azure-openai-chat", "writer-chat"],
        unsaid: &[
            ".system_fingerprint",
            ".service_tier",
            ".choices[].logprobs",
            ".choices[].delta.content",
            ".choices[].delta.refusal",
            ".choices[].delta.reasoning",
            ".choices[].delta.reasoning_content",
            ".choices[].delta.tool_calls",
            ".choices[].delta.function_call",
            ".choices[].message.content",
            ".choices[].message.refusal",
            ".choices[].message.reasoning",
            ".choices[].message.reasoning_content",
            ".choices[].message.tool_calls",
            ".choices[].message.tool_calls[].index",
            ".choices[].message.function_call",
        ],
        moved: &[
            // In a whole answer the place in the list is the index.
            ".choices[].message.tool_calls[].index",
            // An error body without `error` gets one.
            ".code",
            ".message",
            ".type",
        ],
    },
    Row {
        dialect: Dialect::OpenaiResponses,
        folders: &["openai-responses", "azure-openai-responses"],
        unsaid: &[],
        // Random padding against traffic analysis: it says nothing.
        moved: &[".obfuscation"],
    },
    Row {
        dialect: Dialect::Anthropic,
        folders: &["anthropic-messages"],
        unsaid: &[],
        // Arguments that come whole are told like arguments that come in pieces.
        moved: &[".content_block.input", ".content_block.input.url"],
    },
    Row {
        dialect: Dialect::Gemini,
        folders: &["gemini-generatecontent"],
        unsaid: &[],
        // A candidate that says nothing need not have a place to say it.
        moved: &[".candidates[].content", ".candidates[].content.role"],
    },
    Row {
        dialect: Dialect::Bedrock,
        folders: &["bedrock-converse", "bedrock-converse-stream"],
        unsaid: &[],
        moved: &[],
    },
];

/// Byte-by-byte cutting is tried up to this size, cutting at every place up to the second.
const BYTE_WISE_MAX: usize = 256 << 10;
const EVERY_CUT_MAX: usize = 900;

/// Random cuttings and damages tried of each recording.
const CUTTINGS: u32 = 3;
const DAMAGES: u32 = 6;

struct Recording {
    path: PathBuf,
    bytes: Vec<u8>,
    is_stream: bool,
}

fn built() -> impl Iterator<Item = &'static Row> {
    ROWS.iter()
}

fn recordings(row: &Row) -> Vec<Recording> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let root = std::env::var_os("FIREDOOR_DATA").map_or(beside, PathBuf::from).join("wire");
    let mut found = Vec::new();
    for folder in row.folders {
        let folder = root.join(folder);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| {
            panic!("{}: {error}: set FIREDOOR_DATA to the recordings", folder.display())
        });
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
            let is_stream = matches!(ending, "sse" | "bin");
            let is_body = matches!(ending, "json" | "txt") && !name.ends_with(".meta.json");
            if is_stream || is_body {
                let bytes = std::fs::read(&path).unwrap();
                found.push(Recording { path, bytes, is_stream });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "no recordings of {}", row.dialect.name());
    found
}

/// The frames of bytes that arrive in pieces; a rest that is not whole, or is damaged, is the last.
fn frames<'p>(dialect: Dialect, pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<Vec<u8>> {
    let (mut held, mut frames) = (Vec::new(), Vec::new());
    let mut splitter = Splitter::new(dialect.framing());
    for piece in pieces {
        held.extend_from_slice(piece);
        while let Ok(Some(end)) = splitter.next(&held) {
            frames.push(held.drain(..end).collect());
        }
    }
    if !held.is_empty() {
        frames.push(held);
    }
    frames
}

/// The events of each frame.
fn decode_frames(dialect: Dialect, frames: &[Vec<u8>]) -> Vec<Vec<Event<'static>>> {
    let mut decoder = Decoder::new(dialect);
    let mut told = Vec::with_capacity(frames.len());
    for raw in frames {
        let mut events = Vec::new();
        let frame = dialect.framing().frame(raw);
        decoder.frame(&frame, &mut |event| events.push(event.into_owned()));
        assert!(!events.is_empty(), "no event of {:?}", String::from_utf8_lossy(raw));
        told.push(events);
    }
    told
}

fn decode(recording: &Recording, dialect: Dialect) -> Vec<Vec<Event<'static>>> {
    if recording.is_stream {
        decode_frames(dialect, &frames(dialect, [&recording.bytes[..]]))
    } else {
        vec![decode_body(dialect, &recording.bytes)]
    }
}

fn decode_body(dialect: Dialect, body: &[u8]) -> Vec<Event<'static>> {
    let mut events = Vec::new();
    decode_unary(dialect, body, &mut |event| events.push(event.into_owned()));
    assert!(!events.is_empty(), "no event of {:?}", String::from_utf8_lossy(body));
    events
}

fn encode(
    recording: &Recording,
    dialect: Dialect,
    source: Dialect,
    told: &[Vec<Event<'static>>],
) -> Vec<u8> {
    if !recording.is_stream {
        return encode_unary(dialect, source, &told.concat(), &mut Losses::default());
    }
    let mut encoder = Encoder::new(dialect, source);
    let mut out = Vec::new();
    for events in told {
        encoder.frame(events, &mut out);
    }
    out
}

/// Without spans and pings, consecutive texts of one channel joined.
fn said(told: &[Vec<Event<'static>>]) -> Vec<Event<'static>> {
    let mut out: Vec<Event<'static>> = Vec::new();
    for event in told.iter().flatten().filter(|event| **event != Event::Ping) {
        if let Event::Text { channel, text, .. } = event
            && let Some(Event::Text { channel: last, text: before, .. }) = out.last_mut()
            && last == channel
        {
            before.to_mut().push_str(text);
            continue;
        }
        out.push(event.clone().without_span());
    }
    out
}

/// The first place where two runs of events differ, for a message that can be read.
fn assert_said(one: &[Event<'static>], other: &[Event<'static>], path: &Path) {
    for at in 0..one.len().max(other.len()) {
        let (one, other) = (one.get(at), other.get(at));
        assert_eq!(one, other, "{}: event {at}", path.display());
    }
}

#[test]
fn frames_put_end_to_end_are_the_bytes() {
    for row in built() {
        for recording in recordings(row).iter().filter(|recording| recording.is_stream) {
            let joined = frames(row.dialect, [&recording.bytes[..]]).concat();
            assert!(joined == recording.bytes, "{}", recording.path.display());
        }
    }
}

#[test]
fn encoded_and_decoded_again_says_the_same() {
    let mut line = String::from("wire:");
    for row in ROWS {
        let (mut streams, mut bodies, mut events, mut opaque) = (0, 0, 0, 0);
        for recording in recordings(row) {
            let told = decode(&recording, row.dialect);
            let wire = encode(&recording, row.dialect, row.dialect, &told);
            let again = Recording { bytes: wire, path: recording.path.clone(), ..recording };
            let told_again = decode(&again, row.dialect);
            assert_said(&said(&told), &said(&told_again), &recording.path);
            events += told.iter().map(Vec::len).sum::<usize>();
            let is_opaque = |event: &&Event<'_>| matches!(event, Event::Opaque { .. });
            opaque += told.iter().flatten().filter(is_opaque).count();
            streams += usize::from(recording.is_stream);
            bodies += usize::from(!recording.is_stream);
        }
        write!(
            line,
            " {} {streams} streams, {bodies} bodies, {events} events ({opaque} opaque);",
            row.dialect.name()
        )
        .unwrap();
    }
    line.push('\n');
    // Written past the test harness, which would keep it from a reader of a green run.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// The paths of all members in the JSON of a recording, list places left open, and whether any of
/// them says something.
fn paths(dialect: Dialect, recording: &Recording) -> BTreeMap<String, bool> {
    fn walk(value: &Value, path: &str, found: &mut BTreeMap<String, bool>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let path = format!("{path}.{name}");
                    walk(value, &path, found);
                    *found.entry(path).or_default() |= says_something(value);
                }
            }
            Value::Array(items) => {
                for item in items {
                    walk(item, &format!("{path}[]"), found);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = BTreeMap::new();
    if recording.is_stream {
        for raw in frames(dialect, [&recording.bytes[..]]) {
            if let Ok(value) = serde_json::from_slice(&dialect.framing().frame(&raw).data) {
                walk(&value, "", &mut found);
            }
        }
    } else if let Ok(value) = serde_json::from_slice(&recording.bytes) {
        walk(&value, "", &mut found);
    }
    found
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

#[test]
fn no_member_is_lost() {
    let mut lost = BTreeSet::new();
    for row in built() {
        for recording in recordings(row) {
            let told = decode(&recording, row.dialect);
            let wire = encode(&recording, row.dialect, row.dialect, &told);
            let path = recording.path.clone();
            let before = paths(row.dialect, &recording);
            let after = paths(row.dialect, &Recording { bytes: wire, ..recording });
            for (member, says) in before {
                let is_kept = after.get(&member).is_some_and(|says_after| *says_after >= says);
                let is_excused =
                    row.moved.contains(&&*member) || (!says && row.unsaid.contains(&&*member));
                if !is_kept && !is_excused {
                    lost.insert(format!("{member} (says something: {says}) of {}", path.display()));
                }
            }
        }
    }
    assert!(lost.is_empty(), "{} lost:\n{}", lost.len(), Vec::from_iter(lost).join("\n"));
}

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn events_do_not_depend_on_how_bytes_were_cut() {
    for row in built() {
        let mut runner = runner(CUTTINGS);
        for recording in recordings(row).iter().filter(|recording| recording.is_stream) {
            let bytes = &recording.bytes[..];
            let whole = frames(row.dialect, [bytes]);
            let expected = decode_frames(row.dialect, &whole);
            let check = |cut: Vec<Vec<u8>>| {
                let told = decode_frames(row.dialect, &cut);
                assert!(told == expected, "{}", recording.path.display());
            };
            if bytes.len() <= BYTE_WISE_MAX {
                check(frames(row.dialect, bytes.chunks(1)));
            }
            if bytes.len() <= EVERY_CUT_MAX {
                (1..bytes.len())
                    .for_each(|at| check(frames(row.dialect, [&bytes[..at], &bytes[at..]])));
            }
            let cuts = prop::collection::vec(any::<Index>(), 1..40);
            runner
                .run(&cuts, |cuts| {
                    let mut cuts: Vec<usize> =
                        cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
                    cuts.push(bytes.len());
                    cuts.sort_unstable();
                    let mut from = 0;
                    let pieces = cuts.into_iter().map(|cut| {
                        let piece = &bytes[from..cut];
                        from = cut;
                        piece
                    });
                    check(frames(row.dialect, pieces));
                    Ok(())
                })
                .unwrap();
        }
    }
}

#[test]
fn damaged_bytes_never_panic() {
    for row in built() {
        let mut runner = runner(DAMAGES);
        for mut recording in recordings(row) {
            // The start and the end of a long recording hold all that is special about it.
            if recording.bytes.len() > 24 << 10 {
                let tail = recording.bytes.split_off(recording.bytes.len() - (8 << 10));
                recording.bytes.truncate(16 << 10);
                recording.bytes.extend_from_slice(&tail);
            }
            let damage = (any::<Index>(), any::<u8>(), 0usize..40);
            let strategy = prop::collection::vec(damage, 1..6);
            runner
                .run(&strategy, |damages| {
                    let mut bytes = recording.bytes.clone();
                    for (at, byte, length) in damages {
                        let at = at.index(bytes.len() + 1);
                        match byte % 4 {
                            0 => bytes.truncate(at),
                            1 => drop(bytes.drain(at..(at + length).min(bytes.len()))),
                            2 => {
                                let copy = bytes[at..(at + length).min(bytes.len())].to_vec();
                                bytes.splice(at..at, copy);
                            }
                            _ => bytes.insert(at, byte),
                        }
                    }
                    let damaged = Recording { bytes, path: recording.path.clone(), ..recording };
                    let told = decode(&damaged, row.dialect);
                    for target in built() {
                        drop(encode(&damaged, target.dialect, row.dialect, &told));
                    }
                    Ok(())
                })
                .unwrap();
        }
    }
}

/// What a client makes of an answer.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    text: String,
    refusal: String,
    /// Without blanks, since parts are joined differently.
    reasoning: String,
    /// Name and arguments.
    calls: Vec<(String, Value)>,
    stop: Option<StopReason>,
    counts: Counts,
    errors: Vec<String>,
}

/// A call as it is gathered: where, its id, its name, its flavour, its arguments.
type Gathered = (Channel, String, String, ToolFlavour, String);

/// What a client of `dialect` makes of choice `choice`, and the ids of its calls.
fn answer(dialect: Dialect, choice: u16, told: &[Vec<Event<'static>>]) -> (Answer, Vec<String>) {
    let mut answer = Answer::default();
    let mut calls: Vec<Gathered> = Vec::new();
    let mut hosted = BTreeSet::new();
    let mut copy = None;
    for event in told.iter().flatten() {
        match event {
            Event::Open { channel, block } if channel.choice == choice => match block {
                Block::Tool { flavour: ToolFlavour::Server, .. } | Block::Other(_) => {
                    hosted.insert(channel.block);
                }
                Block::Tool { id, name, flavour } => {
                    // Begun anew before its end: no client can make one call of the two.
                    let is_half = |arguments: &String| {
                        !arguments.is_empty() && serde_json::from_str::<Value>(arguments).is_err()
                    };
                    if calls.iter().any(|call| call.0 == *channel && is_half(&call.4)) {
                        answer.errors.push("two calls in one".to_owned());
                    }
                    let (id, name) = (id.to_string(), name.to_string());
                    calls.push((*channel, id, name, *flavour, String::new()));
                }
                Block::Text | Block::Reasoning | Block::Refusal => {}
            },
            Event::Text { channel, text, .. }
                if channel.choice == choice && !hosted.contains(&channel.block) =>
            {
                match channel.kind {
                    Kind::Answer => answer.text += text,
                    Kind::Refusal => answer.refusal += text,
                    Kind::Reasoning => {
                        // Imitators send the same reasoning under several names.
                        let number =
                            if dialect == Dialect::OpenaiChat { channel.part.min(2) } else { 0 };
                        if *copy.get_or_insert(number) == number {
                            answer.reasoning.extend(text.split_whitespace());
                        }
                    }
                    Kind::ToolArguments => {
                        if let Some(call) =
                            calls.iter_mut().rfind(|call| call.0.block == channel.block)
                        {
                            // Pieces by path are no JSON.
                            call.4 += if channel.part == 0 { text } else { "\u{0}" };
                        }
                    }
                    _ => {}
                }
            }
            Event::Stop { choice: at, reason, .. } if *at == choice => answer.stop = Some(*reason),
            Event::Usage { counts, .. } => {
                let before = answer.counts;
                answer.counts = Counts {
                    input: counts.input.or(before.input),
                    output: counts.output.or(before.output),
                    cache_read: counts.cache_read.or(before.cache_read),
                    cache_write: counts.cache_write.or(before.cache_write),
                    reasoning: counts.reasoning.or(before.reasoning),
                };
            }
            Event::Error { message, .. } => answer.errors.push(message.to_string()),
            _ => {}
        }
    }
    let mut ids = Vec::new();
    for (_, id, name, flavour, arguments) in calls {
        let arguments = match flavour {
            ToolFlavour::Custom => serde_json::json!({ "input": arguments }),
            _ if matches!(arguments.trim(), "" | "null") => serde_json::json!({}),
            _ => match serde_json::from_str(&arguments) {
                Ok(arguments) => arguments,
                // Half a call, which other dialects may leave out.
                Err(_) => continue,
            },
        };
        ids.push(id);
        answer.calls.push((name, arguments));
    }
    (answer, ids)
}

/// What `answer` is in a dialect with less room.
fn in_dialect(mut answer: Answer, target: Dialect) -> Answer {
    let has_own = matches!(target, Dialect::OpenaiChat | Dialect::OpenaiResponses);
    if answer.stop == Some(StopReason::EndTurn)
        && answer.text.is_empty()
        && !answer.refusal.is_empty()
    {
        answer.stop = Some(StopReason::Refusal);
    }
    if !has_own {
        // A dialect without a place for refusals tells one as its answer.
        let refusal = std::mem::take(&mut answer.refusal);
        answer.text += &refusal;
    }
    answer.stop = answer.stop.map(|reason| match reason {
        StopReason::EndTurn | StopReason::Other if !answer.calls.is_empty() => StopReason::ToolUse,
        StopReason::ToolUse if answer.calls.is_empty() => StopReason::EndTurn,
        // Words that not every dialect has.
        StopReason::StopSequence | StopReason::Pause | StopReason::Other => StopReason::EndTurn,
        StopReason::ContentFilter => StopReason::Refusal,
        reason => reason,
    });
    if !answer.errors.is_empty() || answer.stop == Some(StopReason::Error) {
        // An error may be told twice, or be all there is.
        return Answer { errors: vec!["an error".to_owned()], ..Answer::default() };
    }
    // Where a count is not said, or its place is one that must be filled, it is 0.
    let said = |count: Option<u64>| Some(count.unwrap_or(0));
    let counts = answer.counts;
    // Gemini counts reasoning beside the answer, as some imitators of others do.
    let beside = counts.reasoning.filter(|count| *count > counts.output.unwrap_or(0));
    let beside = beside.filter(|_| target == Dialect::Gemini).unwrap_or(0);
    answer.counts = Counts {
        input: said(counts.input),
        output: said(counts.output.map(|output| output + beside)),
        cache_read: said(counts.cache_read),
        cache_write: said(if target == Dialect::Gemini { None } else { counts.cache_write }),
        // Bedrock counts reasoning among the answer, and does not say how much of it there is.
        reasoning: said(if target == Dialect::Bedrock { None } else { counts.reasoning }),
    };
    answer
}

fn is_unread(told: &[Vec<Event<'static>>]) -> bool {
    let says = |event: &Event<'_>| matches!(event, Event::Text { .. } | Event::Start { .. });
    let is_error = |event: &Event<'_>| matches!(event, Event::Error { .. });
    !told.iter().flatten().any(|event| says(event) || is_error(event))
}

/// Everything that an answer says, in every other dialect.
#[test]
fn an_answer_is_the_same_in_every_dialect() {
    let mut wrong = Vec::new();
    for row in ROWS {
        for recording in recordings(row) {
            let mut told = decode(&recording, row.dialect);
            if is_unread(&told) {
                continue;
            }
            // Some recordings hold several answers: the first one ends where it says so. Where the
            // source has no end mark of its own, the end of its bytes is one.
            let mut all = told.concat();
            if let Some(end) = all.iter().position(|event| *event == Event::End) {
                all.truncate(end + 1);
                told = all.into_iter().map(|event| vec![event]).collect();
            } else {
                told.push(vec![Event::End]);
            }
            for target in ROWS.iter().filter(|target| target.dialect != row.dialect) {
                let wire = encode(&recording, target.dialect, row.dialect, &told);
                let there = Recording { bytes: wire, path: recording.path.clone(), ..recording };
                let told_there = decode(&there, target.dialect);
                let has_choices =
                    |dialect| matches!(dialect, Dialect::OpenaiChat | Dialect::Gemini);
                let both = has_choices(row.dialect) && has_choices(target.dialect);
                for choice in 0..=u16::from(both) {
                    let (expected, _) = answer(row.dialect, choice, &told);
                    let (found, ids) = answer(target.dialect, choice, &told_there);
                    let mut expected = in_dialect(expected, target.dialect);
                    let found = in_dialect(found, target.dialect);
                    let unique: BTreeSet<_> = ids.iter().collect();
                    let are_valid = ids.iter().all(|id| {
                        let is_valid =
                            |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
                        !id.is_empty() && id.len() <= 64 && id.chars().all(is_valid)
                    });
                    if expected.stop.is_none() {
                        // A dialect that has to say why says that the turn ended.
                        expected.stop = found.stop;
                    }
                    if found != expected || unique.len() != ids.len() || !are_valid {
                        wrong.push(format!(
                            "{} as {}, choice {choice}:\n  {expected:?}\n  {found:?} {ids:?}",
                            recording.path.display(),
                            target.dialect.name(),
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What answers of one dialect lose in another, as the documentation lists it.
#[test]
fn the_documentation_lists_the_losses() {
    let mut rows = Vec::new();
    for row in ROWS {
        for target in ROWS.iter().filter(|target| target.dialect != row.dialect) {
            let mut losses = Losses::default();
            for recording in recordings(row) {
                let told = decode(&recording, row.dialect);
                if recording.is_stream {
                    let mut encoder = Encoder::new(target.dialect, row.dialect);
                    for events in &told {
                        encoder.frame(events, &mut Vec::new());
                    }
                    losses.join(encoder.losses());
                } else {
                    encode_unary(target.dialect, row.dialect, &told.concat(), &mut losses);
                }
            }
            let names: Vec<String> =
                losses.iter().map(|loss| format!("`{}`", loss.name())).collect();
            let (from, to) = (row.dialect.name(), target.dialect.name());
            rows.push(format!("| `{from}` | `{to}` | {} |", names.join(", ")));
        }
    }
    let page = include_str!("../docs/translation.md");
    let listed = page.split_once("<!-- answers: begin -->").map_or("", |(_, rest)| rest);
    let listed = listed.split_once("<!-- answers: end -->").map_or("", |(table, _)| table);
    let listed: Vec<&str> = listed.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(listed, rows, "docs/translation.md should read:\n{}", rows.join("\n"));
}
