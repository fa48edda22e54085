//! Whole answers, both ways.

use super::read::Raw;
use super::stream::{Chunk, Decoder};
use super::write::Encoder;
use crate::wire::event::Event;
use crate::wire::members::Members;
use crate::wire::{Dialect, Sink};
use std::borrow::Cow;

/// See [`crate::wire::decode_unary`].
pub fn decode_unary(body: &[u8], sink: &mut Sink<'_>) {
    let text = std::str::from_utf8(body).ok();
    let whole = text.and_then(Members::parse).and_then(|members| Chunk::read(members, "message"));
    match whole {
        Some(whole) if whole.is_answer() => Decoder::default().chunk(Raw(body), whole, sink),
        Some(_) | None => sink(Event::Opaque {
            dialect: Dialect::OpenaiChat,
            name: Cow::Borrowed(""),
            data: Cow::Borrowed(body),
        }),
    }
}

/// See [`crate::wire::encode_unary`].
pub fn encode_unary(source: Dialect, events: &[Event<'_>]) -> Vec<u8> {
    let mut encoder = Encoder::whole(source);
    for event in events {
        if let Event::Opaque { dialect: Dialect::OpenaiChat, data, .. } = event {
            return data.to_vec();
        }
        // What cannot stand twice in one object is told once.
        encoder.put(event);
    }
    let mut draft = encoder.take();
    if source != Dialect::OpenaiChat {
        for choice in &mut draft.choices {
            let says = choice.texts.iter().any(|(key, _)| *key == "content");
            if !says {
                choice.delta_extras.push(("content".to_owned(), "null".to_owned()));
            }
        }
    }
    let mut data = Vec::with_capacity(512);
    encoder.push(&draft, "chat.completion", "message", &mut data);
    data
}
