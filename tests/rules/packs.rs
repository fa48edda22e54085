//! Packs of the folder beside those that are built in; digests; what is counted.

use crate::support::{self, ALL, CASES, Gateway, MockServer, Process, Told};
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

/// Where matches overlap, what is hidden is all of them: the last four are those of the whole, and
/// none where another rule hides a part of it.
#[test]
fn the_last_four_of_matches_that_overlap_are_those_of_the_whole() {
    const PACK: &str = r#"pack = "own"
[[rule]]
id = "number"
channels = ["answer"]
match = { regex = '[0-9]{6}-[0-9]{6}' }
action = "redact"
redact = "keep-last-4"
on_error = "cut"
[[rule]]
id = "owner"
channels = ["answer"]
match = { regex = '[0-9]{6} of [a-z]+' }
action = "redact"
on_error = "cut"
"#;
    let canned = |answer: &str| {
        format!(
            "[providers.canned]\ndialect = \"canned\"\nanswer = \"{answer}\"\n\n\
             [[routes]]\nname = \"r\"\ntargets = [{{ provider = \"canned\" }}]\nrules = [\"own\"]\n"
        )
    };
    for (answer, left) in [
        ("It is 111111-222222, so.", "It is [redacted:own/number:…2222], so."),
        ("It is 111111-222222-333333, so.", "It is [redacted:own/number:…3333], so."),
        ("It is 111111-222222 of ann, so.", "It is [redacted:own/number], so."),
        ("It is 111111-222222-333333 of ann, so.", "It is [redacted:own/number], so."),
    ] {
        let gateway = Gateway::start_with_pack(PACK, &canned(answer));
        for (dialect, stream) in ALL.into_iter().flat_map(|one| [(one, true), (one, false)]) {
            let got = support::ask(&gateway, dialect, "m", stream).answer();
            let told = Told::of(dialect, stream, &got);
            assert_eq!(told.text, left, "{dialect:?}, stream {stream}: {}", got.text());
        }
    }
}

/// What was found in the first provider's part is not found again where another one goes on.
#[test]
fn a_finding_counts_once_where_another_provider_goes_on() {
    let mock = MockServer::start();
    let folder = tempfile::tempdir().unwrap();
    let rule = "pack = \"own\"\n[[rule]]\nid = \"zebra\"\nchannels = [\"answer\"]\naction = \"flag\"\non_error = \"pass\"\nmatch = { words = [\"zebra\"] }\n";
    fs::write(folder.path().join("own.toml"), rule).unwrap();
    let provider = |name: &str, script: &str| {
        let url = mock.url();
        format!(
            "[providers.{name}]\ndialect = \"openai\"\nbase_url = \"{url}/v1\"\nheaders = {{ \"x-mock\" = '{script}' }}\n\n"
        )
    };
    let routes = format!(
        "rules = [\"own\"]\n\n[server]\nfilters = '{}'\n\n{}{}[[routes]]\nname = \"all\"\n\
         targets = [{{ provider = \"one\" }}]\nfallback = [{{ provider = \"two\", model = \"second\" }}]\n\
         midstream = \"continue\"\nretry = {{ attempts = 1 }}\n",
        folder.path().display(),
        provider("one", "text=One%20zebra%20here%2C%20and%20then%20some%20more,fault=close,at=7"),
        provider("two", "text=|And%20the%20second%20goes%20on."),
    );
    let gateway = Gateway::start(&routes);
    let answer = CASES[0].ask_with(&gateway, &[], true).answer();
    assert!(answer.text().contains("second"), "{}", answer.text());
    let record = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
    assert_eq!(record["attempts"], 2, "{record}");
    assert_eq!(record["findings"].as_array().unwrap().len(), 1, "{record}");
}
