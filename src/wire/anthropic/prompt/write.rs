//! A prompt to a `/v1/messages` body.
//!
//! The API has rules that others have not: turns alternate, results of tools come first in theirs,
//! no text is empty, ids have few letters, and an answer has a bound.

use super::closed::closed;
use crate::wire::Dialect;
use crate::wire::loss::{Loss, Losses};
use crate::wire::object::{Array, Object};
use crate::wire::prompt::{
    Budget, Choice, Effort, Format, Json, Media, MediaKind, Part, Prompt, Role, Source,
};
use std::borrow::Cow;

/// The bound of an answer where none is given.
const OUTPUT_TOKENS: u64 = 4096;

/// See [`crate::wire::prompt::write`].
pub(in crate::wire) fn write(prompt: &Prompt, losses: &mut Losses) -> Vec<u8> {
    let (mut system, turns) = prompt.alternating(losses);
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::open(&mut out);
    body.optional_string("model", prompt.model.as_deref());
    let thinking = budget(prompt, losses);
    let room = match thinking {
        Some(Budget::Tokens(tokens)) => tokens,
        Some(Budget::Off | Budget::Dynamic) | None => 0,
    };
    // The bound must exceed the thinking.
    let asked = prompt.sampling.output_tokens_max.unwrap_or(OUTPUT_TOKENS.saturating_add(room));
    body.number("max_tokens", if asked > room { asked } else { room.saturating_add(asked) });
    let mut messages = Array::open(body.key("messages"));
    if turns.is_empty() && !system.is_empty() {
        losses.add(Loss::SystemPlacement);
        let parts: Vec<Part> = system.drain(..).map(|text| Part::Text(text.into())).collect();
        message(
            &mut messages,
            prompt,
            Role::User,
            &parts.iter().collect::<Vec<_>>(),
            false,
            losses,
        );
    }
    let last = turns.len().saturating_sub(1);
    for (at, (role, parts)) in turns.iter().enumerate() {
        let is_prefill = at == last && *role == Role::Assistant;
        message(&mut messages, prompt, *role, parts, is_prefill, losses);
    }
    messages.close();
    system.retain(|text| !text.trim().is_empty());
    match &system[..] {
        [] => {}
        [text] => body.string("system", text),
        _ => {
            let mut list = Array::open(body.key("system"));
            for text in &system {
                text_block(list.next(), text);
            }
            list.close();
        }
    }
    tools(&mut body, prompt, losses);
    output(&mut body, prompt, thinking, losses);
    sampling(&mut body, prompt, thinking, losses);
    if let Some(user) = &prompt.labels.user {
        let mut metadata = Object::open(body.key("metadata"));
        metadata.string("user_id", user);
        metadata.close();
    }
    losses.add_if(!prompt.labels.metadata.is_empty(), Loss::Metadata);
    losses.add_if(prompt.labels.cache_key.is_some(), Loss::PromptCacheKey);
    losses.add_if(prompt.is_kept(), Loss::Store);
    if prompt.stream {
        body.raw("stream", "true");
    }
    body.close();
    out
}

/// How much to think in tokens, if it is asked for so. Foreign turns have no reasoning of ours, and
/// with it switched on the API refuses calls without; it refuses a forced choice too.
fn budget(prompt: &Prompt, losses: &mut Losses) -> Option<Budget> {
    let budget = match (prompt.thinking.budget, prompt.thinking.effort) {
        (None, Some(Effort::None)) => Some(Budget::Off),
        (budget, _) => budget,
    };
    let has_calls =
        prompt.turns.iter().any(|turn| turn.parts.iter().any(|part| matches!(part, Part::Call(_))));
    let is_forced = matches!(prompt.choice, Some(Choice::One(_) | Choice::Required));
    let is_foreign = prompt.dialect != Dialect::Anthropic;
    if is_foreign && budget.is_some_and(|budget| budget != Budget::Off) && (has_calls || is_forced)
    {
        losses.add(Loss::ReasoningEffort);
        return None;
    }
    // The API has a least budget.
    match budget {
        Some(Budget::Tokens(0)) => Some(Budget::Off),
        Some(Budget::Tokens(tokens)) if tokens < 1024 => {
            losses.add(Loss::ReasoningEffort);
            Some(Budget::Tokens(1024))
        }
        budget => budget,
    }
}

