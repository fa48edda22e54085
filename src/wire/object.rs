//! Writes JSON objects and arrays, member by member, and puts unknown members back into them.
//!
//! Decoders say what they do not know as [`Event::Extra`] right behind the event of its object; an
//! encoder finds those of one frame in a [`Run`] and puts them where they stood.

use super::event::{Event, Place};
use super::json::push_string;
use smallvec::SmallVec;

/// Unknown members: names and verbatim values.
pub(crate) type Extras<'e> = SmallVec<[(&'e str, &'e str); 4]>;

/// The events of one frame.
#[derive(Clone, Copy)]
pub(crate) struct Run<'e, 'a>(pub(crate) &'e [Event<'a>]);

impl<'e> Run<'e, '_> {
    /// The unknown members at `place`.
    pub(crate) fn extras(self, place: Place) -> Extras<'e> {
        let extra = |event: &'e Event<'_>| match event {
            Event::Extra { place: at, key, json } if *at == place => Some((&**key, &**json)),
            _ => None,
        };
        self.0.iter().filter_map(extra).collect()
    }
}

/// Writes one JSON object.
pub(crate) struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'o> Object<'o> {
    pub(crate) fn open(out: &'o mut Vec<u8>) -> Object<'o> {
        out.push(b'{');
        Object { out, is_first: true }
    }

    /// An object whose first member is its type.
    pub(crate) fn typed(out: &'o mut Vec<u8>, kind: &str) -> Object<'o> {
        let mut object = Object::open(out);
        object.string("type", kind);
        object
    }

    /// Begins a member; its value is what is appended next.
    pub(crate) fn key(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        push_string(self.out, name);
        self.out.push(b':');
        self.out
    }

    pub(crate) fn string(&mut self, name: &str, text: &str) {
        push_string(self.key(name), text);
    }

    pub(crate) fn raw(&mut self, name: &str, json: &str) {
        self.key(name).extend_from_slice(json.as_bytes());
    }

    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.raw(name, &value.to_string());
    }

    /// A string, where there is one.
    pub(crate) fn optional_string(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.string(name, text);
        }
    }

    /// A number or a truth value, where there is one.
    pub(crate) fn optional(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.raw(name, &value.to_string());
        }
    }

    /// A list of strings, where it has any.
    pub(crate) fn strings<'s>(&mut self, name: &str, texts: impl Iterator<Item = &'s String>) {
        let mut texts = texts.peekable();
        if texts.peek().is_none() {
            return;
        }
        let mut list = Array::open(self.key(name));
        for text in texts {
            push_string(list.next(), text);
        }
        list.close();
    }

    /// An object of strings, where it has any.
    pub(crate) fn labels(&mut self, name: &str, labels: &[(String, String)]) {
        if labels.is_empty() {
            return;
        }
        let mut object = Object::open(self.key(name));
        for (name, text) in labels {
            object.string(name, text);
        }
        object.close();
    }

    /// Unknown members; of those with one name the last.
    pub(crate) fn extras(&mut self, extras: &[(&str, &str)]) {
        for (at, (key, json)) in extras.iter().enumerate() {
            if !extras[at + 1..].iter().any(|(later, _)| later == key) {
                self.raw(key, json);
            }
        }
    }

    /// Members that are written unless an unknown one of the name stands in their place, then the
    /// unknown ones.
    pub(crate) fn with_extras(&mut self, defaults: &[(&str, &str)], extras: &[(&str, &str)]) {
        for (name, json) in defaults {
            if !extras.iter().any(|(key, _)| key == name) {
                self.raw(name, json);
            }
        }
        self.extras(extras);
    }

    pub(crate) fn close(self) {
        self.out.push(b'}');
    }
}

/// Writes one JSON array.
pub(crate) struct Array<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'o> Array<'o> {
    pub(crate) fn open(out: &'o mut Vec<u8>) -> Array<'o> {
        out.push(b'[');
        Array { out, is_first: true }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.is_first
    }

    /// Begins an element; its value is what is appended next.
    pub(crate) fn next(&mut self) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        self.out
    }

    pub(crate) fn close(self) {
        self.out.push(b']');
    }
}

/// `text` as a JSON string.
pub(crate) fn quote(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}
