//! What is read of a body that is passed through: the model that it names, for routes and levers.
//!
//! JSON is read whole, and so are small bodies of any kind. While a lever speaks of models, a body
//! that may name one goes nowhere before it was read whole, whatever it calls itself; at other times
//! what cannot be read is the provider's to refuse, and large uploads are not held.

use super::{Body, Exchange};
use crate::wire::form;
use crate::wire::media_type::MediaType;
use crate::wire::refusal::{Class, Refusal};
use crate::wire::request::{Named, model};
use bytes::Bytes;
use http::header;
use std::borrow::Cow;

/// A body that is passed through is read whole up to this size, so that it can be sent again; where
/// rules may be in force over it, any that the server takes is.
const WHOLE_BYTES_MAX: u64 = 1 << 20;

/// How much of a body is read before anything is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Nothing: it goes on as it comes.
    Nothing,
    /// All of it; one that is larger than the server takes is refused.
    Whole,
    /// All of it up to so many bytes; of a larger one the rest goes on as it comes.
    UpTo(u64),
    /// All of it if it may be JSON, which its first bytes tell.
    Sniffed,
}

/// What a body that is passed through says that it is.
enum Kind<'h> {
    /// JSON.
    Json,
    /// Nothing.
    Untyped,
    /// A form with this boundary.
    Form(Cow<'h, str>),
    /// Anything else.
    Other,
}

/// Whether a body of any media type may be a JSON object, as far as its first bytes tell; `None` if
/// they do not. Some readers take UTF-16 and byte order marks, and look at no media type.
fn may_be_object(body: &[u8]) -> Option<bool> {
    const BEGINNINGS: [&[u8]; 6] =
        [b"{", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0{", b"\0\0\0{"];
    let body = body.trim_ascii_start();
    if BEGINNINGS.iter().any(|beginning| body.starts_with(beginning)) {
        return Some(true);
    }
    let may_follow = BEGINNINGS.iter().any(|beginning| beginning.starts_with(body));
    (!may_follow).then_some(false)
}

impl Exchange<'_> {
    fn kind(&self) -> Kind<'_> {
        let Some(kind) = self.asked.headers.get(header::CONTENT_TYPE) else { return Kind::Untyped };
        let kind = kind.to_str().unwrap_or_default();
        if let Some(boundary) = form::boundary(kind) {
            return Kind::Form(boundary);
        }
        if MediaType::of(kind).is_json() { Kind::Json } else { Kind::Other }
    }

    /// Whether the body says that it is compressed.
    pub(super) fn is_coded(&self) -> bool {
        let coding = self.asked.headers.get(header::CONTENT_ENCODING);
        coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    }

    /// Whether a lever speaks of models: then nothing may hide its own.
    fn is_strict(&self) -> bool {
        self.table.levers.names_models()
    }

    /// How much of the request's body is read before anything is asked.
    pub(super) fn reading(&self) -> Reading {
        if self.admission.dialect.is_some() {
            return Reading::Whole;
        }
        if self.request.upgrade.is_some() {
            return Reading::Nothing;
        }
        let known = self.request.body_bytes;
        let limit = self.table.server.body_bytes_max as u64;
        let is_small = known.is_some_and(|length| length <= WHOLE_BYTES_MAX);
        let is_held = self.may_be_judged() && known.is_none_or(|length| length <= limit);
        match self.kind() {
            Kind::Json => Reading::Whole,
            _ if is_small || is_held => Reading::Whole,
            Kind::Form(_) if self.is_strict() => Reading::Whole,
            Kind::Form(_) => Reading::UpTo(WHOLE_BYTES_MAX),
            Kind::Other if self.is_strict() && self.is_coded() => Reading::Whole,
            Kind::Other if self.is_strict() => Reading::Sniffed,
            Kind::Untyped => Reading::Sniffed,
            Kind::Other => Reading::Nothing,
        }
    }

    /// What follows for the reading of a body of which so much has come.
    pub(super) fn read_on(reading: Reading, body: &[u8]) -> Reading {
        match reading {
            Reading::UpTo(max) if body.len() as u64 > max => Reading::Nothing,
            Reading::Sniffed => match may_be_object(body) {
                None => Reading::Sniffed,
                Some(true) => Reading::Whole,
                Some(false) => Reading::Nothing,
            },
            Reading::Nothing | Reading::Whole | Reading::UpTo(_) => reading,
        }
    }

    /// The content of a compressed body that is passed through, if it may name a model.
    ///
    /// # Errors
    /// It cannot be told, while a lever speaks of models.
    pub(super) fn passing_plain(&self, raw: &[u8]) -> Result<Option<Bytes>, Refusal> {
        let kind = self.kind();
        if !self.is_coded() || (matches!(kind, Kind::Other) && !self.is_strict()) {
            return Ok(None);
        }
        match self.inflated(raw) {
            Ok(plain) => {
                let may_name = matches!(kind, Kind::Form(_)) || may_be_object(&plain) == Some(true);
                Ok(may_name.then(|| plain.into()))
            }
            Err(refusal) if self.is_strict() => Err(refusal),
            // What is not what it says is the provider's to refuse.
            Err(_) => Ok(None),
        }
    }

    /// The model that `text`, the content of a body which is passed through, names, and where;
    /// nothing else is read of it.
    ///
    /// # Errors
    /// It cannot be told, while a lever speaks of models.
    pub(super) fn passing_model<'t>(
        &self,
        body: &Body,
        text: &'t [u8],
    ) -> Result<Option<(Cow<'t, str>, Named)>, Refusal> {
        let is_readable = match body {
            Body::Whole { plain, .. } => plain.is_some() || !self.is_coded(),
            Body::Streamed(_) => !self.is_coded(),
        };
        let is_whole = matches!(body, Body::Whole { .. });
        let found = match self.kind() {
            _ if !is_readable => return Ok(None),
            Kind::Form(boundary) => form::model(text, &boundary),
            Kind::Json | Kind::Untyped | Kind::Other
                if is_whole && may_be_object(text) == Some(true) =>
            {
                model(text)
            }
            Kind::Json | Kind::Untyped | Kind::Other => return Ok(None),
        };
        match found {
            Err(error) if self.is_strict() => Err(Refusal::new(
                Class::BadRequest,
                format!("a lever speaks of models, and that of this body cannot be read: {error}"),
            )),
            Err(_) => Ok(None),
            Ok(found) => Ok(found),
        }
    }
}
