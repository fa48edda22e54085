//! Words in a text, found without an index.
//!
//! What counts as a word, and which letters are the same, is as the index's tokenizer has it: runs
//! of letters and digits, whatever their case and their accents (FTS5, `unicode61` with
//! `remove_diacritics 2`).

use super::Words;
use std::collections::VecDeque;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Words that are to stand next to each other, ready to be looked for.
#[derive(Clone, Debug)]
pub struct Phrase {
    words: Vec<String>,
    /// Whether the last of them is only a beginning.
    is_beginning: bool,
}

impl Phrase {
    /// The words of a term.
    pub fn of(words: &Words) -> Phrase {
        let found = tokens(&words.text).map(|(start, end)| folded(&words.text[start..end]));
        Phrase { words: found.collect(), is_beginning: words.is_beginning }
    }

    /// Whether the last words of a text are these.
    fn ends(&self, window: &VecDeque<Word>) -> bool {
        let Some(skip) = window.len().checked_sub(self.words.len()) else { return false };
        let here = window.iter().skip(skip).zip(&self.words).enumerate();
        !self.words.is_empty()
            && here.into_iter().all(|(at, (word, wanted))| {
                let may_go_on = self.is_beginning && at + 1 == self.words.len();
                word.folded == *wanted || (may_go_on && word.folded.starts_with(&**wanted))
            })
    }
}

/// A word of a text.
struct Word {
    start: usize,
    folded: String,
}

/// Where phrases stand in a text: from and to, in order, without overlaps, `most` of them at most.
pub fn marks(text: &str, phrases: &[Phrase], most: usize) -> Vec<(usize, usize)> {
    let longest = phrases.iter().map(|phrase| phrase.words.len()).max().unwrap_or(0);
    let mut window: VecDeque<Word> = VecDeque::new();
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (start, end) in tokens(text) {
        window.push_back(Word { start, folded: folded(&text[start..end]) });
        if window.len() > longest {
            window.pop_front();
        }
        for phrase in phrases.iter().filter(|phrase| phrase.ends(&window)) {
            let first = window.len() - phrase.words.len();
            let first = window.get(first).map_or(start, |word| word.start);
            if found.last().is_none_or(|(_, last)| *last <= first) {
                found.push((first, end));
            }
        }
        if found.len() >= most {
            break;
        }
    }
    found
}

/// Runs of letters and digits.
fn tokens(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut chars = text.char_indices().peekable();
    std::iter::from_fn(move || {
        while chars.next_if(|(_, c)| !c.is_alphanumeric()).is_some() {}
        let (start, _) = *chars.peek()?;
        let mut end = start;
        // An accent may be a character of its own.
        while let Some((at, c)) =
            chars.next_if(|(_, c)| c.is_alphanumeric() || (!c.is_ascii() && is_combining_mark(*c)))
        {
            end = at + c.len_utf8();
        }
        Some((start, end))
    })
}

fn folded(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    word.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rusqlite::Connection;

    /// What the index finds.
    fn is_matched(connection: &Connection, text: &str, words: &Words) -> bool {
        connection.execute("DELETE FROM texts", []).unwrap();
        connection.execute("INSERT INTO texts VALUES (?1)", [text]).unwrap();
        let star = if words.is_beginning { "*" } else { "" };
        let asked = format!("\"{}\"{star}", words.text.replace('"', ""));
        let found =
            connection.prepare("SELECT 1 FROM texts WHERE texts MATCH ?1").unwrap().exists([asked]);
        found.unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        /// The index's tokenizer and ours see the same words.
        #[test]
        fn what_is_found_is_what_the_index_finds(
            parts in prop::collection::vec("[aAbé]{1,2}|e\u{301}|[ßΣσçÇøñÅ1²日本ы]{1,2}|[ .,_\\-\n'’]{1,2}|🎉|中", 1..12),
            asked in prop::collection::vec("[abeéEß1日c]{1,2}|e\u{301}|ñ", 1..3),
            is_beginning: bool,
        ) {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch("CREATE VIRTUAL TABLE texts USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2')").unwrap();
            let (text, words) = (parts.concat(), Words { text: asked.join(" "), is_beginning });
            let found = !marks(&text, &[Phrase::of(&words)], 1).is_empty();
            prop_assert_eq!(found, is_matched(&connection, &text, &words), "{:?} in {:?}", words, text);
        }
    }
}
