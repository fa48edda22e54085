//! A provider's error, told in another dialect.
//!
//! SDKs raise by the HTTP status, which stays, and agents look at the words in the body. So each
//! dialect gets its own words for the same [`Cause`], and the provider's message as it was, within
//! [`MESSAGE_BYTES_MAX`]. Nothing here panics, whatever a provider or a proxy before it sends; a
//! body that is no error of the dialect gives its first line.

use super::event::Event;
use super::json::push_string;
use super::members::Members;
use super::{Dialect, decode_unary};

/// The longest message that is passed on, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 2_000;
/// The longest code or kind that is kept, in bytes.
const WORD_BYTES_MAX: usize = 128;
/// The longest body that is read as JSON.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The code of the one error that agents act on by themselves: they shorten their conversation.
const TOO_LONG: &str = "context_length_exceeded";
/// The words by which clients of Anthropic know it.
const TOO_LONG_ANTHROPIC: &str = "prompt is too long";

/// What a provider said of its failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// Its code; empty where it gives none.
    pub code: Box<str>,
    /// Its type or status word; empty where it gives none.
    pub kind: Box<str>,
    /// Its message.
    pub message: Box<str>,
}

/// Why a provider failed, in the kinds that all dialects have words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Invalid,
    Unauthenticated,
    Billing,
    Forbidden,
    NotFound,
    TooLarge,
    Limited,
    Timeout,
    Overloaded,
    Internal,
}

impl Cause {
    pub(super) fn of_status(status: u16) -> Cause {
        match status {
            401 => Cause::Unauthenticated,
            402 => Cause::Billing,
            403 => Cause::Forbidden,
            404 => Cause::NotFound,
            413 => Cause::TooLarge,
            429 => Cause::Limited,
            408 | 504 => Cause::Timeout,
            503 | 529 => Cause::Overloaded,
            400..=499 => Cause::Invalid,
            _ => Cause::Internal,
        }
    }

    /// The cause of a code or type of any dialect.
    pub(super) fn of_code(code: &str) -> Cause {
        match code.to_ascii_lowercase().as_str() {
            "invalid_request_error"
            | "invalid_prompt"
            | "invalid_argument"
            | "failed_precondition"
            | "out_of_range"
            | "content_filter"
            | "tool_use_failed"
            | TOO_LONG => Cause::Invalid,
            "authentication_error" | "invalid_api_key" | "unauthenticated" => {
                Cause::Unauthenticated
            }
            "billing_error" => Cause::Billing,
            "permission_error" | "permission_denied" => Cause::Forbidden,
            "not_found_error" | "not_found" | "model_not_found" => Cause::NotFound,
            "request_too_large" => Cause::TooLarge,
            "rate_limit_error"
            | "rate_limit_exceeded"
            | "resource_exhausted"
            | "insufficient_quota" => Cause::Limited,
            "timeout_error" | "deadline_exceeded" => Cause::Timeout,
            "overloaded_error" | "unavailable" | "server_overloaded" => Cause::Overloaded,
            code => match code.parse::<u16>() {
                Ok(status @ 400..=599) => Cause::of_status(status),
                Ok(_) | Err(_) => Cause::Internal,
            },
        }
    }

    /// The status that the cause most often comes with.
    pub(super) fn status(self) -> u16 {
        match self {
            Cause::Invalid => 400,
            Cause::Unauthenticated => 401,
            Cause::Billing => 402,
            Cause::Forbidden => 403,
            Cause::NotFound => 404,
            Cause::TooLarge => 413,
            Cause::Limited => 429,
            Cause::Timeout => 504,
            Cause::Overloaded => 503,
            Cause::Internal => 500,
        }
    }

