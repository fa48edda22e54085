//! Events to chunks.
//!
//! The events of one source frame become one chunk where they can stand in one: a member that is
//! set already, or text out of the canonical order, begins the next chunk.

use super::read::finish_reason;
use super::{CONTENT_PARTS_PART, LEGACY_CALL, REASONING, REASONING_DETAILS_PART};
use crate::wire::event::{Block, Channel, Counts, Event, Kind, Place, StopReason, ToolFlavour};
use crate::wire::json::push_string;
use crate::wire::sse::push_frame;
use crate::wire::{Dialect, Tail};
use smallvec::SmallVec;

/// Calls of which the index is remembered; later ones share the last index.
const CALLS_MAX: usize = 512;

/// The encoder of one stream.
#[derive(Debug)]
pub struct Encoder {
    source: Dialect,
    id: Box<str>,
    model: Box<str>,
    created: Option<u64>,
    /// Whether one object tells the whole answer: texts are joined, and nothing begins anew.
    is_whole: bool,
    /// Calls of a foreign source, in the order in which they opened.
    calls: Vec<(u16, u16)>,
    draft: Draft,
}

/// A chunk, or a whole answer, in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) choices: SmallVec<[Choice; 1]>,
    pub(super) error: Option<String>,
    pub(super) usage: Option<String>,
    /// Members of the chunk, verbatim.
    pub(super) extras: Vec<(String, String)>,
    /// How far the canonical order has come.
    reached: u8,
    starts: bool,
}

/// One choice of a [`Draft`].
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) index: u16,
    pub(super) texts: SmallVec<[(&'static str, String); 1]>,
    pub(super) calls: Vec<Call>,
    pub(super) delta_extras: Vec<(String, String)>,
    pub(super) extras: Vec<(String, String)>,
    pub(super) stop: Option<String>,
}

/// One call, or a piece of one.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) index: u16,
    opens: Option<(String, String, ToolFlavour)>,
    arguments: String,
    extras: Vec<(String, String)>,
}

impl Encoder {
    /// See [`crate::wire::Encoder::new`].
    pub fn new(source: Dialect) -> Encoder {
        Encoder {
            source,
            id: Box::default(),
            model: Box::default(),
            created: None,
            is_whole: false,
            calls: Vec::new(),
            draft: Draft::default(),
        }
    }

    /// An encoder of one whole answer.
    pub(super) fn whole(source: Dialect) -> Encoder {
        Encoder { is_whole: true, ..Encoder::new(source) }
    }

