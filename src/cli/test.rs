//! `firedoor test`: the cases that stand beside the rules.
//!
//! It runs the very rulesets that `serve` would run, in force whatever their mode.

use super::{Common, Exit, check, output};
use crate::exchange::screen::{Done, judge_text};
use crate::filter::Kind;
use crate::table::packs::{Compiled, Packs, built_in_diagnostics};
use crate::table::rules::{Case, Expect, Judge, PackRule, Rulebook};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

/// Run the cases that stand beside the rules
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  firedoor test                 every pack, those of the folder and those built in\n  firedoor test secrets pii     some\nExit codes: 0 all cases hold, 1 some do not, 78 a pack has errors"
)]
pub struct Test {
    /// The packs; all by default
    packs: Vec<String>,
}

/// The packs of these names, or all.
pub(super) fn chosen(packs: &Packs, names: &[String]) -> Result<Vec<Arc<Compiled>>, Exit> {
    if names.is_empty() {
        return Ok(packs.all());
    }
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let Some(pack) = packs.get(name) else {
            check::report(&built_in_diagnostics(name));
            output::notice(&format!("firedoor: there is no pack `{name}`: {}", packs.help(name)));
            return Err(Exit::Usage);
        };
        found.push(pack);
    }
    Ok(found)
}

pub(super) fn packs(common: &Common) -> Result<Packs, Exit> {
    let (_, prepared) = check::prepared(common);
    if let Some(table) = prepared.table {
        let files = Arc::try_unwrap(table.files);
        return Ok(files.map(|files| files.packs).unwrap_or_default());
    }
    check::report(&prepared.diagnostics);
    Err(Exit::Configuration)
}

/// What rules did to a text.
pub(super) fn done(judges: &[Arc<Judge>], kind: Kind, text: &str) -> Expect {
    match judge_text(judges, kind, text).0.verdict() {
        None => Expect::Clear,
        Some(Done::Flagged) => Expect::Flag,
        Some(Done::Redacted) => Expect::Redact,
        Some(Done::Rerouted) => Expect::Reroute,
        Some(Done::Cut) => Expect::Cut,
    }
}

impl Test {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let packs = match packs(common) {
            Ok(packs) => packs,
            Err(exit) => return exit,
        };
        let chosen = match chosen(&packs, &self.packs) {
            Ok(chosen) => chosen,
            Err(exit) => return exit,
        };
        let (mut held, mut failures) = (0, Vec::new());
        for compiled in &chosen {
            for rule in &compiled.pack.rules {
                let Some(book) = Rulebook::of_rule(&compiled.pack, rule) else { continue };
                let judges: Vec<Arc<Judge>> = book.judge(0).into_iter().cloned().collect();
                for case in &rule.cases {
                    let got = of_case(&judges, rule, case);
                    if got == case.expect {
                        held += 1;
                    } else {
                        failures.push(failure(compiled, rule, case, got));
                    }
                }
            }
        }
        if output::is_json(common) {
            output::json(&json!({ "held": held, "failed": failures }));
        } else {
            let mut out = String::new();
            for failure in &failures {
                let _ = writeln!(
                    out,
                    "{}:{}: {}: expected {}, got {}: {}",
                    failure["file"].as_str().unwrap_or(""),
                    failure["line"],
                    failure["rule"].as_str().unwrap_or(""),
                    failure["expected"].as_str().unwrap_or(""),
                    failure["got"].as_str().unwrap_or(""),
                    failure["text"].as_str().unwrap_or(""),
                );
            }
            let _ = writeln!(out, "{held} cases hold, {} do not", failures.len());
            output::data(&out);
        }
        if failures.is_empty() { Exit::Done } else { Exit::Failed }
    }
}

/// What a rule does to the text of a case: as the kind of text that the case names, else as any that
/// it looks at, where what is expected counts if it happens on one of them.
fn of_case(judges: &[Arc<Judge>], rule: &PackRule, case: &Case) -> Expect {
    let channels = rule.channels();
    let kinds = Kind::ALL.into_iter().filter(|kind| match case.channel {
        Some(channel) => channel == *kind,
        None => channels.has(*kind),
    });
    let all: Vec<Expect> = kinds.map(|kind| done(judges, kind, &case.text)).collect();
    if case.expect != Expect::Clear && all.contains(&case.expect) {
        return case.expect;
    }
    all.into_iter().max().unwrap_or(Expect::Clear)
}

fn failure(compiled: &Compiled, rule: &PackRule, case: &Case, got: Expect) -> Value {
    let built_in = || format!("<built-in>/{}.toml", compiled.pack.name);
    let file = compiled.pack.file.as_ref();
    json!({
        "file": file.map_or_else(built_in, |file| file.display().to_string()),
        "line": case.line,
        "rule": &*rule.name,
        "expected": case.expect.name(),
        "got": got.name(),
        "text": case.text.chars().take(120).collect::<String>(),
    })
}