    pub(super) fn openai_type(self) -> &'static str {
        match self {
            Cause::Invalid
            | Cause::Unauthenticated
            | Cause::Forbidden
            | Cause::NotFound
            | Cause::TooLarge => "invalid_request_error",
            Cause::Billing => "insufficient_quota",
            Cause::Limited => "rate_limit_error",
            Cause::Timeout | Cause::Overloaded | Cause::Internal => "server_error",
        }
    }

    fn openai_code(self) -> Option<&'static str> {
        match self {
            Cause::Unauthenticated => Some("invalid_api_key"),
            Cause::Billing => Some("insufficient_quota"),
            Cause::NotFound => Some("not_found"),
            Cause::Limited => Some("rate_limit_exceeded"),
            Cause::Overloaded => Some("server_overloaded"),
            Cause::Timeout => Some("timeout"),
            Cause::Internal => Some("server_error"),
            Cause::Invalid | Cause::Forbidden | Cause::TooLarge => None,
        }
    }

    pub(super) fn anthropic_type(self) -> &'static str {
        match self {
            Cause::Invalid => "invalid_request_error",
            Cause::Unauthenticated => "authentication_error",
            Cause::Billing => "billing_error",
            Cause::Forbidden => "permission_error",
            Cause::NotFound => "not_found_error",
            Cause::TooLarge => "request_too_large",
            Cause::Limited => "rate_limit_error",
            Cause::Timeout => "timeout_error",
            Cause::Overloaded => "overloaded_error",
            Cause::Internal => "api_error",
        }
    }

    pub(super) fn gemini_status(self) -> &'static str {
        match self {
            Cause::Invalid | Cause::TooLarge => "INVALID_ARGUMENT",
            Cause::Unauthenticated => "UNAUTHENTICATED",
            Cause::Billing | Cause::Forbidden => "PERMISSION_DENIED",
            Cause::NotFound => "NOT_FOUND",
            Cause::Limited => "RESOURCE_EXHAUSTED",
            Cause::Timeout => "DEADLINE_EXCEEDED",
            Cause::Overloaded => "UNAVAILABLE",
            Cause::Internal => "INTERNAL",
        }
    }
}

impl Cause {
    /// The exception of the Bedrock runtime (API reference, "Converse", Errors).
    pub(super) fn bedrock_exception(self) -> &'static str {
        match self {
            Cause::Invalid | Cause::TooLarge => "ValidationException",
            Cause::Unauthenticated => "UnrecognizedClientException",
            Cause::Billing | Cause::Forbidden => "AccessDeniedException",
            Cause::NotFound => "ResourceNotFoundException",
            Cause::Limited => "ThrottlingException",
            Cause::Timeout => "ModelTimeoutException",
            Cause::Overloaded => "ServiceUnavailableException",
            Cause::Internal => "InternalServerException",
        }
    }
}

/// Reads the body of an answer with an error status.
pub fn read_error(dialect: Dialect, status: u16, body: &[u8]) -> ProviderError {
    let mut found = None;
    if body.len() <= BODY_BYTES_MAX {
        decode_unary(dialect, body, &mut |event| {
            if let Event::Error { code, message, native } = event {
                found.get_or_insert_with(|| ProviderError::of_event(&code, &message, &native));
            }
        });
        found = found.filter(|error| !error.message.is_empty()).or_else(|| of_members(body));
    }
    let mut error = found.unwrap_or_default();
    if error.message.is_empty() {
        error.message = first_line(body, status);
    }
    if is_too_long(&error.message) {
        error.code = TOO_LONG.into();
    }
    error
}

impl ProviderError {
    /// What an error event says; `native` is its object.
    pub fn of_event(code: &str, message: &str, native: &str) -> ProviderError {
        let mut members = Members::parse(native).unwrap_or_default();
        let kind = members.take_string("type").or_else(|| members.take_string("status"));
        ProviderError {
            code: cut(code, WORD_BYTES_MAX).into(),
            kind: cut(&kind.unwrap_or_default(), WORD_BYTES_MAX).into(),
            message: cut(message, MESSAGE_BYTES_MAX).into(),
        }
    }

    /// The status that such an error most often comes with, for one that came with the status of
    /// an answer.
    pub fn status(&self) -> u16 {
        Cause::of_code(&self.code).status()
    }
}

/// The message of an object that is no error of the dialect, as frameworks and proxies write it.
fn of_members(body: &[u8]) -> Option<ProviderError> {
    let mut members = Members::parse(std::str::from_utf8(body).ok()?)?;
    if let Some(inner) = members.get("error").and_then(Members::of) {
        members = inner;
    }
    let message = ["message", "detail", "error", "error_description", "msg"]
        .into_iter()
        .find_map(|name| members.take_string(name))?;
    let word = |members: &mut Members<'_>, name| {
        let text = members.take_string(name).unwrap_or_default();
        Box::from(cut(&text, WORD_BYTES_MAX))
    };
    Some(ProviderError {
        code: word(&mut members, "code"),
        kind: word(&mut members, "type"),
        message: cut(&message, MESSAGE_BYTES_MAX).into(),
    })
}

