//! Who may call what on the admin plane, and from where.

use super::{app, raw, sha256};
use crate::support::{CASES, Client, Gateway, MockServer, get, get_json, post, routes_to};
use firedoor::admin::endpoints::Verb;
use firedoor::admin::{Access, ENDPOINTS, Role};

const ROLES: [(&str, Role); 4] = [
    ("viewer", Role::Viewer),
    ("responder", Role::Responder),
    ("author", Role::Author),
    ("admin", Role::Admin),
];

/// A gateway with one token of each role, which is `token-ROLE`, and one that has expired.
fn gateway() -> (MockServer, Gateway) {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let entry = |name: &str, role: &str, expires: &str| {
        format!(
            r#"{{"name":"{name}","role":"{role}","sha256":"{}","created":"2026-01-01T00:00:00Z"{expires}}}"#,
            sha256(&format!("token-{name}"))
        )
    };
    let mut all: Vec<String> = ROLES.iter().map(|(role, _)| entry(role, role, "")).collect();
    all.push(entry("expired", "admin", r#","expires":"2026-01-02T00:00:00Z""#));
    let file = gateway.data_dir().join("tokens.json");
    std::fs::write(file, format!(r#"{{"version":1,"tokens":[{}]}}"#, all.join(","))).unwrap();
    assert_eq!(gateway.admin_call("POST", "/api/v1/reload").status(), 200);
    (mock, gateway)
}

/// Every route, every role, and those who have none: from the router's own table.
#[test]
fn d3_29_every_route_takes_its_role_and_no_other() {
    let (_mock, gateway) = gateway();
    let call = |verb: Verb, path: &str, credential: Option<&str>| {
        let credential = credential.map_or(String::new(), |c| format!("authorization: {c}\r\n"));
        let length = if verb == Verb::Get { "" } else { "content-length: 0\r\n" };
        let mut client = Client::connect(gateway.admin);
        client.send(
            format!(
                "{} {path} HTTP/1.1\r\nhost: {}\r\n{credential}{length}\r\n",
                verb.name(),
                gateway.admin
            )
            .as_bytes(),
        );
        client.head()
    };
    for endpoint in ENDPOINTS {
        let path = endpoint.path.replace("{id}", "x_00000000000000000000000000000000");
        for (name, role) in ROLES {
            let head = call(endpoint.verb, &path, Some(&format!("Bearer token-{name}")));
            let is_let_in = match endpoint.access {
                Access::Open => true,
                Access::Role(least) => role >= least,
            };
            let is_refused = head.status == 403 || head.status == 401;
            assert_eq!(is_let_in, !is_refused, "{path} as {name}: {}", head.status);
            // 503: the index of the record is not there yet, or another replay runs.
            let starts_work = endpoint.verb == Verb::Post && path.ends_with("/replays");
            let fine: &[u16] = if starts_work { &[202, 503] } else { &[200, 400, 404, 503] };
            assert!(is_refused || fine.contains(&head.status), "{path}: {}", head.status);
        }
        let is_open = endpoint.access == Access::Open;
        let mut refusals = Vec::new();
        for credential in [
            None,
            Some("Bearer "),
            Some("Bearer wrong"),
            Some("Bearer token-expired"),
            Some("Basic dG9rZW4tYWRtaW46"),
            Some("token-admin"),
            Some("bearer\ttoken-admin"),
        ] {
            let head = call(endpoint.verb, &path, credential);
            assert_eq!(head.status == 401, !is_open, "{path} with {credential:?}: {}", head.status);
            refusals.push(head.field("content-length").map(str::to_owned));
        }
        refusals.dedup();
        assert!(is_open || refusals.len() == 1, "one refusal for all reasons: {refusals:?}");
    }
    // A token in the URL is none.
    let target = "/api/v1/status?token=token-admin&access_token=token-admin";
    let host = gateway.admin;
    let answer = raw(host, &format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    assert_eq!(answer.status(), 401);
}

/// The two planes share nothing: neither serves what the other does, whatever token is shown.
#[test]
fn d3_31_the_planes_are_apart() {
    let (mock, gateway) = gateway();
    for endpoint in ENDPOINTS {
        let path = endpoint
            .path
            .replace("{id}", "x_00000000000000000000000000000000")
            .replace("{pack}", "p");
        let fields = [("authorization", "Bearer token-admin")];
        let answer = match endpoint.verb {
            Verb::Get => get(gateway.data, &path, &fields),
            Verb::Post => post(gateway.data, &path, &fields, "{}"),
            Verb::Delete => raw(
                gateway.data,
                &format!(
                    "DELETE {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer token-admin\r\n\r\n"
                ),
            ),
        };
        assert!([200, 404].contains(&answer.status()), "{path}: {}", answer.text());
        let text = answer.text();
        let is_ours = text.contains("firedoor_") || text.contains("\"epoch\"") || text == "ok\n";
        assert!(answer.status() == 404 || !is_ours, "{path}: {text}");
        assert!(answer.head.field("etag").is_none(), "{path}");
    }
    let host = gateway.admin;
    for case in &CASES {
        let body = case.body("m", "hello", false);
        let answer = raw(
            host,
            &format!(
                "POST {} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer token-admin\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                case.target("m", false),
                body.len()
            ),
        );
        assert_eq!(answer.status(), 404, "{}", answer.text());
    }
    assert_eq!(
        get_json(mock.address, "/stats")["by_path"]["/v1/chat/completions"],
        serde_json::Value::Null
    );
}

/// An app's key is no admin token, and the other way round.
#[test]
fn d3_29_keys_of_one_plane_are_worth_nothing_on_the_other() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&(app("shop", "app-key") + &routes_to(&mock.url(), "")));
    let host = gateway.admin;
    let request = format!(
        "GET /api/v1/status HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer app-key\r\n\r\n"
    );
    assert_eq!(raw(host, &request).status(), 401);
    let token = format!("Bearer {}", gateway.admin_token());
    let answer = CASES[0].ask_with(&gateway, &[("authorization", &token)], false).answer();
    CASES[0].assert_refused(&gateway, &answer, 401, "invalid_api_key");
}

/// A page in the operator's browser, on its own origin or under a name that it rebinds.
#[test]
fn d3_31_pages_get_nothing() {
    let (_mock, gateway) = gateway();
    let host = gateway.admin;
    let ask = |method: &str, host: &str, more: &str| {
        let request = format!(
            "{method} /api/v1/reload HTTP/1.1\r\nhost: {host}\r\n\
             authorization: Bearer token-admin\r\n{more}content-length: 0\r\n\r\n"
        );
        let answer = raw(gateway.admin, &request);
        assert!(answer.head.field("access-control-allow-origin").is_none(), "{answer:?}");
        answer.status()
    };
    let good = host.to_string();
    assert_eq!(ask("POST", &good, ""), 200);
    for evil in [
        "evil.example",
        &format!("evil.example:{}", host.port()),
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
    ] {
        let status = ask("POST", evil, "");
        assert!([400, 421].contains(&status), "{evil}: {status}");
    }
    for more in [
        "origin: https://evil.example\r\n",
        "origin: null\r\n",
        "origin: http://localhost:1\r\n",
        "sec-fetch-site: cross-site\r\n",
        "sec-fetch-site: same-site\r\n",
    ] {
        assert_eq!(ask("POST", &good, more), 403, "{more}");
    }
    let preflight = ask("OPTIONS", &good, "origin: https://evil.example\r\n");
    assert!([403, 405].contains(&preflight), "{preflight}");
}
