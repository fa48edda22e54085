//! The slow truth, straight from the definitions: every start and end of every match, one by
//! one, and from them what is released after every character.

use crate::filter::machine::literal::is_letter;
use crate::filter::{Action, Case, Check, Finding, OnOverflow, Pattern, Rule, Span};
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::util::start;
use regex_automata::{Anchored, Input, MatchKind};
use std::fmt::Write;

#[derive(Clone, Copy, PartialEq)]
enum Does {
    Flag,
    Hide,
    Stop,
}

#[derive(Clone, Copy)]
struct Match {
    rule: usize,
    start: usize,
    end: usize,
    at: usize,
    does: Does,
    overflow: bool,
}

/// A stretch that is hidden as it grows, `start..min(end, t)`, from `at` on.
struct Growing {
    of: Match,
}

/// A start that is undecided from `from` up to, not including, `until`.
struct Waits {
    start: usize,
    from: usize,
    until: usize,
}

type Dfa = dense::DFA<Vec<u32>>;

pub(super) struct Expected {
    pub text: String,
    pub stop: Option<(u32, u64)>,
    /// `R` at every position that is a border between characters, up to a stop.
    pub released: Vec<u64>,
    pub findings: Vec<Finding>,
}

struct Truth<'a> {
    text: &'a str,
    rules: &'a [Rule],
    matches: Vec<Match>,
    growing: Vec<Growing>,
    waits: Vec<Waits>,
    /// Automata whose live prefixes hold, and literals with whether they are words.
    live: Vec<Dfa>,
    texts: Vec<(String, bool, Case)>,
}

/// The engine's classes are those of ASCII; here the pattern says so itself.
pub(super) fn ascii(pattern: &str, case: Case) -> String {
    let any = if case == Case::Any { "(?i)" } else { "" };
    let pattern = pattern
        .replace(r"\b", r"(?-u:\b)")
        .replace(r"\d", "[0-9]")
        .replace(r"\w", "[0-9A-Za-z_]")
        .replace(r"\s", "[ \\t\\n]");
    format!("{any}{pattern}")
}

fn same(one: &str, other: &str, case: Case) -> bool {
    if case == Case::Any { one.eq_ignore_ascii_case(other) } else { one == other }
}

