//! How a conversation begins: its system prompt and its first user turn.
//!
//! Clients re-send the whole history with every request, so the beginning is what all requests of
//! one conversation have in common; a session can be told by it where none is declared.
//!
//! What always holds: no tree is built, and what is found is lent from the body. A body that is not
//! what its dialect says has no opening; why is for the request's view to say.

use super::json::{elements, first, members};
use super::{Dialect, json};

/// How a conversation begins. All parts are JSON as it stands in the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening<'b> {
    /// The system prompt, where it has a member of its own; else empty.
    pub system: &'b str,
    /// The turns before the first user turn, with the commas between them: in Chat Completions the
    /// system prompt stands here.
    pub lead: &'b str,
    /// The first user turn.
    pub turn: &'b str,
}

impl<'b> Opening<'b> {
    /// What each part says: its strings, escaped as they stand.
    ///
    /// Left out is what clients change from request to request while the conversation is the same:
    /// marks of prompt caches, which move towards the end of the history, and ids.
    pub fn texts(&self) -> [impl Iterator<Item = &'b str> + use<'b>; 3] {
        [self.system, self.lead, self.turn].map(|part| {
            json::strings(part).filter(|inner| !MARKS.contains(&inner.key)).map(|inner| inner.text)
        })
    }
}

/// Members whose strings say nothing of the conversation. A cache mark has no strings but these.
const MARKS: [&str; 5] = ["type", "role", "ttl", "id", "status"];

/// Where a dialect writes what.
struct Places {
    /// The members that are the system prompt; a body has one of them.
    system: &'static [&'static str],
    /// The member that has the turns.
    turns: &'static str,
    /// Whose a turn is that does not say it.
    unsaid: Speaker,
}

/// Whose a turn is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaker {
    User,
    Other,
}

impl Places {
    fn of(dialect: Dialect) -> Places {
        let (system, turns, unsaid): (&[&str], _, _) = match dialect {
            Dialect::OpenaiChat => (&[], "messages", Speaker::Other),
            Dialect::OpenaiResponses => (&["instructions"], "input", Speaker::Other),
            Dialect::Anthropic | Dialect::Bedrock => (&["system"], "messages", Speaker::Other),
            Dialect::Gemini => {
                (&["systemInstruction", "system_instruction"], "contents", Speaker::User)
            }
        };
        Places { system, turns, unsaid }
    }
}

/// How the conversation begins of which `body`, a request in `dialect`, is a part; `None` if it has
/// no user turn.
pub fn opening(dialect: Dialect, body: &[u8]) -> Option<Opening<'_>> {
    let places = Places::of(dialect);
    let text = std::str::from_utf8(body).ok()?.trim_ascii_start();
    let (mut system, mut turns) = (None, None);
    let mut members = members(text);
    while let Some(name) = members.name() {
        if name == places.turns && turns.is_none() {
            // Where they end is found on the way, or does not matter: they may be long.
            turns = Some(members.rest());
            if system.is_some() || places.system.is_empty() {
                break;
            }
        }
        let Some(value) = members.value() else { break };
        if places.system.contains(&&*name) {
            system = Some(value);
            if turns.is_some() {
                break;
            }
        }
    }
    let (lead, turn) = beginning(turns?, &places)?;
    Some(Opening { system: system.unwrap_or(""), lead, turn })
}

