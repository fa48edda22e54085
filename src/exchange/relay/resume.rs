//! An answer that another provider goes on with.
//!
//! What the client has is kept, bounded: the text of the answer, from which the next provider is
//! asked to go on, and the blocks in their order, from which the encoder learns where it stands.
//! Of the next provider's events the start is not told again; its first answer text goes on in the
//! text block that is still open; text that it repeats from the end of what was delivered is
//! dropped; other blocks get numbers behind those that were used; token counts are added up.
//!
//! Losses: members and blocks that only the next provider's dialect knows; choices but the first.

use crate::wire::Dialect;
use crate::wire::event::{Block, Channel, Counts, Event, Kind};
use std::borrow::Cow;

/// The most text and arguments that are kept of an answer, in bytes.
pub const DELIVERED_BYTES_MAX: usize = 256 * 1024;

/// The shortest repetition that is taken for one, in bytes.
const OVERLAP_BYTES_MIN: usize = 16;

/// The longest repetition that is looked for, in bytes.
const OVERLAP_BYTES_MAX: usize = 4096;

/// The most blocks that are kept.
const EVENTS_MAX: usize = 4096;

/// What the client has of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered<'r> {
    /// The text of the first choice's answer.
    pub text: &'r str,
    /// Whether reasoning has left.
    pub has_reasoning: bool,
    /// Whether whole calls have left.
    pub has_calls: bool,
}

/// The state of an answer that can be resumed.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, no states of one machine")]
pub(super) struct Resumed {
    client: Dialect,
    text: String,
    has_reasoning: bool,
    has_calls: bool,
    has_foreign_blocks: bool,
    is_over_bound: bool,
    history: Vec<Event<'static>>,
    bytes: usize,
    open_text: Option<Channel>,
    next_block: u16,
    counts: Counts,
    after: Option<After>,
}

/// What is known behind a seam.
#[derive(Debug)]
struct After {
    base: Counts,
    counts: Counts,
    /// Added to the numbers of blocks.
    offset: u16,
    /// The block whose text goes on in the open one, and that one.
    joined: Option<(u16, Channel)>,
    open_text: Option<Channel>,
    /// Text that may repeat what was delivered, and its channel.
    held: Option<(Channel, String)>,
    is_trimming: bool,
}

impl Resumed {
    pub(super) fn new(client: Dialect) -> Resumed {
        Resumed {
            client,
            text: String::new(),
            has_reasoning: false,
            has_calls: false,
            has_foreign_blocks: false,
            is_over_bound: false,
            history: Vec::new(),
            bytes: 0,
            open_text: None,
            next_block: 0,
            counts: Counts::default(),
            after: None,
        }
    }

