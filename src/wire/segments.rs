//! The texts of a request's body: every one that a filter must judge.
//!
//! A grammar for each dialect says what the members of its objects mean; one walk reads the body by
//! it, in order, once, and builds no tree. What a grammar does not know is text all the same
//! ([`Kind::Other`]), so that a new member of a dialect is judged before we have heard of it.
//!
//! What always holds:
//! - A string is told, or it stands where no model reads: ids, the model's name, words that say
//!   what an object is (`type`, `role`), signatures, encrypted reasoning, credentials of servers of
//!   tools, log probabilities, and the bytes of pictures, sounds, videos and binary documents. What
//!   may be left out is decided by the path and the declared media type, never by how it looks.
//! - In JSON that is data (arguments, results, schemas' names) names and numbers are text too.
//! - A reader behind us may take any copy of a member that stands twice, so every copy is walked. A
//!   body is refused where a member stands twice that decides what others are, or that is a part of
//!   a longer text: the two readings would be two texts.
//! - A text that has a span stands there alone: what is written in its place changes nothing else.
//!
//! What this cannot do: read pictures, PDF and other binary files, text sent as numbers of tokens,
//! and what lies at an address or under a file's id.

mod cursor;
mod definition;
mod file;
mod node;
mod place;
mod plain;
#[cfg(test)]
mod tests;
mod walk;

pub(super) use definition::{definition, schema};
pub(super) use file::{File, source, source_of};
pub(super) use node::{Node, Sense, Told, Top, unknown};

use super::event::{Form, Kind, Span};
use super::request::BodyError;
use super::splice::splice;
use super::{Dialect, anthropic, bedrock, gemini, json, openai_chat, openai_responses, view};
use aws_lc_rs::digest::{Context, SHA256};
use cursor::Cursor;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::ops::Range;

pub use super::splice::Edit;

/// One step of the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'s> {
    /// A message begins; its texts follow, if it has any.
    Message(Message<'s>),
    /// A text.
    Segment(Segment<'s>),
}

/// What is to be done after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// The next one.
    On,
    /// The next message: no more texts of this one.
    Past,
    /// Nothing more.
    Stop,
}

/// What takes the steps.
pub type Sink<'s> = dyn FnMut(Step<'_>) -> Go + 's;

/// A part of the body that is judged by itself: a turn, a tool, a system prompt, any other member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'s> {
    /// Its number among the body's messages, from 0, in their order.
    pub index: u32,
    /// The body's member that it stands in, decoded.
    pub member: Cow<'s, str>,
    /// Its place in that member's list; `None` if it is the whole member.
    pub element: Option<u32>,
    /// Where it stands in the body.
    pub range: Range<u32>,
    /// How it stands there.
    pub json: &'s str,
    /// The dialect that the body is read in.
    pub dialect: Option<Dialect>,
}

impl Message<'_> {
    /// What tells it from every message with other texts: SHA-256 over its bytes and all that
    /// decides how they are read. The same message in a later request has the same one.
    ///
    /// Nobody can make a second message of one digest, so a verdict may be kept under it.
    pub fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(self.dialect.map_or("", Dialect::name).as_bytes());
        context.update(&[0, u8::from(self.element.is_some())]);
        // The length keeps a name from running into the bytes.
        context.update(&(self.member.len() as u64).to_le_bytes());
        context.update(self.member.as_bytes());
        context.update(self.json.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

/// How a text stands to those around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// By itself. A run that was begun before goes on behind it.
    Alone,
    /// It begins a run: the first of some parts that the model reads as one text.
    Begins,
    /// It goes on with the run that was begun last, in the same message.
    Continues,
}

/// A text that a model reads, or may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'s> {
    /// Whose text it is.
    pub kind: Kind,
    /// The number of its message.
    pub message: u32,
    /// How it stands to its neighbours.
    pub join: Join,
    /// The text, decoded; never empty.
    pub text: Cow<'s, str>,
    /// The byte of the body at which its value begins; [`path`] says what that is.
    pub at: u32,
    /// Where the text stands in the body; `None` if it is not there as it is (a decoded file), so
    /// that it cannot be replaced. [`Form::Json`] is a number.
    pub span: Option<Span>,
    /// Whether the span lies in JSON that itself stands in a string, so that it is escaped twice.
    pub nested: bool,
}

impl Segment<'_> {
    /// The edit that writes `text` in its place; `None` if it has none. A number becomes a string.
    pub fn edit(&self, text: &str) -> Option<Edit> {
        let span = self.span?;
        let mut with = Vec::with_capacity(text.len() + 2);
        match span.form {
            Form::Quoted => json::push_escaped(&mut with, text),
            Form::Json => json::push_string(&mut with, text),
        }
        if self.nested {
            let inner = String::from_utf8(with).ok()?;
            with = Vec::with_capacity(inner.len() + 2);
            json::push_escaped(&mut with, &inner);
        }
        Some(Edit { place: span.start as usize..span.end as usize, with })
    }
}

/// Tells `sink` every text of `body`, a request in `dialect`; without one, any other body that asks
/// a model something: completions, embeddings, moderations, pictures and sounds from a prompt.
///
/// # Errors
/// If the body is not one JSON object in UTF-8, nests too deep, or can be read in two ways. What
/// was told before is then not all.
pub fn walk(dialect: Option<Dialect>, body: &[u8], sink: &mut Sink<'_>) -> Result<(), BodyError> {
    let text = view::text(body)?;
    if u32::try_from(text.len()).is_err() {
        let what = "the body is longer than 4 GiB; send less";
        return Err(BodyError { at: None, what: what.into() });
    }
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| view::unreadable(text, &error))?;
    let top: fn(&str) -> Top = match dialect {
        Some(Dialect::OpenaiChat) => openai_chat::segments::top,
        Some(Dialect::OpenaiResponses) => openai_responses::segments::top,
        Some(Dialect::Anthropic) => anthropic::segments::top,
        Some(Dialect::Gemini) => gemini::segments::top,
        Some(Dialect::Bedrock) => bedrock::segments::top,
        None => plain::top,
    };
    walk::body(dialect, text, top, sink)
}

/// The body with `edits`, of which no two are of one segment. Every other byte stays.
pub fn redact(body: &[u8], edits: Vec<Edit>) -> Vec<u8> {
    splice(body, edits)
}

/// The path of what stands at byte `at` of `body`, as a JSON pointer (RFC 6901), for people and
/// records; as far as it can be followed. Reads up to there, once a level.
pub fn path(body: &[u8], at: u32) -> String {
    let Ok(text) = std::str::from_utf8(body) else { return String::new() };
    let mut path = String::new();
    let _ = cursor::follow(&mut Cursor::new(text), at as usize, &mut path);
    path
}
