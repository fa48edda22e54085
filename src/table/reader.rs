//! Reads TOML values of a given kind and collects what is wrong with them.
//!
//! Every reading returns `None` when it has complained, so the caller goes on to the next key and
//! one run reports everything. Values that came from references are never put into a message:
//! what is shown is what stands in the file.

use super::diagnostic::{Diagnostic, clamp};
use super::words::{listed, nearest, shown};
use super::{Lookup, Money, codes, interpolate};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Most complaints about one file; one more says that there are more.
const COMPLAINTS_MAX: usize = 1000;

/// A value of the file with its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// A string of the file, references filled in.
#[derive(Debug)]
pub(super) struct Text {
    /// The value.
    pub(super) value: String,
    /// What stands in the file: safe to show.
    pub(super) raw: String,
    /// The place.
    pub(super) span: Range<usize>,
    /// The variables and files that it took.
    pub(super) references: Vec<String>,
}

/// A table of the file whose keys are known to be right.
#[derive(Debug)]
pub(super) struct Section<'v, 'i> {
    table: &'v DeTable<'i>,
    /// Where it begins.
    pub(super) span: Range<usize>,
    /// What it is, in words: `[providers.openai]`.
    pub(super) what: String,
}

impl<'v, 'i> Section<'v, 'i> {
    /// The value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&'v Value<'i>> {
        self.table.get(key)
    }

    /// Keys and values in the order of the file.
    pub(super) fn entries(&self) -> Vec<(&'v str, Range<usize>, &'v Value<'i>)> {
        let mut entries: Vec<_> =
            self.table.iter().map(|(key, value)| (&**key.get_ref(), key.span(), value)).collect();
        entries.sort_by_key(|(_, span, _)| span.start);
        entries
    }

    /// The place of the key `key`, or of the whole.
    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        let found = self.table.iter().find(|(name, _)| name.get_ref() == key);
        found.map_or_else(|| self.span.clone(), |(name, _)| name.span())
    }
}

