//! Authentication and dispatch see one path, whatever it looks like.

use super::app;
use crate::support::{CASES, Client, Gateway, MockServer, get_json, routes_to};

const KEY: &str = "key-of-the-shop";

/// Paths that some parser in some gateway has read differently from another.
const CONFUSING: [&str; 16] = [
    "/oai/../ant/v1/messages",
    "/oai/%2e%2e/ant/v1/messages",
    "/oai/..%2fant/v1/messages",
    "/oai/..;/ant/v1/messages",
    "/oai/..\\ant/v1/messages",
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/./v1/chat/completions",
    "/v1/chat/./completions",
    "/v1/chat%2fcompletions",
    "/v1%2Fchat/completions",
    "/v1/chat/completions%00",
    "/v1/chat/completions%0d%0ax-evil:%201",
    "/v1/%252e%252e/chat/completions",
    "/v1/chat/completions#/../admin",
    "/oai/%2e/v1/chat/completions",
];

/// Paths that are just other paths: without a key nobody gets through, with one they go on as
/// they are.
const OTHER: [&str; 6] = [
    "/v1/chat/completions/",
    "/v1/chat/completions;a=b",
    "/V1/chat/completions",
    "/oai/v1/chat/completions",
    "/v1/chat/completion%73",
    "/OAI/v1/chat/completions",
];

fn post(gateway: &Gateway, path: &str, fields: &[(&str, &str)]) -> u16 {
    let all = [&[("content-type", "application/json")], fields].concat();
    let body = CASES[0].body("m", "hello", false);
    let mut client = Client::connect(gateway.data);
    client.request("POST", path, &all, body.as_bytes()).answer().status()
}

#[test]
fn d3_30_confusing_paths_reach_nobody() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&(app("shop", KEY) + &routes_to(&mock.url(), "")));
    for path in CONFUSING {
        for fields in [&[][..], &[("x-firedoor-key", KEY)]] {
            assert_eq!(post(&gateway, path, fields), 400, "{path}");
        }
    }
    for path in OTHER {
        assert_eq!(post(&gateway, path, &[]), 401, "{path}");
    }
    assert_eq!(get_json(mock.address, "/stats")["requests"], 0);
    for path in OTHER {
        let status =
            post(&gateway, path, &[("x-firedoor-key", KEY), ("authorization", "Bearer own")]);
        assert!([200, 404].contains(&status), "{path}: {status}");
    }
    for seen in get_json(mock.address, "/requests").as_array().unwrap() {
        let target = seen["target"].as_str().unwrap();
        let known = OTHER.iter().any(|path| {
            let canonical = path.replace("%73", "s");
            canonical == target || canonical.strip_prefix("/oai") == Some(target)
        });
        assert!(known, "{target}");
        assert!(!seen["head"].as_str().unwrap().contains(KEY));
    }
}

/// A missing, an unknown and a wrong key are told apart by nobody, in any dialect.
#[test]
fn d3_34_one_refusal_for_every_wrong_key() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&(app("shop", KEY) + &routes_to(&mock.url(), "")));
    let almost = format!("{KEY}x");
    let bearer = format!("Bearer {almost}");
    for case in &CASES {
        let mut told = Vec::new();
        for fields in [
            &[][..],
            &[("x-firedoor-key", "")],
            &[("x-firedoor-key", "unknown")],
            &[("x-firedoor-key", &almost)],
            &[("x-firedoor-key", &KEY[1..])],
            &[("authorization", &bearer)],
            &[("authorization", "Basic dXNlcjpwYXNz")],
            &[("x-api-key", &almost)],
            &[("x-goog-api-key", &almost)],
            &[("api-key", &almost)],
        ] {
            let answer = case.ask_with(&gateway, fields, true).answer();
            case.assert_refused(&gateway, &answer, 401, "invalid_api_key");
            let id = answer.head.field("x-firedoor-exchange").unwrap().to_owned();
            told.push((answer.status(), answer.text().replace(&id, "ID")));
        }
        told.dedup();
        assert_eq!(told.len(), 1, "{told:?}");
    }
    assert_eq!(get_json(mock.address, "/stats")["requests"], 0);
}
