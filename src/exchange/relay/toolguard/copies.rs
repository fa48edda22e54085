//! Copies of killed calls: in members that are kept verbatim, in frames that are not understood, and
//! in the response object that ends a Responses stream.

use super::super::calls::{Call, Fate, What, mentions};
use super::{Filtered, Guard, lever_of};
use crate::wire::event::{Block, Event, Place};
use crate::wire::openai_responses::edit::{Edited, Moves, edit};
use crate::wire::{Dialect, anthropic, bedrock, json, openai_responses};
use std::borrow::Cow;
use std::cell::RefCell;

/// The skeleton of a Responses frame.
pub(super) struct Skeleton {
    pub(super) name: Cow<'static, str>,
    pub(super) json: Cow<'static, str>,
    /// How many calls were known when it came.
    pub(super) known: usize,
}

impl Guard {
    pub(super) fn is_skeleton(&self, place: Place) -> bool {
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
    pub(super) fn lever_at(
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

    pub(super) fn move_place(&self, place: &mut Place, last: Option<(u16, u16)>) {
        let Some(block) = self.block_of(*place) else { return };
        let moved = self.moved(last.map_or(0, |(choice, _)| choice), block);
        match place {
            Place::Block(block) | Place::Delta(block) => *block = moved,
            Place::Frame | Place::Message | Place::Choice(_) => {}
        }
    }

    /// Whether a member that is kept verbatim holds a copy of a killed call.
    pub(super) fn tells(&self, key: &str, json: &str) -> bool {
        key != "citation"
            && self.calls.list.iter().any(|call| {
                matches!(call.fate, Fate::Killed(_))
                    && ((!call.id.is_empty() && mentions(json.as_bytes(), &call.id))
                        || (!call.name.is_empty() && mentions(json.as_bytes(), &call.name)))
            })
    }

    /// Whether a frame or block that is not understood stays.
    pub(super) fn opaque(
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
    pub(super) fn edit(&self, skeleton: &Skeleton, said: Option<&str>) -> Edited {
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
    pub(super) fn rewrite(&self, skeleton: &Skeleton, done: &mut Filtered) {
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

/// Whether an event says nothing without the others of its frame.
pub(super) fn is_bare_member(event: &Event<'_>) -> bool {
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
