//! From text to terms.
//!
//! Terms stand apart by white space. A term is a word, words in double quotes, or `field:value`; a
//! `-` or `!` in front says that it must not hold. Values may be quoted too; commas outside quotes stand
//! between alternatives; `\` keeps a quote or itself within quotes.

use super::field::{Mark, Name, Number, Texts, words};
use super::{Ask, Query, Span, Term, Words};
use crate::table::Pattern;
use jiff::{Timestamp, civil, tz::TimeZone};
use std::fmt;

/// The longest text that is read, in bytes.
pub const TEXT_BYTES_MAX: usize = 4_096;
/// The most terms.
pub const TERMS_MAX: usize = 64;
/// The most alternatives of a term.
const ALTERNATIVES_MAX: usize = 64;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The text.
    pub text: String,
    /// The byte at which it goes wrong.
    pub at: usize,
    /// How many bytes are wrong.
    pub len: usize,
    /// What is wrong, and what was expected.
    pub what: String,
    /// The word that was probably meant.
    pub nearest: Option<String>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.text.get(..self.at).map_or(0, |before| before.chars().count());
        write!(f, "{} (at character {})", self.what, column + 1)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        Ok(())
    }
}

impl std::error::Error for Wrong {}

impl Wrong {
    /// The text with a mark under the place, on two lines.
    pub fn pointed(&self) -> String {
        let before = self.text.get(..self.at).unwrap_or("").chars().count();
        let wrong = self.text.get(self.at..self.at + self.len).unwrap_or("").chars().count();
        let shown: String =
            self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{shown}\n{}{}", " ".repeat(before), "^".repeat(wrong.max(1)))
    }
}

