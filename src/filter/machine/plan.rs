//! From expressions to automata: what one rule needs is built once and shared by every machine
//! that the rule is part of.

use super::alive::Alive;
use super::apart::Apart;
use super::closure::{kernel, prefixes};
use super::gap::{Shape, shape};
use super::literal::{Literals, Text};
use super::regexes::{Item, Regexes, Role, Union};
use super::sieve::{Early, Sieve, early};
use super::span::{Mode, SpanRule};
use super::syntax::{Open, Unread, parse};
use super::threads::{Anchor, Tables};
use super::{Effect, Machine};
use crate::filter::check::Check;
use crate::filter::sample::{ENGLISH, hostile};
use regex_automata::dfa::{StartKind, dense, sparse};
use regex_automata::hybrid::dfa as lazy;
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::Hir;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// An expression whose lazy automaton grows by more than this on text without structure is kept
/// apart.
const GROWS_BYTES: usize = 96 << 10;
/// Matches of this many bytes are long.
const LONG_BYTES: u64 = 10;
/// The most that a lazy automaton may take in one worker.
const CACHE_BYTES: usize = 16 << 20;

/// An expression, ready to become part of a machine.
pub(crate) struct Expression {
    hir: Hir,
    pub shape: Shape,
    /// What it alone holds of plain English, once somebody asked.
    held: OnceLock<Option<(f64, f64)>>,
    /// For an expression whose states multiply on text without structure: what follows it instead
    /// of a union.
    apart: Option<Arc<Anchor>>,
    pub use_as: Use,
    pub memory_bytes: usize,
}

/// What the automaton of a single expression is for.
pub(crate) enum Use {
    /// Threads, from the first match on.
    Threads(Arc<Anchor>),
    /// Finding the starts of candidates.
    Candidates(Arc<sparse::DFA<Vec<u8>>>),
}

/// What a match of an expression is: a match, or what has to pass a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Finds {
    Matches,
    Candidates,
}

/// Bounds of an expression: what it may hold, and how large its automaton may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bounds {
    pub hold_bytes_max: u64,
    pub automaton_bytes_max: usize,
}

type Key = (String, bool, Finds, Bounds);

/// The expressions that somebody has, so that none is built twice: a rule is part of its pack
/// alone, of the packs of routes, and twice in each if its action depends on the kind of text.
/// What is made of a pattern depends on nothing else, so this changes what it costs, and no more.
static MADE: Mutex<BTreeMap<Key, Weak<Expression>>> = Mutex::new(BTreeMap::new());

/// Why an expression cannot be used.
pub(crate) enum Refused {
    Unread(Unread),
    Empty,
    Never,
    TooLarge,
    /// With its repetitions that have no upper bound.
    Unbounded(Vec<Open>),
    /// The bytes that it might hold.
    TooLong(u64),
}

/// A part of a machine, by rule.
pub(crate) enum Part {
    Texts { texts: Vec<String>, whole_word: bool, any_case: bool, effect: Effect },
    Match { expression: Arc<Expression>, check: Option<Arc<Check>>, effect: Effect },
    Span { opening: Arc<Expression>, close: Arc<dense::DFA<Vec<u32>>>, bytes_max: u64, mode: Mode },
}

fn nfa(hirs: &[&Hir], reverse: bool) -> Result<thompson::NFA, Refused> {
    thompson::Compiler::new()
        .configure(
            thompson::Config::new()
                .utf8(false)
                .reverse(reverse)
                .nfa_size_limit(Some(64 << 20))
                .which_captures(WhichCaptures::None),
        )
        .build_many_from_hir(hirs)
        .map_err(|_| Refused::TooLarge)
}

fn dense_of(
    hir: &Hir,
    kind: StartKind,
    reverse: bool,
    bytes_max: usize,
) -> Result<dense::DFA<Vec<u32>>, Refused> {
    dense::Builder::new()
        .configure(
            dense::Config::new()
                .match_kind(MatchKind::All)
                .start_kind(kind)
                .accelerate(false)
                .dfa_size_limit(Some(bytes_max))
                .determinize_size_limit(Some(bytes_max.saturating_mul(4))),
        )
        .build_from_nfa(&nfa(&[hir], reverse)?)
        .map_err(|_| Refused::TooLarge)
}

