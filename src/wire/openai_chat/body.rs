//! One object of the dialect, gathered from events and written.
//!
//! [`Object::put`] refuses an event that this dialect's decoder would tell earlier than what is
//! already gathered; the caller then writes what there is and begins anew, so order is kept.
//! [`Object::merge`] takes events in any order, for whole answers.

use super::body_call::{Call, CallRank, Pairs, add, push_key, push_pairs};
use super::calls::LEGACY_BLOCK;
use super::chunk::{FACTS, Shape, TEXTS};
use super::is_flat_error;
use super::slots::{self, DETAILS_PART};
use super::write::Facts;
use crate::wire::event::{Block, Channel, Event, Kind, Place};
use crate::wire::json::{Raw, push_string};

/// An object in the making.
#[derive(Default)]
pub(super) struct Object<'e> {
    /// How far the order of the whole object has come: see [`Stage`].
    stage: Stage,
    touched: bool,
    starts: bool,
    has_facts: bool,
    choices: Vec<Choice<'e>>,
    extras: Pairs<'e>,
    usage: Option<&'e str>,
    error: Option<&'e str>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Facts,
    Choices,
    Extras,
    Usage,
    Error,
}

/// The order within a choice. Texts are told apart by their place in [`TEXTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Role,
    Text(usize),
    Calls,
    LegacyCall,
    DeltaExtras,
    Extras,
    Stop,
}

struct Choice<'e> {
    index: u16,
    rank: Rank,
    role: Option<&'e str>,
    texts: Vec<Field<'e>>,
    calls: Vec<Call<'e>>,
    delta_extras: Pairs<'e>,
    extras: Pairs<'e>,
    finish: Option<&'e str>,
}

/// A member of a delta that holds text: `key` is its place in [`TEXTS`].
struct Field<'e> {
    key: usize,
    value: Value<'e>,
}

enum Value<'e> {
    Text(String),
    /// A structured member: its skeleton, the texts to fill in, and how many of each it takes.
    Structured {
        skeleton: &'e str,
        open: Vec<(Kind, u16)>,
        fills: Vec<((Kind, u16), String)>,
    },
    /// A piece of `reasoning_details` that came without a skeleton.
    Detail {
        part: u16,
        text: &'e str,
    },
}

impl<'e> Object<'e> {
    /// Whether there is anything to write.
    pub(super) fn is_touched(&self) -> bool {
        self.touched
    }

    /// Takes an event if it fits behind what was taken before.
    pub(super) fn put(&mut self, event: &'e Event<'_>, facts: &mut Facts) -> bool {
        self.take(event, facts, true)
    }

    /// Takes an event wherever it fits.
    pub(super) fn merge(&mut self, event: &'e Event<'_>, facts: &mut Facts) {
        self.take(event, facts, false);
    }

    fn take(&mut self, event: &'e Event<'_>, facts: &mut Facts, strict: bool) -> bool {
        let taken = match event {
            Event::Start { id, model, created } => {
                self.enter(Stage::Facts, strict) && {
                    facts.set_text(0, id);
                    facts.set_text(3, model);
                    facts.values[2] = created.map(|created| created.to_string());
                    self.starts = true;
                    true
                }
            }
            Event::Extra { place, key, json } => self.extra(*place, key, json, facts, strict),
            Event::Open { channel, block: Block::Tool { id, name, flavour } } => {
                let Some(choice) = self.choice(channel.choice, Rank::call(channel.block), strict)
                else {
                    return false;
                };
                facts.opened(channel.choice, channel.block, *flavour);
                let call = choice.call(channel.block, CallRank::Open, strict);
                call.open = Some((id, *flavour));
                call.name.push_str(name);
                true
            }
            Event::Text { channel, text, .. } => self.text(*channel, text, strict),
            Event::Stop { choice, native, .. } => match self.choice(*choice, Rank::Stop, strict) {
                Some(choice) if strict && choice.finish.is_some() => false,
                Some(choice) => {
                    choice.finish = Some(native);
                    true
                }
                None => false,
            },
            Event::Usage { native, .. } => {
                let fits = self.enter(Stage::Usage, strict) && !(strict && self.usage.is_some());
                if fits {
                    self.usage = Some(native);
                }
                fits
            }
            Event::Error { native, .. } => {
                let fits = self.enter(Stage::Error, strict) && !(strict && self.error.is_some());
                if fits {
                    self.error = Some(native);
                }
                fits
            }
            // These have no place in the dialect, or are frames of their own.
            Event::Open { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Ping
            | Event::Opaque { .. }
            | Event::End => return true,
        };
        self.touched |= taken;
        taken
    }

    fn enter(&mut self, stage: Stage, strict: bool) -> bool {
        let fits = !strict || stage >= self.stage;
        self.stage = self.stage.max(stage);
        fits
    }

    fn choice(&mut self, index: u16, rank: Rank, strict: bool) -> Option<&mut Choice<'e>> {
        if !self.enter(Stage::Choices, strict) {
            return None;
        }
        let known = self.choices.iter().position(|choice| choice.index == index);
        let at = known.unwrap_or(self.choices.len());
        if known.is_none() {
            self.choices.push(Choice::new(index));
        }
        let is_last = at + 1 == self.choices.len();
        if strict && !(is_last && rank >= self.choices[at].rank) {
            return None;
        }
        let choice = self.choices.get_mut(at)?;
        choice.rank = choice.rank.max(rank);
        Some(choice)
    }

