//! Literals and words: one Aho-Corasick automaton, and the depth of each of its states.
//!
//! The depth of a state is the length of the longest end of the text that begins a pattern, so
//! it is exactly what must be held. Words need to know where letters begin and end: the walker
//! feeds a *border* symbol, a byte that no UTF-8 text has, wherever a letter stands beside
//! something else. A pattern is written with the borders between its own characters, a word
//! also with those at its ends. So `cat` as a word is not even begun in `concat`, and holds
//! nothing there. The last border of a word is seen with the character after it.

use super::{Effect, Hay, Hit};
use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::{contiguous, noncontiguous};
use aho_corasick::{Anchored, MatchKind, dfa};

/// A byte that never occurs in UTF-8.
const BORDER: u8 = 0xFF;
/// A DFA answers 1.5 times as fast as the NFA and takes ten times its memory: for more than some
/// thousand texts it leaves the cache of a core, and the lead with it.
const DENSE_BYTES_MAX: usize = 1 << 14;

/// One text to look for.
pub(crate) struct Text<'a> {
    pub rule: u32,
    pub spelling: &'a str,
    pub whole_word: bool,
    pub effect: Effect,
}

struct Entry {
    rule: u32,
    bytes: u64,
    effect: Effect,
}

enum Tables {
    Dense(dfa::DFA),
    Sparse(contiguous::NFA),
}

/// The automaton of all texts of one case rule.
pub(crate) struct Literals {
    tables: Tables,
    /// Bytes of text by state, at `id >> shift`.
    depth: Vec<u16>,
    shift: u32,
    entries: Vec<Entry>,
    start: StateID,
    borders: bool,
}

/// Where the walk through the text stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    state: StateID,
    in_word: bool,
}

/// Is it a letter that a neighbour could belong to? Scripts without spaces between words have
/// none: every character of theirs may begin and end a word.
pub(crate) fn is_letter(letter: char) -> bool {
    let unspaced = matches!(letter as u32,
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF);
    (letter.is_alphanumeric() || letter == '_') && !unspaced
}

/// The pattern as the automaton reads it: borders between its characters, and at its ends where
/// asked for. Each byte comes with whether it is a byte of the text.
fn spelled(text: &str, whole_word: bool, borders: bool) -> Vec<u8> {
    if !borders {
        return text.as_bytes().to_vec();
    }
    let mut spelled = Vec::with_capacity(text.len() + 4);
    let mut before = None;
    let mut buffer = [0; 4];
    for letter in text.chars() {
        let inside = is_letter(letter);
        let border = before.map_or(whole_word && inside, |before| before != inside);
        if border {
            spelled.push(BORDER);
        }
        spelled.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
        before = Some(inside);
    }
    if whole_word && before == Some(true) {
        spelled.push(BORDER);
    }
    spelled
}

impl Literals {
    /// Builds the automaton; `None` if it would be too large to address.
    pub(crate) fn new(texts: &[Text<'_>], any_case: bool) -> Option<Self> {
        let borders = texts.iter().any(|text| text.whole_word);
        let spelled: Vec<Vec<u8>> =
            texts.iter().map(|text| spelled(text.spelling, text.whole_word, borders)).collect();
        let plan = noncontiguous::Builder::new()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(any_case)
            // Of no use on deltas of four bytes.
            .prefilter(false)
            .build(&spelled)
            .ok()?;
        let bytes: usize = spelled.iter().map(Vec::len).sum();
        let tables = if bytes <= DENSE_BYTES_MAX {
            Tables::Dense(
                dfa::Builder::new()
                    .start_kind(aho_corasick::StartKind::Unanchored)
                    .build_from_noncontiguous(&plan)
                    .ok()?,
            )
        } else {
            Tables::Sparse(contiguous::Builder::new().build_from_noncontiguous(&plan).ok()?)
        };
        let (start, seen) = match &tables {
            Tables::Dense(tables) => depths(tables, &spelled)?,
            Tables::Sparse(tables) => depths(tables, &spelled)?,
        };
        // Identifiers are multiples of a power of two in some of the tables.
        let shift = seen.iter().fold(0, |all, node| all | node.0).trailing_zeros().min(16);
        let most = seen.iter().map(|node| node.0 >> shift).max()?;
        let mut depth = vec![0; most + 1];
        for (id, bytes) in seen {
            if let Some(slot) = depth.get_mut(id >> shift) {
                *slot = bytes;
            }
        }
        let entry = |text: &Text<'_>| Entry {
            rule: text.rule,
            bytes: text.spelling.len() as u64,
            effect: text.effect,
        };
        let entries = texts.iter().map(entry).collect();
        Some(Self { tables, depth, shift, entries, start, borders })
    }

    /// The start of a text.
    pub(crate) fn start(&self) -> At {
        At { state: self.start, in_word: false }
    }

