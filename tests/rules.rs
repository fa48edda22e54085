//! Rules on the running binary: what they are said to do and cost, rules on trial, rules that only
//! report, and what hits are counted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod rules {
    mod api;
    mod borders;
    mod outside;
    mod packs;
    mod prompts;
    mod sentences;
    mod shell;
    mod waiting;
    mod webhook;
}
mod support;

use serde_json::{Value, json};
use std::path::Path;
use support::{Answer, Gateway, post};

/// A pack of the tests: one rule that cuts, one that hides, one that demotes itself.
const OWN: &str = r#"
pack = "own"
about = "Rules of the tests"

[[rule]]
id = "project"
about = "The name of a project"
channels = ["user", "answer"]
match = { words = ["Project Halcyon"] }
action = { default = "cut", answer = "redact" }
on_error = "cut"
tags = ["owasp:LLM02"]
[[rule.case]]
text = "all about project halcyon"
expect = "cut"
channel = "user"
[[rule.case]]
text = "all about it"
expect = "clear"

[[rule]]
id = "code"
about = "Codes of the house"
channels = ["answer"]
match = { regex = 'HX-[0-9]{4}' }
action = "redact"
redact = "hash"
on_error = "pass"

[[rule]]
id = "eager"
channels = ["user"]
match = { words = ["hello"] }
action = "cut"
on_error = "cut"
demote = { above = "10%", of = 3, within = "5m" }
"#;

/// A routes file under the packs in `filters`, whose provider always answers `answer`.
fn routes(filters: &Path, answer: &str, rules: &str) -> String {
    format!(
        "[server]\nfilters = '{}'\n[providers.canned]\ndialect = \"canned\"\nanswer = {answer:?}\n\n\
         [[routes]]\nname = \"front\"\ntargets = [{{ provider = \"canned\" }}]\nrules = [{rules}]\n",
        filters.display()
    )
}

/// A folder of packs with [`OWN`] in it.
fn filters() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("own.toml"), OWN).unwrap();
    folder
}

/// One question to the gateway.
fn ask(gateway: &Gateway, text: &str) -> Answer {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": text }] });
    post(gateway.data, "/v1/chat/completions", &[], &body.to_string())
}

/// The text of a whole answer.
fn said(answer: &Answer) -> String {
    answer.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
}

/// A rule as the API lists it.
fn listed(gateway: &Gateway, id: &str) -> Value {
    let all = gateway.admin_json("/api/v1/rules");
    let found = all["items"].as_array().unwrap().iter().find(|rule| rule["id"] == id);
    found.unwrap_or_else(|| panic!("{id} is listed: {all}")).clone()
}
