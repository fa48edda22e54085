//! One choice of an answer, block after block.

use super::{ENTRIES_MAX, Reasoning};
use crate::wire::event::{Block, Channel, Event, Kind, StopReason, ToolFlavour};
use std::borrow::Cow;
use std::collections::VecDeque;

/// What one choice has said, says, and has still to say.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) choice: u16,
    /// The call that is being told.
    pub(super) open: Option<Call>,
    /// What waits for it.
    waiting: VecDeque<Waiting>,
    /// Blocks of calls that are over.
    finished: Vec<u16>,
    /// Which copy of the reasoning is told.
    pub(super) copy: Option<u16>,
    /// Block and part of the reasoning so far.
    reasoning: Option<(u16, u16)>,
    has_call: bool,
    has_refusal: bool,
    has_answer: bool,
}

/// What an opening on the block of a known call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reopening {
    /// The call, said again.
    Same,
    /// Another call, behind one that is whole.
    Next,
    /// What was told cannot be taken back, and what comes has no place.
    Broken,
}

/// What waits for the open call.
#[derive(Debug)]
pub(super) enum Waiting {
    Call(Call),
    Words(Channel, String),
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        match self {
            Waiting::Call(call) => call.held.len(),
            Waiting::Words(_, text) => text.len(),
        }
    }
}

impl Turn {
    pub(super) fn new(choice: u16) -> Turn {
        Turn {
            choice,
            open: None,
            waiting: VecDeque::new(),
            finished: Vec::new(),
            copy: None,
            reasoning: None,
            has_call: false,
            has_refusal: false,
            has_answer: false,
        }
    }

    /// How many blocks wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn next(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    /// Whether the call of `channel` is open or waits.
    pub(super) fn knows(&mut self, channel: Channel) -> bool {
        self.open.as_ref().is_some_and(|open| open.is(channel))
            || self.waiting_call(channel).is_some()
    }

    /// Whether the call of `channel` has some of its arguments, but not all.
    pub(super) fn is_half_told(&mut self, channel: Channel) -> bool {
        let open = self.open.as_ref().filter(|open| open.is(channel));
        let half = |call: &Call| !call.extent.is_empty() && !call.is_whole();
        open.is_some_and(half) || self.waiting_call(channel).is_some_and(|call| half(call))
    }

    /// What an opening on the block of a known call is.
    pub(super) fn reopening(&mut self, channel: Channel, id: &str, name: &str) -> Reopening {
        let is_half = self.is_half_told(channel);
        let open = self.open.as_ref().filter(|open| open.is(channel));
        let is_open = open.is_some();
        let is_whole = open.is_some_and(Call::is_whole);
        let is_same = match open {
            Some(open) => open.is_opened_by(id, name),
            None => self.waiting_call(channel).is_some_and(|call| call.is_opened_by(id, name)),
        };
        match (is_same, is_half) {
            (true, false) => Reopening::Same,
            (false, false) if is_open && is_whole => Reopening::Next,
            (true | false, _) => Reopening::Broken,
        }
    }

    pub(super) fn has_finished(&mut self, channel: Channel) -> bool {
        !self.knows(channel) && self.finished.contains(&channel.block)
    }

    pub(super) fn waiting_call(&mut self, channel: Channel) -> Option<&mut Call> {
        self.waiting.iter_mut().find_map(|waiting| match waiting {
            Waiting::Call(call) if call.is(channel) => Some(call),
            Waiting::Call(_) | Waiting::Words(..) => None,
        })
    }

    pub(super) fn wait_call(&mut self, call: Call) {
        self.waiting.push_back(Waiting::Call(call));
    }

    pub(super) fn wait_words(&mut self, channel: Channel, text: &str) {
        if let Some(Waiting::Words(last, held)) = self.waiting.back_mut()
            && *last == channel
        {
            held.push_str(text);
        } else {
            self.waiting.push_back(Waiting::Words(channel, text.to_owned()));
        }
    }

    /// Takes the call of `channel` for one that cannot be told.
    pub(super) fn spoil(&mut self, channel: Channel) {
        if let Some(open) = self.open.as_mut().filter(|open| open.is(channel)) {
            open.is_spoilt = true;
        } else if let Some(call) = self.waiting_call(channel) {
            call.is_spoilt = true;
        }
    }

