//! Google's own form of schemas, as JSON Schema: types in small letters, and `nullable` as a type.

use crate::wire::json::push_string;
use crate::wire::object::{Array, Object};
use crate::wire::prompt::Json;
use crate::wire::view::shallow;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The JSON Schema that says what `text`, a schema of Google's, says.
pub(super) fn standard(text: &str) -> Option<Json> {
    shallow(text.as_bytes()).ok()?;
    let mut out = Vec::with_capacity(text.len());
    schema(text, &mut out)?;
    Json::parse(std::str::from_utf8(&out).ok()?)
}

/// The members of an object, in order; a name that stands twice stays so.
struct Ordered<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Ordered<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Ordered<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Ordered(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn schema(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let Ok(Ordered(members)) = serde_json::from_str(text) else {
        out.extend_from_slice(text.as_bytes());
        return Some(());
    };
    let is_nullable =
        members.iter().any(|(name, value)| name == "nullable" && value.get() == "true");
    let mut object = Object::open(out);
    for (name, value) in &members {
        match &**name {
            "nullable" | "propertyOrdering" | "property_ordering" => {}
            "type" => {
                let word: String = serde_json::from_str(value.get()).ok()?;
                let word = word.to_ascii_lowercase();
                if is_nullable {
                    let mut kinds = Array::open(object.key("type"));
                    push_string(kinds.next(), &word);
                    push_string(kinds.next(), "null");
                    kinds.close();
                } else {
                    object.string("type", &word);
                }
            }
            "properties" => {
                let Ordered(properties) = serde_json::from_str(value.get()).ok()?;
                let mut inner = Object::open(object.key(name));
                for (name, value) in properties {
                    schema(value.get(), inner.key(&name))?;
                }
                inner.close();
            }
            "items" => schema(value.get(), object.key(name))?,
            "anyOf" | "any_of" => {
                let list: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
                let mut inner = Array::open(object.key("anyOf"));
                for value in list {
                    schema(value.get(), inner.next())?;
                }
                inner.close();
            }
            // Google writes these counts as strings.
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties"
            | "maxProperties" => object.raw(name, value.get().trim_matches('"')),
            _ => object.raw(name, value.get()),
        }
    }
    object.close();
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_nullability_and_order() {
        let google = r#"{"type":"OBJECT","properties":{"z":{"type":"STRING","nullable":true},"type":{"type":"ARRAY","items":{"type":"INTEGER"},"maxItems":"3"}},"required":["z"],"propertyOrdering":["z"]}"#;
        let plain = r#"{"type":"object","properties":{"z":{"type":["string","null"]},"type":{"type":"array","items":{"type":"integer"},"maxItems":3}},"required":["z"]}"#;
        assert_eq!(standard(google).unwrap().text(), plain);
        assert_eq!(standard(r#"{"type":7}"#), None);
    }
}
