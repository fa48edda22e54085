//! What is read of a body that is passed through: the model that it names, for routes and levers.
//!
//! JSON is read whole, and so are small bodies of any kind. While a lever speaks of models the gate is
//! strict: a body that may name one goes nowhere before it was read whole, whatever it calls itself,
//! and what readers may take differently is refused. At other times what cannot be read is the
//! provider's to refuse, and large uploads are not held.

use super::{Body, Exchange};
use crate::wire::form;
use crate::wire::media_type::MediaType;
use crate::wire::refusal::{Class, Refusal};
use crate::wire::request::{BodyError, Named, model, model_id, model_of_first, models_named};
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
    /// As much as `Whole`, if it may be JSON, which its first bytes tell.
    Sniffed,
    /// The same with as much as `UpTo`.
    SniffedUpTo(u64),
}

/// What a body that is passed through says that it is.
enum Kind<'h> {
    /// JSON.
    Json,
    /// Nothing.
    Untyped,
    /// A form with this boundary.
    Form(Cow<'h, str>),
    /// A form that is written like a query.
    Pairs,
    /// A form of which readers may take another boundary, or one of another kind.
    Odd(BodyError),
    /// Anything else.
    Other,
}

/// What the first bytes of a body tell of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looks {
    /// Too little.
    Unknown,
    /// It may be an object of JSON.
    Object,
    /// The same in another encoding than UTF-8, or behind a byte order mark. Some readers take
    /// those, and look at no media type.
    Recoded,
    /// It is none.
    Otherwise,
}

impl Looks {
    fn of(body: &[u8]) -> Looks {
        const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];
        let (mut rest, mut is_recoded) = (body, false);
        loop {
            rest = rest.trim_ascii_start();
            match rest {
                [b'{', ..] if is_recoded => return Looks::Recoded,
                [b'{', ..] => return Looks::Object,
                // Beside a letter, in encodings of two or four bytes.
                [0, behind @ ..] => (rest, is_recoded) = (behind, true),
                _ => match MARKS.iter().find_map(|mark| rest.strip_prefix(*mark)) {
                    Some(behind) => (rest, is_recoded) = (behind, true),
                    None if MARKS.iter().any(|mark| mark.starts_with(rest)) => {
                        return Looks::Unknown;
                    }
                    None => return Looks::Otherwise,
                },
            }
        }
    }
}

fn unread(why: &str) -> Refusal {
    let message =
        format!("a lever speaks of models, and that of this request cannot be told: {why}");
    Refusal::new(Class::BadRequest, message)
}