    /// See [`crate::wire::Encoder::frame`].
    pub fn frame(&mut self, events: &[Event<'_>], out: &mut Vec<u8>) {
        for event in events {
            match event {
                Event::End => {
                    self.flush(out);
                    push_frame(out, "", b"[DONE]");
                }
                Event::Ping => {
                    self.flush(out);
                    out.extend_from_slice(b": keep-alive\n\n");
                }
                Event::Opaque { dialect: Dialect::OpenaiChat, name, data } => {
                    self.flush(out);
                    push_lines(out, name, data);
                }
                other => {
                    if !self.put(other) {
                        self.flush(out);
                        self.put(other);
                    }
                }
            }
        }
        self.flush(out);
    }

    /// See [`crate::wire::Encoder::tail`].
    pub fn tail(&self) -> Tail {
        Tail {
            id: Some(self.id.clone()),
            model: Some(self.model.clone()),
            created: self.created,
            sequence: 0,
        }
    }

    /// Puts one event into the chunk; `false` if it must begin another.
    pub(super) fn put(&mut self, event: &Event<'_>) -> bool {
        let native = self.source == Dialect::OpenaiChat;
        match event {
            Event::Start { id, model, created } => {
                if !self.draft.reach(0) {
                    return false;
                }
                self.id = if native { (&**id).into() } else { format!("chatcmpl-{id}").into() };
                self.model = (&**model).into();
                self.created = *created;
                self.draft.starts = true;
                if !native {
                    let role = ("role".to_owned(), "\"assistant\"".to_owned());
                    self.draft.choice(0).delta_extras.push(role);
                }
                true
            }
            Event::Error { code, message, native: json } => {
                if !self.draft.reach(1) {
                    return false;
                }
                self.draft.error = Some(if native {
                    json.clone().into_owned()
                } else {
                    foreign_error(code, message)
                });
                true
            }
            Event::Text { channel, text, .. } => self.text(*channel, text),
            Event::Open { channel, block } => self.open(*channel, block),
            Event::Stop { choice, reason, native: word } => {
                let word = if native { word } else { finish_reason(*reason) };
                self.stop(*choice, word, *reason)
            }
            Event::Usage { counts, native: json } => {
                if !self.draft.reach(3) || self.draft.usage.is_some() {
                    return false;
                }
                self.draft.usage =
                    Some(if native { json.clone().into_owned() } else { foreign_usage(*counts) });
                true
            }
            Event::Extra { place, key, json } if native => self.extra(*place, key, json),
            Event::Extra { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Opaque { .. }
            | Event::Ping
            | Event::End => true,
        }
    }

    fn text(&mut self, channel: Channel, text: &str) -> bool {
        let native = self.source == Dialect::OpenaiChat;
        let key = match channel.kind {
            Kind::ToolArguments => return self.arguments(channel, text),
            // These texts stand inside members that are written verbatim.
            Kind::Answer if native && channel.part == CONTENT_PARTS_PART => return true,
            Kind::Reasoning if native && channel.part == REASONING_DETAILS_PART => return true,
            Kind::Reasoning if native => {
                REASONING.get(usize::from(channel.part)).copied().unwrap_or(REASONING[0])
            }
            Kind::Reasoning => REASONING[0],
            Kind::Refusal => "refusal",
            Kind::Answer | Kind::Other => "content",
            Kind::System
            | Kind::User
            | Kind::History
            | Kind::Document
            | Kind::ToolResult
            | Kind::ToolDefinition
            | Kind::ToolName
            | Kind::Citation => return true,
        };
        if !self.draft.reach(2) {
            return false;
        }
        let choice = self.draft.choice(channel.choice);
        let is_late = !choice.calls.is_empty()
            || !choice.delta_extras.iter().all(|(key, _)| stands_before_texts(key))
            || choice.stop.is_some();
        if native
            && !self.is_whole
            && (is_late || choice.texts.iter().any(|(known, _)| *known == key))
        {
            return false;
        }
        match choice.texts.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => known.push_str(text),
            None => choice.texts.push((key, text.to_owned())),
        }
        true
    }

    fn open(&mut self, channel: Channel, block: &Block<'_>) -> bool {
        let Block::Tool { id, name, flavour } = block else { return true };
        if *flavour == ToolFlavour::Server && self.source != Dialect::OpenaiChat {
            // The provider ran it; a caller that was told of it would run it again.
            return true;
        }
        if !self.draft.reach(2) {
            return false;
        }
        let index = self.index(channel, true);
        let id = if id.is_empty() && self.source != Dialect::OpenaiChat {
            format!("call_{}_{index}", self.id.trim_start_matches("chatcmpl-"))
        } else {
            id.clone().into_owned()
        };
        let choice = self.draft.choice(channel.choice);
        if choice.stop.is_some() || choice.calls.iter().any(|call| call.index == index) {
            return false;
        }
        choice.calls.push(Call {
            index,
            opens: Some((id, name.clone().into_owned(), *flavour)),
            arguments: String::new(),
            extras: Vec::new(),
        });
        true
    }

    fn arguments(&mut self, channel: Channel, text: &str) -> bool {
        let native = self.source == Dialect::OpenaiChat;
        if !native && !self.calls.contains(&(channel.choice, channel.block)) {
            // Arguments of a call that is not told of.
            return true;
        }
        if !self.draft.reach(2) {
            return false;
        }
        let index = self.index(channel, false);
        let choice = self.draft.choice(channel.choice);
        if choice.stop.is_some() {
            return false;
        }
        match choice.calls.iter_mut().find(|call| call.index == index) {
            Some(call)
                if native
                    && !self.is_whole
                    && (!call.arguments.is_empty() || !call.extras.is_empty()) =>
            {
                false
            }
            Some(call) => {
                call.arguments.push_str(text);
                true
            }
            None => {
                choice.calls.push(Call {
                    index,
                    opens: None,
                    arguments: text.to_owned(),
                    extras: Vec::new(),
                });
                true
            }
        }
    }

    /// The index of a call in its `tool_calls`.
    fn index(&mut self, channel: Channel, opens: bool) -> u16 {
        if self.source == Dialect::OpenaiChat {
            return channel.block;
        }
        let of_choice = |calls: &[(u16, u16)]| {
            calls.iter().filter(|(choice, _)| *choice == channel.choice).count()
        };
        let known = self.calls.iter().position(|call| *call == (channel.choice, channel.block));
        let at = match known {
            Some(at) => of_choice(&self.calls[..at]),
            None => {
                let next = of_choice(&self.calls);
                if opens && self.calls.len() < CALLS_MAX {
                    self.calls.push((channel.choice, channel.block));
                }
                next
            }
        };
        u16::try_from(1 + at).unwrap_or(u16::MAX)
    }

    fn stop(&mut self, choice: u16, word: &str, reason: StopReason) -> bool {
        if !self.draft.reach(2) {
            return false;
        }
        // An answer that called tools stopped for them, whatever its own dialect calls it.
        let called = self.source != Dialect::OpenaiChat
            && reason == StopReason::EndTurn
            && self.calls.iter().any(|(of, _)| *of == choice);
        let choice = self.draft.choice(choice);
        if choice.stop.is_some() {
            return false;
        }
        choice.stop = Some(if called { "tool_calls".to_owned() } else { word.to_owned() });
        true
    }

    fn extra(&mut self, place: Place, key: &str, json: &str) -> bool {
        let member = (key.to_owned(), json.to_owned());
        let twice = |list: &[(String, String)]| list.iter().any(|(known, _)| known == key);
        let (rank, choice) = match place {
            Place::Frame | Place::Message => (4, 0),
            Place::Choice(choice) | Place::Delta(choice) => (2, choice),
            // A block's number says not of which choice; the last one spoken of it is.
            Place::Block(_) => (2, self.draft.choices.last().map_or(0, |choice| choice.index)),
        };
        if !self.draft.reach(rank) {
            return false;
        }
        match place {
            Place::Frame | Place::Message => {
                if twice(&self.draft.extras) {
                    return false;
                }
                self.draft.extras.push(member);
            }
            Place::Choice(_) => {
                let choice = self.draft.choice(choice);
                if choice.stop.is_some() || twice(&choice.extras) {
                    return false;
                }
                choice.extras.push(member);
            }
            Place::Delta(_) => {
                let choice = self.draft.choice(choice);
                let is_text = choice.texts.iter().any(|(known, _)| *known == key);
                if choice.stop.is_some() || is_text || twice(&choice.delta_extras) {
                    return false;
                }
                choice.delta_extras.push(member);
            }
            Place::Block(block) => {
                let choice = self.draft.choice(choice);
                match choice.calls.iter_mut().find(|call| call.index == block) {
                    Some(call) if twice(&call.extras) => return false,
                    Some(call) => call.extras.push(member),
                    None => choice.calls.push(Call {
                        index: block,
                        opens: None,
                        arguments: String::new(),
                        extras: vec![member],
                    }),
                }
            }
        }
        true
    }

    /// Writes the chunk, if there is anything in it.
    fn flush(&mut self, out: &mut Vec<u8>) {
        let draft = std::mem::take(&mut self.draft);
        if draft.is_empty() {
            return;
        }
        let mut data = Vec::with_capacity(256);
        self.push(&draft, "chat.completion.chunk", "delta", &mut data);
        push_frame(out, "", &data);
    }

    /// Writes a draft as one JSON object.
    pub(super) fn push(&self, draft: &Draft, object: &str, says: &str, data: &mut Vec<u8>) {
        data.push(b'{');
        let has_start = !self.id.is_empty() || !self.model.is_empty() || self.created.is_some();
        if has_start || draft.error.is_none() {
            let named = |key: &str| draft.extras.iter().any(|(known, _)| known == key);
            if !named("id") {
                push_member(data, "id");
                push_string(data, &self.id);
            }
            if !named("object") {
                push_member(data, "object");
                push_string(data, object);
            }
            if let (false, Some(created)) = (named("created"), self.created) {
                push_member(data, "created");
                data.extend_from_slice(created.to_string().as_bytes());
            }
            if !named("model") {
                push_member(data, "model");
                push_string(data, &self.model);
            }
            if !named("choices") {
                push_member(data, "choices");
                data.push(b'[');
                for (number, choice) in draft.choices.iter().enumerate() {
                    if number > 0 {
                        data.push(b',');
                    }
                    choice.push(says, data);
                }
                data.push(b']');
            }
        }
        if let Some(error) = &draft.error {
            push_member(data, "error");
            data.extend_from_slice(error.as_bytes());
        }
        if let Some(usage) = &draft.usage {
            push_member(data, "usage");
            data.extend_from_slice(usage.as_bytes());
        }
        push_extras(data, &draft.extras);
        data.push(b'}');
    }

    /// The draft, taken: for a whole answer.
    pub(super) fn take(&mut self) -> Draft {
        std::mem::take(&mut self.draft)
    }
}

impl Draft {
    fn is_empty(&self) -> bool {
        !self.starts
            && self.choices.is_empty()
            && self.error.is_none()
            && self.usage.is_none()
            && self.extras.is_empty()
    }

