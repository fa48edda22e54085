//! The tool calls of one answer: which are under way, and what they are called.
//!
//! A call is known by choice and block. Its name may come in pieces, and in some imitations after
//! its arguments, so a call has a stage; what is decided about it waits for [`Stage::Named`].
//!
//! What always holds: each opening of a call is a call of its own, also where the provider uses a
//! number twice: a new id or a new name on a known block begins another call, of which nothing is
//! decided yet, and so does whatever comes for a call that was whole. So every event is told
//! together with the calls that were known then, and belongs to the last of them on its block.

use crate::wire::event::{Block, Event, Kind, Place, ToolFlavour};
use crate::wire::json;
use crate::wire::{Dialect, anthropic, bedrock};

/// The most calls of one answer that are followed.
const CALLS_MAX: usize = 4096;

/// The longest name or id that is kept, in bytes.
const NAME_BYTES_MAX: usize = 64 * 1024;

/// The most further names of one call that are kept.
const ALIASES_MAX: usize = 256;

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

/// What stands on a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A call that every dialect knows.
    Call,
    /// A call that only its own dialect knows.
    Hosted,
    /// No call: something else opened on the block of one.
    Other,
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub choice: u16,
    pub block: u16,
    pub id: String,
    pub name: String,
    /// Other names that a client may take for its name: of a hosted call whose first is its kind;
    /// of a call whose name came in pieces, each of them.
    pub aliases: Vec<String>,
    pub is_for_caller: bool,
    pub what: What,
    pub stage: Stage,
    pub fate: Fate,
    /// Whether a part of it has left.
    pub has_left: bool,
}

impl Call {
    /// Whether an opening with these members says this call again, or says more of it.
    fn is_opened_by(&self, id: &str, name: &str) -> bool {
        let is_same = |known: &str, new: &str| known.is_empty() || new.is_empty() || known == new;
        self.what != What::Other
            && self.stage != Stage::Closed
            && is_same(&self.id, id)
            && is_same(&self.name, name)
    }

    /// Learns another name. What was let pass is then to be decided anew.
    fn alias(&mut self, name: &str) -> Bound {
        if name.is_empty() || *name == *self.name || self.aliases.iter().any(|known| known == name)
        {
            return Bound::Kept;
        }
        if name.len() > NAME_BYTES_MAX || self.aliases.len() >= ALIASES_MAX {
            return Bound::Exceeded;
        }
        self.aliases.push(name.to_owned());
        self.reconsider();
        Bound::Kept
    }

    fn reconsider(&mut self) {
        if self.fate == Fate::Passes {
            self.fate = Fate::Undecided;
        }
    }
}

/// Whether what is kept of an answer is within its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Kept,
    Exceeded,
}

/// An event, and how many calls were known when it came.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub event: Event<'static>,
    pub known: usize,
}

