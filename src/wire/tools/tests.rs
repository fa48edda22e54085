use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;

const CHAT: Dialect = Dialect::OpenaiChat;
const RESPONSES: Dialect = Dialect::OpenaiResponses;
const ANTHROPIC: Dialect = Dialect::Anthropic;
const GEMINI: Dialect = Dialect::Gemini;
const BEDROCK: Dialect = Dialect::Bedrock;

/// A dialect, a body, the killed tools, and the body that is left; the same one if nothing is.
const CASES: &[(Dialect, &str, &[&str], &str)] = &[
    // The place of a tool in its list.
    (
        CHAT,
        r#"{"x":1.0,"tools":[ {"type":"function","function":{"name":"a"}} , {"type":"function","function":{"name":"b"}} ],"y":[]}"#,
        &["a"],
        r#"{"x":1.0,"tools":[ {"type":"function","function":{"name":"b"}} ],"y":[]}"#,
    ),
    (
        CHAT,
        r#"{"tools":[{"type":"function","function":{"name":"a"}},{"type":"custom","custom":{"name":"b"}}]}"#,
        &["b"],
        r#"{"tools":[{"type":"function","function":{"name":"a"}}]}"#,
    ),
    // Names and members are read decoded.
    (
        CHAT,
        r#"{"t\u006fols":[{"type":"function","function":{"n\u0061me":"\u0069ssue"}}],"model":"m"}"#,
        &["issue"],
        r#"{"model":"m"}"#,
    ),
    // The choice goes with the last tool, and falls back when its tool goes.
    (
        CHAT,
        r#"{"model":"m","tools":[{"type":"function","function":{"name":"a"}}],"tool_choice":"required","parallel_tool_calls":false}"#,
        &["a"],
        r#"{"model":"m"}"#,
    ),
    (
        CHAT,
        r#"{"tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}],"tool_choice":{"type":"function","function":{"name":"a"}},"parallel_tool_calls":true}"#,
        &["a"],
        r#"{"tools":[{"type":"function","function":{"name":"b"}}],"tool_choice":"auto","parallel_tool_calls":true}"#,
    ),
    (
        CHAT,
        r#"{"tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}]}}}"#,
        &["a"],
        r#"{"tools":[{"type":"function","function":{"name":"b"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"b"}}]}}}"#,
    ),
    (
        RESPONSES,
        r#"{"tools":[{"type":"function","name":"a"},{"type":"function","name":"b"}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"a"}]}}"#,
        &["a"],
        r#"{"tools":[{"type":"function","name":"b"}],"tool_choice":"none"}"#,
    ),
    // Bedrock has tools and choice in one object.
    (
        BEDROCK,
        r#"{"toolConfig":{"tools":[{"toolSpec":{"name":"a"}},{"cachePoint":{"type":"default"}},{"toolSpec":{"name":"b"}}],"toolChoice":{"tool":{"name":"a"}}},"messages":[]}"#,
        &["a"],
        r#"{"toolConfig":{"tools":[{"cachePoint":{"type":"default"}},{"toolSpec":{"name":"b"}}],"toolChoice":{"auto":{}}},"messages":[]}"#,
    ),
    (
        BEDROCK,
        r#"{"messages":[],"toolConfig":{"toolChoice":{"any":{}},"tools":[{"systemTool":{"name":"a"}},{"cachePoint":{"type":"default"}}]}}"#,
        &["a"],
        r#"{"messages":[]}"#,
    ),
    // Legacy functions.
    (
        CHAT,
        r#"{"functions":[{"name":"a"},{"name":"b"}],"function_call":{"name":"b"}}"#,
        &["b"],
        r#"{"functions":[{"name":"a"}],"function_call":"auto"}"#,
    ),
    (CHAT, r#"{"functions":[{"name":"b"}],"function_call":{"name":"b"}}"#, &["b"], "{}"),
    (CHAT, r#"{"web_search_options":{},"n":1}"#, &["web_search"], r#"{"n":1}"#),
    // Tools that the provider runs.
    (
        RESPONSES,
        r#"{"tools":[{"type":"web_search"},{"type":"custom","name":"sh"},{"type":"mcp","server_label":"s","server_url":"u"}],"tool_choice":{"type":"web_search"}}"#,
        &["web_search", "s"],
        r#"{"tools":[{"type":"custom","name":"sh"}],"tool_choice":"auto"}"#,
    ),
    (
        RESPONSES,
        r#"{"tools":[{"type":"mcp","server_label":"s","allowed_tools":["a","b"]},{"type":"mcp","server_label":"t","allowed_tools":{"tool_names":["b"]}}]}"#,
        &["b"],
        r#"{"tools":[{"type":"mcp","server_label":"s","allowed_tools":["a"]}]}"#,
    ),
    (
        RESPONSES,
        r#"{"tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"a"},{"type":"function","name":"b"}]}]}"#,
        &["a"],
        r#"{"tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"b"}]}]}"#,
    ),
    (
        RESPONSES,
        r#"{"input":["odd",{"type":"message","tools":[{"name":"a"}]},{"type":"tool_search_output","tools":[{"type":"function","name":"a"}]}],"tools":[{"type":"tool_search"}]}"#,
        &["a"],
        r#"{"input":["odd",{"type":"message","tools":[{"name":"a"}]},{"type":"tool_search_output","tools":[]}],"tools":[{"type":"tool_search"}]}"#,
    ),
    (
        ANTHROPIC,
        r#"{"tools":[{"name":"a","input_schema":{}},{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"tool","name":"web_search"}}"#,
        &["web_search"],
        r#"{"tools":[{"name":"a","input_schema":{}}],"tool_choice":{"type":"auto"}}"#,
    ),
    (
        ANTHROPIC,
        r#"{"tools":[{"type":"bash_20250124","name":"bash"}],"tool_choice":{"type":"any"},"max_tokens":1}"#,
        &["bash_20250124"],
        r#"{"max_tokens":1}"#,
    ),
    (
        ANTHROPIC,
        r#"{"mcp_servers":[{"name":"s"},{"name":"t"}],"tools":[{"type":"mcp_toolset","mcp_server_name":"s"},{"type":"mcp_toolset","mcp_server_name":"t","configs":{"a":{"enabled":true},"b":{"enabled":false}}}]}"#,
        &["s", "a", "b"],
        r#"{"mcp_servers":[{"name":"t"}],"tools":[{"type":"mcp_toolset","mcp_server_name":"t","configs":{"a":{"enabled":false},"b":{"enabled":false}}}]}"#,
    ),
    (
        ANTHROPIC,
        r#"{"mcp_servers":[{"name":"s","tool_configuration":{"enabled":true,"allowed_tools":["a","b"]}}]}"#,
        &["b"],
        r#"{"mcp_servers":[{"name":"s","tool_configuration":{"enabled":true,"allowed_tools":["a"]}}]}"#,
    ),
    (
        GEMINI,
        r#"{"tools":[{"functionDeclarations":[{"name":"a"},{"name":"b"}]},{"google_search":{}}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["a","b"]}}}"#,
        &["a", "googleSearch"],
        r#"{"tools":[{"functionDeclarations":[{"name":"b"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["b"]}}}"#,
    ),
    (
        GEMINI,
        r#"{"contents":[],"tools":[{"function_declarations":[{"name":"a"}],"codeExecution":{}}],"tool_config":{"function_calling_config":{"mode":"ANY"},"retrieval_config":{}}}"#,
        &["a"],
        r#"{"contents":[],"tools":[{"codeExecution":{}}],"tool_config":{"retrieval_config":{}}}"#,
    ),
    (
        GEMINI,
        r#"{"contents":[],"tools":[{"functionDeclarations":[{"name":"a"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}"#,
        &["a"],
        r#"{"contents":[]}"#,
    ),
    (
        GEMINI,
        r#"{"tools":[{"functionDeclarations":[{"name":"a"},{"name":"b"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["a"]}}}"#,
        &["a"],
        r#"{"tools":[{"functionDeclarations":[{"name":"b"}]}],"toolConfig":{"functionCallingConfig":{"mode":"NONE"}}}"#,
    ),
    (GEMINI, r#"{"tools":[{"codeExecution":{}}],"a":1}"#, &["code_execution"], r#"{"a":1}"#),
];

fn strip(dialect: Dialect, body: &str, killed: &[&str]) -> Option<Stripped> {
    strip_tools(dialect, body.as_bytes(), &mut |name| killed.contains(&name)).unwrap()
}

fn names(dialect: Dialect, body: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    tool_names(dialect, body, &mut |name| names.push(name.to_owned())).unwrap();
    names
}

#[test]
fn what_is_left() {
    for (dialect, body, killed, expected) in CASES {
        let stripped = strip(*dialect, body, killed).unwrap();
        assert_eq!(String::from_utf8(stripped.body.clone()).unwrap(), *expected);
        assert!(strip(*dialect, expected, killed).is_none(), "{expected}");
        assert!(!stripped.names.is_empty());
        let before = names(*dialect, body.as_bytes());
        assert!(stripped.names.iter().all(|name| before.contains(name)), "{before:?}");
        let left = names(*dialect, &stripped.body);
        assert!(!left.iter().any(|name| killed.contains(&&**name)), "{left:?}");
        assert!(strip(*dialect, body, &["other"]).is_none());
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for (dialect, body, what) in [
        (CHAT, r#"{"tools":[],"t\u006fols":[]}"#, "`tools` stands twice"),
        (CHAT, r#"{"tools":[{"function":{"name":"a","name":"b"}}]}"#, "`name` stands twice"),
        (CHAT, r#"{"tools":[{"function":{"name":"a"},"function":{}}]}"#, "`function` stands twice"),
        (ANTHROPIC, r#"{"tools":[{"name":"a","name":"b"}]}"#, "`name` stands twice"),
        (RESPONSES, r#"{"tools":[{"type":"mcp","type":"function"}]}"#, "`type` stands twice"),
        (
            GEMINI,
            r#"{"tools":[{"functionDeclarations":[],"function_declarations":[]}]}"#,
            "`functionDeclarations` and `function_declarations` are the same member; send it once",
        ),
        (CHAT, r#"{"tools":{}}"#, "`tools` must be an array"),
        (CHAT, r#"{"tools":[1]}"#, "`tools` must be an object"),
    ] {
        let error = strip_tools(dialect, body.as_bytes(), &mut |_| true).unwrap_err();
        assert_eq!(error.what, what, "{body}");
        assert!(error.at.is_some(), "{body}");
    }
}

/// One definition of the tool `name`, and what the list is called that it stands in.
fn definition(dialect: Dialect, name: &str) -> Value {
    use serde_json::json;
    match dialect {
        CHAT => {
            json!({"type": "function", "function": {"name": name, "parameters": {"name": "x"}}})
        }
        RESPONSES => json!({"type": "function", "name": name, "parameters": {}}),
        ANTHROPIC => json!({"name": name, "input_schema": {"properties": {"name": {}}}}),
        GEMINI => json!({"functionDeclarations": [{"name": name}]}),
        BEDROCK => json!({"toolSpec": {"name": name, "inputSchema": {"json": {}}}}),
    }
}

proptest! {
    #[test]
    fn no_killed_tool_is_left_and_the_others_stay(
        which in 0..4usize,
        tools in proptest::collection::vec(".{0,8}", 0..6),
        killed in proptest::collection::vec(any::<bool>(), 6),
        pretty in any::<bool>(),
    ) {
        let dialect = Dialect::ALL[which];
        let tools: Vec<String> = tools.iter().enumerate().map(|(at, tool)| format!("{at}{tool}")).collect();
        let dead: BTreeSet<&str> =
            tools.iter().zip(&killed).filter(|(_, dead)| **dead).map(|(tool, _)| &**tool).collect();
        let list: Vec<Value> = tools.iter().map(|tool| definition(dialect, tool)).collect();
        let whole = serde_json::json!({"a": "tools", "tools": list, "z": {"name": "x"}});
        let body = if pretty { serde_json::to_vec_pretty(&whole) } else { serde_json::to_vec(&whole) }.unwrap();
        let stripped = strip_tools(dialect, &body, &mut |name| dead.contains(name)).unwrap();
        match stripped {
            None => prop_assert!(dead.is_empty()),
            Some(stripped) => {
                prop_assert_eq!(stripped.names.iter().map(|name| &**name).collect::<BTreeSet<_>>(), dead.clone());
                let after: Value = serde_json::from_slice(&stripped.body).unwrap();
                let left: Vec<&Value> = list.iter().zip(&tools)
                    .filter(|(_, tool)| !dead.contains(&***tool)).map(|(value, _)| value).collect();
                let found: Vec<&Value> = after["tools"].as_array().into_iter().flatten().collect();
                prop_assert_eq!(found, left);
                prop_assert_eq!(&after["a"], "tools");
                prop_assert_eq!(&after["z"], &whole["z"]);
            }
        }
    }

    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for dialect in Dialect::ALL {
            let _ = strip_tools(dialect, &body, &mut |_| true);
        }
    }

    #[test]
    fn no_shape_panics_and_what_is_left_is_json(at in 0..CASES.len(), cut in 0..400usize, with in "[\\[\\]{},:\"a-z]{0,3}", whose in 0..4usize) {
        let mut body = CASES[at].1.to_owned();
        let cut = cut.min(body.len());
        body.insert_str(cut, &with);
        for killed in [true, false] {
            if let Ok(Some(stripped)) = strip_tools(Dialect::ALL[whose], body.as_bytes(), &mut |_| killed) {
                prop_assert!(serde_json::from_slice::<Value>(&stripped.body).is_ok());
            }
        }
    }
}
