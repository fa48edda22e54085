//! What the codec must do, as tables; each table is also run at every split.

mod bodies;
mod requests;
mod responses;
mod targets;
mod writers;

use super::*;
use http::Method;

/// Reads a request from pieces of `bytes` that grow by `step`.
fn request_in_steps(bytes: &[u8], step: usize, limits: &Limits) -> ParsedRequest {
    let mut known = 0;
    loop {
        let parsed = parse_request(&bytes[..known], limits);
        if parsed != ParsedRequest::Partial || known == bytes.len() {
            return parsed;
        }
        known = bytes.len().min(known + step);
    }
}

/// A request head that must be taken.
fn request(bytes: &[u8]) -> RequestHead {
    match parse_request(bytes, &Limits::default()) {
        ParsedRequest::Head { head, .. } => head,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

/// A response head that must be taken.
fn response(bytes: &[u8], method: &Method) -> ResponseHead {
    match parse_response(bytes, &Limits::default(), method) {
        ParsedResponse::Head { head, .. } => head,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}
