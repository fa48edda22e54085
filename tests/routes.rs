//! The routes file from outside: wrong files and what is said of them, right files and where
//! requests go.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use firedoor::table::diagnostic::{Colour, Severity, json, render, sarif};
use firedoor::table::packs::check;
use firedoor::table::{
    Auth, Capture, EMBEDDED, Family, Prepared, Query, Reference, Source, Table, codes, prepare,
};
use firedoor::wire::Dialect;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[expect(clippy::unnecessary_wraps, reason = "the form of a lookup")]
fn lookup(reference: Reference<'_>) -> Result<Option<String>, String> {
    Ok(match reference {
        Reference::Variable("SET_KEY") => Some("a-key".to_owned()),
        Reference::Variable("SPOILT_KEY") => Some("zebra\nhat".to_owned()),
        Reference::File("/etc/door/secret") => Some("from-a-file".to_owned()),
        Reference::Variable(_)
        | Reference::File(_)
        | Reference::Bytes(_)
        | Reference::Folder(_) => None,
    })
}

fn prepared(text: &str) -> Prepared {
    let file = Some(PathBuf::from("/etc/door/routes.toml"));
    prepare(&Source { file, text: text.to_owned() }, &lookup)
}

fn table(text: &str) -> Table {
    let prepared = prepared(text);
    let said = render(&prepared.diagnostics, Colour::Never);
    prepared.table.unwrap_or_else(|| panic!("{said}"))
}

fn codes_of(text: &str) -> Vec<&'static str> {
    prepared(text).diagnostics.iter().map(|found| found.code).collect()
}

const OPENAI: &str = "[providers.openai]\ndialect = \"openai\"\nbase_url = \"https://h/v1\"\n";

/// Asserts what is said of a wrong file, line by line; `text` must not become a table.
fn says(text: &str, expected: &str) {
    let prepared = prepared(text);
    assert!(prepared.table.is_none(), "this is not wrong:\n{text}");
    let said = render(&prepared.diagnostics, Colour::Never);
    let plain = |text: &str| {
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned()
    };
    assert_eq!(plain(&said), plain(expected), "\nsaid:\n{said}");
}

#[test]
fn a_mistyped_key() {
    says(
        concat!(
            "[providers.openai]\n",
            "dialect = \"openai\"\n",
            "base_url = \"https://h/v1\"\n",
            "api_kye = \"sk-1\"\n",
        ),
        r#"
error[FD0102]: unknown key `api_kye` in [providers.openai]
 --> /etc/door/routes.toml:4:1
  |
4 | api_kye = "****"
  | ^^^^^^^
  |
  = help: did you mean `api_key`?

1 error; `firedoor explain FD0102` says more
"#,
    );
}

#[test]
fn everything_at_once() {
    says(
        concat!(
            "[server]\n",
            "listen = [\"127.0.0.1:4800\", \"localhost:80\"]\n",
            "workers = 0\n",
            "[providers.openai]\n",
            "dialect = \"opnai\"\n",
            "base_url = \"api.openai.com\"\n",
            "api_key = \"${NO_KEY}\"\n",
            "[[routes]]\n",
            "name = \"a\"\n",
            "match = { app = \"x\" }\n",
            "targets = [{ provider = \"opennai\", weight = 0 }]\n",
            "rules = [\"pij\"]\n",
        ),
        r#"
error[FD0110]: `listen`: an address is an IP address, a colon and a port
 --> /etc/door/routes.toml:2:29
  |
2 | listen = ["127.0.0.1:4800", "localhost:80"]
  |                             ^^^^^^^^^^^^^^
  |
  = help: write `127.0.0.1:80`: names are not looked up

error[FD0106]: `workers` must be from 1 to 1024
 --> /etc/door/routes.toml:3:11
  |
3 | workers = 0
  |           ^

error[FD0107]: `dialect` knows no "opnai"
 --> /etc/door/routes.toml:5:11
  |
5 | dialect = "opnai"
  |           ^^^^^^^
  |
  = help: did you mean "openai"? known words: `openai`, `anthropic`, `gemini`, `bedrock`, `canned`, `simulated`

error[FD0111]: `base_url`: a base URL begins with `http://` or `https://`
 --> /etc/door/routes.toml:6:12
  |
6 | base_url = "api.openai.com"
  |            ^^^^^^^^^^^^^^^^
  |
  = help: such as `https://api.openai.com/v1`

error[FD0301]: environment variable `NO_KEY` is not set
 --> /etc/door/routes.toml:7:11
  |
7 | api_key = "${NO_KEY}"
  |           ^^^^^^^^^^^
  |
  = help: set `NO_KEY`, or write `${NO_KEY:-}` to take an empty value instead

error[FD0202]: there is no app `x`
  --> /etc/door/routes.toml:10:17
   |
10 | match = { app = "x" }
   |                 ^^^
   |
   = help: the file has no app

error[FD0201]: there is no provider `opennai`
  --> /etc/door/routes.toml:11:25
   |
11 | targets = [{ provider = "opennai", weight = 0 }]
   |                         ^^^^^^^^^
   |
   = help: did you mean `openai`?

error[FD0106]: `weight` must be from 1 to 1000000
  --> /etc/door/routes.toml:11:45
   |
11 | targets = [{ provider = "opennai", weight = 0 }]
   |                                             ^

error[FD0203]: there is no pack `pij`
  --> /etc/door/routes.toml:12:10
   |
12 | rules = ["pij"]
   |          ^^^^^
   |
   = help: did you mean `pii`?

9 errors; `firedoor explain FD0110` says more
"#,
    );
}

