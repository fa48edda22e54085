//! Credentials are nowhere: not in the record, not in the log, not in what the gate says.

use crate::book;
use crate::support::{Gateway, Upstream, post};
use serde_json::json;
use std::path::Path;

/// All bytes of all files below `folder`, the frames of the record unpacked.
fn all_bytes(folder: &Path, into: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_bytes(&path, into);
        } else if let Ok(bytes) = std::fs::read(&path) {
            into.extend_from_slice(&bytes);
        }
    }
}

#[test]
fn no_credential_is_kept_wherever_a_client_puts_it() {
    let upstream = Upstream::fixed(
        &b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: sid=MARK-cookie\r\nx-acme-token: MARK-answer\r\ncontent-length: 2\r\n\r\n{}"[..],
    );
    let url = upstream.url();
    let routes = format!(
        "[providers.oai]\ndialect = \"openai\"\nbase_url = \"{url}/v1\"\n\n\
         [providers.own]\ndialect = \"openai\"\nbase_url = \"{url}/v1\"\napi_key = \"${{KEY}}\"\nheaders = {{ x-acme-api-key = \"${{OTHER}}\" }}\n\n\
         [[routes]]\nname = \"own\"\nmatch = {{ model = \"own\" }}\ntargets = [{{ provider = \"own\" }}]\n\n\
         [[routes]]\nname = \"oai\"\ntargets = [{{ provider = \"oai\" }}]\n"
    );
    let gateway =
        Gateway::start_with(&routes, &[("KEY", "MARK-provider"), ("OTHER", "MARK-header")]);
    let mut last = String::new();
    for model in ["own", "other"] {
        for (place, value) in [
            ("authorization", "Bearer MARK-bearer"),
            ("x-api-key", "MARK-x-api-key"),
            ("api-key", "MARK-api-key"),
            ("x-goog-api-key", "MARK-goog"),
            ("cookie", "a=MARK-cookies"),
            ("x-firedoor-key", "MARK-firedoor"),
            ("proxy-authorization", "Basic MARK-proxy"),
            ("x-amz-security-token", "MARK-amz"),
            ("x-my-company-secret", "MARK-company"),
            ("x-forwarded-auth", "MARK-forwarded"),
            ("x-odd", "bearer MARK-odd"),
        ] {
            let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
            let path = "/v1/chat/completions?key=MARK-query&api_key=MARK-query2&sig=MARK-query3";
            let answer = post(gateway.data, path, &[(place, value)], &body.to_string());
            last = answer.head.field("x-firedoor-exchange").unwrap().to_owned();
            assert!(!String::from_utf8_lossy(&answer.body).contains("MARK-"), "{}", answer.text());
        }
    }
    let told = book::exchange(&gateway.data_dir(), &last);
    assert_eq!(told.close["outcome"], "completed");
    let mut bytes = gateway.metrics().into_bytes();
    for path in ["/api/v1/exchanges", "/api/v1/status", "/api/v1/providers", "/api/v1/routes"] {
        bytes.extend_from_slice(gateway.admin_call("GET", path).text().as_bytes());
    }
    for line in book::lines(&gateway.data_dir()) {
        bytes.extend_from_slice(line.to_string().as_bytes());
    }
    all_bytes(&gateway.data_dir(), &mut bytes);
    bytes.extend_from_slice(gateway.process.stderr.text().as_bytes());
    let text = String::from_utf8_lossy(&bytes);
    if let Some(at) = text.find("MARK-") {
        panic!("{}", &text[at.saturating_sub(200)..(at + 100).min(text.len())]);
    }
}
