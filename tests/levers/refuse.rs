//! New requests under a kill: each dimension of a scope, each dialect, and what only passes through.

use super::hand::{ask, assert_refused, hex, kill, lift, pull, wait_open};
use super::provider::Provider;
use crate::support::{
    CASES, Case, Client, Gateway, MockServer, Upstream, get_json, post, routes_to, wait_for,
};
use firedoor::wire::Dialect;
use serde_json::json;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The keys of the two apps.
const KEYS: [(&str, &str); 2] = [("helpdesk", "key-of-helpdesk"), ("other", "key-of-other")];

/// An `[apps]` part for [`KEYS`].
fn apps() -> String {
    let one = |(name, key): &(&str, &str)| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
        let hex = hex(digest.as_ref());
        format!("[apps.{name}]\nkey_sha256 = [\"{hex}\"]\n\n")
    };
    KEYS.iter().map(one).collect()
}

/// The same routes with a key for each provider: an app's caller brings none.
fn with_keys(routes: &str) -> String {
    routes.replace("\nbase_url", "\napi_key = \"k\"\nbase_url")
}

/// Besides the plain routes, one for each family under a name of the gateway's own.
fn routes(url: &str) -> String {
    let alias = |name: &str, takes: &str| {
        format!(
            "[[routes]]\nname = \"alias-{name}\"\n\
             match = {{ model = \"support-bot\", dialect = [{takes}] }}\n\
             targets = [{{ provider = \"{name}\", model = \"served-{name}\" }}]\n\n"
        )
    };
    apps()
        + &alias("oai", "\"openai-chat\", \"openai-responses\"")
        + &alias("ant", "\"anthropic\"")
        + &alias("gem", "\"gemini\"")
        + &with_keys(&routes_to(url, ""))
}

/// What a request says of itself.
#[derive(Clone, Copy, Debug)]
struct Probe {
    app: usize,
    agent: &'static str,
    session: &'static str,
    model: &'static str,
}

const PLAIN: Probe = Probe { app: 0, agent: "bot", session: "s-1", model: "m" };
const BY_ALIAS: Probe = Probe { model: "support-bot", ..PLAIN };
const OTHER_APP: Probe = Probe { app: 1, ..PLAIN };
const OTHER_AGENT: Probe = Probe { agent: "crawler", ..PLAIN };
const OTHER_SESSION: Probe = Probe { session: "t-1", ..PLAIN };
const OTHER_MODEL: Probe = Probe { model: "x", ..PLAIN };

impl Probe {
    fn send(&self, gateway: &Gateway, case: &Case, stream: bool) -> crate::support::Answer {
        let fields = [
            ("x-mock", "text=fine"),
            ("x-firedoor-key", KEYS[self.app].1),
            ("x-firedoor-agent", self.agent),
            ("x-firedoor-session", self.session),
        ];
        ask(gateway, case, self.model, &fields, stream).answer()
    }
}

/// A scope in which `{p}` is the provider of the dialect that asks; who it reaches; who it does not.
const SCOPES: &[(&str, &[Probe], &[Probe])] = &[
    ("all", &[PLAIN, BY_ALIAS, OTHER_APP], &[]),
    ("provider:{p}", &[PLAIN, BY_ALIAS], &[]),
    ("provider:nobody", &[], &[PLAIN]),
    ("model:m", &[PLAIN, OTHER_APP], &[OTHER_MODEL, BY_ALIAS]),
    ("model:support-*", &[BY_ALIAS], &[PLAIN]),
    ("model:served-{p}", &[BY_ALIAS], &[PLAIN]),
    ("route:{p}", &[PLAIN, OTHER_MODEL], &[BY_ALIAS]),
    ("route:alias-*", &[BY_ALIAS], &[PLAIN]),
    ("app:helpdesk", &[PLAIN, BY_ALIAS], &[OTHER_APP]),
    ("agent:bot", &[PLAIN], &[OTHER_AGENT]),
    ("session:s-1", &[PLAIN], &[OTHER_SESSION]),
    ("session:s*", &[PLAIN], &[OTHER_SESSION]),
    ("app:help*+agent:bot", &[PLAIN, OTHER_SESSION], &[OTHER_APP, OTHER_AGENT]),
    ("provider:{p}+session:s-*+model:*", &[PLAIN, BY_ALIAS], &[OTHER_SESSION]),
    (
        "model:m+route:{p}+app:helpdesk+agent:b*t+session:s-1",
        &[PLAIN],
        &[OTHER_SESSION, OTHER_AGENT],
    ),
];