    pub(super) fn delivered(&self) -> Option<Delivered<'_>> {
        (!self.is_over_bound).then_some(Delivered {
            text: &self.text,
            has_reasoning: self.has_reasoning,
            has_calls: self.has_calls,
        })
    }

    pub(super) fn history(&self) -> &[Event<'static>] {
        &self.history
    }

    /// Whether the blocks so far can be told as those of any dialect, number for number.
    pub(super) fn can_be_retold(&self) -> bool {
        self.client != Dialect::OpenaiResponses || !self.has_foreign_blocks
    }

    /// Learns from what has left.
    pub(super) fn record(&mut self, events: &[Event<'_>]) {
        for event in events {
            self.note(event);
        }
        if self.bytes > DELIVERED_BYTES_MAX || self.history.len() > EVENTS_MAX {
            self.is_over_bound = true;
        }
        if self.is_over_bound {
            (self.text, self.history) = (String::new(), Vec::new());
        }
    }

    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { .. } => self.history.push(event.clone().into_owned()),
            Event::Open { channel, block } => {
                self.see_block(*channel);
                match block {
                    Block::Tool { .. } => {
                        self.has_calls = true;
                        self.history.push(event.clone().into_owned());
                    }
                    Block::Text | Block::Reasoning | Block::Refusal => self.fill(*channel),
                    Block::Other(_) => {
                        self.has_foreign_blocks = true;
                        self.fill(Channel { kind: Kind::Answer, ..*channel });
                        // Text of the answer has no place in it.
                        self.open_text = None;
                    }
                }
            }
            Event::Text { channel, text, .. } => {
                self.see_block(*channel);
                self.bytes += text.len();
                match channel.kind {
                    Kind::Answer if channel.choice == 0 => {
                        self.text.push_str(text);
                        self.open_text = Some(*channel);
                    }
                    Kind::Reasoning => {
                        self.has_reasoning = true;
                        self.open_text = None;
                    }
                    Kind::ToolArguments | Kind::ToolName => self.open_text = None,
                    Kind::Answer
                    | Kind::Refusal
                    | Kind::System
                    | Kind::User
                    | Kind::History
                    | Kind::Document
                    | Kind::ToolResult
                    | Kind::ToolDefinition
                    | Kind::Citation
                    | Kind::Other => {}
                }
                self.append(*channel, text);
            }
            Event::Close { channel } => {
                if self.open_text == Some(*channel) {
                    self.open_text = None;
                }
                let kind = if channel.kind == Kind::Other { Kind::Answer } else { channel.kind };
                self.history.push(Event::Close { channel: Channel { kind, ..*channel } });
            }
            Event::Signature { value, .. } => {
                self.bytes += value.len();
                self.history.push(event.clone().into_owned());
            }
            Event::Usage { counts, .. } => {
                if self.after.is_none() {
                    self.counts = later(self.counts, *counts);
                }
            }
            Event::Repeat { .. }
            | Event::Stop { .. }
            | Event::Error { .. }
            | Event::Ping
            | Event::Extra { .. }
            | Event::Opaque { .. }
            | Event::End => {}
        }
    }

    fn see_block(&mut self, channel: Channel) {
        if channel.block != u16::MAX {
            self.next_block = self.next_block.max(channel.block.saturating_add(1));
        }
    }

    /// Encoders of this dialect count a block of text from its first text on; here it counts
    /// from its opening.
    fn fill(&mut self, channel: Channel) {
        if self.client == Dialect::Anthropic {
            self.append(channel, "-");
        }
        if channel.kind == Kind::Answer && channel.choice == 0 {
            self.open_text = Some(channel);
        }
    }

    fn append(&mut self, channel: Channel, more: &str) {
        if let Some(Event::Text { channel: last, text, .. }) = self.history.last_mut()
            && *last == channel
        {
            text.to_mut().push_str(more);
            return;
        }
        let text = Cow::Owned(more.to_owned());
        self.history.push(Event::Text { channel, text, span: None });
    }

    /// The next provider begins.
    pub(super) fn go_on(&mut self) {
        let base = match self.after.take() {
            Some(after) => sum(after.base, after.counts),
            None => self.counts,
        };
        self.after = Some(After {
            base,
            counts: Counts::default(),
            offset: self.next_block,
            joined: None,
            open_text: self.open_text,
            held: None,
            is_trimming: !self.text.is_empty(),
        });
    }

    /// The events of a frame as they go on with what was delivered.
    pub(super) fn adapt(&mut self, events: Vec<Event<'static>>) -> Vec<Event<'static>> {
        let Some(after) = &mut self.after else { return events };
        let mut told = Vec::with_capacity(events.len());
        for event in events {
            match event {
                Event::Usage { counts, .. } => {
                    after.counts = later(after.counts, counts);
                    let counts = sum(after.base, after.counts);
                    told.push(Event::Usage { counts, native: Cow::Borrowed("{}") });
                }
                Event::Text { channel, text, .. } if channel.choice == 0 => {
                    if channel.kind != Kind::Answer {
                        after.flush(&self.text, &mut told);
                    }
                    let channel = after.place(channel);
                    if channel.kind == Kind::Answer && after.is_trimming {
                        after.trim(channel, &text, &self.text, &mut told);
                    } else {
                        told.push(Event::Text { channel, text, span: None });
                    }
                }
                Event::Open { channel, block } if channel.choice == 0 => {
                    let goes_on = block == Block::Text && after.open_text.is_some();
                    if !goes_on {
                        after.flush(&self.text, &mut told);
                    }
                    let channel = after.place(channel);
                    if !goes_on {
                        told.push(Event::Open { channel, block });
                    }
                }
                Event::Signature { channel, value } if channel.choice == 0 => {
                    told.push(Event::Signature { channel: after.place(channel), value });
                }
                Event::Close { channel } if channel.choice == 0 => {
                    after.flush(&self.text, &mut told);
                    told.push(Event::Close { channel: after.place(channel) });
                }
                Event::Stop { choice: 0, .. } | Event::End => {
                    after.flush(&self.text, &mut told);
                    told.push(event);
                }
                Event::Error { .. } | Event::Ping => told.push(event),
                // Of other choices, or known to the next provider's dialect only.
                Event::Start { .. }
                | Event::Extra { .. }
                | Event::Opaque { .. }
                | Event::Repeat { .. }
                | Event::Text { .. }
                | Event::Open { .. }
                | Event::Signature { .. }
                | Event::Close { .. }
                | Event::Stop { .. } => {}
            }
        }
        told
    }

    /// What is held back of a text at the end of the bytes.
    pub(super) fn flush(&mut self) -> Vec<Event<'static>> {
        let mut told = Vec::new();
        if let Some(after) = &mut self.after {
            after.flush(&self.text, &mut told);
        }
        told
    }
}

