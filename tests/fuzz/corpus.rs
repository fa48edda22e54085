//! Seeds.

use firedoor::wire::Dialect;
use std::path::PathBuf;

/// Seeds larger than this are cut.
const BYTES_MAX: usize = 12 << 10;

fn folders(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::OpenaiChat => &["openai-chat", "azure-openai-chat"],
        Dialect::OpenaiResponses => &["openai-responses", "azure-openai-responses"],
        Dialect::Anthropic => &["anthropic-messages"],
        Dialect::Gemini => &["gemini-generatecontent"],
        Dialect::Bedrock => &["bedrock-converse-stream", "bedrock-converse"],
    }
}

fn files(dialect: Dialect, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in folders(dialect) {
        let folder = crate::support::data().join("wire").join(folder);
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|file| file.to_string_lossy().ends_with(ending)));
    }
    files.sort();
    files
}

fn read(file: &PathBuf) -> Vec<u8> {
    let mut bytes = std::fs::read(file).unwrap();
    bytes.truncate(BYTES_MAX);
    bytes
}

/// Recorded streams.
pub fn streams(dialect: Dialect) -> Vec<Vec<u8>> {
    let ending = if dialect == Dialect::Bedrock { ".bin" } else { ".sse" };
    files(dialect, ending).iter().map(read).collect()
}

/// Recorded whole answers.
pub fn answers(dialect: Dialect) -> Vec<Vec<u8>> {
    let all = files(dialect, ".json").into_iter();
    all.filter(|file| !file.to_string_lossy().ends_with(".meta.json"))
        .map(|file| read(&file))
        .collect()
}

/// Recorded requests.
pub fn requests(dialect: Dialect) -> Vec<Vec<u8>> {
    let bodies = files(dialect, ".meta.json").into_iter().filter_map(|file| {
        let meta: serde_json::Value =
            serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        meta["request_body"].is_object().then(|| meta["request_body"].to_string().into_bytes())
    });
    bodies.filter(|body| body.len() <= BYTES_MAX).collect()
}

/// Texts that people and attackers wrote.
pub fn texts() -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    for file in [
        "attacks/derived_evasions.jsonl",
        "attacks/blns_robustness_strings.jsonl",
        "secrets/gitleaks_examples.jsonl",
        "benign/tldr_en.jsonl",
        "benign/tldr_ru.jsonl",
        "benign/tldr_ja.jsonl",
    ] {
        let lines = std::fs::read_to_string(crate::support::data().join(file)).unwrap();
        texts.extend(lines.lines().step_by(7).take(60).filter_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).ok()?;
            let mut text = value["text"].as_str()?.as_bytes().to_vec();
            text.truncate(2048);
            Some(text)
        }));
    }
    texts
}
