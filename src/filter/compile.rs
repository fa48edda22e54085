//! From rules to a ruleset, or everything that is wrong with them.
//!
//! Each rule is checked and built alone, so every complaint names its rule and place. What is
//! accepted here cannot misbehave later: no rule matches the empty text, none can keep text
//! waiting beyond the limit, none outgrows its memory.

use super::check::Check;
use super::complaint::{Complaint, Reason, Severity};
use super::cost::{Cost, Held, texts_held};
use super::engine::{Engine, Lane, Lanes, Ruleset};
use super::fold::Wanted;
use super::fold::fold_rule_text;
use super::kind::Kind;
use super::machine::Effect;
use super::machine::plan::{
    Bounds, Expression, Finds, Part, Refused, closing, expression, machine,
};
use super::machine::span::Mode;
use super::machine::syntax::Open;
use super::rule::{Action, Case, Limits, OnOverflow, Pattern, Rule, Span};
use super::shadow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// After more than this share of words it is a warning that something is held.
const HELD_SHARE_MAX: f64 = 0.5;
/// The bound that suggestions use.
const SUGGESTED_MAX: u32 = 200;

/// Compiles rules within the default limits.
pub fn compile(rules: &[Rule]) -> Result<Ruleset, Vec<Complaint>> {
    compile_within(rules, &Limits::default())
}

/// Compiles rules. The error lists every objection, warnings included; without errors the
/// warnings are in [`Ruleset::warnings`].
pub fn compile_within(rules: &[Rule], limits: &Limits) -> Result<Ruleset, Vec<Complaint>> {
    let mut desk = Desk { limits, complaints: Vec::new(), rule: 0 };
    let mut parts: Vec<Option<Part>> = Vec::new();
    let mut costs = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        desk.rule = index;
        let (part, cost) = desk.prepare(rule);
        parts.push(part);
        costs.push(cost);
    }
    shadow::find(rules, &parts, &mut desk.complaints);
    let mut complaints = desk.complaints;
    complaints.sort_by_key(|complaint| (complaint.rule, complaint.text));
    if complaints.iter().any(|complaint| complaint.severity == Severity::Error) {
        return Err(complaints);
    }
    let shared: Arc<[Rule]> = rules.into();
    let mut engines = Vec::new();
    let mut known: HashMap<(Vec<usize>, Option<Wanted>), Arc<Engine>> = HashMap::new();
    let mut lanes: HashMap<Vec<usize>, Arc<Lanes>> = HashMap::new();
    for kind in Kind::ALL {
        let looking = |index: &usize| rules.get(*index).is_some_and(|rule| rule.channels.has(kind));
        let subset: Vec<usize> = (0..rules.len()).filter(looking).collect();
        if subset.is_empty() {
            engines.push(None);
            continue;
        }
        let limits = &Limits { fold: views(kind, limits.fold), ..*limits };
        let key = (subset, limits.fold);
        let same = known.get(&key).map(Arc::clone);
        let Some(engine) = same.or_else(|| engine(&key.0, &mut lanes, &shared, &parts, limits))
        else {
            let rule = key.0.first().copied().unwrap_or(0);
            complaints.push(error(rule, 0, 0..0, Reason::TooLarge));
            return Err(complaints);
        };
        known.insert(key, Arc::clone(&engine));
        engines.push(Some(engine));
    }
    let parts = parts.iter().flatten();
    let expressions = parts.filter_map(Part::expression).map(Arc::clone).collect();
    Ok(Ruleset { rules: shared, engines, warnings: complaints, costs, expressions })
}

/// The views that rules over a kind of text run on.
///
/// A run of letters may be encoded text until it is seen not to be, so looking for that holds the
/// last word of a text at any moment. What a model writes is read as it is written, and does not wait
/// for that.
fn views(kind: Kind, all: Option<Wanted>) -> Option<Wanted> {
    let encoded = |wanted: Wanted| wanted.encoded && !kind.is_read_as_written();
    all.map(|wanted| Wanted { encoded: encoded(wanted), ..wanted })
}

fn engine(
    subset: &[usize],
    known: &mut HashMap<Vec<usize>, Arc<Lanes>>,
    rules: &Arc<[Rule]>,
    parts: &[Option<Part>],
    limits: &Limits,
) -> Option<Arc<Engine>> {
    let of = |index: &usize| parts.get(*index).and_then(Option::as_ref);
    let stops = subset.iter().filter_map(of).any(Part::stops);
    if let Some(lanes) = known.get(subset) {
        return Some(Engine::new(Arc::clone(lanes), Arc::clone(rules), stops, limits));
    }
    let mut list = Vec::new();
    for holds in [true, false] {
        let is_here = |index: &&usize| {
            rules.get(**index).is_some_and(|rule| (rule.action != Action::Flag) == holds)
        };
        let here = subset.iter().filter(is_here);
        let here: Vec<(u32, &Part)> =
            here.filter_map(|index| Some((*index as u32, of(index)?))).collect();
        if !here.is_empty() {
            list.push(Lane { machine: machine(&here)?, holds });
        }
    }
    let lanes = Lanes::new(list);
    known.insert(subset.to_vec(), Arc::clone(&lanes));
    Some(Engine::new(lanes, Arc::clone(rules), stops, limits))
}

