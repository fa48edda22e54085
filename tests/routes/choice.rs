//! Which route takes a request.

use super::{OPENAI, prepared, table};
use firedoor::table::diagnostic::{Colour, render};
use firedoor::table::packs::check;
use firedoor::table::{EMBEDDED, Query, Source, Table, prepare};
use firedoor::wire::Dialect;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::path::Path;

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
