//! `firedoor kill`, `reroute`, `limit`, `extend`, `lift`, `levers`: containment from a shell.
//!
//! Pulling is one command and asks nothing back; what it did is printed as proof. By default the
//! gateway is reached by the unix socket in its state folder, which needs neither token nor
//! network.

use super::status::{ask, call};
use super::{Common, Exit, output};
use crate::table::lever::Scope;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// What every pull takes.
#[derive(Debug, clap::Args)]
struct Pull {
    /// Whom it reaches: `all`, or terms such as `provider:openai`, `model:gpt-4*+app:helpdesk`,
    /// `tool:issue_refund`
    #[arg(value_name = "SCOPE", value_parser = scope)]
    scope: Scope,
    /// Why; for the audit, never shown to callers
    #[arg(long, short, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Who pulls it [default: the user at this machine]
    #[arg(long, value_name = "NAME", env = "FIREDOOR_AUTHOR")]
    author: Option<String>,
    /// How long it stands, such as 30m, 2h, 1d [default: until it is lifted]
    #[arg(long, value_name = "TIME", value_parser = time)]
    ttl: Option<Duration>,
    /// What callers are told [default: stopped by an operator]
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// The incident it belongs to
    #[arg(long, value_name = "ID")]
    incident: Option<String>,
    /// Only show what it would reach
    #[arg(long)]
    dry_run: bool,
}

/// Stop a provider, model, route, app, agent, tool or session, everywhere, now
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  firedoor kill model:gpt-4o --reason 'leaks the system prompt'\n  firedoor kill tool:issue_refund+app:helpdesk --reason 'INC-7' --ttl 30m\n  firedoor kill all --in-flight drain --reason 'maintenance'\nStreams under way are cut in their dialect; a route's fallback takes over where it is not reached.\nExit 3: in force, but the control log could not take it."
)]
pub struct Kill {
    #[command(flatten)]
    pull: Pull,
    /// What happens to exchanges under way
    #[arg(long, value_name = "HOW", default_value = "cut", value_parser = ["cut", "drain"])]
    in_flight: String,
}

/// Send traffic to other targets, now
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  firedoor reroute provider:openai --to anthropic/claude-haiku-4-5 --reason 'degraded'\n  firedoor reroute app:helpdesk --to paused --reason 'INC-7' --ttl 1h"
)]
pub struct Reroute {
    #[command(flatten)]
    pull: Pull,
    /// Where to: `provider/model`, or `provider` for the model asked for; several are tried in order
    #[arg(long, value_name = "TARGET", required = true)]
    to: Vec<String>,
    /// What happens to exchanges under way
    #[arg(long, value_name = "HOW", default_value = "finish", value_parser = ["finish", "switch"])]
    in_flight: String,
}

/// Let no more through than so much, now
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  firedoor limit agent:crawler* --max requests_per_minute=10 --reason 'INC-7'\n  firedoor limit app:helpdesk --max usd_per_day=5 --max concurrent=2 --reason budget\nThe names are those of `limits` in the routes file; the scope has one counter."
)]
pub struct Limit {
    #[command(flatten)]
    pull: Pull,
    /// How much, such as `requests_per_minute=10`; may be given several times
    #[arg(long, value_name = "NAME=NUMBER", required = true, value_parser = cap)]
    max: Vec<(String, f64)>,
}

