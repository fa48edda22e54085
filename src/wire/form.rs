//! The model that a form names: `multipart/form-data`, as uploads of sound and pictures come
//! (RFC 7578, in the framing of RFC 2046, section 5.1.1), and the pairs of
//! `application/x-www-form-urlencoded`.
//!
//! Only the field `model` is read, where it stands. What always holds: a form is read in the one way
//! in which every reader reads it, and what readers may take differently is an error: a second
//! model, a part without a plain name, a value that is coded once more. The part of a form that has
//! come is read like a whole one, so that a large upload need not be held for it.

use super::media_type::MediaType;
use super::models::Named;
use super::percent;
use super::request::BodyError;
use memchr::memmem;
use std::borrow::Cow;

/// The boundary of a form, from the value of `Content-Type`; `None` if it is no form.
///
/// # Errors
/// It has none, or readers may take another one.
pub fn boundary(content_type: &[u8]) -> Result<Option<Cow<'_, str>>, BodyError> {
    let family = content_type.trim_ascii_start().get(.."multipart/".len()).unwrap_or_default();
    if !family.eq_ignore_ascii_case(b"multipart/") {
        return Ok(None);
    }
    let odd = || odd(None, "the content-type of the form has no plain boundary");
    let text = std::str::from_utf8(content_type).map_err(|_| odd())?;
    if !MediaType::of(text).is("multipart/form-data") {
        return Err(odd());
    }
    let (_, list) = text.split_once(';').ok_or_else(odd)?;
    let mut found = None;
    for parameter in Parameters(list) {
        let (name, value) = parameter.ok_or_else(odd)?;
        let is_it = name.eq_ignore_ascii_case("boundary");
        let is_like_it = name
            .get(.."boundary".len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case("boundary"));
        if is_like_it && (!is_it || value.is_empty() || found.replace(value).is_some()) {
            return Err(odd());
        }
    }
    found.map(Some).ok_or_else(odd)
}

/// The field `model` of a form, as far as the form has come; `is_whole` if there is no more of it.
///
/// # Errors
/// It stands there twice, its value is no text, or something of the form may be read otherwise.
pub fn model<'b>(
    body: &'b [u8],
    boundary: &str,
    is_whole: bool,
) -> Result<Option<(Cow<'b, str>, Named)>, BodyError> {
    let mut found: Option<(&str, Named)> = None;
    let delimiter = format!("--{boundary}");
    let mut delimiters = memmem::find_iter(body, &delimiter)
        .filter(|at| *at == 0 || body[at - 1] == b'\n')
        .filter_map(|at| Some((at, delimiter_end(body, at + delimiter.len())?)))
        .peekable();
    let mut is_closed = false;
    while let Some((_, end)) = delimiters.next() {
        let Delimiter::Next(begin) = end else {
            is_closed = true;
            break;
        };
        // What is behind the last delimiter has not come to its end.
        let Some((end, _)) = delimiters.peek().copied() else { break };
        let part = &body[begin..end];
        let (head, value) =
            split(part).ok_or_else(|| odd(Some(begin), "a part of the form has no head"))?;
        if !names_model(head)
            .ok_or_else(|| odd(Some(begin), "a part of the form has no plain name"))?
        {
            continue;
        }
        let start = begin + (part.len() - value.len());
        let value = value.strip_suffix(b"\n").unwrap_or(value);
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        let text = std::str::from_utf8(value)
            .map_err(|_| odd(Some(start), "the field `model` of the form is not UTF-8"))?;
        if found.is_some() {
            return Err(odd(Some(start), "the form names its model twice"));
        }
        found = Some((text, Named::Field { start, end: start + text.len() }));
    }
    if is_whole && !is_closed {
        return Err(odd(None, "the form has no end"));
    }
    Ok(found.map(|(text, named)| (Cow::Borrowed(text), named)))
}

/// The model among the pairs of a form that is written like a query.
///
/// # Errors
/// It stands there twice.
pub fn model_in_pairs(text: &[u8]) -> Result<Option<Cow<'_, str>>, BodyError> {
    let text = std::str::from_utf8(text).map_err(|_| odd(None, "the form is not UTF-8"))?;
    let mut names = pairs(text).filter(|(name, _)| name == "model").map(|(_, value)| value);
    let model = names.next();
    match names.next() {
        None => Ok(model),
        Some(_) => Err(odd(None, "the form names its model twice")),
    }
}

/// The pairs of a query, decoded.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let decoded = |text| -> Cow<'_, str> {
        let text: &str = text;
        if !text.contains(['%', '+']) {
            return Cow::Borrowed(text);
        }
        let bytes = percent::decoded(&text.replace('+', " "));
        Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
    };
    query.split('&').map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

