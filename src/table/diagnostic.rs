//! What is wrong with a file, where, and what was probably meant.
//!
//! A diagnostic has a stable code that `firedoor explain` knows. All that can be found are
//! reported at once. This file also writes them: for people ([`render`]), for tools ([`json()`]),
//! for code review ([`sarif`]).
//!
//! What always holds: only the lines that a diagnostic is about are shown, and what looks like a
//! credential in them is masked; a span is cut to the text before it is used.

use super::codes;
pub use super::codes::Severity;
use crate::wire::percent;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One finding about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code, such as `FD0102`.
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What is wrong and what was expected.
    pub message: String,
    /// The file.
    pub file: PathBuf,
    /// The file's text; empty where it could not be read.
    pub text: Arc<str>,
    /// The bytes that it is about.
    pub span: Range<usize>,
    /// What to do, often the nearest right word.
    pub help: Option<String>,
}

/// A place in a text, counted from 1; columns are characters (Unicode scalar values).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Diagnostic {
    /// A file that cannot be read at all.
    pub fn unreadable(file: &Path, why: &str) -> Diagnostic {
        Diagnostic::of_file(file, codes::UNREADABLE, &format!("cannot read it: {why}"))
    }

    /// What forbids a file as a whole.
    pub fn of_file(file: &Path, code: &'static str, message: &str) -> Diagnostic {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.to_owned(),
            file: file.to_path_buf(),
            text: Arc::default(),
            span: 0..0,
            help: None,
        }
    }

    /// Where it begins and ends in its file. The end is exclusive.
    pub fn range(&self) -> (Position, Position) {
        let span = clamp(&self.text, &self.span);
        (position(&self.text, span.start), position(&self.text, span.end))
    }
}

/// The line and column of the byte `at`, which must be the border of a character.
fn position(text: &str, at: usize) -> Position {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Position {
        line: before.bytes().filter(|&byte| byte == b'\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

/// `span` cut to `text` and moved out to the borders of characters.
pub(super) fn clamp(text: &str, span: &Range<usize>) -> Range<usize> {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// Whether a rendering is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Never,
    /// ANSI escapes.
    Always,
}

/// Writes `diagnostics` for people: each with its code, the line, an underline, and what to do.
pub fn render(diagnostics: &[Diagnostic], colour: Colour) -> String {
    let renderer = match colour {
        Colour::Never => Renderer::plain(),
        Colour::Always => Renderer::styled(),
    };
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&renderer.render(&[group(diagnostic)]));
        out.push_str("\n\n");
    }
    if !diagnostics.is_empty() {
        out.push_str(&summary(diagnostics));
        out.push('\n');
    }
    out
}

/// One line that counts errors and warnings, and says where to read on.
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let mut out = String::new();
    let plural = |number: usize| if number == 1 { "" } else { "s" };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors > 0 || warnings == 0 {
        let _ = write!(out, "{errors} error{}", plural(errors));
    }
    if warnings > 0 {
        let comma = if out.is_empty() { "" } else { ", " };
        let _ = write!(out, "{comma}{warnings} warning{}", plural(warnings));
    }
    let worst = diagnostics.iter().find(|found| found.severity == Severity::Error);
    if let Some(first) = worst.or(diagnostics.first()) {
        let _ = write!(out, "; `firedoor explain {}` says more", first.code);
    }
    out
}

fn group(diagnostic: &Diagnostic) -> annotate_snippets::Group<'_> {
    let text = &*diagnostic.text;
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let (start, end) = diagnostic.range();
    let span = clamp(text, &diagnostic.span);
    let line_start = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[span.start..].find('\n').map_or(text.len(), |at| span.start + at);
    let line = masked(&text[line_start..line_end]);
    let line = line.trim_end_matches('\r').to_owned();
    // One line is shown, whatever the span: the beginning is where the eye has to go.
    let from = (span.start - line_start).min(line.len());
    let to = if end.line == start.line { span.end - line_start } else { line.len() };
    let group = title.element(
        Snippet::source(line.clone())
            .line_start(start.line)
            .path(diagnostic.file.display().to_string())
            .annotation(AnnotationKind::Primary.span(from..to.clamp(from, line.len()))),
    );
    match &diagnostic.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

/// `line` with the strings of what looks like a credential starred out, byte for byte, so that
/// columns stay. References are left to be read, without their defaults.
fn masked(line: &str) -> String {
    let has_userinfo = line.contains("://") && line.contains('@');
    if !has_userinfo && !names_secret(line) {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len());
    let mut quote = None;
    let mut is_shown = false;
    let mut last = ' ';
    for character in line.chars() {
        match quote {
            None => {
                quote = matches!(character, '"' | '\'').then_some(character);
                out.push(character);
            }
            Some(open) if character == open => {
                quote = None;
                is_shown = false;
                out.push(character);
            }
            Some(_) => {
                is_shown |= character == '$';
                if is_shown || character == '}' {
                    out.push(character);
                } else {
                    out.extend(std::iter::repeat_n('*', character.len_utf8()));
                }
                is_shown &= character != '}' && (last, character) != (':', '-');
            }
        }
        last = character;
    }
    out
}

