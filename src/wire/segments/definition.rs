//! Definitions of tools, and the schemas in them.
//!
//! All dialects define a tool by name, description and schema, under names of which no two mean
//! different things; so one grammar does for all.

use super::super::event::Kind;
use super::node::{Node, Sense, unknown};

const DEFINITION: Sense = Sense::of(Kind::ToolDefinition);

/// Members of a definition, and of the objects that dialects put around it.
pub(in crate::wire) fn definition(_: Sense, name: &str) -> Node {
    match name {
        "function"
        | "custom"
        | "toolSpec"
        | "tools"
        | "functionDeclarations"
        | "function_declarations" => Node::object(DEFINITION, definition),
        "parameters"
        | "input_schema"
        | "output_schema"
        | "parametersJsonSchema"
        | "parameters_json_schema"
        | "response"
        | "responseJsonSchema"
        | "response_json_schema"
        | "schema" => schema(),
        // Bedrock's schema stands one level down, in the form of an answer as text.
        "inputSchema" => Node::object(DEFINITION, input_schema),
        "input_examples" => Node::free(DEFINITION),
        "cachePoint" => Node::SKIP,
        _ => unknown(DEFINITION, name),
    }
}

fn input_schema(_: Sense, name: &str) -> Node {
    match name {
        "json" => schema(),
        _ => unknown(DEFINITION, name),
    }
}

/// A JSON Schema.
pub(in crate::wire) const fn schema() -> Node {
    Node::object(DEFINITION, keyword)
}

/// Types that say nothing but what they are, in JSON Schema and in Google's form of it.
pub(super) const SCHEMA_TYPES: &[&str] = &[
    "string", "number", "integer", "boolean", "object", "array", "null", "STRING", "NUMBER",
    "INTEGER", "BOOLEAN", "OBJECT", "ARRAY", "NULL",
];

/// Members of a schema. All that stands in one reaches the model, so all of it is text but the
/// words of JSON Schema itself.
fn keyword(_: Sense, name: &str) -> Node {
    match name {
        "type" => Node::schema_type(DEFINITION),
        "properties" | "patternProperties" | "dependentSchemas" | "dependentRequired" | "$defs"
        | "definitions" => Node::object(DEFINITION, property),
        "default" | "const" | "enum" | "example" | "examples" => Node::free(DEFINITION),
        "items"
        | "prefixItems"
        | "additionalItems"
        | "unevaluatedItems"
        | "contains"
        | "additionalProperties"
        | "unevaluatedProperties"
        | "propertyNames"
        | "allOf"
        | "anyOf"
        | "oneOf"
        | "not"
        | "if"
        | "then"
        | "else"
        | "title"
        | "description"
        | "format"
        | "pattern"
        | "required"
        | "$ref"
        | "$schema"
        | "$id"
        | "$comment"
        | "$anchor"
        | "contentEncoding"
        | "contentMediaType"
        | "propertyOrdering"
        | "nullable"
        | "deprecated"
        | "readOnly"
        | "writeOnly"
        | "minimum"
        | "maximum"
        | "exclusiveMinimum"
        | "exclusiveMaximum"
        | "multipleOf"
        | "minLength"
        | "maxLength"
        | "minItems"
        | "maxItems"
        | "uniqueItems"
        | "minProperties"
        | "maxProperties" => schema(),
        _ => schema().named(),
    }
}

/// A name that the schema's author chose.
fn property(_: Sense, _: &str) -> Node {
    schema().named()
}