    /// Goes on to `rank` in the canonical order; `false` if that is past.
    fn reach(&mut self, rank: u8) -> bool {
        let fits = rank >= self.reached
            && !(rank < 2 && (self.reached == rank && rank == 0 && self.starts));
        if fits {
            self.reached = rank;
        }
        fits
    }

    fn choice(&mut self, index: u16) -> &mut Choice {
        // Choices come one after the other; going back to one would change their order, but no
        // decoder minds, since each carries its index.
        let at = match self.choices.iter().position(|choice| choice.index == index) {
            Some(at) => at,
            None => {
                self.choices.push(Choice { index, ..Choice::default() });
                self.choices.len() - 1
            }
        };
        &mut self.choices[at]
    }
}

impl Choice {
    fn push(&self, says: &str, data: &mut Vec<u8>) {
        data.extend_from_slice(format!("{{\"index\":{}", self.index).as_bytes());
        let has_delta =
            !(self.texts.is_empty() && self.calls.is_empty() && self.delta_extras.is_empty());
        if has_delta || says == "delta" {
            push_member(data, says);
            data.push(b'{');
            let (role, others): (Vec<_>, Vec<_>) =
                self.delta_extras.iter().partition(|(key, _)| key == "role");
            for (key, json) in role {
                push_member(data, key);
                data.extend_from_slice(json.as_bytes());
            }
            for (key, text) in &self.texts {
                push_member(data, key);
                push_string(data, text);
            }
            self.push_calls(says, data);
            for (key, json) in others {
                push_member(data, key);
                data.extend_from_slice(json.as_bytes());
            }
            data.push(b'}');
        }
        push_extras(data, &self.extras);
        push_member(data, "finish_reason");
        match &self.stop {
            Some(reason) => push_string(data, reason),
            None => data.extend_from_slice(b"null"),
        }
        data.push(b'}');
    }

