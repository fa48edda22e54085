//! `[providers.NAME]`.

use super::parsed;
use crate::id::ProviderName;
use crate::table::reader::{Reader, Section, Text, Value};
use crate::table::words::shown;
use crate::table::{
    Auth, BaseUrl, Family, OpenaiApi, Provider, Quirks, Secret, Signer, codes, value,
};
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;

const FAMILIES: &[(&str, Family)] = &[
    ("openai", Family::Openai),
    ("anthropic", Family::Anthropic),
    ("gemini", Family::Gemini),
    ("bedrock", Family::Bedrock),
    ("canned", Family::Canned),
    ("simulated", Family::Simulated),
];
const AUTHS: &[(&str, Auth)] = &[
    ("bearer", Auth::Bearer),
    ("x-api-key", Auth::XApiKey),
    ("x-goog-api-key", Auth::XGoogApiKey),
    ("api-key", Auth::ApiKey),
];
const APIS: &[(&str, OpenaiApi)] =
    &[("openai-chat", OpenaiApi::Chat), ("openai-responses", OpenaiApi::Responses)];
#[derive(Clone, Copy)]
enum Quirk {
    AzureDeployments,
    Lacks(OpenaiApi),
    VersionedBase,
}
const QUIRKS: &[(&str, Quirk)] = &[
    ("azure-deployments", Quirk::AzureDeployments),
    ("no-chat", Quirk::Lacks(OpenaiApi::Chat)),
    ("no-responses", Quirk::Lacks(OpenaiApi::Responses)),
    ("versioned-base", Quirk::VersionedBase),
];

/// One provider row.
pub(super) fn provider(
    reader: &mut Reader<'_>,
    name: &str,
    section: &Section<'_, '_>,
) -> Option<Provider> {
    let family = reader
        .required(section, "dialect", "dialect = \"openai\"")
        .and_then(|value| reader.text(value, "dialect"))
        .and_then(|text| family(reader, &text));
    let base = section
        .get("base_url")
        .and_then(|value| reader.text(value, "base_url"))
        .and_then(|text| parsed(reader, codes::BAD_URL, &text, "base_url", value::base_url));
    let credential = section.get("api_key").and_then(|value| credential(reader, value, "api_key"));
    let auth = section.get("auth").and_then(|value| reader.text(value, "auth"));
    let auth = auth.and_then(|text| reader.word(&text, "auth", AUTHS));
    let mut quirks = quirks(reader, section.get("quirks"));
    let headers = headers(reader, section.get("headers"));
    let query = section
        .get("query")
        .and_then(|value| reader.text(value, "query"))
        .filter(|text| parsed(reader, codes::BAD_QUERY, text, "query", value::query).is_some())
        .map(|text| text.value);
    let answer = section.get("answer").and_then(|value| reader.text(value, "answer"));

    let family = family?;
    check_fit(reader, section, family);
    let translate_to = match family {
        Family::Openai => translate_to(reader, section, quirks.lacks),
        Family::Anthropic
        | Family::Gemini
        | Family::Bedrock
        | Family::Canned
        | Family::Simulated => OpenaiApi::default(),
    };
    let auth = auth.unwrap_or(match family {
        Family::Openai if quirks.azure_deployments => Auth::ApiKey,
        Family::Openai | Family::Bedrock | Family::Canned | Family::Simulated => Auth::Bearer,
        Family::Anthropic => Auth::XApiKey,
        Family::Gemini => Auth::XGoogApiKey,
    });
    if let Some(base) = &base {
        quirks.versioned_base |= family == Family::Openai && !base.path.is_empty();
        check_version(reader, section, family, &base.path);
    }
    let (key, key_variable) = credential.unwrap_or((None, None));
    let (signer, access_variable) = signer(reader, section, base.as_ref());
    if family == Family::Bedrock && key.is_some() && signer.is_some() {
        reader.report(
            codes::BAD_CREDENTIAL,
            section.key_span("api_key"),
            "`api_key` and `access_key_id` are two credentials, and a request has one",
            Some("take one of them away".to_owned()),
        );
    }
    let key_variable = key_variable.or(access_variable);
    let credential = key.as_ref().and_then(|key| auth.header(key.reveal()));
    Some(Provider {
        credential,
        name: ProviderName::new(name),
        family,
        base,
        key,
        signer,
        key_variable,
        auth,
        quirks,
        translate_to,
        headers,
        query,
        answer: answer.map(|text| Arc::from(text.value)),
    })
}

