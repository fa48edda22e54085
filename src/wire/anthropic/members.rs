//! The top of a frame, read in one pass with the one member that frames come for.

pub(super) use crate::wire::members::{Members, Name};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::fmt;

/// The top of a frame: `delta`, the one member of frames that come by the thousand, is read in the
/// same pass.
#[derive(Debug)]
pub(super) struct Top<'a> {
    pub(super) delta: Option<Members<'a>>,
    pub(super) rest: Members<'a>,
}

impl<'de> Deserialize<'de> for Top<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Top<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top<'de>, A::Error> {
                let mut top = Top { delta: None, rest: Members::default() };
                while let Some(Name(key)) = map.next_key()? {
                    if key != "delta" {
                        top.rest.insert(key, map.next_value()?)?;
                    } else if top.delta.is_none() {
                        top.delta = Some(map.next_value()?);
                    } else {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                }
                Ok(top)
            }
        }
        deserializer.deserialize_map(Object)
    }
}