    fn push_calls(&self, says: &str, data: &mut Vec<u8>) {
        let mut is_first = true;
        for call in self.calls.iter().filter(|call| call.index != LEGACY_CALL) {
            if is_first {
                push_member(data, "tool_calls");
                data.push(b'[');
            } else {
                data.push(b',');
            }
            is_first = false;
            call.push(says, data);
        }
        if !is_first {
            data.push(b']');
        }
        for call in self.calls.iter().filter(|call| call.index == LEGACY_CALL) {
            push_member(data, "function_call");
            call.push_function(data);
        }
    }
}

impl Call {
    fn push(&self, says: &str, data: &mut Vec<u8>) {
        data.push(b'{');
        if says == "delta" {
            push_member(data, "index");
            data.extend_from_slice((self.index - 1).to_string().as_bytes());
        }
        if let Some((id, _, flavour)) = &self.opens {
            push_member(data, "id");
            push_string(data, id);
            push_member(data, "type");
            let kind = if *flavour == ToolFlavour::Custom { "custom" } else { "function" };
            push_string(data, kind);
        }
        let is_custom = matches!(&self.opens, Some((_, _, ToolFlavour::Custom)));
        push_member(data, if is_custom { "custom" } else { "function" });
        self.push_function(data);
        push_extras(data, &self.extras);
        data.push(b'}');
    }

    fn push_function(&self, data: &mut Vec<u8>) {
        data.push(b'{');
        let mut key = "arguments";
        if let Some((_, name, flavour)) = &self.opens {
            push_member(data, "name");
            push_string(data, name);
            if *flavour == ToolFlavour::Custom {
                key = "input";
            }
        }
        push_member(data, key);
        push_string(data, &self.arguments);
        data.push(b'}');
    }
}

/// Whether a member of a delta that is kept as it is comes before or among its texts.
fn stands_before_texts(key: &str) -> bool {
    matches!(key, "role" | "content" | "refusal" | "reasoning_details") || REASONING.contains(&key)
}

/// Begins a member: comma where one is due, name, colon.
fn push_member(data: &mut Vec<u8>, key: &str) {
    if !matches!(data.last(), Some(b'{' | b'[')) {
        data.push(b',');
    }
    push_string(data, key);
    data.push(b':');
}

fn push_extras(data: &mut Vec<u8>, extras: &[(String, String)]) {
    for (key, json) in extras {
        push_member(data, key);
        data.extend_from_slice(json.as_bytes());
    }
}

/// A payload that may hold line ends, each line of it as a `data:` line.
fn push_lines(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    if !name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    for line in data.split(|&byte| byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

fn foreign_error(code: &str, message: &str) -> String {
    let mut data = b"{".to_vec();
    push_member(&mut data, "message");
    push_string(&mut data, message);
    data.extend_from_slice(b",\"type\":\"server_error\",\"param\":null,\"code\":");
    push_string(&mut data, code);
    data.push(b'}');
    String::from_utf8(data).unwrap_or_default()
}

fn foreign_usage(counts: Counts) -> String {
    let (input, output) = (counts.input.unwrap_or(0), counts.output.unwrap_or(0));
    let mut text = format!(
        "{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{}",
        input.saturating_add(output)
    );
    if let Some(cached) = counts.cache_read {
        text.push_str(&format!(",\"prompt_tokens_details\":{{\"cached_tokens\":{cached}}}"));
    }
    if let Some(reasoning) = counts.reasoning {
        let details =
            format!(",\"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning}}}");
        text.push_str(&details);
    }
    text.push('}');
    text
}
