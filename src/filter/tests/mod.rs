//! The engine against its definitions.

mod compiling;
mod folded;
mod long;
mod oracle;
mod properties;
mod tables;

use super::{
    Action, Cache, Case, Channels, Finding, Kind, Limits, Passage, Pattern, Redaction, Release,
    Rule, Ruleset, Scanner, Shows, compile_within,
};
use std::fmt::Write;

/// Without the fold, so that the definitions can be told in a few lines.
const RAW: Limits = Limits {
    hold_bytes_max: 4096,
    automaton_bytes_max: 8 << 20,
    digest_key: Some(*b"the key of tests"),
    fold: None,
};

/// Everything that came out of a scanner.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sent {
    /// Text, with `[rule]` where it was hidden.
    text: String,
    /// The same with what the markers show.
    shown: String,
    findings: Vec<Finding>,
    /// Rule and position.
    stop: Option<(u32, u64)>,
    /// Bytes fed and bytes released after every piece but those at or after a stop.
    trace: Vec<(usize, u64)>,
    held_bytes_max: u64,
    whole: usize,
}

impl Sent {
    fn take(&mut self, passage: Passage, piece: &str, out: &Release) {
        self.findings.extend(&out.findings);
        match passage {
            Passage::Whole => {
                assert!(out.is_empty(), "a piece that passes whole comes with parts");
                self.text.push_str(piece);
                self.shown.push_str(piece);
                self.whole += 1;
                return;
            }
            Passage::Parts => {}
            Passage::Stopped(stop) => self.stop = Some((stop.rule, stop.at)),
            Passage::Unjudged => panic!("not judged"),
        }
        let mut from = 0;
        for hidden in &out.hidden {
            let text = &out.text[from..hidden.offset];
            let _ = write!(self.text, "{text}[{}]", hidden.rule);
            let shows = match &hidden.shows {
                Shows::Nothing => String::new(),
                Shows::Digest(digest) => format!("{digest:x}"),
                Shows::Last(letters) => letters.iter().collect(),
            };
            let _ = write!(
                self.shown,
                "{text}[{}@{}-{}:{shows}]",
                hidden.rule, hidden.start, hidden.end
            );
            from = hidden.offset;
        }
        self.text.push_str(&out.text[from..]);
        self.shown.push_str(&out.text[from..]);
    }
}

fn drive(rules: &Ruleset, cache: &mut Cache, pieces: &[&str]) -> Sent {
    drive_kind(rules, Kind::User, cache, pieces)
}

fn drive_kind(rules: &Ruleset, kind: Kind, cache: &mut Cache, pieces: &[&str]) -> Sent {
    let Some(engine) = rules.engine(kind) else { panic!("no engine") };
    let mut scanner = Scanner::new(engine);
    let (mut sent, mut out) = (Sent::default(), Release::default());
    let mut fed = 0;
    for piece in pieces {
        fed += piece.len();
        let progress = scanner.push(cache, piece, &mut out);
        let stopped = sent.stop.is_some();
        sent.take(progress.passage, piece, &out);
        assert!(!stopped || out.is_empty(), "text after a stop");
        if sent.stop.is_none() {
            sent.trace.push((fed, progress.released));
            sent.held_bytes_max = sent.held_bytes_max.max(progress.held_bytes);
        }
    }
    let progress = scanner.finish(cache, &mut out);
    sent.take(progress.passage, "", &out);
    sent.findings.sort_unstable();
    sent
}

fn rule(pattern: Pattern, action: Action) -> Rule {
    Rule {
        id: "r".into(),
        about: String::new(),
        channels: Channels::ALL,
        pattern,
        case: Case::Exact,
        action,
    }
}

fn redact(pattern: Pattern) -> Rule {
    rule(pattern, Action::Redact(Redaction::Marker))
}

fn regex(pattern: &str) -> Pattern {
    Pattern::Regex(pattern.into())
}

fn compiled(rules: &[Rule]) -> Ruleset {
    match compile_within(rules, &RAW) {
        Ok(rules) => rules,
        Err(complaints) => panic!("{complaints:?}"),
    }
}

fn chars(text: &str) -> Vec<&str> {
    text.char_indices().map(|(at, letter)| &text[at..at + letter.len_utf8()]).collect()
}

/// Cuts at the given places, as far as they are between characters. Repeated cuts make empty
/// pieces, which are legal too.
fn split<'a>(text: &'a str, cuts: &[usize]) -> Vec<&'a str> {
    let places = cuts.iter().map(|cut| cut % (text.len() + 1));
    let mut borders: Vec<usize> = places.filter(|at| text.is_char_boundary(*at)).collect();
    borders.extend([0, text.len()]);
    borders.sort_unstable();
    borders.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}
