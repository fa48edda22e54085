//! What a client is told when Firedoor itself answers: one place, every dialect.
//!
//! The shapes are those that each official SDK was measured to stop on: a refusal that is final
//! carries a status that no SDK retries and `x-should-retry: false`; a stream is never ended by
//! silence, because most SDKs take a clean end for success. Frames that end a stream on our
//! order avoid the codes that agent frameworks take for transient (`server_error`, `api_error`,
//! `overloaded_error`); frames that report a provider's failure use them.

use super::eventstream::push_exception;
use super::json::push_string;
use super::object::Object;
use super::sse::push_frame;
use super::{Dialect, Tail};
use crate::fault::{Blame, Fault, Retry};
use std::borrow::Cow;

/// Why Firedoor answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The request cannot be read, or asks for what cannot be.
    BadRequest,
    /// No valid app key.
    Unauthenticated,
    /// The app may not use this route.
    Forbidden,
    /// No such path or model here.
    NotFound,
    /// The body is larger than the limit.
    TooLarge,
    /// A limit of the app is met.
    Limited,
    /// A lever forbids it. Final.
    Killed,
    /// A rule forbids it. Final.
    Blocked,
    /// No target can take the request now.
    Unavailable,
    /// The provider's answer cannot be used, or broke.
    BadGateway,
    /// The provider did not answer in time.
    Timeout,
    /// Firedoor failed.
    Internal,
}

impl Class {
    /// All, each at the place that it has as a number.
    pub const ALL: [Class; 12] = [
        Class::BadRequest,
        Class::Unauthenticated,
        Class::Forbidden,
        Class::NotFound,
        Class::TooLarge,
        Class::Limited,
        Class::Killed,
        Class::Blocked,
        Class::Unavailable,
        Class::BadGateway,
        Class::Timeout,
        Class::Internal,
    ];

    /// The HTTP status of a whole refusal.
    pub fn status(self) -> u16 {
        match self {
            // Every final refusal is a 400: the one status that no measured client retries.
            Class::BadRequest | Class::Limited | Class::Killed | Class::Blocked => 400,
            Class::Unauthenticated => 401,
            Class::Forbidden => 403,
            Class::NotFound => 404,
            Class::TooLarge => 413,
            Class::Internal => 500,
            Class::BadGateway => 502,
            Class::Unavailable => 503,
            Class::Timeout => 504,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(self) -> bool {
        matches!(self, Class::Unavailable | Class::BadGateway | Class::Timeout | Class::Internal)
    }

    /// The name as labels, records and the `code` member write it.
    pub fn name(self) -> &'static str {
        match self {
            Class::BadRequest => "firedoor_bad_request",
            Class::Unauthenticated => "invalid_api_key",
            Class::Forbidden => "firedoor_forbidden",
            Class::NotFound => "model_not_found",
            Class::TooLarge => "firedoor_too_large",
            Class::Limited => "firedoor_limited",
            Class::Killed => "firedoor_killed",
            Class::Blocked => "firedoor_blocked",
            Class::Unavailable => "firedoor_unavailable",
            Class::BadGateway => "firedoor_bad_gateway",
            Class::Timeout => "firedoor_timeout",
            Class::Internal => "firedoor_internal",
        }
    }

    /// The value of `x-firedoor-action`, for the classes that are acts of containment.
    pub fn action(self) -> Option<&'static str> {
        match self {
            Class::Killed => Some("kill"),
            Class::Blocked => Some("block"),
            Class::Limited => Some("budget"),
            Class::BadRequest
            | Class::Unauthenticated
            | Class::Forbidden
            | Class::NotFound
            | Class::TooLarge
            | Class::Unavailable
            | Class::BadGateway
            | Class::Timeout
            | Class::Internal => None,
        }
    }

