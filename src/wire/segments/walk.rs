//! The walk itself.
//!
//! It recurses as deep as the body nests, which is bounded before it begins.

use super::super::event::{Form, Kind, Span};
use super::super::request::BodyError;
use super::super::{Dialect, json, view};
use super::cursor::Cursor;
use super::definition::SCHEMA_TYPES;
use super::file::{self, Opened};
use super::node::{Members, Node, Object, Sense, Text, Top};
use super::place::Places;
use super::{Go, Join, Message, Segment, Sink, Step};
use serde::de::IgnoredAny;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::ops::Range;

/// Why the walk does not go on.
enum Halt {
    /// The body cannot be read.
    Broken(BodyError),
    /// The sink wants no more of this message.
    Past,
    /// The sink wants no more.
    Stop,
}

impl From<BodyError> for Halt {
    fn from(error: BodyError) -> Halt {
        Halt::Broken(error)
    }
}

/// See [`super::walk`].
pub(super) fn body(
    dialect: Option<Dialect>,
    text: &str,
    top: fn(&str) -> Top,
    sink: &mut Sink<'_>,
) -> Result<(), BodyError> {
    let cursor = Cursor::new(text);
    let mut walk = Walk { cursor, places: Places::Body, sink, message: 0, run: None };
    match walk.top(dialect, top) {
        Ok(()) | Err(Halt::Past | Halt::Stop) => Ok(()),
        Err(Halt::Broken(error)) => Err(error),
    }
}

struct Walk<'t, 's, 'f> {
    cursor: Cursor<'t>,
    places: Places<'t>,
    sink: &'s mut Sink<'f>,
    /// The number of the message that is walked.
    message: u32,
    /// Whose text the last part was, if the next one would be its neighbour.
    run: Option<Kind>,
}

impl<'t> Walk<'t, '_, '_> {
    fn top(&mut self, dialect: Option<Dialect>, top: fn(&str) -> Top) -> Result<(), Halt> {
        if self.cursor.peek() != Some(b'{') {
            let what = Cow::Borrowed("the body must be one JSON object");
            return Err(BodyError { at: Some(self.cursor.at), what }.into());
        }
        self.cursor.at += 1;
        if self.cursor.take(b'}') {
            return Ok(());
        }
        loop {
            let member = json::unescape(self.cursor.name()?);
            let mut message = Message {
                index: 0,
                member: Cow::Borrowed(&*member),
                element: None,
                range: 0..0,
                json: "",
                dialect,
            };
            match top(&member) {
                Top::Each(node) if self.cursor.peek() == Some(b'[') => {
                    self.cursor.at += 1;
                    let mut element = 0;
                    let mut is_more = !self.cursor.take(b']');
                    while is_more {
                        message.element = Some(element);
                        self.message(node, &mut message)?;
                        element += 1;
                        is_more = self.cursor.more(b']')?;
                    }
                }
                Top::Each(node) | Top::Whole(node) => self.message(node, &mut message)?,
            }
            if !self.cursor.more(b'}')? {
                return Ok(());
            }
        }
    }

    fn message(&mut self, node: Node, message: &mut Message<'_>) -> Result<(), Halt> {
        let has_text = matches!(self.cursor.peek(), Some(b'"' | b'{' | b'['));
        let start = self.cursor.at;
        let mut behind = self.cursor.clone();
        behind.skip()?;
        if node.is_skipped() || !has_text {
            self.cursor = behind;
            return Ok(());
        }
        let said = Message {
            index: self.message,
            member: Cow::Borrowed(&*message.member),
            range: start as u32..behind.at as u32,
            json: self.cursor.slice(start, behind.at),
            ..*message
        };
        self.run = None;
        let walked = match (self.sink)(Step::Message(said)) {
            Go::On => self.value(node),
            Go::Past => Err(Halt::Past),
            Go::Stop => Err(Halt::Stop),
        };
        match walked {
            Ok(()) => {}
            Err(Halt::Past) => self.cursor = behind,
            Err(halt) => return Err(halt),
        }
        self.message += 1;
        Ok(())
    }

    fn value(&mut self, node: Node) -> Result<(), Halt> {
        match self.cursor.peek() {
            Some(b'{') => self.object(node),
            Some(b'[') => {
                self.cursor.at += 1;
                let mut is_more = !self.cursor.take(b']');
                while is_more {
                    self.value(node)?;
                    is_more = self.cursor.more(b']')?;
                }
                Ok(())
            }
            Some(b'"') => self.string(node),
            Some(_) | None => self.scalar(node),
        }
    }

    fn object(&mut self, node: Node) -> Result<(), Halt> {
        match node.object {
            Object::No => Ok(self.cursor.skip()?),
            Object::Members(members) => self.members(node.sense, members),
            Object::Told(names, by) => {
                let told = by(node.sense, &self.cursor.look(names));
                self.run = self.run.filter(|_| !told.is_apart);
                match told.object {
                    Object::Members(members) => self.members(told.sense, members)?,
                    Object::No | Object::Told(..) => self.cursor.skip()?,
                }
                self.run = self.run.filter(|_| !told.is_apart);
                Ok(())
            }
        }
    }

