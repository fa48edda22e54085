//! Operators take a provider away while it answers.

use crate::support::{ALL, Client, Gateway, MockServer, Told, ask, get_json, wait_for};
use crate::{FAMILIES, Family, family_behind, provider, route};
use firedoor::wire::Dialect;
use serde_json::{Value, json};

/// Speaks, and then is silent for as long as the test runs.
const SILENT: &str = "text=one%20two%20three%20four%20five%20six,fault=stall,at=6";
const REST: &str = "|said by the second";
const CONTINUE: &str = "midstream = \"continue\"\nretry = { attempts = 1 }";

/// A route for each family, whose fallback is the next one.
fn routes(silent: &str, healthy: &str, more: &str) -> String {
    let mut routes = String::new();
    for (at, Family { name, .. }) in FAMILIES.iter().enumerate() {
        let second = family_behind(at, 1).name;
        routes += &provider(name, silent, SILENT);
        routes += &provider(&format!("{name}-ok"), healthy, "text=%7Csaid%20by%20the%20second");
        let target = format!("{{ provider = \"{name}\", model = \"first\" }}");
        let fallback =
            format!("fallback = [{{ provider = \"{second}-ok\", model = \"second\" }}]\n{more}");
        routes += &route(&format!("to-{name}"), &target, &fallback);
    }
    routes
}

/// A client that has a part of its answer: its head and what came up to the provider's silence.
fn started(gateway: &Gateway, caller: Dialect, model: &str) -> (Client, String, Vec<u8>) {
    let mut client = ask(gateway, caller, model, true);
    let head = client.head();
    assert_eq!(head.status, 200, "{caller:?} at {model}");
    let id = head.field("x-firedoor-exchange").unwrap().to_owned();
    let mut had = Vec::new();
    while !String::from_utf8_lossy(&had).contains("two") {
        had.extend(client.chunk().unwrap().expect("the answer is still under way"));
    }
    (client, id, had)
}

fn rest(client: &mut Client, mut had: Vec<u8>) -> Vec<u8> {
    while let Some(chunk) = client.chunk().unwrap() {
        had.extend(chunk);
    }
    had
}

/// Starts an answer for every caller at every family, pulls `lever`, and reads each to its end.
fn pulled(more: &str, lever: &Value, check: impl Fn(&Gateway, Dialect, &str, &Told, &Value, &str)) {
    let (silent, healthy) = (MockServer::start(), MockServer::start());
    for Family { name, .. } in FAMILIES {
        let gateway = Gateway::start(&routes(&silent.url(), &healthy.url(), more));
        let model = format!("to-{name}");
        let mut open: Vec<_> =
            ALL.iter().map(|caller| (*caller, started(&gateway, *caller, &model))).collect();
        let mut lever = lever.clone();
        if lever["scope"] == "provider" {
            lever["scope"] = format!("provider:{name}").into();
        }
        let by = gateway.pull(lever);
        for (caller, (client, id, had)) in &mut open {
            let body = rest(client, std::mem::take(had));
            let told = Told::of_stream(*caller, &body);
            let record = gateway.exchange(id);
            check(&gateway, *caller, name, &told, &record, &by);
        }
        gateway.wait_idle();
        wait_for("the provider's connections to be let go", || {
            (get_json(silent.address, "/stats")["open"] == 0).then_some(())
        });
    }
}

fn assert_went_on(caller: Dialect, name: &str, told: &Told, record: &Value) {
    let who = format!("{caller:?} at {name}: {record}");
    told.assert_one(&who);
    let delivered = told.text.strip_suffix(REST);
    let delivered = delivered.unwrap_or_else(|| panic!("{who}: {:?}", told.text));
    assert!("one two three four five six".starts_with(delivered), "{who}: {delivered:?}");
    assert_eq!(record["outcome"], "completed", "{who}");
    assert_eq!(record["seams"].as_array().unwrap().len(), 1, "{who}");
    assert_eq!(record["seams"][0]["at_text_bytes"], delivered.len(), "{who}");
}

#[test]
fn a_killed_provider_is_followed_by_the_next() {
    let lever = json!({ "kind": "kill", "scope": "provider" });
    pulled(CONTINUE, &lever, |_, caller, name, told, record, by| {
        assert_went_on(caller, name, told, record);
        assert_eq!(record["lever"], by, "{record}");
    });
}

#[test]
fn a_killed_provider_ends_the_answer_where_the_route_does_not_go_on() {
    let lever = json!({ "kind": "kill", "scope": "provider", "message": "stopped for INC-7" });
    pulled("retry = { attempts = 1 }", &lever, |_, caller, name, told, record, by| {
        let who = format!("{caller:?} at {name}: {record}");
        let (_, message) = told.error.as_ref().unwrap_or_else(|| panic!("{who}"));
        assert!(message.contains("stopped for INC-7"), "{who}: {message}");
        assert!(!told.text.contains("second"), "{who}");
        assert_eq!(record["outcome"], "cut", "{who}");
        assert_eq!(record["lever"], by, "{who}");
    });
}

#[test]
fn a_kill_of_everything_ends_the_answer_although_the_route_goes_on() {
    let lever = json!({ "kind": "kill", "scope": "all", "message": "stopped for INC-7" });
    pulled(CONTINUE, &lever, |gateway, caller, name, told, record, by| {
        let who = format!("{caller:?} at {name}: {record}");
        let (_, message) = told.error.as_ref().unwrap_or_else(|| panic!("{who}"));
        assert!(message.contains("stopped for INC-7"), "{who}: {message}");
        assert!(!told.text.contains("second"), "{who}: {:?}", told.text);
        assert_eq!(record["outcome"], "cut", "{who}");
        assert_eq!(record["lever"], by, "{who}");
        let refused = ask(gateway, caller, &format!("to-{name}"), true).answer();
        assert_eq!(refused.head.field("x-firedoor-lever"), Some(by), "{who}");
    });
}

#[test]
fn a_reroute_in_flight_goes_on_where_it_sends() {
    let lever = json!({
        "kind": "reroute", "scope": "provider", "in_flight": "switch",
        "to": ["oai-ok/elsewhere"],
    });
    pulled(CONTINUE, &lever, |gateway, caller, name, told, record, by| {
        assert_went_on(caller, name, told, record);
        assert_eq!(record["target"], "oai-ok/elsewhere", "{record}");
        assert_eq!(record["lever"], by, "{record}");
        let next = ask(gateway, caller, &format!("to-{name}"), true).answer();
        assert_eq!(Told::of(caller, true, &next).text, REST);
        assert_eq!(next.head.field("x-firedoor-target"), Some("oai-ok/elsewhere"));
    });
}

#[test]
fn a_killed_provider_is_passed_over_by_new_requests() {
    let healthy = MockServer::start();
    let gateway = Gateway::start(&routes(&healthy.url(), &healthy.url(), CONTINUE));
    for Family { name, .. } in FAMILIES {
        let by = gateway.pull(json!({ "kind": "kill", "scope": format!("provider:{name}") }));
        for caller in ALL {
            for stream in [true, false] {
                let answer = ask(&gateway, caller, &format!("to-{name}"), stream).answer();
                let told = Told::of(caller, stream, &answer);
                told.assert_one(name);
                assert_eq!(told.text, REST, "{caller:?} at {name}");
                assert_eq!(answer.head.field("x-firedoor-attempt"), Some("1"), "nothing was sent");
            }
        }
        gateway.lift(&by);
    }
}
