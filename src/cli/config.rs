//! `firedoor config`: the configuration that counts, without its secrets, and its schema.

use super::{Common, Exit, check, output};
use crate::table::{self, Table};
use serde_json::{Value, json};

/// Show the configuration that counts, or its schema
#[derive(Debug, clap::Args)]
pub struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// What the file, its variables and the defaults come to; secrets are never shown
    Show,
    /// The JSON Schema (draft-07) of routes.toml, for editors
    Schema,
}

impl Config {
    pub(super) fn run(&self, common: &Common) -> Exit {
        match self.what {
            What::Schema => output::data(table::SCHEMA),
            What::Show => {
                let (_, prepared) = check::prepared(common);
                if let Some(table) = prepared.table {
                    return output::json(&effective(&table));
                }
                check::report(&prepared.diagnostics);
                Exit::Configuration
            }
        }
    }
}

/// The table as JSON, made by hand: what is not named here is not shown.
fn effective(table: &Table) -> Value {
    let server = &table.server;
    let providers: serde_json::Map<String, Value> = table
        .providers
        .iter()
        .map(|provider| {
            let base = provider.base.as_ref().map(|base| {
                let scheme = if base.tls { "https" } else { "http" };
                format!("{scheme}://{}:{}{}", base.host, base.port, base.path)
            });
            let shown = json!({
                "family": format!("{:?}", provider.family).to_lowercase(),
                "base_url": base,
                "key": match (&provider.key, &provider.key_variable) {
                    (Some(_), Some(variable)) => format!("set, from {variable}"),
                    (Some(_), None) => "set".to_owned(),
                    (None, _) if provider.signer.is_some() => "an access key that signs".to_owned(),
                    (None, Some(variable)) => format!("the caller's own ({variable} is not set)"),
                    (None, None) => "the caller's own".to_owned(),
                },
            });
            (provider.name.to_string(), shown)
        })
        .collect();
    let targets = |indices: &mut dyn Iterator<Item = table::TargetIndex>| -> Vec<String> {
        indices.map(|index| table.targets[usize::from(index.0)].name.to_string()).collect()
    };
    let routes: Vec<Value> = table
        .routes
        .iter()
        .filter(|route| route.matcher.provider.is_none())
        .map(|route| {
            json!({
                "name": route.name.as_str(),
                "targets": targets(&mut route.targets.iter().map(|weighted| weighted.target)),
                "fallback": targets(&mut route.fallback.iter().copied()),
                "timeouts_ms": {
                    "connect": ms(route.timeouts.connect),
                    "first_byte": ms(route.timeouts.first_byte),
                    "idle": ms(route.timeouts.idle),
                    "total": ms(route.timeouts.total),
                },
                "attempts": route.retry.attempts,
            })
        })
        .collect();
    json!({
        "source": table.source.as_ref().map(|file| file.display().to_string()),
        "digest": table.digest,
        "server": {
            "listen": server.listen,
            "admin": server.admin,
            "data_dir": server.data_dir.display().to_string(),
            "tls": server.tls.is_some(),
            "workers": server.workers,
            "connections_max": server.connections_max,
            "body_bytes_max": server.body_bytes_max,
            "head_timeout_ms": ms(server.head_timeout),
            "client_idle_timeout_ms": ms(server.client_idle_timeout),
            "drain_timeout_ms": ms(server.drain_timeout),
        },
        "providers": providers,
        "apps": table.apps.iter().map(|app| app.name.as_str()).collect::<Vec<_>>(),
        "routes": routes,
    })
}

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
