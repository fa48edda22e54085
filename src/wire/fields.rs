//! Objects of a request's body, each member with its place, for those who rewrite bodies.
//!
//! What always holds: a member that is asked for may stand only once, in whatever spelling, so
//! that what we read is what the provider reads; an error says where. Members that nobody asks for
//! are counted, not judged.

use super::request::BodyError;
use super::view::unreadable;
use super::{json, view};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// One member of an object.
#[derive(Clone, Debug)]
pub(crate) struct Field<'b> {
    /// Its name, decoded.
    pub(crate) name: Cow<'b, str>,
    key: &'b RawValue,
    pub(crate) value: &'b RawValue,
}

/// The members of one object in a body.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'b> {
    body: &'b [u8],
    at: Option<usize>,
    members: Vec<Field<'b>>,
}

impl<'b> Fields<'b> {
    /// The members of a whole body.
    ///
    /// # Errors
    /// If it is not one JSON object in UTF-8, or nests too deep.
    pub(crate) fn body(body: &'b [u8]) -> Result<Fields<'b>, BodyError> {
        let text = view::text(body)?;
        let Found(members) =
            serde_json::from_str(text).map_err(|error| unreadable(text, &error))?;
        Ok(Fields { body, at: None, members })
    }

    /// The members of `raw`, which stands in the same body under `name`.
    ///
    /// # Errors
    /// If it is not an object.
    pub(crate) fn within(&self, raw: &'b RawValue, name: &str) -> Result<Fields<'b>, BodyError> {
        let Ok(Found(members)) = serde_json::from_str(raw.get()) else {
            return Err(self.wrong(raw, name, "an object"));
        };
        Ok(Fields { body: self.body, at: json::offset_of(self.body, raw.get()), members })
    }

    /// The elements of `raw`, which stands in the same body under `name`.
    ///
    /// # Errors
    /// If it is not an array.
    pub(crate) fn elements(
        &self,
        raw: &'b RawValue,
        name: &str,
    ) -> Result<Vec<&'b RawValue>, BodyError> {
        serde_json::from_str(raw.get()).map_err(|_| self.wrong(raw, name, "an array"))
    }

    /// Takes `name` out; `None` if it is not there, or null.
    ///
    /// # Errors
    /// If it stands twice.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<&'b RawValue>, BodyError> {
        let value = self.get(name)?;
        self.members.retain(|field| field.name != name);
        Ok(value)
    }