fn lazy_of(hirs: &[&Hir], reverse: bool) -> Result<lazy::DFA, Refused> {
    lazy::Builder::new()
        .configure(
            lazy::Config::new()
                .match_kind(MatchKind::All)
                .cache_capacity(CACHE_BYTES)
                .skip_cache_capacity_check(true),
        )
        .build_from_nfa(nfa(hirs, reverse)?)
        .map_err(|_| Refused::TooLarge)
}

/// Reads an expression and builds its own automaton, unless there is one.
pub(crate) fn expression(
    pattern: &str,
    any_case: bool,
    finds: Finds,
    bounds: Bounds,
) -> Result<Arc<Expression>, Refused> {
    let key = (pattern.to_owned(), any_case, finds, bounds);
    let made = || MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = made().get(&key).and_then(Weak::upgrade) {
        return Ok(known);
    }
    let one = Arc::new(build(pattern, any_case, finds, bounds)?);
    let mut made = made();
    made.retain(|_, known| known.strong_count() > 0);
    made.insert(key, Arc::downgrade(&one));
    Ok(one)
}

fn build(
    pattern: &str,
    any_case: bool,
    finds: Finds,
    bounds: Bounds,
) -> Result<Expression, Refused> {
    let parsed = parse(pattern, any_case).map_err(Refused::Unread)?;
    let hir = parsed.hir;
    if hir.properties().minimum_len() == Some(0) {
        return Err(Refused::Empty);
    }
    let dfa = dense_of(&hir, StartKind::Anchored, false, bounds.automaton_bytes_max)?;
    let shape = shape(&dfa);
    if !shape.matches {
        return Err(Refused::Never);
    }
    // A candidate that failed may pass once it is longer, so it counts as undecided to its end.
    let waits = match finds {
        Finds::Candidates => shape.longest,
        Finds::Matches => shape.gap,
    };
    let Some(waits) = waits else { return Err(Refused::Unbounded(parsed.unbounded)) };
    if waits > bounds.hold_bytes_max {
        return Err(Refused::TooLong(waits));
    }
    let grows = grows(&hir)?;
    let tables = if grows {
        Tables::Dense(dfa)
    } else {
        Tables::Sparse(dfa.to_sparse().map_err(|_| Refused::TooLarge)?)
    };
    let anchor = Arc::new(Anchor::new(tables, &shape).ok_or(Refused::TooLarge)?);
    let mut memory_bytes = 0;
    let use_as = match finds {
        Finds::Candidates => {
            let most = bounds.automaton_bytes_max;
            let reversed = dense_of(&hir, StartKind::Anchored, true, most)?;
            let reversed = reversed.to_sparse().map_err(|_| Refused::TooLarge)?;
            memory_bytes += reversed.memory_usage();
            Use::Candidates(Arc::new(reversed))
        }
        Finds::Matches => Use::Threads(Arc::clone(&anchor)),
    };
    if grows || finds == Finds::Matches {
        memory_bytes += anchor.memory_bytes();
    }
    let apart = grows.then_some(anchor);
    // What it was walked for is known.
    let shape = Shape { walk: Vec::new(), ..shape };
    Ok(Expression { hir, shape, held: OnceLock::new(), apart, use_as, memory_bytes })
}

/// Builds the automaton of a closing.
pub(crate) fn closing(
    pattern: &str,
    any_case: bool,
    automaton_bytes_max: usize,
) -> Result<dense::DFA<Vec<u32>>, Refused> {
    let hir = parse(pattern, any_case).map_err(Refused::Unread)?.hir;
    if hir.properties().minimum_len() == Some(0) {
        return Err(Refused::Empty);
    }
    if hir.properties().minimum_len().is_none() {
        return Err(Refused::Never);
    }
    dense_of(&hir, StartKind::Unanchored, false, automaton_bytes_max)
}

