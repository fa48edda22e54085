//! A `/v1/messages` body to a prompt.

use crate::wire::Dialect;
use crate::wire::fields::Fields;
use crate::wire::loss::Loss;
use crate::wire::prompt::{
    Budget, Call, Choice, Effort, Format, Function, Input, Json, Media, MediaKind, Part, Prompt,
    Reasoning, Role, Source, Tool, ToolResult,
};
use crate::wire::request::BodyError;
use serde_json::value::RawValue;

/// See [`crate::wire::prompt::read`].
pub(in crate::wire) fn read(body: &[u8]) -> Result<Prompt, BodyError> {
    let mut top = Fields::body(body)?;
    let mut prompt = Prompt::new(Dialect::Anthropic);
    prompt.model = top.string("model")?;
    prompt.stream = top.flag("stream")?.unwrap_or(false);
    if let Some(raw) = top.take("system")? {
        let parts = blocks(&mut prompt, &top, raw, Role::System)?;
        prompt.push(Role::System, parts);
    }
    for raw in top.array("messages")? {
        let mut message = top.within(raw, "messages")?;
        let role = match &*message.must_string("role")? {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => return Err(top.wrong(raw, "role", "`user` or `assistant`")),
        };
        let content = message.must("content")?;
        let parts = blocks(&mut prompt, &message, content, role)?;
        prompt.losses.add_if(message.has_rest(), Loss::UnknownMembers);
        prompt.push(role, parts);
    }
    for raw in top.array("tools")? {
        let tool = tool(&mut prompt, top.within(raw, "tools")?, raw)?;
        prompt.tools.push(tool);
    }
    for raw in top.array("mcp_servers")? {
        let name = top.within(raw, "mcp_servers")?.string("name")?.unwrap_or_default();
        prompt.tools.push(Tool::Hosted { name, native: Json::of(raw) });
    }
    if let Some(raw) = top.take("tool_choice")? {
        let mut choice = top.within(raw, "tool_choice")?;
        prompt.parallel_calls = choice.flag("disable_parallel_tool_use")?.map(|is_off| !is_off);
        prompt.choice = Some(match &*choice.must_string("type")? {
            "auto" => Choice::Auto,
            "any" => Choice::Required,
            "none" => Choice::None,
            "tool" => Choice::One(choice.must_string("name")?),
            _ => Choice::Native(Json::of(raw)),
        });
    }
    thinking(&mut prompt, &mut top)?;
    let sampling = &mut prompt.sampling;
    sampling.temperature = top.number("temperature")?;
    sampling.top_p = top.number("top_p")?;
    sampling.top_k = top.number("top_k")?;
    sampling.output_tokens_max = top.number("max_tokens")?;
    for raw in top.array("stop_sequences")? {
        sampling.stop.push(top.text(raw, "stop_sequences")?);
    }
    if let Some(mut metadata) = top.object("metadata")? {
        prompt.labels.user = metadata.string("user_id")?;
        prompt.losses.add_if(metadata.has_rest(), Loss::Metadata);
    }
    for (name, loss) in [
        ("service_tier", Loss::ServiceTier),
        ("container", Loss::ConversationState),
        ("context_management", Loss::ConversationState),
        ("cache_control", Loss::CacheControl),
    ] {
        prompt.losses.add_if(top.take(name)?.is_some(), loss);
    }
    prompt.losses.add_if(top.has_rest(), Loss::UnknownMembers);
    Ok(prompt)
}

fn thinking(prompt: &mut Prompt, top: &mut Fields<'_>) -> Result<(), BodyError> {
    if let Some(mut thinking) = top.object("thinking")? {
        let tokens = thinking.number("budget_tokens")?;
        prompt.thinking.budget = match &*thinking.must_string("type")? {
            "disabled" => Some(Budget::Off),
            "adaptive" => Some(Budget::Dynamic),
            _ => tokens.map(Budget::Tokens),
        };
        prompt.losses.add_if(thinking.take("display")?.is_some(), Loss::ReasoningSummary);
        prompt.losses.add_if(thinking.has_rest(), Loss::UnknownMembers);
    }
    let mut format = top.object("output_format")?;
    if let Some(mut output) = top.object("output_config")? {
        if let Some(word) = output.string("effort")? {
            prompt.thinking.effort = Effort::of(&word);
            prompt.losses.add_if(prompt.thinking.effort.is_none(), Loss::ReasoningEffort);
        }
        format = output.object("format")?.or(format);
        prompt.losses.add_if(output.has_rest(), Loss::UnknownMembers);
    }
    if let Some(mut format) = format {
        let schema = Json::of(format.must("schema")?);
        prompt.format =
            Some(Format::JsonSchema { name: None, description: None, schema, strict: Some(true) });
    }
    Ok(())
}

