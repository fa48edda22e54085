//! The record of exchanges: what it says is what went over the wire.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

#[path = "evidence/book.rs"]
mod book;
#[path = "evidence/bytes.rs"]
mod bytes;
#[path = "evidence/crash.rs"]
mod crash;
#[path = "evidence/endings.rs"]
mod endings;
#[path = "evidence/secrets.rs"]
mod secrets;
mod support;
