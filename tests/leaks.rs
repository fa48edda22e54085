//! Nothing that a rule hides leaves, looked at from outside.
//!
//! Recorded answers of every dialect are played to the gateway with a secret in them, at every kind
//! of place where they have text, in pieces as a provider would send it; a scanner at the client's
//! socket, which shares no code with the gateway, puts together what came as SDKs do and looks for
//! the secret and for pieces of it. The same for whole answers, and for prompts at the provider.
//!
//! `FIREDOOR_LEAKS_ROUNDS` (1) is how often each recording is taken, `FIREDOOR_LEAKS_SEED` where
//! the dice begin, `FIREDOOR_LEAKS_ONLY` a part of the names of the cases to run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::format_push_string,
    reason = "a failure in a test is a failed test"
)]

mod leaks {
    mod answers;
    mod ending;
    mod frames;
    mod leaf;
    mod plant;
    mod prompts;
    mod recordings;
    mod report;
    mod scan;
    mod secret;
    mod stage;
    mod streams;
}
mod support;
