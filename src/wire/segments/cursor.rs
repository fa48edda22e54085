//! A place in JSON that moves on.
//!
//! What always holds: on JSON that is valid it sees what every reader sees; on other text it fails
//! or misreads, and never panics or stands still. Nothing here recurses, but for [`follow`], which
//! goes as deep as a body may nest.

use super::super::json;
use super::super::request::BodyError;
use super::node::Told;
use std::borrow::Cow;

/// A place in `text`.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    pub(super) at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Cursor<'t> {
        Cursor { text, at: 0 }
    }

    /// What stands between two places.
    pub(super) fn slice(&self, start: usize, end: usize) -> &'t str {
        self.text.get(start..end).unwrap_or("")
    }

    /// The first byte of the next value or mark, behind white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Steps over `mark`, if it is next.
    pub(super) fn take(&mut self, mark: u8) -> bool {
        let is_next = self.peek() == Some(mark);
        self.at += usize::from(is_next);
        is_next
    }

    /// Steps over `mark`, which must be next.
    pub(super) fn expect(&mut self, mark: u8) -> Result<(), BodyError> {
        if self.take(mark) { Ok(()) } else { Err(self.broken()) }
    }

    /// What is between the quotes of the string that is next.
    pub(super) fn string(&mut self) -> Result<&'t str, BodyError> {
        self.expect(b'"')?;
        let start = self.at;
        let end = json::closing_quote(self.text.as_bytes(), start).unwrap_or(self.text.len());
        let inside = self.text.get(start..end).filter(|_| end < self.text.len());
        let inside = inside.ok_or_else(|| self.broken())?;
        self.at = end + 1;
        Ok(inside)
    }

    /// The name of the member that is next; the value is then next.
    pub(super) fn name(&mut self) -> Result<&'t str, BodyError> {
        let name = self.string()?;
        self.expect(b':')?;
        Ok(name)
    }

    /// Steps over the comma behind an item. `false`, and behind `close`, if it was the last one.
    pub(super) fn more(&mut self, close: u8) -> Result<bool, BodyError> {
        if self.take(b',') {
            return Ok(true);
        }
        self.expect(close).map(|()| false)
    }

    /// The number, `true`, `false` or `null` that is next.
    pub(super) fn scalar(&mut self) -> Result<&'t str, BodyError> {
        self.peek();
        let rest = self.text.as_bytes().get(self.at..).unwrap_or(b"");
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let scalar = self.slice(self.at, self.at + length);
        if scalar.is_empty() {
            return Err(self.broken());
        }
        self.at += length;
        Ok(scalar)
    }

    /// Steps over the value that is next.
    pub(super) fn skip(&mut self) -> Result<(), BodyError> {
        let bytes = self.text.as_bytes();
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{' | b'[') => {
                let mut depth = 0usize;
                while let Some(byte) = bytes.get(self.at) {
                    match byte {
                        b'"' => {
                            self.at =
                                json::closing_quote(bytes, self.at + 1).unwrap_or(bytes.len());
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                Err(self.broken())
            }
            Some(_) | None => self.scalar().map(|_| ()),
        }
    }

    /// The members `names` of the object that is next, as far as they are strings. Looks no further
    /// than it must, so of several it sees the first.
    pub(super) fn look(&self, names: &[&str]) -> Told<'t> {
        let mut told = Told::default();
        // What is broken is said where it is walked.
        let _ = self.clone().look_into(names, &mut told);
        told
    }

    fn look_into(&mut self, names: &[&str], told: &mut Told<'t>) -> Result<(), BodyError> {
        self.expect(b'{')?;
        let mut left = names.len();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name = json::unescape(self.name()?);
            let place = names.iter().position(|known| *known == name);
            match place.and_then(|place| told.0.get_mut(place)) {
                Some(found) if found.is_none() => {
                    if self.peek() == Some(b'"') {
                        *found = Some(json::unescape(self.string()?));
                    } else {
                        self.skip()?;
                    }
                    left -= 1;
                    if left == 0 {
                        return Ok(());
                    }
                }
                Some(_) | None => self.skip()?,
            }
            if !self.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// A complaint about what is next.
    pub(super) fn broken(&self) -> BodyError {
        let what = Cow::Borrowed("the body is not valid JSON");
        BodyError { at: Some(self.at.min(self.text.len())), what }
    }
}

/// Adds to `path` the way from the value that is next to what stands at byte `at`.
pub(super) fn follow(
    cursor: &mut Cursor<'_>,
    at: usize,
    path: &mut String,
) -> Result<(), BodyError> {
    let open = cursor.peek();
    let close = match open {
        Some(b'{') => b'}',
        Some(b'[') => b']',
        Some(_) | None => return Ok(()),
    };
    cursor.at += 1;
    let mut element = 0usize;
    if cursor.at > at || cursor.take(close) {
        return Ok(());
    }
    loop {
        let name = if close == b'}' { Some(cursor.name()?) } else { None };
        let mut inner = cursor.clone();
        cursor.skip()?;
        if at < cursor.at {
            path.push('/');
            match name {
                Some(name) => {
                    let name = json::unescape(name);
                    path.push_str(&name.replace('~', "~0").replace('/', "~1"));
                }
                None => path.push_str(&element.to_string()),
            }
            // Depth is bounded only in bodies that have been checked.
            return if path.len() > PATH_BYTES_MAX { Ok(()) } else { follow(&mut inner, at, path) };
        }
        element += 1;
        if !cursor.more(close)? {
            return Ok(());
        }
    }
}

/// A path that is longer than this is cut. A level has two bytes at least.
const PATH_BYTES_MAX: usize = 1024;
