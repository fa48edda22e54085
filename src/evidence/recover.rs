//! Opening a store: the last segment is read whole, mended where it is torn, and sealed.
//!
//! A segment that was open when the process ended is not continued: what the disk has of it whole
//! is kept, bytes of a write that was cut short are cut off, a `recovered` line says so and names
//! the exchanges whose record has no end, and it is sealed. The next commit begins the next one.
//! A segment that is damaged elsewhere than at its end is left as it is, for no write of ours that
//! was cut short leaves one; the next segment says so.

use super::disk::Disk;
use super::erase;
use super::key::SealKey;
use super::line::{self, Chain, Head};
use super::log::{Current, Limits, Log, compressor};
use super::read::{Damage, Met, Record, Segment, segment_name, segments};
use super::retire::Erasure;
use super::segment::{Header, Ranges, Recovered, Sealed};
use super::share::{Erased, Shares, Whose, is_stores_own};
use crate::id::{ExchangeId, RouteName};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

/// The largest file that may be a first frame which was not written whole.
const BEGINNING_BYTES_MAX: u64 = 1024 * 1024;

/// What reading a whole segment found.
#[derive(Debug, Default)]
struct Scan {
    header: Option<Header>,
    /// After the last line.
    head: Option<Head>,
    first_seq: Option<u64>,
    records: u64,
    /// Where the last whole frame ends.
    end: u64,
    torn: u64,
    /// Whether it is damaged elsewhere than at its end.
    is_damaged: bool,
    signature: Option<String>,
    under_way: BTreeMap<ExchangeId, Whose>,
    retired: Vec<u64>,
    erasures: Vec<Erasure>,
    shares: Shares,
    first_unix_ms: Option<u64>,
    last_unix_ms: u64,
}

#[derive(Deserialize)]
struct RetiredLine {
    retired: Sealed,
}

#[derive(Deserialize)]
struct OpenLine {
    route: Option<String>,
    keep_days: Option<u16>,
}

impl OpenLine {
    fn whose(self) -> Whose {
        Whose { route: self.route.as_deref().map(RouteName::new), keep_days: self.keep_days }
    }
}

#[derive(Deserialize)]
struct ErasedLine {
    last: u64,
}

#[derive(Deserialize)]
struct SealLine {
    signature: String,
}

/// Reads the last of some segments; of none, nothing.
fn scan_last(disk: &dyn Disk, numbers: &[u64]) -> io::Result<Scan> {
    numbers.last().map_or_else(|| Ok(Scan::default()), |number| Scan::read(disk, *number))
}

impl Scan {
    /// Whether it is a first frame that was not written whole.
    fn is_beginning(&self) -> bool {
        self.records == 0 && !self.is_damaged && self.torn <= BEGINNING_BYTES_MAX
    }

    fn read(disk: &dyn Disk, number: u64) -> io::Result<Scan> {
        let mut scan = Scan::default();
        let mut segment = Segment::open(disk, number, 0)?;
        loop {
            match segment.next_line()? {
                Met::Line(_, line) => scan.learn(line),
                Met::Damage(Damage { bytes, is_tail: true, offset }) => {
                    scan.torn = bytes;
                    scan.end = offset;
                    return Ok(scan);
                }
                Met::Damage(_) => scan.is_damaged = true,
                Met::End => {
                    scan.end = segment.frames_end();
                    return Ok(scan);
                }
            }
        }
    }

    /// The segment as the next one describes it; `head` is what stands before that.
    fn described(self, number: u64, head: Head) -> Sealed {
        Sealed {
            number,
            first_seq: self.first_seq.unwrap_or(head.seq),
            last_seq: head.seq.saturating_sub(1),
            first_unix_ms: self.first_unix_ms.unwrap_or(0),
            last_unix_ms: self.last_unix_ms,
            bytes: self.end + self.torn,
            chain: head.chain.to_string(),
            signature: self.signature,
            shares: self.shares,
            kept_until_unix_ms: None,
        }
    }

    /// The same, if it is whole.
    fn sealed(self, number: u64) -> Option<Sealed> {
        let head = self.head?;
        let is_whole = !self.is_damaged && self.torn == 0 && self.signature.is_some();
        is_whole.then(|| self.described(number, head))
    }

