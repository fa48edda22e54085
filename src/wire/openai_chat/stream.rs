//! Frames to events.

use super::answer::Answer;
use super::chunk::Shape;
use super::members::Unreadable;
use super::{error_event, is_flat_error};
use crate::wire::event::Event;
use crate::wire::json::Raw;
use crate::wire::template::Template;
use crate::wire::{Dialect, Sink, Tail, sse};
use std::borrow::Cow;

/// Frames to events.
#[derive(Clone, Debug)]
pub struct Decoder {
    answer: Answer,
    pub(super) template: Template,
    is_done: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder { answer: Answer::new(Shape::Chunk), template: Template::default(), is_done: false }
    }
}

impl Decoder {
    /// See [`crate::wire::Decoder::frame`].
    pub fn frame(&mut self, frame: &sse::Frame<'_>, sink: &mut Sink<'_>) {
        if self.template.tell(frame, sink) {
            return;
        }
        if frame.is_empty() {
            sink(Event::Ping);
            return;
        }
        if &*frame.data == b"[DONE]" {
            self.is_done = true;
            sink(Event::End);
            return;
        }
        self.template.begin();
        let mut events = 0usize;
        let told = {
            let template = &mut self.template;
            let mut noting = |event: Event<'_>| {
                template.note(&event, frame.raw);
                events += 1;
                sink(event);
            };
            tell(&mut self.answer, frame, &mut noting)
        };
        if let Ok(is_steady) = told {
            self.template.learn(frame, is_steady);
        } else {
            sink(Event::Opaque {
                dialect: Dialect::OpenaiChat,
                name: String::from_utf8_lossy(frame.event),
                data: Cow::Borrowed(&frame.data),
            });
        }
        if told.is_ok() && events == 0 {
            sink(Event::Ping);
        }
    }

    /// See [`crate::wire::Decoder::is_complete`]. Some providers send no `[DONE]`: an answer whose
    /// every choice has a `finish_reason` is complete as well.
    pub fn is_complete(&self) -> bool {
        self.is_done || self.answer.is_stopped()
    }

    /// See [`crate::wire::Decoder::tail`].
    pub fn tail(&self) -> Tail {
        self.answer.tail()
    }
}

/// Tells what a frame with data says; whether the same bytes would say the same again.
fn tell(
    answer: &mut Answer,
    frame: &sse::Frame<'_>,
    sink: &mut Sink<'_>,
) -> Result<bool, Unreadable> {
    let text = std::str::from_utf8(&frame.data).map_err(|_| Unreadable)?;
    let object = Raw::parse(text).ok_or(Unreadable)?;
    match answer.object(frame.raw, object, sink) {
        Err(Unreadable) if frame.event == b"error" || is_flat_error(object) => {
            sink(error_event(object));
            Ok(false)
        }
        told => told,
    }
}
