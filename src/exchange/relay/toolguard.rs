//! Calls to killed tools are taken out of an answer.
//!
//! What always holds: of a call that is killed no event leaves, nor a second copy of it; other
//! blocks keep their order and are numbered without gaps; an answer of which no call is left for
//! the caller to run ends as an ordinary turn; one of which nothing is left says so. A hosted call
//! that a killed hosted call makes goes with it.
//!
//! Decisions need whole names: the frames of a call whose name may go on are held by the caller.
//! What it cannot see: a name inside a frame that the dialect's decoder does not understand is
//! found only where it stands as a whole JSON string, and such a frame goes as a whole; results of
//! hosted tools are taken out only where they name the call's id.

use super::calls::{Call, Calls, Fate, Stage, Told, What, mentions};
use crate::table::lever::KilledTools;
use crate::wire::event::{Block, Channel, Event, Kind, Place, StopReason};
use crate::wire::json;
use crate::wire::openai_responses::edit::{Edited, Moves, edit};
use crate::wire::{Dialect, anthropic, bedrock, openai_responses};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The block of Chat's legacy `function_call`, which has no number.
const UNNUMBERED: u16 = u16::MAX;

/// The most blocks whose new numbers are remembered.
const NUMBERS_MAX: usize = 1 << 17;

/// The lever that kills a call of these names; a hosted tool's kind counts with and without
/// `_call`.
fn lever_of<'k>(
    killed: &'k KilledTools,
    name: &str,
    aliases: impl IntoIterator<Item = impl AsRef<str>>,
) -> Option<&'k str> {
    killed
        .lever(name)
        .or_else(|| killed.lever(name.strip_suffix("_call")?))
        .or_else(|| aliases.into_iter().find_map(|alias| killed.lever(alias.as_ref())))
}

/// What one choice has said so far.
#[derive(Clone, Debug, Default)]
struct Said {
    choice: u16,
    has_text: bool,
    has_call: bool,
    has_call_for_caller: bool,
    killed: Option<Box<str>>,
    next_block: u16,
}

/// A text of ours that a Responses stream has to be told apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub block: u16,
    pub text: String,
}

/// The events of a frame, without killed calls.
#[derive(Debug)]
pub(super) struct Filtered {
    pub events: Vec<Event<'static>>,
    /// The lever of a killed call that something was taken out for.
    pub lever: Option<Box<str>>,
    /// Whether a part of that call has left before.
    pub extent: Extent,
    pub note: Option<Note>,
}

/// How much of what is killed is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of every call.
    Whole,
    /// Of a call, only what came now: before, it was not known to be killed.
    Rest,
}

/// How the events will be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// In the dialect that they came in.
    Native,
    /// In another.
    Foreign,
}

/// The guard of one answer.
#[derive(Debug)]
pub(super) struct Guard {
    source: Dialect,
    pub tools: KilledTools,
    pub calls: Calls,
    said: Vec<Said>,
    /// Blocks, by choice and number, of which nothing has left because it was killed.
    gone: BTreeSet<(u16, u16)>,
    /// The number under which each block leaves.
    numbers: BTreeMap<(u16, u16), u16>,
}

