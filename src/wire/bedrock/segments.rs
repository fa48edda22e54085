//! What is text in a `Converse` body.

use crate::wire::event::Kind;
use crate::wire::segments::{File, Node, Sense, Told, Top, definition, schema, unknown};

/// Members of the body.
pub(in crate::wire) fn top(name: &str) -> Top {
    let other = Sense::of(Kind::Other);
    let tools = Sense::of(Kind::ToolDefinition);
    match name {
        "system" => Top::Whole(Node::parts(Sense::of(Kind::System), block)),
        "messages" => Top::Each(Node::told(other, &["role"], message)),
        "toolConfig" => Top::Whole(Node::object(tools, tool_config)),
        "outputConfig" => Top::Whole(Node::object(tools, output)),
        "promptVariables" => Top::Whole(Node::object(Sense::of(Kind::User), variable)),
        "guardrailConfig" => Top::Whole(Node::object(other, guardrail)),
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
        "content" => Node::parts(sense, block),
        _ => unknown(sense, name),
    }
}

/// A block has one member, and its name says what it is.
fn block(sense: Sense, name: &str) -> Node {
    let document = sense.to(Kind::Document);
    match name {
        "text" => Node::part(sense).once("text"),
        "cachePoint" => Node::SKIP,
        "guardContent" => Node::object(sense, guarded),
        "image" | "video" | "audio" => {
            Node::object(sense.to(Kind::Other).with(File::Sealed), media).apart()
        }
        "document" => Node::told(document, &["format"], told).apart(),
        "searchResult" => Node::object(document, found).apart(),
        "toolUse" => Node::object(sense.to(Kind::ToolArguments), call).apart(),
        "toolResult" => Node::object(sense.to(Kind::ToolResult), result).apart(),
        "reasoningContent" => Node::object(sense.to(Kind::History), reasoning).apart(),
        "citationsContent" => Node::object(sense, cited),
        "json" => Node::free(sense).apart(),
        _ => unknown(sense, name),
    }
}

/// Text that a guardrail is pointed at.
fn guarded(sense: Sense, name: &str) -> Node {
    match name {
        "text" => Node::part_in(sense, guarded),
        "image" => Node::object(sense.to(Kind::Other).with(File::Sealed), media).apart(),
        _ => unknown(sense, name),
    }
}

fn told(sense: Sense, told: &Told<'_>) -> Node {
    let kind = match told.first() {
        Some("pdf" | "doc" | "docx" | "xls" | "xlsx") => File::Sealed,
        Some("txt" | "md" | "csv" | "html") => File::Text,
        Some(_) | None => File::Unsaid,
    };
    Node::object(sense.with(kind), media)
}

fn media(sense: Sense, name: &str) -> Node {
    match name {
        "format" => Node::SKIP.once("format"),
        "source" => Node::object(sense, source),
        _ => unknown(sense, name),
    }
}

fn source(sense: Sense, name: &str) -> Node {
    match name {
        "bytes" => Node::file(sense),
        "text" => Node::text(sense),
        "content" => Node::parts(sense, block),
        _ => unknown(sense, name),
    }
}

fn found(sense: Sense, name: &str) -> Node {
    match name {
        "content" => Node::parts(sense, block),
        _ => unknown(sense, name),
    }
}

fn call(sense: Sense, name: &str) -> Node {
    match name {
        "name" => Node::text(sense.to(Kind::ToolName)),
        "input" => Node::free(sense),
        _ => unknown(sense, name),
    }
}

fn result(sense: Sense, name: &str) -> Node {
    match name {
        "content" => Node::parts(sense, block),
        _ => unknown(sense, name),
    }
}

fn reasoning(sense: Sense, name: &str) -> Node {
    match name {
        "reasoningText" => Node::object(sense, reasoning),
        "text" => Node::signed(sense),
        // Encrypted.
        "redactedContent" => Node::SKIP,
        _ => unknown(sense, name),
    }
}

fn cited(sense: Sense, name: &str) -> Node {
    match name {
        "content" => Node::parts(sense, block),
        "citations" => Node::text(sense.to(Kind::Citation)),
        _ => unknown(sense, name),
    }
}

fn tool_config(sense: Sense, name: &str) -> Node {
    match name {
        "tools" => Node::object(sense, definition),
        "toolChoice" => Node::object(sense.to(Kind::Other), choice),
        _ => unknown(sense, name),
    }
}

fn choice(sense: Sense, name: &str) -> Node {
    match name {
        "tool" => Node::object(sense, choice),
        "name" => Node::text(sense.to(Kind::ToolName)),
        _ => unknown(sense, name),
    }
}

/// The form of the answer; the schema stands in it as text.
fn output(sense: Sense, name: &str) -> Node {
    match name {
        "textFormat" | "structure" | "jsonSchema" => Node::object(sense, output),
        "schema" => schema().in_string(),
        _ => unknown(sense, name),
    }
}

fn variable(sense: Sense, _: &str) -> Node {
    Node::object(sense, block)
}

fn guardrail(sense: Sense, name: &str) -> Node {
    match name {
        "guardrailIdentifier" | "guardrailVersion" => Node::SKIP,
        _ => unknown(sense, name),
    }
}
