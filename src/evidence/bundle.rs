//! A part of the record in one file, to be handed to somebody else.
//!
//! It is a tar archive of whole segments, byte for byte, with the public keys and a manifest that
//! the sealing key signs: `tar`, `zstdcat`, `jq` and `openssl` open it and check it without
//! Firedoor, and unpacked it is a data folder. What always holds: a segment that is still open is
//! taken to the end of its last whole frame, and the manifest says where that is, so that its end
//! is proven too; of what a bundle names nothing is missing and nothing is there beside it, or it
//! is refused.
//!
//! What it cannot show: that the segments around it were whole. [`super::verify`] of the record
//! that it comes from shows that.

use super::disk::{Disk, Out};
use super::key::{PUBLIC_KEY_FILE, PublicKey, SealKey};
use super::line::{self, Chain};
use super::read::{Met, Segment, segment_name, segment_number, segments};
use super::recover::header;
use super::verify::{Report, Span, verify};
use crate::id::hex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The version of bundles that are written; older ones are read.
pub const VERSION: u32 = 1;
/// The manifest's file.
pub const MANIFEST_FILE: &str = "bundle.json";
/// The file of the signature over the manifest's bytes, 64 bytes of Ed25519.
pub const SIGNATURE_FILE: &str = "bundle.sig";
const README_FILE: &str = "README.txt";
/// The folder of the segments.
const FOLDER: &str = "evidence/";
const KIND: &str = "firedoor-evidence";
/// The most bytes of a file that is no segment.
const SMALL_BYTES_MAX: u64 = 16 << 20;
const COPY_BYTES: usize = 256 << 10;

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

/// What a bundle says of itself.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Manifest {
    /// The version of its form.
    pub v: u32,
    /// What it is: `firedoor-evidence`.
    pub kind: String,
    /// When it was made, in milliseconds since the Unix epoch.
    pub made_unix_ms: u64,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Names the store.
    pub store: String,
    /// What was asked for; `None` from the beginning on.
    pub since_unix_ms: Option<u64>,
    /// `None` to the end.
    pub until_unix_ms: Option<u64>,
    /// The segments, in order.
    pub segments: Vec<Part>,
    /// The number of the last record.
    pub head_seq: u64,
    /// The chain after it.
    pub head_chain: String,
}

/// A segment of a bundle.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Part {
    /// Its number.
    pub number: u64,
    /// Its size; of one that was still open, as far as it was written.
    pub bytes: u64,
    /// Its BLAKE3, in hexadecimal digits.
    pub blake3: String,
}

