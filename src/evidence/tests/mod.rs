//! Tests of the store as a whole, on a disk that does what tests want.

mod disk;
mod erasure;
mod faults;
mod retention;
mod tampering;
mod tracks;

use super::disk::Disk;
use super::entry::{Entry, What};
use super::key::{PublicKey, SealKey};
use super::log::{Limits, Log};
use super::read::{Met, Segment, segment_name, segments};
use super::verify::{Report, Span, verify};
use crate::clock::Tick;
use crate::exchange::facts::{Facts, Identity, Outcome};
use crate::id::{AppName, Epoch, ExchangeId, LeverId, ProviderName, RouteName};
use crate::wire::Dialect;
use crate::wire::event::{Counts, StopReason};
use disk::MemoryDisk;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

const NOW: u64 = 1_700_000_000_000;

/// The same key each time, so that stores are the same byte for byte.
fn key() -> SealKey {
    SealKey::from_seed(&[7; 32])
}

fn keys() -> Vec<PublicKey> {
    vec![key().public()]
}

fn opened(id: u128) -> super::Opened {
    super::Opened {
        id: ExchangeId(id),
        began: Tick(0),
        began_unix_ms: NOW,
        identity: Identity { app: Some(AppName::new("helpdesk")), ..Identity::default() },
        route: None,
        dialect: None,
        model: Some("gpt-4o".into()),
        is_stream: true,
        epoch: Epoch(3),
        ruleset: None,
        levers: vec![],
        keep_days: None,
    }
}

/// What is known at the end of an exchange.
pub(super) fn facts(id: u128) -> Facts {
    Facts {
        identity: Identity { agent: Some("planner".into()), ..Identity::default() },
        dialect: Some(Dialect::OpenaiChat),
        route: Some(RouteName::new("support")),
        provider: Some(ProviderName::new("openai")),
        target: Some("openai/gpt-4o".into()),
        model_asked: Some("gpt-4o".into()),
        model_reported: Some("gpt-4o-2024-08-06".into()),
        is_stream: true,
        status: 200,
        outcome: Outcome::Completed,
        attempts: 1,
        request_bytes: 100,
        response_bytes: 2_000,
        first_byte: Some(Duration::from_millis(100)),
        total: Duration::from_millis(250),
        text_events: 20,
        stop: Some(StopReason::EndTurn),
        usage: Counts { input: Some(12), output: Some(34), ..Counts::default() },
        lever: Some(LeverId(5)),
        is_judged: true,
        cost_micro_usd: Some(370),
        ..Facts::blank(ExchangeId(id), NOW, "POST /v1/chat/completions".into())
    }
}

fn open_entry(id: u128) -> Entry {
    let what = What::Open { opened: Box::new(opened(id)), texts: super::entry::Texts::All };
    Entry { at_unix_ms: NOW, exchange: Some(ExchangeId(id)), what, seal_to: None }
}

fn close_entry(id: u128) -> Entry {
    let what = What::Close {
        ending: super::entry::Ending::Abandoned,
        loss: super::Loss::default(),
        received: 0,
        delivered: 0,
    };
    Entry { at_unix_ms: NOW, exchange: Some(ExchangeId(id)), what, seal_to: None }
}

fn note(text: &str) -> Entry {
    let about = Ok(serde_json::json!({ "text": text }).to_string());
    Entry {
        at_unix_ms: NOW,
        exchange: None,
        what: What::Note { what: "test".into(), about, sealed: None },
        seal_to: None,
    }
}

fn log_on(disk: &Arc<MemoryDisk>, limits: Limits) -> Log {
    let shared: Arc<dyn Disk> = Arc::<MemoryDisk>::clone(disk);
    Log::open(shared, key(), limits, NOW).unwrap().0
}

fn verified(disk: &dyn Disk) -> Report {
    verify(disk, Span::default(), &keys()).unwrap()
}

