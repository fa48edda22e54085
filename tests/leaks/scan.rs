//! The scanner at the client's socket. It knows no dialect: it takes every string of every frame,
//! puts together what may be put together by any SDK, and looks for pieces of the secret.

use super::frames::{Framing, parse};
use super::leaf::{leaves, names};
use super::secret::Secret;
use serde_json::Value;
use std::collections::BTreeMap;

/// What was seen of `secret` in a body, and where; `None` if nothing was.
pub fn find(framing: Option<Framing>, body: &[u8], secret: &Secret) -> Option<String> {
    let mut texts = match framing {
        Some(framing) => of_stream(framing, body),
        None => of_value(&serde_json::from_slice(body).unwrap_or_default(), "body"),
    };
    // The most telling place first.
    texts.sort_by_key(|(place, _)| (place.starts_with('~'), std::cmp::Reverse(place.len())));
    let raw = [("bytes".to_owned(), String::from_utf8_lossy(body).into_owned())];
    texts.into_iter().chain(raw).find_map(|(place, text)| {
        let mut found = secret.piece_in(&text);
        if found.is_none() && text.contains('\\') {
            found = secret.piece_in(&unescaped(&text));
        }
        Some(format!("{:?} in {place}", found?))
    })
}

/// Texts by a name for where they are.
type Texts = Vec<(String, String)>;

fn of_stream(framing: Framing, body: &[u8]) -> Texts {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    let mut all = Texts::new();
    for frame in parse(framing, body) {
        joined.entry("~ all data".to_owned()).or_default().push_str(&frame.data);
        all.push(("an event's name".to_owned(), frame.event.clone()));
        if let Some(value) = frame.json() {
            let mut found = Vec::new();
            names(&value, &mut found);
            joined.entry("all names".to_owned()).or_default().push_str(&found.concat());
            all.extend(found.into_iter().map(|name| ("a member's name".to_owned(), name)));
        }
        for leaf in leaves(&frame) {
            // From the finest to the coarsest: by choice and position, by choice, by kind of
            // place, by the name of the member alone.
            let name = leaf.class.rsplit('.').next().unwrap_or_default().to_owned();
            for place in [leaf.exact, leaf.key, leaf.class, name] {
                joined.entry(place).or_default().push_str(&leaf.text);
            }
        }
    }
    for (place, text) in joined {
        // Arguments are JSON inside of JSON.
        if let Ok(value) = serde_json::from_str::<Value>(&text)
            && !value.is_string()
        {
            all.extend(of_value(&value, &place));
        }
        all.push((place, text));
    }
    all
}

fn of_value(value: &Value, place: &str) -> Texts {
    let mut all = Texts::new();
    let mut found = Vec::new();
    names(value, &mut found);
    all.extend(found.into_iter().map(|name| (format!("a name in {place}"), name)));
    let mut joined = String::new();
    push_strings(value, &mut joined, &mut all, place);
    all.push((format!("~ all strings of {place}"), joined));
    all
}

fn push_strings(value: &Value, joined: &mut String, all: &mut Texts, place: &str) {
    match value {
        Value::String(text) => {
            joined.push_str(text);
            all.push((place.to_owned(), text.clone()));
            if let Ok(inner) = serde_json::from_str::<Value>(text)
                && !inner.is_string()
            {
                all.extend(of_value(&inner, place));
            }
        }
        Value::Array(list) => {
            let bytes = list.iter().map(|byte| u8::try_from(byte.as_u64()?).ok());
            if let Some(bytes) = bytes.collect::<Option<Vec<u8>>>() {
                joined.push_str(&String::from_utf8_lossy(&bytes));
            }
            for value in list {
                push_strings(value, joined, all, place);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                push_strings(value, joined, all, &format!("{place}.{name}"));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// JSON's escapes undone, wherever they stand: arguments that were cut are no JSON any more.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let code = rest.strip_prefix('u').and_then(|hex| hex.get(..4));
        if let Some(code) = code.and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
            out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
            rest = &rest[5..];
        }
    }
    out.push_str(rest);
    out
}