/// Why a bundle cannot be made or opened.
#[derive(Debug)]
pub enum Fault {
    /// A file cannot be read or written.
    Io(String, io::Error),
    /// Nothing of the record is in the span.
    Empty,
    /// A segment of the record cannot be read.
    Unreadable(u64),
    /// It is no bundle.
    NoBundle(String),
    /// It is of a newer version.
    Newer(u32),
    /// No key that counts signed it.
    Signature,
    /// What it names is missing, or is not what it names.
    Changed(String),
    /// There is a record already.
    Occupied(PathBuf),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Io(what, error) => write!(f, "{what}: {error}"),
            Fault::Empty => f.write_str("no segment has anything of that time"),
            Fault::Unreadable(number) => write!(
                f,
                "{} is damaged: `firedoor evidence verify` names what is bad",
                segment_name(*number)
            ),
            Fault::NoBundle(why) => write!(f, "it is no bundle of evidence: {why}"),
            Fault::Newer(version) => write!(
                f,
                "it is of version {version}, and this Firedoor reads up to {VERSION}: use a newer one"
            ),
            Fault::Signature => f.write_str(
                "its manifest is not signed by a key that counts: it was changed, or comes from elsewhere",
            ),
            Fault::Changed(what) => write!(f, "{what}"),
            Fault::Occupied(path) => write!(
                f,
                "{} has a record already; name an empty data folder",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Fault {}

fn at(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Fault {
    move |error| Fault::Io(what.to_string(), error)
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
        let mut hashed = Hashed { source: source.take(bytes), hasher: blake3::Hasher::new() };
        add(&format!("{FOLDER}{name}"), bytes, &mut hashed)?;
        let blake3 = hex(hashed.hasher.finalize().as_bytes());
        parts.push(Part { number, bytes, blake3 });
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
        let is_in = known.is_none_or(|known| {
            asked.since_unix_ms.is_none_or(|since| known.last_unix_ms >= since)
                && asked.until_unix_ms.is_none_or(|until| known.first_unix_ms <= until)
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

/// Hashes what is read.
struct Hashed<R> {
    source: R,
    hasher: blake3::Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// A bundle that was opened: its manifest is signed, and what it names is there.
#[derive(Clone, Debug)]
pub struct Bundle {
    path: PathBuf,
    /// Where each segment begins in the file, and how long it is.
    places: BTreeMap<u64, (u64, u64)>,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The manifest's bytes and their signature.
    proof: (Vec<u8>, Vec<u8>),
    keys_text: String,
    /// The keys that it brings. Whoever changed it could have changed them too.
    pub own_keys: Vec<PublicKey>,
}

impl Bundle {
    /// Opens a bundle; its manifest must be signed by one of `trusted`, or where that is `None` by
    /// a key that it brings itself.
    ///
    /// # Errors
    /// It cannot be read, is no bundle or of a newer version, is not signed, or is not what it says.
    pub fn open(path: &Path, trusted: Option<&[PublicKey]>) -> Result<Bundle, Fault> {
        let shown = path.display();
        let file = File::open(path).map_err(at(&shown))?;
        let mut archive = tar::Archive::new(file);
        let no_bundle = |why: &str| Fault::NoBundle(why.to_owned());
        let mut places = BTreeMap::new();
        let mut small: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let entries = archive.entries_with_seek().map_err(|error| no_bundle(&error.to_string()))?;
        for entry in entries {
            let mut entry = entry.map_err(|error| no_bundle(&error.to_string()))?;
            let name = entry.path().ok().and_then(|path| path.to_str().map(str::to_owned));
            let name = name.ok_or_else(|| no_bundle("a file in it has no readable name"))?;
            let size = entry.size();
            let segment = name.strip_prefix(FOLDER).and_then(segment_number);
            let is_file = entry.header().entry_type().is_file();
            let is_new = match segment {
                Some(number) if is_file => {
                    places.insert(number, (entry.raw_file_position(), size)).is_none()
                }
                _ if is_file && size <= SMALL_BYTES_MAX && is_known(&name) => {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes).map_err(|error| no_bundle(&error.to_string()))?;
                    small.insert(name.clone(), bytes).is_none()
                }
                _ => {
                    return Err(no_bundle(&format!("`{}` is no part of one", name.escape_debug())));
                }
            };
            if !is_new {
                return Err(no_bundle(&format!("`{name}` stands in it twice")));
            }
        }
        let mut take = |name: &str| {
            small.remove(name).ok_or_else(|| no_bundle(&format!("it has no `{name}`")))
        };
        let text = take(MANIFEST_FILE)?;
        let version = serde_json::from_slice::<Versioned>(&text)
            .map_err(|error| no_bundle(&format!("{MANIFEST_FILE}: {error}")))?;
        if version.kind != KIND {
            return Err(no_bundle("its manifest is of something else"));
        }
        if version.v > VERSION {
            return Err(Fault::Newer(version.v));
        }
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| no_bundle(&format!("{MANIFEST_FILE}: {error}")))?;
        let signature = take(SIGNATURE_FILE)?;
        let keys_text = String::from_utf8(take(&format!("{FOLDER}{PUBLIC_KEY_FILE}"))?)
            .map_err(|_| no_bundle("its keys are no text"))?;
        let own_keys = PublicKey::parse(&keys_text).map_err(|why| no_bundle(&why))?;
        let keys = trusted.unwrap_or(&own_keys);
        if !keys.iter().any(|key| key.verifies(&text, &signature)) {
            return Err(Fault::Signature);
        }
        let bundle = Bundle {
            path: path.to_path_buf(),
            places,
            manifest,
            proof: (text, signature),
            keys_text,
            own_keys,
        };
        bundle.is_complete()?;
        Ok(bundle)
    }

    /// Whether just those segments are there that the manifest names, as long as it says.
    fn is_complete(&self) -> Result<(), Fault> {
        let parts = &self.manifest.segments;
        for part in parts {
            let name = segment_name(part.number);
            match self.places.get(&part.number) {
                None => return Err(Fault::Changed(format!("{name} is missing"))),
                Some((_, bytes)) if *bytes != part.bytes => {
                    let what = format!("{name} has {bytes} bytes, and {} are named", part.bytes);
                    return Err(Fault::Changed(what));
                }
                Some(_) => {}
            }
        }
        let is_named = |number: &u64| parts.iter().any(|part| part.number == *number);
        match self.places.keys().find(|number| !is_named(number)) {
            Some(number) => {
                let what = format!("{} is not named in its manifest", segment_name(*number));
                Err(Fault::Changed(what))
            }
            None => Ok(()),
        }
    }

    /// Checks every record and seal against `keys`, and every segment against the manifest.
    ///
    /// # Errors
    /// It cannot be read, or a segment is not the one that is named. What is bad inside of one that
    /// is stands in the report.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<Report, Fault> {
        for part in &self.manifest.segments {
            self.copy(part, &mut io::sink())?;
        }
        let span = Span { from: Some(0), to: Some(self.manifest.head_seq) };
        let report = verify(self, span, keys).map_err(at(self.path.display()))?;
        let head = report.head.map(|(seq, chain)| (seq, chain.to_string()));
        let named = (self.manifest.head_seq, self.manifest.head_chain.clone());
        if report.is_good() && head.as_ref() != Some(&named) {
            let what = "the last record is not the one that the manifest names";
            return Err(Fault::Changed(what.to_owned()));
        }
        Ok(report)
    }

    /// Copies a segment, which must be the one that is named.
    fn copy(&self, part: &Part, out: &mut dyn Write) -> Result<(), Fault> {
        let name = segment_name(part.number);
        let source = self.read(&name, 0).map_err(at(&name))?;
        let mut hashed = Hashed { source, hasher: blake3::Hasher::new() };
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let read = hashed.read(&mut buffer).map_err(at(&name))?;
            if read == 0 {
                break;
            }
            out.write_all(buffer.get(..read).unwrap_or_default()).map_err(at(&name))?;
        }
        if hex(hashed.hasher.finalize().as_bytes()) == part.blake3 {
            Ok(())
        } else {
            Err(Fault::Changed(format!("{name} is not the segment that is named: it was changed")))
        }
    }

    /// Writes the segments, the keys and the manifest with its signature into the folder of
    /// segments at `folder`, which must have no segment yet.
    ///
    /// # Errors
    /// There is a record, a segment is not the one that is named, or a file cannot be written.
    pub fn unpack(&self, folder: &Path, tell: &mut dyn FnMut(u64, u64)) -> Result<(), Fault> {
        let shown = folder.display();
        let disk = super::disk::Folder::make(folder).map_err(at(&shown))?;
        if !segments(&disk).map_err(at(&shown))?.is_empty() {
            return Err(Fault::Occupied(folder.to_path_buf()));
        }
        let parts = &self.manifest.segments;
        let all = parts.iter().map(|part| part.bytes).sum();
        let mut done = 0;
        for part in parts {
            let name = segment_name(part.number);
            let mut out = Placed { out: disk.create(&name).map_err(at(&name))?, at: 0 };
            if let Err(fault) = self.copy(part, &mut out) {
                drop(disk.remove(&name));
                return Err(fault);
            }
            out.out.sync().map_err(at(&name))?;
            done += part.bytes;
            tell(done, all);
        }
        let (text, signature) = &self.proof;
        for (name, bytes) in [
            (PUBLIC_KEY_FILE, self.keys_text.as_bytes()),
            (MANIFEST_FILE, &text[..]),
            (SIGNATURE_FILE, &signature[..]),
        ] {
            let mut out = disk.create(name).map_err(at(name))?;
            out.write_at(0, bytes).and_then(|()| out.sync()).map_err(at(name))?;
        }
        disk.sync().map_err(at(&shown))
    }
}

fn is_known(name: &str) -> bool {
    [MANIFEST_FILE, SIGNATURE_FILE, README_FILE].contains(&name)
        || name.strip_prefix(FOLDER) == Some(PUBLIC_KEY_FILE)
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
    kind: String,
}

/// A file that is written from its beginning on.
struct Placed {
    out: Box<dyn Out>,
    at: u64,
}

impl Write for Placed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Its segments, to be read where they are.
impl Disk for Bundle {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.places.keys().map(|number| segment_name(*number)).collect())
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        let place = segment_number(name).and_then(|number| self.places.get(&number));
        Ok(place.map(|(_, bytes)| *bytes))
    }

    fn read(&self, name: &str, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let place = segment_number(name).and_then(|number| self.places.get(&number));
        let (start, bytes) = *place.ok_or(io::ErrorKind::NotFound)?;
        let offset = offset.min(bytes);
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(start + offset))?;
        Ok(Box::new(file.take(bytes - offset)))
    }

    fn create(&self, _: &str) -> io::Result<Box<dyn Out>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn reopen(&self, _: &str) -> io::Result<Box<dyn Out>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