/// Brands that people write where the dialect belongs.
const BRANDS: [&str; 15] = [
    "azure",
    "ollama",
    "vllm",
    "llama.cpp",
    "lmstudio",
    "mistral",
    "deepseek",
    "groq",
    "openrouter",
    "xai",
    "together",
    "fireworks",
    "perplexity",
    "cerebras",
    "openai-chat",
];

fn family(reader: &mut Reader<'_>, text: &Text) -> Option<Family> {
    if BRANDS.contains(&text.value.to_lowercase().as_str()) {
        reader.report(
            codes::UNKNOWN_WORD,
            text.span.clone(),
            format!("`dialect` knows no \"{}\": it is what a provider speaks", shown(&text.raw)),
            Some(
                "write `dialect = \"openai\"` and its `base_url`; docs/providers.md has the rows"
                    .to_owned(),
            ),
        );
        return None;
    }
    reader.word(text, "dialect", FAMILIES)
}

/// The credential, and the variable that it comes from. Empty means that there is none.
fn credential(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    key: &str,
) -> Option<(Option<Secret>, Option<String>)> {
    let text = reader.text_or_empty(value, key)?;
    let variable = text.references.iter().find(|name| !name.starts_with("file:")).cloned();
    if text.value.is_empty() {
        return Some((None, variable));
    }
    let mut refuse = |message: &str, help: &str| {
        let span = text.span.clone();
        reader.report(codes::BAD_CREDENTIAL, span, message, Some(help.to_owned()));
    };
    if text.value.to_ascii_lowercase().starts_with("bearer ") {
        refuse(
            &format!("`{key}` is written without `Bearer`"),
            "how it is sent is `auth`'s to say",
        );
        return None;
    }
    if !text.value.bytes().all(|byte| byte.is_ascii_graphic()) {
        refuse(
            &format!(
                "`{key}` has spaces, line ends, or other characters that a header cannot carry"
            ),
            "look at the variable or file that it comes from",
        );
        return None;
    }
    if text.references.is_empty() {
        reader.report(
            codes::LITERAL_CREDENTIAL,
            text.span.clone(),
            "the credential itself stands in the file",
            Some(format!("take it from a variable: `{key} = \"${{NAME}}\"`, or `${{file:/path}}`")),
        );
    }
    Some((Some(Secret::new(&text.value)), variable))
}

/// The host of a region's runtime, around the region.
const RUNTIME_HOST: (&str, &str) = ("bedrock-runtime.", ".amazonaws.com");

