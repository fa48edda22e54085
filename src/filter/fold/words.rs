//! Which letters of a word pose as Latin.
//!
//! A letter of another script that looks like a Latin one is taken for it only in a word that
//! mixes scripts; a word that is wholly Cyrillic stays Cyrillic. The rule, read from left to
//! right:
//!
//! 1. After a Latin letter of the same word, a lookalike is Latin. After a letter of its word that
//!    looks like nothing Latin, it stays.
//! 2. At the begin of a word lookalikes wait for the first letter that decides: a Latin letter, or
//!    a lookalike of a third script, makes them Latin; a letter that looks like nothing Latin lets
//!    them stay; so does the end of the word if one of them was only a weak lookalike.
//! 3. A word of nothing but strong lookalikes reads either way (`а`, `ехес`). It stays if the last
//!    decided word was not Latin. Otherwise it waits for the next word that is decided, and is
//!    Latin only if that one is too, or if the channel ends after a Latin word.
//! 4. What waits is at most [`UNITS_MAX`] characters or [`WAIT_MAX`] bytes; then the last decided
//!    word decides alone.
//!
//! Digits and what folds to nothing are parts of a word that decide nothing. A combining mark is
//! stripped before its letter is judged.

use super::Stage;
use super::table::{Folds, Kind, Script};
use std::collections::VecDeque;

/// Characters that may wait to be judged.
pub(super) const UNITS_MAX: usize = 64;
/// Raw bytes that may wait to be judged.
pub(super) const WAIT_MAX: u64 = 1024;

/// A character, or an escape that stands for one, and where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit {
    pub(super) ch: char,
    pub(super) folds: Folds,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// What is known of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Word {
    #[default]
    Undecided,
    Latin,
    Other,
}

/// How the letters that wait are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Latin,
    Stay,
}

/// The words of one channel.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    /// The word that is being read.
    word: Word,
    /// The last word that was decided.
    last: Word,
    /// What waits, in order; empty, or it begins with a lookalike.
    waiting: VecDeque<Unit>,
    /// Whether a weak lookalike waits.
    weak: bool,
    /// The script of the lookalikes of the word that is being read.
    script: Option<Script>,
}

impl Words {
    /// The raw position from which characters wait.
    pub(super) fn waits_from(&self) -> Option<u64> {
        self.waiting.front().map(|unit| unit.from)
    }

    /// Takes note of a piece of ASCII text that goes past. Nothing may wait.
    pub(super) fn pass(&mut self, piece: &[u8]) {
        let decided = piece.iter().rev().find(|byte| !byte.is_ascii_digit());
        match decided {
            Some(byte) if byte.is_ascii_alphabetic() => self.word = Word::Latin,
            Some(_) => {
                self.word = Word::Undecided;
                self.script = None;
            }
            None => {}
        }
        if piece.iter().rev().any(u8::is_ascii_alphabetic) {
            self.last = Word::Latin;
        }
    }

    /// Whether a Latin letter stands before.
    pub(super) fn in_latin(&self) -> bool {
        self.word == Word::Latin
    }

    pub(super) fn take(&mut self, unit: Unit, stage: &mut Stage<'_>) {
        match unit.folds.kind {
            Kind::Mark | Kind::Invisible | Kind::Bidi | Kind::Selector | Kind::Tag => {}
            Kind::Latin => {
                self.release(Reading::Latin, stage);
                self.word = Word::Latin;
                self.last = Word::Latin;
                stage.stay(unit);
            }
            Kind::Other => {
                self.release(Reading::Stay, stage);
                self.word = Word::Other;
                self.last = Word::Other;
                stage.stay(unit);
            }
            Kind::Digit => self.wait_or_stay(unit, stage),
            Kind::Separator => {
                self.end_word(stage);
                self.wait_or_stay(unit, stage);
            }
            Kind::Strong(script) | Kind::Weak(script) => match self.word {
                Word::Latin => stage.latin(unit),
                Word::Other => stage.stay(unit),
                Word::Undecided => {
                    self.waiting.push_back(unit);
                    self.weak |= matches!(unit.folds.kind, Kind::Weak(_));
                    if self.script.is_some_and(|known| known != script) {
                        self.release(Reading::Latin, stage);
                        self.word = Word::Latin;
                        self.last = Word::Latin;
                    } else {
                        self.script = Some(script);
                        self.limit(unit.to, stage);
                    }
                }
            },
        }
    }

    /// The channel ends.
    pub(super) fn finish(&mut self, stage: &mut Stage<'_>) {
        self.end_word(stage);
        self.decide_by_last(stage);
    }

    fn wait_or_stay(&mut self, unit: Unit, stage: &mut Stage<'_>) {
        if self.waiting.is_empty() {
            stage.stay(unit);
        } else {
            self.waiting.push_back(unit);
            self.limit(unit.to, stage);
        }
    }

    fn end_word(&mut self, stage: &mut Stage<'_>) {
        if !self.waiting.is_empty() {
            if self.weak {
                self.last = Word::Other;
            }
            if self.last == Word::Other {
                self.release(Reading::Stay, stage);
            }
        }
        self.word = Word::Undecided;
        self.script = None;
    }

    fn limit(&mut self, to: u64, stage: &mut Stage<'_>) {
        let from = self.waits_from().unwrap_or(to);
        if self.waiting.len() >= UNITS_MAX || to - from >= WAIT_MAX {
            self.decide_by_last(stage);
        }
    }

    fn decide_by_last(&mut self, stage: &mut Stage<'_>) {
        let reading = if self.last == Word::Latin { Reading::Latin } else { Reading::Stay };
        self.release(reading, stage);
    }

    fn release(&mut self, reading: Reading, stage: &mut Stage<'_>) {
        while let Some(unit) = self.waiting.pop_front() {
            match (reading, unit.folds.kind) {
                (Reading::Latin, Kind::Strong(_) | Kind::Weak(_)) => stage.latin(unit),
                _ => stage.stay(unit),
            }
        }
        self.weak = false;
    }
}
