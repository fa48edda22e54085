//! Requests, routes files and packs.

use super::corpus::requests;
use super::harness::run;
use firedoor::table::diagnostic::{Colour, Severity, render};
use firedoor::table::packs::{built_in_source, check};
use firedoor::table::{EMBEDDED, Source, prepare};
use firedoor::wire::Dialect;
use firedoor::wire::segments::{Go, Step, path, redact, walk};
use serde_json::Value;

/// Every text of a body that can be read can be replaced, and the body is still JSON.
#[test]
fn segments() {
    let all = [
        Some(Dialect::OpenaiChat),
        Some(Dialect::OpenaiResponses),
        Some(Dialect::Anthropic),
        Some(Dialect::Gemini),
        Some(Dialect::Bedrock),
        None,
    ];
    for dialect in all {
        let seeds = requests(dialect.unwrap_or(Dialect::OpenaiChat));
        let name = dialect.map_or("none", Dialect::name);
        run(&format!("segments-{name}"), &seeds, |input, dice| {
            let mut edits = Vec::new();
            let mut places = Vec::new();
            let walked = walk(dialect, input, &mut |step| {
                if let Step::Segment(segment) = step {
                    places.push(segment.at);
                    if dice.one_in(2) {
                        edits.extend(segment.edit("\"\\\u{1}\u{e9}"));
                    }
                }
                Go::On
            });
            for at in places.into_iter().take(20) {
                path(input, at);
            }
            if walked.is_err() {
                return;
            }
            let out = redact(input, edits);
            // Half a surrogate pair is JSON, but not everybody reads it.
            if serde_json::from_slice::<Value>(input).is_err() {
                return;
            }
            let read: Result<Value, _> = serde_json::from_slice(&out);
            assert!(read.is_ok(), "{read:?}: {}", String::from_utf8_lossy(&out));
        });
    }
}

const ROUTES: &str = r#"
[server]
listen = "127.0.0.1:4800"
[providers.p]
dialect = "openai"
base_url = "https://api.example.com/v1"
api_key = "${KEY:-none}"
quirks = ["no-responses"]
[apps.helpdesk]
key_sha256 = ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]
limits = { requests_per_minute = 600, tokens_per_day = 5_000_000, usd_per_day = 50.0 }
[[routes]]
name = "support"
match = { app = "helpdesk", model = ["gpt-4*", "bot"] }
targets = [{ provider = "p", model = "m", weight = 9 }]
fallback = [{ provider = "p" }]
retry = { attempts = 2, on = ["connect", "429", "5xx"] }
timeouts = { connect_ms = 2000, idle_ms = 30000 }
"#;

#[test]
fn routes_file() {
    let seeds = vec![EMBEDDED.as_bytes().to_vec(), ROUTES.as_bytes().to_vec()];
    run("routes", &seeds, |input, _| {
        let text = String::from_utf8_lossy(input).into_owned();
        let prepared = prepare(&Source { file: None, text }, &|_| Ok(None));
        let has_error = prepared.diagnostics.iter().any(|one| one.severity == Severity::Error);
        assert!(prepared.table.is_none() || !has_error);
        render(&prepared.diagnostics, Colour::Never);
    });
}

#[test]
fn pack_file() {
    // Of a whole pack most of the time goes into compiling what was not damaged.
    let mut seeds = Vec::new();
    for name in ["exfiltration", "leak", "pii", "tools"] {
        let source = built_in_source(name).unwrap();
        let rules: Vec<&str> = source.split("[[rule]]").collect();
        seeds.extend(
            rules[1..]
                .iter()
                .take(8)
                .map(|rule| format!("pack = \"x\"\nabout = \"y\"\n\n[[rule]]{rule}").into_bytes()),
        );
    }
    run("pack", &seeds, |input, dice| {
        if dice.one_in(3) || std::env::var_os("FIREDOOR_FUZZ_SECONDS").is_some() {
            let found = check(&String::from_utf8_lossy(input));
            render(&found, Colour::Never);
        }
    });
}
