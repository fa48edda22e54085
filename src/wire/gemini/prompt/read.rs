//! A `generateContent` body to a prompt. Google reads every name in two spellings.

use super::schema;
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
    let mut prompt = Prompt::new(Dialect::Gemini);
    let mut calls = Calls::default();
    if let Some(raw) = top.take_either("systemInstruction", "system_instruction")? {
        let mut content = top.within(raw, "systemInstruction")?;
        content.take("role")?;
        for raw in content.array("parts")? {
            let part = part(&mut prompt, content.within(raw, "parts")?, raw, &mut calls)?;
            prompt.push(Role::System, vec![part]);
        }
    }
    for raw in top.array("contents")? {
        let mut content = top.within(raw, "contents")?;
        let role = match content.string("role")?.as_deref() {
            Some("model") => Role::Assistant,
            Some("user" | "function" | "tool") | None => Role::User,
            Some("system") => Role::System,
            Some(_) => return Err(top.wrong(raw, "role", "`user` or `model`")),
        };
        let mut parts = Vec::new();
        for raw in content.array("parts")? {
            parts.push(part(&mut prompt, content.within(raw, "parts")?, raw, &mut calls)?);
        }
        prompt.losses.add_if(content.has_rest(), Loss::UnknownMembers);
        prompt.push(role, parts);
    }
    for raw in top.array("tools")? {
        tools(&mut prompt, top.within(raw, "tools")?)?;
    }
    if let Some(raw) = top.take_either("toolConfig", "tool_config")? {
        tool_config(&mut prompt, top.within(raw, "toolConfig")?)?;
    }
    if let Some(raw) = top.take_either("generationConfig", "generation_config")? {
        generation(&mut prompt, top.within(raw, "generationConfig")?)?;
    }
    if let Some(labels) = top.object("labels")? {
        for field in labels.iter() {
            let value = labels.text(field.value, "labels")?;
            prompt.labels.metadata.push((field.name.clone().into_owned(), value));
        }
    }
    for (name, other, loss) in [
        ("safetySettings", "safety_settings", Loss::SafetySettings),
        ("cachedContent", "cached_content", Loss::ConversationState),
    ] {
        prompt.losses.add_if(top.take_either(name, other)?.is_some(), loss);
    }
    prompt.model = top.string("model")?;
    prompt.losses.add_if(top.has_rest(), Loss::UnknownMembers);
    Ok(prompt)
}

/// Calls without an id get one; results without one answer the oldest open call of their name.
#[derive(Default)]
struct Calls {
    made: usize,
    open: Vec<(String, String)>,
}

impl Calls {
    fn call(&mut self, id: Option<String>, name: &str) -> String {
        let id = id.unwrap_or_else(|| format!("call_{}", self.made));
        self.made += 1;
        self.open.push((name.to_owned(), id.clone()));
        id
    }

    fn result(&mut self, id: Option<String>, name: &str) -> String {
        let at = self.open.iter().position(|(open, known)| match &id {
            Some(id) => id == known,
            None => open == name,
        });
        let known = at.map(|at| self.open.remove(at).1);
        id.or(known).unwrap_or_else(|| format!("call_{name}"))
    }
}

fn part<'b>(
    prompt: &mut Prompt,
    mut part: Fields<'b>,
    raw: &'b RawValue,
    calls: &mut Calls,
) -> Result<Part, BodyError> {
    let signature = match part.take_either("thoughtSignature", "thought_signature")? {
        Some(raw) => Some(part.text(raw, "thoughtSignature")?),
        None => None,
    };
    let is_thought = part.flag("thought")?.unwrap_or(false);
    let text = part.string("text")?;
    let data = part.take_either("inlineData", "inline_data")?;
    let file = part.take_either("fileData", "file_data")?;
    let call = part.take_either("functionCall", "function_call")?;
    let response = part.take_either("functionResponse", "function_response")?;
    let read = if let (Some(text), true) = (&text, is_thought) {
        return Ok(Part::Reasoning(Reasoning { text: text.clone(), native: Json::of(raw) }));
    } else if let Some(text) = text {
        prompt.losses.add_if(signature.is_some(), Loss::Reasoning);
        Part::Text(text)
    } else if let Some(raw) = data {
        let mut data = part.within(raw, "inlineData")?;
        let media_type = either_text(&mut data, "mimeType", "mime_type")?.unwrap_or_default();
        let kind = MediaKind::of(&media_type);
        let title = either_text(&mut data, "displayName", "display_name")?;
        let data = standard_base64(data.must_string("data")?);
        let source = Source::Base64 { media_type, data };
        Part::Media(Media { title, ..Media::new(kind, source) })
    } else if let Some(raw) = file {
        let mut file = part.within(raw, "fileData")?;
        let media_type = either_text(&mut file, "mimeType", "mime_type")?;
        let uri = either_text(&mut file, "fileUri", "file_uri")?;
        let url = uri.ok_or_else(|| file.missing("fileUri"))?;
        let title = either_text(&mut file, "displayName", "display_name")?;
        // Addresses of Google's own stores mean nothing elsewhere.
        let is_own = url.starts_with("gs://")
            || url.starts_with("https://generativelanguage.googleapis.com/");
        let source = Source::Url { url, media_type };
        let kind = source.media_type().map_or(MediaKind::Document, MediaKind::of);
        let source = match source {
            Source::Url { url, .. } if is_own => Source::File(url),
            source => source,
        };
        Part::Media(Media { title, ..Media::new(kind, source) })
    } else if let Some(raw) = call {
        let mut call = part.within(raw, "functionCall")?;
        let name = call.must_string("name")?;
        let id = calls.call(call.string("id")?, &name);
        let input = call.take("args")?.map_or("{}", RawValue::get).to_owned();
        Part::Call(Call { id, name, input: Input::Json(input), signature })
    } else if let Some(raw) = response {
        let mut response = part.within(raw, "functionResponse")?;
        let name = response.must_string("name")?;
        let id = calls.result(response.string("id")?, &name);
        let (text, is_error) = match response.take("response")? {
            Some(raw) => answer(&response, raw)?,
            None => (String::new(), false),
        };
        let mut parts = vec![Part::Text(text)];
        for raw in response.array("parts")? {
            parts.push(self::part(prompt, response.within(raw, "parts")?, raw, calls)?);
        }
        let name = Some(name);
        Part::Result(ToolResult { id, name, parts, is_error, is_custom: false })
    } else {
        return Ok(Part::Native(Json::of(raw)));
    };
    prompt.losses.add_if(part.has_rest(), Loss::UnknownMembers);
    Ok(read)
}