    /// Nothing is open any more.
    pub(super) fn finish_open(&mut self) {
        if let Some(open) = self.open.take() {
            self.has_call |= open.is_told;
            if self.finished.len() < ENTRIES_MAX && !self.finished.contains(&open.channel.block) {
                self.finished.push(open.channel.block);
            }
        }
    }

    /// Goes on with what waited.
    pub(super) fn resume(&mut self, next: Waiting, reasoning: Reasoning, out: &mut Vec<Event<'_>>) {
        match next {
            Waiting::Words(channel, text) => self.say(reasoning, channel, Cow::Owned(text), out),
            Waiting::Call(mut call) => {
                call.tell_held(out);
                self.open = Some(call);
            }
        }
    }

    pub(super) fn say<'e>(
        &mut self,
        reasoning: Reasoning,
        channel: Channel,
        text: Cow<'e, str>,
        out: &mut Vec<Event<'e>>,
    ) {
        self.has_answer |= channel.kind == Kind::Answer;
        self.has_refusal |= channel.kind == Kind::Refusal;
        if channel.kind == Kind::Reasoning {
            let place = (channel.block, channel.part);
            let before = self.reasoning.replace(place);
            let is_apart = before.is_some_and(|before| match reasoning {
                Reasoning::Parts => false,
                Reasoning::Blocks => before.0 == place.0 && before.1 != place.1,
                Reasoning::Joined => before != place,
            });
            if is_apart {
                out.push(Event::Text { channel, text: Cow::Borrowed("\n\n"), span: None });
            }
        }
        out.push(Event::Text { channel, text, span: None });
    }

    /// Why the choice stopped: some sources end a turn of calls or a refusal like any other; and
    /// one that stopped for tools of which none is told has simply ended.
    pub(super) fn reason(&self, reason: StopReason) -> StopReason {
        match reason {
            StopReason::EndTurn | StopReason::Other if self.has_call => StopReason::ToolUse,
            StopReason::EndTurn | StopReason::Other if self.has_refusal && !self.has_answer => {
                StopReason::Refusal
            }
            StopReason::ToolUse if !self.has_call => StopReason::EndTurn,
            StopReason::EndTurn
            | StopReason::MaxTokens
            | StopReason::StopSequence
            | StopReason::ToolUse
            | StopReason::ContentFilter
            | StopReason::Refusal
            | StopReason::Pause
            | StopReason::Error
            | StopReason::Other => reason,
        }
    }
}

/// A call of a tool.
#[derive(Debug)]
pub(super) struct Call {
    channel: Channel,
    id: Box<str>,
    name: String,
    /// The id and name with which the source opened it.
    opening: (Box<str>, Box<str>),
    flavour: ToolFlavour,
    /// Arguments that are not told yet.
    held: String,
    extent: Extent,
    /// The source has closed it.
    pub(super) is_closed: bool,
    /// It opened.
    is_told: bool,
    /// It cannot be told.
    pub(super) is_spoilt: bool,
}

impl Call {
    /// A call that the source opened with `opening`, its id and name; it is told under `id`.
    pub(super) fn new(
        channel: Channel,
        id: Box<str>,
        opening: (&str, &str),
        flavour: ToolFlavour,
    ) -> Call {
        Call {
            channel: Channel { part: 0, kind: Kind::ToolArguments, ..channel },
            id,
            name: opening.1.to_owned(),
            opening: (Box::from(opening.0), Box::from(opening.1)),
            flavour,
            held: String::new(),
            extent: Extent::default(),
            is_closed: false,
            is_told: false,
            is_spoilt: false,
        }
    }

    pub(super) fn is(&self, channel: Channel) -> bool {
        self.channel.block == channel.block
    }

    /// Whether an opening with these members says this call again.
    fn is_opened_by(&self, id: &str, name: &str) -> bool {
        let is_same = |known: &str, new: &str| new.is_empty() || known.is_empty() || known == new;
        is_same(&self.opening.0, id) && is_same(&self.opening.1, name)
    }

