//! What a lever reaches: a conjunction of named patterns, or everything.
//!
//! The text form is the only form: files, the API, commands, the audit and records all write
//! `provider:openai`, `model:gpt-4*+app:helpdesk`, `all`. A `+` separates only where a known
//! dimension and a colon follow, so that names may hold a plus; the first colon ends the
//! dimension, so that names may hold colons (`model:anthropic.claude-v2:1`).
//!
//! What always holds: a scope has at least one term or is `all`; no dimension stands twice; a
//! narrower scope matches a subset of what a wider one matches.

use crate::table::Pattern;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The longest pattern of a term, in bytes.
pub const PATTERN_BYTES_MAX: usize = 200;

/// The grammar, for whoever got it wrong.
pub const GRAMMAR: &str = "a scope is `all`, or terms joined by `+`, each \
`provider:`, `model:`, `route:`, `app:`, `agent:`, `tool:` or `session:` and a name in which `*` \
stands for any run of characters; examples: `provider:openai`, `model:gpt-4*+app:helpdesk`, \
`tool:issue_refund`";

/// What a term speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// A provider row.
    Provider,
    /// A model, as the target serves it; an alias, as the caller asks for it.
    Model,
    /// A route.
    Route,
    /// An authenticated app.
    App,
    /// A declared agent.
    Agent,
    /// A tool that a model may call.
    Tool,
    /// A declared or inferred session.
    Session,
}

impl Dimension {
    /// Every dimension, in the order in which scopes are written.
    pub const ALL: [Dimension; 7] = [
        Dimension::Provider,
        Dimension::Model,
        Dimension::Route,
        Dimension::App,
        Dimension::Agent,
        Dimension::Tool,
        Dimension::Session,
    ];

    /// The word in front of the colon.
    pub fn name(self) -> &'static str {
        match self {
            Dimension::Provider => "provider",
            Dimension::Model => "model",
            Dimension::Route => "route",
            Dimension::App => "app",
            Dimension::Agent => "agent",
            Dimension::Tool => "tool",
            Dimension::Session => "session",
        }
    }

    fn parse(name: &str) -> Option<Dimension> {
        Dimension::ALL.into_iter().find(|dimension| dimension.name() == name)
    }
}

/// One term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What it speaks of.
    pub dimension: Dimension,
    /// Which of them.
    pub pattern: Pattern,
}

/// What a lever reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Sorted by dimension; empty for `all`.
    terms: Box<[Term]>,
}

/// Why a text is no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeError {
    what: String,
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {GRAMMAR}", self.what)
    }
}

impl std::error::Error for ScopeError {}

/// What scopes are matched against: what is known of an exchange and of the target that serves it.
/// `None` matches no term of that dimension.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'s> {
    /// The provider that is asked.
    pub provider: Option<&'s str>,
    /// The model that the provider is asked for.
    pub model: Option<&'s str>,
    /// The model's name as the caller asked for it, where that is an alias.
    pub alias: Option<&'s str>,
    /// The route.
    pub route: Option<&'s str>,
    /// The authenticated app.
    pub app: Option<&'s str>,
    /// The declared agent.
    pub agent: Option<&'s str>,
    /// The session.
    pub session: Option<&'s str>,
}

impl<'s> Subject<'s> {
    /// What is known in a dimension; tools are matched one by one, not here.
    pub fn values(&self, dimension: Dimension) -> [Option<&'s str>; 2] {
        match dimension {
            Dimension::Provider => [self.provider, None],
            Dimension::Model => [self.model, self.alias],
            Dimension::Route => [self.route, None],
            Dimension::App => [self.app, None],
            Dimension::Agent => [self.agent, None],
            Dimension::Tool => [None, None],
            Dimension::Session => [self.session, None],
        }
    }
}

impl Scope {
    /// Reads the text form.
    ///
    /// # Errors
    /// Says what is wrong, and the grammar.
    pub fn parse(text: &str) -> Result<Scope, ScopeError> {
        let fail = |what: String| Err(ScopeError { what });
        let text = text.trim();
        if text == "all" {
            return Ok(Scope { terms: Box::default() });
        }
        let mut terms: Vec<Term> = Vec::new();
        for piece in pieces(text) {
            let Some((name, pattern)) = piece.split_once(':') else {
                return fail(format!("`{}` is no term", shown(piece)));
            };
            let Some(dimension) = Dimension::parse(name) else {
                return fail(format!("there is no dimension `{}`", shown(name)));
            };
            if pattern.is_empty() {
                return fail(format!("`{name}:` names nothing"));
            }
            if pattern.len() > PATTERN_BYTES_MAX {
                return fail(format!(
                    "the name behind `{name}:` is over {PATTERN_BYTES_MAX} bytes"
                ));
            }
            if pattern.chars().any(char::is_control) {
                return fail(format!("the name behind `{name}:` holds control characters"));
            }
            if terms.iter().any(|term| term.dimension == dimension) {
                return fail(format!("`{name}:` stands twice"));
            }
            terms.push(Term { dimension, pattern: read_pattern(pattern) });
        }
        if terms.is_empty() {
            return fail("the scope is empty".to_owned());
        }
        terms.sort_by_key(|term| term.dimension);
        Ok(Scope { terms: terms.into() })
    }

