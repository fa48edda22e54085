//! A prompt to a `generateContent` body. Model and stream stand in the path.

use crate::wire::Dialect;
use crate::wire::json::push_string;
use crate::wire::loss::{Loss, Losses};
use crate::wire::object::{Array, Object};
use crate::wire::prompt::media::as_text;
use crate::wire::prompt::{
    Budget, Choice, Effort, Format, Media, MediaKind, Part, Prompt, Role, Source, ToolResult,
};

const OWN: Dialect = Dialect::Gemini;

/// The most stop sequences.
const STOP_MAX: usize = 5;

/// What Google's documentation says to send with calls that another model made: newer models refuse
/// a call without a signature.
const FOREIGN_SIGNATURE: &str = "skip_thought_signature_validator";

/// See [`crate::wire::prompt::write`].
pub(in crate::wire) fn write(prompt: &Prompt, losses: &mut Losses) -> Vec<u8> {
    let (mut system, turns) = prompt.alternating(losses);
    let mut out = Vec::with_capacity(1024);
    let mut body = Object::open(&mut out);
    let mut contents = Array::open(body.key("contents"));
    if turns.is_empty() && !system.is_empty() {
        losses.add(Loss::SystemPlacement);
        let parts: Vec<Part> = system.drain(..).map(|text| Part::Text(text.into())).collect();
        content(&mut contents, prompt, Role::User, &parts.iter().collect::<Vec<_>>(), losses);
    }
    for (role, parts) in &turns {
        content(&mut contents, prompt, *role, parts, losses);
    }
    contents.close();
    if !system.is_empty() {
        let mut instruction = Object::open(body.key("systemInstruction"));
        let mut list = Array::open(instruction.key("parts"));
        for text in system {
            text_part(&mut list, text);
        }
        list.close();
        instruction.close();
    }
    tools(&mut body, prompt, losses);
    let mut config = Vec::new();
    let mut object = Object::open(&mut config);
    generation(&mut object, prompt, losses);
    object.close();
    if config != b"{}" {
        body.key("generationConfig").extend_from_slice(&config);
    }
    losses.add_if(prompt.labels.user.is_some(), Loss::User);
    // Only Vertex takes labels, so they go to nobody but those who sent them as such.
    if prompt.dialect == OWN {
        body.labels("labels", &prompt.labels.metadata);
    } else {
        losses.add_if(!prompt.labels.metadata.is_empty(), Loss::Metadata);
    }
    losses.add_if(prompt.labels.cache_key.is_some(), Loss::PromptCacheKey);
    losses.add_if(prompt.is_kept(), Loss::Store);
    body.close();
    out
}

fn content(
    contents: &mut Array<'_>,
    prompt: &Prompt,
    role: Role,
    parts: &[&Part],
    losses: &mut Losses,
) {
    let is_own = prompt.dialect == OWN;
    let mut out = Vec::new();
    let mut list = Array::open(&mut out);
    let mut has_signature = false;
    let mut returned: Vec<&Part> = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) => text_part(&mut list, text),
            Part::Refusal(text) => {
                losses.add(Loss::Refusals);
                text_part(&mut list, text);
            }
            Part::Media(file) => media(&mut list, prompt, file, losses),
            Part::Call(call) => {
                let mut part = Object::open(list.next());
                let mut inner = Object::open(part.key("functionCall"));
                inner.string("id", &call.id);
                inner.string("name", &call.name);
                inner.raw("args", &call.object());
                inner.close();
                // One signature a turn is enough, on its first call.
                let foreign = (!is_own && !has_signature).then_some(FOREIGN_SIGNATURE);
                let own = call.signature.as_deref().filter(|_| is_own);
                part.optional_string("thoughtSignature", own.or(foreign));
                has_signature = true;
                part.close();
            }
            Part::Result(result) => {
                response(&mut list, prompt, result);
                losses.add_if(result.others().next().is_some(), Loss::ToolResultMedia);
                returned.extend(result.others());
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
    for part in returned {
        match part {
            Part::Media(file) => media(&mut list, prompt, file, losses),
            Part::Text(_)
            | Part::Refusal(_)
            | Part::Call(_)
            | Part::Result(_)
            | Part::Reasoning(_)
            | Part::Native(_) => losses.add(Loss::UnknownParts),
        }
    }
    let is_empty = list.is_empty();
    list.close();
    if is_empty {
        return;
    }
    let mut content = Object::open(contents.next());
    content.string("role", if role == Role::Assistant { "model" } else { "user" });
    content.key("parts").extend_from_slice(&out);
    content.close();
}

fn text_part(list: &mut Array<'_>, text: &str) {
    let mut part = Object::open(list.next());
    part.string("text", text);
    part.close();
}

fn response(list: &mut Array<'_>, prompt: &Prompt, result: &ToolResult) {
    let name = prompt.called(&result.id).or(result.name.as_deref()).unwrap_or(&result.id);
    let text = result.text();
    let mut part = Object::open(list.next());
    let mut inner = Object::open(part.key("functionResponse"));
    inner.string("id", &result.id);
    inner.string("name", name);
    let mut response = Object::open(inner.key("response"));
    response.string(if result.is_error { "error" } else { "output" }, &text);
    response.close();
    inner.close();
    part.close();
}

