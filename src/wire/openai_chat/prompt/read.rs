//! A body of Chat Completions to a prompt.

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
    let mut prompt = Prompt::new(Dialect::OpenaiChat);
    prompt.model = top.string("model")?;
    prompt.stream = top.flag("stream")?.unwrap_or(false);
    // What a stream brings besides its text is ours to ask for.
    top.take("stream_options")?;
    for raw in top.array("messages")? {
        message(&mut prompt, top.within(raw, "messages")?)?;
    }
    for raw in top.array("tools")? {
        let tool = tool(&mut prompt, top.within(raw, "tools")?, raw)?;
        prompt.tools.push(tool);
    }
    for raw in top.array("functions")? {
        let function = function(&mut prompt, top.within(raw, "functions")?)?;
        prompt.tools.push(Tool::Function(function));
    }
    if let Some(raw) = top.take("web_search_options")? {
        let native = Json::of(raw);
        prompt.tools.push(Tool::Hosted { name: "web_search_options".into(), native });
    }
    for name in ["function_call", "tool_choice"] {
        if let Some(raw) = top.take(name)? {
            prompt.choice = Some(choice(&top, raw, name)?);
        }
    }
    prompt.parallel_calls = top.flag("parallel_tool_calls")?;
    if let Some(format) = top.object("response_format")? {
        prompt.format = self::format(&mut prompt, format)?;
    }
    if let Some(word) = top.string("reasoning_effort")? {
        prompt.thinking.effort = Effort::of(&word);
        prompt.losses.add_if(prompt.thinking.effort.is_none(), Loss::ReasoningEffort);
    }
    sampling(&mut prompt, &mut top)?;
    labels(&mut prompt, &mut top)?;
    for (name, loss) in [
        ("logit_bias", Loss::LogitBias),
        ("service_tier", Loss::ServiceTier),
        ("audio", Loss::AnswerModality),
        ("prediction", Loss::Prediction),
    ] {
        let found = top.take(name)?;
        prompt.losses.add_if(found.is_some_and(|raw| raw.get() != "\"auto\""), loss);
    }
    let modalities = top.take("modalities")?;
    let is_text =
        |raw: &&RawValue| raw.get().split_whitespace().collect::<String>() == "[\"text\"]";
    prompt.losses.add_if(modalities.is_some_and(|raw| !is_text(&raw)), Loss::AnswerModality);
    prompt.losses.add_if(top.has_rest(), Loss::UnknownMembers);
    Ok(prompt)
}

fn sampling(prompt: &mut Prompt, top: &mut Fields<'_>) -> Result<(), BodyError> {
    let sampling = &mut prompt.sampling;
    sampling.temperature = top.number("temperature")?;
    sampling.top_p = top.number("top_p")?;
    sampling.top_k = top.number("top_k")?;
    if let Some(raw) = top.take("stop")? {
        if raw.get().starts_with('"') {
            sampling.stop.push(top.text(raw, "stop")?);
        } else {
            for raw in top.elements(raw, "stop")? {
                sampling.stop.push(top.text(raw, "stop")?);
            }
        }
    }
    let older = top.number("max_tokens")?;
    sampling.output_tokens_max = top.number("max_completion_tokens")?.or(older);
    sampling.seed = top.number("seed")?;
    sampling.presence_penalty = top.number("presence_penalty")?;
    sampling.frequency_penalty = top.number("frequency_penalty")?;
    sampling.answers = top.number("n")?;
    let alternatives: Option<u64> = top.number("top_logprobs")?;
    let wanted = top.flag("logprobs")?.unwrap_or(false);
    sampling.logprobs = wanted.then_some(alternatives.unwrap_or(0));
    sampling.verbosity = top.string("verbosity")?;
    Ok(())
}

fn labels(prompt: &mut Prompt, top: &mut Fields<'_>) -> Result<(), BodyError> {
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
    Ok(())
}

fn message(prompt: &mut Prompt, mut message: Fields<'_>) -> Result<(), BodyError> {
    let role = message.must_string("role")?;
    let content = message.take("content")?;
    let mut parts = match content {
        Some(raw) => content_parts(prompt, &message, raw)?,
        None => Vec::new(),
    };
    let name = message.string("name")?;
    let role = match &*role {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => {
            assistant(prompt, &mut message, &mut parts)?;
            Role::Assistant
        }
        "tool" | "function" => {
            let id = message.string("tool_call_id")?.or_else(|| legacy_id(prompt, name.as_deref()));
            let id = id.ok_or_else(|| message.missing("tool_call_id"))?;
            let called = prompt.called(&id).map(str::to_owned);
            let is_custom = prompt.is_custom(&id);
            let name = called.or_else(|| name.clone());
            let result = ToolResult { id, name, parts, is_error: false, is_custom };
            parts = vec![Part::Result(result)];
            Role::User
        }
        _ => {
            let what = format!("`{role}` is not a role of a message");
            return Err(BodyError { what: what.into(), ..message.missing("role") });
        }
    };
    let is_named = name.is_some() && !matches!(parts.first(), Some(Part::Result(_)));
    prompt.losses.add_if(is_named, Loss::Names);
    prompt.losses.add_if(message.has_rest(), Loss::UnknownMembers);
    prompt.push(role, parts);
    Ok(())
}

