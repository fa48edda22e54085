//! Whether a record is whole and unchanged, and if not, where.
//!
//! Every line is checked against the chain, every seal against its segment and the keys, every
//! segment against the one before it, and every number that is missing against what was retired.
//! After a bad record checking goes on from what that record states, so one change is told once or
//! twice and not for every line behind it. Whole segments are read, also for a range.
//!
//! The newest segment may be open: its end is then no proof, and what stands torn behind its last
//! whole frame is told and is no fault.

use super::disk::Disk;
use super::key::PublicKey;
use super::line::{self, Chain, Head};
use super::read::{Damage, Met, Position, Segment, Text, segments};
use super::recover::header;
use super::segment::{Header, Ranges, Recovered, Reseal, Seal, Sealed};
use super::share::Shares;
use crate::id::hex;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::io;

/// The most bad records that are named; more are counted.
pub const BAD_MAX: usize = 1_000;

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Bytes that are no whole frame.
    Damaged {
        /// How many.
        bytes: u64,
    },
    /// It is no record, or of a newer version.
    Unreadable(String),
    /// Its number is not the next: something was removed, added or moved.
    Number {
        /// What the next number is.
        expected: u64,
    },
    /// Its chain does not follow: it, or what stands before it, was changed.
    Chain,
    /// The segment does not begin with what a segment begins with.
    Beginning,
    /// The segment says of the one before it what that is not.
    Previous,
    /// The segment belongs to another store.
    Store,
    /// The seal does not fit the segment.
    Seal,
    /// The seal is not signed by a key that counts.
    Signature,
    /// It stands behind the seal.
    BehindSeal,
    /// Records were erased that nobody signed for.
    Erased,
    /// The segment has no seal, and is not the newest.
    Unsealed,
    /// The segment is missing, and no record says that it was retired.
    Missing,
    /// The file cannot be read.
    File(String),
}

impl Wrong {
    /// The name, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Wrong::Damaged { .. } => "damaged",
            Wrong::Unreadable(_) => "unreadable",
            Wrong::Number { .. } => "number",
            Wrong::Chain => "chain",
            Wrong::Beginning => "beginning",
            Wrong::Previous => "previous",
            Wrong::Store => "store",
            Wrong::Seal => "seal",
            Wrong::Signature => "signature",
            Wrong::BehindSeal => "behind_seal",
            Wrong::Erased => "erased",
            Wrong::Unsealed => "unsealed",
            Wrong::Missing => "missing",
            Wrong::File(_) => "file",
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Damaged { bytes } => write!(f, "{bytes} bytes are no whole frame"),
            Wrong::Unreadable(why) => write!(f, "it is no record: {why}"),
            Wrong::Number { expected } => {
                write!(f, "record {expected} should stand here: one was removed, added or moved")
            }
            Wrong::Chain => {
                f.write_str("the chain is broken: it, or what stands before it, was changed")
            }
            Wrong::Beginning => f.write_str("the segment does not begin as one"),
            Wrong::Previous => {
                f.write_str("what it says of the segment before it is not what stands there")
            }
            Wrong::Store => f.write_str("it belongs to another store"),
            Wrong::Seal => f.write_str("the seal does not fit what stands before it"),
            Wrong::Signature => f.write_str("the seal is not signed by a key that counts"),
            Wrong::BehindSeal => f.write_str("it stands behind the seal"),
            Wrong::Erased => {
                f.write_str("records were erased here, and no seal says that they may be")
            }
            Wrong::Unsealed => f.write_str("the segment has no seal: its end is missing"),
            Wrong::Missing => {
                f.write_str("the segment is missing, and no record says that it was retired")
            }
            Wrong::File(why) => write!(f, "it cannot be read: {why}"),
        }
    }
}

