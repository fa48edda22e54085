//! What a rule costs: bytes it holds of plain English, states, memory.

use super::machine::literal::is_letter;
use super::machine::plan::Expression;
use super::sample::ENGLISH;
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// What a rule costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// What it alone holds of plain English.
    pub held: Option<Held>,
    /// States of its own automaton.
    pub states: usize,
    /// Memory of its own automaton, in bytes.
    pub memory_bytes: usize,
    /// The most bytes that it can hold.
    pub longest_bytes: u64,
}

/// What is held after a word of plain English.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Held {
    /// Share of words after which something is held, 0 to 1.
    pub share: f64,
    /// Mean bytes held after a word.
    pub mean_bytes: f64,
}

impl Cost {
    pub(crate) fn of(expression: &Expression) -> Self {
        let held = expression.held().map(|(share, mean_bytes)| Held { share, mean_bytes });
        Self {
            held,
            states: expression.shape.states,
            memory_bytes: expression.memory_bytes,
            longest_bytes: expression.shape.gap.or(expression.shape.longest).unwrap_or(0),
        }
    }
}

/// Ends of the sample's text before each space, with how often each occurs: anywhere, and from a
/// word's start.
#[derive(Default)]
struct Ends {
    words: u32,
    any: HashMap<&'static str, u32>,
    whole: HashMap<&'static str, u32>,
}

const END_BYTES_MAX: usize = 16;

fn ends() -> &'static Ends {
    static ENDS: OnceLock<Ends> = OnceLock::new();
    ENDS.get_or_init(|| {
        let mut ends = Ends::default();
        for (end, _) in ENGLISH.match_indices(' ') {
            ends.words += 1;
            for start in end.saturating_sub(END_BYTES_MAX)..end {
                let Some(text) = ENGLISH.get(start..end) else { continue };
                *ends.any.entry(text).or_default() += 1;
                let before = ENGLISH.get(..start).and_then(|text| text.chars().next_back());
                let first = text.chars().next();
                if before.is_some_and(is_letter) != first.is_some_and(is_letter) {
                    *ends.whole.entry(text).or_default() += 1;
                }
            }
        }
        ends
    })
}

/// Above this share of words an estimate is not good enough.
const EXACT_ABOVE: f64 = 0.1;

/// What literals or words hold of the sample. Where that is little, it is an estimate from above: two
/// beginnings that end at one place count twice.
pub(crate) fn texts_held(texts: &[String], whole_word: bool, any_case: bool) -> Held {
    let ends = ends();
    let table = if whole_word { &ends.whole } else { &ends.any };
    let begun: HashSet<&str> = texts.iter().flat_map(|text| beginnings(text)).collect();
    let (mut held, mut bytes) = (0_u64, 0_u64);
    for begun in begun {
        let mut count = table.get(begun).copied().unwrap_or(0);
        let lower = begun.to_ascii_lowercase();
        if any_case && lower != begun {
            count += table.get(lower.as_str()).copied().unwrap_or(0);
        }
        held += u64::from(count);
        bytes += u64::from(count) * begun.len() as u64;
    }
    let words = f64::from(ends.words.max(1));
    let share = held as f64 / words;
    if share > EXACT_ABOVE {
        return exactly_held(texts, whole_word, any_case);
    }
    Held { share, mean_bytes: bytes as f64 / words }
}

fn beginnings(text: &str) -> impl Iterator<Item = &str> {
    (1..=text.len().min(END_BYTES_MAX)).filter_map(|length| text.get(..length))
}

/// The same, looked for at every word: the longest beginning that ends there.
fn exactly_held(texts: &[String], whole_word: bool, any_case: bool) -> Held {
    let fold = |text: &str| if any_case { text.to_ascii_lowercase() } else { text.to_owned() };
    let begun: HashSet<String> = texts.iter().flat_map(|text| beginnings(text)).map(fold).collect();
    let (mut words, mut held, mut bytes) = (0_u32, 0_u32, 0_u64);
    for (end, _) in ENGLISH.match_indices(' ') {
        words += 1;
        let longest = (end.saturating_sub(END_BYTES_MAX)..end).find(|start| {
            let text = ENGLISH.get(*start..end);
            let before = ENGLISH.get(..*start).and_then(|text| text.chars().next_back());
            text.is_some_and(|text| {
                let is_edge =
                    || before.is_some_and(is_letter) != text.chars().next().is_some_and(is_letter);
                (!whole_word || is_edge()) && begun.contains(&fold(text))
            })
        });
        if let Some(start) = longest {
            held += 1;
            bytes += (end - start) as u64;
        }
    }
    let words = f64::from(words.max(1));
    Held { share: f64::from(held) / words, mean_bytes: bytes as f64 / words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_texts_that_begin_alike_hold_what_one_of_them_holds() {
        let one = texts_held(&["exact".to_owned()], false, true);
        let many: Vec<String> = (0..40).map(|number| format!("e{number}")).collect();
        let many = texts_held(&many, false, true);
        assert!(one.share > EXACT_ABOVE && one.share < 0.5, "{one:?}");
        assert!((many.share - one.share).abs() < 0.05, "{one:?} {many:?}");
        let letters: Vec<String> = ('a'..='z').map(String::from).collect();
        let all = texts_held(&letters, false, true);
        assert!(all.share <= 1.0 && all.mean_bytes <= 1.0, "{all:?}");
    }
}
