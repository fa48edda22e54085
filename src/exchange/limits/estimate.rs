//! What an exchange may use, before it is known, and what it is taken to have used, where the
//! provider does not say.
//!
//! A token is taken for four bytes of a prompt, for one text event of a stream, and for four bytes
//! of an answer that is no stream. Where a provider counts, its count is believed.

use super::{Cost, Need};
use crate::exchange::facts::{Facts, Outcome};
use crate::table::{Price, cost};
use crate::wire::event::Counts;

/// Bytes of a token.
const TOKEN_BYTES: u64 = 4;
/// What is reserved for an answer that says no bound.
const OUTPUT_DEFAULT: u64 = 1_024;
/// The most that is reserved for an answer: many ask for room that they never use.
const OUTPUT_RESERVE_MAX: u64 = 32_768;

/// What a request of `request_bytes` may use, if its answer may have `output_max` tokens.
pub fn need(request_bytes: u64, output_max: Option<u64>) -> Need {
    Need {
        input_tokens: request_bytes.div_ceil(TOKEN_BYTES),
        output_tokens: output_max.unwrap_or(OUTPUT_DEFAULT).min(OUTPUT_RESERVE_MAX),
        cost: Cost::Nothing,
    }
}

/// What `need` costs at `price`.
pub fn need_at(need: &Need, price: &Price) -> Cost {
    let part = |input, output| {
        let counts = Counts { input: Some(input), output: Some(output), ..Counts::default() };
        cost(&counts, price).unwrap_or_default()
    };
    Cost::Known { input: part(need.input_tokens, 0), output: part(0, need.output_tokens) }
}

/// The dearer of two; what is known counts more than what is not.
#[must_use]
pub fn dearer(one: Cost, other: Cost) -> Cost {
    match (one, other) {
        (Cost::Known { input, output }, Cost::Known { input: i, output: o }) => {
            Cost::Known { input: input.max(i), output: output.max(o) }
        }
        (known @ Cost::Known { .. }, Cost::Unknown | Cost::Nothing)
        | (Cost::Unknown | Cost::Nothing, known @ Cost::Known { .. }) => known,
        (Cost::Unknown, Cost::Unknown | Cost::Nothing) | (Cost::Nothing, Cost::Unknown) => {
            Cost::Unknown
        }
        (Cost::Nothing, Cost::Nothing) => Cost::Nothing,
    }
}

/// What the limits take a finished exchange to have used.
pub fn used(facts: &Facts, output_max: Option<u64>) -> Counts {
    // What is passed through is not read, so nothing is known of it but that it was asked for.
    if facts.dialect.is_none() {
        return Counts::default();
    }
    let told = facts.usage;
    let input = facts.request_bytes.div_ceil(TOKEN_BYTES);
    let output = if facts.is_stream {
        facts.text_events
    } else {
        facts.response_bytes.div_ceil(TOKEN_BYTES)
    };
    let output = output_max.map_or(output, |most| output.min(most));
    match facts.outcome {
        Outcome::Refused(_) | Outcome::ProviderError => told,
        Outcome::Completed => Counts {
            input: told.input.or(Some(input)),
            output: told.output.or(Some(output)),
            ..told
        },
        // The provider's count may have come before the end of the answer.
        Outcome::Cut(_) | Outcome::Torn | Outcome::ClientGone => {
            if facts.attempts == 0 && facts.first_byte.is_none() {
                return told;
            }
            let output = told.output.unwrap_or(0).max(output);
            Counts { input: told.input.or(Some(input)), output: Some(output), ..told }
        }
    }
}
