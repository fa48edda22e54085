//! What a request asks for.

use crate::wire::request::{BodyError, Hints, View};
use crate::wire::view::Top;

/// See [`crate::wire::request::view`].
pub fn view(body: &[u8]) -> Result<View<'_>, BodyError> {
    let top = Top::read(
        body,
        &["model", "stream", "messages"],
        &["metadata", "prompt_cache_key", "safety_identifier", "user"],
    )?;
    top.array("messages", "`messages` must be an array")?;
    let mut view = top.view()?;
    view.hints = Hints {
        session: top.hint_in("metadata", "session_id").or_else(|| top.hint("prompt_cache_key")),
        agent: None,
        end_user: top.hint("safety_identifier").or_else(|| top.hint("user")),
    };
    Ok(view)
}
