//! Expressions cut behind the text by which a sieve sees that a match has begun.

use super::needles::NEEDLE;
use super::words::{exactly, joined, least};
use regex_syntax::hir::{Hir, HirKind};

/// What of an expression says early that a match has begun.
pub(in super::super) struct Early {
    /// Its words, cut behind a rare text where they have one.
    pub hir: Hir,
    /// Those texts: what is longer than the words above has one of them.
    pub texts: Vec<Vec<u8>>,
}

/// Cuts an expression behind the first rare text that all of its words have.
pub(in super::super) fn early(hir: &Hir) -> Early {
    let whole = || Early { hir: hir.clone(), texts: Vec::new() };
    match hir.kind() {
        HirKind::Capture(capture) => early(&capture.sub),
        HirKind::Alternation(parts) => {
            let parts: Vec<Early> = parts.iter().map(early).collect();
            let texts = parts.iter().flat_map(|part| part.texts.clone()).collect();
            Early { hir: Hir::alternation(parts.into_iter().map(|part| part.hir).collect()), texts }
        }
        HirKind::Concat(parts) => {
            let mut run = vec![Vec::new()];
            for (at, part) in parts.iter().enumerate() {
                let texts = exactly(part);
                let longer = texts.as_ref().and_then(|texts| joined(&run, texts));
                if longer.is_none() && least(&run) >= NEEDLE.start {
                    let before = parts.iter().take(at).cloned().collect();
                    return Early { hir: Hir::concat(before), texts: run };
                }
                run = longer.or(texts).unwrap_or_else(|| vec![Vec::new()]);
            }
            whole()
        }
        HirKind::Empty
        | HirKind::Look(_)
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Repetition(_) => whole(),
    }
}