#[test]
fn an_open_gate() {
    says(
        &format!("[server]\nlisten = \"0.0.0.0:4800\"\n{OPENAI}api_key = \"${{SET_KEY}}\"\n"),
        r#"
error[FD0401]: the network can reach this listener, no app is named, and provider `openai` has a credential: whoever connects would spend it
 --> /etc/door/routes.toml:2:10
  |
2 | listen = "0.0.0.0:4800"
  |          ^^^^^^^^^^^^^^
  |
  = help: add an `[apps.NAME]` with `key_sha256`, or listen on `127.0.0.1`, or take `api_key` away so that callers bring their own

1 error; `firedoor explain FD0401` says more
"#,
    );
    // Each of the three ways out.
    let gate = |server: &str, tail: &str| codes_of(&format!("{server}{OPENAI}{tail}"));
    let open = "[server]\nlisten = \"[::]:4800\"\n";
    let key = "api_key = \"${SET_KEY}\"\n";
    let app = format!("{key}[apps.a]\nkey_sha256 = [\"{}\"]\n", "0f".repeat(32));
    assert_eq!(gate(open, key), [codes::OPEN_GATE]);
    assert_eq!(gate("", key), [""; 0]);
    assert_eq!(gate(open, ""), [""; 0]);
    assert_eq!(gate(open, "api_key = \"${NO_KEY:-}\"\n"), [""; 0]);
    assert_eq!(gate(open, &app), [""; 0]);
    let mapped = "[server]\nlisten = \"[::ffff:127.0.0.1]:4800\"\n";
    assert_eq!(gate(mapped, key), [""; 0]);
}

#[test]
fn grammar_and_what_is_sure_behind_it() {
    says(
        "[server]\nlisten = 127.0.0.1\nworkres = 2\n[server.tls]\ncertificate = 1\n",
        r"
error[FD0100]: this is not TOML: invalid float, expected nothing
 --> /etc/door/routes.toml:2:15
  |
2 | listen = 127.0.0.1
  |               ^^^^
  |
  = help: text stands in quotes

error[FD0102]: unknown key `workres` in [server]
 --> /etc/door/routes.toml:3:1
  |
3 | workres = 2
  | ^^^^^^^
  |
  = help: did you mean `workers`?

error[FD0103]: `certificate` must be a string, and this is an integer
 --> /etc/door/routes.toml:5:15
  |
5 | certificate = 1
  |               ^

3 errors; `firedoor explain FD0100` says more
",
    );
}