fn odd(at: Option<usize>, what: &'static str) -> BodyError {
    BodyError { at, what: what.into() }
}

/// What follows a delimiter.
#[derive(Clone, Copy)]
enum Delimiter {
    /// A part, from here.
    Next(usize),
    /// Nothing more.
    Last,
}

/// What stands behind a delimiter that ends at `at`; `None` if it is none, but the beginning of a
/// line of something else, or has not come whole.
fn delimiter_end(body: &[u8], at: usize) -> Option<Delimiter> {
    let rest = body.get(at..)?;
    if rest.starts_with(b"--") {
        return Some(Delimiter::Last);
    }
    let blank = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    let line = [&b"\r\n"[..], b"\n"].into_iter().find(|end| rest[blank..].starts_with(end))?;
    Some(Delimiter::Next(at + blank + line.len()))
}

/// The head of a part and its value.
fn split(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let crlf = memmem::find(part, b"\r\n\r\n").map(|at| (at, at + 4));
    let lf = memmem::find(part, b"\n\n").map(|at| (at, at + 2));
    let (end, begin) = crlf.into_iter().chain(lf).min()?;
    Some((&part[..end], &part[begin..]))
}

/// Whether the head of a part says that it is the field `model`; `None` where readers may differ.
fn names_model(head: &[u8]) -> Option<bool> {
    let head = std::str::from_utf8(head).ok()?;
    let mut found = None;
    for line in head.split('\n') {
        let (name, value) = line.trim_end_matches('\r').split_once(':')?;
        // A line that begins with a blank goes on with the one before it, for some.
        if name.is_empty() || name.bytes().any(|byte| byte.is_ascii_whitespace()) {
            return None;
        }
        if name.eq_ignore_ascii_case("content-transfer-encoding") {
            let is_plain = ["7bit", "8bit", "binary"]
                .iter()
                .any(|plain| value.trim().eq_ignore_ascii_case(plain));
            is_plain.then_some(())?;
        }
        if !name.eq_ignore_ascii_case("content-disposition") {
            continue;
        }
        let (kind, list) = value.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return None;
        }
        for parameter in Parameters(list) {
            let (name, value) = parameter?;
            match &*name.to_ascii_lowercase() {
                "name" if found.is_none() => found = Some(value == "model"),
                "filename" | "filename*" => {}
                _ => return None,
            }
        }
    }
    found
}

/// The parameters of a field, where quotes hold what would end one (RFC 9110, section 5.6.6);
/// `None` for one that has no value.
struct Parameters<'p>(&'p str);

impl<'p> Iterator for Parameters<'p> {
    type Item = Option<(&'p str, Cow<'p, str>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.trim_start_matches([' ', '\t', ';']);
        if rest.trim_end().is_empty() {
            return None;
        }
        let end = rest.find(['=', ';']).filter(|at| rest[*at..].starts_with('='));
        let Some(end) = end else {
            self.0 = "";
            return Some(None);
        };
        let (name, rest) = (&rest[..end], &rest[end + 1..]);
        let (value, behind) = if let Some(quoted) = rest.strip_prefix('"') {
            unquote(quoted)
        } else {
            let (value, behind) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
            (Cow::Borrowed(value.trim()), behind)
        };
        self.0 = behind;
        let is_plain = behind.trim_start().is_empty() || behind.trim_start().starts_with(';');
        let is_name = !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace());
        Some((is_plain && is_name).then_some((name, value)))
    }
}

