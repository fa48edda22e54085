//! What is text in a `generateContent` body. Google reads every name in two spellings.

use crate::wire::event::Kind;
use crate::wire::segments::{File, Node, Sense, Told, Top, definition, schema, unknown};

/// Members of the body.
pub(in crate::wire) fn top(name: &str) -> Top {
    match name {
        "contents" | "tools" | "requests" => Top::Each(member(Sense::of(Kind::Other), name)),
        _ => Top::Whole(member(Sense::of(Kind::Other), name)),
    }
}

/// The same, also of a request that stands in another one: to count its tokens, or of a batch.
fn member(other: Sense, name: &str) -> Node {
    let tools = other.to(Kind::ToolDefinition);
    match name {
        "contents" | "content" => content(other),
        "systemInstruction" | "system_instruction" => {
            Node::parts(other.to(Kind::System), content_member)
        }
        "tools" => Node::object(tools, definition),
        "generationConfig" | "generation_config" => Node::object(other, generation),
        "generateContentRequest" | "generate_content_request" | "requests" => {
            Node::object(other, member)
        }
        "cachedContent" | "cached_content" | "model" => Node::SKIP,
        _ => unknown(other, name),
    }
}

/// A turn; a text in its place is the user's.
const fn content(other: Sense) -> Node {
    Node::told(other.to(Kind::User), &["role"], turn)
}

fn turn(sense: Sense, told: &Told<'_>) -> Node {
    let kind = match told.first() {
        None | Some("user") => Kind::User,
        Some("model") => Kind::History,
        Some("function" | "tool") => Kind::ToolResult,
        Some("system") => Kind::System,
        Some(_) => Kind::Other,
    };
    Node::object(sense.to(kind), content_member)
}

fn content_member(sense: Sense, name: &str) -> Node {
    match name {
        "role" => Node::SKIP.once("role"),
        "parts" => Node::parts(sense, part),
        _ => unknown(sense, name),
    }
}

fn part(sense: Sense, name: &str) -> Node {
    let arguments = sense.to(Kind::ToolArguments);
    let result = sense.to(Kind::ToolResult);
    let document = sense.to(Kind::Document);
    match name {
        "text" => Node::part(sense).once("text"),
        "inlineData" | "inline_data" => {
            Node::told(document, &["mimeType", "mime_type"], inline).apart()
        }
        "fileData" | "file_data" => Node::object(document, file).apart(),
        "functionCall" | "function_call" | "toolCall" | "tool_call" => {
            Node::object(arguments, call).apart()
        }
        "functionResponse" | "function_response" | "toolResponse" | "tool_response" => {
            Node::object(result, response).apart()
        }
        "executableCode" | "executable_code" => Node::object(arguments, unknown).apart(),
        "codeExecutionResult" | "code_execution_result" => Node::object(result, unknown).apart(),
        _ => unknown(sense, name),
    }
}

fn inline(sense: Sense, told: &Told<'_>) -> Node {
    let kind = told.first().or(told.second()).map_or(File::Unsaid, File::of_media_type);
    Node::object(sense.with(kind), inline_member)
}

fn inline_member(sense: Sense, name: &str) -> Node {
    match name {
        "mimeType" | "mime_type" => Node::SKIP.once("mimeType"),
        "data" => Node::file(sense),
        _ => unknown(sense, name),
    }
}

fn file(sense: Sense, name: &str) -> Node {
    match name {
        "mimeType" | "mime_type" => Node::SKIP,
        "fileUri" | "file_uri" => Node::address(sense.to(Kind::Other)),
        _ => unknown(sense, name),
    }
}

fn call(sense: Sense, name: &str) -> Node {
    match name {
        "name" => Node::text(sense.to(Kind::ToolName)),
        "args" => Node::free(sense),
        _ => unknown(sense, name),
    }
}

fn response(sense: Sense, name: &str) -> Node {
    match name {
        "name" => Node::text(sense.to(Kind::ToolName)),
        "response" => Node::free(sense),
        "parts" => Node::parts(sense, part),
        _ => unknown(sense, name),
    }
}

fn generation(sense: Sense, name: &str) -> Node {
    match name {
        "responseSchema" | "response_schema" | "responseJsonSchema" | "response_json_schema" => {
            schema()
        }
        _ => unknown(sense, name),
    }
}