#[test]
fn a_kill_refuses_whom_its_scope_reaches_and_nobody_else() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes(&mock.url()));
    let sent = || get_json(mock.address, "/stats")["requests"].as_u64().unwrap();
    for case in &CASES {
        for (scope, hits, misses) in SCOPES {
            let scope = scope.replace("{p}", case.provider);
            let lever = kill(&gateway, &scope);
            for stream in [true, false] {
                let before = sent();
                for probe in *hits {
                    let answer = probe.send(&gateway, case, stream);
                    assert_refused(&gateway, Some(case.dialect), &answer, &lever);
                }
                assert_eq!(sent(), before, "{scope}: nothing reaches the provider");
                for probe in *misses {
                    let answer = probe.send(&gateway, case, stream);
                    assert_eq!(answer.status(), 200, "{scope} {probe:?}: {}", answer.text());
                    assert!(answer.text().contains("fine"), "{scope} {probe:?}");
                }
                assert_eq!(sent(), before + misses.len() as u64, "{scope}");
            }
            let refused = super::hand::standing(&gateway, &lever)["refused"].clone();
            assert_eq!(refused, 2 * hits.len(), "{scope}");
            lift(&gateway, &lever);
            for probe in *hits {
                let answer = probe.send(&gateway, case, false);
                assert_eq!(answer.status(), 200, "lifted {scope}: {}", answer.text());
            }
        }
        // Another family is not reached by its neighbour's kill.
        let lever = kill(&gateway, &format!("provider:{}", case.provider));
        for other in CASES.iter().filter(|other| other.provider != case.provider) {
            assert_eq!(PLAIN.send(&gateway, other, true).status(), 200, "{other:?}");
        }
        lift(&gateway, &lever);
    }
}

#[test]
fn callers_are_told_the_levers_message_and_never_its_reason() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let proof = pull(
        &gateway,
        json!({ "kind": "kill", "scope": "all", "reason": "the secret reason", "message": "back at noon \"sharp\"" }),
    );
    for case in &CASES {
        let answer = ask(&gateway, case, "m", &[], false).answer();
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        let id = super::hand::id(&proof);
        assert_eq!(message, format!("Blocked by firedoor: back at noon \"sharp\" (ref {id})"));
        assert!(!answer.text().contains("secret"), "{}", answer.text());
    }
}

/// What a head only suggests, a body may say otherwise: a kill reaches who the request says it is,
/// also while its body is still to come.
#[test]
fn a_body_that_names_its_agent_and_session_is_believed_before_the_head_is_guessed_at() {
    let mock = MockServer::start();
    let named = "[apps.helpdesk]\nagent = \"of-the-app\"";
    let routes =
        (apps() + &with_keys(&routes_to(&mock.url(), ""))).replace("[apps.helpdesk]", named);
    let gateway = Gateway::start(&routes);
    let head = [
        ("x-firedoor-key", KEYS[0].1),
        ("x-mock", "text=fine"),
        ("user-agent", "of-the-head/1.0"),
        ("baggage", "session.id=of-the-baggage"),
    ];
    let named = r#"{"model":"m","input":"q","client_metadata":{"agent_name":"of-the-body","session_id":"s"}}"#;
    let unnamed = r#"{"model":"m","input":"q"}"#;
    let path = "/oai/v1/responses";
    let slowly = |body: &str| {
        let mut client = Client::connect(gateway.data);
        let fields = head.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
        let length = body.len();
        client.send(
            format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n{fields}\r\n")
                .as_bytes(),
        );
        wait_open(&gateway, 1);
        client
    };
    for (scope, body, is_reached) in [
        ("agent:of-the-head", named, false),
        ("agent:of-the-head", unnamed, true),
        ("agent:of-the-app", named, false),
        ("agent:of-the-body", named, true),
        ("session:of-the-baggage", named, false),
        ("session:of-the-baggage", unnamed, true),
        ("session:s", named, true),
    ] {
        let lever = kill(&gateway, scope);
        let answer = post(gateway.data, path, &head, body);
        let status = if is_reached { 400 } else { 200 };
        assert_eq!(answer.status(), status, "{scope} {body}: {}", answer.text());
        lift(&gateway, &lever);

        let mut client = slowly(body);
        let lever = kill(&gateway, scope);
        client.send(body.as_bytes());
        let answer = client.answer();
        assert_eq!(answer.status(), status, "{scope} {body}, its body late: {}", answer.text());
        lift(&gateway, &lever);
    }
}