impl Truth<'_> {
    fn borders(&self) -> Vec<usize> {
        (0..=self.text.len()).filter(|at| self.text.is_char_boundary(*at)).collect()
    }

    /// Where a match that ends at `end` is confirmed, if the next character decides.
    fn confirmed(&self, end: usize) -> usize {
        let next = self.text[end..].chars().next();
        next.map_or(self.text.len() + 1, |letter| end + letter.len_utf8())
    }

    fn all(&self, pattern: &str, case: Case) -> Vec<(usize, usize)> {
        let machine = PikeVM::builder()
            .configure(PikeVM::config().match_kind(MatchKind::All))
            .build(&ascii(pattern, case))
            .unwrap();
        let mut cache = machine.create_cache();
        let borders = self.borders();
        let mut found = Vec::new();
        for start in &borders {
            for end in borders.iter().filter(|end| *end > start) {
                let input = Input::new(self.text).range(*start..*end).anchored(Anchored::Yes);
                let hit = machine.find(&mut cache, input);
                if hit.is_some_and(|hit| hit.end() == *end) {
                    found.push((*start, *end));
                }
            }
        }
        found
    }

    fn automaton(pattern: &str, case: Case) -> Dfa {
        let config =
            dense::Config::new().match_kind(MatchKind::All).start_kind(StartKind::Anchored);
        dense::Builder::new().configure(config).build(&ascii(pattern, case)).unwrap()
    }

    fn word_at(&self, start: usize, word: &str) -> bool {
        let before = self.text[..start].chars().next_back();
        !word.chars().next().is_some_and(is_letter) || !before.is_some_and(is_letter)
    }

    fn add(&mut self, index: usize, rule: &Rule) {
        let does = match rule.action {
            Action::Flag => Does::Flag,
            Action::Redact(_) => Does::Hide,
            Action::Cut | Action::Reroute => Does::Stop,
        };
        let holds = does != Does::Flag;
        let of = Match { rule: index, start: 0, end: 0, at: 0, does, overflow: false };
        match &rule.pattern {
            Pattern::Literals(texts) | Pattern::Words(texts) => {
                let words = matches!(rule.pattern, Pattern::Words(_));
                for literal in texts {
                    for start in self.borders() {
                        let end = start + literal.len();
                        let Some(text) = self.text.get(start..end) else { continue };
                        if !same(text, literal, rule.case)
                            || (words && !self.word_at(start, literal))
                        {
                            continue;
                        }
                        let open = words && literal.chars().next_back().is_some_and(is_letter);
                        let next = self.text[end..].chars().next();
                        if open && next.is_some_and(is_letter) {
                            continue;
                        }
                        let at = if open { self.confirmed(end) } else { end };
                        self.matches.push(Match { start, end, at, ..of });
                    }
                    if holds {
                        self.texts.push((literal.clone(), words, rule.case));
                    }
                }
            }
            Pattern::Regex(pattern) => {
                for (start, end) in self.all(pattern, rule.case) {
                    let at = self.confirmed(end);
                    self.matches.push(Match { start, end, at, ..of });
                }
                if holds {
                    self.live.push(Self::automaton(pattern, rule.case));
                }
            }
            Pattern::Detect(detector) => {
                self.checked(of, detector.candidate(), &(*detector).into(), rule.case, holds);
            }
            Pattern::Checked { expression, by } => {
                self.checked(of, expression, by, rule.case, holds);
            }
            Pattern::Span(span) => {
                self.span(of, span, rule.case);
                if holds {
                    self.live.push(Self::automaton(&span.open, rule.case));
                }
            }
        }
    }

    /// Every candidate that passes, and what may still become one.
    fn checked(&mut self, of: Match, expression: &str, check: &Check, case: Case, holds: bool) {
        for (start, end) in self.all(expression, case) {
            if check.passes(&self.text[start..end]) {
                let at = self.confirmed(end);
                self.matches.push(Match { start, end, at, ..of });
            }
        }
        if holds {
            self.live.push(Self::automaton(expression, case));
        }
    }

    fn span(&mut self, of: Match, span: &Span, case: Case) {
        let length = self.text.len();
        let most = span.bytes_max as usize;
        let opens = self.all(&span.open, case);
        let closes = self.all(&span.close, case);
        for end in self.borders() {
            let start = opens.iter().filter(|open| open.1 == end).map(|open| open.0).min();
            let Some(start) = start.filter(|start| end - start < most) else { continue };
            let at = self.confirmed(end);
            let does = of.does;
            if (does, span.on_overflow) == (Does::Stop, OnOverflow::Block) {
                self.matches.push(Match { start, end, at, ..of });
                continue;
            }
            let bound = start + most;
            let close = closes.iter().filter(|close| close.0 >= end).map(|close| close.1).min();
            let close = close.filter(|close| *close <= bound);
            let over = close.is_none() && bound < length;
            let floor =
                (0..=bound.min(length)).rev().find(|at| self.text.is_char_boundary(*at)).unwrap();
            let stretch_end = close.unwrap_or(floor);
            let settled = match close {
                Some(close) => self.confirmed(close),
                None if over => {
                    (bound + 1..=length).find(|at| self.text.is_char_boundary(*at)).unwrap()
                }
                None => length + 1,
            };
            let whole =
                Match { start, end: stretch_end, at: settled, overflow: close.is_none(), ..of };
            if does == Does::Flag || span.on_overflow == OnOverflow::Release {
                if close.is_some() {
                    self.matches.push(whole);
                } else if over {
                    self.matches.push(Match { does: Does::Flag, ..whole });
                }
                if does != Does::Flag {
                    self.waits.push(Waits { start, from: at, until: settled });
                }
                continue;
            }
            self.growing.push(Growing { of: Match { does: Does::Hide, at, ..whole } });
            let stops = match (close.is_some(), span.on_overflow) {
                (true, _) => does == Does::Stop,
                (false, OnOverflow::Block) => over,
                (false, OnOverflow::Redact | OnOverflow::Release) => false,
            };
            if stops {
                self.matches.push(Match { does: Does::Stop, ..whole });
            }
        }
    }

    /// The earliest start that may still become a match.
    fn live(&self, t: usize) -> usize {
        let mut best = t;
        for (text, word, case) in &self.texts {
            for start in self.borders().into_iter().filter(|start| *start < t) {
                let begun = &self.text[start..t];
                let prefix =
                    text.get(..begun.len()).is_some_and(|prefix| same(prefix, begun, *case));
                if prefix && (!word || self.word_at(start, text)) {
                    best = best.min(start);
                }
            }
        }
        for dfa in &self.live {
            for start in 0..t.min(best) {
                let behind = start.checked_sub(1).map(|at| self.text.as_bytes()[at]);
                let config = start::Config::new().anchored(Anchored::Yes).look_behind(behind);
                let mut state = dfa.start_state(&config).unwrap();
                for byte in &self.text.as_bytes()[start..t] {
                    state = dfa.next_state(state, *byte);
                }
                let goes_on = (0..=255).any(|byte| !dfa.is_dead_state(dfa.next_state(state, byte)));
                if goes_on || !dfa.is_dead_state(dfa.next_eoi_state(state)) {
                    best = best.min(start);
                    break;
                }
            }
        }
        for wait in &self.waits {
            if wait.from <= t && t < wait.until {
                best = best.min(wait.start);
            }
        }
        best
    }

    /// What is hidden by what was confirmed at `c`.
    fn hidden(&self, c: usize) -> Vec<bool> {
        let mut mask = vec![false; self.text.len()];
        for found in self.hiding(c) {
            mask[found.start..found.end].fill(true);
        }
        mask
    }

    fn hiding(&self, c: usize) -> Vec<Match> {
        let plain = self.matches.iter().filter(|m| m.does == Does::Hide && m.at <= c).copied();
        let growing = self.growing.iter().filter(|grow| grow.of.at <= c).map(|grow| {
            let end = grow.of.end.min(c).min(self.text.len());
            Match { end, ..grow.of }
        });
        plain.chain(growing).filter(|found| found.start < found.end).collect()
    }
}

