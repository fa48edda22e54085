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

use super::calls::{Calls, Fate, Stage, mentions};
use crate::table::lever::KilledTools;
use crate::wire::Dialect;
use crate::wire::event::{Block, Channel, Event, Kind, Place, StopReason};
use crate::wire::json;
use crate::wire::openai_responses::edit::{Edited, Moves, edit};
use std::borrow::Cow;

/// The block of Chat's legacy `function_call`, which has no number.
const UNNUMBERED: u16 = u16::MAX;

/// The lever that kills a call of this name; a hosted tool's kind counts with and without
/// `_call`.
fn lever_of<'k>(killed: &'k KilledTools, name: &str, alias: &str) -> Option<&'k str> {
    killed
        .lever(name)
        .or_else(|| killed.lever(name.strip_suffix("_call")?))
        .or_else(|| if alias.is_empty() { None } else { killed.lever(alias) })
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
    pub note: Option<Note>,
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
}

impl Guard {
    pub(super) fn new(source: Dialect, tools: KilledTools, calls: Calls) -> Guard {
        Guard { source, tools, calls, said: Vec::new() }
    }

    /// Another provider goes on.
    pub(super) fn go_on(&mut self, source: Dialect) {
        self.source = source;
        self.calls.go_on(source);
    }

    /// Other tools are killed from now on: what has not left is decided anew.
    pub(super) fn replace(&mut self, tools: KilledTools) {
        self.tools = tools;
        for call in &mut self.calls.list {
            if !call.has_left {
                call.fate = Fate::Undecided;
            }
        }
    }

    /// The lever of a killed call that has left in part and is not whole.
    pub(super) fn under_way(&self) -> Option<&str> {
        let left = |call: &&super::calls::Call| call.has_left && call.stage != Stage::Closed;
        self.calls
            .list
            .iter()
            .filter(left)
            .find_map(|call| lever_of(&self.tools, &call.name, &call.alias))
    }

    fn decide(&mut self) {
        for call in &mut self.calls.list {
            if call.fate == Fate::Undecided && call.stage != Stage::Naming {
                call.fate = match lever_of(&self.tools, &call.name, &call.alias) {
                    Some(lever) => Fate::Killed(lever.into()),
                    None => Fate::Passes,
                };
            }
        }
    }

    fn lever(&self, choice: u16, block: u16) -> Option<&str> {
        match &self.calls.find(choice, block)?.fate {
            Fate::Killed(lever) => Some(lever),
            Fate::Undecided | Fate::Passes => None,
        }
    }

