//! The one model in which the requests of all dialects meet.
//!
//! A request goes to a provider of another dialect as [`read`] and [`write`]: each dialect has one
//! reader and one writer, in its `prompt` folder. A request that stays in its dialect does not come
//! here; its bytes leave as they came.
//!
//! What always holds:
//! - What a reader does not understand, and what a writer cannot say, is a stated [`Loss`].
//! - Neighbouring turns have different roles; [`Prompt::push`] sees to it. Results of tools stand
//!   in the user's turn that follows their calls. Only [`Prompt::system`] has the system texts
//!   before the first turn.
//! - JSON that is not ours to understand (schemas, arguments) is kept as its text, so that the
//!   order of its members and the digits of its numbers survive.

pub(crate) mod media;
mod plain;

use super::loss::{Loss, Losses};
use super::request::BodyError;
use super::{Dialect, anthropic, bedrock, gemini, json, openai_chat, openai_responses};
use serde_json::value::RawValue;
use std::fmt;

/// Reads a request.
///
/// # Errors
/// If `body` is not a request of `dialect`.
pub fn read(dialect: Dialect, body: &[u8]) -> Result<Prompt, BodyError> {
    match dialect {
        Dialect::OpenaiChat => openai_chat::prompt::read(body),
        Dialect::OpenaiResponses => openai_responses::prompt::read(body),
        Dialect::Anthropic => anthropic::prompt::read(body),
        Dialect::Gemini => gemini::prompt::read(body),
        Dialect::Bedrock => bedrock::prompt::read(body),
    }
}

/// Writes a request; what cannot be said joins `losses`, and so does what the reader lost.
pub fn write(dialect: Dialect, prompt: &Prompt, losses: &mut Losses) -> Vec<u8> {
    losses.join(prompt.losses);
    match dialect {
        Dialect::OpenaiChat => openai_chat::prompt::write(prompt, losses),
        Dialect::OpenaiResponses => openai_responses::prompt::write(prompt, losses),
        Dialect::Anthropic => anthropic::prompt::write(prompt, losses),
        Dialect::Gemini => gemini::prompt::write(prompt, losses),
        Dialect::Bedrock => bedrock::prompt::write(prompt, losses),
    }
}

/// The request `body` of dialect `from` as one of dialect `to`, for `model`, as a stream or not.
/// Where the path says these, the body does not.
///
/// # Errors
/// If `body` is not a request of `from`.
pub fn translate(
    from: Dialect,
    to: Dialect,
    body: &[u8],
    model: &str,
    stream: bool,
) -> Result<(Vec<u8>, Losses), BodyError> {
    let mut prompt = read(from, body)?;
    prompt.model = Some(model.to_owned());
    prompt.stream = stream;
    let mut losses = Losses::default();
    let body = write(to, &prompt, &mut losses);
    Ok((body, losses))
}

/// A request to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// The dialect it was read in: parts that only their own dialect knows are of this one.
    pub dialect: Dialect,
    /// The model, where the body names it.
    pub model: Option<String>,
    /// Whether the answer is to be a stream, where the body says.
    pub stream: bool,
    /// System and developer texts before the first turn.
    pub system: Vec<String>,
    /// The conversation.
    pub turns: Vec<Turn>,
    /// The tools that the model may call.
    pub tools: Vec<Tool>,
    /// Which of them it must or may call; `None` where nothing is said.
    pub choice: Option<Choice>,
    /// Whether it may call several at once; `None` where nothing is said.
    pub parallel_calls: Option<bool>,
    /// The form of the answer; `None` for free text.
    pub format: Option<Format>,
    /// How hard to think.
    pub thinking: Thinking,
    /// How tokens are drawn, and how many.
    pub sampling: Sampling,
    /// Who asks, in the caller's words.
    pub labels: Labels,
    /// What the reader could not keep. Members that stand here never reach a writer.
    pub losses: Losses,
}

/// What one side says before the other speaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Whose turn.
    pub role: Role,
    /// In order.
    pub parts: Vec<Part>,
}

/// Whose turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// System or developer texts between turns.
    System,
    /// The user, and results of tools.
    User,
    /// The model.
    Assistant,
}

