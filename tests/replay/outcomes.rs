//! Exchanges whose outcome is not the provider's alone: digests, a client that left, answers of the
//! gate's own. Replays of them come to what is on record.

use crate::recordings::{ended, firedoor};
use crate::support::{
    ALL, CASES, Gateway, MockServer, NOBODY, Told, ask, get_json, post, routes_to, wait_for,
};
use serde_json::{Value, json};

/// Rules of which one writes a digest in place of a code, one flags words, and one ends answers.
const PACK: &str = r#"pack = "own"
[[rule]]
id = "code"
channels = ["user", "answer"]
match = { regex = 'HX-[0-9]{4}' }
action = "redact"
redact = "hash"
on_error = "cut"
[[rule]]
id = "animal"
channels = ["user", "answer"]
match = { words = ["okapi", "hello"] }
action = "flag"
on_error = "pass"
[[rule]]
id = "end"
channels = ["answer"]
match = { words = ["quagga"] }
action = "cut"
on_error = "cut"
[[rule]]
id = "kept"
channels = ["user"]
match = { words = ["xyzzy"] }
action = "cut"
on_error = "cut"
"#;

const RULES: &str = "rules = [\"own\"]";

/// What a replay of a whole record says, and its exit code.
fn replayed(config: &str) -> (Value, Option<i32>) {
    firedoor(&["replay", "--config", config, "--output", "json", "--all"])
}

/// The same bytes need the same key, which is taken from the data folder.
#[test]
fn digests_are_the_same_by_the_key_of_the_data_folder() {
    let mock = MockServer::start();
    let routes = routes_to(&mock.url(), RULES);
    let mut gateway = Gateway::start_with_pack(PACK, &routes);
    for (case, stream) in CASES.iter().flat_map(|case| [(case, true), (case, false)]) {
        let answer = case.ask(&gateway, "text=Code%20HX-1234%20so.", stream).answer();
        assert_eq!(answer.status(), 200, "{case:?}: {}", answer.text());
        assert!(answer.text().contains("[redacted:own/code:"), "{case:?}: {}", answer.text());
    }
    let (config, data) = ended(&mut gateway);
    let (told, code) = replayed(&config);
    assert_eq!((&told["summary"]["same"], code), (&json!(8), Some(0)), "{told:#}");

    let other = Gateway::start_with_pack(PACK, &routes);
    let key = |data: &std::path::Path| data.join("digest.key");
    std::fs::copy(key(&other.data_dir()), key(data.as_ref())).unwrap();
    let (told, code) = replayed(&config);
    assert_eq!((&told["summary"]["differ"], code), (&json!(8), Some(1)), "{told:#}");
}

/// The client leaves an answer that has come to a halt, wherever in a word that rules look for, and
/// one that it has seen nothing of.
#[test]
fn an_exchange_whose_client_left_comes_to_the_same_end() {
    let mock = MockServer::start();
    let mut gateway = Gateway::start_with_pack(PACK, &routes_to(&mock.url(), RULES));
    let waits = || (get_json(mock.address, "/stats")["open"] == 1).then_some(());
    let halts = [true, false].into_iter().flat_map(|stream| (0..9).map(move |at| (stream, at)));
    let mut left = 0;
    for (case, (stream, at)) in CASES.iter().flat_map(|case| halts.clone().map(move |h| (case, h)))
    {
        let script = format!("text=An%20okapi%20saw%20code%20HX-1234%20there,fault=stall,at={at}");
        let mut client = case.ask(&gateway, &script, stream);
        if stream && at > 2 {
            let head = client.head();
            assert!(client.chunk().unwrap().is_some(), "{head:?}");
        }
        wait_for("the provider to be asked", waits);
        drop(client);
        left += 1;
        let ended =
            || gateway.exchanges().into_iter().next().filter(|_| gateway.exchanges().len() == left);
        let record = wait_for("the end of it", ended);
        assert_eq!(
            record["outcome"], "client_gone",
            "{case:?}, stream {stream}, at {at}: {record}"
        );
    }
    let (config, _) = ended(&mut gateway);
    let (told, code) = replayed(&config);
    let why = json!({ "client_gone": left });
    assert_eq!((&told["summary"]["why"], code), (&why, Some(0)), "{:#}", told["summary"]);
    for one in told["exchanges"].as_array().unwrap() {
        let same = json!({ "then": "client_gone", "now": "client_gone" });
        assert_eq!((&one["fared"], &one["outcome"]), (&json!("partly"), &same), "{one:#}");
    }
}

