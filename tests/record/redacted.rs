//! `capture = "redacted"`: what rules take out of prompts and answers is nowhere on record.

use crate::book;
use crate::support::{
    Answer, CASES, Client, Gateway, MockServer, Process, Upstream, post, routes_to, wait_for,
};
use firedoor::cli::mock::Options;
use firedoor::exchange::simulated::Script;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

// In two halves, so that this file is no find for those who look for keys.
pub const SECRET: &str = concat!("sk-9S9Q793DItXEFLq7vl41T3Blbk", "FJp5JxNBT5S9VETuV5WyQr");

fn is_in(folder: &Path, word: &str) -> bool {
    book::lines(folder).iter().any(|line| line.to_string().contains(word))
}

/// A provider that tells the key.
pub fn teller() -> MockServer {
    let says = format!("text=the%20key%20is%20{SECRET}%20as%20you%20asked");
    let script = Script::default().with(&says).unwrap();
    MockServer::start_with(Options { script, ..Options::default() })
}

/// A gateway under the pack `secrets`.
fn under_secrets(mock: &MockServer, more: &str) -> Gateway {
    Gateway::start(
        &("rules = [\"secrets\"]\n[server]\n".to_owned() + &routes_to(&mock.url(), more)),
    )
}

/// Tells the key in every dialect, to an answer that is streamed and to one that is not: `check` gets
/// what was asked, the answer and its record. The key is nowhere in them.
fn tell_key(gateway: &Gateway, check: impl Fn(&str, &str, &Answer, &book::Told)) {
    for (case, stream) in CASES.iter().flat_map(|case| [(case, true), (case, false)]) {
        let body = case.body("m", &format!("my key is {SECRET}, keep it"), stream);
        let fields = [("content-type", "application/json")];
        let answer = post(gateway.data, &case.target("m", stream), &fields, &body);
        let who = format!("{case:?}, stream {stream}: {}", answer.text());
        assert_eq!(answer.status(), 200, "{who}");
        assert!(!answer.text().contains(&SECRET[..20]), "{who}");
        let id = answer.head.field("x-firedoor-exchange").unwrap();
        let told = book::exchange(&gateway.data_dir(), id);
        assert_eq!(told.delivered, answer.body, "{who}");
        check(&who, &body, &answer, &told);
    }
    assert!(!is_in(&gateway.data_dir(), &SECRET[..20]));
}

#[test]
fn what_rules_take_out_is_nowhere_on_record() {
    let mock = teller();
    let gateway = under_secrets(&mock, "capture = \"redacted\"");
    tell_key(&gateway, |who, _, _, told| {
        assert_eq!(told.open["capture"], "redacted", "{who}");
        assert!(told.request.is_empty() && told.received.values().all(Vec::is_empty), "{who}");
        let sent = String::from_utf8_lossy(&told.sent[&1]).into_owned();
        assert!(sent.contains("my key is") && sent.contains("keep it"), "{who}: {sent}");
        assert_eq!(told.close["verdict"], "redact", "{who}: {}", told.close);
    });
    let found = gateway.admin_json("/api/v1/sessions");
    assert!(!found["items"].as_array().unwrap().is_empty(), "{found}");
}

/// A key pair of age; another one.
pub const RECIPIENT: &str = "age1w3tyke4gev25vaxxsvcgqu4484rf6ejpmavs57p6yz6lhy2sfs5swrvwyn";
const IDENTITY: &str = "# created: today\nAGE-SECRET-KEY-1XMWWC06LY3EE5RYTXM9MFLAZ2U56JJJ36S0MYPDRWSVLUL66MV4QX3S7F6\n";
pub const OTHER: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

/// What a command on the record says: its exit code, standard output as JSON, and standard error.
pub fn said(gateway: &Gateway, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let data = gateway.data_dir();
    let more = ["--output", "json", "--data-dir", data.to_str().unwrap()];
    let mut process = Process::firedoor(&[arguments, &more].concat(), &[]);
    let code = process.wait().code();
    let said = process.stdout.whole();
    (code, serde_json::from_str(&said).unwrap_or_default(), process.stderr.whole())
}

