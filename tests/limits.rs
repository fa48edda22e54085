//! Limits of a running gateway: tokens, money, agents, models, loops.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod support;

use serde_json::Value;
use support::{Answer, Gateway, post, wait_for};

const SIMULATED: &str = r#"
[providers.sim]
dialect = "simulated"

[[routes]]
name = "all"
targets = [{ provider = "sim" }]
"#;

fn gateway(limits: &str) -> Gateway {
    Gateway::start(&format!("{SIMULATED}\n{limits}"))
}

/// Asks and waits until the exchange is counted.
fn ask(gateway: &Gateway, model: &str, fields: &[(&str, &str)]) -> Answer {
    let body = format!(
        r#"{{"model":"{model}","max_tokens":10,"messages":[{{"role":"user","content":"hi"}}]}}"#
    );
    let answer = post(gateway.data, "/v1/chat/completions", fields, &body);
    let _ = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
    answer
}

/// That a request was refused by a limit; its message.
fn refused(answer: &Answer) -> String {
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert_eq!(answer.head.field("x-should-retry"), Some("false"));
    assert_eq!(answer.head.field("retry-after"), None);
    let body = answer.json();
    assert_eq!(body["error"]["code"], "firedoor_limited", "{body}");
    body["error"]["message"].as_str().unwrap().to_owned()
}

fn counters(gateway: &Gateway) -> Vec<Value> {
    gateway.admin_json("/api/v1/limits")["items"].as_array().unwrap().clone()
}

#[test]
fn tokens_are_counted_and_refused() {
    let gateway = gateway("[[limits]]\nname = \"tokens\"\ntokens_per_day = 60\n");
    let first = ask(&gateway, "m", &[]);
    assert_eq!(first.status(), 200, "{}", first.text());
    let told = first.json()["usage"]["total_tokens"].as_u64().unwrap();
    let shown = counters(&gateway);
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(shown[0]["used"], told);
    assert_eq!((&shown[0]["reserved"], &shown[0]["most"]), (&0.into(), &60.into()));
    assert!(shown[0]["resets_in_ms"].as_u64().unwrap() > 86_000_000);
    let last = (0..20).map(|_| ask(&gateway, "m", &[])).find(|answer| answer.status() != 200);
    let message = refused(&last.unwrap());
    assert!(message.contains("everybody may use 60 tokens a day (limit `tokens`"), "{message}");
    assert!(message.contains("there is room again in "), "{message}");
    let labels = r#"limit="tokens",what="tokens_per_day""#;
    assert_eq!(gateway.metric("firedoor_limit_refusals_total", labels), 1);
    assert_eq!(gateway.metric("firedoor_limit_allowed", labels), 60);
    assert!(gateway.metric("firedoor_limit_used", labels) >= told);
    assert_eq!(gateway.exchanges()[0]["limit"], "tokens");
}

#[test]
fn money_is_counted_and_refused() {
    let gateway = gateway(
        "[prices.\"dear*\"]\ninput = 1000.0\noutput = 2000.0\n\
         [[limits]]\nname = \"budget\"\nusd_per_day = 0.5\n",
    );
    let first = ask(&gateway, "dear-1", &[]);
    assert_eq!(first.status(), 200, "{}", first.text());
    let usage = &first.json()["usage"];
    let part = |name: &str| usage[name].as_u64().unwrap();
    let micro = part("prompt_tokens") * 1000 + part("completion_tokens") * 2000;
    assert_eq!(gateway.exchanges()[0]["cost_micro_usd"], micro);
    assert_eq!(gateway.metric("firedoor_cost_micro_usd_total", ""), micro);
    let last = (0..50).map(|_| ask(&gateway, "dear-1", &[])).find(|answer| answer.status() != 200);
    let message = refused(&last.unwrap());
    assert!(message.contains("may use 0.5 USD a day (limit `budget`, usd_per_day)"), "{message}");
}

