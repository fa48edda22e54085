//! What is said of a wrong file, and where.

use super::{OPENAI, codes_of, prepared, says, table};
use firedoor::table::codes;
use firedoor::table::diagnostic::{Colour, Severity, json, render, sarif};

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
        ("[identity]\nsession_headers = [\"Cookie\"]".to_owned(), codes::BAD_HEADER, "\"Cookie\""),
        (
            "[identity]\nagent_headers = [\"x-bot\", \"X-Bot\"]".to_owned(),
            codes::DUPLICATE,
            "\"X-Bot\"",
        ),
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
        (route("capture = \"sealed\""), codes::MISSING_KEY, "[[routes]]"),
        (route("capture = \"sealed\"\noriginals_to = []"), codes::EMPTY, "[]"),
        (route("capture = \"sealed\"\noriginals_to = [\"ann\"]"), codes::BAD_RECIPIENT, "\"ann\""),
        (
            route(
                "originals_to = [\"age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj\"]",
            ),
            codes::CONTRADICTION,
            "[\"age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj\"]",
        ),
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
