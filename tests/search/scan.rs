//! A search that reads the record finds what the index finds.

use crate::support::{Gateway, Upstream, ZEBRA, post, routes_to, wait_for};
use crate::{chat, found, ids, indexed, run};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

/// Answers as the last turn asks for; on `hang` it begins to and goes no further.
fn answer(request: &[u8], stream: &mut TcpStream) {
    let body = request.windows(4).position(|end| end == b"\r\n\r\n").map(|at| &request[at + 4..]);
    let body: Value = serde_json::from_slice(body.unwrap()).unwrap();
    let turns = body["messages"].as_array().unwrap();
    let last = turns[turns.len() - 1]["content"].as_str().unwrap();
    let say = |message: Value| {
        json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m-1",
            "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9 } })
    };
    let call = json!({ "id": "call_1", "type": "function",
        "function": { "name": "get_weather", "arguments": "{\"city\":\"Reykjavik\"}" } });
    let (status, body) = match last {
        _ if last.contains("hang") => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m-1",
                "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "half of" } }] });
            stream.write_all(format!("{head}data: {chunk}\n\n").as_bytes()).unwrap();
            std::thread::sleep(Duration::from_mins(10));
            return;
        }
        _ if last.contains("fail") => ("503 Busy", json!({ "error": { "message": "overloaded" } })),
        _ if last.contains("weather") => {
            let said = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
            ("200 OK", say(said))
        }
        _ if last.contains("road") => {
            let text = "behind the zebra crossing";
            ("200 OK", say(json!({ "role": "assistant", "content": text })))
        }
        _ => ("200 OK", say(json!({ "role": "assistant", "content": "Grüße aus Köln" }))),
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
}

fn tell(gateway: &Gateway, session: &str, turns: &[(&str, &str)]) -> String {
    let fields = [("x-firedoor-session", session)];
    let answer = post(gateway.data, "/v1/chat/completions", &fields, &chat(turns).to_string());
    answer.head.field("x-firedoor-exchange").unwrap().to_owned()
}

/// Sessions of several turns, of all kinds of endings, the last of which a crash takes; gives the
/// gateway after it, and how many exchanges there are.
fn told(provider: &Upstream) -> (Gateway, usize) {
    let gateway = Gateway::start_with_pack(ZEBRA, &routes_to(&provider.url(), "rules = [\"own\"]"));
    let greeting = [("user", "hello there")];
    let more = [greeting[0], ("assistant", "Grüße aus Köln"), ("user", "the weather?")];
    let road = [("user", "where is the road?")];
    let asked = [
        tell(&gateway, "one", &greeting),
        tell(&gateway, "one", &more),
        tell(&gateway, "two", &road),
        tell(&gateway, "two", &[road[0], ("assistant", "there"), ("user", "please fail")]),
        // It begins in the middle: its history is its own.
        tell(&gateway, "three", &[("user", "an older word"), ("assistant", "yes"), ("user", "hi")]),
    ];
    for id in &asked {
        indexed(&gateway.data_dir(), id);
    }
    let data = gateway.data;
    std::thread::spawn(move || {
        let mut body = chat(&[("user", "now hang")]);
        body["stream"] = true.into();
        let fields = [("x-firedoor-session", "hung"), ("connection", "close")];
        // The gateway is killed meanwhile.
        let _ = std::panic::catch_unwind(|| {
            post(data, "/v1/chat/completions", &fields, &body.to_string())
        });
    });
    wait_for("what the crash is to take", || {
        let (code, out, _) = run(&gateway.data_dir(), &["session", "search", "session:hung"]);
        (code == 0 && out.contains("under_way")).then_some(())
    });
    let gateway = gateway.restarted();
    let late =
        tell(&gateway, "one", &[more[0], more[1], more[2], ("assistant", "cold"), ("user", "bye")]);
    indexed(&gateway.data_dir(), &late);
    let context = json!({ "exchange": asked[0], "documents": [{ "text": "an otter's den" }] });
    let taken = post(gateway.data, "/v1/context", &[], &context.to_string());
    assert_eq!(taken.status(), 202, "{}", taken.text());
    wait_for("what is attached behind an end", || {
        (!ids(&found(&gateway.data_dir(), &["otter"])).is_empty()).then_some(())
    });
    (gateway, asked.len() + 2)
}

fn names<'f>(found: &'f Value, member: &str) -> BTreeSet<&'f str> {
    let items = found["items"].as_array().unwrap();
    items.iter().map(|item| item[member].as_str().unwrap()).collect()
}

#[test]
fn reading_finds_what_the_index_finds() {
    let provider = Upstream::start(answer);
    let (gateway, all) = told(&provider);
    let data = gateway.data_dir();
    for (filter, count) in [
        ("", all),
        ("hello", 1),
        ("\"hello there\"", 1),
        ("\"there hello\"", 0),
        ("gruße", 3),
        ("answer:koln", 3),
        ("answer:hi", 0),
        ("weath*", 1),
        ("older", 1),
        ("document:otter", 1),
        ("hello otter", 1),
        ("hello document:otter", 1),
        ("!otter", all - 1),
        ("!otter prompt:hello", 0),
        ("!older !hello", all - 2),
        ("session:one", 3),
        ("session:one -weather", 2),
        ("session:one,two,nobody", 5),
        ("session:t*", 3),
        ("tool:get_weather", 1),
        ("-tool:get_weather", all - 1),
        ("arguments:reykjavik", 1),
        ("rule:own/hidden", 1),
        ("verdict:redact", 1),
        ("-verdict:redact", all - 1),
        ("status:503", 1),
        ("status:2xx", all - 2),
        ("outcome:completed", all - 2),
        ("outcome:provider_error", 1),
        ("outcome:unfinished", 1),
        ("outcome:under_way", 0),
        ("gaps:yes", 1),
        ("-gaps:yes session:hung", 0),
        ("session:hung hang", 1),
        ("model:m-1 tokens:9", all - 2),
        ("tokens:>9", 0),
        ("attempts:1", all - 1),
        ("target:oai outcome:unfinished", 1),
        ("route:oai dialect:openai-chat", all),
        ("provider:oai", all - 1),
        ("route:ant", 0),
        ("since:1h until:0s", all),
        ("until:1h", 0),
        ("prompt_bytes:>1 answer_bytes:>1 latency:<1h", all - 1),
    ] {
        // An argument of words alone is a phrase.
        let is_one = filter.contains([':', '"']);
        let filter: Vec<&str> =
            if is_one { vec![filter] } else { filter.split_whitespace().collect() };
        let by_index = found(&data, &filter);
        assert_eq!(ids(&by_index).len(), count, "{filter:?}: {by_index:#}");
        let (code, list, said) =
            run(&data, &[&["session", "ls"], &filter[..], &["-o", "json"]].concat());
        assert_eq!(code, 0, "{filter:?}: {said}");
        let list: Value = serde_json::from_str(&list).unwrap();
        assert_eq!(names(&list, "id"), names(&by_index, "session"), "sessions of {filter:?}");
        for threads in ["1", "3"] {
            let how = ["--scan", "--threads", threads];
            let read = found(&data, &[&filter[..], &how].concat());
            assert_eq!(by_index["items"], read["items"], "{filter:?}");
            assert_eq!(by_index["more"], read["more"], "{filter:?}");
        }
    }
    let few = found(&data, &["--scan", "--limit", "2"]);
    assert_eq!(few["items"], found(&data, &["--limit", "2"])["items"]);
    assert_eq!((&few["more"], &few["read"]["is_partial"]), (&json!(true), &json!(false)));
    assert_eq!(few["read"]["segments"], 2, "threads share them");
}
