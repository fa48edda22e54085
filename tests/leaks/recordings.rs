//! The recorded traffic of the five dialects.

use super::frames::{Frame, Framing, parse};
use firedoor::wire::Dialect;
use serde_json::Value;
use std::path::Path;

/// One recorded answer, or one recorded request.
pub struct Recording {
    pub name: String,
    pub dialect: Dialect,
    pub status: u16,
    pub request: Value,
    pub bytes: Vec<u8>,
    pub is_stream: bool,
}

/// Recordings that are larger take too long in a build without optimisation.
const BYTES_MAX: usize = 96 << 10;

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

/// All of them, in a fixed order.
pub fn all() -> Vec<Recording> {
    let mut found = Vec::new();
    for (dialect, folder) in FOLDERS {
        let folder = crate::support::data().join("wire").join(folder);
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for meta in files.iter().filter(|file| file.to_string_lossy().ends_with(".meta.json")) {
            found.extend(read(dialect, &folder, meta));
        }
    }
    assert!(found.len() > 500, "{}", found.len());
    found
}

fn read(dialect: Dialect, folder: &Path, meta: &Path) -> Option<Recording> {
    let meta: Value = serde_json::from_slice(&std::fs::read(meta).unwrap()).unwrap();
    let name = meta["body_file"].as_str().unwrap().to_owned();
    let bytes = std::fs::read(folder.join(&name)).unwrap();
    let ending = name.rsplit('.').next().unwrap_or_default();
    let is_stream = matches!(ending, "sse" | "bin");
    let recording = Recording {
        dialect,
        status: meta["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap(),
        request: meta["request_body"].clone(),
        is_stream,
        name,
        bytes,
    };
    let is_of_dialect = recording.frames().iter().any(|frame| {
        // A recording of Chat lies among those of Responses.
        let chat = frame.data.contains("\"chat.completion");
        // Two answers in one, put together by hand.
        let is_spliced = recording.name.contains("spliced-message-start");
        frame.json().is_some() && !is_spliced && !(chat && dialect == Dialect::OpenaiResponses)
    });
    (recording.bytes.len() <= BYTES_MAX && is_of_dialect).then_some(recording)
}

pub fn framing(dialect: Dialect) -> Framing {
    if dialect == Dialect::Bedrock { Framing::Messages } else { Framing::Sse }
}

impl Recording {
    /// Its frames; a whole answer is one.
    pub fn frames(&self) -> Vec<Frame> {
        if self.is_stream {
            return parse(framing(self.dialect), &self.bytes);
        }
        vec![Frame::new(Framing::Array, "", String::from_utf8_lossy(&self.bytes).into_owned())]
    }
}
