//! What is ordered of an answer while it waits for a judge outside.

use super::outside::{STOP, case, chunk, named, provider};
use super::sentences::{ANSWERS, gateway, pack};
use super::webhook::Service;
use crate::support::{Answer, Client, Gateway, Upstream, routes_to, wait_for};
use firedoor::wire::Dialect;
use serde_json::{Value, json};
use tempfile::TempDir;

const ALL: &str = "channels = [\"answer\", \"tool_arguments\"]\non_error = \"cut\"";

/// Waits until the judge was asked `count` times.
fn wait_for_calls(service: &Service, count: usize) {
    wait_for("the question", || (service.calls().len() == count).then_some(()));
}

/// A gateway to a provider that answers with this stream, and a judge that takes long.
fn streaming(said: &[Value]) -> (Gateway, Service, (Upstream, TempDir)) {
    let body = said.iter().map(chunk).collect::<String>() + STOP;
    let provider = provider("text/event-stream", &body);
    let service = Service::start();
    let (gateway, folder) = gateway(&provider.url(), "\"outside\"", &pack(&service, ALL, 30_000));
    (gateway, service, (provider, folder))
}

fn call(arguments: &str) -> Value {
    let function = json!({ "name": "refund", "arguments": arguments });
    json!([{ "index": 0, "id": "c1", "type": "function", "function": function }])
}

fn kill_refund(gateway: &Gateway) {
    gateway.pull(json!({ "kind": "kill", "scope": "tool:refund" }));
}

fn drain(gateway: &Gateway) {
    drain_of(gateway, "oai");
}

fn drain_of(gateway: &Gateway, provider: &str) {
    let scope = format!("provider:{provider}");
    gateway.pull(json!({ "kind": "kill", "scope": scope, "in_flight": "drain" }));
}

/// The rest of an answer whose first words were seen.
fn cut_of(gateway: &Gateway, mut client: Client, code: &str) -> String {
    let answer = client.answer();
    case(Dialect::OpenaiChat).assert_cut(gateway, &answer, code);
    answer.text()
}

#[test]
fn a_call_that_waits_does_not_leave_once_its_tool_is_killed() {
    let said = json!({ "role": "assistant", "content": "Well.\n" });
    let more = json!({ "content": "A slow word.\n" });
    let whole = json!({ "tool_calls": call("{\"a\":\"slow\"}") });
    let begun = json!({ "tool_calls": call("") });
    let rest =
        json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{\"a\":\"slow\"}" } }] });
    for calls in [
        vec![said.clone(), whole.clone()],
        // What names it has left.
        vec![said.clone(), begun, rest],
        // Nobody has looked at it yet.
        vec![said.clone(), more, whole],
    ] {
        let (gateway, service, _alive) = streaming(&calls);
        let client = case(Dialect::OpenaiChat).ask(&gateway, "", true);
        wait_for_calls(&service, 2);
        kill_refund(&gateway);
        let text = cut_of(&gateway, client, "firedoor_killed");
        assert!(text.contains("Well") && !text.contains("slow"), "{text}");
    }
}

