//! Damaged input, from seeds that real traffic gives: nothing panics, nothing grows without bound,
//! and nothing depends on how the bytes were cut.
//!
//! Each target is a test of a bounded number of inputs. By hand, `tests/fuzz/long MINUTES [TARGET]`
//! runs them for longer from another seed; `FIREDOOR_FUZZ_SECONDS` and `FIREDOOR_FUZZ_SEED` say the
//! same. It is not guided by coverage: that needs a compiler that is not the stable one. What it
//! lacks in guidance, operators make up that know the shapes: lengths that lie, JSON that nests,
//! pieces of one recording in another, numbers that overflow.
//!
//! An input that fails is printed with its target, seed and number, which give it again; what was
//! found is kept as a case in `tests/fuzz/found.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a failure in a test is a failed test"
)]

mod fuzz {
    mod bodies;
    mod corpus;
    mod filters;
    mod forms;
    mod found;
    mod frames;
    mod harness;
    mod heads;
    mod record;
    mod sealed;
    mod streams;
}
#[path = "leaks/secret.rs"]
#[allow(dead_code, reason = "only its dice are used")]
mod secret;
mod support;
