//! What a request asks for, read without copying it.
//!
//! [`Place`](Surface) says what a path means; a [`View`] says what a body asks. The body's bytes
//! stay as they came: a view only points into them.

use super::Dialect;
use super::event::Span;
use super::members::Members;
use super::percent;
use super::view::Top;
use std::borrow::Cow;
use std::fmt;

pub use super::opening::{Opening, opening};

/// What a provider's API path means to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Surface<'p> {
    /// One model answer is asked for in a dialect that we read.
    Answer {
        /// The grammar of request and answer.
        dialect: Dialect,
        /// The model, where the path names it (Gemini, Bedrock).
        model: Option<Cow<'p, str>>,
        /// Whether the path asks for a stream; `None` where the body says.
        stream: Option<bool>,
    },
    /// Anything else that a provider serves: passed through byte for byte.
    Other,
}

/// Who a caller says it is, in its body. Hints, never anchors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints<'b> {
    /// Session or conversation.
    pub session: Option<Cow<'b, str>>,
    /// Agent or workflow.
    pub agent: Option<Cow<'b, str>>,
    /// The end user.
    pub end_user: Option<Cow<'b, str>>,
}

/// What a body asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View<'b> {
    /// The model, where the body names it.
    pub model: Option<Cow<'b, str>>,
    /// Where the model's name stands in the body, so that a route may replace it.
    pub model_span: Option<Span>,
    /// Whether a stream is asked for, as far as the body says.
    pub stream: bool,
    /// Who says it is asking.
    pub hints: Hints<'b>,
}

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyError {
    /// The byte at which it goes wrong, where known.
    pub at: Option<usize>,
    /// What is wrong and what was expected, in words for the caller.
    pub what: Cow<'static, str>,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{} at byte {at} of the body", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for BodyError {}

/// Reads what `body` asks for in `dialect`.
///
/// The whole body is checked to be one JSON object; a member that decides something (`model`,
/// `stream`) may stand only once, so that no reader behind us can take another one for it.
///
/// # Errors
/// Says what is wrong and where.
pub fn view(dialect: Dialect, body: &[u8]) -> Result<View<'_>, BodyError> {
    match dialect {
        Dialect::OpenaiChat => super::openai_chat::view(body),
        Dialect::OpenaiResponses => super::openai_responses::view(body),
        Dialect::Anthropic => super::anthropic::view(body),
        Dialect::Gemini => super::gemini::view(body),
        Dialect::Bedrock => super::bedrock::view(body),
    }
}

/// Whether a stream that answers `body` tells how many tokens were used: Chat tells it only to who
/// asks (`stream_options.include_usage`), everything else always does.
pub fn tells_usage(dialect: Dialect, body: &[u8]) -> bool {
    dialect != Dialect::OpenaiChat || {
        let asked = Top::read(body, &[], &["stream_options"]).ok();
        let options = asked.and_then(|top| Members::of(top.get("stream_options")?));
        options.is_some_and(|all| all.get("include_usage").is_some_and(|one| one.get() == "true"))
    }
}

/// The most tokens that an answer may have, all its choices together, where `body` says so.
///
/// A second look at a body that [`view`] has checked, for those who reserve what an answer may use.
pub fn output_max(dialect: Dialect, body: &[u8]) -> Option<u64> {
    const MEMBERS: &[&str] = &[
        "max_completion_tokens",
        "max_tokens",
        "max_output_tokens",
        "n",
        "generationConfig",
        "generation_config",
        "inferenceConfig",
    ];
    let top = Top::read(body, &[], MEMBERS).ok()?;
    let number = |name: &str| top.get(name)?.get().parse::<u64>().ok();
    match dialect {
        Dialect::OpenaiChat => {
            let each = number("max_completion_tokens").or_else(|| number("max_tokens"))?;
            Some(each.saturating_mul(number("n").unwrap_or(1).max(1)))
        }
        Dialect::OpenaiResponses => number("max_output_tokens"),
        Dialect::Anthropic => number("max_tokens"),
        Dialect::Gemini => {
            let config = top.get("generationConfig").or_else(|| top.get("generation_config"))?;
            let config = Members::of(config)?;
            let within = |name: &str| config.get(name)?.get().parse::<u64>().ok();
            let each = within("maxOutputTokens").or_else(|| within("max_output_tokens"))?;
            Some(each.saturating_mul(within("candidateCount").unwrap_or(1).max(1)))
        }
        Dialect::Bedrock => {
            Members::of(top.get("inferenceConfig")?)?.get("maxTokens")?.get().parse::<u64>().ok()
        }
    }
}

