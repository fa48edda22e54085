//! What a track is told is what can be read back, however it was cut.

use super::super::age::Identity;
use super::super::disk::Disk;
use super::super::exchange::{self, Exchange, Gather, Wants};
use super::super::store::{Options, Store};
use super::super::{RequestHead, SentBody, TAIL_BYTES_MAX, Tap};
use super::*;
use crate::table::{Capture, Recipient};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// A key pair of age.
const IDENTITY: &str = "AGE-SECRET-KEY-1XMWWC06LY3EE5RYTXM9MFLAZ2U56JJJ36S0MYPDRWSVLUL66MV4QX3S7F6";
const RECIPIENT: &str = "age1w3tyke4gev25vaxxsvcgqu4484rf6ejpmavs57p6yz6lhy2sfs5swrvwyn";

const LONG: Duration = Duration::from_mins(1);

pub(super) fn options() -> Options {
    Options::of(Path::new("nowhere"))
}

pub(super) fn store_on(disk: &Arc<MemoryDisk>, options: Options) -> Store {
    let shared: Arc<dyn Disk> = Arc::<MemoryDisk>::clone(disk);
    Store::start_on(options, shared, || Ok(key())).unwrap()
}

/// What the record has of one direction: the bytes, and each chunk's time and length.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stream {
    bytes: Vec<u8>,
    chunks: Vec<(u64, u64)>,
}

fn body(line: &Value) -> Vec<u8> {
    let text = serde_json::to_vec(line).unwrap();
    let record = super::super::Record::parse(&text).unwrap();
    record.bytes().map(Cow::into_owned).unwrap_or_default()
}

fn add(stream: &mut Stream, line: &Value, bytes: &[u8]) {
    let chunks = line["chunks"].as_array().unwrap();
    let total: u64 = chunks.iter().map(|chunk| chunk[1].as_u64().unwrap()).sum();
    assert_eq!(total, line["bytes"], "chunks add up");
    assert_eq!(bytes.len() as u64, line["bytes"]);
    for (index, chunk) in chunks.iter().enumerate() {
        let (at, len) = (chunk[0].as_u64().unwrap(), chunk[1].as_u64().unwrap());
        match stream.chunks.last_mut() {
            Some(last) if index == 0 && line["joins"] == true => {
                assert_eq!(last.0, at);
                last.1 += len;
            }
            _ => stream.chunks.push((at, len)),
        }
    }
    stream.bytes.extend_from_slice(bytes);
}

/// Reads back as `docs/evidence.md` says.
fn read_back(lines: &[Value]) -> (BTreeMap<u64, Stream>, Stream) {
    let mut received: BTreeMap<u64, Stream> = BTreeMap::new();
    let mut delivered = Stream::default();
    for line in lines {
        match line["kind"].as_str().unwrap() {
            "received" => {
                let stream = received.entry(line["attempt"].as_u64().unwrap()).or_default();
                assert_eq!(line["offset"], stream.bytes.len() as u64);
                add(stream, line, &body(line));
            }
            "delivered" => {
                assert_eq!(line["offset"], delivered.bytes.len() as u64);
                let bytes = if line["same"].is_object() {
                    let attempt = line["same"]["attempt"].as_u64().unwrap();
                    let from = line["same"]["offset"].as_u64().unwrap() as usize;
                    let len = line["bytes"].as_u64().unwrap() as usize;
                    received[&attempt].bytes[from..from + len].to_vec()
                } else {
                    body(line)
                };
                add(&mut delivered, line, &bytes);
            }
            _ => {}
        }
    }
    (received, delivered)
}

/// The exchange, put together from its lines.
fn gathered(lines: &[Value], identity: Option<Identity>) -> Exchange {
    let wanted = Wants { identity: identity.map(Arc::new), ..Wants::default() };
    let mut gather = Gather::new(ExchangeId(1), wanted);
    for line in lines {
        gather.line(&serde_json::to_vec(line).unwrap()).unwrap();
    }
    gather.finish()
}

fn of(stream: &exchange::Stream) -> Stream {
    assert!(stream.is_kept());
    assert_eq!(stream.len, stream.bytes.len() as u64);
    let chunks = stream.chunks.iter().map(|chunk| (chunk.at_us, chunk.bytes)).collect();
    Stream { bytes: stream.bytes.clone(), chunks }
}

