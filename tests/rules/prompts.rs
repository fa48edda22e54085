//! What rules find in one text of a prompt, and what that means for its other texts.

use crate::support::{Answer, Gateway, Upstream, post};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};

/// Three packs, each of one word: `apple` goes elsewhere, `plum` is hidden, `zebra` cut.
fn packs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let packs =
        [("apples", "apple", "reroute"), ("plums", "plum", "redact"), ("zebras", "zebra", "cut")];
    let rule = |id: &str, word: &str, action: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\nchannels = [\"user\"]\nmatch = {{ words = [\"{word}\"] }}\n\
             action = \"{action}\"\non_error = \"cut\"\n"
        )
    };
    let mut all = "pack = \"all\"\n".to_owned();
    for (pack, word, action) in packs {
        let one = format!("pack = \"{pack}\"\n{}", rule("word", word, action));
        std::fs::write(folder.path().join(format!("{pack}.toml")), one).unwrap();
        all.push_str(&rule(pack, word, action));
    }
    std::fs::write(folder.path().join("all.toml"), all).unwrap();
    folder
}

/// A provider that keeps the bodies that come.
fn provider() -> (Upstream, Arc<Mutex<Vec<Value>>>) {
    let came: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = Arc::clone(&came);
    let upstream = Upstream::start(move |request, stream| {
        let text = String::from_utf8_lossy(request);
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        seen.lock().unwrap().push(serde_json::from_str(body).unwrap());
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        // The gate may have gone meanwhile.
        let _ = stream.write_all(answer.as_bytes());
    });
    (upstream, came)
}

/// A gateway with one worker, so that what it remembers is its own.
fn start(folder: &tempfile::TempDir, own: &Upstream, fallback: &Upstream, rules: &str) -> Gateway {
    Gateway::start(&format!(
        "[server]\nworkers = 1\nfilters = '{}'\n\
         [providers.own]\ndialect = \"openai\"\nbase_url = \"{}/v1\"\n\
         [providers.other]\ndialect = \"openai\"\nbase_url = \"{}/v1\"\n\
         [[routes]]\nname = \"front\"\ntargets = [{{ provider = \"own\", model = \"m\" }}]\n\
         fallback = [{{ provider = \"other\", model = \"m\" }}]\nrules = [{rules}]\n",
        folder.path().display(),
        own.url(),
        fallback.url(),
    ))
}

fn ask(gateway: &Gateway, contents: &[Value]) -> Answer {
    let user = |content: &Value| json!({ "role": "user", "content": content });
    let messages: Vec<Value> = contents.iter().map(user).collect();
    let body = json!({ "model": "m", "messages": messages });
    post(gateway.data, "/v1/chat/completions", &[], &body.to_string())
}

/// A message in parts ends after the walk saw its first one: what is cut before is no reading of it.
#[test]
fn a_message_behind_a_cut_is_not_remembered_as_clear() {
    let (folder, (own, came), (other, _)) = (packs(), provider(), provider());
    let gateway = start(&folder, &own, &other, "\"zebras\"");
    let part = |text: &str| json!({ "type": "text", "text": text });
    let hidden = json!([part("hello"), part(" zebra again")]);
    // That the first message is cut shows only at its end.
    for contents in [vec![json!("zebra"), hidden.clone()], vec![hidden.clone()], vec![hidden]] {
        let answer = ask(&gateway, &contents);
        assert_eq!(answer.status(), 400, "{contents:?}: {}", answer.text());
    }
    assert_eq!(came.lock().unwrap().len(), 0);
    assert_eq!(ask(&gateway, &[json!("hello")]).status(), 200);
}

/// The rules that hide and cut hold wherever a prompt goes.
#[test]
fn a_reroute_does_not_switch_other_rules_off() {
    let (folder, (own, at_own), (other, at_other)) = (packs(), provider(), provider());
    let apart = "\"apples\", \"plums\", \"zebras\"";
    for rules in [apart, "\"zebras\", \"plums\", \"apples\"", "\"all\""] {
        let gateway = start(&folder, &own, &other, rules);
        let plum =
            if rules == "\"all\"" { "[redacted:all/plums]" } else { "[redacted:plums/word]" };
        for (texts, left) in [
            (&["an apple"][..], Some(vec!["an apple".to_owned()])),
            (&["an apple", "a plum"], Some(vec!["an apple".into(), format!("a {plum}")])),
            (&["a plum", "an apple"], Some(vec![format!("a {plum}"), "an apple".into()])),
            (&["a plum, an apple, a plum."], Some(vec![format!("a {plum}, an apple, a {plum}.")])),
            (
                &["a pear", "apple", "plum"],
                Some(vec!["a pear".into(), "apple".into(), plum.into()]),
            ),
            (&["an apple", "a zebra", "a plum"], None),
            (&["an apple and a zebra"], None),
            (&["a zebra and an apple"], None),
            (&["apple", "zebra"], None),
        ] {
            // Once more, for what is remembered of the first time.
            for _ in 0..2 {
                let contents: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
                let answer = ask(&gateway, &contents);
                let came = std::mem::take(&mut *at_other.lock().unwrap());
                let id = answer.head.field("x-firedoor-exchange").unwrap();
                let verdict = gateway.exchange(id)["verdict"].clone();
                let Some(left) = &left else {
                    assert_eq!(answer.status(), 400, "{rules} {texts:?}: {}", answer.text());
                    assert_eq!((came.len(), verdict), (0, json!("cut")), "{rules} {texts:?}");
                    continue;
                };
                assert_eq!(answer.status(), 200, "{rules} {texts:?}: {}", answer.text());
                assert_eq!(verdict, "reroute", "{rules} {texts:?}");
                let messages = came[0]["messages"].as_array().unwrap();
                let contents: Vec<&str> =
                    messages.iter().map(|one| one["content"].as_str().unwrap()).collect();
                assert_eq!(contents, *left, "{rules}");
            }
        }
    }
    assert_eq!(at_own.lock().unwrap().len(), 0, "all of it went elsewhere or nowhere");
}

/// A message is judged by itself: its verdict may not depend on whether those before it were known.
#[test]
fn a_prompt_fares_the_same_whether_its_messages_are_known_or_new() {
    let (folder, (own, came), (other, _)) = (packs(), provider(), provider());
    let pack = "pack = \"long\"\n[[rule]]\nid = \"r\"\nchannels = [\"user\"]\n\
                match = { words = [\"zebra crossing\"] }\naction = \"cut\"\non_error = \"cut\"\n";
    std::fs::write(folder.path().join("long.toml"), pack).unwrap();
    let gateway = start(&folder, &own, &other, "\"long\"");
    for contents in [
        &["a zebra", " crossing"][..],
        &["a zebra", " crossing"],
        &["one zebra"],
        &["one zebra", " crossing", "the zebra"],
    ] {
        let contents: Vec<Value> = contents.iter().map(|text| json!(text)).collect();
        let answer = ask(&gateway, &contents);
        assert_eq!(answer.status(), 200, "{contents:?}: {}", answer.text());
    }
    // Each of these ends where a match could go on.
    let many: Vec<Value> = (0..5_000).map(|number| json!(format!("{number} zebra"))).collect();
    let answer = ask(&gateway, &many);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(came.lock().unwrap().len(), 5);
    let part = |text: &str| json!({ "type": "text", "text": text });
    let answer = ask(&gateway, &[json!([part("a zebra"), part(" crossing")])]);
    assert_eq!(answer.status(), 400, "{}", answer.text());
}
