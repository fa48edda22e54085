//! Whole answers, both ways.

use super::Decoder;
use super::grammar::{List, RESPONSES_MAX, Response};
use super::write::{self, Piece};
use crate::wire::event::Event;
use crate::wire::loss::Losses;
use crate::wire::{Dialect, Sink};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// See [`crate::wire::decode_unary`].
///
/// An array of responses is what `streamGenerateContent` gives without `alt=sse`.
pub fn decode_unary(body: &[u8], sink: &mut Sink<'_>) {
    let mut decoder = Decoder::default();
    let opaque =
        || Event::Opaque { dialect: Dialect::Gemini, name: "".into(), data: Cow::Borrowed(body) };
    if body.trim_ascii_start().first() != Some(&b'[') {
        return match Response::parse(body) {
            Some(response) if decoder.takes(&response) => decoder.response(body, &response, sink),
            Some(_) | None => sink(opaque()),
        };
    }
    let list: Option<List<&RawValue, RESPONSES_MAX>> = serde_json::from_slice(body).ok();
    let responses = list.map(|list| list.0).unwrap_or_default();
    // All or nothing: half of a body must not pass for the whole.
    let mut check = Decoder::default();
    let understood = responses.iter().all(|raw| {
        Response::parse(raw.get().as_bytes()).is_some_and(|response| {
            let takes = check.takes(&response);
            check.response(body, &response, &mut |_| {});
            takes
        })
    });
    if responses.is_empty() || !understood {
        return sink(opaque());
    }
    for raw in responses {
        if let Some(response) = Response::parse(raw.get().as_bytes()) {
            decoder.response(body, &response, sink);
        }
    }
}

/// See [`crate::wire::encode_unary`].
///
/// What was an array of several responses becomes one again.
pub fn encode_unary(source: Dialect, events: &[Event<'_>], losses: &mut Losses) -> Vec<u8> {
    let pieces = write::whole(source, events, losses);
    let mut bodies: Vec<Vec<u8>> = pieces
        .into_iter()
        .map(|piece| match piece {
            Piece::Json(data) | Piece::Raw { data, .. } => data,
        })
        .collect();
    match bodies.len() {
        0 => b"{}".to_vec(),
        1 => bodies.remove(0),
        _ => {
            let mut out = vec![b'['];
            out.extend_from_slice(&bodies.join(&b","[..]));
            out.push(b']');
            out
        }
    }
}
