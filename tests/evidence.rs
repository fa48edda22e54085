//! The record on a real disk: written by the library, checked by the command, read by other tools.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

#[path = "evidence/bundle.rs"]
mod bundle;
mod support;

use firedoor::clock::Tick;
use firedoor::evidence::disk::Folder;
use firedoor::evidence::key::PUBLIC_KEY_FILE;
use firedoor::evidence::read::{segment_name, segments};
use firedoor::evidence::verify::{Span, verify};
use firedoor::evidence::{
    Counters, FOLDER, Note, Opened, Options, PublicKey, RequestHead, SentBody, Store,
};
use firedoor::exchange::facts::{Facts, Identity, Outcome};
use firedoor::id::{Epoch, ExchangeId, LeverId, ProviderName, RouteName};
use firedoor::table::{Capture, Recipient};
use firedoor::wire::Dialect;
use firedoor::wire::event::{Counts, StopReason};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::Process;

const LONG: Duration = Duration::from_mins(1);
const BEGAN: u64 = 1_700_000_000_000;
const ANSWER: &str = "data: {\"delta\":\"Grüße\"}\n\n";

/// What is known at the end of an exchange.
fn facts(id: u128) -> Facts {
    Facts {
        identity: Identity { agent: Some("planner".into()), ..Identity::default() },
        dialect: Some(Dialect::OpenaiChat),
        route: Some(RouteName::new("support")),
        provider: Some(ProviderName::new("openai")),
        target: Some("openai/gpt-4o".into()),
        model_asked: Some("gpt-4o".into()),
        model_reported: Some("gpt-4o-2024-08-06".into()),
        is_stream: true,
        status: 200,
        outcome: Outcome::Completed,
        attempts: 1,
        request_bytes: 100,
        response_bytes: 2_000,
        first_byte: Some(Duration::from_millis(100)),
        total: Duration::from_millis(250),
        text_events: 20,
        stop: Some(StopReason::EndTurn),
        usage: Counts { input: Some(12), output: Some(34), ..Counts::default() },
        lever: Some(LeverId(5)),
        is_judged: true,
        cost_micro_usd: Some(370),
        ..Facts::blank(ExchangeId(id), BEGAN, "POST /v1/chat/completions".into())
    }
}

fn opened(id: u128) -> Opened {
    Opened {
        id: ExchangeId(id),
        began: Tick(0),
        began_unix_ms: BEGAN,
        identity: Identity { agent: Some("planner".into()), ..Identity::default() },
        route: None,
        dialect: None,
        model: Some("gpt-4o".into()),
        is_stream: true,
        epoch: Epoch(1),
        ruleset: None,
        levers: vec![],
        keep_days: None,
    }
}

/// Records some exchanges: the first is abandoned, and the second has an answer that is no text.
fn fill(data_dir: &Path, exchanges: u128) -> Counters {
    fill_as(data_dir, exchanges, Capture::Full)
}

/// The same, of which so much is kept.
fn fill_as(data_dir: &Path, exchanges: u128, capture: Capture) -> Counters {
    let mut options = Options::of(data_dir);
    options.limits.segment_bytes_max = 4_096;
    let store = Store::start(options).unwrap();
    let tap = store.tap();
    let recipient =
        Recipient::parse("age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj").unwrap();
    for id in 1..=exchanges {
        let mut track = tap.open(capture, opened(id)).unwrap();
        track.seal_to(&[recipient].into());
        let head = RequestHead {
            method: http::Method::POST,
            path: "/v1/chat/completions".into(),
            headers: vec![(http::header::USER_AGENT, http::HeaderValue::from_static("tests"))],
        };
        let body = bytes::Bytes::from_static(b"{\"model\":\"gpt-4o\"}");
        track.request(Tick(0), head, &body);
        track.sent(
            Tick(0),
            1,
            &"openai/gpt-4o".into(),
            body.len() as u64,
            &SentBody::Same(body.clone()),
        );
        track.received_head(Tick(1_000), 1, 200, vec![]);
        for step in 1..=20 {
            let at = Tick(step * 1_000_000);
            track.received(at, ANSWER.as_bytes());
            track.delivered(at, if step < 20 { ANSWER } else { "data: cut\n\n" }.as_bytes());
        }
        if id == 2 {
            track.received(Tick(30_000_000), &[0xFF, 0, 0xFE]);
        }
        if id > 1 {
            track.close(Tick(40_000_000), std::sync::Arc::new(facts(id)));
        }
        assert!(tap.flush(LONG));
    }
    tap.note(Note {
        at_unix_ms: 1_700_000_001_000,
        what: "lever_pulled".into(),
        exchange: None,
        about: serde_json::json!({ "scope": "all" }),
    });
    store.close(LONG)
}

fn command(data_dir: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let data_dir = data_dir.to_str().unwrap();
    let arguments = [&["evidence", "verify", "--data-dir", data_dir], more].concat();
    let mut process = Process::firedoor(&arguments, &[]);
    let code = process.wait().code();
    (code, process.stdout.whole(), process.stderr.whole())
}

