//! A judge outside of the gate that is told answers, a sentence at a time.

use super::webhook::Service;
use crate::support::{CASES, Gateway, MockServer, routes_to, wait_for};
use firedoor::cli::mock::Options;
use firedoor::exchange::simulated::Script;
use firedoor::wire::Dialect;
use serde_json::{Value, json};
use std::fs;

const GOOD: &str = "text=One%20good%20word.%20Another%20good%20word.%20And%20a%20last";
const BAD: &str = "text=One%20good%20word.%20Then%20a%20bad%20one.%20And%20nobody%20hears%20this";

/// A pack whose one rule asks `service`.
pub fn pack(service: &Service, more: &str, timeout_ms: u32) -> String {
    let url = service.upstream.url();
    format!(
        "pack = \"outside\"\n[[rule]]\nid = \"moderation\"\naction = \"cut\"\n{more}\n\
         [rule.match]\nwebhook = \"{url}/v1/moderations\"\ntimeout_ms = {timeout_ms}\n"
    )
}

/// A pack that asks nobody.
const INNER: &str = "pack = \"inner\"\n[[rule]]\nid = \"zebra\"\nchannels = [\"answer\"]\naction = \"cut\"\non_error = \"cut\"\nmatch = { words = [\"zebra\"] }\n";

/// A gateway to `provider`, all of it under `rules`; `pack` lies in its folder.
pub fn gateway(provider: &str, rules: &str, pack: &str) -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("outside.toml"), pack).unwrap();
    fs::write(folder.path().join("inner.toml"), INNER).unwrap();
    let place = folder.path().display();
    let routes = routes_to(provider, "");
    let routes = format!("rules = [{rules}]\n\n[server]\nfilters = '{place}'\n\n{routes}");
    (Gateway::start(&routes), folder)
}

fn start(mock: &MockServer, service: &Service, more: &str) -> (Gateway, tempfile::TempDir) {
    gateway(&mock.url(), "\"outside\"", &pack(service, more, 1000))
}

pub const ANSWERS: &str = "channels = [\"answer\"]\non_error = \"cut\"";

