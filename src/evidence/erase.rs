//! Taking some routes' lines out of a complete segment.
//!
//! The segment is written anew beside the old one, with an `erased` line for each run of lines that
//! go: their numbers and the chain after them, so that the chain through all others still proves
//! them. Behind the seal comes a `reseal` line, which names all numbers that were erased and is
//! signed by the sealing key: what nobody signed for is missing, and
//! [`verify`](super::verify::verify) says so. What always holds:
//!
//! * Frames stay where they began, so places that an index or a reader knows stay right. What is
//!   between them is skippable (RFC 8878, section 3.1.2) and never written: a hole that takes no room
//!   on the disk. The rare frame that does not fit into its place any more, as a line that stands for a
//!   short one may be longer, is joined with the next one: the first that is whole from there on.
//! * The old segment or the new one is there, whenever the process or the power ends.
//! * It never takes the room that another whole segment needs.

mod anew;
mod sorter;

use super::disk::Disk;
use super::key::SealKey;
use super::log::Log;
use super::read::{Damage, Framed, Segment, segment_name};
use super::segment::Reseal;
use anew::Anew;
use sorter::Sorter;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;

/// The name under which a segment is written anew.
pub(super) fn name(number: u64) -> String {
    format!("seg-{number:010}.erasing")
}

/// Removes what is left of erasures that did not come to their end.
pub(super) fn tidy(disk: &dyn Disk) -> io::Result<()> {
    for left in disk.list()? {
        let digits = left.strip_prefix("seg-").and_then(|left| left.strip_suffix(".erasing"));
        if digits.and_then(|digits| digits.parse().ok()).is_some_and(|number| name(number) == left)
        {
            disk.remove(&left)?;
        }
    }
    Ok(())
}

/// Removes a segment that was written anew for nothing.
pub(super) fn give_up(disk: &dyn Disk, number: u64) -> io::Result<()> {
    match disk.remove(&name(number)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// An erasure that is under way on its own thread. Dropping it ends it soon.
#[derive(Debug)]
pub(super) struct Erasing {
    pub number: u64,
    pub routes: BTreeSet<String>,
    done: Receiver<io::Result<Option<Made>>>,
    stop: Arc<AtomicBool>,
}

/// What a segment that was written anew is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// How many lines went.
    pub records: u64,
}

impl Erasing {
    pub(super) fn start(
        log: &Log,
        number: u64,
        routes: BTreeSet<String>,
        now_unix_ms: u64,
    ) -> io::Result<Erasing> {
        let (send, done) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let order = Order {
            number,
            store: log.store.clone(),
            routes: routes.clone(),
            now_unix_ms,
            leaves_free: log.limits.segment_bytes_max,
        };
        let (disk, key, told) = (Arc::clone(&log.disk), Arc::clone(&log.key), Arc::clone(&stop));
        thread::Builder::new().name("firedoor-erase".to_owned()).spawn(move || {
            super::give_way();
            let made = rewrite(&*disk, &key, &order, &told);
            if !matches!(made, Ok(Some(_))) {
                // What is left of it is removed at the next start at the latest.
                let _ = give_up(&*disk, order.number);
            }
            // Nobody asks any more where the store was closed.
            let _ = send.send(made);
        })?;
        Ok(Erasing { number, routes, done, stop })
    }

    /// What it came to, if it has: a new segment, or none where no line was left to erase.
    pub(super) fn done(&self) -> Option<io::Result<Option<Made>>> {
        match self.done.try_recv() {
            Ok(made) => Some(made),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(io::Error::other("its thread ended"))),
        }
    }
}

impl Drop for Erasing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What is to be erased.
struct Order {
    number: u64,
    store: String,
    routes: BTreeSet<String>,
    now_unix_ms: u64,
    /// What of the disk it leaves to what is recorded meanwhile.
    leaves_free: u64,
}

/// Writes a segment anew without some routes' lines; `None` if it has none of them.
fn rewrite(
    disk: &dyn Disk,
    key: &SealKey,
    order: &Order,
    stop: &AtomicBool,
) -> io::Result<Option<Made>> {
    let taken = disk.taken(&segment_name(order.number))?;
    room(disk, order.leaves_free.saturating_add(taken))?;
    let mut segment = Segment::open(disk, order.number, 0)?;
    let mut old = Old { source: disk.read(&segment_name(order.number), 0)?, at: 0 };
    let mut anew = Anew::new(disk.create(&name(order.number))?)?;
    let mut sorter = Sorter::new(&order.routes);
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the store is closed"));
        }
        room(disk, order.leaves_free)?;
        match segment.next_frame()? {
            Framed::End => break,
            // Nobody can tell whose it is: it stays for `verify` to tell of.
            Framed::Damage(Damage { offset, bytes, .. }) => {
                anew.settle(offset)?;
                anew.put(offset, &old.read(offset..offset + bytes)?)?;
            }
            Framed::Whole => {
                let place = anew.frame(&mut sorter, &mut segment)?;
                if let Some(place) = place {
                    anew.put(place.start, &old.read(place)?)?;
                }
            }
        }
    }
    anew.settle(u64::MAX)?;
    if anew.records == 0 {
        return Ok(None);
    }
    let seal = sorter.seal.ok_or_else(|| io::Error::other("it has no seal to stand behind"))?;
    let (number, at, erased) = (order.number, order.now_unix_ms, std::mem::take(&mut anew.erased));
    let mut text = Vec::new();
    Reseal::sign(key, &order.store, number, at, erased, &anew.places)?.write(seal, &mut text);
    anew.finish(&text)?;
    Ok(Some(Made { records: anew.records }))
}

/// Whether so many bytes are free.
fn room(disk: &dyn Disk, needed: u64) -> io::Result<()> {
    let free = disk.free()?;
    if free >= needed {
        return Ok(());
    }
    let why = format!(
        "it is written anew beside itself, which needs {needed} bytes free, and {free} are"
    );
    Err(io::Error::new(io::ErrorKind::StorageFull, why))
}

/// The segment as it was, read a second time for what stays as it is.
struct Old {
    source: Box<dyn Read + Send>,
    at: u64,
}

impl Old {
    fn read(&mut self, place: Range<u64>) -> io::Result<Vec<u8>> {
        let before = place.start.saturating_sub(self.at);
        io::copy(&mut (&mut self.source).take(before), &mut io::sink())?;
        let mut bytes = Vec::new();
        let length = place.end - place.start;
        (&mut self.source).take(length).read_to_end(&mut bytes)?;
        self.at = place.end;
        if (bytes.len() as u64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }
}