/// Put rules in force, now
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  firedoor filter all --pack secrets --reason 'INC-7'\n  firedoor filter app:helpdesk --words 'Project Halcyon' --action redact --reason 'INC-9' --ttl 2h\n  firedoor filter model:gpt-4* --regex '\\bINT-[0-9]{6}\\b' --action cut --reason 'INC-9'\nAnswers under way are judged from here on; `firedoor test` tries rules first."
)]
pub struct Filter {
    #[command(flatten)]
    pull: Pull,
    /// A pack by name, or one of its rules as PACK/RULE; may be given several times
    #[arg(long, value_name = "NAME")]
    pack: Vec<String>,
    /// A word or phrase to look for; may be given several times
    #[arg(long, value_name = "TEXT")]
    words: Vec<String>,
    /// A regular expression to look for; may be given several times
    #[arg(long, value_name = "REGEX")]
    regex: Vec<String>,
    /// What happens to a match of `--words` and `--regex`
    #[arg(long, value_name = "WHAT", default_value = "redact", value_parser = ["flag", "redact", "cut", "reroute"])]
    action: String,
    /// The kinds of text that `--words` and `--regex` look at
    #[arg(long, value_name = "KIND", value_delimiter = ',', default_values_t = ["answer".to_owned(), "reasoning".to_owned()])]
    channels: Vec<String>,
}

/// Give a lever another end
#[derive(Debug, clap::Args)]
pub struct Extend {
    /// The lever
    id: String,
    /// How long from now
    #[arg(long, value_name = "TIME", value_parser = time, required_unless_present = "for_good")]
    ttl: Option<Duration>,
    /// Until it is lifted
    #[arg(long, conflicts_with = "ttl")]
    for_good: bool,
    /// Why
    #[arg(long, short, value_name = "TEXT")]
    reason: String,
    /// Who does it [default: the user at this machine]
    #[arg(long, value_name = "NAME", env = "FIREDOOR_AUTHOR")]
    author: Option<String>,
}

/// Take a lever out of force
#[derive(Debug, clap::Args)]
pub struct Lift {
    /// The lever's id, or a scope: then every lever of exactly that scope
    lever: String,
    /// Why
    #[arg(long, short, value_name = "TEXT")]
    reason: String,
    /// Who does it [default: the user at this machine]
    #[arg(long, value_name = "NAME", env = "FIREDOOR_AUTHOR")]
    author: Option<String>,
}

/// List the levers in force, or their history
#[derive(Debug, clap::Args)]
pub struct List {
    /// As TOML, for a pull request
    #[arg(long, conflicts_with = "history")]
    toml: bool,
    /// Every change with who, when and why, instead of what stands
    #[arg(long)]
    history: bool,
}

fn cap(text: &str) -> Result<(String, f64), String> {
    let (name, number) = text.split_once('=').ok_or("a limit is written NAME=NUMBER")?;
    let number = number.parse().map_err(|_| format!("`{number}` is not a number"))?;
    Ok((name.to_owned(), number))
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).map_err(|error| error.to_string())
}

/// `90`, `90s`, `30m`, `2h`, `1d`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a number and s, m, h or d, such as 30m".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    match number.checked_mul(unit) {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        Some(_) | None => Err(wrong()),
    }
}

/// Who is at this machine, for an audit that nobody signed.
pub(super) fn user() -> String {
    let name = |variable: &str| std::env::var(variable).ok().filter(|name| !name.is_empty());
    name("SUDO_USER")
        .or_else(|| name("USER"))
        .or_else(|| name("LOGNAME"))
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

impl Pull {
    fn run(&self, common: &Common, kind: &str, more: &Value) -> Exit {
        let mut body = json!({
            "kind": kind,
            "scope": self.scope.to_string(),
            "author": self.author.clone().unwrap_or_else(user),
        });
        let optional = [
            ("reason", json!(self.reason)),
            ("message", json!(self.message)),
            ("incident", json!(self.incident)),
            ("ttl_s", json!(self.ttl.map(|ttl| ttl.as_secs()))),
        ];
        for (name, value) in optional.into_iter().filter(|(_, value)| !value.is_null()) {
            body[name] = value;
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let path = if self.dry_run { "/api/v1/levers/dry-run" } else { "/api/v1/levers" };
        match call(common, async |client| client.post(path, &body, None).await) {
            Ok((_, value)) if self.dry_run && output::is_json(common) => output::json(&value),
            Ok((_, value)) if self.dry_run => output::data(&radius(&value)),
            Ok((_, value)) => pulled(common, &value),
            Err(exit) => exit,
        }
    }
}

impl Kill {
    pub(super) fn run(&self, common: &Common) -> Exit {
        self.pull.run(common, "kill", &json!({ "in_flight": self.in_flight }))
    }
}

impl Reroute {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let more = json!({ "in_flight": self.in_flight, "to": self.to });
        self.pull.run(common, "reroute", &more)
    }
}

impl Limit {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let limits: serde_json::Map<String, Value> =
            self.max.iter().map(|(name, most)| (name.clone(), json!(most))).collect();
        self.pull.run(common, "limit", &json!({ "limits": limits }))
    }
}

