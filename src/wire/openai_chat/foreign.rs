//! Events of another dialect, told as this one would.
//!
//! What both sides have to agree on (order, ids, what is left out) is done by [`Retelling`]; here
//! are the channels and words of this dialect, and the counts, which it tells last.

use super::counts;
use crate::wire::event::{Block, Channel, Counts, Event, Kind, StopReason};
use crate::wire::provider_error::Cause;
use crate::wire::retell::{Arguments, Choices, Reasoning, Refusal, Retelling, Room};
use crate::wire::{Dialect, json::push_string};
use std::borrow::Cow;

/// What this dialect has room for. The API takes ids of calls of at most 40 bytes back.
const ROOM: Room = Room {
    choices: Choices::Many,
    reasoning: Reasoning::Joined,
    refusal: Refusal::Apart,
    arguments: Arguments::Text,
    id_prefix: "call",
    id_bytes_max: 40,
};

/// Tells foreign events as native ones.
#[derive(Debug)]
pub(super) struct Translator {
    pub(super) retelling: Retelling,
    /// The block of the open call of each choice.
    calls: Vec<(u16, u16)>,
    counts: Option<Counts>,
}

impl Translator {
    pub(super) fn new(source: Dialect) -> Translator {
        Translator { retelling: Retelling::new(source, ROOM), calls: Vec::new(), counts: None }
    }

    /// Appends what `event`, one that was made ready, is here.
    pub(super) fn translate<'e>(&mut self, event: &'e Event<'_>, out: &mut Vec<Event<'e>>) {
        match event {
            Event::Start { id, model, created } => out.push(Event::Start {
                id: answer_id(id),
                model: Cow::Borrowed(model),
                created: Some(created.unwrap_or(0)),
            }),
            Event::Open { channel, block: Block::Tool { id, name, flavour } } => {
                let channel = Channel { block: self.next_call(channel.choice), ..*channel };
                let (id, name) = (Cow::Borrowed(&**id), Cow::Borrowed(&**name));
                out.push(Event::Open {
                    channel,
                    block: Block::Tool { id, name, flavour: *flavour },
                });
            }
            Event::Text { channel, text, .. } => {
                let block = match channel.kind {
                    Kind::ToolArguments => self.call(channel.choice),
                    Kind::Answer
                    | Kind::Reasoning
                    | Kind::Refusal
                    | Kind::System
                    | Kind::User
                    | Kind::History
                    | Kind::Document
                    | Kind::ToolResult
                    | Kind::ToolDefinition
                    | Kind::ToolName
                    | Kind::Citation
                    | Kind::Other => 0,
                };
                let channel = Channel { block, part: 0, ..*channel };
                out.push(Event::Text { channel, text: Cow::Borrowed(text), span: None });
            }
            Event::Stop { choice, reason, .. } => {
                let native = Cow::Borrowed(finish_reason(*reason));
                out.push(Event::Stop { choice: *choice, reason: *reason, native });
            }
            Event::Usage { counts, .. } => self.counts = Some(*counts),
            Event::Error { code, message, .. } => out.push(Event::Error {
                code: Cow::Borrowed(code),
                message: Cow::Borrowed(message),
                native: Cow::Owned(error_object(code, message)),
            }),
            Event::Ping => out.push(Event::Ping),
            Event::End => {
                self.finish(out);
                out.push(Event::End);
            }
            Event::Open { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Extra { .. }
            | Event::Opaque { .. } => {}
        }
    }

    /// Appends the counts, which this dialect tells last.
    pub(super) fn finish(&mut self, out: &mut Vec<Event<'_>>) {
        if let Some(counts) = self.counts.take() {
            out.push(Event::Usage { counts, native: Cow::Owned(counts::write(counts)) });
        }
    }

    fn next_call(&mut self, choice: u16) -> u16 {
        if let Some(call) = self.calls.iter_mut().find(|call| call.0 == choice) {
            call.1 = call.1.saturating_add(1);
            return call.1;
        }
        self.calls.push((choice, 1));
        1
    }

    fn call(&self, choice: u16) -> u16 {
        self.calls.iter().find(|call| call.0 == choice).map_or(1, |call| call.1)
    }
}

fn finish_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn | StopReason::StopSequence | StopReason::Pause | StopReason::Other => {
            "stop"
        }
        StopReason::ToolUse => "tool_calls",
        StopReason::MaxTokens => "length",
        StopReason::ContentFilter | StopReason::Refusal => "content_filter",
        StopReason::Error => "error",
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
    out.extend_from_slice(b"{\"message\":");
    push_string(&mut out, message);
    out.extend_from_slice(b",\"type\":");
    push_string(&mut out, Cause::of_code(code).openai_type());
    out.extend_from_slice(b",\"param\":null,\"code\":");
    push_string(&mut out, if code.is_empty() { "server_error" } else { code });
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}