/// The calls of one answer.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    source: Dialect,
    /// In the order in which they opened.
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

    /// What stands on a block, of the first `known` calls.
    pub(super) fn place_of(&self, choice: u16, block: u16, known: usize) -> Option<usize> {
        let is_it = |call: &Call| (call.choice, call.block) == (choice, block);
        self.list.get(..known)?.iter().rposition(is_it)
    }

    fn find_mut(&mut self, (choice, block): (u16, u16)) -> Option<&mut Call> {
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

    /// Learns from the events of one frame, or of a whole body.
    pub(super) fn see_all(&mut self, events: Vec<Event<'static>>) -> Vec<Told> {
        let mut told: Vec<Told> = Vec::with_capacity(events.len());
        for event in events {
            let before = self.list.len();
            self.see(&event);
            let known = self.list.len();
            // A result that shares the fate of a call does so from its opening on.
            if known > before
                && matches!(event, Event::Opaque { .. })
                && let Some(Told { event: Event::Open { .. }, known: opening }) = told.last_mut()
            {
                *opening = known;
            }
            told.push(Told { event, known });
        }
        told
    }

    /// Learns from one event.
    pub(super) fn see(&mut self, event: &Event<'_>) {
        let other = self.last_other.take();
        match event {
            Event::Open { channel, block } => {
                self.name_others(channel.choice, Some(channel.block));
                self.see_opening((channel.choice, channel.block), block);
            }
            Event::Text { channel, text, .. } => match channel.kind {
                Kind::ToolName => self.name((channel.choice, channel.block), text),
                Kind::ToolArguments => {
                    self.name_others(channel.choice, Some(channel.block));
                    self.arguments((channel.choice, channel.block), text);
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
                let place = (channel.choice, channel.block);
                if channel.kind == Kind::ToolName && self.find_mut(place).is_none() {
                    // A copy of a call that never came.
                    self.open(place, ("", text), true, What::Call);
                } else if channel.kind == Kind::ToolName
                    && let Some(call) = self.find_mut((channel.choice, channel.block))
                    && call.alias(text) == Bound::Exceeded
                {
                    self.is_over_bound = true;
                }
            }
            Event::Close { channel } => {
                if let Some(call) = self.find_mut((channel.choice, channel.block)) {
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
                    && call.alias(&name) == Bound::Exceeded
                {
                    self.is_over_bound = true;
                }
            }
            Event::Extra { place: Place::Block(block), key, json } => {
                if key == "id"
                    && let Some(id) = json.strip_prefix('"').and_then(|id| id.strip_suffix('"'))
                    && id.len() <= NAME_BYTES_MAX
                {
                    // The choice is not said: it may be that of any call that has no id.
                    let id = json::unescape(id);
                    let has_none = |call: &&mut Call| call.block == *block && call.id.is_empty();
                    for call in self.list.iter_mut().filter(has_none) {
                        id.as_ref().clone_into(&mut call.id);
                    }
                }
            }
            Event::Opaque { name, data, .. } => {
                if let Some((choice, block)) = other
                    && (name.ends_with("_tool_result") || name == "toolResult")
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

    fn see_opening(&mut self, place: (u16, u16), block: &Block<'_>) {
        match block {
            Block::Tool { id, name, flavour } => {
                let is_for_caller = *flavour != ToolFlavour::Server;
                self.open(place, (id, name), is_for_caller, What::Call);
            }
            Block::Other(kind) => {
                self.last_other = Some(place);
                if is_hosted_call(kind) {
                    self.open(place, ("", kind), false, What::Hosted);
                    if let Some(call) = self.find_mut(place) {
                        call.stage = call.stage.max_named();
                    }
                } else {
                    self.open_other(place);
                }
            }
            Block::Text | Block::Reasoning | Block::Refusal => self.open_other(place),
        }
    }

    /// What is no call opens; that is remembered where a call stood on the same block.
    fn open_other(&mut self, place: (u16, u16)) {
        let Some(call) = self.find_mut(place).filter(|call| call.what != What::Other) else {
            return;
        };
        call.stage = Stage::Closed;
        self.put(Call {
            choice: place.0,
            block: place.1,
            id: String::new(),
            name: String::new(),
            aliases: Vec::new(),
            is_for_caller: false,
            what: What::Other,
            stage: Stage::Closed,
            fate: Fate::Passes,
            has_left: false,
        });
    }

    /// A result that stands in a block of its own shares the fate of its call.
    fn link(&mut self, choice: u16, block: u16, data: &[u8]) {
        let id = match self.source {
            Dialect::Bedrock => bedrock::result_of(data),
            Dialect::Anthropic
            | Dialect::OpenaiChat
            | Dialect::OpenaiResponses
            | Dialect::Gemini => anthropic::result_of(data),
        };
        let Some(id) = id.filter(|id| !id.is_empty()) else { return };
        let Some(call) = self.list.iter().rfind(|call| call.id == id).cloned() else { return };
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

    fn open(
        &mut self,
        place: (u16, u16),
        (id, name): (&str, &str),
        is_for_caller: bool,
        what: What,
    ) {
        if id.len().max(name.len()) > NAME_BYTES_MAX {
            self.is_over_bound = true;
            return;
        }
        // The names of Chat Completions may go on in later frames.
        let is_whole = self.source != Dialect::OpenaiChat && !name.is_empty();
        let stage = if is_whole { Stage::Named } else { Stage::Naming };
        if let Some(call) = self.find_mut(place).filter(|call| call.is_opened_by(id, name)) {
            if call.id.is_empty() {
                id.clone_into(&mut call.id);
            }
            if call.name.is_empty() {
                name.clone_into(&mut call.name);
                call.is_for_caller = is_for_caller;
                call.what = what;
                call.stage = stage;
                call.reconsider();
            }
            return;
        }
        if let Some(before) = self.find_mut(place) {
            before.stage = Stage::Closed;
        }
        self.put(Call {
            choice: place.0,
            block: place.1,
            id: id.to_owned(),
            name: name.to_owned(),
            aliases: Vec::new(),
            is_for_caller,
            what,
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

    /// More of a name. Of a call whose name was whole it is the name of another, which some
    /// clients put behind the first and others in its place.
    fn name(&mut self, place: (u16, u16), text: &str) {
        if text.is_empty() {
            return;
        }
        let Some(call) = self.find_mut(place).filter(|call| call.what != What::Other) else {
            return self.open(place, ("", text), true, What::Call);
        };
        if call.name.len().saturating_add(text.len()) > NAME_BYTES_MAX {
            self.is_over_bound = true;
            return;
        }
        if call.stage == Stage::Naming {
            let has_begun = !call.name.is_empty();
            call.name.push_str(text);
            call.reconsider();
            if has_begun && call.alias(text) == Bound::Exceeded {
                self.is_over_bound = true;
            }
            return;
        }
        call.stage = Stage::Closed;
        let joined = [&*call.name, text].concat();
        let next = Call {
            name: text.to_owned(),
            aliases: vec![joined],
            stage: Stage::Naming,
            fate: Fate::Undecided,
            has_left: false,
            ..call.clone()
        };
        self.put(next);
    }

    fn arguments(&mut self, place: (u16, u16), text: &str) {
        let last = self.list.iter().rposition(|call| (call.choice, call.block) == place);
        let call = last.and_then(|last| self.list.get_mut(last));
        let again = match call {
            None => return self.open(place, ("", ""), true, What::Call),
            Some(call) if call.what == What::Other => {
                // Nothing opened for them but the call that stood here before.
                let is_it =
                    |call: &&Call| (call.choice, call.block) == place && call.what != What::Other;
                self.list.iter().rfind(is_it).cloned()
            }
            Some(call) if call.stage == Stage::Closed => {
                // It was whole, and goes on: that is judged by what holds now.
                let goes_on = call.fate == Fate::Passes && !text.trim_ascii().is_empty();
                goes_on.then(|| Call { fate: Fate::Undecided, has_left: false, ..call.clone() })
            }
            Some(call) => {
                if !call.name.is_empty() {
                    call.stage = call.stage.max_named();
                }
                None
            }
        };
        if let Some(again) = again {
            self.put(again);
        }
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