fn blocks<'b>(
    prompt: &mut Prompt,
    object: &Fields<'b>,
    raw: &'b RawValue,
    role: Role,
) -> Result<Vec<Part>, BodyError> {
    if raw.get().starts_with('"') {
        let text = object.text(raw, "content")?;
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::Text(text)] });
    }
    let mut parts = Vec::new();
    for raw in object.elements(raw, "content")? {
        let mut block = object.within(raw, "content")?;
        let kind = block.must_string("type")?;
        let part = match &*kind {
            "text" => Part::Text(block.must_string("text")?),
            "image" => {
                let source = block.object("source")?.ok_or_else(|| block.missing("source"))?;
                Part::Media(Media::new(MediaKind::Image, self::source(prompt, source)?))
            }
            "document" => {
                let source = block.object("source")?.ok_or_else(|| block.missing("source"))?;
                let source = self::source(prompt, source)?;
                let title = block.string("title")?;
                prompt.losses.add_if(block.take("context")?.is_some(), Loss::DocumentTitles);
                Part::Media(Media { title, ..Media::new(MediaKind::Document, source) })
            }
            "search_result" => {
                let content = block.must("content")?;
                let text = text_of(prompt, &block, content, role)?;
                let (title, origin) = (block.string("title")?, block.string("source")?);
                let media = Media::new(MediaKind::Document, Source::Text(text));
                Part::Media(Media { title, origin, ..media })
            }
            "tool_use" => {
                block.take("caller")?;
                let (id, name) = (block.must_string("id")?, block.must_string("name")?);
                let input = block.take("input")?.map_or("{}", RawValue::get).to_owned();
                Part::Call(Call { id, name, input: Input::Json(input), signature: None })
            }
            "tool_result" => {
                let id = block.must_string("tool_use_id")?;
                let parts = match block.take("content")? {
                    Some(raw) => blocks(prompt, &block, raw, Role::User)?,
                    None => Vec::new(),
                };
                let is_error = block.flag("is_error")?.unwrap_or(false);
                let name = prompt.called(&id).map(str::to_owned);
                Part::Result(ToolResult { id, name, parts, is_error, is_custom: false })
            }
            "thinking" => {
                let text = block.string("thinking")?.unwrap_or_default();
                Part::Reasoning(Reasoning { text, native: Json::of(raw) })
            }
            "redacted_thinking" => {
                Part::Reasoning(Reasoning { text: String::new(), native: Json::of(raw) })
            }
            _ => Part::Native(Json::of(raw)),
        };
        if !matches!(part, Part::Native(_) | Part::Reasoning(_)) {
            prompt.losses.add_if(block.take("cache_control")?.is_some(), Loss::CacheControl);
            prompt.losses.add_if(block.take("citations")?.is_some(), Loss::Citations);
            prompt.losses.add_if(block.has_rest(), Loss::UnknownMembers);
        }
        parts.push(part);
    }
    Ok(parts)
}

/// The texts of a list of blocks; what else stands there is lost.
fn text_of<'b>(
    prompt: &mut Prompt,
    object: &Fields<'b>,
    raw: &'b RawValue,
    role: Role,
) -> Result<String, BodyError> {
    let mut texts = Vec::new();
    for part in blocks(prompt, object, raw, role)? {
        match part {
            Part::Text(text) => texts.push(text),
            Part::Media(_)
            | Part::Call(_)
            | Part::Result(_)
            | Part::Reasoning(_)
            | Part::Refusal(_)
            | Part::Native(_) => prompt.losses.add(Loss::Documents),
        }
    }
    Ok(texts.join("\n"))
}

fn source(prompt: &mut Prompt, mut source: Fields<'_>) -> Result<Source, BodyError> {
    Ok(match &*source.must_string("type")? {
        "url" => Source::Url { url: source.must_string("url")?, media_type: None },
        "file" => Source::File(source.must_string("file_id")?),
        "text" => Source::Text(source.must_string("data")?),
        "content" => {
            let content = source.must("content")?;
            Source::Text(text_of(prompt, &source, content, Role::User)?)
        }
        _ => Source::Base64 {
            media_type: source.must_string("media_type")?,
            data: source.must_string("data")?,
        },
    })
}

fn tool<'b>(
    prompt: &mut Prompt,
    mut tool: Fields<'b>,
    raw: &'b RawValue,
) -> Result<Tool, BodyError> {
    let kind = tool.string("type")?.unwrap_or_else(|| "custom".to_owned());
    if kind != "custom" {
        let name = tool.string("name")?.unwrap_or(kind);
        return Ok(Tool::Hosted { name, native: Json::of(raw) });
    }
    let function = Function {
        name: tool.must_string("name")?,
        description: tool.string("description")?,
        schema: tool.take("input_schema")?.map(Json::of),
        strict: tool.flag("strict")?,
    };
    prompt.losses.add_if(tool.take("cache_control")?.is_some(), Loss::CacheControl);
    prompt.losses.add_if(tool.has_rest(), Loss::FunctionTraits);
    Ok(Tool::Function(function))
}