    fn learn(&mut self, text: &[u8]) {
        let (Ok(record), Some((own, stated))) = (Record::parse(text), line::split(text)) else {
            self.is_damaged = true;
            return;
        };
        if &*record.kind == "reseal" {
            // It stands behind the seal and outside the chain.
            return;
        }
        let mut last = record.seq;
        if &*record.kind == "erased" {
            last = serde_json::from_slice::<ErasedLine>(text).map_or(last, |line| line.last);
        } else if let Some(head) = self.head
            && head.chain.after(own) != stated
        {
            self.is_damaged = true;
        }
        if self.head.is_some_and(|head| head.seq != record.seq) {
            self.is_damaged = true;
        }
        self.head = Some(Head { seq: last.saturating_add(1), chain: stated });
        self.first_seq.get_or_insert(record.seq);
        self.records += last.saturating_sub(record.seq).saturating_add(1);
        let at = line::unix_ms(&record.at);
        if let Some(at) = at {
            self.first_unix_ms = Some(self.first_unix_ms.map_or(at, |first| first.min(at)));
            self.last_unix_ms = self.last_unix_ms.max(at);
        }
        let id = record.exchange.as_deref().and_then(ExchangeId::parse);
        self.signature = None;
        if let ("open", Some(id)) = (&*record.kind, id) {
            let open = serde_json::from_slice::<OpenLine>(text);
            self.under_way.insert(id, open.map(OpenLine::whose).unwrap_or_default());
        }
        if !is_stores_own(&record.kind) && &*record.kind != "erased" {
            let whose = id.and_then(|id| self.under_way.get(&id));
            let nobody = Whose::default();
            let bytes = text.len() as u64 + 1;
            self.shares.add(whose.unwrap_or(&nobody), at.unwrap_or(0), bytes);
        }
        match (&*record.kind, id) {
            ("close", Some(id)) => drop(self.under_way.remove(&id)),
            ("recovered", _) => self.under_way.clear(),
            ("segment", _) => {
                self.header = serde_json::from_slice(text).ok();
                self.under_way = self.header.iter().flat_map(Header::whose).collect();
            }
            ("retired", _) => {
                let line = serde_json::from_slice::<RetiredLine>(text);
                self.retired.extend(line.ok().map(|line| line.retired.number));
            }
            ("erasure", _) => self.erasures.extend(serde_json::from_slice::<Erasure>(text).ok()),
            ("seal", _) => {
                let seal = serde_json::from_slice::<SealLine>(text);
                self.signature = seal.ok().map(|seal| seal.signature);
            }
            _ => {}
        }
    }
}

