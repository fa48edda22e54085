//! What is text in a body of Chat Completions, and in those of its imitators.

use crate::wire::event::Kind;
use crate::wire::segments::{File, Node, Sense, Told, Top, definition, schema, source, unknown};

/// Members of the body.
pub(in crate::wire) fn top(name: &str) -> Top {
    let other = Sense::of(Kind::Other);
    let tools = Sense::of(Kind::ToolDefinition);
    match name {
        "messages" => Top::Each(Node::told(other, &["role"], message)),
        "tools" | "functions" => Top::Each(Node::object(tools, definition)),
        "response_format" => Top::Whole(Node::object(tools, format)),
        "tool_choice" | "function_call" => Top::Whole(Node::object(other, choice)),
        "prediction" => Top::Whole(Node::object(Sense::of(Kind::Document), prediction)),
        "model" | "user" | "safety_identifier" | "prompt_cache_key" | "logit_bias" => {
            Top::Whole(Node::SKIP)
        }
        _ => Top::Whole(unknown(other, name)),
    }
}

fn message(sense: Sense, told: &Told<'_>) -> Node {
    let kind = match told.first() {
        Some("system" | "developer") => Kind::System,
        Some("user") => Kind::User,
        Some("assistant") => Kind::History,
        Some("tool" | "function") => Kind::ToolResult,
        Some(_) | None => Kind::Other,
    };
    Node::object(sense.to(kind), message_member)
}

fn message_member(sense: Sense, name: &str) -> Node {
    let history = sense.to(Kind::History);
    match name {
        "role" => Node::SKIP.once("role"),
        "content" => Node::parts(sense, part),
        "name" if sense.kind == Kind::ToolResult => Node::text(sense.to(Kind::ToolName)),
        "name" => Node::text(sense),
        "tool_name" => Node::text(sense.to(Kind::ToolName)),
        "reasoning" | "reasoning_content" | "refusal" => Node::text(history),
        "thinking" => Node::parts(history, part),
        "reasoning_details" => Node::object(history, reasoning),
        "tool_calls" => Node::object(sense.to(Kind::ToolArguments), call),
        "function_call" => Node::object(sense.to(Kind::ToolArguments), function),
        "audio" => Node::object(history, audio),
        "annotations" => Node::text(sense.to(Kind::Citation)),
        "images" => Node::file(sense.with(File::Sealed)),
        _ => unknown(sense, name),
    }
}

/// A piece of what routers keep of a model's reasoning.
fn reasoning(sense: Sense, name: &str) -> Node {
    match name {
        "text" | "summary" => Node::text(sense),
        "data" => Node::SKIP,
        _ => unknown(sense, name),
    }
}

fn audio(sense: Sense, name: &str) -> Node {
    match name {
        "transcript" => Node::text(sense),
        "data" => Node::file(sense.with(File::Sealed)),
        _ => unknown(sense, name),
    }
}

fn call(sense: Sense, name: &str) -> Node {
    match name {
        "function" | "custom" => Node::object(sense, function),
        _ => unknown(sense, name),
    }
}

fn function(sense: Sense, name: &str) -> Node {
    match name {
        "name" => Node::text(sense.to(Kind::ToolName)),
        "arguments" => Node::free(sense).in_string(),
        "input" => Node::text(sense),
        _ => unknown(sense, name),
    }
}

/// Members of a part of a message. Its type is not asked for: no name means two things.
pub(in crate::wire) fn part(sense: Sense, name: &str) -> Node {
    let other = sense.to(Kind::Other);
    match name {
        "text" => Node::part(sense).once("text"),
        "refusal" => Node::text(sense.to(Kind::History)).apart(),
        "thinking" => Node::parts(sense.to(Kind::History), part),
        "content" => Node::parts(sense, part),
        "image_url" | "video_url" | "audio_url" | "document_url" | "image" | "video" => {
            Node::address(other).apart()
        }
        "input_audio" => Node::object(other, sound).apart(),
        "file" => Node::object(sense.to(Kind::Document), file).apart(),
        "document" => Node::free(sense.to(Kind::Document)).apart(),
        "document_name" => Node::text(sense.to(Kind::Document)),
        "source" => source(sense).apart(),
        "annotations" => Node::text(sense.to(Kind::Citation)),
        _ => unknown(sense, name),
    }
}

fn sound(sense: Sense, name: &str) -> Node {
    match name {
        "data" => Node::file(sense.with(File::Sealed)),
        _ => unknown(sense, name),
    }
}

fn file(sense: Sense, name: &str) -> Node {
    match name {
        "file_data" => Node::file(sense),
        _ => unknown(sense, name),
    }
}

fn choice(sense: Sense, name: &str) -> Node {
    match name {
        "name" => Node::text(sense.to(Kind::ToolName)),
        "function" | "custom" | "allowed_tools" | "tools" => Node::object(sense, choice),
        _ => unknown(sense, name),
    }
}

fn format(sense: Sense, name: &str) -> Node {
    match name {
        "json_schema" => Node::object(sense, format),
        "schema" => schema(),
        _ => unknown(sense, name),
    }
}

fn prediction(sense: Sense, name: &str) -> Node {
    match name {
        "content" => Node::parts(sense, part),
        _ => unknown(sense, name),
    }
}
