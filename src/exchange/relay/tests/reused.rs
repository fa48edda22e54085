//! Providers that use the number of a call twice: every opening is judged by itself.

use super::*;
use crate::wire::eventstream::push_event;
use std::fmt::Write as _;

const SECRET: &str = "s3cr3t";

/// Streams in which a call to `good` and one to `bad` share a number, in both orders. The
/// arguments of `bad` are [`SECRET`].
fn streams() -> Vec<(&'static str, Dialect, Vec<u8>)> {
    let mut all = Vec::new();
    for (first, second) in [("good", "bad"), ("bad", "good")] {
        for (name, dialect, make) in MAKERS {
            all.push((*name, *dialect, make(first, second)));
        }
    }
    all
}

type Maker = fn(&str, &str) -> Vec<u8>;

const MAKERS: &[(&str, Dialect, Maker)] = &[
    ("chat: one index, two ids", Dialect::OpenaiChat, |one, two| {
        chat(&[
            &entry(Some(0), "call_1", one, ""),
            &entry(Some(0), "", "", arguments(one)),
            &entry(Some(0), "call_2", two, ""),
            &entry(Some(0), "", "", arguments(two)),
        ])
    }),
    ("chat: one index, one id", Dialect::OpenaiChat, |one, two| {
        chat(&[
            &entry(Some(0), "call_1", one, arguments(one)),
            &entry(Some(0), "", two, ""),
            &entry(Some(0), "", "", arguments(two)),
        ])
    }),
    ("chat: one index, in one frame", Dialect::OpenaiChat, |one, two| {
        let both = [
            entry(Some(0), "call_1", one, arguments(one)),
            entry(Some(0), "call_2", two, arguments(two)),
        ];
        chat(&[&both.join(",")])
    }),
    ("chat: no index", Dialect::OpenaiChat, |one, two| {
        chat(&[
            &entry(None, "call_1", one, arguments(one)),
            &entry(None, "call_2", two, ""),
            &entry(None, "", "", arguments(two)),
        ])
    }),
    ("chat: no index, no id", Dialect::OpenaiChat, |one, two| {
        chat(&[&entry(None, "", one, arguments(one)), &entry(None, "", two, arguments(two))])
    }),
    ("chat: legacy calls", Dialect::OpenaiChat, |one, two| {
        let mut out = Vec::new();
        for name in [one, two] {
            for (name, arguments) in [(name, ""), ("", arguments(name))] {
                let call = format!("{{\"name\":{name:?},\"arguments\":{arguments:?}}}");
                push_chat(&mut out, &format!("\"delta\":{{\"function_call\":{call}}}"));
            }
        }
        end_chat(out)
    }),
    ("chat: two choices", Dialect::OpenaiChat, |one, two| {
        let mut out = Vec::new();
        for (choice, name) in [(0, one), (1, two)] {
            let call = entry(Some(0), &format!("call_{choice}"), name, arguments(name));
            push_choice(&mut out, choice, &format!("\"delta\":{{\"tool_calls\":[{call}]}}"));
        }
        for (choice, name) in [(0, one), (1, two)] {
            let more = if name == "bad" { "{\"index\":0,\"note\":\"s3cr3t\"}" } else { "" };
            push_choice(&mut out, choice, &format!("\"delta\":{{\"tool_calls\":[{more}]}}"));
            push_choice(&mut out, choice, "\"delta\":{},\"finish_reason\":\"tool_calls\"");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        out
    }),
    ("anthropic: not closed", Dialect::Anthropic, |one, two| anthropic(one, two, false)),
    ("anthropic: closed", Dialect::Anthropic, |one, two| anthropic(one, two, true)),
    ("bedrock: not closed", Dialect::Bedrock, |one, two| bedrock(one, two, false)),
    ("bedrock: closed", Dialect::Bedrock, |one, two| bedrock(one, two, true)),
    ("responses: done", Dialect::OpenaiResponses, |one, two| responses(one, two, ["c1", "c2"])),
    ("responses: one id", Dialect::OpenaiResponses, |one, two| responses(one, two, ["c1", "c1"])),
    ("responses: mixed", Dialect::OpenaiResponses, |one, two| mixed(one, two, Index::Said)),
    ("responses: mixed, no index", Dialect::OpenaiResponses, |one, two| {
        mixed(one, two, Index::LeftOut)
    }),
    ("responses: no index", Dialect::OpenaiResponses, |one, two| {
        let text = String::from_utf8(responses(one, two, ["c1", "c2"])).unwrap();
        text.replace(",\"output_index\":0", "").replace("\"output_index\":0,", "").into_bytes()
    }),
    ("gemini: one frame", Dialect::Gemini, |one, two| {
        let part = |name: &str| {
            format!(
                "{{\"functionCall\":{{\"name\":{name:?},\"args\":{{\"x\":{:?}}}}}}}",
                word(name)
            )
        };
        let content = format!("{{\"role\":\"model\",\"parts\":[{},{}]}}", part(one), part(two));
        format!(
            "data: {{\"candidates\":[{{\"index\":0,\"content\":{content},\
             \"finishReason\":\"STOP\"}}],\"modelVersion\":\"m\",\"responseId\":\"r\"}}\n\n"
        )
        .into_bytes()
    }),
];

fn word(name: &str) -> &'static str {
    if name == "bad" { SECRET } else { "harmless" }
}

