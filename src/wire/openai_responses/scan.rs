//! A walk over JSON that is known to be valid, without building a tree.
//!
//! Everything here is a slice of the text it was given, so that its place is its address. The
//! text has passed `serde_json` before; on text that has not, the walk ends early and never
//! panics. Every function is linear in its input; none recurses.

use crate::wire::json;
pub(super) use crate::wire::json::{elements, members};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;

/// The most members that a frame or body may have; real frames have up to nine, bodies some 45.
const FRAME_MEMBERS_MAX: usize = 128;

/// The members of a frame or body, each once, in their order; validates all of it.
pub(super) struct Frame<'a> {
    text: &'a str,
    members: Listed<'a>,
}

type Listed<'a> = SmallVec<[(Cow<'a, str>, &'a str); 10]>;

impl<'a> Frame<'a> {
    /// Reads one whole JSON object; `None` for anything else, a member that stands twice
    /// included, for readers differ on which of the two counts.
    pub(super) fn parse(text: &'a str) -> Option<Frame<'a>> {
        let FrameMembers(members) = serde_json::from_str(text).ok()?;
        Some(Frame { text, members })
    }

    /// The whole object.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// Says the member `name` anew; the text stays as it is.
    pub(super) fn set(&mut self, name: &'static str, value: &'a str) {
        match self.members.iter_mut().find(|(key, _)| key == name) {
            Some((_, known)) => *known = value,
            None => self.members.push((Cow::Borrowed(name), value)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Cow<'a, str>, &'a str)> {
        self.members.iter().map(|(key, value)| (key, *value))
    }
}

struct FrameMembers<'a>(Listed<'a>);

impl<'de> Deserialize<'de> for FrameMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = FrameMembers<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Listed::new();
                while let Some(Key(key)) = map.next_key()? {
                    if members.iter().any(|(known, _)| *known == key) {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                    if members.len() == FRAME_MEMBERS_MAX {
                        return Err(A::Error::custom("too many members"));
                    }
                    members.push((key, map.next_value::<&'de RawValue>()?.get()));
                }
                Ok(FrameMembers(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A member's name, borrowed unless it is escaped.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl<'de> Visitor<'de> for Name {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }
            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(name)))
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

/// The member `name`; of several the last, which is the one that most readers take.
pub(super) fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    members(object).filter(|(key, _)| key == name).last().map(|(_, value)| value)
}

/// What is between the quotes of a string; `None` for any other value.
pub(super) fn inside(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

/// The text of a string; `None` for any other value.
pub(super) fn string(value: &str) -> Option<Cow<'_, str>> {
    inside(value).map(json::unescape)
}

/// The text of the member `name`, if it is a string.
pub(super) fn string_member<'a>(object: &'a str, name: &str) -> Option<Cow<'a, str>> {
    member(object, name).and_then(string)
}

/// A count; imitators write `created_at` as `1784324967.0`.
pub(super) fn count(value: &str) -> Option<u64> {
    value.parse().ok().or_else(|| {
        let float: f64 = value.parse().ok()?;
        (0.0..9e15).contains(&float).then_some(float as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_and_elements() {
        let object = r#"{ "a" : [1, {"x":"]}"}, "q\"," ] , "b\u0031":"\\","c":-1.5e3 , "d":{}}"#;
        let all: Vec<_> = members(object).map(|(k, v)| (k.into_owned(), v)).collect();
        assert_eq!(all.len(), 4);
        assert_eq!(all[1], ("b1".to_owned(), r#""\\""#));
        assert_eq!(all[2].1, "-1.5e3");
        let list: Vec<_> = elements(all[0].1).collect();
        assert_eq!(list, ["1", r#"{"x":"]}"}"#, r#""q\",""#]);
        assert_eq!(count("17.0"), Some(17));
        assert_eq!(count("-1"), None);
    }

    #[test]
    fn a_member_that_stands_twice_is_no_frame() {
        assert!(Frame::parse(r#"{"delta":"a","d\u0065lta":"b"}"#).is_none());
        assert!(Frame::parse(r#"{"delta":"a"} x"#).is_none());
    }

    proptest! {
        #[test]
        fn never_panics(text in "[{}\\[\\]\":,\\\\a1 ü]{0,40}") {
            let _ = members(&text).count() + elements(&text).count();
        }
    }
}
