//! Providers that fail, clients that fail, and a gateway that stays right: on the running binary.
//!
//! Every fault is played against all four dialects, as a stream and as a whole answer. Each must
//! come out as the dialect's own error, with the right status and outcome on record, and leave
//! nothing behind at the provider.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod faults {
    mod clients;
    mod descriptors;
    mod drain;
    mod providers;
    mod refusals;
    mod retries;
    mod supervised;
}
mod support;