/// The code that a wrong piece of a file has, and the text that is underlined.
#[test]
fn small_mistakes_and_where_they_are() {
    let route = |inner: &str| {
        format!(
            "{OPENAI}[[routes]]\nname = \"a\"\ntargets = [{{ provider = \"openai\" }}]\n{inner}"
        )
    };
    let row = |inner: &str| format!("{OPENAI}{inner}");
    let limit = |inner: &str| format!("[[limits]]\nname = \"l\"\nconcurrent = 1\n{inner}");
    let hash = "0f".repeat(32);
    for (text, code, place) in [
        ("serve = 1".to_owned(), codes::UNKNOWN_KEY, "serve"),
        ("[provider.a]\nx = 1".to_owned(), codes::UNKNOWN_KEY, "provider"),
        ("providers = 1".to_owned(), codes::WRONG_TYPE, "1"),
        ("routes = {}".to_owned(), codes::WRONG_TYPE, "{}"),
        ("[[server]]".to_owned(), codes::WRONG_TYPE, "[[server]]"),
        ("[server]\nlisten = []".to_owned(), codes::EMPTY, "[]"),
        ("[server]\nlisten = \" \"".to_owned(), codes::EMPTY, "\" \""),
        ("[server]\nworkers = -1".to_owned(), codes::OUT_OF_RANGE, "-1"),
        (
            "[server]\nworkers = 0xFFFFFFFFFFFFFFFFFFFFF".to_owned(),
            codes::OUT_OF_RANGE,
            "0xFFFFFFFFFFFFFFFFFFFFF",
        ),
        ("[server]\nworkers = 1.5".to_owned(), codes::WRONG_TYPE, "1.5"),
        ("[server]\ntls = { key = \"k\" }".to_owned(), codes::MISSING_KEY, "{ key = \"k\" }"),
        ("[server]\notlp_endpoint = \"x\"".to_owned(), codes::BAD_URL, "\"x\""),
        (
            "[server]\nlisten = [\"[::1]:1\", \"[::1]:1\"]".to_owned(),
            codes::DUPLICATE,
            "\"[::1]:1\"",
        ),
        ("[providers.Big]\ndialect = \"simulated\"".to_owned(), codes::BAD_NAME, "Big"),
        ("[providers.\"\"]\ndialect = \"simulated\"".to_owned(), codes::BAD_NAME, "\"\""),
        ("[providers.healthz]\ndialect = \"simulated\"".to_owned(), codes::BAD_NAME, "healthz"),
        ("[providers.a]\nanswer = \"x\"".to_owned(), codes::MISSING_KEY, "[providers.a]"),
        ("[providers.a]\ndialect = \"canned\"".to_owned(), codes::MISSING_KEY, "[providers.a]"),
        ("[providers.a]\ndialect = \"gemini\"".to_owned(), codes::MISSING_KEY, "[providers.a]"),
        ("[providers.a]\ndialect = \"ollama\"".to_owned(), codes::UNKNOWN_WORD, "\"ollama\""),
        (row("answer = \"x\""), codes::NOT_HERE, "answer"),
        (row("auth = \"basic\""), codes::UNKNOWN_WORD, "\"basic\""),
        (row("quirks = [\"azure\"]"), codes::UNKNOWN_WORD, "\"azure\""),
        (row("quirks = \"no-responses\""), codes::WRONG_TYPE, "\"no-responses\""),
        (row("translate_to = \"openai\""), codes::UNKNOWN_WORD, "\"openai\""),
        (row("translate_to = true"), codes::WRONG_TYPE, "true"),
        (
            row("translate_to = \"openai-responses\"\nquirks = [\"no-responses\"]"),
            codes::CONTRADICTION,
            "\"openai-responses\"",
        ),
        (
            row("translate_to = \"openai-chat\"\nquirks = [\"no-chat\"]"),
            codes::CONTRADICTION,
            "\"openai-chat\"",
        ),
        (row("quirks = [\"no-chat\", \"no-responses\"]"), codes::CONTRADICTION, "\"no-responses\""),
        (
            "[providers.a]\ndialect = \"gemini\"\nbase_url = \"http://h\"\n\
             translate_to = \"openai-responses\""
                .to_owned(),
            codes::NOT_HERE,
            "translate_to",
        ),
        (row("headers = { host = \"x\" }"), codes::BAD_HEADER, "host"),
        (row("headers = { \"a b\" = \"x\" }"), codes::BAD_HEADER, "\"a b\""),
        (row("headers = { a = \"x\\n\" }"), codes::BAD_HEADER, "\"x\\n\""),
        (row("headers = { a = \"1\", A = \"2\" }"), codes::DUPLICATE, "A"),
        (row("api_key = \"a b\""), codes::BAD_CREDENTIAL, "\"a b\""),
        (row("api_key = \"${SPOILT_KEY}\""), codes::BAD_CREDENTIAL, "\"${SPOILT_KEY}\""),
        (
            row("api_key = \"${NO_KEY:?ask Ada}\""),
            codes::MISSING_VARIABLE,
            "\"${NO_KEY:?ask Ada}\"",
        ),
        (row("api_key = \"${file:gone}\""), codes::MISSING_FILE, "\"${file:gone}\""),
        ("[apps.a]\nkey_sha256 = []".to_owned(), codes::EMPTY, "[]"),
        ("[apps.a]\nlimits = {}".to_owned(), codes::MISSING_KEY, "[apps.a]"),
        (
            format!("[apps.a]\nkey_sha256 = [\"{hash}\"]\nlimits = {{ concurrent = 0 }}"),
            codes::OUT_OF_RANGE,
            "0",
        ),
        (
            format!("[apps.a]\nkey_sha256 = [\"{hash}\"]\nlimits = {{ usd_per_day = -0.5 }}"),
            codes::OUT_OF_RANGE,
            "-0.5",
        ),
        (
            format!("[apps.a]\nkey_sha256 = [\"{hash}\"]\nlimits = {{ per = \"agent\" }}"),
            codes::UNKNOWN_KEY,
            "per",
        ),
        (
            format!(
                "[apps.a]\nkey_sha256 = [\"{hash}\"]\nlimits = {{ concurrent = 1 }}\n\
                 [[limits]]\nname = \"apps.a\"\nconcurrent = 1"
            ),
            codes::DUPLICATE,
            "\"apps.a\"",
        ),
        ("[[limits]]\nconcurrent = 1".to_owned(), codes::MISSING_KEY, "[[limits]]"),
        ("[[limits]]\nname = \"a\"".to_owned(), codes::EMPTY, "[[limits]]"),
        (limit("per = \"user\""), codes::UNKNOWN_WORD, "\"user\""),
        (limit("tokens_per_month = 1"), codes::UNKNOWN_KEY, "tokens_per_month"),
        (limit("tokens_per_day = 0"), codes::OUT_OF_RANGE, "0"),
        (limit("tokens_per_day = 1.5"), codes::WRONG_TYPE, "1.5"),
        (limit("usd_per_day = \"5\""), codes::WRONG_TYPE, "\"5\""),
        (limit("usd_per_day = 1e9"), codes::OUT_OF_RANGE, "1e9"),
        (limit("unpriced = \"refuse\""), codes::NOT_HERE, "unpriced"),
        (limit("match = { app = \"x\" }"), codes::UNKNOWN_APP, "\"x\""),
        (limit("match = { tool = \"x\" }"), codes::UNKNOWN_KEY, "tool"),
        (limit("match = { model = \"^x\" }"), codes::BAD_PATTERN, "\"^x\""),
        (limit("loop = { same_call = 1, within = \"2m\" }"), codes::OUT_OF_RANGE, "1"),
        (limit("loop = { same_call = 9, within = \"2\" }"), codes::BAD_DURATION, "\"2\""),
        (limit("loop = { same_call = 9, within = \"9d\" }"), codes::BAD_DURATION, "\"9d\""),
        (limit("loop = { same_call = 9 }"), codes::MISSING_KEY, "{ same_call = 9 }"),
        (
            limit("loop = { same_call = 9, within = \"2m\", then = \"kill\" }"),
            codes::UNKNOWN_WORD,
            "\"kill\"",
        ),
        ("[prices.\"a\"]\ninput = 1\noutput = -1".to_owned(), codes::OUT_OF_RANGE, "-1"),
        ("[prices.\"a\"]\ninput = 1".to_owned(), codes::MISSING_KEY, "[prices.\"a\"]"),
        ("[prices.\"\"]\ninput = 1\noutput = 1".to_owned(), codes::BAD_PATTERN, "\"\""),
        ("[prices]\ninput = 1".to_owned(), codes::WRONG_TYPE, "1"),
        ("[[routes]]\nname = \"a\"\ntargets = []".to_owned(), codes::EMPTY, "[]"),
        (
            route("[[routes]]\nname = \"a\"\ntargets = [{ provider = \"openai\" }]"),
            codes::DUPLICATE,
            "\"a\"",
        ),
        (route("match = { dialect = \"openai\" }"), codes::UNKNOWN_WORD, "\"openai\""),
        (route("match = { model = [] }"), codes::EMPTY, "[]"),
        (route("match = { path = \"v1/*\" }"), codes::BAD_PATTERN, "\"v1/*\""),
        (route("match = { provider = \"opena\" }"), codes::UNKNOWN_PROVIDER, "\"opena\""),
        (route("match = { header = { \"\" = \"x\" } }"), codes::BAD_HEADER, "\"\""),
        (route("match = { models = \"x\" }"), codes::UNKNOWN_KEY, "models"),
        (route("fallback = [{ provider = \"openai\", weight = 1 }]"), codes::UNKNOWN_KEY, "weight"),
        (route("fallback = [{ model = \"x\" }]"), codes::MISSING_KEY, "{ model = \"x\" }"),
        (
            route("fallback = [{ provider = \"openai\", model = \"x*\" }]"),
            codes::BAD_PATTERN,
            "\"x*\"",
        ),
        (route("retry = { attempts = 0 }"), codes::OUT_OF_RANGE, "0"),
        (route("retry = { on = [\"500\"] }"), codes::UNKNOWN_WORD, "\"500\""),
        (route("timeouts = { connect_ms = 0 }"), codes::OUT_OF_RANGE, "0"),
        (route("timeouts = { connect = 5 }"), codes::UNKNOWN_KEY, "connect"),
        (route("capture = true"), codes::WRONG_TYPE, "true"),
    ] {
        let prepared = prepared(&text);
        assert!(prepared.table.is_none(), "{text}");
        let found = prepared
            .diagnostics
            .iter()
            .find(|found| found.code == code)
            .unwrap_or_else(|| panic!("{code}: {text}\n{:?}", prepared.diagnostics));
        assert_eq!(&text[found.span.clone()], place, "{text}");
        let errors =
            prepared.diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
        assert_eq!(errors, 1, "{text}\n{}", render(&prepared.diagnostics, Colour::Never));
    }
}

