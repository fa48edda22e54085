//! A forbidden word leaves nowhere: not in what a decoder does not understand, not in the frame
//! whose judgement ends the answer, and not in two frames of which each holds a part of it.

use super::screened::{judge, rule};
use super::*;
use crate::filter::{Action, Pattern as Looked, Redaction};
use crate::wire::eventstream;

const WORD: &str = "forbidden-xyzzy";
/// What no two frames may spell together, however they are read.
const PIECES: [&str; 2] = ["forbidden-", "n-xyzzy"];

fn sse(name: &str, data: &str) -> Vec<u8> {
    let event = if name.is_empty() { String::new() } else { format!("event: {name}\n") };
    format!("{event}data: {data}\n\n").into_bytes()
}

fn message(name: &str, payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    eventstream::push_event(&mut out, name, payload.as_bytes());
    out
}

fn chat(delta: &str) -> Vec<u8> {
    sse(
        "",
        &format!(
            r#"{{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{{{delta}}},"finish_reason":null}}]}}"#
        ),
    )
}

fn gemini(part: &str) -> Vec<u8> {
    sse(
        "",
        &format!(
            r#"{{"candidates":[{{"content":{{"parts":[{part}],"role":"model"}},"index":0}}],"modelVersion":"m"}}"#
        ),
    )
}