    /// The value of `name`; `None` if it is not there, or null.
    ///
    /// # Errors
    /// If it stands twice.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&'b RawValue>, BodyError> {
        let mut found = self.members.iter().filter(|field| field.name == name);
        let first = found.next();
        if let Some(second) = found.next() {
            return Err(BodyError {
                at: json::offset_of(self.body, second.key.get()),
                what: format!("`{name}` stands twice").into(),
            });
        }
        Ok(first.map(|field| field.value).filter(|value| value.get() != "null"))
    }

    /// Takes out a member that has two spellings.
    ///
    /// # Errors
    /// If it stands twice, in whatever spelling.
    pub(crate) fn take_either(
        &mut self,
        name: &str,
        other: &str,
    ) -> Result<Option<&'b RawValue>, BodyError> {
        match (self.take(name)?, self.take(other)?) {
            (Some(_), Some(second)) => Err(BodyError {
                at: json::offset_of(self.body, second.get()),
                what: format!("`{name}` and `{other}` are the same member; send it once").into(),
            }),
            (found, None) | (None, found) => Ok(found),
        }
    }

    /// Takes out a string.
    ///
    /// # Errors
    /// If it stands twice or is not a string.
    pub(crate) fn string(&mut self, name: &str) -> Result<Option<String>, BodyError> {
        let Some(raw) = self.take(name)? else { return Ok(None) };
        self.text(raw, name).map(Some)
    }

    /// Takes out a string that must be there.
    ///
    /// # Errors
    /// If it is missing, stands twice or is not a string.
    pub(crate) fn must_string(&mut self, name: &str) -> Result<String, BodyError> {
        self.string(name)?.ok_or_else(|| self.missing(name))
    }

    /// Takes out a value that must be there.
    ///
    /// # Errors
    /// If it is missing or stands twice.
    pub(crate) fn must(&mut self, name: &str) -> Result<&'b RawValue, BodyError> {
        self.take(name)?.ok_or_else(|| self.missing(name))
    }

    /// The text of `raw`, which stands under `name`.
    ///
    /// # Errors
    /// If it is not a string.
    pub(crate) fn text(&self, raw: &'b RawValue, name: &str) -> Result<String, BodyError> {
        json::string(raw).map(Cow::into_owned).ok_or_else(|| self.wrong(raw, name, "a string"))
    }

    /// Takes out `true` or `false`.
    ///
    /// # Errors
    /// If it stands twice or is neither.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, BodyError> {
        let Some(raw) = self.take(name)? else { return Ok(None) };
        self.scalar(raw, name, "true or false").map(Some)
    }

    /// Takes out a number.
    ///
    /// # Errors
    /// If it stands twice or is no such number.
    pub(crate) fn number<T: serde::de::DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, BodyError> {
        let Some(raw) = self.take(name)? else { return Ok(None) };
        self.scalar(raw, name, "a number in the allowed range").map(Some)
    }

    /// Takes out an object.
    ///
    /// # Errors
    /// If it stands twice or is not an object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Fields<'b>>, BodyError> {
        let Some(raw) = self.take(name)? else { return Ok(None) };
        self.within(raw, name).map(Some)
    }

    /// Takes out an array; none is an empty one.
    ///
    /// # Errors
    /// If it stands twice or is not an array.
    pub(crate) fn array(&mut self, name: &str) -> Result<Vec<&'b RawValue>, BodyError> {
        let Some(raw) = self.take(name)? else { return Ok(Vec::new()) };
        self.elements(raw, name)
    }

    /// Whether members are left that are not null.
    pub(crate) fn has_rest(&self) -> bool {
        self.members.iter().any(|field| field.value.get() != "null")
    }

    /// All members that are left, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Field<'b>> {
        self.members.iter()
    }

    /// Where a value of this body stands in it.
    pub(crate) fn place(&self, raw: &RawValue) -> Range<usize> {
        let start = json::offset_of(self.body, raw.get()).unwrap_or(0);
        start..start + raw.get().len()
    }

    /// Where a member, name and value, stands in the body.
    pub(crate) fn place_of(&self, field: &Field<'_>) -> Range<usize> {
        self.place(field.key).start..self.place(field.value).end
    }

    /// A complaint about a value.
    pub(crate) fn wrong(&self, raw: &RawValue, name: &str, expected: &str) -> BodyError {
        BodyError {
            at: json::offset_of(self.body, raw.get()),
            what: format!("`{name}` must be {expected}").into(),
        }
    }

    /// A complaint that a member is not there.
    pub(crate) fn missing(&self, name: &str) -> BodyError {
        BodyError { at: self.at, what: format!("`{name}` is missing").into() }
    }

    /// The value of `raw`, which stands under `name`.
    ///
    /// # Errors
    /// If it is not what is expected.
    pub(crate) fn scalar<T: serde::de::DeserializeOwned>(
        &self,
        raw: &RawValue,
        name: &str,
        expected: &str,
    ) -> Result<T, BodyError> {
        serde_json::from_str(raw.get()).map_err(|_| self.wrong(raw, name, expected))
    }
}

/// The members of any object, in order.
struct Found<'b>(Vec<Field<'b>>);

impl<'de> Deserialize<'de> for Found<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Found<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<&'de RawValue>()? {
                    let name = json::string(key).unwrap_or(Cow::Borrowed(key.get()));
                    members.push(Field { name, key, value: map.next_value()? });
                }
                Ok(Found(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_read_once_decoded_and_with_its_place() {
        let body = br#" {"t\u006fols" : [1, 2],"x":{"a":1,"\u0061":2},"n":null} "#;
        let mut top = Fields::body(body).unwrap();
        let field = top.iter().next().unwrap().clone();
        assert_eq!(&body[top.place_of(&field)], br#""t\u006fols" : [1, 2]"#);
        let tools = top.array("tools").unwrap();
        assert_eq!(&body[top.place(tools[1])], b"2");
        let mut inner = top.object("x").unwrap().unwrap();
        let error = inner.take("a").unwrap_err();
        assert_eq!(error.what, "`a` stands twice");
        assert_eq!(error.at, Some(35));
        assert!(!top.has_rest());
        assert!(top.take("n").unwrap().is_none());
        assert_eq!(top.must("model").unwrap_err().what, "`model` is missing");
    }

    #[test]
    fn two_spellings_are_one_member() {
        let mut top = Fields::body(br#"{"toolConfig":{},"tool_config":{}}"#).unwrap();
        assert!(top.take_either("toolConfig", "tool_config").is_err());
        let mut top = Fields::body(br#"{"tool_config":{}}"#).unwrap();
        assert!(top.take_either("toolConfig", "tool_config").unwrap().is_some());
    }
}