/// Base64 in the alphabet that all dialects take, and padded. Google's API also takes the one for
/// addresses (RFC 4648, section 5), and its own library for Python writes it.
fn standard_base64(data: String) -> String {
    if data.len().is_multiple_of(4) && !data.contains(['-', '_']) {
        return data;
    }
    let mut data = data.replace('-', "+").replace('_', "/");
    while !data.len().is_multiple_of(4) {
        data.push('=');
    }
    data
}

/// The text of a tool's response, and whether it says that it failed.
fn answer<'b>(object: &Fields<'b>, raw: &'b RawValue) -> Result<(String, bool), BodyError> {
    if !raw.get().starts_with('{') {
        return Ok((raw.get().to_owned(), false));
    }
    let mut fields = object.within(raw, "response")?;
    if fields.iter().count() == 1 {
        for (name, is_error) in [("output", false), ("result", false), ("error", true)] {
            if let Some(value) = fields.take(name)? {
                let text = crate::wire::json::string(value);
                return Ok((text.map_or_else(|| value.get().into(), Into::into), is_error));
            }
        }
    }
    Ok((raw.get().to_owned(), false))
}

fn tools(prompt: &mut Prompt, mut tool: Fields<'_>) -> Result<(), BodyError> {
    if let Some(raw) = tool.take_either("functionDeclarations", "function_declarations")? {
        for raw in tool.elements(raw, "functionDeclarations")? {
            let mut function = tool.within(raw, "functionDeclarations")?;
            let (name, description) =
                (function.must_string("name")?, function.string("description")?);
            let older = function.take("parameters")?.and_then(|raw| schema::standard(raw.get()));
            let schema = function
                .take_either("parametersJsonSchema", "parameters_json_schema")?
                .map(Json::of)
                .or(older);
            prompt.losses.add_if(function.has_rest(), Loss::FunctionTraits);
            prompt.tools.push(Tool::Function(Function { name, description, schema, strict: None }));
        }
    }
    for field in tool.iter() {
        let native = format!("{{\"{}\":{}}}", field.name, field.value.get());
        if let Some(native) = Json::parse(&native) {
            prompt.tools.push(Tool::Hosted { name: field.name.clone().into_owned(), native });
        }
    }
    Ok(())
}

fn tool_config(prompt: &mut Prompt, mut config: Fields<'_>) -> Result<(), BodyError> {
    if let Some(raw) = config.take_either("functionCallingConfig", "function_calling_config")? {
        let mut calling = config.within(raw, "functionCallingConfig")?;
        let mut names = Vec::new();
        if let Some(raw) = calling.take_either("allowedFunctionNames", "allowed_function_names")? {
            for raw in calling.elements(raw, "allowedFunctionNames")? {
                names.push(calling.text(raw, "allowedFunctionNames")?);
            }
        }
        let mode = calling.string("mode")?.unwrap_or_default();
        prompt.losses.add_if(mode == "VALIDATED", Loss::SchemaStrictness);
        prompt.choice = Some(match (&*mode, names.len()) {
            ("NONE", _) => Choice::None,
            ("ANY", 0) => Choice::Required,
            ("ANY", 1) => Choice::One(names.swap_remove(0)),
            ("ANY", _) => Choice::Among { names, is_required: true },
            (_, 0) => Choice::Auto,
            (_, _) => Choice::Among { names, is_required: false },
        });
    }
    prompt.losses.add_if(config.has_rest(), Loss::UnknownMembers);
    Ok(())
}

