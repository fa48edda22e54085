//! What goes leaves a record of itself, and what is held stays.

use super::super::Sealed;
use super::disk::Trouble;
use super::*;

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

fn nothing(_: &Sealed) -> bool {
    false
}

#[test]
fn old_segments_go_and_held_ones_stay() {
    let limits = Limits { kept_for: Some(Duration::from_secs(3)), ..Limits::default() };
    let (disk, mut log) = filled(limits, 8);
    log.retire(NOW + 7_000, &|sealed| sealed.number == 2).unwrap();
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
    log.retire(NOW, &nothing).unwrap();
    let kept = segments(&*disk).unwrap();
    assert!(kept.len() < 8 && kept.contains(&8) && !kept.contains(&1), "{kept:?}");
    assert!(verified(&*disk).is_good());
}

#[test]
fn a_segment_that_was_only_deleted_is_missing() {
    let limits = Limits { kept_for: Some(Duration::from_secs(3)), ..Limits::default() };
    let (disk, mut log) = filled(limits, 8);
    log.retire(NOW + 7_000, &nothing).unwrap();
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
        log.retire(now, &|sealed| sealed.number == 4).unwrap();
        log.commit(&[entry], now).unwrap();
        log.rotate(now).unwrap();
        let report = verified(&*disk);
        assert!(report.is_good(), "{:?}", report.bad);
    }
    assert!(segments(&*disk).unwrap().contains(&4));
    drop(log);
    let mut log = log_on(&disk, limits);
    assert!(log.retired.has(3) && !log.retired.has(4));
    log.retire(NOW + 90_000, &nothing).unwrap();
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
    log.retire(NOW + 90_000, &nothing).unwrap();
    drop(log);
    // As if the power had failed between the record and the removal.
    disk.put(&segment_name(1), &old);
    assert!(verified(&*disk).is_good());
    let mut log = log_on(&disk, limits);
    disk.trouble(Trouble::ReadOnly);
    assert!(log.retire(NOW, &nothing).is_err());
    disk.trouble(Trouble::None);
    log.retire(NOW, &nothing).unwrap();
    assert!(!segments(&*disk).unwrap().contains(&1));
}

/// A route may want its records kept longer; so stays every segment with a part of them, also where
/// the process died meanwhile.
#[test]
fn what_a_route_wants_kept_stays_as_a_whole() {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    let limits = Limits {
        kept_for: Some(Duration::from_secs(3)),
        kept_bytes_max: Some(1),
        ..Limits::default()
    };
    let disk = MemoryDisk::new();
    let mut log = log_on(&disk, limits);
    let wanted = |id: u128, days: Option<u16>| {
        let opened = crate::evidence::Opened { keep_days: days, ..opened(id) };
        let what = What::Open { opened: Box::new(opened), texts: super::super::entry::Texts::All };
        Entry { at_unix_ms: NOW, exchange: Some(ExchangeId(id)), what }
    };
    log.commit(&[wanted(1, None), close_entry(1)], NOW).unwrap();
    log.seal(NOW, None).unwrap();
    log.commit(&[wanted(2, Some(1)), wanted(3, Some(2))], NOW).unwrap();
    log.seal(NOW, None).unwrap();
    // Goes on in the next two; the process dies in the second.
    log.commit(&[note("said")], NOW).unwrap();
    log.seal(NOW, None).unwrap();
    log.commit(&[close_entry(3), close_entry(2)], NOW).unwrap();
    drop(log);
    let mut log = log_on(&disk, limits);
    log.retire(NOW + DAY + 1, &nothing).unwrap();
    assert_eq!(segments(&*disk).unwrap(), [2, 3, 4, 5]);
    assert!(verified(&*disk).is_good());
    drop(log);
    let mut log = log_on(&disk, limits);
    log.retire(NOW + 2 * DAY + 1, &nothing).unwrap();
    let left = segments(&*disk).unwrap();
    assert!(!left.iter().any(|number| *number < 5), "{left:?}");
    assert!(verified(&*disk).is_good());
}
