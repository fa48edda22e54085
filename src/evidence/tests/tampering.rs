//! Whatever is changed in a sealed record is found, and where.

use super::super::line::{Chain, split};
use super::super::log::compressor;
use super::super::verify::Wrong;
use super::*;
use proptest::prelude::*;

/// A store of three sealed segments and an open one.
fn store() -> Arc<MemoryDisk> {
    let disk = MemoryDisk::new();
    let mut log = log_on(&disk, Limits { segment_bytes_max: 1, ..Limits::default() });
    for round in 0..4_u128 {
        for step in 0..3 {
            log.commit(
                &[open_entry(round * 3 + step), note("said"), close_entry(round * 3 + step)],
                NOW,
            )
            .unwrap();
        }
        if round < 3 {
            log.rotate(NOW).unwrap();
        }
    }
    disk
}

/// The lines of a segment's frames.
pub(super) fn frames(disk: &MemoryDisk, number: u64) -> Vec<Vec<Vec<u8>>> {
    let mut frames: Vec<(u64, Vec<Vec<u8>>)> = Vec::new();
    let mut segment = Segment::open(disk, number, 0).unwrap();
    while let Met::Line(position, line) = segment.next_line().unwrap() {
        if frames.last().is_none_or(|(frame, _)| *frame != position.frame) {
            frames.push((position.frame, Vec::new()));
        }
        frames.last_mut().unwrap().1.push(line.to_vec());
    }
    frames.into_iter().map(|(_, lines)| lines).collect()
}

