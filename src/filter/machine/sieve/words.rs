//! Texts of which every match of an expression has one, read off the expression.

use super::needles::{NEEDLE, ODD_CASE, loosely, often};
use regex_syntax::hir::{Class, Hir, HirKind};

/// The most texts that are tried for a part of an expression.
const TEXTS_MAX: usize = 512;

/// Texts of which every match has one: those that plain English has least.
pub(super) fn needed(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut sets = Vec::new();
    collect(hir, &mut sets);
    let how_often =
        |set: &Vec<Vec<u8>>| set.iter().map(|text| often(text)).fold(0, u32::saturating_add);
    let short = |set: &Vec<Vec<u8>>| NEEDLE.end.saturating_sub(least(set));
    sets.into_iter().min_by_key(|set| (how_often(set), short(set), set.len()))
}

/// Adds sets of texts, of each of which every match has one.
fn collect(hir: &Hir, sets: &mut Vec<Vec<Vec<u8>>>) {
    let mut add = |set: Vec<Vec<u8>>| {
        if least(&set) >= NEEDLE.start {
            sets.push(set);
        }
    };
    if let Some(texts) = exactly(hir) {
        add(texts);
        return;
    }
    match hir.kind() {
        HirKind::Capture(capture) => collect(&capture.sub, sets),
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            if let Some(least) = times(&repetition.sub, repetition.min) {
                add(least);
            }
            collect(&repetition.sub, sets);
        }
        HirKind::Alternation(parts) => {
            let each: Option<Vec<_>> = parts.iter().map(needed).collect();
            if let Some(each) = each {
                add(each.concat());
            }
        }
        HirKind::Concat(parts) => {
            let mut run = vec![Vec::new()];
            let mut inside = Vec::new();
            for part in parts {
                let texts = exactly(part);
                let longer = texts.as_ref().and_then(|texts| joined(&run, texts));
                if let Some(longer) = longer {
                    run = longer;
                    continue;
                }
                add(std::mem::replace(&mut run, texts.unwrap_or_else(|| vec![Vec::new()])));
                inside.push(part);
            }
            add(run);
            for part in inside {
                collect(part, sets);
            }
        }
        HirKind::Empty
        | HirKind::Look(_)
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Repetition(_) => {}
    }
}

/// All words of `hir`, without their case, if they are few.
pub(super) fn exactly(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut texts = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![Vec::new()],
        HirKind::Literal(literal) => vec![literal.0.to_vec()],
        HirKind::Class(Class::Bytes(class)) => {
            let all = class.ranges().iter().flat_map(|range| range.start()..=range.end());
            all.take(TEXTS_MAX + 1).map(|byte| vec![byte]).collect()
        }
        HirKind::Class(Class::Unicode(class)) => {
            let all = class.ranges().iter().flat_map(|range| range.start()..=range.end());
            let all = all.filter(|letter| !ODD_CASE.contains(letter));
            all.take(TEXTS_MAX + 1).map(|letter| letter.to_string().into_bytes()).collect()
        }
        HirKind::Capture(capture) => exactly(&capture.sub)?,
        HirKind::Repetition(repetition) if (repetition.min, repetition.max) == (0, Some(1)) => {
            [vec![Vec::new()], exactly(&repetition.sub)?].concat()
        }
        HirKind::Repetition(repetition) => {
            let number = repetition.max.filter(|most| *most == repetition.min)?;
            times(&repetition.sub, number)?
        }
        HirKind::Alternation(parts) => {
            let each: Option<Vec<_>> = parts.iter().map(exactly).collect();
            each?.concat()
        }
        HirKind::Concat(parts) => {
            parts.iter().try_fold(vec![Vec::new()], |run, part| joined(&run, &exactly(part)?))?
        }
    };
    texts.iter_mut().flatten().for_each(|byte| *byte = loosely(*byte));
    texts.sort_unstable();
    texts.dedup();
    (texts.len() <= TEXTS_MAX).then_some(texts)
}

/// All words of `hir` so many times over, if they are few and that is not often.
fn times(hir: &Hir, number: u32) -> Option<Vec<Vec<u8>>> {
    let once = exactly(hir).filter(|_| number < 8)?;
    (0..number).try_fold(vec![Vec::new()], |run, _| joined(&run, &once))
}

/// Each of some texts before each of others, if that are not too many.
pub(super) fn joined(before: &[Vec<u8>], behind: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if before.len() * behind.len() > TEXTS_MAX {
        return None;
    }
    let pairs =
        before.iter().flat_map(|one| behind.iter().map(move |other| [&**one, other].concat()));
    Some(pairs.collect())
}

/// The length of the shortest.
pub(super) fn least(texts: &[Vec<u8>]) -> usize {
    texts.iter().map(Vec::len).min().unwrap_or(0)
}
