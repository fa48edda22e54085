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
    mod usage;
}
mod support;

use firedoor::wire::Dialect;

/// A kind of provider.
struct Family {
    /// The name of its row.
    name: &'static str,
    /// Its word in `dialect`.
    word: &'static str,
    /// The base URL's path.
    path: &'static str,
    /// Further lines of the row.
    more: &'static str,
    /// The dialects in which it is asked by callers of these.
    speaks: &'static [Dialect],
    /// The dialect in which it is asked for a caller of another one.
    own: Dialect,
}

impl Family {
    /// The dialect in which it is asked for a caller of `caller`.
    fn asked_by(&self, caller: Dialect) -> Dialect {
        if self.speaks.contains(&caller) { caller } else { self.own }
    }
}

/// One of each kind: with them every caller meets a provider of every other dialect.
const FAMILIES: [Family; 6] = [
    Family {
        name: "oai",
        word: "openai",
        path: "/v1",
        more: "",
        speaks: &[Dialect::OpenaiChat, Dialect::OpenaiResponses],
        own: Dialect::OpenaiChat,
    },
    Family {
        name: "cht",
        word: "openai",
        path: "/v1",
        more: "quirks = [\"no-responses\"]\n",
        speaks: &[Dialect::OpenaiChat],
        own: Dialect::OpenaiChat,
    },
    Family {
        name: "res",
        word: "openai",
        path: "/v1",
        more: "quirks = [\"no-chat\"]\n",
        speaks: &[Dialect::OpenaiResponses],
        own: Dialect::OpenaiResponses,
    },
    Family {
        name: "ant",
        word: "anthropic",
        path: "",
        more: "",
        speaks: &[Dialect::Anthropic],
        own: Dialect::Anthropic,
    },
    Family {
        name: "gem",
        word: "gemini",
        path: "",
        more: "",
        speaks: &[Dialect::Gemini],
        own: Dialect::Gemini,
    },
    Family {
        name: "bed",
        word: "bedrock",
        path: "",
        more: "",
        speaks: &[Dialect::Bedrock],
        own: Dialect::Bedrock,
    },
];

/// The family that is `step` behind the one at `at`.
fn family_behind(at: usize, step: usize) -> &'static Family {
    &FAMILIES[(at + step) % FAMILIES.len()]
}

/// The row of a provider: `name` is of [`FAMILIES`] or begins so, `script` what it does.
fn provider(name: &str, url: &str, script: &str) -> String {
    let family = FAMILIES.iter().find(|family| name.starts_with(family.name)).unwrap();
    let Family { word, path, more, .. } = family;
    format!(
        "[providers.{name}]\ndialect = \"{word}\"\nbase_url = \"{url}{path}\"\n{more}\
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
