//! Whole answers, both ways.

use super::BODY;
use super::scan::{self, Frame};
use super::story::Story;
use super::stream::Decoder;
use super::texts::{Shape, State};
use super::write::{Filling, retelling, skeleton};
use crate::wire::event::{Event, Place};
use crate::wire::loss::Losses;
use crate::wire::{Dialect, Sink, Tail, json};
use std::borrow::Cow;

/// See [`crate::wire::decode_unary`].
pub fn decode_unary(body: &[u8], sink: &mut Sink<'_>) {
    if try_decode(body, sink).is_none() {
        sink(Event::Opaque {
            dialect: Dialect::OpenaiResponses,
            name: Cow::Borrowed(""),
            data: Cow::Borrowed(body),
        });
    }
}

/// Gives events only if it gives `Some`.
fn try_decode(body: &[u8], sink: &mut Sink<'_>) -> Option<()> {
    let text = std::str::from_utf8(body).ok()?;
    let members = Frame::parse(text)?;
    let is_response = members.get("object").and_then(scan::string).as_deref() == Some("response")
        || members.get("output").is_some_and(|output| output.starts_with('['));
    if is_response {
        let status = members.get("status").and_then(scan::string);
        let state = match status.as_deref() {
            // Imitators leave the status out of a whole answer.
            None | Some("completed") => State::Completed,
            Some("failed") => State::Failed,
            Some("cancelled") => State::Cancelled,
            Some("in_progress" | "queued") => State::Running,
            Some(_) => State::Incomplete,
        };
        return Decoder::default().whole(BODY, text, members.text(), state, sink);
    }
    let error = members.get("error").filter(|error| error.starts_with(['{', '"']))?;
    let inner = |name| scan::string_member(error, name).filter(|text| !text.is_empty());
    let code = inner("code")
        .or_else(|| inner("type"))
        .or_else(|| members.get("code").and_then(scan::string));
    sink(Event::Error {
        code: code.unwrap_or_default(),
        message: inner("message").or_else(|| scan::string(error)).unwrap_or_default(),
        native: Cow::Borrowed(error),
    });
    for (key, value) in members.iter().filter(|(key, _)| *key != "error") {
        sink(Event::Extra {
            place: Place::Frame,
            key: Cow::Borrowed(key),
            json: Cow::Borrowed(value),
        });
    }
    Some(())
}

/// See [`crate::wire::encode_unary`].
pub fn encode_unary(source: Dialect, events: &[Event<'_>], losses: &mut Losses) -> Vec<u8> {
    if source == Dialect::OpenaiResponses
        && let Some(body) = native(events)
    {
        return body;
    }
    let told;
    let events = match retelling(source) {
        Some(mut retelling) => {
            told = retelling.whole(events);
            losses.join(retelling.losses());
            &told[..]
        }
        None => events,
    };
    let (mut story, mut tail, mut frames) = (Story::default(), Tail::default(), Vec::new());
    for event in events {
        story.event(event, &mut tail, &mut frames);
        frames.clear();
    }
    story.body(&mut tail)
}

/// The body of an answer that came in this dialect, if its events still say how it looked.
fn native(events: &[Event<'_>]) -> Option<Vec<u8>> {
    if let [Event::Opaque { data, .. }] = events {
        return Some(data.to_vec());
    }
    if let Some((BODY, body)) = skeleton(events) {
        let object = Frame::parse(body)?.text();
        let shape = Shape::Response { object, state: State::Completed };
        return Some(Filling::new(&shape, events).splice(body).into_bytes());
    }
    let error = events.iter().find_map(|event| match event {
        Event::Error { native, .. } if !native.is_empty() => Some(native),
        _ => None,
    })?;
    let mut out = b"{\"error\":".to_vec();
    out.extend_from_slice(error.as_bytes());
    for event in events {
        if let Event::Extra { place: Place::Frame, key, json } = event {
            out.push(b',');
            json::push_string(&mut out, key);
            out.push(b':');
            out.extend_from_slice(json.as_bytes());
        }
    }
    out.push(b'}');
    Some(out)
}
