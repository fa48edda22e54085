//! Events to frames.

use super::body::Object;
use super::chunk::{FACTS, Shape};
use super::foreign::Translator;
use crate::wire::event::{Event, ToolFlavour};
use crate::wire::json::{self, Raw};
use crate::wire::loss::Losses;
use crate::wire::{Dialect, Tail, sse};

/// The most choices and calls that are remembered.
const ENTRIES_MAX: usize = 1024;

/// What every frame of an answer repeats, and what was already said in it.
#[derive(Debug)]
pub(super) struct Facts {
    pub shape: Shape,
    /// Raw JSON in the order of [`FACTS`].
    pub values: [Option<String>; FACTS.len()],
    /// Choices whose role was written.
    roles: Vec<u16>,
    /// Calls whose arguments are free text: choice and block.
    custom: Vec<(u16, u16)>,
}

impl Facts {
    pub(super) fn new(shape: Shape) -> Facts {
        let empty = || Some("\"\"".to_owned());
        let object = Some(shape.object().to_owned());
        Facts {
            shape,
            values: [empty(), object, None, empty(), None, None, None],
            roles: Vec::new(),
            custom: Vec::new(),
        }
    }

    pub(super) fn set_text(&mut self, fact: usize, text: &str) {
        let mut raw = Vec::with_capacity(text.len() + 2);
        json::push_string(&mut raw, text);
        self.values[fact] = Some(String::from_utf8_lossy(&raw).into_owned());
    }

    /// Whether the role of `choice` is still to be written; it counts as written from now on.
    pub(super) fn role_is_due(&mut self, choice: u16) -> bool {
        let is_due = !self.roles.contains(&choice);
        if is_due && self.roles.len() < ENTRIES_MAX {
            self.roles.push(choice);
        }
        is_due
    }

    pub(super) fn opened(&mut self, choice: u16, block: u16, flavour: ToolFlavour) {
        let is_custom = flavour == ToolFlavour::Custom;
        if is_custom && self.custom.len() < ENTRIES_MAX {
            self.custom.push((choice, block));
        }
    }

    pub(super) fn is_custom(&self, choice: u16, block: u16) -> bool {
        self.custom.contains(&(choice, block))
    }

    fn text(&self, fact: usize) -> Option<Box<str>> {
        let raw = Raw::parse(self.values[fact].as_deref()?)?;
        json::string(raw).filter(|text| !text.is_empty()).map(Box::from)
    }
}

/// Events to frames.
#[derive(Debug)]
pub struct Encoder {
    facts: Facts,
    /// For events of another dialect.
    translator: Option<Translator>,
}

impl Encoder {
    /// See [`crate::wire::Encoder::new`].
    pub fn new(source: Dialect) -> Encoder {
        let translator = (source != Dialect::OpenaiChat).then(|| Translator::new(source));
        Encoder { facts: Facts::new(Shape::Chunk), translator }
    }

    /// See [`crate::wire::Encoder::frame`].
    ///
    /// One source frame becomes one frame as long as its events come in the order in which this
    /// dialect's decoder tells them, else as many as keep them in their order.
    pub fn frame(&mut self, events: &[Event<'_>], out: &mut Vec<u8>) {
        let Some(translator) = &mut self.translator else {
            write(&mut self.facts, events, out);
            return;
        };
        let mut told = Vec::with_capacity(events.len());
        translator.retelling.events(events, &mut told);
        let mut translated = Vec::with_capacity(told.len());
        for event in &told {
            translator.translate(event, &mut translated);
        }
        write(&mut self.facts, &translated, out);
    }

    /// See [`crate::wire::Encoder::losses`].
    pub fn losses(&self) -> Losses {
        self.translator
            .as_ref()
            .map_or_else(Losses::default, |translator| translator.retelling.losses())
    }

    /// See [`crate::wire::Encoder::turn_foreign`].
    pub fn turn_foreign(&mut self, source: Dialect, history: &[Event<'_>]) -> bool {
        if let Some(translator) = &mut self.translator {
            translator.retelling.turn_to(source);
            return true;
        }
        let mut translator = Translator::new(source);
        let mut told = Vec::new();
        translator.retelling.events(history, &mut told);
        for event in &told {
            translator.translate(event, &mut Vec::new());
        }
        self.translator = Some(translator);
        true
    }

    /// See [`crate::wire::Encoder::tail`].
    pub fn tail(&self) -> Tail {
        let created = self.facts.values[2].as_deref().and_then(|raw| raw.parse().ok());
        Tail { id: self.facts.text(0), model: self.facts.text(3), created, sequence: 0 }
    }
}

fn write(facts: &mut Facts, events: &[Event<'_>], out: &mut Vec<u8>) {
    let mut object = Object::default();
    for event in events {
        match event {
            Event::Ping => {
                flush(&mut object, facts, out);
                out.extend_from_slice(b": ping\n\n");
            }
            Event::End => {
                flush(&mut object, facts, out);
                sse::push_frame(out, "", b"[DONE]");
            }
            Event::Opaque { dialect: Dialect::OpenaiChat, name, data } => {
                flush(&mut object, facts, out);
                push_opaque(out, name, data);
            }
            Event::Opaque { .. } => {}
            other => {
                if !object.put(other, facts) {
                    flush(&mut object, facts, out);
                    object.put(other, facts);
                }
            }
        }
    }
    flush(&mut object, facts, out);
}

fn flush(object: &mut Object<'_>, facts: &mut Facts, out: &mut Vec<u8>) {
    if !object.is_touched() {
        return;
    }
    let mut data = Vec::with_capacity(256);
    std::mem::take(object).write(facts, &mut data);
    sse::push_frame(out, "", &data);
}

/// A frame as it came: data that had several lines has them again.
fn push_opaque(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    if !name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend(name.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
        out.push(b'\n');
    }
    for line in data.split(|byte| matches!(byte, b'\r' | b'\n')) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}