/// A bad record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Its segment.
    pub segment: u64,
    /// Its number, where that can be read; for what is missing behind a record, that record's.
    pub seq: Option<u64>,
    /// Where its frame begins in the file.
    pub frame: Option<u64>,
    /// What is wrong.
    pub wrong: Wrong,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {}", self.segment)?;
        if let Some(seq) = self.seq {
            write!(f, ", record {seq}")?;
        }
        if let Some(frame) = self.frame {
            write!(f, ", frame at byte {frame}")?;
        }
        write!(f, ": {}", self.wrong)
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Names the store.
    pub store: Option<String>,
    /// Segments that were read.
    pub segments: u64,
    /// Records that were read.
    pub records: u64,
    /// Bytes of their text.
    pub text_bytes: u64,
    /// What is bad, in the order in which it stands.
    pub bad: Vec<Bad>,
    /// Bad records that are not named.
    pub bad_more: u64,
    /// The segment that is open, whose end is no proof.
    pub open: Option<u64>,
    /// Bytes behind the last whole frame of the open segment.
    pub torn_bytes: u64,
    /// The last record and the chain after it. Kept elsewhere, it proves that the end is the end.
    pub head: Option<(u64, Chain)>,
    /// Holes that the record itself tells of.
    pub gaps: u64,
    /// Records that they lost.
    pub gap_records: u64,
    /// Bytes that they lost.
    pub gap_bytes: u64,
    /// Ends that were not clean.
    pub recoveries: u64,
    /// Exchanges whose end is missing because of them.
    pub unfinished: u64,
    /// Segments that were retired.
    pub retired: Ranges,
    /// Segments from which records were erased, as their seals say.
    pub erased_from: Ranges,
    /// Those records.
    pub erased: u64,
}

impl Report {
    /// Whether nothing is bad.
    pub fn is_good(&self) -> bool {
        self.bad.is_empty()
    }

    fn add(&mut self, segment: u64, seq: Option<u64>, frame: Option<u64>, wrong: Wrong) {
        if self.bad.len() < BAD_MAX {
            self.bad.push(Bad { segment, seq, frame, wrong });
        } else {
            self.bad_more += 1;
        }
    }
}

/// Which records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// From this one.
    pub from: Option<u64>,
    /// To this one.
    pub to: Option<u64>,
}

/// Verifies the segments of a folder that have records of `span`.
///
/// # Errors
/// The folder cannot be read. A file that cannot be is told in the report.
pub fn verify(disk: &dyn Disk, span: Span, keys: &[PublicKey]) -> io::Result<Report> {
    let all = segments(disk)?;
    let firsts: Vec<Option<u64>> = all.iter().map(|number| first_seq(disk, *number)).collect();
    let is_asked = |index: usize| {
        let next = firsts.get(index + 1).copied().flatten();
        let is_late = span.from.is_some_and(|from| next.is_some_and(|next| next <= from));
        let is_early = span.to.is_some_and(|to| firsts[index].is_some_and(|first| first > to));
        !is_late && !is_early
    };
    let numbers: Vec<u64> =
        all.iter().enumerate().filter(|(at, _)| is_asked(*at)).map(|(_, number)| *number).collect();
    let mut walk = Walk {
        keys,
        newest: all.last().copied(),
        report: Report::default(),
        before: None,
        gone: HashMap::new(),
        claims: Vec::new(),
    };
    for number in &numbers {
        walk.report.segments += 1;
        if let Err(error) = walk.segment(disk, *number) {
            walk.before = None;
            walk.report.add(*number, None, None, Wrong::File(error.to_string()));
        }
    }
    // What was retired may be on record behind the hole, in a segment that was not asked for too.
    if let Some(last) = all.last()
        && let Ok(Some(header)) = header(disk, *last)
    {
        walk.report.retired.join(&header.retired);
    }
    let is_whole = span.from.is_none() && span.to.is_none();
    Ok(walk.finish(&numbers, is_whole))
}

fn first_seq(disk: &dyn Disk, number: u64) -> Option<u64> {
    let mut segment = Segment::open(disk, number, 0).ok()?;
    match segment.next_line().ok()? {
        Met::Line(_, line) => serde_json::from_slice::<Glance<'_>>(line).ok().map(|line| line.seq),
        Met::Damage(_) | Met::End => None,
    }
}

