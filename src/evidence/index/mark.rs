//! Words that were asked for, shown where they stand.

use super::super::query::{Query, Words};
use super::super::texts::Said;
use crate::filter::Kind;
use std::collections::VecDeque;

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

/// Cuttings of texts around the words of a query, at most `most`.
pub fn snippets(said: &[Said], query: &Query, most: usize) -> Vec<Snippet> {
    let wanted: Vec<Vec<String>> = query.words().map(tokens_of).collect();
    let beginnings: Vec<bool> = query.words().map(|words| words.is_beginning).collect();
    let mut found = Vec::new();
    for said in said {
        let marks = marks(&said.text, &wanted, &beginnings);
        if let Some(first) = marks.first() {
            found.push(cut(said, *first, &marks));
        }
        if found.len() == most {
            break;
        }
    }
    found
}

fn tokens_of(words: &Words) -> Vec<String> {
    tokens(&words.text).map(|(start, end)| folded(&words.text[start..end])).collect()
}

/// Runs of letters and digits.
fn tokens(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut chars = text.char_indices().peekable();
    std::iter::from_fn(move || {
        while chars.next_if(|(_, c)| !c.is_alphanumeric()).is_some() {}
        let (start, _) = *chars.peek()?;
        let mut end = start;
        while let Some((at, c)) = chars.next_if(|(_, c)| c.is_alphanumeric()) {
            end = at + c.len_utf8();
        }
        Some((start, end))
    })
}

fn folded(word: &str) -> String {
    word.to_lowercase()
}

/// Where phrases stand, in order, without overlaps.
fn marks(text: &str, wanted: &[Vec<String>], beginnings: &[bool]) -> Vec<(usize, usize)> {
    let longest = wanted.iter().map(Vec::len).max().unwrap_or(0);
    let mut window: VecDeque<(usize, usize, String)> = VecDeque::new();
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (start, end) in tokens(text) {
        window.push_back((start, end, folded(&text[start..end])));
        if window.len() > longest {
            window.pop_front();
        }
        for (phrase, is_beginning) in wanted.iter().zip(beginnings) {
            let Some(skip) = window.len().checked_sub(phrase.len()).filter(|_| !phrase.is_empty())
            else {
                continue;
            };
            let here = window.iter().skip(skip);
            let is_here = here.zip(phrase).enumerate().all(|(at, ((.., word), wanted))| {
                let may_go_on = *is_beginning && at + 1 == phrase.len();
                word == wanted || (may_go_on && word.starts_with(&**wanted))
            });
            let first = window.get(skip).map_or(start, |(first, ..)| *first);
            if is_here && found.last().is_none_or(|(_, last)| *last <= first) {
                found.push((first, end));
            }
        }
        if found.len() >= MARKS_MAX {
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
        let found = snippets(&said(text), &parse(query, 0).unwrap(), 3);
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
            for snippet in snippets(&said(&text), &query, 3) {
                let plain = snippet.marked("", "");
                prop_assert!(text.contains(plain.trim_matches('…')) || plain.contains('…'));
            }
        }
    }
}
