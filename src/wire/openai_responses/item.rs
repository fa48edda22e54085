//! Output items as a [`Story`](super::story::Story) tells them, and their JSON.

use super::REASONING_CONTENT;
use crate::wire::event::{Channel, Counts, Kind, ToolFlavour};
use crate::wire::json;

/// An output item.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) block: u16,
    pub(super) body: Body,
    pub(super) status: Status,
}

/// How far an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
}

/// What an item holds.
#[derive(Debug)]
pub(super) enum Body {
    Message(Vec<Part>),
    Reasoning { parts: Vec<Part>, seal: Option<String> },
    Tool { flavour: ToolFlavour, call_id: String, name: String, arguments: String },
}

/// A content part or summary part.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) channel: Channel,
    pub(super) text: String,
    pub(super) is_open: bool,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Status::InProgress => "in_progress",
            Status::Completed => "completed",
            Status::Incomplete => "incomplete",
        }
    }
}

impl Item {
    pub(super) fn parts(&self) -> &[Part] {
        match &self.body {
            Body::Message(parts) | Body::Reasoning { parts, .. } => parts,
            Body::Tool { .. } => &[],
        }
    }

    pub(super) fn parts_mut(&mut self) -> Option<&mut Vec<Part>> {
        match &mut self.body {
            Body::Message(parts) | Body::Reasoning { parts, .. } => Some(parts),
            Body::Tool { .. } => None,
        }
    }

    pub(super) fn is_reasoning_of(&self, block: u16) -> bool {
        self.block == block && matches!(self.body, Body::Reasoning { .. })
    }
}

pub(super) fn is_summary(channel: Channel) -> bool {
    channel.kind == Kind::Reasoning && channel.part < REASONING_CONTENT
}

pub(super) fn tool_stem(item: &Item) -> Option<&'static str> {
    match &item.body {
        Body::Tool { flavour: ToolFlavour::Function, .. } => Some("function_call_arguments"),
        Body::Tool { flavour: ToolFlavour::Custom, .. } => Some("custom_tool_call_input"),
        Body::Tool { flavour: ToolFlavour::Server, .. } => Some("mcp_call_arguments"),
        Body::Message(_) | Body::Reasoning { .. } => None,
    }
}

pub(super) fn arguments_member(flavour: ToolFlavour) -> &'static str {
    match flavour {
        ToolFlavour::Function | ToolFlavour::Server => "arguments",
        ToolFlavour::Custom => "input",
    }
}

/// The code of `response.error` that makes a client do what the provider's own would: try again
/// later, or not at all.
pub(super) fn response_code(code: &str) -> &'static str {
    match code {
        "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" | "429" => {
            "rate_limit_exceeded"
        }
        "insufficient_quota" => "insufficient_quota",
        "context_length_exceeded" => "context_length_exceeded",
        "invalid_request_error" | "invalid_prompt" | "INVALID_ARGUMENT" | "400" => "invalid_prompt",
        _ => "server_error",
    }
}

pub(super) fn push_member(data: &mut Vec<u8>, key: &str, text: &str) {
    data.extend_from_slice(b",\"");
    data.extend_from_slice(key.as_bytes());
    data.extend_from_slice(b"\":");
    json::push_string(data, text);
}

pub(super) fn push_number(data: &mut Vec<u8>, key: &str, number: u64) {
    data.extend_from_slice(format!(",\"{key}\":{number}").as_bytes());
}

pub(super) fn push_error(data: &mut Vec<u8>, code: &str, message: &str) {
    data.extend_from_slice(b"{\"message\":");
    json::push_string(data, message);
    push_member(data, "type", if code.is_empty() { "server_error" } else { code });
    data.extend_from_slice(b",\"param\":null");
    push_member(data, "code", code);
    data.push(b'}');
}

pub(super) fn push_usage(data: &mut Vec<u8>, counts: &Counts) {
    let (input, output) = (counts.input.unwrap_or(0), counts.output.unwrap_or(0));
    let cached = counts.cache_read.unwrap_or(0);
    let written = counts.cache_write.unwrap_or(0);
    let reasoning = counts.reasoning.unwrap_or(0);
    let total = input.saturating_add(output);
    data.extend_from_slice(
        format!(
            "{{\"input_tokens\":{input},\"input_tokens_details\":{{\"cached_tokens\":{cached},\
             \"cache_write_tokens\":{written}}},\"output_tokens\":{output},\
             \"output_tokens_details\":{{\"reasoning_tokens\":{reasoning}}},\
             \"total_tokens\":{total}}}"
        )
        .as_bytes(),
    );
}

pub(super) fn push_item(data: &mut Vec<u8>, item: &Item) {
    let is_added = item.status == Status::InProgress;
    data.extend_from_slice(b"{\"id\":");
    json::push_string(data, &item.id);
    match &item.body {
        Body::Message(parts) => {
            push_member(data, "type", "message");
            push_member(data, "status", item.status.name());
            push_member(data, "role", "assistant");
            push_parts(data, "content", parts, |_| true);
        }
        Body::Reasoning { parts, seal } => {
            push_member(data, "type", "reasoning");
            push_parts(data, "summary", parts, |part| is_summary(part.channel));
            if parts.iter().any(|part| !is_summary(part.channel)) {
                push_parts(data, "content", parts, |part| !is_summary(part.channel));
            }
            if let Some(seal) = seal {
                push_member(data, "encrypted_content", seal);
            }
        }
        Body::Tool { flavour, call_id, name, arguments } => {
            let kind = match flavour {
                ToolFlavour::Function => "function_call",
                ToolFlavour::Custom => "custom_tool_call",
                // The provider runs it: the one kind of item that no client runs itself.
                ToolFlavour::Server => "mcp_call",
            };
            push_member(data, "type", kind);
            push_member(data, "status", item.status.name());
            if *flavour == ToolFlavour::Server {
                push_member(data, "server_label", "provider");
                data.extend_from_slice(b",\"error\":null,\"output\":null");
            } else {
                push_member(data, "call_id", call_id);
            }
            push_member(data, "name", name);
            let so_far = if is_added { "" } else { &**arguments };
            push_member(data, arguments_member(*flavour), so_far);
        }
    }
    data.push(b'}');
}

pub(super) fn push_parts(
    data: &mut Vec<u8>,
    name: &str,
    parts: &[Part],
    is_meant: impl Fn(&Part) -> bool,
) {
    data.extend_from_slice(format!(",\"{name}\":[").as_bytes());
    for (number, part) in parts.iter().filter(|part| is_meant(part)).enumerate() {
        if number > 0 {
            data.push(b',');
        }
        push_part(data, part.channel, &part.text);
    }
    data.push(b']');
}

pub(super) fn push_part(data: &mut Vec<u8>, channel: Channel, text: &str) {
    let (kind, member, rest) = match channel.kind {
        Kind::Refusal => ("refusal", "refusal", ""),
        Kind::Reasoning if is_summary(channel) => ("summary_text", "text", ""),
        Kind::Reasoning => ("reasoning_text", "text", ""),
        Kind::Answer
        | Kind::System
        | Kind::User
        | Kind::History
        | Kind::Document
        | Kind::ToolResult
        | Kind::ToolDefinition
        | Kind::ToolName
        | Kind::ToolArguments
        | Kind::Citation
        | Kind::Other => ("output_text", "text", ",\"annotations\":[],\"logprobs\":[]"),
    };
    data.extend_from_slice(b"{\"type\":");
    json::push_string(data, kind);
    push_member(data, member, text);
    data.extend_from_slice(rest.as_bytes());
    data.push(b'}');
}
