//! The tool calls of one answer: which are under way, and what they are called.
//!
//! A call is known by choice and block. Its name may come in pieces, and in some imitations after
//! its arguments, so a call has a stage; what is decided about it waits for [`Stage::Named`].

use crate::wire::event::{Block, Event, Kind, Place, ToolFlavour};
use crate::wire::json;
use crate::wire::{Dialect, anthropic};

/// The most calls of one answer that are followed.
const CALLS_MAX: usize = 4096;

/// The longest name or id that is kept, in bytes.
const NAME_BYTES_MAX: usize = 64 * 1024;

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// More of its name may come.
    Naming,
    /// Its name is whole.
    Named,
    /// It is whole.
    Closed,
}

/// What was decided about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Undecided,
    Passes,
    /// A lever, by its id, keeps it in.
    Killed(Box<str>),
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub choice: u16,
    pub block: u16,
    pub id: String,
    pub name: String,
    /// A second name: of a hosted call whose first is its kind.
    pub alias: String,
    pub is_for_caller: bool,
    /// Whether only its own dialect knows it.
    pub is_hosted: bool,
    pub stage: Stage,
    pub fate: Fate,
    /// Whether a part of it has left.
    pub has_left: bool,
}

/// The calls of one answer.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    source: Dialect,
    pub list: Vec<Call>,
    /// The block of another kind that the last event opened.
    last_other: Option<(u16, u16)>,
    /// More calls, or longer names, than are followed.
    pub is_over_bound: bool,
}

impl Calls {
    pub(super) fn new(source: Dialect) -> Calls {
        Calls { source, list: Vec::new(), last_other: None, is_over_bound: false }
    }

    /// Another provider goes on: calls of which nothing has left are forgotten.
    pub(super) fn go_on(&mut self, source: Dialect) {
        self.source = source;
        self.list.retain(|call| call.has_left);
        for call in &mut self.list {
            call.stage = Stage::Closed;
        }
    }

    pub(super) fn find(&self, choice: u16, block: u16) -> Option<&Call> {
        self.list.iter().rfind(|call| (call.choice, call.block) == (choice, block))
    }

    pub(super) fn find_mut(&mut self, choice: u16, block: u16) -> Option<&mut Call> {
        self.list.iter_mut().rfind(|call| (call.choice, call.block) == (choice, block))
    }

    /// Whether a call's name is not whole yet.
    pub(super) fn is_naming(&self) -> bool {
        self.list.iter().any(|call| call.stage == Stage::Naming)
    }

