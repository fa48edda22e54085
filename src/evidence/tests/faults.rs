//! Disks that fill, fail, stall and lose power.

use super::super::Loss;
use super::super::disk::Out;
use super::super::queue::DiskState;
use super::super::recover;
use super::super::store::Store;
use super::super::verify::Wrong;
use super::disk::Trouble;
use super::tracks::{options, store_on};
use super::*;
use crate::table::Capture;
use proptest::prelude::*;
use std::time::Instant;

const LONG: Duration = Duration::from_mins(1);

/// A store with an open segment of several frames, and how many lines end by each size of it.
fn small_store() -> (Arc<MemoryDisk>, Vec<(u64, usize)>) {
    let disk = MemoryDisk::new();
    let mut log = log_on(&disk, Limits { segment_bytes_max: 1, ..Limits::default() });
    log.commit(&[open_entry(1), note("first")], NOW).unwrap();
    log.rotate(NOW).unwrap();
    let mut ends = Vec::new();
    for round in 2..5 {
        log.commit(&[open_entry(round), note(&"long ".repeat(round as usize))], NOW).unwrap();
        ends.push((log.current.as_ref().unwrap().len, lines(&*disk).len()));
    }
    (disk, ends)
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_back_and_said() {
    let (whole, ends) = small_store();
    let name = segment_name(2);
    let bytes = whole.get(&name);
    let before = lines(&*whole).iter().filter(|line| line["seq"].as_u64().unwrap() <= 4).count();
    assert_eq!(before, 4);
    for size in 0..=bytes.len() {
        let disk = whole.copy();
        disk.put(&name, &bytes[..size]);
        let shared: Arc<dyn Disk> = Arc::<MemoryDisk>::clone(&disk);
        let (mut log, found) = Log::open(shared, key(), Limits::default(), NOW).unwrap();
        log.commit(&[note("after")], NOW).unwrap();
        let found = found.unwrap();
        let report = verified(&*disk);
        assert!(report.is_good(), "cut at {size}: {:?}", report.bad);
        let lines = lines(&*disk);
        let said = of_kind(&lines, "recovered");
        assert_eq!(said.len(), 1, "cut at {size}");
        assert_eq!(said[0]["cut_bytes"], found.cut_bytes);
        // All frames that were whole are there, and nothing of the one that was not.
        let kept = ends.iter().rev().find(|(end, _)| *end <= size as u64);
        let notes = ends.iter().filter(|(end, _)| *end <= size as u64).count();
        assert_eq!(of_kind(&lines, "note").len(), 1 + notes + 1, "cut at {size}");
        if let Some((end, _)) = kept {
            assert_eq!(found.cut_bytes, size as u64 - end);
        }
        // The exchange of the first segment was under way all along.
        assert_eq!(found.unfinished.len(), 1 + notes, "cut at {size}");
    }
}

#[test]
fn a_segment_damaged_in_its_middle_is_left_as_it_is() {
    let (disk, _) = small_store();
    let name = segment_name(2);
    let mut bytes = disk.get(&name);
    let at = {
        let mut segment = Segment::open(&*disk, 2, 0).unwrap();
        segment.next_line().unwrap();
        segment.frames_end() as usize + 9
    };
    bytes[at] ^= 0x55;
    disk.put(&name, &bytes);
    let mut log = log_on(&disk, Limits::default());
    log.commit(&[note("after")], NOW).unwrap();
    assert_eq!(disk.get(&name), bytes);
    let lines = lines(&*disk);
    assert_eq!(of_kind(&lines, "recovered")[0]["damaged"], true);
    let report = verified(&*disk);
    assert!(report.bad.iter().all(|bad| bad.segment == 2), "{:?}", report.bad);
    assert!(!report.is_good());
    assert!(recover::header(&*disk, 3).unwrap().is_some());
}

#[test]
fn a_segment_that_was_taken_away_is_missed_at_once() {
    let disk = MemoryDisk::new();
    let mut log = log_on(&disk, Limits::default());
    log.commit(&[note("one")], NOW).unwrap();
    disk.delete(&segment_name(1));
    log.commit(&[note("two")], NOW).unwrap();
    log.seal(NOW, None).unwrap();
    assert_eq!(kinds(&*disk), ["segment", "recovered", "note", "seal"]);
    let report = verified(&*disk);
    assert_eq!(report.bad.len(), 1, "{:?}", report.bad);
    assert_eq!((report.bad[0].segment, &report.bad[0].wrong), (1, &Wrong::Missing));
}

#[test]
fn a_store_whose_disk_panics_says_that_it_ended() {
    struct Bad;
    impl Disk for Bad {
        fn list(&self) -> std::io::Result<Vec<String>> {
            panic!("a bug in a test")
        }
        fn size(&self, _: &str) -> std::io::Result<Option<u64>> {
            Ok(None)
        }
        fn read(&self, _: &str, _: u64) -> std::io::Result<Box<dyn std::io::Read + Send>> {
            Err(std::io::ErrorKind::NotFound.into())
        }
        fn create(&self, _: &str) -> std::io::Result<Box<dyn Out>> {
            Err(std::io::ErrorKind::NotFound.into())
        }
        fn reopen(&self, _: &str) -> std::io::Result<Box<dyn Out>> {
            Err(std::io::ErrorKind::NotFound.into())
        }
        fn remove(&self, _: &str) -> std::io::Result<()> {
            Ok(())
        }
        fn replace(&self, _: &str, _: &str) -> std::io::Result<()> {
            Ok(())
        }
        fn sync(&self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let store = Store::start_on(options(), Arc::new(Bad), || Ok(key())).unwrap();
    let mut track = store.tap().open(Capture::Full, opened(1)).unwrap();
    track.flush(Tick(1));
    assert!(!store.flush(LONG));
    drop(track);
    assert!(matches!(store.counters().disk, DiskState::Failed(_)));
    assert_eq!(store.close(LONG).dropped.records, 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The power fails at any write or sync; of what was not synced any sectors survive.
    #[test]
    fn what_was_acknowledged_survives_the_loss_of_power(
        power in 0_u64..60,
        commits in 1_usize..8,
        is_small: bool,
        luck in prop::collection::vec(any::<bool>(), 64),
        trouble in prop_oneof![4 => Just(Trouble::None), 1 => Just(Trouble::Full), 1 => Just(Trouble::Unsynced)],
        troubled in 0_usize..8,
    ) {
        let disk = MemoryDisk::new();
        let limits = Limits {
            segment_bytes_max: if is_small { 1 } else { 1 << 20 },
            kept_bytes_max: is_small.then_some(4_000),
            ..Limits::default()
        };
        let mut log = log_on(&disk, limits);
        disk.power_for(power);
        let mut acknowledged = Vec::new();
        for number in 0..commits {
            let text = format!("note {number} {}", "filler ".repeat(20));
            if number == troubled && trouble != Trouble::None {
                disk.trouble(trouble);
                let _ = log.commit(&[note(&text)], NOW);
                let _ = log.rotate(NOW);
                disk.trouble(Trouble::None);
            }
            if log.commit(&[note(&text)], NOW).is_ok() {
                acknowledged.push(text);
            }
            let _ = log.rotate(NOW);
            let _ = log.retire(NOW, super::retention::NOTHING);
        }
        let mut luck = luck.into_iter().cycle();
        let left = disk.after_power_loss(|| luck.next().unwrap());
        let mut log = log_on(&left, limits);
        log.commit(&[note("after")], NOW).unwrap();
        log.seal(NOW, None).unwrap();
        let report = verified(&*left);
        prop_assert!(report.is_good(), "{:?}", report.bad);
        let lines = lines(&*left);
        let notes: Vec<&str> =
            of_kind(&lines, "note").iter().filter_map(|line| line["about"]["text"].as_str()).collect();
        let retired = report.retired.count();
        for text in &acknowledged {
            prop_assert!(notes.contains(&text.as_str()) || retired > 0, "lost: {text}");
        }
        prop_assert!(notes.iter().all(|text| notes.iter().filter(|other| *other == text).count() == 1));
    }
}

#[test]
fn a_commit_that_failed_is_repeated_as_if_it_had_not_been() {
    for trouble in [Trouble::Full, Trouble::ReadOnly, Trouble::Unsynced] {
        let disk = MemoryDisk::new();
        let mut log = log_on(&disk, Limits::default());
        log.commit(&[note("one")], NOW).unwrap();
        disk.trouble(trouble);
        assert!(log.commit(&[note("two, which is longer")], NOW).is_err());
        assert!(log.seal(NOW, None).is_err());
        disk.trouble(Trouble::None);
        log.commit(&[note("2")], NOW).unwrap();
        log.seal(NOW, None).unwrap();
        assert_eq!(kinds(&*disk), ["segment", "note", "note", "seal"]);
        assert!(verified(&*disk).is_good());
    }
}

fn gaps(lines: &[Value]) -> Loss {
    let mut total = Loss::default();
    for gap in of_kind(lines, "gap") {
        total.add(Loss {
            records: gap["records"].as_u64().unwrap(),
            bytes: gap["bytes"].as_u64().unwrap(),
        });
    }
    total
}

fn wait_for(what: impl Fn() -> bool) {
    let until = Instant::now() + LONG;
    while !what() {
        assert!(Instant::now() < until, "waited too long");
        std::thread::yield_now();
    }
}

/// The disk stops; the queue fills; the data path goes on; the gaps tell what was lost.
fn run_with(trouble: Trouble, is_shown: impl Fn(&super::super::Counters) -> bool) {
    let disk = MemoryDisk::new();
    let mut options = options();
    options.queue_bytes_max = 256 * 1024;
    options.commit_bytes = 32 * 1024;
    let store = store_on(&disk, options);
    let tap = store.tap();
    let mut tracks: Vec<_> =
        (1..=4).map(|id| tap.open(Capture::Full, opened(id)).unwrap()).collect();
    assert!(tap.flush(LONG));
    disk.trouble(trouble);
    let chunk = vec![b'a'; 20_000];
    let mut sent = 0_u64;
    let mut own = Loss::default();
    for round in 0..40_u64 {
        for track in &mut tracks {
            track.received(Tick(round * 1_000_000), &chunk);
            sent += chunk.len() as u64;
        }
        assert!(tap.counters().queued_bytes <= 256 * 1024);
    }
    wait_for(|| is_shown(&tap.counters()));
    for track in &tracks {
        own.add(track.loss());
    }
    let counters = tap.counters();
    assert!(counters.dropped.bytes > 1_000_000);
    assert_eq!(counters.dropped, own);
    assert_eq!(counters.untold, own);
    disk.trouble(Trouble::None);
    // One exchange goes on as soon as there is room, the others only later.
    wait_for(|| tap.counters().queued_bytes < 100 * 1024);
    tracks[0].received(Tick(60_000_000_000), &chunk);
    sent += chunk.len() as u64;
    assert!(tap.flush(LONG));
    assert_eq!(tap.counters().untold, Loss::default());
    assert_eq!(tap.counters().disk, DiskState::Well);
    drop(tracks);
    let counters = store.close(LONG);
    assert_eq!(counters.disk, DiskState::Closed);
    let lines = lines(&*disk);
    assert_eq!(gaps(&lines), counters.dropped);
    assert_eq!(counters.gaps, of_kind(&lines, "gap").len() as u64);
    let written: u64 =
        of_kind(&lines, "received").iter().map(|line| line["bytes"].as_u64().unwrap()).sum();
    assert_eq!(written + counters.dropped.bytes, sent);
    // Each exchange says at its end what it lost, and its gap says the same.
    for close in of_kind(&lines, "close") {
        let lost = &close["lost"];
        let mine: u64 = of_kind(&lines, "gap")
            .iter()
            .filter(|gap| gap["exchange"] == close["exchange"])
            .map(|gap| gap["records"].as_u64().unwrap())
            .sum();
        assert_eq!(lost["records"].as_u64().unwrap_or(0), mine);
    }
    assert_eq!(of_kind(&lines, "close").len(), 4);
    let report = verified(&*disk);
    assert!(report.is_good(), "{:?}", report.bad);
    assert_eq!(
        (report.gap_records, report.gap_bytes),
        (counters.dropped.records, counters.dropped.bytes)
    );
}

#[test]
fn a_disk_that_stalls_costs_a_gap_and_no_time() {
    run_with(Trouble::Stalled, |counters| counters.stalled_for.is_some());
}

#[test]
fn a_full_disk_is_shown_and_tried_again() {
    run_with(Trouble::Full, |counters| matches!(counters.disk, DiskState::Full(_)));
}

#[test]
fn a_disk_that_cannot_be_written_is_shown_and_tried_again() {
    run_with(Trouble::ReadOnly, |counters| matches!(counters.disk, DiskState::Failed(_)));
}

#[test]
fn a_store_starts_on_a_full_disk_and_writes_when_there_is_room() {
    let disk = MemoryDisk::new();
    disk.trouble(Trouble::ReadOnly);
    let store = store_on(&disk, options());
    let track = store.tap().open(Capture::Full, opened(1)).unwrap();
    wait_for(|| matches!(store.counters().disk, DiskState::Failed(_)));
    disk.trouble(Trouble::None);
    drop(track);
    assert!(store.flush(LONG));
    store.close(LONG);
    assert_eq!(kinds(&*disk), ["segment", "open", "close", "seal"]);
}

#[test]
fn a_disk_that_never_comes_back_does_not_keep_the_store_from_closing() {
    let disk = MemoryDisk::new();
    let store = store_on(&disk, options());
    assert!(store.flush(LONG));
    disk.trouble(Trouble::Full);
    let track = store.tap().open(Capture::Full, opened(1)).unwrap();
    drop(track);
    assert!(!store.flush(Duration::from_millis(10)));
    let counters = store.close(LONG);
    assert_eq!(counters.dropped, Loss { records: 2, bytes: 0 });
    assert_eq!(counters.untold, counters.dropped);
}

#[test]
fn who_would_rather_wait_than_lose_is_told_to() {
    let disk = MemoryDisk::new();
    let mut options = options();
    options.queue_bytes_max = 128 * 1024;
    let store = store_on(&disk, options);
    let mut track = store.tap().open(Capture::Full, opened(1)).unwrap();
    assert!(!track.is_crowded());
    disk.trouble(Trouble::Stalled);
    for round in 0..7 {
        track.received(Tick(round), &[b'a'; 16 * 1024]);
    }
    assert!(track.is_crowded() && store.tap().is_crowded());
    disk.trouble(Trouble::None);
    wait_for(|| !track.is_crowded());
    assert!(track.loss().is_none());
    drop(track);
    store.close(LONG);
}
