//! Every caller at every family of providers: what the provider is asked and what the caller gets.

use crate::support::{ALL, Answer, Case, Gateway, MockServer, Told, Upstream, ask, get_json, send};
use crate::{FAMILIES, Family, provider, route};
use firedoor::wire::Dialect;
use firedoor::wire::event::StopReason;
use firedoor::wire::prompt::{Choice, Input, MediaKind, Part, Prompt, Role, Source, Tool};
use firedoor::wire::prompt::{read, translate};
use serde_json::{Value, json};

const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A conversation with all that agents send: system prompt, image, parallel calls, results, tools.
fn conversation() -> Vec<u8> {
    let function = |name: &str| {
        json!({ "type": "function", "function": {
            "name": name,
            "description": "what it does",
            "parameters": { "type": "object", "properties": { "city": { "type": "string" } } },
        } })
    };
    let call = |id: &str, city: &str| {
        json!({ "id": id, "type": "function", "function": {
            "name": "get_weather", "arguments": format!("{{\"city\":\"{city}\"}}"),
        } })
    };
    json!({
        "model": "any",
        "max_tokens": 99,
        "messages": [
            { "role": "system", "content": "Be terse." },
            { "role": "user", "content": [
                { "type": "text", "text": "Where is this?" },
                { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{PIXEL}") } },
            ] },
            { "role": "assistant", "content": null, "tool_calls": [call("call_a", "Oslo"), call("call_b", "Rome")] },
            { "role": "tool", "tool_call_id": "call_a", "content": "rain" },
            { "role": "tool", "tool_call_id": "call_b", "content": "sun" },
        ],
        "tools": [function("get_weather"), function("now")],
        "tool_choice": "auto",
    })
    .to_string()
    .into_bytes()
}

/// The conversation as a caller of `dialect` sends it.
fn request(dialect: Dialect, model: &str, stream: bool) -> Vec<u8> {
    let body = conversation();
    if dialect == Dialect::OpenaiChat {
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        body["model"] = model.into();
        body["stream"] = stream.into();
        return body.to_string().into_bytes();
    }
    translate(Dialect::OpenaiChat, dialect, &body, model, stream).unwrap().0
}

/// What a conversation comes to, whatever dialect it was read from.
fn gist(prompt: &Prompt) -> Value {
    let part = |part: &Part| match part {
        Part::Text(text) => json!({ "text": text }),
        Part::Media(media) => {
            assert_eq!(media.kind, MediaKind::Image);
            match &media.source {
                Source::Base64 { media_type, data } => json!({ "image": media_type, "data": data }),
                other => panic!("{other:?}"),
            }
        }
        Part::Call(call) => {
            let Input::Json(input) = &call.input else { panic!("{call:?}") };
            let input: Value = serde_json::from_str(input).unwrap();
            json!({ "call": call.name, "input": input })
        }
        Part::Result(result) => {
            let texts: Vec<_> = result
                .parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.clone(),
                    other => panic!("{other:?}"),
                })
                .collect();
            json!({ "result": texts, "of": result.name.clone().or_else(|| prompt.called(&result.id).map(str::to_owned)) })
        }
        other => panic!("{other:?}"),
    };
    let turns: Vec<_> = prompt
        .turns
        .iter()
        .map(|turn| {
            let who = if turn.role == Role::Assistant { "assistant" } else { "user" };
            json!({ "who": who, "parts": turn.parts.iter().map(part).collect::<Vec<_>>() })
        })
        .collect();
    let tools: Vec<_> = prompt
        .tools
        .iter()
        .map(|tool| match tool {
            Tool::Function(function) => json!([function.name, function.description]),
            other => panic!("{other:?}"),
        })
        .collect();
    json!({ "system": prompt.system, "turns": turns, "tools": tools })
}

