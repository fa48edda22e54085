//! A `Converse` body to a prompt.

use crate::wire::Dialect;
use crate::wire::fields::Fields;
use crate::wire::loss::Loss;
use crate::wire::prompt::{
    Budget, Call, Choice, Format, Function, Input, Json, Media, MediaKind, Part, Prompt, Reasoning,
    Role, Source, Tool, ToolResult,
};
use crate::wire::request::BodyError;
use serde_json::value::RawValue;

/// See [`crate::wire::prompt::read`].
pub(in crate::wire) fn read(body: &[u8]) -> Result<Prompt, BodyError> {
    let mut top = Fields::body(body)?;
    let mut prompt = Prompt::new(Dialect::Bedrock);
    for raw in top.array("system")? {
        let parts = block(&mut prompt, top.within(raw, "system")?, raw)?.into_iter().collect();
        prompt.push(Role::System, parts);
    }
    for raw in top.array("messages")? {
        let mut message = top.within(raw, "messages")?;
        let role = match &*message.must_string("role")? {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => return Err(top.wrong(raw, "role", "`user` or `assistant`")),
        };
        let mut parts = Vec::new();
        for raw in message.array("content")? {
            parts.extend(block(&mut prompt, message.within(raw, "content")?, raw)?);
        }
        prompt.losses.add_if(message.has_rest(), Loss::UnknownMembers);
        prompt.push(role, parts);
    }
    if let Some(config) = top.object("toolConfig")? {
        tools(&mut prompt, config)?;
    }
    if let Some(mut inference) = top.object("inferenceConfig")? {
        let sampling = &mut prompt.sampling;
        sampling.output_tokens_max = inference.number("maxTokens")?;
        sampling.temperature = inference.number("temperature")?;
        sampling.top_p = inference.number("topP")?;
        for raw in inference.array("stopSequences")? {
            sampling.stop.push(inference.text(raw, "stopSequences")?);
        }
        prompt.losses.add_if(inference.has_rest(), Loss::UnknownMembers);
    }
    if let Some(mut fields) = top.object("additionalModelRequestFields")? {
        prompt.sampling.top_k = fields.number("top_k")?;
        if let Some(mut thinking) = fields.object("thinking")? {
            let tokens = thinking.number("budget_tokens")?;
            prompt.thinking.budget = match thinking.string("type")?.as_deref() {
                Some("disabled") => Some(Budget::Off),
                Some("adaptive") => Some(Budget::Dynamic),
                _ => tokens.map(Budget::Tokens),
            };
            prompt.losses.add_if(thinking.has_rest(), Loss::UnknownMembers);
        }
        prompt.losses.add_if(fields.has_rest(), Loss::UnknownMembers);
    }
    if let Some(output) = top.object("outputConfig")? {
        format(&mut prompt, output)?;
    }
    if let Some(metadata) = top.object("requestMetadata")? {
        for field in metadata.iter() {
            let text = metadata.text(field.value, &field.name)?;
            prompt.labels.metadata.push((field.name.clone().into_owned(), text));
        }
    }
    for (name, loss) in [
        ("serviceTier", Loss::ServiceTier),
        ("performanceConfig", Loss::ServiceTier),
        ("guardrailConfig", Loss::SafetySettings),
        ("promptVariables", Loss::ConversationState),
    ] {
        prompt.losses.add_if(top.take(name)?.is_some(), loss);
    }
    prompt.losses.add_if(top.has_rest(), Loss::UnknownMembers);
    Ok(prompt)
}

/// `outputConfig`: a schema stands in it as text.
fn format(prompt: &mut Prompt, mut output: Fields<'_>) -> Result<(), BodyError> {
    if let Some(mut text) = output.object("textFormat")? {
        text.take("type")?;
        let mut structure = text.object("structure")?;
        let schema = match &mut structure {
            Some(structure) => structure.object("jsonSchema")?,
            None => None,
        };
        if let Some(mut schema) = schema {
            let raw = schema.must("schema")?;
            let written = schema.text(raw, "schema")?;
            let Some(json) = Json::parse(&written) else {
                return Err(schema.wrong(raw, "schema", "JSON, as a string"));
            };
            prompt.format = Some(Format::JsonSchema {
                name: schema.string("name")?,
                description: schema.string("description")?,
                schema: json,
                strict: Some(true),
            });
        }
    }
    prompt.losses.add_if(output.has_rest(), Loss::UnknownMembers);
    Ok(())
}