/// Embeddings, uploads and other protocols are not read, and refused all the same.
#[test]
fn what_only_passes_through_is_refused_too() {
    let provider = Provider::start();
    let gateway = Gateway::start(&(apps() + &with_keys(&routes_to(&provider.url(), ""))));
    let key = ("x-firedoor-key", KEYS[0].1);
    let session = ("x-firedoor-session", "s-1");
    let embed = || post(gateway.data, "/oai/v1/embeddings", &[key, session], r#"{"model":"e"}"#);
    let upload = || {
        let mut client = Client::connect(gateway.data);
        let head = format!(
            "POST /oai/v1/files HTTP/1.1\r\nhost: t\r\nx-firedoor-key: {}\r\nx-firedoor-session: s-1\r\n\
             content-type: multipart/form-data; boundary=b\r\ntransfer-encoding: chunked\r\n\r\n3\r\n--b\r\n0\r\n\r\n",
            key.1
        );
        client.send(head.as_bytes());
        client.answer()
    };
    let socket = || {
        let mut client = Client::connect(gateway.data);
        let head = format!(
            "GET /oai/v1/realtime?model=e HTTP/1.1\r\nhost: t\r\nx-firedoor-key: {}\r\nx-firedoor-session: s-1\r\n\
             connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: a\r\n\r\n",
            key.1
        );
        client.send(head.as_bytes());
        client.answer()
    };
    let paths: [(&str, &dyn Fn() -> crate::support::Answer); 3] =
        [("embeddings", &embed), ("upload", &upload), ("websocket", &socket)];
    for scope in ["all", "provider:oai", "app:helpdesk", "session:s-1", "app:*+provider:o*"] {
        let lever = kill(&gateway, scope);
        let before = provider.requests();
        for (name, send) in paths {
            let answer = send();
            assert_eq!(answer.status(), 400, "{scope} {name}: {}", answer.text());
            assert_refused(&gateway, None, &answer, &lever);
        }
        assert_eq!(provider.requests(), before, "{scope}");
        lift(&gateway, &lever);
    }
    // The model is found wherever such calls name it.
    let lever = kill(&gateway, "model:e");
    assert_refused(&gateway, None, &embed(), &lever);
    let body = r#"{"model":"e"}"#;
    let mut large = body.replace('}', ",\"input\":\"");
    large.push_str(&"x".repeat(2 << 20));
    large.push_str("\"}");
    for (path, kind, body) in [
        ("/oai/v1/embeddings", "text/plain", body),
        ("/oai/v1/embeddings", "application/json", &large),
        ("/gem/v1beta/models/e:embedContent", "application/json", "{}"),
        ("/oai/openai/deployments/e/embeddings?api-version=1", "application/json", "{}"),
        ("/oai/v1/realtime/sessions?model=e", "application/json", "{}"),
    ] {
        let mut client = Client::connect(gateway.data);
        let fields = [key, session, ("content-type", kind)];
        client.request("POST", path, &fields, body.as_bytes());
        let answer = client.answer();
        assert_eq!(answer.status(), 400, "{path} {kind}: {}", answer.text());
        assert!(answer.text().contains(&lever), "{path} {kind}: {}", answer.text());
    }
    let mut client = Client::connect(gateway.data);
    let head = format!(
        "POST /oai/v1/embeddings HTTP/1.1\r\nhost: t\r\nx-firedoor-key: {}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\nd\r\n{body}\r\n0\r\n\r\n",
        key.1
    );
    client.send(head.as_bytes());
    assert_eq!(client.answer().status(), 400);
    lift(&gateway, &lever);
    let lever = kill(&gateway, "provider:ant");
    assert_eq!(embed().status(), 200);
    lift(&gateway, &lever);
}

/// The same path in the other families speaks their error.
#[test]
fn a_refusal_speaks_the_dialect_of_its_path() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let lever = kill(&gateway, "all");
    for (path, dialect) in [
        ("/ant/v1/messages/count_tokens", Dialect::Anthropic),
        ("/gem/v1beta/models/m:countTokens", Dialect::Gemini),
        ("/oai/v1/moderations", Dialect::OpenaiChat),
    ] {
        let answer = post(gateway.data, path, &[], r#"{"model":"m"}"#);
        assert_refused(&gateway, Some(dialect), &answer, &lever);
    }
}

#[test]
fn a_fallback_takes_over_where_the_kill_reaches_only_some_targets() {
    let (first, second) = (MockServer::start(), MockServer::start());
    let twins = |name: &str, dialect: &str, base: &str, takes: &str| {
        let [one, two] = [&first, &second].map(|mock| mock.url() + base);
        format!(
            "[providers.{name}]\ndialect = \"{dialect}\"\nbase_url = \"{one}\"\n\n\
             [providers.{name}2]\ndialect = \"{dialect}\"\nbase_url = \"{two}\"\n\n\
             [[routes]]\nname = \"{name}\"\nmatch = {{ dialect = [{takes}] }}\n\
             targets = [{{ provider = \"{name}\" }}]\nfallback = [{{ provider = \"{name}2\" }}]\n\n"
        )
    };
    let routes = twins("oai", "openai", "/v1", "\"openai-chat\", \"openai-responses\"")
        + &twins("ant", "anthropic", "", "\"anthropic\"")
        + &twins("gem", "gemini", "", "\"gemini\"");
    let gateway = Gateway::start(&routes);
    let sent = |mock: &MockServer| get_json(mock.address, "/stats")["requests"].as_u64().unwrap();
    for case in &CASES {
        for stream in [true, false] {
            let answer = ask(&gateway, case, "m", &[], stream).answer();
            assert_eq!(answer.head.field("x-firedoor-target"), Some(case.provider));
            for scope in [
                format!("provider:{}", case.provider),
                format!("provider:{}+session:s", case.provider),
            ] {
                let lever = kill(&gateway, &scope);
                let before = (sent(&first), sent(&second));
                let fields = [("x-firedoor-session", "s")];
                let answer = ask(&gateway, case, "m", &fields, stream).answer();
                assert_eq!(answer.status(), 200, "{scope}: {}", answer.text());
                let target = format!("{}2", case.provider);
                assert_eq!(answer.head.field("x-firedoor-target"), Some(&*target), "{scope}");
                assert_eq!((sent(&first), sent(&second)), (before.0, before.1 + 1), "{scope}");
                // The kill of the fallback as well leaves nobody.
                let both = kill(&gateway, &target.replacen("", "provider:", 1));
                let answer = ask(&gateway, case, "m", &fields, stream).answer();
                assert_refused(&gateway, Some(case.dialect), &answer, &both);
                assert_eq!((sent(&first), sent(&second)), (before.0, before.1 + 1), "{scope}");
                lift(&gateway, &both);
                lift(&gateway, &lever);
            }
        }
    }
}

/// Under load: whatever is asked after the acknowledgement reaches no killed target.
#[test]
fn nothing_asked_after_the_acknowledgement_reaches_the_provider() {
    let newest = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&newest);
    let upstream = Upstream::start(move |request, stream| {
        let text = String::from_utf8_lossy(request).to_ascii_lowercase();
        let number = text.lines().find_map(|line| line.strip_prefix("x-number:"));
        seen.fetch_max(number.unwrap().trim().parse().unwrap(), Ordering::SeqCst);
        let _ = stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
        );
    });
    let gateway = Gateway::start(&routes_to(&upstream.url(), ""));
    let (next, over, refused) = (AtomicU64::new(0), AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        for case in &CASES[..4] {
            let (gateway, next, over, refused) = (&gateway, &next, &over, &refused);
            threads.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let number = (next.fetch_add(1, Ordering::SeqCst) + 1).to_string();
                    let fields = [("x-number", &*number), ("x-firedoor-session", "loud")];
                    let answer = ask(gateway, case, "m", &fields, false).answer();
                    assert!([200, 400].contains(&answer.status()), "{}", answer.text());
                    if answer.status() == 400 {
                        refused.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        for round in 0..20 {
            let scope = ["all", "session:l*", "model:m", "route:*", "provider:*"][round % 5];
            let seen_before = newest.load(Ordering::SeqCst);
            wait_for("some traffic", || {
                (newest.load(Ordering::SeqCst) > seen_before).then_some(())
            });
            let lever = kill(&gateway, scope);
            let last = next.load(Ordering::SeqCst);
            let refused_before = refused.load(Ordering::SeqCst);
            wait_for("refusals", || {
                (refused.load(Ordering::SeqCst) > refused_before + 20).then_some(())
            });
            let newest = newest.load(Ordering::SeqCst);
            assert!(newest <= last, "{scope}: request {newest} was sent after {last}");
            lift(&gateway, &lever);
        }
        over.store(true, Ordering::SeqCst);
    });
}