    fn text(&mut self, channel: Channel, text: &'e str, strict: bool) -> bool {
        let slot = (channel.kind, channel.part);
        if let Some(choice) = self.choices.iter_mut().find(|choice| choice.index == channel.choice)
            && choice.fill(slot, text)
        {
            return true;
        }
        let key = match (channel.kind, channel.part) {
            (Kind::Reasoning, 0) => 0,
            (Kind::Reasoning, 1) => 1,
            (Kind::Reasoning, _) => 2,
            (Kind::Answer, _) => 3,
            (Kind::Refusal, _) => 4,
            (Kind::ToolName | Kind::ToolArguments, _) => {
                let rank = Rank::call(channel.block);
                let Some(choice) = self.choice(channel.choice, rank, strict) else { return false };
                if channel.kind == Kind::ToolName {
                    let call = choice.call(channel.block, CallRank::Name, strict);
                    call.name.push_str(text);
                } else {
                    let call = choice.call(channel.block, CallRank::Arguments, strict);
                    call.arguments.push_str(text);
                }
                return true;
            }
            (
                Kind::System
                | Kind::User
                | Kind::History
                | Kind::Document
                | Kind::ToolResult
                | Kind::ToolDefinition
                | Kind::Citation
                | Kind::Other,
                _,
            ) => return true,
        };
        let Some(choice) = self.choice(channel.choice, Rank::Text(key), strict) else {
            return false;
        };
        choice.text(key, channel, text, strict)
    }

    fn extra(
        &mut self,
        place: Place,
        key: &'e str,
        json: &'e str,
        facts: &mut Facts,
        strict: bool,
    ) -> bool {
        match place {
            Place::Frame | Place::Message => {
                if let Some(fact) = FACTS.iter().position(|fact| *fact == key) {
                    let fits = self.enter(Stage::Facts, strict);
                    if fits {
                        facts.values[fact] = Some(json.to_owned());
                        self.has_facts = true;
                    }
                    return fits;
                }
                self.enter(Stage::Extras, strict) && add(&mut self.extras, key, json, strict)
            }
            Place::Choice(index) => self
                .choice(index, Rank::Extras, strict)
                .is_some_and(|choice| add(&mut choice.extras, key, json, strict)),
            Place::Delta(index) if key == "role" => {
                self.choice(index, Rank::Role, strict).is_some_and(|choice| {
                    let fits = !(strict && choice.role.is_some());
                    choice.role = Some(json);
                    fits
                })
            }
            Place::Delta(index) => match TEXTS.iter().position(|text| *text == key) {
                Some(text) => self
                    .choice(index, Rank::Text(text), strict)
                    .is_some_and(|choice| choice.structured(text, json, strict)),
                None => self
                    .choice(index, Rank::DeltaExtras, strict)
                    .is_some_and(|choice| add(&mut choice.delta_extras, key, json, strict)),
            },
            Place::Block(block) => {
                // The place does not name the choice: it is the one of the event before.
                let index = self.choices.last().map_or(0, |choice| choice.index);
                let Some(choice) = self.choice(index, Rank::call(block), strict) else {
                    return false;
                };
                let rank = if key == "id" { CallRank::Id } else { CallRank::Extras };
                let call = choice.call(block, rank, strict);
                if !add(&mut call.extras, key, json, true) {
                    choice.calls.push(Call::new(block, rank));
                    choice.call(block, rank, strict).extras.push((key, json));
                }
                true
            }
        }
    }

