//! How an answer that a rule ended must end, by the dialect of the caller.

use super::frames::{Framing, parse};
use crate::support::Answer;
use firedoor::wire::Dialect;
use serde_json::Value;

/// Whether a rule ended the answer.
pub fn is_cut(answer: &Answer) -> bool {
    let body = String::from_utf8_lossy(&answer.body);
    body.contains("firedoor_blocked")
        || body.contains("(ref rule:")
        || body.contains("a rule forbids")
}

/// What is wrong with the end of an answer that a rule ended.
pub fn wrong_cut(dialect: Dialect, framing: Option<Framing>, answer: &Answer) -> Option<String> {
    let wrong = |what: &str| Some(format!("{what}: {} {}", answer.status(), tail(answer)));
    if answer.status() != 200 || framing.is_none() {
        if answer.status() != 400 {
            return wrong("a whole refusal is a 400");
        }
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
            return wrong("a refusal is JSON");
        };
        let is_right = match dialect {
            Dialect::OpenaiChat | Dialect::OpenaiResponses => {
                body["error"]["code"] == "firedoor_blocked"
            }
            Dialect::Anthropic => body["error"]["type"] == "invalid_request_error",
            Dialect::Gemini => body["error"]["status"] == "FAILED_PRECONDITION",
            Dialect::Bedrock => body["message"].is_string(),
        };
        return if is_right { None } else { wrong("not the refusal of the dialect") };
    }
    let frames = parse(framing?, &answer.body);
    let last = |back: usize| frames.len().checked_sub(back).and_then(|at| frames.get(at));
    let (Some(end), before) = (last(1), last(2)) else { return wrong("no ending") };
    let value = end.json().unwrap_or_default();
    let before = before.and_then(super::frames::Frame::json).unwrap_or_default();
    let is_right = match dialect {
        Dialect::OpenaiChat => {
            end.data == "[DONE]" && before["error"]["code"] == "firedoor_blocked"
        }
        Dialect::OpenaiResponses => {
            let next = before["sequence_number"].as_u64().map(|number| number + 1);
            end.event == "error"
                && value["code"] == "firedoor_blocked"
                && before["type"] == "response.failed"
                && value["sequence_number"].as_u64() == next
        }
        Dialect::Anthropic => end.event == "error" && value["error"]["type"] == "permission_error",
        Dialect::Gemini => value["error"]["status"] == "PERMISSION_DENIED",
        Dialect::Bedrock => end.event == "validationException" && value["message"].is_string(),
    };
    if is_right { None } else { wrong("not the ending of the dialect") }
}

/// The end of a body, to be shown.
pub fn tail(answer: &Answer) -> String {
    let text = answer.text();
    let from = text.char_indices().rev().nth(300).map_or(0, |(at, _)| at);
    text[from..].escape_debug().to_string()
}