#[test]
fn what_a_reference_stands_for_is_never_said() {
    let text = format!("{OPENAI}auth = \"${{SET_KEY}}\"\nquery = \"${{SPOILT_KEY}}\"\n");
    let prepared = prepared(&text);
    assert_eq!(prepared.diagnostics.len(), 2);
    for said in [
        render(&prepared.diagnostics, Colour::Always),
        sarif(&prepared.diagnostics).to_string(),
        json(&prepared.diagnostics[0]).to_string(),
    ] {
        assert!(!said.contains("a-key") && !said.contains("zebra"), "{said}");
    }
    let table = table(&format!("{OPENAI}api_key = \"${{SET_KEY}}\"\n"));
    assert!(!format!("{table:?}").contains("a-key"));
}

#[test]
fn warnings_do_not_keep_a_table_from_being_made() {
    let hash = "0f".repeat(32);
    for (text, code) in [
        (format!("{OPENAI}api_key = \"literal\"\n"), codes::LITERAL_CREDENTIAL),
        (String::new(), codes::NOTHING_SERVED),
        (
            format!(
                "{OPENAI}[apps.a]\nkey_sha256 = [\"{hash}\"]\nlimits = {{ usd_per_day = 1 }}\n\
                 [[routes]]\nname = \"a\"\ntargets = [{{ provider = \"openai\", model = \"x\" }}]\n"
            ),
            codes::NO_PRICE,
        ),
        (
            format!(
                "{OPENAI}[providers.a]\ndialect = \"anthropic\"\nbase_url = \"https://a\"\n\
                 [[routes]]\nname = \"a\"\n\
                 targets = [{{ provider = \"openai\" }}]\nfallback = [{{ provider = \"a\" }}]\n"
            ),
            codes::FOREIGN_MODEL,
        ),
    ] {
        let prepared = prepared(&text);
        assert!(prepared.table.is_some(), "{text}");
        let found: Vec<_> = prepared.diagnostics.iter().map(|found| found.code).collect();
        assert_eq!(found, [code], "{text}");
    }
}

