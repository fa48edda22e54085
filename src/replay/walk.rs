//! The segments of a record, read through.
//!
//! Exchanges are told in the order in which they ended, and last those that have no end. What always
//! holds: a segment that retention takes meanwhile is passed over; damage is counted and what stands
//! around it is read; nothing is written.

use super::gather::{Fragment, Gatherer, Select, first_moment};
use crate::evidence::disk::Folder;
use crate::evidence::exchange::{Exchange, Wants};
use crate::evidence::read::{segment_name, segments};
use crate::evidence::{FOLDER, Met, Segment};
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Where the segments of a data folder lie.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

/// The segments of a folder that may hold what begins at `since` or later.
///
/// # Errors
/// The folder cannot be listed.
pub fn numbers(folder: &Path, since: Option<&str>) -> io::Result<Vec<u64>> {
    let mut numbers = segments(&Folder::at(folder))?;
    let Some(since) = since else { return Ok(numbers) };
    // All that stands in a segment is older than the first line of the next one.
    let is_old = |number: u64| first_moment(folder, number).is_some_and(|at| *at < *since);
    let keep_from = numbers.iter().rposition(|number| is_old(*number)).unwrap_or(0);
    numbers.drain(..keep_from);
    Ok(numbers)
}

/// How large a segment is on disk; 0 if it is gone.
pub fn size(folder: &Path, number: u64) -> u64 {
    std::fs::metadata(folder.join(segment_name(number))).map_or(0, |file| file.len())
}

/// What was met on a walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Walked {
    /// Segments read.
    pub segments: u64,
    /// Bytes of them on disk.
    pub disk_bytes: u64,
    /// Bytes of the lines in them.
    pub line_bytes: u64,
    /// Bytes that are no whole frame.
    pub damaged_bytes: u64,
    /// Exchanges that were given up for their size.
    pub given_up: u64,
    /// Whether it ended before the end.
    pub is_partial: bool,
}

impl Walked {
    /// Adds what was met on another part of the way.
    pub fn join(&mut self, other: Walked) {
        self.segments += other.segments;
        self.disk_bytes += other.disk_bytes;
        self.line_bytes += other.line_bytes;
        self.damaged_bytes += other.damaged_bytes;
        self.given_up += other.given_up;
        self.is_partial |= other.is_partial;
    }
}

/// Reads segments one after another; tells `see` each exchange that begins and ends in them, until it breaks.
/// What else there is stays in the gatherer.
///
/// # Errors
/// A segment cannot be read.
pub fn through(
    folder: &Path,
    numbers: &[u64],
    gatherer: &mut Gatherer,
    see: &mut dyn FnMut(Exchange, &Walked) -> ControlFlow<()>,
) -> io::Result<Walked> {
    let mut walked = Walked::default();
    for number in numbers {
        let mut segment = match Segment::open_in(folder, *number) {
            Ok(segment) => segment,
            // It was retired meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let before = walked.disk_bytes;
        walked.segments += 1;
        loop {
            let whole = match segment.next_line()? {
                Met::Line(_, line) => {
                    walked.line_bytes += line.len() as u64 + 1;
                    gatherer.take(line)
                }
                Met::Damage(damage) => {
                    walked.damaged_bytes += damage.bytes;
                    None
                }
                Met::End => break,
            };
            if let Some(whole) = whole {
                walked.disk_bytes = before + segment.frames_end();
                walked.given_up = gatherer.given_up;
                if see(whole.finish(), &walked).is_break() {
                    walked.is_partial = true;
                    return Ok(walked);
                }
            }
        }
        walked.disk_bytes = before + segment.frames_end();
    }
    walked.given_up = gatherer.given_up;
    Ok(walked)
}

/// Tells `see` every exchange that `select` takes, in the order in which they ended, and then those
/// that did not; until it breaks. Holds `pending_bytes_max` of lines of exchanges that are not whole.
///
/// # Errors
/// The folder or a segment cannot be read.
pub fn walk(
    folder: &Path,
    select: &Select,
    wanted: Wants,
    pending_bytes_max: usize,
    see: &mut dyn FnMut(Exchange, &Walked) -> ControlFlow<()>,
) -> io::Result<Walked> {
    let mut gatherer = Gatherer::new(select.clone(), wanted, pending_bytes_max);
    let numbers = numbers(folder, select.since.as_deref())?;
    let mut walked = through(folder, &numbers, &mut gatherer, see)?;
    if !walked.is_partial {
        // One exchange that is asked for by name is told whatever is left of it.
        let is_told = |left: &Fragment| left.has_beginning() || select.exchange.is_some();
        let mut told = gatherer.rest().into_values().filter(is_told);
        walked.is_partial = told.any(|left| see(left.finish(), &walked).is_break());
    }
    Ok(walked)
}

/// What stands in several parts of the record, given in their order.
pub fn joined(
    parts: impl IntoIterator<Item = BTreeMap<Box<str>, Fragment>>,
) -> BTreeMap<Box<str>, Fragment> {
    let mut joined: BTreeMap<Box<str>, Fragment> = BTreeMap::new();
    for (id, fragment) in parts.into_iter().flatten() {
        joined.entry(id).or_default().join(fragment);
    }
    joined
}

/// Parts of about the same size on disk, as many as `most`, each of segments that follow one another.
pub fn shares<'n>(folder: &Path, numbers: &'n [u64], most: usize) -> Vec<&'n [u64]> {
    let sizes: Vec<u64> = numbers.iter().map(|number| size(folder, *number)).collect();
    let mut left: u64 = sizes.iter().sum();
    let (mut shares, mut from) = (Vec::new(), 0);
    for parts in (1..=most.max(1) as u64).rev() {
        let wanted = left / parts;
        let (mut to, mut has) = (from, 0);
        // The segment over the border belongs to whom it fits better.
        while to < sizes.len() && (parts == 1 || has + sizes[to] / 2 <= wanted) {
            has += sizes[to];
            to += 1;
        }
        if to > from {
            shares.push(&numbers[from..to]);
        }
        left -= has;
        from = to;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_are_all_of_it_in_order(sizes in prop::collection::vec(0_usize..3000, 0..12), most in 1_usize..6) {
            let folder = tempfile::tempdir().unwrap();
            let numbers: Vec<u64> = (1..=sizes.len() as u64).collect();
            for (number, size) in numbers.iter().zip(&sizes) {
                std::fs::write(folder.path().join(segment_name(*number)), vec![0; *size]).unwrap();
            }
            let shares = shares(folder.path(), &numbers, most);
            prop_assert!(shares.len() <= most && shares.iter().all(|share| !share.is_empty()));
            prop_assert_eq!(shares.concat(), &numbers[..]);
            let largest = sizes.iter().max().copied().unwrap_or(0);
            let mean = sizes.iter().sum::<usize>() / most;
            for share in shares {
                let has: usize = share.iter().map(|number| sizes[*number as usize - 1]).sum();
                prop_assert!(has <= mean + 2 * largest, "{} of {}", has, mean);
            }
        }
    }
}
