//! A gateway in front of a provider that plays every recorded body, and its record.

use crate::support::{Answer, CASES, Case, Client, Gateway, Process, Recording, Upstream};
use firedoor::wire::Dialect;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The number in the `rec-N` of a request.
fn asked_for(request: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(request);
    let digits = text.split("rec-").nth(1)?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// A provider of every dialect that plays recording N to who asks for the model `rec-N`, in uneven
/// pieces.
pub fn provider(recordings: Arc<Vec<Recording>>) -> Upstream {
    Upstream::start(move |request, stream| {
        let recording = &recordings[asked_for(request).unwrap()];
        let head = format!(
            "HTTP/1.1 {} x\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            recording.status,
            recording.content_type,
            recording.bytes.len()
        );
        let mut sent = stream.write_all(head.as_bytes());
        let mut size = 7;
        let mut rest = &recording.bytes[..];
        while !rest.is_empty() && sent.is_ok() {
            let (piece, after) = rest.split_at(rest.len().min(size));
            sent = stream.write_all(piece).and_then(|()| stream.flush());
            size = (size * 5 + 11) % 4093;
            rest = after;
        }
    })
}

/// The providers of the routes.
pub const PROVIDERS: [(&str, &str); 4] =
    [("oai", "openai"), ("ant", "anthropic"), ("gem", "gemini"), ("bed", "bedrock")];

/// The provider that speaks a dialect.
pub fn speaker(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses => "oai",
        Dialect::Anthropic => "ant",
        Dialect::Gemini => "gem",
        Dialect::Bedrock => "bed",
    }
}

/// A route to each provider, for who asks for it with `x-to`, under `rules`, and one without rules.
pub fn routes(url: &str, filters: &Path, rules: &str, more: &str) -> String {
    let mut text = format!("[server]\nfilters = '{}'\n\n", filters.display());
    for (name, dialect) in PROVIDERS {
        let base = if name == "oai" { format!("{url}/v1") } else { url.to_owned() };
        let _ = write!(
            text,
            "[providers.{name}]\ndialect = \"{dialect}\"\nbase_url = \"{base}\"\napi_key = \"${{TEST_KEY:-k}}\"\n\n"
        );
    }
    for (name, _) in PROVIDERS {
        let _ = write!(
            text,
            "[[routes]]\nname = \"{name}\"\nmatch = {{ header = {{ x-to = \"{name}\" }} }}\n\
             targets = [{{ provider = \"{name}\" }}]\nretry = {{ attempts = 1 }}\nrules = {rules}\n{more}\n\n\
             [[routes]]\nname = \"{name}-bare\"\nmidstream = \"continue\"\nmatch = {{ header = {{ x-to = \"{name}-bare\" }} }}\n\
             targets = [{{ provider = \"{name}\" }}]\nretry = {{ attempts = 1 }}\n\n"
        );
    }
    text
}

/// Asks for recording `index` as a caller of `dialect`, over the route `to`.
pub fn ask(
    gateway: &Gateway,
    dialect: Dialect,
    index: usize,
    to: &str,
    is_stream: bool,
    prompt: &str,
) -> Answer {
    let case = Case { dialect, ..CASES[0] };
    let model = format!("rec-{index}");
    let mut client = Client::connect(gateway.data);
    let fields =
        [("content-type", "application/json"), ("x-to", to), ("x-firedoor-session", "s-replay")];
    let body = case.body(&model, prompt, is_stream);
    client.request("POST", &case.target(&model, is_stream), &fields, body.as_bytes());
    client.answer()
}

/// Runs the command line, and gives its standard output as JSON and its exit code.
pub fn firedoor(arguments: &[&str]) -> (Value, Option<i32>) {
    let mut process = Process::firedoor(arguments, &[]);
    let text = process.stdout.whole();
    let code = process.wait().code();
    let value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}\n{}", process.stderr.text()));
    (value, code)
}

/// Ends the gateway in order, so that all is on record; its configuration and data folder stay.
pub fn ended(gateway: &mut Gateway) -> (String, String) {
    gateway.process.terminate();
    assert!(gateway.process.wait().success());
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    (text(gateway.config()), text(gateway.data_dir()))
}
