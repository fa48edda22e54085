//! Every string of a frame, with the place at which an SDK would add it to what it has.

use super::frames::Frame;
use serde_json::Value;

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Member(String),
    At(usize),
}

/// One string.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// How to get there.
    pub path: Vec<Step>,
    /// The string.
    pub text: String,
    /// Its kind of place: the frame's type, and the path without numbers.
    pub class: String,
    /// The same with what tells one choice, block or item from another.
    pub key: String,
    /// The same with the positions in lists as well.
    pub exact: String,
}

/// The strings of a frame; those of a list of bytes count as one.
pub fn leaves(frame: &Frame) -> Vec<Leaf> {
    let Some(value) = frame.json() else { return Vec::new() };
    let sort = value["type"].as_str().unwrap_or(&frame.event).to_owned();
    let mut ids = String::new();
    for name in ["index", "output_index", "content_index", "summary_index", "contentBlockIndex"] {
        if let Some(number) = value[name].as_u64() {
            ids.push_str(&format!("#{name}{number}"));
        }
    }
    let mut found = Vec::new();
    let at = Leaf {
        path: Vec::new(),
        text: String::new(),
        class: sort.clone(),
        key: format!("{sort}{ids}"),
        exact: format!("{sort}{ids}"),
    };
    walk(&value, &at, &mut found);
    found
}

/// Whether a place is one in which a Responses answer repeats the request: what stands there is the
/// caller's own.
pub fn is_repeated(path: &[Step]) -> bool {
    let mut names = path.iter().map_while(|step| match step {
        Step::Member(name) => Some(name.as_str()),
        Step::At(_) => None,
    });
    let mut first = names.next();
    if first == Some("response") {
        first = names.next();
    }
    matches!(
        first,
        Some(
            "conversation"
                | "include"
                | "instructions"
                | "metadata"
                | "prompt"
                | "prompt_cache_key"
                | "prompt_cache_retention"
                | "reasoning"
                | "safety_identifier"
                | "tool_choice"
                | "tools"
                | "truncation"
                | "user"
        )
    ) || first == Some("text") && path.len() > 1
}

/// Names of members, at any depth.
pub fn names(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                out.push(name.clone());
                names(value, out);
            }
        }
        Value::Array(all) => all.iter().for_each(|value| names(value, out)),
        _ => {}
    }
}

fn walk(value: &Value, at: &Leaf, out: &mut Vec<Leaf>) {
    match value {
        Value::String(text) => out.push(Leaf { text: text.clone(), ..at.clone() }),
        Value::Array(all) if is_bytes(all) => {
            let bytes: Vec<u8> =
                all.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect();
            out.push(Leaf { text: String::from_utf8_lossy(&bytes).into_owned(), ..at.clone() });
        }
        Value::Array(all) => {
            for (position, value) in all.iter().enumerate() {
                let mut next = at.clone();
                next.path.push(Step::At(position));
                next.class.push_str("[]");
                // Some SDKs go by `index`, which a list need not follow.
                let index = value["index"].as_u64();
                next.key.push_str(&index.map_or("[]".to_owned(), |index| format!("[{index}]")));
                let place = index.unwrap_or(position as u64);
                next.exact.push_str(&format!("[{place}]"));
                if value["thought"] == true {
                    next.class.push_str("!thought");
                    next.key.push_str("!thought");
                    next.exact.push_str("!thought");
                }
                walk(value, &next, out);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                let mut next = at.clone();
                next.path.push(Step::Member(name.clone()));
                for text in [&mut next.class, &mut next.key, &mut next.exact] {
                    text.push('.');
                    text.push_str(name);
                }
                walk(value, &next, out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_bytes(all: &[Value]) -> bool {
    !all.is_empty() && all.iter().all(|value| value.as_u64().is_some_and(|byte| byte < 256))
}

/// The value at `path`.
pub fn at_mut<'v>(value: &'v mut Value, path: &[Step]) -> &'v mut Value {
    path.iter().fold(value, |value, step| match step {
        Step::Member(name) => &mut value[name.as_str()],
        Step::At(position) => &mut value[*position],
    })
}

/// Places of ids, names of things and states: no text that a model writes stands there.
pub fn is_structure(class: &str) -> bool {
    let last = class.rsplit('.').next().unwrap_or_default().trim_end_matches("[]");
    matches!(
        last,
        "type"
            | "id"
            | "model"
            | "object"
            | "role"
            | "status"
            | "finish_reason"
            | "p"
            | "finishReason"
            | "native_finish_reason"
            | "stop_reason"
            | "stopReason"
            | "severity"
            | "obfuscation"
            | "system_fingerprint"
            | "service_tier"
            | "serviceTier"
            | "signature"
            | "thoughtSignature"
            | "thought_signature"
            | "encrypted_content"
            | "encrypted_index"
            | "format"
            | "data"
            | "modality"
            | "modelVersion"
            | "responseId"
            | "trafficType"
            | "createTime"
            | "code"
            | "jsonPath"
            | "channel"
            | "redactedContent"
            | "expires_at"
            | "effort"
            | "mode"
            | "truncation"
            | "tool_choice"
            | "verbosity"
            | "phase"
            | "execution"
            | "language"
            | "outcome"
            | "media_type"
            | "page_age"
            | "inference_geo"
            | "speed"
            | "provider"
    ) || last.ends_with("_id")
        || last.ends_with("Id")
        || class.contains("category_applied_input_types")
        || class.contains(".usage")
        || class.contains("prompt_filter_results")
        || class.contains(".bytes")
}
