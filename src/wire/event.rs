//! The one model in which all dialects meet.
//!
//! An event is one step of an answer. Text events say on which [`Channel`] they run and where
//! in the frame their characters stand, so that an edit can be spliced into the provider's own
//! bytes and everything around it, known to us or not, survives.

use super::Dialect;
use std::borrow::Cow;

/// What kind of text a channel carries: the same word for wires and for rules.
pub use crate::filter::Kind;

/// An independent run of text in an answer.
///
/// `choice` is the choice or candidate index, `block` the content block, output item or
/// `1 + tool call index`, `part` the content or summary part inside an item; each 0 where the
/// dialect has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel {
    /// Choice or candidate.
    pub choice: u16,
    /// Content block, output item, or tool call.
    pub block: u16,
    /// Part inside the block.
    pub part: u16,
    /// What the text is.
    pub kind: Kind,
}

/// How text stands in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Inside a JSON string, between its quotes, escaped.
    Quoted,
    /// As a JSON value itself (arguments that are an object).
    Json,
}

/// Where text stands in the raw bytes of its frame or body: `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// How it is written there.
    pub form: Form,
}

/// What a content block is when it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    /// Answer text.
    Text,
    /// Reasoning.
    Reasoning,
    /// A refusal.
    Refusal,
    /// A call of a tool.
    Tool {
        /// The call's id; empty where the provider gives none.
        id: Cow<'a, str>,
        /// The tool's name.
        name: Cow<'a, str>,
        /// Who runs it and how its arguments look.
        flavour: ToolFlavour,
    },
    /// A block that only its own dialect knows, by its type.
    Other(Cow<'a, str>),
}

/// Who runs a called tool, and how its arguments look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolFlavour {
    /// The caller runs it; arguments are JSON.
    Function,
    /// The caller runs it; arguments are free text.
    Custom,
    /// The provider runs it.
    Server,
}

/// Why an answer stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model was done.
    EndTurn,
    /// The length limit was met.
    MaxTokens,
    /// A stop sequence was met.
    StopSequence,
    /// The model wants tools to be called.
    ToolUse,
    /// The provider's content filter stepped in.
    ContentFilter,
    /// The model refused.
    Refusal,
    /// The provider paused a long turn.
    Pause,
    /// The provider failed.
    Error,
    /// Something else; the native word says what.
    Other,
}

impl StopReason {
    /// The name as records and the API write it.
    pub fn name(self) -> &'static str {
        match self {
            StopReason::EndTurn => "end_turn",
            StopReason::MaxTokens => "max_tokens",
            StopReason::StopSequence => "stop_sequence",
            StopReason::ToolUse => "tool_use",
            StopReason::ContentFilter => "content_filter",
            StopReason::Refusal => "refusal",
            StopReason::Pause => "pause",
            StopReason::Error => "error",
            StopReason::Other => "other",
        }
    }
}

/// Token counts; `None` where the provider said nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tokens of the prompt, cached ones included.
    pub input: Option<u64>,
    /// Tokens of the answer, reasoning included where the provider counts it in.
    pub output: Option<u64>,
    /// Prompt tokens read from a cache.
    pub cache_read: Option<u64>,
    /// Prompt tokens written to a cache.
    pub cache_write: Option<u64>,
    /// Answer tokens spent on reasoning.
    pub reasoning: Option<u64>,
}

impl Counts {
    /// As records and the API have them.
    pub fn as_json(&self) -> serde_json::Value {
        serde_json::json!({
            "input": self.input,
            "output": self.output,
            "cache_read": self.cache_read,
            "cache_write": self.cache_write,
            "reasoning": self.reasoning,
        })
    }
}

/// Where an unknown member stands in a frame of its dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// At the top of the frame.
    Frame,
    /// In the message or response object.
    Message,
    /// In a choice or candidate.
    Choice(u16),
    /// In a choice's delta, message or content.
    Delta(u16),
    /// In a content block, part or item.
    Block(u16),
}

