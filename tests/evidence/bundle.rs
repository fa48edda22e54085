//! Bundles: made from a folder, opened by other tools and elsewhere, and refused when changed.

use super::{ANSWER, fill};
use crate::support::{Gateway, Process, SIMULATED, SmallDisk, post, wait_for};
use firedoor::evidence::read::segment_name;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut process = Process::firedoor(arguments, &[]);
    let code = process.wait().code();
    (code, process.stdout.whole(), process.stderr.whole())
}

/// A data folder with a record, and a bundle of it.
fn made() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 6);
    let out = folder.path().join("bundle.tar");
    let export = ["evidence", "export", "--reason", "INC-7", "--author", "ann", "--data-dir"];
    let (data, file) = (folder.path().to_str().unwrap(), out.to_str().unwrap());
    let (code, said, why) = run(&[&export[..], &[data, "--out", file, "-o", "json"]].concat());
    assert_eq!(code, Some(0), "{why}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["manifest"]["by"], "ann");
    assert!(said["manifest"]["segments"].as_array().unwrap().len() > 1, "{said}");
    (folder, out)
}

fn verify(bundle: &Path, key: Option<&Path>) -> (Option<i32>, String, String) {
    let mut arguments = vec!["evidence", "verify", "--bundle", bundle.to_str().unwrap()];
    if let Some(key) = key {
        arguments.extend(["--key", key.to_str().unwrap()]);
    }
    run(&arguments)
}

fn key_of(folder: &Path) -> PathBuf {
    folder.join("evidence/key.pub")
}

#[test]
fn a_bundle_opens_elsewhere() {
    let (folder, bundle) = made();
    let (code, said, why) = verify(&bundle, Some(&key_of(folder.path())));
    assert_eq!(code, Some(0), "{said}{why}");
    let elsewhere = tempfile::tempdir().unwrap();
    let data = elsewhere.path().join("data");
    let arguments = ["evidence", "import", bundle.to_str().unwrap(), "--data-dir"];
    let (code, said, why) = run(&[&arguments[..], &[data.to_str().unwrap()]].concat());
    assert_eq!(code, Some(0), "{said}{why}");
    assert!(why.contains("--key"), "whose key it is was not asked: {why}");
    assert!(why.contains("INC-7"), "{why}");
    for name in fs::read_dir(folder.path().join("evidence")).unwrap() {
        let name = name.unwrap().file_name();
        let theirs = fs::read(data.join("evidence").join(&name)).unwrap();
        assert!(
            theirs == fs::read(folder.path().join("evidence").join(&name)).unwrap(),
            "{name:?}"
        );
    }
    let data = data.to_str().unwrap();
    let (code, said, why) = run(&["evidence", "verify", "--data-dir", data]);
    assert_eq!(code, Some(0), "{said}{why}");
    let (code, said, why) = run(&["session", "search", "outcome:completed", "--data-dir", data]);
    assert_eq!(code, Some(0), "{why}");
    assert!(said.contains("x_"), "{said}");
    let again = run(&[&arguments[..], &[data]].concat());
    assert_eq!(again.0, Some(1));
    assert!(again.2.contains("has a record already"), "{}", again.2);
    // Whoever imported it cannot sign it as their own.
    let onward = elsewhere.path().join("onward.tar");
    let export = ["evidence", "export", "--reason", "r", "--data-dir", data, "--out"];
    let (code, said, why) = run(&[&export[..], &[onward.to_str().unwrap()]].concat());
    assert_eq!(code, Some(1), "{said}{why}");
    assert!(why.contains("there is no") && why.contains("evidence.key"), "{why}");
    assert!(!onward.exists() && !Path::new(data).join("evidence.key").exists());
    let keys = fs::read(key_of(Path::new(data))).unwrap();
    assert!(keys == fs::read(key_of(folder.path())).unwrap());
}

/// Asks a gateway something: the exchange's id, and the moment of its record's first line.
fn asked(gateway: &Gateway) -> (String, String) {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
    let answer = post(gateway.data, "/v1/chat/completions", &[], body);
    let id = answer.head.field("x-firedoor-exchange").unwrap().to_owned();
    let first = wait_for("the end of the record", || {
        let record = gateway.admin_call("GET", &format!("/api/v1/exchanges/{id}/record")).text();
        let mut lines = record.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let first = lines.next()?;
        (lines.next_back()?["kind"] == "close").then_some(first)
    });
    (id, first["at"].as_str().unwrap().to_owned())
}

