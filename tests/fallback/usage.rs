//! How many tokens were used: Chat tells a stream's caller only if asked.

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
        let plain = ask("");
        assert!(
            plain.contains("[DONE]") && plain.contains("\"finish_reason\":\"stop\""),
            "{plain}"
        );
        assert!(!plain.contains("\"choices\":[]") && !plain.contains("total_tokens"), "{plain}");
        let asked = ask(r#","stream_options":{"include_usage":true}"#);
        assert!(asked.contains("total_tokens"), "{asked}");
    }
}
