//! The operator's hand, and what a caller sees of it.

use crate::support::{Answer, Case, Client, Gateway, Told, frames, wait_for};
use firedoor::wire::Dialect;
use serde_json::{Value, json};

/// Pulls a lever and gives the proof; it must be durable.
pub fn pull(gateway: &Gateway, mut order: Value) -> Value {
    order["author"] = json!("test");
    if order["reason"].is_null() {
        order["reason"] = json!("test");
    }
    let answer = gateway.admin_send("POST", "/api/v1/levers", &order);
    assert_eq!(answer.status(), 201, "{order}: {}", answer.text());
    let proof = answer.json();
    assert_eq!(proof["durable"], true, "{proof}");
    proof
}

/// Checks how many exchanges a lever ends, and that none of them wrote anything once it was in force.
/// A worker that gets no time of the machine may count its own after the proof was given.
pub fn assert_ordered(gateway: &Gateway, proof: &Value, ordered: usize, what: &str) {
    let told = proof["exchanges"]["ordered"].as_u64().unwrap() as usize;
    assert!(told <= ordered, "{what}: {proof}");
    assert_eq!(proof["exchanges"]["bytes_after_publication"], 0, "{what}: {proof}");
    wait_for(&format!("{what} to order {ordered} exchanges to end"), || {
        (standing(gateway, &id(proof))["ordered"] == ordered).then_some(())
    });
}

/// Kills a scope and gives the lever's id.
pub fn kill(gateway: &Gateway, scope: &str) -> String {
    id(&pull(gateway, json!({ "kind": "kill", "scope": scope })))
}

/// The id in a proof.
pub fn id(proof: &Value) -> String {
    proof["lever"]["id"].as_str().unwrap().to_owned()
}

/// Lifts a lever.
pub fn lift(gateway: &Gateway, id: &str) -> Value {
    let why = json!({ "author": "test", "reason": "over" });
    let answer = gateway.admin_send("DELETE", &format!("/api/v1/levers/{id}"), &why);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()
}

/// What the list tells of a lever; `Null` if it is not in force.
pub fn standing(gateway: &Gateway, id: &str) -> Value {
    let list = gateway.admin_json("/api/v1/levers");
    let found = list["items"].as_array().unwrap().iter().find(|lever| lever["id"] == id);
    found.cloned().unwrap_or_default()
}

/// In hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// The whole history.
pub fn history(gateway: &Gateway) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(0, |last| last["rev"].as_u64().unwrap());
        let page = gateway.admin_json(&format!("/api/v1/levers/history?after={after}"));
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        if page["next"].is_null() {
            return all;
        }
    }
}

/// Sends a request of a dialect with any model and headers.
pub fn ask(
    gateway: &Gateway,
    case: &Case,
    model: &str,
    fields: &[(&str, &str)],
    stream: bool,
) -> Client {
    let mut client = Client::connect(gateway.data);
    let all = [&[("content-type", "application/json")], fields].concat();
    let body = case.body(model, "hello", stream);
    client.request("POST", &case.target(model, stream), &all, body.as_bytes());
    client
}

/// Checks the final refusal of a killed request.
pub fn assert_refused(gateway: &Gateway, dialect: Option<Dialect>, answer: &Answer, lever: &str) {
    assert_told(dialect, answer, true, lever);
    let record = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
    assert_eq!(record["outcome"], "refused", "{record}");
    assert_eq!(record["class"], "firedoor_killed", "{record}");
    assert_eq!(record["lever"], lever, "{record}");
}