impl Log {
    /// Opens the store in `disk`, mends what is torn, and says what was found.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        key: SealKey,
        limits: Limits,
        now_unix_ms: u64,
    ) -> io::Result<(Log, Option<Recovered>)> {
        erase::tidy(&*disk)?;
        let mut numbers = segments(&*disk)?;
        let mut scan = scan_last(&*disk, &numbers)?;
        let mut cut_bytes = 0;
        if !numbers.is_empty() && scan.is_beginning() {
            // Nothing of it was ever acknowledged. The next segment takes its number and its place.
            cut_bytes = scan.torn;
            numbers.pop();
            scan = scan_last(&*disk, &numbers)?;
        }
        let mut head = scan.head;
        for number in numbers.iter().rev().skip(1) {
            if head.is_some() {
                break;
            }
            head = Scan::read(&*disk, *number)?.head;
        }
        let headers: Vec<Option<Header>> =
            numbers.iter().map(|number| header(&*disk, *number)).collect::<io::Result<_>>()?;
        let known = headers.iter().flatten().next_back();
        let mut log = Log {
            key: Arc::new(key),
            limits,
            store: known.map_or_else(|| uuid::Uuid::now_v7().to_string(), |h| h.store.clone()),
            head: head.unwrap_or(Head { seq: 1, chain: Chain::default() }),
            current: None,
            next: numbers.last().map_or(1, |last| last + 1),
            previous: None,
            sealed: earlier(&*disk, &numbers, &headers)?,
            retired: known.map_or_else(Ranges::default, |header| header.retired.clone()),
            to_remove: Vec::new(),
            erased: known.map_or_else(Erased::default, |header| header.erased.clone()),
            taken: HashMap::new(),
            erasing: None,
            resting: HashMap::new(),
            erased_records: 0,
            erase_failures: 0,
            under_way: HashMap::new(),
            found: None,
            compressor: compressor()?,
            text: Vec::new(),
            records: 0,
            disk,
        };
        for number in &scan.retired {
            log.retired.insert(*number);
        }
        for erasure in &scan.erasures {
            log.erased.insert(erasure.segment, erasure.routes.iter().map(String::as_str));
        }
        for number in numbers.iter().filter(|number| log.erased.has_any(**number)) {
            log.taken.insert(*number, log.disk.taken(&segment_name(*number))?);
        }
        log.to_remove = numbers.iter().copied().filter(|n| log.retired.has(*n)).collect();
        log.sealed.retain(|sealed| !log.retired.has(sealed.number));
        let found = log.mend(numbers.last().copied(), scan, cut_bytes, now_unix_ms)?;
        Ok((log, found))
    }

    /// Brings the last segment to its end.
    fn mend(
        &mut self,
        last: Option<u64>,
        scan: Scan,
        cut_before: u64,
        now_unix_ms: u64,
    ) -> io::Result<Option<Recovered>> {
        let Some(number) = last else {
            self.found = (cut_before > 0).then(|| Recovered {
                segment: self.next,
                cut_bytes: cut_before,
                damaged: false,
                unfinished: Vec::new(),
            });
            return Ok(self.found.clone());
        };
        // What stands behind a seal is none of ours.
        let is_damaged =
            scan.is_damaged || scan.records == 0 || (scan.signature.is_some() && scan.torn > 0);
        let found = Recovered {
            segment: number,
            cut_bytes: cut_before + if is_damaged { 0 } else { scan.torn },
            damaged: is_damaged,
            unfinished: scan.under_way.keys().map(ToString::to_string).collect(),
        };
        if is_damaged || scan.signature.is_some() {
            let sealed = scan.described(number, self.head);
            self.sealed.push(sealed.clone());
            self.previous = Some(sealed);
            let is_clean = !is_damaged && found.cut_bytes == 0 && found.unfinished.is_empty();
            self.found = (!is_clean).then_some(found);
            return Ok(self.found.clone());
        }
        let mut out = self.disk.reopen(&segment_name(number))?;
        if scan.torn > 0 {
            out.cut(scan.end)?;
            out.sync()?;
        }
        self.current = Some(Current {
            number,
            out,
            len: scan.end,
            is_dirty: false,
            records: scan.records,
            first_seq: scan.first_seq.unwrap_or(self.head.seq),
            first_unix_ms: scan.first_unix_ms.unwrap_or(now_unix_ms),
            last_unix_ms: scan.last_unix_ms,
            shares: scan.shares,
            began_unix_ms: now_unix_ms,
            preamble: 0,
        });
        self.seal(now_unix_ms, Some(&found))?;
        Ok(Some(found))
    }
}

/// A segment's first line, where it can be read.
pub(super) fn header(disk: &dyn Disk, number: u64) -> io::Result<Option<Header>> {
    let mut segment = Segment::open(disk, number, 0)?;
    Ok(match segment.next_line()? {
        Met::Line(_, line) => serde_json::from_slice(line).ok(),
        Met::Damage(_) | Met::End => None,
    })
}

/// What is known of the segments before the last. Each is described by the one after it; where that
/// is gone, as behind one that was held, it is read itself. One that is damaged is kept for ever.
fn earlier(
    disk: &dyn Disk,
    numbers: &[u64],
    headers: &[Option<Header>],
) -> io::Result<Vec<Sealed>> {
    let mut sealed = Vec::new();
    for (number, next) in numbers.iter().zip(headers.iter().skip(1)) {
        let said = next.as_ref().and_then(|next| next.previous.clone());
        match said.filter(|said| said.number == *number) {
            Some(said) => sealed.push(said),
            None => sealed.extend(Scan::read(disk, *number)?.sealed(*number)),
        }
    }
    Ok(sealed)
}
