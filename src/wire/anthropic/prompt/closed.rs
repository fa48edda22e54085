//! A schema as structured outputs take it: objects that say `additionalProperties: false`
//! (<https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs>, "JSON Schema
//! limitations").

use serde_json::Value;
use std::borrow::Cow;

/// Members whose values are examples of what the schema describes, and no schemas.
const VALUES: [&str; 4] = ["enum", "const", "default", "examples"];
/// Members whose members are schemas, whatever their names are.
const NAMED: [&str; 4] = ["properties", "$defs", "definitions", "patternProperties"];

/// `schema` with every object closed that says nothing of other members; as it was where none is.
pub(super) fn closed(schema: &str) -> Cow<'_, str> {
    let Ok(mut value) = serde_json::from_str::<Value>(schema) else { return Cow::Borrowed(schema) };
    if close(&mut value) { Cow::Owned(value.to_string()) } else { Cow::Borrowed(schema) }
}

/// Tells whether anything was closed.
fn close(schema: &mut Value) -> bool {
    let members = match schema {
        Value::Array(items) => return items.iter_mut().fold(false, |any, item| close(item) | any),
        Value::Object(members) => members,
        _ => return false,
    };
    let mut any = false;
    for (name, value) in members.iter_mut() {
        if let (true, Value::Object(named)) = (NAMED.contains(&name.as_str()), &mut *value) {
            any = named.values_mut().fold(any, |any, schema| close(schema) | any);
        } else if !VALUES.contains(&name.as_str()) {
            any |= close(value);
        }
    }
    let is_object = members.get("type").is_some_and(|kind| kind == "object")
        || members.get("properties").is_some_and(Value::is_object);
    if is_object && !members.contains_key("additionalProperties") {
        members.insert("additionalProperties".to_owned(), Value::Bool(false));
        any = true;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_are_closed_wherever_they_stand() {
        let open = json!({
            "type": "object",
            "properties": {
                "default": { "type": "object", "properties": { "a": { "type": "string" } } },
                "list": { "type": "array", "items": { "type": "object", "properties": {} } },
                "kept": { "type": "object", "additionalProperties": { "type": "string" } },
                "sample": { "type": "string", "default": { "type": "object" } }
            },
            "$defs": { "properties": { "properties": {} } }
        });
        let told: Value = serde_json::from_str(&closed(&open.to_string())).unwrap();
        for place in ["", "/properties/default", "/properties/list/items", "/$defs/properties"] {
            assert_eq!(
                told.pointer(place).unwrap()["additionalProperties"],
                false,
                "{place}: {told}"
            );
        }
        assert_eq!(told["properties"]["kept"], open["properties"]["kept"]);
        assert_eq!(told["properties"]["sample"], open["properties"]["sample"]);
        let again = told.to_string();
        assert!(matches!(closed(&again), Cow::Borrowed(_)));
        assert_eq!(closed("{\"type\":\"string\"}"), "{\"type\":\"string\"}");
    }
}
