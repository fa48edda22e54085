//! Providers that call a killed tool all the same, as recorded and in pieces of any size.

use crate::support::{ALL, Gateway, MockServer, Told, ask, data};
use crate::{FAMILIES, routes};
use firedoor::wire::Dialect;
use firedoor::wire::event::StopReason;
use serde_json::json;
use std::path::PathBuf;

const FOLDERS: [(&str, &str, Dialect); 5] = [
    ("openai-chat", "cht", Dialect::OpenaiChat),
    ("openai-responses", "res", Dialect::OpenaiResponses),
    ("anthropic-messages", "ant", Dialect::Anthropic),
    ("gemini-generatecontent", "gem", Dialect::Gemini),
    ("bedrock-converse-stream", "bed", Dialect::Bedrock),
];

/// A recorded stream in which tools are called.
struct Recording {
    path: PathBuf,
    /// The tools.
    names: Vec<String>,
    /// The id and the tool of each call.
    calls: Vec<(String, String)>,
}

/// Recorded streams of a folder in which tools are called.
fn recordings(folder: &str, dialect: Dialect) -> Vec<Recording> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(data().join("wire").join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.extension().is_none_or(|ending| ending != "sse" && ending != "bin") {
            continue;
        }
        let meta = path.with_extension("meta.json");
        // Some were recorded without their content type.
        let kind = dialect.framing().content_type().split(';').next().unwrap();
        let meta = std::fs::read_to_string(&meta).unwrap_or_default();
        if !meta.contains("\"status\": 200")
            || !meta.contains(&format!("\"content_type\": \"{kind}"))
        {
            continue;
        }
        let body = std::fs::read(&path).unwrap();
        let decoded = std::panic::catch_unwind(|| Told::of_stream(dialect, &body));
        // Streams that break off are for other tests.
        let Ok(told) = decoded else { continue };
        let mut names: Vec<_> = told.called().into_iter().map(str::to_owned).collect();
        names.sort();
        names.dedup();
        if told.error.is_none() && !names.is_empty() && !names.iter().any(String::is_empty) {
            let calls = told.calls.into_iter().map(|(id, name, _)| (id, name)).collect();
            found.push(Recording { path, names, calls });
        }
    }
    found
}

/// Plays each recording to its own dialect and to another one, with its calls killed.
#[test]
fn nothing_of_a_killed_call_leaves() {
    let folder = data().join("wire");
    let mock = MockServer::with_tape(&folder);
    let mut played = 0;
    for (at, (of, family, source)) in FOLDERS.into_iter().enumerate() {
        let all = recordings(of, source);
        assert!(!all.is_empty(), "{of}: no recorded calls");
        for (number, Recording { path, names, calls }) in all.iter().take(12).enumerate() {
            let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
            let split = ["1", "random:7", "random:11"][number % 3];
            let headers = format!("\"x-tape\" = '{name}', \"x-tape-split\" = \"{split}\"");
            let gateway = Gateway::start(&routes(&mock.url(), &headers));
            // The first alone, then all of them.
            let mut levers = Vec::new();
            for name in names {
                levers
                    .push(gateway.pull(json!({ "kind": "kill", "scope": format!("tool:{name}") })));
                if levers.len() > 1 && levers.len() < names.len() {
                    continue;
                }
                let killed = &names[..levers.len()];
                let other = ALL[(at + 1 + number % 4) % 5];
                for caller in [source, other] {
                    let who = format!("{path:?} by {split} for {caller:?}, {killed:?} killed");
                    let answer = ask(&gateway, caller, family, true).answer();
                    let told = Told::of(caller, true, &answer);
                    assert_eq!(told.error, None, "{who}");
                    assert!(told.ends <= 1 && told.starts <= 1, "{who}");
                    for name in killed {
                        assert!(!told.called().contains(&name.as_str()), "{who}");
                        // Responses repeat the definitions that their request had.
                        if source != Dialect::OpenaiResponses {
                            let quoted = format!("\"{name}\"");
                            assert!(!answer.text().contains(&quoted), "{who}: {}", answer.text());
                        }
                    }
                    for (id, _) in calls.iter().filter(|(_, name)| killed.contains(name)) {
                        let is_there = !id.is_empty() && answer.text().contains(id);
                        assert!(!is_there, "{who}: {id} in {}", answer.text());
                    }
                    if told.calls.is_empty() && killed.len() == names.len() {
                        assert_ne!(told.stop, Some(StopReason::ToolUse), "{who}");
                        let is_told = levers.iter().any(|lever| told.text.contains(lever));
                        assert!(is_told || !told.text.trim().is_empty(), "{who}: {told:?}");
                    }
                    let record =
                        gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
                    assert_eq!(record["outcome"], "completed", "{who}: {record}");
                    played += 1;
                }
            }
        }
    }
    assert!(played > 60, "{played}");
}

#[test]
fn what_is_left_is_whole_and_nothing_left_says_so() {
    for (script, left, text) in [
        (
            "tool=issue_refund:{%22id%22:7},tool=get_weather:{%22city%22:%22Oslo%22}",
            vec!["get_weather"],
            None,
        ),
        (
            "tool=get_weather:{%22city%22:%22Oslo%22},tool=issue_refund:{%22id%22:7}",
            vec!["get_weather"],
            None,
        ),
        ("text=Let%20me%20see.,tool=issue_refund:{%22id%22:7}", vec![], Some("Let me see.")),
        ("tool=issue_refund:{%22id%22:7}", vec![], None),
    ] {
        let mock = MockServer::start();
        let gateway = Gateway::start(&routes(&mock.url(), &format!("\"x-mock\" = '{script}'")));
        let by = gateway.pull(json!({ "kind": "kill", "scope": "tool:issue_refund" }));
        for caller in ALL {
            for name in FAMILIES {
                for stream in [true, false] {
                    let who = format!("{script}: {caller:?} at {name}, stream {stream}");
                    let answer = ask(&gateway, caller, name, stream).answer();
                    let told = Told::of(caller, stream, &answer);
                    told.assert_one(&who);
                    assert_eq!(told.called(), left, "{who}");
                    assert!(!answer.text().contains("issue_refund"), "{who}: {}", answer.text());
                    if left.is_empty() {
                        assert_eq!(told.stop, Some(StopReason::EndTurn), "{who}");
                    } else if caller != Dialect::Gemini {
                        assert_eq!(told.stop, Some(StopReason::ToolUse), "{who}");
                        assert!(told.calls[0].2.contains("Oslo"), "{who}: {:?}", told.calls);
                    }
                    match text {
                        Some(text) => assert_eq!(told.text, text, "{who}"),
                        None if left.is_empty() => {
                            assert!(told.text.contains(&by), "{who}: {:?}", told.text);
                        }
                        None => assert_eq!(told.text, "", "{who}"),
                    }
                    let record =
                        gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
                    assert_eq!(record["outcome"], "completed", "{who}: {record}");
                }
            }
        }
    }
}
