//! What tokens cost, as data.
//!
//! Money is a whole number of nano-USD, so that sums are exact and counters never hold a float.
//! A price is per million tokens. The user's prices come first, then the list that Firedoor
//! carries; in each, the pattern with the most characters that are not stars wins. A model that
//! no pattern takes has no price: what is not known is never guessed.

use super::{Family, Pattern, Provider};
use crate::wire::event::Counts;
use serde::Deserialize;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

/// Nano-USD of one USD.
const NANO: u64 = 1_000_000_000;
/// The most USD that a file may write; up to here a float holds every nano-USD.
const USD_MAX: f64 = 1_000_000.0;
/// Prices are for so many tokens.
const PER_TOKENS: u128 = 1_000_000;

/// An amount of money, in nano-USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(pub u64);

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// So many USD, as a file writes them; `None` below zero, above a million, or for no number.
    pub fn from_usd(usd: f64) -> Option<Money> {
        (0.0..=USD_MAX).contains(&usd).then(|| Money((usd * NANO as f64).round() as u64))
    }

    /// In micro-USD, rounded up.
    pub fn micro_usd(self) -> u64 {
        self.0.div_ceil(1_000)
    }

    /// In USD, to be shown; never to be counted with.
    pub fn usd(self) -> f64 {
        self.0 as f64 / NANO as f64
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:09}", self.0 % NANO);
        let digits = digits.trim_end_matches('0');
        match digits {
            "" => write!(f, "{} USD", self.0 / NANO),
            _ => write!(f, "{}.{digits} USD", self.0 / NANO),
        }
    }
}

/// What a million tokens of each kind cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Of the prompt, where no cache is in play.
    pub input: Money,
    /// Of the prompt, read from a cache.
    pub cached_input: Money,
    /// Of the prompt, written to a cache.
    pub cache_write: Money,
    /// Of the answer, reasoning included.
    pub output: Money,
}

/// What answers in the process costs nothing, unless the user says otherwise.
static FREE: Price = Price {
    input: Money::ZERO,
    cached_input: Money::ZERO,
    cache_write: Money::ZERO,
    output: Money::ZERO,
};

/// What an answer costs; `None` where the provider counted nothing.
///
/// [`Counts::input`] has the cached tokens in it, so they are taken out before each part gets its
/// own price; a provider that counts more cached tokens than tokens is not believed. Reasoning is
/// a part of the output. The sum is rounded up once, at its end.
pub fn cost(counts: &Counts, price: &Price) -> Option<Money> {
    if counts.input.is_none() && counts.output.is_none() {
        return None;
    }
    let input = counts.input.unwrap_or(0);
    let read = counts.cache_read.unwrap_or(0).min(input);
    let written = counts.cache_write.unwrap_or(0).min(input - read);
    let parts = [
        (input - read - written, price.input),
        (read, price.cached_input),
        (written, price.cache_write),
        (counts.output.unwrap_or(0), price.output),
    ];
    // Four products of two 64 bit numbers could overflow; each is bounded first.
    let sum = parts
        .iter()
        .map(|(tokens, rate)| u128::from(*tokens) * u128::from(rate.0))
        .fold(0, u128::saturating_add);
    Some(Money(u64::try_from(sum.div_ceil(PER_TOKENS)).unwrap_or(u64::MAX)))
}

/// Every price that holds: the user's, and behind them the list that Firedoor carries.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    own: Rows,
}

impl Prices {
    /// The user's prices, in any order.
    pub(super) fn new(own: Vec<(Pattern, Price)>) -> Prices {
        Prices { own: Rows::new(own) }
    }

    /// The price of `model` at `provider`. A pattern may name the model, or, with a slash,
    /// `provider/model`.
    pub fn of(&self, provider: &Provider, model: &str) -> Option<&Price> {
        let mut both: SmallVec<[u8; 96]> = SmallVec::from_slice(provider.name.as_str().as_bytes());
        both.push(b'/');
        both.extend_from_slice(model.as_bytes());
        if let Some(price) = self.own.find(model.as_bytes(), &both) {
            return Some(price);
        }
        match provider.family {
            Family::Canned | Family::Simulated => Some(&FREE),
            Family::Openai | Family::Anthropic | Family::Gemini | Family::Bedrock => {
                let listed: &'static Rows = &LISTED;
                listed.find(model.as_bytes(), &both)
            }
        }
    }
}

/// Prices by pattern, the most specific pattern first; each exchange looks for one.
#[derive(Clone, Debug, Default)]
struct Rows {
    all: Vec<(Pattern, Price)>,
    /// Places of those that are a name.
    by_name: HashMap<Box<[u8]>, usize>,
    /// Places of those with a star that begin with a letter, by its first byte.
    by_first: HashMap<u8, Vec<usize>>,
    /// Places of those that begin with a star.
    others: Vec<usize>,
    /// Places of those with a star that name the provider too.
    of_providers: Vec<usize>,
}

