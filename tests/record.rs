//! The record of exchanges: what it says is what went over the wire.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

#[path = "record/book.rs"]
mod book;
#[path = "record/bytes.rs"]
mod bytes;
#[path = "record/context.rs"]
mod context;
#[path = "record/crash.rs"]
mod crash;
#[path = "record/endings.rs"]
mod endings;
#[path = "record/full.rs"]
mod full;
#[path = "record/holds.rs"]
mod holds;
#[path = "record/redacted.rs"]
mod redacted;
#[path = "record/retention.rs"]
mod retention;
#[path = "record/sealed.rs"]
mod sealed;
#[path = "record/secrets.rs"]
mod secrets;
#[path = "record/stall.rs"]
mod stall;
mod support;
