//! A prompt to a body of Chat Completions.
//!
//! Results of tools come right after their calls, each a message of its own, and are text: what
//! else a tool returned follows as the user's.

use crate::wire::Dialect;
use crate::wire::json::push_string;
use crate::wire::loss::{Loss, Losses};
use crate::wire::object::{Array, Object};
use crate::wire::prompt::media::{as_text, data_url};
use crate::wire::prompt::{
    Choice, Effort, Format, Function, Input, Json, Media, MediaKind, Part, Prompt, Role, Source,
    Tool, Turn,
};
use serde_json::value::RawValue;

/// The most stop sequences.
const STOP_MAX: usize = 4;

/// See [`crate::wire::prompt::write`].
pub(in crate::wire) fn write(prompt: &Prompt, losses: &mut Losses) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::open(&mut out);
    body.optional_string("model", prompt.model.as_deref());
    let mut messages = Array::open(body.key("messages"));
    if !prompt.system.is_empty() {
        let parts: Vec<Part> = prompt.system.iter().cloned().map(Part::Text).collect();
        said(&mut messages, "system", &parts.iter().collect::<Vec<_>>(), losses);
    }
    for turn in &prompt.turns {
        match turn.role {
            Role::System => {
                said(&mut messages, "system", &turn.parts.iter().collect::<Vec<_>>(), losses);
            }
            Role::User => user(&mut messages, prompt, turn, losses),
            Role::Assistant => assistant(&mut messages, prompt, turn, losses),
        }
    }
    messages.close();
    tools(&mut body, prompt, losses);
    if let Some(format) = &prompt.format {
        self::format(&mut body, format);
    }
    let effort = prompt.thinking.in_words(losses);
    if let Some(effort) = effort {
        losses.add_if(effort == Effort::Max, Loss::ReasoningEffort);
        body.string("reasoning_effort", effort.min(Effort::Xhigh).word());
    }
    losses.add_if(prompt.thinking.summary.is_some(), Loss::ReasoningSummary);
    sampling(&mut body, prompt, losses);
    body.optional_string("user", prompt.labels.user.as_deref());
    body.optional_string("prompt_cache_key", prompt.labels.cache_key.as_deref());
    body.labels("metadata", &prompt.labels.metadata);
    losses.add_if(prompt.is_kept() && prompt.dialect != Dialect::OpenaiChat, Loss::Store);
    if prompt.dialect == Dialect::OpenaiChat {
        body.optional("store", prompt.labels.store);
    }
    if prompt.stream {
        body.raw("stream", "true");
        body.raw("stream_options", r#"{"include_usage":true}"#);
    }
    body.close();
    out
}

fn sampling(body: &mut Object<'_>, prompt: &Prompt, losses: &mut Losses) {
    let sampling = &prompt.sampling;
    body.optional("temperature", sampling.temperature);
    body.optional("top_p", sampling.top_p);
    if prompt.dialect == Dialect::OpenaiChat {
        body.optional("top_k", sampling.top_k);
    } else {
        losses.add_if(sampling.top_k.is_some(), Loss::TopK);
    }
    losses.add_if(sampling.stop.len() > STOP_MAX, Loss::Stop);
    body.strings("stop", sampling.stop.iter().take(STOP_MAX));
    body.optional("max_completion_tokens", sampling.output_tokens_max);
    body.optional("seed", sampling.seed);
    body.optional("presence_penalty", sampling.presence_penalty);
    body.optional("frequency_penalty", sampling.frequency_penalty);
    body.optional("n", sampling.answers);
    if let Some(alternatives) = sampling.logprobs {
        body.raw("logprobs", "true");
        body.number("top_logprobs", alternatives);
    }
    body.optional_string("verbosity", sampling.verbosity.as_deref());
}