/// What a match of a rule does.
pub(crate) fn effect(action: Action) -> Effect {
    match action {
        Action::Flag => Effect::Flag,
        Action::Redact(_) => Effect::Hide,
        Action::Cut | Action::Reroute => Effect::Stop,
    }
}

fn error(rule: usize, text: usize, span: Range<usize>, reason: Reason) -> Complaint {
    Complaint { rule, text, span, severity: Severity::Error, reason, suggestion: None }
}

struct Desk<'a> {
    limits: &'a Limits,
    complaints: Vec<Complaint>,
    rule: usize,
}

impl Desk<'_> {
    fn complain(&mut self, text: usize, span: Range<usize>, reason: Reason) {
        self.complaints.push(error(self.rule, text, span, reason));
    }

    fn prepare(&mut self, rule: &Rule) -> (Option<Part>, Cost) {
        if rule.channels.is_empty() {
            self.complain(0, 0..0, Reason::NoChannel);
        }
        let effect = effect(rule.action);
        let any_case = rule.case == Case::Any;
        let (part, cost) = match &rule.pattern {
            Pattern::Literals(texts) => self.texts(texts, false, any_case, effect),
            Pattern::Words(texts) => self.texts(texts, true, any_case, effect),
            Pattern::Regex(pattern) => {
                match self.expression(0, pattern, any_case, Finds::Matches) {
                    Some(expression) => {
                        let cost = Cost::of(&expression);
                        (Some(Part::Match { expression, check: None, effect }), cost)
                    }
                    None => (None, Cost::default()),
                }
            }
            Pattern::Detect(detector) => {
                self.checked(detector.candidate(), any_case, (*detector).into(), effect)
            }
            Pattern::Checked { expression, by } => {
                self.checked(expression, any_case, by.clone(), effect)
            }
            Pattern::Span(span) => self.span(span, any_case, effect),
        };
        if rule.action != Action::Flag
            && let Some(Held { share, mean_bytes }) = cost.held
            && share > HELD_SHARE_MAX
        {
            let reason = Reason::Holds { share, mean_bytes };
            let span = 0..first_text(&rule.pattern).len();
            let complaint = error(self.rule, 0, span, reason);
            self.complaints.push(Complaint { severity: Severity::Warning, ..complaint });
        }
        (part, cost)
    }

    fn texts(
        &mut self,
        texts: &[String],
        whole_word: bool,
        any_case: bool,
        effect: Effect,
    ) -> (Option<Part>, Cost) {
        if texts.is_empty() {
            self.complain(0, 0..0, Reason::Nothing);
        }
        let bytes_max = u64::from(self.limits.hold_bytes_max.min(u32::from(u16::MAX)));
        for (index, text) in texts.iter().enumerate() {
            let needs = text.len() as u64;
            if text.is_empty() {
                self.complain(index, 0..0, Reason::Empty);
            } else if needs > bytes_max {
                self.complain(index, 0..text.len(), Reason::TooLong { needs, bytes_max });
            }
        }
        let longest = texts.iter().map(String::len).max().unwrap_or(0) as u64;
        let bytes: usize = texts.iter().map(String::len).sum();
        let held = Some(texts_held(texts, whole_word, any_case));
        let cost = Cost { held, states: bytes, memory_bytes: bytes * 16, longest_bytes: longest };
        let mut list = texts.to_vec();
        if self.limits.fold.is_some() {
            let folded = texts.iter().map(|text| fold_rule_text(text));
            list.extend(folded.filter(|text| !text.is_empty() && !texts.contains(text)));
        }
        (Some(Part::Texts { texts: list, whole_word, any_case, effect }), cost)
    }

    fn span(&mut self, span: &Span, any_case: bool, effect: Effect) -> (Option<Part>, Cost) {
        let opening = self.expression(0, &span.open, any_case, Finds::Matches);
        let close = match closing(&span.close, any_case, self.limits.automaton_bytes_max) {
            Ok(close) => Some(Arc::new(close)),
            Err(refused) => {
                self.refuse(1, &span.close, refused, &|_| false);
                None
            }
        };
        let bytes_max = u64::from(span.bytes_max);
        let hold_max = u64::from(self.limits.hold_bytes_max);
        let mode = match (effect, span.on_overflow) {
            (Effect::Flag, _) | (Effect::Hide | Effect::Stop, OnOverflow::Release) => {
                Mode::Wait { closing: effect }
            }
            // Whatever comes, the text stops: it can stop at the opening.
            (Effect::Stop, OnOverflow::Block) => {
                let Some(expression) = opening else { return (None, Cost::default()) };
                let cost = Cost::of(&expression);
                let part = Part::Match { expression, check: None, effect };
                return (close.map(|_| part), cost);
            }
            (Effect::Stop, OnOverflow::Redact) => {
                Mode::Swallow { closing: Effect::Stop, overflow: Effect::Hide }
            }
            (Effect::Hide, OnOverflow::Block) => {
                Mode::Swallow { closing: Effect::Hide, overflow: Effect::Stop }
            }
            (Effect::Hide, OnOverflow::Redact) => {
                Mode::Swallow { closing: Effect::Hide, overflow: Effect::Hide }
            }
        };
        let waits = matches!(mode, Mode::Wait { .. }) && effect != Effect::Flag;
        if waits && bytes_max > hold_max {
            let reason = Reason::TooLong { needs: bytes_max, bytes_max: hold_max };
            self.complain(0, 0..span.open.len(), reason);
        }
        let (Some(opening), Some(close)) = (opening, close) else { return (None, Cost::default()) };
        let mut cost = Cost::of(&opening);
        if bytes_max < cost.longest_bytes {
            let reason = Reason::TooLong { needs: cost.longest_bytes, bytes_max };
            self.complain(0, 0..span.open.len(), reason);
        }
        cost.memory_bytes += close.memory_usage();
        if waits {
            cost.longest_bytes = bytes_max;
        }
        (Some(Part::Span { opening, close, bytes_max, mode }), cost)
    }

    /// Candidates that also pass a check.
    fn checked(
        &mut self,
        pattern: &str,
        any_case: bool,
        check: Check,
        effect: Effect,
    ) -> (Option<Part>, Cost) {
        match self.expression(0, pattern, any_case, Finds::Candidates) {
            Some(expression) => {
                let cost = Cost::of(&expression);
                let check = Some(Arc::new(check));
                (Some(Part::Match { expression, check, effect }), cost)
            }
            None => (None, Cost::default()),
        }
    }

    fn build(
        &self,
        pattern: &str,
        any_case: bool,
        finds: Finds,
    ) -> Result<Arc<Expression>, Refused> {
        let Limits { hold_bytes_max, automaton_bytes_max, .. } = *self.limits;
        let hold_bytes_max = u64::from(hold_bytes_max);
        expression(pattern, any_case, finds, Bounds { hold_bytes_max, automaton_bytes_max })
    }

    fn expression(
        &mut self,
        text: usize,
        pattern: &str,
        any_case: bool,
        finds: Finds,
    ) -> Option<Arc<Expression>> {
        match self.build(pattern, any_case, finds) {
            Ok(expression) => Some(expression),
            Err(refused) => {
                let limits = *self.limits;
                let works = move |form: &str| {
                    let desk = Desk { limits: &limits, complaints: Vec::new(), rule: 0 };
                    desk.build(form, any_case, finds).is_ok()
                };
                self.refuse(text, pattern, refused, &works);
                None
            }
        }
    }

    fn refuse(
        &mut self,
        text: usize,
        pattern: &str,
        refused: Refused,
        works: &dyn Fn(&str) -> bool,
    ) {
        let whole = 0..pattern.len();
        let bytes_max = u64::from(self.limits.hold_bytes_max);
        match refused {
            Refused::Unread(unread) => {
                self.complain(text, unread.span, Reason::Syntax(unread.what));
            }
            Refused::Empty => self.complain(text, whole, Reason::Empty),
            Refused::Never => self.complain(text, whole, Reason::Never),
            Refused::TooLarge => self.complain(text, whole, Reason::TooLarge),
            Refused::TooLong(needs) => {
                self.complain(text, whole, Reason::TooLong { needs, bytes_max });
            }
            Refused::Unbounded(open) => {
                let (span, suggestion) = bounded(pattern, &open, works);
                let complaint = error(self.rule, text, span.unwrap_or(whole), Reason::Unbounded);
                self.complaints.push(Complaint { suggestion: Some(suggestion), ..complaint });
            }
        }
    }
}

