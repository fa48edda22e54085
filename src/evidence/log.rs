//! The segments of a store, written.
//!
//! One frame is one commit: the lines of a batch, compressed, written behind what is there, synced.
//! A commit that fails changes nothing: the next one cuts back what it left and is numbered and
//! chained as if it had not been. So a caller repeats a failed commit with the same entries.
//!
//! A segment that is large or old enough is sealed, and the next one begins with the next commit.

use super::disk::{Disk, Out};
use super::entry::{Entry, What};
use super::erase::Erasing;
use super::key::SealKey;
use super::line::Head;
use super::read::segment_name;
use super::segment::{Header, Ranges, Recovered, Seal, Sealed, members};
use super::share::{Erased, Shares, Whose};
use super::told;
use crate::id::{ExchangeId, hex};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// How hard frames are compressed: the level that costs the data path's cores least.
const LEVEL: i32 = 1;
/// The version of the schema that segments begin with; lines of later versions are put into them
/// afterwards.
const SCHEMA: u64 = 1;

/// When a segment is complete, and when it goes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The size on disk at which a segment is sealed.
    pub segment_bytes_max: u64,
    /// The age at which it is.
    pub segment_age_max: Duration,
    /// For how long segments are kept; `None` keeps them.
    pub kept_for: Option<Duration>,
    /// How much of the disk all segments may take; `None` sets no bound.
    pub kept_bytes_max: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            segment_bytes_max: 128 * 1024 * 1024,
            segment_age_max: Duration::from_hours(1),
            kept_for: None,
            kept_bytes_max: None,
        }
    }
}

/// What a commit wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub text_bytes: u64,
    pub disk_bytes: u64,
}

/// The segment that is being written.
pub(super) struct Current {
    pub number: u64,
    pub out: Box<dyn Out>,
    /// What of the file is synced.
    pub len: u64,
    /// Whether more than that may stand in it.
    pub is_dirty: bool,
    pub records: u64,
    pub first_seq: u64,
    pub first_unix_ms: u64,
    pub last_unix_ms: u64,
    /// Whose lines it has.
    pub shares: Shares,
    /// When it was begun.
    pub began_unix_ms: u64,
    /// Lines that the store began it with.
    pub preamble: u64,
}

/// A store's segments.
pub(super) struct Log {
    pub disk: Arc<dyn Disk>,
    pub key: Arc<SealKey>,
    pub limits: Limits,
    pub store: String,
    pub head: Head,
    pub current: Option<Current>,
    /// The number of the next segment.
    pub next: u64,
    pub previous: Option<Sealed>,
    /// Complete segments that are there, oldest first.
    pub sealed: Vec<Sealed>,
    pub retired: Ranges,
    /// Files whose retirement is on record.
    pub to_remove: Vec<u64>,
    /// From which segments whose lines were erased.
    pub erased: Erased,
    /// What those segments take of the disk.
    pub taken: HashMap<u64, u64>,
    /// The erasure that is under way.
    pub erasing: Option<Erasing>,
    /// Segments from which nothing could be erased, and until when they are left alone.
    pub resting: HashMap<u64, u64>,
    /// Lines erased since the store was opened, and tries that failed.
    pub erased_records: u64,
    pub erase_failures: u64,
    pub under_way: HashMap<ExchangeId, Whose>,
    /// What the next segment tells of how the last one was found.
    pub found: Option<Recovered>,
    pub compressor: Compressor<'static>,
    pub text: Vec<u8>,
    /// Lines written since the store was opened.
    pub records: u64,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("store", &self.store)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// A compressor for frames: with a checksum, and with their size in the head.
pub(super) fn compressor() -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

impl Log {
    /// Writes one frame with a line for each entry, and syncs it.
    pub(super) fn commit(&mut self, entries: &[Entry], now_unix_ms: u64) -> io::Result<Written> {
        self.look_after_current()?;
        let mut written = self.begin(now_unix_ms)?;
        if entries.is_empty() {
            return Ok(written);
        }
        let mut head = self.head;
        self.text.clear();
        let mut ends = Vec::with_capacity(entries.len());
        for entry in entries {
            told::write(&mut head, &mut self.text, entry);
            ends.push(self.text.len());
        }
        let times = entries.iter().map(|entry| entry.at_unix_ms);
        let span = times.fold((u64::MAX, 0), |(first, last), at| (at.min(first), at.max(last)));
        let frame = self.write(head, span)?;
        written.text_bytes += frame.text_bytes;
        written.disk_bytes += frame.disk_bytes;
        let mut begin = 0;
        for (entry, end) in entries.iter().zip(ends) {
            self.assign(entry, (end - begin) as u64);
            begin = end;
        }
        Ok(written)
    }