/// The id that was made for the last call of a legacy function.
fn legacy_id(prompt: &Prompt, name: Option<&str>) -> Option<String> {
    let calls = prompt.turns.iter().rev().flat_map(|turn| turn.parts.iter().rev());
    calls
        .filter_map(|part| match part {
            Part::Call(call) => Some(call),
            Part::Text(_)
            | Part::Media(_)
            | Part::Result(_)
            | Part::Reasoning(_)
            | Part::Refusal(_)
            | Part::Native(_) => None,
        })
        .find(|call| name.is_none_or(|name| call.name == name))
        .map(|call| call.id.clone())
}

fn assistant(
    prompt: &mut Prompt,
    message: &mut Fields<'_>,
    parts: &mut Vec<Part>,
) -> Result<(), BodyError> {
    for name in ["reasoning_content", "reasoning"] {
        if let Some(raw) = message.take(name)? {
            let text = message.text(raw, name)?;
            let reasoning = Reasoning { text, native: Json::of(raw) };
            parts.insert(0, Part::Reasoning(reasoning));
        }
    }
    if let Some(refusal) = message.string("refusal")? {
        parts.push(Part::Refusal(refusal));
    }
    prompt.losses.add_if(message.take("audio")?.is_some(), Loss::Audio);
    prompt.losses.add_if(message.take("annotations")?.is_some(), Loss::Citations);
    for raw in message.array("tool_calls")? {
        let mut call = message.within(raw, "tool_calls")?;
        call.take("type")?;
        call.take("index")?;
        let id = call.must_string("id")?;
        let (mut inner, is_custom) = match (call.object("function")?, call.object("custom")?) {
            (Some(function), None) => (function, false),
            (None, Some(custom)) => (custom, true),
            (Some(_), Some(_)) | (None, None) => return Err(call.missing("function")),
        };
        let name = inner.must_string("name")?;
        let input = if is_custom {
            Input::Text(inner.string("input")?.unwrap_or_default())
        } else {
            Input::Json(inner.string("arguments")?.unwrap_or_default())
        };
        prompt.losses.add_if(call.has_rest() || inner.has_rest(), Loss::UnknownMembers);
        parts.push(Part::Call(Call { id, name, input, signature: None }));
    }
    if let Some(mut call) = message.object("function_call")? {
        let name = call.must_string("name")?;
        let input = Input::Json(call.string("arguments")?.unwrap_or_default());
        let id = format!("call_{}", prompt.turns.len());
        parts.push(Part::Call(Call { id, name, input, signature: None }));
    }
    Ok(())
}

fn content_parts<'b>(
    prompt: &mut Prompt,
    message: &Fields<'b>,
    raw: &'b RawValue,
) -> Result<Vec<Part>, BodyError> {
    if raw.get().starts_with('"') {
        let text = message.text(raw, "content")?;
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::Text(text)] });
    }
    let mut parts = Vec::new();
    for raw in message.elements(raw, "content")? {
        let mut fields = message.within(raw, "content")?;
        let kind = fields.must_string("type")?;
        let part = match &*kind {
            "text" => Part::Text(fields.must_string("text")?),
            "refusal" => Part::Refusal(fields.must_string("refusal")?),
            "image_url" => {
                let url = fields.must("image_url")?;
                // Imitators take the address itself.
                let (url, detail) = if url.get().starts_with('"') {
                    (fields.text(url, "image_url")?, None)
                } else {
                    let mut image = fields.within(url, "image_url")?;
                    (image.must_string("url")?, image.string("detail")?)
                };
                let media = Media::new(MediaKind::Image, Source::of_url(url));
                Part::Media(Media { detail, ..media })
            }
            "input_audio" => {
                let audio = fields.object("input_audio")?;
                let mut audio = audio.ok_or_else(|| fields.missing("input_audio"))?;
                let media_type = match &*audio.must_string("format")? {
                    "mp3" => "audio/mpeg".to_owned(),
                    format => format!("audio/{format}"),
                };
                let source = Source::Base64 { media_type, data: audio.must_string("data")? };
                Part::Media(Media::new(MediaKind::Audio, source))
            }
            "file" => {
                let file = fields.object("file")?;
                let mut file = file.ok_or_else(|| fields.missing("file"))?;
                let title = file.string("filename")?;
                let source = match (file.string("file_data")?, file.string("file_id")?) {
                    (Some(data), _) => Source::of_url(data),
                    (None, Some(id)) => Source::File(id),
                    (None, None) => return Err(file.missing("file_data")),
                };
                Part::Media(Media { title, ..Media::new(MediaKind::Document, source) })
            }
            _ => Part::Native(Json::of(raw)),
        };
        let is_known = !matches!(part, Part::Native(_));
        let cache = fields.take("cache_control")?;
        prompt.losses.add_if(is_known && cache.is_some(), Loss::CacheControl);
        prompt.losses.add_if(is_known && fields.has_rest(), Loss::UnknownMembers);
        parts.push(part);
    }
    Ok(parts)
}