fn generation(prompt: &mut Prompt, mut config: Fields<'_>) -> Result<(), BodyError> {
    let sampling = &mut prompt.sampling;
    sampling.temperature = config.number("temperature")?;
    sampling.top_p = number(&mut config, "topP", "top_p")?;
    // Google's own clients send it as a fraction.
    sampling.top_k = number::<f64>(&mut config, "topK", "top_k")?.map(|k| k as u64);
    sampling.output_tokens_max = number(&mut config, "maxOutputTokens", "max_output_tokens")?;
    sampling.seed = config.number("seed")?;
    sampling.presence_penalty = number(&mut config, "presencePenalty", "presence_penalty")?;
    sampling.frequency_penalty = number(&mut config, "frequencyPenalty", "frequency_penalty")?;
    sampling.answers = number(&mut config, "candidateCount", "candidate_count")?;
    if let Some(raw) = config.take_either("stopSequences", "stop_sequences")? {
        for raw in config.elements(raw, "stopSequences")? {
            sampling.stop.push(config.text(raw, "stopSequences")?);
        }
    }
    let alternatives: Option<u64> = config.number("logprobs")?;
    let wanted: Option<bool> = number(&mut config, "responseLogprobs", "response_logprobs")?;
    sampling.logprobs = wanted.unwrap_or(false).then_some(alternatives.unwrap_or(0));
    if let Some(raw) = config.take_either("thinkingConfig", "thinking_config")? {
        let mut thinking = config.within(raw, "thinkingConfig")?;
        let tokens: Option<i64> = number(&mut thinking, "thinkingBudget", "thinking_budget")?;
        prompt.thinking.budget = tokens.map(|tokens| match u64::try_from(tokens) {
            Ok(0) => Budget::Off,
            Ok(tokens) => Budget::Tokens(tokens),
            Err(_) => Budget::Dynamic,
        });
        if let Some(level) = either_text(&mut thinking, "thinkingLevel", "thinking_level")? {
            prompt.thinking.effort = Effort::of(&level.to_ascii_lowercase());
            prompt.losses.add_if(prompt.thinking.effort.is_none(), Loss::ReasoningEffort);
        }
        let told: Option<bool> = number(&mut thinking, "includeThoughts", "include_thoughts")?;
        prompt.thinking.summary = told.unwrap_or(false).then(|| "auto".to_owned());
        prompt.losses.add_if(thinking.has_rest(), Loss::UnknownMembers);
    }
    format(prompt, &mut config)?;
    let modalities = config.take_either("responseModalities", "response_modalities")?;
    let is_text = |raw: &RawValue| {
        let plain: String = raw.get().split_whitespace().collect();
        plain.eq_ignore_ascii_case("[\"text\"]")
    };
    prompt.losses.add_if(modalities.is_some_and(|raw| !is_text(raw)), Loss::AnswerModality);
    for (name, other, loss) in [
        ("speechConfig", "speech_config", Loss::AnswerModality),
        ("imageConfig", "image_config", Loss::AnswerModality),
        ("mediaResolution", "media_resolution", Loss::ImageDetail),
    ] {
        prompt.losses.add_if(config.take_either(name, other)?.is_some(), loss);
    }
    prompt.losses.add_if(config.has_rest(), Loss::UnknownMembers);
    Ok(())
}

fn format(prompt: &mut Prompt, config: &mut Fields<'_>) -> Result<(), BodyError> {
    let kind = either_text(config, "responseMimeType", "response_mime_type")?;
    let older = config.take_either("responseSchema", "response_schema")?;
    let older = older.and_then(|raw| schema::standard(raw.get()));
    let schema = config.take_either("responseJsonSchema", "response_json_schema")?;
    prompt.format = match schema.map(Json::of).or(older) {
        Some(schema) => {
            // What others call strict asks more of a schema than Gemini does.
            Some(Format::JsonSchema { name: None, description: None, schema, strict: None })
        }
        None if kind.as_deref() == Some("application/json") => Some(Format::JsonObject),
        None => None,
    };
    let is_known = matches!(kind.as_deref(), None | Some("text/plain" | "application/json"));
    prompt.losses.add_if(!is_known, Loss::UnknownMembers);
    Ok(())
}

fn either_text(
    object: &mut Fields<'_>,
    name: &str,
    other: &str,
) -> Result<Option<String>, BodyError> {
    let Some(raw) = object.take_either(name, other)? else { return Ok(None) };
    object.text(raw, name).map(Some)
}

fn number<T: serde::de::DeserializeOwned>(
    object: &mut Fields<'_>,
    name: &str,
    other: &str,
) -> Result<Option<T>, BodyError> {
    let Some(raw) = object.take_either(name, other)? else { return Ok(None) };
    object.scalar(raw, name, "a number or a truth value in the allowed range").map(Some)
}
