//! `${..}` in string values, after parsing, so that a value can never change the shape of a file.
//!
//! | Written | Means |
//! |---|---|
//! | `${NAME}` | the environment variable; an error if it is not set |
//! | `${NAME:-text}` | the variable, or `text` if it is not set or empty |
//! | `${NAME:?why}` | the variable; an error that says `why` if it is not set or empty |
//! | `${file:PATH}` | the content of a file; a relative path starts at the folder of the routes file |
//! | `$${` | `${` itself |
//!
//! References do not nest. What a reference stands for is not looked at again.

use super::{Lookup, Reference, codes};
use std::path::Path;

/// A string after interpolation.
#[derive(Debug, Default)]
pub(super) struct Filled {
    /// The value.
    pub(super) value: String,
    /// The variables and files that it took, as they are written, in order.
    pub(super) references: Vec<String>,
}

/// What is wrong with a reference.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

fn complaint(code: &'static str, message: String, help: &str) -> Complaint {
    Complaint { code, message, help: (!help.is_empty()).then(|| help.to_owned()) }
}

/// Fills in every reference of `text`, or says everything that is wrong with them.
pub(super) fn fill(
    text: &str,
    folder: Option<&Path>,
    lookup: &Lookup<'_>,
) -> Result<Filled, Vec<Complaint>> {
    let mut filled = Filled::default();
    let mut complaints = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let before = &rest[..at];
        if let Some(before) = before.strip_suffix('$') {
            filled.value.push_str(before);
            filled.value.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        filled.value.push_str(before);
        let Some(end) = rest[at..].find('}') else {
            complaints.push(complaint(
                codes::BAD_REFERENCE,
                "a reference begins with `${` and has no `}`".to_owned(),
                "write `$${` for the two characters themselves",
            ));
            rest = "";
            break;
        };
        let inner = &rest[at + 2..at + end];
        match resolve(inner, folder, lookup) {
            Ok(value) => {
                filled.value.push_str(&value);
                filled.references.push(name_of(inner).to_owned());
            }
            Err(found) => complaints.push(found),
        }
        rest = &rest[at + end + 1..];
    }
    filled.value.push_str(rest);
    if complaints.is_empty() { Ok(filled) } else { Err(complaints) }
}

/// The variable's name, or `file:` and the path.
fn name_of(inner: &str) -> &str {
    if inner.starts_with("file:") { inner } else { inner.split(':').next().unwrap_or(inner) }
}

fn resolve(inner: &str, folder: Option<&Path>, lookup: &Lookup<'_>) -> Result<String, Complaint> {
    if inner.contains("${") {
        return Err(complaint(
            codes::BAD_REFERENCE,
            "references do not nest".to_owned(),
            "give the inner one a variable of its own",
        ));
    }
    if let Some(path) = inner.strip_prefix("file:") {
        return file(path, folder, lookup);
    }
    let (name, tail) = match inner.find(':') {
        Some(colon) => (&inner[..colon], Some(&inner[colon..])),
        None => (inner, None),
    };
    let is_name = name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return Err(complaint(
            codes::BAD_REFERENCE,
            format!("`{name}` is not the name of a variable"),
            "a name is letters, digits and `_`, as in `${OPENAI_API_KEY}`; a file is \
             `${file:/path}`",
        ));
    }
    let value = lookup(Reference::Variable(name)).map_err(|why| {
        complaint(codes::UNREADABLE_REFERENCE, format!("cannot read variable `{name}`: {why}"), "")
    })?;
    match tail {
        None => value.ok_or_else(|| {
            complaint(
                codes::MISSING_VARIABLE,
                format!("environment variable `{name}` is not set"),
                &format!("set `{name}`, or write `${{{name}:-}}` to take an empty value instead"),
            )
        }),
        Some(tail) => {
            let value = value.filter(|value| !value.is_empty());
            if let Some(default) = tail.strip_prefix(":-") {
                Ok(value.unwrap_or_else(|| default.to_owned()))
            } else if let Some(why) = tail.strip_prefix(":?") {
                value.ok_or_else(|| {
                    let colon = if why.trim().is_empty() { "" } else { ": " };
                    complaint(
                        codes::MISSING_VARIABLE,
                        format!("environment variable `{name}` is not set{colon}{}", why.trim()),
                        &format!("set `{name}`"),
                    )
                })
            } else {
                Err(complaint(
                    codes::BAD_REFERENCE,
                    format!("`{tail}` is not known behind the name of a variable"),
                    &format!("write `${{{name}:-default}}` or `${{{name}:?why}}`"),
                ))
            }
        }
    }
}

