//! Whole answers, both ways: the same events as the answer's stream would give.

use super::answer::Answer;
use super::chunk::Shape;
use super::foreign::Translator;
use super::write::Facts;
use super::{body::Object, error_event, is_flat_error};
use crate::wire::event::Event;
use crate::wire::json::Raw;
use crate::wire::loss::Losses;
use crate::wire::{Dialect, Sink};
use std::borrow::Cow;

/// See [`crate::wire::decode_unary`].
///
/// An answer ends with [`Event::End`], as its stream would; an error body is one [`Event::Error`]
/// (and the unknown members beside it) and no end.
pub fn decode_unary(body: &[u8], sink: &mut Sink<'_>) {
    let mut is_error = false;
    let mut events = 0usize;
    let object = std::str::from_utf8(body).ok().and_then(Raw::parse);
    let told = object.filter(|object| {
        let mut answer = Answer::new(Shape::Whole);
        let mut noting = |event: Event<'_>| {
            is_error |= matches!(event, Event::Error { .. });
            events += 1;
            sink(event);
        };
        if answer.object(body, *object, &mut noting).is_ok() {
            return true;
        }
        let is_flat = is_flat_error(*object);
        if is_flat {
            noting(error_event(*object));
        }
        is_flat
    });
    if told.is_none() {
        let data = Cow::Borrowed(body);
        sink(Event::Opaque { dialect: Dialect::OpenaiChat, name: Cow::Borrowed(""), data });
    } else if !is_error {
        sink(Event::End);
    } else if events == 0 {
        sink(Event::Ping);
    }
}

/// See [`crate::wire::encode_unary`].
pub fn encode_unary(source: Dialect, events: &[Event<'_>], losses: &mut Losses) -> Vec<u8> {
    let mut facts = Facts::new(Shape::Whole);
    let (translated, told);
    let events = if source == Dialect::OpenaiChat {
        events
    } else {
        let mut translator = Translator::new(source);
        told = translator.retelling.whole(events);
        let mut native = Vec::with_capacity(told.len());
        for event in &told {
            translator.translate(event, &mut native);
        }
        // A whole answer without an end mark still has its counts.
        translator.finish(&mut native);
        losses.join(translator.retelling.losses());
        translated = native;
        &translated
    };
    let mut object = Object::default();
    for event in events {
        match event {
            Event::Opaque { dialect: Dialect::OpenaiChat, data, .. } if events.len() == 1 => {
                return data.to_vec();
            }
            Event::Opaque { .. } | Event::Ping | Event::End => {}
            other => object.merge(other, &mut facts),
        }
    }
    let mut out = Vec::with_capacity(512);
    object.write(&mut facts, &mut out);
    out
}
