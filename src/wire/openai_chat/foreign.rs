//! Events of another dialect, told as this one would.
//!
//! Losses, all of them stated here: signatures, citations, closings, second copies, unknown
//! members and opaque frames of the other dialect have no place in this one; nor have calls that
//! the provider runs itself, since a client would take them for calls that it is to run.

use super::counts;
use crate::wire::event::{Block, Channel, Counts, Event, Kind, StopReason, ToolFlavour};
use crate::wire::json::push_string;
use std::borrow::Cow;

/// The most calls of one answer that are told.
const CALLS_MAX: usize = 1024;

/// Tells foreign events as native ones.
#[derive(Debug, Default)]
pub(super) struct Translator {
    /// Calls so far: choice, foreign block, and the native block if the client is to run it.
    calls: Vec<(u16, u16, Option<u16>)>,
    counts: Option<Counts>,
}

impl Translator {
    /// Appends what `event` is here.
    pub(super) fn translate<'e>(&mut self, event: &'e Event<'_>, out: &mut Vec<Event<'e>>) {
        match event {
            Event::Start { id, model, created } => out.push(Event::Start {
                id: answer_id(id),
                model: Cow::Borrowed(model),
                created: Some(created.unwrap_or(0)),
            }),
            Event::Open { channel, block: Block::Tool { id, name, flavour } } => {
                self.open(*channel, id, name, *flavour, out);
            }
            Event::Text { channel, text, .. } => self.text(*channel, text, out),
            Event::Stop { choice, reason, .. } => {
                let native = Cow::Borrowed(self.finish_reason(*choice, *reason));
                out.push(Event::Stop { choice: *choice, reason: *reason, native });
            }
            Event::Usage { counts: later, .. } => {
                self.counts = Some(counts::merge(self.counts.unwrap_or_default(), *later));
            }
            Event::Error { code, message, .. } => out.push(Event::Error {
                code: Cow::Borrowed(code),
                message: Cow::Borrowed(message),
                native: Cow::Owned(error_object(code, message)),
            }),
            Event::Ping => out.push(Event::Ping),
            Event::Opaque { dialect, name, data } => out.push(Event::Opaque {
                dialect: *dialect,
                name: Cow::Borrowed(name),
                data: Cow::Borrowed(data),
            }),
            Event::End => {
                self.finish(out);
                out.push(Event::End);
            }
            Event::Open { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Extra { .. } => {}
        }
    }

    /// Appends the counts, which this dialect tells last.
    pub(super) fn finish(&mut self, out: &mut Vec<Event<'_>>) {
        if let Some(counts) = self.counts.take() {
            out.push(Event::Usage { counts, native: Cow::Owned(counts::write(counts)) });
        }
    }

    fn open<'e>(
        &mut self,
        channel: Channel,
        id: &'e str,
        name: &'e str,
        flavour: ToolFlavour,
        out: &mut Vec<Event<'e>>,
    ) {
        let is_known =
            self.calls.iter().any(|call| (call.0, call.1) == (channel.choice, channel.block));
        if is_known || self.calls.len() >= CALLS_MAX {
            return;
        }
        let native = match flavour {
            ToolFlavour::Function | ToolFlavour::Custom => {
                let earlier = self.calls.iter().filter(|call| call.0 == channel.choice);
                Some(1 + earlier.filter_map(|call| call.2).max().unwrap_or(0))
            }
            ToolFlavour::Server => None,
        };
        self.calls.push((channel.choice, channel.block, native));
        let Some(block) = native else { return };
        let channel = Channel { block, part: 0, kind: Kind::ToolArguments, ..channel };
        let (id, name) = (Cow::Borrowed(id), Cow::Borrowed(name));
        out.push(Event::Open { channel, block: Block::Tool { id, name, flavour } });
    }

    fn text<'e>(&mut self, channel: Channel, text: &'e str, out: &mut Vec<Event<'e>>) {
        if text.is_empty() {
            return;
        }
        let block = match channel.kind {
            Kind::Answer | Kind::Reasoning | Kind::Refusal => 0,
            Kind::ToolName | Kind::ToolArguments => {
                // Arguments of a call that nothing opened open it.
                self.open(channel, "", "", ToolFlavour::Function, out);
                let place = (channel.choice, channel.block);
                let call = self.calls.iter().find(|call| (call.0, call.1) == place);
                let Some(block) = call.and_then(|call| call.2) else { return };
                block
            }
            Kind::System
            | Kind::User
            | Kind::History
            | Kind::Document
            | Kind::ToolResult
            | Kind::ToolDefinition
            | Kind::Citation
            | Kind::Other => return,
        };
        let channel = Channel { block, part: 0, ..channel };
        out.push(Event::Text { channel, text: Cow::Borrowed(text), span: None });
    }

    /// The `finish_reason`. Some dialects do not say that an answer stopped for its calls.
    fn finish_reason(&self, choice: u16, reason: StopReason) -> &'static str {
        let calls = self.calls.iter().any(|call| call.0 == choice && call.2.is_some());
        match reason {
            StopReason::EndTurn if calls => "tool_calls",
            StopReason::EndTurn
            | StopReason::StopSequence
            | StopReason::Pause
            | StopReason::Other => "stop",
            StopReason::ToolUse => "tool_calls",
            StopReason::MaxTokens => "length",
            StopReason::ContentFilter | StopReason::Refusal => "content_filter",
            StopReason::Error => "error",
        }
    }
}

/// An id that looks as this dialect's do.
fn answer_id(id: &str) -> Cow<'_, str> {
    if id.starts_with("chatcmpl-") {
        return Cow::Borrowed(id);
    }
    let bare = id.strip_prefix("msg_").or_else(|| id.strip_prefix("resp_")).unwrap_or(id);
    Cow::Owned(format!("chatcmpl-{}", if bare.is_empty() { "firedoor" } else { bare }))
}

fn error_object(code: &str, message: &str) -> String {
    let mut out = Vec::with_capacity(64 + message.len());
    let kind = if code.is_empty() { "server_error" } else { code };
    out.extend_from_slice(b"{\"message\":");
    push_string(&mut out, message);
    out.extend_from_slice(b",\"type\":");
    push_string(&mut out, kind);
    out.extend_from_slice(b",\"param\":null,\"code\":");
    push_string(&mut out, kind);
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}
