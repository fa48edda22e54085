//! A prompt to a `Converse` body.
//!
//! The API has rules that others have not: turns alternate, no text is blank, files come by their
//! bytes, documents have a name of few letters, and no word forbids the use of tools.

use crate::wire::Dialect;
use crate::wire::loss::{Loss, Losses};
use crate::wire::object::{Array, Object};
use crate::wire::prompt::{
    Budget, Choice, Effort, Format, Json, Media, MediaKind, Part, Prompt, Role, Source,
};

/// Media types of documents, and the API's words for them.
pub(super) const DOCUMENTS: &[(&str, &str)] = &[
    ("application/pdf", "pdf"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
    ("text/csv", "csv"),
    ("text/html", "html"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
];
/// The formats of pictures and films, the second parts of their media types.
const IMAGES: [&str; 4] = ["png", "jpeg", "gif", "webp"];
const VIDEOS: [&str; 8] = ["mp4", "mov", "mkv", "webm", "flv", "mpeg", "mpg", "wmv"];
/// What a document is called that has no name.
const UNTITLED: &str = "document";

/// See [`crate::wire::prompt::write`].
pub(in crate::wire) fn write(prompt: &Prompt, losses: &mut Losses) -> Vec<u8> {
    let (mut system, turns) = prompt.alternating(losses);
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::open(&mut out);
    let mut messages = Array::open(body.key("messages"));
    if turns.is_empty() && !system.is_empty() {
        losses.add(Loss::SystemPlacement);
        let parts: Vec<Part> = system.drain(..).map(|text| Part::Text(text.into())).collect();
        let parts: Vec<&Part> = parts.iter().collect();
        message(&mut messages, prompt, Role::User, &parts, false, losses);
    }
    let last = turns.len().saturating_sub(1);
    for (at, (role, parts)) in turns.iter().enumerate() {
        let is_prefill = at == last && *role == Role::Assistant;
        message(&mut messages, prompt, *role, parts, is_prefill, losses);
    }
    messages.close();
    system.retain(|text| !text.trim().is_empty());
    if !system.is_empty() {
        let mut list = Array::open(body.key("system"));
        for text in &system {
            text_block(list.next(), text);
        }
        list.close();
    }
    tools(&mut body, prompt, losses);
    inference(&mut body, prompt, losses);
    model_fields(&mut body, prompt, losses);
    format(&mut body, prompt, losses);
    body.labels("requestMetadata", &prompt.labels.metadata);
    losses.add_if(prompt.labels.user.is_some(), Loss::User);
    losses.add_if(prompt.labels.cache_key.is_some(), Loss::PromptCacheKey);
    losses.add_if(prompt.is_kept(), Loss::Store);
    body.close();
    out
}

fn message(
    messages: &mut Array<'_>,
    prompt: &Prompt,
    role: Role,
    parts: &[&Part],
    is_prefill: bool,
    losses: &mut Losses,
) {
    let mut content = Vec::new();
    let mut list = Array::open(&mut content);
    for (at, part) in parts.iter().enumerate() {
        let is_end = is_prefill && at + 1 == parts.len();
        push_part(&mut list, prompt, role, part, is_end, losses);
    }
    let is_empty = list.is_empty();
    list.close();
    if is_empty {
        return;
    }
    let mut message = Object::open(messages.next());
    message.string("role", if role == Role::Assistant { "assistant" } else { "user" });
    message.key("content").extend_from_slice(&content);
    message.close();
}

fn push_part(
    list: &mut Array<'_>,
    prompt: &Prompt,
    role: Role,
    part: &Part,
    is_end: bool,
    losses: &mut Losses,
) {
    let is_own = prompt.dialect == Dialect::Bedrock;
    match part {
        Part::Text(text) | Part::Refusal(text) => {
            losses.add_if(matches!(part, Part::Refusal(_)), Loss::Refusals);
            let text = if is_end { text.trim_end() } else { text };
            if !text.trim().is_empty() {
                text_block(list.next(), text);
            }
        }
        Part::Media(file) if role == Role::User => media(list, file, losses),
        Part::Media(file) => losses.add(file.loss()),
        Part::Call(call) => {
            let mut union = Object::open(list.next());
            super::super::write::push_call(
                union.key("toolUse"),
                (&call.id, &call.name),
                Some(&call.object()),
                &[],
            );
            union.close();
        }
        Part::Result(result) => {
            let mut union = Object::open(list.next());
            let mut inner = Object::open(union.key("toolResult"));
            inner.string("toolUseId", &result.id);
            let mut content = Array::open(inner.key("content"));
            for part in &result.parts {
                match part {
                    Part::Text(text) if text.trim().is_empty() => {}
                    Part::Text(text) => text_block(content.next(), text),
                    Part::Media(file) => media(&mut content, file, losses),
                    Part::Native(native) if is_own => {
                        content.next().extend_from_slice(native.text().as_bytes());
                    }
                    Part::Native(_)
                    | Part::Call(_)
                    | Part::Result(_)
                    | Part::Reasoning(_)
                    | Part::Refusal(_) => losses.add(Loss::UnknownParts),
                }
            }
            content.close();
            if result.is_error {
                inner.string("status", "error");
            }
            inner.close();
            union.close();
        }
        Part::Reasoning(reasoning) if is_own => {
            list.next().extend_from_slice(reasoning.native.text().as_bytes());
        }
        Part::Reasoning(_) => losses.add(Loss::Reasoning),
        Part::Native(native) if is_own => {
            list.next().extend_from_slice(native.text().as_bytes());
        }
        Part::Native(_) => Prompt::lose_native(role, losses),
    }
}

fn text_block(out: &mut Vec<u8>, text: &str) {
    let mut block = Object::open(out);
    block.string("text", text);
    block.close();
}

fn media(list: &mut Array<'_>, media: &Media, losses: &mut Losses) {
    losses.add_if(media.detail.is_some(), Loss::ImageDetail);
    losses.add_if(media.origin.is_some(), Loss::DocumentTitles);
    let second =
        media.source.media_type().and_then(|kind| kind.split_once('/')).map_or("", |kind| kind.1);
    let (kind, format) = match media.kind {
        MediaKind::Image => {
            let second = if second == "jpg" { "jpeg" } else { second };
            ("image", IMAGES.into_iter().find(|format| *format == second))
        }
        MediaKind::Video => {
            let second = if second == "quicktime" { "mov" } else { second };
            ("video", VIDEOS.into_iter().find(|format| *format == second))
        }
        MediaKind::Document if matches!(media.source, Source::Text(_)) => ("document", Some("txt")),
        MediaKind::Document => {
            let known = DOCUMENTS.iter().find(|(kind, _)| media.source.media_type() == Some(*kind));
            ("document", known.map(|(_, format)| *format))
        }
        MediaKind::Audio => return losses.add(media.loss()),
    };
    let (name, data) = match &media.source {
        Source::Base64 { data, .. } => ("bytes", data),
        Source::Text(text) if media.kind == MediaKind::Document => ("text", text),
        Source::Text(_) | Source::Url { .. } | Source::File(_) => return losses.add(media.loss()),
    };
    let Some(format) = format else { return losses.add(media.loss()) };
    let mut union = Object::open(list.next());
    let mut file = Object::open(union.key(kind));
    file.string("format", format);
    if media.kind == MediaKind::Document {
        file.string("name", &document_name(media.title.as_deref(), losses));
    }
    let mut source = Object::open(file.key("source"));
    source.string(name, data);
    source.close();
    file.close();
    union.close();
}

/// A name in the letters that the API takes, without runs of white space.
fn document_name(title: Option<&str>, losses: &mut Losses) -> String {
    let Some(title) = title else { return UNTITLED.to_owned() };
    let fit = |c: char| c.is_ascii_alphanumeric() || "-()[] ".contains(c);
    let plain: String = title.chars().map(|c| if fit(c) { c } else { '-' }).take(200).collect();
    let plain = plain.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    losses.add_if(plain != title, Loss::DocumentTitles);
    if plain.is_empty() { UNTITLED.to_owned() } else { plain }
}

fn tools(body: &mut Object<'_>, prompt: &Prompt, losses: &mut Losses) {
    let offered = prompt.offered(Dialect::Bedrock, losses);
    losses.add_if(prompt.parallel_calls == Some(false), Loss::ParallelCalls);
    let has_calls =
        prompt.turns.iter().any(|turn| turn.parts.iter().any(|part| matches!(part, Part::Call(_))));
    let is_none = matches!(offered.choice, Some(Choice::None));
    // Without tools none can be called; but calls in earlier turns need their definitions.
    losses.add_if(is_none && has_calls, Loss::ToolChoice);
    let has_tools = !offered.functions.is_empty() || !offered.hosted.is_empty();
    if !has_tools || (is_none && !has_calls) {
        return;
    }
    let mut config = Object::open(body.key("toolConfig"));
    let mut list = Array::open(config.key("tools"));
    for function in &offered.functions {
        let mut union = Object::open(list.next());
        let mut spec = Object::open(union.key("toolSpec"));
        spec.string("name", &function.name);
        let about = function.description.as_deref().filter(|about| !about.is_empty());
        spec.optional_string("description", about);
        let mut schema = Object::open(spec.key("inputSchema"));
        let written = function.schema.as_ref().map(Json::text);
        schema.raw("json", written.unwrap_or(r#"{"type":"object","properties":{}}"#));
        schema.close();
        if function.strict == Some(true) {
            spec.raw("strict", "true");
        }
        spec.close();
        union.close();
    }
    for native in &offered.hosted {
        list.next().extend_from_slice(native.text().as_bytes());
    }
    list.close();
    match offered.choice {
        None | Some(Choice::None) => {}
        Some(Choice::Auto | Choice::Among { is_required: false, .. }) => {
            config.raw("toolChoice", r#"{"auto":{}}"#);
        }
        Some(Choice::Required | Choice::Among { is_required: true, .. }) => {
            config.raw("toolChoice", r#"{"any":{}}"#);
        }
        Some(Choice::One(name)) => {
            let mut choice = Object::open(config.key("toolChoice"));
            let mut tool = Object::open(choice.key("tool"));
            tool.string("name", name);
            tool.close();
            choice.close();
        }
        Some(Choice::Native(native)) => config.raw("toolChoice", native.text()),
    }
    config.close();
}

fn inference(body: &mut Object<'_>, prompt: &Prompt, losses: &mut Losses) {
    let sampling = &prompt.sampling;
    losses.add_if(sampling.temperature.is_some_and(|heat| heat > 1.0), Loss::Temperature);
    let stop: Vec<&String> = sampling.stop.iter().filter(|text| !text.is_empty()).collect();
    losses.add_if(stop.len() < sampling.stop.len(), Loss::Stop);
    let says_something = sampling.output_tokens_max.is_some()
        || sampling.temperature.is_some()
        || sampling.top_p.is_some()
        || !stop.is_empty();
    if says_something {
        let mut config = Object::open(body.key("inferenceConfig"));
        config.optional("maxTokens", sampling.output_tokens_max);
        config.optional("temperature", sampling.temperature.map(|heat| heat.min(1.0)));
        config.optional("topP", sampling.top_p);
        config.strings("stopSequences", stop.into_iter());
        config.close();
    }
    losses.add_if(sampling.seed.is_some(), Loss::Seed);
    let penalties = [sampling.presence_penalty, sampling.frequency_penalty];
    losses.add_if(penalties.iter().flatten().any(|penalty| *penalty != 0.0), Loss::Penalties);
    losses.add_if(sampling.answers.is_some_and(|answers| answers > 1), Loss::SeveralAnswers);
    losses.add_if(sampling.logprobs.is_some(), Loss::Logprobs);
    losses.add_if(sampling.verbosity.is_some(), Loss::Verbosity);
}

/// What the API leaves to the model: the fields of Anthropic's are known.
fn model_fields(body: &mut Object<'_>, prompt: &Prompt, losses: &mut Losses) {
    let is_known = prompt.dialect == Dialect::Bedrock
        || prompt.model.as_deref().is_some_and(|model| model.contains("anthropic"));
    let effort = prompt.thinking.effort.filter(|effort| *effort != Effort::None);
    losses.add_if(effort.is_some(), Loss::ReasoningEffort);
    losses.add_if(prompt.thinking.summary.is_some(), Loss::ReasoningSummary);
    let budget = prompt.thinking.budget;
    if !is_known {
        losses.add_if(prompt.sampling.top_k.is_some(), Loss::TopK);
        let thinks = budget.is_some_and(|budget| budget != Budget::Off);
        return losses.add_if(thinks, Loss::ReasoningEffort);
    }
    if budget.is_none() && prompt.sampling.top_k.is_none() {
        return;
    }
    let mut fields = Object::open(body.key("additionalModelRequestFields"));
    fields.optional("top_k", prompt.sampling.top_k);
    match budget {
        None => {}
        Some(Budget::Off) => fields.raw("thinking", r#"{"type":"disabled"}"#),
        Some(Budget::Dynamic) => fields.raw("thinking", r#"{"type":"adaptive"}"#),
        Some(Budget::Tokens(tokens)) => {
            let mut thinking = Object::typed(fields.key("thinking"), "enabled");
            thinking.number("budget_tokens", tokens);
            thinking.close();
        }
    }
    fields.close();
}

fn format(body: &mut Object<'_>, prompt: &Prompt, losses: &mut Losses) {
    match &prompt.format {
        None => {}
        Some(Format::JsonObject) => losses.add(Loss::JsonObject),
        Some(Format::JsonSchema { name, description, schema, strict }) => {
            losses.add_if(*strict != Some(true), Loss::SchemaStrictness);
            let mut config = Object::open(body.key("outputConfig"));
            let mut text = Object::typed(config.key("textFormat"), "json_schema");
            let mut structure = Object::open(text.key("structure"));
            let mut inner = Object::open(structure.key("jsonSchema"));
            inner.string("schema", schema.text());
            inner.optional_string("name", name.as_deref());
            inner.optional_string("description", description.as_deref());
            inner.close();
            structure.close();
            text.close();
            config.close();
        }
    }
}