/// What signs requests, if there is an access key; and the variable that its id comes from.
fn signer(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    base: Option<&BaseUrl>,
) -> (Option<Signer>, Option<String>) {
    let mut read = |key: &str| {
        let value = section.get(key)?;
        credential(reader, value, key)
    };
    let (access, variable) = read("access_key_id").unwrap_or_default();
    let (secret, _) = read("secret_access_key").unwrap_or_default();
    let (session_token, _) = read("session_token").unwrap_or_default();
    let region = section.get("region").and_then(|value| reader.text(value, "region"));
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if let Some(region) = region.as_ref().filter(|region| !plain(&region.value)) {
        reader.report(
            codes::BAD_CREDENTIAL,
            region.span.clone(),
            "`region` is a word of letters, digits and `-`",
            Some("for example `region = \"us-east-1\"`".to_owned()),
        );
        return (None, variable);
    }
    let mut lacks = |key: &str, help: &str| {
        // What was written and is broken was complained of already.
        let span = section.get(key).map_or_else(|| section.span.clone(), Spanned::span);
        let message =
            format!("an access key is an id and a secret, and `{key}` is missing or empty");
        reader.report(codes::BAD_CREDENTIAL, span, message, Some(help.to_owned()));
        None
    };
    let signer = match (access, secret) {
        (None, None) => None,
        (Some(_), None) => {
            lacks("secret_access_key", "add `secret_access_key = \"${AWS_SECRET_ACCESS_KEY:-}\"`")
        }
        (None, Some(_)) => {
            lacks("access_key_id", "add `access_key_id = \"${AWS_ACCESS_KEY_ID:-}\"`")
        }
        (Some(access_key_id), Some(secret_access_key)) => {
            let in_host = base.and_then(|base| {
                base.host.strip_prefix(RUNTIME_HOST.0)?.strip_suffix(RUNTIME_HOST.1)
            });
            let region = region.as_ref().map(|region| &*region.value).or(in_host);
            if let Some(region) = region.filter(|region| plain(region)) {
                let region = region.into();
                Some(Signer { region, access_key_id, secret_access_key, session_token })
            } else {
                reader.required(section, "region", "region = \"us-east-1\"");
                None
            }
        }
    };
    (signer, variable)
}

fn quirks(reader: &mut Reader<'_>, value: Option<&Value<'_>>) -> Quirks {
    let mut quirks = Quirks::default();
    let items = value.and_then(|value| reader.array(value, "quirks")).unwrap_or_default();
    for item in items {
        let Some(text) = reader.text(item, "quirks") else { continue };
        match reader.word(&text, "quirks", QUIRKS) {
            Some(Quirk::AzureDeployments) => quirks.azure_deployments = true,
            Some(Quirk::Lacks(api)) => {
                if quirks.lacks.is_some_and(|other| other != api) {
                    reader.report(
                        codes::CONTRADICTION,
                        text.span,
                        "`no-chat` and `no-responses` leave no API to ask for answers",
                        Some("take one of the two away".to_owned()),
                    );
                }
                quirks.lacks = Some(api);
            }
            Some(Quirk::VersionedBase) => quirks.versioned_base = true,
            None => {}
        }
    }
    quirks
}

/// In which of its APIs a provider of the OpenAI family is asked for callers of other dialects.
fn translate_to(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    lacks: Option<OpenaiApi>,
) -> OpenaiApi {
    let only = match lacks {
        Some(OpenaiApi::Chat) => OpenaiApi::Responses,
        Some(OpenaiApi::Responses) | None => OpenaiApi::Chat,
    };
    let text = section.get("translate_to").and_then(|value| reader.text(value, "translate_to"));
    let Some(text) = text else { return only };
    let named = reader.word(&text, "translate_to", APIS);
    if named.is_some() && named == lacks {
        reader.report(
            codes::CONTRADICTION,
            text.span,
            "`translate_to` names the API that the provider lacks by its quirks",
            Some("take one of the two away".to_owned()),
        );
        return only;
    }
    named.unwrap_or(only)
}

fn headers(
    reader: &mut Reader<'_>,
    value: Option<&Value<'_>>,
) -> Vec<(http::HeaderName, http::HeaderValue)> {
    let mut headers: Vec<(http::HeaderName, http::HeaderValue)> = Vec::new();
    let Some(section) = value.and_then(|value| reader.open(value, "headers")) else {
        return headers;
    };
    for (key, span, value) in section.entries() {
        let Some(name) = header_name(reader, key, &span) else { continue };
        if let Some(wrong) = value::forbidden_header(&name) {
            reader.report(codes::BAD_HEADER, span, wrong.message, wrong.help);
            continue;
        }
        if headers.iter().any(|(other, _)| *other == name) {
            reader.report(codes::DUPLICATE, span, format!("header `{name}` is set twice"), None);
            continue;
        }
        let Some(text) = reader.text(value, key) else { continue };
        let Ok(mut value) = http::HeaderValue::from_str(&text.value) else {
            let message = format!("the value of `{name}` has characters that no header can carry");
            reader.report(codes::BAD_HEADER, text.span, message, None);
            continue;
        };
        // What comes from outside the file may be secret: never shown by debug output.
        value.set_sensitive(!text.references.is_empty());
        headers.push((name, value));
    }
    headers
}

