//! A body that is passed through: how much of it is read, and the model that it names, for routes
//! and levers.
//!
//! JSON is read whole, and so are small bodies of any kind. While a lever speaks of models the gate is
//! strict: a body that may name one goes nowhere before it was read whole, whatever it calls itself,
//! and what readers may take differently is refused. At other times what cannot be read is the
//! provider's to refuse, and large uploads are not held.
//!
//! What a body says of itself is worked out once; all that follows asks [`Passed`].

use crate::wire::form;
use crate::wire::looks::Looks;
use crate::wire::media_type::MediaType;
use crate::wire::models::{self, Named};
use crate::wire::refusal::{Class, Refusal};
use crate::wire::request::BodyError;
use http::{HeaderMap, header};
use std::borrow::Cow;

/// A body that is passed through is read whole up to this size, so that it can be sent again; where
/// rules may be in force over it, any that the server takes is.
const WHOLE_BYTES_MAX: u64 = 1 << 20;

/// How much of a body is read before anything is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
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

impl Reading {
    /// What follows when so much of a body has come.
    #[must_use]
    pub fn after(self, body: &[u8]) -> Reading {
        match self {
            Reading::UpTo(max) | Reading::SniffedUpTo(max) if body.len() as u64 > max => {
                Reading::Nothing
            }
            // So much blank space hides something, and is not looked through again and again.
            Reading::Sniffed if body.len() as u64 > WHOLE_BYTES_MAX => Reading::Whole,
            Reading::Sniffed | Reading::SniffedUpTo(_) => match (Looks::of(body), self) {
                (Looks::Unknown, _) => self,
                (Looks::Otherwise, _) => Reading::Nothing,
                (Looks::Object | Looks::Recoded, Reading::SniffedUpTo(max)) => Reading::UpTo(max),
                (Looks::Object | Looks::Recoded, _) => Reading::Whole,
            },
            Reading::Nothing | Reading::Whole | Reading::UpTo(_) => self,
        }
    }
}

/// How much of a body lies before us, and whether as its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it, as it came.
    Whole,
    /// All of it, and what was compressed is no more.
    Opened,
    /// Its beginning, as it came.
    Begun,
}

/// What a body says that it is.
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
    Odd,
    /// Anything else.
    Other,
}

impl Kind<'_> {
    fn of(headers: &HeaderMap) -> Result<Kind<'_>, BodyError> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Kind::Untyped) };
        if let Some(boundary) = form::boundary(value.as_bytes())? {
            return Ok(Kind::Form(boundary));
        }
        let text = String::from_utf8_lossy(value.as_bytes());
        let named = MediaType::of(&text);
        Ok(if named.is_json() {
            Kind::Json
        } else if named.is("application/x-www-form-urlencoded") {
            Kind::Pairs
        } else {
            Kind::Other
        })
    }
}

/// A body that is passed through, as its head tells of it.
pub struct Passed<'h> {
    kind: Kind<'h>,
    is_compressed: bool,
    /// A lever speaks of models: then nothing may hide its own.
    is_strict: bool,
}