    /// The number of a block when the killed ones before it are gone.
    fn moved(&self, choice: u16, block: u16) -> u16 {
        if block == UNNUMBERED {
            return block;
        }
        let gone = self.calls.list.iter().filter(|call| {
            call.choice == choice && call.block < block && matches!(call.fate, Fate::Killed(_))
        });
        block.saturating_sub(u16::try_from(gone.count()).unwrap_or(u16::MAX))
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
    pub(super) fn filter(&mut self, events: Vec<Event<'static>>, encoding: Encoding) -> Filtered {
        self.decide();
        let places = self.skeleton(&events, None).and_then(|edited| match edited {
            Edited::Gone => None,
            Edited::Skeleton { places, .. } => places,
        });
        let mut done = Filtered { events: Vec::new(), lever: None, note: None };
        let mut last_choice = None;
        // Whether the second copies behind a kept member go with it (Gemini).
        let mut riding = None;
        let original = events.clone();
        for mut event in events {
            let is_member = matches!(event, Event::Extra { .. });
            let stays = match &mut event {
                Event::Repeat { .. } if riding.is_some() => riding == Some(true),
                Event::Open { channel, .. }
                | Event::Text { channel, .. }
                | Event::Repeat { channel, .. }
                | Event::Signature { channel, .. }
                | Event::Close { channel } => {
                    last_choice = Some(channel.choice);
                    self.place(channel, places.as_deref(), &mut done.lever)
                }
                Event::Extra { place, json, key } => {
                    let is_skeleton = self.is_skeleton(*place);
                    let lever = self.lever_at(*place, last_choice).map(Box::from);
                    self.move_place(place);
                    let stays = lever.is_none() && (is_skeleton || !self.tells(key, json));
                    done.lever = done.lever.take().or(lever);
                    stays
                }
                Event::Opaque { name, data, .. } => self.opaque(name, data, &mut done),
                Event::Stop { choice, reason, native } => {
                    last_choice = Some(*choice);
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
            // Another dialect would take these arguments for a call without a name.
            let is_foreign = encoding == Encoding::Foreign && self.is_hosted_text(&event);
            if stays && !is_foreign {
                self.learn(&event);
                done.events.push(event);
            }
        }
        self.rewrite(&original, &mut done);
        if done.lever.is_some() && done.events.iter().all(is_bare_member) {
            // Nothing of its own is left of the frame.
            done.events.clear();
        }
        done
    }

    fn is_hosted_text(&self, event: &Event<'_>) -> bool {
        match event {
            Event::Text { channel, .. } if channel.kind == Kind::ToolArguments => {
                self.calls.list.iter().any(|call| call.is_hosted && self.is_at(call, *channel))
            }
            Event::Text { .. }
            | Event::Start { .. }
            | Event::Open { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Stop { .. }
            | Event::Usage { .. }
            | Event::Error { .. }
            | Event::Ping
            | Event::Extra { .. }
            | Event::Opaque { .. }
            | Event::End => false,
        }
    }

    /// Whether `channel`, already moved, is that of `call`.
    fn is_at(&self, call: &super::calls::Call, channel: Channel) -> bool {
        call.choice == channel.choice && self.moved(call.choice, call.block) == channel.block
    }

    /// Whether what is on `channel` stays; moves it.
    fn place(
        &mut self,
        channel: &mut Channel,
        places: Option<&[Option<u16>]>,
        lever: &mut Option<Box<str>>,
    ) -> bool {
        let (choice, block) = (channel.choice, channel.block);
        if let Some(killing) = self.lever(choice, block) {
            let killing: Box<str> = killing.into();
            self.said(choice).killed.get_or_insert(killing.clone());
            lever.get_or_insert(killing);
            return false;
        }
        if let Some(call) = self.calls.find_mut(choice, block) {
            call.has_left = true;
            let is_for_caller = call.is_for_caller;
            let said = self.said(choice);
            said.has_call = true;
            said.has_call_for_caller |= is_for_caller;
        }
        if let Some(place) = places.and_then(|places| places.get(usize::from(block))) {
            match place {
                Some(place) => channel.block = *place,
                None => return false,
            }
            return true;
        }
        channel.block = self.moved(choice, block);
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
    /// that is the one of the event before.
    fn lever_at(&self, place: Place, choice: Option<u16>) -> Option<&str> {
        let block = self.block_of(place)?;
        let known = || self.calls.list.iter().find(|call| call.block == block);
        self.lever(choice.or_else(|| Some(known()?.choice))?, block)
    }

    fn move_place(&self, place: &mut Place) {
        let Some(block) = self.block_of(*place) else { return };
        let moved = self.moved(0, block);
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
    fn opaque(&mut self, name: &str, data: &[u8], done: &mut Filtered) -> bool {
        if let Some(Event::Open { block: Block::Other(kind), .. }) = done.events.last()
            && kind == name
        {
            return true;
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

    /// The edited skeleton of a Responses frame; `None` where there is none.
    fn skeleton(&self, events: &[Event<'_>], said: Option<&str>) -> Option<Edited> {
        let (name, json) = events.iter().find_map(|event| match event {
            Event::Extra { place, key, json } if self.is_skeleton(*place) => Some((key, json)),
            _ => None,
        })?;
        let block = |block| match self.lever(0, block) {
            Some(_) => None,
            None => Some(self.moved(0, block)),
        };
        let goes = |block: &Block<'_>, alias: &str, item: &str| self.item_goes(block, alias, item);
        Some(edit(name, json, &Moves { block: &block, goes: &goes, said }))
    }

    fn item_goes(&self, block: &Block<'_>, alias: &str, item: &str) -> bool {
        let killed = |fate: &Fate| matches!(fate, Fate::Killed(_));
        match block {
            Block::Tool { id, name, .. } => {
                let known = self.calls.list.iter().find(|call| !id.is_empty() && *call.id == **id);
                match known {
                    Some(call) => killed(&call.fate),
                    None => lever_of(&self.tools, name, alias).is_some(),
                }
            }
            Block::Other(kind) => {
                let is_call = kind.ends_with("_call") || kind == "mcp_approval_request";
                (is_call && lever_of(&self.tools, kind, alias).is_some())
                    || self.calls.list.iter().any(|call| {
                        killed(&call.fate)
                            && !call.id.is_empty()
                            && mentions(item.as_bytes(), &call.id)
                    })
            }
            Block::Text | Block::Reasoning | Block::Refusal => false,
        }
    }

    /// Puts the edited skeleton into the events; takes all of them where its frame goes.
    fn rewrite(&self, original: &[Event<'_>], done: &mut Filtered) {
        let said = done.note.as_ref().map(|note| &*note.text);
        match self.skeleton(original, said) {
            None => {}
            Some(Edited::Gone) => {
                let first = |call: &super::calls::Call| match &call.fate {
                    Fate::Killed(lever) => Some(lever.clone()),
                    Fate::Undecided | Fate::Passes => None,
                };
                done.lever = done.lever.take().or(self.calls.list.iter().find_map(first));
                done.events.clear();
            }
            Some(Edited::Skeleton { json: edited, .. }) => {
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
