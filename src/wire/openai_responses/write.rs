//! Events to frames.
//!
//! Events of this dialect are written frame for frame: a skeleton gets its texts back, deltas are
//! written anew. Events of another dialect have no frames here; [`Story`] tells them as a stream
//! of this one.

use super::scan::{self, Frame};
use super::story::Story;
use super::texts::{self, ItemKind, Shape};
use super::{BODY, MARK_LOGPROBS, MARK_REPEAT, MARK_TEXT};
use crate::wire::event::{Channel, Event, Form, Kind, Place};
use crate::wire::loss::Losses;
use crate::wire::retell::{Arguments, Choices, Reasoning, Refusal, Retelling, Room};
use crate::wire::{Dialect, Tail, json, sse};
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

/// The most items whose ids are remembered; deltas of further ones get an id of ours.
const ITEMS_MAX: usize = 4096;

/// The longest id that is remembered, in bytes.
const ID_BYTES_MAX: usize = 512;

/// What this dialect has room for.
const ROOM: Room = Room {
    choices: Choices::One,
    reasoning: Reasoning::Parts,
    refusal: Refusal::Apart,
    arguments: Arguments::Text,
    id_prefix: "call",
    id_bytes_max: 64,
};

/// What events of `source` go through before a story is told of them.
pub(super) fn retelling(source: Dialect) -> Option<Retelling> {
    (source != Dialect::OpenaiResponses).then(|| Retelling::new(source, ROOM))
}

/// Events to frames.
#[derive(Debug)]
pub struct Encoder {
    is_native: bool,
    retelling: Option<Retelling>,
    tail: Tail,
    /// Frames that we wrote and the provider did not, less those of its own that were left out: by
    /// this much its numbers are moved.
    inserted: i64,
    items: Vec<(u16, Box<str>, &'static str)>,
    story: Box<Story>,
}

impl Encoder {
    /// See [`crate::wire::Encoder::new`].
    pub fn new(source: Dialect) -> Encoder {
        Encoder {
            is_native: source == Dialect::OpenaiResponses,
            retelling: retelling(source),
            tail: Tail::default(),
            inserted: 0,
            items: Vec::new(),
            story: Box::default(),
        }
    }