impl Filter {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let more = json!({ "packs": self.pack, "rules": self.rules() });
        self.pull.run(common, "filter", &more)
    }

    /// The rules of `--words` and `--regex`, as the text of a pack.
    fn rules(&self) -> Option<String> {
        let mut looked: Vec<Value> =
            self.regex.iter().map(|regex| json!({ "regex": regex })).collect();
        if !self.words.is_empty() {
            looked.push(json!({ "words": self.words }));
        }
        if looked.is_empty() {
            return None;
        }
        let pack = json!({
            "pack": "lever",
            "rule": [{
                "id": "rule",
                "channels": self.channels,
                "match": { "any": looked },
                "action": self.action,
                "on_error": "cut",
            }],
        });
        toml::to_string(&pack).ok()
    }
}

/// Prints the proof.
fn pulled(common: &Common, value: &Value) -> Exit {
    let shown = if output::is_json(common) {
        output::json(value)
    } else {
        let lever = &value["lever"];
        let exchanges = &value["exchanges"];
        output::data(&format!(
            "{} {} {}  in force at table {}\n  {} exchanges ordered to end, {} ended by now, {} content bytes after it was in force\n  durable after {:.1} ms, in force after {:.1} ms, answered after {:.1} ms\n",
            word(&lever["id"]),
            word(&lever["kind"]),
            word(&lever["scope"]),
            value["epoch"],
            exchanges["ordered"],
            exchanges["ended"],
            exchanges["bytes_after_publication"],
            value["took_ms"]["durable"].as_f64().unwrap_or(0.0),
            value["took_ms"]["published"].as_f64().unwrap_or(0.0),
            value["took_ms"]["total"].as_f64().unwrap_or(0.0),
        ))
    };
    for warning in value["warnings"].as_array().into_iter().flatten() {
        output::notice(&format!("firedoor: {}", word(warning)));
    }
    if value["durable"] == false {
        output::notice(&format!(
            "firedoor: IN FORCE, BUT NOT DURABLE: a restart forgets it until the control log takes it ({})",
            word(&value["not_durable_because"])
        ));
        return Exit::Partly;
    }
    shown
}

/// The blast radius, for people.
fn radius(value: &Value) -> String {
    let names = |value: &Value| {
        let names: Vec<&str> = value.as_array().into_iter().flatten().map(word).collect();
        if names.is_empty() { "none known".to_owned() } else { names.join(", ") }
    };
    let mut out = String::new();
    let live = &value["live"];
    let recent = &value["recent"];
    let _ = writeln!(
        out,
        "{} {} would reach now: {} exchanges in {} sessions\n  apps: {}\n  agents: {}\n  routes: {}",
        word(&value["kind"]),
        word(&value["scope"]),
        live["exchanges"],
        live["sessions"],
        names(&live["apps"]),
        names(&live["agents"]),
        names(&live["routes"]),
    );
    let _ = writeln!(
        out,
        "in the last {} s: {} of {} finished exchanges, {:.1} a minute",
        recent["window_s"],
        recent["exchanges"],
        recent["of"],
        recent["per_minute"].as_f64().unwrap_or(0.0),
    );
    for route in value["routes"].as_array().into_iter().flatten() {
        let left = names(&route["left"]);
        let left = if left == "none known" { "nothing".to_owned() } else { left };
        let _ = writeln!(
            out,
            "route {} may lose {}; left: {left}",
            word(&route["route"]),
            names(&route["loses"])
        );
    }
    for warning in value["warnings"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "note: {}", word(warning));
    }
    out
}

