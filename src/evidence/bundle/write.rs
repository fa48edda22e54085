//! How a bundle is made: whole segments, the keys, and last what signs them.

use super::{
    FOLDER, Fault, Hashed, KIND, MANIFEST_FILE, Manifest, Part, README_FILE, SIGNATURE_FILE,
    SMALL_BYTES_MAX, VERSION, at,
};
use crate::evidence::disk::Disk;
use crate::evidence::key::{PUBLIC_KEY_FILE, SealKey};
use crate::evidence::line::{self, Chain};
use crate::evidence::read::{Met, Segment, Text, segment_name, segments};
use crate::evidence::recover::header;
use serde::Deserialize;
use std::io::{Read, Write};

const README: &str = "\
A part of a record of LLM traffic, made by Firedoor.

evidence/seg-*.ndjson.zst  the record: lines of JSON in zstd frames, each chained to the one before
evidence/key.pub           the public keys of those who sealed it (Ed25519, PEM)
bundle.json                what is in here: BLAKE3 and size of each segment, and the last record's number and chain
bundle.sig                 the signature over bundle.json

Look at it:      zstdcat evidence/seg-*.ndjson.zst | jq .
Check who:       openssl pkeyutl -verify -pubin -inkey evidence/key.pub -rawin -in bundle.json -sigfile bundle.sig
Check all:       firedoor evidence verify --bundle THIS_FILE --key KEY_THAT_YOU_TRUST
Search, replay:  firedoor evidence import THIS_FILE --data-dir EMPTY_FOLDER
";

/// What is taken.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Only segments that have something of this moment or later.
    pub since_unix_ms: Option<u64>,
    /// Only segments that have something of this moment or earlier.
    pub until_unix_ms: Option<u64>,
}

/// Who makes a bundle, when and why.
#[derive(Clone, Debug)]
pub struct Made {
    /// When, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What of one segment is taken.
struct Taking {
    number: u64,
    bytes: u64,
    head: (u64, Chain),
}

/// Writes a bundle of the segments on `disk`; `tell` hears how many bytes of how many are done.
///
/// # Errors
/// Nothing is in the span, a segment is damaged or cannot be read, or `out` cannot be written.
pub fn write(
    disk: &dyn Disk,
    key: &SealKey,
    (asked, made): (&Asked, &Made),
    out: impl Write,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<Manifest, Fault> {
    let (store, takings) = chosen(disk, asked)?;
    let all: u64 = takings.iter().map(|taking| taking.bytes).sum();
    let Some((head_seq, head_chain)) = takings.last().map(|last| last.head) else {
        return Err(Fault::Empty);
    };
    let mut archive = tar::Builder::new(out);
    let mut add = |name: &str, bytes: u64, from: &mut dyn Read| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(made.at_unix_ms / 1000);
        archive.append_data(&mut header, name, from).map_err(at("the bundle"))
    };
    add(README_FILE, README.len() as u64, &mut README.as_bytes())?;
    let mut keys = String::new();
    let read = disk.read(PUBLIC_KEY_FILE, 0).map_err(at(PUBLIC_KEY_FILE))?;
    read.take(SMALL_BYTES_MAX).read_to_string(&mut keys).map_err(at(PUBLIC_KEY_FILE))?;
    add(&format!("{FOLDER}{PUBLIC_KEY_FILE}"), keys.len() as u64, &mut keys.as_bytes())?;
    let mut parts = Vec::new();
    let mut done = 0;
    for Taking { number, bytes, .. } in takings {
        let name = segment_name(number);
        let source = disk.read(&name, 0).map_err(at(&name))?;
        let mut hashed = Hashed::new(source.take(bytes));
        add(&format!("{FOLDER}{name}"), bytes, &mut hashed)?;
        parts.push(Part { number, bytes, blake3: hashed.digits() });
        done += bytes;
        tell(done, all);
    }
    let manifest = Manifest {
        v: VERSION,
        kind: KIND.to_owned(),
        made_unix_ms: made.at_unix_ms,
        by: made.by.clone(),
        reason: made.reason.clone(),
        store,
        since_unix_ms: asked.since_unix_ms,
        until_unix_ms: asked.until_unix_ms,
        segments: parts,
        head_seq,
        head_chain: head_chain.to_string(),
    };
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| Fault::Io(MANIFEST_FILE.to_owned(), error.into()))?;
    let signature = key.sign(&text).map_err(at("signing"))?;
    add(MANIFEST_FILE, text.len() as u64, &mut &text[..])?;
    add(SIGNATURE_FILE, signature.len() as u64, &mut &signature[..])?;
    archive.into_inner().and_then(|mut out| out.flush()).map_err(at("the bundle"))?;
    Ok(manifest)
}