/// What of a line is looked at in any case.
#[derive(Deserialize)]
struct Glance<'l> {
    v: u32,
    seq: u64,
    #[serde(borrow)]
    kind: Text<'l>,
}

#[derive(Deserialize)]
struct GapLine {
    records: u64,
    bytes: u64,
}

#[derive(Deserialize)]
struct RetiredLine {
    retired: Sealed,
}

#[derive(Deserialize)]
struct ErasedLine {
    last: u64,
}

struct Walk<'k> {
    keys: &'k [PublicKey],
    newest: Option<u64>,
    report: Report,
    /// How the segment before ended, if it was read.
    before: Option<Sealed>,
    /// What `retired` records say of segments.
    gone: HashMap<u64, Sealed>,
    /// What segments say of those before them that were not read.
    claims: Vec<(u64, Option<u64>, Sealed)>,
}

/// How far a segment was read.
#[derive(Default)]
struct Here {
    head: Option<Head>,
    store: Option<String>,
    lines: u64,
    first_seq: Option<u64>,
    seal: Option<Seal>,
    reseal: Option<Reseal>,
    /// Runs of records that were erased, and where that stands: the frame, and the numbers.
    erased: Vec<(u64, u64, u64)>,
    /// Over the lines that stand in their places.
    places: blake3::Hasher,
}