#[test]
fn a_call_that_has_left_is_no_reason_to_cut_what_waits() {
    let block = |index: u8, of: &Value, delta: &Value| {
        json!([
            { "type": "content_block_start", "index": index, "content_block": of },
            { "type": "content_block_delta", "index": index, "delta": delta },
            { "type": "content_block_stop", "index": index },
        ])
    };
    let message = json!({ "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let tool = json!({ "type": "tool_use", "id": "t", "name": "refund", "input": {} });
    let stop = json!({ "stop_reason": "end_turn", "stop_sequence": null });
    let events = [
        json!([{ "type": "message_start", "message": message }]),
        block(0, &tool, &json!({ "type": "input_json_delta", "partial_json": "{}" })),
        block(
            1,
            &json!({ "type": "text", "text": "" }),
            &json!({ "type": "text_delta", "text": "A held word." }),
        ),
        json!([{ "type": "message_delta", "delta": stop, "usage": { "output_tokens": 1 } }, { "type": "message_stop" }]),
    ];
    let body = named(events.iter().flat_map(|events| events.as_array().unwrap()));
    let provider = provider("text/event-stream", &body);
    let service = Service::start();
    let (gateway, _folder) = gateway(&provider.url(), "\"outside\"", &pack(&service, ALL, 30_000));
    let mut client = case(Dialect::Anthropic).ask(&gateway, "", true);
    wait_for_calls(&service, 2);
    drain_of(&gateway, "ant");
    kill_refund(&gateway);
    service.let_go();
    let answer = client.answer();
    case(Dialect::Anthropic).assert_whole(&answer);
    assert!(answer.text().contains("held") && answer.text().contains("refund"));
}

#[test]
fn a_sentence_that_waits_is_judged_by_rules_that_come_meanwhile() {
    let said = json!({ "role": "assistant", "content": "Well.\n" });
    let zebra = json!({ "content": "A slow zebra.\n" });
    let slow = json!({ "content": "A slow word.\n" });
    let behind = json!({ "content": "A zebra.\n" });
    for calls in [vec![said.clone(), zebra], vec![said.clone(), slow, behind]] {
        let (gateway, service, _alive) = streaming(&calls);
        let client = case(Dialect::OpenaiChat).ask(&gateway, "", true);
        wait_for_calls(&service, 2);
        gateway.pull(json!({ "kind": "filter", "scope": "all", "packs": ["inner"] }));
        let text = cut_of(&gateway, client, "firedoor_blocked");
        assert!(text.contains("Well") && text.contains("inner/zebra"), "{text}");
        assert!(!text.contains("slow"), "{text}");
    }
}

/// An answer of the chat dialect that comes whole, while a drain lets nobody ask anew.
fn whole(message: &Value, order: impl Fn(&Gateway)) -> (Gateway, Answer) {
    let body = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] });
    let provider = provider("application/json", &body.to_string());
    let service = Service::start();
    let (gateway, _folder) = gateway(&provider.url(), "\"outside\"", &pack(&service, ALL, 30_000));
    let mut client = case(Dialect::OpenaiChat).ask(&gateway, "", false);
    wait_for_calls(&service, 1);
    drain(&gateway);
    order(&gateway);
    service.let_go();
    let answer = client.answer();
    (gateway, answer)
}

#[test]
fn a_whole_answer_obeys_what_is_ordered_while_a_judge_outside_is_asked() {
    let message = json!({ "role": "assistant", "tool_calls": call("{\"a\":\"held\"}") });
    let (_gateway, answer) = whole(&message, kill_refund);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert!(!answer.text().contains("held"), "{}", answer.text());

    let message = json!({ "role": "assistant", "content": "A held zebra." });
    let filter = |gateway: &Gateway| {
        gateway.pull(json!({ "kind": "filter", "scope": "all", "packs": ["inner"] }));
    };
    let (_gateway, answer) = whole(&message, filter);
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert!(answer.text().contains("inner/zebra"), "{}", answer.text());
}

#[test]
fn an_answer_of_no_dialect_obeys_rules_that_come_while_a_judge_outside_is_asked() {
    let provider = provider("text/plain", "A held zebra.");
    let service = Service::start();
    let (gateway, _folder) = gateway(&provider.url(), "\"outside\"", &pack(&service, ALL, 30_000));
    let mut client = Client::connect(gateway.data);
    let fields = [("content-type", "application/json")];
    client.request("POST", "/oai/v1/embeddings", &fields, br#"{"model":"e","input":"x"}"#);
    wait_for_calls(&service, 1);
    drain(&gateway);
    gateway.pull(json!({ "kind": "filter", "scope": "all", "packs": ["inner"] }));
    service.let_go();
    let answer = client.answer();
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert!(answer.text().contains("inner/zebra"), "{}", answer.text());
}

/// The header tells what the judge outside found.
#[test]
fn a_whole_answer_that_a_judge_outside_flags_says_so() {
    let message = json!({ "role": "assistant", "content": "A bad word." });
    let body = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] });
    for (kind, body, path) in [
        ("application/json", body.to_string(), None),
        ("text/plain", "A bad word.".to_owned(), Some("/oai/v1/embeddings")),
    ] {
        let provider = provider(kind, &body);
        let service = Service::start();
        let flags =
            pack(&service, ANSWERS, 30_000).replace("action = \"cut\"", "action = \"flag\"");
        let (gateway, _folder) = gateway(&provider.url(), "\"outside\"", &flags);
        let answer = match path {
            None => case(Dialect::OpenaiChat).ask(&gateway, "", false).answer(),
            Some(path) => crate::support::post(gateway.data, path, &[], "{\"model\":\"e\"}"),
        };
        assert_eq!(answer.text(), body);
        assert_eq!(answer.head.field("x-firedoor-verdict"), Some("flag"), "{kind}");
    }
}

