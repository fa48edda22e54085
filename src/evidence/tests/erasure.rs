//! What a route keeps no longer goes out of segments that stay, and what stays is proven as before.

use super::super::retire::Policy;
use super::super::segment::Reseal;
use super::super::verify::Wrong;
use super::disk::Trouble;
use super::tampering::{frames, put, seq_of};
use super::*;
use crate::table::RouteKept;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const DAY: u64 = 24 * 60 * 60 * 1000;
const SHORT: &str = "chat";
const LONG: &str = "regulated";

/// `chat` keeps a day, `regulated` five; what is of no route as the limits say.
fn of_route(route: &str) -> RouteKept {
    let days = match route {
        SHORT => Some(1),
        LONG => Some(5),
        _ => None,
    };
    RouteKept { days, ..RouteKept::default() }
}

const POLICY: Policy<'_> = Policy { is_held: &|_| false, of_route: &of_route };

fn limits() -> Limits {
    Limits { kept_for: Some(Duration::from_hours(3 * 24)), ..Limits::default() }
}

fn open_on(id: u128, route: Option<&str>) -> Entry {
    let opened = crate::evidence::Opened { route: route.map(RouteName::new), ..opened(id) };
    let what = What::Open { opened: Box::new(opened), texts: super::super::entry::Texts::All };
    Entry { at_unix_ms: NOW, exchange: Some(ExchangeId(id)), what, seal_to: None }
}

/// Retires until nothing goes any more; gives how many segments were written anew.
fn retire(log: &mut Log, now: u64, policy: Policy<'_>) -> usize {
    let mut made = 0;
    loop {
        log.retire(now, policy).unwrap();
        if log.erasing.is_none() {
            return made;
        }
        while log.erasing.is_some() {
            made += usize::from(log.take_erased(now, policy).unwrap());
            std::thread::yield_now();
        }
    }
}

/// Every line but those of the store's own, with where its frame begins.
fn told(disk: &dyn Disk) -> BTreeMap<u64, (u64, u64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for number in segments(disk).unwrap() {
        let mut segment = Segment::open(disk, number, 0).unwrap();
        while let Met::Line(position, line) = segment.next_line().unwrap() {
            let value: Value = serde_json::from_slice(line).unwrap();
            let own = ["erased", "reseal", "erasure", "segment", "seal", "retired", "recovered"];
            if !own.contains(&value["kind"].as_str().unwrap()) {
                found.insert(seq_of(line), (number, position.frame, line.to_vec()));
            }
        }
    }
    found
}

/// Exchanges 1, 2 and 3 are of `chat`, `regulated` and of no route; the fourth, of `chat`, goes on
/// in the next segment.
fn store() -> (Arc<MemoryDisk>, Log) {
    store_with(limits())
}

fn store_with(limits: Limits) -> (Arc<MemoryDisk>, Log) {
    let disk = MemoryDisk::new();
    let mut log = log_on(&disk, limits);
    log.commit(&[open_on(1, Some(SHORT)), open_on(2, Some(LONG)), open_on(3, None)], NOW).unwrap();
    log.commit(&[close_entry(1)], NOW).unwrap();
    log.commit(&[close_entry(3), note("said"), open_on(4, Some(SHORT)), close_entry(2)], NOW)
        .unwrap();
    log.seal(NOW, None).unwrap();
    log.commit(&[close_entry(4), open_on(5, Some(LONG)), close_entry(5)], NOW).unwrap();
    log.seal(NOW, None).unwrap();
    log.commit(&[note("on")], NOW).unwrap();
    (disk, log)
}

/// Whether a line of that store is of `chat`.
fn is_of_chat(line: &[u8]) -> bool {
    let value: Value = serde_json::from_slice(line).unwrap();
    let id = value["exchange"].as_str().unwrap_or_default();
    id.ends_with("01") || id.ends_with("04")
}

fn exchanges(disk: &dyn Disk) -> BTreeSet<String> {
    let told = told(disk);
    let lines = told.values().map(|(_, _, line)| serde_json::from_slice::<Value>(line).unwrap());
    lines
        .filter_map(|line| {
            Some(
                line["exchange"]
                    .as_str()?
                    .trim_start_matches("x_0")
                    .trim_start_matches('0')
                    .to_owned(),
            )
        })
        .collect()
}

