//! `firedoor rules`: the rules of the running gateway, and those that only report.

use super::lever::{plain, user, word};
use super::status::{ask, call};
use super::{Common, Exit, output};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// List the rules of the running gateway, or let one only report
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  firedoor rules\n  firedoor rules demote pii/phone-north-america --reason 'hits order numbers'\n  firedoor rules promote pii/phone-north-america --reason 'mended'\nRules are put in force by files and by `firedoor filter`. A demotion survives restarts; `firedoor levers --history` tells who did it."
)]
pub struct Rules {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Let a rule only report, whatever its pack says, until it is promoted
    Demote(Change),
    /// Let a rule that was demoted do again what its pack says
    Promote(Change),
}

#[derive(Debug, clap::Args)]
struct Change {
    /// The rule
    #[arg(value_name = "PACK/ID")]
    rule: String,
    /// Why; for the audit
    #[arg(long, short, value_name = "TEXT")]
    reason: String,
    /// Who does it [default: the user at this machine]
    #[arg(long, value_name = "NAME", env = "FIREDOOR_AUTHOR")]
    author: Option<String>,
}

impl Rules {
    pub(super) fn run(&self, common: &Common) -> Exit {
        match &self.what {
            None => list(common),
            Some(What::Demote(change)) => change.run(common, "demote"),
            Some(What::Promote(change)) => change.run(common, "promote"),
        }
    }
}

impl Change {
    fn run(&self, common: &Common, act: &str) -> Exit {
        let Some((pack, id)) = self.rule.split_once('/') else {
            output::notice(&format!(
                "firedoor: `{}` names no rule: a rule is written PACK/ID; `firedoor rules` lists them",
                self.rule
            ));
            return Exit::Usage;
        };
        let path = format!("/api/v1/rules/{}/{}/{act}", plain(pack), plain(id));
        let author = self.author.clone().unwrap_or_else(user);
        let body = json!({ "reason": self.reason, "author": author });
        match call(common, async |client| client.post(&path, &body, None).await) {
            Ok((_, value)) if output::is_json(common) => output::json(&value),
            Ok((_, value)) => {
                let now = if value["demoted"] == true {
                    "only reports"
                } else {
                    "does what its pack says"
                };
                let so = if value["changed"] == true { "" } else { " (as before)" };
                let rule = word(&value["rule"]);
                output::data(&format!("{rule} {now}{so}, at table {}\n", value["epoch"]))
            }
            Err(exit) => exit,
        }
    }
}

fn list(common: &Common) -> Exit {
    let mut items = Vec::new();
    let mut path = "/api/v1/rules?limit=500".to_owned();
    loop {
        let mut page = match ask(common, &path) {
            Ok(page) => page,
            Err(exit) => return exit,
        };
        if let Some(more) = page["items"].as_array_mut() {
            items.append(more);
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/rules?limit=500&cursor={next}"),
            None => break,
        }
    }
    if output::is_json(common) {
        return output::json(&json!({ "items": items, "next": null }));
    }
    output::data(&table(&items))
}

fn table(items: &[Value]) -> String {
    if items.is_empty() {
        return "no route and no lever names a pack\n".to_owned();
    }
    let mut out = format!("{:<36} {:<9} {:<16} {:>8}  WHERE\n", "RULE", "MODE", "ACTION", "HITS");
    for rule in items {
        let name = format!("{}/{}", word(&rule["pack"]), word(&rule["id"]));
        let mut actions: Vec<&str> =
            rule["actions"].as_array().into_iter().flatten().map(|a| word(&a["action"])).collect();
        actions.dedup();
        let hits: u64 =
            rule["hits"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
        let places = ["routes", "levers"].map(|key| rule[key].as_array());
        let places: Vec<&str> = places.into_iter().flatten().flatten().map(word).collect();
        let places = if places.is_empty() { "nowhere".to_owned() } else { places.join(", ") };
        let mode = word(&rule["in_force"]);
        let _ = writeln!(out, "{name:<36} {mode:<9} {:<16} {hits:>8}  {places}", actions.join(","));
        if !rule["demoted"].is_null() {
            let demoted = &rule["demoted"];
            let _ = writeln!(
                out,
                "    demoted from {} by {} at {}: {}",
                word(&rule["mode"]),
                word(&demoted["who"]),
                word(&demoted["at"]),
                word(&demoted["reason"])
            );
        }
    }
    out
}
