//! What a translated answer says of itself: how many tokens were used, which Chat tells a stream's
//! caller only if asked, and when it was made.

use crate::support::{Gateway, MockServer, post, routes_to};

#[test]
fn a_translated_stream_tells_usage_to_who_asks() {
    let mock = MockServer::start();
    for other in ["ant", "gem"] {
        let routes = routes_to(&mock.url(), "").replace(
            "[{ provider = \"oai\" }]",
            &format!("[{{ provider = \"{other}\", model = \"m\" }}]"),
        );
        let gateway = Gateway::start(&routes);
        let ask = |more: &str| {
            let body = format!(
                r#"{{"model":"m","stream":true,"messages":[{{"role":"user","content":"hi"}}]{more}}}"#
            );
            let answer = post(gateway.data, "/v1/chat/completions", &[], &body);
            assert_eq!(answer.status(), 200, "{}", answer.text());
            answer.text()
        };
        // A tool may have a parameter of that name.
        let tool = r#","tools":[{"type":"function","function":{"name":"report","parameters":{"type":"object","default":{"include_usage":true}}}}]"#;
        for more in ["", tool] {
            let plain = ask(more);
            assert!(
                plain.contains("[DONE]") && plain.contains("\"finish_reason\":\"stop\""),
                "{plain}"
            );
            assert!(
                !plain.contains("\"choices\":[]") && !plain.contains("total_tokens"),
                "{plain}"
            );
        }
        let asked = ask(r#","stream_options":{"include_usage":true}"#);
        assert!(asked.contains("total_tokens"), "{asked}");
    }
}

/// OpenAI's answers say when they were made; others do not, so the gateway says when it was asked.
#[test]
fn a_translated_answer_says_when_it_was_made() {
    let mock = MockServer::start();
    let routes = routes_to(&mock.url(), "")
        .replace("[{ provider = \"oai\" }]", "[{ provider = \"ant\", model = \"m\" }]");
    let gateway = Gateway::start(&routes);
    let before = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for (path, name) in [("chat/completions", "\"created\":"), ("responses", "\"created_at\":")] {
        for stream in [false, true] {
            let body = format!(
                r#"{{"model":"m","stream":{stream},"input":"hi","messages":[{{"role":"user","content":"hi"}}]}}"#
            );
            let answer = post(gateway.data, &format!("/v1/{path}"), &[], &body).text();
            let (_, rest) = answer.split_once(name).expect(&answer);
            let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap();
            let made: u64 = digits.parse().expect(&answer);
            assert!((before..before + 600).contains(&made), "{answer}");
        }
    }
}