/// Whether a line is in the first whole frame from where its own began.
fn is_met(disk: &dyn Disk, seq: u64, (number, frame, line): &(u64, u64, Vec<u8>)) -> bool {
    let mut segment = Segment::open(disk, *number, *frame).unwrap();
    assert!(segment.next_whole_frame().unwrap());
    while let Some((_, found)) = segment.line_of_frame() {
        if seq_of(found) == seq {
            return found == line;
        }
    }
    false
}

fn set(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|one| (*one).to_owned()).collect()
}

#[test]
fn each_routes_lines_go_when_their_own_time_is_over() {
    let (disk, mut log) = store();
    let all = told(&*disk);
    assert_eq!(retire(&mut log, NOW + DAY, POLICY), 0);
    assert_eq!(told(&*disk), all);
    assert_eq!(retire(&mut log, NOW + DAY + 1, POLICY), 2);
    assert_eq!(exchanges(&*disk), set(&["2", "3", "5"]));
    let report = verified(&*disk);
    assert!(report.is_good(), "{:?}", report.bad);
    assert_eq!((report.erased, report.erased_from.iter().collect()), (4, vec![(1, 2)]));
    assert_eq!(
        retire(&mut log, NOW + 3 * DAY + 1, POLICY),
        1,
        "nothing of no route is in the second"
    );
    assert_eq!(exchanges(&*disk), set(&["2", "5"]));
    // What stays stands where it stood.
    for (seq, place) in told(&*disk).keys().filter_map(|seq| all.get_key_value(seq)) {
        assert!(is_met(&*disk, *seq, place));
    }
    let report = verified(&*disk);
    assert!(report.is_good(), "{:?}", report.bad);
    assert_eq!(report.erased, 7);
    retire(&mut log, NOW + 5 * DAY + 1, POLICY);
    assert!(segments(&*disk).unwrap().iter().all(|number| *number > 2));
    assert!(verified(&*disk).is_good());
    let lines = lines(&*disk);
    let erasures = of_kind(&lines, "erasure");
    assert_eq!(erasures.len(), 3);
    assert_eq!(erasures[0]["routes"], serde_json::json!([SHORT]));
    assert_eq!(erasures[0]["records"], 3);
    assert!(disk.list().unwrap().iter().all(|name| !name.ends_with(".erasing")));
}

#[test]
fn what_was_erased_is_known_after_a_restart() {
    let (disk, mut log) = store();
    retire(&mut log, NOW + DAY + 1, POLICY);
    log.seal(NOW, None).unwrap();
    drop(log);
    let mut log = log_on(&disk, limits());
    assert_eq!(retire(&mut log, NOW + DAY + 1, POLICY), 0);
    log.commit(&[note("on")], NOW).unwrap();
    drop(log);
    // Also where only the first line of the newest segment tells it.
    let mut log = log_on(&disk, limits());
    assert!(log.erased.has(1, SHORT) && log.taken.contains_key(&1));
    assert_eq!(retire(&mut log, NOW + DAY + 1, POLICY), 0);
    assert!(verified(&*disk).is_good());
}

/// A segment of which the next one is gone tells of itself.
#[test]
fn a_segment_from_which_lines_were_erased_is_read_at_the_start() {
    let (disk, mut log) = store();
    retire(&mut log, NOW + DAY + 1, POLICY);
    drop(log);
    let holding = Policy { is_held: &|sealed| sealed.number == 1, ..POLICY };
    let mut log = log_on(&disk, limits());
    retire(&mut log, NOW + 9 * DAY, holding);
    log.commit(&[note("on")], NOW).unwrap();
    drop(log);
    let mut log = log_on(&disk, limits());
    assert!(log.sealed.iter().any(|sealed| sealed.number == 1 && sealed.signature.is_some()));
    retire(&mut log, NOW + 9 * DAY, POLICY);
    assert!(!segments(&*disk).unwrap().contains(&1));
    assert!(verified(&*disk).is_good());
}