/// What `path` (without query, provider prefix taken off) means, of a provider of `family`.
pub fn surface(path: &str) -> Surface<'_> {
    let answer = |dialect| Surface::Answer { dialect, model: None, stream: None };
    match path {
        "/v1/chat/completions" | "/chat/completions" => answer(Dialect::OpenaiChat),
        "/v1/responses" | "/responses" => answer(Dialect::OpenaiResponses),
        "/v1/messages" => answer(Dialect::Anthropic),
        _ => gemini_surface(path).or_else(|| bedrock_surface(path)).unwrap_or(Surface::Other),
    }
}

/// `/v1beta/models/{model}:generateContent` and `:streamGenerateContent`, also under `/v1/`,
/// `/v1alpha/`, and Vertex's long form `/v1/projects/../models/{model}:..`.
fn gemini_surface(path: &str) -> Option<Surface<'_>> {
    let (head, verb) = path.rsplit_once(':')?;
    let stream = match verb {
        "generateContent" => false,
        "streamGenerateContent" => true,
        _ => return None,
    };
    let (before, model) =
        head.rsplit_once("/models/").or_else(|| head.rsplit_once("/tunedModels/"))?;
    (before.starts_with("/v1") && !model.is_empty() && !model.contains('/')).then_some(
        Surface::Answer {
            dialect: Dialect::Gemini,
            model: Some(Cow::Borrowed(model)),
            stream: Some(stream),
        },
    )
}

fn bedrock_surface(path: &str) -> Option<Surface<'_>> {
    let (model, stream) = super::bedrock::model_in_path(path)?;
    let model = Some(percent::text(model));
    Some(Surface::Answer { dialect: Dialect::Bedrock, model, stream: Some(stream) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_asked_for_in_any_spacing() {
        let asks = |body: &str| tells_usage(Dialect::OpenaiChat, body.as_bytes());
        assert!(asks(r#"{"stream_options":{"include_usage" : true}}"#));
        assert!(asks(r#"{"stream_options":{"include\u005fusage":true}}"#));
        assert!(!asks(r#"{"stream_options":{"include_usage":false}}"#) && !asks("{}"));
        // Others may have a member of this name too.
        assert!(!asks(r#"{"metadata":{"include_usage":true},"stream_options":{}}"#));
        assert!(!asks(r#"{"stream_options":[{"include_usage":true}]}"#));
        assert!(!asks(r#"{"stream_options":{"more":{"include_usage":true}}}"#));
        assert!(tells_usage(Dialect::Anthropic, b"{}"));
    }

    #[test]
    fn bounds_of_answers() {
        use Dialect::{Anthropic, Gemini, OpenaiChat, OpenaiResponses};
        for (dialect, body, expected) in [
            (OpenaiChat, r#"{"max_tokens":5}"#, Some(5)),
            (OpenaiChat, r#"{"max_tokens":5,"max_completion_tokens":7,"n":2}"#, Some(14)),
            (OpenaiChat, r#"{"messages":[{"max_tokens":5}]}"#, None),
            (OpenaiChat, r#"{"max_tokens":"5"}"#, None),
            (OpenaiChat, r#"{"max_tokens":-5}"#, None),
            (OpenaiChat, "no json", None),
            (OpenaiResponses, r#"{"max_output_tokens":9}"#, Some(9)),
            (Anthropic, r#"{"max_tokens":32000}"#, Some(32_000)),
            (Gemini, r#"{"generationConfig":{"maxOutputTokens":8,"candidateCount":3}}"#, Some(24)),
            (Gemini, r#"{"generation_config":{"max_output_tokens":8}}"#, Some(8)),
            (Gemini, r#"{"generationConfig":8}"#, None),
        ] {
            assert_eq!(output_max(dialect, body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn paths() {
        assert_eq!(
            surface("/v1beta/models/gemini-2.5-flash:streamGenerateContent"),
            Surface::Answer {
                dialect: Dialect::Gemini,
                model: Some("gemini-2.5-flash".into()),
                stream: Some(true)
            }
        );
        for (path, model, stream) in [
            (
                "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse",
                "anthropic.claude-3-haiku-20240307-v1:0",
                false,
            ),
            (
                "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fx/converse-stream",
                "arn:aws:bedrock:eu-west-1:1:inference-profile/x",
                true,
            ),
        ] {
            let model = Some(model.into());
            let expected =
                Surface::Answer { dialect: Dialect::Bedrock, model, stream: Some(stream) };
            assert_eq!(surface(path), expected);
        }
        assert_eq!(surface("/model/x/invoke"), Surface::Other);
        assert_eq!(surface("/v1beta/models/x:countTokens"), Surface::Other);
        assert_eq!(surface("/v1/messages/count_tokens"), Surface::Other);
        assert_eq!(surface("/v1/embeddings"), Surface::Other);
    }
}