/// A turn of the user: results of tools first, each a message.
fn user(messages: &mut Array<'_>, prompt: &Prompt, turn: &Turn, losses: &mut Losses) {
    let mut said: Vec<&Part> = Vec::new();
    for part in &turn.parts {
        let Part::Result(result) = part else { continue };
        losses.add_if(result.is_error, Loss::ToolErrors);
        let mut message = Object::open(messages.next());
        message.string("role", "tool");
        message.string("tool_call_id", &result.id);
        message.string("content", &result.text());
        message.close();
        losses.add_if(result.others().next().is_some(), Loss::ToolResultMedia);
        said.extend(result.others());
    }
    said.extend(turn.parts.iter().filter(|part| !matches!(part, Part::Result(_))));
    content_message(messages, prompt, &said, losses);
}

/// A message of the user with texts and files, if it has any.
fn content_message(
    messages: &mut Array<'_>,
    prompt: &Prompt,
    parts: &[&Part],
    losses: &mut Losses,
) {
    if let [Part::Text(text)] = parts {
        text_message(messages, "user", text);
        return;
    }
    let mut content = Vec::new();
    let mut list = Array::open(&mut content);
    for part in parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => text_part(list.next(), text),
            Part::Media(file) => media(&mut list, prompt.dialect, file, losses),
            Part::Native(native) if prompt.dialect == Dialect::OpenaiChat => {
                list.next().extend_from_slice(native.text().as_bytes());
            }
            Part::Native(_) => Prompt::lose_native(Role::User, losses),
            Part::Reasoning(_) => losses.add(Loss::Reasoning),
            Part::Call(_) | Part::Result(_) => losses.add(Loss::UnknownParts),
        }
    }
    let is_empty = list.is_empty();
    list.close();
    if !is_empty {
        let mut message = Object::open(messages.next());
        message.string("role", "user");
        message.key("content").extend_from_slice(&content);
        message.close();
    }
}

fn assistant(messages: &mut Array<'_>, prompt: &Prompt, turn: &Turn, losses: &mut Losses) {
    let is_own = prompt.dialect == Dialect::OpenaiChat;
    let (mut texts, mut calls, mut thoughts) = (Vec::new(), Vec::new(), Vec::new());
    for part in &turn.parts {
        match part {
            Part::Text(_) | Part::Refusal(_) => texts.push(part),
            Part::Call(call) => calls.push(call),
            Part::Reasoning(reasoning) if is_own => thoughts.push(reasoning),
            Part::Reasoning(_) => losses.add(Loss::Reasoning),
            Part::Media(file) => losses.add(file.loss()),
            Part::Native(_) => Prompt::lose_native(Role::Assistant, losses),
            Part::Result(_) => losses.add(Loss::UnknownParts),
        }
    }
    if texts.is_empty() && calls.is_empty() {
        return;
    }
    let mut message = Object::open(messages.next());
    message.string("role", "assistant");
    if !thoughts.is_empty() {
        let text: String = thoughts.iter().map(|reasoning| &*reasoning.text).collect();
        message.string("reasoning_content", &text);
    }
    match &texts[..] {
        [] => message.raw("content", "null"),
        [Part::Text(text)] => message.string("content", text),
        _ => content(message.key("content"), &texts, losses),
    }
    if !calls.is_empty() {
        let mut list = Array::open(message.key("tool_calls"));
        for call in calls {
            let mut item = Object::open(list.next());
            item.string("id", &call.id);
            let (kind, name, text) = match &call.input {
                Input::Json(text) => ("function", "arguments", text),
                Input::Text(text) => ("custom", "input", text),
            };
            item.string("type", kind);
            let mut inner = Object::open(item.key(kind));
            inner.string("name", &call.name);
            inner.string(name, text);
            inner.close();
            item.close();
        }
        list.close();
    }
    message.close();
}

/// A message of texts alone.
fn said(messages: &mut Array<'_>, role: &str, parts: &[&Part], losses: &mut Losses) {
    if let [Part::Text(text)] = parts {
        text_message(messages, role, text);
        return;
    }
    let mut message = Object::open(messages.next());
    message.string("role", role);
    content(message.key("content"), parts, losses);
    message.close();
}

fn text_message(messages: &mut Array<'_>, role: &str, text: &str) {
    let mut message = Object::open(messages.next());
    message.string("role", role);
    message.string("content", text);
    message.close();
}

