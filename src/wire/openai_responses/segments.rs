//! What is text in a body of Responses.

use crate::wire::event::Kind;
use crate::wire::segments::{File, Node, Sense, Told, Top, definition, schema, unknown};

/// Members of the body.
pub(in crate::wire) fn top(name: &str) -> Top {
    let other = Sense::of(Kind::Other);
    let tools = Sense::of(Kind::ToolDefinition);
    match name {
        "instructions" => Top::Whole(Node::parts(Sense::of(Kind::System), part)),
        // Where it is one text, it is the user's.
        "input" => Top::Each(Node::told(Sense::of(Kind::User), &["type", "role"], item)),
        "tools" => Top::Each(Node::object(tools, definition)),
        "text" => Top::Whole(Node::object(other, text)),
        "tool_choice" => Top::Whole(Node::object(other, choice)),
        "prompt" => Top::Whole(Node::object(Sense::of(Kind::User), template)),
        "model" | "user" | "safety_identifier" | "prompt_cache_key" | "conversation" => {
            Top::Whole(Node::SKIP)
        }
        _ => Top::Whole(unknown(other, name)),
    }
}

fn item(sense: Sense, told: &Told<'_>) -> Node {
    let kind = match (told.first().unwrap_or("message"), told.second()) {
        ("message", Some("system" | "developer")) => Kind::System,
        ("message", Some("user")) | ("mcp_approval_response", _) => Kind::User,
        ("message", Some("assistant")) | ("reasoning", _) => Kind::History,
        ("image_generation_call", _) => {
            return Node::object(sense.to(Kind::History), picture);
        }
        ("mcp_list_tools" | "tool_search_output" | "additional_tools", _) => Kind::ToolDefinition,
        ("mcp_approval_request", _) => Kind::ToolArguments,
        (kind, _) if kind.ends_with("_output") => Kind::ToolResult,
        (kind, _) if kind.ends_with("_call") => Kind::ToolArguments,
        (_, _) => Kind::Other,
    };
    Node::object(sense.to(kind), item_member)
}

fn item_member(sense: Sense, name: &str) -> Node {
    let arguments = sense.to(Kind::ToolArguments);
    let result = sense.to(Kind::ToolResult);
    match name {
        "type" => Node::SKIP.once("type"),
        "role" => Node::SKIP.once("role"),
        "content" => Node::parts(sense, part),
        "summary" => Node::parts(sense.to(Kind::History), part),
        "name" => Node::text(sense.to(Kind::ToolName)),
        "arguments" => Node::free(arguments).in_string(),
        "input" | "code" => Node::text(arguments),
        "action" | "operation" | "queries" => Node::free(arguments),
        "output" | "outputs" => Node::parts(result, part),
        "error" => Node::text(result),
        "results" => Node::object(sense.to(Kind::Document), found),
        "tools" => Node::object(sense.to(Kind::ToolDefinition), definition),
        "reason" => Node::text(sense),
        _ => unknown(sense, name),
    }
}

/// A picture that the model made.
fn picture(sense: Sense, name: &str) -> Node {
    match name {
        "result" => Node::file(sense.with(File::Sealed)),
        "revised_prompt" => Node::text(sense),
        _ => item_member(sense, name),
    }
}

/// What a search of files found.
fn found(sense: Sense, name: &str) -> Node {
    match name {
        "attributes" => Node::free(sense),
        _ => unknown(sense, name),
    }
}

/// Members of a part of a message, or of what a tool gave back.
fn part(sense: Sense, name: &str) -> Node {
    let document = sense.to(Kind::Document);
    match name {
        "text" => Node::part(sense).once("text"),
        "refusal" => Node::text(sense.to(Kind::History)).apart(),
        "image_url" | "file_url" => Node::address(sense.to(Kind::Other)).apart(),
        "file_data" => Node::file(document).apart(),
        "filename" => Node::text(document).apart(),
        "input_audio" => Node::object(sense.to(Kind::Other), sound).apart(),
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

/// The form of the answer.
fn text(sense: Sense, name: &str) -> Node {
    match name {
        "format" => Node::object(sense.to(Kind::ToolDefinition), format),
        _ => unknown(sense, name),
    }
}

fn format(sense: Sense, name: &str) -> Node {
    match name {
        "schema" => schema(),
        _ => unknown(sense, name),
    }
}

fn choice(sense: Sense, name: &str) -> Node {
    match name {
        "name" => Node::text(sense.to(Kind::ToolName)),
        "tools" => Node::object(sense, choice),
        _ => unknown(sense, name),
    }
}

/// A prompt that the provider keeps, and what is put into it.
fn template(sense: Sense, name: &str) -> Node {
    match name {
        "variables" => Node::object(sense, variable),
        _ => unknown(sense, name),
    }
}

fn variable(sense: Sense, _: &str) -> Node {
    Node::parts(sense, part)
}
