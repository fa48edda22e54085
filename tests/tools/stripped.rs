//! Definitions of killed tools do not reach the provider.

use crate::support::{ALL, Gateway, MockServer, Told, get_json, send};
use crate::{FAMILIES, routes};
use firedoor::wire::Dialect;
use firedoor::wire::prompt::translate;
use serde_json::json;

/// A request with two tools, of which one must be called.
fn request(dialect: Dialect, model: &str, stream: bool, forced: &str) -> Vec<u8> {
    let function = |name: &str| {
        json!({ "type": "function", "function": {
            "name": name, "description": "d", "parameters": { "type": "object", "properties": {} },
        } })
    };
    let body = json!({
        "model": model,
        "stream": stream,
        "max_tokens": 99,
        "messages": [{ "role": "user", "content": "Do it." }],
        "tools": [function("issue_refund"), function("get_weather")],
        "tool_choice": { "type": "function", "function": { "name": forced } },
    });
    let body = body.to_string().into_bytes();
    if dialect == Dialect::OpenaiChat {
        return body;
    }
    translate(Dialect::OpenaiChat, dialect, &body, model, stream).unwrap().0
}

#[test]
fn the_provider_never_hears_of_a_killed_tool_until_it_is_lifted() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes(&mock.url(), "\"x-mock\" = \"text=fine\""));
    let seen = |who: &str| {
        let all = get_json(mock.address, "/requests");
        let last = all.as_array().unwrap().last().unwrap().clone();
        last["body"].as_str().unwrap_or_else(|| panic!("{who}: {last}")).to_owned()
    };
    let by = gateway.pull(json!({ "kind": "kill", "scope": "tool:issue_refund" }));
    for is_lifted in [false, true] {
        if is_lifted {
            gateway.lift(&by);
        }
        for caller in ALL {
            for name in FAMILIES {
                for stream in [true, false] {
                    for forced in ["issue_refund", "get_weather"] {
                        let who = format!("{caller:?} at {name}, stream {stream}, {forced}");
                        let body = request(caller, name, stream, forced);
                        let answer = send(&gateway, caller, name, stream, &[], &body).answer();
                        let told = Told::of(caller, stream, &answer);
                        told.assert_one(&who);
                        assert_eq!(told.text, "fine", "{who}");
                        let body = seen(&who);
                        // Gemini's choice is a list of allowed tools; when none of it is left, no
                        // tool may be called, which Bedrock can say only by defining none.
                        let is_none_left =
                            caller == Dialect::Gemini && name == "bed" && forced == "issue_refund";
                        if is_lifted || !is_none_left {
                            assert!(body.contains("get_weather"), "{who}: {body}");
                        }
                        assert_eq!(body.contains("issue_refund"), is_lifted, "{who}: {body}");
                    }
                }
            }
        }
    }
}