fn arguments(name: &str) -> &'static str {
    if name == "bad" { "{\"x\":\"s3cr3t\"}" } else { "{\"x\":\"harmless\"}" }
}

fn entry(index: Option<u16>, id: &str, name: &str, arguments: &str) -> String {
    let index = index.map_or(String::new(), |index| format!("\"index\":{index},"));
    let id = if id.is_empty() { String::new() } else { format!("\"id\":{id:?},") };
    let name = if name.is_empty() { String::new() } else { format!("\"name\":{name:?},") };
    format!("{{{index}{id}\"function\":{{{name}\"arguments\":{arguments:?}}}}}")
}

fn push_choice(out: &mut Vec<u8>, choice: u16, rest: &str) {
    let data = format!(
        "data: {{\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
         \"choices\":[{{\"index\":{choice},{rest}}}]}}\n\n"
    );
    out.extend_from_slice(data.as_bytes());
}

fn push_chat(out: &mut Vec<u8>, rest: &str) {
    push_choice(out, 0, rest);
}

fn end_chat(mut out: Vec<u8>) -> Vec<u8> {
    push_chat(&mut out, "\"delta\":{},\"finish_reason\":\"tool_calls\"");
    out.extend_from_slice(b"data: [DONE]\n\n");
    out
}

fn chat(calls: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for call in calls {
        push_chat(&mut out, &format!("\"delta\":{{\"tool_calls\":[{call}]}}"));
    }
    end_chat(out)
}

fn anthropic(one: &str, two: &str, is_closed: bool) -> Vec<u8> {
    let mut frames = vec![(
        "message_start",
        "\"message\":{\"id\":\"a\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\
         \"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}"
            .to_owned(),
    )];
    for (id, name) in [("toolu_1", one), ("toolu_2", two)] {
        frames.push((
            "content_block_start",
            format!(
                "\"index\":0,\"content_block\":{{\"type\":\"tool_use\",\"id\":{id:?},\
                 \"name\":{name:?},\"input\":{{}}}}"
            ),
        ));
        frames.push((
            "content_block_delta",
            format!(
                "\"index\":0,\"delta\":{{\"type\":\"input_json_delta\",\"partial_json\":{:?}}}",
                arguments(name)
            ),
        ));
        if is_closed {
            frames.push(("content_block_stop", "\"index\":0".to_owned()));
        }
    }
    frames.push(("message_delta", "\"delta\":{\"stop_reason\":\"tool_use\"}".to_owned()));
    let mut out = String::new();
    for (name, members) in frames {
        write!(out, "event: {name}\ndata: {{\"type\":\"{name}\",{members}}}\n\n").unwrap();
    }
    out += "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    out.into_bytes()
}