/// The same, with a file of the identity.
pub fn with_identity(gateway: &Gateway, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let key = gateway.data_dir().join("identity.txt");
    std::fs::write(&key, IDENTITY).unwrap();
    let told = said(gateway, &[arguments, &["--identity", key.to_str().unwrap()]].concat());
    std::fs::remove_file(key).unwrap();
    told
}

pub fn unsealed(gateway: &Gateway, id: &str) -> (Option<i32>, Value, String) {
    with_identity(gateway, &["evidence", "unseal", id])
}

/// Searches the record itself, what is sealed too if `is_opened`.
pub fn searched(gateway: &Gateway, word: &str, is_opened: bool) -> (Option<i32>, Value, String) {
    let search = ["session", "search", "--scan", word];
    if is_opened { with_identity(gateway, &search) } else { said(gateway, &search) }
}

#[test]
fn originals_are_on_record_for_their_recipients_alone() {
    let mock = teller();
    let start = |to: &str| {
        under_secrets(&mock, &format!("capture = \"redacted\"\noriginals_to = [\"{to}\"]"))
    };
    let gateway = start(RECIPIENT);
    tell_key(&gateway, |who, body, answer, told| {
        let id = answer.head.field("x-firedoor-exchange").unwrap();
        let (code, found, said) = unsealed(&gateway, id);
        assert_eq!(code, Some(0), "{who}: {said}");
        assert_eq!(found["request"]["text"], body, "{who}");
        assert_eq!((&found["closed"], &found["has_holes"]), (&json!(0), &json!(false)), "{who}");
        let received = found["answers"][0]["text"].as_str().unwrap();
        assert_eq!(found["answers"][0]["attempt"], 1, "{who}");
        let whole: u64 = told.close["received_bytes"].as_u64().unwrap();
        assert_eq!(received.len() as u64, whole, "{who}: {received}");
        assert!(received.contains("asked") && !received.contains("[redacted"), "{received}");
    });
    // What no index has, who has the identity finds, and nobody else.
    let count = |found: &Value| found["items"].as_array().unwrap().len();
    let (_, none, _) = searched(&gateway, SECRET, false);
    assert_eq!(count(&none), 0, "{none}");
    let (_, in_clear, _) = searched(&gateway, "redacted", false);
    assert_eq!(count(&in_clear), 2 * CASES.len(), "{in_clear:#}");
    let (code, some, said) = searched(&gateway, SECRET, true);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(count(&some), 2 * CASES.len(), "{some:#}");
    let pieces = some["items"][0]["snippets"][0]["pieces"].as_array().unwrap();
    assert!(pieces.iter().any(|piece| piece["match"] == true && piece["text"] == SECRET));
    let verified = Process::firedoor(
        &["evidence", "verify", "--data-dir", gateway.data_dir().to_str().unwrap()],
        &[],
    )
    .wait();
    assert!(verified.success());

    let gateway = start(OTHER);
    let answer = CASES[0].ask(&gateway, "", false).answer();
    let id = answer.head.field("x-firedoor-exchange").unwrap().to_owned();
    book::exchange(&gateway.data_dir(), &id);
    let (code, _, said) = unsealed(&gateway, &id);
    assert!(code == Some(1) && said.contains("sealed for others"), "{code:?} {said}");
    let (code, none, said) = searched(&gateway, SECRET, true);
    assert!(code == Some(0) && said.contains("sealed for others"), "{code:?} {said}");
    assert_eq!(count(&none), 0, "{none}");
}

/// Rules of which one hides a word and one refuses.
const PACK: &str = r#"pack = "animals"
about = "Words for tests"

[[rule]]
id = "hidden"
about = "What is hidden"
channels = ["user", "answer"]
match = { words = ["zebra"] }
action = "redact"
on_error = "cut"

[[rule.case]]
text = "a zebra"
expect = "redact"

[[rule]]
id = "refused"
about = "What is refused"
channels = ["user"]
match = { words = ["okapi"] }
action = "cut"
on_error = "cut"

[[rule.case]]
text = "an okapi"
expect = "cut"
"#;

/// A gateway under [`PACK`] that records what rules leave of texts.
fn under_pack(routes: &str) -> Gateway {
    Gateway::start_with_pack(PACK, &("rules = [\"animals\"]\n[server]\n".to_owned() + routes))
}