#[test]
fn a_file_becomes_a_table() {
    let key = "correct horse";
    let text = r#"
[server]
listen = ["127.0.0.1:0", "[::1]:0"]
admin = "off"
tls = { certificate = "door.crt", key = "/keys/door.key" }
drain_timeout_ms = 0

[providers.azure]
dialect = "openai"
base_url = "https://Res.openai.azure.com:8443/"
api_key = "${file:secret}"
quirks = ["azure-deployments"]
query = "api-version=2024-10-21"
headers = { X-Team = "blue" }

[providers.claude]
dialect = "anthropic"
base_url = "https://api.anthropic.com"
api_key = "${ANTHROPIC_API_KEY:-}"

[providers.paused]
dialect = "canned"
answer = "Paused."

[apps.desk]
key_sha256 = ["eaeab15ad08850c5baff12b18f4ca65e5e2e4e63c8e1a0b4bc9ab7b1a3d1d6a0"]
limits = { requests_per_minute = 600, concurrent = 10 }

[[routes]]
name = "desk"
match = { app = "desk", dialect = "openai-chat" }
targets = [{ provider = "azure", model = "gpt-4o", weight = 9 }, { provider = "azure" }]
fallback = [{ provider = "paused" }]
retry = { on = ["429"] }
timeouts = { idle_ms = 5 }
capture = "metadata"
"#;
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    let hash = hash.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02X}"));
    let text =
        text.replace("eaeab15ad08850c5baff12b18f4ca65e5e2e4e63c8e1a0b4bc9ab7b1a3d1d6a0", &hash);
    let table = table(&text);
    assert_eq!(table.server.listen.len(), 2);
    assert_eq!(table.server.admin, None);
    assert_eq!(table.server.data_dir, Path::new("/etc/door/firedoor-data"));
    let tls = table.server.tls.as_ref().unwrap();
    assert_eq!(tls.certificate, Path::new("/etc/door/door.crt"));
    assert_eq!(tls.key, Path::new("/keys/door.key"));
    assert_eq!(table.server.drain_timeout, Duration::ZERO);
    assert_eq!(table.server.connections_max, 16_384);

    let azure = &table.providers[0];
    assert_eq!(azure.family, Family::Openai);
    assert_eq!(azure.auth, Auth::ApiKey);
    assert_eq!(azure.key.as_ref().unwrap().reveal(), "from-a-file");
    assert_eq!(azure.key_variable, None);
    assert_eq!(azure.base.as_ref().unwrap().authority, "res.openai.azure.com:8443");
    assert!(azure.quirks.azure_deployments && !azure.quirks.versioned_base);
    assert_eq!(azure.headers[0].0, "x-team");
    let claude = &table.providers[1];
    assert_eq!((claude.auth, claude.key.is_none()), (Auth::XApiKey, true));
    assert_eq!(claude.key_variable.as_deref(), Some("ANTHROPIC_API_KEY"));

    let app = table.app_by_key(key).unwrap();
    assert_eq!(table.apps[usize::from(app.0)].name.as_str(), "desk");
    let limit = table.limits.iter().find(|limit| limit.matcher.apps == [app]).unwrap();
    assert_eq!(
        (&*limit.name, limit.concurrent),
        (format!("apps.{}", table.apps[usize::from(app.0)].name).as_str(), Some(10))
    );
    assert_eq!(table.app_by_key("wrong horse"), None);

    let route = &table.routes[0];
    let target = |at: usize| &table.targets[usize::from(route.targets[at].target.0)];
    assert_eq!((&*target(0).name, route.targets[0].weight), ("azure/gpt-4o", 9));
    assert_eq!((&*target(1).name, route.targets[1].weight), ("azure", 1));
    assert_eq!(&*table.targets[usize::from(route.fallback[0].0)].name, "paused");
    assert!(route.retry.on_429 && !route.retry.on_connect && route.retry.attempts == 2);
    assert_eq!(route.timeouts.idle, Duration::from_millis(5));
    assert_eq!(route.timeouts.connect, Duration::from_secs(2));
    assert_eq!(route.capture, Capture::Metadata);

    // Each provider has an implicit route behind those of the file.
    assert_eq!(table.routes.len(), 4);
    let (provider, implicit) = table.by_provider_name["claude"];
    assert_eq!(table.routes[usize::from(implicit.0)].matcher.provider, Some(provider));
    assert_eq!(table.routes[usize::from(implicit.0)].name.as_str(), "/claude/");
}

