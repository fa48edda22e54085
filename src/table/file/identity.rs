//! `[identity]`: headers of one's own that name sessions and agents.

use super::IDENTITY;
use super::providers::header_name;
use crate::table::IdentityHeaders;
use crate::table::codes;
use crate::table::reader::{Reader, Section, Value};
use crate::table::value::forbidden_header;
use http::HeaderName;

pub(super) fn headers(reader: &mut Reader<'_>, value: Option<&Value<'_>>) -> IdentityHeaders {
    let section = value.and_then(|value| reader.section(value, "[identity]", IDENTITY));
    let section = section.as_ref();
    IdentityHeaders {
        session: names(reader, section, "session_headers"),
        agent: names(reader, section, "agent_headers"),
    }
}

fn names(reader: &mut Reader<'_>, section: Option<&Section<'_, '_>>, key: &str) -> Vec<HeaderName> {
    let Some(value) = section.and_then(|section| section.get(key)) else { return Vec::new() };
    let texts = reader.texts(value, key);
    let mut names: Vec<HeaderName> = Vec::new();
    for text in texts {
        let Some(name) = header_name(reader, &text.value, &text.span) else { continue };
        // Its value is kept on record, and told in logs.
        if name == "x-firedoor-key" || forbidden_header(&name).is_some() {
            let message = "this header names no session and no agent";
            let help = "name one that applications set for it".to_owned();
            reader.report(codes::BAD_HEADER, text.span, message, Some(help));
        } else if names.contains(&name) {
            let message = format!("`{name}` is named twice");
            reader.report(codes::DUPLICATE, text.span, message, None);
        } else {
            names.push(name);
        }
    }
    names
}