fn tools(prompt: &mut Prompt, mut config: Fields<'_>) -> Result<(), BodyError> {
    for raw in config.array("tools")? {
        let mut union = config.within(raw, "tools")?;
        if let Some(mut spec) = union.object("toolSpec")? {
            let name = spec.must_string("name")?;
            let description = spec.string("description")?;
            let schema = match spec.object("inputSchema")? {
                Some(mut schema) => schema.take("json")?.map(Json::of),
                None => None,
            };
            let strict = spec.flag("strict")?;
            prompt.losses.add_if(spec.has_rest(), Loss::FunctionTraits);
            prompt.tools.push(Tool::Function(Function { name, description, schema, strict }));
        } else if union.take("cachePoint")?.is_some() {
            prompt.losses.add(Loss::CacheControl);
        } else {
            let name = match union.object("systemTool")? {
                Some(mut tool) => tool.string("name")?,
                None => None,
            };
            let name = name.unwrap_or_default();
            prompt.tools.push(Tool::Hosted { name, native: Json::of(raw) });
        }
    }
    if let Some(raw) = config.take("toolChoice")? {
        let mut choice = config.within(raw, "toolChoice")?;
        prompt.choice = Some(if choice.take("auto")?.is_some() {
            Choice::Auto
        } else if choice.take("any")?.is_some() {
            Choice::Required
        } else if let Some(mut tool) = choice.object("tool")? {
            Choice::One(tool.must_string("name")?)
        } else {
            Choice::Native(Json::of(raw))
        });
    }
    prompt.losses.add_if(config.has_rest(), Loss::UnknownMembers);
    Ok(())
}

/// One content block; `None` for a mark that is no content.
fn block<'b>(
    prompt: &mut Prompt,
    mut union: Fields<'b>,
    raw: &'b RawValue,
) -> Result<Option<Part>, BodyError> {
    if let Some(text) = union.string("text")? {
        return Ok(Some(Part::Text(text)));
    }
    if union.take("cachePoint")?.is_some() {
        prompt.losses.add(Loss::CacheControl);
        return Ok(None);
    }
    for (name, kind) in [
        ("image", MediaKind::Image),
        ("document", MediaKind::Document),
        ("video", MediaKind::Video),
        ("audio", MediaKind::Audio),
    ] {
        if let Some(file) = union.object(name)? {
            return media(prompt, file, kind, raw).map(Some);
        }
    }
    if let Some(mut call) = union.object("toolUse")? {
        let (id, name) = (call.must_string("toolUseId")?, call.must_string("name")?);
        let input = call.take("input")?.map_or("{}", RawValue::get).to_owned();
        let input = Input::Json(input);
        return Ok(Some(Part::Call(Call { id, name, input, signature: None })));
    }
    if let Some(mut result) = union.object("toolResult")? {
        let id = result.must_string("toolUseId")?;
        let mut parts = Vec::new();
        for raw in result.array("content")? {
            let mut inner = result.within(raw, "content")?;
            match inner.take("json")? {
                Some(json) => parts.push(Part::Text(json.get().to_owned())),
                None => parts.extend(block(prompt, inner, raw)?),
            }
        }
        let is_error = result.string("status")?.as_deref() == Some("error");
        let name = prompt.called(&id).map(str::to_owned);
        return Ok(Some(Part::Result(ToolResult { id, name, parts, is_error, is_custom: false })));
    }
    if let Some(mut reasoning) = union.object("reasoningContent")? {
        let text = match reasoning.object("reasoningText")? {
            Some(mut inner) => inner.string("text")?,
            None => None,
        };
        let text = text.unwrap_or_default();
        return Ok(Some(Part::Reasoning(Reasoning { text, native: Json::of(raw) })));
    }
    if let Some(mut cited) = union.object("citationsContent")? {
        prompt.losses.add(Loss::Citations);
        let mut text = String::new();
        for raw in cited.array("content")? {
            text += &cited.within(raw, "content")?.string("text")?.unwrap_or_default();
        }
        return Ok(Some(Part::Text(text)));
    }
    if let Some(mut guarded) = union.object("guardContent")? {
        // A mark for the guardrail around text, which is text all the same.
        prompt.losses.add(Loss::SafetySettings);
        if let Some(mut inner) = guarded.object("text")? {
            return Ok(Some(Part::Text(inner.must_string("text")?)));
        }
    }
    Ok(Some(Part::Native(Json::of(raw))))
}

/// A file; one that lies in S3 is of this dialect only.
fn media(
    prompt: &mut Prompt,
    mut file: Fields<'_>,
    kind: MediaKind,
    raw: &RawValue,
) -> Result<Part, BodyError> {
    let format = file.string("format")?.unwrap_or_default();
    let title = file.string("name")?;
    prompt.losses.add_if(file.take("citations")?.is_some(), Loss::Citations);
    prompt.losses.add_if(file.take("context")?.is_some(), Loss::DocumentTitles);
    let Some(mut source) = file.object("source")? else { return Err(file.missing("source")) };
    let source = if let Some(data) = source.string("bytes")? {
        Source::Base64 { media_type: media_type(kind, &format), data }
    } else if let Some(text) = source.string("text")? {
        Source::Text(text)
    } else {
        return Ok(Part::Native(Json::of(raw)));
    };
    prompt.losses.add_if(file.has_rest(), Loss::UnknownMembers);
    Ok(Part::Media(Media { title, ..Media::new(kind, source) }))
}

fn media_type(kind: MediaKind, format: &str) -> String {
    let known = super::write::DOCUMENTS.iter().find(|(_, name)| *name == format);
    match (kind, known) {
        (MediaKind::Document, Some((media_type, _))) => (*media_type).to_owned(),
        (MediaKind::Document, None) => format!("application/{format}"),
        (MediaKind::Image, _) => format!("image/{format}"),
        (MediaKind::Audio, _) => format!("audio/{format}"),
        (MediaKind::Video, _) => format!("video/{format}"),
    }
}
