//! Files of the record that come from elsewhere: segments and bundles.

use super::harness;
use firedoor::evidence::bundle::{Asked, Bundle, Made, write};
use firedoor::evidence::disk::Folder;
use firedoor::evidence::verify::{Span, verify};
use firedoor::evidence::{FOLDER, Note, Options, PublicKey, SealKey, Store};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A data folder with a small record, the name of its segment, and its keys.
fn made(folder: &Path) -> (PathBuf, Vec<PublicKey>) {
    let store = Store::start(Options::of(folder)).unwrap();
    for number in 0..20 {
        store.tap().note(Note {
            at_unix_ms: 1_700_000_000_000 + number,
            what: "context".into(),
            exchange: None,
            about: json!({ "documents": ["words ".repeat(number as usize)] }),
        });
    }
    store.close(Duration::from_mins(1));
    let evidence = folder.join(FOLDER);
    let keys = PublicKey::read(&evidence.join("key.pub")).unwrap();
    let files = fs::read_dir(&evidence).unwrap().map(|entry| entry.unwrap().path());
    let segment = files.filter(|path| path.extension().is_some_and(|ext| ext == "zst"));
    (segment.max().unwrap(), keys)
}

#[test]
fn record_segment() {
    let folder = tempfile::tempdir().unwrap();
    let (segment, keys) = made(folder.path());
    let whole = fs::read(&segment).unwrap();
    let evidence = Folder::at(&folder.path().join(FOLDER));
    let records = verify(&evidence, Span::default(), &keys).unwrap().records;
    harness::run("record_segment", &[whole], |input, _| {
        fs::write(&segment, input).unwrap();
        let report = verify(&evidence, Span::default(), &keys).unwrap();
        // A cut end is no proof; what is in the middle of it is found.
        assert!(report.records <= records || !report.is_good());
    });
}

#[test]
fn record_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let (_, keys) = made(folder.path());
    let evidence = folder.path().join(FOLDER);
    let key = SealKey::open(folder.path(), &evidence).unwrap();
    let made = Made { at_unix_ms: 1, by: "ann".into(), reason: "r".into() };
    let mut whole = Vec::new();
    let about = (&Asked::default(), &made);
    let manifest = write(&Folder::at(&evidence), &key, about, &mut whole, &mut |_, _| {}).unwrap();
    let path = folder.path().join("bundle.tar");
    harness::run("record_bundle", &[whole], |input, _| {
        fs::write(&path, input).unwrap();
        let Ok(bundle) = Bundle::open(&path, Some(&keys)) else { return };
        assert_eq!(bundle.manifest, manifest, "what is signed is what was made");
        let target = folder.path().join("target");
        let is_whole = bundle.verify(&keys).is_ok_and(|report| report.is_good());
        let unpacked = bundle.unpack(&target, &keys, &mut |_, _| {});
        let is_unpacked = unpacked.is_ok_and(|report| report.is_good());
        assert_eq!(is_unpacked, target.exists(), "all or nothing");
        drop(fs::remove_dir_all(&target));
        assert_eq!(is_whole, is_unpacked);
    });
}
