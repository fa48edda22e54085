//! A view of what is asked, and the model in the path.

use crate::wire::members::Members;
use crate::wire::request::{BodyError, Hints, View};
use crate::wire::view::Top;

/// Reads what a `Converse` body asks for. Model and stream stand in the path.
///
/// # Errors
/// If the body is not one JSON object in UTF-8 and nothing else, if a member that decides something
/// stands twice, or if `messages` is no list.
pub fn view(body: &[u8]) -> Result<View<'_>, BodyError> {
    let once = &["messages", "system", "toolConfig", "inferenceConfig", "promptVariables"];
    let top = Top::read(body, once, &["requestMetadata"])?;
    top.array("messages", "`messages` must be an array")?;
    let mut hints = Hints::default();
    if let Some(mut metadata) = top.get("requestMetadata").and_then(Members::of) {
        let mut first = |names: [&str; 2]| {
            names
                .into_iter()
                .find_map(|name| metadata.take_string(name))
                .filter(|it| !it.is_empty())
        };
        hints.session = first(["session_id", "sessionId"]);
        hints.agent = first(["agent_name", "agent"]);
        hints.end_user = first(["user_id", "userId"]);
    }
    Ok(View { hints, ..View::default() })
}

/// The model that `path` asks for an answer, still percent-encoded, and whether as a stream.
///
/// `/model/{id}/converse` and `/model/{id}/converse-stream`; an ARN's slashes are encoded.
pub fn model_in_path(path: &str) -> Option<(&str, bool)> {
    let (model, call) = path.strip_prefix("/model/")?.split_once('/')?;
    let stream = match call {
        "converse" => false,
        "converse-stream" => true,
        _ => return None,
    };
    (!model.is_empty()).then_some((model, stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_body_asks() {
        let body =
            br#"{"messages":[],"requestMetadata":{"sessionId":"s","agent":"a","user_id":"u"}}"#;
        let view = view(body).unwrap();
        assert_eq!((view.model, view.stream), (None, false));
        assert_eq!(view.hints.session.as_deref(), Some("s"));
        assert_eq!(view.hints.agent.as_deref(), Some("a"));
        assert_eq!(view.hints.end_user.as_deref(), Some("u"));
    }

    #[test]
    fn refusals_say_what() {
        let refused = |body: &str| view(body.as_bytes()).unwrap_err().what;
        assert_eq!(refused(r#"{"messages":[],"messages":[]}"#), "`messages` stands twice");
        assert_eq!(refused(r#"{"toolConfig":{},"toolConfig":{}}"#), "`toolConfig` stands twice");
        assert_eq!(refused(r#"{"messages":{}}"#), "`messages` must be an array");
    }

    #[test]
    fn paths() {
        assert_eq!(model_in_path("/model/a.b-v1%3A0/converse"), Some(("a.b-v1%3A0", false)));
        assert_eq!(model_in_path("/model/a/converse-stream"), Some(("a", true)));
        for other in ["/model/a/invoke", "/model//converse", "/model/a/b/converse", "/models/a"] {
            assert_eq!(model_in_path(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..80), text in "\\PC{0,60}") {
            let _ = view(&body);
            let _ = view(text.as_bytes());
            let _ = model_in_path(&text);
        }
    }
}
