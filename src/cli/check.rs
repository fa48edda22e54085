//! `firedoor check`: what is wrong with a file, and what the rules that it puts in force cost.
//!
//! `check` builds the very table that `serve` would run; nothing is only parsed.

use super::{Common, Exit, output};
use crate::admin::rules as told;
use crate::control;
use crate::filter::Kind;
use crate::proxy::upstream::{Origin, dial};
use crate::table::costs::RuleCost;
use crate::table::diagnostic::{self, Colour, Diagnostic, Severity};
use crate::table::packs::Compiled;
use crate::table::{self, Prepared, Source, Table};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a provider may take to accept a connection with `--online`.
const ONLINE_TIME_MAX: Duration = Duration::from_secs(5);

/// Check a configuration and say all that is wrong with it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 good, 78 the file has errors, 1 a provider cannot be reached (--online).\nLearn more about a code: firedoor explain FD0102"
)]
pub struct Check {
    /// The routes file, instead of --config
    file: Option<std::path::PathBuf>,
    /// Warnings fail too
    #[arg(long)]
    strict: bool,
    /// Also connect to every provider
    #[arg(long)]
    online: bool,
    /// Also say of every rule in use what it costs
    #[arg(long)]
    costs: bool,
    /// How to report
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// One JSON array
    Json,
    /// SARIF 2.1.0, for code review tools
    Sarif,
}

/// Reads the configuration that counts; a file that cannot be read is a diagnostic too.
pub(super) fn prepared(common: &Common) -> (Source, Prepared) {
    let file = common.routes_file();
    match control::source(file.as_deref()) {
        Ok(source) => {
            let prepared = table::prepare(&source, &control::lookup);
            (source, prepared)
        }
        Err(diagnostics) => {
            (Source { file, text: String::new() }, Prepared { table: None, diagnostics })
        }
    }
}

/// Writes diagnostics for people to standard error.
pub(super) fn report(diagnostics: &[Diagnostic]) {
    if !diagnostics.is_empty() {
        output::notice(diagnostic::render(diagnostics, colour()).trim_end());
    }
}

fn colour() -> Colour {
    if output::is_colourful() { Colour::Always } else { Colour::Never }
}

impl Check {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let mut common = common.clone();
        if self.file.is_some() {
            common.config.clone_from(&self.file);
        }
        let (source, prepared) = prepared(&common);
        let found = &prepared.diagnostics;
        let said = match self.format {
            Format::Human => {
                report(found);
                Exit::Done
            }
            Format::Json => {
                let list: Vec<_> = found.iter().map(diagnostic::json).collect();
                match prepared.table.as_ref().filter(|_| self.costs) {
                    Some(table) => output::json(&json!({
                        "diagnostics": list,
                        "packs": in_use(table).iter().map(|pack| pack_cost(pack)).collect::<Value>(),
                    })),
                    None => output::json(&list.into()),
                }
            }
            Format::Sarif => output::json(&diagnostic::sarif(found)),
        };
        let Some(table) = prepared.table else { return Exit::Configuration };
        if self.strict && found.iter().any(|one| one.severity == Severity::Warning) {
            return Exit::Configuration;
        }
        if self.format == Format::Human {
            let name = source.file.as_deref().unwrap_or(Path::new(table::EMBEDDED_NAME));
            let routes =
                table.routes.iter().filter(|route| !route.name.as_str().starts_with('/')).count();
            output::notice(&format!(
                "{}: good; {}, {}, {}",
                name.display(),
                counted(table.providers.len(), "provider"),
                counted(routes, "route"),
                counted(table.apps.len(), "app")
            ));
            let packs = in_use(&table);
            for pack in &packs {
                output::notice(&format!("  {}", summary(pack)));
            }
            if !packs.is_empty() && !self.costs {
                output::notice("  `firedoor check --costs` says what each rule costs");
            }
            for line in packs.iter().flat_map(|pack| waiting(pack)) {
                output::notice(&line);
            }
            for line in packs.iter().flat_map(|pack| holding_much(pack)) {
                output::notice(&line);
            }
            if self.costs {
                output::data(&packs.iter().map(|pack| rows(pack)).collect::<String>());
            }
        }
        if self.online { online(&table) } else { said }
    }
}

/// The packs that routes name.
fn in_use(table: &Table) -> Vec<Arc<Compiled>> {
    let books = table.routes.iter().filter_map(|route| route.rules.as_ref());
    let names: BTreeSet<&Arc<str>> = books.flat_map(|book| &book.packs).collect();
    names.into_iter().filter_map(|name| table.packs.get(name)).collect()
}

