//! The events of another dialect, told as a Responses stream.
//!
//! Order is that of the provider: `response.created`, `response.in_progress`, then item after
//! item (`output_item.added`, its parts and deltas, `*.done` with the whole text,
//! `output_item.done`), then `response.completed`, `.incomplete` or `.failed` with everything
//! once more. One message or reasoning item is open at a time; tool calls stay open until they
//! are closed, for some dialects mix their arguments.
//!
//! The final copies need the text of the whole answer, of which at most
//! [`HELD_TEXT_BYTES_MAX`] are held. Beyond that deltas still flow, but the copies hold what fits
//! and the answer ends as `response.incomplete` (`max_output_tokens`): nobody takes a shortened
//! copy for the whole. The same happens at [`ITEMS_MAX`] items.
//!
//! Half-built arguments are never closed: a call that is still open when an answer breaks off
//! gets no `arguments.done`, and its item is `incomplete`.

use super::item::{Body, Item, Part, Status, arguments_member, push_error, push_member, tool_stem};
use super::texts;
use super::write::delta_stem;
use crate::wire::event::{Block, Channel, Counts, Event, Kind, StopReason, ToolFlavour};
use crate::wire::{Tail, json};

mod frames;
mod resume;

/// The most text that is held for the final copies, in bytes.
pub const HELD_TEXT_BYTES_MAX: usize = 4 << 20;

/// The most items and parts of one answer.
const ITEMS_MAX: usize = 1024;

/// The longest part of a foreign id that goes into ours, in bytes.
const ID_BYTES_MAX: usize = 64;

/// An answer as it is told.
#[derive(Debug, Default)]
pub(super) struct Story {
    has_started: bool,
    is_over: bool,
    /// The answer's id without its prefix, of which the items' ids are made.
    base: String,
    items: Vec<Item>,
    /// The open item of text, if there is one.
    open: Option<usize>,
    /// Blocks that have no item here; their texts are left out.
    skipped: Vec<u16>,
    counts: Option<Counts>,
    reason: Option<StopReason>,
    error: Option<(String, String)>,
    held_bytes: usize,
    part_count: usize,
    is_cut: bool,
}

impl Story {
    /// Whether an answer is being told.
    pub(super) fn has_started(&self) -> bool {
        self.has_started
    }

