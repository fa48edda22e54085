//! Reroutes: what is sent elsewhere, and what becomes of a body that can be sent only once.

use super::hand::{ask, assert_refused, id, kill, lift, pull};
use super::provider::Provider;
use crate::support::{CASES, Client, Gateway, MockServer, get_json, wait_for};
use serde_json::json;

/// A route to `one`, and a provider `two` that only a lever or `fallback` leads to.
fn routes(one: &str, two: &str, more: &str) -> String {
    format!(
        "[providers.one]\ndialect = \"openai\"\nbase_url = \"{one}/v1\"\n\n\
         [providers.two]\ndialect = \"openai\"\nbase_url = \"{two}/v1\"\n\n\
         [[routes]]\nname = \"r\"\ntargets = [{{ provider = \"one\" }}]\nretry = {{ attempts = 10 }}\n\
         timeouts = {{ first_byte_ms = 600000, idle_ms = 600000 }}\n{more}\n"
    )
}

#[test]
fn a_reroute_sends_new_requests_elsewhere_and_says_so() {
    let (one, two) = (MockServer::start(), MockServer::start());
    let gateway = Gateway::start(&routes(&one.url(), &two.url(), ""));
    let sent = |mock: &MockServer| get_json(mock.address, "/stats")["requests"].as_u64().unwrap();
    for (to, model) in [("two", "\"m\""), ("two/another", "\"another\"")] {
        let order = json!({ "kind": "reroute", "scope": "provider:one", "to": [to] });
        let lever = id(&pull(&gateway, order));
        for case in &CASES[..2] {
            for stream in [true, false] {
                let before = (sent(&one), sent(&two));
                let answer = ask(&gateway, case, "m", &[], stream).answer();
                assert_eq!(answer.status(), 200, "{}", answer.text());
                assert_eq!(answer.head.field("x-firedoor-lever"), Some(&*lever));
                assert_eq!(answer.head.field("x-firedoor-target"), Some(to));
                assert_eq!((sent(&one), sent(&two)), (before.0, before.1 + 1));
                let asked = get_json(two.address, "/requests").to_string();
                assert!(asked.contains(&model.replace('"', "\\\"")), "{asked}");
                let record = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
                assert_eq!(record["lever"], lever, "{record}");
            }
        }
        // A kill is stronger than a reroute, at both of its ends.
        for scope in ["provider:two", "route:r"] {
            let killing = kill(&gateway, scope);
            let answer = ask(&gateway, &CASES[0], "m", &[], true).answer();
            assert_refused(&gateway, Some(CASES[0].dialect), &answer, &killing);
            lift(&gateway, &killing);
        }
        lift(&gateway, &lever);
        let answer = ask(&gateway, &CASES[0], "m", &[], false).answer();
        assert_eq!(answer.head.field("x-firedoor-target"), Some("one"));
    }
}

/// Where nothing of an answer is out yet, `switch` moves what is under way, and `finish` does not.
#[test]
fn a_reroute_that_switches_moves_what_has_not_begun() {
    for play in ["mute", "headed", "half"] {
        let (one, two) = (Provider::start(), MockServer::start());
        let gateway = Gateway::start(&routes(&one.url(), &two.url(), ""));
        let fields = [("x-play", play)];
        let mut client = ask(&gateway, &CASES[0], "m", &fields, play == "headed");
        wait_for("the attempt", || (one.reached() == 1).then_some(()));
        let order = |how: &str| json!({ "kind": "reroute", "scope": "provider:one", "to": ["two"], "in_flight": how });
        pull(&gateway, order("finish"));
        assert_eq!(one.open(), 1, "what is under way finishes");
        let lever = id(&pull(&gateway, order("switch")));
        let answer = client.answer();
        assert_eq!(answer.status(), 200, "{play}: {}", answer.text());
        assert_eq!(answer.head.field("x-firedoor-lever"), Some(&*lever), "{play}");
        assert_eq!(answer.head.field("x-firedoor-target"), Some("two"), "{play}");
        wait_for("the first to be left", || (one.open() == 0).then_some(()));
    }
}

#[test]
fn a_reroute_that_switches_is_met_in_a_pause_between_attempts() {
    let (one, two) = (Provider::start(), MockServer::start());
    let gateway = Gateway::start(&routes(&one.url(), &two.url(), ""));
    let mut client = ask(&gateway, &CASES[0], "m", &[("x-play", "failing")], true);
    // The pauses grow: by now they are far longer than attempts.
    wait_for("some attempts", || (one.requests() >= 5).then_some(()));
    let order =
        json!({ "kind": "reroute", "scope": "route:r", "to": ["two"], "in_flight": "switch" });
    pull(&gateway, order);
    let tried = one.requests();
    let answer = client.answer();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.head.field("x-firedoor-target"), Some("two"));
    assert!(one.requests() <= tried + 1, "{} after {tried}", one.requests());
}

/// A kill behind a reroute reaches an answer that waits for a client.
#[test]
fn a_kill_is_heard_behind_a_reroute() {
    let (one, two) = (Provider::start(), MockServer::start());
    let gateway = Gateway::start(&routes(&one.url(), &two.url(), ""));
    let mut client = ask(&gateway, &CASES[0], "m", &[("x-play", "big")], false);
    let head = client.head();
    pull(
        &gateway,
        json!({ "kind": "reroute", "scope": "all", "to": ["two"], "in_flight": "switch" }),
    );
    let proof = pull(&gateway, json!({ "kind": "kill", "scope": "route:r" }));
    let lever = id(&proof);
    super::hand::assert_ordered(&gateway, &proof, 1, "route:r");
    wait_for("the end", || (super::hand::standing(&gateway, &lever)["ended"] == 1).then_some(()));
    let (_, ending) = super::hand::rest(&mut client, &head);
    assert!(matches!(ending, super::hand::Ending::Torn), "{ending:?}");
}

/// What was passed on piece by piece is gone: no other target is asked with half a body.
#[test]
fn half_an_upload_goes_to_nobody_else() {
    for (kind, play_ends) in [("kill", true), ("switch", false)] {
        let (one, two) = (Provider::start(), Provider::start());
        let more = "fallback = [{ provider = \"two\" }]";
        let gateway = Gateway::start(&routes(&one.url(), &two.url(), more));
        let mut client = Client::connect(gateway.data);
        client.send(
            b"POST /v1/files HTTP/1.1\r\nhost: t\r\nx-play: upload\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        );
        wait_for("the upload", || (one.reached() == 1).then_some(()));
        if play_ends {
            let lever = kill(&gateway, "provider:one");
            let answer = client.answer();
            assert_refused(&gateway, None, &answer, &lever);
            wait_for("the provider to be left", || (one.open() == 0).then_some(()));
        } else {
            let order =
                json!({ "kind": "reroute", "scope": "all", "to": ["two"], "in_flight": "switch" });
            pull(&gateway, order);
            let before = one.bytes_in();
            client.send(b"4\r\nmore\r\n");
            wait_for("the upload to go on", || (one.bytes_in() > before).then_some(()));
            drop(client);
            gateway.wait_idle();
        }
        assert_eq!(two.requests(), 0, "{kind}");
    }
}