/// Do the states of the expression multiply on text without structure?
fn grows(hir: &Hir) -> Result<bool, Refused> {
    let dfa = lazy_of(&[hir], false)?;
    let mut cache = dfa.create_cache();
    let empty = cache.memory_usage();
    let config = start::Config::new().anchored(Anchored::No);
    let mut state = dfa.start_state(&mut cache, &config).map_err(|_| Refused::TooLarge)?;
    for byte in hostile() {
        state = dfa.next_state(&mut cache, state, byte).map_err(|_| Refused::TooLarge)?;
    }
    Ok(cache.memory_usage() - empty > GROWS_BYTES)
}

impl Expression {
    /// Bytes of its shortest match.
    fn bytes_min(&self) -> u64 {
        self.hir.properties().minimum_len().unwrap_or(0) as u64
    }

    /// What of its matches decides what is alive.
    fn decides(&self) -> Hir {
        match self.use_as {
            Use::Threads(_) => kernel(&self.hir),
            Use::Candidates(_) => self.hir.clone(),
        }
    }

    /// What the expression alone holds of plain English: the share of words after which
    /// something is held, and the mean bytes held after a word.
    pub(crate) fn held(&self) -> Option<(f64, f64)> {
        *self.held.get_or_init(|| self.hold_english())
    }

    fn hold_english(&self) -> Option<(f64, f64)> {
        let closure = lazy_of(&[&prefixes(&self.decides())], true).ok()?;
        let mut cache = closure.create_cache();
        let config = start::Config::new().anchored(Anchored::Yes);
        let text = ENGLISH.as_bytes();
        let (mut words, mut held, mut bytes) = (0_u32, 0_u32, 0_u64);
        for end in (0..text.len()).filter(|end| text.get(*end) == Some(&b' ')) {
            let mut state = closure.start_state(&mut cache, &config).ok()?;
            let mut alive = end;
            for (back, byte) in text.get(..end)?.iter().rev().enumerate() {
                state = closure.next_state(&mut cache, state, *byte).ok()?;
                if state.is_match() {
                    alive = end - back;
                } else if state.is_dead() {
                    break;
                }
            }
            words += 1;
            held += u32::from(alive < end);
            bytes += (end - alive) as u64;
        }
        let words = f64::from(words.max(1));
        Some((f64::from(held) / words, bytes as f64 / words))
    }
}

/// Builds a machine of parts, each with its rule.
pub(crate) fn machine(parts: &[(u32, &Part)]) -> Option<Machine> {
    let mut literals = Vec::new();
    for case in [false, true] {
        let mut list = Vec::new();
        for (rule, part) in parts {
            if let Part::Texts { texts, whole_word, any_case, effect } = part
                && *any_case == case
            {
                let (rule, whole_word, effect) = (*rule, *whole_word, *effect);
                list.extend(texts.iter().map(|spelling| Text {
                    rule,
                    spelling,
                    whole_word,
                    effect,
                }));
            }
        }
        if !list.is_empty() {
            literals.push(Literals::new(&list, case)?);
        }
    }
    let mut expressions: Vec<(Item, &Expression)> = Vec::new();
    let mut spans = Vec::new();
    for (rule, part) in parts {
        let (expression, role) = match part {
            Part::Texts { .. } => continue,
            Part::Match { expression, check, effect } => (
                expression,
                match (&expression.use_as, check) {
                    (Use::Threads(anchor), _) => {
                        Role::Match { effect: *effect, anchor: anchor.clone() }
                    }
                    (Use::Candidates(reversed), Some(check)) => Role::Candidate {
                        effect: *effect,
                        check: Arc::clone(check),
                        reversed: reversed.clone(),
                    },
                    (Use::Candidates(_), None) => continue,
                },
            ),
            Part::Span { opening, close, bytes_max, mode } => {
                let Use::Threads(anchor) = &opening.use_as else { continue };
                let span = spans.len() as u32;
                let (close, mode) = (close.clone(), *mode);
                spans.push(SpanRule { rule: *rule, close, bytes_max: *bytes_max, mode });
                (opening, Role::Open { span, anchor: anchor.clone() })
            }
        };
        expressions.push((Item { rule: *rule, role }, expression));
    }
    let regexes = if expressions.is_empty() { None } else { Some(regexes(&expressions, spans)?) };
    Some(Machine { literals, regexes })
}

