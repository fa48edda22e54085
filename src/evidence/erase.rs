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

use super::disk::{Disk, Out};
use super::key::SealKey;
use super::line::{self, Chain, Head};
use super::log::{Log, compressor};
use super::read::{Damage, Framed, Segment, Text, segment_name};
use super::segment::{Header, Ranges, Reseal};
use super::share::is_stores_own;
use crate::id::ExchangeId;
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use zstd::bulk::Compressor;

/// How hard a frame is compressed that does not fit into its place otherwise.
const HARD_LEVEL: i32 = 19;
/// The most bytes of lines that are carried on to the next frame, where they do not fit either.
const CARRIED_MAX: usize = 8 * 1024 * 1024;
/// What a skippable frame begins with, and the length of its head.
const SKIPPABLE: u32 = 0x184D_2A50;
const SKIPPABLE_HEAD: u64 = 8;
/// The most bytes of one, so that whoever reads a whole frame at once needs no more.
const SKIPPABLE_MAX: u64 = 4 * 1024 * 1024;

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
        let order = Order { number, store: log.store.clone(), routes: routes.clone(), now_unix_ms };
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
}

/// Writes a segment anew without some routes' lines; `None` if it has none of them.
fn rewrite(
    disk: &dyn Disk,
    key: &SealKey,
    order: &Order,
    stop: &AtomicBool,
) -> io::Result<Option<Made>> {
    let mut segment = Segment::open(disk, order.number, 0)?;
    let mut old = Old { source: disk.read(&segment_name(order.number), 0)?, at: 0 };
    let mut anew = Anew {
        out: disk.create(&name(order.number))?,
        end: 0,
        compressor: compressor()?,
        run: None,
        waiting: None,
        carried: Vec::new(),
        erased: Ranges::default(),
        places: blake3::Hasher::new(),
        records: 0,
    };
    let mut sorter = Sorter { routes: &order.routes, goes: HashMap::new(), seal: None };
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the store is closed"));
        }
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
    let frame = anew.compressor.compress(&text)?;
    anew.put(anew.end, &frame)?;
    anew.out.sync()?;
    Ok(Some(Made { records: anew.records }))
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

/// What becomes of a line.
enum Fate {
    Stays,
    /// It goes with what stands beside it.
    Goes(Run),
    /// It is made anew.
    Drops,
}

/// Lines beside each other that are erased.
struct Run {
    first: u64,
    last: u64,
    /// When the first of them was.
    at: String,
    /// The chain after the last of them.
    chain: Chain,
    /// How many of them were there until now.
    records: u64,
}

/// Knows whose lines go.
struct Sorter<'o> {
    routes: &'o BTreeSet<String>,
    /// Whether an exchange's lines do.
    goes: HashMap<ExchangeId, bool>,
    /// The seal's number, and the chain after it.
    seal: Option<Head>,
}

/// What of a line is looked at.
#[derive(Deserialize)]
struct Told<'l> {
    v: u32,
    seq: u64,
    #[serde(borrow)]
    at: Text<'l>,
    #[serde(borrow)]
    kind: Text<'l>,
    #[serde(borrow, default)]
    exchange: Option<Text<'l>>,
    #[serde(borrow, default)]
    route: Option<Text<'l>>,
    #[serde(default)]
    last: Option<u64>,
}

impl Sorter<'_> {
    fn fate(&mut self, text: &[u8]) -> Fate {
        let (Ok(told), Some((_, chain))) =
            (serde_json::from_slice::<Told<'_>>(text), line::split(text))
        else {
            return Fate::Stays;
        };
        if told.v > line::VERSION {
            return Fate::Stays;
        }
        let run = |last: u64, records: u64| {
            Fate::Goes(Run { first: told.seq, last, at: told.at.to_string(), chain, records })
        };
        match &*told.kind {
            "erased" => return run(told.last.unwrap_or(told.seq), 0),
            "reseal" => return Fate::Drops,
            "seal" => self.seal = Some(Head { seq: told.seq, chain }),
            "segment" => {
                if let Ok(header) = serde_json::from_slice::<Header>(text) {
                    let whose = header.whose().into_iter();
                    self.goes = whose.map(|(id, whose)| (id, self.has(whose.route()))).collect();
                }
            }
            _ => {}
        }
        if is_stores_own(&told.kind) {
            return Fate::Stays;
        }
        let id = told.exchange.as_deref().and_then(ExchangeId::parse);
        if let (Some(id), "open") = (id, &*told.kind) {
            let goes = self.has(told.route.as_deref().unwrap_or(""));
            self.goes.insert(id, goes);
        }
        let goes = id.and_then(|id| self.goes.get(&id).copied());
        if goes.unwrap_or_else(|| self.has("")) { run(told.seq, 1) } else { Fate::Stays }
    }

    fn has(&self, route: &str) -> bool {
        self.routes.contains(route)
    }
}

