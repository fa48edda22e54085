//! Bodies of no dialect under rules: what is passed through, JSON or other text.
//!
//! What always holds: text that is JSON is judged string by string, other text as one; what cannot
//! be read as text is told from what is no text (pictures, sound, archives) by the media type that
//! it is sent under, and gets the rules' `on_error`.

use super::found::Found;
use super::run::{Fed, Runs};
use super::{Screen, Screened};
use crate::table::rules::Judge;
use crate::wire::Dialect;
use crate::wire::event::{Event, Kind};
use crate::wire::json;
use crate::wire::media_type::MediaType;
use std::borrow::Cow;
use std::sync::Arc;

/// What a media type says of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Text, to be judged.
    Text,
    /// A stream of frames, which cannot be judged without knowing its dialect.
    Frames,
    /// Anything, text among it.
    Unknown,
    /// No text.
    Binary,
}

impl Media {
    /// What the value of `Content-Type` says; a body without one may be anything.
    pub fn of(content_type: Option<&str>) -> Media {
        let Some(content_type) = content_type else { return Media::Unknown };
        let name = MediaType::of(content_type).name();
        let (family, member) = name.split_once('/').unwrap_or((&name, ""));
        match (family, member) {
            ("text", "event-stream") | ("application", "vnd.amazon.eventstream") => Media::Frames,
            ("image" | "audio" | "video" | "font", _)
            | ("application", "pdf" | "zip" | "gzip" | "x-tar") => Media::Binary,
            ("text", _)
            | ("application", "json" | "jsonl" | "x-ndjson" | "x-www-form-urlencoded" | "xml") => {
                Media::Text
            }
            _ if member.ends_with("+json") || member.ends_with("+xml") => Media::Text,
            _ => Media::Unknown,
        }
    }
}

/// What a body of no dialect is.
pub(super) enum Content<'b> {
    /// JSON, to be judged string by string.
    Json,
    /// Other text, to be judged as one.
    Text(&'b str),
    /// What says that it is text, and is not.
    Unreadable,
    /// No text.
    None,
}

impl Content<'_> {
    pub(super) fn of(media: Media, body: &[u8]) -> Content<'_> {
        match (std::str::from_utf8(body), media) {
            (Ok(text), _) if json::is_valid(text) => Content::Json,
            (Ok(text), _) => Content::Text(text),
            (Err(_), Media::Text | Media::Frames) => Content::Unreadable,
            (Err(_), Media::Unknown | Media::Binary) => Content::None,
        }
    }
}

/// Judges a body of no dialect that is here whole.
pub fn screen_unread<'b>(judges: &[Arc<Judge>], media: Media, body: &'b [u8]) -> Screened<'b> {
    let unchanged = |found| Screened { body: Cow::Borrowed(body), found };
    let text = match Content::of(media, body) {
        Content::Json => None,
        Content::Text(text) => Some(text),
        Content::Unreadable => return unchanged(cannot_judge(judges)),
        Content::None => return unchanged(Found::default()),
    };
    if let Some(text) = text {
        let mut found = Found::default();
        let left = Runs::new(judges.iter().map(Arc::clone)).whole(Kind::Other, text, &mut found);
        return match left {
            Fed::Clear => unchanged(found),
            Fed::Instead(left) => Screened { body: Cow::Owned(left.into_bytes()), found },
        };
    }
    let mut screen = Screen::new(judges.iter().map(Arc::clone), Dialect::OpenaiChat);
    screen.in_pieces = false;
    let dialect = Dialect::OpenaiChat;
    screen.look(&Event::Opaque { dialect, name: "".into(), data: Cow::Borrowed(body) }, body);
    screen.finish_whole(body)
}

/// What rules say of a body that cannot be judged.
pub fn cannot_judge(judges: &[Arc<Judge>]) -> Found {
    let mut found = Found::default();
    Runs::new(judges.iter().map(Arc::clone)).unjudged(Kind::Other, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::screen::Left;
    use crate::filter::{Action, Case, Channels, Pattern, Redaction, Rule};
    use crate::wire::framing::Framing;

    fn judges(action: Action) -> Vec<Arc<Judge>> {
        let rule = Rule {
            id: "word".into(),
            about: String::new(),
            channels: Channels::ALL,
            pattern: Pattern::Literals(vec!["forbidden".into()]),
            case: Case::Any,
            action,
        };
        vec![Arc::new(Judge::of(&[rule]))]
    }

    #[test]
    fn json_is_judged_by_its_strings_and_other_text_as_one() {
        let hide = judges(Action::Redact(Redaction::Marker));
        for (body, left) in [
            (r#"{"a":[ "forbid\u0064en", 1 ]}"#, r#"{"a":[ "[redacted:word]", 1 ]}"#),
            ("a,forbidden\r\nb,c", "a,[redacted:word]\r\nb,c"),
            (r#"{"a": forbidden"#, r#"{"a": [redacted:word]"#),
            (r#"{"a":"for","b":"bidden"}"#, r#"{"a":"for","b":"bidden"}"#),
        ] {
            let Screened { body, found } = screen_unread(&hide, Media::Text, body.as_bytes());
            assert_eq!(String::from_utf8_lossy(&body), left);
            assert!(!found.is_cut());
        }
        let cut = judges(Action::Cut);
        assert!(screen_unread(&cut, Media::Text, br#"{"a":"forbidden"}"#).found.is_cut());
        assert!(screen_unread(&cut, Media::Text, br#"{"forbidden-1":2}"#).found.is_cut());
    }

    #[test]
    fn what_is_no_text_is_told_by_its_media_type() {
        let hide = judges(Action::Redact(Redaction::Marker));
        let picture = [0xFF, 0xD8, 0xFF];
        for (kind, is_cut) in [
            (Some("image/jpeg"), false),
            (Some("application/octet-stream"), false),
            (None, false),
            (Some("application/json; charset=utf-8"), true),
            (Some("Text/Plain"), true),
        ] {
            let Screened { found, .. } = screen_unread(&hide, Media::of(kind), &picture);
            assert_eq!((found.is_cut(), found.unjudged > 0), (is_cut, is_cut), "{kind:?}");
        }
        assert_eq!(Media::of(Some("text/event-stream; charset=utf-8")), Media::Frames);
        assert_eq!(Media::of(Some("application/problem+json")), Media::Text);
    }

    /// Each hit was once compared with every other, which for a megabyte of them took a worker's
    /// thread for many seconds.
    #[test]
    fn very_many_hits_are_hidden_in_one_sweep() {
        let hide = judges(Action::Redact(Redaction::Marker));
        let list =
            |word: &str| format!("{{\"a\":[{}\"\"]}}", format!("\"{word}\",").repeat(60_000));
        let (json, left) = (list("forbidden"), list("[redacted:word]"));
        let Screened { body, found } = screen_unread(&hide, Media::Text, json.as_bytes());
        assert!(body == left.as_bytes() && !found.is_cut());

        let mut screen = Screen::new(hide, Dialect::OpenaiChat);
        let data = Cow::Borrowed(json.as_bytes());
        let frame = [b"data: ", json.as_bytes(), b"\n\n"].concat();
        let frame = Framing::Sse.frame(&frame);
        let dialect = Dialect::OpenaiChat;
        screen.look(&Event::Opaque { dialect, name: "".into(), data }, frame.raw);
        let mut out = Vec::new();
        assert_eq!(screen.leave(Framing::Sse, &frame, &mut out), Left::Written);
        assert!(out == format!("data: {left}\n\n").as_bytes() && !screen.found.is_cut());
    }
}
