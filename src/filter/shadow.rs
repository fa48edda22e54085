//! Rules that another rule makes needless.
//!
//! Only what can be told for sure is told: one and the same pattern, and a literal that a
//! regular expression without assertions matches as a whole.

use super::complaint::{Complaint, Reason, Severity};
use super::machine::plan::Part;
use super::rule::{Case, Pattern, Rule};
use std::collections::HashMap;

/// Would `by` do everything that `rule` does, if it matched the same texts?
fn outranks(by: &Rule, rule: &Rule) -> bool {
    by.channels.covers(rule.channels)
        && by.action == rule.action
        && (by.case == rule.case || by.case == Case::Any)
}

/// Adds a warning for every shadowed rule.
pub(crate) fn find(rules: &[Rule], parts: &[Option<Part>], complaints: &mut Vec<Complaint>) {
    let mut warn = |rule: usize, text: usize, bytes: usize, by: usize| {
        complaints.push(Complaint {
            rule,
            text,
            span: 0..bytes,
            severity: Severity::Warning,
            reason: Reason::Shadowed { by },
            suggestion: None,
        });
    };
    // The same text or expression in two rules: the earlier one of equals stays.
    let mut known: HashMap<(u8, String), Vec<usize>> = HashMap::new();
    for (index, rule) in rules.iter().enumerate() {
        for (_, key, _) in keys(rule) {
            known.entry(key).or_default().push(index);
        }
    }
    for (index, rule) in rules.iter().enumerate() {
        for (text, key, bytes) in keys(rule) {
            let by = known.get(&key).into_iter().flatten().copied().find(|by| {
                let Some(other) = rules.get(*by) else { return false };
                let mutual = outranks(rule, other);
                *by != index && outranks(other, rule) && (!mutual || *by < index)
            });
            if let Some(by) = by {
                warn(index, text, bytes, by);
            }
        }
    }
    let plain: Vec<(usize, &Rule, &Part)> = rules
        .iter()
        .zip(parts)
        .enumerate()
        .filter_map(|(by, (rule, part))| part.as_ref().map(|part| (by, rule, part)))
        .filter(|(_, _, part)| part.is_plain())
        .collect();
    for (index, rule) in rules.iter().enumerate() {
        let (Pattern::Literals(texts) | Pattern::Words(texts)) = &rule.pattern else { continue };
        for (text, literal) in texts.iter().enumerate() {
            let covers = |(_, other, part): &&(usize, &Rule, &Part)| {
                outranks(other, rule) && part.matches_whole(literal)
            };
            if let Some((by, ..)) = plain.iter().find(covers) {
                warn(index, text, literal.len(), *by);
            }
        }
    }
}

/// What a rule looks for, text by text: index, a key that equal patterns share, length.
fn keys(rule: &Rule) -> Vec<(usize, (u8, String), usize)> {
    let texts = |sort: u8, texts: &[String]| {
        let key = |text: &String| match rule.case {
            Case::Exact => text.clone(),
            Case::Any => text.to_ascii_lowercase(),
        };
        texts.iter().enumerate().map(|(at, text)| (at, (sort, key(text)), text.len())).collect()
    };
    match &rule.pattern {
        Pattern::Literals(list) => texts(0, list),
        Pattern::Words(list) => texts(1, list),
        Pattern::Regex(pattern) => vec![(0, (2, pattern.clone()), pattern.len())],
        Pattern::Detect(detector) => vec![(0, (3, detector.name().to_owned()), 0)],
        Pattern::Checked { expression, by } => {
            vec![(0, (4, format!("{by:?} {expression}")), expression.len())]
        }
        Pattern::Span(_) => Vec::new(),
    }
}