/// What stands up to the closing quote, and what is behind it.
fn unquote(quoted: &str) -> (Cow<'_, str>, &str) {
    let mut is_escaped = false;
    let end = quoted.find(|letter| {
        let ends = letter == '"' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        ends
    });
    // A quote that is never closed leaves something behind that is no parameter.
    let (inner, behind) = end.map_or((quoted, "\""), |at| (&quoted[..at], &quoted[at + 1..]));
    if !inner.contains('\\') {
        return (Cow::Borrowed(inner), behind);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        plain.push(if letter == '\\' { letters.next().unwrap_or(letter) } else { letter });
    }
    (Cow::Owned(plain), behind)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure in a test is a failed test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(name: &str, value: &str) -> String {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }

    #[test]
    fn a_field_is_found_wherever_it_stands_and_however_it_is_written() {
        let file = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"name=\\\"model\\\".wav\"\r\n\
                    content-type: audio/wav\r\n\r\n\0\x01--b\r\n--bx\r\n\r\n";
        let cases = [
            format!("{}{file}--b--\r\n", part("model", "w")),
            format!("{file}{}--b--\r\n", part("model", "w")),
            "--b \r\nCONTENT-DISPOSITION: form-data;name=model\r\n\r\nw\r\n--b--".to_owned(),
            "--b\r\ncontent-disposition: form-data; name=\"mo\\del\"\r\n\r\nw\r\n--b--".to_owned(),
            "--b\ncontent-disposition: form-data; name=\"model\"\n\nw\n--b--".to_owned(),
            "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n--bX: y\r\n\r\nw\r\n--b--"
                .to_owned(),
        ];
        for body in cases {
            let (text, named) = model(body.as_bytes(), "b", true).unwrap().unwrap();
            assert_eq!(text, "w", "{body}");
            assert_eq!(&body[named.range()], "w", "{body}");
        }
    }

    #[test]
    fn other_fields_name_no_model() {
        let cases = [
            part("models", "w"),
            part("file", "name=\"model\"\r\n\r\nw"),
            "--b\r\ncontent-disposition: form-data; name=x; filename=\"; name=model\"\r\n\r\nw\r\n"
                .to_owned(),
        ];
        for body in cases {
            assert_eq!(model(format!("{body}--b--\r\n").as_bytes(), "b", true), Ok(None), "{body}");
        }
        // The value has not come to its end.
        assert_eq!(model(part("model", "w").as_bytes(), "b", false), Ok(None));
        assert_eq!(model_in_pairs(b"models=w&x=model"), Ok(None));
    }

    #[test]
    fn what_readers_may_take_differently_is_an_error() {
        let head = |head: &str| format!("--b\r\n{head}\r\n\r\nw\r\n");
        for body in [
            part("model", "w") + &part("model", "w"),
            head("x-note: form-data; name=\"model\""),
            head("content-disposition: form-data; name=\"x\"; name=\"model\""),
            head("content-disposition: form-data; name*=UTF-8''model"),
            head("content-disposition: form-data; name*0=\"mo\"; name*1=\"del\""),
            head("content-disposition: form-data; x; name=\"model\""),
            head("content-disposition: form-data;\r\n name=\"model\""),
            head("content-disposition: form-data; name=\"model"),
            head(
                "content-disposition: form-data; name=\"model\"\r\ncontent-transfer-encoding: base64",
            ),
        ] {
            assert!(model(format!("{body}--b--\r\n").as_bytes(), "b", true).is_err(), "{body}");
        }
        assert!(model(part("model", "w").as_bytes(), "b", true).is_err(), "it has no end");
        assert!(model(b"xxxx", "b", true).is_err());
        let odd = [&b"--b\r\ncontent-disposition: form-data; name=\"model\"; filename=\"\xff\"\r\n\r\nw\r\n--b--"[..]];
        assert!(model(&odd.concat(), "b", true).is_err());
        assert!(model_in_pairs(b"mod%65l=v&model=w").is_err());
    }

    #[test]
    fn pairs_are_decoded() {
        assert_eq!(model_in_pairs(b"a=b&mod%65l=w+%77").unwrap().as_deref(), Some("w w"));
    }

    #[test]
    fn boundaries_are_read_from_the_media_type() {
        let is = |kind: &str| boundary(kind.as_bytes()).unwrap().map(Cow::into_owned);
        assert_eq!(is("multipart/form-data; boundary=b").as_deref(), Some("b"));
        assert_eq!(is("Multipart/Form-Data;charset=x; Boundary=\"a b\"").as_deref(), Some("a b"));
        assert_eq!(is("application/json"), None);
        for odd in [
            &b"multipart/mixed; boundary=b"[..],
            b"multipart/form-data; boundary=",
            b"multipart/form-data",
            b"multipart/form-data; boundary=b; boundary=c",
            b"multipart/form-data; boundary*=UTF-8''b",
            b"multipart/form-data; x; boundary=b",
            b"multipart/form-data; x=\xff; boundary=b",
        ] {
            assert!(boundary(odd).is_err(), "{}", String::from_utf8_lossy(odd));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            body in "(--b|\r\n|\n|content-disposition: form-data; name=|\"model\"|\\\\|\u{e9}|;|=|--){0,24}",
            kind in "(multipart/form-data|;|boundary|=|\"|\\\\|\u{e9}| ){0,8}",
        ) {
            if let Ok(Some((text, named))) = model(body.as_bytes(), "b", false) {
                prop_assert_eq!(body.get(named.range()), Some(&*text));
            }
            let _ = boundary(kind.as_bytes());
            let _ = model_in_pairs(body.as_bytes());
        }
    }
}