impl Passed<'_> {
    /// Reads a head; `is_strict` while a lever speaks of models.
    ///
    /// # Errors
    /// A lever speaks of models, and readers may take the body for something else than we do.
    pub fn of(headers: &HeaderMap, is_strict: bool) -> Result<Passed<'_>, Refusal> {
        if is_strict {
            let mut decisive = [header::CONTENT_TYPE, header::CONTENT_ENCODING].into_iter();
            let is_repeated = |name: &_| headers.get_all(name).iter().nth(1).is_some();
            if let Some(name) = decisive.find(is_repeated) {
                return Err(untold(&format!("`{name}` stands twice")));
            }
        }
        let kind = match Kind::of(headers) {
            Ok(kind) => kind,
            Err(odd) if is_strict => return Err(untold(&odd.to_string())),
            Err(_) => Kind::Odd,
        };
        Ok(Passed { kind, is_compressed: is_compressed(headers), is_strict })
    }

    /// Whether a lever speaks of models.
    pub fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// How much of the body is read, of which the client says that it has `length` bytes; the server
    /// takes `limit` of them. `is_judged` where rules may be in force over it.
    pub fn reading(&self, length: Option<u64>, limit: u64, is_judged: bool) -> Reading {
        let whole_max = WHOLE_BYTES_MAX.min(limit);
        let is_small = length.is_some_and(|length| length <= whole_max);
        if is_small || (is_judged && length.is_none_or(|length| length <= limit)) {
            return Reading::Whole;
        }
        match (&self.kind, self.is_strict) {
            (Kind::Json, _) | (Kind::Form(_) | Kind::Pairs, true) => Reading::Whole,
            (_, true) if self.is_compressed => Reading::Whole,
            (Kind::Untyped | Kind::Odd | Kind::Other, true) => Reading::Sniffed,
            (Kind::Form(_), false) => Reading::UpTo(whole_max),
            (Kind::Untyped, false) => Reading::SniffedUpTo(whole_max),
            (Kind::Pairs | Kind::Odd | Kind::Other, false) => Reading::Nothing,
        }
    }

    /// Whether the content of the body is looked at, and it is compressed.
    pub fn is_opened(&self) -> bool {
        self.is_compressed && (self.is_strict || !matches!(self.kind, Kind::Other | Kind::Odd))
    }

    /// Whether `content`, which was compressed, may name a model.
    pub fn may_name_model(&self, content: &[u8]) -> bool {
        matches!(self.kind, Kind::Form(_) | Kind::Pairs) || Looks::of(content) != Looks::Otherwise
    }

    /// The model that `text` names, this `part` of the body, and where; nothing else is read of it.
    ///
    /// # Errors
    /// It cannot be told, while a lever speaks of models.
    pub fn model<'t>(
        &self,
        text: &'t [u8],
        part: Part,
    ) -> Result<(Option<Cow<'t, str>>, Option<Named>), Refusal> {
        let is_content = part == Part::Opened || !self.is_compressed;
        if !is_content || text.is_empty() {
            return Ok((None, None));
        }
        match self.named_in(text, part != Part::Begun) {
            Err(error) if self.is_strict => Err(untold(&error.to_string())),
            Err(_) => Ok((None, None)),
            Ok(found) => Ok(found),
        }
    }

    fn named_in<'t>(
        &self,
        text: &'t [u8],
        is_whole: bool,
    ) -> Result<(Option<Cow<'t, str>>, Option<Named>), BodyError> {
        match (&self.kind, Looks::of(text)) {
            (Kind::Form(boundary), _) => form::model(text, boundary, is_whole).map(Option::unzip),
            _ if !is_whole => Ok((None, None)),
            (Kind::Pairs, _) => Ok((form::model_in_pairs(text)?, None)),
            (Kind::Json, Looks::Object) => models::in_json(text, self.is_strict).map(Option::unzip),
            // Lines of JSON, as batches are: some readers take the first for all.
            (_, Looks::Object) => models::in_first(text, self.is_strict).map(Option::unzip),
            (_, Looks::Recoded) => {
                let what = "it is JSON in another encoding than UTF-8".into();
                Err(BodyError { at: None, what })
            }
            (_, Looks::Unknown | Looks::Otherwise) => Ok((None, None)),
        }
    }

    /// While a lever speaks of models: checks that the request names none but `checked`, neither in
    /// its body (`in_body`) nor in `target`, its path and query.
    ///
    /// # Errors
    /// It does.
    pub fn names_no_other(
        &self,
        checked: Option<&str>,
        in_body: Option<&str>,
        target: &str,
    ) -> Result<(), Refusal> {
        if !self.is_strict {
            return Ok(());
        }
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let named = models::in_target(path, query);
        let mut all = named.iter().map(|name| &**name).chain(in_body);
        match (all.find(|name| checked.map(models::id) != Some(models::id(name))), checked) {
            (None, _) => Ok(()),
            (Some(_), Some(_)) => Err(untold("it names two")),
            (Some(_), None) => Err(untold("it is named in a place that is not looked at")),
        }
    }
}

/// Whether a body says that it is compressed.
pub fn is_compressed(headers: &HeaderMap) -> bool {
    let coding = headers.get(header::CONTENT_ENCODING);
    coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn untold(why: &str) -> Refusal {
    let message =
        format!("a lever speaks of models, and that of this request cannot be told: {why}");
    Refusal::new(Class::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn reading(kind: Option<&'static str>, is_compressed: bool, is_strict: bool) -> Reading {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if is_compressed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let limit = 64 << 20;
        let passed = Passed::of(&headers, is_strict).expect("a plain head is never refused");
        assert_eq!(passed.reading(Some(100), limit, false), Reading::Whole);
        assert_eq!(passed.reading(None, limit, true), Reading::Whole);
        passed.reading(None, limit, false)
    }

    /// How much is read of a body whose length is not known: by what it calls itself, whether it is
    /// compressed, and whether a lever speaks of models.
    #[test]
    fn how_much_is_read() {
        use Reading::{Nothing, Sniffed, SniffedUpTo, UpTo, Whole};
        const FORM: &str = "multipart/form-data; boundary=x";
        for (kind, plain, compressed, strict, strict_compressed) in [
            (Some("application/json"), Whole, Whole, Whole, Whole),
            (Some(FORM), UpTo(WHOLE_BYTES_MAX), UpTo(WHOLE_BYTES_MAX), Whole, Whole),
            (Some("application/x-www-form-urlencoded"), Nothing, Nothing, Whole, Whole),
            (Some("audio/mpeg"), Nothing, Nothing, Sniffed, Whole),
            (None, SniffedUpTo(WHOLE_BYTES_MAX), SniffedUpTo(WHOLE_BYTES_MAX), Sniffed, Whole),
        ] {
            assert_eq!(reading(kind, false, false), plain, "{kind:?}");
            assert_eq!(reading(kind, true, false), compressed, "{kind:?}");
            assert_eq!(reading(kind, false, true), strict, "{kind:?}");
            assert_eq!(reading(kind, true, true), strict_compressed, "{kind:?}");
        }
    }

    #[test]
    fn what_readers_may_take_differently_is_refused_while_a_lever_speaks_of_models() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        assert!(Passed::of(&headers, false).is_ok());
        assert!(Passed::of(&headers, true).is_err());
        let odd = HeaderValue::from_static("multipart/form-data");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, odd)]);
        assert!(Passed::of(&headers, false).is_ok());
        assert!(Passed::of(&headers, true).is_err());
    }
}