    /// Walks on over `piece`, which begins at `from`, and reports what ends in it.
    pub(crate) fn walk(&self, at: At, piece: &[u8], from: u64, hits: &mut Vec<Hit>) -> At {
        match (&self.tables, self.borders) {
            (Tables::Dense(tables), false) => self.walk_plain(tables, at, piece, from, hits),
            (Tables::Sparse(tables), false) => self.walk_plain(tables, at, piece, from, hits),
            (Tables::Dense(tables), true) => self.walk_borders(tables, at, piece, from, hits),
            (Tables::Sparse(tables), true) => self.walk_borders(tables, at, piece, from, hits),
        }
    }

    /// Reports what the end of the text, at `end`, confirms.
    pub(crate) fn finish(&self, at: At, end: u64, hits: &mut Vec<Hit>) {
        if !(self.borders && at.in_word) {
            return;
        }
        match &self.tables {
            Tables::Dense(tables) => {
                let state = tables.next_state(Anchored::No, at.state, BORDER);
                self.report(tables, state, end, end + 1, hits);
            }
            Tables::Sparse(tables) => {
                let state = tables.next_state(Anchored::No, at.state, BORDER);
                self.report(tables, state, end, end + 1, hits);
            }
        }
    }

    /// Bytes at the end of the text that may still become a match.
    #[inline]
    pub(crate) fn live_bytes(&self, at: At) -> u64 {
        self.depth.get(at.state.as_usize() >> self.shift).map_or(0, |bytes| u64::from(*bytes))
    }

    /// Memory of the tables, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let tables = match &self.tables {
            Tables::Dense(tables) => tables.memory_usage(),
            Tables::Sparse(tables) => tables.memory_usage(),
        };
        tables + self.depth.len() * 2 + self.entries.len() * size_of::<Entry>()
    }

    #[inline]
    fn walk_plain<A: Automaton>(
        &self,
        tables: &A,
        at: At,
        piece: &[u8],
        from: u64,
        hits: &mut Vec<Hit>,
    ) -> At {
        let mut state = at.state;
        for (place, byte) in piece.iter().enumerate() {
            state = tables.next_state(Anchored::No, state, *byte);
            if tables.is_special(state) && tables.is_match(state) {
                let end = from + place as u64 + 1;
                self.report(tables, state, end, end, hits);
            }
        }
        At { state, in_word: false }
    }

    #[inline]
    fn walk_borders<A: Automaton>(
        &self,
        tables: &A,
        at: At,
        piece: &[u8],
        from: u64,
        hits: &mut Vec<Hit>,
    ) -> At {
        let At { mut state, mut in_word } = at;
        let mut place = 0;
        while let Some(byte) = piece.get(place) {
            let (inside, bytes) = if byte.is_ascii() {
                (byte.is_ascii_alphanumeric() || *byte == b'_', 1)
            } else {
                let letter = Hay::char_at(piece, place);
                (is_letter(letter), letter.len_utf8())
            };
            let upto = (place + bytes).min(piece.len());
            if inside != in_word {
                state = tables.next_state(Anchored::No, state, BORDER);
                in_word = inside;
                if tables.is_special(state) && tables.is_match(state) {
                    self.report(tables, state, from + place as u64, from + upto as u64, hits);
                }
            }
            for byte in piece.get(place..upto).unwrap_or_default() {
                state = tables.next_state(Anchored::No, state, *byte);
            }
            if tables.is_special(state) && tables.is_match(state) {
                let end = from + upto as u64;
                self.report(tables, state, end, end, hits);
            }
            place = upto;
        }
        At { state, in_word }
    }

    #[cold]
    fn report<A: Automaton>(
        &self,
        tables: &A,
        state: StateID,
        end: u64,
        at: u64,
        hits: &mut Vec<Hit>,
    ) {
        if !tables.is_match(state) {
            return;
        }
        for index in 0..tables.match_len(state) {
            let found = self.entries.get(tables.match_pattern(state, index).as_usize());
            if let Some(entry) = found {
                let start = end.saturating_sub(entry.bytes);
                hits.push(Hit {
                    rule: entry.rule,
                    start,
                    end,
                    at,
                    effect: entry.effect,
                    overflow: false,
                });
            }
        }
    }
}

/// The start state, and the depth of every state in bytes of text.
///
/// Walking a pattern from the start visits exactly its own nodes, and every node lies on the walk
/// of some pattern, so this fills the table.
fn depths<A: Automaton>(tables: &A, spelled: &[Vec<u8>]) -> Option<(StateID, Vec<(usize, u16)>)> {
    let start = tables.start_state(Anchored::No).ok()?;
    let mut seen = vec![(start.as_usize(), 0)];
    for text in spelled {
        let mut state = start;
        let mut bytes = 0_u16;
        for byte in text {
            state = tables.next_state(Anchored::No, state, *byte);
            bytes = bytes.checked_add(u16::from(*byte != BORDER))?;
            seen.push((state.as_usize(), bytes));
        }
    }
    Some((start, seen))
}
