//! Counts exchanges under closed label sets.
//!
//! The handles of a label set are registered once and then found by a key of reference-counted
//! names, so that counting an exchange allocates nothing. Reloads may bring new names for as long
//! as the process lives; past [`LABEL_SETS_MAX`] sets everything new counts under `other`.

use super::meters::Meters;
use super::names;
use crate::exchange::facts::{Facts, Outcome};
use crate::id::{AppName, RouteName};
use crate::wire::Dialect;
use crate::wire::event::Counts;
use crate::wire::refusal::Class;
use dashmap::DashMap;
use metrics::{Counter, Histogram};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many label sets are kept apart, for exchanges and again for apps.
pub const LABEL_SETS_MAX: usize = 2_000;

/// The label of what is not known.
const NONE: &str = "none";
/// The label of what is counted together past the bound.
const OTHER: &str = "other";

/// A name of the table, or the place where the rest is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name<T> {
    Known(T),
    Unknown,
    Other,
}

impl<T> Name<T> {
    fn of(name: Option<T>) -> Name<T> {
        name.map_or(Name::Unknown, Name::Known)
    }

    fn label<'a>(&'a self, text: impl Fn(&'a T) -> &'a str) -> &'a str {
        match self {
            Name::Known(name) => text(name),
            Name::Unknown => NONE,
            Name::Other => OTHER,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ExchangeKey {
    route: Name<RouteName>,
    target: Name<Arc<str>>,
    dialect: Option<Dialect>,
    outcome: &'static str,
    /// The first digit of the status; 0 if the client got none.
    status: u8,
}

impl ExchangeKey {
    fn of(facts: &Facts) -> ExchangeKey {
        ExchangeKey {
            route: Name::of(facts.route.clone()),
            target: Name::of(facts.target.clone()),
            dialect: facts.dialect,
            outcome: facts.outcome.name(),
            status: u8::try_from(facts.status / 100).unwrap_or(0),
        }
    }

    /// The set that takes what has no set of its own. There are few: a dialect, an ending and a
    /// class of status tell them apart.
    fn other(self) -> ExchangeKey {
        ExchangeKey { route: Name::Other, target: Name::Other, ..self }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct AppKey {
    app: Name<AppName>,
    outcome: &'static str,
}

/// The handles of one label set of exchanges.
struct ExchangeMeters {
    exchanges: Counter,
    seconds: Histogram,
    first_byte: Histogram,
    first_text: Histogram,
    request_bytes: Counter,
    response_bytes: Counter,
    attempts: Counter,
    retries: Counter,
    tokens: TokenMeters,
    cost: Counter,
}

struct TokenMeters {
    input: Counter,
    output: Counter,
    cache_read: Counter,
    cache_write: Counter,
    reasoning: Counter,
}

struct AppMeters {
    exchanges: Counter,
    input: Counter,
    output: Counter,
}

/// A bounded map of label sets.
struct Sets<K, V> {
    map: DashMap<K, V>,
    len: AtomicUsize,
}

impl<K: Eq + Hash, V> Sets<K, V> {
    fn new() -> Sets<K, V> {
        Sets { map: DashMap::new(), len: AtomicUsize::new(0) }
    }

    /// Whether there is room for one set more; if so, it is taken.
    fn reserve(&self) -> bool {
        let more = |len| (len < LABEL_SETS_MAX).then_some(len + 1);
        self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn insert(&self, key: K, value: V) {
        if self.map.insert(key, value).is_some() {
            // Two threads met the same new set at once.
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Every counter and histogram that is made from facts.
pub(super) struct Series {
    exchanges: Sets<ExchangeKey, ExchangeMeters>,
    apps: Sets<AppKey, AppMeters>,
    refusals: [Counter; Class::ALL.len()],
    cuts: [Counter; Class::ALL.len()],
}

impl Series {
    pub(super) fn new(meters: &Meters) -> Series {
        Series {
            exchanges: Sets::new(),
            apps: Sets::new(),
            refusals: Class::ALL.map(|class| meters.counter(names::REFUSALS, &[class.name()])),
            cuts: Class::ALL.map(|class| meters.counter(names::CUTS, &[class.name()])),
        }
    }

    /// Counts one exchange.
    pub(super) fn record(&self, meters: &Meters, facts: &Facts) {
        self.record_exchange(meters, facts);
        if let Some(app) = &facts.identity.app {
            self.record_app(meters, app, facts);
        }
        // Names of rules come from files and levers, never from a client.
        for (rule, done, count) in facts.found.counts() {
            meters.rule_hit(&rule.name, done.name(), count);
        }
        if facts.found.unjudged > 0 {
            meters.rules_unjudged(facts.found.unjudged);
        }
        match facts.outcome {
            Outcome::Refused(class) => self.refusals[class as usize].increment(1),
            Outcome::Cut(class) => self.cuts[class as usize].increment(1),
            Outcome::Completed | Outcome::ProviderError | Outcome::Torn | Outcome::ClientGone => {}
        }
    }

    fn record_exchange(&self, meters: &Meters, facts: &Facts) {
        let key = ExchangeKey::of(facts);
        if let Some(set) = self.exchanges.map.get(&key) {
            return set.record(facts);
        }
        if self.exchanges.reserve() {
            let set = ExchangeMeters::new(meters, &key);
            set.record(facts);
            self.exchanges.insert(key, set);
            self.tell_size(meters);
            return;
        }
        meters.label_overflow.increment(1);
        let key = key.other();
        let set = self.exchanges.map.entry(key.clone());
        set.or_insert_with(|| ExchangeMeters::new(meters, &key)).record(facts);
    }

    fn record_app(&self, meters: &Meters, app: &AppName, facts: &Facts) {
        let outcome = facts.outcome.name();
        let key = AppKey { app: Name::Known(app.clone()), outcome };
        if let Some(set) = self.apps.map.get(&key) {
            return set.record(facts);
        }
        if self.apps.reserve() {
            let set = AppMeters::new(meters, &key);
            set.record(facts);
            self.apps.insert(key, set);
            self.tell_size(meters);
            return;
        }
        meters.label_overflow.increment(1);
        let key = AppKey { app: Name::Other, outcome };
        let set = self.apps.map.entry(key.clone());
        set.or_insert_with(|| AppMeters::new(meters, &key)).record(facts);
    }

    fn tell_size(&self, meters: &Meters) {
        let sets = self.exchanges.len.load(Ordering::Relaxed);
        meters.label_sets.set((sets + self.apps.len.load(Ordering::Relaxed)) as f64);
    }
}

impl ExchangeMeters {
    fn new(meters: &Meters, key: &ExchangeKey) -> ExchangeMeters {
        let route = key.route.label(RouteName::as_str);
        let target = key.target.label(|target| target);
        let dialect = key.dialect.map_or(NONE, Dialect::name);
        let status = match key.status {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => NONE,
        };
        let tokens = |kind| meters.counter(names::TOKENS, &[kind, target]);
        ExchangeMeters {
            exchanges: meters
                .counter(names::EXCHANGES, &[route, target, dialect, key.outcome, status]),
            seconds: meters.histogram(names::EXCHANGE_SECONDS, &[route, target]),
            first_byte: meters.histogram(names::FIRST_BYTE_SECONDS, &[route, target]),
            first_text: meters.histogram(names::FIRST_TEXT_SECONDS, &[route, target]),
            request_bytes: meters.counter(names::REQUEST_BYTES, &[route]),
            response_bytes: meters.counter(names::RESPONSE_BYTES, &[route]),
            attempts: meters.counter(names::ATTEMPTS, &[target]),
            retries: meters.counter(names::RETRIES, &[route]),
            tokens: TokenMeters {
                input: tokens("input"),
                output: tokens("output"),
                cache_read: tokens("cache_read"),
                cache_write: tokens("cache_write"),
                reasoning: tokens("reasoning"),
            },
            cost: meters.counter(names::COST, &[target]),
        }
    }

    fn record(&self, facts: &Facts) {
        self.exchanges.increment(1);
        self.seconds.record(facts.total.as_secs_f64());
        if let Some(time) = facts.first_byte {
            self.first_byte.record(time.as_secs_f64());
        }
        if let Some(time) = facts.first_text {
            self.first_text.record(time.as_secs_f64());
        }
        add(&self.request_bytes, Some(facts.request_bytes));
        add(&self.response_bytes, Some(facts.response_bytes));
        add(&self.attempts, Some(u64::from(facts.attempts)));
        add(&self.retries, Some(u64::from(facts.attempts.saturating_sub(1))));
        let Counts { input, output, cache_read, cache_write, reasoning } = facts.usage;
        add(&self.tokens.input, input);
        add(&self.tokens.output, output);
        add(&self.tokens.cache_read, cache_read);
        add(&self.tokens.cache_write, cache_write);
        add(&self.tokens.reasoning, reasoning);
        add(&self.cost, facts.cost_micro_usd);
    }
}

impl AppMeters {
    fn new(meters: &Meters, key: &AppKey) -> AppMeters {
        let app = key.app.label(AppName::as_str);
        AppMeters {
            exchanges: meters.counter(names::APP_EXCHANGES, &[app, key.outcome]),
            input: meters.counter(names::APP_TOKENS, &[app, "input"]),
            output: meters.counter(names::APP_TOKENS, &[app, "output"]),
        }
    }

    fn record(&self, facts: &Facts) {
        self.exchanges.increment(1);
        add(&self.input, facts.usage.input);
        add(&self.output, facts.usage.output);
    }
}

/// Adds nothing without touching the counter's cache line.
fn add(counter: &Counter, count: Option<u64>) {
    match count {
        None | Some(0) => {}
        // A provider's word on its tokens is not trusted to be a sane number.
        Some(count) => counter.increment(count.min(1 << 40)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts_for_tests as sample;
    use super::*;

    #[test]
    fn classes_stand_where_their_number_says() {
        for (at, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, at);
        }
    }

    #[test]
    fn one_exchange_shows_in_every_series() {
        let meters = Meters::new().unwrap();
        let series = Series::new(&meters);
        let mut facts = sample(1);
        facts.attempts = 2;
        series.record(&meters, &facts);
        let text = meters.render();
        for line in [
            "firedoor_exchanges_total{route=\"support\",target=\"openai/gpt-4o\",\
             dialect=\"openai-chat\",outcome=\"completed\",status=\"2xx\"} 1",
            "firedoor_exchange_seconds_count{route=\"support\",target=\"openai/gpt-4o\"} 1",
            "firedoor_exchange_seconds_bucket{route=\"support\",target=\"openai/gpt-4o\",\
             le=\"0.32\"} 1",
            "firedoor_tokens_total{type=\"input\",target=\"openai/gpt-4o\"} 12",
            "firedoor_tokens_total{type=\"output\",target=\"openai/gpt-4o\"} 34",
            "firedoor_request_bytes_total{route=\"support\"} 100",
            "firedoor_response_bytes_total{route=\"support\"} 2000",
            "firedoor_attempts_total{target=\"openai/gpt-4o\"} 2",
            "firedoor_retries_total{route=\"support\"} 1",
            "firedoor_app_exchanges_total{app=\"helpdesk\",outcome=\"completed\"} 1",
            "firedoor_app_tokens_total{app=\"helpdesk\",type=\"output\"} 34",
            "firedoor_label_sets 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\nnot in\n{text}");
        }
        // What the client wrote is nowhere.
        assert!(!text.contains("gpt-asked"));
    }

    #[test]
    fn refusals_count_by_class() {
        let meters = Meters::new().unwrap();
        let series = Series::new(&meters);
        let mut facts = sample(1);
        facts.outcome = Outcome::Refused(Class::Killed);
        facts.status = 400;
        facts.route = None;
        facts.target = None;
        series.record(&meters, &facts);
        facts.outcome = Outcome::Cut(Class::Blocked);
        series.record(&meters, &facts);
        let text = meters.render();
        assert!(text.contains("firedoor_refusals_total{class=\"firedoor_killed\"} 1\n"));
        assert!(text.contains("firedoor_cuts_total{class=\"firedoor_blocked\"} 1\n"));
        assert!(text.contains("route=\"none\",target=\"none\""));
    }

    #[test]
    fn label_sets_are_bounded_and_the_rest_is_counted_together() {
        let meters = Meters::new().unwrap();
        let series = Series::new(&meters);
        let extra = 10;
        for number in 0..LABEL_SETS_MAX + extra {
            let mut facts = sample(1);
            facts.identity.app = None;
            facts.route = Some(RouteName::new(&format!("route-{number}")));
            series.record(&meters, &facts);
        }
        assert_eq!(series.exchanges.map.len(), LABEL_SETS_MAX + 1);
        let text = meters.render();
        assert!(text.contains(&format!("firedoor_label_overflow_total {extra}\n")));
        assert!(text.contains(&format!("firedoor_label_sets {LABEL_SETS_MAX}\n")));
        assert!(text.contains("route=\"other\",target=\"other\""));
    }
}