impl Guard {
    pub(super) fn new(source: Dialect, tools: KilledTools, calls: Calls) -> Guard {
        Guard {
            source,
            tools,
            calls,
            said: Vec::new(),
            gone: BTreeSet::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// Another provider goes on.
    pub(super) fn go_on(&mut self, source: Dialect) {
        self.source = source;
        self.calls.go_on(source);
    }

    /// Other tools are killed from now on: what has not left is decided anew, and of a call that
    /// has left in part nothing more leaves.
    pub(super) fn replace(&mut self, tools: KilledTools) {
        self.tools = tools;
        for call in &mut self.calls.list {
            if !call.has_left {
                call.fate = Fate::Undecided;
            } else if call.stage != Stage::Closed
                && let Some(lever) = lever_of(&self.tools, &call.name, &call.aliases)
            {
                call.fate = Fate::Killed(lever.into());
            }
        }
    }

    /// The lever of a killed call that has left in part and is not whole.
    pub(super) fn under_way(&self) -> Option<&str> {
        let left = |call: &&Call| call.has_left && call.stage != Stage::Closed;
        self.calls
            .list
            .iter()
            .filter(left)
            .find_map(|call| lever_of(&self.tools, &call.name, &call.aliases))
    }

    fn decide(&mut self) {
        for call in &mut self.calls.list {
            if call.fate == Fate::Undecided && call.stage != Stage::Naming {
                call.fate = match lever_of(&self.tools, &call.name, &call.aliases) {
                    Some(lever) => Fate::Killed(lever.into()),
                    None => Fate::Passes,
                };
            }
        }
    }

    /// What keeps in what stands on a block, of the first `known` calls.
    fn lever(&self, choice: u16, block: u16, known: usize) -> Option<&str> {
        let at = self.calls.place_of(choice, block, known)?;
        match &self.calls.list.get(at)?.fate {
            Fate::Killed(lever) => Some(lever),
            Fate::Undecided | Fate::Passes => None,
        }
    }

    /// The number of a block when those that are gone before it do not count. A block on which
    /// something leaves after all when its number is taken comes last.
    fn moved(&self, choice: u16, block: u16) -> u16 {
        if block == UNNUMBERED || self.gone.is_empty() {
            return self.numbers.get(&(choice, block)).copied().unwrap_or(block);
        }
        if let Some(number) = self.numbers.get(&(choice, block)) {
            return *number;
        }
        let gone = self.gone.range((choice, 0)..(choice, block)).count();
        let number = block.saturating_sub(u16::try_from(gone).unwrap_or(u16::MAX));
        let mut taken = self.numbers.range((choice, 0)..=(choice, u16::MAX)).map(|(_, to)| *to);
        if taken.clone().any(|taken| taken == number) {
            return taken.by_ref().max().unwrap_or(0).saturating_add(1);
        }
        number
    }

    /// The number of a block of which something leaves.
    fn number(&mut self, choice: u16, block: u16) -> u16 {
        let number = self.moved(choice, block);
        if block != UNNUMBERED && self.numbers.len() < NUMBERS_MAX {
            self.gone.remove(&(choice, block));
            self.numbers.entry((choice, block)).or_insert(number);
        }
        number
    }

    fn said(&mut self, choice: u16) -> &mut Said {
        let at = self.said.iter().position(|said| said.choice == choice);
        let at = at.unwrap_or_else(|| {
            self.said.push(Said { choice, ..Said::default() });
            self.said.len() - 1
        });
        &mut self.said[at]
    }

    /// Takes killed calls out of the events of one frame, or of a whole body.
    pub(super) fn filter(&mut self, told: Vec<Told>, encoding: Encoding) -> Filtered {
        self.decide();
        let skeleton = told.iter().find_map(|told| match &told.event {
            Event::Extra { place, key, json } if self.is_skeleton(*place) => {
                Some(Skeleton { name: key.clone(), json: json.clone(), known: told.known })
            }
            _ => None,
        });
        let edited = skeleton.as_ref().map(|skeleton| self.edit(skeleton, None));
        let places = edited.and_then(|edited| match edited {
            Edited::Gone => None,
            Edited::Skeleton { places, .. } => places,
        });
        let mut done =
            Filtered { events: Vec::new(), lever: None, extent: Extent::Whole, note: None };
        // The block of the event before.
        let mut last = None;
        // Whether the second copies behind a kept member go with it (Gemini).
        let mut riding = None;
        for Told { mut event, known } in told {
            // Another dialect would take these arguments for a call without a name.
            let is_foreign = encoding == Encoding::Foreign && self.is_hosted_text(&event, known);
            let is_member = matches!(event, Event::Extra { .. });
            let stays = match &mut event {
                Event::Repeat { .. } if riding.is_some() => riding == Some(true),
                Event::Open { channel, .. }
                | Event::Text { channel, .. }
                | Event::Repeat { channel, .. }
                | Event::Signature { channel, .. }
                | Event::Close { channel } => {
                    last = Some((channel.choice, channel.block));
                    self.place(channel, known, places.as_deref(), &mut done)
                }
                Event::Extra { place, json, key } => {
                    let is_skeleton = self.is_skeleton(*place);
                    let lever = self.lever_at(*place, key, last, known).map(Box::from);
                    self.move_place(place, last);
                    let stays = lever.is_none() && (is_skeleton || !self.tells(key, json));
                    done.lever = done.lever.take().or(lever);
                    stays
                }
                Event::Opaque { name, data, .. } => {
                    self.opaque((name, data), last, known, &mut done)
                }
                Event::Stop { choice, reason, native } => {
                    last = Some((*choice, 0));
                    let said = self.said(*choice).clone();
                    if said.killed.is_some()
                        && !said.has_call_for_caller
                        && *reason == StopReason::ToolUse
                    {
                        *reason = StopReason::EndTurn;
                        match self.source {
                            Dialect::OpenaiChat => *native = Cow::Borrowed("stop"),
                            Dialect::Anthropic | Dialect::Bedrock => {
                                *native = Cow::Borrowed("end_turn");
                            }
                            // These say the same of a turn with calls.
                            Dialect::OpenaiResponses | Dialect::Gemini => {}
                        }
                    }
                    if let Some(lever) = &said.killed
                        && !said.has_text
                        && !said.has_call
                    {
                        let text = format!("A tool call was stopped by firedoor (ref {lever}).");
                        let note = Note { block: said.next_block, text };
                        self.said(*choice).has_text = true;
                        if self.source == Dialect::OpenaiResponses && encoding == Encoding::Native {
                            done.note = Some(note);
                        } else {
                            tell(&mut done.events, *choice, note);
                        }
                    }
                    true
                }
                Event::Start { .. }
                | Event::Usage { .. }
                | Event::Error { .. }
                | Event::Ping
                | Event::End => true,
            };
            riding = match (is_member, riding) {
                (true, _) if self.source == Dialect::Gemini => Some(stays),
                (false, Some(riding)) if matches!(event, Event::Repeat { .. }) => Some(riding),
                _ => None,
            };
            if stays && !is_foreign {
                self.learn(&event);
                done.events.push(event);
            }
        }
        if let Some(skeleton) = &skeleton {
            self.rewrite(skeleton, &mut done);
        }
        if done.lever.is_some() && done.events.iter().all(is_bare_member) {
            // Nothing of its own is left of the frame.
            done.events.clear();
        }
        done
    }

    fn is_hosted_text(&self, event: &Event<'_>, known: usize) -> bool {
        let Event::Text { channel, .. } = event else { return false };
        let call = self.calls.place_of(channel.choice, channel.block, known);
        channel.kind == Kind::ToolArguments
            && call
                .and_then(|call| self.calls.list.get(call))
                .is_some_and(|call| call.what == What::Hosted)
    }

    /// Whether what is on `channel` stays; moves it.
    fn place(
        &mut self,
        channel: &mut Channel,
        known: usize,
        places: Option<&[Option<u16>]>,
        done: &mut Filtered,
    ) -> bool {
        let (choice, block) = (channel.choice, channel.block);
        let at = self.calls.place_of(choice, block, known);
        // Of a response object the items have been asked one by one: its places are no blocks.
        let stays = places.and_then(|places| places.get(usize::from(block))?.as_ref());
        if let Some(call) = at.and_then(|at| self.calls.list.get_mut(at)) {
            if let Fate::Killed(lever) = &call.fate
                && stays.is_none()
            {
                let lever = lever.clone();
                if call.has_left {
                    done.extent = Extent::Rest;
                }
                self.said(choice).killed.get_or_insert(lever.clone());
                done.lever.get_or_insert(lever);
                if block != UNNUMBERED && !self.numbers.contains_key(&(choice, block)) {
                    self.gone.insert((choice, block));
                }
                return false;
            }
            call.has_left = true;
            let (is_call, is_for_caller) = (call.what != What::Other, call.is_for_caller);
            let said = self.said(choice);
            said.has_call |= is_call;
            said.has_call_for_caller |= is_for_caller;
        }
        if let Some(place) = places.and_then(|places| places.get(usize::from(block))) {
            match place {
                Some(place) => channel.block = *place,
                None => return false,
            }
            return true;
        }
        channel.block = self.number(choice, block);
        true
    }

    /// What stays is part of what was said.
    fn learn(&mut self, event: &Event<'_>) {
        match event {
            Event::Open { channel, .. } | Event::Text { channel, .. } => {
                let is_text = matches!(event, Event::Text { text, .. } if !text.is_empty())
                    && matches!(channel.kind, Kind::Answer | Kind::Refusal);
                let said = self.said(channel.choice);
                said.has_text |= is_text;
                if channel.block != UNNUMBERED {
                    said.next_block = said.next_block.max(channel.block.saturating_add(1));
                }
            }
            Event::Start { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Stop { .. }
            | Event::Usage { .. }
            | Event::Error { .. }
            | Event::Ping
            | Event::Extra { .. }
            | Event::Opaque { .. }
            | Event::End => {}
        }
    }

    fn is_skeleton(&self, place: Place) -> bool {
        self.source == Dialect::OpenaiResponses && place == Place::Message
    }

    /// The block that a member stands in, if it stands in one.
    fn block_of(&self, place: Place) -> Option<u16> {
        match place {
            Place::Block(block) => Some(block),
            Place::Delta(block) if self.source == Dialect::Anthropic => Some(block),
            Place::Frame | Place::Message | Place::Choice(_) | Place::Delta(_) => None,
        }
    }

    /// The lever of the killed call that a member stands in. Its place does not name the choice:
    /// that is the one of the event before, or where none tells, any.
    fn lever_at(
        &self,
        place: Place,
        key: &str,
        last: Option<(u16, u16)>,
        known: usize,
    ) -> Option<&str> {
        let block = self.block_of(place)?;
        let may_come_first = match self.source {
            Dialect::OpenaiChat => true,
            Dialect::Gemini => key.starts_with("functionCall."),
            Dialect::OpenaiResponses | Dialect::Anthropic | Dialect::Bedrock => false,
        };
        if let Some((choice, _)) = last.filter(|(_, at)| *at == block && !may_come_first) {
            return self.lever(choice, block, known);
        }
        let mut choices: Vec<u16> = Vec::new();
        for call in self.calls.list.get(..known)?.iter().filter(|call| call.block == block) {
            if !choices.contains(&call.choice) {
                choices.push(call.choice);
            }
        }
        choices.into_iter().find_map(|choice| self.lever(choice, block, known))
    }

    fn move_place(&self, place: &mut Place, last: Option<(u16, u16)>) {
        let Some(block) = self.block_of(*place) else { return };
        let moved = self.moved(last.map_or(0, |(choice, _)| choice), block);
        match place {
            Place::Block(block) | Place::Delta(block) => *block = moved,
            Place::Frame | Place::Message | Place::Choice(_) => {}
        }
    }

    /// Whether a member that is kept verbatim holds a copy of a killed call.
    fn tells(&self, key: &str, json: &str) -> bool {
        key != "citation"
            && self.calls.list.iter().any(|call| {
                matches!(call.fate, Fate::Killed(_))
                    && ((!call.id.is_empty() && mentions(json.as_bytes(), &call.id))
                        || (!call.name.is_empty() && mentions(json.as_bytes(), &call.name)))
            })
    }

    /// Whether a frame or block that is not understood stays.
    fn opaque(
        &mut self,
        (name, data): (&str, &mut Cow<'static, [u8]>),
        last: Option<(u16, u16)>,
        known: usize,
        done: &mut Filtered,
    ) -> bool {
        if let Some(Event::Open { block: Block::Other(kind), .. }) = done.events.last()
            && kind == name
        {
            return true;
        }
        if let Some((choice, block)) = last
            && let Some(lever) = self.lever(choice, block, known)
        {
            // The content of a block that goes.
            done.lever.get_or_insert(lever.into());
            return false;
        }
        // A frame of a block, with something in it that is not understood.
        let placed = match self.source {
            Dialect::Anthropic => anthropic::block_of(data),
            Dialect::Bedrock => bedrock::block_of(data),
            Dialect::OpenaiResponses => openai_responses::block_of(data),
            Dialect::OpenaiChat | Dialect::Gemini => None,
        };
        if let Some((block, digits)) = placed {
            if let Some(lever) = self.lever(0, block, known) {
                done.lever.get_or_insert(lever.into());
                return false;
            }
            let moved = self.number(0, block);
            if moved != block {
                data.to_mut().splice(digits, moved.to_string().into_bytes());
            }
        }
        let lever: Option<Box<str>> =
            strings(data).find_map(|text| self.tools.lever(&text).map(Box::from));
        let tells = self.tells("", &String::from_utf8_lossy(data));
        if let Some(lever) = lever {
            self.said(0).killed.get_or_insert(lever.clone());
            done.lever.get_or_insert(lever);
            return false;
        }
        !tells
    }

    /// What becomes of the skeleton of a Responses frame.
    fn edit(&self, skeleton: &Skeleton, said: Option<&str>) -> Edited {
        let block = |block| match self.lever(0, block, skeleton.known) {
            Some(_) => None,
            None => Some(self.moved(0, block)),
        };
        // How often each id stood in the response object so far.
        let stood = RefCell::new(Vec::<(String, usize)>::new());
        let goes = |block: &Block<'_>, alias: &str, item: &str, place: Option<u16>| match block {
            // Of a frame of its own, the block decides.
            Block::Tool { .. } if place.is_none() => false,
            Block::Tool { id, .. } => {
                let mut stood = stood.borrow_mut();
                let at = stood.iter().position(|(known, _)| *known == **id).unwrap_or_else(|| {
                    stood.push((id.to_string(), 0));
                    stood.len() - 1
                });
                let nth = stood.get_mut(at).map_or(0, |(_, count)| {
                    *count += 1;
                    *count - 1
                });
                self.call_goes(id, nth, place, skeleton.known)
            }
            Block::Other(_) | Block::Text | Block::Reasoning | Block::Refusal => {
                self.item_goes(block, alias, item)
            }
        };
        edit(&skeleton.name, &skeleton.json, &Moves { block: &block, goes: &goes, said })
    }

    fn item_goes(&self, block: &Block<'_>, alias: &str, item: &str) -> bool {
        let killed = |call: &Call| matches!(call.fate, Fate::Killed(_));
        match block {
            Block::Other(kind) => {
                let is_call = kind.ends_with("_call") || kind == "mcp_approval_request";
                (is_call && lever_of(&self.tools, kind, [alias]).is_some())
                    || self.calls.list.iter().any(|call| {
                        killed(call) && !call.id.is_empty() && mentions(item.as_bytes(), &call.id)
                    })
            }
            Block::Tool { .. } | Block::Text | Block::Reasoning | Block::Refusal => false,
        }
    }

    /// Whether the copy of a call in a response object goes: the `nth` of this id there, at
    /// `place`. An id that stands twice names its calls in their order.
    fn call_goes(&self, id: &str, nth: usize, place: Option<u16>, known: usize) -> bool {
        let killed = |call: &Call| matches!(call.fate, Fate::Killed(_));
        let calls = self.calls.list.iter().filter(|call| call.id == id);
        let calls: Vec<bool> = calls.filter(|call| call.what != What::Other).map(killed).collect();
        match (calls.contains(&true), calls.contains(&false)) {
            (true, true) => calls.get(nth).copied().unwrap_or(true),
            (is_killed, passes) if is_killed || passes => is_killed,
            _ => place.is_some_and(|place| self.lever(0, place, known).is_some()),
        }
    }

    /// Puts the edited skeleton into the events; takes all of them where its frame goes.
    fn rewrite(&self, skeleton: &Skeleton, done: &mut Filtered) {
        let said = done.note.as_ref().map(|note| &*note.text);
        match self.edit(skeleton, said) {
            Edited::Gone => {
                let first = |call: &Call| match &call.fate {
                    Fate::Killed(lever) => Some(lever.clone()),
                    Fate::Undecided | Fate::Passes => None,
                };
                done.lever = done.lever.take().or(self.calls.list.iter().find_map(first));
                done.events.clear();
            }
            Edited::Skeleton { json: edited, .. } => {
                for event in &mut done.events {
                    if let Event::Extra { place, json, .. } = event
                        && self.is_skeleton(*place)
                    {
                        *json = Cow::Owned(edited);
                        break;
                    }
                }
            }
        }
    }
}

/// The skeleton of a Responses frame.
struct Skeleton {
    name: Cow<'static, str>,
    json: Cow<'static, str>,
    /// How many calls were known when it came.
    known: usize,
}

fn tell(events: &mut Vec<Event<'static>>, choice: u16, note: Note) {
    let channel = Channel { choice, block: note.block, part: 0, kind: Kind::Answer };
    events.push(Event::Open { channel, block: Block::Text });
    events.push(Event::Text { channel, text: Cow::Owned(note.text), span: None });
    events.push(Event::Close { channel });
}

/// Whether an event says nothing without the others of its frame.
fn is_bare_member(event: &Event<'_>) -> bool {
    matches!(event, Event::Extra { place, .. } if *place != Place::Message)
}

/// The JSON strings in bytes that need not be JSON.
fn strings(data: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    let mut rest = std::str::from_utf8(data).unwrap_or("");
    std::iter::from_fn(move || {
        let start = rest.find('"')? + 1;
        let text = rest.get(start..)?;
        let mut end = 0;
        while let Some(at) = text.get(end..).and_then(|text| text.find(['"', '\\'])) {
            end += at;
            if text.as_bytes().get(end) == Some(&b'"') {
                break;
            }
            end += 2;
        }
        let inner = text.get(..end).unwrap_or(text);
        rest = text.get(end + 1..).unwrap_or("");
        Some(json::unescape(inner))
    })
}