#[derive(Clone, Debug)]
enum Step {
    /// The provider sends.
    Receive(Vec<u8>),
    /// So much of what is not delivered goes on as it is.
    Deliver(usize),
    /// Something else goes to the client.
    Edit(Vec<u8>),
    /// Another attempt begins to answer.
    Attempt,
    Wait(u64),
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[aé€😀\n\"\\\\]{1,12}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 1..6),
        1 => (1_usize..40_000, "[aé€😀]{1,7}").prop_map(|(len, text)| {
            text.bytes().cycle().take(len).collect()
        }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => text().prop_map(Step::Receive),
        8 => (1_usize..60_000).prop_map(Step::Deliver),
        1 => text().prop_map(Step::Edit),
        1 => Just(Step::Attempt),
        3 => (0_u64..400_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn what_was_received_and_delivered_is_read_back(steps in steps(), is_sealed in any::<bool>()) {
        let disk = MemoryDisk::new();
        let store = store_on(&disk, options());
        let capture = if is_sealed { Capture::Sealed } else { Capture::Full };
        let mut track = store.tap().open(capture, opened(1)).unwrap();
        track.seal_to(&[Recipient::parse(RECIPIENT).unwrap()].into());
        let (mut received, mut delivered) = (BTreeMap::<u64, Stream>::new(), Stream::default());
        let (mut attempt, mut us, mut waiting) = (1_u16, 0_u64, Vec::new());
        track.received_head(Tick(0), attempt, 200, vec![]);
        for step in steps {
            let now = Tick(us * 1_000);
            match step {
                Step::Receive(bytes) => {
                    track.received(now, &bytes);
                    let stream = received.entry(u64::from(attempt)).or_default();
                    stream.bytes.extend_from_slice(&bytes);
                    stream.chunks.push((us, bytes.len() as u64));
                    waiting.extend_from_slice(&bytes);
                }
                Step::Deliver(most) => {
                    let part: Vec<u8> = waiting.drain(..most.min(waiting.len())).collect();
                    track.delivered(now, &part);
                    if !part.is_empty() {
                        delivered.chunks.push((us, part.len() as u64));
                        delivered.bytes.extend(part);
                    }
                }
                Step::Edit(bytes) => {
                    track.delivered(now, &bytes);
                    delivered.chunks.push((us, bytes.len() as u64));
                    delivered.bytes.extend(bytes);
                }
                Step::Attempt => {
                    attempt += 1;
                    waiting.clear();
                    track.received_head(now, attempt, 200, vec![]);
                }
                Step::Wait(more) => us += more,
            }
        }
        drop(track);
        let counters = store.close(LONG);
        prop_assert_eq!(counters.dropped, super::super::Loss::default());
        let lines = lines(&*disk);
        if is_sealed {
            prop_assert!(lines.iter().all(|line| line["text"].is_null() && line["base64"].is_null()));
        } else {
            let (back_received, back_delivered) = read_back(&lines);
            prop_assert_eq!(&back_received, &received);
            prop_assert_eq!(&back_delivered, &delivered);
        }
        let close = of_kind(&lines, "close");
        prop_assert_eq!(close.len(), 1);
        prop_assert_eq!(&close[0]["outcome"], "abandoned");
        prop_assert_eq!(&close[0]["delivered_bytes"], &serde_json::json!(delivered.bytes.len()));
        let back = gathered(&lines, Identity::parse(IDENTITY).filter(|_| is_sealed));
        prop_assert!(back.is_whole() && back.sealed.closed == 0);
        prop_assert_eq!(of(&back.delivered.body), delivered);
        for one in &back.attempts {
            let told = received.remove(&u64::from(one.number)).unwrap_or_default();
            prop_assert_eq!(of(&one.received), told);
        }
        prop_assert!(received.is_empty());
        prop_assert!(verified(&*disk).is_good());
    }

    #[test]
    fn a_body_is_cut_at_borders_of_characters(len in 0_usize..900_000, unit in "[aé€😀]{1,7}") {
        let mut text: String = unit.chars().cycle().take(len / unit.len().max(1)).collect();
        text.push('é');
        let body = Bytes::from(text);
        let pieces: Vec<_> = super::super::entry::pieces(&body).collect();
        let mut whole = Vec::new();
        for piece in &pieces {
            prop_assert_eq!(piece.offset, whole.len() as u64);
            let bytes = piece.bytes.as_ref().unwrap();
            prop_assert!(std::str::from_utf8(bytes).is_ok());
            whole.extend_from_slice(bytes);
        }
        prop_assert_eq!(&whole[..], &body[..]);
    }
}

fn run(capture: Capture, act: impl FnOnce(&Tap, &mut super::super::Track)) -> Vec<Value> {
    let disk = MemoryDisk::new();
    let store = store_on(&disk, options());
    let tap = store.tap();
    let mut track = tap.open(capture, opened(1)).unwrap();
    act(&tap, &mut track);
    track.close(Tick(2_000_000_000), Arc::new(facts(1)));
    store.close(LONG);
    assert!(verified(&*disk).is_good());
    lines(&*disk)
}

#[test]
fn an_answer_that_passes_as_it_came_stands_once() {
    let lines = run(Capture::Full, |_, track| {
        track.received_head(Tick(0), 1, 200, vec![]);
        for at in 0..40_u64 {
            let chunk = format!("data: {{\"delta\":\"{at}\"}}\n\n").repeat(100);
            track.received(Tick(at * 1_000_000), chunk.as_bytes());
            track.delivered(Tick(at * 1_000_000 + 5_000), chunk.as_bytes());
        }
    });
    let delivered = of_kind(&lines, "delivered");
    assert!(!delivered.is_empty());
    assert!(delivered.iter().all(|line| line["same"]["attempt"] == 1 && line["text"].is_null()));
    let (received, back) = read_back(&lines);
    assert_eq!(received[&1].bytes, back.bytes);
    assert_eq!(back.chunks[7].0, 7_005);
}

#[test]
fn what_is_held_too_long_is_written_out() {
    let whole = vec![b'x'; TAIL_BYTES_MAX + 1];
    let lines = run(Capture::Full, |_, track| {
        track.received_head(Tick(0), 1, 200, vec![]);
        for piece in whole.chunks(1_000) {
            track.received(Tick(1_000), piece);
        }
        track.delivered(Tick(2_000), &whole);
    });
    let (received, delivered) = read_back(&lines);
    assert_eq!(received[&1].bytes, whole);
    assert_eq!(delivered.bytes, whole);
}

#[test]
fn metadata_has_times_and_sizes_and_no_texts() {
    let body = Bytes::from_static(b"{\"prompt\":\"a secret thought\"}");
    let lines = run(Capture::Metadata, |_, track| {
        let head = RequestHead { method: Method::POST, path: "/v1".into(), headers: vec![] };
        track.request(Tick(0), head, &body);
        let sent = SentBody::Other(body.clone());
        track.sent(Tick(0), 1, &"openai/gpt-4o".into(), body.len() as u64, &sent);
        track.received_head(Tick(0), 1, 200, vec![]);
        track.received(Tick(1_000), b"a secret answer");
        track.delivered(Tick(2_000), b"a secret answer");
    });
    assert!(lines.iter().all(|line| !line.to_string().contains("secret")));
    assert_eq!(of_kind(&lines, "request")[0]["bytes"], body.len());
    assert_eq!(of_kind(&lines, "received")[0]["chunks"], serde_json::json!([[1, 15]]));
    assert_eq!(of_kind(&lines, "delivered")[0]["chunks"], serde_json::json!([[2, 15]]));
}

#[test]
fn values_of_fields_that_hold_credentials_are_blank() {
    let field = |name: &'static str, value: &'static [u8]| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
    };
    let headers = vec![
        field("authorization", b"Bearer sk-hidden"),
        field("x-api-key", b"sk-hidden"),
        field("user-agent", b"tests"),
        field("x-odd", b"\xFF"),
    ];
    let body = Bytes::from(vec![b'a'; super::super::PIECE_BYTES_MAX + 1]);
    let lines = run(Capture::Full, |_, track| {
        let head = RequestHead { method: Method::POST, path: "/v1".into(), headers };
        track.request(Tick(0), head, &body);
        track.sent(
            Tick(0),
            1,
            &"openai/gpt-4o".into(),
            body.len() as u64,
            &SentBody::Same(body.clone()),
        );
    });
    assert!(lines.iter().all(|line| !line.to_string().contains("sk-hidden")));
    let requests = of_kind(&lines, "request");
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0]["headers"][0], serde_json::json!(["authorization", null]));
    assert_eq!(requests[0]["headers"][2], serde_json::json!(["user-agent", "tests"]));
    assert_eq!(requests[0]["headers"][3], serde_json::json!(["x-odd", { "base64": "/w==" }]));
    assert_eq!(requests[1]["headers"], Value::Null);
    assert_eq!(requests[1]["offset"], super::super::PIECE_BYTES_MAX);
    assert_eq!(of_kind(&lines, "sent")[0]["same"], "request");
}

