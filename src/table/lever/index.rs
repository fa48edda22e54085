//! The levers in force, compiled so that an exchange pays for none that does not concern it.
//!
//! Each lever is filed under one of its terms, the most selective one: exact names in a map for
//! each dimension; patterns that begin with a fixed text under that text, in a map for each length
//! of such a text; the few that begin with a star, and `all`, in a list. A look costs one map
//! probe for each dimension in use, whatever the number of levers; it takes no lock and allocates
//! nothing.

use super::{Act, Ceiling, Dimension, Filter, Lever, Rules, Scope, Subject};
use crate::id::LeverId;
use crate::table::{Limit, LimitMatcher, Pattern, Per, ProviderIndex, Routes, Target, Unpriced};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// FNV-1a: the keys are operators' own, few and short.
#[derive(Clone, Copy)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

type Map<V> = HashMap<Box<str>, V, BuildHasherDefault<Fnv>>;

/// Places in [`Levers::all`], ascending.
type Places = Vec<u32>;

/// The order in which terms are preferred as the one to file a lever under.
const SELECTIVE: [Dimension; 6] = [
    Dimension::Session,
    Dimension::Agent,
    Dimension::App,
    Dimension::Route,
    Dimension::Model,
    Dimension::Provider,
];

/// Levers filed under one dimension.
#[derive(Debug, Default)]
struct Shelf {
    exact: Map<Places>,
    /// By the length of the fixed text in front, ascending.
    prefixes: BTreeMap<usize, Map<Places>>,
}

/// Levers of one kind, filed.
#[derive(Debug, Default)]
struct Files {
    shelves: [Shelf; SELECTIVE.len()],
    /// Which shelves hold anything.
    used: Vec<u8>,
    /// Those that are looked at each time.
    rest: Places,
}

impl Files {
    fn is_empty(&self) -> bool {
        self.used.is_empty() && self.rest.is_empty()
    }

    fn file(&mut self, place: u32, scope: &Scope) {
        let exact = SELECTIVE.iter().enumerate().find_map(|(at, dimension)| {
            match scope.pattern(*dimension)? {
                Pattern::Exact(text) => Some((at, text.clone())),
                Pattern::Glob(_) => None,
            }
        });
        if let Some((at, text)) = exact {
            self.shelves[at].exact.entry(text).or_default().push(place);
            return self.mark(at);
        }
        let begins = SELECTIVE.iter().enumerate().find_map(|(at, dimension)| {
            match scope.pattern(*dimension)? {
                Pattern::Exact(_) => None,
                Pattern::Glob(pieces) => {
                    let first = pieces.first()?;
                    (!first.is_empty()).then(|| (at, first.clone()))
                }
            }
        });
        match begins {
            Some((at, text)) => {
                let by_text = self.shelves[at].prefixes.entry(text.len()).or_default();
                by_text.entry(text).or_default().push(place);
                self.mark(at);
            }
            None => self.rest.push(place),
        }
    }

    fn mark(&mut self, at: usize) {
        let at = at as u8;
        if !self.used.contains(&at) {
            self.used.push(at);
        }
    }

    /// Calls `hit` with every place that may concern `subject`.
    fn candidates(&self, subject: &Subject<'_>, mut hit: impl FnMut(u32)) {
        for at in &self.used {
            let at = usize::from(*at);
            let shelf = &self.shelves[at];
            for value in subject.values(SELECTIVE[at]).into_iter().flatten() {
                for place in shelf.exact.get(value).into_iter().flatten() {
                    hit(*place);
                }
                for (length, by_text) in &shelf.prefixes {
                    let Some(start) = value.get(..*length) else { continue };
                    for place in by_text.get(start).into_iter().flatten() {
                        hit(*place);
                    }
                }
            }
        }
        for place in &self.rest {
            hit(*place);
        }
    }
}

/// A reroute with its targets resolved.
#[derive(Debug)]
struct Elsewhere {
    place: u32,
    targets: Vec<Arc<Target>>,
}

/// The levers in force.
#[derive(Debug, Default)]
pub struct Levers {
    all: Vec<Arc<Lever>>,
    kills: Files,
    tools: Files,
    reroutes: Files,
    elsewhere: Vec<Elsewhere>,
    limits: Files,
    ceilings: Vec<(u32, Limit)>,
    filters: Files,
    rules: Vec<(u32, Rules)>,
    names_models: bool,
}

/// Which tools a lever kills, and why.
type KilledTool = (Pattern, Box<str>);

/// The tools that are killed for one exchange; cheap to clone, empty for most.
#[derive(Clone, Debug, Default)]
pub struct KilledTools {
    patterns: Option<Arc<[KilledTool]>>,
}

