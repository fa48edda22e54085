//! What is learned from an answer on its way.

use crate::clock::Tick;
use crate::exchange::calls::Calls;
use crate::wire::event::{Counts, Event, Kind, StopReason};
use crate::wire::{Dialect, decode_unary};

/// What is learned from an answer's events.
#[derive(Debug, Default)]
pub struct Seen {
    /// The model that the provider reports.
    pub model: Option<Box<str>>,
    /// Tokens.
    pub usage: Counts,
    /// Why it stopped.
    pub stop: Option<StopReason>,
    /// When the first text came.
    pub first_text: Option<Tick>,
    /// Text events.
    pub text_events: u64,
    /// Whether anything but keep-alives came.
    pub began: bool,
    /// Whether anything was understood.
    pub is_understood: bool,
    /// The provider's error, if it sent one inside the stream.
    pub error: Option<Box<str>>,
    /// The tool calls.
    pub calls: Calls,
    /// Where another provider went on.
    pub seams: Vec<Seam>,
    /// Tokens of the providers before the last seam.
    before: Counts,
}

/// A place at which another provider went on with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seam {
    /// Bytes of answer text before it.
    pub at_text_bytes: usize,
    /// The dialect that broke off.
    pub from: Dialect,
    /// The dialect that went on.
    pub to: Dialect,
}

impl Seam {
    /// As records and the API have it.
    pub fn as_json(&self) -> serde_json::Value {
        serde_json::json!({
            "at_text_bytes": self.at_text_bytes,
            "from": self.from.name(),
            "to": self.to.name(),
        })
    }
}

impl Seen {
    /// Learns from one event.
    pub fn see(&mut self, event: &Event<'_>, now: Tick) {
        self.calls.see(event);
        match event {
            Event::Ping => return,
            Event::Text { channel, .. } => {
                self.text_events += 1;
                match channel.kind {
                    Kind::Answer | Kind::Reasoning | Kind::Refusal | Kind::ToolArguments => {
                        self.first_text.get_or_insert(now);
                    }
                    Kind::System
                    | Kind::User
                    | Kind::History
                    | Kind::Document
                    | Kind::ToolResult
                    | Kind::ToolDefinition
                    | Kind::ToolName
                    | Kind::Citation
                    | Kind::Other => {}
                }
            }
            Event::Start { model, .. } => {
                if !model.is_empty() {
                    self.model = Some(model.as_ref().into());
                }
            }
            Event::Stop { reason, .. } => self.stop = Some(*reason),
            Event::Usage { counts, .. } => {
                let keep = |new: Option<u64>, before: Option<u64>, old: Option<u64>| match new {
                    Some(new) => Some(new.saturating_add(before.unwrap_or(0))),
                    None => old,
                };
                let (now, before) = (self.usage, self.before);
                self.usage = Counts {
                    input: keep(counts.input, before.input, now.input),
                    output: keep(counts.output, before.output, now.output),
                    cache_read: keep(counts.cache_read, before.cache_read, now.cache_read),
                    cache_write: keep(counts.cache_write, before.cache_write, now.cache_write),
                    reasoning: keep(counts.reasoning, before.reasoning, now.reasoning),
                };
            }
            Event::Error { code, message, .. } => {
                let text: String = format!("{code}: {message}").chars().take(300).collect();
                self.error = Some(text.into());
            }
            Event::Open { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Extra { .. }
            | Event::Opaque { .. }
            | Event::End => {}
        }
        self.began = true;
        self.is_understood |= !matches!(event, Event::Opaque { .. } | Event::End);
    }

    /// Another provider goes on. Calls of the one before never became whole: they are forgotten.
    pub fn go_on(&mut self, seam: Seam) {
        (self.error, self.stop) = (None, None);
        self.calls = Calls::default();
        self.before = self.usage;
        self.seams.push(seam);
    }

    /// Learns from a whole answer body.
    pub fn whole(&mut self, dialect: Dialect, body: &[u8], now: Tick) {
        decode_unary(dialect, body, &mut |event| self.see(&event, now));
    }
}
