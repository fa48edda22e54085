//! A request body to a view of what it asks.

use crate::wire::members::Members;
use crate::wire::request::{BodyError, Hints, View};
use crate::wire::view::Top;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Reads what a `/v1/messages` body asks for.
///
/// # Errors
/// If the body is not one JSON object in UTF-8 and nothing else, if `model`, `stream` or
/// `messages` stands twice, or if one of them has a type that the API does not take.
pub fn view(body: &[u8]) -> Result<View<'_>, BodyError> {
    let top = Top::read(body, &["model", "stream", "messages"], &["metadata"])?;
    top.array("messages", "`messages` must be an array")?;
    let mut view = top.view()?;
    view.hints = top.get("metadata").map(hints).unwrap_or_default();
    Ok(view)
}

/// Who the `metadata` says is asking. Whatever is not as expected there is no hint.
fn hints(metadata: &RawValue) -> Hints<'_> {
    let mut hints = Hints::default();
    let Some(mut metadata) = Members::of(metadata) else {
        return hints;
    };
    hints.end_user = metadata.take_string("user_id");
    hints.session = metadata
        .take_string("session_id")
        .or_else(|| hints.end_user.as_ref().and_then(session_in))
        .filter(|session| !session.is_empty());
    hints
}

/// The session that Claude Code writes into `user_id`: today as JSON, formerly as
/// `user_<hash>_account_<uuid>_session_<uuid>`.
fn session_in<'b>(user_id: &Cow<'b, str>) -> Option<Cow<'b, str>> {
    if user_id.starts_with('{') {
        let session = Members::parse(user_id)?.take_string("session_id")?;
        return Some(Cow::Owned(session.into_owned()));
    }
    user_id.strip_prefix("user_")?;
    let at = user_id.rfind("_session_")? + "_session_".len();
    Some(match user_id {
        Cow::Borrowed(text) => Cow::Borrowed(&text[at..]),
        Cow::Owned(text) => Cow::Owned(text[at..].to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(body: &str) -> BodyError {
        view(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_a_body_asks() {
        let body = br#" {"max_tokens":1,"model":"claude-\u0078","messages":[{"model":1}],
            "stream":true,"metadata":{"user_id":"u-1"}} "#;
        let view = view(body).unwrap();
        assert_eq!(view.model.as_deref(), Some("claude-x"));
        let span = view.model_span.unwrap();
        assert_eq!(&body[span.start as usize..span.end as usize], br"claude-\u0078");
        assert!(view.stream);
        assert_eq!(view.hints.end_user.as_deref(), Some("u-1"));
        assert_eq!(view.hints.session, None);
    }

    #[test]
    fn sessions() {
        let session = |user_id: &str| {
            let body = serde_json::json!({"metadata": {"user_id": user_id}}).to_string();
            view(body.as_bytes()).unwrap().hints.session.map(Cow::into_owned)
        };
        let json = r#"{"device_id":"d","account_uuid":"a","session_id":"s-1"}"#;
        assert_eq!(session(json).as_deref(), Some("s-1"));
        assert_eq!(session("user_ab_account_cd_session_ef-1").as_deref(), Some("ef-1"));
        assert_eq!(session("user_ab_account__session_ef").as_deref(), Some("ef"));
        assert_eq!(session("my_session_x"), None);
        assert_eq!(session("{broken"), None);
        let body = br#"{"metadata":{"session_id":"m","user_id":"user_a_session_b"}}"#;
        assert_eq!(view(body).unwrap().hints.session.as_deref(), Some("m"));
        for odd in ["null", "[]", "{\"user_id\":3}", "\"x\""] {
            let body = format!("{{\"metadata\":{odd}}}");
            assert_eq!(view(body.as_bytes()).unwrap().hints, Hints::default());
        }
    }

    #[test]
    fn refusals_say_what_and_where() {
        assert_eq!(refused(r#"{"model":"a","mod\u0065l":"b"}"#).what, "`model` stands twice");
        assert_eq!(refused(r#"{"stream":true,"stream":false}"#).what, "`stream` stands twice");
        assert_eq!(refused(r#"{"messages":[],"messages":[]}"#).what, "`messages` stands twice");
        assert_eq!(refused(r#"{"model":7}"#).what, "`model` must be a string");
        assert_eq!(refused(r#"{"stream":"yes"}"#).what, "`stream` must be true or false");
        assert_eq!(refused(r#"{"messages":{}}"#).what, "`messages` must be an array");
        assert!(refused("[]").what.contains("must be one JSON object"));
        assert!(refused("").what.contains("empty"));
        let trailing = refused("{}\n {}");
        assert!(trailing.what.contains("trailing characters"), "{trailing}");
        assert_eq!(trailing.at, Some(4));
        assert_eq!(refused("{\"a\":\n\n  x}").at, Some(9));
        let not_text = view(b"{\"a\":\"\xFF\"}").unwrap_err();
        assert_eq!(not_text.at, Some(6));
        assert!(refused(r#"{"a":[1,{"b":]}]}"#).at.is_some());
        assert!(refused("{\"a\":\"\u{1}\"}").at.is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_view_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = view(&bytes);
        }

        #[test]
        fn an_accepted_body_is_one_object(body in r#"[{}\[\]",:a-c0-9 \\u]{0,24}"#) {
            let read = view(body.as_bytes());
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&body) {
                prop_assert_eq!(read.is_ok(), value.is_object());
            } else if read.is_ok() {
                // A lone surrogate is JSON, but no text.
                prop_assert!(body.contains("\\u"));
            }
        }
    }
}