/// Texts and refusals as a list of parts.
fn content(out: &mut Vec<u8>, parts: &[&Part], losses: &mut Losses) {
    let mut list = Array::open(out);
    for part in parts {
        match part {
            Part::Text(text) => text_part(list.next(), text),
            Part::Refusal(text) => {
                let mut object = Object::typed(list.next(), "refusal");
                object.string("refusal", text);
                object.close();
            }
            Part::Media(_)
            | Part::Call(_)
            | Part::Result(_)
            | Part::Reasoning(_)
            | Part::Native(_) => losses.add(Loss::UnknownParts),
        }
    }
    list.close();
}

fn text_part(out: &mut Vec<u8>, text: &str) {
    let mut object = Object::typed(out, "text");
    object.string("text", text);
    object.close();
}

fn media(list: &mut Array<'_>, dialect: Dialect, media: &Media, losses: &mut Losses) {
    losses.add_if(media.origin.is_some(), Loss::DocumentTitles);
    match (media.kind, &media.source) {
        (MediaKind::Image, Source::Base64 { .. } | Source::Url { .. }) => {
            let mut part = Object::typed(list.next(), "image_url");
            let mut image = Object::open(part.key("image_url"));
            match &media.source {
                Source::Base64 { media_type, data } => {
                    image.string("url", &data_url(media_type, data));
                }
                Source::Url { url, .. } => image.string("url", url),
                Source::File(_) | Source::Text(_) => {}
            }
            image.optional_string("detail", media.detail.as_deref());
            image.close();
            part.close();
        }
        (MediaKind::Document, Source::Base64 { media_type, data }) => {
            let mut part = Object::typed(list.next(), "file");
            let mut file = Object::open(part.key("file"));
            // A file without a name is refused.
            file.string("filename", media.title.as_deref().unwrap_or("document.pdf"));
            file.string("file_data", &data_url(media_type, data));
            file.close();
            part.close();
        }
        (MediaKind::Document, Source::Text(text)) => {
            losses.add(Loss::DocumentForm);
            text_part(list.next(), &as_text(media, text));
        }
        (MediaKind::Audio, Source::Base64 { media_type, data }) => {
            let format = match &**media_type {
                "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
                "audio/mpeg" | "audio/mp3" => "mp3",
                _ => return losses.add(Loss::Audio),
            };
            let mut part = Object::typed(list.next(), "input_audio");
            let mut audio = Object::open(part.key("input_audio"));
            audio.string("data", data);
            audio.string("format", format);
            audio.close();
            part.close();
        }
        (MediaKind::Document, Source::File(id)) if dialect.has_openai_files() => {
            let mut part = Object::typed(list.next(), "file");
            let mut file = Object::open(part.key("file"));
            push_string(file.key("file_id"), id);
            file.close();
            part.close();
        }
        (
            MediaKind::Image | MediaKind::Document | MediaKind::Audio | MediaKind::Video,
            Source::File(_),
        ) => losses.add(Loss::FileIds),
        (MediaKind::Document, Source::Url { .. })
        | (MediaKind::Audio, Source::Url { .. } | Source::Text(_))
        | (MediaKind::Image, Source::Text(_))
        | (MediaKind::Video, Source::Base64 { .. } | Source::Url { .. } | Source::Text(_)) => {
            losses.add(media.loss());
        }
    }
}

