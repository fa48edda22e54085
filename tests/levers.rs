//! Levers on the running binary: what they refuse and cut, that they survive every death of the
//! process, and what is known of them afterwards.
//!
//! The providers stamp each token with a number that only grows, so that "nothing after the
//! acknowledgement" is a comparison of two numbers and not of two clocks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod levers {
    mod crash;
    mod flight;
    mod hand;
    mod log;
    mod order;
    mod passing;
    mod proof;
    mod provider;
    mod refuse;
    mod shell;
    mod states;
    mod time;
    mod together;
    mod tools;
    mod trial;
}
mod support;
