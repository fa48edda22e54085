//! What a right file becomes.

use super::{OPENAI, prepared, table};
use firedoor::table::{Auth, Capture, Family, Reference, Source, codes, prepare};
use std::path::Path;
use std::time::Duration;

/// A route that keeps its records for a day does not make those of others go sooner.
#[test]
fn an_implicit_route_keeps_no_shorter_than_the_rest() {
    let days = |of_route: u16| {
        let text = format!(
            "{OPENAI}[evidence]\nkeep_days = 30\n[[routes]]\nname = \"a\"\n\
             targets = [{{ provider = \"openai\" }}]\nkeep_days = {of_route}\n"
        );
        let table = table(&text);
        assert_eq!(table.routes[0].kept.days, Some(of_route));
        let (_, implicit) = table.by_provider_name["openai"];
        table.routes[usize::from(implicit.0)].kept.days
    };
    assert_eq!((days(1), days(184)), (None, Some(184)));
}

#[test]
fn warnings_do_not_keep_a_table_from_being_made() {
    let hash = "0f".repeat(32);
    for (text, code) in [
        (format!("{OPENAI}api_key = \"literal\"\n"), codes::LITERAL_CREDENTIAL),
        (String::new(), codes::EMPTY_FILE),
        ("# soon\n".to_owned(), codes::NOTHING_SERVED),
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