/// The first line that says something, or the status.
fn first_line(body: &[u8], status: u16) -> Box<str> {
    let head = body.get(..body.len().min(4 * MESSAGE_BYTES_MAX)).unwrap_or_default();
    let line = head
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .find(|line| line.iter().any(|byte| !byte.is_ascii_whitespace()));
    match line {
        Some(line) => {
            let text = String::from_utf8_lossy(line);
            cut(text.trim(), MESSAGE_BYTES_MAX).into()
        }
        None => format!("the provider answered with status {status}").into(),
    }
}

/// Whether a message says that the prompt does not fit the model.
fn is_too_long(message: &str) -> bool {
    message.starts_with(TOO_LONG_ANTHROPIC)
        || message.contains("maximum context length")
        || (message.contains("input token count") && message.contains("exceeds the maximum"))
}

/// Writes the body of a provider's error for a client of `dialect`; `id` is the exchange.
pub fn write_error(dialect: Dialect, status: u16, error: &ProviderError, id: &str) -> Vec<u8> {
    let cause = Cause::of_status(status);
    let message = cut(&error.message, MESSAGE_BYTES_MAX);
    let mut out = Vec::with_capacity(128 + message.len());
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses => {
            out.extend_from_slice(b"{\"error\":{\"message\":");
            push_string(&mut out, message);
            out.extend_from_slice(b",\"type\":");
            push_string(&mut out, cause.openai_type());
            out.extend_from_slice(b",\"param\":null,\"code\":");
            match openai_code(&error.code).or(cause.openai_code()) {
                Some(code) => push_string(&mut out, code),
                None => out.extend_from_slice(b"null"),
            }
            out.extend_from_slice(b"}}");
        }
        Dialect::Anthropic => {
            out.extend_from_slice(b"{\"type\":\"error\",\"error\":{\"type\":");
            push_string(&mut out, cause.anthropic_type());
            out.extend_from_slice(b",\"message\":");
            if &*error.code == TOO_LONG && !message.starts_with(TOO_LONG_ANTHROPIC) {
                push_string(&mut out, &format!("{TOO_LONG_ANTHROPIC}: {message}"));
            } else {
                push_string(&mut out, message);
            }
            out.extend_from_slice(b"},\"request_id\":");
            push_string(&mut out, id);
            out.push(b'}');
        }
        Dialect::Gemini => {
            out.extend_from_slice(
                format!("{{\"error\":{{\"code\":{status},\"message\":").as_bytes(),
            );
            push_string(&mut out, message);
            out.extend_from_slice(b",\"status\":");
            push_string(&mut out, cause.gemini_status());
            out.extend_from_slice(b"}}");
        }
        Dialect::Bedrock => {
            // AWS SDKs take the name from this member where no header has it.
            out.extend_from_slice(b"{\"__type\":");
            push_string(&mut out, cause.bedrock_exception());
            out.extend_from_slice(b",\"message\":");
            push_string(&mut out, message);
            out.push(b'}');
        }
    }
    out
}

/// A code that is one of OpenAI's: in small letters, and no type.
fn openai_code(code: &str) -> Option<&str> {
    let is_word = code.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase());
    (!code.is_empty() && is_word && !code.ends_with("_error")).then_some(code)
}