impl Walk<'_> {
    fn segment(&mut self, disk: &dyn Disk, number: u64) -> io::Result<()> {
        let mut segment = Segment::open(disk, number, 0)?;
        let mut here = Here::default();
        let mut torn = None;
        loop {
            match segment.next_line()? {
                Met::Line(position, line) => self.line(&mut here, position, line),
                Met::Damage(damage) if damage.is_tail => torn = Some(damage),
                Met::Damage(Damage { offset, bytes, .. }) => {
                    here.head = None;
                    self.report.add(number, None, Some(offset), Wrong::Damaged { bytes });
                }
                Met::End => break,
            }
        }
        self.erased(&here, number);
        let is_newest = self.newest == Some(number);
        let last = here.head.map(|head| head.seq.saturating_sub(1));
        if let Some(Damage { offset, bytes, .. }) = torn {
            if is_newest && here.seal.is_none() {
                self.report.torn_bytes = bytes;
            } else {
                self.report.add(number, last, Some(offset), Wrong::Damaged { bytes });
            }
        }
        if here.seal.is_none() {
            if is_newest {
                self.report.open = Some(number);
            } else {
                self.report.add(number, last, None, Wrong::Unsealed);
            }
        }
        if let Some(head) = here.head {
            self.report.head = Some((head.seq.saturating_sub(1), head.chain));
        }
        self.before = here.head.map(|head| Sealed {
            number,
            first_seq: here.first_seq.unwrap_or(0),
            last_seq: head.seq.saturating_sub(1),
            first_unix_ms: 0,
            last_unix_ms: 0,
            bytes: 0,
            chain: head.chain.to_string(),
            signature: here.seal.map(|seal| seal.signature),
            shares: Shares::default(),
            kept_until_unix_ms: None,
        });
        Ok(())
    }

    fn line(&mut self, here: &mut Here, position: Position, text: &[u8]) {
        self.report.records += 1;
        self.report.text_bytes += text.len() as u64 + 1;
        let (segment, frame) = (position.segment, Some(position.frame));
        let is_first = here.lines == 0;
        here.lines += 1;
        let glance = serde_json::from_slice::<Glance<'_>>(text)
            .map_err(|error| error.to_string())
            .and_then(|glance| match glance.v {
                0..=line::VERSION => Ok(glance),
                newer => Err(format!("it is of version {newer}, which is not known here")),
            });
        let split = line::split(text).ok_or_else(|| "it does not end with its chain".to_owned());
        let (glance, (own, stated)) = match (glance, split) {
            (Ok(glance), Ok(split)) => (glance, split),
            (Err(why), _) | (Ok(_), Err(why)) => {
                let seq = here.head.map(|head| head.seq);
                here.head = None;
                self.report.add(segment, seq, frame, Wrong::Unreadable(why));
                return;
            }
        };
        let bad = |walk: &mut Self, wrong| {
            walk.report.add(segment, Some(glance.seq), frame, wrong);
        };
        if &*glance.kind == "reseal" {
            if let Err(wrong) = self.reseal(here, segment, text) {
                bad(self, wrong);
            }
            return;
        }
        if here.seal.is_some() {
            bad(self, Wrong::BehindSeal);
        }
        if is_first {
            self.begin(here, position, glance.seq, text);
        } else if glance.kind.0 == "segment" {
            bad(self, Wrong::Beginning);
        }
        let is_erased = &*glance.kind == "erased";
        if let Some(head) = here.head {
            if head.seq != glance.seq {
                bad(self, Wrong::Number { expected: head.seq });
            } else if !is_erased && head.chain.after(own) != stated {
                bad(self, Wrong::Chain);
            }
        }
        let mut last = glance.seq;
        if is_erased {
            match serde_json::from_slice::<ErasedLine>(text) {
                Ok(line) if line.last >= last => last = line.last,
                Ok(_) => bad(self, Wrong::Unreadable("it ends before it begins".to_owned())),
                Err(error) => bad(self, Wrong::Unreadable(error.to_string())),
            }
            here.erased.push((position.frame, glance.seq, last));
            here.lines = here.lines.saturating_add(last - glance.seq);
            here.places.update(text).update(b"\n");
        }
        match &*glance.kind {
            "seal" => {
                let seal = serde_json::from_slice::<Seal>(text);
                match seal {
                    Ok(seal) => {
                        if !fits(&seal, here, segment) {
                            bad(self, Wrong::Seal);
                        }
                        let store = here.store.as_deref().unwrap_or("");
                        if !seal.is_signed(store, self.keys) {
                            bad(self, Wrong::Signature);
                        }
                        here.seal = Some(seal);
                    }
                    Err(error) => bad(self, Wrong::Unreadable(error.to_string())),
                }
            }
            "gap" => {
                if let Ok(gap) = serde_json::from_slice::<GapLine>(text) {
                    self.report.gaps += 1;
                    self.report.gap_records = self.report.gap_records.saturating_add(gap.records);
                    self.report.gap_bytes = self.report.gap_bytes.saturating_add(gap.bytes);
                }
            }
            "recovered" => {
                if let Ok(found) = serde_json::from_slice::<Recovered>(text) {
                    self.report.recoveries += 1;
                    self.report.unfinished += found.unfinished.len() as u64;
                }
            }
            "retired" => {
                if let Ok(RetiredLine { retired }) = serde_json::from_slice(text) {
                    self.report.retired.insert(retired.number);
                    self.gone.insert(retired.number, retired);
                }
            }
            _ => {}
        }
        here.first_seq.get_or_insert(glance.seq);
        // The chain behind what was erased is proven by what follows.
        here.head = Some(Head { seq: last.saturating_add(1), chain: stated });
    }

    /// Takes what stands behind a seal and names what was erased.
    fn reseal(&self, here: &mut Here, segment: u64, text: &[u8]) -> Result<(), Wrong> {
        let reseal = serde_json::from_slice::<Reseal>(text)
            .map_err(|error| Wrong::Unreadable(error.to_string()))?;
        if here.seal.is_none() || here.reseal.is_some() || reseal.segment != segment {
            return Err(Wrong::Seal);
        }
        if !reseal.is_signed(here.store.as_deref().unwrap_or(""), self.keys) {
            return Err(Wrong::Signature);
        }
        // Nothing of the line is free: all of it follows from what is signed.
        let mut expected = Vec::new();
        if let Some(Head { seq, chain }) = here.head {
            reseal.write(Head { seq: seq.saturating_sub(1), chain }, &mut expected);
        }
        if expected.strip_suffix(b"\n") != Some(text) {
            return Err(Wrong::Chain);
        }
        let places = hex(here.places.finalize().as_bytes());
        let is_same = reseal.places == places;
        here.reseal = Some(reseal);
        if is_same { Ok(()) } else { Err(Wrong::Seal) }
    }

    /// Checks that a seal names all that was erased.
    fn erased(&mut self, here: &Here, number: u64) {
        for (frame, first, last) in &here.erased {
            let signed = here.reseal.as_ref().map(|reseal| &reseal.erased);
            if signed.is_some_and(|signed| signed.covers(*first, *last)) {
                self.report.erased = self.report.erased.saturating_add(last - first + 1);
                self.report.erased_from.insert(number);
            } else {
                self.report.add(number, Some(*first), Some(*frame), Wrong::Erased);
            }
        }
    }

    /// Checks a first line, and finds out what must stand before it.
    fn begin(&mut self, here: &mut Here, position: Position, seq: u64, text: &[u8]) {
        let number = position.segment;
        let bad = |walk: &mut Self, wrong| {
            walk.report.add(number, Some(seq), Some(position.frame), wrong);
        };
        let header = match serde_json::from_slice::<Header>(text) {
            Ok(header) if header.segment == number => header,
            Ok(_) | Err(_) => {
                bad(self, Wrong::Beginning);
                return;
            }
        };
        match &self.report.store {
            Some(store) if *store != header.store => bad(self, Wrong::Store),
            Some(_) => {}
            None => self.report.store = Some(header.store.clone()),
        }
        self.report.retired.join(&header.retired);
        here.store = Some(header.store);
        let is_next = |before: u64| before.saturating_add(1) == number;
        let before = self.before.take().filter(|before| is_next(before.number));
        match (header.previous, before) {
            (None, _) if number > 1 => bad(self, Wrong::Previous),
            (None, Some(_)) => bad(self, Wrong::Previous),
            (None, None) => here.head = Some(Head { seq: 1, chain: Chain::default() }),
            (Some(said), before) => {
                let chain = Chain::parse(&said.chain).unwrap_or_default();
                here.head = Some(Head { seq: said.last_seq.saturating_add(1), chain });
                match before {
                    _ if !is_next(said.number) => bad(self, Wrong::Previous),
                    Some(before) if !is_same(&said, &before) => bad(self, Wrong::Previous),
                    Some(_) => {}
                    None => self.claims.push((number, Some(seq), said)),
                }
            }
        }
    }

    fn finish(mut self, numbers: &[u64], is_whole: bool) -> Report {
        for (segment, seq, said) in std::mem::take(&mut self.claims) {
            if self.gone.get(&said.number).is_some_and(|gone| *gone != said) {
                self.report.add(segment, seq, None, Wrong::Previous);
            }
        }
        let first = if is_whole { 1 } else { numbers.first().copied().unwrap_or(1) };
        let mut next = first;
        for number in numbers {
            for missing in (next..*number).take(BAD_MAX) {
                if !self.report.retired.has(missing) {
                    self.report.add(missing, None, None, Wrong::Missing);
                }
            }
            next = number.saturating_add(1);
        }
        self.report.bad.sort_by_key(|bad| bad.segment);
        self.report
    }
}

/// Whether a seal fits what stands before it.
fn fits(seal: &Seal, here: &Here, segment: u64) -> bool {
    seal.segment == segment
        && seal.records == here.lines - 1
        && here.first_seq == Some(seal.first_seq)
        && here.head.is_some_and(|head| {
            head.seq == seal.last_seq.saturating_add(1) && head.chain.to_string() == seal.last_chain
        })
}

/// Whether a segment is what the next one says of it.
fn is_same(said: &Sealed, found: &Sealed) -> bool {
    said.number == found.number
        && said.last_seq == found.last_seq
        && said.chain == found.chain
        && said.signature == found.signature
}
