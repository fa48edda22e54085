//! What is text in a body of Anthropic Messages.

use crate::wire::event::Kind;
use crate::wire::segments::{self, Node, Sense, Told, Top, definition, schema, unknown};

/// Members of the body.
pub(in crate::wire) fn top(name: &str) -> Top {
    let other = Sense::of(Kind::Other);
    let tools = Sense::of(Kind::ToolDefinition);
    match name {
        "system" => Top::Whole(blocks(Sense::of(Kind::System))),
        "messages" => Top::Each(Node::told(other, &["role"], message)),
        "tools" | "mcp_servers" => Top::Each(Node::object(tools, definition)),
        "tool_choice" => Top::Whole(Node::object(other, choice)),
        "output_config" | "output_format" => Top::Whole(Node::object(tools, format)),
        // Of the API before Messages.
        "prompt" => Top::Whole(Node::text(Sense::of(Kind::User))),
        "model" | "anthropic_version" | "container" => Top::Whole(Node::SKIP),
        _ => Top::Whole(unknown(other, name)),
    }
}

fn message(sense: Sense, told: &Told<'_>) -> Node {
    let kind = match told.first() {
        Some("system") => Kind::System,
        Some("user") => Kind::User,
        Some("assistant") => Kind::History,
        Some(_) | None => Kind::Other,
    };
    Node::object(sense.to(kind), message_member)
}

fn message_member(sense: Sense, name: &str) -> Node {
    match name {
        "role" => Node::SKIP.once("role"),
        "content" => blocks(sense),
        _ => unknown(sense, name),
    }
}

/// A text, or a list of blocks.
const fn blocks(sense: Sense) -> Node {
    Node::told(sense, &["type"], block).apart()
}

fn block(sense: Sense, told: &Told<'_>) -> Node {
    let Some(sense) = sense.deeper() else { return Node::free(sense) };
    let (kind, members): (Kind, fn(Sense, &str) -> Node) = match told.first() {
        Some("image") => (Kind::Other, file),
        Some("document" | "search_result" | "web_search_result") => (Kind::Document, file),
        Some("tool_use" | "server_tool_use" | "mcp_tool_use") => (Kind::ToolArguments, call),
        Some("thinking" | "redacted_thinking") => (Kind::History, thinking),
        Some(kind) if kind.ends_with("tool_result") => (Kind::ToolResult, any),
        // Text, and what we do not know: it must not hide that texts around it are neighbours.
        Some(_) | None => return Node::object(sense, any),
    };
    Node::object(sense.to(kind), members).apart()
}

/// Members of text, of results of tools, and of blocks that we do not know.
fn any(sense: Sense, name: &str) -> Node {
    match name {
        "type" => Node::SKIP.once("type"),
        "text" => Node::part(sense).once("text"),
        "content" => blocks(sense),
        "citations" => Node::text(sense.to(Kind::Citation)),
        "source" => Node::told(sense.to(Kind::Document), &["type", "media_type"], source).apart(),
        _ => unknown(sense, name),
    }
}

/// A picture, a document, or what a search found.
fn file(sense: Sense, name: &str) -> Node {
    match name {
        // Of a document it says whether they are wanted.
        "citations" => Node::text(sense.to(Kind::Other)),
        _ => any(sense, name),
    }
}

fn source(sense: Sense, told: &Told<'_>) -> Node {
    match told.first() {
        Some("content") => Node::object(sense, any),
        Some(_) | None => segments::source_of(sense, told),
    }
}

fn call(sense: Sense, name: &str) -> Node {
    match name {
        "type" => Node::SKIP.once("type"),
        "name" => Node::text(sense.to(Kind::ToolName)),
        "input" => Node::free(sense),
        "server_name" => Node::text(sense.to(Kind::Other)),
        _ => unknown(sense, name),
    }
}

fn thinking(sense: Sense, name: &str) -> Node {
    match name {
        "type" => Node::SKIP.once("type"),
        "thinking" => Node::signed(sense),
        // Encrypted.
        "data" => Node::SKIP,
        _ => unknown(sense, name),
    }
}

fn choice(sense: Sense, name: &str) -> Node {
    match name {
        "name" => Node::text(sense.to(Kind::ToolName)),
        _ => unknown(sense, name),
    }
}

fn format(sense: Sense, name: &str) -> Node {
    match name {
        "format" => Node::object(sense, format),
        "schema" => schema(),
        _ => unknown(sense, name),
    }
}
