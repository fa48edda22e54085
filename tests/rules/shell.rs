//! `firedoor explain rule`, `check --costs` and `rules`.

use crate::support::{Gateway, Process};
use crate::{ask, filters, routes};
use serde_json::Value;
use std::fs;

/// Runs a command to its end: exit code, stdout, stderr.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut process = Process::firedoor(arguments, &[]);
    let code = process.wait().code();
    (code, process.stdout.whole(), process.stderr.whole())
}

#[test]
fn a_rule_is_explained_with_what_it_costs() {
    let filters = filters();
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("routes.toml");
    fs::write(&config, routes(filters.path(), "x", "\"own\"")).unwrap();
    let config = config.to_str().unwrap();
    let (code, out, err) =
        run(&["explain", "rule", "own/project", "--config", config, "--output", "human"]);
    assert_eq!(code, Some(0), "{err}");
    for word in [
        "The name of a project",
        "Project Halcyon",
        "cut in user",
        "redact (marker) in answer",
        "enforce",
        "does not leave",
        "owasp:LLM02",
        "all about project halcyon",
        "of English",
        "states",
    ] {
        assert!(out.contains(word), "`{word}` in {out}");
    }
    let (_, out, _) = run(&["explain", "rule", "own/project", "--config", config]);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["mode"], "enforce");
    assert!(value["cost"]["states"].as_u64().unwrap() > 0, "{value}");
    assert!(value["cost"]["held_bytes"].as_f64().unwrap() < 1.0, "{value}");
    assert_eq!(value["cases"].as_array().unwrap().len(), 2);
    let (code, _, err) = run(&["explain", "rule", "own/projekt", "--config", config]);
    assert_eq!(code, Some(2));
    assert!(err.contains("did you mean `own/project`?"), "{err}");
    let (code, out, _) = run(&["explain", "FD0102"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("FD0102"), "{out}");
}

#[test]
fn a_pack_in_the_place_of_a_file_is_told_where_it_goes() {
    let (code, _, err) = run(&["eval", "secrets"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("there is no file secrets") && err.contains("--pack secrets"), "{err}");
}

#[test]
fn check_says_what_every_rule_in_use_costs() {
    let filters = filters();
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("routes.toml");
    fs::write(&config, routes(filters.path(), "x", "\"own\"")).unwrap();
    let config = config.to_str().unwrap();
    let (code, out, err) = run(&["check", config]);
    assert_eq!((code, &*out), (Some(0), ""), "{err}");
    assert!(err.contains("pack own: 3 rules"), "{err}");
    let (code, out, _) = run(&["check", "--costs", config]);
    assert_eq!(code, Some(0));
    for rule in ["own/project", "own/code", "own/eager"] {
        assert!(out.lines().any(|line| line.starts_with(rule)), "{rule} in {out}");
    }
    let (_, out, _) = run(&["check", "--costs", "--format", "json", config]);
    let value: Value = serde_json::from_str(&out).unwrap();
    let rules = value["packs"][0]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 3);
    assert!(rules.iter().all(|rule| rule["memory_bytes"].as_u64().unwrap() > 0), "{value}");
    let costly = "\n[[rule]]\nid = \"costly\"\nchannels = [\"answer\"]\n\
        match = { regex = '[a-z ]{1,40} is the project' }\naction = \"redact\"\non_error = \"cut\"\n";
    fs::write(filters.path().join("own.toml"), crate::OWN.to_owned() + costly).unwrap();
    let (code, _, err) = run(&["check", config]);
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("FD0602") && err.contains("own/costly"), "{err}");
}

#[test]
fn rules_are_listed_and_demoted_from_a_shell() {
    let filters = filters();
    let gateway = Gateway::start(&routes(filters.path(), "Fine.", "\"own\""));
    let config = gateway.config();
    let config = config.to_str().unwrap();
    let (code, out, err) = run(&[
        "rules",
        "demote",
        "own/project",
        "--reason",
        "too eager",
        "--author",
        "ada",
        "--config",
        config,
        "--output",
        "human",
    ]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("own/project only reports"), "{out}");
    assert_eq!(ask(&gateway, "Project Halcyon").status(), 200);
    let (_, out, _) = run(&["rules", "--config", config, "--output", "human"]);
    assert!(out.contains("demoted from enforce by ada"), "{out}");
    let (_, out, _) = run(&["levers", "--history", "--config", config, "--output", "human"]);
    assert!(out.contains("demote own/project"), "{out}");
    let (code, _, err) =
        run(&["rules", "promote", "own/project", "--reason", "mended", "--config", config]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(ask(&gateway, "Project Halcyon").status(), 400);
    let (code, _, err) = run(&["rules", "demote", "own", "--reason", "x", "--config", config]);
    assert_eq!(code, Some(2), "{err}");
}