impl KilledTools {
    /// Of these patterns.
    pub fn new(patterns: Vec<KilledTool>) -> KilledTools {
        KilledTools { patterns: (!patterns.is_empty()).then(|| patterns.into()) }
    }

    /// Whether none is killed.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_none()
    }

    /// Whether every lever that kills one of these stands behind `known` too.
    pub fn are_among(&self, known: &KilledTools) -> bool {
        let levers = |tools: &KilledTools, wanted: &str| {
            tools.patterns.iter().flat_map(|all| all.iter()).any(|(_, lever)| **lever == *wanted)
        };
        self.patterns.iter().flat_map(|all| all.iter()).all(|(_, lever)| levers(known, lever))
    }

    /// The id of the lever that kills the tool of this name.
    pub fn lever(&self, name: &str) -> Option<&str> {
        let patterns = self.patterns.as_deref()?;
        let found = patterns.iter().find(|(pattern, _)| pattern.matches(name.as_bytes()));
        found.map(|(_, lever)| &**lever)
    }
}

impl Levers {
    /// Compiles `levers`, in the order of their ids, against the routes beside which they stand.
    ///
    /// A reroute to a provider that the routes do not have (any more) keeps its place in the list
    /// and sends nowhere: what it reaches is refused, as a reroute must not quietly lose its force.
    pub fn compile(levers: Vec<Arc<Lever>>, routes: &Routes) -> Levers {
        Levers::compile_after(levers, routes, &|_| None)
    }

    /// The same, where the rules of some levers are compiled already, maybe beside other routes:
    /// so a lever waits for no other one's rules.
    pub fn compile_after(
        mut levers: Vec<Arc<Lever>>,
        routes: &Routes,
        before: &dyn Fn(LeverId) -> Option<Rules>,
    ) -> Levers {
        levers.sort_by_key(|lever| lever.id);
        let mut compiled = Levers::default();
        for (place, lever) in levers.iter().enumerate() {
            let place = place as u32;
            compiled.names_models |= lever.scope.names_model();
            match &lever.act {
                Act::Kill { .. } if lever.scope.names_tool() => {
                    compiled.tools.file(place, &lever.scope);
                }
                Act::Kill { .. } => compiled.kills.file(place, &lever.scope),
                Act::Limit { ceiling } => {
                    compiled.limits.file(place, &lever.scope);
                    compiled.ceilings.push((place, limit(lever, ceiling)));
                }
                Act::Reroute { to, .. } => {
                    compiled.reroutes.file(place, &lever.scope);
                    let targets = to.iter().filter_map(|name| resolve(name, routes)).collect();
                    compiled.elsewhere.push(Elsewhere { place, targets });
                }
                Act::Filter { packs, rules } => {
                    compiled.filters.file(place, &lever.scope);
                    let before = before(lever.id);
                    let rules = Rules::again(packs, rules.as_deref(), routes, before.as_ref());
                    compiled.rules.push((place, rules.unwrap_or_default()));
                }
            }
        }
        compiled.all = levers;
        compiled
    }

    /// All of them, in the order of their ids.
    pub fn all(&self) -> &[Arc<Lever>] {
        &self.all
    }

    /// Whether none is in force.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether the lever of this id is in force.
    pub fn has(&self, id: LeverId) -> bool {
        self.all.binary_search_by_key(&id, |lever| lever.id).is_ok()
    }

    /// The rules of the filter lever of this id.
    pub fn rules(&self, id: LeverId) -> Option<&Rules> {
        let place = self.all.binary_search_by_key(&id, |lever| lever.id).ok()? as u32;
        let at = self.rules.binary_search_by_key(&place, |(of, _)| *of).ok()?;
        self.rules.get(at).map(|(_, rules)| rules)
    }

    fn first(&self, files: &Files, subject: &Subject<'_>) -> Option<u32> {
        if files.is_empty() {
            return None;
        }
        let mut first = None;
        files.candidates(subject, |place| {
            if first.is_none_or(|known| place < known)
                && self.all[place as usize].scope.covers(subject)
            {
                first = Some(place);
            }
        });
        first
    }

    /// The kill that reaches `subject`, the oldest if several do.
    #[inline]
    pub fn kill(&self, subject: &Subject<'_>) -> Option<&Arc<Lever>> {
        self.first(&self.kills, subject).map(|place| &self.all[place as usize])
    }

