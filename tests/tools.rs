//! A tool is killed: no provider hears of it, and no caller gets a call of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod support;
mod tools {
    mod guarded;
    mod levers;
    mod stripped;
}

/// A provider's row and a route that takes every model, for each family at `url`; `headers` go to
/// the provider. The route of a family has its name as the model.
fn routes(url: &str, headers: &str) -> String {
    let mut all = String::new();
    for (name, word, path, more) in [
        ("oai", "openai", "/v1", ""),
        ("cht", "openai", "/v1", "quirks = [\"no-responses\"]\n"),
        ("res", "openai", "/v1", "quirks = [\"no-chat\"]\n"),
        ("ant", "anthropic", "", ""),
        ("gem", "gemini", "", ""),
        ("bed", "bedrock", "", ""),
    ] {
        let rows = format!(
            "[providers.{name}]\ndialect = \"{word}\"\nbase_url = \"{url}{path}\"\n{more}\
             api_key = \"key\"\nheaders = {{ {headers} }}\n\n\
             [[routes]]\nname = \"{name}\"\nmatch = {{ model = \"{name}\" }}\n\
             targets = [{{ provider = \"{name}\" }}]\nretry = {{ attempts = 1 }}\n\n"
        );
        all += &rows;
    }
    all
}

const FAMILIES: [&str; 6] = ["oai", "cht", "res", "ant", "gem", "bed"];