    /// Writes the object.
    pub(super) fn write(mut self, facts: &mut Facts, out: &mut Vec<u8>) {
        if let Some(error) = self.error
            && self.choices.is_empty()
            && self.usage.is_none()
            && !self.starts
            && !self.has_facts
        {
            if self.extras.is_empty()
                && error.contains("\"error\"")
                && Raw::parse(error).is_some_and(is_flat_error)
            {
                out.extend_from_slice(error.as_bytes());
                return;
            }
            out.extend_from_slice(b"{\"error\":");
            out.extend_from_slice(error.as_bytes());
            push_pairs(out, &self.extras);
            out.push(b'}');
            return;
        }
        if self.starts && self.choices.is_empty() && self.usage.is_none() && self.extras.is_empty()
        {
            // The usual first frame: the role and no text yet.
            self.choices.push(Choice::new(0));
        }
        for (name, value) in FACTS.iter().zip(&facts.values) {
            if let Some(value) = value {
                push_key(out, name, out.is_empty());
                out.extend_from_slice(value.as_bytes());
            }
        }
        push_key(out, "choices", out.is_empty());
        out.push(b'[');
        for (number, choice) in self.choices.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            choice.write(facts, out);
        }
        out.push(b']');
        push_pairs(out, &self.extras);
        for (name, value) in [("usage", self.usage), ("error", self.error)] {
            if let Some(value) = value {
                push_key(out, name, false);
                out.extend_from_slice(value.as_bytes());
            }
        }
        out.push(b'}');
    }
}

impl Rank {
    fn call(block: u16) -> Rank {
        if block == LEGACY_BLOCK { Rank::LegacyCall } else { Rank::Calls }
    }
}

impl<'e> Choice<'e> {
    fn new(index: u16) -> Choice<'e> {
        Choice {
            index,
            rank: Rank::Role,
            role: None,
            texts: Vec::new(),
            calls: Vec::new(),
            delta_extras: Vec::new(),
            extras: Vec::new(),
            finish: None,
        }
    }

    /// Fills a blank of the last structured member, if it has one for this text.
    fn fill(&mut self, slot: (Kind, u16), text: &'e str) -> bool {
        let Some(Field { value: Value::Structured { open, fills, .. }, .. }) =
            self.texts.last_mut()
        else {
            return false;
        };
        let Some(at) = open.iter().position(|wanted| *wanted == slot) else { return false };
        open.remove(at);
        fills.push((slot, text.to_owned()));
        true
    }

    fn text(&mut self, key: usize, channel: Channel, text: &'e str, strict: bool) -> bool {
        let found = self.texts.iter_mut().find(|field| field.key == key);
        match found.map(|field| &mut field.value) {
            Some(Value::Text(before)) => before.push_str(text),
            Some(Value::Structured { .. }) if strict => return false,
            // In a whole answer, text behind a structured member goes on with its last text.
            Some(Value::Structured { fills, .. })
                if fills.last().is_some_and(|(slot, _)| slot.0 == channel.kind) =>
            {
                fills.iter_mut().last().into_iter().for_each(|(_, fill)| fill.push_str(text));
            }
            Some(Value::Structured { .. } | Value::Detail { .. }) | None if key == 2 => {
                self.texts.push(Field { key, value: Value::Detail { part: channel.part, text } });
            }
            Some(Value::Structured { .. } | Value::Detail { .. }) | None => {
                self.texts.push(Field { key, value: Value::Text(text.to_owned()) });
            }
        }
        true
    }

    fn structured(&mut self, key: usize, skeleton: &'e str, strict: bool) -> bool {
        if strict && self.texts.iter().any(|field| field.key == key) {
            return false;
        }
        let Some(raw) = Raw::parse(skeleton) else { return true };
        let slots = slots::find(TEXTS[key], raw, true);
        let open = slots.iter().map(|slot| (slot.kind, slot.part)).collect();
        self.texts
            .push(Field { key, value: Value::Structured { skeleton, open, fills: Vec::new() } });
        true
    }

    /// The entry that a member of this rank goes into.
    fn call(&mut self, block: u16, rank: CallRank, strict: bool) -> &mut Call<'e> {
        let found = self.calls.iter().rposition(|call| call.block == block);
        let fits = |at: usize| {
            let is_last = at + 1 == self.calls.len();
            !strict
                || block == LEGACY_BLOCK
                || (is_last && rank >= self.calls[at].rank && rank != CallRank::Open)
        };
        let found = found.filter(|at| fits(*at));
        let at = found.unwrap_or(self.calls.len());
        if found.is_none() {
            self.calls.push(Call::new(block, rank));
        }
        let call = &mut self.calls[at];
        call.rank = call.rank.max(rank);
        call
    }

    fn write(&self, facts: &mut Facts, out: &mut Vec<u8>) {
        let is_whole = facts.shape == Shape::Whole;
        out.extend_from_slice(format!("{{\"index\":{},", self.index).as_bytes());
        out.extend_from_slice(if is_whole { b"\"message\":" } else { b"\"delta\":" });
        let body = out.len();
        let is_first = facts.role_is_due(self.index);
        if let Some(role) = self.role.or((is_first || is_whole).then_some("\"assistant\"")) {
            push_key(out, "role", out.len() == body);
            out.extend_from_slice(role.as_bytes());
        }
        let has_content = self.texts.iter().any(|field| field.key == 3);
        if is_whole && !has_content {
            push_key(out, "content", out.len() == body);
            out.extend_from_slice(b"null");
        } else if is_first && !has_content && self.texts.is_empty() && self.calls.is_empty() {
            push_key(out, "content", out.len() == body);
            out.extend_from_slice(b"\"\"");
        }
        self.write_texts(out, body);
        self.write_calls(facts, out, body);
        for (key, json) in &self.delta_extras {
            push_key(out, key, out.len() == body);
            out.extend_from_slice(json.as_bytes());
        }
        if out.len() == body {
            out.push(b'{');
        }
        out.extend_from_slice(b"},\"finish_reason\":");
        match self.finish {
            Some(reason) => push_string(out, reason),
            None => out.extend_from_slice(b"null"),
        }
        // A copy that stood beside a `delta` may not stand where this object has its own text.
        let own = if is_whole { "message" } else { "delta" };
        for (key, json) in self.extras.iter().filter(|(key, _)| *key != own) {
            push_key(out, key, false);
            out.extend_from_slice(json.as_bytes());
        }
        out.push(b'}');
    }

    fn write_texts(&self, out: &mut Vec<u8>, body: usize) {
        for (key, name) in TEXTS.iter().enumerate() {
            let fields: Vec<&Value<'e>> = self
                .texts
                .iter()
                .filter(|field| field.key == key)
                .map(|field| &field.value)
                .collect();
            if fields.is_empty() {
                continue;
            }
            push_key(out, name, out.len() == body);
            match &fields[..] {
                [Value::Text(text)] => push_string(out, text),
                [Value::Structured { skeleton, fills, .. }] => {
                    out.extend_from_slice(filled(name, skeleton, fills).as_bytes());
                }
                several => push_list(out, name, several),
            }
        }
    }

    fn write_calls(&self, facts: &Facts, out: &mut Vec<u8>, body: usize) {
        let is_whole = facts.shape == Shape::Whole;
        let mut calls = 0;
        for call in self.calls.iter().filter(|call| call.block != LEGACY_BLOCK) {
            if calls == 0 {
                push_key(out, "tool_calls", out.len() == body);
            }
            out.push(if calls == 0 { b'[' } else { b',' });
            call.write(is_whole, facts.is_custom(self.index, call.block), out);
            calls += 1;
        }
        if calls > 0 {
            out.push(b']');
        }
        if let Some(call) = self.calls.iter().find(|call| call.block == LEGACY_BLOCK) {
            push_key(out, "function_call", out.len() == body);
            call.write_function("arguments", out);
        }
    }
}