fn file(path: &str, folder: Option<&Path>, lookup: &Lookup<'_>) -> Result<String, Complaint> {
    if path.trim().is_empty() {
        return Err(complaint(
            codes::BAD_REFERENCE,
            "`${file:}` names no file".to_owned(),
            "write `${file:/run/secrets/name}`",
        ));
    }
    let whole = folder.map_or_else(|| Path::new(path).to_path_buf(), |folder| folder.join(path));
    let shown = whole.to_string_lossy();
    match lookup(Reference::File(&shown)) {
        Ok(Some(content)) => Ok(content),
        Ok(None) => Err(complaint(
            codes::MISSING_FILE,
            format!("there is no file `{shown}`"),
            "a relative path starts at the folder of the routes file",
        )),
        Err(why) => Err(complaint(
            codes::UNREADABLE_REFERENCE,
            format!("cannot read file `{shown}`: {why}"),
            "",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(reference: Reference<'_>) -> Result<Option<String>, String> {
        Ok(match reference {
            Reference::Variable("A") => Some("1".to_owned()),
            Reference::Variable("EMPTY") => Some(String::new()),
            Reference::Variable("TRICK") => Some("${A}".to_owned()),
            Reference::Variable("BROKEN") => return Err("it is not UTF-8".to_owned()),
            Reference::File("/etc/door/k") => Some("from a file".to_owned()),
            Reference::Variable(_)
            | Reference::File(_)
            | Reference::Bytes(_)
            | Reference::Folder(_) => None,
        })
    }

    fn filled(text: &str) -> Result<String, Vec<&'static str>> {
        fill(text, Some(Path::new("/etc/door")), &lookup)
            .map(|filled| filled.value)
            .map_err(|all| all.into_iter().map(|found| found.code).collect())
    }

    #[test]
    fn references() {
        for (text, value) in [
            ("plain $5 $$ $", "plain $5 $$ $"),
            ("a${A}b${A}", "a1b1"),
            ("${NO:-dflt}${EMPTY:-x}${A:-y}", "dfltx1"),
            ("${NO:-}", ""),
            ("${EMPTY}", ""),
            ("${A:?must}", "1"),
            ("$${A}", "${A}"),
            ("${file:k}|${file:/etc/door/k}", "from a file|from a file"),
            ("${TRICK}", "${A}"),
            ("${NO:-a:b}", "a:b"),
        ] {
            assert_eq!(filled(text), Ok(value.to_owned()), "{text}");
        }
    }

    #[test]
    fn complaints() {
        for (text, code) in [
            ("${NO}", codes::MISSING_VARIABLE),
            ("${NO:?set it}", codes::MISSING_VARIABLE),
            ("${EMPTY:?set it}", codes::MISSING_VARIABLE),
            ("${BROKEN}", codes::UNREADABLE_REFERENCE),
            ("${file:gone}", codes::MISSING_FILE),
            ("${file:}", codes::BAD_REFERENCE),
            ("${A", codes::BAD_REFERENCE),
            ("${}", codes::BAD_REFERENCE),
            ("${1A}", codes::BAD_REFERENCE),
            ("${A:+x}", codes::BAD_REFERENCE),
            ("${A:-${A}}", codes::BAD_REFERENCE),
        ] {
            assert_eq!(filled(text), Err(vec![code]), "{text}");
        }
        assert_eq!(filled("${NO}${NO:?}").map_err(|all| all.len()), Err(2));
    }

    proptest! {
        #[test]
        fn any_text_is_filled_or_refused(text in "[$\\{\\}:?A-C\\-ä]{0,40}") {
            let _ = filled(&text);
        }
    }
}