/// The repetition to blame, and the form that does.
fn bounded(
    pattern: &str,
    open: &[Open],
    works: &dyn Fn(&str) -> bool,
) -> (Option<Range<usize>>, String) {
    let with_bounds = |list: &[&Open]| {
        let mut form = pattern.to_owned();
        let mut list = list.to_vec();
        list.sort_by_key(|open| std::cmp::Reverse(open.operator.start));
        for open in list {
            let most = SUGGESTED_MAX.max(open.least);
            let lazy = if open.lazy { "?" } else { "" };
            form.replace_range(open.operator.clone(), &format!("{{{},{most}}}{lazy}", open.least));
        }
        form
    };
    for one in open {
        let form = with_bounds(&[one]);
        if works(&form) {
            return (Some(one.span.clone()), form);
        }
    }
    let form = with_bounds(&open.iter().collect::<Vec<_>>());
    let span = open.first().map(|one| one.span.clone());
    if works(&form) {
        (span, form)
    } else {
        (span, "a span with its opening, its closing and a bound".to_owned())
    }
}

fn first_text(pattern: &Pattern) -> &str {
    match pattern {
        Pattern::Literals(texts) | Pattern::Words(texts) => {
            texts.first().map_or("", String::as_str)
        }
        Pattern::Regex(pattern) => pattern,
        Pattern::Span(span) => &span.open,
        Pattern::Detect(detector) => detector.candidate(),
        Pattern::Checked { expression, .. } => expression,
    }
}
