//! Bedrock through the running binary: its binary streams, its errors, and its signatures.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use firedoor::exchange::sigv4::{Request, sign};
use firedoor::table::{Secret, Signer};
use firedoor::wire::event::{Event, Kind};
use firedoor::wire::framing::{Framing, Splitter};
use firedoor::wire::{Decoder, Dialect, decode_unary};
use http::{HeaderName, HeaderValue, Method};
use std::io::Write;
use std::sync::mpsc;
use support::{Answer, Client, Gateway, MockServer, Upstream, data};

const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"hello"}]}]}"#;
const STREAM: &str = "/model/a.b-v1%3A0/converse-stream";
const WHOLE: &str = "/model/a.b-v1%3A0/converse";

/// A Bedrock provider at `url` that takes all of `/model/`; `more` is in its row.
fn routes(url: &str, more: &str) -> String {
    format!(
        "[providers.bedrock]\ndialect = \"bedrock\"\nbase_url = \"{url}\"\n{more}\n\n\
         [[routes]]\nname = \"all\"\nmatch = {{ path = \"/model/*\" }}\n\
         targets = [{{ provider = \"bedrock\" }}]\nretry = {{ attempts = 1 }}\n"
    )
}

fn ask(gateway: &Gateway, target: &str, fields: &[(&str, &str)]) -> Answer {
    let mut client = Client::connect(gateway.data);
    let all = [&[("content-type", "application/json")], fields].concat();
    client.request("POST", target, &all, BODY.as_bytes());
    client.answer()
}

/// What a whole stream said; every message of it is checked.
fn told(body: &[u8]) -> Vec<Event<'static>> {
    let mut decoder = Decoder::new(Dialect::Bedrock);
    let (mut splitter, mut rest) = (Splitter::new(Framing::EventStream), body);
    let mut events = Vec::new();
    while let Some(end) = splitter.next(rest).unwrap() {
        let frame = Framing::EventStream.frame(&rest[..end]);
        decoder.frame(&frame, &mut |event| events.push(event.into_owned()));
        rest = &rest[end..];
    }
    assert!(rest.is_empty(), "the stream ends between messages");
    events
}

fn text(events: &[Event<'_>]) -> String {
    let mut all = String::new();
    for event in events {
        if let Event::Text { channel, text, .. } = event
            && channel.kind == Kind::Answer
        {
            all += text;
        }
    }
    all
}

#[test]
fn streams_and_whole_answers() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes(&mock.url(), ""));
    let answer = ask(&gateway, STREAM, &[("x-mock", "text=it%20works")]);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let kind = answer.head.field("content-type");
    assert_eq!(kind, Some("application/vnd.amazon.eventstream"));
    let events = told(&answer.body);
    assert_eq!(text(&events), "it works");
    assert_eq!(events.last(), Some(&Event::End));
    let record = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
    assert_eq!(record["outcome"], "completed", "{record}");
    assert_eq!(record["dialect"], "bedrock", "{record}");

    for target in [WHOLE, "/bedrock/model/a.b-v1%3A0/converse"] {
        let answer = ask(&gateway, target, &[("x-mock", "text=it%20works")]);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let mut events = Vec::new();
        decode_unary(Dialect::Bedrock, &answer.body, &mut |event| events.push(event.into_owned()));
        assert_eq!(text(&events), "it works");
    }
}

#[test]
fn recordings_leave_as_they_came() {
    let folder = data().join("wire");
    let mock = MockServer::with_tape(&folder);
    let gateway = Gateway::start(&routes(&mock.url(), ""));
    let mut streams = 0;
    for entry in std::fs::read_dir(folder.join("bedrock-converse-stream")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "bin") {
            continue;
        }
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
        let fields = [("x-tape", name), ("x-tape-split", "random:7")];
        let answer = ask(&gateway, STREAM, &fields);
        assert_eq!(answer.status(), 200, "{name}: {}", answer.text());
        assert!(answer.body == std::fs::read(&path).unwrap(), "{name}");
        streams += 1;
    }
    assert!(streams >= 15, "{streams}");
}

#[test]
fn broken_streams_end_in_an_exception() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes(&mock.url(), ""));
    for (script, said) in [
        ("tokens=9,fault=close,at=3", "provider"),
        ("tokens=9,fault=truncate,at=3", "before the answer was complete"),
        ("tokens=9,fault=garbage,at=3", "event-stream message"),
    ] {
        let answer = ask(&gateway, STREAM, &[("x-mock", script)]);
        assert_eq!(answer.status(), 200, "{script}: {}", answer.text());
        let events = told(&answer.body);
        let Some(Event::Error { code, message, .. }) = events.last() else {
            panic!("{script}: {events:?}");
        };
        assert_eq!(code, "modelStreamErrorException", "{script}");
        assert!(message.contains(said) && message.contains("(ref x_"), "{script}: {message}");
        assert!(events.iter().any(|event| matches!(event, Event::Text { .. })), "{script}");
    }
}