    /// See [`crate::wire::Encoder::frame`].
    pub fn frame(&mut self, events: &[Event<'_>], out: &mut Vec<u8>) {
        if let Some(retelling) = &mut self.retelling {
            let mut told = Vec::with_capacity(events.len());
            retelling.events(events, &mut told);
            for event in &told {
                self.story.event(event, &mut self.tail, out);
            }
            return;
        }
        let skeleton = skeleton(events).filter(|(key, _)| *key != BODY);
        if self.is_native
            && let Some((name, json)) = skeleton
        {
            self.skeleton(name, json, events, out);
        } else if self.is_native && !self.story.has_started() && events.iter().all(needs_no_story) {
            self.plain(events, out);
        } else {
            for event in events {
                self.story.event(event, &mut self.tail, out);
            }
        }
    }

    /// See [`crate::wire::Encoder::losses`].
    pub fn losses(&self) -> Losses {
        self.retelling.as_ref().map_or_else(Losses::default, Retelling::losses)
    }

    /// See [`crate::wire::Encoder::tail`].
    pub fn tail(&self) -> Tail {
        self.tail.clone()
    }

    /// See [`crate::wire::Encoder::skip_frame`].
    pub fn skip_frame(&mut self) {
        if self.is_native {
            self.inserted -= 1;
        }
    }

    /// See [`crate::wire::Encoder::say`].
    pub fn say(&mut self, channel: Channel, text: &str, out: &mut Vec<u8>) {
        if !self.is_native {
            let text = Event::Text { channel, text: Cow::Borrowed(text), span: None };
            self.frame(&[text, Event::Close { channel }], out);
            return;
        }
        for (name, members) in super::edit::message(channel.block, text) {
            let number = self.tail.sequence;
            let data = format!("{{\"type\":\"{name}\",\"sequence_number\":{number},{members}}}");
            sse::push_frame(out, name, data.as_bytes());
            self.tail.sequence = number.saturating_add(1);
            self.inserted += 1;
        }
    }

    /// See [`crate::wire::Encoder::turn_foreign`].
    pub fn turn_foreign(&mut self, source: Dialect, history: &[Event<'_>]) -> bool {
        if !self.is_native {
            if let Some(retelling) = &mut self.retelling {
                retelling.turn_to(source);
            }
            return true;
        }
        let mut retelling = Retelling::new(source, ROOM);
        let mut told = Vec::new();
        retelling.events(history, &mut told);
        let (mut scratch, mut out) = (Tail::default(), Vec::new());
        for event in &told {
            self.story.event(event, &mut scratch, &mut out);
        }
        self.is_native = false;
        self.retelling = Some(retelling);
        self.items.sort_unstable_by_key(|(block, ..)| *block);
        self.story.take_over(&self.items)
    }

    /// A frame of this dialect that has a skeleton.
    fn skeleton(&mut self, name: &str, json: &str, events: &[Event<'_>], out: &mut Vec<u8>) {
        for event in events {
            if let Event::Start { id, model, created } = event {
                self.tail.id = Some(Box::from(&**id));
                self.tail.model = Some(Box::from(&**model));
                self.tail.created = *created;
            }
        }
        let Some(members) = Frame::parse(json) else {
            // An error of no known form is one text as a whole; else it is no skeleton of ours.
            let is_error = name == "error";
            let filled = is_error.then(|| Filling::new(&Shape::Error { object: json }, events));
            let data = filled.map_or(Cow::Borrowed(json), |filled| Cow::Owned(filled.splice(json)));
            sse::push_frame(out, event_name(name), one_line(&data).as_bytes());
            return;
        };
        let shape = texts::shape(name, &members);
        if let Some(Shape::Item { block, item, is_done: false }) = shape {
            self.learn(block, item);
        }
        let mut filled = shape.map_or_else(Filling::default, |shape| Filling::new(&shape, events));
        // Text that has no place in the frame goes before it.
        for (channel, text) in std::mem::take(&mut filled.left_over) {
            self.delta(channel, &text, &[], out);
            self.inserted += 1;
        }
        let number = members.get("sequence_number");
        if let Some(value) = number
            && let Ok(number) = value.parse::<u64>()
        {
            let number = number.saturating_add_signed(self.inserted);
            filled.splices.push((value, number.to_string().into_bytes()));
            self.tail.sequence = number;
        }
        self.tail.sequence = self.tail.sequence.saturating_add(1);
        sse::push_frame(out, event_name(name), one_line(&filled.splice(json)).as_bytes());
    }

    /// A frame of this dialect that has none: a delta, a comment, an end mark, something opaque.
    fn plain(&mut self, events: &[Event<'_>], out: &mut Vec<u8>) {
        let extras: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Extra { place: Place::Frame, key, json } => Some((&**key, &**json)),
                _ => None,
            })
            .collect();
        let mut deltas = 0;
        for event in events {
            match event {
                Event::Text { channel, text, .. } => {
                    deltas += 1;
                    let extras = if deltas == 1 { &extras[..] } else { &[] };
                    self.delta(*channel, text, extras, out);
                    self.inserted += i64::from(deltas > 1);
                }
                Event::Ping => out.extend_from_slice(b": ping\n\n"),
                Event::Opaque { dialect, name, data } => {
                    if *dialect == Dialect::OpenaiResponses {
                        push_opaque(out, name, data);
                        self.tail.sequence = self.tail.sequence.saturating_add(1);
                    }
                }
                Event::End => out.extend_from_slice(b"data: [DONE]\n\n"),
                Event::Extra { .. }
                | Event::Start { .. }
                | Event::Open { .. }
                | Event::Repeat { .. }
                | Event::Signature { .. }
                | Event::Close { .. }
                | Event::Stop { .. }
                | Event::Usage { .. }
                | Event::Error { .. } => {}
            }
        }
    }

    fn delta(&mut self, channel: Channel, text: &str, extras: &[(&str, &str)], out: &mut Vec<u8>) {
        let item = self.items.iter().find(|(block, ..)| *block == channel.block);
        let stem = match (channel.kind, item) {
            (Kind::ToolArguments, Some((_, _, stem))) => stem,
            (kind, _) => match delta_stem(kind, channel.part) {
                Some(stem) => stem,
                None => return,
            },
        };
        let unknown;
        let id = if let Some((_, id, _)) = item {
            &**id
        } else {
            unknown = format!("item_{}", channel.block);
            &unknown
        };
        let mut data = Vec::with_capacity(192 + text.len());
        data.extend_from_slice(b"{\"type\":\"response.");
        data.extend_from_slice(stem.as_bytes());
        data.extend_from_slice(b".delta\",\"sequence_number\":");
        data.extend_from_slice(self.tail.sequence.to_string().as_bytes());
        data.extend_from_slice(b",\"item_id\":");
        json::push_string(&mut data, id);
        data.extend_from_slice(format!(",\"output_index\":{}", channel.block).as_bytes());
        if let Some(index) = texts::text_shape(stem).map(|shape| shape.index())
            && !index.is_empty()
        {
            let part = channel.part & !super::REASONING_CONTENT;
            data.extend_from_slice(format!(",\"{index}\":{part}").as_bytes());
        }
        data.extend_from_slice(b",\"delta\":");
        json::push_string(&mut data, text);
        if stem == "output_text" && !extras.iter().any(|(key, _)| *key == "logprobs") {
            data.extend_from_slice(b",\"logprobs\":[]");
        }
        for (key, json) in extras {
            data.push(b',');
            json::push_string(&mut data, key);
            data.push(b':');
            data.extend_from_slice(one_line(json).as_bytes());
        }
        data.push(b'}');
        let name = ["response.", stem, ".delta"].concat();
        sse::push_frame(out, &name, &data);
        self.tail.sequence = self.tail.sequence.saturating_add(1);
    }

    /// Remembers what the deltas of an item have to say of it.
    fn learn(&mut self, block: u16, item: &str) {
        let ItemKind { name, .. } = texts::item_kind(item);
        let stem = match &*name {
            "custom_tool_call" => "custom_tool_call_input",
            "mcp_call" => "mcp_call_arguments",
            "code_interpreter_call" => "code_interpreter_call_code",
            "shell_call" => "shell_call_command",
            "apply_patch_call" => "apply_patch_call_operation_diff",
            _ => "function_call_arguments",
        };
        let id = scan::string_member(item, "id").unwrap_or_default();
        if self.items.len() < ITEMS_MAX && id.len() <= ID_BYTES_MAX {
            self.items.retain(|(known, ..)| *known != block);
            self.items.push((block, Box::from(&*id), stem));
        }
    }
}

/// The deltas that carry text of a kind, where the kind alone says it.
pub(super) fn delta_stem(kind: Kind, part: u16) -> Option<&'static str> {
    match kind {
        Kind::Answer => Some("output_text"),
        Kind::Refusal => Some("refusal"),
        Kind::Reasoning if part < super::REASONING_CONTENT => Some("reasoning_summary_text"),
        Kind::Reasoning => Some("reasoning_text"),
        Kind::ToolArguments => Some("function_call_arguments"),
        Kind::System
        | Kind::User
        | Kind::History
        | Kind::Document
        | Kind::ToolResult
        | Kind::ToolDefinition
        | Kind::ToolName
        | Kind::Citation
        | Kind::Other => None,
    }
}

/// The skeleton among the events of a frame or body: its type and JSON.
pub(super) fn skeleton<'e>(events: &'e [Event<'_>]) -> Option<(&'e str, &'e str)> {
    events.iter().find_map(|event| match event {
        Event::Extra { place: Place::Message, key, json } => Some((&**key, &**json)),
        _ => None,
    })
}

fn needs_no_story(event: &Event<'_>) -> bool {
    match event {
        Event::Text { .. }
        | Event::Ping
        | Event::Opaque { .. }
        | Event::End
        | Event::Extra { place: Place::Frame, .. } => true,
        Event::Extra { .. }
        | Event::Start { .. }
        | Event::Open { .. }
        | Event::Repeat { .. }
        | Event::Signature { .. }
        | Event::Close { .. }
        | Event::Stop { .. }
        | Event::Usage { .. }
        | Event::Error { .. } => false,
    }
}

/// What goes into the places of a skeleton.
#[derive(Default)]
pub(super) struct Filling<'k> {
    splices: Vec<(&'k str, Vec<u8>)>,
    left_over: Vec<(Channel, String)>,
}

impl<'k> Filling<'k> {
    /// Finds for each mark of the skeleton the event that has its text. A text that no event has
    /// any more is left empty.
    pub(super) fn new(shape: &Shape<'k>, events: &[Event<'_>]) -> Filling<'k> {
        let marked: Vec<_> = texts::texts(shape)
            .list
            .into_iter()
            .filter_map(|text| {
                let mark = match text.form {
                    Form::Quoted => Some(text.raw),
                    Form::Json => scan::elements(text.raw).next().and_then(scan::inside),
                };
                mark.map(|mark| (text, mark))
            })
            .collect();
        let mut said = Said::new(events);
        let mut awaited: HashMap<Channel, usize> = HashMap::new();
        let mut logprobs: HashMap<u16, usize> = HashMap::new();
        for (text, mark) in &marked {
            if *mark == MARK_TEXT {
                *awaited.entry(text.channel).or_default() += 1;
            } else if *mark == MARK_LOGPROBS {
                *logprobs.entry(text.channel.block).or_default() += 1;
            }
        }
        let mut filling = Filling::default();
        for (text, mark) in marked {
            let channel = text.channel;
            let bytes = if mark == MARK_TEXT {
                let is_last = awaited.get_mut(&channel).is_none_or(|left| {
                    *left -= 1;
                    *left == 0
                });
                written(&said.text(channel, is_last), text.form)
            } else if mark == MARK_REPEAT {
                written(said.repeat(channel), text.form)
            } else if mark == MARK_LOGPROBS {
                // With one taken out, which of a block's it was is not known: none stays.
                let json = said.logprobs(channel.block, logprobs.get(&channel.block).copied());
                json.as_bytes().to_vec()
            } else {
                continue;
            };
            filling.splices.push((text.raw, bytes));
        }
        filling.left_over = said.left_over();
        filling
    }