/// One step of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The answer begins. At most once a stream.
    Start {
        /// The provider's id for the answer.
        id: Cow<'a, str>,
        /// The model, as the provider reports it.
        model: Cow<'a, str>,
        /// Unix seconds, where the dialect has them.
        created: Option<u64>,
    },
    /// A content block opens. Text on a channel that nothing opened opens it by itself.
    Open {
        /// The block; `kind` is that of its main text.
        channel: Channel,
        /// What it is.
        block: Block<'a>,
    },
    /// More text on a channel.
    Text {
        /// The channel.
        channel: Channel,
        /// The text, decoded.
        text: Cow<'a, str>,
        /// Where it stands in the frame, if in one piece.
        span: Option<Span>,
    },
    /// A second copy of text that went before (`*.done`, final items): to be judged, not appended.
    Repeat {
        /// The channel.
        channel: Channel,
        /// The whole text of the channel, decoded.
        text: Cow<'a, str>,
        /// Where it stands in the frame.
        span: Option<Span>,
    },
    /// A signature over a reasoning block, to be carried unchanged.
    Signature {
        /// The reasoning channel that it signs.
        channel: Channel,
        /// The opaque value.
        value: Cow<'a, str>,
    },
    /// A content block closes.
    Close {
        /// The block.
        channel: Channel,
    },
    /// A choice has stopped.
    Stop {
        /// The choice or candidate.
        choice: u16,
        /// Why, in words that all dialects share.
        reason: StopReason,
        /// Why, in the dialect's own word.
        native: Cow<'a, str>,
    },
    /// Token counts so far; a later one replaces an earlier.
    Usage {
        /// The shared counts.
        counts: Counts,
        /// The dialect's own object, verbatim JSON.
        native: Cow<'a, str>,
    },
    /// The provider reports an error inside the stream or in place of an answer.
    Error {
        /// The provider's type or code, empty where it gives none.
        code: Cow<'a, str>,
        /// Its message.
        message: Cow<'a, str>,
        /// The dialect's own object, verbatim JSON.
        native: Cow<'a, str>,
    },
    /// A keep-alive, or an SSE comment.
    Ping,
    /// A member that this dialect's decoder does not know, kept verbatim.
    Extra {
        /// Where it stood.
        place: Place,
        /// Its name.
        key: Cow<'a, str>,
        /// Its value, verbatim JSON.
        json: Cow<'a, str>,
    },
    /// A whole frame, block or body that is not understood, kept verbatim.
    Opaque {
        /// The dialect that it came in.
        dialect: Dialect,
        /// The event name (SSE `event:` line or `type` member), empty where there is none.
        name: Cow<'a, str>,
        /// The payload; need not be JSON, nor UTF-8.
        data: Cow<'a, [u8]>,
    },
    /// The stream's own end mark (`[DONE]`, `message_stop`, `response.completed`).
    End,
}

fn own(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

impl Event<'_> {
    /// The same event, borrowing nothing.
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Event::Start { id, model, created } => {
                Event::Start { id: own(id), model: own(model), created }
            }
            Event::Open { channel, block } => Event::Open { channel, block: block.into_owned() },
            Event::Text { channel, text, span } => Event::Text { channel, text: own(text), span },
            Event::Repeat { channel, text, span } => {
                Event::Repeat { channel, text: own(text), span }
            }
            Event::Signature { channel, value } => Event::Signature { channel, value: own(value) },
            Event::Close { channel } => Event::Close { channel },
            Event::Stop { choice, reason, native } => {
                Event::Stop { choice, reason, native: own(native) }
            }
            Event::Usage { counts, native } => Event::Usage { counts, native: own(native) },
            Event::Error { code, message, native } => {
                Event::Error { code: own(code), message: own(message), native: own(native) }
            }
            Event::Ping => Event::Ping,
            Event::Extra { place, key, json } => {
                Event::Extra { place, key: own(key), json: own(json) }
            }
            Event::Opaque { dialect, name, data } => {
                Event::Opaque { dialect, name: own(name), data: Cow::Owned(data.into_owned()) }
            }
            Event::End => Event::End,
        }
    }

    /// The same event without the place of its text, for comparing what two encodings say.
    #[must_use]
    pub fn without_span(mut self) -> Self {
        if let Event::Text { span, .. } | Event::Repeat { span, .. } = &mut self {
            *span = None;
        }
        self
    }
}

impl Block<'_> {
    /// The same block, borrowing nothing.
    pub fn into_owned(self) -> Block<'static> {
        match self {
            Block::Text => Block::Text,
            Block::Reasoning => Block::Reasoning,
            Block::Refusal => Block::Refusal,
            Block::Tool { id, name, flavour } => {
                Block::Tool { id: own(id), name: own(name), flavour }
            }
            Block::Other(kind) => Block::Other(own(kind)),
        }
    }
}