/// A skeleton with its texts; a blank whose text was taken away stays blank.
fn filled(key: &str, skeleton: &str, fills: &[((Kind, u16), String)]) -> String {
    let Some(raw) = Raw::parse(skeleton) else { return "null".to_owned() };
    let slots = slots::find(key, raw, true);
    let mut used = vec![false; fills.len()];
    slots::replace(raw, &slots, |number, out| {
        let slot = slots.get(number).map(|slot| (slot.kind, slot.part));
        let Some(at) = (0..fills.len()).find(|at| !used[*at] && Some(fills[*at].0) == slot) else {
            out.push_str("null");
            return;
        };
        used[at] = true;
        let mut text = Vec::new();
        push_string(&mut text, &fills[at].1);
        out.push_str(&String::from_utf8_lossy(&text));
    })
}

/// Several values of one member as one list: lists are joined, a text becomes a part.
fn push_list(out: &mut Vec<u8>, key: &str, values: &[&Value<'_>]) {
    out.push(b'[');
    let start = out.len();
    for value in values {
        let before = out.len();
        if before > start {
            out.push(b',');
        }
        let after_comma = out.len();
        match value {
            Value::Text(text) => {
                out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
                push_string(out, text);
                out.push(b'}');
            }
            Value::Structured { skeleton, fills, .. } => {
                let whole = filled(key, skeleton, fills);
                let inner = whole.trim();
                let list = inner.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
                out.extend_from_slice(list.unwrap_or(inner).trim().as_bytes());
            }
            Value::Detail { part, text } => push_detail(out, *part, text),
        }
        if out.len() == after_comma {
            // An empty list adds nothing.
            out.truncate(before);
        }
    }
    out.push(b']');
}

fn push_detail(out: &mut Vec<u8>, part: u16, text: &str) {
    let number = part.saturating_sub(DETAILS_PART);
    let (kind, key) =
        if number.is_multiple_of(2) { ("text", "text") } else { ("summary", "summary") };
    out.extend_from_slice(
        format!("{{\"type\":\"reasoning.{kind}\",\"index\":{},\"{key}\":", number / 2).as_bytes(),
    );
    push_string(out, text);
    out.push(b'}');
}
