//! Bodies that nobody sent: of names that mean something, in shapes that mean nothing, written as
//! JSON may be written.

use super::json;
use proptest::prelude::*;
use serde_json::Value;
use std::fmt::Write as _;

/// JSON as it may be written: some characters escaped that need not be.
pub(super) fn write(value: &Value, escapes: &mut dyn FnMut() -> bool, out: &mut String) {
    let mut string = |text: &str, out: &mut String| {
        out.push('"');
        for letter in text.chars() {
            if escapes() {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            } else {
                let mut plain = Vec::new();
                json::push_escaped(&mut plain, letter.encode_utf8(&mut [0; 4]));
                out.push_str(std::str::from_utf8(&plain).unwrap());
            }
        }
        out.push('"');
    };
    match value {
        Value::String(text) => string(text, out),
        Value::Array(list) => {
            out.push_str("[ ");
            for (at, item) in list.iter().enumerate() {
                out.push_str(if at > 0 { " ," } else { "" });
                write(item, escapes, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (name, item)) in members.iter().enumerate() {
                out.push_str(if at > 0 { ",\n" } else { "" });
                write(&Value::String(name.clone()), escapes, out);
                out.push_str(" :\t");
                write(item, escapes, out);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

/// Names that mean something in some dialect.
const NAMES: &[&str] = &[
    "messages",
    "input",
    "contents",
    "content",
    "parts",
    "system",
    "instructions",
    "tools",
    "text",
    "name",
    "description",
    "parameters",
    "properties",
    "function",
    "functions",
    "arguments",
    "tool_calls",
    "function_call",
    "output",
    "summary",
    "results",
    "action",
    "systemInstruction",
    "functionCall",
    "args",
    "functionResponse",
    "response",
    "inlineData",
    "fileData",
    "fileUri",
    "toolUse",
    "toolResult",
    "json",
    "document",
    "source",
    "image",
    "image_url",
    "url",
    "toolConfig",
    "toolSpec",
    "inputSchema",
    "input_schema",
    "guardContent",
    "citationsContent",
    "citations",
    "thinking",
    "reasoningContent",
    "reasoningText",
    "title",
    "context",
    "file",
    "file_data",
    "filename",
    "cache_control",
    "annotations",
    "prompt",
    "documents",
    "metadata",
    "stop",
    "enum",
    "response_format",
    "json_schema",
    "schema",
    "variables",
    "new_member",
    "über",
    "type",
    "role",
    "data",
    "media_type",
    "mimeType",
    "format",
    "id",
    "headers",
];

const WORDS: &[&str] = &[
    "user",
    "assistant",
    "system",
    "tool",
    "model",
    "text",
    "image",
    "document",
    "search_result",
    "tool_use",
    "tool_result",
    "base64",
    "content",
    "function_call",
    "function_call_output",
    "reasoning",
    "message",
    "file_search_call",
    "text/plain",
    "image/png",
    "application/pdf",
    "txt",
];

/// JSON whose leaves are `#` or words, and whose names are mostly known ones.
pub(super) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => Just(Value::String("#".into())),
        1 => Just(Value::Null),
        1 => any::<i32>().prop_map(Value::from),
    ];
    leaf.prop_recursive(7, 60, 6, |inner| {
        let word = prop::sample::select(WORDS).prop_map(|word| Value::String(word.into()));
        let member =
            (prop::sample::select(NAMES), inner.clone(), word).prop_map(|(name, value, word)| {
                match name {
                    "type" | "role" | "media_type" | "mimeType" | "format" => {
                        (name.to_owned(), word)
                    }
                    _ => (name.to_owned(), value),
                }
            });
        prop_oneof![
            1 => prop::collection::vec(inner, 0..5).prop_map(Value::from),
            3 => prop::collection::vec(member, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

pub(super) fn any_body() -> impl Strategy<Value = Value> {
    prop::collection::vec((prop::sample::select(NAMES), any_value()), 0..5).prop_map(|members| {
        Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    })
}

/// Puts texts of their own in the places of `#`.
pub(super) fn plant(value: &mut Value, count: &mut usize) {
    match value {
        Value::String(text) if text == "#" => {
            *text = format!("planted\n\"{count}\" 🎉");
            *count += 1;
        }
        Value::Array(list) => list.iter_mut().for_each(|item| plant(item, count)),
        Value::Object(members) => members.values_mut().for_each(|item| plant(item, count)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