/// Checks what a request is told that a kill refuses, or a limit.
pub fn assert_told(dialect: Option<Dialect>, answer: &Answer, is_kill: bool, lever: &str) {
    let who = format!("{dialect:?}: {answer:?}");
    let (action, code) =
        if is_kill { ("kill", "firedoor_killed") } else { ("budget", "firedoor_limited") };
    assert_eq!(answer.status(), 400, "{who}");
    for (name, value) in [
        ("x-should-retry", "false"),
        ("x-firedoor-action", action),
        ("x-firedoor-id", lever),
        ("x-firedoor-lever", lever),
        ("cache-control", "no-store"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(answer.head.field(name), Some(value), "{name} of {who}");
    }
    assert!(answer.head.field("retry-after").is_none(), "{who}");
    let body = answer.json();
    let error = if dialect == Some(Dialect::Bedrock) { &body } else { &body["error"] };
    let message = error["message"].as_str().unwrap();
    let said = if is_kill { "Blocked by firedoor: stopped by an operator" } else { "Limited by" };
    assert!(message.starts_with(said), "{who}");
    assert!(message.ends_with(&format!(" (ref {lever})")), "{who}");
    match dialect {
        Some(Dialect::OpenaiChat | Dialect::OpenaiResponses) | None => {
            assert_eq!(error["code"], code, "{who}");
            assert_eq!(error["type"], "invalid_request_error", "{who}");
        }
        Some(Dialect::Anthropic) => {
            assert_eq!(body["type"], "error", "{who}");
            assert_eq!(error["type"], "invalid_request_error", "{who}");
        }
        Some(Dialect::Gemini) => {
            assert_eq!(error["code"], 400, "{who}");
            assert_eq!(error["status"], "FAILED_PRECONDITION", "{who}");
        }
        Some(Dialect::Bedrock) => {
            let kind = answer.head.field("x-amzn-errortype");
            assert_eq!(kind, Some("ValidationException"), "{who}");
        }
    }
}

/// Checks the frames by which a stream ends that a kill cut; gives the frames before them, of
/// those dialects whose frames are text.
pub fn assert_cut(case: &Case, body: &[u8], lever: &str) -> Vec<String> {
    if case.dialect == Dialect::Bedrock {
        let told = Told::of_stream(case.dialect, body);
        let (_, message) = told.error.unwrap_or_else(|| panic!("{:?}", told.events));
        assert!(message.ends_with(&format!("(ref {lever})")), "{message}");
        return Vec::new();
    }
    let mut all = frames(body);
    let shown = format!("{case:?}: {:?}", all.iter().rev().take(4).collect::<Vec<_>>());
    let mut last = || {
        let frame = all.pop().unwrap_or_else(|| panic!("{shown}"));
        let field = |name: &str| {
            let line = frame.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).unwrap_or_default().to_owned()
        };
        let data = field("data:");
        (field("event:"), serde_json::from_str::<Value>(&data).unwrap_or_else(|_| json!(data)))
    };
    let error = match case.dialect {
        Dialect::OpenaiChat => {
            assert_eq!(last().1, "[DONE]", "{shown}");
            let (_, data) = last();
            assert_eq!(data["error"]["code"], "firedoor_killed", "{shown}");
            data["error"].clone()
        }
        Dialect::OpenaiResponses => {
            let (event, error) = last();
            assert_eq!(event, "error", "{shown}");
            assert_eq!(error["code"], "firedoor_killed", "{shown}");
            let (event, failed) = last();
            assert_eq!(event, "response.failed", "{shown}");
            assert_eq!(failed["response"]["status"], "failed", "{shown}");
            assert_eq!(failed["response"]["error"]["code"], "invalid_prompt", "{shown}");
            error
        }
        Dialect::Anthropic => {
            let (event, data) = last();
            assert_eq!(event, "error", "{shown}");
            assert_eq!(data["error"]["type"], "permission_error", "{shown}");
            data["error"].clone()
        }
        Dialect::Gemini => {
            let (_, data) = last();
            assert_eq!(data["error"]["code"], 403, "{shown}");
            assert_eq!(data["error"]["status"], "PERMISSION_DENIED", "{shown}");
            data["error"].clone()
        }
        Dialect::Bedrock => panic!("its frames are binary: {shown}"),
    };
    let message = error["message"].as_str().unwrap();
    assert!(message.ends_with(&format!("(ref {lever})")), "{shown}");
    for frame in &all {
        assert!(frame.ends_with("\n\n") && !frame.contains("firedoor_"), "{shown}");
    }
    all
}

/// How a body that was begun came to its end.
#[derive(Debug)]
pub enum Ending {
    /// In order, as HTTP frames it.
    Framed,
    /// Torn: no client takes it for whole.
    Torn,
}

/// Reads the rest of a body behind its head.
pub fn rest(client: &mut Client, head: &crate::support::Head) -> (Vec<u8>, Ending) {
    if !head.is_chunked() {
        let length: usize = head.field("content-length").unwrap().parse().unwrap();
        let (body, _) = client.rest();
        let ending = if body.len() >= length { Ending::Framed } else { Ending::Torn };
        return (body, ending);
    }
    let mut body = Vec::new();
    loop {
        match client.chunk() {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return (body, Ending::Framed),
            Err(_) => return (body, Ending::Torn),
        }
    }
}

/// Waits until so many exchanges are open.
pub fn wait_open(gateway: &Gateway, count: usize) {
    wait_for(&format!("{count} exchanges to be open"), || {
        (gateway.admin_json("/api/v1/live")["exchanges"] == count).then_some(())
    });
}
