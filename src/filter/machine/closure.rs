//! Rewrites of a language: all prefixes of its words, only its shortest words, what all have.
//!
//! Run backwards from the end of the text, the prefix closure of all rules answers how far back
//! something is still alive. A rule whose match was confirmed is followed by its threads from
//! then on, so the closure needs only the words that no other word begins: the *kernel*. Without
//! that, the closure of `sk-[a-z]{20,}` would run back over the whole of a long token at every
//! delta.

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// A language between the shortest words of `hir` and `hir` itself: every word of `hir` begins
/// with a word of the result, and every word of the result is one of `hir`.
pub(crate) fn kernel(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            let Some(before) = repetition.min.checked_sub(1) else { return Hir::empty() };
            let rounds = Repetition {
                min: before,
                max: Some(before),
                greedy: repetition.greedy,
                sub: repetition.sub.clone(),
            };
            Hir::concat(vec![Hir::repetition(rounds), kernel(&repetition.sub)])
        }
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(kernel).collect()),
        HirKind::Concat(parts) => {
            let mut parts = parts.as_slice();
            // An assertion at the end decides about what stands before it, so it ends the trimming.
            while let Some((last, before)) = parts.split_last() {
                if !last.properties().look_set().is_empty() {
                    return Hir::concat(parts.to_vec());
                }
                if last.properties().minimum_len() != Some(0) {
                    let mut kept = before.to_vec();
                    kept.push(kernel(last));
                    return Hir::concat(kept);
                }
                parts = before;
            }
            Hir::empty()
        }
        HirKind::Capture(capture) => kernel(&capture.sub),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir.clone(),
    }
}

/// The language of every prefix, the empty one included, of a word of `hir`.
///
/// Assertions that a prefix stops *before* are left out: they may still come true. Those that it
/// has walked *past* stay, and the text decides them.
pub(crate) fn prefixes(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Hir::empty(),
        HirKind::Literal(literal) => {
            // From the inside out: (a(b(c)?)?)?
            let step =
                |inner, byte: &u8| optional(Hir::concat(vec![Hir::literal(vec![*byte]), inner]));
            literal.0.iter().rev().fold(Hir::empty(), step)
        }
        HirKind::Class(_) => optional(hir.clone()),
        HirKind::Capture(capture) => prefixes(&capture.sub),
        HirKind::Repetition(repetition) => {
            if repetition.max == Some(0) {
                return Hir::empty();
            }
            let rounds = Repetition {
                min: 0,
                max: repetition.max.map(|most| most - 1),
                greedy: true,
                sub: repetition.sub.clone(),
            };
            Hir::concat(vec![Hir::repetition(rounds), prefixes(&repetition.sub)])
        }
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(prefixes).collect()),
        HirKind::Concat(parts) => {
            let step = |inner: Option<Hir>, part: &Hir| {
                Some(match inner {
                    None => prefixes(part),
                    Some(inner) => Hir::alternation(vec![
                        prefixes(part),
                        Hir::concat(vec![part.clone(), inner]),
                    ]),
                })
            };
            parts.iter().rev().fold(None, step).unwrap_or_else(Hir::empty)
        }
    }
}

fn optional(sub: Hir) -> Hir {
    Hir::repetition(Repetition { min: 0, max: Some(1), greedy: true, sub: Box::new(sub) })
}

/// A byte that every word of `hir` has, if there is one that plain text seldom has.
pub(crate) fn needed_byte(hir: &Hir) -> Option<u8> {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.iter().copied().find(u8::is_ascii_punctuation),
        HirKind::Concat(parts) => parts.iter().find_map(needed_byte),
        HirKind::Repetition(repetition) if repetition.min > 0 => needed_byte(&repetition.sub),
        HirKind::Capture(capture) => needed_byte(&capture.sub),
        HirKind::Alternation(parts) => {
            let mut bytes = parts.iter().map(needed_byte);
            let first = bytes.next().flatten();
            if bytes.all(|byte| byte == first) { first } else { None }
        }
        HirKind::Repetition(_) | HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) => None,
    }
}

/// Marks every byte that words of `hir` are made of; more than that where characters are not ASCII.
pub(crate) fn bytes_of(hir: &Hir, found: &mut [bool; 256]) {
    let mut mark = |first: u8, last: u8| {
        found
            .iter_mut()
            .take(usize::from(last) + 1)
            .skip(usize::from(first))
            .for_each(|has| *has = true);
    };
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => literal.0.iter().for_each(|byte| mark(*byte, *byte)),
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().iter().for_each(|range| mark(range.start(), range.end()));
        }
        HirKind::Class(Class::Unicode(class)) => {
            for range in class.ranges() {
                let ascii = |letter: char| u8::try_from(letter).ok().filter(u8::is_ascii);
                if let Some(first) = ascii(range.start()) {
                    mark(first, ascii(range.end()).unwrap_or(0x7F));
                }
                if !range.end().is_ascii() {
                    mark(0x80, 0xFF);
                }
            }
        }
        HirKind::Repetition(repetition) => bytes_of(&repetition.sub, found),
        HirKind::Capture(capture) => bytes_of(&capture.sub, found),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            for part in parts {
                bytes_of(part, found);
            }
        }
    }
}