    /// The kill that reaches `subject` and ends exchanges under way.
    pub fn cut(&self, subject: &Subject<'_>) -> Option<&Arc<Lever>> {
        if self.kills.is_empty() {
            return None;
        }
        let mut first: Option<u32> = None;
        self.kills.candidates(subject, |place| {
            let lever = &self.all[place as usize];
            if first.is_none_or(|known| place < known)
                && lever.cuts()
                && lever.scope.covers(subject)
            {
                first = Some(place);
            }
        });
        first.map(|place| &self.all[place as usize])
    }

    /// The reroute that reaches `subject`, the newest if several do, and where it sends.
    pub fn reroute(&self, subject: &Subject<'_>) -> Option<(&Arc<Lever>, &[Arc<Target>])> {
        if self.reroutes.is_empty() {
            return None;
        }
        let mut last: Option<u32> = None;
        self.reroutes.candidates(subject, |place| {
            if last.is_none_or(|known| place > known)
                && self.all[place as usize].scope.covers(subject)
            {
                last = Some(place);
            }
        });
        let place = last?;
        let found = self.elsewhere.iter().find(|elsewhere| elsewhere.place == place)?;
        Some((&self.all[place as usize], &found.targets))
    }

    /// The limits that reach `subject`, as the routes file's own are written.
    pub fn limits(&self, subject: &Subject<'_>) -> Vec<&Limit> {
        let mut found = Vec::new();
        if !self.limits.is_empty() {
            self.limits.candidates(subject, |place| {
                if self.all[place as usize].scope.covers(subject) {
                    found.extend(
                        self.ceilings.iter().filter(|(of, _)| *of == place).map(|(_, limit)| limit),
                    );
                }
            });
        }
        found
    }

    /// Whether any speaks of models.
    pub fn names_models(&self) -> bool {
        self.names_models
    }

    /// Whether any puts rules in force.
    pub fn has_filters(&self) -> bool {
        !self.filters.is_empty()
    }

    /// Whether any limits.
    pub fn has_limits(&self) -> bool {
        !self.limits.is_empty()
    }

    /// The rules that levers put in force for `subject`, in the order of the levers.
    pub fn filters(&self, subject: &Subject<'_>) -> Vec<Filter> {
        let mut found = Vec::new();
        if !self.filters.is_empty() {
            self.filters.candidates(subject, |place| {
                let lever = &self.all[place as usize];
                if lever.scope.covers(subject) {
                    found.extend(self.rules.iter().filter(|(of, _)| *of == place).map(
                        |(_, rules)| Filter { lever: lever.id, books: rules.books().to_vec() },
                    ));
                }
            });
            found.sort_by_key(|filter| filter.lever);
        }
        found
    }

    /// The levers that reach `subject`, the oldest first, whatever they do.
    pub fn over(&self, subject: &Subject<'_>) -> Vec<LeverId> {
        let mut places = Places::new();
        for index in [&self.kills, &self.reroutes, &self.limits, &self.filters, &self.tools] {
            if !index.is_empty() {
                index.candidates(subject, |place| {
                    if self.all[place as usize].scope.covers(subject) {
                        places.push(place);
                    }
                });
            }
        }
        places.sort_unstable();
        places.dedup();
        places.iter().map(|place| self.all[*place as usize].id).collect()
    }

    /// The tools that are killed for `subject`.
    pub fn tools(&self, subject: &Subject<'_>) -> KilledTools {
        if self.tools.is_empty() {
            return KilledTools::default();
        }
        let mut places = Places::new();
        self.tools.candidates(subject, |place| {
            if self.all[place as usize].scope.covers(subject) {
                places.push(place);
            }
        });
        places.sort_unstable();
        let patterns = places.iter().filter_map(|place| {
            let lever = &self.all[*place as usize];
            Some((lever.scope.pattern(Dimension::Tool)?.clone(), lever.id.to_string().into()))
        });
        KilledTools::new(patterns.collect())
    }
}

/// A limit of one counter, named after its lever.
fn limit(lever: &Lever, ceiling: &Ceiling) -> Limit {
    Limit {
        name: lever.id.to_string().into(),
        matcher: LimitMatcher::default(),
        per: Per::All,
        caps: ceiling.known(),
        concurrent: ceiling.concurrent,
        same_call: None,
        unpriced: Unpriced::Pass,
    }
}