#[test]
fn the_digest_knows_the_text_and_what_it_refers_to() {
    let text = format!("{OPENAI}api_key = \"${{KEY}}\"\n");
    let digest = |text: &str, key: &'static str| {
        let source = Source { file: None, text: text.to_owned() };
        let lookup = move |_: Reference<'_>| Ok(Some(key.to_owned()));
        prepare(&source, &lookup).table.unwrap().digest.clone()
    };
    assert_eq!(digest(&text, "one"), digest(&text, "one"));
    assert_ne!(digest(&text, "one"), digest(&text, "two"));
    assert_ne!(digest(&text, "one"), digest(&format!("{text}#"), "one"));
    assert_eq!(digest(&text, "one").len(), 64);
}

/// A request, as a playbook writes it.
#[derive(Clone, Copy, Default)]
struct Ask<'a> {
    provider: Option<&'a str>,
    app: Option<&'a str>,
    agent: Option<&'a str>,
    model: Option<&'a str>,
    dialect: Option<Dialect>,
    path: &'a str,
    header: Option<(&'a str, &'a [u8])>,
}

/// The name of the route that takes it.
fn taken<'t>(table: &'t Table, ask: Ask<'_>) -> Option<&'t str> {
    let mut headers = HeaderMap::new();
    if let Some((name, value)) = ask.header {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name.clone(), HeaderValue::from_static("another"));
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    let app = ask.app.map(|name| {
        let at = table.apps.iter().position(|app| app.name.as_str() == name).unwrap();
        firedoor::table::AppIndex(u16::try_from(at).unwrap())
    });
    let index = table.route(&Query {
        provider: ask.provider.map(|name| table.by_provider_name[name].0),
        app,
        agent: ask.agent,
        model: ask.model,
        dialect: ask.dialect,
        path: ask.path,
        headers: &headers,
    })?;
    Some(table.routes[usize::from(index.0)].name.as_str())
}