/// All lines of all segments, as JSON.
fn lines(disk: &dyn Disk) -> Vec<Value> {
    let mut found = Vec::new();
    for number in segments(disk).unwrap() {
        let mut segment = Segment::open(disk, number, 0).unwrap();
        loop {
            match segment.next_line().unwrap() {
                Met::Line(_, line) => found.push(serde_json::from_slice(line).unwrap()),
                Met::Damage(_) => {}
                Met::End => break,
            }
        }
    }
    found
}

fn kinds(disk: &dyn Disk) -> Vec<String> {
    lines(disk).iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect()
}

fn of_kind<'l>(lines: &'l [Value], kind: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

#[test]
fn a_store_is_begun_rotated_sealed_and_gone_on_with() {
    let disk = MemoryDisk::new();
    let limits = Limits { segment_bytes_max: 1, ..Limits::default() };
    let mut log = log_on(&disk, limits);
    for round in 0..3 {
        log.commit(&[open_entry(round), close_entry(round)], NOW).unwrap();
        log.rotate(NOW).unwrap();
    }
    drop(log);
    let mut log = log_on(&disk, Limits::default());
    log.commit(&[note("again")], NOW).unwrap();
    log.seal(NOW, None).unwrap();
    let report = verified(&*disk);
    assert!(report.is_good(), "{:?}", report.bad);
    assert_eq!((report.segments, report.open), (4, None));
    assert_eq!(report.records, 3 * 4 + 3);
    assert_eq!(report.head.map(|head| head.0), Some(15));
    let lines = lines(&*disk);
    assert!(lines.iter().zip(1_u64..).all(|(line, seq)| line["seq"] == seq));
    assert_eq!(of_kind(&lines, "segment")[3]["previous"]["number"], 3);
}

#[test]
fn what_was_under_way_is_named_when_the_end_was_not_clean() {
    let disk = MemoryDisk::new();
    let mut log = log_on(&disk, Limits { segment_bytes_max: 1, ..Limits::default() });
    log.commit(&[open_entry(1), open_entry(2)], NOW).unwrap();
    log.rotate(NOW).unwrap();
    log.commit(&[close_entry(1), open_entry(3)], NOW).unwrap();
    drop(log);
    let log = log_on(&disk, Limits::default());
    assert!(log.under_way.is_empty());
    let lines = lines(&*disk);
    let found = of_kind(&lines, "recovered");
    assert_eq!(found.len(), 1);
    let ids = [2, 3].map(|id| ExchangeId(id).to_string());
    assert_eq!(found[0]["unfinished"], serde_json::json!(ids));
    assert_eq!(found[0]["cut_bytes"], 0);
    let report = verified(&*disk);
    assert!(report.is_good(), "{:?}", report.bad);
    assert_eq!((report.recoveries, report.unfinished), (1, 2));
}

#[test]
fn a_segment_is_sealed_for_its_age_only_if_it_has_records() {
    let disk = MemoryDisk::new();
    let mut log = log_on(&disk, Limits::default());
    log.commit(&[], NOW).unwrap();
    let later = NOW + 3_600_000;
    log.rotate(later).unwrap();
    assert_eq!(kinds(&*disk), ["segment"]);
    log.commit(&[note("one")], later).unwrap();
    log.rotate(later).unwrap();
    assert_eq!(kinds(&*disk), ["segment", "note", "seal"]);
}

#[test]
fn foreign_files_are_left_alone() {
    let disk = MemoryDisk::new();
    for name in
        ["seg-1.ndjson.zst", "seg-0000000001.ndjson", "notes.txt", "seg-000000000x.ndjson.zst"]
    {
        disk.put(name, b"foreign");
    }
    let mut log = log_on(&disk, Limits::default());
    log.commit(&[note("one")], NOW).unwrap();
    log.seal(NOW, None).unwrap();
    assert!(verified(&*disk).is_good());
    assert_eq!(disk.get("notes.txt"), b"foreign");
    assert!(!disk.get(&segment_name(1)).is_empty());
}
