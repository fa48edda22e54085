//! Every attribute name that we write, in one table, because the conventions still move.
//!
//! Names under `gen_ai.` are those of the OpenTelemetry GenAI conventions: `classic` as released
//! in open-telemetry/semantic-conventions up to 1.4x, `latest` as in
//! open-telemetry/semantic-conventions-genai. Names under `firedoor.` are ours.

use opentelemetry::{KeyValue, Value};

/// Which names attributes get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Convention {
    /// What tools read today.
    #[default]
    Classic,
    /// The newest pages.
    Latest,
}

impl Convention {
    /// What `OTEL_SEMCONV_STABILITY_OPT_IN`, a list with commas, asks for.
    pub fn asked_for(list: Option<&str>) -> Convention {
        let latest = list.is_some_and(|list| {
            list.split(',').any(|word| word.trim() == "gen_ai_latest_experimental")
        });
        if latest { Convention::Latest } else { Convention::Classic }
    }
}

/// An attribute's name in each convention; empty where it has none.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    classic: &'static str,
    latest: &'static str,
}

impl Attribute {
    const fn both(name: &'static str) -> Attribute {
        Attribute { classic: name, latest: name }
    }

    /// The name, if the convention has one.
    pub fn name(self, convention: Convention) -> Option<&'static str> {
        let name = match convention {
            Convention::Classic => self.classic,
            Convention::Latest => self.latest,
        };
        (!name.is_empty()).then_some(name)
    }
}

/// Gathers attributes under the names of one convention.
#[derive(Debug)]
pub struct Attributes {
    convention: Convention,
    pairs: Vec<KeyValue>,
}

impl Attributes {
    /// None yet.
    pub fn new(convention: Convention) -> Attributes {
        Attributes { convention, pairs: Vec::with_capacity(24) }
    }

    /// Adds one, if the convention has a name for it.
    pub fn put(&mut self, attribute: Attribute, value: impl Into<Value>) {
        if let Some(name) = attribute.name(self.convention) {
            self.pairs.push(KeyValue::new(name, value));
        }
    }

    /// Adds one if there is a value.
    pub fn put_some<V: Into<Value>>(&mut self, attribute: Attribute, value: Option<V>) {
        if let Some(value) = value {
            self.put(attribute, value);
        }
    }

    /// The attributes.
    pub fn finish(self) -> Vec<KeyValue> {
        self.pairs
    }
}

macro_rules! attributes {
    ($($name:ident = $classic:literal $(, $latest:literal)?;)*) => {
        $(
            #[doc = concat!("`", $classic, "`")]
            pub const $name: Attribute = attributes!(@ $classic $(, $latest)?);
        )*
    };
    (@ $both:literal) => { Attribute::both($both) };
    (@ $classic:literal, $latest:literal) => {
        Attribute { classic: $classic, latest: $latest }
    };
}

// A second literal is the name in the latest convention.
attributes! {
    OPERATION = "gen_ai.operation.name";
    SYSTEM = "gen_ai.system", "";
    PROVIDER = "gen_ai.provider.name";
    REQUEST_MODEL = "gen_ai.request.model";
    REQUEST_STREAM = "", "gen_ai.request.stream";
    RESPONSE_MODEL = "gen_ai.response.model";
    FINISH_REASONS = "gen_ai.response.finish_reasons";
    TIME_TO_FIRST_CHUNK = "", "gen_ai.response.time_to_first_chunk";
    INPUT_TOKENS = "gen_ai.usage.input_tokens";
    OUTPUT_TOKENS = "gen_ai.usage.output_tokens";
    CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens";
    CACHE_WRITE_TOKENS =
        "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens";
    REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens";
    CONVERSATION = "gen_ai.conversation.id";
    AGENT = "gen_ai.agent.name";
    ERROR_TYPE = "error.type";
    HTTP_METHOD = "http.request.method";
    HTTP_ROUTE = "http.route";
    HTTP_STATUS = "http.response.status_code";
    HTTP_REQUEST_BYTES = "http.request.body.size";
    HTTP_RESPONSE_BYTES = "http.response.body.size";
    URL_PATH = "url.path";
    EXCHANGE = "firedoor.exchange.id";
    ROUTE = "firedoor.route";
    TARGET = "firedoor.target";
    APP = "firedoor.app";
    DIALECT = "firedoor.dialect";
    OUTCOME = "firedoor.outcome";
    REFUSAL_CLASS = "firedoor.refusal.class";
    ATTEMPTS = "firedoor.attempts";
    COST = "firedoor.cost_micro_usd";
    LIMIT = "firedoor.limit";
    FIRST_BYTE = "firedoor.first_byte_seconds";
    FIRST_TEXT = "firedoor.first_text_seconds";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opt_in_is_one_word_of_a_list() {
        let latest = Some("http, gen_ai_latest_experimental");
        assert_eq!(Convention::asked_for(latest), Convention::Latest);
        assert_eq!(Convention::asked_for(Some("http/dup")), Convention::Classic);
        assert_eq!(Convention::asked_for(None), Convention::Classic);
    }
}
