//! One entry of `tool_calls`, gathered from events and written; and how members are written.

use crate::wire::event::ToolFlavour;
use crate::wire::json::push_string;

/// Members that are written as they came: name and raw JSON.
pub(super) type Pairs<'e> = Vec<(&'e str, &'e str)>;

/// The order within a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CallRank {
    Open,
    Id,
    Name,
    Arguments,
    Extras,
}

/// An entry in the making.
pub(super) struct Call<'e> {
    pub block: u16,
    pub rank: CallRank,
    pub open: Option<(&'e str, ToolFlavour)>,
    pub name: String,
    pub arguments: String,
    pub extras: Pairs<'e>,
}

impl<'e> Call<'e> {
    pub(super) fn new(block: u16, rank: CallRank) -> Call<'e> {
        Call {
            block,
            rank,
            open: None,
            name: String::new(),
            arguments: String::new(),
            extras: Vec::new(),
        }
    }

    pub(super) fn write(&self, is_whole: bool, is_custom: bool, out: &mut Vec<u8>) {
        let start = out.len();
        if !is_whole {
            push_key(out, "index", true);
            out.extend_from_slice(self.block.saturating_sub(1).to_string().as_bytes());
        }
        let has_id = self.extras.iter().any(|(key, _)| *key == "id");
        if let Some((id, _)) = self.open.filter(|_| !has_id) {
            push_key(out, "id", out.len() == start);
            push_string(out, id);
        }
        let (kind, text_key) =
            if is_custom { ("custom", "input") } else { ("function", "arguments") };
        if self.open.is_some() && !self.extras.iter().any(|(key, _)| *key == "type") {
            push_key(out, "type", out.len() == start);
            push_string(out, kind);
        }
        for (key, json) in self.extras.iter().filter(|(key, _)| *key != "function") {
            push_key(out, key, out.len() == start);
            out.extend_from_slice(json.as_bytes());
        }
        let has_more = self.extras.iter().any(|(key, _)| *key == "function");
        if self.open.is_some() || !self.name.is_empty() || !self.arguments.is_empty() || has_more {
            push_key(out, kind, out.len() == start);
            self.write_function(text_key, out);
        }
        if out.len() == start {
            out.push(b'{');
        }
        out.push(b'}');
    }

    pub(super) fn write_function(&self, text_key: &str, out: &mut Vec<u8>) {
        let start = out.len();
        if self.open.is_some() || !self.name.is_empty() {
            push_key(out, "name", true);
            push_string(out, &self.name);
        }
        if self.open.is_some() || !self.arguments.is_empty() {
            push_key(out, text_key, out.len() == start);
            push_string(out, &self.arguments);
        }
        if let Some((_, more)) = self.extras.iter().find(|(key, _)| *key == "function") {
            let inner = more.trim().strip_prefix('{').and_then(|more| more.strip_suffix('}'));
            if let Some(inner) = inner.filter(|inner| !inner.trim().is_empty()) {
                out.push(if out.len() == start { b'{' } else { b',' });
                out.extend_from_slice(inner.as_bytes());
            }
        }
        if out.len() == start {
            out.push(b'{');
        }
        out.push(b'}');
    }
}

/// Adds a member; one of that name is not put twice into an object: it is refused, or replaced.
pub(super) fn add<'e>(pairs: &mut Pairs<'e>, key: &'e str, json: &'e str, strict: bool) -> bool {
    match pairs.iter_mut().find(|(known, _)| *known == key) {
        Some(_) if strict => false,
        Some((_, value)) => {
            *value = json;
            true
        }
        None => {
            pairs.push((key, json));
            true
        }
    }
}

pub(super) fn push_key(out: &mut Vec<u8>, key: &str, is_first: bool) {
    out.push(if is_first { b'{' } else { b',' });
    push_string(out, key);
    out.push(b':');
}

pub(super) fn push_pairs(out: &mut Vec<u8>, pairs: &Pairs<'_>) {
    for (key, json) in pairs {
        push_key(out, key, false);
        out.extend_from_slice(json.as_bytes());
    }
}