impl Exchange<'_> {
    fn kind(&self) -> Kind<'_> {
        let Some(value) = self.asked.headers.get(header::CONTENT_TYPE) else {
            return Kind::Untyped;
        };
        match form::boundary(value.as_bytes()) {
            Ok(Some(boundary)) => return Kind::Form(boundary),
            Ok(None) => {}
            Err(odd) => return Kind::Odd(odd),
        }
        let text = String::from_utf8_lossy(value.as_bytes());
        let named = MediaType::of(&text);
        if named.is_json() {
            Kind::Json
        } else if named.is("application/x-www-form-urlencoded") {
            Kind::Pairs
        } else {
            Kind::Other
        }
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
    ///
    /// # Errors
    /// A lever speaks of models, and readers may take the body for something else than we do.
    pub(super) fn reading(&self) -> Result<Reading, Refusal> {
        if self.admission.dialect.is_some() {
            return Ok(Reading::Whole);
        }
        if self.request.upgrade.is_some() {
            return Ok(Reading::Nothing);
        }
        let is_strict = self.is_strict();
        let said_twice = [header::CONTENT_TYPE, header::CONTENT_ENCODING]
            .into_iter()
            .find(|name| self.asked.headers.get_all(name).iter().nth(1).is_some());
        if let Some(name) = said_twice.filter(|_| is_strict) {
            return Err(unread(&format!("`{name}` stands twice")));
        }
        let known = self.request.body_bytes;
        let limit = self.table.server.body_bytes_max as u64;
        let whole_max = WHOLE_BYTES_MAX.min(limit);
        let is_small = known.is_some_and(|length| length <= whole_max);
        let is_held = self.may_be_judged() && known.is_none_or(|length| length <= limit);
        Ok(match self.kind() {
            Kind::Json => Reading::Whole,
            Kind::Odd(odd) if is_strict => return Err(unread(&odd.to_string())),
            _ if is_small || is_held => Reading::Whole,
            Kind::Form(_) | Kind::Pairs if is_strict => Reading::Whole,
            Kind::Other | Kind::Untyped if is_strict && self.is_coded() => Reading::Whole,
            Kind::Other | Kind::Untyped if is_strict => Reading::Sniffed,
            Kind::Form(_) => Reading::UpTo(whole_max),
            Kind::Untyped => Reading::SniffedUpTo(whole_max),
            Kind::Pairs | Kind::Odd(_) | Kind::Other => Reading::Nothing,
        })
    }

    /// What follows for the reading of a body of which so much has come.
    pub(super) fn read_on(reading: Reading, body: &[u8]) -> Reading {
        match reading {
            Reading::UpTo(max) | Reading::SniffedUpTo(max) if body.len() as u64 > max => {
                Reading::Nothing
            }
            // So much blank space hides something, and is not looked through again and again.
            Reading::Sniffed if body.len() as u64 > WHOLE_BYTES_MAX => Reading::Whole,
            Reading::Sniffed | Reading::SniffedUpTo(_) => match (Looks::of(body), reading) {
                (Looks::Unknown, _) => reading,
                (Looks::Otherwise, _) => Reading::Nothing,
                (Looks::Object | Looks::Recoded, Reading::SniffedUpTo(max)) => Reading::UpTo(max),
                (Looks::Object | Looks::Recoded, _) => Reading::Whole,
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
        if !self.is_coded() || (matches!(kind, Kind::Other | Kind::Odd(_)) && !self.is_strict()) {
            return Ok(None);
        }
        match self.inflated(raw) {
            Ok(plain) => {
                let is_form = matches!(kind, Kind::Form(_) | Kind::Pairs);
                let may_name = is_form || Looks::of(&plain) != Looks::Otherwise;
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
    ) -> Result<(Option<Cow<'t, str>>, Option<Named>), Refusal> {
        let is_readable = match body {
            Body::Whole { plain, .. } => plain.is_some() || !self.is_coded(),
            Body::Streamed(_) => !self.is_coded(),
        };
        if !is_readable || text.is_empty() {
            return Ok((None, None));
        }
        let is_whole = matches!(body, Body::Whole { .. });
        match self.named_in(text, is_whole) {
            Err(error) if self.is_strict() => Err(unread(&error.to_string())),
            Err(_) => Ok((None, None)),
            Ok(found) => Ok(found),
        }
    }

    fn named_in<'t>(
        &self,
        text: &'t [u8],
        is_whole: bool,
    ) -> Result<(Option<Cow<'t, str>>, Option<Named>), BodyError> {
        let kind = self.kind();
        match &kind {
            Kind::Form(boundary) => {
                return form::model(text, boundary, is_whole).map(Option::unzip);
            }
            Kind::Pairs if is_whole => return Ok((form::model_in_pairs(text)?, None)),
            Kind::Json | Kind::Untyped | Kind::Other | Kind::Odd(_) if is_whole => {}
            Kind::Json | Kind::Untyped | Kind::Other | Kind::Odd(_) | Kind::Pairs => {
                return Ok((None, None));
            }
        }
        let is_strict = self.is_strict();
        match (Looks::of(text), kind) {
            (Looks::Object, Kind::Json) => model(text, is_strict).map(Option::unzip),
            // Lines of JSON, as batches are: some readers take the first for all.
            (Looks::Object, _) => model_of_first(text, is_strict).map(Option::unzip),
            (Looks::Recoded, _) => Err(BodyError {
                at: None,
                what: "it is JSON in another encoding than UTF-8".into(),
            }),
            (Looks::Unknown | Looks::Otherwise, _) => Ok((None, None)),
        }
    }

    /// While a lever speaks of models: checks that a request which is passed through names none but
    /// `checked`, neither in its body (`in_body`) nor in `target`, its path and query.
    ///
    /// # Errors
    /// It does.
    pub(super) fn names_no_other(
        &self,
        checked: Option<&str>,
        in_body: Option<&str>,
        target: &str,
    ) -> Result<(), Refusal> {
        if self.admission.dialect.is_some() || !self.is_strict() {
            return Ok(());
        }
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let named = models_named(path, query);
        let mut all = named.iter().map(|name| &**name).chain(in_body);
        match (all.find(|name| checked.map(model_id) != Some(model_id(name))), checked) {
            (None, _) => Ok(()),
            (Some(_), Some(_)) => Err(unread("it names two")),
            (Some(_), None) => Err(unread("it is named in a place that is not looked at")),
        }
    }
}
