//! The engine and the fold: what comes out does not depend on how the text was cut.

use super::corpus::texts;
use super::harness::{run, text_pieces};
use firedoor::filter::fold::{Fold, Folded, ViewKind, Wanted};
use firedoor::filter::{
    Action, Cache, Case, Channels, Kind, OnOverflow, Passage, Pattern, Redaction, Release, Rule,
    Ruleset, Scanner, Span, Stop, compile,
};

fn rule(id: &str, pattern: Pattern, action: Action) -> Rule {
    Rule {
        id: id.to_owned(),
        about: String::new(),
        channels: Channels::NONE.with(Kind::Answer).with(Kind::User),
        pattern,
        case: Case::Any,
        action,
    }
}

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

/// Rules of every kind; `cut` if one of them ends the text.
fn rules(cut: bool) -> Ruleset {
    let hide = Action::Redact(Redaction::Marker);
    let mut rules = vec![
        rule("literal", Pattern::Literals(words(&["ignore", "previous instr", "\u{e9}t"])), hide),
        rule("words", Pattern::Words(words(&["the", "and", "key"])), hide),
        rule("regex", Pattern::Regex(r"\b[a-z]{2,8}@[a-z.]{3,20}\b".to_owned()), hide),
        rule(
            "number",
            Pattern::Regex("[0-9]{3,12}".to_owned()),
            Action::Redact(Redaction::KeepLast4),
        ),
        rule("flag", Pattern::Literals(words(&["password"])), Action::Flag),
        rule(
            "span",
            Pattern::Span(Span {
                open: "<[a-z]{1,6}".to_owned(),
                close: ">".to_owned(),
                bytes_max: 200,
                on_overflow: OnOverflow::Redact,
            }),
            hide,
        ),
    ];
    if cut {
        rules.push(rule("cut", Pattern::Literals(words(&["system prompt", "sudo"])), Action::Cut));
    }
    compile(&rules).expect("rules")
}

/// The text that leaves, where it stops, and the most memory that the state took.
fn scanned(rules: &Ruleset, kind: Kind, all: &[&str]) -> (String, Option<Stop>, usize) {
    let engine = rules.engine(kind).expect("an engine");
    let mut cache = Cache::default();
    let (mut scanner, mut out, mut text) =
        (Scanner::new(engine), Release::default(), String::new());
    let (mut heap, mut released, mut stop) = (0, 0, None);
    for piece in all {
        let progress = scanner.push(&mut cache, piece, &mut out);
        if progress.passage == Passage::Whole {
            text.push_str(piece);
        } else {
            out.write(rules, &mut text);
        }
        heap = heap.max(scanner.heap_bytes());
        assert!(progress.released >= released, "what has left is taken back");
        released = progress.released;
        if let Passage::Stopped(at) = progress.passage {
            stop = Some(at);
            return (text, stop, heap);
        }
    }
    if let Passage::Stopped(at) = scanner.finish(&mut cache, &mut out).passage {
        stop = Some(at);
    }
    out.write(rules, &mut text);
    (text, stop, heap)
}

#[test]
fn engine() {
    for (name, rules) in [("engine-hides", rules(false)), ("engine-cuts", rules(true))] {
        run(name, &texts(), |input, dice| {
            let text = String::from_utf8_lossy(input);
            for kind in [Kind::Answer, Kind::User] {
                let single: Vec<&str> = text.split_inclusive(|_| true).collect();
                let (whole, stop, _) = scanned(&rules, kind, &[&text]);
                let by_letters = scanned(&rules, kind, &single);
                assert_eq!((&whole, stop), (&by_letters.0, by_letters.1), "letter by letter");
                let by_parts = scanned(&rules, kind, &text_pieces(&text, dice));
                assert_eq!((&whole, stop), (&by_parts.0, by_parts.1), "in pieces");
                // The state holds a bounded part of the text, however long that is.
                assert!(by_letters.2 < 256 << 10, "{} bytes", by_letters.2);
            }
        });
    }
}

fn folded(all: &[&str]) -> Vec<(ViewKind, String)> {
    let (mut fold, mut out) = (Fold::new(Wanted::ALL), Folded::default());
    let mut views: Vec<(ViewKind, String)> =
        ViewKind::ALL.into_iter().map(|kind| (kind, String::new())).collect();
    let mut read = 0;
    for piece in all {
        fold.feed(piece, &mut out);
        read += piece.len() as u64;
        for (kind, text) in &mut views {
            text.push_str(out.view(*kind).added(piece));
        }
        assert_eq!(fold.raw_end(), read);
        assert!(fold.pending_from().is_none_or(|from| from <= read));
    }
    fold.finish(&mut out);
    for (kind, text) in &mut views {
        text.push_str(out.view(*kind).text());
    }
    views
}

#[test]
fn fold() {
    run("fold", &texts(), |input, dice| {
        let text = String::from_utf8_lossy(input);
        let whole = folded(&[&text]);
        let single: Vec<&str> = text.split_inclusive(|_| true).collect();
        assert_eq!(whole, folded(&single), "letter by letter");
        assert_eq!(whole, folded(&text_pieces(&text, dice)), "in pieces");
    });
}
