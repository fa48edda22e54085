//! A body of Responses to a prompt.

use crate::wire::Dialect;
use crate::wire::fields::Fields;
use crate::wire::loss::Loss;
use crate::wire::prompt::{
    Call, Choice, Effort, Format, Function, Input, Json, Media, MediaKind, Part, Prompt, Reasoning,
    Role, Source, Tool, ToolResult,
};
use crate::wire::request::BodyError;
use serde_json::value::RawValue;

/// See [`crate::wire::prompt::read`].
pub(in crate::wire) fn read(body: &[u8]) -> Result<Prompt, BodyError> {
    let mut top = Fields::body(body)?;
    let mut prompt = Prompt::new(Dialect::OpenaiResponses);
    prompt.model = top.string("model")?;
    prompt.stream = top.flag("stream")?.unwrap_or(false);
    top.take("stream_options")?;
    prompt.system.extend(top.string("instructions")?);
    if let Some(raw) = top.take("input")? {
        if raw.get().starts_with('"') {
            let text = top.text(raw, "input")?;
            prompt.push(Role::User, vec![Part::Text(text)]);
        } else {
            for raw in top.elements(raw, "input")? {
                item(&mut prompt, top.within(raw, "input")?, raw)?;
            }
        }
    }
    for raw in top.array("tools")? {
        let tool = tool(&mut prompt, top.within(raw, "tools")?, raw)?;
        prompt.tools.push(tool);
    }
    if let Some(raw) = top.take("tool_choice")? {
        prompt.choice = Some(choice(&top, raw)?);
    }
    prompt.parallel_calls = top.flag("parallel_tool_calls")?;
    if let Some(mut text) = top.object("text")? {
        prompt.sampling.verbosity = text.string("verbosity")?;
        if let Some(format) = text.object("format")? {
            prompt.format = self::format(&mut prompt, format)?;
        }
        prompt.losses.add_if(text.has_rest(), Loss::UnknownMembers);
    }
    if let Some(mut reasoning) = top.object("reasoning")? {
        if let Some(word) = reasoning.string("effort")? {
            prompt.thinking.effort = Effort::of(&word);
            prompt.losses.add_if(prompt.thinking.effort.is_none(), Loss::ReasoningEffort);
        }
        let older = reasoning.string("generate_summary")?;
        prompt.thinking.summary = reasoning.string("summary")?.or(older);
        prompt.losses.add_if(reasoning.has_rest(), Loss::UnknownMembers);
    }
    let alternatives: Option<u64> = top.number("top_logprobs")?;
    for raw in top.array("include")? {
        let wanted = top.text(raw, "include")?;
        match &*wanted {
            "message.output_text.logprobs" => {
                prompt.sampling.logprobs = Some(alternatives.unwrap_or(0));
            }
            // Only its own provider can read it again.
            "reasoning.encrypted_content" => {}
            _ => prompt.losses.add(Loss::HostedToolCalls),
        }
    }
    prompt.sampling.temperature = top.number("temperature")?;
    prompt.sampling.top_p = top.number("top_p")?;
    prompt.sampling.output_tokens_max = top.number("max_output_tokens")?;
    let older = top.string("user")?;
    prompt.labels.user = top.string("safety_identifier")?.or(older);
    prompt.labels.cache_key = top.string("prompt_cache_key")?;
    prompt.labels.store = top.flag("store")?;
    if let Some(metadata) = top.object("metadata")? {
        for field in metadata.iter() {
            let value = metadata.text(field.value, "metadata")?;
            prompt.labels.metadata.push((field.name.clone().into_owned(), value));
        }
    }
    for (name, loss) in [
        ("previous_response_id", Loss::ConversationState),
        ("conversation", Loss::ConversationState),
        ("prompt", Loss::ConversationState),
        ("service_tier", Loss::ServiceTier),
        ("max_tool_calls", Loss::HostedTools),
        ("client_metadata", Loss::Metadata),
    ] {
        let found = top.take(name)?;
        prompt.losses.add_if(found.is_some_and(|raw| raw.get() != "\"auto\""), loss);
    }
    for (name, default) in [("truncation", "\"disabled\""), ("background", "false")] {
        let found = top.take(name)?;
        prompt.losses.add_if(found.is_some_and(|raw| raw.get() != default), Loss::UnknownMembers);
    }
    prompt.losses.add_if(top.has_rest(), Loss::UnknownMembers);
    Ok(prompt)
}