/// The beginning of an answer.
fn opening(dialect: Dialect) -> Vec<u8> {
    match dialect {
        Dialect::OpenaiChat => chat(r#""role":"assistant","content":"well, ""#),
        Dialect::OpenaiResponses => [
            sse("response.created", r#"{"type":"response.created","sequence_number":0,"response":{"id":"r","object":"response","created_at":1,"model":"m","status":"in_progress","output":[]}}"#),
            sse("response.output_item.added", r#"{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"i","type":"message","role":"assistant","status":"in_progress","content":[]}}"#),
        ]
        .concat(),
        Dialect::Anthropic => [
            sse("message_start", r#"{"type":"message_start","message":{"id":"a","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#),
            sse("content_block_start", r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#),
            sse("content_block_delta", r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"well, "}}"#),
            sse("content_block_stop", r#"{"type":"content_block_stop","index":0}"#),
        ]
        .concat(),
        Dialect::Gemini => gemini(r#"{"text":"well, "}"#),
        Dialect::Bedrock => [
            message("messageStart", r#"{"role":"assistant"}"#),
            message("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"well, "}}"#),
            message("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        ]
        .concat(),
    }
}

/// Frames with the word in a place that holds it whole.
fn whole(dialect: Dialect, w: &str) -> Vec<(&'static str, Vec<u8>)> {
    let fit = |text: &str| text.replace('@', w);
    match dialect {
        Dialect::OpenaiChat => vec![
            (
                "tool name",
                chat(&fit(
                    r#""tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"@","arguments":""}}]"#,
                )),
            ),
            ("unknown member", chat(&fit(r#""content":"","mood":"@""#))),
            ("unknown name", chat(&fit(r#""content":"","@":1"#))),
            ("inner name", chat(&fit(r#""mood":{"a":{"@":1}}"#))),
            (
                "member of a frame",
                sse(
                    "",
                    &fit(
                        r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","news":["@"],"choices":[]}"#,
                    ),
                ),
            ),
            ("error", sse("", &fit(r#"{"error":{"message":"no @","type":"x","code":null}}"#))),
            (
                "error's other members",
                sse(
                    "",
                    &fit(
                        r#"{"error":{"message":"no","type":"x","code":null,"metadata":{"raw":"@"}}}"#,
                    ),
                ),
            ),
            ("other JSON", sse("", &fit(r#"["@"]"#))),
            ("broken JSON", sse("", &fit(r#"{"a": @"#))),
            ("other text", sse("", w)),
            ("event name", sse(w, r#"["a"]"#)),
            ("comment", format!(": {w}\n\n").into_bytes()),
        ],
        Dialect::OpenaiResponses => vec![
            (
                "tool name",
                sse(
                    "response.output_item.added",
                    &fit(
                        r#"{"type":"response.output_item.added","sequence_number":2,"output_index":1,"item":{"id":"f","type":"function_call","status":"in_progress","arguments":"","call_id":"c","name":"@"}}"#,
                    ),
                ),
            ),
            (
                "error",
                sse(
                    "error",
                    &fit(
                        r#"{"type":"error","sequence_number":2,"code":"x","message":"no @","param":null}"#,
                    ),
                ),
            ),
            (
                "failed",
                sse(
                    "response.failed",
                    &fit(
                        r#"{"type":"response.failed","sequence_number":2,"response":{"id":"r","object":"response","created_at":1,"model":"m","status":"failed","output":[],"error":{"code":"x","message":"@"}}}"#,
                    ),
                ),
            ),
            (
                "unknown event",
                sse(
                    "response.news",
                    &fit(r#"{"type":"response.news","sequence_number":2,"news":"@"}"#),
                ),
            ),
            (
                "unknown name",
                sse(
                    "response.news",
                    &fit(r#"{"type":"response.news","sequence_number":2,"@":"news"}"#),
                ),
            ),
            ("other text", sse("", w)),
        ],
        Dialect::Anthropic => vec![
            (
                "tool name",
                sse(
                    "content_block_start",
                    &fit(
                        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"@","input":{}}}"#,
                    ),
                ),
            ),
            (
                "error",
                sse(
                    "error",
                    &fit(
                        r#"{"type":"error","error":{"type":"overloaded_error","message":"no @"}}"#,
                    ),
                ),
            ),
            ("unknown event", sse("news", &fit(r#"{"type":"news","news":"@"}"#))),
            (
                "unknown block",
                sse(
                    "content_block_start",
                    &fit(
                        r#"{"type":"content_block_start","index":1,"content_block":{"type":"news","news":{"@":[]}}}"#,
                    ),
                ),
            ),
            (
                "unknown delta",
                sse(
                    "content_block_delta",
                    &fit(
                        r#"{"type":"content_block_delta","index":1,"delta":{"type":"news_delta","news":"@"}}"#,
                    ),
                ),
            ),
        ],
        Dialect::Gemini => vec![
            ("tool name", gemini(&fit(r#"{"functionCall":{"name":"@","args":{}}}"#))),
            ("argument name", gemini(&fit(r#"{"functionCall":{"name":"f","args":{"@":1}}}"#))),
            ("unknown part", gemini(&fit(r#"{"news":"@"}"#))),
            ("unknown name", gemini(&fit(r#"{"text":"","@":1}"#))),
            (
                "error",
                sse("", &fit(r#"{"error":{"code":500,"message":"no @","status":"INTERNAL"}}"#)),
            ),
            (
                "error's details",
                sse(
                    "",
                    &fit(
                        r#"{"error":{"code":500,"message":"no","status":"INTERNAL","details":[{"x":"@"}]}}"#,
                    ),
                ),
            ),
        ],
        Dialect::Bedrock => vec![
            (
                "tool name",
                message(
                    "contentBlockStart",
                    &fit(
                        r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"t","name":"@"}}}"#,
                    ),
                ),
            ),
            ("unknown event", message("news", &fit(r#"{"news":"@"}"#))),
            (
                "unknown delta",
                message(
                    "contentBlockDelta",
                    &fit(r#"{"contentBlockIndex":1,"delta":{"news":"@"}}"#),
                ),
            ),
            (
                "metadata",
                message(
                    "metadata",
                    &fit(
                        r#"{"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1},"trace":{"a":{"@":1}}}"#,
                    ),
                ),
            ),
        ],
    }
}

/// Places in which a text may come in pieces, as frames for one piece.
fn pieces(dialect: Dialect, piece: &str) -> Vec<(&'static str, Vec<u8>)> {
    let fit = |text: &str| text.replace('@', piece);
    match dialect {
        Dialect::OpenaiChat => vec![
            ("unknown delta", chat(&fit(r#""content":"","mood":"@""#))),
            (
                "details",
                chat(&fit(
                    r#""content":"","reasoning_details":[{"type":"reasoning.text","text":"@","index":0}]"#,
                )),
            ),
            ("other JSON", sse("", &fit(r#"{"kind":"more","piece":"@"}"#))),
            ("other text", sse("", piece)),
        ],
        Dialect::OpenaiResponses => vec![(
            "unknown event",
            sse(
                "response.news.delta",
                &fit(
                    r#"{"type":"response.news.delta","sequence_number":2,"item_id":"n","delta":"@"}"#,
                ),
            ),
        )],
        Dialect::Anthropic => vec![
            ("unknown event", sse("news", &fit(r#"{"type":"news","index":3,"news":"@"}"#))),
            (
                "unknown delta",
                sse(
                    "content_block_delta",
                    &fit(
                        r#"{"type":"content_block_delta","index":1,"delta":{"type":"news_delta","news":"@"}}"#,
                    ),
                ),
            ),
        ],
        Dialect::Gemini => vec![("unknown part", gemini(&fit(r#"{"news":{"piece":"@"}}"#)))],
        Dialect::Bedrock => vec![
            ("unknown event", message("news", &fit(r#"{"news":"@"}"#))),
            (
                "unknown delta",
                message(
                    "contentBlockDelta",
                    &fit(r#"{"contentBlockIndex":1,"delta":{"news":"@"}}"#),
                ),
            ),
        ],
    }
}

/// All strings and names of all frames behind one another, place by place would be less strict.
fn assert_clean(out: &[u8], what: &str) {
    let text = String::from_utf8_lossy(out).into_owned();
    assert!(!text.contains(WORD), "{what}: {text}");
    let spelled: String = text.split("forbidden-").skip(1).collect();
    assert!(
        !PIECES.iter().all(|piece| text.contains(piece)) && !spelled.contains("xyzzy"),
        "{what}: {text}"
    );
}

fn plans(dialect: Dialect, action: Action) -> Vec<(String, Plan)> {
    let judges = vec![judge(&[rule("word", Looked::Literals(vec![WORD.into()]), action)])];
    let mut all = Vec::new();
    for client in Dialect::ALL {
        for (killed, calls) in [
            (KilledTools::default(), CallHold::Never),
            (killing("other-tool"), CallHold::Never),
            (KilledTools::default(), CallHold::UntilWhole),
        ] {
            let name = format!("{dialect:?} for {client:?} {calls:?} {action:?}");
            let mut plan = plan(client, dialect, killed, calls);
            plan.judges.clone_from(&judges);
            all.push((name, plan));
        }
    }
    all
}

#[test]
fn a_word_that_stands_whole_leaves_nowhere() {
    let mut cut = 0;
    for dialect in Dialect::ALL {
        for action in [Action::Cut, Action::Redact(Redaction::Marker)] {
            for (plan_name, plan) in plans(dialect, action) {
                for (place, frame) in whole(dialect, WORD) {
                    let stream = [opening(dialect), frame].concat();
                    let (out, ended) = run(&plan, &stream, stream.len());
                    assert_clean(&out, &format!("{plan_name}, {place}"));
                    cut += usize::from(ended == Err(Broken::Blocked));
                    assert!(
                        action != Action::Cut
                            || ended == Err(Broken::Blocked)
                            || ended == Err(Broken::ProviderError)
                            // A name that may go on waits; who writes anew writes no comments.
                            || place == "tool name"
                            || matches!(place, "comment" | "event name"),
                        "{plan_name}, {place}: {ended:?} {}",
                        String::from_utf8_lossy(&out)
                    );
                }
            }
        }
    }
    assert!(cut > 400, "{cut}");
}

#[test]
fn a_word_in_pieces_leaves_nowhere() {
    for dialect in Dialect::ALL {
        for action in [Action::Cut, Action::Redact(Redaction::Marker)] {
            for (plan_name, plan) in plans(dialect, action) {
                for at in [3, 9, 12] {
                    let (first, second) = WORD.split_at(at);
                    let frames = pieces(dialect, first).into_iter().zip(pieces(dialect, second));
                    for ((place, first), (_, second)) in frames {
                        let stream = [opening(dialect), first.clone(), second].concat();
                        let (out, _) = run(&plan, &stream, stream.len());
                        let what = format!("{plan_name}, {place} at {at}");
                        assert_clean(&out, &what);
                        let text = String::from_utf8_lossy(&out);
                        let (head, tail) = WORD.split_at(at);
                        assert!(!text.contains(tail), "{what}: {text}");
                        assert!(at < 9 || !text.contains(head), "{what}: {text}");
                        // What is no match in the end is not lost.
                        let other = pieces(dialect, "dden-rooms");
                        let other = other.into_iter().find(|(name, _)| *name == place).unwrap().1;
                        let harmless = [opening(dialect), first, other].concat();
                        let (_, ended) = run(&plan, &harmless, harmless.len());
                        if place != "other text" {
                            assert_ne!(
                                ended,
                                Err(Broken::Blocked),
                                "{what} {}",
                                String::from_utf8_lossy(&harmless)
                            );
                        }
                    }
                }
            }
        }
    }
}
