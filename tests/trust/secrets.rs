//! Canaries in every place where a secret can enter, and a look into every place where one could
//! come out.

use super::app;
use crate::support::{CASES, Client, Gateway, MockServer, Upstream, post, routes_to, wait_for};
use std::fmt::Write;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

const ENV: &str = "canary-provider-environment-7d1f";
const FILE: &str = "canary-provider-file-2b9c";
const LITERAL: &str = "canary-provider-literal-91ee";
const HEADER: &str = "canary-provider-header-5a55";
const QUERY: &str = "canary-provider-query-c3c3";
const APP: &str = "canary-app-key-0f0f";
const WRONG: &str = "canary-wrong-key-8888";
const OWN: &str = "canary-own-provider-key-4242";
const CALLER: &str = "canary-caller-header-6b6b";
const BODY: &str = "canary-body-text-1a1a";
const RELOAD: &str = "canary-reload-3e3e";

const ALL: [&str; 11] = [ENV, FILE, LITERAL, HEADER, QUERY, APP, WRONG, OWN, CALLER, BODY, RELOAD];

fn routes(url: &str, secret: &str) -> String {
    let mut routes = app("shop", APP);
    for (name, dialect, base, key, takes) in [
        (
            "oai",
            "openai",
            "/v1",
            "${CANARY_KEY}".to_owned(),
            "\"openai-chat\", \"openai-responses\"",
        ),
        ("ant", "anthropic", "", format!("${{file:{secret}}}"), "\"anthropic\""),
        ("gem", "gemini", "", LITERAL.to_owned(), "\"gemini\""),
    ] {
        write!(
            routes,
            "[providers.{name}]\ndialect = \"{dialect}\"\nbase_url = \"{url}{base}\"\n\
             api_key = \"{key}\"\nheaders = {{ x-team = \"{HEADER}\" }}\nquery = \"k={QUERY}\"\n\n\
             [[routes]]\nname = \"{name}\"\nmatch = {{ dialect = [{takes}] }}\n\
             targets = [{{ provider = \"{name}\" }}]\nretry = {{ attempts = 1 }}\n\n"
        )
        .unwrap();
    }
    // One that uses the caller's own credential, and one that nobody answers for.
    routes
        + &format!("[providers.own]\ndialect = \"openai\"\nbase_url = \"{url}/v1\"\n\n")
        + &format!(
            "[providers.dead]\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n\
             api_key = \"{LITERAL}\"\n\n"
        )
}