fn settle(mut from: usize, upto: usize, mask: &[bool]) -> usize {
    while from < upto && mask[from] {
        from += 1;
    }
    from
}

pub(super) fn oracle(rules: &[Rule], text: &str) -> Expected {
    let (matches, growing, waits, live, texts) = (vec![], vec![], vec![], vec![], vec![]);
    let mut truth = Truth { text, rules, matches, growing, waits, live, texts };
    for (index, rule) in rules.iter().enumerate() {
        truth.add(index, rule);
    }
    let length = text.len();
    let stops = || truth.matches.iter().filter(|found| found.does == Does::Stop);
    let at = stops().map(|found| found.at).min();
    let released = (0..=length)
        .map(|t| {
            if !text.is_char_boundary(t) || at.is_some_and(|at| t > at) {
                return 0;
            }
            settle(truth.live(t), t, &truth.hidden(t)) as u64
        })
        .collect();
    let (upto, last, stop) = match at {
        None => (length, length + 1, None),
        Some(at) => {
            let here = || stops().filter(|found| found.at == at);
            let start = here().map(|found| found.start).min().unwrap();
            let rule = here().map(|found| found.rule).min().unwrap();
            let (end, live) = if at > length { (length, length) } else { (at, truth.live(at)) };
            let upto = settle(start.min(live), end, &truth.hidden(at));
            (upto, at, Some((rule as u32, at as u64)))
        }
    };
    let hiding = truth.hiding(last);
    let mask = truth.hidden(last);
    let mut out = String::new();
    for (place, letter) in text.char_indices().filter(|(place, _)| *place < upto) {
        if !mask[place] {
            out.push(letter);
        } else if place == 0 || !mask[place - 1] {
            let first = hiding.iter().filter(|found| found.start == place);
            let rule = first.map(|found| found.rule).min().unwrap();
            let _ = write!(out, "[{rule}]");
        }
    }
    Expected { text: out, stop, released, findings: findings(&truth, last) }
}

fn findings(truth: &Truth<'_>, last: usize) -> Vec<Finding> {
    let mut all: Vec<Match> =
        truth.matches.iter().filter(|found| found.at <= last).copied().collect();
    for grow in truth.growing.iter().filter(|grow| grow.of.at <= last) {
        let end = grow.of.end.min(last).min(truth.text.len());
        let ended = grow.of.end <= last;
        // An overflow is seen by the character after it.
        let seen = grow.of.end == truth.text.len()
            || truth.text[grow.of.end..]
                .chars()
                .next()
                .is_some_and(|letter| grow.of.end + letter.len_utf8() <= last);
        all.push(Match {
            end,
            overflow: grow.of.overflow
                && ended
                && seen
                && (last > truth.text.len() || grow.of.end < truth.text.len()),
            ..grow.of
        });
    }
    let mut found = Vec::new();
    for rule in 0..truth.rules.len() {
        let mut mine: Vec<&Match> = all.iter().filter(|found| found.rule == rule).collect();
        mine.sort_by_key(|found| (found.start, found.end));
        let mut runs: Vec<Finding> = Vec::new();
        for next in mine {
            let (start, end, at) = (next.start as u64, next.end as u64, next.at as u64);
            match runs.last_mut().filter(|run| start <= run.end) {
                Some(run) => {
                    run.end = run.end.max(end);
                    run.at = run.at.min(at);
                    run.overflow |= next.overflow;
                }
                None => runs.push(Finding {
                    start,
                    end,
                    rule: rule as u32,
                    at,
                    overflow: next.overflow,
                }),
            }
        }
        found.extend(runs);
    }
    found.sort_unstable();
    found
}