/// Whether the provider of `dialect` is asked where and as its dialect asks.
fn assert_asked(seen: &Value, name: &str, dialect: Dialect, stream: bool) {
    let head = seen["head"].as_str().unwrap();
    let field = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        })
    };
    let who = format!("{name}: {head}");
    assert!(!head.contains("caller"), "{who}");
    assert!(!head.contains(&hash("caller-secret")), "{who}");
    let key = format!("key-of-{name}");
    let header = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Bedrock => "authorization",
        Dialect::Anthropic => "x-api-key",
        Dialect::Gemini => "x-goog-api-key",
    };
    let shown = field(header).unwrap_or_else(|| panic!("{header}: {who}"));
    assert!(shown.contains(&hash(&key)), "{shown}: {who}");
    for other in ["authorization", "x-api-key", "x-goog-api-key", "api-key", "x-firedoor-key"] {
        assert!(other == header || field(other).is_none(), "{other}: {who}");
    }
    assert_eq!(field("content-type").as_deref(), Some("application/json"), "{who}");
    assert_eq!(field("anthropic-beta"), None, "{who}");
    assert_eq!(field("anthropic-version").is_some(), dialect == Dialect::Anthropic, "{who}");
    let body: Value = serde_json::from_str(seen["body"].as_str().unwrap()).unwrap();
    let model = format!("model-of-{name}");
    let target = Case { dialect, provider: "any" }.target(&model, stream);
    assert_eq!(seen["target"], target, "{who}");
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Anthropic => {
            assert_eq!(body["model"], model, "{body}");
            assert_eq!(body["stream"].as_bool().unwrap_or(false), stream, "{body}");
        }
        Dialect::Gemini | Dialect::Bedrock => {
            assert!(body["model"].is_null() && body["stream"].is_null(), "{body}");
        }
    }
    assert_shape(&body, dialect);
}

/// The places that the dialect's own reference gives, looked at without the library.
fn assert_shape(body: &Value, dialect: Dialect) {
    let places: &[(&str, &str)] = match dialect {
        Dialect::OpenaiChat => &[
            ("/messages/0/content", "Be terse."),
            ("/messages/2/tool_calls/1/function/name", "get_weather"),
            ("/messages/4/role", "tool"),
            ("/tools/1/function/name", "now"),
        ],
        Dialect::OpenaiResponses => &[
            ("/instructions", "Be terse."),
            ("/input/0/content/0/type", "input_text"),
            ("/input/0/content/1/type", "input_image"),
            ("/input/0/content/1/detail", "auto"),
            ("/input/1/type", "function_call"),
            ("/input/2/name", "get_weather"),
            ("/input/4/type", "function_call_output"),
            ("/input/4/output", "sun"),
            ("/tools/1/type", "function"),
            ("/tools/1/name", "now"),
            ("/tool_choice", "auto"),
        ],
        Dialect::Anthropic => &[
            ("/messages/0/role", "user"),
            ("/messages/0/content/1/source/data", PIXEL),
            ("/messages/1/content/1/type", "tool_use"),
            ("/messages/2/content/1/type", "tool_result"),
            ("/tools/1/name", "now"),
        ],
        Dialect::Gemini => &[
            ("/contents/0/parts/1/inlineData/data", PIXEL),
            ("/contents/1/role", "model"),
            ("/contents/1/parts/1/functionCall/name", "get_weather"),
            ("/contents/2/parts/1/functionResponse/name", "get_weather"),
        ],
        Dialect::Bedrock => &[
            ("/system/0/text", "Be terse."),
            ("/messages/0/content/1/image/format", "png"),
            ("/messages/1/content/1/toolUse/name", "get_weather"),
            ("/toolConfig/tools/1/toolSpec/name", "now"),
        ],
    };
    for (place, value) in places {
        assert_eq!(body.pointer(place), Some(&json!(value)), "{place}: {body:#}");
    }
    if dialect == Dialect::Anthropic {
        assert!(body["max_tokens"].is_u64(), "{body}");
    }
    if dialect == Dialect::OpenaiResponses {
        // Nobody who asks in another dialect expects the provider to keep the answer.
        assert_eq!(body["store"], false, "{body}");
        assert_eq!(body["max_output_tokens"], 99, "{body}");
        let image = body.pointer("/input/0/content/1/image_url").unwrap();
        assert_eq!(*image, format!("data:image/png;base64,{PIXEL}"), "{body}");
    }
    let results = match dialect {
        Dialect::Anthropic => body.pointer("/messages/2/content/0/tool_use_id"),
        Dialect::Bedrock => body.pointer("/messages/2/content/0/toolResult/toolUseId"),
        Dialect::OpenaiChat => body.pointer("/messages/3/tool_call_id"),
        Dialect::OpenaiResponses => body.pointer("/input/3/call_id"),
        Dialect::Gemini => return,
    };
    let calls = match dialect {
        Dialect::Anthropic => body.pointer("/messages/1/content/0/id"),
        Dialect::Bedrock => body.pointer("/messages/1/content/0/toolUse/toolUseId"),
        Dialect::OpenaiResponses => body.pointer("/input/1/call_id"),
        _ => body.pointer("/messages/2/tool_calls/0/id"),
    };
    assert!(results.is_some_and(Value::is_string), "{body:#}");
    assert_eq!(results, calls, "{body:#}");
}