fn tool<'b>(
    prompt: &mut Prompt,
    mut tool: Fields<'b>,
    raw: &'b RawValue,
) -> Result<Tool, BodyError> {
    let kind = tool.string("type")?.unwrap_or_else(|| "function".to_owned());
    match &*kind {
        "function" => {
            let inner = tool.object("function")?.ok_or_else(|| tool.missing("function"))?;
            prompt.losses.add_if(tool.take("cache_control")?.is_some(), Loss::CacheControl);
            prompt.losses.add_if(tool.has_rest(), Loss::UnknownMembers);
            function(prompt, inner).map(Tool::Function)
        }
        "custom" => {
            let mut custom = tool.object("custom")?.ok_or_else(|| tool.missing("custom"))?;
            let format = match custom.take("format")? {
                Some(raw) => grammar(custom.within(raw, "format")?, raw)?,
                None => None,
            };
            let description = custom.string("description")?;
            Ok(Tool::Custom { name: custom.must_string("name")?, description, format })
        }
        _ => Ok(Tool::Hosted { name: kind, native: Json::of(raw) }),
    }
}

/// The grammar of a custom tool, flat as Responses has it.
fn grammar<'b>(mut format: Fields<'b>, raw: &'b RawValue) -> Result<Option<Json>, BodyError> {
    let Some(mut inner) = format.object("grammar")? else { return Ok(Some(Json::of(raw))) };
    let (syntax, definition) = (inner.must("syntax")?, inner.must("definition")?);
    let flat = format!(
        r#"{{"type":"grammar","syntax":{},"definition":{}}}"#,
        syntax.get(),
        definition.get()
    );
    Ok(Json::parse(&flat))
}

fn function(prompt: &mut Prompt, mut function: Fields<'_>) -> Result<Function, BodyError> {
    let read = Function {
        name: function.must_string("name")?,
        description: function.string("description")?,
        schema: function.take("parameters")?.map(Json::of),
        strict: function.flag("strict")?,
    };
    prompt.losses.add_if(function.has_rest(), Loss::UnknownMembers);
    Ok(read)
}

fn choice<'b>(top: &Fields<'b>, raw: &'b RawValue, name: &str) -> Result<Choice, BodyError> {
    if raw.get().starts_with('"') {
        return match &*top.text(raw, name)? {
            "auto" => Ok(Choice::Auto),
            "none" => Ok(Choice::None),
            "required" | "any" => Ok(Choice::Required),
            _ => Err(top.wrong(raw, name, "`auto`, `none`, `required` or an object")),
        };
    }
    let mut choice = top.within(raw, name)?;
    if let Some(mut allowed) = choice.object("allowed_tools")? {
        let is_required = allowed.string("mode")?.as_deref() == Some("required");
        let mut names = Vec::new();
        for raw in allowed.array("tools")? {
            names.push(chosen(allowed.within(raw, "tools")?)?);
        }
        return Ok(match names.into_iter().collect::<Option<Vec<String>>>() {
            Some(names) => Choice::Among { names, is_required },
            None => Choice::Native(Json::of(raw)),
        });
    }
    Ok(chosen(choice)?.map_or_else(|| Choice::Native(Json::of(raw)), Choice::One))
}

/// The tool that a choice names.
fn chosen(mut choice: Fields<'_>) -> Result<Option<String>, BodyError> {
    for name in ["function", "custom"] {
        if let Some(mut inner) = choice.object(name)? {
            return inner.string("name");
        }
    }
    choice.string("name")
}

fn format(prompt: &mut Prompt, mut format: Fields<'_>) -> Result<Option<Format>, BodyError> {
    Ok(match &*format.must_string("type")? {
        "text" => None,
        "json_object" => Some(Format::JsonObject),
        "json_schema" => {
            let inner = format.object("json_schema")?;
            let mut inner = inner.ok_or_else(|| format.missing("json_schema"))?;
            let schema = inner.take("schema")?.map(Json::of).or_else(|| Json::parse("{}"));
            let name = inner.string("name")?;
            let description = inner.string("description")?;
            let strict = inner.flag("strict")?;
            schema.map(|schema| Format::JsonSchema { name, description, schema, strict })
        }
        _ => {
            prompt.losses.add(Loss::UnknownMembers);
            None
        }
    })
}