impl Extend {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let body = json!({
            "ttl_s": self.ttl.map(|ttl| ttl.as_secs()),
            "reason": self.reason,
            "author": self.author.clone().unwrap_or_else(user),
        });
        let path = format!("/api/v1/levers/{}/extend", plain(&self.id));
        match call(common, async |client| client.post(&path, &body, None).await) {
            Ok((_, value)) if output::is_json(common) => output::json(&value),
            Ok((_, value)) => output::data(&format!(
                "{} stands {}\n",
                word(&value["lever"]["id"]),
                self.ttl.map_or_else(
                    || "until it is lifted".to_owned(),
                    |ttl| format!("{} s from now", ttl.as_secs())
                )
            )),
            Err(exit) => exit,
        }
    }
}

impl Lift {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let ids = match self.ids(common) {
            Ok(ids) => ids,
            Err(exit) => return exit,
        };
        let body = json!({
            "reason": self.reason,
            "author": self.author.clone().unwrap_or_else(user),
        });
        let mut lifted = Vec::new();
        let mut failed = None;
        for id in &ids {
            let path = format!("/api/v1/levers/{}", plain(id));
            match call(common, async |client| client.delete(&path, &body).await) {
                Ok((_, value)) => lifted.push(value),
                Err(exit) => failed = Some(exit),
            }
        }
        let shown = if output::is_json(common) {
            output::json(&json!(lifted))
        } else {
            let line = |value: &Value| {
                let lever = &value["lever"];
                format!(
                    "lifted {} {} {} at table {}\n",
                    word(&lever["id"]),
                    word(&lever["kind"]),
                    word(&lever["scope"]),
                    value["epoch"]
                )
            };
            output::data(&lifted.iter().map(line).collect::<String>())
        };
        match failed {
            None => shown,
            Some(_) if !lifted.is_empty() => Exit::Partly,
            Some(exit) => exit,
        }
    }

    /// The ids that are meant.
    fn ids(&self, common: &Common) -> Result<Vec<String>, Exit> {
        if self.lever.starts_with("lv_") {
            return Ok(vec![self.lever.clone()]);
        }
        let scope = Scope::parse(&self.lever).map_err(|error| {
            output::notice(&format!(
                "firedoor: `{}` is no lever's id, and as a scope: {error}",
                self.lever
            ));
            Exit::Usage
        })?;
        let text = scope.to_string();
        let standing = ask(common, "/api/v1/levers")?;
        let ids: Vec<String> = standing["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|lever| lever["scope"] == *text)
            .map(|lever| word(&lever["id"]).to_owned())
            .collect();
        if ids.is_empty() {
            output::notice(&format!(
                "firedoor: no lever with the scope `{text}` is in force; `firedoor levers` lists them"
            ));
            return Err(Exit::Failed);
        }
        Ok(ids)
    }
}

impl List {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let asked = if self.history { history(common) } else { ask(common, "/api/v1/levers") };
        let value = match asked {
            Ok(value) => value,
            Err(exit) => return exit,
        };
        if self.toml {
            return output::data(&toml(&value));
        }
        if output::is_json(common) {
            return output::json(&value);
        }
        output::data(&if self.history { changes(&value) } else { table(&value) })
    }
}

/// The history to its end, which may take several pages.
fn history(common: &Common) -> Result<Value, Exit> {
    let mut items = Vec::new();
    let mut after = 0;
    loop {
        let mut page = ask(common, &format!("/api/v1/levers/history?after={after}"))?;
        if let Some(more) = page["items"].as_array_mut() {
            items.append(more);
        }
        match page["next"].as_u64().filter(|next| *next > after) {
            Some(next) => after = next,
            None => return Ok(json!({ "items": items, "next": null })),
        }
    }
}

