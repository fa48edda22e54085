//! What an event says that no other dialect has a place for.

use crate::wire::Dialect;
use crate::wire::event::{Block, Event, Kind, Place, ToolFlavour};
use crate::wire::loss::Loss;

/// What is lost of `event`, which came from `source`, in every other dialect.
pub(super) fn loss(source: Dialect, event: &Event<'_>) -> Option<Loss> {
    match event {
        Event::Open { channel, block } => block_loss(channel.kind, block),
        Event::Text { channel, .. } | Event::Repeat { channel, .. } => match channel.kind {
            Kind::Citation => Some(Loss::AnswerCitations),
            Kind::System
            | Kind::User
            | Kind::History
            | Kind::Document
            | Kind::ToolResult
            | Kind::ToolDefinition
            | Kind::Answer
            | Kind::Reasoning
            | Kind::Refusal
            | Kind::ToolName
            | Kind::ToolArguments
            | Kind::Other => None,
        },
        Event::Signature { .. } => Some(Loss::AnswerSignatures),
        // A frame's skeleton is no member: other events say what is in it.
        Event::Extra { place: Place::Message, .. } if source == Dialect::OpenaiResponses => None,
        Event::Extra { key, json, .. } => member_loss(key, json),
        Event::Opaque { name, .. } => match &**name {
            // Blocks, of which their opening has said it.
            name if name.ends_with("_tool_result") => None,
            "redacted_thinking" | "compaction" => None,
            "response.image_generation_call.partial_image" => Some(Loss::AnswerImages),
            _ => Some(Loss::AnswerUnread),
        },
        Event::Start { .. }
        | Event::Close { .. }
        | Event::Stop { .. }
        | Event::Usage { .. }
        | Event::Error { .. }
        | Event::Ping
        | Event::End => None,
    }
}

fn block_loss(kind: Kind, block: &Block<'_>) -> Option<Loss> {
    match block {
        Block::Text
        | Block::Reasoning
        | Block::Refusal
        | Block::Tool { flavour: ToolFlavour::Function | ToolFlavour::Custom, .. } => None,
        Block::Tool { flavour: ToolFlavour::Server, .. } => Some(Loss::AnswerHostedTools),
        Block::Other(name) => Some(match &**name {
            "image_generation_call" | "inlineData" | "fileData" => Loss::AnswerImages,
            "redacted_thinking" => Loss::AnswerSignatures,
            name if kind == Kind::ToolArguments
                || kind == Kind::ToolResult
                || name.starts_with("mcp_")
                || name.ends_with("_call_output")
                || name.ends_with("_search_output") =>
            {
                Loss::AnswerHostedTools
            }
            _ => Loss::AnswerBlocks,
        }),
    }
}

/// What is lost with a member. Padding, and what an answer repeats of itself, is no loss.
fn member_loss(key: &str, json: &str) -> Option<Loss> {
    if matches!(json, "null" | "[]" | "{}" | "\"\"") {
        return None;
    }
    match key {
        "id" | "object" | "created" | "createTime" | "model" | "modelVersion" | "responseId"
        | "role" | "type" | "function" | "name" | "obfuscation" | "padding" | "p" | "index"
        // Structured members: their texts are events.
        | "content" | "reasoning" | "reasoning_content" | "functionCall.willContinue"
        | "functionCall.partialArgs" | "thought" => None,
        "logprobs" | "logprobsResult" | "avgLogprobs" | "prompt_logprobs" => {
            Some(Loss::AnswerLogprobs)
        }
        "citation" | "citations" | "annotations" | "search_results" | "groundingMetadata"
        | "citationMetadata" | "urlContextMetadata" => Some(Loss::AnswerCitations),
        "audio" => Some(Loss::AnswerAudio),
        "images" | "inlineData" | "fileData" => Some(Loss::AnswerImages),
        "executed_tools" | "executableCode" | "codeExecutionResult" | "toolCall"
        | "toolResponse" => Some(Loss::AnswerHostedTools),
        "thought_signature" | "extra_content" | "reasoning_encrypted" | "reasoning_details" => {
            Some(Loss::AnswerSignatures)
        }
        _ => Some(Loss::AnswerMembers),
    }
}
