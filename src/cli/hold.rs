//! `firedoor evidence hold|holds|release`: what outlives retention.

use super::lever::{plain, time, user, word};
use super::status::{ask, call};
use super::{Common, Exit, output};
use crate::table::lever::Scope;
use serde_json::json;
use std::fmt::Write as _;
use std::time::Duration;

/// Keep evidence beyond its retention
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  firedoor evidence hold app:helpdesk --reason INC-7\n  firedoor evidence hold all --before 6h --after 2h --reason 'audit 12'\nSegments are held whole. Every lever takes a hold by itself, from an hour before it to an hour after its end, and keeps it for 90 days more."
)]
pub(super) struct Place {
    /// What it is about, in the words of a lever's scope
    #[arg(value_name = "SCOPE", value_parser = |text: &str| Scope::parse(text).map_err(|e| e.to_string()))]
    scope: Scope,
    /// How much from before now
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1h")]
    before: Duration,
    /// How much from now on [default: until it is released]
    #[arg(long, value_name = "TIME", value_parser = time)]
    after: Option<Duration>,
    /// The incident that it belongs to
    #[arg(long, value_name = "ID")]
    incident: Option<String>,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, clap::Args)]
struct Why {
    /// Why; for the audit
    #[arg(long, short, value_name = "TEXT")]
    reason: String,
    /// Who does it [default: the user at this machine]
    #[arg(long, value_name = "NAME", env = "FIREDOOR_AUTHOR")]
    author: Option<String>,
}

/// Release a hold
#[derive(Debug, clap::Args)]
pub(super) struct Release {
    /// The hold
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    why: Why,
}

impl Place {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let body = json!({
            "scope": self.scope.to_string(),
            "before_s": self.before.as_secs(),
            "after_s": self.after.map(|after| after.as_secs()),
            "incident": self.incident,
            "reason": self.why.reason,
            "author": self.why.author.clone().unwrap_or_else(user),
        });
        match call(common, async |client| client.post("/api/v1/holds", &body, None).await) {
            Ok((_, hold)) if output::is_json(common) => output::json(&hold),
            Ok((_, hold)) => {
                let until = hold["until"].as_str().unwrap_or("it is released");
                output::data(&format!(
                    "{} holds evidence from {} until {until}\n",
                    word(&hold["id"]),
                    word(&hold["from"])
                ))
            }
            Err(exit) => exit,
        }
    }
}

impl Release {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let path = format!("/api/v1/holds/{}", plain(&self.id));
        let body = json!({
            "reason": self.why.reason,
            "author": self.why.author.clone().unwrap_or_else(user),
        });
        match call(common, async |client| client.delete(&path, &body).await) {
            Ok((_, hold)) if output::is_json(common) => output::json(&hold),
            Ok((_, hold)) => output::data(&format!("{} is released\n", word(&hold["id"]))),
            Err(exit) => exit,
        }
    }
}

/// Lists the holds that stand.
pub(super) fn list(common: &Common) -> Exit {
    let list = match ask(common, "/api/v1/holds") {
        Ok(list) => list,
        Err(exit) => return exit,
    };
    if output::is_json(common) {
        return output::json(&list);
    }
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return output::data("nothing is held\n");
    }
    let mut out = format!("{:<36} {:<25} {:<25} SCOPE\n", "HOLD", "FROM", "UNTIL");
    for hold in items {
        let until = hold["until"].as_str().unwrap_or("released");
        let _ = writeln!(
            out,
            "{:<36} {:<25} {until:<25} {}",
            word(&hold["id"]),
            word(&hold["from"]),
            word(&hold["scope"])
        );
        let lever = hold["lever"].as_str().map_or_else(String::new, |id| format!(", by {id}"));
        let _ = writeln!(out, "    {}: {}{lever}", word(&hold["author"]), word(&hold["reason"]));
    }
    output::data(&out)
}