/// Collects complaints about one file.
pub(super) struct Reader<'r> {
    name: PathBuf,
    text: Arc<str>,
    folder: Option<PathBuf>,
    lookup: &'r Lookup<'r>,
    found: Vec<Diagnostic>,
    /// What references stood for, in the order of reading: a part of the table's digest.
    taken: Vec<String>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(file: Option<&Path>, text: &str, lookup: &'r Lookup<'r>) -> Reader<'r> {
        Reader {
            name: file.map_or_else(|| PathBuf::from(super::EMBEDDED_NAME), Path::to_path_buf),
            text: text.into(),
            folder: file.and_then(Path::parent).map(Path::to_path_buf),
            lookup,
            found: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// Adds a complaint; the catalogue says how bad it is.
    pub(super) fn report(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let (code, message, help) = match self.found.len() {
            0..COMPLAINTS_MAX => (code, message.into(), help),
            COMPLAINTS_MAX => (codes::TOO_MANY, "there is more than is listed".to_owned(), None),
            _ => return,
        };
        self.found.push(Diagnostic {
            code,
            severity: codes::severity(code),
            message,
            file: self.name.clone(),
            text: Arc::clone(&self.text),
            span: clamp(&self.text, &span),
            help,
        });
    }

    /// The complaints so far.
    pub(super) fn found(&self) -> &[Diagnostic] {
        &self.found
    }

    /// Keeps only the complaints that `keep` says.
    pub(super) fn retain(&mut self, keep: impl FnMut(&Diagnostic) -> bool) {
        self.found.retain(keep);
    }

    /// Every complaint in the order of the file, each once; and what references stood for.
    pub(super) fn finish(mut self) -> (Vec<Diagnostic>, Vec<String>) {
        self.found.sort_by(|a, b| {
            (a.span.start, a.span.end, a.code).cmp(&(b.span.start, b.span.end, b.code))
        });
        self.found.dedup();
        (self.found, self.taken)
    }

    /// `path` as the file means it: a relative one starts at the file's folder.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.as_deref().map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
    }

    fn wrong_kind(&mut self, value: &Value<'_>, expected: &str, what: &str) {
        let is = value.get_ref().type_str();
        let article = if is.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        self.report(
            codes::WRONG_TYPE,
            value.span(),
            format!("`{what}` must be {expected}, and this is {article} {is}"),
            None,
        );
    }

    /// A table with any keys.
    pub(super) fn open<'v, 'i>(
        &mut self,
        value: &'v Value<'i>,
        what: &str,
    ) -> Option<Section<'v, 'i>> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_kind(value, "a table", what);
            return None;
        };
        Some(Section { table, span: value.span(), what: what.to_owned() })
    }

    /// A table with these keys and no others.
    pub(super) fn section<'v, 'i>(
        &mut self,
        value: &'v Value<'i>,
        what: &str,
        keys: &[&str],
    ) -> Option<Section<'v, 'i>> {
        let section = self.open(value, what)?;
        self.check_keys(&section, keys);
        Some(section)
    }

    /// The whole file.
    pub(super) fn root<'v, 'i>(
        &mut self,
        table: &'v Spanned<DeTable<'i>>,
        keys: &[&str],
    ) -> Section<'v, 'i> {
        let section = Section { table: table.get_ref(), span: 0..0, what: "the file".to_owned() };
        self.check_keys(&section, keys);
        section
    }

    fn check_keys(&mut self, section: &Section<'_, '_>, keys: &[&str]) {
        for (key, span, _) in section.entries() {
            if !keys.contains(&key) {
                let help = nearest(key, keys.iter().copied()).map_or_else(
                    || format!("known here: {}", listed(keys.iter().copied())),
                    |right| format!("did you mean `{right}`?"),
                );
                let message = format!("unknown key `{}` in {}", shown(key), section.what);
                self.report(codes::UNKNOWN_KEY, span, message, Some(help));
            }
        }
    }

    /// The value of a key that must be there.
    pub(super) fn required<'v, 'i>(
        &mut self,
        section: &Section<'v, 'i>,
        key: &str,
        example: &str,
    ) -> Option<&'v Value<'i>> {
        let value = section.get(key);
        if value.is_none() {
            self.report(
                codes::MISSING_KEY,
                section.span.clone(),
                format!("{} has no `{key}`", section.what),
                Some(format!("add `{example}`")),
            );
        }
        value
    }

    /// A string, which may be empty.
    pub(super) fn text_or_empty(&mut self, value: &Value<'_>, what: &str) -> Option<Text> {
        let DeValue::String(raw) = value.get_ref() else {
            self.wrong_kind(value, "a string", what);
            return None;
        };
        match interpolate::fill(raw, self.folder.as_deref(), self.lookup) {
            Ok(filled) => {
                if !filled.references.is_empty() {
                    self.taken.push(filled.value.clone());
                }
                Some(Text {
                    value: filled.value,
                    raw: raw.to_string(),
                    span: value.span(),
                    references: filled.references,
                })
            }
            Err(complaints) => {
                for one in complaints {
                    self.report(one.code, value.span(), one.message, one.help);
                }
                None
            }
        }
    }

    /// A string with something in it, as it stands: `${` in it is nothing but two characters.
    pub(super) fn verbatim(&mut self, value: &Value<'_>, what: &str) -> Option<Text> {
        let DeValue::String(raw) = value.get_ref() else {
            self.wrong_kind(value, "a string", what);
            return None;
        };
        if raw.trim().is_empty() {
            self.report(codes::EMPTY, value.span(), format!("`{what}` is empty"), None);
            return None;
        }
        Some(Text {
            value: raw.to_string(),
            raw: raw.to_string(),
            span: value.span(),
            references: Vec::new(),
        })
    }

    /// The content of the file that `path` names; a part of the table's digest.
    pub(super) fn file(&mut self, path: &Text, what: &str) -> Option<String> {
        let full = self.path(&path.value);
        let name = full.to_string_lossy();
        let (code, why) = match (self.lookup)(super::Reference::File(&name)) {
            Ok(Some(content)) => {
                self.taken.push(content.clone());
                return Some(content);
            }
            Ok(None) => (codes::MISSING_FILE, "there is no such file".to_owned()),
            Err(why) => (codes::UNREADABLE_REFERENCE, why),
        };
        let message = format!("`{what}` cannot be read: {why}: {name}");
        self.report(code, path.span.clone(), message, None);
        None
    }

    /// The bytes of the file that `path` names; a part of the table's digest.
    pub(super) fn bytes(&mut self, path: &Text, what: &str) -> Option<Vec<u8>> {
        let full = self.path(&path.value);
        let name = full.to_string_lossy();
        let found = (self.lookup)(super::Reference::Bytes(&name));
        let (code, why) = match found {
            Ok(Some(content)) => {
                self.taken.push(content.clone());
                return Some(content.chars().map(|letter| letter as u8).collect());
            }
            Ok(None) => (codes::MISSING_FILE, "there is no such file".to_owned()),
            Err(why) => (codes::UNREADABLE_REFERENCE, why),
        };
        let message = format!("`{what}` cannot be read: {why}: {name}");
        self.report(code, path.span.clone(), message, None);
        None
    }

    /// A number, whole or not; what is beyond all numbers is beyond all ranges too.
    fn float(&mut self, value: &Value<'_>, what: &str) -> Option<f64> {
        match value.get_ref() {
            DeValue::Float(digits) => Some(digits.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Integer(digits) => {
                let whole = i64::from_str_radix(digits.as_str(), digits.radix());
                Some(whole.map_or(f64::NAN, |whole| whole as f64))
            }
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.wrong_kind(value, "a number", what);
                None
            }
        }
    }

    /// A number in `range`, whole or not.
    pub(super) fn number(
        &mut self,
        value: &Value<'_>,
        what: &str,
        range: RangeInclusive<f64>,
    ) -> Option<f64> {
        let number = self.float(value, what)?;
        let number = Some(number).filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!("`{what}` must be from {} to {}", range.start(), range.end());
            self.report(codes::OUT_OF_RANGE, value.span(), message, None);
        }
        number
    }

    /// True or false.
    pub(super) fn truth(&mut self, value: &Value<'_>, what: &str) -> Option<bool> {
        let DeValue::Boolean(truth) = value.get_ref() else {
            self.wrong_kind(value, "true or false", what);
            return None;
        };
        Some(*truth)
    }

    /// A string with something in it.
    pub(super) fn text(&mut self, value: &Value<'_>, what: &str) -> Option<Text> {
        let text = self.text_or_empty(value, what)?;
        if text.value.trim().is_empty() {
            let by = if text.references.is_empty() { "" } else { ", as its reference is empty" };
            self.report(codes::EMPTY, text.span, format!("`{what}` is empty{by}"), None);
            return None;
        }
        Some(text)
    }

    /// A string or an array of strings, none of them empty. An empty array is an error.
    pub(super) fn texts(&mut self, value: &Value<'_>, what: &str) -> Vec<Text> {
        match value.get_ref() {
            DeValue::Array(_) => {
                let Some(items) = self.array(value, what) else { return Vec::new() };
                if items.is_empty() {
                    self.report(
                        codes::EMPTY,
                        value.span(),
                        format!("`{what}` is an empty list"),
                        Some("leave the key out, or name at least one".to_owned()),
                    );
                }
                items.into_iter().filter_map(|item| self.text(item, what)).collect()
            }
            DeValue::String(_) => self.text(value, what).into_iter().collect(),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => {
                self.wrong_kind(value, "a string or an array of strings", what);
                Vec::new()
            }
        }
    }

    /// The items of an array.
    pub(super) fn array<'v, 'i>(
        &mut self,
        value: &'v Value<'i>,
        what: &str,
    ) -> Option<Vec<&'v Value<'i>>> {
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_kind(value, "an array", what);
            return None;
        };
        Some(items.iter().collect())
    }

    /// A whole number in `range`.
    pub(super) fn integer(
        &mut self,
        value: &Value<'_>,
        what: &str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let DeValue::Integer(digits) = value.get_ref() else {
            self.wrong_kind(value, "a whole number", what);
            return None;
        };
        let number = i128::from_str_radix(digits.as_str(), digits.radix())
            .ok()
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| range.contains(number));
        if number.is_none() {
            self.report(
                codes::OUT_OF_RANGE,
                value.span(),
                format!("`{what}` must be from {} to {}", range.start(), range.end()),
                None,
            );
        }
        number
    }

    /// An amount in USD, whole or not; at least `least`.
    pub(super) fn money(&mut self, value: &Value<'_>, what: &str, least: Money) -> Option<Money> {
        let number = self.float(value, what)?;
        let money = Money::from_usd(number).filter(|money| *money >= least);
        if money.is_none() {
            let from = if least == Money::ZERO { "from 0" } else { "above 0 and" };
            let message = format!("`{what}` must be {from} up to 1000000 USD");
            self.report(codes::OUT_OF_RANGE, value.span(), message, None);
        }
        money
    }

    /// One of a closed set of words.
    pub(super) fn word<T: Copy>(
        &mut self,
        text: &Text,
        what: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            let names = words.iter().map(|(word, _)| *word);
            let known = format!("known words: {}", listed(names.clone()));
            let help = match nearest(&text.raw, names) {
                Some(right) => format!("did you mean \"{right}\"? {known}"),
                None => known,
            };
            let message = format!("`{what}` knows no \"{}\"", shown(&text.raw));
            self.report(codes::UNKNOWN_WORD, text.span.clone(), message, Some(help));
        }
        found.map(|(_, meaning)| *meaning)
    }
}
