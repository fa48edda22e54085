//! Events to frames.
//!
//! Here are the events that this dialect's own decoder gave; `foreign` has those of others.

use super::foreign::Foreign;
use super::grammar::{self, CALL, FEEDBACK, Inner};
pub(super) use super::object::Piece;
use super::object::{Candidate, Members, Objects, Part, Rank};
use crate::wire::event::{Block, Channel, Event, Kind, Place};
use crate::wire::loss::Losses;
use crate::wire::{Dialect, Tail, json, sse};

/// Events to frames.
#[derive(Debug)]
pub struct Encoder {
    /// The ids that every response repeats.
    ids: Ids,
    /// What is held of a stream of another dialect.
    foreign: Option<Foreign>,
}

/// What every response repeats.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    id: Box<str>,
    model: Box<str>,
    created: Option<u64>,
}

impl Ids {
    /// Takes over what a start says.
    pub(super) fn start(&mut self, id: &str, model: &str, created: Option<u64>) {
        *self = Ids { id: id.into(), model: model.into(), created };
    }

    /// Id and model.
    pub(super) fn both(&self) -> (&str, &str) {
        (&self.id, &self.model)
    }
}

impl Encoder {
    /// See [`super::super::Encoder::new`].
    pub fn new(source: Dialect) -> Encoder {
        let foreign = (source != Dialect::Gemini).then(|| Foreign::new(source));
        Encoder { ids: Ids::default(), foreign }
    }

