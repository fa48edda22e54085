//! Streams that are over: what is said to have nothing in it has nothing in it.

use super::screened::{judge, rule};
use super::*;
use crate::filter::{Action, Pattern as Looked, Redaction};
use crate::table::packs::built_in;
use crate::table::rules::Judge;
use std::sync::Arc;

fn plan(dialect: Dialect, judges: Vec<Arc<Judge>>) -> Plan {
    Plan {
        client: dialect,
        source: dialect,
        coding: Coding::Identity,
        killed: KilledTools::default(),
        calls: CallHold::Never,
        tells_usage: true,
        began_s: 0,
        judges,
    }
}

/// Whether a relay finds nothing and lets everything go.
fn relayed_clear(plan: &Plan, bytes: &[u8]) -> bool {
    let (mut relay, mut out) = (Relay::with(plan), Vec::new());
    let _ = relay.bytes(bytes, NOW, &mut out).and_then(|()| relay.end(NOW, &mut out));
    let found = relay.found().unwrap();
    found.count() == 0 && !found.is_cut() && !found.is_reroute()
}

fn pack(name: &str) -> Vec<Arc<Judge>> {
    let book = built_in(name).unwrap().book.clone().enforcing().unwrap();
    book.judge(0).into_iter().map(Arc::clone).collect()
}

/// Of every recorded stream, under packs and under words that some of them have.
#[test]
fn what_is_clear_has_nothing() {
    let words = |texts: &[&str], action| {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        vec![judge(&[rule("w", Looked::Words(texts), action)])]
    };
    let hide = Action::Redact(Redaction::Marker);
    let of_signs = Looked::Regex("[.!?] ?$".to_owned());
    let all = [
        pack("secrets"),
        pack("injection"),
        pack("pii"),
        words(&["weather", "sky", "location"], Action::Flag),
        words(&["the", "paris", "blue"], hide),
        words(&["no one says this", "get_weather"], Action::Cut),
        vec![judge(&[rule("end", of_signs, hide)])],
    ];
    let (mut clear, mut others) = (0, 0);
    for (dialect, name, bytes) in recorded(Recorded::Stream) {
        for (which, judges) in all.iter().enumerate() {
            let plan = plan(dialect, judges.clone());
            let said = is_clear(&plan, dialect.framing(), &bytes);
            if said {
                assert!(relayed_clear(&plan, &bytes), "{name}, rules {which}");
            }
            *(if said { &mut clear } else { &mut others }) += 1;
        }
    }
    assert!(clear > others && others > 0, "{clear} clear, {others} not");
}

fn stream(texts: &[&str]) -> Vec<u8> {
    let frame = |delta: serde_json::Value, stop: serde_json::Value| {
        let choice = serde_json::json!({ "index": 0, "delta": delta, "finish_reason": stop });
        format!("data: {}\n\n", serde_json::json!({ "id": "c", "choices": [choice] }))
    };
    let mut stream: String = texts
        .iter()
        .map(|text| frame(serde_json::json!({ "content": text }), serde_json::Value::Null))
        .collect();
    stream += &frame(serde_json::json!({}), "stop".into());
    stream += "data: [DONE]\n\n";
    stream.into_bytes()
}

/// Also where text is held to the end; and a key in pieces is none.
#[test]
fn plain_text_is_clear() {
    let plan = plan(Dialect::OpenaiChat, pack("secrets"));
    let plain = ["Nothing ", "is ", "to be ", "found ", "here, and ", "that is ", "all. "];
    let ends_held = ["Nothing ", "is ", "held but a ", "sk-", "proj-"];
    let key = ["sk-", "proj-", "Zx9Kd83hGq7LmW2vBn5TyR8uJp4Cs6Fa1EoXt0Hi3Nb"];
    for (texts, clear) in [(&plain[..], true), (&ends_held, true), (&key, false)] {
        let bytes = stream(texts);
        assert_eq!(is_clear(&plan, Framing::Sse, &bytes), clear, "{texts:?}");
        assert_eq!(relayed_clear(&plan, &bytes), clear, "{texts:?}");
    }
}