/// The arguments of a command as one text. A shell has taken the quotes away: an argument with
/// white space and neither colon nor quote was one phrase.
pub fn join(arguments: &[String]) -> String {
    let one = |argument: &String| {
        let has_space = argument.contains(char::is_whitespace);
        if has_space && !argument.contains([':', '"']) {
            match argument.strip_prefix(['-', '!']) {
                Some(rest) => format!("-\"{rest}\""),
                None => format!("\"{argument}\""),
            }
        } else {
            argument.clone()
        }
    };
    arguments.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Whether an argument of a command is a term that is negated by `-`, not an option: it names a
/// field, or has white space.
pub fn is_negation(argument: &str) -> bool {
    let Some(rest) = argument.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else {
        return false;
    };
    let field = rest.split_once(':').map(|(field, _)| field);
    field.is_some_and(|field| words().contains(&field)) || rest.contains(char::is_whitespace)
}

/// Reads a text; relative times count back from `now_unix_ms`.
///
/// # Errors
/// What is wrong first.
pub fn parse(text: &str, now_unix_ms: u64) -> Result<Query, Wrong> {
    let mut reader = Reader { text, at: 0, now_unix_ms };
    if text.len() > TEXT_BYTES_MAX {
        return Err(reader.wrong(0..0, format!("a filter has {TEXT_BYTES_MAX} bytes at most")));
    }
    let mut terms = Vec::new();
    while let Some(term) = reader.term()? {
        if terms.len() == TERMS_MAX {
            return Err(reader.wrong(0..0, format!("a filter has {TERMS_MAX} terms at most")));
        }
        terms.push(term);
    }
    Ok(Query { terms })
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    now_unix_ms: u64,
}

/// A value: its text without quotes, where it stands, and whether quotes were around it.
struct Value {
    text: String,
    place: std::ops::Range<usize>,
    is_quoted: bool,
}

impl Reader<'_> {
    fn wrong(&self, place: std::ops::Range<usize>, what: impl Into<String>) -> Wrong {
        Wrong {
            text: self.text.to_owned(),
            at: place.start,
            len: place.len(),
            what: what.into(),
            nearest: None,
        }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next_len(&self) -> usize {
        self.peek().map_or(0, char::len_utf8)
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn term(&mut self) -> Result<Option<Term>, Wrong> {
        while self.peek().is_some_and(char::is_whitespace) {
            self.take();
        }
        let start = self.at;
        let Some(first) = self.peek() else { return Ok(None) };
        let is_negated = matches!(first, '-' | '!');
        if is_negated {
            self.take();
        }
        let ask = if let Some((field, place)) = self.field() {
            self.of_field(&field, place)?
        } else {
            let value = self.value(&[])?;
            if value.text.is_empty() {
                let what = "a word, a phrase in quotes, or `field:value` is expected";
                return Err(self.wrong(start..self.at, what));
            }
            self.phrase(None, value)?
        };
        let text = self.text.get(start..self.at).unwrap_or("").to_owned();
        Ok(Some(Term { is_negated, ask, text }))
    }

    /// The field's name, if a colon follows it; it is passed then.
    fn field(&mut self) -> Option<(String, std::ops::Range<usize>)> {
        let rest = self.text.get(self.at..)?;
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
        if length == 0 || !rest[length..].starts_with(':') {
            return None;
        }
        let place = self.at..self.at + length;
        self.at += length + 1;
        Some((rest[..length].to_owned(), place))
    }

    /// The next value, up to white space or one of `ends`.
    fn value(&mut self, ends: &[char]) -> Result<Value, Wrong> {
        let start = self.at;
        let mut text = String::new();
        if self.peek() != Some('"') {
            while let Some(next) = self.peek() {
                if next.is_whitespace() || ends.contains(&next) {
                    break;
                }
                if next == '"' {
                    let what = "a quote stands within a word; put the whole value in quotes";
                    return Err(self.wrong(self.at..self.at + 1, what));
                }
                text.push(next);
                self.take();
            }
            return Ok(Value { text, place: start..self.at, is_quoted: false });
        }
        self.take();
        loop {
            match self.take() {
                None => {
                    let what = "this quote has no end; a `\"` is expected";
                    return Err(self.wrong(start..start + 1, what));
                }
                Some('"') => break,
                Some('\\') => match self.take() {
                    Some(kept @ ('"' | '\\')) => text.push(kept),
                    Some(other) => text.extend(['\\', other]),
                    None => text.push('\\'),
                },
                Some(other) => text.push(other),
            }
        }
        let place = start..self.at;
        if self.peek().is_some_and(|next| !next.is_whitespace() && !ends.contains(&next)) {
            // `"exact words"*` says that the last word is a beginning.
            if self.peek() == Some('*') {
                self.take();
                text.push('*');
            } else {
                let what = "white space is expected behind a quote";
                return Err(self.wrong(self.at..self.at + self.next_len(), what));
            }
        }
        Ok(Value { text, place, is_quoted: true })
    }

    fn of_field(&mut self, field: &str, place: std::ops::Range<usize>) -> Result<Ask, Wrong> {
        if let Some(name) = Name::ALL.iter().find(|name| name.word() == field) {
            let known = name.words();
            return Ok(Ask::Name(*name, self.patterns(field, known.as_deref())?));
        }
        if let Some(mark) = Mark::ALL.iter().find(|mark| mark.word() == field) {
            return Ok(Ask::Mark(*mark, self.patterns(field, None)?));
        }
        if let Some(texts) = Texts::ALL.iter().find(|texts| texts.word() == field) {
            let value = self.value(&[])?;
            if value.text.is_empty() {
                let what = format!("a word or a phrase in quotes is expected behind `{field}:`");
                return Err(self.wrong(place.start..self.at, what));
            }
            return self.phrase(Some(*texts), value);
        }
        let number = Number::ALL.iter().find(|number| number.word() == field);
        let value = self.value(&[])?;
        if let Some(number) = number {
            let found = span(*number, &value.text);
            return found.map(|span| Ask::Number(*number, span)).ok_or_else(|| {
                let what = format!("`{field}:` takes {}", number.form());
                self.wrong(value.place, what)
            });
        }
        match field {
            "since" | "until" => {
                let Some(moment) = moment(&value.text, self.now_unix_ms) else {
                    let what = format!(
                        "`{field}:` takes a time back from now such as `2h`, a day such as \
                         `2026-11-28`, or a moment such as `2026-11-28T10:00Z`"
                    );
                    return Err(self.wrong(value.place, what));
                };
                Ok(if field == "since" { Ask::Since(moment) } else { Ask::Until(moment) })
            }
            "gaps" if value.text == "yes" => Ok(Ask::Gaps),
            "gaps" => Err(self.wrong(value.place, "`gaps:yes` or `-gaps:yes` is expected")),
            _ => {
                let known = words();
                let nearest = crate::table::nearest(field, known.iter().copied());
                let mut wrong = self.wrong(place, format!("there is no field `{field}`"));
                wrong.nearest = nearest.map(|word| format!("{word}:"));
                if wrong.nearest.is_none() {
                    wrong.what = format!(
                        "there is no field `{field}`; fields are {}. A text with a colon is \
                         searched for in quotes",
                        known.join(", ")
                    );
                }
                Err(wrong)
            }
        }
    }

    fn patterns(&mut self, field: &str, known: Option<&[&str]>) -> Result<Vec<Pattern>, Wrong> {
        let start = self.at;
        let mut patterns = Vec::new();
        loop {
            let value = self.value(&[','])?;
            if value.text.is_empty() {
                let what = format!("a name is expected behind `{field}:`; `*` stands for any");
                return Err(self.wrong(start..self.at + self.next_len(), what));
            }
            if let Some(known) = known
                && !value.text.contains('*')
                && !known.contains(&&*value.text)
            {
                let nearest = crate::table::nearest(&value.text, known.iter().copied());
                let what = format!("`{field}:` is one of {}", known.join(", "));
                let mut wrong = self.wrong(value.place, what);
                wrong.nearest = nearest.map(str::to_owned);
                return Err(wrong);
            }
            patterns.push(Pattern::new(&value.text));
            if patterns.len() > ALTERNATIVES_MAX {
                let what = format!("a term has {ALTERNATIVES_MAX} alternatives at most");
                return Err(self.wrong(start..self.at, what));
            }
            if self.peek() != Some(',') {
                return Ok(patterns);
            }
            self.take();
        }
    }

    fn phrase(&self, texts: Option<Texts>, value: Value) -> Result<Ask, Wrong> {
        let (text, is_beginning) = match value.text.strip_suffix('*') {
            Some(text) if !value.is_quoted || !text.is_empty() => (text.to_owned(), true),
            Some(_) | None => (value.text.clone(), false),
        };
        if !text.chars().any(char::is_alphanumeric) {
            let what = "a word needs letters or digits";
            return Err(self.wrong(value.place, what));
        }
        if text.contains('*') && !value.is_quoted {
            let what = "in texts `*` stands only at the end of a word";
            return Err(self.wrong(value.place, what));
        }
        Ok(Ask::Words(texts, Words { text, is_beginning }))
    }
}

/// `>2s`, `>=400`, `<1`, `10..20`, `5xx`, `503`.
fn span(number: Number, text: &str) -> Option<Span> {
    let one = |text: &str| amount(number, text);
    if let Some(rest) = text.strip_prefix(">=") {
        return Some(Span { from: one(rest)?, to: u64::MAX });
    }
    if let Some(rest) = text.strip_prefix("<=") {
        return Some(Span { from: 0, to: one(rest)? });
    }
    if let Some(rest) = text.strip_prefix('>') {
        return Some(Span { from: one(rest)?.saturating_add(1), to: u64::MAX });
    }
    if let Some(rest) = text.strip_prefix('<') {
        // Nothing is less than nothing: then from lies behind to.
        let most = one(rest)?;
        return Some(match most.checked_sub(1) {
            Some(to) => Span { from: 0, to },
            None => Span { from: 1, to: 0 },
        });
    }
    if let Some((from, to)) = text.split_once("..") {
        let span = Span { from: one(from)?, to: one(to)? };
        return (span.from <= span.to).then_some(span);
    }
    if number == Number::Status
        && let Some(class) = text.strip_suffix("xx")
    {
        let class: u64 = class.parse().ok().filter(|class| (1..=9).contains(class))?;
        return Some(Span { from: class * 100, to: class * 100 + 99 });
    }
    let exact = one(text.strip_prefix('=').unwrap_or(text))?;
    Some(Span { from: exact, to: exact })
}

/// A number in the unit that the index has.
fn amount(number: Number, text: &str) -> Option<u64> {
    match number {
        Number::Status | Number::Tokens | Number::Attempts | Number::Prompt | Number::Answer => {
            whole(text)
        }
        Number::Cost => scaled(text.strip_prefix('$').unwrap_or(text), 1_000_000.0),
        Number::Latency | Number::Ttft => {
            let units = [("ms", 1e3), ("us", 1.0), ("s", 1e6), ("m", 6e7), ("h", 3.6e9)];
            let (rest, unit) = units
                .iter()
                .find_map(|(name, unit)| text.strip_suffix(name).map(|rest| (rest, *unit)))?;
            scaled(rest, unit)
        }
    }
}

fn whole(text: &str) -> Option<u64> {
    let digits = text.replace('_', "");
    let is_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_digits)
}

fn scaled(text: &str, unit: f64) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value: f64 = text.parse().ok().filter(|_| is_plain)?;
    Some((value * unit).round() as u64)
}

/// A moment in milliseconds since the Unix epoch: how long ago (`30m`, `2h`, `7d`), `now`, or a moment
/// of RFC 3339, in UTC where it names no offset.
pub fn moment(text: &str, now_unix_ms: u64) -> Option<u64> {
    let units =
        [("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];
    for (name, unit) in units {
        if let Some(number) = text.strip_suffix(name).and_then(whole) {
            return Some(now_unix_ms.saturating_sub(number.saturating_mul(unit)));
        }
    }
    if text == "now" {
        return Some(now_unix_ms);
    }
    let moment = timestamp(text)?;
    u64::try_from(moment.as_millisecond()).ok()
}

fn timestamp(text: &str) -> Option<Timestamp> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    // Without an offset it is UTC, as all that we show is.
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    if let Ok(moment) = text.parse::<civil::DateTime>() {
        return moment.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    }
    let day = text.parse::<civil::Date>().ok()?;
    day.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