    fn openai_type(self) -> &'static str {
        if self.is_transient() { "server_error" } else { "invalid_request_error" }
    }

    fn anthropic_type(self) -> &'static str {
        match self {
            Class::BadRequest | Class::Limited | Class::Killed | Class::Blocked => {
                "invalid_request_error"
            }
            Class::Unauthenticated => "authentication_error",
            Class::Forbidden => "permission_error",
            Class::NotFound => "not_found_error",
            Class::TooLarge => "request_too_large",
            Class::Unavailable => "overloaded_error",
            Class::BadGateway | Class::Internal => "api_error",
            Class::Timeout => "timeout_error",
        }
    }

    fn gemini_status(self) -> &'static str {
        match self {
            Class::BadRequest | Class::TooLarge => "INVALID_ARGUMENT",
            Class::Limited | Class::Killed | Class::Blocked => "FAILED_PRECONDITION",
            Class::Unauthenticated => "UNAUTHENTICATED",
            Class::Forbidden => "PERMISSION_DENIED",
            Class::NotFound => "NOT_FOUND",
            Class::Internal | Class::BadGateway => "INTERNAL",
            Class::Unavailable => "UNAVAILABLE",
            Class::Timeout => "DEADLINE_EXCEEDED",
        }
    }

    /// The exception that AWS's clients know a whole error by.
    fn bedrock_type(self) -> &'static str {
        match self {
            Class::BadRequest
            | Class::TooLarge
            | Class::Limited
            | Class::Killed
            | Class::Blocked => "ValidationException",
            Class::Unauthenticated => "UnrecognizedClientException",
            Class::Forbidden => "AccessDeniedException",
            Class::NotFound => "ResourceNotFoundException",
            Class::Unavailable => "ServiceUnavailableException",
            Class::Timeout => "ModelTimeoutException",
            Class::Internal | Class::BadGateway => "InternalServerException",
        }
    }

    /// The exception that ends a stream; those that a stream may hold are fewer.
    fn bedrock_exception(self) -> &'static str {
        match self {
            Class::Unavailable => "serviceUnavailableException",
            Class::BadGateway | Class::Timeout => "modelStreamErrorException",
            Class::Internal => "internalServerException",
            Class::BadRequest
            | Class::Unauthenticated
            | Class::Forbidden
            | Class::NotFound
            | Class::TooLarge
            | Class::Limited
            | Class::Killed
            | Class::Blocked => "validationException",
        }
    }
}

/// An answer of our own to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub class: Class,
    /// In words for the caller; never the matched text, a pattern, or a secret.
    pub message: Cow<'static, str>,
    /// The lever, rule or incident that it comes from.
    pub reference: Option<Box<str>>,
}

impl Refusal {
    /// A refusal without a reference.
    pub fn new(class: Class, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { class, message: message.into(), reference: None }
    }

    /// The body of a whole refusal in `dialect`; `id` is the exchange.
    pub fn body(&self, dialect: Dialect, id: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        match dialect {
            Dialect::OpenaiChat | Dialect::OpenaiResponses => self.push_openai(&mut out, id),
            Dialect::Anthropic => {
                self.push_anthropic(&mut out, self.class.anthropic_type(), id);
            }
            Dialect::Gemini => {
                self.push_gemini(&mut out, self.class.status(), self.class.gemini_status(), id);
            }
            Dialect::Bedrock => self.push_bedrock(&mut out, id),
        }
        out
    }

    /// The header that names the kind of a whole refusal, where the dialect has one.
    pub fn header(&self, dialect: Dialect) -> Option<(&'static str, &'static str)> {
        match dialect {
            Dialect::Bedrock => Some(("x-amzn-errortype", self.class.bedrock_type())),
            Dialect::OpenaiChat
            | Dialect::OpenaiResponses
            | Dialect::Anthropic
            | Dialect::Gemini => None,
        }
    }

    /// The frames that end a stream which is already under way, in `dialect`.
    ///
    /// They begin a frame of their own: the caller writes them at a frame's border only.
    pub fn frames(&self, dialect: Dialect, tail: &Tail, id: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let mut data = Vec::with_capacity(256);
        let transient = self.class.is_transient();
        match dialect {
            Dialect::OpenaiChat => {
                self.push_openai(&mut data, id);
                push_frame(&mut out, "", &data);
                push_frame(&mut out, "", b"[DONE]");
            }
            Dialect::OpenaiResponses => self.push_responses_ending(&mut out, tail, id),
            Dialect::Anthropic => {
                let kind = if transient { self.class.anthropic_type() } else { "permission_error" };
                self.push_anthropic(&mut data, kind, id);
                push_frame(&mut out, "error", &data);
            }
            Dialect::Gemini => {
                if transient {
                    self.push_gemini(
                        &mut data,
                        self.class.status(),
                        self.class.gemini_status(),
                        id,
                    );
                } else {
                    self.push_gemini(&mut data, 403, "PERMISSION_DENIED", id);
                }
                push_frame(&mut out, "", &data);
            }
            Dialect::Bedrock => {
                self.push_bedrock(&mut data, id);
                push_exception(&mut out, self.class.bedrock_exception(), &data);
            }
        }
        out
    }

    /// The message with the reference, and the exchange where there is none: once a stream is
    /// under way no header is left to carry them.
    fn push_message(&self, out: &mut Vec<u8>, id: &str) {
        let reference = self.reference.as_deref().unwrap_or(id);
        push_string(out, &format!("{} (ref {reference})", self.message));
    }

    fn push_openai(&self, out: &mut Vec<u8>, id: &str) {
        out.extend_from_slice(b"{\"error\":");
        self.push_openai_error(out, id);
        out.push(b'}');
    }

