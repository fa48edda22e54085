//! Regular expressions as authors write them, into the form that the automata are built from.
//!
//! `\d`, `\s` and `\w` become their ASCII forms, and so does `\b`: the Unicode forms make the
//! automata several times larger, and a DFA cannot carry the Unicode `\b` at all. What the
//! tables of the fold cover (digits of other scripts, full-width letters) is folded beforehand.

use regex_syntax::ast::{
    self, Ast, ClassAscii, ClassAsciiKind, ClassBracketed, ClassPerl, ClassPerlKind, ClassSet,
    ClassSetItem, RepetitionKind, RepetitionRange,
};
use regex_syntax::hir::translate::TranslatorBuilder;
use regex_syntax::hir::{Hir, HirKind, Look, Repetition};
use std::ops::Range;

/// A parsed expression.
pub(crate) struct Parsed {
    /// What the automata are built from.
    pub hir: Hir,
    /// Its repetitions without an upper bound.
    pub unbounded: Vec<Open>,
}

/// A repetition without an upper bound.
pub(crate) struct Open {
    /// Place of the whole repetition.
    pub span: Range<usize>,
    /// Place of its operator, `*`, `+?` or `{3,}`.
    pub operator: Range<usize>,
    /// The least number of rounds.
    pub least: u32,
    /// Whether it is lazy, for the form to suggest.
    pub lazy: bool,
}

/// An expression that cannot be read: where, and why.
pub(crate) struct Unread {
    pub span: Range<usize>,
    pub what: String,
}

fn range(span: &ast::Span) -> Range<usize> {
    span.start.offset..span.end.offset
}

/// The longest expression, in bytes. What is built from it nests as deep as it is long.
pub(crate) const PATTERN_BYTES_MAX: usize = 2_048;

/// Reads an expression.
pub(crate) fn parse(pattern: &str, any_case: bool) -> Result<Parsed, Unread> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(Unread {
            span: 0..pattern.len(),
            what: format!(
                "it is longer than {PATTERN_BYTES_MAX} bytes: make several rules of it, or use `literal` or `words`"
            ),
        });
    }
    let mut tree = ast::parse::Parser::new()
        .parse(pattern)
        .map_err(|fault| Unread { span: range(fault.span()), what: fault.kind().to_string() })?;
    let mut unbounded = Vec::new();
    rewrite(&mut tree, &mut unbounded);
    let hir = TranslatorBuilder::new()
        .case_insensitive(any_case)
        .build()
        .translate(pattern, &tree)
        .map_err(|fault| Unread { span: range(fault.span()), what: fault.kind().to_string() })?;
    Ok(Parsed { hir: ascii_looks(&hir), unbounded })
}

fn ascii(class: &ClassPerl) -> ClassSetItem {
    let kind = match class.kind {
        ClassPerlKind::Digit => ClassAsciiKind::Digit,
        ClassPerlKind::Space => ClassAsciiKind::Space,
        ClassPerlKind::Word => ClassAsciiKind::Word,
    };
    ClassSetItem::Ascii(ClassAscii { span: class.span, kind, negated: class.negated })
}

fn rewrite(tree: &mut Ast, unbounded: &mut Vec<Open>) {
    match tree {
        Ast::ClassPerl(class) => {
            let kind = ClassSet::Item(ascii(class));
            *tree = Ast::class_bracketed(ClassBracketed { span: class.span, negated: false, kind });
        }
        Ast::ClassBracketed(class) => rewrite_set(&mut class.kind),
        Ast::Repetition(repetition) => {
            let least = match &repetition.op.kind {
                RepetitionKind::ZeroOrMore => Some(0),
                RepetitionKind::OneOrMore => Some(1),
                RepetitionKind::Range(RepetitionRange::AtLeast(least)) => Some(*least),
                RepetitionKind::ZeroOrOne
                | RepetitionKind::Range(
                    RepetitionRange::Exactly(_) | RepetitionRange::Bounded(..),
                ) => None,
            };
            if let Some(least) = least {
                unbounded.push(Open {
                    span: range(&repetition.span),
                    operator: range(&repetition.op.span),
                    least,
                    lazy: !repetition.greedy,
                });
            }
            rewrite(&mut repetition.ast, unbounded);
        }
        Ast::Group(group) => rewrite(&mut group.ast, unbounded),
        Ast::Alternation(alternation) => {
            alternation.asts.iter_mut().for_each(|branch| rewrite(branch, unbounded));
        }
        Ast::Concat(concat) => concat.asts.iter_mut().for_each(|part| rewrite(part, unbounded)),
        Ast::Empty(_)
        | Ast::Flags(_)
        | Ast::Literal(_)
        | Ast::Dot(_)
        | Ast::Assertion(_)
        | Ast::ClassUnicode(_) => {}
    }
}

fn rewrite_set(set: &mut ClassSet) {
    match set {
        ClassSet::Item(item) => rewrite_item(item),
        ClassSet::BinaryOp(operation) => {
            rewrite_set(&mut operation.lhs);
            rewrite_set(&mut operation.rhs);
        }
    }
}

fn rewrite_item(item: &mut ClassSetItem) {
    match item {
        ClassSetItem::Perl(class) => *item = ascii(class),
        ClassSetItem::Bracketed(class) => rewrite_set(&mut class.kind),
        ClassSetItem::Union(union) => union.items.iter_mut().for_each(rewrite_item),
        ClassSetItem::Empty(_)
        | ClassSetItem::Literal(_)
        | ClassSetItem::Range(_)
        | ClassSetItem::Ascii(_)
        | ClassSetItem::Unicode(_) => {}
    }
}

/// `\b` and its kin become their ASCII forms, and groups, which nobody asks for, go.
fn ascii_looks(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Look(look) => Hir::look(match look {
            Look::WordUnicode => Look::WordAscii,
            Look::WordUnicodeNegate => Look::WordAsciiNegate,
            Look::WordStartUnicode => Look::WordStartAscii,
            Look::WordEndUnicode => Look::WordEndAscii,
            Look::WordStartHalfUnicode => Look::WordStartHalfAscii,
            Look::WordEndHalfUnicode => Look::WordEndHalfAscii,
            other => *other,
        }),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            min: repetition.min,
            max: repetition.max,
            greedy: repetition.greedy,
            sub: Box::new(ascii_looks(&repetition.sub)),
        }),
        HirKind::Capture(capture) => ascii_looks(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(ascii_looks).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(ascii_looks).collect()),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
    }
}
