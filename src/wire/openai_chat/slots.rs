//! Text inside structured members: `content` as an array of parts, `reasoning_details`.
//!
//! Such a member becomes one [`Event::Extra`](crate::wire::event::Event::Extra) whose texts are
//! blanked to `null`, its *skeleton*, and one text event for each of them in the order in which
//! they stand. So its text is judged like any other, and everything around it survives. The
//! encoder fills the blanks of a skeleton from the text events that follow it.

use super::members::{elements, members_loosely, some};
use crate::wire::event::Kind;
use crate::wire::json::{Raw, offset_of};

/// How deep texts are looked for inside a member.
const DEPTH_MAX: u8 = 5;

/// A place for text inside a structured member.
pub(super) struct Slot<'a> {
    /// The string, or the blank.
    pub value: Raw<'a>,
    /// What its text is.
    pub kind: Kind,
    /// The part of the channel: 0, or for `reasoning_details` told apart by entry and member.
    pub part: u16,
}

/// The part of `reasoning_details` entry 0's `text`; entries and their summaries count on.
pub(super) const DETAILS_PART: u16 = 2;

/// Finds the strings (`blank`: the nulls) that stand where text belongs, in their order.
pub(super) fn find<'a>(key: &str, value: Raw<'a>, blank: bool) -> Vec<Slot<'a>> {
    let mut slots = Vec::new();
    let details = key == "reasoning_details";
    let kind = match key {
        "refusal" => Kind::Refusal,
        "content" => Kind::Answer,
        _ => Kind::Reasoning,
    };
    walk(value, &Looking { kind, part: 0, details, blank, depth: 0 }, &mut slots);
    slots
}

struct Looking {
    kind: Kind,
    part: u16,
    details: bool,
    blank: bool,
    depth: u8,
}

fn walk<'a>(value: Raw<'a>, looking: &Looking, slots: &mut Vec<Slot<'a>>) {
    if looking.depth > DEPTH_MAX {
        return;
    }
    if let Ok(entries) = elements(value) {
        for (position, entry) in entries.into_iter().enumerate() {
            let part = if looking.details { details_part(entry, position) } else { 0 };
            walk(entry, &Looking { part, depth: looking.depth + 1, ..*looking }, slots);
        }
        return;
    }
    let Ok(entry) = members_loosely(value) else { return };
    for (name, inner) in entry {
        let (kind, part) = match &*name {
            "text" | "content" => (looking.kind, looking.part),
            "summary" => (looking.kind, looking.part + u16::from(looking.details)),
            "thinking" => (Kind::Reasoning, looking.part),
            "refusal" => (Kind::Refusal, looking.part),
            _ => continue,
        };
        let is_slot = if looking.blank {
            inner.get() == "null"
        } else {
            inner.is_string() && inner.get().len() > 2
        };
        if is_slot {
            slots.push(Slot { value: inner, kind, part });
        } else {
            walk(inner, &Looking { kind, part, depth: looking.depth + 1, ..*looking }, slots);
        }
    }
}

/// Entries of one `index` are one run of text over the frames of a stream.
fn details_part(entry: Raw<'_>, position: usize) -> u16 {
    let named = members_loosely(entry).ok().and_then(|entry| {
        let index = entry.iter().find(|(name, _)| name == "index").map(|(_, value)| *value);
        some(index).and_then(|index| index.get().parse::<u16>().ok())
    });
    let index = named.unwrap_or(u16::try_from(position).unwrap_or(u16::MAX)).min(0x3FFF);
    DETAILS_PART + 2 * index
}

/// The member without its texts.
pub(super) fn skeleton(value: Raw<'_>, slots: &[Slot<'_>]) -> String {
    replace(value, slots, |_, out| out.push_str("null"))
}

/// `value` with each slot replaced by what `write` says for it.
pub(super) fn replace(
    value: Raw<'_>,
    slots: &[Slot<'_>],
    mut write: impl FnMut(usize, &mut String),
) -> String {
    let whole = value.get();
    let mut out = String::with_capacity(whole.len());
    let mut from = 0;
    for (number, slot) in slots.iter().enumerate() {
        let Some(at) = offset_of(whole.as_bytes(), slot.value.get()) else { continue };
        out.push_str(whole.get(from..at).unwrap_or(""));
        write(number, &mut out);
        from = at + slot.value.get().len();
    }
    out.push_str(whole.get(from..).unwrap_or(""));
    out
}