fn regexes(expressions: &[(Item, &Expression)], spans: Vec<SpanRule>) -> Option<Regexes> {
    // Short matches together, so that the automaton of the long ones is seldom run.
    let mut groups: [Vec<u32>; 2] = [Vec::new(), Vec::new()];
    let mut apart = Vec::new();
    for (index, (_, expression)) in expressions.iter().enumerate() {
        let (item, bytes_min) = (index as u32, expression.bytes_min());
        match &expression.apart {
            Some(anchor) => {
                apart.push(Apart::new(item, Arc::clone(anchor), &expression.hir));
            }
            None => groups.get_mut(usize::from(bytes_min >= LONG_BYTES))?.push(item),
        }
    }
    let mut unions = Vec::new();
    for items in groups.into_iter().filter(|group| !group.is_empty()) {
        let hirs: Vec<&Hir> = items
            .iter()
            .filter_map(|item| expressions.get(*item as usize))
            .map(|(_, expression)| &expression.hir)
            .collect();
        let members = items.iter().filter_map(|item| expressions.get(*item as usize));
        let bytes_min = members.map(|(_, expression)| expression.bytes_min()).min().unwrap_or(0);
        unions.push(Union { dfa: lazy_of(&hirs, false).ok()?, items, bytes_min });
    }
    let together = unions.iter().map(|union| union.bytes_min);
    let bytes_min =
        together.chain(apart.iter().map(|apart| apart.runs.bytes_min)).min().unwrap_or(0);
    let window = expressions
        .iter()
        .filter_map(|(_, expression)| match expression.use_as {
            Use::Threads(_) => expression.shape.gap,
            Use::Candidates(..) => expression.shape.longest,
        })
        .max()
        .unwrap_or(0);
    let items = expressions.iter().map(|(item, _)| item.clone()).collect();
    // A character more on each side: what an assertion there looks at.
    let window = window + 8;
    let words: Vec<Hir> = expressions.iter().map(|(_, expression)| expression.decides()).collect();
    let begins = words.iter().map(prefixes).collect();
    let closure = lazy_of(&[&Hir::alternation(begins)], true).ok()?;
    let cut: Vec<Early> = words.iter().map(early).collect();
    let begun = cut.iter().flat_map(|cut| cut.texts.clone()).collect();
    let hirs = unions.iter().flat_map(|union| &union.items);
    let hirs = hirs.filter_map(|item| expressions.get(*item as usize));
    let sieve = Sieve::new(&hirs.map(|(_, expression)| &expression.hir).collect::<Vec<_>>(), begun);
    let begins = cut.iter().map(|cut| prefixes(&cut.hir)).collect();
    let early = lazy_of(&[&Hir::alternation(begins)], true).ok()?;
    let begun = lazy_of(&[&Hir::alternation(words)], false).ok()?;
    let alive = Alive { closure, early, begun, window };
    Some(Regexes { items, spans, unions, apart, bytes_min, alive, sieve })
}

impl Part {
    /// The expression that it was built of.
    pub(crate) fn expression(&self) -> Option<&Arc<Expression>> {
        match self {
            Self::Texts { .. } => None,
            Self::Match { expression, .. } => Some(expression),
            Self::Span { opening, .. } => Some(opening),
        }
    }

    /// Can it stop a text?
    pub(crate) fn stops(&self) -> bool {
        match self {
            Self::Texts { effect, .. } | Self::Match { effect, .. } => *effect == Effect::Stop,
            Self::Span { mode: Mode::Swallow { closing, overflow }, .. } => {
                [*closing, *overflow].contains(&Effect::Stop)
            }
            Self::Span { mode: Mode::Wait { closing }, .. } => *closing == Effect::Stop,
        }
    }

    /// Is it an expression whose matches depend on nothing around them?
    pub(crate) fn is_plain(&self) -> bool {
        match self {
            Self::Match { expression, .. } => {
                matches!(expression.use_as, Use::Threads(_))
                    && expression.hir.properties().look_set().is_empty()
            }
            Self::Texts { .. } | Self::Span { .. } => false,
        }
    }

    /// Does it match all of `text`?
    pub(crate) fn matches_whole(&self, text: &str) -> bool {
        let Self::Match { expression, .. } = self else { return false };
        let Use::Threads(anchor) = &expression.use_as else { return false };
        anchor.matches_whole(text)
    }
}
