//! What the answer to a kill proves of exchanges that speak as fast as they can: a worker is in the
//! middle of a step with one of them whenever the kill comes.

use super::hand::{Ending, ask, assert_cut, assert_ordered, id, lift, pull, rest};
use super::provider::{Provider, newest_token};
use crate::support::{CASES, Gateway, routes_to, wait_for};
use serde_json::json;

const ROUNDS: usize = 24;

#[test]
fn nothing_is_written_once_a_kill_is_in_force() {
    let provider = Provider::start();
    let gateway = Gateway::start(&routes_to(&provider.url(), ""));
    for round in 0..ROUNDS {
        let session = format!("s-{round}");
        let case = CASES[round % CASES.len()];
        let fields = [("x-play", "flood"), ("x-firedoor-session", &*session)];
        let before = provider.tokens();
        let mut client = ask(&gateway, &case, "m", &fields, true);
        let head = client.head();
        let reading = std::thread::spawn(move || rest(&mut client, &head));
        wait_for("a flood", || (provider.tokens() > before + 50).then_some(()));
        let scope = format!("session:{session}");
        let proof = pull(&gateway, json!({ "kind": "kill", "scope": scope }));
        let last = provider.tokens();
        assert_ordered(&gateway, &proof, 1, &scope);
        let (body, ending) = reading.join().unwrap();
        let newest = newest_token(&body);
        assert!(newest <= last, "{scope}: token {newest} was written after {last}");
        if matches!(ending, Ending::Framed) {
            assert_cut(&case, &body, &id(&proof));
        }
        lift(&gateway, &id(&proof));
    }
    gateway.wait_idle();
}
