//! The admin plane from outside: real sockets, raw requests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a failure in a test is a failed test"
)]

#[path = "support/plane.rs"]
mod plane;

use firedoor::admin::endpoints::Verb;
use firedoor::admin::{Access, ENDPOINTS, OPENAPI, Role};
use firedoor::id::ExchangeId;
use firedoor::telemetry::Phase;
use firedoor::telemetry::recent::RECENT_MAX;
use http_body_util::BodyExt;
use plane::{Answer, PROVIDER_KEY, Plane, facts};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn example(path: &str) -> String {
    path.replace("{id}", &ExchangeId(1).to_string())
}

#[tokio::test]
async fn every_route_asks_for_its_role_and_no_less() {
    let plane = Plane::start().await;
    plane.telemetry.record(facts(1));
    for endpoint in ENDPOINTS {
        let path = example(endpoint.path);
        // The stream does not end by itself; that it is let in shows elsewhere.
        let is_stream = endpoint.path == "/api/v1/events";
        let method = if is_stream { "HEAD" } else { endpoint.verb.name() };
        let needed = match endpoint.access {
            Access::Open => None,
            Access::Role(role) => Some(role),
        };
        let anonymous = plane.ask(method, &path, &[]).await;
        anonymous.assert_safe_headers();
        assert_eq!(anonymous.status == 401, needed.is_some(), "{path}: {anonymous:?}");
        let wrong = plane.ask(method, &path, &[("authorization", "Bearer fdt_wrong")]).await;
        assert_eq!((wrong.status, &wrong.body), (anonymous.status, &anonymous.body), "{path}");
        for role in Role::ALL {
            let bearer = plane.bearer(role);
            let answer = plane.ask(method, &path, &[("authorization", &bearer)]).await;
            answer.assert_safe_headers();
            assert_ne!(answer.status, 401, "{path}: {answer:?}");
            let may = needed.is_none_or(|needed| role >= needed);
            assert_eq!(answer.status == 403, !may, "{path} as {role:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn who_may_only_list_cannot_ask_for_words() {
    let plane = Plane::start().await;
    for path in ["/api/v1/search?q=", "/api/v1/sessions?filter="] {
        for (filter, is_refused) in [("word", true), ("-prompt:word", true), ("app:x", false)] {
            for role in Role::ALL {
                let bearer = plane.bearer(role);
                let path = format!("{path}{filter}");
                let answer = plane.ask("GET", &path, &[("authorization", &bearer)]).await;
                let is_viewer = role == Role::Viewer;
                assert_eq!(answer.status == 403, is_viewer && is_refused, "{path}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn d3_34_unknown_expired_and_missing_tokens_look_the_same() {
    let plane = Plane::start().await;
    let token = &plane.tokens[&Role::Viewer];
    let shown = plane.ask("GET", "/api/v1/status", &[]).await;
    assert_eq!((shown.status, shown.problem()), (401, "unauthenticated".to_owned()));
    assert_eq!(shown.headers["www-authenticate"], "Bearer realm=\"firedoor\"");
    for value in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Basic {token}"),
        format!("Bearer {token}x"),
        format!("Bearer {}", token.to_uppercase()),
        format!("Bearer {token} {token}"),
        token.clone(),
    ] {
        let answer = plane.ask("GET", "/api/v1/status", &[("authorization", &value)]).await;
        assert_eq!((answer.status, answer.body), (401, shown.body.clone()), "{value}");
    }
    let bearer = plane.bearer(Role::Viewer);
    let twice = [("authorization", &*bearer), ("authorization", &*bearer)];
    assert_eq!(plane.ask("GET", "/api/v1/status", &twice).await.status, 401);
    let query = format!("/api/v1/status?token={token}");
    assert_eq!(plane.ask("GET", &query, &[]).await.status, 401);
}

#[tokio::test]
async fn a_revoked_token_ends_with_the_next_reload() {
    let plane = Plane::start().await;
    let path = plane.dir.path().join("tokens.json");
    let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    file["tokens"].as_array_mut().unwrap().retain(|entry| entry["role"] != "viewer");
    std::fs::write(&path, file.to_string()).unwrap();
    assert_eq!(plane.get("/api/v1/status").await.status, 200);
    plane.unix().post("/api/v1/reload", &Value::Null, None).await.unwrap();
    assert_eq!(plane.get("/api/v1/status").await.status, 401);
}

#[tokio::test]
async fn other_names_are_refused_before_any_token_is_looked_at() {
    let plane = Plane::start().await;
    let bearer = plane.bearer(Role::Admin);
    for host in ["evil.example", "127.0.0.1.evil.example:4801", "localhost.", "[::1].evil.example"]
    {
        for path in ["/healthz", "/api/v1/status"] {
            let headers = [("host", host), ("authorization", &*bearer)];
            let answer = plane.ask("GET", path, &headers).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (421, "misdirected".to_owned()),
                "{host}"
            );
            answer.assert_safe_headers();
        }
    }
    for host in ["localhost", "LocalHost:1", "[::1]:4801", "10.0.0.1", "firedoor.internal:4801"] {
        assert_eq!(plane.ask("GET", "/healthz", &[("host", host)]).await.status, 200, "{host}");
    }
    // No host, two hosts, and a target that names another host than the header.
    assert_eq!(plane.raw("GET /healthz HTTP/1.0\r\n\r\n").await.status, 400);
    let two = [("host", "localhost"), ("host", "evil.example")];
    assert_eq!(plane.ask("GET", "/healthz", &two).await.status, 400);
    let absolute =
        "GET http://evil.example/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(plane.raw(absolute).await.status, 421);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let plane = Plane::start().await;
    let bearer = plane.bearer(Role::Admin);
    let host = plane.address.to_string();
    let own = format!("http://{host}");
    let ask = async |method: &str, path: &str, name: &str, value: &str| {
        plane.ask(method, path, &[("authorization", &bearer), (name, value)]).await
    };
    for origin in ["http://evil.example", "null", "http://127.0.0.1", "http://localhost:3000"] {
        for (method, path) in [("GET", "/api/v1/status"), ("POST", "/api/v1/reload")] {
            let answer = ask(method, path, "origin", origin).await;
            assert_eq!((answer.status, answer.problem()), (403, "cross-site".to_owned()));
        }
        let preflight = ask("OPTIONS", "/api/v1/reload", "origin", origin).await;
        assert_eq!(preflight.status, 403);
        preflight.assert_safe_headers();
    }
    assert_eq!(ask("GET", "/api/v1/status", "origin", &own).await.status, 200);
    for site in ["cross-site", "same-site", "what"] {
        assert_eq!(ask("POST", "/api/v1/reload", "sec-fetch-site", site).await.status, 403);
        assert_eq!(ask("GET", "/api/v1/status", "sec-fetch-site", site).await.status, 200);
    }
    assert_ne!(ask("POST", "/api/v1/reload", "sec-fetch-site", "same-origin").await.status, 403);
}

#[tokio::test]
async fn paths_mean_one_thing_only() {
    let plane = Plane::start().await;
    let bearer = plane.bearer(Role::Admin);
    for path in [
        "//api/v1/status",
        "/api/v1/status/",
        "/api/v1//status",
        "/API/v1/status",
        "/api/v1/%73tatus",
        "/api/v1/status;x",
        "/api/v1/./status",
        "/healthz/../api/v1/status",
        "/healthz%2f..%2fapi/v1/status",
        "/api/v1/exchanges/x/../../status",
        "/",
        "/api",
        "/api/v1/exchanges/",
    ] {
        for headers in [&[][..], &[("authorization", &*bearer)][..]] {
            let answer = plane.ask("GET", path, headers).await;
            assert_eq!((answer.status, answer.problem()), (404, "not-found".to_owned()), "{path}");
            answer.assert_safe_headers();
        }
    }
    for id in ["x_1", "..%2fstatus", "%ff", "x_0000000000000000000000000000000G"] {
        let answer = plane.get(&format!("/api/v1/exchanges/{id}")).await;
        assert_eq!((answer.status, answer.problem()), (400, "bad-request".to_owned()), "{id}");
    }
}

#[tokio::test]
async fn other_methods_are_refused_with_what_is_allowed() {
    let plane = Plane::start().await;
    let bearer = plane.bearer(Role::Admin);
    for endpoint in ENDPOINTS {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            let path = example(endpoint.path);
            let at_path = || ENDPOINTS.iter().filter(|other| other.path == endpoint.path);
            if at_path().any(|other| method == other.verb.name()) {
                continue;
            }
            let answer = plane.ask(method, &path, &[("authorization", &bearer)]).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.problem(), "method-not-allowed");
            let mut allowed: Vec<&str> = at_path()
                .flat_map(|other| match other.verb {
                    Verb::Get => vec!["GET", "HEAD"],
                    Verb::Post => vec!["POST"],
                    Verb::Delete => vec!["DELETE"],
                })
                .collect();
            allowed.sort_unstable();
            let mut told: Vec<&str> = answer.headers["allow"].split(',').collect();
            told.sort_unstable();
            assert_eq!(told, allowed, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn readiness_follows_the_phase_and_tells_no_names() {
    let plane = Plane::start().await;
    assert_eq!(plane.ask("GET", "/healthz", &[]).await.body, "ok\n");
    let answer = plane.ask("GET", "/readyz", &[]).await;
    assert_eq!((answer.status, &*answer.body), (503, "starting\n"));
    plane.lifecycle.advance(Phase::Ready);
    let answer = plane.ask("GET", "/readyz", &[]).await;
    assert_eq!((answer.status, &*answer.body), (200, "ready\n"));
    let answer = plane.ask("GET", "/readyz?verbose", &[]).await;
    assert_eq!((answer.status, &answer.json()["ready"]), (200, &json!(true)));
    assert!(!answer.body.contains("openai"));
    plane.lifecycle.advance(Phase::Draining);
    let answer = plane.ask("GET", "/readyz?verbose=1", &[]).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["checks"][1]["detail"], "draining");
    assert_eq!(plane.ask("GET", "/healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn the_status_tells_what_runs() {
    let plane = Plane::start().await;
    let _open = plane.telemetry.meters().open_exchanges().hold();
    plane.telemetry.record(facts(1));
    let answer = plane.get("/api/v1/status").await;
    assert_eq!(answer.headers["etag"], "\"7\"");
    let status = answer.json();
    for (key, value) in [
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("pid", json!(std::process::id())),
        ("epoch", json!(7)),
        ("digest", json!("d1")),
        ("open_exchanges", json!(1)),
        ("exchanges_total", json!(1)),
        ("last_reload", Value::Null),
        ("warnings", json!([])),
        ("listeners", json!([{ "plane": "admin", "address": "127.0.0.1:0" }])),
    ] {
        assert_eq!(status[key], value, "{key}");
    }
    assert_eq!(status["targets"][0]["target"], "openai/gpt-4o");
    assert_eq!(status["targets"][0]["state"], "open");
    let metrics = plane.get("/metrics").await;
    assert_eq!(metrics.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(metrics.body.contains("firedoor_refusals_total{class=\"firedoor_killed\"} 1"));
    assert!(metrics.body.contains("firedoor_table_epoch 7"));
}

#[tokio::test]
async fn lists_come_in_pages_and_hold_no_credentials() {
    let plane = Plane::start().await;
    let first = plane.get("/api/v1/routes?limit=2").await.json();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    assert_eq!(first["items"][0]["targets"][0]["target"], "openai/gpt-4o");
    assert_eq!(first["items"][0]["retry"], json!({ "attempts": 2, "on": ["connect", "5xx"] }));
    let next = first["next"].as_str().unwrap();
    let second = plane.get(&format!("/api/v1/routes?limit=2&cursor={next}")).await.json();
    assert_eq!(second["items"][0]["name"], "third");
    assert_eq!(second["next"], Value::Null);
    let providers = plane.get("/api/v1/providers").await;
    assert_eq!(providers.json()["items"][0]["base_url"], "https://api.openai.com/v1");
    assert_eq!(providers.json()["items"][0]["credential"], "own");
    assert!(!providers.body.contains(PROVIDER_KEY), "{providers:?}");
    for query in [
        "limit=0",
        "limit=-1",
        "limit=x",
        "cursor=x",
        "cursor=7.99",
        "cursor=6.1",
        "cursor=7.-1",
        "what=1",
        "limit=1&limit=2",
    ] {
        let answer = plane.get(&format!("/api/v1/routes?{query}")).await;
        assert_eq!((answer.status, answer.problem()), (400, "bad-request".to_owned()), "{query}");
    }
}

#[tokio::test]
async fn a_refusal_is_found_by_its_id() {
    let plane = Plane::start().await;
    for id in 1..=5 {
        plane.telemetry.record(facts(id));
    }
    let found = plane.get(&format!("/api/v1/exchanges/{}", ExchangeId(3))).await;
    assert_eq!(found.json()["class"], "firedoor_killed");
    assert_eq!(found.json()["model_asked"], "m\u{1b}[2J");
    assert!(!found.body.contains('\u{1b}'));
    let missing = plane.get(&format!("/api/v1/exchanges/{}", ExchangeId(99))).await;
    assert_eq!((missing.status, missing.problem()), (404, "not-found".to_owned()));
    let page = plane.get("/api/v1/exchanges?limit=3").await.json();
    assert_eq!(page["items"][0]["sequence"], 5);
    let next = page["next"].as_str().unwrap();
    let page = plane.get(&format!("/api/v1/exchanges?limit=3&cursor={next}")).await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    assert_eq!(page["next"], Value::Null);
}

#[tokio::test]
async fn a_reload_minds_its_condition_and_reports_errors() {
    let plane = Plane::start().await;
    let client = plane.client();
    let stale = client.post("/api/v1/reload", &Value::Null, Some(6)).await.unwrap();
    assert_eq!((stale.status, &stale.json()["epoch"]), (412, &json!(7)));
    assert_eq!(stale.json()["type"], "urn:firedoor:problem:superseded");
    assert_eq!(client.get("/api/v1/status").await.unwrap().json()["last_reload"], Value::Null);
    // The file does not exist.
    let refused = client.post("/api/v1/reload", &json!({}), Some(7)).await.unwrap();
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json()["diagnostics"][0]["code"], "FD0001");
    let status = client.get("/api/v1/status").await.unwrap().json();
    assert_eq!(status["last_reload"]["outcome"], "refused");
    assert_eq!(status["epoch"], 7);
    let metrics = client.get("/metrics").await.unwrap();
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("firedoor_config_reload_failed 1\n"), "{metrics}");
    assert!(metrics.contains("firedoor_reloads_total{outcome=\"refused\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn bodies_are_judged_before_anything_is_done() {
    let plane = Plane::start().await;
    let bearer = plane.bearer(Role::Author);
    let post = async |headers: &str, body: &str| {
        let length = body.len();
        let raw = format!(
            "POST /api/v1/reload HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             authorization: {bearer}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        plane.raw(&raw).await
    };
    let json_type = "content-type: application/json; charset=utf-8\r\n";
    for (headers, body, status) in [
        (json_type, "{", 400),
        (json_type, "[]x", 400),
        (json_type, "{\"role\":\"admin\"}", 400),
        ("content-type: text/plain\r\n", "{}", 415),
        ("", "{}", 415),
        ("if-match: 7\r\n", "", 400),
        (json_type, "{}", 422),
    ] {
        let answer = post(headers, body).await;
        assert_eq!(answer.status, status, "{headers} {body}: {answer:?}");
        answer.problem();
    }
    let large = " ".repeat(1024 * 1024 + 1);
    let mut stream = plane.connect().await;
    let head = format!(
        "POST /api/v1/reload HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\n\
         content-length: {}\r\n{json_type}\r\n",
        large.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(large.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 4096];
    let read = stream.read(&mut bytes).await.unwrap();
    assert_eq!(Answer::read(&bytes[..read]).status, 413);
}

#[tokio::test]
async fn heads_are_bounded() {
    let plane = Plane::start().await;
    let many = "x: 1\r\n".repeat(100);
    let raw = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{many}\r\n");
    assert_eq!(plane.raw(&raw).await.status, 431);
    let long = "a".repeat(64 * 1024);
    let raw = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n");
    let mut stream = plane.connect().await;
    // The server may close before all is written.
    let _ = stream.write_all(raw.as_bytes()).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    assert!([0, 431].contains(&Answer::read(&bytes).status));
    assert_eq!(plane.ask("GET", "/healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn the_unix_socket_needs_no_token() {
    let plane = Plane::start().await;
    let status = plane.unix().get("/api/v1/status").await.unwrap();
    assert!(status.is_success());
    assert_eq!(status.json()["epoch"], 7);
    let reload = plane.unix().post("/api/v1/reload", &Value::Null, Some(1)).await.unwrap();
    assert_eq!(reload.status, 412);
}

/// Reads events until `count` of them are whole.
async fn events(body: &mut hyper::body::Incoming, count: usize) -> Vec<(String, String, Value)> {
    let mut text = String::new();
    while text.matches("\n\n").count() < count {
        let frame = body.frame().await.expect("the stream goes on").unwrap();
        text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
    }
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim_start_matches(": ").to_owned()
    };
    text.split_terminator("\n\n")
        .map(|event| {
            let data = serde_json::from_str(&field(event, "data")).unwrap();
            (field(event, "event"), field(event, "id"), data)
        })
        .collect()
}

#[tokio::test]
async fn events_follow_and_a_gap_is_told() {
    let plane = Plane::start().await;
    let answer = plane.client().open("/api/v1/events").await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    let hello = &events(&mut body, 1).await[0];
    assert_eq!((&*hello.0, &hello.2["epoch"]), ("hello", &json!(7)));
    plane.telemetry.record(facts(1));
    let first = events(&mut body, 1).await.remove(0);
    assert_eq!(first.0, "exchange");
    assert_eq!(first.2["id"], ExchangeId(1).to_string());
    assert_eq!(first.2["sequence"], 1);
    // The reader is away for more than the ring holds.
    drop(body);
    for id in 2..=(RECENT_MAX as u128 + 4) {
        plane.telemetry.record(facts(id));
    }
    let bearer = plane.bearer(Role::Viewer);
    let mut stream = plane.connect().await;
    let raw = format!(
        "GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\n\
         last-event-id: {}\r\n\r\n",
        first.1
    );
    stream.write_all(raw.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains("\"sequence\":6") {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).await.unwrap();
        assert_ne!(read, 0, "{text}");
        text += &String::from_utf8_lossy(&bytes[..read]);
    }
    assert!(text.contains("event: gap"), "{text}");
    assert!(text.contains("data: {\"missed\":3}"), "{text}");
    assert!(!text.contains("\"sequence\":4,"), "{text}");
}

#[tokio::test]
async fn events_of_another_process_begin_with_an_unknown_gap() {
    let plane = Plane::start().await;
    let bearer = plane.bearer(Role::Viewer);
    for id in ["1-5", "nonsense", "", "-", "ffffffffffffffff-18446744073709551615"] {
        let mut stream = plane.connect().await;
        let raw = format!(
            "GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\n\
             last-event-id: {id}\r\n\r\n"
        );
        stream.write_all(raw.as_bytes()).await.unwrap();
        let mut text = String::new();
        while !text.contains("event: hello") {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).await.unwrap();
            text += &String::from_utf8_lossy(&bytes[..read]);
        }
        assert!(text.contains("data: {\"missed\":null}"), "{text}");
    }
}

#[tokio::test]
async fn readers_of_events_are_bounded_and_leave_their_place() {
    let plane = Plane::start().await;
    let client = plane.client();
    let mut readers = Vec::new();
    for _ in 0..64 {
        readers.push(client.open("/api/v1/events").await.unwrap());
    }
    assert_eq!(client.open("/api/v1/events").await.unwrap().status(), 503);
    drop(readers);
    // The server sees the ends when it gets to them.
    while client.open("/api/v1/events").await.unwrap().status() != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn everything_ends_with_the_process() {
    let plane = Plane::start().await;
    let mut body = plane.client().open("/api/v1/events").await.unwrap().into_body();
    events(&mut body, 1).await;
    plane.lifecycle.advance(Phase::Stopped);
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
    for task in plane.tasks {
        task.await.unwrap();
    }
}

#[test]
fn the_openapi_document_is_the_table() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut described = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let role = operation["x-firedoor-role"].as_str().unwrap().to_owned();
            described.push((path.clone(), method.to_uppercase(), role.clone()));
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("default"), "{path}");
            for (status, response) in responses {
                let response = resolve(&document, response);
                assert!(response["description"].is_string(), "{path} {status}");
                assert!(response["content"].is_object(), "{path} {status}");
            }
            // No token is asked for exactly where none is needed.
            assert_eq!(operation["security"] == json!([]), role == "open", "{path}");
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')) {
                let name = part.trim_end_matches('}');
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(parameters.iter().any(|p| p["name"] == name && p["required"] == true));
            }
        }
    }
    let mut expected: Vec<_> = ENDPOINTS
        .iter()
        .map(|endpoint| {
            let role = match endpoint.access {
                Access::Open => "open",
                Access::Role(role) => role.name(),
            };
            (endpoint.path.to_owned(), endpoint.verb.name().to_owned(), role.to_owned())
        })
        .collect();
    described.sort();
    expected.sort();
    assert_eq!(described, expected);
    every_reference_leads_somewhere(&document, &document);
}

fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        None => value,
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{reference} leads nowhere")),
    }
}

fn every_reference_leads_somewhere(document: &Value, value: &Value) {
    match value {
        Value::Object(members) => {
            resolve(document, value);
            for member in members.values() {
                every_reference_leads_somewhere(document, member);
            }
        }
        Value::Array(items) => {
            for item in items {
                every_reference_leads_somewhere(document, item);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_guide_names_every_route() {
    let guide = include_str!("../docs/admin-api.md");
    for endpoint in ENDPOINTS {
        let role = match endpoint.access {
            Access::Open => "none",
            Access::Role(role) => role.name(),
        };
        let row = format!("| `{} {}` | {role} |", endpoint.verb.name(), endpoint.path);
        assert!(guide.contains(&row), "docs/admin-api.md has no row {row}");
    }
}
