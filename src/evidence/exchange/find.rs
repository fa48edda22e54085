//! From places in the segments to exchanges.
//!
//! With an index the frames that hold an exchange's lines are known, and only those are read.
//! Without one every segment is read, from the newest back to where the exchange can have begun.

use super::{Exchange, Gather, Wants};
use crate::evidence::disk::Disk;
use crate::evidence::read::{Met, Segment, segments};
use crate::id::ExchangeId;
use memchr::memmem;
use std::io;

/// A frame: its segment, and the byte at which it begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The segment.
    pub segment: u64,
    /// Where its frame begins.
    pub frame: u64,
}

/// The member `exchange` stands before anything that a client wrote.
const HEAD_BYTES: usize = 160;

/// Whether a line may be of the exchange `id`; the rest is for who reads the line.
fn may_be_of(line: &[u8], id: &[u8]) -> bool {
    memmem::find(&line[..line.len().min(HEAD_BYTES)], id).is_some()
}

/// Hands each line of the exchange `id` in `places` to `take`, in order. Places whose segment is
/// gone are passed over.
///
/// # Errors
/// The disk cannot be read.
pub fn lines_at(
    disk: &dyn Disk,
    id: ExchangeId,
    places: &[Place],
    mut take: impl FnMut(&[u8]),
) -> io::Result<()> {
    let id = id.text();
    let mut open: Option<(Place, Segment)> = None;
    let mut read = None;
    for place in places {
        // Neighbouring frames are read on with the same reader.
        let goes_on = open.as_ref().is_some_and(|(last, segment)| {
            last.segment == place.segment && segment.frames_end() == place.frame
        });
        if !goes_on {
            match Segment::open(disk, place.segment, place.frame) {
                Ok(segment) => open = Some((*place, segment)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
        }
        let Some((last, segment)) = &mut open else { continue };
        *last = *place;
        let found = segment.next_whole_frame()?.then(|| (place.segment, segment.frame_begin()));
        // Two places may have become one.
        if found.is_none() || std::mem::replace(&mut read, found) == found {
            continue;
        }
        while let Some((_, line)) = segment.line_of_frame() {
            if may_be_of(line, id.as_bytes()) {
                take(line);
            }
        }
    }
    Ok(())
}

/// Reads the exchange `id` from the frames in `places`.
///
/// # Errors
/// The disk cannot be read.
pub fn read_at(disk: &dyn Disk, id: ExchangeId, places: &[Place]) -> io::Result<Exchange> {
    read_with(disk, id, places, Wants::default())
}

/// The same, of which more is wanted.
///
/// # Errors
/// The disk cannot be read.
pub fn read_with(
    disk: &dyn Disk,
    id: ExchangeId,
    places: &[Place],
    wanted: Wants,
) -> io::Result<Exchange> {
    let mut gather = Gather::new(id, wanted);
    // A line of a later version is as good as lost.
    lines_at(disk, id, places, |line| _ = gather.line(line))?;
    Ok(gather.finish())
}

/// The frames that hold lines of the exchange `id`, found by reading all segments.
///
/// # Errors
/// The disk cannot be read.
pub fn scan(disk: &dyn Disk, id: ExchangeId) -> io::Result<Vec<Place>> {
    let text = id.text();
    let mut found = Vec::new();
    for number in segments(disk)? {
        let mut segment = match Segment::open(disk, number, 0) {
            Ok(segment) => segment,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        loop {
            match segment.next_line()? {
                Met::Line(position, line) if may_be_of(line, text.as_bytes()) => {
                    let place = Place { segment: position.segment, frame: position.frame };
                    if found.last() != Some(&place) {
                        found.push(place);
                    }
                }
                Met::Line(..) | Met::Damage(_) => {}
                Met::End => break,
            }
        }
    }
    Ok(found)
}
