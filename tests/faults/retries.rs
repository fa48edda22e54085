//! Retries, fallbacks, the budget and the circuit.

use crate::support::{CASES, Gateway, MockServer, NOBODY, Upstream, get_json, routes_to, wait_for};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn provider(name: &str, dialect: &str, url: &str) -> String {
    let base = if dialect == "openai" { format!("{url}/v1") } else { url.to_owned() };
    format!("[providers.{name}]\ndialect = \"{dialect}\"\nbase_url = \"{base}\"\n\n")
}

/// First a provider that fails, then `second`, then the canned one.
fn chain(first: &str, second: &str) -> String {
    let mut routes =
        String::from("[providers.paused]\ndialect = \"canned\"\nanswer = \"Back-soon\"\n\n");
    for (name, dialect, takes) in [
        ("oai", "openai", "\"openai-chat\", \"openai-responses\""),
        ("ant", "anthropic", "\"anthropic\""),
        ("gem", "gemini", "\"gemini\""),
    ] {
        routes += &provider(&format!("{name}-1"), dialect, first);
        routes += &provider(&format!("{name}-2"), dialect, second);
        write!(
            routes,
            "[[routes]]\nname = \"{name}\"\nmatch = {{ dialect = [{takes}] }}\n\
             targets = [{{ provider = \"{name}-1\" }}]\n\
             fallback = [{{ provider = \"{name}-2\" }}, {{ provider = \"paused\" }}]\n\
             retry = {{ attempts = 1 }}\n\
             timeouts = {{ first_byte_ms = 300, idle_ms = 5000 }}\n\n"
        )
        .unwrap();
    }
    routes
}

/// Whatever goes wrong before the first byte, a second provider of the dialect takes over.
#[test]
fn the_second_provider_takes_over_before_the_first_byte() {
    let healthy = MockServer::start();
    let failing: Vec<(&str, String, Option<Upstream>)> = vec![
        ("refused", NOBODY.to_owned(), None),
        (
            "429",
            String::new(),
            Some(Upstream::fixed(
                "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
            )),
        ),
        (
            "503",
            String::new(),
            Some(Upstream::fixed(
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
            )),
        ),
        (
            "silent",
            String::new(),
            Some(Upstream::start(|_, stream| {
                // Until the gateway has enough.
                let _ = std::io::copy(stream, &mut std::io::sink());
            })),
        ),
        ("no HTTP", String::new(), Some(Upstream::fixed("SSH-2.0-OpenSSH_9.2\r\n\r\n"))),
        ("closed", String::new(), Some(Upstream::fixed(""))),
        (
            "an empty stream",
            String::new(),
            Some(Upstream::fixed(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
            )),
        ),
    ];
    for (what, url, upstream) in &failing {
        let url = upstream.as_ref().map_or(url.clone(), Upstream::url);
        let gateway = Gateway::start(&chain(&url, &healthy.url()));
        for case in &CASES {
            // A whole answer that is empty is whole.
            for stream in [true, false].into_iter().filter(|s| *s || *what != "an empty stream") {
                let answer = case.ask(&gateway, "tokens=3", stream).answer();
                assert_eq!(answer.status(), 200, "{what}, {case:?}: {answer:?}");
                let target = answer.head.field("x-firedoor-target").unwrap();
                assert_eq!(target, format!("{}-2", case.provider), "{what}, {case:?}");
                assert_eq!(answer.head.field("x-firedoor-attempt"), Some("2"), "{what}");
                if stream {
                    case.assert_whole(&answer);
                }
            }
        }
    }
}

/// When every provider is gone the canned answer comes, in the caller's dialect.
#[test]
fn the_canned_answer_comes_last() {
    let gateway = Gateway::start(&chain(NOBODY, NOBODY));
    for case in &CASES {
        for stream in [true, false] {
            let answer = case.ask(&gateway, "", stream).answer();
            assert_eq!(answer.status(), 200, "{case:?}: {answer:?}");
            assert!(answer.text().contains("Back-soon"), "{case:?}: {}", answer.text());
            let target = answer.head.field("x-firedoor-target");
            assert_eq!(target, Some("paused"), "{case:?}");
            if stream {
                case.assert_whole(&answer);
            }
        }
    }
}

