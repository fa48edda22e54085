//! Words that were asked for, shown where they stand.

use super::super::exchange::Exchange;
use super::super::query::{Phrase, Query, marks};
use super::super::texts::{self, Part, Said};
use crate::filter::Kind;
use serde_json::{Value, json};

/// How many characters stand around a match.
const AROUND: usize = 60;
/// The most matches that are marked in a snippet.
const MARKS_MAX: usize = 8;

/// A piece of a snippet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether it is what was asked for.
    pub is_match: bool,
}

/// A cutting of a text, around what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// Whose text it is.
    pub kind: Kind,
    /// The pieces; none of them overlap.
    pub pieces: Vec<Piece>,
}

impl Snippet {
    /// For programs.
    pub fn as_json(&self) -> Value {
        let piece = |piece: &Piece| json!({ "text": piece.text, "match": piece.is_match });
        json!({ "kind": self.kind.name(), "pieces": self.pieces.iter().map(piece).collect::<Value>() })
    }

    /// The text, with `open` and `close` around matches.
    pub fn marked(&self, open: &str, close: &str) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            if piece.is_match {
                out.push_str(open);
            }
            out.push_str(&piece.text);
            if piece.is_match {
                out.push_str(close);
            }
        }
        out
    }
}

/// Cuttings of an exchange's texts, at most `most`: of those that are new in it, and of its history only where
/// there are none.
pub fn snippets(exchange: &Exchange, query: &Query, most: usize) -> Vec<Snippet> {
    snippets_of(|part| texts::of(exchange, part).said, query, most)
}

/// The same of an exchange whose texts are told by `texts`.
pub fn snippets_of(texts: impl Fn(Part) -> Vec<Said>, query: &Query, most: usize) -> Vec<Snippet> {
    if query.words().next().is_none() {
        return Vec::new();
    }
    let new = cuttings(&texts(Part::New), query, most);
    if new.is_empty() { cuttings(&texts(Part::All), query, most) } else { new }
}

/// Cuttings of texts around the words of a query, at most `most`.
pub(super) fn cuttings(said: &[Said], query: &Query, most: usize) -> Vec<Snippet> {
    let phrases: Vec<Phrase> = query.words().map(Phrase::of).collect();
    let mut found = Vec::new();
    for said in said {
        let marks = marks(&said.text, &phrases, MARKS_MAX);
        if let Some(first) = marks.first() {
            found.push(cut(said, *first, &marks));
        }
        if found.len() == most {
            break;
        }
    }
    found
}

fn cut(said: &Said, first: (usize, usize), marks: &[(usize, usize)]) -> Snippet {
    let text = &said.text;
    let from = text[..first.0].char_indices().rev().nth(AROUND).map_or(0, |(at, _)| at);
    let last_in_sight = text[first.1..].char_indices().nth(AROUND * 2);
    let to = last_in_sight.map_or(text.len(), |(at, _)| first.1 + at);
    let mut pieces = Vec::new();
    let mut push = |text: &str, is_match: bool| {
        if !text.is_empty() {
            pieces.push(Piece { text: text.to_owned(), is_match });
        }
    };
    push(if from > 0 { "…" } else { "" }, false);
    let mut at = from;
    for (start, end) in marks.iter().filter(|(_, end)| *end <= to) {
        push(&text[at..*start], false);
        push(&text[*start..*end], true);
        at = *end;
    }
    push(&text[at..to], false);
    push(if to < text.len() { "…" } else { "" }, false);
    Snippet { kind: said.kind, pieces }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::query::parse;
    use proptest::prelude::*;

    fn said(text: &str) -> [Said; 1] {
        [Said { kind: Kind::User, text: text.to_owned(), tool: None }]
    }

    fn marked(text: &str, query: &str) -> Option<String> {
        let found = cuttings(&said(text), &parse(query, 0).unwrap(), 3);
        found.first().map(|snippet| snippet.marked("[", "]"))
    }

    #[test]
    fn matches_are_marked_where_they_stand() {
        for (text, query, expected) in [
            ("The Refund was paid", "refund", Some("The [Refund] was paid")),
            ("a refund-policy, b", "\"refund policy\"", Some("a [refund-policy], b")),
            ("refunds are due", "refund*", Some("[refunds] are due")),
            ("refunds are due", "refund", None),
            ("ÄPFEL und Birnen", "äpfel birnen", Some("[ÄPFEL] und [Birnen]")),
            ("Ein Cafe\u{301}, ein CAFÉ", "cafe", Some("Ein [Cafe\u{301}], ein [CAFÉ]")),
            ("x", "-x", None),
        ] {
            assert_eq!(marked(text, query).as_deref(), expected, "{text}");
        }
        let long = format!("{} needle {}", "hay ".repeat(100), "hay ".repeat(100));
        let shown = marked(&long, "needle").unwrap();
        assert!(shown.starts_with('…') && shown.ends_with('…') && shown.contains("[needle]"));
        assert!(shown.len() < 220);
    }

    proptest! {
        #[test]
        fn any_text_can_be_cut(text in "\\PC{0,300}", word in "[a-zé ]{0,3}x") {
            let query = parse(&format!("\"{word}\""), 0).unwrap();
            for snippet in cuttings(&said(&text), &query, 3) {
                let plain = snippet.marked("", "");
                prop_assert!(text.contains(plain.trim_matches('…')) || plain.contains('…'));
            }
        }
    }
}