#[test]
fn d3_33_no_secret_comes_out() {
    let mock = MockServer::start();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("key");
    std::fs::write(&secret, FILE).unwrap();
    let whole = routes(&mock.url(), secret.to_str().unwrap());
    let variables = [("CANARY_KEY", ENV), ("RUST_LOG", "trace")];
    let gateway = Gateway::start_with(&whole, &variables);
    let bearer = |key: &str| format!("Bearer {key}");
    let (app_bearer, wrong_bearer, own_bearer) = (bearer(APP), bearer(WRONG), bearer(OWN));
    let mut told = String::new();
    let mut tell = |what: &str, answer: crate::support::Answer| {
        writeln!(told, "{what}\n{}\n{}", String::from_utf8_lossy(&answer.head.raw), answer.text())
            .unwrap();
        answer.status()
    };

    // Every way to send a key, right and wrong, with answers and errors of the provider.
    for case in &CASES {
        for (name, right, wrong) in [
            ("x-firedoor-key", APP, WRONG),
            ("authorization", &app_bearer, &wrong_bearer),
            ("x-api-key", APP, WRONG),
            ("x-goog-api-key", APP, WRONG),
            ("api-key", APP, WRONG),
        ] {
            for script in ["tokens=3", "status=500", "fault=refuse", "tokens=9,fault=close,at=4"] {
                let fields = [(name, right), ("x-caller", CALLER), ("x-mock", script)];
                tell("right", case.ask_with(&gateway, &fields, true).answer());
            }
            let fields = [(name, wrong), ("x-caller", CALLER), ("cookie", WRONG)];
            assert_eq!(tell("wrong", case.ask_with(&gateway, &fields, false).answer()), 401);
        }
        // In the query, with a text in the body, broken and whole.
        let key = ("x-firedoor-key", APP);
        for (query, fields) in [
            (format!("key={APP}"), &[][..]),
            (format!("key={WRONG}"), &[]),
            (format!("key={OWN}&other={CALLER}"), &[key]),
        ] {
            let target = case.target("m", false);
            let target = format!("{target}?{query}");
            let body = case.body("m", BODY, false);
            tell("query", post(gateway.data, &target, fields, &body));
            tell("no JSON", post(gateway.data, &target, fields, &format!("{{\"{BODY}\":{BODY}")));
            let wrong = format!("{{\"model\":[\"{BODY}\"],\"stream\":\"{BODY}\"}}");
            tell("no model", post(gateway.data, &target, fields, &wrong));
        }
        let fields = [key, ("authorization", &*own_bearer)];
        let body = case.body("m", BODY, false);
        tell(
            "own",
            post(gateway.data, &format!("/own{}", case.target("m", false)), &fields, &body),
        );
        tell(
            "dead",
            post(gateway.data, &format!("/dead{}", case.target("m", false)), &fields, &body),
        );
    }
    tell(
        "nowhere",
        post(gateway.data, &format!("/nowhere?key={OWN}"), &[("x-firedoor-key", APP)], BODY),
    );
    // Heads that cannot be read.
    for head in [
        format!(
            "GET / HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {WRONG}\r\nbad header: {WRONG}\r\n\r\n"
        ),
        format!("GET /?key={WRONG} HTTP/9.9\r\nhost: h\r\n\r\n"),
        format!("GET /?key={WRONG}\u{1} HTTP/1.1\r\nhost: {WRONG} {WRONG}\r\n\r\n"),
    ] {
        tell("unreadable", Client::connect(gateway.data).send(head.as_bytes()).answer());
    }
    // A token that is none, and files that are wrong around a secret.
    let host = gateway.admin;
    let request = format!(
        "GET /api/v1/status?token={WRONG} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {WRONG}\r\n\r\n"
    );
    tell("no token", Client::connect(host).send(request.as_bytes()).answer());
    for wrong in [
        format!(
            "[providers.x]\ndialect = \"openai\"\nbase_url = \"https://x\"\napi_kee = \"{RELOAD}\"\n"
        ),
        format!(
            "[providers.x]\ndialect = \"openai\"\nbase_url = \"https://x\"\napi_key = [\"{RELOAD}\"]\n"
        ),
        format!("[providers.x]\ndialect = \"openai\"\nbase_url = \"https://u:{RELOAD}@x\"\n"),
        format!("[apps.x]\nkey_sha256 = [\"{RELOAD}\"]\n"),
        format!("[providers.x]\ndialect = \"openai\"\napi_key = \"{RELOAD}\n"),
        format!(
            "[providers.x]\ndialect = \"openai\"\nbase_url = \"https://x\"\nheaders = {{ \"x y\" = \"{RELOAD}\" }}\n"
        ),
        format!(
            "[providers.x]\ndialect = \"openai\"\nbase_url = \"https://x\"\nquery = \"k={RELOAD} x\"\n"
        ),
    ] {
        gateway.write_config(&wrong);
        let answer = gateway.admin_call("POST", "/api/v1/reload");
        assert_eq!(answer.status(), 422, "{wrong}");
        tell("reload", answer);
        tell("status", gateway.admin_call("GET", "/api/v1/status"));
    }
    // The secret's file goes: the error names the file, not what stood in it.
    std::fs::remove_file(&secret).unwrap();
    gateway.write_config(&whole);
    tell("reload", gateway.admin_call("POST", "/api/v1/reload"));
    gateway.wait_idle();
    wait_for("the watch of the file", || {
        (gateway.metric("firedoor_reloads_total", "refused") > 8).then_some(())
    });

    // Every answer of the admin plane.
    for path in ["status", "routes", "providers", "exchanges?limit=500", "openapi.json"] {
        tell(path, gateway.admin_call("GET", &format!("/api/v1/{path}")));
    }
    told += &gateway.metrics();
    for record in gateway.exchanges() {
        told += &gateway.exchange(record["id"].as_str().unwrap()).to_string();
    }
    // Every file that it keeps.
    for file in std::fs::read_dir(gateway.data_dir()).unwrap().map_while(Result::ok) {
        if file.file_type().unwrap().is_file() {
            told += &String::from_utf8_lossy(&std::fs::read(file.path()).unwrap());
        }
    }
    let log = gateway.process.stderr.text();
    assert!(log.contains("exchange finished"), "the log is there: {log}");
    told += &log;
    told += &gateway.process.stdout.text();
    let found: Vec<String> = ALL
        .iter()
        .flat_map(|canary| {
            told.match_indices(canary).take(3).map(|(at, _)| {
                let from = (0..=at.saturating_sub(200)).rev().find(|at| told.is_char_boundary(*at));
                told[from.unwrap_or(0)..at + canary.len()].to_owned()
            })
        })
        .collect();
    assert!(found.is_empty(), "{} places:\n{}", found.len(), found.join("\n---\n"));
}

