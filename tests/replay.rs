//! The record run again: the same by the same rules, and exactly what a candidate changes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

#[path = "replay/api.rs"]
mod api;
#[path = "record/book.rs"]
#[expect(dead_code, reason = "the tests of the record use all of it")]
mod book;
#[path = "replay/determinism.rs"]
mod determinism;
#[path = "replay/history.rs"]
mod history;
#[path = "replay/outcomes.rs"]
mod outcomes;
#[path = "replay/reasons.rs"]
mod reasons;
#[path = "replay/recordings.rs"]
mod recordings;
