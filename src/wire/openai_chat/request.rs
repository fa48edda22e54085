//! What a request asks for.

use crate::wire::json;
use crate::wire::members::Members;
use crate::wire::request::{BodyError, Hints, View};
use crate::wire::view::Top;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// See [`crate::wire::request::view`].
///
/// # Errors
/// Says what is wrong, where, and what is expected instead.
pub fn view(body: &[u8]) -> Result<View<'_>, BodyError> {
    const HINTS: &[&str] = &["metadata", "prompt_cache_key", "safety_identifier", "user"];
    let top = Top::read(body, &["model", "stream", "messages"], HINTS)?;
    top.array("messages", "`messages` must be an array")?;
    let mut view = top.view()?;
    view.hints = Hints {
        session: top.get("metadata").and_then(session_of).or_else(|| top.hint("prompt_cache_key")),
        agent: None,
        end_user: top.hint("safety_identifier").or_else(|| top.hint("user")),
    };
    Ok(view)
}

/// `session_id` of the metadata, or of the JSON in their `user_id` as some agents send it.
fn session_of(metadata: &RawValue) -> Option<Cow<'_, str>> {
    let members = Members::of(metadata)?;
    let text = |name| json::string(members.get(name)?).filter(|text| !text.is_empty());
    text("session_id").or_else(|| {
        let inner = text("user_id").filter(|inner| inner.starts_with('{'))?;
        let session = Members::parse(&inner)?.take_string("session_id")?.into_owned();
        (!session.is_empty()).then_some(Cow::Owned(session))
    })
}