/// What it was told, in order.
pub fn asked(service: &Service) -> Vec<String> {
    let texts = |body: &Value| -> Vec<String> {
        let texts = body["input"].as_array().unwrap().iter();
        texts.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    service.calls().iter().flat_map(|(_, body)| texts(body)).collect()
}

#[test]
fn no_sentence_leaves_before_its_verdict() {
    let mock = MockServer::start();
    for case in &CASES {
        let service = Service::start();
        let (gateway, _folder) = start(&mock, &service, ANSWERS);
        let answer = case.ask(&gateway, BAD, true).answer();
        assert_eq!(answer.status(), 200, "{case:?}: {}", answer.text());
        let before = case.assert_cut(&gateway, &answer, "firedoor_blocked");
        let text = answer.text();
        assert!(!before.is_empty() && text.contains("good"), "{case:?}: {text}");
        assert!(!text.contains("bad") && !text.contains("nobody"), "{case:?}: {text}");
        let told = asked(&service);
        assert!(told.len() == 2 && told[1].contains("bad"), "{case:?}: {told:?}");
        assert!(!told.concat().contains("nobody"), "{case:?}: {told:?}");
        assert!(!told[0].contains("bad"), "{case:?}: {told:?}");
        let id = answer.head.field("x-firedoor-exchange").unwrap();
        let record = gateway.exchange(id);
        assert_eq!(record["findings"][0]["rule"], "outside/moderation", "{record}");

        let whole = case.ask(&gateway, BAD, false).answer();
        assert_eq!(whole.status(), 400, "{case:?}: {}", whole.text());
        assert!(whole.text().contains("outside/moderation"), "{}", whole.text());
        // An id may have the letters of a word.
        assert!(!whole.text().contains("bad one"), "{}", whole.text());
    }
}

/// What another dialect's provider says is judged in the words that leave.
#[test]
fn translated_answers_are_judged_too() {
    for (script, is_bad) in [(BAD, true), (GOOD, false)] {
        let script = Script::default().with(script).unwrap();
        let mock = MockServer::start_with(Options { script, ..Options::default() });
        let service = Service::start();
        let (gateway, folder) = start(&mock, &service, ANSWERS);
        drop(gateway);
        let place = folder.path().display();
        let routes = routes_to(&mock.url(), "rules = [\"outside\"]")
            .replace("[{ provider = \"oai\" }]", "[{ provider = \"ant\", model = \"m\" }]")
            .replace("[{ provider = \"gem\" }]", "[{ provider = \"ant\", model = \"m\" }]");
        let gateway = Gateway::start(&format!("[server]\nfilters = '{place}'\n\n{routes}"));
        for case in &CASES {
            let stream = case.ask(&gateway, "", true).answer();
            let whole = case.ask(&gateway, "", false).answer();
            let text = stream.text();
            if is_bad {
                case.assert_cut(&gateway, &stream, "firedoor_blocked");
                assert!(text.contains("good") && !text.contains("bad"), "{case:?}: {text}");
                assert_eq!(whole.status(), 400, "{case:?}");
            } else {
                case.assert_whole(&stream);
                assert!(text.contains("last") && whole.text().contains("last"), "{case:?}: {text}");
            }
        }
    }
}

#[test]
fn an_answer_that_is_clear_leaves_as_it_came() {
    let mock = MockServer::start();
    let plain = Gateway::start(&routes_to(&mock.url(), ""));
    for case in &CASES {
        for stream in [true, false] {
            let service = Service::start();
            let (gateway, _folder) = start(&mock, &service, ANSWERS);
            let judged = case.ask(&gateway, GOOD, stream).answer();
            assert_eq!(judged.status(), 200, "{case:?}: {}", judged.text());
            let other = case.ask(&plain, GOOD, stream).answer();
            assert_eq!(unnumbered(&judged.text()), unnumbered(&other.text()), "{case:?} {stream}");
            // Second copies are not asked about again.
            let told = asked(&service);
            let count = if stream { 3 } else { 1 };
            assert_eq!(told.len(), count, "{case:?} {stream}: {told:?}");
            assert_eq!(told.concat(), "One good word. Another good word. And a last", "{case:?}");
            let id = judged.head.field("x-firedoor-exchange").unwrap();
            assert_eq!(gateway.exchange(id)["outcome"], "completed", "{case:?}");
        }
    }
}

/// Without what the simulated provider makes up for each answer.
fn unnumbered(text: &str) -> String {
    let is_number = |c: char| c.is_ascii_digit();
    let is_made_up =
        |word: &str| word.contains(is_number) && (word.len() > 8 || word.contains("mock"));
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
    words.filter(|word| !is_made_up(word)).collect::<Vec<_>>().join(" ")
}

#[test]
fn without_a_verdict_in_time_on_error_decides() {
    let mock = MockServer::start();
    let slow = "text=One%20good%20word.%20A%20slow%20one.%20The%20rest";
    for (on_error, is_cut) in [("cut", true), ("pass", false)] {
        let service = Service::start();
        let more = format!("channels = [\"answer\"]\non_error = \"{on_error}\"");
        let (gateway, _folder) = start(&mock, &service, &more);
        for case in &CASES {
            let answer = case.ask(&gateway, slow, true).answer();
            if is_cut {
                case.assert_cut(&gateway, &answer, "firedoor_blocked");
                assert!(!answer.text().contains("slow"), "{case:?}: {}", answer.text());
            } else {
                assert!(answer.text().contains("rest"), "{case:?}: {}", answer.text());
            }
            let id = answer.head.field("x-firedoor-exchange").unwrap();
            assert_eq!(gateway.exchange(id)["unjudged"], 1, "{case:?}");
        }
    }
}

#[test]
fn what_a_tool_is_told_waits_until_the_call_is_whole() {
    let mock = MockServer::start();
    for case in CASES.iter().filter(|case| case.dialect != Dialect::Gemini) {
        let service = Service::start();
        let more = "channels = [\"tool_arguments\"]\non_error = \"cut\"";
        let (gateway, _folder) = start(&mock, &service, more);
        let answer = case.ask(&gateway, "tool=lookup", true).answer();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(asked(&service).len(), 1, "{case:?}: {:?}", asked(&service));
        let text = &asked(&service)[0];
        assert!(serde_json::from_str::<Value>(text).is_ok(), "{case:?}: {text}");
    }
}

#[test]
fn a_provider_that_breaks_and_a_kill_leave_nothing_unjudged() {
    let mock = MockServer::start();
    let service = Service::start();
    // A kill that did not end the wait would come behind the verdict that there is none.
    let (gateway, _folder) = gateway(&mock.url(), "\"outside\"", &pack(&service, ANSWERS, 30_000));
    for case in &CASES {
        let script = "text=One%20good%20word.%20Then%20half%20a%20sentence,fault=reset,at=7";
        let answer = case.ask(&gateway, script, true).answer();
        case.assert_cut(&gateway, &answer, "firedoor_bad_gateway");
        assert!(
            answer.text().contains("good") && !answer.text().contains("half"),
            "{case:?}: {}",
            answer.text()
        );
    }
    for (killed, case) in CASES.iter().enumerate() {
        let before = service.calls().len();
        let slow = "text=One%20good%20word.%20A%20slow%20one.%20The%20rest";
        let mut client = case.ask(&gateway, slow, true);
        wait_for("the second question", || (service.calls().len() == before + 2).then_some(()));
        let lever = gateway.pull(json!({ "kind": "kill", "scope": "all" }));
        let answer = client.answer();
        case.assert_cut(&gateway, &answer, "firedoor_killed");
        assert!(!answer.text().contains("slow"), "{case:?}: {}", answer.text());
        service.wait_for_given_up(killed + 1);
        gateway.lift(&lever);
    }
}
