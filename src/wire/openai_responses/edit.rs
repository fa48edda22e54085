//! Output items taken out of an answer, and a text of our own put into it.
//!
//! What a frame says beside its texts stands in its skeleton, so an item that is taken out has to
//! leave the skeletons too: those of its own frames go whole, later ones say their new
//! `output_index`, and the final response object loses the item. Which items of a response object
//! go is asked item by item, not by place: a provider that leaves items out of its final copy
//! would shift the places.

use super::BODY;
use super::scan::{self, Frame};
use super::texts::{self, Shape, State};
use crate::wire::event::Block;
use crate::wire::json;

/// What becomes of blocks and items.
pub struct Moves<'m> {
    /// The new number of a block; `None` if it goes.
    pub block: &'m dyn Fn(u16) -> Option<u16>,
    /// Whether an item goes: what it is, its second name, its JSON, and its place in a response
    /// object. Of an item with a frame of its own, the block tells whether a call goes.
    pub goes: &'m Goes<'m>,
    /// The text of an item of ours that stands behind the others.
    pub said: Option<&'m str>,
}

/// See [`Moves::goes`].
pub type Goes<'m> = dyn Fn(&Block<'_>, &str, &str, Option<u16>) -> bool + 'm;

/// What became of a skeleton.
#[derive(Debug, PartialEq, Eq)]
pub enum Edited {
    /// Its frame goes.
    Gone,
    /// It is this now.
    Skeleton {
        /// Its JSON.
        json: String,
        /// Of a response object: the new number of each item by its old place.
        places: Option<Vec<Option<u16>>>,
    },
}

/// Edits the skeleton of a frame of type `name`, or of a whole body.
pub fn edit(name: &str, json: &str, moves: &Moves<'_>) -> Edited {
    let same = || Edited::Skeleton { json: json.to_owned(), places: None };
    let Some(frame) = Frame::parse(json) else { return same() };
    let shape = if name == BODY {
        Some(Shape::Response { object: frame.text(), state: State::Completed })
    } else {
        texts::shape(name, &frame)
    };
    if let Some(Shape::Response { object, state }) = shape {
        return response(json, object, state, moves);
    }
    if let Some(Shape::Item { item, .. }) = shape
        && goes(item, None, moves)
    {
        return Edited::Gone;
    }
    let Some(place) = frame.get("output_index") else { return same() };
    let Ok(block) = place.parse::<u16>() else { return same() };
    match (moves.block)(block) {
        None => Edited::Gone,
        Some(moved) => {
            Edited::Skeleton { json: put(json, place, &moved.to_string()), places: None }
        }
    }
}

fn goes(item: &str, place: Option<u16>, moves: &Moves<'_>) -> bool {
    let kind = texts::item_kind(item);
    let name = scan::string_member(item, "name").unwrap_or_default();
    (moves.goes)(&kind.block, &name, item, place)
}

fn response(json: &str, object: &str, state: State, moves: &Moves<'_>) -> Edited {
    let output = scan::member(object, "output").unwrap_or("[]");
    let (mut kept, mut places) = (Vec::new(), Vec::new());
    for (at, item) in scan::elements(output).enumerate() {
        let goes = goes(item, u16::try_from(at).ok(), moves);
        let place = u16::try_from(kept.len()).ok().filter(|_| !goes);
        places.push(place);
        if place.is_some() {
            kept.push(item);
        }
    }
    let ours = moves.said.filter(|_| state != State::Running).map(|text| item(text, true));
    let is_same = places.iter().all(Option::is_some) && ours.is_none();
    let json = if is_same || scan::member(object, "output").is_none() {
        json.to_owned()
    } else {
        kept.extend(ours.as_deref());
        put(json, output, &format!("[{}]", kept.join(",")))
    };
    Edited::Skeleton { json, places: Some(places) }
}

/// `json` with `value`, a part of it, replaced.
fn put(json: &str, value: &str, by: &str) -> String {
    let Some(at) = json::offset_of(json.as_bytes(), value) else { return json.to_owned() };
    let (before, rest) = (json.get(..at).unwrap_or(""), json.get(at + value.len()..));
    [before, by, rest.unwrap_or("")].concat()
}

/// The id of an item of ours.
const ITEM_ID: &str = "msg_firedoor";

fn part(text: &str) -> String {
    let mut out =
        b"{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":".to_vec();
    json::push_string(&mut out, text);
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

fn item(text: &str, is_done: bool) -> String {
    let (status, content) =
        if is_done { ("completed", part(text)) } else { ("in_progress", String::new()) };
    format!(
        "{{\"id\":\"{ITEM_ID}\",\"type\":\"message\",\"status\":\"{status}\",\
         \"role\":\"assistant\",\"content\":[{content}]}}"
    )
}

/// The frames of a message of ours at `output_index` `block`: type, and the members behind
/// `type` and `sequence_number`.
pub(super) fn message(block: u16, text: &str) -> [(&'static str, String); 6] {
    let at = format!("\"item_id\":\"{ITEM_ID}\",\"output_index\":{block},\"content_index\":0");
    let mut quoted = Vec::new();
    json::push_string(&mut quoted, text);
    let quoted = String::from_utf8_lossy(&quoted);
    [
        (
            "response.output_item.added",
            format!("\"output_index\":{block},\"item\":{}", item(text, false)),
        ),
        ("response.content_part.added", format!("{at},\"part\":{}", part(""))),
        ("response.output_text.delta", format!("{at},\"delta\":{quoted},\"logprobs\":[]")),
        ("response.output_text.done", format!("{at},\"text\":{quoted},\"logprobs\":[]")),
        ("response.content_part.done", format!("{at},\"part\":{}", part(text))),
        (
            "response.output_item.done",
            format!("\"output_index\":{block},\"item\":{}", item(text, true)),
        ),
    ]
}
