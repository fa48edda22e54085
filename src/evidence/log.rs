//! The segments of a store, written.
//!
//! One frame is one commit: the lines of a batch, compressed, written behind what is there, synced.
//! A commit that fails changes nothing: the next one cuts back what it left and is numbered and
//! chained as if it had not been. So a caller repeats a failed commit with the same entries.
//!
//! A segment that is large or old enough is sealed, and the next one begins with the next commit.
//! Retention takes whole sealed segments: first it is on record that they go, then they go.

use super::disk::{Disk, Out};
use super::entry::{Entry, What};
use super::key::SealKey;
use super::line::{Head, VERSION};
use super::read::segment_name;
use super::segment::{Header, Ranges, Recovered, Seal, Sealed, kept_until, members};
use super::told;
use crate::id::{ExchangeId, hex};
use serde::Serialize;
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// How hard frames are compressed: the level that costs the data path's cores least.
const LEVEL: i32 = 1;

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
    /// Until when routes want it kept.
    pub kept_until_unix_ms: Option<u64>,
    /// When it was begun.
    pub began_unix_ms: u64,
    /// Lines that the store began it with.
    pub preamble: u64,
}

/// A store's segments.
pub(super) struct Log {
    pub disk: Arc<dyn Disk>,
    pub key: SealKey,
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
    pub under_way: HashSet<ExchangeId>,
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
        for entry in entries {
            told::write(&mut head, &mut self.text, entry);
        }
        let times = entries.iter().map(|entry| entry.at_unix_ms);
        let span = times.fold((u64::MAX, 0), |(first, last), at| (at.min(first), at.max(last)));
        let frame = self.write(head, span)?;
        written.text_bytes += frame.text_bytes;
        written.disk_bytes += frame.disk_bytes;
        for entry in entries {
            match (entry.exchange, &entry.what) {
                (Some(id), What::Open { opened, .. }) => {
                    self.under_way.insert(id);
                    let until = opened.keep_days.map(|days| kept_until(entry.at_unix_ms, days));
                    if let Some(current) = &mut self.current {
                        current.kept_until_unix_ms = current.kept_until_unix_ms.max(until);
                    }
                }
                (Some(id), What::Close { .. }) => drop(self.under_way.remove(&id)),
                _ => {}
            }
        }
        Ok(written)
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
                kept_until_unix_ms: current.kept_until_unix_ms,
            };
            self.sealed.push(sealed.clone());
            self.previous = Some(sealed);
        }
        if found.is_some() {
            self.under_way.clear();
        }
        Ok(())
    }

    /// Removes segments that are kept no longer, but for those that a route wants kept or that are
    /// held.
    pub(super) fn retire(
        &mut self,
        now_unix_ms: u64,
        is_held: &dyn Fn(&Sealed) -> bool,
    ) -> io::Result<()> {
        let open = self.current.as_ref().map_or(0, |current| current.len);
        let sizes = self.sealed.iter().map(|sealed| sealed.bytes);
        let mut total = sizes.fold(open, u64::saturating_add);
        let mut going = Vec::new();
        for sealed in &self.sealed {
            let age = Duration::from_millis(now_unix_ms.saturating_sub(sealed.last_unix_ms));
            let is_old = self.limits.kept_for.is_some_and(|most| age > most);
            let is_much = self.limits.kept_bytes_max.is_some_and(|most| total > most);
            let is_wanted = sealed.kept_until_unix_ms.is_some_and(|until| until > now_unix_ms);
            if (is_old || is_much) && !is_wanted && !is_held(sealed) {
                total = total.saturating_sub(sealed.bytes);
                going.push((sealed.clone(), if is_old { "age" } else { "size" }));
            }
        }
        if !going.is_empty() {
            self.begin(now_unix_ms)?;
            let mut head = self.head;
            self.text.clear();
            for (sealed, why) in &going {
                let retired = RetiredLine { retired: sealed, why };
                line(&mut head, &mut self.text, now_unix_ms, "retired", &retired);
            }
            self.write(head, (now_unix_ms, now_unix_ms))?;
            for (gone, _) in going {
                self.sealed.retain(|sealed| sealed.number != gone.number);
                self.retired.insert(gone.number);
                self.to_remove.push(gone.number);
            }
        }
        self.remove()
    }

    /// Removes the files of retired segments.
    fn remove(&mut self) -> io::Result<()> {
        if self.to_remove.is_empty() {
            return Ok(());
        }
        while let Some(number) = self.to_remove.last() {
            match self.disk.remove(&segment_name(*number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => drop(self.to_remove.pop()),
            }
        }
        self.disk.sync()
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
            kept_until_unix_ms: current.kept_until_unix_ms,
        });
        self.current = None;
        Ok(())
    }

    /// Begins a segment where none is open.
    fn begin(&mut self, now_unix_ms: u64) -> io::Result<Written> {
        if self.current.is_some() {
            return Ok(Written::default());
        }
        let mut under_way: Vec<String> = self.under_way.iter().map(ToString::to_string).collect();
        under_way.sort_unstable();
        let header = Header {
            store: self.store.clone(),
            segment: self.next,
            public_key: hex(&self.key.public().0),
            previous: self.previous.clone(),
            under_way,
            retired: self.retired.clone(),
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
            // What is under way goes on here, and who wants it kept is known from before.
            kept_until_unix_ms: carried(&header),
            began_unix_ms: now_unix_ms,
            preamble,
        });
        self.head = head;
        self.records += preamble;
        self.next += 1;
        self.found = None;
        Ok(Written { text_bytes: self.text.len() as u64, disk_bytes: frame.len() as u64 })
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

/// Until when a segment is wanted for what began before it.
pub(super) fn carried(header: &Header) -> Option<u64> {
    let previous = header.previous.as_ref().filter(|_| !header.under_way.is_empty());
    previous.and_then(|previous| previous.kept_until_unix_ms)
}

#[derive(Serialize)]
struct RetiredLine<'s> {
    retired: &'s Sealed,
    why: &'s str,
}

/// Appends a line of the store's own.
fn line(head: &mut Head, out: &mut Vec<u8>, now_unix_ms: u64, kind: &str, value: &impl Serialize) {
    head.write(out, now_unix_ms, kind, None, |line| {
        if kind == "segment" {
            line.number("schema", u64::from(VERSION));
        }
        members(line, value);
    });
}