    /// Whether nothing more can come.
    pub(super) fn is_whole(&self) -> bool {
        if self.is_spoilt {
            return self.is_closed;
        }
        match self.flavour {
            ToolFlavour::Custom => self.is_closed,
            ToolFlavour::Function | ToolFlavour::Server => {
                self.extent.is_whole() || (self.is_closed && self.extent.is_empty())
            }
        }
    }

    /// Whether it may be taken for whole because its turn ended of itself.
    pub(super) fn is_complete(&self) -> bool {
        self.flavour == ToolFlavour::Custom || self.extent.is_empty()
    }

    /// Keeps what cannot be told yet.
    pub(super) fn hold(&mut self, kind: Kind, text: &str) {
        if kind == Kind::ToolName {
            self.name.push_str(text);
        } else {
            self.take(text);
        }
    }

    /// Holds more arguments. Some models write `null` for none: what may become that says nothing.
    fn take(&mut self, text: &str) {
        self.held.push_str(text);
        if !self.extent.is_empty() {
            self.extent.take(text);
        } else if self.flavour == ToolFlavour::Custom || !"null".starts_with(self.held.trim()) {
            self.extent.take(&self.held);
        }
    }

    /// Tells what was held.
    pub(super) fn tell_held(&mut self, out: &mut Vec<Event<'_>>) {
        if !self.extent.is_empty() && !self.held.is_empty() && !self.is_spoilt {
            self.tell(out);
            let held = std::mem::take(&mut self.held);
            out.push(Event::Text { channel: self.channel, text: Cow::Owned(held), span: None });
        }
    }

    /// Tells more of the open call.
    pub(super) fn go_on<'e>(&mut self, kind: Kind, text: &'e str, out: &mut Vec<Event<'e>>) {
        if text.is_empty() || self.is_spoilt {
            return;
        }
        if kind == Kind::ToolName {
            if !self.is_told {
                self.name.push_str(text);
            }
            return;
        }
        if self.extent.is_empty() {
            self.take(text);
            self.tell_held(out);
            return;
        }
        self.extent.take(text);
        self.tell(out);
        out.push(Event::Text { channel: self.channel, text: Cow::Borrowed(text), span: None });
    }

    fn tell(&mut self, out: &mut Vec<Event<'_>>) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let id = Cow::Owned(std::mem::take(&mut self.id).into_string());
        let name = Cow::Owned(std::mem::take(&mut self.name));
        let block = Block::Tool { id, name, flavour: self.flavour };
        out.push(Event::Open { channel: self.channel, block });
    }

    /// Closes it; a call without arguments has the empty object.
    pub(super) fn close(&mut self, out: &mut Vec<Event<'_>>) {
        if self.is_spoilt {
            return;
        }
        self.tell(out);
        if self.extent.is_empty() && self.flavour != ToolFlavour::Custom {
            let text = Cow::Borrowed("{}");
            out.push(Event::Text { channel: self.channel, text, span: None });
        }
        out.push(Event::Close { channel: self.channel });
    }
}

/// What arguments began with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Begun {
    #[default]
    Nothing,
    Scalar,
    Bracket,
}

/// How far a JSON object has come, by its brackets alone.
#[derive(Debug, Default)]
struct Extent {
    depth: u32,
    begun: Begun,
    is_in_string: bool,
    is_escaped: bool,
}

impl Extent {
    fn take(&mut self, text: &str) {
        for byte in text.bytes() {
            if self.begun == Begun::Nothing && !byte.is_ascii_whitespace() {
                self.begun = Begun::Scalar;
            }
            if self.is_escaped {
                self.is_escaped = false;
            } else if self.is_in_string {
                self.is_escaped = byte == b'\\';
                self.is_in_string = byte != b'"';
            } else {
                match byte {
                    b'"' => self.is_in_string = true,
                    b'{' | b'[' => {
                        self.begun = Begun::Bracket;
                        self.depth = self.depth.saturating_add(1);
                    }
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.begun == Begun::Nothing
    }

    fn is_whole(&self) -> bool {
        self.begun == Begun::Bracket && self.depth == 0 && !self.is_in_string
    }
}