    /// Counts a line that was written to whom it belongs.
    fn assign(&mut self, entry: &Entry, text_bytes: u64) {
        if let (Some(id), What::Open { opened, .. }) = (entry.exchange, &entry.what) {
            self.under_way.insert(id, Whose::of(opened));
        }
        if let Some(current) = &mut self.current
            && !entry.is_gap()
        {
            let whose = entry.exchange.and_then(|id| self.under_way.get(&id));
            let nobody = Whose::default();
            current.shares.add(whose.unwrap_or(&nobody), entry.at_unix_ms, text_bytes);
        }
        if let (Some(id), What::Close { .. }) = (entry.exchange, &entry.what) {
            self.under_way.remove(&id);
        }
    }

    /// Seals the segment if it is large or old enough.
    pub(super) fn rotate(&mut self, now_unix_ms: u64) -> io::Result<()> {
        let Some(current) = &self.current else { return Ok(()) };
        let age = Duration::from_millis(now_unix_ms.saturating_sub(current.began_unix_ms));
        let is_due = current.len >= self.limits.segment_bytes_max
            || (age >= self.limits.segment_age_max && current.records > current.preamble);
        if is_due { self.seal(now_unix_ms, None) } else { Ok(()) }
    }

    /// Seals the segment, after a line of how it was found, if that is to be said.
    pub(super) fn seal(&mut self, now_unix_ms: u64, found: Option<&Recovered>) -> io::Result<()> {
        let Some(current) = &self.current else { return Ok(()) };
        let mut head = self.head;
        self.text.clear();
        if let Some(found) = found {
            line(&mut head, &mut self.text, now_unix_ms, "recovered", found);
        }
        let records = current.records + (head.seq - self.head.seq);
        let seqs = (current.first_seq, head.seq.saturating_sub(1));
        let (key, store) = (&self.key, &self.store);
        let seal = Seal::sign(key, store, current.number, records, seqs, head.chain)?;
        line(&mut head, &mut self.text, now_unix_ms, "seal", &seal);
        self.write(head, (now_unix_ms, now_unix_ms))?;
        if let Some(current) = self.current.take() {
            let sealed = Sealed {
                number: current.number,
                first_seq: current.first_seq,
                last_seq: self.head.seq.saturating_sub(1),
                first_unix_ms: current.first_unix_ms,
                last_unix_ms: current.last_unix_ms,
                bytes: current.len,
                chain: self.head.chain.to_string(),
                signature: Some(seal.signature),
                shares: current.shares,
                kept_until_unix_ms: None,
            };
            self.sealed.push(sealed.clone());
            self.previous = Some(sealed);
        }
        if found.is_some() {
            self.under_way.clear();
        }
        Ok(())
    }

    /// A segment that was moved away, replaced or cut under the running process is lost: what is
    /// written to it nobody would find. The next one says so.
    fn look_after_current(&mut self) -> io::Result<()> {
        let Some(current) = &self.current else { return Ok(()) };
        let size = self.disk.size(&segment_name(current.number))?;
        if size.is_some_and(|size| size >= current.len) {
            return Ok(());
        }
        self.found = Some(Recovered {
            segment: current.number,
            cut_bytes: current.len - size.unwrap_or(0),
            damaged: true,
            unfinished: Vec::new(),
        });
        self.previous = Some(Sealed {
            number: current.number,
            first_seq: current.first_seq,
            last_seq: self.head.seq.saturating_sub(1),
            first_unix_ms: current.first_unix_ms,
            last_unix_ms: current.last_unix_ms,
            bytes: size.unwrap_or(0),
            chain: self.head.chain.to_string(),
            signature: None,
            shares: current.shares.clone(),
            kept_until_unix_ms: None,
        });
        self.current = None;
        Ok(())
    }

