//! The first target fails before its first byte: another one, of another dialect, answers.

use crate::support::{ALL, Gateway, MockServer, NOBODY, Told, Upstream, ask, get_json};
use crate::{FAMILIES, Family, family_behind, provider, route};

const FIRST: &str = "text=said%20by%20the%20first";
const SECOND: &str = "text=said%20by%20the%20second";
const POLICY: &str = "retry = { attempts = 1 }\ntimeouts = { first_byte_ms = 400, idle_ms = 400 }";

/// Lets every caller ask a first target of every family at `url`, where `fault` strikes it; the
/// fallback is the next family, at a provider that works.
///
/// Every case has a first target of its own and every caller a gateway, so that no circuit opens
/// and no retry budget runs out.
fn taken_over(fault: &str, url: impl Fn(&str, bool) -> String) {
    let healthy = MockServer::start();
    let mut oks = String::new();
    for Family { name, .. } in FAMILIES {
        oks += &provider(&format!("{name}-ok"), &healthy.url(), SECOND);
    }
    for (stream, caller) in [true, false].into_iter().flat_map(|stream| ALL.map(|c| (stream, c))) {
        let mut routes = oks.clone();
        let mut cases = Vec::new();
        for (at, Family { name, .. }) in FAMILIES.iter().enumerate() {
            let (first, second) = (format!("{name}-broken"), family_behind(at, 1).name);
            let model = format!("case-{first}");
            routes += &provider(&first, &url(name, stream), &format!("{FIRST},{fault}"));
            let target = format!("{{ provider = \"{first}\", model = \"first\" }}");
            let fallback = format!(
                "fallback = [{{ provider = \"{second}-ok\", model = \"second\" }}]\n{POLICY}"
            );
            routes += &route(&model, &target, &fallback);
            cases.push((first, second, model));
        }
        let gateway = Gateway::start(&routes);
        for (first, second, model) in cases {
            let who = format!("{fault:?}: {caller:?} at {first}, stream {stream}");
            let answer = ask(&gateway, caller, &model, stream).answer();
            assert_eq!(answer.status(), 200, "{who}: {}", answer.text());
            let told = Told::of(caller, stream, &answer);
            told.assert_one(&who);
            assert_eq!(told.text, "said by the second", "{who}");
            assert!(!answer.text().contains("first"), "{who}: {}", answer.text());
            let head = &answer.head;
            assert_eq!(head.field("x-firedoor-target"), Some(&*format!("{second}-ok/second")));
            assert_eq!(head.field("x-firedoor-attempt"), Some("2"), "{who}");
            let record = gateway.exchange(head.field("x-firedoor-exchange").unwrap());
            assert_eq!(record["outcome"], "completed", "{who}: {record}");
            assert_eq!(record["provider"], format!("{second}-ok"), "{who}: {record}");
            assert_eq!(record["attempts"], 2, "{who}: {record}");
            assert_eq!(record["seams"].as_array().unwrap().len(), 0, "{who}: {record}");
        }
        gateway.wait_idle();
    }
    assert_eq!(get_json(healthy.address, "/stats")["open"], 0);
}

fn struck(fault: &str) {
    let broken = MockServer::start();
    taken_over(fault, |_, _| broken.url());
}

#[test]
fn no_connection() {
    taken_over("", |_, _| NOBODY.to_owned());
}

#[test]
fn reset() {
    struck("fault=refuse");
}

#[test]
fn error_statuses() {
    struck("status=500");
    struck("status=503");
    struck("status=429");
}

#[test]
fn silence() {
    struck("fault=stall,at=0");
}

#[test]
fn no_http() {
    struck("fault=garbage,at=0");
}

#[test]
fn an_end_before_the_first_frame() {
    struck("fault=close,at=0");
}

#[test]
fn an_error_in_place_of_an_answer() {
    let broken = MockServer::start();
    taken_over("fault=error_event,at=0", |_, _| broken.url());
}

#[test]
fn an_answer_of_nothing() {
    answers("");
}

#[test]
fn half_a_frame() {
    answers("{\"id\":\"first");
}

/// Every answer of the first is `body`, as a stream and whole.
fn answers(body: &str) {
    let answer = |kind: &str| {
        Upstream::fixed(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let sse = answer("text/event-stream");
    let binary = answer("application/vnd.amazon.eventstream");
    let whole = answer("application/json");
    taken_over("", |name, stream| match (name, stream) {
        (_, false) => whole.url(),
        ("bed", true) => binary.url(),
        (_, true) => sse.url(),
    });
}

/// With nobody left to take over, what the provider said reaches its caller, in the caller's
/// dialect, also on a route on which somebody could have gone on.
#[test]
fn an_error_with_nobody_left_is_the_providers_own() {
    let mock = MockServer::start();
    for stream in [true, false] {
        let mut routes = String::new();
        for Family { name, .. } in FAMILIES {
            for midstream in ["end", "continue"] {
                let provider_name = format!("{name}-{midstream}");
                routes += &provider(&provider_name, &mock.url(), "text=x,fault=error_event,at=0");
                let more = format!("retry = {{ attempts = 1 }}\nmidstream = \"{midstream}\"");
                let target = format!("{{ provider = \"{provider_name}\", model = \"m\" }}");
                routes += &route(&provider_name, &target, &more);
            }
        }
        let gateway = Gateway::start(&routes);
        for caller in ALL {
            for Family { name, .. } in FAMILIES {
                let said = ["end", "continue"].map(|midstream| {
                    let model = format!("{name}-{midstream}");
                    let who = format!("{caller:?} at {model}, stream {stream}");
                    let answer = ask(&gateway, caller, &model, stream).answer();
                    assert_eq!(answer.head.field("x-firedoor-attempt"), Some("1"), "{who}");
                    let id = answer.head.field("x-firedoor-exchange").unwrap();
                    let record = gateway.exchange(id);
                    let outcome = (record["outcome"].clone(), record["fault"].clone());
                    let is_error = answer.status() >= 400;
                    let error = (!is_error).then(|| Told::of(caller, stream, &answer).error);
                    (answer.status(), error, outcome)
                });
                let who = format!("{caller:?} at {name}, stream {stream}");
                assert_eq!(said[0], said[1], "{who}");
                if stream {
                    let (status, error, _) = &said[1];
                    assert_eq!(*status, 200, "{who}: {said:?}");
                    let (code, message) = error.clone().flatten().unwrap();
                    assert!(!message.contains("(ref x_"), "{who}: {code} {message}");
                }
            }
        }
    }
}