#[test]
fn a_model_without_a_price_passes_or_is_refused() {
    let routes = |unpriced: &str| {
        format!(
            "[providers.far]\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"\n\
             [[routes]]\nname = \"all\"\ntargets = [{{ provider = \"far\" }}]\n\
             [[limits]]\nname = \"budget\"\nusd_per_day = 0.5\nunpriced = \"{unpriced}\"\n"
        )
    };
    let strict = Gateway::start(&routes("refuse"));
    let message = refused(&ask(&strict, "nobody-knows", &[]));
    assert!(message.contains("what this model costs is not known"), "{message}");
    let lenient = Gateway::start(&routes("pass"));
    let answer = ask(&lenient, "nobody-knows", &[]);
    assert_eq!(answer.json()["error"]["code"], "firedoor_unavailable", "{}", answer.text());
    assert_eq!(lenient.metric("firedoor_limit_unpriced_total", "budget"), 1);
}

#[test]
fn agents_and_models_have_their_own_counters() {
    let gateway = gateway(
        "[[limits]]\nname = \"crawlers\"\nmatch = { agent = \"crawl*\" }\nper = \"agent\"\n\
         requests_per_hour = 1\n\
         [[limits]]\nname = \"dear\"\nmatch = { model = \"gpt-4*\" }\nper = \"model\"\n\
         requests_per_hour = 2\n",
    );
    let by = |agent: &str, model: &str| ask(&gateway, model, &[("x-firedoor-agent", agent)]);
    for (agent, model, limit) in [
        ("crawler-1", "m", None),
        ("crawler-1", "m", Some("crawlers")),
        ("crawler-2", "m", None),
        ("person", "m", None),
        ("person", "gpt-4o", None),
        ("person", "gpt-4o", None),
        ("person", "gpt-4o", Some("dear")),
        ("person", "gpt-4.1", None),
        ("crawler-3", "gpt-4o", Some("dear")),
        // The refusal before this counted nothing.
        ("crawler-3", "m", None),
    ] {
        let answer = by(agent, model);
        match limit {
            None => assert_eq!(answer.status(), 200, "{agent} {model}: {}", answer.text()),
            Some(limit) => {
                let message = refused(&answer);
                assert!(message.contains(&format!("limit `{limit}`")), "{message}");
            }
        }
    }
}

#[test]
fn a_loop_is_refused_and_pulls_its_lever() {
    let gateway = gateway(
        "[[limits]]\nname = \"loops\"\n\
         loop = { same_call = 3, within = \"10m\", then = \"kill session\" }\n",
    );
    let body = r#"{"model":"m","messages":[{"role":"user","content":"mock:tool=refund:%7B%22id%22:7%7D;"}]}"#;
    let call = |session: &str| {
        let fields = [("x-firedoor-session", session)];
        let answer = post(gateway.data, "/v1/chat/completions", &fields, body);
        let id = answer.head.field("x-firedoor-exchange").unwrap().to_owned();
        (answer, gateway.exchange(&id))
    };
    for turn in 1..=3 {
        let (answer, record) = call("s1");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let calls = &answer.json()["choices"][0]["message"]["tool_calls"];
        assert_eq!(calls[0]["function"]["name"], "refund", "{}", answer.text());
        assert_eq!(record["loops"].as_array().unwrap().len(), usize::from(turn == 3), "{record}");
    }
    // By the limit or by the lever that it pulls, whichever is first.
    let answer = call("s1").0;
    assert_eq!(answer.status(), 400, "{}", answer.text());
    let message = answer.text();
    let by_limit = "loop: tool `refund` was called 3 times with the same arguments by session `s1`";
    let by_lever = "stopped because it repeats itself";
    assert!(message.contains(by_limit) || message.contains(by_lever), "{message}");
    assert_eq!(call("s2").0.status(), 200, "another session goes on");
    assert_eq!(gateway.metric("firedoor_limit_loops_total", "loops"), 1);
    assert_eq!(gateway.metric("firedoor_limit_trips_total", "loops"), 1);
    let lever = wait_for("the lever", || {
        let levers = gateway.admin_json("/api/v1/levers");
        levers["items"].as_array()?.first().cloned()
    });
    assert_eq!(lever["kind"], "kill", "{lever}");
    assert_eq!(lever["scope"], "session:s1", "{lever}");
}