impl After {
    /// Where text of the next provider stands in the answer.
    fn place(&mut self, channel: Channel) -> Channel {
        if let Some((block, open)) = self.joined
            && channel.kind == Kind::Answer
            && block == channel.block
        {
            return open;
        }
        match (channel.kind, self.open_text.take()) {
            (Kind::Answer, Some(open)) => {
                self.joined = Some((channel.block, open));
                return open;
            }
            // Another block ends the open one.
            _ => self.joined = None,
        }
        if channel.block == u16::MAX {
            return channel;
        }
        Channel { block: channel.block.saturating_add(self.offset), ..channel }
    }

    /// Holds text back while it may repeat what was delivered.
    fn trim(
        &mut self,
        channel: Channel,
        text: &str,
        delivered: &str,
        told: &mut Vec<Event<'static>>,
    ) {
        let held = &mut self.held.get_or_insert_with(|| (channel, String::new())).1;
        held.push_str(text);
        let fresh = without_doubled_space(held, delivered);
        let window = window(delivered);
        let may_go_on = fresh.len() < window.len()
            && memchr::memmem::find(window.as_bytes(), fresh.as_bytes()).is_some();
        if !may_go_on {
            self.flush(delivered, told);
        }
    }

    /// Tells what was held back, without what it repeats.
    fn flush(&mut self, delivered: &str, told: &mut Vec<Event<'static>>) {
        let Some((channel, held)) = self.held.take() else { return };
        self.is_trimming = false;
        let fresh = without_doubled_space(&held, delivered);
        let window = window(delivered);
        let longest = fresh.len().min(window.len());
        let overlap = (OVERLAP_BYTES_MIN..=longest)
            .rev()
            .find(|length| {
                fresh.is_char_boundary(*length)
                    && window.as_bytes().ends_with(&fresh.as_bytes()[..*length])
            })
            .unwrap_or(0);
        let text = fresh.get(overlap..).unwrap_or("").to_owned();
        if !text.is_empty() {
            let text = Cow::Owned(text);
            told.push(Event::Text { channel, text, span: None });
        }
    }
}

/// The end of what was delivered, as far as repetitions are looked for.
fn window(delivered: &str) -> &str {
    let from = delivered.len().saturating_sub(OVERLAP_BYTES_MAX);
    delivered.get(delivered.ceil_char_boundary(from)..).unwrap_or("")
}

/// A prefill loses the white space at its end, so the next provider says it again: of what both
/// have, one stays.
fn without_doubled_space<'t>(text: &'t str, delivered: &str) -> &'t str {
    let space = &delivered[delivered.trim_end().len()..];
    let begin = &text[..text.len() - text.trim_start().len()];
    let same = (0..=begin.len())
        .rev()
        .filter(|length| begin.is_char_boundary(*length))
        .find(|length| space.ends_with(&begin[..*length]))
        .unwrap_or(0);
    &text[same..]
}

fn later(old: Counts, new: Counts) -> Counts {
    Counts {
        input: new.input.or(old.input),
        output: new.output.or(old.output),
        cache_read: new.cache_read.or(old.cache_read),
        cache_write: new.cache_write.or(old.cache_write),
        reasoning: new.reasoning.or(old.reasoning),
    }
}

fn sum(one: Counts, two: Counts) -> Counts {
    let add = |one: Option<u64>, two: Option<u64>| match (one, two) {
        (Some(one), Some(two)) => Some(one.saturating_add(two)),
        (one, two) => one.or(two),
    };
    Counts {
        input: add(one.input, two.input),
        output: add(one.output, two.output),
        cache_read: add(one.cache_read, two.cache_read),
        cache_write: add(one.cache_write, two.cache_write),
        reasoning: add(one.reasoning, two.reasoning),
    }
}