/// After the first byte nobody takes over: the answer would be two halves of different ones.
#[test]
fn nobody_takes_over_after_the_first_byte() {
    let (first, second) = (MockServer::start(), MockServer::start());
    let gateway = Gateway::start(&chain(&first.url(), &second.url()));
    for case in &CASES {
        let answer = case.ask(&gateway, "tokens=20,itl_ms=20,fault=reset,at=5", true).answer();
        case.assert_cut(&gateway, &answer, "firedoor_bad_gateway");
    }
    assert_eq!(get_json(second.address, "/stats")["requests"], 0);
}

/// The same target is asked again, and the answer of the second attempt is passed on.
#[test]
fn a_failed_attempt_is_made_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let upstream = Upstream::start(move |_, stream| {
        let body = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[]}"#;
        let (status, body) = match counted.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => ("500 Internal Server Error", "{}"),
            _ => ("200 OK", body),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n");
        let rest = format!("content-length: {length}\r\nconnection: close\r\n\r\n{body}");
        let _ = std::io::Write::write_all(stream, (head + &rest).as_bytes());
    });
    let gateway = Gateway::start(&routes_to(&upstream.url(), "retry = { attempts = 2 }"));
    for round in 1..=5 {
        let answer = CASES[0].ask(&gateway, "", false).answer();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.head.field("x-firedoor-attempt"), Some("2"));
        assert_eq!(count.load(Ordering::SeqCst), 2 * round);
    }
}

/// Whoever answered is not asked for the same again, though the answer is of no use: it has its
/// price. Another provider may take over, whatever is tried again.
#[test]
fn an_answer_that_cannot_be_used_is_not_asked_for_again() {
    let healthy = MockServer::start();
    let answer = |kind: &str, body: &str| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n");
        Upstream::fixed(format!("{head}content-length: {}\r\n\r\n{body}", body.len()))
    };
    let failure = "data: {\"error\":{\"message\":\"overloaded\",\"code\":\"busy\"}}\n\n";
    for (what, stream, body) in [
        ("nothing", true, ""),
        ("half a frame", true, "data: {\"id\":\"c"),
        ("an error", true, failure),
        ("junk", false, "not an answer at all"),
    ] {
        let kind = if stream { "text/event-stream" } else { "application/json" };
        for on in ["\"connect\", \"429\", \"5xx\", \"first_byte_timeout\"", "\"429\""] {
            let broken = answer(kind, body);
            let retry = format!("retry = {{ attempts = 3, on = [{on}] }}");
            let routes = provider("one", "openai", &broken.url())
                + &provider("two", "openai", &healthy.url())
                + "[[routes]]\nname = \"r\"\ntargets = [{ provider = \"one\" }]\n"
                + &format!("fallback = [{{ provider = \"two\" }}]\n{retry}\n");
            let gateway = Gateway::start(&routes);
            let taken_over = CASES[0].ask(&gateway, "tokens=3", stream).answer();
            assert_eq!(taken_over.status(), 200, "{what}, {on}: {}", taken_over.text());
            assert_eq!(taken_over.head.field("x-firedoor-target"), Some("two"), "{what}, {on}");
            assert_eq!(broken.requests(), 1, "{what}, {on}");

            let broken = answer(kind, body);
            let gateway = Gateway::start(&routes_to(&broken.url(), &retry));
            CASES[0].ask(&gateway, "", stream).answer();
            assert_eq!(broken.requests(), 1, "{what}, {on}, nobody left");
        }
    }
}

