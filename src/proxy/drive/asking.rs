//! What one target is asked: the caller's request, without killed tools, from where an answer broke
//! off, and in the target's own dialect.
//!
//! In that order, because each step reads what the one before it wrote. Where nothing of this
//! applies the bytes stay those that the caller sent.

use super::guard::Guard;
use super::{Body, Exchange, Wanted};
use crate::exchange::forward;
use crate::table::lever::KilledTools;
use crate::table::rules::Judge;
use crate::table::{Provider, Target};
use crate::wire::Dialect;
use crate::wire::continued::{Continue, continued};
use crate::wire::loss::Losses;
use crate::wire::models::Named;
use crate::wire::prompt;
use crate::wire::refusal::{Class, Refusal};
use crate::wire::request::{BodyError, tells_usage, view};
use crate::wire::tools::strip_tools;
use bytes::Bytes;
use std::sync::Arc;

/// What one target is asked.
#[derive(Clone)]
pub(super) struct Asking {
    /// The dialect of the request and of the answer; `None` for what is passed through.
    pub(super) dialect: Option<Dialect>,
    /// The body, if it is not the caller's own bytes.
    pub(super) body: Option<Bytes>,
    /// Whether the caller is told how many tokens were used.
    pub(super) tells_usage: bool,
    /// What the target's dialect cannot say.
    pub(super) losses: Losses,
    /// The tools that may not be called.
    pub(super) killed: KilledTools,
    /// What judges the answer.
    pub(super) judges: Vec<Arc<Judge>>,
}

fn unreadable(error: &BodyError) -> Refusal {
    Refusal::new(Class::BadRequest, error.to_string())
}

impl Exchange<'_> {
    /// What `target` is asked; `delivered` is what the client has of the answer already.
    ///
    /// # Errors
    /// The request cannot be read as what it says it is.
    pub(super) fn asking(
        &self,
        wanted: &Wanted,
        provider: &Provider,
        target: &Target,
        delivered: Option<&str>,
        guard: &Guard,
    ) -> Result<Asking, Refusal> {
        let mut asking = Asking {
            dialect: None,
            body: None,
            tells_usage: true,
            losses: Losses::default(),
            killed: KilledTools::default(),
            judges: guard.judges.clone(),
        };
        let (Some(caller), Body::Whole { raw, plain }) = (self.admission.dialect, &wanted.body)
        else {
            if let Some(body) = &guard.body {
                // The model's name may have moved.
                let named = match &self.passed {
                    Some(passed) => passed.model(body, wanted.body.part())?.1,
                    None => None,
                };
                let asked = wanted.model.as_deref();
                let model = forward::model(target, asked);
                asking.body = Some(forward::body(body, named, asked, model));
            }
            return Ok(asking);
        };
        let source = provider.dialect_for(caller);
        asking.dialect = Some(source);
        let content = guard.content(plain.as_ref().unwrap_or(raw));
        let mut edited: Option<Vec<u8>> = guard.body.as_ref().map(|body| body.to_vec());
        let live = self.gate.board.peek();
        if !live.levers.is_empty() {
            asking.killed = self.seat.with(|subject| live.levers.tools(subject));
            self.orders.obeys(&asking.killed);
        }
        if !asking.killed.is_empty() {
            let killed = &asking.killed;
            let stripped = strip_tools(caller, content, &mut |name| killed.lever(name).is_some())
                .map_err(|error| unreadable(&error))?;
            edited = stripped.map(|stripped| stripped.body);
        }
        if let Some(delivered) = delivered.filter(|text| !text.is_empty()) {
            let how = match source {
                Dialect::Anthropic | Dialect::Gemini | Dialect::Bedrock => Continue::Prefill,
                Dialect::OpenaiChat | Dialect::OpenaiResponses => Continue::Instruct,
            };
            let body = edited.as_deref().unwrap_or(content);
            let body =
                continued(caller, body, delivered, how).map_err(|error| unreadable(&error))?;
            edited = Some(body);
        }
        let asked = wanted.model.as_deref();
        let model = forward::model(target, asked);
        if source != caller {
            asking.tells_usage = tells_usage(caller, content);
            let body = edited.as_deref().unwrap_or(content);
            let model = model.unwrap_or("");
            let (body, losses) = prompt::translate(caller, source, body, model, wanted.is_stream)
                .map_err(|error| unreadable(&error))?;
            asking.losses = losses;
            edited = Some(body);
        } else if let Some(body) = &edited
            && wanted.named.is_some()
        {
            // The model's name has moved.
            let span = view(caller, body).map_err(|error| unreadable(&error))?.model_span;
            let (body, named) = (Bytes::copy_from_slice(body), span.map(Named::Json));
            asking.body = Some(forward::body(&body, named, asked, model));
            return Ok(asking);
        }
        asking.body = edited.map(Bytes::from);
        Ok(asking)
    }
}
