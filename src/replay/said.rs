//! What an answer says, told apart from how it says it: text, reasoning, tools called, why it
//! stopped, tokens. Two answers are compared by this where their bytes differ.

use crate::clock::Tick;
use crate::evidence::exchange::Answer;
use crate::exchange::relay::{Relay, Seen};
use crate::wire::coding::Coding;
use crate::wire::event::{Block, Channel, Event, Kind};
use crate::wire::{Dialect, decode_answer};
use serde::Serialize;

/// The most bytes of one text that are kept.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// How much of a stream tells its dialect.
const SPOKEN_BYTES: usize = 64 << 10;
/// The most calls that are kept.
const CALLS_MAX: usize = 256;

/// What an answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Said {
    /// The answer's text, of all choices one behind another.
    pub text: String,
    /// The reasoning.
    pub reasoning: String,
    /// The refusal.
    pub refusal: String,
    /// The tools called.
    pub calls: Vec<Call>,
    /// Why it stopped, in the dialect's own word.
    pub stop: Option<String>,
    /// The model that the provider reports.
    pub model: Option<String>,
    /// Tokens of the prompt.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer.
    pub output_tokens: Option<u64>,
    /// The error that it tells.
    pub error: Option<String>,
}

/// One call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The tool.
    pub tool: String,
    /// Its arguments, as the model wrote them.
    pub arguments: String,
    #[serde(skip)]
    at: (u16, u16),
}

/// What `body` says, an answer in `dialect` with this media type.
pub fn said(dialect: Dialect, content_type: Option<&str>, body: &[u8]) -> Said {
    let mut said = Said::default();
    decode_answer(dialect, content_type, body, &mut |event| said.see(&event));
    said
}

/// The dialect in which an answer is, for a caller of `caller`: the one that understands it.
pub fn spoken(caller: Dialect, answer: Answer<'_>) -> Dialect {
    let body = &answer.body.bytes[..];
    let understands = |dialect: Dialect| {
        let is_stream =
            answer.field("content-type").is_some_and(|kind| dialect.framing().is_named_by(kind));
        if is_stream {
            let beginning = body.get(..SPOKEN_BYTES).unwrap_or(body);
            let mut relay = Relay::new(dialect, Coding::Identity);
            let mut out = Vec::new();
            let _ = relay.bytes(beginning, Tick::default(), &mut out);
            return relay.seen.is_understood;
        }
        let mut seen = Seen::default();
        seen.whole(dialect, body, Tick::default());
        seen.is_understood
    };
    let others = Dialect::ALL.into_iter().filter(|other| *other != caller);
    [caller].into_iter().chain(others).find(|dialect| understands(*dialect)).unwrap_or(caller)
}

impl Said {
    fn see(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { model, .. } if !model.is_empty() => {
                self.model = Some(model.to_string());
            }
            Event::Open { channel, block: Block::Tool { name, .. } } => {
                if self.calls.len() < CALLS_MAX {
                    let at = (channel.choice, channel.block);
                    let call = Call { tool: name.to_string(), arguments: String::new(), at };
                    self.calls.push(call);
                }
            }
            Event::Text { channel, text, .. } => self.text(*channel, text),
            Event::Stop { native, .. } => self.stop = Some(native.to_string()),
            Event::Usage { counts, .. } => {
                self.input_tokens = counts.input.or(self.input_tokens);
                self.output_tokens = counts.output.or(self.output_tokens);
            }
            Event::Error { code, message, .. } => self.error = Some(format!("{code}: {message}")),
            Event::Start { .. }
            | Event::Open { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Ping
            | Event::Extra { .. }
            | Event::Opaque { .. }
            | Event::End => {}
        }
    }

    fn text(&mut self, channel: Channel, text: &str) {
        let into = match channel.kind {
            Kind::Answer => &mut self.text,
            Kind::Reasoning => &mut self.reasoning,
            Kind::Refusal => &mut self.refusal,
            Kind::ToolArguments => {
                let at = (channel.choice, channel.block);
                let Some(call) = self.calls.iter_mut().rfind(|call| call.at == at) else { return };
                &mut call.arguments
            }
            Kind::System
            | Kind::User
            | Kind::History
            | Kind::Document
            | Kind::ToolResult
            | Kind::ToolDefinition
            | Kind::ToolName
            | Kind::Citation
            | Kind::Other => return,
        };
        if into.len() + text.len() <= TEXT_BYTES_MAX {
            into.push_str(text);
        }
    }
}