    fn push_openai_error(&self, out: &mut Vec<u8>, id: &str) {
        out.extend_from_slice(b"{\"message\":");
        self.push_message(out, id);
        out.extend_from_slice(b",\"type\":");
        push_string(out, self.class.openai_type());
        out.extend_from_slice(b",\"param\":null,\"code\":");
        push_string(out, self.class.name());
        out.push(b'}');
    }

    fn push_anthropic(&self, out: &mut Vec<u8>, kind: &str, id: &str) {
        out.extend_from_slice(b"{\"type\":\"error\",\"error\":{\"type\":");
        push_string(out, kind);
        out.extend_from_slice(b",\"message\":");
        self.push_message(out, id);
        out.extend_from_slice(b"},\"request_id\":");
        push_string(out, id);
        out.push(b'}');
    }

    fn push_gemini(&self, out: &mut Vec<u8>, code: u16, status: &str, id: &str) {
        out.extend_from_slice(format!("{{\"error\":{{\"code\":{code},\"message\":").as_bytes());
        self.push_message(out, id);
        out.extend_from_slice(b",\"status\":");
        push_string(out, status);
        out.extend_from_slice(b"}}");
    }

    fn push_bedrock(&self, out: &mut Vec<u8>, id: &str) {
        let mut error = Object::open(out);
        self.push_message(error.key("message"), id);
        error.close();
    }

    /// `response.failed` and then `error`. Codex ends for good on `invalid_prompt` only; on
    /// `server_error` it asks again.
    fn push_responses_ending(&self, out: &mut Vec<u8>, tail: &Tail, id: &str) {
        let code = if self.class.is_transient() { "server_error" } else { "invalid_prompt" };
        let mut data = Vec::with_capacity(512);
        data.extend_from_slice(b"{\"type\":\"response.failed\",\"sequence_number\":");
        data.extend_from_slice(tail.sequence.to_string().as_bytes());
        data.extend_from_slice(b",\"response\":{\"id\":");
        push_string(&mut data, tail.id.as_deref().unwrap_or("resp_firedoor"));
        data.extend_from_slice(b",\"object\":\"response\",\"created_at\":");
        data.extend_from_slice(tail.created.unwrap_or(0).to_string().as_bytes());
        data.extend_from_slice(b",\"status\":\"failed\",\"error\":{\"code\":");
        push_string(&mut data, code);
        data.extend_from_slice(b",\"message\":");
        self.push_message(&mut data, id);
        data.extend_from_slice(b"},\"incomplete_details\":null,\"instructions\":null,\"model\":");
        push_string(&mut data, tail.model.as_deref().unwrap_or(""));
        data.extend_from_slice(b",\"output\":[],\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],\"metadata\":{}}}");
        push_frame(out, "response.failed", &data);

        data.clear();
        data.extend_from_slice(b"{\"type\":\"error\",\"sequence_number\":");
        data.extend_from_slice((tail.sequence + 1).to_string().as_bytes());
        data.extend_from_slice(b",\"code\":");
        push_string(&mut data, self.class.name());
        data.extend_from_slice(b",\"message\":");
        self.push_message(&mut data, id);
        data.extend_from_slice(b",\"param\":null,\"error\":");
        self.push_openai_error(&mut data, id);
        data.push(b'}');
        push_frame(out, "error", &data);
    }
}

impl From<&Fault> for Refusal {
    fn from(fault: &Fault) -> Refusal {
        let class = match (fault.blame, fault.retry) {
            (Blame::Client, _) => Class::BadRequest,
            (Blame::Provider, _) => Class::BadGateway,
            (Blame::Gate, Retry::Safe) => Class::Unavailable,
            (Blame::Gate, Retry::Never) => Class::Internal,
        };
        Refusal::new(class, fault.what.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Decoder;
    use crate::wire::event::Event;
    use crate::wire::framing::Splitter;

    #[test]
    fn every_class_is_json_in_every_dialect_and_carries_its_reference() {
        for class in Class::ALL {
            let refusal = Refusal::new(class, "no \"luck\"\n");
            for dialect in Dialect::ALL {
                let body = refusal.body(dialect, "x_1");
                let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let error = if dialect == Dialect::Bedrock { &value } else { &value["error"] };
                assert!(error["message"].as_str().unwrap().contains("(ref x_1)"));
                let frames = refusal.frames(dialect, &Tail::default(), "x_1");
                let (mut rest, mut splitter) = (&frames[..], Splitter::new(dialect.framing()));
                let mut decoder = Decoder::new(dialect);
                let mut has_error = false;
                while let Some(end) = splitter.next(rest).unwrap() {
                    let frame = dialect.framing().frame(&rest[..end]);
                    decoder.frame(&frame, &mut |event| {
                        has_error |= matches!(event, Event::Error { .. });
                    });
                    rest = &rest[end..];
                }
                assert!(has_error && rest.is_empty(), "{class:?} in {}", dialect.name());
            }
        }
    }
}
