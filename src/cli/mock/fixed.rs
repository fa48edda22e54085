//! Answers that are the same for everybody: models, embeddings, token counts, errors.

use super::peer::Request;
use crate::wire::Dialect;
use serde_json::{Value, json};

const MODELS: [&str; 3] = ["gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash"];
/// When the models say they were made: a day in 2025, in seconds since the Unix epoch.
const MADE: u64 = 1_750_000_000;

/// The embedding of everything, as numbers and as the base64 of its little-endian floats.
const VECTOR: [f32; 4] = [0.5, -0.25, 0.125, 0.0];
const VECTOR_BASE64: &str = "AAAAPwAAgL4AAAA+AAAAAA==";

/// The answer on a path of this room's; `None` for all others.
pub(super) fn body(request: &Request) -> Option<Value> {
    let path = request.path();
    match request.method.as_str() {
        "GET" if path.ends_with("/v1beta/models") => Some(json!({
            "models": MODELS.map(|model| json!({
                "name": format!("models/{model}"),
                "displayName": model,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
            })),
        })),
        "GET" if path.ends_with("/models") => Some(models(request)),
        "POST" if path.ends_with("/embeddings") => Some(embeddings(&request.body)),
        "POST" if path.ends_with("/messages/count_tokens") => {
            Some(json!({ "input_tokens": tokens(request) }))
        }
        "POST" if path.ends_with(":countTokens") => Some(json!({ "totalTokens": tokens(request) })),
        _ => None,
    }
}

fn tokens(request: &Request) -> usize {
    (request.body.len() / 4).max(1)
}

fn models(request: &Request) -> Value {
    if request.field("anthropic-version").is_some() {
        return json!({
            "data": MODELS.map(|model| json!({
                "type": "model",
                "id": model,
                "display_name": model,
                "created_at": "2025-06-15T15:06:40Z",
            })),
            "has_more": false,
            "first_id": MODELS[0],
            "last_id": MODELS[MODELS.len() - 1],
        });
    }
    json!({
        "object": "list",
        "data": MODELS.map(|model| json!({
            "id": model, "object": "model", "created": MADE, "owned_by": "firedoor-mock",
        })),
    })
}

/// One vector for each input: a text, a list of tokens, or a list of either.
fn embeddings(body: &[u8]) -> Value {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let count = match &asked["input"] {
        Value::Array(list) if !list.iter().all(Value::is_number) => list.len(),
        _ => 1,
    };
    let vector = match asked["encoding_format"].as_str() {
        Some("base64") => json!(VECTOR_BASE64),
        _ => json!(VECTOR),
    };
    let data: Vec<Value> = (0..count)
        .map(|index| json!({ "object": "embedding", "index": index, "embedding": vector }))
        .collect();
    let tokens = (body.len() / 4).max(1);
    json!({
        "object": "list",
        "data": data,
        "model": asked["model"],
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    })
}

/// An error as the provider of a dialect words it.
pub(in crate::cli) fn error(dialect: Dialect, status: u16, message: &str) -> Vec<u8> {
    let body = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses => {
            let (kind, code) = openai_words(status);
            json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
        }
        Dialect::Anthropic => json!({
            "type": "error",
            "error": { "type": anthropic_word(status), "message": message },
            "request_id": "req_mock",
        }),
        Dialect::Gemini => json!({
            "error": { "code": status, "message": message, "status": gemini_word(status) },
        }),
        Dialect::Bedrock => json!({ "message": message }),
    };
    body.to_string().into_bytes()
}

fn openai_words(status: u16) -> (&'static str, Option<&'static str>) {
    match status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        400..=499 => ("invalid_request_error", None),
        _ => ("server_error", None),
    }
}

fn anthropic_word(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 | 503 => "overloaded_error",
        504 => "timeout_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

fn gemini_word(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        400..=499 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}

/// The header line in which the provider of a dialect names the kind of an error, if it has one.
pub(super) fn error_line(dialect: Dialect, status: u16) -> String {
    match dialect {
        Dialect::Bedrock => format!("x-amzn-errortype: {}\r\n", bedrock_word(status)),
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Anthropic | Dialect::Gemini => {
            String::new()
        }
    }
}

fn bedrock_word(status: u16) -> &'static str {
    match status {
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 | 504 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 | 529 => "ServiceUnavailableException",
        400..=499 => "ValidationException",
        _ => "InternalServerException",
    }
}

/// The id that an answer of `dialect` gives itself.
pub(super) fn answer_id(dialect: Dialect, number: u64) -> String {
    match dialect {
        Dialect::OpenaiChat => format!("chatcmpl-mock{number}"),
        Dialect::OpenaiResponses => format!("resp_mock{number}"),
        Dialect::Anthropic => format!("msg_mock{number}"),
        Dialect::Gemini | Dialect::Bedrock => format!("mock{number}"),
    }
}

/// The header field in which a provider of `dialect` names a request.
pub(super) fn request_id_field(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "request-id",
        Dialect::Bedrock => "x-amzn-requestid",
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Gemini => "x-request-id",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeddings_come_one_for_each_input() {
        let count = |body: &str| embeddings(body.as_bytes())["data"].as_array().unwrap().len();
        assert_eq!(count(r#"{"input":"a"}"#), 1);
        assert_eq!(count(r#"{"input":["a","b"]}"#), 2);
        assert_eq!(count(r#"{"input":[1,2,3]}"#), 1);
        assert_eq!(count(r#"{"input":[[1],[2],[3]]}"#), 3);
        assert_eq!(count("no json"), 1);
    }

    #[test]
    fn errors_are_json_in_every_dialect() {
        for dialect in Dialect::ALL {
            for status in [400, 401, 403, 404, 413, 429, 500, 503, 504, 529] {
                let body: Value = serde_json::from_slice(&error(dialect, status, "m")).unwrap();
                let error = if dialect == Dialect::Bedrock { &body } else { &body["error"] };
                assert_eq!(error["message"], "m");
            }
        }
    }
}