/// What stands, a line a lever.
fn table(value: &Value) -> String {
    let mut out = String::new();
    for lever in value["items"].as_array().into_iter().flatten() {
        let left = lever["remaining_s"]
            .as_f64()
            .map_or_else(|| "until lifted".to_owned(), |left| format!("{left:.0} s left"));
        let to = lever["to"].as_array().map_or_else(String::new, |to| {
            format!(" -> {}", to.iter().map(word).collect::<Vec<_>>().join(", "))
        });
        let _ = writeln!(
            out,
            "{}  {} {}{to}  {left}, {} refused, {} ordered to end\n    {}: {}{}",
            word(&lever["id"]),
            word(&lever["kind"]),
            word(&lever["scope"]),
            lever["refused"],
            lever["ordered"],
            word(&lever["author"]),
            word(&lever["reason"]),
            if lever["durable"] == false { "  NOT DURABLE" } else { "" },
        );
    }
    if out.is_empty() {
        out.push_str("no lever is in force\n");
    }
    out
}

/// The history, a line a change.
fn changes(value: &Value) -> String {
    let mut out = String::new();
    for change in value["items"].as_array().into_iter().flatten() {
        let what = match &change["lever"] {
            Value::Null => String::new(),
            lever => format!(" {} {}", word(&lever["kind"]), word(&lever["scope"])),
        };
        let _ = writeln!(
            out,
            "{:>5}  {}  {:<6} {}{what}  {} ({}, {}): {}",
            change["rev"],
            word(&change["at"]),
            word(&change["change"]),
            change["rule"]
                .as_str()
                .map_or_else(|| word(&change["lever_id"]), |_| word(&change["rule"])),
            word(&change["who"]),
            word(&change["role"]),
            word(&change["by"]),
            word(&change["reason"]),
        );
    }
    out
}

/// The levers in force as TOML tables.
fn toml(value: &Value) -> String {
    let mut out = String::from(
        "# Levers in force: the truth of the emergency. Make lasting ones part of routes.toml, then lift them.\n",
    );
    for lever in value["items"].as_array().into_iter().flatten() {
        out.push_str("\n[[lever]]\n");
        for (name, value) in lever.as_object().into_iter().flatten() {
            let is_kept =
                !["ordered", "ended", "refused", "durable", "remaining_s"].contains(&name.as_str());
            if let Some(value) = toml_value(value).filter(|_| is_kept) {
                let _ = writeln!(out, "{name} = {value}");
            }
        }
    }
    out
}

fn toml_value(value: &Value) -> Option<toml::Value> {
    match value {
        Value::String(text) => Some(toml::Value::String(text.clone())),
        Value::Number(number) => number
            .as_i64()
            .map(toml::Value::Integer)
            .or_else(|| number.as_f64().map(toml::Value::Float)),
        Value::Array(items) => {
            Some(toml::Value::Array(items.iter().filter_map(toml_value).collect()))
        }
        Value::Object(members) => {
            let pair = |(name, value): (&String, &Value)| Some((name.clone(), toml_value(value)?));
            Some(toml::Value::Table(members.iter().filter_map(pair).collect()))
        }
        Value::Null | Value::Bool(_) => None,
    }
}

/// A text of the API's answer for the terminal: what others wrote drives no terminal.
pub(super) fn word(value: &Value) -> &str {
    let text = value.as_str().unwrap_or("-");
    let end = text.find(char::is_control).unwrap_or(text.len());
    &text[..end]
}

/// An id as it may stand in a path; anything else makes the API say what an id looks like.
pub(super) fn plain(id: &str) -> String {
    id.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, seconds) in
            [("90", 90), ("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1d", 86_400)]
        {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "m", "0", "-1s", "1w", "1.5h", "99999999999999999999d"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_others_wrote_drives_no_terminal() {
        assert_eq!(word(&json!("a\u{1b}[31mb")), "a");
    }
}