/// A piece of a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text.
    Text(String),
    /// An image, document, sound or video.
    Media(Media),
    /// The model calls a tool.
    Call(Call),
    /// What a tool returned.
    Result(ToolResult),
    /// The model's reasoning.
    Reasoning(Reasoning),
    /// The model's refusal.
    Refusal(String),
    /// A part that only its own dialect knows, as it stood.
    Native(Json),
}

/// What kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A PDF, or text.
    Document,
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
}

/// A file in a turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// What it is.
    pub kind: MediaKind,
    /// Where its bytes are.
    pub source: Source,
    /// A document's title or file name.
    pub title: Option<String>,
    /// Where a search result was found.
    pub origin: Option<String>,
    /// How closely an image is to be looked at: `low`, `high`, `auto`.
    pub detail: Option<String>,
}

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Here.
    Base64 {
        /// For example `image/png`.
        media_type: String,
        /// Base64.
        data: String,
    },
    /// At an address.
    Url {
        /// The address.
        url: String,
        /// Where the dialect says it.
        media_type: Option<String>,
    },
    /// At the provider, under its id.
    File(String),
    /// Here, as plain text.
    Text(String),
}

/// A call of a tool by the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The call's id. Gemini may have none; its reader makes one.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What it is called with.
    pub input: Input,
    /// What its own dialect must see again (Gemini's `thoughtSignature`).
    pub signature: Option<String>,
}

/// What a tool is called with.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Arguments: a JSON object, as text. What a model wrote need not be valid JSON.
    Json(String),
    /// Free text, of a custom tool.
    Text(String),
}

/// What a tool returned.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// The id of the call.
    pub id: String,
    /// The tool, where the dialect says it or the call is known.
    pub name: Option<String>,
    /// Text and media; [`Part::Native`] too.
    pub parts: Vec<Part>,
    /// Whether the tool says that it failed.
    pub is_error: bool,
    /// Whether it answers a call of a custom tool.
    pub is_custom: bool,
}

/// The model's reasoning, as it was told. Only its own dialect may see it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Reasoning {
    /// The readable text; empty where all is encrypted.
    pub text: String,
    /// The whole part as it stood.
    pub native: Json,
}

/// A tool that may be called.
#[derive(Clone, Debug, PartialEq)]
pub enum Tool {
    /// Takes a JSON object; the caller runs it.
    Function(Function),
    /// Takes free text; the caller runs it.
    Custom {
        /// What it is called.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The grammar of its text.
        format: Option<Json>,
    },
    /// The provider runs it; only its own dialect knows it.
    Hosted {
        /// Its name or type.
        name: String,
        /// The definition as it stood.
        native: Json,
    },
}

/// A function.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments; `None` where it takes none.
    pub schema: Option<Json>,
    /// Whether arguments must keep to the schema; `None` where nothing is said.
    pub strict: Option<bool>,
}

/// Which tools must or may be called.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// As the model likes.
    Auto,
    /// No tool.
    None,
    /// Some tool.
    Required,
    /// This tool.
    One(String),
    /// Only these.
    Among {
        /// Their names.
        names: Vec<String>,
        /// Whether one of them must be called.
        is_required: bool,
    },
    /// A choice that only its own dialect knows, as it stood.
    Native(Json),
}

/// The form of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// A JSON object of any shape.
    JsonObject,
    /// JSON of a schema.
    JsonSchema {
        /// The schema's name.
        name: Option<String>,
        /// What the schema is for.
        description: Option<String>,
        /// JSON Schema.
        schema: Json,
        /// Whether it binds; `None` where nothing is said.
        strict: Option<bool>,
    },
}

/// How hard to think. `effort` and `budget` are two ways of saying it; a dialect has one or both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thinking {
    /// In words.
    pub effort: Option<Effort>,
    /// In tokens.
    pub budget: Option<Budget>,
    /// Whether the reasoning is to be told; of Responses the kind of summary.
    pub summary: Option<String>,
}