/// A header's name, or the complaint.
pub(super) fn header_name(
    reader: &mut Reader<'_>,
    key: &str,
    span: &Range<usize>,
) -> Option<http::HeaderName> {
    match value::header_name(key) {
        Ok(name) => Some(name),
        Err(wrong) => {
            reader.report(codes::BAD_HEADER, span.clone(), wrong.message, wrong.help);
            None
        }
    }
}

/// Keys that mean nothing in this family, and keys that it needs.
fn check_fit(reader: &mut Reader<'_>, section: &Section<'_, '_>, family: Family) {
    let idle: &[&str] = match family {
        Family::Openai => &["answer"],
        Family::Anthropic | Family::Gemini => &["answer", "quirks", "translate_to"],
        Family::Bedrock => &["answer", "quirks", "translate_to", "auth"],
        Family::Canned => {
            &["base_url", "api_key", "auth", "quirks", "translate_to", "headers", "query"]
        }
        Family::Simulated => {
            &["base_url", "api_key", "auth", "quirks", "translate_to", "headers", "query", "answer"]
        }
    };
    let signing: &[&str] = match family {
        Family::Bedrock => &[],
        Family::Openai
        | Family::Anthropic
        | Family::Gemini
        | Family::Canned
        | Family::Simulated => &["region", "access_key_id", "secret_access_key", "session_token"],
    };
    for key in idle.iter().chain(signing).filter(|key| section.get(key).is_some()) {
        let dialect = family_name(family);
        reader.report(
            codes::NOT_HERE,
            section.key_span(key),
            format!("`{key}` means nothing where the dialect is `{dialect}`"),
            Some("take it away".to_owned()),
        );
    }
    match family {
        Family::Openai => {
            reader.required(section, "base_url", "base_url = \"https://api.openai.com/v1\"");
        }
        Family::Anthropic => {
            reader.required(section, "base_url", "base_url = \"https://api.anthropic.com\"");
        }
        Family::Gemini => {
            let example = "base_url = \"https://generativelanguage.googleapis.com\"";
            reader.required(section, "base_url", example);
        }
        Family::Bedrock => {
            let example = "base_url = \"https://bedrock-runtime.us-east-1.amazonaws.com\"";
            reader.required(section, "base_url", example);
        }
        Family::Canned => {
            reader.required(section, "answer", "answer = \"The assistant is paused.\"");
        }
        Family::Simulated => {}
    }
}

fn family_name(family: Family) -> &'static str {
    FAMILIES.iter().find(|(_, one)| *one == family).map_or("", |(name, _)| name)
}

/// A base URL that repeats the version with which every path of the dialect begins.
fn check_version(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    family: Family,
    base_path: &str,
) {
    let versions: &[&str] = match family {
        Family::Anthropic => &["/v1"],
        Family::Gemini => &["/v1", "/v1beta", "/v1alpha"],
        Family::Openai | Family::Bedrock | Family::Canned | Family::Simulated => &[],
    };
    let Some(version) = versions.iter().find(|version| base_path.ends_with(**version)) else {
        return;
    };
    let span = section.get("base_url").map_or_else(|| section.span.clone(), Spanned::span);
    reader.report(
        codes::DOUBLED_VERSION,
        span,
        format!("every path of this dialect begins with its version, so `{version}` comes twice"),
        Some(format!("leave `{version}` off the end")),
    );
}
