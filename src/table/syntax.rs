//! Mistakes of grammar: how they are told, and which complaints behind one still stand.

use super::codes;
use super::reader::Reader;
use std::collections::HashSet;
use std::ops::Range;

/// Tells what the parser found.
pub(super) fn syntax(reader: &mut Reader<'_>, mistake: &toml::de::Error) {
    let span = mistake.span().unwrap_or(0..0);
    let words = mistake.message();
    if words == "duplicate key" {
        let help = "a key stands once; a `[table]` too";
        reader.report(
            codes::DUPLICATE_KEY,
            span,
            "this key is set for the second time",
            Some(help.to_owned()),
        );
    } else {
        // The parser's word for text without quotes is what the text happens to begin like.
        let is_bare = ["invalid float", "invalid integer", "string values must be quoted"]
            .iter()
            .any(|start| words.starts_with(start));
        let help = is_bare.then(|| "text stands in quotes".to_owned());
        reader.report(codes::SYNTAX, span, format!("this is not TOML: {words}"), help);
    }
}

/// Behind a mistake of grammar the parser guesses what was meant. Only complaints that do not rest
/// on a guess stay: those about what is there, on other lines.
pub(super) fn keep_sure(reader: &mut Reader<'_>, text: &str) {
    let line = |span: &Range<usize>| text[..span.start].bytes().filter(|&b| b == b'\n').count();
    let broken: HashSet<usize> = reader
        .found()
        .iter()
        .filter(|found| found.code == codes::SYNTAX)
        .map(|found| line(&found.span))
        .collect();
    if broken.is_empty() {
        return;
    }
    reader.retain(|found| match found.code {
        codes::SYNTAX | codes::DUPLICATE_KEY | codes::TOO_MANY => true,
        codes::MISSING_KEY | codes::EMPTY | codes::NOT_HERE | codes::CONTRADICTION => false,
        other => other < codes::UNKNOWN_PROVIDER && !broken.contains(&line(&found.span)),
    });
}
