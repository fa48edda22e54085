//! Recorded exchanges again, through the same code.
//!
//! A record has all that decided an exchange: the request, and the provider's answer in the pieces
//! in which it came. So it can be run again by the very functions that ran it
//! ([`crate::exchange::screen`], [`crate::exchange::relay`]), under the rules of then or others, and
//! what comes out can be laid beside what the client got. Four uses:
//!
//! * [`engine`]: one exchange, offline: its verdict, its findings, the bytes to the client;
//!   [`compare`] says what differs from the record, [`tally`] counts many, [`html`] shows them to people;
//! * [`backtest`]: one pack of rules over the whole history, at the speed of the disk and the rules;
//! * [`tape`]: the record as a provider, which answers a request as it was answered then;
//! * [`live`]: recorded requests to a running gateway, and how its answers differ.
//!
//! What always holds: the record is only read; what cannot be run again is told with the reason
//! ([`engine::Why`]) and never left out of a count; an exchange counts as the same only if every
//! byte is.
//!
//! Order: [`walk`] reads the segments, [`gather`] finds the lines of an exchange in them,
//! [`evidence::exchange`](crate::evidence::exchange) reads it back, [`rules`] says who judges it.

pub mod backtest;
pub mod compare;
pub mod engine;
pub mod gather;
pub mod html;
pub mod live;
pub mod rules;
pub mod said;
pub mod search;
pub mod tally;
pub mod tape;
#[cfg(test)]
mod tests;
pub mod walk;
