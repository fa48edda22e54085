//! The trust boundary: what clients, providers, pages and files must not be able to do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod support;
mod trust {
    mod admin;
    mod labels;
    mod paths;
    mod secrets;
    mod ssrf;
    mod start;
    mod tls;

    use crate::support::{Answer, Client};
    use std::net::SocketAddr;

    /// SHA-256 in hexadecimal.
    fn sha256(text: &str) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// Sends `request` as it is on a connection of its own.
    fn raw(address: SocketAddr, request: &str) -> Answer {
        Client::connect(address).send(request.as_bytes()).answer()
    }

    /// An app whose key is `key`.
    fn app(name: &str, key: &str) -> String {
        format!("[apps.{name}]\nkey_sha256 = [\"{}\"]\n\n", sha256(key))
    }
}