/// Of the newest segment no other one says when it ends: it ends now.
#[test]
fn a_bundle_of_a_time_has_the_segment_that_is_being_written() {
    let mut gateway = Gateway::start(SIMULATED);
    let (_, first) = asked(&gateway);
    gateway.process.terminate();
    gateway.process.wait();
    let gateway = gateway.restarted();
    let (newest, second) = asked(&gateway);
    let (folder, data) = (tempfile::tempdir().unwrap(), gateway.data_dir());
    let data = data.to_str().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let export = |out: &str, span: &[&str]| {
        let all = ["evidence", "export", "--reason", "r", "--data-dir", data, "-o", "json"];
        run(&[&all[..], &["--out", out], span].concat())
    };
    for (number, (span, taken)) in [
        (&["--since", &*second][..], &[2][..]),
        (&["--since", &*second, "--until", &*second], &[2]),
        (&["--since", &*first, "--until", &*first], &[1]),
        (&["--since", &*first], &[1, 2]),
        (&["--until", &*second], &[1, 2]),
    ]
    .into_iter()
    .enumerate()
    {
        let out = file(&format!("{number}.tar"));
        let (code, said, why) = export(&out, span);
        assert_eq!(code, Some(0), "{span:?}: {why}");
        let said: Value = serde_json::from_str(&said).unwrap();
        let parts = said["manifest"]["segments"].as_array().unwrap();
        let numbers: Vec<u64> = parts.iter().map(|part| part["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, taken, "{span:?}: {said}");
        let (code, said, why) = verify(Path::new(&out), Some(&key_of(Path::new(data))));
        assert_eq!(code, Some(0), "{span:?}: {said}{why}");
        let elsewhere = file(&format!("{number}"));
        let (code, _, why) = run(&["evidence", "import", &out, "--data-dir", &elsewhere]);
        assert_eq!(code, Some(0), "{span:?}: {why}");
        let filter = format!("exchange:{newest}");
        let (_, found, why) = run(&["session", "search", &filter, "--data-dir", &elsewhere]);
        assert_eq!(found.contains(&newest), taken.contains(&2), "{span:?}: {found}{why}");
    }
    for span in [["--since", "2100-01-01T00:00:00Z"], ["--until", "2001-01-01T00:00:00Z"]] {
        let out = file("none.tar");
        let (code, said, _) = export(&out, &span);
        assert_eq!((code, Path::new(&out).exists()), (Some(1), false), "{span:?}: {said}");
    }
}

#[test]
fn other_tools_open_and_check_a_bundle() {
    let (_folder, bundle) = made();
    let elsewhere = tempfile::tempdir().unwrap();
    let script = "set -e; tar xf \"$1\"
        openssl pkeyutl -verify -pubin -inkey evidence/key.pub -rawin -in bundle.json -sigfile bundle.sig
        zstdcat evidence/seg-*.zst | jq -r 'select(.kind == \"received\") | .text' | head -c 20
        test \"$(jq .head_seq bundle.json)\" = \"$(zstdcat evidence/seg-*.zst | tail -n 1 | jq .seq)\"";
    let done = Command::new("bash")
        .args(["-c", script, "-", bundle.to_str().unwrap()])
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("Verified Successfully") && said.contains(&ANSWER[..10]), "{said}");
}

/// Whatever byte of the segments, the manifest, the keys or the signature is changed, it is found.
#[test]
fn a_changed_bundle_is_refused() {
    let (folder, bundle) = made();
    let key = key_of(folder.path());
    let whole = fs::read(&bundle).unwrap();
    let changed = folder.path().join("changed.tar");
    let names = |bytes: &[u8]| {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            (name, usize::try_from(entry.raw_file_position()).unwrap(), entry.size())
        });
        entries.collect::<Vec<_>>()
    };
    for (name, start, bytes) in names(&whole) {
        if name == "README.txt" {
            continue;
        }
        for at in [0, bytes / 2, bytes - 1] {
            let mut other = whole.clone();
            other[start + usize::try_from(at).unwrap()] ^= 1;
            fs::write(&changed, other).unwrap();
            let (code, said, why) = verify(&changed, Some(&key));
            // The keys are not looked at where others are named.
            let is_its_key = name == "evidence/key.pub" && code == Some(0);
            assert!(code == Some(1) || is_its_key, "{name} at {at}: {said}{why}");
            assert!(is_its_key || !why.is_empty(), "{name} at {at}");
        }
    }
    for (length, word) in [(0, "no bundle"), (whole.len() / 2, "bundle"), (511, "bundle")] {
        fs::write(&changed, &whole[..length]).unwrap();
        let (code, said, why) = verify(&changed, None);
        assert_eq!(code, Some(1), "{length}: {said}");
        assert!(why.contains(word), "{length}: {why}");
    }
    // Another gateway's key.
    let other = tempfile::tempdir().unwrap();
    fill(other.path(), 1);
    let (code, _, why) = verify(&bundle, Some(&key_of(other.path())));
    assert_eq!(code, Some(1));
    assert!(why.contains("not signed by a key that counts"), "{why}");
    // What a changed bundle holds is not unpacked.
    let mut half = whole.clone();
    let (_, start, _) = names(&whole).into_iter().find(|(name, ..)| name.contains("seg-")).unwrap();
    half[start + 30] ^= 1;
    fs::write(&changed, half).unwrap();
    let target = other.path().join("data");
    let arguments = ["evidence", "import", changed.to_str().unwrap(), "--data-dir"];
    let (code, _, why) = run(&[&arguments[..], &[target.to_str().unwrap()]].concat());
    assert_eq!(code, Some(1), "{why}");
    assert!(why.contains("NOT GOOD"), "{why}");
    assert!(!target.exists());
}