    /// Whether a call is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.list.iter().any(|call| call.stage != Stage::Closed)
    }

    /// Learns from one event.
    pub(super) fn see(&mut self, event: &Event<'_>) {
        let other = self.last_other.take();
        match event {
            Event::Open { channel, block } => {
                self.name_others(channel.choice, Some(channel.block));
                match block {
                    Block::Tool { id, name, flavour } => {
                        let is_for_caller = *flavour != ToolFlavour::Server;
                        self.open((channel.choice, channel.block), id, name, is_for_caller);
                    }
                    Block::Other(kind) => {
                        self.last_other = Some((channel.choice, channel.block));
                        if is_hosted_call(kind) {
                            self.open((channel.choice, channel.block), "", kind, false);
                            if let Some(call) = self.find_mut(channel.choice, channel.block) {
                                call.stage = call.stage.max_named();
                                call.is_hosted = true;
                            }
                        }
                    }
                    Block::Text | Block::Reasoning | Block::Refusal => {}
                }
            }
            Event::Text { channel, text, .. } => match channel.kind {
                Kind::ToolName => self.name(channel.choice, channel.block, text),
                Kind::ToolArguments => {
                    self.name_others(channel.choice, Some(channel.block));
                    if self.find(channel.choice, channel.block).is_none() {
                        self.open((channel.choice, channel.block), "", "", true);
                    }
                    if let Some(call) = self.find_mut(channel.choice, channel.block)
                        && !call.name.is_empty()
                    {
                        call.stage = call.stage.max_named();
                    }
                }
                Kind::Answer | Kind::Refusal | Kind::Reasoning => {
                    self.name_others(channel.choice, None);
                }
                Kind::System
                | Kind::User
                | Kind::History
                | Kind::Document
                | Kind::ToolResult
                | Kind::ToolDefinition
                | Kind::Citation
                | Kind::Other => {}
            },
            Event::Repeat { channel, text, .. } => {
                if channel.kind == Kind::ToolName
                    && let Some(call) = self.find_mut(channel.choice, channel.block)
                    && text.len() <= NAME_BYTES_MAX
                    && *text != *call.name
                {
                    call.alias = text.to_string();
                }
            }
            Event::Close { channel } => {
                if let Some(call) = self.find_mut(channel.choice, channel.block) {
                    call.stage = Stage::Closed;
                }
            }
            Event::Stop { choice, .. } => self.close_all(Some(*choice)),
            Event::End | Event::Error { .. } => self.close_all(None),
            Event::Extra { place: Place::Block(block), key, json } if key == "caller" => {
                // A call that a hosted call makes is a part of that.
                let by = |call: &&Call| !call.id.is_empty() && mentions(json.as_bytes(), &call.id);
                let parent = self.list.iter().find(by).map(|call| call.name.clone());
                if let Some(name) = parent
                    && let Some(call) = self.list.iter_mut().rfind(|call| call.block == *block)
                {
                    call.alias = name;
                }
            }
            Event::Extra { place: Place::Block(block), key, json } => {
                if key == "id"
                    && let Some(call) = self.list.iter_mut().rfind(|call| call.block == *block)
                    && let Some(id) = json.strip_prefix('"').and_then(|id| id.strip_suffix('"'))
                    && id.len() <= NAME_BYTES_MAX
                {
                    call.id = json::unescape(id).into_owned();
                }
            }
            Event::Opaque { name, data, .. } => {
                if let Some((choice, block)) = other
                    && name.ends_with("_tool_result")
                {
                    self.link(choice, block, data);
                }
            }
            Event::Start { .. }
            | Event::Signature { .. }
            | Event::Usage { .. }
            | Event::Ping
            | Event::Extra { .. } => {}
        }
    }

    /// A result that stands in a block of its own shares the fate of its call.
    fn link(&mut self, choice: u16, block: u16, data: &[u8]) {
        let Some(id) = anthropic::result_of(data).filter(|id| !id.is_empty()) else { return };
        let Some(call) = self.list.iter().find(|call| call.id == id).cloned() else { return };
        self.put(Call {
            choice,
            block,
            is_for_caller: false,
            stage: Stage::Named,
            has_left: false,
            fate: if call.has_left { call.fate.clone() } else { Fate::Undecided },
            ..call
        });
    }

    fn open(&mut self, place: (u16, u16), id: &str, name: &str, is_for_caller: bool) {
        if id.len().max(name.len()) > NAME_BYTES_MAX {
            self.is_over_bound = true;
            return;
        }
        // The names of Chat Completions may go on in later frames.
        let is_whole = self.source != Dialect::OpenaiChat && !name.is_empty();
        let stage = if is_whole { Stage::Named } else { Stage::Naming };
        if let Some(call) = self.find_mut(place.0, place.1) {
            if call.name.is_empty() {
                name.clone_into(&mut call.name);
                id.clone_into(&mut call.id);
                call.is_for_caller = is_for_caller;
                if call.stage == Stage::Naming {
                    call.stage = stage;
                }
            }
            return;
        }
        self.put(Call {
            choice: place.0,
            block: place.1,
            id: id.to_owned(),
            name: name.to_owned(),
            alias: String::new(),
            is_for_caller,
            is_hosted: false,
            stage,
            fate: Fate::Undecided,
            has_left: false,
        });
    }

    fn put(&mut self, call: Call) {
        if self.list.len() < CALLS_MAX {
            self.list.push(call);
        } else {
            self.is_over_bound = true;
        }
    }

    fn name(&mut self, choice: u16, block: u16, text: &str) {
        if self.find(choice, block).is_none() {
            self.open((choice, block), "", "", true);
        }
        let Some(call) = self.find_mut(choice, block) else { return };
        call.name.push_str(text);
        self.is_over_bound |= call.name.len() > NAME_BYTES_MAX;
    }

    /// A block goes on or opens: names of others are whole.
    fn name_others(&mut self, choice: u16, block: Option<u16>) {
        for call in &mut self.list {
            if call.choice == choice && Some(call.block) != block && !call.name.is_empty() {
                call.stage = call.stage.max_named();
            }
        }
    }

    fn close_all(&mut self, choice: Option<u16>) {
        for call in &mut self.list {
            if choice.is_none_or(|choice| choice == call.choice) {
                call.stage = Stage::Closed;
            }
        }
    }
}

impl Stage {
    fn max_named(self) -> Stage {
        match self {
            Stage::Naming | Stage::Named => Stage::Named,
            Stage::Closed => Stage::Closed,
        }
    }
}

/// Whether a block that only its own dialect knows is a call that the provider runs.
fn is_hosted_call(kind: &str) -> bool {
    kind.ends_with("_call") || matches!(kind, "mcp_approval_request" | "executableCode")
}

/// Whether `data` has `text` as a whole JSON string.
pub(super) fn mentions(data: &[u8], text: &str) -> bool {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    json::push_string(&mut quoted, text);
    memchr::memmem::find(data, &quoted).is_some()
}
