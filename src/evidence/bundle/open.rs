//! How a bundle is opened, checked and unpacked. Its bytes come from outside.

use super::{
    FOLDER, Fault, Hashed, KIND, MANIFEST_FILE, Manifest, Part, README_FILE, SIGNATURE_FILE,
    SMALL_BYTES_MAX, VERSION, at,
};
use crate::evidence::disk::{Disk, Folder, Out};
use crate::evidence::key::{PUBLIC_KEY_FILE, PublicKey};
use crate::evidence::read::{segment_name, segment_number, segments};
use crate::evidence::verify::{Report, Span, verify};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const COPY_BYTES: usize = 256 << 10;

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
        self.records(keys)
    }

    /// The records, their chain and their seals.
    fn records(&self, keys: &[PublicKey]) -> Result<Report, Fault> {
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
        let mut hashed = Hashed::new(source);
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let read = hashed.read(&mut buffer).map_err(at(&name))?;
            if read == 0 {
                break;
            }
            out.write_all(buffer.get(..read).unwrap_or_default()).map_err(at(&name))?;
        }
        if hashed.digits() == part.blake3 {
            Ok(())
        } else {
            Err(Fault::Changed(format!("{name} is not the segment that is named: it was changed")))
        }
    }

    /// Checks as [`Bundle::verify`] does, and if nothing is bad, writes the segments, the keys and
    /// the manifest with its signature into the folder of segments at `folder`, which must have no
    /// segment yet. Everything is written, or nothing is left there.
    ///
    /// # Errors
    /// There is a record, a segment is not the one that is named, or a file cannot be written.
    pub fn unpack(
        &self,
        folder: &Path,
        keys: &[PublicKey],
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<Report, Fault> {
        let shown = folder.display();
        if folder.exists() && !segments(&Folder::at(folder)).map_err(at(&shown))?.is_empty() {
            return Err(Fault::Occupied(folder.to_path_buf()));
        }
        let report = self.records(keys)?;
        if !report.is_good() {
            return Ok(report);
        }
        let disk = Folder::make(folder).map_err(at(&shown))?;
        let mut made = Vec::new();
        match self.place(&disk, &mut made, tell) {
            Ok(()) => {
                disk.sync().map_err(at(&shown))?;
                Ok(report)
            }
            Err(fault) => {
                for name in made {
                    drop(disk.remove(&name));
                }
                // Where other things lie in it, it stays.
                drop(std::fs::remove_dir(folder));
                Err(fault)
            }
        }
    }

    /// Writes its files to `disk`; `made` names those that were begun.
    fn place(
        &self,
        disk: &Folder,
        made: &mut Vec<String>,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Fault> {
        let parts = &self.manifest.segments;
        let all = parts.iter().map(|part| part.bytes).sum();
        let mut done = 0;
        for part in parts {
            let name = segment_name(part.number);
            let mut out = Placed { out: disk.create(&name).map_err(at(&name))?, at: 0 };
            made.push(name.clone());
            self.copy(part, &mut out)?;
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
            made.push(name.to_owned());
            out.write_at(0, bytes).and_then(|()| out.sync()).map_err(at(name))?;
        }
        Ok(())
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

    fn replace(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