/// Where a key is needed it did arrive; a key of ours did not go further.
#[test]
fn d3_33_each_secret_goes_where_it_belongs() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let kept = std::sync::Arc::clone(&seen);
    let upstream = crate::support::Upstream::start(move |request, stream| {
        *kept.lock().unwrap() = String::from_utf8_lossy(request).into_owned();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        let _ = std::io::Write::write_all(stream, answer);
    });
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("key");
    std::fs::write(&secret, FILE).unwrap();
    let routes = routes(&upstream.url(), secret.to_str().unwrap());
    let gateway = Gateway::start_with(&routes, &[("CANARY_KEY", ENV)]);
    let app_bearer = format!("Bearer {APP}");
    for (case, own) in CASES.iter().zip([ENV, ENV, FILE, LITERAL]) {
        for (name, value) in [
            ("x-firedoor-key", APP),
            ("authorization", &app_bearer),
            ("x-api-key", APP),
            ("x-goog-api-key", APP),
            ("api-key", APP),
        ] {
            assert_eq!(case.ask_with(&gateway, &[(name, value)], false).answer().status(), 200);
            let request = seen.lock().unwrap().clone();
            assert!(request.contains(own) && request.contains(HEADER), "{case:?}: {request}");
            assert!(!request.contains(APP), "{case:?} {name}: {request}");
        }
        let target = format!("{}?key={APP}", case.target("m", false));
        assert_eq!(post(gateway.data, &target, &[], &case.body("m", "x", false)).status(), 200);
        let request = seen.lock().unwrap().clone();
        assert!(request.contains(own) && !request.contains(APP), "{case:?}: {request}");
    }
}

/// Clients send the key of their app where their SDK puts keys, and in our header too.
#[test]
fn d3_33_no_key_of_an_app_reaches_a_provider() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&seen);
    let upstream = Upstream::start(move |request, stream| {
        kept.lock().unwrap().push(String::from_utf8_lossy(request).into_owned());
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    });
    let apps = app("one", "key-of-one") + &app("two", "key-of-two");
    let gateway = Gateway::start(&(apps + &routes_to(&upstream.url(), "")));
    let own = ("x-firedoor-key", "key-of-one");
    for (path, more) in [
        ("/oai/v1/files", ("authorization", "Bearer key-of-one")),
        ("/oai/v1/files", ("authorization", "Bearer key-of-two")),
        ("/oai/v1/files?key=key-of-two&a=b", ("api-key", "key-of-one")),
        ("/gem/v1beta/files?key=key-of-one", ("x-goog-api-key", "key-of-two")),
    ] {
        // With a credential of the caller's own beside them.
        let fields = [own, more, ("x-api-key", "of-the-caller")];
        let answer = post(gateway.data, path, &fields, "{}");
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        let sent = seen.lock().unwrap().pop().unwrap();
        assert!(!sent.contains("key-of-"), "{path}: {sent}");
        assert!(sent.contains("of-the-caller"), "{path}: {sent}");
        // Alone they are no credential.
        let answer = post(gateway.data, path, &[own, more], "{}");
        assert_eq!(answer.status(), 401, "{path}: {}", answer.text());
    }
    assert!(seen.lock().unwrap().is_empty());
}
