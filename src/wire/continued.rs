//! A request that goes on where an answer stopped.
//!
//! When a provider fails in the middle of an answer, another one may go on from what the client
//! has. The request is the client's own, byte for byte, with that text at the end of its turns.
//! What cannot be said this way: calls of tools and reasoning that were delivered; the caller must
//! not continue an answer that has any.

use super::Dialect;
use super::fields::Fields;
use super::json::push_string;
use super::request::BodyError;
use super::splice::{Edit, splice};

/// How a model is brought to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continue {
    /// The request ends in the assistant's turn, which the model goes on with.
    Prefill,
    /// A turn of the user follows, which asks for the rest.
    Instruct,
}

/// What the user's turn asks for.
const INSTRUCTION: &str = "Your answer above was cut off. Go on exactly where it stops: do not \
    repeat any of it, do not begin anew, and say nothing about the interruption.";

/// The request `body` of `dialect`, with `delivered` as what was answered so far.
///
/// Anthropic refuses a prefill that ends in white space, and so does its model on Bedrock, so there it goes without; the model may
/// then repeat it. Where nothing was answered yet, the body is the client's own.
///
/// # Errors
/// If the body is not a request of the dialect.
pub fn continued(
    dialect: Dialect,
    body: &[u8],
    delivered: &str,
    how: Continue,
) -> Result<Vec<u8>, BodyError> {
    let top = Fields::body(body)?;
    let name = match dialect {
        Dialect::OpenaiChat | Dialect::Anthropic | Dialect::Bedrock => "messages",
        Dialect::OpenaiResponses => "input",
        Dialect::Gemini => "contents",
    };
    let delivered = match (dialect, how) {
        (Dialect::Anthropic | Dialect::Bedrock, Continue::Prefill) => delivered.trim_end(),
        (
            Dialect::OpenaiChat
            | Dialect::OpenaiResponses
            | Dialect::Anthropic
            | Dialect::Gemini
            | Dialect::Bedrock,
            Continue::Prefill | Continue::Instruct,
        ) => delivered,
    };
    // APIs refuse an empty turn, Anthropic and Bedrock one of white space.
    let is_blank =
        matches!(dialect, Dialect::Anthropic | Dialect::Bedrock) && delivered.trim().is_empty();
    if delivered.is_empty() || is_blank {
        return Ok(body.to_vec());
    }
    let mut turns = Vec::new();
    push_turn(&mut turns, dialect, Voice::Assistant, delivered);
    if how == Continue::Instruct {
        turns.push(b',');
        push_turn(&mut turns, dialect, Voice::User, INSTRUCTION);
    }
    let Some(raw) = top.get(name)? else { return Err(top.missing(name)) };
    let place = top.place(raw);
    if dialect == Dialect::OpenaiResponses && raw.get().starts_with('"') {
        let before = br#"[{"type":"message","role":"user","content":"#.to_vec();
        let behind = [b"},", &turns[..], b"]"].concat();
        let edits = vec![
            Edit { place: place.start..place.start, with: before },
            Edit { place: place.end..place.end, with: behind },
        ];
        return Ok(splice(body, edits));
    }
    let elements = top.elements(raw, name)?;
    let at = elements.last().map_or(place.end - 1, |last| top.place(last).end);
    if !elements.is_empty() {
        turns.insert(0, b',');
    }
    Ok(splice(body, vec![Edit { place: at..at, with: turns }]))
}

#[derive(Clone, Copy)]
enum Voice {
    Assistant,
    User,
}