#[test]
fn refusals_are_those_of_aws() {
    let gateway = Gateway::start(
        "[providers.sim]\ndialect = \"simulated\"\n[providers.paused]\ndialect = \"canned\"\nanswer = \"Paused.\"\n\
         [[routes]]\nname = \"sim\"\nmatch = { model = \"sim\" }\ntargets = [{ provider = \"sim\" }]\n\
         [[routes]]\nname = \"paused\"\nmatch = { model = \"paused\" }\ntargets = [{ provider = \"paused\" }]\n",
    );
    let answer = ask(&gateway, WHOLE, &[]);
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.head.field("x-amzn-errortype"), Some("ResourceNotFoundException"));
    assert_eq!(answer.head.field("x-should-retry"), Some("false"));
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("a.b-v1:0") && message.contains("(ref x_"), "{message}");

    let mut client = Client::connect(gateway.data);
    client.request("POST", WHOLE, &[("content-type", "application/json")], b"[]");
    let answer = client.answer();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.head.field("x-amzn-errortype"), Some("ValidationException"));

    let answer = ask(&gateway, "/model/paused/converse-stream", &[]);
    assert_eq!(text(&told(&answer.body)), "Paused.");
    let answer = ask(&gateway, "/model/paused/converse", &[]);
    assert_eq!(answer.json()["output"]["message"]["content"][0]["text"], "Paused.");
    let answer = ask(&gateway, "/model/sim/converse-stream", &[]);
    assert!(text(&told(&answer.body)).contains("simulated"), "{}", answer.text());
}

/// A provider that hands on the requests that it gets.
fn recorder() -> (Upstream, mpsc::Receiver<String>) {
    let (sent, received) = mpsc::channel();
    let upstream = Upstream::start(move |request, stream| {
        sent.send(String::from_utf8_lossy(request).into_owned()).unwrap();
        let _ = stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
        );
    });
    (upstream, received)
}

fn field<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// What boto3 sends of its own.
const SIGNED: (&str, &str) = (
    "authorization",
    "AWS4-HMAC-SHA256 Credential=AKIDCALLER/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00",
);

#[test]
fn requests_are_signed_as_they_leave() {
    let (upstream, requests) = recorder();
    let row = "region = \"eu-west-1\"\naccess_key_id = \"${KEY}\"\nsecret_access_key = \"${SECRET}\"\nsession_token = \"${TOKEN}\"";
    let variables = [("KEY", "AKIDGATE"), ("SECRET", "gate-secret"), ("TOKEN", "gate-token")];
    let gateway = Gateway::start_with(&routes(&upstream.url(), row), &variables);
    let arn = "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fx/converse";
    for target in [WHOLE, arn, "/model/a.b-v1%3A0/invoke?x=1"] {
        let own = [SIGNED, ("x-amz-date", "20260101T000000Z"), ("x-amz-security-token", "callers")];
        assert_eq!(ask(&gateway, target, &own).status(), 200, "{target}");
        let request = requests.recv().unwrap();
        assert!(request.starts_with(&format!("POST {target} HTTP/1.1\r\n")), "{request}");
        assert!(!request.contains("AKIDCALLER") && !request.contains("callers"), "{request}");
        assert!(!request.contains("gate-secret"), "{request}");
        assert_eq!(field(&request, "x-amz-security-token"), Some("gate-token"));

        // The signature holds for the bytes that came.
        let time: jiff::civil::DateTime = jiff::civil::DateTime::strptime(
            "%Y%m%dT%H%M%SZ",
            field(&request, "x-amz-date").unwrap(),
        )
        .unwrap();
        let seconds = time.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second();
        let signer = Signer {
            region: "eu-west-1".into(),
            access_key_id: Secret::new("AKIDGATE"),
            secret_access_key: Secret::new("gate-secret"),
            session_token: Some(Secret::new("gate-token")),
        };
        let host = HeaderValue::from_str(field(&request, "host").unwrap()).unwrap();
        let body = request.split_once("\r\n\r\n").unwrap().1;
        let signed = Request { method: &Method::POST, host: &host, target, body: body.as_bytes() };
        let kind =
            (HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
        let headers = sign(&signer, &signed, &[(&kind.0, &kind.1)], seconds as u64).unwrap();
        let authorization = headers.iter().find(|(name, _)| name == "authorization").unwrap();
        assert_eq!(field(&request, "authorization"), authorization.1.to_str().ok());
    }
}

#[test]
fn a_callers_signature_is_refused_and_a_bearer_token_passes() {
    let (upstream, requests) = recorder();
    let gateway = Gateway::start(&routes(&upstream.url(), ""));
    let answer = ask(&gateway, WHOLE, &[SIGNED]);
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.head.field("x-amzn-errortype"), Some("UnrecognizedClientException"));
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    for word in ["`access_key_id`", "`secret_access_key`", "`api_key`", "AWS_BEARER_TOKEN_BEDROCK"]
    {
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(upstream.requests(), 0);
    assert_eq!(ask(&gateway, WHOLE, &[("authorization", "Bearer callers")]).status(), 200);
    let request = requests.recv().unwrap();
    assert_eq!(field(&request, "authorization"), Some("Bearer callers"));

    let (upstream, requests) = recorder();
    let gateway = Gateway::start_with(
        &routes(&upstream.url(), "api_key = \"${KEY}\""),
        &[("KEY", "gate-key")],
    );
    assert_eq!(ask(&gateway, WHOLE, &[SIGNED, ("x-amz-security-token", "callers")]).status(), 200);
    let request = requests.recv().unwrap();
    assert_eq!(field(&request, "authorization"), Some("Bearer gate-key"));
    assert_eq!(field(&request, "x-amz-security-token"), None);
}