/// A translated answer of which only the end mark is missing is whole, once what waits is judged.
#[test]
fn a_translated_answer_without_its_end_mark_ends_as_whole() {
    let message = json!({ "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 } });
    for (text, is_cut) in
        [("A good word. And a last", false), ("A good word. A bad", true), ("One", false)]
    {
        let delta = json!({ "type": "text_delta", "text": text });
        let stop = json!({ "stop_reason": "end_turn", "stop_sequence": null });
        let body = named(&[
            json!({ "type": "message_start", "message": message }),
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
            json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({ "type": "message_delta", "delta": stop, "usage": { "output_tokens": 1 } }),
        ]);
        let provider = provider("text/event-stream", &body);
        let service = Service::start();
        let folder = tempfile::tempdir().unwrap();
        let pack = pack(&service, ANSWERS, 30_000);
        std::fs::write(folder.path().join("outside.toml"), pack).unwrap();
        let place = folder.path().display();
        let routes = routes_to(&provider.url(), "rules = [\"outside\"]")
            .replace("[{ provider = \"oai\" }]", "[{ provider = \"ant\", model = \"m\" }]");
        let gateway = Gateway::start(&format!("[server]\nfilters = '{place}'\n\n{routes}"));
        let case = case(Dialect::OpenaiChat);
        let answer = case.ask(&gateway, "", true).answer();
        let said = answer.text();
        if is_cut {
            assert!(said.contains("outside/moderation") && !said.contains("A bad"), "{said}");
            continue;
        }
        case.assert_whole(&answer);
        let id = answer.head.field("x-firedoor-exchange").unwrap();
        assert_eq!(gateway.exchange(id)["outcome"], "completed", "{said}");
    }
}

#[test]
fn a_judge_outside_that_comes_meanwhile_is_told_what_waits_for_another() {
    let said = [
        json!({ "role": "assistant", "content": "Well.\n" }),
        json!({ "content": "A held bad word.\n" }),
    ];
    let body = said.iter().map(chunk).collect::<String>() + STOP;
    let provider = provider("text/event-stream", &body);
    let (first, second) = (Service::start(), Service::start());
    let folder = tempfile::tempdir().unwrap();
    let flags = pack(&first, ALL, 30_000).replace("\"cut\"\nchannels", "\"flag\"\nchannels");
    let cuts = pack(&second, ALL, 30_000).replace("\"outside\"", "\"second\"");
    std::fs::write(folder.path().join("outside.toml"), flags).unwrap();
    std::fs::write(folder.path().join("second.toml"), cuts).unwrap();
    let routes = routes_to(&provider.url(), "rules = [\"outside\"]");
    let place = folder.path().display();
    let gateway = Gateway::start(&format!("[server]\nfilters = '{place}'\n\n{routes}"));
    let client = case(Dialect::OpenaiChat).ask(&gateway, "", true);
    wait_for_calls(&first, 2);
    gateway.pull(json!({ "kind": "filter", "scope": "all", "packs": ["second"] }));
    wait_for_calls(&second, 1);
    first.let_go();
    second.let_go();
    let text = cut_of(&gateway, client, "firedoor_blocked");
    assert!(text.contains("second/moderation") && !text.contains("A held"), "{text}");
}