/// The target that `name` (`provider/model` or `provider`) means.
pub fn resolve(name: &str, routes: &Routes) -> Option<Arc<Target>> {
    let (provider, model) = match name.split_once('/') {
        Some((provider, model)) => (provider, Some(model)),
        None => (name, None),
    };
    if model == Some("") {
        return None;
    }
    let (index, _) = routes.by_provider_name.get(provider)?;
    let ProviderIndex(at) = *index;
    routes.providers.get(usize::from(at))?;
    let name_value = http::HeaderValue::from_str(name).ok()?;
    Some(Arc::new(Target {
        provider: *index,
        model: model.map(crate::id::ModelName::new),
        name: Arc::from(name),
        name_value,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::{OnKill, OnReroute};
    use super::*;
    use proptest::prelude::*;

    fn routes() -> Arc<Routes> {
        let source = crate::table::Source { file: None, text: crate::table::EMBEDDED.to_owned() };
        let prepared = crate::table::prepare(&source, &|_| Ok(None));
        Arc::clone(&prepared.table.unwrap().files)
    }

    fn lever(number: u128, scope: &str, act: Act) -> Arc<Lever> {
        Arc::new(Lever {
            id: LeverId(number),
            act,
            scope: Scope::parse(scope).unwrap(),
            reason: "r".into(),
            message: None,
            author: "a".into(),
            created_unix_ms: 0,
            ttl_ms: None,
            incident: None,
        })
    }

    fn kill() -> Act {
        Act::Kill { in_flight: OnKill::Cut }
    }

    #[test]
    fn reroutes_resolve_or_send_nowhere() {
        let to = |names: &[&str]| Act::Reroute {
            to: names.iter().map(|name| (*name).to_owned()).collect(),
            in_flight: OnReroute::Finish,
        };
        let levers = Levers::compile(
            vec![
                lever(1, "app:a", to(&["anthropic/claude-haiku-4-5", "nobody"])),
                lever(2, "app:b", to(&["nobody/x"])),
                lever(3, "app:a", to(&["gemini"])),
            ],
            &routes(),
        );
        let subject = |app| Subject { app: Some(app), ..Subject::default() };
        let (newest, targets) = levers.reroute(&subject("a")).unwrap();
        assert_eq!((newest.id.0, &*targets[0].name, targets.len()), (3, "gemini", 1));
        assert!(levers.reroute(&subject("b")).unwrap().1.is_empty());
        assert!(levers.reroute(&subject("c")).is_none());
    }

    #[test]
    fn a_killed_tool_is_a_kill_of_nothing_else() {
        let levers = Levers::compile(
            vec![lever(1, "tool:issue_*+app:a", kill()), lever(2, "tool:rm", kill())],
            &routes(),
        );
        let subject = Subject { app: Some("a"), ..Subject::default() };
        assert!(levers.kill(&subject).is_none());
        let tools = levers.tools(&subject);
        assert_eq!(tools.lever("issue_refund"), Some(&*LeverId(1).to_string()));
        assert_eq!(tools.lever("rm"), Some(&*LeverId(2).to_string()));
        assert_eq!(tools.lever("lookup"), None);
        assert_eq!(levers.tools(&Subject::default()).lever("issue_refund"), None);
    }

    fn word() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["a", "ab", "abc", "b", "*", "a*", "*b", "ab*", "é", "é*", "a*c"])
            .prop_map(str::to_owned)
    }

    fn scope_text() -> impl Strategy<Value = String> {
        let term = |name: &'static str| {
            prop::option::of(word()).prop_map(move |word| word.map(|word| format!("{name}:{word}")))
        };
        (term("provider"), term("model"), term("app"), term("agent"), term("session")).prop_map(
            |(a, b, c, d, e)| {
                let terms: Vec<String> = [a, b, c, d, e].into_iter().flatten().collect();
                if terms.is_empty() { "all".to_owned() } else { terms.join("+") }
            },
        )
    }

    proptest! {
        /// The files find what a look at every lever finds.
        #[test]
        fn filing_loses_nothing(
            scopes in prop::collection::vec(scope_text(), 0..12),
            values in prop::collection::vec(prop::option::of(prop::sample::select(vec!["a", "ab", "abc", "abcc", "b", "é", "éa", ""])), 6),
        ) {
            let levers: Vec<Arc<Lever>> =
                (1..).zip(&scopes).map(|(number, scope)| lever(number, scope, kill())).collect();
            let subject = Subject {
                provider: values[0], model: values[1], alias: values[2],
                app: values[3], agent: values[4], session: values[5], route: None,
            };
            let plainly = levers.iter().find(|lever| lever.scope.covers(&subject)).map(|l| l.id);
            let compiled = Levers::compile(levers, &routes());
            prop_assert_eq!(compiled.kill(&subject).map(|lever| lever.id), plainly);
            prop_assert_eq!(compiled.cut(&subject).map(|lever| lever.id), plainly);
        }
    }
}