fn bedrock(one: &str, two: &str, is_closed: bool) -> Vec<u8> {
    let mut out = Vec::new();
    push_event(&mut out, "messageStart", b"{\"role\":\"assistant\"}");
    for (id, name) in [("tooluse_1", one), ("tooluse_2", two)] {
        let start = format!(
            "{{\"contentBlockIndex\":0,\"start\":{{\"toolUse\":{{\"toolUseId\":{id:?},\
             \"name\":{name:?}}}}}}}"
        );
        push_event(&mut out, "contentBlockStart", start.as_bytes());
        let delta = format!(
            "{{\"contentBlockIndex\":0,\"delta\":{{\"toolUse\":{{\"input\":{:?}}}}}}}",
            arguments(name)
        );
        push_event(&mut out, "contentBlockDelta", delta.as_bytes());
        if is_closed {
            push_event(&mut out, "contentBlockStop", b"{\"contentBlockIndex\":0}");
        }
    }
    push_event(&mut out, "messageStop", b"{\"stopReason\":\"tool_use\"}");
    push_event(&mut out, "metadata", b"{\"usage\":{\"inputTokens\":1,\"outputTokens\":1}}");
    out
}

fn responses(one: &str, two: &str, ids: [&str; 2]) -> Vec<u8> {
    let (mut out, mut number) = (String::new(), 0);
    let mut push = |name: &str, members: &str| {
        write!(out, "event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{number},{members}}}\n\n").unwrap();
        number += 1;
    };
    let object = |status: &str, output: &str| {
        format!(
            "\"response\":{{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1,\
             \"status\":{status:?},\"model\":\"m\",\"output\":[{output}]}}"
        )
    };
    push("response.created", &object("in_progress", ""));
    let mut items = Vec::new();
    for ((at, id), name) in ids.into_iter().enumerate().zip([one, two]) {
        let item = |arguments: &str| {
            format!(
                "{{\"id\":\"fc_{at}\",\"type\":\"function_call\",\"call_id\":{id:?},\
                 \"name\":{name:?},\"arguments\":{arguments:?}}}"
            )
        };
        push("response.output_item.added", &format!("\"output_index\":0,\"item\":{}", item("")));
        let place = format!("\"item_id\":\"fc_{at}\",\"output_index\":0");
        let text = arguments(name);
        push("response.function_call_arguments.delta", &format!("{place},\"delta\":{text:?}"));
        push("response.function_call_arguments.done", &format!("{place},\"arguments\":{text:?}"));
        let item = item(text);
        push("response.output_item.done", &format!("\"output_index\":0,\"item\":{item}"));
        items.push(item);
    }
    push("response.completed", &object("completed", &items.join(",")));
    out.into_bytes()
}

/// Whether frames say the `output_index`; imitators leave out one that is 0.
#[derive(Clone, Copy, PartialEq)]
enum Index {
    Said,
    LeftOut,
}