fn item<'b>(prompt: &mut Prompt, mut item: Fields<'b>, raw: &'b RawValue) -> Result<(), BodyError> {
    let kind = item.string("type")?.unwrap_or_else(|| "message".to_owned());
    item.take("id")?;
    item.take("status")?;
    let (role, part) = match &*kind {
        "message" => {
            let role = match &*item.must_string("role")? {
                "user" => Role::User,
                "assistant" => Role::Assistant,
                "system" | "developer" => Role::System,
                _ => return Err(item.wrong(raw, "role", "a role of a message")),
            };
            item.take("phase")?;
            let content = item.must("content")?;
            let parts = parts(prompt, &item, content, "content")?;
            prompt.losses.add_if(item.has_rest(), Loss::UnknownMembers);
            prompt.push(role, parts);
            return Ok(());
        }
        "function_call" | "custom_tool_call" => {
            let (id, name) = (item.must_string("call_id")?, item.must_string("name")?);
            let input = if kind == "function_call" {
                Input::Json(item.string("arguments")?.unwrap_or_default())
            } else {
                Input::Text(item.string("input")?.unwrap_or_default())
            };
            (Role::Assistant, Part::Call(Call { id, name, input, signature: None }))
        }
        "function_call_output" | "custom_tool_call_output" => {
            let id = item.must_string("call_id")?;
            let output = item.must("output")?;
            let parts = parts(prompt, &item, output, "output")?;
            let name = prompt.called(&id).map(str::to_owned);
            let is_custom = kind == "custom_tool_call_output";
            let result = ToolResult { id, name, parts, is_error: false, is_custom };
            (Role::User, Part::Result(result))
        }
        "reasoning" => {
            let mut texts = Vec::new();
            for raw in item.array("summary")? {
                texts.extend(item.within(raw, "summary")?.string("text")?);
            }
            let reasoning = Reasoning { text: texts.join("\n\n"), native: Json::of(raw) };
            prompt.push(Role::Assistant, vec![Part::Reasoning(reasoning)]);
            return Ok(());
        }
        _ => {
            prompt.losses.add_if(kind == "item_reference", Loss::ConversationState);
            let is_answer = kind.ends_with("_output") || kind.ends_with("_response");
            let role = if is_answer { Role::User } else { Role::Assistant };
            prompt.push(role, vec![Part::Native(Json::of(raw))]);
            return Ok(());
        }
    };
    prompt.losses.add_if(item.has_rest(), Loss::UnknownMembers);
    prompt.push(role, vec![part]);
    Ok(())
}