#[test]
fn the_embedded_default_serves_everyone() {
    let prepared = prepare(&Source { file: None, text: EMBEDDED.to_owned() }, &|_| Ok(None));
    assert_eq!(prepared.diagnostics, []);
    let table = prepared.table.unwrap();
    assert_eq!(table.server.listen, ["127.0.0.1:4800".parse().unwrap()]);
    assert_eq!(table.server.admin, Some("127.0.0.1:4801".parse().unwrap()));
    assert_eq!(table.server.data_dir, Path::new("firedoor-data"));
    assert!(table.providers.iter().all(|provider| provider.key.is_none()));
    assert_eq!(table.providers[0].key_variable.as_deref(), Some("OPENAI_API_KEY"));

    let chat = Ask {
        path: "/v1/chat/completions",
        dialect: Some(Dialect::OpenaiChat),
        model: Some("gpt-4o"),
        ..Ask::default()
    };
    let other = |path| Ask { path, ..Ask::default() };
    let version: Option<(&str, &[u8])> = Some(("anthropic-version", b"2023-06-01"));
    for (ask, route) in [
        (chat, "openai"),
        (Ask { model: Some("firedoor-sim-slow"), ..chat }, "sim"),
        (Ask { path: "/v1/messages", dialect: Some(Dialect::Anthropic), ..chat }, "anthropic"),
        (
            Ask {
                path: "/v1/messages",
                dialect: Some(Dialect::Anthropic),
                model: Some("firedoor-sim"),
                ..chat
            },
            "sim",
        ),
        (other("/v1/messages/count_tokens"), "anthropic"),
        (Ask { header: version, ..other("/v1/models") }, "anthropic-rest"),
        (other("/v1/models"), "openai"),
        (other("/v1/embeddings"), "openai"),
        (
            Ask {
                path: "/v1/responses",
                dialect: Some(Dialect::OpenaiResponses),
                ..Ask::default()
            },
            "openai",
        ),
        (Ask { path: "/chat/completions", ..chat }, "openai"),
        (
            Ask {
                path: "/v1beta/models/gemini-2.5-flash:generateContent",
                dialect: Some(Dialect::Gemini),
                ..chat
            },
            "gemini",
        ),
        (
            Ask {
                path: "/v1/models/gemini-2.5-flash:generateContent",
                dialect: Some(Dialect::Gemini),
                ..chat
            },
            "gemini-v1",
        ),
        (Ask { provider: Some("gemini"), ..chat }, "/gemini/"),
        (Ask { provider: Some("sim"), ..other("/") }, "/sim/"),
    ] {
        assert_eq!(taken(&table, ask), Some(route), "{}", ask.path);
    }
    assert_eq!(taken(&table, other("/nowhere")), None);
    for dialect in Dialect::ALL {
        assert_eq!(table.served_models(dialect), ["firedoor-sim*", "*"]);
    }
}

#[test]
fn every_part_of_a_match_must_hold() {
    let text = format!(
        "{OPENAI}{}",
        r#"
[apps.one]
key_sha256 = ["0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"]
[apps.two]
key_sha256 = ["1f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"]

[[routes]]
name = "narrow"
match = { app = ["one"], agent = "*bot*", model = ["gpt-4*", "o3"], dialect = "openai-chat", path = "/v1/*", header = { x-team = "b*" } }
targets = [{ provider = "openai" }]

[[routes]]
name = "direct"
match = { provider = "openai", model = "gpt-4*" }
targets = [{ provider = "openai", model = "gpt-4o" }]

[[routes]]
name = "two"
match = { app = "two" }
targets = [{ provider = "openai" }]
"#
    );
    let table = table(&text);
    let whole = Ask {
        provider: None,
        app: Some("one"),
        agent: Some("desk-bot/1"),
        model: Some("gpt-4o"),
        dialect: Some(Dialect::OpenaiChat),
        path: "/v1/chat/completions",
        header: Some(("x-team", b"blue\xFF")),
    };
    assert_eq!(taken(&table, whole), Some("narrow"));
    assert_eq!(taken(&table, Ask { model: Some("o3"), ..whole }), Some("narrow"));
    for missed in [
        Ask { app: None, ..whole },
        Ask { agent: None, ..whole },
        Ask { agent: Some("Bo"), ..whole },
        Ask { model: None, ..whole },
        Ask { model: Some("o3-mini"), ..whole },
        Ask { dialect: None, ..whole },
        Ask { dialect: Some(Dialect::OpenaiResponses), ..whole },
        Ask { path: "/v2/chat/completions", ..whole },
        Ask { header: None, ..whole },
        Ask { header: Some(("x-team", b"red")), ..whole },
    ] {
        assert_eq!(taken(&table, missed), None);
    }
    assert_eq!(taken(&table, Ask { app: Some("two"), ..whole }), Some("two"));
    // A provider in the path is always reached, and only by routes that name it.
    let named = Ask { provider: Some("openai"), ..whole };
    assert_eq!(taken(&table, named), Some("direct"));
    assert_eq!(taken(&table, Ask { model: Some("o3"), ..named }), Some("/openai/"));
    assert_eq!(table.served_models(Dialect::OpenaiChat), ["gpt-4*", "o3", "*"]);
    assert_eq!(table.served_models(Dialect::OpenaiResponses), ["*"]);
    assert_eq!(table.served_models(Dialect::Gemini), [""; 0]);
}

