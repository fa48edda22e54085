use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::fmt::Write as _;

const CHAT: Dialect = Dialect::OpenaiChat;
const RESPONSES: Dialect = Dialect::OpenaiResponses;
const ANTHROPIC: Dialect = Dialect::Anthropic;
const GEMINI: Dialect = Dialect::Gemini;

/// One request in each dialect, with all that it can say.
const FULL: [(Dialect, &str); 5] = [
    (CHAT, include_str!("samples/openai-chat.json")),
    (RESPONSES, include_str!("samples/openai-responses.json")),
    (ANTHROPIC, include_str!("samples/anthropic.json")),
    (GEMINI, include_str!("samples/gemini.json")),
    (Dialect::Bedrock, include_str!("samples/bedrock.json")),
];

/// A request that every dialect can say.
fn plain(dialect: Dialect) -> Prompt {
    let mut prompt = Prompt::new(dialect);
    prompt.system.push("Be kind.".into());
    prompt.push(Role::User, vec![Part::Text("What is on the picture?".into())]);
    let source = Source::Base64 { media_type: "image/png".into(), data: "iVBORw0=".into() };
    prompt.push(Role::User, vec![Part::Media(Media::new(MediaKind::Image, source))]);
    let input = Input::Json(r#"{"z":1.50,"a":[12345678901234567890123]}"#.into());
    let call = Call { id: "call_7".into(), name: "look".into(), input, signature: None };
    prompt.push(Role::Assistant, vec![Part::Text("I look.".into()), Part::Call(call)]);
    let result = ToolResult {
        id: "call_7".into(),
        name: Some("look".into()),
        parts: vec![Part::Text("a \"cat\"\n".into())],
        is_error: false,
        is_custom: false,
    };
    prompt.push(Role::User, vec![Part::Result(result), Part::Text("So?".into())]);
    prompt.tools.push(Tool::Function(Function {
        name: "look".into(),
        description: Some("Looks.".into()),
        schema: Json::parse(r#"{"type":"object","properties":{"z":{"type":"number"},"a":{}}}"#),
        strict: None,
    }));
    prompt.choice = Some(Choice::One("look".into()));
    prompt.labels.store = Some(false);
    prompt.sampling.output_tokens_max = Some(100);
    prompt.sampling.temperature = Some(0.5);
    prompt
}

/// What does not depend on the dialect that it was read in.
fn essence(mut prompt: Prompt) -> Prompt {
    prompt.dialect = CHAT;
    prompt.losses = Losses::default();
    prompt.labels.store = None;
    for turn in &mut prompt.turns {
        for part in &mut turn.parts {
            if let Part::Call(call) = part {
                call.signature = None;
            }
        }
    }
    for tool in &mut prompt.tools {
        if let Tool::Function(function) = tool {
            function.strict = function.strict.filter(|strict| *strict);
        }
    }
    prompt
}

#[test]
fn what_all_can_say_survives_every_pair() {
    for from in Dialect::ALL {
        for to in Dialect::ALL {
            let mut losses = Losses::default();
            let body = write(from, &plain(from), &mut losses);
            let (body, lost) = translate(from, to, &body, "m", false).unwrap();
            assert!(losses.is_empty() && lost.is_empty(), "{from:?} {to:?}: {losses} {lost}");
            let mut read = read(to, &body).unwrap();
            // These name the model in the path.
            let has_model = !matches!(to, Dialect::Gemini | Dialect::Bedrock);
            assert_eq!(read.model.as_deref(), has_model.then_some("m"), "{from:?} {to:?}");
            read.model = None;
            assert_eq!(essence(read), essence(plain(from)), "{from:?} {to:?}");
        }
    }
}

#[test]
fn a_request_that_comes_back_to_its_dialect_says_the_same() {
    for (dialect, body) in FULL {
        let prompt = read(dialect, body.as_bytes()).unwrap();
        let mut losses = Losses::default();
        let mut again = read(dialect, &write(dialect, &prompt, &mut losses)).unwrap();
        again.losses = prompt.losses;
        assert_eq!(again, prompt, "{dialect:?}");
        assert_eq!(losses, prompt.losses, "{dialect:?}");
    }
}

#[test]
fn a_stream_of_chat_says_what_it_counts() {
    let body = br#"{"messages":[{"role":"user","content":"hi"}],"stream":false}"#;
    let (out, _) = translate(CHAT, CHAT, body, "m", true).unwrap();
    let out: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(out["stream_options"]["include_usage"], true);
    let (out, _) = translate(CHAT, ANTHROPIC, body, "m", true).unwrap();
    let out: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(out["stream"], true);
    assert_eq!(out["max_tokens"], 4096);
}

/// A pair, a request, and members of what it becomes, as JSON pointers.
type Rule = (Dialect, Dialect, &'static str, &'static [(&'static str, &'static str)]);

const RULES: &[Rule] = &[
    // Neighbouring turns merge, results come first, ids have few letters.
    (
        CHAT,
        ANTHROPIC,
        r#"{"messages":[{"role":"developer","content":"s"},{"role":"user","content":"a"},{"role":"user","content":"b"},
            {"role":"assistant","tool_calls":[{"id":"c.1","type":"function","function":{"name":"f","arguments":""}}]},
            {"role":"tool","tool_call_id":"c.1","content":"r"},{"role":"user","content":"d"}]}"#,
        &[
            ("/system", r#""s""#),
            ("/messages/0/content", r#"[{"type":"text","text":"a"},{"type":"text","text":"b"}]"#),
            ("/messages/1/content", r#"[{"type":"tool_use","id":"c_1","name":"f","input":{}}]"#),
            ("/messages/2/content/0/type", r#""tool_result""#),
            ("/messages/2/content/0/tool_use_id", r#""c_1""#),
            ("/messages/2/content/1/text", r#""d""#),
        ],
    ),
    // A result has the name of the call, which Chat does not repeat.
    (
        CHAT,
        GEMINI,
        r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},
            {"role":"tool","tool_call_id":"c","content":"r"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"additionalProperties":false,"type":"object"}}}],"tool_choice":"required","reasoning_effort":"low"}"#,
        &[
            ("/contents/1/role", r#""model""#),
            ("/contents/1/parts/0/functionCall/args", r#"{"x":1}"#),
            ("/contents/2/parts/0/functionResponse/name", r#""f""#),
            ("/contents/2/parts/0/functionResponse/response", r#"{"output":"r"}"#),
            ("/tools/0/functionDeclarations/0/parametersJsonSchema/additionalProperties", "false"),
            ("/toolConfig/functionCallingConfig/mode", r#""ANY""#),
            ("/generationConfig/thinkingConfig/thinkingBudget", "1024"),
        ],
    ),
    // Gemini's results without ids find their calls, and its schemas become JSON Schema.
    (
        GEMINI,
        CHAT,
        r#"{"contents":[{"parts":[{"text":"a"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}},{"functionCall":{"name":"g","args":{}}}]},
            {"role":"user","parts":[{"functionResponse":{"name":"g","response":{"result":"2"}}},{"functionResponse":{"name":"f","response":{"error":"1"}}}]}],
            "tools":[{"function_declarations":[{"name":"f","parameters":{"type":"OBJECT","properties":{"q":{"type":"STRING"}}}}]}]}"#,
        &[
            ("/messages/1/tool_calls/1/function/name", r#""g""#),
            ("/messages/2/tool_call_id", r#""call_1""#),
            ("/messages/2/content", r#""2""#),
            ("/messages/3/tool_call_id", r#""call_0""#),
            (
                "/tools/0/function/parameters",
                r#"{"type":"object","properties":{"q":{"type":"string"}}}"#,
            ),
        ],
    ),
    // Google's own libraries write base64 for addresses, which others refuse.
    (
        GEMINI,
        ANTHROPIC,
        r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"application/pdf","data":"-_8"}},{"text":"a"}]}]}"#,
        &[("/messages/0/content/0/source/data", r#""+/8=""#)],
    ),
    // What a tool returned beside text follows as the user's.
    (
        ANTHROPIC,
        CHAT,
        r#"{"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"url","url":"https://x/y.png"}}]}]}]}"#,
        &[
            ("/messages/2/role", r#""tool""#),
            ("/messages/3/content/0/image_url/url", r#""https://x/y.png""#),
            ("/max_completion_tokens", "9"),
        ],
    ),
    // A custom tool becomes a function, and its call the function's.
    (
        RESPONSES,
        ANTHROPIC,
        r#"{"instructions":"s","input":[{"role":"user","content":"a"},{"type":"custom_tool_call","call_id":"c","name":"sh","input":"ls"},
            {"type":"custom_tool_call_output","call_id":"c","output":"x"}],"tools":[{"type":"custom","name":"sh"}],"parallel_tool_calls":false}"#,
        &[
            ("/messages/1/content/0/input", r#"{"input":"ls"}"#),
            ("/tools/0/input_schema/required", r#"["input"]"#),
            ("/tool_choice", r#"{"type":"auto","disable_parallel_tool_use":true}"#),
        ],
    ),
    // The answer is not kept unless it was to be, and functions are not strict unless they were.
    (
        CHAT,
        RESPONSES,
        r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f"}}],
            "response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}},"max_tokens":70}"#,
        &[
            ("/store", "false"),
            ("/instructions", r#""s""#),
            ("/tools/0/strict", "false"),
            ("/text/format/name", r#""n""#),
            ("/max_output_tokens", "70"),
        ],
    ),
    // System texts alone are the user's turn where there must be one.
    (
        CHAT,
        ANTHROPIC,
        r#"{"messages":[{"role":"system","content":"s"}],"temperature":2,"top_p":0.5}"#,
        &[("/messages/0/content/0/text", r#""s""#), ("/temperature", "1")],
    ),
];

#[test]
fn rules_of_the_dialects() {
    for (from, to, body, members) in RULES {
        let (out, _) = translate(*from, *to, body.as_bytes(), "m", false).unwrap();
        let out: Value = serde_json::from_slice(&out).unwrap();
        for (pointer, expected) in *members {
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(out.pointer(pointer), Some(&expected), "{pointer} of {out}");
        }
    }
}

#[test]
fn a_forced_tool_that_cannot_be_sent_is_a_stated_loss() {
    let body = br#"{"max_tokens":1,"messages":[{"role":"user","content":"a"}],"tool_choice":{"type":"tool","name":"web_search"},
        "tools":[{"type":"web_search_20250305","name":"web_search"}]}"#;
    for to in [CHAT, RESPONSES, GEMINI] {
        let (out, losses) = translate(ANTHROPIC, to, body, "m", false).unwrap();
        assert!(losses.has(Loss::ToolChoice) && losses.has(Loss::HostedTools), "{to:?}: {losses}");
        let out: Value = serde_json::from_slice(&out).unwrap();
        assert!(["tools", "tool_choice", "toolConfig"].iter().all(|name| out.get(name).is_none()));
    }
}

#[test]
fn the_documentation_lists_the_losses() {
    let mut expected = Vec::new();
    for (from, body) in FULL {
        for to in Dialect::ALL {
            if from == to {
                continue;
            }
            let (out, losses) = translate(from, to, body.as_bytes(), "m", false).unwrap();
            assert!(serde_json::from_slice::<Value>(&out).is_ok());
            let mut row = format!("| `{}` | `{}` | ", from.name(), to.name());
            for (at, loss) in losses.iter().enumerate() {
                let comma = if at > 0 { ", " } else { "" };
                let _ = write!(row, "{comma}`{}`", loss.name());
            }
            expected.push(row + " |");
        }
    }
    for loss in Loss::ALL {
        expected.push(format!("| `{}` | {} |", loss.name(), loss.about()));
    }
    let doc = include_str!("../../../docs/translation.md");
    // The answers' own table has its own test.
    let is_answers = |line: &str| line.contains("<!-- answers: ");
    let mut is_inside = false;
    let rows: Vec<&str> = doc
        .lines()
        .filter(|line| {
            is_inside ^= is_answers(line);
            !is_inside && line.starts_with("| `")
        })
        .collect();
    assert_eq!(rows, expected, "docs/translation.md should read:\n{}", expected.join("\n"));
}

/// Any prompt that every dialect can say, but for its texts.
fn prompts() -> impl Strategy<Value = Prompt> {
    let text = "[a-zA-Z0-9\"\\\\\n é🎉]{0,12}x";
    let turns = proptest::collection::vec((text, text, any::<bool>()), 1..5);
    (proptest::collection::vec(text, 0..3), turns, any::<bool>()).prop_map(
        |(system, turns, tools)| {
            let mut prompt = plain(CHAT);
            prompt.system = system;
            prompt.turns.clear();
            if !tools {
                prompt.tools.clear();
                prompt.choice = None;
            }
            for (at, (user, answer, calls)) in turns.into_iter().enumerate() {
                prompt.push(Role::User, vec![Part::Text(user.clone())]);
                let mut parts = vec![Part::Text(answer)];
                if calls {
                    let id = format!("call_{at}");
                    let input = Input::Json(format!("{{\"at\":{at}.0}}"));
                    parts.push(Part::Call(Call {
                        id: id.clone(),
                        name: "look".into(),
                        input,
                        signature: None,
                    }));
                    prompt.push(Role::Assistant, parts);
                    let (name, parts) = (Some("look".into()), vec![Part::Text(user)]);
                    let result = ToolResult { id, name, parts, is_error: false, is_custom: false };
                    prompt.push(Role::User, vec![Part::Result(result)]);
                } else {
                    prompt.push(Role::Assistant, parts);
                }
            }
            prompt.push(Role::User, vec![Part::Text("and?".into())]);
            prompt
        },
    )
}

proptest! {
    #[test]
    fn any_conversation_survives_every_pair(prompt in prompts(), from in 0..5usize, to in 0..5usize) {
        let (from, to) = (Dialect::ALL[from], Dialect::ALL[to]);
        let mut losses = Losses::default();
        let body = write(from, &prompt, &mut losses);
        let (body, lost) = translate(from, to, &body, "m", false).unwrap();
        prop_assert!(losses.is_empty() && lost.is_empty(), "{} {}", losses, lost);
        let mut back = read(to, &body).unwrap();
        back.model = None;
        prop_assert_eq!(essence(back), essence(prompt));
    }

    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for dialect in Dialect::ALL {
            let _ = read(dialect, &body);
        }
    }

    /// A damaged request is refused, or becomes JSON in every dialect.
    #[test]
    fn no_shape_panics(which in 0..FULL.len(), cut in 0..6000usize, end in 0..40usize, with in "[\\[\\]{},:\"a-z0-9]{0,3}") {
        let (dialect, body) = FULL[which];
        let cut = cut.min(body.len());
        let end = (cut + end).min(body.len());
        let body = [&body.as_bytes()[..cut], with.as_bytes(), &body.as_bytes()[end..]].concat();
        for to in Dialect::ALL {
            if let Ok((out, _)) = translate(dialect, to, &body, "m", true) {
                prop_assert!(serde_json::from_slice::<Value>(&out).is_ok());
            }
        }
    }
}
