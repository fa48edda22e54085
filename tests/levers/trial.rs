//! The crash-loop breaker: a change that makes the gate crash does not do so for ever, and a kill
//! is never the change that is left out.

use super::hand::{ask, assert_refused, id, kill, lift, pull, standing};
use crate::support::{CASES, Gateway, MockServer};
use serde_json::json;

fn routes(mock: &MockServer) -> String {
    let url = mock.url();
    format!(
        "[providers.one]\ndialect = \"openai\"\nbase_url = \"{url}/v1\"\n\n\
         [providers.two]\ndialect = \"openai\"\nbase_url = \"{url}/v1\"\n\n\
         [[routes]]\nname = \"r\"\ntargets = [{{ provider = \"one\" }}]\n"
    )
}

fn target(gateway: &Gateway) -> String {
    // Who answers here also hears signals.
    gateway.admin_json("/api/v1/status");
    let answer = ask(gateway, &CASES[0], "m", &[], false).answer();
    answer.head.field("x-firedoor-target").unwrap_or_default().to_owned()
}

#[test]
fn a_reroute_with_which_the_gate_dies_twice_is_left_out_and_said_so() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes(&mock));
    let killed = kill(&gateway, "session:bad");
    let order = json!({ "kind": "reroute", "scope": "route:r", "to": ["two"] });
    let lever = id(&pull(&gateway, order));
    assert_eq!(target(&gateway), "two");

    let gateway = gateway.restarted();
    assert_eq!(target(&gateway), "two", "one crash proves nothing");
    let gateway = gateway.restarted();
    assert_eq!(target(&gateway), "one", "with the second it is left out");
    let line = gateway.process.stderr.find("the word of it", |line| line.contains("leaves it out"));
    assert!(line.unwrap().contains(&lever));
    assert!(standing(&gateway, &lever).is_null());
    let fields = [("x-firedoor-session", "bad")];
    let answer = ask(&gateway, &CASES[0], "m", &fields, false).answer();
    assert_refused(&gateway, Some(CASES[0].dialect), &answer, &killed);

    // Another crash changes nothing; it can be lifted, and pulled again.
    let gateway = gateway.restarted();
    assert_eq!(target(&gateway), "one");
    lift(&gateway, &lever);
    let order = json!({ "kind": "reroute", "scope": "route:r", "to": ["two"] });
    pull(&gateway, order);
    assert_eq!(target(&gateway), "two");
}

#[test]
fn after_an_end_in_order_nothing_is_left_out() {
    let mock = MockServer::start();
    let mut gateway = Gateway::start(&routes(&mock));
    let order = json!({ "kind": "reroute", "scope": "route:r", "to": ["two"] });
    pull(&gateway, order);
    for _ in 0..4 {
        gateway.process.terminate();
        assert_eq!(gateway.process.wait().code(), Some(0));
        gateway = gateway.restarted();
        assert_eq!(target(&gateway), "two");
    }
    // One crash, and an end in order behind it: the count begins anew.
    gateway = gateway.restarted();
    assert_eq!(target(&gateway), "two");
    gateway.process.terminate();
    assert_eq!(gateway.process.wait().code(), Some(0));
    gateway = gateway.restarted();
    gateway = gateway.restarted();
    assert_eq!(target(&gateway), "two");
}

#[test]
fn a_kill_is_kept_however_often_the_gate_dies() {
    let mock = MockServer::start();
    let mut gateway = Gateway::start(&routes(&mock));
    let lever = kill(&gateway, "all");
    for _ in 0..5 {
        gateway = gateway.restarted();
        let answer = ask(&gateway, &CASES[0], "m", &[], true).answer();
        assert_refused(&gateway, Some(CASES[0].dialect), &answer, &lever);
    }
}