/// A request that a rule refuses was sent to nobody: its text is not on record either.
#[test]
fn what_a_rule_refuses_is_on_record_without_its_text() {
    let mock = MockServer::start();
    let gateway = under_pack(&routes_to(&mock.url(), "capture = \"redacted\""));
    for (case, stream) in CASES.iter().flat_map(|case| [(case, true), (case, false)]) {
        let body = case.body("m", "the okapi sings", stream);
        let answer = post(gateway.data, &case.target("m", stream), &[], &body);
        let who = format!("{case:?}, stream {stream}: {}", answer.text());
        assert_eq!(answer.status(), 400, "{who}");
        let id = answer.head.field("x-firedoor-exchange").unwrap();
        let told = book::exchange(&gateway.data_dir(), id);
        assert_eq!(told.close["verdict"], "cut", "{who}: {}", told.close);
        assert!(told.request.is_empty() && told.sent.is_empty(), "{who}");
    }
    assert!(!is_in(&gateway.data_dir(), "okapi sings"));
}

/// Where the gateway answers by itself, what it was asked is on record all the same.
#[test]
fn what_is_answered_here_is_on_record_as_rules_left_it() {
    let routes = "[providers.sim]\ndialect = \"simulated\"\n\n[providers.here]\ndialect = \"canned\"\nanswer = \"a zebra answers\"\n\n\
        [[routes]]\nname = \"sim\"\nmatch = { model = \"sim\" }\ntargets = [{ provider = \"sim\" }]\ncapture = \"redacted\"\n\n\
        [[routes]]\nname = \"here\"\nmatch = { model = \"*\" }\ntargets = [{ provider = \"here\" }]\ncapture = \"redacted\"\n";
    let gateway = under_pack(routes);
    let mut asked = Vec::new();
    for (case, stream) in CASES.iter().flat_map(|case| [(case, true), (case, false)]) {
        for model in ["sim", "m"] {
            let body = case.body(model, "who sees the zebra there", stream);
            let answer = post(gateway.data, &case.target(model, stream), &[], &body);
            let who = format!("{case:?}, stream {stream}: {}", answer.text());
            assert_eq!(answer.status(), 200, "{who}");
            let id = answer.head.field("x-firedoor-exchange").unwrap();
            let told = book::exchange(&gateway.data_dir(), id);
            assert_eq!(told.delivered, answer.body, "{who}");
            let sent = String::from_utf8_lossy(&told.sent[&1]).into_owned();
            assert!(sent.contains("who sees the") && sent.contains("there"), "{who}: {sent}");
            asked.push(id.to_owned());
        }
    }
    assert!(!is_in(&gateway.data_dir(), "zebra"));
    for id in asked {
        wait_until_found(&gateway, "sees", &id);
    }
}

fn wait_until_found(gateway: &Gateway, word: &str, id: &str) {
    wait_for("the index", || {
        let found = gateway.admin_call("GET", &format!("/api/v1/search?q={word}&limit=100"));
        // Nothing is indexed yet in the first moments.
        assert!(matches!(found.status(), 200 | 503), "{}", found.text());
        found.json()["items"].as_array()?.iter().any(|item| item["id"] == *id).then_some(())
    });
}

/// What rules change is sent uncoded, whatever the head of the request said.
#[test]
fn a_compressed_prompt_is_found_as_rules_left_it() {
    let upstream = Upstream::fixed(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
    );
    let gateway = under_pack(&routes_to(&upstream.url(), "capture = \"redacted\""));
    for (words, shown) in [("one zebra walks", "walks"), ("one lion runs", "runs")] {
        let plain = CASES[0].body("m", words, false);
        let mut coded = GzEncoder::new(Vec::new(), Compression::fast());
        coded.write_all(plain.as_bytes()).unwrap();
        let fields = [("content-type", "application/json"), ("content-encoding", "gzip")];
        let target = CASES[0].target("m", false);
        let mut client = Client::connect(gateway.data);
        let answer = client.request("POST", &target, &fields, &coded.finish().unwrap()).answer();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let id = answer.head.field("x-firedoor-exchange").unwrap().to_owned();
        wait_until_found(&gateway, shown, &id);
    }
    assert!(!is_in(&gateway.data_dir(), "zebra"));
}
