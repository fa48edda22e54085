//! JSON objects as lists of members that borrow from their frame.
//!
//! Every member is kept, in its order and verbatim, so that what is not understood can be carried
//! on, and a member that stands twice is seen to stand twice.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;

/// Up to so many members are compared with each other; more are sorted.
const FEW: usize = 16;

/// A frame, or a part of it, that is not what the dialect says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// A member that is carried on as it came.
pub(super) type Extra<'a> = (Cow<'a, str>, &'a RawValue);

/// The members of one object, in their order.
pub(super) struct Members<'a>(pub SmallVec<[Extra<'a>; 10]>);

struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }
            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(name)))
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Keys)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Objects;
        impl<'de> Visitor<'de> for Objects {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = SmallVec::new();
                while let Some((Key(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Objects)
    }
}

/// The members of the object that `text` is, none of which stands twice: another reader might
/// take the other one.
pub(super) fn members(text: &str) -> Result<Members<'_>, Unreadable> {
    let members = members_loosely(text)?;
    let names = &members.0;
    let is_twice = if names.len() <= FEW {
        names
            .iter()
            .enumerate()
            .any(|(at, (name, _))| names[..at].iter().any(|(earlier, _)| earlier == name))
    } else {
        let mut sorted: Vec<&str> = names.iter().map(|(name, _)| &**name).collect();
        sorted.sort_unstable();
        sorted.windows(2).any(|pair| pair[0] == pair[1])
    };
    if is_twice { Err(Unreadable) } else { Ok(members) }
}

/// The members of the object that `text` is, also those that stand twice.
pub(super) fn members_loosely(text: &str) -> Result<Members<'_>, Unreadable> {
    serde_json::from_str(text).map_err(|_| Unreadable)
}

/// The elements of the array that `raw` is.
pub(super) fn elements(raw: &RawValue) -> Result<Vec<&RawValue>, Unreadable> {
    serde_json::from_str(raw.get()).map_err(|_| Unreadable)
}

/// The value, unless it is `null`.
pub(super) fn some(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get() != "null")
}

/// Whether a value is a string.
pub(super) fn is_string(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

/// Whether a value is an object.
pub(super) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}