/// As much of `text` as fits, ending at a character.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::refusal::{Class, Refusal};
    use proptest::prelude::*;
    use serde_json::Value;

    const BODIES: [(Dialect, u16, &str, &str, &str); 9] = [
        (
            Dialect::OpenaiChat,
            429,
            r#"{"error":{"message":"no quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
            "insufficient_quota",
            "no quota",
        ),
        (
            Dialect::OpenaiResponses,
            400,
            r#"{"error":{"message":"This model's maximum context length is 8","type":"invalid_request_error"}}"#,
            "context_length_exceeded",
            "This model's maximum context length is 8",
        ),
        (
            Dialect::Anthropic,
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            "overloaded_error",
            "Overloaded",
        ),
        (
            Dialect::Anthropic,
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}"#,
            "context_length_exceeded",
            "prompt is too long: 9 tokens > 8 maximum",
        ),
        (
            Dialect::Gemini,
            429,
            r#"[{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}]"#,
            "RESOURCE_EXHAUSTED",
            "slow",
        ),
        (Dialect::OpenaiChat, 422, r#"{"detail":"no such field"}"#, "", "no such field"),
        (Dialect::Gemini, 502, "<html>\r\n<body>bad gateway", "", "<html>"),
        (Dialect::Anthropic, 500, " \n\n upstream died\nmore", "", "upstream died"),
        (Dialect::OpenaiChat, 500, "", "", "the provider answered with status 500"),
    ];

    #[test]
    fn bodies_are_read() {
        for (dialect, status, body, code, message) in BODIES {
            let error = read_error(dialect, status, body.as_bytes());
            assert_eq!((&*error.code, &*error.message), (code, message), "{body}");
        }
    }

    #[test]
    fn every_dialect_has_its_words_for_a_status() {
        let words = [
            (400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
            (401, "invalid_request_error", "authentication_error", "UNAUTHENTICATED"),
            (403, "invalid_request_error", "permission_error", "PERMISSION_DENIED"),
            (404, "invalid_request_error", "not_found_error", "NOT_FOUND"),
            (413, "invalid_request_error", "request_too_large", "INVALID_ARGUMENT"),
            (422, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
            (429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
            (500, "server_error", "api_error", "INTERNAL"),
            (503, "server_error", "overloaded_error", "UNAVAILABLE"),
            (504, "server_error", "timeout_error", "DEADLINE_EXCEEDED"),
            (529, "server_error", "overloaded_error", "UNAVAILABLE"),
        ];
        let error = ProviderError { message: "a \"b\"\n".into(), ..ProviderError::default() };
        let written = |dialect, status| -> Value {
            serde_json::from_slice(&write_error(dialect, status, &error, "x_1")).unwrap()
        };
        for (status, openai, anthropic, gemini) in words {
            assert_eq!(written(Dialect::OpenaiChat, status)["error"]["type"], openai);
            assert_eq!(written(Dialect::OpenaiResponses, status)["error"]["type"], openai);
            let body = written(Dialect::Anthropic, status);
            assert_eq!(body["error"]["type"], anthropic);
            assert_eq!((&body["type"], &body["request_id"]), (&"error".into(), &"x_1".into()));
            let body = written(Dialect::Gemini, status);
            assert_eq!(body["error"]["status"], gemini);
            assert_eq!(body["error"]["code"], status);
            assert_eq!(body["error"]["message"], "a \"b\"\n");
        }
    }

    #[test]
    fn bedrock_has_one_exception_for_a_status_whoever_answers() {
        let refused = [
            (401, Class::Unauthenticated),
            (403, Class::Forbidden),
            (404, Class::NotFound),
            (503, Class::Unavailable),
            (504, Class::Timeout),
        ];
        for (status, class) in refused {
            let (_, ours) = Refusal::new(class, "").header(Dialect::Bedrock).unwrap();
            let body = write_error(Dialect::Bedrock, status, &ProviderError::default(), "x");
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["__type"], ours, "{status}");
        }
    }

    #[test]
    fn a_prompt_that_is_too_long_is_known_to_every_client() {
        let body = br#"{"error":{"code":400,"message":"The input token count (9) exceeds the maximum number of tokens allowed (8).","status":"INVALID_ARGUMENT"}}"#;
        let error = read_error(Dialect::Gemini, 400, body);
        let body = write_error(Dialect::OpenaiChat, 400, &error, "x");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["code"], TOO_LONG);
        let body = write_error(Dialect::Anthropic, 400, &error, "x");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(body["error"]["message"].as_str().unwrap().starts_with(TOO_LONG_ANTHROPIC));
    }

    fn dialects() -> impl Strategy<Value = Dialect> {
        proptest::sample::select(Dialect::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn any_body_becomes_json_within_bounds(
            source in dialects(),
            target in dialects(),
            status in any::<u16>(),
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..300),
                "\\PC{0,4000}".prop_map(String::into_bytes),
                "[{}\\[\\]\":,a-e]{0,60}".prop_map(String::into_bytes),
                "\\PC{0,3000}".prop_map(|text| {
                    serde_json::json!({"error": {"message": text}}).to_string().into_bytes()
                }),
            ],
        ) {
            let error = read_error(source, status, &body);
            prop_assert!(error.message.len() <= MESSAGE_BYTES_MAX);
            let written = write_error(target, status, &error, "x");
            prop_assert!(serde_json::from_slice::<Value>(&written).is_ok());
        }
    }
}
