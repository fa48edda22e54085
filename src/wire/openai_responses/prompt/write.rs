//! A prompt to a body of Responses: a flat list of items.

use crate::wire::Dialect;
use crate::wire::loss::{Loss, Losses};
use crate::wire::object::{Array, Object};
use crate::wire::prompt::media::{as_text, data_url};
use crate::wire::prompt::{
    Choice, Format, Input, Media, MediaKind, Part, Prompt, Role, Source, Tool,
};

const OWN: Dialect = Dialect::OpenaiResponses;

/// The shortest longest answer that the API takes, in tokens; less is refused with
/// `integer_below_min_value`.
const OUTPUT_TOKENS_MIN: u64 = 16;

/// See [`crate::wire::prompt::write`].
pub(in crate::wire) fn write(prompt: &Prompt, losses: &mut Losses) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::open(&mut out);
    body.optional_string("model", prompt.model.as_deref());
    let mut system = prompt.system.iter();
    body.optional_string("instructions", system.next().map(String::as_str));
    let mut items = Array::open(body.key("input"));
    for text in system {
        let part = Part::Text(text.clone());
        message(&mut items, prompt, Role::System, &[&part], losses);
    }
    for turn in &prompt.turns {
        let mut said: Vec<&Part> = Vec::new();
        for part in &turn.parts {
            let is_said = match part {
                Part::Text(_) | Part::Media(_) | Part::Refusal(_) => true,
                Part::Call(_) | Part::Result(_) | Part::Reasoning(_) => false,
                // Native parts of a message have types of their own, items stand alone.
                Part::Native(native) => native.text().contains("\"input_"),
            };
            if is_said {
                said.push(part);
                continue;
            }
            messages(&mut items, prompt, turn.role, &said, losses);
            said.clear();
            item(&mut items, prompt, turn.role, part, losses);
        }
        messages(&mut items, prompt, turn.role, &said, losses);
    }
    items.close();
    tools(&mut body, prompt, losses);
    settings(&mut body, prompt, losses);
    if prompt.stream {
        body.raw("stream", "true");
    }
    body.close();
    out
}

