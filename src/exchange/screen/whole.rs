//! Whole answers under rules.

use super::run::{Fed, Runs};
use super::unread::{Media, screen_unread};
use super::{Altered, Found, Judged, Lead, Screen, changes};
use crate::table::rules::Judge;
use crate::wire::event::{Event, Form, Kind};
use crate::wire::framing::Framing;
use crate::wire::reframe::{Change, push_changed};
use crate::wire::{Dialect, decode_unary};
use std::borrow::Cow;
use std::sync::Arc;

/// A whole answer as far as rules let it leave.
#[derive(Debug)]
pub struct Screened<'b> {
    /// The body; borrowed if nothing was changed.
    pub body: Cow<'b, [u8]>,
    /// What was found; the body must not leave if it is cut.
    pub found: Found,
}

/// Judges the answer `body` of a provider that speaks `source`.
pub fn screen_whole<'b>(judges: &[Arc<Judge>], source: Dialect, body: &'b [u8]) -> Screened<'b> {
    let mut screen = Screen::new(judges.iter().map(Arc::clone), source);
    screen.in_pieces = false;
    decode_unary(source, body, &mut |event| {
        screen.look(&event, body);
    });
    screen.finish_whole(body)
}

/// Judges what a provider answered whole: an answer of `source`, or what it says of its failure,
/// which is text like any other.
pub fn screen_answered<'b>(
    judges: &[Arc<Judge>],
    source: Dialect,
    is_success: bool,
    body: &'b [u8],
) -> Screened<'b> {
    if is_success {
        screen_whole(judges, source, body)
    } else {
        screen_unread(judges, Media::Unknown, body)
    }
}

/// What rules make of one text, and the text as they let it leave.
pub fn judge_text(judges: &[Arc<Judge>], kind: Kind, text: &str) -> (Found, Option<String>) {
    let judges = judges.iter().map(Arc::clone);
    let (runs, mut found) = if kind.is_read_as_written() {
        (Runs::new(judges), Found::default())
    } else {
        (Runs::of_prompt(judges), Found::in_prompt())
    };
    let fed = runs.whole(kind, text, &mut found);
    match fed {
        Fed::Clear => (found, None),
        Fed::Instead(left) => (found, Some(left)),
    }
}

/// What rules find in events that cannot be changed any more: what they would change must not leave.
pub fn screen_unchangeable<'e>(
    judges: &[Arc<Judge>],
    source: Dialect,
    events: impl Iterator<Item = &'e Event<'static>>,
) -> Found {
    let mut screen = Screen::new(judges.iter().map(Arc::clone), source);
    for event in events.chain([&Event::End]) {
        screen.look(event, b"");
        screen.forget_frame();
    }
    let mut found = screen.found;
    if found.redactions > 0 {
        found.cut_unchangeable();
    }
    found
}

impl Screen {
    /// The whole `body` was told: what of it may leave.
    pub(super) fn finish_whole(mut self, body: &[u8]) -> Screened<'_> {
        self.look(&Event::End, body);
        let notes = self.frame;
        let mut found = self.found;
        let mut altered = notes.altered;
        for lead in notes.lead {
            let ended = |one: &&mut Altered| one.is_running && one.line == lead.line;
            match altered.iter_mut().rfind(ended) {
                Some(last) => last.text.push_str(&lead.text),
                None => found.cut_unchangeable(),
            }
        }
        if altered.is_empty() || found.is_cut() {
            return Screened { body: Cow::Borrowed(body), found };
        }
        let spelled =
            notes.spelled.into_iter().map(|span| Change { span, with: "null".to_owned() });
        let Some(changes) = changes(altered, spelled) else {
            found.cut_unchangeable();
            return Screened { body: Cow::Borrowed(body), found };
        };
        let mut out = Vec::with_capacity(body.len() + 64);
        push_changed(Framing::Sse, body, changes, &mut out);
        Screened { body: Cow::Owned(out), found }
    }

    /// The events of a frame, whose bytes are `whole`, as rules let them leave: for who writes the
    /// answer anew.
    pub fn rewrite(&mut self, events: Vec<Event<'static>>, whole: &[u8]) -> Vec<Event<'static>> {
        let mut left = Vec::with_capacity(events.len());
        let mut is_changed = false;
        for event in events {
            let known = self.frame.lead.len();
            let judged = self.look(&event, whole);
            for lead in self.frame.lead.get(known..).unwrap_or_default() {
                is_changed = true;
                left.extend(lead.event());
            }
            let Judged::Instead(with) = judged else {
                if self.found.is_cut() {
                    break;
                }
                left.push(event);
                continue;
            };
            is_changed = true;
            match event {
                Event::Text { channel, span, .. } => {
                    let span = span.filter(|span| span.form == Form::Json);
                    if !with.is_empty() {
                        left.push(Event::Text { channel, text: with.into(), span });
                    }
                }
                Event::Repeat { channel, .. } => {
                    left.push(Event::Repeat { channel, text: with.into(), span: None });
                }
                Event::Extra { place, key, .. } => {
                    left.push(Event::Extra { place, key, json: with.into() });
                }
                Event::Opaque { dialect, name, .. } => {
                    left.push(Event::Opaque { dialect, name, data: with.into_bytes().into() });
                }
                Event::Usage { counts, .. } => {
                    left.push(Event::Usage { counts, native: with.into() });
                }
                other => left.push(other),
            }
            if self.found.is_cut() {
                break;
            }
        }
        if is_changed {
            left.retain(
                |event| !matches!(event, Event::Extra { key, .. } if super::unknown::spells(key)),
            );
        }
        left
    }

    /// Ends every text, and gives what they still let go.
    pub fn rest(&mut self) -> Vec<Event<'static>> {
        self.finish(|_| true);
        self.frame.lead.iter().filter_map(Lead::event).collect()
    }

    /// Ends every text, and appends frames of what they still let go.
    pub fn end(&mut self, framing: Framing, out: &mut Vec<u8>) {
        self.finish(|_| true);
        if !self.frame.lead.is_empty() {
            self.leave(framing, &framing.frame(b""), out);
        }
    }
}