/// What the simulated provider tells in place of a credential.
fn hash(secret: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes());
    let digits: Vec<String> =
        digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

const SECRETS: [(&str, &str); 6] = [
    ("authorization", "Bearer caller-secret"),
    ("x-api-key", "caller-secret"),
    ("x-goog-api-key", "caller-secret"),
    ("anthropic-beta", "caller-beta"),
    ("openai-organization", "caller-organization"),
    ("cookie", "caller-cookie"),
];

fn each(script: &str, mut check: impl FnMut(&Gateway, &MockServer, Dialect, &str, Dialect, bool)) {
    let mock = MockServer::start();
    let mut routes = String::new();
    for Family { name, .. } in FAMILIES {
        routes += &provider(name, &mock.url(), script);
        let target = format!("{{ provider = \"{name}\", model = \"model-of-{name}\" }}");
        routes += &route(&format!("to-{name}"), &target, "retry = { attempts = 1 }");
    }
    for caller in ALL {
        // Its own gateway, so that no circuit opens.
        let gateway = Gateway::start(&routes);
        for family in FAMILIES {
            let asked = family.asked_by(caller);
            for stream in [true, false] {
                check(&gateway, &mock, caller, family.name, asked, stream);
            }
        }
    }
}

fn converse(gateway: &Gateway, caller: Dialect, name: &str, stream: bool) -> Answer {
    let model = format!("to-{name}");
    let body = request(caller, &model, stream);
    send(gateway, caller, &model, stream, &SECRETS, &body).answer()
}

