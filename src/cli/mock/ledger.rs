//! What arrived: counters and the last requests, for tests to look at.
//!
//! Credentials are not kept. In their place stands `sha256:` and the first sixteen hexadecimal
//! digits of their hash, by which a test can tell which of its keys came through.

use super::peer::Request;
use crate::id::hex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many requests are kept.
const REQUESTS_MAX: usize = 256;
/// The longest body that is kept, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// How many paths are counted apart; the others together.
const PATHS_MAX: usize = 256;

/// Header fields that carry credentials.
const SECRET_FIELDS: [&str; 6] =
    ["authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"];

/// Counters, and the last requests.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Connections taken.
    pub(super) connections: AtomicU64,
    /// Whole requests read, `/stats` and `/requests` aside.
    requests: AtomicU64,
    /// Answers under way.
    open: AtomicU64,
    /// Answers that a client did not wait for.
    pub(super) aborted: AtomicU64,
    /// Requests that could not be read, or that a client left inside of.
    pub(super) broken: AtomicU64,
    /// Answers of a model begun; faults count by it.
    answers: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    paths: BTreeMap<String, u64>,
    requests: VecDeque<Value>,
}

/// Counts an answer as under way until it is dropped.
#[derive(Debug)]
pub(super) struct Open<'l>(Option<&'l Ledger>);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(ledger) = self.0 {
            ledger.open.fetch_sub(1, Relaxed);
        }
    }
}

impl Ledger {
    /// Notes a request, unless it only asks what was noted.
    pub(super) fn open(&self, request: &Request) -> Open<'_> {
        if matches!(request.path(), "/stats" | "/requests") {
            return Open(None);
        }
        self.open.fetch_add(1, Relaxed);
        let number = self.requests.fetch_add(1, Relaxed);
        let entry = entry(number, request);
        let mut told = self.told();
        let is_known = told.paths.contains_key(request.path());
        let path = if is_known || told.paths.len() < PATHS_MAX { request.path() } else { "other" };
        *told.paths.entry(path.to_owned()).or_default() += 1;
        if told.requests.len() == REQUESTS_MAX {
            told.requests.pop_front();
        }
        told.requests.push_back(entry);
        Open(Some(self))
    }

    /// The number of the next model answer, from 0.
    pub(super) fn next_answer(&self) -> u64 {
        self.answers.fetch_add(1, Relaxed)
    }

    /// The counters.
    pub(super) fn stats(&self) -> Value {
        json!({
            "connections": self.connections.load(Relaxed),
            "requests": self.requests.load(Relaxed),
            "open": self.open.load(Relaxed),
            "aborted": self.aborted.load(Relaxed),
            "broken": self.broken.load(Relaxed),
            "by_path": self.told().paths,
        })
    }

    /// The last requests, the oldest first.
    pub(super) fn requests(&self) -> Value {
        Value::Array(self.told().requests.iter().cloned().collect())
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // Each change leaves it whole, so a panic elsewhere does no harm.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(number: u64, request: &Request) -> Value {
    let mut entry = json!({
        "number": number,
        "method": request.method,
        "target": target(request),
        "head": head(request),
        "body_bytes": request.body.len(),
        "body_sha256": sha256(&request.body),
    });
    if request.body.len() <= BODY_BYTES_MAX {
        match std::str::from_utf8(&request.body) {
            Ok(text) => entry["body"] = text.into(),
            Err(_) => entry["body_hex"] = hex(&request.body).into(),
        }
    }
    entry
}

/// The request as JSON, for paths that nothing else answers.
pub(super) fn echo(request: &Request) -> Value {
    let fields: Vec<Value> = request
        .fields
        .iter()
        .map(|(name, value)| json!([name, shown(name, &String::from_utf8_lossy(value))]))
        .collect();
    json!({
        "method": request.method,
        "path": target(request),
        "headers": fields,
        "body_bytes": request.body.len(),
        "body_sha256": sha256(&request.body),
    })
}

/// The head as it came, line for line, but for its credentials.
fn head(request: &Request) -> String {
    let text = String::from_utf8_lossy(&request.head);
    let mut shown_head = String::with_capacity(text.len());
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let end = line.trim_end_matches(['\r', '\n']).len();
        let (content, line_end) = line.split_at(end);
        if at == 0 {
            shown_head.push_str(&content.replace(&request.target, &target(request)));
        } else if let Some((name, value)) = content.split_once(':') {
            let blank = value.len() - value.trim_start().len();
            shown_head.push_str(&content[..name.len() + 1 + blank]);
            shown_head.push_str(&shown(name, &value[blank..]));
        } else {
            shown_head.push_str(content);
        }
        shown_head.push_str(line_end);
    }
    shown_head
}

/// The target without the credential that Gemini clients put into the query.
fn target(request: &Request) -> String {
    let Some((path, query)) = request.target.split_once('?') else {
        return request.target.clone();
    };
    let parts: Vec<String> = query
        .split('&')
        .map(|part| match part.split_once('=') {
            Some((name @ ("key" | "access_token"), value)) => format!("{name}={}", masked(value)),
            _ => part.to_owned(),
        })
        .collect();
    format!("{path}?{}", parts.join("&"))
}

/// A field's value, masked if it is a credential. The scheme (`Bearer`) stays.
fn shown(name: &str, value: &str) -> String {
    if !SECRET_FIELDS.iter().any(|secret| secret.eq_ignore_ascii_case(name.trim())) {
        return value.to_owned();
    }
    match value.split_once(' ') {
        Some((scheme, credential)) => format!("{scheme} {}", masked(credential)),
        None => masked(value),
    }
}

fn masked(secret: &str) -> String {
    format!("sha256:{}", &sha256(secret.as_bytes())[..16])
}

fn sha256(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        let head = "POST /v1beta/models/m:generateContent?key=secret&alt=sse HTTP/1.1\r\n\
                    Authorization:  Bearer sk-1\r\nX-API-Key: sk-2\r\nAccept: */*\r\n\r\n";
        Request {
            method: "POST".into(),
            target: "/v1beta/models/m:generateContent?key=secret&alt=sse".into(),
            head: head.into(),
            fields: vec![("X-API-Key".into(), b"sk-2".to_vec())],
            body: vec![0xFF],
            ..Request::default()
        }
    }

    #[test]
    fn credentials_are_told_by_their_hash_only() {
        let entry = entry(0, &request());
        let head = entry["head"].as_str().unwrap();
        assert!(head.contains("Authorization:  Bearer sha256:"), "{head}");
        assert!(head.contains(&format!("X-API-Key: sha256:{}", &sha256(b"sk-2")[..16])));
        assert!(head.contains("\r\nAccept: */*\r\n\r\n"));
        let all = entry.to_string() + &echo(&request()).to_string();
        for secret in ["sk-1", "sk-2", "secret"] {
            assert!(!all.contains(secret), "{all}");
        }
        assert!(all.contains("&alt=sse"));
        assert_eq!(entry["body_hex"], "ff");
    }

    #[test]
    fn only_the_last_requests_are_kept() {
        let ledger = Ledger::default();
        for _ in 0..REQUESTS_MAX + 3 {
            let _open = ledger.open(&request());
            assert_eq!(ledger.stats()["open"], 1);
        }
        let kept = ledger.requests();
        assert_eq!(kept.as_array().unwrap().len(), REQUESTS_MAX);
        assert_eq!(kept[0]["number"], 3);
        assert_eq!(ledger.stats()["open"], 0);
        let count = &ledger.stats()["by_path"]["/v1beta/models/m:generateContent"];
        assert_eq!(*count, REQUESTS_MAX + 3);
    }
}