/// What the documentation shows is right.
#[test]
fn every_toml_block_of_the_documentation_is_a_table() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut blocks = 0;
    for entry in std::fs::read_dir(docs).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let found = if block.starts_with("pack = ") {
                check(block)
            } else {
                prepared(block).diagnostics
            };
            let said = render(&found, Colour::Never);
            assert!(found.is_empty(), "{}:\n{said}", path.display());
            blocks += 1;
        }
    }
    assert!(blocks >= 17, "{blocks}");
}

/// Everything has a bound, and reaching it is said.
#[test]
fn too_much_is_refused_and_said() {
    let targets = "{ provider = \"openai\" },".repeat(65);
    let route = |name: usize, targets: &str| {
        format!(
            "[[routes]]\nname = \"r{name}\"\nmatch = {{ model = \"m{name}\" }}\ntargets = [{targets}]\n"
        )
    };
    assert!(codes_of(&format!("{OPENAI}{}", route(0, &targets))).contains(&codes::TOO_MANY));
    let routes = |number: usize| -> String {
        (0..number).map(|name| route(name, "{ provider = \"openai\" }")).collect()
    };
    assert_eq!(codes_of(&format!("{OPENAI}{}", routes(4096))), [""; 0]);
    assert_eq!(codes_of(&format!("{OPENAI}{}", routes(4097))), [codes::TOO_MANY]);
    let many = (0..5000).map(|at| format!("k{at} = {at}\n")).collect::<Vec<_>>().concat();
    for text in [many, "= \n".repeat(5000)] {
        let found = codes_of(&text);
        assert!(found.len() <= 1001 && found.contains(&codes::TOO_MANY), "{}", found.len());
    }
    assert_eq!(codes_of(&"#".repeat((4 << 20) + 1)), [codes::TOO_LARGE]);
}

/// Pieces of which wrong files are made that a parser still reads.
const PIECES: &[&str] = &[
    "[server]\n",
    "[providers.a]\n",
    "[providers.b]\n",
    "[apps.a]\n",
    "[[routes]]\n",
    "[[",
    "]\n",
    "listen = ",
    "admin = ",
    "tls = ",
    "workers = ",
    "dialect = ",
    "base_url = ",
    "api_key = ",
    "headers = ",
    "query = ",
    "quirks = ",
    "translate_to = ",
    "answer = ",
    "key_sha256 = ",
    "limits = ",
    "name = ",
    "match = ",
    "targets = ",
    "fallback = ",
    "rules = ",
    "retry = ",
    "timeouts = ",
    "capture = ",
    "\"openai\"\n",
    "\"simulated\"\n",
    "\"${A}\"\n",
    "\"${file:x}\"\n",
    "\"a\"\n",
    "\"http://h\"\n",
    "\"0.0.0.0:1\"\n",
    "[\"a\", 1]\n",
    "{ provider = \"a\" }\n",
    "[{ provider = \"a\", weight = 0 }]\n",
    "{ model = \"*\", path = [\"/\"], header = { a = \"b\" } }\n",
    "-7\n",
    "1e400\n",
    "nan\n",
    "0x_\n",
    "1979-05-27\n",
    "\"\"\"\nä\n\"\"\"\n",
    "'",
    "\"",
    "\u{feff}",
    "\r",
    "\0",
    "🚪",
    "#",
    " ",
    "\n",
];

/// What must hold of any text at all.
fn holds(text: &str) {
    let prepared = prepared(text);
    let has_errors = prepared.diagnostics.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(prepared.table.is_none(), has_errors, "{:?}", prepared.diagnostics);
    for found in &prepared.diagnostics {
        assert!(text.get(found.span.clone()).is_some(), "{found:?}");
        assert!(codes::explain(found.code).is_some(), "{found:?}");
        assert!(!found.message.is_empty());
        let value = json(found);
        assert!(value["line"].as_u64().unwrap() <= value["endLine"].as_u64().unwrap());
    }
    render(&prepared.diagnostics, Colour::Always);
    sarif(&prepared.diagnostics);
}

proptest! {
    #[test]
    fn any_text_is_a_table_or_has_errors(text in any::<String>()) {
        holds(&text);
    }

    #[test]
    fn any_heap_of_pieces_is_a_table_or_has_errors(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..24)
    ) {
        holds(&pieces.concat());
    }

    #[test]
    fn the_default_with_a_hole_is_a_table_or_has_errors(from in 0..EMBEDDED.len(), len in 0..64_usize) {
        let to = (from + len).min(EMBEDDED.len());
        holds(&format!("{}{}", &EMBEDDED[..from], &EMBEDDED[to..]));
    }
}
