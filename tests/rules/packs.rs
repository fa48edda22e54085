//! Packs of the folder beside those that are built in; digests; what is counted.

use crate::support::{Gateway, Process};
use crate::{ask, filters, routes, said};
use std::fs;
use std::path::Path;

/// A copy of the built-in pack `abuse`.
fn copy_of_abuse(folder: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("filters/abuse.toml");
    fs::copy(source, folder.join("abuse.toml")).unwrap();
}

#[test]
fn words_that_were_changed_beside_a_copy_of_a_built_in_pack_count() {
    let folder = tempfile::tempdir().unwrap();
    copy_of_abuse(folder.path());
    fs::create_dir(folder.path().join("words")).unwrap();
    fs::write(folder.path().join("words/profanity-de.txt"), "# ours\nquatschkopf\n").unwrap();
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("routes.toml");
    fs::write(&config, routes(folder.path(), "x", "\"abuse\"")).unwrap();
    let mut process = Process::firedoor(
        &["explain", "rule", "abuse/profanity-de", "--config", config.to_str().unwrap()],
        &[],
    );
    assert_eq!(process.wait().code(), Some(0), "{}", process.stderr.whole());
    let said = process.stdout.whole();
    assert!(said.contains("quatschkopf"), "{said}");
    // The other lists, which were not copied, are those that are built in.
    let mut process = Process::firedoor(
        &["explain", "rule", "abuse/profanity-fr", "--config", config.to_str().unwrap()],
        &[],
    );
    assert_eq!(process.wait().code(), Some(0), "{}", process.stderr.whole());
}

#[test]
fn a_pack_with_an_error_is_not_said_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine.toml"), "pack = \"mine\"\n[[rule]]\nid = \"a\"\n").unwrap();
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("routes.toml");
    fs::write(&config, routes(folder.path(), "x", "\"mine\"")).unwrap();
    let mut process = Process::firedoor(&["check", config.to_str().unwrap()], &[]);
    assert_eq!(process.wait().code(), Some(78));
    let said = process.stderr.whole();
    assert!(said.contains("mine.toml"), "{said}");
    assert!(!said.contains("there is no pack"), "{said}");
}

#[test]
fn digests_have_a_key_of_the_gate_s_own_that_a_restart_keeps() {
    let filters = filters();
    let start = || Gateway::start(&routes(filters.path(), "Code HX-1234.", "\"own\""));
    let first = start();
    let said_first = said(&ask(&first, "which code?"));
    assert!(said_first.starts_with("Code [redacted:own/code:"), "{said_first}");
    let first = first.restarted();
    assert_eq!(said(&ask(&first, "which code?")), said_first);
    let other = start();
    assert_ne!(said(&ask(&other, "which code?")), said_first, "another gate has another key");
    let file = first.data_dir().join("digest.key");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(file).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn hits_beyond_those_that_are_kept_are_counted() {
    let filters = filters();
    let answer = "Project Halcyon. ".repeat(100);
    let gateway = Gateway::start(&routes(filters.path(), &answer, "\"own\""));
    let done = ask(&gateway, "about it");
    let id = done.head.field("x-firedoor-exchange").unwrap().to_owned();
    let record = gateway.exchange(&id);
    assert_eq!(record["findings"].as_array().unwrap().len(), 64);
    assert_eq!(record["findings_more"], 36);
    let labels = "rule=\"own/project\",action=\"redact\"";
    assert_eq!(gateway.metric("firedoor_rule_hits_total", labels), 100);
}
