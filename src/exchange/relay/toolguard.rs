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

mod copies;

use self::copies::{Skeleton, is_bare_member};
use super::calls::{Call, Calls, Fate, Stage, Told, What};
use crate::table::lever::KilledTools;
use crate::wire::Dialect;
use crate::wire::event::{Block, Channel, Event, Kind, StopReason};
use crate::wire::openai_responses::edit::Edited;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The block of Chat's legacy `function_call`, which has no number.
const UNNUMBERED: u16 = u16::MAX;

/// The most blocks whose new numbers are remembered.
const NUMBERS_MAX: usize = 1 << 17;

/// The lever that kills a call of these names; a hosted tool's kind counts with and without
/// `_call`.
pub(super) fn lever_of<'k>(
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
}

fn tell(events: &mut Vec<Event<'static>>, choice: u16, note: Note) {
    let channel = Channel { choice, block: note.block, part: 0, kind: Kind::Answer };
    events.push(Event::Open { channel, block: Block::Text });
    events.push(Event::Text { channel, text: Cow::Owned(note.text), span: None });
    events.push(Event::Close { channel });
}