#[test]
fn a_close_has_the_facts() {
    let lines = run(Capture::Full, |tap, _| {
        tap.note(super::super::Note {
            at_unix_ms: NOW,
            what: "lever_pulled".into(),
            exchange: None,
            about: serde_json::json!({ "lever": "lv_1" }),
        });
        tap.note(super::super::Note {
            at_unix_ms: NOW,
            what: "context".into(),
            exchange: Some(ExchangeId(1)),
            about: "x".repeat(super::super::PIECE_BYTES_MAX).into(),
        });
    });
    let close = of_kind(&lines, "close")[0];
    assert_eq!(close["exchange"], ExchangeId(1).to_string());
    assert_eq!(close["outcome"], "completed");
    assert_eq!(close["usage"]["output"], 34);
    assert_eq!(close["cost_micro_usd"], 370);
    assert_eq!(close["first_byte_us"], 100_000);
    assert_eq!(close["lever"], crate::id::LeverId(5).to_string());
    assert_eq!(close["at"], "2023-11-14T22:13:22.000Z");
    let notes = of_kind(&lines, "note");
    assert_eq!(notes[0]["about"]["lever"], "lv_1");
    assert_eq!(notes[1]["too_large"], super::super::PIECE_BYTES_MAX + 2);
}

#[test]
fn a_route_that_records_nothing_has_no_track() {
    let disk = MemoryDisk::new();
    let store = store_on(&disk, options());
    assert!(store.tap().open(Capture::Off, opened(1)).is_none());
    assert!(Tap::off().open(Capture::Full, opened(1)).is_none());
    store.close(LONG);
    assert_eq!(kinds(&*disk), ["segment", "seal"]);
}
