//! The model that a form names: `multipart/form-data`, as uploads of sound and pictures come
//! (RFC 7578, in the framing of RFC 2046, section 5.1.1).
//!
//! Only the field `model` is read, where it stands; a form that names two models names none, for
//! readers differ in which of them counts. The part of a form that has come is read like a whole
//! one, so that a large upload need not be held for it.

use super::media_type::MediaType;
use super::request::{BodyError, Named};
use memchr::memmem;
use std::borrow::Cow;

/// The boundary of a form, from the value of `Content-Type`; `None` if it is no form.
pub fn boundary(content_type: &str) -> Option<Cow<'_, str>> {
    let (_, parameters) = content_type.split_once(';')?;
    MediaType::of(content_type).is("multipart/form-data").then_some(())?;
    parameter(parameters, "boundary").filter(|boundary| !boundary.is_empty())
}

/// The field `model` of a form, as far as the form has come.
///
/// # Errors
/// It stands there twice, or its value is no text.
pub fn model<'b>(
    body: &'b [u8],
    boundary: &str,
) -> Result<Option<(Cow<'b, str>, Named)>, BodyError> {
    let mut found: Option<(&str, Named)> = None;
    let delimiter = format!("--{boundary}");
    let mut delimiters = memmem::find_iter(body, &delimiter)
        .filter(|at| *at == 0 || body[at - 1] == b'\n')
        .peekable();
    while let Some(at) = delimiters.next() {
        let begin = at + delimiter.len();
        // What is behind the last delimiter is no part, or one that has not come.
        let Some(end) = delimiters.peek().copied() else { break };
        let part = &body[begin..end];
        let Some((head, value)) = split(part) else { continue };
        if !names_model(head) {
            continue;
        }
        let start = begin + (part.len() - value.len());
        let value = value.strip_suffix(b"\n").unwrap_or(value);
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        let wrong = |what: &'static str| BodyError { at: Some(start), what: what.into() };
        let text = std::str::from_utf8(value)
            .map_err(|_| wrong("the field `model` of the form is not UTF-8"))?;
        if found.is_some() {
            return Err(wrong("the form names its model twice"));
        }
        found = Some((text, Named::Field { start, end: start + text.len() }));
    }
    Ok(found.map(|(text, named)| (Cow::Borrowed(text), named)))
}

/// The head of a part and its value.
fn split(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let crlf = memmem::find(part, b"\r\n\r\n").map(|at| (at, at + 4));
    let lf = memmem::find(part, b"\n\n").map(|at| (at, at + 2));
    let (end, begin) = crlf.into_iter().chain(lf).min()?;
    Some((&part[..end], &part[begin..]))
}

/// Whether the head of a part says that it is the field `model`.
fn names_model(head: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()).any(
        |line| {
            line.split_once(':').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("content-disposition")
                    && value.split_once(';').is_some_and(|(_, parameters)| {
                        parameter(parameters, "name").is_some_and(|name| name == "model")
                    })
            })
        },
    )
}

/// The value of a parameter in a list of them, where quotes hold what would end it (RFC 9110,
/// section 5.6.6).
fn parameter<'p>(mut list: &'p str, wanted: &str) -> Option<Cow<'p, str>> {
    while !list.is_empty() {
        let (name, rest) = list.split_once('=')?;
        let name = name.trim_matches([' ', '\t', ';', '\r']);
        let rest = rest.trim_start();
        let (value, behind) = if let Some(quoted) = rest.strip_prefix('"') {
            unquote(quoted)
        } else {
            let (value, behind) = rest.split_once(';').unwrap_or((rest, ""));
            (Cow::Borrowed(value.trim()), behind)
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        list = behind;
    }
    None
}

/// What stands up to the closing quote, and what is behind it.
fn unquote(quoted: &str) -> (Cow<'_, str>, &str) {
    let mut is_escaped = false;
    let end = quoted.find(|letter| {
        let ends = letter == '"' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        ends
    });
    let (inner, behind) = end.map_or((quoted, ""), |at| (&quoted[..at], &quoted[at + 1..]));
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
                    content-type: audio/wav\r\n\r\n\0\x01--b\r\n\r\n\r\n";
        let cases = [
            format!("{}{file}--b--\r\n", part("model", "w")),
            format!("{file}{}--b--\r\n", part("model", "w")),
            "--b\r\nCONTENT-DISPOSITION: form-data;name=model\r\n\r\nw\r\n--b--".to_owned(),
            "--b\r\ncontent-disposition: form-data; x=1; name=\"mo\\del\"\r\n\r\nw\r\n--b--"
                .to_owned(),
            "--b\ncontent-disposition: form-data; name=\"model\"\n\nw\n--b--".to_owned(),
        ];
        for body in cases {
            let (text, named) = model(body.as_bytes(), "b").unwrap().unwrap();
            assert_eq!(text, "w", "{body}");
            assert_eq!(&body[named.range()], "w", "{body}");
        }
    }

    #[test]
    fn other_fields_name_no_model() {
        let cases = [
            part("models", "w"),
            part("file", "name=\"model\"\r\n\r\nw"),
            "--b\r\nx-note: form-data; name=\"model\"\r\n\r\nw\r\n".to_owned(),
            "--b\r\ncontent-disposition: form-data; filename=\"; name=model\"\r\n\r\nw\r\n"
                .to_owned(),
        ];
        for body in cases {
            assert_eq!(model(format!("{body}--b--\r\n").as_bytes(), "b"), Ok(None), "{body}");
        }
        assert_eq!(model(b"xxxx", "b"), Ok(None));
        // The value has not come to its end.
        assert_eq!(model(part("model", "w").as_bytes(), "b"), Ok(None));
    }

    #[test]
    fn two_models_are_none() {
        let body = format!("{}{}--b--\r\n", part("model", "w"), part("model", "v"));
        assert!(model(body.as_bytes(), "b").is_err());
    }

    #[test]
    fn boundaries_are_read_from_the_media_type() {
        let is = |kind: &str| boundary(kind).map(Cow::into_owned);
        assert_eq!(is("multipart/form-data; boundary=b").as_deref(), Some("b"));
        assert_eq!(is("Multipart/Form-Data;charset=x; Boundary=\"a b\"").as_deref(), Some("a b"));
        assert_eq!(is("multipart/mixed; boundary=b"), None);
        assert_eq!(is("multipart/form-data; boundary="), None);
        assert_eq!(is("application/json"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            body in "(--b|\r\n|\n|content-disposition: form-data; name=|\"model\"|\\\\|é|;|=){0,24}",
            kind in "(multipart/form-data|;|boundary|=|\"|\\\\|é| ){0,8}",
        ) {
            if let Ok(Some((text, named))) = model(body.as_bytes(), "b") {
                prop_assert_eq!(body.get(named.range()), Some(&*text));
            }
            let _ = boundary(&kind);
        }
    }
}