/// The first user turn of the value with which `turns` begins, and what stands before it. A text
/// instead of turns is the user's.
fn beginning<'b>(turns: &'b str, places: &Places) -> Option<(&'b str, &'b str)> {
    if turns.starts_with('"') {
        return Some(("", first(turns)));
    }
    let mut lead: Option<(usize, usize)> = None;
    let mut elements = elements(turns);
    loop {
        let mut speaker = None;
        let turn = elements.next_with(|name, value| {
            if name == "role" && speaker.is_none() {
                speaker = Some(if value == "\"user\"" { Speaker::User } else { Speaker::Other });
            }
        })?;
        if speaker.unwrap_or(places.unsaid) == Speaker::User {
            let lead = lead.and_then(|(start, end)| turns.get(start..end));
            return Some((lead.unwrap_or(""), turn));
        }
        let start = json::offset_of(turns.as_bytes(), turn)?;
        let (first, _) = lead.unwrap_or((start, 0));
        lead = Some((first, start + turn.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dialect::{Anthropic, Bedrock, Gemini, OpenaiChat, OpenaiResponses};
    use proptest::prelude::*;

    #[test]
    fn what_begins_a_conversation() {
        // Dialect, body, and the system prompt, lead and turn in it.
        for (dialect, body, expected) in [
            (
                OpenaiChat,
                r#"{"model":"m","messages":[{"role":"system","content":"S"}, {"role":"developer","content":"D"} ,{"role":"user","content":"U"},{"role":"assistant","content":"A"},{"role":"user","content":"V"}]}"#,
                Some((
                    "",
                    r#"{"role":"system","content":"S"}, {"role":"developer","content":"D"}"#,
                    r#"{"role":"user","content":"U"}"#,
                )),
            ),
            (
                OpenaiChat,
                r#"{"messages":[{"content":"U","role":"user"}]}"#,
                Some(("", "", r#"{"content":"U","role":"user"}"#)),
            ),
            (OpenaiChat, r#"{"messages":[{"role":"system","content":"S"}]}"#, None),
            (OpenaiChat, r#"{"messages":[{"content":"U"}]}"#, None),
            (OpenaiChat, r#"{"messages":{"role":"user"}}"#, None),
            (
                OpenaiResponses,
                r#"{"instructions":"S","input":"a\n\"b\"","tools":[]}"#,
                Some((r#""S""#, "", r#""a\n\"b\"""#)),
            ),
            (OpenaiResponses, r#"{"input":"u"}"#, Some(("", "", r#""u""#))),
            (
                OpenaiResponses,
                r#"{"input":[{"type":"message","role":"developer","content":[]},{"role":"user","content":"u"}],"instructions":"S"}"#,
                Some((
                    r#""S""#,
                    r#"{"type":"message","role":"developer","content":[]}"#,
                    r#"{"role":"user","content":"u"}"#,
                )),
            ),
            (
                Anthropic,
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"u"}]},{"role":"assistant","content":"a"}],"system":[{"type":"text","text":"s"}]}"#,
                Some((
                    r#"[{"type":"text","text":"s"}]"#,
                    "",
                    r#"{"role":"user","content":[{"type":"text","text":"u"}]}"#,
                )),
            ),
            (
                Gemini,
                r#"{"contents":[{"parts":[{"text":"u"}]}],"system_instruction":{"parts":[{"text":"s"}]}}"#,
                Some((r#"{"parts":[{"text":"s"}]}"#, "", r#"{"parts":[{"text":"u"}]}"#)),
            ),
            (
                Gemini,
                r#"{"systemInstruction":{},"contents":[{"role":"model","parts":[]},{"role":"user"}]}"#,
                Some(("{}", r#"{"role":"model","parts":[]}"#, r#"{"role":"user"}"#)),
            ),
            (
                Bedrock,
                r#"{"system":[{"text":"s"}],"messages":[{"role":"user","content":[{"text":"u"}]}]}"#,
                Some((r#"[{"text":"s"}]"#, "", r#"{"role":"user","content":[{"text":"u"}]}"#)),
            ),
            (Bedrock, "[]", None),
            (Anthropic, "", None),
        ] {
            let expected = expected.map(|(system, lead, turn)| Opening { system, lead, turn });
            assert_eq!(opening(dialect, body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn nothing_is_read_behind_the_first_user_turn() {
        let broken = br#"{"system":"s","messages":[{"role":"user","content":"u"},{"rol"#;
        assert_eq!(opening(Anthropic, broken).unwrap().turn, r#"{"role":"user","content":"u"}"#);
        assert_eq!(opening(OpenaiChat, broken).unwrap().system, "");
    }

    #[test]
    fn marks_of_caches_and_the_form_of_a_text_say_nothing() {
        let texts = |body: &str| {
            let opening = opening(Anthropic, body.as_bytes()).unwrap();
            opening.texts().map(|part| part.map(str::to_owned).collect::<Vec<_>>())
        };
        let plain = texts(r#"{"system":"s","messages":[{"role":"user","content":"u"}]}"#);
        assert_eq!(plain, [vec!["s".to_owned()], vec![], vec!["u".to_owned()]]);
        let marked = r#"{"messages": [{"content":[{"type":"text","text":"u","cache_control":{"type":"ephemeral","ttl":"1h"}}],"role":"user"}],
            "system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}]}"#;
        assert_eq!(texts(marked), plain);
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            text in "\\PC{0,60}",
            pieces in proptest::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", "\"", "\\", "\"messages\"", "\"input\"", "\"contents\"",
                    "\"system\"", "\"instructions\"", "\"role\"", "\"user\"", "\"x\"", "1", "null", " ", "é",
                ]),
                0..40,
            ),
        ) {
            let built = pieces.concat();
            for dialect in Dialect::ALL {
                for body in [&bytes[..], text.as_bytes(), built.as_bytes()] {
                    if let Some(opening) = opening(dialect, body) {
                        for part in opening.texts() {
                            part.for_each(drop);
                        }
                    }
                }
            }
        }

        #[test]
        fn more_turns_change_nothing(more in proptest::collection::vec("[a-z]{1,9}", 0..6), system in "[a-z\"]{0,9}") {
            let system = serde_json::Value::from(system).to_string();
            let user = r#"{"role":"user","content":"u"}"#;
            let body = |turns: usize| {
                let more: Vec<String> = more.iter().take(turns)
                    .map(|text| format!(r#",{{"role":"user","content":"{text}"}}"#)).collect();
                format!(r#"{{"system":{system},"messages":[{user}{}],"n":1}}"#, more.concat())
            };
            let (first, last) = (body(0), body(more.len()));
            prop_assert_eq!(
                opening(Anthropic, last.as_bytes()),
                opening(Anthropic, first.as_bytes())
            );
            prop_assert_eq!(opening(Anthropic, last.as_bytes()).unwrap().system, system);
        }
    }
}
