//! Over every recorded request: what is left out is on a short list, and places are right.

use super::*;
use std::path::PathBuf;

#[derive(serde::Deserialize)]
struct Meta<'m> {
    #[serde(borrow)]
    request_body: Option<&'m serde_json::value::RawValue>,
}

/// The recorded requests: what they are, and their bodies.
fn requests() -> Vec<(String, Option<Dialect>, String)> {
    let data = std::env::var_os("FIREDOOR_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")),
        PathBuf::from,
    );
    let wire = data.join("wire");
    let list = |folder: &PathBuf| {
        let listed = std::fs::read_dir(folder).unwrap_or_else(|error| {
            panic!("{}: {error}; set FIREDOOR_DATA to the folder of recordings", folder.display())
        });
        let mut paths: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let mut all = Vec::new();
    for folder in list(&wire) {
        let dialect = match folder.file_name().unwrap().to_str().unwrap() {
            "openai-chat" | "azure-openai-chat" => Some(Dialect::OpenaiChat),
            "openai-responses" | "azure-openai-responses" => Some(Dialect::OpenaiResponses),
            "anthropic-messages" => Some(Dialect::Anthropic),
            "gemini-generatecontent" => Some(Dialect::Gemini),
            "bedrock-converse" | "bedrock-converse-stream" => Some(Dialect::Bedrock),
            _ => None,
        };
        for path in list(&folder) {
            if !path.to_string_lossy().ends_with(".meta.json") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let meta: Meta<'_> = serde_json::from_str(&text).unwrap();
            if let Some(body) = meta.request_body.filter(|body| body.get().starts_with('{')) {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                all.push((name, dialect, body.get().to_owned()));
            }
        }
    }
    assert!(all.len() > 700, "{} requests", all.len());
    all
}

/// Whether a leaf may be left out: its name says so, or it is a file in its own address, or a type
/// in a schema.
fn is_exempt(way: &[&str], leaf: &str) -> bool {
    leaf.is_empty()
        || leaf.starts_with("data:")
        || way.last().is_some_and(|name| may_be_left_out(name))
}

/// Whether the texts have all of a leaf: itself, or what is in its JSON.
fn is_told(leaf: &str, texts: &[&str]) -> bool {
    if texts.contains(&leaf) {
        return true;
    }
    let Ok(inner) = serde_json::from_str::<Value>(leaf) else { return false };
    let mut is_told = inner.is_object() || inner.is_array();
    leaves(&inner, &mut Vec::new(), &mut |way, leaf| {
        is_told &= is_exempt(way, leaf) || texts.contains(&leaf);
    });
    is_told
}

#[test]
fn no_text_of_a_recorded_request_slips_by() {
    let (mut missed, mut count) = (Vec::new(), 0usize);
    for (name, dialect, body) in requests() {
        let told = segments(dialect, body.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let texts: Vec<&str> = told.iter().map(|segment| &*segment.text).collect();
        let value: Value = serde_json::from_str(&body).unwrap();
        leaves(&value, &mut Vec::new(), &mut |way, leaf| {
            count += 1;
            if !is_exempt(way, leaf) && !is_told(leaf, &texts) {
                missed.push(format!("{name}: {} {leaf:?}", way.join(".")));
            }
        });
    }
    assert!(missed.is_empty(), "{} of {count}:\n{}", missed.len(), missed.join("\n"));
}

/// Words that mean nothing to a grammar, in the place of every leaf that is not left out.
#[test]
fn a_word_planted_anywhere_in_a_recorded_request_is_found() {
    fn plant(value: &mut Value, name: &str, count: &mut usize) {
        match value {
            Value::String(text) if !may_be_left_out(name) => {
                *text = format!("zebra {count} crossing");
                *count += 1;
            }
            Value::Array(list) => list.iter_mut().for_each(|item| plant(item, name, count)),
            Value::Object(members) => {
                members.iter_mut().for_each(|(name, item)| plant(item, name, count));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    for (name, dialect, body) in requests() {
        let mut value: Value = serde_json::from_str(&body).unwrap();
        let mut count = 0;
        plant(&mut value, "", &mut count);
        let told = segments(dialect, value.to_string().as_bytes()).unwrap();
        let texts: Vec<&str> = told.iter().map(|segment| &*segment.text).collect();
        for number in 0..count {
            let word = format!("zebra {number} crossing");
            assert!(texts.contains(&&*word), "{name}: `{word}` in {value}");
        }
    }
}

#[test]
fn places_in_recorded_requests_are_right() {
    for (name, dialect, body) in requests() {
        // Every text is replaced once, so the cost grows with the square of the body.
        if body.len() < 8_000 {
            println!("{name}");
            check_places(dialect, body.as_bytes());
        }
    }
}

/// Turns and tools of a conversation that goes on are told as they were before.
#[test]
fn digests_follow_the_messages_and_nothing_else() {
    for (name, dialect, body) in requests() {
        let mut value: Value = serde_json::from_str(&body).unwrap();
        let before = digests(dialect, &body);
        let list =
            ["messages", "input", "contents"].into_iter().find(|list| value[*list].is_array());
        let Some(list) = list else { continue };
        let turns = value[list].as_array_mut().unwrap();
        let first = turns[0].clone();
        turns.push(first);
        let spaced = serde_json::to_string_pretty(&value).unwrap();
        let (plain, spaced) = (digests(dialect, &value.to_string()), digests(dialect, &spaced));
        assert_eq!(plain.len(), before.len() + 1, "{name}");
        assert_eq!(spaced.len(), plain.len(), "{name}");
    }
}
