//! Which route takes a request, and which app holds a key.
//!
//! The first route whose every given part matches wins. A look allocates nothing and takes no
//! lock; its time is bounded by the number of routes times the length of what is matched.

use super::{AppIndex, Family, Matcher, Pattern, Query, RouteIndex, Routes};
use crate::wire::Dialect;
use aws_lc_rs::digest;
use memchr::memmem;
use subtle::ConstantTimeEq;

impl Pattern {
    /// Compiles a text: every `*` stands for any run of characters, also none.
    pub fn new(text: &str) -> Pattern {
        if !text.contains('*') {
            return Pattern::Exact(text.into());
        }
        let mut pieces: Vec<Box<str>> = Vec::new();
        let last = text.split('*').count() - 1;
        for (at, piece) in text.split('*').enumerate() {
            // Neighbouring stars are one.
            if at == 0 || at == last || !piece.is_empty() {
                pieces.push(piece.into());
            }
        }
        Pattern::Glob(pieces.into())
    }

    /// Whether `text` matches, byte for byte.
    pub fn matches(&self, text: &[u8]) -> bool {
        match self {
            Pattern::Exact(exact) => exact.as_bytes() == text,
            Pattern::Glob(pieces) => {
                let [first, middle @ .., last] = &**pieces else { return false };
                let Some(mut rest) = text
                    .strip_prefix(first.as_bytes())
                    .and_then(|rest| rest.strip_suffix(last.as_bytes()))
                else {
                    return false;
                };
                // The leftmost place is right for each piece: it leaves the most for the next.
                for piece in middle {
                    let Some(at) = memmem::find(rest, piece.as_bytes()) else { return false };
                    rest = &rest[at + piece.len()..];
                }
                true
            }
        }
    }

    /// The text that it was compiled from, neighbouring stars taken together.
    pub fn text(&self) -> String {
        match self {
            Pattern::Exact(exact) => exact.to_string(),
            Pattern::Glob(pieces) => pieces.join("*"),
        }
    }
}

impl Matcher {
    /// Whether every part that is given matches.
    pub fn takes(&self, query: &Query<'_>) -> bool {
        let any = |patterns: &[Pattern], text: Option<&str>| {
            patterns.is_empty()
                || text.is_some_and(|text| patterns.iter().any(|p| p.matches(text.as_bytes())))
        };
        self.provider == query.provider
            && (self.dialects.is_empty()
                || query.dialect.is_some_and(|dialect| self.dialects.contains(&dialect)))
            && (self.apps.is_empty() || query.app.is_some_and(|app| self.apps.contains(&app)))
            && any(&self.models, query.model)
            && any(&self.agents, query.agent)
            && any(&self.paths, Some(query.path))
            && self.headers.iter().all(|(name, pattern)| {
                query.headers.get_all(name).iter().any(|value| pattern.matches(value.as_bytes()))
            })
    }

    /// Whether it surely takes whatever `other` takes, so that a route behind it is never reached.
    pub(super) fn covers(&self, other: &Matcher) -> bool {
        fn wider<T: PartialEq>(these: &[T], those: &[T]) -> bool {
            these.is_empty() || (!those.is_empty() && those.iter().all(|one| these.contains(one)))
        }
        self.provider == other.provider
            && wider(&self.apps, &other.apps)
            && wider(&self.agents, &other.agents)
            && wider(&self.models, &other.models)
            && wider(&self.dialects, &other.dialects)
            && wider(&self.paths, &other.paths)
            && self.headers.iter().all(|one| other.headers.contains(one))
    }
}

impl Routes {
    /// The first route that takes `query`.
    pub fn route(&self, query: &Query<'_>) -> Option<RouteIndex> {
        let at = self.routes.iter().position(|route| route.matcher.takes(query))?;
        Some(RouteIndex(at as u16))
    }

    /// The model names and patterns that some route serves in `dialect` at the root, each once, in
    /// the order of the routes; `*` where a route takes any model.
    ///
    /// For the answer to a request that no route takes. It allocates.
    pub fn served_models(&self, dialect: Dialect) -> Vec<String> {
        let mut served: Vec<String> = Vec::new();
        for route in &self.routes {
            let matcher = &route.matcher;
            let is_in = matcher.provider.is_none()
                && (matcher.dialects.is_empty() || matcher.dialects.contains(&dialect));
            let is_spoken = route.targets.iter().any(|weighted| {
                let target = &self.targets[usize::from(weighted.target.0)];
                self.providers[usize::from(target.provider.0)].speaks(dialect)
            });
            if !is_in || !is_spoken {
                continue;
            }
            let any = [Pattern::new("*")];
            let models = if matcher.models.is_empty() { &any[..] } else { &matcher.models[..] };
            for text in models.iter().map(Pattern::text) {
                if !served.contains(&text) {
                    served.push(text);
                }
            }
        }
        served
    }

    /// Whether who asks for the simulated model by its usual name gets it.
    pub fn serves_simulated(&self) -> bool {
        let query = Query {
            provider: None,
            app: None,
            agent: None,
            model: Some("firedoor-sim"),
            dialect: Some(Dialect::OpenaiChat),
            path: "/v1/chat/completions",
            headers: &http::HeaderMap::new(),
        };
        self.route(&query).is_some_and(|index| {
            self.routes[usize::from(index.0)].targets.iter().any(|weighted| {
                let target = &self.targets[usize::from(weighted.target.0)];
                self.providers[usize::from(target.provider.0)].family == Family::Simulated
            })
        })
    }

    /// The app that holds `key`.
    ///
    /// The key is looked up by its SHA-256, so the time of the look says nothing about the key;
    /// the hash found is compared once more in constant time.
    pub fn app_by_key(&self, key: &str) -> Option<AppIndex> {
        let digest = digest::digest(&digest::SHA256, key.as_bytes());
        let hash: [u8; 32] = digest.as_ref().try_into().ok()?;
        let (stored, app) = self.app_keys.get_key_value(&hash)?;
        bool::from(stored.ct_eq(&hash)).then_some(*app)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a pattern means, said in the slowest and plainest way.
    fn plainly(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|at| plainly(rest, &text[at..])),
            Some((one, rest)) => text.first() == Some(one) && plainly(rest, &text[1..]),
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("gpt-4*", "gpt-4o", true),
            ("gpt-4*", "gpt-4", true),
            ("gpt-4*", "GPT-4", false),
            ("*", "", true),
            ("**", "x", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*b*", "abc", true),
            ("a**b***c", "a-b-c", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
        assert_eq!(Pattern::new("a**b***").text(), "a*b*");
    }

    proptest! {
        #[test]
        fn matching_is_what_it_says(pattern in "[ab*]{0,8}", text in "[ab]{0,12}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                Pattern::new(&pattern).matches(text.as_bytes()),
                plainly(&chars(&pattern), &chars(&text))
            );
        }
    }
}