fn tools(body: &mut Object<'_>, prompt: &Prompt, losses: &mut Losses) {
    let is_own = prompt.dialect == Dialect::OpenaiChat;
    let mut definitions = Vec::new();
    let mut list = Array::open(&mut definitions);
    let mut search = None;
    for tool in &prompt.tools {
        match tool {
            Tool::Function(function) => self::function(list.next(), function),
            Tool::Custom { name, description, format } => {
                let mut item = Object::typed(list.next(), "custom");
                let mut custom = Object::open(item.key("custom"));
                custom.string("name", name);
                custom.optional_string("description", description.as_deref());
                if let Some(format) = format {
                    grammar(custom.key("format"), format);
                }
                custom.close();
                item.close();
            }
            Tool::Hosted { name, native } if is_own && name == "web_search_options" => {
                search = Some(native);
            }
            Tool::Hosted { native, .. } if is_own => {
                list.next().extend_from_slice(native.text().as_bytes());
            }
            Tool::Hosted { .. } => losses.add(Loss::HostedTools),
        }
    }
    let is_empty = list.is_empty();
    list.close();
    if let Some(native) = search {
        body.raw("web_search_options", native.text());
    }
    if is_empty {
        let forces = matches!(prompt.choice, Some(Choice::Required | Choice::One(_)));
        losses.add_if(forces, Loss::ToolChoice);
        return;
    }
    body.key("tools").extend_from_slice(&definitions);
    body.optional("parallel_tool_calls", prompt.parallel_calls);
    match &prompt.choice {
        None => {}
        Some(Choice::Auto) => body.string("tool_choice", "auto"),
        Some(Choice::None) => body.string("tool_choice", "none"),
        Some(Choice::Required) => body.string("tool_choice", "required"),
        Some(Choice::One(name)) if prompt.defines(name) => {
            chosen(body.key("tool_choice"), prompt, name);
        }
        Some(Choice::Among { names, is_required }) => {
            let mut choice = Object::typed(body.key("tool_choice"), "allowed_tools");
            let mut allowed = Object::open(choice.key("allowed_tools"));
            allowed.string("mode", if *is_required { "required" } else { "auto" });
            let mut list = Array::open(allowed.key("tools"));
            for name in names {
                chosen(list.next(), prompt, name);
            }
            list.close();
            allowed.close();
            choice.close();
        }
        Some(Choice::Native(native)) if is_own => body.raw("tool_choice", native.text()),
        Some(Choice::One(_) | Choice::Native(_)) => losses.add(Loss::ToolChoice),
    }
}

/// The name of a tool in a choice.
fn chosen(out: &mut Vec<u8>, prompt: &Prompt, name: &str) {
    let kind = if prompt.takes_text(name) { "custom" } else { "function" };
    let mut choice = Object::typed(out, kind);
    let mut inner = Object::open(choice.key(kind));
    inner.string("name", name);
    inner.close();
    choice.close();
}

fn function(out: &mut Vec<u8>, function: &Function) {
    let mut item = Object::typed(out, "function");
    let mut inner = Object::open(item.key("function"));
    inner.string("name", &function.name);
    inner.optional_string("description", function.description.as_deref());
    if let Some(schema) = &function.schema {
        inner.raw("parameters", schema.text());
    }
    inner.optional("strict", function.strict);
    inner.close();
    item.close();
}

/// The grammar of a custom tool, which the hub keeps as Responses writes it.
fn grammar(out: &mut Vec<u8>, format: &Json) {
    let mut fields = serde_json::from_str::<Grammar<'_>>(format.text()).unwrap_or_default();
    match (fields.syntax.take(), fields.definition.take()) {
        (Some(syntax), Some(definition)) => {
            let mut outer = Object::typed(out, "grammar");
            let mut inner = Object::open(outer.key("grammar"));
            inner.raw("syntax", syntax.get());
            inner.raw("definition", definition.get());
            inner.close();
            outer.close();
        }
        (Some(_) | None, Some(_) | None) => out.extend_from_slice(format.text().as_bytes()),
    }
}

/// A grammar as Responses writes it.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Grammar<'a> {
    #[serde(borrow)]
    syntax: Option<&'a RawValue>,
    #[serde(borrow)]
    definition: Option<&'a RawValue>,
}

fn format(body: &mut Object<'_>, format: &Format) {
    match format {
        Format::JsonObject => body.raw("response_format", r#"{"type":"json_object"}"#),
        Format::JsonSchema { name, description, schema, strict } => {
            let mut outer = Object::typed(body.key("response_format"), "json_schema");
            let mut inner = Object::open(outer.key("json_schema"));
            inner.string("name", name.as_deref().unwrap_or("answer"));
            inner.optional_string("description", description.as_deref());
            inner.raw("schema", schema.text());
            inner.optional("strict", *strict);
            inner.close();
            outer.close();
        }
    }
}