#[test]
fn what_is_held_is_not_erased_also_if_that_began() {
    let (disk, mut log) = store();
    let held = Policy { is_held: &|_| true, ..POLICY };
    assert_eq!(retire(&mut log, NOW + 9 * DAY, held), 0);
    log.retire(NOW + DAY + 1, POLICY).unwrap();
    assert!(log.erasing.is_some());
    while log.erasing.is_some() {
        assert!(!log.take_erased(NOW + DAY + 1, held).unwrap());
        std::thread::yield_now();
    }
    assert_eq!(exchanges(&*disk), set(&["1", "2", "3", "4", "5"]));
    assert!(disk.list().unwrap().iter().all(|name| !name.ends_with(".erasing")));
}

/// The route's own days count, those of now before those of then; where it is gone, those of then.
#[test]
fn days_of_now_count_before_those_of_then() {
    let kept = |then: Option<u16>, now: Option<u16>, days: u64| {
        let disk = MemoryDisk::new();
        let mut log = log_on(&disk, limits());
        let opened = crate::evidence::Opened {
            route: Some(RouteName::new("r")),
            keep_days: then,
            ..opened(1)
        };
        let what = What::Open { opened: Box::new(opened), texts: super::super::entry::Texts::All };
        let entry = Entry { at_unix_ms: NOW, exchange: Some(ExchangeId(1)), what, seal_to: None };
        log.commit(&[entry, close_entry(1)], NOW).unwrap();
        log.seal(NOW, None).unwrap();
        let of_route = |_: &str| RouteKept { days: now, ..RouteKept::default() };
        let policy = Policy { of_route: &of_route, ..POLICY };
        retire(&mut log, NOW + days * DAY + 1, policy);
        segments(&*disk).unwrap().contains(&1)
    };
    assert!(kept(None, None, 2) && !kept(None, None, 3));
    assert!(kept(Some(9), None, 8) && !kept(Some(9), None, 9));
    assert!(kept(Some(2), Some(9), 8) && !kept(Some(9), Some(2), 2));
}

/// Bounds on size take the oldest, of a route or of all, and leave what a route's days protect.
#[test]
fn the_oldest_of_a_route_goes_when_it_takes_too_much() {
    let filled = |limits: Limits| {
        let disk = MemoryDisk::new();
        let mut log = log_on(&disk, limits);
        for round in 0..6_u128 {
            let mut long = note(&"x".repeat(2_000));
            long.exchange = Some(ExchangeId(round * 2 + 1));
            let entries =
                [open_on(round * 2 + 1, Some(SHORT)), long, open_on(round * 2 + 2, Some(LONG))];
            log.commit(&entries, NOW).unwrap();
            log.commit(&[close_entry(round * 2 + 1), close_entry(round * 2 + 2)], NOW).unwrap();
            log.seal(NOW, None).unwrap();
        }
        (disk, log)
    };
    let (disk, mut log) = filled(limits());
    let of_route = |route: &str| RouteKept {
        bytes_max: (route == SHORT).then_some(1_500),
        ..RouteKept::default()
    };
    retire(&mut log, NOW, Policy { of_route: &of_route, ..POLICY });
    let left = exchanges(&*disk);
    assert!(left.contains("b") && !left.contains("1"), "{left:?}");
    assert!((1..=6).all(|round| left.contains(&format!("{:x}", round * 2))), "{left:?}");
    assert_eq!(segments(&*disk).unwrap().len(), 7);
    assert!(verified(&*disk).is_good());

    // The bound of all takes what no route protects.
    let (disk, mut log) = filled(Limits { kept_bytes_max: Some(1), ..limits() });
    let of_route =
        |route: &str| RouteKept { days: (route == LONG).then_some(5), ..RouteKept::default() };
    retire(&mut log, NOW, Policy { of_route: &of_route, ..POLICY });
    let left = exchanges(&*disk);
    assert_eq!(left, (1..=6).map(|round| format!("{:x}", round * 2)).collect());
    assert!(verified(&*disk).is_good());
    let lines = lines(&*disk);
    let erasures = of_kind(&lines, "erasure");
    assert!(erasures.iter().all(|line| line["routes"] == serde_json::json!([SHORT])));
    assert_eq!(erasures.len(), 6);
}