    /// See [`super::super::Encoder::frame`].
    ///
    /// The end of a stream has no mark of its own in this dialect, so [`Event::End`] writes
    /// nothing; nor does a keep-alive of another dialect, since the official clients take every
    /// line for a response.
    pub fn frame(&mut self, events: &[Event<'_>], out: &mut Vec<u8>) {
        for piece in self.pieces(events, false) {
            match piece {
                Piece::Json(mut data) => {
                    // Between tokens only: strings hold their line ends escaped.
                    for byte in &mut data {
                        if matches!(byte, b'\n' | b'\r') {
                            *byte = b' ';
                        }
                    }
                    sse::push_frame(out, "", &data);
                }
                Piece::Raw { name, data } => push_raw(out, &name, &data),
            }
        }
    }

    /// See [`super::super::Encoder::losses`].
    pub fn losses(&self) -> Losses {
        self.foreign.as_ref().map_or_else(Losses::default, |foreign| foreign.retelling.losses())
    }

    /// See [`super::super::Encoder::turn_foreign`].
    pub fn turn_foreign(&mut self, source: Dialect, history: &[Event<'_>]) -> bool {
        if let Some(foreign) = &mut self.foreign {
            foreign.retelling.turn_to(source);
            return true;
        }
        let mut foreign = Foreign::new(source);
        for event in history {
            foreign.pieces(std::slice::from_ref(event), false, &mut self.ids.clone());
        }
        self.foreign = Some(foreign);
        true
    }

    /// See [`super::super::Encoder::tail`].
    pub fn tail(&self) -> Tail {
        let some = |word: &str| (!word.is_empty()).then(|| word.into());
        Tail {
            id: some(&self.ids.id),
            model: some(&self.ids.model),
            created: self.ids.created,
            sequence: 0,
        }
    }

    fn pieces(&mut self, events: &[Event<'_>], merged: bool) -> Vec<Piece> {
        match &mut self.foreign {
            Some(foreign) => foreign.pieces(events, merged, &mut self.ids),
            None => native(events, &mut self.ids),
        }
    }
}

/// The events of a whole answer.
pub(super) fn whole(source: Dialect, events: &[Event<'_>], losses: &mut Losses) -> Vec<Piece> {
    let mut encoder = Encoder::new(source);
    let pieces = encoder.pieces(events, true);
    losses.join(encoder.losses());
    pieces
}

/// Writes a frame that was not understood, line by line.
fn push_raw(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    if !name.is_empty() && !name.contains(['\n', '\r']) {
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

/// The events of this dialect.
fn native(events: &[Event<'_>], ids: &mut Ids) -> Vec<Piece> {
    let mut objects = Objects::new(false);
    let mut rest = events;
    while let Some((event, after)) = rest.split_first() {
        rest = after;
        match event {
            Event::Start { id, model, created } => {
                objects.at(Rank::Start, false, ids.both());
                ids.start(id, model, *created);
            }
            Event::Open { channel, block } => {
                let candidate = objects.candidate(channel.choice, Rank::Parts, ids.both());
                open(candidate, block);
            }
            Event::Text { channel, text, .. } if channel.part == 0 => {
                let candidate = objects.candidate(channel.choice, Rank::Parts, ids.both());
                write_text(candidate, *channel, text);
            }
            Event::Signature { channel, value } => {
                let candidate = objects.candidate(channel.choice, Rank::Parts, ids.both());
                if candidate.part.is_none() {
                    write_text(candidate, *channel, "");
                }
                if let Some(part) = &mut candidate.part {
                    part.members.string("thoughtSignature", value);
                }
            }
            Event::Close { channel } => {
                objects.candidate(channel.choice, Rank::Parts, ids.both()).close();
            }
            Event::Extra { place, key, json } => {
                let texts = take_texts(*place, key, json, &mut rest);
                let choice = texts.choice.or(objects.last_choice()).unwrap_or(0);
                if let Some(json) = texts.json {
                    extra(&mut objects, *place, choice, key, &json, ids);
                }
                if *place == Place::Frame
                    && key == FEEDBACK
                    && grammar::block_reason(json).is_some()
                    && let Some((Event::Stop { .. }, after)) = rest.split_first()
                {
                    // The feedback says it.
                    rest = after;
                }
            }
            Event::Stop { choice, native, .. } => {
                let candidate = objects.candidate(*choice, Rank::Stop, ids.both());
                candidate.members.string("finishReason", native);
            }
            Event::Usage { native, .. } => {
                let object = objects.at(Rank::Usage, true, ids.both());
                object.known = true;
                object.members.json("usageMetadata", native.as_bytes());
            }
            Event::Error { native, .. } => {
                let object = objects.at(Rank::Error, true, ids.both());
                object.members.json("error", native.as_bytes());
            }
            Event::Ping => objects.raw(Piece::Json(b"{}".to_vec()), ids.both()),
            Event::Opaque { name, data, .. } => {
                let piece = Piece::Raw { name: name.as_ref().into(), data: data.to_vec() };
                objects.raw(piece, ids.both());
            }
            // Second copies stand in the verbatim members, which have taken those that are theirs.
            Event::Text { .. } | Event::Repeat { .. } | Event::End => {}
        }
    }
    objects.finish(ids.both())
}

fn open(candidate: &mut Candidate, block: &Block<'_>) {
    match block {
        Block::Tool { id, name, .. } => {
            let mut call = Members::default();
            if !id.is_empty() {
                call.string("id", id);
            }
            if !name.is_empty() {
                call.string("name", name);
            }
            candidate.open(Part { call: Some(call), fresh: true, ..Part::default() });
        }
        Block::Other(_) => {
            candidate.open(Part::default());
        }
        Block::Text | Block::Reasoning | Block::Refusal => {}
    }
}

/// Text is a part of its own; arguments belong to the call that was opened for them.
fn write_text(candidate: &mut Candidate, channel: Channel, text: &str) {
    if channel.kind != Kind::ToolArguments {
        let part = candidate.open(Part::default());
        part.members.string("text", text);
        if channel.kind == Kind::Reasoning {
            part.members.json("thought", b"true");
        }
        return;
    }
    if !candidate.part.as_ref().is_some_and(|part| part.fresh) {
        candidate.open(Part { call: Some(Members::default()), ..Part::default() });
    }
    if let Some(part) = &mut candidate.part {
        part.fresh = false;
        // An edit can have broken the JSON; a call without arguments is then the lesser harm than
        // a response that no client can read.
        if let Some(call) = &mut part.call
            && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
        {
            call.json("args", text.as_bytes());
        }
    }
}

fn extra(objects: &mut Objects, place: Place, choice: u16, key: &str, json: &[u8], ids: &Ids) {
    match place {
        Place::Block(_) => {
            let candidate = objects.candidate(choice, Rank::Parts, ids.both());
            let part = candidate.part.get_or_insert_default();
            part.fresh = false;
            match key.strip_prefix(CALL) {
                Some(key) => part.call.get_or_insert_default().json(key, json),
                None => part.members.json(key, json),
            }
        }
        Place::Delta(choice) => {
            let candidate = objects.candidate(choice, Rank::Content, ids.both());
            candidate.has_role |= key == "role";
            candidate.content.json(key, json);
        }
        Place::Choice(choice) => {
            // A `finishReason` that is no stop stands where a stop would.
            let rank = if key == "finishReason" { Rank::Stop } else { Rank::Candidate };
            objects.candidate(choice, rank, ids.both()).members.json(key, json);
        }
        Place::Frame | Place::Message => {
            let object = objects.at(Rank::Frame, false, ids.both());
            object.has_id |= key == "responseId";
            object.has_model |= key == "modelVersion";
            object.known |= matches!(key, FEEDBACK | "responseId" | "modelVersion");
            object.members.json(key, json);
        }
    }
}

/// A verbatim value with the texts that followed it.
struct Texts {
    /// The value with those texts in place of its strings; `None` if they do not match in number.
    json: Option<Vec<u8>>,
    /// The candidate that the texts belong to.
    choice: Option<u16>,
}

/// Takes the texts of a verbatim value off the events that follow it, and puts them into it.
fn take_texts(place: Place, key: &str, json: &str, rest: &mut &[Event<'_>]) -> Texts {
    let mut choice = None;
    let mut whole = Vec::with_capacity(json.len());
    let mut from = 0;
    let mut matches = true;
    for Inner { text: old, start, .. } in grammar::inner(place, key, json) {
        let (
            Some((Event::Text { channel, text, .. } | Event::Repeat { channel, text, .. }, after)),
            true,
        ) = (rest.split_first(), matches)
        else {
            matches = false;
            continue;
        };
        if channel.part == 0 {
            matches = false;
            continue;
        }
        *rest = after;
        choice = Some(channel.choice);
        whole.extend_from_slice(json.get(from..start).unwrap_or("").as_bytes());
        if json::unescape(old) == *text {
            whole.extend_from_slice(old.as_bytes());
        } else {
            json::push_escaped(&mut whole, text);
        }
        from = start + old.len();
    }
    whole.extend_from_slice(json.get(from..).unwrap_or("").as_bytes());
    Texts { json: matches.then_some(whole), choice }
}