fn settings(body: &mut Object<'_>, prompt: &Prompt, losses: &mut Losses) {
    let sampling = &prompt.sampling;
    let effort = prompt.thinking.in_words(losses);
    if effort.is_some() || prompt.thinking.summary.is_some() {
        let mut reasoning = Object::open(body.key("reasoning"));
        reasoning.optional_string("effort", effort.map(crate::wire::prompt::Effort::word));
        reasoning.optional_string("summary", prompt.thinking.summary.as_deref());
        reasoning.close();
    }
    if prompt.format.is_some() || sampling.verbosity.is_some() {
        let mut text = Object::open(body.key("text"));
        match &prompt.format {
            None => {}
            Some(Format::JsonObject) => text.raw("format", r#"{"type":"json_object"}"#),
            Some(Format::JsonSchema { name, description, schema, strict }) => {
                let mut format = Object::typed(text.key("format"), "json_schema");
                format.string("name", name.as_deref().unwrap_or("answer"));
                format.optional_string("description", description.as_deref());
                format.raw("schema", schema.text());
                format.optional("strict", *strict);
                format.close();
            }
        }
        text.optional_string("verbosity", sampling.verbosity.as_deref());
        text.close();
    }
    body.optional("temperature", sampling.temperature);
    body.optional("top_p", sampling.top_p);
    let is_short = |tokens: &u64| *tokens < OUTPUT_TOKENS_MIN && prompt.dialect != OWN;
    losses.add_if(sampling.output_tokens_max.as_ref().is_some_and(is_short), Loss::OutputTokens);
    let most = sampling.output_tokens_max;
    let most = most.map(|most| if is_short(&most) { OUTPUT_TOKENS_MIN } else { most });
    body.optional("max_output_tokens", most);
    if let Some(alternatives) = sampling.logprobs {
        body.raw("include", r#"["message.output_text.logprobs"]"#);
        body.number("top_logprobs", alternatives);
    }
    losses.add_if(sampling.top_k.is_some(), Loss::TopK);
    losses.add_if(!sampling.stop.is_empty(), Loss::Stop);
    losses.add_if(sampling.seed.is_some(), Loss::Seed);
    let penalties = [sampling.presence_penalty, sampling.frequency_penalty];
    losses.add_if(penalties.iter().flatten().any(|penalty| *penalty != 0.0), Loss::Penalties);
    losses.add_if(sampling.answers.is_some_and(|answers| answers > 1), Loss::SeveralAnswers);
    body.optional_string("user", prompt.labels.user.as_deref());
    body.optional_string("prompt_cache_key", prompt.labels.cache_key.as_deref());
    body.labels("metadata", &prompt.labels.metadata);
    // The API keeps answers unless told otherwise, which no caller of another dialect expects.
    let store = if prompt.dialect == OWN { prompt.labels.store } else { Some(prompt.is_kept()) };
    body.optional("store", store);
}

fn item(items: &mut Array<'_>, prompt: &Prompt, role: Role, part: &Part, losses: &mut Losses) {
    let is_own = prompt.dialect == OWN;
    match part {
        Part::Call(call) => {
            let (kind, name, text) = match &call.input {
                Input::Json(text) => ("function_call", "arguments", text),
                Input::Text(text) => ("custom_tool_call", "input", text),
            };
            let mut item = Object::typed(items.next(), kind);
            item.string("call_id", &call.id);
            item.string("name", &call.name);
            item.string(name, text);
            item.close();
        }
        Part::Result(result) => {
            losses.add_if(result.is_error, Loss::ToolErrors);
            let kind =
                if result.is_custom { "custom_tool_call_output" } else { "function_call_output" };
            let mut item = Object::typed(items.next(), kind);
            item.string("call_id", &result.id);
            match &result.parts[..] {
                [] => item.string("output", ""),
                [Part::Text(text)] => item.string("output", text),
                parts => {
                    let parts: Vec<&Part> = parts.iter().collect();
                    content(item.key("output"), prompt, Role::User, &parts, losses);
                }
            }
            item.close();
        }
        Part::Reasoning(reasoning) if is_own => {
            items.next().extend_from_slice(reasoning.native.text().as_bytes());
        }
        Part::Reasoning(_) => losses.add(Loss::Reasoning),
        Part::Native(native) if is_own => {
            items.next().extend_from_slice(native.text().as_bytes());
        }
        Part::Native(_) => Prompt::lose_native(role, losses),
        Part::Text(_) | Part::Media(_) | Part::Refusal(_) => {}
    }
}

/// The parts that one side said, as a message. A text of the model is a message of its own, with a
/// plain string: a list of such texts has to name the id under which the provider keeps them.
fn messages(
    items: &mut Array<'_>,
    prompt: &Prompt,
    role: Role,
    parts: &[&Part],
    losses: &mut Losses,
) {
    if role != Role::Assistant {
        return message(items, prompt, role, parts, losses);
    }
    for part in parts {
        if let Part::Text(text) = part {
            let mut item = Object::typed(items.next(), "message");
            item.string("role", "assistant");
            item.string("content", text);
            item.close();
        } else {
            message(items, prompt, role, &[part], losses);
        }
    }
}

fn message(
    items: &mut Array<'_>,
    prompt: &Prompt,
    role: Role,
    parts: &[&Part],
    losses: &mut Losses,
) {
    let mut list = Vec::new();
    if !content(&mut list, prompt, role, parts, losses) {
        return;
    }
    let mut item = Object::typed(items.next(), "message");
    item.string(
        "role",
        match role {
            Role::System => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
        },
    );
    item.key("content").extend_from_slice(&list);
    item.close();
}

/// Writes a list of parts; says whether it has any.
fn content(
    out: &mut Vec<u8>,
    prompt: &Prompt,
    role: Role,
    parts: &[&Part],
    losses: &mut Losses,
) -> bool {
    let kind = if role == Role::Assistant { "output_text" } else { "input_text" };
    let mut list = Array::open(out);
    for part in parts {
        match part {
            Part::Refusal(text) if role == Role::Assistant => {
                let mut part = Object::typed(list.next(), "refusal");
                part.string("refusal", text);
                part.close();
            }
            Part::Text(text) | Part::Refusal(text) => text_part(&mut list, kind, text),
            Part::Media(file) if role == Role::Assistant => losses.add(file.loss()),
            Part::Media(file) => media(&mut list, prompt.dialect, file, losses),
            Part::Native(native) if prompt.dialect == OWN => {
                list.next().extend_from_slice(native.text().as_bytes());
            }
            Part::Native(_) => Prompt::lose_native(role, losses),
            Part::Call(_) | Part::Result(_) | Part::Reasoning(_) => losses.add(Loss::UnknownParts),
        }
    }
    let is_empty = list.is_empty();
    list.close();
    !is_empty
}

fn text_part(list: &mut Array<'_>, kind: &str, text: &str) {
    let mut part = Object::typed(list.next(), kind);
    part.string("text", text);
    part.close();
}

fn media(list: &mut Array<'_>, dialect: Dialect, media: &Media, losses: &mut Losses) {
    losses.add_if(media.origin.is_some(), Loss::DocumentTitles);
    let is_image = match (media.kind, &media.source) {
        (MediaKind::Audio | MediaKind::Video, _) => return losses.add(media.loss()),
        (_, Source::File(_)) if !dialect.has_openai_files() => return losses.add(Loss::FileIds),
        (MediaKind::Image, Source::Text(_)) => return losses.add(Loss::Images),
        (MediaKind::Document, Source::Text(text)) => {
            losses.add(Loss::DocumentForm);
            return text_part(list, "input_text", &as_text(media, text));
        }
        (MediaKind::Image, _) => true,
        (MediaKind::Document, _) => false,
    };
    let mut part = Object::typed(list.next(), if is_image { "input_image" } else { "input_file" });
    match &media.source {
        Source::Base64 { media_type, data } => {
            let url = data_url(media_type, data);
            part.string(if is_image { "image_url" } else { "file_data" }, &url);
            // A file without a name is refused.
            let name = media.title.as_deref().unwrap_or("document.pdf");
            part.optional_string("filename", (!is_image).then_some(name));
        }
        Source::Url { url, .. } => {
            part.string(if is_image { "image_url" } else { "file_url" }, url);
            losses.add_if(!is_image && media.title.is_some(), Loss::DocumentTitles);
        }
        Source::File(id) => part.string("file_id", id),
        Source::Text(_) => {}
    }
    if is_image {
        // Strict servers want it said.
        part.string("detail", media.detail.as_deref().unwrap_or("auto"));
    }
    part.close();
}

fn tools(body: &mut Object<'_>, prompt: &Prompt, losses: &mut Losses) {
    let is_own = prompt.dialect == OWN;
    let mut definitions = Vec::new();
    let mut list = Array::open(&mut definitions);
    for tool in &prompt.tools {
        match tool {
            Tool::Function(function) => {
                let mut item = Object::typed(list.next(), "function");
                item.string("name", &function.name);
                item.optional_string("description", function.description.as_deref());
                item.raw("parameters", function.schema.as_ref().map_or("null", |json| json.text()));
                // Where nothing is said, the API would be strict, and refuse most schemas.
                let strict = function.strict.or((!is_own).then_some(false));
                item.optional("strict", strict);
                item.close();
            }
            Tool::Custom { name, description, format } => {
                let mut item = Object::typed(list.next(), "custom");
                item.string("name", name);
                item.optional_string("description", description.as_deref());
                if let Some(format) = format {
                    item.raw("format", format.text());
                }
                item.close();
            }
            Tool::Hosted { native, .. } if is_own => {
                list.next().extend_from_slice(native.text().as_bytes());
            }
            Tool::Hosted { .. } => losses.add(Loss::HostedTools),
        }
    }
    let is_empty = list.is_empty();
    list.close();
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
            choice.string("mode", if *is_required { "required" } else { "auto" });
            let mut list = Array::open(choice.key("tools"));
            for name in names {
                chosen(list.next(), prompt, name);
            }
            list.close();
            choice.close();
        }
        Some(Choice::Native(native)) if is_own => body.raw("tool_choice", native.text()),
        Some(Choice::One(_) | Choice::Native(_)) => losses.add(Loss::ToolChoice),
    }
}

fn chosen(out: &mut Vec<u8>, prompt: &Prompt, name: &str) {
    let kind = if prompt.takes_text(name) { "custom" } else { "function" };
    let mut choice = Object::typed(out, kind);
    choice.string("name", name);
    choice.close();
}