fn media(list: &mut Array<'_>, prompt: &Prompt, media: &Media, losses: &mut Losses) {
    losses.add_if(media.detail.is_some(), Loss::ImageDetail);
    losses.add_if(media.origin.is_some(), Loss::DocumentTitles);
    let (kind, place, address) = match &media.source {
        Source::Text(text) if media.kind == MediaKind::Document => {
            losses.add(Loss::DocumentForm);
            return text_part(list, &as_text(media, text));
        }
        Source::File(uri) if prompt.dialect == OWN => ("fileData", "fileUri", uri),
        Source::File(_) | Source::Text(_) => return losses.add(media.loss()),
        Source::Base64 { data, .. } => ("inlineData", "data", data),
        Source::Url { url, .. } => ("fileData", "fileUri", url),
    };
    losses.add_if(media.title.is_some(), Loss::DocumentTitles);
    let mut part = Object::open(list.next());
    let mut inner = Object::open(part.key(kind));
    inner.optional_string("mimeType", media.source.media_type());
    push_string(inner.key(place), address);
    inner.close();
    part.close();
}

fn tools(body: &mut Object<'_>, prompt: &Prompt, losses: &mut Losses) {
    let offered = prompt.offered(OWN, losses);
    losses.add_if(prompt.parallel_calls == Some(false), Loss::ParallelCalls);
    let is_strict = offered.functions.iter().any(|function| function.strict == Some(true));
    losses.add_if(is_strict, Loss::SchemaStrictness);
    if offered.functions.is_empty() && offered.hosted.is_empty() {
        return;
    }
    let mut list = Array::open(body.key("tools"));
    if !offered.functions.is_empty() {
        let mut tool = Object::open(list.next());
        let mut declarations = Array::open(tool.key("functionDeclarations"));
        for function in &offered.functions {
            let mut item = Object::open(declarations.next());
            item.string("name", &function.name);
            item.optional_string("description", function.description.as_deref());
            // A whole JSON Schema, where `parameters` takes only a part of it.
            if let Some(schema) = &function.schema {
                item.raw("parametersJsonSchema", schema.text());
            }
            item.close();
        }
        declarations.close();
        tool.close();
    }
    for native in offered.hosted {
        list.next().extend_from_slice(native.text().as_bytes());
    }
    list.close();
    let (mode, names): (&str, &[String]) = match offered.choice {
        None | Some(Choice::Native(_)) => return,
        Some(Choice::Auto | Choice::Among { is_required: false, .. }) => ("AUTO", &[]),
        Some(Choice::None) => ("NONE", &[]),
        Some(Choice::Required) => ("ANY", &[]),
        Some(Choice::One(name)) => ("ANY", std::slice::from_ref(name)),
        Some(Choice::Among { names, is_required: true }) => ("ANY", names),
    };
    let mut config = Object::open(body.key("toolConfig"));
    let mut calling = Object::open(config.key("functionCallingConfig"));
    calling.string("mode", mode);
    calling.strings("allowedFunctionNames", names.iter());
    calling.close();
    config.close();
}

fn generation(config: &mut Object<'_>, prompt: &Prompt, losses: &mut Losses) {
    let sampling = &prompt.sampling;
    config.optional("temperature", sampling.temperature);
    config.optional("topP", sampling.top_p);
    config.optional("topK", sampling.top_k);
    losses.add_if(sampling.stop.len() > STOP_MAX, Loss::Stop);
    config.strings("stopSequences", sampling.stop.iter().take(STOP_MAX));
    config.optional("maxOutputTokens", sampling.output_tokens_max);
    config.optional("seed", sampling.seed);
    config.optional("presencePenalty", sampling.presence_penalty);
    config.optional("frequencyPenalty", sampling.frequency_penalty);
    config.optional("candidateCount", sampling.answers);
    if let Some(alternatives) = sampling.logprobs {
        config.raw("responseLogprobs", "true");
        config.number("logprobs", alternatives);
    }
    losses.add_if(sampling.verbosity.is_some(), Loss::Verbosity);
    match &prompt.format {
        None => {}
        Some(Format::JsonObject) => config.string("responseMimeType", "application/json"),
        Some(Format::JsonSchema { name, description, schema, strict }) => {
            losses.add_if(name.is_some() || description.is_some(), Loss::SchemaName);
            losses.add_if(*strict == Some(false), Loss::SchemaStrictness);
            config.string("responseMimeType", "application/json");
            config.raw("responseJsonSchema", schema.text());
        }
    }
    let thinking = &prompt.thinking;
    // Levels are of newer models only; a budget is understood by all, so foreign words become one.
    let level = thinking.effort.filter(|_| prompt.dialect == OWN && thinking.budget.is_none());
    let budget = if level.is_some() { None } else { thinking.in_tokens(losses) };
    if level.is_none() && budget.is_none() && thinking.summary.is_none() {
        return;
    }
    let mut object = Object::open(config.key("thinkingConfig"));
    object.optional_string("thinkingLevel", level.map(Effort::word));
    match budget {
        None => {}
        Some(Budget::Off) => object.number("thinkingBudget", 0),
        Some(Budget::Dynamic) => object.raw("thinkingBudget", "-1"),
        Some(Budget::Tokens(tokens)) => object.number("thinkingBudget", tokens),
    }
    if thinking.summary.is_some() {
        object.raw("includeThoughts", "true");
    }
    object.close();
}