/// Whether a key of the line, perhaps mistyped, is one that takes a credential.
fn names_secret(line: &str) -> bool {
    const WORDS: [&str; 7] =
        ["key", "token", "secret", "password", "authorization", "cookie", "credential"];
    line.to_ascii_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
        .filter(|word| !word.contains("sha256"))
        .any(|word| {
            WORDS.iter().any(|secret| word.contains(secret))
                || strsim::osa_distance(word, "api_key") <= 2
        })
}

/// One diagnostic as JSON: `file`, `line`, `column`, `endLine`, `endColumn`, `code`, `severity`,
/// `message`, `help`. Lines and columns count from 1, columns in characters, the end exclusive.
pub fn json(diagnostic: &Diagnostic) -> Value {
    let (start, end) = diagnostic.range();
    json!({
        "file": diagnostic.file.display().to_string(),
        "line": start.line,
        "column": start.column,
        "endLine": end.line,
        "endColumn": end.column,
        "code": diagnostic.code,
        "severity": diagnostic.severity.name(),
        "message": diagnostic.message,
        "help": diagnostic.help,
    })
}

/// All of them as one SARIF log (OASIS SARIF 2.1.0), for code review tools.
pub fn sarif(diagnostics: &[Diagnostic]) -> Value {
    let rules: Vec<Value> = codes::ALL
        .iter()
        .map(|entry| {
            json!({
                "id": entry.code,
                "shortDescription": { "text": entry.title },
                "fullDescription": { "text": entry.explanation },
                "defaultConfiguration": { "level": entry.severity.name() },
            })
        })
        .collect();
    let results: Vec<Value> = diagnostics
        .iter()
        .map(|diagnostic| {
            let (start, end) = diagnostic.range();
            let message = match &diagnostic.help {
                Some(help) => format!("{}. {help}", diagnostic.message),
                None => diagnostic.message.clone(),
            };
            json!({
                "ruleId": diagnostic.code,
                "ruleIndex": codes::ALL.iter().position(|entry| entry.code == diagnostic.code),
                "level": diagnostic.severity.name(),
                "message": { "text": message },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": uri(&diagnostic.file) },
                    "region": {
                        "startLine": start.line,
                        "startColumn": start.column,
                        "endLine": end.line,
                        "endColumn": end.column,
                    },
                }}],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "firedoor",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A path as a URI reference (RFC 3986): absolute paths with their scheme, others as they stand.
fn uri(path: &Path) -> String {
    let mut out = String::from(if path.is_absolute() { "file://" } else { "" });
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'/' => out.push('/'),
            other => percent::push(&mut out, other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn diagnostic(text: &str, span: Range<usize>) -> Diagnostic {
        Diagnostic {
            code: codes::UNKNOWN_KEY,
            severity: Severity::Error,
            message: "unknown key".to_owned(),
            file: PathBuf::from("dir with space/routes.toml"),
            text: text.into(),
            span,
            help: Some("did you mean `b`?".to_owned()),
        }
    }

    #[test]
    fn credentials_are_masked_and_columns_stay() {
        for (line, shown) in [
            ("api_kye = \"sk-äbc\"", "api_kye = \"sk-äbc\"".replace("sk-äbc", "*******")),
            ("api_key = \"${A:-x}yz\"", "api_key = \"${A:-*}**\"".to_owned()),
            ("key_sha256 = [\"abc\"]", "key_sha256 = [\"abc\"]".to_owned()),
            ("model = \"gpt\"", "model = \"gpt\"".to_owned()),
            ("a = { api_key = 'abc' }", "a = { api_key = '***' }".to_owned()),
            ("base_url = \"http://a:b@c\"", "base_url = \"************\"".to_owned()),
        ] {
            assert_eq!(masked(line), shown);
            assert_eq!(masked(line).len(), line.len());
        }
    }

    #[test]
    fn json_counts_characters_from_one() {
        let text = "ä = 1\nüb = 2\n";
        let at = text.find('b').unwrap();
        let value = json(&diagnostic(text, at..at + 1));
        assert_eq!(value["line"], 2);
        assert_eq!(value["column"], 2);
        assert_eq!(value["endColumn"], 3);
        assert_eq!(value["help"], "did you mean `b`?");
    }

    #[test]
    fn sarif_has_a_rule_and_a_region_for_each_result() {
        let log = sarif(&[diagnostic("a\nb = 1", 2..3)]);
        let run = &log["runs"][0];
        let result = &run["results"][0];
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "dir%20with%20space/routes.toml");
        assert_eq!(place["region"]["startLine"], 2);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_rendered_without_a_text() {
        let text = render(
            &[Diagnostic::unreadable(Path::new("nowhere.toml"), "no such file")],
            Colour::Never,
        );
        assert!(text.starts_with("error[FD0001]: cannot read it: no such file\n"), "{text}");
        assert!(text.contains("nowhere.toml"), "{text}");
    }

    proptest! {
        #[test]
        fn any_span_in_any_text_is_rendered(text in any::<String>(), start in 0..64_usize, len in 0..64_usize) {
            let found = [diagnostic(&text, start..start + len)];
            for colour in [Colour::Never, Colour::Always] {
                prop_assert!(!render(&found, colour).is_empty());
            }
            let _ = json(&found[0]);
            let _ = sarif(&found);
        }
    }
}