fn pack_cost(pack: &Compiled) -> Value {
    let rule = |(rule, cost): (&Arc<table::rules::PackRule>, RuleCost)| {
        let mut value = told::cost(&cost);
        value["id"] = json!(rule.name.split('/').nth(1));
        value["mode"] = json!(rule.mode.to_string());
        value
    };
    json!({
        "pack": &*pack.pack.name,
        "memory_bytes": pack.book.memory_bytes(),
        "rules": pack.book.costs().into_iter().map(rule).collect::<Value>(),
    })
}

/// What a pack costs, in a line.
fn summary(pack: &Compiled) -> String {
    let costs = pack.book.costs();
    let states: usize = costs.iter().map(|(_, cost)| cost.states).sum();
    let held = |cost: &RuleCost| cost.held.map_or(0.0, |held| held.mean_bytes);
    let most = costs.iter().max_by(|(_, a), (_, b)| held(a).total_cmp(&held(b)));
    let most = most.map_or_else(String::new, |(rule, cost)| {
        let id = rule.name.split('/').nth(1).unwrap_or("");
        format!(", {id} holds most of English ({:.2} bytes on average)", held(cost))
    });
    let (rules, memory) = (counted(costs.len(), "rule"), output::bytes(pack.book.memory_bytes()));
    format!("pack {}: {rules}, {states} states, {memory}{most}", pack.pack.name)
}

/// The rules of a pack that ask somebody else, a line each.
fn waiting(pack: &Compiled) -> Vec<String> {
    let rules = pack.pack.rules.iter();
    rules
        .filter_map(|rule| {
            let webhook = &rule.webhooks.first()?.webhook;
            let (name, shown, ms) = (&rule.name, &webhook.shown, webhook.timeout.as_millis());
            let is_told = |kind: &Kind| rule.webhooks.iter().any(|part| part.channels.has(*kind));
            let told = Kind::ALL.into_iter().filter(is_told);
            let (answers, prompts): (Vec<Kind>, Vec<Kind>) =
                told.partition(|kind| kind.is_read_as_written());
            let what = match (prompts.is_empty(), answers.is_empty()) {
                (false, true) => "prompts",
                (true, _) => "answers, a sentence at a time,",
                (false, false) => "prompts, and answers a sentence at a time,",
            };
            Some(format!("  {name} sends {what} to {shown} and delays each by up to {ms} ms"))
        })
        .collect()
}

/// The rules of a pack that hold much of plain English, a warning each.
fn holding_much(pack: &Compiled) -> Vec<String> {
    let costs = pack.book.costs().into_iter().filter(|(_, cost)| cost.holds_much());
    costs
        .filter_map(|(rule, cost)| {
            let held = cost.held?;
            Some(format!(
                "warning: {} holds text back after {:.0} % of the words of plain English, {:.1} bytes on average",
                rule.name,
                held.share * 100.0,
                held.mean_bytes
            ))
        })
        .collect()
}

/// What each rule of a pack costs, a line a rule.
fn rows(pack: &Compiled) -> String {
    let mut out = format!(
        "{:<40} {:>10} {:>8} {:>10} {:>9} {:>9}\n",
        "RULE", "HELD BYTES", "OF WORDS", "AT MOST", "STATES", "MEMORY"
    );
    for (rule, cost) in pack.book.costs() {
        let (mean, share) = match cost.held {
            Some(_) if cost.longest_bytes == 0 => ("-".to_owned(), "-".to_owned()),
            Some(held) => {
                (format!("{:.3}", held.mean_bytes), format!("{:.1} %", held.share * 100.0))
            }
            None => ("?".to_owned(), "?".to_owned()),
        };
        let _ = writeln!(
            out,
            "{:<40} {mean:>10} {share:>8} {:>10} {:>9} {:>9}",
            rule.name,
            cost.longest_bytes,
            cost.states,
            output::bytes(cost.memory_bytes)
        );
    }
    let _ = writeln!(
        out,
        "{:<40} {:>50}\n",
        format!("{} together", pack.pack.name),
        output::bytes(pack.book.memory_bytes())
    );
    out
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Connects to every provider, and says who could not be reached.
fn online(table: &Table) -> Exit {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        output::notice("firedoor: cannot start a runtime");
        return Exit::Failed;
    };
    let mut exit = Exit::Done;
    for provider in &table.providers {
        let Some(base) = &provider.base else { continue };
        let dialed =
            runtime.block_on(tokio::time::timeout(ONLINE_TIME_MAX, dial(&Origin::from(base))));
        let outcome = match dialed {
            Ok(Ok(_)) => "ok".to_owned(),
            Ok(Err(fault)) => {
                exit = Exit::Failed;
                fault.message()
            }
            Err(_) => {
                exit = Exit::Failed;
                "no connection in time".to_owned()
            }
        };
        output::notice(&format!("  {:<20} {}:{}  {outcome}", provider.name, base.host, base.port));
    }
    exit
}
