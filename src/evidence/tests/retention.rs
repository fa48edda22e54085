//! What goes leaves a record of itself, and what is held stays.

use super::super::retire::Policy;
use super::super::{Sealed, Shares};
use super::disk::Trouble;
use super::*;
use crate::table::RouteKept;

fn filled(limits: Limits, segments: u64) -> (Arc<MemoryDisk>, Log) {
    let disk = MemoryDisk::new();
    let mut log = log_on(&disk, Limits { segment_bytes_max: 1, ..limits });
    for round in 0..segments {
        let now = NOW + round * 1_000;
        let mut entry = note("said");
        entry.at_unix_ms = now;
        log.commit(&[entry], now).unwrap();
        log.rotate(now).unwrap();
    }
    (disk, log)
}

pub(super) const NOTHING: Policy<'_> =
    Policy { is_held: &|_| false, of_route: &|_| RouteKept::default() };

fn holding(is_held: &dyn Fn(&Sealed) -> bool) -> Policy<'_> {
    Policy { is_held, ..NOTHING }
}

#[test]
fn old_segments_go_and_held_ones_stay() {
    let limits = Limits { kept_for: Some(Duration::from_secs(3)), ..Limits::default() };
    let (disk, mut log) = filled(limits, 8);
    log.retire(NOW + 7_000, holding(&|sealed| sealed.number == 2)).unwrap();
    assert_eq!(segments(&*disk).unwrap(), [2, 5, 6, 7, 8, 9]);
    let said = lines(&*disk);
    let retired = of_kind(&said, "retired");
    assert_eq!(retired.len(), 3);
    assert_eq!(retired[0]["retired"]["number"], 1);
    assert_eq!(retired[0]["why"], "age");
    assert_eq!(retired[0]["retired"]["signature"].as_str().unwrap().len(), 128);
    let report = verified(&*disk);
    assert!(report.is_good(), "{:?}", report.bad);
    assert_eq!(report.retired.iter().collect::<Vec<_>>(), [(1, 1), (3, 4)]);
}

#[test]
fn the_oldest_go_when_there_is_too_much() {
    let limits = Limits { kept_bytes_max: Some(2_500), ..Limits::default() };
    let (disk, mut log) = filled(limits, 8);
    log.retire(NOW, NOTHING).unwrap();
    let kept = segments(&*disk).unwrap();
    assert!(kept.len() < 8 && kept.contains(&8) && !kept.contains(&1), "{kept:?}");
    assert!(verified(&*disk).is_good());
}

#[test]
fn a_segment_that_was_only_deleted_is_missing() {
    let limits = Limits { kept_for: Some(Duration::from_secs(3)), ..Limits::default() };
    let (disk, mut log) = filled(limits, 8);
    log.retire(NOW + 7_000, NOTHING).unwrap();
    disk.delete(&segment_name(6));
    let report = verified(&*disk);
    assert!(report.bad.iter().any(|bad| bad.segment == 6));
    assert!(report.bad.iter().all(|bad| bad.segment != 3));
}

/// The records of a removal may be removed in their turn; every segment repeats what went.
#[test]
fn what_went_is_known_after_its_record_went() {
    let limits = Limits { kept_for: Some(Duration::from_secs(3)), ..Limits::default() };
    let (disk, mut log) = filled(limits, 8);
    for round in 8..30 {
        let now = NOW + round * 1_000;
        let mut entry = note("said");
        entry.at_unix_ms = now;
        log.retire(now, holding(&|sealed| sealed.number == 4)).unwrap();
        log.commit(&[entry], now).unwrap();
        log.rotate(now).unwrap();
        let report = verified(&*disk);
        assert!(report.is_good(), "{:?}", report.bad);
    }
    assert!(segments(&*disk).unwrap().contains(&4));
    drop(log);
    let mut log = log_on(&disk, limits);
    assert!(log.retired.has(3) && !log.retired.has(4));
    log.retire(NOW + 90_000, NOTHING).unwrap();
    assert!(!segments(&*disk).unwrap().contains(&4));
    log.seal(NOW, None).unwrap();
    let report = verified(&*disk);
    assert!(report.is_good(), "{:?}", report.bad);
}

#[test]
fn a_file_that_could_not_be_removed_is_removed_later() {
    let limits = Limits { kept_for: Some(Duration::from_secs(3)), ..Limits::default() };
    let (disk, mut log) = filled(limits, 3);
    let old = disk.get(&segment_name(1));
    log.retire(NOW + 90_000, NOTHING).unwrap();
    drop(log);
    // As if the power had failed between the record and the removal.
    disk.put(&segment_name(1), &old);
    assert!(verified(&*disk).is_good());
    let mut log = log_on(&disk, limits);
    disk.trouble(Trouble::ReadOnly);
    assert!(log.retire(NOW, NOTHING).is_err());
    disk.trouble(Trouble::None);
    log.retire(NOW, NOTHING).unwrap();
    assert!(!segments(&*disk).unwrap().contains(&1));
}

/// Segments of a store that did not tell shares stay as long as a route wanted the whole of them.
#[test]
fn what_an_older_store_wants_kept_stays_as_a_whole() {
    let limits = Limits { kept_for: Some(Duration::from_secs(3)), ..Limits::default() };
    let (disk, mut log) = filled(limits, 2);
    for sealed in &mut log.sealed {
        sealed.shares = Shares::default();
        sealed.kept_until_unix_ms = (sealed.number == 1).then_some(NOW + 90_000);
    }
    log.retire(NOW + 90_000 - 1, NOTHING).unwrap();
    assert_eq!(segments(&*disk).unwrap(), [1, 3]);
    log.retire(NOW + 90_000, NOTHING).unwrap();
    assert!(!segments(&*disk).unwrap().contains(&1));
}

/// What is under way when a segment ends belongs to its route in the next one too, also where the
/// process died meanwhile.
#[test]
fn an_exchange_belongs_to_its_route_in_every_segment() {
    let disk = MemoryDisk::new();
    let mut log = log_on(&disk, Limits::default());
    let opened = crate::evidence::Opened {
        route: Some(RouteName::new("chat")),
        keep_days: Some(7),
        ..opened(1)
    };
    let what = What::Open { opened: Box::new(opened), texts: super::super::entry::Texts::All };
    let open = Entry { at_unix_ms: NOW, exchange: Some(ExchangeId(1)), what, seal_to: None };
    let mut line = note("more");
    line.exchange = Some(ExchangeId(1));
    log.commit(&[open, open_entry(2)], NOW).unwrap();
    log.seal(NOW, None).unwrap();
    log.commit(&[line.clone()], NOW).unwrap();
    log.seal(NOW, None).unwrap();
    log.commit(&[line, close_entry(2)], NOW).unwrap();
    drop(log);
    let log = log_on(&disk, Limits::default());
    let shares: Vec<Vec<(&str, Option<u16>)>> = log
        .sealed
        .iter()
        .map(|one| one.shares.iter().map(|share| (&*share.route, share.keep_days)).collect())
        .collect();
    assert_eq!(shares[0], [("chat", Some(7)), ("", None)]);
    assert_eq!(shares[1].iter().map(|share| share.0).collect::<Vec<_>>(), ["chat"]);
    assert_eq!(shares[2].iter().map(|share| share.0).collect::<Vec<_>>(), ["chat", ""]);
}
