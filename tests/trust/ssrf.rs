//! Nobody but the operator says where requests go.

use super::raw;
use crate::support::{CASES, Gateway, MockServer, Process, Upstream, get_json, post, routes_to};
use std::net::ToSocketAddrs;

const STAY: &str = "retry = { attempts = 1 }";

/// Headers, members and targets by which gateways have been led astray.
#[test]
fn d3_27_clients_cannot_name_the_upstream() {
    let (mock, evil) = (MockServer::start(), Upstream::fixed(""));
    let gateway = Gateway::start(&routes_to(&mock.url(), STAY));
    let url = evil.url();
    let authority = evil.address.to_string();
    let headers: Vec<(&str, &str)> = [
        "x-base-url",
        "api-base",
        "x-api-base",
        "base-url",
        "x-custom-host",
        "x-forwarded-host",
        "x-original-url",
        "x-rewrite-url",
        "x-host",
        "x-portkey-custom-host",
        "helicone-target-url",
        "x-litellm-api-base",
        "x-firedoor-upstream",
        "x-firedoor-target",
        "x-openai-base-url",
    ]
    .into_iter()
    .map(|name| (name, &*url))
    .chain([("forwarded", "host=evil.example"), ("via", "1.1 evil.example")])
    .collect();
    for case in &CASES {
        let answer = case.ask_with(&gateway, &headers, false).answer();
        assert_eq!(answer.status(), 200, "{case:?}: {}", answer.text());
        let mut body: serde_json::Value =
            serde_json::from_str(&case.body("m", "hello", false)).unwrap();
        for member in ["base_url", "api_base", "baseURL", "custom_llm_provider", "host"] {
            body[member] = url.clone().into();
        }
        let target = format!("{}?", case.target("m", false));
        let query = format!("{target}base_url={url}&api_base={url}");
        let body = body.to_string();
        let length = body.len();
        let rest =
            format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
        // By the host, and by a target with a host of its own.
        for (target, host) in [
            (query.clone(), authority.clone()),
            (format!("http://{authority}{query}"), authority.clone()),
        ] {
            let answer =
                raw(gateway.data, &format!("POST {target} HTTP/1.1\r\nhost: {host}\r\n{rest}"));
            assert_eq!(answer.status(), 200, "{case:?} {target}: {}", answer.text());
        }
    }
    assert_eq!(evil.requests(), 0);
    for seen in get_json(mock.address, "/requests").as_array().unwrap() {
        let head = seen["head"].as_str().unwrap();
        assert!(head.contains(&format!("host: {}\r\n", mock.address)), "{head}");
        assert_eq!(head.matches("\r\nhost:").count(), 1, "{head}");
        assert!(!head.contains("x-firedoor-"), "our own names go no further: {head}");
    }
}

/// A redirect is the client's to judge: the credential goes nowhere else.
#[test]
fn d3_27_redirects_are_passed_on_and_not_followed() {
    let evil = Upstream::fixed("");
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent"]
    {
        let location = format!("{}/v1/chat/completions", evil.url());
        let upstream = Upstream::fixed(format!(
            "HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\n\
             connection: close\r\n\r\n"
        ));
        let gateway = Gateway::start(&routes_to(&upstream.url(), STAY));
        for case in &CASES {
            for stream in [true, false] {
                let answer = case.ask(&gateway, "", stream).answer();
                assert_eq!(answer.status().to_string(), status[..3], "{case:?}");
                assert_eq!(answer.head.field("location"), Some(&*location), "{case:?}");
            }
        }
    }
    assert_eq!(evil.requests(), 0);
}

/// A provider and route for each host; the model `m0` goes to the first.
fn hosts(hosts: &[impl AsRef<str>], port: u16) -> String {
    let one = |(number, host): (usize, &dyn AsRef<str>)| {
        let host = host.as_ref();
        format!(
            "[providers.p{number}]\ndialect = \"openai\"\nbase_url = \"http://{host}:{port}/v1\"\n\n\
             [[routes]]\nname = \"r{number}\"\nmatch = {{ model = \"m{number}\" }}\n\
             targets = [{{ provider = \"p{number}\" }}]\nretry = {{ attempts = 1 }}\n\n"
        )
    };
    hosts.iter().map(|host| host as &dyn AsRef<str>).enumerate().map(one).collect()
}

/// Spellings of an address that a resolver would take, and people would not.
#[test]
fn d3_27_odd_spellings_of_addresses_are_no_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.toml");
    for host in
        ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "169.254.43518", "127.0.0.01"]
    {
        std::fs::write(&file, hosts(&[host], 80)).unwrap();
        let mut check = Process::firedoor(&["check", "--config", file.to_str().unwrap()], &[]);
        assert!(!check.wait().success(), "{host}");
    }
}

/// Addresses that no provider has, and names that lead to this machine.
#[test]
fn d3_27_what_leads_inside_is_refused_at_connect() {
    let inside = Upstream::fixed("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    let addresses = [
        "169.254.169.254",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "[::]",
        "224.0.0.1",
        "255.255.255.255",
        "[ff02::1]",
    ];
    // Which names there are is the machine's affair; that of the machine itself is one mostly.
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let leads_here = |name: &&str| {
        let found = (*name, 80).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        found.is_ok_and(|found| !found.is_empty() && found.iter().all(|a| a.ip().is_loopback()))
    };
    let names =
        [own.trim(), "ip6-localhost", "ip6-loopback", "localhost.localdomain", "a.localhost"];
    let names = names.into_iter().filter(leads_here);
    let all: Vec<&str> = addresses.into_iter().chain(names).collect();
    let gateway = Gateway::start(&hosts(&all, inside.address.port()));
    for (number, host) in all.iter().enumerate() {
        let body = CASES[0].body(&format!("m{number}"), "hello", false);
        let answer = post(gateway.data, "/v1/chat/completions", &[], &body);
        CASES[0].assert_refused(&gateway, &answer, 503, "firedoor_unavailable");
        assert!(answer.text().contains("never a provider"), "{host}: {}", answer.text());
    }
    assert_eq!(inside.requests(), 0);
}