    /// Of exactly these names, which nobody reads as patterns: others chose them.
    ///
    /// `None` if a name cannot stand in a scope, or there is none.
    pub fn exactly(names: &[(Dimension, &str)]) -> Option<Scope> {
        let mut terms: Vec<Term> = Vec::new();
        for (dimension, name) in names {
            let is_bad = name.is_empty()
                || name.len() > PATTERN_BYTES_MAX
                || name.chars().any(char::is_control)
                || terms.iter().any(|term| term.dimension == *dimension);
            if is_bad {
                return None;
            }
            terms.push(Term { dimension: *dimension, pattern: Pattern::Exact((*name).into()) });
        }
        terms.sort_by_key(|term| term.dimension);
        (!terms.is_empty()).then(|| Scope { terms: terms.into() })
    }

    /// Everything.
    pub fn all() -> Scope {
        Scope { terms: Box::default() }
    }

    /// Whether it is `all`.
    pub fn is_all(&self) -> bool {
        self.terms.is_empty()
    }

    /// The terms, sorted by dimension; none for `all`.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The pattern of a dimension.
    pub fn pattern(&self, dimension: Dimension) -> Option<&Pattern> {
        self.terms.iter().find(|term| term.dimension == dimension).map(|term| &term.pattern)
    }

    /// Whether it speaks of tools.
    pub fn names_tool(&self) -> bool {
        self.pattern(Dimension::Tool).is_some()
    }

    /// Whether it speaks of models.
    pub fn names_model(&self) -> bool {
        self.pattern(Dimension::Model).is_some()
    }

    /// Whether it speaks of what is known only once a target is chosen.
    pub fn names_target(&self) -> bool {
        self.pattern(Dimension::Provider).is_some() || self.names_model()
    }

    /// Whether every term but that of the tool matches.
    pub fn covers(&self, subject: &Subject<'_>) -> bool {
        self.terms.iter().filter(|term| term.dimension != Dimension::Tool).all(|term| {
            subject
                .values(term.dimension)
                .into_iter()
                .flatten()
                .any(|value| term.pattern.matches(value.as_bytes()))
        })
    }
}

impl Scope {
    /// Whether it covers some exchange of which `subject` says what is known: a term about what is
    /// not known may hold.
    pub fn may_cover(&self, subject: &Subject<'_>) -> bool {
        self.terms.iter().filter(|term| term.dimension != Dimension::Tool).all(|term| {
            let mut known = subject.values(term.dimension).into_iter().flatten().peekable();
            known.peek().is_none() || known.any(|value| term.pattern.matches(value.as_bytes()))
        })
    }
}

/// In a written scope `%2A` stands for a star that is a star, `%2B` for a plus behind which a
/// dimension would begin, and `%25` for the percent sign of these.
const ESCAPES: [(&str, &str); 3] = [("%2A", "*"), ("%2B", "+"), ("%25", "%")];

/// A pattern as it is written.
fn read_pattern(text: &str) -> Pattern {
    let decode = |piece: &str| -> Box<str> {
        let mut decoded = String::with_capacity(piece.len());
        let mut rest = piece;
        while let Some(at) = rest.find('%') {
            decoded.push_str(&rest[..at]);
            rest = &rest[at..];
            let known = ESCAPES.iter().find(|(escape, _)| rest.starts_with(escape));
            let (escape, plain) = known.copied().unwrap_or(("%", "%"));
            decoded.push_str(plain);
            rest = &rest[escape.len()..];
        }
        decoded.push_str(rest);
        decoded.into()
    };
    match Pattern::new(text) {
        Pattern::Exact(text) => Pattern::Exact(decode(&text)),
        Pattern::Glob(pieces) => Pattern::Glob(pieces.iter().map(|piece| decode(piece)).collect()),
    }
}