#[test]
fn an_erasure_that_fails_is_tried_again_later_and_hurts_nothing() {
    let (disk, mut log) = store();
    disk.trouble(Trouble::ReadOnly);
    let now = NOW + DAY + 1;
    log.retire(now, POLICY).unwrap();
    while log.erasing.is_some() {
        assert!(!log.take_erased(now, POLICY).unwrap());
        std::thread::yield_now();
    }
    assert_eq!(log.erase_failures, 1);
    disk.trouble(Trouble::None);
    // The other segment goes on meanwhile.
    assert_eq!(retire(&mut log, now, POLICY), 1);
    assert!(exchanges(&*disk).contains("1"));
    assert_eq!(retire(&mut log, now + DAY / 24 + 1, POLICY), 1);
    assert!(!exchanges(&*disk).contains("1"));
    assert!(verified(&*disk).is_good());
}

/// What is written anew stands beside the old for a while: the disk must have room for both, and
/// for what is recorded meanwhile.
#[test]
fn an_erasure_leaves_room_for_what_is_recorded() {
    let limits = Limits { segment_bytes_max: 1 << 20, ..limits() };
    let (disk, mut log) = store_with(limits);
    let taken = [1, 2].map(|number| disk.taken(&segment_name(number)).unwrap());
    let now = NOW + DAY + 1;
    disk.has_room_for((1 << 20) + taken[0].min(taken[1]) - 1);
    assert_eq!(retire(&mut log, now, POLICY), 0);
    assert_eq!(log.erase_failures, 2);
    assert!(disk.list().unwrap().iter().all(|name| !name.ends_with(".erasing")));
    // Somebody fills the disk while it is at work.
    disk.has_room_for((1 << 20) + taken[0].max(taken[1]));
    disk.taking_with_each_look(64 << 10);
    let later = now + DAY / 24 + 1;
    assert_eq!(retire(&mut log, later, POLICY), 0);
    assert_eq!(log.erase_failures, 4);
    disk.has_room_for(u64::MAX);
    assert_eq!(retire(&mut log, later + DAY / 24 + 1, POLICY), 2);
    assert_eq!(exchanges(&*disk), set(&["2", "3", "5"]));
    assert!(verified(&*disk).is_good());
}

#[test]
fn leftovers_of_an_erasure_are_removed_at_the_start_and_foreign_files_are_not() {
    let (disk, log) = store();
    drop(log);
    for name in ["seg-0000000001.erasing", "notes.erasing", "seg-x.erasing"] {
        disk.put(name, b"left");
    }
    drop(log_on(&disk, limits()));
    let mut names = disk.list().unwrap();
    names.retain(|name| name.ends_with("erasing"));
    assert_eq!(names, ["notes.erasing", "seg-x.erasing"]);
}

/// Who has no key cannot erase: the places are found.
#[test]
fn what_nobody_signed_for_is_missed() {
    let (disk, mut log) = store();
    let whole = frames(&disk, 1);
    let line = whole.iter().flatten().find(|line| seq_of(line) == 4).unwrap().clone();
    let chain = super::super::line::split(&line).unwrap().1;
    let mut place = Vec::new();
    super::super::line::write_erased(&mut place, 4, 4, "2023-11-14T22:13:20.000Z", chain);
    place.pop();
    let forge = |frames: &mut Vec<Vec<Vec<u8>>>| {
        let target = frames.iter_mut().flatten().find(|line| seq_of(line) == 4).unwrap();
        target.clone_from(&place);
    };
    let mut forged = whole;
    forge(&mut forged);
    put(&disk, 1, &forged);
    let report = verified(&*disk);
    let bad: Vec<_> = report.bad.iter().map(|bad| (bad.segment, bad.seq, &bad.wrong)).collect();
    assert_eq!(bad, [(1, Some(4), &Wrong::Erased)]);

    // Also in a segment from which others were erased.
    let (disk, mut other) = store();
    std::mem::swap(&mut log, &mut other);
    retire(&mut log, NOW + DAY + 1, POLICY);
    let mut forged = frames(&disk, 1);
    let target = forged.iter_mut().flatten().find(|line| seq_of(line) == 3).unwrap();
    let chain = super::super::line::split(target).unwrap().1;
    let mut place = Vec::new();
    super::super::line::write_erased(&mut place, 3, 3, "2023-11-14T22:13:20.000Z", chain);
    place.pop();
    *target = place;
    put(&disk, 1, &forged);
    let report = verified(&*disk);
    assert!(report.bad.iter().any(|bad| bad.segment == 1 && bad.wrong == Wrong::Seal));
    // Nor can the seal of another segment, or none, stand behind it.
    let two: Vec<Vec<u8>> = frames(&disk, 2).pop().unwrap();
    let mut forged = frames(&disk, 1);
    *forged.last_mut().unwrap() = two;
    put(&disk, 1, &forged);
    assert!(!verified(&*disk).is_good());
    forged.pop();
    put(&disk, 1, &forged);
    assert!(verified(&*disk).bad.iter().any(|bad| bad.wrong == Wrong::Erased));
}

