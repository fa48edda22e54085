//! Every recorded stream and body, through the gate and again: the same verdict, the same bytes.

use crate::recordings::{ask, ended, firedoor, provider, routes, speaker};
use crate::support::{Gateway, recordings};
use firedoor::wire::Dialect;
use std::sync::Arc;

/// Rules that flag, hide and end much of ordinary text.
const TRIAL: &str = r#"
pack = "trial"

[[rule]]
id = "hide"
about = "An ordinary word"
channels = ["answer", "user"]
match = { words = ["the", "city"] }
action = "redact"
mode = "enforce"
on_error = "cut"

[[rule]]
id = "flag"
about = "Another"
channels = ["answer", "reasoning"]
match = { words = ["and", "capital"] }
action = "flag"
mode = "enforce"
on_error = "pass"

[[rule]]
id = "cut"
about = "One that ends an answer"
channels = ["answer", "reasoning", "tool_name"]
match = { words = ["weather", "Paris"] }
action = "cut"
mode = "enforce"
on_error = "cut"

[[rule]]
id = "never"
about = "One that ends a prompt"
channels = ["user"]
match = { words = ["xyzzy"] }
action = "cut"
mode = "enforce"
on_error = "cut"
"#;

#[test]
fn the_record_run_again_is_the_same_and_a_candidate_shows_what_it_changes() {
    let filters = tempfile::tempdir().unwrap();
    std::fs::write(filters.path().join("trial.toml"), TRIAL).unwrap();
    let all = Arc::new(recordings());
    let upstream = provider(Arc::clone(&all));
    let rules = r#"["trial", "secrets", "pii", "exfiltration"]"#;
    let mut gateway = Gateway::start(&routes(&upstream.url(), filters.path(), rules, ""));
    let mut asked = 0;
    for (index, one) in all.iter().enumerate() {
        let own = speaker(one.dialect);
        let prompt = match index % 17 {
            3 => "say xyzzy",
            5 => "what is the key AKIAIOSFODNN7EXAMPLE for?",
            number if number % 2 == 0 => "hello in the city",
            _ => "hello",
        };
        ask(&gateway, one.dialect, index, own, one.is_stream, prompt);
        asked += 1;
        if index % 3 == 0 {
            ask(&gateway, one.dialect, index, &format!("{own}-bare"), one.is_stream, prompt);
            asked += 1;
        }
        // A caller of another dialect, which the gate translates for.
        let caller = Dialect::ALL[index % Dialect::ALL.len()];
        if speaker(caller) != own && one.dialect != Dialect::OpenaiResponses {
            let to = if index % 2 == 0 { own.to_owned() } else { format!("{own}-bare") };
            ask(&gateway, caller, index, &to, one.is_stream, prompt);
            asked += 1;
        }
    }
    let (config, _) = ended(&mut gateway);

    let (told, code) = firedoor(&["replay", "--config", &config, "--output", "json"]);
    let summary = &told["summary"];
    let differ: Vec<String> = told["exchanges"]
        .as_array()
        .unwrap()
        .iter()
        .take(5)
        .map(|one| format!("{one:#}"))
        .collect();
    assert_eq!(summary["exchanges"], asked, "{summary:#}");
    assert_eq!(summary["same"], asked, "{summary:#}\n{}", differ.join("\n"));
    assert_eq!(code, Some(0));
    let verdicts = summary["verdicts"].as_array().unwrap();
    for verdict in ["none", "clear", "flag", "redact", "cut"] {
        assert!(verdicts.iter().any(|one| one["then"] == verdict), "{verdict}: {verdicts:?}");
    }

    // A candidate that no longer hides anything changes exactly what was hidden.
    let elsewhere = tempfile::tempdir().unwrap();
    let candidate = elsewhere.path().join("trial.toml");
    std::fs::write(&candidate, TRIAL.replace("action = \"redact\"", "action = \"flag\"")).unwrap();
    let (told, code) = firedoor(&[
        "replay",
        "--config",
        &config,
        "--rule-file",
        candidate.to_str().unwrap(),
        "--output",
        "json",
        "--limit",
        "100000",
        "--all",
    ]);
    assert_eq!(code, Some(0), "with a candidate a difference is what was asked for");
    let mut changed = 0;
    for one in told["exchanges"].as_array().unwrap() {
        let hidden = |list: &serde_json::Value| {
            let list = list.as_array().unwrap();
            list.iter().filter(|hit| hit["rule"] == "trial/hide").count()
        };
        let is_changed = hidden(&one["found_now"]) + hidden(&one["missed_now"]) > 0;
        assert_eq!(one["fared"] == "differs", is_changed, "{one:#}");
        changed += u64::from(is_changed);
    }
    assert!(changed > 100, "{changed}");
    assert_eq!(told["summary"]["differ"], changed);
}
