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

mod open;
mod write;

pub use open::Bundle;
pub use write::{Asked, Made, write};

use super::read::segment_name;
use crate::id::hex;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;

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

/// Hashes what is read.
struct Hashed<R> {
    source: R,
    hasher: blake3::Hasher,
}

impl<R> Hashed<R> {
    fn new(source: R) -> Hashed<R> {
        Hashed { source, hasher: blake3::Hasher::new() }
    }

    fn digits(&self) -> String {
        hex(self.hasher.finalize().as_bytes())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}