    /// Tells one event.
    pub(super) fn event(&mut self, event: &Event<'_>, tail: &mut Tail, out: &mut Vec<u8>) {
        if let Event::Ping = event {
            out.extend_from_slice(b": ping\n\n");
            return;
        }
        if self.is_over {
            return;
        }
        match event {
            Event::Start { id, model, created } => {
                if !self.has_started {
                    tail.model = Some(Box::from(&**model));
                    tail.created = *created;
                    self.start(id, tail, out);
                }
            }
            Event::Open { channel, block } if channel.choice == 0 => {
                self.open(*channel, block, tail, out);
            }
            Event::Text { channel, text, .. } if channel.choice == 0 => {
                self.text(*channel, text, tail, out);
            }
            Event::Signature { channel, value } if channel.choice == 0 => {
                self.seal(*channel, value, tail, out);
            }
            Event::Close { channel } if channel.choice == 0 => self.close(*channel, tail, out),
            Event::Stop { choice: 0, reason, .. } => self.reason = Some(*reason),
            Event::Usage { counts, .. } => self.counts = Some(*counts),
            Event::Error { code, message, .. } => {
                self.error = Some((code.to_string(), message.to_string()));
                self.finish(tail, out);
            }
            Event::End => self.finish(tail, out),
            Event::Open { .. }
            | Event::Text { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Stop { .. }
            | Event::Ping
            | Event::Extra { .. }
            | Event::Opaque { .. } => {}
        }
    }

    /// The whole answer as one body.
    pub(super) fn body(mut self, tail: &mut Tail) -> Vec<u8> {
        let mut frames = Vec::new();
        self.finish(tail, &mut frames);
        let mut body = Vec::with_capacity(1024 + self.held_bytes);
        if let Some((code, message)) = &self.error {
            body.extend_from_slice(b"{\"error\":");
            push_error(&mut body, code, message);
            body.push(b'}');
        } else {
            self.push_response(&mut body, tail, self.ending());
        }
        body
    }

    fn start(&mut self, id: &str, tail: &mut Tail, out: &mut Vec<u8>) {
        self.has_started = true;
        let plain = id.strip_prefix("resp_").unwrap_or(id);
        self.base = plain
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .take(ID_BYTES_MAX)
            .collect();
        if self.base.is_empty() {
            "firedoor".clone_into(&mut self.base);
        }
        tail.id = Some(format!("resp_{}", self.base).into());
        for name in ["created", "in_progress"] {
            self.response_frame(name, "in_progress", tail, out);
        }
    }

    fn ensure_started(&mut self, tail: &mut Tail, out: &mut Vec<u8>) {
        if !self.has_started {
            self.start("", tail, out);
        }
    }

    fn open(&mut self, channel: Channel, block: &Block<'_>, tail: &mut Tail, out: &mut Vec<u8>) {
        match block {
            // These open with their first text: an empty block is no item.
            Block::Text | Block::Refusal | Block::Reasoning => {}
            Block::Tool { id, name, flavour } => {
                if self.tool(channel).is_none() {
                    self.add_tool(channel, id, name, *flavour, tail, out);
                }
            }
            Block::Other(_) => {
                if self.skipped.len() < ITEMS_MAX {
                    self.skipped.push(channel.block);
                }
            }
        }
    }

    fn text(&mut self, channel: Channel, text: &str, tail: &mut Tail, out: &mut Vec<u8>) {
        let Some(stem) = delta_stem(channel.kind, channel.part) else { return };
        if text.is_empty() || self.skipped.contains(&channel.block) {
            return;
        }
        self.ensure_started(tail, out);
        if channel.kind == Kind::ToolArguments {
            let at = self
                .tool(channel)
                .or_else(|| self.add_tool(channel, "", "", ToolFlavour::Function, tail, out));
            if let Some(at) = at {
                self.tool_text(at, text, tail, out);
            }
            return;
        }
        let Some((at, part)) = self.part(channel, tail, out) else { return };
        self.frame(&format!("{stem}.delta"), tail, out, |story, data| {
            story.push_place(data, at, Some(part));
            data.extend_from_slice(b",\"delta\":");
            json::push_string(data, text);
            if stem == "output_text" {
                data.extend_from_slice(b",\"logprobs\":[]");
            }
        });
        if self.hold(text.len())
            && let Some(Body::Message(parts) | Body::Reasoning { parts, .. }) =
                self.items.get_mut(at).map(|item| &mut item.body)
            && let Some(part) = parts.get_mut(part)
        {
            part.text.push_str(text);
        }
    }

    fn tool_text(&mut self, at: usize, text: &str, tail: &mut Tail, out: &mut Vec<u8>) {
        let Some(stem) = self.items.get(at).and_then(tool_stem) else { return };
        self.frame(&format!("{stem}.delta"), tail, out, |story, data| {
            story.push_place(data, at, None);
            data.extend_from_slice(b",\"delta\":");
            json::push_string(data, text);
        });
        if self.hold(text.len())
            && let Some(Body::Tool { arguments, .. }) =
                self.items.get_mut(at).map(|item| &mut item.body)
        {
            arguments.push_str(text);
        }
    }

    /// Whether `length` more bytes may be held; from the first that may not, none may.
    fn hold(&mut self, length: usize) -> bool {
        self.is_cut |= self.held_bytes + length > HELD_TEXT_BYTES_MAX;
        if !self.is_cut {
            self.held_bytes += length;
        }
        !self.is_cut
    }

    fn seal(&mut self, channel: Channel, value: &str, tail: &mut Tail, out: &mut Vec<u8>) {
        self.ensure_started(tail, out);
        if let Some(at) = self.text_item(channel, tail, out)
            && self.hold(value.len())
            && let Some(Body::Reasoning { seal, .. }) =
                self.items.get_mut(at).map(|item| &mut item.body)
        {
            seal.get_or_insert_default().push_str(value);
        }
    }

    fn close(&mut self, channel: Channel, tail: &mut Tail, out: &mut Vec<u8>) {
        match channel.kind {
            Kind::ToolArguments => {
                if let Some(at) = self.tool(channel) {
                    self.end_item(at, Status::Completed, tail, out);
                }
            }
            Kind::Reasoning => {
                if let Some(at) = self.open
                    && self.items[at].is_reasoning_of(channel.block)
                {
                    self.end_item(at, Status::Completed, tail, out);
                }
            }
            Kind::Answer | Kind::Refusal => {
                if let Some(at) = self.open {
                    self.end_parts(at, tail, out, |open| open == channel);
                }
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

    /// The open call of `channel`.
    fn tool(&self, channel: Channel) -> Option<usize> {
        self.items.iter().rposition(|item| {
            item.block == channel.block
                && item.status == Status::InProgress
                && matches!(item.body, Body::Tool { .. })
        })
    }

    fn add_tool(
        &mut self,
        channel: Channel,
        id: &str,
        name: &str,
        flavour: ToolFlavour,
        tail: &mut Tail,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        self.ensure_started(tail, out);
        self.end_text_item(tail, out);
        if !self.hold(id.len() + name.len()) {
            return None;
        }
        let index = self.items.len();
        let call_id =
            if id.is_empty() { format!("call_{}_{index}", self.base) } else { id.to_owned() };
        let body = Body::Tool { flavour, call_id, name: name.to_owned(), arguments: String::new() };
        let prefix = match flavour {
            ToolFlavour::Function => "fc",
            ToolFlavour::Custom => "ctc",
            ToolFlavour::Server => "mcp",
        };
        self.add(channel.block, prefix, body, tail, out)
    }

    /// The open item that `channel`'s text goes into.
    fn text_item(&mut self, channel: Channel, tail: &mut Tail, out: &mut Vec<u8>) -> Option<usize> {
        let is_reasoning = channel.kind == Kind::Reasoning;
        if let Some(at) = self.open
            && let Some(item) = self.items.get(at)
        {
            let is_message = matches!(item.body, Body::Message(_));
            if is_message && !is_reasoning || is_reasoning && item.is_reasoning_of(channel.block) {
                return Some(at);
            }
        }
        self.end_text_item(tail, out);
        let (prefix, body) = if is_reasoning {
            ("rs", Body::Reasoning { parts: Vec::new(), seal: None })
        } else {
            ("msg", Body::Message(Vec::new()))
        };
        self.open = self.add(channel.block, prefix, body, tail, out);
        self.open
    }

    /// The item and part that `channel`'s text goes into; opens what is not open.
    fn part(
        &mut self,
        channel: Channel,
        tail: &mut Tail,
        out: &mut Vec<u8>,
    ) -> Option<(usize, usize)> {
        let at = self.text_item(channel, tail, out)?;
        let known =
            self.items[at].parts().iter().rposition(|part| part.channel == channel && part.is_open);
        if let Some(part) = known {
            return Some((at, part));
        }
        self.end_parts(at, tail, out, |_| true);
        if self.part_count == ITEMS_MAX {
            self.is_cut = true;
            return None;
        }
        self.part_count += 1;
        let parts = self.items[at].parts_mut()?;
        parts.push(Part { channel, text: String::new(), is_open: true });
        let part = parts.len() - 1;
        self.part_frame(at, part, "added", tail, out);
        Some((at, part))
    }

    fn add(
        &mut self,
        block: u16,
        prefix: &str,
        body: Body,
        tail: &mut Tail,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let at = self.items.len();
        if at == ITEMS_MAX {
            self.is_cut = true;
            return None;
        }
        let id = format!("{prefix}_{}_{at}", self.base);
        self.items.push(Item { id, block, body, status: Status::InProgress });
        self.item_frame(at, "added", tail, out);
        Some(at)
    }

    fn end_text_item(&mut self, tail: &mut Tail, out: &mut Vec<u8>) {
        if let Some(at) = self.open {
            self.end_item(at, Status::Completed, tail, out);
        }
    }

    fn end_item(&mut self, at: usize, status: Status, tail: &mut Tail, out: &mut Vec<u8>) {
        if self.items[at].status != Status::InProgress {
            return;
        }
        if self.open == Some(at) {
            self.open = None;
        }
        self.end_parts(at, tail, out, |_| true);
        if status == Status::Completed {
            self.end_arguments(at, tail, out);
        }
        self.items[at].status = status;
        self.item_frame(at, "done", tail, out);
    }

    fn end_arguments(&mut self, at: usize, tail: &mut Tail, out: &mut Vec<u8>) {
        let Body::Tool { flavour, arguments, .. } = &self.items[at].body else { return };
        if arguments.is_empty() && *flavour != ToolFlavour::Custom && !self.is_cut {
            // A call without arguments has the empty object here.
            self.tool_text(at, "{}", tail, out);
        }
        let Some(stem) = tool_stem(&self.items[at]) else { return };
        self.frame(&format!("{stem}.done"), tail, out, |story, data| {
            story.push_place(data, at, None);
            if let Body::Tool { flavour, arguments, name, .. } = &story.items[at].body {
                if *flavour == ToolFlavour::Function {
                    push_member(data, "name", name);
                }
                push_member(data, arguments_member(*flavour), arguments);
            }
        });
    }

    /// Ends the open parts of an item that `is_over` names.
    fn end_parts(
        &mut self,
        at: usize,
        tail: &mut Tail,
        out: &mut Vec<u8>,
        is_over: impl Fn(Channel) -> bool,
    ) {
        for part in 0..self.items[at].parts().len() {
            let Part { channel, is_open, .. } = self.items[at].parts()[part];
            if !is_open || !is_over(channel) {
                continue;
            }
            if let Some(parts) = self.items[at].parts_mut() {
                parts[part].is_open = false;
            }
            let Some(stem) = delta_stem(channel.kind, channel.part) else { continue };
            self.frame(&format!("{stem}.done"), tail, out, |story, data| {
                story.push_place(data, at, Some(part));
                let member = texts::text_shape(stem).map_or("text", |shape| shape.whole);
                push_member(data, member, &story.items[at].parts()[part].text);
                if stem == "output_text" {
                    data.extend_from_slice(b",\"logprobs\":[]");
                }
            });
            self.part_frame(at, part, "done", tail, out);
        }
    }

    /// How the answer ends.
    fn ending(&self) -> &'static str {
        match self.reason {
            _ if self.error.is_some() => "failed",
            Some(StopReason::Error) => "failed",
            _ if self.is_cut => "incomplete",
            Some(StopReason::MaxTokens | StopReason::ContentFilter) => "incomplete",
            // Without words of refusal, a completed answer would look like any other.
            Some(StopReason::Refusal) if !self.has_refusal() => "incomplete",
            None
            | Some(
                StopReason::EndTurn
                | StopReason::StopSequence
                | StopReason::ToolUse
                | StopReason::Refusal
                | StopReason::Pause
                | StopReason::Other,
            ) => "completed",
        }
    }

    fn has_refusal(&self) -> bool {
        let parts = self.items.iter().flat_map(Item::parts);
        parts.into_iter().any(|part| part.channel.kind == Kind::Refusal)
    }

    fn finish(&mut self, tail: &mut Tail, out: &mut Vec<u8>) {
        if self.is_over {
            return;
        }
        self.ensure_started(tail, out);
        self.is_over = true;
        if self.reason == Some(StopReason::Error) && self.error.is_none() {
            let message = "the provider stopped with an error".to_owned();
            self.error = Some(("server_error".to_owned(), message));
        }
        let ending = self.ending();
        if ending != "failed" {
            let status = if ending == "completed" { Status::Completed } else { Status::Incomplete };
            for at in 0..self.items.len() {
                self.end_item(at, status, tail, out);
            }
        }
        self.response_frame(ending, ending, tail, out);
        if let Some((code, message)) = self.error.take() {
            self.top_frame("error", tail, out, |_, data| {
                push_member(data, "code", &code);
                push_member(data, "message", &message);
                data.extend_from_slice(b",\"param\":null,\"error\":");
                push_error(data, &code, &message);
            });
            self.error = Some((code, message));
        }
    }
}