fn push_turn(out: &mut Vec<u8>, dialect: Dialect, voice: Voice, text: &str) {
    let (before, behind): (&str, &str) = match (dialect, voice) {
        (Dialect::OpenaiChat | Dialect::Anthropic, Voice::Assistant) => {
            (r#"{"role":"assistant","content":"#, "}")
        }
        (Dialect::OpenaiChat | Dialect::Anthropic, Voice::User) => {
            (r#"{"role":"user","content":"#, "}")
        }
        (Dialect::OpenaiResponses, Voice::Assistant) => {
            (r#"{"type":"message","role":"assistant","content":"#, "}")
        }
        (Dialect::OpenaiResponses, Voice::User) => {
            (r#"{"type":"message","role":"user","content":"#, "}")
        }
        (Dialect::Gemini, Voice::Assistant) => (r#"{"role":"model","parts":[{"text":"#, "}]}"),
        (Dialect::Gemini, Voice::User) => (r#"{"role":"user","parts":[{"text":"#, "}]}"),
        (Dialect::Bedrock, Voice::Assistant) => {
            (r#"{"role":"assistant","content":[{"text":"#, "}]}")
        }
        (Dialect::Bedrock, Voice::User) => (r#"{"role":"user","content":[{"text":"#, "}]}"),
    };
    out.extend_from_slice(before.as_bytes());
    push_string(out, text);
    out.extend_from_slice(behind.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// A dialect, a body, and where its turns are.
    const BODIES: &[(Dialect, &str, &str)] = &[
        (
            Dialect::OpenaiChat,
            r#"{"model":"m" , "messages":[ {"role":"user","content":"a"} ] ,"x":1.0}"#,
            "messages",
        ),
        (Dialect::OpenaiChat, r#"{"m\u0065ssages":[],"n":1}"#, "messages"),
        (
            Dialect::Anthropic,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"]"}]}],"max_tokens":9}"#,
            "messages",
        ),
        (Dialect::Gemini, "{\n\"contents\":[{\"parts\":[{\"text\":\"a\"}]}\n]}", "contents"),
        (
            Dialect::Bedrock,
            r#"{"messages":[{"role":"user","content":[{"text":"a"}]}]}"#,
            "messages",
        ),
        (Dialect::OpenaiResponses, r#"{"input":"tell \u0061", "store":false}"#, "input"),
        (Dialect::OpenaiResponses, r#"{"input":[{"role":"user","content":"a"}]}"#, "input"),
    ];

    fn text(turn: &Value) -> &str {
        let parts = if turn["parts"].is_array() { &turn["parts"] } else { &turn["content"] };
        turn["content"].as_str().or(parts[0]["text"].as_str()).unwrap()
    }

    #[test]
    fn the_turns_end_in_what_was_delivered_and_all_else_stays() {
        for (dialect, body, name) in BODIES {
            let before: Value = serde_json::from_str(body).unwrap();
            for how in [Continue::Prefill, Continue::Instruct] {
                let out = continued(*dialect, body.as_bytes(), "so \"far\"\n x", how).unwrap();
                let mut after: Value = serde_json::from_slice(&out).unwrap();
                let turns = after[name].as_array().unwrap().clone();
                let roles: Vec<&str> =
                    turns.iter().filter_map(|turn| turn["role"].as_str()).collect();
                let own = if *dialect == Dialect::Gemini { "model" } else { "assistant" };
                match how {
                    Continue::Prefill => {
                        assert_eq!(roles.last(), Some(&own));
                        assert_eq!(text(turns.last().unwrap()), "so \"far\"\n x");
                    }
                    Continue::Instruct => {
                        assert_eq!(&roles[roles.len() - 2..], [own, "user"]);
                        assert_eq!(text(turns.last().unwrap()), INSTRUCTION);
                        assert_eq!(text(&turns[turns.len() - 2]), "so \"far\"\n x");
                    }
                }
                after[name] = before[name].clone();
                assert_eq!(after, before);
                // Nothing went: the body's bytes stand in the new one, in order.
                let mut rest = body.bytes().peekable();
                for byte in out {
                    rest.next_if_eq(&byte);
                }
                assert_eq!(rest.next(), None);
            }
        }
    }

    #[test]
    fn an_anthropic_prefill_does_not_end_in_white_space() {
        let body = br#"{"messages":[]}"#;
        let out = continued(Dialect::Anthropic, body, "so far \n", Continue::Prefill).unwrap();
        assert_eq!(out, br#"{"messages":[{"role":"assistant","content":"so far"}]}"#);
        let out = continued(Dialect::Anthropic, body, " \n", Continue::Prefill).unwrap();
        assert_eq!(out, body);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (dialect, body, what) in [
            (Dialect::OpenaiChat, r#"{"messages":[],"messages":[]}"#, "`messages` stands twice"),
            (Dialect::Gemini, r#"{"contents":{}}"#, "`contents` must be an array"),
            (Dialect::OpenaiResponses, r"{}", "`input` is missing"),
        ] {
            let error = continued(dialect, body.as_bytes(), "x", Continue::Prefill).unwrap_err();
            assert_eq!(error.what, what);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_delivered_again(text in ".*", which in 0..BODIES.len()) {
            let (dialect, body, name) = BODIES[which];
            let out = continued(dialect, body.as_bytes(), &text, Continue::Prefill).unwrap();
            let after: Value = serde_json::from_slice(&out).unwrap();
            let is_trimmed = matches!(dialect, Dialect::Anthropic | Dialect::Bedrock);
            let expected = if is_trimmed { text.trim_end() } else { &*text };
            if !expected.is_empty() {
                prop_assert_eq!(self::text(after[name].as_array().unwrap().last().unwrap()), expected);
            }
        }

        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for dialect in Dialect::ALL {
                let _ = continued(dialect, &body, "x", Continue::Instruct);
            }
        }
    }
}
