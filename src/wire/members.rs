//! The members of a JSON object, borrowed, each with its value unread.
//!
//! What always holds: no name stands twice, so what we read under a name is what every reader
//! behind us reads; no more than [`MEMBERS_MAX`] members, so that looking one up is cheap. An
//! object that breaks either is not read at all.

use super::event::{Event, Place};
use super::{Sink, json};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;

/// The most members of one object. The widest object of the dialect, a `usage`, has about 15.
const MEMBERS_MAX: usize = 64;

/// The members of an object, in order.
#[derive(Debug, Default)]
pub(crate) struct Members<'a>(SmallVec<[(Cow<'a, str>, &'a RawValue); 4]>);

/// A member's name, borrowed where it has no escapes.
pub(crate) struct Name<'a>(pub(crate) Cow<'a, str>);

impl<'a> Members<'a> {
    /// The members of `text` if it is one object.
    pub(crate) fn parse(text: &'a str) -> Option<Members<'a>> {
        serde_json::from_str(text).ok()
    }

    /// The number that is the member `name` of `data`, and where in it the digits stand.
    pub(crate) fn number_in(data: &[u8], name: &str) -> Option<(u16, std::ops::Range<usize>)> {
        let members = Members::parse(std::str::from_utf8(data).ok()?)?;
        let digits = members.get(name)?.get();
        let start = json::offset_of(data, digits)?;
        Some((digits.parse().ok()?, start..start + digits.len()))
    }

    /// The members of `raw` if it is an object.
    pub(crate) fn of(raw: &'a RawValue) -> Option<Members<'a>> {
        raw.get().starts_with('{').then(|| Members::parse(raw.get())).flatten()
    }

    /// The value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// Takes `name` out.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.remove(at).1)
    }

    /// Takes `name` out if it is a string, and gives its text.
    pub(crate) fn take_string(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let text = json::string(self.get(name)?)?;
        self.take(name);
        Some(text)
    }

    /// Takes `name` out if it is a string, as text and as it stands.
    pub(crate) fn take_text(&mut self, name: &str) -> Option<(Cow<'a, str>, &'a RawValue)> {
        let raw = self.get(name)?;
        Some((self.take_string(name)?, raw))
    }

    /// Takes `name` out if its value is an object.
    pub(crate) fn take_object(&mut self, name: &str) -> Option<&'a RawValue> {
        self.get(name)?.get().starts_with('{').then(|| self.take(name)).flatten()
    }

    /// Takes `name` out if its value is exactly `json`: what an encoder writes by itself.
    pub(crate) fn drop_default(&mut self, name: &str, json: &str) {
        if self.get(name).is_some_and(|value| value.get() == json) {
            self.take(name);
        }
    }

    /// Takes out those members of which `wanted` holds.
    pub(crate) fn split_off(&mut self, wanted: impl Fn(&str) -> bool) -> Members<'a> {
        let mut out = Members::default();
        self.0.retain(|(key, value)| {
            let taken = wanted(key);
            if taken {
                out.0.push((std::mem::take(key), *value));
            }
            !taken
        });
        out
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (&**key, *value))
    }

    /// All members, in order.
    pub(crate) fn into_all(self) -> impl Iterator<Item = (Cow<'a, str>, &'a RawValue)> {
        self.0.into_iter()
    }

    /// Says all that is left as [`Event::Extra`] at `place`.
    pub(crate) fn extras(self, place: Place, sink: &mut Sink<'_>) {
        for (key, value) in self.0 {
            sink(Event::Extra { place, key, json: Cow::Borrowed(value.get()) });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn insert<E: Error>(
        &mut self,
        key: Cow<'a, str>,
        value: &'a RawValue,
    ) -> Result<(), E> {
        if self.0.len() >= MEMBERS_MAX {
            return Err(E::custom("too many members"));
        }
        if self.0.iter().any(|(known, _)| *known == key) {
            return Err(E::custom("a member stands twice"));
        }
        self.0.push((key, value));
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members::default();
                while let Some(Name(key)) = map.next_key()? {
                    members.insert(key, map.next_value()?)?;
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
