//! What a request asks for.

use crate::wire::request::{BodyError, Hints, View};
use crate::wire::view::Top;

/// See [`crate::wire::request::view`].
pub fn view(body: &[u8]) -> Result<View<'_>, BodyError> {
    let top = Top::read(
        body,
        &["model", "stream", "input"],
        &[
            "client_metadata",
            "metadata",
            "conversation",
            "previous_response_id",
            "prompt_cache_key",
            "safety_identifier",
            "user",
        ],
    )?;
    if let Some(input) = top.get("input")
        && !input.get().starts_with(['"', '['])
        && input.get() != "null"
    {
        return Err(top.wrong(input, "`input` must be a string or an array"));
    }
    let mut view = top.view()?;
    view.hints = Hints {
        session: top
            .hint_in("client_metadata", "session_id")
            .or_else(|| top.hint_in("metadata", "session_id"))
            .or_else(|| top.hint("conversation"))
            .or_else(|| top.hint_in("conversation", "id"))
            .or_else(|| top.hint("previous_response_id"))
            .or_else(|| top.hint("prompt_cache_key")),
        agent: top.hint_in("client_metadata", "agent_name"),
        end_user: top.hint("safety_identifier").or_else(|| top.hint("user")),
    };
    Ok(view)
}
