//! Whole answers: in the caller's dialect, without killed calls.

use super::Broken;
use super::calls::Calls;
use super::toolguard::{Encoding, Guard};
use crate::table::lever::KilledTools;
use crate::wire::event::Event;
use crate::wire::loss::Losses;
use crate::wire::provider_error::ProviderError;
use crate::wire::{Dialect, decode_unary, encode_unary};
use std::borrow::Cow;

/// A whole answer as the caller gets it.
#[derive(Debug, PartialEq, Eq)]
pub struct Whole<'b> {
    /// What the caller's dialect could not say.
    pub losses: Losses,
    /// The body; borrowed if nothing was edited.
    pub body: Cow<'b, [u8]>,
    /// The lever of a call that was taken out.
    pub lever: Option<Box<str>>,
    /// Set where the provider failed with the status of an answer, as Responses do, or its answer
    /// cannot be told in the caller's dialect: the caller then gets this in place of the body.
    pub failure: Option<ProviderError>,
}

/// The answer `body`, which came in `source`, for a caller of `client`.
///
/// # Errors
/// It has more calls than are followed.
pub fn whole<'b>(
    client: Dialect,
    source: Dialect,
    body: &'b [u8],
    killed: &KilledTools,
    began_s: u64,
) -> Result<Whole<'b>, Broken> {
    let mut losses = Losses::default();
    if client == source && killed.is_empty() {
        return Ok(Whole { losses, body: Cow::Borrowed(body), lever: None, failure: None });
    }
    let mut events = Vec::new();
    decode_unary(source, body, &mut |event| events.push(event.into_owned()));
    let mut calls = Calls::new(source);
    let told = calls.see_all(events);
    calls.see(&Event::End);
    if calls.is_over_bound {
        return Err(Broken::CallsOverBound);
    }
    let encoding = if client == source { Encoding::Native } else { Encoding::Foreign };
    let mut filtered = Guard::new(source, killed.clone(), calls).filter(told, encoding);
    if encoding == Encoding::Foreign {
        for event in &mut filtered.events {
            date(event, began_s);
        }
    }
    let body = if client == source && filtered.lever.is_none() {
        Cow::Borrowed(body)
    } else {
        Cow::Owned(encode_unary(client, source, &filtered.events, &mut losses))
    };
    let failure = match encoding {
        Encoding::Native => None,
        Encoding::Foreign => error_of(&filtered.events).or_else(|| {
            let mut told = Vec::new();
            decode_unary(client, &body, &mut |event| told.push(event.into_owned()));
            error_of(&told)
        }),
    };
    Ok(Whole { losses, body, lever: filtered.lever, failure })
}

/// Dates an answer of a dialect that does not say when it was made.
pub(super) fn date(event: &mut Event<'_>, began_s: u64) {
    if let Event::Start { created, .. } = event {
        created.get_or_insert(began_s);
    }
}

fn error_of(events: &[Event<'_>]) -> Option<ProviderError> {
    events.iter().find_map(|event| match event {
        Event::Error { code, message, native } => {
            Some(ProviderError::of_event(code, message, native))
        }
        Event::Start { .. }
        | Event::Open { .. }
        | Event::Text { .. }
        | Event::Repeat { .. }
        | Event::Signature { .. }
        | Event::Close { .. }
        | Event::Stop { .. }
        | Event::Usage { .. }
        | Event::Ping
        | Event::Extra { .. }
        | Event::Opaque { .. }
        | Event::End => None,
    })
}