#[test]
fn a_newer_bundle_and_foreign_files_in_one_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.tar");
    let pack = |files: &[(&str, &[u8])]| {
        let mut archive = tar::Builder::new(fs::File::create(&path).unwrap());
        for (name, bytes) in files {
            // By hand, because the library writes no name that leads elsewhere.
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            archive.append(&header, *bytes).unwrap();
        }
        archive.finish().unwrap();
    };
    let newer = br#"{"v": 2, "kind": "firedoor-evidence"}"#;
    pack(&[("bundle.json", newer), ("bundle.sig", &[0; 64])]);
    let (code, _, why) = verify(&path, None);
    assert_eq!(code, Some(1));
    assert!(why.contains("version 2") && why.contains("newer"), "{why}");
    for name in ["evidence/../up", "/etc/passwd", "etc/passwd", "evidence/seg-1.ndjson.zst"] {
        pack(&[(name, b"x")]);
        let (code, _, why) = verify(&path, None);
        assert_eq!(code, Some(1));
        assert!(why.contains(name), "{why}");
    }
    fs::write(&path, "no archive at all").unwrap();
    let (code, _, why) = verify(&path, None);
    assert_eq!((code, why.contains("no bundle")), (Some(1), true), "{why}");
}

#[test]
fn nothing_half_is_left_and_nothing_is_overwritten() {
    let (folder, bundle) = made();
    let (data, file) = (folder.path().to_str().unwrap(), bundle.to_str().unwrap());
    let export = ["evidence", "export", "--reason", "again", "--data-dir", data, "--out"];
    let (code, _, why) = run(&[&export[..], &[file]].concat());
    assert_eq!(code, Some(1));
    assert!(why.contains("cannot make"), "{why}");
    // A record that cannot be read to its end.
    let segment = folder.path().join("evidence").join(segment_name(1));
    let whole = fs::read(&segment).unwrap();
    let mut torn = whole.clone();
    torn[whole.len() / 2] ^= 1;
    fs::write(&segment, torn).unwrap();
    let late = folder.path().join("late.tar");
    let (code, _, why) = run(&[&export[..], &[late.to_str().unwrap()]].concat());
    assert_eq!(code, Some(1));
    assert!(why.contains("is damaged") && !late.exists(), "{why}");
    fs::write(&segment, &whole).unwrap();
    // A disk with room for less than all of it.
    let target = tempfile::tempdir().unwrap();
    let small = SmallDisk::mount(target.path(), whole.len() as u64);
    let out = target.path().join("bundle.tar");
    let (code, _, why) = run(&[&export[..], &[out.to_str().unwrap()]].concat());
    assert_eq!(code, Some(1));
    assert!(why.contains("No space left") && !out.exists(), "{why}");
    let import = ["evidence", "import", file, "--data-dir", target.path().to_str().unwrap()];
    for _ in 0..2 {
        let (code, _, why) = run(&import);
        assert_eq!(code, Some(1));
        assert!(why.contains("No space left"), "{why}");
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
    }
    drop(small);
    assert_eq!(run(&import).0, Some(0), "with room it is imported");
}
