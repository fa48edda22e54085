//! Recorded answers of providers.

use super::data;
use firedoor::wire::Dialect;
use serde_json::Value;
use std::path::PathBuf;

/// One recorded answer, and what it answers.
#[derive(Debug)]
pub struct Recording {
    /// The name of its file.
    pub name: String,
    /// The dialect.
    pub dialect: Dialect,
    /// The status.
    pub status: u16,
    /// The media type; empty where it was not recorded.
    pub content_type: String,
    /// Whether it is a stream.
    pub is_stream: bool,
    /// The request's body.
    pub request: Value,
    /// The answer's body.
    pub bytes: Vec<u8>,
}

const FOLDERS: [(Dialect, &str); 9] = [
    (Dialect::OpenaiChat, "openai-chat"),
    (Dialect::OpenaiChat, "azure-openai-chat"),
    (Dialect::OpenaiChat, "writer-chat"),
    (Dialect::OpenaiResponses, "openai-responses"),
    (Dialect::OpenaiResponses, "azure-openai-responses"),
    (Dialect::Anthropic, "anthropic-messages"),
    (Dialect::Gemini, "gemini-generatecontent"),
    (Dialect::Bedrock, "bedrock-converse-stream"),
    (Dialect::Bedrock, "bedrock-converse"),
];

/// All recordings of the dialects that are read, in a fixed order.
pub fn recordings() -> Vec<Recording> {
    let mut found = Vec::new();
    for (dialect, folder) in FOLDERS {
        let folder = data().join("wire").join(folder);
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for meta in files.iter().filter(|file| file.to_string_lossy().ends_with(".meta.json")) {
            let mut meta: Value = serde_json::from_slice(&std::fs::read(meta).unwrap()).unwrap();
            let name = meta["body_file"].as_str().unwrap().to_owned();
            found.push(Recording {
                dialect,
                status: u16::try_from(meta["status"].as_u64().unwrap()).unwrap(),
                content_type: meta["content_type"].as_str().unwrap_or("").to_owned(),
                is_stream: matches!(name.rsplit('.').next(), Some("sse" | "bin")),
                request: meta["request_body"].take(),
                bytes: std::fs::read(folder.join(&name)).unwrap(),
                name,
            });
        }
    }
    assert!(found.len() > 500, "{}", found.len());
    found
}