impl Rows {
    fn new(mut all: Vec<(Pattern, Price)>) -> Rows {
        sort(&mut all);
        let mut rows = Rows::default();
        for (at, (pattern, _)) in all.iter().enumerate() {
            match pattern {
                Pattern::Exact(name) => {
                    rows.by_name.entry(name.as_bytes().into()).or_insert(at);
                }
                Pattern::Glob(_) if names_provider(pattern) => rows.of_providers.push(at),
                Pattern::Glob(pieces) => {
                    match pieces.first().and_then(|piece| piece.bytes().next()) {
                        Some(first) => rows.by_first.entry(first).or_default().push(at),
                        None => rows.others.push(at),
                    }
                }
            }
        }
        Rows { all, ..rows }
    }

    /// The first row whose pattern takes the model `name`, or, where it names a provider too, `pair`,
    /// which is `provider/model`. A model's own name may have a slash.
    fn find(&self, name: &[u8], pair: &[u8]) -> Option<&Price> {
        let first_of = |places: &Vec<usize>, takes: &dyn Fn(&Pattern) -> bool| {
            places.iter().copied().find(|at| takes(&self.all[*at].0))
        };
        let of_name = |pattern: &Pattern| pattern.matches(name);
        let of_either = |pattern: &Pattern| pattern.matches(name) || pattern.matches(pair);
        let by_first = name.first().and_then(|first| self.by_first.get(first));
        let found = [
            self.by_name.get(name).copied(),
            self.by_name.get(pair).copied(),
            by_first.and_then(|places| first_of(places, &of_name)),
            first_of(&self.others, &of_name),
            first_of(&self.of_providers, &of_either),
        ];
        let at = found.into_iter().flatten().min()?;
        Some(&self.all[at].1)
    }
}

/// Whether a pattern may speak of `provider/model`.
fn names_provider(pattern: &Pattern) -> bool {
    pattern.text().contains('/')
}

/// The most specific pattern first.
fn sort(rows: &mut [(Pattern, Price)]) {
    rows.sort_by_cached_key(|(pattern, _)| {
        let text = pattern.text();
        let letters = text.chars().filter(|c| *c != '*').count();
        let is_glob = matches!(pattern, Pattern::Glob(_));
        (Reverse(letters), is_glob, text)
    });
}

/// The list that Firedoor carries. See its head for where it comes from.
const LIST: &str = include_str!("prices.toml");

static LISTED: LazyLock<Rows> = LazyLock::new(|| {
    // A test holds that the list can be read; a model without a price is the worst that can come.
    Rows::new(toml::from_str::<List>(LIST).map(List::rows).unwrap_or_default())
});

/// When the list that Firedoor carries was made; empty if it cannot be read.
pub fn listed_as_of() -> String {
    toml::from_str::<List>(LIST).map(|list| list.as_of).unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    as_of: String,
    providers: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[cfg_attr(not(test), expect(dead_code, reason = "for who reads the list, and for its test"))]
    name: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "for who reads the list, and for its test"))]
    source: String,
    prices: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    models: Vec<String>,
    input: f64,
    output: f64,
    cached_input: Option<f64>,
    cache_write: Option<f64>,
}

impl List {
    fn rows(self) -> Vec<(Pattern, Price)> {
        let mut rows = Vec::new();
        for row in self.providers.into_iter().flat_map(|part| part.prices) {
            let Some(price) = row.price() else { continue };
            rows.extend(row.models.iter().map(|model| (Pattern::new(model), price)));
        }
        rows
    }
}