#[test]
fn what_is_signed_is_what_the_text_says() {
    let (disk, mut log) = store();
    retire(&mut log, NOW + DAY + 1, POLICY);
    let line = frames(&disk, 1).pop().unwrap().pop().unwrap();
    let reseal: Reseal = serde_json::from_slice(&line).unwrap();
    assert_eq!(reseal.erased.iter().collect::<Vec<_>>(), [(2, 2), (5, 5), (8, 8)]);
    let expected = format!(
        "firedoor evidence reseal 1\nstore {}\nsegment 1\nat {}\nplaces {}\nerased 2 2\nerased 5 5\nerased 8 8\n",
        log.store,
        NOW + DAY + 1,
        reseal.places
    );
    assert_eq!(reseal.message(&log.store), expected);
    assert!(reseal.is_signed(&log.store, &keys()));
    assert!(!reseal.is_signed("another", &keys()));
}

/// What a commit of the property test has.
#[derive(Clone, Debug)]
struct Step {
    entries: Vec<(u8, bool)>,
    seals: bool,
    restarts: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let entries = prop::collection::vec((0_u8..12, any::<bool>()), 1..6);
    let step = (entries, prop::bool::weighted(0.2), prop::bool::weighted(0.1))
        .prop_map(|(entries, seals, restarts)| Step { entries, seals, restarts });
    prop::collection::vec(step, 1..14)
}

