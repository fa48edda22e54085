//! A judge outside of the gate: a service that is asked about each prompt before it is sent on.
//!
//! It speaks the shape of OpenAI's moderation API: `{"input": [..], "model": ".."}` there,
//! `{"results": [{"flagged": .., "categories": {..}}]}` back. Here it is only described; the proxy
//! calls it. What always holds: it has a longest time, which whoever writes the rule has stated.

use super::BaseUrl;
use crate::filter::{Action, Channels};
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;

/// What is asked, where, and how long that may take.
#[derive(Debug)]
pub struct Webhook {
    /// The address as its pack writes it: references to secrets are not filled in.
    pub shown: String,
    /// Where it is; the path is what is asked for.
    pub url: BaseUrl,
    /// Headers of each call; those with secrets are marked so.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The model that is named to it.
    pub model: Option<String>,
    /// Only these categories count; any that it flags where there are none.
    pub categories: Vec<String>,
    /// The longest time of a call, and so the longest delay of a prompt.
    pub timeout: Duration,
}

/// A webhook, and what it does on some kinds of text.
#[derive(Clone, Debug)]
pub struct WebhookPart {
    /// The webhook.
    pub webhook: Arc<Webhook>,
    /// The kinds of text that it is told.
    pub channels: Channels,
    /// What happens to a text that it flags. It names no place, so what would be hidden is cut.
    pub action: Action,
}