/// From when to when lines of a segment are; `None` if it has none that can be read.
fn span_of(disk: &dyn Disk, number: u64) -> std::io::Result<Option<(u64, u64)>> {
    #[derive(Deserialize)]
    struct Line<'l> {
        #[serde(borrow)]
        at: Text<'l>,
    }
    let mut segment = Segment::open(disk, number, 0)?;
    let mut span: Option<(u64, u64)> = None;
    loop {
        match segment.next_line()? {
            Met::Line(_, line) => {
                let at = serde_json::from_slice::<Line<'_>>(line).ok();
                let Some(at) = at.and_then(|found| line::unix_ms(&found.at)) else { continue };
                let (first, last) = span.unwrap_or((at, at));
                span = Some((first.min(at), last.max(at)));
            }
            Met::Damage(_) => {}
            Met::End => return Ok(span),
        }
    }
}

/// The store, and the segments that have something of the span.
fn chosen(disk: &dyn Disk, asked: &Asked) -> Result<(String, Vec<Taking>), Fault> {
    let numbers = segments(disk).map_err(at("the folder of segments"))?;
    let mut store = String::new();
    let mut chosen = Vec::new();
    for (index, number) in numbers.iter().enumerate() {
        let name = segment_name(*number);
        let next = match numbers.get(index + 1) {
            Some(next) => header(disk, *next).map_err(at(segment_name(*next)))?,
            None => None,
        };
        // The next segment says of this one from when to when it goes.
        let known = next.and_then(|next| next.previous).filter(|known| known.number == *number);
        let span = match known {
            Some(known) => Some((known.first_unix_ms, known.last_unix_ms)),
            // Nothing says it of the newest one.
            None => span_of(disk, *number).map_err(at(&name))?,
        };
        let is_in = span.is_none_or(|(first, last)| {
            asked.since_unix_ms.is_none_or(|since| last >= since)
                && asked.until_unix_ms.is_none_or(|until| first <= until)
        });
        if is_in {
            let own = header(disk, *number).map_err(at(&name))?;
            store = own.ok_or(Fault::Unreadable(*number))?.store;
            chosen.push(taking(disk, *number)?);
        }
    }
    Ok((store, chosen))
}

/// Reads a segment to the end of its last whole frame.
fn taking(disk: &dyn Disk, number: u64) -> Result<Taking, Fault> {
    let name = segment_name(number);
    let mut segment = Segment::open(disk, number, 0).map_err(at(&name))?;
    let mut head = None;
    loop {
        let bytes = segment.frames_end();
        match segment.next_line().map_err(at(&name))? {
            Met::Line(_, line) => {
                let seq = serde_json::from_slice::<Numbered>(line).ok().map(|line| line.seq);
                let chain = line::split(line).map(|(_, chain)| chain);
                head = seq.zip(chain);
            }
            // What a writer is about to write, or a crash left.
            Met::Damage(damage) if damage.is_tail => {
                let head = head.ok_or(Fault::Unreadable(number))?;
                return Ok(Taking { number, bytes: damage.offset, head });
            }
            Met::Damage(_) => return Err(Fault::Unreadable(number)),
            Met::End => {
                let head = head.ok_or(Fault::Unreadable(number))?;
                return Ok(Taking { number, bytes, head });
            }
        }
    }
}

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}