impl Row {
    fn price(&self) -> Option<Price> {
        Some(Price {
            input: Money::from_usd(self.input)?,
            cached_input: Money::from_usd(self.cached_input.unwrap_or(self.input))?,
            cache_write: Money::from_usd(self.cache_write.unwrap_or(self.input))?,
            output: Money::from_usd(self.output)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usd(usd: f64) -> Money {
        Money::from_usd(usd).unwrap()
    }

    fn listed(model: &str) -> Option<Price> {
        LISTED
            .all
            .iter()
            .find(|(pattern, _)| pattern.matches(model.as_bytes()))
            .map(|(_, price)| *price)
    }

    #[test]
    fn money_is_exact_and_shown_short() {
        for (amount, nano, shown) in [
            (0.0, 0, "0 USD"),
            (0.0375, 37_500_000, "0.0375 USD"),
            (2.5, 2_500_000_000, "2.5 USD"),
            (50.0, 50_000_000_000, "50 USD"),
        ] {
            assert_eq!(usd(amount), Money(nano));
            assert_eq!(usd(amount).to_string(), shown);
        }
        for wrong in [-0.1, f64::NAN, f64::INFINITY, 1e7] {
            assert_eq!(Money::from_usd(wrong), None);
        }
        assert_eq!(Money(1).micro_usd(), 1, "a part of a micro-USD is one");
    }

    #[test]
    fn every_part_of_the_prompt_has_its_own_price() {
        let price = Price {
            input: usd(3.0),
            cached_input: usd(0.3),
            cache_write: usd(3.75),
            output: usd(15.0),
        };
        let counts = |input, output, cache_read, cache_write| Counts {
            input,
            output,
            cache_read,
            cache_write,
            reasoning: Some(1_000_000),
        };
        let m = Some(1_000_000);
        for (counts, expected) in [
            (counts(None, None, m, m), None),
            (counts(m, None, None, None), Some(usd(3.0))),
            (counts(None, m, None, None), Some(usd(15.0))),
            (counts(m, m, None, None), Some(usd(18.0))),
            (counts(m, None, m, None), Some(usd(0.3))),
            (counts(Some(3_000_000), None, m, m), Some(usd(7.05))),
            (counts(m, None, Some(9_000_000), Some(9_000_000)), Some(usd(0.3))),
            (counts(Some(1), None, None, None), Some(Money(3_000))),
            (counts(None, Some(u64::MAX), None, None), Some(Money(u64::MAX))),
        ] {
            assert_eq!(cost(&counts, &price), expected, "{counts:?}");
        }
    }

    #[test]
    fn the_list_can_be_read_and_says_each_model_once() {
        let list: List = toml::from_str(LIST).unwrap();
        assert!(list.as_of.len() >= 7);
        let mut seen = std::collections::HashSet::new();
        for part in &list.providers {
            assert!(!part.source.is_empty(), "{}", part.name);
            for row in &part.prices {
                assert!(row.price().is_some(), "{:?}", row.models);
                assert!(row.cached_input.is_none_or(|cached| cached <= row.input));
                for model in &row.models {
                    assert!(seen.insert(model.clone()), "{model} stands twice");
                }
            }
        }
        assert_eq!(LISTED.all.len(), seen.len());
    }

    #[test]
    fn the_most_specific_pattern_wins() {
        for (model, input) in [
            ("gpt-4o", Some(2.5)),
            ("gpt-4o-2024-08-06", Some(2.5)),
            ("gpt-4o-2024-05-13", Some(5.0)),
            ("gpt-4o-mini-2024-07-18", Some(0.15)),
            ("claude-sonnet-4-5-20250929", Some(3.0)),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", Some(1.0)),
            ("gemini-2.5-flash", Some(0.3)),
            ("gpt-4o-audio-preview", None),
            ("llama3.3", None),
            ("", None),
        ] {
            assert_eq!(listed(model).map(|price| price.input), input.map(usd), "{model}");
        }
    }

    proptest! {
        /// Where a row is looked for does not decide which one is found.
        #[test]
        fn a_row_is_found_as_by_reading_all(
            patterns in prop::collection::vec("[ab/*]{0,4}", 0..8),
            name in "[ab/]{0,4}",
            other in "[ab]{0,2}/[ab/]{0,2}",
        ) {
            let price = |input: usize| Price { input: Money(input as u64), ..FREE };
            let rows = patterns.iter().enumerate();
            let rows = Rows::new(rows.map(|(at, text)| (Pattern::new(text), price(at))).collect());
            let (name, other) = (name.as_bytes(), other.as_bytes());
            let takes = |pattern: &Pattern| {
                pattern.matches(name) || names_provider(pattern) && pattern.matches(other)
            };
            let read = rows.all.iter().find(|(pattern, _)| takes(pattern)).map(|(_, price)| price);
            prop_assert_eq!(rows.find(name, other), read);
        }

        #[test]
        fn more_tokens_never_cost_less(
            input in any::<u64>(), read in any::<u64>(), output in any::<u32>(), rate in 0u64..1 << 50,
        ) {
            let price = Price {
                input: Money(rate),
                cached_input: Money(rate / 2),
                cache_write: Money(rate),
                output: Money(rate),
            };
            let counts = |output: u64| Counts {
                input: Some(input),
                output: Some(output),
                cache_read: Some(read),
                ..Counts::default()
            };
            let less = cost(&counts(u64::from(output)), &price).unwrap();
            prop_assert!(cost(&counts(u64::from(output) + 1), &price).unwrap() >= less);
        }
    }
}
