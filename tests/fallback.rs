//! One target takes over from another, in any dialect, on the running binary.
//!
//! Whoever answers, the caller gets one answer in its own dialect, and each provider a request in
//! its own, with its own credential.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod fallback {
    mod before;
    mod midstream;
    mod orders;
    mod outage;
    mod pairs;
}
mod support;

use firedoor::wire::Dialect;

/// A family of providers: the name of its row, its word in `dialect`, the base URL's path, and the
/// dialect in which it is asked for a caller of another one.
const FAMILIES: [(&str, &str, &str, Dialect); 4] = [
    ("oai", "openai", "/v1", Dialect::OpenaiChat),
    ("ant", "anthropic", "", Dialect::Anthropic),
    ("gem", "gemini", "", Dialect::Gemini),
    ("bed", "bedrock", "", Dialect::Bedrock),
];

/// The row of a provider: `name` is of [`FAMILIES`] or begins so, `script` what it does.
fn provider(name: &str, url: &str, script: &str) -> String {
    let family = FAMILIES.iter().find(|family| name.starts_with(family.0)).unwrap();
    let (_, word, path, _) = family;
    format!(
        "[providers.{name}]\ndialect = \"{word}\"\nbase_url = \"{url}{path}\"\n\
         api_key = \"key-of-{name}\"\nheaders = {{ \"x-mock\" = '{script}' }}\n\n"
    )
}

/// A route that takes the model of its own name; `more` are its further lines.
fn route(name: &str, targets: &str, more: &str) -> String {
    format!(
        "[[routes]]\nname = \"{name}\"\nmatch = {{ model = \"{name}\" }}\n\
         targets = [{targets}]\n{more}\n\n"
    )
}
