//! What callers are told who ask for what is not there, or may not ask.

use crate::support::{CASES, Gateway, MockServer, get_json, post, routes_to};
use serde_json::json;

const ROUTES: &str = r#"
[providers.oai]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"
api_key = "${FIREDOOR_TEST_ABSENT:-}"

[providers.ant]
dialect = "anthropic"
base_url = "http://127.0.0.1:9"
api_key = "${FIREDOOR_TEST_ABSENT:-}"

[providers.gem]
dialect = "gemini"
base_url = "http://127.0.0.1:9"
api_key = "${FIREDOOR_TEST_ABSENT:-}"

[[routes]]
name = "some"
match = { model = ["known-*", "other"] }
targets = [{ provider = "oai" }, { provider = "ant" }, { provider = "gem" }]
"#;

#[test]
fn who_asks_for_an_unknown_model_is_told_which_are_served() {
    let gateway = Gateway::start(ROUTES);
    for case in &CASES {
        let target = case.target("nobody", false);
        let answer = post(gateway.data, &target, &[], &case.body("nobody", "hi", false));
        case.assert_refused(&gateway, &answer, 404, "model_not_found");
        for word in ["nobody", "known-*", "other"] {
            assert!(answer.text().contains(word), "{case:?}: {}", answer.text());
        }
    }
}

#[test]
fn who_asks_at_an_unknown_path_is_told_what_is_served() {
    let gateway = Gateway::start(ROUTES);
    let answer = post(gateway.data, "/v1/nonsense", &[], "{}");
    assert_eq!(answer.status(), 404, "{}", answer.text());
    assert!(answer.text().contains("known-*"), "{}", answer.text());
    let id = answer.head.field("x-firedoor-exchange").unwrap();
    gateway.wait_idle();
    assert_eq!(gateway.admin_json(&format!("/api/v1/exchanges/{id}"))["status"], 404);
}

#[test]
fn a_missing_key_names_the_variable_to_set() {
    let gateway = Gateway::start(ROUTES);
    for case in &CASES {
        let target = case.target("known-1", false);
        let answer = post(gateway.data, &target, &[], &case.body("known-1", "hi", false));
        assert_eq!(answer.status(), 401, "{case:?}: {}", answer.text());
        assert!(answer.text().contains("FIREDOOR_TEST_ABSENT"), "{case:?}: {}", answer.text());
    }
}

/// A target of nine times the weight gets about nine times as much.
#[test]
fn targets_are_chosen_by_weight() {
    let (heavy, light) = (MockServer::start(), MockServer::start());
    let gateway = Gateway::start(&format!(
        "[providers.heavy]\ndialect = \"openai\"\nbase_url = \"{}/v1\"\napi_key = \"k\"\n\
         [providers.light]\ndialect = \"openai\"\nbase_url = \"{}/v1\"\napi_key = \"k\"\n\
         [[routes]]\nname = \"all\"\ntargets = [{{ provider = \"heavy\", weight = 9 }}, \
         {{ provider = \"light\", weight = 1 }}]\n",
        heavy.url(),
        light.url()
    ));
    const ASKED: u64 = 400;
    for _ in 0..ASKED {
        let case = &CASES[0];
        let answer =
            post(gateway.data, &case.target("m", false), &[], &case.body("m", "hi", false));
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    let of = |mock: &MockServer| get_json(mock.address, "/stats")["requests"].as_u64().unwrap();
    assert_eq!(of(&heavy) + of(&light), ASKED);
    // Six standard deviations around 40.
    assert!((4..=76).contains(&of(&light)), "{} of {ASKED}", of(&light));
}

/// The agent of an app's exchanges that name none, which levers reach like any other.
/// A house with headers of its own need not change its applications.
#[test]
fn headers_of_the_file_say_who_asks_before_all_others() {
    let mock = MockServer::start();
    let own =
        "[identity]\nsession_headers = [\"X-Chat\", \"x-thread\"]\nagent_headers = [\"x-bot\"]\n\n";
    let gateway = Gateway::start(&(own.to_owned() + &routes_to(&mock.url(), "")));
    let case = &CASES[0];
    let ask = |fields: &[(&str, &str)]| {
        post(gateway.data, &case.target("m", false), fields, &case.body("m", "hi", false))
    };
    for (fields, session, agent) in [
        (&[("x-session-id", "usual"), ("x-firedoor-agent", "named")][..], "usual", "named"),
        (&[("x-thread", "second"), ("x-firedoor-session", "usual"), ("x-bot", "b")], "second", "b"),
        (&[("x-thread", "second"), ("x-chat", "first"), ("x-bot", " ")], "first", "probe"),
    ] {
        let answer = ask(&[fields, &[("user-agent", "probe/1")]].concat());
        assert_eq!(answer.status(), 200, "{}", answer.text());
        gateway.wait_idle();
        let id = answer.head.field("x-firedoor-exchange").unwrap();
        let told = gateway.admin_json(&format!("/api/v1/exchanges/{id}"));
        assert_eq!(
            (&told["session"], &told["agent"]),
            (&json!(session), &json!(agent)),
            "{told:#}"
        );
    }
    gateway.pull(json!({ "kind": "kill", "scope": "session:first" }));
    assert_eq!(ask(&[("x-chat", "first"), ("x-firedoor-session", "usual")]).status(), 400);
    assert_eq!(ask(&[("x-chat", "other"), ("x-firedoor-session", "first")]).status(), 200);
}

#[test]
fn an_app_has_an_agent_of_its_own() {
    // SHA-256 of `key`.
    const HASH: &str = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";
    let mock = MockServer::start();
    let app = format!("[apps.shop]\nkey_sha256 = [\"{HASH}\"]\nagent = \"crawler\"\n\n");
    let gateway = Gateway::start(&(app + &routes_to(&mock.url(), "")));
    let ask = |more: &[(&str, &str)]| {
        let own = [("x-firedoor-key", "key"), ("authorization", "Bearer of-a-provider")];
        let fields = [&own[..], more].concat();
        let case = &CASES[0];
        post(gateway.data, &case.target("m", false), &fields, &case.body("m", "hi", false))
    };
    for (more, agent) in [
        (&[][..], "crawler"),
        (&[("user-agent", "shopper/1.2")][..], "shopper"),
        (&[("x-firedoor-agent", "named")][..], "named"),
    ] {
        let answer = ask(more);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        gateway.wait_idle();
        let id = answer.head.field("x-firedoor-exchange").unwrap();
        let told = gateway.admin_json(&format!("/api/v1/exchanges/{id}"));
        assert_eq!(told["agent"], agent, "{told:#}");
    }
    gateway.pull(json!({ "kind": "kill", "scope": "agent:crawler" }));
    assert_eq!(ask(&[]).status(), 400);
    assert_eq!(ask(&[("x-firedoor-agent", "named")]).status(), 200);
}