/// Writes a pattern so that it is read back.
struct Written<'p>(&'p Pattern);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let piece = |f: &mut fmt::Formatter<'_>, text: &str| {
            for (at, c) in text.char_indices() {
                let rest = &text[at..];
                match c {
                    '*' => f.write_str("%2A")?,
                    '+' if begins_term(&rest[1..]) => f.write_str("%2B")?,
                    '%' if ESCAPES.iter().any(|(escape, _)| rest.starts_with(escape)) => {
                        f.write_str("%25")?;
                    }
                    c => write!(f, "{c}")?,
                }
            }
            Ok(())
        };
        match self.0 {
            Pattern::Exact(text) => piece(f, text),
            Pattern::Glob(pieces) => {
                for (at, text) in pieces.iter().enumerate() {
                    if at > 0 {
                        f.write_str("*")?;
                    }
                    piece(f, text)?;
                }
                Ok(())
            }
        }
    }
}

/// Whether a term begins here.
fn begins_term(rest: &str) -> bool {
    rest.split_once(':').is_some_and(|(name, _)| Dimension::parse(name).is_some())
}

/// `text` cut at each `+` behind which a dimension begins.
fn pieces(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices('+') {
        if begins_term(&text[at + 1..]) {
            found.push(&text[from..at]);
            from = at + 1;
        }
    }
    if from < text.len() {
        found.push(&text[from..]);
    }
    found
}

/// A word of the caller's as it may stand in a message.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all");
        }
        for (at, term) in self.terms.iter().enumerate() {
            let plus = if at == 0 { "" } else { "+" };
            write!(f, "{plus}{}:{}", term.dimension.name(), Written(&term.pattern))?;
        }
        Ok(())
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scope, D::Error> {
        let text = String::deserialize(deserializer)?;
        Scope::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_and_what_they_mean() {
        for (text, shown) in [
            ("all", "all"),
            (" all ", "all"),
            ("provider:openai", "provider:openai"),
            ("app:helpdesk+model:gpt-4*", "model:gpt-4*+app:helpdesk"),
            ("model:anthropic.claude-v2:1", "model:anthropic.claude-v2:1"),
            ("agent:a+b", "agent:a+b"),
            ("agent:a+b+app:c", "app:c+agent:a+b"),
            ("agent:+x:y", "agent:+x:y"),
        ] {
            assert_eq!(Scope::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for (text, word) in [
            ("", "empty"),
            ("everything", "no term"),
            ("models:gpt", "no dimension `models`"),
            ("model:", "names nothing"),
            ("model:a+model:b", "stands twice"),
            ("app:a\u{7}", "control"),
            (&format!("app:{}", "x".repeat(201)), "over 200 bytes"),
        ] {
            let error = Scope::parse(text).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("tool:issue_refund"), "{text}: {error}");
        }
    }

    #[test]
    fn conjunctions_narrow() {
        let subject = Subject {
            provider: Some("openai"),
            model: Some("gpt-4o"),
            alias: Some("support-bot"),
            app: Some("helpdesk"),
            ..Subject::default()
        };
        for (text, expected) in [
            ("all", true),
            ("provider:openai", true),
            ("provider:open*+app:helpdesk", true),
            ("model:gpt-4o", true),
            ("model:support-bot", true),
            ("model:gpt-3*", false),
            ("agent:*", false),
            ("provider:openai+session:s", false),
            ("tool:refund+app:helpdesk", true),
            ("tool:refund+app:other", false),
        ] {
            assert_eq!(Scope::parse(text).unwrap().covers(&subject), expected, "{text}");
        }
    }

    proptest! {
        /// Names that others chose are neither patterns nor further terms.
        #[test]
        fn exact_names_stay_what_they_are(agent in "[a*+:%25AB]{1,12}", tail in "(\\+app:x)?") {
            let name = format!("{agent}{tail}");
            let scope = Scope::exactly(&[(Dimension::Agent, &name)]).unwrap();
            let read = Scope::parse(&scope.to_string()).unwrap();
            prop_assert_eq!(&read, &scope);
            let covers = |agent: &str| read.covers(&Subject { agent: Some(agent), ..Subject::default() });
            prop_assert!(covers(&name));
            let longer = name.clone() + "x";
            prop_assert!(!covers(&longer));
        }

        #[test]
        fn what_is_written_is_read_back(text in "(provider|model|app|agent|tool):[a-z*+:]{1,6}(\\+(route|session):[a-z*+:]{1,6})?") {
            if let Ok(scope) = Scope::parse(&text) {
                prop_assert_eq!(Scope::parse(&scope.to_string()).unwrap(), scope);
            }
        }

        #[test]
        fn any_text_is_a_scope_or_an_error(text in "\\PC{0,40}") {
            let _ = Scope::parse(&text);
        }
    }
}