fn parts<'b>(
    prompt: &mut Prompt,
    object: &Fields<'b>,
    raw: &'b RawValue,
    name: &str,
) -> Result<Vec<Part>, BodyError> {
    if raw.get().starts_with('"') {
        let text = object.text(raw, name)?;
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::Text(text)] });
    }
    let mut parts = Vec::new();
    for raw in object.elements(raw, name)? {
        let mut part = object.within(raw, name)?;
        let read = match &*part.must_string("type")? {
            "input_text" | "output_text" | "text" => {
                let cited = part.array("annotations")?;
                prompt.losses.add_if(!cited.is_empty(), Loss::Citations);
                part.take("logprobs")?;
                Part::Text(part.must_string("text")?)
            }
            "refusal" => Part::Refusal(part.must_string("refusal")?),
            "input_image" => {
                let detail = part.string("detail")?.filter(|detail| detail != "auto");
                let source = match (part.string("image_url")?, part.string("file_id")?) {
                    (Some(url), _) => Source::of_url(url),
                    (None, Some(id)) => Source::File(id),
                    (None, None) => return Err(part.missing("image_url")),
                };
                Part::Media(Media { detail, ..Media::new(MediaKind::Image, source) })
            }
            "input_file" => {
                let title = part.string("filename")?;
                let (data, url) = (part.string("file_data")?, part.string("file_url")?);
                let source = match (data, url, part.string("file_id")?) {
                    (Some(data), ..) => Source::of_url(data),
                    (None, Some(url), _) => Source::of_url(url),
                    (None, None, Some(id)) => Source::File(id),
                    (None, None, None) => return Err(part.missing("file_data")),
                };
                Part::Media(Media { title, ..Media::new(MediaKind::Document, source) })
            }
            _ => Part::Native(Json::of(raw)),
        };
        let is_known = !matches!(read, Part::Native(_));
        prompt.losses.add_if(is_known && part.has_rest(), Loss::UnknownMembers);
        parts.push(read);
    }
    Ok(parts)
}

fn tool<'b>(
    prompt: &mut Prompt,
    mut tool: Fields<'b>,
    raw: &'b RawValue,
) -> Result<Tool, BodyError> {
    let read = match &*tool.must_string("type")? {
        "function" => Tool::Function(Function {
            name: tool.must_string("name")?,
            description: tool.string("description")?,
            schema: tool.take("parameters")?.map(Json::of),
            strict: tool.flag("strict")?,
        }),
        "custom" => Tool::Custom {
            name: tool.must_string("name")?,
            description: tool.string("description")?,
            format: tool.take("format")?.map(Json::of),
        },
        kind => return Ok(Tool::Hosted { name: kind.to_owned(), native: Json::of(raw) }),
    };
    prompt.losses.add_if(tool.has_rest(), Loss::FunctionTraits);
    Ok(read)
}

fn choice<'b>(top: &Fields<'b>, raw: &'b RawValue) -> Result<Choice, BodyError> {
    if raw.get().starts_with('"') {
        return match &*top.text(raw, "tool_choice")? {
            "auto" => Ok(Choice::Auto),
            "none" => Ok(Choice::None),
            "required" => Ok(Choice::Required),
            _ => Err(top.wrong(raw, "tool_choice", "`auto`, `none`, `required` or an object")),
        };
    }
    let mut choice = top.within(raw, "tool_choice")?;
    match &*choice.must_string("type")? {
        "function" | "custom" => Ok(Choice::One(choice.must_string("name")?)),
        "allowed_tools" => {
            let is_required = choice.string("mode")?.as_deref() == Some("required");
            let mut names = Vec::new();
            for raw in choice.array("tools")? {
                let mut tool = choice.within(raw, "tools")?;
                let is_own = matches!(&*tool.must_string("type")?, "function" | "custom");
                names.push(if is_own { tool.string("name")? } else { None });
            }
            Ok(match names.into_iter().collect::<Option<Vec<String>>>() {
                Some(names) => Choice::Among { names, is_required },
                None => Choice::Native(Json::of(raw)),
            })
        }
        _ => Ok(Choice::Native(Json::of(raw))),
    }
}

fn format(prompt: &mut Prompt, mut format: Fields<'_>) -> Result<Option<Format>, BodyError> {
    Ok(match &*format.must_string("type")? {
        "text" => None,
        "json_object" => Some(Format::JsonObject),
        "json_schema" => Some(Format::JsonSchema {
            name: format.string("name")?,
            description: format.string("description")?,
            schema: Json::of(format.must("schema")?),
            strict: format.flag("strict")?,
        }),
        _ => {
            prompt.losses.add(Loss::UnknownMembers);
            None
        }
    })
}
