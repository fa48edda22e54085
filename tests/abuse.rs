//! Hostile HTTP, hostile streams and hostile JSON against the running binary.
//!
//! Each test is a case of the list that the gateway is held to; its number is in its name. What
//! always holds afterwards: the provider got no request that it should not have got, and the
//! gateway serves the next caller.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod abuse {
    mod bodies;
    mod framing;
    mod http2;
    mod limits;
    mod upstream;
}
mod support;