    fn members(&mut self, sense: Sense, members: Members) -> Result<(), Halt> {
        self.cursor.expect(b'{')?;
        if self.cursor.take(b'}') {
            return Ok(());
        }
        let mut stood = SmallVec::<[&'static str; 4]>::new();
        loop {
            self.cursor.peek();
            let start = self.cursor.at + 1;
            let raw = self.cursor.name()?;
            let name = json::unescape(raw);
            let node = members(sense, &name);
            if let Some(once) = node.once {
                if stood.contains(&once) {
                    let what = format!("`{once}` stands twice; send it once").into();
                    return Err(BodyError { at: Some(start - 1), what }.into());
                }
                stood.push(once);
            }
            if node.is_named {
                let place = start..start + raw.len();
                self.say(node.sense.kind, Join::Alone, name, place, Form::Quoted)?;
            }
            self.run = self.run.filter(|_| !node.is_apart);
            self.value(node)?;
            self.run = self.run.filter(|_| !node.is_apart);
            if !self.cursor.more(b'}')? {
                return Ok(());
            }
        }
    }

    fn scalar(&mut self, node: Node) -> Result<(), Halt> {
        let scalar = self.cursor.scalar()?;
        let is_number = scalar.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if !(node.has_numbers && is_number) {
            return Ok(());
        }
        let place = self.cursor.at - scalar.len()..self.cursor.at;
        self.say(node.sense.kind, Join::Alone, scalar.into(), place, Form::Json)
    }

    fn string(&mut self, node: Node) -> Result<(), Halt> {
        let raw = self.cursor.string()?;
        if node.text == Text::No {
            return Ok(());
        }
        let sense = node.sense;
        let start = self.cursor.at - 1 - raw.len();
        let place = start..start + raw.len();
        let text = json::unescape(raw);
        let join = match node.text {
            Text::Part if self.run == Some(sense.kind) => Join::Continues,
            Text::Part => Join::Begins,
            Text::Json => return self.json(node, raw, text, place),
            Text::Address | Text::File => {
                let opened = match file::inline(&text) {
                    Some(inline) => inline.open(),
                    None if node.text == Text::File => sense.file.open(&text),
                    None => Opened { text: None, is_itself: true },
                };
                if let Some(text) = opened.text {
                    self.say_at(Kind::Document, Join::Alone, text.into(), start - 1, None)?;
                }
                if !opened.is_itself {
                    return Ok(());
                }
                Join::Alone
            }
            Text::Signed => {
                let at = self.places.start().unwrap_or(start - 1);
                return self.say_at(sense.kind, Join::Alone, text, at, None);
            }
            Text::SchemaType if SCHEMA_TYPES.contains(&&*text) => return Ok(()),
            Text::No | Text::Alone | Text::SchemaType => Join::Alone,
        };
        if node.text == Text::Part && !raw.is_empty() {
            self.run = Some(sense.kind);
        }
        self.say(sense.kind, join, text, place, Form::Quoted)
    }

    /// The texts of JSON that stands in a string; what is not JSON is one text.
    fn json(
        &mut self,
        node: Node,
        raw: &'t str,
        text: Cow<'t, str>,
        place: Range<usize>,
    ) -> Result<(), Halt> {
        let is_json = matches!(self.places, Places::Body)
            && text.trim_start().starts_with(['{', '['])
            && view::shallow(text.as_bytes()).is_ok()
            && serde_json::from_str::<IgnoredAny>(&text).is_ok();
        if !is_json {
            return self.say(node.sense.kind, Join::Alone, text, place, Form::Quoted);
        }
        let mut inner = Walk {
            cursor: Cursor::new(&text),
            places: Places::within(raw, place.start),
            sink: &mut *self.sink,
            message: self.message,
            run: None,
        };
        inner.value(node.out_of_string())
    }

    fn say(
        &mut self,
        kind: Kind,
        join: Join,
        text: Cow<'_, str>,
        place: Range<usize>,
        form: Form,
    ) -> Result<(), Halt> {
        let (at, place) = (self.places.start(), self.places.of(place));
        let span = Span { start: place.start as u32, end: place.end as u32, form };
        let value = match form {
            Form::Quoted => place.start - 1,
            Form::Json => place.start,
        };
        self.say_at(kind, join, text, at.unwrap_or(value), Some(span))
    }

    fn say_at(
        &mut self,
        kind: Kind,
        join: Join,
        text: Cow<'_, str>,
        at: usize,
        span: Option<Span>,
    ) -> Result<(), Halt> {
        if text.is_empty() {
            return Ok(());
        }
        let nested = !matches!(self.places, Places::Body);
        let message = self.message;
        let segment = Segment { kind, message, join, text, at: at as u32, span, nested };
        match (self.sink)(Step::Segment(segment)) {
            Go::On => Ok(()),
            Go::Past => Err(Halt::Past),
            Go::Stop => Err(Halt::Stop),
        }
    }
}