/// A full outage at 240 requests: the provider sees at most a fifth more, and a burst of 20.
#[test]
fn an_outage_does_not_multiply_traffic() {
    const REQUESTS: usize = 240;
    for script in ["status=429", "status=500", "fault=refuse"] {
        let mock = MockServer::start();
        let more = "retry = { attempts = 3 }";
        let gateway = Gateway::start(&routes_to(&mock.url(), more));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..REQUESTS / 8 {
                        let answer = CASES[0].ask(&gateway, script, false).answer();
                        assert!(answer.status() >= 429, "{answer:?}");
                    }
                });
            }
        });
        let seen = get_json(mock.address, "/stats")["requests"].as_u64().unwrap() as usize;
        // Each of the workers may look at the budget at the same moment.
        let most = REQUESTS + REQUESTS / 5 + 20 + 8;
        assert!(seen <= most, "{script}: {seen} requests for {REQUESTS}");
        if script == "status=429" {
            assert!(seen > REQUESTS + 20, "{seen}: a refusal is tried again while budget lasts");
        }
    }
}

/// Five failures in a row open the circuit: the provider is left alone, and asked again later.
#[test]
fn a_circuit_opens_and_closes_again() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), "retry = { attempts = 1 }"));
    let case = &CASES[2];
    assert_eq!(case.ask(&gateway, "", false).answer().status(), 200);
    assert_eq!(gateway.circuit("ant").as_deref(), Some("closed"));
    for _ in 0..5 {
        assert_eq!(case.ask(&gateway, "status=500", false).answer().status(), 500);
    }
    assert_eq!(gateway.circuit("ant").as_deref(), Some("open"));
    assert_eq!(gateway.metric("firedoor_circuit_state", "target=\"ant\""), 2);
    let seen = get_json(mock.address, "/stats")["requests"].as_u64().unwrap();
    let answer = case.ask(&gateway, "", false).answer();
    case.assert_refused(&gateway, &answer, 503, "firedoor_unavailable");
    assert_eq!(get_json(mock.address, "/stats")["requests"], seen, "it is left alone");
    // Other targets are not touched.
    assert_eq!(CASES[0].ask(&gateway, "", false).answer().status(), 200);
    wait_for("the circuit to let a request through", || {
        (case.ask(&gateway, "", false).answer().status() == 200).then_some(())
    });
    // The client has its answer a moment before the circuit has heard of it.
    wait_for("the circuit to close", || {
        (gateway.circuit("ant").as_deref() == Some("closed")).then_some(())
    });
}

/// A provider that answers 200 and then breaks each answer is no healthy one.
#[test]
fn answers_that_cannot_be_used_open_the_circuit_too() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), "retry = { attempts = 1 }"));
    for _ in 0..5 {
        let answer = CASES[2].ask(&gateway, "fault=close,at=0", false).answer();
        CASES[2].assert_refused(&gateway, &answer, 502, "firedoor_bad_gateway");
    }
    assert_eq!(gateway.circuit("ant").as_deref(), Some("open"));
}

/// A page in place of a stream: a captive portal, a proxy's apology.
#[test]
fn what_was_asked_as_a_stream_and_is_a_page_is_taken_over() {
    let page =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 15\r\n\r\n<html>no</html>";
    let upstream = Upstream::fixed(page);
    let gateway = Gateway::start(&routes_to(&upstream.url(), "retry = { attempts = 1 }"));
    for case in &CASES {
        let answer = case.ask(&gateway, "", true).answer();
        case.assert_refused(&gateway, &answer, 502, "firedoor_bad_gateway");
    }
    let paused = "[providers.paused]\ndialect = \"canned\"\nanswer = \"Paused.\"\n\n";
    let more = "retry = { attempts = 1 }\nfallback = [{ provider = \"paused\" }]";
    let gateway = Gateway::start(&(paused.to_owned() + &routes_to(&upstream.url(), more)));
    for case in &CASES {
        let answer = case.ask(&gateway, "", true).answer();
        assert_eq!(answer.status(), 200, "{case:?}: {}", answer.text());
        assert!(answer.text().contains("Paused."), "{case:?}: {}", answer.text());
    }
}
