//! What a rule costs: bytes it holds of plain English, states, memory.

use super::machine::literal::is_letter;
use super::machine::plan::Expression;
use super::sample::ENGLISH;
use std::collections::HashMap;
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

/// What literals or words hold of the sample. An estimate: two beginnings of one text that end
/// at one place count twice, which only a text that repeats itself has.
pub(crate) fn texts_held(texts: &[String], whole_word: bool, any_case: bool) -> Held {
    let ends = ends();
    let table = if whole_word { &ends.whole } else { &ends.any };
    let (mut held, mut bytes) = (0_u64, 0_u64);
    for text in texts {
        for length in 1..=text.len().min(END_BYTES_MAX) {
            let Some(begun) = text.get(..length) else { continue };
            let mut count = table.get(begun).copied().unwrap_or(0);
            let lower = begun.to_ascii_lowercase();
            if any_case && lower != begun {
                count += table.get(lower.as_str()).copied().unwrap_or(0);
            }
            held += u64::from(count);
            bytes += u64::from(count) * length as u64;
        }
    }
    let words = f64::from(ends.words.max(1));
    Held { share: (held as f64 / words).min(1.0), mean_bytes: bytes as f64 / words }
}