pub(super) fn put(disk: &MemoryDisk, number: u64, frames: &[Vec<Vec<u8>>]) {
    let mut file = Vec::new();
    for lines in frames {
        let mut text = Vec::new();
        for line in lines {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        file.extend(compressor().unwrap().compress(&text).unwrap());
    }
    disk.put(&segment_name(number), &file);
}

/// Chains lines anew from the first on, as somebody would who knows how.
fn chained_anew(frames: &mut [Vec<Vec<u8>>], mut chain: Chain) {
    for line in frames.iter_mut().flatten() {
        let (own, _) = split(line).unwrap();
        let own = own.to_vec();
        chain = chain.after(&own);
        *line = own;
        line.extend_from_slice(format!(",\"chain\":\"{chain}\"}}").as_bytes());
    }
}

fn chain_before(disk: &MemoryDisk, number: u64) -> Chain {
    match number.checked_sub(1).filter(|before| *before > 0) {
        None => Chain::default(),
        Some(before) => split(frames(disk, before).last().unwrap().last().unwrap()).unwrap().1,
    }
}

pub(super) fn seq_of(line: &[u8]) -> u64 {
    serde_json::from_slice::<Value>(line).unwrap()["seq"].as_u64().unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Change,
    Remove,
    Repeat,
    Swap,
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![Just(Act::Change), Just(Act::Remove), Just(Act::Repeat), Just(Act::Swap)]
}

#[test]
fn what_nobody_touched_is_good() {
    let report = verified(&*store());
    assert!(report.is_good(), "{:?}", report.bad);
    assert_eq!((report.segments, report.open), (4, Some(4)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// One record, in any way, with or without the chain mended behind it in its segment.
    #[test]
    fn any_change_of_a_record_is_found_where_it_was_made(
        segment in 1_u64..=3,
        at in 0_usize..11,
        act in acts(),
        byte in 0_usize..400,
        is_mended: bool,
    ) {
        let disk = store();
        let mut whole = frames(&disk, segment);
        let places: Vec<(usize, usize)> = whole
            .iter()
            .enumerate()
            .flat_map(|(frame, lines)| (0..lines.len()).map(move |line| (frame, line)))
            .collect();
        let at = at % places.len();
        let (frame, line) = places[at];
        let seq = seq_of(&whole[frame][line]);
        match act {
            Act::Change => {
                // A digit or a letter somewhere, its chain left out of it.
                let own = split(&whole[frame][line]).unwrap().0.len();
                let target = &mut whole[frame][line];
                let place = (0..own)
                    .map(|step| (byte + step) % own)
                    .find(|place| target[*place].is_ascii_alphanumeric())
                    .unwrap();
                target[place] = if target[place] == b'7' { b'8' } else { b'7' };
            }
            Act::Remove => drop(whole[frame].remove(line)),
            Act::Repeat => {
                let again = whole[frame][line].clone();
                whole[frame].insert(line, again);
            }
            Act::Swap => {
                let (other_frame, other_line) = places[(at + 1) % places.len()];
                let other = whole[other_frame][other_line].clone();
                let this = std::mem::replace(&mut whole[frame][line], other);
                whole[other_frame][other_line] = this;
            }
        }
        if is_mended {
            chained_anew(&mut whole, chain_before(&disk, segment));
        }
        put(&disk, segment, &whole);
        let report = verified(&*disk);
        prop_assert!(!report.is_good());
        let first = &report.bad[0];
        let is_last = at + 1 == places.len();
        if is_mended {
            // The seal cannot be mended, and the next segment knows how this one ended.
            prop_assert!(first.segment == segment || first.segment == segment + 1, "{first}");
        } else if matches!(act, Act::Swap) && is_last {
            prop_assert_eq!(first.segment, segment);
        } else {
            prop_assert_eq!(first.segment, segment, "{}", first);
            let near = seq.saturating_sub(1)..=seq + 1;
            prop_assert!(first.seq.is_none_or(|found| near.contains(&found) || matches!(act, Act::Change)), "{first} not near {seq}");
        }
    }

    #[test]
    fn a_sealed_segment_that_was_cut_short_is_found(segment in 1_u64..=3, part in 0.0..1.0_f64) {
        let disk = store();
        let bytes = disk.get(&segment_name(segment));
        let kept = (bytes.len() as f64 * part) as usize;
        disk.put(&segment_name(segment), &bytes[..kept]);
        let report = verified(&*disk);
        prop_assert!(report.bad.iter().any(|bad| bad.segment == segment));
    }

    /// Also where the byte is in nobody's text: in a frame's head or its checksum.
    #[test]
    fn any_byte_of_a_sealed_file_counts(segment in 1_u64..=3, at in any::<prop::sample::Index>(), with in 1_u8..) {
        let disk = store();
        let name = segment_name(segment);
        let mut bytes = disk.get(&name);
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        let before = lines(&*disk);
        disk.put(&name, &bytes);
        let report = verified(&*disk);
        // A byte that changes no text (an unused bit of a frame's head) changes no record.
        prop_assert!(report.bad.iter().any(|bad| bad.segment == segment) || lines(&*disk) == before);
    }

    #[test]
    fn any_bytes_at_all_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), cut in 0_usize..400) {
        let disk = store();
        let mut file = disk.get(&segment_name(2));
        file.truncate(cut);
        file.extend(&bytes);
        disk.put(&segment_name(2), &file);
        prop_assert!(!verified(&*disk).is_good());
        disk.put(&segment_name(5), &bytes);
        let _ = verified(&*disk);
        let shared: Arc<dyn Disk> = Arc::<MemoryDisk>::clone(&disk);
        let (mut log, _) = Log::open(shared, key(), Limits::default(), NOW).unwrap();
        log.commit(&[note("on")], NOW).unwrap();
    }
}

#[test]
fn a_seal_of_another_key_is_found() {
    let disk = store();
    let other = SealKey::from_seed(&[8; 32]).public();
    let report = verify(&*disk, Span::default(), &[other]).unwrap();
    let wrong: Vec<_> = report.bad.iter().map(|bad| (bad.segment, bad.wrong.clone())).collect();
    assert_eq!(wrong, [1, 2, 3].map(|segment| (segment, Wrong::Signature)));
    let both = [other, key().public()];
    assert!(verify(&*disk, Span::default(), &both).unwrap().is_good());
}

#[test]
fn a_seal_that_was_replaced_is_found() {
    let disk = store();
    let mut whole = frames(&disk, 2);
    let seal = frames(&disk, 1).pop().unwrap();
    *whole.last_mut().unwrap() = seal;
    put(&disk, 2, &whole);
    let report = verified(&*disk);
    assert!(report.bad.iter().any(|bad| bad.segment == 2 && bad.wrong == Wrong::Seal));
}

#[test]
fn missing_segments_are_named() {
    for gone in 1..=3 {
        let disk = store();
        disk.delete(&segment_name(gone));
        let report = verified(&*disk);
        assert!(report.bad.iter().any(|bad| bad.segment == gone && bad.wrong == Wrong::Missing));
    }
}

#[test]
fn segments_that_changed_places_are_found() {
    let disk = store();
    let (two, three) = (disk.get(&segment_name(2)), disk.get(&segment_name(3)));
    disk.put(&segment_name(2), &three);
    disk.put(&segment_name(3), &two);
    let report = verified(&*disk);
    assert!(report.bad.iter().any(|bad| bad.segment == 2));
    assert!(report.bad.iter().any(|bad| bad.segment == 3));
}

#[test]
fn a_range_reads_only_what_it_needs() {
    let disk = store();
    let span = Span { from: Some(14), to: Some(15) };
    let report = verify(&*disk, span, &keys()).unwrap();
    assert!(report.is_good(), "{:?}", report.bad);
    assert_eq!(report.segments, 1);
    disk.put(&segment_name(1), b"gone");
    assert!(verify(&*disk, span, &keys()).unwrap().is_good());
    assert!(!verified(&*disk).is_good());
}

#[test]
fn damage_costs_one_frame_and_the_rest_is_read() {
    let disk = store();
    let name = segment_name(2);
    let mut bytes = disk.get(&name);
    let all = lines(&*disk).len();
    let second = {
        let mut segment = Segment::open(&*disk, 2, 0).unwrap();
        segment.next_line().unwrap();
        segment.frames_end() as usize
    };
    bytes[second + 20] ^= 0xFF;
    disk.put(&name, &bytes);
    assert_eq!(lines(&*disk).len(), all - 3);
    let report = verified(&*disk);
    assert!(matches!(report.bad[0].wrong, Wrong::Damaged { .. }));
    assert_eq!((report.bad[0].segment, report.bad[0].frame), (2, Some(second as u64)));
}
