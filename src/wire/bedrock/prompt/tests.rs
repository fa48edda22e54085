use super::*;
use crate::wire::loss::{Loss, Losses};
use crate::wire::prompt::Prompt;
use proptest::prelude::*;
use serde_json::{Value, json};

fn written(prompt: &Prompt) -> (Value, Losses) {
    let mut losses = Losses::default();
    let body = write(prompt, &mut losses);
    (serde_json::from_slice(&body).unwrap(), losses)
}

/// A body that says all that both sides know.
fn everything() -> Value {
    json!({
        "messages": [
            {"role": "user", "content": [
                {"text": "look"},
                {"image": {"format": "png", "source": {"bytes": "aQ=="}}},
                {"document": {"format": "pdf", "name": "a b", "source": {"bytes": "aQ=="}}},
                {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://b/k"}}}},
            ]},
            {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
                {"toolUse": {"toolUseId": "i", "name": "n", "input": {"x": 1.0}}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "i", "content": [{"text": "r"}], "status": "error"}},
            ]},
        ],
        "system": [{"text": "be kind"}],
        "toolConfig": {
            "tools": [{"toolSpec": {"name": "n", "description": "d",
                "inputSchema": {"json": {"type": "object"}}}}],
            "toolChoice": {"any": {}},
        },
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.25, "stopSequences": ["x"]},
        "additionalModelRequestFields": {"top_k": 5,
            "thinking": {"type": "enabled", "budget_tokens": 2048}},
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema":
            {"schema": "{\"type\":\"object\"}", "name": "s"}}}},
        "requestMetadata": {"team": "t"},
    })
}

#[test]
fn what_is_read_is_written_again() {
    let body = everything();
    let prompt = read(body.to_string().as_bytes()).unwrap();
    assert!(prompt.losses.is_empty(), "{}", prompt.losses);
    let (again, losses) = written(&prompt);
    assert_eq!(again, body);
    assert!(losses.is_empty(), "{losses}");
}

#[test]
fn what_cannot_be_kept_is_stated() {
    for (member, loss) in [
        (json!({"guardrailConfig": {}}), Loss::SafetySettings),
        (json!({"serviceTier": {"type": "flex"}}), Loss::ServiceTier),
        (json!({"promptVariables": {}}), Loss::ConversationState),
        (json!({"system": [{"cachePoint": {"type": "default"}}]}), Loss::CacheControl),
        (
            json!({"toolConfig": {"tools": [{"cachePoint": {"type": "default"}}]}}),
            Loss::CacheControl,
        ),
        (
            json!({"messages": [{"role": "assistant", "content": [{"citationsContent":
            {"content": [{"text": "c"}], "citations": []}}]}]}),
            Loss::Citations,
        ),
        (json!({"additionalModelRequestFields": {"k": 1}}), Loss::UnknownMembers),
        (json!({"invented": 1}), Loss::UnknownMembers),
    ] {
        let prompt = read(member.to_string().as_bytes()).unwrap();
        assert!(prompt.losses.has(loss), "{member}: {}", prompt.losses);
    }
    for refused in [
        json!({"messages": [{"role": "system", "content": []}]}),
        json!({"messages": {}}),
        json!({"outputConfig": {"textFormat": {"structure": {"jsonSchema": {"schema": "{"}}}}}),
        json!({"requestMetadata": {"a": 1}}),
    ] {
        assert!(read(refused.to_string().as_bytes()).is_err(), "{refused}");
    }
}

#[test]
fn what_other_dialects_say_and_this_one_cannot() {
    let chat = json!({
        "model": "m", "tool_choice": "none", "parallel_tool_calls": false, "seed": 1,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [
                {"type": "text", "text": "u"},
                {"type": "image_url", "image_url": {"url": "https://h/i.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,aQ=="}},
            ]},
        ],
    });
    let prompt = crate::wire::openai_chat::prompt::read(chat.to_string().as_bytes()).unwrap();
    let (body, losses) = written(&prompt);
    assert_eq!(
        body["messages"],
        json!([{"role": "user", "content": [
            {"text": "u"}, {"image": {"format": "jpeg", "source": {"bytes": "aQ=="}}}]}])
    );
    assert_eq!(body["system"], json!([{"text": "s"}]));
    // Without tools none can be called.
    assert!(body.get("toolConfig").is_none());
    for loss in [Loss::Images, Loss::Seed, Loss::ParallelCalls] {
        assert!(losses.has(loss), "{losses}");
    }
}

proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..100), at in 0usize..900, with in "[\\{\\}\\[\\]:,\"a1]{0,3}") {
        let _ = read(&body);
        let mut text = everything().to_string();
        let at = at % text.len();
        if text.is_char_boundary(at) {
            text.insert_str(at, &with);
        }
        if let Ok(prompt) = read(text.as_bytes()) {
            let _ = written(&prompt);
        }
    }
}