fn route_of(exchange: u8) -> Option<&'static str> {
    [Some(SHORT), Some(LONG), None, Some("plain")][usize::from(exchange % 4)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// However exchanges of routes are mixed over frames and segments, and whatever is erased in
    /// whichever order: what goes is what is to go, and all else stands where it stood and is proven.
    #[test]
    fn what_stays_stays_as_it_was(
        steps in steps(),
        orders in prop::collection::vec(prop::sample::subsequence(vec!["", SHORT, LONG, "plain"], 1..4), 1..4),
        restarts: bool,
    ) {
        let disk = MemoryDisk::new();
        let mut log = log_on(&disk, Limits::default());
        let mut under_way: BTreeSet<u8> = BTreeSet::new();
        // Whose each line is, as its text says.
        let mut belongs: BTreeMap<String, &str> = BTreeMap::new();
        let mut count = 0_u32;
        for step in &steps {
            let mut entries = Vec::new();
            for (exchange, ends) in &step.entries {
                let id = u128::from(*exchange) + 1;
                if under_way.insert(*exchange) {
                    entries.push(open_on(id, route_of(*exchange)));
                }
                count += 1;
                let text = format!("line {count} {}", "filler ".repeat(usize::from(*exchange)));
                let mut line = note(&text);
                line.exchange = Some(ExchangeId(id));
                belongs.insert(text, route_of(*exchange).unwrap_or(""));
                entries.push(line);
                if *ends {
                    under_way.remove(exchange);
                    entries.push(close_entry(id));
                }
            }
            log.commit(&entries, NOW).unwrap();
            if step.seals {
                log.seal(NOW, None).unwrap();
            }
            if step.restarts {
                drop(log);
                log = log_on(&disk, Limits::default());
                under_way.clear();
            }
        }
        log.seal(NOW, None).unwrap();
        let before = told(&*disk);
        let mut gone: BTreeSet<&str> = BTreeSet::new();
        for order in orders {
            let of_route = |route: &str| RouteKept {
                days: Some(if order.contains(&route) { 1 } else { 9 }),
                ..RouteKept::default()
            };
            retire(&mut log, NOW + 2 * DAY, Policy { of_route: &of_route, ..POLICY });
            gone.extend(&order);
            if restarts {
                drop(log);
                log = log_on(&disk, Limits::default());
            }
            let report = verified(&*disk);
            prop_assert!(report.is_good(), "{:?}", report.bad);
            prop_assert_eq!(log.erase_failures, 0);
            let left = told(&*disk);
            for (seq, was) in left.keys().filter_map(|seq| before.get_key_value(seq)) {
                prop_assert!(is_met(&*disk, *seq, was));
            }
            for (seq, (segment, _, line)) in &before {
                let value: Value = serde_json::from_slice(line).unwrap();
                let Some(route) = value["about"]["text"].as_str().and_then(|text| belongs.get(text)) else { continue };
                prop_assert_eq!(left.contains_key(seq), !gone.contains(route), "{} of segment {}", value, segment);
            }
        }
    }

    /// The power fails while lines are erased: the old segment or the new one is there.
    #[test]
    fn the_loss_of_power_leaves_the_old_or_the_new(
        power in 0_u64..24,
        luck in prop::collection::vec(any::<bool>(), 64),
    ) {
        let (disk, mut log) = store();
        let before = told(&*disk);
        disk.power_for(power);
        let now = NOW + DAY + 1;
        for _ in 0..4 {
            let _ = log.retire(now, POLICY);
            while log.erasing.is_some() {
                let _ = log.take_erased(now, POLICY);
                std::thread::yield_now();
            }
        }
        let mut luck = luck.into_iter().cycle();
        let left = disk.after_power_loss(|| luck.next().unwrap());
        let mut log = log_on(&left, limits());
        log.commit(&[note("after")], now).unwrap();
        let report = verified(&*left);
        prop_assert!(report.is_good(), "{:?}", report.bad);
        let there = told(&*left);
        for (seq, (segment, _, line)) in &before {
            prop_assert!(is_of_chat(line) || there.contains_key(seq), "{} of segment {}", seq, segment);
        }
        retire(&mut log, now, POLICY);
        prop_assert_eq!(exchanges(&*left), set(&["2", "3", "5"]));
        prop_assert!(verified(&*left).is_good());
    }

    /// A segment that is damaged is erased from as far as it can be read, or left as it is: what is
    /// good in it and stays, stays, and what is bad is not made good.
    #[test]
    fn damage_is_not_erased_with_what_goes(at in any::<prop::sample::Index>(), with in 1_u8..) {
        let (disk, mut log) = store();
        let name = segment_name(1);
        let mut bytes = disk.get(&name);
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        disk.put(&name, &bytes);
        let was_good = verified(&*disk).is_good();
        let before = told(&*disk);
        retire(&mut log, NOW + DAY + 1, POLICY);
        let left = told(&*disk);
        for (seq, (segment, _, line)) in &before {
            prop_assert!(is_of_chat(line) || left.contains_key(seq), "{} of segment {}", seq, segment);
        }
        prop_assert!(was_good || !verified(&*disk).is_good());
    }

    #[test]
    fn any_byte_of_it_counts(at in any::<prop::sample::Index>(), with in 1_u8..) {
        let (disk, mut log) = store();
        retire(&mut log, NOW + DAY + 1, POLICY);
        let name = segment_name(1);
        let mut bytes = disk.get(&name);
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        let before = lines(&*disk);
        disk.put(&name, &bytes);
        let report = verified(&*disk);
        prop_assert!(report.bad.iter().any(|bad| bad.segment == 1) || lines(&*disk) == before);
    }
}