/// How hard to think, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as can be.
    Minimal,
    /// Little.
    Low,
    /// The middle.
    Medium,
    /// Much.
    High,
    /// More than much.
    Xhigh,
    /// All that can be.
    Max,
}

/// How hard to think, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Not at all.
    Off,
    /// As the model likes.
    Dynamic,
    /// At most so many tokens.
    Tokens(u64),
}

/// How tokens are drawn, and how many.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// The temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Sampling from the k likeliest.
    pub top_k: Option<u64>,
    /// Sequences that end the answer.
    pub stop: Vec<String>,
    /// The longest answer, in tokens.
    pub output_tokens_max: Option<u64>,
    /// The seed.
    pub seed: Option<i64>,
    /// The penalty on tokens that stood already.
    pub presence_penalty: Option<f64>,
    /// The penalty on tokens by how often they stood.
    pub frequency_penalty: Option<f64>,
    /// How many answers.
    pub answers: Option<u64>,
    /// Log probabilities are wanted: of so many alternatives for each token, 0 for none.
    pub logprobs: Option<u64>,
    /// How wordy the answer is to be.
    pub verbosity: Option<String>,
}

/// Who asks, in the caller's words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels {
    /// The end user.
    pub user: Option<String>,
    /// The caller's own labels, in order.
    pub metadata: Vec<(String, String)>,
    /// The key of a prompt cache.
    pub cache_key: Option<String>,
    /// Whether the provider is to keep the answer; `None` where nothing is said.
    pub store: Option<bool>,
}

/// One JSON value, as its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Box<str>);

impl Json {
    /// The value of `raw`.
    pub fn of(raw: &RawValue) -> Json {
        Json(raw.get().into())
    }

    /// `text` if it is one JSON value.
    pub fn parse(text: &str) -> Option<Json> {
        serde_json::from_str::<&RawValue>(text).ok().map(Json::of)
    }

    /// `text` as a JSON string.
    pub fn string(text: &str) -> Json {
        let mut out = Vec::with_capacity(text.len() + 2);
        json::push_string(&mut out, text);
        Json(String::from_utf8(out).unwrap_or_default().into())
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Prompt {
    /// An empty request of `dialect`.
    pub fn new(dialect: Dialect) -> Prompt {
        Prompt {
            dialect,
            model: None,
            stream: false,
            system: Vec::new(),
            turns: Vec::new(),
            tools: Vec::new(),
            choice: None,
            parallel_calls: None,
            format: None,
            thinking: Thinking::default(),
            sampling: Sampling::default(),
            labels: Labels::default(),
            losses: Losses::default(),
        }
    }

    /// Appends `parts` to the conversation: to the last turn if it is of the same role, and to the
    /// system texts if no turn has begun.
    pub fn push(&mut self, role: Role, parts: Vec<Part>) {
        if role == Role::System && self.turns.is_empty() {
            for part in parts {
                match part {
                    Part::Text(text) => self.system.push(text),
                    Part::Media(_)
                    | Part::Call(_)
                    | Part::Result(_)
                    | Part::Reasoning(_)
                    | Part::Refusal(_)
                    | Part::Native(_) => self.losses.add(Loss::UnknownParts),
                }
            }
            return;
        }
        if parts.is_empty() {
            return;
        }
        match self.turns.last_mut().filter(|turn| turn.role == role) {
            Some(turn) => turn.parts.extend(parts),
            None => self.turns.push(Turn { role, parts }),
        }
    }

    /// The call `id`, if it stands in the conversation.
    pub fn call(&self, id: &str) -> Option<&Call> {
        let parts = self.turns.iter().rev().flat_map(|turn| turn.parts.iter().rev());
        parts.into_iter().find_map(|part| match part {
            Part::Call(call) => (call.id == id).then_some(call),
            Part::Text(_)
            | Part::Media(_)
            | Part::Result(_)
            | Part::Reasoning(_)
            | Part::Refusal(_)
            | Part::Native(_) => None,
        })
    }

    /// The name of the tool that the call `id` called, if the call stands in the conversation.
    pub fn called(&self, id: &str) -> Option<&str> {
        self.call(id).map(|call| &*call.name)
    }
}

#[cfg(test)]
mod tests;