/// The gate answers by itself, at once or where a provider has failed; its answer is judged too.
#[test]
fn answers_of_the_gate_s_own_come_to_the_same_end() {
    let route = |name: &str, targets: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\nmatch = {{ model = \"{name}\" }}\n{targets}\n{RULES}\n\n"
        )
    };
    let routes = format!(
        "[providers.down]\ndialect = \"openai\"\nbase_url = \"{NOBODY}/v1\"\n\n\
         [providers.here]\ndialect = \"canned\"\nanswer = \"An okapi has code HX-1234 here\"\n\n\
         [providers.extinct]\ndialect = \"canned\"\nanswer = \"Here is a quagga now\"\n\n{}{}{}",
        route("cut", "targets = [{ provider = \"extinct\" }]"),
        route("own", "targets = [{ provider = \"here\" }]"),
        route(
            "behind",
            "targets = [{ provider = \"down\" }]\nfallback = [{ provider = \"here\" }]\nretry = { attempts = 1 }"
        ),
    );
    let mut gateway = Gateway::start_with_pack(PACK, &routes);
    let mut asked = 0;
    for (dialect, stream) in ALL.into_iter().flat_map(|one| [(one, true), (one, false)]) {
        for model in ["own", "behind"] {
            let answer = ask(&gateway, dialect, model, stream).answer();
            let told = Told::of(dialect, stream, &answer);
            assert!(told.text.contains("okapi has code [redacted:own/code:"), "{}", told.text);
        }
        let answer = ask(&gateway, dialect, "cut", stream).answer();
        assert!(!answer.text().contains("quagga"), "{}", answer.text());
        asked += 3;
    }
    // One whose prompt is kept back has no answer at all.
    let body = CASES[0].body("own", "say xyzzy", false);
    assert_eq!(post(gateway.data, &CASES[0].target("own", false), &[], &body).status(), 400);
    let (config, _) = ended(&mut gateway);
    let (told, code) = replayed(&config);
    let summary = &told["summary"];
    assert_eq!((&summary["differ"], &summary["same"]), (&json!(0), &json!(1)), "{told:#}");
    assert_eq!((&summary["why"], code), (&json!({ "own_answer": asked }), Some(0)), "{told:#}");

    let folder = tempfile::tempdir().unwrap();
    let candidate = folder.path().join("own.toml");
    std::fs::write(&candidate, PACK.replace("\"xyzzy\"", "\"plugh\"")).unwrap();
    let by = ["--rule-file", candidate.to_str().unwrap()];
    let (told, _) = firedoor(&[&["replay", "--config", &config, "-o", "json"], &by[..]].concat());
    let why = json!({ "own_answer": asked, "never_asked": 1 });
    assert_eq!(
        (&told["summary"]["differ"], &told["summary"]["why"]),
        (&json!(1), &why),
        "{told:#}"
    );
}

/// A prompt that goes elsewhere is hidden and cut in as on the way that it did not take.
#[test]
fn rerouted_prompts_come_to_the_same_end() {
    let mock = MockServer::start();
    let rule = |word: &str, action: &str| {
        format!(
            "[[rule]]\nid = \"{word}\"\nchannels = [\"user\"]\nmatch = {{ words = [\"{word}\"] }}\n\
             action = \"{action}\"\non_error = \"cut\"\n"
        )
    };
    let rules = [rule("apple", "reroute"), rule("plum", "redact"), rule("zebra", "cut")].concat();
    let provider = |name: &str| {
        format!("[providers.{name}]\ndialect = \"openai\"\nbase_url = \"{}/v1\"\n", mock.url())
    };
    let routes = format!(
        "{}{}[[routes]]\nname = \"front\"\ntargets = [{{ provider = \"own\" }}]\n\
         fallback = [{{ provider = \"other\" }}]\n{RULES}\n",
        provider("own"),
        provider("other"),
    );
    let mut gateway = Gateway::start_with_pack(&format!("pack = \"own\"\n{rules}"), &routes);
    let case = &CASES[0];
    for (prompt, status, verdict, provider) in [
        ("an apple", 200, "reroute", "other"),
        ("a plum, an apple, a plum", 200, "reroute", "other"),
        ("a plum", 200, "redact", "own"),
        ("an apple and a zebra", 400, "cut", "own"),
    ] {
        let body = case.body("m", prompt, false);
        let answer = post(gateway.data, &case.target("m", false), &[], &body);
        assert_eq!(answer.status(), status, "{prompt}: {}", answer.text());
        let record = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
        let met = (&record["verdict"], &record["provider"], &record["attempts"]);
        let attempts = u8::from(status == 200);
        let expected = (&json!(verdict), &json!(provider), &json!(attempts));
        assert_eq!(met, expected, "{prompt}: {record}");
    }
    let (config, _) = ended(&mut gateway);
    let (told, code) = replayed(&config);
    let summary = &told["summary"];
    assert_eq!(
        (&summary["differ"], &summary["same"], code),
        (&json!(0), &json!(4), Some(0)),
        "{told:#}"
    );
}