fn output(body: &mut Object<'_>, prompt: &Prompt, thinking: Option<Budget>, losses: &mut Losses) {
    match thinking {
        None => {}
        Some(Budget::Off) => body.raw("thinking", r#"{"type":"disabled"}"#),
        Some(Budget::Dynamic) => body.raw("thinking", r#"{"type":"adaptive"}"#),
        Some(Budget::Tokens(tokens)) => {
            let mut object = Object::typed(body.key("thinking"), "enabled");
            object.number("budget_tokens", tokens);
            object.close();
        }
    }
    losses.add_if(prompt.thinking.summary.is_some(), Loss::ReasoningSummary);
    let effort = prompt.thinking.effort.filter(|effort| *effort != Effort::None);
    losses.add_if(effort == Some(Effort::Minimal), Loss::ReasoningEffort);
    let schema = match &prompt.format {
        Some(Format::JsonObject) => {
            losses.add(Loss::JsonObject);
            None
        }
        Some(Format::JsonSchema { name, description, schema, strict }) => {
            losses.add_if(name.is_some() || description.is_some(), Loss::SchemaName);
            losses.add_if(*strict != Some(true), Loss::SchemaStrictness);
            Some(schema)
        }
        None => None,
    };
    if effort.is_none() && schema.is_none() {
        return;
    }
    let mut config = Object::open(body.key("output_config"));
    config.optional_string("effort", effort.map(|effort| effort.max(Effort::Low).word()));
    if let Some(schema) = schema {
        let mut format = Object::typed(config.key("format"), "json_schema");
        format.raw("schema", &closed(schema.text()));
        format.close();
    }
    config.close();
}

fn sampling(body: &mut Object<'_>, prompt: &Prompt, thinking: Option<Budget>, losses: &mut Losses) {
    let sampling = &prompt.sampling;
    let is_own = prompt.dialect == Dialect::Anthropic;
    // The API takes none of these while it thinks, and not the first two together.
    let thinks = !is_own && matches!(thinking, Some(Budget::Tokens(_) | Budget::Dynamic));
    let has_temperature = sampling.temperature.is_some();
    losses.add_if(has_temperature && thinks, Loss::Temperature);
    losses.add_if(sampling.temperature.is_some_and(|heat| heat > 1.0), Loss::Temperature);
    let drops_top_p = !is_own && (thinks || has_temperature);
    losses.add_if(sampling.top_p.is_some() && drops_top_p, Loss::TopP);
    losses.add_if(sampling.top_k.is_some() && thinks, Loss::TopK);
    body.optional(
        "temperature",
        sampling.temperature.filter(|_| !thinks).map(|heat| heat.min(1.0)),
    );
    body.optional("top_p", sampling.top_p.filter(|_| !drops_top_p));
    body.optional("top_k", sampling.top_k.filter(|_| !thinks));
    // A sequence of white space is refused.
    let (stop, blank): (Vec<&String>, Vec<&String>) =
        sampling.stop.iter().partition(|text| !text.trim().is_empty());
    losses.add_if(!blank.is_empty(), Loss::Stop);
    body.strings("stop_sequences", stop.into_iter());
    losses.add_if(sampling.seed.is_some(), Loss::Seed);
    let penalties = [sampling.presence_penalty, sampling.frequency_penalty];
    losses.add_if(penalties.iter().flatten().any(|penalty| *penalty != 0.0), Loss::Penalties);
    losses.add_if(sampling.answers.is_some_and(|answers| answers > 1), Loss::SeveralAnswers);
    losses.add_if(sampling.logprobs.is_some(), Loss::Logprobs);
    losses.add_if(sampling.verbosity.is_some(), Loss::Verbosity);
}

fn message(
    messages: &mut Array<'_>,
    prompt: &Prompt,
    role: Role,
    parts: &[&Part],
    is_prefill: bool,
    losses: &mut Losses,
) {
    let is_own = prompt.dialect == Dialect::Anthropic;
    let mut content = Vec::new();
    let mut list = Array::open(&mut content);
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                losses.add_if(matches!(part, Part::Refusal(_)), Loss::Refusals);
                let is_end = is_prefill && at + 1 == parts.len();
                let text = if is_end { text.trim_end() } else { text };
                if !text.trim().is_empty() {
                    text_block(list.next(), text);
                }
            }
            Part::Media(file) if role == Role::User => media(&mut list, prompt, file, losses),
            Part::Media(file) => losses.add(file.loss()),
            Part::Call(call) => {
                let mut block = Object::typed(list.next(), "tool_use");
                block.string("id", &id(&call.id));
                block.string("name", &call.name);
                block.raw("input", &call.object());
                block.close();
            }
            Part::Result(result) => {
                let mut block = Object::typed(list.next(), "tool_result");
                block.string("tool_use_id", &id(&result.id));
                let parts: Vec<&Part> = result.parts.iter().collect();
                let mut inner = Vec::new();
                let mut blocks = Array::open(&mut inner);
                for part in parts {
                    match part {
                        Part::Text(text) if text.trim().is_empty() => {}
                        Part::Text(text) => text_block(blocks.next(), text),
                        Part::Media(file) => media(&mut blocks, prompt, file, losses),
                        Part::Native(native) if is_own => {
                            blocks.next().extend_from_slice(native.text().as_bytes());
                        }
                        Part::Native(_)
                        | Part::Call(_)
                        | Part::Result(_)
                        | Part::Reasoning(_)
                        | Part::Refusal(_) => losses.add(Loss::UnknownParts),
                    }
                }
                let is_empty = blocks.is_empty();
                blocks.close();
                if !is_empty {
                    block.key("content").extend_from_slice(&inner);
                }
                if result.is_error {
                    block.raw("is_error", "true");
                }
                block.close();
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

fn text_block(out: &mut Vec<u8>, text: &str) {
    let mut block = Object::typed(out, "text");
    block.string("text", text);
    block.close();
}

/// An id in the letters that the API takes.
fn id(id: &str) -> Cow<'_, str> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !id.is_empty() && id.chars().all(is_fit) {
        return Cow::Borrowed(id);
    }
    let fit: String = id.chars().map(|c| if is_fit(c) { c } else { '_' }).collect();
    Cow::Owned(if fit.is_empty() { "call".to_owned() } else { fit })
}

fn media(list: &mut Array<'_>, prompt: &Prompt, media: &Media, losses: &mut Losses) {
    losses.add_if(media.detail.is_some(), Loss::ImageDetail);
    let kind = match media.kind {
        MediaKind::Image => "image",
        MediaKind::Document => "document",
        MediaKind::Audio | MediaKind::Video => return losses.add(media.loss()),
    };
    if let (Some(origin), Source::Text(text)) = (&media.origin, &media.source) {
        let mut block = Object::typed(list.next(), "search_result");
        block.string("source", origin);
        block.string("title", media.title.as_deref().unwrap_or(origin));
        let mut content = Array::open(block.key("content"));
        text_block(content.next(), text);
        content.close();
        return block.close();
    }
    let mut out = Vec::new();
    let source = match &media.source {
        Source::Base64 { media_type, data } => {
            if media.kind == MediaKind::Document && media_type != "application/pdf" {
                return losses.add(Loss::Documents);
            }
            let mut source = Object::typed(&mut out, "base64");
            source.string("media_type", media_type);
            source.string("data", data);
            source
        }
        Source::Url { url, .. } => {
            let mut source = Object::typed(&mut out, "url");
            source.string("url", url);
            source
        }
        Source::File(id) if prompt.dialect == Dialect::Anthropic => {
            let mut source = Object::typed(&mut out, "file");
            source.string("file_id", id);
            source
        }
        Source::Text(text) if media.kind == MediaKind::Document => {
            let mut source = Object::typed(&mut out, "text");
            source.string("media_type", "text/plain");
            source.string("data", text);
            source
        }
        Source::File(_) | Source::Text(_) => return losses.add(media.loss()),
    };
    source.close();
    let mut block = Object::typed(list.next(), kind);
    block.key("source").extend_from_slice(&out);
    if media.kind == MediaKind::Document {
        block.optional_string("title", media.title.as_deref());
    }
    block.close();
}

fn tools(body: &mut Object<'_>, prompt: &Prompt, losses: &mut Losses) {
    let offered = prompt.offered(Dialect::Anthropic, losses);
    let (servers, hosted): (Vec<&Json>, Vec<&Json>) =
        offered.hosted.iter().copied().partition(|native| is_mcp_server(native));
    if !servers.is_empty() {
        let mut list = Array::open(body.key("mcp_servers"));
        for native in servers {
            list.next().extend_from_slice(native.text().as_bytes());
        }
        list.close();
    }
    if offered.functions.is_empty() && hosted.is_empty() {
        return;
    }
    let mut list = Array::open(body.key("tools"));
    for function in &offered.functions {
        let mut tool = Object::open(list.next());
        tool.string("name", &function.name);
        tool.optional_string("description", function.description.as_deref());
        tool.raw("input_schema", &schema(function.schema.as_ref()));
        if function.strict == Some(true) {
            tool.raw("strict", "true");
        }
        tool.close();
    }
    for native in hosted {
        list.next().extend_from_slice(native.text().as_bytes());
    }
    list.close();
    let is_serial = prompt.parallel_calls == Some(false);
    let (kind, name) = match offered.choice {
        Some(Choice::None) => return body.raw("tool_choice", r#"{"type":"none"}"#),
        Some(Choice::Native(native)) => return body.raw("tool_choice", native.text()),
        Some(Choice::Required | Choice::Among { is_required: true, .. }) => ("any", None),
        Some(Choice::One(name)) => ("tool", Some(name)),
        Some(Choice::Auto | Choice::Among { is_required: false, .. }) => ("auto", None),
        None if is_serial => ("auto", None),
        None => return,
    };
    let mut choice = Object::typed(body.key("tool_choice"), kind);
    choice.optional_string("name", name.map(String::as_str));
    choice.optional("disable_parallel_tool_use", prompt.parallel_calls.map(|allowed| !allowed));
    choice.close();
}

/// Whether a native definition stood among the servers: it has an address, and no name of a tool.
fn is_mcp_server(native: &Json) -> bool {
    let members = crate::wire::members::Members::parse(native.text());
    members.is_some_and(|members| members.get("url").is_some())
}

/// A schema of arguments as the API demands it: that of an object.
fn schema(schema: Option<&Json>) -> Cow<'_, str> {
    const NONE: &str = r#"{"type":"object","properties":{}}"#;
    let Some(schema) = schema.filter(|schema| schema.is_object()) else {
        return Cow::Borrowed(NONE);
    };
    match crate::wire::members::Members::parse(schema.text()) {
        Some(members) if members.is_empty() => Cow::Borrowed(NONE),
        Some(members) if members.get("type").is_none() => {
            let rest = schema.text().trim_start().strip_prefix('{').unwrap_or_default();
            Cow::Owned(format!("{{\"type\":\"object\",{rest}"))
        }
        Some(_) | None => Cow::Borrowed(schema.text()),
    }
}