/// What a pipeline of the shell says, run in the folder of segments.
fn shell(data_dir: &Path, line: &str) -> String {
    let line = format!("set -o pipefail; {line}");
    let run = Command::new("bash")
        .args(["-c", &line])
        .current_dir(data_dir.join(FOLDER))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "`{line}` needs zstdcat, jq and openssl: {errors}");
    String::from_utf8(run.stdout).unwrap()
}

fn lines(data_dir: &Path) -> Vec<Value> {
    let text = shell(data_dir, "zstdcat seg-*.zst | jq -c .");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_command_names_what_is_bad() {
    let place = tempfile::tempdir().unwrap();
    let counters = fill(place.path(), 12);
    assert_eq!(counters.dropped.records, 0);
    let folder = place.path().join(FOLDER);
    let numbers = segments(&Folder::at(&folder)).unwrap();
    assert!(numbers.len() > 2, "{numbers:?}");
    for name in [segment_name(1), PUBLIC_KEY_FILE.to_owned()] {
        assert_eq!(folder.join(name).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);

    let (code, out, err) = command(place.path(), &["--output", "human"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.starts_with("good: "), "{out}");
    let (code, out, _) = command(place.path(), &["--from", "1", "--to", "2"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["good"], &report["segments"]), (Some(0), &true.into(), &1.into()));

    let path = folder.join(segment_name(2));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 40]).unwrap();
    let (code, out, _) = command(place.path(), &[]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["good"]), (Some(1), &false.into()));
    assert!(report["bad"].as_array().unwrap().iter().all(|bad| bad["segment"].as_u64() <= Some(3)));
    assert_eq!(report["bad"][0]["segment"], 2);

    let (code, _, err) = command(place.path(), &["--key", "nowhere.pub"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("nowhere.pub"), "{err}");
    let (code, _, err) = command(&place.path().join("none"), &[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("no evidence"), "{err}");
    let (code, _, _) = command(place.path(), &["--from", "3", "--to", "2"]);
    assert_eq!(code, Some(2));
}

#[test]
fn usual_tools_read_it_and_verify_a_seal() {
    let place = tempfile::tempdir().unwrap();
    fill(place.path(), 3);
    let received = shell(
        place.path(),
        "zstdcat seg-*.zst | jq -rj 'select(.kind == \"received\" and .exchange == \
         \"x_00000000000000000000000000000001\") | .text'",
    );
    assert_eq!(received, ANSWER.repeat(20));
    let ended = "zstdcat seg-*.zst | jq -r 'select(.kind == \"close\") | .outcome'";
    assert_eq!(shell(place.path(), ended), "abandoned\ncompleted\ncompleted\n");
    // The seal as docs/evidence.md describes it, with another implementation of everything.
    let verified = shell(
        place.path(),
        r#"work=$(mktemp -d); trap 'rm -r "$work"' EXIT
        first=$(ls seg-*.zst | head -1)
        store=$(zstdcat "$first" | jq -r 'select(.kind == "segment") | .store')
        zstdcat "$first" | jq -rj --arg store "$store" 'select(.kind == "seal") |
          "firedoor evidence seal 1\nstore \($store)\nsegment \(.segment)\nrecords \(.records)\nfirst \(.first_seq)\nlast \(.last_seq)\nchain \(.last_chain)\n"' > "$work/message"
        zstdcat "$first" | jq -r 'select(.kind == "seal") | .signature' | xxd -r -p > "$work/signature"
        openssl pkeyutl -verify -pubin -inkey key.pub -rawin -in "$work/message" -sigfile "$work/signature""#,
    );
    assert!(verified.contains("Signature Verified Successfully"), "{verified}");
    // And what stands behind one where lines were erased.
    let erased = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(sample("v2"), erased.path().join(FOLDER)).unwrap();
    let verified = shell(
        erased.path(),
        r#"work=$(mktemp -d); trap 'rm -r "$work"' EXIT
        first=$(ls seg-*.zst | head -1)
        store=$(zstdcat "$first" | jq -r 'select(.kind == "segment") | .store')
        zstdcat "$first" | jq -rj --arg store "$store" 'select(.kind == "reseal") |
          "firedoor evidence reseal 1\nstore \($store)\nsegment \(.segment)\nat \(.at_unix_ms)\nplaces \(.places)\n",
          (.erased[] | "erased \(.[0]) \(.[1])\n")' > "$work/message"
        zstdcat "$first" | jq -r 'select(.kind == "reseal") | .signature' | xxd -r -p > "$work/signature"
        openssl pkeyutl -verify -pubin -inkey key.pub -rawin -in "$work/message" -sigfile "$work/signature""#,
    );
    assert!(verified.contains("Signature Verified Successfully"), "{verified}");
}

#[test]
fn the_schema_names_every_member() {
    let place = tempfile::tempdir().unwrap();
    fill(place.path(), 3);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/evidence.schema.json");
    let schema: Value = serde_json::from_slice(&fs::read(docs).unwrap()).unwrap();
    let mut seen = BTreeSet::new();
    let sealed = tempfile::tempdir().unwrap();
    fill_as(sealed.path(), 3, Capture::Sealed);
    let lines_of_sealed = lines(sealed.path());
    let has = |name: &str| lines_of_sealed.iter().any(|line| !line[name].is_null());
    assert!(has("age") && has("chunks") && !has("text") && !has("base64"));
    let erased = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(sample("v2"), erased.path().join(FOLDER)).unwrap();
    for line in [lines(place.path()), lines(erased.path()), lines_of_sealed].concat() {
        let kind = line["kind"].as_str().unwrap();
        let own = &schema["$defs"][kind];
        let base = own["$ref"].as_str().map(|place| place.trim_start_matches("#/$defs/"));
        let base = base.map_or(&Value::Null, |name| &schema["$defs"][name]);
        let parts = [&schema, own, base];
        for name in line.as_object().unwrap().keys() {
            let is_named = parts.iter().any(|part| !part["properties"][name].is_null());
            assert!(is_named, "`{name}` of `{kind}` is not in the schema");
        }
        for part in parts {
            for name in part["required"].as_array().into_iter().flatten() {
                assert!(
                    !line[name.as_str().unwrap()].is_null() || name == "previous",
                    "{name} of {line}"
                );
            }
        }
        seen.insert(kind.to_owned());
    }
    let kinds =
        "close delivered erased erasure note open received request reseal seal segment sent";
    let mut kinds = kinds.split(' ');
    assert!(kinds.all(|kind| seen.contains(kind)), "{seen:?}");
}

/// Stores that were written by each version; a change that cannot read them is a mistake.
#[test]
fn files_of_every_version_are_read_for_ever() {
    let read = |version: &str| {
        let sample = sample(version);
        let keys = PublicKey::read(&sample.join(PUBLIC_KEY_FILE)).unwrap();
        let report = verify(&Folder::at(&sample), Span::default(), &keys).unwrap();
        assert!(report.is_good(), "{:?}", report.bad);
        report
    };
    let report = read("v1");
    assert_eq!((report.segments, report.records, report.open), (3, 72, None));
    assert_eq!((report.recoveries, report.unfinished, report.erased), (0, 0, 0));
    let report = read("v2");
    assert_eq!((report.segments, report.open, report.erased), (3, None, 4));
    assert_eq!(report.erased_from.iter().collect::<Vec<_>>(), [(1, 2)]);
}

fn sample(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evidence").join(version)
}

/// Names the data folder to the child process of the test below.
const CHILD: &str = "FIREDOOR_TEST_RECORDS_IN";

/// Not a test of its own: the process that [`what_was_acknowledged_survives_a_kill`] kills.
#[test]
fn child_that_records() {
    let Some(data_dir) = std::env::var_os(CHILD) else { return };
    let mut options = Options::of(Path::new(&data_dir));
    options.limits.segment_bytes_max = 8_192;
    let store = Store::start(options).unwrap();
    let tap = store.tap();
    let mut tracks: Vec<_> = (1..=4).map(|id| tap.open(Capture::Full, opened(id))).collect();
    for track in tracks.iter_mut().flatten() {
        track.flush(Tick(0));
    }
    let round = std::process::id();
    for number in 0_u64.. {
        for track in tracks.iter_mut().flatten() {
            track.received(Tick(number * 600_000_000), ANSWER.as_bytes());
        }
        tap.note(Note {
            at_unix_ms: BEGAN,
            what: "acknowledged".into(),
            exchange: None,
            about: serde_json::json!({ "is": format!("{round}/{number}") }),
        });
        if tap.flush(LONG) {
            println!("acknowledged {round}/{number}");
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let place = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    let rounds = std::env::var("FIREDOOR_EVIDENCE_KILLS").map_or(25, |n| n.parse().unwrap());
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_records", "--nocapture"])
            .env(CHILD, place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut names = said.map_while(Result::ok);
        let mut names =
            names.by_ref().filter_map(|line| Some(line.split_once("acknowledged ")?.1.to_owned()));
        acknowledged.extend(names.by_ref().take(1 + round * 7 % 40));
        child.kill().unwrap();
        // What was said before the kill counts, whenever it is read.
        acknowledged.extend(names.filter(|name| name.contains('/')));
        child.wait().unwrap();
    }
    fill(place.path(), 0);
    let (code, out, _) = command(place.path(), &[]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["gap_records"], 0);
    // Each child left four exchanges without an end, and each is named.
    assert_eq!(
        (&report["recoveries"], &report["unfinished"]),
        (&rounds.into(), &(rounds * 4).into())
    );
    let lines = lines(place.path());
    let found: BTreeSet<&str> =
        lines.iter().filter_map(|line| line["about"]["is"].as_str()).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|name| !found.contains(name.as_str())).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", acknowledged.len());
    assert!(acknowledged.len() > rounds);
}