#[test]
fn requests_arrive_in_the_providers_dialect_and_answers_in_the_callers() {
    let before = gist(&read(Dialect::OpenaiChat, &conversation()).unwrap());
    each("text=It%20is%20Oslo.", |gateway, mock, caller, name, asked, stream| {
        let who = format!("{caller:?} at {name}, stream {stream}");
        let answer = converse(gateway, caller, name, stream);
        let told = Told::of(caller, stream, &answer);
        told.assert_one(&who);
        assert_eq!(told.text, "It is Oslo.", "{who}");
        assert_eq!(told.stop, Some(StopReason::EndTurn), "{who}");
        assert!(told.calls.is_empty(), "{who}");
        let target = answer.head.field("x-firedoor-target").unwrap();
        assert_eq!(target, format!("{name}/model-of-{name}"), "{who}");
        let record = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
        assert_eq!(record["outcome"], "completed", "{who}: {record}");
        assert_eq!(record["dialect"], caller.name(), "{who}: {record}");
        assert_eq!(record["provider"], name, "{who}: {record}");
        if caller == asked {
            assert_eq!(answer.head.field("x-firedoor-loss"), None, "{who}");
            return;
        }
        assert!(record["usage"]["input"].as_u64().is_some_and(|n| n > 0), "{who}: {record}");
        assert!(record["usage"]["output"].as_u64().is_some_and(|n| n > 0), "{who}: {record}");
        if !stream {
            assert_eq!(json!(told.counts.output), record["usage"]["output"], "{who}");
        }
        let seen = get_json(mock.address, "/requests");
        let seen = seen.as_array().unwrap().last().unwrap();
        assert_asked(seen, name, asked, stream);
        let prompt = read(asked, seen["body"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(gist(&prompt), before, "{who}");
        assert!(matches!(prompt.choice, None | Some(Choice::Auto)), "{who}: {:?}", prompt.choice);
        assert_eq!(prompt.sampling.output_tokens_max, Some(99), "{who}");
    });
}

#[test]
fn calls_arrive_whole_and_in_order() {
    let script = "tool=get_weather:{%22city%22:%22Oslo%22},tool=now:{%22zone%22:%22UTC%22}";
    each(script, |gateway, _, caller, name, _, stream| {
        let who = format!("{caller:?} at {name}, stream {stream}");
        let model = format!("to-{name}");
        let body = crate::support::Case { dialect: caller, provider: "any" };
        let body = body.body(&model, "What now?", stream);
        let answer = send(gateway, caller, &model, stream, &[], body.as_bytes()).answer();
        let told = Told::of(caller, stream, &answer);
        told.assert_one(&who);
        assert_eq!(told.called(), ["get_weather", "now"], "{who}");
        let arguments: Vec<Value> =
            told.calls.iter().map(|call| serde_json::from_str(&call.2).unwrap()).collect();
        assert_eq!(arguments, [json!({ "city": "Oslo" }), json!({ "zone": "UTC" })], "{who}");
        if caller != Dialect::Gemini {
            assert_ne!(told.calls[0].0, told.calls[1].0, "{who}");
            assert_eq!(told.stop, Some(StopReason::ToolUse), "{who}");
        }
    });
}

#[test]
fn losses_are_stated() {
    each("text=yes", |gateway, _, caller, name, asked, stream| {
        if caller != Dialect::OpenaiChat {
            return;
        }
        let body = json!({
            "model": format!("to-{name}"), "stream": stream, "logit_bias": { "50256": -100 },
            "messages": [{ "role": "user", "content": "hello" }],
        });
        let model = format!("to-{name}");
        let answer =
            send(gateway, caller, &model, stream, &[], body.to_string().as_bytes()).answer();
        let loss = answer.head.field("x-firedoor-loss").unwrap_or_default();
        assert_eq!(loss.contains("logit-bias"), caller != asked, "{name}: {loss}");
        let record = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
        assert_eq!(record["losses"].to_string().contains("logit-bias"), caller != asked);
    });
}

#[test]
fn errors_arrive_in_the_callers_words() {
    for status in [400, 401, 404, 429, 500] {
        each(
            &format!("status={status},retry_after=7"),
            |gateway, _, caller, name, asked, stream| {
                if caller == asked {
                    return;
                }
                let who = format!("{status} for {caller:?} at {name}, stream {stream}");
                let answer = converse(gateway, caller, name, stream);
                assert_eq!(answer.status(), status, "{who}: {}", answer.text());
                assert_eq!(answer.head.field("content-type"), Some("application/json"), "{who}");
                assert_eq!(answer.head.field("retry-after"), Some("7"), "{who}");
                let body = answer.json();
                let message = match caller {
                    Dialect::Bedrock => &body["message"],
                    _ => &body["error"]["message"],
                };
                assert!(
                    message.as_str().unwrap().contains("simulated provider fails"),
                    "{who}: {body}"
                );
                let word = match (caller, status) {
                    (Dialect::Anthropic, 400) => "invalid_request_error",
                    (Dialect::Anthropic, 401) => "authentication_error",
                    (Dialect::Anthropic, 404) => "not_found_error",
                    (Dialect::Anthropic, 429) => "rate_limit_error",
                    (Dialect::Anthropic, _) => "api_error",
                    (Dialect::Gemini, 400) => "INVALID_ARGUMENT",
                    (Dialect::Gemini, 401) => "UNAUTHENTICATED",
                    (Dialect::Gemini, 404) => "NOT_FOUND",
                    (Dialect::Gemini, 429) => "RESOURCE_EXHAUSTED",
                    (Dialect::Gemini, _) => "INTERNAL",
                    (Dialect::Bedrock, 400) => "ValidationException",
                    (Dialect::Bedrock, 401) => "UnrecognizedClientException",
                    (Dialect::Bedrock, 404) => "ResourceNotFoundException",
                    (Dialect::Bedrock, 429) => "ThrottlingException",
                    (Dialect::Bedrock, _) => "InternalServerException",
                    (Dialect::OpenaiChat | Dialect::OpenaiResponses, _) => "error",
                };
                assert!(body.to_string().contains(word), "{who}: {word} in {body}");
                let record = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
                assert_eq!(record["outcome"], "provider_error", "{who}: {record}");
            },
        );
    }
}

/// Which API of OpenAI's one is asked in, by what its row says and who asks.
#[test]
fn a_row_says_in_which_api_it_is_asked() {
    use Dialect::{Anthropic, Bedrock, Gemini, OpenaiChat, OpenaiResponses};
    let mock = MockServer::start();
    for (more, asked) in [
        ("", [OpenaiChat, OpenaiResponses, OpenaiChat, OpenaiChat, OpenaiChat]),
        (
            "translate_to = \"openai-responses\"\n",
            [OpenaiChat, OpenaiResponses, OpenaiResponses, OpenaiResponses, OpenaiResponses],
        ),
        ("quirks = [\"no-responses\"]\n", [OpenaiChat; 5]),
        ("quirks = [\"no-chat\"]\n", [OpenaiResponses; 5]),
    ] {
        let row =
            provider("oai", &mock.url(), "text=fine").replace("api_key", &format!("{more}api_key"));
        let target = "{ provider = \"oai\", model = \"model-of-oai\" }";
        let gateway = Gateway::start(&(row + &route("m", target, "")));
        let callers = [OpenaiChat, OpenaiResponses, Anthropic, Gemini, Bedrock];
        for (caller, asked) in callers.into_iter().zip(asked) {
            for stream in [true, false] {
                let who = format!("{caller:?}, stream {stream}, {more}");
                let body = request(caller, "m", stream);
                let answer = send(&gateway, caller, "m", stream, &SECRETS, &body).answer();
                assert_eq!(Told::of(caller, stream, &answer).text, "fine", "{who}");
                let seen = get_json(mock.address, "/requests");
                let seen = seen.as_array().unwrap().last().unwrap();
                let path =
                    if asked == OpenaiChat { "/v1/chat/completions" } else { "/v1/responses" };
                assert_eq!(seen["target"], path, "{who}");
                if asked != caller {
                    assert_asked(seen, "oai", asked, stream);
                }
            }
        }
    }
}

/// Responses fail with the status of an answer; callers of other dialects get that of a failure.
#[test]
fn an_answer_that_failed_is_an_error() {
    for (code, status) in
        [("server_error", 500), ("rate_limit_exceeded", 429), ("invalid_prompt", 400)]
    {
        let body = json!({
            "id": "resp_1", "object": "response", "created_at": 1, "status": "failed", "model": "m",
            "error": { "code": code, "message": "it went wrong" }, "output": [],
        });
        let provider_that_fails = Upstream::fixed(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.to_string().len()
        ));
        let routes = provider("res", &provider_that_fails.url(), "text=x")
            + &route("m", "{ provider = \"res\", model = \"n\" }", "retry = { attempts = 1 }");
        let gateway = Gateway::start(&routes);
        for caller in ALL {
            let answer = ask(&gateway, caller, "m", false).answer();
            let who = format!("{code} for {caller:?}: {}", answer.text());
            if caller == Dialect::OpenaiResponses {
                assert_eq!(answer.status(), 200, "{who}");
                assert_eq!(answer.json()["status"], "failed", "{who}");
                continue;
            }
            assert_eq!(answer.status(), status, "{who}");
            let told = answer.json();
            let message = match caller {
                Dialect::Bedrock => &told["message"],
                _ => &told["error"]["message"],
            };
            assert_eq!(message, "it went wrong", "{who}");
            let record = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
            assert_eq!(record["outcome"], "provider_error", "{who}: {record}");
        }
    }
}

/// What Responses take at least, and what is said of it.
#[test]
fn a_limit_that_is_too_small_is_raised_and_stated() {
    let mock = MockServer::start();
    let routes = provider("res", &mock.url(), "text=x")
        + &route("m", "{ provider = \"res\", model = \"n\" }", "");
    let gateway = Gateway::start(&routes);
    for (asked, given) in [(1, 16), (15, 16), (16, 16), (17, 17)] {
        let body = json!({
            "model": "m", "max_tokens": asked, "messages": [{ "role": "user", "content": "hello" }],
        });
        let body = body.to_string();
        let answer = send(&gateway, Dialect::Anthropic, "m", false, &[], body.as_bytes()).answer();
        let loss = answer.head.field("x-firedoor-loss").unwrap_or_default();
        assert_eq!(loss.contains("output-tokens"), asked < 16, "{asked}: {loss}");
        let seen = get_json(mock.address, "/requests");
        let seen = seen.as_array().unwrap().last().unwrap()["body"].as_str().unwrap().to_owned();
        let seen: Value = serde_json::from_str(&seen).unwrap();
        assert_eq!(seen["max_output_tokens"], given, "{seen}");
    }
}