    /// The skeleton `json` with everything in its place.
    pub(super) fn splice(mut self, json: &str) -> String {
        let place = |part| json::offset_of(json.as_bytes(), part).unwrap_or(usize::MAX);
        self.splices.sort_by_key(|(part, _)| place(part));
        let mut out = Vec::with_capacity(json.len() + 256);
        let mut from = 0;
        for (part, bytes) in &self.splices {
            let start = place(part);
            out.extend_from_slice(json.as_bytes().get(from..start).unwrap_or(b""));
            out.extend_from_slice(bytes);
            from = start.saturating_add(part.len());
        }
        out.extend_from_slice(json.as_bytes().get(from..).unwrap_or(b""));
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// The texts of a frame's events, by where they belong.
struct Said<'e> {
    texts: HashMap<Channel, VecDeque<&'e str>>,
    order: Vec<Channel>,
    repeats: HashMap<Channel, VecDeque<&'e str>>,
    logprobs: HashMap<u16, VecDeque<&'e str>>,
    logprobs_given: HashMap<u16, usize>,
}

impl<'e> Said<'e> {
    fn new(events: &'e [Event<'_>]) -> Said<'e> {
        let mut said = Said {
            texts: HashMap::new(),
            order: Vec::new(),
            repeats: HashMap::new(),
            logprobs: HashMap::new(),
            logprobs_given: HashMap::new(),
        };
        for event in events {
            match event {
                Event::Text { channel, text, .. } => {
                    let texts = said.texts.entry(*channel).or_default();
                    if texts.is_empty() {
                        said.order.push(*channel);
                    }
                    texts.push_back(text);
                }
                Event::Repeat { channel, text, .. } => {
                    said.repeats.entry(*channel).or_default().push_back(text);
                }
                Event::Extra { place: Place::Block(block), key, json } if key == "logprobs" => {
                    said.logprobs.entry(*block).or_default().push_back(json);
                    *said.logprobs_given.entry(*block).or_default() += 1;
                }
                Event::Extra { .. }
                | Event::Start { .. }
                | Event::Open { .. }
                | Event::Signature { .. }
                | Event::Close { .. }
                | Event::Stop { .. }
                | Event::Usage { .. }
                | Event::Error { .. }
                | Event::Ping
                | Event::Opaque { .. }
                | Event::End => {}
            }
        }
        said
    }

    fn text(&mut self, channel: Channel, all: bool) -> String {
        let Some(texts) = self.texts.get_mut(&channel) else { return String::new() };
        let count = if all { texts.len() } else { 1.min(texts.len()) };
        texts.drain(..count).collect()
    }

    fn repeat(&mut self, channel: Channel) -> &'e str {
        self.repeats.get_mut(&channel).and_then(VecDeque::pop_front).unwrap_or("")
    }

    fn logprobs(&mut self, block: u16, awaited: Option<usize>) -> &'e str {
        if awaited != self.logprobs_given.get(&block).copied() {
            return "[]";
        }
        self.logprobs.get_mut(&block).and_then(VecDeque::pop_front).unwrap_or("[]")
    }

    fn left_over(mut self) -> Vec<(Channel, String)> {
        let order = std::mem::take(&mut self.order);
        order
            .into_iter()
            .map(|channel| (channel, self.text(channel, true)))
            .filter(|(_, text)| !text.is_empty())
            .collect()
    }
}

/// A text as it is written in a place of the form `form`.
fn written(text: &str, form: Form) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16);
    match form {
        Form::Quoted => json::push_escaped(&mut out, text),
        // An edit may have left no JSON; then a string is the honest form.
        Form::Json if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            out.extend_from_slice(text.as_bytes());
        }
        Form::Json => json::push_string(&mut out, text),
    }
    out
}

/// JSON without line ends; in valid JSON they stand between tokens only.
fn one_line(json: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_none() {
        return Cow::Borrowed(json);
    }
    Cow::Owned(json.replace(['\n', '\r'], " "))
}

/// A name that may stand in an `event:` line; empty if it would end the line.
fn event_name(name: &str) -> &str {
    if name.contains(['\n', '\r']) { "" } else { name }
}

/// A frame that was not understood, as it was.
fn push_opaque(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    let name = event_name(name);
    if !name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}