    /// Begins a segment where none is open.
    fn begin(&mut self, now_unix_ms: u64) -> io::Result<Written> {
        if self.current.is_some() {
            return Ok(Written::default());
        }
        let mut under_way: Vec<_> = self.under_way.iter().collect();
        under_way.sort_unstable_by_key(|(id, _)| **id);
        let mut under_way_of: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, (_, whose)) in under_way.iter().enumerate() {
            if whose.route.is_some() {
                under_way_of.entry(whose.route().to_owned()).or_default().push(place);
            }
        }
        let there = |number| self.sealed.binary_search_by_key(&number, |one| one.number).is_ok();
        self.erased.keep_only(there);
        let header = Header {
            store: self.store.clone(),
            segment: self.next,
            public_key: hex(&self.key.public().0),
            previous: self.previous.clone(),
            under_way: under_way.iter().map(|(id, _)| id.to_string()).collect(),
            under_way_of,
            retired: self.retired.clone(),
            erased: self.erased.clone(),
        };
        let mut head = self.head;
        self.text.clear();
        line(&mut head, &mut self.text, now_unix_ms, "segment", &header);
        if let Some(found) = &self.found {
            line(&mut head, &mut self.text, now_unix_ms, "recovered", found);
        }
        let preamble = head.seq - self.head.seq;
        let mut out = self.disk.create(&segment_name(self.next))?;
        let frame = self.compressor.compress(&self.text)?;
        out.write_at(0, &frame)?;
        out.sync()?;
        self.disk.sync()?;
        self.current = Some(Current {
            number: self.next,
            out,
            len: frame.len() as u64,
            is_dirty: false,
            records: preamble,
            first_seq: self.head.seq,
            first_unix_ms: now_unix_ms,
            last_unix_ms: now_unix_ms,
            shares: Shares::default(),
            began_unix_ms: now_unix_ms,
            preamble,
        });
        self.head = head;
        self.records += preamble;
        self.next += 1;
        self.found = None;
        Ok(Written { text_bytes: self.text.len() as u64, disk_bytes: frame.len() as u64 })
    }

    /// Writes one frame with lines of the store's own, and syncs it.
    pub(super) fn write_lines(
        &mut self,
        now_unix_ms: u64,
        fill: impl FnOnce(&mut Head, &mut Vec<u8>),
    ) -> io::Result<()> {
        self.begin(now_unix_ms)?;
        let mut head = self.head;
        self.text.clear();
        fill(&mut head, &mut self.text);
        self.write(head, (now_unix_ms, now_unix_ms)).map(|_| ())
    }

    /// Writes the text as a frame of the open segment, and syncs it.
    fn write(&mut self, head: Head, (first, last): (u64, u64)) -> io::Result<Written> {
        let Some(current) = &mut self.current else {
            return Err(io::Error::other("no segment is open"));
        };
        let frame = self.compressor.compress(&self.text)?;
        if current.is_dirty {
            current.out.cut(current.len)?;
        }
        current.is_dirty = true;
        current.out.write_at(current.len, &frame)?;
        current.out.sync()?;
        current.is_dirty = false;
        current.len += frame.len() as u64;
        current.records += head.seq - self.head.seq;
        self.records += head.seq - self.head.seq;
        current.first_unix_ms = current.first_unix_ms.min(first);
        current.last_unix_ms = current.last_unix_ms.max(last);
        self.head = head;
        Ok(Written { text_bytes: self.text.len() as u64, disk_bytes: frame.len() as u64 })
    }

    /// How many segments are there.
    pub(super) fn segments(&self) -> u64 {
        self.sealed.len() as u64 + u64::from(self.current.is_some())
    }
}

/// Appends a line of the store's own.
pub(super) fn line(
    head: &mut Head,
    out: &mut Vec<u8>,
    now_unix_ms: u64,
    kind: &str,
    value: &impl Serialize,
) {
    head.write(out, now_unix_ms, kind, None, |line| {
        if kind == "segment" {
            line.number("schema", SCHEMA);
        }
        members(line, value);
    });
}