/// Two items under one `output_index` whose frames come in turns, told apart by `item_id` alone.
fn mixed(one: &str, two: &str, index: Index) -> Vec<u8> {
    let (mut out, mut number) = (String::new(), 0);
    let index = if index == Index::Said { "\"output_index\":0," } else { "" };
    let mut push = |name: &str, members: &str| {
        write!(out, "event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{number},{members}}}\n\n").unwrap();
        number += 1;
    };
    let object = |status: &str, output: &str| {
        format!(
            "\"response\":{{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1,\
             \"status\":{status:?},\"model\":\"m\",\"output\":[{output}]}}"
        )
    };
    let calls = [("fc_0", "c1", one), ("fc_1", "c2", two)];
    let item = |at: usize, arguments: &str| {
        let (id, call_id, name) = calls[at];
        format!(
            "{{\"id\":{id:?},\"type\":\"function_call\",\"call_id\":{call_id:?},\
             \"name\":{name:?},\"arguments\":{arguments:?}}}"
        )
    };
    push("response.created", &object("in_progress", ""));
    for at in [0, 1] {
        push("response.output_item.added", &format!("{index}\"item\":{}", item(at, "")));
    }
    let halves = |name: &str| arguments(name).split_at(8);
    for half in [0, 1] {
        for (id, _, name) in calls {
            let (first, second) = halves(name);
            let delta = if half == 0 { first } else { second };
            push(
                "response.function_call_arguments.delta",
                &format!("\"item_id\":{id:?},{index}\"delta\":{delta:?}"),
            );
        }
    }
    for (id, _, name) in calls {
        push(
            "response.function_call_arguments.done",
            &format!("\"item_id\":{id:?},{index}\"arguments\":{:?}", arguments(name)),
        );
    }
    for (at, (.., name)) in calls.into_iter().enumerate() {
        push(
            "response.output_item.done",
            &format!("{index}\"item\":{}", item(at, arguments(name))),
        );
    }
    let items: Vec<_> = [0, 1].into_iter().map(|at| item(at, arguments(calls[at].2))).collect();
    push("response.completed", &object("completed", &items.join(",")));
    out.into_bytes()
}

#[test]
fn every_opening_on_a_known_number_is_judged_by_itself() {
    for (name, source, bytes) in streams() {
        assert!(memchr::memmem::find(&bytes, SECRET.as_bytes()).is_some(), "{name}");
        for client in Dialect::ALL {
            for calls in [CallHold::Never, CallHold::UntilWhole] {
                for step in [bytes.len(), 1, 7] {
                    let plan = plan(client, source, killing("bad"), calls);
                    let (out, ended) = run(&plan, &bytes, step);
                    let at = format!("{name} as {client:?}, {calls:?}, {step}: {ended:?}");
                    for leak in [SECRET, "cr3t", "bad", "call_2", "toolu_2", "\"c2\""] {
                        let is_of_good = !matches!(leak, SECRET | "cr3t" | "bad");
                        if is_of_good && said(&events(source, &bytes)).0[0].0 == "bad" {
                            continue;
                        }
                        let found = memchr::memmem::find(&out, leak.as_bytes());
                        assert!(found.is_none(), "{at}: {leak}\n{}", String::from_utf8_lossy(&out));
                    }
                    if ended.is_err() {
                        continue;
                    }
                    let (told, is_complete) = decode(client, &out);
                    assert!(is_complete, "{at}");
                    let left: String = said(&told).0.into_iter().map(|call| call.1).collect();
                    let is_in_choice = !name.contains("choices") || client == source;
                    assert!(!is_in_choice || left.contains("harmless"), "{at}: {told:?}");
                }
            }
        }
    }
}

#[test]
fn a_lever_in_mid_stream_judges_what_opens_again() {
    for (name, dialect, bytes) in streams() {
        let all = frames(dialect, &bytes);
        for calls in [CallHold::Never, CallHold::UntilWhole] {
            for at in 0..all.len() {
                let plan = plan(dialect, dialect, KilledTools::default(), calls);
                let (mut relay, mut out) = (Relay::with(&plan), Vec::new());
                relay.bytes(&all[..at].concat(), NOW, &mut out).unwrap();
                let had = memchr::memmem::find_iter(&out, SECRET.as_bytes()).count();
                let answer = relay.kill_tools(killing("bad"));
                let _ = relay.bytes(&all[at..].concat(), NOW, &mut out);
                let has = memchr::memmem::find_iter(&out, SECRET.as_bytes()).count();
                // Copies of a call that has left whole say nothing new.
                let may_repeat = dialect == Dialect::OpenaiResponses && had > 0;
                assert!(has == had || may_repeat, "{name} {calls:?} {at} {answer:?}");
            }
        }
    }
}