/// The segment in the making.
struct Anew {
    out: Box<dyn Out>,
    /// Where the last frame ends.
    end: u64,
    compressor: Compressor<'static>,
    /// The run of erased lines that may go on.
    run: Option<Run>,
    /// The frame in which it began, if that is an earlier one: its place and its text.
    waiting: Option<(u64, Vec<u8>)>,
    /// Lines that did not fit into their place: they stand before those of the next frame.
    carried: Vec<u8>,
    erased: Ranges,
    /// Over the lines that stand in the places of those.
    places: blake3::Hasher,
    records: u64,
}

impl Anew {
    /// Takes a frame; gives its place if it stays as it is.
    fn frame(
        &mut self,
        sorter: &mut Sorter<'_>,
        segment: &mut Segment,
    ) -> io::Result<Option<Range<u64>>> {
        let mut begin = 0;
        let mut text = std::mem::take(&mut self.carried);
        let mut stays = text.is_empty();
        while let Some((position, line)) = segment.line_of_frame() {
            begin = position.frame;
            match sorter.fate(line) {
                Fate::Stays => {
                    stays &= self.run.is_none();
                    self.end_run(begin, &mut text)?;
                    text.extend_from_slice(line);
                    text.push(b'\n');
                }
                Fate::Goes(run) => {
                    stays = false;
                    self.records += run.records;
                    match &mut self.run {
                        Some(open) if open.last.saturating_add(1) == run.first => {
                            open.last = run.last;
                            open.chain = run.chain;
                        }
                        _ => {
                            self.end_run(begin, &mut text)?;
                            self.run = Some(run);
                        }
                    }
                }
                Fate::Drops => {
                    self.end_run(begin, &mut text)?;
                    stays = false;
                }
            }
        }
        // Behind the seal there is room.
        let end = if sorter.seal.is_some() { u64::MAX } else { segment.frames_end() };
        match &self.run {
            // All of it goes with what began before it.
            Some(_) if self.waiting.is_some() => Ok(None),
            Some(_) => {
                self.waiting = Some((begin, text));
                Ok(None)
            }
            None if stays => Ok(Some(begin..segment.frames_end())),
            None if text.is_empty() => Ok(None),
            None => self.put_text(begin..end, text).map(|()| None),
        }
    }

    /// Leaves nothing open before what begins at `next`.
    fn settle(&mut self, next: u64) -> io::Result<()> {
        let mut carried = Vec::new();
        self.end_run(next, &mut carried)?;
        carried.append(&mut self.carried);
        if carried.is_empty() { Ok(()) } else { Err(does_not_fit(next)) }
    }

    /// Ends the run of erased lines where one is open, before what begins at `next`; its line goes
    /// to the frame in which it began: the one that waits, else the one whose text is `here`.
    fn end_run(&mut self, next: u64, here: &mut Vec<u8>) -> io::Result<()> {
        let Some(run) = self.run.take() else { return Ok(()) };
        self.erased.extend(run.first, run.last);
        let mut line = Vec::new();
        line::write_erased(&mut line, run.first, run.last, &run.at, run.chain);
        self.places.update(&line);
        let Some((begin, mut text)) = self.waiting.take() else {
            here.extend_from_slice(&line);
            return Ok(());
        };
        text.extend_from_slice(&line);
        self.put_text(begin..next, text)?;
        // The frame at hand has nothing yet but what goes.
        here.splice(0..0, std::mem::take(&mut self.carried));
        Ok(())
    }

    /// Writes a frame that has room up to the end of its place; where it does not fit, it goes with the
    /// next one.
    fn put_text(&mut self, place: Range<u64>, text: Vec<u8>) -> io::Result<()> {
        let room = place.end - place.start;
        let fits = |frame: &[u8]| {
            let length = frame.len() as u64;
            length == room || length.saturating_add(SKIPPABLE_HEAD) <= room
        };
        let mut frame = self.compressor.compress(&text)?;
        if !fits(&frame) {
            let mut harder = compressor()?;
            harder.set_compression_level(HARD_LEVEL)?;
            frame = harder.compress(&text)?;
        }
        if fits(&frame) {
            return self.put(place.start, &frame);
        }
        if text.len() > CARRIED_MAX {
            return Err(does_not_fit(place.start));
        }
        self.carried = text;
        Ok(())
    }

    /// Writes bytes in their place.
    fn put(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if at < self.end {
            return Err(does_not_fit(at));
        }
        while self.end < at {
            let gap = at - self.end;
            // What is left over must have room for a head of its own.
            let length = if gap <= SKIPPABLE_MAX { gap } else { SKIPPABLE_MAX - SKIPPABLE_HEAD };
            let payload = u32::try_from(length.saturating_sub(SKIPPABLE_HEAD)).unwrap_or(0);
            let head = [SKIPPABLE.to_le_bytes(), payload.to_le_bytes()].concat();
            self.out.write_at(self.end, &head)?;
            self.end += length;
        }
        self.out.write_at(at, bytes)?;
        self.end = at + bytes.len() as u64;
        Ok(())
    }
}

fn does_not_fit(at: u64) -> io::Error {
    io::Error::other(format!("what stays of the frame at byte {at} does not fit into its place"))
}
